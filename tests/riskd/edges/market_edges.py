"""MKT and PRC at their edges."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from tests.riskd.edges.kit import (
    MARKET,
    add,
    edge,
    exit_of,
    holding,
    limited,
    with_book,
)
from tests.riskd.kit import BTC, ETH, MS, SECOND, STRICT, Desk, make_test_limits
from tradebot.core.approvals import ApprovalAnswer
from tradebot.core.intents import ProtectionPlan
from tradebot.core.market import BookState, RowKind
from tradebot.core.orders import OrderType, Side, TimeInForce

changes: dict[str, Any]

for label, age_ms, reason in (
    ("at", 5000, None),
    ("above", 5000.001, "BOOK_STALE"),
    ("as far ahead", -5000, None),
    ("farther ahead", -5000.001, "BOOK_STALE"),
):

    def book_age(age_ms: float = age_ms) -> ApprovalAnswer:
        desk = Desk()
        desk.gate.board.views[BTC].updated_ns -= int(age_ms * MS)
        return desk.plain()

    add("MKT-01", label, reason, book_age)


@edge("MKT-01", "no time told", "CHECK_INPUT_MISSING")
def _no_time() -> ApprovalAnswer:
    desk = Desk()
    desk.gate.board.views[BTC].updated_ns = 0
    return desk.plain()


@edge("MKT-01", "a mark price says nothing of the book", "BOOK_STALE")
def _only_marks() -> ApprovalAnswer:
    desk = Desk()
    for _ in range(6):
        desk.now_ns += SECOND
        desk.tell(BTC, (RowKind.MARK_PRICE, "60000"), (RowKind.INDEX_PRICE, "60000"))
    return desk.plain()


add("MKT-01", "marketdata says STALE", "BOOK_STALE", lambda: with_book("59999.99", "60000.01", BookState.STALE))
add("MKT-02", "LIVE", None, lambda: with_book("59999.99", "60000.01"))
add("MKT-02", "GAP", "BOOK_OUT_OF_SYNC", lambda: with_book("59999.99", "60000.01", BookState.GAP))
add("MKT-02", "SYNCING", "BOOK_OUT_OF_SYNC", lambda: with_book("59999.99", "60000.01", BookState.SYNCING))


@edge("MKT-02", "stream lost", "CHECK_INPUT_MISSING")
def _stream_lost() -> ApprovalAnswer:
    desk = Desk()
    desk.gate.market_lost(desk.now_ns)
    return desk.plain()


add("MKT-03", "one tick apart", None, lambda: with_book("59999.99", "60000"))
add("MKT-03", "locked", "BOOK_CROSSED", lambda: with_book("60000", "60000"))
add("MKT-03", "crossed", "BOOK_CROSSED", lambda: with_book("60000.01", "60000"))
add("MKT-03", "no bid", "BOOK_ONE_SIDED", lambda: with_book(None, "60000"))
add("MKT-03", "no ask", "BOOK_ONE_SIDED", lambda: with_book("59999.99", None))


for label, side, price, reason in (
    ("buy at the collar", Side.BUY, "60300", None),
    ("buy above it", Side.BUY, "60300.01", "PRICE_COLLAR"),
    ("buy at the far side", Side.BUY, "58500", None),
    ("buy beyond the far side", Side.BUY, "58499.99", "PRICE_COLLAR"),
    ("sell at the collar", Side.SELL, "59700", None),
    ("sell below it", Side.SELL, "59699.99", "PRICE_COLLAR"),
    ("sell at the far side", Side.SELL, "61500", None),
    ("sell beyond the far side", Side.SELL, "61500.01", "PRICE_COLLAR"),
):

    def collar(side: Side = side, price: str = price) -> ApprovalAnswer:
        return Desk().plain(side=side, limit_price=price)

    add("PRC-01", label, reason, collar)

for label, price, age_s, reason in (
    ("exit at the wider collar", "58200", 0, None),  # 300 bps
    ("exit below it", "58199.99", 0, "PRICE_COLLAR"),
    ("exit on the last good reference", "60000", 3600, None),
    ("exit below it on the last good reference", "58199.99", 3600, "PRICE_COLLAR"),
    ("exit at half of one that is too old", "30000", 3600.001, None),
    ("exit below that", "29999.99", 3600.001, "PRICE_COLLAR"),
):

    def exit_collar(price: str = price, age_s: float = age_s) -> ApprovalAnswer:
        desk = holding()
        desk.gate.market_lost(desk.now_ns)
        desk.now_ns += int(age_s * SECOND)
        return exit_of(desk, "0.01", limit_price=price)

    add("PRC-01", label, reason, exit_collar)


WAITS: dict[str, Any] = {"terms_order_type": OrderType.TAKE_PROFIT_LIMIT}
add("PRC-01", "entry and its trigger in the collar", None,
    lambda: Desk().plain(limit_price="60300", terms_stop_price="60300", **WAITS))  # fmt: skip
add("PRC-01", "trigger above it", "PRICE_COLLAR",
    lambda: Desk().plain(limit_price="60300", terms_stop_price="60300.01", **WAITS))  # fmt: skip
add("PRC-01", "limit above it at its trigger", "PRICE_COLLAR",
    lambda: Desk().plain(limit_price="71000", terms_stop_price="71000", **WAITS))  # fmt: skip
add("PRC-01", "exit at its trigger, however far", None,
    lambda: exit_of(holding(), "0.01", limit_price="40000", terms_stop_price="40000", **WAITS))  # fmt: skip


def spread(bid: str, ask: str) -> ApprovalAnswer:
    desk = limited("MKT-04", max_spread_bps={"*": 1000, BTC: 30})
    desk.quote(BTC, bid, ask)
    return desk.plain(qty="0.001")


add("MKT-04", "30 bps of the mid", None, lambda: spread("59910", "60090"))
add("MKT-04", "one tick more", "SPREAD_TOO_WIDE", lambda: spread("59909.99", "60090"))
add("MKT-04", "no book", "CHECK_INPUT_MISSING", lambda: with_book(None, None))
add("MKT-04", "no limit for it", "LIMIT_UNDEFINED", lambda: limited("MKT-04", max_spread_bps={ETH: 30}).plain())


def at_market(price: str, side: Side = Side.BUY, **changes: Any) -> ApprovalAnswer:
    """A market intent whose order carries this limit; touch 0.01 from 60,000, bound 100 bps."""
    desk = limited("PRC-04", max_bound_bps=100)
    return desk.plain(
        side=side, qty="0.001", order_type=MARKET, limit_price=None, terms_price=price, **changes
    )  # fmt: skip


add("PRC-04", "buy at the bound", None, lambda: at_market("60600.01"))
add("PRC-04", "buy beyond it", "MARKET_ORDER_FORBIDDEN", lambda: at_market("60600.02"))
add("PRC-04", "sell at the bound", None, lambda: at_market("59400", Side.SELL))
add("PRC-04", "sell beyond it", "MARKET_ORDER_FORBIDDEN", lambda: at_market("59399.99", Side.SELL))
add("PRC-04", "that rests", "MARKET_ORDER_FORBIDDEN", lambda: at_market("60000", terms_time_in_force=TimeInForce.GTC))
add("PRC-04", "a raw market order", "MARKET_ORDER_FORBIDDEN", lambda: Desk().plain(terms_order_type=MARKET))
add("PRC-04", "an order without its limit", "MARKET_ORDER_FORBIDDEN", lambda: Desk().plain(terms_price=None))
add("PRC-04", "a limit intent far away", None, lambda: limited("PRC-04", max_bound_bps=1).plain(limit_price="60300"))


@edge("PRC-04", "a market intent without a book", "CHECK_INPUT_MISSING")
def _market_blind() -> ApprovalAnswer:
    desk = Desk()
    desk.gate.market_lost(desk.now_ns)
    return desk.plain(order_type=MARKET, limit_price=None, terms_price="60000")


for label, stop, reason in (
    ("no stop", None, "STOP_MISSING"),
    ("nearest", "0.002", None),
    ("too near", "0.001999999999", "STOP_DISTANCE_INVALID"),
    ("farthest", "0.05", None),
    ("too far", "0.050000000001", "STOP_DISTANCE_INVALID"),
):

    def stopped(stop: str | None = stop) -> ApprovalAnswer:
        desk = Desk(limits=make_test_limits(STRICT))
        return desk.plain(qty="0.001", protection=ProtectionPlan(None if stop is None else Decimal(stop)))

    add("PRC-05", label, reason, stopped)

for label, side, price, reason in (
    ("buy below the ask", Side.BUY, "60000", None),
    ("buy at the ask", Side.BUY, "60000.01", "POST_ONLY_WOULD_CROSS"),
    ("sell above the bid", Side.SELL, "60000", None),
    ("sell at the bid", Side.SELL, "59999.99", "POST_ONLY_WOULD_CROSS"),
):

    def posting(side: Side = side, price: str = price) -> ApprovalAnswer:
        return Desk().plain(side=side, limit_price=price, post_only=True, time_in_force=TimeInForce.GTC)

    add("PRC-07", label, reason, posting)

add("PRC-07", "not post-only", None, lambda: Desk().plain(limit_price="60000.01"))


@edge("PRC-07", "without a book", "CHECK_INPUT_MISSING")
def _post_blind() -> ApprovalAnswer:
    desk = Desk()
    desk.gate.market_lost(desk.now_ns)
    return desk.plain(post_only=True, time_in_force=TimeInForce.GTC)
