"""The eyes against a simulated venue and a running riskd, each with real sockets, in this process."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from decimal import Decimal
from pathlib import Path
from urllib.parse import urlencode

import grpc
import pytest

from riskd.eye_watch import HEARD_BEFORE_JUDGING
from riskd.eyes.client import RiskLink
from riskd.eyes.metrics_shell import EyesMetrics
from riskd.eyes.service import EyesServicer
from riskd.eyes.shell import Eyes
from riskd.eyes.venue_shell import VenueEye
from simexchange.config import SimexchangeConfig
from simexchange.faults import FaultRule
from simexchange.service import Exchange
from tests.riskd.kit import make_test_limits
from tests.riskd.live_kit import Live, running
from tests.simexchange.kit import KEY, READ_KEY, READ_SECRET, SECRET, signature
from tests.support.scrape import scrape
from tradebot.core.approvals import LeasePing, SessionHello, SessionUp
from tradebot.core.errors import ConfigError, DisconnectedError
from tradebot.core.looks import LookAnswer, LookReport
from tradebot.runtime.clock import Clock, ManualClock, SystemClock
from tradebot.runtime.config import MetricsConfig, VenueConfig
from tradebot.runtime.grpc_client import open_channel
from tradebot.runtime.identity import Role
from tradebot.runtime.metrics import Metrics
from tradebot.venues import load_venue_part
from tradebot.venues.api_orders import VenueCredentials
from tradebot.venues.server_api import HttpRequest

SECOND = 1_000_000_000
LIMITS = {
    "PTR-01": {"status": "enforced", "max_silence_s": 30},
    "PTR-03": {"status": "enforced", "max_steps": 1, "fill_grace_s": 60},
    "PTR-04": {"status": "enforced", "max_drift_pct": 0.1},
}


@asynccontextmanager
async def exchange() -> AsyncIterator[Exchange]:
    config = SimexchangeConfig(rest_port=0, ws_port=0, history_s=60, response_delay_ms=(0.0, 0.0))
    one = Exchange(
        config, venue_name="binance", api_key=KEY, api_secret=SECRET, read_keys={READ_KEY: READ_SECRET},
        clock=SystemClock(),
    )  # fmt: skip
    async with one:
        yield one


def eye_of(venue: Exchange, key: str = READ_KEY, secret: str = READ_SECRET, clock: Clock | None = None) -> VenueEye:
    config = VenueConfig(
        rest_url=venue.rest_url, market_ws_url="", trade_ws_url="", symbols=("BTCUSDT", "ETHUSDT")
    )  # fmt: skip
    execution = load_venue_part("binance", "execution", "EXECUTION")
    return VenueEye(execution, config, VenueCredentials(key, secret), clock or SystemClock())


def place(venue: Exchange, client_order_id: str, side: str = "BUY", price: str = "50000") -> None:
    """Place an order with the trading key; nobody else hears of it."""
    now_ns = SystemClock().now_ns()
    body = urlencode({
        "symbol": "BTCUSDT", "side": side, "type": "LIMIT", "timeInForce": "GTC", "quantity": "0.001", "price": price,
        "newClientOrderId": client_order_id, "timestamp": now_ns // 1_000_000,
    })  # fmt: skip
    request = HttpRequest(
        "POST", "/api/v3/order", "", f"{body}&signature={signature(body)}", {"x-mbx-apikey": KEY}, "127.0.0.1"
    )
    assert venue.venue.server.rest(request, now_ns).status == 200


async def test_a_look_holds_orders_fills_and_balances_as_the_venue_has_them() -> None:
    async with exchange() as venue:
        eye = eye_of(venue)
        place(venue, "resting")
        place(venue, "taking", price="70000")
        look = await eye.look(0)
        await eye.close()

    orders = {order.client_order_id: order for order in look.orders}
    assert not look.error
    assert (orders["resting"].is_open, orders["taking"].is_open) == (True, False)
    assert orders["taking"].filled_qty == sum((fill.qty for fill in look.fills), Decimal(0)) == Decimal("0.001")
    totals = {balance.asset: balance.total for balance in look.balances}
    assert totals["BTC"] == Decimal("0.001") - sum((f.fee for f in look.fills if f.fee_asset == "BTC"), Decimal(0))
    assert totals["USDT"] == 10_000 - sum((f.qty * f.price for f in look.fills), Decimal(0))


async def test_a_key_that_the_venue_does_not_know_gives_a_look_that_says_so() -> None:
    async with exchange() as venue:
        eye = eye_of(venue, "stranger", "secret")
        look = await eye.look(0)
        await eye.close()

    assert "-2015" in look.error
    assert (look.orders, look.balances) == ((), ())
    assert eye.failures == 1


async def test_a_venue_that_wants_silence_is_not_asked_again_before_its_time() -> None:
    clock = ManualClock(SystemClock().now_ns())
    async with exchange() as venue:
        eye = eye_of(venue, clock=clock)
        venue.venue.faults.add(FaultRule("rate_limited", retry_after_s=3))
        refused = await eye.look(0)
        errors = []
        for _ in range(3):
            clock.advance(SECOND)
            errors.append((await eye.look(0)).error)
        await eye.close()

    assert refused.error
    assert errors == ["binance wants silence", "binance wants silence", ""]


async def test_a_key_that_may_trade_is_refused_in_one_line() -> None:
    async with exchange() as venue:
        eye = eye_of(venue, KEY, SECRET)
        with pytest.raises(ConfigError, match=r"venues\.binance\.read_key_name: this key may trade") as refused:
            await eye.look(0)
        await eye.close()

    assert "\n" not in str(refused.value)


async def test_more_history_than_one_page_is_read_to_its_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tradebot.venues.binance.execution.MAX_PAGE", 3)
    monkeypatch.setattr("tradebot.venues.binance.execution.BinanceOrderCodec.page_rows", 3)
    async with exchange() as venue:
        eye = eye_of(venue)
        from_ns = SystemClock().now_ns()
        for number in range(10):
            place(venue, f"o{number}", price="70000")
            await asyncio.sleep(0.002)
        look = await eye.look(from_ns)
        await eye.close()

    assert {order.client_order_id for order in look.orders} == {f"o{number}" for number in range(10)}
    assert len({fill.exec_id for fill in look.fills}) == len(look.fills) >= 10


class Ears:
    """Takes reports like riskd, and is away when told to."""

    def __init__(self) -> None:
        self.reports: list[LookReport] = []
        self.away = 0
        self._came = asyncio.Condition()

    async def heard(self, count: int) -> None:
        """Wait for that many reports."""
        async with asyncio.timeout(20), self._came:
            await self._came.wait_for(lambda: len(self.reports) >= count)

    async def submit(self, report: LookReport) -> LookAnswer:
        if self.away:
            self.away -= 1
            raise DisconnectedError("riskd is away")
        async with self._came:
            self.reports.append(report)
            self._came.notify_all()
        return LookAnswer(True, "", (("binance", 1_000),), 1)


async def test_nothing_is_looked_at_before_riskd_says_from_when_on_and_numbers_never_repeat() -> None:
    async with exchange() as venue:
        ears = Ears()
        ears.away = 1
        eye = eye_of(venue)
        eyes = Eyes([eye], ears, SystemClock(), 5_000)
        task = asyncio.create_task(eyes.run())
        await ears.heard(3)
        ears.away = 1
        await ears.heard(5)
        task.cancel()
        await eye.close()

    first, *others = ears.reports
    assert first.looks == ()
    assert all(len(report.looks) == 1 for report in others)
    numbers = [report.sequence for report in ears.reports]
    assert numbers == sorted(set(numbers))
    assert len({report.epoch for report in ears.reports}) == 1


async def test_an_order_that_riskd_never_approved_kills_the_venue_and_others_may_not_report(
    short_tmp_path: Path,
) -> None:
    clock = ManualClock(SystemClock().now_ns())
    async with exchange() as venue, running(short_tmp_path, clock, make_test_limits(LIMITS)) as riskd:
        eye = eye_of(venue)
        link = RiskLink(open_channel(riskd.common, Role.RISKD, Role.EYES), 5)
        eyes = Eyes([eye], link, clock, 5_000)
        assert await eyes._report(looking=False) is not None
        place(venue, "by-hand")
        clock.set(SystemClock().now_ns() + 1_000_000_000)
        answer = await eyes._report(looking=True)
        await hear(riskd)
        await eye.close()

        assert answer is not None
        assert answer.accepted
        (hold,) = [h for h in riskd.gate.state.holds.holds.values() if h.cause == "PTR-01"]
        assert "by-hand" in hold.evidence
        with pytest.raises(grpc.aio.AioRpcError) as denied:
            await riskd.stub(Role.TRADER).SubmitLook(b"", timeout=5)
        assert denied.value.code() is grpc.StatusCode.PERMISSION_DENIED


async def hear(riskd: Live) -> None:
    """Let execd dial and ping often enough."""
    session = riskd.session()
    await session.ask(SessionUp(hello=SessionHello("s", "log1", 0, "build", ())))
    for number in range(HEARD_BEFORE_JUDGING):
        await session.ask(SessionUp(ping=LeasePing(number + 1, 0)))
    session.close()


async def test_the_eyes_say_what_is_wrong_with_them() -> None:
    async with exchange() as venue:
        eye = eye_of(venue, "stranger", "secret")
        eyes = Eyes([eye], Ears(), SystemClock(), 5_000)
        servicer = EyesServicer(eyes, SystemClock(), "demo")
        await eye.look(0)
        status = servicer._status()
        await eye.close()

    assert status.daemon == "eyes"
    assert status.state == 3  # DEGRADED
    assert "-2015" in status.summary


async def test_the_eyes_tell_prometheus_how_old_their_last_look_is_and_whether_something_differs() -> None:
    class Riskd:
        again_ms = 0

        async def submit(self, report: LookReport) -> LookAnswer:
            return LookAnswer(True, "", (("binance", 1),), self.again_ms)

    clock = ManualClock(SystemClock().now_ns())
    with Metrics("eyes") as metrics:
        metrics.serve(MetricsConfig(ports={"eyes": 0}))
        async with exchange() as venue:
            riskd, eye = Riskd(), eye_of(venue)
            eyes = Eyes([eye], riskd, clock, 5_000)
            shown = EyesMetrics(metrics, eyes, clock)
            await eyes._report(looking=True)
            eye.last_ns = clock.now_ns()
            clock.advance(7_000_000_000)
            shown.update()
            seen = await asyncio.to_thread(scrape, metrics.port)
            riskd.again_ms = 500
            await venue.stop()
            await eyes._report(looking=True)
            shown.update()
            then = await asyncio.to_thread(scrape, metrics.port)
            await eye.close()

    looks = 'tradebot_eyes_looks_total{venue="binance"}'
    assert (seen[looks], then[looks]) == (1, 1)
    assert seen['tradebot_eyes_look_age_seconds{venue="binance"}'] == 7
    assert 0 < seen['tradebot_eyes_look_seconds{venue="binance"}'] < 600
    assert then['tradebot_eyes_failed_looks_total{venue="binance"}'] == 1
    assert (seen["tradebot_eyes_reports_total"], then["tradebot_eyes_accepted_reports_total"]) == (1, 2)
    assert (seen["tradebot_eyes_drift_suspected"], then["tradebot_eyes_drift_suspected"]) == (0, 1)
