"""One fact per feature, readable; the reference test covers their combinations."""

from __future__ import annotations

from decimal import Decimal

import numpy as np
import pytest

from tests.sim.kernels.kit import Happening, make_columns, make_perpetual
from tradebot.core import columns
from tradebot.core.columns import MarketColumns
from tradebot.core.errors import InvariantError
from tradebot.sim.kernels import api, queues
from tradebot.sim.kernels import layout as at
from tradebot.sim.kernels.feed import Feed
from tradebot.sim.kernels.memory import Handle
from tradebot.sim.kernels.perpetual import FUNDING, MARK
from tradebot.sim.kernels.simulator import Simulator
from tradebot.sim.kernels.terms import ConstantLatency, Market, Queue, RecordedLatency

BID = Happening(0, 0, columns.LEVEL, True, 99, 5)
ASK = Happening(0, 0, columns.LEVEL, False, 101, 5)

# The first test of a fresh checkout compiles the kernels.
pytestmark = pytest.mark.timeout(300)


def sold(at_ns: int, price: int, qty: int) -> Happening:
    return Happening(at_ns, at_ns, columns.TRADE, False, price, qty)


def level(at_ns: int, buyer: bool, price: int, qty: int) -> Happening:
    return Happening(at_ns, at_ns, columns.LEVEL, buyer, price, qty)


def simulator(rows: list[Happening], **options: object) -> Simulator:
    feed = Feed.of(make_columns([BID, ASK, *rows]))
    return Simulator([Market(feed, Decimal(1), Decimal(1), **{"max_fills": 100} | options)])  # type: ignore[arg-type]


def fill_prices(sim: Simulator) -> list[tuple[int, int]]:
    return [(int(row[3]), int(row[4])) for row in sim.fills()]


def test_a_cancel_that_arrives_after_the_fill_is_refused() -> None:
    sim = simulator([sold(25, 99, 9), level(100, True, 99, 1)], latency=ConstantLatency(10, 10))
    market = api.market(sim.handle, 0)
    api.elapse(sim.handle, 0)
    order = api.submit_buy(market, 99, 2, at.GTC)
    api.elapse(sim.handle, 20)
    api.cancel(market, order)  # arrives at 30, the trade was at 25
    api.elapse(sim.handle, 60)

    assert api.order_status(market, order) == at.FILLED
    assert api.position(market) == 2


def test_a_new_order_is_unknown_until_its_response() -> None:
    sim = simulator([level(100, True, 98, 1)], latency=ConstantLatency(3, 4))
    market = api.market(sim.handle, 0)
    api.elapse(sim.handle, 0)
    order = api.submit_buy(market, 99, 2, at.GTC)
    api.elapse(sim.handle, 6)
    before = api.order_status(market, order)
    api.elapse(sim.handle, 1)

    assert (before, api.order_status(market, order)) == (at.PENDING_NEW, at.NEW)


def test_waiting_for_a_response_stops_at_its_arrival() -> None:
    sim = simulator([level(100, True, 98, 1)], latency=ConstantLatency(3, 4))
    market = api.market(sim.handle, 0)
    api.elapse(sim.handle, 0)
    order = api.submit_buy(market, 99, 2, at.GTC)

    assert api.wait_response(sim.handle, market, order, 1000) == 3
    assert sim.now_ns == 7


def test_rows_that_come_while_a_response_is_waited_for_are_new_at_that_wake() -> None:
    rows = [sold(at_ns, 99, 1) for at_ns in (101, 104, 112)]
    sim = simulator([level(100, True, 98, 1), *rows, level(200, True, 97, 1)], latency=ConstantLatency(3, 4))
    market = api.market(sim.handle, 0)
    api.elapse(sim.handle, 100)
    api.submit_buy(market, 97, 1, at.GTC)  # its answer comes first, at 107, and is no wake
    api.elapse(sim.handle, 2)
    other = api.submit_buy(market, 96, 1, at.GTC)
    api.wait_response(sim.handle, market, other, 1000)

    assert sim.now_ns == 109
    assert [api.row_price(market, row) for row in range(api.rows_begin(market), api.rows_end(market))] == [99]
    assert api.rows_begin(market) == 4


def submit_until(sim: Simulator, expires_ns: int, kind: int = at.GTC, trigger: int = 0) -> tuple[Handle, int]:
    market = api.market(sim.handle, 0)
    api.elapse(sim.handle, 0)
    return market, api.submit_until(market, 1, 99, 2, kind, 0, trigger, 0, expires_ns)


def test_an_order_good_till_a_time_ends_at_it_by_the_exchanges_clock() -> None:
    sim = simulator([level(100, True, 98, 1)], latency=ConstantLatency(3, 4))
    market, order = submit_until(sim, 30)
    api.elapse(sim.handle, 33)
    before = api.order_status(market, order)  # it is over, and nobody has told us yet
    api.elapse(sim.handle, 1)

    assert (before, api.order_status(market, order)) == (at.NEW, at.EXPIRED)


def test_the_rows_of_its_last_instant_still_fill_an_order_and_a_cancel_comes_too_late() -> None:
    rows = [sold(30, 99, 6), sold(31, 99, 9), level(100, True, 98, 1)]
    sim = simulator(rows, latency=ConstantLatency(10, 10), partial_fills=True)
    market, order = submit_until(sim, 30)
    api.elapse(sim.handle, 20)
    api.cancel(market, order)  # arrives at 30
    api.elapse(sim.handle, 60)

    assert fill_prices(sim) == [(99, 1)]
    assert api.order_status(market, order) == at.EXPIRED
    assert api.order_request(market, order) == at.NO_REQUEST


def test_a_waiting_stop_ends_at_its_time_and_what_arrives_later_ends_at_once() -> None:
    sim = simulator([level(100, True, 98, 1)], latency=ConstantLatency(3, 4))
    market, stop = submit_until(sim, 20, at.GTC | at.STOP, 105)
    late = api.submit_until(market, 1, 99, 2, at.GTC, 0, 0, 0, 3)
    api.elapse(sim.handle, 10)
    assert (api.order_status(market, stop), api.order_status(market, late)) == (at.NEW, at.EXPIRED)
    api.elapse(sim.handle, 20)

    assert api.order_status(market, stop) == at.EXPIRED


def test_what_a_taker_ate_is_gone_until_the_feed_speaks_of_the_level() -> None:
    sim = simulator([level(10, False, 101, 4)], partial_fills=True, impact=True)
    market = api.market(sim.handle, 0)
    api.elapse(sim.handle, 0)
    for _ in range(2):
        api.submit_buy(market, 101, 3, at.IOC)
    api.elapse(sim.handle, 5)
    eaten = fill_prices(sim)
    api.elapse(sim.handle, 5)
    api.submit_buy(market, 101, 3, at.IOC)
    api.elapse(sim.handle, 5)

    assert eaten == [(101, 3), (101, 2)]
    assert fill_prices(sim)[2:] == [(101, 3)]


def test_an_iceberg_goes_to_the_end_of_the_queue_with_each_part() -> None:
    sim = simulator([sold(10, 99, 6), sold(20, 99, 4), sold(30, 99, 2)], partial_fills=True)
    market = api.market(sim.handle, 0)
    api.elapse(sim.handle, 0)
    order = api.submit(market, 1, 99, 5, at.GTC, 0, 0, 1)
    api.elapse(sim.handle, 10)
    first = api.order_leaves(market, order)
    api.elapse(sim.handle, 15)
    second = api.order_leaves(market, order)
    api.elapse(sim.handle, 15)

    assert (first, second, api.order_leaves(market, order)) == (4, 4, 3)


def test_a_stop_fires_on_a_trade_and_takes_the_market() -> None:
    sim = simulator([sold(10, 98, 1), level(20, True, 97, 1)])
    market = api.market(sim.handle, 0)
    api.elapse(sim.handle, 0)
    order = api.submit(market, -1, 0, 2, at.MARKET | at.STOP, 0, 98, 0)
    api.elapse(sim.handle, 5)
    waiting = api.order_status(market, order)
    api.elapse(sim.handle, 10)

    assert (waiting, api.order_status(market, order)) == (at.NEW, at.FILLED)
    assert fill_prices(sim) == [(99, 2)]


def test_a_reduce_only_order_never_flips_the_position() -> None:
    sim = simulator([level(20, True, 97, 1)])
    market = api.market(sim.handle, 0)
    api.elapse(sim.handle, 0)
    refused = api.submit_sell(market, 99, 2, at.GTC | at.REDUCE_ONLY)
    api.submit_buy(market, 101, 2, at.GTC)
    api.submit_sell(market, 99, 5, at.GTC | at.REDUCE_ONLY)
    api.elapse(sim.handle, 5)

    assert api.order_status(market, refused) == at.REJECTED
    assert (api.position(market), fill_prices(sim)) == (0, [(101, 2), (99, 2)])


@pytest.mark.parametrize(
    ("mode", "maker", "taker"),
    [(0, at.NEW, at.FILLED), (at.EXPIRE_MAKER, at.CANCELED, at.FILLED), (at.EXPIRE_TAKER, at.NEW, at.EXPIRED)],
)
def test_self_trade_prevention(mode: int, maker: int, taker: int) -> None:
    sim = simulator([level(20, True, 97, 1)], self_trade=mode)
    market = api.market(sim.handle, 0)
    api.elapse(sim.handle, 0)
    resting = api.submit_sell(market, 100, 1, at.GTC)
    incoming = api.submit_buy(market, 101, 1, at.GTC)
    api.elapse(sim.handle, 5)

    assert (api.order_status(market, resting), api.order_status(market, incoming)) == (maker, taker)


def test_funding_is_paid_on_the_position_at_the_mark() -> None:
    perpetual = make_perpetual([(5, MARK, 100_50000000), (10, FUNDING, 1_000000), (15, FUNDING, -2_000000)])
    sim = simulator([level(50, True, 97, 1)], perpetual=perpetual)
    market = api.market(sim.handle, 0)
    api.elapse(sim.handle, 0)
    api.submit_buy(market, 101, 4, at.GTC)
    api.elapse(sim.handle, 40)

    assert sim.account().funding == Decimal("0.01") * 4 * Decimal("100.5") - Decimal("0.02") * 4 * Decimal("100.5")


def test_a_position_without_margin_is_liquidated_at_the_mark() -> None:
    perpetual = make_perpetual(
        [(5, MARK, 101_00000000), (10, MARK, 90_50000000)],
        collateral=Decimal(50),
        leverage=Decimal(10),
        maintenance_rate=Decimal("0.05"),
    )
    sim = simulator([level(50, True, 97, 1)], perpetual=perpetual)
    market = api.market(sim.handle, 0)
    api.elapse(sim.handle, 0)
    too_large = api.submit_buy(market, 101, 5, at.GTC)  # worth 505, allowed 500
    api.submit_buy(market, 101, 4, at.GTC)
    api.elapse(sim.handle, 6)
    working = api.submit_sell(market, 103, 4, at.GTC)
    api.elapse(sim.handle, 40)

    assert api.order_status(market, too_large) == at.REJECTED
    assert fill_prices(sim) == [(101, 4), (90, 4)]  # 8 left of the collateral, 18.1 needed
    assert api.order_status(market, working) == at.CANCELED
    assert (sim.account().position_lots, sim.account().liquidations) == (0, 1)


CARRIES_500 = {"collateral": Decimal(50), "leverage": Decimal(10), "maintenance_rate": Decimal("0.05")}


def test_a_change_that_the_margin_does_not_carry_is_refused_and_the_order_stays() -> None:
    terms = make_perpetual([(5, MARK, 101_00000000)], **CARRIES_500)
    sim = simulator([sold(40, 98, 9), level(50, True, 97, 1)], perpetual=terms, partial_fills=True)
    market = api.market(sim.handle, 0)
    api.elapse(sim.handle, 6)
    order = api.submit_buy(market, 99, 1, at.GTC)
    api.elapse(sim.handle, 2)
    api.modify(market, order, 99, 6)  # worth 594, allowed 500
    api.elapse(sim.handle, 2)
    kept = (api.order_status(market, order), api.order_request(market, order), api.order_leaves(market, order))
    api.modify(market, order, 101, 4)  # worth 404; its own old lot does not count
    api.elapse(sim.handle, 20)

    assert kept == (at.NEW, at.NO_REQUEST, 1)
    assert fill_prices(sim) == [(101, 4)]


def test_a_smaller_quantity_needs_no_margin_and_a_change_of_a_reduce_only_order_neither() -> None:
    marks = [(5, MARK, 101_00000000), (12, MARK, 81_00000000)]  # a long of 2 from 101 leaves 10 of the 50
    sim = simulator([level(50, True, 97, 1)], perpetual=make_perpetual(marks, **CARRIES_500), partial_fills=True)
    market = api.market(sim.handle, 0)
    api.elapse(sim.handle, 6)
    api.submit_buy(market, 101, 2, at.GTC)
    working = api.submit_buy(market, 95, 2, at.GTC)
    closing = api.submit_sell(market, 105, 2, at.GTC | at.REDUCE_ONLY)
    api.elapse(sim.handle, 8)
    api.modify(market, working, 95, 1)
    api.modify(market, closing, 104, 2)
    api.elapse(sim.handle, 5)

    assert api.order_leaves(market, working) == 1
    assert api.order_price(market, closing) == 104


def test_stops_that_fire_together_are_carried_by_the_margin_or_rejected() -> None:
    terms = make_perpetual([(5, MARK, 101_00000000)], **CARRIES_500)
    rise = Happening(30, 30, columns.TRADE, True, 101, 1)
    sim = simulator([sold(10, 99, 1), rise, level(50, True, 97, 1)], perpetual=terms)
    market = api.market(sim.handle, 0)
    api.elapse(sim.handle, 6)
    stops = [api.submit(market, 1, 101, 4, at.GTC | at.STOP, 0, 101, 0) for _ in range(3)]
    api.elapse(sim.handle, 40)

    assert [api.order_status(market, stop) for stop in stops] == [at.FILLED, at.REJECTED, at.REJECTED]
    assert api.position(market) == 4


@pytest.mark.parametrize(("price", "qty"), [(98, 4), (79, 5)])  # fewer lots than 5, less than 400
def test_a_change_below_the_venues_minimum_is_refused_and_the_order_stays(price: int, qty: int) -> None:
    sim = simulator([level(50, True, 97, 1)], min_qty_lots=5, min_value_tick_lots=400)
    market = api.market(sim.handle, 0)
    api.elapse(sim.handle, 1)
    resting = api.submit_buy(market, 98, 5, at.GTC)
    waiting = api.submit(market, 1, 98, 5, at.GTC | at.STOP, 0, 120, 0)
    api.elapse(sim.handle, 1)
    for order in (resting, waiting):
        assert api.modify(market, order, price, qty)
    api.elapse(sim.handle, 1)

    for order in (resting, waiting):
        assert (api.order_status(market, order), api.order_leaves(market, order)) == (at.NEW, 5)
        assert (api.order_price(market, order), api.order_request(market, order)) == (98, at.NO_REQUEST)


def test_recorded_latencies_are_interpolated_and_refuse_where_the_venue_did() -> None:
    latency = RecordedLatency(
        np.array([0, 10, 20, 30], np.int64), np.array([2, 16, 0, 34], np.int64), np.array([4, 20, 29, 40], np.int64)
    )
    sim = simulator([level(100, True, 97, 1)], latency=latency)
    market = api.market(sim.handle, 0)
    api.elapse(sim.handle, 5)
    api.submit_buy(market, 101, 1, at.GTC)  # 4 ns to the exchange, between 2 and 6
    api.elapse(sim.handle, 10)
    refused = api.submit_buy(market, 101, 1, at.GTC)
    api.elapse(sim.handle, 60)

    assert [int(row[0]) for row in sim.fills()] == [9]
    assert api.order_status(market, refused) == at.REJECTED


def test_markets_share_one_clock() -> None:
    def rows(shift: int) -> MarketColumns:
        moved = [(0, 99, 5), (10 + shift, 98, 5), (30, 97, 5)]
        return make_columns([level(time, True, price, qty) for time, price, qty in moved])

    markets = [Market(Feed.of(rows(shift)), Decimal(1), Decimal(1)) for shift in (0, 5)]
    sim = Simulator(markets)
    wakes = []
    while api.wait_feed(sim.handle, 1000, False):
        wakes.append(api.now(sim.handle))

    assert wakes == [0, 10, 15]


def test_a_response_of_a_slow_market_finds_the_fast_one_no_further_than_itself() -> None:
    rising = [level(32, True, 98, 1), level(50, False, 101, 0), level(50, False, 105, 5), level(90, True, 97, 1)]
    feed = Feed.of(make_columns([BID, ASK, *rising]))
    fast, slow = (Market(feed, Decimal(1), Decimal(1), ConstantLatency(entry, 0), max_fills=9) for entry in (1, 40))
    sim = Simulator([fast, slow])
    api.elapse(sim.handle, 0)
    asked = api.submit_buy(api.market(sim.handle, 1), 90, 1, at.GTC)
    api.elapse(sim.handle, 30)
    api.wait_response(sim.handle, api.market(sim.handle, 1), asked, 1000)
    answered_ns = sim.now_ns
    api.submit_buy(api.market(sim.handle, 0), 106, 1, at.GTC)  # arrives at 41, the offer rises at 50
    api.elapse(sim.handle, 100)

    assert answered_ns == 40
    assert [(int(row[0]), int(row[3])) for row in sim.fills(0)] == [(41, 101)]


def test_a_hit_bound_stops_the_run_and_says_which() -> None:
    feed = Feed.of(make_columns([BID, ASK, level(10, True, 98, 1)]))
    sim = Simulator([Market(feed, Decimal(1), Decimal(1), max_orders=2)])

    def strategy(handle: object) -> None:
        market = api.market(handle, 0)  # type: ignore[arg-type]
        for _ in range(3):
            api.submit_buy(market, 90, 1, at.GTC)

    with pytest.raises(InvariantError, match="max_orders"):
        sim.run(strategy)


@pytest.mark.parametrize(
    ("side", "kind", "display"),
    [(2, at.GTC, 0), (0, at.GTC, 0), (1, 5, 0), (1, 64, 0), (1, at.STOP | at.TAKE_PROFIT, 0), (1, at.GTC, -1)],
)
def test_an_order_that_no_venue_knows_stops_the_run(side: int, kind: int, display: int) -> None:
    sim = simulator([level(10, True, 98, 1)])

    def strategy(handle: Handle) -> None:
        market = api.market(handle, 0)
        api.elapse(handle, 1)
        assert api.submit(market, side, 101, 1, kind, 0, 101, display) == 0
        api.elapse(handle, 5)

    with pytest.raises(InvariantError, match="side"):
        sim.run(strategy)
    assert fill_prices(sim) == []


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"self_trade": 9}, "self_trade"),
        ({"min_qty_lots": -4}, "min_qty_lots"),
        ({"min_value_tick_lots": -1}, "min_value_tick_lots"),
        ({"max_fills": -1}, "max_fills"),
        ({"taker_fee": Decimal(7)}, "fee"),
        ({"maker_fee": Decimal("NaN")}, "fee"),
        ({"multiplier": Decimal(0)}, "multiplier"),
    ],
)
def test_market_terms_that_cannot_be_are_refused(options: dict[str, object], named: str) -> None:
    with pytest.raises(InvariantError, match=named):
        simulator([], **options)


def test_a_queue_model_that_cannot_be_is_refused() -> None:
    with pytest.raises(InvariantError, match="queue model 99"):
        Queue(99)
    for exponent in (float("nan"), float("inf"), 0.0, -3.0):
        with pytest.raises(InvariantError, match="exponent"):
            Queue(queues.POWER, exponent)


@pytest.mark.parametrize("name", ["collateral", "leverage", "maintenance_rate", "liquidation_fee"])
def test_a_perpetuals_terms_are_numbers_not_below_zero(name: str) -> None:
    for value in (Decimal(-1), Decimal("NaN"), Decimal("Infinity")):
        with pytest.raises(InvariantError, match=name):
            make_perpetual([], **{name: value})


def test_settings_that_cannot_be_are_refused() -> None:
    with pytest.raises(InvariantError, match="partial_fills"):
        simulator([], impact=True)
    with pytest.raises(InvariantError, match="power of two"):
        simulator([], max_orders=100)
    with pytest.raises(InvariantError, match="negative"):
        ConstantLatency(-1, 0)
    with pytest.raises(InvariantError, match="row 1"):
        RecordedLatency(np.array([0, 10, 20]), np.array([5, 4, 30]), np.array([9, 20, 40]))


def test_an_inverse_contract_earns_fees_funding_and_result_in_the_base_asset() -> None:
    rows = [level(10, True, 125, 9), level(10, False, 126, 9), level(10, False, 101, 0), level(30, True, 125, 9)]
    terms = make_perpetual([(5, MARK, 10_000_000_000), (6, FUNDING, 1_000_000)], inverse=True)
    size = Decimal(100)  # a contract of 100 quote units
    fees = {"maker_fee": Decimal("0.001"), "taker_fee": Decimal("0.002")}
    sim = simulator(rows, perpetual=terms, multiplier=size, **fees)
    market = api.market(sim.handle, 0)
    api.elapse(sim.handle, 1)
    api.submit_buy(market, 101, 5, at.GTC)  # taken at 101
    api.elapse(sim.handle, 20)
    api.submit_sell(market, 125, 2, at.GTC)  # taken at 125
    api.elapse(sim.handle, 50)
    sim.run(lambda _handle: None)
    account = sim.account()

    bought, sold = 5 * size / 101, 2 * size / 125
    assert account.position_lots == 3
    assert account.funding == Decimal("0.01") * 5 * size / 100
    assert round(account.fee, 12) == round((bought + sold) * Decimal("0.002"), 12)
    held = 3 * size / (Decimal(125 + 126) / 2)
    assert round(account.equity, 12) == round(bought - sold - held - account.fee - account.funding, 12)


def test_an_inverse_contract_has_no_least_value() -> None:
    terms = make_perpetual([], inverse=True)
    with pytest.raises(InvariantError, match="use min_qty_lots"):
        simulator([], perpetual=terms, min_value_tick_lots=5)
