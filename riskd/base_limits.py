"""What every section of the limits file is made of."""

from __future__ import annotations

from decimal import Decimal
from typing import Annotated, Final, Literal

from pydantic import Field

from tradebot.runtime.config import ConfigModel

ANY: Final = "*"
"""Key that holds for every instrument or venue without an own entry."""
MIN_REASON_CHARACTERS: Final = 8

PositiveDecimal = Annotated[Decimal, Field(gt=0, allow_inf_nan=False)]
NegativeDecimal = Annotated[Decimal, Field(lt=0, gt=-100, allow_inf_nan=False)]
PositiveInt = Annotated[int, Field(gt=0)]

# Sanity bounds: nobody means more than this, so that it is a slip of the finger. Amounts have none: they depend on the
# currency; counts have none: more orders a minute harm nothing that the other limits do not bound.
EquityPct = Annotated[Decimal, Field(gt=0, le=10_000, allow_inf_nan=False)]
"""Percent of equity; a hundred times all of it is more than venues lend."""
PriceBps = Annotated[int, Field(gt=0, le=10_000)]
"""Of a price; no more than all of it."""
Minutes = Annotated[int, Field(gt=0, le=10_080)]
"""A week at most."""
Hours = Annotated[int, Field(gt=0, le=8_760)]
"""A year at most."""
Day_s = Annotated[int, Field(gt=0, le=86_400)]
"""Seconds, a day at most."""


class NotApplicable(ConfigModel):
    """A check that this profile does not run, and why."""

    status: Literal["not_applicable"]
    reason: Annotated[str, Field(min_length=MIN_REASON_CHARACTERS)]


class Enforced(ConfigModel):
    """A check that runs; subclasses add its limits."""

    status: Literal["enforced"]
