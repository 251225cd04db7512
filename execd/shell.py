"""The live shell around the desk: hands events in with the time, does what the outbox says, in the order of urgency.

Bytes for venues go first, then records to the journal, then what riskd and the readers of the streams are waiting
for. All methods belong to the loop's thread and never wait.
"""

from __future__ import annotations

import asyncio
from collections import Counter, deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

import structlog

from execd.approvals_shell import KeptApprovals
from execd.desk import CancelAnswer, Desk
from execd.latency import LatencyRing
from execd.records import Outbox as DeskOutbox
from execd.records import ReadJob, VenueSend
from execd.venue_rest import do_read
from execd.venue_session import VenueSession
from tradebot.core.approvals import ApprovalAsk, SessionDown, SessionUp, StopLatch
from tradebot.core.errors import InvariantError, RateLimitedError, VenueProtocolError
from tradebot.core.instruments import Instrument, rules_hash
from tradebot.core.intents import IntentAnswer, IntentStatus, OrderIntent
from tradebot.core.order_events import OrderEvent
from tradebot.core.orders import OrderEventKind
from tradebot.runtime.clock import NS_PER_S, Clock
from tradebot.runtime.journal import Journal
from tradebot.runtime.sequenced_log import SequencedLog
from tradebot.runtime.stream_hub import StreamHub
from tradebot.runtime.venue_reader import READ_ERRORS, VenueReader
from tradebot.venues.api_orders import KeyRights

TICK_S: Final = 0.01
"""Timers are looked at so often; every deadline of the core is far longer."""
MAX_OPEN_READS: Final = 32
STREAM_EVENTS: Final = 100_000
"""Order events kept for readers that resume."""
TELL_LATE_S: Final = 0.007
"""Events that nobody acts on are told with the next turn, or after this: by then a lingering group is on disk."""
MAX_LOG_LINES: Final = 64
MAX_EVENTS_PER_MESSAGE: Final = 100
"""A riskd that lost its journal gets the whole log again: in pieces, because gRPC bounds a message (16 MiB here)."""

_log = structlog.get_logger("execd.desk")

EventRow = tuple[OrderEvent, bytes]
"""An order event and its serialized form; empty bytes for one of an earlier turn."""
AnswerSink = Callable[[IntentAnswer], None]


class Uplink(Protocol):
    """The session's way up to riskd. Nothing here waits."""

    def ask(self, ask: ApprovalAsk, raw_intent: bytes) -> None:
        """Send an ask at once; the parent's intent is serialized already, or empty."""

    def events(self, rows: Sequence[EventRow], urgent: bool) -> None:
        """Send order events, in order."""

    def rest(self, up: SessionUp) -> None:
        """Send everything else, at once."""


@dataclass(slots=True)
class HeldEvents:
    """Order events that are told to nobody before their records are durable: what was said is never unsaid."""

    record_seq: int
    for_riskd: Sequence[EventRow]
    rows: list[EventRow]
    urgent: bool


class LiveDesk:
    """See the module."""

    def __init__(self, desk: Desk, journal: Journal, clock: Clock, log_incarnation: str, kept: KeptApprovals) -> None:
        self.desk = desk
        self.clock = clock
        self.hub: StreamHub[EventRow] = StreamHub(
            SequencedLog(log_incarnation, STREAM_EVENTS, desk.state.orders.log.head)
        )
        self.tick_to_wire = LatencyRing()
        self.frame_to_wire = LatencyRing()
        self.risk_round_trip = LatencyRing()
        self.ack_latency = LatencyRing()
        self.orders_sent = 0
        self.intents_refused: Counter[str] = Counter()
        """By reason, of riskd or of ours."""
        self.orders_rejected: Counter[str] = Counter()
        """By reason, of the venues."""
        self.warnings: deque[tuple[int, str, str]] = deque(maxlen=MAX_LOG_LINES)
        """(time, level, text) for the heartbeat."""
        self._journal = journal
        self._held: deque[HeldEvents] = deque()
        self._held_urgent = 0
        self._tell_timer: asyncio.TimerHandle | None = None
        self._sessions: dict[str, VenueSession] = {}
        self._rests: dict[str, VenueReader] = {}
        self.uplink: Uplink | None = None
        self._answer_sinks: dict[str, AnswerSink] = {}
        self._reads: set[asyncio.Task[None]] = set()
        self._loop = asyncio.get_running_loop()
        self._tick: asyncio.TimerHandle | None = None
        desk.state.wire = self._send
        desk.state.ask_now = self._ask_now
        desk.state.keep_approval = kept.keep
        journal.on_durable(self._durable)

    def attach(self, session: VenueSession, rest: VenueReader) -> None:
        """Use these links for their venue."""
        self._sessions[session.name] = session
        self._rests[session.name] = rest

    def start(self) -> None:
        """Do what the desk wanted at its start, and begin to tick."""
        self.flush()
        self._tick = self._loop.call_later(TICK_S, self._on_tick)

    def stop(self) -> None:
        """No more timers and reads."""
        for timer in (self._tick, self._tell_timer):
            if timer is not None:
                timer.cancel()
        for task in self._reads:
            task.cancel()

    # ---- events in

    def submit(self, intents: Sequence[tuple[OrderIntent, bytes]], sink: AnswerSink) -> None:
        """Take intents; each answer goes to the sink, now or later."""
        now_ns = self.clock.now_ns()
        for intent, raw in intents:
            self._answer_sinks[intent.intent_id] = sink
            self.desk.on_intent(intent, now_ns, raw)
        self.flush()
        self.desk.asks.prepare(now_ns)

    async def cancel(self, client_order_id: str, reason: str) -> CancelAnswer:
        """Cancel one order; answered when the wish survives a power cut."""
        answer = self.desk.on_cancel(client_order_id, reason, self.clock.now_ns())
        self.flush()
        await self._journal.wait_durable(self._journal.appended_seq)
        return answer

    def engine_connected(self, build: str) -> None:
        """An engine opened its stream."""
        self.desk.engine_connected(build)
        self.flush()

    def latch(self, latch: StopLatch) -> None:
        """A stop was set in the other thread."""
        self.desk.on_latch(latch, self.clock.now_ns())
        self.flush()

    def risk_connected(self, session_id: str, uplink: Uplink) -> None:
        """The session to riskd is open."""
        self.uplink = uplink
        self.desk.session_connected(session_id, self.clock.now_ns())
        self.flush()

    def risk_lost(self) -> None:
        """The session to riskd is gone."""
        self.uplink = None
        for held in self._held:
            held.for_riskd = ()  # the next session resumes by sequence
        self.desk.session_lost(self.clock.now_ns())
        self.flush()

    def risk_message(self, down: SessionDown) -> None:
        """riskd said something. The disk may be further than it told, because nobody waited for it."""
        now_ns = self.clock.now_ns()
        self._catch_up(now_ns)
        self.desk.on_session(down, now_ns)
        self.flush()

    def venue_up(self, name: str) -> None:
        """A private connection is open."""
        self.desk.venue_connected(name, self.clock.now_ns())
        self.flush()

    def rules_read(self, name: str, instruments: Iterable[Instrument]) -> None:
        """The venue's trading rules were read."""
        self.desk.rules_read(name, rules_hash(instruments), self.clock.now_ns())
        self.flush()

    def rights_read(self, name: str, rights: KeyRights | None) -> None:
        """The venue told what the key may do; None = it did not."""
        self.desk.rights_read(name, rights, self.clock.now_ns())
        self.flush()

    def status_read(self, name: str, *, maintenance: bool) -> None:
        """The venue told whether it is under maintenance."""
        self.desk.status_read(name, maintenance=maintenance)
        self.flush()

    def venue_down(self, name: str) -> None:
        """A private connection is gone."""
        self.desk.venue_lost(name, self.clock.now_ns())
        self.flush()

    def venue_frame(self, name: str, data: bytes) -> None:
        """A private frame arrived. One that breaks the protocol costs the connection."""
        now_ns = self.clock.now_ns()
        try:
            event = self.desk.state.codecs[name].decode(data)
        except VenueProtocolError as exc:
            _log.error("venue_protocol", venue=name, error=str(exc), frame=data[:512].decode(errors="replace"))
            self._sessions[name].drop("protocol error")
            return
        if event is not None:
            self.desk.on_venue_event(name, event, now_ns)
            self.flush()

    def quotes_moved(self, instrument_ids: Sequence[str]) -> None:
        """Best prices were written into the quote board."""
        now_ns = self.clock.now_ns()
        for instrument_id in instrument_ids:
            self.desk.quote_moved(instrument_id, now_ns)
        if self.desk.has_output:
            self.flush()

    def shut_down(self) -> None:
        """Stop policy of the desk."""
        self.desk.shut_down(self.clock.now_ns())
        self.flush()

    def _durable(self, seq: int) -> None:
        self._catch_up(self.clock.now_ns())
        if self.desk.has_output:
            self.flush()
        else:
            self._tell()

    def _catch_up(self, now_ns: int) -> None:
        """Let the desk send what waited for records that are durable by now."""
        seq = self._journal.durable_seq
        if seq > self.desk.state.durable_seq:
            self.desk.on_durable(seq, now_ns)

    def _tell_late(self) -> None:
        self._tell_timer = None
        self._tell()
        if self._held and self._journal.want(self._held[0].record_seq):
            self._tell()

    def _on_tick(self) -> None:
        self._tick = self._loop.call_later(TICK_S, self._on_tick)
        now_ns = self.clock.now_ns()
        due_ns = self.desk.next_timer_ns(now_ns)
        if due_ns is not None and due_ns <= now_ns:
            self.desk.handle_timer(now_ns)
            self.flush()

    # ---- outbox out

    def flush(self) -> None:
        """Do everything that the desk wants."""
        out = self.desk.take()
        for send in out.sends:
            self._send(send)
        if out.records:
            last_seq = self._journal.append_all(out.records, urgent=out.pressing or out.fills)
            if last_seq != self.desk.state.last_record:
                raise InvariantError("the desk's record numbers and the journal's have parted")
        events, up = self.desk.take_events(), self.desk.take_up()
        if up is not None and self.uplink is not None:
            self._tell()  # an approval is given back after riskd has heard that its order was asked for
            self.uplink.rest(up)
        for event, _ in out.events:
            if event.kind is OrderEventKind.REJECTED:
                self.orders_rejected[event.reason] += 1
        if events or out.events:
            for_riskd = _with_bytes(events, out.events) if self.uplink is not None else ()
            self._held.append(HeldEvents(self._journal.appended_seq, for_riskd, out.events, out.fills))
            self._held_urgent += out.fills
        self._tell()
        for answer in out.answers:
            if answer.status is IntentStatus.REFUSED:
                self.intents_refused[answer.reason] += 1
            sink = self._answer_sinks.pop(answer.intent_id, None)
            if sink is not None:
                sink(answer)
        if self.desk.asks.round_trips_ns:
            for duration_ns in self.desk.asks.round_trips_ns:
                self.risk_round_trip.add(duration_ns)
            self.desk.asks.round_trips_ns.clear()
        for duration_ns in self.desk.venue_side.ack_ns:
            self.ack_latency.add(duration_ns)
        self.desk.venue_side.ack_ns.clear()
        self._rest(out)

    def _ask_now(self, ask: ApprovalAsk, raw_intent: bytes) -> None:
        """Send an ask at once; without a session it is void already."""
        if self.uplink is not None:
            self.uplink.ask(ask, raw_intent)

    def _tell(self) -> None:
        """Tell riskd and the readers of the streams about every event whose record is durable. The journal is to
        tell of the next record that somebody waits for.
        """
        held, durable_seq = self._held, self._journal.durable_seq
        while held and held[0].record_seq <= durable_seq:
            batch = held.popleft()
            self._held_urgent -= batch.urgent
            if batch.for_riskd and self.uplink is not None:
                for start in range(0, len(batch.for_riskd), MAX_EVENTS_PER_MESSAGE):
                    self.uplink.events(batch.for_riskd[start : start + MAX_EVENTS_PER_MESSAGE], batch.urgent)
            for row in batch.rows:
                self.hub.publish(row)
        awaited = self.desk.awaited_seq()
        if self._held_urgent:
            fill = next(batch.record_seq for batch in held if batch.urgent)
            awaited = fill if awaited is None else min(awaited, fill)
        if awaited is not None and self._journal.want(awaited):
            self._loop.call_soon(self._durable, awaited)  # durable since we looked
        elif held and self._tell_timer is None:
            self._tell_timer = self._loop.call_later(TELL_LATE_S, self._tell_late)

    def _rest(self, out: DeskOutbox) -> None:
        for level, event, text in out.notices:
            getattr(_log, level)(event, text=text)
            if level != "info":
                self.warnings.append((self.clock.now_ns(), level, f"{event}: {text}"))
        for job in out.reads:
            self._start_read(job)
        for venue, reason in out.reconnects:
            self._sessions[venue].drop(reason)

    def _send(self, send: VenueSend) -> None:
        session = self._sessions.get(send.venue)
        if session is None or not session.send(send.data):
            return  # the connection went away: venue_down makes everything on its way unproven
        if send.market_sent_time_ns:
            now_ns = self.clock.now_ns()
            self.tick_to_wire.add(now_ns - send.market_sent_time_ns)
            if send.market_receive_time_ns:
                self.frame_to_wire.add(now_ns - send.market_receive_time_ns)
        if send.is_order:
            self.orders_sent += 1

    def _start_read(self, job: ReadJob) -> None:
        if len(self._reads) >= MAX_OPEN_READS:
            self._loop.call_later(TICK_S, self._finish_read, job, None)
            return
        task = self._loop.create_task(self._read(job), name=f"read {job.kind.name}")
        self._reads.add(task)
        task.add_done_callback(self._read_done)

    def _read_done(self, task: asyncio.Task[None]) -> None:
        self._reads.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            raise error  # our bug: the loop's handler stops the daemon

    async def _read(self, job: ReadJob) -> None:
        result = None
        try:
            codec = self.desk.state.codecs[job.venue]
            traded = [i.instrument_id for i in self.desk.state.instruments.values() if i.venue == job.venue]
            result = await do_read(self._rests[job.venue], job, codec, traded)
        except RateLimitedError as exc:
            _log.error("venue_rate_limited", venue=job.venue, error=str(exc))
            self.desk.venue_quiet(job.venue, exc.retry_after_ns, self.clock.now_ns())
        except READ_ERRORS as exc:
            _log.warning("venue_read_failed", venue=job.venue, kind=job.kind.name, error=str(exc))
        self._finish_read(job, result)

    def _finish_read(self, job: ReadJob, result: object) -> None:
        self.desk.on_read(job, result, self.clock.now_ns())  # type: ignore[arg-type]
        self.flush()

    def quiet_s(self, name: str) -> float:
        """Return for how long the venue must not be bothered at all."""
        return max(0, self.desk.state.venues[name].quiet_until_ns - self.clock.now_ns()) / NS_PER_S

    def link_state(self, name: str) -> tuple[str, int]:
        """Return (state, age of the last frame in ms) of a private connection."""
        session = self._sessions[name]
        venue = self.desk.state.venues[name]
        age_ms = int((self._loop.time() - session.last_frame_s) * 1_000) if session.last_frame_s else 0
        if not session.connected:
            return "connecting", age_ms
        return ("live" if venue.live else "connecting"), age_ms


def _with_bytes(events: Sequence[OrderEvent], rows: Sequence[EventRow]) -> Sequence[EventRow]:
    """Return riskd's events as rows. Nearly always they are the turn's own; a session that resumes gets older ones."""
    if len(events) == len(rows) and (not rows or events[0] is rows[0][0]):
        return rows
    raws = {event.sequence: raw for event, raw in rows}
    return [(event, raws.get(event.sequence, b"")) for event in events]
