"""Does a limits profile agree with itself? Whatever it leads to must be an order that the venue takes and the other
limits let pass; a profile that can only ever refuse is refused itself, with the numbers.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal

from riskd.sizing_limits import FixedQuote, KellyLite, PerTradeAllocation, RiskPerTrade, Sizing, VolatilityTarget
from tradebot.core.amounts import format_decimal
from tradebot.core.instruments import Instrument, Product

HUNDRED = Decimal(100)


@dataclass(frozen=True, slots=True)
class ShareCap:
    """A limit that is a share of equity and an absolute amount."""

    where: str
    key: str
    pct: Decimal
    amount: Decimal
    amount_key: str = "max_notional"
    share: Decimal = Decimal(1)
    """Of an entry's value that counts towards the cap: less than 1 where the cap is on a loss."""


@dataclass(frozen=True, slots=True)
class Size:
    """An amount of account currency, and where it comes from."""

    name: str
    amount: Decimal


@dataclass(frozen=True, slots=True)
class ProfileNumbers:
    """What must agree. Amounts in account currency; None = not enforced or not stated."""

    sizing: Sizing
    caps: tuple[ShareCap, ...]
    """All that are enforced, but for POS-09."""
    allocations: tuple[ShareCap, ...]
    """POS-09, one of each strategy: a small one says nothing of an instrument."""
    max_positions: int | None
    pause_at_pct: Decimal | None
    cautious: Decimal
    tier: Decimal
    """Of the deployment, STA-08."""
    start: Decimal | None
    minimum: Mapping[str, Decimal]
    kept: Decimal
    """Least share of an entry that closes it, which SPC-08 demands: after the fee, at the widest stop of PRC-05, by an
    emergency exit.
    """
    bounds: tuple[Size, ...]
    """What no entry can be worth more than, at whatever level: what may lie at its venue (POS-08), what a day may
    trade (RAT-10).
    """
    carried: Size | None
    """The same of a derivative: what the start capital carries (POS-10)."""


def largest_sizes(sizing: Sizing) -> list[Size]:
    """Return the largest orders that a method asks for, before any check makes them smaller."""
    match sizing:
        case FixedQuote():
            return [Size("sizing.quote_amount", sizing.quote_amount)]
        case PerTradeAllocation():
            if sizing.adapt is None:
                return [Size("sizing.max_per_trade", sizing.max_per_trade)]
            most = sizing.max_per_trade * sizing.adapt.max_factor
            return [Size("sizing.max_per_trade x adapt.max_factor", most)]
        case KellyLite():
            return [Size("sizing.max_per_trade", sizing.max_per_trade)]
        case VolatilityTarget():
            return [Size("sizing.per_symbol_cap", sizing.per_symbol_cap)]
        case RiskPerTrade():
            return []  # the stop decides


def smallest_sizes(numbers: ProfileNumbers) -> list[Size]:
    """Return the sizes that must still be orders: normal, at CAUTIOUS, after a losing stretch, shared among slots."""
    sizing, factor = numbers.sizing, numbers.cautious * numbers.tier
    tiered = "" if numbers.tier == 1 else " x checks.STA-08.tier"
    smaller = f" x cautious_size_factor{tiered}"
    found = [
        Size(f"{size.name}{smaller}", size.amount * factor)
        for size in largest_sizes(sizing)
        if not (isinstance(sizing, PerTradeAllocation) and sizing.adapt is not None)
    ]
    if isinstance(sizing, PerTradeAllocation):
        if sizing.adapt is not None:
            name = f"sizing.max_per_trade x adapt.min_factor{smaller}"
            found.append(Size(name, sizing.max_per_trade * sizing.adapt.min_factor * factor))
        if numbers.start is not None:
            share = numbers.start / sizing.max_open_trades * numbers.tier
            found.append(Size(f"start_capital / sizing.max_open_trades{tiered}", share))
    if isinstance(sizing, KellyLite) and numbers.start is not None:
        share = numbers.start * sizing.unproven_pct / HUNDRED * numbers.tier
        found.append(Size(f"start_capital x sizing.unproven_pct{tiered}", share))
    return found + _sizes_of(numbers.caps, numbers)


def _sizes_of(caps: Iterable[ShareCap], numbers: ProfileNumbers) -> list[Size]:
    """Return what caps leave for one entry, normal and at CAUTIOUS."""
    factor = numbers.cautious * numbers.tier
    tiered = "" if numbers.tier == 1 else " x checks.STA-08.tier"
    smaller, found = f" x cautious_size_factor{tiered}", []
    for cap in caps:
        lost = "" if cap.share == 1 else f" / {_text(cap.share)} that an entry may lose"
        found.append(Size(f"{cap.where}.{cap.amount_key}{smaller}{lost}", cap.amount * factor / cap.share))
        if numbers.start is not None:
            share = numbers.start * cap.pct / HUNDRED * factor / cap.share
            found.append(Size(f"start_capital x {cap.where}.{cap.key}{smaller}{lost}", share))
    return found


def profile_contradictions(numbers: ProfileNumbers) -> list[str]:
    """Return what cannot be meant as written, with the numbers."""
    found = [
        _too_small(size, f"venue_minimum.{venue}", least, numbers.kept)
        for venue, least in sorted(numbers.minimum.items())
        for size in (*smallest_sizes(numbers), *_sizes_of(numbers.allocations, numbers), *numbers.bounds)
        if size.amount * numbers.kept < least
    ]
    if numbers.start is not None:
        for cap in numbers.caps:
            if cap.where != "checks.SIZ-02":  # it is about one order; the others about sums
                continue
            share = numbers.start * cap.pct / HUNDRED
            found += sizing_above(numbers, f"start_capital x {cap.where}.{cap.key}", share)
    for bound in numbers.bounds:
        found += sizing_above(numbers, bound.name, bound.amount)
    return found + _of_method(numbers)


def sizing_above(numbers: ProfileNumbers, cap_name: str, cap: Decimal) -> list[str]:
    """Return the sizes that a cap on one order would always refuse or clip."""
    return [
        f"{size.name} is {_text(size.amount)}, above {cap_name} {_text(cap)}: lower it or raise the other"
        for size in largest_sizes(numbers.sizing)
        if size.amount > cap and not isinstance(numbers.sizing, VolatilityTarget)
    ]


def spreads_above(spreads: Mapping[str, int], slippage: int) -> list[str]:
    """Return the spreads (bps, by instrument) that MKT-04 lets pass while PRC-03 (bps) refuses whoever takes the best
    offer, which lies half of the spread beyond the mid.
    """
    return [
        _above(f"half of checks.MKT-04.max_spread_bps.{key} {bps}", half, "checks.PRC-03.max_slippage_bps", most)
        for key, bps in sorted(spreads.items())
        if (half := Decimal(bps) / 2) > (most := Decimal(slippage))
    ]


def _of_method(numbers: ProfileNumbers) -> list[str]:
    match numbers.sizing:
        case PerTradeAllocation() as sizing:
            return _allocation(sizing, numbers)
        case VolatilityTarget() as sizing:
            found = [] if sizing.per_symbol_cap <= sizing.total_cap else [
                _above("sizing.per_symbol_cap", sizing.per_symbol_cap, "sizing.total_cap", sizing.total_cap)
            ]  # fmt: skip
            for cap in numbers.caps:
                ours = {"checks.POS-02": sizing.per_symbol_cap, "checks.POS-04": sizing.total_cap}.get(cap.where)
                if ours is not None and ours > cap.amount:
                    name = "sizing.per_symbol_cap" if cap.where == "checks.POS-02" else "sizing.total_cap"
                    found.append(_above(name, ours, f"{cap.where}.max_notional", cap.amount))
            return found
        case RiskPerTrade() as sizing:
            pause = numbers.pause_at_pct
            if pause is not None and sizing.risk_pct >= -pause:
                return [
                    _above(
                        "sizing.risk_pct", sizing.risk_pct, "the day's whole loss checks.PNL-01.pause_at_pct", -pause
                    )
                ]
            return []
        case KellyLite() as sizing:
            return _trips("sizing", sizing.min_trips, sizing.window)
        case _:
            return []


def _allocation(sizing: PerTradeAllocation, numbers: ProfileNumbers) -> list[str]:
    found: list[str] = []
    trades, most = sizing.max_open_trades, numbers.max_positions
    if most is not None and trades > most:
        found.append(_above("sizing.max_open_trades", Decimal(trades), "checks.POS-03.max_positions", Decimal(most)))
    for cap in numbers.caps:
        together = trades * sizing.max_per_trade
        if cap.where == "checks.POS-04" and together > cap.amount:
            name = f"sizing.max_open_trades {trades} x max_per_trade {_text(sizing.max_per_trade)}"
            found.append(_above(name, together, "checks.POS-04.max_notional", cap.amount))
    adapt = sizing.adapt
    if adapt is not None:
        found += _trips("sizing.adapt", adapt.min_trips, adapt.window)
        low, high = adapt.lower_at_win_pct, adapt.raise_at_win_pct
        if low > high:
            found.append(_above("sizing.adapt.lower_at_win_pct", low, "raise_at_win_pct", high))
        if high == HUNDRED:
            found.append("sizing.adapt.raise_at_win_pct is 100: nothing is above it; lower it or leave adapt out")
    return found


def _trips(where: str, least: int, window: int) -> list[str]:
    if least <= window:
        return []
    return [_above(f"{where}.min_trips", Decimal(least), "window", Decimal(window))]


def _above(name: str, value: Decimal, cap_name: str, cap: Decimal) -> str:
    return f"{name} is {_text(value)}, above {cap_name} {_text(cap)}: lower it or raise the other"


def _too_small(size: Size, name: str, least: Decimal, kept: Decimal) -> str:
    stop = "" if kept == 1 else f" / {_text(kept)} that fee, widest stop and emergency exit leave (SPC-08, PRC-05)"
    below = f"below {name} {_text(least)}{stop}"
    return f"{size.name} is {_text(size.amount)}, {below}: no order could be that small; raise it"


def _text(value: Decimal) -> str:
    return format_decimal(round(value, 8))


def below_venue_rules(numbers: ProfileNumbers, instruments: Iterable[Instrument]) -> dict[str, str]:
    """Return instrument -> why the profile cannot trade it, with the numbers.

    For instruments that are quoted in the account currency; of others the rate is not known here.
    """
    found: dict[str, str] = {}
    for instrument in instruments:
        carried = () if numbers.carried is None or instrument.product is Product.SPOT else (numbers.carried,)
        for bound in carried:
            for problem in sizing_above(numbers, bound.name, bound.amount):
                found.setdefault(instrument.instrument_id, f"{instrument.instrument_id}: {problem}")
        for size in (*smallest_sizes(numbers), *numbers.bounds, *carried):
            if size.amount * numbers.kept < instrument.min_notional:
                name = f"{instrument.instrument_id} min_notional"
                problem = _too_small(size, name, instrument.min_notional, numbers.kept)
                found.setdefault(instrument.instrument_id, problem)
    return found
