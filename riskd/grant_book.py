"""Protection grants in force, by entry and by the position that they protect: a grant ends with its position, and
looking through all of them at the end of every order would cost more the longer riskd lives.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from tradebot.core.approvals import GrantTerms

MAX_GRANTS: Final = 100_000
"""The oldest is forgotten first."""
Position = tuple[str, str]
"""Instrument, strategy."""


class GrantBook:
    """All of them, oldest first."""

    def __init__(self) -> None:
        self._grants: dict[str, GrantTerms] = {}
        """By entry's client order id."""
        self._entries: dict[Position, dict[str, None]] = {}
        self.remnants: dict[Position, int] = {}
        """Signed units that were left, too small for an order, when the last grant of a position ended: no stop was
        promised for them, and none covers them when the position grows again. Only those that are not 0."""

    def __iter__(self) -> Iterator[GrantTerms]:
        return iter(self._grants.values())

    def __len__(self) -> int:
        return len(self._grants)

    def get(self, entry_client_order_id: str) -> GrantTerms | None:
        """Return the grant of an entry while it protects something."""
        return self._grants.get(entry_client_order_id)

    def put(self, terms: GrantTerms) -> GrantTerms | None:
        """Keep a grant, or the later form of one; returns what was forgotten for it."""
        self._grants[terms.entry_client_order_id] = terms
        self._entries.setdefault(_position(terms), {})[terms.entry_client_order_id] = None
        return self.drop(next(iter(self._grants))) if len(self._grants) > MAX_GRANTS else None

    def drop(self, entry_client_order_id: str) -> GrantTerms | None:
        """Forget and return the grant of an entry, if there is one."""
        terms = self._grants.pop(entry_client_order_id, None)
        if terms is None:
            return None
        entries = self._entries[_position(terms)]
        del entries[entry_client_order_id]
        if not entries:
            del self._entries[_position(terms)]
        return terms

    def ended(self, at: Position, left: int) -> None:
        """The last grant of a position has ended and left so many units."""
        if left:
            self.remnants[at] = left
        else:
            self.remnants.pop(at, None)

    def entries_of(self, instrument_id: str, strategy_id: str) -> list[str]:
        """Return the entries whose grants protect a position."""
        return list(self._entries.get((instrument_id, strategy_id), ()))


def _position(terms: GrantTerms) -> Position:
    return terms.instrument_id, terms.strategy_id
