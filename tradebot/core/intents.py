"""Order intents: what a strategy or an operator wants. Not approved, not at any venue."""

from __future__ import annotations

from dataclasses import field
from decimal import Decimal

from tradebot.core.orders import OrderRole, OrderType, Side, TimeInForce
from tradebot.core.values import value
from tradebot.core.wire_enum import WireEnum


class Algo(WireEnum):
    """How an intent is worked. Values are wire values of the proto enum."""

    PLAIN = 1
    TWAP = 2
    VWAP = 3
    POV = 4


@value(frozen=True, slots=True)
class SignalContext:
    """What the strategy saw when it decided. Times are UTC nanoseconds; 0 = not known."""

    signal: str = ""
    score: Decimal = Decimal(0)
    market_incarnation: str = ""
    market_sequence: int = 0
    """Last row of the market data stream that it had seen."""
    market_event_time_ns: int = 0
    market_sent_time_ns: int = 0
    market_receive_time_ns: int = 0
    features: tuple[tuple[str, float], ...] = ()
    """Named feature values, for people and statistics."""


@value(frozen=True, slots=True)
class ProtectionPlan:
    """How an entry is protected; distances are fractions of the entry's average fill price."""

    stop_loss_fraction: Decimal | None = None
    take_profit_fraction: Decimal | None = None


@value(frozen=True, slots=True)
class OrderIntent:
    """What somebody wants done. `intent_id` makes it safe to repeat."""

    intent_id: str
    strategy_id: str
    incarnation: str
    """Random id of one run of the sender."""
    intent_sequence: int
    """Rises by one per intent of (strategy_id, incarnation), from 1."""
    instrument_id: str
    side: Side
    role: OrderRole
    order_type: OrderType
    time_in_force: TimeInForce
    created_time_ns: int
    qty: Decimal | None = None
    """None: riskd sizes an entry by `strength`; an exit closes the whole position of the strategy."""
    strength: Decimal = Decimal(1)
    limit_price: Decimal | None = None
    """None for MARKET, which becomes a limit IOC within the configured bound."""
    post_only: bool = False
    algo: Algo = Algo.PLAIN
    protection: ProtectionPlan = field(default_factory=ProtectionPlan)
    context: SignalContext = field(default_factory=SignalContext)
    time_to_live_ms: int = 0
    """0 = riskd's default."""
    trace_id: str = ""
    expire_time_ns: int = 0
    """When the venue ends the order, UTC nanoseconds; set for GTD and for nothing else."""
    expected_edge: Decimal | None = None
    """Gain that the sender expects of the round trip before costs, as a fraction of the price; None = no estimate."""


@value(frozen=True, slots=True)
class CancelWish:
    """A strategy wants an order of its own off the book. execd decides; protection is not taken away."""

    strategy_id: str
    intent_id: str
    """Intent that the order was made from."""
    client_order_id: str


Wish = OrderIntent | CancelWish
"""What a strategy can want."""


class IntentStatus(WireEnum):
    """Where an intent stands after execd took it. Values are wire values of the proto enum."""

    ACCEPTED = 1
    REFUSED = 2
    DUPLICATE = 3


@value(frozen=True, slots=True)
class IntentAnswer:
    """execd's answer to an intent."""

    intent_id: str
    status: IntentStatus
    check_id: str = ""
    reason: str = ""
    detail: str = ""
    client_order_id: str = ""
