"""docs/your-first-strategy.md works as written: its code is run, its configuration is parsed, and it trades."""

from __future__ import annotations

import math
import re
from pathlib import Path

import yaml

from engine.catalog import load_catalog
from engine.config import EngineConfig
from engine.runner import EngineCore, EngineOptions
from engine.service import settings_of
from tests.engine.builders import Desk, feed_empty_history, fill_event, live_market, price_path
from tests.support.builders import BTC, make_instrument
from tradebot.core.orders import Side


def blocks(project_root: Path, language: str) -> list[str]:
    text = (project_root / "docs" / "your-first-strategy.md").read_text(encoding="utf-8")
    return re.findall(rf"```{language}\n(.*?)```", text, re.DOTALL)


def test_the_first_strategy_has_thirty_lines_or_less(project_root: Path) -> None:
    (code,) = blocks(project_root, "python")

    assert len(code.strip().splitlines()) <= 30


def test_the_first_strategy_trades_as_written(project_root: Path, tmp_path: Path) -> None:
    (code,) = blocks(project_root, "python")
    folder = tmp_path / "my_strategies"
    folder.mkdir()
    (folder / "double_average.py").write_text(code)
    section = yaml.safe_load(blocks(project_root, "yaml")[0])["engine"]
    config = EngineConfig.model_validate(section | {"strategy_path": [str(folder)]})
    catalog = load_catalog(config.strategy_path)
    core = EngineCore(settings_of(catalog, config.strategies), catalog, "doc", EngineOptions(isolate_faults=False))
    core.market_started("md", [(0, make_instrument())])
    feed_empty_history(core)
    desk = Desk(core)
    desk.take(live_market())

    prices = [10_000 + round(200 * math.sin(k / 8)) for k in range(200)]
    for row in price_path(prices):
        for intent in desk.take(row):
            now_ns = desk.times[-1]
            core.handle_order_events([fill_event(intent, "1", "100", now_ns=now_ns)], now_ns)

    sides = [intent.side for intent in desk.intents]
    assert len(sides) >= 6
    assert sides[:4] == [Side.BUY, Side.SELL, Side.BUY, Side.SELL]
    assert {intent.instrument_id for intent in desk.intents} == {BTC}


def test_the_documented_limits_name_the_documented_strategy(project_root: Path) -> None:
    engine, limits = (yaml.safe_load(text) for text in blocks(project_root, "yaml"))

    assert [item["id"] for item in engine["engine"]["strategies"]] == list(limits["strategies"])
