"""Kills and drills as answers: what a person reads and what `--json` prints. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field
from decimal import Decimal

from cli.output import table, wrap
from cli.render import duration, moment

NS_PER_MS = 1_000_000
OVER = ("DONE", "RELEASED")


@dataclass(frozen=True, slots=True)
class KillMarkView:
    """One step of a kill."""

    step: str
    at_ms: int
    """Since the hold."""
    took_ms: int | None
    """None = under way."""
    evidence: str


@dataclass(frozen=True, slots=True)
class KillView:
    """One kill."""

    kill_id: str
    """Id of its hold."""
    scope: str
    state: str
    """WORKING, STUCK, DONE, RELEASED."""
    step: str
    flatten: bool
    drill: bool
    operator: str
    reason: str
    began_time_ns: int
    ended_time_ns: int
    attempts: int
    stuck: str
    steps: list[KillMarkView] = field(default_factory=list)
    left: list[str] = field(default_factory=list)

    @property
    def is_over(self) -> bool:
        """True when nothing more will happen by itself."""
        return self.state in OVER

    @property
    def took_ms(self) -> int | None:
        """From the hold to the end; None while it is under way."""
        return (self.ended_time_ns - self.began_time_ns) // NS_PER_MS if self.ended_time_ns else None


@dataclass(frozen=True, slots=True)
class DrillView:
    """The last drill that was done."""

    kill_id: str
    operator: str
    environment: str
    time_ns: int
    duration_ms: int
    evidence: str


@dataclass(frozen=True, slots=True)
class KillsView:
    """Kills, newest first, and the last drill."""

    kills: list[KillView]
    last_drill: DrillView | None


@dataclass(frozen=True, slots=True)
class DrillStartView:
    """Whether a drill began, or would."""

    kill_id: str
    reason: str
    detail: str
    taker_fee: Decimal
    """Share of a fill that riskd counts as its fee."""


def kill_lines(kill: KillView) -> list[str]:
    """Return one kill: what, who, each step with its time and proof, what is left."""
    what = "drill" if kill.drill else "kill"
    how = "positions closed" if kill.flatten else "protection stays"
    took = f" after {_ms(kill.took_ms)}" if kill.took_ms is not None else ""
    lines = [
        f"{what} {kill.kill_id} of {kill.scope} ({how}): {kill.state}{took}",
        f"by {kill.operator} at {moment(kill.began_time_ns)}{f': {kill.reason}' if kill.reason else ''}",
    ]
    rows = [(mark.step, f"+{_ms(mark.at_ms)}", _ms(mark.took_ms), mark.evidence) for mark in kill.steps]
    lines += table(("step", "at", "took", "proved by"), rows, frozenset({1, 2}))
    if kill.stuck:
        lines += wrap("STUCK  ", kill.stuck)
    for text in kill.left:
        lines += wrap("left   ", text)
    return lines


def kills_lines(view: KillsView, now_ns: int) -> list[str]:
    """Return every kill, and when the switch was last tested."""
    lines: list[str] = []
    for kill in view.kills:
        lines += [*kill_lines(kill), ""]
    drill = view.last_drill
    if drill is None:
        return [*lines, "kill switch: never drilled (tradebot drill kill)"]
    age = duration((now_ns - drill.time_ns) // 1_000_000_000)
    took = _ms(drill.duration_ms)
    return [*lines, f"kill switch: drilled {age} ago in {drill.environment} by {drill.operator}, {took}"]


def step_line(kill: KillView) -> str:
    """Return where a kill is, in one line."""
    return f"{kill.kill_id} {kill.step}{f' STUCK: {kill.stuck}' if kill.stuck else ''}"


def _ms(value: int | None) -> str:
    if value is None:
        return "..."
    return f"{value} ms" if value < 10_000 else f"{value / 1000:.1f} s"
