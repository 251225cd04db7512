"""Signatures and clocks, against vectors that two independent implementations agreed on."""

from __future__ import annotations

import pytest

from tradebot.venues.binance.server_auth import check_signature, check_time, rest_payload, sign, ws_payload
from tradebot.venues.binance.server_errors import VenueError
from tradebot.venues.binance.server_limits import BAN_MS, REFUSALS_BEFORE_BAN, LimitBook, depth_weight
from tradebot.venues.server_api import ServerLimits

SECRET = b"test-secret"
ORDER = (
    "symbol=BTCUSDT&side=BUY&type=LIMIT&timeInForce=GTC&quantity=0.01&price=20000"
    "&recvWindow=5000&timestamp=1700000000000"
)
ORDER_SIGNATURE = "9461561a4b7842c0148a79d9d287a171b64b13f5a9f6ea70ce22b9d7994ce0ac"
LOGIN = {"timestamp": "1700000000000", "apiKey": "test-key", "recvWindow": "5000"}
LOGIN_SIGNATURE = "a8f0fed6daf3808e42a0bffd576ec53a2199002497e06e4fed5790b3c296e59d"
NOW_MS = 1_700_000_000_000


def code_of(call: object) -> int:
    """Return the venue code that a call raises."""
    with pytest.raises(VenueError) as caught:
        call()  # type: ignore[operator]
    return caught.value.code


def test_golden_rest_signature() -> None:
    assert sign(ORDER, SECRET) == ORDER_SIGNATURE
    assert rest_payload(f"{ORDER}&signature={ORDER_SIGNATURE}", "") == (ORDER, ORDER_SIGNATURE)


def test_query_and_body_are_joined_without_a_separator() -> None:
    query, body = ORDER.split("&timeInForce", 1)
    payload, signature = rest_payload(query, f"timeInForce{body}&signature=abc")

    assert payload == query + "timeInForce" + body
    assert signature == "abc"


def test_golden_websocket_signature_sorts_the_parameters() -> None:
    assert sign(ws_payload(LOGIN), SECRET) == LOGIN_SIGNATURE
    check_signature(ws_payload(LOGIN | {"signature": "x"}), LOGIN_SIGNATURE, SECRET)


def test_a_wrong_or_absent_signature_is_refused() -> None:
    assert code_of(lambda: check_signature(ORDER + "0", ORDER_SIGNATURE, SECRET)) == -1022
    assert code_of(lambda: check_signature(ORDER, "", SECRET)) == -1102


@pytest.mark.parametrize(
    ("timestamp", "window", "code"),
    [
        (NOW_MS - 5_000, "", 0),
        (NOW_MS - 5_001, "", -1021),
        (NOW_MS - 5_001, "6000", 0),
        (NOW_MS - 3, "2.5", -1021),
        (NOW_MS + 999, "", 0),
        (NOW_MS + 1_000, "", -1021),
        (NOW_MS * 1_000, "", 0),
        (NOW_MS, "60001", -1131),
        (NOW_MS, "x", -1102),
    ],
)
def test_the_clock_window(timestamp: int, window: str, code: int) -> None:
    params = {"timestamp": str(timestamp), "recvWindow": window}
    if code:
        assert code_of(lambda: check_time(params, NOW_MS)) == code
    else:
        check_time(params, NOW_MS)


def test_a_missing_timestamp_is_a_missing_parameter() -> None:
    assert code_of(lambda: check_time({}, NOW_MS)) == -1102


def test_weight_is_counted_per_address_and_minute() -> None:
    book = LimitBook(ServerLimits(weight_per_minute=10))
    book.add_weight("a", 9, NOW_MS)

    assert book.used_weight("a", NOW_MS) == 9
    assert book.used_weight("b", NOW_MS) == 0
    assert book.used_weight("a", NOW_MS + 60_000) == 0


def test_going_on_after_429_ends_in_a_ban() -> None:
    book = LimitBook(ServerLimits(weight_per_minute=1))
    book.add_weight("a", 1, NOW_MS)
    statuses = []
    for _ in range(REFUSALS_BEFORE_BAN + 1):
        with pytest.raises(VenueError) as caught:
            book.add_weight("a", 1, NOW_MS)
        statuses.append(caught.value.status)

    assert set(statuses[:-1]) == {429}
    assert statuses[-1] == 418
    with pytest.raises(VenueError):
        book.add_weight("a", 1, NOW_MS + BAN_MS - 1)
    book.add_weight("a", 1, NOW_MS + BAN_MS)


def test_order_counters_fall_with_the_first_fill() -> None:
    book = LimitBook(ServerLimits(orders_per_10s=2))
    book.add_orders("main", 2, NOW_MS)

    assert code_of(lambda: book.check_orders("main", 1, NOW_MS)) == -1015
    book.order_filled("main", NOW_MS)
    book.check_orders("main", 1, NOW_MS)
    assert book.order_counts("main", NOW_MS) == (1, 1)
    assert book.order_counts("main", NOW_MS + 10_000) == (0, 1)


@pytest.mark.parametrize(("limit", "weight"), [(100, 5), (101, 25), (500, 25), (1_000, 50), (1_001, 250)])
def test_a_deeper_snapshot_costs_more(limit: int, weight: int) -> None:
    assert depth_weight(limit) == weight
