"""The language between execd and riskd: asks, answers, approvals, grants, decisions, session messages.

Both cores speak these types, over gRPC when live and by direct call in the backtest. Signed content travels as exact
bytes (`Approval.terms`, `ProtectionGrant.terms`); nobody serializes it a second time.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from decimal import Decimal
from typing import Final

from tradebot.core.accounts import AccountSnapshot, LedgerEntry, MarginState, PositionMargin, VenueStatus
from tradebot.core.instruments import Instrument
from tradebot.core.intents import OrderIntent
from tradebot.core.levels import Scope, TradingLevel
from tradebot.core.mass_cancel import MassCancel, MassCancelReport
from tradebot.core.order_events import OrderEvent
from tradebot.core.orders import OrderRole, OrderTerms, OrderType, Side
from tradebot.core.values import value
from tradebot.core.wire_enum import WireEnum

GRANT_OF_ENTRY: Final = "entry:"


class VenueAction(WireEnum):
    """Kind of venue message. Values are wire values of the proto enum."""

    NEW = 1
    REPLACE = 2


class Verdict(WireEnum):
    """riskd's answer. Values are wire values of the proto enum."""

    ALLOW = 1
    SOFT_ALLOW = 2
    BLOCK = 3


class CheckOutcome(WireEnum):
    """What became of one check. Values are wire values of the proto enum."""

    PASS = 1
    BLOCK = 2
    SOFT = 3
    SKIPPED = 4
    NOT_APPLICABLE = 5


@value(frozen=True, slots=True)
class CheckResult:
    """One check of one decision; limit and measured are texts with their unit."""

    check_id: str
    outcome: CheckOutcome
    reason: str = ""
    limit: str = ""
    measured: str = ""
    scope: str = ""


@value(frozen=True, slots=True)
class ApprovalTerms:
    """Signed content of an approval: one venue message, exactly."""

    environment: str
    nonce: str
    epoch: int
    valid_for_ms: int
    """Counted by execd from sending the ask."""
    session_id: str
    ask_id: int
    action: VenueAction
    venue: str
    account: str
    order: OrderTerms
    role: OrderRole
    decision_id: str
    strategy_id: str
    replaces_client_order_id: str = ""


@value(frozen=True, slots=True)
class Approval:
    """Permission for one venue message: serialized ApprovalTerms and their MAC."""

    terms: bytes
    mac: bytes
    key_id: str


@value(frozen=True, slots=True)
class GrantTerms:
    """Signed content of a protection grant."""

    environment: str
    grant_id: str
    venue: str
    account: str
    entry_client_order_id: str
    instrument_id: str
    side: Side
    """Side of the protecting orders."""
    max_qty: Decimal
    min_price: Decimal
    max_price: Decimal
    order_types: frozenset[OrderType]
    tighten_only: bool
    max_orders: int
    expires_time_ns: int
    strategy_id: str
    stop_loss_fraction: Decimal | None = None
    take_profit_fraction: Decimal | None = None
    covers_position: bool = False
    emergency_bound_bps: int = 0


@value(frozen=True, slots=True)
class ProtectionGrant:
    """Standing permission to protect one entry: serialized GrantTerms and their MAC."""

    terms: bytes
    mac: bytes
    key_id: str


@value(frozen=True, slots=True)
class Decision:
    """One decision as journaled: every check with what it measured."""

    decision_id: str
    ask_id: int
    session_id: str
    intent_id: str
    strategy_id: str
    child_index: int
    role: OrderRole
    verdict: Verdict
    check_id: str
    reason: str
    checks: tuple[CheckResult, ...]
    asked: OrderTerms | None
    approved_qty: Decimal | None
    binding_limit: str
    level: TradingLevel
    epoch: int
    time_ns: int
    trace_id: str = ""


@value(frozen=True, slots=True)
class ApproveOrder:
    """The venue message that execd wants to send. `order.qty` of zero: the parent's sizing decides it."""

    intent_id: str
    child_index: int
    action: VenueAction
    order: OrderTerms
    role: OrderRole
    venue: str
    account: str
    strategy_id: str
    replaces_client_order_id: str = ""
    reduce_id: str = ""
    trace_id: str = ""


@value(frozen=True, slots=True)
class ApprovalAsk:
    """One numbered question. A plain order asks for its parent (the intent) and its only venue message at once."""

    ask_id: int
    sent_time_ns: int
    parent: OrderIntent | None = None
    order: ApproveOrder | None = None


@value(frozen=True, slots=True)
class ApprovalAnswer:
    """Answer to one ask."""

    ask_id: int
    verdict: Verdict
    decision_id: str
    approval: Approval | None = None
    grant: ProtectionGrant | None = None
    check_id: str = ""
    reason: str = ""
    detail: str = ""
    violations: tuple[CheckResult, ...] = ()
    soft_hits: tuple[CheckResult, ...] = ()
    approved_qty: Decimal | None = None
    binding_limit: str = ""


@value(frozen=True, slots=True)
class NeverUsed:
    """execd's statement that an approval was not and will not be used."""

    nonce: str
    client_order_id: str
    reason: str


@value(frozen=True, slots=True)
class StopLatch:
    """A stop set at execd's or riskd's StopService: HALTED or KILLED."""

    latch_id: str
    level: TradingLevel
    operator: str
    reason: str
    time_ns: int


@value(frozen=True, slots=True)
class LeasePing:
    """Keeps the lease alive."""

    sequence: int
    sent_time_ns: int


@value(frozen=True, slots=True)
class SessionHello:
    """First words of execd."""

    session_id: str
    order_log_incarnation: str
    order_log_head: int
    build_hash: str
    instruments: tuple[Instrument, ...] = ()
    latches: tuple[StopLatch, ...] = ()
    started_time_ns: int = 0
    """When execd's process started; 0 = not told."""


@dataclass(slots=True)
class SessionUp:
    """execd -> riskd: everything that was waiting, applied in the order of the fields."""

    hello: SessionHello | None = None
    order_events: list[OrderEvent] = field(default_factory=list)
    accounts: list[AccountSnapshot] = field(default_factory=list)
    ledger: list[LedgerEntry] = field(default_factory=list)
    margins: list[MarginState] = field(default_factory=list)
    position_margins: list[PositionMargin] = field(default_factory=list)
    venues: list[VenueStatus] = field(default_factory=list)
    abandons: list[int] = field(default_factory=list)
    """Ask ids that were given up."""
    never_used: list[NeverUsed] = field(default_factory=list)
    latches: list[StopLatch] = field(default_factory=list)
    asks: list[ApprovalAsk] = field(default_factory=list)
    ping: LeasePing | None = None
    renew_grant_ids: list[str] = field(default_factory=list)
    """Grants by their id, or `GRANT_OF_ENTRY` and the client order id of an entry whose grant execd does not have."""
    mass_cancels: list[MassCancelReport] = field(default_factory=list)
    engine_build: str | None = None
    """Build that an engine told, empty = it told none; None = no news."""

    def has_more_than_asks(self) -> bool:
        """True when there is anything besides asks."""
        return bool(
            self.order_events
            or self.ping
            or self.hello
            or self.accounts
            or self.ledger
            or self.margins
            or self.position_margins
            or self.venues
            or self.abandons
            or self.never_used
            or self.latches
            or self.renew_grant_ids
            or self.mass_cancels
            or self.engine_build is not None
        )


@value(frozen=True, slots=True)
class LevelEntry:
    """Level in force for exactly one scope."""

    scope: Scope
    level: TradingLevel
    fence_epoch: int


@value(frozen=True, slots=True)
class LevelTable:
    """All scopes that have, or ever had, a hold. Absent scopes are RUNNING with fence 0."""

    epoch: int
    entries: tuple[LevelEntry, ...] = ()
    cleared_latch_ids: tuple[str, ...] = ()

    def level_for(self, venue: str, instrument_id: str, strategy_id: str) -> TradingLevel:
        """Return the highest level of all scopes that cover these."""
        return max(
            (e.level for e in self.entries if e.scope.covers(venue, instrument_id, strategy_id)),
            default=TradingLevel.RUNNING,
        )

    def fence_for(self, venue: str, instrument_id: str, strategy_id: str) -> int:
        """Return the lowest epoch that an approval on these must carry."""
        return max(
            (e.fence_epoch for e in self.entries if e.scope.covers(venue, instrument_id, strategy_id)), default=0
        )


@value(frozen=True, slots=True)
class Welcome:
    """First words of riskd."""

    order_log_resume_after: int
    epoch: int
    environment: str


@value(frozen=True, slots=True)
class LeaseAnswer:
    """Lease answer; validity counts from sending the ping."""

    sequence: int
    valid_for_ms: int
    epoch: int
    entry_lifetime_ms: int = 0
    """How long an entry may rest (SPC-09); 0 = no limit."""


@value(frozen=True, slots=True)
class ReduceCommand:
    """riskd's own order to reduce a position."""

    reduce_id: str
    instrument_id: str
    strategy_id: str
    side: Side
    qty: Decimal
    bound_bps: int
    reason: str


@dataclass(slots=True)
class SessionDown:
    """riskd -> execd: everything that was waiting, applied in the order of the fields."""

    welcome: Welcome | None = None
    levels: LevelTable | None = None
    answers: list[ApprovalAnswer] = field(default_factory=list)
    lease: LeaseAnswer | None = None
    reduces: list[ReduceCommand] = field(default_factory=list)
    order_log_applied: int = 0
    renewed_grants: list[ProtectionGrant] = field(default_factory=list)
    mass_cancels: list[MassCancel] = field(default_factory=list)

    def is_empty(self) -> bool:
        """True when there is nothing to send."""
        return not (
            self.welcome
            or self.levels
            or self.answers
            or self.lease
            or self.reduces
            or self.order_log_applied
            or self.renewed_grants
            or self.mass_cancels
        )
