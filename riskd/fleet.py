"""AUT-05: which daemons run another build than riskd. Each tells its own when it connects: execd and, through it, the
engine, marketdata with its stream, the recorder with the one that it opens. One that tells none is an old one.

What was told stands until that daemon tells something else: one of another build that went away was stopped, which says
nothing of the one that comes next.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

MAX_BUILD_CHARACTERS: Final = 64
ENGINE: Final = "engine"


@dataclass(slots=True)
class Fleet:
    """Kept in memory: after a restart of riskd everybody connects, and tells, again."""

    build: str
    """That riskd runs; empty = nobody said."""
    others: dict[str, str] = field(default_factory=dict)
    """Daemon -> its build, where that is not riskd's; empty = it told none. execd's stands in its session."""

    def told(self, daemon: str, build: str) -> bool:
        """A daemon tells its build; return whether it is another one than riskd's."""
        if build == self.build:
            self.others.pop(daemon, None)
            return False
        self.others[daemon] = build[:MAX_BUILD_CHARACTERS]
        return True

    def text(self, execd: str) -> str:
        """Return who runs what, with the fix; empty = all the same."""
        others = dict(self.others) if execd == self.build else {"execd": execd[:MAX_BUILD_CHARACTERS], **self.others}
        if not others:
            return ""
        told = ", ".join(f"{name} runs {build or 'a build that it does not tell'}" for name, build in others.items())
        return f"{told}; riskd runs {self.build}: restart {' and '.join(others)} from riskd's installation"
