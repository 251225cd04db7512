"""Reads the venues' trading rules again and again, so that riskd knows how old they are (SPC-10)."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Final

import structlog

from execd.shell import LiveDesk
from tradebot.core.errors import ConfigError, TransientError, VenueProtocolError
from tradebot.runtime.venue_reader import VenueReader

EVERY_S: Final = 900.0
"""Several times within the hour that SPC-10 allows, so that one failed read costs nothing."""
RETRY_S: Final = 60.0

_log = structlog.get_logger(__name__)


class RulesReader:
    """All venues, one after the other."""

    def __init__(self, live: LiveDesk, rests: Mapping[str, VenueReader]) -> None:
        self._live = live
        self._rests = rests

    async def run(self) -> None:
        """Read, for ever; the first time was at the start."""
        pause_s = EVERY_S
        while True:
            await asyncio.sleep(pause_s)
            done = [await self.read(name) for name in self._rests]
            pause_s = EVERY_S if all(done) else RETRY_S

    async def read(self, name: str) -> bool:
        """Read the rules of one venue; return False when they are not known. riskd sees them age."""
        try:
            listed = await self._rests[name].instruments()
        except (TransientError, VenueProtocolError) as exc:
            _log.warning("rules_not_read", venue=name, error=str(exc))
            return False
        except ConfigError as exc:  # a symbol is not listed any more: no rules are the right ones
            _log.error("rules_gone", venue=name, error=str(exc))
            listed = []
        self._live.rules_read(name, listed)
        return True
