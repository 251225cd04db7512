"""Trading rules of one market (the venue's filters) and their check, in integers.

Each check answers the first broken rule or None. What text and code a venue gives for it is the venue codec's affair.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from functools import cached_property

from tradebot.core.amounts import MONEY_ONE, to_money
from tradebot.core.errors import InvariantError
from tradebot.core.instruments import Instrument, Product
from tradebot.core.orders import OrderType, Side
from tradebot.core.pnl import Contract, contract_of
from tradebot.sim.orders import NewOrder, RejectReason


@dataclass(frozen=True, slots=True)
class MarginTerms:
    """What a venue asks of positions in one perpetual."""

    leverage: Decimal
    """Largest position value as a multiple of the margin balance, > 0."""
    maintenance_ppm: int
    """Share of the value at the mark below which the venue liquidates."""
    liquidation_fee_ppm: int = 0
    """Share of the liquidated value, besides the taker fee."""

    @property
    def leverage_units(self) -> int:
        """Leverage in 1e-12."""
        return int(self.leverage * MONEY_ONE)


@dataclass(frozen=True)
class MarketRules:
    """An instrument plus the limits that only the venue knows."""

    instrument: Instrument
    min_price: Decimal
    max_price: Decimal
    price_multiplier_up: Decimal = Decimal(5)
    """A limit price above last price x this is refused."""
    price_multiplier_down: Decimal = Decimal("0.2")
    """A limit price below last price x this is refused."""
    max_num_orders: int = 200
    """Open orders per account on this market."""
    max_num_algo_orders: int = 5
    """Of these, orders with a trigger."""
    margin: MarginTerms | None = None
    """Of a perpetual."""

    @property
    def is_perpetual(self) -> bool:
        """True for a contract that is carried by margin."""
        return self.instrument.product is not Product.SPOT

    @cached_property
    def contract(self) -> Contract:
        """How quantity and price become money of the settlement asset."""
        return contract_of(self.instrument)

    def quote_money(self, price: int, lots: int) -> int:
        """Return what lots are worth at a price in ticks, quote Money; of an inverse contract that is fixed."""
        return lots * self.money_per_lot if self.contract.inverse else price * lots * self.money_per_tick_lot

    @cached_property
    def money_per_tick_lot(self) -> int:
        """Quote Money of one tick x one lot."""
        unit = self.instrument.money_per_tick_lot
        if unit != unit.to_integral_value() or unit <= 0:
            raise InvariantError(f"{self.instrument.instrument_id}: tick x lot is {unit}, not a whole Money")
        return int(unit)

    @cached_property
    def money_per_lot(self) -> int:
        """Base Money of one lot; quote Money of an inverse contract's."""
        return int(self.instrument.lot_size * self.instrument.contract_multiplier * MONEY_ONE)

    @cached_property
    def _price_bounds(self) -> tuple[int, int]:
        return self.instrument.price_ticks_ceil(self.min_price), self.instrument.price_ticks_floor(self.max_price)

    @cached_property
    def _lot_bounds(self) -> tuple[int, int, int]:
        one = self.instrument
        return (
            one.qty_lots_floor(one.min_qty) or 1,
            one.qty_lots_floor(one.max_qty),
            one.qty_lots_floor(one.market_max_qty),
        )

    @cached_property
    def _notional_bounds(self) -> tuple[int, int | None]:
        most = self.instrument.max_notional
        return to_money(self.instrument.min_notional), None if most is None else to_money(most)

    @cached_property
    def _multipliers(self) -> tuple[Fraction, Fraction]:
        return Fraction(self.price_multiplier_down), Fraction(self.price_multiplier_up)

    def broken_by(self, order: NewOrder, last_price: int) -> RejectReason | None:
        """Return the first rule an order breaks; `last_price` in ticks, 0 when the market has no price at all."""
        for price in (order.price, order.stop_price):
            if price and not self._price_bounds[0] <= price <= self._price_bounds[1]:
                return RejectReason.PRICE_FILTER
        if order.has_limit and last_price:
            down, up = self._multipliers
            if not down * last_price <= order.price <= up * last_price:
                return RejectReason.PERCENT_PRICE
        if order.quote_money:
            return self._broken_notional(order.quote_money, is_market=True)
        least, most, market_most = self._lot_bounds
        if not least <= order.lots <= most:
            return RejectReason.LOT_SIZE
        is_market = order.order_type in (OrderType.MARKET, OrderType.STOP, OrderType.TAKE_PROFIT)
        if is_market and order.lots > market_most:
            return RejectReason.MARKET_LOT_SIZE
        price = order.price or order.stop_price or last_price
        if not price:
            return None
        return self._broken_notional(self.quote_money(price, order.lots), is_market)

    def _broken_notional(self, money: int, is_market: bool) -> RejectReason | None:
        least, most = self._notional_bounds
        if money < least or (most is not None and not is_market and money > most):
            return RejectReason.NOTIONAL
        return None

    def received_asset(self, side: Side) -> str:
        """Return what a fill brings in: base when buying."""
        return self.instrument.base if side is Side.BUY else self.instrument.quote

    def paid_asset(self, side: Side) -> str:
        """Return what a fill costs."""
        return self.instrument.quote if side is Side.BUY else self.instrument.base
