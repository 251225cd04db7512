"""Judges what the eyes report: PTR-01 and PTR-05 (orders), PTR-03 and PTR-04 (through `eye_drift`), and their silence.

Whoever sends, riskd approves before an order can be at a venue, and execd's log tells of protecting orders when they
leave. So an order that is still unknown after execd was heard several times since it was seen is nobody's: its events,
had there been any, would have come before those words. While execd is not heard nothing is judged, and nothing is
forgotten either: history is read again from where it was last judged.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final

from riskd.eye_drift import DriftMemory, DriftWatch
from riskd.eye_orders import describe, problem
from riskd.eye_rule import EyeRule
from riskd.keeper import HoldKeeper
from riskd.ledger import Ledger
from riskd.records import EyesStarted
from riskd.session_view import SessionView
from tradebot.core.ids import has_our_shape
from tradebot.core.levels import ReleaseRule, Scope, ScopeKind, TradingLevel
from tradebot.core.looks import LookAnswer, LookReport, SeenOrder, VenueLook

NS_PER_S: Final = 1_000_000_000
UNAPPROVED: Final = "PTR-01"
FOREIGN: Final = "PTR-05"
SILENT: Final = "EYES_SILENT"
OVERLAP_NS: Final = 30 * NS_PER_S
"""History is read again from so long before the last look."""
MAX_LOOK_AGE_NS: Final = 30 * NS_PER_S
"""An older look says nothing about now."""
MAX_AHEAD_NS: Final = NS_PER_S
HEARD_BEFORE_JUDGING: Final = 6
"""Lease pings of execd between seeing an unknown order and judging it: 1.5 s."""
LOOK_AGAIN_MS: Final = 2_000
MAX_SUSPECTS: Final = 500
MAX_JUDGED: Final = 10_000


@dataclass(slots=True)
class _Suspect:
    order: SeenOrder
    heard: int = 0
    """How often execd spoke since."""


@dataclass(slots=True)
class EyeMemory:
    """What lies between two reports. Not journaled: holds are, and what is not judged is read again."""

    sequence: int = 0
    reports: int = 0
    looked_ns: dict[str, int] = field(default_factory=dict)
    """Venue -> last complete look, or the start of this process."""
    marks: dict[str, int] = field(default_factory=dict)
    errors: dict[str, str] = field(default_factory=dict)
    """Venue -> why the last look failed."""
    suspects: dict[tuple[str, str, str], _Suspect] = field(default_factory=dict)
    """By (venue, symbol, venue order id)."""
    judged: dict[tuple[str, str, str], None] = field(default_factory=dict)
    """Offenders that raised a hold; those that are closed raise it once only."""
    in_step: bool = False
    """Whether execd's log is folded up to its head and execd was heard since."""
    drift: DriftMemory = field(default_factory=DriftMemory)


class EyeWatch:
    """See the module."""

    def __init__(
        self,
        ledger: Ledger,
        keeper: HoldKeeper,
        session: SessionView,
        rule: EyeRule,
        venues: Iterable[str],
        memory: EyeMemory,
    ) -> None:
        self._ledger = ledger
        self._state = ledger.state
        self._keeper = keeper
        self._session = session
        self._rule = rule
        self._venues = tuple(venues)
        self._memory = memory
        self._drift = DriftWatch(ledger.state, rule, memory.drift)

    # ---- life

    def start(self, stood_ns: int, now_ns: int) -> None:
        """A process starts; `stood_ns` is the latest time that the journal knows, 0 for a new one."""
        for venue in self._venues:
            self._memory.looked_ns[venue] = now_ns
            self._memory.marks[venue] = (stood_ns or now_ns) - OVERLAP_NS

    def session_changed(self) -> None:
        """execd's session began or ended: what it has not told may still come."""
        self._memory.in_step = False
        for suspect in self._memory.suspects.values():
            suspect.heard = 0

    def heard(self, now_ns: int) -> None:
        """execd pinged and its log is folded up to the head: whatever it sent before is known."""
        self._memory.in_step = True
        if self._memory.suspects:
            for suspect in self._memory.suspects.values():
                suspect.heard += 1
            self._judge(now_ns)

    def handle_timer(self, now_ns: int) -> None:
        """Notice silence."""
        if not self._rule.orders:
            return
        for venue, looked_ns in self._memory.looked_ns.items():
            if now_ns - looked_ns > self._rule.max_silence_ns:
                why = self._memory.errors.get(venue) or "the eyes do not report"
                detail = f"no look at {venue} for {self._rule.max_silence_ns // NS_PER_S} s: {why}"
                scope = Scope(ScopeKind.VENUE, venue)
                self._keeper.raise_(TradingLevel.REDUCE_ONLY, scope, SILENT, ReleaseRule.AUTO, now_ns, detail)

    def silent_venues(self) -> list[str]:
        """Return the venues that nobody looks at."""
        holds = self._state.holds.holds.values()
        return [hold.scope.name for hold in holds if hold.cause == SILENT]

    # ---- reports

    def take(self, report: LookReport, now_ns: int) -> LookAnswer:
        """Take one report of the eyes."""
        reason = self._refusal(report, now_ns)
        if reason:
            return self._answer(reason, 0)
        if report.epoch != self._state.eyes.epoch:
            self._ledger.commit(EyesStarted(report.epoch, now_ns))
        self._memory.sequence = report.sequence
        self._memory.reports += 1
        again = False
        for look in report.looks:
            if look.venue not in self._memory.looked_ns:
                continue
            self._memory.errors[look.venue] = look.error
            if not look.error and self._is_fresh(look, now_ns):
                again |= self._look(look, now_ns)
        return self._answer("", LOOK_AGAIN_MS if again else 0)

    def _refusal(self, report: LookReport, now_ns: int) -> str:
        epoch = self._state.eyes.epoch
        if report.epoch > now_ns + MAX_AHEAD_NS:
            return "FROM_FUTURE"
        if report.epoch < epoch:
            return "OLD_EPOCH"
        if report.epoch == epoch and report.sequence <= self._memory.sequence:
            return "REPEATED"
        return ""

    @staticmethod
    def _is_fresh(look: VenueLook, now_ns: int) -> bool:
        """Return whether a look is of now: reports of before a restart of riskd would pass by number."""
        return now_ns - MAX_LOOK_AGE_NS <= look.started_ns <= look.finished_ns <= now_ns + MAX_AHEAD_NS

    def _answer(self, reason: str, again_ms: int) -> LookAnswer:
        marks = tuple((venue, max(0, mark)) for venue, mark in self._memory.marks.items())
        return LookAnswer(not reason, reason, marks, again_ms)

    def _look(self, look: VenueLook, now_ns: int) -> bool:
        """Take a complete look; return whether another one should follow soon."""
        memory, venue = self._memory, look.venue
        memory.looked_ns[venue] = now_ns
        self._keeper.clear_cause(SILENT, Scope(ScopeKind.VENUE, venue), "the eyes report again", now_ns)
        if (self._rule.orders and self._suspect(look)) or not self._rule.orders:
            memory.marks[venue] = look.started_ns - OVERLAP_NS
        if not memory.in_step:
            return False
        status = self._session.statuses.get(venue)
        hears = status is not None and status.private_stream_live and not status.reconciling
        told_ns = status.reconciled_time_ns if status is not None and hears else 0
        drifts, baseline, doubtful = self._drift.look(look, now_ns, told_ns)
        if baseline is not None:
            self._ledger.commit(baseline)
        for drift in drifts:
            scope = Scope(ScopeKind.VENUE, venue)
            self._keeper.raise_(TradingLevel.PAUSED, scope, drift.check_id, ReleaseRule.ONE_KEY, now_ns, drift.detail)
        return doubtful

    # ---- orders

    def _suspect(self, look: VenueLook) -> bool:
        """Note every order that nothing allows yet; return False when there are more than can be kept."""
        commitments, memory = self._state.commitments, self._memory
        horizon_ns = max(self._state.eyes.first_ns, commitments.forgotten_ns)
        for order in look.orders:
            key = (look.venue, order.venue_symbol, order.venue_order_id)
            if not problem(order, commitments):
                memory.suspects.pop(key, None)
            elif not order.is_open and (order.event_time_ns <= horizon_ns or key in memory.judged):
                continue
            elif key in memory.suspects:
                memory.suspects[key].order = order
            elif len(memory.suspects) >= MAX_SUSPECTS:
                return False
            else:
                memory.suspects[key] = _Suspect(order)
        return True

    def _judge(self, now_ns: int) -> None:
        memory = self._memory
        for key, suspect in list(memory.suspects.items()):
            why = problem(suspect.order, self._state.commitments)
            if not why:
                del memory.suspects[key]
            elif suspect.heard >= HEARD_BEFORE_JUDGING:
                del memory.suspects[key]
                memory.judged[key] = None
                if len(memory.judged) > MAX_JUDGED:
                    del memory.judged[next(iter(memory.judged))]
                self._condemn(key[0], suspect.order, why, now_ns)

    def _condemn(self, venue: str, order: SeenOrder, why: str, now_ns: int) -> None:
        text = describe(order, why)
        if self._rule.foreign and not has_our_shape(order.client_order_id):
            scope = Scope(ScopeKind.INSTRUMENT, order.instrument_id) if order.instrument_id else None
            scope = scope or Scope(ScopeKind.VENUE, venue)
            self._keeper.raise_(TradingLevel.REDUCE_ONLY, scope, FOREIGN, ReleaseRule.ONE_KEY, now_ns, text)
            return
        scope = Scope(ScopeKind.VENUE, venue)
        self._keeper.raise_(TradingLevel.KILLED, scope, UNAPPROVED, ReleaseRule.TWO_KEY, now_ns, text)
