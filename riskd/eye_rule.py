"""Limits of the checks that the eyes feed, as ints."""

from __future__ import annotations

from dataclasses import dataclass

from riskd.base_limits import Enforced
from riskd.limits import Limits
from riskd.post_trade_limits import BalanceDrift, OrdersOut, PositionDrift
from riskd.units import PPM_PER_PCT

NS_PER_S = 1_000_000_000


@dataclass(frozen=True, slots=True)
class EyeRule:
    """None or False = the check is off."""

    orders: bool
    """PTR-01."""
    max_silence_ns: int
    foreign: bool
    """PTR-05: orders without an id of our shape are judged by it. Off: PTR-01 judges every order, the account being
    ours alone.
    """
    max_steps: int | None
    """PTR-03."""
    fill_grace_ns: int
    drift_ppm: int | None
    """PTR-04."""


def make_eye_rule(limits: Limits) -> EyeRule:
    """Return the ints of a limits file."""
    orders, position = limits.enforced("PTR-01", OrdersOut), limits.enforced("PTR-03", PositionDrift)
    balance, foreign = limits.enforced("PTR-04", BalanceDrift), limits.enforced("PTR-05", Enforced)
    return EyeRule(
        orders is not None,
        0 if orders is None else orders.max_silence_s * NS_PER_S,
        foreign is not None,
        None if position is None else position.max_steps,
        0 if position is None else position.fill_grace_s * NS_PER_S,
        None if balance is None else int(balance.max_drift_pct * PPM_PER_PCT),
    )
