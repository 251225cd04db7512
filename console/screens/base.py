"""What every full screen has: the status lines on top, the key line at the bottom, and `paint`."""

from __future__ import annotations

from dataclasses import dataclass

from textual import events
from textual.app import ComposeResult
from textual.css.query import NoMatches
from textual.screen import Screen
from textual.widget import Widget

from console.layout import Kind, Plan, plan_layout
from console.panels.status import alarm_line, key_line, status_lines
from console.panels.tiny import tiny_lines
from console.table import Panel
from console.text import Line
from console.view import View
from console.widgets.live_table import LiveTable

STOP_AREA_WIDTH = 27
"""Cells at the right end of the key line that act as one press of F9."""


@dataclass(frozen=True, slots=True)
class Frame:
    """What is painted in one tick."""

    live: View
    """Now: the status lines never freeze."""
    shown: View
    """The same, or what was shown when the operator froze the screen."""
    needle: str
    """Filter."""
    frozen_s: int | None
    kill_window_left_ns: int


class KeyLine(LiveTable):
    """The last line. A click on its right end is one press of F9."""

    def on_click(self, event: events.Click) -> None:
        event.stop()
        if event.x >= self.size.width - STOP_AREA_WIDTH:
            self.app.simulate_key("f9")


class LiveScreen(Screen[None]):
    """A screen that is repainted from the view; the status lines are the same on all of them."""

    def on_mount(self) -> None:
        """Show something at once, not at the next tick."""
        self.call_after_refresh(self.app.paint)  # type: ignore[attr-defined]

    def compose(self) -> ComposeResult:
        """Status, the screen's own panels, keys."""
        yield LiveTable("status")
        yield from self.compose_body()
        yield KeyLine("keys")

    def compose_body(self) -> ComposeResult:
        """Yield the panels between status and keys."""
        raise NotImplementedError

    def body(self) -> Widget:
        """Return the container that is hidden when only the status fits."""
        raise NotImplementedError

    def paint_body(self, frame: Frame, plan: Plan) -> None:
        """Show the screen's own panels."""
        raise NotImplementedError

    def paint(self, frame: Frame) -> None:
        """Show a frame; called by the paint timer, also while a dialog covers this screen."""
        width, height = self.size
        if width == 0:
            return
        try:
            self._paint(frame, plan_layout(width, height), width, height)
        except NoMatches:
            return  # being composed or taken down while the timer ticks: there is nothing to paint on

    def _paint(self, frame: Frame, plan: Plan, width: int, height: int) -> None:
        status, keys = self.query_one("#status", LiveTable), self.query_one("#keys", KeyLine)
        tiny = plan.kind is Kind.TINY
        set_height(status, plan.status)
        set_height(keys, plan.keys)
        self.body().display = not tiny
        status.show(Panel.of_lines("", self._status(frame, plan, width, height)))
        keys.show(Panel.of_lines("", [key_line(width, narrow=plan.kind is not Kind.NORMAL)]))
        if not tiny:
            self.paint_body(frame, plan)

    def _status(self, frame: Frame, plan: Plan, width: int, height: int) -> list[Line]:
        alarm = alarm_line(frame.live, width, kill_window_left_ns=frame.kill_window_left_ns, frozen_s=frame.frozen_s)
        if plan.kind is Kind.TINY:
            return tiny_lines(frame.live, width, height, alarm)
        return [*status_lines(frame.live, width, narrow=plan.kind is Kind.NARROW), alarm]


def set_height(widget: Widget, height: int) -> None:
    """Give a widget a fixed height, 0 hides it; nothing is laid out again when it already has it."""
    widget.display = height > 0
    wanted = widget.styles.height
    if height and (wanted is None or wanted.cells != height):
        widget.styles.height = height
