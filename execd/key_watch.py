"""PTR-10: what the venue says the trading key may do, from where, and until when.

A key that may move money stops everything until an operator has looked and the venue says that it may no more. One that
works from any address, or ends soon, adds no risk: closing stays possible, and the hold ends with the next good answer.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from execd.settings import NS_PER_S
from execd.state import DeskState, VenueState
from tradebot.venues.api_orders import KeyRights

MAX_RIGHTS_AGE_NS: Final = 3 * 3_600 * NS_PER_S
"""What a key may do is asked every hour; not told for so long is as good as never."""
LEAST_LEFT_NS: Final = 7 * 86_400 * NS_PER_S
"""A key that ends within it is to be renewed before anything is added."""
UNCHECKED: Final = "KEY_UNCHECKED"
OVERPRIVILEGED: Final = "KEY_OVERPRIVILEGED"
UNBOUND: Final = "KEY_UNBOUND"
EXPIRES: Final = "KEY_EXPIRES"
ENDING: Final = (UNCHECKED, UNBOUND, EXPIRES)
"""Causes that end by themselves; riskd clears the other one by hand alone."""


class KeyWatch:
    """Tells riskd; see the module."""

    def __init__(self, state: DeskState) -> None:
        self._state = state
        self._told: set[tuple[str, str]] = set()
        """(venue, cause) that riskd was told of."""
        self._owed: set[tuple[str, str]] = set()
        """(venue, cause) that an earlier life may have told."""

    def restarted(self) -> None:
        """An earlier life may have told anything that ends by itself."""
        self._owed = {(name, cause) for name in self._state.venues for cause in ENDING}

    def read(self, venue: VenueState, rights: KeyRights | None, now_ns: int) -> None:
        """The venue told what the key may do, or (None) did not."""
        if rights is None:
            if now_ns - venue.rights_ns > MAX_RIGHTS_AGE_NS and (venue.name, UNCHECKED) not in self._told:
                self._tell(venue, UNCHECKED, f"{venue.name} does not tell what the trading key may do")
            return
        venue.rights_ns, venue.key_moves_money, venue.status_dirty = now_ns, rights.may_move_money, True
        found = dict(_problems(venue.name, rights, now_ns))
        for cause, text in found.items():
            if cause == OVERPRIVILEGED or (venue.name, cause) not in self._told:
                self._tell(venue, cause, text)
        for cause in ENDING:
            if cause not in found and (venue.name, cause) in self._told | self._owed:
                self._told.discard((venue.name, cause))
                self._state.alarm(venue, cause, detail="not so any more, the venue says", cleared=True)
        self._owed = {owed for owed in self._owed if owed[0] != venue.name}

    def _tell(self, venue: VenueState, cause: str, text: str) -> None:
        self._told.add((venue.name, cause))
        self._state.alarm(venue, cause, detail=text)


def _problems(venue: str, rights: KeyRights, now_ns: int) -> Iterator[tuple[str, str]]:
    if rights.may_move_money:
        yield OVERPRIVILEGED, f"the trading key of {venue} may withdraw or transfer"
    if not rights.address_bound:
        yield UNBOUND, f"the trading key of {venue} works from any address: bind it to ours"
    if rights.expires_ns and rights.expires_ns - now_ns < LEAST_LEFT_NS:
        days = max(0, (rights.expires_ns - now_ns) // (86_400 * NS_PER_S))
        yield EXPIRES, f"the trading key of {venue} ends in {days} days: renew it"
