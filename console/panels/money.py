"""The account's money and the equity curve."""

from __future__ import annotations

from decimal import Decimal
from typing import Final

from console import text as t
from console.panels.words import BAR_WIDTH, gain, title_of_money
from console.staleness import Freshness, mark
from console.table import Panel
from console.text import EMPTY, Line, Span, Tone, line
from console.view import View

MONEY_WIDTH: Final = 79
"""The money panel needs this much for its bars."""


def money_panel(view: View, width: int) -> Panel:
    """Return the account's money in three lines."""
    pnl, freshness = view.money.pnl, view.money.freshness
    title = title_of_money(view, f"Money {pnl.currency if pnl else ''}".strip())

    def amount(value: Decimal | None, *, signed: bool = False, decimals: int = 2) -> Span:
        shown = mark(t.number(value, 9, signed=signed, decimals=decimals).strip(), freshness)
        return Span(shown.text.rjust(10), shown.tone)

    def result(value: Decimal | None) -> Span:
        shown = gain(value, 11, freshness)
        return Span(shown.text.rjust(11), shown.tone)

    def field(name: str) -> Decimal | None:
        return None if pnl is None else getattr(pnl, name)

    dead = freshness is Freshness.DEAD
    gross, gross_limit = field("gross"), field("gross_limit")
    share = None if dead or gross is None or not gross_limit else float(gross / gross_limit)
    used = None if dead or pnl is None else pnl.limit_used
    of_limit = "" if dead or gross_limit is None else f" of {t.compact(gross_limit)}"
    used_text = f"{t.percent(None if used is None else used * 100):>4} used"
    rows = [
        (" realized  ", result(field("realized")), " gross", amount(gross), t.bar(share, BAR_WIDTH), of_limit,
         " fees    ", amount(field("fees"))),
        (" unrealized", result(field("unrealized")), " net  ", amount(field("net"), signed=True), "", "",
         " turnover", amount(field("turnover"), decimals=0)),
        (" day total ", result(field("day_pnl")), " limit", amount(field("day_limit"), decimals=0),
         t.bar(used, BAR_WIDTH), used_text, " equity  ", amount(field("equity"))),
    ]  # fmt: skip
    quiet = Tone.STALE if freshness >= Freshness.STALE else Tone.NORMAL
    with_bar = width >= MONEY_WIDTH
    lines = [
        line(
            row[0],
            row[1],
            row[2],
            row[3],
            Span(f" {row[4]:<{BAR_WIDTH}}{row[5]:<9}" if with_bar else "", quiet),
            row[6],
            row[7],
        )
        for row in rows
    ]
    if pnl is not None and pnl.stale_inputs:
        title += f"  ~ {pnl.stale_inputs} stale input{'s' if pnl.stale_inputs > 1 else ''}"
    return Panel.of_lines(title, [t.fit_line(content, width) for content in lines])


def equity_panel(view: View, width: int, rows: int) -> Panel:
    """Return the equity curve since the console was opened."""
    money = view.money
    currency = money.pnl.currency if money.pnl else ""
    span = f" last {t.age(money.history_span_ns)}" if money.history_span_ns else ""
    title = title_of_money(view, f"Equity{span} {currency}".rstrip())
    equity = money.pnl.equity if money.pnl else None
    now = mark(t.number(equity, 12, decimals=2).strip(), money.freshness)
    height = max(1, rows - 1)
    label_width = 10
    values = list(money.history)
    if len(values) < 2:
        body = [line(Span("  curve needs a second value", Tone.MUTED))] + [EMPTY] * (height - 1)
    else:
        labels = {0: max(values), height - 1: min(values)} if max(values) != min(values) else {height // 2: values[0]}
        curve = t.plot(values, width - label_width - 3, height)
        tone = Tone.STALE if money.freshness >= Freshness.STALE else Tone.NORMAL
        body = [
            line(f" {_label(labels.get(row), label_width - 1)} ", Span("│", Tone.MUTED), Span(curve[row], tone))
            for row in range(height)
        ]
    foot = line(Span(" now ", Tone.MUTED), now, Span("  dd ", Tone.MUTED), _drawdown(view))
    return Panel.of_lines(title, [t.fit_line(row, width) for row in (*body, foot)])


def equity_strip(view: View, width: int) -> Line:
    """Return the equity curve in one line."""
    money = view.money
    equity = money.pnl.equity if money.pnl else None
    now = mark(t.number(equity, 12, decimals=2).strip(), money.freshness)
    head = line(" equity ", now, "  dd ", _drawdown(view), "  ")
    return t.fit_line((*head, Span(t.sparkline(money.history, max(0, width - t.line_width(head) - 1)))), width)


def _drawdown(view: View) -> Span:
    pnl = view.money.pnl
    return mark(t.UNKNOWN if pnl is None else f"{pnl.drawdown_pct:.2f}%", view.money.freshness, Tone.MUTED)


def _label(value: float | None, width: int) -> str:
    return " " * width if value is None else t.number(Decimal(repr(value)), width, decimals=1)
