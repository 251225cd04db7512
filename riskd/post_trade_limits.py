"""Limits of the checks after the trade: PTR of the limits file."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from riskd.base_limits import Enforced, NonNegativeDecimal, PositiveInt


class OrdersOut(Enforced):
    """PTR-01."""

    max_silence_s: PositiveInt = 60
    """Without a complete look at a venue for so long, nothing may increase exposure there."""


class PositionDrift(Enforced):
    """PTR-03."""

    max_steps: PositiveInt = 1
    """Lots between the venue's position and ours, inclusive."""
    fill_grace_s: PositiveInt = 60
    """A fill that the venue shows and that execd has not told after so long, although it has reconciled since, is a
    difference of its own.
    """


class BalanceDrift(Enforced):
    """PTR-04."""

    max_drift_pct: NonNegativeDecimal
    """Of the balance, inclusive; one price step of the asset is always allowed."""


class UnprotectedPosition(Enforced):
    """PTR-06: a position that was granted a stop and does not rest behind one for all of it."""

    alarm_s: Annotated[int, Field(gt=0, le=60)] = 5
    """Longer than this and no entry is allowed in the instrument."""
    action_s: Annotated[int, Field(gt=0, le=300)] = 15
    """Longer than this and riskd closes the position; a person has to look before anything is entered there again."""
