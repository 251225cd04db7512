"""Screen 1: everything an operator needs to know within two seconds."""

from __future__ import annotations

from textual.app import ComposeResult
from textual.containers import Horizontal, Vertical
from textual.widget import Widget

from console.layout import Kind, Plan
from console.panels.daemons import daemon_strip, daemons_panel
from console.panels.depth import depth_panel
from console.panels.lists import last_action_line, log_panel
from console.panels.money import equity_panel, equity_strip, money_panel
from console.panels.orders import orders_panel, why_line
from console.panels.positions import positions_panel
from console.panels.strategies import strategies_panel, strategies_strip
from console.screens.base import Frame, LiveScreen, set_height
from console.table import Panel
from console.text import Line
from console.widgets.live_table import LiveTable


class OverviewScreen(LiveScreen):
    """Daemons, money, positions, orders, depth, strategies, log, last action."""

    AUTO_FOCUS = "#positions"

    def compose_body(self) -> ComposeResult:
        with Vertical(id="body"):
            with Horizontal(id="upper"):
                with Vertical(id="left"):
                    yield LiveTable("daemons")
                    yield LiveTable("money")
                    yield LiveTable("positions", cursor=True)
                with Vertical(id="right"):
                    yield LiveTable("equity")
                    yield LiveTable("depth")
            with Horizontal(id="lower"):
                with Vertical(id="orders-box"):
                    yield LiveTable("orders", cursor=True)
                    yield LiveTable("why")
                yield LiveTable("strategies", cursor=True)
            yield LiveTable("log", cursor=True)
            yield LiveTable("last")

    def body(self) -> Widget:
        return self.query_one("#body")

    def paint_body(self, frame: Frame, plan: Plan) -> None:
        self._arrange(plan)
        view, needle, width = frame.shown, frame.needle, self.size.width
        narrow = plan.kind is Kind.NARROW
        left = width - plan.right_width
        right = plan.right_width - 1  # its border
        orders = self._table("orders")
        chosen = orders.selected if orders.has_focus else None
        if narrow:
            self._show("daemons", [daemon_strip(view, width)])
            self._table("positions").show(untitled(positions_panel(view, width, needle)))
            self._table("strategies").show(titled_lines("Strategies", [strategies_strip(view, width)]))
            self._show("last", [last_action_line(frame.live, width, prefix="last: "), equity_strip(view, width)])
        else:
            self._table("daemons").show(daemons_panel(view, left, plan.daemons - 1))
            self._table("money").show(money_panel(view, left))
            self._table("positions").show(positions_panel(view, left, needle))
            self._table("equity").show(equity_panel(view, right, plan.equity - 1))
            self._table("depth").show(depth_panel(view, right, plan.depth - 1))
            self._table("strategies").show(strategies_panel(view, right, needle))
            last = last_action_line(frame.live, width, prefix="last: " if plan.last == 1 else "")
            self._table("last").show(titled_lines("Last operator action" if plan.last == 2 else "", [last]))
        orders_width = width if narrow else left
        panel = orders_panel(view, orders_width, needle)
        orders.show(panel if plan.orders >= 6 else headless(panel))
        self._show("why", [why_line(view, orders_width, chosen)])
        self._table("log").show(log_panel(view, width, needle, narrow=narrow))

    def _arrange(self, plan: Plan) -> None:
        narrow = plan.kind is Kind.NARROW
        for name in ("daemons", "money", "positions", "equity", "depth", "orders", "why", "strategies", "log", "last"):
            set_height(self._table(name), getattr(plan, name))
        set_height(self.query_one("#upper"), plan.daemons + plan.money + plan.positions)
        set_height(self.query_one("#lower"), plan.orders + plan.why + (plan.strategies if narrow else 0))
        right = self.query_one("#right")
        right.display = plan.right_width > 0
        self.set_class(narrow, "-stacked")
        if not narrow:
            set_width(right, plan.right_width)
            set_width(self._table("strategies"), plan.right_width)
            set_height(self.query_one("#orders-box"), plan.orders + plan.why)
        else:
            set_height(self.query_one("#orders-box"), plan.orders + plan.why)
            self._table("strategies").styles.width = "100%"

    def _table(self, name: str) -> LiveTable:
        return self.query_one(f"#{name}", LiveTable)

    def _show(self, name: str, lines: list[Line]) -> None:
        self._table(name).show(Panel.of_lines("", lines))


def set_width(widget: Widget, width: int) -> None:
    """Give a widget a fixed width."""
    wanted = widget.styles.width
    if wanted is None or wanted.cells != width:
        widget.styles.width = width


def untitled(panel: Panel) -> Panel:
    """Return a panel without its title line, for small terminals."""
    return Panel("", panel.keys, panel.line_of, panel.head, empty=panel.empty)


def headless(panel: Panel) -> Panel:
    """Return a panel without its line of column names, for small terminals."""
    return Panel(panel.title, panel.keys, panel.line_of, None, panel.hint, panel.tone, panel.empty)


def titled_lines(title: str, lines: list[Line]) -> Panel:
    """Return fixed lines under a title."""
    return Panel.of_lines(title, lines)
