"""A strategy that trades by the clock alone, as the text of a user's file: what it gets shows how the venue works."""

from __future__ import annotations

_TEXT = """
from dataclasses import replace
from tradebot.core.orders import Side
from engine.strategy import Strategy, enter, leave, strategy

@strategy("now_and_then")
class NowAndThen(Strategy):
    def start(self):
        self.at_ns = 1

    def next_timer_ns(self):
        return self.at_ns

    def on_timer(self, now_ns):
        market = self.markets[0]
        holding = self.holding(market)
        self.at_ns = now_ns + ({flat_ns} if holding.is_flat else {holding_ns})
        if not market.bid:
            return None
        proposal = enter(Side.BUY, "flat") if holding.is_flat else leave(holding, "held")
        return replace(proposal, market=market)
"""


def now_and_then(flat_ns: int, holding_ns: int) -> str:
    """Return the source of `now_and_then`: it buys when flat and sells when it holds, and waits so long after each."""
    return _TEXT.format(flat_ns=flat_ns, holding_ns=holding_ns)
