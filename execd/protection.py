"""Protection: for every filled entry an order rests at the venue that closes it, within riskd's grant (PTR-06, I8).

One `Guarded` per entry. `_step` compares what should rest with what rests and does the next single thing; it runs after
every order event of the entry, on timers, and after reconciliation. It never guesses: while an order is UNKNOWN it
waits, and the clock of the unprotected position runs on, up to the emergency exit. The software second line watches
the best price.
"""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from typing import Final

from execd.gateway import CancelPurpose
from execd.guarded import Guarded, Watch
from execd.guarded_book import GuardedBook
from execd.orders import Order
from execd.positions import base_fee
from execd.protection_orders import ProtectionOrders
from execd.records import ReadKind, RecordType
from execd.settings import NS_PER_MS
from execd.state import DeskState
from tradebot.core.approvals import GrantTerms, ProtectionGrant
from tradebot.core.instruments import Product
from tradebot.core.order_events import OrderEvent
from tradebot.core.orders import OrderEventKind, OrderRole, OrderStatus, OrderType, Side
from tradebot.core.protection import protectable_qty
from tradebot.wire.approvals import open_grant
from tradebot.wire.execd_records import grant_bytes, pack_parts

UNPROTECTED: Final = "UNPROTECTED_POSITION"
"""Alarm of an instrument; its all-clear ends riskd's hold."""
ZERO = Decimal(0)
_RESTING = (OrderStatus.NEW, OrderStatus.PARTIALLY_FILLED)

CLOSERS: Final = (OrderRole.EXIT, OrderRole.REDUCE, OrderRole.LIQUIDATION)
"""Fills of these shrink positions that others' orders protect."""


class Protection:
    """All guarded entries."""

    def __init__(self, state: DeskState) -> None:
        self._state = state
        self._settings = state.settings.protection
        self.orders = ProtectionOrders(state)
        self.book = GuardedBook(self._settings, self.orders.renewing)

    # ---- grants

    def grant(
        self, entry: Order, grant: ProtectionGrant, terms: GrantTerms | None = None, *, journal: bool = True
    ) -> None:
        """Take a grant: with the entry's approval, renewed, or restored; `terms` if it was verified already."""
        terms = terms or open_grant(grant, self._state.gateway.keys)
        self.book.give(self.book.of_entry(entry), grant, terms)
        self.orders.renewing.discard(terms.grant_id)
        if journal:
            self._state.record(RecordType.GRANT, pack_parts(entry.id.encode(), grant_bytes(grant)))

    def renewed(self, grant: ProtectionGrant) -> bool:
        """Take a grant from riskd outside an answer; return False when its entry is not known."""
        terms = open_grant(grant, self._state.gateway.keys)
        entry = self.entry(terms.entry_client_order_id)
        if entry is None:
            return False
        self.grant(entry, grant, terms)
        return True

    def entry(self, client_order_id: str) -> Order | None:
        """Return an entry: what is still protected is known however many orders have ended since."""
        guarded = self.book.entries.get(client_order_id)
        return self._state.orders.get(client_order_id) if guarded is None else guarded.entry

    # ---- order events

    def fold(self, order: Order, event: OrderEvent) -> Guarded | None:
        """Keep quantities and references; no decisions. Live and at restore."""
        role = order.facts.role
        guarded: Guarded | None = None
        if role is OrderRole.ENTRY:
            if event.execution is None and order.id not in self.book.entries:
                return None
            guarded = self.book.of_entry(order)
        elif role in (OrderRole.PROTECTION, OrderRole.EMERGENCY_EXIT):
            guarded = self.book.protected_by(order.id)
            if guarded is None:
                guarded = self.book.entries.get(order.facts.protects_client_order_id)
                if guarded is not None:
                    self.book.adopt(guarded, order)
            elif order.working and all(known is not order for known in guarded.orders):
                guarded.orders.append(order)  # it had ended, and works after all
        execution = event.execution
        if execution is None:
            return guarded
        if guarded is not None:
            self.book.touch(guarded)
        fee = base_fee(execution, self._state.instruments[execution.instrument_id])
        if role is OrderRole.ENTRY and guarded is not None:
            guarded.open_qty += execution.qty - (fee if execution.side is Side.BUY else -fee)
        elif guarded is not None:
            guarded.open_qty = max(ZERO, guarded.open_qty - execution.qty)
        else:
            self._close_fifo(order, execution.qty)
        return guarded

    def _close_fifo(self, order: Order, qty: Decimal) -> None:
        """An exit closes its strategy's entries, oldest first."""
        for guarded in self.book.of_position(order.facts.strategy_id, order.facts.terms.instrument_id):
            if guarded.entry.facts.terms.side is order.facts.terms.side:
                continue
            closed = min(guarded.open_qty, qty)
            guarded.open_qty -= closed
            qty -= closed
            self.book.touch(guarded)
            if not qty:
                return

    def after_event(self, order: Order, event: OrderEvent, now_ns: int) -> None:
        """Decide after an event that `fold` has seen."""
        guarded = self.book.of_order(order.id)
        if guarded is None:
            if order.facts.role in CLOSERS and event.execution is not None:
                for other in self.book.of_position(order.facts.strategy_id, order.facts.terms.instrument_id):
                    self._step(other, now_ns)
            elif order.facts.role is OrderRole.PROTECTION:
                self._cancel([order], CancelPurpose.FLAT, now_ns)  # it works after all, and its entry is long closed
            return
        if order is guarded.entry and event.execution is not None and order.working:
            guarded.settle_until_ns = guarded.settle_until_ns or now_ns + self._ms(self._settings.settle_ms)
        if event.kind is OrderEventKind.REJECTED and order is not guarded.entry:
            self._rejected(guarded, event, now_ns)
        self._step(guarded, now_ns)

    def _rejected(self, guarded: Guarded, event: OrderEvent, now_ns: int) -> None:
        if event.reason == "WOULD_TRIGGER" and guarded.watch is Watch.NORMAL:
            self._emergency(guarded, "the market is beyond the stop already", now_ns)
            return
        guarded.bound_by_free = event.reason == "INSUFFICIENT_FUNDS"
        guarded.next_try_ns = now_ns + self._ms(self._settings.retry_ms)

    # ---- the next single thing

    def _step(self, guarded: Guarded, now_ns: int) -> None:
        self.book.touch(guarded)
        live = guarded.live()
        guarded.orders = live
        if guarded.written_off:
            guarded.written_off &= {o.id for o in live if o.state.status is OrderStatus.UNKNOWN}
            live = [o for o in live if o.id not in guarded.written_off]
        target = self._target_qty(guarded)
        if guarded.frozen:
            self._cancel(live, CancelPurpose.EXIT, now_ns)
            if target:  # an exit that hangs leaves it naked: nothing may be placed, but riskd has to hear of it
                guarded.naked_since_ns = guarded.naked_since_ns or now_ns
                return
        if not target:
            self._nothing_to_protect(guarded, live, now_ns)
            return
        stop = next((o for o in live if o.facts.terms.order_type is OrderType.STOP_LIMIT), None)
        covered = (
            stop is not None
            and stop.state.status in _RESTING
            and stop.state.leaves_qty >= target
            and guarded.watch is Watch.NORMAL
        )
        if covered:
            guarded.naked_since_ns, guarded.retried = 0, False
            if guarded.alarmed:
                self._clear_alarm(guarded)
        elif not guarded.naked_since_ns:
            guarded.naked_since_ns = now_ns
        guarded.flat_since_ns = 0
        if live:
            self._tend(guarded, live, stop, target, now_ns)
        elif self._settled(guarded, now_ns) and now_ns >= guarded.next_try_ns:
            self.orders.place(guarded, target, now_ns)

    def _tend(self, guarded: Guarded, live: list[Order], stop: Order | None, target: Decimal, now_ns: int) -> None:
        """Orders are out: leave them, or take them down so that the next step can place better ones."""
        if guarded.watch is Watch.EMERGENCY:
            resting = [o for o in live if o.facts.role is OrderRole.PROTECTION]
            self._cancel(resting, CancelPurpose.EMERGENCY, now_ns)
            return
        if any(o.facts.role is OrderRole.EMERGENCY_EXIT for o in live):
            return
        spare = [o for o in live if o.facts.terms.order_type is OrderType.STOP_LIMIT and o is not stop]
        if spare:  # one that was written off works after all
            self._cancel(spare, CancelPurpose.RESIZE, now_ns)
            return
        wrong_size = stop is None or stop.state.leaves_qty != target
        if wrong_size and self._settled(guarded, now_ns):
            self._cancel(live, CancelPurpose.RESIZE, now_ns)

    def _cancel(self, orders: Sequence[Order], purpose: CancelPurpose, now_ns: int) -> None:
        """Cancel once; of a list one leg is enough, the venue takes down the other."""
        lists: set[str] = set()
        for order in orders:
            if order.state.status not in _RESTING or (order.list_id and order.list_id in lists):
                continue
            lists.add(order.list_id)
            self._state.cancel(order, purpose.name, now_ns, purpose)

    def _nothing_to_protect(self, guarded: Guarded, live: list[Order], now_ns: int) -> None:
        guarded.naked_since_ns = guarded.breach_since_ns = 0
        if guarded.alarmed:
            self._clear_alarm(guarded)
        if guarded.open_qty and not guarded.dust_told and not guarded.entry.working:
            guarded.dust_told = True
            self._state.notice(
                "info", "position_dust", f"{guarded.instrument_id} {guarded.open_qty} is below the minimum"
            )
        resting = [o for o in live if o.facts.role is OrderRole.PROTECTION]
        if resting:
            guarded.flat_since_ns = guarded.flat_since_ns or now_ns
            if now_ns - guarded.flat_since_ns < self._ms(self._settings.retry_ms):
                resting = [o for o in resting if not o.list_id]
            self._cancel(resting, CancelPurpose.FLAT, now_ns)
        elif not live and not guarded.entry.working:
            self._forget(guarded)

    def _forget(self, guarded: Guarded) -> None:
        """A closed entry is kept only when fills may still come to it through the order table."""
        if not guarded.open_qty:
            self.book.forget(guarded)

    def _target_qty(self, guarded: Guarded) -> Decimal:
        instrument = self._state.instruments[guarded.instrument_id]
        fraction = guarded.terms.stop_loss_fraction if guarded.terms is not None else None
        entry = guarded.entry
        side = entry.facts.terms.side.opposite
        return protectable_qty(guarded.open_qty, entry.state.avg_price, side, fraction, instrument)

    def _settled(self, guarded: Guarded, now_ns: int) -> bool:
        """An entry that still works may fill more in a moment: wait briefly instead of resizing for each fill."""
        if not guarded.entry.working:
            return True
        if now_ns < guarded.settle_until_ns:
            return False
        guarded.settle_until_ns = 0
        return True

    # ---- second line and deadlines

    def quote_moved(self, instrument_id: str, now_ns: int) -> None:
        """Look at the stops of one instrument after its best prices changed."""
        for guarded in self.book.granted(instrument_id):
            if guarded.terms is None or guarded.watch is Watch.EMERGENCY or guarded.frozen:
                continue
            use = self._state.gateway.use_of(guarded.terms.grant_id)
            if use is None or use.stop_price is None or not guarded.orders:
                continue
            self._look_at_stop(guarded, guarded.terms.side, use.stop_price, now_ns)

    def _look_at_stop(self, guarded: Guarded, side: Side, stop: Decimal, now_ns: int) -> None:
        price = self._state.quotes.opposite(guarded.instrument_id, side)
        if price is None:
            return
        self.book.touch(guarded)
        beyond = (stop - price) * side.opposite.sign
        if beyond < 0:
            guarded.breach_since_ns = 0
        elif beyond * 10_000 >= stop * self._settings.breach_bps:
            self._emergency(
                guarded, f"best price {price} is {self._settings.breach_bps} bps beyond the stop {stop}", now_ns
            )
            self._step(guarded, now_ns)
        else:
            guarded.breach_since_ns = guarded.breach_since_ns or now_ns

    def _emergency(self, guarded: Guarded, why: str, now_ns: int) -> None:
        if guarded.watch is Watch.EMERGENCY:
            return
        guarded.watch = Watch.EMERGENCY
        guarded.next_try_ns = now_ns
        self._state.notice("error", "emergency_exit", f"{guarded.instrument_id} entry {guarded.entry.id}: {why}")

    def handle_timer(self, now_ns: int) -> None:
        """Deadlines of guarded entries."""
        for guarded in self.book.take_due(now_ns):
            self._deadlines(guarded, now_ns)
            self._step(guarded, now_ns)
            self._renew(guarded, now_ns)

    def _deadlines(self, guarded: Guarded, now_ns: int) -> None:
        breach_ns = 0 if guarded.frozen else guarded.breach_since_ns
        if breach_ns and now_ns - breach_ns >= self._ms(self._settings.breach_ms):
            self._emergency(guarded, f"the stop did not fill in {self._settings.breach_ms} ms", now_ns)
        if not guarded.naked_since_ns:
            return
        naked_ns = now_ns - guarded.naked_since_ns
        if naked_ns >= self._ms(self._settings.retry_deadline_ms) and not guarded.retried:
            guarded.retried = True
            self._alarm(guarded, naked_ns)
            if guarded.frozen:
                return
            if any(o.state.status is OrderStatus.UNKNOWN for o in guarded.live()):
                guarded.balance_asked_ns = now_ns
                self._state.read(ReadKind.ACCOUNT, self._state.venue_of(guarded.instrument_id).name)
            if guarded.watch is Watch.NORMAL:
                self._cancel(guarded.live(), CancelPurpose.RESIZE, now_ns)
        ended = naked_ns >= self._ms(self._settings.emergency_deadline_ms) and not guarded.frozen
        if ended and guarded.terms is not None:
            self._emergency(guarded, "unprotected for too long", now_ns)

    def _alarm(self, guarded: Guarded, naked_ns: int) -> None:
        guarded.alarmed = True
        venue = self._state.venue_of(guarded.instrument_id)
        grant = "" if guarded.grant else ", no grant"
        detail = f"entry {guarded.entry.id}: {guarded.open_qty} unprotected for {naked_ns // NS_PER_MS} ms{grant}"
        self._state.alarm(venue, UNPROTECTED, guarded.instrument_id, detail)

    def _clear_alarm(self, guarded: Guarded) -> None:
        guarded.alarmed = False
        if any(g.alarmed and g.instrument_id == guarded.instrument_id for g in self.book.entries.values()):
            return  # the all-clear is the instrument's: another entry still has no stop
        venue = self._state.venue_of(guarded.instrument_id)
        self._state.alarm(venue, UNPROTECTED, guarded.instrument_id, cleared=True)

    def _renew(self, guarded: Guarded, now_ns: int) -> None:
        """Ask riskd for a new grant before the old one ends, or for one that was lost."""
        if self._state.link.welcomed and self.book.wants_renewal(guarded, now_ns):
            self.orders.ask_renewal(guarded)

    def session_started(self) -> None:
        """Renewals asked of an earlier session are asked again."""
        self.orders.renewing.clear()
        self.book.touch_all()

    def next_timer_ns(self) -> int | None:
        """Return when something may be due."""
        return self.book.next_timer_ns()

    # ---- exits

    def protecting(self, strategy_id: str, instrument_id: str, side: Side) -> list[Order]:
        """Return the working orders that protect a strategy's position against which an exit of `side` would run."""
        return [
            order
            for guarded in self.book.of_position(strategy_id, instrument_id)
            if guarded.entry.facts.terms.side is side.opposite
            for order in guarded.live()
        ]

    def has_grants(self, strategy_id: str, instrument_id: str) -> bool:
        """Return whether anything of this position is protected by a grant."""
        return any(g.grant is not None and g.open_qty for g in self.book.of_position(strategy_id, instrument_id))

    def freeze(self, strategy_id: str, instrument_id: str, now_ns: int) -> None:
        """An exit takes over: take the protection down and place none."""
        for guarded in self.book.of_position(strategy_id, instrument_id):
            guarded.frozen = True
            self.book.touch(guarded)
            self._cancel(guarded.live(), CancelPurpose.EXIT, now_ns)

    def thaw(self, strategy_id: str, instrument_id: str, now_ns: int) -> None:
        """The exit is over: protect what is left."""
        for guarded in self.book.of_position(strategy_id, instrument_id):
            guarded.frozen = guarded.retried = False
            guarded.naked_since_ns = guarded.next_try_ns = 0
            self._step(guarded, now_ns)

    def slots_full(self, instrument_id: str) -> bool:
        """Return whether one more protected position would need more stops than the venue takes per market."""
        used = 0
        for guarded in self.book.granted(instrument_id):
            if guarded.open_qty and guarded.terms is not None:
                used += 1 if guarded.terms.take_profit_fraction is None else 2
        return used >= self._settings.max_stops_per_instrument

    def is_naked(self, instrument_id: str) -> bool:
        """Return whether anything in a market is without its stop now."""
        return any(g.naked_since_ns and g.instrument_id == instrument_id for g in self.book.entries.values())

    def is_last_protection(self, order: Order) -> bool:
        """Return whether an open position would lose its stop with this order."""
        guarded = self.book.protected_by(order.id)
        return guarded is not None and bool(self._target_qty(guarded))

    def stop_price(self, strategy_id: str, instrument_id: str) -> Decimal | None:
        """Return the tightest resting stop of a position, for views."""
        stops = [
            order.facts.terms.stop_price
            for guarded in self.book.of_position(strategy_id, instrument_id)
            for order in guarded.orders
            if order.state.status in _RESTING and order.facts.terms.order_type is OrderType.STOP_LIMIT
        ]
        return max((stop for stop in stops if stop is not None), default=None)

    def account_read(self, venue: str, now_ns: int) -> None:
        """A fresh account was read: it may prove that an UNKNOWN stop does not rest.

        On spot a resting sell locks what it sells. When no more is locked than our confirmed orders explain, an order
        of unproven outcome is not there, and its place may be taken without any risk of selling twice.
        """
        for guarded in list(self.book.entries.values()):
            if not guarded.balance_asked_ns or self._state.venue_of(guarded.instrument_id).name != venue:
                continue
            asked_ns, guarded.balance_asked_ns = guarded.balance_asked_ns, 0
            window_ns = self._ms(self._state.settings.recv_window_ms)
            for order in guarded.live():
                sent_ns = order.sent_ns or guarded.naked_since_ns
                in_doubt = order.state.status is OrderStatus.UNKNOWN and asked_ns - sent_ns > window_ns
                if in_doubt and self._locks_nothing(order):
                    guarded.written_off.add(order.id)
            self._step(guarded, now_ns)

    def _locks_nothing(self, order: Order) -> bool:
        instrument = self._state.instruments[order.facts.terms.instrument_id]
        if instrument.product is not Product.SPOT or order.facts.terms.side is not Side.SELL:
            return False
        balance = self._state.venue_of(instrument.instrument_id).balances.get(instrument.base)
        locked = balance.locked if balance else ZERO
        explained, lists = ZERO, set()
        for other in self._state.orders.working():
            terms = other.facts.terms
            resting = terms.side is Side.SELL and other.was_sent and other.state.status is not OrderStatus.UNKNOWN
            if not resting or self._state.instruments[terms.instrument_id].base != instrument.base:
                continue
            if other.list_id and other.list_id in lists:
                continue
            lists.add(other.list_id)
            explained += other.state.leaves_qty
        return locked < explained + instrument.lot_size

    def audit(self, now_ns: int) -> None:
        """Step every entry: after reconciliation, orders may have gone."""
        for guarded in list(self.book.entries.values()):
            self._step(guarded, now_ns)

    @staticmethod
    def _ms(milliseconds: int) -> int:
        return milliseconds * NS_PER_MS
