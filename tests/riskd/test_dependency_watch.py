"""PTR-07: whoever trading depends on is heard, or nothing is entered, and after a while nothing is done at all."""

from __future__ import annotations

from typing import Any

import pytest

from riskd.dependency_watch import RECORDER
from riskd.records import MemorySink
from tests.riskd.kit import BTC, SECOND, WATCHES, Desk, make_test_limits
from tradebot.core.errors import ConfigError
from tradebot.core.levels import SYSTEM_SCOPE, TradingLevel

EVERYBODY = ("marketdata", "execd", "recorder")


def desk(**limits: Any) -> Desk:
    found = Desk(limits=make_test_limits({"PTR-07": WATCHES["PTR-07"] | limits}), attended=False)
    found.gate.heartbeats.opened(RECORDER)
    return found


def listen(at: Desk, seconds: float, speaking: tuple[str, ...]) -> None:
    """Let time pass in steps of a quarter second, in which only these speak."""
    for _ in range(round(seconds * 4)):
        at.wait(0.25)
        if "execd" in speaking:
            at.venue()
        if "marketdata" in speaking:
            at.gate.market_heard(at.now_ns)


def hold(at: Desk) -> tuple[str, str]:
    found = at.gate.state.holds.find("PTR-07", SYSTEM_SCOPE)
    return ("", "") if found is None else (found.level.name, found.evidence)


def test_everybody_is_heard_and_nothing_happens() -> None:
    at = desk()
    listen(at, 30, EVERYBODY)

    assert at.levels() == "RUNNING"


@pytest.mark.parametrize("silent", ["marketdata", "execd"])
@pytest.mark.parametrize(
    ("seconds", "expected"), [(2, "RUNNING"), (3, "REDUCE_ONLY"), (5, "REDUCE_ONLY"), (6, "PAUSED")]
)
def test_who_is_silent_for_longer_than_a_deadline_stops_trading(silent: str, seconds: int, expected: str) -> None:
    at = desk()
    listen(at, 3, EVERYBODY)
    at.wait(0.25)  # riskd looks at whole seconds and a quarter: all were last heard just then
    at.venue()
    at.gate.market_heard(at.now_ns)
    listen(at, seconds, tuple(name for name in EVERYBODY if name != silent))

    assert at.levels() == expected
    assert hold(at)[1].startswith(f"{silent} was not heard for " if expected != "RUNNING" else "")


def test_a_recorder_that_closes_its_stream_is_missed_and_one_of_two_is_enough() -> None:
    at = desk()
    at.gate.heartbeats.opened(RECORDER)
    at.gate.heartbeats.closed(RECORDER, at.now_ns)
    listen(at, 10, EVERYBODY)
    one = at.levels()
    at.gate.heartbeats.closed(RECORDER, at.now_ns)
    listen(at, 4, EVERYBODY)

    assert (one, at.levels()) == ("RUNNING", "REDUCE_ONLY")
    assert hold(at)[1].startswith("recorder was not heard for ")


def test_it_ends_by_itself_when_everybody_is_heard_again() -> None:
    at = desk()
    listen(at, 10, ("execd",))
    paused = at.levels()
    listen(at, 1.25, EVERYBODY)

    assert (paused, at.levels()) == ("PAUSED", "RUNNING")
    assert at.replayed().state.digest() == at.gate.state.digest()


def test_a_market_row_is_as_good_as_a_heartbeat() -> None:
    at = desk()
    for _ in range(20):
        at.wait(0.5)
        at.venue()
        at.quote(BTC, "59999.99", "60000.01")

    assert at.levels() == "RUNNING"


def test_a_pause_of_riskd_itself_blames_nobody_once() -> None:
    at = desk()
    listen(at, 5, EVERYBODY)
    at.wait(20)
    once = hold(at)
    at.wait(20)

    assert once == ("", "")
    assert hold(at)[0] == "PAUSED"


def test_after_a_restart_the_hold_stands_until_everybody_has_spoken_and_nobody_is_trusted_unheard() -> None:
    at = desk()
    listen(at, 4, ("execd",))
    sink = MemorySink()
    sink.records = list(at.sink.records)
    at.gate, at.sink = at.new_gate(sink), sink
    at.gate.restore(sink.records[:])
    at.gate.start("life2", at.now_ns)
    kept = hold(at)[0]
    for _ in range(24):
        at.now_ns += SECOND // 4
        at.gate.handle_timer(at.now_ns)

    assert kept == "REDUCE_ONLY"
    assert hold(at)[0] == "PAUSED"
    assert "recorder" in hold(at)[1]


def test_only_those_are_watched_that_the_limits_name() -> None:
    at = desk(watched=["execd"])
    listen(at, 20, ("execd",))

    assert at.gate.state.holds.system_level() is TradingLevel.RUNNING


@pytest.mark.parametrize(
    ("limits", "message"),
    [
        ({"reduce_only_s": 6}, r"PTR-07.reduce_only_s is 6, above pause_s 5"),
        ({"watched": ["engine"]}, r"PTR-07"),
        ({"watched": []}, r"PTR-07"),
        ({"reduce_only_s": 1}, r"PTR-07.reduce_only_s"),
    ],
)
def test_limits_that_cannot_be_meant_are_refused(limits: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        desk(**limits)
