"""Kills of a running system: confirmed at the venue itself, through crashes of riskd and execd, stuck and loosened, and
drilled.
"""

from __future__ import annotations

import re
import signal
import time
import urllib.request
from decimal import Decimal
from typing import Any

import pytest

from tests.e2e.test_stops import flat_at_the_venue
from tests.support.system import CommandResult, RunningSystem

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

PATIENT_S = 180.0
"""For one run of the command on a machine that is busy."""

OPEN = ("NEW", "PARTIALLY_FILLED")


def phrase(system: RunningSystem) -> str:
    """Return what riskd wants to be typed for closing everything."""
    asked = system.command("flatten")
    found = re.search(r"FLATTEN DEMO \d+", asked.out + asked.err)
    assert found is not None, asked
    return found[0]


def open_at_the_venue(system: RunningSystem) -> list[dict[str, Any]]:
    """Return what works at the venue by its own list."""
    return [order for order in system.venue_orders() if order["status"] in OPEN]


def hold_a_position(system: RunningSystem) -> None:
    """Switch the strategies off, buy by hand, wait for the stop: a position that nobody but the kill touches."""
    system.settle()
    bought = system.command("order", "buy", "binance:BTC-USDT", "0.002", "--stop", "0.015")
    assert bought.code == 0, bought.out + bought.err
    system.wait(
        lambda: [
            order
            for order in system.orders(working_only=True)
            if order.role == "PROTECTION" and order.status == "NEW" and order.strategy_id.startswith("manual:")
        ],
        "the stop of the position",
    )


def steps(report: dict[str, Any]) -> list[str]:
    return [step["step"] for step in report["steps"]]


def newest(system: RunningSystem) -> dict[str, Any]:
    """Return the newest kill; without a state while riskd does not answer."""
    kills = system.command("kill-report", "--limit", "1", "--json").json.get("kills")
    return dict(kills[0]) if kills else {"state": ""}


def done(result: CommandResult) -> dict[str, Any]:
    """Return the kill of a `kill --wait --json` that went well."""
    assert result.code == 0, result.out + result.err
    kill = result.json["kill"]
    assert isinstance(kill, dict)
    assert (kill["state"], kill["stuck"]) == ("DONE", "")
    assert all(step["evidence"] and step["took_ms"] is not None for step in kill["steps"])
    return kill


def test_kill_is_confirmed_by_the_venue_protection_stays_and_the_report_survives_restarts() -> None:
    with RunningSystem() as system:
        hold_a_position(system)
        bid = next(b for b in system.trader.marketdata_status()[1] if b.instrument_id == "binance:BTC-USDT").bid_price
        limit = f"{Decimal(bid) * Decimal('0.995'):.2f}"
        rests = system.command("order", "buy", "binance:BTC-USDT", "0.001", "--limit", limit)
        assert rests.code == 0, rests.out + rests.err
        kill = done(
            system.command("kill", "--reason", "end-to-end test", "--wait", "60", "--json", timeout_s=PATIENT_S)
        )
        open_types = [order["type"] for order in open_at_the_venue(system)]

        assert open_types
        assert set(open_types) == {"STOP_LIMIT"}
        assert "0.00" in str(kill["left"])
        assert steps(kill)[:2] == ["LATCH", "FENCE"]
        assert steps(kill)[-2:] == ["CONFIRM", "REPORT"]
        for daemon in ("riskd", "execd"):
            system.kill_and_wait(daemon)
        again = system.wait(lambda: (k := newest(system))["state"] and k, "the report after restarts")
        assert (again["kill_id"], again["state"]) == (kill["kill_id"], "DONE")
        assert system.trader.holds().system_level == "KILLED"
        system.assert_audit_clean()


def test_kill_with_flatten_ends_flat_at_the_venue() -> None:
    with RunningSystem() as system:
        hold_a_position(system)
        typed = phrase(system)
        result = system.command(
            "kill", "--reason", "end-to-end test", "--flatten", "--phrase", typed, "--wait", "90", "--json",
            timeout_s=PATIENT_S,
        )  # fmt: skip
        kill = done(result)

        assert "FLATTEN" in steps(kill)
        assert open_at_the_venue(system) == []
        assert flat_at_the_venue(system)
        system.assert_audit_clean()


@pytest.mark.parametrize("victims", [("riskd",), ("execd",), ("riskd", "execd")])
def test_a_kill_goes_on_after_kill_9_in_its_middle(victims: tuple[str, ...]) -> None:
    with RunningSystem() as system:
        hold_a_position(system)
        typed = phrase(system)
        if "execd" in victims:  # deaf: only riskd hears of the kill, and execd dies with it undone
            system.signal("execd", signal.SIGSTOP)
            system.wait(lambda: not system.trader.ping_stop("execd", 0.5).acked, "execd to stand still")
        system.command("kill", "--reason", "in the middle", "--flatten", "--phrase", typed, timeout_s=PATIENT_S)
        middle_ns = time.time_ns()
        for daemon in victims:
            system.signal(daemon, signal.SIGKILL)
        kill = system.wait(lambda: (k := newest(system))["state"] == "DONE" and k, "the kill to be done", 120)

        assert kill["flatten"]
        assert kill["ended_time_ns"] > middle_ns
        assert kill["kill_id"] == system.trader.holds().holds[0].hold_id
        assert open_at_the_venue(system) == []
        assert flat_at_the_venue(system)
        assert system.trader.holds().system_level == "KILLED"
        system.assert_audit_clean()


def test_a_venue_that_cannot_be_read_leaves_the_kill_stuck_with_its_reason_until_it_can() -> None:
    with RunningSystem() as system:
        hold_a_position(system)
        system.venue_post("/sim/faults", {"kind": "internal", "action": "read", "count": None})
        waited = system.command("kill", "--reason", "the venue is deaf", "--wait", "3", "--json", timeout_s=PATIENT_S)
        stuck = system.wait(lambda: (k := newest(system))["state"] == "STUCK" and k, "the kill to be stuck", 60)
        report = system.command("kill-report")
        request = urllib.request.Request(f"{system.venue_url}/sim/faults", method="DELETE")
        urllib.request.urlopen(request, timeout=5).close()
        kill = system.wait(lambda: (k := newest(system))["state"] == "DONE" and k, "the kill to be done", 60)

        assert waited.code == 1
        assert stuck["step"] == "CONFIRM"
        assert "the venue did not answer the read" in stuck["stuck"]
        assert "compare with the venue's own site" in stuck["stuck"]
        assert report.code == 4
        assert "STUCK" in report.out
        assert (kill["kill_id"], kill["stuck"]) == (stuck["kill_id"], "")


def test_a_drill_kills_its_own_orders_and_trading_goes_on() -> None:
    with RunningSystem() as system:
        system.wait_fills()
        drilled = system.command("drill", "kill", "--json", timeout_s=PATIENT_S)
        assert drilled.code == 0, drilled.out + drilled.err
        answer = drilled.json
        last = system.command("kill-report", "--json").json["last_drill"]

        assert answer["kill"]["drill"]
        assert steps(answer["kill"])[-2:] == ["CONFIRM", "REPORT"]
        assert any("position" in item for item in answer["opened"])
        assert (last["kill_id"], last["environment"]) == (answer["kill"]["kill_id"], "demo")
        assert system.trader.holds().system_level == "RUNNING"
        assert {o.strategy_id for o in system.orders() if o.reason == "KILLED"} <= {"manual:drill"}
        assert not [p for p in system.trader.positions() if p.strategy_id == "manual:drill" and Decimal(p.qty) > 1]
        system.wait_fills(timeout_s=120)
        system.assert_audit_clean()
