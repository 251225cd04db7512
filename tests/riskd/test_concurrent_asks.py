"""Fifty requests at once, each of which fits alone: together they never pass the hard cap, over real sockets with a
real journal. One row for each cap that adds requests up.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from riskd.units import UNIT
from tests.riskd.kit import BTC, ETH, HUGE, START_NS, WIDE_PCT, Desk, make_test_limits, violations
from tests.riskd.live_kit import running
from tests.riskd.test_service import connect
from tests.support.builders import make_instrument
from tradebot.core.accounts import MarginState, PositionMargin
from tradebot.core.approvals import ApprovalAnswer, ApprovalAsk, SessionUp
from tradebot.core.instruments import Instrument, Product
from tradebot.core.intents import OrderIntent
from tradebot.core.orders import OrderRole, Side, TimeInForce
from tradebot.runtime.clock import ManualClock

REQUESTS = 50
VALUE = 300
PERPETUALS = tuple(
    replace(make_instrument(f"binance:P{number}-USDT"), product=Product.LINEAR_PERPETUAL, settle="USDT")
    for number in range(2)
)
MANY = tuple(make_instrument(f"binance:C{number:02}-USDT") for number in range(REQUESTS))
WIDE: dict[str, dict[str, Any]] = {
    "SIZ-02": {"max_pct_of_equity": WIDE_PCT, "max_notional": 4000},
    "POS-02": {"hard_pct": WIDE_PCT, "soft_pct": WIDE_PCT, "max_notional": 4000},
    "POS-03": {"max_positions": REQUESTS},
    "POS-04": {"hard_pct": WIDE_PCT, "soft_pct": WIDE_PCT, "max_notional": HUGE},
}
"""Caps that bind in their own row alone."""


def entry(desk: Desk, instrument_id: str, price: int, **changes: Any) -> OrderIntent:
    """An entry for VALUE at this price."""
    fields = {"qty": Decimal(VALUE) / price, "limit_price": Decimal(price), "time_in_force": TimeInForce.GTC} | changes
    return desk.intent(instrument_id=instrument_id, **fields)


def two_pairs(desk: Desk) -> Iterator[OrderIntent]:
    """Entries of two strategies in two instruments."""
    for number in range(REQUESTS):
        if number % 2:
            yield entry(desk, ETH, 3_000, incarnation=f"run{number}")
        else:
            yield entry(desk, BTC, 60_000, strategy_id="s2" if number % 3 else "s1", incarnation=f"run{number}")


def one_pair(desk: Desk) -> Iterator[OrderIntent]:
    """Entries of two strategies in one instrument."""
    for number in range(REQUESTS):
        yield entry(desk, BTC, 60_000, strategy_id="s2" if number % 3 else "s1", incarnation=f"run{number}")


def one_strategy(desk: Desk) -> Iterator[OrderIntent]:
    """Entries of one strategy in two instruments."""
    for number in range(REQUESTS):
        yield entry(desk, *((ETH, 3_000) if number % 2 else (BTC, 60_000)))


def fifty_pairs(desk: Desk) -> Iterator[OrderIntent]:
    """One entry in each of fifty instruments."""
    for instrument in MANY:
        desk.quote(instrument.instrument_id, "99.99", "100.01")
        yield entry(desk, instrument.instrument_id, 100)


def two_perpetuals(desk: Desk) -> Iterator[OrderIntent]:
    """Entries in two perpetuals that one balance carries."""
    names = [market.instrument_id for market in PERPETUALS]
    for name in names:
        desk.quote(name, "99.99", "100")
    desk.say(
        margins=[MarginState("binance", "main", "USDT", Decimal(1000), Decimal(0), Decimal(0), 1)],
        position_margins=[PositionMargin(name, Decimal(5), None, Decimal(0), False, 1) for name in names],
    )
    for number in range(REQUESTS):
        yield entry(desk, names[number % 2], 100)


def exits(desk: Desk) -> Iterator[OrderIntent]:
    """Exits for 0.01 each out of a position of 0.05."""
    desk.buy("0.05")
    for _ in range(REQUESTS):
        yield desk.intent(role=OrderRole.EXIT, side=Side.SELL, qty="0.01", time_in_force=TimeInForce.GTC)


def both_sides(desk: Desk) -> Iterator[OrderIntent]:
    """Exits that rest, and entries that would meet them."""
    desk.buy("0.05")
    for number in range(REQUESTS):
        if number % 2:
            yield desk.intent(qty="0.001", limit_price="60001", time_in_force=TimeInForce.GTC)
        else:
            yield desk.intent(
                role=OrderRole.EXIT, side=Side.SELL, qty="0.001", limit_price="60000.5", time_in_force=TimeInForce.GTC
            )


@dataclass(frozen=True)
class Row:
    """One cap."""

    check_id: str
    limits: dict[str, Any]
    allowed: int
    requests: Callable[[Desk], Iterator[OrderIntent]] = two_pairs
    usdt: str = "100000"
    entries: bool = True
    """False: exits may pass too, so that what is reserved is not counted."""
    instruments: tuple[Instrument, ...] = ()
    """Besides Bitcoin and Ether."""


SHARE: dict[str, Any] = {"status": "enforced", "max_pct_of_equity": WIDE_PCT, "max_notional": 1000}
EXPOSURE: dict[str, Any] = {"max_notional": 4000, "soft_notional": 4000}
LEVERAGE: dict[str, Any] = {
    "status": "enforced", "max_leverage": 1, "max_margin_pct": 100, "max_maintenance_pct": 99
}  # fmt: skip
ROWS = {
    "free balance": Row("POS-01", {}, 5, usdt="1502"),  # 300.3 each with the fee
    "instrument": Row("POS-02", EXPOSURE, 13, one_pair),
    "open positions": Row("POS-03", {"max_positions": 7}, 7, fifty_pairs, instruments=MANY),
    "gross": Row("POS-04", EXPOSURE, 13),
    "net": Row("POS-05", SHARE, 3),
    "base asset": Row("POS-06", SHARE, 3, one_pair),
    "strategy": Row("POS-09", {"max_notional": {"*": HUGE, "s1": 1000}}, 3, one_strategy),
    "unexecuted orders": Row("POS-11", SHARE, 3),
    "heat at the stops": Row("POS-12", {"max_heat": 5}, 3),  # 0.5 % of 300 each
    "leverage": Row("POS-10", LEVERAGE, 3, two_perpetuals, usdt="1000", instruments=PERPETUALS),
    "stress": Row("POS-13", {"shock_pct": 20, "max_loss": 200}, 3),  # 60 each
    "what is there to sell": Row("STA-02", {}, 5, exits, entries=False),
    "our own orders": Row("RAT-09", {"status": "enforced"}, 25, both_sides, entries=False),
}


@pytest.mark.parametrize("together", [True, False], ids=["in one message", "in fifty messages"])
@pytest.mark.parametrize("cap", sorted(ROWS))
async def test_fifty_requests_that_fit_alone_never_pass_the_cap_together(
    tmp_path: Path, cap: str, together: bool
) -> None:
    row = ROWS[cap]
    limits = make_test_limits(WIDE | {row.check_id: WIDE.get(row.check_id, {}) | row.limits})
    async with running(tmp_path, ManualClock(START_NS), limits) as riskd:
        desk, session = await connect(riskd, usdt=row.usdt, instruments=row.instruments)
        asks = [
            ApprovalAsk(1_000 + number, desk.now_ns, intent, desk.order(intent))
            for number, intent in enumerate(row.requests(desk))
        ]
        before = riskd.gate.state.commitments.entry_value.get("USDT", 0)
        for group in [asks] if together else [[ask] for ask in asks]:
            await session.say(SessionUp(asks=group))
        answers: list[ApprovalAnswer] = []
        while len(answers) < REQUESTS:
            answers += (await session.hear()).answers

        allowed = [answer for answer in answers if answer.approval is not None]
        assert sorted(answer.ask_id for answer in answers) == [ask.ask_id for ask in asks]
        assert len(allowed) == row.allowed, [violations(answer) for answer in answers]
        assert all(set(violations(answer)) == {row.check_id} for answer in answers if answer.approval is None)
        if row.entries:
            reserved = riskd.gate.state.commitments.entry_value["USDT"] - before
            assert reserved == len(allowed) * VALUE * UNIT


async def test_each_of_them_fits_alone(tmp_path: Path) -> None:
    for cap, row in ROWS.items():
        limits = make_test_limits(WIDE | {row.check_id: WIDE.get(row.check_id, {}) | row.limits})
        async with running(tmp_path / row.check_id, ManualClock(START_NS), limits) as riskd:
            desk, session = await connect(riskd, usdt=row.usdt, instruments=row.instruments)
            last = list(row.requests(desk))[-1]
            answer = (
                await session.ask(SessionUp(asks=[ApprovalAsk(1_000, desk.now_ns, last, desk.order(last))]))
            ).answers[0]

            assert answer.approval is not None, (cap, violations(answer))
