"""What people read: fits the screen, and never shows an unknown as a number."""

from __future__ import annotations

from dataclasses import replace

import pytest

from cli import render, views
from cli.output import MAX_COLUMNS, document, table, wrap

LONG = "x" * 300
PNL = views.PnlView(
    time_ns=1, currency="USDT", equity="10012.346", day_start_equity="10000", day_pnl="12.346", day_pnl_pct=0.123,
    day_limit_pct=-2.0, realized_pnl="10", unrealized_pnl="-2.5", fees="1.25", gross_exposure="500",
    net_exposure="500", gross_limit="1500", turnover="12000", drawdown_pct=-0.4, stale_inputs=0,
)  # fmt: skip
ORDER = views.OrderView(
    client_order_id="1a" * 16, instrument_id="binance:BTC-USDT", side="BUY", order_type="STOP_LIMIT",
    time_in_force="GTC", role="PROTECTION", qty="0.00812000", filled_qty="0", price="61500.00", stop_price="61520.10",
    avg_price="0", status="REJECTED", strategy_id="breakout_atr", reason="ABOVE_LIMIT", detail=LONG, check_id="POS-01",
    intent_id="i", decision_id="d", trace_id="t", protects_client_order_id="", venue_order_id="", created_time_ns=1,
    updated_time_ns=1_700_000_000_123_456_789,
)  # fmt: skip


def make_status(**changes: object) -> views.StatusView:
    view = views.StatusView(
        state_dir="/tmp/tradebot-demo-abc",
        mode="demo",
        system_level="RUNNING",
        daemons=[
            views.DaemonView("riskd", "OK", version="0.1.0", uptime_s=3_700),
            views.DaemonView("execd", "DOWN", LONG),
        ],
        stop=[views.StopAck("riskd", True, 2.0), views.StopAck("execd", False, 0.0)],
        pnl=PNL,
        open_positions=2,
        working_orders=3,
        unknown_orders=0,
        risk_session_up=True,
        latch="",
        holds=[],
        books=[views.BookView("binance:BTC-USDT", "LIVE", "61837.63", "1", "61837.64", "1", "61837.63", 120, 0)],
        strategies=[],
        kills=[],
    )
    return replace(view, **changes)  # type: ignore[arg-type]


def make_hold(level: str, scope: str) -> views.HoldView:
    return views.HoldView(f"h-{scope}", level, scope, "OPERATOR", "ana", 1, "ONE_KEY", "", 0, "")


def test_the_status_screen_starts_with_level_stop_readiness_and_money() -> None:
    first, second, *_ = render.status_lines(make_status())

    assert first.startswith("DEMO  RUNNING   STOP 1/2 (execd does not answer)")
    assert second.startswith("equity 10 012.35 USDT   day +12.35 (+0.12 %, limit -2 %)   positions 2   working 3")


def test_the_status_screen_never_says_running_alone_where_a_smaller_scope_is_stopped() -> None:
    first, *_ = render.status_lines(make_status(holds=[make_hold("HALTED", "venue:binance")]))

    assert first.startswith("DEMO  RUNNING, binance HALTED   STOP 1/2")


def test_what_is_not_known_is_a_question_mark() -> None:
    lines = render.status_lines(make_status(system_level="?", pnl=None, open_positions=None, unknown_orders=None))

    assert lines[1] == "money ?   positions ?   working 3   unknown ?"
    assert render.amount("") == "?"


def test_an_estimate_carries_a_tilde() -> None:
    lines = render.pnl_lines(replace(PNL, stale_inputs=1))

    assert any("~10 012.35" in line for line in lines)
    assert "~ estimate: 1 stale inputs" in lines


@pytest.mark.parametrize(
    "lines",
    [
        render.status_lines(make_status()),
        render.order_lines([ORDER]),
        render.hold_lines([views.HoldView("h1", "HALTED", "system", "OPERATOR", "ana", 1, "ONE_KEY", LONG, 0, "")]),
        render.audit_lines(views.AuditView(1, 1, 1, 1, 0, 0, 1, [views.FindingView("POSITION_MISMATCH", "x", LONG)])),
        render.explain_lines(views.ExplainView([], ORDER, [], None, None, LONG, [LONG])),
        render.pnl_lines(PNL),
    ],
    ids=["status", "orders", "holds", "audit", "explain", "pnl"],
)
def test_every_line_fits_100_columns(lines: list[str]) -> None:
    assert [line for line in lines if len(line) > MAX_COLUMNS] == []


def test_a_refused_order_shows_check_and_reason() -> None:
    lines = render.order_lines([ORDER])

    assert lines[2].strip().startswith("why 1a1a1a1a: POS-01 ABOVE_LIMIT")
    assert "STPL" in lines[1]
    assert "61520.1" in lines[1]


def test_a_clean_audit_says_so_and_a_finding_is_listed() -> None:
    clean = views.AuditView(3, 3, 2, 2, 0, 0, 0, [])

    assert clean.clean
    assert render.audit_lines(clean)[-1] == "AUDIT CLEAN"
    assert not replace(clean, unknown_orders=1).clean


def test_the_explanation_goes_from_the_fill_back_to_the_market() -> None:
    signal = views.SignalView("close_above_upper_keltner", "0.8", "run1", 4711, 1, 2, 3, [views.Item("atr", "12.5")])
    intent = views.IntentView(
        "i1", "breakout_atr", "binance:BTC-USDT", "BUY", "ENTRY", "", "0.8", "MARKET", "", 1, "t", "0.006", signal
    )
    check = views.CheckView("POS-01", "PASS", "", "1500 USDT", "500 USDT", "binance:BTC-USDT")
    decision = views.DecisionView("d1", "ALLOW", "", "", "0.008", "", "RUNNING", 4, 1, [check])
    fill = views.ExecutionView("t1", "c1", "binance:BTC-USDT", "BUY", "0.008", "61837.64", "0.49", "USDT", "TAKER", 1)
    lines = render.explain_lines(views.ExplainView([fill], ORDER, [], decision, intent, "", []))
    heads = [line.split()[0] for line in lines if not line.startswith(" ")]

    assert heads == ["FILL", "ORDER", "APPROVAL", "INTENT", "SIGNAL", "MARKET"]
    assert any("POS-01  pass     500 USDT of 1500 USDT" in line for line in lines)
    assert lines[-1].split(",")[0].strip().endswith("sequence 4711 of run1")


def test_json_keeps_decimals_as_strings_and_names_the_outcome() -> None:
    assert (
        document(views.TableView("trades", 3, 0, 0))
        == '{"ok": true, "table": "trades", "rows": 3, "queued": 0, "dropped": 0}'
    )


def test_tables_align_and_long_text_wraps_under_itself() -> None:
    assert table(["A", "NUM"], [["x", "1"], ["yy", "22"]], frozenset({1})) == ["A   NUM", "x     1", "yy   22"]
    assert wrap("why ", "one two three", width=24) == ["why one two three"]
    assert wrap("why ", "a " * 20, width=30)[1].startswith("    a")


def test_money_shows_funding_and_margin_only_where_there_are_any() -> None:
    plain = "\n".join(render.pnl_lines(PNL))
    margin = replace(PNL, funding="-3.5", leverage=0.61, margin_used_pct=60.0, margin_ratio_pct=3.0)
    told = "\n".join(render.pnl_lines(margin))

    assert "funding" not in plain
    assert "margin" not in plain
    assert "funding" in told
    assert "-3.50" in told
    assert "% used, ratio 3.0 %" in told


def test_money_shows_strategies_with_their_trips_and_pairs() -> None:
    view = replace(
        PNL,
        strategies=[
            views.StrategyPnlView("s1", "10", "-2.5", "1.25", 1, "0", "6.25", 4, 75.0, 0),
            views.StrategyPnlView("s2", "0", "0", "0", 0),
        ],
        pairs=[views.PairPnlView("binance:BTC-USDT", "10", "-2.5", "1.25", "0", "6.25")],
    )
    lines = render.pnl_lines(view)

    assert next(line for line in lines if line.startswith("s1")).split()[1:] == [
        "+10.00", "-2.50", "1.25", "+6.25", "1", "4", "75%",
    ]  # fmt: skip
    assert next(line for line in lines if line.startswith("s2")).split()[-1] == "-"
    assert next(line for line in lines if line.startswith("binance")).split()[-1] == "+6.25"
