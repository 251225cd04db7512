"""Keeps the accounts: balances, fees in third assets, equity, the day's start, and the day loss rule."""

from __future__ import annotations

from decimal import Decimal
from typing import Final

from riskd.keeper import HoldKeeper
from riskd.ledger import Ledger
from riskd.losses import LossAction, fresh_state, next_action, rearm_level
from riskd.marks import MarketBoard
from riskd.pnl import day_baseline
from riskd.portfolio import Equity, day_of
from riskd.records import AccountSeen, EquityPeak, LedgerSeen, LossGuardState, MarginsSeen, Settlement
from riskd.settings import NS_PER_S, Settings
from riskd.units import PPM, from_units
from tradebot.core.accounts import AccountSnapshot, LedgerEntry, MarginState, PositionMargin
from tradebot.core.levels import SYSTEM_SCOPE, Hold, ReleaseRule, TradingLevel
from tradebot.core.order_events import OrderEvent

EQUITY_AGE_NS: Final = 250_000_000
"""Equity is computed again for an ask when it is older than this or anything but marks changed."""
MARK_FRESH_NS: Final = 5 * NS_PER_S
"""Marks older than this make equity an estimate."""
PEAK_STEP_PPM: Final = 1_000
"""A new equity high is recorded when it is this much above the recorded one."""


class Accountant:
    """Everything that has to do with money of the account as a whole."""

    def __init__(self, ledger: Ledger, board: MarketBoard, keeper: HoldKeeper, settings: Settings) -> None:
        self._ledger = ledger
        self._state = ledger.state
        self._board = board
        self._keeper = keeper
        self._settings = settings
        self._equity = Equity(0, 0, False)
        self._equity_ns = -EQUITY_AGE_NS

    def equity(self, now_ns: int) -> Equity:
        """Return equity as of now, at most EQUITY_AGE_NS old."""
        if now_ns - self._equity_ns >= EQUITY_AGE_NS:
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

    def account(self, snapshot: AccountSnapshot) -> None:
        """Take the venue's balances; a transfer is worth what its asset is worth now."""
        worth = Decimal(0)
        if snapshot.transfer_asset:
            rate = self._board.rate(snapshot.transfer_asset)
            worth = Decimal(0) if rate is None else snapshot.transfer_delta * from_units(rate)
        self._ledger.commit(AccountSeen(snapshot, worth))

    def ledger_entry(self, entry: LedgerEntry) -> None:
        """Take one line of the venue's ledger; it is worth what its asset is worth now."""
        rate = self._board.rate(entry.asset)
        worth = Decimal(0) if rate is None else entry.amount * from_units(rate)
        self._ledger.commit(LedgerSeen(entry, worth))

    def margins(self, accounts: list[MarginState], positions: list[PositionMargin]) -> None:
        """Take the venue's margin figures."""
        self._ledger.commit(MarginsSeen(accounts, positions))

    def evaluate(self, now_ns: int) -> None:
        """Roll the day, keep the peak, let the loss rule act."""
        portfolio = self._state.portfolio
        equity = self.equity(now_ns)
        if equity.complete:
            day = day_of(now_ns)
            if day != portfolio.day:
                self._ledger.commit(Settlement(day, from_units(equity.value), now_ns))
                self._ledger.commit(day_baseline(day, portfolio, self._state.rules, self._board))
                self._roll_losses()
            peak = portfolio.peak
            if peak is None or equity.value > peak + peak * PEAK_STEP_PPM // PPM:
                self._ledger.commit(EquityPeak(from_units(equity.value)))
        day_ppm = portfolio.day_ppm(equity.value) if equity.complete else None
        self._watch_losses(day_ppm, now_ns)

    def _roll_losses(self) -> None:
        state = self._state.loss
        if state.pause_hold_id or state.cautious_hold_id:
            fresh = LossGuardState(
                state.triggers, state.trigger_ppm, state.pause_hold_id, state.cautious_hold_id, reset_due=True
            )
        else:
            fresh = fresh_state(self._settings.loss)
        if fresh != state:
            self._ledger.commit(fresh)

    def _watch_losses(self, day_ppm: int | None, now_ns: int) -> None:
        rule, state = self._settings.loss, self._state.loss
        if rule is None:
            return
        held = frozenset(self._state.holds.holds)
        seen = f"day PnL {(day_ppm or 0) / 10_000:.2f} %"
        match next_action(state, rule, day_ppm, held):
            case LossAction.NOTHING:
                pass
            case LossAction.PAUSE:
                pause_ns = rule.second_pause_ns if state.triggers else rule.pause_ns
                hold = self._raise_loss(TradingLevel.PAUSED, ReleaseRule.TIMED, seen, now_ns, now_ns + pause_ns)
                self._ledger.commit(
                    LossGuardState(state.triggers + 1, state.trigger_ppm, hold.hold_id, "", state.reset_due)
                )
            case LossAction.HALT:
                self._raise_loss(TradingLevel.HALTED, ReleaseRule.ONE_KEY, seen, now_ns, 0)
                self._ledger.commit(LossGuardState(state.triggers + 1, -PPM, "", "", state.reset_due))
            case LossAction.BE_CAUTIOUS:
                until_ns = now_ns + rule.cautious_ns
                hold = self._raise_loss(TradingLevel.CAUTIOUS, ReleaseRule.TIMED, seen, now_ns, until_ns)
                trigger = rearm_level(rule, day_ppm)
                self._ledger.commit(LossGuardState(state.triggers, trigger, "", hold.hold_id, state.reset_due))
            case LossAction.REARM:
                self._ledger.commit(
                    fresh_state(rule)
                    if state.reset_due
                    else LossGuardState(state.triggers, state.trigger_ppm, "", "", reset_due=False)
                )

    def _raise_loss(self, level: TradingLevel, release: ReleaseRule, evidence: str, now_ns: int, until_ns: int) -> Hold:
        return self._keeper.raise_(
            level, SYSTEM_SCOPE, "PNL-01", release, now_ns, evidence, until_ns=until_ns, always=True
        )
