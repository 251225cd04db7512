"""Soft caps: grace, auto-close down to 90 %, the hard cap at once, the halt after five minutes, and restarts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from riskd.limits import Limits
from riskd.records import MemorySink, SoftCapState
from riskd.soft_caps import Measure, Move, Part, judge, to_close
from tests.riskd.kit import BTC, ETH, SECOND, Desk, make_test_limits, violations
from tests.riskd.test_flatten import reduce_order
from tests.riskd.test_money import trade
from tests.support.builders import make_instrument, make_perpetual
from tradebot.core.approvals import ReduceCommand
from tradebot.core.errors import ConfigError
from tradebot.core.levels import SYSTEM_SCOPE, Scope, ScopeKind, TradingLevel
from tradebot.core.orders import OrderRole, Side

UNIT = 10**12
GRACE_NS = 600 * SECOND


def caps(changes: Mapping[str, dict[str, Any] | None] | None = None, **soft: Any) -> Limits:
    """Soft 500, hard 1,000 of an equity of 10,000 in one instrument; the portfolio far above."""
    base: dict[str, dict[str, Any] | None] = {
        "POS-02": {"hard_pct": 10, "soft_pct": 5, "max_notional": 5000},
        "SIZ-02": {"max_pct_of_equity": 10},
    }
    return make_test_limits({**base, **(changes or {})}, soft_caps=soft)


def drifted(limits: Limits | None = None, price: str = "66000") -> Desk:
    """A desk that holds 0.008 BTC bought at 60,000 (480), now worth more."""
    desk = Desk(limits=limits or caps())
    desk.account(("USDT", "10000"), ("BTC", "0"))
    desk.buy("0.008")
    move(desk, price)
    return desk


def move(desk: Desk, price: str, seconds: float = 1) -> list[ReduceCommand]:
    desk.quote(BTC, price, str(Decimal(price) + Decimal("0.01")))
    desk.gate.accountant.forget_equity()
    return list(desk.wait(seconds).reduces)


def wait(desk: Desk, seconds: float) -> list[ReduceCommand]:
    """Let time pass second by second; return every reduce command."""
    found: list[ReduceCommand] = []
    for _ in range(int(seconds)):
        found += desk.wait(1).reduces
    return found


def sell(desk: Desk, command: ReduceCommand, price: str) -> None:
    """execd does what it is told, at a price, and all of it is filled."""
    desk.quote(BTC, price, str(Decimal(price) + Decimal("0.01")))
    order = reduce_order(desk, command)
    answer = desk.ask(None, replace(order, order=replace(order.order, price=Decimal(price))))
    assert answer.approval is not None, answer
    desk.fill(f"c{desk.orders}", str(command.qty), price, side=Side.SELL)


def level(desk: Desk, instrument_id: str = BTC) -> str:
    return desk.gate.state.holds.level_for("binance", instrument_id, "s1").name


def test_drift_over_the_soft_cap_stops_growth_of_that_instrument_and_strategies_may_reduce() -> None:
    desk = drifted()

    assert level(desk) == "REDUCE_ONLY"
    assert level(desk, ETH) == "RUNNING"
    assert violations(desk.plain(qty="0.0005", limit_price="66000"))["STA-01"] == "TRADING_REDUCE_ONLY"
    exit_ = desk.plain(role=OrderRole.EXIT, side=Side.SELL, qty="0.001", limit_price="66000")
    assert exit_.approval is not None, exit_


def test_below_95_percent_the_hold_ends_and_above_it_stays() -> None:
    desk = drifted()
    move(desk, "59900")  # 479.2 of 475 needed
    assert level(desk) == "REDUCE_ONLY"
    move(desk, "59000")
    assert level(desk) == "RUNNING"
    assert not desk.gate.state.soft_caps


def test_when_the_grace_is_over_riskd_sells_down_to_90_percent_in_quarters() -> None:
    desk = drifted()
    assert wait(desk, 598) == []
    (command, *more) = wait(desk, 2)
    assert not more
    assert (command.side, command.bound_bps, command.reason) == (Side.SELL, 50, "SOFT_CAP")
    sold = Decimal(0)
    for _ in range(40):
        sell(desk, command, "66000")
        sold += command.qty
        later = wait(desk, 16)
        if not later:
            break
        command = later[0]

    left = Decimal("0.008") - sold
    assert Decimal(440) <= left * 66000 <= Decimal(452)  # 90 % of a cap that is 5 % of an equity of 10,048
    assert command.qty < Decimal("0.0005")
    assert level(desk) == "RUNNING"
    assert not desk.gate.state.flattens


def test_the_bound_widens_from_50_to_200_bps_over_five_minutes() -> None:
    desk = drifted()
    bounds = [command.bound_bps for command in wait(desk, 600 + 300)]

    assert bounds == [50] * 5 + [100] * 5 + [150] * 5 + [200] * 5


def test_a_ladder_that_found_no_buyer_begins_again_and_is_no_reason_to_halt_below_the_hard_cap() -> None:
    desk = drifted()
    wait(desk, 600 + 900)

    assert desk.gate.state.flatten_count > 1
    assert level(desk) == "REDUCE_ONLY"


def test_above_the_hard_cap_there_is_no_grace_and_five_minutes_later_it_halts() -> None:
    desk = drifted(price="140000")
    assert [job.cause for job in desk.gate.state.flattens.values()] == ["SOFT_CAP"]
    wait(desk, 299)
    assert level(desk) == "REDUCE_ONLY"
    wait(desk, 1)
    assert level(desk) == "HALTED"
    assert level(desk, ETH) == "RUNNING"


def test_a_hard_cap_exceeded_during_the_grace_ends_the_grace() -> None:
    desk = drifted()
    assert wait(desk, 60) == []
    assert move(desk, "140000") or wait(desk, 2)


def test_without_auto_close_nothing_is_sold_and_the_hold_stays() -> None:
    desk = drifted(caps(auto_close=False))

    assert wait(desk, 700) == []
    assert level(desk) == "REDUCE_ONLY"


def test_without_the_section_nothing_happens() -> None:
    desk = drifted(make_test_limits({"POS-02": {"hard_pct": 10, "soft_pct": 5}, "SIZ-02": {"max_pct_of_equity": 10}}))

    assert wait(desk, 5) == []
    assert level(desk) == "RUNNING"


def test_a_restart_neither_restarts_nor_skips_the_grace() -> None:
    desk = drifted()
    wait(desk, 300)
    before = dict(desk.gate.state.soft_caps)
    reborn(desk, 100)
    assert desk.gate.state.soft_caps == before
    assert level(desk) == "REDUCE_ONLY"
    assert wait(desk, 190) == []
    assert wait(desk, 12)


def reborn(desk: Desk, down_s: int) -> None:
    assert desk.replayed().state.digest() == desk.gate.state.digest()
    gate = desk.replayed()
    gate._ledger._sink = desk.sink
    desk.gate = gate
    desk.now_ns += down_s * SECOND
    gate.start(f"life{desk.now_ns}", desk.now_ns)
    desk.hello()
    desk.quote(BTC, "66000", "66000.01")
    desk.quote(ETH, "2999.99", "3000.01")
    desk.venue()


def test_a_crash_between_any_two_records_leaves_no_hold_for_ever_and_none_missing() -> None:
    desk = drifted()
    move(desk, "50000")
    records = list(desk.sink.records)
    for cut in range(len(records) + 1):
        gate = desk.new_gate(MemorySink())
        gate.restore(records[:cut])
        if not gate.state.rules or BTC not in gate.state.portfolio.net:
            continue
        for price, wanted in (("66000", "REDUCE_ONLY"), ("50000", "RUNNING")):
            other = Desk(limits=desk.limits, now_ns=desk.now_ns + SECOND, connect=False)
            other.gate = other.new_gate(MemorySink())
            other.gate.restore(records[:cut])
            other.gate.start("again", other.now_ns)
            other.sequence = other.gate.state.applied
            other.hello()
            other.account(("USDT", "9520"), ("BTC", "0.008"))
            other.venue()
            other.quote(ETH, "2999.99", "3000.01")
            move(other, price)
            assert level(other) == wanted, (cut, price)


def test_flatten_takes_over_from_a_soft_cap_and_a_kill_stops_it() -> None:
    desk = drifted(price="140000")
    (job,) = desk.gate.state.flattens.values()
    assert job.cause == "SOFT_CAP"
    desk.gate.raise_hold(
        TradingLevel.KILLED, SYSTEM_SCOPE, reason="", operator="ana", role="trader", command_id="k", duration_s=0,
        now_ns=desk.now_ns,
    )  # fmt: skip
    assert wait(desk, 60) == []
    never = ReduceCommand(next(iter(desk.gate.state.reduces)), BTC, "s1", Side.SELL, Decimal("0.0001"), 50, "SOFT_CAP")
    assert violations(desk.ask(None, reduce_order(desk, never)))["STA-01"] == "TRADING_KILLED"
    done = desk.gate.flatten(
        SYSTEM_SCOPE, reason="all out", operator="ana", role="trader", command_id="f", typed_phrase="FLATTEN DEMO 1",
        now_ns=desk.now_ns,
    )  # fmt: skip
    assert [(c.qty, c.reason) for c in done.reduces] == [(Decimal("0.008"), "FLATTEN")]
    assert [j.cause for j in desk.gate.state.flattens.values()] == ["FLATTEN"]
    assert desk.replayed().state.digest() == desk.gate.state.digest()


def test_at_its_hard_cap_a_position_has_its_grace_and_above_it_has_none() -> None:
    hard = {
        "POS-02": {"hard_pct": 50, "soft_pct": 5, "max_notional": 560},
        "SIZ-02": {"max_pct_of_equity": 10, "max_notional": 560},
    }
    at, above = drifted(caps(hard), price="70000"), drifted(caps(hard), price="70001")

    assert (level(at), level(above)) == ("REDUCE_ONLY", "REDUCE_ONLY")
    assert not at.gate.state.flattens
    assert above.gate.state.flattens


def test_an_account_that_is_worth_nothing_ends_no_cap_that_is_exceeded() -> None:
    desk = drifted()
    at = ("POS-02", BTC)
    assert at in desk.gate.state.soft_caps
    for usdt in (-528, -600):  # what the position is worth, and less
        desk.gate.state.portfolio.balances["binance", "USDT"] = usdt * UNIT
        desk.gate.accountant.forget_equity()
        desk.wait(1)
        assert desk.gate.equity(desk.now_ns).value <= 0

        assert at in desk.gate.state.soft_caps


def test_an_account_that_is_worth_nothing_begins_no_cap() -> None:
    desk = drifted(price="60000")
    desk.gate.state.portfolio.balances["binance", "USDT"] = -480 * UNIT
    desk.gate.accountant.forget_equity()
    desk.wait(1)

    assert desk.gate.equity(desk.now_ns).value == 0
    assert not desk.gate.state.soft_caps


def test_the_oldest_position_of_an_instrument_counts() -> None:
    desk = drifted(caps({"POS-14": {"status": "enforced", "soft_h": 24, "hard_h": 48}}), price="60000")
    desk.wait(3_599)
    desk.buy("0.0001", strategy_id="s2")
    desk.wait(23 * 3_600)
    assert level(desk) == "RUNNING"
    desk.wait(1)

    assert level(desk) == "REDUCE_ONLY"


def test_the_portfolio_cap_stops_everything_and_sells_the_largest_first() -> None:
    wide = {"POS-04": {"hard_pct": 20, "soft_pct": 7}, "POS-02": {"hard_pct": 20, "soft_pct": 20}}
    desk = Desk(limits=caps(wide))
    desk.account(("USDT", "10000"), ("BTC", "0"), ("ETH", "0"))
    desk.buy("0.008")
    desk.buy("0.06", "3000", instrument_id=ETH)
    move(desk, "70000")
    assert desk.levels() == "REDUCE_ONLY"
    (command, *_) = wait(desk, 602)
    assert command.instrument_id == BTC


def test_an_old_position_is_closed_whole_after_its_own_grace() -> None:
    aged = {"POS-14": {"status": "enforced", "soft_h": 24, "hard_h": 48}}
    desk = drifted(caps(aged, holding_grace_s=1_800), price="60000")
    desk.wait(24 * 3_600 - 1)
    assert level(desk) == "RUNNING"
    wait(desk, 2)
    assert level(desk) == "REDUCE_ONLY"
    assert wait(desk, 1_797) == []
    (command, *_) = wait(desk, 4)
    while True:
        sell(desk, command, "60000")
        later = wait(desk, 16)
        if not later:
            break
        command = later[0]

    assert desk.gate.state.portfolio.units_of(BTC, "s1") == 0
    assert level(desk) == "RUNNING"


def test_pinned_instruments_are_capped_together() -> None:
    cluster = {"POS-07": {"status": "enforced", "hard_pct": 20, "soft_pct": 7, "max_notional": 5000}}
    limits = make_test_limits(
        {"SIZ-02": {"max_pct_of_equity": 10}, **cluster}, soft_caps={}, cluster_pins=((BTC, ETH),)
    )
    desk = Desk(limits=limits)
    desk.account(("USDT", "10000"), ("BTC", "0"), ("ETH", "0"))
    desk.buy("0.008")
    desk.buy("0.06", "3000", instrument_id=ETH)
    assert (level(desk), level(desk, ETH)) == ("RUNNING", "RUNNING")
    move(desk, "70000")
    assert (level(desk), level(desk, ETH), desk.levels()) == ("REDUCE_ONLY", "REDUCE_ONLY", "RUNNING")
    assert desk.gate.state.clusters == ((BTC, ETH),)
    assert desk.replayed().state.digest() == desk.gate.state.digest()
    move(desk, "50000")
    assert (level(desk), level(desk, ETH)) == ("RUNNING", "RUNNING")


def test_a_cap_that_ends_takes_its_hold_along_while_another_cap_of_the_instrument_is_exceeded() -> None:
    cluster = {"POS-07": {"status": "enforced", "hard_pct": 20, "soft_pct": 7, "max_notional": 5000}}
    position = {"POS-02": {"hard_pct": 10, "soft_pct": 5}, "SIZ-02": {"max_pct_of_equity": 10}}
    desk = Desk(limits=make_test_limits({**position, **cluster}, soft_caps={}, cluster_pins=((BTC, ETH),)))
    desk.account(("USDT", "10000"), ("BTC", "0"), ("ETH", "0"))
    desk.buy("0.008")
    desk.buy("0.06", "3000", instrument_id=ETH)
    move(desk, "70000")
    both = {hold.cause for hold in desk.gate.state.holds.holds.values()}
    desk.quote(ETH, "1500", "1500.01")
    move(desk, "70000")

    assert both == {"POS-02", "POS-07"}
    assert {hold.cause for hold in desk.gate.state.holds.holds.values()} == {"POS-02"}


def test_a_cap_that_ends_lets_its_instrument_go_while_the_same_cap_holds_another() -> None:
    desk = Desk(limits=caps())
    desk.account(("USDT", "10000"), ("BTC", "0"), ("ETH", "0"))
    desk.buy("0.008")
    desk.buy("0.16", "3000", instrument_id=ETH)
    desk.quote(ETH, "3300", "3300.01")
    move(desk, "66000")
    assert (level(desk), level(desk, ETH)) == ("REDUCE_ONLY", "REDUCE_ONLY")
    move(desk, "59000")

    assert (level(desk), level(desk, ETH)) == ("RUNNING", "REDUCE_ONLY")


def test_a_position_that_was_sold_whole_ends_its_cap() -> None:
    desk = drifted()
    answer = desk.plain(role=OrderRole.EXIT, side=Side.SELL, qty="0.008", limit_price="66000")
    assert answer.approval is not None
    desk.fill(f"c{desk.orders}", "0.008", "66000", side=Side.SELL)
    desk.wait(1)

    assert level(desk) == "RUNNING"
    assert not desk.gate.state.soft_caps


def test_a_cap_that_the_account_does_without_is_not_watched() -> None:
    off = {"status": "not_applicable", "reason": "one instrument only"}
    desk = drifted(caps({"POS-04": off}))

    assert set(desk.gate.state.soft_caps) == {("POS-02", BTC)}


def test_a_cluster_that_is_no_more_lets_go() -> None:
    cluster = {"POS-07": {"status": "enforced", "hard_pct": 20, "soft_pct": 7, "max_notional": 5000}}
    limits = make_test_limits(
        {"SIZ-02": {"max_pct_of_equity": 10}, **cluster}, soft_caps={}, cluster_pins=((BTC, ETH),)
    )
    desk = Desk(limits=limits)
    desk.account(("USDT", "10000"), ("BTC", "0"), ("ETH", "0"))
    desk.buy("0.008")
    desk.buy("0.06", "3000", instrument_id=ETH)
    move(desk, "70000")
    answer = desk.plain(role=OrderRole.EXIT, side=Side.SELL, qty="0.008", limit_price="70000")
    assert answer.approval is not None
    desk.fill(f"c{desk.orders}", "0.008", "70000", side=Side.SELL)
    desk.wait(1)

    assert (level(desk), level(desk, ETH)) == ("RUNNING", "RUNNING")
    assert not desk.gate.state.soft_caps


@pytest.mark.parametrize(
    ("changes", "soft_caps", "told"),
    [
        ({"POS-14": {"status": "enforced", "soft_h": 49, "hard_h": 48}}, {}, "soft_h is 49, above hard_h 48"),
        ({"POS-14": {"status": "enforced", "soft_h": 24, "hard_h": 48}}, None, "act through soft_caps"),
        ({"POS-07": {"status": "enforced", "hard_pct": 5, "soft_pct": 6, "max_notional": 1}}, {}, "soft_pct is 6"),
    ],
)
def test_caps_that_contradict_themselves_are_refused(
    changes: dict[str, dict[str, Any] | None], soft_caps: dict[str, Any] | None, told: str
) -> None:
    with pytest.raises(ConfigError, match=told):
        make_test_limits(changes, soft_caps=soft_caps)


def measure(value: int, soft: int = 100, hard: int = 200) -> Measure:
    part = Part(BTC, "s1", value * UNIT, value)
    return Measure("POS-02", BTC, value, soft, hard, (part,))


EDGES = [(100, Move.NOTHING), (101, Move.BEGIN), (200, Move.BEGIN), (201, Move.BEGIN)]


@pytest.mark.parametrize(("value", "move"), EDGES)
def test_the_first_look(value: int, move: Move) -> None:
    state, found = judge(measure(value), None, GRACE_NS, 5)

    assert found is move
    if state is not None:
        assert state == SoftCapState("POS-02", BTC, 5, 5 if value > 200 else 5 + GRACE_NS, 5 if value > 200 else 0)


@pytest.mark.parametrize(
    ("value", "after_ns", "move"),
    [
        (95, 1, Move.END), (96, 1, Move.NOTHING), (101, GRACE_NS - 1, Move.NOTHING), (101, GRACE_NS, Move.CLOSE),
        (96, GRACE_NS, Move.CLOSE), (201, 1, Move.CLOSE), (200, 1, Move.NOTHING),
    ],
)  # fmt: skip
def test_later_looks(value: int, after_ns: int, move: Move) -> None:
    began, _ = judge(measure(150), None, GRACE_NS, 1_000)

    assert judge(measure(value), began, GRACE_NS, 1_000 + after_ns)[1] is move


def test_five_minutes_above_the_hard_cap_count_without_interruption() -> None:
    state, _ = judge(measure(201), None, GRACE_NS, 0 + 1)
    state, move = judge(measure(201), state, GRACE_NS, 299 * SECOND)
    assert move is Move.CLOSE
    state, _ = judge(measure(200), state, GRACE_NS, 299 * SECOND)
    state, move = judge(measure(201), state, GRACE_NS, 301 * SECOND)
    assert move is Move.CLOSE
    assert judge(measure(201), state, GRACE_NS, 601 * SECOND - 1)[1] is Move.CLOSE
    assert judge(measure(201), state, GRACE_NS, 601 * SECOND)[1] is Move.HALT


@settings(deadline=None)
@given(value=st.integers(91, 10**6), soft=st.integers(100, 10**6))
def test_what_stays_is_at_the_target_or_just_below(value: int, soft: int) -> None:
    found = to_close(measure(value, soft))
    if value <= soft * 9 // 10:
        assert found is None
    else:
        assert found is not None
        _, keep = found
        assert keep <= soft * 9 // 10 * UNIT
        assert keep > (soft * 9 // 10 - 1) * UNIT


def test_at_the_target_nothing_is_left_to_close() -> None:
    assert to_close(measure(90)) is None
    assert to_close(measure(91)) is not None


def test_instruments_that_move_together_in_the_live_market_become_a_cluster() -> None:
    cluster = {
        "status": "enforced", "hard_pct": 20, "soft_pct": 7, "max_notional": 5000, "bar_s": 10, "window_bars": 12,
        "min_bars": 6,
    }  # fmt: skip
    desk = Desk(limits=make_test_limits({"POS-07": cluster}, soft_caps={}))
    for bar in range(9):
        move_by = 1 + Decimal(bar % 3) / 100
        btc, eth = (60_000 * move_by).quantize(Decimal("0.01")), (3_000 * move_by).quantize(Decimal("0.01"))
        desk.quote(BTC, str(btc), str(btc + 1))
        desk.quote(ETH, str(eth), str(eth + 1))
        desk.wait(10)

    assert desk.gate.state.clusters == ((BTC, ETH),)
    assert desk.replayed().state.digest() == desk.gate.state.digest()


# ---- caps that have a soft one only where the limits say so


FAR = {"POS-02": {"hard_pct": 80, "soft_pct": 80, "max_notional": 20_000}}
SOFTENED: dict[str, dict[str, Any]] = {
    "POS-05": {"status": "enforced", "max_pct_of_equity": 10, "soft_pct": 5, "max_notional": 10**6},
    "POS-06": {"max_pct_of_equity": 10, "soft_pct": 5},
    "POS-13": {"shock_pct": 20, "max_loss_pct": 2, "soft_pct": 1},
}
"""All of them 500 of notional, hard 1,000."""


@pytest.mark.parametrize("check_id", SOFTENED)
def test_what_drifts_over_a_softened_cap_is_held_and_reduced_after_the_grace(check_id: str) -> None:
    desk = drifted(make_test_limits({**FAR, check_id: SOFTENED[check_id]}, soft_caps={}))
    (hold,) = desk.gate.state.holds.holds.values()

    assert hold.cause == check_id
    assert hold.scope == (Scope(ScopeKind.INSTRUMENT, BTC) if check_id == "POS-06" else SYSTEM_SCOPE)
    assert not wait(desk, 598)
    (command,) = wait(desk, 3)
    assert (command.instrument_id, command.side) == (BTC, Side.SELL)
    move(desk, "59000")
    assert level(desk) == "RUNNING"


SWAPS = ("binance:BTC-USDT-PERP", "binance:ETH-USDT-PERP")


def hedged(check_id: str, btc: str, eth: str, **changes: int) -> Desk:
    """A desk that holds these of two perpetuals, now at 60,000 and 3,000, under one softened cap."""
    limits = make_test_limits({**FAR, check_id: SOFTENED[check_id] | changes}, soft_caps={})
    desk = Desk(limits=limits, instruments=(make_instrument(BTC), make_instrument(ETH), *map(make_perpetual, SWAPS)))
    for name, qty, price in zip(SWAPS, (btc, eth), ("60000", "3000"), strict=True):
        desk.quote(name, price, str(Decimal(price) + Decimal("0.1")))
        if Decimal(qty):
            side = Side.BUY if Decimal(qty) > 0 else Side.SELL
            trade(desk, 1, qty.lstrip("-"), price, side=side, instrument_id=name)
    desk.wait(1)
    return desk


@pytest.mark.parametrize("check_id", ["POS-05", "POS-13"])
@pytest.mark.parametrize(("eth", "held"), [("-0.15", False), ("-0.2", True)])
def test_what_is_sold_counts_like_what_is_bought_and_is_bought_back(check_id: str, eth: str, held: bool) -> None:
    desk = hedged(check_id, "0", eth)

    assert {hold.cause for hold in desk.gate.state.holds.holds.values()} == ({check_id} if held else set())
    if held:
        (command,) = wait(desk, 601)
        assert (command.instrument_id, command.side) == (SWAPS[1], Side.BUY)


@pytest.mark.parametrize(("check_id", "held"), [("POS-05", False), ("POS-13", True)])
def test_what_is_sold_takes_off_from_how_the_portfolio_leans_and_hedges_no_shock(check_id: str, held: bool) -> None:
    desk = hedged(check_id, "0.01", "-0.2")

    assert bool(desk.gate.state.soft_caps) is held


def test_the_side_is_reduced_that_its_own_shock_would_cost_more() -> None:
    desk = hedged("POS-13", "0.01", "-0.1333", rise_pct=40)  # 600 falls by 20 %, 400 rises by 40 %
    (command,) = wait(desk, 601)

    assert (command.instrument_id, command.side) == (SWAPS[1], Side.BUY)


@pytest.mark.parametrize("check_id", SOFTENED)
def test_without_a_soft_cap_nothing_is_watched(check_id: str) -> None:
    hard = {key: value for key, value in SOFTENED[check_id].items() if key != "soft_pct"}
    desk = drifted(make_test_limits({**FAR, check_id: hard}, soft_caps={}), price="120000")

    assert not desk.gate.state.soft_caps


def test_a_base_asset_holds_every_instrument_of_it() -> None:
    other = "binance:BTC-EUR"
    limits = make_test_limits({**FAR, "POS-06": SOFTENED["POS-06"]}, soft_caps={})
    desk = Desk(limits=limits, instruments=(make_instrument(BTC), make_instrument(ETH), make_instrument(other)))
    desk.account(("USDT", "10000"), ("BTC", "0"))
    desk.buy("0.008")
    move(desk, "66000")

    assert (level(desk, BTC), level(desk, other), level(desk, ETH)) == ("REDUCE_ONLY", "REDUCE_ONLY", "RUNNING")


@pytest.mark.parametrize(
    ("check_id", "changes", "text"),
    [
        ("POS-06", {"max_pct_of_equity": 10, "soft_pct": 11}, "checks.POS-06.soft_pct is 11, above max_pct_of_equity"),
        ("POS-06", {"max_notional": 10, "soft_notional": 11}, "checks.POS-06.soft_notional is 11, above max_notional"),
        ("POS-13", {"max_loss_pct": 1, "soft_pct": 2}, "checks.POS-13.soft_pct is 2, above max_loss_pct 1"),
        ("POS-13", {"max_loss": 1, "soft_loss": 2}, "checks.POS-13.soft_loss is 2, above max_loss 1"),
    ],
)
def test_a_soft_cap_above_its_hard_one_is_refused(check_id: str, changes: dict[str, Any], text: str) -> None:
    with pytest.raises(ConfigError, match=text):
        make_test_limits({check_id: changes})
