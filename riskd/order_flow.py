"""How the strategies order and what venues make of it: orders, trades, rejects and entries lately. Folded from
decisions and order events, so it survives a restart.

Operators are counted too but for repeated entries: RAT-06 is about what happens without a human hand.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections import deque
from typing import Final, TypeVar

from riskd.days import day_of
from riskd.rates import NS_PER_MIN, NS_PER_S
from riskd.units import PPM
from riskd.windows import WindowCount

MAX_KEYS: Final = 20_000
"""Of each kind; the one used longest ago is forgotten."""
HOUR_NS: Final = 60 * NS_PER_MIN
MAX_REPEAT_MIN: Final = 60
"""Longest window of RAT-06."""

MAX_LATENCIES: Final = 2_000
"""Acknowledgements remembered for PTR-09."""
MAX_FILLS: Final = 100
"""Fills remembered for PNL-08, per strategy."""
Fill = tuple[int, int, int]
"""What it paid beyond the mid at its approval, half the spread then, its value at that mid; all in quote asset."""
Key = TypeVar("Key", str, tuple[str, str])
Repeated = tuple[str, str, int]
"""Strategy, instrument, sign of the side."""


class EntryCount:
    """Entries of one strategy on one side of an instrument."""

    __slots__ = ("day", "today", "window")

    def __init__(self) -> None:
        self.window = WindowCount(10 * NS_PER_S, MAX_REPEAT_MIN * NS_PER_MIN)
        self.day = -1
        self.today = 0

    def add(self, now_ns: int) -> None:
        """Count one."""
        self.window.add(now_ns)
        if day_of(now_ns) > self.day:
            self.day, self.today = day_of(now_ns), 0
        self.today += 1

    def on_day(self, day: int) -> int:
        """Return the entries of a UTC day; a clock that was set back still sees today's."""
        return self.today if day <= self.day else 0


class OrderFlow:
    """All of it."""

    def __init__(self) -> None:
        self.orders: dict[str, WindowCount] = {}
        """Strategy -> entries and exits approved for the wire."""
        self.trades: dict[str, WindowCount] = {}
        """Strategy -> executions of those."""
        self.rejects: dict[tuple[str, str], WindowCount] = {}
        """(`strategy` or `venue`, its name) -> rejects of the venue."""
        self.entries: dict[Repeated, EntryCount] = {}
        self.fills: dict[str, deque[Fill]] = {}
        """Strategy -> the latest fills of its entries."""
        self.latencies: deque[tuple[int, int]] = deque()
        """(when, ns from approval to acknowledgement), latest last. No part of the fold: only a minute counts."""
        self._ranked: list[int] = []
        """Their durations, ascending."""
        self.touched: set[str | tuple[str, str] | Repeated] = set()
        """Keys of `orders`, `rejects` and `entries` that rose since the watch last looked. No part of the fold."""

    def ordered(self, strategy_id: str, now_ns: int) -> None:
        """A message was approved for the wire."""
        self._count(self.orders, strategy_id, 60 * NS_PER_S, HOUR_NS, now_ns)
        self.touched.add(strategy_id)

    def traded(self, strategy_id: str, now_ns: int) -> None:
        """An order of a strategy was executed, in part or whole."""
        self._count(self.trades, strategy_id, 60 * NS_PER_S, HOUR_NS, now_ns)

    def rejected(self, strategy_id: str, venue: str, now_ns: int) -> None:
        """A venue refused an order."""
        for key in (("strategy", strategy_id), ("venue", venue)):
            self._count(self.rejects, key, NS_PER_S, NS_PER_MIN, now_ns)
            self.touched.add(key)

    def entered(self, key: Repeated, now_ns: int) -> None:
        """An entry was approved."""
        found = self.entries.pop(key, None) or EntryCount()
        self.entries[key] = found
        found.add(now_ns)
        self.touched.add(key)
        if len(self.entries) > MAX_KEYS:
            del self.entries[next(iter(self.entries))]

    def filled(self, strategy_id: str, fill: Fill) -> None:
        """An entry was executed, in part or whole."""
        found = self.fills.pop(strategy_id, None) or deque(maxlen=MAX_FILLS)
        self.fills[strategy_id] = found
        found.append(fill)
        self.touched.add(("fills", strategy_id))
        if len(self.fills) > MAX_KEYS:
            del self.fills[next(iter(self.fills))]

    def slippage(self, strategy_id: str, fills: int, floor_ppm: int) -> tuple[int, int] | None:
        """Return (paid beyond the mid, expected) of a strategy's latest fills; None when there are fewer."""
        found = self.fills.get(strategy_id, ())
        if len(found) < fills:
            return None
        latest = list(found)[-fills:]
        return sum(paid for paid, _, _ in latest), sum(max(half, value * floor_ppm // PPM) for _, half, value in latest)

    def acknowledged(self, took_ns: int, now_ns: int) -> None:
        """The venue has acknowledged an order for the first time."""
        if len(self.latencies) == MAX_LATENCIES:
            self._forget_latency()
        self.latencies.append((now_ns, took_ns))
        insort(self._ranked, took_ns)

    def _forget_latency(self) -> None:
        _, took_ns = self.latencies.popleft()
        del self._ranked[bisect_left(self._ranked, took_ns)]

    def begin_again(self, strategy_id: str) -> None:
        """A person looked at what a strategy repeats: its count begins again."""
        for key in [key for key in self.entries if key[0] == strategy_id]:
            del self.entries[key]

    def orders_of(self, strategy_id: str, now_ns: int) -> int:
        """Return a strategy's orders of the last hour."""
        found = self.orders.get(strategy_id)
        return 0 if found is None else found.count(now_ns, HOUR_NS)

    def trades_of(self, strategy_id: str, now_ns: int) -> int:
        """Return their executions of the last hour."""
        found = self.trades.get(strategy_id)
        return 0 if found is None else found.count(now_ns, HOUR_NS)

    def rejects_of(self, kind: str, name: str, now_ns: int) -> int:
        """Return a strategy's or a venue's rejects of the last minute."""
        found = self.rejects.get((kind, name))
        return 0 if found is None else found.count(now_ns, NS_PER_MIN)

    def repeated(self, key: Repeated, window_ns: int, now_ns: int) -> tuple[int, int]:
        """Return how often an entry was repeated (within the window, on the UTC day)."""
        found = self.entries.get(key)
        return (0, 0) if found is None else (found.window.count(now_ns, window_ns), found.on_day(day_of(now_ns)))

    def ack_p99_ns(self, now_ns: int, fewest: int) -> int:
        """Return the 99th percentile of the last minute's acknowledgements, 0 when there were too few."""
        while self.latencies and now_ns - self.latencies[0][0] >= NS_PER_MIN:
            self._forget_latency()
        took = self._ranked
        return 0 if len(took) < fewest else took[-(-99 * len(took) // 100) - 1]

    def digest(self) -> list[object]:
        """Return everything folded."""
        return [
            [(key, count.digest()) for key, count in table.items()]
            for table in (self.orders, self.trades, self.rejects)
        ] + [
            [(key, tuple(found)) for key, found in self.fills.items()],
            [(key, e.window.digest(), e.day, e.today) for key, e in self.entries.items()],
        ]

    @staticmethod
    def _count(table: dict[Key, WindowCount], key: Key, width_ns: int, kept_ns: int, now_ns: int) -> None:
        found = table.pop(key, None) or WindowCount(width_ns, kept_ns)
        table[key] = found
        found.add(now_ns)
        if len(table) > MAX_KEYS:
            del table[next(iter(table))]
