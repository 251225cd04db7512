"""EngineService: what operators and the backtest ask of the engine."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Any, Final

import grpc
import structlog
import yaml

from engine.bars import Bar
from engine.catalog import make_settings
from engine.client import bar_from_wire
from engine.config import MAX_STRATEGIES, StrategyConfig
from engine.driver import DRIVE_INCARNATION, EngineDriver, start_drive
from engine.runner import EngineCore, EngineOptions
from engine.runs import StrategyRun, StrategySettings
from engine.shell import LiveEngine
from engine.strategy import Strategy
from engine.switch_shell import SwitchedOff, SwitchFile
from tradebot._version import __version__
from tradebot.core.errors import ConfigError, RejectedError
from tradebot.core.instruments import Instrument
from tradebot.core.intents import OrderIntent, Wish
from tradebot.core.row_block import RowBlock
from tradebot.rpc.common.v1 import status_pb2
from tradebot.rpc.engine.v1 import engine_service_pb2 as pb
from tradebot.rpc.engine.v1.engine_service_pb2_grpc import EngineServiceServicer, add_EngineServiceServicer_to_server
from tradebot.runtime.clock import NS_PER_MS, Clock
from tradebot.runtime.config import ConfigModel, Mode
from tradebot.runtime.grpc_server import ServiceBinding
from tradebot.runtime.identity import caller_role
from tradebot.wire.instruments import instrument_from_wire
from tradebot.wire.intents import answer_from_wire, intent_to_wire
from tradebot.wire.market import rows_from_wire, sequences_from_wire
from tradebot.wire.orders import event_from_wire

_log = structlog.get_logger(__name__)

SERVICE: Final = "tradebot.rpc.engine.v1.EngineService"
STATUS_INTERVAL_S: Final = 1.0
MAX_COMMAND_IDS: Final = 1_024
"""Commands remembered so that a repeat changes nothing."""
OPERATOR_KEY: Final = "tradebot-operator"
"""Metadata in which console and command line name the operator."""
MAX_OPERATOR_CHARS: Final = 64

Context = grpc.aio.ServicerContext[Any, Any]


def binding(servicer: EngineServiceServicer) -> ServiceBinding:
    """Return what an RpcServer serves."""
    return ServiceBinding(SERVICE, add_EngineServiceServicer_to_server, servicer)


def _operator(context: Context) -> str:
    """Return who is calling, for the audit: the role, and the name that the client gave itself (never an identity)."""
    role = str(caller_role())
    for key, value in context.invocation_metadata() or ():
        if key == OPERATOR_KEY and isinstance(value, str) and value:
            return f"{value[:MAX_OPERATOR_CHARS]} ({role})"
    return role


class EngineServicer(EngineServiceServicer):
    """The live engine's service."""

    def __init__(self, engine: LiveEngine, switches: SwitchFile, clock: Clock, mode: Mode) -> None:
        self._engine = engine
        self._switches = switches
        self._clock = clock
        self._mode = mode
        self._started_ns = clock.now_ns()
        self._commands: dict[str, None] = {}

    async def ListStrategies(self, request: pb.ListStrategiesRequest, context: Context) -> pb.ListStrategiesResponse:
        return pb.ListStrategiesResponse(strategies=self._strategies())

    async def SetStrategyEnabled(
        self, request: pb.SetStrategyEnabledRequest, context: Context
    ) -> pb.SetStrategyEnabledResponse:
        run = self._engine.core.runs.get(request.strategy_id)
        if run is None:
            known = ", ".join(self._engine.core.runs) or "none"
            await context.abort(
                grpc.StatusCode.NOT_FOUND, f"strategy_id: {request.strategy_id!r} is not one of: {known}"
            )
        if not request.command_id:
            await context.abort(grpc.StatusCode.INVALID_ARGUMENT, "command_id: required; choose a random one")
        if request.command_id not in self._commands:
            if request.enabled and run.fault:
                await context.abort(
                    grpc.StatusCode.FAILED_PRECONDITION,
                    f"strategy {request.strategy_id} failed ({run.fault}): fix it and restart the engine",
                )
            self._switch(run, request, _operator(context))
            self._remember(request.command_id)
        return pb.SetStrategyEnabledResponse(strategy=strategy_status(run))

    async def WatchStatus(
        self, request: pb.WatchStatusRequest, context: Context
    ) -> AsyncIterator[pb.WatchStatusResponse]:
        seen_ns = self._clock.now_ns()
        while True:
            self._engine.report_faults()
            status = self._status(seen_ns)
            seen_ns = status.time_ns
            yield pb.WatchStatusResponse(status=status, strategies=self._strategies())
            await asyncio.sleep(STATUS_INTERVAL_S)

    async def Drive(self, request_iterator: AsyncIterator[pb.DriveRequest], context: Context) -> AsyncIterator[Any]:
        _refuse("this engine is live: start one with --drive")
        yield

    def _switch(self, run: StrategyRun, request: pb.SetStrategyEnabledRequest, operator: str) -> None:
        strategy_id = request.strategy_id
        if request.enabled:  # on disk first: after a crash in between the strategy is in the safer state
            self._switches.switch_on(strategy_id)
        else:
            self._engine.core.set_enabled(strategy_id, False, operator)
            self._switches.switch_off(strategy_id, SwitchedOff(operator, request.reason, self._clock.now_ns()))
        self._engine.core.set_enabled(strategy_id, request.enabled, operator)
        _log.warning(
            "strategy_switched", strategy_id=strategy_id, enabled=request.enabled, by=operator, reason=request.reason
        )
        switched = "on" if request.enabled else "off"
        self._engine.note("warning", f"strategy {strategy_id} switched {switched} by {operator}: {request.reason}")

    def _remember(self, command_id: str) -> None:
        self._commands[command_id] = None
        if len(self._commands) > MAX_COMMAND_IDS:
            del self._commands[next(iter(self._commands))]

    def _strategies(self) -> list[pb.StrategyStatus]:
        return [strategy_status(run) for run in self._engine.core.runs.values()]

    def _status(self, seen_ns: int) -> status_pb2.DaemonStatus:
        engine = self._engine
        core = engine.core
        problems = [f"strategy {name} failed: {run.fault}" for name, run in core.runs.items() if run.fault]
        if not core.runs:
            problems.append("no strategy is configured (engine.strategies)")
        elif not engine.market_up:
            problems.append("no market data")
        if core.runs and not core.execution_up:
            problems.append("execd not connected")
        figures = {
            "rows": engine.rows,
            "conflated_rows": engine.conflated_rows,
            "books_live": sum(market.live for market in core.markets.values()),
            "intents": sum(run.intents for run in core.runs.values()),
            "signals": sum(run.signals for run in core.runs.values()),
            "signals_dropped": sum(run.dropped for run in core.runs.values()),
            "refusals": sum(run.refusals for run in core.runs.values()),
            "intents_lost": engine.lost_intents,
        }
        return status_pb2.DaemonStatus(
            daemon="engine",
            incarnation=core.incarnation,
            version=__version__,
            mode=str(self._mode),
            state=status_pb2.DAEMON_STATE_DEGRADED if problems else status_pb2.DAEMON_STATE_OK,
            summary="; ".join(problems),
            started_time_ns=self._started_ns,
            time_ns=self._clock.now_ns(),
            items=[status_pb2.StatusItem(name=name, value=str(value)) for name, value in figures.items()],
            log_lines=[
                status_pb2.LogLine(time_ns=time_ns, level=level, daemon="engine", text=text)
                for time_ns, level, text in engine.notes
                if time_ns > seen_ns
            ],
        )


def strategy_status(run: StrategyRun) -> pb.StrategyStatus:
    """Return one strategy for people."""
    settings = run.settings
    parameters = settings.params.model_dump(mode="json")
    return pb.StrategyStatus(
        strategy_id=settings.strategy_id,
        kind=settings.kind,
        enabled=run.enabled,
        warming_up=run.warming_up,
        instrument_ids=settings.instrument_ids,
        parameters=[pb.StrategyParameter(name=name, value=str(value)) for name, value in parameters.items()],
        signals=run.signals,
        intents=run.intents,
        refusals=run.refusals,
        changed_by=run.changed_by,
        last_signal=run.fault or run.last_signal,
        last_signal_time_ns=run.last_signal_time_ns,
        bars=run.bars,
    )


class DriveServicer(EngineServiceServicer):
    """The service of an engine that was started with --drive: one drive at a time, nothing live."""

    def __init__(
        self,
        catalog: dict[str, type[Strategy]],
        settings: list[StrategySettings],
        options: EngineOptions,
        on_drive: Callable[[EngineCore], None] = lambda core: None,
    ) -> None:
        """`settings` are the configured strategies, used when a drive brings none of its own."""
        self._catalog = catalog
        self._settings = settings
        self._options = options
        self._on_drive = on_drive
        self._core: EngineCore | None = None

    async def ListStrategies(self, request: pb.ListStrategiesRequest, context: Context) -> pb.ListStrategiesResponse:
        runs = self._core.runs.values() if self._core is not None else ()
        return pb.ListStrategiesResponse(strategies=[strategy_status(run) for run in runs])

    async def Drive(self, request_iterator: AsyncIterator[pb.DriveRequest], context: Context) -> AsyncIterator[Any]:
        driver: EngineDriver | None = None
        async for request in request_iterator:
            if driver is None:
                if not request.HasField("start"):
                    await context.abort(grpc.StatusCode.INVALID_ARGUMENT, "start: required in the first message")
                try:
                    driver = self._begin(request.start)
                except ConfigError as exc:
                    await context.abort(grpc.StatusCode.INVALID_ARGUMENT, str(exc))
            if request.HasField("rows"):
                rows = request.rows
                driver.add_rows(RowBlock.of(rows_from_wire(rows)), sequences_from_wire(rows), rows.sent_time_ns)
            step = driver.step(
                [event_from_wire(event) for event in request.order_events],
                [answer_from_wire(answer) for answer in request.intent_answers],
                request.horizon_ns,
                request.lookahead_ns,
            )
            yield pb.DriveResponse(
                processed_to_ns=step.processed_to_ns,
                consumed_rows=step.consumed_rows,
                intents=[_timed(at_ns, wish) for at_ns, wish in step.intents],
                next_timer_ns=step.next_timer_ns,
                decides_at_ns=step.decides_at_ns,
            )

    async def SetStrategyEnabled(
        self, request: pb.SetStrategyEnabledRequest, context: Context
    ) -> pb.SetStrategyEnabledResponse:
        _refuse("this engine is driven: the drive decides what is switched on")
        return pb.SetStrategyEnabledResponse()

    async def WatchStatus(
        self, request: pb.WatchStatusRequest, context: Context
    ) -> AsyncIterator[pb.WatchStatusResponse]:
        _refuse("this engine is driven: it has no live status")
        yield pb.WatchStatusResponse()

    def _begin(self, start: pb.DriveStart) -> EngineDriver:
        settings = parse_strategies(self._catalog, start.strategies_yaml) if start.strategies_yaml else self._settings
        core = self._core = EngineCore(settings, self._catalog, DRIVE_INCARNATION, self._options)
        instruments: list[tuple[int, Instrument]] = [
            (item.instrument_index, instrument_from_wire(item)) for item in start.instruments
        ]
        history: dict[tuple[str, int], Sequence[Bar]] = {
            (warm.instrument_id, warm.interval_ms * NS_PER_MS): [bar_from_wire(bar) for bar in warm.bars]
            for warm in start.warm_up
        }
        driver = start_drive(core, instruments, start.start_time_ns, history)
        self._on_drive(core)
        return driver


def _timed(at_ns: int, wish: Wish) -> pb.TimedIntent:
    if isinstance(wish, OrderIntent):
        return pb.TimedIntent(at_ns=at_ns, intent=intent_to_wire(wish))
    cancel = pb.CancelWish(strategy_id=wish.strategy_id, intent_id=wish.intent_id, client_order_id=wish.client_order_id)
    return pb.TimedIntent(at_ns=at_ns, cancel=cancel)


def _refuse(text: str) -> None:
    raise RejectedError("WRONG_MODE", text)


class _StrategiesFile(ConfigModel):
    strategies: tuple[StrategyConfig, ...]


def parse_strategies(catalog: dict[str, type[Strategy]], text: str) -> list[StrategySettings]:
    """Return the strategies of a YAML text shaped like the `strategies` list of the configuration.

    Raises:
        ConfigError: If it is not such a list.
    """
    try:
        tree = yaml.safe_load(text)
    except yaml.YAMLError as exc:
        raise ConfigError(f"strategies_yaml: bad YAML: {' '.join(str(exc).split())}") from exc
    if not isinstance(tree, list) or len(tree) > MAX_STRATEGIES:
        raise ConfigError(f"strategies_yaml: expected a list of at most {MAX_STRATEGIES} strategies")
    try:
        parsed = _StrategiesFile(strategies=tuple(StrategyConfig.model_validate(item) for item in tree))
    except ValueError as exc:
        raise ConfigError(f"strategies_yaml: {' '.join(str(exc).split())}") from exc
    return settings_of(catalog, parsed.strategies)


def settings_of(catalog: dict[str, type[Strategy]], configs: tuple[StrategyConfig, ...]) -> list[StrategySettings]:
    """Return checked settings; ConfigError names the strategy and the parameter."""
    return [make_settings(catalog, item.id, item.kind, item.instruments, item.params, item.enabled) for item in configs]
