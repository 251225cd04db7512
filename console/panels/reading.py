"""Texts to read: the help, and what led to an order. Pure lines."""

from __future__ import annotations

from console import text as t
from console.model import Explanation
from console.orders import OrderRow
from console.panels.orders import ROLES, TYPES
from console.panels.words import gain
from console.text import Line, Span, Tone, line
from console.view import PositionView, View

HELP = (
    ("Stop", ""),
    ("F9", "HALT at once: no new risk, working entries canceled, stops at the venue stay"),
    ("F9 again within 5 s", "KILL: cancels all, nothing else is sent; resume needs two keys + restart"),
    ("click on F9 STOP", "the same as one press"),
    ("Screens", ""),
    ("1 2 3 6 7", "overview, orders, positions & money, holds & alarms, system"),
    ("4 5", "full depth and strategy editing: not built yet"),
    ("Lists", ""),
    ("tab", "next panel"),
    ("up down j k g G", "move; page keys too"),
    ("enter", "why pane of an order, detail of a position"),
    ("/", "filter the lists; escape ends it"),
    ("space", "freeze what is shown; the status lines go on; an alarm P1 or a stop ends it"),
    ("i", "depth of the next instrument"),
    ("Commands (each asks once, y confirms)", ""),
    ("x", "cancel the selected order"),
    ("e", "switch the selected strategy on or off"),
    ("h then c", "clear the selected ONE_KEY hold, with a reason"),
    ("Other", ""),
    (": or ctrl+p", "palette: everything by name"),
    ("q or ctrl+q", "leave; that never changes trading (a demo ends with its console)"),
    ("Signs", ""),
    ("~ grey", "stale or estimated: older than it should be; its age stands beside it"),
    ("?", "not known: too old to show, or never arrived"),
    ("^ v", "gain, loss"),
    ("[1] [2] [3]", "alarm priority: act now, soon, this shift. Acknowledge and shelve: not built yet"),
)


OUTCOMES = {"BLOCK": 0, "SOFT": 1, "PASS": 2, "SKIPPED": 3, "NOT_APPLICABLE": 4}
"""What decided stands first; within one outcome the catalogue's order stays."""


def help_lines() -> list[Line]:
    """Return the help."""
    lines: list[Line] = []
    for key, words in HELP:
        if not words:
            lines.append(line(Span(f" {key}", Tone.STRONG)))
        else:
            lines.append(line(f"   {key:<20} ", Span(words, Tone.MUTED)))
    return lines


def order_lines(row: OrderRow, explanation: Explanation | None) -> list[Line]:
    """Return an order with everything that led to it; `explanation` is None while execd is being asked."""
    terms, facts = row.facts.terms, row.facts
    price = "market" if terms.price is None else t.group(terms.price)
    trigger = f" trigger {t.group(terms.stop_price)}" if terms.stop_price is not None else ""
    lines = [
        line(f" order    {row.key}  {ROLES[facts.role]} of {facts.strategy_id}"),
        line(f" terms    {terms.side.name} {t.group(terms.qty)} {terms.instrument_id} {TYPES[terms.order_type]} {price}"
             f"{trigger} {terms.time_in_force.name}{' post-only' if terms.post_only else ''}"),
        line(f" status   {row.status.name}  filled {t.group(row.filled_qty)}"
             f"{'' if row.avg_price is None else f' at {t.rounded(row.avg_price, 8).normalize():f}'}"),
        line(" why      ", Span(t.printable(row.why) or "nothing to explain", Tone.STRONG if row.why else Tone.MUTED)),
        line(Span(f" trace    {facts.trace_id or '--'}  decision {facts.decision_id or '--'}", Tone.MUTED)),
    ]  # fmt: skip
    if explanation is None:
        return [*lines, line(Span(" asking execd what led to it ...", Tone.MUTED))]
    if explanation.signal:
        lines.append(line(f" signal   {explanation.signal} score {explanation.score or '--'}"
                          f"  market sequence {explanation.market_sequence}"))  # fmt: skip
    if explanation.features:
        values = "  ".join(f"{name} {value:.6g}" for name, value in explanation.features)
        lines.append(line(f" features {values}"))
    if explanation.derivation:
        lines.append(line(f" derived  {explanation.derivation}"))
    lines += [line(f" fill     {fill}") for fill in explanation.fills]
    if explanation.verdict:
        lines.append(line(Span(f" riskd    {explanation.verdict} at level {explanation.level}", Tone.STRONG)))
    for check in sorted(explanation.checks, key=lambda item: OUTCOMES.get(item.outcome, 0)):
        bad = check.outcome == "BLOCK"
        tone = Tone.P2 if bad else Tone.P3 if check.outcome == "SOFT" else Tone.MUTED
        limit = f" limit {check.limit}" if check.limit else ""
        words = f"{check.measured}{limit} {check.reason}".strip()
        lines.append(line(Span(f"   {check.check_id:<8} {check.outcome:<14} {words}", tone)))
    for time_ns, kind, words in explanation.events:
        lines += [line(Span(f"   {t.clock_ms(time_ns)} {kind:<16} {words}", Tone.MUTED))]
    return lines + [line(Span(f" missing  {t.printable(words)}", Tone.P3)) for words in explanation.missing]


def position_lines(item: PositionView, view: View) -> list[Line]:
    """Return one position in full."""
    row = item.position
    stop = "none: not protected at the venue" if row.stop_price is None else t.group(row.stop_price)
    average = "?" if row.avg_price is None else f"{row.avg_price.normalize():f}"
    return [
        line(f" {row.instrument_id} of {row.strategy_id} at {row.venue}"),
        line(f" quantity   {t.group(row.qty)}"),
        line(f" average    {average}"),
        line(f" mark       {'?' if row.mark_price is None else t.group(row.mark_price)}  {t.age(item.age_ns)} old"),
        line(" unrealized ", gain(row.unrealized, 20, item.mark_freshness)),
        line(" realized   ", gain(row.realized, 20, item.freshness)),
        line(f" fees       {'?' if row.fees is None else t.group(row.fees)}"),
        line(" stop       ", Span(stop, Tone.P2 if row.stop_price is None else Tone.NORMAL)),
        line(f" limit used {t.percent(row.limit_used_pct, 1)}"),
        line(f" opened     {t.clock(row.opened_ns)}Z, {t.age(view.now_ns - row.opened_ns)} ago"),
    ]
