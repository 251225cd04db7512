"""The ring behind a resumable stream, against a plain list."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tradebot.core.errors import InvariantError
from tradebot.runtime.sequenced_log import SequencedLog


@given(capacity=st.integers(1, 12), start=st.integers(0, 100), count=st.integers(0, 40), limit=st.integers(1, 50))
def test_it_keeps_the_newest_items_under_contiguous_numbers(capacity: int, start: int, count: int, limit: int) -> None:
    log: SequencedLog[int] = SequencedLog("life-1", capacity, start)
    numbers = [log.append(start + 1 + i) for i in range(count)]
    kept = numbers[-capacity:]

    assert numbers == list(range(start + 1, start + 1 + count))
    assert log.last_sequence == start + count
    assert log.first_sequence == start + count - len(kept) + 1
    for sequence in range(max(0, log.first_sequence - 1), log.last_sequence + 1):
        assert log.holds_after(sequence)
        assert log.after(sequence, limit) == [n for n in kept if n > sequence][:limit]


def test_a_point_that_is_gone_or_was_never_reached_cannot_be_resumed() -> None:
    log: SequencedLog[str] = SequencedLog("life-1", 2)
    for item in "abcd":
        log.append(item)

    assert [log.holds_after(sequence) for sequence in range(6)] == [False, False, True, True, True, False]
    with pytest.raises(InvariantError, match="outside"):
        log.after(1, 10)


def test_a_log_needs_room() -> None:
    with pytest.raises(InvariantError, match="capacity 0"):
        SequencedLog("life-1", 0)
