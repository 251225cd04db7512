"""Perpetuals at the simulated venue: reduce-only, margin, funding by the clock, liquidation; beside a slow account."""

from __future__ import annotations

from dataclasses import dataclass, replace
from decimal import Decimal
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.sim.kit import NOW_NS, fills, kinds, make_engine, make_order, make_rules
from tradebot.core.accounts import LedgerKind
from tradebot.core.amounts import MONEY_ONE
from tradebot.core.errors import InvariantError
from tradebot.core.instruments import Product
from tradebot.core.market import LAST_FLAG, MarketRow, RowColumns, RowKind
from tradebot.core.orders import OrderStatus, Side, TimeInForce
from tradebot.sim.engine import MatchingEngine
from tradebot.sim.orders import (
    EndReason,
    LedgerReport,
    LiquidationReport,
    OrderReport,
    RejectReason,
    ReportKind,
    SimEvent,
)
from tradebot.sim.rules import MarginTerms, MarketRules

FINE = 10**8
S = 10**9


def perpetual(*, inverse: bool = False, multiplier: str = "1", **terms: Any) -> MarketRules:
    product = Product.INVERSE_PERPETUAL if inverse else Product.LINEAR_PERPETUAL
    margin = replace(MarginTerms(Decimal(10), 50_000), **terms)
    rules = make_rules(margin=margin)
    instrument = replace(
        rules.instrument,
        product=product,
        settle="COIN" if inverse else "USDT",
        contract_multiplier=Decimal(multiplier),
    )
    return replace(rules, instrument=instrument)


def engine_of(rules: MarketRules | None = None, wallet: int = 1_000, **more: Any) -> MatchingEngine:
    rules = rules or perpetual()
    return make_engine(
        balances={"me": {rules.instrument.settle: wallet}},
        bids={99: 10_000},
        asks={101: 10_000},
        rules=rules,
        is_recorded=True,
        **more,
    )


def say(engine: MatchingEngine, kind: RowKind, price: int, qty: int = 0, now_ns: int = NOW_NS) -> list[SimEvent]:
    rows = RowColumns()
    rows.append(MarketRow(int(kind), 0, LAST_FLAG, price, qty, 0, now_ns, now_ns))
    return engine.on_rows(rows, 0, 1, now_ns)


def trade(engine: MatchingEngine, side: Side, lots: int, **changes: Any) -> list[SimEvent]:
    outcome = engine.place(make_order(side, lots, 0, **changes), NOW_NS)
    assert outcome.rejection is None, outcome.rejection
    return outcome.events


def wallet_of(engine: MatchingEngine, asset: str = "USDT") -> Fraction:
    return Fraction(engine.accounts["me"].total(asset), MONEY_ONE)


def test_a_reduce_only_order_without_a_position_is_refused() -> None:
    engine = engine_of()

    outcome = engine.place(make_order(Side.SELL, 1, 0, reduce_only=True), NOW_NS)

    assert outcome.rejection is not None
    assert outcome.rejection.reason is RejectReason.NOTHING_TO_REDUCE


def test_a_reduce_only_order_trades_the_position_and_no_more() -> None:
    engine = engine_of()
    trade(engine, Side.BUY, 3)

    events = trade(engine, Side.SELL, 5, reduce_only=True)

    assert [lots for _, _, lots in fills(events)] == [3]
    assert kinds(events) == [ReportKind.ACCEPTED, ReportKind.TRADE, ReportKind.EXPIRED]
    last = [event for event in events if isinstance(event, OrderReport)][-1]
    assert last.end_reason is EndReason.REDUCED
    assert engine.markets[0].position == 0


def test_a_resting_reduce_only_order_ends_with_the_position() -> None:
    engine = engine_of()
    trade(engine, Side.BUY, 3)
    resting = engine.place(make_order(Side.SELL, 3, 105, reduce_only=True), NOW_NS).order
    assert resting is not None

    trade(engine, Side.SELL, 3)

    assert (resting.status, resting.end_reason) == (OrderStatus.EXPIRED, EndReason.REDUCED)
    assert engine.open_orders("me") == []


def test_margin_carries_leverage_times_the_balance_and_one_lot_more_is_refused() -> None:
    engine = engine_of(wallet=101)  # 10 x 101 = 1010 = 10 lots at the ask of 101

    assert engine.check(make_order(Side.BUY, 11, 101)) is not None
    assert engine.check(make_order(Side.BUY, 10, 101)) is None
    trade(engine, Side.BUY, 4)
    working = engine.place(make_order(Side.BUY, 5, 98), NOW_NS)
    assert working.rejection is None
    rejection = engine.check(make_order(Side.BUY, 2, 101))
    assert rejection is not None
    assert rejection.reason is RejectReason.INSUFFICIENT_BALANCE
    assert engine.check(make_order(Side.SELL, 8, 99)) is None  # to the other side, and no further


def test_funding_is_charged_at_its_time_at_the_mark_of_that_time() -> None:
    engine = engine_of()
    trade(engine, Side.SELL, 10)
    say(engine, RowKind.MARK_PRICE, 100 * FINE)
    say(engine, RowKind.FUNDING_RATE, FINE // 100, NOW_NS + S)
    say(engine, RowKind.MARK_PRICE, 102 * FINE, now_ns=NOW_NS + S // 2)
    due_ns = engine.next_due_ns

    events = engine.run_due(NOW_NS + S)

    assert due_ns == NOW_NS + S
    (entry,) = [event for event in events if isinstance(event, LedgerReport)]
    assert (entry.kind, entry.money, entry.time_ns) == (LedgerKind.FUNDING, 10 * 102 * MONEY_ONE // 100, NOW_NS + S)
    assert wallet_of(engine) == 1_000 + Fraction(1_020, 100)
    assert engine.next_due_ns is None
    assert engine.run_due(NOW_NS + 2 * S) == []


def test_the_next_rate_heard_just_before_the_clock_gets_there_charges_the_pending_one() -> None:
    engine = engine_of()
    trade(engine, Side.SELL, 10)
    say(engine, RowKind.MARK_PRICE, 100 * FINE)
    say(engine, RowKind.FUNDING_RATE, FINE // 100, NOW_NS + S)

    events = say(engine, RowKind.FUNDING_RATE, FINE // 50, NOW_NS + 100 * S, now_ns=NOW_NS + S - 1_000)

    assert [event.money for event in events if isinstance(event, LedgerReport)] == [10 * MONEY_ONE]
    assert engine.next_due_ns == NOW_NS + 100 * S


def test_a_rate_that_moves_its_funding_far_ahead_charges_nothing() -> None:
    engine = engine_of()
    trade(engine, Side.SELL, 10)
    say(engine, RowKind.MARK_PRICE, 100 * FINE)
    say(engine, RowKind.FUNDING_RATE, FINE // 100, NOW_NS + 50 * S)

    events = say(engine, RowKind.FUNDING_RATE, FINE // 50, NOW_NS + 100 * S, now_ns=NOW_NS + S)

    assert not [event for event in events if isinstance(event, LedgerReport)]
    assert engine.next_due_ns == NOW_NS + 100 * S


def test_a_liquidation_ends_every_order_and_the_position() -> None:
    engine = engine_of(wallet=110)
    trade(engine, Side.BUY, 10)  # 1010 paid
    resting = engine.place(make_order(Side.SELL, 1, 110, reduce_only=True), NOW_NS).order
    assert resting is not None

    events = say(engine, RowKind.MARK_PRICE, 94 * FINE + 1)

    (closed,) = [event for event in events if isinstance(event, LiquidationReport)]
    assert (closed.side, closed.lots, closed.price) == (Side.SELL, 10, 94)
    assert (resting.status, resting.end_reason) == (OrderStatus.CANCELED, EndReason.LIQUIDATION)
    assert wallet_of(engine) == 110 - 70
    assert engine.markets[0].position == 0


def test_an_order_good_till_a_time_ends_by_the_venues_clock_and_none_is_taken_afterwards() -> None:
    engine = engine_of()
    dated = {"time_in_force": TimeInForce.GTD, "expires_ns": NOW_NS + S}
    order = engine.place(make_order(Side.BUY, 3, 98, **dated), NOW_NS).order
    stays = engine.place(make_order(Side.BUY, 3, 97, time_in_force=TimeInForce.GTD, expires_ns=NOW_NS + 9 * S), NOW_NS)
    assert order is not None
    assert engine.next_due_ns == NOW_NS + S

    events = engine.run_due(NOW_NS + S)

    assert kinds(events) == [ReportKind.EXPIRED]
    assert (order.status, order.end_reason) == (OrderStatus.EXPIRED, EndReason.TIME_IN_FORCE)
    assert engine.open_orders("me") == [stays.order]
    assert engine.next_due_ns == NOW_NS + 9 * S
    late = engine.place(make_order(Side.BUY, 3, 98, **dated), NOW_NS + S)
    assert late.rejection is not None
    assert late.rejection.reason is RejectReason.EXPIRED


def test_perpetuals_want_a_venue_with_one_account() -> None:
    with pytest.raises(InvariantError, match="one account"):
        make_engine(balances={"me": {"USDT": 1}, "you": {"USDT": 1}}, rules=perpetual())


# ---- beside a slow account


@dataclass
class SlowAccount:
    """One perpetual in fractions: average cost, its value by the contract's definition."""

    inverse: bool
    multiplier: Fraction
    maintenance: Fraction
    wallet: Fraction
    qty: int = 0
    cost: Fraction = Fraction(0)
    mark: Fraction | None = None

    def value(self, qty: int | Fraction, price: Fraction) -> Fraction:
        return qty * self.multiplier / price if self.inverse else qty * self.multiplier * price

    def gain(self, cost: Fraction, worth: Fraction) -> Fraction:
        return cost - worth if self.inverse else worth - cost

    def fill(self, signed: int, price: Fraction) -> None:
        closing = min(abs(signed), abs(self.qty)) if self.qty * signed < 0 else 0
        if closing:
            share = self.cost * closing / abs(self.qty)
            self.wallet += self.gain(share, self.value(closing, price) * (1 if self.qty > 0 else -1))
            self.cost -= share
        self.cost += self.value(abs(signed) - closing, price) * (1 if signed > 0 else -1)
        self.qty += signed

    def fund(self, rate: Fraction) -> None:
        if self.mark is not None:
            self.wallet -= self.value(self.qty, self.mark) * rate

    def margin(self) -> tuple[Fraction, Fraction]:
        """Return (margin balance, maintenance margin)."""
        assert self.mark is not None
        worth = self.value(self.qty, self.mark)
        return self.wallet + self.gain(self.cost, worth), abs(worth) * self.maintenance


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("trade"), st.sampled_from((Side.BUY, Side.SELL)), st.integers(1, 40)),
        st.tuples(st.just("mark"), st.integers(60 * FINE, 140 * FINE), st.just(0)),
        st.tuples(st.just("fund"), st.integers(-FINE // 50, FINE // 50), st.just(0)),
    ),
    max_size=25,
)


@settings(max_examples=400, deadline=None)
@given(STEPS, st.booleans(), st.integers(20, 2_000))
def test_wallet_position_and_liquidations_are_those_of_a_slow_account(
    steps: list[tuple[str, Any, int]], inverse: bool, wallet: int
) -> None:
    rules = perpetual(inverse=inverse, multiplier="100" if inverse else "1", leverage=Decimal(8))
    engine = engine_of(rules, wallet)
    slow = SlowAccount(inverse, Fraction(rules.instrument.contract_multiplier), Fraction(1, 20), Fraction(wallet))
    now_ns, rounding = NOW_NS, Fraction(0)
    for what, value, lots in steps:
        now_ns += S
        rounding += Fraction(2, 10**8)
        if what == "trade":
            if engine.check(make_order(value, lots)) is None:
                for _, price, done in fills(engine.place(make_order(value, lots), now_ns).events):
                    slow.fill(value.sign * done, Fraction(price))
            slow.wallet = max(slow.wallet, Fraction(0))  # the venue's insurance
            continue
        if what == "mark":
            slow.mark = Fraction(value, FINE)
        else:
            slow.fund(Fraction(value, FINE))
            say(engine, RowKind.FUNDING_RATE, value, now_ns, now_ns - 1)
        events = say(engine, RowKind.MARK_PRICE, value, 0, now_ns) if what == "mark" else engine.run_due(now_ns)
        closed = [event for event in events if isinstance(event, LiquidationReport)]
        if slow.qty and slow.mark is not None:
            balance, needed = slow.margin()
            if abs(balance - needed) > rounding:
                assert bool(closed) == (balance < needed)
        for event in closed:
            assert event.lots == abs(slow.qty)
            assert slow.mark is not None
            assert event.price == (slow.mark.__floor__() if slow.qty > 0 else slow.mark.__ceil__())
            slow.fill(event.side.sign * event.lots, Fraction(event.price))
            slow.wallet = max(slow.wallet, Fraction(0))
        assert engine.markets[0].position == slow.qty
        settle = rules.instrument.settle
        assert abs(wallet_of(engine, settle) - slow.wallet) <= rounding
