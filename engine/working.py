"""A strategy's own intents and orders that have not ended, as the engine follows them. execd is the authority."""

from __future__ import annotations

from collections.abc import Mapping

from tradebot.core.orders import OrderRole, Side


class WorkingOrder:
    """One intent on its way, or the order that it became. Read only for strategies."""

    __slots__ = ("cancel_wanted", "client_order_id", "intent_id", "limit_ticks", "role", "side")

    def __init__(self, intent_id: str, side: Side, role: OrderRole, limit_ticks: int) -> None:
        self.intent_id = intent_id
        self.side = side
        self.role = role
        self.limit_ticks = limit_ticks
        """0 = at the market."""
        self.client_order_id = ""
        """Empty until execd answered."""
        self.cancel_wanted = False
        """True once it was withdrawn; its end follows, or a fill that came first."""


WorkingOrders = Mapping[str, WorkingOrder]
"""By intent id, oldest first."""
