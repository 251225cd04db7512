"""The sections of all programs of a system, each read as its program will read it. Heavy: it imports them all."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Final

from console.config import ConsoleConfig
from engine.config import EngineConfig
from execd.config import ExecdConfig
from marketdata.config import MarketdataConfig
from recorder.config import RecorderConfig
from riskd.config import RiskdConfig
from riskd.eyes.config import EyesConfig
from riskd.limits import load_limits
from simexchange.config import SimexchangeConfig
from tradebot.runtime.config import ConfigModel, load_config

SECTIONS: Final[dict[str, type[ConfigModel]]] = {
    "simexchange": SimexchangeConfig,
    "marketdata": MarketdataConfig,
    "riskd": RiskdConfig,
    "execd": ExecdConfig,
    "engine": EngineConfig,
    "recorder": RecorderConfig,
    "eyes": EyesConfig,
    "console": ConsoleConfig,
}


def check_sections(config: Path, overrides: Sequence[str]) -> None:
    """Read every section and the limits file.

    Raises:
        ConfigError: One line naming file, key and fix.
    """
    for name, model in SECTIONS.items():
        loaded = load_config(config, name, model, overrides)
        if isinstance(loaded.section, RiskdConfig):
            load_limits(loaded.section.limits_path(config, loaded.common.mode))
