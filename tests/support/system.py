"""A whole running system for end-to-end tests: every daemon a real process, on loopback, under the real supervisor."""

from __future__ import annotations

import hashlib
import hmac
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Final

from cli import views
from cli.client import Daemons
from cli.command_ids import new_command_id
from cli.launcher import Launcher, Plan, make_plan, prepare_keys
from cli.run_state import read_status
from tests.conftest import PROJECT_ROOT
from tradebot.core.errors import TradebotError
from tradebot.runtime.identity import Role

EYES_ACCUSE: Final = ("PTR-01", "PTR-03", "PTR-04", "PTR-05")
"""Causes that the eyes raise; riskd's own watches after the trade have others."""
WAIT_S: Final = 40.0
POLL_S: Final = 0.1
AUDIT_WAIT_S: Final = 60.0
AUDIT_POLL_S: Final = 5.0
"""Each audit costs the venue's budget some 120 in weight, and execd lets polls wait longer."""
DEMO_CONFIG: Final = PROJECT_ROOT / "config" / "demo.yaml"


@dataclass(frozen=True, slots=True)
class CommandResult:
    """How one run of the `tradebot` command ended."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """Standard output as one JSON document."""
        return json.loads(self.out)


def run_command(*arguments: str, timeout_s: float = 60, env: dict[str, str] | None = None) -> CommandResult:
    """Run `tradebot` as a user would and return what it said."""
    done = subprocess.run(
        [sys.executable, "-m", "cli", *arguments],
        cwd=PROJECT_ROOT,
        capture_output=True,
        text=True,
        timeout=timeout_s,
        check=False,
        env={**os.environ, **(env or {})},
    )
    return CommandResult(done.returncode, done.stdout, done.stderr)


class RunningSystem:
    """`with RunningSystem() as system:` starts simexchange and all daemons and stops them at the end."""

    def __init__(self, *overrides: str, state: Path | None = None) -> None:
        self._own_folder = state is None
        self.state = state or Path(tempfile.mkdtemp(prefix="tb-e2e-", dir="/tmp"))
        self._overrides = ("simexchange.seed=7", *overrides)
        self._launcher: Launcher | None = None
        self._clients: dict[Role, Daemons] = {}

    def __enter__(self) -> RunningSystem:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()
        if self._own_folder and value is None:
            shutil.rmtree(self.state, ignore_errors=True)
        elif value is not None:
            print(f"state of the failed system is kept in {self.state}", file=sys.stderr)

    @property
    def plan(self) -> Plan:
        """What runs."""
        assert self._launcher is not None
        return self._launcher.plan

    def start(self) -> None:
        """Start everything and wait until every daemon serves."""
        plan = make_plan(DEMO_CONFIG, self.state, self._overrides)
        prepare_keys(plan.common, plan.state)
        self._launcher = Launcher(plan)
        self._launcher.start(detach=False)
        self._launcher.wait_ready(self.as_role(Role.TRADER), lambda _text: None)

    def stop(self) -> None:
        """Stop everything in order."""
        for client in self._clients.values():
            client.close()
        self._clients.clear()
        if self._launcher is not None:
            self._launcher.stop()
            self._launcher = None

    def as_role(self, role: Role) -> Daemons:
        """Return the client of one operator role."""
        if role not in self._clients:
            assert self._launcher is not None
            self._clients[role] = Daemons(self._launcher.plan.common, role, "test")
        return self._clients[role]

    @property
    def trader(self) -> Daemons:
        """The client most tests use."""
        return self.as_role(Role.TRADER)

    def command(self, *arguments: str, timeout_s: float = 60) -> CommandResult:
        """Run `tradebot` against this system."""
        return run_command(*arguments, "--state", str(self.state), timeout_s=timeout_s)

    def pid(self, daemon: str) -> int:
        """Return the process id of a daemon, 0 while it does not run."""
        run = read_status(self.state)
        assert run is not None
        return next(item.pid for item in run.daemons if item.name == daemon)

    def signal(self, daemon: str, number: signal.Signals) -> int:
        """Send a signal to a daemon; return the process id that got it."""
        pid = self.pid(daemon)
        os.kill(pid, number)
        return pid

    def kill_and_wait(self, daemon: str) -> None:
        """kill -9 a daemon and wait until its successor serves."""
        old = self.signal(daemon, signal.SIGKILL)
        self.wait(lambda: self.pid(daemon) not in (0, old), f"{daemon} to be restarted")
        serves = self.venue_state if daemon == "simexchange" else lambda: self.trader.is_serving(daemon)
        self.wait(serves, f"{daemon} to serve again")

    def wait(self, condition: Callable[[], Any], what: str, timeout_s: float = WAIT_S, poll_s: float = POLL_S) -> Any:
        """Return the first true value of a condition; a daemon that is down meanwhile counts as not yet."""
        deadline = time.monotonic() + timeout_s
        last: object = None
        while time.monotonic() < deadline:
            try:
                if value := condition():
                    return value
            except (TradebotError, OSError) as exc:
                last = exc
            time.sleep(poll_s)
        raise AssertionError(f"waited {timeout_s:.0f} s in vain for {what}; last error: {last}; state {self.state}")

    def orders(self, *, working_only: bool = False) -> list[views.OrderView]:
        """Return execd's orders, newest first."""
        return self.trader.orders(working_only=working_only, instrument_id="", strategy_id="", limit=1000)

    def fills(self) -> int:
        """Return the number of fills booked."""
        return sum(1 for order in self.orders() if float(order.filled_qty or 0) > 0)

    def wait_fills(self, more: int = 1, timeout_s: float = 90) -> None:
        """Wait until this many more orders have fills."""
        before = self.fills()
        self.wait(lambda: self.fills() >= before + more, f"{more} more filled orders", timeout_s)

    def switch_strategies(self, enabled: bool) -> None:
        """Switch every strategy on or off."""
        for item in self.trader.strategies():
            self.trader.enable(item.strategy_id, enabled, "end-to-end test", new_command_id())

    def settle(self) -> None:
        """Switch the strategies off and wait until nothing but resting protection works."""
        self.wait(lambda: self.trader.strategies(), "the engine to answer")
        self.switch_strategies(False)
        self.wait(
            lambda: all(o.role == "PROTECTION" and o.status == "NEW" for o in self.orders(working_only=True)),
            "orders to settle",
        )

    def assert_audit_clean(self) -> views.AuditView:
        """Settle, audit against the venue, and demand that nothing differs."""
        self.settle()
        audit = self.wait(self._clean_audit, "a clean audit", AUDIT_WAIT_S, AUDIT_POLL_S)
        assert isinstance(audit, views.AuditView)
        return audit

    def _clean_audit(self) -> views.AuditView | None:
        audit = self.trader.audit()
        if audit.findings:
            raise TradebotError(f"findings: {audit.findings}")
        if suspected := self.eyes_alarms():
            raise TradebotError(f"the eyes raised holds: {suspected}")
        clean = not (audit.unapproved_orders or audit.unknown_orders or audit.position_mismatches)
        return audit if clean and audit.venue_fills == audit.booked_fills else None

    def eyes_holds(self) -> list[views.HoldView]:
        """Return the holds in force that the eyes' looks raised."""
        return [hold for hold in self.trader.holds().holds if hold.cause.startswith((*EYES_ACCUSE, "EYES_"))]

    def eyes_alarms(self) -> list[views.HoldView]:
        """Return those of them that accuse somebody; silence accuses nobody and a slow machine is silent."""
        return [hold for hold in self.eyes_holds() if hold.cause.startswith(EYES_ACCUSE)]

    def wait_looks(self, more: int = 2) -> None:
        """Wait until riskd has taken that many more reports of the eyes."""
        before = int(self.wait(self.trader.eyes_status, "the eyes", 120).item("accepted_reports", "0"))
        self.wait(
            lambda: int(self.trader.eyes_status().item("accepted_reports", "0")) >= before + more,
            "looks of the eyes",
            120,
        )

    def venue_request(self, verb: str, path: str, who: str = "demo_api", **params: str) -> tuple[int, Any]:
        """Ask the venue over REST with one of the account's key pairs, as a stranger to execd; (status, answer)."""
        key, secret = (
            (self.state / "credentials" / f"{who}_{part}").read_text(encoding="utf-8").strip()
            for part in ("key", "secret")
        )
        query = urllib.parse.urlencode({**params, "timestamp": str(time.time_ns() // 1_000_000)})
        signature = hmac.new(secret.encode(), query.encode(), hashlib.sha256).hexdigest()
        url = f"{self.venue_url}{path}?{query}&signature={signature}"
        request = urllib.request.Request(url, headers={"X-MBX-APIKEY": key}, method=verb)
        try:
            with urllib.request.urlopen(request, timeout=5) as answer:
                return answer.status, json.load(answer)
        except urllib.error.HTTPError as exc:
            return exc.code, json.load(exc)

    @property
    def venue_url(self) -> str:
        """Address of simexchange's REST side."""
        prefix = "venues.binance.rest_url="
        return next(item.removeprefix(prefix) for item in self.plan.overrides if item.startswith(prefix))

    def venue_state(self) -> Any:
        """Return the venue's own truth: orders, trades, balances."""
        with urllib.request.urlopen(f"{self.venue_url}/sim/state", timeout=5) as answer:  # loopback only
            return json.load(answer)

    def venue_post(self, path: str, body: dict[str, Any]) -> Any:
        """Use one of simexchange's test switches."""
        request = urllib.request.Request(
            f"{self.venue_url}{path}", json.dumps(body).encode(), {"Content-Type": "application/json"}
        )
        with urllib.request.urlopen(request, timeout=5) as answer:
            return json.load(answer)

    def venue_orders(self) -> list[dict[str, Any]]:
        """Return every order that the venue has ever taken."""
        return [order for symbol in self.venue_state()["symbols"] for order in symbol["orders"]]

    def venue_fills(self) -> list[dict[str, Any]]:
        """Return every fill of ours at the venue."""
        return [fill for symbol in self.venue_state()["symbols"] for fill in symbol["fills"]]

    def venue_buys(self) -> int:
        """Return the number of buy orders that the venue has ever taken."""
        return sum(1 for order in self.venue_orders() if order["side"] == "BUY")
