"""From an ask to a Case: quantities to units, order and intent held against each other, references looked up.

Nothing here refuses: what does not fit becomes `Case.problem`, and AUT-01 reports it together with all other checks.
"""

from __future__ import annotations

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
        case.problem = "an amount is not finite or has more than 12 decimals"
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
    intent, order = case.intent, case.order
    if intent is None and order is None:
        return "the ask is empty"
    if case.rule is None:
        return f"instrument {case.instrument_id!r} is unknown"
    if case.rule.venue != case.venue:
        return f"{case.instrument_id} is not traded at {case.venue!r}"
    if intent is not None and (problem := _intent_problem(intent)):
        return problem
    if order is not None and (problem := _order_problem(order, case)):
        return problem
    return _disagreement(intent, order) if intent is not None and order is not None else ""


def _intent_problem(intent: OrderIntent) -> str:
    if not _are_ids(intent.intent_id, intent.strategy_id, intent.incarnation):
        return f"intent id, strategy id and incarnation have 1 to {MAX_ID_CHARACTERS} characters"
    if intent.intent_sequence < 1:
        return "intent_sequence counts from 1"
    if intent.role not in (OrderRole.ENTRY, OrderRole.EXIT):
        return f"an intent is ENTRY or EXIT, not {intent.role.name}"
    if not 0 < intent.strength <= 1:
        return f"strength {intent.strength} is not in (0, 1]"
    if intent.qty is not None and not intent.qty > 0:
        return "qty is not above 0"
    if intent.expected_edge is not None and not -1 < intent.expected_edge < 1:
        return f"expected_edge {intent.expected_edge} is not in (-1, 1): it is a fraction of the price"
    plan = intent.protection
    for name, fraction in (("stop_loss", plan.stop_loss_fraction), ("take_profit", plan.take_profit_fraction)):
        if fraction is not None and not 0 < fraction < 1:
            return f"{name}_fraction {fraction} is not in (0, 1)"
    return ""


def _are_ids(*texts: str) -> bool:
    lengths = [len(text) for text in texts]
    return min(lengths) > 0 and max(lengths) <= MAX_ID_CHARACTERS


def _order_problem(order: ApproveOrder, case: Case) -> str:
    if not _are_ids(order.intent_id, order.strategy_id, order.order.client_order_id, order.account):
        return f"intent id, strategy id, client order id and account have 1 to {MAX_ID_CHARACTERS} characters"
    if order.order.qty < 0 or (order.order.qty == 0 and case.intent is None):
        return "qty is not above 0"
    status = case.venue_status
    if status is not None and status.account != order.account:
        return f"account {order.account!r} is not ours at {order.venue}"
    return ""


def _disagreement(intent: OrderIntent, order: ApproveOrder) -> str:
    """Return where order and intent disagree: what is approved must be what was wanted."""
    terms = order.order
    wanted = (
        intent.intent_id, intent.strategy_id, intent.instrument_id, intent.side, intent.role, intent.post_only
    )  # fmt: skip
    asked = (order.intent_id, order.strategy_id, terms.instrument_id, terms.side, order.role, terms.post_only)
    if wanted != asked:
        name = next(name for name, one, other in zip(_SHARED, wanted, asked, strict=True) if one != other)
        return f"{name} of the order differs from the intent"
    if intent.order_type is not OrderType.MARKET:
        for name in _FORM:
            if getattr(intent, name) != getattr(terms, name):
                return f"{name} of the order differs from the intent"
    elif terms.order_type is not OrderType.LIMIT:
        return "the order of a market intent is not a limit"
    # An exit without a quantity may come with what is free to be sold; an entry without one is sized here alone.
    if terms.qty and terms.qty != intent.qty and (intent.qty is not None or intent.role is OrderRole.ENTRY):
        return "qty of the order differs from the intent"
    limit = intent.limit_price
    price = terms.price
    if limit is not None and price is not None and price != limit and (price > limit) is (intent.side is Side.BUY):
        return "price of the order is worse than the intent's limit"
    return ""
