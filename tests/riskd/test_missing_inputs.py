"""Fail closed: no missing, stale or absurd input, and no error, ever turns a refusal into an approval."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest

from riskd import checks
from riskd.catalogue import CATALOGUE
from riskd.inputs import Row
from riskd.plans import Stage
from tests.riskd.edges.kit import perpetual
from tests.riskd.kit import (
    BTC,
    CLUSTERED,
    DEPLOYED,
    ETH,
    FORM,
    LIQUID,
    STRICT,
    TOGETHER,
    Desk,
    execd_id,
    make_test_limits,
    violations,
)
from tradebot.core.approvals import Verdict
from tradebot.core.intents import ProtectionPlan
from tradebot.core.orders import OrderType, TimeInForce


def no_quote(desk: Desk) -> None:
    desk.gate.board.views.clear()


def no_book_state(desk: Desk) -> None:
    desk.gate.board.views[BTC].state = 0


def no_time(desk: Desk) -> None:
    desk.gate.board.views[BTC].updated_ns = 0


def zero_prices(desk: Desk) -> None:
    desk.gate.board.views[BTC].bid = desk.gate.board.views[BTC].ask = 0


def negative_price(desk: Desk) -> None:
    desk.gate.board.views[BTC].bid = -1


def no_status(desk: Desk) -> None:
    desk.gate.session.statuses.clear()


def no_balances(desk: Desk) -> None:
    desk.gate.state.portfolio.balances.clear()
    desk.gate.state.portfolio.snapshot_venues.clear()
    desk.gate.accountant.forget_equity()


def zero_equity(desk: Desk) -> None:
    desk.gate.state.portfolio.balances.clear()
    desk.gate.accountant.forget_equity()


def no_day_start(desk: Desk) -> None:
    desk.gate.state.portfolio.day_start = None


def no_rule(desk: Desk) -> None:
    desk.gate.state.rules.pop(BTC)


def no_price_of_what_is_held(desk: Desk) -> None:
    desk.gate.state.portfolio.net[ETH] += 1
    desk.gate.board.views[ETH].good_ns = 0


def no_trail(desk: Desk) -> None:
    desk.gate.board.trails.clear()


def no_volume(desk: Desk) -> None:
    desk.gate.board.volumes.clear()


def no_reference(desk: Desk) -> None:
    desk.gate.board.references.clear()


def no_quantity(desk: Desk) -> None:
    desk.gate.board.views[BTC].ask_qty = 0


INPUTS: list[Callable[[Desk], None]] = [
    no_quote, no_book_state, no_time, zero_prices, negative_price, no_status, no_balances, zero_equity, no_day_start,
    no_rule, no_price_of_what_is_held, no_trail, no_volume, no_reference, no_quantity,
]  # fmt: skip


@pytest.mark.parametrize("take_away", INPUTS, ids=lambda f: f.__name__)
def test_an_entry_without_one_of_its_inputs_is_refused(take_away: Callable[[Desk], None]) -> None:
    desk = Desk(limits=make_test_limits(STRICT | LIQUID))
    desk.liquid()
    assert desk.plain(qty="0.001").approval is not None
    desk.wait(1)
    take_away(desk)
    answer = desk.plain(qty="0.001")

    assert answer.verdict is Verdict.BLOCK
    assert answer.approval is None
    assert answer.grant is None


@pytest.mark.parametrize("take_away", INPUTS, ids=lambda f: f.__name__)
def test_a_missing_input_never_turns_a_refusal_into_an_approval(take_away: Callable[[Desk], None]) -> None:
    for qty, price in (("50", "60000"), ("0.01", "70000"), ("0.000001", "60000"), ("0.01", "59999.999")):
        desk = Desk(limits=make_test_limits(STRICT | LIQUID))
        desk.liquid()
        take_away(desk)
        assert desk.plain(qty=qty, limit_price=price).approval is None


@pytest.mark.parametrize(
    ("check_id", "take_away"),
    [
        ("STA-06", no_status),
        ("MKT-04", no_quote), ("MKT-04", no_book_state), ("MKT-04", zero_prices), ("MKT-04", negative_price),
        ("MKT-04", no_rule),
        ("PRC-07", no_quote), ("PRC-07", no_book_state), ("PRC-07", zero_prices),
        ("SIZ-03", zero_equity), ("SIZ-03", no_rule),
        ("POS-05", no_quote), ("POS-05", zero_equity), ("POS-05", no_price_of_what_is_held), ("POS-05", no_rule),
        ("POS-06", no_quote), ("POS-06", zero_equity), ("POS-06", no_price_of_what_is_held),
        ("POS-11", zero_equity), ("POS-11", no_rule),
        ("POS-13", no_quote), ("POS-13", zero_equity), ("POS-13", no_price_of_what_is_held),
        ("RAT-10", zero_equity), ("RAT-10", no_rule),
        ("STA-07", no_trail), ("MKT-07", no_trail), ("MKT-07", no_quote), ("MKT-07", zero_prices),
        ("PRC-02", no_trail), ("PRC-02", no_quote), ("PRC-02", no_book_state), ("PRC-02", negative_price),
        ("MKT-05", no_reference), ("MKT-05", no_quote), ("MKT-05", no_book_state), ("MKT-06", no_quantity),
        ("MKT-06", no_quote), ("MKT-06", negative_price), ("PRC-03", no_quote), ("PRC-03", zero_prices),
        ("SIZ-04", no_volume), ("PRC-08", no_quote), ("PRC-08", zero_prices), ("PRC-08", negative_price),
        ("POS-09", zero_equity), ("POS-09", no_rule), ("POS-12", zero_equity), ("POS-12", no_rule),
    ],
    ids=lambda value: getattr(value, "__name__", value),
)  # fmt: skip
def test_a_check_says_by_itself_that_its_input_is_missing(check_id: str, take_away: Callable[[Desk], None]) -> None:
    desk = Desk(limits=make_test_limits(STRICT | LIQUID))
    desk.liquid()
    take_away(desk)
    answer = desk.plain(qty="0.001", post_only=True, time_in_force=TimeInForce.GTC)

    assert violations(answer)[check_id] == "CHECK_INPUT_MISSING"


def spoil_account(desk: Desk, **changes: Any) -> None:
    margins = desk.gate.state.portfolio.margins
    margins.update({key: replace(told, **changes) for key, told in margins.items()})


def spoil_position(desk: Desk, **changes: Any) -> None:
    margins = desk.gate.state.portfolio.position_margins
    margins.update({key: replace(told, **changes) for key, told in margins.items()})


NAN = Decimal("NaN")
MARGINS: dict[str, Callable[[Desk], None]] = {
    "no accounts": lambda d: d.gate.state.portfolio.margins.clear(),
    "no positions": lambda d: d.gate.state.portfolio.position_margins.clear(),
    "account balance zero": lambda d: spoil_account(d, margin_balance=Decimal(0)),
    "account balance negative": lambda d: spoil_account(d, margin_balance=Decimal(-1)),
    "account balance no number": lambda d: spoil_account(d, margin_balance=NAN),
    "account maintenance negative": lambda d: spoil_account(d, maintenance_margin=Decimal(-1)),
    "account maintenance no number": lambda d: spoil_account(d, maintenance_margin=NAN),
    "leverage zero": lambda d: spoil_position(d, leverage=Decimal(0)),
    "leverage negative": lambda d: spoil_position(d, leverage=Decimal(-5)),
    "leverage no number": lambda d: spoil_position(d, leverage=NAN),
    "leverage endless": lambda d: spoil_position(d, leverage=Decimal("Infinity")),
    "maintenance negative": lambda d: spoil_position(d, maintenance_margin=Decimal(-1)),
    "maintenance no number": lambda d: spoil_position(d, maintenance_margin=NAN),
    "liquidation negative": lambda d: spoil_position(d, liquidation_price=Decimal(-1)),
    "liquidation no number": lambda d: spoil_position(d, liquidation_price=NAN),
    "no quote": no_quote, "no book state": no_book_state, "zero prices": zero_prices, "negative price": negative_price,
    "no balances": no_balances, "zero equity": zero_equity, "no rule": no_rule,
}  # fmt: skip


@pytest.mark.parametrize("name", MARGINS)
@pytest.mark.parametrize("usdt", ["10000", "100"], ids=["carried", "not carried"])
def test_a_perpetual_entry_without_one_of_its_inputs_is_refused(name: str, usdt: str) -> None:
    limits = STRICT | {"SIZ-02": {"max_pct_of_equity": 99}, "POS-02": {"hard_pct": 99, "soft_pct": 99}}
    desk = perpetual(usdt="10000", limits=limits | {"POS-04": {"hard_pct": 99, "soft_pct": 99}})
    desk.wait(1)
    plan = ProtectionPlan(Decimal("0.01"))
    answer = desk.plain(qty="0.001", protection=plan)
    assert answer.approval is not None, answer
    desk.fill("c1", "0.001")
    desk.account(("USDT", usdt))
    desk.wait(1)
    carried = desk.gate.check_intent(desk.intent(qty="0.003", protection=plan), desk.now_ns)
    assert (carried.verdict is Verdict.BLOCK) is (usdt == "100")
    MARGINS[name](desk)

    assert desk.plain(qty="0.003", protection=plan).approval is None


@pytest.mark.parametrize("check_id", sorted(checks.CHECKS))
def test_an_error_inside_any_check_is_a_refusal(check_id: str) -> None:
    desk = Desk(limits=make_test_limits(STRICT | FORM | DEPLOYED | LIQUID | TOGETHER, **CLUSTERED))
    desk.drilled()
    desk.liquid()
    plan = desk.gate.decider._plans[Stage.PLAIN, False]

    def broken(case: object) -> Row:
        raise KeyError("boom")

    steps = tuple((c, broken if c == check_id else check) for c, check in plan.steps)
    object.__setattr__(plan, "steps", steps)
    answer = desk.plain(terms_client_order_id=execd_id())

    assert answer.verdict is Verdict.BLOCK
    assert (answer.check_id, answer.reason) == (check_id, "CHECK_ERROR")


@pytest.mark.parametrize("answered", [None, (), (0, "", 0)], ids=str)
def test_a_check_that_answers_nonsense_refuses(answered: Any) -> None:
    desk = Desk()
    plan = desk.gate.decider._plans[Stage.PLAIN, False]
    object.__setattr__(plan, "steps", tuple((c, (lambda _: answered) if c == "POS-01" else f) for c, f in plan.steps))
    answer = desk.plain()

    assert (answer.verdict, answer.check_id, answer.reason) == (Verdict.BLOCK, "POS-01", "CHECK_ERROR")


def test_all_violations_are_reported_in_catalogue_order() -> None:
    answer = Desk().plain(strategy_id="s3", qty="50.000001", limit_price="70000.001")
    order = [spec.check_id for spec in CATALOGUE]
    found = [v.check_id for v in answer.violations]

    assert found == sorted(found, key=order.index)
    assert {"AUT-02", "SPC-01", "SPC-02", "PRC-01", "SIZ-02", "POS-01", "POS-02"} <= set(found)
    assert answer.check_id == "AUT-02"
    assert "3500000" in next(v for v in answer.violations if v.check_id == "SIZ-02").measured


def test_a_bigger_order_never_turns_a_refusal_into_an_approval() -> None:
    desk = Desk()
    refused = False
    for lots in range(100, 6000, 300):
        answer = desk.gate.check_intent(desk.intent(qty=Decimal(lots) / 100_000), desk.now_ns)
        assert not (refused and answer.verdict is not Verdict.BLOCK)
        refused = refused or answer.verdict is Verdict.BLOCK

    assert refused


def test_a_worse_price_never_turns_a_refusal_into_an_approval() -> None:
    desk = Desk()
    refused = False
    for price in range(60000, 61000, 50):
        answer = desk.gate.check_intent(desk.intent(qty="0.001", limit_price=str(price)), desk.now_ns)
        assert not (refused and answer.verdict is not Verdict.BLOCK)
        refused = refused or answer.verdict is Verdict.BLOCK

    assert refused


def test_a_market_intent_without_a_quote_is_refused() -> None:
    desk = Desk()
    no_quote(desk)
    answer = desk.ask(desk.intent(order_type=OrderType.MARKET, limit_price=None))

    assert violations(answer)["PRC-01"] == "CHECK_INPUT_MISSING"


def test_same_state_and_same_ask_give_byte_identical_answers() -> None:
    def run() -> list[tuple[int, bytes]]:
        desk = Desk(limits=make_test_limits())
        desk.plain()
        desk.plain(qty="50")
        desk.plain(qty=None)
        desk.fill("c1", "0.01")
        return desk.sink.records

    assert run() == run()
