"""A clock that was moved while riskd was down shortens no countdown; time itself does, where anybody can know it."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from riskd.boot_shell import read_boot_time
from riskd.clock_trust import MAX_STEP_NS, BootTime, ClockTrust, judge
from riskd.gate import RiskGate
from tests.riskd.kit import MS, SECOND, UPTIME_NS, Desk, make_test_limits
from tests.riskd.test_losses import losing, morning

MIN = 60 * SECOND
AUT_06 = {"AUT-06": {"status": "enforced", "max_offset_ms": 250, "max_age_s": 180}}
BEFORE = BootTime("boot", 100 * SECOND)


@pytest.mark.parametrize(
    ("now", "now_s", "trust"),
    [
        (BootTime("boot", 160 * SECOND), 60, ClockTrust.SAME),
        (BootTime("boot", 160 * SECOND + MAX_STEP_NS), 60, ClockTrust.SAME),
        (BootTime("boot", 160 * SECOND - MAX_STEP_NS - 1), 60, ClockTrust.MOVED),
        (BootTime("boot", 160 * SECOND + MAX_STEP_NS + 1), 60, ClockTrust.MOVED),
        (BootTime("boot", 160 * SECOND), 7_260, ClockTrust.MOVED),
        (BootTime("other", 160 * SECOND), 60, ClockTrust.REBOOTED),
        (BootTime("boot", 99 * SECOND), 60, ClockTrust.REBOOTED),
        (BootTime(), 60, ClockTrust.REBOOTED),
    ],
)
def test_within_one_boot_both_clocks_must_have_moved_alike(now: BootTime, now_s: int, trust: ClockTrust) -> None:
    assert judge(BEFORE, 0, now, now_s * SECOND) is trust


def test_a_sandbox_that_hides_the_boots_id_still_shows_a_clock_that_was_moved() -> None:
    assert judge(BootTime("", 100), 0, BootTime("", 100 + MIN), MIN) is ClockTrust.SAME
    assert judge(BootTime("", 100), 0, BootTime("", 100 + MIN), 3 * MIN) is ClockTrust.MOVED


def test_an_older_journal_that_has_no_boot_proves_nothing() -> None:
    assert judge(BootTime(), 0, BEFORE, MIN) is ClockTrust.REBOOTED


def test_the_system_tells_the_time_since_its_boot(tmp_path: Path) -> None:
    before, read = time.clock_gettime_ns(time.CLOCK_BOOTTIME), read_boot_time()

    assert before <= read.since_boot_ns <= time.clock_gettime_ns(time.CLOCK_BOOTTIME)
    assert read.boot_id == read_boot_time().boot_id != ""
    assert read_boot_time(tmp_path / "hidden").boot_id == ""


# ---- at a restart


def paused() -> Desk:
    """A desk whose day loss pause has 60 min left."""
    desk = morning(make_test_limits(AUT_06))
    losing(desk, "9800")
    return desk


def reborn(desk: Desk, down_s: int, *, moved_s: int = 0, boot_id: str = "boot") -> RiskGate:
    """Kill riskd; it comes back so much later, by a clock that somebody moved meanwhile."""
    began_ns = desk.gate.state.started_ns
    gate = desk.replayed()
    gate._ledger._sink = desk.sink
    desk.gate = gate
    desk.now_ns += down_s * SECOND
    up_ns = UPTIME_NS + desk.now_ns - began_ns if boot_id == "boot" else 20 * SECOND
    desk.now_ns += moved_s * SECOND
    gate.start("life2", desk.now_ns, BootTime(boot_id, up_ns))
    gate.handle_timer(desk.now_ns)
    return gate


def left_min(desk: Desk) -> list[tuple[str, int]]:
    """Return level and whole minutes left of PNL-01."""
    holds = [h for h in desk.gate.state.holds.listed() if h.cause == "PNL-01"]
    return [(h.level.name, -(-(h.until_ns - desk.now_ns) // MIN)) for h in holds]


def test_a_clock_that_was_set_forward_over_a_restart_does_not_shorten_the_pause() -> None:
    desk = paused()
    reborn(desk, 1, moved_s=7_200)

    assert left_min(desk) == [("PAUSED", 60)]
    desk.hello()
    desk.venue()  # it has the new time too: then the old one was wrong, in which the pause was counted
    assert left_min(desk) == [("PAUSED", 60)]


def test_the_time_that_riskd_was_down_counts_on_a_clock_that_is_right() -> None:
    desk = paused()
    reborn(desk, 1_800)

    assert left_min(desk) == [("PAUSED", 30)]


def test_a_second_restart_is_measured_from_the_first() -> None:
    desk = paused()
    reborn(desk, 1, moved_s=7_200)
    desk.replayed()
    began = desk.gate.state.boot.since_boot_ns
    gate = desk.replayed()
    desk.now_ns += 600 * SECOND
    gate.start("life3", desk.now_ns, BootTime("boot", began + 600 * SECOND))
    desk.gate = gate

    assert left_min(desk) == [("PAUSED", 50)]


def test_after_a_reboot_the_pause_goes_on_until_a_venue_has_the_same_time() -> None:
    desk = paused()
    reborn(desk, 1_800, boot_id="next")
    assert left_min(desk) == [("PAUSED", 60)]
    desk.hello()

    desk.venue(clock_offset_ns=250 * MS, clock_error_ns=MS)
    assert left_min(desk) == [("PAUSED", 60)]
    desk.venue(clock_offset_ns=249 * MS, clock_error_ns=MS)

    assert left_min(desk) == [("PAUSED", 30)]


def test_after_a_reboot_what_an_operator_made_longer_stays_longer() -> None:
    desk = paused()
    gate = reborn(desk, 1_800, boot_id="next")
    (hold,) = [h for h in gate.state.holds.listed() if h.cause == "PNL-01"]
    gate.keeper.retime(hold, hold.until_ns + 10 * MIN, 0, "longer", "ana", desk.now_ns)
    desk.hello()
    desk.venue()

    assert left_min(desk) == [("PAUSED", 70)]


def test_where_no_venue_is_asked_for_the_time_a_reboot_gives_nothing_back() -> None:
    desk = morning(make_test_limits({"AUT-06": {"status": "not_applicable", "reason": "nobody is asked"}}))
    losing(desk, "9800")
    reborn(desk, 1_800, boot_id="next")
    desk.hello()
    desk.venue()

    assert left_min(desk) == [("PAUSED", 60)]
