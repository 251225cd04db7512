"""LiveTable: lines painted from a `Panel`, one cached strip per line, only changed lines repainted.

`show` may be called at any rate: it formats the visible lines only, compares them with what is painted, and refreshes
the difference. Measuring or laying out text, as the stock table does at each update, is what makes a live screen slow.
"""

from __future__ import annotations

from typing import ClassVar

from rich.segment import Segment
from rich.style import Style
from textual import events
from textual.binding import Binding, BindingType
from textual.geometry import Region, Size
from textual.message import Message
from textual.scroll_view import ScrollView
from textual.strip import Strip

from console.table import Panel
from console.text import EMPTY, Line, Span, Tone, clip, fit_line, line_width
from console.widgets.palette import CURSOR, RULE_STYLE, STYLES

Painted = tuple[Line, bool]
"""A line and whether the cursor is on it."""
_RULE = "─"


class LiveTable(ScrollView):
    """A titled list of lines with a cursor that stays on its row while rows move."""

    DEFAULT_CSS = """
    LiveTable { scrollbar-size: 0 0; overflow: hidden hidden; height: auto; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("down,j", "move(1)", show=False),
        Binding("up,k", "move(-1)", show=False),
        Binding("pagedown", "page(1)", show=False),
        Binding("pageup", "page(-1)", show=False),
        Binding("g,home", "jump(0)", show=False),
        Binding("G,end", "jump(-1)", show=False),
        Binding("enter", "choose", show=False),
    ]

    class Chosen(Message):
        """Enter on a row."""

        def __init__(self, table: LiveTable, key: str) -> None:
            super().__init__()
            self.table = table
            self.key = key

        @property
        def control(self) -> LiveTable:
            return self.table

    def __init__(self, name: str, *, cursor: bool = False) -> None:
        """Make a table; `name` is its id on the screen, `cursor` lets it be focused and walked through."""
        super().__init__(id=name)
        self.can_focus = cursor
        self._cursor = cursor
        self._panel = Panel.of_lines("", ())
        self._cursor_key: str | None = None
        self._painted: list[Painted] = []
        self._strips: dict[int, Strip] = {}
        self._top = 0

    @property
    def selected(self) -> str | None:
        """Key of the row under the cursor; None without rows."""
        if not self._cursor or not self._panel.keys:
            return None
        return self._cursor_key if self._cursor_key in self._panel.keys else self._panel.keys[0]

    @property
    def lines(self) -> list[str]:
        """The visible lines as text."""
        return ["".join(span.text for span in content) for content, _ in self._painted]

    def show(self, panel: Panel) -> None:
        """Take new contents and repaint the lines that differ."""
        self._panel = panel
        if panel.keys and self._cursor_key not in panel.keys:
            self._cursor_key = panel.keys[0]
        self._repaint()

    # --- painting ----------------------------------------------------------------------------------------------------

    @property
    def _fixed(self) -> int:
        """Lines above the rows."""
        return (1 if self._panel.title else 0) + (1 if self._panel.head is not None else 0)

    @property
    def _room(self) -> int:
        return max(0, self.size.height - self._fixed)

    def _repaint(self) -> None:
        size = self.size
        if not size:
            return
        self._keep_cursor_visible()
        fresh = [self._content(y) for y in range(size.height)]
        if len(fresh) != len(self._painted):
            self._painted = fresh
            self._strips.clear()
            self.refresh()
            return
        for y, (new, old) in enumerate(zip(fresh, self._painted, strict=True)):
            if new != old:
                self._painted[y] = new
                self._strips.pop(y, None)
                self.refresh(Region(0, y, size.width, 1))

    def _content(self, y: int) -> Painted:
        panel, width = self._panel, self.size.width
        if panel.title and y == 0:
            return self._title(width), False
        if y < self._fixed:
            return fit_line(panel.head or EMPTY, width), False
        index = y - self._fixed + self._top
        if index < len(panel.keys):
            at_cursor = self._cursor and self.has_focus and panel.keys[index] == self.selected
            return fit_line(panel.line_of(index), width), at_cursor
        if not panel.keys and y == self._fixed and panel.empty:
            return fit_line((Span(f" {panel.empty}", Tone.MUTED),), width), False
        return fit_line(EMPTY, width), False

    def _title(self, width: int) -> Line:
        panel = self._panel
        count = len(panel.keys)
        where = f" {self._top + 1}-{min(count, self._top + self._room)}/{count} " if count > self._room > 0 else ""
        if not self._cursor:
            where = ""
        hint = f" {panel.hint} " if panel.hint else ""
        words = f" {panel.title} "
        if len(words) + len(hint) + len(where) + 4 > width:
            hint = ""
        words = clip(words, max(0, width - len(where) - 2))
        tone = panel.tone if panel.tone is not Tone.NORMAL else Tone.STRONG if self.has_focus else Tone.NORMAL
        rule = width - 1 - len(words) - len(hint) - len(where)
        return (
            Span(_RULE, Tone.MUTED),
            Span(words, tone),
            Span(hint, Tone.MUTED),
            Span(_RULE * max(0, rule), Tone.MUTED),
            Span(where, Tone.MUTED),
        )

    def render_line(self, y: int) -> Strip:
        if y >= len(self._painted):
            return Strip.blank(self.size.width, STYLES[Tone.NORMAL])
        strip = self._strips.get(y)
        if strip is None:
            strip = self._strips[y] = self._strip(*self._painted[y])
        return strip

    def _strip(self, content: Line, at_cursor: bool) -> Strip:
        segments = [Segment(span.text, _style(span, at_cursor)) for span in content]
        return Strip(segments, line_width(content))

    # --- cursor ------------------------------------------------------------------------------------------------------

    def _index(self) -> int:
        key = self.selected
        return self._panel.keys.index(key) if key is not None else 0

    def _keep_cursor_visible(self) -> None:
        count, room = len(self._panel.keys), self._room
        if self._cursor and self.has_focus and count:
            index = self._index()
            self._top = min(self._top, index) if index < self._top else max(self._top, index - room + 1)
        elif not self.has_focus:
            self._top = 0  # nobody reads here: show what is most important
        self._top = max(0, min(self._top, count - room))

    def _move_to(self, index: int) -> None:
        keys = self._panel.keys
        if keys:
            self._cursor_key = keys[max(0, min(index, len(keys) - 1))]
            self._repaint()

    def action_move(self, step: int) -> None:
        """Move the cursor."""
        self._move_to(self._index() + step)

    def action_page(self, step: int) -> None:
        """Move by one page."""
        self._move_to(self._index() + step * max(1, self._room - 1))

    def action_jump(self, index: int) -> None:
        """Go to the first (0) or last (-1) row."""
        self._move_to(index % max(1, len(self._panel.keys)))

    def action_choose(self) -> None:
        """Tell that the row under the cursor was chosen."""
        if (key := self.selected) is not None:
            self.post_message(self.Chosen(self, key))

    def on_click(self, event: events.Click) -> None:
        """Select the row under the mouse."""
        if self._cursor and event.y >= self._fixed:
            self._move_to(event.y - self._fixed + self._top)

    def on_mouse_scroll_down(self, event: events.MouseScrollDown) -> None:
        event.stop()
        self.action_move(1)

    def on_mouse_scroll_up(self, event: events.MouseScrollUp) -> None:
        event.stop()
        self.action_move(-1)

    def on_focus(self) -> None:
        self._repaint()

    def on_blur(self) -> None:
        self._repaint()

    def on_resize(self) -> None:
        self.virtual_size = Size(self.size.width, self.size.height)
        self._painted = []
        self._repaint()


def _style(span: Span, at_cursor: bool) -> Style:
    style = RULE_STYLE if span.tone is Tone.MUTED and span.text[:1] in "─│" else STYLES[span.tone]
    return style + CURSOR if at_cursor else style
