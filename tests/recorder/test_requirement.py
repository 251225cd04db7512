"""When the recorder's own hold must stand."""

from __future__ import annotations

from recorder.requirement import Requirement


def test_two_looks_in_a_row_at_a_failing_database_raise_the_hold_once() -> None:
    own = Requirement()
    assert [own.must_raise(failure) for failure in ("disk full", "", "disk full", "disk full")] == [
        False, False, False, True,
    ]  # fmt: skip
    own.hold_id = "H1"

    assert not own.must_raise("disk full")
    assert not own.must_clear("disk full")
    assert own.must_clear("")


def test_only_a_hold_of_its_own_is_taken_for_its_own() -> None:
    own = Requirement()
    own.told("RECORDER", "ana", "H1")
    own.told("OPERATOR", "recorder", "H2")
    assert not own.must_clear("")
    own.told("RECORDER", "recorder", "H3")

    assert own.must_clear("")
    assert own.hold_id == "H3"
