"""AUT-05: one daemon that an update left behind refuses every entry, by its name; closing stays possible."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest

from riskd.fleet import Fleet
from riskd.gate import RiskGate
from riskd.market_client import MarketClient
from riskd.shell import LiveGate
from tests.riskd.kit import BTC, Desk, violations
from tests.support.builders import make_instrument
from tradebot.core.orders import OrderRole, Side
from tradebot.rpc.marketdata.v1 import market_data_service_pb2 as market_pb
from tradebot.runtime.clock import ManualClock
from tradebot.wire.instruments import instrument_to_wire


def test_an_engine_of_another_build_refuses_entries_by_name_until_one_of_ours_connects() -> None:
    desk = Desk()
    desk.say(engine_build="old")
    answer = desk.plain()

    assert (answer.check_id, answer.reason) == ("AUT-05", "BUILD_MISMATCH")
    assert answer.detail == (
        "AUT-05 BUILD_MISMATCH: engine runs old; riskd runs build: restart engine from riskd's installation (system)"
    )
    desk.say(engine_build="build")
    assert desk.plain().approval is not None


def test_an_engine_that_tells_no_build_is_an_old_one() -> None:
    desk = Desk()
    desk.say(engine_build="")

    assert "engine runs a build that it does not tell" in desk.plain().detail


def test_what_was_told_outlives_execds_session() -> None:
    desk = Desk()
    desk.say(engine_build="old")
    desk.gate.session_lost(desk.now_ns)
    desk.hello()
    desk.venue()

    assert violations(desk.plain())["AUT-05"] == "BUILD_MISMATCH"


def test_a_position_is_closed_whoever_runs_what() -> None:
    desk = Desk()
    desk.buy()
    desk.say(engine_build="old")

    assert desk.plain(role=OrderRole.EXIT, side=Side.SELL, qty="0.01").approval is not None


def test_everybody_who_differs_is_named() -> None:
    desk = Desk()
    desk.gate.fleet.told("recorder", "older")
    desk.say(engine_build="old")
    desk.gate.session.build = "oldest"
    detail = desk.plain().detail

    assert "execd runs oldest, recorder runs older, engine runs old; riskd runs build: restart execd and" in detail


def test_the_journal_keeps_the_names() -> None:
    desk = Desk()
    desk.say(engine_build="old")
    answer = desk.plain()
    gate = desk.replayed()
    record = gate.decider.find(answer.decision_id)
    assert record is not None
    (check,) = [check for check in gate.render(record).checks if check.check_id == "AUT-05"]

    assert "engine runs old" in check.measured


def test_a_long_build_is_cut() -> None:
    fleet = Fleet("ours")
    fleet.told("engine", "x" * 10_000)

    assert len(fleet.text("ours")) < 200


class _Stub:
    """marketdata, as far as a first message goes."""

    def __init__(self, build: str) -> None:
        self._build = build

    def Subscribe(self, request: Any, *, wait_for_ready: bool) -> _Stub:
        return self

    async def __aiter__(self) -> AsyncIterator[market_pb.SubscribeResponse]:
        instruments = [instrument_to_wire(make_instrument(BTC))]
        yield market_pb.SubscribeResponse(incarnation="m", instruments=instruments, build_hash=self._build)

    def cancel(self) -> None: ...


class _Live:
    """What the client tells, with the gate of a desk behind it."""

    def __init__(self, gate: RiskGate, now_ns: int) -> None:
        self.gate, self.clock = gate, ManualClock(now_ns)

    told_build = LiveGate.told_build
    market_began = LiveGate.market_began
    market_heard = LiveGate.market_heard
    market_ended = LiveGate.market_ended


@pytest.mark.parametrize(("build", "others"), [("build", {}), ("old", {"marketdata": "old"}), ("", {"marketdata": ""})])
async def test_marketdata_tells_its_build_with_its_stream(build: str, others: dict[str, str]) -> None:
    desk = Desk()
    client = MarketClient.__new__(MarketClient)
    client._live, client._stub = _Live(desk.gate, desk.now_ns), _Stub(build)  # type: ignore[assignment]
    await client.session()

    assert desk.gate.fleet.others == others
