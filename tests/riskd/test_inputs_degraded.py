"""Removing, staling or corrupting any single input never makes a decision more permissive.

The inputs are derived from the code: every field of what a Case looks at (market views and trails, venue status,
instrument rules, limits, builds, equity, day, session, balances), each with every way in which a value of its type can
be missing, old or absurd. A new field is covered by being there; one that is no such input stands in NOT_INPUTS, with
the reason.

An order that only reduces is the exception: nothing that is broken forbids closing, so without a young price its collar
is wider (test_blind_exits).
"""

from __future__ import annotations

import copy
import types
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, fields, is_dataclass, replace
from decimal import Decimal
from functools import partial
from typing import Any, Union, get_args, get_origin, get_type_hints

import pytest

from riskd.case import Books, Case
from riskd.conduct_checks import SIGMA_SAMPLES
from riskd.marks import MarketBoard, MarketView
from riskd.order_settings import OrderSettings
from riskd.plans import Stage
from riskd.price_trail import PriceTrail
from riskd.references import Reference
from riskd.rules import InstrumentRule
from riskd.settings import Settings
from riskd.volatility import Volatility
from riskd.volume_trail import VolumeTrail
from tests.riskd.kit import (
    BTC,
    CLUSTERED,
    DATED,
    DEPLOYED,
    ETH,
    FILLS,
    FORM,
    HUGE,
    LIQUID,
    MARKET,
    MS,
    SECOND,
    START_NS,
    STRICT,
    TOGETHER,
    Desk,
    execd_id,
    make_test_limits,
)
from tradebot.core.accounts import VenueStatus
from tradebot.core.approvals import ApprovalAsk, Verdict
from tradebot.core.intents import ProtectionPlan
from tradebot.core.levels import SYSTEM_SCOPE, TradingLevel
from tradebot.core.market import BookState
from tradebot.core.orders import OrderRole, OrderType, Side, TimeInForce

PERMISSIVE = {Verdict.BLOCK.value: 0, Verdict.SOFT_ALLOW.value: 1, Verdict.ALLOW.value: 2}

NOT_INPUTS: dict[type, dict[str, str]] = {
    Case: {
        "books": "its parts are inputs of their own",
        "now_ns": "the clock: a steady one by construction, and AUT-06 judges it",
        "intent": "what is asked", "order": "what is asked", "terms": "what is asked", "role": "what is asked",
        "side": "what is asked", "strategy_id": "what is asked", "instrument_id": "what is asked",
        "venue": "what is asked", "qty": "what is asked", "price": "what is asked", "stop_price": "what is asked",
        "stop_distance": "what is asked", "target_distance": "what is asked",
        "expected_edge": "what is asked",
        "action": "read off the ask", "reducing": "read off the ask",
        "level": "riskd's own holds: folded from the journal, never received",
        "factor_ppm": "read off the level",
        "guards": "riskd's own memory", "repetition": "riskd's own memory", "duplicate": "riskd's own memory",
        "problem": "set by reading the ask", "rule": "spoiled where it comes from, before the ask is read",
        "exposure": "computed by a check", "value": "computed by a check",
        "base_others": "computed by a check", "gross_others": "computed by a check",
        "open_others": "computed by a check", "carried_beside": "computed by a check",
    },
    MarketView: {
        "tick": "the venue's rule, kept to scale the rows that come: it changes nothing that stands",
        "lot": "the same", "instrument_id": "identity", "last_price": "shown, and used by no check",
    },
    Books: {
        "settings": "limit_inputs", "portfolio": "money_inputs", "board": "board_inputs and view_inputs",
        "rules": "rule_inputs",
        "kills": "riskd's own memory: folded from the journal",
        "commitments": "riskd's own memory: folded from the journal", "rates": "riskd's own memory",
        "flow": "riskd's own memory: folded from the journal",
        "open_risk": "sums of positions, rules and marks, which are spoiled where they come from",
        "sums": "sums of positions, rules and marks, which are spoiled where they come from",
    },
    MarketBoard: {
        "views": "view_inputs", "paths": "money_inputs",
        "moved": "names what to value again: it changes nothing that stands",
        "mid_equity": "a setting", "_half_life_min": "a setting", "_currency": "a setting", "mark_age_ns": "a setting",
        "_oldest_ns": "when marks are next looked at for their age: it changes nothing that stands",
        "_twins": "which markets are the same: identity",
        "_by_index": "where rows go that come: it changes nothing that stands",
        "_sampled_ns": "when the next sample is due: it changes nothing that stands",
    },
    PriceTrail: {},
    VolumeTrail: {},
    Reference: {},
    Volatility: {},
    VenueStatus: {"alarms": "acted on when they come"},
    InstrumentRule: {
        "instrument": "the source of the other fields", "instrument_id": "identity", "contract": "what price means",
        "base": "identity", "quote": "identity", "settle": "identity", "is_spot": "identity",
        "min_qty": "0 is what venues without a minimum say", "min_notional": "0 is what venues without a minimum say",
        "max_notional": "None is what venues without a maximum say",
        "dust_qty": "0 means that every position counts: the strictest",
    },
    Settings: {
        "soft_caps": "None is a profile without soft caps", "clusters": "watched, asked of no order",
    },
    OrderSettings: {},
}  # fmt: skip


@dataclass(frozen=True)
class Input:
    """One way to spoil one input: `spoil` does it to the desk, or to the case that is made from it."""

    name: str
    desk: Callable[[Desk], object] | None = None
    case: Callable[[Case], object] | None = None


def put(table: Callable[[Any], Any], name: Any, value: object) -> Callable[[Any], object]:
    """Return what puts a value into a field, or under a key, of something that is found in a desk or case."""

    def spoil(where: Any) -> None:
        found = table(where)
        if isinstance(found, dict):
            found[name] = value
        else:
            setattr(found, name, value)

    return spoil


def put_frozen(table: Callable[[Any], Any], key: str, name: str, value: object) -> Callable[[Any], object]:
    """The same for a field of a frozen object that stands in a table."""

    def spoil(where: Any) -> object:
        return table(where).update({key: replace(table(where)[key], **{name: value})})

    return spoil


def take(table: Callable[[Any], Any], key: object) -> Callable[[Any], object]:
    """Return what takes a key out of a table."""
    return lambda where: table(where).pop(key)


def views_of(desk: Desk) -> Any:
    return desk.gate.board.views


def statuses_of(desk: Desk) -> Any:
    return desk.gate.session.statuses


def rules_of(desk: Desk) -> Any:
    return desk.gate.state.rules


def balances_of(desk: Desk) -> Any:
    return desk.gate.state.portfolio.balances


def ways(name: str, hint: object, value: object) -> Iterator[tuple[str, object]]:
    """Yield (word, spoiled value) for everything that a value of this type may become."""
    options = get_args(hint) if get_origin(hint) in (Union, types.UnionType) else (hint,)
    if type(None) in options:
        yield "removed", None
    match value:
        case bool():
            yield "turned", not value
        case int() if name.endswith("_ns") and value > START_NS // 2:  # a moment
            yield "never", 0
            yield "old", value - 400 * 86_400 * SECOND
            yield "before time", -value
            yield "yet to come", value + 400 * 86_400 * SECOND
        case int():
            yield "zero", 0
            yield "negative", -max(1, value)
            if name.endswith("_ns"):  # a duration
                yield "endless", 10**18
        case float():
            yield "no number", float("nan")
            yield "endless", float("inf")
            yield "zero", 0.0
            yield "negative", -1.0 - value
        case Decimal():
            yield "no number", Decimal("NaN")
            yield "negative", -1 - value
        case str():
            yield "empty", ""
            yield "another", "no such thing"
        case deque():  # of (moment, number)
            yield "empty", deque()
            yield "old", deque((at - 400 * 86_400 * SECOND, number) for at, number in value)
            yield "zero", deque((at, 0) for at, _ in value)
            yield "negative", deque((at, -number) for at, number in value)
        case tuple() | frozenset() | dict() | list():
            yield "empty", type(value)()
        case _:
            pass


def names_of(owner: type) -> list[str]:
    """Return the inputs among the fields of a class; a stale exemption fails."""
    if is_dataclass(owner):
        found = [field.name for field in fields(owner)]
    else:
        found = list(vars(MarketBoard(""))) if owner is MarketBoard else list(vars(owner)["__slots__"])
    exempt = NOT_INPUTS[owner]
    assert exempt.keys() <= set(found), f"{owner.__name__} has no {exempt.keys() - set(found)}"
    return [name for name in found if name not in exempt]


def view_inputs(desk: Desk) -> Iterator[Input]:
    for instrument_id in (BTC, ETH):
        yield Input(f"{instrument_id} view removed", take(views_of, instrument_id))
        view = views_of(desk)[instrument_id]
        for name in names_of(MarketView):
            for word, value in ways(name, int, getattr(view, name)):
                yield Input(f"{instrument_id} {name} {word}", put(partial(view_of, instrument_id), name, value))


def view_of(instrument_id: str, desk: Desk) -> Any:
    return views_of(desk)[instrument_id]


def board_inputs(desk: Desk) -> Iterator[Input]:
    """What the board remembers of each market beside its view: every table of it, row by row."""
    owners = {"trails": PriceTrail, "_volatility": Volatility, "volumes": VolumeTrail, "references": Reference}
    assert set(names_of(MarketBoard)) == owners.keys()
    for table, owner in owners.items():
        rows = partial(rows_of, table)
        for instrument_id in (BTC, ETH):
            yield Input(f"{instrument_id} {table} removed", take(rows, instrument_id))
            row = rows(desk)[instrument_id]
            for name in names_of(owner):
                for word, value in ways(name, object, getattr(row, name)):
                    yield Input(
                        f"{instrument_id} {table} {name} {word}",
                        put(partial(row_of, table, instrument_id), name, value),
                    )
        yield Input(f"{table} removed", lambda d, rows=rows: rows(d).clear())  # type: ignore[misc]


def rows_of(table: str, desk: Desk) -> Any:
    return getattr(desk.gate.board, table)


def row_of(table: str, instrument_id: str, desk: Desk) -> Any:
    return rows_of(table, desk)[instrument_id]


def book_inputs(desk: Desk) -> Iterator[Input]:
    hints = get_type_hints(Books)
    for name in names_of(Books):
        for word, value in ways(name, hints[name], getattr(books_of(desk), name)):
            yield Input(f"books {name} {word}", put(books_of, name, value))
    yield from board_inputs(desk)


def books_of(desk: Desk) -> Any:
    return desk.gate.decider.books


def status_inputs(desk: Desk) -> Iterator[Input]:
    hints = get_type_hints(VenueStatus)
    yield Input("venue status removed", take(statuses_of, "binance"))
    for name in names_of(VenueStatus):
        for word, value in ways(name, hints[name], getattr(statuses_of(desk)["binance"], name)):
            yield Input(f"venue status {name} {word}", put_frozen(statuses_of, "binance", name, value))


def rule_inputs(desk: Desk) -> Iterator[Input]:
    hints = get_type_hints(InstrumentRule)
    yield Input("rule removed", take(rules_of, BTC))
    for name in names_of(InstrumentRule):
        for word, value in ways(name, hints[name], getattr(rules_of(desk)[BTC], name)):
            yield Input(f"rule {name} {word}", put_frozen(rules_of, BTC, name, value))


def limit_inputs(desk: Desk) -> Iterator[Input]:
    """Limits are refused at load when they make no sense: what can happen to one is that nobody sets it."""
    for owner in (Settings, OrderSettings):
        hints = get_type_hints(owner)
        for name in names_of(owner):
            if type(None) in get_args(hints[name]):
                yield Input(f"limit {name} removed", case=partial(without_limit, owner, name))


def without_limit(owner: type, name: str, case: Case) -> None:
    settings: Any = case.books.settings
    nothing: dict[str, Any] = {name: None}
    if owner is Settings:
        settings = replace(settings, **nothing)
    else:
        settings = replace(settings, orders=replace(settings.orders, **nothing))
    case.books = replace(case.books, settings=settings)


def case_inputs(desk: Desk) -> Iterator[Input]:
    case, hints = case_of(desk, ASKS["entry"])[0], get_type_hints(Case)
    for name in names_of(Case):
        for word, value in ways(name, hints[name], getattr(case, name)):
            if not (name == "session_age_ns" and value == 0):  # 0 is the youngest there is
                yield Input(f"case {name} {word}", case=put(lambda c: c, name, value))
    for word, age_ns in (("silent", 10**15), ("from the future", -60 * SECOND)):
        yield Input(f"session {word}", case=put(lambda c: c, "session_age_ns", age_ns))


def money_inputs(desk: Desk) -> Iterator[Input]:
    def day_start(d: Desk) -> Any:
        return d.gate.state.portfolio

    for key in balances_of(desk):
        yield Input(f"balance {key} removed", take(balances_of, key))
        for word, value in ways("units", int, balances_of(desk)[key]):
            yield Input(f"balance {key} {word}", put(balances_of, key, value))
    yield Input("snapshots removed", lambda d: d.gate.state.portfolio.snapshot_venues.clear())
    for word, start in (("removed", None), ("zero", 0), ("negative", -1)):
        yield Input(f"day start {word}", put(day_start, "day_start", start))
    yield Input("paths removed", lambda d: d.gate.board.set_asset_paths({}))


SOURCES = (view_inputs, book_inputs, status_inputs, rule_inputs, limit_inputs, case_inputs, money_inputs)


def in_a_while(desk: Desk) -> dict[str, Any]:
    return {"time_in_force": TimeInForce.GTD, "expire_time_ns": desk.now_ns + 30 * SECOND}


ASKS: dict[str, Callable[[Desk], Any]] = {
    "entry": lambda d: d.intent(qty="0.001"),
    "entry of riskd's size": lambda d: d.intent(qty=None),
    "market entry": lambda d: d.intent(qty="0.001", order_type=OrderType.MARKET, limit_price=None),
    "post-only entry": lambda d: d.intent(qty="0.001", post_only=True, limit_price="59990", **in_a_while(d)),
    "sell of what is held": lambda d: d.intent(qty="0.001", side=Side.SELL, limit_price="59999"),
    "exit": lambda d: d.intent(qty="0.004", side=Side.SELL, role=OrderRole.EXIT, limit_price="59999"),
    "exit of everything": lambda d: d.intent(qty=None, side=Side.SELL, role=OrderRole.EXIT, limit_price="59999"),
    "too much": lambda d: d.intent(qty="50"),
    "a little too much": lambda d: d.intent(qty="0.0334"),
    "more than a third of the best offer": lambda d: d.intent(qty="0.01651"),
    "over its allocation": lambda d: d.intent(qty="0.001", strategy_id="s2"),
    "into a jump": lambda d: d.intent(qty="0.01", instrument_id=ETH, limit_price="3045"),
    "too hot": lambda d: d.intent(qty="0.016", protection=ProtectionPlan(Decimal("0.0235"))),
    "for too long": lambda d: d.intent(
        qty="0.001", limit_price="59990", time_in_force=TimeInForce.GTD, expire_time_ns=d.now_ns + 90 * SECOND
    ),
    "without an end": lambda d: d.intent(qty="0.001", limit_price="59990", time_in_force=TimeInForce.GTC),
    "target without a stop": lambda d: d.intent(qty="0.001", protection=ProtectionPlan(None, Decimal("0.01"))),
    "too far away": lambda d: d.intent(qty="0.001", limit_price="66000"),
    "off the tick": lambda d: d.intent(qty="0.001", limit_price="59999.999"),
    "too small": lambda d: d.intent(qty="0.00001"),
    "too old": lambda d: d.intent(qty="0.001", created_time_ns=d.now_ns - 5 * SECOND),
    "from the future": lambda d: d.intent(qty="0.001", created_time_ns=d.now_ns + 5 * SECOND),
    "of nobody": lambda d: d.intent(qty="0.001", strategy_id="nobody"),
    "stop too far": lambda d: d.intent(qty="0.001", protection=replace(d.intent().protection, stop_loss_fraction=None)),
    "post-only that takes": lambda d: d.intent(qty="0.001", post_only=True, limit_price="60000.01", **in_a_while(d)),
    "exit of more": lambda d: d.intent(qty="0.02", side=Side.SELL, role=OrderRole.EXIT, limit_price="59999"),
    "exit that adds": lambda d: d.intent(qty="0.001", role=OrderRole.EXIT),
}
LEVELS = (TradingLevel.RUNNING, TradingLevel.CAUTIOUS, TradingLevel.REDUCE_ONLY)


ON: dict[str, dict[str, Any] | None] = {
    **STRICT,
    **DEPLOYED,
    **FORM,
    **FILLS,
    **LIQUID,
    **TOGETHER,
    "MKT-05": {"status": "enforced", "max_divergence_bps": 1_000},  # ETH moves and the others stay
    "STA-07": MARKET["STA-07"] | {"min_samples": 5},
    "RAT-07": {"status": "enforced", "window_ms": 1},
    "STA-06": {"max_per_instrument": 0, "max_per_venue": 2},
    "MKT-07": MARKET["MKT-07"] | {"max_move_bps": 100},  # ETH moves 150, which PRC-02 lets pass
    "POS-09": {"max_notional": {"*": HUGE, "s2": 100}},  # s2 holds 60
    "POS-12": {"max_heat": 30},  # what is held loses 7.8 at its stops
}
"""Every check on that can be, and limits that bind where ASKS ask for it."""


def see_markets(desk: Desk) -> None:
    """Let riskd watch for as long as it must."""
    desk.liquid(5)


def enter(desk: Desk, qty: str, price: str = "60000", **changes: Any) -> None:
    """Buy under an id that execd makes."""
    intent = desk.intent(qty=qty, limit_price=price, **changes)
    name = execd_id(intent.strategy_id, desk.intents)
    answer = desk.ask(intent, desk.order(intent, terms_client_order_id=name))
    assert answer.approval is not None, answer
    desk.fill(name, qty, price, instrument_id=intent.instrument_id)


def desk_at(level: TradingLevel) -> Desk:
    """A desk that holds both instruments, with every check on that can be, at a level."""
    desk = Desk(limits=make_test_limits(ON, cautious={"adds": True}, **CLUSTERED), instruments=DATED)
    desk.drilled()
    see_markets(desk)
    enter(desk, "0.005")
    enter(desk, "0.1", "3000", instrument_id=ETH)
    enter(desk, "0.001", strategy_id="s2")
    desk.account(("USDT", "9340"), ("BTC", "0.006"), ("ETH", "0.1"))
    for _ in range(SIGMA_SAMPLES + 1):  # volatility is measured
        desk.wait(60)
    desk.venue(rate_used_pct=50.0, clock_offset_ns=100 * MS)
    see_markets(desk)
    desk.quote(BTC, "59999.99", "60000.01", lots=4_950)  # a third of that is the largest order (MKT-06)
    desk.quote(ETH, "3044.99", "3045.01", lots=10**6)
    if level is not TradingLevel.RUNNING:
        desk.gate.raise_hold(
            level, SYSTEM_SCOPE, reason="", operator="ana", role="trader", command_id="h", duration_s=0,
            now_ns=desk.now_ns,
        )  # fmt: skip
    return desk


def case_of(desk: Desk, make: Callable[[Desk], Any]) -> tuple[Case, Stage, ApprovalAsk]:
    intent = make(desk)
    order = desk.order(intent, terms_client_order_id=execd_id(intent.strategy_id, desk.intents))
    ask = ApprovalAsk(1, desk.now_ns, intent, order)
    return (*desk.gate.decider._case(ask, desk.now_ns), ask)


def decide(
    desk: Desk, make: Callable[[Desk], Any], spoil: Callable[[Case], object] | None = None
) -> tuple[int, Decimal]:
    """Return (how permissive, quantity) of a decision that is not taken."""
    desk.intents, desk.orders = 1_000, 1_000
    desk.gate.accountant.forget_equity()
    desk.gate.decider.books.open_risk._at_ns = 0  # sums are as old as they may become: they are made anew
    case, stage, ask = case_of(desk, make)
    if spoil is not None:
        spoil(case)
    record, _, _ = desk.gate.decider._decide(case, stage, ask, "dry", desk.now_ns)
    return PERMISSIVE[record.verdict], record.approved_qty


@pytest.mark.volume
@pytest.mark.parametrize("level", LEVELS, ids=lambda level: level.name)
@pytest.mark.parametrize("source", SOURCES, ids=lambda source: source.__name__)
def test_no_spoiled_input_makes_any_decision_more_permissive(
    source: Callable[[Desk], Iterator[Input]], level: TradingLevel
) -> None:
    desk = desk_at(level)
    base = {name: decide(desk, make) for name, make in ASKS.items()}
    wrong: list[str] = []
    count = 0
    for spoiled in source(desk):
        count += 1
        desk = desk_at(level)
        if spoiled.desk is not None:
            spoiled.desk(desk)
        for name, make in ASKS.items():
            after = decide(desk, make, spoiled.case)
            if after[0] > base[name][0] or after[1] > base[name][1]:
                wrong.append(f"{spoiled.name}: {name}: {base[name]} became {after}")

    assert count >= 4
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize(
    ("ask", "check_id"),
    [
        ("over its allocation", "POS-09"),
        ("into a jump", "MKT-07"),
        ("too hot", "POS-12"),
        ("more than a third of the best offer", "MKT-06"),
    ],
)
def test_nothing_but_its_own_check_refuses_an_ask_that_is_about_one(ask: str, check_id: str) -> None:
    desk = desk_at(TradingLevel.RUNNING)
    case, stage, asked = case_of(desk, ASKS[ask])
    record, _, write_checks = desk.gate.decider._decide(case, stage, asked, "dry", desk.now_ns)
    write_checks()

    assert [name for name, _, reason, *_ in record.checks if reason] == [check_id]


# ---- what is bad already


@dataclass(frozen=True)
class Bad:
    """One input that is bad by itself, so that a check refuses the plain entry."""

    check_id: str
    desk: Callable[[Desk], object] = lambda desk: None
    case: Callable[[Case], object] = lambda case: None
    good: frozenset[str] = frozenset()
    """Spoiled inputs that make it good as far as anybody can tell."""


def status(**changes: Any) -> Callable[[Desk], object]:
    return lambda desk: desk.gate.session.statuses.update(
        binance=replace(desk.gate.session.statuses["binance"], **changes)
    )


def view(**changes: Any) -> Callable[[Desk], object]:
    def spoil(desk: Desk) -> None:
        for name, value in changes.items():
            setattr(views_of(desk)[BTC], name, value)

    return spoil


def quoted(bid: str, ask: str, lots: int = 10**6) -> Callable[[Desk], object]:
    return lambda desk: desk.quote(BTC, bid, ask, lots=lots)


def in_trail(table: str, name: str, make: Callable[[Any], object]) -> Callable[[Desk], object]:
    """Change what the board remembers of the market."""

    def spoil(desk: Desk) -> None:
        row = rows_of(table, desk)[BTC]
        setattr(row, name, make(getattr(row, name)))

    return spoil


def of_status(*words: str) -> frozenset[str]:
    return frozenset(f"venue status {word}" for word in words)


BAD = {
    "an ask of a minute ago": Bad("STA-03", case=put(lambda c: c, "session_age_ns", 60 * SECOND),
        good=frozenset({"case session_age_ns negative"}),  # by a nanosecond
    ),
    "another build": Bad("AUT-05", case=put(lambda c: c, "build", "other")),
    "the clock is off": Bad("AUT-06", status(clock_offset_ns=300 * MS), good=of_status("clock_offset_ns zero")),
    "the clock is off the other way": Bad(
        "AUT-06", status(clock_offset_ns=-300 * MS),
        good=of_status("clock_offset_ns zero", "clock_offset_ns negative"),
    ),
    "the clock was measured long ago": Bad("AUT-06", status(clock_time_ns=START_NS)),
    "reconciled long ago": Bad("STA-03", status(reconciled_time_ns=START_NS)),
    "reconciling": Bad("STA-03", status(reconciling=True), good=of_status("reconciling turned")),
    "no private stream": Bad(
        "STA-03", status(private_stream_live=False), good=of_status("private_stream_live turned")
    ),
    "orders of unknown fate": Bad(
        "STA-06", status(unknown_client_order_ids=("a", "b", "c")),
        good=of_status("unknown_client_order_ids empty"),
    ),
    "rules read long ago": Bad("SPC-10", status(rules_time_ns=START_NS - 3_600 * SECOND)),
    "other rules": Bad("SPC-10", status(rules_hash="other")),
    "no weight left": Bad("RAT-03", status(rate_used_pct=80.0), good=of_status("rate_used_pct zero")),
    "an old book": Bad("MKT-01", view(updated_ns=START_NS)),
    "a gap": Bad("MKT-02", view(state=int(BookState.GAP))),
    "a crossed book": Bad("MKT-03", view(bid=60_001 * 10**12, ask=59_999 * 10**12)),
    "a wide spread": Bad("MKT-04", quoted("59500", "60500")),
    "others tell another price": Bad("MKT-05", in_trail("references", "price", lambda price: 2 * price)),
    "a small offer": Bad("MKT-06", quoted("59999.99", "60000.01", 1)),
    "a jump": Bad("MKT-07", in_trail("trails", "_minute", lambda rows: deque((at, mid // 2) for at, mid in rows))),
    "a drift": Bad("PRC-02", in_trail("trails", "_sum", lambda total: total // 2)),
    "seen for a moment": Bad("STA-07", in_trail("trails", "_samples", lambda rows: deque([rows[-1]]))),
    "hardly any trades": Bad("SIZ-04", in_trail("volumes", "_samples", lambda rows: deque([rows[-1]]))),
    "a price far from the order's": Bad("PRC-01", quoted("59599.99", "59600.01")),
    "a day that lost": Bad("PNL-01", case=put(lambda c: c, "day_ppm", -30_000),
        good=frozenset({"case day_ppm zero", "case day_ppm negative"}),  # by a millionth
    ),
}  # fmt: skip
"""One at least for every check that judges what is received. Limits are no such input, nor is what is asked."""


class Kept:
    """What inputs are spoiled in, to be put back: a desk is dear."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        board = desk.gate.board
        self._tables = {
            name: getattr(board, name) for name in ("views", "trails", "_volatility", "volumes", "references", "paths")
        }
        self._statuses, self._books = dict(statuses_of(desk)), replace(books_of(desk))

    def put_back(self) -> None:
        for name, table in self._tables.items():
            setattr(self._desk.gate.board, name, copy.deepcopy(table))
        statuses_of(self._desk).update(self._statuses)
        for field in fields(Books):
            setattr(books_of(self._desk), field.name, getattr(self._books, field.name))


@pytest.mark.volume
@pytest.mark.parametrize("bad", BAD.values(), ids=BAD)
def test_no_spoiled_input_makes_up_for_a_bad_one(bad: Bad) -> None:
    """What is bad itself may of course become good: its own absence, age or absurdity may not."""
    desk = desk_at(TradingLevel.RUNNING)
    bad.desk(desk)
    case, stage, asked = case_of(desk, ASKS["entry"])
    bad.case(case)
    record, _, write_checks = desk.gate.decider._decide(case, stage, asked, "dry", desk.now_ns)
    write_checks()
    assert [name for name, _, reason, *_ in record.checks if reason][:1] == [bad.check_id]

    spoilt = [one for source in (view_inputs, book_inputs, status_inputs, case_inputs) for one in source(desk)]
    kept, wrong = Kept(desk), list[str]()
    for found in spoilt:
        kept.put_back()
        if found.desk is not None:
            found.desk(desk)

        def spoil(case: Case, found: Input = found) -> None:
            bad.case(case)
            if found.case is not None:
                found.case(case)

        if decide(desk, ASKS["entry"], spoil)[0] and found.name not in bad.good:
            wrong.append(found.name)

    assert not wrong
    assert bad.good <= {found.name for found in spoilt}


def test_the_asks_are_decided_both_ways_so_that_the_property_can_fail() -> None:
    verdicts = {level: {name: decide(desk_at(level), make)[0] for name, make in ASKS.items()} for level in LEVELS}

    assert sum(value > 0 for value in verdicts[TradingLevel.RUNNING].values()) >= 6
    assert sum(value == 0 for value in verdicts[TradingLevel.RUNNING].values()) >= 9
    assert sum(value > 0 for value in verdicts[TradingLevel.CAUTIOUS].values()) >= 6
    assert verdicts[TradingLevel.REDUCE_ONLY]["exit"] > 0
    assert verdicts[TradingLevel.REDUCE_ONLY]["entry"] == 0
