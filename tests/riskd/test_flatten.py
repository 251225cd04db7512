"""Flatten: halt, then reduce commands with a widening bound until the position is gone."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

import pytest

from riskd.gate import FlattenResult
from tests.riskd.kit import BTC, ETH, SECOND, Desk, violations
from tradebot.core.approvals import ApproveOrder, ReduceCommand
from tradebot.core.levels import SYSTEM_SCOPE, Scope, ScopeKind, TradingLevel
from tradebot.core.orders import OrderEventKind, OrderRole, Side


def flatten(desk: Desk, phrase: str, scope: Scope = SYSTEM_SCOPE, command_id: str = "f1") -> FlattenResult:
    return desk.gate.flatten(
        scope, reason="test", operator="ana", role="trader", command_id=command_id, typed_phrase=phrase,
        now_ns=desk.now_ns,
    )  # fmt: skip


def reduce_order(desk: Desk, command: ReduceCommand, **changes: object) -> ApproveOrder:
    """Return what execd asks for a reduce command."""
    base = desk.order(
        desk.intent(
            role=OrderRole.EXIT, side=command.side, qty=command.qty, limit_price=None,
            instrument_id=command.instrument_id, strategy_id=command.strategy_id,
        )
    )  # fmt: skip
    return replace(base, role=OrderRole.REDUCE, reduce_id=command.reduce_id, intent_id="reduce:1", **changes)  # type: ignore[arg-type]


def test_it_halts_and_commands_every_position_closed() -> None:
    desk = Desk()
    desk.buy("0.01")
    desk.buy("0.1", "3000", instrument_id=ETH)
    result = flatten(desk, "FLATTEN DEMO 2")

    assert desk.levels() == "HALTED"
    assert [(c.instrument_id, c.side, c.qty, c.bound_bps) for c in result.reduces] == [
        (BTC, Side.SELL, Decimal("0.01"), 50),
        (ETH, Side.SELL, Decimal("0.1"), 50),
    ]
    assert list(desk.gate.take_down().reduces) == list(result.reduces)


def test_jobs_are_numbered_and_none_takes_the_place_of_another() -> None:
    desk = Desk()
    desk.buy("0.1", "3000", instrument_id=ETH)
    flatten(desk, "FLATTEN DEMO 1", Scope(ScopeKind.INSTRUMENT, ETH))
    desk.buy("0.01")
    desk.buy("0.01", strategy_id="s2")
    flatten(desk, "FLATTEN DEMO 3", command_id="f2")

    assert list(desk.gate.state.flattens) == ["life1-F1", "life1-F2", "life1-F3"]


def test_a_wrong_phrase_does_nothing_and_says_what_to_type() -> None:
    desk = Desk()
    desk.buy("0.01")
    result = flatten(desk, "FLATTEN DEMO 2")

    assert (result.reason, desk.levels()) == ("PHRASE_MISMATCH", "RUNNING")
    assert "FLATTEN DEMO 1" in result.detail


def test_flat_and_without_a_session_nothing_is_begun() -> None:
    desk = Desk()
    assert flatten(desk, "FLATTEN DEMO 0").reason == "FLAT"
    desk.buy("0.01")
    desk.gate.session_lost(desk.now_ns)

    assert flatten(desk, "FLATTEN DEMO 1", command_id="f2").reason == "NO_SESSION"


def test_the_scope_chooses() -> None:
    desk = Desk()
    desk.buy("0.01")
    desk.buy("0.1", "3000", instrument_id=ETH)
    result = flatten(desk, "FLATTEN DEMO 1", Scope(ScopeKind.INSTRUMENT, ETH))

    assert [c.instrument_id for c in result.reduces] == [ETH]
    assert desk.levels() == "RUNNING"


def test_the_reduce_order_is_approved_at_halted_and_at_killed_but_for_nobody_elses_command() -> None:
    desk = Desk()
    desk.buy("0.01")
    (command,) = flatten(desk, "FLATTEN DEMO 1").reduces
    desk.gate.raise_hold(
        TradingLevel.KILLED, SYSTEM_SCOPE, reason="", operator="ana", role="trader", command_id="k", duration_s=0,
        now_ns=desk.now_ns,
    )  # fmt: skip
    forged = desk.ask(None, replace(reduce_order(desk, command), reduce_id="other"))
    too_much = desk.ask(None, reduce_order(desk, replace(command, qty=Decimal("0.02"))))
    allowed = desk.ask(None, reduce_order(desk, command))

    assert violations(forged)["AUT-02"] == "CALLER_NOT_AUTHORISED"
    assert violations(too_much)["AUT-02"] == "CALLER_NOT_AUTHORISED"
    assert allowed.approval is not None, allowed


def test_the_ladder_widens_until_flat_and_waits_for_a_working_order() -> None:
    desk = Desk()
    desk.buy("0.01")
    (command,) = flatten(desk, "FLATTEN DEMO 1").reduces
    desk.gate.take_down()
    desk.ask(None, reduce_order(desk, command))
    key = f"c{desk.orders}"
    waiting = desk.wait(2).reduces
    desk.event(key, OrderEventKind.EXPIRED)
    second = desk.wait(2).reduces
    third, fourth, fifth = desk.wait(2).reduces, desk.wait(2).reduces, desk.wait(2).reduces
    desk.ask(None, reduce_order(desk, fifth[0]))
    desk.fill(f"c{desk.orders}", "0.01", side=Side.SELL)

    assert waiting == []
    assert [c[0].bound_bps for c in (second, third, fourth, fifth)] == [100, 200, 400, 400]
    assert desk.wait(2).reduces == []
    assert not desk.gate.state.flattens
    assert desk.gate.state.portfolio.positions[BTC, "s1"].units == 0


@pytest.mark.parametrize(("price", "approved"), [("57300", True), ("57299.99", False)])
def test_the_collar_gives_the_ladder_its_own_bound_and_half_a_percent(price: str, approved: bool) -> None:
    desk = Desk()
    desk.buy("0.01")
    flatten(desk, "FLATTEN DEMO 1")
    desk.gate.take_down()
    command = [desk.wait(2).reduces for _ in range(3)][-1][0]
    order = reduce_order(desk, command)
    answer = desk.ask(None, replace(order, order=replace(order.order, price=Decimal(price))))

    assert command.bound_bps == 400
    assert (answer.approval is not None) is approved
    assert approved or violations(answer) == {"PRC-01": "PRICE_COLLAR"}


def test_a_command_of_a_finished_ladder_is_void() -> None:
    desk = Desk()
    desk.buy("0.01")
    (command,) = flatten(desk, "FLATTEN DEMO 1").reduces
    desk.ask(None, reduce_order(desk, command))
    desk.fill(f"c{desk.orders}", "0.01", side=Side.SELL)
    desk.wait(2)
    desk.gate.resume(reason="back to work", operator="ana", role="trader", command_id="r", now_ns=desk.now_ns)
    desk.buy("0.01")
    again = desk.ask(None, reduce_order(desk, command))

    assert violations(again)["AUT-02"] == "CALLER_NOT_AUTHORISED"


def test_what_the_venue_would_not_take_counts_as_flat() -> None:
    desk = Desk()
    desk.plain(qty="0.01")
    desk.fill("c1", "0.01", fee="0.00999", fee_asset="BTC")  # 0.00001 left: below 5 USDT

    assert flatten(desk, "FLATTEN DEMO 1").reduces == ()
    assert not desk.gate.state.flattens


def test_a_restart_goes_on_where_the_ladder_stood() -> None:
    desk = Desk()
    desk.buy("0.01")
    flatten(desk, "FLATTEN DEMO 1")
    gate = desk.replayed()

    assert [(job.instrument_id, job.tries) for job in gate.state.flattens.values()] == [(BTC, 1)]
    assert gate.state.digest() == desk.gate.state.digest()


def test_a_reduce_for_everybody_books_to_the_owner() -> None:
    desk = Desk()
    desk.buy("0.01")
    answer = desk.plain(role=OrderRole.EXIT, side=Side.SELL, qty="0.01", strategy_id="manual:ana")
    assert answer.approval is not None
    desk.fill(f"c{desk.orders}", "0.01", price="60100", side=Side.SELL)
    positions = desk.gate.state.portfolio.positions

    assert positions[BTC, "s1"].units == 0
    assert positions[BTC, "s1"].position.realized_pnl == 1
    assert (BTC, "manual:ana") not in positions


def test_it_gives_up_after_its_last_try_and_says_so() -> None:
    desk = Desk()
    desk.buy("0.01")
    flatten(desk, "FLATTEN DEMO 1")
    for _ in range(40):
        desk.wait(2)

    assert desk.gate.state.reduce_count == 30
    assert not desk.gate.state.flattens
    assert any(h.cause == "FLATTEN_INCOMPLETE" for h in desk.gate.state.holds.holds.values())


def test_the_earliest_of_several_ladders_says_when_to_look_again() -> None:
    desk = Desk()
    desk.buy("0.01")
    desk.buy("0.1", "3000", instrument_id=ETH)
    began_ns = desk.now_ns
    flatten(desk, "FLATTEN DEMO 1", Scope(ScopeKind.INSTRUMENT, BTC))
    desk.wait(1)
    flatten(desk, "FLATTEN DEMO 1", Scope(ScopeKind.INSTRUMENT, ETH), "f2")

    assert desk.gate._flattener.next_ns() == began_ns + 2 * SECOND
