"""PNL-09: a margin account as the venue counts it, against what fills, fees and the ledger make it here.

What the venue tells and our books are never of the same moment: a difference counts when what it tells later differs,
too. It pauses the venue until both agree again; what cannot be compared neither raises nor ends anything.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from riskd.accountant import Accountant
from riskd.guards import pct
from riskd.keeper import HoldKeeper
from riskd.marks import MarketBoard
from riskd.state import RiskState
from riskd.units import PPM, amount, to_units_floor
from tradebot.core.accounts import MarginState
from tradebot.core.levels import ReleaseRule, Scope, ScopeKind, TradingLevel

MISMATCH: Final = "PNL-09"
APART_NS: Final = 2_000_000_000
"""Between the two moments, as the venue dates them, that must differ."""


class EquityWatch:
    """See the module."""

    def __init__(
        self,
        state: RiskState,
        board: MarketBoard,
        keeper: HoldKeeper,
        accountant: Accountant,
        drift_ppm: int | None,
        doubts: dict[str, int],
    ) -> None:
        """Build one; `doubts` (venue -> when it began to differ) outlives a change of limits, not a restart."""
        self._state = state
        self._board = board
        self._keeper = keeper
        self._accountant = accountant
        self._drift_ppm = drift_ppm
        self._doubts = doubts

    def told(self, accounts: Iterable[MarginState], now_ns: int) -> None:
        """Judge the venues whose margin accounts were told just now and are folded already."""
        latest: dict[str, int] = {}
        for account in accounts:
            latest[account.venue] = max(account.event_time_ns, latest.get(account.venue, 0))
        for venue, at_ns in latest.items():
            self._judge(venue, at_ns, now_ns)

    def _judge(self, venue: str, at_ns: int, now_ns: int) -> None:
        scope, limit = Scope(ScopeKind.VENUE, venue), self._drift_ppm
        found = 0 if limit is None else self._drift(venue, now_ns)
        if found is None:
            return
        if limit is None or found <= limit:
            self._doubts.pop(venue, None)
            self._keeper.clear_cause(MISMATCH, scope, "the venue counts the same equity", now_ns)
        elif at_ns - self._doubts.setdefault(venue, at_ns) >= APART_NS:
            text = f"the margin accounts differ by {pct(found)} of equity, limit {pct(limit)}"
            self._keeper.raise_(TradingLevel.PAUSED, scope, MISMATCH, ReleaseRule.AUTO, now_ns, text)

    def _drift(self, venue: str, now_ns: int) -> int | None:
        """Return how far the margin accounts of a venue are from ours, ppm of equity; None = not known."""
        portfolio, equity, off = self._state.portfolio, self._accountant.equity(now_ns), 0
        if not equity.complete or equity.value <= 0:
            return None
        for (where, asset), account in portfolio.margins.items():
            if where != venue:
                continue
            opened = portfolio.open_result(venue, asset, self._state.rules, self._board)
            rate = self._board.rate(asset, long=False)
            if opened is None or rate is None:
                return None
            ours = portfolio.balances.get((venue, asset), 0) + opened
            off += amount(rate, abs(ours - to_units_floor(account.margin_balance)))
        return -(-off * PPM // equity.value)
