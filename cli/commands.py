"""What the commands do: ask the daemons, print the answer, return the exit code."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Final, TypeVar

from cli import drill, render, views
from cli.call import INTERRUPTED, MIN_REASON_CHARS, Call
from cli.chain import read_chain
from cli.client import Daemons, scope_of
from cli.command_ids import new_command_id
from cli.config import Target, config_for_mode, find_target, find_target_to_stop, load_common
from cli.exit_codes import Exit
from cli.kill_views import kill_lines, kills_lines, step_line
from cli.kills import follow
from cli.launcher import (
    EYES,
    Launcher,
    LaunchError,
    compile_kernels,
    daemons_of,
    make_plan,
    prepare_keys,
    stop_supervised,
)
from cli.output import complain, progress, to_json
from cli.run_state import is_supervised
from cli.signing import KEY_ENV, load_operator_key, sign_limits_file
from cli.stopping import fan_out, headline, ping_all
from tradebot._version import __version__
from tradebot.core.amounts import parse_decimal
from tradebot.core.errors import ConfigError, DisconnectedError, RejectedError
from tradebot.core.intents import OrderIntent, ProtectionPlan
from tradebot.core.levels import ScopeKind, TradingLevel
from tradebot.core.orders import OrderRole, OrderType, Side, TimeInForce
from tradebot.runtime.config import Mode
from tradebot.runtime.identity import Role
from tradebot.runtime.state_dir import prepare_state_dir

MAX_ORDERS = 10_000
FLATTENED: Final = ("FLAT", "KILL_CLOSES")
"""riskd's answers without a command that are a yes: there is nothing to close, or a kill sees to it."""
T = TypeVar("T")


class UsageError(ConfigError):
    """An argument of the command is unusable; the text says what to write."""


@contextmanager
def _talk(call: Call) -> Iterator[Daemons]:
    """A conversation with the system that the options name."""
    target = find_target(call.config, call.state)
    with _talk_to(call, target) as daemons:
        yield daemons


def _talk_to(call: Call, target: Target) -> Daemons:
    key_file = os.environ.get(KEY_ENV)
    key = load_operator_key(Path(key_file)) if key_file else None
    return Daemons(target.common, Role(call.role), call.operator, key)


# --- running ---------------------------------------------------------------------------------------------------------


def up(call: Call, mode: str, detach: bool, overrides: tuple[str, ...]) -> int:
    """Start everything; in the foreground stay until Ctrl-C."""
    config = call.config or config_for_mode(mode)
    if call.config is None and not config.exists():
        raise UsageError(f"--mode {mode}: write demo, paper, testnet or real")
    plan = make_plan(config, call.state, overrides)
    prepare_keys(plan.common, plan.state)
    compile_kernels(progress)
    launcher = Launcher(plan)
    with Daemons(plan.common, Role(call.role), call.operator) as daemons:
        launcher.start(detach=detach)
        try:
            seconds = launcher.wait_ready(daemons, progress)
        except KeyboardInterrupt:
            launcher.stop()
            return INTERRUPTED
    answer = {"state": str(plan.state), "mode": plan.common.mode, "daemons": plan.daemons, "ready_s": round(seconds, 1)}
    call.answer(answer, [f"{plan.common.mode} runs on {plan.state} (ready after {seconds:.1f} s)"])
    if detach:
        return Exit.OK
    progress("Ctrl-C stops everything; tradebot console opens the console")
    try:
        return Exit.OK if launcher.wait() == 0 else Exit.CRASH
    except KeyboardInterrupt:
        progress("stopping")
        launcher.stop()
        return Exit.OK


def down(call: Call) -> int:
    """Stop a supervised system."""
    target = find_target_to_stop(call.config, call.state)
    if not is_supervised(target.state):
        call.answer({"stopped": False, "state": str(target.state)}, [f"nothing is supervised on {target.state}"])
        return Exit.OK
    if not stop_supervised(target.state):
        raise LaunchError(f"the supervisor on {target.state} did not stop: see its logs folder", Exit.REFUSED)
    call.answer({"stopped": True, "state": str(target.state)}, [f"stopped {target.state}"])
    return Exit.OK


def status(call: Call) -> int:
    """Ask everybody at once; who does not answer is DOWN and the rest is still shown."""
    target = find_target(call.config, call.state)
    with _talk_to(call, target) as daemons:
        view = collect_status(daemons, target)
    complete = all(daemon.state != "DOWN" for daemon in view.daemons)
    call.answer(view, render.status_lines(view), ok=complete)
    return Exit.OK if complete else Exit.UNREACHABLE


def collect_status(daemons: Daemons, target: Target) -> views.StatusView:
    """Return the one-screen status."""
    from concurrent.futures import ThreadPoolExecutor

    with_eyes = EYES in daemons_of(target.common)
    with ThreadPoolExecutor(10, thread_name_prefix="status") as pool:
        market = pool.submit(_or_none, daemons.marketdata_status)
        engine = pool.submit(_or_none, daemons.engine_status)
        riskd = pool.submit(_or_none, daemons.riskd_status)
        execd = pool.submit(_or_none, daemons.execd_status)
        recorder = pool.submit(_or_none, daemons.recorder_status)
        eyes = pool.submit(_or_none, daemons.eyes_status) if with_eyes else None
        pnl = pool.submit(_or_none, daemons.pnl)
        positions = pool.submit(_or_none, daemons.positions)
        holds = pool.submit(_or_none, daemons.holds)
        kills = pool.submit(_or_none, daemons.kills)
        stop = pool.submit(ping_all, daemons.ping_stop)
    market_view, books = market.result() or (_down("marketdata", target), [])
    engine_view, strategies = engine.result() or (_down("engine", target), [])
    execd_view, working, unknown, session_up, latch = execd.result() or (_down("execd", target), None, None, None, "")
    recorder_view, _ = recorder.result() or (_down("recorder", target), [])
    watchers = [] if eyes is None else [eyes.result() or _down(EYES, target)]
    found_holds, found_positions = holds.result(), positions.result()
    told = kills.result()
    in_force = {hold.hold_id for hold in found_holds.holds} if found_holds else set()
    return views.StatusView(
        state_dir=str(target.state),
        mode=target.common.mode,
        system_level=found_holds.system_level if found_holds else "?",
        daemons=[
            market_view,
            engine_view,
            riskd.result() or _down("riskd", target),
            execd_view,
            recorder_view,
            *watchers,
        ],
        stop=stop.result(),
        pnl=pnl.result(),
        open_positions=None if found_positions is None else len(found_positions),
        working_orders=working,
        unknown_orders=unknown,
        risk_session_up=session_up,
        latch=latch,
        holds=found_holds.holds if found_holds else [],
        books=books,
        strategies=strategies,
        kills=[step_line(kill) for kill in told.kills if kill.kill_id in in_force] if told else [],
    )


def _or_none(ask: Callable[[], T]) -> T | None:
    try:
        return ask()
    except (DisconnectedError, RejectedError):
        return None


def _down(daemon: str, target: Target) -> views.DaemonView:
    """Describe a daemon that does not answer, with what the supervisor knows."""
    runs = target.run.daemons if target.run is not None and is_supervised(target.state) else []
    run = next((item for item in runs if item.name == daemon), None)
    if run is None:
        return views.DaemonView(daemon, "DOWN", "does not answer")
    return views.DaemonView(daemon, "DOWN", f"{run.state.replace('_', ' ')}: {run.error}" if run.error else run.state)


def console(call: Call) -> int:
    """Hand the terminal over to the console."""
    target = find_target(call.config, call.state)
    return subprocess.call(console_command(target.config, target.state, call.operator, call.role))


def console_command(config: Path, state: Path, operator: str, role: str) -> list[str]:
    """Return the command line of the console."""
    command = [sys.executable, "-m", "console", "--config", str(config), "--state", str(state)]
    return [*command, "--operator", operator, "--role", role]


# --- stopping --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class AfterKill:
    """What a KILL does beyond stopping."""

    wait_s: float | None = None
    """Follow it to the venue's confirmation, at most so long."""
    flatten: bool = False
    """Close the positions of the scope too."""
    phrase: str = ""


def stop(call: Call, level: str, reason: str, scope_text: str, after: AfterKill = AfterKill()) -> int:
    """HALT or KILL. The whole system goes through StopService of both daemons; a smaller scope is a hold of riskd."""
    scope = scope_of(scope_text)
    command_id = new_command_id()
    target = find_target_to_stop(call.config, call.state)
    with _talk_to(call, target) as daemons:
        began_ns = time.time_ns()
        if scope.kind is not ScopeKind.SYSTEM:
            raised = TradingLevel.HALTED if level == "HALT" else TradingLevel.KILLED
            hold = daemons.raise_hold(raised, scope, reason, command_id)
            answer, lines, code = to_json(hold), render.hold_lines([hold]), Exit.OK
            kill_id = hold.hold_id
        else:
            view = fan_out(
                level,
                command_id,
                lambda daemon, deadline_s: daemons.stop(daemon, level, command_id, reason, deadline_s),
                lambda acked, asked: progress(f"{'HALTING' if level == 'HALT' else 'KILLING'} {acked}/{asked}"),
            )
            answer = {"headline": headline(view), "acked": view.acked, **_fields(view)}
            lines, kill_id, code = [headline(view)], "", _stopped(level, view)
        done = code is Exit.OK
        if after.flatten:
            flat = daemons.flatten(scope, reason, after.phrase, new_command_id())
            answer["flatten"] = flat
            lines += render.flatten_lines(flat)
            done = done and (bool(flat.reduces) or flat.reason in FLATTENED)
        if after.wait_s is not None:
            scope_name = f"{scope.kind.name.lower()} {scope.name}".rstrip()
            kill = follow(daemons, scope_name, kill_id, began_ns, after.wait_s, progress)
            answer["kill"] = kill
            lines += ["riskd does not tell of the kill: tradebot kill-report"] if kill is None else kill_lines(kill)
            done = done and kill is not None and kill.state == "DONE"
    call.answer(answer, lines, ok=done)
    return Exit.OK if done else max(code, Exit.REFUSED)


def _stopped(level: str, view: views.StopView) -> Exit:
    if view.acked == len(view.acks):
        return Exit.OK
    complain(f"{level} is incomplete: {'stop the daemons with `tradebot down`' if view.acked else 'no daemon answers'}")
    return Exit.REFUSED if view.acked else Exit.UNREACHABLE


def _fields(view: views.StopView) -> dict[str, object]:
    return {"command_id": view.command_id, "level": view.level, "acks": view.acks, "ms": view.ms}


def kill_report(call: Call, kill_id: str, limit: int) -> int:
    """Tell what became of kills; exit 4 while one whose hold is in force is stuck."""
    with _talk(call) as daemons:
        view = daemons.kills(kill_id=kill_id, limit=limit)
    if kill_id and not view.kills:
        raise UsageError(f"{kill_id!r}: no such kill; its name is that of its hold, see tradebot kill-report")
    well = all(kill.state != "STUCK" for kill in view.kills)
    call.answer(view, kills_lines(view, time.time_ns()), ok=well)
    return Exit.OK if well else Exit.FINDINGS


def drill_kill(call: Call, instrument: str, phrase: str, wait_s: float) -> int:
    """Test the kill switch on orders of its own."""
    with _talk(call) as daemons:
        books = {book.instrument_id: book for book in daemons.marketdata_status()[1]}
        rules = daemons.instruments()
        chosen = match_instrument(instrument, list(books)) if instrument else next(iter(books), "")
        if chosen not in rules:
            raise UsageError("marketdata follows nothing that could be traded")
        report = drill.run(daemons, books[chosen], rules[chosen], phrase, wait_s, progress)
    done = report.kill is not None and report.kill.state == "DONE"
    call.answer(report, drill.drill_lines(report), ok=done)
    return Exit.OK if done else Exit.REFUSED


def resume(call: Call, reason: str) -> int:
    """Clear ONE_KEY holds of operators."""
    _require_reason(reason)
    with _talk(call) as daemons:
        view = daemons.resume(reason, new_command_id())
    running = view.system_level == "RUNNING"
    call.answer(view, render.resume_lines(view), ok=running)
    return Exit.OK if running else Exit.REFUSED


def holds(call: Call) -> int:
    """List holds."""
    with _talk(call) as daemons:
        view = daemons.holds()
    call.answer(view, render.holds_view_lines(view))
    return Exit.OK


def clear(call: Call, hold_id: str, reason: str, phrase: str) -> int:
    """Clear one hold."""
    _require_reason(reason)
    with _talk(call) as daemons:
        cleared, view = daemons.clear(hold_id, reason, phrase, new_command_id())
    call.answer(
        {
            "cleared": cleared,
            "hold_id": hold_id,
            "remaining": view.remaining,
            "reason": view.reason,
            "detail": view.detail,
        },
        [f"cleared {hold_id}"] if cleared else render.resume_lines(view),
        ok=cleared,
    )
    return Exit.OK if cleared else Exit.REFUSED


def extend(call: Call, hold_id: str, seconds: int, reason: str) -> int:
    """Make a TIMED hold last longer."""
    with _talk(call) as daemons:
        view = daemons.extend(hold_id, seconds, reason, new_command_id())
    text = f"extended {hold_id} by {seconds} s" if view.extended else f"not extended: {view.reason}: {view.detail}"
    call.answer(view, [text], ok=view.extended)
    return Exit.OK if view.extended else Exit.REFUSED


def set_limits(call: Call, file: Path, reason: str, phrase: str, *, dry_run: bool) -> int:
    """Put other limits in force, or only show what would change."""
    if not dry_run:
        _require_reason(reason)
    text = _limits_text(file)
    with _talk(call) as daemons:
        view = daemons.set_limits(text, reason, phrase, new_command_id(), dry_run=dry_run)
    done = view.accepted or dry_run
    call.answer(view, render.limits_lines(view), ok=done)
    return Exit.OK if done else Exit.REFUSED


def _limits_text(file: Path) -> str:
    try:
        return file.read_bytes().decode()
    except (OSError, UnicodeDecodeError) as exc:
        raise UsageError(f"{file} cannot be read: give the path of a limits file") from exc


def sign_limits(call: Call, file: Path, in_force: str) -> int:
    """Sign a limits file for the next start of riskd; it replaces this operator's earlier signature beside the file."""
    key_file, text = os.environ.get(KEY_ENV), _limits_text(file)
    if not key_file:
        raise UsageError(f"{KEY_ENV} names no key: set it to the path of your key file")
    key, target = load_operator_key(Path(key_file)), find_target(call.config, call.state)
    if not in_force:
        with _talk_to(call, target) as daemons:
            in_force = daemons.limits().hash
    path = sign_limits_file(file, text, key, call.operator, call.role, target.common.mode, in_force)
    answer = {"signed": str(path), "operator": call.operator, "role": str(call.role), "in_force": in_force}
    call.answer(answer, [f"{path}: signed by {call.operator} as {call.role}, in place of the limits {in_force[:8]}"])
    return Exit.OK


def flatten(call: Call, scope_text: str, reason: str, phrase: str) -> int:
    """Close positions; riskd decides how, and wants a typed phrase."""
    with _talk(call) as daemons:
        view = daemons.flatten(scope_of(scope_text), reason, phrase, new_command_id())
    begun = bool(view.reduces) or view.reason in FLATTENED
    call.answer(view, render.flatten_lines(view), ok=begun)
    return Exit.OK if begun else Exit.REFUSED


def _require_reason(reason: str) -> None:
    if len(reason) < MIN_REASON_CHARS:
        raise UsageError(f"say why in at least {MIN_REASON_CHARS} characters: --reason '...'")


# --- trading ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class OrderArguments:
    """A manual order as typed."""

    side: str
    instrument: str
    qty: str
    limit: str
    stop: str
    close: bool
    post_only: bool
    tif: str


def order(call: Call, arguments: OrderArguments) -> int:
    """Hand in a manual intent."""
    target = find_target(call.config, call.state)
    with _talk_to(call, target) as daemons:
        known = [book.instrument_id for book in daemons.marketdata_status()[1]]
        instrument_id = match_instrument(arguments.instrument, known)
        intent = build_intent(arguments, instrument_id, call.operator, new_command_id(), time.time_ns())
        answer = daemons.submit(intent)
    accepted = answer.status == "ACCEPTED"
    call.answer(answer, render.answer_lines(answer), ok=accepted)
    return Exit.OK if accepted else Exit.REFUSED


def match_instrument(text: str, known: Sequence[str]) -> str:
    """Return the instrument id that is meant: the id itself or the venue's spelling, when only one fits.

    Raises:
        UsageError: If none or several fit.
    """
    if text in known:
        return text
    folded = text.upper().replace("-", "").replace("/", "")
    found = [name for name in known if name.partition(":")[2].upper().replace("-", "") == folded]
    if len(found) == 1:
        return found[0]
    choice = ", ".join(found or known) or "none: marketdata follows nothing"
    raise UsageError(f"{text!r}: choose one of {choice}")


def build_intent(
    arguments: OrderArguments, instrument_id: str, operator: str, intent_id: str, now_ns: int
) -> OrderIntent:
    """Return the intent of a manual order. Pure.

    Raises:
        UsageError: If an argument is malformed.
    """
    sides = {"buy": Side.BUY, "sell": Side.SELL}
    tifs = {"gtc": TimeInForce.GTC, "ioc": TimeInForce.IOC, "fok": TimeInForce.FOK}
    side = sides.get(arguments.side.lower())
    if side is None:
        raise UsageError(f"{arguments.side!r}: write buy or sell")
    tif = tifs.get(arguments.tif.lower() or ("gtc" if arguments.limit else "ioc"))
    if tif is None:
        raise UsageError(f"{arguments.tif!r}: write gtc, ioc or fok")
    if not arguments.qty and not arguments.close:
        raise UsageError("an entry needs a quantity, e.g. tradebot order buy BTCUSDT 0.01")
    qty = _decimal(arguments.qty, "qty") if arguments.qty else None
    if qty is not None and qty <= 0:
        raise UsageError(f"qty {qty}: must be above zero")
    stop = _decimal(arguments.stop, "--stop") if arguments.stop and not arguments.close else None
    return OrderIntent(
        intent_id=intent_id,
        strategy_id=f"manual:{operator}",
        incarnation=intent_id,
        intent_sequence=1,
        instrument_id=instrument_id,
        side=side,
        role=OrderRole.EXIT if arguments.close else OrderRole.ENTRY,
        order_type=OrderType.LIMIT if arguments.limit else OrderType.MARKET,
        time_in_force=tif,
        created_time_ns=now_ns,
        qty=qty,
        strength=Decimal(1),
        limit_price=_decimal(arguments.limit, "--limit") if arguments.limit else None,
        post_only=arguments.post_only,
        protection=ProtectionPlan(stop_loss_fraction=stop),
        trace_id=intent_id,
    )


def _decimal(text: str, name: str) -> Decimal:
    try:
        return parse_decimal(text, name)
    except RejectedError as exc:
        raise UsageError(str(exc)) from exc


def cancel(call: Call, client_order_id: str, reason: str) -> int:
    """Cancel one order."""
    with _talk(call) as daemons:
        view = daemons.cancel(_full_order_id(daemons, client_order_id), reason, new_command_id())
    call.answer(view, render.cancel_lines(view), ok=view.accepted)
    return Exit.OK if view.accepted else Exit.REFUSED


def _full_order_id(daemons: Daemons, text: str) -> str:
    """Return the whole id of an order of which the tables show only the end."""
    if len(text) >= 32:
        return text
    known = daemons.orders(working_only=False, instrument_id="", strategy_id="", limit=MAX_ORDERS)
    found = [item.client_order_id for item in known if item.client_order_id.endswith(text)]
    if len(found) == 1:
        return found[0]
    raise UsageError(f"{text!r} is the end of {len(found)} order ids: see tradebot orders")


def orders(call: Call, working: bool, instrument: str, strategy: str, limit: int) -> int:
    """List orders."""
    with _talk(call) as daemons:
        found = daemons.orders(working_only=working, instrument_id=instrument, strategy_id=strategy, limit=limit)
    call.answer({"orders": found}, render.order_lines(found))
    return Exit.OK


def positions(call: Call) -> int:
    """List positions."""
    with _talk(call) as daemons:
        found = daemons.positions()
    call.answer({"positions": found}, render.position_lines(found))
    return Exit.OK


def pnl(call: Call) -> int:
    """Show money."""
    with _talk(call) as daemons:
        view = daemons.pnl()
    call.answer(view, render.pnl_lines(view))
    return Exit.OK


# --- looking back ----------------------------------------------------------------------------------------------------


def audit(call: Call, venue: str, trail: bool, limit: int, journal: bool) -> int:
    """Audit against the venue, show who commanded what, or hold riskd's journal against its signatures."""
    if journal:
        chain = read_chain(find_target(call.config, call.state).common)
        call.answer(chain, render.chain_lines(chain), ok=not chain.problems)
        return Exit.FINDINGS if chain.problems else Exit.OK
    with _talk(call) as daemons:
        if trail:
            records = daemons.audit_trail(limit)
            call.answer({"records": records}, render.audit_trail_lines(records))
            return Exit.OK
        view = daemons.audit(venue)
    call.answer(view, render.audit_lines(view), ok=view.clean)
    return Exit.OK if view.clean else Exit.FINDINGS


def controls(call: Call) -> int:
    """Show the control report; findings when a control failed its test or has no limit."""
    with _talk(call) as daemons:
        view = daemons.controls()
    call.answer(view, render.control_lines(view), ok=not view.failed)
    return Exit.FINDINGS if view.failed else Exit.OK


def explain(call: Call, exec_id: str, order_text: str) -> int:
    """Explain a fill or an order."""
    if bool(exec_id) == bool(order_text):
        raise UsageError("name an execution id, `last`, or --order CLIENT_ORDER_ID")
    with _talk(call) as daemons:
        client_order_id = _full_order_id(daemons, order_text) if order_text else ""
        if exec_id == "last":
            known = daemons.orders(working_only=False, instrument_id="", strategy_id="", limit=MAX_ORDERS)
            filled = [item for item in known if Decimal(item.filled_qty or "0")]
            if not filled:
                raise RejectedError("NO_FILLS", "nothing has been filled yet")
            exec_id, client_order_id = "", max(filled, key=lambda item: item.updated_time_ns).client_order_id
        view = daemons.explain(exec_id, client_order_id)
    call.answer(view, render.explain_lines(view))
    return Exit.OK


def tables(call: Call) -> int:
    """Show rows per table."""
    with _talk(call) as daemons:
        view = daemons.tables(flush=True)
    call.answer(view, render.table_lines(view))
    return Exit.OK


def backtest(call: Call, strategy: str, options: Sequence[tuple[str, str]], flags: Sequence[str] = ()) -> int:
    """Hand over to the backtest program."""
    command = [sys.executable, "-m", "backtest", "--strategy", strategy]
    for name, value in options:
        command += [f"--{name}", value]
    command += [f"--{name}" for name in flags]
    if call.config is not None:
        command += ["--config", str(call.config)]
    if call.json:
        command.append("--json")
    return subprocess.call(command)


def replay(call: Call, session: Path) -> int:
    """Hand over to the replay program."""
    command = [sys.executable, "-m", "backtest.replay", str(session)]
    if call.json:
        command.append("--json")
    return subprocess.call(command)


# --- strategies, certificates, version
# -----------------------------------------------------------------------------------


def strategies(call: Call) -> int:
    """List strategies."""
    with _talk(call) as daemons:
        found = daemons.strategies()
    lines = render.strategy_lines(found)
    for item in found:
        lines.append(f"  {item.strategy_id}: " + "  ".join(f"{p.name}={p.value}" for p in item.parameters))
    call.answer({"strategies": found}, lines)
    return Exit.OK


def switch(call: Call, strategy_id: str, enabled: bool, reason: str) -> int:
    """Switch one strategy."""
    with _talk(call) as daemons:
        view = daemons.enable(strategy_id, enabled, reason, new_command_id())
    call.answer(view, render.strategy_lines([view]))
    return Exit.OK if view.enabled == enabled else Exit.REFUSED


def certs_init(call: Call, out: Path, hosts: tuple[str, ...]) -> int:
    """Write a CA and certificates."""
    from tradebot.runtime.certs import make_ca_and_certs

    written = make_ca_and_certs(out, hosts=hosts)
    lines = [*(str(path) for path in written), "copy to each host ca.pem and the pair of its role; ca.key stays here"]
    call.answer({"files": written}, lines)
    return Exit.OK


def keys_init(call: Call) -> int:
    """Make the keys that a state folder does not have yet."""
    common = load_common(call.config or config_for_mode(Mode.DEMO), call.state, ())
    state = common.state_dir.resolve()
    prepare_state_dir(state)
    made = prepare_keys(common, state)
    lines = [*(f"made {path}" for path in made)] or ["nothing was missing"]
    call.answer({"state": str(state), "made": made}, lines)
    return Exit.OK


def version(call: Call) -> int:
    """Print versions."""
    found = {"version": __version__, "python": platform.python_version(), "pid": os.getpid()}
    call.answer(found, [f"tradebot {__version__} (Python {platform.python_version()})"])
    return Exit.OK
