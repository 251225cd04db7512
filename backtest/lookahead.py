"""Look-ahead guard: take the future away and see whether the past changes.

The data is cut at random points and written to a file of its own, so that nothing after the cut exists for anybody:
not for the harness, not for the engine, not for a strategy that reads the file named in one of its parameters. Each
decision, answer and order event up to the cut has to be the one of the whole run. Half of the cuts fall on the time of
a decision, where peeking shows best, half anywhere.

What had happened at the venue and was on its way has filled orders by then, whose events come faster than the feed. So
the venue is played from a second file that goes on to the last such row; engine and strategy see nothing of it.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import numpy as np

from backtest.config import BacktestOptions
from backtest.history_feed import HistoryOptions
from backtest.run import data_of, params_of, rules_of, run_backtest
from backtest.sources import Feed
from backtest.venue_rows import VenueClock
from tradebot.core.errors import ConfigError
from tradebot.sim.rng import SplitMix64
from tradebot.venues import load_market_data

DEFAULT_CUTS: Final = 8
MAX_CUTS: Final = 1_000
MAX_SHOWN: Final = 300
"""Characters of a differing event in the report."""

Event = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Cut:
    """One truncated run beside the whole one."""

    at_ns: int
    """Newest receive time that was left in."""
    events: int
    """Events up to it that were compared."""
    difference: str
    """The first one that changed; empty = none."""


@dataclass(frozen=True, slots=True)
class LookaheadReport:
    """What the guard found."""

    decisions: int
    """In the whole run; with none the guard has nothing to judge."""
    cuts: tuple[Cut, ...]

    @property
    def looks_ahead(self) -> bool:
        """True when a cut changed something before it."""
        return any(cut.difference for cut in self.cuts)

    @property
    def is_clean(self) -> bool:
        """True when there were decisions to judge and no cut changed anything before it."""
        return self.decisions > 0 and not self.looks_ahead

    def as_json(self) -> dict[str, Any]:
        """Return plain values."""
        cuts = [{"at_ns": cut.at_ns, "events": cut.events, "difference": cut.difference} for cut in self.cuts]
        return {"decisions": self.decisions, "is_clean": self.is_clean, "cuts": cuts}

    def lines(self) -> list[str]:
        """Return the report for people."""
        verdict = "LOOKS AHEAD" if self.looks_ahead else "no decision looks ahead"
        if not self.decisions and not self.looks_ahead:
            verdict = "the strategy decided nothing: nothing was judged"
        return [
            f"look-ahead      {verdict} ({len(self.cuts)} cuts, {self.decisions} decisions)",
            *(
                f"cut at {cut.at_ns}: {cut.events} events before it; changed: {cut.difference}"
                for cut in self.cuts
                if cut.difference
            ),
        ]


def check_lookahead(options: BacktestOptions, cuts: int = DEFAULT_CUTS, seed: int = 1) -> LookaheadReport:
    """Run the backtest whole and cut short, in process, and compare.

    Args:
        options: The run. It keeps neither an event log nor tables, so neither may be asked for.
        cuts: How many truncated runs, 1 to MAX_CUTS.
        seed: Of the cut points.

    Raises:
        ConfigError: If the run itself cannot be done.
    """
    if not 1 <= cuts <= MAX_CUTS:
        raise ConfigError(f"--cuts: from 1 to {MAX_CUTS}, not {cuts}")
    if options.out is not None or options.events is not None:
        raise ConfigError("--check-lookahead keeps no tables and no event log: leave --out and --events away")
    source = data_of(options)
    options = replace(options, symbols=options.symbols or source.symbols, in_process=True)
    instruments = [one.instrument for one in rules_of(options, source)]
    span = source.span(instruments)
    with tempfile.TemporaryDirectory(prefix="tb-cut-") as name:
        folder = Path(name)
        whole = _events(options, folder)
        times = [event["at_ns"] for event in whole if event["what"] == "intent"]
        points = _cut_points(span, times, cuts, SplitMix64(seed))
        venue = load_market_data(instruments[0].venue)
        reached = _on_their_way(source.open(venue, instruments), len(instruments), points)
        found = []
        for at_ns, reach_ns in zip(points, reached, strict=True):
            shown = source.cut(instruments, at_ns, folder / "cut")
            played = shown if reach_ns == at_ns else source.cut(instruments, reach_ns, folder / "played")
            found.append(_cut(options, shown, played, whole, at_ns, folder))
    return LookaheadReport(len(times), tuple(found))


def _cut_points(span: tuple[int, int], decision_times: Sequence[int], cuts: int, rng: SplitMix64) -> list[int]:
    first_ns, last_ns = span
    inside = [at_ns for at_ns in decision_times if first_ns <= at_ns < last_ns]
    points = []
    for number in range(cuts):
        if inside and number % 2:
            points.append(inside[rng.next_u64() % len(inside)])
        else:
            points.append(first_ns + rng.next_u64() % max(1, last_ns - first_ns))
    return points


def _on_their_way(feed: Feed, markets: int, points: Sequence[int]) -> list[int]:
    """Return for each cut when the last row was received that had happened by then; the cut itself without any."""
    clock, reached = VenueClock(markets), list(points)
    for rows, _ in feed.blocks():
        happened, received = clock.happened_ns(rows), rows.receive_time_ns
        for number, at_ns in enumerate(points):
            late = np.flatnonzero((happened <= at_ns) & (received > at_ns))
            if len(late):
                reached[number] = int(received[late[-1]])
    return reached


def _cut(options: BacktestOptions, shown: Path, played: Path, whole: list[Event], at_ns: int, folder: Path) -> Cut:
    files = [one for one in (options.data, *options.then) if one is not None]
    params = {name: _without_future(value, files, shown) for name, value in params_of(options).items()}
    # The cut file holds rows as they were read: nothing is left to correct.
    short = replace(options, data=played, then=(), params=params, history=HistoryOptions(), end_ns=at_ns)
    events = _events(short, folder)
    before = [[event for event in run if event["at_ns"] <= at_ns] for run in (whole, events)]
    return Cut(at_ns, len(before[0]), _first_difference(*before))


def _without_future(value: Any, files: Sequence[Path], cut: Path) -> Any:
    """A parameter that names the data, however it is spelled, is what a strategy would peek through."""
    match value:
        case dict():
            return {name: _without_future(one, files, cut) for name, one in value.items()}
        case list() | tuple():
            return type(value)(_without_future(one, files, cut) for one in value)
        case str() | Path() if any(_is_same(Path(value), file) for file in files):
            return str(cut)
    return value


def _is_same(path: Path, file: Path) -> bool:
    try:
        return path.samefile(file)
    except (OSError, ValueError):  # no file, or nothing that could be the name of one
        return False


def _events(options: BacktestOptions, folder: Path) -> list[Event]:
    path = folder / "events.jsonl"
    run_backtest(replace(options, events=path, out=None))
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def _first_difference(whole: list[Event], cut: list[Event]) -> str:
    """Compare decisions with decisions and outcomes with outcomes: how the two interleave depends on the batches."""
    for kind in ("intent", "cancel", "answer", "order"):
        before, after = ([event for event in run if event["what"] == kind] for run in (whole, cut))
        for one, other in zip(before, after, strict=False):
            if one != other:
                return f"{_text(one)} became {_text(other)}"
        if len(before) != len(after):
            longer = before if len(before) > len(after) else after
            verb = "disappeared" if longer is before else "appeared"
            return f"{_text(longer[min(len(before), len(after))])} {verb}"
    return ""


def _text(event: Event) -> str:
    return json.dumps(event, separators=(",", ":"))[:MAX_SHOWN]
