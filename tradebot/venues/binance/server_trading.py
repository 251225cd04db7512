"""Server half: orders and order lists."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from tradebot.core.orders import OrderType, Side
from tradebot.venues.binance import server_orders as orders
from tradebot.venues.binance import server_params as p
from tradebot.venues.binance.server_account import commission_of
from tradebot.venues.binance.server_desk import MAX_ROWS, Call, ServerDesk, time_window
from tradebot.venues.binance.server_errors import OCO_TYPES, VenueError, missing, refusal, unknown_order
from tradebot.venues.binance.server_format import ms
from tradebot.venues.server_api import Done, ListView, OrderRequest, OrderView


class OrderAnswers:
    """One method per endpoint, named as its handler in `server_routes`."""

    def __init__(self, desk: ServerDesk) -> None:
        self._desk = desk

    def _request(self, call: Call) -> OrderRequest:
        i = self._desk.instrument(call)
        return p.order_request(call.params, self._desk.texts[i], i, call.account, self._desk.new_id())

    def place(self, call: Call) -> Any:
        request = self._request(call)
        answer_type = _answer_type(call.params)
        return self._placed(request, answer_type, call)

    def _placed(self, request: OrderRequest, answer_type: str, call: Call) -> Any:
        self._desk.limits.check_orders(call.account, 1, call.now_ms)
        self._desk.limits.add_orders(call.account, 1, call.now_ms)  # before its fills take it off again
        done = self._desk.backend.place(request, call.now_ns)
        if done.reason:
            self._desk.limits.add_orders(call.account, -1, call.now_ms)
            raise refusal(done.reason)
        order = _order(done)
        text = self._desk.texts[request.instrument]
        if not answer_type:
            answer_type = "FULL" if orders.type_name(order.terms) in ("LIMIT", "MARKET") else "ACK"
        if answer_type == "ACK":
            return orders.ack_body(text, order)
        if answer_type == "RESULT":
            return orders.result_body(text, order)
        return orders.full_body(text, order, done.fills)

    def test_order(self, call: Call) -> Any:
        reason = self._desk.backend.check(self._request(call))
        if reason:
            raise refusal(reason)
        if not p.flag(call.params, "computeCommissionRates"):
            return {}
        return {
            key: value
            for key, value in commission_of(self._desk, call).items()
            if key in ("specialCommission", "taxCommission", "discount")
        } | {"standardCommissionForOrder": commission_of(self._desk, call)["standardCommission"]}

    def _find(self, call: Call, i: int) -> OrderView:
        order_id = p.integer(call.params, "orderId")
        client = call.params.get("origClientOrderId", "")
        if order_id is None and not client:
            raise VenueError(-1102, "Param 'origClientOrderId' or 'orderId' must be sent, but both were empty/null!")
        order = self._desk.backend.find_order(call.account, i, order_id, client if order_id is None else "")
        if order is None:
            raise unknown_order()
        if order_id is not None and client and order.terms.client_order_id != client:
            raise VenueError(-2039, "Client order ID is not correct for this order ID.")
        return order

    def query_order(self, call: Call) -> Any:
        i = self._desk.instrument(call)
        return orders.order_row(self._desk.texts[i], self._find(call, i))

    def cancel(self, call: Call) -> Any:
        i = self._desk.instrument(call)
        try:
            order = self._find(call, i)
        except VenueError as exc:
            raise refusal("unknown_order") if exc.code == -2013 else exc  # noqa: B904  the venue's one answer
        restriction = call.params.get("cancelRestrictions", "")
        if restriction and restriction != f"ONLY_{order.status.name}":
            raise refusal("cancel_restriction")
        cancel_id = p.client_id(call.params, "newClientOrderId") or self._desk.new_id()
        done = _ok(self._desk.backend.cancel(call.account, order.order_id, cancel_id, call.now_ns))
        if done.order_list is not None:
            return self._canceled_list(done.order_list, cancel_id)
        return orders.cancel_body(self._desk.texts[i], _order(done), cancel_id)

    def _canceled_list(self, one: ListView, cancel_id: str) -> dict[str, Any]:
        text = self._desk.texts[one.instrument]
        return orders.list_body(text, one, [orders.cancel_body(text, leg, cancel_id) for leg in one.legs])

    def cancel_all(self, call: Call) -> Any:
        i = self._desk.instrument(call)
        open_orders = self._desk.backend.open_orders(call.account, i)
        if not open_orders:
            raise refusal("unknown_order")
        cancel_id = self._desk.new_id()
        bodies = []
        for order in list(open_orders):
            if not order.status.is_terminal:
                done = _ok(self._desk.backend.cancel(call.account, order.order_id, cancel_id, call.now_ns))
                if done.order_list is not None:
                    bodies.append(self._canceled_list(done.order_list, cancel_id))
                else:
                    bodies.append(orders.cancel_body(self._desk.texts[i], _order(done), cancel_id))
        return bodies

    def cancel_replace(self, call: Call) -> Any:
        """Cancel, then place. Each leg is reported; a failure of either makes the whole answer an error."""
        mode = call.params.get("cancelReplaceMode", "")
        if mode not in ("STOP_ON_FAILURE", "ALLOW_FAILURE"):
            raise missing("cancelReplaceMode")
        cancel_params = {
            "symbol": call.params.get("symbol", ""),
            "orderId": call.params.get("cancelOrderId", ""),
            "origClientOrderId": call.params.get("cancelOrigClientOrderId", ""),
            "newClientOrderId": call.params.get("cancelNewClientOrderId", ""),
        }
        data: dict[str, Any] = {}
        try:
            data |= {"cancelResult": "SUCCESS", "cancelResponse": self.cancel(_with(call, cancel_params))}
        except VenueError as exc:
            data |= {"cancelResult": "FAILURE", "cancelResponse": exc.body()}
        if data["cancelResult"] == "FAILURE" and mode == "STOP_ON_FAILURE":
            data |= {"newOrderResult": "NOT_ATTEMPTED", "newOrderResponse": None}
            raise VenueError(-2022, "Order cancel-replace failed.", 400, data)
        try:
            data |= {"newOrderResult": "SUCCESS", "newOrderResponse": self.place(call)}
        except VenueError as exc:
            data |= {"newOrderResult": "FAILURE", "newOrderResponse": exc.body()}
        failures = [data["cancelResult"], data["newOrderResult"]].count("FAILURE")
        if failures == 2:
            raise VenueError(-2022, "Order cancel-replace failed.", 400, data)
        if failures:
            raise VenueError(-2021, "Order cancel-replace partially failed.", 409, data)
        return data

    def open_orders(self, call: Call) -> Any:
        i = self._desk.instrument(call) if call.params.get("symbol") else None
        return [
            orders.order_row(self._desk.texts[order.terms.instrument], order)
            for order in self._desk.backend.open_orders(call.account, i)
        ]

    def all_orders(self, call: Call) -> Any:
        i = self._desk.instrument(call)
        found: Sequence[OrderView] = self._desk.backend.all_orders(call.account, i)
        from_id = p.integer(call.params, "orderId")
        start, end = time_window(call)
        if from_id is not None:
            found = [order for order in found if order.order_id >= from_id]
        if start is not None or end is not None:
            last = call.now_ms if end is None else end
            found = [order for order in found if (start or 0) <= ms(order.created_ns) <= last]
        limit = p.limit(call.params, 500, MAX_ROWS)
        picked = found[:limit] if from_id is not None or start is not None else found[-limit:]
        return [orders.order_row(self._desk.texts[i], order) for order in picked]

    def place_oco(self, call: Call) -> Any:
        i = self._desk.instrument(call)
        params, text = call.params, self._desk.texts[i]
        order_side = p.side(params)
        quantity = p.amount(params, "quantity")
        legs = []
        for prefix in ("above", "below"):
            kind = params.get(f"{prefix}Type", "")
            if not kind:
                raise missing(f"{prefix}Type")
            legs.append(
                p.leg_request(
                    params,
                    text,
                    i,
                    call.account,
                    side=order_side,
                    kind=kind,
                    prefix=prefix,
                    client_order_id=p.client_id(params, f"{prefix}ClientOrderId") or self._desk.new_id(),
                    quantity=quantity,
                )
            )
        stop, limit = _oco_legs(order_side, legs[0], legs[1])
        list_id = p.client_id(params, "listClientOrderId") or self._desk.new_id()
        self._desk.limits.check_orders(call.account, 2, call.now_ms)
        self._desk.limits.add_orders(call.account, 2, call.now_ms)
        done = self._desk.backend.place_oco(limit, stop, list_id, call.now_ns)
        if done.reason:
            self._desk.limits.add_orders(call.account, -2, call.now_ms)
            raise refusal(done.reason)
        one = _list(done)
        return orders.list_body(text, one, [orders.result_body(text, leg) for leg in one.legs])

    def _find_list(self, call: Call) -> ListView:
        list_id = p.integer(call.params, "orderListId")
        client = call.params.get("origClientOrderId", "") or call.params.get("listClientOrderId", "")
        for one in reversed(self._desk.backend.order_lists(call.account)):
            if one.list_id == list_id if list_id is not None else one.client_list_id == client:
                return one
        raise VenueError(-2018, "Order list does not exist.")

    def query_list(self, call: Call) -> Any:
        one = self._find_list(call)
        return orders.list_body(self._desk.texts[one.instrument], one)

    def cancel_list(self, call: Call) -> Any:
        try:
            one = self._find_list(call)
        except VenueError:
            raise refusal("unknown_order") from None
        cancel_id = p.client_id(call.params, "newClientOrderId") or self._desk.new_id()
        working = [leg for leg in one.legs if not leg.status.is_terminal]
        if not working:
            raise refusal("unknown_order")
        done = _ok(self._desk.backend.cancel(call.account, working[0].order_id, cancel_id, call.now_ns))
        return self._canceled_list(_list(done), cancel_id)

    def open_lists(self, call: Call) -> Any:
        return [
            orders.list_body(self._desk.texts[one.instrument], one)
            for one in self._desk.backend.order_lists(call.account)
            if one.status.name != "ALL_DONE"
        ]

    def all_lists(self, call: Call) -> Any:
        found = self._desk.backend.order_lists(call.account)[-p.limit(call.params, 500, MAX_ROWS) :]
        return [orders.list_body(self._desk.texts[one.instrument], one) for one in found]


def _answer_type(params: Mapping[str, str]) -> str:
    text = params.get("newOrderRespType", "")
    if text not in ("", "ACK", "RESULT", "FULL"):
        raise VenueError(-1130, "Data sent for parameter 'newOrderRespType' is not valid.")
    return text


def _with(call: Call, params: Mapping[str, str]) -> Call:
    return Call(params, call.account, call.now_ns, call.peer)


def _leg_kind(leg: OrderRequest) -> str:
    match leg.order_type:
        case OrderType.STOP | OrderType.STOP_LIMIT:
            return "STOP_LOSS"
        case OrderType.TAKE_PROFIT | OrderType.TAKE_PROFIT_LIMIT:
            return "TAKE_PROFIT"
        case _:
            return "LIMIT_MAKER" if leg.post_only else ""


def _oco_legs(side: Side, above: OrderRequest, below: OrderRequest) -> tuple[OrderRequest, OrderRequest]:
    """Return (stop leg, limit or take-profit leg) when each stands where its type must."""
    kinds = (_leg_kind(above), _leg_kind(below))
    if "" in kinds:
        raise VenueError(-1158, "Order type not supported in OCO.")
    if kinds == ("LIMIT_MAKER", "LIMIT_MAKER"):
        raise VenueError(-1168, "At least one OCO order must be contingent.")
    above_is_stop = side is Side.BUY
    for kind, should_be_stop in zip(kinds, (above_is_stop, not above_is_stop), strict=True):
        if (kind == "STOP_LOSS") is not should_be_stop:
            raise VenueError(*OCO_TYPES[side.name, kind])
    return (above, below) if above_is_stop else (below, above)


def _ok(done: Done) -> Done:
    if done.reason:
        raise refusal(done.reason)
    return done


def _order(done: Done) -> OrderView:
    if done.order is None:
        raise VenueError(-1000, "An unknown error occurred while processing the request.", 500)
    return done.order


def _list(done: Done) -> ListView:
    if done.order_list is None:
        raise VenueError(-1000, "An unknown error occurred while processing the request.", 500)
    return done.order_list
