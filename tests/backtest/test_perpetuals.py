"""Perpetuals in the event-driven backtest: riskd, execd, engine and venue as live, and money that adds up."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import pytest

from tests.backtest.perpetual_kit import FUNDING_S, T0, Contract, S, SlowLedger, Tape, fills_of, play

CENT = Fraction(1, 100)


@pytest.mark.parametrize("side", ["SELL", "BUY"])
def test_a_position_held_over_a_funding_adds_up_to_the_last_unit(tmp_path: Path, side: str) -> None:
    run = play(tmp_path, Tape(), Contract(), side=side, leave_s=30)

    slow = SlowLedger(Contract(), Fraction(10_000))
    entry, leaving = fills_of(run)
    slow.fill(entry["side"], Fraction(entry["qty"]), Fraction(entry["price"]), Fraction(entry["fee"]))
    received = slow.fund(Fraction("0.0001"), Fraction("60001.23456789"))
    slow.fill(leaving["side"], Fraction(leaving["qty"]), Fraction(leaving["price"]), Fraction(leaving["fee"]))
    assert entry["side"] == side
    assert entry["matched_ns"] < T0 + FUNDING_S * S < leaving["matched_ns"]
    assert (received > 0) == (side == "SELL")
    assert slow.qty == 0
    assert Fraction(run.result.equity) == slow.wallet
    assert Fraction(run.result.funding) == slow.funding
    assert Fraction(run.result.realized_pnl) == slow.realized
    assert Fraction(run.result.fees) == slow.fees
