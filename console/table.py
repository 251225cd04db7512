"""Columns: a table that fills any width. Columns that do not fit are left out whole, never cut."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from console.staleness import Freshness, mark
from console.text import EMPTY, Line, Span, Tone, clip, fit_line


@dataclass(frozen=True, slots=True)
class Column:
    """One column."""

    name: str
    """Heading."""
    width: int
    right: bool = False
    """Numbers are aligned right."""
    optional: int = 0
    """0 always shown; the higher, the earlier it is left out."""
    grows: bool = False
    """Takes what is left over; words only."""


def choose(columns: Sequence[Column], width: int) -> tuple[Column, ...]:
    """Return the columns that fit, in their order; the growing one has its final width."""
    shown = list(columns)
    while _needed(shown) > width and any(column.optional for column in shown):
        shown.remove(max(shown, key=lambda column: column.optional))
    rest = width - _needed(shown)
    return tuple(
        Column(column.name, column.width + max(0, rest), column.right, column.optional, True)
        if column.grows
        else column
        for column in shown
    )


def _needed(columns: Sequence[Column]) -> int:
    return sum(column.width for column in columns) + len(columns)  # one space before each


def heading(columns: Sequence[Column], width: int) -> Line:
    """Return the line of names."""
    words = (
        f" {column.name.rjust(column.width) if column.right else column.name.ljust(column.width)}" for column in columns
    )
    return fit_line((Span("".join(words), Tone.MUTED),), width)


def row_line(columns: Sequence[Column], cells: Mapping[str, Span], width: int) -> Line:
    """Return one row; cells are named like their columns. A number must already fit its column."""
    spans: list[Span] = []
    for column in columns:
        cell = cells.get(column.name, Span(""))
        text = cell.text.rjust(column.width) if column.right else clip(cell.text, column.width).ljust(column.width)
        spans += (Span(" "), Span(text, cell.tone))
    return fit_line(tuple(spans), width)


def value_cell(text: str, freshness: Freshness, tone: Tone = Tone.NORMAL) -> Span:
    """Return a number (unpadded) as it may be shown."""
    return mark(text.strip(), freshness, tone)


@dataclass(frozen=True, slots=True)
class Panel:
    """A titled list of lines; the widget asks only for the lines that are visible."""

    title: str
    keys: tuple[str, ...]
    """Identity of each row: the cursor stays on its row when rows move."""
    line_of: Callable[[int], Line]
    head: Line | None = None
    hint: str = ""
    """Keys that work here, shown in the title."""
    tone: Tone = Tone.NORMAL
    """Of the title."""
    empty: str = ""
    """Shown when there is no row."""

    @staticmethod
    def of_lines(title: str, lines: Sequence[Line], *, hint: str = "", tone: Tone = Tone.NORMAL) -> Panel:
        """Return a panel of fixed lines."""
        kept = tuple(lines)
        return Panel(title, tuple(str(index) for index in range(len(kept))), kept.__getitem__, None, hint, tone)


@dataclass(frozen=True, slots=True)
class Strip2:
    """Two blocks of lines side by side."""

    left: Sequence[Line] = field(default=())
    right: Sequence[Line] = field(default=())

    def lines(self, left_width: int, right_width: int, count: int) -> list[Line]:
        """Return `count` lines with a rule between the blocks."""
        return [
            (
                *fit_line(self.left[index] if index < len(self.left) else EMPTY, left_width),
                Span("│", Tone.MUTED),
                *fit_line(self.right[index] if index < len(self.right) else EMPTY, right_width),
            )
            for index in range(count)
        ]
