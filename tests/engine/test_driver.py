from __future__ import annotations

from collections.abc import Iterable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.catalog import load_catalog, make_settings
from engine.driver import EngineDriver
from engine.runner import EngineCore
from tests.engine.builders import (
    MS,
    T0,
    S,
    columns,
    end_event,
    feed_empty_history,
    fill_event,
    live_market,
    price_path,
    trade,
)
from tests.engine.test_breakout_atr import PARAMS, random_market
from tests.support.builders import BTC, make_instrument
from tradebot.core.errors import RejectedError
from tradebot.core.intents import OrderIntent, Wish
from tradebot.core.market import MarketRow
from tradebot.core.order_events import OrderEvent
from tradebot.core.orders import OrderEventKind, OrderStatus
from tradebot.core.row_block import RowBlock

FAR = T0 + 10_000 * S


def make_driver(kind: str = "every_tick", **params: object) -> tuple[EngineDriver, EngineCore]:
    catalog = load_catalog()
    core = EngineCore([make_settings(catalog, "s1", kind, (BTC,), dict(params))], catalog, "drive")
    core.market_started("drive", [(0, make_instrument())])
    core.start_bars(T0)
    feed_empty_history(core)
    return EngineDriver(core, T0), core


def add(driver: EngineDriver, rows: list[MarketRow], first: int = 1) -> None:
    driver.add_rows(RowBlock.of(columns(rows)), range(first, first + len(rows)), 0)


def test_rows_beyond_the_horizon_wait() -> None:
    driver, _ = make_driver()
    add(driver, [*live_market(), *(trade(10_000, T0 + k * S) for k in range(1, 4))])

    step = driver.step([], [], T0 + S, 1)
    assert (step.processed_to_ns, step.consumed_rows) == (T0 + S, 3)
    assert step.intents == []

    step = driver.step([], [], T0 + S + MS, S // 2)
    assert step.consumed_rows == 4
    assert [at for at, _ in step.intents] == [T0 + S + MS]


def test_the_engine_stops_just_before_its_first_output_can_be_answered() -> None:
    driver, _ = make_driver()
    add(driver, [*live_market(), *(trade(10_000, T0 + k * MS, receive_ns=T0 + k * MS) for k in range(1, 8))])

    step = driver.step([], [], FAR, 3 * MS)

    assert step.processed_to_ns == T0 + 4 * MS - 1
    assert [(at - T0) // MS for at, _ in step.intents] == [1, 2, 3]


def test_a_step_without_output_reaches_the_horizon() -> None:
    driver, _ = make_driver()

    assert driver.step([], [], FAR, 1).processed_to_ns == FAR


def test_an_order_event_comes_before_a_row_of_the_same_time() -> None:
    driver, core = make_driver(trigger="bbo")
    add(driver, [*live_market(), trade(10_000, T0 + S, receive_ns=T0 + S)])
    (first,) = driver.step([], [], T0, 1).intents
    assert isinstance(first[1], OrderIntent)
    event = fill_event(first[1], "1", "100", now_ns=T0 + S)
    driver.step([event], [], T0 + S, 1)

    assert core.fold.holdings["s1", BTC].qty == 1
    assert core.markets[BTC].last_price == 10_000


def test_events_of_one_time_are_told_together_up_to_a_fill_that_a_strategy_may_answer() -> None:
    driver, core = make_driver(trigger="bbo")
    add(driver, [*live_market(), trade(10_000, T0 + S, receive_ns=T0 + S)])
    ((_, intent),) = driver.step([], [], T0, 1).intents
    assert isinstance(intent, OrderIntent)
    told: list[list[int]] = []
    handle = core.handle_order_events

    def watch(events: Iterable[OrderEvent], now_ns: int) -> list[Wish]:
        listed = list(events)
        told.append([event.sequence for event in listed])
        return handle(listed, now_ns)

    core.handle_order_events = watch  # type: ignore[method-assign]
    new = [
        end_event(intent, OrderEventKind.ACCEPTED, OrderStatus.NEW, sequence=k, now_ns=at_ns)
        for k, at_ns in ((1, T0 + S), (2, T0 + S), (4, T0 + S), (5, T0 + 2 * S))
    ]
    fill = fill_event(intent, "1", "100", status=OrderStatus.PARTIALLY_FILLED, sequence=3, now_ns=T0 + S)
    driver.step([new[0], new[1], fill, new[2], new[3]], [], T0 + 2 * S, 1)

    assert told == [[1, 2, 3], [4], [5]]
    assert core.fold.holdings["s1", BTC].qty == 1


def test_the_past_cannot_be_changed() -> None:
    driver, _ = make_driver(trigger="bbo")
    add(driver, live_market())
    ((_, intent),) = driver.step([], [], T0 + S, S).intents
    assert isinstance(intent, OrderIntent)
    with pytest.raises(RejectedError, match="EVENT_IN_THE_PAST"):
        driver.step([fill_event(intent, "1", "100", now_ns=T0)], [], T0 + 2 * S, 1)
    add(driver, [trade(10_000, T0 + 5 * S)], 4)
    with pytest.raises(RejectedError, match="ROWS_OUT_OF_ORDER"):
        add(driver, [trade(10_000, T0 + 2 * S)], 5)
    with pytest.raises(RejectedError, match="BAD_LOOKAHEAD"):
        driver.step([], [], T0 + 9 * S, 0)


def test_bars_close_by_timers_between_rows() -> None:
    driver, core = make_driver("breakout_atr", **PARAMS)
    add(driver, [*live_market(), *price_path([10_000])])
    step = driver.step([], [], T0 + 4 * S, 1)

    assert core.runs["s1"].bars == 3
    assert step.next_timer_ns == T0 + 4 * S + 250 * MS


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 1_000), st.lists(st.integers(1, 40 * S), min_size=1, max_size=12), st.integers(1, 200))
def test_how_a_drive_is_cut_into_steps_changes_nothing(seed: int, cuts: list[int], batch: int) -> None:
    rows = random_market(seed, 100)

    def drive(horizons: list[int], batch_rows: int) -> list[tuple[int, Wish]]:
        driver, _ = make_driver("breakout_atr", **PARAMS)
        for start in range(0, len(rows), batch_rows):
            add(driver, rows[start : start + batch_rows], start + 1)
        made: list[tuple[int, Wish]] = []
        for horizon in [*horizons, FAR]:
            while True:
                step = driver.step([], [], horizon, 5 * MS)
                made += step.intents
                if step.processed_to_ns >= horizon:
                    break
        return made

    edges = sorted({T0 + sum(cuts[: k + 1]) for k in range(len(cuts))})

    assert drive(edges, batch) == drive([], len(rows))
