"""PTR-06: what execd leaves without its stop, riskd notices and closes; what protects or closes it is left alone."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from riskd.records import MemorySink
from tests.riskd.kit import BTC, ETH, WATCHES, Desk, make_test_limits
from tests.support.builders import make_instrument
from tradebot.core.approvals import SessionDown
from tradebot.core.errors import ConfigError
from tradebot.core.intents import ProtectionPlan
from tradebot.core.levels import Scope, ScopeKind, TradingLevel
from tradebot.core.order_events import OrderFacts
from tradebot.core.orders import OrderEventKind, OrderRole, OrderTerms, OrderType, Side, TimeInForce


def watched(min_notional: str = "5") -> Desk:
    """A desk that has bought 0.01 BTC with a stop promised, and whose execd has been in step for a while."""
    markets = (make_instrument(BTC, min_notional=min_notional), make_instrument(ETH))
    desk = Desk(limits=make_test_limits({"PTR-06": WATCHES["PTR-06"]}), instruments=markets)
    desk.wait(0)  # riskd looks at whole seconds from here on
    pass_time(desk, 9.9)
    desk.buy("0.01")
    desk.wait(0.1)
    return desk


def pass_time(desk: Desk, seconds: float) -> list[SessionDown]:
    """Let time pass in steps of a tenth of a second, as the daemon's clock does."""
    return [desk.wait(0.1) for _ in range(round(seconds * 10))]


def protect(desk: Desk, qty: str = "0.01", name: str = "p1", *kinds: OrderEventKind, **terms: Any) -> None:
    """execd's log tells of a stop that goes through these steps."""
    base: dict[str, Any] = {"price": Decimal(59600), "stop_price": Decimal(59700), "type": OrderType.STOP_LIMIT} | terms
    price, stop, kind = base["price"], base["stop_price"], base["type"]
    order = OrderTerms(name, BTC, Side.SELL, kind, Decimal(qty), price, stop, TimeInForce.GTC, False, True)
    facts = OrderFacts(order, "s1", "", 0, OrderRole.PROTECTION, desk.now_ns, f"c{desk.orders}")
    for step in (OrderEventKind.ASKED, OrderEventKind.SENT, *(kinds or (OrderEventKind.ACCEPTED,))):
        desk.event(name, step, facts=facts if step is OrderEventKind.ASKED else None)


def level(desk: Desk, instrument_id: str = BTC) -> str:
    return desk.gate.state.holds.level_for("binance", instrument_id, "s1").name


def reduces(downs: list[SessionDown]) -> list[tuple[str, str, Decimal]]:
    return [(r.instrument_id, r.strategy_id, r.qty) for down in downs for r in down.reduces]


def restarted(desk: Desk) -> None:
    """kill -9, and a new life that execd dials at once."""
    sink = MemorySink()
    sink.records = list(desk.sink.records)
    desk.gate, desk.sink = desk.new_gate(sink), sink
    desk.gate.restore(sink.records[:])
    desk.gate.start("life2", desk.now_ns)
    desk.hello()
    desk.venue()


@pytest.mark.parametrize(
    ("seconds", "expected"), [(5, "RUNNING"), (5.9, "RUNNING"), (6, "REDUCE_ONLY"), (15, "REDUCE_ONLY")]
)
def test_without_its_stop_for_longer_than_the_first_deadline_nothing_is_entered_there(
    seconds: float, expected: str
) -> None:
    desk = watched()
    pass_time(desk, seconds)

    assert (level(desk), level(desk, ETH)) == (expected, "RUNNING")


def test_after_the_second_deadline_riskd_closes_it_and_a_person_has_to_look() -> None:
    desk = watched()
    before, after = pass_time(desk, 15.9), pass_time(desk, 1)
    hold = desk.gate.state.holds.find("PTR-06", Scope(ScopeKind.INSTRUMENT, BTC))

    assert reduces(before) == []
    assert reduces(after) == [(BTC, "s1", Decimal("0.01"))]
    assert hold is not None
    assert (hold.level, hold.release.name) == (TradingLevel.HALTED, "ONE_KEY")
    assert "0.01 binance:BTC-USDT of s1 without its stop" in hold.evidence
    assert hold.evidence.endswith("; riskd closes it")


@pytest.mark.parametrize(("qty", "expected"), [("0.01", "RUNNING"), ("0.00999", "HALTED"), ("0.011", "RUNNING")])
def test_a_stop_protects_from_its_acknowledgement_on_when_it_covers_everything(qty: str, expected: str) -> None:
    desk = watched()
    protect(desk, qty)
    pass_time(desk, 30)

    assert level(desk) == expected


@pytest.mark.parametrize(
    "leg",
    [{"stop_price": None, "price": Decimal(61000), "type": OrderType.LIMIT}, {"kinds": (OrderEventKind.REJECTED,)}],
    ids=["a target", "a stop that the venue refused"],
)
def test_what_is_no_resting_stop_protects_nothing(leg: dict[str, Any]) -> None:
    desk = watched()
    protect(desk, "0.01", "p1", *leg.pop("kinds", ()), **leg)
    pass_time(desk, 17)

    assert level(desk) == "HALTED"


def test_a_stop_that_is_lost_is_missed_and_one_that_is_back_ends_the_alarm() -> None:
    desk = watched()
    protect(desk)
    pass_time(desk, 30)
    desk.event("p1", OrderEventKind.CANCELED)
    pass_time(desk, 7)
    missed = level(desk)
    protect(desk, name="p2")
    pass_time(desk, 1)

    assert (missed, level(desk)) == ("REDUCE_ONLY", "RUNNING")
    assert reduces(pass_time(desk, 30)) == []


def test_what_is_worth_too_little_at_the_widest_of_its_stops_is_not_watched() -> None:
    off = {"status": "not_applicable", "reason": "a venue whose least value rose after the entry"}
    desk = Desk(limits=make_test_limits({"PTR-06": WATCHES["PTR-06"], "SPC-08": off}))
    for stop in ("0.6", "0.01"):  # 12 USDT are 4.80 at the first stop, of which the venue takes no order
        desk.buy("0.0001", protection=ProtectionPlan(Decimal(stop)))
    pass_time(desk, 30)

    assert level(desk) == "RUNNING"


def test_a_life_that_begins_before_the_first_alarm_begins_the_clock_anew() -> None:
    desk = watched()
    pass_time(desk, 3)
    restarted(desk)
    pass_time(desk, 5)
    early = level(desk)
    pass_time(desk, 2)

    assert (early, level(desk)) == ("RUNNING", "REDUCE_ONLY")


def test_a_position_that_was_promised_no_stop_is_not_watched() -> None:
    desk = Desk(limits=make_test_limits({"PTR-06": WATCHES["PTR-06"]}))
    desk.buy("0.01", protection=ProtectionPlan())
    pass_time(desk, 30)

    assert level(desk) == "RUNNING"


def test_what_is_too_small_for_a_stop_is_not_watched() -> None:
    desk = watched()
    desk.plain(role=OrderRole.EXIT, side=Side.SELL, qty="0.00992", limit_price="59999")
    desk.fill(f"c{desk.orders}", "0.00992", "59999", side=Side.SELL)
    pass_time(desk, 30)

    assert level(desk) == "RUNNING"  # 0.00008 BTC are 4.80 USDT, of which the venue takes no order


def test_an_exit_under_way_and_a_stop_in_flight_are_waited_for_and_not_for_ever() -> None:
    for begin in (_exit, _stop_in_flight):
        desk = watched()
        begin(desk)
        waited = pass_time(desk, 15 + 45)
        waiting = level(desk)
        acted = pass_time(desk, 2)

        assert (reduces(waited), waiting) == ([], "REDUCE_ONLY")
        assert any(job.cause == "FLATTEN" for job in desk.gate.state.flattens.values())
        assert level(desk) == "HALTED"
        assert reduces(acted) == ([] if begin is _exit else [(BTC, "s1", Decimal("0.01"))])


def _exit(desk: Desk) -> None:
    assert desk.plain(role=OrderRole.EXIT, side=Side.SELL, qty="0.01", limit_price="59999").approval is not None


def _stop_in_flight(desk: Desk) -> None:
    protect(desk, "0.01", "p1", OrderEventKind.OUTCOME_UNKNOWN)


def test_a_kill_in_force_sees_to_its_positions_itself() -> None:
    desk = watched()
    desk.gate.raise_hold(
        TradingLevel.KILLED, Scope(ScopeKind.INSTRUMENT, BTC), reason="out", operator="ana", role="trader",
        command_id="k", duration_s=0, now_ns=desk.now_ns,
    )  # fmt: skip
    pass_time(desk, 30)

    found = desk.gate.state.holds.find("PTR-06", Scope(ScopeKind.INSTRUMENT, BTC))
    assert found is not None
    assert found.level is TradingLevel.REDUCE_ONLY


def test_while_execd_is_away_nothing_is_closed_and_when_it_is_back_it_gets_the_time_of_an_alarm() -> None:
    desk = watched()
    desk.gate.session_lost(desk.now_ns)
    away = pass_time(desk, 40)
    desk.hello()
    desk.venue()
    soon, late = pass_time(desk, 4.9), pass_time(desk, 2)

    assert reduces(away) == reduces(soon) == []
    assert reduces(late) == [(BTC, "s1", Decimal("0.01"))]


def test_a_kill_dash_nine_between_the_deadlines_leaves_the_time_that_was_left() -> None:
    desk = watched()
    pass_time(desk, 8)
    restarted(desk)

    assert level(desk) == "REDUCE_ONLY"
    assert reduces(pass_time(desk, 6)) == []
    assert reduces(pass_time(desk, 3)) == [(BTC, "s1", Decimal("0.01"))]
    assert desk.replayed().state.digest() == desk.gate.state.digest()


def test_after_the_second_deadline_a_restart_begins_no_second_ladder() -> None:
    desk = watched()
    pass_time(desk, 17)
    jobs = list(desk.gate.state.flattens)
    restarted(desk)
    pass_time(desk, 10)

    assert list(desk.gate.state.flattens) == jobs
    assert level(desk) == "HALTED"


def test_clearing_it_without_a_stop_starts_the_clock_again() -> None:
    desk = watched()
    pass_time(desk, 17)
    hold = desk.gate.state.holds.find("PTR-06", Scope(ScopeKind.INSTRUMENT, BTC))
    assert hold is not None
    cleared = desk.gate.clear_hold(
        hold.hold_id, reason="looked into it", operator="ana", role="trader", command_id="c", typed_phrase="",
        now_ns=desk.now_ns,
    )  # fmt: skip
    pass_time(desk, 10)
    between = level(desk)
    pass_time(desk, 8)

    assert cleared.cleared
    assert (between, level(desk)) == ("REDUCE_ONLY", "HALTED")


def test_new_limits_keep_the_clock() -> None:
    desk = watched()
    pass_time(desk, 10)
    desk.gate._refurnish()
    pass_time(desk, 7)

    assert level(desk) == "HALTED"


def test_deadlines_that_contradict_each_other_are_refused_with_the_numbers() -> None:
    with pytest.raises(ConfigError, match=r"PTR-06.alarm_s is 20, above action_s 15"):
        make_test_limits({"PTR-06": {"status": "enforced", "alarm_s": 20, "action_s": 15}})


@pytest.mark.parametrize(("min_notional", "expected"), [("5.952", "HALTED"), ("5.953", "RUNNING")])
def test_what_a_stop_at_its_limit_could_carry_is_watched(min_notional: str, expected: str) -> None:
    markets = (make_instrument(BTC, min_qty="0.0001", min_notional=min_notional), make_instrument(ETH))
    off = {"status": "not_applicable", "reason": "it refuses what this is about"}
    desk = Desk(limits=make_test_limits({"PTR-06": WATCHES["PTR-06"], "SPC-08": off}), instruments=markets)
    pass_time(desk, 10)
    desk.buy("0.0001")  # its stop lies at 59,700, with a limit of 59,520.90: 5.95209 USDT
    pass_time(desk, 20)

    assert level(desk) == expected


@pytest.mark.parametrize(("second", "expected"), [("0.00999", "RUNNING"), ("0.00998", "HALTED")])
def test_each_further_entry_may_lack_less_than_a_lot(second: str, expected: str) -> None:
    desk = watched(min_notional="0.5")  # a lot of 0.60 USDT is an order of its own
    protect(desk)
    desk.buy("0.01")
    protect(desk, second, "p2")
    pass_time(desk, 20)

    assert level(desk) == expected


def with_base_fee(desk: Desk) -> None:
    """Buy so much that the fee, taken in BTC, leaves all but a thousandth of a lot above 999 lots."""
    assert desk.plain(qty="0.01001").approval is not None
    desk.fill(f"c{desk.orders}", "0.01001", fee="0.00001001", fee_asset="BTC")


def sell(desk: Desk, qty: str) -> None:
    assert desk.plain(role=OrderRole.EXIT, side=Side.SELL, qty=qty, limit_price="59999").approval is not None
    desk.fill(f"c{desk.orders}", qty, "59999", side=Side.SELL)


def test_what_earlier_round_trips_left_below_a_lot_is_not_missed_behind_a_later_stop() -> None:
    desk = watched()
    sell(desk, "0.01")
    levels = []
    for trip in range(6):
        with_base_fee(desk)
        protect(desk, "0.00999", f"p{trip}")  # execd covers the lots of this entry
        pass_time(desk, 17)
        levels.append(level(desk))
        desk.event(f"p{trip}", OrderEventKind.CANCELED)
        sell(desk, "0.01" if trip % 3 == 2 else "0.00999")
        pass_time(desk, 17)
        levels.append(level(desk))

    assert levels == ["RUNNING"] * 12
    assert desk.replayed().state.digest() == desk.gate.state.digest()


def test_what_an_earlier_round_trip_left_excuses_no_lot_of_a_later_one() -> None:
    desk = watched()
    sell(desk, "0.01")
    with_base_fee(desk)
    sell(desk, "0.00999")
    with_base_fee(desk)
    protect(desk, "0.00998")
    pass_time(desk, 17)

    assert level(desk) == "HALTED"


@pytest.mark.parametrize(("sold", "expected"), [("0.00992", "RUNNING"), ("0.0099", "HALTED")])
def test_what_an_exit_leaves_of_one_entry_may_be_too_small_for_a_stop_beside_that_of_another(
    sold: str, expected: str
) -> None:
    desk = watched()
    desk.buy("0.01")
    protect(desk)
    sell(desk, sold)
    pass_time(desk, 17)

    assert level(desk) == expected  # 0.00008 BTC are 4.80 USDT, of which the venue takes no order


def test_a_ladder_that_found_no_buyer_is_not_begun_again_while_the_hold_stands() -> None:
    desk = watched()
    tried = reduces(pass_time(desk, 120))
    again = reduces(pass_time(desk, 60))

    assert len(tried) == 30
    assert again == []
    assert not desk.gate.state.flattens
