"""The engine and a slow, obvious matcher agree on every fill, every ending and every displayed level."""

from __future__ import annotations

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.sim.kit import NOW_NS, fills, make_engine, make_order
from tests.sim.reference import ReferenceMarket
from tradebot.core.orders import OrderType, Side, TimeInForce
from tradebot.sim.engine import MatchingEngine
from tradebot.sim.orders import NewOrder, SelfTradePrevention, SimEvent, TapeTrade

LAST_PRICE = 100
sides = st.sampled_from(Side)
prices = st.integers(98, 102)
lots = st.integers(1, 9)
accounts = st.sampled_from(["me", "you"])
modes = st.sampled_from(SelfTradePrevention)
Step = tuple[str, dict[str, Any]]


def order_steps() -> list[st.SearchStrategy[Step]]:
    """Everything that we can do to a market: placing orders of every kind, and canceling."""
    common = {"side": sides, "lots": lots, "account": accounts, "self_trade_prevention": modes}
    limit = st.fixed_dictionaries(
        {**common, "price": prices, "time_in_force": st.sampled_from(TimeInForce), "post_only": st.just(False)}
    )
    post_only = st.fixed_dictionaries({**common, "price": prices, "post_only": st.just(True)})
    market = st.fixed_dictionaries(common)
    stop_limit = st.fixed_dictionaries(
        {
            **common,
            "price": prices,
            "stop_price": prices,
            "order_type": st.sampled_from([OrderType.STOP_LIMIT, OrderType.TAKE_PROFIT_LIMIT]),
            "time_in_force": st.sampled_from(TimeInForce),
        }
    )
    stop = st.fixed_dictionaries(
        {**common, "stop_price": prices, "order_type": st.sampled_from([OrderType.STOP, OrderType.TAKE_PROFIT])}
    )
    return [
        st.tuples(st.just("place"), st.one_of(limit, limit, post_only, market, stop_limit, stop)),
        st.tuples(st.just("cancel"), st.fixed_dictionaries({"number": st.integers(0, 30)})),
    ]


def steps() -> st.SearchStrategy[Step]:
    """Everything that can happen to a live market."""
    return st.one_of(
        *order_steps(),
        st.tuples(st.just("rest"), st.fixed_dictionaries({"side": sides, "price": prices, "lots": lots})),
        st.tuples(
            st.just("take"),
            st.fixed_dictionaries({"side": sides, "lots": lots, "limit": st.one_of(st.just(0), prices)}),
        ),
        st.tuples(st.just("pull"), st.fixed_dictionaries({"side": sides, "price": prices, "lots": lots})),
    )


def run_engine(engine: MatchingEngine, step: Step, placed: list[NewOrder]) -> tuple[list[SimEvent], bool]:
    """Do one step in the engine; also whether it was taken."""
    name, values = step
    match name:
        case "place":
            outcome = engine.place(placed[-1], NOW_NS)
            return outcome.events, outcome.rejection is None
        case "cancel":
            new = placed[values["number"] % len(placed)] if placed else make_order(Side.BUY, 1)
            order = engine.open_order(new.account, new.client_order_id)
            outcome = engine.cancel(new.account, order.order_id if order else 0, NOW_NS)
            return outcome.events, outcome.rejection is None
        case "rest":
            return engine.background_limit(0, values["side"], values["price"], values["lots"], NOW_NS), True
        case "take":
            return engine.background_take(0, values["side"], values["lots"], NOW_NS, values["limit"]), True
        case _:
            engine.background_cancel(0, values["side"], values["price"], values["lots"])
            return [], True


def run_reference(market: ReferenceMarket, step: Step, placed: list[NewOrder]) -> bool:
    """Do one step in the reference."""
    name, values = step
    match name:
        case "place":
            return market.place(placed[-1])
        case "cancel":
            return bool(placed) and market.cancel(placed[values["number"] % len(placed)].client_order_id)
        case "rest":
            market.background_limit(values["side"], values["price"], values["lots"])
        case "take":
            market.background_take(values["side"], values["lots"], values["limit"])
        case _:
            market.background_cancel(values["side"], values["price"], values["lots"])
    return True


def merged(rows: list[tuple[Any, ...]]) -> list[tuple[Any, ...]]:
    """Sum neighbours that differ in quantity only: how finely the background prints is nobody's promise."""
    found: list[tuple[Any, ...]] = []
    for row in rows:
        *key, lots_here = row
        if found and list(found[-1][:-1]) == key:
            lots_here += found.pop()[-1]
        found.append((*key, lots_here))
    return found


def make_placed(values: dict[str, Any], number: int) -> NewOrder:
    return make_order(
        values["side"],
        values["lots"],
        values.get("price", 0),
        **{key: value for key, value in values.items() if key not in ("side", "lots", "price")}
        | {"client_order_id": f"c{number}"},
    )


@settings(max_examples=400, deadline=None)
@given(st.lists(steps(), min_size=8, max_size=40))
def test_engine_and_reference_agree(script: list[Step]) -> None:
    funds = {"USDT": 10**9, "COIN": 10**9}
    engine = make_engine(balances={"me": funds, "you": funds}, last_price=LAST_PRICE)
    reference = ReferenceMarket(LAST_PRICE)
    placed: list[NewOrder] = []
    for step in script:
        if step[0] == "place":
            placed.append(make_placed(step[1], len(placed)))
        reference.fills.clear()
        reference.tape.clear()
        events, taken = run_engine(engine, step, placed)

        assert taken is run_reference(reference, step, placed)
        assert merged(list(fills(events))) == merged(list(reference.fills))
        tape = [(e.price, e.aggressor, e.lots) for e in events if isinstance(e, TapeTrade)]
        assert merged(list(tape)) == merged(list(reference.tape))

    market = engine.markets[0]
    for side in Side:
        assert dict(market.offers(side)) == reference.levels(side)
    for new in placed:
        order = next((o for o in engine.all_orders(new.account, 0) if o.terms is new), None)
        status = order.status.name if order and order.status.is_terminal else None
        assert status == reference.ended.get(new.client_order_id)
    engine.assert_consistent()


@settings(max_examples=150, deadline=None)
@given(st.lists(steps(), max_size=30))
def test_money_is_conserved_between_accounts_and_background(script: list[Step]) -> None:
    funds = {"USDT": 10**6, "COIN": 10**4}
    engine = make_engine(balances={"me": funds, "you": funds}, last_price=LAST_PRICE, fee_bps="10")
    before = {name: (a.total("USDT"), a.total("COIN")) for name, a in engine.accounts.items()}
    placed: list[NewOrder] = []
    expected = {name: list(totals) for name, totals in before.items()}
    for step in script:
        if step[0] == "place":
            placed.append(make_placed(step[1], len(placed)))
        events, _ = run_engine(engine, step, placed)
        for event in events:
            fill = getattr(event, "fill", None)
            if fill is None:
                continue
            totals = expected[event.terms.account]  # type: ignore[union-attr]
            money, base = fill.price * fill.lots * 10**12, fill.lots * 10**12
            is_buy = event.terms.side is Side.BUY  # type: ignore[union-attr]
            totals[0] += -money if is_buy else money - fill.fee_money
            totals[1] += base - fill.fee_money if is_buy else -base
        engine.assert_consistent()

    assert {name: [a.total("USDT"), a.total("COIN")] for name, a in engine.accounts.items()} == expected
