"""Reconciliation: what the venue holds against what we hold, at start, after every reconnect, and once a minute.

The user stream is open before anything is read, so nothing falls between. History rows bind venue ids, trades fill
holes, rows move orders, and only orders that were sent well before the read began can be missing in it. What the venue
lists as open although it ended here well before is asked for alone: a list proves nothing against an end. The venue
owns quantity: a difference is an alarm for riskd, never an invented trade.
"""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from typing import Final

from execd.orders import Order
from execd.records import ReadJob, ReadKind, RecordType
from execd.settings import NS_PER_MS, NS_PER_S
from execd.state import DeskState, VenueState
from execd.unknown import UnknownTracker
from execd.venue_events import VenueEvents
from tradebot.core.accounts import AccountSnapshot, Balance
from tradebot.core.instruments import Product
from tradebot.core.orders import OrderStatus
from tradebot.venues.api_orders import AccountRows, BalanceUpdate, TransferUpdate, VenueOrder, VenueSnapshot

READ_MARGIN_NS: Final = NS_PER_S
"""An order sent later than this before a read began may rightly be missing in it; one that ended later, be in it."""
MAX_ASKED_ALONE: Final = 20
"""Orders asked for alone after one read; of more the next read tells again."""
MISMATCH: Final = "POSITION_MISMATCH"
"""Alarm of a venue; its all-clear ends riskd's hold."""
_ZERO: Final = Decimal(0)


class Reconciler:
    """One for all venues."""

    def __init__(self, state: DeskState, events: VenueEvents, unknown: UnknownTracker) -> None:
        self._state = state
        self._events = events
        self._unknown = unknown
        self._jobs: dict[int, str] = {}
        self._next_ns: dict[str, int] = {}
        self.watermarks: dict[str, int] = {}
        """Venue -> time up to which fills are known to be complete. Journaled."""
        self.first_looks: dict[str, int] = {}
        """Venue -> when execd first read it, ever."""
        self.baselines: dict[tuple[str, str], Decimal] = {}
        """(venue, base asset) -> balance that positions do not explain, at first sight plus transfers. Journaled."""
        self._mismatches: dict[tuple[str, str], Decimal] = {}
        self._alarmed: set[tuple[str, str]] = set()
        self.foreign_from_ns = 0
        """Orders older than this are not ours to judge."""

    # ---- asking

    def want(self, venue: VenueState, now_ns: int) -> None:
        """Read the whole private side of a venue now."""
        if venue.name in self._jobs.values():
            return
        if now_ns < venue.quiet_until_ns:
            self._next_ns[venue.name] = venue.quiet_until_ns
            return
        since_ns = self.watermarks.get(venue.name, now_ns)
        since_ms = max(0, since_ns // NS_PER_MS - self._state.settings.reconcile_overlap_ms)
        self._jobs[self._state.read(ReadKind.SNAPSHOT, venue.name, since_ms=since_ms)] = venue.name
        self._next_ns.pop(venue.name, None)

    def handle_timer(self, now_ns: int) -> None:
        """Start the reads that are due."""
        for venue in self._state.venues.values():
            due_ns = self._next_ns.get(venue.name)
            if venue.live and due_ns is not None and now_ns >= due_ns:
                self.want(venue, now_ns)
        if self._unknown.wants_read():
            for venue in self._state.venues.values():
                if venue.live and self._next_ns.get(venue.name, 0) > now_ns + NS_PER_S:
                    self._next_ns[venue.name] = now_ns + NS_PER_S

    def next_timer_ns(self) -> int | None:
        """Return when the next read is due."""
        venues = self._state.venues
        return min([due_ns for name, due_ns in self._next_ns.items() if venues[name].live], default=None)

    # ---- answers

    def snapshot_read(self, job: ReadJob, snapshot: VenueSnapshot | None, now_ns: int) -> None:
        """Apply a read. None: it failed and is repeated."""
        name = self._jobs.pop(job.job_id, None)
        if name is None:
            return
        venue = self._state.venues[name]
        settings = self._state.settings
        if snapshot is None or not venue.live:
            self._next_ns[name] = now_ns + settings.reconcile_retry_ms * NS_PER_MS
            return
        seen = self._apply_orders(venue, snapshot, now_ns)
        self._look_for_missing(venue, snapshot, seen, now_ns)
        self.take_account(venue, snapshot.account, now_ns, snapshot.started_ns)
        calm = self._check_balances(venue)
        venue.reconciled_ns, venue.reconciling, venue.status_dirty = now_ns, False, True
        self.set_watermark(name, snapshot.started_ns)
        self._state.record(RecordType.WATERMARK, f"{name} {snapshot.started_ns}".encode())
        wait_ms = settings.reconcile_ms if calm else settings.mismatch_reread_ms
        self._next_ns[name] = now_ns + wait_ms * NS_PER_MS

    def _apply_orders(self, venue: VenueState, snapshot: VenueSnapshot, now_ns: int) -> set[str]:
        """Bind rows to orders, book missing trades, then move the orders."""
        rows: list[tuple[Order, VenueOrder]] = []
        by_venue_id: dict[tuple[str, str], Order] = {}
        for row in snapshot.orders:
            is_open = (row.venue_symbol, row.venue_order_id) in snapshot.open_keys
            if (
                not is_open
                and row.event_time_ns < self.foreign_from_ns
                and self._state.orders.get(row.client_order_id) is None
            ):
                continue
            order = self._events.stranger_or_order(venue.name, row)
            if order is not None:
                self._events.bind(order, row, now_ns)  # a trade needs the quantity that its order has
                rows.append((order, row))
                by_venue_id[row.instrument_id, row.venue_order_id] = order
        for instrument_id, trade in snapshot.trades:
            key = (instrument_id, trade.venue_order_id)
            order = by_venue_id.get(key) or self._state.orders.by_venue_id(*key)
            if order is not None:
                execution = replace(trade.execution, client_order_id=order.id)
                self._events.book(order, execution, now_ns, trade.venue_order_id)
        for order, row in rows:
            self._events.row(order, row, now_ns)
            if order.state.status is OrderStatus.PENDING_CANCEL:
                continue  # that one needs its own answer, younger than the cancel
            if self._unknown.found(order, now_ns) and not self._events.has_waiting_row(order.id):
                self._state.repeat_cancel(order, now_ns)
        self._ask_for_ended(snapshot, rows, now_ns)
        return {order.id for order, _ in rows}

    def _ask_for_ended(self, snapshot: VenueSnapshot, rows: list[tuple[Order, VenueOrder]], now_ns: int) -> None:
        """Ask for the orders that ended here and that the venue lists as open; without an answer the next read does."""
        listed = {o.id: o for o, row in rows if (row.venue_symbol, row.venue_order_id) in snapshot.open_keys}
        ended_before_ns = snapshot.started_ns - READ_MARGIN_NS
        ended = [o for o in listed.values() if not o.working and o.state.updated_ns < ended_before_ns]
        for order in ended[:MAX_ASKED_ALONE]:
            self._state.query(order, now_ns)

    def _look_for_missing(self, venue: VenueState, snapshot: VenueSnapshot, seen: set[str], now_ns: int) -> None:
        for order in self._state.orders.working():
            if order.id in seen or self._state.venue_of(order.facts.terms.instrument_id) is not venue:
                continue
            if not order.was_sent and order.state.status is not OrderStatus.UNKNOWN:
                continue  # still being asked
            if order.sent_ns > snapshot.started_ns - READ_MARGIN_NS:
                continue
            self._unknown.absent_in_read(order, snapshot.started_ns, now_ns)
            if order.working:
                self._unknown.doubt(order, now_ns, at_once=True)

    def set_watermark(self, venue: str, time_ns: int) -> None:
        """Fills are known to be complete up to here, live or before a restart."""
        self.watermarks[venue] = time_ns
        self.first_looks.setdefault(venue, time_ns)

    # ---- balances

    def take_account(self, venue: VenueState, account: AccountRows, now_ns: int, as_of_ns: int) -> None:
        """Take all balances and tell riskd."""
        held = {balance.asset: balance for balance in account.balances}
        for asset in venue.balances:
            held.setdefault(asset, Balance(asset, _ZERO, _ZERO))
        venue.balances = held
        self._report(venue, tuple(held.values()), complete=True, event_time_ns=account.event_time_ns or as_of_ns)

    def balance_update(self, venue: VenueState, update: BalanceUpdate) -> None:
        """Take the balances that changed and tell riskd."""
        venue.balances.update({balance.asset: balance for balance in update.balances})
        self._report(venue, update.balances, complete=False, event_time_ns=update.event_time_ns)

    def transfer(self, venue: VenueState, update: TransferUpdate) -> None:
        """Take a deposit or withdrawal: it moves the baseline, and riskd's day-start equity."""
        key = (venue.name, update.asset)
        if key in self.baselines:
            self._set_baseline(key, self.baselines[key] + update.delta)
        balance = venue.balances.get(update.asset, Balance(update.asset, _ZERO, _ZERO))
        self._report(venue, (balance,), complete=False, event_time_ns=update.event_time_ns, transfer=update)

    def _report(
        self,
        venue: VenueState,
        balances: tuple[Balance, ...],
        *,
        complete: bool,
        event_time_ns: int,
        transfer: TransferUpdate | None = None,
    ) -> None:
        state = self._state
        snapshot = AccountSnapshot(
            venue.name,
            venue.account,
            balances,
            complete,
            event_time_ns,
            state.orders.log.head,
            transfer.asset if transfer else "",
            transfer.delta if transfer else _ZERO,
        )
        if state.link.welcomed:
            state.out.up.accounts.append(snapshot)
            state.out.up_dirty = True

    def resend_account(self, venue: VenueState, now_ns: int) -> None:
        """Tell a new riskd session everything."""
        if venue.balances:
            self._report(venue, tuple(venue.balances.values()), complete=True, event_time_ns=now_ns)

    def _check_balances(self, venue: VenueState) -> bool:
        """Compare base balances with positions; a difference counts when two reads in a row show the same one."""
        calm = True
        spot = (i for i in self._state.instruments.values() if i.venue == venue.name and i.product is Product.SPOT)
        bases = {i.base: i for i in spot}
        for base, instrument in bases.items():
            key = (venue.name, base)
            balance = venue.balances.get(base)
            total = balance.total if balance else _ZERO
            difference = total - self._state.orders.positions.of_base(base)
            if key not in self.baselines:
                self._set_baseline(key, difference)
                continue
            drift = difference - self.baselines[key]
            if abs(drift) < instrument.lot_size:
                self._mismatches.pop(key, None)
                if key in self._alarmed:
                    self._alarmed.discard(key)
                    if not any(name == venue.name for name, _ in self._alarmed):  # the hold is the whole venue's
                        self._state.alarm(venue, MISMATCH, instrument.instrument_id, cleared=True)
            elif self._mismatches.get(key) == drift:
                if key not in self._alarmed:
                    self._alarmed.add(key)
                    detail = f"{base}: venue {total}, ours {total - drift} (positions and baseline)"
                    self._state.alarm(venue, MISMATCH, instrument.instrument_id, detail)
            else:
                self._mismatches[key] = drift
                calm = False
        return calm

    def has_mismatch(self, venue: str) -> bool:
        """Return whether the last read showed a balance that nothing explains."""
        return any(name == venue for name, _ in (*self._mismatches, *self._alarmed))

    def _set_baseline(self, key: tuple[str, str], amount: Decimal) -> None:
        self.baselines[key] = amount
        self._state.record(RecordType.BASELINE, f"{key[0]} {key[1]} {amount}".encode())
