"""kill -9 of each daemon in turn while the system trades: nothing is lost, nothing is booked twice."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import PROJECT_ROOT
from tests.support.system import RunningSystem

pytestmark = [pytest.mark.slow, pytest.mark.timeout(480)]


def test_every_daemon_survives_kill_9_in_turn_and_the_books_agree_with_the_venue() -> None:
    with RunningSystem() as system:
        system.wait_fills()
        for daemon in ("marketdata", "engine", "recorder", "eyes", "riskd", "execd", "simexchange"):
            system.kill_and_wait(daemon)
            system.wait_fills()

        audit = system.assert_audit_clean()
        orders, fills = system.venue_orders(), system.venue_fills()
        explained = next(o for o in system.orders() if o.role == "ENTRY" and float(o.filled_qty or 0) > 0)
        answer = system.trader.explain("", explained.client_order_id)

    assert audit.venue_orders == audit.approved_orders == len(orders)
    assert audit.venue_fills == audit.booked_fills == len(fills)
    assert answer.intent is not None
    assert answer.decision is not None
    assert answer.decision.checks


def test_a_kept_state_goes_on_at_its_second_start() -> None:
    with RunningSystem() as system:
        system.wait_fills()
        system.wait(
            lambda: any(o.role == "PROTECTION" for o in system.orders(working_only=True)), "an open position", 90
        )
        system.stop()
        system.start()
        orders, fills = system.venue_orders(), system.venue_fills()
        assert fills
        system.wait_fills()

        system.assert_audit_clean()
        assert {order["order_id"] for order in orders} < {order["order_id"] for order in system.venue_orders()}
        assert {fill["trade_id"] for fill in fills} <= {fill["trade_id"] for fill in system.venue_fills()}


def test_kill_9_of_a_riskd_that_has_a_snapshot_goes_on_from_it() -> None:
    with RunningSystem() as system:
        system.wait_fills()
        flags = Path(f"/proc/{system.pid('riskd')}/cmdline").read_text(encoding="utf-8").rstrip("\0").split("\0")
        command = [sys.executable, "-m", "riskd.snapshot_shell", *flags[flags.index("--config") :], "--every", "1"]
        taken = subprocess.run(command, cwd=PROJECT_ROOT, capture_output=True, text=True, timeout=60, check=False)
        assert taken.stdout.startswith("snapshot of record"), taken

        system.wait_fills()
        system.kill_and_wait("riskd")

        assert "snapshot_used" in (system.state / "logs" / "riskd.log").read_text(encoding="utf-8")
        system.wait_fills()
        system.assert_audit_clean()


def test_execd_killed_between_send_and_answer_books_the_order_exactly_once() -> None:
    with RunningSystem() as system:
        system.wait_fills()
        for _ in range(3):
            system.venue_post("/sim/faults", {"kind": "delay", "action": "place", "delay_ms": 400, "count": 2})
            before = len(system.venue_orders())
            system.wait(lambda before=before: len(system.venue_orders()) > before, "an order in flight", 90)  # type: ignore[misc]
            system.kill_and_wait("execd")

        system.assert_audit_clean()


def test_execd_and_riskd_killed_together_while_an_order_leaves_can_still_show_its_approval() -> None:
    with RunningSystem() as system:
        system.wait_fills()
        before = len(system.venue_orders())
        system.wait(lambda: len(system.venue_orders()) > before, "an order to leave", 90)
        old = [system.signal(daemon, signal.SIGKILL) for daemon in ("execd", "riskd")]
        system.wait(lambda: not {0, *old} & {system.pid("execd"), system.pid("riskd")}, "both to be restarted")
        system.wait(lambda: system.trader.is_serving("execd") and system.trader.is_serving("riskd"), "both to serve")

        system.assert_audit_clean()


def test_a_lost_answer_is_resolved_by_query_and_never_sent_twice() -> None:
    with RunningSystem() as system:
        system.wait_fills()
        system.venue_post("/sim/faults", {"kind": "time_out", "action": "place", "count": 3})
        system.wait_fills(2)

        system.assert_audit_clean()
        ids = [order["client_order_id"] for order in system.venue_orders()]

    assert len(ids) == len(set(ids))
