"""Where a stop lies, and what is too small for one."""

from __future__ import annotations

from decimal import Decimal

import pytest

from tests.support.builders import make_instrument
from tradebot.core.orders import Side
from tradebot.core.protection import protectable_qty, stop_limit, stop_trigger

HALF = Decimal("0.005")


@pytest.mark.parametrize(("side", "trigger", "limit"), [(Side.SELL, "99.50", "99.20"), (Side.BUY, "100.50", "100.81")])
def test_a_stop_lies_beyond_the_price_and_its_limit_beyond_the_stop(side: Side, trigger: str, limit: str) -> None:
    instrument = make_instrument()
    stop = stop_trigger(Decimal(100), side, HALF, instrument)

    assert (stop, stop_limit(stop, side, instrument)) == (Decimal(trigger), Decimal(limit))


@pytest.mark.parametrize(
    ("side", "min_notional", "qty"),
    [
        (Side.SELL, "9.920", "0.1"),  # at the limit, 99.20
        (Side.SELL, "9.921", "0"),
        (Side.BUY, "10.050", "0.1"),  # at the trigger, 100.50: its limit is higher
        (Side.BUY, "10.051", "0"),
    ],
)
def test_dust_is_what_the_venue_refuses_at_the_lowest_price_of_the_stop(
    side: Side, min_notional: str, qty: str
) -> None:
    instrument = make_instrument(lot="0.1", min_qty="0.1", min_notional=min_notional)

    assert protectable_qty(Decimal("0.19"), Decimal(100), side, HALF, instrument) == Decimal(qty)


def test_less_than_the_least_quantity_is_dust_and_more_than_the_largest_is_cut() -> None:
    instrument = make_instrument(min_qty="0.001", max_qty="2", min_notional="0.00000001")

    assert protectable_qty(Decimal("0.0009"), Decimal(100), Side.SELL, HALF, instrument) == 0
    assert protectable_qty(Decimal(3), Decimal(100), Side.SELL, HALF, instrument) == 2
