"""Between the streams and the database: what has been accepted, who may go on reading, when a batch is written.

One batch is in flight at a time, written by a thread of its own. A batch that cannot be written is kept and tried
again; until then market data is dropped, oldest first, and the order and risk streams stay unread.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Final

import structlog

from recorder.batcher import Batcher
from recorder.config import RecorderConfig
from recorder.tables import TABLES, Batch, Entry, StoredBar, StreamPosition
from recorder.writer import Writer
from tradebot.core.errors import TransientError
from tradebot.runtime.clock import Clock
from tradebot.runtime.metrics import Metrics

RETRY_S: Final = 0.5
"""Wait after a batch that could not be written."""
POLL_S: Final = 0.02
"""How often the writer looks whether enough rows wait to write early."""
NS_PER_S: Final = 1e9

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class TableFigures:
    """What is known of one table."""

    table: str
    rows: int
    queued: int
    dropped: int


class RecorderMetrics:
    """What Prometheus sees."""

    def __init__(self, metrics: Metrics) -> None:
        self._rows = metrics.counter("rows", "Rows handed to the database.", ("table",))
        self._dropped = metrics.gauge("dropped_rows", "Rows of market data dropped since the start.", ("table",))
        self._queue = metrics.gauge("queue_rows", "Rows that wait for the database.")
        self._failing = metrics.gauge("database_failing", "1 while the database cannot be written.")
        self._batch_s = metrics.histogram("batch_seconds", "Time to write one batch.")

    def on_batch(self, batch: Batch, seconds: float) -> None:
        """Count one written batch."""
        for table, count in Counter(entry.op.table for entry in batch.entries).items():
            self._rows.labels(table).inc(count)
        self._batch_s.observe(seconds)

    def on_state(self, waiting: int, dropped: Mapping[str, int], *, failing: bool) -> None:
        """Note how the queues are."""
        self._queue.set(waiting)
        self._failing.set(failing)
        for table, count in dropped.items():
            if count:
                self._dropped.labels(table).set(count)


class Recorder:
    """The daemon's state. All methods belong to the loop's thread."""

    def __init__(self, section: RecorderConfig, store: Writer, clock: Clock, metrics: Metrics | None = None) -> None:
        self.section = section
        self._metrics = RecorderMetrics(metrics) if metrics is not None else None
        self._store = store
        self._clock = clock
        self._batcher = Batcher(section.flush_rows, section.flush_interval_ms)
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="database")
        self._lock = asyncio.Lock()
        self._taken = asyncio.Event()
        """Set when the queues were emptied into a batch."""
        self._pending: Batch | None = None
        """The batch taken from the queues and not known to be written: under way, or failed and to be tried again."""
        self._positions = {position.source: position for position in store.positions()}
        self._rows: Mapping[str, int] = store.row_counts()
        self.stored_bars: Sequence[StoredBar] = store.newest_bars()
        self.failure = ""
        """Why nothing is written at the moment; empty when all is well."""
        self.batches = 0
        self.last_batch_ms = 0.0

    def position(self, source: str) -> StreamPosition | None:
        """Return how far a stream has been accepted."""
        return self._positions.get(source)

    def accept(self, entries: Iterable[Entry], position: StreamPosition | None = None) -> None:
        """Queue rows, and how far they bring their stream."""
        now_ns = self._clock.now_ns()
        self._batcher.add(entries, now_ns)
        if position is not None:
            self._positions[position.source] = position
            self._batcher.set_position(position, now_ns)

    async def wait_room(self) -> None:
        """Wait until order and risk rows may be accepted; the stream stays unread meanwhile."""
        while not self._batcher.has_room():
            self._taken.clear()
            await self._taken.wait()

    async def run(self) -> None:
        """Write batches as they become due, for ever."""
        while True:
            now_ns = self._clock.now_ns()
            if self._pending is not None:
                if not await self.flush():
                    await asyncio.sleep(RETRY_S)
            elif self._batcher.is_due(now_ns):
                await self.flush()
            else:
                due_ns = self._batcher.next_due_ns() or now_ns + self.section.flush_interval_ms * 1_000_000
                await asyncio.sleep(min(max(due_ns - now_ns, 0) / NS_PER_S, POLL_S))

    async def flush(self) -> bool:
        """Write everything that waits. Return False when the database did not take it."""
        async with self._lock:
            while (batch := self._pending or self._batcher.take()) is not None:
                self._taken.set()
                if not await self._write(batch):
                    self._report()
                    return False
                if not self._batcher.waiting:
                    break
            loop = asyncio.get_running_loop()
            self._rows = await loop.run_in_executor(self._thread, self._store.row_counts)
            self._report()
        return True

    async def _write(self, batch: Batch) -> bool:
        began_ns = self._clock.now_ns()
        self._pending = batch  # also when this task is canceled while it waits: writing it again changes nothing
        try:
            await asyncio.get_running_loop().run_in_executor(self._thread, self._store.write, batch)
        except TransientError as exc:
            if not self.failure:
                _log.error("database_failed", error=str(exc), rows=len(batch.entries))
            self.failure = str(exc)
            return False
        if self.failure:
            _log.warning("database_recovered")
        self._pending, self.failure = None, ""
        self.batches += 1
        took_ns = self._clock.now_ns() - began_ns
        self.last_batch_ms = took_ns / 1e6
        if self._metrics is not None:
            self._metrics.on_batch(batch, took_ns / NS_PER_S)
        return True

    def _report(self) -> None:
        if self._metrics is not None:
            self._metrics.on_state(self.waiting, self._batcher.dropped(), failing=bool(self.failure))

    def figures(self) -> list[TableFigures]:
        """Return rows, queue and drops per table, in order of name."""
        queued, dropped = self._batcher.queued(), self._batcher.dropped()
        for entry in self._pending.entries if self._pending is not None else ():
            queued[entry.op.table] += 1
        return [TableFigures(name, self._rows.get(name, 0), queued[name], dropped[name]) for name in TABLES]

    @property
    def waiting(self) -> int:
        """Rows not written yet."""
        return self._batcher.waiting + (len(self._pending.entries) if self._pending is not None else 0)

    async def close(self) -> None:
        """Write what is left and close the database."""
        await self.flush()
        await self.abandon()
        self._store.close()

    async def abandon(self) -> None:
        """End the database thread without writing what waits; a batch under way ends first."""
        await asyncio.to_thread(self._thread.shutdown)
