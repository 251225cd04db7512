"""Market data files of any format as the rows of a backtest, streamed, checked on the way, in bounded memory.

The first row that makes the data unusable ends the run with file, row and column; nothing of the run is kept then.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import numpy as np

from backtest.history.check import Checker, Severity
from backtest.history.engine_rows import EngineRows
from backtest.history.load import History
from backtest.history.parquet import write_parquet
from backtest.history.rows import DataError, Market, Rows, concat
from backtest.history.sources import ReadOptions
from tradebot.core.columns import AT_LOCAL
from tradebot.core.instruments import Instrument
from tradebot.core.row_block import RowBlock
from tradebot.venues.api import MarketDataVenue

MAX_MOMENT_ROWS: Final = 4_000_000
"""Rows of one receive time that are held; a snapshot of many books has some ten thousand."""
MAX_WARNINGS: Final = 8


@dataclass(frozen=True, slots=True)
class HistoryOptions:
    """How files are read; see docs/data.md."""

    read: ReadOptions = field(default_factory=ReadOptions)
    corrected: bool = False
    """Correct the clocks while reading."""
    base_latency_ns: int = 0
    """Least feed latency where receive times have to be shifted."""


@dataclass(frozen=True, slots=True)
class HistorySource:
    """Some files, and what they are about. Nothing but their beginnings was read."""

    paths: tuple[Path, ...]
    symbols: tuple[str, ...]
    """Venue symbols."""
    options: HistoryOptions
    markets: tuple[Market, ...] = ()
    """What files and caller say of the instruments' steps."""

    @property
    def name(self) -> str:
        return ", ".join(path.name for path in self.paths)

    def open(self, venue: MarketDataVenue, instruments: Sequence[Instrument]) -> HistoryFeed:
        """Return the rows; instruments get the indexes 0, 1, …, others of the files are left out."""
        return HistoryFeed(self._history(instruments), [one.instrument_id for one in instruments])

    def span(self, instruments: Sequence[Instrument]) -> tuple[int, int]:
        """Return the first and the last receive time."""
        first_ns = last_ns = 0
        for rows in self._history(instruments).stream():
            if len(rows):
                first_ns, last_ns = first_ns or int(rows.local_time_ns.min()), int(rows.local_time_ns.max())
        return first_ns, last_ns

    def cut(self, instruments: Sequence[Instrument], at_ns: int, stem: Path) -> Path:
        """Write the rows received up to a time, as Parquet, to a file of this name without its ending; return it."""
        path = stem.with_suffix(".parquet")
        history = self._history(instruments)
        early = (rows.take(rows.local_time_ns <= at_ns) for rows in history.stream())
        write_parquet(path, early, history.markets)
        return path

    def _history(self, instruments: Sequence[Instrument]) -> History:
        chosen = [Market.of(one) for one in instruments]
        symbols = {market.venue_symbol for market in chosen}
        others = [market for market in self.markets if market.venue_symbol not in symbols]
        history = History.of(self.paths, [*chosen, *others], self.options.read)
        history.corrected = self.options.corrected
        history.base_latency_ns = self.options.base_latency_ns
        return history


class HistoryFeed:
    """See the module. One reading."""

    def __init__(self, history: History, names: Sequence[str]) -> None:
        self._history = history
        self._names = names
        self._checker = Checker(history.paths, history.markets)
        self._engine_rows = EngineRows(len(names))
        self._moments = self._whole_moments(history.stream(self._checker))
        first = next(self._moments, None)
        if first is None:
            raise DataError(history.paths[0], None, "", "no rows")
        self.first_ns = int(first.local_time_ns[0])
        self._first: Rows | None = first
        self.last_ns = self.first_ns
        """Receive time of the newest row handed out."""

    @property
    def frames(self) -> int:
        """Rows of the files that were read."""
        return self._checker.report.rows

    def blocks(self) -> Iterator[tuple[RowBlock, int]]:
        """Yield (rows, time up to which they are complete), in order of receive time."""
        first, self._first = self._first, None
        if first is not None:
            yield self._block(first), self.last_ns
        for rows in self._moments:
            yield self._block(rows), self.last_ns

    def warnings(self) -> list[str]:
        """Return what a reader of the results has to know about the data."""
        report = self._checker.report
        found = [
            f"{name}: no book in the data, so nothing was entered there"
            for index, name in enumerate(self._names)
            if not self._engine_rows.is_live(index)
        ]
        for finding in report.findings:
            first = f", first {finding.examples[0]}" if finding.examples else ""
            found.append(f"data: {finding.check} x {finding.count}: {finding.says}{first}")
        found += [f"data: {reason}: {count}" for reason, count in sorted(report.notes.items())]
        return found[:MAX_WARNINGS]

    def _block(self, rows: Rows) -> RowBlock:
        self.last_ns = int(rows.local_time_ns[-1])
        try:
            return self._engine_rows.convert(rows)
        except NotImplementedError as exc:
            seen = rows.take(rows.flags & np.uint8(AT_LOCAL) != 0)
            text = "a row of a single order: play it with a compiled strategy, or convert the feed to price levels"
            raise self._history.refuse(seen, int(exc.args[0]), "kind", text) from exc

    def _whole_moments(self, chunks: Iterable[Rows]) -> Iterator[Rows]:
        """Cut the stream between two receive times, and stop at the first finding that makes it unusable."""
        held: list[Rows] = []
        held_rows = 0
        for rows in self._checked(chunks):
            received = rows.take((rows.flags & np.uint8(AT_LOCAL) != 0) & (rows.instrument < len(self._names)))
            if not len(received):
                continue
            times = received.local_time_ns
            cut = int(np.searchsorted(times, times[-1]))
            if cut or (held and int(held[-1].local_time_ns[-1]) < int(times[0])):
                yield concat([*held, received.take(slice(0, cut))])
                held, held_rows = [], 0
            held.append(received.take(slice(cut, None)))
            held_rows += len(held[-1])
            if held_rows > MAX_MOMENT_ROWS:
                raise self._history.refuse(received, 0, "local_time_ns", f"more than {MAX_MOMENT_ROWS} rows at once")
        if held:
            yield concat(held)

    def _checked(self, chunks: Iterable[Rows]) -> Iterator[Rows]:
        known = 0
        for rows in chunks:
            known = self._refuse_errors(known)
            yield rows
        self._refuse_errors(known)

    def _refuse_errors(self, known: int) -> int:
        findings = self._checker.report.findings
        if len(findings) != known:
            for finding in findings:
                if finding.severity is Severity.ERROR:
                    where = finding.examples[0] if finding.examples else str(self._history.paths[0])
                    raise DataError(where, None, "", f"{finding.check}: {finding.says}")
        return len(findings)
