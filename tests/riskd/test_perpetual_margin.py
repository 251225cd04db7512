"""What riskd asks of perpetual entries: a known leverage (SPC-05), margin for the worse side (POS-01), also sized."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

import pytest

from riskd.limits import Limits
from riskd.margin import EXHAUSTED_PPM, use
from tests.riskd.kit import BTC, ETH, Desk, make_test_limits, violations
from tests.support.builders import make_instrument
from tradebot.core.accounts import MarginState, PositionMargin
from tradebot.core.instruments import Product
from tradebot.core.orders import OrderRole, Side

LEVERAGE = Decimal(5)


def desk_of(
    product: Product = Product.LINEAR_PERPETUAL,
    *,
    told: bool = True,
    usdt: str = "1000",
    limits: Limits | None = None,
) -> Desk:
    """Return a desk whose BTC instrument is a perpetual."""
    is_inverse = product is Product.INVERSE_PERPETUAL
    instrument = replace(
        make_instrument(BTC),
        product=product,
        settle="BTC" if is_inverse else "USDT",
        contract_multiplier=Decimal(100) if is_inverse else Decimal(1),
    )
    desk = Desk(limits=limits or make_test_limits(), instruments=(instrument, make_instrument(ETH)), usdt=usdt)
    if told:
        desk.say(position_margins=[PositionMargin(BTC, LEVERAGE, None, Decimal(0), False, desk.now_ns)])
    return desk


def test_an_entry_waits_for_the_venue_to_tell_its_leverage() -> None:
    assert violations(desk_of(told=False).plain())["SPC-05"] == "UNSUPPORTED_ORDER_SPEC"
    assert "SPC-05" not in violations(desk_of().plain())


@pytest.mark.parametrize("side", [Side.BUY, Side.SELL])
def test_margin_and_fee_must_be_free_to_the_last_unit(side: Side) -> None:
    """0.01 at the ask of 60000.01: margin 120.00002; its fee at 10 bps of 600 is 0.6."""
    enough, short = desk_of(usdt="120.60002"), desk_of(usdt="120.60001999")

    assert "POS-01" not in violations(enough.plain(side=side))
    assert violations(short.plain(side=side))["POS-01"] == "INSUFFICIENT_FUNDS"


def test_an_order_against_the_position_needs_margin_only_beyond_it() -> None:
    desk = desk_of(usdt="10000")
    desk.buy("0.01")
    desk.account(("USDT", "121"))

    assert violations(desk.plain())["POS-01"] == "INSUFFICIENT_FUNDS"
    assert "POS-01" not in violations(desk.plain(side=Side.SELL))


def test_an_open_loss_eats_the_margin() -> None:
    desk = desk_of(usdt="10000")
    desk.buy("0.01")
    desk.account(("USDT", "242"))
    assert "POS-01" not in violations(desk.plain())

    desk.quote(BTC, "58999.99", "59000.01")
    refused = desk.plain(limit_price="59000")

    assert violations(refused)["POS-01"] == "INSUFFICIENT_FUNDS"


def test_a_sized_entry_stays_inside_its_margin() -> None:
    desk = desk_of(usdt="60")
    answer = desk.plain(qty=None)

    assert "POS-01" not in violations(answer)


def test_an_inverse_contract_is_worth_its_multiplier_and_margined_in_its_coin() -> None:
    desk = desk_of(Product.INVERSE_PERPETUAL, usdt="10000")
    desk.account(("USDT", "10000"), ("BTC", "0.000335"))  # 1 contract: 100 / 59999.99 / 5 and 10 bps of it

    assert violations(desk.plain(qty="1")).get("POS-01") == "INSUFFICIENT_FUNDS"
    desk.account(("USDT", "10000"), ("BTC", "0.00033501"))
    assert "POS-01" not in violations(desk.plain(qty="1"))


def test_nobody_may_ask_for_a_liquidation_as_a_reducing_order() -> None:
    desk = desk_of(usdt="10000")
    desk.buy("0.01")
    intent = desk.intent(role=OrderRole.LIQUIDATION, side=Side.SELL)

    answer = desk.ask(intent, desk.order(intent))

    assert answer.approval is None


def test_a_margin_account_without_balance_counts_as_exhausted() -> None:
    state = MarginState("binance", "main", "USDT", Decimal(0), Decimal(10), Decimal(5), 1)

    assert use(state).maintenance_ppm == EXHAUSTED_PPM
