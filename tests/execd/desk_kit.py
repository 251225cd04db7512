"""A desk with a hand-moved clock, a risk daemon that says what the test tells it, and a venue that speaks the real
protocol.

The venue here is a script, not a matching engine: tests decide what it answers and in which order. Its frames are the
venue's own JSON, so every test also runs the codecs.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from decimal import Decimal
from typing import Any

from execd.desk import Desk
from execd.latch import LatchBoard
from execd.orders import Order
from execd.records import ReadJob, ReadKind, VenueSend
from execd.restore import Restorer
from execd.settings import NS_PER_MS, NS_PER_S, DeskSettings
from tests.support.builders import BTC, make_instrument, make_intent
from tradebot.core.accounts import Balance
from tradebot.core.approvals import (
    ApprovalAnswer,
    ApprovalAsk,
    ApprovalTerms,
    GrantTerms,
    LeaseAnswer,
    LevelTable,
    NeverUsed,
    ProtectionGrant,
    SessionDown,
    VenueAction,
    Verdict,
    Welcome,
)
from tradebot.core.intents import IntentAnswer, OrderIntent
from tradebot.core.levels import TradingLevel
from tradebot.core.mass_cancel import MassCancelReport
from tradebot.core.order_events import OrderEvent
from tradebot.core.orders import OrderRole, OrderStatus, OrderTerms, OrderType
from tradebot.venues.api_orders import AccountRows, RequestKind, VenueCredentials, VenueSnapshot
from tradebot.venues.binance.execution import EXECUTION
from tradebot.wire.approvals import sign_approval, sign_grant

KEY = b"k" * 32
KEYS = {"key-1": KEY}
ID_KEY = b"i" * 32
START_NS = 1_750_000_000 * NS_PER_S
TYPE_NAMES = {
    (OrderType.LIMIT, False): "LIMIT",
    (OrderType.LIMIT, True): "LIMIT_MAKER",
    (OrderType.STOP_LIMIT, False): "STOP_LOSS_LIMIT",
    (OrderType.TAKE_PROFIT_LIMIT, False): "TAKE_PROFIT_LIMIT",
}


@dataclass
class Approver:
    """What riskd answers; fields change what it signs."""

    environment: str = "demo"
    key: bytes = KEY
    key_id: str = "key-1"
    valid_for_ms: int = 1_500
    epoch: int = 1
    sized_qty: Decimal = Decimal("0.01")
    stop_loss: Decimal | None = Decimal("0.005")
    take_profit: Decimal | None = None
    grant_orders: int = 50
    grants: bool = True
    count: int = 0
    last_grant: ProtectionGrant | None = None

    def terms(self, ask: ApprovalAsk, session_id: str) -> ApprovalTerms:
        """Return what is approved: the ask, sized when its quantity is open."""
        assert ask.order is not None
        self.count += 1
        order = ask.order.order
        if not order.qty:
            order = replace(order, qty=self.sized_qty)
        return ApprovalTerms(
            environment=self.environment,
            nonce=f"n{self.count}",
            epoch=self.epoch,
            valid_for_ms=self.valid_for_ms,
            session_id=session_id,
            ask_id=ask.ask_id,
            action=VenueAction.NEW,
            venue=ask.order.venue,
            account=ask.order.account,
            order=order,
            role=ask.order.role,
            decision_id=f"d{self.count}",
            strategy_id=ask.order.strategy_id,
        )

    def grant_terms(self, order: OrderTerms, strategy_id: str, now_ns: int) -> GrantTerms:
        """Return a grant for an entry."""
        price = order.price or Decimal(1)
        types = {OrderType.STOP_LIMIT, OrderType.LIMIT}
        if self.take_profit is not None:
            types.add(OrderType.TAKE_PROFIT_LIMIT)
        return GrantTerms(
            environment=self.environment,
            grant_id=f"g-{order.client_order_id}",
            venue="binance",
            account="main",
            entry_client_order_id=order.client_order_id,
            instrument_id=order.instrument_id,
            side=order.side.opposite,
            max_qty=order.qty,
            min_price=price * Decimal("0.9"),
            max_price=price * Decimal("1.1"),
            order_types=frozenset(types),
            tighten_only=True,
            max_orders=self.grant_orders,
            expires_time_ns=now_ns + 24 * 3600 * NS_PER_S,
            strategy_id=strategy_id,
            stop_loss_fraction=self.stop_loss,
            take_profit_fraction=self.take_profit,
            emergency_bound_bps=100,
        )

    def answer(self, ask: ApprovalAsk, session_id: str, now_ns: int) -> ApprovalAnswer:
        """Return an allowing answer."""
        if ask.order is None:
            return ApprovalAnswer(ask.ask_id, Verdict.ALLOW, "d-parent")
        terms = self.terms(ask, session_id)
        approval = sign_approval(terms, self.key_id, self.key)
        grant = None
        if terms.role is OrderRole.ENTRY and self.grants:
            grant = sign_grant(self.grant_terms(terms.order, terms.strategy_id, now_ns), self.key_id, self.key)
            self.last_grant = grant
        return ApprovalAnswer(ask.ask_id, Verdict.ALLOW, terms.decision_id, approval, grant)


@dataclass
class VenueBook:
    """What the scripted venue holds."""

    orders: dict[str, dict[str, Any]] = field(default_factory=dict)
    trades: list[dict[str, Any]] = field(default_factory=list)
    next_order_id: int = 100
    next_trade_id: int = 1
    base: Decimal = Decimal(0)
    quote: Decimal = Decimal(10_000)
    fee_rate: Decimal = Decimal("0.001")


class DeskKit:
    """See the module. Everything appended to the journal stays in `records`, so a test can restart the desk from it."""

    def __init__(
        self, settings: DeskSettings | None = None, *, auto_durable: bool = True, connect: bool = True
    ) -> None:
        self.settings = settings or DeskSettings("demo", {"binance": "main"})
        self.instruments = {BTC: make_instrument(BTC)}
        self.codec = EXECUTION.codec(VenueCredentials("key", "secret"), list(self.instruments.values()), 2_000)
        self.latches = LatchBoard()
        self.now_ns = START_NS
        self.auto_durable = auto_durable
        self.records: list[tuple[int, bytes]] = []
        self.approver = Approver()
        self.venue = VenueBook()
        self.sends: list[VenueSend] = []
        self.asks: list[ApprovalAsk] = []
        self.answers: list[IntentAnswer] = []
        self.up_events: list[OrderEvent] = []
        self.never_used: list[NeverUsed] = []
        self.abandons: list[int] = []
        self.reads: list[ReadJob] = []
        self.alarms: list[tuple[str, bool]] = []
        self.notices: list[tuple[str, str, str]] = []
        self.renewals: list[str] = []
        self.mass_cancels: list[MassCancelReport] = []
        self.session_id = ""
        self.restarts = 0
        self.desk = self._new_desk()
        if connect:
            self.connect()

    # ---- the desk's surroundings

    def restored(self, kept: Iterable[bytes] = ()) -> Desk:
        """Return a desk rebuilt from the journal as it is, not yet started."""
        desk = Desk(self.settings, self.instruments, {"binance": self.codec}, KEYS, ID_KEY, self.latches)
        restorer = Restorer(desk)
        for record_type, payload in self.records:
            restorer.apply(record_type, payload)
        restorer.finish()
        self._incarnation, self._starts = restorer.log_incarnation or "log-1", restorer.starts
        self._lost = restorer.lost_approvals(kept)
        return desk

    def _new_desk(self, kept: Iterable[bytes] = ()) -> Desk:
        desk = self.restored(kept)
        desk.start(self._incarnation, self._starts + 1, len(self.records) + 1, self.now_ns, self._lost)
        return desk

    def restart(self, *, lose_last: int = 0, kept: Iterable[bytes] = ()) -> None:
        """Kill the process and start a new one from the journal; `lose_last` records never reached the disk, and the
        approvals `kept` did so elsewhere.
        """
        self.restarts += 1
        if lose_last:
            del self.records[-lose_last:]
        self.latches = LatchBoard()
        self.sends.clear()
        self.asks.clear()
        self.reads.clear()
        self.desk = self._new_desk(kept)
        self.connect()

    def connect(self) -> None:
        """Bring riskd and the venue up."""
        self.connect_risk()
        self.connect_venue()
        self.quote("59999.99", "60000.00")

    def connect_risk(self, resume_after: int | None = None) -> None:
        self.session_id = f"session-{self.restarts}-{len(self.records)}"
        self.desk.session_connected(self.session_id, self.now_ns)
        self.pump()
        after = self.desk.state.orders.log.head if resume_after is None else resume_after
        self.desk.on_session(SessionDown(Welcome(after, 1, "demo"), LevelTable(1)), self.now_ns)
        self.pump()

    def connect_venue(self) -> None:
        self.desk.venue_connected("binance", self.now_ns)
        self.pump()
        self.reply_to(RequestKind.TIME, {"serverTime": self.now_ns // NS_PER_MS})
        self.reply_to(RequestKind.LOGIN, {"subscriptionId": 0})
        self.serve_reads()

    def pump(self) -> None:
        """Do what the outbox says: journal, session, sends; lease pings are answered."""
        while True:
            out = self.desk.take()
            up = self.desk.take_up()
            self.records.extend(out.records)
            self.sends.extend(out.sends)
            self.answers.extend(out.answers)
            self.reads.extend(out.reads)
            self.notices.extend(out.notices)
            if up is not None:
                self.asks.extend(up.asks)
                self.up_events.extend(up.order_events)
                self.never_used.extend(up.never_used)
                self.abandons.extend(up.abandons)
                self.renewals.extend(up.renew_grant_ids)
                self.mass_cancels.extend(up.mass_cancels)
                self.alarms.extend((a.cause, a.cleared) for v in up.venues for a in v.alarms)
                if up.ping is not None and self.answer_pings:
                    lease = LeaseAnswer(up.ping.sequence, 1_000, 1, self.entry_lifetime_ms)
                    self.desk.on_session(SessionDown(lease=lease), self.now_ns)
            if out.records and self.auto_durable:
                self.desk.on_durable(len(self.records), self.now_ns)
                continue
            if not (out.records or out.sends or up):
                return

    answer_pings = True
    entry_lifetime_ms = 0
    """What riskd says with each lease; 0 = entries may rest."""

    def quote(self, bid: str, ask: str) -> None:
        """Set the best prices."""
        quote = self.desk.state.quotes.quote(BTC)
        instrument = self.instruments[BTC]
        quote.bid_ticks = instrument.price_ticks_floor(Decimal(bid))
        quote.ask_ticks = instrument.price_ticks_floor(Decimal(ask))
        quote.live, quote.receive_time_ns = True, self.now_ns
        self.desk.quote_moved(BTC, self.now_ns)
        self.pump()

    def advance(self, milliseconds: float) -> None:
        """Move time, firing timers at the times the desk asked for."""
        end_ns = self.now_ns + int(milliseconds * NS_PER_MS)
        for _ in range(100_000):
            due_ns = self.desk.next_timer_ns(self.now_ns)
            if due_ns is None or due_ns > end_ns:
                break
            self.now_ns = max(self.now_ns, due_ns)
            quote = self.desk.state.quotes.quote(BTC)
            if quote.live:
                quote.receive_time_ns = self.now_ns
            self.desk.handle_timer(self.now_ns)
            self.pump()
            self.serve_reads()
        self.now_ns = end_ns

    # ---- intents and riskd

    def submit(self, intent: OrderIntent | None = None, **changes: Any) -> None:
        """Send an intent."""
        intent = intent or make_intent(created_time_ns=self.now_ns, **changes)
        self.desk.on_intent(intent, self.now_ns)
        self.pump()

    def allow(self) -> None:
        """Allow every waiting ask."""
        while self.asks:
            ask = self.asks.pop(0)
            self.answer(self.approver.answer(ask, self.session_id, self.now_ns))

    def answer(self, answer: ApprovalAnswer) -> None:
        """Give riskd's answer."""
        self.desk.on_session(SessionDown(answers=[answer]), self.now_ns)
        self.pump()

    def levels(self, table: LevelTable) -> None:
        """Push a level table."""
        self.desk.on_session(SessionDown(levels=table), self.now_ns)
        self.pump()

    def order(self, intent: OrderIntent | None = None, **changes: Any) -> Order:
        """Submit an intent, allow it, and return its order."""
        before = set(self.desk.state.orders._orders)
        self.submit(intent, **changes)
        self.allow()
        (new,) = [
            o
            for o in self.desk.state.orders.all_orders()
            if o.id not in before and o.facts.role is not OrderRole.PROTECTION
        ]
        return new

    # ---- the venue's side

    def take_sends(self, kind: RequestKind) -> list[dict[str, Any]]:
        """Return and forget the frames of one kind that the desk sent."""
        found = [json.loads(send.data) for send in self.sends if send.kind is kind]
        self.sends = [send for send in self.sends if send.kind is not kind]
        return found

    def frame(self, body: dict[str, Any]) -> None:
        """Deliver one frame to the desk."""
        event = self.codec.decode(json.dumps(body).encode())
        if event is not None:
            self.desk.on_venue_event("binance", event, self.now_ns)
        self.pump()

    def reply_to(self, kind: RequestKind, result: dict[str, Any]) -> None:
        """Answer every request of one kind."""
        for request in self.take_sends(kind):
            self.frame({"id": request["id"], "status": 200, "result": result})

    def refuse(self, kind: RequestKind, code: int, text: str, status: int = 400) -> None:
        """Refuse every request of one kind."""
        for request in self.take_sends(kind):
            self.frame({"id": request["id"], "status": status, "error": {"code": code, "msg": text}})

    def place(self, *, answer: bool = True, stream: bool = True) -> list[dict[str, Any]]:
        """Take the placing requests into the venue's book; answer and tell the user stream unless told otherwise."""
        rows: list[dict[str, Any]] = []
        for request in self.take_sends(RequestKind.PLACE) + self.take_sends(RequestKind.PLACE_OCO):
            parsed = self.codec.parse_order_request(json.dumps(request).encode())
            legs = [self._take(leg, len(parsed.legs) > 1) for leg in parsed.legs]
            rows.extend(legs)
            result = (
                self._row(legs[0])
                if len(legs) == 1
                else {"orderReports": [self._row(leg) for leg in legs], "orderId": 0}
            )
            if answer:
                self.frame({"id": request["id"], "status": 200, "result": result})
            if stream:
                for leg in legs:
                    self.report(leg, "NEW")
        return rows

    def _take(self, leg: OrderTerms, in_list: bool) -> dict[str, Any]:
        assert leg.client_order_id not in self.venue.orders, "the same client id was sent twice"
        self.venue.next_order_id += 1
        row = {
            "orderId": self.venue.next_order_id,
            "clientOrderId": leg.client_order_id,
            "symbol": "BTCUSDT",
            "side": leg.side.name,
            "type": TYPE_NAMES[leg.order_type, leg.post_only],
            "timeInForce": leg.time_in_force.name,
            "origQty": str(leg.qty),
            "price": str(leg.price or 0),
            "stopPrice": str(leg.stop_price or 0),
            "executedQty": "0",
            "status": "NEW",
            "orderListId": 7 if in_list else -1,
        }
        self.venue.orders[leg.client_order_id] = row
        return row

    def _row(self, row: dict[str, Any]) -> dict[str, Any]:
        return {**row, "transactTime": self.now_ns // NS_PER_MS}

    def report(self, row: dict[str, Any], kind: str, **extra: Any) -> None:
        """Tell the user stream about an order."""
        canceled = kind == "CANCELED"
        event = {
            "e": "executionReport",
            "E": self.now_ns // NS_PER_MS,
            "T": self.now_ns // NS_PER_MS,
            "s": row["symbol"],
            "c": "cancel-request" if canceled else row["clientOrderId"],
            "C": row["clientOrderId"] if canceled else "",
            "S": row["side"],
            "o": row["type"],
            "f": row["timeInForce"],
            "q": row["origQty"],
            "p": row["price"],
            "P": row["stopPrice"],
            "x": kind,
            "X": row["status"],
            "i": row["orderId"],
            "l": "0",
            "z": row["executedQty"],
            "L": "0",
            "t": -1,
            "g": row["orderListId"],
            "r": "NONE",
            "n": "0",
            "N": None,
            "m": False,
            **extra,
        }
        self.frame({"subscriptionId": 0, "event": event})

    def match(self, order: Order | str, qty: str, price: str, *, stream: bool = True) -> dict[str, Any]:
        """Fill part of an order at the venue. A buy pays its fee in the base asset."""
        row = self.venue.orders[order if isinstance(order, str) else order.id]
        amount, at = Decimal(qty), Decimal(price)
        done = Decimal(row["executedQty"]) + amount
        row["executedQty"] = str(done)
        row["status"] = "FILLED" if done == Decimal(row["origQty"]) else "PARTIALLY_FILLED"
        buys = row["side"] == "BUY"
        fee = amount * self.venue.fee_rate if buys else amount * at * self.venue.fee_rate
        trade = {
            "id": self.venue.next_trade_id,
            "orderId": row["orderId"],
            "price": price,
            "qty": qty,
            "commission": str(fee),
            "commissionAsset": "BTC" if buys else "USDT",
            "time": self.now_ns // NS_PER_MS,
            "isBuyer": buys,
            "isMaker": False,
        }
        self.venue.next_trade_id += 1
        self.venue.trades.append(trade)
        self.venue.base += amount - fee if buys else -amount
        self.venue.quote += -amount * at if buys else amount * at - fee
        if stream:
            self.tell_trade(row, trade)
        return trade

    def tell_trade(self, row: dict[str, Any], trade: dict[str, Any]) -> None:
        """Tell the user stream about one trade, and the balances after it."""
        self.report(
            row,
            "TRADE",
            l=trade["qty"],
            L=trade["price"],
            t=trade["id"],
            n=trade["commission"],
            N=trade["commissionAsset"],
        )
        self.balances()

    def balances(self) -> None:
        """Tell the user stream the balances."""
        rows = [{"a": b.asset, "f": str(b.free), "l": str(b.locked)} for b in self._balance_rows()]
        body = {"e": "outboundAccountPosition", "E": self.now_ns // NS_PER_MS, "u": 0, "B": rows}
        self.frame({"subscriptionId": 0, "event": body})

    def _balance_rows(self) -> tuple[Balance, Balance]:
        locked = sum((Decimal(r["origQty"]) - Decimal(r["executedQty"]) for r in self._locking()), Decimal(0))
        return Balance("BTC", self.venue.base - locked, locked), Balance("USDT", self.venue.quote, Decimal(0))

    def _locking(self) -> Iterator[dict[str, Any]]:
        seen_lists = set()
        for row in self.venue.orders.values():
            if row["side"] == "SELL" and row["status"] in ("NEW", "PARTIALLY_FILLED"):
                if row["orderListId"] in seen_lists:
                    continue
                if row["orderListId"] >= 0:
                    seen_lists.add(row["orderListId"])
                yield row

    def end(self, order: Order | str, status: str, *, stream: bool = True) -> None:
        """End an order at the venue: CANCELED or EXPIRED."""
        row = self.venue.orders[order if isinstance(order, str) else order.id]
        row["status"] = status
        if stream:
            self.report(row, status)
            self.balances()

    def serve_cancels(self) -> int:
        """Do the cancels that were sent; return how many. Legs of a list go together."""
        count = 0
        for request in self.take_sends(RequestKind.CANCEL):
            count += 1
            row = self.venue.orders.get(request["params"]["origClientOrderId"])
            if row is None or row["status"] not in ("NEW", "PARTIALLY_FILLED"):
                body = {"code": -2011, "msg": "Unknown order sent."}
                self.frame({"id": request["id"], "status": 400, "error": body})
                continue
            legs = [r for r in self.venue.orders.values() if r["orderListId"] == row["orderListId"] >= 0] or [row]
            for leg in legs:
                if leg["status"] in ("NEW", "PARTIALLY_FILLED"):
                    self.end(leg["clientOrderId"], "CANCELED")
            result = {**self._row(row), "origClientOrderId": row["clientOrderId"], "clientOrderId": "x"}
            self.frame({"id": request["id"], "status": 200, "result": result})
        return count

    def serve_queries(self) -> int:
        """Answer the order queries that were sent from the venue's book; return how many."""
        requests = self.take_sends(RequestKind.QUERY)
        for request in requests:
            row = self.venue.orders.get(request["params"]["origClientOrderId"])
            if row is None:
                body = {"code": -2013, "msg": "Order does not exist."}
                self.frame({"id": request["id"], "status": 400, "error": body})
            else:
                self.frame({"id": request["id"], "status": 200, "result": self._row(row)})
        return len(requests)

    def serve_reads(self) -> None:
        """Do the private reads that were asked for."""
        while self.reads:
            job = self.reads.pop(0)
            if job.kind is ReadKind.ORDER_TRADES:
                rows = [t for t in self.venue.trades if str(t["orderId"]) == job.venue_order_id]
                self.desk.on_read(job, self.codec.decode_trades(BTC, rows), self.now_ns)
            elif job.kind is ReadKind.ACCOUNT:
                self.desk.on_read(job, self.account(), self.now_ns)
            else:
                self.desk.on_read(job, self.snapshot(), self.now_ns)
            self.pump()

    def account(self) -> AccountRows:
        """Return the venue's balances."""
        return AccountRows(self._balance_rows(), self.now_ns)

    def snapshot(self) -> VenueSnapshot:
        """Return a full read of the venue."""
        rows = [{**row, "time": self.now_ns // NS_PER_MS} for row in self.venue.orders.values()]
        working = {("BTCUSDT", str(r["orderId"])) for r in rows if r["status"] in ("NEW", "PARTIALLY_FILLED")}
        trades = tuple((BTC, trade) for trade in self.codec.decode_trades(BTC, self.venue.trades))
        return VenueSnapshot(self.now_ns, self.account(), self.codec.decode_orders(rows), frozenset(working), trades)

    # ---- looking

    def status(self, order: Order | str) -> OrderStatus:
        """Return where an order stands now."""
        found = self.desk.state.orders.get(order if isinstance(order, str) else order.id)
        assert found is not None
        return found.state.status

    def latch_level(self) -> TradingLevel:
        """Return the level latched now."""
        return self.latches.level

    def by_role(self, role: OrderRole) -> list[Order]:
        """Return all orders of one role, oldest first."""
        return [order for order in self.desk.state.orders.all_orders() if order.facts.role is role]

    def working_stops(self) -> list[Order]:
        """Return the stops that rest."""
        protection = self.by_role(OrderRole.PROTECTION)
        return [o for o in protection if o.working and o.facts.terms.order_type is OrderType.STOP_LIMIT]
