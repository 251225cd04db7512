"""Money that moved and nobody explains: no profit, no loss, and a hold (PTR-04) until somebody has looked.

A balance may change by more than fills, fees, the ledger and transfers explain: a deposit or withdrawal while execd was
down, an event that was missed. Nobody knows that it was earned or lost by trading: day start, week start and highs move
along with it, and back when an explanation follows. What the venue tells and our books are never of the same moment, so
the hold waits until a later snapshot shows the difference, too. So does what is worth nothing together, as one asset
for another: mostly a fill that the venue shows first.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
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


@dataclass(slots=True)
class MoneyMemory:
    """What lies between two snapshots; outlives a change of limits, not a restart. Venue -> when it began."""

    doubts: dict[str, int] = field(default_factory=dict)
    """That more is unexplained than the limit allows."""
    owed: dict[str, int] = field(default_factory=dict)
    """That something is unexplained by which no baseline was moved."""


class MoneyWatch:
    """See the module."""

    def __init__(
        self, ledger: Ledger, board: MarketBoard, keeper: HoldKeeper, drift_ppm: int | None, memory: MoneyMemory
    ) -> None:
        self._ledger = ledger
        self._wallets = ledger.state.portfolio.wallets
        self._board = board
        self._keeper = keeper
        self._drift_ppm = drift_ppm
        self._memory = memory

    def settle(self, equity: Equity, now_ns: int) -> None:
        """Move the baselines of profit and loss along, before anybody compares them with equity."""
        worth, found = self._worth(self._wallets.owed)
        if found and abs(sum(worth)) * PPM > max(equity.value, 0) * LEAST_PPM:
            self._move(sum(worth), found, now_ns)

    def told(self, snapshots: Iterable[AccountSnapshot], equity: Equity, now_ns: int) -> None:
        """Judge the venues whose balances were told just now and are folded already."""
        if not equity.complete:
            return
        for snapshot in snapshots:
            venue, at_ns = snapshot.venue, snapshot.event_time_ns
            if self._ledger.state.applied < snapshot.after_order_sequence:
                continue  # the fills that it contains are told next
            worth, found = self._worth(self._wallets.owed, venue)
            if self._lasts(self._memory.owed, venue, at_ns, sum(map(abs, worth)), equity, LEAST_PPM):
                self._move(sum(worth), found, now_ns)
            if self._drift_ppm is None:
                continue
            worth, found = self._worth(self._wallets.unexplained, venue)
            if self._lasts(self._memory.doubts, venue, at_ns, abs(sum(worth)), equity, self._drift_ppm):
                self._raise(venue, sum(worth), found, now_ns)

    @staticmethod
    def _lasts(since: dict[str, int], venue: str, at_ns: int, worth: int, equity: Equity, limit_ppm: int) -> bool:
        """Return whether an earlier snapshot was beyond the limit, too."""
        if worth * PPM <= max(equity.value, 0) * limit_ppm:
            since.pop(venue, None)
            return False
        return at_ns - since.setdefault(venue, at_ns) >= APART_NS

    def _move(self, worth: int, found: dict[tuple[str, str], int], now_ns: int) -> None:
        amounts = [(venue, asset, from_units(units)) for (venue, asset), units in found.items()]
        self._ledger.commit(MoneyMoved(amounts, from_units(worth), now_ns))

    def _raise(self, venue: str, worth: int, found: dict[tuple[str, str], int], now_ns: int) -> None:
        moved = ", ".join(f"{from_units(units).normalize():+f} {asset}" for (_, asset), units in sorted(found.items()))
        text = f"{moved} that no fill, fee or ledger entry explains, worth {from_units(worth):.2f}"
        scope = Scope(ScopeKind.VENUE, venue)
        self._keeper.raise_(TradingLevel.PAUSED, scope, BALANCE_DRIFT, ReleaseRule.ONE_KEY, now_ns, text)

    def _worth(
        self, amounts: dict[tuple[str, str], int], venue: str = ""
    ) -> tuple[list[int], dict[tuple[str, str], int]]:
        """Return what each amount (of one venue) is worth that anybody quotes, and those amounts."""
        worth, found = [], {}
        for key, units in amounts.items():
            rate = self._board.rate(key[1])
            if rate is not None and venue in ("", key[0]):
                worth.append(amount_floor(rate, units))
                found[key] = units
        return worth, found
