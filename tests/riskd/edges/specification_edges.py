"""SPC at their edges."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from tests.riskd.edges.kit import (
    MARKET,
    STOP_LIMIT,
    add,
    edge,
    roomy,
)
from tests.riskd.kit import BTC, ETH, Desk
from tests.support.builders import make_instrument
from tradebot.core.approvals import ApprovalAnswer, VenueAction
from tradebot.core.instruments import Instrument, Product
from tradebot.core.intents import Algo
from tradebot.core.orders import OrderType, TimeInForce

changes: dict[str, Any]

add("SPC-01", "on tick", None, lambda: Desk().plain(limit_price="59999.99"))
add("SPC-01", "half a tick", "PRICE_NOT_ON_TICK", lambda: Desk().plain(limit_price="59999.995"))
add(
    "SPC-01", "trigger off tick", "PRICE_NOT_ON_TICK",
    lambda: Desk().plain(terms_order_type=OrderType.STOP_LIMIT, terms_stop_price="59999.995"),
)  # fmt: skip
add("SPC-02", "on lot", None, lambda: Desk().plain(qty="0.01001"))
add("SPC-02", "half a lot", "QTY_NOT_ON_STEP", lambda: Desk().plain(qty="0.010015"))


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
