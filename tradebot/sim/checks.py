"""What a venue checks before it takes an order: its filters, counts, prices against the book, funds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from tradebot.core.orders import OrderType, Side
from tradebot.sim.accounts import Account
from tradebot.sim.market import Market
from tradebot.sim.order_records import OrderRecords
from tradebot.sim.orders import NewOrder, Rejection, RejectReason
from tradebot.sim.perpetuals import Perpetuals


class OrderChecks:
    """Answers the first broken rule; changes nothing."""

    def __init__(
        self,
        markets: Sequence[Market],
        accounts: Mapping[str, Account],
        records: OrderRecords,
        perpetuals: Perpetuals | None,
    ) -> None:
        self._markets = markets
        self._accounts = accounts
        self._records = records
        self._perpetuals = perpetuals

    def check(self, new: NewOrder) -> Rejection | None:
        """Return why an order would be refused right now, None when it would be taken. Changes nothing."""
        market = self._markets[new.instrument]
        if self._records.open_order(new.account, new.client_order_id):
            return Rejection(RejectReason.DUPLICATE_CLIENT_ORDER_ID)
        broken = market.rules.broken_by(new, market.reference_price(new.side))
        if broken is None:
            broken = self._broken_counts(new) or self._broken_prices(new, market) or self._broken_funds(new, market)
        return None if broken is None else Rejection(broken)

    def _broken_counts(self, new: NewOrder, adding: int = 1) -> RejectReason | None:
        rules = self._markets[new.instrument].rules
        if self._records.open_count + adding <= rules.max_num_orders and not new.has_trigger:
            return None
        mine = self._records.open_orders(new.account, new.instrument)
        if len(mine) + adding > rules.max_num_orders:
            return RejectReason.MAX_NUM_ORDERS
        triggers = sum(order.terms.has_trigger and not order.working for order in mine)
        if new.has_trigger and triggers >= rules.max_num_algo_orders:
            return RejectReason.MAX_NUM_ALGO_ORDERS
        return None

    def _broken_prices(self, new: NewOrder, market: Market) -> RejectReason | None:
        if new.has_trigger:
            if not market.last_price:
                return RejectReason.NO_REFERENCE_PRICE
            return RejectReason.STOP_WOULD_TRIGGER if market.is_triggered(new) else None
        if new.post_only and market.would_take(new.side, new.price):
            return RejectReason.WOULD_MATCH
        return None

    def _broken_funds(self, new: NewOrder, market: Market) -> RejectReason | None:
        if market.rules.is_perpetual:
            return self._broken_margin((new,), market)
        free = self._accounts[new.account].free(self.paid_asset(new))
        if new.order_type is not OrderType.MARKET:
            needed = self.required_for(new, new.lots)
        elif new.side is Side.BUY:
            needed = new.quote_money or market.cost_of(Side.BUY, new.lots)
        else:
            lots = new.lots or market.lots_for_quote(Side.SELL, new.quote_money)
            needed = lots * market.rules.money_per_lot
        return RejectReason.INSUFFICIENT_BALANCE if needed > free else None

    def _broken_margin(self, legs: Sequence[NewOrder], market: Market) -> RejectReason | None:
        perpetuals = self._perpetuals
        assert perpetuals is not None, "the engine keeps margin for every perpetual"
        for new in legs:
            if new.reduce_only and market.position * new.side.sign >= 0:
                return RejectReason.NOTHING_TO_REDUCE
            price = new.price or new.stop_price or market.best(new.side.opposite) or 0
            if perpetuals.lacks_margin(new, new.lots, price, self._records.open_orders(new.account)):
                return RejectReason.INSUFFICIENT_BALANCE
        return None

    def check_oco(self, limit_leg: NewOrder, stop_leg: NewOrder) -> Rejection | None:
        """Return why a list would be refused right now, None when it would be taken."""
        market = self._markets[limit_leg.instrument]
        for leg in (limit_leg, stop_leg):
            known = self._records.open_order(leg.account, leg.client_order_id)
            if known or limit_leg.client_order_id == stop_leg.client_order_id:
                return Rejection(RejectReason.DUPLICATE_CLIENT_ORDER_ID)
            broken = market.rules.broken_by(leg, market.reference_price(leg.side)) or self._broken_counts(leg, adding=2)
            if broken is not None:
                return Rejection(broken)
        last = market.last_price
        profit = limit_leg.stop_price or limit_leg.price
        low, high = sorted((profit, stop_leg.stop_price))
        profit_is_high = limit_leg.side is Side.SELL
        if not last or not low < last < high or (profit == high) is not profit_is_high:
            return Rejection(RejectReason.LIST_PRICES)
        broken = self._broken_prices(limit_leg, market)
        if broken is not None:
            return Rejection(broken)
        if market.rules.is_perpetual:
            lacking = self._broken_margin((limit_leg, stop_leg), market)
            return None if lacking is None else Rejection(lacking)
        needed = max(self.required_for(leg, leg.lots) for leg in (limit_leg, stop_leg))
        if needed > self._accounts[limit_leg.account].free(self.paid_asset(limit_leg)):
            return Rejection(RejectReason.INSUFFICIENT_BALANCE)
        return None

    def paid_asset(self, new: NewOrder) -> str:
        """Return what an order costs."""
        rules = self._markets[new.instrument].rules
        return rules.instrument.settle if rules.is_perpetual else rules.paid_asset(new.side)

    def required_for(self, new: NewOrder, lots: int) -> int:
        """Return the Money to set aside for `lots` of an order; margin is looked at as a whole instead."""
        rules = self._markets[new.instrument].rules
        if rules.is_perpetual:
            return 0
        if new.side is Side.SELL:
            return lots * rules.money_per_lot
        if new.order_type is OrderType.MARKET:
            return 0  # paid from free as it matches; checked against the book before
        return lots * (new.price or new.stop_price) * rules.money_per_tick_lot
