"""A demo that was recorded replays to the same decisions."""

from __future__ import annotations

import json
import shutil
import tempfile
from pathlib import Path

import pytest

from tests.support.system import run_command

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]


def test_a_recorded_demo_session_replays_without_a_difference() -> None:
    state = Path(tempfile.mkdtemp(prefix="tb-rep-", dir="/tmp"))
    env = {"HEADLESS": "1", "DURATION": "45", "SEED": "11"}
    demo = run_command("demo", "--state", str(state), "--set", "engine.record=true", env=env, timeout_s=220)
    assert demo.code == 0, demo.err
    done = run_command("replay", str(state), "--json")

    report = json.loads(done.out)

    assert done.code == 0, done.out
    assert report["differences"] == 0
    assert report["fault"] == ""
    assert report["inputs"] > 500
    assert report["decisions"] == json.loads(demo.out.strip().splitlines()[-1])["intents"] > 0
    shutil.rmtree(state)
