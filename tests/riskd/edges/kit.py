"""What all edges are made of: one answer of one desk, judged by one check; and desks in known states."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Any

from tests.riskd.kit import BTC, ETH, Desk, make_test_limits
from tests.support.builders import make_instrument
from tradebot.core.accounts import MarginState, PositionMargin
from tradebot.core.approvals import ApprovalAnswer
from tradebot.core.instruments import Product
from tradebot.core.levels import Scope, TradingLevel
from tradebot.core.market import BookState
from tradebot.core.orders import OrderRole, OrderType, Side


@dataclass(frozen=True)
class Edge:
    check_id: str
    label: str
    ask: Callable[[], ApprovalAnswer]
    reason: str | None
    """None = the check passes."""
    soft: bool = False
    """Judged among the soft hits: nothing is refused."""


EDGES: list[Edge] = []


def edge(check_id: str, label: str, reason: str | None) -> Callable[[Callable[[], ApprovalAnswer]], Callable[[], Any]]:
    def keep(ask: Callable[[], ApprovalAnswer]) -> Callable[[], ApprovalAnswer]:
        EDGES.append(Edge(check_id, label, ask, reason))
        return ask

    return keep


def add(
    check_id: str, label: str, reason: str | None, ask: Callable[[], ApprovalAnswer], *, soft: bool = False
) -> None:
    EDGES.append(Edge(check_id, label, ask, reason, soft))


def limited(check_id: str, **changes: Any) -> Desk:
    return Desk(limits=make_test_limits({check_id: changes}))


def roomy(usdt: str = "1000000000") -> Desk:
    """A desk whose size limits never bind, for checks of venue rules."""
    return Desk(
        limits=make_test_limits(
            {
                "SIZ-01": {"max_qty": {"*": 1_000_000}},
                "SIZ-02": {"max_pct_of_equity": 100, "max_notional": 10**9},
                "POS-02": {"hard_pct": 100, "soft_pct": 100, "max_notional": 10**9},
                "POS-04": {"hard_pct": 100, "soft_pct": 100, "max_notional": 10**9},
            }
        ),
        usdt=usdt,
    )


def perpetual(
    product: Product = Product.LINEAR_PERPETUAL,
    *,
    told: bool = True,
    usdt: str = "1000",
    limits: dict[str, Any] | None = None,
    both: bool = False,
) -> Desk:
    """A desk whose BTC instrument (or `both`) is a perpetual; when `told`, its leverage of 5 and margins are known."""
    names, is_inverse = (BTC, ETH) if both else (BTC,), product is Product.INVERSE_PERPETUAL
    change: dict[str, Any] = {"product": product, "contract_multiplier": Decimal(100 if is_inverse else 1)}
    markets = tuple(
        replace(market, settle=market.base if is_inverse else "USDT", **change)
        if market.instrument_id in names
        else market
        for market in map(make_instrument, (BTC, ETH))
    )
    desk = Desk(limits=make_test_limits(limits), instruments=markets, usdt=usdt)
    if told:
        desk.say(
            margins=[MarginState("binance", "main", markets[0].settle, Decimal(1000), Decimal(0), Decimal(0), 1)],
            position_margins=[PositionMargin(name, Decimal(5), None, Decimal(0), False, 1) for name in names],
        )
    return desk


def raise_hold(desk: Desk, level: TradingLevel, scope: Scope) -> None:
    desk.gate.raise_hold(
        level, scope, reason="test", operator="ana", role="trader", command_id=f"raise-{level}", duration_s=0,
        now_ns=desk.now_ns,
    )  # fmt: skip


def exit_of(desk: Desk, qty: str, **changes: Any) -> ApprovalAnswer:
    return desk.plain(role=OrderRole.EXIT, side=Side.SELL, qty=qty, **changes)


def holding(qty: str = "0.01") -> Desk:
    desk = Desk()
    desk.buy(qty)
    return desk


def with_book(bid: str | None, ask: str | None, state: BookState | None = BookState.LIVE) -> ApprovalAnswer:
    desk = Desk()
    desk.gate.board.views[BTC].bid = desk.gate.board.views[BTC].ask = 0
    desk.quote(BTC, bid, ask, state)
    return desk.plain()


LIMIT, STOP_LIMIT, MARKET = OrderType.LIMIT, OrderType.STOP_LIMIT, OrderType.MARKET
