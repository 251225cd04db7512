"""Every panel at every width: lines fill their width, numbers are never cut, nothing old looks fresh, nothing needs
colour.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from console import text as t
from console.layout import Kind, plan_layout
from console.model import STOP_DAEMONS, Kill, Source, StopPing
from console.panels.daemons import daemon_strip, daemons_panel
from console.panels.depth import depth_panel
from console.panels.lists import alarms_panel, holds_panel, last_action_line, log_panel
from console.panels.money import equity_panel, equity_strip, money_panel
from console.panels.orders import orders_panel, why_line
from console.panels.positions import positions_panel
from console.panels.reading import help_lines, order_lines
from console.panels.status import alarm_line, key_line, status_lines
from console.panels.strategies import strategies_panel, strategies_strip
from console.panels.system import system_panel
from console.panels.tiny import tiny_lines
from console.screenshot.seed import NOW_NS, seeded_store
from console.stop_keys import StopLevel
from console.stop_state import kill_sentence
from console.table import Panel
from console.text import Line, Tone, plain
from console.view import View
from tests.console.kit import S, make_hold, make_pnl, make_position, make_store
from tradebot.core.levels import TradingLevel

CUT_NUMBER = re.compile(r"\d…")
WIDTHS = (80, 84, 92, 99, 100, 108, 119, 120, 133, 140, 160, 200)


def panel_lines(panel: Panel) -> list[Line]:
    head = [panel.head] if panel.head is not None else []
    return [*head, *(panel.line_of(index) for index in range(len(panel.keys)))]


def money_lines(view: View, width: int) -> Iterator[tuple[str, Line]]:
    """Every line with numbers as screen 1 shows it at this width."""
    plan = plan_layout(width, 40 if width >= 100 else 24)
    narrow = plan.kind is Kind.NARROW
    left, right = width - plan.right_width, plan.right_width - 1
    for content in status_lines(view, width, narrow=narrow):
        yield "status", t.fit_line(content, width)
    if narrow:
        yield "equity", equity_strip(view, width)
        left = width
    else:
        for content in panel_lines(money_panel(view, left)):
            yield "money", content
        for content in panel_lines(equity_panel(view, right, plan.equity - 1)):
            yield "equity", content
        for content in panel_lines(depth_panel(view, right, plan.depth - 1)):
            yield "depth", content
        for content in panel_lines(daemons_panel(view, left, plan.daemons - 1)):
            yield "daemons", content
        for content in panel_lines(strategies_panel(view, right)):
            yield "strategies", content
    for content in panel_lines(positions_panel(view, left)):
        yield "positions", content
    for content in panel_lines(orders_panel(view, left)):
        yield "orders", content


def busy_view() -> View:
    """Big numbers everywhere, and everything stale enough to carry a mark."""
    store = seeded_store()
    store.pnl(make_pnl(day="-1234567.89", pct=-12345.6), NOW_NS)
    store.positions([make_position("123456.789", mark="1234567.891")], NOW_NS, snapshot=True)
    return store.view(NOW_NS)


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("age_s", [0, 4, 8, 60])
def test_no_number_is_cut_at_any_width_and_age(width: int, age_s: int) -> None:
    for store_view in (seeded_store().view(NOW_NS + age_s * S), busy_view()):
        for name, content in money_lines(store_view, width):
            assert not CUT_NUMBER.search(plain(content)), f"{name}: {plain(content)}"


@pytest.mark.parametrize("width", range(80, 200, 7))
def test_status_fits_with_long_words_and_never_loses_the_clock(width: int) -> None:
    store = seeded_store(mode="testnet")
    store.hold_raised(make_hold())
    store.closed(Source.PNL)
    for content in status_lines(store.view(NOW_NS), width, narrow=width < 100):
        assert t.line_width(content) == width
    first = plain(status_lines(store.view(NOW_NS), width, narrow=width < 100)[0])

    assert "14:02:31Z" in first
    assert "STOP" in first
    assert "P1 0 P2" in first


@pytest.mark.parametrize("width", [40, 60, 80, 120, 160])
def test_every_line_fills_exactly_its_width(width: int) -> None:
    view = seeded_store().view(NOW_NS)
    panels = [
        positions_panel(view, width),
        orders_panel(view, width),
        strategies_panel(view, width),
        log_panel(view, width),
        holds_panel(view, width),
        alarms_panel(view, width),
        system_panel(view, width),
        money_panel(view, width),
        depth_panel(view, width, 12),
        equity_panel(view, width, 6),
        daemons_panel(view, width, 5),
    ]
    lines = [content for panel in panels for content in panel_lines(panel)]
    lines += [daemon_strip(view, width), strategies_strip(view, width), equity_strip(view, width)]
    lines += [last_action_line(view, width), why_line(view, width, None)]
    lines += [alarm_line(view, width, kill_window_left_ns=0, frozen_s=None)]
    lines += tiny_lines(view, width, 6, t.EMPTY)

    assert {t.line_width(content) for content in lines} == {width}


def text_of(panel: Panel) -> str:
    return "\n".join([panel.title, *(plain(content) for content in panel_lines(panel))])


def test_stale_money_carries_its_mark_everywhere_and_no_colour() -> None:
    store = seeded_store()
    store.closed(Source.PNL)
    view = store.view(NOW_NS)
    panel = money_panel(view, 79)

    assert "~+26.31" in text_of(panel)
    assert "~+18.42" in plain(status_lines(view, 120, narrow=False)[0])
    assert "~10 018.42" in plain(equity_strip(view, 80))
    assert not {span.tone for content in panel_lines(panel) for span in content} & {Tone.GAIN, Tone.LOSS}


def test_dead_money_is_a_question_mark_and_no_old_number_stays() -> None:
    view = seeded_store().view(NOW_NS + 20 * S)
    shown = text_of(money_panel(view, 79)) + plain(status_lines(view, 120, narrow=False)[0])

    assert "18.42" not in shown
    assert "26.31" not in shown
    assert "day ?" in shown


def test_a_total_says_how_many_inputs_are_stale() -> None:
    store = make_store()
    store.pnl(make_pnl(stale=1), NOW_NS)

    assert "~-142.60 USDT 14% (1 stale)" in plain(status_lines(store.view(NOW_NS), 120, narrow=False)[0])


def test_dead_positions_show_no_quantity_and_no_result() -> None:
    store = seeded_store()
    shown = text_of(positions_panel(store.view(NOW_NS + 20 * S), 120))

    assert "Positions ?" in shown
    assert "0.00769" not in shown
    assert "1.07" not in shown
    assert "?" in shown


def test_working_orders_of_a_closed_stream_are_marked_and_done_ones_are_not() -> None:
    store = seeded_store()
    store.closed(Source.ORDERS)
    shown = text_of(orders_panel(store.view(NOW_NS), 120))

    assert "Orders ~5 working" in shown
    assert "~NEW" in shown
    assert "~PART 33%" in shown
    assert " FILLED" in shown


def test_gain_and_loss_are_told_without_colour() -> None:
    shown = text_of(positions_panel(seeded_store().view(NOW_NS), 120))

    assert "^ +1.07" in shown
    assert "v -1.01" in shown


def test_a_result_that_rounds_to_nothing_is_neither_gain_nor_loss() -> None:
    store = make_store()
    store.pnl(make_pnl(day="-0.001", pct=-0.0), NOW_NS)

    assert "day   0.00 USDT" in plain(status_lines(store.view(NOW_NS), 120, narrow=False)[0])


def test_the_newest_refusal_is_explained_unless_an_order_is_selected() -> None:
    view = seeded_store().view(NOW_NS)
    filled = next(row for row in view.orders.rows if row.short_id == "81e9")

    assert "why> 81ed: POS-02 ORDER_NOTIONAL_TOO_LARGE 512.40 > 500.00 USDT" in plain(why_line(view, 120, None))
    assert "why> 81e9: FILLED, nothing to explain" in plain(why_line(view, 120, filled.key))


def test_own_orders_are_marked_in_the_book() -> None:
    lines = [plain(content) for content in panel_lines(depth_panel(seeded_store().view(NOW_NS), 40, 12))]

    assert [row for row in lines if row.startswith(">")] == [row for row in lines if "65 009.60" in row]


def test_a_book_that_is_not_true_shows_no_price() -> None:
    shown = text_of(depth_panel(seeded_store().view(NOW_NS + 60 * S), 40, 12))

    assert "65 0" not in shown
    assert "?" in shown


def test_real_money_is_reversed_and_everything_else_says_what_it_is() -> None:
    real, demo = seeded_store(mode="real").view(NOW_NS), seeded_store().view(NOW_NS)

    assert status_lines(real, 120, narrow=False)[0][0].tone is Tone.REVERSE
    assert status_lines(demo, 120, narrow=False)[0][0].tone is not Tone.REVERSE
    assert money_panel(real, 79).title == "Money USDT"
    assert money_panel(demo, 79).title == "Money USDT (demo)"
    assert equity_panel(demo, 40, 5).title.endswith("(demo)")


def test_the_worst_alarm_takes_the_second_line_with_its_action() -> None:
    store = seeded_store()
    store.hold_raised(make_hold(cause="POSITION_MISMATCH"))
    shown = plain(alarm_line(store.view(NOW_NS), 120, kill_window_left_ns=0, frozen_s=None))

    assert shown.startswith(" [1] P1 0.0s system HALTED by POSITION_MISMATCH -> h = holds; tradebot audit")


def test_the_stop_key_is_at_the_right_end_of_every_key_line() -> None:
    assert plain(key_line(120, narrow=False)).endswith("F9 STOP: x1 HALT  x2 KILL ")
    assert plain(key_line(80, narrow=True)).endswith("F9 STOP x1 HALT x2 KILL ")
    assert len(plain(key_line(80, narrow=True))) == 80


def test_the_filter_keeps_matching_rows_and_says_so() -> None:
    view = seeded_store().view(NOW_NS)
    panel = orders_panel(view, 120, "eth")

    assert len(panel.keys) == 3
    assert "filter 'eth'" in panel.title


def test_the_detail_of_an_order_names_what_is_missing() -> None:
    view = seeded_store().view(NOW_NS)
    row = view.orders.rows[0]

    assert any("asking execd" in plain(content) for content in order_lines(row, None))
    assert any("81f2" in plain(content) for content in order_lines(row, None))


def test_the_help_says_what_is_not_built() -> None:
    words = "\n".join(plain(content) for content in help_lines())

    assert "not built yet" in words
    assert "F9" in words


def test_a_console_without_any_daemon_shows_question_marks_not_zeros() -> None:
    view = make_store().view(NOW_NS)
    shown = text_of(money_panel(view, 79)) + text_of(daemons_panel(view, 79, 6))
    shown += text_of(positions_panel(view, 79)) + text_of(depth_panel(view, 40, 12))

    assert not re.search(r"\d", re.sub(r"\d+(\.\d+)?(ms|s| fps)|build 0.1.0", "", shown))
    assert shown.count("DOWN") == 5


SIZES = [(width, height) for width in (80, 99, 100, 119, 120, 200) for height in (24, 27, 28, 36, 60)]


@pytest.mark.parametrize(("width", "height"), SIZES)
def test_the_plan_fills_the_terminal_exactly(width: int, height: int) -> None:
    plan = plan_layout(width, height)
    if plan.kind is Kind.NORMAL:
        used = (
            plan.status
            + plan.daemons
            + plan.money
            + plan.positions
            + plan.strategies
            + plan.log
            + plan.last
            + plan.keys
        )
        assert plan.orders + plan.why == plan.strategies
        assert plan.equity + plan.depth == plan.daemons + plan.money + plan.positions
    else:
        used = plan.status + plan.daemons + plan.positions + plan.orders + plan.why + plan.strategies
        used += plan.log + plan.last + plan.keys

    assert used == height
    assert min(plan.positions, plan.orders, plan.log) >= 2


def test_small_terminals_keep_the_essentials_within_forty_cells() -> None:
    view = seeded_store().view(NOW_NS)
    lines = [plain(content) for content in tiny_lines(view, 40, 6, t.EMPTY)]

    assert "DEMO" in lines[0]
    assert "RUNNING" in lines[0]
    assert "^ +18.42 USDT" in lines[1]
    assert "STOP 2/2" in lines[2]
    assert "F9 HALT" in lines[2]
    assert "P1 0 P2 0 P3 0" in lines[3]
    assert not any(CUT_NUMBER.search(row) for row in lines)


def make_kill(state: str = "WORKING", step: str = "CONFIRM", stuck: str = "", **more: Any) -> Kill:
    how = {"drill": False, "flatten": False, "entered_ns": NOW_NS - 2 * S, "left": 0} | more
    return Kill("H9", state, step, stuck=stuck, **how)


def test_a_kill_under_way_is_told_under_the_latch_and_beside_its_hold() -> None:
    store = seeded_store()
    store.all_holds([replace(make_hold(), hold_id="H9", level=TradingLevel.KILLED)])
    store.kills([make_kill()])
    view = store.view(NOW_NS)
    second = plain(alarm_line(view, 120, kill_window_left_ns=0, frozen_s=None))

    assert "kill H9 confirming at the venue 2 s" in second
    assert "kill H9 confirming at the venue 2 s" in text_of(holds_panel(view, 160))


def test_a_stuck_kill_is_the_first_alarm_with_its_reason() -> None:
    store = seeded_store()
    store.kills([make_kill("STUCK", "CANCEL", "still working: c1: cancel these at the venue's own site")])
    view = store.view(NOW_NS)
    second = plain(alarm_line(view, 160, kill_window_left_ns=0, frozen_s=None))

    assert view.alarms[0].priority == 1
    assert "KILL INCOMPLETE: kill H9 STUCK canceling orders 2 s: still working: c1" in second


def test_a_confirmed_kill_says_what_is_left_and_frees_the_line() -> None:
    done = make_kill("DONE", "REPORT", left=2)
    store = seeded_store()
    store.kills([done])
    second = plain(alarm_line(store.view(NOW_NS), 120, kill_window_left_ns=0, frozen_s=None))

    assert kill_sentence(done, NOW_NS) == "kill H9 confirmed by the venue, 2 left (tradebot kill-report)"
    assert "H9" not in second


def test_the_banner_of_a_kill_goes_on_to_the_venues_confirmation() -> None:
    store = seeded_store()
    store.stop_given("c1", StopLevel.KILL, NOW_NS)
    for daemon in STOP_DAEMONS:
        store.stop_answered("c1", daemon, StopPing(True, 3.0, TradingLevel.KILLED), NOW_NS)
    store.kills([make_kill("DONE", "REPORT")])
    second = plain(alarm_line(store.view(NOW_NS), 160, kill_window_left_ns=0, frozen_s=None))

    assert "KILLED 2/2 3 ms" in second
    assert "kill H9 confirmed by the venue, nothing left" in second
