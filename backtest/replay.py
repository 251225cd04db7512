"""`tradebot replay SESSION`: a recorded session through today's engine core; every decision has to be the same."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

import msgspec

from engine.catalog import load_catalog, make_settings
from engine.runner import EngineCore, EngineOptions
from engine.session import Began, Wanted, tell, wanted
from engine.session_shell import SUFFIX, read_session
from tradebot.core.errors import ConfigError, TradebotError

MAX_SHOWN: Final = 20
"""Differences listed in the report; all are counted."""
_NOTHING: Final = Wanted((), ())


@dataclass(frozen=True, slots=True)
class Difference:
    """One input after which something else was wanted."""

    record: int
    """Its place in the session, from 1."""
    input: str
    now_ns: int
    """Time of the input, 0 when it has none."""
    recorded: str
    replayed: str


@dataclass(frozen=True, slots=True)
class ReplayReport:
    """How a replay compares with what happened."""

    session: str
    inputs: int
    decisions: int
    """Intents and cancels in the session."""
    differences: int
    shown: tuple[Difference, ...]
    fault: str = ""
    """What ended the replay early."""

    @property
    def is_same(self) -> bool:
        return not self.differences and not self.fault

    def lines(self) -> list[str]:
        """Return the report for people."""
        verdict = "the same decisions" if self.is_same else f"{self.differences} DIFFERENCES"
        return [
            f"replay          {self.session}: {self.inputs} inputs, {self.decisions} decisions, {verdict}",
            *(
                f"record {one.record} ({one.input} at {one.now_ns}): recorded {one.recorded}, replayed {one.replayed}"
                for one in self.shown
            ),
            *([f"ended early     {self.fault}"] if self.fault else []),
        ]


def replay(path: Path) -> ReplayReport:
    """Replay one session file.

    Raises:
        ConfigError: If it is no session, or its strategies are not there any more.
    """
    records = read_session(path)
    first = next(records, None)
    if not isinstance(first, Began):
        raise ConfigError(f"{path}: an empty session: the engine ended before it began")
    core = _make_core(first)
    inputs = decisions = differences = 0
    shown: list[Difference] = []
    number, fault = 1, ""
    pending: tuple[int, Any, Wanted] | None = None

    def settle(recorded: Wanted) -> None:
        nonlocal differences, pending
        if pending is None:
            return
        at, record, replayed = pending
        pending = None
        if recorded != replayed:
            differences += 1
            if len(shown) < MAX_SHOWN:
                now_ns = getattr(record, "now_ns", 0)
                shown.append(Difference(at, type(record).__name__, now_ns, _text(recorded), _text(replayed)))

    for number, record in enumerate(records, 2):
        if isinstance(record, Wanted):
            decisions += len(record.intents) + len(record.cancels)
            settle(record)
            continue
        settle(_NOTHING)
        if isinstance(record, Began):
            raise ConfigError(f"{path}: record {number} begins a second session in the same file")
        inputs += 1
        try:
            pending = (number, record, wanted(tell(core, record)))
        except TradebotError as exc:
            fault = f"record {number}: {exc}"
            break
    settle(_NOTHING)
    return ReplayReport(path.name, inputs, decisions, differences, tuple(shown), fault)


def find_session(path: Path) -> Path:
    """Return a session file: the path itself, or the newest one of a state folder.

    Raises:
        ConfigError: If there is none.
    """
    if path.is_dir():
        found = sorted(path.glob(f"**/*{SUFFIX}"), key=lambda one: one.stat().st_mtime_ns)
        if not found:
            raise ConfigError(f"{path}: no session in it; record one with engine.record: true")
        return found[-1]
    if not path.is_file():
        raise ConfigError(f"{path}: no such session")
    return path


def _make_core(began: Began) -> EngineCore:
    catalog = load_catalog(began.strategy_path)
    settings = [
        make_settings(catalog, one.id, one.kind, one.instruments, one.params, one.enabled) for one in began.strategies
    ]
    options = EngineOptions(began.bar_grace_ns, began.isolate_faults)
    return EngineCore(settings, catalog, began.incarnation, options)


def _text(one: Wanted) -> str:
    if one == _NOTHING:
        return "nothing"
    return msgspec.json.encode(one).decode()


def main(argv: Sequence[str] | None = None) -> int:
    """Replay and return the exit code: 0 the same, 1 differences, 2 something to correct."""
    parser = argparse.ArgumentParser(prog="python -m backtest.replay", description=__doc__)
    parser.add_argument("session", type=Path, help="session file, or the state folder that holds it")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    args = parser.parse_args(argv)
    try:
        report = replay(find_session(args.session))
    except ConfigError as exc:
        print(f"replay: {exc}", file=sys.stderr)
        return 2
    print(json.dumps(asdict(report) | {"ok": report.is_same}) if args.json else "\n".join(report.lines()))
    return 0 if report.is_same else 1


if __name__ == "__main__":
    sys.exit(main())
