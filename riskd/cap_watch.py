"""Watches the soft caps and acts: holds, the journal of the grace, and reducing jobs. The rule is riskd.soft_caps."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from riskd.caps import Cap
from riskd.clusters import ClusterTracker
from riskd.flatten import Flattener
from riskd.guards import pct
from riskd.keeper import HoldKeeper
from riskd.ledger import Ledger
from riskd.marks import MarketBoard
from riskd.portfolio import Equity
from riskd.records import ClustersSeen, SoftCapState
from riskd.settings import Settings
from riskd.soft_caps import CLUSTER_SEPARATOR, HOLDING_TIME, Measure, Move, Part, judge, share_ppm, to_close, totals
from riskd.units import PPM, amount
from tradebot.core.levels import ReleaseRule, TradingLevel

POSITION: Final = "POS-02"
GROSS: Final = "POS-04"
NET: Final = "POS-05"
BASE: Final = "POS-06"
CLUSTER: Final = "POS-07"
STRESS: Final = "POS-13"
HARD_SUFFIX: Final = "_HARD"
"""Of the cause of the halt that follows a hard cap that reducing did not mend."""


class CapWatch:
    """Looks at every position with every fill and every second."""

    def __init__(
        self, ledger: Ledger, board: MarketBoard, keeper: HoldKeeper, settings: Settings, flattener: Flattener
    ) -> None:
        self._ledger = ledger
        self._state = ledger.state
        self._board = board
        self._keeper = keeper
        self._settings = settings
        self._flattener = flattener
        self._tracker: ClusterTracker | None = None
        self._of_base: dict[str, str] = {}
        """Base asset -> its instruments, as the key of a measure."""
        self._grouped = 0
        """Instruments that were there when it was made."""

    def watch(self, equity: Equity, now_ns: int) -> None:
        """Look at everything; without a known equity above 0 only ages are judged, and nothing that was begun ends."""
        rule = self._settings.soft_caps
        if rule is None:
            return
        self._follow_clusters(now_ns)
        worth = equity.value if equity.complete and equity.value > 0 else None
        measures = list(self._measures(worth, now_ns))
        for measure in measures:
            grace_ns = rule.holding_grace_ns if measure.cap == HOLDING_TIME else rule.grace_ns
            state = self._state.soft_caps.get((measure.cap, measure.key))
            fresh, move = judge(measure, state, grace_ns, now_ns)
            if fresh is not None and fresh != state:
                self._ledger.commit(fresh)
            self._act(measure, move, now_ns)
        self._forget_gone({(m.cap, m.key) for m in measures}, now_ns, ages_only=worth is None)

    def _act(self, measure: Measure, move: Move, now_ns: int) -> None:
        if move is Move.NOTHING and (measure.cap, measure.key) not in self._state.soft_caps:
            return
        if move is Move.END:
            self._end(measure, now_ns)
            return
        cap, used = measure.cap, pct(share_ppm(measure.value, measure.soft))
        text = f"{measure.key or 'the portfolio'} at {used} of its soft cap"
        for scope in measure.scopes:  # every time: a crash between the record and the hold is mended here
            self._keeper.raise_(TradingLevel.REDUCE_ONLY, scope, cap, ReleaseRule.AUTO, now_ns, text)
            if move is Move.HALT:
                cause = f"{cap}{HARD_SUFFIX}"
                self._keeper.raise_(TradingLevel.HALTED, scope, cause, ReleaseRule.ONE_KEY, now_ns, text)
        if move in (Move.CLOSE, Move.HALT) or measure.value > measure.hard:
            self._close(measure, now_ns)

    def _close(self, measure: Measure, now_ns: int) -> None:
        rule = self._settings.soft_caps
        found = to_close(measure) if rule is not None and rule.auto_close else None
        if found is None:
            return
        part, keep = found
        job = self._flattener.reduce(part.instrument_id, part.strategy_id, keep, now_ns)
        if job is not None:
            self._ledger.commit(job)

    def _end(self, measure: Measure, now_ns: int) -> None:
        """Clear first, forget then: a crash in between clears again."""
        others = [s for at, s in self._state.soft_caps.items() if at != (measure.cap, measure.key)]
        for scope in measure.scopes:
            if not any(other.cap == measure.cap and scope in _scopes(other) for other in others):
                self._keeper.clear_cause(measure.cap, scope, "back under the soft cap", now_ns)
        self._ledger.commit(SoftCapState(measure.cap, measure.key, 0, 0))

    def _forget_gone(self, measured: set[tuple[str, str]], now_ns: int, *, ages_only: bool) -> None:
        """What is flat, or no cluster any more, is measured no longer: its state ends."""
        for cap, key in [at for at in self._state.soft_caps if at not in measured]:
            if not ages_only or cap == HOLDING_TIME:
                self._end(Measure(cap, key, 0, 0, 0, ()), now_ns)

    # ---- clusters

    def _follow_clusters(self, now_ns: int) -> None:
        rule = self._settings.clusters
        if rule is None:
            return
        if self._tracker is None:  # the first look of this life
            self._tracker = ClusterTracker(rule)
            self._tracker.seed(self._state.clusters)
        views = self._board.views
        prices = {
            name: float(view.good_bid + view.good_ask)  # twice the mid: returns do not mind
            for name in self._state.rules
            if (view := views.get(name)) is not None and view.is_good
        }
        self._tracker.feed(prices, now_ns)
        if self._tracker.clusters != self._state.clusters:
            self._ledger.commit(ClustersSeen([list(names) for names in self._tracker.clusters], now_ns))

    # ---- measures

    def _measures(self, equity: int | None, now_ns: int) -> Iterator[Measure]:
        parts = self._parts(now_ns)
        yield from self._aged(parts, now_ns)
        if equity is None:
            return
        by_instrument: dict[str, list[Part]] = {}
        for part in parts:
            by_instrument.setdefault(part.instrument_id, []).append(part)
        settings = self._settings
        tier_ppm, soft, hard = settings.tier_ppm, settings.position_soft, settings.position_hard
        for instrument_id, own in sorted(by_instrument.items()):
            yield from _held(POSITION, instrument_id, own, soft, hard, equity, tier_ppm)
        yield from _held(GROSS, "", parts, settings.gross_soft, settings.gross_hard, equity, tier_ppm)
        yield from self._softened(parts, equity)
        for cluster in self._state.clusters:
            inside = [part for name in cluster for part in by_instrument.get(name, ())]
            key = CLUSTER_SEPARATOR.join(cluster)
            yield from _held(CLUSTER, key, inside, settings.cluster_soft, settings.cluster_hard, equity, tier_ppm)

    def _softened(self, parts: list[Part], equity: int) -> Iterator[Measure]:
        """Caps that have a soft one only where the limits say so."""
        orders, tier_ppm = self._settings.orders, self._settings.tier_ppm
        bought, sold = [part for part in parts if part.units > 0], [part for part in parts if part.units < 0]
        leans = totals(bought) - totals(sold)
        if orders.net_soft is not None and orders.net_exposure is not None and parts:
            soft, hard = orders.net_soft.of(equity, tier_ppm), orders.net_exposure.of(equity, tier_ppm)
            yield Measure(NET, "", abs(leans), soft, hard, tuple(bought if leans >= 0 else sold))
        stress = orders.stress
        if stress is not None and stress.soft is not None:
            soft, hard = stress.soft.of(equity, tier_ppm), stress.hard.of(equity, tier_ppm)
            sides = [(bought, stress.fall_ppm), (sold, stress.rise_ppm)]
            side, ppm = max(sides, key=lambda one: totals(one[0]) * one[1])  # what it would lose, as what it is worth
            if side:
                yield Measure(STRESS, "", totals(side), soft * PPM // ppm, hard * PPM // ppm, tuple(side))
        yield from self._concentrated(parts, equity)

    def _concentrated(self, parts: list[Part], equity: int) -> Iterator[Measure]:
        """Each base asset that is held, over all its instruments: none of them may grow."""
        rules, orders, held = self._state.rules, self._settings.orders, dict[str, list[Part]]()
        if orders.concentration_soft is None or orders.concentration is None:
            return
        for part in parts:
            held.setdefault(rules[part.instrument_id].base, []).append(part)
        if len(rules) != self._grouped:  # none ever goes
            names = dict[str, list[str]]()
            for name in sorted(rules):
                names.setdefault(rules[name].base, []).append(name)
            self._of_base = {base: CLUSTER_SEPARATOR.join(own) for base, own in names.items()}
            self._grouped = len(rules)
        tier_ppm = self._settings.tier_ppm
        soft, hard = orders.concentration_soft.of(equity, tier_ppm), orders.concentration.of(equity, tier_ppm)
        for base, own in sorted(held.items()):
            yield Measure(BASE, self._of_base[base], totals(own), soft, hard, tuple(own))

    def _parts(self, now_ns: int) -> list[Part]:
        """Return every open position with its notional; without a mark that is 0, and only its age is judged."""
        state, found = self._state, []
        for instrument_id, strategy_id, held in state.portfolio.open_positions(state.rules):
            rule, value = state.rules[instrument_id], 0
            mark = state.portfolio.mark(instrument_id, held.units, self._board)
            rate = self._board.rate(rule.settle)
            if mark and rate is not None:
                value = amount(rate, rule.contract.notional(held.units, mark))
            found.append(Part(instrument_id, strategy_id, held.units, value))
        return found

    def _aged(self, parts: list[Part], now_ns: int) -> Iterator[Measure]:
        rule = self._settings.soft_caps
        if rule is None or rule.holding_soft_ns is None or rule.holding_hard_ns is None:
            return
        positions = self._state.portfolio.positions
        ages: dict[str, list[Part]] = {}
        for part in parts:
            age_ns = now_ns - positions[part.instrument_id, part.strategy_id].opened_ns
            ages.setdefault(part.instrument_id, []).append(
                Part(part.instrument_id, part.strategy_id, part.units, age_ns)
            )
        for instrument_id, own in sorted(ages.items()):
            oldest = max(part.value for part in own)
            yield Measure(HOLDING_TIME, instrument_id, oldest, rule.holding_soft_ns, rule.holding_hard_ns, tuple(own))


def _held(
    cap: str, key: str, parts: list[Part], soft: Cap | None, hard: Cap | None, equity: int, tier_ppm: int
) -> Iterator[Measure]:
    if soft is not None and hard is not None and parts:
        yield Measure(cap, key, totals(parts), soft.of(equity, tier_ppm), hard.of(equity, tier_ppm), tuple(parts))


def _scopes(state: SoftCapState) -> tuple[object, ...]:
    return Measure(state.cap, state.key, 0, 0, 0, ()).scopes
