"""Private and public reads over REST, through ccxt's raw interface. ccxt never sends an order: only GETs pass here."""

from __future__ import annotations

from typing import Any, Final

import ccxt.async_support as ccxt
import msgspec

from execd.reconcile import VenueSnapshot
from execd.records import ReadJob, ReadKind
from execd.settings import NS_PER_S
from tradebot.core.errors import InvariantError, RateLimitedError, TransientError, VenueProtocolError
from tradebot.core.instruments import Instrument
from tradebot.core.orders import OrderStatus
from tradebot.runtime.clock import Clock
from tradebot.runtime.config import VenueConfig
from tradebot.venues import load_market_data
from tradebot.venues.api_orders import AccountRows, OrderCodec, OrderVenue, RestRead, VenueCredentials, VenueTrade

TIMEOUT_MS: Final = 8_000
DEFAULT_QUIET_S: Final = 60
"""After a rate limit answer that does not say how long: one window of the venue's budget."""
_WORKING: Final = (OrderStatus.NEW, OrderStatus.PARTIALLY_FILLED, OrderStatus.PENDING_NEW)


class VenueRest:
    """Reads of one venue account."""

    def __init__(self, venue: OrderVenue, config: VenueConfig, credentials: VenueCredentials, clock: Clock) -> None:
        self._venue = venue
        self._config = config
        self._clock = clock
        settings: dict[str, Any] = {"timeout": TIMEOUT_MS, **venue.rest_config(config.rest_url, credentials)}
        self._library: Any = getattr(ccxt, venue.rest_library_id)(settings)

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

    async def get(self, read: RestRead) -> Any:
        """Do one read.

        Raises:
            TransientError: The venue refused or did not answer.
        """
        if "Get" not in read.method:
            raise InvariantError(f"{read.method} is not a read: orders never go through the REST library")
        try:
            return await getattr(self._library, read.method)(dict(read.params))
        except (ccxt.RateLimitExceeded, ccxt.DDoSProtection) as exc:
            headers = self._library.last_response_headers or {}
            wait_s = next((v for k, v in headers.items() if k.lower() == "retry-after"), "")
            wait_ns = (int(wait_s) if str(wait_s).isdecimal() else DEFAULT_QUIET_S) * NS_PER_S
            raise RateLimitedError(f"{self._venue.name} {read.method}: {exc}", wait_ns) from exc
        except ccxt.BaseError as exc:
            raise TransientError(f"{self._venue.name} {read.method}: {type(exc).__name__}: {exc}") from exc

    async def read(self, job: ReadJob, codec: OrderCodec, instrument_ids: list[str]) -> Any:
        """Do one of the core's read jobs.

        Raises:
            TransientError: The venue refused or did not answer.
            VenueProtocolError: It answered something undocumented.
        """
        match job.kind:
            case ReadKind.ACCOUNT:
                return await self._account(codec)
            case ReadKind.ORDER_TRADES:
                return await self._trades(codec, job.instrument_id, venue_order_id=job.venue_order_id)
            case ReadKind.SNAPSHOT:
                return await self.snapshot(codec, instrument_ids, job.since_ms)
            case ReadKind.OPEN_ORDERS:
                return await self._open_orders(codec, [job.instrument_id] if job.instrument_id else instrument_ids)

    async def snapshot(self, codec: OrderCodec, instrument_ids: list[str], since_ms: int) -> VenueSnapshot:
        """Read everything: the balances last, so that they include every trade that was read."""
        started_ns = self._clock.now_ns()
        orders, trades, open_keys = [], [], set()
        for instrument_id in instrument_ids:
            working = codec.decode_orders(await self.get(codec.open_orders_read(instrument_id)))
            history = codec.decode_orders(await self.get(codec.order_history_read(instrument_id, since_ms)))
            orders += [*working, *history]
            open_keys |= {(row.venue_symbol, row.venue_order_id) for row in working if row.status in _WORKING}
            rows = await self._trades(codec, instrument_id, since_ms=since_ms)
            trades += [(instrument_id, row) for row in rows]
        account = await self._account(codec)
        return VenueSnapshot(started_ns, account, orders, frozenset(open_keys), trades)

    async def _open_orders(self, codec: OrderCodec, instrument_ids: list[str]) -> VenueSnapshot:
        """Read working orders and balances only: no history, so nothing can be concluded from what is missing."""
        started_ns = self._clock.now_ns()
        orders = []
        for instrument_id in instrument_ids:
            orders += codec.decode_orders(await self.get(codec.open_orders_read(instrument_id)))
        open_keys = frozenset((row.venue_symbol, row.venue_order_id) for row in orders)
        return VenueSnapshot(started_ns, await self._account(codec), orders, open_keys, ())

    async def _account(self, codec: OrderCodec) -> AccountRows:
        return codec.decode_account(await self.get(codec.account_read()))

    async def _trades(
        self, codec: OrderCodec, instrument_id: str, *, since_ms: int = 0, venue_order_id: str = ""
    ) -> list[VenueTrade]:
        return codec.decode_trades(
            instrument_id, await self.get(codec.trades_read(instrument_id, since_ms, venue_order_id))
        )


READ_ERRORS: Final = (TransientError, VenueProtocolError)
"""What a failed read raises; the core repeats it."""
