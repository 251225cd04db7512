"""The table of causes, the page made from it, and the code agree."""

from __future__ import annotations

import ast

import pytest

from riskd.causes import ALARM_MEANINGS, all_causes, is_known
from riskd.holds import ALARMS
from riskd.holds_page import render_page
from tests.riskd.kit import ROOT


def test_the_docs_page_is_current() -> None:
    page = (ROOT / "docs" / "holds.md").read_text(encoding="utf-8")

    assert page == render_page(), "run: python -m riskd.holds_shell > docs/holds.md"


def test_every_alarm_has_its_meaning() -> None:
    assert set(ALARM_MEANINGS) == set(ALARMS)


def test_causes_are_unique_and_say_everything() -> None:
    specs = all_causes()

    assert len({spec.cause for spec in specs}) == len(specs)
    assert all(spec.level and spec.scope and spec.release and spec.meaning and spec.ending for spec in specs)


def raised_causes() -> set[str]:
    """Return every cause that riskd's code names in a raise, and those of the guards."""
    found: set[str] = set()
    for path in (ROOT / "riskd").glob("*.py"):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        constants = {
            target.id: node.value.value
            for node in ast.walk(tree)
            if isinstance(node, ast.AnnAssign | ast.Assign) and isinstance(node.value, ast.Constant)
            for target in ([node.target] if isinstance(node, ast.AnnAssign) else node.targets)
            if isinstance(target, ast.Name)
        }
        for node in ast.walk(tree):
            if not isinstance(node, ast.Call):
                continue
            name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
            place = {"raise_": 2, "Trip": 0}.get(name)
            if place is None or len(node.args) <= place:
                continue
            cause = node.args[place]
            if isinstance(cause, ast.Constant) and isinstance(cause.value, str):
                found.add(cause.value)
            elif isinstance(cause, ast.Name) and isinstance(constants.get(cause.id), str):
                found.add(str(constants[cause.id]))
    return found


def test_every_cause_that_the_code_raises_is_in_the_table() -> None:
    found = raised_causes()

    assert len(found) >= 10
    assert {cause for cause in found if not is_known(cause)} == set()


def test_every_alarm_of_execd_has_its_rule() -> None:
    """One without a rule pauses until an all-clear that execd never sends, and nobody may clear it by hand."""
    found: set[str] = set()
    for path in (ROOT / "execd").glob("*.py"):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        for node in ast.walk(tree):
            if isinstance(node, ast.Call) and getattr(node.func, "attr", "") == "alarm":
                found |= {str(c.value) for c in node.args[1:2] if isinstance(c, ast.Constant)}
            elif isinstance(node, ast.Assign | ast.AnnAssign) and node.value is not None:
                names = [node.target] if isinstance(node, ast.AnnAssign) else node.targets
                if any(getattr(n, "id", "") in ("cause", "UNPROTECTED", "MISMATCH", "UNRESOLVED") for n in names):
                    values = (node.value, getattr(node.value, "body", None), getattr(node.value, "orelse", None))
                    found |= {str(c.value) for c in values if isinstance(c, ast.Constant)}

    assert len(found) >= 9
    assert found - set(ALARMS) == set()


@pytest.mark.parametrize("cause", ["AFTER_PNL-03", "POS-02_HARD", "NO_SESSION", "FILL_ANOMALY", "AFTER_STOP"])
def test_derived_causes_are_known(cause: str) -> None:
    assert is_known(cause)


def test_what_is_not_in_the_table_is_not_known() -> None:
    assert not is_known("SOMETHING_ELSE")
