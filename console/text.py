"""Numbers, ages and lines as text of a given width. A number is never cut: it gets shorter in ways that stay true, or
`#`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from decimal import ROUND_HALF_EVEN, Decimal
from enum import Enum, auto
from typing import Final
from unicodedata import combining, east_asian_width

NS_PER_S: Final = 1_000_000_000
UNKNOWN: Final = "?"
ESTIMATE: Final = "~"


class Tone(Enum):
    """What a piece of text means. Colours belong to tones (see widgets); each tone has a second cue in the text
    itself.
    """

    NORMAL = auto()
    MUTED = auto()
    STRONG = auto()
    GAIN = auto()
    """Text starts with `^`."""
    LOSS = auto()
    """Text starts with `v`."""
    STALE = auto()
    """Text starts with `~` or is `?`."""
    P1 = auto()
    P2 = auto()
    P3 = auto()
    REVERSE = auto()


@dataclass(frozen=True, slots=True)
class Span:
    """Text of one tone."""

    text: str
    tone: Tone = Tone.NORMAL


Line = tuple[Span, ...]
"""One line of the screen, left to right."""
EMPTY: Final[Line] = ()


def line(*parts: str | Span) -> Line:
    """Return a line from plain text and spans; empty pieces are left out."""
    spans = (part if isinstance(part, Span) else Span(part) for part in parts)
    return tuple(span for span in spans if span.text)


def plain(content: Line) -> str:
    """Return the text of a line."""
    return "".join(span.text for span in content)


def line_width(content: Line) -> int:
    """Return the number of cells; every character used here is one cell wide."""
    return sum(len(span.text) for span in content)


def fit_line(content: Line, width: int) -> Line:
    """Return the line cut or padded with spaces to exactly `width` cells. Callers lay numbers out so that only words
    are cut.
    """
    spans: list[Span] = []
    left = width
    for span in content:
        if left <= 0:
            break
        if len(span.text) > left:
            spans.append(Span(clip(span.text, left), span.tone))
            left = 0
        else:
            spans.append(span)
            left -= len(span.text)
    if left > 0:
        spans.append(Span(" " * left))
    return tuple(spans)


def whole(content: Line, more: Line, width: int) -> Line:
    """Return both when they fit, else only the first: what is not shown in full is not shown."""
    return (*content, *more) if line_width(content) + line_width(more) <= width else content


def first_fitting(variants: Sequence[Line], width: int) -> Line:
    """Return the first line that fits, padded; the last one, cut, when none does."""
    return fit_line(next((item for item in variants if line_width(item) <= width), variants[-1]), width)


def join(parts: Iterable[Line], separator: str) -> Line:
    """Return the lines one after the other with a muted separator between them."""
    spans: list[Span] = []
    for part in parts:
        if spans:
            spans.append(Span(separator, Tone.MUTED))
        spans.extend(part)
    return tuple(spans)


def clip(text: str, width: int) -> str:
    """Return words cut to `width`, with an ellipsis when something is missing. Not for numbers."""
    if len(text) <= width:
        return text
    return text[: max(0, width - 1)] + "…" if width > 0 else ""


def printable(text: str) -> str:
    """Return text of a daemon in one line of one-cell characters: no cursor moves, no column shifts."""
    return "".join(
        (" " if not character.isprintable() else "?" if _is_wide(character) else character) for character in text
    )


def _is_wide(character: str) -> bool:
    return character > "\u02ff" and (east_asian_width(character) in "WF" or combining(character) != 0)


def left(text: str, width: int) -> str:
    """Return words left-aligned in exactly `width` cells."""
    return clip(text, width).ljust(width)


def group(value: Decimal) -> str:
    """Return plain notation with a space between thousands: `65 012.4`."""
    return f"{value:,f}".replace(",", " ")


def number(value: Decimal | None, width: int, *, signed: bool = False, decimals: int | None = None) -> str:
    """Return a number right-aligned in exactly `width` cells.

    Args:
        value: None is shown as `?`.
        width: Cells.
        signed: Also show `+`.
        decimals: Round to this many; None shows the value as it is.

    A number that does not fit loses its thousands separators, then decimals (rounded), then becomes `41.2k`, `0.9M`;
    when even that does not fit the cell is filled with `#`, which nobody takes for a number.
    """
    if value is None:
        return UNKNOWN.rjust(width)
    exact = value if decimals is None else rounded(value, decimals)
    for text in _shorter_and_shorter(exact):
        shown = f"+{text}" if signed and exact > 0 else text
        if len(shown) <= width:
            return shown.rjust(width)
    return "#" * width


def places(value: Decimal) -> int:
    """Return the number of decimals."""
    exponent = value.as_tuple().exponent
    return max(0, -exponent) if isinstance(exponent, int) else 0


def padded(value: Decimal, decimals: int) -> Decimal:
    """Return the value with at least this many decimals: prices of one market stand in line. Never rounds."""
    return value if places(value) >= decimals else value.quantize(Decimal(1).scaleb(-decimals))


def rounded(value: Decimal, decimals: int) -> Decimal:
    """Return the value with this many decimals; never minus zero."""
    result = value.quantize(Decimal(1).scaleb(-decimals), ROUND_HALF_EVEN)
    return abs(result) if result == 0 else result


def _shorter_and_shorter(value: Decimal) -> Iterable[str]:
    yield group(value)
    yield f"{value:f}"
    for decimals in range(places(value) - 1, -1, -1):
        shorter = rounded(value, decimals)
        if shorter == 0 and value != 0:
            break  # rounding must not turn something into nothing
        yield f"{shorter:f}"
    for unit, power in (("k", 3), ("M", 6), ("B", 9)):
        scaled = value.scaleb(-power)
        if abs(scaled) >= 1:
            for decimals in (1, 0):
                yield f"{rounded(scaled, decimals):f}{unit}"


def compact(value: Decimal | None, *, signed: bool = False) -> str:
    """Return a number in the shortest form that keeps three digits: `950`, `41.2k`, `0.90M`."""
    if value is None:
        return UNKNOWN
    size = abs(value)
    if size >= 999_500:
        text = f"{rounded(value.scaleb(-6), 2):f}M"
    elif size >= 10_000:
        text = f"{rounded(value.scaleb(-3), 1):f}k"
    else:
        text = group(rounded(value, 0 if size >= 1000 else 2))
    return f"+{text}" if signed and value > 0 else text


def percent(value: float | None, decimals: int = 0) -> str:
    """Return `14%`, `?`, or `999+` for what has left every scale."""
    if value is None:
        return UNKNOWN
    return "999+" if value >= 999.5 else f"{value:.{decimals}f}%"


def age(age_ns: int | None) -> str:
    """Return an age in at most four cells: `0.3s`, `12s`, `3m`, `2h`, `9d`; `--` when there never was anything."""
    if age_ns is None:
        return "--"
    seconds = max(0, age_ns) / NS_PER_S
    if seconds < 9.95:
        return f"{seconds:.1f}s"
    for size, unit, limit in ((1, "s", 100), (60, "m", 6000), (3600, "h", 360_000), (86_400, "d", 86_400_000)):
        if seconds < limit:
            return f"{int(seconds // size)}{unit}"
    return "old"


def clock(time_ns: int) -> str:
    """Return UTC time of day, `14:02:31`."""
    seconds = time_ns // NS_PER_S % 86_400
    return f"{seconds // 3600:02d}:{seconds // 60 % 60:02d}:{seconds % 60:02d}"


def clock_ms(time_ns: int) -> str:
    """Return UTC time of day with milliseconds."""
    return f"{clock(time_ns)}.{time_ns // 1_000_000 % 1000:03d}"


def bar(fraction: float | None, width: int) -> str:
    """Return `[####......]`; `[?.........]` when the fraction is not known. Above 1 the bar is full."""
    inner = width - 2
    if fraction is None:
        return f"[{UNKNOWN.ljust(inner, '.')}]"
    filled = min(inner, max(0, round(fraction * inner)))
    if fraction > 0 and filled == 0:
        filled = 1  # something is not nothing
    return f"[{'#' * filled}{'.' * (inner - filled)}]"


def sparkline(values: Sequence[float], width: int) -> str:
    """Return all values, spread over the width, as one row of blocks; empty without two values."""
    if len(values) < 2 or width < 2:
        return ""
    shown = [values[round(column * (len(values) - 1) / (width - 1))] for column in range(width)]
    low, high = min(shown), max(shown)
    if low == high:
        return "▄" * width
    return "".join("▁▂▃▄▅▆▇█"[int((value - low) / (high - low) * 7.999)] for value in shown)


_DOTS: Final = ((0x40, 0x80), (0x04, 0x20), (0x02, 0x10), (0x01, 0x08))
"""Braille dots of one cell by row from the bottom, left and right column."""


def plot(values: Sequence[float], width: int, height: int) -> list[str]:
    """Return a line plot of `width` x `height` braille cells, oldest value left. Values are spread over the whole
    width.

    A flat series is a line in the middle, so that it does not look like a fall to zero.
    """
    columns, rows = width * 2, height * 4
    cells = [[0] * width for _ in range(height)]
    if len(values) >= 2 and width > 0 and height > 0:
        low, high = min(values), max(values)
        spread = high - low
        previous: int | None = None
        for column in range(columns):
            value = values[round(column * (len(values) - 1) / (columns - 1))]
            y = rows // 2 if spread == 0 else round((value - low) / spread * (rows - 1))
            start = y if previous is None else previous
            step = 1 if y >= start else -1
            for dot in range(start + (step if previous is not None and y != start else 0), y + step, step):
                cells[height - 1 - dot // 4][column // 2] |= _DOTS[dot % 4][column % 2]
            previous = y
    return ["".join(chr(0x2800 + cell) if cell else " " for cell in row) for row in cells]
