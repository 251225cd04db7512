"""Helpers that read single fields and refuse what the contracts exclude."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from enum import Enum
from typing import Any, TypeVar

from tradebot.core.amounts import format_decimal, parse_decimal
from tradebot.core.errors import RejectedError

E = TypeVar("E", bound=Enum)


def wire_values(enum: type[E]) -> dict[int, E]:
    """Return wire value -> member for an enum whose values are wire values."""
    return {int(member.value): member for member in enum}


def read_enum(table: Mapping[int, E], value: int, field: str) -> E:
    """Return the member, or refuse an unspecified or unknown value."""
    member = table.get(value)
    if member is None:
        raise RejectedError("UNKNOWN_ENUM", f"{field}: value {value} is unspecified or unknown")
    return member


def enum_name(enum: Any, value: int, prefix: str) -> str:
    """Return the name of a proto enum's value, without its prefix; one of a newer contract shows its number."""
    try:
        return str(enum.Name(value)).removeprefix(prefix)
    except ValueError:
        return f"#{value}"


def read_optional_decimal(text: str, field: str) -> Decimal | None:
    """Return None for an empty string, else the exact value."""
    return parse_decimal(text, field) if text else None


def write_optional_decimal(value: Decimal | None) -> str:
    """Return '' for None, else the shortest plain notation."""
    return "" if value is None else format_decimal(value)


def require(text: str, field: str) -> str:
    """Return a non-empty string or refuse."""
    if not text:
        raise RejectedError("FIELD_MISSING", f"{field} is empty")
    return text
