"""Every command against a whole running system: exit code, one JSON document, the fields scripts rely on."""

from __future__ import annotations

import json
import sqlite3
import urllib.request
from collections.abc import Iterator

import pytest

from cli.exit_codes import Exit
from tests.conftest import PROJECT_ROOT
from tests.support.builders import BTC
from tests.support.system import CommandResult, RunningSystem

pytestmark = [pytest.mark.slow, pytest.mark.timeout(240)]


@pytest.fixture(scope="module")
def system() -> Iterator[RunningSystem]:
    """One system for all tests here; the order of the tests does not matter."""
    with RunningSystem() as running:
        running.wait_fills()
        yield running


def answer(system: RunningSystem, *arguments: str) -> CommandResult:
    """Run a command with --json; its document always says whether it went well."""
    result = system.command(*arguments, "--json")
    assert result.json["ok"] is (result.code == Exit.OK), result
    return result


@pytest.mark.parametrize(
    ("command", "fields"),
    [
        (("status",), "system_level mode daemons stop pnl open_positions working_orders unknown_orders holds books"),
        (("positions",), "positions"),
        (("orders",), "orders"),
        (("pnl",), "equity day_pnl realized_pnl unrealized_pnl fees gross_exposure strategies"),
        (("holds",), "system_level epoch holds"),
        (("strategy", "list"), "strategies"),
        (("audit", "--trail"), "records"),
        (("tables",), "database tables"),
        (("explain", "last"), "executions order events decision intent missing"),
        (("doctor",), "checks findings"),
        (("version",), "version"),
    ],
    ids=lambda value: "-".join(value) if isinstance(value, tuple) else "",
)
def test_reading_commands_answer_with_their_fields(
    system: RunningSystem, command: tuple[str, ...], fields: str
) -> None:
    result = answer(system, *command)

    assert result.code == Exit.OK, result.err
    assert set(fields.split()) <= set(result.json)


def test_human_answers_fit_100_columns(system: RunningSystem) -> None:
    for command in (("status",), ("orders",), ("positions",), ("pnl",), ("explain", "last"), ("holds",)):
        result = system.command(*command)
        assert [line for line in result.out.splitlines() if len(line) > 100] == [], command


def test_the_explanation_of_a_fill_joins_order_approval_signal_and_market_data(system: RunningSystem) -> None:
    entries = [
        order
        for order in answer(system, "orders", "--strategy", "breakout_atr", "--limit", "100").json["orders"]
        if order["role"] == "ENTRY" and float(order["filled_qty"]) > 0
    ]
    found = answer(system, "explain", "--order", entries[-1]["client_order_id"]).json
    checks = {check["check_id"]: check["outcome"] for check in found["decision"]["checks"]}

    assert found["missing"] == []
    assert found["executions"][0]["client_order_id"] == found["order"]["client_order_id"]
    assert found["decision"]["verdict"] in ("ALLOW", "SOFT_ALLOW")
    assert checks["POS-01"] == "PASS"
    assert found["intent"]["signal"]["signal"]
    assert found["intent"]["signal"]["market_sequence"] > 0


def test_a_manual_order_is_the_operators_own_and_passes_riskd(system: RunningSystem) -> None:
    taken = answer(system, "order", "buy", "BTCUSDT", "0.001", "--operator", "ana")
    refused = answer(system, "order", "buy", BTC, "5", "--operator", "ana")
    booked = answer(system, "orders", "--strategy", "manual:ana").json["orders"]

    assert taken.code == Exit.OK
    assert taken.json["client_order_id"] in {order["client_order_id"] for order in booked}
    assert refused.code == Exit.REFUSED
    assert refused.json["check_id"]


def test_a_viewer_is_refused_and_told_why(system: RunningSystem) -> None:
    result = answer(system, "order", "buy", BTC, "0.001", "--role", "viewer")

    assert result.code == Exit.REFUSED
    assert "role viewer may not call" in result.json["error"]


def test_a_resting_order_is_canceled_by_the_end_of_its_id(system: RunningSystem) -> None:
    book = next(book for book in answer(system, "status").json["books"] if book["instrument_id"] == BTC)
    price = str(round(float(book["bid_price"]) * 0.999, 1))
    order_id = answer(system, "order", "buy", BTC, "0.001", "--limit", price).json["client_order_id"]
    result = answer(system, "cancel", order_id[-8:], "--reason", "test")
    unknown = answer(system, "cancel", "ffffffff")

    assert result.code == Exit.OK, result.err
    assert unknown.code == Exit.USAGE


def test_halt_names_both_daemons_and_resume_says_what_remains(system: RunningSystem) -> None:
    halted = answer(system, "halt", "--reason", "drill")
    level = answer(system, "holds").json["system_level"]
    refused = answer(system, "order", "buy", BTC, "0.001")
    resumed = answer(system, "resume", "--reason", "the drill is over")

    assert (halted.code, halted.json["acked"]) == (Exit.OK, 2)
    assert level == "HALTED"
    assert refused.code == Exit.REFUSED
    assert (resumed.code, resumed.json["system_level"]) == (Exit.OK, "RUNNING")


def test_a_smaller_halt_is_a_hold_of_its_scope(system: RunningSystem) -> None:
    hold = answer(system, "halt", "--scope", "instrument:binance:ETH-USDT", "--reason", "drill")
    head, found = system.command("status").out.splitlines()[0], answer(system, "doctor")
    cleared = answer(system, "clear", hold.json["hold_id"], "--reason", "the drill is over")

    assert hold.json["scope"] == "instrument:binance:ETH-USDT"
    assert head.startswith("DEMO  RUNNING, binance:ETH-USDT HALTED ")
    assert found.code == Exit.FINDINGS
    assert (cleared.code, cleared.json["cleared"]) == (Exit.OK, True)


def test_flatten_does_nothing_before_the_phrase_is_typed(system: RunningSystem) -> None:
    result = answer(system, "flatten", "--reason", "drill")

    assert result.code == Exit.REFUSED
    assert "FLATTEN DEMO" in result.json["detail"]
    assert answer(system, "holds").json["system_level"] == "RUNNING"


def test_a_strategy_is_switched_off_and_on(system: RunningSystem) -> None:
    off = answer(system, "strategy", "off", "breakout_atr", "--reason", "test")
    on = answer(system, "strategy", "on", "breakout_atr", "--reason", "test")
    unknown = answer(system, "strategy", "off", "nobody", "--reason", "test")

    assert (off.json["enabled"], on.json["enabled"]) == (False, True)
    assert unknown.code == Exit.REFUSED


def test_a_second_system_on_the_same_state_is_refused(system: RunningSystem) -> None:
    result = answer(system, "up", "--detach")

    assert result.code == Exit.UNREACHABLE
    assert "a system runs on" in result.json["error"]


def test_the_database_agrees_with_execd_on_orders_and_fills(system: RunningSystem) -> None:
    """The recorder is downstream and may lag; what it has is right and nothing in it is doubled."""
    system.settle()
    expected = {order.client_order_id: order.status for order in system.orders()}
    booked = answer(system, "audit").json["booked_fills"]

    def stored() -> bool:
        answer(system, "tables")  # flushes
        with sqlite3.connect(f"file:{system.state}/db/tradebot.sqlite?mode=ro", uri=True) as db:
            orders = dict(db.execute("SELECT id, status FROM orders").fetchall())
            fills = db.execute("SELECT count(*), count(DISTINCT symbol || id) FROM fills").fetchone()
        return orders == expected and fills == (booked, booked)

    try:
        system.wait(stored, "the database to hold the same orders and fills")
    finally:
        system.switch_strategies(True)


def test_every_daemon_tells_prometheus_its_own_figures_and_the_docs_name_each(system: RunningSystem) -> None:
    page = (PROJECT_ROOT / "docs" / "metrics.md").read_text(encoding="utf-8")
    missing = []
    for daemon in ("simexchange", "marketdata", "engine", "riskd", "execd", "recorder", "eyes"):
        lines = (system.state / "logs" / f"{daemon}.log").read_text(encoding="utf-8").splitlines()
        ready = next(line for line in map(json.loads, lines) if line.get("event") == "ready")
        text = urllib.request.urlopen(f"http://127.0.0.1:{ready['metrics_port']}/metrics", timeout=5).read().decode()
        prefix = f"tradebot_{daemon}_"
        names = {line.split()[2] for line in text.splitlines() if line.startswith(f"# TYPE {prefix}")}
        assert names, daemon
        section = page.split(f"## {daemon}\n")[1].split("\n## ")[0]
        told = {name.removeprefix(prefix) for name in names if not name.endswith("_created")}
        missing += [f"{daemon} {name}" for name in told if f"`{name}`" not in section]

    assert missing == []
