from __future__ import annotations

from pathlib import Path

import pytest

from engine.catalog import load_catalog, make_settings
from tradebot.core.errors import ConfigError

GOOD = """
from engine.strategy import SignalStrategy, strategy

@strategy("mine")
class Mine(SignalStrategy):
    def window(self): return 2
    def signal(self, bars): return 1.0
"""


def test_the_shipped_strategies_are_found() -> None:
    assert {"breakout_atr", "every_tick"} <= set(load_catalog())


def test_a_file_and_a_folder_of_strategies_are_found(tmp_path: Path) -> None:
    file = tmp_path / "mine.py"
    file.write_text(GOOD)

    assert "mine" in load_catalog([str(file)])
    assert "mine" in load_catalog([str(tmp_path)])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("def broken(:", "mine.py: SyntaxError"),
        ("1 / 0", "mine.py: ZeroDivisionError"),
        ("x = 1", "has no class with @strategy"),
        (GOOD.replace('"mine"', '"breakout_atr"'), "is in both"),
    ],
)
def test_a_bad_strategy_file_is_one_line_that_names_it(tmp_path: Path, text: str, message: str) -> None:
    file = tmp_path / "mine.py"
    file.write_text(text)
    with pytest.raises(ConfigError, match=message):
        load_catalog([str(file)])


def test_a_path_that_is_nothing_says_so(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="not a readable Python file"):
        load_catalog([str(tmp_path / "absent.py")])
    with pytest.raises(ConfigError, match="no file, folder or importable module"):
        load_catalog(["no.such.module"])


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"multiple": "wide"}, r"s\.params\.multiple: input should be a valid number.*'wide'"),
        ({"ema_lenght": 3}, r"s\.params\.ema_lenght: unknown parameter; known: .*ema_length"),
        ({"stop_loss_fraction": "2"}, r"s\.params\.stop_loss_fraction: input should be less than 1"),
    ],
)
def test_a_wrong_parameter_is_named_with_what_is_allowed(params: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        make_settings(load_catalog(), "s", "breakout_atr", ("binance:BTC-USDT",), params)
