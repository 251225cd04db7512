"""What is left below 80x24: mode and level, the day, alarms, stop. Each fits 40 cells."""

from __future__ import annotations

from console.panels.status import (
    alarm_counts,
    data_span,
    day_line,
    level_span,
    mode_span,
    smaller_holds,
    stop_span,
    who_variants,
)
from console.text import Line, Span, fit_line, join
from console.view import View


def tiny_lines(view: View, width: int, height: int, alarm: Line) -> list[Line]:
    """Return as many of these lines as fit, the most important first."""
    lines: list[Line] = [
        (mode_span(view), level_span(view), *smaller_holds(view)),
        (Span(" "), *day_line(view)),
        (Span(" "), stop_span(view, short=True), Span("  F9 HALT, again KILL")),
        (Span(" "), *join([alarm_counts(view), (data_span(view),)], "│")),
        alarm,
        (Span(f" {who_variants(view)[1]}"),),
        (Span(" terminal below 80x24: make it larger"),),
    ]
    return [fit_line(content, width) for content in lines[:height]]
