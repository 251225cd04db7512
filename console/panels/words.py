"""Small words and cells that several panels share."""

from __future__ import annotations

from decimal import Decimal
from typing import Final

from console import text as t
from console.staleness import Freshness, mark
from console.text import Span, Tone
from console.view import View

BAR_WIDTH: Final = 12


def symbol(instrument_id: str) -> str:
    """Return the part people say; the venue stands in a column of its own where there is room."""
    return instrument_id.partition(":")[2] or instrument_id


def title_of_money(view: View, words: str) -> str:
    """Return a title that says when the money is not real."""
    mode = view.identity.mode
    return words if mode == "real" else f"{words} ({mode})"


def gain(value: Decimal | None, width: int, freshness: Freshness = Freshness.FRESH) -> Span:
    """Return a result: `^ +43.71`, `v -27.30`, `~-11.40`, `?`."""
    if value is None:
        return Span(t.UNKNOWN, Tone.STALE)
    if freshness >= Freshness.STALE:
        return mark(t.number(value, max(1, width - 1), signed=True, decimals=2).strip(), freshness)
    value = t.rounded(value, 2)  # what rounds to nothing is neither gain nor loss
    arrow, tone = ("^", Tone.GAIN) if value > 0 else ("v", Tone.LOSS) if value < 0 else (" ", Tone.NORMAL)
    return Span(f"{arrow} {t.number(value, max(1, width - 2), signed=True, decimals=2).strip()}", tone)


def matches(text: str, needle: str) -> bool:
    """Return whether a row passes the filter."""
    return needle.lower() in text.lower()


def count_text(number: int, freshness: Freshness) -> str:
    return t.UNKNOWN if freshness is Freshness.DEAD else f"~{number}" if freshness is Freshness.STALE else str(number)


def age_if_late(freshness: Freshness, age_ns: int | None) -> str:
    return "" if freshness is Freshness.FRESH else f"  {t.age(age_ns)} old" if age_ns is not None else ""


def filtered(needle: str) -> str:
    return f"  filter '{needle}'" if needle else ""


def nothing(words: str, freshness: Freshness) -> str:
    return "? not known" if freshness is Freshness.DEAD else words
