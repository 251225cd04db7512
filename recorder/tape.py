"""From market rows to trades, one-minute bars, funding and open interest. Pure.

Bars are cut on event time. A trade is counted once even when a resumed stream repeats it: trade ids of one instrument
only rise. A bar is `complete` when the stream was followed without a break from before its start to after its end.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Final

from recorder.tables import Entry, Op, StoredBar
from tradebot.core.amounts import format_decimal
from tradebot.core.instruments import Instrument
from tradebot.core.market import BUY_FLAG, SELL_FLAG, SIDE_MASK, RowColumns, RowKind

BAR_NS: Final = 60_000_000_000
FUNDING_RATE_UNIT: Final = Decimal("1e-8")
_SIDES: Final = {BUY_FLAG: "BUY", SELL_FLAG: "SELL"}


@dataclass(slots=True)
class _Bar:
    """The open bar of one instrument, prices in ticks and volume in lots."""

    open_ns: int
    open: int
    high: int
    low: int
    close: int
    volume: int
    trade_count: int
    covered: bool
    """The stream was followed since before the bar began."""

    def add(self, ticks: int, lots: int) -> None:
        self.high = max(self.high, ticks)
        self.low = min(self.low, ticks)
        self.close = ticks
        self.volume += lots
        self.trade_count += 1


@dataclass(slots=True)
class _Market:
    """State per instrument."""

    instrument: Instrument
    bar: _Bar | None = None
    last_trade_id: int = -1
    followed_from_ns: int | None = None
    """Event time of the first row since the stream was last broken; None before that."""
    last_funding_ns: int = 0


class Tape:
    """Folds the tape subscription."""

    def __init__(self, stored: Sequence[StoredBar] = ()) -> None:
        self._stored = {bar.symbol: bar for bar in stored}
        self._markets: dict[str, _Market] = {}
        self._by_index: dict[int, _Market] = {}
        self.repeated_trades = 0
        """Trades that a resumed stream sent again."""

    def set_instruments(self, instruments: Sequence[tuple[int, Instrument]]) -> list[Entry]:
        """Learn the column indexes of a stream incarnation; return rows that describe the instruments."""
        self._by_index.clear()
        entries = []
        for index, instrument in instruments:
            market = self._markets.get(instrument.instrument_id)
            if market is None:
                market = self._markets[instrument.instrument_id] = self._restore(instrument)
            market.instrument = instrument
            self._by_index[index] = market
            entries.append(Entry(Op.INSTRUMENT, _instrument_row(instrument)))
        return entries

    def break_off(self) -> None:
        """The stream did not resume where it stopped: open bars have a hole."""
        for market in self._markets.values():
            market.followed_from_ns = None
            if market.bar is not None:
                market.bar.covered = False

    def apply(self, rows: RowColumns) -> list[Entry]:
        """Return what to write for these rows."""
        entries: list[Entry] = []
        touched: dict[str, _Market] = {}
        for kind, index, side_flags, price, qty, id_, event_ns, receive_ns in zip(
            rows.kind,
            rows.instrument,
            rows.side_flags,
            rows.price,
            rows.qty,
            rows.id,
            rows.event_time_ns,
            rows.receive_time_ns,
            strict=True,
        ):
            market = self._by_index.get(index)
            if market is None:
                continue
            if market.followed_from_ns is None:
                market.followed_from_ns = event_ns
            instrument = market.instrument
            if kind == RowKind.TRADE:
                if id_ <= market.last_trade_id:
                    self.repeated_trades += 1
                    continue
                side = _SIDES.get(side_flags & SIDE_MASK, "")
                entries.append(
                    Entry(
                        Op.TRADE,
                        (event_ns, instrument.instrument_id, *_amounts(instrument, price, qty), side, id_, receive_ns),
                    )
                )
                entries += _roll(market, price, qty, event_ns)
                market.last_trade_id = id_
                touched[instrument.instrument_id] = market
            elif kind == RowKind.FUNDING_RATE:
                rate = format_decimal(price * FUNDING_RATE_UNIT)
                interval = (
                    qty - market.last_funding_ns if market.last_funding_ns and qty > market.last_funding_ns else None
                )
                entries.append(Entry(Op.FUNDING, (event_ns, instrument.instrument_id, rate, interval, qty)))
                market.last_funding_ns = qty
            elif kind == RowKind.OPEN_INTEREST:
                value = format_decimal(instrument.qty(qty))
                entries.append(Entry(Op.OPEN_INTEREST, (event_ns, instrument.instrument_id, value)))
        entries += [_bar_entry(market) for market in touched.values()]
        return entries

    def _restore(self, instrument: Instrument) -> _Market:
        stored = self._stored.get(instrument.instrument_id)
        if stored is None:
            return _Market(instrument)
        prices = (Decimal(text) for text in (stored.o, stored.h, stored.l, stored.c))
        open_, high, low, close = (instrument.price_ticks_floor(price) for price in prices)
        volume = instrument.qty_lots_floor(Decimal(stored.v))
        bar = _Bar(stored.ts, open_, high, low, close, volume, stored.trade_count, covered=False)
        return _Market(instrument, bar, stored.last_trade_id)

    def resume(self) -> None:
        """The stream goes on exactly where the database stopped: bars restored from it have no hole."""
        for market in self._markets.values():
            stored = self._stored.get(market.instrument.instrument_id)
            if stored is not None and market.bar is not None and market.bar.open_ns == stored.ts:
                market.bar.covered = stored.complete
                market.followed_from_ns = stored.ts


def _roll(market: _Market, ticks: int, lots: int, event_ns: int) -> list[Entry]:
    """Add one trade to its bar; return the bar before it when that one is over."""
    open_ns = event_ns - event_ns % BAR_NS
    bar = market.bar
    if (
        bar is not None and open_ns <= bar.open_ns
    ):  # also a trade that the venue stamped late: it belongs to no older bar
        bar.add(ticks, lots)
        return []
    closed = [] if bar is None else [_bar_entry(market)]
    covered = market.followed_from_ns is not None and market.followed_from_ns <= open_ns
    market.bar = _Bar(open_ns, ticks, ticks, ticks, ticks, lots, 1, covered)
    return closed


def _bar_entry(market: _Market) -> Entry:
    bar, instrument = market.bar, market.instrument
    assert bar is not None
    o, h, low, c = (format_decimal(instrument.price(ticks)) for ticks in (bar.open, bar.high, bar.low, bar.close))
    volume = format_decimal(instrument.qty(bar.volume))
    row = (
        bar.open_ns,
        instrument.instrument_id,
        o,
        h,
        low,
        c,
        volume,
        bar.trade_count,
        int(bar.covered),
        market.last_trade_id,
    )
    return Entry(Op.BAR, row)


def _amounts(instrument: Instrument, ticks: int, lots: int) -> tuple[str, str]:
    return format_decimal(instrument.price(ticks)), format_decimal(instrument.qty(lots))


def _instrument_row(item: Instrument) -> tuple[str, ...]:
    return (
        item.instrument_id,
        item.venue,
        item.venue_symbol,
        item.base,
        item.quote,
        format_decimal(item.tick_size),
        format_decimal(item.lot_size),
        format_decimal(item.contract_multiplier),
    )
