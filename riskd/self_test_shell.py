"""Runs the limits self-test beside the gate: in a thread, on limits that do not change under it."""

from __future__ import annotations

import asyncio

import structlog

from riskd.control_book import SELF_TEST
from riskd.self_test import self_test
from riskd.shell import LiveGate

_log = structlog.get_logger(__name__)


async def test_limits(live: LiveGate) -> None:
    """Try the limits in force out, write down what came of it."""
    limits = live.gate.limits
    found = await asyncio.to_thread(self_test, limits)
    live.gate.controls_tested(
        SELF_TEST, limits.hash, found.passed, found.failed, live.clock.now_ns(), untried=found.untried
    )
    live.publish()
    if found.failed:
        _log.error("limits_self_test_failed", checks=found.failed, limits=limits.hash)
