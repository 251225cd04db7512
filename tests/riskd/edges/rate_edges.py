"""RAT and PNL at their edges."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from tests.riskd.edges.kit import (
    STOP_LIMIT,
    add,
    edge,
    limited,
)
from tests.riskd.kit import BTC, ETH, SECOND, STRICT, Desk, make_test_limits
from tradebot.core.approvals import ApprovalAnswer, VenueAction, Verdict
from tradebot.core.orders import Side, TimeInForce

changes: dict[str, Any]


def rate(orders: int, pause_s: float = 0, strategy_id: str = "s1", **limits: int) -> ApprovalAnswer:
    base = {"strategy_per_second": 5, "strategy_per_minute": 60, "system_per_second": 20}
    desk = limited("RAT-01", **base | limits)
    for _ in range(orders - 1):
        desk.plain(qty="0.0001")
        desk.wait(pause_s)
    return desk.plain(qty="0.0001", strategy_id=strategy_id)


add("RAT-01", "5th in a second", None, lambda: rate(5))
add("RAT-01", "6th in a second", "ORDER_RATE_LIMIT", lambda: rate(6))
add("RAT-01", "6th of another strategy", None, lambda: rate(6, strategy_id="s2"))
add("RAT-01", "system bucket", "ORDER_RATE_LIMIT", lambda: rate(6, strategy_id="s2", system_per_second=5))
add("RAT-01", "6th after a fifth of a second each", None, lambda: rate(6, pause_s=0.2))
add("RAT-01", "minute bucket at", None, lambda: rate(7, pause_s=0.2, strategy_per_minute=7))
add("RAT-01", "minute bucket above", "ORDER_RATE_LIMIT", lambda: rate(8, pause_s=0.2, strategy_per_minute=7))


def amending(times: int, pause_s: float = 0) -> ApprovalAnswer:
    """Replace a working order so often; two a second are allowed."""
    desk = limited("RAT-02", strategy_per_second=2)
    answer = desk.plain(qty="0.001")
    for _ in range(times):
        desk.wait(pause_s)
        intent = desk.intent(qty="0.001")
        before = f"c{desk.orders}"
        answer = desk.ask(intent, desk.order(intent, action=VenueAction.REPLACE, replaces_client_order_id=before))
    return answer


add("RAT-02", "2nd in a second", None, lambda: amending(2))
add("RAT-02", "3rd in a second", "AMEND_RATE_LIMIT", lambda: amending(3))
add("RAT-02", "3rd after half a second each", None, lambda: amending(3, 0.5))


def again(after_s: float, **changes: Any) -> ApprovalAnswer:
    desk = Desk(limits=make_test_limits({"RAT-07": STRICT["RAT-07"]}))
    desk.plain(qty="0.001")
    desk.now_ns += int(after_s * SECOND)
    return desk.plain(**{"qty": "0.001"} | changes)


add("RAT-07", "same again within the window", "DUPLICATE_ORDER", lambda: again(0.999999))
add("RAT-07", "same again after it", None, lambda: again(1))
add("RAT-07", "another quantity", None, lambda: again(0, qty="0.00101"))
add("RAT-07", "another price", None, lambda: again(0, limit_price="60000.01"))
add("RAT-07", "another side", None, lambda: again(0, side=Side.SELL))
add("RAT-07", "another strategy", None, lambda: again(0, strategy_id="s2"))


@edge("RAT-07", "same again after a refusal", None)
def _refused_before() -> ApprovalAnswer:
    desk = Desk(limits=make_test_limits({"RAT-07": STRICT["RAT-07"]}))
    desk.plain(qty="50")
    return desk.plain(qty="50")


def crowd(orders: int, instrument_id: str = BTC, **changes: int) -> ApprovalAnswer:
    desk = limited("RAT-08", **changes)
    for _ in range(orders):
        desk.plain(instrument_id=instrument_id, qty="0.01", limit_price="60000" if instrument_id == BTC else "3000")
    return desk.plain(qty="0.0001")


add("RAT-08", "4th of an instrument", None, lambda: crowd(3, max_per_instrument=4))
add("RAT-08", "5th of an instrument", "WORKING_ORDER_LIMIT", lambda: crowd(4, max_per_instrument=4))
add("RAT-08", "4th of a venue", None, lambda: crowd(3, ETH, max_per_venue=4, max_per_instrument=3))
add("RAT-08", "5th of a venue", "WORKING_ORDER_LIMIT", lambda: crowd(4, ETH, max_per_venue=4))


@edge("RAT-08", "what is over does not count", None)
def _none_working() -> ApprovalAnswer:
    desk = limited("RAT-08", max_per_instrument=1)
    desk.buy("0.001")
    return desk.plain(qty="0.001")


@edge("RAT-08", "one that replaces another", None)
def _one_for_one() -> ApprovalAnswer:
    desk = limited("RAT-08", max_per_instrument=1)
    desk.plain(qty="0.001")
    intent = desk.intent(qty="0.001")
    return desk.ask(intent, desk.order(intent, action=VenueAction.REPLACE, replaces_client_order_id="c1"))


def meeting(own: Side, at: str, price: str, *, trigger: str | None = None) -> ApprovalAnswer:
    """Ask against two resting orders of our own on the other side, the worse one 10 behind `at`."""
    desk = Desk(limits=make_test_limits({"RAT-09": STRICT["RAT-09"]}))
    desk.account(("USDT", "10000"), ("BTC", "1"))
    for name, shift in (("s2", 10), ("s1", 0)):
        changes: dict[str, Any] = {"terms_time_in_force": TimeInForce.GTC}
        if trigger is not None:
            changes |= {"terms_order_type": STOP_LIMIT, "terms_stop_price": trigger}
        parent = desk.intent(side=own, qty="0.001", limit_price=str(Decimal(at) - own.sign * shift), strategy_id=name)
        assert desk.ask(parent).verdict is Verdict.ALLOW
        placed = desk.ask(None, desk.order(parent, **changes))
        assert placed.approval is not None, placed
    return desk.plain(side=own.opposite, qty="0.001", limit_price=price, strategy_id="manual:ana")


add("RAT-09", "buy below our ask", None, lambda: meeting(Side.SELL, "60100", "60099.99"))
add("RAT-09", "buy at our ask", "SELF_TRADE_RISK", lambda: meeting(Side.SELL, "60100", "60100"))
add("RAT-09", "sell above our bid", None, lambda: meeting(Side.BUY, "59900", "59900.01"))
add("RAT-09", "sell at our bid", "SELF_TRADE_RISK", lambda: meeting(Side.BUY, "59900", "59900"))
add("RAT-09", "an order that waits for its trigger", None,
    lambda: meeting(Side.SELL, "59900", "60000", trigger="59950"))  # fmt: skip


def turned_over(times: str, qty: str) -> ApprovalAnswer:
    """Ask after fills of 600 in a day; equity 10,000."""
    desk = limited("RAT-10", max_times_equity=times)
    desk.quote(BTC, "60000", "60000.01")  # marked at its cost: equity stays 10,000
    desk.buy("0.01")
    return desk.plain(qty=qty)


add("RAT-10", "at the limit", None, lambda: turned_over("0.12", "0.01"))
add("RAT-10", "one lot above", "TURNOVER_LIMIT", lambda: turned_over("0.12", "0.01001"))


@edge("RAT-10", "the next day counts anew", None)
def _next_day() -> ApprovalAnswer:
    desk = limited("RAT-10", max_times_equity="0.12")
    desk.buy("0.01")
    desk.wait(2 * 3600)
    return desk.plain(qty="0.01001")


def after_loss(usdt: str) -> ApprovalAnswer:
    desk = Desk()
    desk.gate.handle_timer(desk.now_ns)
    desk.gate.state.portfolio.balances["binance", "USDT"] = int(Decimal(usdt) * 10**12)
    desk.gate.accountant.forget_equity()
    return desk.plain(qty="0.001")


add("PNL-01", "a millionth above -2 %", None, lambda: after_loss("9800.01"))
add("PNL-01", "exactly -2 %", "DAY_LOSS_PAUSE", lambda: after_loss("9800"))
add("PNL-01", "below", "DAY_LOSS_PAUSE", lambda: after_loss("9799.99"))
