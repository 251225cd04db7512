"""Values: what a frozen dataclass promises, without its price."""

from __future__ import annotations

import dataclasses
from dataclasses import replace

import pytest

from tradebot.core.orders import OrderTerms
from tradebot.core.values import value


@value(frozen=True, slots=True)
class Pair:
    """Two of something."""

    left: int
    right: str = ""


def test_values_are_equal_and_hashed_by_their_fields() -> None:
    assert Pair(1, "a") == Pair(1, "a") != Pair(1, "b")
    assert len({Pair(1, "a"), Pair(1, "a"), Pair(2, "a")}) == 2


def test_values_are_replaced_and_listed_like_any_dataclass() -> None:
    assert replace(Pair(1), right="b") == Pair(1, "b")
    assert [field.name for field in dataclasses.fields(Pair)] == ["left", "right"]


def test_a_field_that_is_not_declared_is_refused() -> None:
    with pytest.raises(AttributeError):
        Pair(1).middle = 2  # type: ignore[attr-defined]


def test_building_a_value_sets_its_fields_directly() -> None:
    """A frozen dataclass would go through object.__setattr__, field by field."""
    assert "__setattr__" not in vars(OrderTerms)
    assert "__slots__" in vars(OrderTerms)
