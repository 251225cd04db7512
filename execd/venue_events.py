"""What venues tell about our orders, folded into order events: answers, private events, rows of reads.

Each fact comes more than once and in any order. Rules: a fill is booked once by its trade id; an order does not become
terminal while the venue's cumulative quantity is above what we booked (the missing trades are read first); nothing
leaves a terminal state but a late fill and what the venue works all the same; what does not fit an order is an alarm,
never a guess.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from execd.orders import CAME_BACK, Order, fill_kind
from execd.records import ReadJob, ReadKind
from execd.state import DeskState
from tradebot.core.ids import parse_client_order_id
from tradebot.core.orders import Execution, OrderEventKind, OrderStatus, Side
from tradebot.venues.api_orders import OrderUpdate, RequestOutcome, VenueOrder, VenueReply, VenueTrade

MAX_FOREIGN_IDS: Final = 10_000
"""Orders that are not ours and were reported once."""
_TERMINAL_KINDS: Final = {
    OrderStatus.CANCELED: OrderEventKind.CANCELED,
    OrderStatus.EXPIRED: OrderEventKind.EXPIRED,
    OrderStatus.REJECTED: OrderEventKind.REJECTED,
}
_WORKING: Final = (OrderStatus.NEW, OrderStatus.PARTIALLY_FILLED, OrderStatus.PENDING_NEW)


class VenueEvents:
    """Folds venue facts. `rows_waiting` holds terminal rows whose trades are being read."""

    def __init__(self, state: DeskState) -> None:
        self._state = state
        self._rows_waiting: dict[str, VenueOrder] = {}
        self._trade_jobs: dict[int, str] = {}
        self._foreign: dict[str, None] = {}

    # ---- one order as the venue tells it

    def order_update(self, venue: str, update: OrderUpdate, now_ns: int) -> None:
        """Take one private order event."""
        order = self._find(update.order)
        if order is None:
            self._stranger(venue, update.order)
            return
        if update.execution is not None:
            self.bind(order, update.order, now_ns)
            execution = update.execution
            if execution.client_order_id != order.id:
                execution = replace(execution, client_order_id=order.id)
            self.book(order, execution, now_ns, update.order.venue_order_id)
        self.row(order, update.order, now_ns, from_stream=True)

    def row(self, order: Order, row: VenueOrder, now_ns: int, *, from_stream: bool = False) -> None:
        """Move an order to where the venue says it stands."""
        self.bind(order, row, now_ns)
        status, booked = order.state.status, order.state.filled_qty
        if row.filled_qty > booked:
            # The trades behind it come with the next events, or they were lost: read them before concluding anything.
            self._confirm_working(order, row, now_ns)
            if row.status in _TERMINAL_KINDS or row.status is OrderStatus.FILLED or not from_stream:
                self._rows_waiting[order.id] = row
                self.read_trades(order)
            return
        self._rows_waiting.pop(order.id, None)
        kind = _TERMINAL_KINDS.get(row.status)
        if kind is OrderEventKind.REJECTED and status not in (OrderStatus.PENDING_NEW, OrderStatus.UNKNOWN):
            kind = OrderEventKind.EXPIRED  # it worked before, so the venue ended it
        if kind is not None:
            if not status.is_terminal:
                self._emit(order, kind, row, now_ns)
            return
        if row.status in _WORKING:
            self._confirm_working(order, row, now_ns)

    def _confirm_working(self, order: Order, row: VenueOrder, now_ns: int) -> None:
        status = order.state.status
        if status is OrderStatus.UNKNOWN:
            self._emit(order, OrderEventKind.RECOVERED, row, now_ns)
        elif status is OrderStatus.PENDING_NEW:
            self._emit(order, OrderEventKind.ACCEPTED, row, now_ns)
        elif status is OrderStatus.REJECTED and order.was_sent:
            self._came_back(order, row, now_ns)  # our proof of absence or the venue's own reject was wrong

    def asked_alone(self, order: Order, row: VenueOrder, now_ns: int) -> None:
        """The venue, asked for one order that has ended here, told how it stands."""
        if row.status not in _WORKING:
            return
        if order.state.status is OrderStatus.FILLED:  # nothing of it can be open: whatever works there has to go
            self._alarm_of_return(order, f"all of it is booked, the venue works {row.qty} with {row.filled_qty} filled")
            self._state.cancel_ended(order, CAME_BACK, now_ns)
            return
        self._came_back(order, row, now_ns)
        self.row(order, row, now_ns)

    def _came_back(self, order: Order, row: VenueOrder, now_ns: int) -> None:
        """An order that we held over works at the venue: it is booked again, and the venue halted (F23)."""
        detail = f"held {order.state.status.name}, the venue works {row.qty} with {row.filled_qty} filled"
        self._alarm_of_return(order, detail)
        self._state.emit(
            order.id,
            OrderEventKind.RECOVERED,
            now_ns,
            facts=order.facts,  # riskd may have forgotten it
            venue_order_id=row.venue_order_id,
            reason=CAME_BACK,
            detail=detail,
            event_time_ns=row.event_time_ns,
        )

    def _alarm_of_return(self, order: Order, detail: str) -> None:
        cause = "LATE_APPEARANCE" if order.was_sent else "UNAPPROVED_ORDER"  # somebody else sent that one
        venue = self._state.venue_of(order.facts.terms.instrument_id)
        self._state.alarm(venue, cause, detail=f"order {order.id}: {detail}")

    def bind(self, order: Order, row: VenueOrder, now_ns: int) -> None:
        """Learn the list it belongs to, and the quantity of an order whose approval was lost with its answer."""
        order.list_id = row.list_id or order.list_id  # not journaled: after a restart the first read tells it
        if order.state.terms.qty == 0 and row.qty > 0:
            facts = order.facts.decided(replace(order.facts.terms, qty=row.qty), order.facts.decision_id)
            self._state.emit(
                order.id,
                OrderEventKind.RECOVERED,
                now_ns,
                facts=facts,
                venue_order_id=row.venue_order_id,
                event_time_ns=row.event_time_ns,
            )
            venue = self._state.venue_of(order.facts.terms.instrument_id)
            self._state.alarm(venue, "RECOVERED_ORDER", detail=f"{order.id} was sent before its approval was durable")

    def _emit(self, order: Order, kind: OrderEventKind, row: VenueOrder, now_ns: int) -> None:
        if row.reason:
            reason = row.reason
        elif kind is OrderEventKind.CANCELED:
            reason = order.cancel_wanted or "CANCELED_AT_VENUE"
        else:
            reason = ""
        self._state.emit(
            order.id, kind, now_ns, venue_order_id=row.venue_order_id, reason=reason, event_time_ns=row.event_time_ns
        )

    # ---- fills

    def book(self, order: Order, execution: Execution, now_ns: int, venue_order_id: str = "") -> bool:
        """Book one execution unless it is booked; return whether it was new."""
        state = self._state
        known = state.orders.execution(execution.instrument_id, execution.exec_id)
        if known is not None:
            if (known.client_order_id, known.qty, known.price) != (order.id, execution.qty, execution.price):
                self._anomaly(order, f"execution {execution.exec_id} was {known}, is now {execution}")
            return False
        terms = order.state.terms
        if execution.qty <= 0 or order.state.filled_qty + execution.qty > terms.qty:
            self._anomaly(order, f"fill {execution.qty} after {order.state.filled_qty} of {terms.qty}")
            return False
        if execution.side is not terms.side or self._worse_than_limit(order, execution):
            self._anomaly(order, f"{execution.side.name} at {execution.price} against limit {terms.price}")
        if order.state.status is OrderStatus.REJECTED:
            venue = state.venue_of(execution.instrument_id)
            state.alarm(venue, "LATE_APPEARANCE", detail=f"order {order.id} filled after it was proven absent")
        state.emit(
            order.id,
            fill_kind(order, execution.qty),
            now_ns,
            execution=execution,
            venue_order_id="" if order.state.venue_order_id else venue_order_id,
            event_time_ns=execution.event_time_ns,
        )
        return True

    @staticmethod
    def _worse_than_limit(order: Order, execution: Execution) -> bool:
        limit = order.state.terms.price
        if limit is None:
            return False
        return execution.price > limit if order.state.terms.side is Side.BUY else execution.price < limit

    def _anomaly(self, order: Order, detail: str) -> None:
        instrument_id = order.facts.terms.instrument_id
        self._state.alarm(
            self._state.venue_of(instrument_id), "FILL_ANOMALY", instrument_id, f"order {order.id}: {detail}"
        )

    # ---- trades that have to be read

    def read_trades(self, order: Order) -> None:
        """Ask for the trades of one order, once at a time."""
        if order.id in self._trade_jobs.values() or not order.state.venue_order_id:
            return
        terms = order.facts.terms
        venue = self._state.venue_of(terms.instrument_id).name
        job_id = self._state.read(
            ReadKind.ORDER_TRADES, venue, instrument_id=terms.instrument_id, venue_order_id=order.state.venue_order_id
        )
        self._trade_jobs[job_id] = order.id

    def trades_read(self, job: ReadJob, trades: list[VenueTrade] | None, now_ns: int) -> None:
        """Book the trades of one order, then the row that waited for them. None: the read failed and is repeated."""
        order = self._state.orders.get(self._trade_jobs.pop(job.job_id, ""))
        if order is None or trades is None:
            return
        for trade in trades:
            self.book(order, replace(trade.execution, client_order_id=order.id), now_ns, trade.venue_order_id)
        waiting = self._rows_waiting.get(order.id)
        if waiting is not None and waiting.filled_qty <= order.state.filled_qty:
            self.row(order, waiting, now_ns)

    def has_waiting_row(self, client_order_id: str) -> bool:
        """Return whether the venue told an end of this order that waits for its trades."""
        row = self._rows_waiting.get(client_order_id)
        return row is not None and row.status.is_terminal

    # ---- answers

    def place_reply(self, client_order_ids: tuple[str, ...], reply: VenueReply, now_ns: int) -> None:
        """Take the answer to a placing request; it speaks for all legs."""
        rows = {row.client_order_id: row for row in reply.orders}
        for client_order_id in client_order_ids:
            order = self._state.orders.get(client_order_id)
            if order is None:
                continue
            match reply.outcome:
                case RequestOutcome.ACCEPTED:
                    row = rows.get(client_order_id)
                    if row is None:
                        self.outcome_unknown(order, "ANSWER_WITHOUT_ORDER", reply.detail, now_ns)
                        continue
                    self._accepted(order, row, reply, now_ns)
                case RequestOutcome.REJECTED if order.state.status is OrderStatus.PENDING_NEW:
                    self._state.emit(
                        client_order_id, OrderEventKind.REJECTED, now_ns, reason=reply.reason, detail=reply.detail
                    )
                case RequestOutcome.REJECTED | RequestOutcome.UNKNOWN:
                    self.outcome_unknown(order, reply.reason, reply.detail, now_ns)

    def _accepted(self, order: Order, row: VenueOrder, reply: VenueReply, now_ns: int) -> None:
        if order.state.status is OrderStatus.PENDING_NEW and not row.status.is_terminal:
            self._emit_accepted(order, row, now_ns)  # an answer that is also the end says everything in its last event
        for execution in reply.executions:
            if execution.client_order_id == order.id:
                self.book(order, execution, now_ns, row.venue_order_id)
        self.row(order, row, now_ns)

    def _emit_accepted(self, order: Order, row: VenueOrder, now_ns: int) -> None:
        self._state.emit(
            order.id,
            OrderEventKind.ACCEPTED,
            now_ns,
            venue_order_id=row.venue_order_id,
            event_time_ns=row.event_time_ns,
        )

    def outcome_unknown(self, order: Order, reason: str, detail: str, now_ns: int) -> None:
        """The request's effect on a live order is not proven."""
        if order.working and order.state.status is not OrderStatus.UNKNOWN:
            self._state.emit(order.id, OrderEventKind.OUTCOME_UNKNOWN, now_ns, reason=reason, detail=detail)

    def cancel_reply(self, client_order_id: str, reply: VenueReply, now_ns: int) -> None:
        """Take the answer to a cancel. A refusal usually means that the order has just filled: query, do not guess."""
        order = self._state.orders.get(client_order_id)
        if order is None or not order.working:
            return
        if reply.outcome is RequestOutcome.ACCEPTED:
            for row in reply.orders:
                target = self._find(row)
                if target is not None:
                    self.row(target, row, now_ns)
        elif reply.outcome is RequestOutcome.REJECTED and reply.reason != "RATE_LIMITED":
            self._state.emit(order.id, OrderEventKind.CANCEL_REJECTED, now_ns, reason=reply.reason, detail=reply.detail)

    # ---- strangers

    def _find(self, row: VenueOrder) -> Order | None:
        order = self._state.orders.get(row.client_order_id)
        return order or self._state.orders.by_venue_id(row.instrument_id, row.venue_order_id)

    def stranger_or_order(self, venue: str, row: VenueOrder) -> Order | None:
        """Return our order behind a row; a stranger is reported once."""
        order = self._find(row)
        if order is None:
            self._stranger(venue, row)
        return order

    def _stranger(self, venue: str, row: VenueOrder) -> None:
        key = f"{row.venue_symbol}/{row.venue_order_id}"
        if key in self._foreign:
            return
        self._foreign[key] = None
        if len(self._foreign) > MAX_FOREIGN_IDS:
            del self._foreign[next(iter(self._foreign))]
        ours = parse_client_order_id(row.client_order_id, self._state.id_key) is not None
        # Our key made the id but the journal does not know it: state was lost, or somebody has our key (PTR-01).
        cause = "UNAPPROVED_ORDER" if ours else "FOREIGN_ACTIVITY"
        detail = (
            f"{row.side.name} {row.qty} {row.venue_symbol} order {row.venue_order_id} client id {row.client_order_id!r}"
        )
        self._state.alarm(self._state.venues[venue], cause, row.instrument_id, detail)
