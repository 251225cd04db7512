"""What is simulated, in a researcher's words: a market, its latencies, its queue, a perpetual's terms; the result."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Final

import numpy as np

from tradebot.core.columns import Int64s
from tradebot.core.errors import InvariantError
from tradebot.sim.fees import FeeSchedule
from tradebot.sim.kernels import queues
from tradebot.sim.kernels.feed import Feed
from tradebot.sim.kernels.layout import EXPIRE_BOTH, EXPIRE_MAKER, EXPIRE_TAKER
from tradebot.sim.kernels.perpetual import FUNDING, MARK


@dataclass(frozen=True, slots=True)
class Queue:
    """How our place in a price level's queue is estimated."""

    model: int = queues.RISK_AVERSE
    exponent: float = 2.0
    """n of the power models."""

    def __post_init__(self) -> None:
        """Raise InvariantError for a model that there is not."""
        if not queues.RISK_AVERSE <= self.model <= queues.FIFO:
            raise InvariantError(f"no queue model {self.model}: see tradebot.sim.kernels.queues")
        if not 0 < self.exponent < math.inf:
            raise InvariantError(f"the exponent of a queue model is a number above 0, not {self.exponent}")


@dataclass(frozen=True, slots=True)
class ConstantLatency:
    """Every request and every response takes the same time, nanoseconds >= 0."""

    entry_ns: int = 0
    response_ns: int = 0

    def __post_init__(self) -> None:
        """Raise InvariantError for a negative latency."""
        if self.entry_ns < 0 or self.response_ns < 0:
            raise InvariantError(f"a latency is negative: {self}")


@dataclass(frozen=True, slots=True)
class SampledLatency:
    """Latencies drawn independently from two distributions, given as quantiles at equal steps of probability."""

    entry_quantiles_ns: tuple[int, ...]
    """Rising, from the smallest possible to the largest; at least two."""
    response_quantiles_ns: tuple[int, ...]
    """As many."""
    seed: int = 0

    def __post_init__(self) -> None:
        """Raise InvariantError for what is no distribution."""
        for quantiles in (self.entry_quantiles_ns, self.response_quantiles_ns):
            if len(quantiles) < 2 or quantiles[0] < 0 or list(quantiles) != sorted(quantiles):
                raise InvariantError("latency quantiles must be two or more, >= 0 and rising")
        if len(self.entry_quantiles_ns) != len(self.response_quantiles_ns):
            raise InvariantError("entry and response need equally many quantiles")

    @property
    def entry_ns(self) -> int:
        """The smallest entry latency."""
        return self.entry_quantiles_ns[0]


@dataclass(frozen=True, slots=True)
class RecordedLatency:
    """Latencies of real orders, interpolated in time; before the first and after the last they stay constant."""

    sent_ns: Int64s
    """When each request left, rising; shape (n,), n >= 2."""
    reached_ns: Int64s
    """When the exchange had it, rising; 0 where the venue refused it without looking. The first and last are not 0."""
    answered_ns: Int64s
    """When the response came."""

    def __post_init__(self) -> None:
        """Raise InvariantError, naming the row, for times that cannot be."""
        sent, reached, answered = self.sent_ns, self.reached_ns, self.answered_ns
        if not len(sent) == len(reached) == len(answered) >= 2:
            raise InvariantError("recorded latencies need two or more rows and columns of equal length")
        seen = reached > 0
        bad = (answered < sent) | (seen & ((reached < sent) | (answered < reached)))
        bad[1:] |= np.diff(sent) <= 0
        bad[[0, -1]] |= ~seen[[0, -1]]
        bad[np.flatnonzero(seen)[1:]] |= np.diff(reached[seen]) <= 0
        if bad.any():
            raise InvariantError(
                f"recorded latency row {int(np.argmax(bad))}: not sent < reached < answered, or not rising"
            )

    @property
    def entry_ns(self) -> int:
        """The smallest entry latency."""
        seen = self.reached_ns > 0
        return int((self.reached_ns - self.sent_ns)[seen].min())


Latency = ConstantLatency | SampledLatency | RecordedLatency


FINE: Final = Decimal("0.00000001")
"""Step of mark prices and funding rates, which are not traded and have no tick."""


@dataclass(frozen=True, slots=True)
class Perpetual:
    """What a perpetual has besides a book. Without collateral nothing is ever refused or liquidated."""

    event_times_ns: Int64s
    """When the venue marks or charges, rising; shape (n,)."""
    event_kinds: Int64s
    """MARK or FUNDING (`perpetual`)."""
    event_values: Int64s
    """Mark price in quote units, or funding rate, in steps of 1e-8."""
    inverse: bool = False
    """A contract is worth `multiplier` quote units, settled in the base asset."""
    collateral: Decimal = Decimal(0)
    """Settlement units that this market may lose."""
    leverage: Decimal = Decimal(0)
    """Largest position value as a multiple of the margin balance; 0 keeps no margin."""
    maintenance_rate: Decimal = Decimal(0)
    """Share of the position's value at the mark price below which it is liquidated."""
    liquidation_fee: Decimal = Decimal(0)
    """Share of the liquidated value, besides the taker fee."""

    def __post_init__(self) -> None:
        """Raise InvariantError, naming the field or row, for terms and events that cannot be."""
        for name in ("collateral", "leverage", "maintenance_rate", "liquidation_fee"):
            value: Decimal = getattr(self, name)
            if not value.is_finite() or value < 0:
                raise InvariantError(f"{name} is a number from 0, not {value}")
        times, kinds, values = self.event_times_ns, self.event_kinds, self.event_values
        if not len(times) == len(kinds) == len(values):
            raise InvariantError("venue events need columns of equal length")
        bad = ~np.isin(kinds, (MARK, FUNDING)) | ((kinds == MARK) & (values <= 0))
        bad[1:] |= np.diff(times) < 0
        if bad.any():
            raise InvariantError(f"venue event {int(np.argmax(bad))}: no mark above zero, no funding, or out of order")


@dataclass(frozen=True, slots=True)
class Market:
    """One instrument at one venue, and how the venue is modelled."""

    feed: Feed
    tick_size: Decimal
    """Quote units."""
    lot_size: Decimal
    """Base units or contracts."""
    latency: Latency = ConstantLatency()
    queue: Queue = Queue()
    partial_fills: bool = False
    maker_fee: Decimal = Decimal(0)
    """Share of the traded value; negative is a rebate."""
    taker_fee: Decimal = Decimal(0)
    fees: FeeSchedule | None = None
    """Rates by the volume of 30 days, instead of the two above; markets given the same object share one volume."""
    multiplier: Decimal = Decimal(1)
    """Base units of one contract."""
    perpetual: Perpetual | None = None
    impact: bool = False
    """Displayed liquidity is taken once and a trade fills us once; needs partial fills."""
    self_trade: int = 0
    """0, EXPIRE_MAKER, EXPIRE_TAKER or EXPIRE_BOTH."""
    min_qty_lots: int = 0
    min_value_tick_lots: int = 0
    """Smallest price * quantity of a new order."""
    max_orders: int = 256
    """Orders the strategy knows at once, a power of two."""
    max_fills: int = 0
    """Rows of the fill log; 0 keeps none."""

    def __post_init__(self) -> None:
        """Raise InvariantError, naming the field, for terms that cannot be."""
        for name in ("tick_size", "lot_size", "multiplier"):
            size: Decimal = getattr(self, name)
            if not size.is_finite() or size <= 0:
                raise InvariantError(f"{name} is a number above 0, not {size}")
        for name in ("min_qty_lots", "min_value_tick_lots", "max_fills"):
            if getattr(self, name) < 0:
                raise InvariantError(f"{name} is below 0: {getattr(self, name)}")
        if self.self_trade not in (0, EXPIRE_MAKER, EXPIRE_TAKER, EXPIRE_BOTH):
            raise InvariantError(f"self_trade is 0, EXPIRE_MAKER, EXPIRE_TAKER or EXPIRE_BOTH, not {self.self_trade}")
        _ = self.schedule

    @property
    def schedule(self) -> FeeSchedule:
        """The fee table."""
        return self.fees or FeeSchedule.flat(self.maker_fee, self.taker_fee)

    @property
    def inverse(self) -> bool:
        """True when a contract's value is quantity / price."""
        return self.perpetual is not None and self.perpetual.inverse

    @property
    def unit(self) -> Decimal:
        """Settlement units of one tick-lot; of one lot per tick for an inverse contract."""
        size = self.lot_size * self.multiplier
        return size / self.tick_size if self.inverse else size * self.tick_size


@dataclass(frozen=True, slots=True)
class Logs:
    """What a run writes down of its markets, so that result tables can be made of it. Memory is used as rows come."""

    equity_every_ns: int = 1_000_000_000
    """Resolution of the equity series; moments in which nothing came are left out."""
    max_orders: int = 1_000_000
    """Orders of one market in the whole run, 136 bytes each."""
    max_fills: int = 1_000_000
    """Fills of one market, 88 bytes each."""
    max_samples: int = 10_000_000
    """Of the equity series."""

    def __post_init__(self) -> None:
        """Raise InvariantError, naming the field, for what is no bound."""
        for name in ("equity_every_ns", "max_orders", "max_fills", "max_samples"):
            if getattr(self, name) <= 0:
                raise InvariantError(f"{name} is a number above 0, not {getattr(self, name)}")


@dataclass(frozen=True, slots=True)
class Funding:
    """One funding of a position."""

    at_ns: int
    position_lots: int
    mark_price: Decimal
    """Quote units."""
    rate: Decimal
    paid: Decimal
    """Settlement units; negative when received."""


@dataclass(frozen=True, slots=True)
class InverseResult:
    """Sums of quantity / price over the fills of an inverse contract, lots per tick; sums of floats, so not exact."""

    values: tuple[tuple[Decimal, Decimal], ...]
    """Per fee tier: taken, made."""
    bought_less_sold: Decimal
    liquidated: Decimal


@dataclass(frozen=True, slots=True)
class Account:
    """What a strategy has done in one market, exactly."""

    position_lots: int
    value_tick_lots: int
    """Sum of side * price * quantity: bought less sold."""
    maker_value_tick_lots: int
    taker_value_tick_lots: int
    fills: int
    filled_lots: int
    submits: int
    cancels: int
    modifies: int
    best_bid_ticks: int
    best_ask_ticks: int
    """The strategy's last touch; NO_PRICE for an empty side."""
    liquidations: int
    liquidated_tick_lots: int
    funding: Decimal
    """Paid for funding, settlement units; negative when received."""
    market: Market = field(repr=False)
    result: InverseResult | tuple[tuple[int, int], ...] = field(repr=False)
    """What was taken and made per fee tier; a linear market's in tick-lots, exact."""

    @property
    def unit(self) -> Decimal:
        """Settlement units of one tick-lot; of one lot per tick for an inverse contract."""
        return self.market.unit

    @property
    def _values(self) -> Sequence[tuple[Decimal | int, Decimal | int]]:
        return self.result.values if isinstance(self.result, InverseResult) else self.result

    @property
    def fee(self) -> Decimal:
        """Fees paid (positive) or earned, settlement units: quote, or base for an inverse contract."""
        result = self.result
        fee = Decimal(0)
        for tier, (taken, made) in zip(self.market.schedule.tiers, self._values, strict=True):
            fee += tier.taker * taken + tier.maker * made
        if self.market.perpetual is not None:
            liquidated = result.liquidated if isinstance(result, InverseResult) else self.liquidated_tick_lots
            fee += self.market.perpetual.liquidation_fee * liquidated
        return fee * self.unit

    @property
    def equity(self) -> Decimal:
        """Result with the position valued at the last mid, after fees and funding, settlement units."""
        twice_mid = self.best_bid_ticks + self.best_ask_ticks
        if isinstance(self.result, InverseResult):
            result = self.result.bought_less_sold
            if self.position_lots:
                result -= Decimal(2 * self.position_lots) / twice_mid
        else:
            result = Decimal(self.position_lots * twice_mid) / 2 - self.value_tick_lots
        return result * self.unit - self.fee - self.funding
