"""What the market can carry, as far as riskd sees it: sizes are cut to it, and what is not seen allows nothing."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest

from riskd.references import MIN_SOURCES, reference_of
from riskd.units import to_units
from riskd.volume_trail import MAX_SAMPLES, VolumeTrail
from tests.riskd.kit import BTC, LIQUID, SECOND, Desk, make_test_limits, violations
from tests.support.builders import make_instrument
from tradebot.core.market import RowKind

MINUTE = 60


@pytest.mark.parametrize(("check_id", "lots", "cut"), [("MKT-06", 1_500, "0.005"), ("SIZ-04", 2_500, "0.005")])
def test_a_size_of_riskd_is_cut_to_what_the_market_can_carry(check_id: str, lots: int, cut: str) -> None:
    desk = Desk(limits=make_test_limits({check_id: LIQUID[check_id]}))
    desk.liquid(3, lots=lots)  # two of the three seconds lie between samples
    answer = desk.plain(qty=None)

    assert (answer.approved_qty, answer.binding_limit) == (Decimal(cut), check_id)


@pytest.mark.parametrize("check_id", ["MKT-06", "SIZ-04"])
def test_where_nothing_useful_fits_nothing_is_sized(check_id: str) -> None:
    desk = Desk(limits=make_test_limits({check_id: LIQUID[check_id]}))
    desk.liquid(3, lots=2)
    answer = desk.plain(qty=None)

    assert answer.approval is None
    assert list(violations(answer)) == [check_id]


def no_volumes(desk: Desk) -> None:
    desk.gate.board.volumes.clear()


def no_samples(desk: Desk) -> None:
    samples_of(desk).clear()


def old_samples(desk: Desk) -> None:
    respell(desk, lambda at, traded: (at - 10 * SECOND, traded))


def samples_to_come(desk: Desk) -> None:
    respell(desk, lambda at, traded: (at + 10 * SECOND, traded))


def nothing_traded(desk: Desk) -> None:
    respell(desk, lambda at, _: (at, 0))


def less_than_nothing(desk: Desk) -> None:
    respell(desk, lambda at, traded: (at, -traded))


def samples_of(desk: Desk) -> deque[tuple[int, int]]:
    return desk.gate.board.volumes[BTC]._samples


def respell(desk: Desk, change: Callable[[int, int], tuple[int, int]]) -> None:
    samples = samples_of(desk)
    changed = [change(*sample) for sample in samples]
    samples.clear()
    samples.extend(changed)


SPOILS = (no_volumes, no_samples, old_samples, samples_to_come, nothing_traded, less_than_nothing)


@pytest.mark.parametrize("spoil", SPOILS, ids=lambda spoil: spoil.__name__)
def test_a_volume_that_is_missing_or_absurd_allows_no_order(spoil: Callable[[Desk], None]) -> None:
    desk = Desk(limits=make_test_limits({"SIZ-04": LIQUID["SIZ-04"]}))
    desk.liquid(3)
    assert desk.plain().approval is not None
    spoil(desk)

    assert "SIZ-04" in violations(desk.plain())
    assert desk.plain(qty=None).approval is None


@pytest.mark.parametrize(
    "spoiled",
    [
        {"bid": 0}, {"ask": 0}, {"bid": -1}, {"state": 0}, {"ask_qty": 0}, {"ask_qty": -1}, {"ask": 70_000 * 10**12},
        {"bid": 50_000 * 10**12},
    ],
    ids=str,
)  # fmt: skip
def test_a_book_that_is_missing_or_absurd_allows_no_slippage(spoiled: dict[str, Any]) -> None:
    """The bound is 16 bps: half a spread of nothing, or all of it at a limit 17 bps away."""
    desk = Desk(limits=make_test_limits({"PRC-03": LIQUID["PRC-03"] | {"max_slippage_bps": 16}}))
    desk.liquid()
    assert desk.plain(limit_price="60102").approval is not None
    for name, value in spoiled.items():
        setattr(desk.gate.board.views[BTC], name, value)

    assert {"PRC-01", "PRC-03"} & violations(desk.plain(limit_price="60102")).keys()


def test_trades_of_a_minute_are_added_up_once_a_second_within_a_bound() -> None:
    trail = VolumeTrail()
    for tenth in range(10 * 2 * MINUTE + 1):
        trail.add(tenth, tenth * SECOND // 10)

    assert trail.minute() == 10 * MINUTE
    assert len(trail._samples) <= MAX_SAMPLES
    trail.add(9_999, SECOND)  # the clock was set back
    assert trail.minute() == 0


@pytest.mark.parametrize(
    ("told", "expected"),
    [
        ([], None), ([(100, 50)], None), ([(100, 50), (0, 50)], None), ([(100, 50), (-5, 50)], None),
        ([(100, 50), (103, 50)], 101), ([(100, 50), (103, 50), (900, 50)], 103),
        ([(1, 50), (100, 50), (104, 50), (900, 50)], 102),
    ],
)  # fmt: skip
def test_the_reference_is_the_median_of_two_sources_or_more(told: list[tuple[int, int]], expected: int | None) -> None:
    found = reference_of(told, 50)

    assert (None if found is None else found.price) == expected
    assert expected is None or len(told) >= MIN_SOURCES


@pytest.mark.parametrize(("age", "is_source"), [(0, True), (5, True), (5.001, False), (-5, True), (-5.001, False)])
def test_a_source_speaks_for_five_seconds(age: float, is_source: bool) -> None:
    now_ns = 100 * SECOND
    found = reference_of([(100, now_ns), (100, now_ns - int(age * SECOND))], now_ns)

    assert (found is not None) is is_source


def test_what_was_traded_while_the_book_was_broken_counts_for_no_minute() -> None:
    desk = Desk(limits=make_test_limits({"SIZ-04": LIQUID["SIZ-04"]}))
    desk.wait(1)
    desk.gate.market_lost(desk.now_ns)
    desk.tell(BTC, (RowKind.TRADE, 10**6))
    desk.wait(2 * MINUTE)
    desk.quote(BTC, "59999.99", "60000.01")
    desk.wait(1)

    assert violations(desk.plain())["SIZ-04"] == "PARTICIPATION_LIMIT"


def test_a_stream_that_begins_with_other_steps_is_read_with_those() -> None:
    desk = Desk(limits=make_test_limits({name: LIQUID[name] for name in ("MKT-06", "SIZ-04")}))
    desk.liquid(3, lots=1_000)
    traded = desk.gate.board.volumes[BTC].minute()
    desk.instruments = (make_instrument(BTC, lot="0.00000001", tick="0.001"), *desk.instruments[1:])
    desk.hello()
    desk.venue()
    desk.quote(BTC, "59999.99", "60000.01", lots=2_999_999)  # a lot less than three times 0.01
    desk.wait(1)
    view = desk.gate.board.views[BTC]

    assert (view.bid, view.ask) == (to_units(Decimal("59999.99")), to_units(Decimal("60000.01")))
    assert violations(desk.plain())["MKT-06"] == "INSUFFICIENT_DEPTH"
    assert desk.gate.board.volumes[BTC].minute() == traded


SHARE_OF_MINUTE: dict[str, dict[str, Any]] = {"SIZ-01": {"max_qty": {"*": 100}, "max_share_pct": 5}}


@pytest.mark.parametrize(("lots", "qty", "reason"), [(10_000, "0.01", None), (9_999, "0.01", "ORDER_QTY_LIMIT")])
def test_an_order_is_at_most_its_share_of_the_minutes_volume(lots: int, qty: str, reason: str | None) -> None:
    desk = Desk(limits=make_test_limits(SHARE_OF_MINUTE))
    desk.liquid(3, lots=lots)  # two of the three seconds lie between samples

    assert violations(desk.plain(qty=qty)).get("SIZ-01") == reason


def test_the_absolute_quantity_holds_whatever_was_traded() -> None:
    limits = make_test_limits({"SIZ-01": {"max_qty": {"*": "0.009"}, "max_share_pct": 100}})
    desk = Desk(limits=limits)
    desk.liquid(3)

    assert violations(desk.plain(qty="0.01")) == {"SIZ-01": "ORDER_QTY_LIMIT"}


def test_a_size_of_riskd_is_cut_to_that_share() -> None:
    desk = Desk(limits=make_test_limits(SHARE_OF_MINUTE))
    desk.liquid(3, lots=5_000)
    answer = desk.plain(qty=None)

    assert (answer.approved_qty, answer.binding_limit) == (Decimal("0.005"), "SIZ-01")


@pytest.mark.parametrize("spoil", SPOILS, ids=lambda spoil: spoil.__name__)
def test_no_volume_is_no_share_of_it(spoil: Callable[[Desk], None]) -> None:
    desk = Desk(limits=make_test_limits(SHARE_OF_MINUTE))
    desk.liquid(3)
    assert desk.plain().approval is not None
    spoil(desk)

    assert "SIZ-01" in violations(desk.plain())
