"""Perpetuals in the event-driven backtest: riskd, execd, engine and venue as live, and money that adds up."""

from __future__ import annotations

import json
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest

from backtest.config import BacktestOptions
from backtest.lookahead import check_lookahead
from tests.backtest.perpetual_kit import FUNDING_S, T0, Contract, Run, S, Tape, booked, fills_of, limits_file, play

CENT = Fraction(1, 100)
RATE, MARK = "0.0001", "60001.23456789"
LINEAR = Contract()
INVERSE = Contract(inverse=True, multiplier="100", lot="1")


def events_of(run: Run, role: str) -> list[dict[str, Any]]:
    """Return the order events that carry the terms of an order of this role."""
    lines = [json.loads(line) for line in run.log.splitlines()]
    return [line for line in lines if line["what"] == "order" and line.get("terms", {}).get("role") == role]


@pytest.mark.parametrize("side", ["SELL", "BUY"])
def test_a_position_held_over_a_funding_adds_up_to_the_last_unit(tmp_path: Path, side: str) -> None:
    run = play(tmp_path, Tape(), LINEAR, side=side)

    slow = booked(run, LINEAR, "10000", RATE, MARK)
    entry, leaving = fills_of(run)
    assert entry["side"] == side
    assert entry["matched_ns"] < T0 + FUNDING_S * S < leaving["matched_ns"]
    assert (slow.funding > 0) == (side == "SELL")
    assert slow.qty == 0
    assert Fraction(run.result.equity) == slow.wallet
    assert Fraction(run.result.funding) == slow.funding
    assert Fraction(run.result.realized_pnl) == slow.realized
    assert Fraction(run.result.fees) == slow.fees
    assert run.result.start_equity == 10_000


def test_result_tables_show_the_funding_apart_from_trading(tmp_path: Path) -> None:
    run = play(tmp_path, Tape(), LINEAR)

    slow = booked(run, LINEAR, "10000", RATE, MARK)
    (row,) = run.tables.table("funding").to_pylist()
    last = run.tables.table("equity").to_pylist()[-1]
    assert (row["at_ns"], row["strategy_id"], row["instrument_id"]) == (
        T0 + FUNDING_S * S,
        "hold",
        LINEAR.instrument_id,
    )
    assert (Fraction(row["rate"]), Fraction(row["mark_price"])) == (Fraction(RATE), Fraction(MARK))
    assert (Fraction(row["qty"]), Fraction(row["paid"]), row["asset"]) == (Fraction("-0.01"), -slow.funding, "USDT")
    assert Fraction(last["funding_paid"]) == -slow.funding
    assert Fraction(last["realized_pnl"]) == slow.realized
    assert Fraction(last["equity"]) == 10_000 + slow.realized - slow.fees + slow.funding


def test_an_open_position_is_worth_its_mark_and_no_more(tmp_path: Path) -> None:
    run = play(tmp_path, Tape(), LINEAR, leave_s=10_000)

    slow = booked(run, LINEAR, "10000", RATE, MARK)
    slow.fund(Fraction(RATE), Fraction(MARK))
    assert run.result.open_positions == {LINEAR.instrument_id: slow.qty}
    worst = max(Fraction("60000.1"), Fraction(MARK))  # a short is closed at the ask, or the mark where that is worse
    assert Fraction(run.result.equity) == slow.wallet + slow.unrealized(worst)


@pytest.mark.parametrize("contract", [LINEAR, INVERSE], ids=["linear", "inverse"])
def test_engine_process_and_engine_inside_give_the_same_bytes(
    tmp_path: Path, project_root: Path, contract: Contract
) -> None:
    terms: dict[str, Any] = {"stop_loss_fraction": "0.02"}
    if contract.inverse:
        terms |= {"qty": "10", "balances": '{BTC: "1"}', "limits": limits_file(tmp_path, project_root, "USD")}
    inside = play(tmp_path / "inside", Tape(), contract, in_process=True, **terms)
    outside = play(tmp_path / "outside", Tape(), contract, in_process=False, **terms)

    assert inside.log == outside.log
    assert len(fills_of(inside)) == 2
    for name in ("orders", "fills", "positions", "equity", "funding"):
        assert inside.tables.table(name).equals(outside.tables.table(name))


@pytest.mark.parametrize("side", ["SELL", "BUY"])
def test_an_inverse_position_settles_in_its_coin(tmp_path: Path, project_root: Path, side: str) -> None:
    limits = limits_file(tmp_path, project_root, "USD")
    tape = Tape(moves={25: ("60600.0", "60601.5")})
    run = play(tmp_path, tape, INVERSE, side=side, qty="10", balances='{BTC: "1"}', limits=limits)

    slow = booked(run, INVERSE, "1", RATE, MARK)
    (row,) = run.tables.table("funding").to_pylist()
    assert (slow.realized > 0) == (side == "BUY")
    assert (Fraction(row["paid"]), row["asset"]) == (-slow.funding, "BTC")
    assert abs(Fraction(run.result.equity) - slow.wallet * Fraction("60600.0")) < CENT
    assert abs(Fraction(run.result.start_equity) - 60_000) < CENT


@pytest.mark.parametrize("side", ["SELL", "BUY"])
def test_a_stop_closes_a_position_of_either_side(tmp_path: Path, side: str) -> None:
    against = "60310.0" if side == "SELL" else "59690.0"
    tape = Tape(moves={12: (against, against), 13: (against, against)})
    run = play(tmp_path, tape, LINEAR, side=side, leave_s=10_000, stop_loss_fraction="0.005")

    entry, stop = fills_of(run)
    assert (entry["side"], stop["side"]) == (side, "BUY" if side == "SELL" else "SELL")
    assert stop["role"] == "PROTECTION"
    assert not run.result.open_positions
    orders = {row["role"]: row for row in run.tables.table("orders").to_pylist()}
    assert orders["PROTECTION"]["reduce_only"]
    assert not orders["ENTRY"]["reduce_only"]


HIGH = Contract(leverage="20")
FALL = {15: ("56900.0", "56900.12345678")}


def test_the_venue_liquidates_a_position_whose_margin_is_used_up(tmp_path: Path, project_root: Path) -> None:
    limits = limits_file(tmp_path, project_root)
    run = play(
        tmp_path,
        Tape(moves=FALL),
        HIGH,
        side="BUY",
        qty="0.03",
        balances='{USDT: "100"}',
        limits=limits,
        leave_s=10_000,
    )

    entry, closing = fills_of(run)
    price = Fraction("56900.1")  # the mark, rounded against us
    fee = Fraction("0.03") * price * 5 / 10_000
    assert (closing["role"], closing["side"], Fraction(closing["price"])) == ("LIQUIDATION", "SELL", price)
    assert abs(Fraction(closing["fee"]) - fee) < Fraction(1, 10**8)
    result = Fraction("0.03") * (price - Fraction(entry["price"]))
    left = 100 + result - Fraction(entry["fee"]) - Fraction(closing["fee"])
    assert Fraction(run.result.equity) == left
    assert run.result.liquidations == 1
    assert not run.result.open_positions
    (event,) = events_of(run, "LIQUIDATION")
    assert (event["kind"], event["reason"]) == ("FILL_COMPLETE", "LIQUIDATED")
    assert any("liquidated" in text for text in run.result.warnings)


def test_after_a_liquidation_the_instrument_is_halted(tmp_path: Path, project_root: Path) -> None:
    run = play(
        tmp_path,
        Tape(moves=FALL),
        HIGH,
        side="BUY",
        qty="0.03",
        balances='{USDT: "100"}',
        limits=limits_file(tmp_path, project_root),
        leave_s=10_000,
        again_s=25,
    )

    assert run.result.intents == 2
    assert run.result.answers_refused == 1
    assert "STA-01" in run.result.refusals_by_check


def test_cutting_the_future_off_changes_no_decision(tmp_path: Path) -> None:
    play(tmp_path, Tape(), LINEAR)
    options = BacktestOptions(
        "hold",
        data=tmp_path / "tape.csv",
        config=tmp_path / "config.yaml",
        strategy_path=(str(tmp_path / "own.py"),),
        params={"stop_loss_fraction": None},
        in_process=True,
    )

    report = check_lookahead(options, cuts=3)

    assert report.decisions
    assert not [cut for cut in report.cuts if cut.difference], report


def test_a_wallet_that_cannot_pay_is_made_whole_by_the_venue(tmp_path: Path, project_root: Path) -> None:
    contract = replace(HIGH, liquidation_fee_bps="100")
    tape = Tape(moves={15: ("50000.0", "50000.0")})
    limits = limits_file(tmp_path, project_root)
    run = play(
        tmp_path, tape, contract, side="BUY", qty="0.03", balances='{USDT: "100"}', limits=limits, leave_s=10_000
    )

    assert run.result.equity == 0
    assert run.result.liquidations == 1
    parts = run.result.realized_pnl - run.result.fees + run.result.other_income
    assert parts == -100


def test_riskd_refuses_more_than_the_margin_carries(tmp_path: Path, project_root: Path) -> None:
    limits = limits_file(tmp_path, project_root)
    run = play(tmp_path, Tape(), HIGH, qty="0.034", balances='{USDT: "100"}', limits=limits)

    assert run.result.refusals_by_check == {"POS-01": 1}
    assert run.result.fills == 0


def test_without_a_mark_price_nothing_is_charged_and_the_result_says_so(tmp_path: Path) -> None:
    run = play(tmp_path, Tape(has_mark=False), LINEAR)

    assert run.result.funding == 0
    assert any("no mark price" in text for text in run.result.warnings)
