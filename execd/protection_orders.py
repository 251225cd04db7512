"""Making and sending protecting orders: derive, journal, wait for the disk, pass the gateway.

A derivation is durable before its order leaves, like an ASK, so a crash never leaves an order at the venue that the
journal cannot explain.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal

from execd.gateway import Blocked
from execd.guarded import Guarded, Watch
from execd.orders import Order
from execd.protection_terms import derive_prices, least_limit, stop_terms, target_terms
from execd.records import RecordType
from execd.settings import NS_PER_MS, ProtectionSettings
from execd.state import DeskState
from tradebot.core.approvals import GrantTerms
from tradebot.core.order_events import OrderFacts
from tradebot.core.orders import OrderEventKind, OrderRole, OrderTerms, OrderType, TimeInForce
from tradebot.wire.execd_records import pack_parts


@dataclass(slots=True)
class _HeldPlacement:
    """A derivation that waits for its journal record."""

    record_seq: int
    guarded: Guarded
    legs: tuple[OrderTerms, ...]
    role: OrderRole


class ProtectionOrders:
    """See the module."""

    def __init__(self, state: DeskState) -> None:
        self._state = state
        self._held: list[_HeldPlacement] = []
        self.renewing: set[str] = set()
        """Grants that riskd was asked to renew in this session."""

    def place(self, guarded: Guarded, target: Decimal, now_ns: int) -> None:
        if guarded.grant is None or guarded.terms is None:
            return  # PTR-06 alarms run on the timer
        venue = self._state.venue_of(guarded.instrument_id)
        if not venue.live or any(held.guarded is guarded for held in self._held):
            return
        if guarded.watch is Watch.EMERGENCY:  # an IOC order that found no taker must not become a storm
            guarded.next_try_ns = now_ns + self._ms(self._settings.retry_ms)
        if guarded.bound_by_free and self._state.sells_base(guarded.instrument_id, guarded.terms.side):
            instrument = self._state.instruments[guarded.instrument_id]
            target = min(
                target, instrument.qty(instrument.qty_lots_floor(self._state.free_base(guarded.instrument_id)))
            )
            guarded.bound_by_free = False
            if not target:
                return
        if guarded.watch is Watch.EMERGENCY:
            legs, role = self._emergency_legs(guarded, guarded.terms, target), OrderRole.EMERGENCY_EXIT
        else:
            legs, role = self._protection_legs(guarded, guarded.terms, target), OrderRole.PROTECTION
        if not legs:
            return
        parts = []
        for leg in legs:
            guarded.child_index += 1
            facts = OrderFacts(
                leg,
                guarded.strategy_id,
                guarded.entry.facts.intent_id,
                guarded.child_index,
                role,
                now_ns,
                guarded.entry.id,
                guarded.entry.facts.trace_id,
            )
            detail = f"grant {guarded.terms.grant_id}: {_derivation(guarded, leg)}"
            raw_event = self._state.emit(
                leg.client_order_id,
                OrderEventKind.ASKED,
                now_ns,
                facts=facts,
                reason="DERIVED",
                detail=detail,
                journal=False,
            )
            parts.append(raw_event)
        seq = self._state.record(RecordType.DERIVATION, pack_parts(pack_parts(*parts), bytes([len(parts)])))
        placement = _HeldPlacement(seq, guarded, legs, role)
        if seq <= self._state.durable_seq:
            self._send(placement, now_ns)
        else:
            self._held.append(placement)

    def _protection_legs(self, guarded: Guarded, terms: GrantTerms, target: Decimal) -> tuple[OrderTerms, ...]:
        state = self._state
        instrument = state.instruments[guarded.instrument_id]
        use = state.gateway.use_of(terms.grant_id)
        tightest = use.stop_price if use else None
        prices = derive_prices(terms, guarded.entry.state.avg_price, tightest, instrument)
        if prices is None:
            return ()
        stop = stop_terms(terms, prices, target, state.new_client_order_id(guarded.strategy_id))
        leg = target_terms(terms, prices, target, state.new_client_order_id(guarded.strategy_id), instrument)
        return (stop,) if leg is None else (stop, leg)

    def _emergency_legs(self, guarded: Guarded, terms: GrantTerms, target: Decimal) -> tuple[OrderTerms, ...]:
        state = self._state
        reference = self.reference(guarded, terms)
        if reference is None:
            return ()
        bound = terms.emergency_bound_bps or self._settings.emergency_bound_bps
        limit = state.quotes.bounded_limit(guarded.instrument_id, terms.side, reference, bound)
        limit = max(limit, least_limit(target, terms.side, state.instruments[guarded.instrument_id]))
        client_order_id = state.new_client_order_id(guarded.strategy_id)
        return (
            OrderTerms(
                client_order_id,
                guarded.instrument_id,
                terms.side,
                OrderType.LIMIT,
                target,
                limit,
                None,
                TimeInForce.IOC,
                False,
                True,
            ),
        )

    def reference(self, guarded: Guarded, terms: GrantTerms) -> Decimal | None:
        """Return the market price that bounds an emergency exit: the last quote, or else the stop that was missed."""
        quoted = self._state.quotes.opposite(guarded.instrument_id, terms.side)
        if quoted is not None:
            return quoted
        use = self._state.gateway.use_of(terms.grant_id)
        return use.stop_price if use else None

    @property
    def awaited_seq(self) -> int | None:
        """The record without which the first derived order cannot be sent."""
        return self._held[0].record_seq if self._held else None

    def durable(self, seq: int, now_ns: int) -> None:
        """Send the derivations that only waited for the disk."""
        if not self._held:
            return
        ready = [placement for placement in self._held if placement.record_seq <= seq]
        if ready:
            self._held = [placement for placement in self._held if placement.record_seq > seq]
            for placement in ready:
                self._send(placement, now_ns)

    def _send(self, placement: _HeldPlacement, now_ns: int) -> None:
        state, guarded = self._state, placement.guarded
        venue = state.venue_of(guarded.instrument_id)
        blocked: Blocked | None = None
        if guarded.grant is None or guarded.terms is None or not venue.live:
            blocked = Blocked("VENUE_DISCONNECTED", "the private stream is down", "STA-03")
        elif any(o.cancel_wanted for o in self._orders_of(placement)) or guarded.frozen:
            blocked = Blocked("CANCELED_BEFORE_SEND", "overtaken by an exit", "")
        else:
            request_id = state.requests.next_id()
            passed = state.gateway.pass_granted(
                guarded.grant,
                placement.legs,
                placement.role,
                guarded.open_qty,
                self.reference(guarded, guarded.terms),
                request_id,
                f"L{placement.legs[0].client_order_id}",
                venue.timestamp_ms(now_ns),
                now_ns,
            )
            if isinstance(passed, Blocked):
                blocked = passed
            elif state.settings.dry_run:
                state.record(RecordType.DRY_RUN, passed.data)
                blocked = Blocked("DRY_RUN", "stopped at the wire", "")
            else:
                state.send_passed(passed, request_id, now_ns)
        for order in self._orders_of(placement):
            if blocked is None:
                order.sent_ns = now_ns
                state.emit(order.id, OrderEventKind.SENT, now_ns)
            elif order.working:
                state.emit(
                    order.id,
                    OrderEventKind.REFUSED,
                    now_ns,
                    reason=blocked.reason,
                    detail=blocked.detail,
                    check_id=blocked.check_id,
                )
        if blocked is not None:
            guarded.next_try_ns = now_ns + self._ms(self._settings.blocked_retry_ms)
            if blocked.reason in ("GRANT_SPENT", "GRANT_EXPIRED"):
                self.ask_renewal(guarded)
            state.notice("error", "protection_blocked", f"{guarded.entry.id} {blocked.reason}: {blocked.detail}")

    def _orders_of(self, placement: _HeldPlacement) -> Iterable[Order]:
        found = (self._state.orders.get(leg.client_order_id) for leg in placement.legs)
        return [order for order in found if order is not None]

    def ask_renewal(self, guarded: Guarded) -> None:
        grant_id = guarded.grant_key
        if self._state.link.welcomed and grant_id not in self.renewing:
            self.renewing.add(grant_id)
            self._state.out.up.renew_grant_ids.append(grant_id)
            self._state.out.up_dirty = True

    @property
    def _settings(self) -> ProtectionSettings:
        return self._state.settings.protection

    @staticmethod
    def _ms(milliseconds: int) -> int:
        return milliseconds * NS_PER_MS


def _derivation(guarded: Guarded, leg: OrderTerms) -> str:
    entry = guarded.entry
    return (
        f"{leg.order_type.name} {leg.side.name} {leg.qty} stop {leg.stop_price} limit {leg.price} "
        f"from open {guarded.open_qty} at average {entry.state.avg_price} of entry {entry.id}"
    )
