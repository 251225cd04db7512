"""The last decision of a message is folded after its answer left: nobody may ever see the state in between."""

from __future__ import annotations

from decimal import Decimal

import pytest

from riskd.records import EquityPeak, EquitySample, RecordType
from tests.riskd.kit import BTC, Desk, violations
from tradebot.core.approvals import GRANT_OF_ENTRY, ApprovalAsk, SessionDown, SessionUp


def test_what_was_decided_stands_when_its_answer_could_not_be_sent() -> None:
    desk = Desk()
    intent = desk.intent(qty="0.01")

    def fail(_down: SessionDown) -> None:
        raise OSError("the link is gone")

    with pytest.raises(OSError, match="the link is gone"):
        desk.gate.handle(
            SessionUp(asks=[ApprovalAsk(1, desk.now_ns, intent, desk.order(intent))]), desk.now_ns, send=fail
        )

    assert desk.gate.state.commitments.by_instrument[BTC].buy == 10**10
    assert desk.replayed().state.digest() == desk.gate.state.digest()
    assert violations(desk.ask(intent, desk.order(intent)))["AUT-04"] == "DUPLICATE_INTENT"


def test_a_malformed_ask_beside_a_good_one_gets_a_number_of_its_own() -> None:
    desk = Desk()
    intent = desk.intent(qty="0.01")
    ask = ApprovalAsk(1, desk.now_ns, intent, desk.order(intent))
    answers = desk.gate.handle(SessionUp(asks=[ask]), desk.now_ns, malformed=[(2, "no number")]).answers

    assert len({answer.decision_id for answer in answers}) == 2


def test_a_grant_is_renewed_in_the_message_that_asks_for_its_entry() -> None:
    desk = Desk()
    intent = desk.intent(qty="0.01")
    order = desk.order(intent)
    key = f"{GRANT_OF_ENTRY}{order.order.client_order_id}"
    down = desk.say(asks=[ApprovalAsk(1, desk.now_ns, intent, order)], renew_grant_ids=[key])

    assert down.answers[0].grant is not None
    assert len(down.renewed_grants) == 1


def test_what_is_owed_is_journaled_before_what_follows_although_it_is_folded_already() -> None:
    desk = Desk()
    ledger, before = desk.gate._ledger, len(desk.sink.records)
    ledger.owe(EquitySample(Decimal(9_000), desk.now_ns))
    ledger.fold()
    ledger.commit(EquityPeak(Decimal(20_000)))

    assert [kind for kind, _ in desk.sink.records[before:]] == [RecordType.EQUITY_SAMPLE, RecordType.EQUITY_PEAK]
