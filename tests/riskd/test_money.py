"""Money as a whole: any product, fees in any asset, funding, transfers, snapshots, against exact fractions."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from riskd import reports
from riskd.accountant import EQUITY_AGE_NS
from riskd.messages_service import pnl_message, position_message
from riskd.pnl import sums
from riskd.portfolio import UNATTRIBUTED, Portfolio
from riskd.rules import InstrumentRule, make_rule
from riskd.units import split
from tests.riskd.kit import BTC, ETH, SECOND, START_NS, Desk, make_test_limits
from tests.support.builders import make_instrument, make_perpetual
from tests.support.slow_pnl import SlowPosition
from tradebot.core.accounts import (
    AccountSnapshot,
    Balance,
    LedgerEntry,
    LedgerKind,
    MarginState,
    PositionMargin,
)
from tradebot.core.approvals import SessionUp
from tradebot.core.instruments import Instrument
from tradebot.core.market import RowKind
from tradebot.core.order_events import OrderFacts
from tradebot.core.orders import Execution, Liquidity, OrderEventKind, OrderRole, OrderTerms, OrderType, Side
from tradebot.wire.risk import up_from_wire, up_to_wire

SWAP = "binance:BTC-USDT-SWAP"
COIN = "binance:BTC-USD-SWAP"
UNIT = 10**12
LIMITS = make_test_limits()
PRODUCTS = {
    "spot": make_instrument(BTC),
    "linear": make_perpetual(SWAP, multiplier="0.01"),
    "inverse": make_perpetual(COIN, inverse=True, multiplier="100", lot="1"),
}
THIRD_RATE = Decimal("0.37")
"""Settlement asset per unit of the third asset in these tests."""


def rule_of(instrument: Instrument) -> InstrumentRule:
    return make_rule(instrument, LIMITS)


def balances(*amounts: tuple[str, str]) -> tuple[Balance, ...]:
    return tuple(Balance(asset, Decimal(amount), Decimal(0)) for asset, amount in amounts)


def exact(units: int) -> Fraction:
    return Fraction(units, UNIT)


fill_rows = st.lists(
    st.tuples(
        st.sampled_from(["s1", "s2"]),
        st.sampled_from([Side.BUY, Side.SELL]),
        st.integers(1, 5_000),  # lots
        st.integers(100_000, 900_000),  # ticks of 0.1
        st.sampled_from(["settle", "third", "base"]),
        st.integers(-2_000, 10_000),  # fee in 1e-6 of the notional: rebates too
        st.integers(-300, 300),  # funding paid after it, 0.001 of the settlement asset
    ),
    min_size=1,
    max_size=40,
)


lives = given(st.sampled_from(sorted(PRODUCTS)), fill_rows, st.integers(0, 40), st.integers(100_000, 900_000))


@pytest.mark.slow
@settings(max_examples=5_000, deadline=None)
@lives
def test_thousands_of_sequences_agree_with_the_slow_calculator(
    kind: str, rows: list[tuple[str, Side, int, int, str, int, int]], snapshot_at: int, mark_ticks: int
) -> None:
    live(kind, rows, snapshot_at, mark_ticks)


@settings(max_examples=60, deadline=None)
@lives
def test_any_sequence_of_fills_fees_and_funding_agrees_with_the_slow_calculator_to_the_last_cent(
    kind: str, rows: list[tuple[str, Side, int, int, str, int, int]], snapshot_at: int, mark_ticks: int
) -> None:
    live(kind, rows, snapshot_at, mark_ticks)


def live(kind: str, rows: list[tuple[str, Side, int, int, str, int, int]], snapshot_at: int, mark_ticks: int) -> None:
    """Book a life twice: in the portfolio and in the slow calculator; compare everything at its end."""
    instrument = PRODUCTS[kind]
    rule, portfolio = rule_of(instrument), Portfolio()
    assets = {"settle": instrument.settle, "base": instrument.base, "quote": instrument.quote, "third": "BNB"}
    slow = {s: SlowPosition(kind, Fraction(instrument.contract_multiplier)) for s in ("s1", "s2")}
    slow_money: dict[str, Fraction] = dict.fromkeys(assets.values(), Fraction(0))
    empty = AccountSnapshot("binance", "main", (), True, 0, 0)
    portfolio.take_snapshot(empty)
    for number, (owner, side, lots, ticks, fee_in, fee_ppm, funding) in enumerate(rows, 1):
        qty, price = instrument.qty(lots), instrument.tick_size * ticks
        fee_in = "settle" if fee_in == "base" and kind != "spot" else fee_in
        worth = abs(Fraction(rule.contract.flow(int(qty * UNIT), int(price * UNIT)), UNIT))
        base_fee = Fraction(qty) * fee_ppm / 10**6 if fee_in == "base" else worth * fee_ppm / 10**6
        fee = Decimal(int(base_fee * 10**8)).scaleb(-8)
        third = Fraction(THIRD_RATE) if fee_in == "third" else Fraction(0)
        before = {name: dict(one.money) for name, one in slow.items()}
        slow[owner].fill(side.sign, Fraction(qty), Fraction(price), Fraction(fee), fee_in, third)
        for role, amount in slow[owner].money.items():
            slow_money[assets[role]] += amount - before[owner].get(role, Fraction(0))
        portfolio.book(
            Execution(f"t{number}", "c", instrument.instrument_id, side, qty, price, fee, assets[fee_in],
                      Liquidity.MAKER if number % 2 else Liquidity.TAKER, number),
            rule, owner, OrderRole.ENTRY, number, fee * THIRD_RATE if fee_in == "third" else None, number,
        )  # fmt: skip
        net = sum(one.held for one in slow.values())
        if kind != "spot" and funding and net:
            paid = Decimal(funding).scaleb(-3)
            entry = LedgerEntry(
                "binance", "main", f"f{number}", LedgerKind.FUNDING, instrument.settle, paid, number,
                instrument.instrument_id,
            )  # fmt: skip
            for _ in range(2):  # the venue repeats itself
                portfolio.take_entry(entry, 0, {instrument.instrument_id: rule})
            slow_money[instrument.settle] += Fraction(paid)
            for one in slow.values():
                one.funding += Fraction(paid) * one.held / net
        if number == snapshot_at:  # the venue tells what it has: the same money, so nothing may jump
            told = tuple((asset, str(Decimal(portfolio.balances.get(("binance", asset), 0)).scaleb(-12)))
                         for asset in slow_money)  # fmt: skip
            portfolio.take_snapshot(AccountSnapshot("binance", "main", balances(*told), True, number, number))

    cent = Fraction(1, 10**6)  # a ten thousandth of one
    for owner, one in slow.items():
        held = portfolio.positions.get((instrument.instrument_id, owner))
        if held is None:
            assert not one.lots
            continue
        assert exact(held.units) == one.held
        assert abs(exact(held.inventory.realized) - one.realized) < cent
        assert abs(exact(held.maker_fee_units + held.taker_fee_units) - one.fees) < cent
        assert abs(exact(held.funding) - one.funding) < cent
        assert abs(exact(held.inventory.unrealized(rule.contract, mark_ticks * UNIT // 10))
                   - one.open_result(Fraction(mark_ticks, 10))) < cent  # fmt: skip
        # Derived from the flow, and shown only: of an inverse position it has as many digits as its coin amount has.
        assert abs(Fraction(held.position.avg_price) - one.average()) <= cent + one.average() / 10**7
    for asset, amount in slow_money.items():
        assert abs(exact(portfolio.balances.get(("binance", asset), 0)) - amount) < cent
    assert portfolio.net[instrument.instrument_id] == sum(p.units for p in portfolio.positions.values())


def test_a_closing_order_of_somebody_without_a_position_closes_those_of_others_by_name_to_the_last_unit() -> None:
    desk = swap_desk()
    for number, (qty, strategy) in enumerate((("1", "s2"), ("2", "s1")), 1):
        trade(desk, number, qty, "60000", strategy=strategy)
    exit_facts = replace(facts(3, Side.SELL, SWAP, "manual:ana"), role=OrderRole.EXIT)
    desk.fill("x3", "2.5", "60001.3", side=Side.SELL, complete=False, instrument_id=SWAP, facts=exit_facts,
              fee="0.000000000001")  # fmt: skip
    portfolio = desk.gate.state.portfolio
    one, two = portfolio.positions[SWAP, "s1"], portfolio.positions[SWAP, "s2"]

    assert (one.units, two.units, (SWAP, "manual:ana") in portfolio.positions) == (0, 5 * 10**11, False)
    assert one.inventory.realized + two.inventory.realized == 325 * UNIT // 100
    assert one.taker_fee_units + two.taker_fee_units == 1
    assert portfolio.balances["binance", "USDT"] == 10_000 * UNIT + 325 * UNIT // 100 - 1


def test_a_shared_fill_shares_its_fee_by_quantity_in_whatever_asset_it_was_paid() -> None:
    for fee, asset, first, second in (("0.25", "USDT", 20, 5), ("0.000005", "BTC", 24, 6)):
        desk = swap_desk()
        for number, (qty, strategy) in enumerate((("1", "s2"), ("2", "s1")), 1):
            trade(desk, number, qty, "60000", strategy=strategy, side=Side.SELL, instrument_id=BTC)
        exit_facts = replace(facts(3, Side.BUY, BTC, "manual:ana"), role=OrderRole.EXIT)
        desk.fill("x3", "2.5", "60000", complete=False, facts=exit_facts, fee=fee, fee_asset=asset)
        one, two = (desk.gate.state.portfolio.positions[BTC, name] for name in ("s1", "s2"))

        assert (one.taker_fee_units, two.taker_fee_units) == (first * UNIT // 100, second * UNIT // 100)
        base = int(Decimal(fee) * UNIT) if asset == "BTC" else 0
        assert (one.units, two.units) == (-base * 4 // 5, -UNIT // 2 - base // 5)


@pytest.mark.parametrize("side", [Side.BUY, Side.SELL])
def test_a_round_trip_may_have_many_fills_and_ends_only_flat(side: Side) -> None:
    desk = swap_desk()
    seen = []
    for number, (qty, to, price) in enumerate(
        (("1", side, "60000"), ("2", side, "60000"), ("1", side.opposite, "60000"), ("2", side.opposite, "60300")), 1
    ):
        trade(desk, number, qty, price, side=to, fee="1")
        seen.append(desk.gate.state.portfolio.trip_stats("s1", 9).trips)
    stats = desk.gate.state.portfolio.trip_stats("s1", 9)

    assert seen == [0, 0, 0, 1]
    assert stats.net_ppm == (600 * side.sign - 4) * 10**6 // 180_000  # of everything that was entered


def test_a_shared_fill_leaves_positions_of_its_own_side_alone() -> None:
    desk = swap_desk()
    trade(desk, 1, "1", "60000", side=Side.SELL, strategy="s0")
    trade(desk, 2, "1", "60000", strategy="s1")
    exit_facts = replace(facts(3, Side.SELL, SWAP, "manual:ana"), role=OrderRole.EXIT)
    desk.fill("x3", "1.5", "60000", side=Side.SELL, complete=False, instrument_id=SWAP, facts=exit_facts)
    positions = desk.gate.state.portfolio.positions

    assert [positions[SWAP, name].units for name in ("s0", "s1", "manual:ana")] == [-UNIT, 0, -UNIT // 2]


def test_a_loss_in_coin_is_converted_at_what_the_coin_costs() -> None:
    desk = swap_desk(make_perpetual(COIN, inverse=True, multiplier="100", lot="1"))
    desk.quote(BTC, "50000", "60000")
    desk.quote(COIN, "50000", "50000.1")
    trade(desk, 1, "60", "60000", instrument_id=COIN, fee="0.0001", fee_asset="BTC")
    trade(desk, 2, "60", "50000", side=Side.SELL, instrument_id=COIN)
    pnl = reports.pnl(desk.gate, desk.now_ns)

    assert pnl.realized_pnl == Decimal("-0.02") * 60_000
    assert pnl.taker_fees == Decimal("0.0001") * 60_000


def test_a_coin_without_a_rate_leaves_equity_unknown() -> None:
    desk = Desk(
        instruments=(make_instrument(ETH), make_perpetual(COIN, inverse=True, multiplier="100", lot="1")), connect=False
    )
    desk.hello()
    desk.quote(COIN, "50000", "50000.1")
    desk.account()
    trade(desk, 1, "60", "60000", instrument_id=COIN)
    equity = desk.gate.equity(desk.now_ns)

    assert (equity.complete, equity.stale_inputs) == (False, 1)


@pytest.mark.parametrize("side", [Side.BUY, Side.SELL])
def test_a_position_is_as_old_as_its_first_fill_and_a_flip_is_a_new_one(side: Side) -> None:
    desk, opened = swap_desk(), []
    for number, (qty, to) in enumerate((("1", side), ("3", side), ("2", side.opposite), ("3", side.opposite)), 1):
        desk.now_ns += SECOND
        trade(desk, number, qty, "60000", side=to)
        opened.append((desk.gate.state.portfolio.positions[SWAP, "s1"].opened_ns - START_NS) // SECOND)

    assert opened == [1, 1, 1, 4]


@pytest.mark.parametrize(("seconds", "stale"), [(5, 0), (6, 1)])
def test_a_balance_is_stale_when_its_mark_is_older_than_five_seconds(seconds: int, stale: int) -> None:
    desk = Desk()
    desk.account(("USDT", "100"), ("BTC", "1"))

    assert desk.gate.equity(desk.gate.board.views[BTC].good_ns + seconds * SECOND).stale_inputs == stale


def test_a_shared_fill_looks_at_its_own_instrument_only() -> None:
    desk = swap_desk()
    trade(desk, 1, "1", "3000", instrument_id=ETH, strategy="s1")
    trade(desk, 2, "1", "60000", strategy="s2")
    exit_facts = replace(facts(3, Side.SELL, SWAP, "manual:ana"), role=OrderRole.EXIT)
    desk.fill("x3", "1", "60000", side=Side.SELL, complete=False, instrument_id=SWAP, facts=exit_facts)
    desk.say(ledger=[entry(desk, "-12", instrument_id=SWAP)])
    positions = desk.gate.state.portfolio.positions

    assert {key: held.units for key, held in positions.items() if held.units} == {(ETH, "s1"): UNIT}
    assert positions[SWAP, UNATTRIBUTED].funding == -12 * UNIT


def test_a_perpetual_without_a_mark_leaves_equity_unknown() -> None:
    desk = Desk(instruments=(make_instrument(BTC), make_instrument(ETH), make_perpetual(SWAP)))
    trade(desk, 1, "0.1", "60000")
    equity = desk.gate.equity(desk.now_ns)

    assert (equity.complete, equity.stale_inputs) == (False, 1)


def test_a_perpetual_with_an_old_mark_makes_equity_an_estimate() -> None:
    desk = swap_desk()
    trade(desk, 1, "0.1", "60000")
    seen = []
    for seconds in (5, 6):
        equity = desk.gate.equity(desk.gate.board.views[SWAP].good_ns + seconds * SECOND)
        seen.append((equity.complete, equity.stale_inputs))

    assert seen == [(True, 0), (True, 1)]


# ---- funding


def facts(number: int, side: Side, instrument_id: str, strategy: str = "s1") -> OrderFacts:
    terms = OrderTerms(f"x{number}", instrument_id, side, OrderType.LIMIT, Decimal(10_000), Decimal(60000))
    return OrderFacts(terms, strategy, f"i{number}", 0, OrderRole.ENTRY, 0)


def swap_desk(*more: Instrument) -> Desk:
    desk = Desk(instruments=(make_instrument(BTC), make_instrument(ETH), make_perpetual(SWAP), *more))
    desk.quote(SWAP, "59999.9", "60000.1")
    return desk


def trade(desk: Desk, number: int, qty: str, price: str, *, side: Side = Side.BUY, strategy: str = "s1",
          instrument_id: str = SWAP, **more: str) -> None:  # fmt: skip
    desk.fill(
        f"x{number}", qty, price, side=side, complete=False, instrument_id=instrument_id,
        facts=facts(number, side, instrument_id, strategy), **more,  # type: ignore[arg-type]
    )  # fmt: skip


def entry(desk: Desk, amount: str, kind: LedgerKind = LedgerKind.FUNDING, *, asset: str = "USDT", name: str = "e1",
          instrument_id: str = "", at_ns: int = 0) -> LedgerEntry:  # fmt: skip
    return LedgerEntry("binance", "main", name, kind, asset, Decimal(amount), at_ns or desk.now_ns + 1, instrument_id)


def test_what_the_ledger_moved_counts_at_once_whatever_order_event_came_with_it() -> None:
    desk = Desk()
    assert desk.gate.equity(desk.now_ns).value == 10_000 * UNIT
    desk.plain(qty="0.001")
    asked = desk.make_event("c1", OrderEventKind.ASKED)
    desk.say(ledger=[entry(desk, "-500")], order_events=[asked])

    assert desk.gate.accountant.equity(desk.now_ns).value == 9_500 * UNIT


def test_a_fill_counts_at_once_whatever_event_came_before_it_in_the_same_message() -> None:
    desk = Desk()
    desk.plain(qty="0.001")
    execution = Execution(
        "t1", "c1", BTC, Side.BUY, Decimal("0.001"), Decimal(60000), Decimal(50), "USDT", Liquidity.TAKER, desk.now_ns
    )
    events = [
        desk.make_event("c1", OrderEventKind.SENT),
        desk.make_event("c1", OrderEventKind.FILL_COMPLETE, execution=execution),
    ]
    desk.say(order_events=events)

    assert desk.gate.accountant.equity(desk.now_ns).value == 10_000 * UNIT - 50 * UNIT - UNIT // 10**5


def test_funding_is_paid_by_the_net_position_and_shared_by_signed_quantity() -> None:
    desk = swap_desk()
    trade(desk, 1, "3", "60000")
    trade(desk, 2, "1", "60000", side=Side.SELL, strategy="s2")
    desk.say(ledger=[entry(desk, "-12", instrument_id=SWAP)])
    positions = desk.gate.state.portfolio.positions

    assert (positions[SWAP, "s1"].funding, positions[SWAP, "s2"].funding) == (-18 * UNIT, 6 * UNIT)
    assert desk.gate.state.portfolio.balances["binance", "USDT"] == (10_000 - 12) * UNIT


def test_funding_of_a_position_that_is_gone_belongs_to_nobody_but_is_not_lost() -> None:
    desk = swap_desk()
    desk.say(ledger=[entry(desk, "-0.7", instrument_id=SWAP)])

    assert desk.gate.state.portfolio.positions[SWAP, UNATTRIBUTED].funding == -7 * UNIT // 10
    assert sums(desk.gate.state.portfolio, desk.gate.state.rules, desk.gate.board).total.net == -7 * UNIT // 10


def test_a_ledger_line_is_counted_once_however_often_it_comes() -> None:
    desk = swap_desk()
    trade(desk, 1, "1", "60000")
    line = entry(desk, "-5", instrument_id=SWAP)
    desk.say(ledger=[line, line])
    desk.say(ledger=[line])

    assert desk.gate.state.portfolio.positions[SWAP, "s1"].funding == -5 * UNIT


@pytest.mark.parametrize(("offset", "total"), [(-1, 9_995), (0, 9_995), (1, 9_990)])
def test_a_line_that_the_snapshot_contains_moves_no_balance_again(offset: int, total: int) -> None:
    desk = swap_desk()
    desk.account(("USDT", "9995"))
    desk.say(ledger=[entry(desk, "-5", at_ns=desk.now_ns + offset)])

    assert desk.gate.state.portfolio.balances["binance", "USDT"] == total * UNIT


@pytest.mark.parametrize(("offset", "total"), [(-1, 9_990), (0, 9_995), (1, 9_995)])
def test_a_snapshot_keeps_the_lines_that_are_younger_than_it(offset: int, total: int) -> None:
    desk = swap_desk()
    line = entry(desk, "-5")
    desk.say(ledger=[line])
    told = desk.make_account(("USDT", "9995"))
    desk.say(accounts=[replace(told, event_time_ns=line.event_time_ns + offset)])

    assert desk.gate.state.portfolio.balances["binance", "USDT"] == total * UNIT


# ---- transfers


@pytest.mark.parametrize("kind", [LedgerKind.DEPOSIT, LedgerKind.WITHDRAWAL, LedgerKind.TRANSFER])
@pytest.mark.parametrize("amount", ["500", "-500"])
def test_a_transfer_moves_equity_start_and_peak_and_is_no_profit(kind: LedgerKind, amount: str) -> None:
    desk = Desk()
    desk.wait(1)
    desk.say(ledger=[entry(desk, amount, kind)])
    pnl, portfolio = reports.pnl(desk.gate, desk.now_ns), desk.gate.state.portfolio

    assert pnl.equity == 10_000 + int(amount)
    assert pnl.day_pnl == 0
    assert pnl.drawdown_pct == 0
    assert portfolio.day_start == portfolio.peak == (10_000 + int(amount)) * UNIT


def test_a_deposit_of_another_asset_is_worth_its_bid() -> None:
    desk = Desk()
    desk.wait(1)
    desk.quote(BTC, "59000", "61000")
    desk.say(ledger=[entry(desk, "0.1", LedgerKind.DEPOSIT, asset="BTC")])
    pnl = reports.pnl(desk.gate, desk.now_ns)

    assert (pnl.equity, pnl.day_pnl) == (Decimal(15_900), Decimal(0))


@pytest.mark.parametrize("kind", [LedgerKind.INTEREST, LedgerKind.REBATE, LedgerKind.CHARGE, LedgerKind.ADJUSTMENT])
def test_every_other_line_is_profit_or_loss_of_the_day(kind: LedgerKind) -> None:
    desk = Desk()
    desk.wait(1)
    desk.say(ledger=[entry(desk, "-3.5", kind)])

    assert reports.pnl(desk.gate, desk.now_ns).day_pnl == Decimal("-3.5")
    assert desk.gate.state.portfolio.income["USDT", kind] == -35 * UNIT // 10


# ---- perpetuals


def test_a_linear_perpetual_moves_no_base_and_pays_its_result_into_the_wallet() -> None:
    desk = swap_desk()
    trade(desk, 1, "0.1", "60000", fee="3")
    wallet = desk.gate.state.portfolio.balances
    assert wallet == {("binance", "USDT"): (10_000 - 3) * UNIT}

    trade(desk, 2, "0.1", "61000", side=Side.SELL, fee="3.05")

    assert wallet == {("binance", "USDT"): (10_000 - 3) * UNIT + 100 * UNIT - 305 * UNIT // 100}
    assert desk.gate.state.portfolio.positions[SWAP, "s1"].net == 100 * UNIT - 605 * UNIT // 100


def test_the_equity_of_a_report_is_taken_at_the_marks_of_its_positions() -> None:
    desk = swap_desk()
    trade(desk, 1, "0.1", "60000")
    for bid in ("60100", "60200", "59900"):  # all within one nanosecond
        desk.quote(SWAP, bid, "60300")
        report = reports.pnl(desk.gate, desk.now_ns)
        assert report.equity == 10_000 + report.unrealized_pnl
        assert report.unrealized_pnl == (Decimal(bid) - 60_000) / 10


def test_an_open_perpetual_counts_in_equity_at_the_worse_of_book_and_venue_mark() -> None:
    desk = swap_desk()
    trade(desk, 1, "0.1", "60000")
    view = desk.gate.board.views[SWAP]
    assert desk.gate.equity(desk.now_ns).value == 10_000 * UNIT - UNIT // 100  # the bid is 0.1 below

    for mark, worth in ((59_000, -100), (61_000, None)):
        view.mark_price = mark * UNIT
        expected = 10_000 * UNIT + worth * UNIT if worth is not None else 10_000 * UNIT - UNIT // 100
        assert desk.gate.equity(desk.now_ns).value == expected


@pytest.mark.parametrize(("age_ns", "noticed"), [(EQUITY_AGE_NS - 1, False), (EQUITY_AGE_NS, True)])
def test_equity_is_counted_anew_at_its_age(age_ns: int, noticed: bool) -> None:
    desk = Desk()
    before = desk.gate.accountant.equity(desk.now_ns).value
    desk.gate.state.portfolio.balances["binance", "USDT"] += UNIT  # behind its back

    assert desk.gate.accountant.equity(desk.now_ns + age_ns).value - before == (UNIT if noticed else 0)


@pytest.mark.parametrize(("after_ns", "worth"), [(5 * SECOND, -100 * UNIT), (5 * SECOND + 1, -UNIT // 100)])
def test_no_equity_outlives_the_mark_price_that_it_stands_on(after_ns: int, worth: int) -> None:
    """The last equity was counted a moment before: nothing but time has changed since."""
    desk = swap_desk()
    trade(desk, 1, "0.1", "60000")
    desk.tell(SWAP, (RowKind.MARK_PRICE, "59000"))
    told_ns, accountant = desk.now_ns, desk.gate.accountant
    kept = accountant.equity(told_ns + 5 * SECOND - 1)
    found = accountant.equity(told_ns + after_ns)

    assert kept.value == 10_000 * UNIT - 100 * UNIT
    assert found.value == 10_000 * UNIT + worth


def test_the_margin_of_an_ask_stands_on_no_mark_price_that_is_too_old() -> None:
    desk = swap_desk()
    desk.say(position_margins=[PositionMargin(SWAP, Decimal(5), None, Decimal(0), False, 1)])
    trade(desk, 1, "0.1", "60000")
    desk.tell(SWAP, (RowKind.MARK_PRICE, "59000"))
    told_ns, limits = desk.now_ns, []
    for after_ns in (5 * SECOND, 5 * SECOND + 1):
        desk.now_ns = told_ns + after_ns
        decision = desk.gate.check_intent(desk.intent(instrument_id=SWAP, limit_price="60000"), desk.now_ns)
        limits += [check.limit for check in decision.checks if check.check_id == "POS-01"]

    assert limits == ["9900", "9999.99"]


def test_the_open_result_of_an_account_is_of_its_venue_and_its_asset_only() -> None:
    desk = swap_desk(PRODUCTS["inverse"])
    desk.quote(COIN, "59999.9", "60000.1")
    trade(desk, 1, "0.1", "60000")
    trade(desk, 2, "10", "60000", instrument_id=COIN)
    state, board = desk.gate.state, desk.gate.board

    def opened(venue: str, asset: str) -> int | None:
        return state.portfolio.open_result(venue, asset, state.rules, board)

    assert opened("binance", "USDT") == -UNIT // 100  # the bid is 0.1 below
    assert opened("okx", "USDT") == opened("binance", "EUR") == 0
    trade(desk, 3, "0.1", "60000", side=Side.SELL)
    board.views[SWAP].good_ns = board.views[SWAP].good_bid = 0
    assert opened("binance", "USDT") == 0


def test_an_inverse_result_is_paid_in_coin_and_converted_where_money_is_counted() -> None:
    desk = swap_desk(make_perpetual(COIN, inverse=True, multiplier="100", lot="1"))
    desk.quote(COIN, "59999.9", "60000.1")
    desk.account(("USDT", "1000"), ("BTC", "0.1"))
    trade(desk, 1, "60", "50000", instrument_id=COIN)
    trade(desk, 2, "60", "60000", side=Side.SELL, instrument_id=COIN)
    held = desk.gate.state.portfolio.positions[COIN, "s1"]

    assert held.inventory.realized == 2 * UNIT // 100  # 6,000 x (1/50,000 - 1/60,000)
    assert desk.gate.state.portfolio.balances["binance", "BTC"] == 12 * UNIT // 100
    pnl = reports.pnl(desk.gate, desk.now_ns)
    assert pnl.realized_pnl == Decimal("0.02") * Decimal("59999.99")
    assert pnl.equity == 1000 + Decimal("0.12") * Decimal("59999.99")


def test_margin_figures_come_from_the_venue_and_show_use_and_ratio() -> None:
    desk = swap_desk()
    trade(desk, 1, "0.1", "60000")
    desk.say(
        margins=[MarginState("binance", "main", "USDT", Decimal(1000), Decimal(600), Decimal(30), desk.now_ns)],
        position_margins=[PositionMargin(SWAP, Decimal(10), Decimal("54271.1"), Decimal(30), True, desk.now_ns)],
    )
    pnl, (position,) = reports.pnl(desk.gate, desk.now_ns), reports.positions(desk.gate, desk.now_ns)

    assert (pnl.margin_used_pct, pnl.margin_ratio_pct) == (60.0, 3.0)
    assert pnl.leverage == pytest.approx(0.6, abs=0.01)
    sent = pnl_message(pnl, "USDT", 1)
    assert (sent.margin_used_pct, sent.margin_ratio_pct, len(sent.pairs)) == (60.0, 3.0, 1)
    assert not pnl_message(reports.pnl(Desk().gate, desk.now_ns), "USDT", 1).HasField("margin_ratio_pct")
    told = position_message(position)
    assert (told.leverage, told.liquidation_price, told.settle_asset) == ("10", "54271.1", "USDT")
    assert (position.leverage, position.liquidation_price) == (Decimal(10), Decimal("54271.1"))
    assert position.notional == Decimal("5999.99")


# ---- fees in third assets, conversion


def test_a_third_asset_fee_is_converted_through_another_market_when_none_is_direct() -> None:
    desk = Desk(
        instruments=(make_instrument(BTC), make_instrument(ETH), make_instrument("binance:BNB-BTC", tick="0.00001"))
    )
    desk.quote("binance:BNB-BTC", "0.00999", "0.01")
    desk.fill("x1", "0.01", facts=facts(1, Side.BUY, BTC), complete=False, fee="0.001", fee_asset="BNB")

    assert desk.gate.state.portfolio.positions[BTC, "s1"].taker_fees == Decimal("0.001") * Decimal("600.0001")


def test_a_rebate_in_a_third_asset_is_worth_what_it_sells_for() -> None:
    desk = Desk(instruments=(make_instrument(BTC), make_instrument(ETH), make_instrument("binance:BNB-USDT")))
    desk.quote("binance:BNB-USDT", "599", "600")
    desk.fill("x1", "0.01", facts=facts(1, Side.BUY, BTC), complete=False, fee="-0.001", fee_asset="BNB")

    assert desk.gate.state.portfolio.positions[BTC, "s1"].taker_fees == Decimal("-0.599")


# ---- per strategy and pair, day and ever


def test_pnl_per_strategy_and_per_pair_add_up_and_the_day_begins_at_midnight() -> None:
    desk = Desk(limits=make_test_limits({"PNL-01": {"status": "enforced", "pause_at_pct": -50, "rearm_at_pct": -60}}))
    desk.wait(1)
    trade(desk, 1, "0.01", "60000", instrument_id=BTC, fee="0.6")
    trade(desk, 2, "1", "3000", instrument_id=ETH, strategy="s2", fee="3")
    trade(desk, 3, "0.01", "60100", side=Side.SELL, instrument_id=BTC, fee="0.6")
    desk.wait(2 * 3600)  # into the next day
    trade(desk, 4, "1", "3010", side=Side.SELL, instrument_id=ETH, strategy="s2", fee="3")
    pnl = reports.pnl(desk.gate, desk.now_ns)
    one, two = pnl.strategies["s1"], pnl.strategies["s2"]

    assert (one.realized_pnl, one.fees, one.day_pnl) == (Decimal(1), Decimal("1.2"), Decimal(0))
    assert (two.realized_pnl, two.fees, two.open_positions) == (Decimal(10), Decimal(6), 0)
    assert two.day_pnl == 10 - 6 - (-3 - Decimal("0.01"))  # what it had made by midnight was the fee and the spread
    assert replace(one, round_trips=0, losses_in_row=0) == pnl.pairs[BTC]
    assert (one.round_trips, one.win_rate_pct, one.losses_in_row) == (1, 0.0, 1)  # it earned 1 and paid 1.2
    assert (two.round_trips, two.win_rate_pct, two.losses_in_row) == (1, 100.0, 0)
    assert pnl.realized_pnl == pnl.pairs[BTC].realized_pnl + pnl.pairs[ETH].realized_pnl == 11
    assert pnl.day_pnl == sum((line.day_pnl for line in pnl.strategies.values()), Decimal(0))


def test_a_result_without_a_rate_is_left_out_and_said_to_be_incomplete() -> None:
    desk = Desk(instruments=(make_instrument(BTC), make_instrument(ETH), make_instrument("binance:SOL-TRY")))
    trade(desk, 1, "1", "100", instrument_id="binance:SOL-TRY")
    found = sums(desk.gate.state.portfolio, desk.gate.state.rules, desk.gate.board)

    assert (found.total.net, found.total.complete) == (0, False)


def test_everything_replays_to_the_same_state() -> None:
    desk = swap_desk()
    trade(desk, 1, "3", "60000")
    trade(desk, 2, "3", "60100", side=Side.SELL)
    trade(desk, 3, "1", "60000", side=Side.SELL, strategy="s2")
    desk.say(ledger=[entry(desk, "-12", instrument_id=SWAP), entry(desk, "100", LedgerKind.DEPOSIT, name="e2")])
    desk.say(margins=[MarginState("binance", "main", "USDT", Decimal(1000), Decimal(600), Decimal(30), desk.now_ns)])
    desk.wait(2 * 3600)

    assert desk.replayed().state.digest() == desk.gate.state.digest()
    desk.say(ledger=[entry(desk, "-1", name="e3", instrument_id=SWAP, at_ns=desk.now_ns + 5 * SECOND)])
    assert desk.replayed().state.digest() == desk.gate.state.digest()


def test_ledger_lines_and_margins_cross_the_wire_unchanged() -> None:
    desk = swap_desk()
    up = SessionUp(
        ledger=[entry(desk, "-12.5", kind, name=kind.name, instrument_id=SWAP) for kind in LedgerKind],
        margins=[MarginState("okx", "main", "USDT", Decimal("1000.5"), Decimal(600), Decimal(30), 7)],
        position_margins=[
            PositionMargin(SWAP, Decimal(10), None, Decimal(30), False, 8),
            PositionMargin(COIN, Decimal("2.5"), Decimal("1.5"), Decimal(0), True, 9),
        ],
    )

    assert up_from_wire(up_to_wire(up)) == (up, [])


@given(st.integers(-(10**9), 10**9), st.lists(st.integers(1, 10**6), min_size=1, max_size=6), st.booleans())
def test_a_split_adds_up_and_each_share_is_its_weight_to_a_unit(total: int, weights: list[int], short: bool) -> None:
    signed = [-w for w in weights] if short else weights
    shares = split(total, signed, sum(signed))

    assert sum(shares) == total
    for share, weight in zip(shares, signed, strict=True):
        assert abs(share - Fraction(total * weight, sum(signed))) < len(weights)
