"""The contract every venue folder fulfils, market data half: pure translation between venue frames and core types.

A folder `tradebot/venues/<name>/` has a `SPEC` (`VenueSpec`) in its `__init__` and a `MARKET_DATA` (`MarketDataVenue`)
in its `marketdata` module. Codecs never do I/O and never see a clock: the shells hand them bytes and do what the
returned requests say. Prices and quantities leave a codec as integer ticks and lots, exactly or not at all.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import field
from enum import Enum
from typing import NamedTuple, Protocol

from tradebot.core.errors import VenueProtocolError
from tradebot.core.instruments import Instrument, Product
from tradebot.core.market import HistoryBar
from tradebot.core.values import value


class FrameError(VenueProtocolError):
    """A frame that breaks the venue's documentation. `instrument` is the index it was about, None when unknown."""

    def __init__(self, text: str, instrument: int | None = None) -> None:
        super().__init__(text)
        self.instrument = instrument


class Feed(Enum):
    """What can be subscribed per instrument."""

    TRADES = "trades"
    BOOK = "book"
    """Diffs of the full book."""
    BBO = "bbo"
    """Best bid and offer as the venue publishes it."""
    BARS = "bars"


class BookSeed(Enum):
    """Where the first full book comes from."""

    REST = "rest"
    """We ask for it over HTTP after the stream has started."""
    STREAM = "stream"
    """The venue sends it on the stream."""


class TradeEvent(NamedTuple):
    """One public match."""

    instrument: int
    """Index given to the codec."""
    aggressor: int
    """BUY_FLAG or SELL_FLAG: who took."""
    price: int
    """Ticks."""
    qty: int
    """Lots, > 0."""
    trade_id: int
    event_time_ns: int


class BookDelta(NamedTuple):
    """Absolute quantities of changed levels. Covers update ids first_id..last_id; contiguous with the one before when
    its first_id is that one's last_id + 1 (codecs of venues with another rule translate theirs to this one).
    """

    instrument: int
    first_id: int
    last_id: int
    event_time_ns: int
    bids: list[tuple[int, int]]
    """(ticks, lots); lots 0 = level gone."""
    asks: list[tuple[int, int]]


class BookSnapshot(NamedTuple):
    """A full book as it was after update `last_id`."""

    instrument: int
    last_id: int
    event_time_ns: int
    """0 when the venue gives none."""
    bids: list[tuple[int, int]]
    """(ticks, lots), lots > 0."""
    asks: list[tuple[int, int]]


class BboEvent(NamedTuple):
    """Best bid and offer after update `update_id`; price and qty 0 for an empty side."""

    instrument: int
    update_id: int
    bid_price: int
    bid_qty: int
    ask_price: int
    ask_qty: int
    event_time_ns: int
    """0 when the venue gives none."""


class BarEvent(NamedTuple):
    """A bar as the venue computes it."""

    instrument: int
    bar: HistoryBar
    closed: bool


class ControlReply(NamedTuple):
    """The venue's answer to a subscribe or unsubscribe request."""

    request_id: int
    error: str
    """Empty when accepted."""


class PlannedShutdown(NamedTuple):
    """The venue is about to close this connection: reconnect at once."""

    event_time_ns: int


MarketEvent = TradeEvent | BookDelta | BookSnapshot | BboEvent | BarEvent | ControlReply | PlannedShutdown


@value(frozen=True, slots=True)
class RestRequest:
    """One public GET. The shell adds the host, keeps the weight budget and reads the answer."""

    path: str
    params: Mapping[str, str]
    weight: int
    """Units of the venue's request budget."""


@value(frozen=True, slots=True)
class RestLimits:
    """What an answer says about our budget."""

    used_weight: int | None = None
    """Weight used in the running window by the venue's count; None when the answer does not say."""
    retry_after_s: float | None = None
    """Set: send nothing before that many seconds have passed."""
    error: str = ""
    """Not empty: the request failed; one line with the venue's code and text."""


@value(frozen=True, slots=True)
class StreamLimits:
    """Rules of one venue's public streams, with the margins a shell needs. All durations in seconds."""

    max_streams_per_connection: int
    control_messages_per_s: float
    """Inbound messages per connection, pings and pongs included."""
    streams_per_control_message: int
    connects_per_window: int
    connect_window_s: float
    connection_life_s: float
    """We reconnect before the venue cuts."""
    ping_after_s: float
    """Ask for a pong when nothing arrived for so long."""
    dead_after_s: float
    """Reconnect when nothing arrived for so long, pongs included."""


@value(frozen=True, slots=True)
class WeightLimit:
    """The venue's budget of REST requests."""

    weight_per_window: int
    window_s: float


@value(frozen=True, slots=True)
class VenueSpec:
    """What a venue is and can do."""

    name: str
    """Folder name and first part of its instrument ids."""
    products: frozenset[Product]
    feeds: frozenset[Feed]
    book_seed: BookSeed
    max_book_depth: int
    """Levels per side of the deepest snapshot."""
    stream_limits: StreamLimits
    weight_limit: WeightLimit
    bar_intervals_ms: Mapping[int, str]
    """Bar lengths the venue offers, with its own spelling."""
    max_bars: int
    """Bars per history request."""
    endpoints: Mapping[str, str] = field(default_factory=dict)
    """Documented hosts by purpose, for configuration files; never used on their own."""


class MarketDataCodec(Protocol):
    """Frames of one set of instruments. Stateless but for caches; one per connection group."""

    def decode(self, frame: bytes) -> MarketEvent | None:
        """Return the event in a text frame; None when it holds nothing we asked for.

        Raises:
            FrameError: Naming stream and field, when the frame breaks the venue's documentation.
        """
        ...

    @property
    def off_step_amounts(self) -> int:
        """Amounts between two steps that were rounded or left out so far: orders from before a change of steps."""
        ...

    def decode_snapshot(self, index: int, body: bytes) -> BookSnapshot:
        """Return the book in the answer to `MarketDataVenue.snapshot_request`."""
        ...

    def decode_bars(self, index: int, interval_ms: int, body: bytes) -> list[HistoryBar]:
        """Return the bars in the answer to `MarketDataVenue.bars_request`, oldest first, the running one included."""
        ...


class MarketDataVenue(Protocol):
    """Market data of one venue: everything a shell needs to follow it."""

    @property
    def spec(self) -> VenueSpec:
        """What the venue is."""
        ...

    def instruments_request(self, symbols: Sequence[str]) -> RestRequest:
        """Ask for the trading rules of these venue symbols."""
        ...

    def decode_instruments(self, body: bytes, symbols: Sequence[str]) -> list[Instrument]:
        """Return the instruments in the order of `symbols`.

        Raises:
            VenueProtocolError: If the answer breaks the documentation.
            ConfigError: If the venue does not list one of the symbols.
        """
        ...

    def codec(self, instruments: Sequence[tuple[int, Instrument]]) -> MarketDataCodec:
        """Return a codec for these instruments; events carry the index given with each."""
        ...

    def stream_name(self, instrument: Instrument, feed: Feed) -> str:
        """Return the venue's name of one stream."""
        ...

    def stream_url(self, base_url: str, streams: Sequence[str]) -> str:
        """Return the address to connect to. It may name streams, which then need no `subscribe`."""
        ...

    def streams_to_subscribe(self, streams: Sequence[str]) -> Sequence[str]:
        """Return those streams that `stream_url` did not name."""
        ...

    def subscribe(self, streams: Sequence[str], request_id: int) -> bytes:
        """Return the text frame that asks for streams."""
        ...

    def snapshot_request(self, instrument: Instrument, depth: int) -> RestRequest:
        """Ask for a full book with at least `depth` levels per side where the venue has them."""
        ...

    def bars_request(self, instrument: Instrument, interval_ms: int, limit: int, end_time_ns: int) -> RestRequest:
        """Ask for up to `limit` bars that began before `end_time_ns`; 0 = now."""
        ...

    def read_limits(self, status: int, headers: Mapping[str, str], body: bytes) -> RestLimits:
        """Return what an HTTP answer says about our budget and whether it failed. Header names are lower case."""
        ...
