"""What open positions are worth per strategy, and what they lose at their stops: sums kept up to date position by
position, so that an entry reads them without a loop.

A fill revalues its own position; prices move all of them, which are valued anew when the sums are older than
REVALUE_NS, as equity is. A position without a known stop loses everything; several stops count as the widest.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Final

from riskd.marks import MarketBoard
from riskd.rules import InstrumentRule
from riskd.strategy_position import StrategyPosition
from riskd.units import PPM, amount, with_ppm

REVALUE_NS: Final = 250_000_000

Holding = tuple[str, str]
"""Instrument, strategy."""


def stop_ppm(fraction: Decimal | None) -> int:
    """Return a stop's distance in ppm of the price, rounded up; without a stop all of it."""
    if fraction is None:
        return PPM
    scaled = fraction * PPM
    ppm = int(scaled)
    return min(PPM, ppm + 1 if scaled > ppm else ppm)


@dataclass(frozen=True, slots=True)
class Worth:
    """One position, account currency, rounded up."""

    value: int
    risk: int
    """What is lost at its stop, from the mark."""


class OpenRisk:
    """The sums."""

    def __init__(self) -> None:
        self.stops: dict[Holding, dict[str, int]] = {}
        """Holding -> entry -> distance of its stop, ppm. Part of the fold."""
        self._widest: dict[Holding, int] = {}
        """Holding -> the widest of them."""
        self._worth: dict[Holding, Worth | None] = {}
        """Open positions; None = no mark."""
        self._touched: dict[Holding, None] = {}
        self._value: dict[str, int] = defaultdict(int)
        self._blind: dict[str, int] = defaultdict(int)
        """Strategy -> positions without a mark."""
        self._risk = 0
        self._at_ns = 0

    # ---- folds

    def touch(self, holding: Holding) -> None:
        """Its position or its stop changed."""
        self._touched[holding] = None

    def protect(self, holding: Holding, entry: str, distance_ppm: int) -> None:
        """An entry comes with a stop at this distance."""
        self.stops.setdefault(holding, {})[entry] = distance_ppm
        if distance_ppm > self._widest.get(holding, 0):
            self._widest[holding] = distance_ppm
            self.touch(holding)

    def unprotect(self, holding: Holding, entry: str) -> None:
        """That stop stands no more."""
        stops = self.stops.get(holding)
        distance = 0 if stops is None else stops.pop(entry, 0)
        if not stops:
            self.stops.pop(holding, None)
            self._widest.pop(holding, None)
        elif distance == self._widest[holding]:
            self._widest[holding] = max(stops.values())
        if distance:
            self.touch(holding)

    def digest(self) -> list[object]:
        """Return everything folded."""
        return [(key, sorted(stops.items())) for key, stops in sorted(self.stops.items())]

    # ---- questions

    def value_of(self, strategy_id: str) -> int | None:
        """Return the value of a strategy's positions; None = one has no mark. Call `refresh` before."""
        return None if self._blind.get(strategy_id) else self._value.get(strategy_id, 0)

    def at_stops(self) -> int | None:
        """Return what all positions lose at their stops; None = one has no mark. Call `refresh` before."""
        return None if any(self._blind.values()) else self._risk

    def refresh(
        self,
        positions: Mapping[Holding, StrategyPosition],
        rules: Mapping[str, InstrumentRule],
        board: MarketBoard,
        now_ns: int,
        max_age_ns: int = REVALUE_NS,
    ) -> None:
        """Value what changed, or everything when that was done longer ago than `max_age_ns`."""
        if not 0 <= now_ns - self._at_ns < max_age_ns:
            self._at_ns = now_ns
            self._touched |= dict.fromkeys(self._worth)
        for holding in list(self._touched):
            self._value_anew(holding, positions.get(holding), rules, board)
            del self._touched[holding]  # what cannot be valued stays due

    # ---- inside

    def _value_anew(
        self,
        holding: Holding,
        held: StrategyPosition | None,
        rules: Mapping[str, InstrumentRule],
        board: MarketBoard,
    ) -> None:
        strategy_id = holding[1]
        if holding in self._worth:
            old = self._worth.pop(holding)
            if old is None:
                self._blind[strategy_id] -= 1
            else:
                self._value[strategy_id] -= old.value
                self._risk -= old.risk
        if held is None or not held.units:
            return
        new = self._worth[holding] = worth(held, rules[holding[0]], board, self._widest.get(holding, 0))
        if new is None:
            self._blind[strategy_id] += 1
        else:
            self._value[strategy_id] += new.value
            self._risk += new.risk


def worth(held: StrategyPosition, rule: InstrumentRule, board: MarketBoard, distance: int) -> Worth | None:
    """Return what a position is worth and risks at the last good ask; None without one.

    Args:
        held: The position, not flat.
        rule: Its instrument.
        board: Marks.
        distance: Of its widest stop from the entry price, ppm; 0 = it has none.
    """
    view, rate = board.views.get(rule.instrument_id), board.rate(rule.quote, long=False)
    if view is None or not view.good_ns or not 0 < view.good_bid < view.good_ask or rate is None or rate <= 0:
        return None
    mark, units = view.good_ask, held.units
    value = amount(rate, rule.contract.quote_notional(units, mark))
    if not distance or rule.contract.inverse:
        return Worth(value, value)
    entry = held.price
    # Rounded away from the mark: the stop is never counted nearer than it is.
    stop = with_ppm(entry, PPM - distance) if units > 0 else -(-entry * (PPM + distance) // PPM)
    lost = (mark - stop) if units > 0 else (stop - view.good_bid)
    return Worth(value, amount(rate, rule.contract.quote_notional(units, max(0, lost))))
