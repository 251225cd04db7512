"""A rogue risk service between execd and riskd: whatever it does to riskd's answers, no order leaves for an ask whose
own approval did not arrive untouched and in time.

The daemons are real. The proxy takes over the socket on which execd dials riskd, passes bytes through and tampers with
what the case says. Orders are manual, immediate-or-cancel and priced away from the market: they reach the venue, trade
nothing and expire, so that cases do not disturb each other.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import re
import threading
import time
import urllib.request
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from pathlib import Path
from typing import Any, Final

import grpc
import pytest

from cli import views
from tests.conftest import PROJECT_ROOT
from tests.support.system import RunningSystem
from tradebot.core.intents import OrderIntent, ProtectionPlan
from tradebot.core.orders import OrderRole, OrderType, Side, TimeInForce
from tradebot.rpc.common.v1 import order_pb2
from tradebot.rpc.risk.v1 import approval_pb2, decision_pb2
from tradebot.rpc.risk.v1 import risk_service_pb2 as pb
from tradebot.runtime.keys import APPROVAL_KEY_FILE, load_keyring
from tradebot.wire.approvals import APPROVAL_DOMAIN, GRANT_DOMAIN, _mac

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

SERVICE: Final = "/tradebot.rpc.risk.v1.RiskService/"
DEADLINE_MS: Final = 2_000
"""execd's patience with an ask here; longer than the 1,500 ms for which the demo's approvals are valid."""
EXPIRED_S: Final = 1.7
BTC: Final = "binance:BTC-USDT"
Answer = pb.ApprovalAnswer
Tamper = Callable[[Answer], list[Answer]]


def untouched(answer: Answer) -> list[Answer]:
    return [answer]


class RogueRisk:
    """Speaks RiskService to execd and passes everything to the real riskd, through `tamper`."""

    def __init__(self, run_dir: Path) -> None:
        self._ours = run_dir / "riskd.execd.sock"
        self._real = run_dir / "real.riskd.sock"
        self.tamper: Tamper = untouched
        self.delay_s = 0.0
        """Of answers only; leases go on."""
        self.order_ids: dict[str, str] = {}
        """Client order id by intent id, as execd asked."""
        self.allowed_untouched: set[str] = set()
        """Client order ids whose approval was passed on as it came, at once."""
        self.answers: list[Answer] = []
        """riskd's own, in order."""
        self._asked: dict[int, str] = {}
        self._send: Callable[[bytes], None] = lambda _data: None
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="rogue riskd", daemon=True)

    def start(self) -> None:
        self._ours.rename(self._real)
        self._thread.start()
        self._run(self._serve())

    def stop(self) -> None:
        self._run(self._close())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(5)

    def inject(self, data: bytes) -> None:
        """Send execd bytes of our own."""
        self._loop.call_soon_threadsafe(self._send, data)

    def _run(self, work: Any) -> None:
        asyncio.run_coroutine_threadsafe(work, self._loop).result(10)

    async def _serve(self) -> None:
        self._channel = grpc.aio.insecure_channel(f"unix:{self._real}")
        self._server = grpc.aio.server()
        self._server.add_generic_rpc_handlers((_Passing(self),))
        assert self._server.add_insecure_port(f"unix:{self._ours}")
        await self._server.start()

    async def _close(self) -> None:
        await self._server.stop(0)
        await self._channel.close()

    async def session(self, requests: AsyncIterator[bytes], _context: Any) -> AsyncIterator[bytes]:
        down: asyncio.Queue[bytes | None] = asyncio.Queue()
        self._send = down.put_nowait

        async def up() -> AsyncIterator[bytes]:
            async for data in requests:
                for ask in pb.SessionRequest.FromString(data).asks:
                    self.order_ids[ask.order.intent_id] = ask.order.order.client_order_id
                    self._asked[ask.ask_id] = ask.order.order.client_order_id
                yield data

        open_session: Any = self._channel.stream_stream(f"{SERVICE}Session")
        call = open_session(up())

        async def read() -> None:
            try:
                async for data in call:
                    self._pass_down(pb.SessionResponse.FromString(data), down)
            finally:
                down.put_nowait(None)

        reader = asyncio.create_task(read())
        try:
            while (data := await down.get()) is not None:
                yield data
        finally:
            reader.cancel()
            call.cancel()

    def _pass_down(self, message: pb.SessionResponse, down: asyncio.Queue[bytes | None]) -> None:
        answers = list(message.answers)
        del message.answers[:]
        if message.ByteSize():
            down.put_nowait(message.SerializeToString())
        for answer in answers:
            self.answers.append(Answer.FromString(answer.SerializeToString()))
            before = answer.SerializeToString()
            changed = self.tamper(answer)
            if self.delay_s == 0 and answer.approval.mac and [a.SerializeToString() for a in changed[:1]] == [before]:
                self.allowed_untouched.add(self._asked[answer.ask_id])
            if changed:
                data = pb.SessionResponse(answers=changed).SerializeToString()
                self._loop.call_later(self.delay_s, down.put_nowait, data)

    async def unary(self, method: str, data: bytes) -> bytes:
        pass_on: Any = self._channel.unary_unary(method)
        answer: bytes = await pass_on(data)
        return answer

    async def positions(self, data: bytes, _context: Any) -> AsyncIterator[bytes]:
        """What execd's audit asks riskd."""
        pass_on: Any = self._channel.unary_stream(f"{SERVICE}WatchPositions")
        async for message in pass_on(data):
            yield message


class _Passing(grpc.GenericRpcHandler):
    def __init__(self, rogue: RogueRisk) -> None:
        self._rogue = rogue

    def service(self, details: Any) -> Any:
        method = details.method
        if method == f"{SERVICE}Session":
            return grpc.stream_stream_rpc_method_handler(self._rogue.session)
        if method == f"{SERVICE}WatchPositions":
            return grpc.unary_stream_rpc_method_handler(self._rogue.positions)

        async def unary(data: bytes, _context: Any) -> bytes:
            return await self._rogue.unary(method, data)

        return grpc.unary_unary_rpc_method_handler(unary)


class Bench:
    """The running system with the rogue in it, and how a case asks and looks."""

    def __init__(self, system: RunningSystem, rogue: RogueRisk) -> None:
        self.system = system
        self.rogue = rogue
        self.pid = system.pid("execd")
        key = load_keyring(system.state / "keys" / APPROVAL_KEY_FILE, system.plan.common.mode).current
        self.key_id, self.key = key.key_id, key.secret
        self._numbers = itertools.count(1)
        self._prices: set[Decimal] = set()

    def intent(self, who: str, qty: str = "0.0005", stop: str | None = None, *, fills: bool = False) -> OrderIntent:
        url = f"{self.system.venue_url}/api/v3/ticker/bookTicker?symbol=BTCUSDT"
        with urllib.request.urlopen(url, timeout=5) as answer:
            bid = Decimal(json.load(answer)["bidPrice"])
        number = next(self._numbers)
        name = f"rogue-{number}"
        price = (bid * (Decimal("1.001") if fills else Decimal("0.998"))).quantize(Decimal("0.01"))
        while price in self._prices:  # no order is an earlier one repeated: riskd refuses those
            price -= Decimal("0.01")
        self._prices.add(price)
        return OrderIntent(
            intent_id=name,
            strategy_id=f"manual:{who}",
            incarnation=name,
            intent_sequence=1,
            instrument_id=BTC,
            side=Side.BUY,
            role=OrderRole.ENTRY,
            order_type=OrderType.LIMIT,
            time_in_force=TimeInForce.IOC,
            created_time_ns=time.time_ns(),
            qty=Decimal(qty),
            strength=Decimal(1),
            limit_price=price,
            protection=ProtectionPlan(stop_loss_fraction=Decimal(stop) if stop else None),
            trace_id=name,
        )

    def ask(self, who: str, qty: str = "0.0005", stop: str | None = None) -> views.IntentAnswerView:
        return self.system.trader.submit(self.intent(who, qty, stop))

    def at_venue(self, intent_id: str) -> bool:
        return self.rogue.order_ids[intent_id] in self.venue_ids()

    def venue_ids(self) -> set[str]:
        return {order["client_order_id"] for order in self.system.venue_orders()}

    def refused(self, who: str, tamper: Tamper, qty: str = "0.0005", stop: str | None = None) -> views.IntentAnswerView:
        """Ask with a tampered answer and demand that nothing came of it, at the venue least of all."""
        self.rogue.tamper = tamper
        answer = self.ask(who, qty, stop)
        self.rogue.tamper, self.rogue.delay_s = untouched, 0.0
        assert answer.status == "REFUSED", answer
        assert not self.at_venue(answer.intent_id)
        self.still_trades(who)
        return answer

    def still_trades(self, who: str) -> None:
        """An untouched approval is used, execd is the same process, and the venue has nothing else."""
        good = self.ask(who)
        assert good.status == "ACCEPTED", good
        self.system.wait(lambda: self.at_venue(good.intent_id), "the untouched order to reach the venue", 5)
        assert self.system.pid("execd") == self.pid
        others = self.venue_ids() - self.rogue.allowed_untouched
        stops = {o.client_order_id for o in self.system.orders() if o.role == "PROTECTION"} if others else set()
        assert others <= stops  # which need no approval: they leave under riskd's grants

    def resign(self, answer: Answer, terms: Any) -> None:
        """Sign changed terms with the true key: a riskd that approves what was not asked."""
        part, domain = (
            (answer.approval, APPROVAL_DOMAIN)
            if isinstance(terms, approval_pb2.ApprovalTerms)
            else (answer.grant, GRANT_DOMAIN)
        )
        part.terms = terms.SerializeToString()
        part.mac = _mac(domain, self.key_id, part.terms, self.key)


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    limits = tmp_path_factory.mktemp("limits") / "limits.yaml"
    text = (PROJECT_ROOT / "config" / "limits" / "demo.yaml").read_text()
    limits.write_text(re.sub(r"(strategy_per_second|strategy_per_minute|system_per_second): \d+", r"\1: 1000", text))
    overrides = (
        "engine.strategies=[]",
        f"execd.ask_deadline_ms={DEADLINE_MS}",
        "execd.backstop.max_orders_per_s=1000",
        f"riskd.limits={limits}",
    )
    with RunningSystem(*overrides) as system:
        rogue = RogueRisk(system.state / "run")
        rogue.start()
        system.kill_and_wait("execd")  # the next one dials the rogue
        try:
            bench = Bench(system, rogue)
            system.wait(lambda: bench.ask("warm-up").status == "ACCEPTED", "the first order through the proxy")
            yield bench
        finally:
            rogue.stop()


def altered(message: Any, name: str) -> None:
    """Give one field another value of its kind."""
    field = message.DESCRIPTOR.fields_by_name[name]
    value = getattr(message, name)
    if field.enum_type is not None:
        numbers = [v.number for v in field.enum_type.values if v.number not in (0, value)]
        setattr(message, name, numbers[0])
    elif name in ("qty", "price"):
        setattr(message, name, str(Decimal(value) + Decimal("0.01")))
    elif isinstance(value, bool):
        setattr(message, name, not value)
    elif isinstance(value, int):
        setattr(message, name, value + 1)
    elif name == "stop_price":
        message.stop_price = "50000"
    else:
        setattr(message, name, {"instrument_id": "binance:ETH-USDT", "venue": "elsewhere"}.get(name, f"{value}x"))


APPROVAL_FIELDS = [
    *(f.name for f in approval_pb2.ApprovalTerms.DESCRIPTOR.fields if f.name != "order"),
    *(f"order.{f.name}" for f in order_pb2.OrderTerms.DESCRIPTOR.fields),
]
HARMLESS_WHEN_SIGNED = {"nonce", "epoch", "valid_for_ms", "decision_id"}
"""riskd's own to choose; checked against limits of their own below."""


def alter_terms(answer: Answer, name: str) -> approval_pb2.ApprovalTerms:
    terms = approval_pb2.ApprovalTerms.FromString(answer.approval.terms)
    altered(terms.order if name.startswith("order.") else terms, name.removeprefix("order."))
    assert terms.SerializeToString() != answer.approval.terms
    return terms


@pytest.mark.parametrize("name", APPROVAL_FIELDS)
def test_an_approval_with_one_field_altered_is_not_used(bench: Bench, name: str) -> None:
    def tamper(answer: Answer) -> list[Answer]:
        answer.approval.terms = alter_terms(answer, name).SerializeToString()
        return [answer]

    assert bench.refused(f"alter-{name}", tamper).reason == "APPROVAL_BAD_SIGNATURE"


@pytest.mark.parametrize("name", [n for n in APPROVAL_FIELDS if n not in HARMLESS_WHEN_SIGNED])
def test_a_true_signature_over_what_was_not_asked_is_not_used(bench: Bench, name: str) -> None:
    def tamper(answer: Answer) -> list[Answer]:
        bench.resign(answer, alter_terms(answer, name))
        return [answer]

    assert bench.refused(f"sign-{name}", tamper).check_id == "EXE-04"


@pytest.mark.parametrize(
    ("name", "value", "reason"),
    [
        ("nonce", "", "APPROVAL_REPLAYED"),
        ("epoch", 0, "APPROVAL_EPOCH_STALE"),
        ("valid_for_ms", 0, "APPROVAL_EXPIRED"),
    ],
)
def test_a_true_signature_does_not_excuse_empty_terms(bench: Bench, name: str, value: Any, reason: str) -> None:
    def tamper(answer: Answer) -> list[Answer]:
        terms = approval_pb2.ApprovalTerms.FromString(answer.approval.terms)
        setattr(terms, name, value)
        bench.resign(answer, terms)
        return [answer]

    assert bench.refused(f"empty-{name}", tamper).reason == reason


def flip_mac(answer: Answer) -> None:
    answer.approval.mac = bytes([answer.approval.mac[0] ^ 1]) + answer.approval.mac[1:]


def self_made_mac(answer: Answer) -> None:
    answer.approval.mac = _mac(APPROVAL_DOMAIN, answer.approval.key_id, answer.approval.terms, b"rogue" * 8)


def own_key(answer: Answer) -> None:
    answer.approval.key_id = "rogue"
    answer.approval.mac = _mac(APPROVAL_DOMAIN, "rogue", answer.approval.terms, b"rogue" * 8)


def extra_bytes(answer: Answer) -> None:
    answer.approval.terms += b"\x18\x01"  # epoch again: protobuf takes the last one


SIGNATURES: dict[str, tuple[Callable[[Answer], object], str]] = {
    "mac flipped": (flip_mac, "APPROVAL_BAD_SIGNATURE"),
    "mac empty": (lambda a: setattr(a.approval, "mac", b""), "APPROVAL_BAD_SIGNATURE"),
    "mac cut": (lambda a: setattr(a.approval, "mac", a.approval.mac[:8]), "APPROVAL_BAD_SIGNATURE"),
    "mac under a wrong key": (self_made_mac, "APPROVAL_BAD_SIGNATURE"),
    "key id altered": (lambda a: setattr(a.approval, "key_id", "00000000"), "APPROVAL_BAD_SIGNATURE"),
    "key of our own": (own_key, "APPROVAL_BAD_SIGNATURE"),
    "terms extended": (extra_bytes, "APPROVAL_BAD_SIGNATURE"),
    "terms empty": (lambda a: setattr(a.approval, "terms", b""), "APPROVAL_BAD_SIGNATURE"),
    "grant as approval": (lambda a: a.approval.MergeFromString(a.grant.SerializeToString()), "APPROVAL_BAD_SIGNATURE"),
    "approval removed": (lambda a: a.ClearField("approval"), "APPROVAL_MISSING"),
}


@pytest.mark.parametrize("case", SIGNATURES)
def test_an_approval_without_its_own_signature_is_not_used(bench: Bench, case: str) -> None:
    change, reason = SIGNATURES[case]

    def tamper(answer: Answer) -> list[Answer]:
        change(answer)
        return [answer]

    assert bench.refused(f"mac-{case}", tamper, stop="0.01").reason == reason


def test_an_earlier_answer_in_place_of_a_later_one_is_not_used(bench: Bench) -> None:
    bench.still_trades("replay")
    earlier = bench.rogue.answers[-1]

    def tamper(answer: Answer) -> list[Answer]:
        old = Answer.FromString(earlier.SerializeToString())
        old.ask_id = answer.ask_id
        return [old]

    assert bench.refused("replay", tamper).check_id == "EXE-04"


def test_an_answer_repeated_does_not_make_riskd_forget_the_order_that_it_allowed(bench: Bench) -> None:
    """Once at once (the first may still wait for the disk) and once long after the order was sent."""
    intent = bench.intent("twice", stop="0.05", fills=True)
    bench.rogue.tamper = lambda answer: [answer, answer]
    answer = bench.system.trader.submit(intent)
    bench.rogue.tamper = untouched
    assert answer.status == "ACCEPTED"
    bench.rogue.inject(pb.SessionResponse(answers=[bench.rogue.answers[-1]]).SerializeToString())

    bench.system.wait(lambda: bench.at_venue(intent.intent_id), "the order to reach the venue", 5)
    sent = [o for o in bench.system.venue_orders() if o["client_order_id"] == bench.rogue.order_ids[intent.intent_id]]
    assert len(sent) == 1
    held = bench.system.wait(
        lambda: [p for p in bench.system.trader.positions() if p.strategy_id == "manual:twice"], "the fill to be booked"
    )
    assert Decimal(held[0].qty) > 0
    assert bench.system.trader.holds().system_level == "RUNNING"
    assert not [h for h in bench.system.trader.holds().holds if h.cause == "FILL_ANOMALY"]
    bench.system.wait(
        lambda: [o for o in bench.system.orders(working_only=True) if o.role == "PROTECTION" and o.status == "NEW"],
        "its stop to rest",
    )
    bench.still_trades("twice")


@pytest.mark.parametrize("whole", [True, False], ids=["answers", "approvals"])
def test_swapped_answers_of_two_asks_are_not_used(bench: Bench, whole: bool) -> None:
    waiting: list[Answer] = []

    def tamper(answer: Answer) -> list[Answer]:
        waiting.append(answer)
        if len(waiting) < 2:
            return []
        one, two = waiting
        if whole:
            one.ask_id, two.ask_id = two.ask_id, one.ask_id
        else:
            first = approval_pb2.Approval.FromString(one.approval.SerializeToString())
            one.approval.CopyFrom(two.approval)
            two.approval.CopyFrom(first)
        return [one, two]

    bench.rogue.tamper = tamper
    with ThreadPoolExecutor(2) as pool:
        answers = list(pool.map(bench.ask, (f"swap-a-{whole}", f"swap-b-{whole}")))
    bench.rogue.tamper = untouched

    assert [a.status for a in answers] == ["REFUSED", "REFUSED"], answers
    assert not any(bench.at_venue(a.intent_id) for a in answers)
    bench.still_trades(f"swap-a-{whole}")


@pytest.mark.parametrize(
    ("delay_s", "reason"), [(EXPIRED_S, "APPROVAL_EXPIRED"), (DEADLINE_MS / 1000 + 0.4, "RISK_TIMEOUT")]
)
def test_a_late_answer_is_not_used(bench: Bench, delay_s: float, reason: str) -> None:
    bench.rogue.delay_s = delay_s
    answer = bench.refused(f"late-{reason}", untouched)
    time.sleep(0.6)  # the overdue answer arrives meanwhile

    assert answer.reason == reason
    assert not bench.at_venue(answer.intent_id)
    bench.still_trades(f"late-{reason}")


def test_an_answer_that_never_comes_ends_the_ask(bench: Bench) -> None:
    assert bench.refused("drop", lambda _answer: []).reason == "RISK_TIMEOUT"


FORGERIES = ["without approval", "old approval", "self-made approval"]


@pytest.mark.parametrize("forgery", FORGERIES)
def test_a_refusal_turned_into_a_yes_sends_nothing(bench: Bench, forgery: str) -> None:
    bench.still_trades(f"forge-{forgery}")
    old = bench.rogue.answers[-1].approval
    verdicts = []

    def tamper(answer: Answer) -> list[Answer]:
        verdicts.append(answer.verdict)
        answer.verdict = decision_pb2.VERDICT_ALLOW
        answer.check_id = answer.reason = answer.detail = ""
        if forgery == "old approval":
            answer.approval.CopyFrom(old)
        elif forgery == "self-made approval":
            terms = approval_pb2.ApprovalTerms.FromString(old.terms)
            terms.ask_id, terms.nonce = answer.ask_id, "forged"
            terms.order.client_order_id = bench.rogue._asked[answer.ask_id]
            terms.order.qty = "0.5"
            answer.approval.terms, answer.approval.key_id = terms.SerializeToString(), bench.key_id
            answer.approval.mac = _mac(APPROVAL_DOMAIN, bench.key_id, answer.approval.terms, b"guessed" * 5)
        return [answer]

    bench.refused(f"forge-{forgery}", tamper, qty="0.5")
    assert verdicts == [decision_pb2.VERDICT_BLOCK]  # riskd itself had refused: the value is above every limit


def test_a_verdict_that_does_not_exist_costs_the_session_and_sends_nothing(bench: Bench) -> None:
    def tamper(answer: Answer) -> list[Answer]:
        answer.verdict = decision_pb2.VERDICT_UNSPECIFIED
        return [answer]

    bench.rogue.tamper = tamper
    answer = bench.ask("verdict-0")
    bench.rogue.tamper = untouched
    assert answer.status == "REFUSED"
    assert not bench.at_venue(answer.intent_id)
    bench.system.wait(lambda: bench.ask("verdict-0b").status == "ACCEPTED", "the session to come back")
    bench.still_trades("verdict-0c")


@pytest.mark.parametrize("data", [b"\xff" * 40, b"\x1a\xff\xff\xff\x0f"], ids=["noise", "length too large"])
def test_noise_on_the_session_does_not_stop_execd(bench: Bench, data: bytes) -> None:
    bench.rogue.inject(data)
    time.sleep(0.3)
    bench.system.wait(lambda: bench.ask("noise").status == "ACCEPTED", "the session to come back")
    bench.still_trades("noise-2")


def test_a_reduce_command_of_the_rogues_own_closes_nothing(bench: Bench) -> None:
    """It may take the stop down for a moment, to free what it would sell; riskd refuses and the stop is back."""
    held = [p.qty for p in bench.system.trader.positions()]
    command = pb.ReduceCommand(
        reduce_id="forged", instrument_id=BTC, side=order_pb2.SIDE_SELL, qty="0.0001", bound_bps=400
    )
    bench.rogue.inject(pb.SessionResponse(reduces=[command]).SerializeToString())
    time.sleep(1)
    assert held == [p.qty for p in bench.system.trader.positions()]
    reduced = {o.client_order_id for o in bench.system.orders() if o.role == "REDUCE"}
    assert not reduced & bench.venue_ids()
    bench.system.wait(
        lambda: [o for o in bench.system.orders(working_only=True) if o.role == "PROTECTION" and o.status == "NEW"],
        "the stop to rest again",
    )
    bench.still_trades("forged-reduce")


GRANT_FIELDS = [f.name for f in approval_pb2.GrantTerms.DESCRIPTOR.fields]


def alter_grant(answer: Answer, name: str) -> approval_pb2.GrantTerms:
    terms = approval_pb2.GrantTerms.FromString(answer.grant.terms)
    if name == "order_types":
        terms.order_types.append(order_pb2.ORDER_TYPE_MARKET)
    elif name in ("max_qty", "min_price", "max_price", "stop_loss_fraction"):
        setattr(terms, name, str(Decimal(getattr(terms, name)) * 2))
    elif name == "take_profit_fraction":
        terms.take_profit_fraction = "0.5"
    else:
        altered(terms, name)
    assert terms.SerializeToString() != answer.grant.terms
    return terms


@pytest.mark.parametrize("name", GRANT_FIELDS)
def test_an_entry_whose_grant_was_altered_is_not_sent(bench: Bench, name: str) -> None:
    """Its position could not be protected."""

    def tamper(answer: Answer) -> list[Answer]:
        answer.grant.terms = alter_grant(answer, name).SerializeToString()
        return [answer]

    assert bench.refused(f"grant-{name}", tamper, stop="0.01").reason == "GRANT_BAD_SIGNATURE"


@pytest.mark.parametrize("name", ["entry_client_order_id", "instrument_id", "side", "strategy_id", "environment"])
def test_a_true_grant_of_something_else_does_not_let_an_entry_leave(bench: Bench, name: str) -> None:
    def tamper(answer: Answer) -> list[Answer]:
        bench.resign(answer, alter_grant(answer, name))
        return [answer]

    assert bench.refused(f"other-{name}", tamper, stop="0.01").reason == "GRANT_CONTEXT_MISMATCH"


def test_an_entry_with_a_stop_but_without_its_grant_is_not_sent(bench: Bench) -> None:
    def tamper(answer: Answer) -> list[Answer]:
        answer.ClearField("grant")
        return [answer]

    assert bench.refused("no-grant", tamper, stop="0.01").reason == "GRANT_MISSING"


def test_at_the_end_the_books_agree_with_the_venue(bench: Bench) -> None:
    audit = bench.system.trader.audit()

    assert audit.unapproved_orders == audit.unknown_orders == audit.position_mismatches == 0
    assert audit.findings == []
    assert audit.venue_orders == audit.approved_orders == len(bench.system.venue_orders())
    assert bench.system.command("status").code == 0
