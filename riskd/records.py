"""Journal records of riskd: every state change is one of these, and folding them in order rebuilds the state.

Payloads are msgpack arrays (msgspec): fields are appended at the end with a default, never moved or removed. Records
carry outcomes, so a replay never runs a check again; DECISION also carries what every check measured.
"""

from __future__ import annotations

from decimal import Decimal
from enum import IntEnum
from typing import Any, Final, Protocol

import msgspec

from tradebot.core.accounts import AccountSnapshot, LedgerEntry, MarginState, PositionMargin
from tradebot.core.approvals import GrantTerms, StopLatch
from tradebot.core.errors import InvariantError
from tradebot.core.instruments import Instrument
from tradebot.core.levels import Hold, Scope
from tradebot.core.order_events import OrderEvent
from tradebot.core.orders import OrderTerms, Side

INT64_MAX: Final = 2**63 - 1


class RecordType(IntEnum):
    """Record types in the journal; numbers are never reused; 20 is retired."""

    STARTED = 1
    INSTRUMENTS = 2
    ORDER_LOG = 3
    DECISION = 4
    ORDER_EVENT = 5
    ACCOUNT = 6
    LEDGER = 40
    MARGINS = 41
    DAY_BASELINE = 42
    EYES_STARTED = 43
    EYES_BASELINE = 44
    RELEASE = 7
    HOLD_RAISED = 8
    HOLD_CLEARED = 9
    COMMAND = 10
    SETTLEMENT = 11
    LOSS_GUARD = 12
    EQUITY_PEAK = 13
    FLATTEN = 14
    REDUCE = 15
    GRANT = 16
    STOP_LATCHED = 17
    HOLD_RETIMED = 18
    EQUITY_SAMPLE = 19
    GUARD_RESET = 21
    SOFT_CAP = 22
    CLUSTERS = 23
    LIMITS_CHANGED = 24
    LIMITS_LOADED = 56
    CONTROL_TESTED = 50
    CHECKPOINT = 51
    KILL_SAGA = 45
    DRILL_DONE = 46
    MONEY_MOVED = 47


class Record(msgspec.Struct, array_like=True, frozen=True):
    """Base of all records."""


class Started(Record, frozen=True):
    """A process started on this journal."""

    prefix: str
    """Random part of all ids that this start makes."""
    environment: str
    profile: str
    limits_hash: str
    time_ns: int
    boot_id: str = ""
    """Of the system; empty = it did not tell."""
    since_boot_ns: int = 0
    """Time since that boot at `time_ns`, sleep included."""


class InstrumentsSeen(Record, frozen=True):
    """Instruments that execd can trade, complete."""

    instruments: list[Instrument]


class OrderLog(Record, frozen=True):
    """execd's order log that is followed from here on."""

    incarnation: str
    applied: int = 0
    """Events up to here count as folded."""
    head: int = 0
    """Its last event when execd said hello."""


CheckRow = tuple[str, int, str, int | str, int | str]
"""check id, outcome, reason, limit, measured. Ints beyond 64 bits travel as text."""


class DecisionRecord(Record, frozen=True):
    """One decision: what was asked, what every check measured, what was reserved."""

    decision_id: str
    ask_id: int
    session_id: str
    time_ns: int
    parent: bool
    """Whether an intent was asked (and, when allowed, reserved)."""
    message: bool
    """Whether a venue message was asked."""
    intent_id: str
    strategy_id: str
    incarnation: str
    """Of the intent's sender; empty when no intent was asked or it was not authentic."""
    intent_sequence: int
    child_index: int
    instrument_id: str
    venue: str
    account: str
    side: int
    role: int
    action: int
    verdict: int
    level: int
    epoch: int
    asked: OrderTerms | None
    approved_qty: Decimal
    """0 when refused."""
    reserve_price: Decimal
    """Price at which the quantity is reserved."""
    binding: str
    plan: str
    """Name of the check plan; says what was skipped."""
    checks: list[CheckRow]
    """Checks that ran, catalogue order."""
    reduce_id: str = ""
    replaces: str = ""
    trace_id: str = ""
    grant: GrantTerms | None = None
    stop_loss: Decimal | None = None
    """The intent's protection plan: children asked later get their grants from it."""
    take_profit: Decimal | None = None
    texts: dict[str, str] | None = None
    """Of a refusal: check -> what its numbers cannot say."""


class OrderEventSeen(Record, frozen=True):
    """One event of execd's order log."""

    event: OrderEvent
    fee_quote: Decimal | None = None
    """Fee of the execution in quote asset when it was charged in a third asset; None also when no mark was known."""


class AccountSeen(Record, frozen=True):
    """Balances as the venue reported them, and a transfer's worth in account currency."""

    snapshot: AccountSnapshot
    transfer_value: Decimal = Decimal(0)


class LedgerSeen(Record, frozen=True):
    """One line of a venue's ledger, and its worth in account currency."""

    entry: LedgerEntry
    worth: Decimal


class MoneyMoved(Record, frozen=True):
    """Balances changed and nothing explains it: no profit and no loss, until something does."""

    amounts: list[tuple[str, str, Decimal]]
    """(venue, asset, change)."""
    worth: Decimal
    """Of all of it, account currency, at the marks of that moment."""
    time_ns: int


class MarginsSeen(Record, frozen=True):
    """Margin accounts and position margins as the venues compute them."""

    accounts: list[MarginState]
    positions: list[PositionMargin]


class DayBaseline(Record, frozen=True):
    """PnL of every position when a UTC day began, account currency: what its day PnL counts from."""

    day: int
    net: list[tuple[str, str, Decimal]]
    """(instrument, strategy, PnL)."""


class Release(Record, frozen=True):
    """A reservation ended without a venue event."""

    client_order_id: str
    """Empty when a parent without venue messages is released."""
    intent_id: str
    reason: str
    """E.g. NEVER_USED, NOT_IN_ORDER_LOG, PARENT_EXPIRED, ABANDONED."""
    time_ns: int


class HoldRaised(Record, frozen=True):
    """A hold, and the epoch that it made."""

    hold: Hold
    epoch: int


class HoldCleared(Record, frozen=True):
    """A hold is gone."""

    hold_id: str
    reason: str
    operator: str
    epoch: int
    time_ns: int
    hold: Hold | None = None
    """The hold as it was; None in journals of before it travelled along."""


class HoldRetimed(Record, frozen=True):
    """The times of a hold moved; its level does not change, so the epoch stays."""

    hold_id: str
    until_ns: int
    clear_after_ns: int
    reason: str
    operator: str
    time_ns: int


class Command(Record, frozen=True):
    """An operator command and what came of it."""

    command_id: str
    operator: str
    role: str
    command: str
    arguments: str
    reason: str
    result: str
    time_ns: int


class Settlement(Record, frozen=True):
    """A day begins: its first equity."""

    day: int
    """Days since 1970-01-01 UTC."""
    start_equity: Decimal
    time_ns: int


class LossGuardState(Record, frozen=True):
    """Where the day loss rule stands; see riskd.losses."""

    triggers: int
    trigger_ppm: int
    pause_hold_id: str
    cautious_hold_id: str
    reset_due: bool
    overdue: bool = False
    """The pause is over but the day has not recovered: the hold stays until it has, or the day ends."""


class EquitySample(Record, frozen=True):
    """Equity at a moment: what drawdown and velocity are measured from after a restart."""

    equity: Decimal
    time_ns: int


class GuardReset(Record, frozen=True):
    """A loss halt was cleared by two keys: its baseline begins again here."""

    cause: str
    equity: Decimal
    time_ns: int


class SoftCapState(Record, frozen=True):
    """A soft cap that is exceeded without an order; see riskd.soft_caps. `since_ns` 0 = no more."""

    cap: str
    """Check id of the cap."""
    key: str
    """Instrument or cluster; empty for the whole portfolio."""
    since_ns: int
    deadline_ns: int
    """End of the grace."""
    hard_since_ns: int = 0
    """Since when the hard cap is exceeded; 0 = it is not."""


class ClustersSeen(Record, frozen=True):
    """Instruments that move together, as last computed: each cluster sorted, clusters in order."""

    clusters: list[list[str]]
    time_ns: int


class LimitsChanged(Record, frozen=True):
    """Limits that an operator put in force. They hold while the file is the one that they were made from."""

    text: str
    """The whole limits file."""
    base_hash: str
    """Hash of the limits before."""
    operator: str
    epoch: int
    fences: bool
    """Whether approvals of before are void: something became tighter."""
    time_ns: int


class LimitsLoaded(Record, frozen=True):
    """A start with another limits file than the last one."""

    text: str
    """All of its limits; comments are gone."""
    hash: str
    """Of the file."""
    changes: list[str]
    """Against the limits in force before, as ratios."""
    signers: str
    held: bool
    """Whether it loosens without a signature: its hold was raised, and what was in force before counts until it ends.
    """
    time_ns: int


class EquityPeak(Record, frozen=True):
    """Highest equity so far, corrected for transfers."""

    equity: Decimal


class FlattenState(Record, frozen=True):
    """One position that riskd closes, or has stopped closing."""

    flatten_id: str
    instrument_id: str
    strategy_id: str
    tries: int
    """Reduce commands sent."""
    next_ns: int
    """Earliest time of the next one; 0 = finished."""
    outcome: str = ""
    keep: Decimal = Decimal(0)
    """Base units that stay; 0 closes the whole position."""
    cause: str = "FLATTEN"
    """FLATTEN, or SOFT_CAP for riskd's own reducing after a grace."""


class ReduceIssued(Record, frozen=True):
    """A reduce command that execd may turn into asks."""

    reduce_id: str
    flatten_id: str
    instrument_id: str
    strategy_id: str
    side: Side
    qty: Decimal
    bound_bps: int
    reason: str


class GrantRenewed(Record, frozen=True):
    """A grant with a later end."""

    terms: GrantTerms


class EyesStarted(Record, frozen=True):
    """A run of the eyes reports for the first time; reports of earlier runs are void from here on."""

    epoch: int
    """When that run began, nanoseconds."""
    time_ns: int


class EyesBaseline(Record, frozen=True):
    """What a venue held, by the eyes, beyond everything that fills and ledgers explain: drift counts from here."""

    venue: str
    amounts: list[tuple[str, Decimal]]
    """(asset, or derivative instrument), every other one is zero."""
    time_ns: int


class StopLatched(Record, frozen=True):
    """A stop through the StopService, written by its own thread; the hold that carries it follows."""

    latch: StopLatch
    role: str


class JournalCheckpoint(Record, frozen=True):
    """A signature over an earlier record's link; see tradebot.runtime.journal_checkpoints."""

    owner: str
    seq: int
    link: bytes
    time_ns: int
    signature: bytes


class ControlTested(Record, frozen=True):
    """Controls were tried out: each was given what it must refuse. See riskd.self_test."""

    kind: str
    """E.g. `limits self-test`."""
    limits_hash: str
    passed: list[str]
    """Check ids that refused what they must."""
    failed: list[str]
    detail: str
    time_ns: int
    untried: dict[str, str] = {}
    """Check id -> why nothing was proven about it."""


class KillMark(msgspec.Struct, array_like=True, frozen=True):
    """One step of a kill with its times and what proved it."""

    step: int
    """See riskd.saga.Step."""
    began_ns: int
    ended_ns: int = 0
    """0 = it is the present one."""
    evidence: str = ""


class KillSaga(Record, frozen=True):
    """Where a kill stands: the whole of it, so that the last record of a kill says everything. See riskd.saga."""

    kill_id: str
    """Id of the hold that began it."""
    scope: Scope
    flatten: bool
    """Close every position of the scope."""
    drill: bool
    operator: str
    reason: str
    epoch: int
    """That execd has to obey."""
    began_ns: int
    step: int
    attempt: int
    """Commands sent."""
    next_ns: int
    """Earliest time of the next command."""
    marks: list[KillMark]
    """Steps in the order in which they were entered; the last one is the present one."""
    to_cancel: int = 0
    """Orders that had to go."""
    confirm_after: int = 0
    """Only reads of later attempts prove something."""
    seen_attempt: int = 0
    """Last attempt whose read was counted."""
    clean_reads: int = 0
    clean_read_ns: int = 0
    """When the last clean read began, execd's clock; of several venues the one that was read last."""
    doubt: str = ""
    """What the last read showed."""
    stuck: str = ""
    """Why the present step is over its time and what to do; empty = it is not."""
    ended_ns: int = 0
    outcome: str = ""
    """DONE or RELEASED; empty = under way."""
    left: list[str] = []
    """What stays at the venue."""
    flatten_ids: list[str] = []
    """Closing jobs that it began."""


class DrillDone(Record, frozen=True):
    """A drill went through every step and the venue confirmed it: the last test of the kill switch."""

    kill_id: str
    operator: str
    environment: str
    time_ns: int
    duration_ns: int
    evidence: str


RECORD_CLASSES: Final[dict[RecordType, type[Record]]] = {
    RecordType.STARTED: Started,
    RecordType.INSTRUMENTS: InstrumentsSeen,
    RecordType.ORDER_LOG: OrderLog,
    RecordType.DECISION: DecisionRecord,
    RecordType.ORDER_EVENT: OrderEventSeen,
    RecordType.ACCOUNT: AccountSeen,
    RecordType.LEDGER: LedgerSeen,
    RecordType.MARGINS: MarginsSeen,
    RecordType.DAY_BASELINE: DayBaseline,
    RecordType.RELEASE: Release,
    RecordType.HOLD_RAISED: HoldRaised,
    RecordType.HOLD_CLEARED: HoldCleared,
    RecordType.COMMAND: Command,
    RecordType.SETTLEMENT: Settlement,
    RecordType.LOSS_GUARD: LossGuardState,
    RecordType.EQUITY_PEAK: EquityPeak,
    RecordType.FLATTEN: FlattenState,
    RecordType.REDUCE: ReduceIssued,
    RecordType.GRANT: GrantRenewed,
    RecordType.STOP_LATCHED: StopLatched,
    RecordType.HOLD_RETIMED: HoldRetimed,
    RecordType.EQUITY_SAMPLE: EquitySample,
    RecordType.GUARD_RESET: GuardReset,
    RecordType.SOFT_CAP: SoftCapState,
    RecordType.CLUSTERS: ClustersSeen,
    RecordType.LIMITS_CHANGED: LimitsChanged,
    RecordType.LIMITS_LOADED: LimitsLoaded,
    RecordType.CONTROL_TESTED: ControlTested,
    RecordType.CHECKPOINT: JournalCheckpoint,
    RecordType.EYES_STARTED: EyesStarted,
    RecordType.EYES_BASELINE: EyesBaseline,
    RecordType.KILL_SAGA: KillSaga,
    RecordType.DRILL_DONE: DrillDone,
    RecordType.MONEY_MOVED: MoneyMoved,
}
TYPE_OF: Final[dict[type[Record], RecordType]] = {cls: kind for kind, cls in RECORD_CLASSES.items()}

_ENCODER: Final = msgspec.msgpack.Encoder()
_DECODERS: Final[dict[int, Any]] = {kind: msgspec.msgpack.Decoder(cls) for kind, cls in RECORD_CLASSES.items()}


class JournalSink(Protocol):
    """Where records go; the runtime's journal is one."""

    def append(self, record_type: int, payload: bytes) -> int:
        """Queue one record and return its sequence number."""
        ...


class MemorySink:
    """Keeps records in a list: for the backtest and tests."""

    def __init__(self) -> None:
        self.records: list[tuple[int, bytes]] = []

    def append(self, record_type: int, payload: bytes) -> int:
        """Keep one record."""
        self.records.append((record_type, payload))
        return len(self.records)


def encode_record(record: Record) -> bytes:
    """Return the payload of a record."""
    try:
        return _ENCODER.encode(record)
    except OverflowError:
        if not isinstance(record, DecisionRecord):
            raise
        rows: list[CheckRow] = [(c, o, r, _fit(limit), _fit(measured)) for c, o, r, limit, measured in record.checks]
        return _ENCODER.encode(msgspec.structs.replace(record, checks=rows))


def _fit(value: int | str) -> int | str:
    return str(value) if isinstance(value, int) and abs(value) > INT64_MAX else value


def decode_record(record_type: int, payload: bytes) -> Record:
    """Return the record.

    Raises:
        InvariantError: If type or payload are unknown: another version wrote this journal.
    """
    decoder = _DECODERS.get(record_type)
    if decoder is None:
        raise InvariantError(f"journal record type {record_type} is unknown; was it written by a newer version?")
    try:
        record: Record = decoder.decode(payload)
    except msgspec.DecodeError as exc:
        raise InvariantError(f"journal record of type {RecordType(record_type).name} does not decode: {exc}") from exc
    return record
