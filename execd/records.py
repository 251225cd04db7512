"""Record types of execd's journal and the outbox through which the core asks its shell to act.

The core numbers its records itself (it is the journal's only writer), so it knows what to wait for without asking.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import IntEnum
from typing import Final

from tradebot.core.approvals import SessionUp
from tradebot.core.intents import IntentAnswer
from tradebot.core.order_events import OrderEvent
from tradebot.core.values import value
from tradebot.venues.api_orders import RequestKind


class RecordType(IntEnum):
    """What a journal record says; payloads are built by `tradebot.wire.execd_records`."""

    INCARNATION = 1
    """One start of execd: order log id, start number."""
    ASK = 2
    """Intent and first order event. Durable before the order may be sent."""
    ORDER_EVENT = 3
    GRANT = 4
    """A protection grant as riskd signed it, with the entry's client order id."""
    DERIVATION = 5
    """Terms derived from a grant and their first order events. Durable before they may be sent."""
    APPROVAL = 6
    """The approval that opened the gateway for an order; its nonce is spent."""
    LATCH = 7
    UNLATCH = 8
    WATERMARK = 9
    """Time up to which the venue's fills are known to be complete."""
    INTENT_REFUSED = 10
    """An intent refused before it became an order."""
    DRY_RUN = 11
    """Bytes that were stopped at the wire."""
    BASELINE = 12
    """Balance of an asset that no position of ours explains, at first sight."""
    CANCEL_WANTED = 13
    """A cancel that could not be sent at once, with its reason: whoever wanted it was told that it will be."""


LINGERING: Final = frozenset({RecordType.ORDER_EVENT, RecordType.APPROVAL, RecordType.GRANT, RecordType.WATERMARK})
"""Records that wait for company, unless their turn books a fill: no order waits for them."""


class ReadKind(IntEnum):
    """Private reads that the shell does over REST."""

    SNAPSHOT = 1
    """Open orders, history and trades of all instruments, and the account."""
    ORDER_TRADES = 2
    """Trades of one order."""
    ACCOUNT = 3
    OPEN_ORDERS = 4
    """Working orders of all instruments, or of one, and the account: what a kill is confirmed by."""


@value(frozen=True, slots=True)
class ReadJob:
    """One private read for the shell to do."""

    job_id: int
    kind: ReadKind
    venue: str
    since_ms: int = 0
    instrument_id: str = ""
    venue_order_id: str = ""


@value(frozen=True, slots=True)
class VenueSend:
    """Bytes for a venue connection."""

    venue: str
    data: bytes
    kind: RequestKind
    client_order_id: str = ""
    market_sent_time_ns: int = 0
    """Set for entries and exits: when marketdata wrote the row that the strategy decided on."""
    market_receive_time_ns: int = 0

    @property
    def is_order(self) -> bool:
        """True when it places something."""
        return self.kind in (RequestKind.PLACE, RequestKind.PLACE_OCO)


@dataclass(slots=True)
class Outbox:
    """What the core wants done since it was last asked."""

    records: list[tuple[int, bytes]] = field(default_factory=list)
    pressing: bool = False
    """A record is not of the LINGERING kind."""
    fills: bool = False
    """An event books a fill."""
    sends: list[VenueSend] = field(default_factory=list)
    answers: list[IntentAnswer] = field(default_factory=list)
    events: list[tuple[OrderEvent, bytes]] = field(default_factory=list)
    """Order events in order, each with its serialized form, which journal and streams share."""
    up: SessionUp = field(default_factory=SessionUp)
    up_dirty: bool = False
    reads: list[ReadJob] = field(default_factory=list)
    reconnects: list[tuple[str, str]] = field(default_factory=list)
    """(venue, reason): drop the connection and dial again."""
    notices: list[tuple[str, str, str]] = field(default_factory=list)
    """(level, event, text) for the log."""
    positions_changed: set[tuple[str, str]] = field(default_factory=set)
    """(strategy_id, instrument_id)."""
