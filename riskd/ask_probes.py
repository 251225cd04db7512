"""Probes of the limits self-test that are asks: an ordinary order in a world that is spoiled, or an order that is.

A world in order becomes one in which the named checks must object.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from decimal import Decimal
from typing import Any, Final

from riskd.holds import OPERATOR_CAUSE
from riskd.order_limits import RejectRate, RepeatedExecution, VenueExposure
from riskd.probe_world import CASH, DAY_NS, ELSEWHERE, PRICE, ProbeWorld
from riskd.rates import NS_PER_MIN, NS_PER_S
from tradebot.core.accounts import PositionMargin
from tradebot.core.approvals import VenueAction
from tradebot.core.instruments import InstrumentStatus, Product
from tradebot.core.intents import ProtectionPlan
from tradebot.core.levels import SYSTEM_SCOPE, ReleaseRule, TradingLevel
from tradebot.core.market import BookState
from tradebot.core.orders import OrderRole, OrderType, Side, TimeInForce

MOST_REPEATS: Final = 10_000
"""A limit above it is not probed: reaching it would take too long."""
_WHOLE_PCT: Final = 100
_FAR: Final = 10**18
_LATE_NS: Final = 4 * 10**18
"""A date in another century."""
_LARGEST: Final = Decimal(10) ** 10

Probe = Callable[[ProbeWorld], frozenset[str] | None]
"""Returns the checks that object; None = the limits are so wide that it cannot be tried."""


def _huge(w: ProbeWorld) -> frozenset[str]:
    for number in range(100):
        w.gate.state.repetition.entered((w.strategy_id, w.instrument.instrument_id, Side.BUY, 10**11, number), 0)
    return w.ask(qty=_LARGEST)


def _clustered(w: ProbeWorld) -> frozenset[str]:
    w.gate.state.clusters = ((w.instrument.instrument_id, ELSEWHERE),)
    return w.ask(qty=_LARGEST)


def _cautious(w: ProbeWorld) -> frozenset[str]:
    _hold(w, TradingLevel.CAUTIOUS)
    return w.ask(qty=_LARGEST)


def _hold(w: ProbeWorld, level: TradingLevel) -> None:
    w.gate.keeper.raise_(level, SYSTEM_SCOPE, OPERATOR_CAUSE, ReleaseRule.ONE_KEY, w.now_ns, "probe")


def _held(w: ProbeWorld) -> frozenset[str]:
    _hold(w, TradingLevel.REDUCE_ONLY)
    return w.ask()


def _duplicate(w: ProbeWorld) -> frozenset[str]:
    w.ask(intent_id="twice")
    return w.ask(intent_id="twice")


def _repeated(w: ProbeWorld) -> frozenset[str]:
    w.ask()
    return w.ask()


def _other_build(w: ProbeWorld) -> frozenset[str]:
    w.gate.session.build = "other"
    return w.ask()


def _settings(**changes: Any) -> Probe:
    def probe(w: ProbeWorld) -> frozenset[str]:
        books = w.gate.decider.books
        books.settings = replace(books.settings, **changes)
        return w.ask()

    return probe


def _denied(w: ProbeWorld) -> frozenset[str]:
    return _settings(deny=frozenset({w.instrument.instrument_id}))(w) or frozenset()


def _status(**changes: Any) -> Probe:
    def probe(w: ProbeWorld) -> frozenset[str]:
        w.status(**changes)
        return w.ask()

    return probe


def _halted(w: ProbeWorld) -> frozenset[str]:
    w.hello(status=InstrumentStatus.HALTED)
    w.status()
    return w.ask()


def _levered(w: ProbeWorld) -> frozenset[str]:
    w.hello(product=Product.LINEAR_PERPETUAL)
    w.status()
    w.say(position_margins=[PositionMargin(w.instrument.instrument_id, Decimal(1), None, Decimal(0), False, w.now_ns)])
    return w.ask(qty=_LARGEST, protection=ProtectionPlan(Decimal("0.5")))


def _working(w: ProbeWorld) -> frozenset[str]:
    book, names = w.gate.state.commitments.working, (w.instrument.instrument_id, w.instrument.venue)
    for name in names:
        book.unknown[name] = book.count[name] = _FAR
    book.add(names[0], names[1], Side.SELL, 1)
    return w.ask()


def _unwatched(w: ProbeWorld) -> frozenset[str]:
    w.gate.board.trails.clear()
    return w.ask()


def _never_drilled(w: ProbeWorld) -> frozenset[str]:
    w.gate.state.kills.last_drill = None
    return w.ask()


def _old(w: ProbeWorld) -> frozenset[str]:
    w.now_ns += 2 * DAY_NS
    return w.ask()


def _book(bid: str, ask: str, state: BookState = BookState.LIVE) -> Probe:
    def probe(w: ProbeWorld) -> frozenset[str]:
        w.quote(Decimal(bid), Decimal(ask), state)
        return w.ask()

    return probe


class AskProbe:
    """A probe that is nothing but an ask: it leaves the world as it is, so many of them share one."""

    def __init__(self, **changes: Any) -> None:
        self._changes = changes

    def __call__(self, w: ProbeWorld) -> frozenset[str]:
        return w.ask(**self._changes)


def _all_here(w: ProbeWorld) -> frozenset[str] | None:
    rule = w.limits.enforced("POS-08", VenueExposure)
    if rule is None or rule.hard_pct >= _WHOLE_PCT:
        return None
    w.gate.state.portfolio.balances[ELSEWHERE, w.limits.file.currency] = 0
    w.gate.accountant.forget_equity()
    return w.ask()


def _crowded(w: ProbeWorld) -> frozenset[str]:
    for number in range((w.gate.settings.max_positions or 0) + 1):
        w.gate.state.commitments.by_instrument[f"{number}"].entries = 1
    return w.ask()


def _fast(w: ProbeWorld) -> frozenset[str]:
    rates = w.gate.state.rates
    for owner in (w.strategy_id, "", f"{w.strategy_id} amends"):
        rates.full_at[owner, NS_PER_S] = rates.full_at[owner, NS_PER_MIN] = w.now_ns + _FAR
    return w.ask(action=VenueAction.REPLACE)


def _refused_often(w: ProbeWorld) -> frozenset[str] | None:
    rule = w.limits.enforced("RAT-05", RejectRate)
    times = 0 if rule is None else rule.strategy_per_minute + 1
    if times > MOST_REPEATS:
        return None
    for _ in range(times):
        w.gate.state.flow.rejected(w.strategy_id, w.instrument.venue, w.now_ns)
    return w.ask()


def _again_and_again(w: ProbeWorld) -> frozenset[str] | None:
    rule = w.limits.enforced("RAT-06", RepeatedExecution)
    times = 0 if rule is None else rule.max_entries
    if times > MOST_REPEATS:
        return None
    for _ in range(times):
        w.gate.state.flow.entered((w.strategy_id, w.instrument.instrument_id, 1), w.now_ns)
    return w.ask()


def _chatty(w: ProbeWorld) -> frozenset[str] | None:
    rule = w.gate.settings.orders.order_to_trade
    times = 0 if rule is None else max(rule.max_ratio, rule.min_orders)
    if times > MOST_REPEATS:
        return None
    for _ in range(times):
        w.gate.state.flow.ordered(w.strategy_id, w.now_ns)
    return w.ask()


def _lost(w: ProbeWorld) -> frozenset[str]:
    w.gate.state.portfolio.day_start = 10**12 * int(CASH) * 100
    return w.ask()


ASK_PROBES: Final[tuple[tuple[Probe, tuple[str, ...]], ...]] = (
    (_huge, ("STA-08", "MKT-06", "SPC-03", "SPC-04", "SIZ-01", "SIZ-02", "SIZ-03", "SIZ-04", "SIZ-05", "POS-01",
             "POS-02", "POS-04", "POS-05", "POS-06", "POS-09", "POS-11", "POS-12", "POS-13", "RAT-10")),
    (_clustered, ("POS-07",)),
    (_levered, ("PRC-06", "POS-10")),
    (_cautious, ("SIZ-07",)),
    (AskProbe(limit_price=Decimal("1000.005")), ("SPC-01", "SPC-07", "PRC-01")),
    (AskProbe(qty=Decimal("0.000001")), ("SPC-02",)),
    (AskProbe(strength=Decimal(2)), ("AUT-01",)),
    (AskProbe(role=OrderRole.REDUCE, side=Side.SELL), ("AUT-02",)),
    (AskProbe(created_time_ns=1), ("AUT-03",)),
    (_duplicate, ("AUT-04",)),
    (_other_build, ("AUT-05",)),
    (_status(clock_offset_ns=10 * DAY_NS), ("AUT-06",)),
    (_settings(undefined_checks=1), ("AUT-07",)),
    (_held, ("STA-01",)),
    (AskProbe(role=OrderRole.EXIT, side=Side.SELL), ("STA-02",)),
    (_status(private_stream_live=False), ("STA-03",)),
    (AskProbe(protection=ProtectionPlan(None, Decimal("0.01"))), ("SPC-08",)),
    (AskProbe(time_in_force=TimeInForce.GTD, expire_time_ns=_LATE_NS), ("SPC-09",)),
    (_status(rules_hash="another"), ("SPC-10",)),
    (_halted, ("STA-04",)),
    (_denied, ("STA-05",)),
    (_working, ("STA-06", "RAT-08", "RAT-09")),
    (_unwatched, ("STA-07",)),
    (_never_drilled, ("STA-09",)),
    (_old, ("MKT-01",)),
    (_book("99.99", "100.01", BookState.GAP), ("MKT-02",)),
    (_book("100.01", "100", BookState.LIVE), ("MKT-03",)),
    (_book("50", "150"), ("MKT-04",)),
    (_book("90000", "90000.01"), ("MKT-05", "MKT-07", "PRC-02")),
    (AskProbe(qty=_LARGEST, limit_price=2 * PRICE), ("PRC-03",)),
    (AskProbe(expected_edge=Decimal(0)), ("PRC-08",)),
    (AskProbe(terms_order_type=OrderType.MARKET), ("SPC-05", "PRC-04")),
    (AskProbe(terms_client_order_id="mine"), ("SPC-06",)),
    (AskProbe(protection=ProtectionPlan()), ("PRC-05",)),
    (AskProbe(post_only=True, time_in_force=TimeInForce.GTC, limit_price=Decimal("100.01")), ("PRC-07",)),
    (AskProbe(alone=True), ("SIZ-06",)),
    (_crowded, ("POS-03",)),
    (_all_here, ("POS-08",)),
    (_fast, ("RAT-01", "RAT-02")),
    (_status(rate_used_pct=1000.0), ("RAT-03",)),
    (_chatty, ("RAT-04",)),
    (_refused_often, ("RAT-05",)),
    (_again_and_again, ("RAT-06",)),
    (_repeated, ("RAT-07",)),
    (_lost, ("PNL-01",)),
)  # fmt: skip
