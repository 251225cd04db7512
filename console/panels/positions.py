"""Open positions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Final

from console import text as t
from console.panels.words import count_text, filtered, gain, matches, nothing, symbol
from console.staleness import Freshness, mark
from console.table import Column, Panel, choose, heading, row_line, value_cell
from console.text import Line, Span, Tone
from console.view import PositionView, View

POSITION_COLUMNS: Final = (
    Column("SYM", 8),
    Column("SIDE", 5),
    Column("QTY", 9, right=True),
    Column("AVG", 10, right=True, optional=5),
    Column("MARK", 10, right=True),
    Column("uPnL", 10, right=True),
    Column("%LIM", 4, right=True, optional=4),
    Column("STOP", 10, right=True, optional=2),
    Column("AGE", 4, right=True),
    Column("FEES", 9, right=True, optional=8),
    Column("rPnL", 10, right=True, optional=7),
    Column("OPENED", 8, optional=9),
    Column("VENUE", 9, optional=10),
    Column("STRAT", 7, optional=3, grows=True),
)


def positions_panel(view: View, width: int, needle: str = "") -> Panel:
    """Return the open positions."""
    shown = [item for item in view.positions if matches(item.position.key, needle)]
    stale = sum(item.mark_freshness >= Freshness.STALE for item in view.positions)
    dust = sum(item.is_dust for item in view.positions)
    count = count_text(len(view.positions) - dust, view.positions_freshness) + (f" +{dust} dust" if dust else "")
    title = f"Positions {count}{f' ({stale} stale)' if stale else ''}{filtered(needle)}"
    columns = choose(POSITION_COLUMNS, width)
    return Panel(
        title,
        tuple(item.position.key for item in shown),
        lambda index: position_line(shown[index], view.price_places, columns, width),
        heading(columns, width),
        "enter=detail",
        empty=nothing("no open position", view.positions_freshness),
    )


def position_line(item: PositionView, price_places: Mapping[str, int], columns: Sequence[Column], width: int) -> Line:
    """Return one position."""
    row, good = item.position, item.freshness
    side = "LONG" if row.qty > 0 else "SHORT"
    widths = {column.name: column.width - 1 for column in columns}

    decimals = price_places.get(row.instrument_id, 0)

    def cell(name: str, value: Decimal | None, freshness: Freshness) -> Span:
        return value_cell(t.number(value, widths.get(name, 9)), freshness)

    def price(name: str, value: Decimal | None, freshness: Freshness) -> Span:
        return cell(name, None if value is None else t.padded(value, decimals), freshness)

    nothing = Span("dust", Tone.MUTED) if item.is_dust else Span("none", Tone.P2)
    stop = nothing if row.stop_price is None else price("STOP", row.stop_price, good)
    average = None if row.avg_price is None else t.rounded(row.avg_price, max(decimals, 2))
    return row_line(
        columns,
        {
            "SYM": Span(symbol(row.instrument_id)),
            "SIDE": mark(side, good),
            "QTY": cell("QTY", abs(row.qty), good),
            "AVG": cell("AVG", average, good),
            "MARK": price("MARK", row.mark_price, item.mark_freshness),
            "uPnL": gain(row.unrealized, 10, item.mark_freshness),
            "%LIM": mark(t.percent(row.limit_used_pct), item.mark_freshness),
            "STOP": stop,
            "AGE": Span(t.age(item.age_ns)),
            "FEES": value_cell(t.number(row.fees, 8, decimals=2), good),
            "rPnL": gain(row.realized, 10, good),
            "OPENED": Span(t.clock(row.opened_ns) if row.opened_ns else ""),
            "VENUE": Span(row.venue),
            "STRAT": Span(row.strategy_id),
        },
        width,
    )
