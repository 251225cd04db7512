"""The worked example in the docs runs as written."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
PAGE = ROOT / "docs/your-first-compiled-strategy.md"


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_the_documented_strategy_runs_as_written(tmp_path: Path) -> None:
    strategy, program = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    (tmp_path / "first_maker.py").write_text(strategy)
    (tmp_path / "research.py").write_text(program)
    environment = {**os.environ, "PYTHONPATH": f"{ROOT}{os.pathsep}{tmp_path}"}

    done = subprocess.run(
        (sys.executable, str(tmp_path / "research.py")), capture_output=True, text=True, env=environment, check=True
    )

    lines = [line.split() for line in done.stdout.splitlines()]
    assert [line[0] for line in lines] == ["2", "5", "10"]
    fills = [int(line[2]) for line in lines]
    assert fills[0] > fills[1] > fills[2] > 0  # a wider quote trades less
