"""Percentiles and medians of samples."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


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
