"""The gateway attacked: whatever is not exactly what riskd signed for this ask, here and now, is not sent."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest

import execd.gateway
from execd.gateway import GrantUse
from execd.settings import BackstopSettings, DeskSettings
from tests.execd.desk_kit import KEY, DeskKit
from tests.support.builders import BTC
from tradebot.core.approvals import (
    Approval,
    ApprovalAnswer,
    ApprovalTerms,
    LevelEntry,
    LevelTable,
    SessionDown,
    StopLatch,
    Verdict,
)
from tradebot.core.intents import IntentStatus
from tradebot.core.levels import SYSTEM_SCOPE, Scope, ScopeKind, TradingLevel
from tradebot.core.orders import OrderRole, OrderStatus, OrderTerms, OrderType, Side, TimeInForce
from tradebot.venues.api_orders import RequestKind
from tradebot.wire.approvals import sign_approval, sign_grant


def ask_and_answer(kit: DeskKit, approval: Approval | None) -> None:
    """Answer the waiting ask with this approval."""
    ask = kit.asks.pop(0)
    kit.answer(ApprovalAnswer(ask.ask_id, Verdict.ALLOW, "d1", approval))


def assert_not_sent(kit: DeskKit, reason: str) -> None:
    """Nothing left, and everybody was told why."""
    assert not kit.take_sends(RequestKind.PLACE)
    assert kit.answers[-1].status is IntentStatus.REFUSED
    assert kit.answers[-1].reason == reason
    (order,) = kit.desk.state.orders.all_orders()
    assert order.state.status is OrderStatus.REJECTED


ALTERATIONS: list[tuple[str, Callable[[ApprovalTerms], ApprovalTerms], str]] = [
    ("environment", lambda t: replace(t, environment="real"), "APPROVAL_CONTEXT_MISMATCH"),
    ("account", lambda t: replace(t, account="other"), "APPROVAL_CONTEXT_MISMATCH"),
    ("venue", lambda t: replace(t, venue="okx"), "APPROVAL_CONTEXT_MISMATCH"),
    ("session", lambda t: replace(t, session_id="another"), "APPROVAL_CONTEXT_MISMATCH"),
    ("ask", lambda t: replace(t, ask_id=t.ask_id + 1), "APPROVAL_CONTEXT_MISMATCH"),
    ("nonce", lambda t: replace(t, nonce=""), "APPROVAL_REPLAYED"),
    ("role", lambda t: replace(t, role=OrderRole.EXIT), "APPROVAL_DIGEST_MISMATCH"),
    ("strategy", lambda t: replace(t, strategy_id="s2"), "APPROVAL_DIGEST_MISMATCH"),
    ("qty", lambda t: replace(t, order=replace(t.order, qty=Decimal("0.02"))), "APPROVAL_DIGEST_MISMATCH"),
    ("zero qty", lambda t: replace(t, order=replace(t.order, qty=Decimal(0))), "APPROVAL_DIGEST_MISMATCH"),
    ("price", lambda t: replace(t, order=replace(t.order, price=Decimal("60000.01"))), "APPROVAL_DIGEST_MISMATCH"),
    ("side", lambda t: replace(t, order=replace(t.order, side=Side.SELL)), "APPROVAL_DIGEST_MISMATCH"),
    ("type", lambda t: replace(t, order=replace(t.order, order_type=OrderType.MARKET)), "APPROVAL_DIGEST_MISMATCH"),
    ("stop", lambda t: replace(t, order=replace(t.order, stop_price=Decimal(1))), "APPROVAL_DIGEST_MISMATCH"),
    (
        "lifetime",
        lambda t: replace(t, order=replace(t.order, time_in_force=TimeInForce.GTC)),
        "APPROVAL_DIGEST_MISMATCH",
    ),
    ("post-only", lambda t: replace(t, order=replace(t.order, post_only=True)), "APPROVAL_DIGEST_MISMATCH"),
    ("expiry", lambda t: replace(t, order=replace(t.order, expire_time_ns=1)), "APPROVAL_DIGEST_MISMATCH"),
    ("reduce-only", lambda t: replace(t, order=replace(t.order, reduce_only=True)), "APPROVAL_DIGEST_MISMATCH"),
    ("instrument", lambda t: replace(t, order=replace(t.order, instrument_id="x:A-B")), "APPROVAL_DIGEST_MISMATCH"),
    ("client id", lambda t: replace(t, order=replace(t.order, client_order_id="ff")), "APPROVAL_DIGEST_MISMATCH"),
    ("replaced", lambda t: replace(t, replaces_client_order_id="ff"), "APPROVAL_DIGEST_MISMATCH"),
]


@pytest.mark.parametrize(("name", "alter", "reason"), ALTERATIONS, ids=[a[0] for a in ALTERATIONS])
def test_a_validly_signed_approval_of_anything_else_is_refused(
    name: str, alter: Callable[[ApprovalTerms], ApprovalTerms], reason: str
) -> None:
    kit = DeskKit()
    kit.submit()
    terms = alter(kit.approver.terms(kit.asks[0], kit.session_id))

    ask_and_answer(kit, sign_approval(terms, "key-1", KEY))

    assert_not_sent(kit, reason)


def test_every_flipped_bit_of_an_approval_is_refused() -> None:
    kit = DeskKit()
    kit.submit()
    good = sign_approval(kit.approver.terms(kit.asks[0], kit.session_id), "key-1", KEY)
    ask = kit.asks[0]
    gateway, asked = kit.desk.state.gateway, kit.desk.asks._pending[ask.ask_id].asked
    assert asked is not None
    passed = 0
    for part in ("terms", "mac"):
        data = getattr(good, part)
        for position in range(len(data) * 8):
            flipped = bytearray(data)
            flipped[position // 8] ^= 1 << position % 8
            bad = Approval(bytes(flipped), good.mac, "key-1") if part == "terms" else replace(good, mac=bytes(flipped))
            result = gateway.pass_approved(bad, asked, Decimal(0), "1", 0, kit.now_ns)
            passed += getattr(result, "reason", "") != "APPROVAL_BAD_SIGNATURE"

    assert passed == 0
    assert not kit.take_sends(RequestKind.PLACE)


def test_an_approval_signed_with_another_key_is_refused() -> None:
    kit = DeskKit()
    kit.submit()
    ask_and_answer(kit, sign_approval(kit.approver.terms(kit.asks[0], kit.session_id), "key-1", b"x" * 32))

    assert_not_sent(kit, "APPROVAL_BAD_SIGNATURE")


def test_an_approval_with_an_unknown_key_id_is_refused() -> None:
    kit = DeskKit()
    kit.submit()
    ask_and_answer(kit, sign_approval(kit.approver.terms(kit.asks[0], kit.session_id), "key-9", KEY))

    assert_not_sent(kit, "APPROVAL_BAD_SIGNATURE")


def test_a_yes_without_an_approval_is_refused() -> None:
    kit = DeskKit()
    kit.submit()
    ask_and_answer(kit, None)

    assert_not_sent(kit, "APPROVAL_MISSING")


def test_a_replayed_nonce_is_refused() -> None:
    kit = DeskKit()
    kit.order()
    kit.submit(intent_id="i2")
    spent = replace(kit.approver.terms(kit.asks[0], kit.session_id), nonce="n1")
    kit.take_sends(RequestKind.PLACE)

    ask_and_answer(kit, sign_approval(spent, "key-1", KEY))

    assert kit.answers[-1].reason == "APPROVAL_REPLAYED"
    assert not kit.take_sends(RequestKind.PLACE)


def test_an_answer_given_twice_sends_once() -> None:
    kit = DeskKit()
    kit.submit()
    answer = kit.approver.answer(kit.asks.pop(), kit.session_id, kit.now_ns)

    kit.answer(answer)
    kit.answer(answer)

    assert len(kit.take_sends(RequestKind.PLACE)) == 1


def test_an_approval_counts_from_sending_the_ask() -> None:
    kit = DeskKit(DeskSettings("demo", {"binance": "main"}, ask_deadline_ms=10_000))
    kit.approver.valid_for_ms = 1_500
    kit.submit()
    kit.advance(1_501)
    kit.allow()

    assert_not_sent(kit, "APPROVAL_EXPIRED")


def test_an_approval_is_valid_to_its_last_millisecond() -> None:
    kit = DeskKit(DeskSettings("demo", {"binance": "main"}, ask_deadline_ms=10_000))
    kit.approver.valid_for_ms = 1_500
    kit.submit()
    kit.advance(1_500)
    kit.allow()

    assert len(kit.take_sends(RequestKind.PLACE)) == 1


@pytest.mark.parametrize(
    "scope",
    [
        SYSTEM_SCOPE,
        Scope(ScopeKind.VENUE, "binance"),
        Scope(ScopeKind.INSTRUMENT, BTC),
        Scope(ScopeKind.STRATEGY, "s1"),
    ],
)
def test_a_halt_between_approval_and_send_fences_it_off(scope: Scope) -> None:
    kit = DeskKit(auto_durable=False)
    kit.submit()
    kit.allow()
    kit.levels(LevelTable(5, (LevelEntry(scope, TradingLevel.RUNNING, 5),)))

    kit.desk.on_durable(len(kit.records), kit.now_ns)
    kit.pump()

    assert_not_sent(kit, "APPROVAL_EPOCH_STALE")
    assert [n.reason for n in kit.never_used] == ["APPROVAL_EPOCH_STALE"]


def test_a_fence_of_another_strategy_does_not_matter() -> None:
    kit = DeskKit()
    kit.levels(LevelTable(5, (LevelEntry(Scope(ScopeKind.STRATEGY, "s2"), TradingLevel.HALTED, 5),)))
    kit.submit()
    kit.allow()

    assert len(kit.take_sends(RequestKind.PLACE)) == 1


def test_without_a_lease_no_entry_leaves() -> None:
    kit = DeskKit(DeskSettings("demo", {"binance": "main"}, ask_deadline_ms=10_000))
    kit.answer_pings = False
    kit.advance(1_001)
    kit.approver.valid_for_ms = 60_000
    kit.submit()
    kit.allow()

    assert_not_sent(kit, "RISK_LEASE_EXPIRED")


def test_a_latched_stop_refuses_an_entry_that_was_approved_before_it() -> None:
    kit = DeskKit(auto_durable=False)
    kit.submit()
    kit.allow()
    kit.latches.set(StopLatch("stop-1", TradingLevel.HALTED, "op", "", kit.now_ns))

    kit.desk.on_durable(len(kit.records), kit.now_ns)
    kit.pump()

    assert_not_sent(kit, "LEVEL_FORBIDS")


def test_a_client_id_that_was_sent_is_never_sent_again() -> None:
    kit = DeskKit()
    kit.submit()
    client_order_id = kit.asks[0].order.order.client_order_id  # type: ignore[union-attr]
    kit.desk.state.gateway.note_sent(client_order_id)
    kit.allow()

    assert_not_sent(kit, "CLIENT_ID_REUSED")


@pytest.mark.parametrize(
    "caps",
    [
        BackstopSettings(max_order_notional=Decimal("599.99")),
        BackstopSettings(max_position_notional=Decimal("599.99")),
    ],
)
def test_the_backstop_holds_against_a_risk_daemon_that_always_says_yes(caps: BackstopSettings) -> None:
    kit = DeskKit(DeskSettings("demo", {"binance": "main"}, backstop=caps))
    kit.submit(qty="0.01", limit_price="60000")
    kit.allow()

    assert_not_sent(kit, "EXECD_BACKSTOP")


def test_the_backstop_allows_exactly_its_cap() -> None:
    caps = BackstopSettings(max_order_notional=Decimal(600), max_position_notional=Decimal(600))
    kit = DeskKit(DeskSettings("demo", {"binance": "main"}, backstop=caps))
    kit.submit(qty="0.01", limit_price="60000")
    kit.allow()

    assert len(kit.take_sends(RequestKind.PLACE)) == 1


def test_the_backstop_counts_orders_per_second() -> None:
    kit = DeskKit(DeskSettings("demo", {"binance": "main"}, backstop=BackstopSettings(max_orders_per_s=3)))
    for number in range(4):
        kit.submit(intent_id=f"i{number}")
    kit.allow()
    assert kit.answers[-1].reason == "EXECD_BACKSTOP"
    assert len(kit.take_sends(RequestKind.PLACE)) == 3

    kit.advance(1_000)
    kit.submit(intent_id="later")
    kit.allow()

    assert len(kit.take_sends(RequestKind.PLACE)) == 1


def test_a_smaller_approved_quantity_is_what_is_sent() -> None:
    kit = DeskKit()
    kit.submit(qty="0.01", stop_loss_fraction=None)
    terms = kit.approver.terms(kit.asks[0], kit.session_id)
    ask_and_answer(kit, sign_approval(replace(terms, order=replace(terms.order, qty=Decimal("0.004"))), "key-1", KEY))

    (frame,) = kit.take_sends(RequestKind.PLACE)
    assert frame["params"]["quantity"] == "0.004"


def test_an_unused_approval_is_reported_with_its_nonce() -> None:
    kit = DeskKit()
    kit.latches.set(StopLatch("stop-1", TradingLevel.HALTED, "op", "", kit.now_ns))
    kit.latches.clear(["stop-1"])
    kit.submit()
    kit.desk.venue_lost("binance", kit.now_ns)
    kit.allow()

    assert kit.answers[-1].reason == "VENUE_DISCONNECTED"
    assert [(n.nonce, n.reason) for n in kit.never_used] == [("n1", "VENUE_DISCONNECTED")]


def test_an_approval_of_the_session_before_is_void_in_the_next_one() -> None:
    kit = DeskKit()
    kit.submit()
    answer = kit.approver.answer(kit.asks.pop(), kit.session_id, kit.now_ns)
    kit.desk.session_lost(kit.now_ns)
    kit.pump()
    kit.connect_risk()
    kit.submit(intent_id="i2")
    ask = kit.asks.pop()
    assert ask.ask_id == answer.ask_id

    kit.answer(answer)

    assert kit.answers[-1].reason == "APPROVAL_CONTEXT_MISMATCH"
    assert not kit.take_sends(RequestKind.PLACE)


def test_a_builder_that_says_something_else_is_caught_by_reading_back() -> None:
    kit = DeskKit()
    place = kit.codec.place

    def careless(request_id: str, terms: OrderTerms, timestamp_ms: int) -> bytes:
        return place(request_id, replace(terms, qty=terms.qty * 10), timestamp_ms)

    kit.codec.place = careless  # type: ignore[method-assign]
    kit.submit()
    kit.allow()

    assert_not_sent(kit, "APPROVAL_DIGEST_MISMATCH")


def test_a_dry_run_stops_the_order_at_the_wire_and_journals_its_bytes() -> None:
    kit = DeskKit(DeskSettings("demo", {"binance": "main"}, dry_run=True))
    kit.submit()
    kit.allow()

    assert_not_sent(kit, "DRY_RUN")
    assert b"order.place" in next(payload for kind, payload in kit.records if kind == 11)


def test_a_repeated_answer_never_declares_a_sent_order_unused() -> None:
    kit = DeskKit()
    kit.submit()
    answer = kit.approver.answer(kit.asks[0], kit.session_id, kit.now_ns)
    kit.desk.on_session(SessionDown(answers=[answer, answer]), kit.now_ns)  # the first may still wait for the disk
    kit.pump()
    assert len(kit.take_sends(RequestKind.PLACE)) == 1

    kit.desk.on_session(SessionDown(answers=[answer]), kit.now_ns)
    kit.pump()

    assert kit.never_used == []
    assert not kit.take_sends(RequestKind.PLACE)


def test_an_approval_that_was_declared_unused_is_not_used_later() -> None:
    kit = DeskKit()
    kit.submit()
    (ask,) = kit.asks
    answer = kit.approver.answer(ask, kit.session_id, kit.now_ns)
    kit.advance(300)  # beyond the deadline
    kit.desk.on_session(SessionDown(answers=[answer, answer]), kit.now_ns)
    kit.pump()

    assert [n.nonce for n in kit.never_used] == ["n1"]
    assert not kit.desk.state.gateway.spend("n1")


@pytest.mark.parametrize(
    ("alter", "reason"),
    [
        (None, "GRANT_MISSING"),
        ({"entry_client_order_id": "another"}, "GRANT_CONTEXT_MISMATCH"),
        ({"instrument_id": "binance:ETH-USDT"}, "GRANT_CONTEXT_MISMATCH"),
        ({"side": Side.BUY}, "GRANT_CONTEXT_MISMATCH"),
        ({"environment": "real"}, "GRANT_CONTEXT_MISMATCH"),
    ],
)
def test_an_entry_with_a_stop_leaves_only_with_a_grant_of_its_own(alter: dict[str, Any] | None, reason: str) -> None:
    kit = DeskKit()
    kit.submit()
    (ask,) = kit.asks
    answer = kit.approver.answer(ask, kit.session_id, kit.now_ns)
    assert ask.order is not None
    terms = kit.approver.grant_terms(ask.order.order, ask.order.strategy_id, kit.now_ns)
    grant = None if alter is None else sign_grant(replace(terms, **alter), "key-1", KEY)
    kit.desk.on_session(SessionDown(answers=[replace(answer, grant=grant)]), kit.now_ns)
    kit.pump()

    assert_not_sent(kit, reason)


def test_counts_of_grants_are_bounded_and_those_in_use_outlive_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(execd.gateway, "MAX_GRANT_USES", 3)
    kit = DeskKit()
    kit.order()
    kit.place()
    kit.match(next(iter(kit.desk.state.orders.all_orders())), "0.01", "60000")
    kit.place()
    gateway = kit.desk.state.gateway
    (mine,) = gateway.uses
    stop = next(o for o in kit.desk.state.orders.working() if o.facts.role is OrderRole.PROTECTION)
    for number in range(5):
        gateway.note_grant_use(f"other-{number}", stop.facts.terms)
        kit.quote("59999.00", "60000.00")  # an open entry's stop is looked at with every quote

    assert set(gateway.uses) == {mine, "other-3", "other-4"}
    assert gateway.use_of(mine) == GrantUse(1, stop.facts.terms.stop_price)
