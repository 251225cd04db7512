"""All guarded entries, found by entry, order, position and market, and by the time at which something is due.

An entry is looked at again only after a change, when one of its deadlines has come, or while it is *restless*:
something is missing that no event announces. So a timer costs what is due, however many entries are open.
"""

from __future__ import annotations

from collections.abc import Iterable

from execd.deadlines import Deadlines
from execd.guarded import Guarded, Watch
from execd.orders import Order
from execd.settings import NS_PER_MS, ProtectionSettings
from tradebot.core.approvals import GrantTerms, ProtectionGrant


class GuardedBook:
    """See the module."""

    def __init__(self, settings: ProtectionSettings, renewing: set[str]) -> None:
        """Make an empty book; `renewing` are the grants that riskd was asked to renew."""
        self.entries: dict[str, Guarded] = {}
        """By the entry's client order id, oldest first."""
        self._renewing = renewing
        self._by_order: dict[str, Guarded] = {}
        self._positions: dict[tuple[str, str], dict[str, Guarded]] = {}
        self._granted: dict[str, dict[str, Guarded]] = {}
        """Instrument -> entries with a grant."""
        self._deadlines = Deadlines()
        self._touched: dict[str, Guarded] = {}
        """Changed since their deadlines were computed."""
        self._restless: dict[str, Guarded] = {}
        self._timed_ns = 0
        """Timers up to here have fired."""
        self._breach_ns = settings.breach_ms * NS_PER_MS
        self._retry_ns = settings.retry_ms * NS_PER_MS
        self._retry_deadline_ns = settings.retry_deadline_ms * NS_PER_MS
        self._emergency_deadline_ns = settings.emergency_deadline_ms * NS_PER_MS
        self._renew_before_ns = settings.renew_before_ms * NS_PER_MS
        self._count = 0

    # ---- finding

    def of_order(self, client_order_id: str) -> Guarded | None:
        """Return what a protecting order protects, or what an entry is."""
        return self._by_order.get(client_order_id) or self.entries.get(client_order_id)

    def protected_by(self, client_order_id: str) -> Guarded | None:
        """Return what a protecting order protects."""
        return self._by_order.get(client_order_id)

    def of_position(self, strategy_id: str, instrument_id: str) -> list[Guarded]:
        """Return the entries of one position, oldest first."""
        return list(self._positions.get((strategy_id, instrument_id), {}).values())

    def granted(self, instrument_id: str) -> list[Guarded]:
        """Return the entries in a market that have a grant."""
        return list(self._granted.get(instrument_id, {}).values())

    # ---- changing

    def of_entry(self, entry: Order) -> Guarded:
        """Return an entry's state, made when it is new."""
        guarded = self.entries.get(entry.id)
        if guarded is None:
            self._count += 1
            guarded = self.entries[entry.id] = Guarded(entry, self._count)
            self._positions.setdefault((guarded.strategy_id, guarded.instrument_id), {})[entry.id] = guarded
        return guarded

    def give(self, guarded: Guarded, grant: ProtectionGrant, terms: GrantTerms) -> None:
        """An entry got a grant."""
        guarded.grant, guarded.terms = grant, terms
        self._granted.setdefault(guarded.instrument_id, {})[guarded.entry.id] = guarded
        self.touch(guarded)

    def adopt(self, guarded: Guarded, order: Order) -> None:
        """An order protects an entry."""
        guarded.orders.append(order)
        guarded.order_ids.append(order.id)
        guarded.child_index = max(guarded.child_index, order.facts.child_index)
        self._by_order[order.id] = guarded

    def forget(self, guarded: Guarded) -> None:
        """An entry is closed."""
        entry_id = guarded.entry.id
        self.entries.pop(entry_id, None)
        position = (guarded.strategy_id, guarded.instrument_id)
        for table, key in ((self._positions, position), (self._granted, guarded.instrument_id)):
            _drop(table, key, entry_id)  # type: ignore[arg-type]
        for client_order_id in guarded.order_ids:
            self._by_order.pop(client_order_id, None)
        self._touched.pop(entry_id, None)
        self._restless.pop(entry_id, None)
        self._deadlines.set(entry_id, None)

    def touch(self, guarded: Guarded) -> None:
        """Something about an entry may have changed."""
        self._touched[guarded.entry.id] = guarded

    def touch_all(self) -> None:
        """Something changed that concerns all of them."""
        self._touched.update(self.entries)

    # ---- time

    def take_due(self, now_ns: int) -> list[Guarded]:
        """Return the entries that a timer has to look at, oldest first; their deadlines are computed again."""
        self._settle()
        self._timed_ns = now_ns
        due = {key: self.entries[key] for key in self._deadlines.take(now_ns)} | self._restless
        self._touched.update(due)
        return sorted(due.values(), key=lambda guarded: guarded.number)

    def next_timer_ns(self) -> int | None:
        """Return when something may be due."""
        if self._touched:
            self._settle()
        return self._deadlines.next_ns()

    def _settle(self) -> None:
        for key, guarded in self._touched.items():
            if self.entries.get(key) is not guarded:
                continue
            self._deadlines.set(key, self.due_ns(guarded))
            if self.is_restless(guarded):
                self._restless[key] = guarded
            else:
                self._restless.pop(key, None)
        self._touched.clear()

    def due_ns(self, guarded: Guarded) -> int | None:
        """Return the next deadline of one entry. A time in the past needs no timer: what is missing then comes as an
        event, or the entry is restless.
        """
        return min((due_ns for due_ns in self._times(guarded) if due_ns > self._timed_ns), default=None)

    def _times(self, guarded: Guarded) -> Iterable[int]:
        if guarded.open_qty and guarded.terms is not None:
            yield guarded.terms.expires_time_ns - self._renew_before_ns
        if guarded.frozen:
            if guarded.naked_since_ns:
                yield guarded.naked_since_ns + self._retry_deadline_ns
            return
        if guarded.breach_since_ns and guarded.watch is Watch.NORMAL:
            yield guarded.breach_since_ns + self._breach_ns
        if guarded.settle_until_ns:
            yield guarded.settle_until_ns
        if guarded.naked_since_ns:
            yield guarded.next_try_ns
            yield guarded.naked_since_ns + self._retry_deadline_ns
            yield guarded.naked_since_ns + self._emergency_deadline_ns
        if guarded.flat_since_ns:
            yield guarded.flat_since_ns + self._retry_ns

    def is_restless(self, guarded: Guarded) -> bool:
        """Return whether every timer has to look: an order may become possible, or riskd asked, without an event."""
        if self.wants_renewal(guarded, self._timed_ns):
            return True
        if guarded.frozen:
            return False
        breach_ns, naked_ns = guarded.breach_since_ns, guarded.naked_since_ns
        if breach_ns and guarded.watch is Watch.NORMAL and breach_ns + self._breach_ns <= self._timed_ns:
            return True
        if not naked_ns:
            return False
        return guarded.terms is not None or not (guarded.retried or naked_ns + self._retry_deadline_ns > self._timed_ns)

    def wants_renewal(self, guarded: Guarded, now_ns: int) -> bool:
        """Return whether riskd should be asked for a new grant: the old one ends soon, or was lost."""
        terms = guarded.terms
        if not guarded.open_qty or guarded.grant_key in self._renewing:
            return False
        return terms is None or terms.expires_time_ns - now_ns <= self._renew_before_ns


def _drop(table: dict[object, dict[str, Guarded]], key: object, entry_id: str) -> None:
    """Take an entry out of a table of tables."""
    found = table.get(key)
    if found is not None:
        found.pop(entry_id, None)
        if not found:
            del table[key]
