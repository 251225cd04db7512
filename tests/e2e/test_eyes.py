"""What happens behind execd's back at a running venue: the eyes see it, riskd stops; and nothing else makes it stop."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

from tests.support.system import EYES_ACCUSE, RunningSystem

pytestmark = [pytest.mark.slow, pytest.mark.timeout(420)]

FORGED = "1" + "ab" * 15 + "c"
"""A client order id of our shape."""
SECONDS = 30.0
"""A look comes every five; a difference is looked at again after two."""


@pytest.fixture
def system() -> Iterator[RunningSystem]:
    """A demo whose eyes have looked often enough to know what the venue held at first."""
    with RunningSystem() as running:
        running.wait_looks(3)
        yield running


def order(system: RunningSystem, who: str, client_order_id: str) -> tuple[int, object]:
    """Place a buy far below the market with one of the account's keys."""
    price = f"{float(system.venue_state()['symbols'][0]['bid']) * 0.9:.2f}"
    return system.venue_request(
        "POST", "/api/v3/order", who, symbol="BTCUSDT", side="BUY", type="LIMIT", timeInForce="GTC", quantity="0.001",
        price=price, newClientOrderId=client_order_id,
    )  # fmt: skip


@pytest.mark.parametrize("client_order_id", [FORGED, "by-hand-7"])
def test_an_order_behind_execds_back_kills_the_venue_within_seconds_and_a_restart_keeps_it(
    system: RunningSystem, client_order_id: str
) -> None:
    assert not system.eyes_alarms()
    assert order(system, "demo_read", client_order_id)[0] == 401, "the eyes' own key must not trade"

    status, _ = order(system, "demo_api", client_order_id)
    began = time.monotonic()
    assert status == 200
    holds = system.wait(system.eyes_alarms, "PTR-01", SECONDS)
    took_s = time.monotonic() - began

    assert [(h.cause, h.level, h.release) for h in holds] == [("PTR-01", "KILLED", "TWO_KEY")], holds
    assert client_order_id in holds[0].evidence
    print(f"PTR-01 after {took_s:.1f} s")
    system.kill_and_wait("riskd")
    system.wait_looks()
    assert [h.cause for h in system.eyes_alarms()] == ["PTR-01"]


def test_a_balance_moved_behind_our_back_pauses_and_a_transfer_that_the_venue_tells_does_not(
    system: RunningSystem,
) -> None:
    system.venue_post("/sim/transfer", {"asset": "USDT", "amount": "-500"})
    system.wait_looks(3)
    assert not system.eyes_alarms()

    system.venue_post("/sim/transfer", {"asset": "USDT", "amount": "-500", "silent": True})
    holds = system.wait(system.eyes_alarms, "PTR-04", SECONDS)
    assert [(h.cause, h.level, h.release) for h in holds] == [("PTR-04", "PAUSED", "ONE_KEY")], holds
    assert "USDT" in holds[0].evidence  # of the eyes, or of riskd when execd's own read of the account came first

    cleared = system.command("clear", holds[0].hold_id, "--reason", "withdrawn by the owner", "--json")
    assert cleared.code == 0, cleared.err
    system.wait_looks(4)
    assert not system.eyes_alarms(), "who clears it accepts what the venue holds"


FAULTS = (
    {"kind": "time_out", "action": "place", "count": 2},
    {"kind": "drop", "action": "place", "count": 2},
    {"kind": "drop_event", "count": 6},
    {"kind": "duplicate", "count": 6},
    {"kind": "disconnect_trade"},
    {"kind": "internal", "action": "read", "count": 5},
)


def test_unknown_orders_lost_events_and_a_cut_connection_raise_nothing() -> None:
    with RunningSystem() as system:
        system.wait_looks(3)
        for fault in FAULTS:
            system.wait_fills()
            system.venue_post("/sim/faults", fault)
            system.wait_looks(4)
            assert not system.eyes_alarms(), fault

        system.assert_audit_clean()
        assert eyes_raised(system) == []


def test_kill_9_of_the_eyes_and_of_those_whom_they_watch_raises_nothing() -> None:
    with RunningSystem() as system:
        system.wait_looks(3)
        for daemon in ("eyes", "riskd", "execd"):
            system.wait_fills()
            system.kill_and_wait(daemon)
            system.wait_looks(4)
            assert not system.eyes_alarms(), daemon

        system.assert_audit_clean()
        assert eyes_raised(system) == []


def eyes_raised(system: RunningSystem) -> list[str]:
    """Return every hold that the eyes' looks ever raised."""
    raised = [record for record in system.trader.audit_trail(1_000) if record.command.startswith("HOLD RAISED")]
    assert raised, "the trail lists holds with their causes"
    return [f"{record.result}: {record.reason}" for record in raised if record.result.startswith(EYES_ACCUSE)]


def test_without_eyes_nothing_may_enter(system: RunningSystem) -> None:
    system.venue_post("/sim/faults", {"kind": "reject", "action": "read", "count": None})
    holds = system.wait(system.eyes_holds, "EYES_SILENT", 120)

    assert [(h.cause, h.level) for h in holds] == [("EYES_SILENT", "REDUCE_ONLY")]
    assert system.trader.eyes_status().state == "DEGRADED"
    system.venue_request("DELETE", "/sim/faults")
    system.wait(lambda: not system.eyes_holds(), "the eyes to see again", 60)
