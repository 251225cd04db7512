"""What execd knows of riskd: session, lease, level table. Everything unknown counts against trading.

A lease counts from *sending* the ping, so a frozen riskd that wakes up cannot extend the past.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import Final

from execd.settings import NS_PER_MS, DeskSettings
from tradebot.core.approvals import LeaseAnswer, LeasePing, LevelTable, Welcome
from tradebot.core.levels import TradingLevel

MAX_PENDING_PINGS: Final = 64
MAX_COVERED: Final = 10_000
"""Answers of the level table that are remembered."""


class RiskLink:
    """Session state. No session means no lease, and no lease means REDUCE_ONLY."""

    def __init__(self, settings: DeskSettings) -> None:
        self._settings = settings
        self.session_id = ""
        """Empty: no session."""
        self.welcomed = False
        self._levels = LevelTable(0)
        self._covering: dict[tuple[str, str, str], tuple[TradingLevel, int]] = {}
        """Level and fence of the last table by (venue, instrument, strategy)."""
        self.lease_until_ns = 0
        self.lease_sent_ns = 0
        """When the last answered ping was sent."""
        self._pings: OrderedDict[int, int] = OrderedDict()
        self._ping_sequence = 0
        self._next_ping_ns: int | None = None

    def connected(self, session_id: str) -> None:
        """A session begins; it counts from riskd's welcome on."""
        self.session_id, self.welcomed = session_id, False
        self._pings.clear()
        self._next_ping_ns = None
        self.lease_until_ns = 0

    def lost(self) -> None:
        """The session ended: the lease ends with it, at once."""
        self.session_id, self.welcomed = "", False
        self._pings.clear()
        self._next_ping_ns = None
        self.lease_until_ns = 0

    def welcome(self, welcome: Welcome, now_ns: int) -> bool:
        """Take riskd's first words; return False when it serves another environment."""
        if welcome.environment != self._settings.environment:
            return False
        self.welcomed = True
        self._next_ping_ns = now_ns
        return True

    def ping_due(self, now_ns: int) -> LeasePing | None:
        """Return the ping to send now, if one is due."""
        if self._next_ping_ns is None or now_ns < self._next_ping_ns:
            return None
        self._next_ping_ns = now_ns + self._settings.ping_ms * NS_PER_MS
        self._ping_sequence += 1
        self._pings[self._ping_sequence] = now_ns
        if len(self._pings) > MAX_PENDING_PINGS:
            self._pings.popitem(last=False)
        return LeasePing(self._ping_sequence, now_ns)

    def lease_answer(self, answer: LeaseAnswer) -> None:
        """Extend the lease from the sending time of the answered ping; an unknown ping extends nothing."""
        sent_ns = self._pings.pop(answer.sequence, None)
        if sent_ns is None:
            return
        valid_ms = min(answer.valid_for_ms, self._settings.max_lease_ms)
        self.lease_until_ns = max(self.lease_until_ns, sent_ns + valid_ms * NS_PER_MS)
        self.lease_sent_ns = max(self.lease_sent_ns, sent_ns)

    @property
    def pings_sent(self) -> int:
        """Sequence of the last ping; it goes on over sessions."""
        return self._ping_sequence

    def lease_valid(self, now_ns: int) -> bool:
        """Return whether risk may be increased as far as the lease goes."""
        return self.welcomed and now_ns <= self.lease_until_ns

    def entries_overdue(self, now_ns: int) -> bool:
        """Return whether riskd has been silent so long that working entries have to go."""
        return now_ns - self.lease_sent_ns >= self._settings.cancel_entries_after_ms * NS_PER_MS

    @property
    def levels(self) -> LevelTable:
        """riskd's last table."""
        return self._levels

    @levels.setter
    def levels(self, table: LevelTable) -> None:
        self._levels = table
        self._covering.clear()

    def _cover(self, venue: str, instrument_id: str, strategy_id: str) -> tuple[TradingLevel, int]:
        """Return level and fence; every order asks, and the table seldom changes."""
        key = (venue, instrument_id, strategy_id)
        found = self._covering.get(key)
        if found is None:
            found = self._levels.level_for(*key), self._levels.fence_for(*key)
            if len(self._covering) >= MAX_COVERED:
                self._covering.clear()
            self._covering[key] = found
        return found

    def level_for(self, venue: str, instrument_id: str, strategy_id: str) -> TradingLevel:
        """Return the level of the last table; REDUCE_ONLY at least without a session."""
        level = self._cover(venue, instrument_id, strategy_id)[0]
        return level if self.welcomed else max(level, TradingLevel.REDUCE_ONLY)

    def fence_for(self, venue: str, instrument_id: str, strategy_id: str) -> int:
        """Return the lowest epoch that an approval on these must carry."""
        return self._cover(venue, instrument_id, strategy_id)[1]

    def next_timer_ns(self) -> int | None:
        """Return when the next ping is due."""
        return self._next_ping_ns
