"""riskd as a real process, killed with -9 while its guards stand: the next one has the same holds, with the same ends,
and measures the day from the same start.
"""

from __future__ import annotations

import asyncio
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from decimal import Decimal
from pathlib import Path
from typing import Any

import grpc
import pytest

from cli.config import load_common
from cli.launcher import prepare_keys
from riskd.records import Started, decode_record
from tests.conftest import PROJECT_ROOT
from tests.riskd.kit import BTC, ETH
from tests.riskd.live_kit import Session
from tests.support.builders import make_instrument
from tradebot.core.accounts import AccountSnapshot, Balance, LedgerEntry, LedgerKind, VenueStatus
from tradebot.core.approvals import SessionHello, SessionUp
from tradebot.rpc.risk.v1 import risk_service_pb2 as pb
from tradebot.rpc.risk.v1.risk_service_pb2_grpc import RiskServiceStub
from tradebot.runtime.config import CommonConfig
from tradebot.runtime.grpc_client import open_channel
from tradebot.runtime.identity import Role
from tradebot.runtime.journal_reader import read_journal
from tradebot.runtime.state_dir import prepare_state_dir

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]
CONFIG = PROJECT_ROOT / "config" / "demo.yaml"
WAIT_S = 90.0


class RealRiskd:
    """One `python -m riskd` and what talks to it."""

    def __init__(self, state: Path, common: CommonConfig) -> None:
        command = [sys.executable, "-m", "riskd", "--config", str(CONFIG), "--state", str(state)]
        self.process = subprocess.Popen(command, cwd=PROJECT_ROOT, stdout=subprocess.DEVNULL)
        self._common = common
        self._channels: list[grpc.aio.Channel] = []
        self.operator: Any = None

    def stub(self, role: Role) -> Any:
        self._channels.append(open_channel(self._common, Role.RISKD, role))
        return RiskServiceStub(self._channels[-1])

    async def close(self) -> None:
        while self._channels:
            await self._channels.pop().close()

    async def ready(self) -> None:
        """Dial until it answers, each time anew: a channel that failed waits longer and longer."""
        deadline = time.monotonic() + WAIT_S
        while True:
            self.operator = self.stub(Role.TRADER)
            try:
                await self.operator.ListHolds(pb.ListHoldsRequest(), timeout=5)
            except grpc.aio.AioRpcError:
                assert time.monotonic() < deadline, "riskd does not answer"
                assert self.process.poll() is None, "riskd has ended"
                await self.close()
                await asyncio.sleep(0.2)
            else:
                return

    async def connect(self, session_id: str, usdt: str) -> Session:
        """Be execd: one venue, reconciled, with that much money."""
        session = Session(self.stub(Role.EXECD))
        hello = SessionHello(session_id, "log1", 0, "build", (make_instrument(BTC), make_instrument(ETH)))
        await session.ask(SessionUp(hello=hello, accounts=[account(usdt)], venues=[venue()]))
        return session

    async def guards(self) -> dict[str, tuple[object, ...]]:
        """Return what stands of the loss guards, by hold id."""
        answer = await self.operator.ListHolds(pb.ListHoldsRequest())
        return {
            hold.hold_id: (hold.cause, hold.level, hold.raised_time_ns, hold.until_time_ns, hold.clear_after_time_ns)
            for hold in answer.holds
            if hold.cause.startswith("PNL-")
        }

    async def until(self, causes: set[str]) -> dict[str, tuple[object, ...]]:
        """Wait until exactly these guards stand."""
        deadline = time.monotonic() + WAIT_S
        guards = await self.guards()
        while {found[0] for found in guards.values()} != causes:
            assert time.monotonic() < deadline, guards
            await asyncio.sleep(0.1)
            guards = await self.guards()
        return guards

    async def day(self) -> pb.WatchPnlResponse:
        """Return the PnL of the day, once equity is known."""
        async for message in self.operator.WatchPnl(pb.WatchPnlRequest()):
            if message.equity and message.day_start_equity:
                found: pb.WatchPnlResponse = message
                return found
        raise AssertionError("the stream ended")


def account(usdt: str) -> AccountSnapshot:
    balances = (Balance("USDT", Decimal(usdt), Decimal(0)),)
    return AccountSnapshot("binance", "main", balances, True, time.time_ns(), 0)


def charge(amount: str) -> LedgerEntry:
    """Return a loss that the venue's ledger tells."""
    return LedgerEntry("binance", "main", "e1", LedgerKind.CHARGE, "USDT", -Decimal(amount), time.time_ns())


def venue() -> VenueStatus:
    return VenueStatus("binance", "main", True, time.time_ns(), False)


@asynccontextmanager
async def riskd(state: Path, common: CommonConfig) -> AsyncIterator[RealRiskd]:
    """Run a riskd; leaving kills it with -9."""
    daemon = RealRiskd(state, common)
    try:
        await daemon.ready()
        yield daemon
    finally:
        daemon.process.kill()
        daemon.process.wait()
        await daemon.close()


async def test_loss_guards_survive_kill_9_with_their_ends_and_their_day(short_tmp_path: Path) -> None:
    common = load_common(CONFIG, short_tmp_path, ())
    prepare_state_dir(short_tmp_path)
    prepare_keys(common, short_tmp_path)
    async with riskd(short_tmp_path, common) as first:
        session = await first.connect("s1", "10000")
        assert (await first.day()).day_start_equity == "10000"
        await session.say(SessionUp(ledger=[charge("450")]))  # -4.5 %: pause, halt of the day, velocity
        tripped = await first.until({"PNL-01", "PNL-02", "PNL-05"})
        epoch = (await first.operator.ListHolds(pb.ListHoldsRequest())).levels.epoch
    async with riskd(short_tmp_path, common) as second:
        at_once = await second.guards()
        await second.connect("s2", "9550")
        day = await second.day()
        await asyncio.sleep(1.5)  # it looks at the loss once more, and raises nothing anew
        later = await second.guards()
        levels = (await second.operator.ListHolds(pb.ListHoldsRequest())).levels

    assert at_once == tripped
    assert later == tripped
    assert (day.day_start_equity, day.day_pnl) == ("10000", "-450")
    assert levels.epoch >= epoch
    records = (decode_record(one.record_type, one.payload) for one in read_journal(common.journal_dir(Role.RISKD)))
    boots = [record.since_boot_ns for record in records if isinstance(record, Started)]
    assert 0 < boots[0] < boots[1]  # by which the clock of the second life is judged
