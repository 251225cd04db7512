"""SPC at their edges."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from typing import Any

from tests.riskd.edges.kit import (
    MARKET,
    STOP_LIMIT,
    add,
    edge,
    roomy,
)
from tests.riskd.kit import BTC, DATED, ETH, SECOND, STRICT, Desk, make_test_limits
from tests.support.builders import make_instrument
from tradebot.core.approvals import ApprovalAnswer, VenueAction, Verdict
from tradebot.core.instruments import Instrument, PriceBand, Product, rules_hash
from tradebot.core.intents import Algo, ProtectionPlan
from tradebot.core.orders import OrderRole, OrderType, Side, TimeInForce

changes: dict[str, Any]

add("SPC-01", "on tick", None, lambda: Desk().plain(limit_price="59999.99"))
add("SPC-01", "half a tick", "PRICE_NOT_ON_TICK", lambda: Desk().plain(limit_price="59999.995"))
add(
    "SPC-01", "trigger off tick", "PRICE_NOT_ON_TICK",
    lambda: Desk().plain(terms_order_type=OrderType.STOP_LIMIT, terms_stop_price="59999.995"),
)  # fmt: skip
add("SPC-02", "on lot", None, lambda: Desk().plain(qty="0.01001"))
add("SPC-02", "half a lot", "QTY_NOT_ON_STEP", lambda: Desk().plain(qty="0.010015"))


def without_step(name: str) -> ApprovalAnswer:
    desk = Desk()
    step: dict[str, Any] = {name: 0}
    desk.gate.state.rules[BTC] = replace(desk.gate.state.rules[BTC], **step)
    return desk.plain()


add("SPC-01", "no tick", "CHECK_INPUT_MISSING", lambda: without_step("tick"))
add("SPC-02", "no lot", "CHECK_INPUT_MISSING", lambda: without_step("lot"))


def with_rules(**rules: str) -> Desk:
    desk = roomy()
    desk.instruments = (make_instrument(BTC, **rules), make_instrument(ETH))
    desk.hello()
    desk.venue()
    return desk


add("SPC-03", "at the minimum", None, lambda: with_rules(min_qty="0.001").plain(qty="0.001"))
add("SPC-03", "below", "QTY_BELOW_MIN", lambda: with_rules(min_qty="0.001").plain(qty="0.00099"))
add("SPC-03", "at the maximum", None, lambda: with_rules(max_qty="10").plain(qty="10"))
add("SPC-03", "above", "QTY_ABOVE_VENUE_MAX", lambda: with_rules(max_qty="10").plain(qty="10.00001"))
add("SPC-04", "at the minimum", None, lambda: with_rules(min_notional="60").plain(qty="0.001"))
add("SPC-04", "below", "NOTIONAL_BELOW_MIN", lambda: with_rules(min_notional="60.01").plain(qty="0.001"))
add("SPC-04", "at the maximum", None, lambda: roomy().plain(qty="150"))  # 9,000,000 / 60,000
add("SPC-04", "above", "NOTIONAL_ABOVE_VENUE_MAX", lambda: roomy().plain(qty="150.00001"))


def banded(**band: str) -> Desk:
    """A desk whose limits let any price pass, at a venue with this band; the middle of the book is 60,000."""
    desk = Desk(limits=make_test_limits({"PRC-01": {"collar_bps": {"*": 9_000}, "reduce_collar_bps": 9_000}}))
    rules = PriceBand(**{name: Decimal(value) for name, value in band.items()})
    desk.instruments = (replace(make_instrument(BTC), price_band=rules), make_instrument(ETH))
    desk.hello()
    desk.venue()
    return desk


def leaving(price: str, **band: str) -> ApprovalAnswer:
    desk = banded(**band)
    desk.buy("0.01")
    return desk.plain(role=OrderRole.EXIT, side=Side.SELL, qty="0.01", limit_price=price)


OUTSIDE = "PRICE_OUTSIDE_VENUE_BAND"
add("SPC-07", "at the lowest price", None, lambda: banded(min_price="59000").plain(limit_price="59000"))
add("SPC-07", "below it", OUTSIDE, lambda: banded(min_price="59000").plain(limit_price="58999.99"))
add("SPC-07", "at the highest price", None, lambda: banded(max_price="61000").plain(limit_price="61000"))
add("SPC-07", "above it", OUTSIDE, lambda: banded(max_price="61000").plain(limit_price="61000.01"))
add("SPC-07", "a trigger above it", OUTSIDE, lambda: banded(max_price="61000").plain(
    limit_price="61000", terms_order_type=STOP_LIMIT, terms_stop_price="61000.01"))  # fmt: skip
add("SPC-07", "a buy at its highest multiple", None, lambda: banded(buy_up="1.1").plain(limit_price="66000"))
add("SPC-07", "a buy above it", OUTSIDE, lambda: banded(buy_up="1.1").plain(limit_price="66000.01"))
add("SPC-07", "a buy at its lowest multiple", None, lambda: banded(buy_down="0.9").plain(limit_price="54000"))
add("SPC-07", "a buy below it", OUTSIDE, lambda: banded(buy_down="0.9").plain(limit_price="53999.99"))
# What lies between two millionths is rounded to the stricter one: 0.900001 and 1.1 of 60,000
add("SPC-07", "a buy at a multiple between two millionths", OUTSIDE,
    lambda: banded(buy_down="0.9000005").plain(limit_price="54000.05"))  # fmt: skip
add("SPC-07", "a buy a tick above that", None, lambda: banded(buy_down="0.9000005").plain(limit_price="54000.06"))
add("SPC-07", "a buy at the highest of those", None, lambda: banded(buy_up="1.1000005").plain(limit_price="66000"))
add("SPC-07", "a buy a tick above those", OUTSIDE, lambda: banded(buy_up="1.1000005").plain(limit_price="66000.01"))
add("SPC-07", "the multiples of sells are not those of buys", None,
    lambda: banded(sell_up="1.01", sell_down="0.99").plain(limit_price="66000"))  # fmt: skip
add("SPC-07", "a sell at its highest multiple", None, lambda: leaving("66000", sell_up="1.1"))
add("SPC-07", "a sell above it", OUTSIDE, lambda: leaving("66000.01", sell_up="1.1"))
add("SPC-07", "a sell at its lowest multiple", None, lambda: leaving("54000", sell_down="0.9"))
add("SPC-07", "a sell below it", OUTSIDE, lambda: leaving("53999.99", sell_down="0.9"))
add("SPC-07", "a venue without a band", None, lambda: banded().plain(limit_price="66000"))


@edge("SPC-07", "a band that is not known", "CHECK_INPUT_MISSING")
def _no_band() -> ApprovalAnswer:
    desk = Desk()
    desk.instruments = (replace(make_instrument(BTC), price_band=None), make_instrument(ETH))
    desk.hello()
    desk.venue()
    return desk.plain()


def read(age_ns: int, **status: Any) -> ApprovalAnswer:
    """Ask so long after the venue's rules were read; at most an hour."""
    desk = Desk()
    desk.venue(rules_time_ns=desk.now_ns - age_ns, **status)
    return desk.plain()


STALE = "INSTRUMENT_RULES_STALE"
add("SPC-10", "read just now", None, lambda: read(0))
add("SPC-10", "read an hour ago", None, lambda: read(3_600 * SECOND))
add("SPC-10", "read longer ago", STALE, lambda: read(3_600 * SECOND + 1))
add("SPC-10", "read in the future", STALE, lambda: read(-3_600 * SECOND - 1))
add("SPC-10", "never read", "CHECK_INPUT_MISSING", lambda: read(10**19))
add("SPC-10", "not read", "CHECK_INPUT_MISSING", lambda: read(0, rules_hash=""))
add("SPC-10", "the venue has other rules now", STALE, lambda: read(0, rules_hash=rules_hash([make_instrument(BTC)])))


LIST, LATE = "ORDER_LIST_INVALID", "EXPIRY_INVALID"


def planned(
    stop: str | None, target: str | None = None, *, side: Side = Side.BUY, price: str = "60000", **rules: str
) -> ApprovalAnswer:
    """Ask for 0.01 with this plan where ticks are 0.01, unless `rules` say otherwise."""
    desk = with_rules(**rules)
    plan = ProtectionPlan(None if stop is None else Decimal(stop), None if target is None else Decimal(target))
    return desk.plain(side=side, limit_price=price, protection=plan)


add("SPC-08", "no plan", None, lambda: planned(None))
add("SPC-08", "a stop and a target", None, lambda: planned("0.01", "0.02"))
add("SPC-08", "a target without a stop", LIST, lambda: planned(None, "0.02"))
# A tick of 100 is 1/600 of 60,000: what is nearer is rounded to the entry's own price
add("SPC-08", "a stop one tick below", None, lambda: planned("0.001666666667", tick="100"))
add("SPC-08", "a stop that is rounded to the entry", LIST, lambda: planned("0.001666666666", tick="100"))
add("SPC-08", "a short's stop one tick above", None, lambda: planned("0.001666666667", side=Side.SELL, tick="100"))
add("SPC-08", "a short's stop that is rounded to the entry", LIST,
    lambda: planned("0.001666666666", side=Side.SELL, tick="100"))  # fmt: skip
add("SPC-08", "a target is rounded away from it", None, lambda: planned("0.01", "0.000000000001", tick="100"))
add("SPC-08", "so is a short's", None, lambda: planned("0.01", "0.000000000001", side=Side.SELL, tick="100"))
add("SPC-08", "a short's target at nothing", LIST, lambda: planned("0.01", "0.999", side=Side.SELL, tick="100"))
# A spot buy may pay its 10 bps in what it buys: of 1000 lots 999 are left to protect. Where the stop hangs, execd sells
# with a limit 4 % below, and an order's value is that at its limit: 599.4 x 0.99 x 0.96
add("SPC-08", "the venue takes what is left at the stop", None, lambda: planned("0.01", min_notional="569.66976"))
add("SPC-08", "too small for it there", LIST, lambda: planned("0.01", min_notional="569.669760000001"))
add("SPC-08", "what is left is a lot too little", LIST, lambda: planned("0.01", min_qty="0.01"))
add("SPC-08", "what is left is enough", None, lambda: planned("0.01", min_qty="0.00999"))
# It may fill at the best offer of 60,000.01 and be worth less than at its limit
add("SPC-08", "a fill below the limit still carries its stop", None,
    lambda: planned("0.01", price="60200", min_notional="569.66985494496"))  # fmt: skip
add("SPC-08", "a fill below the limit does not", LIST,
    lambda: planned("0.01", price="60200", min_notional="569.669854944961"))  # fmt: skip
add(
    "SPC-08",
    "a short keeps all of it, and is bought back higher",
    None,
    lambda: planned("0.01", side=Side.SELL, min_notional="594"),
)


def child_of_plan(stop: str | None, qty: str, target: str | None = None, **rules: str) -> ApprovalAnswer:
    """Ask for a part of 0.01 that were let pass with this plan before."""
    desk = with_rules(**rules)
    plan = ProtectionPlan(None if stop is None else Decimal(stop), None if target is None else Decimal(target))
    intent = desk.intent(protection=plan)
    assert desk.ask(intent).verdict is not Verdict.BLOCK
    return desk.ask(None, desk.order(intent, terms_qty=qty))


# 0.002 of which 199 lots are left: 119.4 x 0.99 x 0.96
add("SPC-08", "a part whose stop the venue takes", None,
    lambda: child_of_plan("0.01", "0.002", min_notional="113.47776"))  # fmt: skip
add("SPC-08", "a part too small for it", LIST,
    lambda: child_of_plan("0.01", "0.002", min_notional="113.477760000001"))  # fmt: skip
add("SPC-08", "a part that leaves a lot too little", LIST, lambda: child_of_plan("0.01", "0.005", min_qty="0.005"))
add("SPC-08", "a part without a plan", None, lambda: child_of_plan(None, "0.005", min_qty="0.005"))


@edge("SPC-08", "a part of no parent", "CHECK_INPUT_MISSING")
def _orphan() -> ApprovalAnswer:
    desk = Desk()
    return desk.ask(None, desk.order(desk.intent()))


add("SPC-08", "a short is as small", LIST, lambda: planned("0.01", side=Side.SELL, min_notional="594.000000000001"))


def resting(left_ns: int, time_in_force: TimeInForce = TimeInForce.GTD) -> ApprovalAnswer:
    """Ask for an entry that ends so much later, 0 = that names no end; at most a minute."""
    desk = Desk(limits=make_test_limits({"SPC-09": STRICT["SPC-09"]}), instruments=DATED)
    expires_ns = desk.now_ns + left_ns if left_ns else 0
    return desk.plain(time_in_force=time_in_force, expire_time_ns=expires_ns, limit_price="59990")


add("SPC-09", "ends in a minute", None, lambda: resting(60 * SECOND))
add("SPC-09", "ends later", LATE, lambda: resting(60 * SECOND + 1))
add("SPC-09", "ends in a second", None, lambda: resting(SECOND))
add("SPC-09", "ends sooner", LATE, lambda: resting(SECOND - 1))
add("SPC-09", "has ended", LATE, lambda: resting(-SECOND))
add("SPC-09", "good till canceled", LATE, lambda: resting(0, TimeInForce.GTC))
add("SPC-09", "immediate or cancel", None, lambda: resting(0, TimeInForce.IOC))
add("SPC-09", "fill or kill", None, lambda: resting(0, TimeInForce.FOK))


@edge("SPC-09", "a market intent never rests", None)
def _market_ends() -> ApprovalAnswer:
    desk = Desk(limits=make_test_limits({"SPC-09": STRICT["SPC-09"]}))
    return desk.plain(order_type=MARKET, limit_price=None, terms_price="60000")


for label, reason, changes in (
    ("limit IOC", None, {}),
    ("limit GTC", None, {"terms_time_in_force": TimeInForce.GTC}),
    ("limit FOK", None, {"terms_time_in_force": TimeInForce.FOK}),
    ("post-only GTC", None, {"post_only": True, "time_in_force": TimeInForce.GTC}),
    ("post-only IOC", "UNSUPPORTED_ORDER_SPEC", {"post_only": True}),
    ("raw market", "UNSUPPORTED_ORDER_SPEC", {"terms_order_type": MARKET}),
    ("raw stop", "UNSUPPORTED_ORDER_SPEC", {"terms_order_type": OrderType.STOP, "terms_stop_price": "60000"}),
    (
        "stop-limit", None,
        {"terms_order_type": STOP_LIMIT, "terms_stop_price": "60000", "terms_time_in_force": TimeInForce.GTC},
    ),
    ("stop-limit IOC", "UNSUPPORTED_ORDER_SPEC", {"terms_order_type": STOP_LIMIT, "terms_stop_price": "60000"}),
    (
        "stop-limit without trigger", "UNSUPPORTED_ORDER_SPEC",
        {"terms_order_type": STOP_LIMIT, "terms_time_in_force": TimeInForce.GTC},
    ),
    ("limit with trigger", "UNSUPPORTED_ORDER_SPEC", {"terms_stop_price": "60000"}),
    ("an algorithm that is not built", "UNSUPPORTED_ORDER_SPEC", {"algo": Algo.TWAP}),
):  # fmt: skip
    add("SPC-05", label, reason, lambda changes=changes: Desk().plain(**changes))  # type: ignore[misc]


def with_instrument(**changes: Any) -> ApprovalAnswer:
    instrument: Instrument = replace(make_instrument(BTC), **changes)
    return Desk(instruments=(instrument, make_instrument(ETH))).plain()


add(
    "SPC-05", "type that the venue does not take", "UNSUPPORTED_ORDER_SPEC",
    lambda: with_instrument(order_types=frozenset({"STOP_LIMIT"})),
)  # fmt: skip
add("SPC-05", "capabilities unknown", "CHECK_INPUT_MISSING", lambda: with_instrument(order_types=frozenset()))
add(
    "SPC-05", "a perpetual whose leverage nobody has told", "UNSUPPORTED_ORDER_SPEC",
    lambda: with_instrument(product=Product.INVERSE_PERPETUAL),
)  # fmt: skip


@edge("SPC-05", "replacing an order that is not there", "UNSUPPORTED_ORDER_SPEC")
def _replace_unknown() -> ApprovalAnswer:
    desk = Desk()
    intent = desk.intent()
    return desk.ask(intent, desk.order(intent, action=VenueAction.REPLACE, replaces_client_order_id="c9"))
