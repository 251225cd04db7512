"""What a run writes down where `Logs` ask for it: a row per order, a row per fill, the touch at every sample.

One row of 64-bit words each. Nothing here changes what happens; without a log each event pays for one comparison.
"""

from __future__ import annotations

import math
from typing import Final

from tradebot.sim.kernels import layout as at
from tradebot.sim.kernels.jit import compiled
from tradebot.sim.kernels.memory import Words, floats_at, words_at

FILL_COLUMNS: Final = (
    "exchange_time_ns",
    "order_id",
    "side",
    "price_ticks",
    "qty_lots",
    "maker",
    "leaves_lots",
    "rested_ns",
    "fee_tier",
    "queue_ahead_lots",
    "heard_ns",
)
"""`queue_ahead_lots` is what was left before a maker when it filled, `heard_ns` when its response arrives."""
FILL_WORDS: Final = len(FILL_COLUMNS)

ORDER_COLUMNS: Final = (
    "order_id",
    "side",
    "price_ticks",
    "qty_lots",
    "kind",
    "tag",
    "trigger_ticks",
    "sent_ns",
    "twice_mid_at_decision",
    "expires_ns",
    "arrived_ns",
    "twice_mid_at_arrival",
    "queue_ahead_lots",
    "acknowledged_ns",
    "ended_ns",
    "status",
    "filled_lots",
)
"""Price and quantity are the last that the exchange took; filled, status and times what the strategy heard. 0 = never.

Row n is the order of serial n + 1. A mid of NO_PRICE: a side was empty; a queue of -1: it never came to rest.
"""
O_ID, O_SIDE, O_PRICE, O_QTY, O_KIND, O_TAG, O_TRIGGER, O_SENT, O_MID_SENT = range(9)
O_EXPIRES, O_ARRIVED, O_MID_ARRIVED, O_QUEUE, O_ACKNOWLEDGED, O_ENDED, O_STATUS, O_FILLED = range(9, 17)
ORDER_LOG_WORDS: Final = len(ORDER_COLUMNS)

SAMPLE_WORDS_OF_A_MARKET: Final = 2
"""After the time: best bid and best ask as the strategy saw them, NO_PRICE for an empty side."""


@compiled
def is_logged(w: Words, order_id: int) -> bool:
    """True when an order has a row; a liquidation has none."""
    return w[at.ORDER_LOG_MAX] != 0 and order_id > 0


@compiled
def row_of(w: Words, order_id: int) -> Words:
    """Return the row of an order that `is_logged`."""
    return words_at(w[at.ORDER_LOG] + 8 * ((order_id - 1) // w[at.MAX_ORDERS] - 1) * ORDER_LOG_WORDS)


@compiled
def twice_mid(bid: int, ask: int) -> int:
    """Return the sum of both best prices, NO_PRICE when a side is empty."""
    return at.NO_PRICE if bid == at.NO_PRICE or ask == at.NO_PRICE else bid + ask


@compiled
def log_submit(w: Words, order: Words, mid: int) -> None:
    """The strategy sent an order; `mid` is twice the one it saw."""
    if not is_logged(w, order[at.ID]):
        return
    row = row_of(w, order[at.ID])
    for word in range(ORDER_LOG_WORDS):
        row[word] = 0
    row[O_ID] = order[at.ID]
    row[O_SIDE] = order[at.SIDE]
    row[O_PRICE] = order[at.PRICE]
    row[O_QTY] = order[at.QTY]
    row[O_KIND] = order[at.KIND]
    row[O_TAG] = order[at.TAG]
    row[O_TRIGGER] = order[at.TRIGGER]
    row[O_SENT] = order[at.SUBMITTED_AT]
    row[O_MID_SENT] = mid
    row[O_MID_ARRIVED] = at.NO_PRICE
    row[O_QUEUE] = -1


@compiled
def log_arrival(w: Words, slot: int, time_ns: int) -> None:
    """A new order is about to be looked at by the exchange."""
    order = words_at(w[at.ORDERS] + 8 * slot * at.ORDER_WORDS)
    if not is_logged(w, order[at.ID]):
        return
    row = row_of(w, order[at.ID])
    bid, ask, base = w[at.BEST_BID], w[at.BEST_ASK], w[at.BASE]
    row[O_EXPIRES] = order[at.EXPIRES]
    row[O_ARRIVED] = time_ns
    if bid > 0 and ask < w[at.TOP]:
        row[O_MID_ARRIVED] = bid + ask + 2 * base


@compiled
def log_rest(w: Words, slot: int) -> None:
    """An order has come to rest; its first queue is the one that is kept."""
    order = words_at(w[at.ORDERS] + 8 * slot * at.ORDER_WORDS)
    if is_logged(w, order[at.ID]):
        row = row_of(w, order[at.ID])
        if row[O_QUEUE] < 0:
            row[O_QUEUE] = lots_ahead(w, slot)


@compiled
def log_answer(w: Words, order_id: int, message: Words, request: int) -> None:
    """A response has reached the strategy; `request` was under way."""
    if not is_logged(w, order_id):
        return
    row = row_of(w, order_id)
    kind = message[at.M_KIND]
    if row[O_ACKNOWLEDGED] == 0:
        row[O_ACKNOWLEDGED] = message[at.M_TIME]
    row[O_FILLED] += message[at.M_QTY]
    if kind in (at.CANCEL_REFUSED, at.MODIFY_REFUSED):
        return
    row[O_STATUS] = kind
    if kind >= at.FILLED:
        row[O_ENDED] = message[at.M_TIME]
    elif kind == at.NEW and request == at.REQUEST_MODIFY:
        row[O_PRICE] = message[at.M_PRICE]
        row[O_QTY] = row[O_FILLED] + message[at.M_LEAVES]


@compiled
def lots_ahead(w: Words, slot: int) -> int:
    """Return the lots ahead of a resting order, estimates rounded."""
    return math.floor(max(floats_at(w[at.ORDERS])[slot * at.ORDER_WORDS + at.F_AHEAD], 0.0) + 0.5)


@compiled
def log_fill(w: Words, slot: int, price: int, qty: int, maker: int, time_ns: int) -> None:
    """Append a fill, whose response is the last one under way, to the fill log, if one is kept."""
    if w[at.FILL_LOG_MAX] == 0:
        return
    count = w[at.FILL_LOG_COUNT]
    if count >= w[at.FILL_LOG_MAX]:
        w[at.ERROR] = at.ERROR_FILL_LOG
        return
    order = words_at(w[at.ORDERS] + 8 * slot * at.ORDER_WORDS)
    row = words_at(w[at.FILL_LOG] + 8 * count * FILL_WORDS)
    row[0] = time_ns
    row[1] = order[at.ID]
    row[2] = order[at.SIDE]
    row[3] = price
    row[4] = qty
    row[5] = maker
    row[6] = order[at.X_LEAVES]
    row[7] = time_ns - order[at.X_SINCE] if maker else 0
    row[8] = w[at.TIER]
    row[9] = lots_ahead(w, slot) if maker else 0
    last = (w[at.RESPONSE_TAIL] - 1) & w[at.RESPONSE_MASK]
    row[10] = words_at(w[at.RESPONSES])[last * at.MESSAGE_WORDS + at.M_TIME]
    w[at.FILL_LOG_COUNT] = count + 1
