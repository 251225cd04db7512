"""Finds recorded real data: too big to ship, so it lies beside the project or where TRADEBOT_REAL_DATA points."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

VARIABLE = "TRADEBOT_REAL_DATA"
BESIDE_THE_PROJECT = Path(__file__).resolve().parents[2] / "../shared/data"


def real_data_file(relative: str) -> Path:
    """Return one recorded file, such as `history/binance_spot/<name>.log.gz`, or skip the test with a line.

    A variable that points nowhere is a mistake, not a reason to skip.
    """
    configured = os.environ.get(VARIABLE)
    folder = Path(configured) if configured else BESIDE_THE_PROJECT.resolve()
    if configured and not folder.is_dir():
        pytest.fail(f"{VARIABLE}={configured} is not a folder")
    path = folder / relative
    if not path.is_file():
        pytest.skip(f"real data {relative} is not here; set {VARIABLE} to the folder that holds it")
    return path
