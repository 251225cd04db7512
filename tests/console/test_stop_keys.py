"""The stop key: one press halts at once, a second separate press kills, nothing else ever does."""

from __future__ import annotations

import random

import pytest

from console.stop_keys import StopKeys, StopLevel

MS = 1_000_000


class Terminal:
    """Feeds presses and timers to the rule in the order of their times."""

    def __init__(self) -> None:
        self.keys = StopKeys()
        self.done: list[tuple[StopLevel, int]] = []

    def press(self, at_ms: float) -> None:
        self.wait_until(at_ms)
        self._note(self.keys.press(int(at_ms * MS)), at_ms)

    def wait_until(self, at_ms: float) -> None:
        while (due := self.keys.next_timer_ns()) is not None and due <= at_ms * MS:
            self._note(self.keys.handle_timer(due), due / MS)

    def _note(self, level: StopLevel | None, at_ms: float) -> None:
        if level is not None:
            self.done.append((level, round(at_ms)))

    @property
    def levels(self) -> list[StopLevel]:
        return [level for level, _ in self.done]


def test_the_first_press_halts_at_once() -> None:
    terminal = Terminal()
    terminal.press(0)

    assert terminal.done == [(StopLevel.HALT, 0)]


def test_a_second_separate_press_kills_after_its_silence() -> None:
    terminal = Terminal()
    terminal.press(0)
    terminal.press(800)
    terminal.wait_until(919)

    assert terminal.levels == [StopLevel.HALT]

    terminal.wait_until(1000)

    assert terminal.done == [(StopLevel.HALT, 0), (StopLevel.KILL, 920)]


@pytest.mark.parametrize("repeat_delay_ms", [200, 250, 400, 500, 660])
@pytest.mark.parametrize("repeat_ms", [11, 25, 30, 33, 50, 100])
def test_a_held_key_never_gets_past_halt(repeat_delay_ms: int, repeat_ms: int) -> None:
    terminal = Terminal()
    terminal.press(0)
    for count in range(400):
        terminal.press(repeat_delay_ms + count * repeat_ms)
    terminal.wait_until(100_000)

    assert set(terminal.levels) == {StopLevel.HALT}


@pytest.mark.parametrize("bounce_ms", [1, 5, 20, 60, 100, 149])
def test_a_bouncing_press_is_one_press(bounce_ms: int) -> None:
    terminal = Terminal()
    for count in range(3):
        terminal.press(count * bounce_ms)
    terminal.wait_until(10_000)

    assert terminal.levels == [StopLevel.HALT]


def test_a_bouncing_second_press_does_not_kill() -> None:
    terminal = Terminal()
    terminal.press(0)
    terminal.press(1000)
    terminal.press(1040)
    terminal.wait_until(10_000)

    assert terminal.levels == [StopLevel.HALT]


def test_a_third_clean_press_in_time_still_kills() -> None:
    terminal = Terminal()
    terminal.press(0)
    terminal.press(1000)
    terminal.press(1040)
    terminal.press(2000)
    terminal.wait_until(10_000)

    assert terminal.levels == [StopLevel.HALT, StopLevel.KILL]


def test_a_press_after_five_seconds_is_a_first_press_again() -> None:
    terminal = Terminal()
    terminal.press(0)
    terminal.press(5001)
    terminal.wait_until(10_000)

    assert terminal.levels == [StopLevel.HALT, StopLevel.HALT]


def test_a_busy_loop_does_not_turn_repeats_into_a_second_press() -> None:
    """The timer comes 300 ms late while repeats wait unread: it must give them a chance to be read first."""
    keys = StopKeys()
    assert keys.press(0) is StopLevel.HALT
    assert keys.press(500 * MS) is None
    assert keys.handle_timer(920 * MS) is None
    assert keys.press(530 * MS) is None
    assert keys.next_timer_ns() is None


def test_a_loop_that_is_always_late_still_kills_in_the_end() -> None:
    keys = StopKeys()
    keys.press(0)
    keys.press(500 * MS)
    answers = []
    for _ in range(10):
        due = keys.next_timer_ns()
        if due is None:
            break
        answers.append(keys.handle_timer(due + 200 * MS))

    assert answers == [None, None, None, StopLevel.KILL]


@pytest.mark.parametrize("seed", range(20))
def test_without_two_quiet_gaps_there_is_no_kill(seed: int) -> None:
    """Random presses closer than the silences: whatever the rhythm, only HALT."""
    rng = random.Random(seed)
    terminal = Terminal()
    at_ms = 0.0
    for _ in range(300):
        terminal.press(at_ms)
        at_ms += rng.uniform(1, 119)
    terminal.wait_until(at_ms + 10_000)

    assert StopLevel.KILL not in terminal.levels, f"seed {seed}"
