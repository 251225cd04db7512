"""Daemons, venue connections and books."""

from __future__ import annotations

from typing import Final

from console import text as t
from console.panels.words import symbol
from console.staleness import Freshness, mark
from console.table import Panel, Strip2
from console.text import EMPTY, Line, Span, Tone, line
from console.view import BookView, DaemonView, LinkView, View

DAEMON_WIDTH: Final = 38
"""Left part of the panel of daemons and venues."""


STATES: Final = {
    "OK": ("ok", Tone.NORMAL),
    "STARTING": ("start", Tone.P3),
    "DEGRADED": ("degr", Tone.P3),
    "STOPPING": ("stop", Tone.P3),
}


def daemon_state(item: DaemonView) -> tuple[str, Tone]:
    """Return one word for a daemon and its tone."""
    if item.beat is None or item.freshness is Freshness.DEAD:
        return "DOWN", Tone.P2
    if item.freshness is Freshness.STALE:
        return "~STALE", Tone.STALE
    if item.freshness is Freshness.LATE:
        return "LATE", Tone.P3
    return STATES.get(item.beat.state, ("?", Tone.STALE))


def daemon_line(item: DaemonView, width: int) -> Line:
    """Return ` marketdata ok     0.3s  4.1k/s`; the figure only when all of it fits."""
    word, tone = daemon_state(item)
    figure = mark(item.figure, item.freshness) if item.figure else Span("?" if item.beat is None else "")
    head = line(f" {item.daemon:<10} ", Span(f"{word:<6}", tone), f" {t.age(item.age_ns):>4}")
    return t.whole(head, (Span("  "), figure), width)


def link_state(item: LinkView) -> tuple[str, Tone]:
    """Return one word for a venue connection."""
    if item.freshness is Freshness.DEAD:
        return ("DOWN" if item.link.state == "down" else "?"), Tone.P2
    if item.freshness is Freshness.STALE:
        return f"~{item.link.state if item.link.state != 'live' else 'stale'}", Tone.STALE
    return ("ok", Tone.NORMAL) if item.freshness is Freshness.FRESH else ("LATE", Tone.P3)


def link_line(item: LinkView, width: int) -> Line:
    """Return ` binance  private ok  0.1s  rej 0.0%`; the rejects only when all of it fits."""
    word, tone = link_state(item)
    reject = mark(f"rej {item.link.reject_pct:.1f}%", item.freshness) if item.link.channel == "private" else Span("")
    head = line(
        f" {t.left(item.link.venue, 8)} {item.link.channel:<7} ", Span(f"{word:<7}", tone), f" {t.age(item.age_ns):>4}"
    )
    return t.whole(head, (Span(" "), reject), width)


def book_line(item: BookView, width: int) -> Line:
    """Return ` BTC-USDT book    ok  0.1s  gaps 0`."""
    book = item.book
    if item.freshness is Freshness.DEAD:
        word, tone = "?", Tone.P2
    elif book.state != "LIVE":
        word, tone = f"~{book.state}", Tone.P2
    elif item.freshness is Freshness.STALE:
        word, tone = "~STALE", Tone.STALE
    else:
        word, tone = ("ok" if item.freshness is Freshness.FRESH else "late"), Tone.NORMAL
    gaps = Span(f"gaps {book.gaps}") if book.gaps else Span("")
    head = line(
        f" {t.left(symbol(book.instrument_id), 8)} book    ", Span(f"{word:<7}", tone), f" {t.age(item.age_ns):>4}"
    )
    return t.whole(head, (Span(" "), gaps), width)


def daemons_panel(view: View, width: int, rows: int) -> Panel:
    """Return daemons at the left, venue connections and books at the right, the worst of those first."""
    left_width = min(DAEMON_WIDTH, width // 2)
    right_width = width - left_width - 1
    connections = [(item.freshness, link_line(item, right_width)) for item in view.links]
    connections += [(item.freshness, book_line(item, right_width)) for item in view.books]
    room = max(1, rows - 1)
    if len(connections) > room:
        connections.sort(key=lambda item: -item[0])
        hidden = len(connections) - room + 1
        more = line(Span(f" +{hidden} more, none worse", Tone.MUTED))
        connections = [*connections[: room - 1], (Freshness.FRESH, more)]
    if not connections:
        connections = [(Freshness.DEAD, line(" venues ", Span("?", Tone.STALE)))]
    right = [content for _, content in connections]
    right += [EMPTY] * (room - len(right))
    lag = Span(f" ui lag {view.ui_lag_ms:.0f}ms {view.fps:.0f} fps", Tone.P3 if view.ui_lag_ms > 250 else Tone.MUTED)
    right.append(t.whole((lag,), (Span(f"  build {view.identity.build}", Tone.MUTED),), right_width))
    block = Strip2([daemon_line(item, left_width) for item in view.daemons], right)
    return Panel.of_lines("Daemons & venues", block.lines(left_width, right_width, rows))


SHORT_NAMES: Final = {"marketdata": "md", "engine": "eng", "riskd": "risk", "execd": "exec", "recorder": "rec"}


def daemon_strip(view: View, width: int) -> Line:
    """Return all daemons, venues and books in one line: `md ok .3│eng ok .2│…`."""
    parts: list[Line] = []
    for item in view.daemons:
        word, tone = daemon_state(item)
        age = "" if item.freshness is Freshness.FRESH else f" {t.age(item.age_ns)}"
        parts.append((Span(f"{SHORT_NAMES[item.daemon]} "), Span(f"{word}{age}", tone)))
    for link in view.links:
        word, tone = link_state(link)
        parts.append((Span(f"{link.link.venue[:3]}.{link.link.channel[:3]} "), Span(word, tone)))
    return t.fit_line((Span(" "), *t.join(parts, "│")), width)
