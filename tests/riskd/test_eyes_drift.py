"""PTR-03 and PTR-04: what the venue holds against our books; a look is never of the same moment as they are."""

from __future__ import annotations

import random
from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest

from riskd.eye_drift import MAX_LOOKS, SAME, _common
from tests.riskd.kit import BTC, ETH, MS, SECOND, Desk, make_test_limits
from tests.support.builders import make_instrument, make_perpetual, make_terms
from tradebot.core.levels import TradingLevel
from tradebot.core.looks import LookAnswer, SeenFill
from tradebot.core.order_events import OrderFacts
from tradebot.core.orders import Execution, Liquidity, OrderEventKind, OrderRole, Side

ON: dict[str, dict[str, Any]] = {
    "PTR-01": {"status": "enforced", "max_silence_s": 30},
    "PTR-03": {"status": "enforced", "max_steps": 1, "fill_grace_s": 60},
    "PTR-04": {"status": "enforced", "max_drift_pct": 0.1},
}
LOT = Decimal("0.00001")


def settled_desk(**changes: dict[str, Any]) -> Desk:
    """Return a desk with 10,000 USDT and 0.01 BTC of ours, whose baseline is known."""
    desk = Desk(limits=make_test_limits(ON | {k.replace("_", "-"): v for k, v in changes.items()}))
    desk.buy("0.01")
    desk.account(("USDT", "9400"), ("BTC", "0.01"))
    desk.wait(10)
    desk.ping()
    for _ in range(2):
        desk.look()
        desk.wait(5)
    assert desk.gate.state.eyes.baselines == {"binance": {"USDT": 10_000 * 10**12}}
    return desk


def looks(desk: Desk, count: int = 2, *, fills: tuple[SeenFill, ...] = (), **balances: Any) -> LookAnswer:
    """Let the eyes see other balances a few times, 2 s apart; execd is heard meanwhile."""
    answers = []
    for _ in range(count):
        desk.now_ns += 1_750 * MS
        desk.ping()
        answers.append(desk.look_at(desk.now_ns, fills=fills, balances=balances))
    return answers[-1]


def causes(desk: Desk) -> set[str]:
    return {hold.cause for hold in desk.gate.state.holds.holds.values()}


@pytest.mark.parametrize(
    ("asset", "amount", "found"),
    [
        ("BTC", Decimal("0.01"), set()),
        ("BTC", Decimal("0.01") + LOT, set()),
        ("BTC", Decimal("0.01") - LOT, set()),
        ("BTC", Decimal("0.01") + LOT + Decimal("1e-8"), {"PTR-03"}),
        ("BTC", Decimal("0.01") - LOT - Decimal("1e-8"), {"PTR-03"}),
        ("BTC", Decimal(0), {"PTR-03"}),
        ("USDT", Decimal("9409.4"), set()),
        ("USDT", Decimal("9409.40000001"), {"PTR-04"}),
        ("USDT", Decimal("9390.6"), set()),
        ("USDT", Decimal("9390.59999999"), {"PTR-04"}),
        ("BNB", Decimal("0.000001"), set()),
        ("BNB", Decimal("0.0000011"), {"PTR-04"}),
    ],
)
def test_a_difference_beyond_its_limit_pauses_the_venue(asset: str, amount: Decimal, found: set[str]) -> None:
    desk = settled_desk()

    looks(desk, 2, fills=(), **{asset: str(amount)})

    assert causes(desk) == found
    expected = TradingLevel.PAUSED if found else TradingLevel.RUNNING
    assert desk.gate.state.holds.level_for("binance", BTC, "s1") is expected


@pytest.mark.parametrize(("steps", "again_ms"), [(3, 0), (4, 2_000)])
def test_so_many_lots_as_the_limit_says_may_differ(steps: int, again_ms: int) -> None:
    desk = settled_desk(PTR_03=ON["PTR-03"] | {"max_steps": 3})

    assert looks(desk, 1, BTC=str(Decimal("0.01") + steps * LOT)).look_again_ms == again_ms


def test_the_evidence_names_both_sides_and_another_look_is_wanted_soon() -> None:
    desk = settled_desk()

    assert looks(desk, 1, BTC="0.02").look_again_ms == 2_000
    assert causes(desk) == set()
    looks(desk, 1, BTC="0.02")
    (hold,) = desk.gate.state.holds.holds.values()
    assert (hold.cause, hold.release.name, hold.evidence) == ("PTR-03", "ONE_KEY", "BTC: venue 0.02, ours 0.01")


def test_two_looks_within_two_seconds_are_one() -> None:
    desk = settled_desk()
    desk.ping()
    desk.look_at(desk.now_ns, balances={"BTC": "0.02"})
    desk.now_ns += 2 * SECOND - MS
    desk.look_at(desk.now_ns, balances={"BTC": "0.02"})
    assert causes(desk) == set()

    desk.now_ns += MS
    desk.look_at(desk.now_ns, balances={"BTC": "0.02"})
    assert causes(desk) == {"PTR-03"}


def test_a_difference_that_is_another_one_in_the_next_look_is_doubted_longer_but_not_for_ever() -> None:
    desk = settled_desk()
    for number in range(MAX_LOOKS - 1):
        looks(desk, 1, BTC=f"0.{2 + number}")
    assert causes(desk) == set()

    looks(desk, 1, BTC="0.9")
    assert causes(desk) == {"PTR-03"}


def test_a_clean_look_ends_the_doubt() -> None:
    desk = settled_desk()
    looks(desk, 1, BTC="0.02")
    looks(desk, 1)
    looks(desk, 1, BTC="0.02")

    assert causes(desk) == set()


def test_without_execd_no_balance_is_judged() -> None:
    desk = settled_desk()
    desk.gate.session_lost(desk.now_ns)
    for _ in range(4):
        desk.now_ns += 2 * SECOND
        desk.look_at(desk.now_ns, balances={"BTC": "0"})

    assert causes(desk) == {"NO_SESSION"}


@pytest.mark.parametrize("check_id", ["PTR-03", "PTR-04"])
def test_a_check_that_is_off_judges_nothing(check_id: str) -> None:
    off = {"status": "not_applicable", "reason": "not what this test is about"}
    desk = settled_desk(**{check_id: off})

    looks(desk, 4, BTC="0.5", USDT="1")

    assert causes(desk) == {"PTR-03", "PTR-04"} - {check_id}


# ---- what explains a difference


def seen_fill(desk: Desk, number: int = 2, qty: str = "0.01", price: str = "60000") -> SeenFill:
    return SeenFill(
        "v1", f"t{number}", BTC, Side.BUY, Decimal(qty), Decimal(price), Decimal("0.00001"), "BTC", desk.now_ns
    )


def test_a_fill_that_the_eyes_know_first_is_explained_and_stays_so_once_execd_tells() -> None:
    desk = settled_desk()
    desk.plain()
    fill = seen_fill(desk)
    looks(desk, 3, fills=(fill,), BTC="0.01999", USDT="8800")
    assert causes(desk) == set()

    desk.fill(f"c{desk.orders}", "0.01", fee="0.00001", fee_asset="BTC")
    looks(desk, 3, fills=(fill,), BTC="0.01999", USDT="8800")
    assert causes(desk) == set()


def reconciled(desk: Desk) -> None:
    """execd has read everything at the venue just now."""
    desk.venue(reconciled_time_ns=desk.now_ns)


@pytest.mark.parametrize(("seconds", "found"), [(62, set()), (64, {"PTR-03"})])
def test_a_fill_that_execd_never_tells_is_a_difference_of_its_own(seconds: int, found: set[str]) -> None:
    desk = settled_desk()
    desk.plain()
    fill = seen_fill(desk)
    looks(desk, seconds // 2 - 1, fills=(fill,), BTC="0.01999", USDT="8800")
    reconciled(desk)
    looks(desk, 1, fills=(fill,), BTC="0.01999", USDT="8800")

    assert causes(desk) == found


@pytest.mark.parametrize(("after_s", "found"), [(14, set()), (16, {"PTR-03"})])
def test_no_fill_is_late_before_execd_has_reconciled_after_it_was_seen(after_s: int, found: set[str]) -> None:
    desk = settled_desk()
    desk.plain()
    fill = seen_fill(desk)
    looks(desk, after_s // 2 + 1, fills=(fill,), BTC="0.01999", USDT="8800")
    reconciled(desk)
    looks(desk, 60, fills=(fill,), BTC="0.01999", USDT="8800")

    assert causes(desk) == found


def test_a_fill_stays_explained_and_can_be_late_when_looks_no_longer_list_it() -> None:
    desk = settled_desk()
    desk.plain()
    looks(desk, 1, fills=(seen_fill(desk),), BTC="0.01999", USDT="8800")
    looks(desk, 29, BTC="0.01999", USDT="8800")
    assert causes(desk) == set()

    reconciled(desk)
    looks(desk, 2, BTC="0.01999", USDT="8800")
    (hold,) = desk.gate.state.holds.holds.values()
    assert (hold.cause, "fill t2, BUY 0.01 at 60000" in hold.evidence) == ("PTR-03", True)


def test_an_operator_who_accepts_an_untold_fill_is_not_asked_again() -> None:
    desk = settled_desk()
    desk.plain()
    fill = seen_fill(desk)
    looks(desk, 31, fills=(fill,), BTC="0.01999", USDT="8800")
    reconciled(desk)
    looks(desk, 1, fills=(fill,), BTC="0.01999", USDT="8800")
    (hold,) = desk.gate.state.holds.holds.values()
    desk.gate.keeper.clear(hold.hold_id, "execd never told it", "ana", desk.now_ns)

    looks(desk, 20, fills=(fill,), BTC="0.01999", USDT="8800")
    looks(desk, 20, BTC="0.01999", USDT="8800")
    assert causes(desk) == set()
    assert desk.gate.state.eyes.baselines["binance"]["BTC"] == 9_990_000_000


def test_while_execd_does_not_hear_the_venue_no_fill_is_late() -> None:
    desk = settled_desk()
    desk.plain()
    desk.venue(private_stream_live=False)
    looks(desk, 40, fills=(seen_fill(desk),), BTC="0.01999", USDT="8800")

    assert causes(desk) == set()


def test_a_transfer_that_the_venue_told_is_explained() -> None:
    desk = settled_desk()
    desk.account(("USDT", "9900"), complete=False, transfer_asset="USDT", transfer_delta=Decimal(500))

    looks(desk, 4, USDT="9900")

    assert causes(desk) == set()


def test_a_look_from_before_the_latest_fill_fits_the_books_as_they_stood() -> None:
    desk = settled_desk()
    began_ns = desk.now_ns
    desk.now_ns += 500 * MS
    desk.buy("0.01")
    answer = desk.look_at(began_ns, balances={"BTC": "0.01", "USDT": "9400"})

    assert answer.look_again_ms == 0
    assert looks(desk, 1, BTC="0.01", USDT="9400").look_again_ms == 0  # clocks may differ by two seconds
    assert looks(desk, 1, BTC="0.01", USDT="9400").look_again_ms == 2_000


@pytest.mark.parametrize(("after_ns", "again_ms"), [(2 * SECOND, 0), (2 * SECOND + 1, 2_000)])
def test_a_fill_of_two_seconds_before_a_look_may_be_missing_in_it(after_ns: int, again_ms: int) -> None:
    desk = settled_desk()
    desk.buy("0.01")
    desk.now_ns += after_ns

    assert desk.look_at(desk.now_ns, balances={"BTC": "0.01", "USDT": "9400"}).look_again_ms == again_ms


@pytest.mark.parametrize(("late_ns", "again_ms"), [(0, 0), (-1, 2_000)])
def test_a_fill_counts_from_the_moment_when_this_journal_began(late_ns: int, again_ms: int) -> None:
    desk = settled_desk()
    fill = replace(seen_fill(desk), event_time_ns=desk.gate.state.eyes.first_ns + late_ns)

    assert looks(desk, 1, fills=(fill,), BTC="0.01999", USDT="8800").look_again_ms == again_ms


def test_a_fill_is_late_after_its_grace_and_a_reconciliation_that_began_after_it() -> None:
    def found(age_ns: int, told_after_ns: int) -> set[str]:
        desk = settled_desk()
        fill = seen_fill(desk)
        told = {"fills": (fill,), "balances": {"BTC": "0.01999", "USDT": "8800"}}
        desk.look_at(desk.now_ns, **told)  # type: ignore[arg-type]
        seen_ns = desk.now_ns
        desk.now_ns += told_after_ns
        reconciled(desk)
        desk.now_ns = seen_ns + age_ns
        desk.look_at(desk.now_ns, **told)  # type: ignore[arg-type]
        return causes(desk)

    assert found(60 * SECOND, 15 * SECOND) == set()
    assert found(60 * SECOND + 1, 15 * SECOND - 1) == set()
    assert found(60 * SECOND + 1, 15 * SECOND) == {"PTR-03"}


def test_the_coarsest_market_of_an_asset_says_how_far_off_it_may_be() -> None:
    markets = (
        make_instrument(BTC, tick="0.01"), make_instrument("binance:BTC-EUR", lot="0.001"),
        make_instrument(ETH, tick="0.5"),
    )  # fmt: skip
    exact = {"status": "enforced", "max_drift_pct": "0.0001"}
    desk = Desk(limits=make_test_limits(ON | {"PTR-04": exact}), instruments=markets)
    desk.ping()
    desk.wait(10)
    for _ in range(2):
        desk.look()
        desk.wait(5)
    assert desk.gate.state.eyes.baselines

    assert looks(desk, 1, BTC="0.001", USDT="10000.5").look_again_ms == 0
    assert looks(desk, 1, BTC="0.0010001", USDT="10000.5").look_again_ms == 2_000
    assert looks(desk, 1, BTC="0.001", USDT="10000.5001").look_again_ms == 2_000


def test_amounts_that_differ_by_a_millionth_are_the_same() -> None:
    assert _common([0], [SAME, SAME + 1]) == [SAME]
    assert _common([0, 5 * SAME], [4 * SAME, -SAME]) == [4 * SAME, -SAME]


def test_a_derivative_position_is_compared_as_such() -> None:
    swap = make_perpetual()
    name = swap.instrument_id
    desk = Desk(limits=make_test_limits(ON), instruments=(swap,), connect=False)
    desk.hello()
    desk.account()
    desk.venue()
    terms = make_terms("f1", instrument_id=name, qty="1", price="60000")
    execution = Execution(
        "x1", "f1", name, Side.BUY, Decimal(1), Decimal(60000), Decimal(0), "USDT", Liquidity.TAKER, desk.now_ns
    )
    facts = OrderFacts(terms, "s1", "i1", 0, OrderRole.ENTRY, 0)
    desk.event("f1", OrderEventKind.FILL_COMPLETE, execution=execution, facts=facts)
    desk.now_ns += 10 * SECOND

    def see(qty: str) -> set[str]:
        for _ in range(2):
            desk.now_ns += 2 * SECOND
            desk.ping()
            desk.look_at(desk.now_ns, positions={name: qty})
        return {cause for cause in causes(desk) if cause.startswith("PTR-")}

    assert see("1") == set()
    assert desk.gate.state.eyes.baselines["binance"] == {"USDT": 10_000 * 10**12}
    assert see("1") == set()
    assert see(str(1 + 2 * swap.lot_size)) == {"PTR-03"}


# ---- baselines


def test_a_first_look_and_a_watch_that_is_off_want_no_other_one() -> None:
    desk = Desk(limits=make_test_limits(ON))
    desk.ping()
    assert desk.look().look_again_ms == 0
    off = {"status": "not_applicable", "reason": "not what this test is about"}
    blind = Desk(limits=make_test_limits(ON | {"PTR-03": off, "PTR-04": off}))

    assert looks(blind, 3, BTC="5").look_again_ms == 0
    assert causes(blind) == set()


def test_there_is_no_baseline_while_a_fill_leaves_two_amounts_possible() -> None:
    desk = Desk(limits=make_test_limits(ON))
    desk.buy("0.01")
    held = {"ETH": "1"}  # certain all the time
    desk.ping()
    desk.look_at(desk.now_ns, balances=held)
    desk.now_ns += SECOND
    desk.look_at(desk.now_ns, balances=held)
    assert not desk.gate.state.eyes.baselines
    desk.now_ns += 2 * SECOND
    desk.look_at(desk.now_ns, balances=held)

    assert desk.gate.state.eyes.baselines == {"binance": {"USDT": 10_000 * 10**12, "ETH": 10**12}}


@pytest.mark.parametrize(("apart", "settles"), [("0.000001", True), ("0.0000011", False)])
def test_two_possible_amounts_a_millionth_apart_are_one_baseline(apart: str, settles: bool) -> None:
    desk = Desk(limits=make_test_limits(ON))
    desk.ping()
    told = 10_000 + Decimal(apart)
    desk.account(("USDT", str(told)), complete=False, transfer_asset="USDT", transfer_delta=Decimal(apart))
    for _ in range(2):
        desk.look_at(desk.now_ns)
        desk.now_ns += 500 * MS

    assert bool(desk.gate.state.eyes.baselines) == settles


def test_what_was_there_at_first_sight_is_the_baseline_and_survives_a_restart() -> None:
    desk = settled_desk()
    replayed = desk.replayed()

    assert replayed.state.eyes.baselines == {"binance": {"USDT": 10_000 * 10**12}}
    assert replayed.state.digest() == desk.gate.state.digest()


def test_a_restart_keeps_hold_and_baseline() -> None:
    desk = settled_desk()
    looks(desk, BTC="0.02")
    records = list(desk.sink.records)
    desk.gate = desk.new_gate(desk.sink)
    desk.gate.restore(records)
    desk.gate.start("life2", desk.now_ns)
    desk.hello()
    desk.venue()

    looks(desk, 3, BTC="0.02")
    assert causes(desk) == {"PTR-03"}
    assert desk.gate.state.eyes.baselines["binance"] == {"USDT": 10_000 * 10**12}


def test_an_operator_who_clears_it_accepts_what_the_venue_holds() -> None:
    desk = settled_desk()
    looks(desk, BTC="0.02")
    (hold,) = desk.gate.state.holds.holds.values()

    cleared = desk.gate.clear_hold(
        hold.hold_id, reason="bought by hand", operator="ana", role="trader", command_id="k1", typed_phrase="",
        now_ns=desk.now_ns,
    )  # fmt: skip
    assert cleared.cleared
    looks(desk, 6, BTC="0.02")

    assert causes(desk) == set()
    assert desk.gate.state.eyes.baselines["binance"] == {"USDT": 10_000 * 10**12, "BTC": 10**10}
    looks(desk, 2, BTC="0.01")
    assert causes(desk) == {"PTR-03"}


# ---- trading at full speed


class TrueVenue:
    """A venue's account, and execd's reports that come late and in order."""

    def __init__(self, desk: Desk, rng: random.Random) -> None:
        self.desk, self.rng = desk, rng
        self.amounts = {"USDT": Decimal(9400), "BTC": Decimal("0.01")}
        self.told: list[tuple[int, SeenFill]] = []
        """(when riskd hears of it, fill)."""
        self.fills: list[SeenFill] = []

    def trade(self, at_ns: int) -> None:
        side = self.rng.choice([Side.BUY, Side.SELL])
        qty, price = LOT * self.rng.randint(1, 300), Decimal(self.rng.randint(5_990_000, 6_010_000)) / 100
        if self.amounts["BTC"] < qty:
            side = Side.BUY
        fee = qty / 1000
        self.amounts["BTC"] += side.sign * qty - fee
        self.amounts["USDT"] -= side.sign * qty * price
        fill = SeenFill("v", f"x{len(self.fills)}", BTC, side, qty, price, fee, "BTC", at_ns)
        self.fills.append(fill)
        last = self.told[-1][0] if self.told else 0
        self.told.append((max(last, at_ns + self.rng.randint(1, 900) * MS), fill))

    def tell(self) -> None:
        """Let riskd hear what has reached it by now."""
        while self.told and self.told[0][0] <= self.desk.now_ns:
            _, fill = self.told.pop(0)
            desk = self.desk
            desk.orders += 1
            terms = make_terms(f"f{desk.orders}", side=fill.side, qty=str(fill.qty), price=str(fill.price))
            execution = Execution(
                fill.exec_id, terms.client_order_id, BTC, fill.side, fill.qty, fill.price, fill.fee, fill.fee_asset,
                Liquidity.TAKER, fill.event_time_ns,
            )  # fmt: skip
            facts = OrderFacts(terms, "s1", "i1", 0, OrderRole.ENTRY, 0)
            desk.event(terms.client_order_id, OrderEventKind.FILL_COMPLETE, execution=execution, facts=facts)


@pytest.mark.parametrize("seed", range(4))
def test_no_false_alarm_while_fills_race_the_looks_and_a_theft_in_between_is_found(seed: int) -> None:
    rng = random.Random(seed)
    desk = settled_desk()
    venue = TrueVenue(desk, rng)
    stolen_at = None

    for turn in range(120):
        began_ns = desk.now_ns
        for _ in range(rng.randint(0, 12)):  # up to six fills a second
            desk.now_ns += rng.randint(1, 300) * MS
            venue.trade(desk.now_ns)
            venue.tell()
        if turn == 80:
            assert causes(desk) == set()
            venue.amounts["BTC"] -= Decimal("0.0005")
            stolen_at = turn
        began_ns = desk.now_ns
        fills = tuple(fill for fill in venue.fills if fill.event_time_ns > began_ns - 30 * SECOND)
        desk.now_ns += rng.randint(0, 100) * MS  # the account is read last, and more trades come before riskd hears it
        amounts = {asset: str(amount) for asset, amount in venue.amounts.items()}
        for _ in range(rng.randint(0, 2)):
            desk.now_ns += rng.randint(1, 50) * MS
            venue.trade(desk.now_ns)
            venue.tell()
        desk.ping()
        desk.look_at(began_ns, fills=fills, balances=amounts)
        if "PTR-03" in causes(desk):
            break
        desk.now_ns = max(desk.now_ns, began_ns + 2 * SECOND)

    assert stolen_at is not None
    assert causes(desk) == {"PTR-03"}
    assert turn - stolen_at <= MAX_LOOKS
