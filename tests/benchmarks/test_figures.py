"""What the table says beside its figures."""

from __future__ import annotations

import os
import sys

from benchmarks.figures import QUIET_LOAD, busy_note
from benchmarks.processes import Group

SPIN = """
import time
end = time.process_time() + 0.2
while time.process_time() < end:
    pass
print(f"SPUN {time.process_time()}", flush=True)
input()
"""
TICK_S = 0.02
"""The system counts in hundredths of a second, user and system time apart."""


def test_a_busy_machine_is_named_beside_the_figures_and_a_quiet_one_is_not() -> None:
    assert busy_note(QUIET_LOAD) == ""
    assert "load average 3.2" in busy_note(3.2)


def test_the_processor_time_of_a_child_is_what_it_says_itself() -> None:
    with Group() as group:
        reading, writing = os.pipe()
        member = group.start([sys.executable, "-c", SPIN], stdin=reading)
        own_s = float(member.wait_line("SPUN ").split()[1])
        used_s = member.cpu_s()
        os.close(writing)
        os.close(reading)

    assert own_s - TICK_S <= used_s <= own_s + 5 * TICK_S
