"""What goes over the wire comes back equal; what the contracts exclude is refused with the field's name."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

import pytest

from tests.support.builders import BTC, make_execution, make_instrument, make_intent, make_terms
from tradebot.core.accounts import AccountSnapshot, Balance, VenueAlarm, VenueStatus
from tradebot.core.approvals import (
    Approval,
    ApprovalAnswer,
    ApprovalAsk,
    ApprovalTerms,
    ApproveOrder,
    CheckOutcome,
    CheckResult,
    GrantTerms,
    LeaseAnswer,
    LeasePing,
    LevelEntry,
    LevelTable,
    NeverUsed,
    ReduceCommand,
    SessionDown,
    SessionHello,
    SessionUp,
    StopLatch,
    VenueAction,
    Verdict,
    Welcome,
)
from tradebot.core.errors import RejectedError
from tradebot.core.intents import SignalContext
from tradebot.core.levels import SYSTEM_SCOPE, Scope, ScopeKind, TradingLevel
from tradebot.core.looks import LookAnswer, LookReport, SeenFill, SeenOrder, SeenPosition, VenueLook
from tradebot.core.mass_cancel import MassCancel, MassCancelReport, OpenOrder, VenueHolding, VenueRead
from tradebot.core.order_events import OrderEvent, OrderFacts
from tradebot.core.orders import OrderEventKind, OrderRole, OrderStatus, OrderType, Side
from tradebot.wire import approvals, instruments, intents, looks, orders, risk

KEYS = {"k1": b"1" * 32, "k2": b"2" * 32}

ALARM = VenueAlarm("FILL_ANOMALY", BTC, "x")


def make_facts() -> OrderFacts:
    return OrderFacts(make_terms(), "s1", "i1", 0, OrderRole.ENTRY, 5, trace_id="t", decision_id="d")


def make_approval_terms() -> ApprovalTerms:
    return ApprovalTerms(
        "demo", "n1", 3, 250, "sess", 9, VenueAction.NEW, "binance", "main", make_terms(), OrderRole.ENTRY, "d1", "s1"
    )


def make_grant_terms() -> GrantTerms:
    return GrantTerms(
        "demo", "g1", "binance", "main", "c1", BTC, Side.SELL, Decimal("0.01"), Decimal(1), Decimal(90000),
        frozenset({OrderType.STOP_LIMIT, OrderType.LIMIT}), True, 50, 99, "s1", Decimal("0.005"),
    )  # fmt: skip


def test_instrument_round_trip() -> None:
    instrument = make_instrument()

    assert instruments.instrument_from_wire(instruments.instrument_to_wire(instrument, 3)) == instrument
    bare = replace(instrument, max_notional=None)
    assert instruments.instrument_from_wire(instruments.instrument_to_wire(bare)) == bare


def test_intent_round_trip() -> None:
    for intent in (make_intent(), make_intent(qty=None, limit_price=None, stop_loss_fraction=None)):
        assert intents.intent_from_wire(intents.intent_to_wire(intent)) == intent


def test_order_event_round_trip() -> None:
    event = OrderEvent(
        7, "c1", OrderEventKind.FILL, OrderStatus.PARTIALLY_FILLED, 11, make_facts(), make_execution(fee="-0.5"), "v1",
        "R", "text", "POS-01", 10,
    )  # fmt: skip

    assert orders.event_from_wire(orders.event_to_wire(event)) == event


def test_session_messages_round_trip() -> None:
    order = ApproveOrder("i1", 0, VenueAction.NEW, make_terms(), OrderRole.ENTRY, "binance", "main", "s1", trace_id="t")
    latch = StopLatch("l1", TradingLevel.KILLED, "ana", "why", 3)
    up = SessionUp(
        hello=SessionHello("sess", "log", 7, "hash", (make_instrument(),), (latch,)),
        order_events=[OrderEvent(1, "c1", OrderEventKind.ASKED, OrderStatus.PENDING_NEW, 1, make_facts())],
        accounts=[AccountSnapshot("binance", "main", (Balance("USDT", Decimal(1), Decimal("0.5")),), True, 1, 2)],
        venues=[
            VenueStatus(
                "binance", "main", True, 1, False, ("c9",), (ALARM,), 1.5, -7, 8, 9, 10, 11, "hash", 12, True, True
            )
        ],
        abandons=[4],
        never_used=[NeverUsed("n", "c", "EXPIRED")],
        latches=[latch],
        asks=[ApprovalAsk(1, 2, make_intent(), order), ApprovalAsk(2, 3, None, order)],
        ping=LeasePing(5, 6),
        renew_grant_ids=["g1"],
        engine_build="build",
    )
    check = CheckResult("POS-01", CheckOutcome.BLOCK, "INSUFFICIENT_FUNDS", "0", "-5", "USDT")
    down = SessionDown(
        welcome=Welcome(7, 3, "demo"),
        levels=LevelTable(3, (LevelEntry(Scope(ScopeKind.VENUE, "binance"), TradingLevel.PAUSED, 2),), ("l0",)),
        answers=[
            ApprovalAnswer(1, Verdict.ALLOW, "d1", Approval(b"t", b"m", "k1"), approved_qty=Decimal(1)),
            ApprovalAnswer(2, Verdict.BLOCK, "d2", None, None, "POS-01", "INSUFFICIENT_FUNDS", "x", (check,), (check,)),
        ],
        lease=LeaseAnswer(5, 1000, 3, 60_000),
        reduces=[ReduceCommand("r1", BTC, "s1", Side.SELL, Decimal(1), 50, "flatten")],
        order_log_applied=7,
        renewed_grants=[approvals.sign_grant(make_grant_terms(), "k1", KEYS["k1"])],
    )

    told = replace(make_intent(), context=SignalContext())  # riskd decides on no signal, so it reads none
    expected = replace(up, asks=[replace(up.asks[0], parent=told), up.asks[1]])
    assert risk.up_from_wire(risk.up_to_wire(up)) == (expected, [])
    assert risk.down_from_wire(risk.down_to_wire(down)) == down


def test_looks_and_their_answers_round_trip() -> None:
    order = SeenOrder("7", "c1", BTC, "BTCUSDT", Side.SELL, Decimal(2), Decimal(60000), None, Decimal(1), True, 5)
    fill = SeenFill("7", "t1", BTC, Side.SELL, Decimal(1), Decimal(60000), Decimal("-0.1"), "USDT", 4)
    look = VenueLook(
        "binance", "main", 1, 2, (order,), (fill,), (Balance("USDT", Decimal(1), Decimal(0)),),
        (SeenPosition(BTC, Decimal(-3)),),
    )  # fmt: skip
    report = LookReport(11, 3, (look, VenueLook("okx", "", 1, 2, error="does not answer")))
    answer = LookAnswer(True, "", (("binance", 9),), 2_000)

    assert looks.report_from_wire(looks.report_to_wire(report)) == report
    assert looks.answer_from_wire(looks.answer_to_wire(answer)) == answer


def test_a_malformed_ask_is_named_and_does_not_break_its_neighbours() -> None:
    up = SessionUp(asks=[ApprovalAsk(1, 2, make_intent()), ApprovalAsk(2, 3, make_intent("i2"))])
    message = risk.up_to_wire(up)
    message.asks[0].parent.intent.qty = "NaN"

    read, malformed = risk.up_from_wire(message)

    assert [a.ask_id for a in read.asks] == [2]
    assert malformed[0][0] == 1
    assert "intent.qty" in malformed[0][1]


@pytest.mark.parametrize(
    ("field", "value"), [("intent_id", ""), ("strategy_id", ""), ("side", 0), ("role", 99), ("qty", "1e"), ("algo", 0)]
)
def test_an_intent_with_a_bad_field_is_refused_by_name(field: str, value: object) -> None:
    message = intents.intent_to_wire(make_intent())
    setattr(message, field, value)

    with pytest.raises(RejectedError, match=field):
        intents.intent_from_wire(message)


def test_an_approval_opens_only_under_its_own_key_and_only_untouched() -> None:
    terms = make_approval_terms()
    signed = approvals.sign_approval(terms, "k1", KEYS["k1"])

    assert approvals.open_approval(signed, KEYS) == terms
    for forged in (
        replace(signed, key_id="k2"),
        replace(signed, key_id="k9"),
        replace(signed, mac=b"\0" * 32),
        replace(signed, mac=b""),
    ):
        with pytest.raises(RejectedError, match="APPROVAL_BAD_SIGNATURE"):
            approvals.open_approval(forged, KEYS)


def test_every_single_bit_flip_of_signed_terms_is_refused() -> None:
    signed = approvals.sign_approval(make_approval_terms(), "k1", KEYS["k1"])
    for bit in range(len(signed.terms) * 8):
        raw = bytearray(signed.terms)
        raw[bit // 8] ^= 1 << (bit % 8)
        with pytest.raises(RejectedError, match="APPROVAL_BAD_SIGNATURE"):
            approvals.open_approval(replace(signed, terms=bytes(raw)), KEYS)


def test_a_grant_is_no_approval_even_with_the_same_bytes() -> None:
    grant = approvals.sign_grant(make_grant_terms(), "k1", KEYS["k1"])

    assert approvals.open_grant(grant, KEYS) == make_grant_terms()
    with pytest.raises(RejectedError, match="BAD_SIGNATURE"):
        approvals.open_approval(Approval(grant.terms, grant.mac, grant.key_id), KEYS)


@pytest.mark.parametrize("scope", [SYSTEM_SCOPE, Scope(ScopeKind.INSTRUMENT, BTC)])
def test_mass_cancels_and_their_reports_come_back_equal(scope: Scope) -> None:
    command = MassCancel("H7", 3, scope, True)
    read = VenueRead(
        "binance", 5, "", 2,
        (OpenOrder("9", "c1", BTC, "s1", OrderRole.PROTECTION), OpenOrder("7", "web", BTC)),
        (VenueHolding(BTC, Decimal("0.5"), Decimal("-0.1"), Decimal("0.00001")),),
    )  # fmt: skip
    report = MassCancelReport("H7", 3, 12, 99, 2, (read, VenueRead("okx", 6, "no answer")))
    down = risk.down_from_wire(risk.down_to_wire(SessionDown(mass_cancels=[command])))
    up, malformed = risk.up_from_wire(risk.up_to_wire(SessionUp(mass_cancels=[report])))

    assert (down.mass_cancels, up.mass_cancels, malformed) == ([command], [report], [])


def test_a_mass_cancel_without_a_scope_is_refused() -> None:
    message = risk.down_to_wire(SessionDown(mass_cancels=[MassCancel("H7", 3, SYSTEM_SCOPE, True)]))
    message.mass_cancels[0].ClearField("scope")

    with pytest.raises(RejectedError, match=r"mass_cancel\.scope"):
        risk.down_from_wire(message)
