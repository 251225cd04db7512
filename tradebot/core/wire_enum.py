"""Enums that cross process borders: their values are the wire values of the proto enums.

Members hash by identity and carry their value as a plain attribute. The standard ones run Python code for both, some
forty times per risk decision (counted by a profiler).
"""

from __future__ import annotations

from enum import Enum


class WireEnum(Enum):
    """Base of enums whose values are wire values."""

    wire: int
    """The value, readable without a property call."""

    def __init__(self, wire: int) -> None:
        self.wire = wire

    __hash__ = object.__hash__
