"""What a venue must remember to go on after its process has ended: plain values, out of an engine and into another."""

from __future__ import annotations

from dataclasses import dataclass, field

from tradebot.sim.orders import AssetBalance, ListStatus, SimOrder


@dataclass(slots=True)
class KeptMarket:
    """Where a market stood."""

    last_price: int
    """Ticks; 0 before the first trade."""
    next_trade_id: int


@dataclass(slots=True)
class KeptList:
    """An order list; its legs are among the orders."""

    list_id: int
    client_list_id: str
    account: str
    instrument: int
    leg_ids: tuple[int, ...]
    created_ns: int
    status: ListStatus
    updated_ns: int


@dataclass(slots=True)
class EngineFacts:
    """Facts of an engine with spot markets: all of its orders, or those that one change touched."""

    next_order_id: int
    next_exec_id: int
    next_list_id: int
    markets: list[KeptMarket]
    balances: dict[str, list[AssetBalance]]
    """Account -> everything it holds."""
    orders: list[SimOrder] = field(default_factory=list)
    lists: list[KeptList] = field(default_factory=list)
