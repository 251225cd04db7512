"""Frames of the server half have the keys and types of frames that the venue really sent."""

from __future__ import annotations

import gzip
import json
from decimal import Decimal
from typing import Any

import pytest

from tests.sim.kit import make_rules
from tests.support.realdata import real_data_file
from tradebot.sim.candles import Candle
from tradebot.venues.binance.server_format import SymbolText, fixed8, money8
from tradebot.venues.binance.server_info import exchange_info
from tradebot.venues.binance.server_replay import BinanceRecordings
from tradebot.venues.binance.server_streams import BinanceStreams
from tradebot.venues.server_api import Depth, PublicTrade, ServerLimits, Stream, Touch

TEXT = SymbolText(make_rules())
STREAMS = BinanceStreams([TEXT])
BAR = Candle(60_000, 60_000, 5, 7, 4, 6, 10, 60, 3, 4, 24, 11, 13)
ONE_TRADE = PublicTrade(7, 100, 3, True, 1_700_000_000_000)


def shape(value: Any) -> Any:
    """Return keys and types: of a list, the shape of its first element."""
    if isinstance(value, dict):
        return {key: shape(one) for key, one in value.items()}
    if isinstance(value, list):
        return [shape(value[0])] if value else []
    return type(value).__name__


def captured(name: str, stream: str) -> list[Any]:
    """Return the captured combined frames of a stream."""
    path = real_data_file(f"captures/binance_spot/{name}")
    rows = [json.loads(json.loads(line)["raw"]) for line in path.read_text(encoding="utf-8").splitlines()]
    found = [row for row in rows if stream in row.get("stream", "")]
    assert found
    return found


def ours(name: str) -> Any:
    """Return one of our combined frames."""
    stream = STREAMS.parse(name)
    assert stream is not None
    match stream.kind:
        case "depth":
            payload = STREAMS.depth(stream, 1, 2, 3, [(100, 1)], [(101, 0)])
        case "book_ticker":
            payload = STREAMS.book_ticker(stream, Touch(1, 100, 1, 101, 2))
        case "kline":
            payload = STREAMS.kline(stream, 5, BAR, is_closed=False)
        case _:
            payload = STREAMS.trade(stream, 5, ONE_TRADE)
    return json.loads(STREAMS.combined(stream, payload))


@pytest.mark.real
@pytest.mark.parametrize(
    ("name", "capture", "stream"),
    [
        ("coinusdt@depth@100ms", "ws_depth.jsonl", "@depth"),
        ("coinusdt@bookTicker", "ws_bookTicker.jsonl", "@bookTicker"),
        ("coinusdt@aggTrade", "ws_aggTrade.jsonl", "@aggTrade"),
        ("coinusdt@kline_1m", "ws_kline.jsonl", "@kline"),
    ],
)
def test_a_stream_frame_has_the_captured_keys_in_order_and_types(name: str, capture: str, stream: str) -> None:
    real = captured(capture, stream)
    mine = ours(name)
    full = max(real, key=lambda row: len(str(shape(row))))  # one whose lists are not empty

    assert shape(mine) == shape(full)
    assert list(mine["data"]) == list(full["data"])


@pytest.mark.real
def test_a_trade_frame_has_the_recorded_keys_in_order_and_types() -> None:
    path = real_data_file("history/binance_spot/BTCUSDT-ws-20240808T2354.log.gz")
    with gzip.open(path, "rt") as file:
        real = next(json.loads(line.split(" ", 1)[1]) for line in file if "@trade" in line)
    mine = ours("coinusdt@trade")
    # The recording is older than the removal of the order ids.
    kept = {key: value for key, value in real["data"].items() if key not in ("a", "b")}

    assert shape(mine["data"]) == shape(kept)
    assert list(mine["data"]) == list(kept)


@pytest.mark.real
def test_exchange_info_has_the_fields_and_filters_of_a_real_one() -> None:
    path = real_data_file("captures/binance_spot/rest_samples_gct.jsonl.gz")
    with gzip.open(path, "rt") as file:
        rows = [json.loads(line) for line in file]
    real = next(json.loads(row["raw"]) for row in rows if row.get("path") == "/api/v3/exchangeInfo")
    mine = json.loads(json.dumps(exchange_info([TEXT.rules], ServerLimits(), 1)))
    btc = next(symbol for symbol in real["symbols"] if symbol["symbol"] == "BTCUSDT")
    coin = mine["symbols"][0]

    assert set(mine) >= set(real)
    assert set(coin) >= set(btc)
    real_filters = {one["filterType"]: one for one in btc["filters"]}
    for one in coin["filters"]:
        assert shape(one) == shape(real_filters[one["filterType"]])
    assert {shape_key: type(v) for shape_key, v in mine["rateLimits"][0].items()} == {
        shape_key: type(v) for shape_key, v in real["rateLimits"][0].items()
    }


def test_numbers_have_eight_decimals() -> None:
    assert fixed8(123_456_789) == "1.23456789"
    assert fixed8(-5) == "-0.00000005"
    assert money8(123_456_789_999) == "0.12345678"
    assert TEXT.price(100) == "100.00000000"
    assert TEXT.quote_of(42) == "42.00000000"


@pytest.mark.parametrize(
    ("name", "stream"),
    [
        ("coinusdt@trade", Stream("trade", 0)),
        ("coinusdt@aggTrade", Stream("agg_trade", 0)),
        ("coinusdt@bookTicker", Stream("book_ticker", 0)),
        ("coinusdt@depth", Stream("depth", 0, 1_000)),
        ("coinusdt@depth@100ms", Stream("depth", 0, 100)),
        ("coinusdt@depth20@100ms", Stream("partial_depth", 0, 100, 20)),
        ("coinusdt@depth5", Stream("partial_depth", 0, 1_000, 5)),
        ("coinusdt@kline_1s", Stream("kline", 0, 1_000)),
    ],
)
def test_stream_names_are_read_and_written_alike(name: str, stream: Stream) -> None:
    assert STREAMS.parse(name) == stream
    assert STREAMS.name(stream) == name


@pytest.mark.parametrize(
    "name", ["", "coinusdt", "nope@trade", "coinusdt@depth7", "coinusdt@kline_9s", "COINUSDT@trade"]
)
def test_an_unknown_stream_name_is_no_stream(name: str) -> None:
    assert STREAMS.parse(name) is None


def test_paths_say_what_a_connection_wants() -> None:
    combined = STREAMS.connect("/stream?streams=coinusdt@trade/coinusdt@depth@100ms/nope@trade")
    raw = STREAMS.connect("/ws/coinusdt@bookTicker")
    api = STREAMS.connect("/ws-api/v3?returnRateLimits=false")

    assert combined is not None
    assert (combined.is_combined, list(combined.streams)) == (True, ["coinusdt@trade", "coinusdt@depth@100ms"])
    assert raw is not None
    assert (raw.is_combined, list(raw.streams)) == (False, ["coinusdt@bookTicker"])
    assert api is not None
    assert api.is_trade_api
    assert STREAMS.connect("/nowhere") is None


def test_control_frames_subscribe_list_and_unsubscribe() -> None:
    streams: dict[str, Stream] = {}

    def send(**frame: Any) -> Any:
        return json.loads(STREAMS.control(json.dumps(frame), streams).reply)

    assert send(method="SUBSCRIBE", params=["coinusdt@trade", "x@trade"], id=1) == {"result": None, "id": 1}
    assert send(method="LIST_SUBSCRIPTIONS", id="a") == {"result": ["coinusdt@trade"], "id": "a"}
    assert send(method="UNSUBSCRIBE", params=["coinusdt@trade"], id=3) == {"result": None, "id": 3}
    assert streams == {}
    assert send(method="NOPE", id=4)["error"]["code"] == 0
    assert send(method="SUBSCRIBE", params=[5], id=5)["error"]["code"] == 2
    assert json.loads(STREAMS.control("{", streams).reply)["error"]["code"] == 3
    assert STREAMS.control('{"method":"SET_PROPERTY","params":["combined",true],"id":6}', streams).is_combined is True


def test_a_recorded_frame_is_passed_on_byte_for_byte_but_for_its_times() -> None:
    recordings = BinanceRecordings([TEXT])
    data = (
        '{"e":"trade","E":1700000000005,"s":"COINUSDT","t":5,"p":"100.00000000","q":"3.00000000",'
        '"b":1,"a":2,"T":1700000000004,"m":true,"M":true}'
    )
    frame = recordings.read(f'{{"stream":"coinusdt@trade","data":{data}}}'.encode())

    assert frame is not None
    assert frame.trade == PublicTrade(5, 100, 3, True, 1_700_000_000_004)
    moved = recordings.shift(frame, 1_000)
    assert moved == data.replace("1700000000005", "1700000001005").replace("1700000000004", "1700000001004")


def test_our_own_frames_are_read_back_by_the_recording_reader() -> None:
    recordings = BinanceRecordings([TEXT])
    stream = Stream("depth", 0, 100)
    payload = STREAMS.depth(stream, 5, 6, 9, [(100, 4)], [(101, 0)])
    frame = recordings.read(STREAMS.combined(stream, payload).encode())

    assert frame is not None
    assert (frame.first_id, frame.final_id, frame.bids, frame.asks) == (6, 9, [(100, 4)], [(101, 0)])
    snapshot = recordings.read(b'{"lastUpdateId":9,"bids":[["100.0","1"]],"asks":[]}')
    assert snapshot is not None
    assert (snapshot.stream.kind, snapshot.final_id, snapshot.bids) == ("snapshot", 9, [(100, 1)])
    assert recordings.read(b'{"stream":"other@trade","data":{}}') is None


def test_recorded_levels_finer_than_the_steps_are_rounded_down_or_left_out() -> None:
    raw = b'{"lastUpdateId":9,"bids":[["100.0","1.7"],["99.0","0.3"],["98.5","4"]],"asks":[["101.0","0.0"]]}'
    frame = BinanceRecordings([TEXT]).read(raw)

    assert frame is not None
    assert (frame.bids, frame.asks) == ([(100, 1), (99, 1)], [(101, 0)])


def test_a_partial_book_carries_no_symbol_and_no_time() -> None:
    frame = json.loads(STREAMS.partial_depth(Stream("partial_depth", 0, 100, 5), Depth(4, [(100, 1)], [(101, 2)])))

    assert frame == {
        "lastUpdateId": 4,
        "bids": [["100.00000000", "1.00000000"]],
        "asks": [["101.00000000", "2.00000000"]],
    }
    assert Decimal(frame["bids"][0][0]) == 100
