"""Break the code that guards money on purpose, one place at a time, and see whether a test notices.

Works in copies under build/mutate, so the tree in use is never touched. The sample is seeded: the same seed and code
give the same mutants. First every quick test of the room runs once while the functions that it enters are noted; each
mutant then meets only the tests that enter its function, what noticed its neighbors first, for --budget seconds of
processor time.

A mutant is noticed when a test fails, its module cannot be imported, or a test never ends, which is named. What says
nothing about the mutant (a process that was killed, pytest that broke down, a failure while the machine stood still) is
asked again and is never a mutant that was noticed; and a worker must first pass every test on the unchanged code.

A survivor is a missing test or a change that changes nothing. In LISTED_ROOMS each one must stand, with the reason, in
scripts/mutate/survivors.yaml; one that does not fails the run, whatever the score.

Usage: python -m scripts.mutate [--only riskd/gate.py riskd/holds.py] [--limit 60 | --limit 0 for all] [--seed 1]
       [--budget 20] [--threshold 0.9] [--jobs 2]
"""

from __future__ import annotations

import argparse
import os
import random
import sys
from collections import Counter

import yaml

from scripts.mutate.breaks import ROOT, Mutant, candidates, room_of
from scripts.mutate.run import TestMap, make_copy, run_room

REASONS = ROOT / "scripts" / "mutate" / "survivors.yaml"
LISTED_ROOMS = ("riskd",)


def known_survivors() -> dict[tuple[str, str, str], str]:
    """Return the reasons by (path, source line, change).

    Raises:
        ValueError: If an entry has no reason.
    """
    found: dict[tuple[str, str, str], str] = {}
    for entry in yaml.safe_load(REASONS.read_text(encoding="utf-8")) or []:
        reason = str(entry["reason"]).strip()
        if not reason:
            raise ValueError(f"{REASONS}: {entry['path']}: {entry['source']!r} has no reason")
        found[entry["path"], entry["source"], entry["change"]] = reason
    return found


def report(sample: list[Mutant], survivors: list[Mutant], threshold: float) -> bool:
    """Print the scores per module and what is wrong; True when nothing is."""
    ran, lived = Counter(str(m.path) for m in sample), Counter(str(m.path) for m in survivors)
    for path in sorted(ran):
        print(f"{path:<40} {ran[path] - lived[path]:>4} of {ran[path]:>4}  {1 - lived[path] / ran[path]:.0%}")
    known = known_survivors()
    listed = [mutant for mutant in survivors if str(room_of(mutant.path)) in LISTED_ROOMS]
    for mutant in [m for m in listed if m.key not in known]:
        print(f"not in {REASONS.name}: {mutant.path}:{mutant.line} {mutant.what}: {mutant.source}")
    alive = {mutant.key for mutant in survivors}
    for key in sorted({m.key for m in sample} & known.keys() - alive):
        print(f"noticed although it is in {REASONS.name}: take it out: {' | '.join(key)}")
    noticed = len(sample) - len(survivors)
    print(
        f"mutate: {noticed} of {len(sample)} noticed, {noticed / len(sample):.1%}; {len(listed)} with a reason needed"
    )
    return noticed >= threshold * len(sample) and all(mutant.key in known for mutant in listed)


def main() -> int:
    """Run a seeded sample of mutants and report the survivors."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", default=[], help="files or folders, for example riskd/gate.py")
    parser.add_argument("--limit", type=int, default=60, help="mutants to run; 0 = every one")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--budget", type=float, default=20.0, help="processor seconds of tests that a mutant may use")
    parser.add_argument("--threshold", type=float, default=0.9, help="smallest share of mutants that must be noticed")
    parser.add_argument("--jobs", type=int, default=min(2, os.cpu_count() or 1), help="mutants run side by side")
    options = parser.parse_args()

    pool = candidates(options.only)
    if not pool:
        print("mutate: nothing to break (no such module, or no tests for it yet)", file=sys.stderr)
        return 2
    sample = random.Random(options.seed).sample(pool, min(options.limit or len(pool), len(pool)))
    sample.sort(key=lambda mutant: (mutant.path, mutant.line))
    folders = [make_copy(number) for number in range(options.jobs)]
    survivors: list[Mutant] = []
    for room in sorted({room_of(mutant.path) for mutant in sample}):
        tests = TestMap(room, folders[0])
        if not tests.works:
            print(f"mutate: the tests of {room} fail without any change", file=sys.stderr)
            return 2
        chosen = [mutant for mutant in sample if room_of(mutant.path) == room]
        try:
            survivors += run_room(chosen, room, tests, folders, options.budget, lambda line: print(line, flush=True))
        except RuntimeError as error:
            print(f"mutate: {error}", file=sys.stderr)
            return 2
    return 0 if report(sample, survivors, options.threshold) else 1


if __name__ == "__main__":
    sys.exit(main())
