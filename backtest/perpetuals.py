"""Perpetuals of a backtest: what the configuration says of an instrument and of its venue's margin rules."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Annotated, Literal

from pydantic import Field

from tradebot.core.amounts import MONEY_ONE
from tradebot.core.errors import ConfigError
from tradebot.core.instruments import Instrument, Product
from tradebot.core.orders import OrderType, TimeInForce
from tradebot.runtime.config import ConfigModel
from tradebot.sim.rules import MarginTerms, MarketRules

Positive = Annotated[Decimal, Field(gt=0)]
Share = Annotated[Decimal, Field(ge=0, lt=10_000)]
_PPM_PER_BPS = 100


class PerpetualConfig(ConfigModel):
    """One perpetual; a line of section `backtest.perpetuals`, by venue symbol."""

    base: str
    quote: str = "USDT"
    contract: Literal["linear", "inverse"] = "linear"
    """Linear: settled in quote, a contract is `multiplier` base units. Inverse: settled in base, a contract is worth
    `multiplier` quote units."""
    multiplier: Positive = Decimal(1)
    tick_size: Positive
    lot_size: Positive
    """Contracts (base units where the multiplier is 1)."""
    min_qty: Positive | None = None
    """None: one lot."""
    max_qty: Positive = Decimal(1_000_000_000)
    min_notional: Annotated[Decimal, Field(ge=0)] = Decimal(0)
    """Smallest order, quote asset."""
    max_price: Positive = Decimal(100_000_000)
    leverage: Annotated[Decimal, Field(ge=1, le=1_000)] = Decimal(5)
    """Largest value of the positions as a multiple of the margin balance, as set at the venue."""
    maintenance_bps: Share = Decimal(50)
    """Share of the value at the mark price below which the venue liquidates."""
    liquidation_fee_bps: Share = Decimal(0)
    """Share of the liquidated value, besides the taker fee."""

    def rules(self, venue: str, symbol: str) -> MarketRules:
        """Return the rules in the simulator's terms."""
        is_linear = self.contract == "linear"
        instrument = Instrument(
            instrument_id=self.instrument_id(venue),
            venue=venue,
            venue_symbol=symbol,
            product=Product.LINEAR_PERPETUAL if is_linear else Product.INVERSE_PERPETUAL,
            base=self.base,
            quote=self.quote,
            settle=self.quote if is_linear else self.base,
            tick_size=self.tick_size,
            lot_size=self.lot_size,
            min_qty=self.min_qty or self.lot_size,
            max_qty=self.max_qty,
            market_max_qty=self.max_qty,
            min_notional=self.min_notional,
            contract_multiplier=self.multiplier,
            order_types=frozenset(kind.name for kind in OrderType) | {TimeInForce.GTD.name},
            oco_allowed=True,
        )
        unit = instrument.money_per_tick_lot if is_linear else self.lot_size * self.multiplier * MONEY_ONE
        if unit != unit.to_integral_value() or unit <= 0:
            raise ConfigError(
                f"backtest.perpetuals.{symbol}: tick_size x lot_size x multiplier needs at most 12 decimals"
            )
        terms = MarginTerms(
            self.leverage, int(self.maintenance_bps * _PPM_PER_BPS), int(self.liquidation_fee_bps * _PPM_PER_BPS)
        )
        return MarketRules(instrument, self.tick_size, self.max_price, margin=terms)

    def instrument_id(self, venue: str) -> str:
        """Return our name of it, e.g. `binance:BTC-USDT-SWAP`."""
        return f"{venue}:{self.base}-{self.quote}-SWAP"


def perpetual_symbol(perpetuals: Mapping[str, PerpetualConfig], venue: str, name: str) -> str | None:
    """Return the venue symbol of a symbol or instrument id that is configured as a perpetual."""
    for symbol, one in perpetuals.items():
        if name.upper() in (symbol.upper(), one.instrument_id(venue).upper()):
            return symbol
    return None
