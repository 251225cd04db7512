"""Dialogs: they stand below the status lines, cancel with escape, and confirm with `y` only; enter confirms nothing.

The confirm key is never the key that opened the dialog, so a repeated key cannot confirm.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.screen import ModalScreen
from textual.widgets import Input, Static

from console.table import Panel
from console.text import Line, Span, Tone, fit_line
from console.widgets.live_table import LiveTable

MIN_REASON_CHARS = 8


class ConfirmDialog(ModalScreen[str | None]):
    """Level 1 and 2 of the confirmation ladder. Returns the reason (empty at level 1), or None when canceled."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("y", "confirm", show=False),
        Binding("n", "cancel", show=False),
        Binding("escape", "cancel", show=False, priority=True),
    ]

    def __init__(self, title: str, lines: Sequence[str], verb: str, *, needs_reason: bool) -> None:
        super().__init__()
        self._title = title
        self._lines = lines
        self._verb = verb
        self._needs_reason = needs_reason

    def compose(self) -> ComposeResult:
        with Vertical(id="dialog"):
            yield Static(self._title, id="dialog-title", markup=False)
            yield Static("\n".join(self._lines), id="dialog-text", markup=False)
            if self._needs_reason:
                yield Input(
                    placeholder=f"reason, at least {MIN_REASON_CHARS} characters, then enter", id="reason", compact=True
                )
            yield CancelLine(self._verb)

    def on_mount(self) -> None:
        """Start where typing is needed, else on Cancel."""
        self.query_one("#reason" if self._needs_reason else "#cancel").focus()

    def on_input_submitted(self, event: Input.Submitted) -> None:
        """Enter leaves the reason; it confirms nothing."""
        event.stop()
        self.query_one("#cancel").focus()

    @property
    def reason(self) -> str:
        """What was typed."""
        return self.query_one("#reason", Input).value.strip() if self._needs_reason else ""

    def action_confirm(self) -> None:
        """Do it, when the reason is long enough."""
        if self._needs_reason and len(self.reason) < MIN_REASON_CHARS:
            self.query_one("#dialog-text", Static).update(
                "\n".join([*self._lines, f"the reason needs at least {MIN_REASON_CHARS} characters"])
            )
            self.query_one("#reason").focus()
            return
        self.dismiss(self.reason)

    def action_cancel(self) -> None:
        """Leave everything as it is."""
        self.dismiss(None)


class CancelLine(Static, can_focus=True):
    """The default: focused, and enter on it does nothing."""

    def __init__(self, verb: str) -> None:
        super().__init__(f"[ Cancel: esc ]   y = {verb}", id="cancel", markup=False)


class TextDialog(ModalScreen[None]):
    """Lines to read: help, why pane, details."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape,q,enter,f1", "close", show=False, priority=True)]

    def __init__(self, title: str, lines: Sequence[Line]) -> None:
        super().__init__()
        self._title = title
        self._lines = list(lines)

    def compose(self) -> ComposeResult:
        with Vertical(id="reader"):
            yield LiveTable("text", cursor=True)

    def on_mount(self) -> None:
        """Show what is known."""
        self.query_one("#text").focus()
        self.call_after_refresh(self._show)

    def on_resize(self) -> None:
        self.call_after_refresh(self._show)

    def replace(self, lines: Sequence[Line]) -> None:
        """Show other lines: an answer has arrived."""
        self._lines = list(lines)
        if self.is_mounted:
            self._show()

    def _show(self) -> None:
        table = self.query_one("#text", LiveTable)
        rows = max(3, min(len(self._lines) + 1, self.size.height - 6))
        table.styles.height = rows
        width = table.size.width
        lines = [fit_line(content, width) for content in self._lines]
        table.show(Panel.of_lines(self._title, lines or [(Span("nothing", Tone.MUTED),)], hint="esc=back"))

    def action_close(self) -> None:
        """Back."""
        self.dismiss(None)
