"""`kill --wait`, `kill-report`: follow a kill to the venue's confirmation, and tell what became of it."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final

from cli.client import Daemons
from cli.kill_views import KillView, step_line
from tradebot.core.errors import DisconnectedError

POLL_S: Final = 0.2
BEGIN_WITHIN_S: Final = 2.0
"""riskd begins a kill with its hold; an older one in force is not taken for it before this time is over."""


def follow(
    daemons: Daemons, scope: str, kill_id: str, since_ns: int, wait_s: float, tell: Callable[[str], None]
) -> KillView | None:
    """Return the kill when it is over, or as it is after `wait_s`; None when riskd never told of it.

    Args:
        daemons: Whom to ask; a riskd that is down meanwhile is asked again.
        scope: `system` and so on, as shown.
        kill_id: Which, when it is known.
        since_ns: When it was ordered.
        wait_s: Bound.
        tell: Gets a line with every change of step.
    """
    deadline = time.monotonic() + wait_s
    began = time.monotonic()
    kill, told = None, ""
    while True:
        patient = time.monotonic() - began < BEGIN_WITHIN_S
        kill = _look(daemons, scope, kill_id, since_ns if patient else 0) or kill
        if kill is not None:
            kill_id = kill.kill_id
            if (line := step_line(kill)) != told:
                told = line
                tell(line)
            if kill.is_over:
                return kill
        if time.monotonic() >= deadline:
            return kill
        time.sleep(POLL_S)


def _look(daemons: Daemons, scope: str, kill_id: str, since_ns: int) -> KillView | None:
    try:
        found = daemons.kills(kill_id=kill_id).kills
    except DisconnectedError:
        return None
    fits = (k for k in found if kill_id or (k.scope == scope and k.began_time_ns >= since_ns and k.state != "RELEASED"))
    return next(fits, None)
