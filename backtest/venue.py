"""The venue of a backtest: the simulated exchange over recorded rows, spoken to in the venue's own protocol.

Requests are the bytes that execd would send, read by the venue's server half; answers and account events come back as
the venue's bytes, unless the shortcut says the same without them. Both ways take the order latency.
"""

from __future__ import annotations

import hmac
import json
from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any, Final
from urllib.parse import urlencode

from backtest.row_queue import FAR_NS
from backtest.shortcut import Frame, PlainRequest, TellingVenue
from simexchange.rows_feed import RowsFeed
from simexchange.venue import AccountSetup, SimVenue, SymbolSetup
from tradebot.core.amounts import to_money
from tradebot.core.errors import InvariantError
from tradebot.core.market import RowColumns
from tradebot.core.row_block import RowBlock
from tradebot.sim.engine import FeeRates
from tradebot.sim.market import FillModel
from tradebot.sim.orders import SimOrder
from tradebot.sim.rng import SplitMix64
from tradebot.sim.rules import MarketRules
from tradebot.sim.synthetic import SyntheticParams
from tradebot.venues import load_venue_part
from tradebot.venues.api_orders import RequestKind, RestRead, VenueCredentials, VenueReply
from tradebot.venues.server_api import HttpRequest, ServerLimits

ACCOUNT: Final = "backtest"
CREDENTIALS: Final = VenueCredentials("backtest-key", "backtest-secret")
PEER: Final = "backtest"
_UNUSED_SYNTHETIC: Final = SyntheticParams(start_price=1, touch_lots=1.0, taker_lots=1.0)
_NO_LIMITS: Final = ServerLimits(10**9, 10**9, 10**9, 10**9)
"""Virtual time compresses requests; the venue's request budget is not what a backtest is about."""
_READ_PREFIX: Final = "privateGet"


class BacktestVenue:
    """One account at one venue."""

    def __init__(
        self,
        name: str,
        rules: Sequence[MarketRules],
        balances: Mapping[str, Decimal],
        fees: FeeRates,
        now_ns: int,
        *,
        in_bytes: bool,
        fill_model: FillModel,
    ) -> None:
        """Open it; `in_bytes`: no shortcut, everything is said in the venue's protocol."""
        self.name = name
        account = AccountSetup(
            ACCOUNT,
            CREDENTIALS.api_key,
            CREDENTIALS.api_secret,
            {asset: to_money(amount) for asset, amount in balances.items()},
        )
        self.sim = (SimVenue if in_bytes else TellingVenue)(
            [SymbolSetup(one, _UNUSED_SYNTHETIC) for one in rules],
            [account],
            fees,
            _NO_LIMITS,
            load_venue_part(name, "server_protocol", "SERVER"),
            SplitMix64(0),
            is_recorded=True,
            fill_model=fill_model,
        )
        self.sim.start(lambda venue, _: RowsFeed(venue), now_ns)
        if isinstance(self.sim, TellingVenue):
            self.sim.tell()
        self._index = {one.instrument.instrument_id: index for index, one in enumerate(rules)}
        self._server = self.sim.server
        self._session: Any = self._server.session(PEER, now_ns)

    next_due_ns = FAR_NS
    """Spot does nothing by its own clock."""

    def warnings(self) -> list[str]:
        """Nothing that a reader of the results has to know."""
        return []

    def funding_terms(self, entry_id: str) -> None:
        """Nothing is funded; see `DirectVenue`."""

    def run_due(self, now_ns: int) -> list[Frame]:
        """Nothing; see `next_due_ns`."""
        return []

    @property
    def has_orders(self) -> bool:
        """True while anything of ours rests at the venue."""
        return self.sim.engine.open_count > 0  # the only account's

    @property
    def acts_on_rows(self) -> bool:
        """True while the next row could make this venue say something."""
        return self.has_orders

    def open_orders(self) -> list[tuple[str, int, SimOrder]]:
        """Return (client order id, instrument index, order) of everything of ours at the venue."""
        orders = self.sim.engine.open_orders(ACCOUNT)
        return [(order.terms.client_order_id, order.terms.instrument, order) for order in orders]

    def touch(self, index: int) -> tuple[int, int]:
        """Return a market's best bid and ask as they are here, ticks; 0 for an empty side."""
        bid, _, ask, _ = self.sim.engine.markets[index].touch
        return bid, ask

    def take_rows(self, rows: RowBlock, start: int, to_ns: int) -> int:
        """Let rows up to `to_ns` happen that cannot touch an order; return the first one that did not."""
        return self.sim.engine.take_rows(rows, start, to_ns)

    def apply_rows(self, rows: RowColumns, now_ns: int) -> list[Frame]:
        """Let recorded rows happen; returns the account events that they caused."""
        events = self.sim.engine.on_rows(rows, 0, len(rows), now_ns)
        if events:
            self.sim.on_events(events, now_ns)
        return self._account_frames()

    def request(self, data: bytes, now_ns: int) -> list[Frame]:
        """Take one request; returns the answer and then the account events that it caused."""
        answer: Frame | None = None
        if isinstance(data, PlainRequest):
            answer = self._plain(data, now_ns)
            data = data if answer is not None else data.in_bytes()
        if answer is None:
            answer = self._server.perform(self._session, self._server.prepare(data), now_ns)
        return [answer, *self._account_frames()]

    def refuse(self, data: bytes, now_ns: int) -> list[Frame]:
        """Return the answer of a venue in trouble: it did not look at the request."""
        call = self._server.prepare(data.in_bytes() if isinstance(data, PlainRequest) else data)
        return [self._server.fault("overloaded", self._session, call, 0, now_ns)]

    def _plain(self, request: PlainRequest, now_ns: int) -> VenueReply | None:
        """Do a request without its bytes; None = that is not possible, and nothing happened."""
        venue, index = self.sim, self._index[request.terms.instrument_id]
        if not isinstance(venue, TellingVenue):
            return None
        do = venue.place_plain if request.kind is RequestKind.PLACE else venue.cancel_plain
        return do(request, ACCOUNT, index, now_ns)

    def read(self, read: RestRead, now_ns: int) -> Any:
        """Do one private read, signed as the venue wants it, and return its parsed body."""
        if not read.method.startswith(_READ_PREFIX):
            raise InvariantError(f"{read.method}: only private reads are known to the backtest")
        name = read.method.removeprefix(_READ_PREFIX)
        path = f"/api/v3/{name[:1].lower()}{name[1:]}"
        query = urlencode({**read.params, "timestamp": now_ns // 1_000_000, "recvWindow": 5_000})
        signature = hmac.digest(CREDENTIALS.api_secret.encode(), query.encode(), "sha256").hex()
        request = HttpRequest(
            "GET", path, f"{query}&signature={signature}", "", {"x-mbx-apikey": CREDENTIALS.api_key}, PEER
        )
        answer = self._server.rest(request, now_ns)
        if answer.status != 200:
            raise InvariantError(
                f"{self.name} {path}: the simulated venue answers {answer.status}: {answer.body[:200]!r}"
            )
        return json.loads(answer.body)

    def _account_frames(self) -> list[Frame]:
        venue = self.sim
        events: Sequence[tuple[str, Frame]] = (
            venue.take_told() if isinstance(venue, TellingVenue) else venue.take_account_events()
        )
        if not events:
            return []
        subscriptions = [number for number, account in self._session.subscriptions.items() if account == ACCOUNT]
        return [
            self._server.user_frame(number, event) if isinstance(event, bytes) else event
            for _, event in events
            for number in subscriptions
        ]
