"""Asks the venues every hour what the trading keys may do (PTR-10): none may move money out of the account. Asks them
every half minute whether they are under maintenance (STA-03); who does not answer says nothing about that.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Final

import structlog

from execd.shell import LiveDesk
from tradebot.core.errors import ConfigError
from tradebot.runtime.venue_reader import READ_ERRORS, VenueReader
from tradebot.venues.api_orders import KeyRights

EVERY_S: Final = 3_600.0
RETRY_S: Final = 60.0
STATUS_EVERY_S: Final = 30.0

_log = structlog.get_logger(__name__)


async def read_rights(name: str, rest: VenueReader) -> KeyRights | None:
    """Return what a key may do; None when the venue does not say."""
    try:
        return await rest.rights()
    except READ_ERRORS as exc:
        _log.warning("rights_not_read", venue=name, error=str(exc))
        return None


async def rights_at_start(name: str, rest: VenueReader) -> KeyRights | None:
    """The same before anything else is done.

    Raises:
        ConfigError: The key may withdraw or transfer.
    """
    rights = await read_rights(name, rest)
    if rights is not None and rights.may_move_money:
        key = f"venues.{name}.api_key_name"
        raise ConfigError(f"{key}: this key may withdraw or transfer: take that right from it at the venue")
    return rights


class StatusReader:
    """All venues, one after the other."""

    def __init__(self, live: LiveDesk, rests: Mapping[str, VenueReader]) -> None:
        self._live = live
        self._rests = rests

    async def run(self) -> None:
        """Ask, for ever."""
        while True:
            for name in self._rests:
                await self.read(name)
            await asyncio.sleep(STATUS_EVERY_S)

    async def read(self, name: str) -> None:
        """Ask one venue."""
        try:
            maintenance = await self._rests[name].under_maintenance()
        except READ_ERRORS as exc:
            _log.warning("status_not_read", venue=name, error=str(exc))
            return
        self._live.status_read(name, maintenance=maintenance)


class RightsReader:
    """All venues, one after the other."""

    def __init__(self, live: LiveDesk, rests: Mapping[str, VenueReader]) -> None:
        self._live = live
        self._rests = rests

    async def run(self) -> None:
        """Ask, for ever; the first time was at the start, and is repeated soon when it had no answer."""
        pause_s = RETRY_S
        while True:
            await asyncio.sleep(pause_s)
            done = [await self.read(name) for name in self._rests]
            pause_s = EVERY_S if all(done) else RETRY_S

    async def read(self, name: str) -> bool:
        """Ask one venue; return whether it answered well: a key that may do too much is looked at again soon, so that
        nobody who has mended it waits for an hour.
        """
        rights = await read_rights(name, self._rests[name])
        self._live.rights_read(name, rights)
        return rights is not None and not rights.may_move_money
