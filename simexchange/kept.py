"""The venue's memory as lines of text: facts out, facts in. Where the lines are kept is the shell's.

A file is a head line and then one line per change, each `<crc32 of the rest> <JSON>`. A line has the whole of whatever
the change touched, so the last one that names a thing is true: no line depends on another.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Final, TypeVar

import msgspec

from tradebot.core.errors import TradebotError
from tradebot.core.values import value
from tradebot.sim.kept import EngineFacts
from tradebot.sim.orders import Fill
from tradebot.sim.rules import MarketRules
from tradebot.venues.server_api import AccountTrade

VERSION: Final = 1
_CRC_DIGITS: Final = 8

_T = TypeVar("_T")


@value(frozen=True, slots=True)
class KeptTrade(AccountTrade):
    """One fill in an account's trade history, and whose."""

    fill: Fill
    account: str


@dataclass(slots=True)
class VenueFacts:
    """What a venue remembers, or what one change touched."""

    engine: EngineFacts
    trades: list[KeptTrade] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Head:
    """What the lines speak of: indexes in them mean these markets."""

    accounts: tuple[str, ...]
    markets: tuple[str, ...]
    """Instrument id, tick size and lot size of each."""
    version: int = VERSION


class DamagedError(TradebotError):
    """The lines are not what this venue wrote."""


def head_of(accounts: Iterable[str], markets: Sequence[MarketRules]) -> Head:
    """Return the head line's content."""
    ones = [rules.instrument for rules in markets]
    return Head(tuple(accounts), tuple(f"{one.instrument_id} tick {one.tick_size} lot {one.lot_size}" for one in ones))


def to_line(content: Head | VenueFacts) -> bytes:
    """Return one line."""
    body = msgspec.json.encode(content)
    return b"%08x %s\n" % (zlib.crc32(body), body)


def read_facts(lines: Iterable[bytes], head: Head) -> VenueFacts | None:
    """Return what the lines add up to, None when there is nothing but a head.

    A last line without its end was being written when the process was killed; nobody has heard of it: it is left out.

    Raises:
        DamagedError: A line is damaged, or speaks of other markets or accounts.
    """
    merged: VenueFacts | None = None
    found: Head | None = None
    for number, line in enumerate(lines, 1):
        if found is None:
            found = _content(line, number, Head)
            _check_head(found, head)
        elif line.endswith(b"\n"):
            facts = _content(line, number, VenueFacts)
            merged = facts if merged is None else _merged(merged, facts)
    if found is None:
        raise DamagedError("it is empty")
    return None if merged is None else _without_doubles(merged)


def _check_head(found: Head, head: Head) -> None:
    if found.version != head.version:
        raise DamagedError(f"it has version {found.version}, this program writes {head.version}")
    for was, now in ((found.accounts, head.accounts), (found.markets, head.markets)):
        if was != now:
            raise DamagedError(f"it is of {', '.join(was)}, configured are {', '.join(now)}")


def _content(line: bytes, number: int, kind: type[_T]) -> _T:
    crc, body = line[:_CRC_DIGITS], line[_CRC_DIGITS + 1 :].removesuffix(b"\n")
    if crc != b"%08x" % zlib.crc32(body):
        raise DamagedError(f"line {number} is damaged")
    try:
        return msgspec.json.decode(body, type=kind)
    except msgspec.MsgspecError as exc:
        raise DamagedError(f"line {number} is of another version ({exc})") from exc


def _merged(past: VenueFacts, later: VenueFacts) -> VenueFacts:
    """Add a later line; doubles of an order stay until the end."""
    later.engine.orders = _joined(past.engine.orders, later.engine.orders)
    later.engine.lists = _joined(past.engine.lists, later.engine.lists)
    later.trades = _joined(past.trades, later.trades)
    return later


def _joined(past: list[_T], later: list[_T]) -> list[_T]:
    past.extend(later)
    return past


def _without_doubles(facts: VenueFacts) -> VenueFacts:
    facts.engine.orders = list({order.order_id: order for order in facts.engine.orders}.values())
    facts.engine.lists = list({one.list_id: one for one in facts.engine.lists}.values())
    return facts
