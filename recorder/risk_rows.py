"""From riskd's streams to rows of `positions`, `pnl_snapshots` and `risk_events`. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Final

from recorder.tables import ALL_SYMBOLS, Entry, Op
from tradebot.core.amounts import format_decimal

NS_PER_MS: Final = 1_000_000
SOURCE: Final = "riskd.events"
EARLY_PERCENT: Final = 90
"""A sample this early counts: riskd's one-second beat jitters, and every second sample would be left out otherwise."""


@dataclass(frozen=True, slots=True)
class PositionRecord:
    """One position as riskd sends it; amounts are its decimal strings, unrealized is empty without a mark."""

    symbol: str
    strategy: str
    qty: str
    avg_price: str
    realized_pnl: str
    unrealized_pnl: str
    fees_paid: str
    opened_ns: int
    updated_ns: int


@dataclass(frozen=True, slots=True)
class PnlRecord:
    """The account as riskd sends it."""

    time_ns: int
    realized_pnl: str
    unrealized_pnl: str
    fees: str
    equity: str


@dataclass(frozen=True, slots=True)
class RiskEventRecord:
    """One risk event; `payload` is JSON."""

    sequence: int
    time_ns: int
    kind: str
    payload: str


def risk_event_entry(event: RiskEventRecord, incarnation: str) -> Entry:
    """Return the row of one risk event."""
    return Entry(Op.RISK_EVENT, (incarnation, event.sequence, event.time_ns, event.kind, event.payload))


class Positions:
    """Follows riskd's positions: rows for every change, and a PnL snapshot per symbol at each interval."""

    def __init__(self, pnl_interval_ms: int) -> None:
        self._interval_ns = pnl_interval_ms * NS_PER_MS * EARLY_PERCENT // 100
        self._latest: dict[tuple[str, str], PositionRecord] = {}
        self._last_pnl_ns = 0

    def apply(self, changed: Sequence[PositionRecord], snapshot: bool, time_ns: int) -> list[Entry]:
        """Return the rows of one message."""
        entries: list[Entry] = []
        if snapshot:
            self._latest.clear()
            entries.append(Entry(Op.POSITIONS_FORGET, (time_ns,)))
        for item in changed:
            self._latest[item.symbol, item.strategy] = item
            row = (
                item.symbol,
                item.strategy,
                item.qty,
                item.avg_price,
                item.realized_pnl,
                item.fees_paid,
                item.opened_ns,
                item.updated_ns or time_ns,
            )
            entries.append(Entry(Op.POSITION, row))
        return entries

    def pnl(self, record: PnlRecord) -> list[Entry]:
        """Return the snapshot rows when one is due: the account, and each symbol summed over strategies."""
        if record.time_ns - self._last_pnl_ns < self._interval_ns:
            return []
        self._last_pnl_ns = record.time_ns
        account = (
            record.time_ns,
            ALL_SYMBOLS,
            record.realized_pnl,
            record.unrealized_pnl,
            record.fees,
            record.equity,
        )
        return [Entry(Op.PNL, account), *self._per_symbol(record.time_ns)]

    def _per_symbol(self, time_ns: int) -> list[Entry]:
        symbols = sorted({symbol for symbol, _ in self._latest})
        entries = []
        for symbol in symbols:
            items = [item for item in self._latest.values() if item.symbol == symbol]
            realized, fees = _sum(item.realized_pnl for item in items), _sum(item.fees_paid for item in items)
            open_items = [item for item in items if Decimal(item.qty or "0")]
            marked = all(item.unrealized_pnl for item in open_items)  # a missing mark makes the sum unknown, not zero
            unrealized = _sum(item.unrealized_pnl for item in open_items) if marked else None
            entries.append(Entry(Op.PNL, (time_ns, symbol, realized, unrealized, fees, None)))
        return entries


def _sum(texts: Iterable[str]) -> str:
    total = Decimal(0)
    for text in texts:
        total += Decimal(text or "0")
    return format_decimal(total)
