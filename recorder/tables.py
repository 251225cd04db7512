"""What is written: one operation per kind of row, with the order of its columns. The names are those of the data model.

Every row is a tuple of plain values; amounts are decimal strings (exact), times are UTC nanoseconds, `symbol` is the
instrument id, unique over all venues.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum
from typing import Final

Value = str | int | float | None
Row = tuple[Value, ...]


class Op(Enum):
    """One way to write a row. The value is the table; the columns follow in OP_COLUMNS."""

    INSTRUMENT = "instruments"
    TRADE = "trades"
    BOOK = "orderbook_l2"
    BAR = "bars_1m"
    FUNDING = "funding"
    OPEN_INTEREST = "oi"
    ORDER = "orders"
    ORDER_STATUS = "orders:status"
    FILL = "fills"
    POSITION = "positions"
    POSITIONS_FORGET = "positions:forget"
    """Every position is flat until a POSITION row says otherwise: a snapshot begins."""
    PNL = "pnl_snapshots"
    RISK_EVENT = "risk_events"
    EVENT = "events"

    @property
    def table(self) -> str:
        """Name of the table."""
        return self.value.partition(":")[0]


TABLES: Final = tuple(sorted({op.table for op in Op}))
MARKET_OPS: Final = frozenset({Op.TRADE, Op.BOOK, Op.FUNDING, Op.OPEN_INTEREST})
"""Droppable, oldest first."""

OP_COLUMNS: Final[dict[Op, tuple[str, ...]]] = {
    Op.INSTRUMENT: ("symbol", "venue", "venue_symbol", "base", "quote", "tick_size", "lot_size", "multiplier"),
    Op.TRADE: ("ts", "symbol", "px", "qty", "side", "id", "receive_ts"),
    Op.BOOK: ("ts", "symbol", "bid_px", "bid_qty", "ask_px", "ask_qty", "update_id", "receive_ts"),
    Op.BAR: ("ts", "symbol", "o", "h", "l", "c", "v", "trade_count", "complete", "last_trade_id"),
    Op.FUNDING: ("ts", "symbol", "rate", "interval", "next_ts"),
    Op.OPEN_INTEREST: ("ts", "symbol", "value"),
    Op.ORDER: (
        "id", "ts", "symbol", "side", "qty", "px", "type", "tif", "status", "venue", "stop_px", "post_only", "role",
        "strategy", "intent_id", "decision_id", "protects", "trace_id", "venue_order_id", "reason", "check_id",
        "updated_ts",
    ),
    Op.ORDER_STATUS: ("id", "status", "venue_order_id", "reason", "check_id", "updated_ts"),
    Op.FILL: (
        "id", "order_id", "ts", "qty", "px", "fee_usdt", "venue", "symbol", "side", "fee", "fee_asset", "liquidity",
        "strategy",
    ),
    Op.POSITION: ("symbol", "strategy", "qty", "avg_price", "realized_pnl", "fees_paid", "opened_ts", "updated_ts"),
    Op.POSITIONS_FORGET: ("updated_ts",),
    Op.PNL: ("ts", "symbol", "realized", "unrealized", "fees", "equity"),
    Op.RISK_EVENT: ("incarnation", "sequence", "ts", "type", "payload"),
    Op.EVENT: ("source", "incarnation", "sequence", "ts", "type", "symbol", "order_id", "payload"),
}  # fmt: skip

ALL_SYMBOLS: Final = "*"
"""`symbol` of the PnL snapshot of the whole account."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One row on its way."""

    op: Op
    row: Row


@dataclass(frozen=True, slots=True)
class StreamPosition:
    """Up to where a stream has been written: `sequence` of this `incarnation`."""

    source: str
    incarnation: str
    sequence: int


@dataclass(slots=True)
class Batch:
    """What one transaction writes: rows in order, then the positions that they bring the streams to."""

    entries: list[Entry]
    positions: list[StreamPosition] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class StoredBar:
    """The newest bar of an instrument as the database has it; the fold goes on from there."""

    symbol: str
    ts: int
    o: str
    h: str
    l: str  # noqa: E741  the column's name
    c: str
    v: str
    trade_count: int
    complete: bool
    last_trade_id: int
