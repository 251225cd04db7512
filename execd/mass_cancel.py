"""Mass cancels for riskd's kills: take a scope's orders down, then show what the venue itself still lists.

Protection stays at the venue as long as there is a position to protect. Orders whose cancel is on its way, or whose
outcome is unproven, are left to the trackers that query and repeat already. The evidence is a read of its own, younger
than the command, and not our order table: what the venue shows and the table does not know makes it reconcile.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

from execd.gateway import CancelPurpose
from execd.orders import Order
from execd.reconcile import Reconciler
from execd.records import ReadJob, ReadKind
from execd.state import DeskState, VenueState
from tradebot.core.ids import parse_client_order_id
from tradebot.core.levels import Scope, ScopeKind
from tradebot.core.mass_cancel import (
    MAX_LISTED_ORDERS,
    MassCancel,
    MassCancelReport,
    OpenOrder,
    VenueHolding,
    VenueRead,
)
from tradebot.core.orders import OrderRole, OrderStatus
from tradebot.venues.api_orders import VenueOrder, VenueSnapshot

MAX_OPEN_KILLS: Final = 32
"""Kills whose venues are being read at once; a further one is read when riskd repeats it."""
REASON: Final = "KILLED"
_TENDED: Final = (OrderStatus.PENDING_CANCEL, OrderStatus.UNKNOWN)


@dataclass(slots=True)
class _Reading:
    """The venues that one attempt asked for."""

    command: MassCancel
    canceled: int
    waiting: dict[int, str] = field(default_factory=dict)
    """Job -> venue."""
    since_ns: int = 0
    reads: list[VenueRead] = field(default_factory=list)


class MassCanceler:
    """See the module."""

    def __init__(self, state: DeskState, reconciler: Reconciler) -> None:
        self._state = state
        self._reconciler = reconciler
        self._readings: dict[str, _Reading] = {}
        """By kill: one read at a time, however often riskd repeats itself."""

    def command(self, command: MassCancel, now_ns: int) -> None:
        """Cancel, answer, and read the venues when that is wanted."""
        canceled = sum(self._cancel(order, command, now_ns) for order in self._orders(command.scope))
        self._report(command, canceled, [])
        if command.read_venues and command.kill_id not in self._readings and len(self._readings) < MAX_OPEN_KILLS:
            self._read_venues(_Reading(command, canceled, since_ns=now_ns), now_ns)

    def session_lost(self) -> None:
        """Nobody waits for what is being read."""
        self._readings.clear()

    # ---- canceling

    def _orders(self, scope: Scope) -> Iterator[Order]:
        for order in self._state.orders.working():
            facts = order.facts
            venue = self._state.venue_of(facts.terms.instrument_id).name
            if scope.covers(venue, facts.terms.instrument_id, facts.strategy_id):
                yield order

    def _cancel(self, order: Order, command: MassCancel, now_ns: int) -> int:
        """Cancel one order; return how many cancels left for the venue."""
        purpose = None
        if order.cancel_wanted and order.state.status in _TENDED:
            return 0
        if order.facts.role is OrderRole.REDUCE and not command.read_venues:
            return 0  # riskd's closing orders end by themselves; one that is there at the end does not belong there
        if order.facts.role is OrderRole.PROTECTION:
            # Of a list the venue takes the second leg down itself: the first attempt does not get in its way.
            if not self._is_flat(order) or (order.list_id and command.attempt <= 1):
                return 0
            purpose = CancelPurpose.FLAT
        before = len(self._state.out.sends)
        self._state.cancel(order, REASON, now_ns, purpose)
        return len(self._state.out.sends) - before

    def _is_flat(self, order: Order) -> bool:
        instrument_id = order.facts.terms.instrument_id
        held = self._state.orders.positions.qty(order.facts.strategy_id, instrument_id)
        return abs(held) < self._state.instruments[instrument_id].min_qty

    # ---- reading

    def _read_venues(self, reading: _Reading, now_ns: int) -> None:
        scope = reading.command.scope
        only = scope.name if scope.kind is ScopeKind.INSTRUMENT else ""
        for venue in self._venues(scope):
            if now_ns < venue.quiet_until_ns:
                wait_s = -(-(venue.quiet_until_ns - now_ns) // 1_000_000_000)
                reading.reads.append(VenueRead(venue.name, now_ns, f"the venue wants no requests for {wait_s} s"))
            else:
                job = self._state.read(ReadKind.OPEN_ORDERS, venue.name, instrument_id=only)
                reading.waiting[job] = venue.name
        if reading.waiting:
            self._readings[reading.command.kill_id] = reading
        else:
            self._report(reading.command, reading.canceled, reading.reads)

    def _venues(self, scope: Scope) -> list[VenueState]:
        venues = self._state.venues
        match scope.kind:
            case ScopeKind.VENUE:
                return [venues[scope.name]] if scope.name in venues else []
            case ScopeKind.INSTRUMENT:
                return [self._state.venue_of(scope.name)] if scope.name in self._state.instruments else []
            case _:
                return list(venues.values())

    def read(self, job: ReadJob, snapshot: VenueSnapshot | None, now_ns: int) -> None:
        """Take what the venue answered; None: the read failed."""
        reading = next((r for r in self._readings.values() if job.job_id in r.waiting), None)
        if reading is None:
            return
        venue = self._state.venues[reading.waiting.pop(job.job_id)]
        if snapshot is None:
            reading.reads.append(VenueRead(venue.name, reading.since_ns, "the venue did not answer the read"))
        else:
            reading.reads.append(self._evidence(venue, reading.command.scope, snapshot, now_ns))
        if not reading.waiting:
            del self._readings[reading.command.kill_id]
            self._report(reading.command, reading.canceled, reading.reads)

    def _evidence(self, venue: VenueState, scope: Scope, snapshot: VenueSnapshot, now_ns: int) -> VenueRead:
        rows = [row for row in snapshot.orders if (row.venue_symbol, row.venue_order_id) in snapshot.open_keys]
        found = [self._open_order(row) for row in rows]
        inside = [o for o in found if scope.covers(venue.name, o.instrument_id, o.strategy_id)]
        inside.sort(key=lambda order: order.role is OrderRole.PROTECTION)  # what must go is listed first
        for order in inside:
            known = self._state.orders.get(order.client_order_id)
            if order.role is not None and (known is None or not known.working):
                self._reconciler.want(venue, now_ns)  # ours, at work, and we thought otherwise
        return VenueRead(
            venue.name,
            snapshot.started_ns,
            open_count=len(inside),
            open_orders=tuple(inside[:MAX_LISTED_ORDERS]),
            holdings=tuple(self._holdings(venue, scope, snapshot)),
        )

    def _open_order(self, row: VenueOrder) -> OpenOrder:
        known = self._state.orders.get(row.client_order_id)
        if known is not None:
            facts = known.facts
            return OpenOrder(row.venue_order_id, row.client_order_id, row.instrument_id, facts.strategy_id, facts.role)
        ours = parse_client_order_id(row.client_order_id, self._state.id_key) is not None
        role = OrderRole.ENTRY if ours else None  # ours and forgotten: the worst it can be
        return OpenOrder(row.venue_order_id, row.client_order_id, row.instrument_id, "", role)

    def _holdings(self, venue: VenueState, scope: Scope, snapshot: VenueSnapshot) -> Iterator[VenueHolding]:
        totals = {balance.asset: balance.total for balance in snapshot.account.balances}
        bases = {i.base: i for i in self._state.instruments.values() if i.venue == venue.name}
        narrow = scope.kind is ScopeKind.INSTRUMENT
        for base, instrument in bases.items():
            baseline = self._reconciler.baselines.get((venue.name, base))
            if baseline is None or (narrow and self._state.instruments[scope.name].base != base):
                continue
            booked = self._state.orders.positions.of_base(base)
            at_venue = totals.get(base, booked * 0) - baseline
            yield VenueHolding(instrument.instrument_id, at_venue, booked, instrument.lot_size)

    def _report(self, command: MassCancel, canceled: int, reads: list[VenueRead]) -> None:
        state = self._state
        if not state.link.welcomed:
            return
        report = MassCancelReport(
            command.kill_id,
            command.attempt,
            state.link.levels.epoch,
            state.orders.log.head,
            canceled,
            tuple(reads),
        )
        state.out.up.mass_cancels.append(report)
        state.out.up_dirty = True
