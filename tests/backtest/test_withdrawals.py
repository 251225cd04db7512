"""Strategies that act on timers and withdraw their orders: over gRPC and in process, in one turn per decision."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from backtest.config import BacktestOptions
from backtest.run import run_backtest

CODE = """
from decimal import Decimal
from engine.strategy import Params, Proposal, Strategy, strategy, withdraw
from tradebot.core.orders import OrderRole, Side, TimeInForce

class Base(Strategy):
    params: Params
    overlapping = True

    def start(self):
        self.at_ns = 1

    def next_timer_ns(self):
        return self.at_ns

    def on_timer(self, now_ns):
        self.at_ns = (now_ns // 500_000_000 + 1) * 500_000_000
        market = self.markets[0]
        if not market.live or not market.bid:
            return None
        working = [one for one in self.orders(market).values() if one.client_order_id]
        wanted = [withdraw(one) for one in working if not one.cancel_wanted and one.limit_ticks != market.bid]
        if not any(one.limit_ticks == market.bid for one in working) and self.holding(market).qty < Decimal("0.004"):
            wanted.append(Proposal(Side.BUY, OrderRole.ENTRY, "quote", qty=Decimal("0.001"), limit_ticks=market.bid,
                                   time_in_force=TimeInForce.GTC, post_only=True, market=market))
        return wanted

@strategy("timers")
class Timers(Base):
    pass

@strategy("listens")
class Listens(Base):
    def on_fill(self, market, event):
        return None
"""


def events_of(path: Path, strategy_id: str) -> list[dict[str, object]]:
    text = path.read_text(encoding="utf-8").replace(strategy_id, "S")
    return [json.loads(line) for line in text.splitlines()]


@pytest.fixture
def strategies(tmp_path: Path) -> str:
    path = tmp_path / "quoting.py"
    path.write_text(CODE)
    return str(path)


def play(strategies: str, kind: str, log: Path, *, in_process: bool) -> bytes:
    options = BacktestOptions(kind, seed=5, seconds=40, strategy_path=(strategies,), events=log, in_process=in_process)
    run_backtest(options)
    return log.read_bytes()


def test_orders_are_withdrawn_and_both_ways_of_driving_give_the_same_bytes(strategies: str, tmp_path: Path) -> None:
    inside = play(strategies, "timers", tmp_path / "inside.jsonl", in_process=True)
    outside = play(strategies, "timers", tmp_path / "outside.jsonl", in_process=False)

    assert inside == outside
    events = events_of(tmp_path / "inside.jsonl", "timers")
    canceled = {one["client_order_id"] for one in events if one.get("kind") == "CANCELED"}
    withdrawn = {one["client_order_id"] for one in events if one["what"] == "cancel"}
    assert len(withdrawn) > 5
    assert canceled <= withdrawn | {one["client_order_id"] for one in events if one.get("status") == "FILLED"}
    assert any(one.get("kind") in ("FILL", "FILL_COMPLETE") for one in events)


def test_the_world_going_ahead_changes_no_decision(strategies: str, tmp_path: Path) -> None:
    """A strategy that also listens to fills takes turns with the world; its decisions are those of the one that does
    not, and so is everything that happens to its orders.
    """
    play(strategies, "timers", tmp_path / "ahead.jsonl", in_process=True)
    play(strategies, "listens", tmp_path / "turns.jsonl", in_process=True)
    ahead, turns = (
        [
            [
                (one["at_ns"], one.get("kind"), one.get("limit_price"), one.get("status"))
                for one in run
                if one["what"] == what
            ]
            for what in ("intent", "cancel", "answer", "order")
        ]
        for run in (events_of(tmp_path / "ahead.jsonl", "timers"), events_of(tmp_path / "turns.jsonl", "listens"))
    )

    assert ahead[0]
    assert ahead == turns
