"""What is done with history: check it, stream it, load it, convert it. All of a file is good, or none of it is used."""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Self

from backtest.history import correct
from backtest.history.check import Checker, CheckReport, Severity
from backtest.history.column_folder import write_columns
from backtest.history.correct import Corrections
from backtest.history.hftbacktest import write_npz
from backtest.history.merge import merge
from backtest.history.native_csv import write_csv
from backtest.history.parquet import write_parquet
from backtest.history.rows import DataError, Market, Notes, Rows, concat, market_columns
from backtest.history.sources import ReadOptions, markets_of, open_sources
from tradebot.core.columns import MarketColumns
from tradebot.core.errors import ConfigError

MAX_LOADED_ROWS: Final = 60_000_000
"""Rows held in memory by `load`: 2 GiB of columns. More is streamed."""


@dataclass(slots=True)
class History:
    """Some files as one history. Nothing is read before it is asked for."""

    paths: tuple[Path, ...]
    markets: tuple[Market, ...]
    options: ReadOptions = field(default_factory=ReadOptions)
    corrected: bool = False
    """Correct clocks while reading; see `correct`."""
    base_latency_ns: int = 0
    """Least feed latency where the receive times have to be shifted."""
    corrections: dict[str, Corrections] = field(default_factory=dict)
    """Instrument id -> what was changed by the last complete reading."""

    @classmethod
    def of(cls, paths: Sequence[Path], markets: Sequence[Market] = (), options: ReadOptions | None = None) -> Self:
        """Return the history in some files; without `markets`, of those that the files describe.

        Raises:
            DataError: If a file is not of a known format or no instrument is known.
        """
        known = {market.instrument_id: market for market in markets}
        if not known:
            known = {market.instrument_id: market for path in paths for market in markets_of(path)}
        if not known:
            raise DataError(
                paths[0], None, "", "the file does not describe its instrument: give --market SYMBOL:TICK:LOT"
            )
        return cls(tuple(paths), tuple(known.values()), options or ReadOptions())

    def stream(self, checker: Checker | None = None) -> Iterator[Rows]:
        """Yield all rows in order of receive time, in bounded memory.

        Raises:
            DataError: At the first row that cannot be used. What was yielded before it is not a result.
        """
        notes = checker.report.notes if checker is not None else Notes()
        rows = self._corrected(notes) if self.corrected else merge(self._sources(notes), self.refuse)
        yield from rows if checker is None else checker.merged(rows)

    def check(self) -> CheckReport:
        """Read everything and return what is wrong with it, a row that cannot be read included."""
        checker = Checker(self.paths, self.markets)
        try:
            if self.corrected:
                merged = self._corrected(checker.report.notes)
            else:
                sources = [checker.source(source) for source in self._sources(checker.report.notes)]
                ordered = [correct.in_receive_order(source, self.refuse, Corrections()) for source in sources]
                merged = merge(ordered, self.refuse)
            for _ in checker.merged(merged):
                pass
        except ConfigError as exc:
            checker.report.add("unreadable", str(exc))
        return checker.report

    def load(self) -> tuple[dict[str, MarketColumns], CheckReport]:
        """Return each instrument's columns as the simulator reads them, checked, in memory.

        Raises:
            DataError: If any row is unusable or out of order for one of the clocks (open it `corrected` then), or there
                are more than MAX_LOADED_ROWS.
        """
        checker = Checker(self.paths, self.markets)
        parts: list[Rows] = []
        for rows in self.stream(checker):
            parts.append(rows)
            if checker.report.rows > MAX_LOADED_ROWS:
                raise DataError(self.paths[0], None, "", f"more than {MAX_LOADED_ROWS} rows: stream them instead")
        self.require_usable(checker.report, in_order=True)
        whole = concat(parts)
        return {m.instrument_id: market_columns(whole, i) for i, m in enumerate(self.markets)}, checker.report

    def convert(self, out: Path) -> tuple[int, CheckReport]:
        """Write the history as `.parquet`, `.csv`, `.npz` or a folder `.columns`; return rows written and findings.

        It appears when all of it is good; otherwise nothing does. A folder that is there already is refused.
        """
        checker = Checker(self.paths, self.markets)
        partial = out.with_name(f".{out.name}.partial")
        try:
            out.parent.mkdir(parents=True, exist_ok=True)
            count = self._write(out, partial, self.stream(checker))
            self.require_usable(checker.report, in_order=out.suffix in (".npz", ".columns"))
            partial.replace(out)
        except OSError as exc:
            raise DataError(out, None, "", f"cannot be written ({exc.strerror or exc})") from exc
        finally:
            if partial.is_dir():
                shutil.rmtree(partial)
            else:
                partial.unlink(missing_ok=True)
        return count, checker.report

    def require_usable(self, report: CheckReport, *, in_order: bool = False) -> None:
        """Raise the first finding that makes the data unusable; with `in_order` also rows out of exchange order."""
        for finding in report.findings:
            if finding.severity is Severity.ERROR or (in_order and finding.check == "exchange_order"):
                example = finding.examples[0] if finding.examples else str(self.paths[0])
                raise DataError(example, None, "", f"{finding.check} x {finding.count}: {finding.says}")

    def refuse(self, rows: Rows, index: int, column: str, text: str) -> DataError:
        """Return the error about one row."""
        return DataError(self.paths[int(rows.source[index])], int(rows.row[index]), column, text)

    def _write(self, out: Path, partial: Path, chunks: Iterable[Rows]) -> int:
        match out.suffix:
            case ".parquet":
                return write_parquet(partial, chunks, self.markets)
            case ".csv":
                return write_csv(partial, chunks, self.markets)
            case ".npz" if len(self.markets) == 1:
                return write_npz(partial, chunks, self.markets[0])
            case ".columns" if len(self.markets) == 1:
                if out.exists():
                    raise DataError(out, None, "", "is there already: choose another name or remove it")
                return write_columns(partial, chunks, self.markets[0])
            case ".npz" | ".columns":
                raise DataError(out, None, "", f"the format holds one instrument, not {len(self.markets)}")
            case _:
                raise DataError(out, None, "", "the name must end with .parquet, .csv, .npz or .columns")

    def _sources(self, notes: Notes) -> list[Iterator[Rows]]:
        return open_sources(self.paths, self.markets, notes, self.options)

    def _in_order(self, notes: Notes, done: Corrections) -> Iterator[Rows]:
        ordered = [correct.in_receive_order(source, self.refuse, done) for source in self._sources(notes)]
        return merge(ordered, self.refuse)

    def _corrected(self, notes: Notes) -> Iterator[Rows]:
        """Correct each instrument by itself: one reading to learn the clocks' error, then one per instrument."""
        smallest: dict[int, int] = {}
        for rows in self._in_order(notes, Corrections()):
            for index in range(len(self.markets)):
                found = correct.smallest_latency([rows.take(rows.instrument == index)])
                if found is not None:
                    smallest[index] = min(found, smallest.get(index, found))
        streams = []
        for index, market in enumerate(self.markets):
            done = self.corrections[market.instrument_id] = Corrections()
            own = _only(self._in_order(Notes(), done), index)
            shift_ns = correct.shift_for(smallest.get(index), self.base_latency_ns)
            streams.append(correct.in_order_of_both_clocks(correct.shifted(own, shift_ns, done), self.refuse, done))
        return merge(streams, self.refuse)


def _only(chunks: Iterable[Rows], index: int) -> Iterator[Rows]:
    for rows in chunks:
        yield rows.take(rows.instrument == index)
