"""PTR-07: who must be heard for trading to go on. execd is heard by its session (lease pings four times a second),
marketdata by its stream (a heartbeat a second while idle), the recorder by the stream of risk events that it keeps
open. The engine has no line to riskd: while it is silent it asks for nothing, and an old intent is refused by AUT-03.

Nobody heard counts from the start of the process. A look that comes late is riskd's own pause, in which it could hear
nobody: it raises nothing, once.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from riskd.keeper import HoldKeeper
from riskd.watch_rule import DependencyRule
from tradebot.core.levels import SYSTEM_SCOPE, ReleaseRule, TradingLevel

DOWN: Final = "PTR-07"
EXECD: Final = "execd"
MARKETDATA: Final = "marketdata"
RECORDER: Final = "recorder"
WATCHED: Final = (EXECD, MARKETDATA, RECORDER)
LATE_LOOK_NS: Final = 2_000_000_000
"""Looks come once a second."""


@dataclass(slots=True)
class Heartbeats:
    """Who was heard when. Kept in memory: after a restart everybody has to speak again."""

    heard_ns: dict[str, int] = field(default_factory=dict)
    streams: dict[str, int] = field(default_factory=dict)
    """Streams that somebody keeps open now; while there is one, he is there."""
    started_ns: int = 0
    looked_ns: int = 0
    late: bool = False
    """Whether the last look was late and raised nothing for it: the next one does."""

    def opened(self, name: str) -> None:
        """Somebody opened a stream."""
        self.streams[name] = self.streams.get(name, 0) + 1

    def closed(self, name: str, now_ns: int) -> None:
        """One of them ended."""
        self.streams[name] -= 1
        self.heard_ns[name] = now_ns

    def has_spoken(self, name: str) -> bool:
        """Return whether somebody was heard in this life."""
        return name in self.heard_ns or name in self.streams

    def silence_ns(self, name: str, now_ns: int) -> int:
        """Return for how long somebody was not heard."""
        if self.streams.get(name, 0) > 0:
            return 0
        return now_ns - max(self.heard_ns.get(name, 0), self.started_ns)


class DependencyWatch:
    """See the module."""

    def __init__(self, keeper: HoldKeeper, rule: DependencyRule | None, beats: Heartbeats) -> None:
        self._keeper = keeper
        self._rule = rule
        self._beats = beats

    def start(self, now_ns: int) -> None:
        """A process starts."""
        self._beats.started_ns = self._beats.looked_ns = now_ns

    def watch(self, now_ns: int) -> None:
        """Look at everybody; one hold for all, at the level of the longest silence."""
        rule, beats = self._rule, self._beats
        late, beats.late = now_ns - beats.looked_ns > LATE_LOOK_NS and not beats.late, False
        beats.looked_ns = now_ns
        if rule is None:
            self._keeper.clear_cause(DOWN, SYSTEM_SCOPE, "not watched any more", now_ns)
            return
        silences = {name: beats.silence_ns(name, now_ns) for name in rule.watched}
        down = {name: silent for name, silent in silences.items() if silent > rule.reduce_only_ns}
        if not down:
            if all(beats.has_spoken(name) for name in rule.watched):  # else a hold of an earlier life stays
                self._keeper.clear_cause(DOWN, SYSTEM_SCOPE, "everybody is heard", now_ns)
            return
        if late:
            beats.late = True
            return
        level = TradingLevel.PAUSED if max(down.values()) > rule.pause_ns else TradingLevel.REDUCE_ONLY
        text = ", ".join(f"{name} was not heard for {silent // 1_000_000} ms" for name, silent in down.items())
        self._keeper.raise_(level, SYSTEM_SCOPE, DOWN, ReleaseRule.AUTO, now_ns, text)
