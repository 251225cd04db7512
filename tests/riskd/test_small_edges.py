"""Single facts that a change of one sign or word in the code would break and that no larger test speaks of."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from typing import Any, TypeVar

import pytest

from riskd.case import Case
from riskd.checks import CHECKS, pnl_01
from riskd.clusters import ClusterRule, ClusterTracker
from riskd.decisions import render_row
from riskd.holds import Clearing, may_clear
from riskd.inputs import InputMissing, LimitUndefined
from riskd.limit_changes import Direction, _direction
from riskd.pnl import sums
from riskd.records import Command, ControlTested, DecisionRecord, ReduceIssued, StopLatched, decode_record
from riskd.reports import pnl, positions
from riskd.saga import Step
from riskd.soft_caps import HOLDING_TIME, Measure, Part, to_close
from tests.riskd.kit import BTC, ETH, KEY, MS, SECOND, Desk, make_test_limits, violations
from tests.riskd.test_flatten import flatten
from tests.riskd.test_inputs_degraded import case_of
from tests.riskd.test_money import swap_desk, trade
from tests.riskd.test_saga_desk import answer, kill, kills
from tests.riskd.test_soft_caps import drifted
from tests.support.builders import make_instrument
from tradebot.core.approvals import ApprovalAsk, CheckOutcome, SessionUp, StopLatch
from tradebot.core.intents import ProtectionPlan
from tradebot.core.levels import SYSTEM_SCOPE, Hold, ReleaseRule, Scope, ScopeKind, TradingLevel
from tradebot.core.order_events import OrderFacts
from tradebot.core.orders import OrderEventKind, OrderRole, OrderTerms, OrderType, Side
from tradebot.wire.approvals import open_grant

UNIT = 10**12
ETH_BTC = "binance:ETH-BTC"
Kind = TypeVar("Kind")


def test_the_largest_quantity_that_cannot_be_sold_counts_as_flat() -> None:
    desk = Desk()
    desk.plain(qty="0.01")
    desk.fill("c1", "0.01", fee="0.009990000001", fee_asset="BTC")
    state = desk.gate.state

    assert state.portfolio.units_of(BTC, "s1") == state.rules[BTC].dust_qty
    assert list(state.portfolio.open_positions(state.rules)) == []
    assert sums(state.portfolio, state.rules, desk.gate.board).total.open_positions == 0
    assert list(state.grants) == []
    assert flatten(desk, "FLATTEN DEMO 0").reason == "FLAT"


def test_what_cannot_be_sold_counts_as_flat_where_its_asset_has_no_rate_as_well() -> None:
    name = "binance:BTC-EUR"
    desk = Desk(instruments=(make_instrument(BTC), make_instrument(ETH), make_instrument(name)))
    terms = OrderTerms("x1", name, Side.BUY, OrderType.LIMIT, Decimal("0.01"), Decimal(60000))
    facts = OrderFacts(terms, "s1", "i1", 0, OrderRole.ENTRY, desk.now_ns)
    desk.fill("x1", "0.01", fee="0.009990000001", fee_asset="BTC", instrument_id=name, facts=facts)
    state = desk.gate.state
    line = sums(state.portfolio, state.rules, desk.gate.board).total

    assert state.portfolio.units_of(name, "s1") == state.rules[name].dust_qty
    assert (line.complete, line.open_positions) == (False, 0)


@pytest.mark.parametrize(
    ("outcome", "limit", "measured", "texts"),
    [
        (CheckOutcome.PASS, 0, 0, ("", "")),
        (CheckOutcome.PASS, 20_000, 0, ("2 %", "0 %")),
        (CheckOutcome.PASS, 0, 10_000, ("0 %", "1 %")),
        (CheckOutcome.BLOCK, 0, 0, ("0 %", "0 %")),
    ],
)
def test_a_check_shows_its_numbers_unless_it_passed_without_any(
    outcome: CheckOutcome, limit: int, measured: int, texts: tuple[str, str]
) -> None:
    desk = Desk()
    record = desk.gate.decider.find(desk.plain(qty="0.001").decision_id)
    assert record is not None
    row = render_row(("PNL-01", outcome.value, "", limit, measured), record)

    assert (row.limit, row.measured) == texts


def test_a_stop_of_what_cannot_be_sold_has_no_position() -> None:
    desk = Desk()
    entry = desk.plain(qty="0.01")
    assert entry.grant is not None
    desk.fill("c1", "0.01", fee="0.009990000001", fee_asset="BTC")
    stop = OrderTerms("p1", BTC, Side.SELL, OrderType.STOP_LIMIT, Decimal("0.01"), Decimal(59600), Decimal(59700))
    desk.event("p1", OrderEventKind.ASKED, facts=OrderFacts(stop, "s1", "i1", 0, OrderRole.PROTECTION, 0, "c1"))
    desk.event("p1", OrderEventKind.SENT)
    desk.event("p1", OrderEventKind.ACCEPTED)
    answer(desk, kill(desk).mass_cancels[0])
    desk.wait(0.1)

    assert kills(desk)[0].step == Step.FLATTEN


def test_a_flatten_is_counted_once_however_often_it_tries() -> None:
    desk = Desk()
    desk.buy("0.01")
    flatten(desk, "FLATTEN DEMO 1")
    for _ in range(5):
        desk.wait(2)

    assert desk.gate.state.flatten_count == 1
    assert desk.gate.state.reduce_count > 1


@pytest.mark.parametrize(("second", "allowed"), [("0.004", True), ("0.00401", False)])
def test_what_a_first_child_drew_is_not_there_for_the_second(second: str, allowed: bool) -> None:
    desk = Desk()
    parent = desk.intent(qty="0.01")
    assert not desk.ask(parent).violations
    assert desk.ask(None, desk.order(parent, terms_qty="0.006")).approval is not None
    answer = desk.ask(None, desk.order(parent, terms_qty=second))

    assert (answer.approval is not None) is allowed
    assert allowed or violations(answer)["SIZ-06"] == "CHILD_EXCEEDS_PARENT"


@pytest.mark.parametrize("name", ["intent_id", "strategy_id", "account"])
def test_an_order_with_one_empty_id_is_malformed(name: str) -> None:
    desk = Desk()
    parent = desk.intent(qty="0.01")
    desk.ask(parent)
    empty: dict[str, Any] = {name: ""}

    assert violations(desk.ask(None, desk.order(parent, **empty)))["AUT-01"] == "MALFORMED_REQUEST"


def test_a_riskd_reduce_without_an_order_is_refused_and_breaks_nothing() -> None:
    desk = Desk()
    answer = desk.ask(desk.intent(role=OrderRole.REDUCE))

    assert violations(answer)["AUT-01"] == "MALFORMED_REQUEST"
    assert desk.plain().approval is not None


def test_a_malformed_ask_is_recorded_as_neither_intent_nor_order() -> None:
    desk = Desk()
    answer = desk.gate.handle(SessionUp(), desk.now_ns, malformed=[(7, "no number")]).answers[0]
    record = desk.gate.decider.find(answer.decision_id)

    assert isinstance(record, DecisionRecord)
    assert (record.parent, record.message, record.ask_id) == (False, False, 7)


def test_the_day_loss_check_without_its_limit_is_undefined_whatever_the_day_did() -> None:
    desk = Desk()
    case, _, _ = case_of(desk, lambda d: d.intent(qty="0.001"))
    case.books = replace(case.books, settings=replace(case.books.settings, loss=None))

    with pytest.raises(LimitUndefined):
        pnl_01(case)


@pytest.mark.parametrize("check_id", ["RAT-10", "POS-11"])
def test_what_is_owed_in_another_quote_asset_counts_at_its_ask(check_id: str) -> None:
    desk = Desk(instruments=(make_instrument(BTC), make_instrument(ETH), make_instrument(ETH_BTC, tick="0.00001")))
    desk.quote(BTC, "59000", "60000")
    table = desk.gate.state.portfolio.turned if check_id == "RAT-10" else desk.gate.state.commitments.entry_value
    case, _, _ = case_of(desk, lambda d: d.intent(qty="0.001"))
    before = CHECKS[check_id](case)[3]
    table["BTC"] = UNIT

    assert CHECKS[check_id](case)[3] - before == 60_000 * UNIT


@pytest.mark.parametrize(("age_s", "reserved"), [(59.999, True), (60, False)])
def test_a_parent_without_an_order_ends_when_its_time_is_reached(age_s: float, reserved: bool) -> None:
    desk = Desk(limits=make_test_limits(parent_ttl_s=60))
    desk.ask(desk.intent(qty="0.01"))
    desk.gate._next_evaluation_ns = 0
    desk.gate.handle_timer(desk.now_ns + int(age_s * SECOND))

    assert bool(desk.gate.state.commitments.parents) is reserved


def test_a_report_says_how_old_the_mark_is() -> None:
    desk = Desk()
    desk.buy("0.01")
    desk.now_ns += 1_234 * MS
    (found,) = positions(desk.gate, desk.now_ns)

    assert found.mark_age_ms == 1_234


def test_a_cluster_may_be_left_at_the_value_at_which_it_is_joined() -> None:
    same = {"status": "enforced", "hard_pct": 20, "soft_pct": 7, "max_notional": 5000, "join_at": 0.8}

    make_test_limits({"POS-07": {**same, "leave_below": 0.8}}, soft_caps={})


@pytest.mark.parametrize(("join_at", "joined"), [(1.0, True), (1.01, False)])
def test_a_pair_joins_at_its_threshold(join_at: float, joined: bool) -> None:
    tracker = ClusterTracker(ClusterRule(bar_ns=10, window_bars=10, min_bars=3, join_at=join_at, leave_below=0.5))
    tracker.correlation = lambda one, other: 1.0  # type: ignore[method-assign]
    for bar in range(8):
        price = 100.0 + bar % 3
        tracker.feed({"a": price, "b": price}, bar * 10 + 1)

    assert bool(tracker.clusters) is joined


def test_the_text_of_a_soft_cap_says_how_much_of_it_is_used() -> None:
    desk = drifted()  # 528 of a cap that is 5 % of an equity of 10,048
    (hold,) = [h for h in desk.gate.state.holds.holds.values() if h.cause == "POS-02"]

    assert hold.evidence == f"{BTC} at 105.10 % of its soft cap"


@pytest.mark.parametrize(("age", "closed"), [(100, False), (101, True)])
def test_a_position_is_too_old_above_its_limit_only(age: int, closed: bool) -> None:
    part = Part(BTC, "s1", UNIT, age)

    assert bool(to_close(Measure(HOLDING_TIME, BTC, age, 100, 200, (part,)))) is closed


def test_a_check_that_was_never_named_and_begins_to_run_is_no_tightening_to_wave_through() -> None:
    assert _direction("checks/PNL-02/status", None, "enforced", None, None) is not Direction.TIGHTENS
    assert _direction("checks/PNL-02/status", "not_applicable", "enforced", None, None) is Direction.TIGHTENS
    assert _direction("checks/PNL-02/status", "enforced", "not_applicable", None, None) is not Direction.TIGHTENS


def test_an_ask_of_nothing_is_malformed() -> None:
    desk = Desk()
    answer = desk.say(asks=[ApprovalAsk(1, desk.now_ns)]).answers[0]

    assert violations(answer)["AUT-01"] == "MALFORMED_REQUEST"
    assert answer.approved_qty in (None, Decimal(0))


@pytest.mark.parametrize("check_id", ["RAT-10", "POS-11"])
def test_what_is_owed_in_an_asset_without_a_rate_is_a_missing_input(check_id: str) -> None:
    desk = Desk()
    table = desk.gate.state.portfolio.turned if check_id == "RAT-10" else desk.gate.state.commitments.entry_value
    table["XYZ"] = UNIT
    case, _, _ = case_of(desk, lambda d: d.intent(qty="0.001"))

    with pytest.raises(InputMissing):
        CHECKS[check_id](case)


def test_nothing_is_closed_of_what_is_worth_nothing() -> None:
    part = Part(BTC, "s1", UNIT, 0)

    assert to_close(Measure("POS-02", BTC, 150, 100, 200, (part,))) is None


def test_another_order_log_numbers_its_events_anew() -> None:
    desk = Desk()
    desk.account(("USDT", "10000"), after=50)
    desk.hello(log="another", head=0)
    desk.sequence = 0
    terms = OrderTerms("c9", BTC, Side.BUY, OrderType.LIMIT, Decimal("0.01"), Decimal(60000))
    desk.fill("c9", "0.01", facts=OrderFacts(terms, "s1", "i9", 0, OrderRole.ENTRY, desk.now_ns))

    assert desk.gate.state.portfolio.balances["binance", "USDT"] == 9_400 * UNIT


def test_the_pnl_report_names_the_days_start_and_the_limit_in_force() -> None:
    off = {"PNL-01": {"status": "not_applicable", "reason": "not what this is about"}}
    with_rule, without = Desk(), Desk(limits=make_test_limits(off))
    for desk in (with_rule, without):
        desk.wait(1)

    assert pnl(with_rule.gate, with_rule.now_ns).day_start == 10_000
    assert pnl(with_rule.gate, with_rule.now_ns).day_limit_pct == -2.0
    assert pnl(without.gate, without.now_ns).day_limit_pct == 0.0


@pytest.mark.parametrize(
    ("side", "price", "limit"),
    [
        (Side.BUY, 100 * UNIT, 70 * UNIT),
        (Side.BUY, 100 * UNIT + 1, 110 * UNIT),
        (Side.SELL, 100 * UNIT, 130 * UNIT),
        (Side.SELL, 100 * UNIT - 1, 90 * UNIT),
    ],
)
def test_the_collar_tells_the_bound_on_the_side_where_the_price_lies(side: Side, price: int, limit: int) -> None:
    case = collared(side, price)

    assert CHECKS["PRC-01"](case)[2] == limit


@pytest.mark.parametrize(("side", "limit"), [(Side.BUY, 2 * UNIT), (Side.SELL, 2 * UNIT + 1)])
def test_a_mid_between_two_steps_is_rounded_against_the_order(side: Side, limit: int) -> None:
    case = collared(side, 2 * UNIT, bid=2 * UNIT, ask=2 * UNIT + 1, collar_ppm=0)

    assert CHECKS["PRC-01"](case)[2] == limit


@pytest.mark.parametrize(("bound_bps", "limit"), [(400, 955 * UNIT // 10), (1_000, 895 * UNIT // 10), (0, 99 * UNIT)])
def test_a_reduce_command_widens_the_collar_to_its_bound_and_never_narrows_it(bound_bps: int, limit: int) -> None:
    case = collared(Side.SELL, 50 * UNIT)
    case.reducing = True
    case.books = replace(case.books, settings=replace(case.books.settings, reduce_collar_ppm=10_000))
    case.reduce = ReduceIssued("r1", "f1", BTC, "s1", Side.SELL, Decimal(1), bound_bps, "FLATTEN")

    assert CHECKS["PRC-01"](case)[2] == limit


def collared(side: Side, price: int, *, bid: int = 99 * UNIT, ask: int = 101 * UNIT, collar_ppm: int = 100_000) -> Case:
    """Return an entry at a price beside a book, with a collar of 10 % and three times that on the harmless side."""
    desk = Desk()
    case, _, _ = case_of(desk, lambda d: d.intent(qty="0.001"))
    assert case.view is not None
    assert case.rule is not None
    case.view.bid = case.view.good_bid = bid
    case.view.ask = case.view.good_ask = ask
    case.rule = replace(case.rule, collar_ppm=collar_ppm)
    case.books = replace(case.books, settings=replace(case.books.settings, collar_far=3))
    case.side, case.price = side, price
    return case


def test_the_report_counts_an_old_mark_of_a_spot_holding_or_a_closed_perpetual_once_at_most() -> None:
    spot = Desk()
    spot.account(("USDT", "10000"), ("BTC", "1"))
    spot.buy("0.01")
    closed = swap_desk()
    trade(closed, 1, "0.1", "60000")
    trade(closed, 2, "0.1", "60000", side=Side.SELL)
    for desk, stale in ((spot, 1), (closed, 0)):
        desk.now_ns += 6 * SECOND

        assert pnl(desk.gate, desk.now_ns).stale_inputs == desk.gate.equity(desk.now_ns).stale_inputs == stale


@pytest.mark.parametrize(("min_qty", "min_notional"), [("0.002", "5"), ("0.001", "120")])
def test_a_sized_entry_may_be_as_small_as_the_venue_takes(min_qty: str, min_notional: str) -> None:
    limits = make_test_limits({"SIZ-01": {"max_qty": {"*": "0.002"}}})
    desk = Desk(limits=limits, instruments=(make_instrument(BTC, min_qty=min_qty, min_notional=min_notional),
                                            make_instrument(ETH)))  # fmt: skip
    answer = desk.plain(qty=None, protection=ProtectionPlan())  # a stop would lie below the least value (SPC-08)

    assert (answer.approved_qty, answer.binding_limit) == (Decimal("0.002"), "SIZ-01")


@pytest.mark.parametrize(("reason", "refused"), [("seven c", "REASON_TOO_SHORT"), ("eight ch", "")])
def test_a_hold_is_cleared_for_a_reason_of_eight_characters(reason: str, refused: str) -> None:
    hold = Hold("H1", TradingLevel.REDUCE_ONLY, SYSTEM_SCOPE, "OPERATOR", "ana", 1, ReleaseRule.ONE_KEY)
    found = may_clear(hold, Clearing("ana", "trader", reason), 2, solo=True, cool_off_ns=0)

    assert ("" if found is None else found.reason) == refused


def test_a_hello_without_instruments_forgets_none() -> None:
    desk = Desk()
    known, desk.instruments = desk.gate.state.instruments, ()
    desk.hello()

    assert known
    assert desk.gate.state.instruments == known


def journaled(desk: Desk, kind: type[Kind]) -> list[Kind]:
    """Return what the gate journaled of a kind of record."""
    return [found for row in desk.sink.records if isinstance(found := decode_record(*row), kind)]


def test_the_trail_of_a_flatten_says_how_many_orders_it_commanded_or_why_none() -> None:
    desk = Desk()
    desk.buy("0.01")
    flatten(desk, "no phrase", command_id="f1")
    flatten(desk, "FLATTEN DEMO 1", command_id="f2")

    assert [found.result for found in journaled(desk, Command)] == ["PHRASE_MISMATCH", "1 reduce commands"]


def test_the_record_of_tested_controls_counts_those_that_refused_among_all() -> None:
    desk = Desk()
    desk.gate.controls_tested("self-test", "hash", ["PRC-01", "PRC-02"], ["PRC-03"], desk.now_ns)

    assert journaled(desk, ControlTested)[-1].detail == "2 of 3 refused what they must"


@pytest.mark.parametrize(("journaled_before", "written"), [(False, 1), (True, 0)])
def test_a_stop_is_journaled_here_unless_the_stop_thread_has_done_it(journaled_before: bool, written: int) -> None:
    desk = Desk()
    latch = StopLatch("stop-1", TradingLevel.KILLED, "ana", "", desk.now_ns)
    if journaled_before:
        desk.gate.stop(latch, "trader", desk.now_ns, journaled=True)
    else:
        desk.gate.stop(latch, "trader", desk.now_ns)

    assert len(journaled(desk, StopLatched)) == written


def test_the_prices_that_a_grant_allows_lie_on_ticks_and_are_rounded_down() -> None:
    answer = Desk().plain(limit_price="60000.01")
    assert answer.grant is not None
    grant = open_grant(answer.grant, {KEY.key_id: KEY.key})

    assert (grant.min_price, grant.max_price) == (Decimal("30000.00"), Decimal("90000.01"))
    assert grant.tighten_only


def test_a_venue_at_which_nothing_is_left_is_a_missing_input() -> None:
    desk = Desk(limits=make_test_limits({"POS-08": {"status": "enforced", "hard_pct": 100, "soft_pct": 100}}))
    case, _, _ = case_of(desk, lambda d: d.intent(qty="0.001"))
    case.venue_equity = 0

    with pytest.raises(InputMissing):
        CHECKS["POS-08"](case)
    case.venue_equity = 1
    assert CHECKS["POS-08"](case)[1] == ""


def test_rules_that_were_never_read_are_a_missing_input() -> None:
    desk = Desk()
    desk.venue(rules_time_ns=0)

    assert violations(desk.plain(qty="0.001"))["SPC-10"] == "CHECK_INPUT_MISSING"


@pytest.mark.parametrize(
    ("changes", "remembered"), [({}, True), ({"strategy_id": "nobody"}, False), ({"trace_id": "", "qty": "-1"}, False)]
)
def test_only_an_intent_of_a_known_strategy_that_can_be_read_counts_as_seen(
    changes: dict[str, Any], remembered: bool
) -> None:
    desk = Desk()
    answer = desk.ask(desk.intent(**changes))
    record = desk.gate.decider.find(answer.decision_id)

    assert record is not None
    assert bool(record.incarnation) is bool(record.intent_sequence) is remembered


def test_a_venue_that_never_reconciled_stays_at_reduce_only() -> None:
    desk = Desk(connect=False)
    desk.hello()
    desk.venue(reconciled_time_ns=0)
    scope = Scope(ScopeKind.VENUE, "binance")
    assert desk.gate.state.holds.find("STARTUP_RECONCILE", scope) is not None
    desk.venue()

    assert desk.gate.state.holds.find("STARTUP_RECONCILE", scope) is None
