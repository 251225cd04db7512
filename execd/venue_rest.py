"""The desk's read jobs, done with the venue reader."""

from __future__ import annotations

from execd.records import ReadJob, ReadKind
from execd.venue_side import ReadResult
from tradebot.runtime.venue_reader import VenueReader
from tradebot.venues.api_orders import OrderCodec


async def do_read(reader: VenueReader, job: ReadJob, codec: OrderCodec, instrument_ids: list[str]) -> ReadResult:
    """Do one of the core's read jobs.

    Raises:
        TransientError: The venue refused or did not answer.
        VenueProtocolError: It answered something undocumented.
    """
    match job.kind:
        case ReadKind.ACCOUNT:
            return await reader.account(codec)
        case ReadKind.ORDER_TRADES:
            return await reader.trades_of(codec, job.instrument_id, job.venue_order_id)
        case ReadKind.SNAPSHOT:
            return await reader.snapshot(codec, instrument_ids, job.since_ms)
        case ReadKind.OPEN_ORDERS:
            return await reader.open_orders(codec, [job.instrument_id] if job.instrument_id else instrument_ids)
