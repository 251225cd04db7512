"""How answers leave the command: one JSON document or lines for people. Pure but for `emit` and `complain`."""

from __future__ import annotations

import dataclasses
import json
import sys
from collections.abc import Sequence
from decimal import Decimal
from enum import Enum, StrEnum
from pathlib import Path
from typing import Any, Final

MAX_COLUMNS: Final = 100
"""Human output fits this width."""
GAP: Final = "  "


def to_json(value: object) -> Any:
    """Return plain JSON values: decimals as strings, enums by name, dataclasses by field."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: to_json(getattr(value, field.name)) for field in dataclasses.fields(value)}
    match value:
        case StrEnum():
            return value.value
        case Enum():
            return value.name
        case Decimal():
            return format(value, "f")
        case Path():
            return str(value)
        case dict():
            return {str(key): to_json(item) for key, item in value.items()}
        case list() | tuple() | frozenset() | set():
            return [to_json(item) for item in value]
        case _:
            return value


def document(value: object, *, ok: bool = True) -> str:
    """Return the JSON document of an answer: its fields plus `ok`."""
    tree = to_json(value)
    return json.dumps({"ok": ok, **(tree if isinstance(tree, dict) else {"result": tree})}, ensure_ascii=False)


def table(headers: Sequence[str], rows: Sequence[Sequence[str]], right: frozenset[int] = frozenset()) -> list[str]:
    """Return aligned lines, cut at MAX_COLUMNS.

    Args:
        headers: Column titles.
        rows: Cells as text.
        right: Indexes of right-aligned columns.
    """
    widths = [max(len(row[i]) for row in (headers, *rows)) for i in range(len(headers))]

    def line(cells: Sequence[str]) -> str:
        padded = [
            cell.rjust(width) if i in right else cell.ljust(width)
            for i, (cell, width) in enumerate(zip(cells, widths, strict=True))
        ]
        return clip(GAP.join(padded).rstrip(), MAX_COLUMNS)

    return [line(headers), *(line(row) for row in rows)]


def clip(text: str, width: int) -> str:
    """Return text that fits, its end replaced by an ellipsis when it does not."""
    return text if len(text) <= width else text[: width - 1] + "…"


def wrap(label: str, text: str, width: int = MAX_COLUMNS) -> list[str]:
    """Return `label` followed by text, continued under itself; words are kept whole where they fit."""
    lines: list[str] = []
    room = max(width - len(label), 20)
    current = ""
    for word in text.split():
        while len(word) > room:
            if current:
                lines.append(current)
                current = ""
            lines.append(word[:room])
            word = word[room:]
        if current and len(current) + 1 + len(word) > room:
            lines.append(current)
            current = word
        else:
            current = f"{current} {word}".strip()
    lines.append(current)
    pad = " " * len(label)
    return [(label if i == 0 else pad) + line for i, line in enumerate(lines)]


def emit(lines: Sequence[str]) -> None:
    """Print an answer."""
    print("\n".join(lines), flush=True)


def complain(text: str) -> None:
    """Print a one-line error."""
    print(f"tradebot: {' '.join(text.split())}", file=sys.stderr, flush=True)


def progress(text: str) -> None:
    """Print a line about what is going on; standard output stays for the answer."""
    print(text, file=sys.stderr, flush=True)
