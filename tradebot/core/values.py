"""`@value(frozen=True, slots=True)`: a frozen dataclass for the type checker, and its cheap twin at run time.

A frozen dataclass sets its fields through `object.__setattr__`, which makes a twelve-field message cost seven times as
much to build; an order is built, sent, read and answered as some twenty of them. Nothing here is ever changed after it
was made: the type checker, which runs over the whole tree, refuses the assignment.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from dataclasses import dataclass as value
else:

    def value(*, frozen: bool, slots: bool):
        """Return the decorator: equal and hashed by its fields, as a frozen dataclass is."""
        assert frozen
        return dataclass(slots=slots, unsafe_hash=True)


__all__ = ["value"]
