"""The system that the order-path benchmarks measure: its daemons accept the stand-in venue and trade with it."""

from __future__ import annotations

import pytest

from benchmarks.system import running_system

RATE = 50
SECONDS = 2.0


@pytest.mark.slow
@pytest.mark.timeout(180)
def test_every_tick_of_the_stand_in_venue_becomes_an_order() -> None:
    with running_system() as system:
        figures = system.run(RATE, SECONDS)
    assert figures.ticks >= RATE
    assert figures.orders == figures.ticks
    assert figures.risk_leg.count >= figures.orders


@pytest.mark.slow
@pytest.mark.timeout(180)
def test_the_watched_system_has_a_console_that_paints_while_it_is_measured() -> None:
    with running_system(watched=True) as system:
        assert system.console is not None
        before = system.console.painted_bytes
        figures = system.run(RATE, SECONDS)
        painted = system.console.painted_bytes - before
    assert figures.orders > 0
    assert painted > 1_000
