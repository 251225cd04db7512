"""Folding messages into what is shown: holds, orders, money, and how each gets old."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

import pytest

from console.model import BookRow, Command, ExecdFacts, Ladder, LogEntry, Source, StopPing, TradingRules, VenueLink
from console.orders import MAX_DONE_ORDERS
from console.staleness import Freshness
from console.stop_keys import StopLevel
from console.store import MAX_LOG_LINES, Store
from console.view import View
from tests.console.kit import BTC, MS, T0, S, make_beat, make_hold, make_pnl, make_position, make_store
from tests.support.builders import make_terms
from tradebot.core.levels import ReleaseRule, Scope, ScopeKind, TradingLevel
from tradebot.core.order_events import OrderEvent, OrderFacts, OrderSnapshot
from tradebot.core.orders import Execution, Liquidity, OrderEventKind, OrderRole, OrderStatus, Side


def texts(view: View) -> list[str]:
    return [f"P{alarm.priority} {alarm.text}" for alarm in view.alarms]


def aged(store: Store, now_ns: int) -> View:
    """Look twice: alarms have an on-delay that starts when their condition is first seen."""
    store.view(T0)
    return store.view(now_ns)


def snapshot(
    name: str = "c1", status: OrderStatus = OrderStatus.NEW, *, at_ns: int = T0, filled: str = "0", price: str = "60000"
) -> OrderSnapshot:
    facts = OrderFacts(
        make_terms(name, instrument_id=BTC, price=price), "breakout", f"i-{name}", 0, OrderRole.ENTRY, at_ns
    )
    return OrderSnapshot(facts, status, "", Decimal(filled), Decimal(price), "", "", "", at_ns)


def event(
    name: str,
    kind: OrderEventKind,
    status: OrderStatus,
    *,
    at_ns: int = T0,
    facts: OrderFacts | None = None,
    fill: str = "",
) -> OrderEvent:
    execution = (
        Execution("x1", name, BTC, Side.BUY, Decimal(fill), Decimal(60_000), Decimal(0), "USDT", Liquidity.TAKER, at_ns)
        if fill
        else None
    )
    return OrderEvent(1, name, kind, status, at_ns, facts, execution)


# --- nothing known ----------------------------------------------------------------------------------------------------


def test_a_console_that_has_heard_nothing_claims_nothing() -> None:
    view = make_store().view(T0)

    assert view.level.level is None
    assert not view.stop.known
    assert view.money.freshness is Freshness.DEAD
    assert {daemon.freshness for daemon in view.daemons} == {Freshness.DEAD}
    assert view.orders.freshness is Freshness.DEAD
    assert view.data_grades[1] > 0


def test_the_console_waits_a_moment_before_it_calls_a_daemon_dead() -> None:
    store = make_store()

    assert not [text for text in texts(store.view(T0)) if "does not answer" in text]
    assert len([text for text in texts(store.view(T0 + 3 * S)) if "does not answer" in text]) == 5


# --- daemons and money ------------------------------------------------------------------------------------------------


def test_a_heartbeat_gets_late_then_stale_then_dead() -> None:
    store = make_store()
    store.beat(make_beat("riskd"), T0)

    def freshness(at_ns: int) -> Freshness:
        return next(item.freshness for item in store.view(at_ns).daemons if item.daemon == "riskd")

    assert [freshness(T0 + seconds * S) for seconds in (1, 3, 4, 6)] == [
        Freshness.FRESH,
        Freshness.LATE,
        Freshness.STALE,
        Freshness.DEAD,
    ]


def test_a_daemon_whose_stream_closed_is_dead_at_once() -> None:
    store = make_store()
    store.beat(make_beat("riskd"), T0)
    store.closed(Source.RISKD)

    assert next(item.freshness for item in store.view(T0).daemons if item.daemon == "riskd") is Freshness.DEAD


def test_money_inherits_the_worst_input() -> None:
    store = make_store()
    store.pnl(make_pnl(stale=1), T0)

    assert store.view(T0).money.freshness is Freshness.STALE

    store.pnl(make_pnl(at_ns=T0 + S), T0 + S)

    assert store.view(T0 + S).money.freshness is Freshness.FRESH


def test_money_of_a_closed_stream_turns_stale_in_the_same_frame() -> None:
    store = make_store()
    store.pnl(make_pnl(), T0)
    store.closed(Source.PNL)

    assert store.view(T0).money.freshness is Freshness.STALE
    assert store.view(T0 + 16 * S).money.freshness is Freshness.DEAD


def test_the_equity_history_keeps_estimates_out() -> None:
    store = make_store()
    store.pnl(make_pnl(), T0)
    store.pnl(make_pnl(at_ns=T0 + S, day="-900", stale=2), T0 + S)

    assert list(store.view(T0 + S).money.history) == [9857.4]


def test_the_day_limit_in_use_is_a_share_of_the_limit_and_never_negative() -> None:
    assert make_pnl(pct=-0.28).limit_used == pytest.approx(0.14)
    assert make_pnl(day="10", pct=0.1).limit_used == 0.0
    assert replace(make_pnl(), day_limit_pct=0.0).limit_used is None
    assert make_pnl().day_limit == Decimal(-200)


def test_a_reached_day_limit_is_the_first_alarm() -> None:
    store = make_store()
    store.pnl(make_pnl(day="-201", pct=-2.01), T0)

    assert texts(store.view(T0))[0] == "P1 day loss limit reached"


# --- positions --------------------------------------------------------------------------------------------------------


def test_a_position_with_an_old_mark_has_a_good_quantity_and_a_stale_result() -> None:
    store = make_store()
    store.positions([make_position(mark_age_ms=4_000)], T0, snapshot=True)
    (item,) = store.view(T0).positions

    assert item.freshness is Freshness.FRESH
    assert item.mark_freshness is Freshness.STALE
    assert item.age_ns == 4 * S


def test_a_position_without_a_mark_has_no_result() -> None:
    store = make_store()
    store.positions([make_position(mark=None)], T0, snapshot=True)
    (item,) = store.view(T0).positions

    assert item.mark_freshness is Freshness.DEAD


def test_a_mark_ages_while_no_new_one_comes() -> None:
    store = make_store()
    store.positions([make_position()], T0, snapshot=True)
    for second in range(1, 9):
        store.heard(Source.POSITIONS, T0 + second * S)
    (item,) = store.view(T0 + 8 * S).positions

    assert item.freshness is Freshness.FRESH
    assert item.mark_freshness is Freshness.STALE


def test_a_flat_position_goes_away_and_a_snapshot_replaces_all() -> None:
    store = make_store()
    store.positions([make_position()], T0, snapshot=True)
    store.positions([make_position("0")], T0, snapshot=False)

    assert store.view(T0).positions == ()

    store.positions([make_position()], T0, snapshot=True)
    store.positions([], T0, snapshot=True)

    assert store.view(T0).positions == ()


def test_an_unprotected_position_is_an_alarm_after_five_seconds_and_dust_never_is() -> None:
    store = make_store()
    store.positions([make_position(stop=None)], T0, snapshot=True)
    store.view(T0)
    store.positions([make_position(stop=None)], T0 + 5 * S, snapshot=True)

    assert any("without a resting stop" in text for text in texts(store.view(T0 + 5 * S)))

    store.instruments([TradingRules(BTC, Decimal("0.1"), Decimal("0.00001"), Decimal("0.00001"), Decimal(5))])
    store.positions([make_position("0.00002", stop=None)], T0 + 6 * S, snapshot=True)
    view = store.view(T0 + 12 * S)

    assert view.positions[0].is_dust
    assert not any("without a resting stop" in text for text in texts(view))


# --- levels and holds -------------------------------------------------------------------------------------------------


def test_the_level_is_known_from_riskd_and_unknown_when_riskd_is_silent() -> None:
    store = make_store()
    store.beat(make_beat("riskd"), T0)
    store.system_level(TradingLevel.RUNNING)

    assert store.view(T0).level.level is TradingLevel.RUNNING
    assert store.view(T0 + 4 * S).level.freshness is Freshness.STALE
    assert store.view(T0 + 6 * S).level.level is None


def test_a_latch_seen_at_the_stop_path_wins_over_what_riskd_last_said() -> None:
    store = make_store()
    store.beat(make_beat("riskd"), T0)
    store.system_level(TradingLevel.RUNNING)
    store.ping("execd", StopPing(True, 2.0, TradingLevel.KILLED), T0)

    assert store.view(T0).level.level is TradingLevel.KILLED


def test_execds_latch_is_shown_while_riskd_is_down() -> None:
    store = make_store()
    store.beat(make_beat("execd"), T0)
    store.execd_facts(ExecdFacts(False, 0, 3, "HALT"))
    view = store.view(T0)

    assert view.level.level is TradingLevel.HALTED
    assert view.level.freshness is Freshness.FRESH


def test_holds_are_folded_and_the_highest_stands_first() -> None:
    store = make_store()
    venue = Scope(ScopeKind.VENUE, "simx")
    store.all_holds([make_hold("H1", TradingLevel.PAUSED, scope=venue, cause="MKT-01")])
    store.hold_raised(make_hold("H2", TradingLevel.KILLED, ReleaseRule.TWO_KEY))
    store.hold_raised(make_hold("H3", TradingLevel.CAUTIOUS))
    store.hold_cleared("H3")
    store.hold_cleared("never raised")

    assert [hold.hold_id for hold in store.view(T0).level.holds] == ["H2", "H1"]


def test_a_position_mismatch_is_a_first_priority_alarm() -> None:
    store = make_store()
    store.hold_raised(make_hold(cause="POSITION_MISMATCH"))

    assert any(text.startswith("P1") and "POSITION_MISMATCH" in text for text in texts(store.view(T0)))


# --- orders -----------------------------------------------------------------------------------------------------------


def test_fills_accumulate_and_give_the_average() -> None:
    store = make_store()
    store.all_orders([snapshot("c1")], T0)
    store.order_event(event("c1", OrderEventKind.FILL, OrderStatus.PARTIALLY_FILLED, fill="0.25"), T0)
    store.order_event(event("c1", OrderEventKind.FILL_COMPLETE, OrderStatus.FILLED, fill="0.75"), T0)
    (row,) = store.view(T0).orders.rows

    assert row.filled_qty == 1
    assert row.avg_price == 60_000
    assert not row.is_working


def test_a_refusal_keeps_its_reason_over_later_events() -> None:
    store = make_store()
    first = snapshot("c1", OrderStatus.PENDING_NEW)
    refused = OrderEvent(
        1,
        "c1",
        OrderEventKind.REFUSED,
        OrderStatus.REJECTED,
        T0,
        first.facts,
        None,
        "",
        "TOO_LARGE",
        "512 > 500",
        "POS-02",
    )
    store.order_event(refused, T0)
    store.order_event(event("c1", OrderEventKind.REFUSED, OrderStatus.REJECTED), T0)
    (row,) = store.view(T0).orders.rows

    assert row.why == "POS-02 TOO_LARGE 512 > 500"


def test_unknown_orders_stand_first_and_are_an_alarm() -> None:
    store = make_store()
    old = snapshot("old", OrderStatus.UNKNOWN, at_ns=T0 - 60 * S)
    store.all_orders([old, snapshot("new", at_ns=T0)], T0)
    store.view(T0)
    store.heard(Source.ORDERS, T0 + 2 * S)
    view = store.view(T0 + 2 * S)

    assert [row.key for row in view.orders.rows] == ["old", "new"]
    assert view.orders.unknown == 1
    assert any("UNKNOWN" in text for text in texts(view))


def test_done_orders_are_bounded_and_working_ones_are_never_dropped() -> None:
    store = make_store()
    working = [snapshot(f"w{index}", at_ns=T0 - 100 * S) for index in range(20)]
    done = [snapshot(f"d{index}", OrderStatus.FILLED, at_ns=T0 + index) for index in range(MAX_DONE_ORDERS + 50)]
    store.all_orders([*working, *done], T0)
    rows = store.view(T0).orders.rows

    assert len(rows) == MAX_DONE_ORDERS + 20
    assert sum(row.is_working for row in rows) == 20
    assert "d0" not in {row.key for row in rows}


def test_an_event_of_an_order_that_nobody_introduced_is_ignored() -> None:
    store = make_store()
    store.all_orders([], T0)
    store.order_event(event("ghost", OrderEventKind.CANCELED, OrderStatus.CANCELED), T0)

    assert store.view(T0).orders.rows == ()


def test_a_snapshot_after_a_reconnect_replaces_what_was_known() -> None:
    store = make_store()
    store.all_orders([snapshot("gone")], T0)
    store.all_orders([snapshot("here")], T0)

    assert [row.key for row in store.view(T0).orders.rows] == ["here"]


# --- market -----------------------------------------------------------------------------------------------------------


def book(state: str = "LIVE", age_ms: int = 100) -> BookRow:
    return BookRow(BTC, state, Decimal("65010.1"), Decimal("65011.25"), Decimal("65010.5"), age_ms)


def test_a_book_that_is_not_live_is_stale_and_its_levels_are_not_shown() -> None:
    store = make_store()
    store.beat(make_beat("marketdata"), T0)
    store.books([book("GAP")], T0)
    one = (Decimal(1), Decimal(1))
    store.ladder(Ladder(BTC, "GAP", (one,), (one,), T0), T0)
    view = store.view(T0)

    assert view.books[0].freshness is Freshness.STALE
    assert view.ladder.freshness is Freshness.DEAD


def test_a_book_that_stops_moving_gets_stale_although_heartbeats_arrive() -> None:
    store = make_store()
    store.beat(make_beat("marketdata", at_ns=T0), T0)
    store.books([book(age_ms=4_200)], T0)

    assert store.view(T0).books[0].freshness is Freshness.STALE
    assert store.view(T0).data_grades[0] >= 1


def test_prices_are_shown_with_the_decimals_of_their_tick() -> None:
    store = make_store()
    store.books([book()], T0)

    assert store.view(T0).price_places[BTC] == 2

    store.instruments([TradingRules(BTC, Decimal("0.1000"), Decimal(1), Decimal(1), Decimal(0))])

    assert store.view(T0).price_places[BTC] == 1


def test_a_public_link_gets_stale_by_age_and_a_quiet_private_one_does_not() -> None:
    store = make_store()
    links = (VenueLink("simx", "public", "live", 5_000, 0.0), VenueLink("simx", "private", "live", 60_000, 0.0))
    store.beat(make_beat("execd", links=links), T0)

    assert [item.freshness for item in store.view(T0).links] == [Freshness.STALE, Freshness.FRESH]


def test_the_first_instrument_is_selected_until_somebody_chooses() -> None:
    store = make_store()
    store.books([book()], T0)

    assert store.selected_instrument == BTC


# --- stop -------------------------------------------------------------------------------------------------------------


def test_stop_readiness_counts_only_fresh_answers() -> None:
    store = make_store()
    store.ping("riskd", StopPing(True, 3.0), T0)
    store.ping("execd", StopPing(True, 2.0), T0)

    assert (store.view(T0).stop.answering, store.view(T0).stop.slowest_ms) == (2, 3.0)
    assert store.view(T0 + 4 * S).stop.answering == 0


def test_a_broken_stop_path_is_an_alarm_of_the_right_priority() -> None:
    store = make_store()
    store.ping("riskd", StopPing(False, error="UNAVAILABLE"), T0)
    store.ping("execd", StopPing(True, 2.0), T0)
    store.view(T0)
    store.ping("execd", StopPing(True, 2.0), T0 + 2 * S)

    assert any(text == "P2 STOP 1/2: riskd does not answer" for text in texts(store.view(T0 + 2 * S)))

    store.ping("execd", StopPing(False, error="UNAVAILABLE"), T0 + 3 * S)

    assert texts(store.view(T0 + 3 * S))[0].startswith("P1 STOP 0/2")


def test_the_banner_counts_acknowledgements_and_nothing_takes_one_back() -> None:
    store = make_store()
    store.stop_given("C1", StopLevel.HALT, T0)
    command = store.view(T0).stop_command
    assert command is not None

    assert command.sentence(T0, 5 * S, None) == "HALTING 0/2"

    store.stop_answered("C1", "execd", StopPing(True, 11.0, TradingLevel.HALTED), T0)
    store.stop_answered("C1", "riskd", StopPing(False, error="UNAVAILABLE"), T0)
    store.stop_answered("C1", "execd", StopPing(False, error="UNAVAILABLE"), T0)

    assert command.sentence(T0, 5 * S, None) == "HALTING 1/2: no answer from riskd (UNAVAILABLE), retrying"

    store.stop_answered("C1", "riskd", StopPing(True, 700.0, TradingLevel.HALTED), T0 + S)

    assert command.sentence(T0 + S, 4 * S, None).startswith("HALTED 2/2 700 ms. F9 within 4 s = KILL")
    assert store.view(T0 + S).level.level is TradingLevel.HALTED


def test_a_halt_on_a_killed_system_says_killed() -> None:
    store = make_store()
    store.stop_given("C1", StopLevel.HALT, T0)
    for daemon in ("riskd", "execd"):
        store.stop_answered("C1", daemon, StopPing(True, 5.0, TradingLevel.KILLED), T0)
    command = store.view(T0).stop_command
    assert command is not None

    assert command.sentence(T0, 5 * S, None).startswith("KILLED 2/2 5 ms.")


def test_a_kill_counts_working_orders_down() -> None:
    store = make_store()
    store.execd_facts(ExecdFacts(True, 0, 9, ""))
    store.stop_given("C1", StopLevel.KILL, T0)
    for daemon in ("riskd", "execd"):
        store.stop_answered("C1", daemon, StopPing(True, 5.0, TradingLevel.KILLED), T0)
    command = store.view(T0).stop_command
    assert command is not None

    assert "Working orders 9 -> 2, protection stays." in command.sentence(T0, 0, 2)


def test_a_stop_that_is_incomplete_for_three_seconds_is_the_first_alarm() -> None:
    store = make_store()
    store.stop_given("C1", StopLevel.KILL, T0)
    store.stop_answered("C1", "riskd", StopPing(True, 5.0, TradingLevel.KILLED), T0)

    assert not any("INCOMPLETE" in text for text in texts(store.view(T0 + 3 * S)))
    assert any(text.startswith("P1 KILL INCOMPLETE: execd") for text in texts(store.view(T0 + 3 * S + MS)))


def test_an_answer_to_an_older_stop_does_not_count_for_the_newer_one() -> None:
    store = make_store()
    store.stop_given("C1", StopLevel.HALT, T0)
    store.stop_given("C2", StopLevel.KILL, T0)
    store.stop_answered("C1", "riskd", StopPing(True, 5.0, TradingLevel.HALTED), T0)

    assert store.stop_is_pending
    command = store.view(T0).stop_command
    assert command is not None
    assert command.acked == 0


# --- log and commands -------------------------------------------------------------------------------------------------


def test_the_log_is_bounded_and_lines_are_cut() -> None:
    store = make_store()
    for index in range(MAX_LOG_LINES + 10):
        store.note(LogEntry(T0 + index, "warning", "riskd", "x" * 10_000))
    log = store.view(T0).log

    assert len(log) == MAX_LOG_LINES
    assert len(log[0].text) == 500


def test_a_restart_of_a_daemon_is_noted() -> None:
    store = make_store()
    store.beat(make_beat("execd"), T0)
    store.beat(make_beat("execd", incarnation="run-2", at_ns=T0 + S), T0 + S)

    assert [entry.text for entry in store.view(T0 + S).log] == ["restarted"]


def test_an_older_command_does_not_replace_a_newer_one() -> None:
    store = make_store()
    store.command(Command(T0, "ana", "HALT"))
    store.command(Command(T0 - S, "bob", "earlier"))
    command = store.view(T0).last_command

    assert command is not None
    assert command.text == "HALT"


def test_the_answer_to_the_own_action_goes_after_ten_seconds() -> None:
    store = make_store()
    store.answer("cancel: on its way", T0)

    assert store.view(T0 + 9 * S).notice == "cancel: on its way"
    assert store.view(T0 + 11 * S).notice == ""


def test_a_rate_needs_two_heartbeats_of_one_run() -> None:
    store = make_store()
    store.beat(make_beat("marketdata", items=(("messages", "1000"),)), T0)
    store.beat(make_beat("marketdata", items=(("messages", "5100"),), at_ns=T0 + S), T0 + S)
    figure = next(item.figure for item in store.view(T0 + S).daemons if item.daemon == "marketdata")

    assert figure == "4.1k/s"
