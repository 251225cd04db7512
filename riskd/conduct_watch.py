"""Raises the holds of the conduct checks: a market that jumped (MKT-07), a strategy that orders without trading
(RAT-04), is refused (RAT-05) or repeats itself (RAT-06), a venue that answers late (PTR-09),
entries that pay too much (PNL-08).

The checks refuse by themselves from the first order on; the holds make it last, until their time or a person ends them.
Looks once a second at the keys that rose since, never at all of them.
"""

from __future__ import annotations

from riskd.conduct_checks import SIGMA_SAMPLES, breaker_ppm, move_ppm
from riskd.guards import pct
from riskd.keeper import HoldKeeper
from riskd.marks import MarketBoard
from riskd.order_flow import Repeated
from riskd.rates import NS_PER_MIN
from riskd.settings import NS_PER_MS, Settings
from riskd.state import RiskState
from tradebot.core.levels import SYSTEM_SCOPE, ReleaseRule, Scope, ScopeKind, TradingLevel


class ConductWatch:
    """See the module."""

    def __init__(self, state: RiskState, board: MarketBoard, keeper: HoldKeeper, settings: Settings) -> None:
        self._state = state
        self._board = board
        self._keeper = keeper
        self._limits = settings.orders
        self._acknowledged_ns = 0
        """The latest acknowledgement that was looked at."""

    def watch(self, now_ns: int) -> None:
        """Look at everything that changed."""
        self._jumps(now_ns)
        self._latency(now_ns)
        touched = self._state.flow.touched
        while touched:
            key = touched.pop()
            if isinstance(key, str):
                self._ratio(key, now_ns)
            elif len(key) == 3:
                self._repeats(key, now_ns)
            elif key[0] == "fills":
                self._quality(key[1], now_ns)
            else:
                self._rejects(*key, now_ns)

    def _jumps(self, now_ns: int) -> None:
        rule, board = self._limits.breaker, self._board
        if rule is None:
            return
        for instrument_id, trail in board.trails.items():
            view = board.views[instrument_id]
            if not view.is_good or not trail.is_fresh(now_ns):
                continue
            limit = breaker_ppm(rule, board.minute_ppm(instrument_id, SIGMA_SAMPLES))
            moved = move_ppm((view.bid + view.ask) // 2, trail)
            if moved > limit:
                scope = Scope(ScopeKind.INSTRUMENT, instrument_id)
                text = f"the mid moved {pct(moved)} within a minute, limit {pct(limit)}"
                self._timed(TradingLevel.REDUCE_ONLY, scope, "MKT-07", text, rule.hold_ns, now_ns)

    def _latency(self, now_ns: int) -> None:
        rule, flow = self._limits.latency, self._state.flow
        if rule is None or not flow.latencies or flow.latencies[-1][0] == self._acknowledged_ns:
            return
        self._acknowledged_ns = flow.latencies[-1][0]
        p99_ms = -(-flow.ack_p99_ns(now_ns, rule.min_orders) // NS_PER_MS)
        if p99_ms > rule.max_p99_ms:
            text = f"p99 from approval to acknowledgement is {p99_ms} ms, limit {rule.max_p99_ms} ms"
            length_ns = rule.cautious_min * NS_PER_MIN
            self._timed(TradingLevel.CAUTIOUS, SYSTEM_SCOPE, "PTR-09", text, length_ns, now_ns)

    def _quality(self, strategy_id: str, now_ns: int) -> None:
        rule = self._limits.quality
        found = None if rule is None else self._state.flow.slippage(strategy_id, rule.fills, rule.floor_bps * 100)
        if rule is None or found is None:
            return
        paid, expected = found
        if paid > rule.max_ratio * expected:
            ratio = -(-10 * paid // max(expected, 1)) / 10
            scope = Scope(ScopeKind.STRATEGY, strategy_id)
            text = f"{rule.fills} entries paid {ratio:.1f} times the slippage that was expected, limit {rule.max_ratio}"
            self._timed(TradingLevel.CAUTIOUS, scope, "PNL-08", text, rule.cautious_min * NS_PER_MIN, now_ns)

    def _ratio(self, strategy_id: str, now_ns: int) -> None:
        rule = self._limits.order_to_trade
        if rule is None:
            return
        flow = self._state.flow
        orders, trades = flow.orders_of(strategy_id, now_ns), flow.trades_of(strategy_id, now_ns)
        if orders >= rule.min_orders and orders > rule.max_ratio * max(trades, 1):
            scope = Scope(ScopeKind.STRATEGY, strategy_id)
            text = f"{orders} orders and {trades} trades within an hour, limit {rule.max_ratio} to 1"
            self._timed(TradingLevel.CAUTIOUS, scope, "RAT-04", text, rule.cautious_min * NS_PER_MIN, now_ns)

    def _rejects(self, kind: str, name: str, now_ns: int) -> None:
        rule = self._limits.rejects
        if rule is None:
            return
        count = self._state.flow.rejects_of(kind, name, now_ns)
        limit = rule.venue_per_minute if kind == "venue" else rule.strategy_per_minute
        if count > limit:
            scope = Scope(ScopeKind.VENUE if kind == "venue" else ScopeKind.STRATEGY, name)
            text = f"{count} orders were refused by the venue within a minute, limit {limit}"
            self._timed(TradingLevel.PAUSED, scope, "RAT-05", text, rule.pause_min * NS_PER_MIN, now_ns)

    def _repeats(self, key: Repeated, now_ns: int) -> None:
        rule = self._limits.repeats
        if rule is None:
            return
        recent, today = self._state.flow.repeated(key, rule.window_min * NS_PER_MIN, now_ns)
        if recent >= rule.max_entries or today >= rule.max_per_day:
            strategy_id, instrument_id, sign = key
            what = f"{'BUY' if sign > 0 else 'SELL'} {instrument_id}"
            text = f"{what}: {recent} entries in {rule.window_min} min, {today} today"
            self._keeper.raise_(
                TradingLevel.HALTED,
                Scope(ScopeKind.STRATEGY, strategy_id),
                "RAT-06",
                ReleaseRule.ONE_KEY,
                now_ns,
                f"{text}: somebody has to look",
            )

    def _timed(self, level: TradingLevel, scope: Scope, cause: str, text: str, length_ns: int, now_ns: int) -> None:
        """Raise a hold with an end; one that stands is left until it is over."""
        self._keeper.raise_(level, scope, cause, ReleaseRule.TIMED, now_ns, text, until_ns=now_ns + length_ns)
