"""What is wrong with an ask, in words that name it."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from tests.riskd.kit import BTC, ETH, Desk, violations
from tradebot.core.approvals import ApprovalAsk
from tradebot.core.orders import OrderRole, OrderType, Side


@pytest.mark.parametrize(
    ("name", "changes"),
    [
        ("intent_id", {"intent_id": "i99"}),
        ("strategy_id", {"strategy_id": "s2"}),
        ("instrument_id", {"terms_instrument_id": ETH}),
        ("side", {"terms_side": Side.SELL}),
        ("role", {"role": OrderRole.EXIT}),
        ("post_only", {"terms_post_only": True}),
    ],
)
def test_the_first_thing_in_which_order_and_intent_differ_is_named(name: str, changes: dict[str, Any]) -> None:
    desk = Desk()
    intent = desk.intent()
    case, _ = desk.gate.decider._case(ApprovalAsk(1, desk.now_ns, intent, desk.order(intent, **changes)), desk.now_ns)

    assert case.problem == f"{name} of the order differs from the intent"


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
