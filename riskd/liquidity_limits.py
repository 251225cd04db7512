"""Limits of the checks that look at what the market can carry, and at what others say it is worth."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Annotated, Final

from pydantic import Field

from riskd.base_limits import Enforced


class ReferenceDivergence(Enforced):
    """MKT-05: the mid against the median of mark, index and the same market at other venues, of which two are told."""

    max_divergence_bps: Annotated[int, Field(gt=0, le=1_000)] = 100


class MinimumDepth(Enforced):
    """MKT-06. riskd sees the best offer alone: what lies behind it counts for nothing."""

    min_depth_multiple: Annotated[Decimal, Field(ge=1, le=100)] = Decimal(3)
    """Of the order's quantity."""
    depth_within_bps: Annotated[int, Field(gt=0, le=100)] = 10
    """Of the mid; a best offer farther away is no depth."""


class Slippage(Enforced):
    """PRC-03. riskd sees the best offer alone: the rest is taken to fill at the order's limit."""

    max_slippage_bps: Annotated[int, Field(gt=0, le=1_000)] = 20


class EdgeCoversCost(Enforced):
    """PRC-08. An entry whose intent says nothing of its edge is refused."""

    min_cost_multiple: Annotated[Decimal, Field(gt=0, le=100)] = Decimal(1)
    """Of taker fees both ways and what the entry pays beyond the mid."""


class Participation(Enforced):
    """SIZ-04. riskd sees a lower bound of the volume: the true share is smaller."""

    max_share_pct: Annotated[Decimal, Field(gt=0, le=100)] = Decimal(10)
    """Of what was traded within the last minute."""


LIQUIDITY_MODELS: Final[Mapping[str, type[Enforced]]] = {
    "MKT-05": ReferenceDivergence,
    "MKT-06": MinimumDepth,
    "PRC-03": Slippage,
    "PRC-08": EdgeCoversCost,
    "SIZ-04": Participation,
}
"""By check."""
