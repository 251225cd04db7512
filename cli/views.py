"""What the command shows, as plain typed records: made by `client` from gRPC answers, printed by `render` or as JSON.

Amounts stay the decimal strings that the daemons sent; nothing is computed here. Field names are the JSON contract of
`--json`.
"""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Item:
    """One named figure of a daemon."""

    name: str
    value: str


@dataclass(frozen=True, slots=True)
class VenueLinkView:
    """One venue connection."""

    venue: str
    channel: str
    state: str
    age_ms: int


@dataclass(frozen=True, slots=True)
class DaemonView:
    """One daemon as it answered, or did not."""

    daemon: str
    state: str
    """STARTING, OK, DEGRADED, STOPPING, or DOWN when it did not answer."""
    summary: str = ""
    version: str = ""
    mode: str = ""
    incarnation: str = ""
    uptime_s: int = 0
    items: list[Item] = field(default_factory=list)
    venue_links: list[VenueLinkView] = field(default_factory=list)

    def item(self, name: str, default: str = "") -> str:
        """Return a named figure."""
        return next((item.value for item in self.items if item.name == name), default)


@dataclass(frozen=True, slots=True)
class BookView:
    """State of one book."""

    instrument_id: str
    state: str
    bid_price: str
    bid_qty: str
    ask_price: str
    ask_qty: str
    last_price: str
    age_ms: int
    gaps: int


@dataclass(frozen=True, slots=True)
class PnlView:
    """Money as riskd counts it, in `currency`; decimal strings."""

    time_ns: int
    currency: str
    equity: str
    day_start_equity: str
    day_pnl: str
    day_pnl_pct: float
    day_limit_pct: float
    realized_pnl: str
    unrealized_pnl: str
    fees: str
    gross_exposure: str
    net_exposure: str
    gross_limit: str
    turnover: str
    drawdown_pct: float
    stale_inputs: int
    strategies: list[StrategyPnlView] = field(default_factory=list)
    funding: str = "0"
    """Received > 0."""
    leverage: float = 0.0
    margin_used_pct: float | None = None
    """None = no venue told."""
    margin_ratio_pct: float | None = None
    """100 is liquidation; None = no venue told."""
    pairs: list[PairPnlView] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class StrategyPnlView:
    """PnL of one strategy."""

    strategy_id: str
    realized_pnl: str
    unrealized_pnl: str
    fees: str
    open_positions: int
    funding: str = "0"
    day_pnl: str = "0"
    round_trips: int = 0
    win_rate_pct: float = 0.0
    losses_in_row: int = 0


@dataclass(frozen=True, slots=True)
class PairPnlView:
    """PnL of one pair."""

    instrument_id: str
    realized_pnl: str
    unrealized_pnl: str
    fees: str
    funding: str
    day_pnl: str


@dataclass(frozen=True, slots=True)
class PositionView:
    """One position of riskd; mark and unrealized are empty without a fresh book."""

    instrument_id: str
    strategy_id: str
    qty: str
    avg_price: str
    mark_price: str
    mark_age_ms: int
    realized_pnl: str
    unrealized_pnl: str
    fees_paid: str
    stop_price: str
    limit_used_pct: float
    opened_time_ns: int


@dataclass(frozen=True, slots=True)
class OrderView:
    """One order as it stands."""

    client_order_id: str
    instrument_id: str
    side: str
    order_type: str
    time_in_force: str
    role: str
    qty: str
    filled_qty: str
    price: str
    stop_price: str
    avg_price: str
    status: str
    strategy_id: str
    reason: str
    detail: str
    check_id: str
    intent_id: str
    decision_id: str
    trace_id: str
    protects_client_order_id: str
    venue_order_id: str
    created_time_ns: int
    updated_time_ns: int


@dataclass(frozen=True, slots=True)
class HoldView:
    """One reason why trading is restricted."""

    hold_id: str
    level: str
    scope: str
    cause: str
    raised_by: str
    raised_time_ns: int
    release: str
    evidence: str
    until_time_ns: int
    latch_id: str


@dataclass(frozen=True, slots=True)
class HoldsView:
    """All holds and the level that follows."""

    system_level: str
    epoch: int
    holds: list[HoldView]


@dataclass(frozen=True, slots=True)
class ResumeView:
    """What `resume` or `clear` did."""

    cleared: list[HoldView]
    remaining: list[HoldView]
    system_level: str
    reason: str = ""
    detail: str = ""


@dataclass(frozen=True, slots=True)
class ExtendView:
    """What `extend` did."""

    extended: bool
    reason: str
    detail: str
    hold: HoldView | None


@dataclass(frozen=True, slots=True)
class LimitChangeView:
    """One value of the limits that changes."""

    path: str
    before: str
    after: str
    ratio: str
    direction: str


@dataclass(frozen=True, slots=True)
class SetLimitsView:
    """What `set-limits` did or would do."""

    accepted: bool
    reason: str
    detail: str
    hash: str
    changes: list[LimitChangeView]


@dataclass(frozen=True, slots=True)
class StopAck:
    """How one daemon answered a stop or a ping."""

    daemon: str
    acked: bool
    ms: float
    """From sending to its answer; 0 without one."""
    level: str = ""
    """Level latched there."""
    error: str = ""


@dataclass(frozen=True, slots=True)
class StopView:
    """What a HALT or KILL came to."""

    command_id: str
    level: str
    acks: list[StopAck]
    ms: float
    """From the key to the last acknowledgement."""

    @property
    def acked(self) -> int:
        """Daemons that have latched it."""
        return sum(ack.acked for ack in self.acks)


@dataclass(frozen=True, slots=True)
class StatusView:
    """One screen."""

    state_dir: str
    mode: str
    system_level: str
    """`?` when riskd does not answer."""
    daemons: list[DaemonView]
    stop: list[StopAck]
    pnl: PnlView | None
    open_positions: int | None
    working_orders: int | None
    unknown_orders: int | None
    risk_session_up: bool | None
    latch: str
    holds: list[HoldView]
    books: list[BookView]
    strategies: list[StrategyView]
    kills: list[str]
    """Kills in force, where each of them is."""


@dataclass(frozen=True, slots=True)
class StrategyView:
    """One strategy as it runs."""

    strategy_id: str
    kind: str
    enabled: bool
    warming_up: bool
    instrument_ids: list[str]
    parameters: list[Item]
    bars: int
    signals: int
    intents: int
    refusals: int
    last_signal: str
    changed_by: str


@dataclass(frozen=True, slots=True)
class IntentAnswerView:
    """execd's answer to an intent."""

    intent_id: str
    status: str
    client_order_id: str
    check_id: str
    reason: str
    detail: str


@dataclass(frozen=True, slots=True)
class CancelView:
    """Whether a cancel was sent."""

    accepted: bool
    reason: str
    detail: str
    order: OrderView | None


@dataclass(frozen=True, slots=True)
class FlattenView:
    """What a flatten began."""

    reduces: list[ReduceView]
    reason: str
    detail: str


@dataclass(frozen=True, slots=True)
class ReduceView:
    """One reducing order that riskd has commanded."""

    reduce_id: str
    instrument_id: str
    side: str
    qty: str


@dataclass(frozen=True, slots=True)
class FindingView:
    """One thing that does not match."""

    kind: str
    subject: str
    detail: str


@dataclass(frozen=True, slots=True)
class AuditView:
    """execd's comparison of journal, approvals and venue."""

    venue_orders: int
    approved_orders: int
    venue_fills: int
    booked_fills: int
    unknown_orders: int
    unapproved_orders: int
    position_mismatches: int
    findings: list[FindingView]
    notes: list[str] = field(default_factory=list)
    """What was not compared, and why."""

    @property
    def clean(self) -> bool:
        """True when nothing was found."""
        return not (self.findings or self.unknown_orders or self.unapproved_orders or self.position_mismatches)


@dataclass(frozen=True, slots=True)
class AuditRecordView:
    """One operator command or hold in riskd's audit trail."""

    time_ns: int
    operator: str
    role: str
    command: str
    arguments: str
    reason: str
    result: str
    record_hash: str


@dataclass(frozen=True, slots=True)
class ChainView:
    """What riskd's journal proves about itself."""

    records: int
    checkpoints: int
    signed_seq: int
    signed_time_ns: int
    unsigned: int
    key: str
    problems: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ControlView:
    """One control of the report. Times 0 and empty texts: never."""

    check_id: str
    name: str
    status: str
    reason: str
    limit: str
    rts6: tuple[str, ...]
    sec_15c3_5: tuple[str, ...]
    last_test_time_ns: int
    last_test: str
    last_test_passed: bool
    last_breach_time_ns: int
    last_breach: str
    breaches: int
    untested: str = ""
    """Why the self-test proves nothing about it."""


@dataclass(frozen=True, slots=True)
class ControlReportView:
    """The control report."""

    profile: str
    limits_hash: str
    controls: tuple[ControlView, ...]

    @property
    def failed(self) -> list[str]:
        """Controls whose last test failed, or that the limits file forgot."""
        return [
            control.check_id
            for control in self.controls
            if control.status == "UNDEFINED" or (control.last_test and not control.last_test_passed)
        ]


@dataclass(frozen=True, slots=True)
class ExecutionView:
    """One fill."""

    exec_id: str
    client_order_id: str
    instrument_id: str
    side: str
    qty: str
    price: str
    fee: str
    fee_asset: str
    liquidity: str
    event_time_ns: int


@dataclass(frozen=True, slots=True)
class OrderEventView:
    """One step in the life of an order."""

    sequence: int
    kind: str
    status: str
    reason: str
    detail: str
    event_time_ns: int
    receive_time_ns: int


@dataclass(frozen=True, slots=True)
class CheckView:
    """One check of a decision."""

    check_id: str
    outcome: str
    reason: str
    limit: str
    measured: str
    scope: str


@dataclass(frozen=True, slots=True)
class DecisionView:
    """riskd's decision with every check."""

    decision_id: str
    verdict: str
    check_id: str
    reason: str
    approved_qty: str
    binding_limit: str
    level: str
    epoch: int
    time_ns: int
    checks: list[CheckView]


@dataclass(frozen=True, slots=True)
class SignalView:
    """What the strategy saw."""

    signal: str
    score: str
    market_incarnation: str
    market_sequence: int
    market_event_time_ns: int
    market_sent_time_ns: int
    market_receive_time_ns: int
    features: list[Item]


@dataclass(frozen=True, slots=True)
class IntentView:
    """What somebody wanted."""

    intent_id: str
    strategy_id: str
    instrument_id: str
    side: str
    role: str
    qty: str
    strength: str
    order_type: str
    limit_price: str
    created_time_ns: int
    trace_id: str
    stop_loss_fraction: str
    signal: SignalView


@dataclass(frozen=True, slots=True)
class ExplainView:
    """Fill → order → approval with every check → signal → market data sequence."""

    executions: list[ExecutionView]
    order: OrderView | None
    events: list[OrderEventView]
    decision: DecisionView | None
    intent: IntentView | None
    grant_derivation: str
    missing: list[str]


@dataclass(frozen=True, slots=True)
class TableView:
    """One table of the recorder's database."""

    table: str
    rows: int
    queued: int
    dropped: int


@dataclass(frozen=True, slots=True)
class TablesView:
    """The recorder's database."""

    database: str
    tables: list[TableView]


@dataclass(frozen=True, slots=True)
class LimitsView:
    """Limits in force."""

    profile: str
    hash: str
    enforced: int
    not_applicable: int
