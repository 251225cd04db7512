"""A session: everything that a core was told, in order, and what it wanted each time. Replayed, it wants the same.

The core is pure, so its inputs are the whole truth: rows, order events, answers, history, timers and switches, each
with the time that it was given. Code, not configuration, is what a replay tests: it runs today's strategies with the
recorded parameters.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, TypeAlias

import msgspec

from engine.bars import Bar
from engine.runner import EngineCore, EngineOptions
from engine.runs import StrategyRun, StrategySettings
from engine.strategy import Strategy
from tradebot.core.instruments import Instrument
from tradebot.core.intents import CancelWish, IntentAnswer, OrderIntent, Wish
from tradebot.core.market import RowColumns
from tradebot.core.order_events import OrderEvent, OrderSnapshot, PositionView


class StrategyEntry(msgspec.Struct, frozen=True):
    """One strategy as it was configured."""

    id: str
    kind: str
    instruments: tuple[str, ...]
    params: dict[str, Any]
    enabled: bool


class Began(msgspec.Struct, frozen=True, tag=True):
    """First record: how the core was made."""

    incarnation: str
    bar_grace_ns: int
    isolate_faults: bool
    strategies: tuple[StrategyEntry, ...]
    strategy_path: tuple[str, ...]


class MarketStarted(msgspec.Struct, frozen=True, tag=True):
    incarnation: str
    instruments: tuple[tuple[int, Instrument], ...]


class MarketLost(msgspec.Struct, frozen=True, tag=True):
    pass


class History(msgspec.Struct, frozen=True, tag=True):
    instrument_id: str
    interval_ns: int
    bars: tuple[Bar, ...]
    now_ns: int


class Rows(msgspec.Struct, frozen=True, tag=True):
    rows: RowColumns
    sequences: tuple[int, ...]
    sent_time_ns: int
    now_ns: int


class ExecutionStarted(msgspec.Struct, frozen=True, tag=True):
    orders: tuple[OrderSnapshot, ...]
    positions: tuple[PositionView, ...]


class ExecutionLost(msgspec.Struct, frozen=True, tag=True):
    pass


class Answers(msgspec.Struct, frozen=True, tag=True):
    answers: tuple[IntentAnswer, ...]


class OrderEvents(msgspec.Struct, frozen=True, tag=True):
    events: tuple[OrderEvent, ...]
    now_ns: int


class Timer(msgspec.Struct, frozen=True, tag=True):
    now_ns: int


class Switched(msgspec.Struct, frozen=True, tag=True):
    strategy_id: str
    enabled: bool
    changed_by: str


class Wanted(msgspec.Struct, frozen=True, tag=True):
    """What the record before it made the core want. Absent when that was nothing."""

    intents: tuple[OrderIntent, ...]
    cancels: tuple[CancelWish, ...]


Input: TypeAlias = (
    MarketStarted
    | MarketLost
    | History
    | Rows
    | ExecutionStarted
    | ExecutionLost
    | Answers
    | OrderEvents
    | Timer
    | Switched
)
Record: TypeAlias = Began | Input | Wanted
Sink = Callable[[Record], None]


def wanted(wishes: Sequence[Wish]) -> Wanted:
    """Return what was wanted as a record."""
    return Wanted(
        tuple(wish for wish in wishes if isinstance(wish, OrderIntent)),
        tuple(wish for wish in wishes if isinstance(wish, CancelWish)),
    )


class RecordingCore(EngineCore):
    """A core that writes down what it is told and what it wants."""

    def __init__(
        self,
        settings: Sequence[StrategySettings],
        catalog: Mapping[str, type[Strategy]],
        incarnation: str,
        options: EngineOptions,
        strategy_path: Sequence[str],
        sink: Sink,
    ) -> None:
        """See `EngineCore`; `sink` gets every record, in order."""
        super().__init__(settings, catalog, incarnation, options)
        self._sink = sink
        entries = tuple(
            StrategyEntry(
                one.strategy_id, one.kind, one.instrument_ids, one.params.model_dump(mode="json"), one.enabled
            )
            for one in settings
        )
        sink(Began(incarnation, options.bar_grace_ns, options.isolate_faults, entries, tuple(strategy_path)))

    def _record(self, record: Input, wishes: Sequence[Wish] = ()) -> None:
        self._sink(record)
        if wishes:
            self._sink(wanted(wishes))

    def market_started(self, incarnation: str, instruments: Iterable[tuple[int, Instrument]]) -> None:
        listed = tuple(instruments)
        super().market_started(incarnation, listed)
        self._record(MarketStarted(incarnation, listed))

    def market_lost(self) -> None:
        super().market_lost()
        self._record(MarketLost())

    def feed_history(self, instrument_id: str, interval_ns: int, bars: Sequence[Bar], now_ns: int) -> None:
        super().feed_history(instrument_id, interval_ns, bars, now_ns)
        self._record(History(instrument_id, interval_ns, tuple(bars), now_ns))

    def handle_rows(
        self,
        rows: RowColumns,
        sequences: Sequence[int],
        sent_time_ns: int,
        now_ns: int,
        start: int = 0,
        stop: int | None = None,
    ) -> list[Wish]:
        wishes = super().handle_rows(rows, sequences, sent_time_ns, now_ns, start, stop)
        self._record(Rows(rows, tuple(sequences), sent_time_ns, now_ns), wishes)
        return wishes

    def execution_started(self, orders: Sequence[OrderSnapshot], positions: Sequence[PositionView]) -> None:
        super().execution_started(orders, positions)
        self._record(ExecutionStarted(tuple(orders), tuple(positions)))

    def execution_lost(self) -> None:
        super().execution_lost()
        self._record(ExecutionLost())

    def handle_answers(self, answers: Iterable[IntentAnswer]) -> None:
        listed = tuple(answers)
        super().handle_answers(listed)
        self._record(Answers(listed))

    def handle_order_events(self, events: Iterable[OrderEvent], now_ns: int) -> list[Wish]:
        listed = tuple(events)
        wishes = super().handle_order_events(listed, now_ns)
        self._record(OrderEvents(listed, now_ns), wishes)
        return wishes

    def handle_timer(self, now_ns: int) -> list[Wish]:
        wishes = super().handle_timer(now_ns)
        self._record(Timer(now_ns), wishes)
        return wishes

    def set_enabled(self, strategy_id: str, enabled: bool, changed_by: str) -> StrategyRun | None:
        run = super().set_enabled(strategy_id, enabled, changed_by)
        self._record(Switched(strategy_id, enabled, changed_by))
        return run


def tell(core: EngineCore, record: Input) -> list[Wish]:
    """Give a core one recorded input and return what it wants."""
    match record:
        case MarketStarted():
            core.market_started(record.incarnation, record.instruments)
        case MarketLost():
            core.market_lost()
        case History():
            core.feed_history(record.instrument_id, record.interval_ns, record.bars, record.now_ns)
        case Rows():
            return core.handle_rows(record.rows, record.sequences, record.sent_time_ns, record.now_ns)
        case ExecutionStarted():
            core.execution_started(record.orders, record.positions)
        case ExecutionLost():
            core.execution_lost()
        case Answers():
            core.handle_answers(record.answers)
        case OrderEvents():
            return core.handle_order_events(record.events, record.now_ns)
        case Timer():
            return core.handle_timer(record.now_ns)
        case Switched():
            core.set_enabled(record.strategy_id, record.enabled, record.changed_by)
    return []
