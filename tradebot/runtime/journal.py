"""The write-ahead journal: append never blocks, one thread makes groups durable, the loop hears what it waits for.

Rules: a record is durable only when `durable_seq` reached it; what must not happen before that (sending an order) waits
for it. Records that nobody waits for may be appended with `urgent=False`: they travel with the next urgent one, or
after LINGER_S, so a busy daemon writes one group per order instead of three. A failed write is never retried, because
after one the kernel may have dropped the dirty pages: the journal is failed for good and the daemon stops. Segments are
written ahead with zeros and opened O_DSYNC, so making a group durable is one system call, without file system metadata.

An order waits for its record, so the disk must begin at once: a writer without work waits inside the system call that
moves bytes from a pipe to the file, and whoever appends encodes the group and puts it into that pipe. No interpreter
lock changes hands before the write. What comes while it writes, and what is large, the writer encodes itself. See
`journal_format` for the bytes.
"""

from __future__ import annotations

import asyncio
import fcntl
import heapq
import itertools
import os
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from pathlib import Path
from types import TracebackType
from typing import NamedTuple

import structlog

from tradebot.core.errors import InvariantError, TransientError
from tradebot.runtime.clock import NS_PER_MS, Clock
from tradebot.runtime.journal_format import RECORD_OVERHEAD, JournalRecord, check_payload
from tradebot.runtime.journal_reader import JournalReader
from tradebot.runtime.journal_segments import MAX_PACKED_BYTES, SegmentWriter
from tradebot.runtime.state_dir import StateError, StateLock

DEFAULT_SEGMENT_BYTES = 64 << 20
MAX_PENDING_RECORDS = 65_536
"""Appended but not durable. Beyond it the disk has stalled and the caller must refuse work instead of queueing it."""
MAX_PENDING_BYTES = 32 << 20
MAX_GROUP_RECORDS = 4_096
MAX_GROUP_BYTES = 1 << 20
MAX_SYNCS_KEPT = 4_096
"""Durations of the latest groups that are remembered."""
FLUSH_TIMEOUT_S = 30.0
LINGER_S = 0.005
"""Longest time a record that is not urgent waits for company before its group is written."""
_BACKLOG_RETRY_NS = 10 * NS_PER_MS
_NO_SEQ = 1 << 63
"""Above every sequence number."""
_NEVER_NS = 1 << 63
"""Later than every time."""

_log = structlog.get_logger(__name__)


class JournalFailedError(InvariantError):
    """A write or sync failed: what was pending may or may not be on disk. The daemon stops and recovers by reading it
    back.
    """


class JournalBacklogError(TransientError):
    """More is pending than MAX_PENDING_RECORDS or MAX_PENDING_BYTES: the disk does not keep up."""


class JournalStats(NamedTuple):
    """What the disk has done since opening; for metrics and status."""

    groups: int
    records: int
    bytes_written: int
    write_ns_total: int
    write_ns_max: int
    """Longest time one group took to become durable."""


class _Pending(NamedTuple):
    seq: int
    now_ns: int
    record_type: int
    payload: bytes


class Journal:
    """One append-only journal with one writer thread. Any thread may append; waiting belongs to the loop's thread."""

    def __init__(
        self,
        segments: SegmentWriter,
        clock: Clock,
        lock: StateLock | None,
        last_seq: int,
        torn_bytes: int,
        loop: asyncio.AbstractEventLoop | None,
        on_failure: Callable[[JournalFailedError], None] | None,
    ) -> None:
        self._segments = segments
        self._clock = clock
        self._state_lock = lock
        self._loop = loop
        self._on_failure = on_failure
        self.torn_bytes_cut = torn_bytes
        """Bytes of an unfinished last write that opening cut off; 0 after a clean stop."""
        self._lock = threading.Lock()
        self._records: deque[_Pending] = deque()
        self._flushes: list[threading.Event] = []
        self._signaled = False
        """The writer has to look at records, flushes and closing before it parks again."""
        self._parked = False
        """The writer waits for the pipe: who takes this down hands it a group, or closes the pipe to call it."""
        self._handed: list[_Pending] = []
        self._handed_ns = 0
        self._pipe_out, self._pipe_in = os.pipe()
        self._pipe_bytes = _capacity(self._pipe_in)
        self._linger: asyncio.TimerHandle | None = None
        self._appended_seq = last_seq
        self._durable_seq = last_seq
        self._appended_bytes = 0
        self._durable_bytes = 0
        self.stats = JournalStats(0, 0, 0, 0, 0)
        self._syncs: deque[tuple[int, int]] = deque(maxlen=MAX_SYNCS_KEPT)
        self._failure: JournalFailedError | None = None
        self._closed = False
        self._ended = threading.Event()
        self._callbacks: list[Callable[[int], None]] = []
        self._wanted_seq = _NO_SEQ
        """Lowest record that the loop wants to hear of."""
        self._waiters: list[tuple[int, int, asyncio.Future[None]]] = []
        self._waiter_ids = itertools.count()
        self._thread = threading.Thread(target=self._write_groups, name="journal-writer", daemon=True)
        self._thread.start()

    @classmethod
    def open(
        cls,
        directory: Path,
        *,
        clock: Clock,
        segment_bytes: int = DEFAULT_SEGMENT_BYTES,
        on_record: Callable[[JournalRecord], None] | None = None,
        loop: asyncio.AbstractEventLoop | None = None,
        on_failure: Callable[[JournalFailedError], None] | None = None,
        lock: bool = True,
    ) -> Journal:
        """Lock the folder, verify and replay everything in it, cut off a torn tail, and get ready to append.

        Args:
            directory: Folder of segments; created when missing.
            clock: Stamps records.
            segment_bytes: Size of new segments; existing ones keep theirs.
            on_record: Called with every record, oldest first, before this returns; the daemon rebuilds its state here.
            loop: Where durability is announced. Without one, callbacks run in the writer thread and only `flush` can
                wait.
            on_failure: Called once when a write fails; the daemon must stop.
            lock: False when the caller already holds the StateLock of this folder.

        Raises:
            StateError: Folder not writable, disk full, or another process owns it.
            JournalCorruptError: The journal is damaged.
        """
        state_lock = StateLock.acquire(directory) if lock else None
        try:
            reader = JournalReader(directory)
            for record in reader:
                if on_record is not None:
                    on_record(record)
            segments = SegmentWriter(directory, segment_bytes, reader.tail)
        except BaseException:
            if state_lock is not None:
                state_lock.release()
            raise
        if reader.tail.torn_bytes:
            _log.warning("journal_torn_tail_cut", segment=str(reader.tail.segment), bytes=reader.tail.torn_bytes)
        return cls(segments, clock, state_lock, reader.tail.last_seq, reader.tail.torn_bytes, loop, on_failure)

    @property
    def durable_seq(self) -> int:
        """Highest sequence number that survives a power cut."""
        return self._durable_seq

    @property
    def appended_seq(self) -> int:
        """Highest sequence number handed out."""
        return self._appended_seq

    @property
    def pending_records(self) -> int:
        """Appended and not yet durable."""
        return self._appended_seq - self._durable_seq

    @property
    def head(self) -> tuple[int, bytes]:
        """(sequence, link) of the last durable record: what a remote witness keeps to detect a rollback."""
        return self._segments.head

    def append(self, record_type: int, payload: bytes, *, urgent: bool = True) -> int:
        """Queue one record and return its sequence number. Never waits.

        Args:
            record_type: What the daemon's records module says.
            payload: The record.
            urgent: False lets it wait up to LINGER_S for others; only on the loop's thread.

        Raises:
            JournalBacklogError: Too much is pending; nothing was queued.
            JournalFailedError: An earlier write failed or the journal is closed.
        """
        return self.append_all(((record_type, payload),), urgent=urgent)

    def append_all(self, records: Sequence[tuple[int, bytes]], *, urgent: bool = True) -> int:
        """Queue the records of one turn, all or none, with one time; return the last one's sequence number.

        Args:
            records: (type, payload) in order.
            urgent: As for `append`.

        Raises:
            JournalBacklogError: Too much is pending; nothing was queued.
            JournalFailedError: An earlier write failed or the journal is closed.
        """
        size, limit = 0, self._segments.max_payload_bytes
        for record_type, payload in records:
            check_payload(record_type, len(payload), limit)
            size += len(payload) + RECORD_OVERHEAD
        with self._lock:
            if self._failure is not None:
                raise self._failed()
            if self._closed:
                raise JournalFailedError(f"journal {self._segments.directory} is closed")
            seq = self._appended_seq
            if (
                seq + len(records) - self._durable_seq > MAX_PENDING_RECORDS
                or self._appended_bytes + size - self._durable_bytes > MAX_PENDING_BYTES
            ):
                raise JournalBacklogError(
                    f"journal {self._segments.directory}: {seq - self._durable_seq} records wait for the disk",
                    _BACKLOG_RETRY_NS,
                )
            now_ns = self._clock.now_ns()
            for record_type, payload in records:
                seq += 1
                self._records.append(_Pending(seq, now_ns, record_type, payload))
            self._appended_seq = seq
            self._appended_bytes += size
        if urgent or self._loop is None:
            self._signal()
        elif self._linger is None:
            self._linger = self._loop.call_later(LINGER_S, self._lingered)
        return seq

    def _lingered(self) -> None:
        self._linger = None
        if self._records:
            self._signal()

    def _signal(self) -> None:
        """Have everything that waits written: by handing it over, or else by calling the writer."""
        with self._lock:
            if self._signaled:
                return
            if self._parked and self._hand_over():
                return
            self._call_writer()

    def _hand_over(self) -> bool:
        """Give a parked writer all records as bytes; False when it has to encode them itself."""
        size = sum(len(record.payload) + RECORD_OVERHEAD for record in self._records)
        if not 0 < size <= self._pipe_bytes:
            return False
        group = list(self._records)
        packed = self._segments.pack(group)
        if packed is None:
            return False
        self._records.clear()
        self._parked = False
        self._handed, self._handed_ns = group, time.monotonic_ns()
        os.write(self._pipe_in, packed)  # the pipe is empty and holds _pipe_bytes: this never waits
        return True

    def _call_writer(self) -> None:
        self._signaled = True
        if self._parked:
            self._parked = False
            self._close_pipe_in()

    def _close_pipe_in(self) -> None:
        pipe_in, self._pipe_in = self._pipe_in, -1
        if pipe_in >= 0:
            os.close(pipe_in)  # from here on the writer may make the next one

    def on_durable(self, callback: Callable[[int], None]) -> None:
        """Call `callback(durable_seq)` on the loop when a record given to `want` is durable: once for all that are by
        then. Without a loop: once per group, in the writer thread.
        """
        self._callbacks.append(callback)

    def want(self, seq: int) -> bool:
        """Have the loop told when record `seq` is durable; True, and nothing is told, when it is already.

        Telling the loop wakes it up: some 40 us of an order that nobody spends when the answer to an order's question
        comes later than its record is on disk.
        """
        with self._lock:
            if seq <= self._durable_seq:
                return True
            self._wanted_seq = min(self._wanted_seq, seq)
            return False

    def syncs_since(self, since_ns: int, until_ns: int = _NEVER_NS) -> list[int]:
        """Return what the latest groups took to become durable, in ns, as far as kept; the times are monotonic."""
        return [took_ns for ended_ns, took_ns in self._syncs.copy() if since_ns <= ended_ns < until_ns]

    async def wait_durable(self, seq: int) -> None:
        """Return when record `seq` is durable; raise JournalFailedError if it never will be."""
        if seq <= self._durable_seq:
            return
        if self._failure is not None:
            raise self._failed()
        if self._loop is None:
            raise InvariantError("wait_durable needs a journal opened with a loop")
        if self.want(seq):
            return
        self._signal()
        waiter: asyncio.Future[None] = self._loop.create_future()
        heapq.heappush(self._waiters, (seq, next(self._waiter_ids), waiter))
        await waiter

    def flush(self, timeout_s: float = FLUSH_TIMEOUT_S) -> None:
        """Block until everything appended so far is durable. For start-up and shutdown, not for daily work."""
        done = threading.Event()
        with self._lock:
            self._flushes.append(done)
            self._call_writer()
        # A writer that has ended answers the flushes it finds last; what comes later sees that it has ended.
        if not self._ended.is_set() and not done.wait(timeout_s):
            raise JournalFailedError(f"journal {self._segments.directory}: flush took longer than {timeout_s} s")
        if self._failure is not None:
            raise self._failed()

    def close(self) -> None:
        """Make everything durable, stop the thread, give the folder up. Safe to call twice and after a failure."""
        with self._lock:
            if self._closed:
                return
            self._closed = True
            self._call_writer()
        self._thread.join(FLUSH_TIMEOUT_S)
        if self._thread.is_alive():  # the disk hangs: its descriptor must not be closed under the writer
            _log.error("journal_close_timed_out", folder=str(self._segments.directory), seconds=FLUSH_TIMEOUT_S)
            return
        self._segments.close()
        if self._state_lock is not None:
            self._state_lock.release()

    def __enter__(self) -> Journal:
        return self

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def _failed(self) -> JournalFailedError:
        """A fresh copy for each caller: a shared exception would collect all their tracebacks."""
        return JournalFailedError(str(self._failure))

    # ---- writer thread

    def _write_groups(self) -> None:
        flushes: list[threading.Event] = []
        stopping = False
        try:
            while not stopping:
                self._park()
                with self._lock:
                    self._signaled = False
                    flushes, self._flushes, stopping = self._flushes, [], self._closed
                self._write_waiting()
                for flush in flushes:
                    flush.set()
        except OSError as exc:
            self._fail(f"journal {self._segments.directory}: write failed ({exc.strerror})", exc)
        except StateError as exc:  # no space for the next segment
            self._fail(str(exc), exc)
        except Exception as exc:  # noqa: BLE001  top of the thread: a silent death would look like a slow disk
            self._fail(f"journal {self._segments.directory}: writer crashed ({exc!r})", exc)
        with self._lock:
            self._signaled, self._parked = True, False  # nobody calls a writer that has ended
            self._ended.set()
            self._close_pipe_in()
            os.close(self._pipe_out)
            flushes += self._flushes
        for flush in flushes:
            flush.set()

    def _park(self) -> None:
        """Wait for a group in the pipe, again and again, until there is work that does not come through it."""
        while True:
            with self._lock:
                if self._signaled:
                    return
                self._parked = True
            if not self._segments.write_packed(self._pipe_out):
                called, (self._pipe_out, self._pipe_in) = self._pipe_out, os.pipe()
                os.close(called)
                self._pipe_bytes = _capacity(self._pipe_in)
                return
            self._made_durable(self._handed, self._handed_ns)

    def _write_waiting(self) -> None:
        records = self._records
        while records:
            group: list[_Pending] = []
            size = 0
            while records and len(group) < MAX_GROUP_RECORDS and size < MAX_GROUP_BYTES:
                group.append(records.popleft())
                size += len(group[-1].payload) + RECORD_OVERHEAD
            started_ns = time.monotonic_ns()
            self._segments.write_group(group)
            self._made_durable(group, started_ns)

    def _made_durable(self, group: list[_Pending], started_ns: int) -> None:
        size = sum(len(record.payload) + RECORD_OVERHEAD for record in group)
        ended_ns = time.monotonic_ns()
        self._count(group, size, ended_ns - started_ns)
        self._syncs.append((ended_ns, ended_ns - started_ns))
        with self._lock:
            self._durable_bytes += size
            self._durable_seq = seq = group[-1].seq
            wanted = self._wanted_seq <= seq
            if wanted:
                self._wanted_seq = _NO_SEQ
        if wanted or self._loop is None:
            self._announce(self._notify_durable)

    def _count(self, group: list[_Pending], size: int, took_ns: int) -> None:
        groups, records, written, total_ns, max_ns = self.stats
        self.stats = JournalStats(
            groups + 1, records + len(group), written + size, total_ns + took_ns, max(max_ns, took_ns)
        )

    def _announce(self, callback: Callable[[], None]) -> None:
        if self._loop is None:
            callback()
            return
        try:
            self._loop.call_soon_threadsafe(callback)
        except RuntimeError:  # the loop closed before the journal: only flush() can still be waiting
            pass

    def _fail(self, what: str, cause: BaseException) -> None:
        failure = JournalFailedError(f"{what}; nothing was retried: repair the disk and start again")
        failure.__cause__ = cause
        self._failure = failure
        _log.error("journal_failed", error=str(failure))
        self._announce(self._notify_failure)

    # ---- loop thread

    def _notify_durable(self) -> None:
        waiters = self._waiters
        while waiters and self.want(waiters[0][0]):
            waiter = heapq.heappop(waiters)[2]
            if not waiter.done():
                waiter.set_result(None)
        durable = self._durable_seq
        for callback in self._callbacks:
            callback(durable)

    def _notify_failure(self) -> None:
        failure = self._failure
        if failure is None:
            return
        for _, _, waiter in self._waiters:
            if not waiter.done():
                waiter.set_exception(self._failed())
        self._waiters.clear()
        if self._on_failure is not None:
            self._on_failure(failure)


def _capacity(pipe: int) -> int:
    """Return how many bytes a group in this pipe may have: a busy system may grant less than is usual."""
    return min(MAX_PACKED_BYTES, fcntl.fcntl(pipe, fcntl.F_GETPIPE_SZ))
