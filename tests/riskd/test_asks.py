"""What is wrong with an ask, in words that name it."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from tests.riskd.kit import BTC, ETH, Desk, violations
from tradebot.core.approvals import ApprovalAsk
from tradebot.core.intents import ProtectionPlan
from tradebot.core.orders import OrderRole, OrderType, Side


@pytest.mark.parametrize(
    ("text", "changes"),
    [
        ("intent_id i99 of the order: the intent says i1", {"intent_id": "i99"}),
        ("strategy_id s2 of the order: the intent says s1", {"strategy_id": "s2"}),
        (f"instrument_id {ETH} of the order: the intent says {BTC}", {"terms_instrument_id": ETH}),
        ("side SELL of the order: the intent says BUY", {"terms_side": Side.SELL}),
        ("role EXIT of the order: the intent says ENTRY", {"role": OrderRole.EXIT}),
        ("post_only True of the order: the intent says False", {"terms_post_only": True}),
        ("order_type STOP_LIMIT of the order: the intent says LIMIT", {"terms_order_type": OrderType.STOP_LIMIT}),
        ("qty 0.02 of the order: the intent says 0.01", {"terms_qty": "0.02"}),
    ],
)
def test_the_first_thing_in_which_order_and_intent_differ_is_named(text: str, changes: dict[str, Any]) -> None:
    desk = Desk()
    intent = desk.intent()
    case, _ = desk.gate.decider._case(ApprovalAsk(1, desk.now_ns, intent, desk.order(intent, **changes)), desk.now_ns)

    assert case.problem == f"{text}; send what it wants"


@pytest.mark.parametrize(
    ("text", "changes"),
    [
        ("instrument_id 'binance:XYZ-USDT': execd's hello names none such", {"instrument_id": "binance:XYZ-USDT"}),
        ("intent_id has 0 characters: give 1 to 128", {"intent_id": ""}),
        ("strategy_id has 129 characters: give 1 to 128", {"strategy_id": "x" * 129}),
        ("incarnation has 0 characters: give 1 to 128", {"incarnation": ""}),
        ("intent_sequence 0: count from 1", {"intent_sequence": 0}),
        ("role PROTECTION: an intent is ENTRY or EXIT", {"role": OrderRole.PROTECTION}),
        ("strength 2: give a number in (0, 1]", {"strength": Decimal(2)}),
        ("qty -1: give one above 0, or none to be sized", {"qty": Decimal(-1)}),
        ("expected_edge 1: give a fraction of the price in (-1, 1)", {"expected_edge": Decimal(1)}),
        ("stop_loss_fraction 1: give a fraction of the price", {"protection": ProtectionPlan(Decimal(1))}),
        ("take_profit_fraction 0: give a fraction of", {"protection": ProtectionPlan(None, Decimal(0))}),
        ("qty NaN: give a finite number with at most 12 decimals", {"qty": Decimal("NaN")}),
        ("strength NaN: give a finite number", {"strength": Decimal("NaN")}),
        ("price 1E-13: give a finite number", {"limit_price": Decimal("1E-13")}),
        ("stop_loss_fraction Infinity: give a finite number", {"protection": ProtectionPlan(Decimal("Infinity"))}),
    ],
)
def test_what_is_malformed_is_told_with_its_field_and_the_fix(text: str, changes: dict[str, Any]) -> None:
    answer = Desk().plain(**changes)
    (malformed,) = [check for check in answer.violations if check.check_id == "AUT-01"]

    assert malformed.reason == "MALFORMED_REQUEST"
    assert malformed.measured.startswith(text)
    assert answer.detail.startswith(f"AUT-01 MALFORMED_REQUEST: {text}")


@pytest.mark.parametrize(
    ("text", "changes"),
    [
        ("venue 'okx': binance:BTC-USDT trades at 'binance'; send it there", {"venue": "okx"}),
        ("client_order_id has 0 characters: give 1 to 128", {"terms_client_order_id": ""}),
        ("account 'other': ours at binance is 'main'", {"account": "other"}),
        ("qty -1 of the order: give one above 0", {"terms_qty": "-1"}),
        ("price 60000.01 of the order: worse than the intent's limit_price 60000", {"terms_price": "60000.01"}),
    ],
)
def test_what_is_wrong_with_the_message_is_told_likewise(text: str, changes: dict[str, Any]) -> None:
    desk = Desk()
    intent = desk.intent()

    assert desk.ask(intent, desk.order(intent, **changes)).detail.startswith(f"AUT-01 MALFORMED_REQUEST: {text}")


def test_a_repeated_intent_says_what_was_seen_before() -> None:
    desk = Desk()
    intent = desk.intent()
    desk.ask(intent, desk.order(intent))

    assert "AUT-04 DUPLICATE_INTENT: the intent id was seen before" in desk.ask(intent, desk.order(intent)).detail


def test_the_journal_keeps_what_was_malformed_and_an_allowed_ask_keeps_no_text() -> None:
    desk = Desk()
    allowed, refused = desk.plain(), desk.plain(strength=Decimal(2))
    gate = desk.replayed()
    kept = gate.decider.find(refused.decision_id)

    assert kept is not None
    assert kept.texts == {"AUT-01": "strength 2: give a number in (0, 1]"}
    assert gate.render(kept).checks[0].measured == "strength 2: give a number in (0, 1]"
    first = gate.decider.find(allowed.decision_id)
    assert first is not None
    assert first.texts is None


def test_an_ask_without_the_time_at_which_it_was_sent_is_no_fresh_one() -> None:
    desk = Desk()
    intent = desk.intent()
    answer = desk.say(asks=[ApprovalAsk(1, 0, intent, desk.order(intent))]).answers[0]

    assert violations(answer) == {"STA-03": "CHECK_INPUT_MISSING"}


def test_an_order_alone_has_a_quantity() -> None:
    desk = Desk()
    intent = desk.intent(qty="0.01")
    desk.ask(intent)

    assert violations(desk.ask(None, desk.order(intent, terms_qty="0")))["AUT-01"] == "MALFORMED_REQUEST"


@pytest.mark.parametrize(("role", "side", "wrong"), [("ENTRY", Side.BUY, True), ("EXIT", Side.SELL, False)])
def test_only_riskd_gives_an_entry_its_quantity_and_an_exit_may_name_what_it_closes(
    role: str, side: Side, wrong: bool
) -> None:
    desk = Desk()
    desk.buy("0.01")
    intent = desk.intent(qty=None, role=OrderRole[role], side=side)
    answer = desk.ask(intent, desk.order(intent, terms_qty="0.01"))

    assert ("AUT-01" in violations(answer)) is wrong, answer


def test_a_market_intent_where_one_side_has_no_price_is_an_order_without_one() -> None:
    desk = Desk()
    desk.gate.board.views[BTC].ask = 0
    answer = desk.ask(desk.intent(order_type=OrderType.MARKET, limit_price=None))

    assert violations(answer)["SPC-05"] == "UNSUPPORTED_ORDER_SPEC"
    assert violations(answer)["SIZ-02"] == violations(answer)["SPC-04"] == "CHECK_INPUT_MISSING"


@pytest.mark.parametrize("edge", ["1", "-1", "0.999999", "-0.999999"])
def test_an_expected_edge_is_less_than_the_whole_price(edge: str) -> None:
    answer = Desk().plain(expected_edge=Decimal(edge))

    assert ("AUT-01" in violations(answer)) is (edge in ("1", "-1"))


def test_what_a_stranger_asks_for_uses_up_no_id() -> None:
    desk = Desk()
    stranger = desk.plain(intent_id="i7", strategy_id="stranger")
    ours = desk.plain(intent_id="i7")

    assert stranger.approval is None
    assert ours.approval is not None
