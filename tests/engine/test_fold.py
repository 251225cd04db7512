"""Rows folded by compiled code and rows taken one by one leave the same engine behind, and the same intents."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.bars import Bar
from engine.catalog import make_settings
from engine.driver import EngineDriver, start_drive
from engine.markets import Market
from engine.runner import EngineCore
from engine.strategy import Params, Proposals, Strategy, enter, strategy
from tests.engine.builders import ETH, MS, T0, S, columns
from tests.support.builders import BTC, make_instrument
from tradebot.core.intents import Wish
from tradebot.core.market import BUY_FLAG, LAST_FLAG, SELL_FLAG, BookState, MarketRow, RowColumns, RowKind
from tradebot.core.orders import Side
from tradebot.core.row_block import RowBlock


class Watcher(Strategy):
    """Writes down everything that it can see whenever it is called."""

    params: Params
    overlapping = True
    needs_depth = True

    def start(self) -> None:
        self.log: list[Any] = []

    def see(self, what: str, market: Market, *more: object) -> Proposals:
        assert market.book is not None
        last = (market.last_price, market.last_qty, market.last_side)
        touch = (market.bid, market.bid_qty, market.ask, market.ask_qty)
        self.log.append((what, touch, last, market.live, market.book.touch, market.book.bids.levels(), *more))
        return enter(Side.BUY, what) if len(self.log) % 3 == 0 else None


@strategy("timer")
class OnTimer(Watcher):
    def start(self) -> None:
        super().start()
        self.at_ns = T0

    def on_timer(self, now_ns: int) -> Proposals:
        self.at_ns = now_ns + 100 * MS
        return self.see("timer", self.markets[0], now_ns)

    def next_timer_ns(self) -> int | None:
        return self.at_ns


@strategy("bars")
class OnBars(OnTimer):
    def on_bar(self, market: Market, bar: Bar) -> Proposals:
        return self.see("bar", market, bar)


@strategy("bbo")
class OnBbo(Watcher):
    def on_bbo(self, market: Market) -> Proposals:
        return self.see("bbo", market)


@strategy("trades")
class OnTrades(Watcher):
    def on_trade(self, market: Market) -> Proposals:
        return self.see("trade", market)

    def on_bar(self, market: Market, bar: Bar) -> Proposals:
        return self.see("bar", market, bar)


CATALOG: dict[str, type[Strategy]] = {cls.kind: cls for cls in (OnTimer, OnBars, OnBbo, OnTrades)}
KINDS = [
    RowKind.TRADE,
    RowKind.TRADE,
    RowKind.BBO,
    RowKind.BBO,
    RowKind.BOOK_LEVEL,
    RowKind.BOOK_LEVEL,
    RowKind.SNAPSHOT_LEVEL,
    RowKind.BOOK_CLEAR,
    RowKind.BOOK_STATE,
    RowKind.MARK_PRICE,
]


class OneByOne(EngineCore):
    """Takes each row alone."""

    def fold_rows(self, block: RowBlock, start: int, to_ns: int) -> int:
        return start


@st.composite
def random_rows(draw: st.DrawFn) -> list[MarketRow]:
    rows = []
    now_ns = T0
    for _ in range(draw(st.integers(0, 60))):
        now_ns += draw(st.sampled_from([0, 0, MS, 40 * MS, 300 * MS, 1_100 * MS]))
        kind = draw(st.sampled_from(KINDS))
        flags = draw(st.sampled_from([BUY_FLAG, SELL_FLAG])) | draw(st.sampled_from([0, LAST_FLAG]))
        price = draw(st.integers(95, 105))
        if kind is RowKind.BOOK_STATE:
            price = int(draw(st.sampled_from([BookState.LIVE, BookState.LIVE, BookState.GAP])))
        event_ns = now_ns - draw(st.sampled_from([0, 0, MS, 5 * MS, 900 * MS]))
        qty = draw(st.integers(0, 5))
        rows.append(MarketRow(kind, draw(st.integers(0, 2)), flags, price, qty, 0, event_ns, now_ns))
    return rows


def drive(core_class: type[EngineCore], kind: str, rows: Sequence[MarketRow], cut: int) -> tuple[Any, ...]:
    core = core_class([make_settings(CATALOG, "s1", kind, (BTC, ETH), {"bar_ms": 1_000})], CATALOG, "drive")
    listed = [(0, make_instrument()), (2, make_instrument(ETH))]
    driver = start_drive(core, listed, T0 - S, {})
    made: list[tuple[int, Wish]] = []
    for part, first in ((rows[:cut], 1), (rows[cut:], cut + 1)):
        driver.add_rows(RowBlock.of(columns(list(part))), range(first, first + len(part)), 0)
        horizon = part[-1].receive_time_ns if part else T0
        while (step := driver.step([], [], horizon, MS)).processed_to_ns < horizon:
            made += step.intents
        made += step.intents
    made += driver.step([], [], T0 + 100 * S, 100 * S).intents
    logs = [unit.strategy.log for run in core.runs.values() for unit in run.units]  # type: ignore[attr-defined]
    return made, logs, [(m.bid, m.ask, m.last_price, m.live) for m in core.markets.values()], driver_counts(driver)


def driver_counts(driver: EngineDriver) -> int:
    return driver.step([], [], T0 + 101 * S, 1).consumed_rows


@pytest.mark.parametrize("kind", sorted(CATALOG))
@settings(max_examples=25, deadline=None)
@given(rows=random_rows(), cut=st.integers(0, 60))
def test_folding_rows_and_taking_them_one_by_one_is_the_same(kind: str, rows: list[MarketRow], cut: int) -> None:
    assert drive(EngineCore, kind, rows, min(cut, len(rows))) == drive(OneByOne, kind, rows, min(cut, len(rows)))


def test_rows_between_two_timers_are_one_call() -> None:
    rows = [MarketRow(RowKind.BOOK_LEVEL, 0, BUY_FLAG, 100 + i % 7, 1 + i, 0, T0 + i, T0 + i) for i in range(5_000)]
    core = EngineCore([make_settings(CATALOG, "s1", "timer", (BTC,), {})], CATALOG, "drive")
    driver = start_drive(core, [(0, make_instrument())], T0 - S, {})
    block = RowBlock.of(columns(rows))

    assert core.fold_rows(block, 0, T0 + 5_000) == 5_000
    driver.add_rows(block, range(5_000), 0)
    assert driver.step([], [], T0 + S, 1).consumed_rows == 5_000


def test_a_row_of_the_first_moment_after_the_time_waits() -> None:
    core = EngineCore([make_settings(CATALOG, "s1", "timer", (BTC,), {})], CATALOG, "drive")
    start_drive(core, [(0, make_instrument())], T0 - S, {})
    rows = RowColumns()
    rows.extend([MarketRow(RowKind.TRADE, 0, BUY_FLAG, 100 + i, 1, 0, T0 + i, T0 + i) for i in range(4)])

    assert core.fold_rows(RowBlock.of(rows), 0, T0 + 1) == 2
    assert core.markets[BTC].last_price == 101
