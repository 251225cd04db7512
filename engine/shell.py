"""The live engine around its core: hands events in with the time, sends intents out, wakes it when a bar is due."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Sequence
from typing import Final

import structlog

from engine.runner import EngineCore
from tradebot.core.intents import CancelWish, IntentAnswer, OrderIntent, Wish
from tradebot.core.market import RowColumns
from tradebot.core.order_events import OrderEvent, OrderSnapshot, PositionView
from tradebot.runtime.clock import Clock
from tradebot.runtime.outbox import Outbox, OutboxFullError

MAX_NOTES: Final = 200
"""Warnings kept for the status streams."""

_log = structlog.get_logger(__name__)


class LiveEngine:
    """One core, one loop. All methods belong to the loop's thread and never wait."""

    def __init__(self, core: EngineCore, clock: Clock) -> None:
        self.core = core
        self.clock = clock
        self.core.execution_up = False
        self.rows = 0
        """Rows taken since start."""
        self.conflated_rows = 0
        """Rows that marketdata left out for us on the current stream."""
        self.market_up = False
        self.lost_intents = 0
        """Intents and cancels that could not be handed over."""
        self._outbox: Outbox[OrderIntent] | None = None
        self.cancels: Outbox[CancelWish] | None = None
        """Where cancels go while execd's link is up."""
        self._timer: asyncio.TimerHandle | None = None
        self._timer_ns: int | None = None
        self._faults: set[str] = set()
        self.notes: deque[tuple[int, str, str]] = deque(maxlen=MAX_NOTES)
        """(time, level, text) of what an operator should see, newest last."""

    def take_rows(self, rows: RowColumns, sequences: Sequence[int], sent_time_ns: int) -> None:
        """Market data arrived."""
        self._send(self.core.handle_rows(rows, sequences, sent_time_ns, self.clock.now_ns()))
        self.rows += len(rows)
        self.schedule()

    def market_lost(self) -> None:
        """The market data stream ended."""
        if self.market_up:
            self.note("warning", "market data stream lost")
        self.market_up = False
        self.core.market_lost()
        self.schedule()

    def execution_started(
        self, outbox: Outbox[OrderIntent], orders: Sequence[OrderSnapshot], positions: Sequence[PositionView]
    ) -> None:
        """execd is there; intents go into `outbox` from now on."""
        self._outbox = outbox
        self.core.execution_started(orders, positions)
        _log.info("execution_up", orders=len(orders), positions=len(positions))

    def execution_lost(self) -> None:
        """execd's stream ended."""
        if self._outbox is not None:
            self.note("warning", "execd's stream lost: no intents until it is back")
        self._outbox = None
        self.core.execution_lost()

    def take_execution(self, answers: Sequence[IntentAnswer], events: Sequence[OrderEvent]) -> None:
        """Answers and order events arrived."""
        if answers:
            self.core.handle_answers(answers)
        if events:
            self._send(self.core.handle_order_events(events, self.clock.now_ns()))
        self.schedule()

    def schedule(self) -> None:
        """Arrange the next timer of the core; cheap when nothing changed."""
        wanted = self.core.next_timer_ns()
        if wanted == self._timer_ns:
            return
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._timer_ns = wanted
        if wanted is not None:
            delay_s = max(0.0, (wanted - self.clock.now_ns()) / 1e9)
            self._timer = asyncio.get_running_loop().call_later(delay_s, self._on_timer)

    def stop(self) -> None:
        """No more timers."""
        if self._timer is not None:
            self._timer.cancel()

    def report_faults(self) -> None:
        """Log strategies that were taken out since the last call."""
        for strategy_id, run in self.core.runs.items():
            if run.fault and strategy_id not in self._faults:
                self._faults.add(strategy_id)
                _log.error("strategy_fault", strategy_id=strategy_id, error=run.fault)
                self.note("error", f"strategy {strategy_id} taken out: {run.fault}")

    def note(self, level: str, text: str) -> None:
        """Keep a line for the status streams."""
        self.notes.append((self.clock.now_ns(), level, text))

    def _on_timer(self) -> None:
        self._timer, self._timer_ns = None, None
        now_ns = self.clock.now_ns()
        wanted = self.core.next_timer_ns()
        if wanted is not None and wanted <= now_ns:  # the loop's clock may be a hair early
            self._send(self.core.handle_timer(now_ns))
        self.schedule()

    def _send(self, wishes: list[Wish]) -> None:
        if not wishes:
            return
        if self._outbox is None:
            self.lost_intents += len(wishes)
            return
        try:
            self._outbox.put_all([wish for wish in wishes if isinstance(wish, OrderIntent)])
            withdrawn = [wish for wish in wishes if isinstance(wish, CancelWish)]
            if withdrawn and self.cancels is not None:
                self.cancels.put_all(withdrawn)
        except OutboxFullError:
            # execd does not read: break the stream off; the reconnect tells the core which intents were lost.
            self.lost_intents += len(wishes)
            self._outbox.close()
            self.execution_lost()
