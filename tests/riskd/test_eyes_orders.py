"""PTR-01 and PTR-05: an order at a venue that nothing allowed stops everything there, and nothing else does."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest

from riskd.eye_watch import HEARD_BEFORE_JUDGING, MAX_SUSPECTS
from tests.riskd.kit import BTC, ETH, EYES_NS, SECOND, START_NS, Desk, make_test_limits
from tradebot.core.levels import TradingLevel
from tradebot.core.looks import SeenOrder
from tradebot.core.order_events import OrderFacts
from tradebot.core.orders import OrderEventKind, OrderRole, OrderTerms, OrderType, Side, TimeInForce

PTR_01: dict[str, Any] = {"status": "enforced", "max_silence_s": 30}
PTR_05: dict[str, Any] = {"status": "enforced"}
OURS = "1" + "ab" * 15 + "c"
"""An id of our shape that nobody made."""
LOT, TICK = Decimal("0.00001"), Decimal("0.01")


def eyes_desk(**checks: dict[str, Any]) -> Desk:
    """Return a desk whose execd has just been heard, with PTR-01 on."""
    desk = Desk(limits=make_test_limits({"PTR-01": PTR_01, **{k.replace("_", "-"): v for k, v in checks.items()}}))
    desk.ping()
    return desk


def seen(desk: Desk, client_order_id: str, **changes: Any) -> SeenOrder:
    """Return an order as the venue lists it: 0.01 BTC bought at 60000, working."""
    base = SeenOrder(
        f"v-{client_order_id}", client_order_id, BTC, "BTCUSDT", Side.BUY, Decimal("0.01"), Decimal(60000), None,
        Decimal(0), True, desk.now_ns,
    )  # fmt: skip
    return replace(base, **changes)


def causes(desk: Desk) -> set[str]:
    return {hold.cause for hold in desk.gate.state.holds.holds.values()}


def look_and_hear(desk: Desk, *orders: SeenOrder) -> set[str]:
    """Let the eyes see these, let execd speak often enough, and return the causes of all holds."""
    desk.look(*orders)
    desk.ping(HEARD_BEFORE_JUDGING)
    return causes(desk)


def test_an_approved_order_raises_nothing_while_it_works_and_when_it_is_done() -> None:
    desk = eyes_desk()
    desk.plain()

    assert look_and_hear(desk, seen(desk, "c1")) == set()
    desk.fill("c1", "0.01")
    assert look_and_hear(desk, seen(desk, "c1", is_open=False, filled_qty=Decimal("0.01"))) == set()


def test_an_order_that_nobody_approved_kills_the_venue_and_is_named() -> None:
    desk = eyes_desk()

    found = look_and_hear(desk, seen(desk, OURS))

    assert found == {"PTR-01"}
    (hold,) = desk.gate.state.holds.holds.values()
    assert (hold.level, hold.scope.name, hold.release.name) == (TradingLevel.KILLED, "binance", "TWO_KEY")
    assert OURS in hold.evidence
    assert "BUY 0.01 BTCUSDT at 60000" in hold.evidence


def test_it_is_judged_only_after_execd_was_heard_often_enough() -> None:
    desk = eyes_desk()
    desk.look(seen(desk, OURS))

    desk.ping(HEARD_BEFORE_JUDGING - 1)
    assert causes(desk) == set()
    desk.ping()
    assert causes(desk) == {"PTR-01"}


@pytest.mark.parametrize(
    ("change", "allowed"),
    [
        ({"qty": Decimal("0.01") - LOT}, True),
        ({"qty": Decimal("0.01")}, True),
        ({"qty": Decimal("0.01") + LOT}, False),
        ({"price": Decimal(60000) - TICK}, True),
        ({"price": Decimal(60000)}, True),
        ({"price": Decimal(60000) + TICK}, False),
        ({"price": None}, False),
        ({"side": Side.SELL}, False),
        ({"instrument_id": ETH}, False),
        ({"filled_qty": Decimal("0.01")}, True),
        ({"filled_qty": Decimal("0.01") + LOT}, False),
    ],
)
def test_an_approval_covers_its_own_terms_and_better_ones(change: dict[str, Any], allowed: bool) -> None:
    desk = eyes_desk()
    desk.plain()

    assert (look_and_hear(desk, seen(desk, "c1", **change)) == set()) == allowed


def test_a_sell_may_not_rest_lower_than_allowed() -> None:
    desk = eyes_desk()
    desk.buy()
    desk.plain(side=Side.SELL, role=OrderRole.EXIT)
    order = seen(desk, f"c{desk.orders}", side=Side.SELL)

    assert look_and_hear(desk, order) == set()
    assert look_and_hear(desk, replace(order, price=Decimal(60000) - TICK)) == {"PTR-01"}


def test_what_execd_says_of_an_approved_order_does_not_widen_the_approval() -> None:
    desk = eyes_desk()
    desk.plain()
    terms = replace(desk.gate.state.commitments.orders["c1"].state.terms, price=Decimal(61000))
    desk.event("c1", OrderEventKind.SENT, facts=OrderFacts(terms, "s1", "i1", 0, OrderRole.ENTRY, 0))

    assert look_and_hear(desk, seen(desk, "c1", price=Decimal(61000))) == {"PTR-01"}


# ---- protection, which riskd is not asked about


def stop_facts(entry: str, qty: str = "0.01", price: str | None = "59600", **changes: Any) -> OrderFacts:
    limit = None if price is None else Decimal(price)
    terms = OrderTerms(
        "p1", BTC, Side.SELL, OrderType.STOP_LIMIT, Decimal(qty), limit, Decimal(59700), TimeInForce.GTC, False, True
    )
    return replace(OrderFacts(terms, "s1", "i1", 0, OrderRole.PROTECTION, 0, entry), **changes)


def seen_stop(desk: Desk, facts: OrderFacts) -> SeenOrder:
    terms = facts.terms
    return seen(desk, "p1", side=terms.side, qty=terms.qty, price=terms.price, stop_price=terms.stop_price)


def test_a_stop_within_its_grant_is_allowed_even_when_the_eyes_see_it_first() -> None:
    desk = eyes_desk()
    entry = desk.buy()
    facts = stop_facts(entry)
    desk.look(seen_stop(desk, facts))

    desk.event("p1", OrderEventKind.ASKED, facts=facts)
    desk.ping(HEARD_BEFORE_JUDGING)

    assert causes(desk) == set()


@pytest.mark.parametrize(
    ("changes", "allowed"),
    [
        ({"qty": "0.01"}, True),
        ({"qty": "0.01001"}, False),
        ({"price": "30000"}, True),
        ({"price": "29999.99"}, False),
        ({"role": OrderRole.ENTRY}, False),
        ({"protects_client_order_id": "c99"}, False),
    ],
)
def test_what_execds_log_tells_must_lie_within_a_grant(changes: dict[str, Any], allowed: bool) -> None:
    desk = eyes_desk()
    facts = stop_facts(desk.buy(), **changes)
    desk.event("p1", OrderEventKind.ASKED, facts=facts)

    assert (look_and_hear(desk, seen_stop(desk, facts)) == set()) == allowed


@pytest.mark.parametrize(("left_ns", "allowed"), [(1, True), (0, False)])
def test_a_grant_covers_what_execd_asks_before_it_ends(left_ns: int, allowed: bool) -> None:
    desk = eyes_desk()
    facts = stop_facts(desk.buy())
    (grant,) = desk.gate.state.grants
    tell(desk, facts, grant.expires_time_ns - left_ns, OrderEventKind.ASKED)

    assert (look_and_hear(desk, seen_stop(desk, facts)) == set()) == allowed


@pytest.mark.parametrize(
    ("role", "allowed"), [(OrderRole.EMERGENCY_EXIT, True), (OrderRole.PROTECTION, False)], ids=lambda each: str(each)
)
def test_only_an_emergency_exit_may_sell_below_the_lowest_price_of_its_grant(role: OrderRole, allowed: bool) -> None:
    desk = eyes_desk()
    facts = stop_facts(desk.buy(), price="29999.99", role=role)
    desk.event("p1", OrderEventKind.ASKED, facts=facts)

    assert (look_and_hear(desk, seen_stop(desk, facts)) == set()) == allowed


def test_an_emergency_exit_may_sell_no_more_than_its_grant_protects() -> None:
    desk = eyes_desk()
    facts = stop_facts(desk.buy(), qty="0.01001", role=OrderRole.EMERGENCY_EXIT)
    desk.event("p1", OrderEventKind.ASKED, facts=facts)

    assert look_and_hear(desk, seen_stop(desk, facts)) == {"PTR-01"}


def test_an_order_without_a_limit_price_is_not_judged_by_its_price() -> None:
    desk = eyes_desk()
    facts = stop_facts(desk.buy(), price=None, role=OrderRole.EMERGENCY_EXIT)
    desk.event("p1", OrderEventKind.ASKED, facts=facts)

    assert look_and_hear(desk, replace(seen_stop(desk, facts), price=Decimal(50_000))) == set()


def test_a_grant_that_protects_covers_its_stops_however_many_came_after_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("riskd.eye_book.MAX_GRANTS", 2)
    desk = eyes_desk()
    facts = stop_facts(desk.buy())
    for _ in range(4):
        desk.buy("0.001")
    desk.event("p1", OrderEventKind.ASKED, facts=facts)

    assert look_and_hear(desk, seen_stop(desk, facts)) == set()


def test_a_stop_that_ends_with_its_position_is_still_allowed_when_the_eyes_see_it() -> None:
    desk = eyes_desk()
    facts = stop_facts(desk.buy())
    desk.event("p1", OrderEventKind.ASKED, facts=facts)
    desk.event("p1", OrderEventKind.SENT)
    desk.fill("p1", "0.01", "59650", side=Side.SELL)
    assert not desk.gate.state.grants

    order = replace(seen_stop(desk, facts), is_open=False, filled_qty=Decimal("0.01"))
    assert look_and_hear(desk, order) == set()


# ---- crashes and lost links


def test_without_execd_nothing_is_judged_and_nothing_forgotten() -> None:
    desk = eyes_desk()
    desk.gate.session_lost(desk.now_ns)
    desk.look(seen(desk, OURS))
    desk.now_ns += 10 * SECOND

    assert causes(desk) == {"NO_SESSION"}
    desk.hello()
    desk.ping(HEARD_BEFORE_JUDGING)
    assert causes(desk) == {"PTR-01"}


def test_before_execd_was_heard_in_this_life_no_balance_is_judged() -> None:
    checks = {"PTR-03": {"status": "enforced", "max_steps": 1, "fill_grace_s": 60}}
    desk = Desk(limits=make_test_limits({"PTR-01": PTR_01, **checks}), connect=False)
    for _ in range(3):
        desk.now_ns += 3 * SECOND
        desk.look_at(desk.now_ns, balances={"BTC": "1"})

    assert not desk.gate.state.eyes.baselines


def test_while_the_order_log_is_behind_nothing_is_judged() -> None:
    desk = eyes_desk()
    desk.hello(head=desk.sequence + 1)
    facts = OrderFacts(desk.order().order, "s1", "i1", 0, OrderRole.ENTRY, 0)
    desk.look(seen(desk, facts.terms.client_order_id))
    desk.ping(20)

    assert causes(desk) == set()


def crash(desk: Desk, *, lost: int = 0) -> None:
    """Kill riskd; its last records were not written. It comes back and hears execd again."""
    del desk.sink.records[len(desk.sink.records) - lost :]
    desk.gate = desk.new_gate(desk.sink)
    desk.gate.restore(desk.sink.records)
    desk.gate.start("life2", desk.now_ns)
    desk.hello()
    desk.venue()
    desk.ping()


def die_deciding(desk: Desk, *, out_s: int = 1) -> tuple[OrderFacts, int]:
    """Kill riskd so that the decision which it just made is lost; return that order, and when it was asked."""
    asked, intent, before = desk.order(), desk.intent(), len(desk.sink.records)
    desk.ask(intent, replace(asked, intent_id=intent.intent_id))
    asked_ns, lost = desk.now_ns, len(desk.sink.records) - before
    desk.now_ns += out_s * SECOND
    desk.sequence += 2  # what execd's log has of it
    crash(desk, lost=lost)
    desk.sequence -= 2
    return OrderFacts(asked.order, "s1", intent.intent_id, 0, OrderRole.ENTRY, 0), asked_ns


def tell(desk: Desk, facts: OrderFacts, at_ns: int, *kinds: OrderEventKind) -> None:
    """execd's log tells of an order, dated by execd."""
    events = [desk.make_event(facts.terms.client_order_id, kind, facts=facts) for kind in kinds]
    desk.say(order_events=[replace(event, receive_time_ns=at_ns) for event in events])


def test_an_approval_that_died_with_riskd_is_no_crime_but_somebody_has_to_look() -> None:
    desk = eyes_desk()
    facts, asked_ns = die_deciding(desk)
    tell(desk, facts, asked_ns, OrderEventKind.ASKED)
    assert causes(desk) == set()

    tell(desk, facts, asked_ns, OrderEventKind.SENT)

    assert look_and_hear(desk, seen(desk, "c1")) == {"RECOVERED_ORDER"}
    (hold,) = desk.gate.state.holds.holds.values()
    assert (hold.level, hold.scope.name, hold.release.name) == (TradingLevel.HALTED, "binance", "ONE_KEY")
    assert desk.replayed().state.digest() == desk.gate.state.digest()


def test_a_lost_approval_that_execd_refused_for_want_of_an_answer_stops_nothing() -> None:
    desk = eyes_desk()
    facts, asked_ns = die_deciding(desk)
    tell(desk, facts, asked_ns, OrderEventKind.ASKED, OrderEventKind.REFUSED)

    assert causes(desk) == set()


def test_an_order_that_execd_says_it_never_sent_and_that_nobody_approved_is_one() -> None:
    desk = eyes_desk()
    facts, asked_ns = die_deciding(desk)
    tell(desk, facts, asked_ns, OrderEventKind.ASKED)
    other = replace(facts, terms=replace(facts.terms, client_order_id="c2"))
    tell(desk, other, asked_ns, OrderEventKind.ASKED)

    assert look_and_hear(desk, seen(desk, "c1")) == {"PTR-01"}


@pytest.mark.parametrize(("into_s", "found"), [(60, "RECOVERED_ORDER"), (63, "PTR-01"), (1_800, "PTR-01")])
def test_what_execd_asks_while_nobody_decides_is_a_crime(into_s: int, found: str) -> None:
    desk = eyes_desk()
    facts, asked_ns = die_deciding(desk, out_s=3_600)
    tell(desk, facts, asked_ns + into_s * SECOND, OrderEventKind.ASKED, OrderEventKind.SENT)

    assert found in look_and_hear(desk, seen(desk, "c1"))


def test_once_execds_log_is_read_nothing_can_be_dated_into_an_outage_of_before() -> None:
    desk = eyes_desk()
    facts, asked_ns = die_deciding(desk)
    tell(desk, facts, asked_ns, OrderEventKind.ASKED, OrderEventKind.REFUSED)
    later = replace(facts, terms=replace(facts.terms, client_order_id="c2"))
    tell(desk, later, asked_ns, OrderEventKind.ASKED, OrderEventKind.SENT)

    assert look_and_hear(desk, seen(desk, "c2")) == {"PTR-01"}


def test_what_execd_asked_before_riskds_journal_began_is_not_riskds_to_judge() -> None:
    desk = Desk(limits=make_test_limits({"PTR-01": PTR_01}), connect=False)
    facts = OrderFacts(desk.order().order, "s1", "i1", 0, OrderRole.ENTRY, 0)
    desk.hello(head=2)
    desk.venue()
    tell(desk, facts, desk.now_ns - SECOND, OrderEventKind.ASKED, OrderEventKind.SENT)
    desk.ping()

    assert look_and_hear(desk, seen(desk, "c1")) == set()


def test_an_order_that_execd_logs_without_asking_is_one() -> None:
    desk = eyes_desk()
    desk.now_ns += SECOND
    facts = OrderFacts(desk.order().order, "s1", "i1", 0, OrderRole.ENTRY, 0)
    desk.event("c1", OrderEventKind.ASKED, facts=facts)

    assert look_and_hear(desk, seen(desk, "c1")) == {"PTR-01"}


def test_a_restart_keeps_the_hold_and_the_approvals() -> None:
    desk = eyes_desk()
    desk.plain()
    look_and_hear(desk, seen(desk, OURS))
    level = desk.gate.state.holds.level_for("binance", BTC, "s1")

    crash(desk)

    assert desk.gate.state.holds.level_for("binance", BTC, "s1") is level is TradingLevel.KILLED
    assert look_and_hear(desk, seen(desk, "c1")) == {"PTR-01"}
    assert len(desk.gate.state.holds.holds) == 1


def test_replay_ends_where_the_live_gate_stands() -> None:
    desk = eyes_desk()
    facts = stop_facts(desk.buy())
    desk.event("p1", OrderEventKind.ASKED, facts=facts)
    look_and_hear(desk, seen(desk, OURS))

    assert desk.replayed().state.digest() == desk.gate.state.digest()


# ---- whose orders


@pytest.mark.parametrize(
    ("client_order_id", "found", "level"),
    [("web_1a2b", "PTR-05", TradingLevel.REDUCE_ONLY), (OURS, "PTR-01", TradingLevel.KILLED)],
)
def test_with_ptr_05_an_order_of_another_hand_only_stops_its_instrument(
    client_order_id: str, found: str, level: TradingLevel
) -> None:
    desk = eyes_desk(PTR_05=PTR_05)

    assert look_and_hear(desk, seen(desk, client_order_id)) == {found}
    assert desk.gate.state.holds.level_for("binance", BTC, "s1") is level
    assert (desk.gate.state.holds.level_for("binance", ETH, "s1") is level) == (found == "PTR-01")


def test_without_ptr_05_the_account_is_ours_alone_and_every_order_counts() -> None:
    assert look_and_hear(eyes_desk(), seen(eyes_desk(), "web_1a2b")) == {"PTR-01"}


def test_what_ended_before_this_journal_began_is_not_ours_to_judge_but_what_works_is() -> None:
    desk = eyes_desk()
    old = seen(desk, OURS, event_time_ns=desk.gate.state.eyes.first_ns)

    assert look_and_hear(desk, replace(old, is_open=False)) == set()
    assert look_and_hear(desk, old) == {"PTR-01"}


def test_a_closed_offender_raises_its_hold_once_and_an_open_one_as_long_as_it_works() -> None:
    desk = eyes_desk()
    order = seen(desk, OURS)
    look_and_hear(desk, order)
    (hold,) = desk.gate.state.holds.holds.values()
    desk.gate.keeper.clear(hold.hold_id, "removed at the venue", "ana", desk.now_ns)

    assert look_and_hear(desk, replace(order, is_open=False)) == set()
    assert look_and_hear(desk, order) == {"PTR-01"}


# ---- reports


def test_old_and_repeated_reports_change_nothing_not_even_the_silence() -> None:
    desk = eyes_desk()
    assert desk.look(sequence=7).reason == ""
    desk.now_ns += 20 * SECOND

    reports: tuple[dict[str, Any], ...] = ({"sequence": 7}, {"sequence": 6}, {"epoch": EYES_NS - 1, "sequence": 99})
    for report in reports:
        answer = desk.look(seen(desk, OURS), **report)
        assert not answer.accepted
        assert answer.reason in ("REPEATED", "OLD_EPOCH")
    desk.ping(HEARD_BEFORE_JUDGING)
    assert causes(desk) == set()
    desk.wait_without_looks(10)
    assert causes(desk) == {"EYES_SILENT"}


def test_a_new_run_of_the_eyes_begins_at_one_and_an_old_one_is_void_even_after_a_restart() -> None:
    desk = eyes_desk()
    desk.look(sequence=50)
    assert desk.look(epoch=EYES_NS + 1, sequence=1).accepted
    crash(desk)

    assert desk.look(epoch=EYES_NS, sequence=51).reason == "OLD_EPOCH"
    assert desk.look(epoch=desk.now_ns + SECOND + 1, sequence=1).reason == "FROM_FUTURE"
    assert desk.look(epoch=desk.now_ns + SECOND, sequence=1).accepted


@pytest.mark.parametrize(("age_ns", "found"), [(30 * SECOND, {"PTR-01"}), (30 * SECOND + 1, set())])
def test_a_look_of_long_before_a_restart_of_riskd_says_nothing_about_now(age_ns: int, found: set[str]) -> None:
    desk = eyes_desk()
    old = seen(desk, OURS)
    crash(desk)
    then = desk.now_ns
    desk.now_ns += age_ns
    desk.gate.eye_watch.start(0, desk.now_ns)
    desk.look_at(then, old)
    desk.ping(HEARD_BEFORE_JUDGING)

    assert causes(desk) == found


@pytest.mark.parametrize(("silent_ms", "held"), [(29_900, False), (30_000, False), (31_001, True)])
def test_silence_beyond_the_limit_takes_no_entries_and_ends_with_the_next_look(silent_ms: int, held: bool) -> None:
    desk = eyes_desk()
    desk.look()
    desk.wait_without_looks(silent_ms / 1_000)

    assert causes(desk) == ({"EYES_SILENT"} if held else set())
    assert desk.gate.eye_watch.silent_venues() == (["binance"] if held else [])
    assert desk.gate.state.holds.level_for("binance", BTC, "s1").name == ("REDUCE_ONLY" if held else "RUNNING")
    desk.look()
    assert causes(desk) == set()


def test_a_look_that_failed_is_no_look_and_its_error_is_the_evidence() -> None:
    desk = eyes_desk()
    for _ in range(4):
        desk.wait_without_looks(10)
        desk.look(error="binance: timed out")

    (hold,) = desk.gate.state.holds.holds.values()
    assert (hold.cause, hold.release.name) == ("EYES_SILENT", "AUTO")
    assert "timed out" in hold.evidence


def test_the_next_look_reads_history_from_half_a_minute_before_the_last_one() -> None:
    desk = eyes_desk()
    answer = desk.look()

    assert answer.marks == (("binance", desk.now_ns - 30 * SECOND),)


def test_history_is_read_from_half_a_minute_before_the_last_moment_that_the_journal_knows() -> None:
    desk = eyes_desk()
    assert desk.gate.eye_memory.marks["binance"] == START_NS - 30 * SECOND
    desk.now_ns += 600 * SECOND
    desk.gate.session_lost(desk.now_ns)  # raises a hold
    stood_ns = desk.now_ns
    desk.now_ns += 3_600 * SECOND
    crash(desk)

    assert desk.gate.eye_memory.marks["binance"] == stood_ns - 30 * SECOND


def test_a_flood_of_unknown_orders_is_bounded_and_read_again() -> None:
    desk = eyes_desk()
    desk.look()
    mark = desk.gate.eye_memory.marks["binance"]
    desk.now_ns += 5 * SECOND
    flood = [seen(desk, OURS, venue_order_id=str(n)) for n in range(MAX_SUSPECTS + 1)]
    answer = desk.look(*flood)

    assert len(desk.gate.eye_memory.suspects) == MAX_SUSPECTS
    assert answer.marks == (("binance", mark),)
    desk.ping(HEARD_BEFORE_JUDGING)
    assert causes(desk) == {"PTR-01"}


def test_with_the_check_off_nothing_is_judged_and_silence_is_no_cause() -> None:
    desk = Desk(limits=make_test_limits())
    desk.ping()

    assert look_and_hear(desk, seen(desk, OURS)) == set()
    desk.wait_without_looks(3_600)
    assert causes(desk) == set()


def test_tighter_limits_of_silence_hold_at_once_and_what_was_seen_is_kept() -> None:
    desk = eyes_desk()
    desk.look(seen(desk, OURS))
    desk.gate._refurnish()
    desk.ping(HEARD_BEFORE_JUDGING)

    assert causes(desk) == {"PTR-01"}
