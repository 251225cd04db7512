"""Compiled code is kept on disk: a second process compiles nothing, and a changed kernel compiles again."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
STRATEGY = """
from tradebot.sim.kernels import api, layout as at
from tradebot.sim.kernels.jit import compiled

@compiled
def strategy(sim):
    market = api.market(sim, 0)
    api.elapse(sim, 1)
    api.submit_buy(market, 99, 1, at.GTC)
    while api.elapse(sim, 10):
        pass
    return api.order_status(market, api.order_at(market, 0))
"""
PROGRAM = """
import json, sys
sys.path.insert(0, sys.argv[1])
from numba.core import event
from numba.core.compiler_lock import global_compiler_lock
compiled = []
class Listener(event.Listener):
    def on_start(self, e): compiled.append(str(e.data["dispatcher"]))
    def on_end(self, e): pass
event.register("numba:compile", Listener())
from tests.sim.kernels.kit import Happening, make_columns, make_simulator
from tests.sim.kernels.reference import Model
import user_strategy
rows = make_columns([Happening(100, 101, 1, True, 99, 5), Happening(110, 111, 2, False, 99, 6)])
status = make_simulator(rows, Model()).run(user_strategy.strategy)
print(json.dumps({"status": status, "compiled": compiled}))
"""


def run_process(folder: Path) -> dict[str, object]:
    environment = {**os.environ, "NUMBA_CACHE_DIR": str(folder / "cache"), "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        (sys.executable, "-c", PROGRAM, str(folder)), capture_output=True, text=True, env=environment, check=True
    )
    result: dict[str, object] = json.loads(done.stdout)
    return result


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_a_second_process_compiles_nothing(tmp_path: Path) -> None:
    (tmp_path / "user_strategy.py").write_text(STRATEGY)

    first, second = run_process(tmp_path), run_process(tmp_path)

    assert first["status"] == second["status"] == 3
    assert first["compiled"]
    assert second["compiled"] == []


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_a_changed_strategy_is_compiled_again(tmp_path: Path) -> None:
    path = tmp_path / "user_strategy.py"
    path.write_text(STRATEGY)
    run_process(tmp_path)
    path.write_text(STRATEGY.replace("submit_buy(market, 99,", "submit_buy(market, 98, "))

    changed = run_process(tmp_path)

    assert changed["status"] == 1
    assert len(changed["compiled"]) == 1  # type: ignore[arg-type]
