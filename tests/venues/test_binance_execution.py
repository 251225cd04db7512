"""Private frames of Binance Spot: requests are signed and read back exactly, answers and events become core types."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.builders import BTC, make_instrument, make_terms
from tradebot.core.errors import VenueProtocolError
from tradebot.core.orders import Liquidity, OrderEventKind, OrderStatus, OrderTerms, OrderType, Side, TimeInForce
from tradebot.venues import load_venue_part
from tradebot.venues.api_orders import (
    BalanceUpdate,
    ListUpdate,
    OrderUpdate,
    RequestKind,
    RequestOutcome,
    StreamEnded,
    TransferUpdate,
    VenueCredentials,
    VenueReply,
)
from tradebot.venues.binance.auth import sign, signing_text
from tradebot.venues.binance.execution import EXECUTION
from tradebot.venues.binance.order_rows import EXECUTION_KINDS, STATUSES

CODEC = EXECUTION.codec(VenueCredentials("key", "secret"), [make_instrument(BTC)], 2_000)


def frame(body: dict[str, Any]) -> bytes:
    return json.dumps(body).encode()


# ---- requests


def test_the_signature_is_the_one_of_the_documentations_example() -> None:
    params: dict[str, str | int] = {
        "symbol": "BTCUSDT",
        "side": "SELL",
        "type": "LIMIT",
        "timeInForce": "GTC",
        "quantity": "0.01000000",
        "price": "52000.00",
        "newOrderRespType": "ACK",
        "recvWindow": 100,
        "timestamp": 1645423376532,
        "apiKey": "vmPUZE6mv9SD5VNHk4HlWFsOr6aKE2zvsw0MuIgwCIPy6utIco14y7Ju91duEh8A",
    }
    secret = b"NhqPtmdSJYdKjVHjA7PZj4Mge3R5YNiP1e3UZjInClVN65XAbvqqM6A7H5fATj0j"

    assert sign(params, secret) == "cc15477742bd704c29492d96c7ead9414dfd8e0ec4a00f947bb5bb454ddbd08a"


def test_an_order_request_is_signed_over_everything_in_it() -> None:
    sent = json.loads(CODEC.place("7", make_terms("c1"), 1_700_000_000_000))
    params = dict(sent["params"])
    signature = params.pop("signature")

    assert sent["method"] == "order.place"
    assert sent["id"] == "7"
    assert signature == sign(params, b"secret")
    assert "recvWindow=2000" in signing_text(params)


amounts = st.decimals(min_value="0.00001", max_value="900000", places=5)
prices = st.decimals(min_value="0.01", max_value="900000", places=2)


@st.composite
def terms(draw: st.DrawFn) -> OrderTerms:
    """Every order that the protocol can carry."""
    kind = draw(st.sampled_from([t for t in OrderType if t is not OrderType.MARKET]))
    limited = kind in (OrderType.LIMIT, OrderType.STOP_LIMIT, OrderType.TAKE_PROFIT_LIMIT)
    post_only = kind is OrderType.LIMIT and draw(st.booleans())
    resting = post_only or not limited
    return OrderTerms(
        draw(st.text("0123456789abcdef", min_size=32, max_size=32)),
        BTC,
        draw(st.sampled_from(Side)),
        kind,
        draw(amounts),
        draw(prices) if limited else None,
        draw(prices) if kind is not OrderType.LIMIT else None,
        TimeInForce.GTC if resting else draw(st.sampled_from((TimeInForce.GTC, TimeInForce.IOC, TimeInForce.FOK))),
        post_only,
    )


@given(terms(), st.integers(1, 10**13))
def test_what_is_built_reads_back_as_it_was_meant(order: OrderTerms, timestamp_ms: int) -> None:
    parsed = CODEC.parse_order_request(CODEC.place("9", order, timestamp_ms))

    assert parsed.kind is RequestKind.PLACE
    assert parsed.legs == (order,)
    assert parsed.request_id == "9"
    assert parsed.deadline_ms == timestamp_ms + 2_000


@pytest.mark.parametrize("side", list(Side))
def test_both_legs_of_a_list_read_back(side: Side) -> None:
    stop = make_terms("aa", side=side, order_type=OrderType.STOP_LIMIT, price="59500", stop_price="59700", qty="0.01")
    target = make_terms("bb", side=side, price="60600", post_only=True, qty="0.01")

    parsed = CODEC.parse_order_request(CODEC.place_oco("1", "list", stop, target, 1))

    assert parsed.kind is RequestKind.PLACE_OCO
    assert {leg.client_order_id: leg for leg in parsed.legs} == {"aa": stop, "bb": target}


def test_of_a_list_the_higher_leg_goes_above() -> None:
    stop = make_terms("aa", order_type=OrderType.STOP_LIMIT, price="61100", stop_price="61000")
    target = make_terms("bb", price="59000", post_only=True)

    params = json.loads(CODEC.place_oco("1", "list", stop, target, 1))["params"]

    assert (params["aboveType"], params["belowType"]) == ("STOP_LOSS_LIMIT", "LIMIT_MAKER")


@pytest.mark.parametrize(
    "change",
    [
        {"quoteOrderQty": "100"},
        {"trailingDelta": 10},
        {"icebergQty": "1"},
        {"side": "buy"},
        {"symbol": "ETHUSDT"},
        {"type": "SOMETHING"},
        {"timeInForce": "GTX"},
        {"quantity": "NaN"},
        {"apiKey": "another account"},
    ],
)
def test_a_request_that_says_anything_else_does_not_read_back(change: dict[str, Any]) -> None:
    body = json.loads(CODEC.place("1", make_terms(), 1))
    body["params"] |= change

    with pytest.raises(VenueProtocolError):
        CODEC.parse_order_request(frame(body))


@pytest.mark.parametrize("method", ["order.cancel", "order.cancelReplace", "order.test", "sor.order.place"])
def test_another_method_does_not_read_back_as_an_order(method: str) -> None:
    body = json.loads(CODEC.place("1", make_terms(), 1)) | {"method": method}

    with pytest.raises(VenueProtocolError):
        CODEC.parse_order_request(frame(body))


def test_cancel_and_query_name_the_order_by_our_id() -> None:
    cancel = json.loads(CODEC.cancel("1", make_terms("c1"), 1))
    query = json.loads(CODEC.query("2", BTC, "c1", 1))

    assert (cancel["method"], cancel["params"]["origClientOrderId"]) == ("order.cancel", "c1")
    assert (query["method"], query["params"]["origClientOrderId"]) == ("order.status", "c1")


# ---- answers


def test_a_full_answer_gives_the_order_and_its_fills() -> None:
    reply = CODEC.decode(
        frame(
            {
                "id": "5",
                "status": 200,
                "result": {
                    "symbol": "BTCUSDT",
                    "orderId": 12569099453,
                    "orderListId": -1,
                    "clientOrderId": "c1",
                    "transactTime": 1660801715793,
                    "price": "23416.10000000",
                    "origQty": "0.00847000",
                    "executedQty": "0.00847000",
                    "cummulativeQuoteQty": "198.33521500",
                    "status": "FILLED",
                    "timeInForce": "GTC",
                    "type": "LIMIT",
                    "side": "SELL",
                    "workingTime": 1660801715793,
                    "fills": [
                        {
                            "price": "23416.10000000",
                            "qty": "0.00635000",
                            "commission": "0.000000",
                            "commissionAsset": "BNB",
                            "tradeId": 1650422481,
                        },
                        {
                            "price": "23416.50000000",
                            "qty": "0.00212000",
                            "commission": "0.000000",
                            "commissionAsset": "BNB",
                            "tradeId": 1650422482,
                        },
                    ],
                },
                "rateLimits": [
                    {
                        "rateLimitType": "REQUEST_WEIGHT",
                        "interval": "MINUTE",
                        "intervalNum": 1,
                        "limit": 6000,
                        "count": 60,
                    }
                ],
            }
        )
    )

    assert isinstance(reply, VenueReply)
    assert reply.outcome is RequestOutcome.ACCEPTED
    assert reply.used_weight_pct == 1.0
    (order,) = reply.orders
    assert (order.client_order_id, order.venue_order_id, order.status) == ("c1", "12569099453", OrderStatus.FILLED)
    assert [(e.exec_id, e.qty, e.liquidity) for e in reply.executions] == [
        ("1650422481", Decimal("0.00635"), Liquidity.TAKER),
        ("1650422482", Decimal("0.00212"), Liquidity.TAKER),
    ]


def test_a_list_answer_gives_both_orders() -> None:
    leg = {"symbol": "BTCUSDT", "orderListId": 3, "status": "NEW", "side": "SELL", "origQty": "1", "timeInForce": "GTC"}
    reply = CODEC.decode(
        frame(
            {
                "id": "5",
                "status": 200,
                "result": {
                    "orderListId": 3,
                    "contingencyType": "OCO",
                    "orders": [{"symbol": "BTCUSDT", "orderId": 1, "clientOrderId": "a"}],
                    "orderReports": [
                        {**leg, "orderId": 1, "clientOrderId": "a", "type": "STOP_LOSS_LIMIT", "stopPrice": "9"},
                        {**leg, "orderId": 2, "clientOrderId": "b", "type": "LIMIT_MAKER", "price": "11"},
                    ],
                },
            }
        )
    )

    assert isinstance(reply, VenueReply)
    assert [(o.client_order_id, o.list_id, o.post_only) for o in reply.orders] == [("a", "3", False), ("b", "3", True)]


def test_a_cancel_answer_names_the_order_and_not_the_request() -> None:
    result = {
        "symbol": "BTCUSDT",
        "origClientOrderId": "c1",
        "clientOrderId": "cancel-request",
        "orderId": 5,
        "status": "CANCELED",
        "side": "BUY",
        "type": "LIMIT",
        "timeInForce": "GTC",
        "origQty": "1",
        "executedQty": "0.4",
        "price": "1",
    }
    reply = CODEC.decode(frame({"id": "1", "status": 200, "result": result}))

    assert isinstance(reply, VenueReply)
    assert (reply.orders[0].client_order_id, reply.orders[0].status) == ("c1", OrderStatus.CANCELED)
    assert reply.orders[0].filled_qty == Decimal("0.4")


def test_login_and_time_answers_carry_no_order() -> None:
    login = CODEC.decode(frame({"id": "1", "status": 200, "result": {"subscriptionId": 0}}))
    clock = CODEC.decode(frame({"id": "2", "status": 200, "result": {"serverTime": 1656400526260}}))

    assert isinstance(login, VenueReply)
    assert isinstance(clock, VenueReply)
    assert (login.outcome, login.orders) == (RequestOutcome.ACCEPTED, ())
    assert clock.server_time_ns == 1656400526260_000_000


def test_a_ban_says_how_long_to_be_quiet() -> None:
    error = {"code": -1003, "msg": "banned", "data": {"serverTime": 1_000, "retryAfter": 121_000}}
    reply = CODEC.decode(frame({"id": "1", "status": 418, "error": error}))

    assert isinstance(reply, VenueReply)
    assert (reply.outcome, reply.reason, reply.retry_after_ms) == (RequestOutcome.REJECTED, "RATE_LIMITED", 120_000)


# ---- events


def report(**changes: Any) -> dict[str, Any]:
    """Return an execution report as the documentation shows it."""
    event = {
        "e": "executionReport",
        "E": 1499405658658,
        "s": "BTCUSDT",
        "c": "c1",
        "S": "BUY",
        "o": "LIMIT",
        "f": "GTC",
        "q": "1.00000000",
        "p": "0.10264410",
        "P": "0.00000000",
        "F": "0.00000000",
        "g": -1,
        "C": "",
        "x": "NEW",
        "X": "NEW",
        "r": "NONE",
        "i": 4293153,
        "l": "0.00000000",
        "z": "0.00000000",
        "L": "0.00000000",
        "n": "0",
        "N": None,
        "T": 1499405658657,
        "t": -1,
        "v": 3,
        "I": 8641984,
        "w": True,
        "m": False,
        "M": False,
        "O": 1499405658657,
        "Z": "0.00000000",
        "Y": "0.00000000",
        "Q": "0.00000000",
        "W": 1499405658657,
        "V": "NONE",
        "unknownKey": "is ignored",
    }
    return {"subscriptionId": 0, "event": event | changes}


def decoded(**changes: Any) -> OrderUpdate:
    update = CODEC.decode(frame(report(**changes)))
    assert isinstance(update, OrderUpdate)
    return update


def test_a_trade_event_carries_its_execution_with_fee_and_liquidity() -> None:
    update = decoded(x="TRADE", X="PARTIALLY_FILLED", t=77, l="0.4", L="0.1", z="0.4", n="0.0004", N="BTC", m=True)

    assert update.kind is OrderEventKind.FILL
    execution = update.execution
    assert execution is not None
    assert (execution.exec_id, execution.qty, execution.price) == ("77", Decimal("0.4"), Decimal("0.1"))
    assert (execution.fee, execution.fee_asset, execution.liquidity) == (Decimal("0.0004"), "BTC", Liquidity.MAKER)
    assert execution.event_time_ns == 1499405658657_000_000


def test_on_a_cancel_event_the_orders_own_id_is_the_original_one() -> None:
    update = decoded(x="CANCELED", X="CANCELED", c="cancel-request", C="c1")

    assert (update.order.client_order_id, update.kind) == ("c1", OrderEventKind.CANCELED)


@pytest.mark.parametrize(("name", "kind"), EXECUTION_KINDS.items())
def test_every_documented_execution_type_is_known(name: str, kind: OrderEventKind | None) -> None:
    assert decoded(x=name).kind is kind


@pytest.mark.parametrize(("name", "status"), STATUSES.items())
def test_every_documented_status_is_known(name: str, status: OrderStatus) -> None:
    assert decoded(X=name).order.status is status


def test_self_trade_prevention_is_an_expiry_with_its_reason() -> None:
    update = decoded(x="EXPIRED", X="EXPIRED_IN_MATCH")

    assert (update.order.status, update.order.reason) == (OrderStatus.EXPIRED, "SELF_TRADE_PREVENTION")


@pytest.mark.parametrize("change", [{"x": "SOMETHING"}, {"X": "SOMETHING"}, {"S": "LONG"}, {"q": "a"}, {"i": "x"}])
def test_an_undocumented_value_breaks_the_stream_and_is_never_guessed(change: dict[str, Any]) -> None:
    with pytest.raises(VenueProtocolError):
        CODEC.decode(frame(report(**change)))


def test_account_events() -> None:
    position = {"e": "outboundAccountPosition", "E": 2, "u": 1, "B": [{"a": "ETH", "f": "10000.0", "l": "0.5"}]}
    transfer = {"e": "balanceUpdate", "E": 2, "a": "BTC", "d": "-100.0", "T": 3}
    listed = {
        "e": "listStatus",
        "E": 2,
        "s": "BTCUSDT",
        "g": 2,
        "c": "OCO",
        "l": "ALL_DONE",
        "L": "ALL_DONE",
        "r": "NONE",
        "C": "list",
        "T": 3,
        "O": [{"s": "BTCUSDT", "i": 17, "c": "a"}, {"s": "BTCUSDT", "i": 18, "c": "b"}],
    }
    got = [CODEC.decode(frame({"subscriptionId": 0, "event": event})) for event in (position, transfer, listed)]

    assert isinstance(got[0], BalanceUpdate)
    assert (got[0].balances[0].free, got[0].balances[0].total) == (Decimal(10_000), Decimal("10000.5"))
    assert got[1] == TransferUpdate("BTC", Decimal(-100), 3_000_000)
    assert got[2] == ListUpdate("2", ("a", "b"), done=True, rejected=False, event_time_ns=3_000_000)


@pytest.mark.parametrize("name", ["eventStreamTerminated", "serverShutdown"])
def test_the_end_of_the_stream_is_told(name: str) -> None:
    assert CODEC.decode(frame({"event": {"e": name, "E": 1}})) == StreamEnded(name)


def test_an_event_that_does_not_concern_orders_is_left_out() -> None:
    assert CODEC.decode(frame({"subscriptionId": 0, "event": {"e": "externalLockUpdate", "E": 1}})) is None


@given(st.binary(max_size=200))
def test_garbage_is_a_protocol_error_and_never_anything_else(data: bytes) -> None:
    try:
        CODEC.decode(data)
    except VenueProtocolError:
        pass


# ---- rows


def test_rows_of_the_rest_library_with_numbers_as_text_or_number() -> None:
    trade = {
        "symbol": "BTCUSDT",
        "id": "28457",
        "orderId": 100234,
        "orderListId": -1,
        "price": "4.00000100",
        "qty": "12.00000000",
        "quoteQty": "48.000012",
        "commission": "10.10000000",
        "commissionAsset": "BNB",
        "time": "1499865549590",
        "isBuyer": True,
        "isMaker": False,
        "isBestMatch": True,
    }
    (row,) = CODEC.decode_trades(BTC, [trade])
    account = CODEC.decode_account(
        {"balances": [{"asset": "BTC", "free": "4723846.89", "locked": "0"}], "updateTime": 5}
    )

    assert (row.venue_order_id, row.execution.exec_id, row.execution.side) == ("100234", "28457", Side.BUY)
    assert (account.balances[0].asset, account.event_time_ns) == ("BTC", 5_000_000)


def test_a_symbol_that_is_not_ours_has_no_instrument() -> None:
    row = {"symbol": "XYZUSDT", "orderId": 1, "clientOrderId": "web", "status": "NEW", "side": "BUY", "type": "LIMIT"}
    (order,) = CODEC.decode_orders([row])

    assert (order.instrument_id, order.venue_symbol) == ("", "XYZUSDT")


def test_reads_are_gets_of_the_library_and_stay_on_the_configured_host() -> None:
    reads = [
        CODEC.account_read(),
        CODEC.open_orders_read(BTC),
        CODEC.order_history_read(BTC, 5),
        CODEC.trades_read(BTC, 5),
        CODEC.trades_read(BTC, 0, "17"),
        EXECUTION.instruments_read(["BTCUSDT"]),
    ]
    urls = EXECUTION.rest_config("http://127.0.0.1:9", VenueCredentials("k", "s"))["urls"]

    assert all("Get" in read.method for read in reads)
    assert "127.0.0.1:9" in str(urls)


def test_the_folder_is_found_by_its_name() -> None:
    assert load_venue_part("binance", "execution", "EXECUTION") is EXECUTION


def test_a_secret_does_not_show_in_its_repr() -> None:
    assert "secret" not in repr(VenueCredentials("key", "hidden-secret-value")).replace("api_secret", "")


@pytest.mark.parametrize(
    ("body", "rights"),
    [
        ({"enableReading": True, "enableSpotAndMarginTrading": False, "enableWithdrawals": False,
          "enableInternalTransfer": False, "permitsUniversalTransfer": False, "enableVanillaOptions": False,
          "enableMargin": False, "enableFutures": False, "ipRestrict": True}, (True, False, False, True, 0)),
        ({"enableReading": True, "enableSpotAndMarginTrading": False, "enableWithdrawals": False,
          "enableInternalTransfer": False, "permitsUniversalTransfer": False, "enableVanillaOptions": False,
          "enableMargin": False, "tradingAuthorityExpirationTime": 1_628_985_600_000},
         (True, True, False, False, 1_628_985_600_000 * 10**6)),
        ({}, (False, True, True, False, 0)),
    ],
)  # fmt: skip
def test_a_right_that_the_venue_does_not_mention_counts_as_given(body: object, rights: tuple[int, ...]) -> None:
    assert tuple(EXECUTION.decode_rights(body)) == rights


@pytest.mark.parametrize(("status", "maintenance"), [(0, False), (1, True), (2, True)])
def test_a_system_status_that_is_not_normal_is_maintenance(status: int, maintenance: bool) -> None:
    assert EXECUTION.decode_status({"status": status, "msg": "?"}) is maintenance


def test_a_system_status_without_a_status_is_undocumented() -> None:
    with pytest.raises(VenueProtocolError):
        EXECUTION.decode_status({"msg": "normal"})
