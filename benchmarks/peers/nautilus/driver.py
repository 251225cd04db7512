"""`python -m benchmarks.peers.nautilus.driver [DATA MODE QUEUE]`: nautilus_trader's side of the engine benchmarks.

Runs under the peer's own interpreter. Modes: touch (L2 deltas and trades, a callback per object, the book kept),
quotes (best bids and offers and trades), pairs (quotes, plus a post-only order and the cancel of the one before at
every tenth quote), requote (touch, plus the rule of `benchmarks.engine.strategies.Requote` every 100 ms with 10 ms
latency). Objects are built before the clock starts, logging and analysis are off.
"""

from __future__ import annotations

import time
from functools import cache
from pathlib import Path
from typing import Any, Final

import numpy as np
from nautilus_trader.backtest.config import BacktestEngineConfig
from nautilus_trader.backtest.engine import BacktestEngine
from nautilus_trader.backtest.models import LatencyModel
from nautilus_trader.common.config import LoggingConfig
from nautilus_trader.model.currencies import USDT
from nautilus_trader.model.data import OrderBookDelta, OrderBookDeltas, QuoteTick, TradeTick
from nautilus_trader.model.enums import AccountType, BookAction, BookType, OmsType, OrderSide
from nautilus_trader.model.identifiers import Venue
from nautilus_trader.model.objects import FIXED_PRECISION, Money, Price, Quantity
from nautilus_trader.test_kit.providers import TestInstrumentProvider
from nautilus_trader.trading.strategy import Strategy

from benchmarks.sim.worker import Job, Result, serve

PRICE_RAW: Final = 10 ** (FIXED_PRECISION - 1)
QTY_RAW: Final = 10 ** (FIXED_PRECISION - 3)
INSTRUMENT: Final = TestInstrumentProvider.btcusdt_perp_binance()
ID: Final = INSTRUMENT.id
HALF, MAX_LOTS, ORDER_LOTS = 5, 100, 10
FAR_TICKS, EVERY_QUOTES = 500, 10
LAST_FLAG: Final = 128
TRADE, KIND_MASK, BUYER = 2, 7, 8


class Counting(Strategy):  # type: ignore[misc]
    """Counts what it is called with."""

    def __init__(self, mode: str) -> None:
        super().__init__()
        self.mode = mode
        self.calls = self.submits = self.cancels = self.fills = 0
        self.last: Any = None
        self.work: dict[Any, Any] = {}

    def on_start(self) -> None:
        self.subscribe_trade_ticks(ID)
        if self.mode in ("quotes", "pairs"):
            self.subscribe_quote_ticks(ID)
        else:
            self.subscribe_order_book_deltas(ID, book_type=BookType.L2_MBP)
        if self.mode == "requote":
            import pandas as pd

            self.clock.set_timer("requote", pd.Timedelta(milliseconds=100), callback=self.requote)

    def on_trade_tick(self, tick: Any) -> None:
        self.calls += 1

    def on_order_book_deltas(self, deltas: Any) -> None:
        self.calls += 1

    def on_quote_tick(self, tick: Any) -> None:
        self.calls += 1
        if self.mode == "pairs" and self.calls % EVERY_QUOTES == 0:
            if self.last is not None and self.last.is_open:
                self.cancel_order(self.last)
                self.cancels += 1
            self.last = self.send(OrderSide.BUY, round(float(tick.bid_price) * 10) - FAR_TICKS)

    def send(self, side: Any, ticks: int) -> Any:
        """Submit a post-only limit order."""
        qty = Quantity(ORDER_LOTS / 1000, 3)
        order = self.order_factory.limit(ID, side, qty, Price(ticks / 10, 1), post_only=True)
        self.submit_order(order)
        self.submits += 1
        return order

    def requote(self, event: Any) -> None:
        """Quote both sides around the mid, skewed by the position."""
        book = self.cache.order_book(ID)
        if book is None or book.best_bid_price() is None or book.best_ask_price() is None:
            return
        bid, ask = round(float(book.best_bid_price()) * 10), round(float(book.best_ask_price()) * 10)
        held = int(self.portfolio.net_position(ID) * 1000)
        mid2 = bid + ask - held // 10
        targets = {
            OrderSide.BUY: min((mid2 - 2 * HALF) // 2, bid),
            OrderSide.SELL: max(-((-mid2 - 2 * HALF) // 2), ask),
        }
        for side, ticks in targets.items():
            order = self.work.get(side)
            if order is not None and not order.is_closed:
                if round(float(order.price) * 10) == ticks:
                    continue
                if not order.is_pending_cancel:
                    self.cancel_order(order)
                    self.cancels += 1
            if held < MAX_LOTS if side == OrderSide.BUY else held > -MAX_LOTS:
                self.work[side] = self.send(side, ticks)

    def on_order_filled(self, event: Any) -> None:
        self.fills += 1


@cache
def columns(folder: str) -> dict[str, Any]:
    """Read one data folder."""
    names = ("exchange_time_ns", "flags", "price_ticks", "qty_lots")
    return {name: np.load(Path(folder, f"{name}.npy")) for name in names}


@cache
def trades(folder: str) -> list[Any]:
    """Return the public trades as objects."""
    data = columns(folder)
    found = (data["flags"] & KIND_MASK) == TRADE
    times = data["exchange_time_ns"][found].astype("u8")
    sides = np.where(data["flags"][found] & BUYER, 1, 2).astype("u1")
    prices, qtys = data["price_ticks"][found] / 10.0, data["qty_lots"][found] / 1000.0
    ids = [str(number) for number in range(int(found.sum()))]
    made: list[Any] = TradeTick.from_raw_arrays_to_list(ID, 1, 3, prices, qtys, sides, ids, times, times)
    return made


@cache
def deltas(folder: str) -> list[Any]:
    """Return the level changes, one object per packet."""
    data = columns(folder)
    levels = (data["flags"] & KIND_MASK) != TRADE
    times, flags, prices, qtys = (
        data[name][levels].tolist() for name in ("exchange_time_ns", "flags", "price_ticks", "qty_lots")
    )
    made: list[Any] = []
    packet: list[Any] = []
    for i, at_ns in enumerate(times):
        is_last = i + 1 == len(times) or times[i + 1] != at_ns
        action = BookAction.UPDATE if qtys[i] else BookAction.DELETE
        side = OrderSide.BUY if flags[i] & BUYER else OrderSide.SELL
        raw = (prices[i] * PRICE_RAW, 1, qtys[i] * QTY_RAW, 3, 0, LAST_FLAG if is_last else 0, i, at_ns, at_ns)
        packet.append(OrderBookDelta.from_raw(ID, action, side, *raw))
        if is_last:
            made.append(OrderBookDeltas(ID, packet))
            packet = []
    return made


@cache
def quotes(folder: str) -> list[Any]:
    """Return the best bid and offer after each packet that changed them."""
    data = columns(folder)
    times, flags, prices, qtys = (data[name].tolist() for name in data)
    books: tuple[dict[int, int], dict[int, int]] = ({}, {})
    found: list[tuple[int, ...]] = []
    last: tuple[int, ...] = ()
    bid = ask = 0
    for i, at_ns in enumerate(times):
        if flags[i] & KIND_MASK != TRADE:
            own = books[0 if flags[i] & BUYER else 1]
            if qtys[i]:
                own[prices[i]] = qtys[i]
            else:
                own.pop(prices[i], None)
            if flags[i] & BUYER:
                bid = max(bid, prices[i]) if qtys[i] else (max(own, default=0) if prices[i] == bid else bid)
            elif qtys[i]:
                ask = min(ask or prices[i], prices[i])
            elif prices[i] == ask:
                ask = min(own, default=0)
        if (i + 1 == len(times) or times[i + 1] != at_ns) and bid and ask:
            touch = (bid, ask, books[0][bid], books[1][ask])
            if touch != last:
                found.append((at_ns, *touch))
                last = touch
    table = np.array(found, np.int64)
    at = table[:, 0].astype("u8")
    made: list[Any] = QuoteTick.from_raw_arrays_to_list(
        ID, 1, 3, table[:, 1] / 10.0, table[:, 2] / 10.0, table[:, 3] / 1000.0, table[:, 4] / 1000.0, at, at
    )
    return made


def run(job: Job) -> Result:
    """Simulate once; the clock covers `engine.run` only."""
    folder, mode = job["data"], job["mode"]
    is_l1 = mode in ("quotes", "pairs")
    engine = BacktestEngine(BacktestEngineConfig(logging=LoggingConfig(bypass_logging=True), run_analysis=False))
    engine.add_venue(
        venue=Venue("BINANCE"),
        oms_type=OmsType.NETTING,
        account_type=AccountType.MARGIN,
        base_currency=None,
        starting_balances=[Money(1_000_000, USDT)],
        book_type=BookType.L1_MBP if is_l1 else BookType.L2_MBP,
        latency_model=LatencyModel(10_000_000) if mode == "requote" else None,
        trade_execution=True,
    )
    engine.add_instrument(INSTRUMENT)
    engine.add_data(trades(folder), sort=False)
    engine.add_data(quotes(folder) if is_l1 else deltas(folder))
    strategy = Counting(mode)
    engine.add_strategy(strategy)
    begin = time.perf_counter()
    engine.run()
    wall_s = time.perf_counter() - begin
    engine.dispose()
    counts = {"submits": strategy.submits, "cancels": strategy.cancels, "fills": strategy.fills}
    return {"wall_s": wall_s, "calls": strategy.calls, **counts}


if __name__ == "__main__":
    serve(run)
