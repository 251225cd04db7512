"""What riskd asks of perpetual entries: a known leverage (SPC-05), margin for the worse side (POS-01), also sized."""

from __future__ import annotations

from decimal import Decimal

import pytest

from riskd.margin import EXHAUSTED_PPM, use
from tests.riskd.edges.kit import perpetual
from tests.riskd.kit import BTC, STRICT, violations
from tradebot.core.accounts import MarginState
from tradebot.core.approvals import ApprovalAnswer
from tradebot.core.instruments import Product
from tradebot.core.orders import OrderRole, Side


def test_an_entry_waits_for_the_venue_to_tell_its_leverage() -> None:
    assert violations(perpetual(told=False).plain())["SPC-05"] == "UNSUPPORTED_ORDER_SPEC"
    assert "SPC-05" not in violations(perpetual().plain())


@pytest.mark.parametrize("side", [Side.BUY, Side.SELL])
def test_margin_and_fee_must_be_free_to_the_last_unit(side: Side) -> None:
    """0.01 at the ask of 60000.01: margin 120.00002; its fee at 10 bps of 600 is 0.6."""
    enough, short = perpetual(usdt="120.60002"), perpetual(usdt="120.60001999")

    assert "POS-01" not in violations(enough.plain(side=side))
    assert violations(short.plain(side=side))["POS-01"] == "INSUFFICIENT_FUNDS"


def test_an_order_against_the_position_needs_margin_only_beyond_it() -> None:
    desk = perpetual(usdt="10000")
    desk.buy("0.01")
    desk.account(("USDT", "121"))

    assert violations(desk.plain())["POS-01"] == "INSUFFICIENT_FUNDS"
    assert "POS-01" not in violations(desk.plain(side=Side.SELL))


def test_an_open_loss_eats_the_margin() -> None:
    desk = perpetual(usdt="10000")
    desk.buy("0.01")
    desk.account(("USDT", "242"))
    assert "POS-01" not in violations(desk.plain())

    desk.quote(BTC, "58999.99", "59000.01")
    refused = desk.plain(limit_price="59000")

    assert violations(refused)["POS-01"] == "INSUFFICIENT_FUNDS"


def test_a_sized_entry_stays_inside_its_margin() -> None:
    desk = perpetual(usdt="60")
    answer = desk.plain(qty=None)

    assert "POS-01" not in violations(answer)


@pytest.mark.parametrize(
    "changes", [{"max_leverage": "0.04"}, {"max_leverage": 1, "max_margin_pct": 1}], ids=["leverage", "margin"]
)
@pytest.mark.parametrize("product", [Product.LINEAR_PERPETUAL, Product.INVERSE_PERPETUAL])
def test_a_sized_entry_stays_inside_its_leverage_and_no_lot_above_it_would(
    product: Product, changes: dict[str, object]
) -> None:
    desk = perpetual(product, limits={"POS-10": STRICT["POS-10"] | changes})
    desk.account(("USDT", "4000"), ("BTC", "0.05"))
    answer = desk.plain(qty=None)
    assert "POS-10" not in violations(answer)
    assert answer.binding_limit == "POS-10"
    assert answer.approved_qty is not None

    lot = Decimal("0.00001")
    again = perpetual(product, limits={"POS-10": STRICT["POS-10"] | changes})
    again.account(("USDT", "4000"), ("BTC", "0.05"))
    assert "POS-10" in violations(again.plain(qty=answer.approved_qty + lot))


@pytest.mark.parametrize("side", [Side.BUY, Side.SELL])
def test_a_sized_entry_leans_no_farther_than_it_may_and_a_lot_more_would(side: Side) -> None:
    def asked(qty: Decimal | None) -> ApprovalAnswer:
        desk = perpetual(usdt="10000", limits={"POS-05": STRICT["POS-05"] | {"max_notional": 700}})
        desk.gate.state.portfolio.net[BTC] = side.sign * 10**10
        return desk.plain(side=side, qty=qty)

    sized = asked(None)

    assert "POS-05" not in violations(sized)
    assert sized.binding_limit == "POS-05"
    assert sized.approved_qty == Decimal("0.00166")
    assert "POS-05" in violations(asked(sized.approved_qty + Decimal("0.00001")))


def test_an_inverse_contract_is_worth_its_multiplier_and_margined_in_its_coin() -> None:
    desk = perpetual(Product.INVERSE_PERPETUAL, usdt="10000")
    desk.account(("USDT", "10000"), ("BTC", "0.000335"))  # 1 contract: 100 / 59999.99 / 5 and 10 bps of it

    assert violations(desk.plain(qty="1")).get("POS-01") == "INSUFFICIENT_FUNDS"
    desk.account(("USDT", "10000"), ("BTC", "0.00033501"))
    assert "POS-01" not in violations(desk.plain(qty="1"))


def test_nobody_may_ask_for_a_liquidation_as_a_reducing_order() -> None:
    desk = perpetual(usdt="10000")
    desk.buy("0.01")
    intent = desk.intent(role=OrderRole.LIQUIDATION, side=Side.SELL)

    answer = desk.ask(intent, desk.order(intent))

    assert answer.approval is None


def test_a_margin_account_without_balance_counts_as_exhausted() -> None:
    state = MarginState("binance", "main", "USDT", Decimal(0), Decimal(10), Decimal(5), 1)

    assert use(state).maintenance_ppm == EXHAUSTED_PPM
