"""Kills in a bad world: crashes at every step, answers that come twice, late and out of order, reads that fail, orders
that fill while they are canceled.

A kill is never called done while the venue, in truth, works an order that had to go, or holds a position that had to be
closed; nothing enters while it is in force; and when the world is well again it is done within a bounded time.
"""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, Phase, event, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from riskd.records import KillSaga, RecordType, decode_record
from riskd.saga import DONE, Step
from tests.riskd.kit import BTC
from tests.riskd.saga_world import TRADED, Fate, Held, Place, World
from tradebot.core.levels import SYSTEM_SCOPE, Scope, ScopeKind, TradingLevel
from tradebot.core.orders import OrderRole

SCOPES = (
    SYSTEM_SCOPE,
    Scope(ScopeKind.VENUE, "binance"),
    Scope(ScopeKind.INSTRUMENT, BTC),
    Scope(ScopeKind.STRATEGY, "s1"),
)
MAX_HEALTHY_LOOKS = 200
"""Half-second looks in a healthy world within which every kill is done: the ladder and two reads."""
fates = st.sampled_from(list(Fate))
small = st.integers(0, 3)


class Kills(RuleBasedStateMachine):
    """See the module."""

    def __init__(self) -> None:
        super().__init__()
        self._fates: list[Fate] = []
        self._failing = 0
        self.world = World(self._fate, self._read_fails)
        self.scope: Scope | None = None
        self.flatten = False
        self.reached: set[Step] = set()

    def _fate(self) -> Fate:
        return self._fates.pop() if self._fates else Fate.DONE

    def _read_fails(self) -> bool:
        self._failing -= 1
        return self._failing >= 0

    # ---- before the kill

    @initialize(entries=st.lists(st.tuples(st.sampled_from(["s1", "s2"]), st.booleans(), fates), max_size=5))
    def trade(self, entries: list[tuple[str, bool, Fate]]) -> None:
        """Entries that rest, hang or have filled, some of them protected."""
        for strategy_id, arrives, fate in entries:
            instrument_id = TRADED[strategy_id][int(arrives) % len(TRADED[strategy_id])]
            if not self.world.enter(strategy_id, instrument_id, arrives=arrives):
                continue
            entry = list(self.world.venue.orders.values())[-1]
            if arrives and fate is not Fate.DONE:
                self.world.fill(entry)
                if fate is Fate.FILLED:
                    self.world.protect(entry)
        self.world.catch_up()

    @precondition(lambda self: self.scope is None)
    @rule(scope=st.sampled_from(SCOPES), flatten=st.booleans())
    def kill(self, scope: Scope, flatten: bool) -> None:
        world, desk = self.world, self.world.desk
        self.scope, self.flatten = scope, flatten
        desk.gate.raise_hold(
            TradingLevel.KILLED, scope, reason="", operator="ana", role="trader", command_id="k", duration_s=0,
            now_ns=desk.now_ns,
        )  # fmt: skip
        if flatten:
            desk.gate.kills.flatten(scope)
        world.operator_is_answered()
        world.take(desk.gate.take_down())

    # ---- the world

    @rule(seconds=st.sampled_from([0.1, 0.6, 1.2, 5.0, 70.0]))
    def time_passes(self, seconds: float) -> None:
        self.world.wait(seconds)

    @rule(count=st.integers(1, 6))
    def events_come(self, count: int) -> None:
        self.world.deliver_events(count)

    @rule(index=small, chosen=st.lists(fates, max_size=4))
    def execd_obeys(self, index: int, chosen: list[Fate]) -> None:
        self._fates = chosen
        self.world.obey(index)

    @rule(index=small, again=st.booleans())
    def a_report_comes(self, index: int, again: bool) -> None:
        self.world.deliver_report(index, again=again)

    @rule(fate=st.sampled_from([Fate.FILLED, Fate.LOST]))
    def execd_reduces(self, fate: Fate) -> None:
        self.world.reduce(fate)

    @rule(index=small, deed=st.sampled_from(["arrive", "doubt", "prove", "fill"]))
    def something_happens_to_an_order(self, index: int, deed: str) -> None:
        live = [o for o in self.world.venue.orders.values() if o.place is not Place.OVER]
        if not live:
            return
        order = live[index % len(live)]
        match deed:
            case "arrive":
                self.world.arrive(order.key)
            case "doubt" if order.role is OrderRole.ENTRY:
                self.world.doubt(order.key)
            case "prove":
                self.world.prove(order.key)
            case "fill" if order.place is Place.OPEN:
                self.world.fill(order)

    @rule(times=small)
    def reads_fail(self, times: int) -> None:
        self._failing = times

    @rule(unwritten=small, dials=st.booleans())
    def riskd_dies(self, unwritten: int, dials: bool) -> None:
        self.world.crash_riskd(unwritten_steps=unwritten)
        if dials:
            self.world.dial()

    @rule(dials=st.booleans())
    def execd_dies(self, dials: bool) -> None:
        self.world.crash_execd()
        if dials:
            self.world.dial()

    @rule()
    def execd_dials(self) -> None:
        self.world.dial()

    @precondition(lambda self: self.scope is not None and self.world.connected)
    @rule(strategy_id=st.sampled_from(["s1", "s2"]))
    def somebody_wants_in(self, strategy_id: str) -> None:
        assert self.scope is not None
        for instrument_id in TRADED[strategy_id]:
            if self.scope.covers("binance", instrument_id, strategy_id):
                assert not self.world.enter(strategy_id, instrument_id, arrives=True)

    # ---- what holds

    def sagas(self) -> list[KillSaga]:
        return list(self.world.desk.gate.state.kills.kills.values())

    def covered(self) -> list[Held]:
        assert self.scope is not None
        orders = self.world.venue.orders.values()
        return [o for o in orders if self.scope.covers("binance", o.instrument_id, o.strategy_id)]

    @invariant()
    def a_kill_that_is_done_is_done_at_the_venue(self) -> None:
        for saga in self.sagas():
            self.reached |= {Step(mark.step) for mark in saga.marks}
            if saga.outcome != DONE:
                continue
            must_go = [o for o in self.covered() if o.role is not OrderRole.PROTECTION and o.place is not Place.OVER]
            assert not must_go, (saga, must_go)
            if saga.flatten:
                assert not any(o.place is Place.OPEN for o in self.covered()), saga
                assert not any(self.world.held(*at) for at in self.positions()), saga

    def positions(self) -> list[tuple[str, str]]:
        assert self.scope is not None
        every = [(s, i) for s, traded in TRADED.items() for i in traded]
        return [(s, i) for s, i in every if self.scope.covers("binance", i, s)]

    @invariant()
    def the_last_record_of_a_kill_says_everything(self) -> None:
        written = [row for row in self.world.desk.sink.records if row[0] == RecordType.KILL_SAGA]
        last = {saga.kill_id: saga for row in written[-5:] if isinstance(saga := decode_record(*row), KillSaga)}
        assert last == {saga.kill_id: saga for saga in self.sagas()}

    def teardown(self) -> None:
        """The world is well again: the kill is done, and its record says everything."""
        if self.scope is None:
            return
        for _ in range(MAX_HEALTHY_LOOKS):
            self.world.heal()
            self.a_kill_that_is_done_is_done_at_the_venue()
            if all(saga.outcome == DONE for saga in self.sagas()):
                break
        (saga,) = self.sagas()
        for step in self.reached:
            event(step.name)
        assert (saga.outcome, saga.flatten) == (DONE, self.flatten), saga
        assert all(mark.evidence and mark.ended_ns for mark in saga.marks)
        if not self.flatten:
            self.nothing_that_had_a_promise_is_naked()
        desk = self.world.desk
        assert desk.replayed().state.digest() == desk.gate.state.digest()

    def nothing_that_had_a_promise_is_naked(self) -> None:
        """Every position left has its stop in full: what the kill left without one was closed."""
        for strategy_id, instrument_id in self.positions():
            held = self.world.held(strategy_id, instrument_id)
            stops = [
                o.qty
                for o in self.world.venue.open_orders()
                if o.role is OrderRole.PROTECTION and (o.strategy_id, o.instrument_id) == (strategy_id, instrument_id)
            ]
            assert sum(stops) >= held, (strategy_id, instrument_id, held, stops)


PHASES = (Phase.explicit, Phase.reuse, Phase.generate, Phase.shrink)
QUICK = settings(
    max_examples=25, stateful_step_count=30, deadline=None, suppress_health_check=list(HealthCheck), phases=PHASES
)
LONG = settings(
    max_examples=1_500, stateful_step_count=60, deadline=None, suppress_health_check=list(HealthCheck), phases=PHASES
)


def test_kills_in_a_bad_world() -> None:
    run_state_machine_as_test(Kills, settings=QUICK)


def test_a_ghost_that_fills_after_the_kill_is_not_left_without_its_stop() -> None:
    """Found by the long run: the venue said canceled, the entry worked on and filled, its grant was gone."""
    kills = Kills()
    kills.trade([("s1", False, Fate.DONE)])
    kills.kill(SYSTEM_SCOPE, flatten=False)
    kills.something_happens_to_an_order(0, "arrive")
    kills.execd_obeys(0, [Fate.GHOST])
    kills.something_happens_to_an_order(0, "fill")
    for _ in range(20):
        kills.world.heal()

    kills.nothing_that_had_a_promise_is_naked()
    assert [saga.outcome for saga in kills.sagas()] == [DONE]


@pytest.mark.slow
@pytest.mark.timeout(1_800)
def test_kills_in_a_bad_world_for_long() -> None:
    run_state_machine_as_test(Kills, settings=LONG)
