"""Runs pytest again and again without starting Python each time: `python -m scripts.mutation_server MODULES_FILE`.

Everything that no mutant changes is imported once; each request forks, and the child imports what may be changed. A
request is one line of JSON on stdin, {"targets": [...], "environment": {...}, "timeout_s": n}; the answer is one line
with pytest's exit code, TIMED_OUT, or STOOD_STILL.
"""

from __future__ import annotations

import importlib
import json
import os
import signal
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

OPTIONS: Final = (
    "-x", "-q", "-p", "no:cacheprovider", "-p", "scripts.mutation_plugin",
    "-m", "not slow and not component and not volume",
    "--hypothesis-seed=0", "--timeout=0",
)  # fmt: skip
"""Hypothesis draws the same examples each time. No test has a time-out of its own: a machine that stands still is no
failed test.
"""
TIMED_OUT: Final = 124
STOOD_STILL: Final = 125
"""Something failed, and the machine stood still meanwhile: a test that waits in real time may fail of that alone."""
_POLL_S: Final = 0.02
_STILL_S: Final = 2.0
_STEP_S: Final = 0.1
"""Most of a time-out that one poll may use up: a machine that stood still for minutes is no endless loop."""


def run_once(targets: list[str], environment: dict[str, str]) -> int:
    """Run the tests in this process."""
    import pytest

    os.environ.update(environment)
    return int(pytest.main([*OPTIONS, *targets]))


def _run_forked(request: dict[str, Any]) -> int:
    child = os.fork()
    if child == 0:
        quiet = os.open(os.devnull, os.O_RDWR)
        for stream in (0, 1, 2):
            os.dup2(quiet, stream)
        code = 3
        try:
            code = run_once(request["targets"], request["environment"])
        finally:
            os._exit(code)
    left_s, before_s, stood_still = float(request["timeout_s"]), time.monotonic(), False
    while left_s > 0:
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            code = os.waitstatus_to_exitcode(status)
            return STOOD_STILL if code and stood_still else code
        time.sleep(_POLL_S)
        now_s = time.monotonic()
        stood_still = stood_still or now_s - before_s > _STILL_S
        left_s, before_s = left_s - min(now_s - before_s, _STEP_S), now_s
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return TIMED_OUT


def main() -> None:
    """Import, then serve until stdin ends."""
    for name in json.loads(Path(sys.argv[1]).read_text()):
        with suppress(Exception):  # it is imported later, where it is needed: only speed is lost
            importlib.import_module(name)
    for line in sys.stdin:
        print(_run_forked(json.loads(line)), flush=True)


if __name__ == "__main__":
    main()
