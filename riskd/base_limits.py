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
NonNegativeDecimal = Annotated[Decimal, Field(ge=0, allow_inf_nan=False)]
NegativeDecimal = Annotated[Decimal, Field(lt=0, gt=-100, allow_inf_nan=False)]
PositiveInt = Annotated[int, Field(gt=0)]


class NotApplicable(ConfigModel):
    """A check that this profile does not run, and why."""

    status: Literal["not_applicable"]
    reason: Annotated[str, Field(min_length=MIN_REASON_CHARACTERS)]


class Enforced(ConfigModel):
    """A check that runs; subclasses add its limits."""

    status: Literal["enforced"]
