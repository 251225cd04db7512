"""Exposure counts from approval to proof, whatever happens in between."""

from __future__ import annotations

import random
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

import pytest

from riskd.repetition import Repetition
from tests.riskd.kit import BTC, ETH, SECOND, Desk, make_test_limits, violations
from tradebot.core.approvals import NeverUsed, Verdict
from tradebot.core.order_events import OrderFacts
from tradebot.core.orders import OrderEventKind, OrderRole, OrderTerms, OrderType, Side

K = OrderEventKind


def free_usdt(desk: Desk) -> Decimal:
    key = ("binance", "USDT")
    state = desk.gate.state
    return Decimal(state.portfolio.balances[key] - state.commitments.by_asset[key]) / 10**12


def test_an_approved_order_counts_before_the_venue_has_heard_of_it() -> None:
    desk = Desk()
    desk.plain(qty="0.01")

    assert free_usdt(desk) == Decimal(10000) - Decimal("600.6")


@pytest.mark.parametrize("kind", [K.REFUSED, K.REJECTED, K.PROVEN_ABSENT, K.CANCELED, K.EXPIRED])
def test_every_end_without_a_fill_releases_everything(kind: OrderEventKind) -> None:
    desk = Desk()
    desk.plain(qty="0.01")
    desk.event("c1", K.ASKED)
    if kind is not K.REFUSED:
        desk.event("c1", K.SENT)
    desk.event("c1", kind)

    assert free_usdt(desk) == 10000
    assert not desk.gate.state.grants


def test_an_unknown_order_counts_in_full_until_it_is_proven_absent() -> None:
    desk = Desk()
    desk.plain(qty="0.01")
    desk.event("c1", K.SENT)
    desk.event("c1", K.OUTCOME_UNKNOWN)
    held = free_usdt(desk)
    desk.event("c1", K.PROVEN_ABSENT)

    assert held == Decimal("9399.4")
    assert free_usdt(desk) == 10000


def test_a_partial_fill_moves_its_part_from_reserved_to_spent() -> None:
    desk = Desk()
    desk.plain(qty="0.01")
    desk.fill("c1", "0.004", complete=False, fee="0.24")

    assert free_usdt(desk) == Decimal(10000) - 240 - Decimal("0.24") - Decimal("360.36")
    desk.event("c1", K.CANCELED)
    assert free_usdt(desk) == Decimal(10000) - 240 - Decimal("0.24")


def test_abandon_alone_releases_nothing_and_the_never_used_statement_does() -> None:
    desk = Desk()
    answer = desk.plain(qty="0.01")
    desk.say(abandons=[1])
    held = free_usdt(desk)
    desk.say(never_used=[NeverUsed(answer.decision_id, "c1", "ABANDONED")])

    assert held == Decimal("9399.4")
    assert free_usdt(desk) == 10000


def test_a_statement_about_another_approval_releases_nothing() -> None:
    desk = Desk()
    desk.plain(qty="0.01")
    desk.say(never_used=[NeverUsed("other", "c1", "EXPIRED")])

    assert free_usdt(desk) == Decimal("9399.4")


def test_a_never_used_statement_is_found_by_its_nonce_alone() -> None:
    desk = Desk()
    answer = desk.plain(qty="0.01")
    desk.say(never_used=[NeverUsed(answer.decision_id, "", "EXPIRED")])

    assert free_usdt(desk) == 10000


def test_an_ask_that_is_abandoned_before_it_is_read_is_refused() -> None:
    desk = Desk()
    desk.say(abandons=[1])
    answer = desk.plain()

    assert (answer.verdict, answer.reason) == (Verdict.BLOCK, "ABANDONED")
    assert free_usdt(desk) == 10000


def test_the_asked_event_before_the_approval_is_not_counted_twice() -> None:
    desk = Desk()
    intent = desk.intent(qty="0.01")
    order = desk.order(intent)
    desk.event("c1", K.ASKED, facts=OrderFacts(order.order, "s1", intent.intent_id, 0, OrderRole.ENTRY, desk.now_ns))
    unapproved = free_usdt(desk)
    recounted = desk.gate.state.commitments.recount(desk.gate.state.rules)
    desk.ask(intent, order)

    assert unapproved == 10000
    assert recounted.by_asset["binance", "USDT"] == 0
    assert free_usdt(desk) == Decimal("9399.4")
    assert not desk.gate.state.commitments.working.unknown


def test_an_order_that_we_never_approved_counts_from_its_first_sign_of_life() -> None:
    desk = Desk()
    terms = OrderTerms("c9", BTC, Side.BUY, OrderType.LIMIT, Decimal("0.01"), Decimal(60000))
    facts = OrderFacts(terms, "s1", "i9", 0, OrderRole.ENTRY, desk.now_ns)
    desk.event("c9", K.ASKED, facts=facts)
    asked = free_usdt(desk)
    desk.event("c9", K.OUTCOME_UNKNOWN)

    assert asked == 10000
    assert free_usdt(desk) == Decimal("9399.4")


@pytest.mark.parametrize(("told", "counted"), [("0.02", "0.01"), ("0.004", "0.004"), ("0", "0.01")])
def test_what_execd_repeats_of_an_order_may_make_it_smaller_and_never_larger(told: str, counted: str) -> None:
    desk = Desk()
    desk.plain(qty="0.01")
    terms = OrderTerms("c1", BTC, Side.BUY, OrderType.LIMIT, Decimal(told), Decimal(60000))
    desk.event("c1", K.SENT, facts=OrderFacts(terms, "s1", "i1", 0, OrderRole.ENTRY, desk.now_ns))

    order = desk.gate.state.commitments.orders["c1"]
    assert order.leaves == Decimal(counted) * 10**12
    assert order.state.terms.qty == Decimal(counted)
    assert free_usdt(desk) == Decimal("9399.4")  # the intent reserves what its order does not use


def test_an_order_that_execd_only_asked_about_may_still_be_approved() -> None:
    desk = Desk()
    intent = desk.intent(qty="0.01")
    order = desk.order(intent)
    desk.event("c1", K.ASKED, facts=OrderFacts(order.order, "s1", intent.intent_id, 0, OrderRole.ENTRY, desk.now_ns))

    assert desk.ask(intent, order).approval is not None


def test_a_parent_reserves_and_its_order_draws_it_down_without_counting_twice() -> None:
    desk = Desk()
    intent = desk.intent(qty="0.01")
    desk.ask(intent)
    reserved = free_usdt(desk)
    desk.ask(None, desk.order(intent))
    drawn = free_usdt(desk)
    desk.event("c1", K.CANCELED)

    assert reserved == drawn == Decimal("9399.4")
    assert free_usdt(desk) == 10000


def test_a_parent_that_never_gets_an_order_is_released_after_its_time() -> None:
    desk = Desk()
    intent = desk.intent(qty="0.01")
    desk.ask(intent)
    desk.wait(59)
    before = free_usdt(desk)
    desk.wait(2)

    assert before == Decimal("9399.4")
    assert free_usdt(desk) == 10000
    late = desk.ask(None, desk.order(intent))
    assert violations(late)["SIZ-06"] == "CHILD_EXCEEDS_PARENT"


def test_an_exit_plan_without_an_order_does_not_block_the_next_exit() -> None:
    desk = Desk()
    desk.buy("0.01")
    plan = desk.intent(role=OrderRole.EXIT, side=Side.SELL, qty=None)
    first = desk.ask(plan)
    second = desk.plain(role=OrderRole.EXIT, side=Side.SELL, qty=None, terms_qty="0.01")

    assert first.verdict is Verdict.ALLOW
    assert second.approval is not None


def test_after_the_order_of_a_plain_intent_is_over_nothing_more_may_come_from_it() -> None:
    desk = Desk()
    intent = desk.intent(qty="0.01")
    desk.ask(intent, desk.order(intent))
    desk.event("c1", K.CANCELED)
    again = desk.ask(None, desk.order(intent, child_index=1))

    assert violations(again)["SIZ-06"] == "CHILD_EXCEEDS_PARENT"


def test_fifty_orders_that_fit_alone_never_exceed_the_cap_together() -> None:
    desk = Desk(
        limits=make_test_limits({"POS-02": {"max_notional": 2000, "soft_pct": 20}, "SIZ-02": {"max_notional": 700}})
    )
    rng = random.Random(7)
    approved = Decimal(0)
    for _ in range(50):
        qty = Decimal(rng.randrange(1, 1000)) / 100_000
        answer = desk.plain(qty=qty)
        approved += qty if answer.approval is not None else 0

    assert approved * Decimal("60000.01") <= 2000
    assert approved > Decimal("0.03")


def test_late_fill_of_a_canceled_order_is_booked_once_and_reopens_nothing() -> None:
    desk = Desk()
    desk.plain(qty="0.01")
    desk.event("c1", K.CANCELED)
    desk.fill("c1", "0.004", complete=False)

    assert desk.gate.state.portfolio.net[BTC] == 4 * 10**9
    assert "c1" not in desk.gate.state.commitments.orders
    assert desk.gate.state.commitments.by_asset["binance", "USDT"] == 0


def test_a_canceled_order_that_the_venue_works_all_the_same_counts_again_until_it_ends() -> None:
    desk = Desk()
    desk.plain(qty="0.01")
    desk.event("c1", K.SENT)
    desk.event("c1", K.CANCELED)
    desk.event("c1", K.RECOVERED)
    held = free_usdt(desk)
    desk.event("c1", K.CANCEL_SENT)
    desk.event("c1", K.CANCELED)

    assert held == Decimal("9399.4")
    assert free_usdt(desk) == 10000


def test_a_fill_that_the_snapshot_already_contains_is_not_spent_twice() -> None:
    desk = Desk()
    desk.plain(qty="0.01")
    # The snapshot is read after the venue matched, and says so; the event comes later.
    desk.account(("USDT", "9400"), ("BTC", "0.01"), after=desk.sequence + 1)
    desk.fill("c1", "0.01")

    assert free_usdt(desk) == 9400


def test_a_snapshot_from_before_a_fill_gets_the_fill_added() -> None:
    desk = Desk()
    before = desk.sequence
    desk.buy("0.01")
    desk.account(("USDT", "10000"), after=before)

    assert free_usdt(desk) == 9400
    assert desk.gate.state.portfolio.balances["binance", "BTC"] == 10**10


def test_overfill_halts_the_instrument_and_is_booked_as_the_venue_says() -> None:
    desk = Desk()
    desk.plain(qty="0.01")
    desk.fill("c1", "0.02", complete=False)

    assert desk.gate.state.portfolio.net[BTC] == 2 * 10**10
    refused = desk.plain(qty="0.001")
    assert violations(refused)["STA-01"] == "TRADING_HALTED"
    assert desk.plain(instrument_id=ETH, qty="0.01", limit_price="3000").approval is not None


def test_a_fill_of_an_order_nobody_knows_halts_and_is_booked() -> None:
    desk = Desk()
    desk.fill("c77", "0.01")

    assert desk.gate.state.portfolio.net[BTC] == 10**10
    assert desk.gate.state.holds.level_for("binance", BTC, "s1").name == "HALTED"


def test_aggregates_equal_a_recount_after_random_lives() -> None:
    rng = random.Random(11)
    desk = Desk(usdt="100000000")
    live: list[str] = []
    for _ in range(400):
        roll = rng.random()
        if roll < 0.5:
            instrument_id = rng.choice([BTC, ETH])
            qty = Decimal(rng.randrange(10, 300)) / 100_000
            price = "60000" if instrument_id == BTC else "3000"
            side = rng.choice([Side.BUY, Side.BUY, Side.SELL])
            role = OrderRole.EXIT if side is Side.SELL else OrderRole.ENTRY
            answer = desk.plain(instrument_id=instrument_id, qty=qty, limit_price=price, side=side, role=role)
            if answer.approval is not None:
                live.append(f"c{desk.orders}")
        elif live:
            key = rng.choice(live)
            order = desk.gate.state.commitments.orders[key]
            left = order.state.terms.qty - order.state.filled_qty
            if roll < 0.7:
                qty = max(Decimal("0.00001"), (left * rng.randrange(1, 11) / 10).quantize(Decimal("0.00001")))
                qty = min(qty, left)
                desk.fill(
                    key, str(qty), side=order.side, complete=qty == left, instrument_id=order.instrument_id,
                    price="60000" if order.instrument_id == BTC else "3000",
                )  # fmt: skip
                done = qty == left
            elif roll < 0.8:
                desk.event(key, K.OUTCOME_UNKNOWN)
                done = False
            else:
                desk.event(key, K.CANCELED)
                done = True
            if done:
                live.remove(key)
        desk.now_ns += SECOND // 50
        desk.venue()
        desk.quote(BTC, "59999.99", "60000.01")
        desk.quote(ETH, "2999.99", "3000.01")

    commitments = desk.gate.state.commitments
    fresh = commitments.recount(desk.gate.state.rules)
    assert live

    def nonzero(table: Mapping[Any, int]) -> dict[Any, int]:
        return {key: value for key, value in table.items() if value}

    assert nonzero(commitments.by_asset) == nonzero(fresh.by_asset)
    assert nonzero(commitments.closing) == nonzero(fresh.closing)
    assert nonzero(commitments.entry_value) == nonzero(fresh.entry_value)
    assert commitments.working.digest() == fresh.working.digest()
    assert commitments.working.count[BTC]
    assert commitments.working.unknown["binance"]
    for key in (BTC, ETH):
        assert commitments.by_instrument[key] == fresh.by_instrument[key]
    assert desk.gate.state.digest() == desk.replayed().state.digest()


def test_a_never_used_statement_about_an_order_that_was_sent_releases_nothing() -> None:
    desk = Desk()
    answer = desk.plain(qty="0.01")
    desk.event("c1", K.SENT)
    desk.say(never_used=[NeverUsed(answer.decision_id, "c1", "ANSWERED_TWICE")])

    assert free_usdt(desk) == Decimal("9399.4")
    desk.fill("c1", "0.01")
    assert not desk.gate.state.holds.holds


@pytest.mark.parametrize("kind", [K.FILL, K.FILL_COMPLETE])
def test_a_fill_without_its_execution_releases_nothing_and_stops_the_instrument(kind: OrderEventKind) -> None:
    desk = Desk()
    desk.plain(qty="0.01")
    desk.event("c1", kind)

    assert free_usdt(desk) == Decimal("9399.4")
    assert violations(desk.plain(qty="0.001"))["STA-01"] == "TRADING_HALTED"


def test_of_orders_that_are_over_the_oldest_is_forgotten_and_until_when_is_known(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("riskd.exposure.MAX_ENDED_ORDERS", 2)
    desk, ended = Desk(), []
    for number in range(1, 4):
        desk.plain(qty="0.001")
        desk.now_ns += SECOND
        desk.event(f"c{number}", K.CANCELED)
        ended.append(desk.now_ns)

    assert list(desk.gate.state.commitments.ended) == ["c2", "c3"]
    assert desk.gate.state.commitments.forgotten_ns == ended[0]


def test_of_entries_and_their_sizes_the_oldest_are_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("riskd.repetition.MAX_RECENT", 2)
    monkeypatch.setattr("riskd.repetition.MAX_SIZE_LOGS", 2)
    repetition = Repetition()
    for number, strategy_id in enumerate(("s1", "s2", "s3")):
        repetition.entered((strategy_id, BTC, Side.BUY, 1, 1), number)

    assert [entry[0] for entry in repetition.recent] == [key[0] for key in repetition.sizes] == ["s2", "s3"]
