"""What the screens are given: one frozen `View` per moment, each part with how good it is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal

from console.alarms import Alarm
from console.model import Beat, BookRow, Command, Kill, Ladder, LogEntry, Pnl, Position, Strategy, VenueLink
from console.orders import OrderRow
from console.staleness import Freshness
from console.stop_state import StopCommand
from tradebot.core.levels import Hold, TradingLevel


@dataclass(frozen=True, slots=True)
class Identity:
    """Who looks at what."""

    mode: str
    """demo, paper, testnet, real."""
    operator: str
    role: str
    build: str


@dataclass(frozen=True, slots=True)
class LevelView:
    """The level in force for the whole system, as far as it is known."""

    level: TradingLevel | None
    freshness: Freshness
    holds: tuple[Hold, ...]
    holds_freshness: Freshness


@dataclass(frozen=True, slots=True)
class StopView:
    """Whether the stop path works."""

    answering: int
    total: int
    slowest_ms: float
    known: bool
    """False until every daemon was asked once."""
    silent: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class DaemonView:
    """One daemon."""

    daemon: str
    beat: Beat | None
    freshness: Freshness
    age_ns: int | None
    figure: str


@dataclass(frozen=True, slots=True)
class LinkView:
    """One venue connection."""

    link: VenueLink
    daemon: str
    freshness: Freshness
    age_ns: int


@dataclass(frozen=True, slots=True)
class BookView:
    """State of one book."""

    book: BookRow
    freshness: Freshness
    age_ns: int


@dataclass(frozen=True, slots=True)
class PositionView:
    """One position."""

    position: Position
    freshness: Freshness
    """Of the quantity."""
    mark_freshness: Freshness
    """Of the mark and what depends on it."""
    age_ns: int | None
    """Of the mark."""
    is_dust: bool = False
    """Too small for any order: left over by fees and lot steps."""


@dataclass(frozen=True, slots=True)
class MoneyView:
    """The account's money."""

    pnl: Pnl | None
    freshness: Freshness
    """Worst of the stream and the inputs that riskd calls stale."""
    age_ns: int | None
    history: Sequence[float]
    history_span_ns: int


@dataclass(frozen=True, slots=True)
class LadderView:
    """The book of the selected instrument."""

    instrument_id: str
    ladder: Ladder | None
    freshness: Freshness
    age_ns: int | None
    last: Decimal | None
    own_prices: frozenset[tuple[bool, Decimal]]
    """(is buy, price) of our working orders there."""


@dataclass(frozen=True, slots=True)
class OrdersView:
    """Orders, those with an unproven outcome first, then newest activity first."""

    rows: tuple[OrderRow, ...]
    working: int
    unknown: int
    freshness: Freshness
    age_ns: int | None


@dataclass(frozen=True, slots=True)
class View:
    """Everything that can be shown, at one moment."""

    now_ns: int
    identity: Identity
    level: LevelView
    stop: StopView
    stop_command: StopCommand | None
    kills: tuple[Kill, ...]
    """In force, newest first."""
    alarms: tuple[Alarm, ...]
    risk_session_up: bool | None
    """Whether execd has riskd's ear; None before execd's first heartbeat."""
    money: MoneyView
    daemons: tuple[DaemonView, ...]
    links: tuple[LinkView, ...]
    books: tuple[BookView, ...]
    positions: tuple[PositionView, ...]
    positions_freshness: Freshness
    orders: OrdersView
    ladder: LadderView
    strategies: tuple[Strategy, ...]
    strategies_freshness: Freshness
    log: tuple[LogEntry, ...]
    last_command: Command | None
    notice: str
    """Answer to the operator's own last action, or empty."""
    price_places: Mapping[str, int]
    """Decimals that prices of an instrument are shown with."""
    ui_lag_ms: float
    fps: float

    @property
    def data_grades(self) -> tuple[int, int]:
        """Number of (stale, dead) inputs among books, venue connections, money, positions and orders."""
        grades = [book.freshness for book in self.books] + [link.freshness for link in self.links]
        grades += [self.money.freshness, self.positions_freshness, self.orders.freshness]
        if not self.books:
            grades.append(Freshness.DEAD)  # nobody tells us about any market
        return grades.count(Freshness.STALE), grades.count(Freshness.DEAD)
