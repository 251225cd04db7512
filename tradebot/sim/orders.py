"""What the simulator is asked and what it answers: order requests, live orders, typed events.

Amounts are integers: prices in ticks, quantities in lots, values in Money (see `tradebot.core.amounts`). Events carry
copies of what changed, so they stay true when they are read later than they happened.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum
from typing import Final

from tradebot.core.accounts import LedgerKind
from tradebot.core.orders import Liquidity, OrderStatus, OrderType, Side, TimeInForce
from tradebot.core.values import value
from tradebot.core.wire_enum import WireEnum

NO_LIST: Final = -1
"""`list_id` of an order outside any order list."""


class SelfTradePrevention(WireEnum):
    """What ends when an order would trade with another order of its own account. The taker decides."""

    NONE = 0
    EXPIRE_TAKER = 1
    EXPIRE_MAKER = 2
    EXPIRE_BOTH = 3


class RejectReason(Enum):
    """Why an order, list or cancel was refused. Nothing changed."""

    PRICE_FILTER = "price_filter"
    """Price off the tick grid or outside the absolute limits."""
    PERCENT_PRICE = "percent_price"
    """Price too far from the last price."""
    LOT_SIZE = "lot_size"
    MARKET_LOT_SIZE = "market_lot_size"
    NOTIONAL = "notional"
    """Price x quantity below the minimum or above the maximum."""
    MAX_NUM_ORDERS = "max_num_orders"
    MAX_NUM_ALGO_ORDERS = "max_num_algo_orders"
    INSUFFICIENT_BALANCE = "insufficient_balance"
    WOULD_MATCH = "would_match"
    """A post-only order would take liquidity."""
    STOP_WOULD_TRIGGER = "stop_would_trigger"
    DUPLICATE_CLIENT_ORDER_ID = "duplicate_client_order_id"
    LIST_PRICES = "list_prices"
    """The prices of the two legs of an OCO do not enclose the last price."""
    MARKET_CLOSED = "market_closed"
    NO_REFERENCE_PRICE = "no_reference_price"
    """Nothing has traded yet, so a trigger or a market order cannot be judged."""
    EXPIRED = "expired"
    """It came when its time was over."""
    NOTHING_TO_REDUCE = "nothing_to_reduce"
    """A reduce-only order without a position against it."""
    UNKNOWN_ORDER = "unknown_order"
    CANCEL_RESTRICTION = "cancel_restriction"


class EndReason(Enum):
    """Why an order ended without being filled completely."""

    NONE = ""
    USER = "user"
    """Canceled on request."""
    TIME_IN_FORCE = "time_in_force"
    """Remainder of IOC, FOK or MARKET; GTD whose time has come."""
    LIST = "list"
    """The other leg of its list was hit or canceled."""
    SELF_TRADE = "self_trade"
    FUNDS = "funds"
    """A triggered market stop could not be paid for."""
    REDUCED = "reduced"
    """Rest of a reduce-only order: the position is smaller than it."""
    LIQUIDATION = "liquidation"
    """The venue closes the account's positions."""
    VENUE = "venue"
    """Ended by the venue itself, e.g. a gap in the feed that feeds a paper market."""


@value(frozen=True, slots=True)
class NewOrder:
    """One order request, complete and immutable."""

    account: str
    client_order_id: str
    """Unique among the account's open orders."""
    instrument: int
    """Index in the engine's list of markets."""
    side: Side
    order_type: OrderType
    lots: int
    """Quantity; 0 only for a MARKET order sized by `quote_money`."""
    price: int = 0
    """Limit price in ticks; 0 for market types."""
    stop_price: int = 0
    """Trigger price in ticks; 0 for types without a trigger."""
    time_in_force: TimeInForce = TimeInForce.GTC
    post_only: bool = False
    quote_money: int = 0
    """MARKET only: spend or receive about this much quote, in Money."""
    self_trade_prevention: SelfTradePrevention = SelfTradePrevention.EXPIRE_MAKER
    reduce_only: bool = False
    """Perpetuals only: trades no more than the position that it reduces."""
    expires_ns: int = 0
    """When the venue ends it, for GTD; 0 = never."""

    @property
    def has_trigger(self) -> bool:
        """True for stop and take-profit types, which wait off the book."""
        return self.order_type in TRIGGER_TYPES

    @property
    def has_limit(self) -> bool:
        """True when `price` bounds the fill."""
        return self.order_type in LIMIT_TYPES


TRIGGER_TYPES: Final = frozenset(
    {OrderType.STOP, OrderType.STOP_LIMIT, OrderType.TAKE_PROFIT, OrderType.TAKE_PROFIT_LIMIT}
)
LIMIT_TYPES: Final = frozenset({OrderType.LIMIT, OrderType.STOP_LIMIT, OrderType.TAKE_PROFIT_LIMIT})


@dataclass(slots=True, eq=False)
class FundsLock:
    """Money set aside for one order, or for all legs of one list together."""

    asset: str
    amount: int = 0
    """Money, >= 0."""


@dataclass(slots=True, eq=False)
class SimOrder:
    """A live or past order inside the simulator. Only the engine writes it."""

    terms: NewOrder
    order_id: int
    list_id: int
    created_ns: int
    lots: int
    """Ordered quantity; of an order sized by quote, what the funds bought."""
    lock: FundsLock
    status: OrderStatus = OrderStatus.NEW
    filled_lots: int = 0
    filled_money: int = 0
    """Sum of price x quantity over fills, quote Money."""
    working: bool = False
    """On the book (or matched); False while a trigger waits."""
    working_ns: int = 0
    updated_ns: int = 0
    resting: bool = False
    """In the book's queue."""
    queue_ahead: int = 0
    """Background lots that had to trade at this price before us when the order was last reported on."""
    slot: int = -1
    """Its place in the kernels' table of orders while it is open."""
    end_reason: EndReason = EndReason.NONE

    @property
    def leaves_lots(self) -> int:
        """Quantity that may still trade, ignoring status."""
        return self.lots - self.filled_lots


class ListStatus(Enum):
    """Where an order list stands."""

    EXECUTING = 1
    ALL_DONE = 2


@dataclass(slots=True, eq=False)
class SimOrderList:
    """An OCO: two orders that share one lock; the first one hit ends the other."""

    list_id: int
    client_list_id: str
    account: str
    instrument: int
    legs: list[SimOrder]
    created_ns: int
    status: ListStatus = ListStatus.EXECUTING
    updated_ns: int = 0


class ReportKind(WireEnum):
    """What happened to an order."""

    ACCEPTED = 1
    TRIGGERED = 2
    """Its stop price traded; it is now working."""
    TRADE = 3
    CANCELED = 4
    EXPIRED = 5


@value(frozen=True, slots=True)
class Fill:
    """One match of one of our orders."""

    trade_id: int
    """Unique per instrument; the same for both sides when two of our accounts meet."""
    price: int
    """Ticks."""
    lots: int
    fee_asset: str
    fee_money: int
    """Cost > 0, Money of fee_asset, taken from what was received."""
    liquidity: Liquidity


@value(frozen=True, slots=True)
class OrderReport:
    """One event of one order, with the order's state right after it."""

    kind: ReportKind
    terms: NewOrder
    order_id: int
    list_id: int
    exec_id: int
    """Rises by one with every report of the engine."""
    status: OrderStatus
    lots: int
    filled_lots: int
    filled_money: int
    working: bool
    created_ns: int
    working_ns: int
    time_ns: int
    fill: Fill | None = None
    end_reason: EndReason = EndReason.NONE
    cancel_client_order_id: str = ""
    """The cancel request's own id, when it was canceled on request."""


@value(frozen=True, slots=True)
class ListReport:
    """An order list started or ended."""

    list_id: int
    client_list_id: str
    account: str
    instrument: int
    status: ListStatus
    legs: tuple[tuple[int, str], ...]
    """(order_id, client_order_id) of each leg."""
    time_ns: int


@value(frozen=True, slots=True)
class AssetBalance:
    """One asset of one account, Money."""

    asset: str
    free: int
    locked: int


@value(frozen=True, slots=True)
class BalanceReport:
    """Absolute balances of the assets that changed."""

    account: str
    balances: tuple[AssetBalance, ...]
    time_ns: int


@value(frozen=True, slots=True)
class TapeTrade:
    """A public trade made inside the simulator (a live market only; a recorded tape prints itself)."""

    instrument: int
    trade_id: int
    price: int
    lots: int
    aggressor: Side
    time_ns: int


@value(frozen=True, slots=True)
class LedgerReport:
    """The wallet of perpetuals moved without a fill."""

    account: str
    entry_id: int
    """Rises by one with every entry."""
    kind: LedgerKind
    asset: str
    money: int
    """Received > 0."""
    instrument: int
    """-1 for the account as a whole."""
    rate: int
    """Of a funding, 1e-8."""
    mark_price: int
    """At that time, 1e-8; 0 before the first."""
    time_ns: int


@value(frozen=True, slots=True)
class LiquidationReport:
    """The venue closed a position because its margin was used up. No order of ours did it."""

    account: str
    instrument: int
    side: Side
    """Of the closing trade."""
    lots: int
    price: int
    """Ticks."""
    trade_id: int
    fee_money: int
    fee_asset: str
    time_ns: int


SimEvent = OrderReport | ListReport | BalanceReport | TapeTrade | LedgerReport | LiquidationReport


@value(frozen=True, slots=True)
class Rejection:
    """A refused request. Nothing changed."""

    reason: RejectReason
    text: str = ""


@dataclass(slots=True)
class Outcome:
    """What one request did."""

    order: SimOrder | None = None
    """The order placed or canceled."""
    order_list: SimOrderList | None = None
    rejection: Rejection | None = None
    events: list[SimEvent] = field(default_factory=list)
    """In the order in which they happened."""
