"""Recorded frames: lines `<receive time> <raw frame>` of Binance spot, USD-M and COIN-M streams, plain or gzip.

The book is proven by the venue's own rule before its first row is handed out: see `depth_sync`. Rows carry the
transaction time `T` where the venue gives one (futures, trades), else the event time `E`; a spot book ticker or
snapshot has neither and takes the newest exchange time seen. Source: Binance documentation, "How to manage a local
order book correctly" for spot, USD-M and COIN-M (read 2026-07-21).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, Final

import msgspec

from backtest.history.amounts import FIRST_NS, LAST_NS, NS_PER, time_unit
from backtest.history.depth_sync import Depth, DepthSync
from backtest.history.rows import (
    BBO,
    CHUNK_ROWS,
    FINE_STEP,
    FUNDING_RATE,
    INDEX_PRICE,
    MARK_PRICE,
    DataError,
    Market,
    Notes,
    Rows,
    make_rows,
)
from backtest.recording import read_lines
from tradebot.core.columns import BOTH, BUYER, CLEAR, LEVEL, SNAPSHOT, TRADE
from tradebot.venues.steps import OffStepError, StepReader

STREAM_NAME: Final = re.compile(rb'"stream"\s*:\s*"([^"@]+)@')
_HEAD_BYTES: Final = 80
NS_PER_MS: Final = 1_000_000
FIRST_MICROSECOND_STAMP: Final = 10**14
"""A larger exchange stamp counts microseconds."""
Level = tuple[str, str]


class _Frame(msgspec.Struct, gc=False):
    """The union of the frames that are read; which fields are there is checked per event."""

    e: str = ""
    E: int = 0
    T: int = 0
    s: str = ""
    U: int = 0
    u: int = 0
    pu: int | None = None
    b: list[Level] | str | int = ""
    a: list[Level] | str | int = ""
    B: str = ""
    A: str = ""
    t: int = 0
    p: str = ""
    q: str = ""
    m: bool = False
    X: str = "MARKET"
    i: str = ""
    r: str = ""


class _Envelope(msgspec.Struct, gc=False):
    data: _Frame


class _Book(msgspec.Struct, rename="camel"):
    last_update_id: int
    bids: list[Level]
    asks: list[Level]
    T: int = msgspec.field(default=0, name="T")
    symbol: str = ""


_ENVELOPE: Final = msgspec.json.Decoder(_Envelope)
_BOOK: Final = msgspec.json.Decoder(_Book)


class _State:
    """One market while its lines are read."""

    __slots__ = ("index", "lots", "newest_ns", "off_tick", "symbol", "sync", "ticks")

    def __init__(self, index: int, market: Market, proven_only: bool) -> None:
        self.index = index
        self.symbol = market.venue_symbol
        self.ticks = StepReader(market.tick_size)
        self.lots = StepReader(market.lot_size, floor=True)
        self.off_tick = 0
        self.sync = DepthSync(proven_only)
        self.newest_ns = 0


class WsLog:
    """One recording, which may be several files that continue each other."""

    def __init__(
        self, paths: Sequence[Path], markets: Sequence[Market], notes: Notes, *, proven_only: bool = True
    ) -> None:
        """Prepare.

        Args:
            paths: Files in order of time.
            markets: Those to read.
            notes: Counts what is left out.
            proven_only: Leave out book rows that no snapshot proves. Without it, diffs before the first snapshot and
                after a gap are handed out as they are, as hftbacktest's converter does.
        """
        self._paths = tuple(paths)
        self._states = {m.venue_symbol: _State(i, m, proven_only) for i, m in enumerate(markets)}
        self._fine = StepReader(FINE_STEP)
        self._notes = notes

    def chunks(self) -> Iterator[Rows]:
        """Yield rows; `source` is the place of the file among the paths."""
        for source, path in enumerate(self._paths):
            yield from self._file(source, path)
        for state in self._states.values():
            self._notes.add(f"{state.symbol}: quantities between two lots, rounded down", state.lots.floored)
            self._notes.add(f"{state.symbol}: old levels between two ticks, left out", state.off_tick)
            self._notes.add(f"{state.symbol}: book diffs that no snapshot proves", state.sync.waiting)
            self._notes.add(f"{state.symbol}: gaps in the update ids", state.sync.gaps)

    def _file(self, source: int, path: Path) -> Iterator[Rows]:
        out: list[tuple[int, ...]] = []
        current: _State | None = None
        scale, low, high = 0, 0, -1
        for number, (stamp, raw) in enumerate(read_lines(path), 1):
            if not scale and (unit := time_unit(stamp)) is not None:
                scale = NS_PER[unit]
                low, high = FIRST_NS // scale, LAST_NS // scale
            if not low <= stamp < high:
                unit = time_unit(stamp)
                text = f"{stamp} counts {unit}, the rows before it do not: mixed time scales" if unit else "not a time"
                raise DataError(path, number, "receive time", text)
            match = STREAM_NAME.search(raw, 0, _HEAD_BYTES)
            try:
                if match is None:
                    self._snapshot(current, raw, stamp * scale, number, out)
                else:
                    current = self._states.get(match[1].decode("utf-8", "replace").upper())
                    if current is None:
                        self._notes.add("frames of other instruments")
                    else:
                        self._frame(current, _ENVELOPE.decode(raw).data, stamp * scale, number, out)
            except msgspec.MsgspecError as exc:
                raise DataError(path, number, "frame", f"not a frame of the venue's documentation ({exc})") from exc
            except _BadField as exc:
                raise DataError(path, number, exc.column, exc.text) from exc
            if len(out) >= CHUNK_ROWS:
                yield _pack(source, out)
                out = []
        if out:
            yield _pack(source, out)

    def _frame(self, state: _State, frame: _Frame, now_ns: int, number: int, out: list[tuple[int, ...]]) -> None:
        if frame.s != state.symbol:
            raise _BadField("s", f"{frame.s!r} on the stream of {state.symbol}: wrong instrument")
        stamp = frame.E if frame.e == "markPriceUpdate" else frame.T or frame.E  # its T is the next funding time
        at_ns = _ns(stamp) or state.newest_ns or now_ns
        state.newest_ns = max(state.newest_ns, at_ns)
        match frame.e:
            case "trade":
                self._trade(state, frame, at_ns, now_ns, number, out)
            case "depthUpdate":
                self._depth(state, frame, at_ns, now_ns, number, out)
            case "" | "bookTicker":
                for text, qty, side in ((frame.b, frame.B, BUYER), (frame.a, frame.A, 0)):
                    column = "b" if side else "a"
                    ticks, lots = _amount(state.ticks, text, column), _amount(state.lots, qty, column.upper())
                    out.append((at_ns, now_ns, BBO | side | BOTH, ticks, lots, frame.u, state.index, number))
            case "markPriceUpdate":
                facts = ((MARK_PRICE, frame.p, 0), (INDEX_PRICE, frame.i, 0), (FUNDING_RATE, frame.r, _ns(frame.T)))
                for kind, text, due_ns in facts:
                    if text:
                        price = _signed(self._fine, text)
                        out.append((at_ns, now_ns, kind | BOTH, price, due_ns, 0, state.index, number))
            case _:
                self._notes.add(f"{frame.e} frames")

    def _trade(
        self, state: _State, frame: _Frame, at_ns: int, now_ns: int, number: int, out: list[tuple[int, ...]]
    ) -> None:
        if frame.X != "MARKET":
            self._notes.add(f"trades of type {frame.X}, which are not matches in the book")
            return
        ticks, lots = _amount(state.ticks, frame.p, "p"), _amount(state.lots, frame.q, "q")
        if not ticks or not lots:
            raise _BadField("p" if not ticks else "q", "a trade has a price and a quantity above zero")
        side = 0 if frame.m else BUYER  # m: the buyer was the maker, so the taker sold
        out.append((at_ns, now_ns, TRADE | side | BOTH, ticks, lots, frame.t, state.index, number))

    def _depth(
        self, state: _State, frame: _Frame, at_ns: int, now_ns: int, number: int, out: list[tuple[int, ...]]
    ) -> None:
        if not 0 < frame.U <= frame.u:
            raise _BadField("U, u", f"first id {frame.U} and last id {frame.u} are not in order")
        levels = _levels(state, frame.b, "b", BUYER | LEVEL) + _levels(state, frame.a, "a", LEVEL)
        for depth in state.sync.add(Depth(frame.U, frame.u, frame.pu, at_ns, levels)):
            _write(out, depth, depth.levels, now_ns, state.index, number)

    def _snapshot(self, state: _State | None, raw: bytes, now_ns: int, number: int, out: list[tuple[int, ...]]) -> None:
        book = _BOOK.decode(raw)
        state = self._states.get(book.symbol) if book.symbol else state
        if state is None:
            self._notes.add("snapshots of other instruments")
            return
        at_ns = _ns(book.T) or state.newest_ns or now_ns
        levels = _levels(state, book.bids, "bids", BUYER | LEVEL | SNAPSHOT)
        levels += _levels(state, book.asks, "asks", LEVEL | SNAPSHOT)
        if not all(lots for _, _, lots in levels):
            raise _BadField("bids or asks", "a level of a snapshot has no quantity")
        following = state.sync.snapshot(book.last_update_id)
        if following is None:
            self._notes.add(f"{state.symbol}: snapshots that were not needed or do not join the diffs")
            return
        whole = [(BUYER | CLEAR, 0, 0), (CLEAR, 0, 0), *levels]
        _write(out, Depth(0, book.last_update_id, None, at_ns, whole), whole, now_ns, state.index, number)
        for depth in following:
            _write(out, depth, depth.levels, now_ns, state.index, number)


class _BadField(Exception):
    def __init__(self, column: str, text: str) -> None:
        super().__init__(text)
        self.column, self.text = column, text


def _amount(reader: StepReader, text: Any, column: str) -> int:
    try:
        return reader[text]
    except (ValueError, TypeError, AttributeError) as exc:
        raise _BadField(column, str(exc)) from exc


def _signed(reader: StepReader, text: str) -> int:
    """Return a rate or price that may be below zero."""
    return (-1 if text.startswith("-") else 1) * _amount(reader, text.removeprefix("-"), "p, i or r")


def _levels(state: _State, levels: Any, column: str, flags: int) -> list[tuple[int, int, int]]:
    """Return (flags, ticks, lots). As live: old orders keep finer quantities, which are rounded down, and may stand
    between two ticks, where they are left out; one that changes there to another quantity is refused.
    """
    ticks, lots = state.ticks, state.lots
    try:
        return [(flags, ticks[price], lots[qty]) for price, qty in levels]
    except OffStepError:
        found = []
        for price, qty in levels:
            try:
                found.append((flags, ticks[price], lots[qty]))
            except OffStepError as exc:
                if lots[qty] and not flags & SNAPSHOT:
                    raise _BadField(column, str(exc)) from exc
                state.off_tick += 1
        return found
    except (ValueError, TypeError) as exc:
        raise _BadField(column, str(exc)) from exc


def _write(
    out: list[tuple[int, ...]],
    depth: Depth,
    levels: Iterable[tuple[int, int, int]],
    now_ns: int,
    index: int,
    number: int,
) -> None:
    at_ns, last_id = depth.event_ns, depth.last_id
    out += [(at_ns, now_ns, flags | BOTH, ticks, lots, last_id, index, number) for flags, ticks, lots in levels]


def _ns(stamp: int) -> int:
    return stamp * (NS_PER_MS if stamp < FIRST_MICROSECOND_STAMP else 1_000)


def _pack(source: int, out: list[tuple[int, ...]]) -> Rows:
    at_ns, now_ns, flags, ticks, lots, ids, index, number = zip(*out, strict=True)
    return make_rows(
        len(out), exchange_time_ns=at_ns, local_time_ns=now_ns, flags=flags, price_ticks=ticks, qty_lots=lots, id=ids,
        instrument=index, source=source, row=number,
    )  # fmt: skip
