"""Server half: balances, own trades, fees and what a key may do."""

from __future__ import annotations

from typing import Any

from tradebot.venues.binance import server_orders as orders
from tradebot.venues.binance import server_params as p
from tradebot.venues.binance.server_desk import MAX_ROWS, Call, ServerDesk, time_window
from tradebot.venues.binance.server_format import ms


class AccountAnswers:
    """One method per endpoint, named as its handler in `server_routes`."""

    def __init__(self, desk: ServerDesk) -> None:
        self._desk = desk

    def account(self, call: Call) -> Any:
        omit_zero = p.flag(call.params, "omitZeroBalances")
        balances = self._desk.backend.balances(call.account)
        return orders.account_body(balances, self._desk.backend.fees, call.now_ms, omit_zero=omit_zero)

    def my_trades(self, call: Call) -> Any:
        i = self._desk.instrument(call)
        rows = self._desk.backend.trades_of(call.account, i)
        order_id, from_id = p.integer(call.params, "orderId"), p.integer(call.params, "fromId")
        start, end = time_window(call)
        if order_id is not None:
            rows = [one for one in rows if one.order_id == order_id]
        if from_id is not None:
            rows = [one for one in rows if one.fill.trade_id >= from_id]
        if start is not None or end is not None:
            last = call.now_ms if end is None else end
            rows = [one for one in rows if (start or 0) <= ms(one.time_ns) <= last]
        limit = p.limit(call.params, 500, MAX_ROWS)
        picked = rows[:limit] if from_id is not None or start is not None else rows[-limit:]
        return [orders.trade_row(self._desk.texts[i], one) for one in picked]

    def commission(self, call: Call) -> Any:
        return commission_of(self._desk, call)

    def order_limits(self, call: Call) -> Any:
        return self._desk.limits.order_rows(call.account, call.now_ms)

    def key_permissions(self, call: Call) -> Any:
        return {
            "ipRestrict": True,
            "createTime": 0,
            "enableReading": True,
            "enableWithdrawals": False,
            "enableInternalTransfer": False,
            "permitsUniversalTransfer": False,
            "enableVanillaOptions": False,
            "enableMargin": False,
            "enableFutures": False,
            "enableSpotAndMarginTrading": call.may_trade,
            "enablePortfolioMarginTrading": False,
        }


def commission_of(desk: ServerDesk, call: Call) -> dict[str, Any]:
    """Return the fee rates of the symbol asked for."""
    return orders.commission_body(desk.texts[desk.instrument(call)], desk.backend.fees)
