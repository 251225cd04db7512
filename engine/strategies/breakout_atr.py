"""Breakout on Keltner channels: long when a bar closes above the upper band, out when one closes below the lower band.

The channel is EMA of the close plus and minus k times ATR. On markets that can be shorted a close below the lower band
opens a short. One position per instrument; after it ends, entries rest for a number of bars.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from engine.bars import Bar
from engine.markets import Market
from engine.strategy import Params, Proposals, Strategy, enter, leave, strategy
from tradebot.core.orders import Side
from tradebot.features import AtrKind, Keltner

Length = Annotated[int, Field(ge=2, le=1_000)]


class BreakoutAtrParams(Params):
    """Parameters of breakout_atr."""

    ema_length: Length = 20
    """Bars of the channel's middle."""
    atr_length: Length = 14
    """Bars of the channel's width."""
    multiple: Annotated[float, Field(gt=0, le=20)] = 2.0
    """Width of the channel on each side, in ATR."""
    atr_kind: Literal["ewma", "wilder"] = "ewma"
    cool_down_bars: Annotated[int, Field(ge=0, le=10_000)] = 5
    """Bars without an entry after a position ended."""


@strategy("breakout_atr")
class BreakoutAtr(Strategy):
    """See the module."""

    params: BreakoutAtrParams

    def start(self) -> None:
        params = self.params
        self.channel = Keltner(params.ema_length, params.atr_length, params.multiple, AtrKind(params.atr_kind))
        self.was_above = self.was_below = True  # the first ready bar cannot be a crossing

    @property
    def bars_needed(self) -> int:
        return max(self.params.ema_length, self.params.atr_length) + 1

    def on_bar(self, market: Market, bar: Bar) -> Proposals:
        middle, upper, lower = self.channel.update(bar.high, bar.low, bar.close)
        if not self.channel.ready:
            return None
        crossed_above = bar.close > upper and not self.was_above
        crossed_below = bar.close < lower and not self.was_below
        self.was_above, self.was_below = bar.close > upper, bar.close < lower
        if not (self.was_above or self.was_below):
            return None
        holding = self.holding(market)
        features = (
            ("close", bar.close),
            ("middle", middle),
            ("upper", upper),
            ("lower", lower),
            ("atr", self.channel.atr),
        )
        if not holding.is_flat:
            # A level, not a crossing: an exit that did not fill is proposed again with the next bar.
            if self.was_below and holding.qty > 0:
                return leave(holding, "close_below_lower_keltner", features)
            if self.was_above and holding.qty < 0:
                return leave(holding, "close_above_upper_keltner", features)
            return None
        if bar.close_time_ns < holding.last_exit_ns + self.params.cool_down_bars * self.params.bar_ns:
            return None
        if crossed_above:
            return enter(Side.BUY, "close_above_upper_keltner", features=features)
        if crossed_below and market.can_short:
            return enter(Side.SELL, "close_below_lower_keltner", features=features)
        return None
