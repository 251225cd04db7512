"""One hash says whether two daemons know the same trading rules."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

import pytest

from tests.support.builders import make_instrument, make_perpetual
from tradebot.core.instruments import Instrument, InstrumentStatus, PriceBand, rules_hash

BTC, ETH = make_instrument(), make_instrument("binance:ETH-USDT")


def test_the_hash_is_that_of_the_rules_whatever_their_order_and_notation() -> None:
    other = replace(BTC, tick_size=Decimal("0.0100"), max_notional=Decimal("9E+6"))

    assert rules_hash([BTC, ETH]) == rules_hash([ETH, other])
    assert rules_hash([replace(BTC, status=InstrumentStatus.HALTED), ETH]) == rules_hash([BTC, ETH])


@pytest.mark.parametrize(
    "changed",
    [
        replace(BTC, tick_size=Decimal("0.1")),
        replace(BTC, lot_size=Decimal("0.0001")),
        replace(BTC, min_qty=Decimal("0.0001")),
        replace(BTC, max_qty=Decimal(1)),
        replace(BTC, min_notional=Decimal(10)),
        replace(BTC, max_notional=None),
        replace(BTC, order_types=frozenset({"LIMIT"})),
        replace(BTC, oco_allowed=False),
        replace(BTC, price_band=None),
        replace(BTC, price_band=PriceBand()),
        make_perpetual(),
    ],
)
def test_every_rule_counts(changed: Instrument) -> None:
    assert rules_hash([changed, ETH]) != rules_hash([BTC, ETH])
    assert rules_hash([BTC]) != rules_hash([BTC, ETH])
