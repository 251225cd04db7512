"""What daemons say, as the console keeps it: small frozen records without protobuf. `None` means: not known."""

from __future__ import annotations

from dataclasses import dataclass, field
from decimal import Decimal
from enum import Enum

from tradebot.core.levels import TradingLevel

DAEMONS = ("marketdata", "engine", "riskd", "execd", "recorder")
"""In the order of the data's way; simexchange is a venue, not one of ours."""
STOP_DAEMONS = ("riskd", "execd")
"""Those that serve StopService."""


class Source(Enum):
    """One stream each. Values name the daemon behind it."""

    MARKETDATA = "marketdata"
    ENGINE = "engine"
    RISKD = "riskd"
    EXECD = "execd"
    RECORDER = "recorder"
    PNL = "riskd pnl"
    POSITIONS = "riskd positions"
    RISK_EVENTS = "riskd events"
    ORDERS = "execd orders"
    BOOK = "marketdata book"


@dataclass(frozen=True, slots=True)
class VenueLink:
    """One connection to a venue as a daemon sees it."""

    venue: str
    channel: str
    """public or private."""
    state: str
    """live, connecting, stale, down."""
    age_ms: int
    reject_pct: float
    """Orders rejected by the venue in the last minute."""


@dataclass(frozen=True, slots=True)
class LogEntry:
    """One line of a daemon's log, WARN and above."""

    time_ns: int
    level: str
    daemon: str
    text: str
    trace_id: str = ""


@dataclass(frozen=True, slots=True)
class Beat:
    """Heartbeat of a daemon."""

    daemon: str
    incarnation: str
    version: str
    mode: str
    state: str
    """STARTING, OK, DEGRADED, STOPPING."""
    summary: str
    started_ns: int
    time_ns: int
    items: tuple[tuple[str, str], ...] = ()
    links: tuple[VenueLink, ...] = ()
    logs: tuple[LogEntry, ...] = ()

    def item(self, name: str) -> str | None:
        """Return a figure, None when this daemon does not report it."""
        return next((value for key, value in self.items if key == name), None)


@dataclass(frozen=True, slots=True)
class ExecdFacts:
    """What execd adds to its heartbeat."""

    risk_session_up: bool
    unknown_orders: int
    working_orders: int
    latch: str
    """Empty, HALT or KILL."""


@dataclass(frozen=True, slots=True)
class Kill:
    """A kill whose hold is in force, as riskd's heartbeat tells it."""

    kill_id: str
    """Id of its hold."""
    state: str
    """WORKING, STUCK, DONE."""
    step: str
    """LATCH, FENCE, CANCEL, RESOLVE, FLATTEN, CONFIRM, REPORT."""
    drill: bool
    flatten: bool
    entered_ns: int
    """When the present step was entered."""
    stuck: str
    """Why a step is over its time and what to do."""
    left: int
    """Things that stay at the venue."""

    @property
    def is_done(self) -> bool:
        """True when the venue has confirmed."""
        return self.state == "DONE"


@dataclass(frozen=True, slots=True)
class TradingRules:
    """What the console needs to know of an instrument."""

    instrument_id: str
    tick_size: Decimal
    lot_size: Decimal
    min_qty: Decimal
    min_notional: Decimal
    """Quote asset; 0 when the venue has no such rule."""

    def is_dust(self, qty: Decimal, price: Decimal | None) -> bool:
        """True when the venue takes no order of this size: nothing can close or protect it."""
        size = abs(qty)
        return size < max(self.min_qty, self.lot_size) or (price is not None and size * price < self.min_notional)


@dataclass(frozen=True, slots=True)
class BookRow:
    """State of one book from marketdata's heartbeat."""

    instrument_id: str
    state: str
    """SYNCING, LIVE, GAP, STALE."""
    bid: Decimal | None
    ask: Decimal | None
    last: Decimal | None
    age_ms: int
    gaps: int = 0


@dataclass(frozen=True, slots=True)
class Ladder:
    """One book with its levels, best first; (price, qty)."""

    instrument_id: str
    state: str
    bids: tuple[tuple[Decimal, Decimal], ...]
    asks: tuple[tuple[Decimal, Decimal], ...]
    received_ns: int
    """When marketdata received its last change."""


@dataclass(frozen=True, slots=True)
class Strategy:
    """One strategy of the engine."""

    strategy_id: str
    kind: str
    enabled: bool
    warming_up: bool
    instrument_ids: tuple[str, ...]
    parameters: tuple[tuple[str, str], ...]
    signals: int
    intents: int
    refusals: int
    bars: int
    changed_by: str
    last_signal: str
    last_signal_ns: int


@dataclass(frozen=True, slots=True)
class StrategyPnl:
    """Result of one strategy."""

    strategy_id: str
    realized: Decimal | None
    unrealized: Decimal | None
    fees: Decimal | None
    open_positions: int


@dataclass(frozen=True, slots=True)
class Pnl:
    """Money of the account as riskd computes it; amounts in `currency`."""

    time_ns: int
    currency: str
    equity: Decimal | None
    day_pnl: Decimal | None
    day_pnl_pct: float
    day_limit_pct: float
    """Negative; 0 when there is no limit."""
    realized: Decimal | None
    unrealized: Decimal | None
    fees: Decimal | None
    gross: Decimal | None
    net: Decimal | None
    gross_limit: Decimal | None
    turnover: Decimal | None
    drawdown_pct: float
    stale_inputs: int
    strategies: tuple[StrategyPnl, ...] = ()
    day_start_equity: Decimal | None = None

    @property
    def limit_used(self) -> float | None:
        """Share of the day's loss limit that is used, 0 when the day is positive, None without a limit."""
        if self.day_limit_pct >= 0:
            return None
        return max(0.0, self.day_pnl_pct / self.day_limit_pct)

    @property
    def day_limit(self) -> Decimal | None:
        """The day's loss limit in the account currency, negative."""
        if self.day_start_equity is None or self.day_limit_pct >= 0:
            return None
        return self.day_start_equity * Decimal(str(self.day_limit_pct)) / 100


@dataclass(frozen=True, slots=True)
class Position:
    """One position as riskd has it."""

    venue: str
    instrument_id: str
    strategy_id: str
    qty: Decimal
    avg_price: Decimal | None
    mark_price: Decimal | None
    mark_age_ms: int
    realized: Decimal | None
    unrealized: Decimal | None
    fees: Decimal | None
    stop_price: Decimal | None
    limit_used_pct: float
    opened_ns: int

    @property
    def key(self) -> str:
        """Instrument and strategy: positions are kept per pair."""
        return f"{self.instrument_id}|{self.strategy_id}"


@dataclass(frozen=True, slots=True)
class Command:
    """An operator's command as the audit trail tells it."""

    time_ns: int
    operator: str
    text: str


@dataclass(frozen=True, slots=True)
class StopPing:
    """Answer of one stop path to a ping or a stop."""

    ok: bool
    ms: float = 0.0
    level: TradingLevel = TradingLevel.RUNNING
    """Latched there: RUNNING (none), HALTED or KILLED."""
    error: str = ""


@dataclass(frozen=True, slots=True)
class CheckLine:
    """One check of a decision."""

    check_id: str
    outcome: str
    reason: str
    measured: str
    limit: str


@dataclass(frozen=True, slots=True)
class Explanation:
    """Everything that led to an order: for the detail pane."""

    signal: str = ""
    score: str = ""
    features: tuple[tuple[str, float], ...] = ()
    market_sequence: int = 0
    verdict: str = ""
    level: str = ""
    checks: tuple[CheckLine, ...] = ()
    events: tuple[tuple[int, str, str], ...] = ()
    """(time, kind, reason and text)."""
    fills: tuple[str, ...] = ()
    derivation: str = ""
    missing: tuple[str, ...] = field(default=())
