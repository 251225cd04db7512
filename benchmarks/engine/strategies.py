"""Live strategies of the benchmarks, written as a user would. All of them decide every 100 ms."""

from __future__ import annotations

from decimal import Decimal
from typing import Final

from engine.strategy import Params, Proposal, Proposals, Strategy, Wanted, strategy, withdraw
from tradebot.core.orders import OrderRole, Side, TimeInForce

EVERY_NS: Final = 100_000_000
FAR_TICKS: Final = 500
HALF_TICKS: Final = 5
MAX_LOTS: Final = 100
ORDER_LOTS: Final = 10
QTY: Final = Decimal("0.010")
STOCK: Final = Decimal("0.200")
"""Bought first: spot has nothing to sell short."""


class Every100Ms(Strategy):
    """Wakes up on a fixed grid."""

    params: Params
    overlapping = True
    needs_depth = True

    def start(self) -> None:
        self.at_ns = 1
        self.wakes = self.submits = self.cancels = self.checksum = 0

    def next_timer_ns(self) -> int | None:
        return self.at_ns

    def on_timer(self, now_ns: int) -> Proposals:
        self.at_ns = (now_ns // EVERY_NS + 1) * EVERY_NS
        self.wakes += 1
        return self.decide()

    def decide(self) -> Proposals:
        return None

    def quote(self, side: Side, ticks: int) -> Proposal:
        self.submits += 1
        return Proposal(
            side,
            OrderRole.ENTRY,
            "quote",
            qty=QTY,
            limit_ticks=ticks,
            time_in_force=TimeInForce.GTC,
            post_only=True,
            market=self.markets[0],
        )


@strategy("bench_touch")
class ReadTouch(Every100Ms):
    """Reads the best prices."""

    def decide(self) -> Proposals:
        market = self.markets[0]
        self.checksum += market.bid + market.ask
        return None


@strategy("bench_pairs")
class SubmitAndCancel(Every100Ms):
    """Cancels its order and submits another, far from the market."""

    def decide(self) -> Proposals:
        market = self.markets[0]
        if not market.live:
            return None
        wanted: list[Wanted] = []
        for order in self.orders(market).values():
            if order.client_order_id and not order.cancel_wanted:
                wanted.append(withdraw(order))
                self.cancels += 1
        return [*wanted, self.quote(Side.BUY, market.bid - FAR_TICKS)]


@strategy("bench_requote")
class Requote(Every100Ms):
    """Quotes both sides around the mid, skewed by its position around the stock; moves a quote whose price changed."""

    def start(self) -> None:
        super().start()
        self.lot = self.markets[0].instrument.lot_size

    def decide(self) -> Proposals:
        market = self.markets[0]
        if not (market.live and market.bid):
            return None
        if self.holding(market).is_flat:
            return None if self.orders(market) else Proposal(Side.BUY, OrderRole.ENTRY, "stock", qty=STOCK)
        held = int((self.holding(market).qty - STOCK) / self.lot)
        mid2 = market.bid + market.ask - held // 10
        targets = {
            Side.BUY: min((mid2 - 2 * HALF_TICKS) // 2, market.bid),
            Side.SELL: max(-((-mid2 - 2 * HALF_TICKS) // 2), market.ask),
        }
        wanted: list[Wanted] = []
        for order in self.orders(market).values():
            if order.limit_ticks == targets.get(order.side) and not order.cancel_wanted:
                del targets[order.side]
            elif order.client_order_id and not order.cancel_wanted:
                wanted.append(withdraw(order))
                self.cancels += 1
        for side, ticks in targets.items():
            if held < MAX_LOTS if side is Side.BUY else held > -MAX_LOTS:
                wanted.append(self.quote(side, ticks))
        return wanted
