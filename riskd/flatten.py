"""The flatten ladder: riskd's own closing of positions, one reduce command after the other with a wider bound.

The next command waits until the earlier one's order is over. Jobs are journaled, so a restart goes on.
Source of the bounds: the kill sequence of the risk design (50, 100, 200, 400 bps, 2 s apart).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from riskd.marks import MarketBoard
from riskd.records import FlattenState, Record, ReduceIssued
from riskd.state import RiskState
from riskd.units import UNIT, floor_to, from_units
from tradebot.core.approvals import ReduceCommand
from tradebot.core.levels import Scope
from tradebot.core.orders import Side

LADDER_BPS: Final = (50, 100, 200, 400)
"""Worst distance of the limit from the market, try by try; the last one repeats."""
STEP_NS: Final = 2_000_000_000
MAX_TRIES: Final = 30


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
        """Return one job per position that has none yet."""
        busy = {(job.instrument_id, job.strategy_id) for job in self._state.flattens.values()}
        fresh = [position for position in positions if position not in busy]
        first = self._state.flatten_count + 1
        return [
            FlattenState(f"{self._state.prefix}-F{first + n}", instrument_id, strategy_id, 0, now_ns)
            for n, (instrument_id, strategy_id) in enumerate(fresh)
        ]

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
            qty, side = self._closable(job.instrument_id, job.strategy_id)
            if not qty:
                records.append(_moved(job, job.tries, 0, "FLAT"))
            elif job.tries >= MAX_TRIES:
                records.append(_moved(job, job.tries, 0, "GAVE_UP"))
                gave_up.append(job.instrument_id)
            elif not session or self._is_working(job, side):
                records.append(_moved(job, job.tries, now_ns + STEP_NS, ""))
            else:
                issued += 1
                bound = LADDER_BPS[min(job.tries, len(LADDER_BPS) - 1)]
                reduce_id = f"{self._state.prefix}-R{issued}"
                amount = from_units(qty)
                records.append(
                    ReduceIssued(
                        reduce_id, job.flatten_id, job.instrument_id, job.strategy_id, side, amount, bound, "FLATTEN"
                    )
                )
                records.append(_moved(job, job.tries + 1, now_ns + STEP_NS, ""))
                commands.append(
                    ReduceCommand(reduce_id, job.instrument_id, job.strategy_id, side, amount, bound, "FLATTEN")
                )
        return records, commands, gave_up

    def _closable(self, instrument_id: str, strategy_id: str) -> tuple[int, Side]:
        """Return what the venue would let us close, in units; 0 for dust below its minimum."""
        rule = self._state.rules[instrument_id]
        units = self._state.portfolio.units_of(instrument_id, strategy_id)
        side = Side.SELL if units > 0 else Side.BUY
        qty = floor_to(abs(units), rule.lot)
        mark = self._state.portfolio.mark(instrument_id, units, self._board)
        too_small = mark is not None and qty * mark < rule.min_notional * UNIT
        return (0 if qty < rule.min_qty or too_small else qty), side

    def _is_working(self, job: FlattenState, side: Side) -> bool:
        return self._state.commitments.closing.get((job.instrument_id, job.strategy_id, side), 0) > 0


def _moved(job: FlattenState, tries: int, next_ns: int, outcome: str) -> FlattenState:
    return FlattenState(job.flatten_id, job.instrument_id, job.strategy_id, tries, next_ns, outcome)
