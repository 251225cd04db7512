"""Best bid and offer per instrument as marketdata tells them, in ticks; decimals are made when an order is priced."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal

from tradebot.core.instruments import Instrument
from tradebot.core.orders import Side

BPS = Decimal(10_000)


@dataclass(slots=True)
class Quote:
    """One instrument's touch; 0 ticks = none seen."""

    bid_ticks: int = 0
    ask_ticks: int = 0
    live: bool = False
    """Whether marketdata calls the book LIVE."""
    receive_time_ns: int = 0


class QuoteBoard:
    """Quotes of all instruments."""

    def __init__(self, instruments: dict[str, Instrument]) -> None:
        self._instruments = instruments
        self._quotes = {instrument_id: Quote() for instrument_id in instruments}

    def quote(self, instrument_id: str) -> Quote:
        """Return the mutable quote; the market data reader writes into it."""
        return self._quotes[instrument_id]

    def is_fresh(self, instrument_id: str, now_ns: int, max_age_ns: int) -> bool:
        """Return whether the quote is live, two-sided and young enough to price an entry."""
        quote = self._quotes[instrument_id]
        return quote.live and 0 < quote.bid_ticks < quote.ask_ticks and now_ns - quote.receive_time_ns <= max_age_ns

    def opposite(self, instrument_id: str, side: Side) -> Decimal | None:
        """Return the price that an order of this side would take first: the last one seen, however old."""
        quote = self._quotes[instrument_id]
        ticks = quote.ask_ticks if side is Side.BUY else quote.bid_ticks
        return self._instruments[instrument_id].price(ticks) if ticks else None

    def bounded_limit(self, instrument_id: str, side: Side, reference: Decimal, bound_bps: int) -> Decimal:
        """Return a limit on tick at most `bound_bps` worse than the reference and never better than it."""
        instrument = self._instruments[instrument_id]
        if side is Side.BUY:
            bound = instrument.price_ticks_floor(reference * (1 + bound_bps / BPS))
            return instrument.price(max(bound, instrument.price_ticks_ceil(reference)))
        bound = instrument.price_ticks_ceil(reference * (1 - bound_bps / BPS))
        return instrument.price(max(1, min(bound, instrument.price_ticks_floor(reference))))
