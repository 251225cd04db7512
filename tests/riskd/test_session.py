"""execd's session: the order log is followed without a gap, leases are answered, latches become holds."""

from __future__ import annotations

from decimal import Decimal

import pytest

from riskd.records import RecordType, StopLatched, encode_record
from tests.riskd.kit import BTC, ETH, KEY, SECOND, Desk, violations
from tradebot.core.accounts import VenueAlarm
from tradebot.core.approvals import Approval, ApprovalAsk, LeasePing, SessionUp, StopLatch, Verdict
from tradebot.core.errors import RejectedError, SequenceGapError
from tradebot.core.levels import SYSTEM_SCOPE, ReleaseRule, TradingLevel
from tradebot.core.orders import OrderEventKind, OrderRole, OrderType, Side
from tradebot.wire.approvals import open_approval, open_grant

K = OrderEventKind
KEYS = {KEY.key_id: KEY.key}


def test_the_first_message_must_say_hello() -> None:
    desk = Desk(connect=False)

    with pytest.raises(RejectedError, match="NO_HELLO"):
        desk.say(ping=LeasePing(1, desk.now_ns))


def test_welcome_names_the_last_event_that_was_folded_and_comes_with_the_levels() -> None:
    desk = Desk()
    desk.plain()
    desk.event("c1", K.ASKED)
    desk.event("c1", K.REFUSED)
    down = desk.hello()

    assert down.welcome is not None
    assert down.welcome.order_log_resume_after == 2
    assert down.welcome.environment == "demo"
    assert down.levels is not None
    assert down.levels.epoch == down.welcome.epoch


def test_events_that_were_folded_before_change_nothing() -> None:
    desk = Desk()
    desk.plain()
    event = desk.make_event("c1", K.REFUSED)
    desk.say(order_events=[event])
    digest = desk.gate.state.digest()
    desk.say(order_events=[event])

    assert desk.gate.state.digest() == digest


def test_a_gap_in_the_order_log_ends_the_session_and_loses_nothing() -> None:
    desk = Desk()
    desk.plain()
    first, second = desk.make_event("c1", K.ASKED), desk.make_event("c1", K.REFUSED)
    with pytest.raises(SequenceGapError):
        desk.say(order_events=[second])
    desk.gate.session_lost(desk.now_ns)
    down = desk.hello()

    assert down.welcome is not None
    assert down.welcome.order_log_resume_after == 0
    desk.say(order_events=[first, second])
    assert desk.gate.state.applied == 2


def test_a_ping_is_answered_with_the_epoch_and_what_was_applied() -> None:
    desk = Desk()
    desk.plain()
    desk.event("c1", K.ASKED)
    down = desk.say(ping=LeasePing(7, desk.now_ns))

    assert down.lease is not None
    assert (down.lease.sequence, down.lease.valid_for_ms) == (7, 1000)
    assert down.lease.epoch == desk.gate.state.holds.epoch
    assert down.order_log_applied == 1


def test_without_a_session_and_without_reconciliation_the_level_is_reduce_only() -> None:
    desk = Desk(connect=False)
    start = desk.levels()
    desk.hello()
    connected = (desk.levels(), desk.gate.state.holds.level_for("binance", BTC, "s1").name)
    desk.venue(reconciling=True)
    reconciling = desk.gate.state.holds.level_for("binance", BTC, "s1").name
    desk.venue()

    assert start == "REDUCE_ONLY"
    assert connected == ("RUNNING", "REDUCE_ONLY")
    assert reconciling == "REDUCE_ONLY"
    assert desk.gate.state.holds.level_for("binance", BTC, "s1").name == "RUNNING"
    desk.gate.session_lost(desk.now_ns)
    assert desk.levels() == "REDUCE_ONLY"


def test_the_level_table_travels_only_when_it_changes() -> None:
    desk = Desk()
    quiet = desk.say(ping=LeasePing(1, desk.now_ns))
    desk.gate.raise_hold(
        TradingLevel.PAUSED, SYSTEM_SCOPE, reason="", operator="ana", role="trader", command_id="1",
        duration_s=0, now_ns=desk.now_ns,
    )  # fmt: skip
    changed = desk.gate.take_down()

    assert quiet.levels is None
    assert changed.levels is not None
    assert changed.levels.fence_for("binance", BTC, "s1") == changed.levels.epoch


def test_an_approval_is_bound_to_session_ask_and_exact_terms_and_a_changed_byte_voids_it() -> None:
    desk = Desk()
    intent = desk.intent()
    order = desk.order(intent)
    answer = desk.ask(intent, order)
    assert answer.approval is not None
    terms = open_approval(answer.approval, KEYS)

    assert terms.order == order.order
    assert (terms.session_id, terms.ask_id, terms.nonce) == ("session1", 1, answer.decision_id)
    assert (terms.environment, terms.venue, terms.account) == ("demo", "binance", "main")
    assert (terms.role, terms.strategy_id, terms.valid_for_ms) == (OrderRole.ENTRY, "s1", 1500)
    assert terms.epoch == desk.gate.state.holds.epoch
    raw = answer.approval.terms
    for index in range(len(raw)):
        mutated = raw[:index] + bytes([raw[index] ^ 1]) + raw[index + 1 :]
        with pytest.raises(RejectedError):
            open_approval(Approval(mutated, answer.approval.mac, answer.approval.key_id), KEYS)


def test_an_entry_brings_a_grant_that_fits_its_plan_and_an_exit_brings_none() -> None:
    desk = Desk()
    answer = desk.plain(qty="0.01")
    assert answer.grant is not None
    grant = open_grant(answer.grant, KEYS)
    desk.fill("c1", "0.01")
    exit_answer = desk.plain(role=OrderRole.EXIT, side=Side.SELL, qty="0.01")

    assert (grant.side, grant.max_qty, grant.entry_client_order_id) == (Side.SELL, Decimal("0.01"), "c1")
    assert grant.order_types == {OrderType.STOP_LIMIT, OrderType.LIMIT}
    assert (grant.min_price, grant.max_price) == (Decimal(30000), Decimal(90000))
    assert grant.stop_loss_fraction == Decimal("0.005")
    assert grant.expires_time_ns == desk.now_ns + 24 * 3600 * SECOND
    assert exit_answer.approval is not None
    assert exit_answer.grant is None


def test_a_grant_is_renewed_while_its_position_is_open_and_ends_with_it() -> None:
    desk = Desk()
    answer = desk.plain(qty="0.01")
    assert answer.grant is not None
    grant_id = open_grant(answer.grant, KEYS).grant_id
    desk.fill("c1", "0.01")
    desk.wait(3600)
    renewed = desk.say(renew_grant_ids=[grant_id]).renewed_grants
    desk.plain(role=OrderRole.EXIT, side=Side.SELL, qty="0.01")
    desk.fill("c2", "0.01", side=Side.SELL)

    assert [open_grant(g, KEYS).expires_time_ns for g in renewed] == [desk.now_ns + 24 * 3600 * SECOND]
    assert [open_grant(g, KEYS).max_orders for g in renewed] == [2 * open_grant(answer.grant, KEYS).max_orders]
    assert desk.say(renew_grant_ids=[grant_id]).renewed_grants == []


def test_a_grant_that_execd_lost_is_signed_again_for_its_entry() -> None:
    desk = Desk()
    answer = desk.plain(qty="0.01")
    assert answer.grant is not None
    desk.fill("c1", "0.01")

    (renewed,) = desk.say(renew_grant_ids=["entry:c1"]).renewed_grants
    assert open_grant(renewed, KEYS).grant_id == open_grant(answer.grant, KEYS).grant_id


@pytest.mark.parametrize("told", [True, False], ids=["the fill came first", "the request came first"])
def test_the_grant_of_an_entry_that_fills_after_it_was_canceled_comes_back(told: bool) -> None:
    desk = Desk()
    answer = desk.plain(qty="0.01")
    assert answer.grant is not None
    desk.event("c1", OrderEventKind.SENT)
    desk.event("c1", OrderEventKind.CANCELED)
    assert list(desk.gate.state.grants) == []
    if told:
        desk.fill("c1", "0.01")

    (renewed,) = desk.say(renew_grant_ids=["entry:c1"]).renewed_grants
    if not told:
        desk.fill("c1", "0.01")
    assert open_grant(renewed, KEYS).grant_id == open_grant(answer.grant, KEYS).grant_id
    assert [terms.grant_id for terms in desk.gate.state.grants] == [open_grant(answer.grant, KEYS).grant_id]
    assert desk.replayed().state.digest() == desk.gate.state.digest()


@pytest.mark.parametrize("told", [True, False], ids=["the fill came first", "the request came first"])
def test_the_grant_of_a_closed_entry_comes_back_with_a_late_fill(told: bool) -> None:
    """Filled in part, canceled, closed: the grant ended with the position, and the venue filled the rest late."""
    desk = Desk()
    answer = desk.plain(qty="0.01")
    assert answer.grant is not None
    desk.fill("c1", "0.004", complete=False)
    desk.event("c1", OrderEventKind.CANCELED)
    desk.plain(role=OrderRole.EXIT, side=Side.SELL, qty="0.004")
    desk.fill("c2", "0.004", side=Side.SELL)
    assert list(desk.gate.state.grants) == []
    if told:
        desk.fill("c1", "0.006")

    (renewed,) = desk.say(renew_grant_ids=["entry:c1"]).renewed_grants
    if not told:
        desk.fill("c1", "0.006")
    assert open_grant(renewed, KEYS).grant_id == open_grant(answer.grant, KEYS).grant_id
    assert [terms.grant_id for terms in desk.gate.state.grants] == [open_grant(answer.grant, KEYS).grant_id]
    assert desk.replayed().state.digest() == desk.gate.state.digest()


def test_what_ends_an_entry_once_more_does_not_bring_its_grant_back() -> None:
    desk = Desk()
    desk.plain(qty="0.01")
    desk.fill("c1", "0.004", complete=False)
    desk.event("c1", OrderEventKind.CANCELED)
    desk.plain(role=OrderRole.EXIT, side=Side.SELL, qty="0.004")
    desk.fill("c2", "0.004", side=Side.SELL)
    desk.event("c1", OrderEventKind.CANCELED)

    assert list(desk.gate.state.grants) == []


def test_approvals_that_the_complete_order_log_never_mentions_are_released_in_the_next_session() -> None:
    desk = Desk()
    desk.plain(qty="0.01")  # execd dies before its ASK is durable
    desk.plain(qty="0.01")
    desk.event("c2", K.ASKED)
    desk.gate.session_lost(desk.now_ns)
    desk.hello()

    assert sorted(desk.gate.state.commitments.orders) == ["c2"]


def test_they_stay_reserved_until_the_log_is_complete() -> None:
    desk = Desk()
    desk.plain(qty="0.01")
    event = desk.make_event("c1", K.ASKED)
    desk.gate.session_lost(desk.now_ns)
    desk.hello(head=1)
    held = sorted(desk.gate.state.commitments.orders)
    desk.say(order_events=[event])

    assert held == ["c1"]
    assert sorted(desk.gate.state.commitments.orders) == ["c1"]


@pytest.mark.parametrize(("log", "head"), [("log2", 0), ("log1", 1)])
def test_a_lost_or_rolled_back_order_log_halts_until_an_operator_looked(log: str, head: int) -> None:
    desk = Desk()
    desk.buy("0.01")
    desk.event("c1", K.ACCEPTED)
    desk.gate.session_lost(desk.now_ns)
    down = desk.hello(log=log, head=head)

    assert desk.levels() == "HALTED"
    assert down.welcome is not None
    assert down.welcome.order_log_resume_after == head
    assert desk.gate.state.portfolio.net[BTC] == 10**10


def test_executions_of_a_new_order_log_are_still_booked_only_once() -> None:
    desk = Desk()
    desk.plain(qty="0.01")
    desk.fill("c1", "0.01", exec_id="t5")
    desk.gate.session_lost(desk.now_ns)
    desk.sequence = 0
    desk.statuses.clear()
    desk.hello(log="log2")
    desk.fill("c1", "0.01", exec_id="t5")

    assert desk.gate.state.portfolio.net[BTC] == 10**10


def test_a_latch_set_at_execd_becomes_a_hold_and_ends_only_when_that_is_cleared() -> None:
    desk = Desk()
    latch = StopLatch("stop-1", TradingLevel.HALTED, "ana", "drill", desk.now_ns)
    desk.say(latches=[latch])
    again = desk.hello(latches=(latch,))
    hold = desk.gate.state.holds.find_latch("stop-1")
    assert hold is not None
    assert desk.levels() == "HALTED"
    assert again.levels is not None
    assert again.levels.cleared_latch_ids == ()
    cleared = desk.gate.clear_hold(
        hold.hold_id, reason="drill is over", operator="ana", role="trader", command_id="2", typed_phrase="",
        now_ns=desk.now_ns,
    )  # fmt: skip
    down = desk.gate.take_down()

    assert cleared.cleared
    assert down.levels is not None
    assert down.levels.cleared_latch_ids == ("stop-1",)
    desk.say(latches=[latch])  # a late repeat
    assert desk.levels() == "RUNNING"


def test_the_stop_flag_refuses_before_the_hold_is_raised() -> None:
    desk = Desk()
    desk.gate.stop_flag.latch(TradingLevel.KILLED, "stop-1")
    refused = desk.plain()
    desk.gate.stop(StopLatch("stop-1", TradingLevel.KILLED, "ana", "", desk.now_ns), "trader", desk.now_ns)

    assert violations(refused)["STA-01"] == "TRADING_KILLED"
    assert desk.levels() == "KILLED"


def test_a_stop_whose_hold_was_not_raised_before_the_crash_is_raised_at_the_start() -> None:
    desk = Desk()
    latch = StopLatch("stop-1", TradingLevel.HALTED, "ana", "", desk.now_ns)
    desk.sink.append(RecordType.STOP_LATCHED, encode_record(StopLatched(latch, "trader")))
    gate = desk.replayed()
    gate.start("life2", desk.now_ns)

    assert gate.state.holds.system_level() is TradingLevel.HALTED
    assert gate.stop_flag.level is TradingLevel.HALTED


@pytest.mark.parametrize(
    ("cause", "instrument_id", "level", "clears"),
    [
        ("POSITION_MISMATCH", BTC, "PAUSED", True),
        ("FILL_ANOMALY", BTC, "HALTED", False),
        ("RECOVERED_ORDER", BTC, "HALTED", False),
        ("UNAPPROVED_ORDER", "", "KILLED", False),
        ("FOREIGN_ACTIVITY", BTC, "REDUCE_ONLY", False),
        ("SOMETHING_NEW", "", "PAUSED", True),
    ],
)
def test_a_venue_alarm_raises_its_hold(cause: str, instrument_id: str, level: str, clears: bool) -> None:
    desk = Desk()
    desk.venue(alarms=(VenueAlarm(cause, instrument_id, "seen"),))
    desk.venue(alarms=(VenueAlarm(cause, instrument_id, "seen"),))
    raised = [h for h in desk.gate.state.holds.holds.values() if h.cause in (cause, f"EXECD_{cause}")]
    desk.venue(alarms=(VenueAlarm(cause, instrument_id, "over", cleared=True),))

    assert [h.level.name for h in raised] == [level]
    assert desk.gate.state.holds.level_for("binance", BTC, "s1").name == ("RUNNING" if clears else level)


def test_a_malformed_ask_is_refused_and_the_others_are_decided() -> None:
    desk = Desk()
    intent = desk.intent()
    up = SessionUp(asks=[ApprovalAsk(2, desk.now_ns, intent, desk.order(intent))])
    answers = desk.gate.handle(up, desk.now_ns, malformed=[(1, "qty: 'abc' is not a decimal")]).answers

    assert [(a.ask_id, a.verdict) for a in answers] == [(2, Verdict.ALLOW), (1, Verdict.BLOCK)]
    assert (answers[1].check_id, answers[1].reason) == ("AUT-01", "MALFORMED_REQUEST")
    assert desk.gate.state.digest() == desk.replayed().state.digest()


def test_check_intent_says_what_would_be_decided_and_changes_nothing() -> None:
    desk = Desk()
    before = desk.gate.state.digest()
    intent = desk.intent(qty=None, order_type=OrderType.MARKET, limit_price=None)
    decision = desk.gate.check_intent(intent, desk.now_ns)

    assert decision.verdict is Verdict.ALLOW
    assert decision.approved_qty == Decimal("0.00833")
    assert desk.gate.state.digest() == before


def test_a_recovered_order_halts_the_whole_venue_and_a_fill_anomaly_only_its_instrument() -> None:
    whole, part = Desk(), Desk()
    whole.venue(alarms=(VenueAlarm("RECOVERED_ORDER", BTC, "seen"),))
    part.venue(alarms=(VenueAlarm("FILL_ANOMALY", BTC, "seen"),))

    assert whole.gate.state.holds.level_for("binance", ETH, "s1") is TradingLevel.HALTED
    assert part.gate.state.holds.level_for("binance", ETH, "s1") is TradingLevel.RUNNING


def test_a_late_repeat_of_a_cleared_stop_leaves_no_flag_behind() -> None:
    desk = Desk()
    latch = StopLatch("stop-1", TradingLevel.HALTED, "ana", "", desk.now_ns)
    desk.gate.stop(latch, "trader", desk.now_ns)
    desk.gate.resume(reason="drill is over", operator="ana", role="trader", command_id="r", now_ns=desk.now_ns)
    desk.gate.stop_flag.latch(TradingLevel.HALTED, "stop-1")  # as the stop thread does before the loop hears of it
    desk.gate.stop(latch, "trader", desk.now_ns)

    assert desk.gate.stop_flag.level is TradingLevel.RUNNING
    assert desk.plain().approval is not None


def test_the_same_log_with_the_same_head_is_no_loss() -> None:
    desk = Desk()
    desk.plain()
    desk.event("c1", K.ASKED)
    desk.gate.session_lost(desk.now_ns)
    desk.hello()

    assert desk.levels() == "RUNNING"


def test_the_next_timer_is_the_next_evaluation_or_an_earlier_end_of_a_hold() -> None:
    desk = Desk()
    desk.gate.handle_timer(desk.now_ns)
    evaluation = desk.gate.next_timer_ns()
    desk.gate.keeper.raise_(
        TradingLevel.PAUSED, SYSTEM_SCOPE, "TEST", ReleaseRule.TIMED, desk.now_ns, "", until_ns=desk.now_ns + 5
    )

    assert evaluation == desk.now_ns + SECOND
    assert desk.gate.next_timer_ns() == desk.now_ns + 5


def test_a_parent_with_a_live_order_is_not_released_by_time() -> None:
    desk = Desk()
    desk.plain(qty="0.01")
    desk.wait(120)

    assert "i1" in desk.gate.state.commitments.parents
