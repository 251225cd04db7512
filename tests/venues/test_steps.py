"""Decimal text to steps: exact or refused."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tradebot.core.errors import ConfigError
from tradebot.venues.steps import MAX_REMEMBERED, StepReader

steps_of_venues = st.sampled_from(["0.01", "0.00001", "1", "0.5", "0.05", "5", "0.00000001", "10", "0.000000001"])


@given(steps_of_venues, st.integers(0, 10**12), st.integers(0, 3))
def test_every_multiple_of_the_step_is_read_exactly(step: str, count: int, padding: int) -> None:
    text = f"{Decimal(step) * count:f}"
    if "." in text:
        text += "0" * padding

    assert StepReader(Decimal(step))[text] == count


@given(steps_of_venues, st.decimals(0, 10**6, places=9))
def test_what_is_accepted_is_exactly_on_a_step_and_the_rest_is_refused(step: str, amount: Decimal) -> None:
    reader, text = StepReader(Decimal(step)), f"{amount:f}"
    if amount % Decimal(step) == 0:
        assert reader[text] * Decimal(step) == amount
    else:
        with pytest.raises(ValueError, match="not on a step"):
            reader[text]


@pytest.mark.parametrize("text", ["", ".", "-1", "+1", "1e3", "NaN", "1_000", " 1", "1.2.3", "٣", "0x1", "1" * 50])
def test_what_is_no_plain_decimal_number_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="plain decimal"):
        StepReader(Decimal("0.01"))[text]


def test_a_flooring_reader_never_makes_an_amount_disappear() -> None:
    reader = StepReader(Decimal("0.00001"), floor=True)

    assert reader["25.42618900"] == 2542618
    assert reader["0.00000100"] == 1
    assert reader["0.00000000"] == 0
    assert reader.floored == 2


def test_memory_is_bounded() -> None:
    reader = StepReader(Decimal(1))
    for number in range(MAX_REMEMBERED + 10):
        assert reader[str(number)] == number

    assert len(reader) <= MAX_REMEMBERED


def test_a_step_of_zero_is_refused() -> None:
    with pytest.raises(ConfigError):
        StepReader(Decimal(0))
