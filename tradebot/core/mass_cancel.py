"""Mass cancels: riskd tells execd to take every order of a scope down, and hears what the venue itself still shows.

The words are FIX's (Order Mass Cancel Request and Report). A command is safe to repeat; its attempt number rises, so
that an answer that comes late or twice is known as what it is.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import Final

from tradebot.core.levels import Scope
from tradebot.core.orders import OrderRole

MAX_LISTED_ORDERS: Final = 200
"""Open orders that one report lists; `VenueRead.open_count` has them all."""


@dataclass(frozen=True, slots=True)
class MassCancel:
    """Cancel every order of a scope. Protection stays, but for that of a position which is flat."""

    kill_id: str
    """The kill that wants it."""
    attempt: int
    """Rises with each repetition."""
    scope: Scope
    read_venues: bool
    """True: ask the venue itself what is open before answering a second time."""


@dataclass(frozen=True, slots=True)
class OpenOrder:
    """An order that works at the venue, as the venue's own list says."""

    venue_order_id: str
    client_order_id: str
    instrument_id: str
    strategy_id: str = ""
    role: OrderRole | None = None
    """None: not one of ours."""


@dataclass(frozen=True, slots=True)
class VenueHolding:
    """What the venue's balances say that we hold, beside what our fills add up to. Base units, signed."""

    instrument_id: str
    at_venue: Decimal
    booked: Decimal
    step: Decimal
    """Smaller differences mean nothing."""

    @property
    def differs(self) -> bool:
        """Return whether venue and books disagree."""
        return abs(self.at_venue - self.booked) >= self.step


@dataclass(frozen=True, slots=True)
class VenueRead:
    """One fresh read of a venue: working orders of the scope and holdings."""

    venue: str
    started_ns: int
    """execd's clock, before the first request."""
    error: str = ""
    """Why it could not be read; everything below is empty then."""
    open_count: int = 0
    open_orders: tuple[OpenOrder, ...] = ()
    holdings: tuple[VenueHolding, ...] = ()


@dataclass(frozen=True, slots=True)
class MassCancelReport:
    """execd's answer to one attempt: at once, and again with `reads` when the venues were asked."""

    kill_id: str
    attempt: int
    epoch: int
    """Of the level table that execd obeys: approvals older than its fences are void."""
    order_log_head: int
    """Last order event at that time: what riskd has not folded yet, it does not know."""
    canceled: int
    """Cancels that this attempt sent."""
    reads: tuple[VenueRead, ...] = ()
