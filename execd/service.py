"""ExecutionService: intents in, order events out, and what people ask. No decisions."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any, Final

import grpc
import structlog

from execd.audit import AuditReport
from execd.audit_shell import Auditor
from execd.explain import OrderStory, find_order_of_execution, tell_story
from execd.orders import OrderTable
from execd.risk_client import RiskClient
from execd.shell import EventRow, LiveDesk
from tradebot._version import __version__
from tradebot.core.amounts import format_decimal
from tradebot.core.errors import RejectedError, TransientError
from tradebot.core.intents import IntentAnswer, IntentStatus, OrderIntent
from tradebot.core.levels import TradingLevel
from tradebot.core.order_events import PositionView
from tradebot.rpc.common.v1 import intent_pb2, status_pb2
from tradebot.rpc.execution.v1 import execution_service_pb2 as pb
from tradebot.rpc.execution.v1.execution_service_pb2_grpc import (
    ExecutionServiceServicer,
    add_ExecutionServiceServicer_to_server,
)
from tradebot.runtime.feeding import feed
from tradebot.runtime.grpc_server import ServiceBinding
from tradebot.runtime.identity import OPERATOR_ROLES, Role, caller_role
from tradebot.runtime.outbox import Outbox, OutboxFullError
from tradebot.runtime.venue_reader import READ_ERRORS, VenueReader
from tradebot.wire.fields import write_optional_decimal
from tradebot.wire.intents import answer_to_wire, intent_from_wire
from tradebot.wire.orders import event_to_wire, execution_to_wire, snapshot_to_wire
from tradebot.wire.varint import varint

SERVICE: Final = "tradebot.rpc.execution.v1.ExecutionService"
HEARTBEAT_S: Final = 1.0
MAX_LISTED: Final = 1_000
DEFAULT_LISTED: Final = 200
MAX_SNAPSHOT_TERMINAL: Final = 200
"""Done orders in a stream's snapshot, newest first; working ones are always in it."""
MANUAL: Final = "manual:"
OPERATOR_KEY: Final = "tradebot-operator"
_EVENTS_TAG: Final = b"\x12"
"""SubmitIntentsResponse.order_events = 2, length-delimited."""
_WATCH_EVENTS_TAG: Final = b"\x1a"
"""WatchOrdersResponse.events = 3, length-delimited."""

Context = grpc.aio.ServicerContext[Any, Any]
_log = structlog.get_logger(__name__)


class _EventRelay:
    """Order events of some strategies (of all, when none is named) into one engine's outbox.

    It begins with the engine's view, which is of the moment while events wait for their records: what is in both would
    be booked twice.
    """

    def __init__(self, orders: OrderTable, wanted: frozenset[str], outbox: Outbox[bytes]) -> None:
        self._orders = orders
        self._seen = orders.log.head
        self._wanted = wanted
        self._outbox = outbox
        self.failure: OutboxFullError | None = None
        """The engine does not read: its stream is over."""

    def take(self, row: EventRow) -> None:
        """Take one published event. The engine acts on fills; everything else waits for company."""
        event, raw = row
        if event.sequence <= self._seen:
            return
        if self._wanted:
            order = self._orders.get(event.client_order_id)
            if order is None or order.facts.strategy_id not in self._wanted:
                return
        try:
            self._outbox.put(_EVENTS_TAG + varint(len(raw)) + raw, urgent=event.execution is not None)
        except OutboxFullError as exc:
            self.failure = exc
            self._outbox.close()


class ExecutionServicer(ExecutionServiceServicer):
    """See the module."""

    def __init__(
        self,
        live: LiveDesk,
        risk: RiskClient,
        rests: dict[str, VenueReader],
        mode: str,
        incarnation: str,
        read_records: Callable[[], Iterator[tuple[int, bytes]]],
    ) -> None:
        self._live = live
        self._risk = risk
        self._rests = rests
        self._mode = mode
        self._incarnation = incarnation
        self._started_ns = live.clock.now_ns()
        self._read_records = read_records
        self._auditor = Auditor(live, risk, rests, read_records)
        self.stopping = False

    # ---- intents

    async def SubmitIntents(
        self, request_iterator: AsyncIterator[pb.SubmitIntentsRequest], context: Context
    ) -> AsyncIterator[Any]:
        live = self._live
        first = await anext(request_iterator, None)
        if first is None:
            return
        live.engine_connected(first.build_hash)
        wanted = frozenset(first.strategy_ids)
        outbox: Outbox[bytes] = Outbox()

        def take_answer(answer: IntentAnswer) -> None:
            # The engine acts on fills, not on answers: these wait for company.
            outbox.put(pb.SubmitIntentsResponse(answers=[answer_to_wire(answer)]).SerializeToString(), urgent=False)

        relay = _EventRelay(live.desk.state.orders, wanted, outbox)
        with live.hub.listen(relay.take, outbox.close):
            yield self._rehydration(wanted)
            outbox.write_through(context, b"".join)
            self._take_intents(first, take_answer)
            reader = asyncio.create_task(self._read_intents(request_iterator, take_answer, outbox), name="intents")
            try:
                async for messages in outbox.batches():
                    yield b"".join(messages)
                if relay.failure is not None:
                    raise relay.failure
            finally:
                reader.cancel()

    def _rehydration(self, wanted: frozenset[str]) -> pb.SubmitIntentsResponse:
        desk = self._live.desk
        orders = [o for o in desk.state.orders.working() if not wanted or o.facts.strategy_id in wanted]
        views = [v for v in desk.position_views() if not wanted or v.strategy_id in wanted]
        return pb.SubmitIntentsResponse(
            orders=[snapshot_to_wire(order.snapshot()) for order in orders], positions=[_position(v) for v in views]
        )

    async def _read_intents(
        self,
        requests: AsyncIterator[pb.SubmitIntentsRequest],
        take_answer: Callable[[IntentAnswer], None],
        outbox: Outbox[bytes],
    ) -> None:
        try:
            await feed(requests, lambda request: self._take_intents(request, take_answer))
        finally:
            outbox.close()

    def _take_intents(self, request: pb.SubmitIntentsRequest, take_answer: Callable[[IntentAnswer], None]) -> None:
        ready: list[tuple[OrderIntent, bytes]] = []
        for message in request.intents:
            try:
                intent = intent_from_wire(message)
            except RejectedError as exc:
                take_answer(_malformed(message.intent_id, exc))
                continue
            if intent.strategy_id.startswith(MANUAL):
                take_answer(
                    _malformed(message.intent_id, RejectedError("NOT_YOURS", "strategy_id manual: is for operators"))
                )
                continue
            ready.append((intent, message.SerializeToString()))
        if ready:
            self._live.submit(ready, take_answer)

    async def SubmitIntent(self, request: pb.SubmitIntentRequest, context: Context) -> pb.SubmitIntentResponse:
        role = caller_role()
        message = request.intent
        if role in OPERATOR_ROLES:
            message.strategy_id = _manual_strategy(message.strategy_id, context, str(role))
        try:
            intent = intent_from_wire(message)
        except RejectedError as exc:
            return pb.SubmitIntentResponse(answer=answer_to_wire(_malformed(message.intent_id, exc)))
        decided: asyncio.Future[IntentAnswer] = asyncio.get_running_loop().create_future()

        def take_answer(answer: IntentAnswer) -> None:
            if not decided.done():
                decided.set_result(answer)

        self._live.submit([(intent, message.SerializeToString())], take_answer)
        return pb.SubmitIntentResponse(answer=answer_to_wire(await decided))

    async def CancelOrder(self, request: pb.CancelOrderRequest, context: Context) -> pb.CancelOrderResponse:
        order = self._live.desk.state.orders.get(request.client_order_id)
        if order is not None and caller_role() is Role.ENGINE and order.facts.strategy_id.startswith(MANUAL):
            detail = f"{request.client_order_id} is an operator's order: strategies cancel their own"
            return pb.CancelOrderResponse(reason="NOT_YOURS", detail=detail, order=snapshot_to_wire(order.snapshot()))
        answer = await self._live.cancel(request.client_order_id, request.reason)
        return pb.CancelOrderResponse(
            accepted=answer.accepted,
            reason=answer.reason,
            detail=answer.detail,
            order=None if order is None else snapshot_to_wire(order.snapshot()),
        )

    # ---- orders

    async def ListOrders(self, request: pb.ListOrdersRequest, context: Context) -> pb.ListOrdersResponse:
        limit = min(request.limit or DEFAULT_LISTED, MAX_LISTED)
        found = []
        for order in reversed(list(self._live.desk.state.orders.all_orders())):
            facts = order.facts
            if (
                (request.working_only and not order.working)
                or (request.instrument_id and facts.terms.instrument_id != request.instrument_id)
                or (request.strategy_id and facts.strategy_id != request.strategy_id)
            ):
                continue
            found.append(snapshot_to_wire(order.snapshot()))
            if len(found) >= limit:
                break
        return pb.ListOrdersResponse(orders=found)

    async def WatchOrders(self, request: pb.WatchOrdersRequest, context: Context) -> AsyncIterator[Any]:
        live = self._live
        incarnation = live.hub.log.incarnation
        with live.hub.subscribe(request.incarnation, request.resume_after_sequence) as events:
            first = pb.WatchOrdersResponse(incarnation=incarnation, sequence=events.position)
            if not events.resumed:
                self._fill_snapshot(first)
            yield first
            while (batch := await events.next_batch(HEARTBEAT_S)) is not None:
                yield self._watch_message(incarnation, events.position, batch.items)

    def _fill_snapshot(self, message: pb.WatchOrdersResponse) -> None:
        desk = self._live.desk
        terminal = 0
        for order in reversed(list(desk.state.orders.all_orders())):
            if not order.working:
                terminal += 1
                if terminal > MAX_SNAPSHOT_TERMINAL:
                    continue
            message.snapshot.append(snapshot_to_wire(order.snapshot()))
        message.positions.extend(_position(view) for view in desk.position_views())

    def _watch_message(self, incarnation: str, position: int, rows: list[Any]) -> bytes:
        desk = self._live.desk
        changed: dict[tuple[str, str], None] = {}
        parts: list[bytes] = []
        for event, raw in rows:
            parts += (_WATCH_EVENTS_TAG, varint(len(raw)), raw)
            order = desk.state.orders.get(event.client_order_id)
            if order is not None and (event.execution is not None or event.facts is None):
                changed[order.facts.strategy_id, order.facts.terms.instrument_id] = None
        views = [_position(desk.position_view(*key)) for key in changed]
        rest = pb.WatchOrdersResponse(incarnation=incarnation, sequence=position, positions=views)
        return b"".join((*parts, rest.SerializeToString()))

    # ---- people

    async def Explain(self, request: pb.ExplainRequest, context: Context) -> pb.ExplainResponse:
        client_order_id = request.client_order_id
        if not client_order_id:
            if not request.exec_id:
                await context.abort(grpc.StatusCode.INVALID_ARGUMENT, "exec_id or client_order_id: give one of them")
            known = self._live.desk.state.orders.find_execution(request.exec_id)
            client_order_id = known.client_order_id if known else ""
            if not client_order_id:
                client_order_id = await asyncio.to_thread(self._search_execution, request.exec_id)
            if not client_order_id:
                await context.abort(grpc.StatusCode.NOT_FOUND, f"exec_id: no fill {request.exec_id!r} is booked")
        keys = self._live.desk.state.gateway.keys
        story = await asyncio.to_thread(lambda: tell_story(client_order_id, self._read_records(), keys))
        if not story.events:
            await context.abort(grpc.StatusCode.NOT_FOUND, story.missing[0])
        return await self._explained(story, request.exec_id)

    def _search_execution(self, exec_id: str) -> str:
        return find_order_of_execution(exec_id, self._read_records())

    async def _explained(self, story: OrderStory, exec_id: str) -> pb.ExplainResponse:
        executions = sorted(story.executions, key=lambda e: e.exec_id != exec_id)
        order = self._live.desk.state.orders.get(story.client_order_id)
        response = pb.ExplainResponse(
            executions=[execution_to_wire(e) for e in executions],
            order=None if order is None else snapshot_to_wire(order.snapshot()),
            events=[event_to_wire(e) for e in story.events],
            grant_derivation=story.derivation,
            missing=story.missing,
        )
        if story.raw_intent:
            response.intent.CopyFrom(intent_pb2.OrderIntent.FromString(story.raw_intent))
        if not story.decision_id:
            if not story.derivation:
                response.missing.append("no decision was ever received for this order")
            return response
        try:
            answer = await self._risk.decision(story.decision_id)
            response.decision.CopyFrom(answer.decision)
        except TransientError as exc:
            response.missing.append(f"decision {story.decision_id}: {exc}")
        return response

    async def Audit(self, request: pb.AuditRequest, context: Context) -> pb.AuditResponse:
        if request.venue and request.venue not in self._rests:
            await context.abort(grpc.StatusCode.NOT_FOUND, f"venue: {request.venue!r} is not traded here")
        response = pb.AuditResponse(unknown_orders=self._live.desk.state.orders.unknown_count)
        for name in [request.venue] if request.venue else self._rests:
            try:
                report = await self._auditor.audit(name)
            except RejectedError as exc:
                await context.abort(grpc.StatusCode.RESOURCE_EXHAUSTED, str(exc))
            except READ_ERRORS as exc:
                await context.abort(grpc.StatusCode.UNAVAILABLE, f"{name} cannot be read: {exc}")
            _add_report(response, report)
        return response

    async def WatchStatus(
        self, request: pb.WatchStatusRequest, context: Context
    ) -> AsyncIterator[pb.WatchStatusResponse]:
        seen_ns = self._live.clock.now_ns()
        while True:
            now_ns = self._live.clock.now_ns()
            yield self._status(now_ns, seen_ns)
            seen_ns = now_ns
            await asyncio.sleep(HEARTBEAT_S)

    def _status(self, now_ns: int, seen_ns: int) -> pb.WatchStatusResponse:
        live = self._live
        desk = live.desk
        lease = desk.state.link.lease_valid(now_ns)
        problems = [] if lease else ["no lease from riskd: no entries"]
        links = []
        for name, venue in desk.state.venues.items():
            link, age_ms = live.link_state(name)
            links.append(status_pb2.VenueLink(venue=name, channel="private", state=link, age_ms=age_ms))
            if link != "live":
                problems.append(f"{name} private stream {link}")
            elif venue.reconciling:
                problems.append(f"{name} is being reconciled")
        if desk.state.orders.unknown_count:
            problems.append(f"{desk.state.orders.unknown_count} orders unknown")
        level = desk.latches.level
        if level >= TradingLevel.HALTED:
            problems.append("stopped")
        state = status_pb2.DAEMON_STATE_DEGRADED if problems else status_pb2.DAEMON_STATE_OK
        status = status_pb2.DaemonStatus(
            daemon="execd",
            incarnation=self._incarnation,
            version=__version__,
            mode=self._mode,
            state=status_pb2.DAEMON_STATE_STOPPING if self.stopping else state,
            summary="; ".join(problems),
            started_time_ns=self._started_ns,
            time_ns=now_ns,
            items=[status_pb2.StatusItem(name=name, value=str(value)) for name, value in self._items().items()],
            venue_links=links,
            log_lines=[
                status_pb2.LogLine(time_ns=time_ns, level=level_name, daemon="execd", text=text)
                for time_ns, level_name, text in live.warnings
                if time_ns > seen_ns
            ],
        )
        latch = {TradingLevel.HALTED: "HALT", TradingLevel.KILLED: "KILL"}.get(level, "")
        return pb.WatchStatusResponse(
            status=status,
            risk_session_up=lease,
            unknown_orders=desk.state.orders.unknown_count,
            working_orders=desk.state.orders.working_count,
            latch=latch,
        )

    def _items(self) -> dict[str, int]:
        live = self._live
        rings = {
            "tick_to_wire_us": live.tick_to_wire,
            "frame_to_wire_us": live.frame_to_wire,
            "risk_round_trip_us": live.risk_round_trip,
            "ack_latency_us": live.ack_latency,
        }
        orders = live.desk.state.orders
        figures = {
            "intents": live.desk.intents.window.count,
            "orders": orders.sent_count,
            "fills": orders.fill_count,
            "orders_sent": live.orders_sent,
        }
        for name, ring in rings.items():
            figures[f"{name}_p50"] = ring.percentile_us(50)
            figures[f"{name}_p99"] = ring.percentile_us(99)
        return figures


def _add_report(response: pb.AuditResponse, report: AuditReport) -> None:
    response.venue_orders += report.venue_orders
    response.approved_orders += report.approved_orders
    response.venue_fills += report.venue_fills
    response.booked_fills += report.booked_fills
    response.unapproved_orders += report.unapproved_orders
    response.position_mismatches += report.position_mismatches
    for finding in report.findings:
        response.findings.add(kind=finding.kind, subject=finding.subject, detail=finding.detail)
    response.notes.extend(report.notes)


def execution_binding(servicer: ExecutionServicer) -> ServiceBinding:
    """Return the service for the server."""
    return ServiceBinding(SERVICE, add_ExecutionServiceServicer_to_server, servicer)


def _manual_strategy(given: str, context: Context, role: str) -> str:
    """Operators trade as `manual:<operator>`, whatever strategy they name."""
    if given.startswith(MANUAL) and len(given) > len(MANUAL):
        return given
    for key, value in context.invocation_metadata() or ():
        if key == OPERATOR_KEY and value:
            return f"{MANUAL}{value if isinstance(value, str) else value.decode()}"
    return f"{MANUAL}{role}"


def _malformed(intent_id: str, error: RejectedError) -> IntentAnswer:
    return IntentAnswer(intent_id, IntentStatus.REFUSED, "AUT-01", error.reason, str(error))


def _position(view: PositionView) -> pb.PositionView:
    return pb.PositionView(
        strategy_id=view.strategy_id,
        instrument_id=view.instrument_id,
        qty=format_decimal(view.qty),
        avg_price=format_decimal(view.avg_price),
        stop_price=write_optional_decimal(view.stop_price),
    )
