"""Every built check just inside, exactly at and just outside its limit. `at` is allowed.

Each edge builds its own desk and gives one answer; what is judged is the named check alone, among all violations.
"""

from __future__ import annotations

import pytest

from riskd.catalogue import CATALOGUE
from tests.riskd.edges import (
    conduct_edges,
    liquidity_edges,
    margin_edges,
    market_edges,
    rate_edges,
    readiness_edges,
    size_edges,
    specification_edges,
    state_edges,
)
from tests.riskd.edges.kit import EDGES, Edge
from tests.riskd.kit import violations

FAMILIES = (
    state_edges, market_edges, liquidity_edges, specification_edges, size_edges, margin_edges, conduct_edges,
    rate_edges, readiness_edges,
)  # fmt: skip
"""Importing them registers their edges."""


@pytest.mark.parametrize("case", EDGES, ids=lambda case: f"{case.check_id}-{case.label}")
def test_a_check_holds_exactly_at_its_edge(case: Edge) -> None:
    answer = case.ask()
    found = {hit.check_id: hit.reason for hit in answer.soft_hits} if case.soft else violations(answer)

    assert found.get(case.check_id) == case.reason, (answer.detail, found)
    assert case.reason is None or (answer.approval is not None) is case.soft


def test_every_built_check_has_edges_on_both_sides() -> None:
    built = {spec.check_id for spec in CATALOGUE if spec.asked}

    assert {case.check_id for case in EDGES if case.reason is None} == built
    assert {case.check_id for case in EDGES if case.reason is not None} == built


def test_every_reason_of_a_built_check_was_seen() -> None:
    seen = {(case.check_id, case.reason) for case in EDGES}
    missing = [
        (spec.check_id, reason)
        for spec in CATALOGUE if spec.asked
        for reason in spec.reasons if (spec.check_id, reason) not in seen
    ]  # fmt: skip

    assert not missing
