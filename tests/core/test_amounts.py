"""Amounts: exact or refused."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tradebot.core.amounts import (
    MONEY_ONE,
    format_decimal,
    from_money,
    parse_decimal,
    steps_ceil,
    steps_exact,
    steps_floor,
    to_money,
)
from tradebot.core.errors import RejectedError

decimals = st.decimals(allow_nan=False, allow_infinity=False, places=8, min_value=-(10**9), max_value=10**9)


@pytest.mark.parametrize("text", ["", "abc", "NaN", "Infinity", "-inf", "1,5", "1" * 49, "0x10"])
def test_what_is_not_a_finite_decimal_is_refused_and_the_field_is_named(text: str) -> None:
    with pytest.raises(RejectedError, match=r"order\.qty"):
        parse_decimal(text, "order.qty")


@given(decimals)
def test_text_round_trip_is_exact_and_has_no_exponent(value: Decimal) -> None:
    text = format_decimal(value)

    assert parse_decimal(text, "x") == value
    assert "E" not in text
    assert not (("." in text) and text.endswith("0"))


def test_tiny_and_huge_values_are_written_without_exponent() -> None:
    assert format_decimal(Decimal("1E-8")) == "0.00000001"
    assert format_decimal(Decimal("1E+5")) == "100000"
    assert format_decimal(Decimal("-0.0")) == "0"


@given(decimals)
def test_money_is_exact_to_twelve_decimals(value: Decimal) -> None:
    assert from_money(to_money(value)) == value


def test_money_rounds_away_from_zero_so_that_exposure_is_never_understated() -> None:
    assert to_money(Decimal("0.0000000000001")) == 1
    assert to_money(Decimal("-0.0000000000001")) == -1
    assert to_money(Decimal(1)) == MONEY_ONE


@given(st.integers(0, 10**9), st.sampled_from([Decimal("0.01"), Decimal("0.00001"), Decimal("0.5"), Decimal(1)]))
def test_steps_invert_multiplication(steps: int, step: Decimal) -> None:
    value = steps * step

    assert steps_exact(value, step) == steps
    assert steps_floor(value + step / 3, step) == steps
    assert steps_ceil(value + step / 3, step) == steps + 1
    assert steps_exact(value + step / 3, step) is None
