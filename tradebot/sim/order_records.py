"""Orders and order lists of a venue, open and finished, and how they are looked up."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from tradebot.sim.kept import KeptList
from tradebot.sim.orders import ListStatus, SimOrder, SimOrderList

MAX_CLOSED_ORDERS: Final = 200_000
"""Finished orders kept for queries; the oldest are forgotten first."""


class OrderRecords:
    """What a venue remembers of its orders."""

    def __init__(self) -> None:
        self._open: dict[int, SimOrder] = {}
        self._open_ids: dict[tuple[str, str], SimOrder] = {}
        self._closed: dict[int, SimOrder] = {}
        self._lists: dict[int, SimOrderList] = {}

    @property
    def open_count(self) -> int:
        """Open orders of all accounts and markets."""
        return len(self._open)

    def order(self, order_id: int) -> SimOrder | None:
        """Return an order by the venue's id, open or finished."""
        return self._open.get(order_id) or self._closed.get(order_id)

    def open_order(self, account: str, client_order_id: str) -> SimOrder | None:
        """Return an open order by client id."""
        return self._open_ids.get((account, client_order_id))

    def open_orders(self, account: str, instrument: int | None = None) -> list[SimOrder]:
        """Return an account's open orders, oldest first."""
        return [
            order
            for order in self._open.values()
            if order.terms.account == account and instrument in (None, order.terms.instrument)
        ]

    def all_orders(self, account: str, instrument: int) -> list[SimOrder]:
        """Return an account's open and remembered finished orders of one market, by order id."""
        found = [
            order
            for orders in (self._closed, self._open)
            for order in orders.values()
            if order.terms.account == account and order.terms.instrument == instrument
        ]
        return sorted(found, key=lambda order: order.order_id)

    def every_order(self) -> list[SimOrder]:
        """Return open and remembered finished orders of all accounts and markets, by order id."""
        return sorted((*self._closed.values(), *self._open.values()), key=lambda order: order.order_id)

    def order_list(self, list_id: int) -> SimOrderList | None:
        """Return an order list."""
        return self._lists.get(list_id)

    def order_lists(self, account: str) -> list[SimOrderList]:
        """Return an account's order lists, oldest first."""
        return [one for one in self._lists.values() if one.account == account]

    def every_list(self) -> list[SimOrderList]:
        """Return the order lists of all accounts, oldest first."""
        return list(self._lists.values())

    def open_an_order(self, order: SimOrder) -> None:
        """Remember a new order."""
        self._open[order.order_id] = order
        self._open_ids[order.terms.account, order.terms.client_order_id] = order

    def close_order(self, order: SimOrder) -> None:
        """An order is finished: its client id is free again."""
        self._open.pop(order.order_id, None)
        self._open_ids.pop((order.terms.account, order.terms.client_order_id), None)
        self._closed[order.order_id] = order
        if len(self._closed) > MAX_CLOSED_ORDERS:
            del self._closed[next(iter(self._closed))]

    def restore_records(self, orders: Iterable[SimOrder], lists: Iterable[KeptList]) -> None:
        """Remember what an earlier process knew. Legs of a list share its lock; a list with a forgotten leg is over."""
        by_age = sorted(orders, key=lambda order: (not order.status.is_terminal, order.order_id))
        for order in by_age:  # the open ones last: a finished one may have had the client id of an open one
            if order.status.is_terminal:
                self.close_order(order)
            else:
                self.open_an_order(order)
        for kept in lists:
            legs = [leg for leg in map(self.order, kept.leg_ids) if leg is not None]
            if len(legs) < len(kept.leg_ids):
                continue
            for leg in legs:
                leg.lock = legs[0].lock
            self._lists[kept.list_id] = SimOrderList(
                kept.list_id,
                kept.client_list_id,
                kept.account,
                kept.instrument,
                legs,
                kept.created_ns,
                kept.status,
                kept.updated_ns,
            )

    def forget_old_lists(self) -> None:
        """Forget the oldest finished list when there are too many."""
        if len(self._lists) > MAX_CLOSED_ORDERS:
            done = next((i for i, one in self._lists.items() if one.status is ListStatus.ALL_DONE), None)
            if done is not None:
                del self._lists[done]
