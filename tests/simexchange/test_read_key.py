"""A key without trading rights reads everything and changes nothing, over both request protocols."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.simexchange.kit import READ_KEY, READ_SECRET, PureExchange

REFUSED = -2015


@pytest.fixture
def exchange() -> PureExchange:
    """A venue with one resting order of the trading key, spoken to with the reading key."""
    exchange = PureExchange()
    exchange.limit("BUY", exchange.price(0.9), newClientOrderId="resting")
    exchange.api = (READ_KEY, READ_SECRET)
    return exchange


@pytest.mark.parametrize(
    ("method", "params"),
    [
        ("order.place", {"side": "BUY", "type": "MARKET", "quantity": "0.001"}),
        ("order.test", {"side": "BUY", "type": "MARKET", "quantity": "0.001"}),
        ("order.cancel", {"origClientOrderId": "resting"}),
        ("openOrders.cancelAll", {}),
    ],
)
def test_an_order_or_cancel_with_the_reading_key_is_refused(
    exchange: PureExchange, method: str, params: dict[str, Any]
) -> None:
    answer = exchange.ws(method, symbol="BTCUSDT", **params)

    assert (answer["status"], answer["error"]["code"]) == (401, REFUSED)
    assert [order.terms.client_order_id for order in exchange.venue.open_orders("main", None)] == ["resting"]


@pytest.mark.parametrize(("verb", "path"), [("POST", "/api/v3/order"), ("DELETE", "/api/v3/openOrders")])
def test_rest_refuses_it_as_well(exchange: PureExchange, verb: str, path: str) -> None:
    answer = exchange.rest(verb, path, symbol="BTCUSDT", side="BUY", type="MARKET", quantity="0.001")

    assert (answer.status, json.loads(answer.body)["code"]) == (401, REFUSED)
    assert len(exchange.venue.all_orders("main", 0)) == 1


def test_it_sees_orders_and_balances_of_its_account_and_says_that_it_cannot_trade(exchange: PureExchange) -> None:
    orders = exchange.get("/api/v3/openOrders", signed=True, symbol="BTCUSDT")
    balances = exchange.get("/api/v3/account", signed=True)["balances"]
    rights = exchange.get("/sapi/v1/account/apiRestrictions", signed=True)

    assert [order["clientOrderId"] for order in orders] == ["resting"]
    assert any(row["asset"] == "USDT" for row in balances)
    assert (rights["enableReading"], rights["enableSpotAndMarginTrading"]) == (True, False)
