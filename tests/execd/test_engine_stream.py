"""The engine's stream: execd's view first, then what happened after it, each fill once."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from decimal import Decimal
from pathlib import Path
from typing import Any, cast

from engine.holdings import OrderFold
from execd.approvals_shell import KeptApprovals
from execd.risk_client import RiskClient
from execd.service import ExecutionServicer
from execd.shell import LiveDesk
from tests.execd.desk_kit import DeskKit
from tests.support.builders import BTC, make_instrument
from tradebot.core.amounts import parse_decimal
from tradebot.core.order_events import PositionView
from tradebot.core.orders import TimeInForce
from tradebot.rpc.execution.v1 import execution_service_pb2 as pb
from tradebot.runtime.clock import SystemClock
from tradebot.runtime.journal import Journal
from tradebot.wire.orders import event_from_wire, snapshot_from_wire

WAIT_S = 10.0


async def requests() -> AsyncIterator[pb.SubmitIntentsRequest]:
    yield pb.SubmitIntentsRequest(strategy_ids=["s1"])
    await asyncio.Event().wait()


async def test_a_fill_that_is_in_the_view_is_not_told_again_when_it_is_durable(tmp_path: Path) -> None:
    """The view is of this moment; events wait for the disk. What is between is in both."""
    kit = DeskKit()
    order = kit.order(time_in_force=TimeInForce.GTC)
    kit.place()
    clock = SystemClock()
    journal = Journal.open(tmp_path, clock=clock, segment_bytes=1 << 20, loop=asyncio.get_running_loop())
    for record_type, payload in kit.records:
        journal.append(record_type, payload)
    live = LiveDesk(kit.desk, journal, clock, "log-1", KeptApprovals(journal, tmp_path))
    kit.frame = lambda body: live.venue_frame("binance", json.dumps(body).encode())  # type: ignore[method-assign]
    risk = cast(RiskClient, None)  # only asked to explain
    servicer = ExecutionServicer(live, risk, {}, "demo", "run-1", lambda: iter(()))
    kit.match(order, "0.004", "60000")
    stream = servicer.SubmitIntents(requests(), cast(Any, None))
    first = await anext(stream)
    kit.match(order, "0.003", "60000")
    fold = OrderFold()
    holding = fold.add_holding("s1", make_instrument(BTC))
    views = [
        PositionView(v.strategy_id, v.instrument_id, parse_decimal(v.qty, "qty"), Decimal(1), None)
        for v in first.positions
    ]
    fold.rehydrate([snapshot_from_wire(o) for o in first.orders], views)
    told: list[str] = []
    async with asyncio.timeout(WAIT_S):
        while "2" not in told:
            message = pb.SubmitIntentsResponse.FromString(await anext(stream))
            for event in map(event_from_wire, message.order_events):
                fold.apply(event, clock.now_ns())
                told += [event.execution.exec_id] if event.execution else []
    await cast(Any, stream).aclose()
    journal.close()

    assert told == ["2"]
    assert holding.qty == kit.venue.base
