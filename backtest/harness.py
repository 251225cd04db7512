"""The virtual clock: engine and world take turns, and neither ever hears of something that it has already passed.

The engine goes first. While nothing of ours is held, rests or is on its way, only the engine itself can start
anything, so it runs to the end of the data at hand or to just after its first decision. Otherwise it runs to the next
grid line at which something may have happened, then the world follows to the same time. What the world produced
reaches the engine at the next grid line: that is the latency of order events, and why a turn is never shorter.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Sequence
from typing import Final, Protocol

import numpy as np

from backtest.engine_client import Engine
from tradebot.core.errors import InvariantError
from tradebot.core.intents import IntentAnswer, Wish
from tradebot.core.market import RowKind
from tradebot.core.order_events import OrderEvent
from tradebot.core.row_block import KIND, RowBlock
from tradebot.runtime.collector import rare_collections

FAR_NS: Final = 1 << 62
_ENGINE_KINDS: Final = (int(RowKind.TRADE), int(RowKind.BBO), int(RowKind.BOOK_STATE))
_DEPTH_KINDS: Final = (
    *_ENGINE_KINDS,
    int(RowKind.BOOK_CLEAR),
    int(RowKind.BOOK_LEVEL),
    int(RowKind.SNAPSHOT_LEVEL),
)


class OutcomeLike(Protocol):
    """An answer or an order event, and when it left the world."""

    @property
    def at_ns(self) -> int: ...
    @property
    def answer(self) -> IntentAnswer | None: ...
    @property
    def event(self) -> OrderEvent | None: ...


class WorldLike(Protocol):
    """What the harness needs of the world."""

    @property
    def is_quiet(self) -> bool: ...
    def next_event_ns(self) -> int | None: ...
    def add_rows(self, rows: RowBlock) -> None: ...
    def submit(self, at_ns: int, wish: Wish) -> None: ...
    def advance(self, to_ns: int) -> None: ...
    def take_outcomes(self) -> Sequence[OutcomeLike]: ...


OnWish = Callable[[int, Wish], None]
OnOutcome = Callable[[OutcomeLike], None]


class Harness:
    """One run."""

    def __init__(
        self,
        engine: Engine,
        world: WorldLike,
        *,
        start_ns: int,
        grid_ns: int,
        link_ns: int,
        on_intent: OnWish,
        on_outcome: OnOutcome,
        with_depth: bool = False,
    ) -> None:
        """Prepare.

        Args:
            engine: Driven.
            world: Follows.
            start_ns: Virtual time at which both stand.
            grid_ns: Order events reach the engine at multiples of this.
            link_ns: From a decision to the world; also how far the engine may run past one.
            on_intent: Told each decision, in order.
            on_outcome: Told each answer and order event, in order.
            with_depth: Give the engine book levels too.
        """
        self._engine = engine
        self._world = world
        self._grid_ns = grid_ns
        self._link_ns = link_ns
        self._on_intent = on_intent
        self._on_outcome = on_outcome
        self._wanted = np.zeros(1 + max(RowKind), np.bool_)
        """By kind: does the engine get such rows."""
        self._wanted[list(_DEPTH_KINDS if with_depth else _ENGINE_KINDS)] = True
        self._now_ns = start_ns
        self._engine_timer_ns = 0
        self._decides_at_ns = 0
        self._sequence = 1
        self._pending: deque[tuple[int, OutcomeLike]] = deque()
        """(time at which the engine hears it, outcome)."""
        self._rows: deque[RowBlock] = deque()
        self.steps = 0
        """Requests to the engine."""

    async def run(self, batches: Iterable[tuple[RowBlock, int]], settle_ns: int) -> None:
        """Play all batches of (rows, time to which they are complete), then `settle_ns` more."""
        last_ns = self._now_ns
        with rare_collections():
            for rows, complete_to_ns in batches:
                last_ns = max(last_ns, complete_to_ns)
                await self._run_to(last_ns, rows)
            await self._run_to(last_ns + settle_ns, None)

    async def _run_to(self, to_ns: int, rows: RowBlock | None) -> None:
        batch: list[tuple[RowBlock, Sequence[int]]] = []
        if rows is not None and len(rows):
            self._world.add_rows(rows)
            self._rows.append(rows)
            wanted = self._wanted[rows.data[KIND]]
            if wanted.all():  # as they are: no copy
                batch.append((rows, range(self._sequence, self._sequence + len(rows))))
            elif wanted.any():
                picked = np.flatnonzero(wanted)
                batch.append((rows.take(picked), (self._sequence + picked).tolist()))
            self._sequence += len(rows)
        while self._now_ns < to_ns or batch:
            ahead_ns = self._world_first(to_ns)
            events, answers = self._due(ahead_ns or self._now_ns + 1)
            horizon_ns = ahead_ns or self._horizon(to_ns)
            step = await self._engine.step(batch, events, answers, horizon_ns, self._link_ns + 1)
            batch = []
            self.steps += 1
            if step.processed_to_ns <= self._now_ns and not step.intents and self._now_ns < to_ns:
                raise InvariantError(f"the engine does not move on from {self._now_ns}")
            self._now_ns = max(self._now_ns, step.processed_to_ns)
            self._engine_timer_ns = step.next_timer_ns
            self._decides_at_ns = step.decides_at_ns
            for at_ns, intent in step.intents:
                self._on_intent(at_ns, intent)
                self._world.submit(at_ns, intent)
            self._world.advance(self._now_ns)
            self._collect()
        self._next_row_ns()  # lets go of what is past, whoever went first

    def _world_first(self, to_ns: int) -> int:
        """Let the world go ahead to where the engine may decide next, when that is known; return that time or 0.

        Then one step of the engine covers everything that happened on the way. With nothing of ours at work the
        engine goes first: a single step takes it to the end, or to its next decision.
        """
        target_ns = min(self._decides_at_ns, to_ns)
        if target_ns <= self._now_ns or (self._world.is_quiet and not self._pending):
            return 0
        self._world.advance(target_ns)
        self._collect()
        return target_ns

    def _horizon(self, to_ns: int) -> int:
        """Return how far the engine may go without missing anything that the world may still produce."""
        horizon_ns = to_ns
        if self._pending:
            horizon_ns = min(horizon_ns, self._pending[0][0] - 1)
        if not self._world.is_quiet:
            next_ns = min(self._next_row_ns(), self._world.next_event_ns() or FAR_NS, self._engine_timer_ns or FAR_NS)
            horizon_ns = min(horizon_ns, self._grid_after(max(next_ns, self._now_ns + 1)) - 1)
        return max(horizon_ns, self._now_ns)

    def _due(self, heard_ns: int) -> tuple[list[OrderEvent], list[IntentAnswer]]:
        """Take what the engine hears up to and including a time: of the very next moment, or of a stretch that the
        world went ahead.
        """
        events: list[OrderEvent] = []
        answers: list[IntentAnswer] = []
        while self._pending and self._pending[0][0] <= heard_ns:
            at_ns, outcome = self._pending.popleft()
            if outcome.event is not None:
                events.append(outcome.event.heard_at(at_ns))
            if outcome.answer is not None:
                answers.append(outcome.answer)
        return events, answers

    def _collect(self) -> None:
        for outcome in self._world.take_outcomes():
            self._on_outcome(outcome)
            at_ns = self._grid_after(outcome.at_ns)
            if at_ns <= self._now_ns:
                raise InvariantError(f"the world spoke at {outcome.at_ns}, the engine is at {self._now_ns} already")
            self._pending.append((at_ns, outcome))

    def _next_row_ns(self) -> int:
        while self._rows:
            times = self._rows[0].receive_time_ns
            position = int(times.searchsorted(self._now_ns, side="right"))
            if position < len(times):
                return int(times[position])
            self._rows.popleft()
        return FAR_NS

    def _grid_after(self, at_ns: int) -> int:
        return (at_ns // self._grid_ns + 1) * self._grid_ns
