"""HTTP shell: the venue's REST endpoints, and `/sim/…` for tests and operators of the simulation (loopback only).

| admin endpoint | effect |
|---|---|
| GET /sim/state | orders, fills, balances, market, switches, counters |
| GET /sim/faults | switches that are on |
| POST /sim/faults | one switch or a list of them; see `simexchange.faults` |
| DELETE /sim/faults | all off |
| POST /sim/price_shock | {"symbol", "bps"}: moves the synthetic market's fair price at once |
| POST /sim/transfer | {"asset", "amount", "silent"}: deposit, or withdrawal when negative; silent: nobody is told |
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from decimal import Decimal, InvalidOperation
from typing import Any, Final

import msgspec
from aiohttp import web

from simexchange.faults import ANSWERED_KINDS, NOW_KINDS, ORDER_ACTIONS, FaultRule, make_rule
from simexchange.venue import SimVenue
from tradebot.core.amounts import format_decimal, from_money, to_money
from tradebot.core.errors import ConfigError, InvariantError
from tradebot.runtime.clock import Clock
from tradebot.venues.server_api import HttpAnswer, HttpRequest

MAX_BODY_BYTES: Final = 64 << 10
_LOOPBACK: Final = ("127.0.0.1", "::1")


class HttpServer:
    """The REST port."""

    def __init__(
        self,
        venue: SimVenue,
        clock: Clock,
        run: Callable[[], None],
        *,
        delay_ms: tuple[float, float],
        order_latency_ms: float,
        admin: bool,
        account: str,
        cut: Callable[[str], None],
        describe: Callable[[], dict[str, Any]],
    ) -> None:
        """Wire it.

        Args:
            venue: The core.
            clock: Process clock.
            run: Brings the market up to now and sends what it made.
            delay_ms: Bounds of the delay of answers.
            order_latency_ms: What changes an order reaches the market so long after it came.
            admin: Serve /sim/….
            account: Account that /sim/ speaks of.
            cut: Cuts connections now: disconnect_streams or disconnect_trade.
            describe: Facts of the shell for /sim/state.
        """
        self._venue = venue
        self._clock = clock
        self._run = run
        self._delay_ms = delay_ms
        self._order_latency_s = order_latency_ms / 1_000
        self._account = account
        self._cut = cut
        self._describe = describe
        self._rng = venue.rng.fork()
        app = web.Application(client_max_size=MAX_BODY_BYTES)
        if admin:
            app.router.add_get("/sim/state", self._state)
            app.router.add_route("*", "/sim/faults", self._faults)
            app.router.add_post("/sim/price_shock", self._price_shock)
            app.router.add_post("/sim/transfer", self._transfer)
        app.router.add_route("*", "/{path:.*}", self._venue_request)
        self._runner = web.AppRunner(app, access_log=None, handle_signals=False)

    async def start(self, host: str, port: int) -> int:
        """Listen; return the port."""
        await self._runner.setup()
        try:
            await web.TCPSite(self._runner, host, port).start()
        except OSError as exc:
            await self._runner.cleanup()
            raise ConfigError(
                f"simexchange.rest_port: cannot listen on {host}:{port} ({exc.strerror}): use a free port"
            ) from exc
        return int(self._runner.addresses[0][1])

    async def stop(self) -> None:
        """Close everything."""
        await self._runner.cleanup()

    # --- the venue -------------------------------------------------------------------------------------------------

    async def _venue_request(self, web_request: web.Request) -> web.StreamResponse:
        path, _, query = web_request.raw_path.partition("?")
        request = HttpRequest(
            web_request.method,
            path,
            query,
            (await web_request.read()).decode("utf-8", errors="replace"),
            {name.lower(): value for name, value in web_request.headers.items()},
            web_request.remote or "",
        )
        venue = self._venue
        action = venue.server.rest_action(request.method, path)
        if self._order_latency_s and action in ORDER_ACTIONS:
            await asyncio.sleep(self._order_latency_s)
        self._run()
        now_ns = self._clock.now_ns()
        fault = venue.faults.on_request(action) if venue.faults.rules else None
        answer = self._answer(request, fault, now_ns)
        venue.answered(venue.server.rest_endpoint(request.method, path), 0 if answer is None else answer.status)
        self._run()
        delay_s = self._rng.between(*self._delay_ms) / 1_000
        if fault is not None:
            delay_s += fault.delay_ms / 1_000
        if delay_s:
            await asyncio.sleep(delay_s)
        if answer is None:
            if web_request.transport is not None:
                web_request.transport.abort()
            return web.Response(status=499)
        headers = {"Content-Type": "application/json;charset=UTF-8", **answer.headers}
        return web.Response(status=answer.status, body=answer.body, headers=headers)

    def _answer(self, request: HttpRequest, fault: FaultRule | None, now_ns: int) -> HttpAnswer | None:
        """Return the answer, None when the connection is to be cut instead."""
        server = self._venue.server
        if fault is None or fault.kind == "delay":
            return server.rest(request, now_ns)
        if fault.kind in ANSWERED_KINDS:
            return server.rest_fault(fault.kind, request, fault.retry_after_s, now_ns)
        if fault.kind == "drop_request":
            return None
        server.rest(request, now_ns)
        if fault.kind == "time_out":
            return server.rest_fault(fault.kind, request, fault.retry_after_s, now_ns)
        return None

    # --- admin -----------------------------------------------------------------------------------------------------

    @staticmethod
    def _check_loopback(request: web.Request) -> None:
        if request.remote not in _LOOPBACK:
            raise web.HTTPForbidden(text="admin endpoints answer to loopback only\n")

    async def _body(self, request: web.Request) -> Any:
        self._check_loopback(request)
        try:
            return msgspec.json.decode(await request.read())
        except msgspec.MsgspecError as exc:
            raise web.HTTPBadRequest(text=f"body: {exc}\n") from exc

    async def _faults(self, request: web.Request) -> web.Response:
        self._check_loopback(request)
        faults = self._venue.faults
        if request.method == "DELETE":
            faults.clear()
        elif request.method == "POST":
            body = await self._body(request)
            try:
                for values in body if isinstance(body, list) else [body]:
                    rule = make_rule(values)
                    if rule.kind in NOW_KINDS:
                        self._cut(rule.kind)
                    else:
                        faults.add(rule)
            except (ConfigError, TypeError) as exc:
                raise web.HTTPBadRequest(text=f"{exc}\n") from exc
        return web.json_response([rule.as_dict() for rule in faults.rules])

    async def _price_shock(self, request: web.Request) -> web.Response:
        body = await self._body(request)
        symbols = {rules.instrument.venue_symbol: i for i, rules in enumerate(self._venue.symbols)}
        if not isinstance(body, dict) or body.get("symbol") not in symbols:
            raise web.HTTPBadRequest(text=f"symbol: one of {', '.join(symbols)}\n")
        bps = body.get("bps")
        if not isinstance(bps, (int, float)) or not -5_000 <= bps <= 5_000:
            raise web.HTTPBadRequest(text="bps: a number between -5000 and 5000\n")
        self._run()
        if not self._venue.feed.shock(symbols[body["symbol"]], float(bps)):
            raise web.HTTPConflict(text="a recording cannot be pushed\n")
        return web.json_response({"ok": True})

    async def _transfer(self, request: web.Request) -> web.Response:
        body = await self._body(request)
        try:
            asset, amount = str(body["asset"]), Decimal(str(body["amount"]))
            silent = body.get("silent") is True
            self._venue.transfer(self._account, asset, to_money(amount), self._clock.now_ns(), silent=silent)
        except (KeyError, TypeError, InvalidOperation, InvariantError) as exc:
            raise web.HTTPBadRequest(text=f"transfer: {exc!r}\n") from exc
        self._run()
        return web.json_response({"ok": True})

    async def _state(self, request: web.Request) -> web.Response:
        self._check_loopback(request)
        self._run()
        venue = self._venue
        symbols = []
        for i, rules in enumerate(venue.symbols):
            one, touch = rules.instrument, venue.touch(i)
            symbols.append(
                {
                    "symbol": one.venue_symbol,
                    "last_price": format_decimal(one.price(venue.engine.markets[i].last_price)),
                    "bid": format_decimal(one.price(touch.bid)),
                    "ask": format_decimal(one.price(touch.ask)),
                    "orders": [self._order(order, i) for order in venue.all_orders(self._account, i)],
                    "fills": [
                        {
                            "trade_id": fill.fill.trade_id,
                            "order_id": fill.order_id,
                            "side": fill.side.name,
                            "price": format_decimal(one.price(fill.fill.price)),
                            "qty": format_decimal(one.qty(fill.fill.lots)),
                            "fee": format_decimal(from_money(fill.fill.fee_money)),
                            "fee_asset": fill.fill.fee_asset,
                            "liquidity": fill.fill.liquidity.name,
                            "time_ns": fill.time_ns,
                        }
                        for fill in venue.trades_of(self._account, i)
                    ],
                }
            )
        balances = {
            one.asset: {"free": format_decimal(from_money(one.free)), "locked": format_decimal(from_money(one.locked))}
            for one in venue.balances(self._account)
        }
        faults = [rule.as_dict() for rule in venue.faults.rules]
        return web.json_response({"balances": balances, "symbols": symbols, "faults": faults, **self._describe()})

    def _order(self, order: Any, instrument: int) -> dict[str, Any]:
        one = self._venue.symbols[instrument].instrument
        return {
            "order_id": order.order_id,
            "client_order_id": order.terms.client_order_id,
            "list_id": order.list_id,
            "side": order.terms.side.name,
            "type": order.terms.order_type.name,
            "status": order.status.name,
            "price": format_decimal(one.price(order.terms.price)),
            "stop_price": format_decimal(one.price(order.terms.stop_price)),
            "qty": format_decimal(one.qty(order.lots)),
            "filled_qty": format_decimal(one.qty(order.filled_lots)),
            "end_reason": order.end_reason.value,
            "created_ns": order.created_ns,
            "updated_ns": order.updated_ns,
        }
