"""Orders, and why they are what they are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Final

from console import text as t
from console.orders import OrderRow
from console.panels.words import age_if_late, count_text, filtered, matches, nothing, symbol
from console.staleness import Freshness, mark
from console.table import Column, Panel, choose, heading, row_line, value_cell
from console.text import Line, Span, Tone
from console.view import View
from tradebot.core.orders import OrderRole, OrderStatus, OrderType

TYPES: Final = {
    OrderType.LIMIT: "LMT",
    OrderType.MARKET: "MKT",
    OrderType.STOP: "STP",
    OrderType.STOP_LIMIT: "STPL",
    OrderType.TAKE_PROFIT: "TP",
    OrderType.TAKE_PROFIT_LIMIT: "TPL",
}


ROLES: Final = {
    OrderRole.ENTRY: "entry",
    OrderRole.EXIT: "exit",
    OrderRole.PROTECTION: "prot",
    OrderRole.EMERGENCY_EXIT: "emerg",
    OrderRole.REDUCE: "reduc",
    OrderRole.LIQUIDATION: "liq",
}


ORDER_COLUMNS: Final = (
    Column("TIME", 8),
    Column("ID", 4, optional=3),
    Column("SYM", 8),
    Column("S", 1),
    Column("TYPE", 4),
    Column("ROLE", 5, optional=4),
    Column("QTY", 8, right=True),
    Column("PRICE", 10, right=True),
    Column("STATUS", 15),
    Column("FILLED", 9, right=True, optional=8),
    Column("AVG", 10, right=True, optional=9),
    Column("TRIGGER", 10, right=True, optional=7),
    Column("STRAT", 6, optional=5, grows=True),
)


def orders_panel(view: View, width: int, needle: str = "", *, working_only: bool = False) -> Panel:
    """Return the orders."""
    orders = view.orders
    rows = [row for row in orders.rows if row.is_working or not working_only]
    shown = [
        row
        for row in rows
        if matches(f"{row.key} {row.instrument_id} {row.facts.strategy_id} {row.status.name}", needle)
    ]
    unknown = f", {orders.unknown} UNKNOWN" if orders.unknown else ""
    late = age_if_late(orders.freshness, orders.age_ns)
    title = f"Orders {count_text(orders.working, orders.freshness)} working{unknown}{late}{filtered(needle)}"
    columns = choose(ORDER_COLUMNS, width)
    return Panel(
        title,
        tuple(row.key for row in shown),
        lambda index: order_line(shown[index], view.price_places, orders.freshness, columns, width),
        heading(columns, width),
        "enter=why x=cancel",
        Tone.P2 if orders.unknown else Tone.NORMAL,
        nothing("no order yet", orders.freshness),
    )


def order_status(row: OrderRow) -> tuple[str, Tone]:
    """Return the status with its reason or progress."""
    ordered = row.facts.terms.qty
    progress = f" {row.filled_qty / ordered:.0%}" if ordered and row.filled_qty else ""
    match row.status:
        case OrderStatus.UNKNOWN:
            return "UNKNOWN", Tone.P2
        case OrderStatus.REJECTED:
            return f"REJECTED {row.check_id or 'venue'}", Tone.P3
        case OrderStatus.PARTIALLY_FILLED:
            return f"PART{progress}", Tone.NORMAL
        case OrderStatus.PENDING_NEW:
            return "PENDING", Tone.NORMAL
        case OrderStatus.PENDING_CANCEL:
            return "CANCELING", Tone.NORMAL
        case OrderStatus.CANCELED | OrderStatus.EXPIRED:
            return f"{row.status.name}{progress}", Tone.MUTED
        case OrderStatus.FILLED:
            return "FILLED", Tone.MUTED
        case _:
            return row.status.name, Tone.NORMAL


def order_line(
    row: OrderRow, price_places: Mapping[str, int], freshness: Freshness, columns: Sequence[Column], width: int
) -> Line:
    """Return one order."""
    terms, facts = row.facts.terms, row.facts
    tone = Tone.NORMAL if row.is_working or row.status is OrderStatus.REJECTED else Tone.MUTED
    decimals = price_places.get(row.instrument_id, 0)
    good = freshness if row.is_working else Freshness.FRESH  # what is done stays done, however old the stream is
    if good >= Freshness.STALE:
        tone = Tone.STALE

    def price(value: Decimal | None) -> Span:
        return Span("--" if value is None else t.number(t.padded(value, decimals), 10).strip(), tone)

    average = None if row.avg_price is None else t.rounded(row.avg_price, max(decimals, 2))
    return row_line(
        columns,
        {
            "TIME": Span(t.clock(row.updated_ns), tone),
            "ID": Span(row.short_id, tone),
            "SYM": Span(symbol(row.instrument_id), tone),
            "S": Span("B" if row.is_buy else "S", tone),
            "TYPE": Span(TYPES[terms.order_type], tone),
            "ROLE": Span(ROLES[facts.role], tone),
            "QTY": Span(t.number(terms.qty, 8).strip() if terms.qty else "--", tone),
            "PRICE": price(row.price),
            "STATUS": _status_cell(row, good),
            "FILLED": value_cell(t.number(row.filled_qty, 8), good, tone),
            "AVG": price(average),
            "TRIGGER": price(terms.stop_price),
            "STRAT": Span(facts.strategy_id, tone),
        },
        width,
    )


def _status_cell(row: OrderRow, freshness: Freshness) -> Span:
    text, tone = order_status(row)
    return mark(text, freshness, tone)


def why_line(view: View, width: int, selected_key: str | None) -> Line:
    """Return why the selected order, else the newest refused or unknown one, is what it is."""
    rows = view.orders.rows
    row = next((item for item in rows if item.key == selected_key), None) if selected_key else None
    if row is None:
        row = next((item for item in rows if item.status in (OrderStatus.REJECTED, OrderStatus.UNKNOWN)), None)
    if row is None:
        words = nothing("no order was refused", view.orders.freshness)
        return t.fit_line((Span(f" why> {words}", Tone.MUTED),), width)
    words = row.why or f"{row.status.name}, nothing to explain"
    return t.fit_line((Span(f" why> {row.short_id}: ", Tone.MUTED), Span(t.clip(words, width - 15))), width)
