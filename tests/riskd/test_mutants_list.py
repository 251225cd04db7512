"""The list of mutants that survive speaks of code that is there."""

from __future__ import annotations

from scripts.mutate.__main__ import known_survivors
from scripts.mutate.breaks import candidates


def test_every_excused_mutant_exists_and_has_its_reason() -> None:
    known = known_survivors()
    found = {mutant.key for mutant in candidates(sorted({key[0] for key in known}))}

    assert known.keys() <= found, known.keys() - found
    assert all(len(reason) > 10 for reason in known.values())
