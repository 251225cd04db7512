"""The published market: a client that follows the documented rules always holds the true book."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from simexchange.config import DEFAULT_SYMBOLS
from simexchange.faults import make_rule
from simexchange.feeds import RecordedLine, ReplayFeed
from simexchange.recording import synthetic_lines
from simexchange.service import recorded_lines
from simexchange.venue import AccountSetup, SimVenue
from tests.simexchange.follower import BookFollower
from tests.simexchange.kit import KEY, MS, SECRET, START_NS, VENUE, PureExchange
from tests.support.realdata import real_data_file
from tradebot.core.amounts import MONEY_ONE
from tradebot.core.errors import ConfigError
from tradebot.core.instruments import InstrumentStatus
from tradebot.core.orders import OrderType, Side
from tradebot.sim.engine import FeeRates
from tradebot.sim.rng import SplitMix64
from tradebot.venues import load_venue_part
from tradebot.venues.server_api import HttpRequest, OrderRequest, ServerLimits, Stream

REAL_FILES = ("BTCUSDT-ws-20240808T2354.log.gz", "BTCUSDT-ws-20240809T0000.log.gz")
SECOND_NS = 1_000_000_000


def listen(venue: SimVenue, *names: str) -> None:
    """Subscribe to streams."""
    for name in names:
        stream = venue.server.streams.parse(name)
        assert stream is not None
        venue.wanted[stream] = True


def frames(venue: SimVenue) -> list[str]:
    """Take the frames so far in the combined envelope."""
    return [venue.server.streams.combined(stream, payload) for stream, payload in venue.take_frames()]


def snapshot(venue: SimVenue, now_ns: int, symbol: str = "BTCUSDT") -> Any:
    """Fetch the book over REST."""
    request = HttpRequest("GET", "/api/v3/depth", f"symbol={symbol}&limit=5000", "", {}, "")
    return json.loads(venue.server.rest(request, now_ns).body)


@pytest.fixture
def exchange() -> PureExchange:
    one = PureExchange()
    listen(one.venue, "btcusdt@depth@100ms", "btcusdt@bookTicker", "btcusdt@trade")
    return one


def follow(exchange: PureExchange, follower: BookFollower, seconds: float, step_s: float = 0.013) -> None:
    """Run the market and feed the follower, which syncs when it can."""
    for _ in range(round(seconds / step_s)):
        exchange.advance(step_s)
        for frame in frames(exchange.venue):
            follower.on_frame(frame)
        if follower.last_id is None and follower.waiting:
            follower.on_snapshot(snapshot(exchange.venue, exchange.now_ns))


def test_a_synced_book_equals_the_best_bid_and_ask_at_every_equal_update_id(exchange: PureExchange) -> None:
    follower = BookFollower()
    follow(exchange, follower, 20)

    assert follower.compared >= 10
    assert follower.gaps == 0
    mine, theirs = follower.levels, snapshot(exchange.venue, exchange.now_ns)
    for frame in flush(exchange):
        follower.on_frame(frame)
    assert dict(snapshot(exchange.venue, exchange.now_ns)["bids"]) == mine["b"]
    assert len(theirs["asks"]) >= 20


def flush(exchange: PureExchange) -> list[str]:
    """Run exactly to the next multiple of 100 ms, where the diff is complete."""
    exchange.now_ns = exchange.now_ns // (100 * MS) * 100 * MS + 100 * MS
    exchange.venue.run_to(exchange.now_ns)
    return frames(exchange.venue)


def test_our_orders_and_fills_show_in_the_live_book_and_on_the_tape(exchange: PureExchange) -> None:
    follower = BookFollower()
    follow(exchange, follower, 1)
    exchange.limit("BUY", exchange.price(0.99), "0.00777")
    exchange.place(side="BUY", type="MARKET", quantity="0.00321")
    for frame in flush(exchange):
        follower.on_frame(frame)
        data = json.loads(frame)["data"]
        if data.get("e") == "trade" and data["q"] == "0.00321000":
            assert data["m"] is False
            break
    else:
        pytest.fail("our fill is not on the tape")
    follow(exchange, follower, 1)

    assert "0.00777000" in follower.levels["b"].values()


def test_a_lost_diff_is_a_gap_that_the_documented_rule_sees_and_heals(exchange: PureExchange) -> None:
    follower = BookFollower()
    follow(exchange, follower, 1)
    exchange.venue.faults.add(make_rule({"kind": "gap"}))
    follow(exchange, follower, 2)

    assert follower.gaps == 1
    assert follower.last_id is not None


def test_frames_do_not_depend_on_how_often_the_market_is_asked() -> None:
    names = ("btcusdt@depth@100ms", "btcusdt@trade", "btcusdt@bookTicker", "ethusdt@kline_1s", "ethusdt@depth20@100ms")
    runs = []
    for steps in (1, 7, 100):
        one = PureExchange()
        listen(one.venue, *names)
        for _ in range(steps):
            one.advance(2.8 / steps)
        one.now_ns = START_NS + 3 * SECOND_NS
        one.venue.run_to(one.now_ns)
        runs.append(frames(one.venue))

    assert runs[0] == runs[1] == runs[2]
    assert {json.loads(frame)["stream"] for frame in runs[0]} == set(names)


def test_one_second_klines_close_each_second_and_agree_with_the_tape() -> None:
    one = PureExchange()
    listen(one.venue, "btcusdt@kline_1s", "btcusdt@trade", "btcusdt@kline_1m")
    one.advance(130)
    decoded = [json.loads(frame) for frame in frames(one.venue)]
    bars = [row["data"]["k"] for row in decoded if row["stream"].endswith("kline_1s")]
    trades = [row["data"] for row in decoded if row["stream"].endswith("trade")]
    minutes = [row["data"]["k"] for row in decoded if row["stream"].endswith("kline_1m")]

    assert [bar["t"] for bar in bars] == list(range(bars[0]["t"], bars[0]["t"] + 130_000, 1_000))
    assert all(bar["x"] for bar in bars)
    for bar in bars[1:]:
        inside = [t for t in trades if bar["t"] <= t["T"] <= bar["T"]]
        assert bar["n"] == len(inside)
        if inside:
            assert (bar["o"], bar["c"]) == (inside[0]["p"], inside[-1]["p"])
    assert [minute["x"] for minute in minutes].count(True) == 2


# --- recordings ------------------------------------------------------------------------------------------------------


class Replay:
    """A recording played in virtual time to a follower."""

    def __init__(self, lines: Iterator[RecordedLine], speed: float = 1.0) -> None:
        setups = [one.setup(VENUE, name) for name, one in DEFAULT_SYMBOLS.items()]
        balances = {"USDT": 10**7 * MONEY_ONE, "BTC": 100 * MONEY_ONE}
        self.venue = SimVenue(
            setups,
            [AccountSetup("main", KEY, SECRET, balances)],
            FeeRates(),
            ServerLimits(),
            load_venue_part(VENUE, "server_protocol", "SERVER"),
            SplitMix64(1),
            is_recorded=True,
        )
        self.venue.start(
            lambda venue, start_ns: ReplayFeed(
                venue.engine,
                lines,
                venue.server.recordings,
                venue.publishers,
                venue.on_events,
                start_ns,
                speed,
                venue.loses_diff,
            ),
            START_NS,
        )
        listen(self.venue, "btcusdt@depth@100ms", "btcusdt@bookTicker", "btcusdt@trade")
        self.follower = BookFollower()
        self.counts: dict[str, int] = {}
        self.trades: list[dict[str, Any]] = []

    def play(self, until_ns: int, step_ns: int = SECOND_NS) -> None:
        """Play until the recording or the time ends; the follower syncs a second after it connected."""
        for now_ns in range(START_NS, until_ns + 1, step_ns):
            self.venue.run_to(now_ns)
            for frame in frames(self.venue):
                decoded = json.loads(frame)
                name = decoded["stream"].split("@", 1)[1]
                self.counts[name] = self.counts.get(name, 0) + 1
                self.follower.on_frame(frame)
                if name == "trade":
                    self.trades.append(decoded["data"])
            if self.follower.last_id is None and self.follower.waiting:
                assert self.follower.on_snapshot(snapshot(self.venue, now_ns))
            if self.venue.feed.is_finished:
                return


def real_lines() -> Iterator[RecordedLine]:
    return recorded_lines([real_data_file(f"history/binance_spot/{name}") for name in REAL_FILES])


@pytest.mark.real
@pytest.mark.timeout(120)
def test_650_s_of_real_market_replayed_equal_the_recorded_best_prices_at_every_equal_update_id() -> None:
    replay = Replay(real_lines(), speed=50.0)
    replay.play(START_NS + 20 * SECOND_NS, step_ns=SECOND_NS // 50)

    assert replay.venue.feed.is_finished
    assert replay.counts == {"depth@100ms": 6_495, "bookTicker": 73_174, "trade": 19_904}
    assert replay.follower.gaps == 0
    assert replay.follower.compared == 1_072
    ids = [trade["t"] for trade in replay.trades]
    assert ids == list(range(ids[0], ids[0] + len(ids)))


@pytest.mark.real
def test_event_times_are_shifted_and_not_scaled() -> None:
    path = real_data_file(f"history/binance_spot/{REAL_FILES[0]}")
    with gzip.open(path, "rt") as file:
        recorded = [json.loads(line.split(" ", 1)[1]) for line, _ in zip(file, range(2_000), strict=False)]
    events = [row["data"]["E"] for row in recorded if "E" in row.get("data", {})]
    replay = Replay(real_lines(), speed=10.0)
    replay.play(START_NS + SECOND_NS)
    times = [trade["E"] for trade in replay.trades]

    shift = START_NS // MS - events[0]
    assert times[:50] == [e + shift for e in [r["data"]["E"] for r in recorded if "@trade" in r.get("stream", "")][:50]]
    assert replay.trades[0]["T"] - replay.trades[0]["E"] <= 0


@pytest.mark.real
def test_our_orders_do_not_change_a_recorded_stream_and_resting_ones_get_filled() -> None:
    plain, traded = Replay(real_lines(), speed=20.0), Replay(real_lines(), speed=20.0)
    plain.play(START_NS + SECOND_NS)
    touch = traded.venue.touch(0)
    buy = OrderRequest("main", "buy", 0, Side.BUY, OrderType.LIMIT, 300, touch.bid)
    market = OrderRequest("main", "market", 0, Side.SELL, OrderType.MARKET, 1_000)
    assert traded.venue.place(buy, START_NS).reason == ""
    assert traded.venue.place(market, START_NS).reason == ""
    traded.play(START_NS + SECOND_NS)

    assert traded.trades == plain.trades
    assert traded.follower.levels == plain.follower.levels
    order = traded.venue.find_order("main", 0, None, "buy")
    assert order is not None
    assert order.filled_lots == 300
    liquidities = [one.fill.liquidity.name for one in traded.venue.trades_of("main", 0)]
    assert liquidities.count("MAKER") >= 1
    assert liquidities.count("TAKER") >= 1
    traded.venue.engine.assert_consistent()


@pytest.mark.real
def test_a_recording_halts_the_symbols_it_does_not_contain() -> None:
    replay = Replay(real_lines())

    assert [rules.instrument.status for rules in replay.venue.symbols] == [
        InstrumentStatus.TRADING,
        InstrumentStatus.HALTED,
    ]
    order = OrderRequest("main", "x", 1, Side.BUY, OrderType.LIMIT, 300, 100)
    assert replay.venue.place(order, START_NS).reason == "market_closed"


def test_a_written_recording_of_the_synthetic_market_replays_to_the_same_book() -> None:
    lines = list(synthetic_lines(VENUE, DEFAULT_SYMBOLS, 3, START_NS, 20 * SECOND_NS))
    again = list(synthetic_lines(VENUE, DEFAULT_SYMBOLS, 3, START_NS, 20 * SECOND_NS))
    replay = Replay(iter(lines))
    replay.play(START_NS + 30 * SECOND_NS)

    assert lines == again
    assert replay.venue.feed.is_finished
    assert replay.venue.feed.served == {0, 1}
    assert replay.follower.gaps == 0
    assert replay.follower.compared >= 5
    assert sum(b"lastUpdateId" in raw for _, raw in lines) == 2


def test_a_recording_without_a_snapshot_is_refused() -> None:
    lines = [
        line for line in synthetic_lines(VENUE, DEFAULT_SYMBOLS, 3, START_NS, 2 * SECOND_NS) if b"lastU" not in line[1]
    ]

    with pytest.raises(ConfigError, match="no depth snapshot"):
        Replay(iter(lines))


@pytest.mark.parametrize("content", [b"nonsense\n", b"12x {}\n", b"123\n"])
def test_a_file_that_is_no_recording_is_refused_by_line(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "bad.log"
    path.write_bytes(content)

    with pytest.raises(ConfigError, match="line 1"):
        list(recorded_lines([path]))


def test_microsecond_stamps_and_several_files_become_one_stream(tmp_path: Path) -> None:
    first, second = tmp_path / "a.us.log.gz", tmp_path / "b.log"
    with gzip.open(first, "wb") as file:
        file.write(b"1700000000000000 {}\n")
    second.write_bytes(b"1700000001000000000 {}\n")
    paths: Sequence[Path] = [first, second]

    assert [stamp for stamp, _ in recorded_lines(paths)] == [1_700_000_000_000_000_000, 1_700_000_001_000_000_000]


def test_every_default_stream_of_the_documentation_is_served() -> None:
    one = PureExchange()
    names = [
        f"btcusdt@{kind}"
        for kind in (
            "trade",
            "aggTrade",
            "bookTicker",
            "depth",
            "depth@100ms",
            "depth5",
            "depth10@100ms",
            "kline_1m",
            "kline_1s",
        )
    ]
    listen(one.venue, *names)
    one.advance(5)

    assert {json.loads(frame)["stream"] for frame in frames(one.venue)} == set(names)
    assert Stream("depth", 0, 1_000) in one.venue.wanted
