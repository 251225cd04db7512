"""The simulated venue as one pure object: market feed, matching engine, histories, and the backend of its protocol.

The shell calls `run_to` with the clock, hands requests to the protocol server, and takes frames and account events.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final

from simexchange.faults import FaultBox
from simexchange.feeds import HISTORY_S, Feed, SyntheticFeed
from simexchange.kept import KeptTrade, VenueFacts
from simexchange.publisher import NS_PER_MS, Frame, LiveBook, SymbolPublisher
from tradebot.core.instruments import InstrumentStatus
from tradebot.core.orders import Side
from tradebot.sim.candles import Candle
from tradebot.sim.engine import FeeRates, MatchingEngine
from tradebot.sim.market import DEFAULT_FILLS, FillModel
from tradebot.sim.order_records import MAX_CLOSED_ORDERS
from tradebot.sim.orders import (
    AssetBalance,
    BalanceReport,
    Fill,
    ListReport,
    NewOrder,
    OrderReport,
    Outcome,
    RejectReason,
    SelfTradePrevention,
    SimEvent,
    SimOrder,
    SimOrderList,
    TapeTrade,
)
from tradebot.sim.rng import SplitMix64
from tradebot.sim.rules import MarketRules
from tradebot.sim.synthetic import SyntheticParams
from tradebot.venues.server_api import (
    AccountTrade,
    Depth,
    Done,
    FeeBps,
    OrderRequest,
    PublicTrade,
    ServerLimits,
    Stream,
    Touch,
    VenueServer,
    VenueServerFactory,
)

MAX_ACCOUNT_TRADES: Final = 200_000
"""Fills kept per account and symbol."""

NO_ANSWER: Final = "none"
"""Status of a request whose answer a fault swallowed."""


@dataclass(frozen=True, slots=True)
class SymbolSetup:
    """One symbol: its rules and how its synthetic market behaves."""

    rules: MarketRules
    synthetic: SyntheticParams


@dataclass(frozen=True, slots=True)
class AccountSetup:
    """One account: who may use it and what it starts with."""

    account: str
    api_key: str
    api_secret: str
    balances: Mapping[str, int]
    """Asset -> free Money."""
    read_keys: Mapping[str, str] = field(default_factory=dict)
    """API key -> secret of those that may look and do nothing else."""


FeedFactory = Callable[["SimVenue", int], Feed]
"""Builds the feed of a venue at a start time."""


class SimVenue:
    """Implements `VenueBackend`; pure."""

    def __init__(
        self,
        symbols: Sequence[SymbolSetup],
        accounts: Sequence[AccountSetup],
        fees: FeeRates,
        limits: ServerLimits,
        make_server: VenueServerFactory,
        rng: SplitMix64,
        *,
        is_recorded: bool,
        fill_model: FillModel = DEFAULT_FILLS,
    ) -> None:
        self.setups = list(symbols)
        self.symbols = [setup.rules for setup in symbols]
        self.fees = FeeBps(fees.maker_bps, fees.taker_bps)
        self.engine = MatchingEngine(
            self.symbols,
            {one.account: one.balances for one in accounts},
            fees,
            is_recorded=is_recorded,
            fill_model=fill_model,
        )
        self.rng = rng
        self.faults = FaultBox(rng.fork())
        self.answers: Counter[tuple[str, str]] = Counter()
        """(endpoint, status) -> requests; the shells count what they answered."""
        self.fills: Counter[str] = Counter()
        """Symbol -> fills of accounts since the process began."""
        self.wanted: dict[Stream, Any] = {}
        """Streams somebody listens to; the shell keeps its listeners as values."""
        self.frames: list[Frame] = []
        self.account_events: list[tuple[str, bytes]] = []
        """(account, event) in order, until the shell takes them."""
        self.on_change: Callable[[VenueFacts], None] | None = None
        """Told of every change of an account before anything about it can leave."""
        keys = {one.api_key: (one.account, one.api_secret) for one in accounts}
        readers = {key: (one.account, secret) for one in accounts for key, secret in one.read_keys.items()}
        self.server: VenueServer = make_server(self, keys | readers, limits, frozenset(readers))
        self.publishers = [
            SymbolPublisher(i, self.server.streams, self.wanted, self.frames) for i in range(len(symbols))
        ]
        self._trades: dict[tuple[str, int], deque[KeptTrade]] = {}
        self._by_client_id: dict[tuple[str, str], int] = {}
        self._feed: Feed | None = None
        self._served: frozenset[int] = frozenset()

    # --- time ------------------------------------------------------------------------------------------------------

    def start(self, make_feed: FeedFactory, now_ns: int) -> None:
        """Open the market."""
        self._feed = make_feed(self, now_ns)
        self._served = frozenset(range(len(self.symbols)))
        self._show_served()

    @property
    def feed(self) -> Feed:
        """The market's source; only after `start`."""
        assert self._feed is not None, "start() first"
        return self._feed

    def run_to(self, now_ns: int) -> None:
        """Make everything due on the market happen."""
        self.feed.run_to(now_ns)
        if self.feed.served != self._served:
            self._show_served()

    def _show_served(self) -> None:
        """Halt the symbols that the feed has no data for."""
        self._served = self.feed.served
        for i, rules in enumerate(self.symbols):
            status = InstrumentStatus.TRADING if i in self._served else InstrumentStatus.HALTED
            if rules.instrument.status is not status:
                self.symbols[i] = replace(rules, instrument=replace(rules.instrument, status=status))

    def answered(self, endpoint: str, status: int) -> None:
        """Count one request; status 0 = it got no answer."""
        self.answers[endpoint, str(status) if status else NO_ANSWER] += 1

    def loses_diff(self) -> bool:
        """True when a fault switch swallows the depth diff that is due now."""
        return bool(self.faults.rules) and self.faults.on_depth() is not None

    def take_frames(self) -> list[Frame]:
        """Return the frames to send, in order."""
        frames = self.frames.copy()
        self.frames.clear()
        return frames

    def take_account_events(self) -> list[tuple[str, bytes]]:
        """Return the account events to send, in order."""
        events = self.account_events
        self.account_events = []
        return events

    def on_events(self, events: Sequence[SimEvent], now_ns: int) -> None:
        """Keep and publish what the engine did."""
        touched: dict[int, None] = {}
        trades: list[KeptTrade] = []
        for event in events:
            match event:
                case TapeTrade():
                    buyer_is_maker = event.aggressor is Side.SELL
                    one = PublicTrade(
                        event.trade_id, event.price, event.lots, buyer_is_maker, event.time_ns // NS_PER_MS
                    )
                    self.publishers[event.instrument].on_trade(one)
                case OrderReport():
                    touched[event.order_id] = None
                    if (trade := self._keep_fill(event)) is not None:
                        trades.append(trade)
                    self._send(event.terms.account, self.server.order_event(event, now_ns))
                case ListReport():
                    self._send(event.account, self.server.list_event(event, now_ns))
                case BalanceReport():
                    self._send(event.account, self.server.balance_event(event, now_ns))
        if touched and self.on_change is not None:
            self.on_change(VenueFacts(self.engine.facts(touched), trades))

    def _send(self, account: str, event: bytes) -> None:
        fault = self.faults.on_event() if self.faults.rules else None
        if fault is not None and fault.kind == "drop_event":
            return
        self.account_events.append((account, event))
        if fault is not None:
            self.account_events.append((account, event))

    def _keep_fill(self, event: OrderReport) -> KeptTrade | None:
        """Add an event's fill, if it has one, to the account's history; return it."""
        fill, terms = event.fill, event.terms
        if fill is None:
            return None
        self.fills[self.symbols[terms.instrument].instrument.venue_symbol] += 1
        one = KeptTrade(terms.instrument, event.order_id, event.list_id, terms.side, fill, event.time_ns, terms.account)
        self._add_trade(one)
        return one

    def _add_trade(self, one: KeptTrade) -> None:
        trades = self._trades.setdefault((one.account, one.instrument), deque(maxlen=MAX_ACCOUNT_TRADES))
        trades.append(one)

    # --- a life after this process ---------------------------------------------------------------------------------

    def facts(self) -> VenueFacts:
        """Return all that has to be kept."""
        return VenueFacts(self.engine.facts(), [one for trades in self._trades.values() for one in trades])

    def standing(self) -> VenueFacts:
        """Return where the markets stand, with no order."""
        return VenueFacts(self.engine.facts(()))

    def restore(self, facts: VenueFacts) -> None:
        """Go on where an earlier process ended. Call it before `start`."""
        self.engine.restore(facts.engine)
        for order in self.engine.every_order():
            self._remember(order)
        for one in facts.trades:
            self._add_trade(one)

    # --- orders (VenueBackend) -------------------------------------------------------------------------------------

    def place(self, request: OrderRequest, now_ns: int) -> Done:
        return self.take(_new_order(request), now_ns)

    def take(self, new: NewOrder, now_ns: int) -> Done:
        """Take one order, or say why not."""
        if not self._takes_orders(new.instrument):
            return Done(RejectReason.MARKET_CLOSED.value)
        return self._done(self.engine.place(new, now_ns), new.instrument, now_ns)

    def _takes_orders(self, instrument: int) -> bool:
        return instrument in self._served and self.feed.is_open(instrument)

    def check(self, request: OrderRequest) -> str:
        rejection = self.engine.check(_new_order(request))
        return rejection.reason.value if rejection else ""

    def place_oco(self, limit_leg: OrderRequest, stop_leg: OrderRequest, client_list_id: str, now_ns: int) -> Done:
        if not self._takes_orders(limit_leg.instrument):
            return Done(RejectReason.MARKET_CLOSED.value)
        outcome = self.engine.place_oco(_new_order(limit_leg), _new_order(stop_leg), client_list_id, now_ns)
        return self._done(outcome, limit_leg.instrument, now_ns)

    def cancel(self, account: str, order_id: int, cancel_client_order_id: str, now_ns: int) -> Done:
        outcome = self.engine.cancel(account, order_id, now_ns, cancel_client_order_id=cancel_client_order_id)
        instrument = outcome.order.terms.instrument if outcome.order else 0
        return self._done(outcome, instrument, now_ns)

    def _done(self, outcome: Outcome, instrument: int, now_ns: int) -> Done:
        if outcome.rejection is not None:
            return Done(outcome.rejection.reason.value)
        order = outcome.order
        if order is not None:
            self._remember(order)
        for leg in outcome.order_list.legs if outcome.order_list else ():
            self._remember(leg)
        self.on_events(outcome.events, now_ns)
        self.feed.after_own_action(instrument)
        fills: list[Fill] = []
        if order is not None and order.filled_lots:
            fills = [
                event.fill
                for event in outcome.events
                if isinstance(event, OrderReport) and event.fill and event.order_id == order.order_id
            ]
        return Done("", order, outcome.order_list, fills)

    def _remember(self, order: SimOrder) -> None:
        known = self._by_client_id
        known[order.terms.account, order.terms.client_order_id] = order.order_id
        if len(known) > MAX_CLOSED_ORDERS:
            del known[next(iter(known))]

    def find_order(self, account: str, instrument: int, order_id: int | None, client_order_id: str) -> SimOrder | None:
        """Return an order by venue id, else the newest one with that client id."""
        if order_id is None:
            order_id = self._by_client_id.get((account, client_order_id))
        order = None if order_id is None else self.engine.order(order_id)
        if order is None or order.terms.account != account or order.terms.instrument != instrument:
            return None
        return order

    def open_orders(self, account: str, instrument: int | None) -> list[SimOrder]:
        return self.engine.open_orders(account, instrument)

    def all_orders(self, account: str, instrument: int) -> list[SimOrder]:
        return self.engine.all_orders(account, instrument)

    def order_lists(self, account: str) -> list[SimOrderList]:
        return self.engine.order_lists(account)

    def trades_of(self, account: str, instrument: int) -> Sequence[AccountTrade]:
        return list(self._trades.get((account, instrument), ()))

    def balances(self, account: str) -> list[AssetBalance]:
        return self.engine.accounts[account].balances()

    def transfer(self, account: str, asset: str, money: int, now_ns: int, *, silent: bool = False) -> None:
        """Deposit (or withdraw, negative) and tell the account, unless silent."""
        self.engine.accounts[account].credit(asset, money)
        if self.on_change is not None:
            self.on_change(self.standing())
        if silent:
            return
        self._send(account, self.server.transfer_event(asset, money, now_ns))

    # --- market data (VenueBackend) --------------------------------------------------------------------------------

    def depth(self, instrument: int, limit: int) -> Depth:
        return self.feed.depth(instrument, limit)

    def touch(self, instrument: int) -> Touch:
        return self.feed.touch(instrument)

    def candles(
        self, instrument: int, interval_ms: int, start_ms: int, end_ms: int | None, limit: int, now_ns: int
    ) -> list[Candle]:
        store = self.publishers[instrument].candles
        return store.bars(interval_ms, start_ms=start_ms, end_ms=end_ms, limit=limit)

    def public_trades(self, instrument: int) -> Sequence[PublicTrade]:
        return list(self.publishers[instrument].tape)


def synthetic_feed(venue: SimVenue, start_ns: int, history_s: int = HISTORY_S) -> Feed:
    """Return the seeded synthetic market of a venue, with generated candles of `history_s` seconds before it."""
    books = [
        LiveBook(market, publisher, venue.server.streams, venue.wanted, venue.frames, venue.loses_diff)
        for market, publisher in zip(venue.engine.markets, venue.publishers, strict=True)
    ]
    params = [setup.synthetic for setup in venue.setups]
    return SyntheticFeed(
        venue.engine, params, venue.publishers, books, venue.on_events, venue.rng.fork(), start_ns, history_s
    )


def _new_order(request: OrderRequest) -> NewOrder:
    return NewOrder(
        request.account,
        request.client_order_id,
        request.instrument,
        request.side,
        request.order_type,
        request.lots,
        request.price,
        request.stop_price,
        request.time_in_force,
        request.post_only,
        request.quote_money,
        SelfTradePrevention[request.self_trade_prevention],
    )
