"""Proposes an entry on every trade or quote: load for benchmarks, the simplest probe in tests. Not for trading."""

from __future__ import annotations

from decimal import Decimal
from typing import Annotated, Literal

from pydantic import Field

from engine.markets import Market
from engine.strategy import Params, Proposal, Proposals, Strategy, strategy
from tradebot.core.orders import OrderRole, Side


class EveryTickParams(Params):
    """Parameters of every_tick."""

    trigger: Literal["trade", "bbo"] = "trade"
    side: Literal["BUY", "SELL"] = "BUY"
    qty: Annotated[Decimal, Field(gt=0)] | None = None
    """Quantity of each order; none: riskd sizes it."""
    every: Annotated[int, Field(ge=1)] = 1
    """Only each n-th event."""


@strategy("every_tick")
class EveryTick(Strategy):
    """See the module."""

    params: EveryTickParams
    overlapping = True

    def start(self) -> None:
        self.count = 0
        self.every = self.params.every
        self.on_trades = self.params.trigger == "trade"
        self.proposal = Proposal(Side[self.params.side], OrderRole.ENTRY, "tick", qty=self.params.qty)

    def on_trade(self, market: Market) -> Proposals:
        return self._tick() if self.on_trades else None

    def on_bbo(self, market: Market) -> Proposals:
        return None if self.on_trades else self._tick()

    def _tick(self) -> Proposals:
        self.count += 1
        return self.proposal if self.count % self.every == 0 else None
