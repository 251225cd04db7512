"""The book of one instrument. A number of the book is shown only while the book is true."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal

from console import text as t
from console.panels.words import symbol
from console.staleness import Freshness, mark
from console.table import Panel, value_cell
from console.text import EMPTY, Line, Span, Tone, line
from console.view import LadderView, View


def depth_panel(view: View, width: int, rows: int) -> Panel:
    """Return the book of the selected instrument around its middle; own orders are marked `>`."""
    item = view.ladder
    late = f" {t.age(item.age_ns)}" if item.age_ns is not None else ""
    title = f"Depth {symbol(item.instrument_id) or '?'}{late}"
    ladder = item.ladder
    if ladder is None or item.freshness is Freshness.DEAD or not ladder.bids or not ladder.asks:
        state = f"? book {ladder.state}" if ladder is not None and ladder.state != "LIVE" else "? no book"
        return Panel.of_lines(title, [t.fit_line((Span(f" {state}", Tone.STALE),), width)], hint="i=next")
    tail = 2 if rows >= 8 else 1 if rows >= 6 else 0
    side = max(1, (rows - 2 - tail) // 2)
    bids, asks = ladder.bids[:side], ladder.asks[:side]
    scale = _Scale(
        price_places=view.price_places.get(item.instrument_id, 0),
        qty_places=max(t.places(qty) for _, qty in (*bids, *asks)),
        biggest=max(qty for _, qty in (*bids, *asks)),
        width=width,
    )
    spread, middle = asks[0][0] - bids[0][0], (asks[0][0] + bids[0][0]) / 2
    words = mark(
        f" spread {t.number(spread, 9).strip()}  mid {t.number(middle, 12).strip()} ", item.freshness, Tone.MUTED
    )
    lines = [
        line(Span(f"  {'PRICE':>11}  {'QTY':>9}", Tone.MUTED)),
        *[EMPTY] * (side - len(asks)),
        *(level_line(item, level, scale, is_bid=False) for level in reversed(asks)),
        (Span("──", Tone.MUTED), words, Span("─" * max(0, width - 2 - len(words.text)), Tone.MUTED)),
        *(level_line(item, level, scale, is_bid=True) for level in bids),
        *[EMPTY] * (side - len(bids)),
    ]
    if tail:
        last = None if item.last is None else t.padded(item.last, scale.price_places)
        lines.append(line(" last ", value_cell(t.number(last, 12), item.freshness)))
    if tail > 1:
        lines.append(line(Span(f" imbalance {imbalance(item, side):+.2f} of {side} levels", Tone.MUTED)))
    return Panel.of_lines(title, [t.fit_line(row, width) for row in lines], hint="i=next")


@dataclass(frozen=True, slots=True)
class _Scale:
    """How levels of one picture are drawn, so that they stand in line."""

    price_places: int
    qty_places: int
    biggest: Decimal
    """The largest quantity shown has the longest bar."""
    width: int


def level_line(view: LadderView, level: tuple[Decimal, Decimal], scale: _Scale, *, is_bid: bool) -> Line:
    """Return one price level: side, price, quantity, and a bar of its size."""
    price, qty = level
    own = ">" if (is_bid, price) in view.own_prices else " "
    room = max(0, scale.width - 26)
    size = "#" * max(1, round(float(qty / scale.biggest) * room)) if room else ""
    stale = Tone.STALE if view.freshness >= Freshness.STALE else None
    return line(
        own,
        Span("B" if is_bid else "A", Tone.MUTED),
        mark(t.number(t.padded(price, scale.price_places), 11), view.freshness),
        Span(f"  {t.number(t.padded(qty, scale.qty_places), 9)} ", stale or Tone.NORMAL),
        Span(size, stale or Tone.MUTED),
    )


def imbalance(view: LadderView, levels: int) -> float:
    """Return (bid - ask) / (bid + ask) of the shown quantity, in [-1, 1]."""
    ladder = view.ladder
    if ladder is None:
        return 0.0
    bid = sum((qty for _, qty in ladder.bids[:levels]), Decimal(0))
    ask = sum((qty for _, qty in ladder.asks[:levels]), Decimal(0))
    return float((bid - ask) / (bid + ask)) if bid + ask else 0.0
