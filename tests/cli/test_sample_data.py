"""Recordings of the synthetic market."""

from __future__ import annotations

import gzip
import json
from itertools import pairwise
from pathlib import Path
from typing import Any

from backtest.recording import read_lines
from cli.sample_data import write_sample


def frames(path: Path) -> list[tuple[int, Any]]:
    with gzip.open(path) as file:
        return [(int(stamp), json.loads(raw)) for stamp, _, raw in (line.partition(b" ") for line in file)]


def test_the_same_arguments_write_the_same_bytes_and_another_seed_another_market(tmp_path: Path) -> None:
    one, two, other = (tmp_path / name for name in ("one.log.gz", "two.log.gz", "other.log.gz"))
    lines = write_sample(one, 5, 10, ("BTCUSDT",))
    write_sample(two, 5, 10, ("BTCUSDT",))
    write_sample(other, 6, 10, ("BTCUSDT",))

    assert lines > 100
    assert one.read_bytes() == two.read_bytes()
    assert one.read_bytes() != other.read_bytes()


def test_a_name_without_gz_gets_plain_lines_that_a_backtest_reads(tmp_path: Path) -> None:
    plain, packed = tmp_path / "sample.log", tmp_path / "sample.log.gz"
    for path in (plain, packed):
        write_sample(path, 5, 10, ("BTCUSDT",))

    assert plain.read_bytes() == gzip.decompress(packed.read_bytes())
    assert list(read_lines(plain)) == list(read_lines(packed))


def test_a_recording_bridges_its_snapshot_and_its_diffs_are_contiguous(tmp_path: Path) -> None:
    path = tmp_path / "sample.log.gz"
    write_sample(path, 5, 20, ("BTCUSDT", "ETHUSDT"))
    recorded = frames(path)
    diffs = [frame["data"] for _, frame in recorded if frame.get("stream") == "btcusdt@depth@100ms"]
    snapshots = [frame["lastUpdateId"] for _, frame in recorded if "stream" not in frame]
    stamps = [stamp for stamp, _ in recorded]

    assert stamps == sorted(stamps)
    assert len(snapshots) == 2
    assert diffs[0]["U"] <= snapshots[0] + 1
    assert any(diff["U"] <= snapshots[0] + 1 <= diff["u"] for diff in diffs) or diffs[0]["u"] == snapshots[0]
    assert all(later["U"] == earlier["u"] + 1 for earlier, later in pairwise(diffs))
