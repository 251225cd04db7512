"""Limits of the checks after the trade: PTR of the limits file."""

from __future__ import annotations

from decimal import Decimal
from typing import Annotated, Literal

from pydantic import Field

from riskd.base_limits import Day_s, Enforced, PositiveInt


class OrdersOut(Enforced):
    """PTR-01."""

    max_silence_s: Annotated[int, Field(gt=0, le=3_600)] = 60
    """Without a complete look at a venue for so long, nothing may increase exposure there."""


class PositionDrift(Enforced):
    """PTR-03."""

    max_steps: PositiveInt = 1
    """Lots between the venue's position and ours, inclusive."""
    fill_grace_s: Day_s = 60
    """A fill that the venue shows and that execd has not told after so long, although it has reconciled since, is a
    difference of its own.
    """


class BalanceDrift(Enforced):
    """PTR-04."""

    max_drift_pct: Annotated[Decimal, Field(ge=0, le=100)]
    """Of the balance, inclusive; one price step of the asset is always allowed."""


class UnprotectedPosition(Enforced):
    """PTR-06: a position that was granted a stop and does not rest behind one for all of it."""

    alarm_s: Annotated[int, Field(gt=0, le=60)] = 5
    """Longer than this and no entry is allowed in the instrument."""
    action_s: Annotated[int, Field(gt=0, le=300)] = 15
    """Longer than this and riskd closes the position; a person has to look before anything is entered there again."""


class Dependencies(Enforced):
    """PTR-07: silence of those that trading depends on."""

    watched: Annotated[tuple[Literal["marketdata", "execd", "recorder"], ...], Field(min_length=1)] = (
        "marketdata",
        "execd",
        "recorder",
    )
    reduce_only_s: Annotated[int, Field(ge=2, le=60)] = 2
    """Longer than this and nothing may increase exposure. marketdata speaks at least once a second."""
    pause_s: Annotated[int, Field(gt=0, le=300)] = 5
    """Longer than this and strategies do nothing at all."""


class JournalSpace(Enforced):
    """PTR-08: riskd's journal and its disk."""

    min_free_gib: Annotated[Decimal, Field(gt=0, le=10_000)] = Decimal(5)
    max_sync_p99_ms: Annotated[int, Field(gt=0, le=10_000)] = 250
    """99th percentile of a minute; also the longest that a sync may hang."""
    min_syncs: PositiveInt = 20
    """Fewer than this within the minute prove nothing of the percentile."""
