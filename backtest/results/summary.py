"""What the summary of a result says on execution."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Any, Final

BPS: Final = 10_000


def execution_facts(makers: int, takers: int, slippage: Mapping[str, tuple[Decimal, Decimal]]) -> dict[str, Any]:
    """Return the counts of fills and each slippage in basis points, > 0 = worse for us.

    Args:
        makers: Fills as maker.
        takers: Fills as taker.
        slippage: Of "decision" and "arrival": sum of cost against the mid and of notional at the mid, over fills.
    """
    costs = {
        f"slippage_{name}_bps": round(float(cost / notional * BPS), 6) if notional else None
        for name, (cost, notional) in slippage.items()
    }
    return {"maker_fills": makers, "taker_fills": takers, **costs}
