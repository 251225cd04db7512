"""The synthetic market as a recording, made as fast as it can be computed.

Lines have the recorded log format: receive time, then the raw frame; a frame without a stream is the REST depth
snapshot of the symbol in the line before it. Receive time is event time plus a constant: no network is simulated.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final

from simexchange.config import SymbolConfig
from simexchange.feeds import RecordedLine
from simexchange.publisher import DIFF_MS, NS_PER_MS
from simexchange.venue import SimVenue, synthetic_feed
from tradebot.sim.engine import FeeRates
from tradebot.sim.rng import SplitMix64
from tradebot.venues import load_venue_part
from tradebot.venues.server_api import HttpRequest, ServerLimits, Stream

STEP_NS: Final = 5 * NS_PER_MS
"""Frames of one step share a receive time."""
TRAVEL_NS: Final = 3 * NS_PER_MS
SNAPSHOT_AFTER_STEPS: Final = 3 * DIFF_MS * NS_PER_MS // STEP_NS
"""The snapshot is asked for when a few diffs have come, as clients do it."""


def synthetic_lines(
    venue_name: str, symbols: Mapping[str, SymbolConfig], seed: int, start_ns: int, duration_ns: int
) -> Iterator[RecordedLine]:
    """Yield (receive time, frame) of trades, best bid/ask and 100 ms diffs of all symbols.

    Args:
        venue_name: Venue folder whose frames are written.
        symbols: Markets, as in the exchange's configuration.
        seed: Same seed and start: same bytes.
        start_ns: First event time.
        duration_ns: Market time to record.
    """
    venue = SimVenue(
        [one.setup(venue_name, name) for name, one in symbols.items()],
        [],
        FeeRates(),
        ServerLimits(),
        load_venue_part(venue_name, "server_protocol", "SERVER"),
        SplitMix64(seed),
        is_recorded=False,
    )
    for i in range(len(venue.symbols)):
        for stream in (Stream("trade", i), Stream("book_ticker", i), Stream("depth", i, DIFF_MS)):
            venue.wanted[stream] = True
    venue.start(lambda one, at_ns: synthetic_feed(one, at_ns, history_s=0), start_ns)
    codec = venue.server.streams
    waiting = set(range(len(venue.symbols)))
    for step in range(1, duration_ns // STEP_NS + 1):
        now_ns = start_ns + step * STEP_NS
        venue.run_to(now_ns)
        for stream, payload in venue.take_frames():
            yield now_ns + TRAVEL_NS, codec.combined(stream, payload).encode()
            if step >= SNAPSHOT_AFTER_STEPS and stream.instrument in waiting:
                waiting.discard(stream.instrument)
                yield now_ns + TRAVEL_NS, _snapshot(venue, stream.instrument, now_ns)


def _snapshot(venue: SimVenue, instrument: int, now_ns: int) -> bytes:
    query = f"symbol={venue.symbols[instrument].instrument.venue_symbol}&limit=1000"
    return venue.server.rest(HttpRequest("GET", "/api/v3/depth", query, "", {}, ""), now_ns).body
