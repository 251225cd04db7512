"""`tradebot data`: check recorded market data, and convert it to the formats that are read fast."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from backtest.history.check import CheckReport
from backtest.history.correct import Corrections
from backtest.history.load import History
from backtest.history.rows import Market
from backtest.history.sources import ReadOptions
from backtest.instruments import find_rules, parse_market
from cli.call import Call
from cli.commands import UsageError
from cli.exit_codes import Exit
from tradebot.core.errors import ConfigError
from tradebot.venues import load_market_data

BUILT_IN_VENUE: Final = "binance"
NS_PER_MS: Final = 1_000_000


@dataclass(frozen=True, slots=True)
class DataOptions:
    """How files are read; see docs/data.md."""

    markets: tuple[str, ...] = ()
    """`SYMBOL:TICK:LOT[:INSTRUMENT_ID]`, or a symbol with built-in trading rules."""
    correct: bool = False
    base_latency_ms: float = 0.0
    feed_latency_ms: float = 0.0
    unproven: bool = False


@dataclass(frozen=True, slots=True)
class DataAnswer:
    """What was found, and what was changed on the way."""

    report: CheckReport
    errors: int
    corrections: dict[str, Corrections]
    out: Path | None = None
    rows_written: int = 0


def check(call: Call, files: Sequence[Path], options: DataOptions) -> int:
    """Read everything and report; exit 4 when the data are unusable."""
    history = _history(files, options)
    report = history.check()
    answer = DataAnswer(report, report.errors, history.corrections)
    call.answer(answer, [*report.lines(), *_correction_lines(history)], ok=not report.errors)
    return Exit.FINDINGS if report.errors else Exit.OK


def convert(call: Call, files: Sequence[Path], options: DataOptions) -> int:
    """Write the last of `files` from the others, whole or not at all."""
    if len(files) < 2:
        raise UsageError("name the files to read, and then the file to write: .parquet, .csv, .npz or .columns")
    *sources, out = files
    history = _history(sources, options)
    count, report = history.convert(out)
    answer = DataAnswer(report, report.errors, history.corrections, out, count)
    call.answer(answer, [*report.lines(), *_correction_lines(history), f"{out}: {count} rows written"])
    return Exit.OK


def _history(files: Sequence[Path], options: DataOptions) -> History:
    markets = [_market(text) for text in options.markets]
    read = ReadOptions(round(options.feed_latency_ms * NS_PER_MS), not options.unproven)
    history = History.of(files, markets, read)
    history.corrected = options.correct
    history.base_latency_ns = round(options.base_latency_ms * NS_PER_MS)
    return history


def _market(text: str) -> Market:
    if ":" in text:
        try:
            return parse_market(text)
        except ConfigError as exc:
            raise UsageError(str(exc)) from exc
    try:
        return Market.of(find_rules(BUILT_IN_VENUE, load_market_data(BUILT_IN_VENUE), [text])[0].instrument)
    except ConfigError as exc:
        raise UsageError(f"--market {text}: no built-in rules; write {text}:TICK:LOT") from exc


def _correction_lines(history: History) -> list[str]:
    lines = []
    for name, done in history.corrections.items():
        shift = f"receive times +{done.shifted_ns / NS_PER_MS:.3f} ms" if done.shifted_ns else "receive times kept"
        moved = f"{done.rows_split} rows split by clock, {done.rows_reordered} put in order of receipt"
        lines.append(f"corrected {name}: {shift}, {moved}")
    return lines
