"""Where the market comes from: the seeded synthetic process, or a recording played again.

A feed owns the market's time line. `run_to(now_ns)` makes everything due happen in order; how often it is called does
not change what happens.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Final, Protocol

from simexchange.publisher import DIFF_MS, NS_PER_MS, LiveBook, SymbolPublisher
from tradebot.core.books import Book
from tradebot.core.errors import ConfigError
from tradebot.core.market import BUY_FLAG, LAST_FLAG, SELL_FLAG, RowColumns, RowKind
from tradebot.core.orders import Side
from tradebot.sim.engine import MatchingEngine
from tradebot.sim.orders import SimEvent
from tradebot.sim.rng import SplitMix64
from tradebot.sim.synthetic import SyntheticMarket, SyntheticParams
from tradebot.venues.server_api import Depth, PublicTrade, RecordedFrame, RecordingCodec, Touch

HISTORY_S: Final = 12_600
"""Generated candles before the start by default: three and a half hours, so 200 one-minute bars warm up."""
MAX_LINES_BEFORE_SNAPSHOT: Final = 50_000
"""A recording must show its depth snapshot within its first lines."""
MAX_ACTIONS_PER_RUN: Final = 200_000
"""A run that is further behind than this catches up in the next call."""

OnEvents = Callable[[Sequence[SimEvent], int], None]
RecordedLine = tuple[int, bytes]
"""Receive time in ns, raw frame."""


class Feed(Protocol):
    """A source of market events."""

    @property
    def is_finished(self) -> bool:
        """True when nothing more will come."""
        ...

    @property
    def served(self) -> frozenset[int]:
        """Symbols with data."""
        ...

    def is_open(self, instrument: int) -> bool:
        """True while orders are taken."""
        ...

    def next_ns(self) -> int | None:
        """Return when something happens next."""
        ...

    def run_to(self, now_ns: int) -> None:
        """Make everything due happen."""
        ...

    def after_own_action(self, instrument: int) -> None:
        """Our orders may have changed the displayed book."""
        ...

    def depth(self, instrument: int, limit: int) -> Depth: ...
    def touch(self, instrument: int) -> Touch: ...
    def shock(self, instrument: int, change_bps: float) -> bool:
        """Move the price at once; False when this feed cannot."""
        ...


class SyntheticFeed:
    """One process per symbol, all on one time line."""

    is_finished = False

    def __init__(
        self,
        engine: MatchingEngine,
        params: Sequence[SyntheticParams],
        publishers: Sequence[SymbolPublisher],
        books: Sequence[LiveBook],
        on_events: OnEvents,
        rng: SplitMix64,
        start_ns: int,
        history_s: int,
    ) -> None:
        self._publishers = publishers
        self._books = books
        self._on_events = on_events
        # One generator per symbol, made in order: adding a symbol does not change the others.
        self._processes = [SyntheticMarket(engine, i, one, rng.fork()) for i, one in enumerate(params)]
        self._next_tick_ms = start_ns // NS_PER_MS // DIFF_MS * DIFF_MS + DIFF_MS
        start_ms = start_ns // NS_PER_MS
        first_second = start_ms // 1_000 * 1_000
        for process, publisher, book in zip(self._processes, publishers, books, strict=True):
            publisher.candles.load(process.history(first_second - history_s * 1_000, first_second))
            publisher.candles.advance(start_ms)
            process.begin(start_ns)
            book.drain()

    @property
    def served(self) -> frozenset[int]:
        return frozenset(range(len(self._processes)))

    def is_open(self, instrument: int) -> bool:
        return True

    def next_ns(self) -> int:
        return min(self._next_tick_ms * NS_PER_MS, *(process.next_event_ns() for process in self._processes))

    def run_to(self, now_ns: int) -> None:
        for _ in range(MAX_ACTIONS_PER_RUN):
            due = min(range(len(self._processes)), key=lambda i: self._processes[i].next_event_ns())
            event_ns = self._processes[due].next_event_ns()
            tick_ns = self._next_tick_ms * NS_PER_MS
            if min(event_ns, tick_ns) > now_ns:
                return
            if tick_ns <= event_ns:
                self._tick()
                continue
            self._on_events(self._processes[due].run_next(), event_ns)
            self._books[due].drain()

    def _tick(self) -> None:
        for publisher, book in zip(self._publishers, self._books, strict=True):
            book.flush(self._next_tick_ms)
            publisher.on_second(self._next_tick_ms)
        self._next_tick_ms += DIFF_MS

    def after_own_action(self, instrument: int) -> None:
        self._books[instrument].drain()

    def depth(self, instrument: int, limit: int) -> Depth:
        return self._books[instrument].snapshot(limit)

    def touch(self, instrument: int) -> Touch:
        return self._books[instrument].touch

    def shock(self, instrument: int, change_bps: float) -> bool:
        self._processes[instrument].shock(change_bps)
        return True


class _ReplayedBook:
    """The venue's published book as the recording tells it, for snapshots."""

    __slots__ = ("book", "first_snapshot_id", "last_id", "touch")

    def __init__(self) -> None:
        self.book = Book()
        self.last_id = 0
        self.first_snapshot_id = 0
        self.touch = Touch(0, 0, 0, 0, 0)

    def set_levels(self, bids: Sequence[tuple[int, int]], asks: Sequence[tuple[int, int]], update_id: int) -> None:
        for price, lots in bids:
            self.book.set_level(BUY_FLAG, price, lots)
        for price, lots in asks:
            self.book.set_level(SELL_FLAG, price, lots)
        self.last_id = update_id


class ReplayFeed:
    """A recording, played from its first line at `start_ns`.

    Event times are shifted so that the first one is `start_ns`; they are not scaled. `speed` only feeds faster. The
    book starts from the recorded snapshot: it is looked up ahead, so a client that asks at once gets it, drops the
    older diffs and goes on with the newer ones, exactly as on the venue.
    """

    def __init__(
        self,
        engine: MatchingEngine,
        lines: Iterator[RecordedLine],
        codec: RecordingCodec,
        publishers: Sequence[SymbolPublisher],
        on_events: OnEvents,
        start_ns: int,
        speed: float,
        loses_diff: Callable[[], bool],
    ) -> None:
        self._engine = engine
        self._lines = lines
        self._codec = codec
        self._publishers = publishers
        self._on_events = on_events
        self._start_ns = start_ns
        self._speed = speed
        self._first_receive_ns: int | None = None
        self._shift_ms: int | None = None
        self._ahead: list[tuple[int, RecordedFrame]] = []
        self._books: dict[int, _ReplayedBook] = {}
        self._loses_diff = loses_diff
        self.is_finished = False
        self.frames_played = 0
        self._load_first_snapshots()

    @property
    def served(self) -> frozenset[int]:
        return frozenset(self._books)

    def is_open(self, instrument: int) -> bool:
        return instrument in self._books

    # --- reading ---------------------------------------------------------------------------------------------------

    def _load_first_snapshots(self) -> None:
        """Look ahead until every symbol seen so far has its snapshot."""
        seen: list[tuple[int, RecordedFrame]] = []
        symbols: set[int] = set()
        while len(seen) < MAX_LINES_BEFORE_SNAPSHOT and not (self._books and symbols <= self._books.keys()):
            item = self._read()
            if item is None:
                break
            seen.append(item)
            frame = item[1]
            symbols.add(frame.stream.instrument)
            if frame.stream.kind == "snapshot" and frame.stream.instrument not in self._books:
                self._start_book(frame)
        if not self._books:
            raise ConfigError(
                f"simexchange.replay: no depth snapshot of a configured symbol in the first {len(seen)} lines: "
                "start with the file that contains it"
            )
        self._ahead = seen[::-1]

    def _read(self) -> tuple[int, RecordedFrame] | None:
        for receive_ns, raw in self._lines:
            frame = self._codec.read(raw)
            if frame is not None:
                if self._first_receive_ns is None:
                    self._first_receive_ns = receive_ns
                if self._shift_ms is None and frame.event_ms:
                    self._shift_ms = self._start_ns // NS_PER_MS - frame.event_ms
                return receive_ns, frame
        return None

    def _peek(self) -> tuple[int, RecordedFrame] | None:
        if not self._ahead:
            item = self._read()
            if item is None:
                self.is_finished = True
                return None
            self._ahead.append(item)
        return self._ahead[-1]

    def next_ns(self) -> int | None:
        item = self._peek()
        return None if item is None else self._due_ns(item[0])

    def _due_ns(self, receive_ns: int) -> int:
        return self._start_ns + int((receive_ns - (self._first_receive_ns or 0)) / self._speed)

    def run_to(self, now_ns: int) -> None:
        for _ in range(MAX_ACTIONS_PER_RUN):
            item = self._peek()
            if item is None or self._due_ns(item[0]) > now_ns:
                return
            self._ahead.pop()
            self._play(item[1], self._due_ns(item[0]))

    # --- playing ---------------------------------------------------------------------------------------------------

    def _start_book(self, frame: RecordedFrame) -> None:
        book = self._books[frame.stream.instrument] = _ReplayedBook()
        book.set_levels(frame.bids, frame.asks, frame.final_id)
        book.first_snapshot_id = frame.final_id
        rows = RowColumns()
        for flag, levels in ((BUY_FLAG, frame.bids), (SELL_FLAG, frame.asks)):
            for price, lots in levels:
                _add(rows, RowKind.SNAPSHOT_LEVEL, frame.stream.instrument, flag, price, lots, frame.final_id)
        self._engine.on_rows(rows, 0, len(rows), self._start_ns)

    def _play(self, frame: RecordedFrame, now_ns: int) -> None:
        self.frames_played += 1
        instrument = frame.stream.instrument
        book = self._books.get(instrument)
        if frame.stream.kind == "snapshot":
            if book is None:
                self._start_book(frame)
            return  # later ones add nothing to the diffs
        if book is None:
            return  # a symbol is served from its snapshot on
        publisher = self._publishers[instrument]
        shift_ms = self._shift_ms or 0
        rows = RowColumns()
        match frame.stream.kind:
            case "trade" if frame.trade is not None:
                self._play_trade(frame, frame.trade, publisher, shift_ms, rows)
            case "depth":
                publisher.on_second(frame.event_ms + shift_ms)
                if frame.final_id > book.last_id:
                    book.set_levels(frame.bids, frame.asks, frame.final_id)
                    _add_levels(rows, instrument, frame, RowKind.BOOK_LEVEL)
                if not self._loses_diff():
                    publisher.pass_on(frame.stream, self._codec.shift(frame, shift_ms))
            case _:
                if frame.final_id >= book.first_snapshot_id and frame.bids and frame.asks:
                    (bid, bid_lots), (ask, ask_lots) = frame.bids[0], frame.asks[0]
                    book.touch = Touch(frame.final_id, bid, bid_lots, ask, ask_lots)
                    _add_levels(rows, instrument, frame, RowKind.BBO)
                publisher.pass_on(frame.stream, frame.payload)
        if len(rows):
            self._on_events(self._engine.on_rows(rows, 0, len(rows), now_ns), now_ns)

    def _play_trade(
        self, frame: RecordedFrame, one: PublicTrade, publisher: SymbolPublisher, shift_ms: int, rows: RowColumns
    ) -> None:
        moved = PublicTrade(one.trade_id, one.price, one.lots, one.buyer_is_maker, one.time_ms + shift_ms)
        publisher.pass_on(frame.stream, self._codec.shift(frame, shift_ms))
        publisher.on_trade(moved, send=False)
        flag = SELL_FLAG if one.buyer_is_maker else BUY_FLAG
        _add(rows, RowKind.TRADE, frame.stream.instrument, flag | LAST_FLAG, one.price, one.lots, one.trade_id)

    # --- answers ---------------------------------------------------------------------------------------------------

    def after_own_action(self, instrument: int) -> None:
        """Our orders are not shown in a recording."""

    def depth(self, instrument: int, limit: int) -> Depth:
        book = self._books.get(instrument)
        if book is None:
            return Depth(0, (), ())
        return Depth(book.last_id, book.book.top(Side.BUY, limit), book.book.top(Side.SELL, limit))

    def touch(self, instrument: int) -> Touch:
        book = self._books.get(instrument)
        if book is None:
            return Touch(0, 0, 0, 0, 0)
        if not book.touch.bid:
            (bid, bid_lots), (ask, ask_lots) = (
                (book.book.top(side, 1) or [(0, 0)])[0] for side in (Side.BUY, Side.SELL)
            )
            return Touch(book.last_id, bid, bid_lots, ask, ask_lots)
        return book.touch

    def shock(self, instrument: int, change_bps: float) -> bool:
        return False


def _add(rows: RowColumns, kind: RowKind, instrument: int, flags: int, price: int, lots: int, row_id: int) -> None:
    rows.append((kind, instrument, flags, price, lots, row_id, 0, 0))


def _add_levels(rows: RowColumns, instrument: int, frame: RecordedFrame, kind: RowKind) -> None:
    for flag, levels in ((BUY_FLAG, frame.bids), (SELL_FLAG, frame.asks)):
        for price, lots in levels:
            _add(rows, kind, instrument, flag, price, lots, frame.final_id)
