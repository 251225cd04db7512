"""Data folders that both drivers read: our columns as .npy, the peer's events as .npz, the instrument's steps."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import numpy as np

from benchmarks.sim.synthetic_l2 import LOT_SIZE, TICK_SIZE, synthetic_l2
from tradebot.core import columns
from tradebot.core.columns import COLUMNS, MarketColumns

FOLDER: Final = Path("build/bench")
ROI_TICKS: Final = 4096
"""Room around the data's prices for the peer's range of interest."""
EVENT: Final = np.dtype(
    [
        ("ev", "u8"), ("exch_ts", "i8"), ("local_ts", "i8"), ("px", "f8"), ("qty", "f8"),
        ("order_id", "u8"), ("ival", "i8"), ("fval", "f8"),
    ],
    align=True,
)  # fmt: skip
"""hftbacktest's event: 64 bytes."""
PEER_EXCHANGE, PEER_LOCAL, PEER_BUY, PEER_SELL = 1 << 31, 1 << 30, 1 << 29, 1 << 28
PEER_DEPTH, PEER_TRADE, PEER_CLEAR, PEER_SNAPSHOT = 1, 2, 3, 4


def peer_events(rows: MarketColumns, tick: float, lot: float) -> np.ndarray:
    """Translate our columns into hftbacktest's events."""
    flags = rows.flags.astype(np.uint64)
    kind = flags & columns.KIND_MASK
    events = np.zeros(len(rows), EVENT)
    level = np.where(flags & columns.SNAPSHOT, PEER_SNAPSHOT, PEER_DEPTH)
    events["ev"] = (
        np.where(kind == columns.TRADE, PEER_TRADE, np.where(kind == columns.CLEAR, PEER_CLEAR, level)).astype(
            np.uint64
        )
        | np.where(flags & columns.BUYER, PEER_BUY, PEER_SELL).astype(np.uint64)
        | np.where(flags & columns.AT_EXCHANGE, PEER_EXCHANGE, 0).astype(np.uint64)
        | np.where(flags & columns.AT_LOCAL, PEER_LOCAL, 0).astype(np.uint64)
    )
    events["exch_ts"], events["local_ts"] = rows.exchange_time_ns, rows.local_time_ns
    # A quotient is the float nearest to the decimal price; a product would be off by one bit for many.
    events["px"] = rows.price_ticks / round(1 / tick) if tick < 1 else rows.price_ticks * tick
    events["px"][kind == columns.CLEAR] = np.inf  # all of the side
    events["qty"] = rows.qty_lots / round(1 / lot) if lot < 1 else rows.qty_lots * lot
    return events


def write_folder(folder: Path, rows: MarketColumns, tick: float, lot: float) -> Path:
    """Write one data set for both drivers."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in COLUMNS:
        np.save(folder / f"{name}.npy", getattr(rows, name))
    np.savez(folder / "hftbacktest.npz", data=peer_events(rows, tick, lot))
    prices = rows.price_ticks[rows.price_ticks > 0]
    low = max(int(prices.min()) - ROI_TICKS, 0) * tick
    high = (int(prices.max()) + ROI_TICKS) * tick
    (folder / "steps.txt").write_text(f"{tick:.10f} {lot:.10f} {low:.10f} {high:.10f}\n")
    return folder


def synthetic_folder(rows: int, seed: int) -> Path:
    """Return the folder of a synthetic feed, made when it is missing."""
    folder = FOLDER / f"l2-{rows}-{seed}"
    if not (folder / "steps.txt").exists():
        write_folder(folder, synthetic_l2(rows, seed), TICK_SIZE, LOT_SIZE)
    return folder
