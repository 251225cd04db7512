"""A seeded synthetic market: who trades, quotes and cancels when nobody of ours is there.

The process, per symbol and in event time:
1. A hidden fair price follows a regime-switching diffusion. QUIET: little noise, no drift. TREND: more noise and a
   constant drift, up or down, for some seconds. Regimes last exponentially distributed times. The direction of the
   next trend leans towards the start price, so the price wanders but does not run away.
2. Takers arrive as a self-exciting (Hawkes) process: each arrival raises the rate for a while, so trades come in
   bursts. A taker buys more likely when the fair price is above the mid. Sizes are lognormal; one taker may sweep.
3. Makers re-quote at Poisson times: quotes on the wrong side of the fair price are mostly pulled, the rest is traded
   through; the touch is rebuilt one tick apart (sometimes two or three), deeper levels thin out exponentially.

Everything is expressed as orders of the background against the matching engine, which owns the book, so trades happen
at the touch, eat displayed quantity and meet our orders in their turn. Same seed and same orders of ours: same market.
History before the start is the same diffusion in quarter seconds without a book: cheap, and it ends at the price and
the trade id where the market begins.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import Enum
from typing import Final

from tradebot.core.orders import Side
from tradebot.sim.candles import SECOND_MS, Candle
from tradebot.sim.engine import MatchingEngine
from tradebot.sim.orders import SimEvent
from tradebot.sim.rng import SplitMix64

NS_PER_S: Final = 1_000_000_000
MAX_LEVELS: Final = 40
"""Displayed levels per side; the farthest go first."""
MIN_LEVELS: Final = 24
_HISTORY_STEPS: Final = 4
"""Price steps per second of history."""
_MAX_TAKER_RATE: Final = 120.0
"""Takers per second at most: the self-excitation is subcritical, this only cuts rare extremes."""


class Regime(Enum):
    """What the fair price does."""

    QUIET = 0
    TREND_UP = 1
    TREND_DOWN = -1


@dataclass(frozen=True, slots=True)
class SyntheticParams:
    """How one market behaves. Rates are per second of event time, distances in basis points of the price."""

    start_price: int
    """Ticks."""
    touch_lots: float
    """Typical quantity at a level."""
    taker_lots: float
    """Median taker quantity."""
    quiet_noise_bps: float = 0.35
    """Standard deviation of the fair price over one second."""
    trend_noise_bps: float = 0.8
    trend_drift_bps: tuple[float, float] = (1.5, 4.5)
    """Drift per second, drawn uniformly per trend."""
    quiet_mean_s: float = 2.5
    trend_mean_s: float = 4.0
    pull_bps: float = 150.0
    """Distance from the start price at which trends lean clearly back."""
    taker_rate: float = 4.0
    excitation: float = 0.55
    """Expected takers directly triggered by one taker; below 1 or the market explodes."""
    excitation_decay_s: float = 0.35
    quote_rate: float = 22.0
    """Maker actions per second."""
    depth_bps: float = 6.0
    """Mean distance of the deeper levels from the touch."""


class SyntheticMarket:
    """Background flow of one market. `run_to` makes everything due happen in the engine."""

    __slots__ = (
        "_drift",
        "_engine",
        "_excitation",
        "_fair",
        "_instrument",
        "_market",
        "_next_quote_s",
        "_next_taker_s",
        "_noise",
        "_p",
        "_regime",
        "_regime_end_s",
        "_rng",
        "_start_ns",
        "_t",
    )

    def __init__(self, engine: MatchingEngine, instrument: int, params: SyntheticParams, rng: SplitMix64) -> None:
        self._engine = engine
        self._instrument = instrument
        self._market = engine.markets[instrument]
        self._p = params
        self._rng = rng
        self._fair = float(params.start_price)
        self._t = 0.0
        self._excitation = 0.0
        self._regime = Regime.QUIET
        self._regime_end_s = 0.0
        self._drift = 0.0
        self._noise = params.quiet_noise_bps
        self._start_ns = 0
        self._next_taker_s = 0.0
        self._next_quote_s = 0.0

    @property
    def fair_price(self) -> float:
        """The hidden price in ticks; for tests and charts."""
        return self._fair

    @property
    def regime(self) -> Regime:
        """What the fair price does now."""
        return self._regime

    def history(self, start_ms: int, end_ms: int) -> list[Candle]:
        """Return one-second bars of [start, end), both on whole seconds, and leave the process at its last price.

        Call before `begin`. The price walks on from bar to bar and trade ids are contiguous. In a market that has a
        last price already (an earlier process traded there), all bars are moved so that they end at that price.
        """
        bars: list[Candle] = []
        price = round(self._fair)
        trade_id = self._market.next_trade_id
        for open_ms in range(start_ms, end_ms, SECOND_MS):
            bar = Candle(open_ms, SECOND_MS, price, price, price, price)
            for _ in range(_HISTORY_STEPS):
                self._drift_to(self._t + 1.0 / _HISTORY_STEPS)
                price = max(1, round(self._fair))
                trades = 1 + self._rng.below(8)
                buys = self._rng.below(trades + 1)
                lots = max(trades, round(trades * self._p.taker_lots * self._rng.between(0.5, 2.5)))
                _fold(bar, price, lots, lots * buys // trades, trades, trade_id)
                trade_id += trades
            bars.append(bar)
        if last_price := self._market.last_price:
            bars = [bar.moved(last_price - price) for bar in bars]
            self._fair, price = float(last_price), last_price
        self._market.last_price = price
        self._market.next_trade_id = trade_id
        return bars

    def begin(self, now_ns: int) -> None:
        """Build the first book at `now_ns`; events start from here."""
        self._start_ns = now_ns - round(self._t * NS_PER_S)
        ask = max(2, round(self._fair) + 1)
        for side, touch in ((Side.BUY, ask - 1), (Side.SELL, ask)):
            self._market.set_background(side, touch, self._level_lots())
            self._fill_depth(side)
        self._market.last_price = self._market.last_price or ask - 1
        self._next_taker_s = self._t + self._rng.exponential(1.0 / self._p.taker_rate)
        self._next_quote_s = self._t + self._rng.exponential(1.0 / self._p.quote_rate)

    def next_event_ns(self) -> int:
        """Return when the market acts next."""
        return self._start_ns + round(min(self._next_taker_s, self._next_quote_s) * NS_PER_S)

    def run_next(self) -> list[SimEvent]:
        """Make the next action happen and return what it caused; its time is `next_event_ns()` before the call."""
        now_ns = self.next_event_ns()
        if self._next_taker_s <= self._next_quote_s:
            self._drift_to(self._next_taker_s)
            events = self._taker(now_ns)
            self._next_taker_s = self._t + self._rng.exponential(1.0 / self._taker_rate())
        else:
            self._drift_to(self._next_quote_s)
            events = self._requote(now_ns)
            self._next_quote_s = self._t + self._rng.exponential(1.0 / self._p.quote_rate)
        return events

    def shock(self, change_bps: float) -> None:
        """Move the fair price at once; makers and takers follow within a few actions."""
        self._fair *= 1.0 + change_bps / 10_000.0

    # --- the fair price --------------------------------------------------------------------------------------------

    def _drift_to(self, t: float) -> None:
        """Advance the diffusion to time `t` (seconds since the process began)."""
        while t >= self._regime_end_s:
            self._diffuse(self._regime_end_s)
            self._switch_regime()
        self._diffuse(t)

    def _diffuse(self, t: float) -> None:
        dt = t - self._t
        if dt > 0.0:
            step_bps = self._drift * dt + self._noise * math.sqrt(dt) * self._rng.normal()
            self._fair *= 1.0 + step_bps / 10_000.0
            self._excitation *= math.exp(-dt / self._p.excitation_decay_s)
            self._t = t

    def _switch_regime(self) -> None:
        p, rng = self._p, self._rng
        if self._regime is Regime.QUIET:
            away = math.log(self._fair / p.start_price) * 10_000.0 / p.pull_bps
            up = rng.uniform() < 0.5 - 0.4 * math.tanh(away)
            self._regime = Regime.TREND_UP if up else Regime.TREND_DOWN
            self._drift = rng.between(*p.trend_drift_bps) * self._regime.value
            self._noise, mean = p.trend_noise_bps, p.trend_mean_s
        else:
            self._regime, self._drift = Regime.QUIET, 0.0
            self._noise, mean = p.quiet_noise_bps, p.quiet_mean_s
        self._regime_end_s += 1.0 + rng.exponential(mean - 1.0)

    # --- takers ----------------------------------------------------------------------------------------------------

    def _taker_rate(self) -> float:
        return min(_MAX_TAKER_RATE, self._p.taker_rate + self._excitation)

    def _taker(self, now_ns: int) -> list[SimEvent]:
        p, rng = self._p, self._rng
        self._excitation += p.excitation / p.excitation_decay_s
        bid, ask = self._market.best(Side.BUY), self._market.best(Side.SELL)
        lean = 0.0
        if bid is not None and ask is not None:
            lean = math.tanh((self._fair - (bid + ask) / 2.0) / max(1.0, self._fair * 0.5e-4))
        side = Side.BUY if rng.uniform() < 0.5 + 0.35 * lean else Side.SELL
        lots = max(1, round(p.taker_lots * math.exp(1.1 * rng.normal())))
        # A taker is filled by several makers: one print each, at the same instant.
        events: list[SimEvent] = []
        for _ in range(rng.below(3)):
            if lots > 1:
                part = 1 + rng.below(lots - 1)
                events += self._engine.background_take(self._instrument, side, part, now_ns)
                lots -= part
        return events + self._engine.background_take(self._instrument, side, lots, now_ns)

    # --- makers ----------------------------------------------------------------------------------------------------

    def _requote(self, now_ns: int) -> list[SimEvent]:
        rng = self._rng
        spread = 1 if rng.uniform() < 0.85 else 2 + rng.below(2)
        bid = max(1, math.floor(self._fair))
        ask = bid + spread
        events = self._cross(Side.SELL, bid, now_ns) + self._cross(Side.BUY, ask, now_ns)
        for side, touch in ((Side.BUY, bid), (Side.SELL, ask)):
            here = self._market.background_at(side, touch)
            if here < self._p.touch_lots * 0.3:
                events += self._engine.background_limit(self._instrument, side, touch, self._level_lots(), now_ns)
            elif rng.uniform() < 0.15:
                self._engine.background_cancel(self._instrument, side, touch, 1 + rng.below(max(1, here // 2)))
            self._fill_depth(side)
            self._trim(side)
        return events

    def _cross(self, side: Side, price: int, now_ns: int) -> list[SimEvent]:
        """Clear quotes of `side` that the fair price has passed: most are pulled, what is left is traded through."""
        levels = self._market.levels(side)
        passed = [p for p in levels if (p <= price if side is Side.SELL else p >= price)]
        if not passed and not self._market.has_orders(side):
            return []
        left = 0
        for level in sorted(passed):
            here = levels[level]
            pulled = here if self._rng.uniform() < 0.8 else round(here * self._rng.between(0.7, 0.98))
            self._engine.background_cancel(self._instrument, side, level, pulled)
            left += here - pulled
        best = self._market.best(side)
        if best is None or (best > price if side is Side.SELL else best < price):
            return []
        # Our own quotes may still stand there: the sweep that passes them fills them.
        lots = max(1, left + round(self._p.touch_lots))
        return self._engine.background_take(self._instrument, side.opposite, lots, now_ns, limit=price)

    def _fill_depth(self, side: Side) -> None:
        """Add levels behind the touch until the book is deep enough."""
        prices = set(self._market.levels(side))
        best = self._market.best_background(side)
        if best is None:
            return
        away = -1 if side is Side.BUY else 1
        unit = best * self._p.depth_bps / 10_000.0
        while len(prices) < MIN_LEVELS:
            price = best + away * max(1, round(self._rng.exponential(unit)))
            if price > 0 and price not in prices:
                self._market.set_background(side, price, self._level_lots())
                prices.add(price)

    def _trim(self, side: Side) -> None:
        for price in list(self._market.levels(side))[: MAX_LEVELS - 1 : -1]:
            self._market.set_background(side, price, 0)

    def _level_lots(self) -> int:
        return max(1, round(self._p.touch_lots * math.exp(0.7 * self._rng.normal())))


def _fold(bar: Candle, price: int, lots: int, buy_lots: int, trades: int, trade_id: int) -> None:
    """Count several trades at one price into a bar of history."""
    bar.add_trade(price, lots, buyer_is_taker=False, trade_id=trade_id)
    bar.taker_buy_lots += buy_lots
    bar.taker_buy_tick_lots += buy_lots * price
    bar.trades += trades - 1
    bar.last_trade_id = trade_id + trades - 1
