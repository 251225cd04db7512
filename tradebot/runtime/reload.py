"""SIGHUP: what may change while running is declared at the field; everything else is refused by name, and then nothing
changes.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from pydantic import BaseModel


class Reloadable:
    """Marks a field that may change on SIGHUP: `level: Annotated[str, Reloadable()] = "info"`."""


class ConfigChange(NamedTuple):
    """One key whose value differs."""

    dotted: str
    reloadable: bool


def config_changes(old: BaseModel, new: BaseModel, prefix: str = "") -> Iterator[ConfigChange]:
    """Yield every key that differs between two versions of the same model; nested models are compared key by key."""
    for name, field in type(old).model_fields.items():
        before, after = getattr(old, name), getattr(new, name)
        if before == after:
            continue
        reloadable = any(isinstance(mark, Reloadable) for mark in field.metadata)
        if isinstance(before, BaseModel) and type(before) is type(after) and not reloadable:
            yield from config_changes(before, after, f"{prefix}{name}.")
        else:
            yield ConfigChange(f"{prefix}{name}", reloadable)
