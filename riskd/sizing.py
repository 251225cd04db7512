"""How large an order is when the intent leaves it to riskd: entries by the method of the limits file, exits by the
position.

A sized entry is clipped to the strictest headroom and says which factor or check bound it; an entry whose sender named
a quantity is never clipped, only refused.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from decimal import Decimal
from typing import Final

from riskd.caps import Cap
from riskd.case import Case
from riskd.checks import closable, closing_elsewhere, free_balance
from riskd.conduct_checks import allocation_of, heat_before, stop_of, strategy_used
from riskd.inputs import InputMissing, LimitUndefined, cap_of, need
from riskd.liquidity_checks import best_depth, depth_multiple_ppm, order_qty_room, participation_room
from riskd.margin_room import margin_available, margin_qty, notional_qty
from riskd.order_checks import unfilled_value
from riskd.sizing_methods import (
    Offer,
    SizingRule,
    adaptation_ppm,
    kelly_ppm,
    per_trade_allocation,
    risk_per_trade,
    smallest,
    volatility_target,
)
from riskd.units import PPM, UNIT, floor_to, to_units_floor
from riskd.worst_case import (
    base_others,
    cluster_others,
    gross_others,
    leaning_qty,
    net_others,
    sides_beside,
    value_price,
    worst_qty,
)
from tradebot.core.orders import Side
from tradebot.core.values import value


@value(frozen=True, slots=True)
class Sized:
    """A quantity in units and the factor or check that decided it (empty = the position, or the sender)."""

    qty: int
    binding: str = ""


def size_exit(case: Case) -> Sized:
    """Return what is left to close: the position minus what other closing orders already take, in whole lots."""
    assert case.rule is not None
    held, owner = closable(case)
    if held * case.side.sign >= 0:
        return Sized(0)
    return Sized(floor_to(max(0, abs(held) - closing_elsewhere(case, owner)), case.rule.lot))


def size_entry(case: Case, strength: Decimal, enforced: frozenset[str]) -> Sized:
    """Return the quantity of an entry.

    Args:
        case: The ask; price is known, quantity is not.
        strength: In (0, 1].
        enforced: Checks in force; others bind nothing.
    """
    rule, price = case.rule, case.price
    if rule is None or price <= 0 or not 0 < strength <= 1:
        return Sized(0)
    try:
        offer = METHODS[case.books.settings.sizing.method](case, to_units_floor(strength) * case.factor_ppm // PPM)
    except (InputMissing, LimitUndefined):
        return Sized(0, "SIZING_INPUT_MISSING")
    wanted = floor_to(rule.contract.qty_for(offer.amount, price), rule.lot)
    best, binding = wanted, offer.factor
    for check_id, headroom in HEADROOMS.items():
        if check_id not in enforced:
            continue
        try:
            room = floor_to(max(0, headroom(case)), rule.lot)
        except (InputMissing, LimitUndefined):
            continue  # the check itself refuses, with the right reason
        if room < best:
            best, binding = room, check_id
    if best < rule.min_qty or rule.contract.quote_notional(best, price) < rule.min_notional:
        return Sized(wanted, offer.factor)  # nothing useful fits: let the binding check say so
    return Sized(best, binding)


# ---- methods: the amount of an entry in quote asset, at a size factor in units (strength x level)


def _fixed_quote(case: Case, size: int) -> Offer:
    return Offer(_rule(case).amount * size // UNIT, "fixed_quote")


def _per_trade_allocation(case: Case, size: int) -> Offer:
    rule, cap = _rule(case), _rule(case).amount
    if rule.adapt is not None:
        stats = case.books.portfolio.trip_stats(case.strategy_id, rule.adapt.window)
        cap = cap * adaptation_ppm(rule.adapt, stats, case.day_ppm) // PPM
    per_trade = per_trade_allocation(_available(case), rule.max_open_trades, _in_quote(case, cap))
    day_start = case.books.portfolio.day_start
    if day_start is None or day_start <= 0:
        raise InputMissing
    room = day_start * rule.daily_ppm // PPM * case.factor_ppm // PPM - gross_others(case)
    allocation = Offer(_in_quote(case, room) - _own_exposure(case), "daily_allocation")
    return smallest(Offer(per_trade.amount * size // UNIT, per_trade.factor), allocation)


def _risk_per_trade(case: Case, size: int) -> Offer:
    rule = _rule(case)
    plan = None if case.intent is None else case.intent.protection.stop_loss_fraction
    stop_ppm = rule.default_stop_ppm if plan is None else math.ceil(plan * PPM)
    if stop_ppm <= 0:
        raise InputMissing
    offer = risk_per_trade(_equity(case), rule.share_ppm, rule.amount, stop_ppm, rule.cost_ppm)
    return Offer(_in_quote(case, offer.amount) * size // UNIT, offer.factor)


def _volatility_target(case: Case, size: int) -> Offer:
    rule, own = _rule(case), _own_exposure(case)
    seen = case.books.board.volatility_ppm(case.instrument_id, rule.warm_up_min) or rule.cold_vol_ppm
    if not seen:
        raise InputMissing
    offer = volatility_target(rule.amount, rule.share_ppm, max(seen, rule.min_vol_ppm))
    symbol = _in_quote(case, rule.per_symbol_cap * case.factor_ppm // PPM) - own
    total = _in_quote(case, rule.total_cap * case.factor_ppm // PPM - gross_others(case)) - own
    wanted = Offer(_in_quote(case, offer.amount) * size // UNIT, offer.factor)
    return smallest(wanted, Offer(symbol, "per_symbol_cap"), Offer(total, "total_cap"))


def _kelly_lite(case: Case, size: int) -> Offer:
    rule = _rule(case)
    stats = case.books.portfolio.trip_stats(case.strategy_id, rule.window)
    proven = stats.trips >= rule.min_trips
    share = kelly_ppm(stats, rule.share_ppm, rule.clip_ppm) if proven else rule.unproven_ppm
    wanted = Offer(_equity(case) * share // PPM, "kelly_lite" if proven else "kelly_unproven")
    offer = smallest(wanted, Offer(rule.amount, "max_per_trade"))
    return Offer(_in_quote(case, offer.amount) * size // UNIT, offer.factor)


METHODS: Final[dict[str, Callable[[Case, int], Offer]]] = {
    "fixed_quote": _fixed_quote,
    "per_trade_allocation": _per_trade_allocation,
    "risk_per_trade": _risk_per_trade,
    "volatility_target": _volatility_target,
    "kelly_lite": _kelly_lite,
}


def _rule(case: Case) -> SizingRule:
    return case.books.settings.sizing


def _equity(case: Case) -> int:
    if case.equity is None or case.equity <= 0:
        raise InputMissing
    return case.equity


def _in_quote(case: Case, value: int) -> int:
    """Return account currency as quote asset, rounded down."""
    rate = None if case.rule is None else case.books.board.rate(case.rule.quote, long=False)
    if not rate:
        raise InputMissing
    return value * UNIT // rate


def _available(case: Case) -> int:
    """Return the free balance that entries are paid from, whatever their side."""
    rule, portfolio = case.rule, case.books.portfolio
    if rule is None or rule.venue not in portfolio.snapshot_venues:
        raise InputMissing
    key = (rule.venue, rule.quote)
    return max(0, portfolio.balances.get(key, 0) - case.books.commitments.by_asset.get(key, 0))


def _own_exposure(case: Case) -> int:
    """Return the worst-case value of this instrument without the new order, quote asset, rounded up."""
    assert case.rule is not None
    return case.rule.contract.quote_notional(_worst_before(case), value_price(case))


# ---- headrooms: the largest quantity in units that a check would let pass


def _quote_room(case: Case, cap: Cap | None) -> int:
    """Return a cap in the instrument's quote asset."""
    if cap is None:
        raise InputMissing
    return _in_quote(case, cap.of(_equity(case), case.factor_ppm))


def _order_qty(case: Case) -> int:
    if case.rule is None or case.rule.max_order_qty is None:
        raise LimitUndefined
    return case.rule.max_order_qty


def _qty(case: Case, quote: int, price: int = 0) -> int:
    """Return the quantity that an amount of quote asset is worth at a price, else at the order's; 0 for none."""
    assert case.rule is not None
    return case.rule.contract.qty_for(quote, price or case.price)


def _order_value(case: Case) -> int:
    return _qty(case, _quote_room(case, case.books.settings.order_cap))


def _depth(case: Case) -> int:
    return best_depth(case) * PPM // depth_multiple_ppm(case)


def _balance(case: Case) -> int:
    if case.rule is not None and not case.rule.is_spot:
        return margin_qty(case, margin_available(case))
    free = free_balance(case)
    if case.side is Side.SELL:
        return free
    fee = case.books.commitments.fee_ppm
    # Twice rounded up in the check (notional, then fee): two units of slack keep the sized order inside.
    return (free - 2) * PPM // (PPM + fee) * UNIT // case.price


def _trade_risk(case: Case) -> int:
    orders = case.books.settings.orders
    costs = need(orders.trade_cost_ppm) * (UNIT // PPM)
    return _at_risk(case, _quote_room(case, orders.trade_risk), stop_of(case) + costs)


def _at_risk(case: Case, room: int, share: int) -> int:
    """Return the quantity that loses a quote amount when this share (units) of its value is lost.

    The checks round up twice, notional and risk: three units of slack keep the sized order inside.
    """
    if share <= 0:
        raise InputMissing
    return _qty(case, (room - 3) * UNIT // share)


def _position(case: Case) -> int:
    room = _quote_room(case, case.books.settings.position_hard)
    return _qty(case, room, value_price(case)) - _worst_before(case)


def _gross(case: Case) -> int:
    return _beside(case, case.books.settings.gross_hard, gross_others(case))


def _net(case: Case) -> int:
    room = cap_of(case.books.settings.orders.net_exposure, case) - net_others(case) - 2
    return 0 if room < 0 else _qty(case, _in_quote(case, room), value_price(case)) - leaning_qty(case, 0)


def _concentration(case: Case) -> int:
    return _beside(case, case.books.settings.orders.concentration, base_others(case))


def _cluster(case: Case) -> int:
    others = cluster_others(case)
    if others is None:
        return _order_qty(case)  # binds nothing that SIZ-01 does not
    return _beside(case, case.books.settings.cluster_hard, others)


def _allocation(case: Case) -> int:
    return _qty(case, _in_quote(case, allocation_of(case) - strategy_used(case) - 2))


def _leverage(case: Case) -> int:
    rule = case.books.settings.orders.leverage
    if rule is None or case.rule is None:
        raise LimitUndefined
    if case.rule.is_spot:
        return _order_qty(case)  # binds nothing that SIZ-01 does not
    equity = margin_available(case)
    by_notional = notional_qty(case, equity * rule.leverage_ppm // PPM)
    return min(by_notional, margin_qty(case, equity * rule.margin_ppm // PPM))


def _open_orders(case: Case) -> int:
    cap = cap_of(case.books.settings.orders.open_order_value, case)
    return _qty(case, _in_quote(case, cap - unfilled_value(case) - 2))


def _heat(case: Case) -> int:
    room = cap_of(case.books.settings.orders.heat, case) - heat_before(case)
    return _at_risk(case, _in_quote(case, room), stop_of(case))


def _stress(case: Case) -> int:
    rule = case.books.settings.orders.stress
    if rule is None:
        raise LimitUndefined
    buys, beside = case.side is Side.BUY, sides_beside(case)
    room = cap_of(rule.hard, case) * PPM // (rule.fall_ppm if buys else rule.rise_ppm) - beside[not buys] - 2
    return 0 if room < 0 else _qty(case, _in_quote(case, room), value_price(case)) - leaning_qty(case, 0)


def _beside(case: Case, cap: Cap | None, others: int) -> int:
    """Return what fits under a cap on the worst case of this instrument and others."""
    return _qty(case, _in_quote(case, cap_of(cap, case) - others - 2), value_price(case)) - _worst_before(case)


def _worst_before(case: Case) -> int:
    return worst_qty(case, 0)


HEADROOMS: Final[dict[str, Callable[[Case], int]]] = {
    "MKT-06": _depth,
    "SIZ-01": order_qty_room,
    "SIZ-02": _order_value,
    "SIZ-03": _trade_risk,
    "SIZ-04": participation_room,
    "POS-01": _balance,
    "POS-02": _position,
    "POS-04": _gross,
    "POS-05": _net,
    "POS-06": _concentration,
    "POS-07": _cluster,
    "POS-09": _allocation,
    "POS-10": _leverage,
    "POS-11": _open_orders,
    "POS-12": _heat,
    "POS-13": _stress,
}
"""Catalogue order."""
