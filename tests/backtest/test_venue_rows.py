"""Rows on the venue's clock: each as early as it happened, no book torn, nothing of the future received."""

from __future__ import annotations

import random
from collections.abc import Iterator

import numpy as np
import pytest

from backtest.venue_rows import MAX_TRAVEL_NS, VenueClock, VenueRows
from tradebot.core.market import RowColumns, RowKind
from tradebot.core.row_block import EVENT_TIME, ID, INSTRUMENT, RECEIVE_TIME, RowBlock

MS = 1_000_000
T0 = 1_760_000_000_000_000_000


def block(*rows: tuple[int, int, int]) -> RowBlock:
    """Rows as (market, milliseconds of the event or None, milliseconds of receipt); the id says which one it is."""
    columns = RowColumns()
    for number, (market, event_ms, received_ms) in enumerate(rows):
        event_ns = T0 + event_ms * MS if event_ms >= 0 else 0
        columns.append((int(RowKind.TRADE), market, 5, 100, 1, number, event_ns, T0 + received_ms * MS))
    return RowBlock.of(columns)


def milliseconds(times: object) -> list[int]:
    found: list[int] = ((np.asarray(times) - T0) // MS).tolist()
    return found


def random_rows(seed: int, rows: int = 3_000) -> RowBlock:
    rng = random.Random(seed)
    latency, found, at_ms = [rng.choice((2, 40, 900)) for _ in range(3)], [], 0
    for _ in range(rows):
        at_ms += rng.choice((0, 0, 1, 7, 30))
        market = rng.randrange(3)
        late = latency[market] + rng.randrange(20)
        found.append((market, rng.choice((at_ms - late, at_ms - late, -1)) + 1_000, at_ms + 1_000))
    return block(*found)


def cut_up(rows: RowBlock, size: int) -> Iterator[tuple[RowBlock, int]]:
    """Batches of whole moments."""
    start = 0
    while start < len(rows):
        stop = rows.first_after(rows.time_ns(min(start + size, len(rows)) - 1), start)
        yield RowBlock(rows.data[:, start:stop].copy()), rows.time_ns(stop - 1)
        start = stop


def played(rows: RowBlock, size: int, end_ns: int | None = None) -> tuple[RowBlock, list[int]]:
    """Return what the venue got, in order, and the ids of what was received."""
    taken: list[RowBlock] = []
    received: list[int] = []
    for part, complete_ns in VenueRows(cut_up(rows, size), 3, taken.append).received(end_ns):
        happened = VenueClock(3).happened_ns(rows)
        got = sum(int((one.data[RECEIVE_TIME] <= complete_ns).sum()) for one in taken)
        assert got == int((happened <= complete_ns).sum())  # the venue lacks nothing up to here
        received += part.data[ID].tolist()
    return RowBlock(np.concatenate([one.data for one in taken], axis=1)), received


def test_a_row_happens_at_its_exchange_time() -> None:
    assert milliseconds(VenueClock(1).happened_ns(block((0, 100, 160), (0, 140, 190)))) == [100, 140]


def test_a_row_that_overtook_another_of_its_market_does_not_tear_the_book() -> None:
    assert milliseconds(VenueClock(2).happened_ns(block((0, 150, 160), (0, 100, 170), (1, 120, 180)))) == [
        150,
        150,
        120,
    ]


def test_a_row_without_an_exchange_time_travelled_as_long_as_the_one_before_it() -> None:
    rows = block((0, -1, 90), (0, 100, 160), (0, -1, 170), (0, 175, 175), (1, -1, 180))

    assert milliseconds(VenueClock(2).happened_ns(rows)) == [90, 100, 110, 115, 180]


def test_a_row_that_took_too_long_is_taken_to_have_travelled_the_bound_and_said_so() -> None:
    clock = VenueClock(1)
    bound_ms = MAX_TRAVEL_NS // MS

    assert milliseconds(clock.happened_ns(block((0, 100, 101 + bound_ms)))) == [101]
    assert clock.warnings(["x:A"]) == ["x:A: 1 rows took more than 5 s to arrive: taken as 5 s"]


@pytest.mark.parametrize(
    ("event_ms", "reason"),
    [(-1, "no exchange times"), (100, "no exchange times"), (150, "exchange times are later than receipt")],
)
def test_data_that_do_not_say_when_rows_happened_are_played_by_receipt_and_the_report_says_so(
    event_ms: int, reason: str
) -> None:
    clock = VenueClock(2)

    assert milliseconds(clock.happened_ns(block((0, event_ms, 100), (1, 90, 101)))) == [100, 90]
    (warning,) = clock.warnings(["x:A", "x:B"])
    assert warning.startswith(f"x:A: {reason}")
    assert "takers do better than live" in warning


def test_a_clock_that_was_behind_for_a_part_of_the_data_is_told_beyond_one_row_in_a_hundred() -> None:
    for early, told in ((2, 0), (3, 1)):
        clock = VenueClock(1)
        clock.happened_ns(block(*((0, at + (50 if at <= early else -1), at) for at in range(1, 201))))

        found = clock.warnings(["x:A"])
        assert len(found) == told
        assert all(f"x:A: {early} of 200 exchange times are later than receipt" in text for text in found)


@pytest.mark.parametrize("seed", range(4))
def test_the_venue_gets_every_row_once_in_order_of_happening_however_the_data_are_cut_into_batches(seed: int) -> None:
    rows = random_rows(seed)
    one, ids = played(rows, 10_000)
    other, other_ids = played(rows, 37)

    assert np.array_equal(one.data, other.data)
    assert ids == other_ids == list(range(len(rows)))
    times = one.data[RECEIVE_TIME]
    assert (np.diff(times) >= 0).all()
    original = rows.data[:, one.data[ID]]
    assert (times <= original[RECEIVE_TIME]).all()
    assert sorted(one.data[ID].tolist()) == ids
    for market in range(3):
        of_market = one.data[ID][one.data[INSTRUMENT] == market]
        assert (np.diff(of_market) > 0).all()  # as received
        assert (original[EVENT_TIME] == one.data[EVENT_TIME]).all()


def test_a_run_that_ends_receives_and_plays_nothing_later() -> None:
    rows = random_rows(9)
    end_ns = rows.time_ns(len(rows) // 2)
    venue, ids = played(rows, 50, end_ns)

    assert ids == list(range(rows.first_after(end_ns)))
    happened = VenueClock(3).happened_ns(rows)
    assert sorted(venue.data[ID].tolist()) == np.flatnonzero(happened <= end_ns).tolist()
