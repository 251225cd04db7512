"""A small market, generated, and its files in each format that the readers know. Same seed, same bytes."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path

from backtest.history.rows import Market

MARKET = Market("binance:BTC-USDT", "BTCUSDT", Decimal("0.1"), Decimal("0.001"))
OTHER_MARKET = Market("binance:ETH-USDT", "ETHUSDT", Decimal("0.01"), Decimal("0.0001"))
T0 = 1_760_000_000_000_000_000
MS = 1_000_000


@dataclass
class Fact:
    """One row of the market, in steps."""

    exchange_ns: int
    local_ns: int
    kind: str
    side: str
    ticks: int
    lots: int
    id: int = 0


@dataclass
class MadeMarket:
    """Facts in order of both clocks: a snapshot, then depth and trades; the book is never crossed."""

    market: Market = MARKET
    facts: list[Fact] = field(default_factory=list)

    def price(self, fact: Fact) -> str:
        return f"{fact.ticks * self.market.tick_size:f}"

    def qty(self, fact: Fact) -> str:
        return f"{fact.lots * self.market.lot_size:f}"


def make_market(rows: int = 200, seed: int = 1, market: Market = MARKET, mid: int = 600_000) -> MadeMarket:
    """Return a market whose exchange stamps are whole milliseconds, received 3 to 5 ms later."""
    rng = random.Random(seed)
    made = MadeMarket(market)
    at, last_local, update, trade = T0, 0, 1_000, 500
    books: dict[str, dict[int, int]] = {"buy": {}, "sell": {}}
    for depth in range(1, 21):
        books["buy"][mid - depth] = rng.randint(1, 5_000)
        books["sell"][mid + depth] = rng.randint(1, 5_000)
    for side in ("buy", "sell"):
        made.facts.append(Fact(at, at + 3 * MS, "clear", side, 0, 0, update))
    for side, levels in books.items():
        made.facts += [Fact(at, at + 3 * MS, "snapshot", side, t, q, update) for t, q in levels.items()]
    while len(made.facts) < rows:
        at += rng.randint(1, 50) * MS
        last_local = max(last_local, at + rng.randint(3 * MS, 5 * MS))
        side = rng.choice(("buy", "sell"))
        if rng.random() < 0.3:
            trade += 1
            touch = min(books["sell"]) if side == "buy" else max(books["buy"])
            made.facts.append(Fact(at, last_local, "trade", side, touch, rng.randint(1, 50), trade))
            continue
        update += 1
        for _ in range(rng.randint(1, 4)):
            ticks = mid - rng.randint(1, 40) if side == "buy" else mid + rng.randint(1, 40)
            lots = rng.choice((0, rng.randint(1, 5_000))) if len(books[side]) > 5 else rng.randint(1, 5_000)
            if lots:
                books[side][ticks] = lots
            elif books[side].pop(ticks, None) is None:
                continue
            made.facts.append(Fact(at, last_local, "depth", side, ticks, lots, update))
    return made


def write_native_csv(path: Path, made: MadeMarket | Sequence[MadeMarket]) -> Path:
    """Write our own CSV."""
    lines = ["exchange_time_ns,local_time_ns,instrument,kind,side,price,qty,id,clocks"]
    for one in [made] if isinstance(made, MadeMarket) else made:
        for f in one.facts:
            amounts = f"{one.price(f)},{one.qty(f)}"
            lines.append(
                f"{f.exchange_ns},{f.local_ns},{one.market.venue_symbol},{f.kind},{f.side},{amounts},{f.id},both"
            )
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path
