"""MARKS_OLD: what is held is valued at prices that nobody has seen for a while, so no loss on it can be seen either.

Equity goes on at the last good marks: less would hide the losses of everything else. But while more than a little of it
stands on old marks nothing may be added, in any instrument, until prices are seen again.
"""

from __future__ import annotations

from typing import Final

from riskd.accountant import Accountant
from riskd.guards import pct
from riskd.keeper import HoldKeeper
from riskd.marks import MarketBoard
from riskd.state import RiskState
from riskd.units import PPM
from tradebot.core.levels import SYSTEM_SCOPE, ReleaseRule, TradingLevel

OLD: Final = "MARKS_OLD"
OLD_NS: Final = 60_000_000_000
"""A book that is not true now, or that has said nothing for so long."""
SHARE_PPM: Final = 10_000
"""Of equity: what less than this does cannot hurt, dust least of all."""


class MarkWatch:
    """See the module."""

    def __init__(self, state: RiskState, board: MarketBoard, keeper: HoldKeeper, accountant: Accountant) -> None:
        self._state = state
        self._board = board
        self._keeper = keeper
        self._accountant = accountant

    def watch(self, now_ns: int) -> None:
        """Look at the marks of everything that is held. An asset without any mark leaves equity unknown: that alone
        refuses entries.
        """
        equity = self._accountant.equity(now_ns)
        if not equity.complete:
            return
        old = self._state.portfolio.on_old_marks(self._board, self._state.rules, now_ns - OLD_NS)
        worth = sum(old.values())
        if worth * PPM <= max(equity.value, 0) * SHARE_PPM:
            self._keeper.clear_cause(OLD, SYSTEM_SCOPE, "prices of what is held are seen again", now_ns)
            return
        share = pct(worth * PPM // equity.value) if equity.value > 0 else "all"
        text = f"{', '.join(sorted(old))}: no price for {OLD_NS // 1_000_000_000} s, {share} of equity"
        self._keeper.raise_(TradingLevel.REDUCE_ONLY, SYSTEM_SCOPE, OLD, ReleaseRule.AUTO, now_ns, text)
