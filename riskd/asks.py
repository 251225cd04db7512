"""From an ask to a Case: quantities to units, order and intent held against each other, references looked up.

Nothing here refuses: what does not fit becomes `Case.problem`, and AUT-01 reports it together with all other checks.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from decimal import Decimal
from typing import Final

from riskd.case import Books, Case
from riskd.holds import AFTER_KILL_PPM, FLATTEN, action_of
from riskd.rules import is_operator, may_trade
from riskd.state import RiskState
from riskd.units import from_units, to_units
from tradebot.core.accounts import VenueStatus
from tradebot.core.approvals import ApprovalAsk, ApproveOrder
from tradebot.core.intents import OrderIntent
from tradebot.core.levels import TradingLevel
from tradebot.core.orders import OrderRole, OrderTerms, OrderType, Side, TimeInForce
from tradebot.core.wire_enum import WireEnum

MAX_ID_CHARACTERS: Final = 128
_ZERO: Final = Decimal(0)
_SHARED: Final = ("intent_id", "strategy_id", "instrument_id", "side", "role", "post_only")
"""What an intent and its order both say."""
_FORM: Final = ("order_type", "time_in_force", "expire_time_ns")
"""What they both say too, unless the intent is a market one: that is a limit which does not rest (PRC-04)."""
_NOBODY: Final = OrderTerms("", "", Side.BUY, OrderType.LIMIT, _ZERO)


def make_case(
    ask: ApprovalAsk,
    books: Books,
    state: RiskState,
    statuses: dict[str, VenueStatus],
    stop_level: TradingLevel,
    now_ns: int,
) -> Case:
    """Return the ask as its checks look at it; equity and quantity are filled in later."""
    intent, order = ask.parent, ask.order
    if intent is not None:
        terms = order.order if order is not None else _terms_of(intent, books)
        role, side, strategy_id, instrument_id = intent.role, intent.side, intent.strategy_id, intent.instrument_id
    else:
        terms = _NOBODY if order is None else order.order
        role = OrderRole.ENTRY if order is None else order.role
        side, instrument_id = terms.side, terms.instrument_id
        strategy_id = "" if order is None else order.strategy_id
    rule = books.rules.get(instrument_id)
    venue = order.venue if order is not None else "" if rule is None else rule.venue
    reduce = state.reduces.get(order.reduce_id) if order is not None and role is OrderRole.REDUCE else None
    if reduce is not None and reduce.flatten_id not in state.flattens:
        reduce = None  # the ladder is done: its commands are void
    level = max(state.holds.level_for(venue, instrument_id, strategy_id), stop_level)
    registered, listed = may_trade(state.limits, strategy_id, instrument_id)
    case = Case(
        books=books,
        now_ns=now_ns,
        intent=intent,
        order=order,
        terms=terms,
        role=role,
        side=side,
        strategy_id=strategy_id,
        instrument_id=instrument_id,
        venue=venue,
        action=action_of(
            role,
            operator=is_operator(strategy_id),
            replaces=order is not None and bool(order.replaces_client_order_id),
            flatten=reduce is not None and reduce.reason == FLATTEN,
        ),
        level=level,
        reducing=role not in (OrderRole.ENTRY, OrderRole.LIQUIDATION),
        guards=state.guards,
        repetition=state.repetition,
        registered=registered,
        listed=listed,
        rule=rule,
        view=books.board.views.get(instrument_id),
        venue_status=statuses.get(venue),
        session_age_ns=now_ns - ask.sent_time_ns if ask.sent_time_ns > 0 else None,
        parent=None if intent is not None or order is None else books.commitments.parents.get(order.intent_id),
        reduce=reduce,
        loss=state.loss,
        factor_ppm=books.settings.tier_ppm,
    )
    if level >= TradingLevel.CAUTIOUS:
        case.factor_ppm = books.settings.cautious_ppm
        if state.holds.is_after_kill(venue, instrument_id, strategy_id):
            case.factor_ppm = min(case.factor_ppm, AFTER_KILL_PPM)
    case.duplicate = _duplicate(case, state)
    try:
        case.qty = to_units(terms.qty)
        case.price = 0 if terms.price is None else to_units(terms.price)
        case.stop_price = 0 if terms.stop_price is None else to_units(terms.stop_price)
        if intent is not None:
            _take_plan(case, intent.protection.stop_loss_fraction, intent.protection.take_profit_fraction)
            case.expected_edge = None if intent.expected_edge is None else to_units(intent.expected_edge)
        elif case.parent is not None:
            _take_plan(case, case.parent.stop_loss, case.parent.take_profit)
        case.problem = _problem(case)
    except ArithmeticError:  # NaN does not even compare
        case.problem = _amount_problem(case)
    return case


def _take_plan(case: Case, stop: Decimal | None, target: Decimal | None) -> None:
    case.stop_distance = None if stop is None else to_units(stop)
    case.target_distance = None if target is None else to_units(target)


def _terms_of(intent: OrderIntent, books: Books) -> OrderTerms:
    """Return the order that execd would make: a market intent is a limit at the touch, immediate or cancel."""
    qty = intent.qty if intent.qty is not None else _ZERO
    base = OrderTerms(
        "",
        intent.instrument_id,
        intent.side,
        intent.order_type,
        qty,
        intent.limit_price,
        None,
        intent.time_in_force,
        intent.post_only,
        expire_time_ns=intent.expire_time_ns,
    )
    if intent.order_type is not OrderType.MARKET:
        return base
    view = books.board.views.get(intent.instrument_id)
    touch = 0 if view is None else view.ask if intent.side is Side.BUY else view.bid
    price = from_units(touch) if touch > 0 else None
    return replace(base, order_type=OrderType.LIMIT, price=price, time_in_force=TimeInForce.IOC)


def _duplicate(case: Case, state: RiskState) -> str:
    intent, order = case.intent, case.order
    if intent is not None:
        if intent.intent_id in state.seen_intents:
            return "intent id"
        if intent.intent_sequence <= state.sequences.get((intent.strategy_id, intent.incarnation), 0):
            return "intent sequence"
    if order is not None and state.commitments.is_known(order.order.client_order_id):
        return "client order id"
    return ""


def _problem(case: Case) -> str:
    """Return what is malformed: the field, what it says and the fix."""
    intent, order = case.intent, case.order
    if intent is None and order is None:
        return "parent, order: the ask has neither; send one at least"
    if case.rule is None:
        return f"instrument_id {_shown(case.instrument_id)}: execd's hello names none such; ask for one that it names"
    if case.rule.venue != case.venue:
        return f"venue {_shown(case.venue)}: {case.instrument_id} trades at {case.rule.venue!r}; send it there"
    if intent is not None and (problem := _intent_problem(intent)):
        return problem
    if order is not None and (problem := _order_problem(order, case)):
        return problem
    return _disagreement(intent, order) if intent is not None and order is not None else ""


def _intent_problem(intent: OrderIntent) -> str:
    if not _are_ids(intent.intent_id, intent.strategy_id, intent.incarnation):
        return _bad_id(
            ("intent_id", intent.intent_id), ("strategy_id", intent.strategy_id), ("incarnation", intent.incarnation)
        )
    if intent.intent_sequence < 1:
        return f"intent_sequence {intent.intent_sequence}: count from 1"
    if intent.role not in (OrderRole.ENTRY, OrderRole.EXIT):
        return f"role {intent.role.name}: an intent is ENTRY or EXIT"
    if not 0 < intent.strength <= 1:
        return f"strength {intent.strength}: give a number in (0, 1]"
    if intent.qty is not None and not intent.qty > 0:
        return f"qty {intent.qty}: give one above 0, or none to be sized"
    if intent.expected_edge is not None and not -1 < intent.expected_edge < 1:
        return f"expected_edge {intent.expected_edge}: give a fraction of the price in (-1, 1)"
    plan = intent.protection
    for name, fraction in (("stop_loss", plan.stop_loss_fraction), ("take_profit", plan.take_profit_fraction)):
        if fraction is not None and not 0 < fraction < 1:
            return f"{name}_fraction {fraction}: give a fraction of the price in (0, 1)"
    return ""


def _are_ids(*texts: str) -> bool:
    lengths = [len(text) for text in texts]
    return min(lengths) > 0 and max(lengths) <= MAX_ID_CHARACTERS


def _bad_id(*named: tuple[str, str]) -> str:
    """Return which of some ids is none; one is."""
    name, text = next((name, text) for name, text in named if not _are_ids(text))
    return f"{name} has {len(text)} characters: give 1 to {MAX_ID_CHARACTERS}"


def _shown(text: str) -> str:
    return repr(text[:MAX_ID_CHARACTERS])


def _order_problem(order: ApproveOrder, case: Case) -> str:
    terms = order.order
    if not _are_ids(order.intent_id, order.strategy_id, terms.client_order_id, order.account):
        return _bad_id(
            ("intent_id", order.intent_id),
            ("strategy_id", order.strategy_id),
            ("client_order_id", terms.client_order_id),
            ("account", order.account),
        )
    if terms.qty < 0 or (terms.qty == 0 and case.intent is None):
        return f"qty {terms.qty} of the order: give one above 0; 0 is for what comes with its intent, to be sized"
    status = case.venue_status
    if status is not None and status.account != order.account:
        return f"account {_shown(order.account)}: ours at {order.venue} is {status.account!r}"
    return ""


def _disagreement(intent: OrderIntent, order: ApproveOrder) -> str:
    """Return where order and intent disagree: what is approved must be what was wanted."""
    terms = order.order
    wanted = (
        intent.intent_id, intent.strategy_id, intent.instrument_id, intent.side, intent.role, intent.post_only
    )  # fmt: skip
    asked = (order.intent_id, order.strategy_id, terms.instrument_id, terms.side, order.role, terms.post_only)
    if wanted != asked:
        name, one, other = next(
            (name, one, other) for name, one, other in zip(_SHARED, wanted, asked, strict=True) if one != other
        )
        return _differs(name, other, one)
    if intent.order_type is not OrderType.MARKET:
        for name in _FORM:
            if getattr(intent, name) != getattr(terms, name):
                return _differs(name, getattr(terms, name), getattr(intent, name))
    elif terms.order_type is not OrderType.LIMIT:
        return f"order_type {terms.order_type.name} of the order: a market intent is sent as a LIMIT that does not rest"
    # An exit without a quantity may come with what is free to be sold; an entry without one is sized here alone.
    if terms.qty and terms.qty != intent.qty and (intent.qty is not None or intent.role is OrderRole.ENTRY):
        wanted_qty = "none: send 0 to be sized" if intent.qty is None else intent.qty
        return _differs("qty", terms.qty, wanted_qty)
    limit = intent.limit_price
    price = terms.price
    if limit is not None and price is not None and price != limit and (price > limit) is (intent.side is Side.BUY):
        return f"price {price} of the order: worse than the intent's limit_price {limit}; send that or a better one"
    return ""


def _differs(name: str, asked: object, wanted: object) -> str:
    """Return that a field of the order is not the intent's."""
    one, other = (
        text.name if isinstance(text, WireEnum) else str(text)[:MAX_ID_CHARACTERS] for text in (asked, wanted)
    )
    return f"{name} {one} of the order: the intent says {other}; send what it wants"


def _amount_problem(case: Case) -> str:
    """Return which amount is none: something did not convert."""
    intent, terms = case.intent, case.terms
    amounts: dict[str, Decimal | None] = {"qty": terms.qty, "price": terms.price, "stop_price": terms.stop_price}
    if intent is not None:
        amounts |= {
            "intent.qty": intent.qty,
            "limit_price": intent.limit_price,
            "strength": intent.strength,
            "expected_edge": intent.expected_edge,
            "stop_loss_fraction": intent.protection.stop_loss_fraction,
            "take_profit_fraction": intent.protection.take_profit_fraction,
        }
    for name, value in amounts.items():
        with suppress(ArithmeticError):
            if value is None or to_units(value) is not None:
                continue
        return f"{name} {str(value)[:MAX_ID_CHARACTERS]}: give a finite number with at most 12 decimals"
    return "an amount is not finite or has more than 12 decimals: round it"
