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
