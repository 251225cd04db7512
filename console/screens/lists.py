"""Screens 2, 3, 6 and 7: one list each over the whole terminal."""

from __future__ import annotations

from textual.app import ComposeResult
from textual.containers import Vertical
from textual.widget import Widget

from console.layout import Plan
from console.panels.lists import alarms_panel, holds_panel, last_action_line
from console.panels.money import money_panel
from console.panels.orders import orders_panel, why_line
from console.panels.positions import positions_panel
from console.panels.system import system_panel
from console.screens.base import Frame, LiveScreen, set_height
from console.screens.overview import titled_lines
from console.table import Panel
from console.widgets.live_table import LiveTable


class ListScreen(LiveScreen):
    """One table that takes all lines, and some lines below it."""

    AUTO_FOCUS = "LiveTable.main"
    FOOT_LINES = 2

    def compose_body(self) -> ComposeResult:
        with Vertical(id="body"):
            table = LiveTable(self.table_id(), cursor=True)
            table.add_class("main")
            yield table
            yield LiveTable("foot")

    def table_id(self) -> str:
        """Return the name that the app's keys know this table by."""
        raise NotImplementedError

    def body(self) -> Widget:
        return self.query_one("#body")

    def paint_body(self, frame: Frame, plan: Plan) -> None:
        table, foot = self.query_one("LiveTable.main", LiveTable), self.query_one("#foot", LiveTable)
        set_height(foot, self.FOOT_LINES)
        set_height(table, max(1, self.size.height - plan.status - plan.keys - self.FOOT_LINES))
        table.show(self.panel(frame))
        foot.show(self.foot(frame, table))

    def panel(self, frame: Frame) -> Panel:
        """Return the table's contents."""
        raise NotImplementedError

    def foot(self, frame: Frame, table: LiveTable) -> Panel:
        """Return the lines below the table."""
        width = self.size.width
        return titled_lines("Last operator action", [last_action_line(frame.live, width)])


class OrdersScreen(ListScreen):
    """Every order known, with why the selected one is what it is."""

    def table_id(self) -> str:
        return "orders"

    def panel(self, frame: Frame) -> Panel:
        return orders_panel(frame.shown, self.size.width, frame.needle)

    def foot(self, frame: Frame, table: LiveTable) -> Panel:
        return titled_lines("Why", [why_line(frame.shown, self.size.width, table.selected)])


class PositionsScreen(ListScreen):
    """Every open position, with the account's money."""

    FOOT_LINES = 4

    def table_id(self) -> str:
        return "positions"

    def panel(self, frame: Frame) -> Panel:
        return positions_panel(frame.shown, self.size.width, frame.needle)

    def foot(self, frame: Frame, table: LiveTable) -> Panel:
        return money_panel(frame.shown, self.size.width)


class HoldsScreen(ListScreen):
    """Every hold, and every alarm below."""

    FOOT_LINES = 8

    def table_id(self) -> str:
        return "holds"

    def panel(self, frame: Frame) -> Panel:
        return holds_panel(frame.shown, self.size.width)

    def foot(self, frame: Frame, table: LiveTable) -> Panel:
        return alarms_panel(frame.live, self.size.width)


class SystemScreen(ListScreen):
    """Every figure of every daemon."""

    def table_id(self) -> str:
        return "system"

    def panel(self, frame: Frame) -> Panel:
        return system_panel(frame.shown, self.size.width, frame.needle)
