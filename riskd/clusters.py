"""Which instruments move together: rolling correlation of intraday returns, manual pins, hysteresis.

Statistics in floats, never money. Two instruments are joined when the correlation of their bar returns reaches
`join_at` and parted when it falls below `leave_below`; a cluster is whatever hangs together by joins and pins. Bars in
which an instrument had no price are left out for every pair with it. After each bar the pairs are compared a few per
call, so that no call takes long; the same prices at the same times give the same clusters. Instruments that are too
many to be compared count as joined: with each other, and with all that moves together.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import combinations
from math import isfinite, log, sqrt
from typing import Final

MAX_INSTRUMENTS: Final = 100
"""Instruments that are compared: first come, for a life; the cost is their square per bar."""
PAIRS_PER_FEED: Final = 40
"""Pairs compared per call: some milliseconds for a day of five-minute bars."""
Clusters = tuple[tuple[str, ...], ...]


@dataclass(frozen=True, slots=True)
class ClusterRule:
    """How correlation becomes a cluster."""

    bar_ns: int
    window_bars: int
    min_bars: int
    join_at: float
    leave_below: float
    pins: Clusters = ()
    """Instruments that count as one whatever their correlation."""


class ClusterTracker:
    """Fed with prices; says which clusters there are."""

    def __init__(self, rule: ClusterRule) -> None:
        self._rule = rule
        self._bar = -1
        self._compared: set[str] = set()
        """The first that came."""
        self._last: dict[str, float] = {}
        """Latest price in the current bar."""
        self._closes: dict[str, float] = {}
        """Price at the end of the bar before."""
        self._returns: dict[str, deque[float | None]] = {}
        """Log return per bar, None = no price; all of equal length."""
        self._joined: set[tuple[str, str]] = set()
        self._due: deque[tuple[str, str]] = deque()
        """Pairs to compare since the last bar."""
        self._beyond: set[str] = set()
        """Too many to be compared."""
        self.clusters = gather(rule.pins)

    def seed(self, clusters: Iterable[Iterable[str]]) -> None:
        """Begin with the clusters of the last life: pairs in one stay joined until their correlation is known."""
        for cluster in clusters:
            self._joined.update(combinations(sorted(cluster), 2))
        self.clusters = gather([*self._rule.pins, *self._joined])

    def feed(self, prices: Mapping[str, float], now_ns: int) -> None:
        """Take prices, > 0. The clusters change only after a bar has ended, or when an instrument is one too many."""
        bar = now_ns // self._rule.bar_ns
        if bar > self._bar >= 0:
            self._end_bar(bar - self._bar)
            self._due = deque(combinations(sorted(self._returns), 2))
        self._bar = max(bar, self._bar)
        beyond = len(self._beyond)
        for name, price in prices.items():
            if not (isfinite(price) and price > 0):
                continue
            if name in self._compared or len(self._compared) < MAX_INSTRUMENTS:
                self._compared.add(name)
                self._last[name] = price
            else:
                self._beyond.add(name)
        is_more = len(self._beyond) > beyond
        if is_more:  # what they were joined with in another life is not looked at any more
            self._joined = {pair for pair in self._joined if self._beyond.isdisjoint(pair)}
        if self._due:
            self._compare()
        elif is_more:
            self._gather()

    def correlation(self, one: str, other: str) -> float | None:
        """Return the correlation of two instruments' returns; None = too few bars in common, or one stood still."""
        pairs = [
            (a, b)
            for a, b in zip(self._returns.get(one, ()), self._returns.get(other, ()), strict=False)
            if a is not None and b is not None
        ]
        if len(pairs) < self._rule.min_bars:
            return None
        return pearson(pairs)

    def _end_bar(self, bars: int) -> None:
        """Close the bar; after a gap of several bars the returns across it are unknown."""
        for name in self._last:
            if name not in self._returns:
                length = len(next(iter(self._returns.values()), ()))
                self._returns[name] = deque([None] * length, maxlen=self._rule.window_bars)
        for name, returns in self._returns.items():
            before, after = self._closes.get(name), self._last.get(name)
            returns.append(None if before is None or after is None else log(after / before))
        self._closes = self._last if bars == 1 else {}
        self._last = {}

    def _compare(self) -> None:
        for _ in range(min(PAIRS_PER_FEED, len(self._due))):
            pair = self._due.popleft()
            value = self.correlation(*pair)
            if value is None:
                continue
            if value >= self._rule.join_at:
                self._joined.add(pair)
            elif value < self._rule.leave_below:
                self._joined.discard(pair)
        if not self._due:
            self._gather()

    def _gather(self) -> None:
        """Put together what hangs together."""
        self.clusters = gather([*self._rule.pins, *self._joined])
        if self._beyond:
            everything = {name for cluster in self.clusters for name in cluster} | self._beyond
            self.clusters = gather([everything])


def pearson(pairs: list[tuple[float, float]]) -> float | None:
    """Return the correlation coefficient; None when one side does not move."""
    count = len(pairs)
    mean_a, mean_b = sum(a for a, _ in pairs) / count, sum(b for _, b in pairs) / count
    cov = sum((a - mean_a) * (b - mean_b) for a, b in pairs)
    var_a, var_b = sum((a - mean_a) ** 2 for a, _ in pairs), sum((b - mean_b) ** 2 for _, b in pairs)
    spread = sqrt(var_a) * sqrt(var_b)
    return cov / spread if spread > 0 else None


def gather(groups: Iterable[Iterable[str]]) -> Clusters:
    """Return what hangs together: groups that share a member are one; sorted, of two members at least."""
    root: dict[str, str] = {}

    def find(name: str) -> str:
        while root.setdefault(name, name) != name:
            name = root[name]
        return name

    for group in groups:
        members = sorted(group)
        for member in members:
            first, second = sorted((find(members[0]), find(member)))
            root[second] = first
    found: dict[str, list[str]] = {}
    for name in sorted(root):
        found.setdefault(find(name), []).append(name)
    return tuple(tuple(names) for _, names in sorted(found.items()) if len(names) > 1)
