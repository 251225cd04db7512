"""Percentiles and medians of samples, and one line of the table."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

QUIET_LOAD: Final = 1.5
"""Load average above which latencies say more about the machine's other work than about ours."""


def percentile(values: Sequence[float], share: float) -> float:
    """Return the value below which `share` of the samples lie (nearest rank); NaN for no samples."""
    if not values:
        return float("nan")
    ordered = sorted(values)
    return float(ordered[min(len(ordered) - 1, int(share * len(ordered)))])


def median(values: Sequence[float]) -> float:
    """Return the 50th percentile."""
    return percentile(values, 0.5)


@dataclass(frozen=True, slots=True)
class LatencySummary:
    """Latencies of one run, microseconds."""

    count: int
    p50: float
    p99: float

    @classmethod
    def of_ns(cls, samples_ns: Sequence[int]) -> LatencySummary:
        """Summarize nanosecond samples."""
        return cls(len(samples_ns), percentile(samples_ns, 0.5) / 1e3, percentile(samples_ns, 0.99) / 1e3)


@dataclass(frozen=True, slots=True)
class Figure:
    """One line of the table."""

    id: str
    ours: float
    reference: float
    ratio: float
    must: float
    aim: float
    better: str
    """"lower" or "higher"."""
    ok: bool
    unit: str
    note: str = ""


def figure(
    name: str,
    ours: list[float],
    reference: list[float],
    must: float,
    aim: float,
    better: str,
    unit: str,
    note: str = "",
) -> Figure:
    """Compare medians; the ratio is ours / reference."""
    mine, other = median(ours), median(reference)
    ratio = mine / other
    ok = ratio <= must if better == "lower" else ratio >= must
    return Figure(name, round(mine, 1), round(other, 1), round(ratio, 3), must, aim, better, ok, unit, note)


def busy_note(load: float) -> str:
    """Return what to write beside latencies that were measured on a machine with other work; "" on a quiet one.

    Args:
        load: Load average of the minute before the benchmark began.
    """
    if load <= QUIET_LOAD:
        return ""
    return f"NOT A JUDGEMENT: the machine had other work (load average {load:.1f} before the start); repeat it alone"


def say(text: str) -> None:
    """Progress goes to standard error; standard output is the table."""
    print(f"bench: {text}", file=sys.stderr, flush=True)
