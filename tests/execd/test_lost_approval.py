"""An order that left while its APPROVAL was not yet on disk is still shown to be approved, whoever was killed."""

from __future__ import annotations

import asyncio
import json
import signal
import sys
from pathlib import Path

from execd.approvals_shell import KeptApprovals
from execd.explain import tell_story
from execd.records import RecordType
from execd.restore import MAX_LOST_APPROVALS
from simexchange.config import LimitsConfig, SimexchangeConfig
from simexchange.service import Exchange
from tests.conftest import PROJECT_ROOT
from tests.execd.desk_kit import KEYS, DeskKit
from tests.execd.live_kit import QUICK, LiveKit
from tradebot.core.approvals import Approval
from tradebot.core.orders import OrderRole, OrderStatus, TimeInForce
from tradebot.runtime.clock import SystemClock
from tradebot.runtime.journal import Journal
from tradebot.runtime.journal_reader import read_journal
from tradebot.wire.execd_records import approval_bytes

APPROVAL = b"signed terms"


async def killed_while_sending(exchange: Exchange, state: Path) -> None:
    urls = {name: getattr(exchange, name) for name in ("rest_url", "market_ws_url", "trade_ws_url")}
    child = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tests.execd.dies_sending", str(state), json.dumps(urls), cwd=PROJECT_ROOT
    )
    assert await asyncio.wait_for(child.wait(), 60) == -signal.SIGKILL


async def test_killed_between_send_and_journal_the_audit_still_finds_the_one_approval(tmp_path: Path) -> None:
    config = SimexchangeConfig(
        rest_port=0, ws_port=0, seed=7, response_delay_ms=(0, 0), limits=LimitsConfig(weight_per_minute=1_000_000)
    )
    async with Exchange(config, venue_name="binance", api_key="test-key", api_secret="test-secret") as exchange:
        await killed_while_sending(exchange, tmp_path)
        on_disk = [record.record_type for record in read_journal(tmp_path)]
        assert RecordType.ASK in on_disk
        assert RecordType.APPROVAL not in on_disk  # the loss is real

        kit = LiveKit(exchange, tmp_path, QUICK)
        await kit.start()
        try:
            await kit.until(lambda: kit.desk.state.orders.unknown_count == 0, "the order to be found")
            kit.journal.flush()
            records = [(r.record_type, r.payload) for r in read_journal(tmp_path)]
            (entry,) = kit.orders(OrderRole.ENTRY)
            report = await kit.audited()
            story = tell_story(entry.id, records, KEYS)
        finally:
            await kit.stop()

    assert entry.state.status is OrderStatus.FILLED
    assert report.findings == []
    assert report.approved_orders == report.venue_orders >= 1
    assert story.decision_id == "d1"


def test_a_lost_approval_is_written_once_however_often_execd_starts() -> None:
    kit = DeskKit()
    kit.order(time_in_force=TimeInForce.GTC)
    (index,) = [n for n, (kind, _) in enumerate(kit.records) if kind == RecordType.APPROVAL]
    approval = kit.records[index][1]
    del kit.records[index:]

    for _ in range(3):
        kit.restart(kept=[approval, approval_bytes(Approval(b"terms", b"mac", "a key of last year"))])

    assert [payload for kind, payload in kit.records if kind == RecordType.APPROVAL] == [approval]


def test_an_approval_of_an_order_that_nobody_asked_for_is_not_written() -> None:
    kit = DeskKit()
    kit.order()
    approval = next(payload for kind, payload in kit.records if kind == RecordType.APPROVAL)
    fresh = DeskKit()
    fresh.restart(kept=[approval])

    assert RecordType.APPROVAL not in [kind for kind, _ in fresh.records]


async def test_no_more_orders_leave_than_approvals_can_be_kept(tmp_path: Path) -> None:
    journal = Journal.open(tmp_path, clock=SystemClock(), segment_bytes=1 << 20, loop=asyncio.get_running_loop())
    try:
        kept = KeptApprovals(journal, tmp_path)
        stalled = journal.durable_seq + 1
        told = [kept.keep(APPROVAL, stalled) for _ in range(MAX_LOST_APPROVALS)]
        for _ in range(2):
            journal.append(RecordType.APPROVAL, APPROVAL)
        journal.flush()

        assert told == [True] * (MAX_LOST_APPROVALS - 1) + [False]
        assert kept.keep(APPROVAL, stalled)
        assert not kept.keep(bytes(4_096), stalled)
    finally:
        journal.close()


async def test_the_first_approval_of_a_life_ends_those_of_the_life_before(tmp_path: Path) -> None:
    journal = Journal.open(tmp_path, clock=SystemClock(), segment_bytes=1 << 20, loop=asyncio.get_running_loop())
    try:
        for life in range(3):
            kept = KeptApprovals(journal, tmp_path)
            assert kept.last_life == [b"approval %d of life %d" % (n, life - 1) for n in range(5 - life)] * (life > 0)
            for n in range(4 - life):
                assert kept.keep(b"approval %d of life %d" % (n, life), 0)
            kept.close()
    finally:
        journal.close()


def test_an_order_without_room_for_its_approval_is_refused_and_not_sent() -> None:
    kit = DeskKit()
    kit.desk.state.keep_approval = lambda payload, last_record: False
    order = kit.order()

    assert (order.state.status, order.reason) == (OrderStatus.REJECTED, "JOURNAL_SLOW")
    assert not [send for send in kit.sends if send.is_order]
