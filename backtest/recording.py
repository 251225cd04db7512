"""Recordings: files of lines `<receive time ns> <raw venue frame>`, read through the market data daemon's own core.

Codec, book sync and row writer are the live ones, so a book that is not proven is not traded on here either. A line
without a stream is a REST depth snapshot and belongs to the symbol of the line before it.
"""

from __future__ import annotations

import gzip
import heapq
import re
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import chain, takewhile
from operator import itemgetter
from pathlib import Path
from typing import Final

from backtest.history.rows import Market
from marketdata.book import BookRules, MarketBook
from simexchange.config import DEFAULT_SYMBOLS
from simexchange.recording import synthetic_lines
from tradebot.core.errors import ConfigError, VenueProtocolError
from tradebot.core.instruments import Instrument
from tradebot.core.market import BookState, RowColumns
from tradebot.core.row_block import RowBlock
from tradebot.venues.api import BboEvent, BookDelta, MarketDataVenue, TradeEvent

PEEKED_LINES: Final = 20_000
"""Lines looked at to find the symbols of a recording."""
BATCH_ROWS: Final = 4_096
"""Rows after which a batch is handed out; one event's rows stay together."""
NS_PER_S: Final = 1_000_000_000
SYNTHETIC_START_NS: Final = 1_767_225_600 * NS_PER_S
"""2026-01-01 00:00 UTC: a fixed start, so that a run depends on nothing but its arguments."""
CHECK_EVERY_NS: Final = 100_000_000
"""How often the books' progress is judged, as live."""
_STREAM: Final = re.compile(rb'"stream"\s*:\s*"([a-z0-9]+)@')

_SNAPSHOT: Final = b"@snapshot"
"""Stream name of REST snapshots in merged lines: they name no symbol themselves."""

Line = tuple[int, bytes]
"""Receive time and raw frame."""


def read_lines(path: Path) -> Iterator[Line]:
    """Yield the lines of a recording.

    Raises:
        ConfigError: Naming file and line, when it is not such a file.
    """
    number = 0
    try:
        with gzip.open(path, "rb") if path.suffix == ".gz" else path.open("rb") as file:
            for number, line in enumerate(file, 1):
                stamp, _, raw = line.rstrip().partition(b" ")
                if not stamp.isdigit() or not raw:
                    raise ConfigError(
                        f"{path}:{number}: expected `<receive time ns> <frame>`, found {line[:40].rstrip()!r}"
                    )
                yield int(stamp), raw
    except (OSError, EOFError, zlib.error) as exc:
        raise ConfigError(f"{path}: cannot be read after line {number} ({exc}): is it complete?") from exc


@dataclass(frozen=True, slots=True)
class Source:
    """Where lines come from; `lines` starts from the first one each time."""

    name: str
    symbols: tuple[str, ...]
    """Venue symbols in it, upper case."""
    lines: Callable[[], Iterator[Line]]
    markets: tuple[Market, ...] = ()
    """Frames say nothing of steps."""

    def open(self, venue: MarketDataVenue, instruments: Sequence[Instrument]) -> Recording:
        """Return its rows."""
        return Recording(self, venue, instruments)

    def span(self, instruments: Sequence[Instrument]) -> tuple[int, int]:
        """Return the first and the newest receive time."""
        first_ns = last_ns = 0
        for stamp, _ in self.lines():
            first_ns, last_ns = first_ns or stamp, max(last_ns, stamp)
        return first_ns, last_ns

    def cut(self, instruments: Sequence[Instrument], at_ns: int, stem: Path) -> Path:
        """Write the lines up to a receive time to a file of this name without its ending; return that file.

        The first later line ends it: virtual time never steps back behind it.
        """
        path = stem.with_suffix(".log")
        with path.open("wb") as file:
            file.writelines(b"%d %s\n" % line for line in takewhile(lambda line: line[0] <= at_ns, self.lines()))
        return path


def recorded(path: Path, *others: Path) -> Source:
    """Return files as one source: those of the same symbols continue each other, the others are merged by time.

    Raises:
        ConfigError: If one of them is not a recording.
    """
    paths = (path, *others)
    streams: dict[tuple[str, ...], list[Path]] = {}
    for one in paths:
        if not one.is_file():
            raise ConfigError(f"{one}: no such recording; `tradebot sample-data FILE` makes one")
        streams.setdefault(tuple(sorted(find_symbols(one))), []).append(one)
    name = ", ".join(one.name for one in paths)
    symbols = tuple(dict.fromkeys(symbol for one in paths for symbol in find_symbols(one)))
    return Source(name, symbols, lambda: _merged([partial(_continued, files) for files in streams.values()]))


def _continued(paths: Sequence[Path]) -> Iterator[Line]:
    return chain.from_iterable(map(read_lines, paths))


def _merged(streams: Sequence[Callable[[], Iterator[Line]]]) -> Iterator[Line]:
    """Merge by receive time; at equal times in the order of the streams."""
    if len(streams) == 1:
        return streams[0]()
    return (line for _, line in heapq.merge(*(_with_names(one()) for one in streams), key=itemgetter(0)))


def _with_names(lines: Iterator[Line]) -> Iterator[tuple[int, Line]]:
    """Yield (newest time so far, line); snapshots, which belong to the symbol before them, get its name."""
    newest_ns, name = 0, b""
    for stamp, raw in lines:
        newest_ns = max(newest_ns, stamp)
        match = _STREAM.search(raw, 0, 80)
        if match is not None:
            name = match[1]
        elif name:
            raw = b'{"stream":"%b%b","data":%b}' % (name, _SNAPSHOT, raw)
        yield newest_ns, (newest_ns, raw)


def synthetic(venue_name: str, symbols: Sequence[str], seed: int, seconds: int) -> Source:
    """Return the simulated exchange's own market as a source; the same arguments give the same lines."""
    names = tuple(symbols) or tuple(DEFAULT_SYMBOLS)[:1]
    unknown = [name for name in names if name not in DEFAULT_SYMBOLS]
    if unknown:
        raise ConfigError(f"{unknown[0]}: the synthetic market has {', '.join(DEFAULT_SYMBOLS)}")
    markets = {name: DEFAULT_SYMBOLS[name] for name in names}
    return Source(
        f"synthetic market, seed {seed}",
        names,
        lambda: synthetic_lines(venue_name, markets, seed, SYNTHETIC_START_NS, seconds * NS_PER_S),
    )


def find_symbols(path: Path) -> list[str]:
    """Return the venue symbols of a recording in order of appearance, upper case."""
    found: dict[str, None] = {}
    for number, (_, raw) in enumerate(read_lines(path)):
        if number >= PEEKED_LINES:
            break
        match = _STREAM.search(raw, 0, 80)
        if match is not None:
            found[match[1].decode().upper()] = None
    if not found:
        raise ConfigError(f"{path}: no market stream in its first {PEEKED_LINES} lines: is it a recording?")
    return list(found)


class Recording:
    """One source as row batches."""

    def __init__(self, source: Source, venue: MarketDataVenue, instruments: Sequence[Instrument]) -> None:
        """Prepare to read; `instruments` get the column indexes 0, 1, …"""
        self._source = source
        self._codec = venue.codec(list(enumerate(instruments)))
        self._index = {instrument.venue_symbol.lower().encode(): i for i, instrument in enumerate(instruments)}
        self._sink = RowColumns()
        rules = BookRules(quiet_stale_ns=0, link_stale_ns=10_000_000_000)
        self.books = [MarketBook(index, rules, self._sink) for index in range(len(instruments))]
        self.frames = 0
        """Lines read."""
        self.last_ns = 0
        """Receive time of the last line."""
        self.never_live = {instrument.instrument_id for instrument in instruments}
        """Markets whose book was never proven, so that nothing could be entered."""
        self._names = [instrument.instrument_id for instrument in instruments]
        self.bad_frames = 0
        """Frames that broke the venue's documentation; the book they belonged to was synced anew."""

    def batches(self) -> Iterator[tuple[RowColumns, int]]:
        """Yield (rows, time up to which they are complete), in order of time; rows of one moment stay together."""
        sink, last_ns, checked_ns, started = self._sink, 0, 0, False
        current = 0
        for stamp, raw in self._source.lines():
            now_ns = max(stamp, last_ns)  # a recorder's clock may step back; virtual time does not
            if now_ns > last_ns and len(sink) >= BATCH_ROWS:
                yield sink, now_ns - 1
                sink = self._new_sink()
            last_ns = self.last_ns = now_ns
            self.frames += 1
            if not started:
                started = True
                for book in self.books:
                    book.link_up(now_ns)
            if now_ns - checked_ns >= CHECK_EVERY_NS:
                checked_ns = now_ns
                for book in self.books:
                    book.check(now_ns, now_ns)
            match = _STREAM.search(raw, 0, 80)
            if match is None:
                self._snapshot(current, raw, now_ns)
                continue
            index = self._index.get(match[1])
            if index is not None:
                current = index
                if raw.startswith(_SNAPSHOT, match.end() - 1):
                    self._snapshot(index, raw[raw.index(b"{", match.end()) : -1], now_ns)
                else:
                    self._frame(index, raw, now_ns)
        if len(sink):
            yield sink, last_ns

    @property
    def first_ns(self) -> int:
        """Receive time of the first line."""
        return next(self._source.lines())[0]

    def blocks(self) -> Iterator[tuple[RowBlock, int]]:
        """Yield the batches as blocks."""
        for columns, complete_to_ns in self.batches():
            yield RowBlock.of(columns), complete_to_ns

    def warnings(self) -> list[str]:
        """Return what a reader of the results has to know about the data."""
        return [
            f"{name}: no usable depth snapshot in the recording, so nothing was entered there"
            for name in sorted(self.never_live)
        ]

    def _new_sink(self) -> RowColumns:
        self._sink = RowColumns()
        for book in self.books:
            book.use_sink(self._sink)
        return self._sink

    def _snapshot(self, index: int, raw: bytes, now_ns: int) -> None:
        book = self.books[index]
        if book.wants_snapshot(now_ns):
            token = book.snapshot_asked(now_ns)
            book.handle_snapshot(token, self._codec.decode_snapshot(index, raw), now_ns)
            if book.state is BookState.LIVE:
                self.never_live.discard(self._names[index])

    def _frame(self, index: int, raw: bytes, now_ns: int) -> None:
        try:
            event = self._codec.decode(raw)
        except VenueProtocolError:
            self.bad_frames += 1
            self.books[index].protocol_error(now_ns)
            return
        match event:
            case BboEvent():
                self.books[event.instrument].handle_bbo(event, now_ns)
            case TradeEvent():
                self.books[event.instrument].handle_trade(event, now_ns)
            case BookDelta():
                self.books[event.instrument].handle_delta(event, now_ns)
            case _:
                pass
