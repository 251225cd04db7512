"""Probes of the limits self-test that are events: what the controls that watch the account must raise a hold for."""

from __future__ import annotations

from decimal import Decimal
from typing import Any, Final

from riskd.ask_probes import MOST_REPEATS, Probe
from riskd.eye_watch import HEARD_BEFORE_JUDGING
from riskd.journal_watch import JournalHealth
from riskd.limits import HoldingTime, LossStreak
from riskd.order_limits import AckLatency, ExecutionQuality
from riskd.post_trade_limits import Dependencies, UnprotectedPosition
from riskd.probe_world import CASH, PRICE, ProbeWorld
from riskd.rates import NS_PER_S
from riskd.units import UNIT
from tradebot.core.accounts import Balance, MarginState, VenueAlarm
from tradebot.core.approvals import LeasePing
from tradebot.core.ids import ClientOrderIdParts, make_client_order_id, strategy_code
from tradebot.core.looks import LookReport, SeenOrder, VenueLook
from tradebot.core.orders import Side

_HOUR_S: Final = 3_600
_LOT: Final = Decimal("0.05")
_NEARLY_ALL: Final = Decimal("0.99")


def _ruined(w: ProbeWorld) -> frozenset[str]:
    """A strategy buys for all that there is, and it is worth next to nothing a second later."""
    qty = (w.total * _NEARLY_ALL / PRICE).quantize(Decimal("0.01"))
    w.traded(Side.BUY, qty, PRICE)
    w.quote(Decimal("0.01"), Decimal("0.02"))
    return w.held_after(1)


def _losing(w: ProbeWorld) -> frozenset[str] | None:
    rule = w.limits.enforced("PNL-06", LossStreak)
    times = 0 if rule is None else rule.halt_after
    if times > MOST_REPEATS:
        return None
    for _ in range(times):
        w.traded(Side.BUY, _LOT, PRICE)
        w.traded(Side.SELL, _LOT, PRICE - 1)
    return w.held_after(1)


def _overpaying(w: ProbeWorld) -> frozenset[str]:
    rule = w.limits.enforced("PNL-08", ExecutionQuality)
    for _ in range(0 if rule is None else rule.fills):
        w.gate.state.flow.filled(w.strategy_id, (10**15 * UNIT, UNIT, UNIT))
    return w.held_after(1)


def _miscounted(w: ProbeWorld) -> frozenset[str]:
    for seconds in (0, 5):
        at_ns = w.now_ns + seconds * NS_PER_S
        zero = Decimal(0)
        told = MarginState(w.instrument.venue, "main", w.limits.file.currency, CASH / 2, zero, zero, at_ns)
        w.say(margins=[told])
    return w.held()


def _aged(w: ProbeWorld) -> frozenset[str]:
    rule = w.limits.enforced("POS-14", HoldingTime)
    w.traded(Side.BUY, _LOT, PRICE)
    return w.held_after(0 if rule is None else (rule.hard_h + 1) * _HOUR_S)


def _misfilled(w: ProbeWorld) -> frozenset[str]:
    w.traded(Side.BUY, _LOT, 2 * PRICE, limit=PRICE)
    return w.held()


def _unprotected(w: ProbeWorld) -> frozenset[str] | None:
    """An entry that was granted a stop is filled, and no stop comes. Not to be tried where no entry passes."""
    rule = w.limits.enforced("PTR-06", UnprotectedPosition)
    if rule is None or not w.enter():
        return None
    return w.held_after(1) | w.held_after(rule.alarm_s + 1)


def _alone(w: ProbeWorld) -> frozenset[str]:
    """Nobody is heard: the first late look is riskd's own pause, the second is not."""
    rule = w.limits.enforced("PTR-07", Dependencies)
    return w.held_after(0 if rule is None else rule.pause_s + 1) | w.held_after(1)


def _full_disk(w: ProbeWorld) -> frozenset[str]:
    w.gate.journal_measured(JournalHealth(0, 0, 0, 0), w.now_ns)
    return w.held_after(1)


def _late(w: ProbeWorld) -> frozenset[str] | None:
    rule = w.limits.enforced("PTR-09", AckLatency)
    if rule is None or rule.min_orders > MOST_REPEATS:
        return None
    for _ in range(rule.min_orders):
        w.gate.state.flow.acknowledged((rule.max_p99_ms + 1) * 10**6, w.now_ns)
    return w.held_after(1)


def _overprivileged(w: ProbeWorld) -> frozenset[str]:
    w.status(alarms=(VenueAlarm("KEY_OVERPRIVILEGED", "", "probe", False),))
    return w.held()


# ---- the eyes


def _look(w: ProbeWorld, number: int, *orders: SeenOrder, **more: Decimal) -> None:
    """The eyes report these orders, and so much more of each asset than our books have."""
    venue, ours = w.instrument.venue, w.gate.state.portfolio.balances
    held = {asset: Decimal(units) / UNIT for (where, asset), units in ours.items() if where == venue}
    for asset, amount in more.items():
        held[asset] = held.get(asset, Decimal(0)) + amount
    rows = tuple(Balance(asset, amount, Decimal(0)) for asset, amount in held.items())
    look = VenueLook(venue, "main", w.now_ns, w.now_ns, orders, (), rows)
    w.gate.look(LookReport(w.born_ns, number, (look,)), w.now_ns)


def _stranger(w: ProbeWorld, client_order_id: str) -> frozenset[str]:
    """The venue shows an order that execd, which is heard well, never tells of."""
    order: dict[str, Any] = {"qty": _LOT, "price": PRICE, "stop_price": None, "filled_qty": Decimal(0)}
    seen = SeenOrder(
        "v1", client_order_id, w.instrument.instrument_id, "X", Side.BUY, is_open=True, event_time_ns=w.now_ns, **order
    )
    w.say(ping=LeasePing(1, w.now_ns))
    _look(w, 1, seen)
    for number in range(HEARD_BEFORE_JUDGING + 1):
        w.say(ping=LeasePing(2 + number, w.now_ns))
    return w.held()


def _unapproved(w: ProbeWorld) -> frozenset[str]:
    return _stranger(w, make_client_order_id(ClientOrderIdParts(strategy_code(w.strategy_id), 1, 1), bytes(32)))


def _foreign(w: ProbeWorld) -> frozenset[str]:
    return _stranger(w, "by-hand")


def _drifting(w: ProbeWorld) -> frozenset[str]:
    """Two looks agree with our books; then the venue holds more of both assets, in two more looks."""
    w.say(ping=LeasePing(1, w.now_ns))
    for number in range(1, 5):
        w.now_ns += 3 * NS_PER_S
        w.status()
        more = {} if number < 3 else {w.instrument.base: Decimal(1), w.instrument.quote: CASH}
        _look(w, number, **more)
    return w.held()


EVENT_PROBES: Final[tuple[tuple[Probe, tuple[str, ...]], ...]] = (
    (_ruined, ("PNL-02", "PNL-03", "PNL-04", "PNL-05", "PNL-07")),
    (_losing, ("PNL-06",)),
    (_overpaying, ("PNL-08",)),
    (_miscounted, ("PNL-09",)),
    (_aged, ("POS-14",)),
    (_unapproved, ("PTR-01",)),
    (_misfilled, ("PTR-02",)),
    (_drifting, ("PTR-03", "PTR-04")),
    (_foreign, ("PTR-05",)),
    (_unprotected, ("PTR-06",)),
    (_alone, ("PTR-07",)),
    (_full_disk, ("PTR-08",)),
    (_late, ("PTR-09",)),
    (_overprivileged, ("PTR-10",)),
)  # fmt: skip
