"""PTR-03 and PTR-04: what the eyes see that we hold at a venue, against everything that fills, fees and the ledger
explain since the first look.

A look and our books are never of the same moment. So a balance is right when it fits our books as they stood at any
moment since just before the look began; fills that the venue shows and execd has not told yet count as explained for a
grace. What still differs must differ in a second look, too.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Final

from riskd.eye_book import BALANCE_DRIFT, POSITION_DRIFT
from riskd.eye_rule import EyeRule
from riskd.records import EyesBaseline
from riskd.state import RiskState
from riskd.units import PPM, from_units, to_units_floor
from tradebot.core.amounts import format_decimal
from tradebot.core.looks import SeenFill, VenueLook

MARGIN_NS: Final = 2_000_000_000
"""Changes up to so long before a look may be missing in it: clocks differ."""
MOVES_BACK_NS: Final = 60_000_000_000
"""Moves older than this before a look are in it for certain; where the search ends."""
APART_NS: Final = 2_000_000_000
"""Between the two looks that must differ alike."""
MAX_LOOKS: Final = 4
"""A balance that differs in so many looks in a row is wrong, be it by another amount each time."""
READ_MARGIN_NS: Final = 15_000_000_000
"""A reconciliation of execd that ended so long after a fill was seen began after it, too."""
SAME: Final = 1_000_000
"""1e-6 of an asset: differences this close are the same one."""
MAX_WAITING: Final = 2_000
"""Fills that execd has not told, remembered at once."""


@dataclass(frozen=True, slots=True)
class Drift:
    """A difference that counts."""

    check_id: str
    detail: str


@dataclass(slots=True)
class _Doubt:
    looks: int
    since_ns: int
    """When the first of them began."""
    rests: list[int]


@dataclass(frozen=True, slots=True)
class _Waiting:
    fill: SeenFill
    since_ns: int


@dataclass(slots=True)
class DriftMemory:
    """What lies between two looks. Not journaled: a restart looks twice again."""

    candidates: dict[str, dict[str, list[int]]] = field(default_factory=dict)
    """Venue -> key -> amounts that may be its baseline."""
    doubts: dict[tuple[str, str], _Doubt] = field(default_factory=dict)
    waiting: dict[tuple[str, str], _Waiting] = field(default_factory=dict)
    """(instrument, exec id) -> a fill that the eyes know and execd has not told."""
    accepted: dict[tuple[str, str], None] = field(default_factory=dict)
    """Fills that were never told and are part of the baseline since an operator accepted what the venue holds."""


class DriftWatch:
    """Compares looks with the books. Keys are assets, or instruments of derivatives."""

    def __init__(self, state: RiskState, rule: EyeRule, memory: DriftMemory) -> None:
        self._state = state
        self._rule = rule
        self._memory = memory

    def look(self, look: VenueLook, now_ns: int, told_ns: int) -> tuple[list[Drift], EyesBaseline | None, bool]:
        """Compare one look.

        Args:
            look: Complete.
            now_ns: Now.
            told_ns: When execd last read everything at the venue; 0 = it does not hear the venue now.

        Returns:
            Differences that count; a baseline to write down; whether something differs that another look must confirm.
        """
        if self._rule.max_steps is None and self._rule.drift_ppm is None:
            return [], None, False
        baseline = self._state.eyes.baselines.get(look.venue)
        waiting = self._waiting(look, now_ns)
        late = [one for one in waiting if self._is_late(one, now_ns, told_ns)]
        if baseline is None:
            self._accept(late)
            still = [one.fill for one in waiting if one not in late]
            return [], self._settle(look, self._rests(look, still), now_ns), False
        rests = self._rests(look, [one.fill for one in waiting])
        drifts = [] if self._rule.max_steps is None else [_untold(one.fill) for one in late]
        doubtful = False
        for key, found in rests.items():
            check_id, tolerance = self._tolerance(look.venue, key, found, baseline)
            place = (look.venue, key)
            off = min((rest - baseline.get(key, 0) for rest in found), key=abs)
            if check_id is None or abs(off) <= tolerance:
                self._memory.doubts.pop(place, None)
                continue
            doubtful = True
            if self._confirmed(place, found, look.started_ns):
                total = _totals(look).get(key, 0)
                detail = f"{key}: venue {_shown(total)}, ours {_shown(total - off)}"
                drifts.append(Drift(check_id, detail))
        return drifts, None, doubtful

    # ---- fills

    def _waiting(self, look: VenueLook, now_ns: int) -> list[_Waiting]:
        """Return the fills that this venue has shown and we have not booked, those of earlier looks included."""
        state, memory = self._state, self._memory
        for fill in look.fills:
            key = (fill.instrument_id, fill.exec_id)
            known = key in memory.waiting or key in memory.accepted or fill.instrument_id not in state.rules
            if not known and fill.event_time_ns >= state.eyes.first_ns and len(memory.waiting) < MAX_WAITING:
                memory.waiting[key] = _Waiting(fill, now_ns)
        for key in [key for key in memory.waiting if state.portfolio.is_booked(*key)]:
            del memory.waiting[key]
        return [one for (instrument, _), one in memory.waiting.items() if state.rules[instrument].venue == look.venue]

    def _is_late(self, one: _Waiting, now_ns: int, told_ns: int) -> bool:
        """Return whether execd did not tell a fill within the grace, although it has read everything since."""
        return now_ns - one.since_ns > self._rule.fill_grace_ns and told_ns - one.since_ns >= READ_MARGIN_NS

    def _accept(self, late: Iterable[_Waiting]) -> None:
        memory = self._memory
        for one in late:
            key = (one.fill.instrument_id, one.fill.exec_id)
            del memory.waiting[key]
            memory.accepted[key] = None
            if len(memory.accepted) > MAX_WAITING:
                del memory.accepted[next(iter(memory.accepted))]

    # ---- amounts

    def _rests(self, look: VenueLook, waiting: Iterable[SeenFill]) -> dict[str, list[int]]:
        """Return key -> what the venue holds beyond what is explained, for every moment that the look may show."""
        state, venue = self._state, look.venue
        totals, explained = _totals(look), dict[str, int]()
        for (where, asset), units in state.portfolio.wallets.explained.items():
            if where == venue:
                explained[asset] = units
        for instrument_id, units in state.portfolio.net.items():
            if state.rules[instrument_id].venue == venue and not state.rules[instrument_id].is_spot:
                explained[instrument_id] = units
        for fill in waiting:
            for key, delta in self._flows(fill):
                explained[key] = explained.get(key, 0) + delta
        late = self._late_moves(look)
        keys = totals.keys() | explained.keys() | self._state.eyes.baselines.get(venue, {}).keys()
        found: dict[str, list[int]] = {}
        for key in keys:
            rest = totals.get(key, 0) - explained.get(key, 0)
            found[key] = [rest]
            for delta in late.get(key, ()):
                rest += delta
                found[key].append(rest)
        return found

    def _late_moves(self, look: VenueLook) -> dict[str, list[int]]:
        """Return key -> changes that the look may not show, newest first."""
        found: dict[str, list[int]] = {}
        for at_ns, venue, asset, delta in reversed(self._state.portfolio.wallets.moves):
            if at_ns < look.started_ns - MOVES_BACK_NS:
                break
            if venue == look.venue and at_ns >= look.started_ns - MARGIN_NS:
                found.setdefault(asset, []).append(delta)
        return found

    def _flows(self, fill: SeenFill) -> Iterator[tuple[str, int]]:
        rule = self._state.rules[fill.instrument_id]
        signed = to_units_floor(fill.qty) * fill.side.sign
        if rule.is_spot:
            yield rule.base, signed
            yield rule.quote, rule.contract.flow(signed, to_units_floor(fill.price))
        else:
            yield fill.instrument_id, signed
        if fill.fee:
            yield fill.fee_asset, to_units_floor(-fill.fee)

    def _tolerance(self, venue: str, key: str, rests: list[int], baseline: dict[str, int]) -> tuple[str | None, int]:
        """Return the check that judges a key (None: it is off) and the largest difference that it allows."""
        rules = [rule for rule in self._state.rules.values() if rule.venue == venue]
        lots = [rule.lot for rule in rules if key in (rule.instrument_id, rule.base)]
        if lots:
            steps = self._rule.max_steps
            return (None, 0) if steps is None else (POSITION_DRIFT, steps * max(lots))
        if self._rule.drift_ppm is None:
            return None, 0
        held = abs(self._state.portfolio.wallets.explained.get((venue, key), 0) + baseline.get(key, 0))
        step = max((rule.tick for rule in rules if rule.quote == key), default=SAME)
        return BALANCE_DRIFT, max(step, held * self._rule.drift_ppm // PPM)

    def _confirmed(self, place: tuple[str, str], rests: list[int], started_ns: int) -> bool:
        """Note a look that differs; return whether it is the second alike, or one too many."""
        doubt = self._memory.doubts.get(place)
        if doubt is None:
            self._memory.doubts[place] = _Doubt(1, started_ns, rests)
            return False
        alike = bool(_common(doubt.rests, rests))
        doubt.looks, doubt.rests = doubt.looks + 1, rests
        return started_ns - doubt.since_ns >= APART_NS and (alike or doubt.looks >= MAX_LOOKS)

    def _settle(self, look: VenueLook, rests: dict[str, list[int]], now_ns: int) -> EyesBaseline | None:
        """Return what the venue holds beyond our books once two looks in a row leave no doubt about it."""
        before = self._memory.candidates.get(look.venue)
        common = {key: _common(before.get(key, [0]), found) for key, found in rests.items()} if before else {}
        if not common or any(not found or max(found) - min(found) > SAME for found in common.values()):
            self._memory.candidates[look.venue] = {key: common.get(key) or found for key, found in rests.items()}
            return None
        del self._memory.candidates[look.venue]
        amounts = [(key, from_units(found[0])) for key, found in sorted(common.items()) if found[0]]
        return EyesBaseline(look.venue, amounts, now_ns)


def _totals(look: VenueLook) -> dict[str, int]:
    totals = {balance.asset: to_units_floor(balance.total) for balance in look.balances}
    return totals | {position.instrument_id: to_units_floor(position.qty) for position in look.positions}


def _untold(fill: SeenFill) -> Drift:
    text = f"{fill.instrument_id}: fill {fill.exec_id}, {fill.side.name} {fill.qty} at {fill.price}"
    return Drift(POSITION_DRIFT, f"{text} of order {fill.venue_order_id}, is not told")


def _shown(units: int) -> str:
    return format_decimal(from_units(units))


def _common(before: list[int], now: list[int]) -> list[int]:
    """Return what of `now` was possible before, too."""
    return [rest for rest in now if any(abs(rest - earlier) <= SAME for earlier in before)]
