"""Strategies with their results."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from typing import Final

from console import text as t
from console.model import Strategy, StrategyPnl
from console.panels.words import filtered, gain, matches, nothing
from console.staleness import mark
from console.table import Column, Panel, choose, heading, row_line
from console.text import Line, Span, Tone
from console.view import View

STRATEGY_COLUMNS: Final = (
    Column("NAME", 9, grows=True),
    Column("STATE", 5),
    Column("POS", 3, right=True),
    Column("PnL", 11, right=True),
    Column("SIG", 4, right=True, optional=4),
    Column("INT", 4, right=True, optional=5),
    Column("REF", 4, right=True, optional=6),
)


def strategies_panel(view: View, width: int, needle: str = "") -> Panel:
    """Return the strategies."""
    shown = [item for item in view.strategies if matches(item.strategy_id, needle)]
    columns = choose(STRATEGY_COLUMNS, width)
    return Panel(
        f"Strategies{filtered(needle)}",
        tuple(item.strategy_id for item in shown),
        lambda index: strategy_line(view, shown[index], columns, width),
        heading(columns, width),
        "e=on/off",
        empty=nothing("no strategy", view.strategies_freshness),
    )


def strategy_state(item: Strategy) -> str:
    """Return ON, OFF or WARM."""
    return "OFF" if not item.enabled else "WARM" if item.warming_up else "ON"


def strategy_line(view: View, item: Strategy, columns: Sequence[Column], width: int) -> Line:
    """Return one strategy."""
    good = view.strategies_freshness
    pnl = _pnl_of(view, item.strategy_id)
    return row_line(
        columns,
        {
            "NAME": Span(item.strategy_id),
            "STATE": mark(strategy_state(item), good, Tone.NORMAL if item.enabled else Tone.MUTED),
            "POS": Span("0" if pnl is None else str(pnl.open_positions)) if view.money.pnl else Span("?", Tone.STALE),
            "PnL": gain(_result(pnl), 11, view.money.freshness) if pnl else Span("--"),
            "SIG": mark(str(item.signals), good),
            "INT": mark(str(item.intents), good),
            "REF": mark(str(item.refusals), good, Tone.P3 if item.refusals else Tone.NORMAL),
        },
        width,
    )


def strategies_strip(view: View, width: int) -> Line:
    """Return the strategies in one line."""
    parts = []
    for item in view.strategies:
        pnl = _pnl_of(view, item.strategy_id)
        state = mark(strategy_state(item), view.strategies_freshness)
        shown = gain(_result(pnl), 11, view.money.freshness) if pnl else Span("--")
        parts.append((Span(f"{item.strategy_id} "), state, Span(" "), shown))
    if not parts:
        return t.fit_line((Span(f" {nothing('no strategy', view.strategies_freshness)}", Tone.MUTED),), width)
    return t.fit_line((Span(" "), *t.join(parts, "   ")), width)


def _pnl_of(view: View, strategy_id: str) -> StrategyPnl | None:
    if view.money.pnl is None:
        return None
    return next((item for item in view.money.pnl.strategies if item.strategy_id == strategy_id), None)


def _result(pnl: StrategyPnl | None) -> Decimal | None:
    if pnl is None or pnl.realized is None or pnl.unrealized is None or pnl.fees is None:
        return None
    return pnl.realized + pnl.unrealized - pnl.fees
