"""Kills among holds, orders and positions: begins one for every KILLED hold, looks, commits, and says what to do.

A kill belongs to its hold and is found again by it, so a crash between the two begins it at the next look. What execd
has said of this session is kept in memory only: a new session proves its fence again.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import msgspec

from riskd.exposure import TrackedOrder
from riskd.flatten import LADDERS, Flattener
from riskd.holds import FLATTEN, may_raise
from riskd.keeper import HoldKeeper
from riskd.ledger import Ledger
from riskd.protection_cover import IN_FLIGHT, RESTING, STAYS, Position, uncovered
from riskd.records import DrillDone, FlattenState, KillSaga
from riskd.saga import DONE, RELEASED, Sight, advance, begin
from riskd.saga_book import DRILL_STRATEGY
from riskd.units import from_units
from tradebot.core.levels import Hold, ReleaseRule, Scope, ScopeKind, TradingLevel
from tradebot.core.mass_cancel import MassCancel, MassCancelReport
from tradebot.core.orders import OrderRole

DRILL: Final = "DRILL"
"""Cause of a drill's hold."""
DRILL_SCOPE: Final = Scope(ScopeKind.STRATEGY, DRILL_STRATEGY)
REAL: Final = "real"
MAX_FLATTEN_IDS: Final = 200
"""Closing jobs that a kill remembers as its own."""


@dataclass(frozen=True, slots=True)
class DrillAnswer:
    """Whether a drill began; `reason` when not."""

    kill_id: str
    reason: str = ""
    detail: str = ""


@dataclass(slots=True)
class _Found:
    """The orders of a scope, sorted by what a kill does with them."""

    working: list[str]
    in_flight: list[str]
    orphans: list[str]
    kept: set[str]
    doubtful: set[str]
    """Instruments with an order whose outcome is not proven."""
    reducing: bool = False


class SagaDesk:
    """Works the kills of the state."""

    def __init__(
        self, ledger: Ledger, keeper: HoldKeeper, flattener: Flattener, venues: tuple[str, ...], environment: str
    ) -> None:
        self._ledger = ledger
        self._state = ledger.state
        self.keeper = keeper
        self._flattener = flattener
        self._venues = venues
        self._environment = environment
        self._fenced_epoch = 0
        self._reports: dict[str, MassCancelReport] = {}
        """Newest report with reads of each kill."""

    @property
    def idle(self) -> bool:
        """True when nothing is killed and nothing of a kill is left over."""
        holds = self._state.holds.holds.values()
        return not self._state.flattens and all(hold.level is not TradingLevel.KILLED for hold in holds)

    # ---- what execd says

    def session_changed(self) -> None:
        """Another session, or none: what the last one said proves nothing any more."""
        self._fenced_epoch = 0
        self._reports.clear()

    def reported(self, report: MassCancelReport) -> None:
        """Take execd's answer; late and repeated ones change nothing."""
        self._fenced_epoch = max(self._fenced_epoch, report.epoch)
        known = self._reports.get(report.kill_id)
        is_newer = known is None or report.attempt > known.attempt
        if report.reads and is_newer and report.kill_id in self._state.kills.kills:
            self._reports[report.kill_id] = report

    # ---- operators

    def start_drill(
        self, operator: str, role: str, command_id: str, typed_phrase: str, *, check_only: bool, now_ns: int
    ) -> DrillAnswer:
        """Kill the drill's own strategy, positions and all; or only say whether that could begin."""
        earlier = self._state.commands.get(command_id)
        if earlier is not None and earlier.result in self._state.kills.kills:
            return DrillAnswer(earlier.result)
        answer = self._drill_problem(role, typed_phrase)
        if check_only:
            return answer
        if not answer.reason:
            hold = self.keeper.raise_(
                TradingLevel.KILLED, DRILL_SCOPE, DRILL, ReleaseRule.AUTO, now_ns, "drill of the kill switch",
                raised_by=operator,
            )  # fmt: skip
            answer = DrillAnswer(hold.hold_id)
        result = answer.reason or answer.kill_id
        self.keeper.audit(command_id, operator, role, DRILL, DRILL_STRATEGY, "", result, now_ns)
        return answer

    def _drill_problem(self, role: str, typed_phrase: str) -> DrillAnswer:
        phrase = f"{DRILL} {self._environment.upper()}"
        refusal = may_raise(role, TradingLevel.KILLED, DRILL_SCOPE)
        if refusal is not None:
            return DrillAnswer("", refusal.reason, refusal.detail)
        if self._environment == REAL and typed_phrase != phrase:
            return DrillAnswer("", "PHRASE_MISMATCH", f"the orders of a drill are real here: type exactly: {phrase}")
        running = self._state.holds.find(DRILL, DRILL_SCOPE)
        if running is not None:
            return DrillAnswer("", "DRILL_RUNNING", f"{running.hold_id} is under way: tradebot kill-report")
        return DrillAnswer("")

    def flatten(self, scope: Scope) -> bool:
        """An operator closes a scope: kills of exactly that scope see it through. Return whether there is one."""
        found = [saga for saga in self.in_force() if saga.scope == scope]
        for saga in found:
            if not saga.flatten:
                self._ledger.commit(msgspec.structs.replace(saga, flatten=True))
        return bool(found)

    # ---- the work

    def work(self, now_ns: int, *, session: bool) -> list[MassCancel]:
        """Look at every kill whose hold is in force; return what execd is to do."""
        commands: list[MassCancel] = []
        state = self._state
        for hold in list(state.holds.holds.values()):
            if hold.level is TradingLevel.KILLED and hold.hold_id not in state.kills.kills:
                self._begin(hold, now_ns)
        for saga in list(state.kills.kills.values()):
            if saga.kill_id not in state.holds.holds:
                self._give_up_jobs(saga)
                continue
            step = advance(saga, self._sight(saga, session=session), now_ns)
            fresh = step.saga
            if step.close:
                fresh = self._close(fresh, now_ns, doubtful_too=step.close_doubtful)
            if fresh != saga:
                self._ledger.commit(fresh)
            if step.command is not None:
                commands.append(step.command)
            if fresh.outcome == DONE and fresh.drill:
                self._end_drill(fresh, now_ns)
        return commands

    def in_force(self) -> list[KillSaga]:
        """Return the kills whose hold is in force, newest first."""
        holds, kills = self._state.holds.holds, self._state.kills.kills
        return [kill for kill in reversed(kills.values()) if kill.kill_id in holds]

    def _begin(self, hold: Hold, now_ns: int) -> None:
        drill = hold.cause == DRILL
        to_cancel = len(self._found(hold.scope).working)
        epoch = self._state.holds.epoch
        self._ledger.commit(begin(hold, epoch, flatten=drill, drill=drill, to_cancel=to_cancel, now_ns=now_ns))

    def _close(self, saga: KillSaga, now_ns: int, *, doubtful_too: bool) -> KillSaga:
        doubtful = set() if doubtful_too else self._found(saga.scope).doubtful
        wanted = [at for at in self._targets(saga) if at[0] not in doubtful]
        began = self._flattener.begin(wanted, now_ns)
        for job in began:
            self._ledger.commit(job)
        ids = [*saga.flatten_ids, *(job.flatten_id for job in began if job.next_ns)]
        return saga if not began else msgspec.structs.replace(saga, flatten_ids=ids[-MAX_FLATTEN_IDS:])

    def _give_up_jobs(self, saga: KillSaga) -> None:
        """The hold was cleared before the positions were closed: they are kept."""
        for flatten_id in saga.flatten_ids if saga.outcome == RELEASED else ():
            job = self._state.flattens.get(flatten_id)
            if job is not None:
                self._ledger.commit(msgspec.structs.replace(job, next_ns=0, outcome=RELEASED))

    def _end_drill(self, saga: KillSaga, now_ns: int) -> None:
        """Record the test first, then release its own hold: a crash in between does the second again."""
        last = self._state.kills.last_drill
        if last is None or last.kill_id != saga.kill_id:
            evidence = f"{saga.to_cancel} orders, {len(saga.flatten_ids)} positions"
            took_ns = saga.ended_ns - saga.began_ns
            self._ledger.commit(
                DrillDone(saga.kill_id, saga.operator, self._environment, saga.ended_ns, took_ns, evidence)
            )
        self.keeper.clear_cause(DRILL, DRILL_SCOPE, "the venue has confirmed", now_ns)

    # ---- seeing

    def _sight(self, saga: KillSaga, *, session: bool) -> Sight:
        found = self._found(saga.scope)
        targets = self._targets(saga)
        jobs = [job for job in self._state.flattens.values() if self._covers(saga.scope, job)]
        report = self._reports.get(saga.kill_id)
        if report is not None and report.order_log_head > self._state.applied:
            report = None  # it knows of events that are still on their way
        return Sight(
            session=session,
            fenced_epoch=self._fenced_epoch if session else 0,
            working=tuple(found.working),
            in_flight=tuple(found.in_flight),
            to_close=tuple(self._position_text(at) for at in targets),
            closing=found.reducing or any(self._is_open((job.instrument_id, job.strategy_id)) for job in jobs),
            orphans=tuple(found.orphans),
            kept=frozenset(found.kept),
            venues=self._scope_venues(saga.scope),
            report=report,
            ladder=", ".join(f"try {job.tries} of {LADDERS[job.cause].tries}" for job in jobs[:1]),
            left=tuple(self._left(saga)),
        )

    def _orders(self, scope: Scope) -> Iterator[tuple[TrackedOrder, Position]]:
        for order in self._state.commitments.orders.values():
            owner = self._state.owner_of(order)
            if scope.covers(order.venue, order.instrument_id, owner):
                yield order, (order.instrument_id, owner)

    def _found(self, scope: Scope) -> _Found:
        found = _Found([], [], [], set(), set())
        busy = {(job.instrument_id, job.strategy_id) for job in self._state.flattens.values()}
        for order, position in self._orders(scope):
            key, status = order.state.terms.client_order_id, order.state.status
            if status in IN_FLIGHT:
                found.doubtful.add(order.instrument_id)
            if order.role is OrderRole.REDUCE:
                found.reducing = True
            elif order.role in STAYS:
                if not self._is_open(position):
                    found.orphans.append(key)
                elif status in RESTING:
                    found.kept.add(key)
                elif position not in busy:
                    found.in_flight.append(key)
            elif status in IN_FLIGHT:
                found.in_flight.append(key)
            else:
                found.working.append(key)
        return found

    def _targets(self, saga: KillSaga) -> list[Position]:
        """Return the positions to close: all of them, or those that the kill has left without the stop they had."""
        closable = self._flattener.closable_in(saga.scope)
        if saga.flatten:
            return closable
        return uncovered(self._state, closable, resting_only=False)

    def _left(self, saga: KillSaga) -> Iterator[str]:
        targets = set(self._targets(saga))
        for position in self._flattener.in_scope(saga.scope):
            if position not in targets:
                yield f"{self._position_text(position)} stays"

    def _position_text(self, position: Position) -> str:
        return f"{from_units(self._units(position)).normalize():f} {position[0]} of {position[1]}"

    def _units(self, position: Position) -> int:
        return self._state.portfolio.units_of(*position)

    def _dust(self, position: Position) -> int:
        return self._state.rules[position[0]].dust_qty

    def _is_open(self, position: Position) -> bool:
        return abs(self._units(position)) > self._dust(position)

    def _covers(self, scope: Scope, job: FlattenState) -> bool:
        venue = self._state.rules[job.instrument_id].venue
        return job.cause == FLATTEN and scope.covers(venue, job.instrument_id, job.strategy_id)

    def _scope_venues(self, scope: Scope) -> tuple[str, ...]:
        match scope.kind:
            case ScopeKind.VENUE:
                return (scope.name,) if scope.name in self._venues else ()
            case ScopeKind.INSTRUMENT:
                rule = self._state.rules.get(scope.name)
                return () if rule is None else (rule.venue,)
            case _:
                return self._venues
