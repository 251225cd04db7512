"""Log, last operator action, holds, alarms."""

from __future__ import annotations

from typing import Final

from console import text as t
from console.model import LogEntry
from console.panels.words import count_text, filtered, matches, nothing, symbol
from console.staleness import mark
from console.stop_state import kill_sentence
from console.table import Column, Panel, choose, heading, row_line
from console.text import Line, Span, Tone, line
from console.view import View

LOG_LEVELS: Final = {"warning": "WARN", "error": "ERR", "critical": "CRIT"}


def log_panel(view: View, width: int, needle: str = "", *, narrow: bool = False) -> Panel:
    """Return the log, newest first."""
    entries = [entry for entry in reversed(view.log) if matches(f"{entry.daemon} {entry.text}", needle)]
    return Panel(
        f"Log WARN+{filtered(needle)}",
        tuple(f"{entry.time_ns}{index}" for index, entry in enumerate(entries)),
        lambda index: log_line(entries[index], width, narrow=narrow),
        empty="no line yet",
    )


def log_line(entry: LogEntry, width: int, *, narrow: bool) -> Line:
    """Return one line of the log."""
    when = t.clock(entry.time_ns) if narrow else t.clock_ms(entry.time_ns)
    level = LOG_LEVELS.get(entry.level, entry.level.upper())
    tone = Tone.P2 if level in ("ERR", "CRIT") else Tone.NORMAL
    trace = f" trace {entry.trace_id[:8]}" if entry.trace_id and not narrow else ""
    head = f" {when} " if narrow else f" {when} {level:<4} "
    room = width - len(head) - 11 - len(trace)
    body = Span(t.left(t.printable(entry.text), room), tone)
    return t.fit_line(
        line(
            Span(head, tone if level != "WARN" else Tone.MUTED),
            f"{t.left(entry.daemon, 10)} ",
            body,
            Span(trace, Tone.MUTED),
        ),
        width,
    )


def last_action_line(view: View, width: int, *, prefix: str = "") -> Line:
    """Return the answer to our own last action, else the last command in the audit trail."""
    if view.notice:
        return t.fit_line(
            (Span(f" {prefix}{t.clip(t.printable(view.notice), width - 2 - len(prefix))}", Tone.STRONG),), width
        )
    command = view.last_command
    if command is None:
        return t.fit_line((Span(f" {prefix}none yet", Tone.MUTED),), width)
    words = f" {prefix}{t.clock(command.time_ns)}Z {command.operator} {command.text}"
    return t.fit_line((Span(t.clip(t.printable(words), width)),), width)


HOLD_COLUMNS: Final = (
    Column("LEVEL", 11),
    Column("SCOPE", 18),
    Column("CAUSE", 16),
    Column("CLEAR", 8),
    Column("AGE", 4, right=True),
    Column("LEFT", 4, right=True, optional=4),
    Column("BY", 10, optional=5),
    Column("EVIDENCE", 10, grows=True, optional=6),
)


def holds_panel(view: View, width: int) -> Panel:
    """Return the holds, the highest first."""
    holds, freshness = view.level.holds, view.level.holds_freshness
    columns = choose(HOLD_COLUMNS, width)
    kills = {kill.kill_id: kill_sentence(kill, view.now_ns) for kill in view.kills}

    def content(index: int) -> Line:
        hold = holds[index]
        evidence = ", ".join(words for words in (kills.get(hold.hold_id, ""), hold.evidence) if words)
        left_ns = max(0, hold.until_ns - view.now_ns) if hold.until_ns else None
        return row_line(
            columns,
            {
                "LEVEL": mark(hold.level.name, freshness, Tone.P3 if hold.level < 4 else Tone.P2),
                "SCOPE": Span(symbol(hold.scope.name) or "system"),
                "CAUSE": Span(t.printable(hold.cause)),
                "CLEAR": Span(hold.release.name),
                "AGE": Span(t.age(view.now_ns - hold.raised_ns)),
                "LEFT": Span("--" if left_ns is None else t.age(left_ns)),
                "BY": Span(hold.raised_by),
                "EVIDENCE": Span(t.printable(evidence)),
            },
            width,
        )

    title = f"Holds {count_text(len(holds), freshness)}"
    keys = tuple(hold.hold_id for hold in holds)
    return Panel(
        title,
        keys,
        content,
        heading(columns, width),
        "c=clear",
        empty=nothing("no hold: nothing restricts trading", freshness),
    )


def alarms_panel(view: View, width: int) -> Panel:
    """Return all alarms, the worst first."""

    def content(index: int) -> Line:
        alarm = view.alarms[index]
        tone = (Tone.P1, Tone.P2, Tone.P3)[alarm.priority - 1]
        return t.fit_line(
            line(
                Span(f" [{alarm.priority}] P{alarm.priority} ", tone),
                f"{t.age(view.now_ns - alarm.since_ns):>4}  {t.printable(alarm.text)}",
                Span(f" -> {alarm.action}", Tone.MUTED),
            ),
            width,
        )

    return Panel(f"Alarms {len(view.alarms)}", tuple(alarm.key for alarm in view.alarms), content, empty="no alarm")
