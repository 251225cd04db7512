"""Loss guards PNL-02 to PNL-07 and the day target: when they trip, as functions of what is remembered and of now.

A guard that has acted does not act again on the same loss: what it has done stands in the holds, and what an operator
waived stands in the memory (riskd.guard_book).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from riskd.days import day_of, next_midnight
from riskd.guard_book import DAY_TARGET, GuardBook
from riskd.limits import (
    DayHalt,
    DayTarget,
    DrawdownHalt,
    Limits,
    LossStreak,
    LossVelocity,
    StrategyDayLoss,
    WeekHalt,
)
from riskd.rates import NS_PER_MIN
from riskd.round_trips import TripLog
from riskd.units import PPM_PER_PCT, ratio_ppm, to_units
from tradebot.core.levels import SYSTEM_SCOPE, ReleaseRule, Scope, ScopeKind, TradingLevel

TARGET_LEVEL: Final = {
    "cautious": TradingLevel.CAUTIOUS,
    "reduce_only": TradingLevel.REDUCE_ONLY,
    "pause": TradingLevel.PAUSED,
    "halt": TradingLevel.HALTED,
    "close_all": TradingLevel.PAUSED,
}


@dataclass(frozen=True, slots=True)
class GuardRules:
    """The guards of a limits file; None = not enforced."""

    day: DayHalt | None
    week: WeekHalt | None
    drawdown: DrawdownHalt | None
    velocity: LossVelocity | None
    streak: LossStreak | None
    strategy: StrategyDayLoss | None
    target: DayTarget | None
    closing: frozenset[str]
    """Causes whose holds close what is open."""


def make_guard_rules(limits: Limits) -> GuardRules:
    """Return the guards of a limits file."""
    day, week = limits.enforced("PNL-02", DayHalt), limits.enforced("PNL-03", WeekHalt)
    drawdown, streak = limits.enforced("PNL-04", DrawdownHalt), limits.enforced("PNL-06", LossStreak)
    target = limits.file.day_target
    acting = (("PNL-02", day), ("PNL-03", week), ("PNL-04", drawdown), ("PNL-06", streak), (DAY_TARGET, target))
    return GuardRules(
        day,
        week,
        drawdown,
        limits.enforced("PNL-05", LossVelocity),
        streak,
        limits.enforced("PNL-07", StrategyDayLoss),
        target,
        frozenset(cause for cause, rule in acting if rule is not None and rule.action == "close_all"),
    )


@dataclass(frozen=True, slots=True)
class Trip:
    """A hold that a guard wants."""

    cause: str
    level: TradingLevel
    scope: Scope
    release: ReleaseRule
    evidence: str
    until_ns: int = 0
    clear_after_ns: int = 0


@dataclass(frozen=True, slots=True)
class Figures:
    """What the guards look at besides their memory. Units of account currency."""

    equity: int
    """Now; known and complete."""
    day_start: int | None
    """Equity at 00:00 UTC; None = not known, and what is measured from it does not trip."""
    strategy_days: Mapping[str, int]
    """Strategy -> PnL of the day; strategies without a known mark are left out."""
    streaks: Mapping[Scope, TripLog]
    """Whom PNL-06 counts -> the round trips."""


def trips(book: GuardBook, rules: GuardRules, figures: Figures, now_ns: int) -> list[Trip]:
    """Return every hold that the guards want now; one that stands is wanted still, for as long as its loss lasts."""
    equity, day_start = figures.equity, figures.day_start
    found = [
        _day(book, rules.day, equity, day_start, now_ns),
        _week(book, rules.week, equity),
        _drawdown(book, rules.drawdown, equity, now_ns),
        _velocity(book, rules.velocity, equity, now_ns),
        _target(book, rules.target, equity, day_start, now_ns),
    ]
    wanted = [trip for trip in found if trip is not None]
    return wanted + _streaks(rules.streak, figures, now_ns) + _strategies(book, rules.strategy, figures, now_ns)


def _day(book: GuardBook, rule: DayHalt | None, equity: int, start: int | None, now_ns: int) -> Trip | None:
    if rule is None or start is None or start <= 0 or book.waived.get(("PNL-02", "")) == day_of(now_ns):
        return None
    high = book.high(1, now_ns, equity)
    told = []
    if rule.halt_at_pct is not None and (ppm := ratio_ppm(equity - start, start)) <= rule.halt_at_pct * PPM_PER_PCT:
        told.append(f"day PnL {pct(ppm)}")
    if rule.max_loss is not None and start - equity >= to_units(rule.max_loss):
        told.append(f"day loss at {rule.max_loss} or more")
    if rule.max_drawdown_pct is not None and high > 0:
        ppm = ratio_ppm(equity - high, high)
        if ppm <= -rule.max_drawdown_pct * PPM_PER_PCT:
            told.append(f"{pct(ppm)} from the day's high")
    if not told:
        return None
    midnight = next_midnight(now_ns)
    return Trip(
        "PNL-02", TradingLevel.HALTED, SYSTEM_SCOPE, ReleaseRule.ONE_KEY, "; ".join(told), clear_after_ns=midnight
    )


def _week(book: GuardBook, rule: WeekHalt | None, equity: int) -> Trip | None:
    start = book.week_start
    if rule is None or start is None or start <= 0 or "PNL-03" in book.resets:
        return None
    ppm = ratio_ppm(equity - start, start)
    if ppm > rule.halt_at_pct * PPM_PER_PCT:
        return None
    return Trip("PNL-03", TradingLevel.HALTED, SYSTEM_SCOPE, ReleaseRule.TWO_KEY, f"week PnL {pct(ppm)}")


def _drawdown(book: GuardBook, rule: DrawdownHalt | None, equity: int, now_ns: int) -> Trip | None:
    if rule is None or "PNL-04" in book.resets:
        return None
    high = book.high(rule.window_days, now_ns, equity)
    if high <= 0 or (ppm := ratio_ppm(equity - high, high)) > rule.halt_at_pct * PPM_PER_PCT:
        return None
    text = f"{pct(ppm)} from the high of {rule.window_days} days"
    after_ns = now_ns + rule.cool_off_h * 60 * NS_PER_MIN
    return Trip("PNL-04", TradingLevel.HALTED, SYSTEM_SCOPE, ReleaseRule.TWO_KEY, text, clear_after_ns=after_ns)


def _velocity(book: GuardBook, rule: LossVelocity | None, equity: int, now_ns: int) -> Trip | None:
    if rule is None:
        return None
    oldest_ns = now_ns - rule.window_min * NS_PER_MIN
    high = max((value for at, value in book.samples if at >= oldest_ns), default=equity)
    if high <= 0 or (ppm := ratio_ppm(equity - high, high)) > rule.pause_at_pct * PPM_PER_PCT:
        return None
    text = f"{pct(ppm)} within {rule.window_min} min"
    until_ns = now_ns + rule.pause_min * NS_PER_MIN
    return Trip("PNL-05", TradingLevel.PAUSED, SYSTEM_SCOPE, ReleaseRule.TIMED, text, until_ns)


def _target(book: GuardBook, rule: DayTarget | None, equity: int, start: int | None, now_ns: int) -> Trip | None:
    if rule is None or start is None or start <= 0 or book.waived.get((DAY_TARGET, "")) == day_of(now_ns):
        return None
    ppm = ratio_ppm(equity - start, start)
    if ppm < rule.target_pct * PPM_PER_PCT:
        return None
    until_ns, level = next_midnight(now_ns), TARGET_LEVEL[rule.action]
    return Trip(DAY_TARGET, level, SYSTEM_SCOPE, ReleaseRule.TIMED, f"day PnL {pct(ppm)}", until_ns)


def _streaks(rule: LossStreak | None, figures: Figures, now_ns: int) -> list[Trip]:
    if rule is None:
        return []
    found = []
    for scope, log in figures.streaks.items():
        losses = log.losses_in_row
        text = f"{losses} losing round trips in a row"
        if log.acted < rule.halt_after <= losses:
            found.append(Trip("PNL-06", TradingLevel.HALTED, scope, ReleaseRule.ONE_KEY, text))
        elif rule.pause_after is not None and log.acted < rule.pause_after <= losses:
            until_ns = now_ns + rule.pause_min * NS_PER_MIN
            found.append(Trip("PNL-06", TradingLevel.PAUSED, scope, ReleaseRule.TIMED, text, until_ns))
    return found


def _strategies(book: GuardBook, rule: StrategyDayLoss | None, figures: Figures, now_ns: int) -> list[Trip]:
    start = figures.day_start
    if rule is None or start is None or start <= 0:
        return []
    found = []
    for strategy_id, day in sorted(figures.strategy_days.items()):
        ppm = ratio_ppm(day, start)
        waived = book.waived.get(("PNL-07", strategy_id)) == day_of(now_ns)
        if ppm <= rule.halt_at_pct * PPM_PER_PCT and not waived:
            scope, until_ns = Scope(ScopeKind.STRATEGY, strategy_id), next_midnight(now_ns)
            text = f"strategy day PnL {pct(ppm)} of equity"
            found.append(Trip("PNL-07", TradingLevel.HALTED, scope, ReleaseRule.TIMED, text, until_ns))
    return found


def pct(ppm: int) -> str:
    """Return ppm as percent for people."""
    return f"{ppm / PPM_PER_PCT:.2f} %"
