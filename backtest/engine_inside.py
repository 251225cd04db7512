"""The engine under test in this process: the same core, driven directly. No gRPC, no copy of any row.

Decisions are those of the engine process, byte for byte; a test holds the two event logs side by side.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from engine.driver import DRIVE_INCARNATION, DriveStep, start_drive
from engine.runner import EngineCore, EngineOptions
from engine.runs import StrategySettings
from engine.strategy import NS_PER_MS, Strategy
from tradebot.core.instruments import Instrument
from tradebot.core.intents import IntentAnswer
from tradebot.core.order_events import OrderEvent
from tradebot.core.row_block import RowBlock


class EngineInside:
    """Implements `Engine` on an EngineDriver."""

    def __init__(
        self,
        catalog: Mapping[str, type[Strategy]],
        settings: Sequence[StrategySettings],
        instruments: Sequence[Instrument],
        start_time_ns: int,
        bar_grace_ms: int = 250,
    ) -> None:
        """Begin a drive.

        Args:
            catalog: Strategy classes by kind.
            settings: Strategies to run.
            instruments: Markets of the recording; their place is their column index.
            start_time_ns: Virtual time at which the run begins.
            bar_grace_ms: See the engine's configuration.

        Raises:
            ConfigError: If the strategies are refused.
        """
        options = EngineOptions(bar_grace_ns=bar_grace_ms * NS_PER_MS, isolate_faults=False)
        self.core = EngineCore(settings, catalog, DRIVE_INCARNATION, options)
        self._driver = start_drive(self.core, list(enumerate(instruments)), start_time_ns, {})

    async def step(
        self,
        rows: Sequence[tuple[RowBlock, Sequence[int]]],
        events: Sequence[OrderEvent],
        answers: Sequence[IntentAnswer],
        horizon_ns: int,
        lookahead_ns: int,
    ) -> DriveStep:
        """See `Engine`."""
        for block, sequences in rows:
            self._driver.add_rows(block, sequences, 0)
        return self._driver.step(events, answers, horizon_ns, lookahead_ns)
