"""The Textual application: one paint timer, the keys, the dialogs. Decides nothing about trading.

Streams write the store; only the timer paints, at a fixed rate, so a burst of messages costs one repaint. F9 is bound
with priority: it works with the focus anywhere.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine, Iterable
from typing import Any, ClassVar, Final

from textual import events
from textual.app import App, SystemCommand
from textual.binding import Binding, BindingType
from textual.screen import Screen
from textual.widgets import Input

from console.link import Link
from console.model import Explanation
from console.panels.reading import help_lines, order_lines, position_lines
from console.screens.base import Frame, LiveScreen
from console.screens.dialogs import ConfirmDialog, TextDialog
from console.screens.lists import HoldsScreen, OrdersScreen, PositionsScreen, SystemScreen
from console.screens.overview import OverviewScreen
from console.stop_keys import StopKeys, StopLevel
from console.store import Store
from console.view import View
from console.widgets.live_table import LiveTable
from tradebot.core.levels import ReleaseRule
from tradebot.runtime.clock import Clock

STYLE: Final = """
Screen { background: #1c1c1c; color: #c6c6c6; }
LiveTable { background: #1c1c1c; width: 100%; }
#upper, #lower { height: auto; }
#left, #orders-box { width: 1fr; height: auto; }
#right { height: 100%; border-left: solid #585858; }
#strategies { border-left: solid #585858; }
OverviewScreen.-stacked #lower { layout: vertical; }
OverviewScreen.-stacked #orders-box { width: 100%; }
OverviewScreen.-stacked #strategies { border-left: none; }
ModalScreen { background: transparent; align: center middle; }
CommandPalette { background: transparent; }
#dialog, #reader { background: #1c1c1c; border: solid #8a8a8a; padding: 0 1; height: auto; margin: 3 2 1 2; }
#dialog { width: 76; max-width: 100%; }
#reader { width: 110; max-width: 100%; padding: 0; }
#dialog-title { text-style: bold; }
#dialog-text { margin: 1 0; }
#cancel { margin-top: 1; }
#cancel:focus { text-style: reverse; }
#filter { dock: bottom; margin-bottom: 1; display: none; background: #303030; }
"""
ROLES_WITH_HANDS: Final = ("trader", "risk")


class ConsoleApp(App[None]):
    """The operator console."""

    TITLE = "tradebot"
    CSS = STYLE
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("f9", "stop", "STOP", priority=True, show=False),
        Binding("ctrl+q", "leave", "Quit", priority=True, show=False),
        Binding("q", "leave", show=False),
        Binding("f1,question_mark", "help", show=False),
        Binding("colon", "command_palette", show=False),
        Binding("1", "show('overview')", show=False),
        Binding("2", "show('orders')", show=False),
        Binding("3", "show('positions')", show=False),
        Binding("6,h", "show('holds')", show=False),
        Binding("7", "show('system')", show=False),
        Binding("4,5", "not_built", show=False),
        Binding("escape", "back", show=False),
        Binding("space", "freeze", show=False),
        Binding("slash", "filter", show=False),
        Binding("i", "next_instrument", show=False),
        Binding("x", "cancel_order", show=False),
        Binding("e", "switch_strategy", show=False),
        Binding("c", "clear_hold", show=False),
    ]
    SCREENS: ClassVar[dict[str, Any]] = {
        "overview": OverviewScreen,
        "orders": OrdersScreen,
        "positions": PositionsScreen,
        "holds": HoldsScreen,
        "system": SystemScreen,
    }

    def __init__(self, store: Store, make_link: Callable[[], Link], clock: Clock, *, paint_hz: int = 10) -> None:
        """Make the app; `make_link` is called once the event loop runs, connections belong to it."""
        super().__init__()
        self.store = store
        self._make_link = make_link
        self._link_or_none: Link | None = None
        self._clock = clock
        self._paint_hz = paint_hz
        self._stop_keys = StopKeys()
        self._stop_pressed_ns = 0
        self._tasks: set[asyncio.Task[Any]] = set()
        self._needle = ""
        self._frozen: View | None = None
        self._urgent: set[str] = set()
        self._last_paint_ns: int | None = None
        self._fps = float(paint_hz)
        self.animation_level = "none"

    async def on_mount(self) -> None:
        """Start the streams and the one timer that paints."""
        self._link_or_none = self._make_link()
        await self.push_screen("overview")
        self.run_worker(self._link.run(), name="streams", exit_on_error=True)
        self.set_interval(1 / self._paint_hz, self.paint)

    async def on_unmount(self) -> None:
        """Give the connections up."""
        if self._link_or_none is not None:
            await self._link_or_none.close()

    @property
    def _link(self) -> Link:
        if self._link_or_none is None:
            raise RuntimeError("the console is not mounted yet")
        return self._link_or_none

    # --- painting ----------------------------------------------------------------------------------------------------

    def paint(self) -> None:
        """Paint every screen that can be seen: dialogs leave the one below visible."""
        self._measure_lag()
        now_ns = self._clock.now_ns()
        live = self.store.view(now_ns)
        if self._frozen is not None and any(alarm.priority == 1 for alarm in live.alarms):
            self._frozen = None
        self._ring_for_new_alarms({alarm.key for alarm in live.alarms if alarm.priority == 1})
        frozen = self._frozen
        frame = Frame(
            live=live,
            shown=live if frozen is None else frozen,
            needle=self._needle,
            frozen_s=None if frozen is None else (now_ns - frozen.now_ns) // 1_000_000_000,
            kill_window_left_ns=self._stop_keys.kill_window_left_ns(time.monotonic_ns()),
        )
        for screen in self.screen_stack:
            if isinstance(screen, LiveScreen) and screen.is_current:
                screen.paint(frame)

    def _ring_for_new_alarms(self, urgent: set[str]) -> None:
        """Ring once for each alarm of the first priority that was not there before."""
        if urgent - self._urgent:
            self.bell()
        self._urgent = urgent

    def _measure_lag(self) -> None:
        now_ns = time.monotonic_ns()
        if self._last_paint_ns is not None:
            took_s = max(1e-3, (now_ns - self._last_paint_ns) / 1e9)
            self._fps += (1 / took_s - self._fps) * 0.2
            self.store.ui(max(0.0, (took_s - 1 / self._paint_hz) * 1e3), self._fps)
        self._last_paint_ns = now_ns

    # --- stop --------------------------------------------------------------------------------------------------------

    async def on_event(self, event: events.Event) -> None:
        """Keep the time at which the terminal sent the stop key: a busy loop must not stretch or squeeze presses."""
        if isinstance(event, events.Key) and event.key == "f9":
            self._stop_pressed_ns = int(event.time * 1e9)
        await super().on_event(event)

    def action_stop(self) -> None:
        """One press of F9."""
        if self.store.identity.role not in ROLES_WITH_HANDS:
            self._say(f"a {self.store.identity.role} may not stop: log in with --role trader")
            return
        self._frozen = None
        self._decided(self._stop_keys.press(self._stop_pressed_ns))
        self._arm_stop_timer()

    def _arm_stop_timer(self) -> None:
        due_ns = self._stop_keys.next_timer_ns()
        if due_ns is not None:
            self.set_timer(max(0.001, (due_ns - time.monotonic_ns()) / 1e9), self._stop_timer)

    def _stop_timer(self) -> None:
        self._decided(self._stop_keys.handle_timer(time.monotonic_ns()))
        self._arm_stop_timer()

    def _decided(self, level: StopLevel | None) -> None:
        if level is not None:
            self._start(self._link.stop(level), f"stop {level.value}")
            self.bell()

    # --- leaving, screens, filter ------------------------------------------------------------------------------------

    def action_leave(self) -> None:
        """Leave; with a stop that is not acknowledged yet, ask first: the retries end with the console."""
        if not self.store.stop_is_pending:
            self.exit()
            return
        lines = ["A stop is not acknowledged by every daemon.", "The console retries it; leaving ends the retries."]
        self._ask(ConfirmDialog("Leave?", lines, "leave", needs_reason=False), lambda _: self.exit())

    async def action_show(self, name: str) -> None:
        """Go to a screen."""
        if isinstance(self.screen, LiveScreen):
            await self.switch_screen(name)

    async def action_back(self) -> None:
        """End the filter, else go to the overview."""
        if self._needle:
            self._needle = ""
            self.paint()
        else:
            await self.action_show("overview")

    def action_not_built(self) -> None:
        """Say so."""
        self._say("screens 4 (depth) and 5 (strategies) are not built yet; their panels are on screen 1")

    def action_help(self) -> None:
        """Show the keys."""
        if isinstance(self.screen, LiveScreen):
            self.push_screen(TextDialog("Help", help_lines()))

    def action_freeze(self) -> None:
        """Hold the picture still, or go on."""
        self._frozen = None if self._frozen is not None else self.store.view(self._clock.now_ns())
        self.paint()

    def action_next_instrument(self) -> None:
        """Show the depth of the next instrument."""
        names = [item.book.instrument_id for item in self.store.view(self._clock.now_ns()).books]
        if names:
            current = self.store.selected_instrument
            index = names.index(current) + 1 if current in names else 0
            self.store.selected_instrument = names[index % len(names)]

    async def action_filter(self) -> None:
        """Ask for a filter on the current screen."""
        screen = self.screen
        if not isinstance(screen, LiveScreen):
            return
        found = screen.query("#filter")
        field = (
            found.first(Input)
            if found
            else Input(placeholder="filter, enter = keep, escape = end", id="filter", compact=True)
        )
        if not found:
            await screen.mount(field)
        field.value = self._needle
        field.display = True
        field.focus()

    def on_input_changed(self, event: Input.Changed) -> None:
        """Filter while typing."""
        if event.input.id == "filter":
            self._needle = event.value.strip()

    def on_input_submitted(self, event: Input.Submitted) -> None:
        """Keep the filter and go back to the list."""
        if event.input.id == "filter":
            self._close_filter(event.input)

    def _close_filter(self, field: Input) -> None:
        field.display = False
        for table in self.screen.query(LiveTable):
            if table.can_focus:
                table.focus()
                break

    def on_key(self, event: events.Key) -> None:
        """Escape in the filter ends it."""
        if event.key == "escape" and isinstance(self.focused, Input) and self.focused.id == "filter":
            self._needle = ""
            self._close_filter(self.focused)
            event.stop()

    # --- details and commands ----------------------------------------------------------------------------------------

    def on_live_table_chosen(self, event: LiveTable.Chosen) -> None:
        """Enter on a row: what it is and why."""
        view = self.store.view(self._clock.now_ns())
        match event.table.id:
            case "orders":
                row = next((item for item in view.orders.rows if item.key == event.key), None)
                if row is not None:
                    dialog = TextDialog(f"Why {row.short_id}", order_lines(row, None))
                    self.push_screen(dialog)

                    async def fill(key: str = row.key) -> None:
                        explanation: Explanation = await self._link.explain(key)
                        dialog.replace(order_lines(row, explanation))

                    self._start(fill(), "explain")
            case "positions":
                found = next((item for item in view.positions if item.position.key == event.key), None)
                if found is not None:
                    self.push_screen(TextDialog("Position", position_lines(found, view)))
            case _:
                pass

    def action_cancel_order(self) -> None:
        """Cancel the selected order after a dialog."""
        key = self._selected("orders")
        row = next((item for item in self.store.view(self._clock.now_ns()).orders.rows if item.key == key), None)
        if row is None or not row.is_working:
            self._say("select a working order first: tab to Orders, then the arrow keys")
            return
        terms = row.facts.terms
        lines = [
            f"{terms.side.name} {terms.qty} {terms.instrument_id} at {row.price or 'market'}, {row.status.name}",
            f"of {row.facts.strategy_id}, order {row.key}",
            "A cancel of a position's last protection is refused by execd.",
        ]
        dialog = ConfirmDialog(f"Cancel order {row.short_id}?", lines, "cancel the order", needs_reason=False)
        self._ask(dialog, lambda _: self._command(self._link.cancel_order(row.key, "by console")))

    def action_switch_strategy(self) -> None:
        """Switch the selected strategy on or off after a dialog."""
        key = self._selected("strategies")
        found = [item for item in self.store.view(self._clock.now_ns()).strategies if item.strategy_id == key]
        if not found:
            self._say("select a strategy first: tab to Strategies on screen 1")
            return
        item = found[0]
        on = not item.enabled
        effect = (
            ["It may propose entries again, at once when it has a signal.", f"Trades {', '.join(item.instrument_ids)}."]
            if on
            else ["It proposes no more entries. Its positions stay, and so does their protection."]
        )
        dialog = ConfirmDialog(
            f"Switch {item.strategy_id} {'ON' if on else 'OFF'}?",
            effect,
            f"switch it {'on' if on else 'off'}",
            needs_reason=on,
        )
        self._ask(
            dialog,
            lambda reason: self._command(self._link.set_strategy(item.strategy_id, on, reason or "by console")),
        )

    def action_clear_hold(self) -> None:
        """Clear the selected hold after a dialog with a reason."""
        view = self.store.view(self._clock.now_ns())
        hold = next((item for item in view.level.holds if item.hold_id == self._selected("holds")), None)
        if hold is None:
            self._say("select a hold first: h lists them")
            return
        if hold.release is not ReleaseRule.ONE_KEY:
            how = {"AUTO": "ends by itself", "TIMED": "ends at its time", "TWO_KEY": "needs two keys: tradebot clear"}
            self._say(f"this hold cannot be cleared here: it {how.get(hold.release.name, '?')}")
            return
        rest = [item for item in view.level.holds if item.hold_id != hold.hold_id]
        remains = max((item.level for item in rest), default=None)
        down = [item.daemon for item in view.daemons if item.freshness > 1]
        after = (
            f"{len(rest)} holds remain, highest {remains.name}" if remains is not None else "RUNNING, nothing is held"
        )
        daemons = f"{', '.join(down)} not fresh" if down else "all fresh"
        urgent = sum(alarm.priority == 1 for alarm in view.alarms)
        lines = [
            f"{hold.level.name} on {hold.scope.name or 'the whole system'}, raised by {hold.raised_by}: {hold.cause}",
            hold.evidence or "no evidence given",
            f"After it: {after}",
            f"Daemons: {daemons}   UNKNOWN orders: {view.orders.unknown}   P1 alarms: {urgent}",
        ]
        dialog = ConfirmDialog("Clear this hold?", lines, "clear it", needs_reason=True)
        self._ask(dialog, lambda reason: self._command(self._link.clear_hold(hold.hold_id, reason)))

    def _selected(self, table_id: str) -> str | None:
        found = self.screen.query(f"#{table_id}")
        return found.first(LiveTable).selected if found else None

    def _ask(self, dialog: ConfirmDialog, then: Any) -> None:
        if not isinstance(self.screen, LiveScreen):
            return

        def answered(reason: str | None) -> None:
            if reason is not None:
                then(reason)

        self.push_screen(dialog, answered)

    def _command(self, call: Coroutine[Any, Any, str]) -> None:
        async def run() -> None:
            self._say(await call)

        self._start(run(), "command")

    def _say(self, text: str) -> None:
        self.store.answer(text, self._clock.now_ns())
        self.paint()

    def _start(self, work: Coroutine[Any, Any, Any], name: str) -> None:
        task = asyncio.get_running_loop().create_task(work, name=name)
        self._tasks.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            self._handle_exception(error if isinstance(error, Exception) else RuntimeError(repr(error)))

    # --- palette -----------------------------------------------------------------------------------------------------

    def get_system_commands(self, screen: Screen[Any]) -> Iterable[SystemCommand]:
        """Everything by name."""
        yield SystemCommand("HALT", "F9: no new risk, entries canceled, stops stay", self._halt_by_name)
        yield SystemCommand("Overview", "1", self._go("overview"))
        yield SystemCommand("Orders", "2", self._go("orders"))
        yield SystemCommand("Positions and money", "3", self._go("positions"))
        yield SystemCommand("Holds and alarms", "6 or h", self._go("holds"))
        yield SystemCommand("System", "7", self._go("system"))
        yield SystemCommand("Cancel order", "x", self.action_cancel_order)
        yield SystemCommand("Switch strategy", "e", self.action_switch_strategy)
        yield SystemCommand("Clear hold", "c on screen 6", self.action_clear_hold)
        yield SystemCommand("Freeze", "space", self.action_freeze)
        yield SystemCommand("Next instrument", "i", self.action_next_instrument)
        yield SystemCommand("Help", "F1", self.action_help)
        yield SystemCommand("Quit", "ctrl+q; trading is not changed", self.action_leave)

    def _halt_by_name(self) -> None:
        self._stop_pressed_ns = time.monotonic_ns()
        self.action_stop()

    def _go(self, name: str) -> Any:
        async def go() -> None:
            await self.action_show(name)

        return go
