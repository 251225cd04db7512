"""The app under a driver: the stop key from everywhere, dialogs, screens, sizes. The clock of the data is frozen."""

from __future__ import annotations

import time
from collections.abc import Sequence

import pytest
from textual import events
from textual.command import CommandPalette
from textual.pilot import Pilot
from textual.widgets import Input

from console.app import ConsoleApp
from console.screenshot.seed import seeded_store
from console.stop_keys import StopLevel
from console.widgets.live_table import LiveTable
from tests.console.kit import Desk, make_hold, make_store
from tradebot.core.levels import ReleaseRule

SETTLE_S = 0.2
"""Longer than the silence that a second press needs."""


@pytest.fixture
async def desk() -> Desk:
    return Desk()


async def settle(pilot: Pilot[None], seconds: float = SETTLE_S) -> None:
    await pilot.pause(seconds)


def type_into_focus(app: ConsoleApp, text: str) -> None:
    """Put text into the focused field; single keys would cost a round trip each."""
    assert isinstance(app.focused, Input)
    app.focused.value = text


def hold_the_key(app: ConsoleApp, *, delay_s: float = 0.5, every_s: float = 0.03, count: int = 60) -> None:
    """Send what a terminal sends while F9 is held: one press, the repeat delay, then repeats."""
    send_stop_keys(app, [0.0, *(delay_s + index * every_s for index in range(count))])


def send_stop_keys(app: ConsoleApp, at_s: Sequence[float]) -> None:
    """Send presses of F9 with these times, the last one now."""
    began = time.monotonic() - at_s[-1]
    for offset_s in at_s:
        event = events.Key("f9", None)
        event.time = began + offset_s
        app.post_message(event)


# --- stop -------------------------------------------------------------------------------------------------------------


async def test_one_press_halts_and_the_banner_tells_the_truth(desk: Desk) -> None:
    async with desk.app.run_test(size=(120, 36)) as pilot:
        await pilot.press("f9")
        await settle(pilot)

        assert desk.link.stops == [StopLevel.HALT]
        lines = desk.lines()
        assert "HALTED" in lines[0]
        assert "HALTED 2/2 11 ms. F9 within 5 s = KILL: cancels all" in lines[1]


async def test_a_missing_acknowledgement_is_shown_as_missing() -> None:
    desk = Desk(acks=("execd",))
    async with desk.app.run_test(size=(120, 36)) as pilot:
        await pilot.press("f9")
        await settle(pilot)

        assert "HALTING 1/2: no answer from riskd" in desk.lines()[1]


async def test_two_separate_presses_kill(desk: Desk) -> None:
    async with desk.app.run_test(size=(120, 36)) as pilot:
        await pilot.press("f9")
        await settle(pilot)
        await pilot.press("f9")
        await settle(pilot)

        assert desk.link.stops == [StopLevel.HALT, StopLevel.KILL]
        assert "KILLED 2/2" in desk.lines()[1]


async def test_a_double_click_of_the_key_does_not_kill(desk: Desk) -> None:
    async with desk.app.run_test(size=(120, 36)) as pilot:
        send_stop_keys(desk.app, [0.0, 0.1])
        await settle(pilot)

        assert desk.link.stops == [StopLevel.HALT]


@pytest.mark.parametrize("delay_s", [0.25, 0.5])
async def test_a_held_key_never_gets_past_halt(desk: Desk, delay_s: float) -> None:
    async with desk.app.run_test(size=(120, 36)) as pilot:
        hold_the_key(desk.app, delay_s=delay_s)
        await settle(pilot, 0.6)

        assert desk.link.stops == [StopLevel.HALT]


async def test_the_stop_key_works_while_typing_a_filter(desk: Desk) -> None:
    async with desk.app.run_test(size=(120, 36)) as pilot:
        await pilot.press("slash", "b", "t", "c")
        assert isinstance(desk.app.focused, Input)
        await pilot.press("f9")
        await settle(pilot)

        assert desk.link.stops == [StopLevel.HALT]
        assert "HALTED 2/2" in desk.lines()[1]


async def test_the_stop_key_works_in_a_dialog_that_covers_the_screen(desk: Desk) -> None:
    desk.store.hold_raised(make_hold())
    async with desk.app.run_test(size=(120, 36)) as pilot:
        await pilot.press("h", "c")
        await pilot.pause()
        assert isinstance(desk.app.focused, Input)
        await pilot.press("f9")
        await settle(pilot)

        assert desk.link.stops == [StopLevel.HALT]
        assert "HALTED 2/2" in desk.lines()[1], "the status lines stay visible above a dialog"


async def test_the_stop_key_works_in_the_help_and_in_the_palette(desk: Desk) -> None:
    async with desk.app.run_test(size=(120, 36)) as pilot:
        await pilot.press("f1")
        await pilot.press("f9")
        await settle(pilot)
        assert desk.link.stops == [StopLevel.HALT]

        await pilot.press("escape", "colon")
        await settle(pilot)
        assert isinstance(desk.app.screen, CommandPalette)
        await pilot.press("f9")
        await settle(pilot)

        assert desk.link.stops == [StopLevel.HALT, StopLevel.KILL]
        lines = desk.lines()
        assert "KILLED 2/2" in lines[1]


@pytest.mark.parametrize("key", ["1", "2", "3", "6", "7"])
async def test_the_stop_key_works_on_every_screen(desk: Desk, key: str) -> None:
    async with desk.app.run_test(size=(120, 36)) as pilot:
        await pilot.press(key)
        await pilot.press("f9")
        await settle(pilot)

        assert desk.link.stops == [StopLevel.HALT]
        assert "HALTED 2/2" in desk.lines()[1]


async def test_a_click_on_the_stop_area_is_one_press(desk: Desk) -> None:
    async with desk.app.run_test(size=(120, 36)) as pilot:
        await pilot.click("#keys", offset=(110, 0))
        await settle(pilot)
        assert desk.link.stops == [StopLevel.HALT]

        await pilot.click("#keys", offset=(20, 0))
        await settle(pilot)

        assert desk.link.stops == [StopLevel.HALT]


async def test_a_viewer_is_told_that_it_may_not_stop() -> None:
    desk = Desk(make_store(role="viewer"))
    async with desk.app.run_test(size=(120, 36)) as pilot:
        await pilot.press("f9")
        await settle(pilot)

        assert desk.link.stops == []
        assert any("a viewer may not stop" in row for row in desk.lines())


async def test_a_stop_ends_the_frozen_picture(desk: Desk) -> None:
    async with desk.app.run_test(size=(120, 36)) as pilot:
        await pilot.press("space")
        await pilot.pause(0.1)
        assert "FROZEN" in desk.lines()[1]

        await pilot.press("f9")
        await settle(pilot)

        assert "FROZEN" not in "\n".join(desk.lines())


# --- leaving ----------------------------------------------------------------------------------------------------------


async def test_q_leaves(desk: Desk) -> None:
    async with desk.app.run_test(size=(120, 36)) as pilot:
        await pilot.press("q")
        await pilot.pause()

    assert desk.app.return_code == 0


async def test_q_in_a_filter_is_a_letter_and_ctrl_q_leaves(desk: Desk) -> None:
    async with desk.app.run_test(size=(120, 36)) as pilot:
        await pilot.press("slash", "q")
        assert desk.app.is_running
        await pilot.press("ctrl+q")
        await pilot.pause()

    assert desk.app.return_code == 0


async def test_leaving_with_an_unacknowledged_stop_asks_first() -> None:
    desk = Desk(acks=())
    async with desk.app.run_test(size=(120, 36)) as pilot:
        await pilot.press("f9")
        await settle(pilot)
        await pilot.press("q")
        await pilot.pause()

        assert any("not acknowledged by every daemon" in row for row in desk.lines())
        await pilot.press("enter", "escape")
        assert desk.app.is_running
        await pilot.press("q", "y")
        await pilot.pause()

    assert desk.app.return_code == 0


# --- commands ---------------------------------------------------------------------------------------------------------


async def test_a_cancel_needs_y_and_enter_confirms_nothing(desk: Desk) -> None:
    async with desk.app.run_test(size=(120, 36)) as pilot:
        await pilot.press("2", "x")
        await pilot.pause()
        assert any("Cancel order 81f2?" in row for row in desk.lines())
        await pilot.press("enter", "x", "escape")
        await pilot.pause()
        assert desk.link.calls == []

        await pilot.press("x", "y")
        await pilot.pause()

        (call,) = desk.link.calls
        assert call[0] == "cancel"
        assert call[1].endswith("81f2")
        assert any("on its way" in row for row in desk.lines()) or desk.store.view(desk.clock.now_ns()).notice


async def test_a_done_order_cannot_be_canceled(desk: Desk) -> None:
    async with desk.app.run_test(size=(120, 36)) as pilot:
        await pilot.press("2", "G", "x")
        await pilot.pause()

        assert not any("Cancel order" in row for row in desk.lines())
        assert desk.link.calls == []


async def test_clearing_a_hold_needs_a_reason_of_eight_characters(desk: Desk) -> None:
    desk.store.all_holds([make_hold("H7")])
    async with desk.app.run_test(size=(120, 36)) as pilot:
        await pilot.press("h", "c")
        await pilot.pause()
        assert any("After it: RUNNING, nothing is held" in row for row in desk.lines())

        type_into_focus(desk.app, "ok")
        await pilot.press("enter", "y")
        await pilot.pause()
        assert desk.link.calls == []

        type_into_focus(desk.app, "ok now ok!")
        await pilot.press("enter", "y")
        await pilot.pause()

        assert desk.link.calls == [("clear", "H7", "ok now ok!")]


async def test_a_two_key_hold_is_not_cleared_here(desk: Desk) -> None:
    desk.store.all_holds([make_hold("H7", release=ReleaseRule.TWO_KEY)])
    async with desk.app.run_test(size=(120, 36)) as pilot:
        await pilot.press("h", "c")
        await pilot.pause()

        assert desk.link.calls == []
        assert "two keys" in desk.store.view(desk.clock.now_ns()).notice


async def test_switching_a_strategy_off_asks_once_and_on_needs_a_reason(desk: Desk) -> None:
    async with desk.app.run_test(size=(120, 36)) as pilot:
        desk.app.screen.query_one("#strategies", LiveTable).focus()
        await pilot.press("e", "y")
        await pilot.pause()
        assert desk.link.calls == [("strategy", "breakout", "False", "by console")]

        await pilot.press("G", "e")
        await pilot.pause()
        type_into_focus(desk.app, "spread is back")
        await pilot.press("enter", "y")
        await pilot.pause()

        assert desk.link.calls[1:] == [("strategy", "carry", "True", "spread is back")]


async def test_enter_on_an_order_says_why(desk: Desk) -> None:
    async with desk.app.run_test(size=(120, 36)) as pilot:
        desk.app.screen.query_one("#orders", LiveTable).focus()
        await pilot.press("enter")
        await pilot.pause(0.2)
        shown = "\n".join(desk.lines())

        assert "Why 81f2" in shown
        assert "close_above_upper_keltner" in shown
        assert "the decision: riskd is down" in shown


async def test_the_filter_works_and_escape_ends_it(desk: Desk) -> None:
    async with desk.app.run_test(size=(120, 36)) as pilot:
        await pilot.press("2", "slash", *"eth", "enter")
        await pilot.pause()
        shown = "\n".join(desk.lines())
        assert "filter 'eth'" in shown
        assert "BTC-USDT" not in shown

        await pilot.press("escape")
        await pilot.pause()

        assert "BTC-USDT" in "\n".join(desk.lines())


async def test_a_cursor_stays_on_its_row_when_rows_move(desk: Desk) -> None:
    async with desk.app.run_test(size=(120, 36)) as pilot:
        await pilot.press("2", "j", "j")
        table = desk.app.screen.query_one("#orders", LiveTable)
        chosen = table.selected
        rows = desk.store.view(desk.clock.now_ns()).orders.rows
        assert chosen == rows[2].key

        from tradebot.core.order_events import OrderEvent
        from tradebot.core.orders import OrderEventKind, OrderStatus

        last = rows[-1]
        now_ns = desk.clock.now_ns()
        desk.store.order_event(OrderEvent(9, last.key, OrderEventKind.CANCELED, OrderStatus.CANCELED, now_ns), now_ns)
        desk.lines()

        assert desk.store.view(now_ns).orders.rows[0].key == last.key
        assert table.selected == chosen


async def test_only_changed_lines_are_painted_again(desk: Desk) -> None:
    async with desk.app.run_test(size=(120, 36)) as pilot:
        await settle(pilot)
        orders = desk.app.screen.query_one("#orders", LiveTable)
        desk.app.paint()
        strips = dict(orders._strips)
        desk.app.paint()

        assert strips
        assert all(orders._strips[y] is strip for y, strip in strips.items())


async def test_text_of_a_daemon_cannot_inject_markup_or_control_codes(desk: Desk) -> None:
    desk.store.answer("[red]x[/red] \x1b[2J end", desk.clock.now_ns())
    async with desk.app.run_test(size=(120, 36)) as pilot:
        await settle(pilot)

        assert any("[red]x[/red]  [2J end" in row for row in desk.lines())


async def test_the_app_survives_every_size_and_resizing(desk: Desk) -> None:
    async with desk.app.run_test(size=(120, 36)) as pilot:
        for width, height in [(80, 24), (40, 6), (100, 28), (200, 60), (79, 50), (160, 23), (120, 36)]:
            await pilot.resize_terminal(width, height)
            await pilot.pause(0.1)
            lines = desk.lines()
            assert len(lines) == height, (width, height)
            assert {len(row) for row in lines} == {width}, (width, height)


async def test_a_console_without_daemons_starts_and_stops(desk: Desk) -> None:
    alone = Desk(make_store())
    async with alone.app.run_test(size=(120, 36)) as pilot:
        await settle(pilot)
        lines = alone.lines()

        assert "LEVEL ?" in lines[0]
        assert "STOP ?" in lines[0]
        assert "day ?" in lines[0]
        await pilot.press("q")


def test_the_seed_is_the_same_each_time() -> None:
    from console.screenshot.seed import NOW_NS

    assert seeded_store().view(NOW_NS) is not None
    first, second = seeded_store().view(NOW_NS), seeded_store().view(NOW_NS)

    assert first.orders.rows == second.orders.rows
    assert list(first.money.history) == list(second.money.history)
