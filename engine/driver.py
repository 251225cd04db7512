"""The engine under a virtual clock: rows, order events and timers merged in order of time, up to a horizon.

The harness knows the order latency: nothing it does can answer an intent sooner than `lookahead_ns` after it. So the
engine may run on past its first output by that much less one nanosecond, and how the harness cuts its requests changes
nothing. At equal times order events come first, then rows, then timers.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from engine.bars import NEVER_NS, Bar
from engine.runner import EngineCore
from tradebot.core.errors import ConfigError, RejectedError
from tradebot.core.instruments import Instrument
from tradebot.core.intents import IntentAnswer, Wish
from tradebot.core.order_events import OrderEvent
from tradebot.core.row_block import RowBlock

DRIVE_INCARNATION: Final = "drive"
"""Incarnation of every drive: the same drive gives the same intent ids."""
MAX_PENDING_BATCHES: Final = 4_096
"""Row batches sent ahead of the horizon; a harness that sends more has forgotten to move it."""


@dataclass(slots=True)
class RowBatch:
    """Rows of one request and where their stream begins."""

    rows: RowBlock
    sequences: Sequence[int]
    sent_time_ns: int
    position: int = 0
    """Next row to take."""
    next_ns: int = 0
    """Its receive time."""


@dataclass(slots=True)
class DriveStep:
    """What a step did."""

    processed_to_ns: int
    consumed_rows: int
    intents: list[tuple[int, Wish]] = field(default_factory=list)
    """(time of the decision, intent or cancel)."""
    next_timer_ns: int = 0
    decides_at_ns: int = 0
    """See `EngineCore.decides_at_ns`."""


class EngineDriver:
    """One drive of one core."""

    def __init__(self, core: EngineCore, start_time_ns: int) -> None:
        self._core = core
        self._now_ns = start_time_ns
        self._batches: deque[RowBatch] = deque()
        self._events: deque[OrderEvent] = deque()
        self._consumed = 0
        self._last_row_ns = start_time_ns

    def add_rows(self, rows: RowBlock, sequences: Sequence[int], sent_time_ns: int) -> None:
        """Take rows for later, in order of receive time.

        Raises:
            RejectedError: If a row is older than what was processed, or too many wait.
        """
        if not len(rows):
            return
        if len(self._batches) >= MAX_PENDING_BATCHES:
            raise RejectedError("TOO_MANY_ROWS", f"{MAX_PENDING_BATCHES} batches wait: raise horizon_ns")
        first_ns, last_ns = int(rows.receive_time_ns[0]), int(rows.receive_time_ns[-1])
        if first_ns < self._last_row_ns:
            raise RejectedError("ROWS_OUT_OF_ORDER", f"row received at {first_ns} comes after {self._last_row_ns}")
        self._last_row_ns = last_ns
        self._batches.append(RowBatch(rows, sequences, sent_time_ns, 0, first_ns))

    def step(
        self, events: Sequence[OrderEvent], answers: Sequence[IntentAnswer], horizon_ns: int, lookahead_ns: int
    ) -> DriveStep:
        """Run up to and including `horizon_ns`, or less after an output.

        Raises:
            RejectedError: If an event lies in the past or `lookahead_ns` is not positive.
        """
        if lookahead_ns <= 0:
            raise RejectedError("BAD_LOOKAHEAD", f"lookahead_ns must be positive, not {lookahead_ns}")
        for event in events:
            if event.receive_time_ns < self._now_ns:
                raise RejectedError(
                    "EVENT_IN_THE_PAST",
                    f"order event {event.sequence} at {event.receive_time_ns} is before {self._now_ns}",
                )
            self._events.append(event)
        self._core.handle_answers(answers)
        made: list[tuple[int, Wish]] = []
        stop_ns = horizon_ns
        while (wishes := self._advance(stop_ns)) is not None:
            if wishes:
                stop_ns = min(stop_ns, self._now_ns + lookahead_ns - 1)
                made += [(self._now_ns, wish) for wish in wishes]
        self._now_ns = max(self._now_ns, stop_ns)
        return DriveStep(
            self._now_ns, self._consumed, made, self._core.next_timer_ns() or 0, self._core.decides_at_ns()
        )

    def _advance(self, stop_ns: int) -> list[Wish] | None:
        """Let the next thing happen, or many rows that nobody has to see; None when nothing is due up to `stop_ns`.

        At equal times order events come first, then rows, then timers.
        """
        core = self._core
        event_ns = self._events[0].receive_time_ns if self._events else NEVER_NS
        row_ns = self._batches[0].next_ns if self._batches else NEVER_NS
        wanted_ns = core.next_timer_ns()
        timer_ns = NEVER_NS if wanted_ns is None else wanted_ns
        if event_ns <= row_ns and event_ns <= timer_ns:
            if event_ns > stop_ns or event_ns == NEVER_NS:
                return None
            self._now_ns = max(self._now_ns, event_ns)
            return core.handle_order_events(self._take_events(event_ns), self._now_ns)
        if row_ns <= timer_ns:
            return None if row_ns > stop_ns else self._take_rows(min(stop_ns, timer_ns, event_ns - 1))
        if timer_ns > stop_ns:
            return None
        self._now_ns = max(self._now_ns, timer_ns)
        return core.handle_timer(self._now_ns)

    def _take_events(self, event_ns: int) -> list[OrderEvent]:
        """Take the events of one time up to the first fill: that one a strategy sees, and it may set a timer."""
        waiting = self._events
        taken = [waiting.popleft()]
        while taken[-1].execution is None and waiting and waiting[0].receive_time_ns == event_ns:
            taken.append(waiting.popleft())
        return taken

    def _take_rows(self, to_ns: int) -> list[Wish]:
        """Take rows received up to `to_ns` that nobody has to see, or one that somebody has to."""
        core, batch = self._core, self._batches[0]
        rows, start = batch.rows, batch.position
        stop = core.fold_rows(rows, start, to_ns)
        intents: list[Wish] = []
        if stop == start:
            self._now_ns = max(self._now_ns, batch.next_ns)
            sequences = batch.sequences[stop : stop + 1]
            sent_ns = batch.sent_time_ns or batch.next_ns
            stop += 1
            intents = core.handle_rows(rows.columns(start, stop), sequences, sent_ns, self._now_ns)
        self._consumed += stop - start
        batch.position = stop
        if stop == len(rows):
            self._batches.popleft()
        else:
            batch.next_ns = int(rows.receive_time_ns[stop])
        return intents


def start_drive(
    core: EngineCore,
    instruments: Sequence[tuple[int, Instrument]],
    start_time_ns: int,
    history: Mapping[tuple[str, int], Sequence[Bar]],
) -> EngineDriver:
    """Begin a drive: the one way in for the service and for a harness in the same process.

    Args:
        core: Fresh, of incarnation DRIVE_INCARNATION.
        instruments: (column index, instrument) of everything in the data.
        start_time_ns: Virtual time at which the data begins, 0 = with its first event.
        history: Closed bars by (instrument id, interval in ns); missing ones are taken as empty.

    Raises:
        ConfigError: If a strategy trades what is not in the data.
    """
    core.market_started(DRIVE_INCARNATION, instruments)
    missing = sorted(set(core.instrument_ids) - set(core.markets))
    if missing:
        raise ConfigError(f"start.instruments: {missing[0]} is traded by a strategy but not in the data")
    if start_time_ns:
        core.start_bars(start_time_ns)
    for request in core.history_wanted():
        bars = history.get((request.instrument_id, request.interval_ns), ())
        core.feed_history(request.instrument_id, request.interval_ns, bars, start_time_ns)
    return EngineDriver(core, start_time_ns)
