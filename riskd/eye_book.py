"""What judging the eyes' looks needs to remember over restarts: a fold of the journal.

Which run of the eyes speaks, what each venue held at first sight, and what allowed an order that riskd was not asked
about. Protecting orders are derived from grants: a grant is remembered here longer than it is in force, since its
orders may show at the venue after it ended. What riskd decided in the last moment before a crash may be lost, while
execd's log knows its order: those moments are remembered as blind, until that log is read up to where it stood when
execd came back. What is logged later, or dated into the outage after that moment, was not decided by a dead riskd.
"""

from __future__ import annotations

from collections import deque
from typing import Final

from riskd.exposure import Cover
from riskd.records import EyesBaseline
from riskd.units import to_units_floor
from tradebot.core.approvals import GrantTerms
from tradebot.core.levels import Hold
from tradebot.core.order_events import OrderFacts
from tradebot.core.orders import OrderRole, OrderTerms, Side

MAX_GRANTS: Final = 20_000
"""Grants remembered after their end, for orders that are told late."""
MAX_LOST_ENTRIES: Final = 2_000
MAX_BLIND: Final = 200
"""Starts of riskd whose blind moments are remembered, while execd's log is not read so far."""
BLIND_BEFORE_NS: Final = 1_000_000_000
"""A decision may be lost that is a little older than the last time known to the journal."""
BLIND_AFTER_NS: Final = 61_000_000_000
"""One that is younger may be lost, too: a quiet journal learns the time once a minute."""
POSITION_DRIFT: Final = "PTR-03"
BALANCE_DRIFT: Final = "PTR-04"
DRIFTS: Final = (POSITION_DRIFT, BALANCE_DRIFT)
"""Causes of holds by whose clearing an operator accepts what the venue holds."""
_GRANTED: Final = (OrderRole.PROTECTION, OrderRole.EMERGENCY_EXIT)


class EyeBook:
    """The fold."""

    def __init__(self) -> None:
        self.epoch = 0
        """Run of the eyes that was heard last."""
        self.first_ns = 0
        """When this journal began; what venues did before is not ours to judge."""
        self.baselines: dict[str, dict[str, int]] = {}
        """Venue -> (asset or derivative instrument -> units that nothing explains)."""
        self._grants: dict[str, GrantTerms] = {}
        self._lost: dict[str, OrderTerms] = {}
        self._blind: deque[tuple[int, int, Cover]] = deque(maxlen=MAX_BLIND)
        self._log_head: int | None = None
        """Where execd's log stood at the first hello of this life; None = no hello yet."""

    def started(self, last_ns: int, now_ns: int) -> None:
        """A process starts; `last_ns` is the latest time that the journal knew before."""
        self._log_head = None
        if not self.first_ns:
            self.first_ns = now_ns
            self._blind.append((0, now_ns, Cover.BEFORE))
        else:
            self._blind.append((last_ns - BLIND_BEFORE_NS, min(now_ns, last_ns + BLIND_AFTER_NS), Cover.LOST))

    def session_began(self, applied: int, head: int) -> None:
        """execd said hello: its log stands at `head`, and we have read it up to `applied`."""
        if self._log_head is None:
            self._log_head = head
        self.log_read(applied)

    def log_read(self, sequence: int) -> None:
        """execd's log is read so far; nothing that a dead riskd decided can come after its head at the first hello."""
        if self._blind and self._log_head is not None and sequence >= self._log_head:
            self._blind.clear()

    def granted(self, terms: GrantTerms) -> None:
        """A grant was given or renewed."""
        self._grants.pop(terms.entry_client_order_id, None)
        self._grants[terms.entry_client_order_id] = terms
        while len(self._grants) > MAX_GRANTS:
            del self._grants[next(iter(self._grants))]

    def cover(self, facts: OrderFacts, at_ns: int, grant: GrantTerms | None) -> Cover:
        """Return what allowed an order that riskd hears of from execd's log; `grant` is its entry's while it lasts."""
        if facts.role in _GRANTED and self._is_granted(facts, at_ns, grant):
            return Cover.GRANT
        for begin_ns, end_ns, cover in self._blind:
            if begin_ns <= at_ns <= end_ns:
                self._lost[facts.terms.client_order_id] = facts.terms
                while len(self._lost) > MAX_LOST_ENTRIES:
                    del self._lost[next(iter(self._lost))]
                return cover
        return Cover.NONE

    def _is_granted(self, facts: OrderFacts, at_ns: int, grant: GrantTerms | None) -> bool:
        terms, grant = facts.terms, grant or self._grants.get(facts.protects_client_order_id)
        if grant is not None:
            return _fits(grant, terms, facts.role, at_ns)
        entry = self._lost.get(facts.protects_client_order_id)
        return entry is not None and _closes(terms, entry.instrument_id, entry.side.opposite, to_units_floor(entry.qty))

    def take_baseline(self, record: EyesBaseline) -> None:
        """Drift at a venue counts from here."""
        self.baselines[record.venue] = {key: to_units_floor(value) for key, value in record.amounts}

    def hold_cleared(self, hold: Hold | None, operator: str) -> None:
        """An operator who clears a drift accepts what the venue holds: the next looks make a new baseline."""
        if hold is not None and hold.cause in DRIFTS and operator != "riskd":
            self.baselines.pop(hold.scope.name, None)

    def digest(self) -> tuple[object, ...]:
        """Return what a digest of the state must cover."""
        return (
            self.epoch,
            self.first_ns,
            sorted((venue, sorted(amounts.items())) for venue, amounts in self.baselines.items()),
            sorted(self._grants),
            sorted(self._lost),
            list(self._blind),
            self._log_head,
        )


def _closes(terms: OrderTerms, instrument_id: str, side: Side, most: int) -> bool:
    return terms.instrument_id == instrument_id and terms.side is side and to_units_floor(terms.qty) <= most


def _fits(grant: GrantTerms, terms: OrderTerms, role: OrderRole, at_ns: int) -> bool:
    """Return whether an order lies within its grant. The price that bounds an emergency exit is not known here."""
    if not _closes(terms, grant.instrument_id, grant.side, to_units_floor(grant.max_qty)):
        return False
    if at_ns >= grant.expires_time_ns:
        return False
    if role is OrderRole.EMERGENCY_EXIT:
        return True
    prices = (terms.price, terms.stop_price)
    inside = all(price is None or grant.min_price <= price <= grant.max_price for price in prices)
    return inside and terms.order_type in grant.order_types
