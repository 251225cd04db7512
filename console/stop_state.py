"""One stop command under way: who has acknowledged it, and the sentence that says so."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from console.model import STOP_DAEMONS, Kill, StopPing
from console.stop_keys import StopLevel
from tradebot.core.levels import TradingLevel

NS_PER_MS: Final = 1_000_000
INCOMPLETE_AFTER_NS: Final = 3_000 * NS_PER_MS
"""Then a missing acknowledgement is an alarm."""
BANNER_NS: Final = 15_000 * NS_PER_MS
"""How long a complete stop keeps the second line."""
KILL_EFFECT: Final = "cancels all, stops sending, resume needs two keys + restart"


STEP_WORDS: Final = {
    "LATCH": "latched",
    "FENCE": "waiting for execd to obey",
    "CANCEL": "canceling orders",
    "RESOLVE": "proving orders in flight",
    "FLATTEN": "closing positions",
    "CONFIRM": "confirming at the venue",
    "REPORT": "done",
}


def kill_sentence(kill: Kill, now_ns: int) -> str:
    """Return where a kill is, in one sentence."""
    what = f"{'drill' if kill.drill else 'kill'} {kill.kill_id}"
    if kill.is_done:
        left = f", {kill.left} left (tradebot kill-report)" if kill.left else ", nothing left"
        return f"{what} confirmed by the venue{left}"
    seconds = max(0, now_ns - kill.entered_ns) // (1000 * NS_PER_MS)
    why = f": {kill.stuck}" if kill.stuck else ""
    return f"{what} {'STUCK ' if why else ''}{STEP_WORDS.get(kill.step, kill.step)} {seconds} s{why}"


@dataclass(slots=True)
class StopCommand:
    """A HALT or KILL from its key press on."""

    command_id: str
    level: StopLevel
    started_ns: int
    working_before: int | None = None
    """Working orders when it was given, for the count-down."""
    answers: dict[str, StopPing] = field(default_factory=dict)

    def answered(self, daemon: str, answer: StopPing) -> None:
        """Keep an answer; a failed retry never takes an acknowledgement back."""
        known = self.answers.get(daemon)
        if known is None or not known.ok:
            self.answers[daemon] = answer

    @property
    def acked(self) -> int:
        """Daemons that have it."""
        return sum(answer.ok for answer in self.answers.values())

    @property
    def missing(self) -> list[str]:
        """Daemons that have not acknowledged it."""
        return [name for name in STOP_DAEMONS if not (name in self.answers and self.answers[name].ok)]

    @property
    def complete(self) -> bool:
        """True when every stop daemon has it."""
        return self.acked == len(STOP_DAEMONS)

    def is_incomplete_alarm(self, now_ns: int) -> bool:
        """True when an acknowledgement is missing for too long."""
        return not self.complete and now_ns - self.started_ns > INCOMPLETE_AFTER_NS

    def is_news(self, now_ns: int, level: TradingLevel | None) -> bool:
        """True while it belongs into the second line: until everybody has it, then a while, unless it was cleared."""
        if not self.complete:
            return True
        cleared = level is not None and level < TradingLevel.HALTED
        return not cleared and now_ns - self.started_ns < BANNER_NS

    def sentence(self, now_ns: int, kill_window_left_ns: int, working_now: int | None) -> str:
        """Return the truth about this stop in one line."""
        total = len(STOP_DAEMONS)
        if not self.complete:
            silent = ", ".join(f"{name} {self._error(name)}".rstrip() for name in self.missing)
            doing = "HALTING" if self.level is StopLevel.HALT else "KILLING"
            seconds = (now_ns - self.started_ns) // (1000 * NS_PER_MS)
            waited = f" {seconds} s" if self.is_incomplete_alarm(now_ns) else ""
            rest = f": no answer from {silent}, retrying{waited}" if self.answers else ""
            return f"{doing} {self.acked}/{total}{rest}"
        slowest = max(answer.ms for answer in self.answers.values())
        lowest = min(answer.level for answer in self.answers.values())
        done = f"{max(lowest, TradingLevel.HALTED).name} {total}/{total} {slowest:.0f} ms."
        if self.level is StopLevel.HALT and kill_window_left_ns > 0 and lowest < TradingLevel.KILLED:
            seconds = -(-kill_window_left_ns // (1000 * NS_PER_MS))
            return f"{done} F9 within {seconds} s = KILL: {KILL_EFFECT}"
        count = ""
        if self.working_before is not None and working_now is not None:
            stay = ", protection stays" if working_now else ""
            count = f" Working orders {self.working_before} -> {working_now}{stay}."
        return f"{done}{count} h = holds"

    def _error(self, daemon: str) -> str:
        answer = self.answers.get(daemon)
        return f"({answer.error})" if answer is not None and answer.error else ""
