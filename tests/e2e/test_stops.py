"""HALT and KILL by every path; what stops stays stopped over restarts."""

from __future__ import annotations

import fcntl
import json
import os
import pty
import signal
import struct
import subprocess
import sys
import termios
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from decimal import Decimal
from pathlib import Path

import pytest

from tests.conftest import PROJECT_ROOT
from tests.support.builders import BTC
from tests.support.system import RunningSystem

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

HALTED = ("LATCHED", "TRADING_HALTED")
"""What execd says while it is stopped, and riskd."""
WITHOUT_RISKD = ("RISK_TIMEOUT", "RISK_LEASE_EXPIRED", "RISK_SESSION_DOWN")
SIGNAL_S = 120.0
"""The seeded market gives a strategy a reason to enter within seconds, a busy machine within this."""


def try_to_buy(system: RunningSystem) -> str:
    """Enter by hand with what riskd allows while nothing is stopped; return why it was refused."""
    tried = system.command("order", "buy", BTC, "0.001", "--json")
    assert tried.code == 1, tried.out + tried.err
    return str(tried.json["reason"])


def refused_of_strategies(system: RunningSystem) -> int:
    return sum(strategy.refusals for strategy in system.trader.strategies())


def assert_no_new_orders(system: RunningSystem, *reasons: str, side: str = "BUY") -> None:
    """An operator and a strategy want to enter, both are refused, and nothing of it is at the venue.

    Args:
        system: What was stopped.
        reasons: One of them the operator is told.
        side: Of the venue's orders that may not become more; empty = both.
    """

    def sent() -> int:
        return sum(1 for order in system.venue_orders() if order["side"] == side or not side)

    orders = sent()
    before = system.wait(lambda: [refused_of_strategies(system)], "the engine to answer")[0]
    system.wait(lambda: try_to_buy(system) in reasons, f"an entry to be refused: {reasons}")
    system.wait(lambda: refused_of_strategies(system) > before, "an entry of a strategy to be refused", SIGNAL_S)
    assert sent() == orders


def flat_at_the_venue(system: RunningSystem) -> bool:
    """Nothing is left but what is too small to sell."""
    balances = system.venue_state()["balances"]
    return all(
        Decimal(one["free"]) + Decimal(one["locked"]) < Decimal("0.0001")
        for asset, one in balances.items()
        if asset in ("BTC", "ETH")
    )


def grpcurl_call(grpcurl: Path, system: RunningSystem, socket: str, method: str, body: dict[str, object]) -> str:
    path = system.state / "run" / socket
    done = subprocess.run(
        [
            str(grpcurl), "-plaintext", "-unix", "-import-path", str(PROJECT_ROOT / "proto"),
            "-proto", "tradebot/rpc/stop/v1/stop_service.proto", "-d", json.dumps(body), str(path), method,
        ],
        capture_output=True, text=True, timeout=20, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_halt_by_command_stops_new_orders_survives_restarts_and_resume_ends_it() -> None:
    with RunningSystem() as system:
        system.wait_fills()
        halted = system.command("halt", "--reason", "end-to-end test")
        assert halted.code == 0, halted.err
        time.sleep(0.5)
        assert_no_new_orders(system, *HALTED)

        for daemon in ("riskd", "execd", "engine"):
            system.kill_and_wait(daemon)
        levels = system.trader.holds()
        assert levels.system_level == "HALTED"
        assert_no_new_orders(system, *HALTED)

        resumed = system.command("resume", "--reason", "end of the end-to-end test")
        assert resumed.code == 0, resumed.err
        system.wait_fills(timeout_s=120)
        system.assert_audit_clean()


def test_kill_sends_nothing_but_cancels_and_needs_more_than_a_resume() -> None:
    with RunningSystem() as system:
        system.wait_fills()
        killed = system.command("kill", "--reason", "end-to-end test")
        assert killed.code == 0, killed.err
        time.sleep(0.5)
        assert_no_new_orders(system, "LATCHED", "TRADING_KILLED", side="")

        system.command("resume", "--reason", "must not be enough")
        assert system.trader.holds().system_level == "KILLED"


@contextmanager
def console_on(system: RunningSystem) -> Iterator[int]:
    """The real console in a terminal of its own; yields the terminal's master side."""
    master, slave = pty.openpty()
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 36, 120, 0, 0))
    command = [sys.executable, "-m", "console", "--config", str(system.plan.config), "--state", str(system.state)]
    env = {**os.environ, "TERM": "xterm-256color"}
    process = subprocess.Popen(command, stdin=slave, stdout=slave, stderr=slave, cwd=PROJECT_ROOT, env=env)
    os.close(slave)
    drain = threading.Thread(target=_read_to_end, args=(master,), daemon=True)
    drain.start()
    try:
        yield master
    finally:
        process.terminate()
        process.wait(10)
        drain.join(5)
        os.close(master)


def _read_to_end(fd: int) -> None:
    with suppress(OSError):  # how a pseudo terminal says that the other side is gone
        while os.read(fd, 65_536):
            pass


def test_f9_in_the_console_stops_new_orders_and_the_hold_outlives_restarts() -> None:
    with RunningSystem() as system:
        system.wait_fills()
        with console_on(system) as terminal:
            time.sleep(4)  # the console has drawn itself and opened its channels
            os.write(terminal, b"\x1b[20~")
            system.wait(lambda: system.trader.holds().system_level == "HALTED", "the console's HALT")
            assert_no_new_orders(system, *HALTED)
        for daemon in ("riskd", "execd"):
            system.kill_and_wait(daemon)

        assert system.trader.holds().system_level == "HALTED"
        assert_no_new_orders(system, *HALTED)


def test_halt_by_grpcurl_stops_new_orders(grpcurl: Path) -> None:
    with RunningSystem() as system:
        system.wait_fills()
        body: dict[str, object] = {"command_id": "grpcurl-1", "level": "STOP_LEVEL_HALT", "operator": "ana"}
        for daemon in ("riskd", "execd"):
            answer = grpcurl_call(
                grpcurl, system, f"{daemon}.stop.trader.sock", "tradebot.rpc.stop.v1.StopService/Stop", body
            )
            assert "STOP_LEVEL_HALT" in answer
        time.sleep(0.5)

        assert_no_new_orders(system, *HALTED)
        assert system.wait(lambda: system.trader.holds().system_level == "HALTED", "the hold")


def test_execd_alone_stops_when_riskd_is_dead() -> None:
    with RunningSystem() as system:
        system.wait_fills()
        system.signal("riskd", signal.SIGSTOP)
        try:
            halted = system.command("halt", "--reason", "riskd hangs")
            assert "1/2" in halted.out + halted.err
            assert system.trader.execd_status()[4], "execd's own latch"
            assert_no_new_orders(system, "LATCHED", *WITHOUT_RISKD)
        finally:
            system.signal("riskd", signal.SIGCONT)
        assert system.wait(lambda: system.trader.holds().system_level == "HALTED", "riskd to learn of the latch")


def test_without_riskd_no_entry_leaves_and_resting_stops_still_protect() -> None:
    with RunningSystem() as system:
        system.wait(
            lambda: [o for o in system.orders(working_only=True) if o.role == "PROTECTION" and o.status == "NEW"],
            "a resting stop", 120,
        )  # fmt: skip
        system.signal("riskd", signal.SIGSTOP)
        try:
            time.sleep(1.5)  # the lease is valid for one second
            buys = system.venue_buys()
            assert try_to_buy(system) in WITHOUT_RISKD
            assert system.venue_buys() == buys
            protected = [o for o in system.orders(working_only=True) if o.role == "PROTECTION"]
            for symbol in {o.instrument_id.split(":")[1].replace("-", "") for o in protected}:
                system.venue_post("/sim/price_shock", {"symbol": symbol, "bps": -300})
            # The market jumps past the stop's limit: the second line closes under the grant, without riskd.
            system.wait(lambda: flat_at_the_venue(system), "positions to be closed while riskd is away")
        finally:
            system.signal("riskd", signal.SIGCONT)
        system.assert_audit_clean()
