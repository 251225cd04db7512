"""What an audit reads, how often, and whose positions it believes."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import aiohttp
import pytest

import execd.audit
from execd.audit import audit_span
from execd.audit_pace import AuditPace
from execd.audit_shell import Auditor
from execd.risk_client import RiskClient
from tests.execd.live_kit import LiveKit, live_kit
from tests.support.builders import BTC
from tradebot.core.errors import RejectedError, TransientError
from tradebot.core.orders import OrderRole, Side
from tradebot.runtime.journal_reader import read_journal


class RiskdOf(RiskClient):
    """Riskd's answer to the one question of an audit."""

    def __init__(self, *answers: dict[str, Decimal] | None) -> None:
        self.answers = list(answers)

    async def positions(self) -> dict[str, Decimal]:
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if answer is None:
            raise TransientError("riskd: UNAVAILABLE")
        return answer


def auditor(kit: LiveKit, risk: RiskdOf, share: float = 1.0) -> Auditor:
    def records() -> list[tuple[int, bytes]]:
        kit.journal.flush()
        return [(record.record_type, record.payload) for record in read_journal(kit._state)]

    return Auditor(kit.live, risk, {"binance": kit.rest}, lambda: iter(records()), share)


async def trade_once(kit: LiveKit) -> None:
    """Buy with a stop, and sell again."""
    kit.submit(kit.market_intent(qty="0.01"))
    await kit.until(lambda: bool(kit.resting_stops()), "stop rests")
    kit.submit(kit.market_intent(OrderRole.EXIT, side=Side.SELL, qty=None))
    await kit.until(lambda: kit.desk.state.orders.positions.qty("s1", BTC) == 0, "flat")
    await kit.until(lambda: kit.desk.state.orders.working_count == 0, "nothing works")


async def test_riskds_positions_are_held_against_the_venue_and_against_execd(tmp_path: Path) -> None:
    async with live_kit(tmp_path) as kit:
        kit.submit(kit.market_intent(qty="0.01"))
        await kit.until(lambda: bool(kit.resting_stops()), "stop rests")
        held = Decimal("0.00999")

        assert (await auditor(kit, RiskdOf({BTC: held})).audit("binance")).findings == []
        report = await auditor(kit, RiskdOf({BTC: Decimal("0.005")})).audit("binance")
        (finding,) = report.findings
        assert (finding.kind, report.position_mismatches) == ("POSITION_MISMATCH", 1)
        assert "venue" in finding.detail
        (silent,) = (await auditor(kit, RiskdOf(None)).audit("binance")).findings
        assert silent.kind == "RISKD_SILENT"


async def test_a_fill_that_riskd_hears_of_in_a_moment_is_no_finding(tmp_path: Path) -> None:
    async with live_kit(tmp_path) as kit:
        kit.submit(kit.market_intent(qty="0.01"))
        await kit.until(lambda: bool(kit.resting_stops()), "stop rests")
        late = RiskdOf({}, {}, {BTC: Decimal("0.00999")})

        assert (await auditor(kit, late).audit("binance")).findings == []


async def test_the_history_is_read_from_execds_first_look_on_over_restarts(tmp_path: Path) -> None:
    async with live_kit(tmp_path) as kit:
        await trade_once(kit)
        first_look = kit.desk.reconciler.watermarks["binance"]
        await kit.stop()
        await kit.start()
        await kit.until(lambda: kit.desk.reconciler.watermarks["binance"] > first_look, "reconciled again")
        span = audit_span(kit.desk, "binance")
        report = await auditor(kit, RiskdOf({})).audit("binance")

    assert (span.first_look_ns, span.since_ns, span.older_orders) == (first_look, first_look, 0)
    assert report.venue_orders == report.approved_orders == 3
    assert report.venue_fills == report.booked_fills >= 2
    assert (report.findings, report.notes) == ([], [])


async def test_more_than_the_bound_is_cut_and_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(execd.audit, "MAX_AUDITED", 2)
    async with live_kit(tmp_path) as kit:
        await trade_once(kit)
        await trade_once(kit)
        span = audit_span(kit.desk, "binance")
        report = await kit.audited()

    assert span.since_ns > span.first_look_ns
    assert span.older_orders >= 3
    assert report.findings == []
    (note,) = report.notes
    assert f"{span.older_orders} orders or more that ended before are not compared" in note


async def test_a_fill_that_the_venue_does_not_list_is_told_and_one_of_this_moment_is_not(tmp_path: Path) -> None:
    async with live_kit(tmp_path) as kit:
        await trade_once(kit)
        snapshot = await kit.venue_snapshot()
        later = max(trade.execution.event_time_ns for _, trade in snapshot.trades) + 2_000_000_000
        missing = replace(snapshot, trades=snapshot.trades[1:], started_ns=later)

        assert [f.kind for f in (await kit.audited(missing)).findings] == ["FILL_NOT_AT_VENUE"]
        at_once = replace(missing, started_ns=snapshot.trades[0][1].execution.event_time_ns)
        assert (await kit.audited(at_once)).findings == []


async def weight_used(kit: LiveKit) -> int:
    async with aiohttp.ClientSession() as http, http.get(f"{kit.exchange.rest_url}/api/v3/time") as response:
        return int(response.headers["x-mbx-used-weight-1m"])


async def test_whoever_polls_gets_his_audits_later_and_the_venue_is_spared(tmp_path: Path) -> None:
    async with live_kit(tmp_path) as kit:
        share = 5.0  # of the venue's 100 in weight a second: an audit of some 66 is paid back in 0.13 s
        polled = auditor(kit, RiskdOf({}), share)
        loop, before = asyncio.get_running_loop(), kit.rest.weight_used
        began_s = loop.time()
        for _ in range(4):
            await polled.audit("binance")
        took_s, cost = loop.time() - began_s, (kit.rest.weight_used - before) / 4

        assert cost >= 66
        assert took_s >= 3 * cost / (kit.rest.weight_per_s * share)


async def test_an_audit_knows_what_it_cost_at_the_venue(tmp_path: Path) -> None:
    async with live_kit(tmp_path) as kit:
        polled = auditor(kit, RiskdOf({}), 5.0)

        async def costs() -> tuple[int, int]:
            """What one audit cost, as the venue and as we count."""
            at_venue, told = await weight_used(kit), kit.rest.weight_used
            await polled.audit("binance")
            return await weight_used(kit) - at_venue, kit.rest.weight_used - told

        at_venue, told = await costs()
        if at_venue <= 0:  # the venue counts anew with each minute, and one began meanwhile
            at_venue, told = await costs()

        assert at_venue >= told >= 66


async def test_who_would_wait_too_long_is_told_when_to_come_again(tmp_path: Path) -> None:
    async with live_kit(tmp_path) as kit:
        polled = auditor(kit, RiskdOf({}), 0.01)
        await polled.audit("binance")
        with pytest.raises(RejectedError, match=r"AUDITED_TOO_OFTEN: binance .* again in \d+ s"):
            await polled.audit("binance")


def test_audits_pay_back_what_they_cost_before_the_next_one() -> None:
    pace = AuditPace(weight_per_s=20)
    pace.spent(120, began_s=100)

    assert pace.wait_s(100) == pytest.approx(6)
    assert pace.wait_s(103) == pytest.approx(3)
    assert pace.wait_s(107) == 0
    pace.spent(40, began_s=200)
    assert pace.wait_s(200) == pytest.approx(2)
