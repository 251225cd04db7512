"""Section `simexchange` of the environment file."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from simexchange.feeds import HISTORY_S
from simexchange.venue import SymbolSetup
from tradebot.core.amounts import to_money
from tradebot.core.instruments import Instrument, Product
from tradebot.core.orders import OrderType
from tradebot.runtime.config import ConfigModel, Port
from tradebot.sim.rules import MarketRules
from tradebot.sim.synthetic import SyntheticParams
from tradebot.venues.server_api import ServerLimits

Positive = Annotated[Decimal, Field(gt=0)]
_NO_PROCESS = SyntheticParams(start_price=1, touch_lots=1.0, taker_lots=1.0)
"""A market that is followed has no process of its own."""


class MarketShape(ConfigModel):
    """How one synthetic market behaves; see docs/simulator.md."""

    start_price: Positive
    """Price at the start of the generated history."""
    touch_qty: Positive
    """Typical quantity of a level, base units."""
    taker_qty: Positive
    """Median quantity of a taker, base units."""
    quiet_noise_bps: Annotated[float, Field(ge=0)] = 0.35
    trend_noise_bps: Annotated[float, Field(ge=0)] = 0.8
    trend_drift_bps: tuple[Annotated[float, Field(ge=0)], Annotated[float, Field(ge=0)]] = (1.5, 4.5)
    quiet_mean_s: Annotated[float, Field(gt=1)] = 2.5
    trend_mean_s: Annotated[float, Field(gt=1)] = 4.0
    taker_rate: Annotated[float, Field(gt=0, le=100)] = 4.0
    quote_rate: Annotated[float, Field(gt=0, le=1000)] = 22.0


class SymbolConfig(ConfigModel):
    """One market: the venue's rules for it and its synthetic behavior."""

    base: str
    quote: str = "USDT"
    tick_size: Positive
    lot_size: Positive
    max_qty: Positive = Decimal(9000)
    market_max_qty: Positive = Decimal(100)
    min_notional: Positive = Decimal(5)
    max_notional: Positive = Decimal(9_000_000)
    max_price: Positive = Decimal(1_000_000)
    max_num_orders: Annotated[int, Field(ge=1, le=10_000)] = 200
    max_num_algo_orders: Annotated[int, Field(ge=1, le=10_000)] = 5
    market: MarketShape

    def setup(self, venue: str, symbol: str) -> SymbolSetup:
        """Return rules and synthetic parameters in the simulator's units."""
        instrument = Instrument(
            instrument_id=f"{venue}:{self.base}-{self.quote}",
            venue=venue,
            venue_symbol=symbol,
            product=Product.SPOT,
            base=self.base,
            quote=self.quote,
            settle=self.quote,
            tick_size=self.tick_size,
            lot_size=self.lot_size,
            min_qty=self.lot_size,
            max_qty=self.max_qty,
            market_max_qty=self.market_max_qty,
            min_notional=self.min_notional,
            max_notional=self.max_notional,
            order_types=frozenset(kind.name for kind in OrderType),
            oco_allowed=True,
        )
        rules = MarketRules(
            instrument,
            min_price=self.tick_size,
            max_price=self.max_price,
            max_num_orders=self.max_num_orders,
            max_num_algo_orders=self.max_num_algo_orders,
        )
        shape = self.market
        return SymbolSetup(
            rules,
            SyntheticParams(
                start_price=instrument.price_ticks_floor(shape.start_price),
                touch_lots=float(shape.touch_qty / self.lot_size),
                taker_lots=float(shape.taker_qty / self.lot_size),
                quiet_noise_bps=shape.quiet_noise_bps,
                trend_noise_bps=shape.trend_noise_bps,
                trend_drift_bps=shape.trend_drift_bps,
                quiet_mean_s=shape.quiet_mean_s,
                trend_mean_s=shape.trend_mean_s,
                taker_rate=shape.taker_rate,
                quote_rate=shape.quote_rate,
            ),
        )


class LimitsConfig(ConfigModel):
    """What the venue allows."""

    weight_per_minute: Annotated[int, Field(ge=1)] = 6_000
    orders_per_10s: Annotated[int, Field(ge=1)] = 100
    orders_per_day: Annotated[int, Field(ge=1)] = 200_000

    def limits(self) -> ServerLimits:
        return ServerLimits(self.weight_per_minute, self.orders_per_10s, self.orders_per_day)


DEFAULT_SYMBOLS: dict[str, SymbolConfig] = {
    "BTCUSDT": SymbolConfig(
        base="BTC",
        tick_size=Decimal("0.01"),
        lot_size=Decimal("0.00001"),
        market=MarketShape(start_price=Decimal(60_000), touch_qty=Decimal("0.8"), taker_qty=Decimal("0.004")),
    ),
    "ETHUSDT": SymbolConfig(
        base="ETH",
        tick_size=Decimal("0.01"),
        lot_size=Decimal("0.0001"),
        market_max_qty=Decimal(2_000),
        market=MarketShape(start_price=Decimal(3_000), touch_qty=Decimal(12), taker_qty=Decimal("0.06")),
    ),
}
"""Rules as the real venue had them in 2025-08; prices are round numbers."""


class FollowConfig(ConfigModel):
    """The paper venue: orders against marketdata's real feed."""

    silence_s: Annotated[float, Field(gt=1)] = 5.0
    """A feed without even a heartbeat for so long is broken off."""
    order_latency_ms: Annotated[float, Field(ge=0, le=60_000)] = 100.0
    """What places, cancels or amends an order reaches the market so long after it came, as over a real line. The feed
    has its real delay already; answers take `response_delay_ms`."""
    max_price_ticks: Annotated[int, Field(ge=1)] = 10**12
    """Price bound of markets whose venue tells none."""

    def setup(self, instrument: Instrument) -> SymbolSetup:
        """Return the rules of a market that the real venue trades."""
        ceiling = instrument.tick_size * self.max_price_ticks
        return SymbolSetup(MarketRules(instrument, instrument.tick_size, ceiling), _NO_PROCESS)


class SimexchangeConfig(ConfigModel):
    """The exchange: addresses, market source, account, faults."""

    host: str = "127.0.0.1"
    rest_port: Port = 18080
    """0 takes a free one."""
    ws_port: Port = 18081
    """Market streams and the order API. 0 takes a free one."""
    venue: str = ""
    """Venue folder whose protocol is spoken. Empty: the only one under `venues`."""
    symbols: dict[str, SymbolConfig] = DEFAULT_SYMBOLS
    """Venue symbol -> market."""
    seed: Annotated[int, Field(ge=0)] = 1
    """Of the synthetic market and of everything else that is drawn."""
    history_s: Annotated[int, Field(ge=0, le=1_000_000)] = HISTORY_S
    """Seconds of candles generated before the synthetic market starts."""
    replay: tuple[Path, ...] = ()
    """Recorded files instead of the synthetic market, one continuous stream in this order. A single path is fine."""
    follow: FollowConfig | None = None
    """Paper: follow marketdata's feed instead of a market of our own. `--follow` switches it on, too."""
    speed: Annotated[float, Field(gt=0, le=1000)] = 1.0
    """Feeds a recording faster; its times are not scaled."""
    when_finished: Literal["idle", "stop"] = "idle"
    """At the end of a recording: keep serving a silent market, or stop the daemon."""
    balances: dict[str, Annotated[Decimal, Field(ge=0)]] = Field(default={"USDT": Decimal(10_000)})
    """Asset -> amount the account starts with."""
    maker_bps: Annotated[Decimal, Field(ge=0, le=1000)] = Decimal(10)
    taker_bps: Annotated[Decimal, Field(ge=0, le=1000)] = Decimal(10)
    limits: LimitsConfig = LimitsConfig()
    response_delay_ms: tuple[Annotated[float, Field(ge=0)], Annotated[float, Field(ge=0)]] = (0.0, 2.0)
    """Answers and account events wait this long, drawn uniformly."""
    ping_interval_s: Annotated[float, Field(gt=0)] = 20.0
    max_connection_s: Annotated[float, Field(gt=0)] = 86_400.0
    """Connections are cut at this age."""
    faults: tuple[dict[str, Any], ...] = ()
    """Fault switches that are on from the start; see `simexchange.faults`."""
    admin: bool = True
    """Serve /sim/… on the REST port to loopback callers."""

    @model_validator(mode="before")
    @classmethod
    def _one_path_is_a_list(cls, values: Any) -> Any:
        if isinstance(values, dict) and isinstance(values.get("replay"), (str, Path)):
            return {**values, "replay": [values["replay"]]}
        return values

    @model_validator(mode="after")
    def _one_market(self) -> Self:
        if self.follow is not None and self.replay:
            raise ValueError("follow: cannot be combined with replay; remove one of them")
        return self

    @model_validator(mode="after")
    def _delay_in_order(self) -> Self:
        if self.response_delay_ms[0] > self.response_delay_ms[1]:
            raise ValueError("response_delay_ms: the first value must not be larger than the second")
        return self

    def money_balances(self) -> dict[str, int]:
        """Return the start balances as Money."""
        return {asset: to_money(amount) for asset, amount in self.balances.items()}
