"""`tradebot doctor`: what can be wrong on this machine and with the running system, each finding with what to do."""

from __future__ import annotations

import functools
import importlib.util
import os
import shutil
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from cli.call import Call
from cli.chain import read_chain
from cli.client import Daemons
from cli.config import Target, find_target
from cli.exit_codes import Exit
from cli.launcher import EYES, daemons_of
from cli.levels import at_least, level_text
from cli.output import clip
from cli.run_state import is_supervised
from cli.stopping import ping_all, readiness
from cli.views import HoldsView
from tradebot._version import untested_python_message
from tradebot.core.errors import ConfigError, TradebotError
from tradebot.core.levels import TradingLevel
from tradebot.runtime.config import Mode
from tradebot.runtime.credentials import require_private
from tradebot.runtime.endpoints import socket_path
from tradebot.runtime.identity import Role
from tradebot.runtime.keys import APPROVAL_KEY_FILE, load_keyring

MIN_FREE_BYTES: Final = 2 << 30
"""Journals are preallocated in segments and never deleted while trading."""
MAX_CLOCK_ERROR_S: Final = 0.5
"""Venues refuse requests stamped more than a second ahead."""
STUBS: Final = "tradebot.rpc.risk.v1.risk_service_pb2"


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that was looked at."""

    name: str
    state: str
    """ok, note (fine, but worth knowing) or FIX."""
    text: str


def run(call: Call) -> int:
    """Look at everything; one trouble never hides another."""
    checks = [_python(), _stubs()]
    try:
        target = find_target(call.config, call.state)
    except ConfigError as exc:
        checks.append(Check("config", "FIX", str(exc)))
    else:
        checks += _machine(target)
        with Daemons(target.common, Role(call.role), call.operator) as daemons:
            checks += _system(daemons, target)
    findings = [check for check in checks if check.state == "FIX"]
    lines = [clip(f"{check.state:<5} {check.name:<12} {check.text}", 100) for check in checks]
    lines.append(f"{len(findings)} to fix" if findings else "all well")
    call.answer({"checks": checks, "findings": len(findings)}, lines, ok=not findings)
    return Exit.FINDINGS if findings else Exit.OK


def _python() -> Check:
    message = untested_python_message()
    return Check("python", "FIX" if message else "ok", message or "tested version")


def _stubs() -> Check:
    try:
        built = importlib.util.find_spec(STUBS) is not None
    except ModuleNotFoundError:
        built = False
    return Check("stubs", "ok" if built else "FIX", "generated" if built else "missing: run `make proto`")


def _machine(target: Target) -> list[Check]:
    """Files, folders, disk, clock: what exists without any daemon."""
    return [
        Check("config", "ok", f"{target.config} (mode {target.common.mode})"),
        _state_dir(target.state),
        _attempt("sockets", lambda: str(socket_path(target.common.run_dir, "marketdata", Role.SIMEXCHANGE).parent)),
        _approval_key(target),
        *_secrets(target),
        *_journal(target),
        _disk(target.state),
        _clock(),
    ]


def _state_dir(state: Path) -> Check:
    probe = next(folder for folder in (state, *state.parents) if folder.exists())
    if not os.access(probe, os.W_OK | os.X_OK):
        return Check("state", "FIX", f"{probe} is not writable for this user: change its owner or choose --state")
    return Check(
        "state", "ok" if state.exists() else "note", f"{state}" + ("" if state.exists() else " (made at start)")
    )


def _approval_key(target: Target) -> Check:
    path = target.common.keys_dir / APPROVAL_KEY_FILE
    if not path.exists():
        return Check("approval key", "note", f"{path} does not exist yet: `tradebot up` makes it")

    def load() -> str:
        return f"{len(load_keyring(path, target.common.mode).keys)} keys for {target.common.mode}"

    return _attempt("approval key", load)


def _secrets(target: Target) -> list[Check]:
    folder = target.common.credentials_dir
    checks: list[Check] = []
    for venue in target.common.venues.values():
        for name in venue.secret_names:
            path = folder / name
            if not path.exists():
                missing = "note" if target.common.mode is Mode.DEMO else "FIX"
                checks.append(
                    Check("secret", missing, f"{path} does not exist" + (" yet" if missing == "note" else ""))
                )
            else:
                checks.append(_attempt("secret", functools.partial(_private, path)))
    return checks


def _private(path: Path) -> str:
    require_private(path)
    return f"{path.name} is private"


def _journal(target: Target) -> list[Check]:
    """Hold riskd's journal against its signatures."""
    if not target.common.journal_dir(Role.RISKD).exists():
        return []
    try:
        chain = read_chain(target.common)
    except TradebotError as exc:
        return [Check("journal", "note", str(exc))]
    text = f"{chain.records} records, signed up to {chain.signed_seq}"
    return [Check("journal", "FIX" if chain.problems else "ok", "; ".join(chain.problems) or text)]


def _disk(state: Path) -> Check:
    probe = next(folder for folder in (state, *state.parents) if folder.exists())
    usage = shutil.disk_usage(probe)
    text = f"{usage.free / (1 << 30):.1f} GiB free of {usage.total / (1 << 30):.0f}"
    if usage.free < MIN_FREE_BYTES:
        return Check("disk", "FIX", f"{text}: journals need at least {MIN_FREE_BYTES >> 30} GiB")
    return Check("disk", "ok", text)


def _clock() -> Check:
    """Compare the wall clock with itself: it must not run backwards or jump against monotonic time."""
    wall, steady = time.time(), time.monotonic()
    time.sleep(0.05)
    error = abs((time.time() - wall) - (time.monotonic() - steady))
    if error > MAX_CLOCK_ERROR_S or wall < 1_700_000_000:
        return Check("clock", "FIX", f"the wall clock jumped by {error:.3f} s: check NTP")
    synchronized = Path("/run/systemd/timesync/synchronized").exists()
    return Check("clock", "ok", "steady" + (", synchronized" if synchronized else "; NTP state not known here"))


def _system(daemons: Daemons, target: Target) -> list[Check]:
    """What runs: every daemon's health, the stop path, holds, limits, what is unknown."""
    supervised = is_supervised(target.state)
    wanted = daemons_of(target.common)
    serving = [name for name in wanted if daemons.is_serving(name)]
    if not serving:
        text = "the supervisor lives, but no daemon answers" if supervised else "nothing runs on this state folder"
        return [Check("daemons", "FIX" if supervised else "note", text)]
    checks = [
        Check(
            "supervisor", "ok" if supervised else "note", "watches" if supervised else "none: nobody restarts daemons"
        )
    ]
    silent = [name for name in wanted if name not in serving]
    text = f"{', '.join(silent)} does not answer" if silent else f"{len(serving)} serve"
    checks.append(Check("daemons", "FIX" if silent else "ok", text))
    acks = ping_all(daemons.ping_stop)
    checks.append(Check("stop path", "ok" if all(ack.acked for ack in acks) else "FIX", readiness(acks)))
    checks += _conversation(daemons, serving)
    return checks


def _conversation(daemons: Daemons, serving: Sequence[str]) -> list[Check]:
    checks: list[Check] = []
    if "riskd" in serving:
        checks.append(_attempt("limits", lambda: _limits(daemons)))
        checks.append(_attempt("level", lambda: _level(daemons)))
    if "execd" in serving:
        checks.append(_attempt("risk session", lambda: _session(daemons)))
    if "marketdata" in serving:
        checks.append(_attempt("books", lambda: _books(daemons)))
    if EYES in serving:
        checks.append(_attempt("eyes", lambda: _eyes(daemons)))
    if "recorder" in serving:
        checks.append(_attempt("database", lambda: _database(daemons)))
    return checks


class _Finding(TradebotError):
    """Something to fix; the text says what."""


def _limits(daemons: Daemons) -> str:
    view = daemons.limits()
    return f"profile {view.profile}: {view.enforced} checks enforced, {view.not_applicable} not applicable"


def _level(daemons: Daemons) -> str:
    return judge_level(daemons.holds())


def judge_level(view: HoldsView) -> str:
    """Return the level as text.

    Raises:
        TradebotError: If the system is not RUNNING, or no order may enter somewhere.
    """
    stopped = at_least(TradingLevel.PAUSED, view.holds)
    text = level_text(view.system_level, view.holds)
    if view.system_level != TradingLevel.RUNNING.name or stopped:
        causes = ", ".join(f"{hold.cause} ({hold.hold_id})" for hold in stopped or view.holds)
        raise _Finding(f"{text} because of {causes}: see `tradebot holds`")
    return text


def _session(daemons: Daemons) -> str:
    _, working, unknown, session_up, latch = daemons.execd_status()
    if not session_up:
        raise _Finding("execd has no valid lease from riskd: nothing may enter")
    if unknown:
        raise _Finding(f"{unknown} orders whose outcome is not proven: see `tradebot orders --working`")
    return f"up, {working} orders work" + (f", latch {latch}" if latch else "")


def _books(daemons: Daemons) -> str:
    _, books = daemons.marketdata_status()
    sick = [f"{book.instrument_id} {book.state}" for book in books if book.state != "LIVE"]
    if sick or not books:
        raise _Finding(", ".join(sick) or "marketdata follows no market")
    return f"{len(books)} live"


def _eyes(daemons: Daemons) -> str:
    view = daemons.eyes_status()
    if view.summary:
        raise _Finding(view.summary)
    return f"{view.item('looks', '?')} looks at the venues, {view.item('accepted_reports', '?')} reports taken"


def _database(daemons: Daemons) -> str:
    daemon, tables = daemons.recorder_status()
    dropped = sum(table.dropped for table in tables)
    if daemon.summary or dropped:
        raise _Finding(daemon.summary or f"{dropped} rows of market data were dropped: the disk is too slow")
    return f"{sum(table.rows for table in tables)} rows, {sum(table.queued for table in tables)} waiting"


def _attempt(name: str, look: Callable[[], str]) -> Check:
    try:
        return Check(name, "ok", look())
    except TradebotError as exc:
        return Check(name, "FIX", str(exc))
