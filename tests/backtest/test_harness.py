"""The virtual clock with the pure driver and a world that fills at the touch: no process, no socket."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from decimal import Decimal

import pytest

from backtest.harness import Harness
from engine.driver import DriveStep, EngineDriver
from tests.engine.builders import MS, T0, S, columns, end_event, fill_event
from tests.engine.test_breakout_atr import PARAMS, random_market
from tests.engine.test_driver import make_driver
from tests.support.builders import BTC
from tradebot.core.errors import InvariantError
from tradebot.core.intents import IntentAnswer, IntentStatus, OrderIntent, Wish
from tradebot.core.market import MarketRow
from tradebot.core.order_events import OrderEvent
from tradebot.core.orders import OrderEventKind, OrderRole, OrderStatus
from tradebot.core.row_block import RowBlock

GRID = 20 * MS
LINK = MS // 5
FILL_AFTER = 7 * MS


@dataclass
class TouchOutcome:
    at_ns: int
    answer: IntentAnswer | None = None
    event: OrderEvent | None = None


@dataclass
class TouchWorld:
    """Answers each intent when it arrives and fills it FILL_AFTER later at its limit."""

    held: Decimal = Decimal(0)
    on_way: list[tuple[int, str, OrderIntent]] = field(default_factory=list)
    said: list[TouchOutcome] = field(default_factory=list)
    rows: int = 0
    speaks_unasked_at: int = 0
    refuses: bool = False

    @property
    def is_quiet(self) -> bool:
        return not self.held and not self.on_way and not self.said

    def next_event_ns(self) -> int | None:
        return min((item[0] for item in self.on_way), default=None)

    def add_rows(self, rows: RowBlock) -> None:
        self.rows += len(rows)

    def submit(self, at_ns: int, wish: Wish) -> None:
        assert isinstance(wish, OrderIntent)
        self.on_way.append((at_ns + LINK, "arrive", wish))

    def advance(self, to_ns: int) -> None:
        while (next_ns := self.next_event_ns()) is not None and next_ns <= to_ns:
            item = min(self.on_way, key=lambda one: one[0])
            self.on_way.remove(item)
            at_ns, what, intent = item
            if what == "arrive" and self.refuses:
                self.said.append(TouchOutcome(at_ns, answer=IntentAnswer(intent.intent_id, IntentStatus.REFUSED)))
            elif what == "arrive":
                self.said.append(TouchOutcome(at_ns, answer=IntentAnswer(intent.intent_id, IntentStatus.ACCEPTED)))
                self.on_way.append((at_ns + FILL_AFTER, "fill", intent))
            else:
                self._fill(at_ns, intent)
        if self.speaks_unasked_at and self.speaks_unasked_at <= to_ns:
            self.said.append(TouchOutcome(self.speaks_unasked_at, answer=IntentAnswer("?", IntentStatus.REFUSED)))
            self.speaks_unasked_at = 0

    def _fill(self, at_ns: int, intent: OrderIntent) -> None:
        qty = Decimal(1) if intent.role is OrderRole.ENTRY else self.held
        if not qty:
            event = end_event(intent, OrderEventKind.EXPIRED, OrderStatus.EXPIRED, now_ns=at_ns)
        else:
            event = fill_event(intent, str(qty), str(intent.limit_price), now_ns=at_ns)
            self.held = qty if intent.role is OrderRole.ENTRY else Decimal(0)
        self.said.append(TouchOutcome(at_ns, event=event))

    def take_outcomes(self) -> list[TouchOutcome]:
        said, self.said = self.said, []
        return said


class InProcess:
    """The pure driver behind the engine's face; writes down what it was told and when."""

    def __init__(self, driver: EngineDriver) -> None:
        self.driver = driver
        self.heard: list[int] = []
        self.now_ns = T0

    async def step(
        self,
        rows: Sequence[tuple[RowBlock, Sequence[int]]],
        events: Sequence[OrderEvent],
        answers: Sequence[IntentAnswer],
        horizon_ns: int,
        lookahead_ns: int,
    ) -> DriveStep:
        for batch, sequences in rows:
            self.driver.add_rows(batch, sequences, 0)
        self.heard += [event.receive_time_ns for event in events] + [self.now_ns + 1] * len(answers)
        step = self.driver.step(events, answers, horizon_ns, lookahead_ns)
        self.now_ns = step.processed_to_ns
        return step


@dataclass
class Played:
    decisions: list[tuple[int, str, str]]
    outcomes: list[tuple[int, str]]
    steps: int
    heard: list[int]
    held: Decimal


async def play(rows: list[MarketRow], batch_rows: int, world: TouchWorld | None = None, grid_ns: int = GRID) -> Played:
    driver, core = make_driver("breakout_atr", **PARAMS)
    engine, world = InProcess(driver), world or TouchWorld()
    decisions: list[tuple[int, str, str]] = []
    outcomes: list[tuple[int, str]] = []

    def decided(at_ns: int, wish: Wish) -> None:
        assert isinstance(wish, OrderIntent)
        decisions.append((at_ns, wish.intent_id, wish.role.name))

    harness = Harness(
        engine,
        world,
        start_ns=T0,
        grid_ns=grid_ns,
        link_ns=LINK,
        on_intent=decided,
        on_outcome=lambda one: outcomes.append((one.at_ns, "answer" if one.answer else "event")),
    )
    batches: list[tuple[RowBlock, int]] = []
    start = 0
    while start < len(rows):
        stop = min(start + batch_rows, len(rows))
        while stop < len(rows) and rows[stop].receive_time_ns == rows[stop - 1].receive_time_ns:
            stop += 1
        complete_ns = rows[stop].receive_time_ns - 1 if stop < len(rows) else rows[stop - 1].receive_time_ns
        batches.append((RowBlock.of(columns(rows[start:stop])), complete_ns))
        start = stop
    await harness.run(batches, 2 * S)
    assert world.rows == len(rows)
    assert core.fold.holdings["s1", BTC].qty == world.held
    return Played(decisions, outcomes, harness.steps, engine.heard, world.held)


async def test_a_run_enters_and_leaves_with_latency_and_nothing_is_heard_before_its_grid_line() -> None:
    played = await play(random_market(3, 400), 500)

    roles = [role for _, _, role in played.decisions]
    assert roles[:4] == ["ENTRY", "EXIT", "ENTRY", "EXIT"]
    assert len(played.outcomes) == 2 * len(played.decisions)
    answers = [at_ns for at_ns, kind in played.outcomes if kind == "answer"]
    assert answers == [at_ns + LINK for at_ns, _, _ in played.decisions]
    assert all(at_ns % GRID == 0 for at_ns in played.heard)


@pytest.mark.parametrize("batch_rows", [1, 7, 100])
async def test_how_the_recording_is_cut_changes_no_decision(batch_rows: int) -> None:
    rows = random_market(11, 120)

    whole, cut = await play(rows, len(rows)), await play(rows, batch_rows)

    assert (cut.decisions, cut.outcomes) == (whole.decisions, whole.outcomes)
    assert whole.decisions


async def test_a_flat_quiet_market_is_one_step_per_decision_not_per_row() -> None:
    rows = random_market(5, 300)
    played = await play(rows[:200], 200)
    flat = len([role for _, _, role in played.decisions])

    assert played.steps < 200
    assert flat <= played.steps


async def test_a_refusal_is_heard_even_though_nothing_else_is_going_on() -> None:
    played = await play(random_market(3, 120), 500, TouchWorld(refuses=True))

    assert len(played.decisions) > 3
    assert len(played.heard) == len(played.decisions)
    assert [at_ns - decided for at_ns, (decided, _, _) in zip(played.heard, played.decisions, strict=True)] == [
        GRID - (decided + LINK) % GRID + LINK for decided, _, _ in played.decisions
    ]


async def test_a_world_that_speaks_of_the_past_is_a_bug_and_stops_the_run() -> None:
    world = TouchWorld(speaks_unasked_at=T0 + S)
    with pytest.raises(InvariantError, match="the world spoke at"):
        await play(random_market(5, 30), 1_000, world)


async def test_a_coarser_grid_needs_fewer_steps() -> None:
    rows = random_market(3, 300)
    fine, coarse = await play(rows, 500, grid_ns=10 * MS), await play(rows, 500, grid_ns=4 * S)

    assert coarse.steps < fine.steps
