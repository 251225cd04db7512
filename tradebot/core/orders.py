"""Orders: terms, status, events and the one transition table that execd, docs and tests read.

An order is described by `OrderTerms`, immutable and exact: what riskd approves is byte for byte what the gateway sends.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from decimal import Decimal
from typing import Final

from tradebot.core.errors import InvariantError
from tradebot.core.values import value
from tradebot.core.wire_enum import WireEnum


class Side(WireEnum):
    """Direction of an order (FIX 54)."""

    BUY = 1
    SELL = 2

    sign: int
    """+1 for BUY, -1 for SELL."""

    def __init__(self, wire: int) -> None:
        super().__init__(wire)
        self.sign = 1 if wire == 1 else -1

    @property
    def opposite(self) -> Side:
        """The other side."""
        return Side.SELL if self is Side.BUY else Side.BUY


class OrderType(WireEnum):
    """Order type (FIX 40). Values are wire values of the proto enum."""

    LIMIT = 1
    MARKET = 2
    STOP = 3
    """Market order once the stop price trades."""
    STOP_LIMIT = 4
    """Limit order once the stop price trades."""
    TAKE_PROFIT = 5
    TAKE_PROFIT_LIMIT = 6


class TimeInForce(WireEnum):
    """How long an order may rest (FIX 59)."""

    GTC = 1
    IOC = 2
    FOK = 3
    GTD = 4
    """Good till date: the venue's clock ends it at `expire_time_ns`."""


RESTING_TIMES: Final = frozenset({TimeInForce.GTC, TimeInForce.GTD})
"""Times in force with which an order may stay at the venue."""


class OrderStatus(WireEnum):
    """Where an order stands (FIX 39, plus UNKNOWN: sent, outcome not proven)."""

    PENDING_NEW = 1
    NEW = 2
    PARTIALLY_FILLED = 3
    FILLED = 4
    PENDING_CANCEL = 5
    CANCELED = 6
    REJECTED = 7
    EXPIRED = 8
    UNKNOWN = 9

    is_terminal: bool
    """True when nothing but a late fill can still happen. An attribute: it is read some forty times per order."""

    def __init__(self, wire: int) -> None:
        super().__init__(wire)
        self.is_terminal = wire in (4, 6, 7, 8)


TERMINAL_STATUSES: Final = frozenset(
    {OrderStatus.FILLED, OrderStatus.CANCELED, OrderStatus.REJECTED, OrderStatus.EXPIRED}
)


class OrderEventKind(WireEnum):
    """What happened to an order. Values are wire values of the proto enum."""

    ASKED = 1
    """Journaled, waiting for riskd: nothing has been sent."""
    REFUSED = 2
    """riskd said no or did not answer in time; never sent."""
    SENT = 3
    """Written to the venue socket."""
    ACCEPTED = 4
    """The venue confirms the order rests or was taken by the engine."""
    REJECTED = 5
    """The venue proves it did not take the order."""
    FILL = 6
    """One execution; more may follow."""
    FILL_COMPLETE = 7
    """The execution that makes leaves_qty zero."""
    CANCEL_SENT = 8
    CANCELED = 9
    CANCEL_REJECTED = 10
    """The venue refused the cancel; the order's state is queried."""
    EXPIRED = 11
    """IOC/FOK remainder, or ended by the venue."""
    OUTCOME_UNKNOWN = 12
    """Time-out, socket loss or an answer that proves nothing."""
    PROVEN_ABSENT = 13
    """An UNKNOWN order shown never to have reached the venue."""
    RECOVERED = 14
    """Found at the venue by its client order id after a crash, an unknown outcome, or an end that was none."""


_S, _K = OrderStatus, OrderEventKind
_LIVE: Final = (_S.PENDING_NEW, _S.NEW, _S.PARTIALLY_FILLED, _S.PENDING_CANCEL, _S.UNKNOWN)

ORDER_TRANSITIONS: Final[dict[tuple[OrderStatus, OrderEventKind], OrderStatus]] = {
    (_S.PENDING_NEW, _K.ASKED): _S.PENDING_NEW,
    (_S.PENDING_NEW, _K.REFUSED): _S.REJECTED,
    (_S.PENDING_NEW, _K.SENT): _S.PENDING_NEW,
    (_S.PENDING_NEW, _K.ACCEPTED): _S.NEW,
    (_S.UNKNOWN, _K.ACCEPTED): _S.NEW,
    (_S.NEW, _K.ACCEPTED): _S.NEW,  # answer and user stream both confirm
    (_S.PARTIALLY_FILLED, _K.ACCEPTED): _S.PARTIALLY_FILLED,  # the fill event overtook the answer
    (_S.PENDING_CANCEL, _K.ACCEPTED): _S.PENDING_CANCEL,
    (_S.UNKNOWN, _K.RECOVERED): _S.NEW,
    (_S.PENDING_NEW, _K.RECOVERED): _S.NEW,
    (_S.PENDING_NEW, _K.REJECTED): _S.REJECTED,
    (_S.UNKNOWN, _K.REJECTED): _S.REJECTED,
    (_S.UNKNOWN, _K.PROVEN_ABSENT): _S.REJECTED,
    (_S.PENDING_NEW, _K.PROVEN_ABSENT): _S.REJECTED,
    (_S.NEW, _K.CANCEL_SENT): _S.PENDING_CANCEL,
    (_S.PARTIALLY_FILLED, _K.CANCEL_SENT): _S.PENDING_CANCEL,
    (_S.PENDING_CANCEL, _K.CANCEL_SENT): _S.PENDING_CANCEL,
    (_S.PENDING_NEW, _K.CANCEL_SENT): _S.PENDING_NEW,  # a cancel may race the acknowledgement
    (_S.UNKNOWN, _K.CANCEL_SENT): _S.UNKNOWN,
    (_S.PENDING_CANCEL, _K.CANCEL_REJECTED): _S.UNKNOWN,  # usually just filled: query, do not guess
    (_S.PENDING_NEW, _K.CANCEL_REJECTED): _S.UNKNOWN,
    (_S.UNKNOWN, _K.CANCEL_REJECTED): _S.UNKNOWN,
    (_S.NEW, _K.CANCEL_REJECTED): _S.UNKNOWN,
    (_S.PARTIALLY_FILLED, _K.CANCEL_REJECTED): _S.UNKNOWN,
    **{(s, _K.FILL): _S.PARTIALLY_FILLED for s in (_S.PENDING_NEW, _S.NEW, _S.PARTIALLY_FILLED, _S.UNKNOWN)},
    (_S.PENDING_CANCEL, _K.FILL): _S.PENDING_CANCEL,  # the cancel is still on its way
    **{(s, _K.FILL_COMPLETE): _S.FILLED for s in _LIVE},
    **{(s, _K.CANCELED): _S.CANCELED for s in _LIVE},
    **{(s, _K.EXPIRED): _S.EXPIRED for s in _LIVE},
    **{(s, _K.OUTCOME_UNKNOWN): _S.UNKNOWN for s in _LIVE},
    # Ugly but real edges: a late fill books quantity and never reopens a terminal order ...
    (_S.CANCELED, _K.FILL): _S.CANCELED,
    (_S.EXPIRED, _K.FILL): _S.EXPIRED,
    (_S.CANCELED, _K.FILL_COMPLETE): _S.FILLED,
    (_S.EXPIRED, _K.FILL_COMPLETE): _S.FILLED,
    # ... a reject that turns out to be wrong (our proof failed) is a venue halt, but the fill is booked ...
    (_S.REJECTED, _K.FILL): _S.PARTIALLY_FILLED,
    (_S.REJECTED, _K.FILL_COMPLETE): _S.FILLED,
    # ... and so is every end that the venue takes back: what it works counts again until it is canceled ...
    **{(s, _K.RECOVERED): _S.NEW for s in (_S.CANCELED, _S.REJECTED, _S.EXPIRED)},
    # ... and late or repeated acknowledgements change nothing.
    **{(s, k): s for s in TERMINAL_STATUSES for k in (_K.ACCEPTED, _K.CANCEL_REJECTED, _K.OUTCOME_UNKNOWN, _K.SENT)},
    **{(s, k): s for s in (_S.FILLED, _S.CANCELED, _S.EXPIRED) for k in (_K.CANCELED, _K.EXPIRED, _K.CANCEL_SENT)},
    (_S.REJECTED, _K.CANCEL_SENT): _S.REJECTED,
    (_S.REJECTED, _K.REJECTED): _S.REJECTED,
    (_S.REJECTED, _K.PROVEN_ABSENT): _S.REJECTED,
    (_S.REJECTED, _K.REFUSED): _S.REJECTED,
}


def next_status(status: OrderStatus, kind: OrderEventKind) -> OrderStatus:
    """Return the status after an event.

    Raises:
        InvariantError: If the table has no such edge: our bug, or an impossible order of venue events.
    """
    try:
        return ORDER_TRANSITIONS[status, kind]
    except KeyError:
        raise InvariantError(f"order event {kind.name} is impossible in status {status.name}") from None


class OrderRole(WireEnum):
    """Why an order exists. Values are wire values of the proto enum."""

    ENTRY = 1
    """May increase exposure."""
    EXIT = 2
    """Reduces exposure; wanted by a strategy or operator."""
    PROTECTION = 3
    """Stop, take-profit or trailing order derived from a protection grant."""
    EMERGENCY_EXIT = 4
    """Closes under a protection grant when the resting stop did not do its work."""
    REDUCE = 5
    """riskd's own auto-close or flatten."""
    LIQUIDATION = 6
    """The venue closed the position because its margin was used up. Never asked for, never sent."""


@value(frozen=True, slots=True)
class OrderTerms:
    """Everything that a venue message says about one order. Two equal terms make the same message."""

    client_order_id: str
    instrument_id: str
    side: Side
    order_type: OrderType
    qty: Decimal
    """Base units or contracts, > 0, on a lot step."""
    price: Decimal | None = None
    """Limit price; None for market types."""
    stop_price: Decimal | None = None
    """Trigger price of stop and take-profit types."""
    time_in_force: TimeInForce = TimeInForce.GTC
    post_only: bool = False
    reduce_only: bool = False
    """Enforced by the venue for perpetuals; by our checks everywhere."""
    expire_time_ns: int = 0
    """When the venue ends it, UTC nanoseconds; set for GTD and for nothing else."""


class Liquidity(WireEnum):
    """Which side of the match we were."""

    MAKER = 1
    TAKER = 2


@value(frozen=True, slots=True)
class Execution:
    """One match of our order. `exec_id` is the venue's trade id, unique per instrument: the key for deduplication."""

    exec_id: str
    client_order_id: str
    instrument_id: str
    side: Side
    qty: Decimal
    price: Decimal
    fee: Decimal
    """Cost > 0, rebate < 0, in fee_asset."""
    fee_asset: str
    liquidity: Liquidity
    event_time_ns: int


@dataclass(slots=True)
class OrderState:
    """Mutable fold of one order's events. `apply` is the only way to change it."""

    terms: OrderTerms
    status: OrderStatus = OrderStatus.PENDING_NEW
    venue_order_id: str = ""
    filled_qty: Decimal = Decimal(0)
    filled_notional: Decimal = Decimal(0)
    """Sum of price x qty over fills, quote asset."""
    exec_ids: set[str] = field(default_factory=set)
    last_reason: str = ""
    updated_ns: int = 0

    @property
    def leaves_qty(self) -> Decimal:
        """Quantity that may still trade: zero when terminal."""
        return Decimal(0) if self.status.is_terminal else max(Decimal(0), self.terms.qty - self.filled_qty)

    @property
    def avg_price(self) -> Decimal:
        """Volume-weighted fill price, 0 without fills."""
        return self.filled_notional / self.filled_qty if self.filled_qty else Decimal(0)

    def apply(self, kind: OrderEventKind, now_ns: int, *, reason: str = "", venue_order_id: str = "") -> None:
        """Move along the transition table; fills go through `apply_fill`."""
        self.status = next_status(self.status, kind)
        self.updated_ns = now_ns
        self.last_reason = reason or self.last_reason
        self.venue_order_id = venue_order_id or self.venue_order_id

    def apply_fill(self, execution: Execution, now_ns: int) -> bool:
        """Book one execution. Return False when its exec_id was already booked.

        Raises:
            InvariantError: If the fills exceed the ordered quantity (PTR-02: halt the instrument, do not guess).
        """
        if execution.exec_id in self.exec_ids:
            return False
        filled = self.filled_qty + execution.qty
        if filled > self.terms.qty:
            raise InvariantError(
                f"order {self.terms.client_order_id}: fills {filled} exceed ordered quantity {self.terms.qty}"
            )
        kind = OrderEventKind.FILL_COMPLETE if filled == self.terms.qty else OrderEventKind.FILL
        self.status = next_status(self.status, kind)
        self.exec_ids.add(execution.exec_id)
        self.filled_qty = filled
        self.filled_notional += execution.qty * execution.price
        self.updated_ns = now_ns
        return True
