"""Public frames of Binance Spot as the venue sent them, with exact counts."""

from __future__ import annotations

import gzip
import json
import time
from collections import Counter
from collections.abc import Iterator
from decimal import Decimal
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from tests.support.realdata import real_data_file
from tradebot.core.instruments import Instrument, InstrumentStatus
from tradebot.venues import load_market_data
from tradebot.venues.api import BboEvent, BookDelta, ControlReply

pytestmark = pytest.mark.real

CAPTURES = "captures/binance_spot"
SESSION_SYMBOLS = ("NKNUSDT", "BLZETH", "LRCBTC", "RUNEEUR")
VENUE = load_market_data("binance")


def records(name: str) -> Iterator[dict[str, Any]]:
    """Yield the lines of one capture."""
    path: Path = real_data_file(f"{CAPTURES}/{name}")
    opener: Any = gzip.open if path.suffix == ".gz" else open
    with opener(path, "rt", encoding="utf-8") as lines:
        for line in lines:
            yield json.loads(line)


def listed(symbols: tuple[str, ...]) -> list[Instrument]:
    """Return instruments of the recorded exchangeInfo."""
    (record,) = records("exchange_info_20211012.jsonl.gz")
    return VENUE.decode_instruments(record["raw"].encode(), symbols)


def test_the_recorded_exchange_info_gives_every_symbol_an_instrument() -> None:
    (record,) = records("exchange_info_20211012.jsonl.gz")
    symbols = [item["symbol"] for item in json.loads(record["raw"])["symbols"]]
    instruments = VENUE.decode_instruments(record["raw"].encode(), symbols)
    by_symbol = {instrument.venue_symbol: instrument for instrument in instruments}

    assert len(by_symbol) == 1695
    assert Counter(item.status for item in instruments)[InstrumentStatus.TRADING] > 1000
    assert by_symbol["BTCUSDT"].tick_size == Decimal("0.01")
    assert by_symbol["BTCUSDT"].market_max_qty == Decimal("100.05381873")
    assert by_symbol["BTCUSDT"].min_notional == Decimal(10)


def test_the_whole_recorded_session_is_read() -> None:
    codec = VENUE.codec(list(enumerate(listed(SESSION_SYMBOLS))))
    seen: Counter[str] = Counter()
    for record in records("session_20211012.jsonl.gz"):
        if record["dir"] == "recv":
            event = codec.decode(record["raw"].encode())
            seen[type(event).__name__] += 1
        elif record["dir"] == "http" and "/depth?" in record["url"]:
            symbol = record["url"].partition("symbol=")[2].partition("&")[0]
            snapshot = codec.decode_snapshot(SESSION_SYMBOLS.index(symbol), record["raw"].encode())
            seen["BookSnapshot"] += 1

            assert snapshot.last_id == json.loads(record["raw"])["lastUpdateId"]

    assert seen == {"BookDelta": 177, "BboEvent": 84, "BarEvent": 2, "BookSnapshot": 4, "NoneType": 2}


@pytest.mark.parametrize(
    ("name", "kind", "count"),
    [
        ("ws_depth.jsonl", "BookDelta", 177),
        ("ws_bookTicker.jsonl", "BboEvent", 84),
        ("ws_kline.jsonl", "BarEvent", 2),
        ("ws_aggTrade.jsonl", "NoneType", 2),
    ],
)
def test_each_channel_is_read_completely(name: str, kind: str, count: int) -> None:
    codec = VENUE.codec(list(enumerate(listed(SESSION_SYMBOLS))))
    kinds = Counter(type(codec.decode(record["raw"].encode())).__name__ for record in records(name))

    assert kinds == {kind: count}


def test_frames_of_2026_are_read() -> None:
    codec = VENUE.codec([(0, listed(("BTCUSDT",))[0])])
    events = [codec.decode(record["raw"].encode()) for record in records("ws_2026_samples.jsonl")]

    assert events == [BboEvent(0, 98494969448, 6370400, 477471, 6370401, 1133198, 0), ControlReply(1, "")]


def test_depth_numbers_equal_their_decimals() -> None:
    instruments = listed(SESSION_SYMBOLS)
    codec = VENUE.codec(list(enumerate(instruments)))
    for record in records("ws_depth.jsonl"):
        event, data = codec.decode(record["raw"].encode()), json.loads(record["raw"])["data"]
        assert isinstance(event, BookDelta)
        instrument = instruments[event.instrument]
        for levels, texts in ((event.bids, data["b"]), (event.asks, data["a"])):
            exact = [(instrument.price(ticks), instrument.qty(lots)) for ticks, lots in levels]

            assert exact == [(Decimal(price), Decimal(qty)) for price, qty in texts]


def test_recorded_klines_are_read_with_their_interval() -> None:
    codec = VENUE.codec([(0, listed(("BTCUSDT",))[0])])
    intervals = {"5m": 300_000, "1m": 60_000, "1h": 3_600_000, "1d": 86_400_000}
    read = 0
    for record in records("rest_samples_gct.jsonl.gz"):
        if record["path"] == "/api/v3/klines" and record["kind"] == "REAL-NORM":
            interval = next(part[9:] for part in record["query"].split("&") if part.startswith("interval="))
            bars = codec.decode_bars(0, intervals[interval], record["raw"].encode())
            read += len(bars)

            assert all(early.close_time_ns <= late.open_time_ns for early, late in pairwise(bars))

    assert read > 100


def test_one_number_costs_well_under_a_microsecond() -> None:
    """Recorded BTC diffs: 124,090 levels of two numbers each; generous bound, measured 0.15 us per number."""
    path = real_data_file("history/binance_spot/BTCUSDT-ws-20240808T2354.log.gz")
    with gzip.open(path) as lines:
        payloads = [line.split(b" ", 1)[1] for line in lines if b"@depth" in line[:60]][:1000]
    codec = VENUE.codec([(0, listed(("BTCUSDT",))[0])])
    started = time.process_time()
    events = [codec.decode(payload) for payload in payloads]
    spent_us = (time.process_time() - started) * 1e6
    numbers = sum(2 * (len(event.bids) + len(event.asks)) for event in events if isinstance(event, BookDelta))

    assert spent_us / numbers < 1.0
