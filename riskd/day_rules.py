"""The rules of the day at work: the day loss pause, the loss guards, the day target, and closing what they want closed.

Looked at with every fill and every second. A loss that is seen on stale prices only pauses, until a fresh price or two
minutes confirm it.
"""

from __future__ import annotations

from typing import Final

from riskd.days import next_midnight
from riskd.flatten import Flattener
from riskd.guard_book import DAY_TARGET
from riskd.guards import Figures, Trip, pct, trips
from riskd.keeper import HoldKeeper
from riskd.ledger import Ledger
from riskd.losses import LossAction, LossRule, fresh_state, has_recovered, next_action, rearm_level
from riskd.marks import MarketBoard
from riskd.pnl import sums
from riskd.portfolio import Equity
from riskd.records import EquitySample, GuardReset, LossGuardState
from riskd.settings import NS_PER_S, Settings
from riskd.units import PPM, from_units
from tradebot.core.levels import SYSTEM_SCOPE, Hold, ReleaseRule, Scope, ScopeKind, TradingLevel

PRICE_SUSPECT: Final = "PRICE_SUSPECT"
SUSPECT_NS: Final = 120 * NS_PER_S
"""A loss that no fresh price has denied for so long counts."""
SAMPLE_NS: Final = 15 * NS_PER_S
"""Equity is written down this often when its velocity is watched."""
SLOW_SAMPLE_NS: Final = 60 * NS_PER_S
"""Else this often: it tells the journal what time it is."""
HIGH_STEP_PPM: Final = 500
"""A new high of the day is written down when it is this much above the one before."""
LOSS_ACTIONS: Final = (LossAction.PAUSE, LossAction.HALT)


class DayRules:
    """Acts for PNL-01 to PNL-07 and the day target."""

    def __init__(
        self, ledger: Ledger, board: MarketBoard, keeper: HoldKeeper, settings: Settings, flattener: Flattener
    ) -> None:
        self._ledger = ledger
        self._state = ledger.state
        self._board = board
        self._keeper = keeper
        self._settings = settings
        self._flattener = flattener
        self._day_ppm_now: int | None = None
        """Day PnL at the last look."""

    # ---- moments

    def begin_day(self) -> None:
        """The day was settled: its start is the balance that compounds."""
        state = self._state.loss
        if state.pause_hold_id or state.cautious_hold_id:  # counters wait until both are over
            fresh = LossGuardState(
                state.triggers, state.trigger_ppm, state.pause_hold_id, state.cautious_hold_id, True, state.overdue
            )
        else:
            fresh = fresh_state(self._settings.loss)
        if fresh != state:
            self._ledger.commit(fresh)

    def go_on(self, now_ns: int) -> None:
        """A process starts: whatever its last life left half done is done now."""
        self._day_loss(None, now_ns, "", acting=False)

    def may_end(self, hold: Hold, now_ns: int) -> bool:
        """A TIMED hold is over; return whether it goes. What follows a pause is raised before it does."""
        rule, state = self._settings.loss, self._state.loss
        if rule is None or hold.hold_id != state.pause_hold_id:
            return True
        day_ppm = self._day_ppm_now
        if rule.needs_recovery and not state.overdue and not has_recovered(rule, day_ppm):
            self._ledger.commit(
                LossGuardState(state.triggers, state.trigger_ppm, state.pause_hold_id, "", state.reset_due, True)
            )
            midnight = next_midnight(now_ns)
            self._keeper.retime(hold, midnight, hold.clear_after_ns, "NOT_RECOVERED", "riskd", now_ns)
            return False
        self._be_cautious(rule, day_ppm, now_ns)
        return True

    def watch(self, equity: Equity, now_ns: int) -> None:
        """Look at everything."""
        portfolio = self._state.portfolio
        day_ppm = portfolio.day_ppm(equity.value) if equity.complete else None
        self._day_ppm_now = day_ppm
        wanted = self._wanted(equity, now_ns) if equity.complete else []
        wanted = [trip for trip in wanted if not self._stands(trip)]
        losses = [trip for trip in wanted if trip.cause != DAY_TARGET]
        rule = self._settings.loss
        action = LossAction.NOTHING if rule is None else next_action(self._state.loss, rule, day_ppm, self._held())
        acting = not (losses or action in LOSS_ACTIONS) or self._is_believed(equity, now_ns)
        self._day_loss(day_ppm, now_ns, f"day PnL {pct(day_ppm or 0)}", acting=acting)
        for trip in wanted:
            if acting or trip.cause == DAY_TARGET:
                self._raise(trip, now_ns)
        if acting and equity.complete:  # last: what a believed loss raises stands before this goes
            self._keeper.clear_cause(PRICE_SUSPECT, SYSTEM_SCOPE, "prices are fresh, or the loss is believed", now_ns)
        self._close_out(now_ns)

    # ---- guards

    def _wanted(self, equity: Equity, now_ns: int) -> list[Trip]:
        book, rules = self._state.guards, self._settings.guards
        for cause in sorted(book.resets):
            self._ledger.commit(GuardReset(cause, from_units(equity.value), now_ns))
        self._sample(equity.value, now_ns)
        return trips(book, rules, self._figures(equity.value), now_ns)

    def _sample(self, equity: int, now_ns: int) -> None:
        book = self._state.guards
        every_ns = SLOW_SAMPLE_NS if self._settings.guards.velocity is None else SAMPLE_NS
        high = book.high(1, now_ns, 0)
        due = not book.samples or now_ns - book.samples[-1][0] >= every_ns
        if due or equity > high + high * HIGH_STEP_PPM // PPM:
            self._ledger.commit(EquitySample(from_units(equity), now_ns))

    def _stands(self, trip: Trip) -> bool:
        hold = self._state.holds.find(trip.cause, trip.scope)
        return hold is not None and hold.level >= trip.level

    def _raise(self, trip: Trip, now_ns: int) -> None:
        self._keeper.raise_(
            trip.level,
            trip.scope,
            trip.cause,
            trip.release,
            now_ns,
            trip.evidence,
            until_ns=trip.until_ns,
            clear_after_ns=trip.clear_after_ns,
        )

    def _figures(self, equity: int) -> Figures:
        state, rules = self._state, self._settings.guards
        portfolio = state.portfolio
        days = {} if rules.strategy is None else sums(portfolio, state.rules, self._board).strategies
        streaks = {SYSTEM_SCOPE: portfolio.all_trips}
        if rules.streak is None or rules.streak.per == "strategy":
            streaks = {Scope(ScopeKind.STRATEGY, owner): log for owner, log in portfolio.trips.items()}
        known = {strategy_id: line.day for strategy_id, line in days.items() if line.complete}
        return Figures(equity, portfolio.day_start, known, streaks)

    def _is_believed(self, equity: Equity, now_ns: int) -> bool:
        """Return whether a loss counts: prices are fresh, or have been suspect for too long."""
        holds = self._state.holds
        suspect = holds.find(PRICE_SUSPECT, SYSTEM_SCOPE)
        if not equity.stale_inputs:
            return True
        if suspect is None:
            text = f"a loss on {equity.stale_inputs} stale prices: waiting for fresh ones"
            self._keeper.raise_(TradingLevel.PAUSED, SYSTEM_SCOPE, PRICE_SUSPECT, ReleaseRule.AUTO, now_ns, text)
            return False
        return now_ns - suspect.raised_ns >= SUSPECT_NS

    def _close_out(self, now_ns: int) -> None:
        """Begin to close what the holds of closing guards cover, again and again: late fills are closed too."""
        for hold in list(self._state.holds.holds.values()):
            closing = hold.cause in self._settings.guards.closing
            if not closing or (hold.level < TradingLevel.HALTED and hold.cause != DAY_TARGET):
                continue
            found = [at for at in self._flattener.closable_in(hold.scope) if not self._gave_up(at[0])]
            for record in self._flattener.begin(found, now_ns):
                self._ledger.commit(record)

    def _gave_up(self, instrument_id: str) -> bool:
        return self._state.holds.find("FLATTEN_INCOMPLETE", Scope(ScopeKind.INSTRUMENT, instrument_id)) is not None

    # ---- PNL-01

    def _held(self) -> frozenset[str]:
        return frozenset(self._state.holds.holds)

    def _day_loss(self, day_ppm: int | None, now_ns: int, seen: str, *, acting: bool) -> None:
        """Do what PNL-01 wants next; without `acting` a loss waits and only what was begun goes on."""
        rule, state = self._settings.loss, self._state.loss
        if rule is None:
            return
        action = next_action(state, rule, day_ppm, self._held())
        match action:
            case LossAction.PAUSE if acting:
                pause_ns = rule.second_pause_ns if state.triggers else rule.pause_ns
                hold = self._raise_loss(TradingLevel.PAUSED, ReleaseRule.TIMED, seen, now_ns, now_ns + pause_ns)
                self._ledger.commit(
                    LossGuardState(state.triggers + 1, state.trigger_ppm, hold.hold_id, "", state.reset_due)
                )
            case LossAction.HALT if acting:
                hold = self._raise_loss(TradingLevel.HALTED, ReleaseRule.ONE_KEY, seen, now_ns, 0)
                self._ledger.commit(
                    LossGuardState(state.triggers + 1, state.trigger_ppm, hold.hold_id, "", state.reset_due)
                )
            case LossAction.BE_CAUTIOUS:
                self._be_cautious(rule, day_ppm, now_ns)
            case LossAction.END_PAUSE:
                paused = state.pause_hold_id
                self._be_cautious(rule, day_ppm, now_ns)
                self._keeper.clear(paused, "RECOVERED", "riskd", now_ns)
            case LossAction.REARM:
                self._ledger.commit(
                    fresh_state(rule)
                    if state.reset_due
                    else LossGuardState(state.triggers, state.trigger_ppm, "", "", reset_due=False)
                )
            case _:
                pass

    def _be_cautious(self, rule: LossRule, day_ppm: int | None, now_ns: int) -> None:
        """Half size follows the pause, or the halt; the same loss does not trigger again, a deeper one does."""
        state = self._state.loss
        seen = "after the pause" if day_ppm is None else f"after the pause, day PnL {pct(day_ppm)}"
        until_ns = now_ns + rule.cautious_ns
        hold = self._raise_loss(TradingLevel.CAUTIOUS, ReleaseRule.TIMED, seen, now_ns, until_ns)
        trigger = rearm_level(rule, day_ppm)
        self._ledger.commit(LossGuardState(state.triggers, trigger, "", hold.hold_id, state.reset_due))

    def _raise_loss(self, level: TradingLevel, release: ReleaseRule, evidence: str, now_ns: int, until_ns: int) -> Hold:
        halts = level is TradingLevel.HALTED
        return self._keeper.raise_(
            level,
            SYSTEM_SCOPE,
            "PNL-01",
            release,
            now_ns,
            evidence,
            until_ns=until_ns,
            clear_after_ns=next_midnight(now_ns) if halts else 0,
            always=True,
        )
