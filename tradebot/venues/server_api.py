"""What a venue's server half needs from the simulated venue behind it, in core types and structural views.

A server half (`venues/<name>/server_*.py`) only translates: requests into calls of `VenueBackend`, its answers and
events into the venue's own frames. It imports nothing of the client half and nothing of the simulator: the views below
are satisfied by the simulator's own objects, so nothing is copied on the way.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, NamedTuple, Protocol

from tradebot.core.instruments import Instrument
from tradebot.core.orders import Liquidity, OrderStatus, OrderType, Side, TimeInForce
from tradebot.core.values import value


class _Valued(Protocol):
    """An enum member with a text value."""

    @property
    def value(self) -> str: ...


class _Named(Protocol):
    """An enum member known by its name."""

    @property
    def name(self) -> str: ...


class RulesView(Protocol):
    """Trading rules of one symbol."""

    @property
    def instrument(self) -> Instrument: ...
    @property
    def min_price(self) -> Decimal: ...
    @property
    def max_price(self) -> Decimal: ...
    @property
    def price_multiplier_up(self) -> Decimal: ...
    @property
    def price_multiplier_down(self) -> Decimal: ...
    @property
    def max_num_orders(self) -> int: ...
    @property
    def max_num_algo_orders(self) -> int: ...
    @property
    def money_per_tick_lot(self) -> int: ...
    @property
    def money_per_lot(self) -> int: ...


@value(frozen=True, slots=True)
class OrderRequest:
    """One order as a client asked for it, in ticks and lots."""

    account: str
    client_order_id: str
    instrument: int
    """Index of the symbol."""
    side: Side
    order_type: OrderType
    lots: int
    price: int = 0
    stop_price: int = 0
    time_in_force: TimeInForce = TimeInForce.GTC
    post_only: bool = False
    quote_money: int = 0
    """Market orders sized in quote asset, Money."""
    self_trade_prevention: str = "EXPIRE_MAKER"
    """Name of the mode: NONE, EXPIRE_TAKER, EXPIRE_MAKER or EXPIRE_BOTH."""


class TermsView(Protocol):
    """The immutable part of an order."""

    @property
    def account(self) -> str: ...
    @property
    def client_order_id(self) -> str: ...
    @property
    def instrument(self) -> int: ...
    @property
    def side(self) -> Side: ...
    @property
    def order_type(self) -> OrderType: ...
    @property
    def lots(self) -> int: ...
    @property
    def price(self) -> int: ...
    @property
    def stop_price(self) -> int: ...
    @property
    def time_in_force(self) -> TimeInForce: ...
    @property
    def post_only(self) -> bool: ...
    @property
    def quote_money(self) -> int: ...
    @property
    def self_trade_prevention(self) -> _Named: ...


class OrderFacts(Protocol):
    """What both an order and an event about it say."""

    @property
    def terms(self) -> TermsView: ...
    @property
    def order_id(self) -> int: ...
    @property
    def list_id(self) -> int:
        """-1 outside a list."""
        ...

    @property
    def status(self) -> OrderStatus: ...
    @property
    def lots(self) -> int: ...
    @property
    def filled_lots(self) -> int: ...
    @property
    def filled_money(self) -> int:
        """Quote Money."""
        ...

    @property
    def working(self) -> bool: ...
    @property
    def created_ns(self) -> int: ...
    @property
    def working_ns(self) -> int: ...
    @property
    def end_reason(self) -> _Valued:
        """ "" user time_in_force list self_trade funds venue."""
        ...


class OrderView(OrderFacts, Protocol):
    """One order as it stands."""

    @property
    def updated_ns(self) -> int: ...


class FillView(Protocol):
    """One match of one order."""

    @property
    def trade_id(self) -> int: ...
    @property
    def price(self) -> int: ...
    @property
    def lots(self) -> int: ...
    @property
    def fee_asset(self) -> str: ...
    @property
    def fee_money(self) -> int: ...
    @property
    def liquidity(self) -> Liquidity: ...


class OrderReportView(OrderFacts, Protocol):
    """One event of one order."""

    @property
    def kind(self) -> _Named:
        """ACCEPTED TRIGGERED TRADE CANCELED EXPIRED."""
        ...

    @property
    def exec_id(self) -> int: ...
    @property
    def time_ns(self) -> int: ...
    @property
    def fill(self) -> FillView | None: ...
    @property
    def cancel_client_order_id(self) -> str: ...


class ListView(Protocol):
    """An order list as it stands."""

    @property
    def list_id(self) -> int: ...
    @property
    def client_list_id(self) -> str: ...
    @property
    def instrument(self) -> int: ...
    @property
    def status(self) -> _Named:
        """EXECUTING ALL_DONE."""
        ...

    @property
    def legs(self) -> Sequence[OrderView]: ...
    @property
    def created_ns(self) -> int: ...
    @property
    def updated_ns(self) -> int: ...


class ListReportView(Protocol):
    """An order list started or ended."""

    @property
    def list_id(self) -> int: ...
    @property
    def client_list_id(self) -> str: ...
    @property
    def instrument(self) -> int: ...
    @property
    def status(self) -> _Named: ...
    @property
    def legs(self) -> Sequence[tuple[int, str]]: ...
    @property
    def time_ns(self) -> int: ...


class BalanceView(Protocol):
    """One asset of an account, Money."""

    @property
    def asset(self) -> str: ...
    @property
    def free(self) -> int: ...
    @property
    def locked(self) -> int: ...


class BalanceReportView(Protocol):
    """Absolute balances of the assets that changed."""

    @property
    def balances(self) -> Sequence[BalanceView]: ...
    @property
    def time_ns(self) -> int: ...


class CandleView(Protocol):
    """One bar in ticks, lots and tick-lots."""

    @property
    def open_time_ms(self) -> int: ...
    @property
    def interval_ms(self) -> int: ...
    @property
    def open(self) -> int: ...
    @property
    def high(self) -> int: ...
    @property
    def low(self) -> int: ...
    @property
    def close(self) -> int: ...
    @property
    def lots(self) -> int: ...
    @property
    def tick_lots(self) -> int: ...
    @property
    def trades(self) -> int: ...
    @property
    def taker_buy_lots(self) -> int: ...
    @property
    def taker_buy_tick_lots(self) -> int: ...
    @property
    def first_trade_id(self) -> int: ...
    @property
    def last_trade_id(self) -> int: ...


@dataclass(frozen=True, slots=True)
class PublicTrade:
    """One trade of the tape."""

    trade_id: int
    price: int
    lots: int
    buyer_is_maker: bool
    time_ms: int


@value(frozen=True, slots=True)
class AccountTrade:
    """One fill of an account, as its trade history keeps it."""

    instrument: int
    order_id: int
    list_id: int
    side: Side
    fill: FillView
    time_ns: int


@dataclass(frozen=True, slots=True)
class Depth:
    """The published book: levels (ticks, lots) best first, as of update `last_update_id`."""

    last_update_id: int
    bids: Sequence[tuple[int, int]]
    asks: Sequence[tuple[int, int]]


@dataclass(frozen=True, slots=True)
class Touch:
    """Best bid and ask; price 0 = side empty."""

    update_id: int
    bid: int
    bid_lots: int
    ask: int
    ask_lots: int


@value(frozen=True, slots=True)
class Done:
    """What a request to the backend did. `reason` names the refusal ("" = done); the views say the result."""

    reason: str = ""
    order: OrderView | None = None
    order_list: ListView | None = None
    fills: Sequence[FillView] = ()


@dataclass(frozen=True, slots=True)
class FeeBps:
    """Fee rates of an account in basis points."""

    maker: Decimal
    taker: Decimal


class VenueBackend(Protocol):
    """The simulated venue. Every call happens at one instant `now_ns`; events go out by themselves."""

    @property
    def symbols(self) -> Sequence[RulesView]: ...
    @property
    def fees(self) -> FeeBps: ...

    # orders
    def place(self, request: OrderRequest, now_ns: int) -> Done: ...
    def check(self, request: OrderRequest) -> str:
        """Return why the order would be refused, "" when it would be taken."""
        ...

    def place_oco(self, limit_leg: OrderRequest, stop_leg: OrderRequest, client_list_id: str, now_ns: int) -> Done: ...
    def cancel(self, account: str, order_id: int, cancel_client_order_id: str, now_ns: int) -> Done: ...
    def find_order(
        self, account: str, instrument: int, order_id: int | None, client_order_id: str
    ) -> OrderView | None: ...
    def open_orders(self, account: str, instrument: int | None) -> Sequence[OrderView]: ...
    def all_orders(self, account: str, instrument: int) -> Sequence[OrderView]: ...
    def order_lists(self, account: str) -> Sequence[ListView]: ...
    def trades_of(self, account: str, instrument: int) -> Sequence[AccountTrade]: ...
    def balances(self, account: str) -> Sequence[BalanceView]: ...

    # market data
    def depth(self, instrument: int, limit: int) -> Depth: ...
    def touch(self, instrument: int) -> Touch: ...
    def candles(
        self, instrument: int, interval_ms: int, start_ms: int, end_ms: int | None, limit: int, now_ns: int
    ) -> Sequence[CandleView]: ...
    def public_trades(self, instrument: int) -> Sequence[PublicTrade]: ...


@dataclass(frozen=True, slots=True)
class HttpRequest:
    """One REST request."""

    method: str
    path: str
    query: str
    """Raw query string, percent-encoded."""
    body: str
    headers: Mapping[str, str]
    """Names in lower case."""
    peer: str
    """Address the limits are counted by."""


@dataclass(frozen=True, slots=True)
class HttpAnswer:
    """One REST answer."""

    status: int
    body: bytes
    headers: Mapping[str, str]
    retry_after_s: int = 0
    action: str = ""
    """Neutral name of what was asked ("place", "cancel", …), for fault switches."""


@dataclass(frozen=True, slots=True)
class ServerLimits:
    """What the simulated venue allows. Defaults are the venue's own figures of 2025-08."""

    weight_per_minute: int = 6_000
    orders_per_10s: int = 100
    orders_per_day: int = 200_000
    raw_per_5m: int = 300_000


class Stream(NamedTuple):
    """One public stream: kind, symbol index and what the kind needs besides."""

    kind: str
    """trade, agg_trade, depth, partial_depth, book_ticker or kline; snapshot only in recordings."""
    instrument: int
    interval_ms: int = 0
    """Pace of depth streams, length of klines; 0 for real time."""
    levels: int = 0
    """Levels per side of a partial depth stream."""


class StreamCodec(Protocol):
    """Names, control frames and payloads of public streams."""

    def parse(self, name: str) -> Stream | None:
        """Return the stream of a name, None when there is no such stream."""
        ...

    def name(self, stream: Stream) -> str:
        """Return the name of a stream."""
        ...

    def combined(self, stream: Stream, payload: str) -> str:
        """Return a payload in the envelope that names its stream."""
        ...

    def depth(
        self,
        stream: Stream,
        event_ms: int,
        first_id: int,
        final_id: int,
        bids: Iterable[tuple[int, int]],
        asks: Iterable[tuple[int, int]],
    ) -> str: ...
    def trade(self, stream: Stream, event_ms: int, one: PublicTrade) -> str: ...
    def book_ticker(self, stream: Stream, touch: Touch) -> str: ...
    def partial_depth(self, stream: Stream, depth: Depth) -> str: ...
    def kline(self, stream: Stream, event_ms: int, bar: CandleView, *, is_closed: bool) -> str: ...
    def control(self, raw: str | bytes, streams: dict[str, Stream]) -> StreamAnswer:
        """Handle one control frame of a connection whose subscriptions are `streams`; changes them."""
        ...

    def connect(self, target: str) -> StreamConnect | None:
        """Return what a connection to a path asks for, None when the path is not a stream endpoint."""
        ...


@dataclass(frozen=True, slots=True)
class StreamAnswer:
    """Answer to a control frame and the new subscription state."""

    reply: bytes
    is_combined: bool | None = None
    """Set when the client switched the envelope on or off."""


@dataclass(frozen=True, slots=True)
class StreamConnect:
    """What the path of a new connection says."""

    is_combined: bool
    streams: dict[str, Stream]
    is_trade_api: bool = False
    """This path is the request API, not a stream."""


class SessionView(Protocol):
    """One connection of the request API."""

    @property
    def subscriptions(self) -> dict[int, str]:
        """Subscription id -> account whose events it gets."""
        ...

    @property
    def notices(self) -> list[bytes]:
        """Frames for this connection besides answers; the shell sends and clears them."""
        ...


class RequestView(Protocol):
    """One decoded request of the request API."""

    status: int
    """Of its answer, 0 before there is one."""

    @property
    def action(self) -> str: ...
    @property
    def endpoint(self) -> str:
        """Name of what is asked for, the same over REST; "unknown" when there is no such thing."""
        ...


class RecordedFrame(NamedTuple):
    """One line of a recording, understood."""

    stream: Stream
    """Kinds trade, depth, book_ticker, and snapshot for a REST answer."""
    payload: str
    """The frame's payload as recorded; `shift` moves its times."""
    event_ms: int
    """0 when it carries no time."""
    first_id: int
    final_id: int
    bids: Sequence[tuple[int, int]]
    asks: Sequence[tuple[int, int]]
    trade: PublicTrade | None


class RecordingCodec(Protocol):
    """Reads recorded frames of this venue back, for replay."""

    def read(self, raw: bytes) -> RecordedFrame | None:
        """Return a frame, None for symbols or streams that are not served."""
        ...

    def shift(self, frame: RecordedFrame, shift_ms: int) -> str:
        """Return the payload with its times moved; everything else stays byte for byte."""
        ...


class VenueServer(Protocol):
    """One venue's whole server half."""

    @property
    def streams(self) -> StreamCodec: ...
    @property
    def recordings(self) -> RecordingCodec: ...
    def rest_action(self, method: str, path: str) -> str:
        """Return the neutral name of a request: place, cancel, cancel_all, read."""
        ...

    def rest_endpoint(self, method: str, path: str) -> str:
        """Return the name of what is asked for; "unknown" when there is no such thing."""
        ...

    def rest(self, request: HttpRequest, now_ns: int) -> HttpAnswer: ...
    def rest_fault(self, fault: str, request: HttpRequest, retry_after_s: int, now_ns: int) -> HttpAnswer: ...
    def session(self, peer: str, now_ns: int) -> SessionView: ...
    def prepare(self, raw: str | bytes) -> RequestView: ...
    def perform(self, session: Any, call: Any, now_ns: int) -> bytes: ...
    def fault(self, fault: str, session: Any, call: Any, retry_after_s: int, now_ns: int) -> bytes: ...
    def order_event(self, report: OrderReportView, now_ns: int) -> bytes: ...
    def list_event(self, report: ListReportView, now_ns: int) -> bytes: ...
    def balance_event(self, report: BalanceReportView, now_ns: int) -> bytes: ...
    def transfer_event(self, asset: str, delta_money: int, now_ns: int) -> bytes: ...
    def user_frame(self, subscription_id: int, event: bytes) -> bytes:
        """Return an account event addressed to one subscription."""
        ...

    def shutdown_frame(self, now_ns: int) -> bytes:
        """Return the frame that announces a planned end of the request API connection."""
        ...


class VenueServerFactory(Protocol):
    """`SERVER` of a venue's `server_protocol` module."""

    def __call__(
        self,
        backend: VenueBackend,
        keys: Mapping[str, tuple[str, str]],
        limits: ServerLimits,
        read_only: frozenset[str] = frozenset(),
    ) -> VenueServer:
        """Build the server half. `keys`: API key -> (account, secret); those in `read_only` may change nothing."""
        ...
