"""The gate among its neighbours: clock, journal, execd's session, watchers. Moves messages; decides nothing."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Final

import structlog

from riskd.gate import RiskGate
from riskd.journal_watch import JournalHealth
from riskd.marks import Columns
from riskd.records import (
    Command,
    DecisionRecord,
    HoldCleared,
    HoldRaised,
    KillSaga,
    OrderEventSeen,
    Record,
    RecordType,
)
from riskd.saga import Step
from tradebot.core.approvals import SessionDown, SessionUp, StopLatch
from tradebot.core.errors import InvariantError
from tradebot.core.instruments import Instrument
from tradebot.core.levels import Hold, TradingLevel
from tradebot.runtime.clock import Clock
from tradebot.runtime.journal import Journal
from tradebot.runtime.outbox import Outbox
from tradebot.runtime.sequenced_log import SequencedLog
from tradebot.runtime.stream_hub import StreamHub

TICK_S: Final = 0.1
"""How often time is told to the gate; holds end at most this late."""
KEPT_RISK_EVENTS: Final = 2_000
KEPT_POSITION_CHANGES: Final = 2_000
KEPT_WARNINGS: Final = 200
KEPT_TIMES: Final = 1_000

_log = structlog.get_logger(__name__)

RiskEventRecord = HoldRaised | HoldCleared | DecisionRecord | Command | KillSaga


LINGERING: Final = frozenset(
    {RecordType.DECISION, RecordType.ORDER_EVENT, RecordType.ACCOUNT, RecordType.RELEASE, RecordType.GRANT}
)
"""Records that wait for company: execd sends again what a dead riskd had not written down."""


class LiveGate:
    """One gate in one process. Everything belongs to the loop's thread."""

    def __init__(self, gate: RiskGate, clock: Clock, journal: Journal, incarnation: str) -> None:
        self.gate = gate
        self.clock = clock
        self.journal = journal
        self.incarnation = incarnation
        self.events: StreamHub[RiskEventRecord] = StreamHub(SequencedLog(incarnation, KEPT_RISK_EVENTS))
        """What watchers of risk events get."""
        self.positions: StreamHub[str] = StreamHub(SequencedLog(incarnation, KEPT_POSITION_CHANGES))
        """Instruments whose positions changed."""
        self._decide_us: deque[int] = deque(maxlen=KEPT_TIMES)
        self.warnings: deque[tuple[int, str, str]] = deque(maxlen=KEPT_WARNINGS)
        """Time, level and text of what an operator should read."""
        self._outbox: Outbox[SessionDown] | None = None
        self._told_kills: dict[str, tuple[int, str, str]] = {}
        """Step, reason and outcome of each kill as last published: repetitions are no news."""
        gate.watch()

    @property
    def session_up(self) -> bool:
        """Whether execd is connected."""
        return self._outbox is not None

    def decide_us_p50(self) -> int:
        """Return the median time per ask, microseconds: checks, signing and records."""
        return sorted(self._decide_us)[len(self._decide_us) // 2] if self._decide_us else 0

    # ---- execd's session

    def session_message(self, outbox: Outbox[SessionDown], up: SessionUp, malformed: Iterable[tuple[int, str]]) -> bool:
        """Give one message to the gate; what it answers waits in the outbox before this returns.

        Returns False when another session has replaced this one: the message is void.
        """
        if up.hello is not None and self._outbox is not outbox:
            if self._outbox is not None:
                self._outbox.close()
                self.gate.session_lost(self.clock.now_ns())
            self._outbox = outbox
        elif self._outbox is not None and self._outbox is not outbox:
            return False
        started_ns = time.perf_counter_ns()

        def send(down: SessionDown) -> None:
            if up.asks:
                self._decide_us.append((time.perf_counter_ns() - started_ns) // (1_000 * len(up.asks)))
            outbox.put(down, urgent=not _only_acknowledges(down))

        self.gate.handle(up, self.clock.now_ns(), malformed, send)
        self.publish()
        return True

    def session_ended(self, outbox: Outbox[SessionDown]) -> None:
        """The stream of this outbox ended."""
        if self._outbox is outbox:
            self._outbox = None
            self.gate.session_lost(self.clock.now_ns())
            self.publish()

    def push(self, down: SessionDown | None = None) -> None:
        """Send what the gate has for execd and publish what it wrote down."""
        down = self.gate.take_down() if down is None else down
        if self._outbox is not None and not down.is_empty():
            self._outbox.put(down)
        self.publish()

    def close(self) -> None:
        """End every stream, so that stopping does not wait for watchers."""
        self.events.close()
        self.positions.close()
        if self._outbox is not None:
            self._outbox.close()

    # ---- market data and time

    def market_began(self, instruments: Iterable[tuple[int, Instrument]]) -> None:
        """A market data stream says what its column indexes mean."""
        self.gate.bind_market(instruments)

    def market_rows(self, rows: Columns) -> None:
        """Rows of that stream."""
        self.gate.handle_market(rows, self.clock.now_ns())

    def told_build(self, daemon: str, build: str) -> None:
        """A daemon told its build (AUT-05)."""
        if self.gate.fleet.told(daemon, build):
            _log.error("other_build", daemon=daemon, build=build, ours=self.gate.fleet.build)

    def market_heard(self) -> None:
        """A message of it that had no rows."""
        self.gate.market_heard(self.clock.now_ns())

    def market_ended(self) -> None:
        """No book is known to be true any more."""
        self.gate.market_lost(self.clock.now_ns())

    def journal_measured(self, health: JournalHealth) -> None:
        """The disk of the journal was measured."""
        self.gate.journal_measured(health, self.clock.now_ns())

    async def run_clock(self) -> None:
        """Tell the gate the time, for ever."""
        while True:
            self.push(self.gate.handle_timer(self.clock.now_ns()))
            await asyncio.sleep(TICK_S)

    # ---- stops

    def stopped(self, latch: StopLatch, role: str) -> None:
        """The stop thread latched and wrote its record: raise the hold, tell execd."""
        self.gate.stop(latch, role, self.clock.now_ns(), journaled=True)
        self.push()

    # ---- watchers

    @contextmanager
    def keeping_stream(self, name: str) -> Iterator[None]:
        """Somebody keeps a stream open: he is there until it ends."""
        self.gate.heartbeats.opened(name)
        try:
            yield
        finally:
            self.gate.heartbeats.closed(name, self.clock.now_ns())

    async def settle(self) -> None:
        """Return when everything written down so far survives a power cut: only then is an operator answered."""
        await self.journal.wait_durable(self.journal.appended_seq)

    def publish(self) -> None:
        """Pass fresh records on to the watchers."""
        for record in self.gate.take_fresh():
            self._publish_one(record)

    def _publish_one(self, record: Record) -> None:
        match record:
            case DecisionRecord():
                self.events.publish(record)
            case OrderEventSeen(event=event):
                if event.execution is not None:
                    self.positions.publish(event.execution.instrument_id)
            case HoldRaised(hold=hold):
                self._warn(hold)
                self.events.publish(record)
            case HoldCleared() | Command():
                self.events.publish(record)
            case KillSaga():
                self._tell_kill(record)
            case _:
                pass

    def _tell_kill(self, saga: KillSaga) -> None:
        told = (saga.step, saga.stuck, saga.outcome)
        if self._told_kills.get(saga.kill_id) == told:
            return
        self._told_kills[saga.kill_id] = told
        if len(self._told_kills) > KEPT_WARNINGS:
            del self._told_kills[next(iter(self._told_kills))]
        self.events.publish(saga)
        step, text = Step(saga.step).name, saga.stuck or saga.outcome
        if saga.stuck:
            self.warnings.append((self.clock.now_ns(), "error", f"KILL {saga.kill_id} stuck at {step}: {saga.stuck}"))
        _log.warning("kill_step", kill_id=saga.kill_id, step=step, text=text)

    def _warn(self, hold: Hold) -> None:
        severity = "error" if hold.level >= TradingLevel.HALTED else "warning"
        text = f"{hold.level.name} {hold.scope.kind.name} {hold.scope.name} {hold.cause}: {hold.evidence}"
        self.warnings.append((hold.raised_ns, severity, text))
        _log.warning("hold_raised", hold_id=hold.hold_id, text=text, by=hold.raised_by)


def _only_acknowledges(down: SessionDown) -> bool:
    """True when execd waits for nothing in it: a count of order events taken."""
    return not (
        down.answers
        or down.lease
        or down.welcome
        or down.levels
        or down.reduces
        or down.renewed_grants
        or down.mass_cancels
    )


class LateSink:
    """The journal as the gate sees it: nothing is appended before the journal was read back and opened."""

    def __init__(self) -> None:
        self._journal: Journal | None = None

    def open(self, journal: Journal) -> None:
        """From here on records go to this journal."""
        self._journal = journal

    def append(self, record_type: int, payload: bytes) -> int:
        """Queue one record."""
        if self._journal is None:
            raise InvariantError("a record before the journal was opened")
        return self._journal.append(record_type, payload, urgent=record_type not in LINGERING)
