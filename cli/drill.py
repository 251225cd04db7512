"""`tradebot drill kill`: tiny orders of the strategy `manual:drill`, then a whole kill of that strategy and no other.

riskd decides whether a drill may begin (in real only with the typed phrase), lets its orders in for a minute, runs it,
clears its own hold when the venue has confirmed, and records it as the last test of the kill switch. What is here only
opens the orders and tells the times.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from decimal import ROUND_CEILING, Decimal
from typing import Final

from cli.client import Daemons
from cli.command_ids import new_command_id
from cli.kill_views import KillView, kill_lines
from cli.kills import follow
from cli.stopping import ping_all, readiness
from cli.views import BookView
from tradebot.core.errors import RejectedError
from tradebot.core.instruments import Instrument
from tradebot.core.intents import OrderIntent, ProtectionPlan
from tradebot.core.orders import OrderRole, OrderType, Side, TimeInForce

STRATEGY: Final = "manual:drill"
STOP_FRACTION: Final = Decimal("0.006")
TIMES_MINIMUM: Final = Decimal("1.5")
"""So that the protecting stop, which sells lower, is above the venue's minimum too."""
REST_BELOW: Final = Decimal("0.005")
"""The resting order's distance from the best bid."""
READY_WITHIN_S: Final = 10.0
"""For the drill's orders to rest; the kill comes anyway."""
POLL_S: Final = 0.2


@dataclass(frozen=True, slots=True)
class DrillReport:
    """What a drill showed."""

    stop_path: str
    instrument_id: str
    opened: list[str]
    """What was there to be killed."""
    kill: KillView | None


def run(
    daemons: Daemons, book: BookView, instrument: Instrument, phrase: str, wait_s: float, tell: Callable[[str], None]
) -> DrillReport:
    """Open, kill, follow.

    Raises:
        RejectedError: riskd does not begin it, or refuses the drill's orders.
    """
    may = daemons.start_drill(phrase, new_command_id(), prepare=True)
    if may.reason:
        raise RejectedError(may.reason, may.detail)
    acks = ping_all(daemons.ping_stop)
    tell(readiness(acks))
    started_ns = time.time_ns()
    _open(daemons, book, instrument, may.taker_fee, tell)
    opened = _wait_ready(daemons)
    tell(f"open: {', '.join(opened)}")
    begun = daemons.start_drill(phrase, new_command_id(), prepare=False)
    if begun.reason:
        raise RejectedError(begun.reason, begun.detail)
    kill = follow(daemons, f"strategy {STRATEGY}", begun.kill_id, started_ns, wait_s, tell)
    return DrillReport(readiness(acks), instrument.instrument_id, opened, kill)


def _open(daemons: Daemons, book: BookView, instrument: Instrument, fee: Decimal, tell: Callable[[str], None]) -> None:
    """Hand in a market entry with its stop and an order that rests; one of them accepted is enough to go on."""
    bid = Decimal(book.bid_price or "0")
    if bid <= 0:
        raise RejectedError(
            "NO_MARKET_DATA", f"{instrument.instrument_id} has no bid: choose another with --instrument"
        )
    qty = size(instrument, bid, fee)
    rest = instrument.price(instrument.price_ticks_floor(bid * (1 - REST_BELOW)))
    answers = [daemons.submit(intent(instrument, qty, None)), daemons.submit(intent(instrument, qty, rest))]
    refused = [
        f"{answer.check_id} {answer.reason}: {answer.detail}" for answer in answers if answer.status != "ACCEPTED"
    ]
    for text in refused:
        tell(f"refused: {text}")
    if len(refused) == len(answers):
        raise RejectedError("DRILL_ORDERS_REFUSED", f"a drill needs orders to kill: {refused[0]}")


def size(instrument: Instrument, price: Decimal, fee: Decimal) -> Decimal:
    """Return the smallest quantity that can be bought, protected and sold again. Pure.

    A fee in base takes its share: the whole lots that are left are the venue's least quantity still (SPC-08).
    """
    lot = instrument.lot_size
    kept = (instrument.min_qty / lot).to_integral_value(ROUND_CEILING)
    worth = instrument.min_notional * TIMES_MINIMUM / price / lot
    return max(kept / (1 - fee), worth).to_integral_value(ROUND_CEILING) * lot


def intent(instrument: Instrument, qty: Decimal, limit: Decimal | None) -> OrderIntent:
    """Return one of the drill's entries: at the market, or resting at `limit`. Pure but for its id and time."""
    intent_id = new_command_id()
    return OrderIntent(
        intent_id=intent_id,
        strategy_id=STRATEGY,
        incarnation=intent_id,
        intent_sequence=1,
        instrument_id=instrument.instrument_id,
        side=Side.BUY,
        role=OrderRole.ENTRY,
        order_type=OrderType.MARKET if limit is None else OrderType.LIMIT,
        time_in_force=TimeInForce.IOC if limit is None else TimeInForce.GTC,
        created_time_ns=time.time_ns(),
        qty=qty,
        strength=Decimal(1),
        limit_price=limit,
        post_only=limit is not None,
        protection=ProtectionPlan(stop_loss_fraction=STOP_FRACTION),
        trace_id=intent_id,
    )


def _wait_ready(daemons: Daemons) -> list[str]:
    """Wait until nothing of the drill's is on its way; return what works, and the position."""
    deadline = time.monotonic() + READY_WITHIN_S
    while True:
        orders = daemons.orders(working_only=True, instrument_id="", strategy_id=STRATEGY, limit=100)
        held = [p for p in daemons.positions() if p.strategy_id == STRATEGY]
        stops = [o for o in orders if o.role == "PROTECTION"]
        settled = all(o.status == "NEW" for o in orders) and bool(stops) == bool(held)
        if settled or time.monotonic() >= deadline:
            found = [f"{order.role.lower()} {order.status}" for order in orders]
            return [*found, *(f"position {p.qty} {p.instrument_id}" for p in held)]
        time.sleep(POLL_S)


def drill_lines(report: DrillReport) -> list[str]:
    """Return the drill for people."""
    if report.kill is None:
        return [report.stop_path, "the drill did not begin: riskd does not answer"]
    done = report.kill.state == "DONE"
    verdict = "the kill switch works; the drill's hold is cleared" if done else "the drill is not done: see STUCK"
    return [report.stop_path, f"opened: {', '.join(report.opened)}", *kill_lines(report.kill), verdict]
