"""Manual orders: what is typed becomes an intent of the operator, or a line that says what to write."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

import pytest

from cli.client import scope_of
from cli.commands import OrderArguments, build_intent, match_instrument
from tests.support.builders import BTC
from tradebot.core.errors import ConfigError
from tradebot.core.intents import OrderIntent
from tradebot.core.levels import SYSTEM_SCOPE, Scope, ScopeKind
from tradebot.core.orders import OrderRole, OrderType, Side, TimeInForce

PLAIN = OrderArguments("buy", BTC, "0.01", "", "0.006", False, False, "")


def build(**changes: object) -> OrderIntent:
    return build_intent(replace(PLAIN, **changes), BTC, "ana", "01J", 5)  # type: ignore[arg-type]


def test_a_market_order_is_an_entry_of_the_operator_with_a_stop() -> None:
    intent = build()

    assert (intent.strategy_id, intent.role, intent.side) == ("manual:ana", OrderRole.ENTRY, Side.BUY)
    assert (intent.order_type, intent.time_in_force, intent.qty) == (OrderType.MARKET, TimeInForce.IOC, Decimal("0.01"))
    assert intent.protection.stop_loss_fraction == Decimal("0.006")


def test_a_limit_order_rests_unless_told_otherwise() -> None:
    intent = build(limit="60000.5")

    assert (intent.order_type, intent.time_in_force) == (OrderType.LIMIT, TimeInForce.GTC)
    assert intent.limit_price == Decimal("60000.5")
    assert build(limit="60000.5", tif="FOK").time_in_force is TimeInForce.FOK


def test_closing_needs_no_quantity_and_no_stop() -> None:
    intent = build(side="sell", qty="", close=True)

    assert (intent.role, intent.qty, intent.protection.stop_loss_fraction) == (OrderRole.EXIT, None, None)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"side": "long"}, "write buy or sell"),
        ({"qty": ""}, "needs a quantity"),
        ({"qty": "0"}, "above zero"),
        ({"qty": "1,5"}, "not a decimal string"),
        ({"tif": "day"}, "write gtc, ioc or fok"),
        ({"limit": "NaN"}, "not finite"),
    ],
)
def test_what_cannot_be_meant_is_refused_with_what_to_write(changes: dict[str, object], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        build(**changes)


def test_an_instrument_is_found_by_id_or_by_the_venues_spelling() -> None:
    known = [BTC, "binance:ETH-USDT"]

    assert match_instrument(BTC, known) == BTC
    assert match_instrument("btcusdt", known) == BTC
    assert match_instrument("ETH/USDT", known) == "binance:ETH-USDT"


def test_a_name_that_fits_twice_or_never_is_refused() -> None:
    known = [BTC, "okx:BTC-USDT"]
    for text in ("BTCUSDT", "DOGEUSDT"):
        with pytest.raises(ConfigError, match="choose one of"):
            match_instrument(text, known)


def test_scopes_are_written_as_kind_and_name() -> None:
    assert scope_of("system") == SYSTEM_SCOPE
    assert scope_of(f"instrument:{BTC}") == Scope(ScopeKind.INSTRUMENT, BTC)
    for text in ("venue", "venue:", "everything", "system:x"):
        with pytest.raises(ConfigError, match="--scope"):
            scope_of(text)
