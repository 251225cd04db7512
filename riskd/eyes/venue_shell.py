"""One venue account through the eyes' own key: reads everything and puts it into a look."""

from __future__ import annotations

from typing import Final

import structlog

from tradebot.core.errors import ConfigError, RateLimitedError
from tradebot.core.instruments import Instrument
from tradebot.core.looks import SeenFill, SeenOrder, VenueLook
from tradebot.runtime.clock import Clock
from tradebot.runtime.config import VenueConfig
from tradebot.runtime.venue_reader import READ_ERRORS, VenueReader
from tradebot.venues.api_orders import OrderCodec, OrderVenue, VenueCredentials, VenueOrder, VenueSnapshot, VenueTrade

RECV_WINDOW_MS: Final = 5_000
MAX_ERROR_CHARACTERS: Final = 300
NS_PER_MS: Final = 1_000_000

_log = structlog.get_logger(__name__)


class VenueEye:
    """See the module."""

    def __init__(
        self,
        venue: OrderVenue,
        config: VenueConfig,
        credentials: VenueCredentials,
        clock: Clock,
        *,
        checks_rights: bool = True,
    ) -> None:
        """Build it; nothing is read yet.

        Args:
            venue: Its protocol.
            config: Its endpoints.
            credentials: A key that may only read.
            clock: Process clock.
            checks_rights: Refuse a key that may do more. False where the venue's test environment cannot tell.
        """
        self.name = venue.name
        self._checks_rights = checks_rights
        self._venue = venue
        self._config = config
        self._credentials = credentials
        self._clock = clock
        self._reader = VenueReader(venue, config, credentials, clock)
        self._codec: OrderCodec | None = None
        self._instruments: list[Instrument] = []
        self._quiet_until_ns = 0
        self.looks = 0
        self.failures = 0
        self.last_ns = 0
        """End of the last complete look."""
        self.last_look_ms = 0.0
        self.error = ""

    async def close(self) -> None:
        """Close its connections."""
        await self._reader.close()

    async def look(self, from_ns: int) -> VenueLook:
        """Read everything; a read that fails is a look that says why.

        Raises:
            ConfigError: The key may do more than read.
        """
        started_ns = self._clock.now_ns()
        try:
            snapshot = await self._read(from_ns, started_ns)
        except READ_ERRORS as exc:
            if isinstance(exc, RateLimitedError):
                self._quiet_until_ns = self._clock.now_ns() + exc.retry_after_ns
            if not self.error:
                _log.warning("look_failed", venue=self.name, error=str(exc))
            self.failures += 1
            self.error = str(exc)[:MAX_ERROR_CHARACTERS]
            return VenueLook(self.name, self._config.account, started_ns, self._clock.now_ns(), error=self.error)
        self.looks += 1
        self.error = ""
        self.last_ns = self._clock.now_ns()
        self.last_look_ms = (self.last_ns - started_ns) / NS_PER_MS
        return _look_of(self.name, self._config.account, snapshot, self.last_ns)

    async def _read(self, from_ns: int, now_ns: int) -> VenueSnapshot:
        if now_ns < self._quiet_until_ns:
            raise RateLimitedError(f"{self.name} wants silence", self._quiet_until_ns - now_ns)
        if self._codec is None:
            await self._check_rights()
            self._instruments = await self._reader.instruments()
            self._codec = self._venue.codec(self._credentials, self._instruments, RECV_WINDOW_MS)
        names = [instrument.instrument_id for instrument in self._instruments]
        return await self._reader.snapshot(self._codec, names, from_ns // NS_PER_MS)

    async def _check_rights(self) -> None:
        rights = await self._reader.rights() if self._checks_rights else None
        if rights is not None and (rights.may_trade or rights.may_move_money):
            key = f"venues.{self.name}.read_key_name"
            raise ConfigError(f"{key}: this key may trade or move money: give the eyes one that may only read")


def _look_of(venue: str, account: str, snapshot: VenueSnapshot, finished_ns: int) -> VenueLook:
    """Return a snapshot as a look. An order that was read twice counts as it was read last."""
    rows = {(row.venue_symbol, row.venue_order_id): row for row in snapshot.orders}
    return VenueLook(
        venue,
        account,
        snapshot.started_ns,
        finished_ns,
        tuple(_order(row) for row in rows.values()),
        tuple(_fill(instrument_id, trade) for instrument_id, trade in snapshot.trades),
        tuple(snapshot.account.balances),
    )


def _order(row: VenueOrder) -> SeenOrder:
    return SeenOrder(
        row.venue_order_id,
        row.client_order_id,
        row.instrument_id,
        row.venue_symbol,
        row.side,
        row.qty,
        row.price,
        row.stop_price,
        row.filled_qty,
        not row.status.is_terminal,
        row.event_time_ns,
    )


def _fill(instrument_id: str, trade: VenueTrade) -> SeenFill:
    execution = trade.execution
    return SeenFill(
        trade.venue_order_id,
        execution.exec_id,
        instrument_id,
        execution.side,
        execution.qty,
        execution.price,
        execution.fee,
        execution.fee_asset,
        execution.event_time_ns,
    )
