"""HALT and KILL: one command id to riskd and execd in parallel, retried until acknowledged, and the truth about it.

A dead daemon never delays the other one: each is asked in a thread of its own. Either daemon alone is enough to stop
new risk; the count says how many have it.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from typing import Final

from cli.views import StopAck, StopView

STOP_DAEMONS: Final = ("riskd", "execd")
"""Daemons that serve StopService."""
DEADLINE_S: Final = 0.25
"""Of one attempt."""
RETRY_EVERY_S: Final = 0.5
ANNOUNCE_AFTER_S: Final = 0.3
"""The first attempts are over by then: whoever waits longer is told how far it is."""
MAX_ATTEMPTS: Final = 10
"""Five seconds in all; then the operator is told to use the break-glass steps."""

Ask = Callable[[str, float], StopAck]
"""(daemon, deadline in seconds) -> its answer."""
Past: Final = {"HALT": "HALTED", "KILL": "KILLED"}
Ongoing: Final = {"HALT": "HALTING", "KILL": "KILLING"}


def fan_out(
    level: str,
    command_id: str,
    ask: Ask,
    on_partial: Callable[[int, int], None],
    daemons: Sequence[str] = STOP_DAEMONS,
    max_attempts: int = MAX_ATTEMPTS,
) -> StopView:
    """Stop everywhere.

    Args:
        level: HALT or KILL.
        command_id: The same for all, so that a retry changes nothing.
        ask: Sends one attempt; never raises.
        on_partial: Called once with (acknowledged, asked) when it is not complete after ANNOUNCE_AFTER_S.
        daemons: Whom to stop.
        max_attempts: Bound of the retries.
    """
    start = time.monotonic()
    acks: dict[str, StopAck] = {}
    with ThreadPoolExecutor(len(daemons), thread_name_prefix="stop") as pool:
        futures = [pool.submit(_until_acked, daemon, ask, start, max_attempts) for daemon in daemons]
        done, waiting = wait(futures, ANNOUNCE_AFTER_S)
        if waiting:
            on_partial(sum(future.result().acked for future in done), len(daemons))
        for future in futures:
            ack = future.result()
            acks[ack.daemon] = ack
    ordered = [acks[daemon] for daemon in daemons]
    return StopView(command_id, level, ordered, max((ack.ms for ack in ordered), default=0.0))


def _until_acked(daemon: str, ask: Ask, start: float, max_attempts: int) -> StopAck:
    ack = StopAck(daemon, False, 0.0)
    for attempt in range(max_attempts):
        began = time.monotonic()
        ack = ask(daemon, DEADLINE_S)
        if ack.acked:
            return StopAck(daemon, True, round((time.monotonic() - start) * 1e3, 1), ack.level)
        if attempt + 1 < max_attempts:
            time.sleep(max(0.0, began + RETRY_EVERY_S - time.monotonic()))
    return ack


def headline(view: StopView) -> str:
    """Return the one line that tells the truth: `HALTED 2/2 11 ms` or `HALTING 1/2 (execd: UNAVAILABLE)`."""
    asked = len(view.acks)
    if view.acked == asked:
        return f"{Past[view.level]} {view.acked}/{asked} {view.ms:.0f} ms"
    missing = ", ".join(f"{ack.daemon}: {ack.error or 'no answer'}" for ack in view.acks if not ack.acked)
    return f"{Ongoing[view.level]} {view.acked}/{asked} ({missing})"


def ping_all(ask: Ask, daemons: Sequence[str] = STOP_DAEMONS) -> list[StopAck]:
    """Return whether each stop path works."""
    with ThreadPoolExecutor(len(daemons), thread_name_prefix="ping") as pool:
        return list(pool.map(lambda daemon: ask(daemon, DEADLINE_S), daemons))


def readiness(acks: Sequence[StopAck]) -> str:
    """Return `STOP ok 2/2 3ms` or `STOP 1/2 (riskd does not answer)`."""
    answered = [ack for ack in acks if ack.acked]
    if len(answered) == len(acks):
        return f"STOP ok {len(answered)}/{len(acks)} {max(ack.ms for ack in answered):.0f}ms"
    silent = ", ".join(ack.daemon for ack in acks if not ack.acked)
    return f"STOP {len(answered)}/{len(acks)} ({silent} does not answer)"
