"""What an independent reader sees at a venue, and what it is answered. Facts without judgment; riskd judges."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal

from tradebot.core.accounts import Balance
from tradebot.core.orders import Side


@dataclass(frozen=True, slots=True)
class SeenOrder:
    """An order as the venue lists it."""

    venue_order_id: str
    client_order_id: str
    instrument_id: str
    """Empty when the symbol is none of ours."""
    venue_symbol: str
    side: Side
    qty: Decimal
    price: Decimal | None
    stop_price: Decimal | None
    filled_qty: Decimal
    is_open: bool
    event_time_ns: int
    """The venue's time of its last change."""


@dataclass(frozen=True, slots=True)
class SeenFill:
    """A fill as the venue lists it."""

    venue_order_id: str
    exec_id: str
    instrument_id: str
    side: Side
    qty: Decimal
    price: Decimal
    fee: Decimal
    """Paid > 0."""
    fee_asset: str
    event_time_ns: int


@dataclass(frozen=True, slots=True)
class SeenPosition:
    """A derivative position as the venue lists it; spot positions are balances."""

    instrument_id: str
    qty: Decimal
    """Signed."""


@dataclass(frozen=True, slots=True)
class VenueLook:
    """One complete read of one venue account, or why there is none."""

    venue: str
    account: str
    started_ns: int
    """The reader's clock before the first request."""
    finished_ns: int
    orders: tuple[SeenOrder, ...] = ()
    """Every working order, and every order taken since the last mark."""
    fills: tuple[SeenFill, ...] = ()
    balances: tuple[Balance, ...] = ()
    """Complete, read last."""
    positions: tuple[SeenPosition, ...] = ()
    error: str = ""
    """Not empty: the read failed and nothing else is set."""


@dataclass(frozen=True, slots=True)
class LookReport:
    """One report of the eyes: a look at each venue."""

    epoch: int
    """When that run of the eyes began, nanoseconds: rises with each start."""
    sequence: int
    """Rises with each report of a run."""
    looks: tuple[VenueLook, ...]


@dataclass(frozen=True, slots=True)
class LookAnswer:
    """What riskd made of a report."""

    accepted: bool
    reason: str
    marks: tuple[tuple[str, int], ...]
    """(venue, from when on the next look must read)."""
    look_again_ms: int = 0
    """Something differs: look again after this long; 0 = at the next regular time."""
