"""Real recordings as data folders, where they lie beside the project or where TRADEBOT_REAL_DATA points."""

from __future__ import annotations

import os
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Final

from benchmarks.sim.data import FOLDER, write_folder
from tests.support.realdata import BESIDE_THE_PROJECT, VARIABLE

BASE_LATENCY_NS: Final = 1_000_000
"""Least feed latency after clocks are corrected."""


@dataclass(frozen=True, slots=True)
class Recording:
    """Files of one instrument that continue each other, and its steps."""

    name: str
    symbol: str
    files: tuple[str, ...]
    tick: str
    lot: str


RECORDINGS: Final = (
    Recording(
        "spot-btc-2024", "BTCUSDT",
        ("binance_spot/BTCUSDT-ws-20240808T2354.log.gz", "binance_spot/BTCUSDT-ws-20240809T0000.log.gz"),
        "0.01", "0.00001",
    ),
    Recording("usdm-btc-2024", "BTCUSDT", ("binance_usdm/BTCUSDT-ws-20240808T2354.log.gz",), "0.1", "0.001"),
    Recording(
        "usdm-btc-2023", "BTCUSDT",
        ("binance_usdm/BTCUSDT-ws-20230404T2358.us.log.gz", "binance_usdm/BTCUSDT-ws-20230405T0000.us.log.gz"),
        "0.1", "0.001",
    ),
    Recording(
        "usdm-eth-2024", "ETHUSDT",
        ("binance_usdm/ETHUSDT-ws-20240718T2357.log.gz", "binance_usdm/ETHUSDT-ws-20240719T0000.log.gz"),
        "0.01", "0.001",
    ),
    Recording(
        "coinm-btc-2024", "BTCUSD_PERP",
        ("binance_coinm/BTCUSD_PERP-ws-20240808T2354.log.gz", "binance_coinm/BTCUSD_PERP-ws-20240809T0000.log.gz"),
        "0.1", "1",
    ),
)  # fmt: skip


def recorded_folders() -> list[Path]:
    """Return the folders of the real recordings that are here, made when they are missing."""
    history = Path(os.environ.get(VARIABLE) or BESIDE_THE_PROJECT.resolve(), "history")
    here = [item for item in RECORDINGS if all((history / file).is_file() for file in item.files)]
    return [recorded_folder(item, history) for item in here]


def recorded_folder(item: Recording, history: Path) -> Path:
    """Read one recording with its clocks corrected and write it for both drivers."""
    from backtest.history.load import History
    from backtest.history.rows import Market

    folder = FOLDER / f"real-{item.name}"
    if not (folder / "steps.txt").exists():
        market = Market(f"binance:{item.symbol}", item.symbol, Decimal(item.tick), Decimal(item.lot))
        recorded = History.of([history / file for file in item.files], [market])
        recorded.corrected = True
        recorded.base_latency_ns = BASE_LATENCY_NS
        markets, _ = recorded.load()
        write_folder(folder, markets[market.instrument_id], float(item.tick), float(item.lot))
    return folder
