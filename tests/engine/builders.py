"""Builders for engine tests: instruments, rows, order events, and a core that is ready to trade."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any

from engine.catalog import load_catalog, make_settings
from engine.runner import EngineCore, EngineOptions
from engine.strategy import Strategy
from tests.support.builders import make_instrument
from tradebot.core.instruments import Instrument
from tradebot.core.intents import OrderIntent, Wish
from tradebot.core.market import BUY_FLAG, LAST_FLAG, SELL_FLAG, BookState, MarketRow, RowColumns, RowKind
from tradebot.core.order_events import OrderEvent, OrderFacts
from tradebot.core.orders import (
    Execution,
    Liquidity,
    OrderEventKind,
    OrderStatus,
    OrderTerms,
    OrderType,
    TimeInForce,
)

S = 1_000_000_000
MS = 1_000_000
T0 = 1_700_000_000 * S
LATENCY = MS
ETH = "binance:ETH-USDT"


def book_state(state: BookState, time_ns: int, index: int = 0) -> MarketRow:
    return MarketRow(RowKind.BOOK_STATE, index, LAST_FLAG, state, 0, 0, time_ns, time_ns)


def bbo(bid: int, ask: int, time_ns: int, index: int = 0, qty: int = 1_000) -> list[MarketRow]:
    """Best bid and offer in ticks; like Binance's, without a venue time of its own."""
    return [
        MarketRow(RowKind.BBO, index, BUY_FLAG, bid, qty, 0, time_ns, time_ns),
        MarketRow(RowKind.BBO, index, SELL_FLAG | LAST_FLAG, ask, qty, 0, time_ns, time_ns),
    ]


def trade(price: int, time_ns: int, index: int = 0, qty: int = 100, receive_ns: int | None = None) -> MarketRow:
    received = time_ns + LATENCY if receive_ns is None else receive_ns
    return MarketRow(RowKind.TRADE, index, BUY_FLAG | LAST_FLAG, price, qty, 0, time_ns, received)


def columns(*rows: MarketRow | Sequence[MarketRow]) -> RowColumns:
    made = RowColumns()
    for row in rows:
        if isinstance(row, MarketRow):
            made.append(row)
        else:
            made.extend(row)
    return made


def live_market(time_ns: int = T0, bid: int = 9_999, ask: int = 10_001, index: int = 0) -> list[MarketRow]:
    return [book_state(BookState.LIVE, time_ns, index), *bbo(bid, ask, time_ns, index)]


def price_path(prices: Sequence[int], start_ns: int = T0, step_ns: int = S, index: int = 0) -> list[MarketRow]:
    """One trade per step, 100 ms into it, with quotes one tick around it just before."""
    rows: list[MarketRow] = []
    for number, price in enumerate(prices):
        time_ns = start_ns + number * step_ns + 100 * MS
        rows += bbo(price - 1, price + 1, time_ns, index)
        rows.append(trade(price, time_ns, index))
    return rows


def _intents(wishes: Sequence[Wish]) -> list[OrderIntent]:
    return [wish for wish in wishes if isinstance(wish, OrderIntent)]


class Desk:
    """An engine core with the stream position of a test; `take` feeds rows one by one at their receive time."""

    def __init__(self, core: EngineCore) -> None:
        self.core = core
        self.sequence = 1
        self.intents: list[OrderIntent] = []
        self.times: list[int] = []

    def take(self, *rows: MarketRow | Sequence[MarketRow]) -> list[OrderIntent]:
        batch = columns(*rows)
        sequences = range(self.sequence, self.sequence + len(batch))
        made: list[OrderIntent] = []
        for i in range(len(batch)):
            now_ns = batch.receive_time_ns[i]
            out = _intents(self.core.handle_rows(batch, sequences, now_ns, now_ns, i, i + 1))
            made += out
            self.times += [now_ns] * len(out)
        self.sequence += len(batch)
        self.intents += made
        return made

    def timer(self, now_ns: int) -> list[OrderIntent]:
        made = _intents(self.core.handle_timer(now_ns))
        self.intents += made
        self.times += [now_ns] * len(made)
        return made


def make_desk(
    kind: str = "breakout_atr",
    params: Mapping[str, Any] | None = None,
    instruments: Sequence[Instrument] | None = None,
    classes: Mapping[str, type[Strategy]] | None = None,
    history: bool = True,
    options: EngineOptions | None = None,
    strategy_id: str = "s1",
) -> Desk:
    """Return a desk with one strategy on all instruments, history fed (empty) unless `history` is False."""
    catalog = load_catalog() | dict(classes or {})
    traded = list(instruments or [make_instrument()])
    settings = make_settings(catalog, strategy_id, kind, tuple(i.instrument_id for i in traded), dict(params or {}))
    core = EngineCore([settings], catalog, "test", options or EngineOptions(isolate_faults=False))
    core.market_started("md-1", list(enumerate(traded)))
    desk = Desk(core)
    if history:
        feed_empty_history(core)
    return desk


def feed_empty_history(core: EngineCore) -> None:
    for request in core.history_wanted():
        core.feed_history(request.instrument_id, request.interval_ns, [], T0)


def fill_event(
    intent: OrderIntent,
    qty: str,
    price: str,
    *,
    status: OrderStatus = OrderStatus.FILLED,
    exec_id: str = "",
    fee: str = "0",
    fee_asset: str = "USDT",
    sequence: int = 1,
    now_ns: int = T0,
) -> OrderEvent:
    """The event of one execution of the order made from an intent, with the order's facts."""
    client_order_id = f"c-{intent.intent_id}"
    execution = Execution(
        exec_id or f"x-{intent.intent_id}",
        client_order_id,
        intent.instrument_id,
        intent.side,
        Decimal(qty),
        Decimal(price),
        Decimal(fee),
        fee_asset,
        Liquidity.TAKER,
        now_ns,
    )
    kind = OrderEventKind.FILL_COMPLETE if status is OrderStatus.FILLED else OrderEventKind.FILL
    return OrderEvent(sequence, client_order_id, kind, status, now_ns, order_facts(intent), execution)


def end_event(
    intent: OrderIntent, kind: OrderEventKind, status: OrderStatus, *, sequence: int = 1, now_ns: int = T0
) -> OrderEvent:
    return OrderEvent(sequence, f"c-{intent.intent_id}", kind, status, now_ns, order_facts(intent))


def order_facts(intent: OrderIntent, qty: str = "1") -> OrderFacts:
    terms = OrderTerms(
        f"c-{intent.intent_id}",
        intent.instrument_id,
        intent.side,
        OrderType.LIMIT,
        Decimal(qty),
        intent.limit_price,
        time_in_force=TimeInForce.IOC,
    )
    return OrderFacts(terms, intent.strategy_id, intent.intent_id, 0, intent.role, intent.created_time_ns)
