"""Without the bytes of the venue's protocol everything happens as with them: event logs and result tables are equal."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Final

import pytest

from backtest.config import BacktestOptions
from backtest.run import run_backtest

RESTLESS: Final = '''
from decimal import Decimal

from engine.strategy import Params, Proposal, Strategy, strategy, withdraw
from tradebot.core.orders import OrderRole, Side, TimeInForce


@strategy("restless")
class Restless(Strategy):
    """Orders of every kind, by a fixed rule: far away, at the touch, through it, immediate, and their cancels."""

    params: Params
    overlapping = True

    def start(self):
        self.at_ns, self.count = 1, 0

    def next_timer_ns(self):
        return self.at_ns

    def on_timer(self, now_ns):
        self.at_ns = (now_ns // 70_000_000 + 1) * 70_000_000
        market = self.markets[0]
        if not (market.live and market.bid):
            return None
        self.count += 1
        wanted = [withdraw(o) for o in self.orders(market).values() if o.client_order_id and not o.cancel_wanted]
        wanted = wanted if self.count % 3 else []
        side = Side.BUY if self.count % 5 < 3 else Side.SELL
        away = (0, 1, 40, -1, -3, 2, 0)[self.count % 7]
        ticks = market.bid - away if side is Side.BUY else market.ask + away
        kind = self.count * 7 % 4
        force = TimeInForce.IOC if kind == 1 else TimeInForce.FOK if kind == 2 and self.count % 2 else TimeInForce.GTC
        qty = Decimal("0.01") * (1 + self.count % 4)
        wanted.append(
            Proposal(side, OrderRole.ENTRY, "restless", qty=qty, limit_ticks=ticks, time_in_force=force,
                     post_only=kind == 3 and force is TimeInForce.GTC, market=market)
        )
        return wanted
'''
CONFIG: Final = """
mode: backtest
backtest:
  venue_bytes: {in_bytes}
  limits: {limits}
  unprotected_s: 1e6
  latency: {{entry: {{ms: 3.7}}, response: {{ms: 3.7}}}}
  balances: {{USDT: "1000000", BTC: "10"}}
"""


def played(tmp_path: Path, options: dict[str, object], *, in_bytes: bool, limits: str = "") -> list[bytes]:
    """Return event log and result tables of a run."""
    folder = tmp_path / str(in_bytes)
    folder.mkdir()
    config = folder / "config.yaml"
    text = CONFIG.format(in_bytes=str(in_bytes).lower(), limits=limits)
    config.write_text(text if limits else f"mode: backtest\nbacktest: {{venue_bytes: {str(in_bytes).lower()}}}\n")
    result = run_backtest(
        BacktestOptions(
            config=config,
            events=folder / "events.jsonl",
            out=folder / "tables",
            in_process=True,
            **options,  # type: ignore[arg-type]
        )
    )
    assert result.fills > 0
    files = sorted(path for path in (folder / "tables").iterdir() if path.suffix == ".parquet")
    assert files
    return [(folder / "events.jsonl").read_bytes(), *(path.read_bytes() for path in files)]


@pytest.mark.parametrize("take_profit", [None, 0.002])
def test_stops_and_targets_are_told_the_same_way(tmp_path: Path, take_profit: float | None) -> None:
    params = {"bar_ms": 1000, "ema_length": 4, "atr_length": 5, "multiple": 0.4, "cool_down_bars": 1}
    options: dict[str, object] = {
        "strategy": "breakout_atr",
        "seconds": 25,
        "params": params | ({} if take_profit is None else {"take_profit_fraction": take_profit}),
    }

    assert played(tmp_path, options, in_bytes=False) == played(tmp_path, options, in_bytes=True)


def test_every_kind_of_order_and_refusal_is_told_the_same_way(tmp_path: Path, project_root: Path) -> None:
    file = tmp_path / "restless.py"
    file.write_text(RESTLESS)
    options: dict[str, object] = {
        "strategy": "restless",
        "seconds": 45,
        "strategy_path": (str(file),),
        "params": {"stop_loss_fraction": None},
    }
    limits = str(project_root / "config" / "limits" / "bench.yaml")

    ours = played(tmp_path, options, in_bytes=False, limits=limits)

    assert ours == played(tmp_path, options, in_bytes=True, limits=limits)
    lines = [json.loads(line) for line in ours[0].splitlines()]
    kinds = {line["kind"] for line in lines if line["what"] == "order"}
    assert kinds >= {"ACCEPTED", "REJECTED", "FILL", "FILL_COMPLETE", "CANCELED", "EXPIRED"}
