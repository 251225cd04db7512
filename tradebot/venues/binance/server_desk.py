"""Server half: what every endpoint needs: the call, the backend, the instruments and the counters."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import msgspec

from tradebot.venues.binance import server_params as p
from tradebot.venues.binance.server_errors import VenueError, invalid_symbol, missing
from tradebot.venues.binance.server_format import NS_PER_MS, SymbolText
from tradebot.venues.binance.server_limits import LimitBook
from tradebot.venues.server_api import ServerLimits, VenueBackend

MAX_ROWS: Final = 1_000
DAY_MS: Final = 86_400_000


@dataclass(slots=True)
class Call:
    """One authenticated request on its way through a handler."""

    params: Mapping[str, str]
    account: str
    now_ns: int
    peer: str
    may_trade: bool = False
    """What the key may, as `key_permissions` tells it."""

    @property
    def now_ms(self) -> int:
        return self.now_ns // NS_PER_MS


class ServerDesk:
    """What endpoints share. It holds counters and no market state."""

    def __init__(self, backend: VenueBackend, published: ServerLimits) -> None:
        self.backend = backend
        self.published = published
        """Limits as `exchangeInfo` tells them."""
        self.limits = LimitBook(published)
        self.texts = [SymbolText(rules) for rules in backend.symbols]
        self._index = {text.symbol: i for i, text in enumerate(self.texts)}
        self._generated_ids = 0

    def instrument(self, call: Call) -> int:
        """Return the index of the symbol asked for."""
        symbol = call.params.get("symbol", "")
        if not symbol:
            raise missing("symbol")
        if symbol not in self._index:
            raise invalid_symbol()
        return self._index[symbol]

    def instruments(self, call: Call) -> tuple[list[int], bool]:
        """Return the symbols asked for and whether it was a single one."""
        if call.params.get("symbol"):
            return [self.instrument(call)], True
        names = call.params.get("symbols")
        if names is None:
            return list(range(len(self.texts))), False
        try:
            wanted = msgspec.json.decode(names.encode(), type=list[str])
        except msgspec.MsgspecError:
            raise missing("symbols") from None
        if any(name not in self._index for name in wanted):
            raise invalid_symbol()
        return [self._index[name] for name in wanted], False

    def new_id(self) -> str:
        """Return a client id for an order that came without one."""
        self._generated_ids += 1
        return f"auto-{self._generated_ids:017d}"


def time_window(call: Call) -> tuple[int | None, int | None]:
    """Return startTime and endTime, at most a day apart."""
    start, end = p.integer(call.params, "startTime"), p.integer(call.params, "endTime")
    if start is not None and end is not None and end - start > DAY_MS:
        raise VenueError(-1127, "More than 24 hours between startTime and endTime.")
    return start, end
