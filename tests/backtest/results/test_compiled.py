"""Result tables of compiled strategies: they agree with the account, with the logs, and with what was done by hand."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from backtest.results.compiled import write_results
from backtest.results.files import Results, open_results
from backtest.results.schemas import amount
from benchmarks.sim.strategies import make_market
from benchmarks.sim.synthetic_l2 import synthetic_l2
from tests.sim.kernels.kit import (
    Happening,
    Step,
    feeds,
    make_columns,
    make_perpetual,
    market_of,
    models,
    play_kernels,
    scripts,
)
from tests.sim.kernels.reference import Model
from tradebot.core import columns
from tradebot.core.columns import MarketColumns
from tradebot.core.errors import ConfigError, InvariantError
from tradebot.sim.fees import FeeSchedule, FeeTier
from tradebot.sim.kernels import api
from tradebot.sim.kernels import layout as at
from tradebot.sim.kernels.feed import Feed
from tradebot.sim.kernels.perpetual import FUNDING, MARK
from tradebot.sim.kernels.simulator import Simulator
from tradebot.sim.kernels.terms import ConstantLatency, Logs, Market

# The first test of a fresh checkout compiles the kernels.
pytestmark = pytest.mark.timeout(300)

LATENCY = ConstantLatency(3, 4)
NAME, ASSET = "sim:COIN-USDT", "USDT"


def level(at_ns: int, buyer: bool, price: int, qty: int) -> Happening:
    return Happening(at_ns, at_ns, columns.LEVEL, buyer, price, qty)


def sold(at_ns: int, price: int, qty: int) -> Happening:
    return Happening(at_ns, at_ns, columns.TRADE, False, price, qty)


TOUCH = [level(100, True, 99, 5), level(100, False, 101, 5)]


def simulator(rows: list[Happening], every_ns: int = 10, **options: Any) -> Simulator:
    market = Market(Feed.of(make_columns([*TOUCH, *rows])), Decimal("0.5"), Decimal(2), LATENCY, **options)
    return Simulator([market], Logs(equity_every_ns=every_ns))


def written(one: Simulator, folder: Path, *names: str) -> Results:
    write_results(one, folder, names or [NAME], ASSET)
    return open_results(folder)


def test_an_order_a_fill_and_the_equity_are_what_was_done_by_hand(tmp_path: Path) -> None:
    rows = [level(105, True, 98, 7), sold(110, 99, 6), level(112, True, 99, 0), level(200, False, 102, 1)]
    sim = simulator(rows, partial_fills=True, maker_fee=Decimal("0.001"))
    market = api.market(sim.handle, 0)
    api.elapse(sim.handle, 0)
    api.submit(market, 1, 99, 3, at.POST_ONLY, 7, 0, 0)  # at the exchange at 103, behind 5; filled at 110, heard at 114
    api.submit_sell(market, 90, 1, at.POST_ONLY)  # would take: expires
    api.elapse(sim.handle, 200)
    results = written(sim, tmp_path)

    bid, ask = results.rows("orders")
    assert (bid["intent_id"], bid["side"], bid["order_type"], bid["post_only"]) == ("7", "BUY", "LIMIT", True)
    assert (bid["qty"], bid["price"], bid["stop_price"], bid["status"]) == (
        6,
        Decimal("49.5"),
        None,
        "PARTIALLY_FILLED",
    )
    times = ("decided_ns", "sent_ns", "arrived_ns", "acknowledged_ns", "ended_ns")
    assert [bid[name] for name in times] == [100, 100, 103, 107, None]
    assert (bid["filled_qty"], bid["avg_price"], bid["queue_ahead_at_arrival"]) == (2, Decimal("49.5"), 10)
    assert (bid["mid_at_decision"], bid["mid_at_arrival"]) == (50, 50)
    assert (ask["status"], ask["queue_ahead_at_arrival"], ask["ended_ns"], ask["intent_id"]) == (
        "EXPIRED",
        None,
        107,
        None,
    )
    (fill,) = results.rows("fills")
    assert (fill["client_order_id"], fill["liquidity"]) == (bid["client_order_id"], "MAKER")
    assert (fill["qty"], fill["price"], fill["fee"], fill["fee_asset"]) == (2, Decimal("49.5"), Decimal("0.099"), ASSET)
    assert (fill["arrived_ns"], fill["matched_ns"], fill["heard_ns"]) == (103, 110, 114)
    assert (fill["queue_ahead_at_arrival"], fill["queue_ahead_at_fill"]) == (10, 0)
    assert fill["slippage_decision_bps"] == fill["slippage_arrival_bps"] == pytest.approx(-100)
    equity = [(row["at_ns"], row["equity"]) for row in results.rows("equity")]
    # At 110 the mid is 50 and nothing is held; at 120 it is (98 + 101) / 4 = 49.75; then nothing comes until 200.
    assert equity[0] == (110, 0)
    assert equity[1] == (120, amount(Decimal("0.25") * 2 - Decimal("0.099")))
    assert [at_ns for at_ns, _ in equity[2:]] == [200, 300]
    assert results.summary["execution"] == {
        "maker_fills": 1, "taker_fills": 0, "slippage_decision_bps": -100.0, "slippage_arrival_bps": -100.0,
    }  # fmt: skip


def run_market_maker(folder: Path, **options: Any) -> tuple[Simulator, Results]:
    feed = Feed.of(synthetic_l2(rows=30_000, seed=3))
    market = Market(
        feed, Decimal("0.1"), Decimal("0.001"), ConstantLatency(10_000_000, 10_000_000),
        maker_fee=Decimal("-0.00005"), taker_fee=Decimal("0.0007"), **options,
    )  # fmt: skip
    sim = Simulator([market], Logs(equity_every_ns=500_000_000))
    sim.run(make_market)
    return sim, written(sim, folder)


def test_the_tables_of_a_market_maker_agree_with_its_account_and_with_each_other(tmp_path: Path) -> None:
    sim, results = run_market_maker(tmp_path)
    account, result = sim.account(), results.summary["result"]
    orders, fills, equity = results.rows("orders"), results.rows("fills"), results.rows("equity")

    assert account.fills > 50
    assert (len(orders), len(fills)) == (account.submits, account.fills)
    assert sum(row["fee"] for row in fills) == sum(row["fee"] for row in results.rows("fees")) == amount(account.fee)
    assert equity[-1]["equity"] == amount(account.equity) == amount(Decimal(result["equity"]))
    assert Decimal(result["turnover"]) == sum(row["qty"] * row["price"] for row in fills)
    assert results.rows("positions")[-1]["qty"] == amount(account.position_lots * Decimal("0.001"))
    assert sum(row["filled_qty"] for row in orders) == sum(row["qty"] for row in fills)
    assert all(row["queue_ahead_at_arrival"] is not None for row in fills)
    assert all(row["at_ns"] % 500_000_000 == 0 for row in equity[:-1])
    assert len(equity) == len({row["at_ns"] for row in equity})
    for row in orders:
        times = [row[name] for name in ("decided_ns", "arrived_ns", "acknowledged_ns", "ended_ns") if row[name]]
        assert times == sorted(times)
        assert row["arrived_ns"] - row["sent_ns"] == 10_000_000


def test_two_runs_are_the_same_bytes(tmp_path: Path) -> None:
    for name in ("one", "other"):
        run_market_maker(tmp_path / name)

    for path in sorted((tmp_path / "one").iterdir()):
        assert path.read_bytes() == (tmp_path / "other" / path.name).read_bytes()


MARKETS = st.lists(st.tuples(feeds(), models()), min_size=2, max_size=2)


def make_markets(drawn: list[tuple[MarketColumns, Model]]) -> list[Market]:
    return [market_of(Feed.of(rows, model.smallest_entry_ns), model) for rows, model in drawn]


@given(MARKETS, scripts(markets=2), st.integers(1, 25))
@settings(max_examples=120, deadline=None)
def test_logs_change_nothing(drawn: list[tuple[MarketColumns, Model]], script: list[Step], every_ns: int) -> None:
    markets = make_markets(drawn)

    expected = play_kernels(Simulator(markets), script, 2)
    assert play_kernels(Simulator(markets, Logs(every_ns, 64, 1_000, 2_000)), script, 2) == expected


@given(MARKETS, scripts(markets=2), st.integers(1, 25))
@settings(max_examples=25, deadline=None)
def test_whatever_is_done_the_tables_add_up(
    tmp_path_factory: pytest.TempPathFactory,
    drawn: list[tuple[MarketColumns, Model]],
    script: list[Step],
    every_ns: int,
) -> None:
    sim = Simulator(make_markets(drawn), Logs(every_ns, 64, 1_000, 2_000))
    play_kernels(sim, script, 2)
    results = written(sim, tmp_path_factory.mktemp("run"), "one", "other")
    accounts = [sim.account(number) for number in range(2)]

    assert len(results.rows("orders")) == sum(a.submits + a.liquidations for a in accounts)
    assert len(results.rows("fills")) == sum(a.fills for a in accounts)
    last = results.rows("equity")[-1]
    if all(at.NO_PRICE not in (a.best_bid_ticks, a.best_ask_ticks) for a in accounts):
        assert float(last["equity"]) == pytest.approx(float(sum(a.equity for a in accounts)), rel=0, abs=1e-8)
    assert float(last["fees_paid"]) == pytest.approx(float(sum(a.fee for a in accounts)), rel=0, abs=1e-8)
    assert float(last["funding_paid"]) == pytest.approx(float(sum(a.funding for a in accounts)), rel=0, abs=1e-8)


@given(feeds(), st.integers(1, 25))
@settings(max_examples=60, deadline=None)
def test_a_sample_is_the_touch_as_received_at_its_time(rows: MarketColumns, every_ns: int) -> None:
    markets = [Market(Feed.of(rows), Decimal(1), Decimal(1))]
    logged = Simulator(markets, Logs(every_ns))
    market = api.market(logged.handle, 0)
    api.elapse(logged.handle, 0)
    while api.wait_feed(logged.handle, 7, True):
        pass
    by_hand = Simulator(markets)
    market = api.market(by_hand.handle, 0)
    api.elapse(by_hand.handle, 0)

    for time_ns, bid, ask in logged.samples().tolist():
        assert time_ns % every_ns == 0
        api.elapse(by_hand.handle, time_ns - by_hand.now_ns)
        assert (bid, ask) == (api.best_bid(market), api.best_ask(market))


def test_a_modified_order_has_its_last_terms_and_a_stop_its_kind(tmp_path: Path) -> None:
    sim = simulator([sold(110, 99, 6), level(200, False, 102, 1)], partial_fills=True)
    market = api.market(sim.handle, 0)
    api.elapse(sim.handle, 0)
    order = api.submit_buy(market, 99, 3, at.GTC)
    api.submit_until(market, -1, 90, 1, at.GTC | at.STOP | at.REDUCE_ONLY, 0, 95, 0, 150)
    api.submit(market, 1, 0, 1, at.MARKET | at.TAKE_PROFIT, 0, 90, 0)
    api.elapse(sim.handle, 20)
    api.modify(market, order, 98, 4)
    api.elapse(sim.handle, 200)
    limit, stop, profit = written(sim, tmp_path).rows("orders")

    assert (limit["qty"], limit["price"], limit["filled_qty"]) == (10, 49, 2)  # one lot was done, four are open
    facts = ("order_type", "time_in_force", "reduce_only", "price", "stop_price", "status")
    assert [stop[name] for name in facts] == ["STOP_LIMIT", "GTD", True, 45, Decimal("47.5"), "EXPIRED"]
    assert [profit[name] for name in facts] == ["TAKE_PROFIT", "IOC", False, None, 45, "NEW"]


def test_fundings_and_a_liquidation_are_rows(tmp_path: Path) -> None:
    half = 50_000_000
    events = [(104, MARK, 100 * half), (120, FUNDING, 1_000_000), (130, MARK, 40 * half)]
    terms = make_perpetual(
        events, collateral=Decimal(60), leverage=Decimal(2), maintenance_rate=Decimal("0.1"),
        liquidation_fee=Decimal("0.01"),
    )  # fmt: skip
    sim = simulator([level(200, False, 102, 1)], partial_fills=True, perpetual=terms, taker_fee=Decimal("0.001"))
    api.elapse(sim.handle, 0)
    api.submit_buy(api.market(sim.handle, 0), 101, 1, at.IOC)
    api.elapse(sim.handle, 300)
    results = written(sim, tmp_path)

    (funding,) = results.rows("funding")
    assert (funding["at_ns"], funding["qty"], funding["mark_price"], funding["paid"]) == (120, 2, 50, 1)
    _, liquidation = results.rows("orders")
    assert (liquidation["role"], liquidation["side"], liquidation["avg_price"]) == ("LIQUIDATION", "SELL", 20)
    assert results.rows("fills")[1]["client_order_id"] == liquidation["client_order_id"]
    assert results.rows("fills")[1]["fee"] == Decimal("0.011") * 40
    assert results.summary["result"]["liquidations"] == 1
    assert results.rows("equity")[-1]["equity"] == amount(sim.account().equity)


def test_each_fill_pays_the_fee_of_its_tier(tmp_path: Path) -> None:
    tiers = (FeeTier(Decimal(0), Decimal(0), Decimal("0.01")), FeeTier(Decimal(100), Decimal(0), Decimal("0.001")))
    sim = simulator([level(500, False, 102, 1)], fees=FeeSchedule(tiers, day_ns=40))
    market = api.market(sim.handle, 0)
    api.elapse(sim.handle, 0)
    for _ in range(2):
        api.submit_buy(market, 101, 1, at.IOC)
        api.elapse(sim.handle, 60)
    fills = written(sim, tmp_path).rows("fills")

    assert [fill["fee"] for fill in fills] == [Decimal("1.01"), Decimal("0.101")]


def test_a_full_log_stops_the_run_and_says_which_bound_to_raise() -> None:
    def too_many(logs: Logs) -> None:
        sim = Simulator(
            [Market(Feed.of(make_columns([*TOUCH, level(500, False, 102, 1)])), Decimal(1), Decimal(1))], logs
        )
        market = api.market(sim.handle, 0)
        api.elapse(sim.handle, 0)
        for _ in range(3):
            api.submit_buy(market, 101, 1, at.IOC)
            api.elapse(sim.handle, 1)
        with pytest.raises(InvariantError):
            write_results(sim, Path("never"), [NAME], ASSET)
        sim.run(lambda _: None)

    with pytest.raises(InvariantError, match=r"more orders than Logs\.max_orders"):
        too_many(Logs(max_orders=2))
    with pytest.raises(InvariantError, match="more fills than max_fills"):
        too_many(Logs(max_fills=2))
    with pytest.raises(InvariantError, match=r"more samples than Logs\.max_samples: raise it or equity_every_ns"):
        too_many(Logs(equity_every_ns=1, max_samples=2))
    with pytest.raises(InvariantError, match="max_samples is a number above 0, not 0"):
        Logs(max_samples=0)


def test_a_run_without_logs_or_with_the_wrong_names_is_refused(tmp_path: Path) -> None:
    market = Market(Feed.of(make_columns(TOUCH)), Decimal(1), Decimal(1))
    with pytest.raises(ConfigError, match="kept no logs"):
        write_results(Simulator([market]), tmp_path / "r", [NAME], ASSET)
    with pytest.raises(ConfigError, match="2 markets need as many different names"):
        write_results(Simulator([market, market], Logs()), tmp_path / "r", [NAME, NAME], ASSET)
    assert not (tmp_path / "r").exists()


def test_a_position_without_a_price_is_told(tmp_path: Path) -> None:
    sim = simulator([Happening(150, 150, columns.CLEAR, True, 0, 0)], taker_fee=Decimal("0.01"))
    api.elapse(sim.handle, 0)
    api.submit_buy(api.market(sim.handle, 0), 101, 1, at.IOC)
    api.elapse(sim.handle, 200)
    result = write_results(sim, tmp_path, [NAME], ASSET)

    last = open_results(tmp_path).rows("equity")[-1]
    assert (last["equity"], last["unrealized_pnl"], last["fees_paid"]) == (None, None, Decimal("1.01"))
    assert result.warnings == [f"{NAME}: a side of its book is empty at the end: its position counts 0"]
