"""Public frames and answers of Binance Spot, client half, against hand-made frames."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

import pytest

from tests.conftest import PROJECT_ROOT
from tests.support.builders import make_instrument
from tests.venues import binance_frames as frames
from tradebot.core.errors import ConfigError, VenueProtocolError
from tradebot.core.instruments import InstrumentStatus, PriceBand
from tradebot.core.market import BUY_FLAG, SELL_FLAG
from tradebot.venues import load_market_data
from tradebot.venues.api import (
    BarEvent,
    BboEvent,
    BookDelta,
    ControlReply,
    Feed,
    FrameError,
    PlannedShutdown,
    TradeEvent,
)
from tradebot.wire.instruments import instrument_from_wire, instrument_to_wire

VENUE = load_market_data("binance")
INDEX = 7
MS = 1_000_000


@pytest.fixture
def codec() -> Any:
    """A codec that follows BTCUSDT as index 7."""
    return VENUE.codec([(INDEX, make_instrument())])


@pytest.mark.parametrize("wrap", [frames.combined, frames.bare])
def test_a_trade_is_read_with_the_taker_side(codec: Any, wrap: Any) -> None:
    sold = codec.decode(wrap(frames.trade(m=True)))
    bought = codec.decode(wrap(frames.trade(m=False)))

    assert sold == TradeEvent(INDEX, SELL_FLAG, 6183763, 2000, 3735683259, (frames.E_MS - 1) * MS)
    assert bought.aggressor == BUY_FLAG


@pytest.mark.parametrize("wrap", [frames.combined, frames.bare])
def test_a_depth_diff_is_read_with_absolute_quantities(codec: Any, wrap: Any) -> None:
    event = codec.decode(wrap(frames.depth()))

    assert event == BookDelta(INDEX, 101, 104, frames.E_MS * MS, [(6183763, 378826), (6173017, 0)], [(6183764, 154698)])


@pytest.mark.parametrize("wrap", [frames.combined, frames.bare])
def test_a_book_ticker_has_an_update_id_and_no_time(codec: Any, wrap: Any) -> None:
    event = codec.decode(wrap(frames.book_ticker()))

    assert event == BboEvent(INDEX, 50093239212, 6183763, 378826, 6183764, 154698, 0)


def test_an_empty_side_of_the_book_ticker_is_zero(codec: Any) -> None:
    event = codec.decode(frames.combined(frames.book_ticker(b="0.00000000", B="0.00000000")))

    assert event[2:4] == (0, 0)


@pytest.mark.parametrize("wrap", [frames.combined, frames.bare])
def test_a_kline_is_read_with_an_exclusive_end(codec: Any, wrap: Any) -> None:
    event = codec.decode(wrap(frames.kline(x=True)))

    assert isinstance(event, BarEvent)
    assert event.closed
    assert event.bar.close_time_ns - event.bar.open_time_ns == 60_000 * MS
    assert (event.bar.high, event.bar.trade_count) == (Decimal("61900.1"), 101)


def test_microsecond_stamps_are_told_apart_by_size(codec: Any) -> None:
    event = codec.decode(frames.combined(frames.depth(E=frames.E_MS * 1000 + 7)))

    assert event.event_time_ns == frames.E_MS * MS + 7000


def test_unknown_keys_and_another_key_order_do_not_matter(codec: Any) -> None:
    payload = {"new": [1, {"x": None}], **frames.trade()}
    frame = json.dumps({"data": payload, "stream": "btcusdt@trade", "later": 1}).encode()

    assert codec.decode(frame) == codec.decode(frames.combined(frames.trade()))


def test_frames_nobody_asked_for_are_ignored(codec: Any) -> None:
    other = frames.combined(frames.trade(s="ETHUSDT"), "ethusdt@trade")
    aggregated = frames.combined({"e": "aggTrade", "E": 1}, "btcusdt@aggTrade")
    partial = frames.combined({"lastUpdateId": 1, "bids": [], "asks": []}, "btcusdt@depth5@100ms")

    assert [codec.decode(frame) for frame in (other, aggregated, partial)] == [None, None, None]
    assert codec.decode(frames.bare({"e": "24hrTicker", "s": "BTCUSDT"})) is None
    assert codec.decode(frames.bare(frames.trade(s="ETHUSDT"))) is None


@pytest.mark.parametrize(
    ("payload", "named"),
    [
        (frames.trade(p=61837.63), r"BTCUSDT@trade.*\$\.data\.p"),
        (frames.trade(p="61837.635"), r"BTCUSDT@trade p or q.*61837\.635.*not on a step of 0\.01"),
        (frames.trade(q="0.00000000"), r"BTCUSDT@trade p or q"),
        (frames.trade(q="-1"), r"BTCUSDT@trade p or q.*plain decimal"),
        (frames.trade(t="12"), r"\$\.data\.t"),
        (frames.trade(m="yes"), r"\$\.data\.m"),
        (frames.trade(T=-5), r"time stamp"),
        (frames.trade(s="ETHUSDT"), r"BTCUSDT@trade s.*ETHUSDT"),
        (frames.depth(U=105), r"BTCUSDT@depth U, u"),
        (frames.depth(b=[["1"]]), r"\$\.data\.b"),
        (frames.depth(a=[["61837.64000001", "1"]]), r"BTCUSDT@depth a.*not on a step"),
        (frames.depth(E=None), r"\$\.data\.E"),
        (frames.book_ticker(u=None), r"\$\.data\.u"),
        (frames.book_ticker(A="x"), r"bookTicker.*plain decimal"),
        (frames.kline(i="7m"), r"@kline i.*7m"),
        (frames.kline(h="1.00000000"), r"impossible bar"),
    ],
)
def test_a_frame_that_breaks_the_documentation_names_stream_and_field(
    codec: Any, payload: dict[str, Any], named: str
) -> None:
    with pytest.raises(FrameError, match=named) as caught:
        codec.decode(frames.combined(payload))

    assert caught.value.instrument == INDEX
    assert isinstance(caught.value, VenueProtocolError)


@pytest.mark.parametrize("field", ["t", "p", "q", "T", "m", "s"])
def test_a_missing_field_is_named(codec: Any, field: str) -> None:
    payload = frames.trade()
    del payload[field]
    with pytest.raises(FrameError, match=f"missing required field `{field}`"):
        codec.decode(frames.combined(payload))


@pytest.mark.parametrize("frame", [b"", b"{", b"null", b"[1]", b'{"stream":"btcusdt@trade","data":', b"\xff\xfe"])
def test_what_is_no_json_object_is_refused(codec: Any, frame: bytes) -> None:
    with pytest.raises(FrameError):
        codec.decode(frame)


def test_an_old_order_with_a_finer_lot_does_not_break_the_book(codec: Any) -> None:
    event = codec.decode(frames.combined(frames.depth(b=[["20000.00000000", "25.42618900"]])))

    assert event.bids == [(2000000, 2542618)]
    assert codec.off_step_amounts == 1


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        ({"result": None, "id": 3}, ControlReply(3, "")),
        ({"error": {"code": 2, "msg": "Invalid request"}, "id": 4}, ControlReply(4, "2 Invalid request")),
        ({"code": 1, "msg": "Invalid value type"}, ControlReply(0, "1 Invalid value type")),
        ({"e": "serverShutdown", "E": frames.E_MS}, PlannedShutdown(frames.E_MS * MS)),
    ],
)
def test_control_frames_are_told_apart(codec: Any, answer: dict[str, Any], expected: object) -> None:
    assert codec.decode(frames.bare(answer)) == expected


def test_a_planned_shutdown_is_seen_on_a_combined_stream(codec: Any) -> None:
    frame = frames.combined({"e": "serverShutdown", "E": frames.E_MS}, "!serverShutdown")

    assert codec.decode(frame) == PlannedShutdown(frames.E_MS * MS)


def test_a_depth_snapshot_is_read(codec: Any) -> None:
    body = {"lastUpdateId": 1027024, "bids": [["4.00000000", "431.00000000"]], "asks": [["4.01000000", "12.00000000"]]}

    assert codec.decode_snapshot(INDEX, frames.bare(body))[1:] == (1027024, 0, [(400, 43100000)], [(401, 1200000)])


def test_a_snapshot_with_an_empty_level_is_refused(codec: Any) -> None:
    body = {"lastUpdateId": 1, "bids": [], "asks": [["4.01000000", "0.00000000"]]}
    with pytest.raises(FrameError, match="quantity 0"):
        codec.decode_snapshot(INDEX, frames.bare(body))


def test_old_orders_between_two_ticks_are_left_out_where_they_stand_and_where_they_go(codec: Any) -> None:
    body = {"lastUpdateId": 1, "bids": [["4.00000000", "1"], ["3.99500000", "7"]], "asks": []}
    snapshot = codec.decode_snapshot(INDEX, frames.bare(body))
    gone = codec.decode(frames.combined(frames.depth(b=[["3.99500000", "0.00000000"], ["4.00000000", "2"]])))

    assert snapshot.bids == [(400, 100000)]
    assert gone.bids == [(400, 200000)]
    assert codec.off_step_amounts == 2


def test_a_new_quantity_between_two_ticks_is_refused_as_it_may_be_a_new_tick_size(codec: Any) -> None:
    with pytest.raises(FrameError, match="tick size, restart"):
        codec.decode(frames.combined(frames.depth(b=[["3.99500000", "5"]])))


def test_a_best_price_between_two_ticks_leaves_the_word_to_the_book(codec: Any) -> None:
    assert codec.decode(frames.combined(frames.book_ticker(b="61837.63500000"))) is None
    assert codec.off_step_amounts == 1


def test_history_bars_are_read_oldest_first(codec: Any) -> None:
    row: list[Any] = [1_499_040_000_000, "0.01634790", "0.80000000", "0.01575800", "0.01577100", "148976.11427815",
           1_499_644_799_999, "2434.19055334", 308, "1756.87402397", "28.46694368", "0"]  # fmt: skip
    later = [row[0] + 60_000, *row[1:]]
    bars = codec.decode_bars(INDEX, 60_000, json.dumps([row, later]).encode())

    assert [bar.open_time_ns for bar in bars] == [row[0] * MS, later[0] * MS]
    assert bars[0].close_time_ns == bars[1].open_time_ns
    assert (bars[0].volume, bars[0].trade_count) == (Decimal("148976.11427815"), 308)


def test_an_instrument_carries_every_trading_rule() -> None:
    (instrument,) = VENUE.decode_instruments(frames.exchange_info(frames.symbol()), ["BTCUSDT"])

    assert instrument.instrument_id == "binance:BTC-USDT"
    assert (instrument.tick_size, instrument.lot_size) == (Decimal("0.01"), Decimal("0.00001"))
    assert (instrument.min_qty, instrument.max_qty) == (Decimal("0.00001"), Decimal(9000))
    assert instrument.market_max_qty == Decimal("100.05381873")
    assert (instrument.min_notional, instrument.max_notional) == (Decimal(5), Decimal(9_000_000))
    assert instrument.order_types == {"LIMIT", "MARKET", "STOP", "STOP_LIMIT", "TAKE_PROFIT_LIMIT"}
    assert instrument.oco_allowed
    assert instrument.status is InstrumentStatus.TRADING


BY_SIDE = {
    "filterType": "PERCENT_PRICE_BY_SIDE", "bidMultiplierUp": "5", "bidMultiplierDown": "0.2",
    "askMultiplierUp": "4", "askMultiplierDown": "0.5", "avgPriceMins": 5,
}  # fmt: skip
BOTH_SIDES = {"filterType": "PERCENT_PRICE", "multiplierUp": "3", "multiplierDown": "0.3", "avgPriceMins": 5}


@pytest.mark.parametrize(
    ("item", "multiples"),
    [
        (BY_SIDE, (Decimal(5), Decimal("0.2"), Decimal(4), Decimal("0.5"))),
        (BOTH_SIDES, (Decimal(3), Decimal("0.3"), Decimal(3), Decimal("0.3"))),
        (None, (None, None, None, None)),
    ],
)
def test_the_price_band_is_that_of_the_filters(
    item: dict[str, Any] | None, multiples: tuple[Decimal | None, ...]
) -> None:
    symbol = frames.symbol()
    symbol["filters"] += [] if item is None else [item]
    (instrument,) = VENUE.decode_instruments(frames.exchange_info(symbol), ["BTCUSDT"])
    band = instrument.price_band

    assert band == PriceBand(Decimal("0.01"), Decimal(1_000_000), *multiples)
    assert instrument_from_wire(instrument_to_wire(instrument)) == instrument


def test_a_price_rule_of_zero_is_switched_off() -> None:
    symbol = frames.symbol()
    symbol["filters"][0] |= {"minPrice": "0.00000000", "maxPrice": "0.00000000"}
    (instrument,) = VENUE.decode_instruments(frames.exchange_info(symbol), ["BTCUSDT"])

    assert instrument.price_band == PriceBand()


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        ("CANCEL_ONLY", InstrumentStatus.CANCEL_ONLY),
        ("BREAK", InstrumentStatus.HALTED),
        ("NEW", InstrumentStatus.HALTED),
    ],
)
def test_an_unknown_status_takes_no_orders(status: str, expected: InstrumentStatus) -> None:
    (instrument,) = VENUE.decode_instruments(frames.exchange_info(frames.symbol(status=status)), ["BTCUSDT"])

    assert instrument.status is expected


def test_the_order_of_the_configuration_is_kept() -> None:
    listed = frames.exchange_info(frames.symbol(symbol="AAAUSDT", baseAsset="AAA"), frames.symbol())

    assert [item.base for item in VENUE.decode_instruments(listed, ["BTCUSDT", "AAAUSDT"])] == ["BTC", "AAA"]


def test_a_symbol_that_is_not_listed_is_a_config_error() -> None:
    with pytest.raises(ConfigError, match=r"venues\.binance\.symbols: DOGEUSDT"):
        VENUE.decode_instruments(frames.exchange_info(frames.symbol()), ["BTCUSDT", "DOGEUSDT"])


@pytest.mark.parametrize("name", ["PRICE_FILTER", "LOT_SIZE"])
def test_a_missing_filter_is_named(name: str) -> None:
    symbol = frames.symbol()
    symbol["filters"] = [item for item in symbol["filters"] if item["filterType"] != name]
    with pytest.raises(VenueProtocolError, match=f"BTCUSDT: filter {name} is missing"):
        VENUE.decode_instruments(frames.exchange_info(symbol), ["BTCUSDT"])


def test_streams_beyond_the_address_are_subscribed() -> None:
    streams = [VENUE.stream_name(make_instrument(f"binance:C{i}-USDT"), Feed.TRADES) for i in range(60)]
    url = VENUE.stream_url("wss://host:9443/", streams)
    rest = VENUE.streams_to_subscribe(streams)

    assert url.startswith("wss://host:9443/stream?streams=c0usdt@trade/c1usdt@trade/")
    assert len(url.partition("=")[2].split("/")) + len(rest) == 60
    assert json.loads(VENUE.subscribe(rest[:2], 9)) == {"method": "SUBSCRIBE", "params": rest[:2], "id": 9}


@pytest.mark.parametrize(("depth", "weight"), [(100, 5), (101, 25), (500, 25), (1000, 50), (5000, 250), (9000, 250)])
def test_the_weight_of_a_snapshot_follows_the_table(depth: int, weight: int) -> None:
    request = VENUE.snapshot_request(make_instrument(), depth)

    assert request.weight == weight
    assert request.params["limit"] == str(min(depth, 5000))


def test_a_bar_request_ends_before_the_end() -> None:
    request = VENUE.bars_request(make_instrument(), 1000, 5, 1_723_161_240_000 * MS)

    assert request.params == {"symbol": "BTCUSDT", "interval": "1s", "limit": "5", "endTime": "1723161239999"}


def test_answers_tell_the_budget() -> None:
    fine = VENUE.read_limits(200, {"x-mbx-used-weight-1m": "123"}, b"{}")
    slow = VENUE.read_limits(429, {"retry-after": "7"}, b'{"code":-1003,"msg":"Too many requests."}')
    banned = VENUE.read_limits(418, {}, b"<html>")
    wrong = VENUE.read_limits(400, {}, b'{"code":-1121,"msg":"Invalid symbol."}')

    assert (fine.used_weight, fine.error) == (123, "")
    assert (slow.retry_after_s, slow.error) == (7.0, "HTTP 429 code -1003 Too many requests.")
    assert banned.retry_after_s == 120.0
    assert (wrong.retry_after_s, wrong.error) == (None, "HTTP 400 code -1121 Invalid symbol.")


def test_the_frames_kept_with_the_venue_are_read(codec: Any) -> None:
    path = PROJECT_ROOT / "tradebot/venues/binance/captures/handmade_public.jsonl"
    cases = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    kinds = {case["case"]: type(codec.decode(case["raw"].encode())).__name__ for case in cases}

    assert kinds == {
        "trade": "TradeEvent",
        "depth": "BookDelta",
        "bookTicker": "BboEvent",
        "kline": "BarEvent",
        "trade bare": "TradeEvent",
        "depth bare": "BookDelta",
        "bookTicker bare": "BboEvent",
        "kline bare": "BarEvent",
        "serverShutdown": "PlannedShutdown",
        "serverShutdown bare": "PlannedShutdown",
        "subscribe ack": "ControlReply",
        "subscribe error": "ControlReply",
    }
