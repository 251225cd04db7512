"""Fifty requests at once, each of which fits alone: together they never pass the hard cap, over real sockets with a
real journal.
"""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path

import pytest

from tests.riskd.kit import BTC, ETH, START_NS, make_test_limits, violations
from tests.riskd.live_kit import running
from tests.riskd.test_service import connect
from tradebot.core.approvals import ApprovalAnswer, ApprovalAsk, SessionUp
from tradebot.core.orders import TimeInForce
from tradebot.runtime.clock import ManualClock

REQUESTS = 50
VALUE = 300
CAPS = {
    "gross": ("POS-04", {"hard_pct": 50, "soft_pct": 50, "max_notional": 4000}, 4000),
    "instrument": ("POS-02", {"hard_pct": 20, "soft_pct": 20, "max_notional": 2000}, 2000),
    "unexecuted orders": ("POS-11", {"max_pct_of_equity": 100, "max_notional": 1000}, 1000),
}


@pytest.mark.parametrize("together", [True, False], ids=["in one message", "in fifty messages"])
@pytest.mark.parametrize("cap", sorted(CAPS))
async def test_fifty_requests_that_fit_alone_never_pass_the_cap_together(
    tmp_path: Path, cap: str, together: bool
) -> None:
    check_id, change, most = CAPS[cap]
    room = {"hard_pct": 40, "soft_pct": 40, "max_notional": 4000}
    limits = make_test_limits(
        {"SIZ-02": {"max_pct_of_equity": 10, "max_notional": 1000}, "POS-02": room, check_id: change}
    )
    pairs = (BTC,) if cap == "instrument" else (BTC, ETH)
    async with running(tmp_path, ManualClock(START_NS), limits) as riskd:
        desk, session = await connect(riskd)
        asks = []
        for number in range(REQUESTS):
            instrument_id = pairs[number % len(pairs)]
            price = 60_000 if instrument_id == BTC else 3_000
            intent = desk.intent(
                instrument_id=instrument_id, strategy_id="s2" if instrument_id == BTC and number % 3 else "s1",
                incarnation=f"run{number}", qty=Decimal(VALUE) / price, limit_price=Decimal(price),
                time_in_force=TimeInForce.GTC,
            )  # fmt: skip
            asks.append(ApprovalAsk(number + 1, desk.now_ns, intent, desk.order(intent)))
        for group in [asks] if together else [[ask] for ask in asks]:
            await session.say(SessionUp(asks=group))
        answers: list[ApprovalAnswer] = []
        while len(answers) < REQUESTS:
            answers += (await session.hear()).answers

        allowed = [answer for answer in answers if answer.approval is not None]
        assert sorted(answer.ask_id for answer in answers) == list(range(1, REQUESTS + 1))
        assert len(allowed) == most // VALUE
        assert all(check_id in violations(answer) for answer in answers if answer.approval is None)
        reserved = riskd.gate.state.commitments.entry_value["USDT"]
        assert reserved == len(allowed) * VALUE * 10**12
        assert reserved <= most * 10**12 < reserved + VALUE * 10**12
