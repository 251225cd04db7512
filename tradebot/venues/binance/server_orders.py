"""Server half, orders: answers and user data events in the venue's own JSON.

Source: trading, account and user data stream documentation (read 2026-11-21). Traps kept on purpose: a cancel event
carries the cancel request's id in `c` and the order's own id in `C`; `cummulativeQuoteQty` is spelled so.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from tradebot.core.orders import Liquidity, OrderStatus, OrderType, Side, TimeInForce
from tradebot.venues.binance.server_format import ZERO, SymbolText, money8, ms
from tradebot.venues.server_api import (
    AccountTrade,
    BalanceReportView,
    BalanceView,
    FeeBps,
    FillView,
    ListReportView,
    ListView,
    OrderFacts,
    OrderReportView,
    OrderView,
    TermsView,
)

_TYPE_NAMES: Final[dict[OrderType, str]] = {
    OrderType.LIMIT: "LIMIT",
    OrderType.MARKET: "MARKET",
    OrderType.STOP: "STOP_LOSS",
    OrderType.STOP_LIMIT: "STOP_LOSS_LIMIT",
    OrderType.TAKE_PROFIT: "TAKE_PROFIT",
    OrderType.TAKE_PROFIT_LIMIT: "TAKE_PROFIT_LIMIT",
}
_STATUS_NAMES: Final[dict[OrderStatus, str]] = {
    OrderStatus.NEW: "NEW",
    OrderStatus.PARTIALLY_FILLED: "PARTIALLY_FILLED",
    OrderStatus.FILLED: "FILLED",
    OrderStatus.CANCELED: "CANCELED",
    OrderStatus.EXPIRED: "EXPIRED",
}
_EXECUTION_TYPES: Final = {
    "ACCEPTED": "NEW",
    "TRIGGERED": "NEW",
    "TRADE": "TRADE",
    "CANCELED": "CANCELED",
    "EXPIRED": "EXPIRED",
}


def type_name(terms: TermsView) -> str:
    """Return the venue's order type; post-only is a type of its own here."""
    return "LIMIT_MAKER" if terms.post_only else _TYPE_NAMES[terms.order_type]


def status_name(order: OrderFacts) -> str:
    """Return the venue's status; an order ended by self-trade prevention has its own."""
    if order.status is OrderStatus.EXPIRED and order.end_reason.value == "self_trade":
        return "EXPIRED_IN_MATCH"
    return _STATUS_NAMES[order.status]


def _prices(text: SymbolText, order: OrderFacts) -> dict[str, Any]:
    return {
        "price": text.price(order.terms.price),
        "origQty": text.qty(order.lots),
        "executedQty": text.qty(order.filled_lots),
        "origQuoteOrderQty": money8(order.terms.quote_money),
        "cummulativeQuoteQty": money8(order.filled_money),
        "status": status_name(order),
        "timeInForce": order.terms.time_in_force.name,
        "type": type_name(order.terms),
        "side": order.terms.side.name,
    }


def ack_body(text: SymbolText, order: OrderView) -> dict[str, Any]:
    """Return the shortest answer to a placed order."""
    return {
        "symbol": text.symbol,
        "orderId": order.order_id,
        "orderListId": order.list_id,
        "clientOrderId": order.terms.client_order_id,
        "transactTime": ms(order.created_ns),
    }


def result_body(text: SymbolText, order: OrderView) -> dict[str, Any]:
    """Return the answer that says the state."""
    body = ack_body(text, order) | _prices(text, order)
    if order.terms.stop_price:
        body["stopPrice"] = text.price(order.terms.stop_price)
    body["workingTime"] = ms(order.working_ns) if order.working_ns else -1
    body["selfTradePreventionMode"] = order.terms.self_trade_prevention.name
    return body


def full_body(text: SymbolText, order: OrderView, fills: Sequence[FillView]) -> dict[str, Any]:
    """Return the answer that lists the fills too."""
    rows = [
        {
            "price": text.price(fill.price),
            "qty": text.qty(fill.lots),
            "commission": money8(fill.fee_money),
            "commissionAsset": fill.fee_asset,
            "tradeId": fill.trade_id,
        }
        for fill in fills
    ]
    return result_body(text, order) | {"fills": rows}


def order_row(text: SymbolText, order: OrderView) -> dict[str, Any]:
    """Return one order of a query."""
    prices = _prices(text, order)
    quote_qty = prices.pop("origQuoteOrderQty")
    return {
        "symbol": text.symbol,
        "orderId": order.order_id,
        "orderListId": order.list_id,
        "clientOrderId": order.terms.client_order_id,
        **prices,
        "stopPrice": text.price(order.terms.stop_price),
        "icebergQty": ZERO,
        "time": ms(order.created_ns),
        "updateTime": ms(order.updated_ns),
        "isWorking": order.working or order.working_ns > 0,
        "workingTime": ms(order.working_ns) if order.working_ns else -1,
        "origQuoteOrderQty": quote_qty,
        "selfTradePreventionMode": order.terms.self_trade_prevention.name,
    }


def cancel_body(text: SymbolText, order: OrderView, cancel_id: str) -> dict[str, Any]:
    """Return the answer to a cancel: `clientOrderId` is the cancel's own id."""
    body: dict[str, Any] = {
        "symbol": text.symbol,
        "origClientOrderId": order.terms.client_order_id,
        "orderId": order.order_id,
        "orderListId": order.list_id,
        "clientOrderId": cancel_id,
        "transactTime": ms(order.updated_ns),
    }
    body |= _prices(text, order)
    if order.terms.stop_price:
        body["stopPrice"] = text.price(order.terms.stop_price)
    body["selfTradePreventionMode"] = order.terms.self_trade_prevention.name
    return body


def list_body(text: SymbolText, one: ListView, reports: list[dict[str, Any]] | None = None) -> dict[str, Any]:
    """Return an order list; `reports` are the bodies of its legs for answers that carry them."""
    done = one.status.name == "ALL_DONE"
    body: dict[str, Any] = {
        "orderListId": one.list_id,
        "contingencyType": "OCO",
        "listStatusType": "ALL_DONE" if done else "EXEC_STARTED",
        "listOrderStatus": "ALL_DONE" if done else "EXECUTING",
        "listClientOrderId": one.client_list_id,
        "transactionTime": ms(one.updated_ns),
        "symbol": text.symbol,
        "orders": [
            {"symbol": text.symbol, "orderId": leg.order_id, "clientOrderId": leg.terms.client_order_id}
            for leg in one.legs
        ],
    }
    if reports is not None:
        body["orderReports"] = reports
    return body


def trade_row(text: SymbolText, one: AccountTrade) -> dict[str, Any]:
    """Return one row of myTrades."""
    fill = one.fill
    return {
        "symbol": text.symbol,
        "id": fill.trade_id,
        "orderId": one.order_id,
        "orderListId": one.list_id,
        "price": text.price(fill.price),
        "qty": text.qty(fill.lots),
        "quoteQty": text.quote_of(fill.price * fill.lots),
        "commission": money8(fill.fee_money),
        "commissionAsset": fill.fee_asset,
        "time": ms(one.time_ns),
        "isBuyer": one.side is Side.BUY,
        "isMaker": fill.liquidity is Liquidity.MAKER,
        "isBestMatch": True,
    }


def account_body(balances: Sequence[BalanceView], fees: FeeBps, updated_ms: int, *, omit_zero: bool) -> dict[str, Any]:
    """Return the account: balances and base commission rates."""
    return {
        "makerCommission": int(fees.maker),
        "takerCommission": int(fees.taker),
        "buyerCommission": 0,
        "sellerCommission": 0,
        "commissionRates": {
            "maker": f"{fees.maker / 10_000:.8f}",
            "taker": f"{fees.taker / 10_000:.8f}",
            "buyer": ZERO,
            "seller": ZERO,
        },
        "canTrade": True,
        "canWithdraw": False,
        "canDeposit": False,
        "brokered": False,
        "requireSelfTradePrevention": False,
        "preventSor": False,
        "updateTime": updated_ms,
        "accountType": "SPOT",
        "balances": [
            {"asset": one.asset, "free": money8(one.free), "locked": money8(one.locked)}
            for one in balances
            if one.free or one.locked or not omit_zero
        ],
        "permissions": ["SPOT"],
        "uid": 1,
    }


def commission_body(text: SymbolText, fees: FeeBps) -> dict[str, Any]:
    """Return the commission rates of one symbol."""
    zero = {"maker": ZERO, "taker": ZERO, "buyer": ZERO, "seller": ZERO}
    rates = zero | {"maker": f"{fees.maker / 10_000:.8f}", "taker": f"{fees.taker / 10_000:.8f}"}
    return {
        "symbol": text.symbol,
        "standardCommission": rates,
        "specialCommission": zero,
        "taxCommission": zero,
        "discount": {"enabledForAccount": False, "enabledForSymbol": False, "discountAsset": "BNB", "discount": ZERO},
    }


# --- user data events ------------------------------------------------------------------------------------------------


def execution_report(text: SymbolText, report: OrderReportView, event_ms: int) -> dict[str, Any]:
    """Return one executionReport."""
    terms, fill = report.terms, report.fill
    is_cancel = report.kind.name == "CANCELED"
    is_self_trade = report.kind.name == "EXPIRED" and report.end_reason.value == "self_trade"
    event: dict[str, Any] = {
        "e": "executionReport",
        "E": event_ms,
        "s": text.symbol,
        "c": report.cancel_client_order_id or terms.client_order_id if is_cancel else terms.client_order_id,
        "S": terms.side.name,
        "o": type_name(terms),
        "f": terms.time_in_force.name,
        "q": text.qty(report.lots),
        "p": text.price(terms.price),
        "P": text.price(terms.stop_price),
        "F": ZERO,
        "g": report.list_id,
        "C": terms.client_order_id if is_cancel else "",
        "x": "TRADE_PREVENTION" if is_self_trade else _EXECUTION_TYPES[report.kind.name],
        "X": status_name(report),
        "r": "NONE",
        "i": report.order_id,
        "l": ZERO if fill is None else text.qty(fill.lots),
        "z": text.qty(report.filled_lots),
        "L": ZERO if fill is None else text.price(fill.price),
        "n": "0" if fill is None else money8(fill.fee_money),
        "N": None if fill is None else fill.fee_asset,
        "T": ms(report.time_ns),
        "t": -1 if fill is None else fill.trade_id,
        "I": report.exec_id,
        "w": report.working,
        "m": fill is not None and fill.liquidity is Liquidity.MAKER,
        "M": fill is not None,
        "O": ms(report.created_ns),
        "Z": money8(report.filled_money),
        "Y": ZERO if fill is None else text.quote_of(fill.price * fill.lots),
        "Q": money8(terms.quote_money),
    }
    if report.working_ns:
        event["W"] = ms(report.working_ns)
    event["V"] = terms.self_trade_prevention.name
    if report.kind.name == "EXPIRED" and not is_self_trade:
        event["eR"] = _expiry_reason(report)
    return event


def _expiry_reason(report: OrderReportView) -> str:
    match report.end_reason.value:
        case "list":
            return "OCO_TRIGGER"
        case "venue":
            return "EXCHANGE_CANCELED"
        case "funds":
            return "REJECTED"
    in_force = report.terms.time_in_force
    if in_force is TimeInForce.GTC:
        return "INSUFFICIENT_LIQUIDITY"  # a market order ran out of book
    return "UNFILLED_FOK_ORDER_EXPIRED" if in_force is TimeInForce.FOK else "UNFILLED_IOC_QUANTITY_EXPIRED"


def stream_terminated(event_ms: int) -> dict[str, Any]:
    """Return the event that ends a subscription."""
    return {"e": "eventStreamTerminated", "E": event_ms}


def list_status(text: SymbolText, report: ListReportView, event_ms: int) -> dict[str, Any]:
    """Return one listStatus."""
    done = report.status.name == "ALL_DONE"
    return {
        "e": "listStatus",
        "E": event_ms,
        "s": text.symbol,
        "g": report.list_id,
        "c": "OCO",
        "l": "ALL_DONE" if done else "EXEC_STARTED",
        "L": "ALL_DONE" if done else "EXECUTING",
        "r": "NONE",
        "C": report.client_list_id,
        "T": ms(report.time_ns),
        "O": [{"s": text.symbol, "i": order_id, "c": client_id} for order_id, client_id in report.legs],
    }


def account_position(report: BalanceReportView, event_ms: int) -> dict[str, Any]:
    """Return one outboundAccountPosition."""
    return {
        "e": "outboundAccountPosition",
        "E": event_ms,
        "u": ms(report.time_ns),
        "B": [{"a": one.asset, "f": money8(one.free), "l": money8(one.locked)} for one in report.balances],
    }


def balance_update(asset: str, delta_money: int, event_ms: int, time_ns: int) -> dict[str, Any]:
    """Return one balanceUpdate: a deposit, withdrawal or transfer."""
    return {"e": "balanceUpdate", "E": event_ms, "a": asset, "d": money8(delta_money), "T": ms(time_ns)}
