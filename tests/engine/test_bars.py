from __future__ import annotations

from decimal import Decimal

from hypothesis import given
from hypothesis import strategies as st

from engine.bars import MAX_CARRIED_BARS, Bar, BarBuilder, Scale

S = 1_000_000_000
T0 = 1_700_000_000 * S
CENT = Scale.of(Decimal("0.01"))
LOT = Scale.of(Decimal("0.001"))


def make_builder(start_ns: int = T0) -> BarBuilder:
    builder = BarBuilder(S, CENT, LOT)
    builder.start(start_ns)
    return builder


def test_a_bar_holds_first_highest_lowest_and_last_price() -> None:
    builder = make_builder()
    for offset, price in ((0, 100), (1, 130), (2, 90), (3, 110)):
        builder.add_trade(T0 + offset, price, 500)

    assert builder.advance(T0 + S) == [Bar(T0, T0 + S, 1.0, 1.3, 0.9, 1.1, 2.0, 4)]


def test_a_bar_is_open_until_its_end() -> None:
    builder = make_builder()
    builder.add_trade(T0, 100, 1)

    assert builder.advance(T0 + S - 1) == []
    assert len(builder.advance(T0 + S)) == 1


def test_a_trade_at_the_end_belongs_to_the_next_bar() -> None:
    builder = make_builder()
    builder.add_trade(T0, 100, 1)
    closed = builder.advance(T0 + S)
    builder.add_trade(T0 + S, 900, 1)

    assert closed[0].high == 1.0
    assert builder.advance(T0 + 2 * S)[0].open == 9.0


def test_an_empty_interval_is_flat_at_the_last_price_with_no_volume() -> None:
    builder = make_builder()
    builder.add_trade(T0, 100, 1)
    bars = builder.advance(T0 + 3 * S)

    assert [bar.trade_count for bar in bars] == [1, 0, 0]
    assert bars[2] == Bar(T0 + 2 * S, T0 + 3 * S, 1.0, 1.0, 1.0, 1.0, 0.0, 0)


def test_there_are_no_bars_before_the_first_trade() -> None:
    builder = make_builder()

    assert builder.advance(T0 + 5 * S) == []

    builder.add_trade(T0 + 5 * S, 100, 1)

    assert len(builder.advance(T0 + 6 * S)) == 1


def test_the_interval_in_which_listening_began_is_left_out() -> None:
    builder = make_builder(T0 + 1)
    builder.add_trade(T0 + 1, 100, 1)
    builder.add_trade(T0 + S - 1, 200, 1)
    builder.add_trade(T0 + S, 300, 1)
    (bar,) = builder.advance(T0 + 2 * S)

    assert bar.open_time_ns == T0 + S
    assert (bar.open, bar.trade_count) == (3.0, 1)


def test_a_late_trade_never_changes_a_closed_bar() -> None:
    builder = make_builder()
    builder.add_trade(T0, 100, 1)
    builder.advance(T0 + S)
    builder.add_trade(T0 + S - 1, 500, 1)

    assert builder.late_trades == 1
    assert builder.advance(T0 + 2 * S)[0].high == 5.0


def test_a_long_silence_is_a_hole_and_not_a_thousand_flat_bars() -> None:
    builder = make_builder()
    builder.add_trade(T0, 100, 1)
    bars = builder.advance(T0 + 100_000 * S)

    assert len(bars) <= MAX_CARRIED_BARS + 2
    assert len(bars) + builder.skipped_bars == 100_000
    assert bars[-1].close_time_ns == T0 + 100_000 * S


def test_prices_are_the_nearest_floats_of_their_decimals() -> None:
    assert CENT(6_012_345) == 60123.45
    assert Scale.of(Decimal("0.1"))(3) == 0.3


@given(
    st.lists(st.tuples(st.integers(0, 3 * S), st.integers(1, 10_000), st.integers(1, 100)), max_size=60),
    st.lists(st.integers(0, 3 * S), max_size=20),
)
def test_how_often_time_is_looked_at_changes_no_bar(steps: list[tuple[int, int, int]], looks: list[int]) -> None:
    rarely, often = make_builder(), make_builder()
    bars_rarely: list[Bar] = []
    bars_often: list[Bar] = []
    now = T0
    for (gap, price, qty), look in zip(steps, looks + [0] * len(steps), strict=False):
        bars_often += often.advance(now + min(gap, look))
        now += gap
        bars_rarely += rarely.advance(now)
        bars_often += often.advance(now)
        rarely.add_trade(now, price, qty)
        often.add_trade(now, price, qty)

    assert bars_rarely + rarely.advance(now + S) == bars_often + often.advance(now + S)
