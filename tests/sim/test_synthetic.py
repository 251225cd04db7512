"""The synthetic market: reproducible, consistent, lively, and fair to our orders."""

from __future__ import annotations

from itertools import pairwise

from tests.sim.kit import NOW_NS, make_rules
from tradebot.core.amounts import MONEY_ONE
from tradebot.core.orders import OrderType, Side
from tradebot.sim.candles import Candle, CandleStore
from tradebot.sim.engine import FeeRates, MatchingEngine
from tradebot.sim.orders import NewOrder, OrderReport, SimEvent, TapeTrade
from tradebot.sim.rng import SplitMix64
from tradebot.sim.synthetic import NS_PER_S, Regime, SyntheticMarket, SyntheticParams

PARAMS = SyntheticParams(start_price=6_000_000, touch_lots=80_000, taker_lots=400)


class Run:
    """One market run for some seconds."""

    def __init__(self, seed: int, params: SyntheticParams = PARAMS) -> None:
        rules = make_rules(max_price=10**9)
        funds = {"me": {"USDT": 10**12 * MONEY_ONE, "COIN": 10**9 * MONEY_ONE}}
        self.engine = MatchingEngine([rules], funds, FeeRates(), is_recorded=False)
        self.process = SyntheticMarket(self.engine, 0, params, SplitMix64(seed))
        self.market = self.engine.markets[0]
        self.events: list[SimEvent] = []

    def run(self, seconds: float, step_ns: int = NS_PER_S) -> None:
        end_ns = NOW_NS + round(seconds * NS_PER_S)
        for now_ns in range(NOW_NS, end_ns + 1, step_ns):
            while self.process.next_event_ns() <= now_ns:
                self.events += self.process.run_next()

    def trades(self) -> list[TapeTrade]:
        return [event for event in self.events if isinstance(event, TapeTrade)]


def started(seed: int, params: SyntheticParams = PARAMS) -> Run:
    run = Run(seed, params)
    run.process.begin(NOW_NS)
    return run


def test_the_same_seed_gives_the_same_market_however_often_it_is_asked() -> None:
    one, other, different = started(5), started(5), started(6)
    one.run(20)
    other.run(20, step_ns=NS_PER_S // 100)
    different.run(20)

    assert one.events == other.events
    assert one.market.changes == other.market.changes
    assert one.events != different.events


def test_trades_come_at_a_lively_rate_in_time_order_with_contiguous_ids() -> None:
    run = started(1)
    run.run(60)
    trades = run.trades()

    assert 15 <= len(trades) / 60 <= 45
    assert all(a.time_ns <= b.time_ns and a.trade_id + 1 == b.trade_id for a, b in pairwise(trades))


def test_the_book_is_never_crossed_and_mostly_one_tick_wide() -> None:
    run = started(2)
    widths: list[int] = []
    while run.process.next_event_ns() < NOW_NS + 30 * NS_PER_S:
        run.process.run_next()
        bid, ask = run.market.best(Side.BUY), run.market.best(Side.SELL)
        assert bid is not None
        assert ask is not None
        widths.append(ask - bid)
        assert min(len(run.market.levels(side)) for side in Side) >= 20

    assert min(widths) >= 1
    assert sum(width <= 2 for width in widths) / len(widths) > 0.8


def test_each_trade_eats_what_was_displayed_at_its_price() -> None:
    run = started(3)
    while run.process.next_event_ns() < NOW_NS + 10 * NS_PER_S:
        before = {side: dict(run.market.levels(side)) for side in Side}
        quoted: dict[tuple[Side, int], int] = {}
        for event in run.process.run_next():
            assert isinstance(event, TapeTrade)
            key = (event.aggressor.opposite, event.price)
            quoted[key] = quoted.get(key, 0) + event.lots

        assert all(lots <= before[side].get(price, 0) for (side, price), lots in quoted.items())


def test_both_regimes_happen_and_trends_move_the_price() -> None:
    run = started(4)
    moves: dict[Regime, float] = dict.fromkeys(Regime, 0.0)
    fair = run.process.fair_price
    while run.process.next_event_ns() < NOW_NS + 120 * NS_PER_S:
        regime = run.process.regime
        run.process.run_next()
        moves[regime] += run.process.fair_price - fair
        fair = run.process.fair_price

    assert moves[Regime.TREND_UP] > 6_000_000 * 20e-4
    assert moves[Regime.TREND_DOWN] < -6_000_000 * 20e-4
    assert abs(moves[Regime.QUIET]) < 6_000_000 * 10e-4


def test_one_second_bars_leave_a_keltner_channel_several_times_a_minute_over_two_markets() -> None:
    breakouts = sum(keltner_breakouts(Run(seed).process.history(0, 600_000)) for seed in (1, 2))

    assert breakouts / 10 >= 3


def keltner_breakouts(bars: list[Candle]) -> int:
    """Count closes that leave EMA(20) +- 2 ATR(14) after having been inside."""
    ema = atr = 0.0
    outside, count = 0, 0
    for before, bar in pairwise(bars):
        true_range = max(bar.high, before.close) - min(bar.low, before.close)
        ema = ema + (bar.close - ema) * 2 / 21 if ema else float(bar.close)
        atr = atr + (true_range - atr) / 14 if atr else float(true_range)
        now = 1 if bar.close > ema + 2 * atr else -1 if bar.close < ema - 2 * atr else 0
        count += bool(now) and now != outside
        outside = now or (outside if abs(bar.close - ema) > atr else 0)
    return count


def test_history_ends_where_the_market_begins() -> None:
    run = Run(7)
    end_ms = NOW_NS // 1_000_000
    bars = run.process.history(end_ms - 300_000, end_ms)
    run.process.begin(NOW_NS)
    run.run(2)

    assert [b.open_time_ms for b in bars] == list(range(end_ms - 300_000, end_ms, 1_000))
    assert all(a.last_trade_id + 1 == b.first_trade_id for a, b in pairwise(bars))
    assert all(b.low <= min(b.open, b.close) <= max(b.open, b.close) <= b.high for b in bars)
    first = run.trades()[0]
    assert first.trade_id == bars[-1].last_trade_id + 1
    assert abs(first.price / bars[-1].close - 1) < 10e-4


def test_our_quote_inside_the_spread_is_shown_and_traded_with() -> None:
    run = started(8)
    run.run(1)
    ask = run.market.best(Side.SELL)
    assert ask is not None
    mine = NewOrder("me", "mine", 0, Side.SELL, OrderType.LIMIT, 50, ask)
    run.engine.place(mine, NOW_NS)
    shown = run.market.displayed_at(Side.SELL, ask) - run.market.levels(Side.SELL).get(ask, 0)
    run.process.shock(30)
    run.run(3)

    assert shown == 50
    filled = [e for e in run.events if isinstance(e, OrderReport) and e.fill]
    assert sum(e.fill.lots for e in filled if e.fill) == 50
    tape = {(t.trade_id, t.price, t.lots) for t in run.trades()}
    assert {(e.fill.trade_id, e.fill.price, e.fill.lots) for e in filled if e.fill} <= tape


def test_longer_candles_are_the_sum_of_the_shorter_ones() -> None:
    run = Run(9)
    store = CandleStore()
    end_ms = NOW_NS // 1_000_000 // 300_000 * 300_000
    store.load(run.process.history(end_ms - 3_600_000, end_ms))
    seconds = store.bars(1_000, limit=300)
    five_minutes = store.bars(300_000, limit=1)[0]

    assert five_minutes.lots == sum(b.lots for b in seconds)
    assert (five_minutes.open, five_minutes.close) == (seconds[0].open, seconds[-1].close)
    assert five_minutes.high == max(b.high for b in seconds)
    assert five_minutes.trades == sum(b.trades for b in seconds)


def test_a_silent_second_is_a_flat_bar() -> None:
    store = CandleStore()
    store.on_trade(1_000, 50, 2, True, 1)
    ended = store.advance(3_500)

    assert [(b.open_time_ms, b.close, b.lots) for b in ended] == [(1_000, 50, 2), (2_000, 50, 0)]
    store.on_trade(3_600, 60, 1, False, 2)
    last = store.bars(1_000, limit=1)[0]
    assert (last.open, last.high, last.low, last.close) == (60, 60, 60, 60)
