"""What the loss guards remember: a fold of the journal, so that a restart has the same baselines and waivers."""

from __future__ import annotations

from collections import deque
from typing import Final

from riskd.days import day_of, week_of
from tradebot.core.levels import Hold

MAX_DAYS: Final = 91
"""Days whose highest equity is remembered: the longest window and the day that runs."""
MAX_SAMPLES: Final = 512
"""Equity samples remembered: an hour at one in 15 s, and what new highs add."""
MAX_KEYS: Final = 20_000
"""Instruments that are remembered one by one."""
DAY_TARGET: Final = "DAY_TARGET"
"""Cause of the hold that a reached day target raises."""


class GuardBook:
    """What the guards remember. Amounts in units of account currency unless said otherwise."""

    def __init__(self) -> None:
        self.last_ns = 0
        """Latest time that the journal knows; a clock that reads less has been moved."""
        self.week = -1
        self.week_start: int | None = None
        self.highs: dict[int, int] = {}
        """UTC day -> highest equity, corrected for transfers since."""
        self.samples: deque[tuple[int, int]] = deque(maxlen=MAX_SAMPLES)
        """(time, equity), corrected for transfers since."""
        self.waived: dict[tuple[str, str], int] = {}
        """(cause, scope name) -> UTC day on which it was cleared before its time, or that reached its target."""
        self.resets: set[str] = set()
        """Causes cleared by two keys whose baseline begins again with the next known equity."""
        self.losing_exits: dict[str, int] = {}
        """Instrument -> when a round trip there last ended without a profit."""
        self.entries: dict[str, int] = {}
        """Instrument -> when an entry there was last allowed."""

    # ---- folds

    def start(self, time_ns: int) -> None:
        """A process starts: time counts from here, be it on a clock that was moved."""
        self.last_ns = time_ns

    def stand(self, time_ns: int) -> None:
        """Remember the latest time."""
        self.last_ns = max(self.last_ns, time_ns)

    def settle(self, day: int, equity: int, time_ns: int) -> None:
        """A UTC day begins; the Monday among them begins a week."""
        self.stand(time_ns)
        if week_of(day) != self.week:
            self.week, self.week_start = week_of(day), equity
        self.highs[day] = equity
        for old in [d for d in self.highs if d <= day - MAX_DAYS]:
            del self.highs[old]
        for key in [k for k, waived in self.waived.items() if waived < day]:
            del self.waived[key]

    def sample(self, equity: int, time_ns: int) -> None:
        """Remember equity."""
        self.stand(time_ns)
        self.samples.append((time_ns, equity))
        day = day_of(time_ns)
        self.highs[day] = max(equity, self.highs.get(day, equity))

    def move(self, value: int) -> None:
        """A transfer is no profit and no loss: every baseline moves along."""
        if not value:
            return
        if self.week_start is not None:
            self.week_start += value
        self.highs = {day: high + value for day, high in self.highs.items()}
        self.samples = deque(((at, equity + value) for at, equity in self.samples), maxlen=MAX_SAMPLES)

    def entered(self, instrument_id: str, time_ns: int) -> None:
        """An entry was allowed."""
        self.entries[instrument_id] = time_ns

    def lost(self, instrument_id: str, time_ns: int) -> None:
        """A round trip ended without a profit."""
        self.losing_exits.pop(instrument_id, None)
        self.losing_exits[instrument_id] = time_ns
        while len(self.losing_exits) > MAX_KEYS:
            del self.losing_exits[next(iter(self.losing_exits))]

    def hold_raised(self, hold: Hold) -> None:
        """A hold of ours stands: its guard has acted."""
        self.stand(hold.raised_ns)
        if hold.cause == DAY_TARGET:
            self.waived[DAY_TARGET, ""] = day_of(hold.raised_ns)

    def hold_cleared(self, hold: Hold | None, operator: str, time_ns: int) -> None:
        """Somebody cleared a hold: its guard does not raise it again for what has happened already."""
        self.stand(time_ns)
        if hold is None or operator == "riskd":
            return
        if hold.cause == "PNL-07" or (hold.cause == "PNL-02" and time_ns < hold.clear_after_ns):
            self.waived[hold.cause, hold.scope.name] = day_of(time_ns)
        elif hold.cause in ("PNL-03", "PNL-04"):
            self.resets.add(hold.cause)

    def reset(self, cause: str, equity: int, time_ns: int) -> None:
        """The baseline of a guard begins again."""
        self.resets.discard(cause)
        if cause == "PNL-03":
            self.week_start = equity
        elif cause == "PNL-04":
            self.highs = {day_of(time_ns): equity}
        self.stand(time_ns)

    def digest(self) -> tuple[object, ...]:
        """Return everything, in an order that does not depend on how it came about."""
        return (
            self.last_ns,
            (self.week, self.week_start),
            sorted(self.highs.items()),
            list(self.samples),
            sorted(self.waived.items()),
            sorted(self.resets),
            sorted(self.losing_exits.items()),
            sorted(self.entries.items()),
        )

    # ---- questions

    def high(self, days: int, now_ns: int, equity: int) -> int:
        """Return the highest equity of the last days, today and now included."""
        oldest = day_of(now_ns) - days + 1
        return max([equity, *(high for day, high in self.highs.items() if day >= oldest)])
