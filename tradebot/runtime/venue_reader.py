"""Private and public reads of a venue over REST, through ccxt's raw interface. ccxt never sends an order: only GETs
pass here. execd reconciles with it under its trading key, the eyes look with it under a key of their own.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final, TypeVar

import ccxt.async_support as ccxt
import msgspec

from tradebot.core.errors import InvariantError, RateLimitedError, TransientError, VenueProtocolError
from tradebot.core.instruments import Instrument
from tradebot.core.orders import OrderStatus
from tradebot.runtime.clock import Clock
from tradebot.runtime.config import VenueConfig
from tradebot.venues import load_market_data
from tradebot.venues.api_orders import (
    AccountRows,
    KeyRights,
    OrderCodec,
    OrderVenue,
    RestRead,
    VenueCredentials,
    VenueOrder,
    VenueSnapshot,
    VenueTrade,
)

TIMEOUT_MS: Final = 8_000
DEFAULT_QUIET_S: Final = 60
"""After a rate limit answer that does not say how long: one window of the venue's budget."""
MAX_PAGES: Final = 20
"""Of one history read; who has more to read than this has been away for too long."""
NS_PER_S: Final = 1_000_000_000
NS_PER_MS: Final = 1_000_000
READ_ERRORS: Final = (TransientError, VenueProtocolError)
"""What a failed read raises; it is repeated later."""
_WORKING: Final = (OrderStatus.NEW, OrderStatus.PARTIALLY_FILLED, OrderStatus.PENDING_NEW)

Row = TypeVar("Row")


class VenueReader:
    """Reads of one venue account."""

    def __init__(self, venue: OrderVenue, config: VenueConfig, credentials: VenueCredentials, clock: Clock) -> None:
        self._venue = venue
        self._config = config
        self._clock = clock
        settings: dict[str, Any] = {"timeout": TIMEOUT_MS, **venue.rest_config(config.rest_url, credentials)}
        self._library: Any = getattr(ccxt, venue.rest_library_id)(settings)
        limit = load_market_data(venue.name).spec.weight_limit
        self.weight_per_s = limit.weight_per_window / limit.window_s
        """What the venue allows one address, on average."""
        self.weight_used = 0
        """Of the venue's request budget, by all reads so far."""

    async def close(self) -> None:
        """Close its connections."""
        await self._library.close()

    async def instruments(self) -> list[Instrument]:
        """Return the trading rules of the configured symbols.

        Raises:
            TransientError: The venue does not answer.
            ConfigError: It does not list a symbol.
        """
        body = await self.get(self._venue.instruments_read(self._config.symbols))
        market_data = load_market_data(self._venue.name)
        return market_data.decode_instruments(msgspec.json.encode(body), self._config.symbols)

    async def rights(self) -> KeyRights:
        """Return what the key may do.

        Raises:
            TransientError: The venue does not answer.
            VenueProtocolError: It answered something undocumented.
        """
        return self._venue.decode_rights(await self.get(self._venue.rights_read()))

    async def under_maintenance(self) -> bool:
        """Return whether the venue says that it is under maintenance.

        Raises:
            TransientError: The venue does not answer.
            VenueProtocolError: It answered something undocumented.
        """
        return self._venue.decode_status(await self.get(self._venue.status_read()))

    async def get(self, read: RestRead) -> Any:
        """Do one read.

        Raises:
            TransientError: The venue refused or did not answer.
        """
        if "Get" not in read.method:
            raise InvariantError(f"{read.method} is not a read: orders never go through the REST library")
        self.weight_used += read.weight
        try:
            return await getattr(self._library, read.method)(dict(read.params))
        except (ccxt.RateLimitExceeded, ccxt.DDoSProtection) as exc:
            headers = self._library.last_response_headers or {}
            wait_s = next((v for k, v in headers.items() if k.lower() == "retry-after"), "")
            wait_ns = (int(wait_s) if str(wait_s).isdecimal() else DEFAULT_QUIET_S) * NS_PER_S
            raise RateLimitedError(f"{self._venue.name} {read.method}: {exc}", wait_ns) from exc
        except ccxt.BaseError as exc:
            raise TransientError(f"{self._venue.name} {read.method}: {type(exc).__name__}: {exc}") from exc

    async def snapshot(self, codec: OrderCodec, instrument_ids: Sequence[str], since_ms: int) -> VenueSnapshot:
        """Read everything: the balances last, so that they include every trade that was read.

        Args:
            codec: Of this account.
            instrument_ids: Whose orders and trades.
            since_ms: History from here on, complete; 0 = the venue's last page.

        Raises:
            TransientError: The venue refused or did not answer.
            VenueProtocolError: It answered something undocumented.
        """
        started_ns = self._clock.now_ns()
        orders, trades, open_keys = [], [], set()
        for instrument_id in instrument_ids:
            working = codec.decode_orders(await self.get(codec.open_orders_read(instrument_id)))
            orders += [*working, *await self._history(codec, instrument_id, since_ms)]
            open_keys |= {(row.venue_symbol, row.venue_order_id) for row in working if row.status in _WORKING}
            trades += [(instrument_id, row) for row in await self.trades(codec, instrument_id, since_ms)]
        return VenueSnapshot(started_ns, await self.account(codec), orders, frozenset(open_keys), trades)

    async def open_orders(self, codec: OrderCodec, instrument_ids: Sequence[str]) -> VenueSnapshot:
        """Read working orders and balances only: no history, so nothing can be concluded from what is missing."""
        started_ns = self._clock.now_ns()
        orders: list[VenueOrder] = []
        for instrument_id in instrument_ids:
            orders += codec.decode_orders(await self.get(codec.open_orders_read(instrument_id)))
        open_keys = frozenset((row.venue_symbol, row.venue_order_id) for row in orders)
        return VenueSnapshot(started_ns, await self.account(codec), orders, open_keys, ())

    async def account(self, codec: OrderCodec) -> AccountRows:
        """Return all balances."""
        return codec.decode_account(await self.get(codec.account_read()))

    async def trades(self, codec: OrderCodec, instrument_id: str, since_ms: int) -> list[VenueTrade]:
        """Return our trades in one instrument since a time."""

        async def page(from_ms: int) -> list[VenueTrade]:
            return codec.decode_trades(instrument_id, await self.get(codec.trades_read(instrument_id, from_ms)))

        return await self._pages(
            codec, since_ms, page, lambda row: (row.execution.event_time_ns, row.execution.exec_id), instrument_id
        )

    async def trades_of(self, codec: OrderCodec, instrument_id: str, venue_order_id: str) -> list[VenueTrade]:
        """Return the trades of one order."""
        body = await self.get(codec.trades_read(instrument_id, venue_order_id=venue_order_id))
        return codec.decode_trades(instrument_id, body)

    async def _history(self, codec: OrderCodec, instrument_id: str, since_ms: int) -> list[VenueOrder]:
        async def page(from_ms: int) -> list[VenueOrder]:
            return codec.decode_orders(await self.get(codec.order_history_read(instrument_id, from_ms)))

        return await self._pages(
            codec, since_ms, page, lambda row: (row.created_time_ns, row.venue_order_id), instrument_id
        )

    async def _pages(
        self,
        codec: OrderCodec,
        since_ms: int,
        page: Callable[[int], Any],
        place: Callable[[Row], tuple[int, str]],
        what: str,
    ) -> list[Row]:
        """Read page after page until one is not full; `place` gives (time, id) of a row."""
        found: dict[str, Row] = {}
        from_ms = since_ms
        for _ in range(MAX_PAGES):
            rows: list[Row] = await page(from_ms)
            found |= {place(row)[1]: row for row in rows}
            if len(rows) < codec.page_rows or not since_ms:
                return list(found.values())
            last_ms = max(place(row)[0] for row in rows) // NS_PER_MS
            from_ms = last_ms if last_ms > from_ms else from_ms + 1  # a whole page within one millisecond: step over it
        raise TransientError(f"{self._venue.name} {what}: more than {MAX_PAGES} pages since {since_ms}")
