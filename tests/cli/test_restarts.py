"""When the supervisor starts a daemon again and when it gives up."""

from __future__ import annotations

import pytest

from cli.restarts import MAX_STARTS, START_WINDOW_NS, GiveUp, RestartAt, RestartPolicy

MS = 1_000_000
SECOND = 1_000 * MS


def crash_now(policy: RestartPolicy, now_ns: int, exit_code: int = 70) -> RestartAt | GiveUp:
    policy.started(now_ns)
    return policy.ended(exit_code, now_ns)


def test_each_restart_within_a_minute_waits_longer() -> None:
    policy = RestartPolicy()
    waits = []
    for _ in range(MAX_STARTS - 1):
        step = crash_now(policy, 0)
        assert isinstance(step, RestartAt)
        waits.append(step.at_ns // MS)

    assert waits == [250, 500, 1_000, 2_000]


def test_the_fifth_crash_within_a_minute_is_the_last() -> None:
    policy = RestartPolicy()
    steps = [crash_now(policy, second * SECOND) for second in range(MAX_STARTS)]

    assert all(isinstance(step, RestartAt) for step in steps[:-1])
    assert steps[-1] == GiveUp("5 starts within a minute, the last ended with exit code 70", crash_loop=True)


def test_rare_crashes_never_add_up() -> None:
    policy = RestartPolicy()
    steps = [crash_now(policy, n * START_WINDOW_NS) for n in range(50)]

    assert all(isinstance(step, RestartAt) for step in steps)


@pytest.mark.parametrize("exit_code", [2, 3])
def test_what_does_not_heal_by_itself_is_not_retried(exit_code: int) -> None:
    step = crash_now(RestartPolicy(), 0, exit_code)

    assert isinstance(step, GiveUp)
    assert not step.crash_loop


def test_a_clean_exit_nobody_asked_for_is_restarted() -> None:
    assert isinstance(crash_now(RestartPolicy(), 0, 0), RestartAt)
