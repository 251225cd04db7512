"""AUT and STA at their edges."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from typing import Any

from tests.riskd.edges.kit import (
    add,
    edge,
    exit_of,
    holding,
    limited,
    raise_hold,
)
from tests.riskd.kit import BTC, ETH, MS, SECOND, START_NS, Desk
from tests.support.builders import make_instrument
from tradebot.core.approvals import ApprovalAnswer, ApprovalAsk
from tradebot.core.instruments import InstrumentStatus
from tradebot.core.levels import SYSTEM_SCOPE, TradingLevel
from tradebot.core.orders import OrderEventKind, OrderRole, OrderType, Side, TimeInForce

changes: dict[str, Any]

for label, reason, changes in (
    ("as it should be", None, {}),
    ("strength above 1", "MALFORMED_REQUEST", {"strength": Decimal("1.000001")}),
    ("strength 0", "MALFORMED_REQUEST", {"strength": Decimal(0)}),
    ("strength exactly 1", None, {"strength": Decimal(1)}),
    ("negative quantity", "MALFORMED_REQUEST", {"qty": "-0.01"}),
    ("quantity 0", "MALFORMED_REQUEST", {"qty": "0"}),
    ("quantity that is no number", "MALFORMED_REQUEST", {"qty": "NaN"}),
    ("13 decimals", "MALFORMED_REQUEST", {"qty": "0.0100000000001"}),
    ("empty strategy", "MALFORMED_REQUEST", {"strategy_id": ""}),
    ("longest id", None, {"intent_id": "x" * 128}),
    ("endless id", "MALFORMED_REQUEST", {"intent_id": "x" * 129}),
    ("sequence 0", "MALFORMED_REQUEST", {"intent_sequence": 0}),
    ("unknown instrument", "MALFORMED_REQUEST", {"instrument_id": "binance:XYZ-USDT"}),
    ("an intent may not protect by itself", "MALFORMED_REQUEST", {"role": OrderRole.PROTECTION}),
    ("order for more than the intent", "MALFORMED_REQUEST", {"terms_qty": "0.02"}),
    ("order at a worse price than the intent", "MALFORMED_REQUEST", {"terms_price": "60000.01"}),
    ("order at a better price than the intent", None, {"terms_price": "59999.99"}),
    ("sell at a worse price than the intent", "MALFORMED_REQUEST", {"side": Side.SELL, "terms_price": "59999.99"}),
    ("sell at a better price than the intent", None, {"side": Side.SELL, "terms_price": "60000.01"}),
    ("order on the other side", "MALFORMED_REQUEST", {"terms_side": Side.SELL}),
    ("order that stays where the intent does not", "MALFORMED_REQUEST", {"terms_time_in_force": TimeInForce.GTC}),
    (
        "order of another type",
        "MALFORMED_REQUEST",
        {"terms_order_type": OrderType.TAKE_PROFIT_LIMIT, "terms_stop_price": "60000"},
    ),
    ("order that ends at another time", "MALFORMED_REQUEST", {"terms_expire_time_ns": START_NS + SECOND}),
    (
        "limit for a market intent",
        None,
        {
            "order_type": OrderType.MARKET,
            "limit_price": None,
            "time_in_force": TimeInForce.GTC,
            "terms_time_in_force": TimeInForce.IOC,
        },
    ),
    (
        "trigger for a market intent",
        "MALFORMED_REQUEST",
        {"order_type": OrderType.MARKET, "limit_price": None, "terms_order_type": OrderType.STOP_LIMIT},
    ),
    ("order of another instrument", "MALFORMED_REQUEST", {"terms_instrument_id": ETH}),
):
    add("AUT-01", label, reason, lambda changes=changes: Desk().plain(**changes))  # type: ignore[misc]
add("AUT-01", "exit of less than its intent", "MALFORMED_REQUEST",
    lambda: exit_of(holding(), "0.01", terms_qty="0.005"))  # fmt: skip

add("AUT-02", "registered strategy", None, lambda: Desk().plain())
add("AUT-02", "operator", None, lambda: Desk().plain(strategy_id="manual:ana"))
add("AUT-02", "the drill's own without a drill", "CALLER_NOT_AUTHORISED",
    lambda: Desk().plain(strategy_id="manual:drill"))  # fmt: skip
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
    ("reconciled 90 s ahead", -90, {}, None),
    ("reconciled farther ahead", -90.001, {}, "STREAM_RECONCILING"),
    ("never reconciled", 0, {"reconciled_time_ns": 0}, "STREAM_RECONCILING"),
    ("reconciling", 0, {"reconciling": True}, "STREAM_RECONCILING"),
    ("private stream down", 0, {"private_stream_live": False}, "VENUE_UNAVAILABLE"),
    ("under maintenance", 0, {"maintenance": True}, "VENUE_MAINTENANCE"),
):

    def readiness(age_s: float = age_s, changes: dict[str, Any] = changes) -> ApprovalAnswer:
        desk = Desk()
        desk.venue(**{"reconciled_time_ns": desk.now_ns - int(age_s * SECOND)} | changes)
        return desk.plain()

    add("STA-03", label, reason, readiness)


for label, age_ms, reason in (
    ("ask 5 s on its way", 5000, None),
    ("ask longer on its way", 5000.001, "VENUE_UNAVAILABLE"),
    ("ask from 5 s ahead", -5000, None),
    ("ask from farther ahead", -5000.001, "VENUE_UNAVAILABLE"),
    ("ask that does not say when", START_NS // MS, "CHECK_INPUT_MISSING"),
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
add("STA-05", "of nobody", "INSTRUMENT_RESTRICTED", lambda: Desk().plain(strategy_id="s3"))
add(
    "STA-05", "not on the allow list", "INSTRUMENT_RESTRICTED",
    lambda: Desk().plain(strategy_id="s2", instrument_id=ETH, limit_price="3000"),
)  # fmt: skip
add("STA-05", "on the deny list", "INSTRUMENT_RESTRICTED", lambda: limited("STA-05", deny=[BTC]).plain())


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
