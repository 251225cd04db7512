"""Every built check just inside, exactly at and just outside its limit. `at` is allowed.

Each edge builds its own desk and gives one answer; what is judged is the named check alone, among all violations.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Any

import pytest

from riskd.catalogue import CATALOGUE
from tests.riskd.kit import BTC, ETH, MS, SECOND, STRICT, Desk, make_test_limits, violations
from tests.support.builders import make_instrument
from tradebot.core.approvals import ApprovalAnswer, ApprovalAsk, VenueAction, Verdict
from tradebot.core.instruments import Instrument, InstrumentStatus, Product
from tradebot.core.intents import Algo, ProtectionPlan
from tradebot.core.levels import SYSTEM_SCOPE, Scope, ScopeKind, TradingLevel
from tradebot.core.market import BookState
from tradebot.core.orders import OrderEventKind, OrderRole, OrderType, Side, TimeInForce


@dataclass(frozen=True)
class Edge:
    check_id: str
    label: str
    ask: Callable[[], ApprovalAnswer]
    reason: str | None
    """None = the check passes."""


EDGES: list[Edge] = []
changes: dict[str, Any]


def edge(check_id: str, label: str, reason: str | None) -> Callable[[Callable[[], ApprovalAnswer]], Callable[[], Any]]:
    def keep(ask: Callable[[], ApprovalAnswer]) -> Callable[[], ApprovalAnswer]:
        EDGES.append(Edge(check_id, label, ask, reason))
        return ask

    return keep


def add(check_id: str, label: str, reason: str | None, ask: Callable[[], ApprovalAnswer]) -> None:
    EDGES.append(Edge(check_id, label, ask, reason))


def limited(check_id: str, **changes: Any) -> Desk:
    return Desk(limits=make_test_limits({check_id: changes}))


def roomy(usdt: str = "1000000000") -> Desk:
    """A desk whose size limits never bind, for checks of venue rules."""
    return Desk(
        limits=make_test_limits(
            {
                "SIZ-01": {"max_qty": {"*": 1_000_000}},
                "SIZ-02": {"max_pct_of_equity": 100, "max_notional": 10**9},
                "POS-02": {"hard_pct": 100, "soft_pct": 100, "max_notional": 10**9},
                "POS-04": {"hard_pct": 100, "soft_pct": 100, "max_notional": 10**9},
            }
        ),
        usdt=usdt,
    )


# ---- AUT

for label, reason, changes in (
    ("as it should be", None, {}),
    ("strength above 1", "MALFORMED_REQUEST", {"strength": Decimal("1.000001")}),
    ("strength 0", "MALFORMED_REQUEST", {"strength": Decimal(0)}),
    ("strength exactly 1", None, {"strength": Decimal(1)}),
    ("negative quantity", "MALFORMED_REQUEST", {"qty": "-0.01"}),
    ("quantity that is no number", "MALFORMED_REQUEST", {"qty": "NaN"}),
    ("13 decimals", "MALFORMED_REQUEST", {"qty": "0.0100000000001"}),
    ("empty strategy", "MALFORMED_REQUEST", {"strategy_id": ""}),
    ("endless id", "MALFORMED_REQUEST", {"intent_id": "x" * 129}),
    ("sequence 0", "MALFORMED_REQUEST", {"intent_sequence": 0}),
    ("unknown instrument", "MALFORMED_REQUEST", {"instrument_id": "binance:XYZ-USDT"}),
    ("an intent may not protect by itself", "MALFORMED_REQUEST", {"role": OrderRole.PROTECTION}),
    ("order for more than the intent", "MALFORMED_REQUEST", {"terms_qty": "0.02"}),
    ("order at a worse price than the intent", "MALFORMED_REQUEST", {"terms_price": "60000.01"}),
    ("order at a better price than the intent", None, {"terms_price": "59999.99"}),
    ("order on the other side", "MALFORMED_REQUEST", {"terms_side": Side.SELL}),
    ("order of another instrument", "MALFORMED_REQUEST", {"terms_instrument_id": ETH}),
):
    add("AUT-01", label, reason, lambda changes=changes: Desk().plain(**changes))  # type: ignore[misc]

add("AUT-02", "registered strategy", None, lambda: Desk().plain())
add("AUT-02", "operator", None, lambda: Desk().plain(strategy_id="manual:ana"))
add("AUT-02", "unregistered strategy", "CALLER_NOT_AUTHORISED", lambda: Desk().plain(strategy_id="s3"))

for label, age_ms, ttl_ms, reason in (
    ("age at its limit", 1500, 0, None),
    ("age above its limit", 1500.001, 0, "INTENT_STALE"),
    ("future at its limit", -250, 0, None),
    ("future beyond its limit", -250.001, 0, "INTENT_FROM_FUTURE"),
    ("made at the epoch", None, 0, "CHECK_INPUT_MISSING"),
    ("own lifetime reached", 100, 100, None),
    ("own lifetime over", 100.001, 100, "INTENT_STALE"),
    ("own lifetime may not be longer than ours", 1500.001, 60_000, "INTENT_STALE"),
):

    def aged(age_ms: float | None = age_ms, ttl_ms: int = ttl_ms) -> ApprovalAnswer:
        desk = Desk()
        created_ns = 0 if age_ms is None else desk.now_ns - int(age_ms * MS)
        return desk.plain(created_time_ns=created_ns, time_to_live_ms=ttl_ms)

    add("AUT-03", label, reason, aged)


@edge("AUT-04", "next intent", None)
def _next() -> ApprovalAnswer:
    desk = Desk()
    desk.plain()
    return desk.plain()


@edge("AUT-04", "same intent id", "DUPLICATE_INTENT")
def _same_id() -> ApprovalAnswer:
    desk = Desk()
    desk.plain()
    return desk.plain(intent_id="i1")


@edge("AUT-04", "same sequence", "DUPLICATE_INTENT")
def _same_sequence() -> ApprovalAnswer:
    desk = Desk()
    desk.plain(intent_sequence=5)
    return desk.plain(intent_sequence=5)


@edge("AUT-04", "sequence of another run of the engine", None)
def _other_incarnation() -> ApprovalAnswer:
    desk = Desk()
    desk.plain(intent_sequence=5)
    return desk.plain(intent_sequence=1, incarnation="run2")


@edge("AUT-04", "a refused intent is used up too", "DUPLICATE_INTENT")
def _after_refusal() -> ApprovalAnswer:
    desk = Desk()
    desk.plain(qty="50")
    return desk.plain(intent_id="i1")


@edge("AUT-04", "client order id that was approved", "DUPLICATE_INTENT")
def _same_client_order_id() -> ApprovalAnswer:
    desk = Desk()
    desk.plain()
    return desk.plain(terms_client_order_id="c1")


# ---- STA

for level, reason in (
    (TradingLevel.CAUTIOUS, None),
    (TradingLevel.REDUCE_ONLY, "TRADING_REDUCE_ONLY"),
    (TradingLevel.PAUSED, "TRADING_PAUSED"),
    (TradingLevel.HALTED, "TRADING_HALTED"),
    (TradingLevel.KILLED, "TRADING_KILLED"),
):

    def at_level(level: TradingLevel = level) -> ApprovalAnswer:
        desk = Desk()
        raise_hold(desk, level, SYSTEM_SCOPE)
        return desk.plain(qty="0.001")

    add("STA-01", level.name, reason, at_level)


def cautious_entry(age_s: float) -> ApprovalAnswer:
    """Ask for an entry at CAUTIOUS so long after the last one of the same instrument, which came to nothing."""
    desk = Desk()
    desk.plain(qty="0.001")
    desk.event("c1", OrderEventKind.EXPIRED)
    desk.gate.raise_hold(
        TradingLevel.CAUTIOUS, SYSTEM_SCOPE, reason="", operator="ana", role="trader", command_id="c", duration_s=0,
        now_ns=desk.now_ns,
    )  # fmt: skip
    desk.wait(age_s)
    return desk.plain(qty="0.001")


add("STA-01", "the next entry at CAUTIOUS at its spacing", None, lambda: cautious_entry(600))
add("STA-01", "the next entry at CAUTIOUS too soon", "CAUTIOUS_FILTER", lambda: cautious_entry(599.999))


def raise_hold(desk: Desk, level: TradingLevel, scope: Scope) -> None:
    desk.gate.raise_hold(
        level, scope, reason="test", operator="ana", role="trader", command_id=f"raise-{level}", duration_s=0,
        now_ns=desk.now_ns,
    )  # fmt: skip


def exit_of(desk: Desk, qty: str, **changes: Any) -> ApprovalAnswer:
    return desk.plain(role=OrderRole.EXIT, side=Side.SELL, qty=qty, **changes)


def holding(qty: str = "0.01") -> Desk:
    desk = Desk()
    desk.buy(qty)
    return desk


add("STA-02", "whole position", None, lambda: exit_of(holding(), "0.01"))
add("STA-02", "one lot more", "WOULD_FLIP_POSITION", lambda: exit_of(holding(), "0.01001"))
add("STA-02", "flat", "NOT_REDUCING", lambda: exit_of(Desk(), "0.01"))
add("STA-02", "same side", "NOT_REDUCING", lambda: holding().plain(role=OrderRole.EXIT, side=Side.BUY))
add("STA-02", "somebody else's position", "NOT_REDUCING", lambda: exit_of(holding(), "0.01", strategy_id="s2"))
add("STA-02", "an operator may close anybody's", None, lambda: exit_of(holding(), "0.01", strategy_id="manual:ana"))


@edge("STA-02", "second half while the first is working", None)
def _second_half() -> ApprovalAnswer:
    desk = holding()
    exit_of(desk, "0.005")
    return exit_of(desk, "0.005")


@edge("STA-02", "more than what the working exit leaves", "WOULD_FLIP_POSITION")
def _too_much_with_working() -> ApprovalAnswer:
    desk = holding()
    exit_of(desk, "0.005")
    return exit_of(desk, "0.00501")


@edge("STA-02", "an operator beside a working exit of the strategy", "WOULD_FLIP_POSITION")
def _operator_beside() -> ApprovalAnswer:
    desk = holding()
    exit_of(desk, "0.005")
    return exit_of(desk, "0.00501", strategy_id="manual:ana")


for label, age_s, changes, reason in (
    ("reconciled 90 s ago", 90, {}, None),
    ("reconciled longer ago", 90.001, {}, "STREAM_RECONCILING"),
    ("never reconciled", 0, {"reconciled_time_ns": 0}, "STREAM_RECONCILING"),
    ("reconciling", 0, {"reconciling": True}, "STREAM_RECONCILING"),
    ("private stream down", 0, {"private_stream_live": False}, "VENUE_UNAVAILABLE"),
):

    def readiness(age_s: float = age_s, changes: dict[str, Any] = changes) -> ApprovalAnswer:
        desk = Desk()
        desk.venue(**{"reconciled_time_ns": desk.now_ns - int(age_s * SECOND)} | changes)
        return desk.plain()

    add("STA-03", label, reason, readiness)


for label, age_ms, reason in (
    ("ask 5 s on its way", 5000, None),
    ("ask longer on its way", 5000.001, "VENUE_UNAVAILABLE"),
):

    def slow_ask(age_ms: float = age_ms) -> ApprovalAnswer:
        desk = Desk()
        intent = desk.intent()
        ask = ApprovalAsk(1, desk.now_ns - int(age_ms * MS), intent, desk.order(intent))
        return desk.say(asks=[ask]).answers[0]

    add("STA-03", label, reason, slow_ask)

for status, reason in (
    (InstrumentStatus.TRADING, None),
    (InstrumentStatus.CANCEL_ONLY, "INSTRUMENT_NOT_TRADING"),
    (InstrumentStatus.HALTED, "INSTRUMENT_NOT_TRADING"),
):

    def with_status(status: InstrumentStatus = status) -> ApprovalAnswer:
        return Desk(instruments=(replace(make_instrument(BTC), status=status), make_instrument(ETH))).plain()

    add("STA-04", status.name, reason, with_status)

add("STA-05", "on the allow list", None, lambda: Desk().plain(strategy_id="s2"))
add(
    "STA-05", "not on the allow list", "INSTRUMENT_RESTRICTED",
    lambda: Desk().plain(strategy_id="s2", instrument_id=ETH, limit_price="3000"),
)  # fmt: skip
add("STA-05", "on the deny list", "INSTRUMENT_RESTRICTED", lambda: limited("STA-05", deny=[BTC]).plain())

# ---- MKT

for label, age_ms, reason in (("at", 5000, None), ("above", 5000.001, "BOOK_STALE")):

    def book_age(age_ms: float = age_ms) -> ApprovalAnswer:
        desk = Desk()
        desk.now_ns += int(age_ms * MS)
        return desk.plain()

    add("MKT-01", label, reason, book_age)


def with_book(bid: str | None, ask: str | None, state: BookState | None = BookState.LIVE) -> ApprovalAnswer:
    desk = Desk()
    desk.gate.board.views[BTC].bid = desk.gate.board.views[BTC].ask = 0
    desk.quote(BTC, bid, ask, state)
    return desk.plain()


add("MKT-01", "marketdata says STALE", "BOOK_STALE", lambda: with_book("59999.99", "60000.01", BookState.STALE))
add("MKT-02", "LIVE", None, lambda: with_book("59999.99", "60000.01"))
add("MKT-02", "GAP", "BOOK_OUT_OF_SYNC", lambda: with_book("59999.99", "60000.01", BookState.GAP))
add("MKT-02", "SYNCING", "BOOK_OUT_OF_SYNC", lambda: with_book("59999.99", "60000.01", BookState.SYNCING))


@edge("MKT-02", "stream lost", "CHECK_INPUT_MISSING")
def _stream_lost() -> ApprovalAnswer:
    desk = Desk()
    desk.gate.market_lost(desk.now_ns)
    return desk.plain()


add("MKT-03", "one tick apart", None, lambda: with_book("59999.99", "60000"))
add("MKT-03", "locked", "BOOK_CROSSED", lambda: with_book("60000", "60000"))
add("MKT-03", "crossed", "BOOK_CROSSED", lambda: with_book("60000.01", "60000"))
add("MKT-03", "no bid", "BOOK_ONE_SIDED", lambda: with_book(None, "60000"))
add("MKT-03", "no ask", "BOOK_ONE_SIDED", lambda: with_book("59999.99", None))

# ---- SPC

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

LIMIT, STOP_LIMIT, MARKET = OrderType.LIMIT, OrderType.STOP_LIMIT, OrderType.MARKET
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
    "SPC-05", "product that is not built", "UNSUPPORTED_ORDER_SPEC",
    lambda: with_instrument(product=Product.INVERSE_PERPETUAL),
)  # fmt: skip


@edge("SPC-05", "replacing an order that is not there", "UNSUPPORTED_ORDER_SPEC")
def _replace_unknown() -> ApprovalAnswer:
    desk = Desk()
    intent = desk.intent()
    return desk.ask(intent, desk.order(intent, action=VenueAction.REPLACE, replaces_client_order_id="c9"))


# ---- PRC: mid 60,000, collar 50 bps = 300, far side 5 x 300

for label, side, price, reason in (
    ("buy at the collar", Side.BUY, "60300", None),
    ("buy above it", Side.BUY, "60300.01", "PRICE_COLLAR"),
    ("buy at the far side", Side.BUY, "58500", None),
    ("buy beyond the far side", Side.BUY, "58499.99", "PRICE_COLLAR"),
    ("sell at the collar", Side.SELL, "59700", None),
    ("sell below it", Side.SELL, "59699.99", "PRICE_COLLAR"),
    ("sell at the far side", Side.SELL, "61500", None),
    ("sell beyond the far side", Side.SELL, "61500.01", "PRICE_COLLAR"),
):

    def collar(side: Side = side, price: str = price) -> ApprovalAnswer:
        return Desk().plain(side=side, limit_price=price)

    add("PRC-01", label, reason, collar)

for label, price, age_s, reason in (
    ("exit at the wider collar", "58200", 0, None),  # 300 bps
    ("exit below it", "58199.99", 0, "PRICE_COLLAR"),
    ("exit on the last good reference", "60000", 3600, None),
    ("exit when that is too old", "60000", 3600.001, "CHECK_INPUT_MISSING"),
):

    def exit_collar(price: str = price, age_s: float = age_s) -> ApprovalAnswer:
        desk = holding()
        desk.gate.market_lost(desk.now_ns)
        desk.now_ns += int(age_s * SECOND)
        return exit_of(desk, "0.01", limit_price=price)

    add("PRC-01", label, reason, exit_collar)

# ---- SIZ, POS: equity 10,000

add("SIZ-01", "at the cap", None, lambda: limited("SIZ-01", max_qty={"*": "0.01"}).plain(qty="0.01"))
add("SIZ-01", "one lot above", "ORDER_QTY_LIMIT", lambda: limited("SIZ-01", max_qty={"*": "0.01"}).plain(qty="0.01001"))
for label, changes, qty, reason in (
    ("at 6 % of equity", {"max_pct_of_equity": 6}, "0.01", None),
    ("above it", {"max_pct_of_equity": 6}, "0.01001", "ORDER_NOTIONAL_LIMIT"),
    ("at the absolute cap", {"max_notional": 600}, "0.01", None),
    ("above the absolute cap", {"max_notional": 600}, "0.01001", "ORDER_NOTIONAL_LIMIT"),
):
    add("SIZ-02", label, reason, lambda c=changes, q=qty: limited("SIZ-02", **c).plain(qty=q))  # type: ignore[misc]


@edge("SIZ-02", "half at CAUTIOUS, at the limit", None)
def _cautious_at() -> ApprovalAnswer:
    desk = limited("SIZ-02", max_notional=1200, max_pct_of_equity=20)
    raise_hold(desk, TradingLevel.CAUTIOUS, Scope(ScopeKind.STRATEGY, "s1"))
    return desk.plain(qty="0.01")


@edge("SIZ-02", "half at CAUTIOUS, above it", "ORDER_NOTIONAL_LIMIT")
def _cautious_above() -> ApprovalAnswer:
    desk = limited("SIZ-02", max_notional=1200, max_pct_of_equity=20)
    raise_hold(desk, TradingLevel.CAUTIOUS, Scope(ScopeKind.STRATEGY, "s1"))
    return desk.plain(qty="0.01001")


def child_of(qty: str, **changes: Any) -> ApprovalAnswer:
    desk = Desk()
    intent = desk.intent(qty="0.01")
    desk.ask(intent)
    return desk.ask(None, desk.order(intent, terms_qty=qty, **changes))


add("SIZ-06", "the whole parent", None, lambda: child_of("0.01"))
add("SIZ-06", "one lot more", "CHILD_EXCEEDS_PARENT", lambda: child_of("0.01001"))
add("SIZ-06", "at a worse price", "CHILD_EXCEEDS_PARENT", lambda: child_of("0.01", terms_price="60000.01"))
add("SIZ-06", "for another strategy", "CHILD_EXCEEDS_PARENT", lambda: child_of("0.01", strategy_id="s2"))
add("SIZ-06", "of no parent", "CHILD_EXCEEDS_PARENT", lambda: child_of("0.01", intent_id="i99"))


def with_funds(usdt: str) -> ApprovalAnswer:
    return roomy(usdt).plain(qty="0.01")  # 600 and 0.1 % fee


add("POS-01", "exactly enough", None, lambda: with_funds("600.6"))
add("POS-01", "a millionth short", "INSUFFICIENT_FUNDS", lambda: with_funds("600.599999"))


def selling(btc: str) -> ApprovalAnswer:
    desk = Desk()
    desk.account(("USDT", "10000"), ("BTC", btc))
    return desk.plain(side=Side.SELL, qty="0.01")


add("POS-01", "sell what is there", None, lambda: selling("0.01"))
add("POS-01", "sell more than is there", "INSUFFICIENT_FUNDS", lambda: selling("0.00999999"))


@edge("POS-01", "what working orders need is not free", "INSUFFICIENT_FUNDS")
def _reserved_funds() -> ApprovalAnswer:
    desk = roomy("1201")
    desk.plain(qty="0.01")
    return desk.plain(qty="0.01")


for label, changes, qty, reason in (
    # 0.02 x ask 60,000.01 = 1,200.0002
    ("at the hard limit", {"max_notional": "1200.0002"}, "0.01", None),
    ("above it", {"max_notional": "1200.0001"}, "0.01", "POSITION_LIMIT"),
    ("above the percentage", {"hard_pct": 12, "soft_pct": 1}, "0.01", "POSITION_LIMIT"),
):

    def position(changes: dict[str, Any] = changes, qty: str = qty) -> ApprovalAnswer:
        # SIZ-02 has to fit under it
        desk = Desk(limits=make_test_limits({"POS-02": changes, "SIZ-02": {"max_notional": 1200}}))
        desk.buy("0.005")
        desk.plain(qty="0.005")  # working
        return desk.plain(qty=qty)

    add("POS-02", label, reason, position)


def crowded(held: int) -> ApprovalAnswer:
    names = [BTC, ETH, "binance:SOL-USDT", "binance:XRP-USDT"]
    desk = Desk(
        limits=make_test_limits({"POS-03": {"max_positions": 3}}), instruments=tuple(map(make_instrument, names))
    )
    for name in names[2:]:
        desk.quote(name, "99.99", "100.01")
    for name in names[1 : held + 1]:
        desk.plain(instrument_id=name, qty="0.1", limit_price="3000" if name == ETH else "100")
    return desk.plain(qty="0.001")


add("POS-03", "the third", None, lambda: crowded(2))
add("POS-03", "the fourth", "OPEN_POSITION_COUNT", lambda: crowded(3))


@edge("POS-03", "one more in an instrument that is held", None)
def _same_again() -> ApprovalAnswer:
    desk = limited("POS-03", max_positions=1)
    desk.buy("0.001")
    return desk.plain(qty="0.001")


for label, cap, reason in (("at", "900.000625", None), ("above", "900.000624", "GROSS_EXPOSURE_LIMIT")):

    def gross(cap: str = cap) -> ApprovalAnswer:
        caps = {"max_notional": cap}
        desk = Desk(limits=make_test_limits({"SIZ-02": {"max_notional": 500}, "POS-02": caps, "POS-04": caps}))
        desk.buy("0.005")  # 300.00005 at the ask
        desk.plain(instrument_id=ETH, qty="0.05", limit_price="3000")  # 150.0005
        return desk.plain(qty="0.0075")  # 450.000075

    add("POS-04", label, reason, gross)

for label, soft, outcome in (("at the soft limit", "12", "PASS"), ("above the soft limit", "11.9999", "SOFT")):

    def soft_exposure(soft: str = soft, outcome: str = outcome) -> ApprovalAnswer:
        limits = make_test_limits(
            {"POS-02": {"soft_pct": soft}, "POS-04": {"soft_pct": soft}, "SIZ-02": {"max_pct_of_equity": 12}}
        )
        desk = Desk(limits=limits)
        desk.quote(BTC, "59999", "60000")
        answer = desk.plain(qty="0.02")  # 1,200 of 10,000
        hits = [hit.check_id for hit in answer.soft_hits]
        assert hits == ([] if outcome == "PASS" else ["POS-02", "POS-04"])
        assert answer.verdict is (Verdict.ALLOW if outcome == "PASS" else Verdict.SOFT_ALLOW)
        return answer

    add("POS-02", label, None, soft_exposure)
    add("POS-04", label, None, soft_exposure)

# ---- RAT


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

# ---- entries: market, protection, size, portfolio, repetition


def lose(desk: Desk, client_order_id: str) -> None:
    for kind in (OrderEventKind.ASKED, OrderEventKind.SENT, OrderEventKind.OUTCOME_UNKNOWN):
        desk.event(client_order_id, kind)


def doubting(**changes: int) -> Desk:
    return limited("STA-06", **{"max_per_instrument": 0, "max_per_venue": 2} | changes)


def unknown(orders: int, instrument_id: str = BTC, **changes: int) -> ApprovalAnswer:
    """Ask while so many orders of an instrument are UNKNOWN."""
    desk = doubting(**changes)
    price = "60000" if instrument_id == BTC else "3000"
    for _ in range(orders):
        desk.plain(instrument_id=instrument_id, qty="0.01", limit_price=price)
    for number in range(orders):
        lose(desk, f"c{number + 1}")
    return desk.plain(qty="0.001")


add("STA-06", "none", None, lambda: unknown(0))
add("STA-06", "one of the instrument", "UNRESOLVED_ORDER", lambda: unknown(1))
add("STA-06", "one where one is allowed", None, lambda: unknown(1, max_per_instrument=1))
add("STA-06", "two elsewhere at the venue", None, lambda: unknown(2, ETH))
add("STA-06", "three elsewhere at the venue", "UNRESOLVED_ORDER", lambda: unknown(3, ETH))


@edge("STA-06", "resolved again", None)
def _resolved() -> ApprovalAnswer:
    desk = doubting()
    desk.plain(qty="0.01")
    lose(desk, "c1")
    desk.event("c1", OrderEventKind.REJECTED)
    return desk.plain(qty="0.001")


for told, reason in ((2, None), (3, "UNRESOLVED_ORDER")):

    def told_unknown(told: int = told) -> ApprovalAnswer:
        desk = doubting()
        desk.venue(unknown_client_order_ids=tuple(f"x{n}" for n in range(told)))
        return desk.plain(qty="0.001")

    add("STA-06", f"execd tells of {told}", reason, told_unknown)


@edge("STA-06", "venue never heard of", "CHECK_INPUT_MISSING")
def _no_status() -> ApprovalAnswer:
    desk = Desk()
    desk.gate.session.statuses.clear()
    return desk.plain()


def spread(bid: str, ask: str) -> ApprovalAnswer:
    desk = limited("MKT-04", max_spread_bps={"*": 1000, BTC: 30})
    desk.quote(BTC, bid, ask)
    return desk.plain(qty="0.001")


add("MKT-04", "30 bps of the mid", None, lambda: spread("59910", "60090"))
add("MKT-04", "one tick more", "SPREAD_TOO_WIDE", lambda: spread("59909.99", "60090"))
add("MKT-04", "no book", "CHECK_INPUT_MISSING", lambda: with_book(None, None))
add("MKT-04", "no limit for it", "LIMIT_UNDEFINED", lambda: limited("MKT-04", max_spread_bps={ETH: 30}).plain())


def at_market(price: str, side: Side = Side.BUY, **changes: Any) -> ApprovalAnswer:
    """A market intent whose order carries this limit; touch 0.01 from 60,000, bound 100 bps."""
    desk = limited("PRC-04", max_bound_bps=100)
    return desk.plain(
        side=side, qty="0.001", order_type=MARKET, limit_price=None, terms_price=price, **changes
    )  # fmt: skip


add("PRC-04", "buy at the bound", None, lambda: at_market("60600.01"))
add("PRC-04", "buy beyond it", "MARKET_ORDER_FORBIDDEN", lambda: at_market("60600.02"))
add("PRC-04", "sell at the bound", None, lambda: at_market("59400", Side.SELL))
add("PRC-04", "sell beyond it", "MARKET_ORDER_FORBIDDEN", lambda: at_market("59399.99", Side.SELL))
add("PRC-04", "that rests", "MARKET_ORDER_FORBIDDEN", lambda: at_market("60000", terms_time_in_force=TimeInForce.GTC))
add("PRC-04", "a raw market order", "MARKET_ORDER_FORBIDDEN", lambda: Desk().plain(terms_order_type=MARKET))
add("PRC-04", "an order without its limit", "MARKET_ORDER_FORBIDDEN", lambda: Desk().plain(terms_price=None))
add("PRC-04", "a limit intent far away", None, lambda: limited("PRC-04", max_bound_bps=1).plain(limit_price="60300"))


@edge("PRC-04", "a market intent without a book", "CHECK_INPUT_MISSING")
def _market_blind() -> ApprovalAnswer:
    desk = Desk()
    desk.gate.market_lost(desk.now_ns)
    return desk.plain(order_type=MARKET, limit_price=None, terms_price="60000")


for label, stop, reason in (
    ("no stop", None, "STOP_MISSING"),
    ("nearest", "0.002", None),
    ("too near", "0.001999999999", "STOP_DISTANCE_INVALID"),
    ("farthest", "0.05", None),
    ("too far", "0.050000000001", "STOP_DISTANCE_INVALID"),
):

    def stopped(stop: str | None = stop) -> ApprovalAnswer:
        desk = Desk(limits=make_test_limits(STRICT))
        return desk.plain(qty="0.001", protection=ProtectionPlan(None if stop is None else Decimal(stop)))

    add("PRC-05", label, reason, stopped)

for label, side, price, reason in (
    ("buy below the ask", Side.BUY, "60000", None),
    ("buy at the ask", Side.BUY, "60000.01", "POST_ONLY_WOULD_CROSS"),
    ("sell above the bid", Side.SELL, "60000", None),
    ("sell at the bid", Side.SELL, "59999.99", "POST_ONLY_WOULD_CROSS"),
):

    def posting(side: Side = side, price: str = price) -> ApprovalAnswer:
        return Desk().plain(side=side, limit_price=price, post_only=True, time_in_force=TimeInForce.GTC)

    add("PRC-07", label, reason, posting)

add("PRC-07", "not post-only", None, lambda: Desk().plain(limit_price="60000.01"))


@edge("PRC-07", "without a book", "CHECK_INPUT_MISSING")
def _post_blind() -> ApprovalAnswer:
    desk = Desk()
    desk.gate.market_lost(desk.now_ns)
    return desk.plain(post_only=True, time_in_force=TimeInForce.GTC)


def risking(qty: str, stop: str | None, **changes: Any) -> ApprovalAnswer:
    desk = Desk(limits=make_test_limits({"SIZ-03": STRICT["SIZ-03"] | changes}))
    return desk.plain(qty=qty, protection=ProtectionPlan(None if stop is None else Decimal(stop)))


# 600 at 0.5 % = 3, costs 20 bps of 600 = 1.2; equity 10,000
add("SIZ-03", "at the absolute cap", None, lambda: risking("0.01", "0.005", max_risk="4.2", cost_bps=20))
add("SIZ-03", "above it", "TRADE_RISK_LIMIT", lambda: risking("0.01001", "0.005", max_risk="4.2", cost_bps=20))
add("SIZ-03", "at its share of equity", None, lambda: risking("0.01", "0.005", max_risk_pct="0.03"))
add("SIZ-03", "above that", "TRADE_RISK_LIMIT", lambda: risking("0.01", "0.0050000001", max_risk_pct="0.03"))
add("SIZ-03", "without a stop all of it", None, lambda: risking("0.01", None, max_risk=600))
add("SIZ-03", "without a stop one lot more", "TRADE_RISK_LIMIT", lambda: risking("0.01001", None, max_risk=600))


@edge("SIZ-03", "equity unknown", "CHECK_INPUT_MISSING")
def _risk_of_nothing() -> ApprovalAnswer:
    desk = Desk(limits=make_test_limits(STRICT))
    desk.gate.state.portfolio.balances.clear()
    desk.gate.accountant.forget_equity()
    return desk.plain()


def sized(before: list[str], qty: str, **changes: Any) -> ApprovalAnswer:
    """Ask for a quantity after these were approved; at 3 there is a median."""
    desk = limited("SIZ-05", **{"soft_multiple": 5, "hard_multiple": 10, "min_orders": 3} | changes)
    for one in before:
        desk.plain(qty=one)
    return desk.plain(qty=qty)


USUAL = ["0.0001", "0.0003", "0.0002"]
add("SIZ-05", "ten times the median", None, lambda: sized(USUAL, "0.002"))
add("SIZ-05", "one lot more", "ORDER_SIZE_OUTLIER", lambda: sized(USUAL, "0.00201"))
add("SIZ-05", "no median yet", None, lambda: sized(USUAL[:2], "0.01"))

for label, qty, hit in (("five times", "0.001", False), ("more than five times", "0.00101", True)):

    def warned(qty: str = qty, hit: bool = hit) -> ApprovalAnswer:
        answer = sized(USUAL, qty)
        assert [found.check_id for found in answer.soft_hits] == (["SIZ-05"] if hit else [])
        return answer

    add("SIZ-05", label, None, warned)


def concentrated(qty: str, cap: str, other: str) -> ApprovalAnswer:
    """Ask for BTC beside 0.005 at 20 ETH, which are 300.001 USDT, in another instrument."""
    market = make_instrument(other, min_notional="0.01")
    desk = Desk(
        limits=make_test_limits({"POS-06": {"max_notional": cap}}),
        instruments=(make_instrument(BTC), make_instrument(ETH), market),
    )
    desk.account(("USDT", "10000"), ("ETH", "1"))
    desk.quote(other, "19.99", "20")
    desk.quote(BTC, "59999.99", "60000")
    placed = desk.plain(instrument_id=other, qty="0.005", limit_price="20")
    assert placed.approval is not None, placed
    return desk.plain(qty=qty)


add("POS-06", "with its other market at the cap", None, lambda: concentrated("0.01", "900.001", "binance:BTC-ETH"))
add("POS-06", "one lot above", "CONCENTRATION_LIMIT", lambda: concentrated("0.01001", "900.001", "binance:BTC-ETH"))
add("POS-06", "another base does not count", None, lambda: concentrated("0.01", "600", "binance:BCH-ETH"))
add("POS-06", "alone above it", "CONCENTRATION_LIMIT", lambda: concentrated("0.01001", "600", "binance:BCH-ETH"))


def unfilled(qty: str, cap: str, *, filled: bool = False) -> ApprovalAnswer:
    """Ask beside an entry of 300 that still works, or filled."""
    desk = limited("POS-11", max_notional=cap)
    desk.plain(qty="0.005")
    if filled:
        desk.fill("c1", "0.005")
    return desk.plain(qty=qty)


add("POS-11", "together at the cap", None, lambda: unfilled("0.005", "600"))
add("POS-11", "one lot above", "OPEN_ORDER_VALUE_LIMIT", lambda: unfilled("0.00501", "600"))
add("POS-11", "what is filled does not count", None, lambda: unfilled("0.01", "600", filled=True))
add("POS-11", "above its share of equity", "OPEN_ORDER_VALUE_LIMIT",
    lambda: limited("POS-11", max_pct_of_equity="5.9999").plain(qty="0.01"))  # fmt: skip


def stressed(cap: str, **changes: Any) -> ApprovalAnswer:
    """0.01 at the ask 60,000.01 beside 0.1 at the ask 3,000.01: 20 % of 900.0011."""
    desk = limited("POS-13", **{"max_loss": cap} | changes)
    desk.plain(instrument_id=ETH, qty="0.1", limit_price="3000")
    return desk.plain(qty="0.01")


add("POS-13", "at the cap", None, lambda: stressed("180.00022"))
add("POS-13", "above it", "STRESS_LOSS_LIMIT", lambda: stressed("180.000219"))
add("POS-13", "a smaller shock", None, lambda: stressed("90.00011", shock_pct=10))


@edge("POS-13", "the other book was never seen", "CHECK_INPUT_MISSING")
def _stress_blind() -> ApprovalAnswer:
    desk = Desk()
    desk.buy("0.1", "3000", instrument_id=ETH)
    desk.gate.board.views[ETH].good_ns = 0
    return desk.plain()


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
        placed = desk.plain(
            side=own, qty="0.001", limit_price=str(Decimal(at) - own.sign * shift), strategy_id=name, **changes
        )
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


# ---- PNL


def after_loss(usdt: str) -> ApprovalAnswer:
    desk = Desk()
    desk.gate.handle_timer(desk.now_ns)
    desk.gate.state.portfolio.balances["binance", "USDT"] = int(Decimal(usdt) * 10**12)
    desk.gate.accountant.forget_equity()
    return desk.plain(qty="0.001")


add("PNL-01", "a millionth above -2 %", None, lambda: after_loss("9800.01"))
add("PNL-01", "exactly -2 %", "DAY_LOSS_PAUSE", lambda: after_loss("9800"))
add("PNL-01", "below", "DAY_LOSS_PAUSE", lambda: after_loss("9799.99"))


@pytest.mark.parametrize("case", EDGES, ids=lambda case: f"{case.check_id}-{case.label}")
def test_a_check_holds_exactly_at_its_edge(case: Edge) -> None:
    answer = case.ask()

    assert violations(answer).get(case.check_id) == case.reason, (answer.detail, violations(answer))
    if case.reason is not None:
        assert answer.approval is None


def test_every_built_check_has_edges_on_both_sides() -> None:
    built = {spec.check_id for spec in CATALOGUE if spec.built and not spec.watched}

    assert {case.check_id for case in EDGES if case.reason is None} == built
    assert {case.check_id for case in EDGES if case.reason is not None} == built


def test_every_reason_of_a_built_check_was_seen() -> None:
    seen = {(case.check_id, case.reason) for case in EDGES}
    missing = [
        (spec.check_id, reason)
        for spec in CATALOGUE if spec.built and not spec.watched
        for reason in spec.reasons if (spec.check_id, reason) not in seen
    ]  # fmt: skip

    assert not missing
