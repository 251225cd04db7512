"""Balances per venue and asset: the venue's own figures, carried forward by what happened after them.

A fill is in a snapshot when its place in the order log is not above what the snapshot contains; a ledger entry
(funding, deposit, interest) when it is not younger than the snapshot. So nothing is counted twice or missed.

What a balance changed by, and no fill, fee or ledger entry explains (yet), is kept apart: it is no profit and no loss.
"""

from __future__ import annotations

from collections import defaultdict, deque
from typing import Final

from riskd.units import to_units_floor
from tradebot.core.accounts import AccountSnapshot, LedgerEntry

MAX_DELTAS: Final = 20_000
"""Changes that a later snapshot may or may not contain."""
MAX_ENTRIES: Final = 100_000
"""Ledger entries remembered for deduplication; a venue repeats days, not months."""


class Wallets:
    """All wallets. Amounts in units of the asset."""

    def __init__(self) -> None:
        self.balances: dict[tuple[str, str], int] = {}
        """(venue, asset) -> total."""
        self.changes = 0
        """Snapshots that said something new; what is only locked or freed changes nothing here."""
        self.snapshot_venues: set[str] = set()
        """Venues that sent a complete snapshot."""
        self._contained: dict[str, int] = {}
        """Venue -> order log sequence that its balances contain."""
        self._told_ns: dict[tuple[str, str], int] = {}
        """(venue, asset) -> venue time of the balance; asset `` = everything at that venue."""
        self._fills: deque[tuple[int, str, str, int]] = deque(maxlen=MAX_DELTAS)
        """In the order of the order log."""
        self._cash: deque[tuple[int, str, str, int]] = deque(maxlen=MAX_DELTAS)
        self._entries: dict[tuple[str, str], None] = {}
        self.explained: dict[tuple[str, str], int] = defaultdict(int)
        """(venue, asset) -> everything that fills, fees and the ledger moved since the journal began."""
        self.moves: deque[tuple[int, str, str, int]] = deque(maxlen=MAX_DELTAS)
        """The latest of it: (venue time, venue, asset, delta)."""
        self.unexplained: dict[tuple[str, str], int] = {}
        """(venue, asset) -> what balances changed by since the first snapshot, or since an operator accepted what the
        venue holds, beyond what is explained."""
        self.owed: dict[tuple[str, str], int] = {}
        """That part of all unexplained changes by which the baselines of profit and loss were not moved yet."""
        self._first: dict[str, tuple[int, int]] = {}
        """Venue -> order log sequence and venue time of its first complete snapshot: what it contains is no change."""

    def move(self, venue: str, asset: str, delta: int, sequence: int, at_ns: int = 0) -> None:
        """A fill at this place of the order log moved an asset."""
        self._explain(at_ns, venue, asset, delta)
        self._fills.append((sequence, venue, asset, delta))
        if venue not in self.snapshot_venues:
            return
        if sequence > self._contained.get(venue, 0):
            self.balances[venue, asset] = self.balances.get((venue, asset), 0) + delta
        elif sequence > self._first[venue][0]:
            self._drift(venue, asset, -delta)

    def is_new(self, entry: LedgerEntry) -> bool:
        """Return whether a ledger entry is seen for the first time, and remember it."""
        key = (entry.venue, entry.entry_id)
        if key in self._entries:
            return False
        self._entries[key] = None
        if len(self._entries) > MAX_ENTRIES:
            del self._entries[next(iter(self._entries))]
        return True

    def move_cash(self, entry: LedgerEntry, delta: int) -> None:
        """The venue's ledger moved an asset."""
        self._explain(entry.event_time_ns, entry.venue, entry.asset, delta)
        self._cash.append((entry.event_time_ns, entry.venue, entry.asset, delta))
        told_ns = max(self._told_ns.get((entry.venue, key), 0) for key in (entry.asset, ""))
        if entry.event_time_ns > told_ns:
            self._add(entry.venue, entry.asset, delta)
        elif entry.venue in self._first and entry.event_time_ns > self._first[entry.venue][1]:
            self._drift(entry.venue, entry.asset, -delta)

    def take(self, snapshot: AccountSnapshot) -> None:
        """Take the venue's balances and add what they do not contain yet."""
        venue, balances = snapshot.venue, self.balances
        before = {one.asset: balances.get((venue, one.asset)) for one in snapshot.balances}
        stood = {asset: total for (where, asset), total in balances.items() if where == venue}
        is_known = venue in self.snapshot_venues
        if snapshot.transfer_asset:
            delta = to_units_floor(snapshot.transfer_delta)
            self._explain(snapshot.event_time_ns, venue, snapshot.transfer_asset, delta)
            if is_known:
                self._drift(venue, snapshot.transfer_asset, -delta)
        if snapshot.complete:
            for key in [k for k in balances if k[0] == venue]:
                del balances[key]
            self.snapshot_venues.add(venue)
            self._told_ns[venue, ""] = snapshot.event_time_ns
        told = set()
        for balance in snapshot.balances:
            told.add(balance.asset)
            balances[venue, balance.asset] = to_units_floor(balance.total)
            self._told_ns[venue, balance.asset] = snapshot.event_time_ns
        for sequence, where, asset, delta in reversed(self._fills):
            if sequence <= snapshot.after_order_sequence:
                break
            if where == venue and (snapshot.complete or asset in told):
                self._add(venue, asset, delta)
        for at_ns, where, asset, delta in self._cash:
            if where == venue and at_ns > snapshot.event_time_ns and (snapshot.complete or asset in told):
                self._add(venue, asset, delta)
        if snapshot.complete or any(balances[venue, asset] != total for asset, total in before.items()):
            self.changes += 1
        self._contained[venue] = max(self._contained.get(venue, 0), snapshot.after_order_sequence)
        if is_known:
            for asset in stood.keys() | told:
                self._drift(venue, asset, balances.get((venue, asset), 0) - stood.get(asset, 0))
        elif snapshot.complete:
            self._first[venue] = (snapshot.after_order_sequence, snapshot.event_time_ns)

    def accept(self, venue: str) -> None:
        """An operator accepts what a venue holds."""
        for key in [key for key in self.unexplained if key[0] == venue]:
            del self.unexplained[key]

    def settle(self, venue: str, asset: str, units: int) -> None:
        """The baselines of profit and loss were moved by what these are worth."""
        self._count(self.owed, (venue, asset), -units)

    def restart_order_log(self) -> None:
        """A new order log numbers from 1: what balances contained of the old one says nothing about it."""
        self._contained.clear()
        self._fills.clear()
        self._first = {venue: (0, at_ns) for venue, (_, at_ns) in self._first.items()}

    def _explain(self, at_ns: int, venue: str, asset: str, delta: int) -> None:
        self.explained[venue, asset] += delta
        self.moves.append((at_ns, venue, asset, delta))

    def _add(self, venue: str, asset: str, delta: int) -> None:
        if venue in self.snapshot_venues:
            self.balances[venue, asset] = self.balances.get((venue, asset), 0) + delta

    def _drift(self, venue: str, asset: str, delta: int) -> None:
        if delta:
            self._count(self.unexplained, (venue, asset), delta)
            self._count(self.owed, (venue, asset), delta)

    @staticmethod
    def _count(into: dict[tuple[str, str], int], key: tuple[str, str], delta: int) -> None:
        total = into.get(key, 0) + delta
        if total:
            into[key] = total
        else:
            into.pop(key, None)
