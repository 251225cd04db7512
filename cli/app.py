"""The commands and their arguments. Behaviour lives in `commands` and is imported only when a command runs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from cli.call import Call, OperatorRole, command
from cli.exit_codes import Exit

app = typer.Typer(
    name="tradebot",
    help="Start, watch, stop and script the trading system.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)
strategy_app = typer.Typer(help="List strategies and switch them.", no_args_is_help=True, rich_markup_mode=None)
certs_app = typer.Typer(help="Certificates for links between hosts.", no_args_is_help=True, rich_markup_mode=None)
app.add_typer(strategy_app, name="strategy")
app.add_typer(certs_app, name="certs")
keys_app = typer.Typer(help="Keys of one host.", no_args_is_help=True, rich_markup_mode=None)
app.add_typer(keys_app, name="keys")
drill_app = typer.Typer(help="Test what must work when it is needed.", no_args_is_help=True, rich_markup_mode=None)
app.add_typer(drill_app, name="drill")
data_app = typer.Typer(help="Check and convert recorded market data.", no_args_is_help=True, rich_markup_mode=None)
app.add_typer(data_app, name="data")
report_app = typer.Typer(help="Reports for whoever judges the system.", no_args_is_help=True, rich_markup_mode=None)
app.add_typer(report_app, name="report")

SetOption = Annotated[
    list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Replace one configuration value; repeatable.")
]
ReasonOption = Annotated[str, typer.Option("--reason", help="Why, for the audit.")]
ScopeOption = Annotated[str, typer.Option("--scope", help="system, venue:NAME, instrument:ID or strategy:ID.")]
MarketOption = Annotated[
    list[str] | None,
    typer.Option("--market", metavar="SYMBOL:TICK:LOT[:ID]", help="Instrument in the files; repeatable."),
]
CorrectOption = Annotated[
    bool, typer.Option("--correct", help="Correct negative feed latency and the order of rows; says what changed.")
]
BaseLatencyOption = Annotated[
    float, typer.Option("--base-latency-ms", min=0, help="Least feed latency where --correct has to shift.")
]
FeedLatencyOption = Annotated[
    float, typer.Option("--feed-latency-ms", min=0, help="Assumed for files without a receive time.")
]
UnprovenOption = Annotated[
    bool, typer.Option("--unproven", help="Keep book changes of recorded frames that no snapshot proves.")
]
PhraseOption = Annotated[str, typer.Option("--phrase", help="Phrase that confirms; the daemon says which.")]


# --- running ---------------------------------------------------------------------------------------------------------


@command(app, "demo")
def demo(
    call: Call,
    seed: Annotated[int | None, typer.Option(envvar="SEED", help="Seed of the synthetic market.")] = None,
    replay: Annotated[
        str | None,
        typer.Option(envvar="REPLAY", help="Recorded file (or several, by commas) instead of the synthetic market."),
    ] = None,
    speed: Annotated[float | None, typer.Option(envvar="SPEED", help="Feed faster by this factor.")] = None,
    headless: Annotated[
        bool, typer.Option("--headless", envvar="HEADLESS", help="No console; end with a JSON line.")
    ] = False,
    duration: Annotated[int | None, typer.Option(min=1, envvar="DURATION", help="Seconds; 60 when headless.")] = None,
    overrides: SetOption = None,
) -> int:
    """Run the whole system on a synthetic or recorded market, with the console or headless."""
    import sys

    from cli.demo import DemoOptions, run_demo

    interactive = sys.stdin.isatty() and sys.stdout.isatty()
    return run_demo(
        DemoOptions(
            state=call.state,
            config=call.config,
            seed=seed,
            replay=replay,
            speed=speed,
            headless=headless or call.json or not interactive,
            duration_s=duration,
            overrides=tuple(overrides or ()),
        )
    )


@command(app, "paper-run")
def paper_run(
    call: Call,
    strategy: Annotated[str, typer.Option(help="Registered kind. Default: those of the configuration.")] = "",
    symbols: Annotated[str, typer.Option(help="Comma-separated: BTC-USDT,ETH-USDT.")] = "",
    minutes: Annotated[
        float | None, typer.Option(min=0.1, help="How long. Default: until the console is left.")
    ] = None,
    param: Annotated[
        list[str] | None, typer.Option(metavar="NAME=VALUE", help="One strategy parameter; repeatable.")
    ] = None,
    strategy_path: Annotated[Path | None, typer.Option(help="Your own strategies.")] = None,
    headless: Annotated[
        bool, typer.Option("--headless", envvar="HEADLESS", help="No console; end with a JSON line.")
    ] = False,
    overrides: SetOption = None,
) -> int:
    """Trade on paper: the real venue's market data, orders against a simulated venue that follows it."""
    import sys

    from cli.paper import PaperOptions, run_paper

    interactive = sys.stdin.isatty() and sys.stdout.isatty()
    return run_paper(
        PaperOptions(
            strategy=strategy,
            symbols=tuple(item for item in symbols.split(",") if item),
            params=tuple(param or ()),
            strategy_path=strategy_path,
            minutes=minutes,
            headless=headless or call.json or not interactive,
            state=call.state,
            config=call.config,
            overrides=tuple(overrides or ()),
        )
    )


@command(app, "up")
def up(
    call: Call,
    mode: Annotated[str, typer.Option(help="demo, paper, testnet or real: chooses config/<mode>.yaml.")] = "demo",
    detach: Annotated[bool, typer.Option("--detach", "-d", help="Return when everything serves.")] = False,
    overrides: SetOption = None,
) -> int:
    """Start the daemons and watch over them."""
    from cli.commands import up as run

    return run(call, mode, detach, tuple(overrides or ()))


@command(app, "down")
def down(call: Call) -> int:
    """Stop the daemons in order: engine, execd, riskd, then the others."""
    from cli.commands import down as run

    return run(call)


@command(app, "status")
def status(call: Call) -> int:
    """Show one screen: level, daemons, money, books, strategies, stop readiness."""
    from cli.commands import status as run

    return run(call)


@command(app, "console")
def console(call: Call) -> int:
    """Open the operator console on the running system. Leaving it never changes trading."""
    from cli.commands import console as run

    return run(call)


# --- stopping --------------------------------------------------------------------------------------------------------


@command(app, "halt")
def halt(call: Call, reason: ReasonOption = "", scope: ScopeOption = "system") -> int:
    """No new risk, working entries canceled, protection stays. Acts at once, asks nothing."""
    from cli.commands import stop as run

    return run(call, "HALT", reason, scope)


@command(app, "kill")
def kill(
    call: Call,
    reason: ReasonOption = "",
    scope: ScopeOption = "system",
    wait: Annotated[
        float | None,
        typer.Option("--wait", min=0, help="Follow it to the venue's confirmation for so many seconds."),
    ] = None,
    flatten: Annotated[bool, typer.Option("--flatten", help="Close the positions too; wants --phrase.")] = False,
    phrase: PhraseOption = "",
) -> int:
    """Nothing is sent but cancels; resuming needs two keys and a restart. Acts at once, asks nothing."""
    from cli.commands import AfterKill
    from cli.commands import stop as run

    return run(call, "KILL", reason, scope, AfterKill(wait, flatten, phrase))


@command(app, "kill-report")
def kill_report(
    call: Call,
    kill_id: Annotated[str, typer.Argument(help="Its hold, e.g. H7. Default: all.")] = "",
    limit: Annotated[int, typer.Option(min=1, max=1_000, help="At most this many, newest first.")] = 5,
) -> int:
    """Show kills: steps with times and proofs, what is left, the last test of the switch. Exit 4 when stuck."""
    from cli.commands import kill_report as run

    return run(call, kill_id, limit)


@command(drill_app, "kill")
def drill_kill(
    call: Call,
    instrument: Annotated[str, typer.Option(help="BTCUSDT or binance:BTC-USDT. Default: the first.")] = "",
    phrase: PhraseOption = "",
    wait: Annotated[float, typer.Option("--wait", min=1, help="Seconds to follow it.")] = 120.0,
) -> int:
    """Open tiny orders of manual:drill, kill that strategy alone, and show how long each step took."""
    from cli.commands import drill_kill as run

    return run(call, instrument, phrase, wait)


@command(app, "resume")
def resume(call: Call, reason: ReasonOption = "") -> int:
    """Clear the holds that one operator may clear, and say what remains. Needs --reason."""
    from cli.commands import resume as run

    return run(call, reason)


@command(app, "holds")
def holds(call: Call) -> int:
    """List the reasons why trading is restricted."""
    from cli.commands import holds as run

    return run(call)


@command(app, "clear")
def clear(
    call: Call, hold_id: Annotated[str, typer.Argument()], reason: ReasonOption = "", phrase: PhraseOption = ""
) -> int:
    """Clear one hold by its rule. Needs --reason."""
    from cli.commands import clear as run

    return run(call, hold_id, reason, phrase)


@command(app, "extend")
def extend(
    call: Call,
    hold_id: Annotated[str, typer.Argument()],
    seconds: Annotated[int, typer.Argument(min=1, help="Seconds to add.")],
    reason: ReasonOption = "",
) -> int:
    """Make a hold that ends by itself last longer."""
    from cli.commands import extend as run

    return run(call, hold_id, seconds, reason)


@command(app, "set-limits")
def set_limits(
    call: Call,
    file: Annotated[Path, typer.Argument(help="A whole limits file.")],
    reason: ReasonOption = "",
    phrase: PhraseOption = "",
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only show what would change.")] = False,
) -> int:
    """Put other limits in force (role risk; loosening wants --phrase), and show every change as a ratio."""
    from cli.commands import set_limits as run

    return run(call, file, reason, phrase, dry_run=dry_run)


@command(app, "sign-limits")
def sign_limits(
    call: Call,
    file: Annotated[Path, typer.Argument(help="A limits file that riskd shall start with.")],
    in_force: Annotated[str, typer.Option(help="Hash of the limits that it replaces. Default: riskd is asked.")] = "",
) -> int:
    """Sign a limits file that loosens, with your operator key, into FILE.sig beside it."""
    from cli.commands import sign_limits as run

    return run(call, file, in_force)


@command(app, "flatten")
def flatten(call: Call, scope: ScopeOption = "system", reason: ReasonOption = "", phrase: PhraseOption = "") -> int:
    """Halt, then close positions with reducing orders. Without --phrase it only says which phrase is needed."""
    from cli.commands import flatten as run

    return run(call, scope, reason, phrase)


# --- trading ---------------------------------------------------------------------------------------------------------


@command(app, "order")
def order(
    call: Call,
    side: Annotated[str, typer.Argument(help="buy or sell")],
    instrument: Annotated[str, typer.Argument(help="BTCUSDT or binance:BTC-USDT")],
    qty: Annotated[str, typer.Argument(help="Base units, e.g. 0.01; for --close it may be left out.")] = "",
    limit: Annotated[str, typer.Option(help="Limit price. Without it: at the market, within riskd's bound.")] = "",
    stop: Annotated[str, typer.Option(help="Protecting stop distance as a fraction, e.g. 0.006.")] = "0.006",
    close: Annotated[bool, typer.Option("--close", help="Reduce your own position instead of entering.")] = False,
    post_only: Annotated[bool, typer.Option("--post-only", help="Must not take liquidity.")] = False,
    tif: Annotated[str, typer.Option(help="gtc, ioc or fok. Default: gtc with a limit, ioc without.")] = "",
) -> int:
    """Hand in a manual order. It is an intent of manual:<operator> and passes riskd like any other."""
    from cli.commands import OrderArguments
    from cli.commands import order as run

    return run(call, OrderArguments(side, instrument, qty, limit, stop, close, post_only, tif))


@command(app, "cancel")
def cancel(call: Call, client_order_id: Annotated[str, typer.Argument()], reason: ReasonOption = "") -> int:
    """Cancel one order; the end of its id is enough. The last protection of a position is not canceled."""
    from cli.commands import cancel as run

    return run(call, client_order_id, reason)


@command(app, "orders")
def orders(
    call: Call,
    working: Annotated[bool, typer.Option("--working", help="Only those that still work.")] = False,
    instrument: Annotated[str, typer.Option(help="Only this instrument id.")] = "",
    strategy: Annotated[str, typer.Option(help="Only this strategy.")] = "",
    limit: Annotated[int, typer.Option(min=1, max=10_000, help="At most this many, newest first.")] = 30,
) -> int:
    """List orders with the reason when they were refused."""
    from cli.commands import orders as run

    return run(call, working, instrument, strategy, limit)


@command(app, "positions")
def positions(call: Call) -> int:
    """List open positions as riskd counts them."""
    from cli.commands import positions as run

    return run(call)


@command(app, "pnl")
def pnl(call: Call) -> int:
    """Show equity, PnL, fees and use of limits."""
    from cli.commands import pnl as run

    return run(call)


# --- looking back ----------------------------------------------------------------------------------------------------


@command(app, "audit")
def audit(
    call: Call,
    venue: Annotated[str, typer.Option(help="Only this venue.")] = "",
    trail: Annotated[bool, typer.Option("--trail", help="Show operator commands and holds instead.")] = False,
    journal: Annotated[bool, typer.Option("--journal", help="Hold riskd's journal against its signatures.")] = False,
    limit: Annotated[int, typer.Option(min=1, max=10_000, help="Records of the trail.")] = 50,
) -> int:
    """Compare journal, approvals and venue: every order approved once, every fill booked once. Exit 4 on findings."""
    from cli.commands import audit as run

    return run(call, venue, trail, limit, journal)


@command(report_app, "controls")
def report_controls(call: Call) -> int:
    """Show each control: limit, enforced or why not, last test, last breach, RTS 6 and 15c3-5. Exit 4 on findings."""
    from cli.commands import controls as run

    return run(call)


@command(app, "explain")
def explain(
    call: Call,
    exec_id: Annotated[str, typer.Argument(help="Execution id; `last` for the latest fill.")] = "",
    order: Annotated[str, typer.Option(help="Client order id instead; its end is enough.")] = "",
) -> int:
    """Show fill → order → approval with every check → signal → market data."""
    from cli.commands import explain as run

    return run(call, exec_id, order)


@command(app, "doctor")
def doctor(call: Call) -> int:
    """Check this machine and the running system. Exit 4 when something needs attention."""
    from cli.doctor import run

    return run(call)


@command(app, "tables")
def tables(call: Call) -> int:
    """Show rows per table of the recorder's database."""
    from cli.commands import tables as run

    return run(call)


@command(app, "sample-data")
def sample_data(
    call: Call,
    out: Annotated[Path, typer.Argument(help="File to write, packed when it ends in .gz: build/sample.log.gz")],
    seed: Annotated[int, typer.Option(envvar="SEED", help="Seed of the synthetic market.")] = 1,
    seconds: Annotated[int, typer.Option(min=1, max=86_400, help="Market time to record.")] = 600,
    symbols: Annotated[str, typer.Option(help="Comma-separated venue symbols.")] = "BTCUSDT",
) -> int:
    """Write a recording of the synthetic market in the recorded log format."""
    from cli.sample_data import run

    return run(call, out, seed, seconds, tuple(symbols.split(",")))


@command(data_app, "check")
def data_check(
    call: Call,
    files: Annotated[list[Path], typer.Argument(help="Files of one history, in any of the formats.")],
    market: MarketOption = None,
    correct: CorrectOption = False,
    base_latency_ms: BaseLatencyOption = 0.0,
    feed_latency_ms: FeedLatencyOption = 0.0,
    unproven: UnprovenOption = False,
) -> int:
    """Look for gaps, crossed books, wrong order, duplicates, bad values. Exit 4 when the data are unusable."""
    from cli.data import DataOptions, check

    return check(call, files, DataOptions(tuple(market or ()), correct, base_latency_ms, feed_latency_ms, unproven))


@command(data_app, "convert")
def data_convert(
    call: Call,
    files: Annotated[list[Path], typer.Argument(help="Files to read, and last the file to write.")],
    market: MarketOption = None,
    correct: CorrectOption = False,
    base_latency_ms: BaseLatencyOption = 0.0,
    feed_latency_ms: FeedLatencyOption = 0.0,
    unproven: UnprovenOption = False,
) -> int:
    """Write .parquet, .csv, .columns or hftbacktest's .npz from any of the formats, whole or not at all."""
    from cli.data import DataOptions, convert

    return convert(call, files, DataOptions(tuple(market or ()), correct, base_latency_ms, feed_latency_ms, unproven))


@command(app, "backtest")
def backtest(
    call: Call,
    strategy: Annotated[str, typer.Option(help="Registered kind, or an id of the configuration.")] = "breakout_atr",
    data: Annotated[
        list[Path] | None,
        typer.Option(help="Market data of any known format; repeatable. Default: the synthetic market."),
    ] = None,
    market: Annotated[
        list[str] | None, typer.Option(metavar="SYMBOL:TICK:LOT[:ID]", help="Steps the files do not say; repeatable.")
    ] = None,
    correct: Annotated[bool, typer.Option("--correct", help="Correct the clocks of the data while reading.")] = False,
    base_latency_ms: Annotated[float | None, typer.Option(min=0, help="Least latency of corrected clocks.")] = None,
    feed_latency_ms: Annotated[float | None, typer.Option(min=0, help="Of files without receive times.")] = None,
    seed: Annotated[int, typer.Option(envvar="SEED", help="Seed when no file is given.")] = 1,
    seconds: Annotated[int, typer.Option(min=1, help="Market time when no file is given.")] = 600,
    param: Annotated[
        list[str] | None, typer.Option(metavar="NAME=VALUE", help="One strategy parameter; repeatable.")
    ] = None,
    strategy_path: Annotated[Path | None, typer.Option(help="Your own strategies.")] = None,
    symbols: Annotated[str, typer.Option(help="Comma-separated venue symbols.")] = "",
    events: Annotated[Path | None, typer.Option(help="Write every event here, JSON lines.")] = None,
    out: Annotated[Path | None, typer.Option(help="Folder for the result tables (Parquet).")] = None,
    equity_every: Annotated[float | None, typer.Option(min=0.001, help="Resolution of the equity, seconds.")] = None,
    max_seconds: Annotated[int | None, typer.Option(min=1, help="Stop after so much recorded time.")] = None,
    in_process: Annotated[
        bool, typer.Option("--in-process", help="Engine in the same process: same log, faster.")
    ] = False,
    check_lookahead: Annotated[
        bool, typer.Option("--check-lookahead", help="Cut the future off at random points: no decision may change.")
    ] = False,
) -> int:
    """Run a strategy over recorded or generated data through the same risk core and simulator."""
    from cli.commands import backtest as run

    source: dict[str, object] = {} if data else {"seed": seed, "seconds": seconds}
    more: dict[str, object] = {"strategy-path": strategy_path, "symbols": symbols, "events": events}
    more |= {"out": out, "equity-every": equity_every, "max-seconds": max_seconds}
    more |= {"base-latency-ms": base_latency_ms, "feed-latency-ms": feed_latency_ms}
    options = [(name, str(value)) for name, value in {**source, **more}.items() if value not in (None, "")]
    options += [("data", str(path)) for path in data or ()]
    options += [("market", text) for text in market or ()]
    options += [("param", item) for item in param or ()]
    wanted = {"in-process": in_process, "check-lookahead": check_lookahead, "correct": correct}
    return run(call, strategy, options, [name for name, is_wanted in wanted.items() if is_wanted])


@command(app, "replay")
def replay(
    call: Call, session: Annotated[Path, typer.Argument(help="Session file, or the state folder that holds it.")]
) -> int:
    """Replay a recorded session (engine.record: true): every decision has to be the same."""
    from cli.commands import replay as run

    return run(call, session)


# --- strategies, certificates, version
# -----------------------------------------------------------------------------------


@command(strategy_app, "list")
def strategy_list(call: Call) -> int:
    """List strategies with state, parameters and counts."""
    from cli.commands import strategies as run

    return run(call)


@command(strategy_app, "on")
def strategy_on(call: Call, strategy_id: Annotated[str, typer.Argument()], reason: ReasonOption = "") -> int:
    """Let a strategy propose entries."""
    from cli.commands import switch as run

    return run(call, strategy_id, True, reason)


@command(strategy_app, "off")
def strategy_off(call: Call, strategy_id: Annotated[str, typer.Argument()], reason: ReasonOption = "") -> int:
    """No more entries from a strategy; its protection stays."""
    from cli.commands import switch as run

    return run(call, strategy_id, False, reason)


@command(certs_app, "init")
def certs_init(
    call: Call,
    out: Annotated[Path, typer.Argument(help="Folder for ca.pem and one pair per role.")],
    host: Annotated[
        list[str] | None, typer.Option(help="Further DNS name or address of the daemons; repeatable.")
    ] = None,
) -> int:
    """Make a private CA and one certificate per role for links over TCP."""
    from cli.commands import certs_init as run

    return run(call, out, tuple(host or ()))


@command(keys_app, "init")
def keys_init(call: Call) -> int:
    """Make the keys that a state folder does not have yet; `up` and `demo` do so themselves."""
    from cli.commands import keys_init as run

    return run(call)


@command(app, "version")
def version(call: Call) -> int:
    """Print the version."""
    from cli.commands import version as run

    return run(call)


__all__ = ["Exit", "OperatorRole", "app"]
