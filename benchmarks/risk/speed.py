"""risk_decision and journal_replay.

Each round is a fresh process, started as the daemon is: `python -m benchmarks.risk.speed decide`, or
`write|read|replay|fold FOLDER`.
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, Final

from benchmarks.figures import Figure, figure, median, percentile, say
from benchmarks.floors import round_trip
from benchmarks.processes import Group
from benchmarks.risk.desk import INSTRUMENTS, SIGNER, VENUE, WORKING, Desk, all_checks
from riskd.gate import RiskGate
from riskd.records import MemorySink
from riskd.snapshot_shell import EVERY_RECORDS, Following, SnapshotStore, take
from tradebot.runtime.build import build_hash
from tradebot.runtime.clock import SystemClock
from tradebot.runtime.collector import hold_collector, settle_collector
from tradebot.runtime.journal import Journal
from tradebot.runtime.journal_checkpoints import load_or_create_key
from tradebot.runtime.journal_reader import read_journal

DECISION_ID: Final = "risk_decision"
REPLAY_ID: Final = "journal_replay"
ROUNDS: Final = 5
FLOOR_SECONDS: Final = 2.0
WARM_UP_ORDERS: Final = 300
ORDERS: Final = 2_000
JOURNAL_ORDERS: Final = 24_000
"""Entries of the journal that is replayed: some 6 records each with their exits."""
START_NS: Final = 1_763_700_000 * 1_000_000_000
RUN_TIMEOUT_S: Final = 300.0


def decision() -> list[Figure]:
    """risk_decision: median time from an ask to its signed answer, beside a bare stream round trip."""
    floors: list[float] = []
    mine: list[float] = []
    slowest: list[float] = []
    checks = 0
    for number in range(ROUNDS):
        say(f"risk decision, round {number + 1} of {ROUNDS}")
        floors.append(round_trip.measure(FLOOR_SECONDS).p50)
        told = _run("decide")
        mine.append(told["p50_us"])
        slowest.append(told["p99_us"])
        checks = told["checks"]
    note = (
        f"{checks} checks per entry, {INSTRUMENTS} instruments, {WORKING} working orders; "
        f"p99 {median(slowest):.0f} us; the reference is one message of 100 bytes there and back over grpc.aio"
    )
    return [figure(DECISION_ID, mine, floors, 0.6, 0.3, "lower", "us", note)]


def replay() -> list[Figure]:
    """journal_replay: megabytes per second of a start-up, beside reading and checksumming the same bytes.

    The start finds the oldest snapshot that a riskd in use leaves: EVERY_RECORDS before the end.
    """
    floors: list[float] = []
    mine: list[float] = []
    folded: list[float] = []
    with tempfile.TemporaryDirectory(prefix="tb-replay-") as folder:
        say("writing a journal")
        told = _run("write", folder)
        for number in range(ROUNDS):
            say(f"journal replay, round {number + 1} of {ROUNDS}")
            floors.append(told["bytes"] / _run("read", folder)["seconds"] / 1e6)
            mine.append(told["bytes"] / _run("replay", folder)["seconds"] / 1e6)
            folded.append(told["bytes"] / _run("fold", folder)["seconds"] / 1e6)
    note = (
        f"{told['records']:,} records of {told['bytes'] / told['records']:.0f} bytes, all verified, the last "
        f"{EVERY_RECORDS:,} folded on a snapshot; all of them folded: {median(folded):.0f} MB/s, "
        f"{median(folded) / median(floors):.3f} of the reference"
    )
    return [figure(REPLAY_ID, mine, floors, 0.3, 0.3, "higher", "MB/s", note)]


def _run(*arguments: str) -> dict[str, Any]:
    with Group() as group:
        member = group.start([sys.executable, "-m", "benchmarks.risk.speed", *arguments])
        told: dict[str, Any] = json.loads(member.wait_line("RESULT ", RUN_TIMEOUT_S)[7:])
        return told


# ---- one round


def _decide() -> dict[str, Any]:
    desk = Desk(MemorySink(), START_NS)
    desk.open()
    desk.live(WARM_UP_ORDERS)
    settle_collector()
    desk.decide_ns.clear()
    desk.live(ORDERS)
    if len(desk.gate.state.rules) != INSTRUMENTS or len(desk.gate.state.commitments.orders) != WORKING:
        raise RuntimeError("the desk does not stand as it should")
    steps = desk.gate.decider.decisions
    last = desk.gate.decider.find(next(reversed(steps)))
    return {
        "p50_us": percentile(desk.decide_ns, 0.5) / 1e3,
        "p99_us": percentile(desk.decide_ns, 0.99) / 1e3,
        "checks": 0 if last is None else len(last.checks),
    }


def _write(folder: Path) -> dict[str, Any]:
    directory, store, limits = folder / "journal", _store(folder), all_checks()
    with Journal.open(directory, clock=SystemClock()) as journal:
        desk = Desk(journal, START_NS)
        desk.open()
        begun = journal.appended_seq
        for number in range(JOURNAL_ORDERS // WORKING):
            desk.live(WORKING)
            journal.flush()
            each = (journal.appended_seq - begun) / (number + 1)
            if not store.newest_seq() and each * (JOURNAL_ORDERS // WORKING - 1 - number) <= EVERY_RECORDS:
                take(store, directory, limits)
        records = journal.appended_seq
    size = sum(len(record.payload) for record in read_journal(directory))
    return {"records": records, "bytes": size, "snapshot": store.newest_seq()}


def _store(folder: Path) -> SnapshotStore:
    return SnapshotStore(
        folder / "snapshots", load_or_create_key(folder / "keys"), "riskd demo", all_checks(), build_hash()
    )


def _read(folder: Path) -> dict[str, Any]:
    began_s = time.perf_counter()
    count = sum(1 for _ in read_journal(folder / "journal"))
    return {"seconds": time.perf_counter() - began_s, "records": count}


def _replay(folder: Path, snapshots: SnapshotStore | None) -> dict[str, Any]:
    began_s = time.perf_counter()
    snapshot = snapshots.newest() if snapshots else None
    gate = RiskGate(
        all_checks(), environment="demo", signer=SIGNER, sink=MemorySink(), venues=(VENUE,),
        state=snapshot.state if snapshot else None,
    )  # fmt: skip
    following = Following(snapshot, gate.restore_one)
    for record in read_journal(folder / "journal"):
        following.record(record)
    gate.finish_restore()
    if not following.confirmed or (snapshots is not None and snapshot is None):
        raise RuntimeError("the start found no snapshot")
    return {"seconds": time.perf_counter() - began_s, "digest": gate.state.digest()}


if __name__ == "__main__":
    hold_collector()
    match sys.argv[1:]:
        case ["decide"]:
            result = _decide()
        case ["write", directory]:
            result = _write(Path(directory))
        case ["read", directory]:
            result = _read(Path(directory))
        case ["replay", directory]:
            result = _replay(Path(directory), _store(Path(directory)))
        case ["fold", directory]:
            result = _replay(Path(directory), None)
        case _:
            sys.exit("usage: python -m benchmarks.risk.speed decide | write|read|replay|fold FOLDER")
    print(f"RESULT {json.dumps(result)}", flush=True)
