from __future__ import annotations

import time

import pytest

from tradebot.runtime.clock import NS_PER_MS, NS_PER_S, ClockReading, ManualClock, SystemClock


def test_the_system_clock_starts_at_wall_time_and_never_goes_back() -> None:
    clock = SystemClock()
    readings = [clock.now_ns() for _ in range(1_000)]

    assert abs(readings[0] - time.time_ns()) < NS_PER_S
    assert readings == sorted(readings)


def test_the_system_clock_ignores_a_step_of_the_wall_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = SystemClock()
    real_time_ns = time.time_ns
    monkeypatch.setattr(time, "time_ns", lambda: real_time_ns() + 3_600 * NS_PER_S)
    reading = clock.read()

    assert 3_599 * NS_PER_S < reading.wall_ns - reading.now_ns < 3_601 * NS_PER_S
    assert reading.now_ns - clock.now_ns() < NS_PER_S


def test_a_manual_clock_moves_only_when_told_and_only_forward() -> None:
    clock = ManualClock(100)
    clock.advance(NS_PER_MS)
    clock.set(2 * NS_PER_MS)
    with pytest.raises(ValueError, match="never goes back"):
        clock.set(0)

    assert clock.now_ns() == 2 * NS_PER_MS


def test_a_manual_clock_can_have_a_wrong_wall_clock() -> None:
    clock = ManualClock(100)
    clock.step_wall(-30)

    assert clock.read() == ClockReading(100, 70)
