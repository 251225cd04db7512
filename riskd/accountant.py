"""Keeps the accounts: balances, fees in third assets, equity, the day's start."""

from __future__ import annotations

from decimal import Decimal
from typing import Final

from riskd.cap_watch import CapWatch
from riskd.day_rules import DayRules
from riskd.days import day_of
from riskd.ledger import Ledger
from riskd.marks import MarketBoard
from riskd.money_watch import MoneyWatch
from riskd.pnl import day_baseline
from riskd.portfolio import Equity
from riskd.records import AccountSeen, EquityPeak, LedgerSeen, MarginsSeen, Settlement
from riskd.settings import NS_PER_S
from riskd.units import PPM, from_units
from tradebot.core.accounts import AccountSnapshot, LedgerEntry, MarginState, PositionMargin
from tradebot.core.order_events import OrderEvent

EQUITY_AGE_NS: Final = 250_000_000
"""Equity is computed again for an ask when it is older than this or anything but marks changed."""
MARK_FRESH_NS: Final = 5 * NS_PER_S
"""Marks older than this make equity an estimate."""
PEAK_STEP_PPM: Final = 1_000
"""A new equity high is recorded when it is this much above the recorded one."""


class Accountant:
    """Everything that has to do with money of the account as a whole."""

    def __init__(self, ledger: Ledger, board: MarketBoard, rules: DayRules, caps: CapWatch, money: MoneyWatch) -> None:
        self._ledger = ledger
        self._state = ledger.state
        self._board = board
        self._rules = rules
        self._caps = caps
        self._money = money
        self._equity = Equity(0, 0, False, {})
        self._equity_ns = -EQUITY_AGE_NS

    def equity(self, now_ns: int) -> Equity:
        """Return equity as of now, at most EQUITY_AGE_NS old and no older than a mark that it stands on may be."""
        if self._board.forget_old(now_ns) or now_ns - self._equity_ns >= EQUITY_AGE_NS:
            return self.equity_now(now_ns)
        return self._equity

    def equity_now(self, now_ns: int) -> Equity:
        """Return equity at the marks of this moment, so that it fits positions that are reported beside it."""
        self._board.forget_old(now_ns)
        self._equity = self._state.portfolio.equity(self._board, self._state.rules, now_ns, MARK_FRESH_NS)
        self._equity_ns = now_ns
        return self._equity

    def forget_equity(self) -> None:
        """Something but marks changed: compute equity again."""
        self._equity_ns = -EQUITY_AGE_NS

    def fee_quote(self, event: OrderEvent) -> Decimal | None:
        """Return the fee of an execution in settlement asset when a third asset paid it and both have marks.

        A fee is worth what its asset costs to buy, a rebate what it can be sold for.
        """
        execution = event.execution
        rule = None if execution is None else self._state.rules.get(execution.instrument_id)
        if execution is None or rule is None or not execution.fee or execution.fee_asset == rule.settle:
            return None
        if rule.is_spot and execution.fee_asset == rule.base:
            return None
        paid = execution.fee > 0
        fee_rate, rate = self._board.rate(execution.fee_asset, not paid), self._board.rate(rule.settle, paid)
        if fee_rate is None or not rate:
            return None
        return execution.fee * fee_rate / rate

    def account(self, snapshot: AccountSnapshot) -> bool:
        """Take the venue's balances; a transfer is worth what its asset is worth now.

        Returns:
            Whether the account is worth something else than we knew.
        """
        wallets = self._state.portfolio.wallets
        before = wallets.changes
        worth = Decimal(0)
        if snapshot.transfer_asset:
            rate = self._board.rate(snapshot.transfer_asset)
            worth = Decimal(0) if rate is None else snapshot.transfer_delta * from_units(rate)
        self._ledger.commit(AccountSeen(snapshot, worth))
        return bool(snapshot.transfer_asset) or wallets.changes != before

    def ledger_entry(self, entry: LedgerEntry) -> None:
        """Take one line of the venue's ledger; it is worth what its asset is worth now."""
        rate = self._board.rate(entry.asset)
        worth = Decimal(0) if rate is None else entry.amount * from_units(rate)
        self._ledger.commit(LedgerSeen(entry, worth))

    def margins(self, accounts: list[MarginState], positions: list[PositionMargin]) -> None:
        """Take the venue's margin figures."""
        self._ledger.commit(MarginsSeen(accounts, positions))

    def balances_told(self, snapshots: list[AccountSnapshot], now_ns: int) -> None:
        """Snapshots are folded, and order events that came with them."""
        self._money.told(snapshots, self.equity(now_ns), now_ns)

    def evaluate(self, now_ns: int) -> None:
        """Roll the day, keep the peak, let the rules of the day act."""
        portfolio = self._state.portfolio
        equity = self.equity(now_ns)
        if equity.complete:
            self._money.settle(equity, now_ns)
            day = day_of(now_ns)
            if day > portfolio.day:  # a clock that was set back begins no day
                self._ledger.commit(Settlement(day, from_units(equity.value), now_ns))
                self._ledger.commit(day_baseline(day, portfolio, self._state.rules, self._board))
                self._rules.begin_day()
            peak = portfolio.peak
            if peak is None or equity.value > peak + peak * PEAK_STEP_PPM // PPM:
                self._ledger.commit(EquityPeak(from_units(equity.value)))
        self._rules.watch(equity, now_ns)
        self._caps.watch(equity, now_ns)
