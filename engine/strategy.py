"""What a strategy is: a class with a registered name, parameters with types, and callbacks that return proposals.

`SignalStrategy` is the simple form: one method, `signal(bars)`, says how much it wants to be long or short now.
`Strategy` is the full form with one callback per kind of event. Both are pure: no clock, no I/O, no randomness; time
comes with the events. docs/your-first-strategy.md shows one in thirty lines.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from typing import Annotated, Any, ClassVar, Final, TypeVar, get_type_hints

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from engine.bars import Bar
from engine.holdings import Holding
from engine.markets import Market
from engine.working import WorkingOrder, WorkingOrders
from tradebot.core.errors import InvariantError
from tradebot.core.intents import ProtectionPlan
from tradebot.core.order_events import OrderEvent
from tradebot.core.orders import OrderRole, Side, TimeInForce
from tradebot.core.values import value

NS_PER_MS: Final = 1_000_000
ONE: Final = Decimal(1)
Features = tuple[tuple[str, float], ...]
"""Named values, journaled with the intent for people and statistics."""


class Params(BaseModel):
    """Parameters that every strategy has. A strategy adds its own by a subclass named in its `params` annotation."""

    model_config = ConfigDict(frozen=True, extra="forbid", validate_default=True, use_attribute_docstrings=True)

    bar_ms: Annotated[int, Field(ge=1_000, le=86_400_000, multiple_of=1_000)] = 60_000
    """Length of the bars it gets, milliseconds."""
    stop_loss_fraction: Annotated[Decimal, Field(gt=0, lt=1)] | None = Decimal("0.006")
    """Stop distance of entries, share of the entry price; none: entries are sent unprotected and riskd refuses them
    where PRC-05 is enforced."""
    take_profit_fraction: Annotated[Decimal, Field(gt=0, lt=1)] | None = None
    """Take-profit distance, share of the entry price."""
    entry_bound_bps: Annotated[int, Field(ge=0, le=500)] = 5
    """How far beyond the best opposite price an order may trade, basis points."""
    time_to_live_ms: Annotated[int, Field(ge=0, le=600_000)] = 1_000
    """An intent is void after this age. 0: riskd's default."""

    @property
    def bar_ns(self) -> int:
        return self.bar_ms * NS_PER_MS


@value(frozen=True, slots=True)
class Proposal:
    """What a strategy wants done now. The runner prices it, adds context and protection, and may drop it."""

    side: Side
    role: OrderRole
    """ENTRY or EXIT."""
    signal: str
    """Name of what was seen, e.g. "close_above_upper"."""
    strength: Decimal = ONE
    """In (0, 1]; riskd sizes entries by it."""
    features: Features = ()
    qty: Decimal | None = None
    """None: riskd sizes an entry, an exit closes the whole position."""
    limit_ticks: int | None = None
    """None: beyond the best opposite price by `entry_bound_bps`."""
    time_in_force: TimeInForce = TimeInForce.IOC
    post_only: bool = False
    expire_time_ns: int = 0
    """When the venue ends it, for GTD."""
    expected_edge: Decimal | None = None
    """Gain that is expected of the round trip before costs, as a fraction of the price; None = no estimate."""
    market: Market | None = None
    """Where; None: the market of the callback."""


@value(frozen=True, slots=True)
class Withdrawal:
    """An order of this strategy that it wants off the book."""

    order: WorkingOrder


Wanted = Proposal | Withdrawal
Proposals = Wanted | Sequence[Wanted] | None


class Strategy:
    """Base of all strategies. One object per instrument, or one for all of them when `shared`.

    Callbacks return a Proposal, several, or None. History arrives through `on_bar` too; what is proposed then is
    dropped, so a strategy needs no mode for warming up.
    """

    kind: ClassVar[str] = ""
    """Registered name, set by `@strategy`."""
    shared: ClassVar[bool] = False
    """True: one object sees all instruments of the strategy."""
    overlapping: ClassVar[bool] = False
    """True: a new entry may be proposed while an earlier one is still open."""
    needs_depth: ClassVar[bool] = False
    """True: `market.book` is kept."""

    params: Params

    def __init__(
        self,
        params: Params,
        markets: Sequence[Market],
        holdings: Mapping[str, Holding],
        orders: Mapping[str, WorkingOrders] | None = None,
    ) -> None:
        """Called by the runner; override `start` instead."""
        self.params = params
        self.markets = markets
        self._holdings = holdings
        self._orders = orders or {}
        self.start()

    @classmethod
    def params_model(cls) -> type[Params]:
        """Return the class named by the `params` annotation."""
        model: Any = get_type_hints(cls).get("params", Params)
        if not (isinstance(model, type) and issubclass(model, Params)):
            raise InvariantError(f"strategy {cls.__name__}: annotate params with a subclass of engine.strategy.Params")
        return model

    def holding(self, market: Market) -> Holding:
        """Return this strategy's position in a market."""
        return self._holdings[market.instrument_id]

    def orders(self, market: Market) -> WorkingOrders:
        """Return this strategy's intents and orders in a market that have not ended, by intent id, oldest first."""
        return self._orders[market.instrument_id]

    @property
    def bars_needed(self) -> int:
        """Closed bars it must have seen before it may propose."""
        return 0

    def start(self) -> None:
        """Make features and counters; `params` and `markets` are set."""

    def on_bar(self, market: Market, bar: Bar) -> Proposals:
        """A bar closed."""
        return None

    def on_bbo(self, market: Market) -> Proposals:
        """Best bid or ask changed."""
        return None

    def on_trade(self, market: Market) -> Proposals:
        """A public trade happened; `market.last_*` describe it."""
        return None

    def on_fill(self, market: Market, event: OrderEvent) -> Proposals:
        """One of this strategy's orders traded; the holding contains it already."""
        return None

    def on_timer(self, now_ns: int) -> Proposals:
        """The time named by `next_timer_ns` came."""
        return None

    def next_timer_ns(self) -> int | None:
        """When `on_timer` wants to be called, None for never. May change only in a callback, never by itself."""
        return None


def enter(side: Side, signal: str, strength: Decimal = ONE, features: Features = ()) -> Proposal:
    """Return the proposal to open a position, sized by riskd."""
    return Proposal(side, OrderRole.ENTRY, signal, strength, features)


def leave(holding: Holding, signal: str, features: Features = ()) -> Proposal:
    """Return the proposal to close the whole position."""
    side = Side.SELL if holding.qty > 0 else Side.BUY
    return Proposal(side, OrderRole.EXIT, signal, ONE, features)


def withdraw(order: WorkingOrder) -> Withdrawal:
    """Return the wish to cancel one of the orders of `Strategy.orders`. Until it is acknowledged it is dropped."""
    return Withdrawal(order)


class BarWindow:
    """The last closed bars as columns, oldest first; `window.close[-1]` is the newest close.

    Shape (n,) each, float64, prices in quote asset. The arrays are views that the next bar overwrites: copy what you
    keep.
    """

    __slots__ = ("_capacity", "_columns", "_end", "_size")

    def __init__(self, size: int) -> None:
        self._size = size
        self._capacity = 4 * size
        self._columns = np.zeros((5, self._capacity))
        self._end = 0

    def __len__(self) -> int:
        return min(self._end, self._size)

    @property
    def full(self) -> bool:
        return self._end >= self._size

    def append(self, bar: Bar) -> None:
        """Add a closed bar."""
        if self._end == self._capacity:
            keep = self._size - 1
            self._columns[:, :keep] = self._columns[:, self._end - keep : self._end].copy()
            self._end = keep
        self._columns[:, self._end] = (bar.open, bar.high, bar.low, bar.close, bar.volume)
        self._end += 1

    def _column(self, index: int) -> NDArray[np.float64]:
        view = self._columns[index, max(0, self._end - self._size) : self._end]
        view.flags.writeable = False
        return view

    @property
    def open(self) -> NDArray[np.float64]:
        return self._column(0)

    @property
    def high(self) -> NDArray[np.float64]:
        return self._column(1)

    @property
    def low(self) -> NDArray[np.float64]:
        return self._column(2)

    @property
    def close(self) -> NDArray[np.float64]:
        return self._column(3)

    @property
    def volume(self) -> NDArray[np.float64]:
        return self._column(4)


MAX_WINDOW: Final = 10_000
"""Bars in a window; more is a mistake in `window`."""
_STRENGTH_STEP: Final = Decimal("0.0001")


class SignalStrategy(Strategy):
    """The simple form: `signal` is asked after every closed bar and the base class turns the answer into orders.

    > 0 wants to be long with that strength, < 0 short (flat where shorting is impossible), 0 flat, None no opinion.
    """

    def window(self) -> int:
        """Return how many bars `signal` needs."""
        raise NotImplementedError

    def signal(self, bars: BarWindow) -> float | None:
        """Return the wanted position in [-1, 1], or None to leave things as they are."""
        raise NotImplementedError

    @property
    def bars_needed(self) -> int:
        return self._bars_wanted

    def __init__(
        self,
        params: Params,
        markets: Sequence[Market],
        holdings: Mapping[str, Holding],
        orders: Mapping[str, WorkingOrders] | None = None,
    ) -> None:
        super().__init__(params, markets, holdings, orders)
        self._bars_wanted = self.window()
        if not 1 <= self._bars_wanted <= MAX_WINDOW:
            raise InvariantError(f"strategy {self.kind}: window() must be 1 to {MAX_WINDOW}, not {self._bars_wanted}")
        self._bars = BarWindow(self._bars_wanted)

    def on_bar(self, market: Market, bar: Bar) -> Proposals:
        self._bars.append(bar)
        if not self._bars.full:
            return None
        wanted = self.signal(self._bars)
        if wanted is None or wanted != wanted:  # NaN is no opinion
            return None
        return self._towards(market, float(wanted))

    def _towards(self, market: Market, wanted: float) -> Proposals:
        holding = self.holding(market)
        features = (("signal", wanted),)
        if not holding.is_flat:
            held = 1.0 if holding.qty > 0 else -1.0
            return leave(holding, "signal_left", features) if wanted * held <= 0.0 else None
        if wanted == 0.0 or (wanted < 0.0 and not market.can_short):
            return None
        strength = min(ONE, max(_STRENGTH_STEP, Decimal(abs(wanted)).quantize(_STRENGTH_STEP)))
        return enter(Side.BUY if wanted > 0.0 else Side.SELL, "signal", strength, features)


StrategyT = TypeVar("StrategyT", bound=type[Strategy])


def strategy(name: str) -> Callable[[StrategyT], StrategyT]:
    """Register a strategy class under a name; configuration and command line use it as `kind`."""

    def register(cls: StrategyT) -> StrategyT:
        cls.kind = name
        return cls

    return register


def protection_of(params: Params) -> ProtectionPlan:
    """Return the plan that every entry of these parameters carries."""
    return ProtectionPlan(params.stop_loss_fraction, params.take_profit_fraction)
