"""Judging rows as they pass: gaps, order, duplicates, books that cannot be. What makes data unusable is an error, what
a researcher has to know is a warning; docs/data.md lists the checks.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from typing import Final

import numpy as np

from backtest.history import book_check
from backtest.history.book_check import CODES, MAX_EXAMPLES, STATE, finish, follow_book
from backtest.history.levels import FIRST_CAPACITY, MAX_LEVELS, grown
from backtest.history.rows import KIND_NAMES, OTHER, DataError, Market, Notes, Rows
from tradebot.core.amounts import format_decimal
from tradebot.core.columns import AT_EXCHANGE, AT_LOCAL, SNAPSHOT, TRADE, Int64s

KEPT_EXAMPLES: Final = 5
"""Examples shown per check; all are counted."""
GAP_NS: Final = 60_000_000_000
"""Nothing of an instrument for so long is reported."""

RECENT_IDS: Final = 4_096
"""Trade ids that are remembered to know a repeated one from one out of order."""


class Severity(Enum):
    """Whether data with this finding may be used."""

    ERROR = "error"
    WARNING = "warning"


CHECKS: Final[dict[str, tuple[Severity, str]]] = {
    "unreadable": (Severity.ERROR, "a value or a file cannot be read"),
    "empty": (Severity.ERROR, "no rows"),
    "receive_order": (Severity.ERROR, "receive time goes back within a file; correct it"),
    "negative_latency": (Severity.ERROR, "received before it happened; correct it"),
    "exchange_order": (Severity.WARNING, "exchange time goes back; correct it for the simulator"),
    "time_gap": (Severity.WARNING, "nothing received for long"),
    "sequence_gap": (Severity.WARNING, "trade ids are missing"),
    "duplicate": (Severity.WARNING, "the same trade id again, or the same book row twice"),
    "repeated": (Severity.ERROR, "most trade ids come more than once: is a file given twice?"),
    "crossed": (Severity.ERROR, "the best bid is above the best ask"),
    "locked": (Severity.WARNING, "the best bid is the best ask"),
    "trade_outside": (Severity.WARNING, "a trade outside of the best bid and ask known at that time"),
    "mixed_scale": (Severity.ERROR, "a trade at ten times or a tenth of the price before it"),
    "no_snapshot": (Severity.WARNING, "book changes before any snapshot: the book is not complete"),
}
"""Check -> how bad, and what it says."""
_CODES: Final = {
    book_check.CROSSED: "crossed",
    book_check.LOCKED: "locked",
    book_check.TRADE_OUTSIDE: "trade_outside",
    book_check.PRICE_JUMP: "mixed_scale",
    book_check.NO_SNAPSHOT: "no_snapshot",
}


@dataclass(slots=True)
class Finding:
    """One check that found something."""

    check: str
    severity: Severity
    says: str
    count: int = 0
    examples: list[str] = field(default_factory=list)
    """`file: row N, column C: text` of the first ones."""


@dataclass(slots=True)
class MarketSummary:
    """One instrument's part of the data."""

    instrument_id: str
    rows: dict[str, int] = field(default_factory=dict)
    """Kind -> rows."""
    first_local_ns: int = 0
    last_local_ns: int = 0
    min_latency_ns: int = 0
    max_latency_ns: int = 0
    mean_latency_ns: int = 0


@dataclass(slots=True)
class CheckReport:
    """What was looked at and what was found."""

    files: list[str]
    rows: int = 0
    markets: list[MarketSummary] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)
    notes: Notes = field(default_factory=Notes)

    @property
    def errors(self) -> int:
        """Findings that make the data unusable."""
        return sum(finding.count for finding in self.findings if finding.severity is Severity.ERROR)

    def add(self, check: str, where: str, count: int = 1) -> None:
        """Count a finding; the first examples are kept."""
        found = next((finding for finding in self.findings if finding.check == check), None)
        if found is None:
            found = Finding(check, *CHECKS[check])
            self.findings.append(found)
            self.findings.sort(key=lambda one: list(CHECKS).index(one.check))
        found.count += count
        if where and len(found.examples) < KEPT_EXAMPLES:
            found.examples.append(where)

    def lines(self) -> list[str]:
        """Return the report for people."""
        found = [f"{', '.join(self.files)}: {self.rows} rows"]
        for market in self.markets:
            kinds = ", ".join(f"{name} {count}" for name, count in market.rows.items())
            seconds = (market.last_local_ns - market.first_local_ns) / 1e9
            found.append(f"{market.instrument_id}: {kinds or 'no rows'}; {seconds:.1f} s")
            latency = (market.min_latency_ns / 1e6, market.mean_latency_ns / 1e6, market.max_latency_ns / 1e6)
            found.append("  feed latency ms: min {:.3f}, mean {:.3f}, max {:.3f}".format(*latency))
        found += [f"note     {reason}: {count}" for reason, count in sorted(self.notes.items())]
        for finding in self.findings:
            found.append(f"{finding.severity.value:<8} {finding.check} x {finding.count}: {finding.says}")
            found += [f"           {example}" for example in finding.examples]
        found.append("no findings" if not self.findings else f"{self.errors} errors")
        return found


class Checker:
    """Looks at rows and hands them on unchanged."""

    def __init__(self, paths: Sequence[Path], markets: Sequence[Market]) -> None:
        self.report = CheckReport([path.name for path in paths])
        self.paths = list(paths)
        self._markets = [_MarketChecker(market, index, self) for index, market in enumerate(markets)]

    def where(self, source: int, row: int, column: str, text: str) -> str:
        """Return how a place is named."""
        return f"{self.paths[source]}: row {row}{f', column {column}' if column else ''}: {text}"

    def found(self, check: str, rows: Rows, index: int, column: str, text: str, count: int = 1) -> None:
        """Note a finding at one of these rows."""
        self.report.add(check, self.where(int(rows.source[index]), int(rows.row[index]), column, text), count)

    def source(self, chunks: Iterable[Rows]) -> Iterator[Rows]:
        """Watch the rows of one file in the order of the file."""
        order = _Order("receive_order", "local_time_ns", AT_LOCAL, self)
        for rows in chunks:
            order.watch(rows)
            yield rows

    def found_at(self, check: str, rows: Rows, places: Int64s, column: str, text: Callable[[int], str]) -> None:
        """Note a finding at several of these rows; `text` gets the place in `places`."""
        shown = places[:KEPT_EXAMPLES].tolist()
        for i, index in enumerate(shown):
            self.found(check, rows, index, column, text(i), 1 + (len(places) - len(shown)) * (not i))

    def merged(self, chunks: Iterable[Rows]) -> Iterator[Rows]:
        """Watch all rows in order of receive time."""
        for rows in chunks:
            self.report.rows += len(rows)
            for market in self._markets:
                market.watch(rows if len(self._markets) == 1 else rows.take(rows.instrument == market.index))
            yield rows
        for market in self._markets:
            market.end()
            self.report.markets.append(market.summary)
        if not self.report.rows:
            self.report.add("empty", f"{', '.join(map(str, self.paths))}: no rows")


class _MarketChecker:
    def __init__(self, market: Market, index: int, checker: Checker) -> None:
        self.index = index
        self.summary = MarketSummary(market.instrument_id)
        self._market = market
        self._checker = checker
        self._order = _Order("exchange_order", "exchange_time_ns", AT_EXCHANGE, checker)
        self._last_local_ns = 0
        self._last_trade_id = 0
        self._recent_ids = np.zeros(0, np.int64)
        self._trades_with_id = self._repeats = 0
        self._latency_sum = 0
        self._count = 0
        self._state = np.zeros(STATE, np.int64)
        self._keys = np.zeros((2, FIRST_CAPACITY), np.int64)
        self._counts = np.zeros(CODES, np.int64)

    def watch(self, rows: Rows) -> None:
        if not len(rows):
            return
        self._summarise(rows)
        self._times(rows)
        self._trades(rows)
        self._duplicates(rows)
        self._book(rows)

    def end(self) -> None:
        examples = np.zeros((MAX_EXAMPLES, 4), np.int64)
        found = finish(self._state, self._keys, self._counts, examples)
        self._book_findings(examples[:found])
        for code, check in _CODES.items():
            if self._counts[code]:
                self._checker.report.add(check, "", int(self._counts[code]))
        distinct = self._trades_with_id - self._repeats
        if 2 * self._repeats > distinct:
            text = f"{self._repeats} of {self._trades_with_id} trades of {self.summary.instrument_id} repeat an id"
            self._checker.report.add("repeated", f"{', '.join(map(str, self._checker.paths))}: {text}", self._repeats)
        if self._count:
            self.summary.mean_latency_ns = self._latency_sum // self._count

    def _summarise(self, rows: Rows) -> None:
        kinds, counts = np.unique(rows.kinds | (rows.flags & np.uint8(SNAPSHOT)), return_counts=True)
        for kind, count in zip(kinds.tolist(), counts.tolist(), strict=True):
            name = KIND_NAMES.get(kind, "order")
            self.summary.rows[name] = self.summary.rows.get(name, 0) + count
        latency = rows.local_time_ns - rows.exchange_time_ns
        first = not self._count
        low, high = int(latency.min()), int(latency.max())
        self.summary.min_latency_ns = low if first else min(low, self.summary.min_latency_ns)
        self.summary.max_latency_ns = high if first else max(high, self.summary.max_latency_ns)
        self._latency_sum += int(latency.sum())
        self._count += len(rows)
        if low < 0:
            places = np.flatnonzero(latency < 0)
            text = "received {} ns before its exchange time"
            self._checker.found_at(
                "negative_latency", rows, places, "local_time_ns", lambda i: text.format(-int(latency[places[i]]))
            )

    def _times(self, rows: Rows) -> None:
        self._order.watch(rows)
        local = rows.local_time_ns
        steps = np.diff(local, prepend=self._last_local_ns or local[0])
        gaps = np.flatnonzero(steps > GAP_NS)
        text = "nothing for {:.1f} s before it"
        self._checker.found_at("time_gap", rows, gaps, "local_time_ns", lambda i: text.format(steps[gaps[i]] / 1e9))
        self.summary.first_local_ns = self.summary.first_local_ns or int(local[0])
        self.summary.last_local_ns = self._last_local_ns = int(local[-1])

    def _trades(self, rows: Rows) -> None:
        places = np.flatnonzero((rows.kinds == TRADE) & (rows.id > 0) & (rows.flags & AT_LOCAL != 0))
        if not len(places):
            return
        ids = rows.id[places]
        newest = np.maximum.accumulate(np.concatenate([[self._last_trade_id], ids]))
        steps = ids - newest[:-1]
        again = places[(steps <= 0) & (newest[:-1] > 0)]
        self._trades_with_id += len(ids)
        known = np.concatenate([self._recent_ids, ids])
        if len(again):  # those that are only out of order are no repeats
            recent = len(np.unique(self._recent_ids))
            self._repeats += len(ids) - (len(np.unique(known)) - recent)
        self._recent_ids = known[-RECENT_IDS:]
        found_at = self._checker.found_at
        found_at("duplicate", rows, again, "id", lambda i: f"trade {rows.id[again[i]]} is not newer than the last")
        gaps = np.flatnonzero((steps > 1) & (newest[:-1] > 0))
        text = "{} trades are missing before {}"
        found_at("sequence_gap", rows, places[gaps], "id", lambda i: text.format(steps[gaps[i]] - 1, int(ids[gaps[i]])))
        self._last_trade_id = int(newest[-1])

    def _duplicates(self, rows: Rows) -> None:
        """Book rows that repeat the one directly before them."""
        book = (rows.kinds != TRADE) & (rows.flags & OTHER == 0)
        same = book[1:] & book[:-1]
        for name in ("exchange_time_ns", "local_time_ns", "flags", "price_ticks", "qty_lots", "id"):
            column = getattr(rows, name)
            same &= column[1:] == column[:-1]
        places = np.flatnonzero(same) + 1
        self._checker.found_at("duplicate", rows, places, "", lambda _: "the same as the row before it")

    def _book(self, rows: Rows) -> None:
        levels = int(self._state[:2].max())
        if levels > MAX_LEVELS:
            text = f"the book has more than {MAX_LEVELS} levels"
            raise DataError(self._checker.paths[int(rows.source[0])], int(rows.row[0]), "price", text)
        self._keys = grown(self._keys, levels + len(rows))
        examples = np.zeros((MAX_EXAMPLES, 4), np.int64)
        found = follow_book(
            self._state,
            self._keys,
            rows.local_time_ns,
            rows.flags,
            rows.price_ticks,
            rows.qty_lots,
            rows.row,
            rows.source,
            self._counts,
            examples,
        )
        self._book_findings(examples[:found])

    def _book_findings(self, examples: Int64s) -> None:
        for code, source, row, ticks in examples.tolist():
            price = format_decimal(ticks * self._market.tick_size)
            where = self._checker.where(source, row, "price", f"at {price}")
            self._checker.report.add(_CODES[code], where, 0)


class _Order:
    """One clock's order over a stream."""

    def __init__(self, check: str, column: str, clock: int, checker: Checker) -> None:
        self._check = check
        self._column = column
        self._clock = clock
        self._checker = checker
        self._newest_ns = -(2**62)

    def watch(self, rows: Rows) -> None:
        places = np.flatnonzero(rows.flags & self._clock != 0)
        if not len(places):
            return
        times = getattr(rows, self._column)[places]
        newest = np.maximum.accumulate(np.concatenate([[self._newest_ns], times]))
        falls = np.flatnonzero(times < newest[:-1])
        self._newest_ns = int(newest[-1])
        text = "{} ns earlier than a row before it"
        self._checker.found_at(
            self._check, rows, places[falls], self._column, lambda i: text.format(newest[falls[i]] - times[falls[i]])
        )
