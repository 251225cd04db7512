"""The contract every venue folder fulfils, order half: pure translation between private venue frames and core types.

A folder `tradebot/venues/<name>/` has an `EXECUTION` (`OrderVenue`) in its `execution` module. Codecs do no I/O and
see no clock: times are arguments. `parse_order_request` is written against the venue's documentation, not against
the builders: the gateway reads back with it what it is about to send, so a bug in a builder cannot slip through its
own mirror image.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import field
from decimal import Decimal
from enum import Enum
from typing import NamedTuple, Protocol

from tradebot.core.accounts import Balance, LedgerEntry, MarginState, PositionMargin
from tradebot.core.instruments import Instrument
from tradebot.core.orders import Execution, OrderEventKind, OrderStatus, OrderTerms, OrderType, Side, TimeInForce
from tradebot.core.values import value


class RequestOutcome(Enum):
    """What an answer proves about a request. Everything that is not a proof is UNKNOWN."""

    ACCEPTED = "accepted"
    REJECTED = "rejected"
    """Proves that the venue did not do it."""
    UNKNOWN = "unknown"


class RequestKind(Enum):
    """What a request to a private venue connection asks for."""

    PLACE = "place"
    PLACE_OCO = "place_oco"
    CANCEL = "cancel"
    CANCEL_ALL = "cancel_all"
    QUERY = "query"
    LOGIN = "login"
    """Opens the user data stream."""
    TIME = "time"


@value(frozen=True, slots=True)
class VenueCredentials:
    """Keys of one account. Never logged: repr hides the secret."""

    api_key: str
    api_secret: str = field(repr=False)


@value(frozen=True, slots=True)
class ParsedOrderRequest:
    """A placing request read back from its bytes."""

    kind: RequestKind
    api_key: str
    legs: tuple[OrderTerms, ...]
    """One for PLACE; stop and target, in any order, for PLACE_OCO."""
    request_id: str
    deadline_ms: int
    """The venue drops the request when it is older than this."""


@value(frozen=True, slots=True)
class VenueOrder:
    """An order as the venue tells it."""

    client_order_id: str
    venue_order_id: str
    instrument_id: str
    """Empty when the symbol is none of ours."""
    venue_symbol: str
    side: Side
    order_type: OrderType
    time_in_force: TimeInForce
    post_only: bool
    qty: Decimal
    price: Decimal | None
    stop_price: Decimal | None
    status: OrderStatus
    filled_qty: Decimal
    event_time_ns: int
    reason: str = ""
    list_id: str = ""
    """The venue's id of the order list (OCO) it belongs to; empty when none."""
    created_time_ns: int = 0
    """When the venue took it; 0 where the row does not tell."""


class VenueReply(NamedTuple):
    """Answer to one request."""

    request_id: str
    outcome: RequestOutcome
    orders: tuple[VenueOrder, ...] = ()
    executions: tuple[Execution, ...] = ()
    reason: str = ""
    """Stable reason code of ours, e.g. INSUFFICIENT_FUNDS, DUPLICATE_CLIENT_ID, ORDER_NOT_FOUND, RATE_LIMITED."""
    detail: str = ""
    """The venue's code and text."""
    retry_after_ms: int = 0
    """Set when nothing but cancels may be sent for so long."""
    used_weight_pct: float = 0.0
    server_time_ns: int = 0


class OrderUpdate(NamedTuple):
    """Private event of one order. `kind` None: nothing that moves its state."""

    order: VenueOrder
    kind: OrderEventKind | None
    execution: Execution | None


class ListUpdate(NamedTuple):
    """Private event of an order list."""

    list_id: str
    client_order_ids: tuple[str, ...]
    done: bool
    """True when no leg of it works any more."""
    rejected: bool
    event_time_ns: int


class BalanceUpdate(NamedTuple):
    """Absolute balances of the assets that changed."""

    balances: tuple[Balance, ...]
    event_time_ns: int


class TransferUpdate(NamedTuple):
    """A deposit, withdrawal or transfer."""

    asset: str
    delta: Decimal
    event_time_ns: int


class StreamEnded(NamedTuple):
    """The user data stream ended or is about to: reconnect now."""

    reason: str


class LedgerUpdate(NamedTuple):
    """The venue moved a balance without a fill or transfer: funding, a charge, an adjustment."""

    entry: LedgerEntry


class MarginUpdate(NamedTuple):
    """The venue's own figures of margin accounts and of the positions in them, flat ones included."""

    accounts: tuple[MarginState, ...]
    positions: tuple[PositionMargin, ...]


class LiquidationUpdate(NamedTuple):
    """The venue closed a position because its margin was used up: an execution of no order of ours."""

    execution: Execution
    """`client_order_id` is empty."""


VenueEvent = (
    VenueReply
    | OrderUpdate
    | ListUpdate
    | BalanceUpdate
    | TransferUpdate
    | LedgerUpdate
    | MarginUpdate
    | LiquidationUpdate
    | StreamEnded
)


class VenueTrade(NamedTuple):
    """One row of the account's trade history; the client order id has to be found by the venue's order id."""

    venue_order_id: str
    execution: Execution
    """`client_order_id` empty when the venue does not tell it."""


class AccountRows(NamedTuple):
    """Balances of an account."""

    balances: tuple[Balance, ...]
    event_time_ns: int


@value(frozen=True, slots=True)
class VenueSnapshot:
    """One complete read of a venue's private side."""

    started_ns: int
    """Before the first request."""
    account: AccountRows
    orders: Sequence[VenueOrder]
    """Working orders and history rows, any order."""
    open_keys: frozenset[tuple[str, str]]
    """(venue symbol, venue order id) of the working ones."""
    trades: Sequence[tuple[str, VenueTrade]]
    """(instrument_id, trade), in venue order per instrument."""


class RestRead(NamedTuple):
    """One private read: method name of the REST library's raw interface and its parameters."""

    method: str
    params: Mapping[str, str | int]
    weight: int


class KeyRights(NamedTuple):
    """What an API key may do."""

    may_read: bool
    may_trade: bool
    may_move_money: bool
    """Withdraw or transfer."""
    address_bound: bool = True
    """Whether it works from named addresses alone."""
    expires_ns: int = 0
    """When its right to trade ends, UTC nanoseconds; 0 = never, or not told."""


class OrderCodec(Protocol):
    """Private frames of one account."""

    venue: str
    carries_reduce_only: bool
    """False: the venue has no such flag, so it is not in the bytes."""
    page_rows: int
    """Rows of a history read at most, oldest first: so many mean that there may be more."""

    def place(self, request_id: str, terms: OrderTerms, timestamp_ms: int) -> bytes:
        """Return the signed request that places one order."""
        ...

    def place_oco(
        self, request_id: str, list_client_id: str, stop: OrderTerms, target: OrderTerms, timestamp_ms: int
    ) -> bytes:
        """Return the signed request that places two orders of which one cancels the other."""
        ...

    def cancel(self, request_id: str, terms: OrderTerms, timestamp_ms: int) -> bytes:
        """Return the signed request that cancels an order by its client id."""
        ...

    def cancel_all(self, request_id: str, instrument_id: str, timestamp_ms: int) -> bytes:
        """Return the signed request that cancels every order of one instrument."""
        ...

    def query(self, request_id: str, instrument_id: str, client_order_id: str, timestamp_ms: int) -> bytes:
        """Return the signed request that asks for one order by client id."""
        ...

    def login(self, request_id: str, timestamp_ms: int) -> bytes:
        """Return the signed request that opens the user data stream."""
        ...

    def time(self, request_id: str) -> bytes:
        """Return the request for the venue's clock."""
        ...

    def parse_order_request(self, data: bytes) -> ParsedOrderRequest:
        """Read back a placing request, independent of the builders.

        Raises:
            VenueProtocolError: If it is anything else, or holds a parameter that is not understood.
        """
        ...

    def decode(self, data: bytes) -> VenueEvent | None:
        """Return the event in a frame; None for what does not concern orders.

        Raises:
            VenueProtocolError: If the frame breaks the venue's documentation.
        """
        ...

    def account_read(self) -> RestRead:
        """Ask for all balances."""
        ...

    def open_orders_read(self, instrument_id: str) -> RestRead:
        """Ask for the working orders of one instrument."""
        ...

    def order_history_read(self, instrument_id: str, start_time_ms: int) -> RestRead:
        """Ask for orders of one instrument since a time."""
        ...

    def trades_read(self, instrument_id: str, start_time_ms: int = 0, venue_order_id: str = "") -> RestRead:
        """Ask for our trades in one instrument, since a time or of one order."""
        ...

    def decode_account(self, body: object) -> AccountRows:
        """Read the answer to `account_read`."""
        ...

    def decode_orders(self, body: object) -> list[VenueOrder]:
        """Read the answer to `open_orders_read` or `order_history_read`."""
        ...

    def decode_trades(self, instrument_id: str, body: object) -> list[VenueTrade]:
        """Read the answer to `trades_read`."""
        ...


class OrderVenue(Protocol):
    """Orders of one venue: everything a shell needs to trade there."""

    name: str
    rest_library_id: str
    """Class of the REST library that does the reads."""
    server_ping_s: float
    """The venue pings at least so often; silence of twice that means a dead connection."""

    def codec(
        self, credentials: VenueCredentials, instruments: Sequence[Instrument], recv_window_ms: int
    ) -> OrderCodec:
        """Return a codec for one account and these instruments."""
        ...

    def instruments_read(self, symbols: Sequence[str]) -> RestRead:
        """Ask for the trading rules of these venue symbols; the market data half decodes the answer."""
        ...

    def rights_read(self) -> RestRead:
        """Ask what the key may do."""
        ...

    def decode_rights(self, body: object) -> KeyRights:
        """Read the answer to `rights_read`; a right that it does not mention counts as given."""
        ...

    def status_read(self) -> RestRead:
        """Ask whether the venue works."""
        ...

    def decode_status(self, body: object) -> bool:
        """Read the answer to `status_read`: whether it is under maintenance."""
        ...

    def rest_config(self, rest_url: str, credentials: VenueCredentials) -> dict[str, object]:
        """Return the REST library's construction arguments, every URL of it on the configured host."""
        ...
