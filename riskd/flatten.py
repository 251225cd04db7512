"""The flatten ladder: riskd's own closing of positions, one reduce command after the other with a wider bound.

The next command waits until the earlier one's order is over. Jobs are journaled, so a restart goes on.
Source of the bounds: the kill sequence of the risk design (50, 100, 200, 400 bps, 2 s apart).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import msgspec

from riskd.holds import FLATTEN
from riskd.marks import MarketBoard
from riskd.records import FlattenState, Record, ReduceIssued
from riskd.state import RiskState
from riskd.units import UNIT, floor_to, from_units, to_units_floor
from tradebot.core.approvals import ReduceCommand
from tradebot.core.levels import Scope, TradingLevel
from tradebot.core.orders import Side


@dataclass(frozen=True, slots=True)
class Ladder:
    """How hard one kind of closing tries."""

    bounds_bps: tuple[int, ...]
    """Worst distance of the limit from the market, try by try; the last one repeats."""
    step_ns: int
    """From one try to the next."""
    tries: int
    slices: int
    """Each try closes at most this part of what is left: 4 = a quarter."""


SOFT_CAP: Final = "SOFT_CAP"
LADDERS: Final = {
    FLATTEN: Ladder((50, 100, 200, 400), 2_000_000_000, 30, 1),
    SOFT_CAP: Ladder((50,) * 5 + (100,) * 5 + (150,) * 5 + (200,), 15_000_000_000, 20, 4),
}
"""By what it is for. A soft cap is in no hurry: from 50 to 200 bps over five minutes, in quarters."""


@dataclass(frozen=True, slots=True)
class FlattenResult:
    """What was begun; `reason` when nothing was."""

    reduces: tuple[ReduceCommand, ...]
    reason: str = ""
    detail: str = ""


class Flattener:
    """Works the flatten jobs of the state."""

    def __init__(self, state: RiskState, board: MarketBoard) -> None:
        self._state = state
        self._board = board

    def in_scope(self, scope: Scope) -> list[tuple[str, str]]:
        """Return (instrument, strategy) of every open position that a scope covers."""
        rules = self._state.rules
        return [
            (instrument_id, strategy_id)
            for instrument_id, strategy_id, _ in self._state.portfolio.open_positions(rules)
            if scope.covers(rules[instrument_id].venue, instrument_id, strategy_id)
        ]

    def closable_in(self, scope: Scope) -> list[tuple[str, str]]:
        """Return the open positions that a scope covers and whose quantity and value the venue would take."""
        return [found for found in self.in_scope(scope) if self._closable(*found)[0]]

    def begin(self, positions: list[tuple[str, str]], now_ns: int) -> list[FlattenState]:
        """Return one closing job per position that has none yet; a job that only reduces gives way to it."""
        jobs = {(job.instrument_id, job.strategy_id): job for job in self._state.flattens.values()}
        fresh = [at for at in positions if at not in jobs or jobs[at].cause != FLATTEN]
        ended = [_moved(jobs[at], jobs[at].tries, 0, "SUPERSEDED") for at in fresh if at in jobs]
        return ended + [
            FlattenState(self._next_id(n), instrument_id, strategy_id, 0, now_ns)
            for n, (instrument_id, strategy_id) in enumerate(fresh)
        ]

    def reduce(self, instrument_id: str, strategy_id: str, keep: int, now_ns: int) -> FlattenState | None:
        """Return a job that reduces a position to `keep` units; None when one is at work or nothing can be sold."""
        busy = any(
            (job.instrument_id, job.strategy_id) == (instrument_id, strategy_id)
            for job in self._state.flattens.values()
        )
        if busy or not self._closable(instrument_id, strategy_id, keep)[0]:
            return None
        return FlattenState(
            self._next_id(0), instrument_id, strategy_id, 0, now_ns, keep=from_units(keep), cause=SOFT_CAP
        )

    def _next_id(self, offset: int) -> str:
        return f"{self._state.prefix}-F{self._state.flatten_count + 1 + offset}"

    def next_ns(self) -> int | None:
        """Return when the next job wants work."""
        return min((job.next_ns for job in self._state.flattens.values()), default=None)

    def work(self, now_ns: int, *, session: bool) -> tuple[list[Record], list[ReduceCommand], list[str]]:
        """Advance every job that is due.

        Returns:
            Records to commit, commands to send, instruments that stay open after the last try.
        """
        records: list[Record] = []
        commands: list[ReduceCommand] = []
        gave_up: list[str] = []
        issued = self._state.reduce_count
        for job in list(self._state.flattens.values()):
            if job.next_ns > now_ns:
                continue
            ladder = LADDERS[job.cause]
            qty, side = self._closable(job.instrument_id, job.strategy_id, to_units_floor(job.keep), ladder.slices)
            if not qty:
                records.append(_moved(job, job.tries, 0, "FLAT"))
            elif job.tries >= ladder.tries:
                records.append(_moved(job, job.tries, 0, "GAVE_UP"))
                if job.cause == FLATTEN:
                    gave_up.append(job.instrument_id)
            elif not session or self._is_working(job, side) or self._must_wait(job):
                records.append(_moved(job, job.tries, now_ns + ladder.step_ns, ""))
            else:
                issued += 1
                bound = ladder.bounds_bps[min(job.tries, len(ladder.bounds_bps) - 1)]
                reduce_id = f"{self._state.prefix}-R{issued}"
                amount = from_units(qty)
                records.append(
                    ReduceIssued(
                        reduce_id, job.flatten_id, job.instrument_id, job.strategy_id, side, amount, bound, job.cause
                    )
                )
                records.append(_moved(job, job.tries + 1, now_ns + ladder.step_ns, ""))
                commands.append(
                    ReduceCommand(reduce_id, job.instrument_id, job.strategy_id, side, amount, bound, job.cause)
                )
        return records, commands, gave_up

    def _closable(self, instrument_id: str, strategy_id: str, keep: int = 0, slices: int = 1) -> tuple[int, Side]:
        """Return what to close next and the venue would take, in units; 0 when nothing or only dust is left to close.

        A slice that is too small for the venue becomes the smallest that is not.
        """
        rule = self._state.rules[instrument_id]
        units = self._state.portfolio.units_of(instrument_id, strategy_id)
        side = Side.SELL if units > 0 else Side.BUY
        excess = abs(units) - keep
        mark = self._state.portfolio.mark(instrument_id, units, self._board)
        smallest = max(rule.min_qty, 0 if not mark else -(-rule.min_notional * UNIT // mark))
        smallest += -smallest % rule.lot
        qty = floor_to(min(excess, max(-(-excess // slices), smallest)), rule.lot)
        if not keep and 0 < excess - qty < smallest:  # what would be left could not be sold any more
            qty = floor_to(excess, rule.lot)
        if keep and 0 < qty < smallest:  # a little more than asked for, rather than nothing
            qty = min(smallest, floor_to(abs(units), rule.lot))
        return (0 if excess <= 0 or qty < smallest else qty), side

    def _must_wait(self, job: FlattenState) -> bool:
        """Return whether the level forbids it: at KILLED only what was asked to be flat is closed."""
        rule = self._state.rules[job.instrument_id]
        level = self._state.holds.level_for(rule.venue, job.instrument_id, job.strategy_id)
        return job.cause != FLATTEN and level >= TradingLevel.KILLED

    def _is_working(self, job: FlattenState, side: Side) -> bool:
        return self._state.commitments.closing.get((job.instrument_id, job.strategy_id, side), 0) > 0


def _moved(job: FlattenState, tries: int, next_ns: int, outcome: str) -> FlattenState:
    return msgspec.structs.replace(job, tries=tries, next_ns=next_ns, outcome=outcome)
