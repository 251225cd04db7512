"""What a drill orders is let pass by the checks that look at its size, where the venue's least quantity binds too."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from cli import drill
from tests.riskd.kit import BTC, ETH, Desk, make_test_limits
from tests.support.builders import make_instrument
from tradebot.core.approvals import CheckOutcome

CHECKS: dict[str, dict[str, Any] | None] = {
    "STA-09": {"status": "enforced", "max_age_h": 24},
    "SPC-08": {"status": "enforced"},
}
PRICE = Decimal("60000.01")


@pytest.mark.parametrize("min_qty", ["0.00001", "0.0001", "0.001"])
@pytest.mark.parametrize("min_notional", ["5", "10"])
def test_a_drills_entry_is_large_enough_to_be_protected_and_small_enough_to_come_first(
    min_qty: str, min_notional: str
) -> None:
    market = make_instrument(BTC, min_qty=min_qty, min_notional=min_notional)
    desk = Desk(limits=make_test_limits(CHECKS), instruments=(market, make_instrument(ETH)))
    entry = drill.intent(market, drill.size(market, PRICE), None)
    desk.open_drill()
    decision = desk.gate.check_intent(entry, desk.now_ns)
    found = {check.check_id: check.outcome for check in decision.checks}

    assert (found["AUT-02"], found["STA-09"], found["SPC-08"]) == (CheckOutcome.PASS,) * 3
