"""What a drill orders is let pass by the checks that look at its size, where the venue's least quantity binds too."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from cli import drill
from tests.riskd.kit import BTC, ETH, Desk, make_test_limits
from tests.support.builders import make_instrument
from tradebot.core.approvals import CheckOutcome
from tradebot.core.instruments import Instrument

PRICE = Decimal("60000.01")


def desk_of(fee_bps: str, market: Instrument) -> Desk:
    checks: dict[str, dict[str, Any] | None] = {
        "STA-09": {"status": "enforced", "max_age_h": 24},
        "SPC-08": {"status": "enforced"},
        "POS-01": {"taker_fee_bps": fee_bps},
    }
    return Desk(limits=make_test_limits(checks), instruments=(market, make_instrument(ETH)))


def outcomes(desk: Desk, market: Instrument, qty: Decimal) -> tuple[CheckOutcome, ...]:
    """Return what AUT-02, STA-09 and SPC-08 say of an order of the drill."""
    desk.open_drill()
    decision = desk.gate.check_intent(drill.intent(market, qty, None), desk.now_ns)
    found = {check.check_id: check.outcome for check in decision.checks}
    return found["AUT-02"], found["STA-09"], found["SPC-08"]


@pytest.mark.parametrize("fee_bps", ["0", "10", "25", "7.5"])
@pytest.mark.parametrize("min_qty", ["0.00001", "0.0001", "0.00999", "0.01", "0.012345", "7"])
@pytest.mark.parametrize("min_notional", ["5", "10"])
def test_a_drills_entry_is_large_enough_to_be_protected_and_small_enough_to_come_first(
    min_qty: str, min_notional: str, fee_bps: str
) -> None:
    market = make_instrument(BTC, min_qty=min_qty, min_notional=min_notional)
    qty = drill.size(market, PRICE, Decimal(fee_bps) / 10_000)

    assert outcomes(desk_of(fee_bps, market), market, qty) == (CheckOutcome.PASS,) * 3


@pytest.mark.parametrize("min_qty", ["0.00999", "0.01", "7"])
def test_a_drills_entry_of_the_least_quantity_is_no_lot_larger_than_needed(min_qty: str) -> None:
    market = make_instrument(BTC, min_qty=min_qty, min_notional="5")
    qty = drill.size(market, PRICE, Decimal("0.001")) - market.lot_size

    assert outcomes(desk_of("10", market), market, qty)[2] is CheckOutcome.BLOCK
