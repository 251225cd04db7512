"""The checks: pure functions of a Case, one per built row of the catalogue, in units (1e-12) and integers.

Each returns (outcome, reason, limit, measured). Fail closed: an input that is missing or makes no sense raises
InputMissing, a limit that nobody set raises LimitUndefined, and any other exception inside a check is a refusal too.
"""

from __future__ import annotations

from typing import Final

from riskd.case import Case
from riskd.cautious import refusal
from riskd.conduct_checks import CONDUCT_CHECKS
from riskd.entry_form_checks import ENTRY_FORM_CHECKS
from riskd.exposure import CLOSING_ROLES
from riskd.holds import CAUTIOUS_FILTER, HIGHEST_LEVEL, LEVEL_REASON, Action, is_allowed
from riskd.inputs import (
    BLOCK,
    OK,
    PASS,
    CheckFunction,
    InputMissing,
    LimitUndefined,
    Row,
    best_prices,
    bounded,
    cap_of,
    is_blind,
    last_known_price,
    need,
    notional_of,
    price_of,
    qty_of,
    rule_of,
    two_step,
    value_of,
    view_of,
)
from riskd.liquidity_checks import LIQUIDITY_CHECKS
from riskd.margin_checks import MARGIN_CHECKS
from riskd.margin_room import margin_available, margin_needed
from riskd.order_checks import ORDER_CHECKS, RESTING_TYPES
from riskd.rates import NS_PER_MIN, NS_PER_S, SYSTEM
from riskd.readiness_checks import READINESS_CHECKS
from riskd.rules import InstrumentRule, is_operator
from riskd.saga_book import DRILL_STRATEGY
from riskd.settings import NS_PER_MS
from riskd.units import PPM_PER_BPS, with_ppm
from riskd.venue_exposure_check import VENUE_EXPOSURE_CHECKS
from riskd.venue_rule_checks import VENUE_RULE_CHECKS
from riskd.worst_case import cluster_others, exposure, gross_others, open_others
from tradebot.core.approvals import VenueAction
from tradebot.core.intents import Algo
from tradebot.core.levels import TradingLevel
from tradebot.core.market import BookState
from tradebot.core.orders import RESTING_TIMES, OrderRole, OrderType, Side, TimeInForce

_LIVE: Final = int(BookState.LIVE)
_STALE: Final = int(BookState.STALE)
TRIGGER_TYPES: Final = frozenset({OrderType.STOP_LIMIT, OrderType.TAKE_PROFIT_LIMIT})
LADDER_SLACK_PPM: Final = 5_000
"""A reduce command's bound counts from the touch, the collar from the mid: half a very wide spread."""
BLIND_COLLAR_PPM: Final = 500_000
"""Of a reducing order while no price is young enough: what is broken may not forbid closing, a slip of the decimals is
refused all the same.
"""
RISKD_STRATEGY: Final = "riskd"


# ---- AUT


def aut_01(case: Case) -> Row:
    """Everything decodes, order and intent agree."""
    return (BLOCK, "MALFORMED_REQUEST", 0, 0) if case.problem else OK


def aut_02(case: Case) -> Row:
    """The strategy is registered, and enters as the drill's only while a drill is open; a riskd reduce names an open
    command and stays within it.
    """
    if case.role is OrderRole.REDUCE:
        command = case.reduce
        fits = (
            command is not None
            and command.instrument_id == case.instrument_id
            and command.side is case.side
            and case.terms.qty <= command.qty
        )
    else:
        is_drill = case.strategy_id == DRILL_STRATEGY and case.role is OrderRole.ENTRY
        fits = case.registered and (not is_drill or case.books.kills.is_open(case.now_ns))
    return OK if fits else (BLOCK, "CALLER_NOT_AUTHORISED", 0, 0)


def aut_03(case: Case) -> Row:
    """-max_future <= age <= max_age; an intent may ask for a shorter life, not for a longer one."""
    intent = case.intent
    if intent is None or intent.created_time_ns <= 0:
        raise InputMissing
    oldest, future = need(case.books.settings.max_intent_age_ns), need(case.books.settings.max_intent_future_ns)
    if intent.time_to_live_ms > 0:
        oldest = min(oldest, intent.time_to_live_ms * NS_PER_MS)
    age = case.now_ns - intent.created_time_ns
    if age < -future:
        return BLOCK, "INTENT_FROM_FUTURE", -(future // NS_PER_MS), age // NS_PER_MS
    if age > oldest:
        return BLOCK, "INTENT_STALE", oldest // NS_PER_MS, -(-age // NS_PER_MS)
    return PASS, "", oldest // NS_PER_MS, age // NS_PER_MS


def aut_04(case: Case) -> Row:
    """Nothing of it was seen before."""
    return (BLOCK, "DUPLICATE_INTENT", 0, 0) if case.duplicate else OK


# ---- STA


def sta_01(case: Case) -> Row:
    """The level gate."""
    highest = HIGHEST_LEVEL[case.action]
    if is_allowed(case.action, case.level):
        if case.level is TradingLevel.CAUTIOUS and case.action is Action.ENTRY and case.intent is not None:
            return _cautious(case)
        return PASS, "", int(highest), int(case.level)
    return BLOCK, LEVEL_REASON[case.level], int(highest), int(case.level)


def _cautious(case: Case) -> Row:
    """A new entry at CAUTIOUS; children of one that was let pass are not asked again."""
    is_open = abs(case.books.portfolio.net.get(case.instrument_id, 0)) > rule_of(case).dust_qty
    rule = case.books.settings.cautious
    found = refusal(rule, case.guards, case.instrument_id, case.now_ns, is_open=is_open)
    level = int(TradingLevel.CAUTIOUS)
    return (PASS, "", level, level) if found is None else (BLOCK, CAUTIOUS_FILTER, level, level)


def sta_02(case: Case) -> Row:
    """A reducing order is opposite to the position, and with its kind not larger than it."""
    if not case.reducing:
        return OK
    qty, sign = qty_of(case), case.side.sign
    held, owner = closable(case)
    if held * sign >= 0:
        return BLOCK, "NOT_REDUCING", 0, qty
    limit, measured = abs(held), qty
    if case.role in CLOSING_ROLES:
        measured += closing_elsewhere(case, owner)
    if measured > limit:
        return BLOCK, "WOULD_FLIP_POSITION", limit, measured
    if rule_of(case).is_spot and case.role in CLOSING_ROLES:
        net = abs(case.books.portfolio.net.get(case.instrument_id, 0))
        together = qty + closing_elsewhere(case, "")
        if together > net:
            return BLOCK, "WOULD_FLIP_POSITION", net, together
    return PASS, "", limit, measured


def closable(case: Case) -> tuple[int, str]:
    """Return (signed units that this order may close, owner): the strategy's own, else everybody's for riskd and
    operators.
    """
    portfolio = case.books.portfolio
    owner = case.reduce.strategy_id if case.reduce is not None else case.strategy_id
    own = portfolio.units_of(case.instrument_id, owner)
    if own == 0 and (is_operator(owner) or owner in ("", RISKD_STRATEGY)):
        return portfolio.net.get(case.instrument_id, 0), ""
    return own, owner


def closing_elsewhere(case: Case, owner: str) -> int:
    """Return unfilled closing quantity of that side and owner. Exit plans reserve nothing: this ask is not in it."""
    return case.books.commitments.closing.get((case.instrument_id, owner, case.side), 0)


def sta_03(case: Case) -> Row:
    """The venue works, its private side is live and reconciled, and execd speaks to us."""
    status, settings = case.venue_status, case.books.settings
    oldest, silence = need(settings.max_reconcile_age_ns), need(settings.max_session_age_ns)
    if status is None or case.session_age_ns is None:
        raise InputMissing
    silent = abs(case.session_age_ns)  # what comes from the future would never age, here and below
    if not status.private_stream_live or silent > silence:
        return BLOCK, "VENUE_UNAVAILABLE", silence // NS_PER_MS, silent // NS_PER_MS
    if status.maintenance:
        return BLOCK, "VENUE_MAINTENANCE", 0, 0
    if status.reconciling or status.reconciled_time_ns <= 0:
        return BLOCK, "STREAM_RECONCILING", oldest // NS_PER_MS, 0
    age = abs(case.now_ns - status.reconciled_time_ns)
    if age > oldest:
        return BLOCK, "STREAM_RECONCILING", oldest // NS_PER_MS, -(-age // NS_PER_MS)
    return PASS, "", oldest // NS_PER_MS, age // NS_PER_MS


def sta_04(case: Case) -> Row:
    """The venue takes orders."""
    return OK if rule_of(case).trading else (BLOCK, "INSTRUMENT_NOT_TRADING", 0, 0)


def sta_05(case: Case) -> Row:
    """On the allow list, not on the deny list."""
    deny = case.books.settings.deny
    if deny is None:
        raise LimitUndefined
    fits = case.listed and case.instrument_id not in deny
    return OK if fits else (BLOCK, "INSTRUMENT_RESTRICTED", 0, 0)


# ---- MKT


def mkt_01(case: Case) -> Row:
    """The book is young."""
    view, oldest = view_of(case), need(rule_of(case).max_book_age_ns)
    if view.updated_ns <= 0:
        raise InputMissing
    age = abs(case.now_ns - view.updated_ns)  # one of the far future would never age
    if age > oldest or view.state == _STALE:
        return BLOCK, "BOOK_STALE", oldest // NS_PER_MS, -(-age // NS_PER_MS)
    return PASS, "", oldest // NS_PER_MS, age // NS_PER_MS


def mkt_02(case: Case) -> Row:
    """The book is in sequence."""
    view = view_of(case)
    if view.state == 0:
        raise InputMissing
    fits = view.state in (_LIVE, _STALE)
    return (PASS if fits else BLOCK, "" if fits else "BOOK_OUT_OF_SYNC", _LIVE, view.state)


def mkt_03(case: Case) -> Row:
    """Both sides, bid below ask."""
    view = view_of(case)
    if view.bid <= 0 or view.ask <= 0:
        return BLOCK, "BOOK_ONE_SIDED", view.bid, view.ask
    if view.bid >= view.ask:
        return BLOCK, "BOOK_CROSSED", view.bid, view.ask
    return PASS, "", view.bid, view.ask


# ---- SPC


def spc_01(case: Case) -> Row:
    """Price and trigger on a tick."""
    tick, price = rule_of(case).tick, price_of(case)
    if tick <= 0:
        raise InputMissing
    bad = price if price % tick else case.stop_price if case.stop_price % tick else 0
    return (BLOCK, "PRICE_NOT_ON_TICK", tick, bad) if bad else (PASS, "", tick, price)


def spc_02(case: Case) -> Row:
    """Quantity on a lot."""
    lot, qty = rule_of(case).lot, qty_of(case)
    if lot <= 0:
        raise InputMissing
    return (BLOCK, "QTY_NOT_ON_STEP", lot, qty) if qty % lot else (PASS, "", lot, qty)


def spc_03(case: Case) -> Row:
    """Quantity within the venue's range."""
    rule, qty = rule_of(case), qty_of(case)
    if qty < rule.min_qty:
        return BLOCK, "QTY_BELOW_MIN", rule.min_qty, qty
    return bounded(qty, rule.max_qty, "QTY_ABOVE_VENUE_MAX")


def spc_04(case: Case) -> Row:
    """Notional within the venue's range."""
    rule, notional = rule_of(case), notional_of(case)
    if notional < rule.min_notional:
        return BLOCK, "NOTIONAL_BELOW_MIN", rule.min_notional, notional
    if rule.max_notional is not None:
        return bounded(notional, rule.max_notional, "NOTIONAL_ABOVE_VENUE_MAX")
    return PASS, "", rule.min_notional, notional


def spc_05(case: Case) -> Row:
    """Type, time in force and flags belong together and the venue takes them; a perpetual's leverage is known."""
    rule, terms = rule_of(case), case.terms
    if not rule.order_types:
        raise InputMissing
    kind, rests = terms.order_type, terms.time_in_force in RESTING_TIMES
    fits = (
        kind in RESTING_TYPES
        and kind.name in rule.order_types
        and terms.price is not None
        and (terms.stop_price is not None) == (kind in TRIGGER_TYPES)
        and (rests or kind is OrderType.LIMIT)
        and (not terms.post_only or (rests and kind is OrderType.LIMIT))
        and _expiry_fits(case, rule)
        and (case.intent is None or case.intent.algo is Algo.PLAIN)
        and (case.order is None or _action_fits(case))
        and (rule.is_spot or case.instrument_id in case.books.portfolio.position_margins)
    )
    return OK if fits else (BLOCK, "UNSUPPORTED_ORDER_SPEC", 0, kind.value)


def _expiry_fits(case: Case, rule: InstrumentRule) -> bool:
    """A time to end at comes with GTD alone, lies ahead, and the venue takes it."""
    expires_ns = case.terms.expire_time_ns
    if case.terms.time_in_force is not TimeInForce.GTD:
        return not expires_ns
    return expires_ns > case.now_ns and TimeInForce.GTD.name in rule.order_types


def _action_fits(case: Case) -> bool:
    order = case.order
    assert order is not None
    if order.action is VenueAction.NEW:
        return not order.replaces_client_order_id
    return order.replaces_client_order_id in case.books.commitments.orders


# ---- PRC


def prc_01(case: Case) -> Row:
    """The limit lies near the reference: tightly against paying too much, loosely against a slip of the decimals. So
    does the trigger of an entry, wherever its limit is.
    """
    settings, price = case.books.settings, price_of(case)
    far = need(settings.collar_far)
    collar = need(settings.reduce_collar_ppm) if case.reducing else need(rule_of(case).collar_ppm)
    waits = case.reducing and case.stop_price > 0
    if not waits and is_blind(case):
        reference, collar = last_known_price(case), max(collar, BLIND_COLLAR_PPM)
    else:
        reference = case.stop_price if waits else _reference(case)
    if case.reduce is not None:  # riskd's own ladder chose the bound; the collar must not undo it
        collar = max(collar, case.reduce.bound_bps * PPM_PER_BPS + LADDER_SLACK_PPM)
    near, other = with_ppm(reference, collar), with_ppm(reference, far * collar)
    above, below = (near, other) if case.side is Side.BUY else (other, near)
    high, low = reference + above, reference - below
    fits = low <= price <= high
    if fits and case.stop_price and not waits:
        price = case.stop_price
        fits = low <= price <= high
    is_high = price > reference or (price == reference and case.side is Side.SELL)
    return (PASS if fits else BLOCK, "" if fits else "PRICE_COLLAR", high if is_high else low, price)


def _reference(case: Case) -> int:
    """Return the mid, rounded against the order. Reducing orders take the last good one within its age."""
    bid, ask = best_prices(case)
    return (bid + ask) // 2 if case.side is Side.BUY else -(-(bid + ask) // 2)


# ---- SIZ


def siz_02(case: Case) -> Row:
    """Order value against equity and an absolute cap."""
    return bounded(value_of(case), cap_of(case.books.settings.order_cap, case), "ORDER_NOTIONAL_LIMIT")


def siz_06(case: Case) -> Row:
    """All messages of a parent together stay within it, at no worse price. A sale that closes follows the market: that
    its limit lies near it, PRC-01 sees to.
    """
    if case.intent is not None or case.role not in (OrderRole.ENTRY, OrderRole.EXIT):
        return OK  # asked with its parent, or without any
    parent = case.parent
    if parent is None or parent.closed:
        return BLOCK, "CHILD_EXCEEDS_PARENT", 0, qty_of(case)
    worse = (case.price - parent.price) * case.side.sign > 0 and (case.side is Side.BUY or not case.reducing)
    measured = qty_of(case) + case.books.commitments.drawn(parent)
    fits = measured <= parent.qty and not worse and parent.side is case.side
    fits = fits and parent.instrument_id == case.instrument_id and parent.strategy_id == case.strategy_id
    return (PASS if fits else BLOCK, "" if fits else "CHILD_EXCEEDS_PARENT", parent.qty, measured)


# ---- POS


def free_balance(case: Case) -> int:
    """Return the free balance that this order would use: quote for a buy, base for a sell."""
    rule, portfolio = rule_of(case), case.books.portfolio
    if rule.venue not in portfolio.snapshot_venues:
        raise InputMissing
    key = (rule.venue, rule.quote if case.side is Side.BUY else rule.base)
    return portfolio.balances.get(key, 0) - case.books.commitments.by_asset.get(key, 0)


def pos_01(case: Case) -> Row:
    """Enough is free: balance for spot, margin for perpetuals."""
    need(case.books.settings.fee_ppm)
    qty = qty_of(case)
    if not rule_of(case).is_spot:
        return bounded(margin_needed(case, qty), margin_available(case), "INSUFFICIENT_FUNDS")
    needed = case.books.commitments.buy_cost(price_of(case), qty) if case.side is Side.BUY else qty
    return bounded(needed, free_balance(case), "INSUFFICIENT_FUNDS")


def pos_02(case: Case) -> Row:
    """Worst-case position of the instrument."""
    settings = case.books.settings
    measured = exposure(case)
    hard, soft = cap_of(settings.position_hard, case), cap_of(settings.position_soft, case)
    return two_step(measured, hard, soft, "POSITION_LIMIT")


def pos_03(case: Case) -> Row:
    """Instruments held or entered."""
    return bounded(open_others(case) + 1, need(case.books.settings.max_positions), "OPEN_POSITION_COUNT")


def pos_04(case: Case) -> Row:
    """Gross exposure."""
    settings = case.books.settings
    hard, soft = cap_of(settings.gross_hard, case), cap_of(settings.gross_soft, case)
    return two_step(gross_others(case) + exposure(case), hard, soft, "GROSS_EXPOSURE_LIMIT")


def pos_07(case: Case) -> Row:
    """Instruments that move together, as if they were one; what moves alone is POS-02's."""
    settings = case.books.settings
    hard, soft, others = (
        cap_of(settings.cluster_hard, case), cap_of(settings.cluster_soft, case), cluster_others(case)
    )  # fmt: skip
    if others is None:
        return PASS, "", hard, 0
    return two_step(others + exposure(case), hard, soft, "CORRELATION_LIMIT")


# ---- RAT, PNL


def rat_01(case: Case) -> Row:
    """Token buckets; the first that is empty is reported."""
    settings, rates = case.books.settings, case.books.rates
    measured = limit = 0
    for owner, per, period in (
        (case.strategy_id, need(settings.strategy_per_second), NS_PER_S),
        (case.strategy_id, need(settings.strategy_per_minute), NS_PER_MIN),
        (SYSTEM, need(settings.system_per_second), NS_PER_S),
    ):
        limit, measured = per, rates.used(owner, per, period, case.now_ns) + 1
        if measured > limit:
            return BLOCK, "ORDER_RATE_LIMIT", limit, measured
    return PASS, "", limit, measured


def pnl_01(case: Case) -> Row:
    """The day's loss has not reached the trigger in force."""
    if case.books.settings.loss is None or case.loss is None:
        raise LimitUndefined
    if case.day_ppm is None:
        raise InputMissing
    trigger = case.loss.trigger_ppm
    fits = case.day_ppm > trigger
    return (PASS if fits else BLOCK, "" if fits else "DAY_LOSS_PAUSE", trigger, case.day_ppm)


def undefined(case: Case) -> Row:
    """A check that the limits file does not mention."""
    raise LimitUndefined


CHECKS: Final[dict[str, CheckFunction]] = {
    **ORDER_CHECKS,
    **CONDUCT_CHECKS,
    **READINESS_CHECKS,
    **VENUE_EXPOSURE_CHECKS,
    **VENUE_RULE_CHECKS,
    **ENTRY_FORM_CHECKS,
    **LIQUIDITY_CHECKS,
    **MARGIN_CHECKS,
    "AUT-01": aut_01,
    "AUT-02": aut_02,
    "AUT-03": aut_03,
    "AUT-04": aut_04,
    "STA-01": sta_01,
    "STA-02": sta_02,
    "STA-03": sta_03,
    "STA-04": sta_04,
    "STA-05": sta_05,
    "MKT-01": mkt_01,
    "MKT-02": mkt_02,
    "MKT-03": mkt_03,
    "SPC-01": spc_01,
    "SPC-02": spc_02,
    "SPC-03": spc_03,
    "SPC-04": spc_04,
    "SPC-05": spc_05,
    "PRC-01": prc_01,
    "SIZ-02": siz_02,
    "SIZ-06": siz_06,
    "POS-01": pos_01,
    "POS-02": pos_02,
    "POS-03": pos_03,
    "POS-04": pos_04,
    "POS-07": pos_07,
    "RAT-01": rat_01,
    "PNL-01": pnl_01,
}
