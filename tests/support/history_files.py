"""A small market, generated, and its files in each format that the readers know. Same seed, same bytes."""

from __future__ import annotations

import gzip
import json
import random
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path

import numpy as np

from backtest.history.hftbacktest import EVENT
from backtest.history.rows import Market
from recorder.sqlite_store import SqliteStore
from recorder.tables import Batch, Entry, Op

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


def write_tardis(folder: Path, made: MadeMarket) -> tuple[Path, Path]:
    """Write incremental_book_L2 and trades as the vendor does: gzip, microseconds, no clear rows."""
    book = ["exchange,symbol,timestamp,local_timestamp,is_snapshot,side,price,amount"]
    trades = ["exchange,symbol,timestamp,local_timestamp,id,side,price,amount"]
    for f in made.facts:
        head = f"binance-futures,{made.market.venue_symbol},{f.exchange_ns // 1_000},{f.local_ns // 1_000}"
        if f.kind == "trade":
            trades.append(f"{head},{f.id},{f.side},{made.price(f)},{made.qty(f)}")
        elif f.kind != "clear":
            side = "bid" if f.side == "buy" else "ask"
            book.append(f"{head},{str(f.kind == 'snapshot').lower()},{side},{made.price(f)},{made.qty(f)}")
    paths = folder / "incremental_book_L2.csv.gz", folder / "trades.csv.gz"
    for path, lines in zip(paths, (book, trades), strict=True):
        path.write_bytes(gzip.compress("\n".join([*lines, ""]).encode(), mtime=0))
    return paths


def write_binance(path: Path, made: MadeMarket, *, header: bool, unit_ns: int) -> Path:
    """Write the trades as Binance's public data: futures with a header, spot without; zip or csv by the name."""
    spot = not header
    lines = ["id,price,qty,quote_qty,time,is_buyer_maker"] if header else []
    for f in made.facts:
        if f.kind == "trade":
            stamp, maker = f.exchange_ns // unit_ns, f.side == "sell"
            lines.append(f"{f.id},{made.price(f)},{made.qty(f)},0.0,{stamp},{maker}" + (",True" if spot else ""))
    data = "\n".join([*lines, ""])
    if path.suffix == ".zip":
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr(path.with_suffix(".csv").name, data)
    else:
        path.write_text(data)
    return path


def write_hftbacktest(path: Path, made: MadeMarket, *, compressed: bool = False) -> Path:
    """Write the market as hftbacktest events."""
    kinds = {"depth": 1, "trade": 2, "clear": 3, "snapshot": 4}
    events = np.zeros(len(made.facts), EVENT)
    for event, f in zip(events, made.facts, strict=True):
        side = 1 << 29 if f.side == "buy" else 1 << 28
        event["ev"] = kinds[f.kind] | side | 1 << 31 | 1 << 30
        event["exch_ts"], event["local_ts"] = f.exchange_ns, f.local_ns
        event["px"] = np.nan if f.kind == "clear" else float(made.price(f))
        event["qty"] = float(made.qty(f))
    (np.savez_compressed if compressed else np.savez)(path, data=events)
    return path


def write_frames(path: Path, made: MadeMarket, *, futures: bool) -> Path:
    """Write the market as recorded frames: diffs around a depth snapshot, joined by spot's or the futures' rule."""
    symbol, lines, last = made.market.venue_symbol, [], 999
    snapshot = [f for f in made.facts if f.kind == "snapshot"]

    def levels(facts: Sequence[Fact], side: str) -> list[list[str]]:
        return [[made.price(f), made.qty(f)] for f in facts if f.side == side]

    def frame(stream: str, data: dict[str, object], local_ns: int) -> None:
        envelope = {"stream": f"{symbol.lower()}@{stream}", "data": data}
        lines.append(f"{local_ns} {json.dumps(envelope, separators=(',', ':'))}")

    def depth(facts: Sequence[Fact], id_: int) -> None:
        nonlocal last
        stamp = facts[0].exchange_ns // MS
        ids = {"U": last + 1, "u": id_} | ({"pu": last, "T": stamp} if futures else {})
        data = {"e": "depthUpdate", "E": stamp, "s": symbol} | ids
        told = [] if id_ == 1_000 else facts  # the diff that futures join the snapshot at: applied once more, so empty
        frame("depth", data | {"b": levels(told, "buy"), "a": levels(told, "sell")}, facts[0].local_ns)
        last = id_

    depth(snapshot[:1], 1_000)
    first = snapshot[0]
    body = {"lastUpdateId": 1_000, "bids": levels(snapshot, "buy"), "asks": levels(snapshot, "sell")}
    body |= {"T": first.exchange_ns // MS} if futures else {}
    lines.append(f"{first.local_ns} {json.dumps(body)}")
    packet: list[Fact] = []
    for f in [f for f in made.facts if f.kind not in ("snapshot", "clear")]:
        if packet and (f.kind == "trade" or f.id != packet[0].id):
            depth(packet, packet[0].id)
            packet = []
        if f.kind == "depth":
            packet.append(f)
        else:
            data = {
                "e": "trade",
                "E": f.exchange_ns // MS,
                "s": symbol,
                "t": f.id,
                "p": made.price(f),
                "q": made.qty(f),
            }
            frame("trade", data | {"T": f.exchange_ns // MS, "m": f.side == "sell"}, f.local_ns)
    if packet:
        depth(packet, packet[0].id)
    text = "\n".join([*lines, ""]).encode()
    path.write_bytes(gzip.compress(text, mtime=0) if path.suffix == ".gz" else text)
    return path


def write_database(path: Path, made: MadeMarket) -> Path:
    """Write trades, the first book and a funding rate with the recorder's own store."""
    market = made.market
    steps = (f"{market.tick_size:f}", f"{market.lot_size:f}")
    entries = [Entry(Op.INSTRUMENT, (market.instrument_id, "binance", market.venue_symbol, "BTC", "USDT", *steps, "1"))]
    snapshot = [f for f in made.facts if f.kind == "snapshot"]
    columns = []
    for side in ("buy", "sell"):
        columns += [
            json.dumps([made.price(f) for f in snapshot if f.side == side]),
            json.dumps([made.qty(f) for f in snapshot if f.side == side]),
        ]
    first = snapshot[0]
    entries.append(Entry(Op.BOOK, (first.exchange_ns, market.instrument_id, *columns, first.id, first.local_ns)))
    for f in made.facts:
        if f.kind == "trade":
            amounts = (made.price(f), made.qty(f), f.side.upper())
            entries.append(Entry(Op.TRADE, (f.exchange_ns, market.instrument_id, *amounts, f.id, f.local_ns)))
    entries.append(Entry(Op.FUNDING, (T0 + 40 * MS, market.instrument_id, "-0.0001", None, T0 + 28_800_000 * MS)))
    store = SqliteStore(path)
    store.write(Batch(entries))
    store.close()
    return path
