"""Money that moved and nobody explains: no profit, no loss, and a hold (PTR-04) until somebody has looked.

A balance may change by more than fills, fees, the ledger and transfers explain: a deposit or withdrawal while execd was
down, an event that was missed. Nobody knows that it was earned or lost by trading: day start, week start and highs move
along with it, and back when an explanation follows. What the venue tells and our books are never of the same moment, so
the hold waits until a later snapshot shows the difference, too.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from riskd.eye_book import BALANCE_DRIFT
from riskd.keeper import HoldKeeper
from riskd.ledger import Ledger
from riskd.marks import MarketBoard
from riskd.portfolio import Equity
from riskd.records import MoneyMoved
from riskd.units import PPM, amount_floor, from_units
from tradebot.core.accounts import AccountSnapshot
from tradebot.core.levels import ReleaseRule, Scope, ScopeKind, TradingLevel

APART_NS: Final = 2_000_000_000
"""Between the two snapshots, as the venue dates them, that must differ."""
LEAST_PPM: Final = 100
"""Of equity: less than this is left in profit and loss until more comes together."""


class MoneyWatch:
    """See the module."""

    def __init__(
        self, ledger: Ledger, board: MarketBoard, keeper: HoldKeeper, drift_ppm: int | None, doubts: dict[str, int]
    ) -> None:
        """Build one; `doubts` (venue -> when it began to differ) outlives a change of limits, not a restart."""
        self._ledger = ledger
        self._wallets = ledger.state.portfolio.wallets
        self._board = board
        self._keeper = keeper
        self._drift_ppm = drift_ppm
        self._doubts = doubts

    def settle(self, equity: Equity, now_ns: int) -> None:
        """Move the baselines of profit and loss along, before anybody compares them with equity."""
        worth, found = self._worth(self._wallets.owed)
        if found and abs(worth) * PPM > max(equity.value, 0) * LEAST_PPM:
            amounts = [(venue, asset, from_units(units)) for (venue, asset), units in found.items()]
            self._ledger.commit(MoneyMoved(amounts, from_units(worth), now_ns))

    def told(self, snapshots: Iterable[AccountSnapshot], equity: Equity, now_ns: int) -> None:
        """Judge the venues whose balances were told just now and are folded already."""
        if self._drift_ppm is None or not equity.complete:
            return
        for snapshot in snapshots:
            venue, at_ns = snapshot.venue, snapshot.event_time_ns
            mine = {key: units for key, units in self._wallets.unexplained.items() if key[0] == venue}
            worth, _ = self._worth(mine)
            if abs(worth) * PPM <= max(equity.value, 0) * self._drift_ppm:
                self._doubts.pop(venue, None)
            elif at_ns - self._doubts.setdefault(venue, at_ns) >= APART_NS:
                self._raise(venue, worth, mine, now_ns)

    def _raise(self, venue: str, worth: int, found: dict[tuple[str, str], int], now_ns: int) -> None:
        moved = ", ".join(f"{from_units(units).normalize():+f} {asset}" for (_, asset), units in sorted(found.items()))
        text = f"{moved} that no fill, fee or ledger entry explains, worth {from_units(worth):.2f}"
        scope = Scope(ScopeKind.VENUE, venue)
        self._keeper.raise_(TradingLevel.PAUSED, scope, BALANCE_DRIFT, ReleaseRule.ONE_KEY, now_ns, text)

    def _worth(self, amounts: dict[tuple[str, str], int]) -> tuple[int, dict[tuple[str, str], int]]:
        """Return what amounts are worth together, and those of them that anybody quotes."""
        worth, found = 0, {}
        for key, units in amounts.items():
            rate = self._board.rate(key[1])
            if rate is not None:
                worth += amount_floor(rate, units)
                found[key] = units
        return worth, found
