"""Small feeds, and scripts of a strategy that run in the kernels and in the reference alike."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from hypothesis import strategies as st

from tests.sim.kernels.reference import Model, ReferenceClock, ReferenceSimulator, Terms
from tradebot.core import columns
from tradebot.core.columns import MarketColumns
from tradebot.sim.fees import FeeSchedule, FeeTier
from tradebot.sim.kernels import api, queues
from tradebot.sim.kernels import layout as at
from tradebot.sim.kernels.clock import RESPONSE
from tradebot.sim.kernels.feed import Feed
from tradebot.sim.kernels.perpetual import FUNDING, LIQUIDATION_ID, MARK
from tradebot.sim.kernels.simulator import Simulator
from tradebot.sim.kernels.terms import (
    ConstantLatency,
    Latency,
    Market,
    Perpetual,
    Queue,
    RecordedLatency,
    SampledLatency,
)

PRICES = (98, 99, 100, 101, 102)
Step = tuple[str, dict[str, Any]]


@dataclass(frozen=True)
class Happening:
    """One fact with both its times."""

    exchange_ns: int
    local_ns: int
    kind: int
    buyer: bool
    price: int
    qty: int


def make_columns(happenings: Sequence[Happening]) -> MarketColumns:
    """Order facts for both clocks: one row where they agree on its place, else one row per clock."""
    by_exchange = sorted(range(len(happenings)), key=lambda i: happenings[i].exchange_ns)
    by_local = sorted(range(len(happenings)), key=lambda i: happenings[i].local_ns)
    rows: list[tuple[Happening, int]] = []
    early: set[int] = set()
    i = j = 0
    while j < len(by_local):
        if by_local[j] in early:
            rows.append((happenings[by_local[j]], columns.AT_LOCAL))
            j += 1
        elif by_exchange[i] == by_local[j]:
            rows.append((happenings[by_local[j]], columns.BOTH))
            i, j = i + 1, j + 1
        else:
            early.add(by_exchange[i])
            rows.append((happenings[by_exchange[i]], columns.AT_EXCHANGE))
            i += 1
    flags = [item.kind | clocks | (columns.BUYER if item.buyer else 0) for item, clocks in rows]
    return MarketColumns(
        np.array([item.exchange_ns for item, _ in rows], np.int64),
        np.array([item.local_ns for item, _ in rows], np.int64),
        np.array(flags, np.uint8),
        np.array([item.price for item, _ in rows], np.int64),
        np.array([item.qty for item, _ in rows], np.int64),
    )


BID_PRICES = st.sampled_from((98, 99, 99, 100, 101))
ASK_PRICES = st.sampled_from((102, 101, 101, 100, 99))
"""Mostly a touch of 99 / 101, sometimes crossed."""


@st.composite
def feeds(draw: st.DrawFn, overtaking: bool = True) -> MarketColumns:
    """Draw a short feed; with `overtaking` rows may reach the strategy in another order than they happened."""
    happenings = [
        Happening(100, 100, columns.LEVEL, buyer, price, draw(st.integers(1, 9)))
        for buyer, price in ((True, 99), (True, 98), (False, 101), (False, 102))
    ]
    now = 100
    last_local = 0
    for _ in range(draw(st.integers(5, 50))):
        now += draw(st.integers(0, 3))
        local = now + draw(st.integers(0, 4))
        if not overtaking:
            local = last_local = max(local, last_local)
        buyer = draw(st.booleans())
        choice = draw(st.integers(0, 29))
        if choice == 0 and overtaking:
            happenings.append(Happening(now, local, columns.CLEAR, buyer, 0, 0))
        elif choice < 18:
            price = draw(BID_PRICES if buyer else ASK_PRICES)
            happenings.append(Happening(now, local, columns.LEVEL, buyer, price, draw(st.integers(0, 9))))
        else:
            price = draw(ASK_PRICES if buyer else BID_PRICES)
            happenings.append(Happening(now, local, columns.TRADE, buyer, price, draw(st.integers(1, 4))))
    return make_columns(happenings)


@st.composite
def submissions(draw: st.DrawFn, markets: int = 1) -> Step:
    """Draw a new order for one of the markets, mostly one that rests."""
    side = draw(st.sampled_from((1, -1)))
    price = draw(BID_PRICES if side > 0 else ASK_PRICES)
    kind = draw(st.sampled_from((at.GTC, at.GTC, at.POST_ONLY, at.POST_ONLY, at.IOC, at.FOK, at.MARKET)))
    if draw(st.integers(0, 4)) == 0:
        kind |= draw(st.sampled_from((at.REDUCE_ONLY, at.STOP, at.TAKE_PROFIT, at.STOP | at.REDUCE_ONLY)))
    return "submit", {
        "market": draw(st.integers(0, markets - 1)),
        "side": side,
        "price": price,
        "qty": draw(st.integers(1, 5)),
        "kind": kind,
        "trigger": draw(st.integers(98, 102)),
        "display": draw(st.sampled_from((0, 0, 0, 1, 2))),
        "lives": draw(st.sampled_from((0, 0, 0, 5, 12, 30))),
    }


def scripts(markets: int = 1) -> st.SearchStrategy[list[Step]]:
    """Draw what a strategy does in so many markets."""
    number = st.integers(0, 5)
    change = {"number": number, "price": st.integers(98, 102), "qty": st.integers(1, 5)}
    step = st.one_of(
        st.tuples(st.just("elapse"), st.fixed_dictionaries({"ns": st.integers(0, 20)})),
        st.tuples(st.just("elapse"), st.fixed_dictionaries({"ns": st.integers(0, 20)})),
        st.tuples(st.just("wait"), st.fixed_dictionaries({"ns": st.integers(0, 20), "responses": st.booleans()})),
        st.tuples(st.just("await"), st.fixed_dictionaries({"number": number, "ns": st.integers(0, 20)})),
        submissions(markets),
        submissions(markets),
        st.tuples(st.just("cancel"), st.fixed_dictionaries({"number": number})),
        st.tuples(st.just("modify"), st.fixed_dictionaries(change)),
    )
    first = st.lists(submissions(markets), min_size=1, max_size=4)
    return st.builds(list.__add__, first, st.lists(step, min_size=1, max_size=25))


RECORDED = st.lists(st.tuples(st.integers(1, 12), st.integers(0, 4), st.integers(0, 4)), min_size=2, max_size=6)
QUANTILES = st.lists(st.integers(0, 9), min_size=3, max_size=3).map(sorted).map(tuple)


def recorded(rows: list[tuple[int, int, int]], refused: bool) -> tuple[tuple[int, int, int], ...]:
    """Turn gaps and latencies into rising times; one in the middle may be refused."""
    sent, reached, table = 95, 0, []
    for gap, entry, response in rows:
        sent += gap
        reached = max(sent + entry, reached + 1)
        table.append((sent, reached, reached + response))
    if refused and len(table) > 2:
        table[1] = (table[1][0], 0, table[1][2])
    return tuple(table)


def models() -> st.SearchStrategy[Model]:
    """Draw a venue."""
    partial: st.SearchStrategy[Any] = st.builds(dict, partial_fills=st.just(True), impact=st.booleans())
    latency: st.SearchStrategy[Any] = st.one_of(
        st.builds(dict, entry_ns=st.integers(0, 4), response_ns=st.integers(0, 4)),
        st.builds(dict, quantiles=st.tuples(QUANTILES, QUANTILES), seed=st.integers(0, 9)),
        st.builds(dict, recorded=st.builds(recorded, RECORDED, st.booleans())),
    )
    rules: st.SearchStrategy[Any] = st.builds(
        dict,
        self_trade=st.sampled_from((0, 0, at.EXPIRE_MAKER, at.EXPIRE_TAKER, at.EXPIRE_BOTH)),
        min_qty=st.sampled_from((0, 0, 2)),
        min_value=st.sampled_from((0, 0, 250)),
    )
    contract: st.SearchStrategy[Any] = st.one_of(st.just({}), st.builds(dict, terms=perpetuals()))
    fees: st.SearchStrategy[Any] = st.one_of(st.just({}), fee_tiers())
    parts = st.tuples(queue_models(), st.one_of(st.just({}), partial), latency, rules, contract, fees)
    made = parts.map(lambda found: dataclasses.replace(found[0], **{k: v for one in found[1:] for k, v in one.items()}))
    # An inverse contract is worth its quantity.
    return made.map(lambda model: dataclasses.replace(model, min_value=0) if model.terms.inverse else model)


@st.composite
def perpetuals(draw: st.DrawFn) -> Terms:
    """Draw a perpetual that is liquidated now and then."""
    event = st.one_of(
        st.tuples(st.integers(0, 20), st.just(MARK), st.integers(170, 230)),
        st.tuples(st.integers(0, 20), st.just(FUNDING), st.integers(-2, 2)),
    )
    now, events = 95, []
    for gap, kind, value in draw(st.lists(event, max_size=8)):
        now += gap
        events.append((now, kind, value))
    inverse = draw(st.booleans())
    # A lot is worth about 100 tick-lots, or a hundredth of a lot per tick.
    collateral = draw(st.integers(0, 1)) if inverse else draw(st.sampled_from((30, 100, 1000)))
    return Terms(tuple(events), inverse, collateral, draw(st.sampled_from((0, 1, 5, 20))))


def make_perpetual(events: Sequence[tuple[int, int, int]], **options: Any) -> Perpetual:
    """Build a perpetual from (time, kind, value in steps of 1e-8)."""
    table = np.array(events, np.int64).reshape(-1, 3)
    return Perpetual(table[:, 0].copy(), table[:, 1].copy(), table[:, 2].copy(), **options)


def perpetual_of(model: Model) -> Perpetual | None:
    """Return the kernels' terms."""
    terms = model.terms
    if terms == Terms():
        return None
    steps = {MARK: 50_000_000, FUNDING: 25_000_000}
    return make_perpetual(
        [(time, kind, value * steps[kind]) for time, kind, value in terms.events],
        inverse=terms.inverse,
        collateral=terms.collateral * Decimal(str(model.lot_size)),
        leverage=Decimal(terms.leverage),
        maintenance_rate=Decimal(float(terms.maintenance)),
        liquidation_fee=Decimal(float(terms.liquidation_fee)),
    )


def schedule_of(model: Model) -> FeeSchedule | None:
    """Return the kernels' fee table."""
    if not model.tiers:
        return None
    tiers = [FeeTier(Decimal(one), Decimal(float(made)), Decimal(float(taken))) for one, made, taken in model.tiers]
    return FeeSchedule(tuple(tiers), Decimal(model.prior), model.day_ns)


@st.composite
def fee_tiers(draw: st.DrawFn) -> dict[str, Any]:
    """Draw a table whose tiers a script can climb: a fill is worth some hundred quote units."""
    volumes = [0, *sorted(draw(st.sets(st.integers(1, 1500), min_size=1, max_size=3)))]
    rates = st.integers(-8, 8).map(lambda number: Fraction(number, 64))
    tiers = tuple((volume, draw(rates), draw(rates)) for volume in volumes)
    return {"tiers": tiers, "prior": 30 * draw(st.integers(0, 20)), "day_ns": draw(st.sampled_from((5, 20, 60)))}


def queue_models() -> st.SearchStrategy[Model]:
    """Draw a queue model."""
    return st.builds(
        Model,
        queue=st.integers(queues.RISK_AVERSE, queues.POWER_COMPLEMENT),
        exponent=st.sampled_from((1.0, 2.0, 2.5, 3.0)),
        lot_size=st.sampled_from((1.0, 0.5)),
    )


def latency_of(model: Model) -> Latency:
    """Return the kernels' latency model."""
    if model.quantiles:
        return SampledLatency(*model.quantiles, seed=model.seed)
    if model.recorded:
        return RecordedLatency(*(np.array(column, np.int64) for column in zip(*model.recorded, strict=True)))
    return ConstantLatency(model.entry_ns, model.response_ns)


def make_simulator(rows: MarketColumns, model: Model) -> Simulator:
    """Build the kernels' simulator for the reference's model."""
    return simulator_of(Feed.of(rows, model.smallest_entry_ns), model)


def simulator_of(feed: Feed, model: Model) -> Simulator:
    """Build the kernels' simulator over a feed."""
    return Simulator([market_of(feed, model)])


def market_of(feed: Feed, model: Model) -> Market:
    """Return the kernels' terms of a market."""
    return Market(
        feed,
        Decimal(1),
        Decimal(str(model.lot_size)),
        latency_of(model),
        Queue(model.queue, model.exponent),
        model.partial_fills,
        impact=model.impact,
        self_trade=model.self_trade,
        perpetual=perpetual_of(model),
        maker_fee=Decimal(float(model.terms.maker_fee)),
        taker_fee=Decimal(float(model.terms.taker_fee)),
        fees=schedule_of(model),
        min_qty_lots=model.min_qty,
        min_value_tick_lots=model.min_value,
        max_orders=64,
        max_fills=1000,
    )


def run_kernels(rows: MarketColumns, model: Model, script: list[Step]) -> list[Any]:
    """Run a script in the kernels."""
    return play_kernels(make_simulator(rows, model), script)


def play_kernels(simulator: Simulator, script: list[Step], count: int = 1) -> list[Any]:
    """Return everything the strategy could see, then each market's fills and sums."""
    sim = simulator.handle
    markets = [api.market(sim, number) for number in range(count)]
    orders: list[tuple[int, int]] = []  # market, id
    seen: list[Any] = []
    api.elapse(sim, 0)
    for name, values in [*script, ("elapse", {"ns": 1000})]:
        match name:
            case "elapse":
                seen.append(api.elapse(sim, values["ns"]))
            case "wait":
                api.wait_feed(sim, values["ns"], values["responses"])
            case "await" if values["number"] < len(orders):
                on, order = orders[values["number"]]
                seen.append(api.wait_response(sim, markets[on], order, values["ns"]) == RESPONSE)
            case "submit":
                on, side, price, qty, kind, trigger, display, lives = values.values()
                until = api.now(sim) + lives if lives else 0
                order = api.submit_until(markets[on], side, price, qty, kind, 0, trigger, display, until)
                orders.append((on, order))
            case "cancel" if values["number"] < len(orders):
                on, order = orders[values["number"]]
                seen.append(api.cancel(markets[on], order))
            case "modify" if values["number"] < len(orders):
                on, order = orders[values["number"]]
                seen.append(api.modify(markets[on], order, values["price"], values["qty"]))
        seen.append(api.now(sim))
        for number, market in enumerate(markets):
            seen.append((api.best_bid(market), api.best_ask(market), api.position(market)))
            seen.append([api.depth_at(market, side, price) for side in (1, -1) for price in PRICES])
            seen.append(
                [
                    (api.order_status(market, order), api.order_leaves(market, order), api.order_price(market, order),
                     api.order_request(market, order))
                    for on, order in orders if on == number
                ]
            )  # fmt: skip
    simulator.run(lambda _handle: None)
    return [seen, *(_sums(simulator, on, [order for of, order in orders if of == on]) for on in range(count))]


def _sums(simulator: Simulator, number: int, orders: list[int]) -> list[Any]:
    numbers = {order: place for place, order in enumerate(orders)} | {LIQUIDATION_ID: LIQUIDATION_ID}
    log = [(int(row[0]), numbers[int(row[1])], *(int(word) for word in row[3:7])) for row in simulator.fills(number)]
    account = simulator.account(number)
    paid, fee = float(account.funding / account.unit), float(account.fee / account.unit)
    priced = at.NO_PRICE not in (account.best_bid_ticks, account.best_ask_ticks)
    equity = float(account.equity / account.unit) if priced else None
    return [sorted(log), account.value_tick_lots, account.liquidations, paid, fee, equity]


def run_reference(rows: MarketColumns, model: Model, script: list[Step]) -> list[Any]:
    """Run a script in the reference."""
    return play_reference([ReferenceSimulator(rows, model)], script)


def play_reference(markets: Sequence[ReferenceSimulator], script: list[Step]) -> list[Any]:
    """Return the same of the reference."""
    seen: list[Any] = []
    clock = ReferenceClock(markets)
    clock.elapse(0)
    for name, values in [*script, ("elapse", {"ns": 1000})]:
        match name:
            case "elapse":
                seen.append(clock.elapse(values["ns"]))
            case "wait":
                clock.wait(values["ns"], values["responses"])
            case "await" if values["number"] < len(clock.orders):
                seen.append(clock.wait_response(clock.orders[values["number"]][1], values["ns"]))
            case "submit":
                clock.submit(**values)
            case "cancel" if values["number"] < len(clock.orders):
                market, order = clock.orders[values["number"]]
                seen.append(market.cancel(order))
            case "modify" if values["number"] < len(clock.orders):
                market, order = clock.orders[values["number"]]
                seen.append(market.modify(order, values["price"], values["qty"]))
        seen.append(clock.now)
        for market in markets:
            bid, ask = market.local.best[1], market.local.best[-1]
            touch = (at.NO_PRICE if bid is None else bid, at.NO_PRICE if ask is None else ask)
            seen.append((*touch, market.position))
            seen.append([market.local.at(side, price) for side in (1, -1) for price in PRICES])
            seen.append([(order.status, order.leaves, order.price, order.request) for order in market.orders])
    return [seen, *(_reference_sums(market) for market in markets)]


def _reference_sums(market: ReferenceSimulator) -> list[Any]:
    equity = market.equity()
    paid, fee = near(market.funding), near(market.fee + market.liquidation_fees)
    shown = None if equity is None else near(equity)
    return [sorted(market.fills), market.value, market.liquidations, paid, fee, shown]


def near(exact: Fraction) -> Any:
    """Return what equals a float that was summed with rounding."""
    return pytest.approx(float(exact), rel=0, abs=1e-9)
