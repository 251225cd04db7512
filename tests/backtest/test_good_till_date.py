"""Good-till-date orders in the event-driven backtest: ended by the venue's clock, whoever else is racing."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Final

import pytest

from tests.backtest.perpetual_kit import Contract, Run, S, Tape, fills_of, play

DATED: Final = '''
"""Rests one dated order below the market."""
from engine.strategy import Params, Proposal, Strategy, strategy, withdraw
from tradebot.core.orders import OrderRole, Side, TimeInForce
from decimal import Decimal


class DatedParams(Params):
    lives_ms: int = 3_000
    away: int = 5
    cancels: bool = False


@strategy("dated")
class Dated(Strategy):
    params: DatedParams

    def start(self):
        self.at_ns, self.expires_ns, self.withdrawn = 1, 0, False

    def next_timer_ns(self):
        return self.at_ns

    def on_timer(self, now_ns):
        self.at_ns = (now_ns // 1_000_000 + 1) * 1_000_000 if self.expires_ns else (now_ns // 10**9 + 1) * 10**9
        market = self.markets[0]
        if not market.live:
            return None
        if not self.expires_ns:
            self.expires_ns = now_ns + self.params.lives_ms * 1_000_000
            return Proposal(Side.BUY, OrderRole.ENTRY, "dated", qty=Decimal("0.01"),
                            limit_ticks=market.bid - self.params.away, time_in_force=TimeInForce.GTD,
                            expire_time_ns=self.expires_ns)
        working = [one for one in self.orders(market).values() if one.client_order_id]
        if self.params.cancels and working and not self.withdrawn and now_ns >= self.expires_ns - 2_000_000:
            self.withdrawn = True
            return withdraw(working[0])
        return None
'''


def dated(folder: Path, tape: Tape, **params: Any) -> Run:
    return play(folder, tape, Contract(), strategy=DATED, kind="dated", **params)


def kinds(run: Run) -> list[tuple[str, int]]:
    lines: list[dict[str, Any]] = [json.loads(line) for line in run.log.splitlines()]
    return [(line["kind"], line["at_ns"]) for line in lines if line["what"] == "order"]


def expiry_of(run: Run) -> int:
    (order,) = run.tables.table("orders").to_pylist()
    assert order["time_in_force"] == "GTD"
    return int(order["decided_ns"]) + 3 * S


@pytest.mark.parametrize("in_process", [True, False])
def test_the_venue_ends_the_order_at_its_time(tmp_path: Path, in_process: bool) -> None:
    run = dated(tmp_path, Tape(), in_process=in_process)

    assert [kind for kind, _ in kinds(run)] == ["ASKED", "SENT", "ACCEPTED", "EXPIRED"]
    assert kinds(run)[-1][1] == expiry_of(run) + 5_000_000  # and the answer takes its way back
    assert run.result.fills == 0


def test_a_price_that_comes_before_its_end_fills_it(tmp_path: Path) -> None:
    run = dated(tmp_path, Tape(moves={3: ("59990.0", "59990.0")}))

    (fill,) = fills_of(run)[:1]
    assert (fill["side"], fill["liquidity"]) == ("BUY", "MAKER")
    assert "EXPIRED" not in [kind for kind, _ in kinds(run)][:4]


def test_a_price_that_comes_after_its_end_does_not(tmp_path: Path) -> None:
    run = dated(tmp_path, Tape(moves={6: ("59990.0", "59990.0")}))

    assert run.result.fills == 0


def test_a_cancel_that_loses_the_race_leaves_it_expired(tmp_path: Path) -> None:
    run = dated(tmp_path, Tape(), cancels=True)

    assert [kind for kind, _ in kinds(run)][:4] == ["ASKED", "SENT", "ACCEPTED", "CANCEL_SENT"]
    assert run.tables.table("orders").to_pylist()[0]["status"] == "EXPIRED"
    assert run.result.unknown_orders == 0


def test_an_order_that_would_arrive_too_late_is_no_order(tmp_path: Path) -> None:
    run = dated(tmp_path, Tape(), lives_ms=3)  # link and venue are 5.2 ms away

    assert run.tables.table("orders").to_pylist()[0]["status"] == "REJECTED"
    assert run.result.fills == 0
