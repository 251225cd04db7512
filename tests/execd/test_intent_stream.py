"""The engine's stream into execd: its own orders' events come back on it, in order, and nobody else's."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from execd.service import ExecutionServicer
from tests.execd.live_kit import LiveKit, live_kit
from tradebot.core.order_events import OrderEvent
from tradebot.core.orders import OrderStatus
from tradebot.rpc.execution.v1 import execution_service_pb2 as pb
from tradebot.runtime.outbox import Outbox, OutboxFullError
from tradebot.wire.intents import intent_to_wire
from tradebot.wire.orders import event_from_wire

WAIT_S = 10


class Requests:
    """What an engine sends: the strategies that it speaks for, intents, then nothing more."""

    def __init__(self, *strategy_ids: str) -> None:
        self._waiting = [pb.SubmitIntentsRequest(strategy_ids=strategy_ids)]
        self._more = asyncio.Event()

    def send(self, request: pb.SubmitIntentsRequest) -> None:
        self._waiting.append(request)
        self._more.set()

    def __aiter__(self) -> AsyncIterator[pb.SubmitIntentsRequest]:
        return self

    async def __anext__(self) -> pb.SubmitIntentsRequest:
        while not self._waiting:
            self._more.clear()
            await self._more.wait()
        return self._waiting.pop(0)


def open_stream(kit: LiveKit, requests: Requests) -> AsyncIterator[Any]:
    risk: Any = None
    servicer = ExecutionServicer(kit.live, risk, {}, "demo", "life-1", lambda: iter(()))
    return servicer.SubmitIntents(requests, risk)


async def next_message(stream: AsyncIterator[Any]) -> pb.SubmitIntentsResponse:
    message = await asyncio.wait_for(anext(stream), WAIT_S)
    return message if isinstance(message, pb.SubmitIntentsResponse) else pb.SubmitIntentsResponse.FromString(message)


async def read_to_the_end(stream: AsyncIterator[Any]) -> None:
    while True:
        await next_message(stream)


async def test_an_engine_hears_of_its_own_orders_from_the_first_event_to_the_last(tmp_path: Path) -> None:
    async with live_kit(tmp_path) as kit:
        requests = Requests("s1")
        stream = open_stream(kit, requests)
        await next_message(stream)
        kit.submit(kit.market_intent(strategy_id="s2"))
        requests.send(pb.SubmitIntentsRequest(intents=[intent_to_wire(kit.market_intent(strategy_id="s1"))]))
        events: list[OrderEvent] = []
        while not any(event.status is OrderStatus.FILLED for event in events):
            events += [event_from_wire(raw) for raw in (await next_message(stream)).order_events]

        entries = {e.client_order_id: e.facts.strategy_id for e in events if e.facts is not None}
        assert set(entries.values()) == {"s1"}
        assert {e.client_order_id for e in events} == set(entries)
        assert [e.sequence for e in events] == sorted(e.sequence for e in events)


async def test_the_stream_of_an_engine_that_does_not_read_ends_and_trading_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with live_kit(tmp_path) as kit:
        full = kit.live.hub
        requests = Requests()
        monkeypatch.setattr("execd.service.Outbox", lambda: Outbox(2))
        stream = open_stream(kit, requests)
        await next_message(stream)
        for _ in range(3):
            kit.submit(kit.market_intent())
        await kit.until(lambda: full.log.last_sequence >= 12, "events of three orders")

        with pytest.raises(OutboxFullError):
            await read_to_the_end(stream)
        assert full.subscribers == 0
