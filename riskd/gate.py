"""RiskGate: the pure core of riskd. Told what happened and what time it is; answers asks, keeps holds, reservations,
positions and PnL, and writes down every change as a record before anybody hears of it. Decisions alone are written down
right after their answers left: execd's order log brings back what a dead riskd had not written. Each is folded before
the next one is made, and before the call that made it returns.

Live, in backtests and in tests it is the same object; records go to a sink, everything for execd into one SessionDown.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Final

from riskd.accountant import Accountant
from riskd.cap_watch import CapWatch
from riskd.case import Books
from riskd.clock_trust import BootTime, ClockTrust, agrees, judge
from riskd.conduct_watch import ConductWatch
from riskd.day_rules import DayRules
from riskd.decider import Decider, Signer
from riskd.dependency_watch import EXECD, MARKETDATA, DependencyWatch, Heartbeats
from riskd.equity_watch import EquityWatch
from riskd.exposure import Cover, TrackedOrder
from riskd.exposure_sums import ExposureSums
from riskd.eye_watch import EyeMemory, EyeWatch
from riskd.flatten import Flattener, FlattenResult
from riskd.fleet import ENGINE, Fleet
from riskd.holds import OPERATOR_CAUSE, Clearing, default_release
from riskd.journal_watch import JournalHealth, JournalMemory, JournalWatch
from riskd.keeper import MAX_EVIDENCE_CHARACTERS, Cleared, HoldKeeper, scope_text
from riskd.ledger import Ledger
from riskd.limit_changes import Direction
from riskd.limit_desk import LimitDesk, LimitsAnswer
from riskd.limits import Limits, parse_limits, venue_contradictions
from riskd.limits_file import LIMITS_LOOSENED, FileTaken, change_text, take_file, text_of
from riskd.mark_watch import MarkWatch
from riskd.marks import Columns, MarketBoard
from riskd.money_watch import MoneyMemory, MoneyWatch
from riskd.portfolio import Equity
from riskd.protection_watch import ProtectionMemory, ProtectionWatch
from riskd.records import (
    ControlTested,
    DecisionRecord,
    InstrumentsSeen,
    JournalCheckpoint,
    JournalSink,
    LimitsChanged,
    LimitsLoaded,
    OrderEventSeen,
    OrderLog,
    Record,
    Release,
    Started,
    decode_record,
)
from riskd.resting_watch import RestingWatch
from riskd.saga_desk import DrillAnswer, SagaDesk
from riskd.session_view import SessionView
from riskd.settings import NS_PER_MS, NS_PER_S, make_settings
from riskd.signatures import CommandVerifier
from riskd.state import EventOutcome, RiskState
from riskd.stop_flag import StopFlag
from riskd.valuation import asset_paths
from tradebot.core.accounts import VenueStatus
from tradebot.core.approvals import (
    ApprovalAnswer,
    ApprovalAsk,
    Decision,
    LeaseAnswer,
    NeverUsed,
    SessionDown,
    SessionHello,
    SessionUp,
    StopLatch,
    Verdict,
    Welcome,
)
from tradebot.core.errors import RejectedError, SequenceGapError
from tradebot.core.instruments import Instrument
from tradebot.core.intents import OrderIntent
from tradebot.core.levels import SYSTEM_SCOPE, Hold, ReleaseRule, Scope, ScopeKind, TradingLevel
from tradebot.core.looks import LookAnswer, LookReport
from tradebot.core.operator_commands import OperatorProof
from tradebot.core.order_events import OrderEvent
from tradebot.core.orders import OrderEventKind

EVALUATE_EVERY_NS: Final = NS_PER_S
"""PnL, day roll and parents without messages are looked at this often, besides every fill."""
RESTORE_BATCH: Final = 64
"""Records decoded at once while a journal is read back."""
MAX_ABANDONED: Final = 10_000
NO_SESSION: Final = "NO_SESSION"
STARTUP: Final = "STARTUP_RECONCILE"
RECOVERED: Final = "RECOVERED_ORDER"
PROFILE_CONTRADICTS: Final = "PROFILE_CONTRADICTS"
KILL_CLOSES: Final = "KILL_CLOSES"

__all__ = ["Cleared", "FlattenResult", "RiskGate", "Signer"]


class RiskGate:
    """Decides. One per process; not thread-safe but for the stop flag."""

    def __init__(
        self,
        limits: Limits,
        *,
        environment: str,
        signer: Signer,
        sink: JournalSink | None,
        venues: Iterable[str],
        stop_flag: StopFlag | None = None,
        build: str = "",
        state: RiskState | None = None,
    ) -> None:
        """Build a gate; call `restore` with journaled records, then `start`.

        Args:
            limits: Limits in force.
            environment: Mode that approvals carry.
            signer: Signing key.
            sink: Takes records; None = nothing is written, because nobody will restore this gate.
            venues: Venues that must be reconciled before anything may increase exposure there.
            stop_flag: Set by the StopService.
            build: Build that runs, which execd must run too; empty = not known.
            state: What the records before those of `restore` made, under the same limits file; None = there are none.
        """
        self.environment = environment
        self.fleet = Fleet(build)
        self.stop_flag = stop_flag or StopFlag()
        self.state = state or RiskState(limits, make_settings(limits))
        settings = self.state.settings
        self.board = MarketBoard(settings.currency, half_life_min=settings.sizing.half_life_min)
        self.session = SessionView("", {})
        self._ledger = Ledger(self.state, sink)
        self._venues = tuple(venues)
        self._signer = signer
        self._flattener = Flattener(self.state, self.board)
        self.eye_memory = EyeMemory()
        self._protection_memory = ProtectionMemory()
        self.heartbeats = Heartbeats()
        self._journal_memory = JournalMemory()
        self._equity_doubts: dict[str, int] = {}
        self._money_memory = MoneyMemory()
        self._furnish()
        if state is not None:
            self._learn_assets()
        self.kills = SagaDesk(self._ledger, self.keeper, self._flattener, self._venues, environment)
        self._down = SessionDown()
        self._sent_epoch = 0
        self._abandoned: dict[int, None] = {}
        self._log_head = 0
        self._earlier_settled = False
        """True once the order log was read to where it stood when the session began."""
        self._kept: list[tuple[Hold, Hold]] = []
        """Holds before and after their time went on with what was left, until a venue has the same time as we."""
        self._next_evaluation_ns = 0
        self._unfolded: list[tuple[int, bytes]] = []
        """Records that are read back and not folded yet."""

    def _furnish(self) -> None:
        """Build what reads the limits, for those that are in force."""
        state, ledger, board = self.state, self._ledger, self.board
        self.limits, self.settings = limits, settings = state.limits, state.settings
        board.mid_equity, board.mark_age_ns = settings.mid_marks, settings.mark_age_ns
        verifier = CommandVerifier(limits.file.operator_keys, self.environment, limits.hash)
        self.keeper = HoldKeeper(ledger, settings, self.stop_flag, verifier, self.session)
        self.limit_desk = LimitDesk(limits, verifier, settings.sign_off_ns)
        self.day_rules = DayRules(ledger, board, self.keeper, settings, self._flattener)
        caps = CapWatch(ledger, board, self.keeper, settings, self._flattener)
        money = MoneyWatch(ledger, board, self.keeper, settings.eyes.drift_ppm, self._money_memory)
        self.accountant = Accountant(ledger, board, self.day_rules, caps, money)
        self._equity_watch = EquityWatch(
            state, board, self.keeper, self.accountant, settings.watches.equity_drift_ppm, self._equity_doubts
        )
        self._mark_watch = MarkWatch(state, board, self.keeper, self.accountant)
        self._conduct = ConductWatch(state, board, self.keeper, settings)
        self._resting = RestingWatch(state, self.keeper, settings.orders.resting)
        books = Books(
            settings,
            state.portfolio,
            state.commitments,
            board,
            state.rates,
            state.rules,
            state.flow,
            state.open_risk,
            ExposureSums(),
            self.fleet,
            state.rules_hashes,
            state.kills,
        )
        self.decider = Decider(
            ledger, books, self.accountant, self.session, self.stop_flag, limits, self._signer, self.environment
        )
        self.eye_watch = EyeWatch(ledger, self.keeper, self.session, settings.eyes, self._venues, self.eye_memory)
        self._protection = ProtectionWatch(
            ledger, self.keeper, self._flattener, settings.watches.protection, self._protection_memory
        )
        self._dependencies = DependencyWatch(self.keeper, settings.watches.dependencies, self.heartbeats)
        self._journal_watch = JournalWatch(self.keeper, settings.watches.journal, self._journal_memory)

    # ---- life

    def restore(self, records: Iterable[tuple[int, bytes]]) -> None:
        """Fold journaled records, oldest first, before `start`."""
        for record_type, payload in records:
            self.restore_one(record_type, payload)
        self.finish_restore()

    def restore_one(self, record_type: int, payload: bytes) -> None:
        """Take one journaled record. They are decoded and folded in batches: each part then runs in warm caches, which
        took 9 % off a start-up. Call `finish_restore` after the last one.
        """
        self._unfolded.append((record_type, payload))
        if len(self._unfolded) >= RESTORE_BATCH:
            self.finish_restore()

    def finish_restore(self) -> None:
        """Fold what was taken."""
        batch, self._unfolded = self._unfolded, []
        records = [decode_record(record_type, payload) for record_type, payload in batch]
        for record, (_, payload) in zip(records, batch, strict=True):
            self.state.apply(record)
            if isinstance(record, DecisionRecord):
                self.decider.keep(record.decision_id, payload)
            elif isinstance(record, InstrumentsSeen):
                self._learn_assets()
            elif isinstance(record, LimitsChanged | LimitsLoaded) and self.limits is not self.state.limits:
                self._refurnish()

    def start(self, prefix: str, now_ns: int, boot: BootTime | None = None) -> None:
        """Begin a life of the process: nothing is connected, nothing is reconciled.

        Args:
            prefix: Random text that makes this life's ids unique for ever.
            now_ns: Now.
            boot: What the system says about its boot; None = the clock is known to be right, but for one that was set
                back. When the clock may have been moved since the last life, countdowns go on with what they had left,
                and the time in between does not count.

        Raises:
            ConfigError: The limits file loosens what was in force and lacks the signatures that this takes.
        """
        self.finish_restore()
        taken = take_file(self.state.limits_book, self.state.file_limits, self.environment)
        stood_ns = self.state.guards.last_ns
        trust = ClockTrust.SAME if boot is None else judge(self.state.boot, self.state.started_ns, boot, now_ns)
        if stood_ns and (now_ns < stood_ns or trust is not ClockTrust.SAME):
            before = dict(self.state.holds.holds)
            self.keeper.keep_remaining(stood_ns, now_ns)
            if now_ns >= stood_ns and trust is ClockTrust.REBOOTED:
                after = self.state.holds.holds
                self._kept = [(old, after[key]) for key, old in before.items() if after[key] != old]
        file, boot = self.limits.file, boot or BootTime()
        self._ledger.commit(
            Started(prefix, self.environment, file.profile, self.limits.hash, now_ns, boot.boot_id, boot.since_boot_ns)
        )
        if taken is not None:
            self._file_taken(taken, now_ns)
        for latched in list(self.state.pending_latches.values()):
            self.keeper.raise_latch(latched.latch, now_ns)
        for hold in self.state.holds.holds.values():
            if hold.latch_id:
                self.stop_flag.latch(hold.level, hold.latch_id)
        self.keeper.raise_(
            TradingLevel.REDUCE_ONLY, SYSTEM_SCOPE, NO_SESSION, ReleaseRule.AUTO, now_ns, "execd has not dialled"
        )
        for venue in self._venues:
            scope = Scope(ScopeKind.VENUE, venue)
            self.keeper.raise_(TradingLevel.REDUCE_ONLY, scope, STARTUP, ReleaseRule.AUTO, now_ns, "not reconciled yet")
        self._next_evaluation_ns = now_ns
        self.day_rules.go_on(now_ns)
        self.eye_watch.start(stood_ns, now_ns)
        self._protection.start(now_ns)
        self._dependencies.start(now_ns)
        self._journal_watch.start(now_ns)

    def _file_taken(self, taken: FileTaken, now_ns: int) -> None:
        """Write down what another limits file changes; hold everything when it loosens and nobody has agreed to it."""
        file, keeper = self.state.file_limits, self.keeper
        evidence = taken.held[:MAX_EVIDENCE_CHARACTERS]
        standing = [h for h in self.state.holds.holds.values() if h.cause == LIMITS_LOOSENED]
        if evidence and all(
            h.evidence != evidence for h in standing
        ):  # raised first: no moment, and no crash, lies between the file and its hold
            keeper.raise_(
                TradingLevel.HALTED, SYSTEM_SCOPE, LIMITS_LOOSENED, ReleaseRule.TWO_KEY, now_ns, evidence,
                clear_after_ns=now_ns + taken.cool_off_ns, always=True,
            )  # fmt: skip
        lines = [change_text(change) for change in taken.changes]
        self._ledger.commit(LimitsLoaded(text_of(file), file.hash, lines, taken.signers, bool(taken.held), now_ns))
        for hold in standing:
            if hold.evidence != evidence:
                keeper.clear(hold.hold_id, "ANOTHER_LIMITS_FILE", "riskd", now_ns)
        if taken.changes or taken.held:
            looser = sum(change.direction is not Direction.TIGHTENS for change in taken.changes)
            result = f"{len(lines) - looser} tighten, {looser} loosen" + (", held" if taken.held else "")
            reason, operator = "; ".join(lines)[:MAX_EVIDENCE_CHARACTERS], taken.signers or "riskd"
            keeper.audit(f"limits-{self.state.prefix}", operator, "", "LOAD_LIMITS", file.hash, reason, result, now_ns)

    def session_lost(self, now_ns: int) -> SessionDown:
        """execd is gone: nothing may increase exposure until it is back."""
        self.session.session_id = ""
        self.session.statuses.clear()
        self._abandoned.clear()
        self.eye_watch.session_changed()
        self._protection.session_changed()
        self.kills.session_changed()
        self.keeper.raise_(TradingLevel.REDUCE_ONLY, SYSTEM_SCOPE, NO_SESSION, ReleaseRule.AUTO, now_ns, "session lost")
        return self.take_down()

    # ---- execd

    def handle(
        self,
        up: SessionUp,
        now_ns: int,
        malformed: Iterable[tuple[int, str]] = (),
        send: Callable[[SessionDown], None] | None = None,
    ) -> SessionDown:
        """Apply one message of the session and return everything that is to be sent.

        Args:
            up: The message.
            now_ns: Now.
            malformed: Asks that could not even be read, as (ask id, why).
            send: Takes the result as soon as it is known, before the decisions are written down.

        Raises:
            SequenceGapError: An order event is missing: end the session, the next one resumes the log.
            RejectedError: The first message has no hello.
        """
        if up.hello is not None:
            self._hello(up.hello, now_ns)
        elif not self.session.session_id:
            raise RejectedError("NO_HELLO", "the first message of a session says hello")
        self.heartbeats.heard_ns[EXECD] = now_ns
        if up.order_events:
            self._order_events(up.order_events, now_ns)
        moved = bool(up.ledger)
        for snapshot in up.accounts:
            moved |= self.accountant.account(snapshot)
        for entry in up.ledger:
            self.accountant.ledger_entry(entry)
        if up.margins or up.position_margins:
            self.accountant.margins(up.margins, up.position_margins)
        for status in up.venues:
            self._venue(status, now_ns)
        if up.engine_build is not None:
            self.fleet.told(ENGINE, up.engine_build)
        for ask_id in up.abandons:
            self._abandoned[ask_id] = None
            if len(self._abandoned) > MAX_ABANDONED:
                del self._abandoned[next(iter(self._abandoned))]
        for statement in up.never_used:
            self._never_used(statement, now_ns)
        for latch in up.latches:
            self.keeper.raise_latch(latch, now_ns)
        for report in up.mass_cancels:
            self.kills.reported(report)
        if not moved and up.order_events:
            moved = any(event.execution is not None for event in up.order_events)
        if moved:
            self.accountant.forget_equity()
            self.accountant.evaluate(now_ns)
        if up.accounts and self.state.applied >= self._log_head:
            self.accountant.balances_told(up.accounts, now_ns)
        if up.margins and self.state.applied >= self._log_head:
            self._equity_watch.told(up.margins, now_ns)
        try:
            down = self._answers(up, malformed, now_ns)
            if send is not None and not down.is_empty():
                send(down)
        finally:  # whatever became of the answers: what was decided stands
            self._ledger.settle()
        if send is not None and any(event.status.is_terminal or event.execution for event in up.order_events):
            self.decider.get_ready(now_ns)
        return down

    def _answers(self, up: SessionUp, malformed: Iterable[tuple[int, str]], now_ns: int) -> SessionDown:
        """Return the answers to a message whose news were taken, with everything else that waits."""
        for ask in up.asks:
            self._down.answers.append(self._answer(ask, now_ns))
        for ask_id, problem in malformed:
            self._down.answers.append(self.decider.refuse_malformed(ask_id, problem, now_ns))
        if up.has_more_than_asks():
            self._ledger.fold()
        if up.ping is not None:
            resting = self.settings.orders.resting
            self._down.lease = LeaseAnswer(
                up.ping.sequence,
                self.settings.lease_valid_ms,
                self.state.holds.epoch,
                0 if resting is None else resting.max_ns // NS_PER_MS,
            )
            self._down.order_log_applied = self.state.applied
            if self.state.applied >= self._log_head:
                self.eye_watch.heard(now_ns)
        for grant_id in up.renew_grant_ids:
            grant = self.decider.renew(grant_id, now_ns)
            if grant is not None:
                self._down.renewed_grants.append(grant)
        if up.mass_cancels or up.order_events or up.latches or up.hello:
            self._work_kills(now_ns)
        return self.take_down()

    def take_down(self) -> SessionDown:
        """Return what waits for execd, and forget it. Empty without a session."""
        down, self._down = self._down, SessionDown()
        if not self.session.session_id:
            return SessionDown()
        if self.state.holds.epoch != self._sent_epoch:
            self._sent_epoch = self.state.holds.epoch
            down.levels = self.state.holds.table()
        return down

    # ---- the eyes

    def look(self, report: LookReport, now_ns: int) -> LookAnswer:
        """Take a report of what the venues hold, read independently of execd."""
        return self.eye_watch.take(report, now_ns)

    # ---- market data and time

    def bind_market(self, instruments: Iterable[tuple[int, Instrument]]) -> None:
        """A market data stream began; (column index, instrument) of everything in it."""
        self.board.bind(instruments)

    def handle_market(self, rows: Columns, now_ns: int) -> None:
        """Fold market rows."""
        self.heartbeats.heard_ns[MARKETDATA] = now_ns
        self.board.apply(rows)

    def market_heard(self, now_ns: int) -> None:
        """marketdata had nothing to say, and said so."""
        self.heartbeats.heard_ns[MARKETDATA] = now_ns

    def market_lost(self, now_ns: int) -> None:
        """The market data stream ended."""
        self.board.lost()

    def next_timer_ns(self) -> int | None:
        """Return when `handle_timer` wants to be called next."""
        others = (self.state.holds.next_expiry_ns(), self._flattener.next_ns())
        return min((self._next_evaluation_ns, *(at for at in others if at is not None)))

    def handle_timer(self, now_ns: int) -> SessionDown:
        """Let time pass: holds end, PnL is looked at, the flatten ladder climbs."""
        for hold in self.state.holds.expired(now_ns):
            if self.day_rules.may_end(hold, now_ns):
                self.keeper.clear(hold.hold_id, "TIME_IS_UP", "riskd", now_ns)
        if now_ns >= self._next_evaluation_ns:
            self._next_evaluation_ns = now_ns + EVALUATE_EVERY_NS
            self.board.sample(now_ns)
            self.accountant.evaluate(now_ns)
            self._mark_watch.watch(now_ns)
            self._conduct.watch(now_ns)
            self._resting.watch(now_ns)
            self._expire_parents(now_ns)
            self.eye_watch.handle_timer(now_ns)
            in_step = bool(self.session.session_id) and self.state.applied >= self._log_head
            self._protection.watch(now_ns, in_step=in_step)
            self._dependencies.watch(now_ns)
            self._journal_watch.watch(now_ns)
        self._work_kills(now_ns)
        self._work_flattens(now_ns)
        return self.take_down()

    # ---- operators

    def flatten(
        self, scope: Scope, *, reason: str, operator: str, role: str, command_id: str, typed_phrase: str, now_ns: int
    ) -> FlattenResult:
        """Halt the scope and close its positions with reducing orders."""
        if command_id in self.state.commands:
            return FlattenResult((), "REPEATED", "this command was handled before")
        found = self._flattener.in_scope(scope)
        phrase = f"FLATTEN {self.environment.upper()} {len(found)}"
        result = FlattenResult(())
        if not found:
            result = FlattenResult((), "FLAT", "there is no position to close")
        elif typed_phrase != phrase:
            result = FlattenResult((), "PHRASE_MISMATCH", f"type exactly: {phrase}")
        elif not self.session.session_id:
            result = FlattenResult((), NO_SESSION, "execd has no session; its protection works without us")
            if self.kills.flatten(scope):
                result = FlattenResult((), KILL_CLOSES, "the kill in force closes them as soon as execd is back")
        if not result.reason:
            release = default_release(TradingLevel.HALTED)
            self.keeper.raise_(
                TradingLevel.HALTED, scope, OPERATOR_CAUSE, release, now_ns, f"flatten: {reason}", raised_by=operator
            )
            for record in self._flattener.begin(found, now_ns):
                self._ledger.commit(record)
            if self.kills.flatten(scope):
                self._work_kills(now_ns)  # a step of the kill, however soon it is over
            before = len(self._down.reduces)
            self._work_flattens(now_ns)
            result = FlattenResult(tuple(self._down.reduces[before:]))
        text = result.reason or f"{len(result.reduces)} reduce commands"
        self.keeper.audit(command_id, operator, role, "FLATTEN", scope_text(scope), reason, text, now_ns)
        return result

    def raise_hold(
        self,
        level: TradingLevel,
        scope: Scope,
        *,
        reason: str,
        operator: str,
        role: str,
        command_id: str,
        duration_s: int,
        now_ns: int,
    ) -> Hold:
        """Raise an operator's hold; see HoldKeeper."""
        hold = self.keeper.raise_hold(
            level,
            scope,
            reason=reason,
            operator=operator,
            role=role,
            command_id=command_id,
            duration_s=duration_s,
            now_ns=now_ns,
        )
        self._work_kills(now_ns)
        return hold

    def clear_hold(
        self,
        hold_id: str,
        *,
        reason: str,
        operator: str,
        role: str,
        command_id: str,
        typed_phrase: str,
        now_ns: int,
        proof: OperatorProof | None = None,
    ) -> Cleared:
        """Clear one hold by its rule; see HoldKeeper."""
        cleared = self.keeper.clear_hold(
            hold_id, Clearing(operator, role, reason, typed_phrase, proof), command_id=command_id, now_ns=now_ns
        )
        self.accountant.evaluate(now_ns)  # a pause that ends early lands in CAUTIOUS at once
        return cleared

    def resume(
        self,
        *,
        reason: str,
        operator: str,
        role: str,
        command_id: str,
        now_ns: int,
        proof: OperatorProof | None = None,
    ) -> list[Hold]:
        """Clear the ONE_KEY holds that operators raised; see HoldKeeper."""
        clearing = Clearing(operator, role, reason, proof=proof)
        return self.keeper.resume(clearing, command_id=command_id, now_ns=now_ns)

    def set_limits(
        self, text: str, clearing: Clearing, *, command_id: str, dry_run: bool, now_ns: int
    ) -> tuple[Limits, LimitsAnswer]:
        """Put other limits in force, when the operator may; else say why not. Both ways say what they change.

        Raises:
            ConfigError: The text is no limits file, or contradicts itself.
        """
        wanted, holds = parse_limits(text), self.state.holds
        if command_id in self.state.commands and wanted.hash == self.limits.hash:
            return wanted, LimitsAnswer(True, ())
        answer = self.limit_desk.judge(wanted, clearing, command_id, holds.epoch, now_ns)
        if dry_run:
            return wanted, LimitsAnswer(False, answer.changes, "DRY_RUN", answer.reason)
        result = "in force" if answer.accepted else answer.reason
        self.keeper.audit(
            command_id, clearing.operator, clearing.role, "SET_LIMITS", wanted.hash, clearing.reason, result, now_ns
        )
        if answer.accepted:
            fences = any(change.direction is Direction.TIGHTENS for change in answer.changes)
            base = self.limits.hash
            self._ledger.commit(LimitsChanged(text, base, clearing.operator, holds.epoch + 1, fences, now_ns))
            self._refurnish()
        return wanted, answer

    def _refurnish(self) -> None:
        """Other limits are in force: everything that reads them is built again and keeps its memory."""
        kept = self.decider.decisions
        self._furnish()
        self.kills.keeper = self.keeper
        self.decider.decisions = kept

    def journal_signed(self, checkpoint: JournalCheckpoint) -> None:
        """The end of the journal was signed: write that down."""
        self._ledger.commit(checkpoint)

    def journal_doubted(self, problem: str, now_ns: int) -> None:
        """The journal that was read back is not the one that was signed: nobody knows what is missing."""
        self.keeper.raise_(TradingLevel.HALTED, SYSTEM_SCOPE, "JOURNAL_REWRITTEN", ReleaseRule.TWO_KEY, now_ns, problem)

    def journal_measured(self, health: JournalHealth, now_ns: int) -> None:
        """The disk of the journal was measured."""
        self._journal_watch.measured(health, now_ns)

    def journal_failed_before(self, problem: str, now_ns: int) -> None:
        """The life before this one ended because its journal could not be written."""
        self._journal_watch.failed_before(problem, now_ns)

    def controls_tested(
        self,
        kind: str,
        limits_hash: str,
        passed: list[str],
        failed: list[str],
        now_ns: int,
        untried: Mapping[str, str] | None = None,
    ) -> None:
        """Controls were given what they must refuse."""
        detail = f"{len(passed)} of {len(passed) + len(failed)} refused what they must"
        self._ledger.commit(ControlTested(kind, limits_hash, passed, failed, detail, now_ns, dict(untried or {})))

    def stop(self, latch: StopLatch, role: str, now_ns: int, *, journaled: bool = False) -> Hold | None:
        """A StopService latched; see HoldKeeper."""
        hold = self.keeper.stop(latch, role, now_ns, journaled=journaled)
        self._work_kills(now_ns)
        return hold

    def start_drill(
        self, operator: str, role: str, command_id: str, typed_phrase: str, *, prepare: bool, now_ns: int
    ) -> DrillAnswer:
        """Begin a drill of the kill switch, or let its orders in; see SagaDesk."""
        answer = DrillAnswer("", NO_SESSION, "execd has no session: nothing to drill")
        if self.session.session_id:
            answer = self.kills.start_drill(operator, role, command_id, typed_phrase, prepare=prepare, now_ns=now_ns)
        self._work_kills(now_ns)
        return answer

    def check_intent(self, intent: OrderIntent, now_ns: int) -> Decision:
        """Say what would be decided, without deciding it."""
        return self.decider.check_intent(intent, now_ns)

    # ---- questions

    def equity(self, now_ns: int) -> Equity:
        """Return equity at the marks of this moment."""
        return self.accountant.equity_now(now_ns)

    def render(self, record: DecisionRecord) -> Decision:
        """Return a decision with texts."""
        return self.decider.render(record)

    def watch(self) -> None:
        """Keep records for `take_fresh` from here on."""
        self._ledger.watch()

    def take_fresh(self) -> list[Record]:
        """Return the records since the last call: what streams to watchers."""
        return self._ledger.take_fresh()

    # ---- session parts

    def _hello(self, hello: SessionHello, now_ns: int) -> None:
        self.session.session_id, self.session.build = hello.session_id, hello.build_hash
        self.session.started_ns = hello.started_time_ns
        self.kills.session_changed()
        self.session.statuses.clear()
        self.eye_watch.session_changed()
        self._protection.session_changed()
        self._abandoned.clear()
        self._down = SessionDown()
        self._sent_epoch = 0
        if hello.instruments and list(hello.instruments) != self.state.instruments:
            self._ledger.commit(InstrumentsSeen(list(hello.instruments)))
            self._learn_assets()
            self._compare_profile(now_ns)
        self._follow_log(hello, now_ns)
        for latch in hello.latches:
            self.keeper.raise_latch(latch, now_ns)
        self.keeper.clear_cause(NO_SESSION, SYSTEM_SCOPE, "session is up", now_ns)
        self._log_head, self._earlier_settled = hello.order_log_head, False
        self._release_unseen(now_ns)
        self._down.welcome = Welcome(self.state.applied, self.state.holds.epoch, self.environment)

    def _follow_log(self, hello: SessionHello, now_ns: int) -> None:
        state, incarnation, head = self.state, hello.order_log_incarnation, hello.order_log_head
        lost, applied = "", state.applied
        if state.order_log and incarnation != state.order_log:
            lost, applied = f"execd's order log is new: {incarnation} after {state.order_log}", 0
        elif head < applied:
            lost, applied = f"execd's order log ends at {head}, we have {applied}", head
        self._ledger.commit(OrderLog(incarnation, applied, head))
        if lost:
            self.keeper.raise_(TradingLevel.HALTED, SYSTEM_SCOPE, "ORDER_LOG_LOST", ReleaseRule.TWO_KEY, now_ns, lost)

    def _release_unseen(self, now_ns: int) -> None:
        """Approvals of earlier sessions that the complete order log never mentions were never sent: execd sends only
        what its log has durably asked.
        """
        if self._earlier_settled or self.state.applied < self._log_head:
            return
        self._earlier_settled = True
        for order in self.state.commitments.unseen(self.session.session_id):
            terms = order.state.terms
            self._ledger.commit(Release(terms.client_order_id, order.intent_id, "NOT_IN_ORDER_LOG", now_ns))

    def _order_events(self, events: list[OrderEvent], now_ns: int) -> None:
        for event in events:
            expected = self.state.applied + 1
            if event.sequence < expected:
                continue
            if event.sequence > expected:
                raise SequenceGapError(f"order event {event.sequence} came, {expected} was expected")
            outcome = self._ledger.commit(OrderEventSeen(event, self.accountant.fee_quote(event)))
            if outcome is not None and (outcome.anomaly or outcome.order is None):
                self._anomaly(event, outcome, now_ns)
            elif outcome is not None and event.kind is OrderEventKind.SENT:
                self._sent(outcome.order, now_ns)
        self._release_unseen(now_ns)

    def _anomaly(self, event: OrderEvent, outcome: EventOutcome, now_ns: int) -> None:
        instrument_id = outcome.order.instrument_id if outcome.order is not None else ""
        if event.execution is not None:
            instrument_id = event.execution.instrument_id
        scope = Scope(ScopeKind.INSTRUMENT, instrument_id) if instrument_id else SYSTEM_SCOPE
        self.keeper.raise_(TradingLevel.HALTED, scope, "FILL_ANOMALY", ReleaseRule.ONE_KEY, now_ns, outcome.anomaly)

    def _sent(self, order: TrackedOrder | None, now_ns: int) -> None:
        """What a crash may have lost may also never have been: somebody has to look at it."""
        if order is not None and order.cover is Cover.LOST:
            text = f"{order.state.terms.client_order_id} on {order.instrument_id} was sent on {Cover.LOST.value}"
            scope = Scope(ScopeKind.VENUE, order.venue)
            self.keeper.raise_(TradingLevel.HALTED, scope, RECOVERED, ReleaseRule.ONE_KEY, now_ns, text)

    def _venue(self, status: VenueStatus, now_ns: int) -> None:
        self.session.statuses[status.venue] = status
        if status.private_stream_live and not status.reconciling and status.reconciled_time_ns > 0:
            self.keeper.clear_cause(STARTUP, Scope(ScopeKind.VENUE, status.venue), "reconciled", now_ns)
        if self._kept and agrees(self.settings.orders.clock, status, now_ns):
            self._believe_clock(now_ns)
        for alarm in status.alarms:
            self.keeper.alarm(status.venue, alarm, now_ns)

    def _believe_clock(self, now_ns: int) -> None:
        """A venue has the same time: what passed while the system booted has passed."""
        kept, self._kept = self._kept, []
        for old, new in kept:
            if self.state.holds.holds.get(new.hold_id) == new:  # untouched since
                self.keeper.retime(new, old.until_ns, old.clear_after_ns, "CLOCK_TRUSTED", "riskd", now_ns)

    def _answer(self, ask: ApprovalAsk, now_ns: int) -> ApprovalAnswer:
        if ask.ask_id in self._abandoned:
            return ApprovalAnswer(ask.ask_id, Verdict.BLOCK, "", reason="ABANDONED", detail="execd gave this ask up")
        return self.decider.answer(ask, now_ns)

    def _never_used(self, statement: NeverUsed, now_ns: int) -> None:
        orders = self.state.commitments.orders
        order = orders.get(statement.client_order_id) or next(
            (o for o in orders.values() if o.decision_id == statement.nonce), None
        )
        if order is not None and order.approved and not order.sent and order.decision_id == statement.nonce:
            self._ledger.commit(
                Release(order.state.terms.client_order_id, order.intent_id, f"NEVER_USED {statement.reason}", now_ns)
            )

    # ---- time

    def _expire_parents(self, now_ns: int) -> None:
        oldest_ns = now_ns - self.settings.parent_ttl_ns
        for parent in list(self.state.commitments.parents.values()):
            if parent.approved_ns > oldest_ns:
                break
            if not parent.closed and not parent.children:
                self._ledger.commit(Release("", parent.intent_id, "PARENT_EXPIRED", now_ns))

    def _work_flattens(self, now_ns: int) -> None:
        records, reduces, gave_up = self._flattener.work(now_ns, session=bool(self.session.session_id))
        for record in records:
            self._ledger.commit(record)
        self._down.reduces.extend(reduces)
        for instrument_id in gave_up:
            scope = Scope(ScopeKind.INSTRUMENT, instrument_id)
            self.keeper.raise_(
                TradingLevel.HALTED, scope, "FLATTEN_INCOMPLETE", ReleaseRule.ONE_KEY, now_ns, "ladder exhausted"
            )

    def _work_kills(self, now_ns: int) -> None:
        if self.kills.idle:
            return
        self._down.mass_cancels.extend(self.kills.work(now_ns, session=bool(self.session.session_id)))

    def _compare_profile(self, now_ns: int) -> None:
        """An instrument that a strategy names but the profile cannot trade is a mistake: say so, with the numbers."""
        problems = venue_contradictions(self.limits, self.state.instruments)
        for instrument in self.state.instruments:
            scope = Scope(ScopeKind.INSTRUMENT, instrument.instrument_id)
            problem = problems.get(instrument.instrument_id)
            if problem is None:
                self.keeper.clear_cause(PROFILE_CONTRADICTS, scope, "the venue's rules fit", now_ns)
            else:
                self.keeper.raise_(
                    TradingLevel.REDUCE_ONLY, scope, PROFILE_CONTRADICTS, ReleaseRule.AUTO, now_ns, problem
                )

    def _learn_assets(self) -> None:
        self.board.set_asset_paths(asset_paths(self.state.rules.values(), self.settings.currency))
