"""Fills the result tables while a backtest runs. It watches: nothing in the run depends on it.

The mid at decision is that of the last row received up to the decision; the mid at arrival that of the touch just
before the venue takes the order. Queue facts are the simulator's own.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, Final, Protocol

from backtest.results.files import ResultWriter
from backtest.results.schemas import amount
from riskd.units import from_units
from tradebot.core.accounts import LedgerEntry
from tradebot.core.errors import ConfigError
from tradebot.core.instruments import Instrument
from tradebot.core.intents import OrderIntent
from tradebot.core.order_events import OrderEvent, OrderFacts
from tradebot.core.orders import Execution, OrderEventKind, OrderRole, OrderStatus
from tradebot.core.positions import Position

MAX_ORDERS: Final = 2_000_000
"""Orders of one run; each is kept until its end is known."""
DECIDED_ROLES: Final = (OrderRole.ENTRY, OrderRole.EXIT)
BPS: Final = 10_000


class VenueOrder(Protocol):
    """What is read of an order inside the simulator."""

    @property
    def filled_lots(self) -> int: ...
    @property
    def queue_ahead(self) -> int: ...
    @property
    def working(self) -> bool: ...
    @property
    def status(self) -> OrderStatus: ...


@dataclass(frozen=True, slots=True)
class _Moment:
    at_ns: int
    filled_qty: Decimal
    """Of the order, up to and with this moment."""
    queue_ahead: Decimal


@dataclass(slots=True)
class _Order:
    """One order as far as it is known."""

    facts: OrderFacts | None = None
    status: OrderStatus = OrderStatus.PENDING_NEW
    reason: str = ""
    check_id: str = ""
    sent_ns: int | None = None
    arrived_ns: int | None = None
    acknowledged_ns: int | None = None
    ended_ns: int | None = None
    mid_at_arrival: Decimal | None = None
    queue_at_arrival: Decimal | None = None
    filled_qty: Decimal = Decimal(0)
    filled_notional: Decimal = Decimal(0)
    at_venue: VenueOrder | None = None
    seen_lots: int = 0
    moments: deque[_Moment] = field(default_factory=deque)
    """In which it traded at the venue and whose fills execd has not all heard of."""


@dataclass(slots=True)
class _Decision:
    at_ns: int
    instrument_id: str
    mid: Decimal | None = None


class RunRecorder:
    """One run."""

    def __init__(self, writer: ResultWriter, instruments: Sequence[Instrument], equity_every_ns: int) -> None:
        """Begin; equity is written at every multiple of `equity_every_ns`."""
        self._writer = writer
        self._instruments = {one.instrument_id: one for one in instruments}
        self._every_ns = equity_every_ns
        self._next_equity_ns = 0
        self._orders: dict[str, _Order] = {}
        self._open: dict[str, VenueOrder] = {}
        self._decisions: dict[str, _Decision] = {}
        self._undated: list[_Decision] = []
        self._positions: dict[tuple[str, str], tuple[Decimal, ...]] = {}
        self._funding: dict[tuple[str, str], Decimal] = {}
        """Received so far by (instrument, strategy)."""
        self._fees: dict[tuple[str, str, str], list[Any]] = {}
        self._slippage: dict[str, list[Decimal]] = {"decision": [], "arrival": []}

    # --- what the engine and execd say ------------------------------------------------------------------------------

    def intent(self, at_ns: int, intent: OrderIntent) -> None:
        """The strategy decided."""
        decision = self._decisions[intent.intent_id] = _Decision(at_ns, intent.instrument_id)
        self._undated.append(decision)

    def order_event(self, at_ns: int, event: OrderEvent) -> None:
        """Something happened to an order."""
        order = self._order(event.client_order_id)
        order.facts = event.facts or order.facts
        order.status = event.status
        order.reason, order.check_id = event.reason or order.reason, event.check_id or order.check_id
        match event.kind:
            case OrderEventKind.SENT:
                order.sent_ns = order.sent_ns or at_ns
            case OrderEventKind.ACCEPTED | OrderEventKind.RECOVERED:
                order.acknowledged_ns = order.acknowledged_ns or at_ns
            case _:
                pass
        if event.execution is not None:
            self._fill(at_ns, order, event.execution)
        if event.status.is_terminal and order.ended_ns is None:
            order.ended_ns = at_ns

    # --- what the world shows ---------------------------------------------------------------------------------------

    def before(self, now_ns: int, mids: Mapping[str, Decimal | None]) -> None:
        """Time is about to move to `now_ns`: what was decided before knew these mids."""
        if self._undated:
            for decision in self._undated:
                if decision.at_ns < now_ns:
                    decision.mid = mids[decision.instrument_id]
            self._undated = [decision for decision in self._undated if decision.at_ns >= now_ns]

    @property
    def wants_mids(self) -> bool:
        """True when `before` has something to do."""
        return bool(self._undated)

    def arrives(self, now_ns: int, client_order_id: str, mids: Mapping[str, Decimal | None]) -> None:
        """An order is about to be taken by the venue, where the mids are these."""
        order = self._order(client_order_id)
        if order.arrived_ns is None and order.facts is not None:
            order.arrived_ns = now_ns
            order.mid_at_arrival = mids[order.facts.terms.instrument_id]

    def taken(self, client_order_id: str, instrument_id: str, at_venue: VenueOrder, beside: str) -> None:
        """The venue has an open order now; `beside` is the order it came with (the other leg of a list)."""
        order = self._order(client_order_id)
        if order.at_venue is not None:
            return
        order.at_venue = self._open[client_order_id] = at_venue
        if order.arrived_ns is None and beside in self._orders:
            order.arrived_ns = self._orders[beside].arrived_ns
            order.mid_at_arrival = self._orders[beside].mid_at_arrival
        if at_venue.working:
            order.queue_at_arrival = self._instruments[instrument_id].qty(at_venue.queue_ahead)

    def matched(self, now_ns: int) -> None:
        """The venue reported something: note time and queue of every order that traded."""
        for client_order_id, at_venue in list(self._open.items()):
            order = self._orders[client_order_id]
            if at_venue.filled_lots != order.seen_lots and order.facts is not None:
                order.seen_lots = at_venue.filled_lots
                instrument = self._instruments[order.facts.terms.instrument_id]
                filled, queue = instrument.qty(order.seen_lots), instrument.qty(at_venue.queue_ahead)
                order.moments.append(_Moment(now_ns, filled, queue))
            if at_venue.status.is_terminal:
                del self._open[client_order_id]

    def booked(self, now_ns: int, positions: Mapping[tuple[str, str], Any]) -> None:
        """riskd has booked a fill; `positions` is (instrument, strategy) -> its position."""
        for (instrument_id, strategy_id), held in positions.items():
            position: Position = held.position
            values = (position.qty, position.avg_price, position.realized_pnl, position.fees_paid)
            if self._positions.get((instrument_id, strategy_id)) == values:
                continue
            self._positions[instrument_id, strategy_id] = values
            self._writer.add(
                "positions",
                {
                    "at_ns": now_ns,
                    "strategy_id": strategy_id,
                    "instrument_id": instrument_id,
                    "qty": amount(position.qty),
                    "avg_price": amount(position.avg_price) if position.qty else None,
                    "realized_pnl": amount(position.realized_pnl),
                    "fees_paid": amount(position.fees_paid),
                },
            )

    def funding(
        self, entry: LedgerEntry, rate: Decimal, mark: Decimal, positions: Mapping[tuple[str, str], Any]
    ) -> None:
        """riskd has booked a funding and shared it among the strategies."""
        for (instrument_id, strategy_id), held in positions.items():
            total = from_units(held.funding)
            received = total - self._funding.get((instrument_id, strategy_id), Decimal(0))
            if instrument_id != entry.instrument_id or not received:
                continue
            self._funding[instrument_id, strategy_id] = total
            self._writer.add(
                "funding",
                {
                    "at_ns": entry.event_time_ns,
                    "strategy_id": strategy_id,
                    "instrument_id": instrument_id,
                    "qty": amount(from_units(held.units)),
                    "mark_price": amount(mark),
                    "rate": amount(rate),
                    "paid": amount(-received),
                    "asset": entry.asset,
                },
            )

    def equity_due(self, now_ns: int) -> bool:
        """Return whether a multiple of the resolution lies before `now_ns` that has not been written."""
        if not self._next_equity_ns:
            self._next_equity_ns = (now_ns // self._every_ns + 1) * self._every_ns
        return now_ns > self._next_equity_ns

    def equity(self, now_ns: int, equity: Decimal | None, unrealized: Decimal | None, *, final: bool = False) -> None:
        """Write the equity as it stood since the last change: one row, at the newest multiple before `now_ns`."""
        at_ns = now_ns if final else (now_ns - 1) // self._every_ns * self._every_ns
        self._next_equity_ns = at_ns + self._every_ns
        realized = sum((values[2] for values in self._positions.values()), Decimal(0))
        fees = sum((values[3] for values in self._positions.values()), Decimal(0))
        self._writer.add(
            "equity",
            {
                "at_ns": at_ns,
                "equity": amount(equity),
                "realized_pnl": amount(realized),
                "unrealized_pnl": amount(unrealized),
                "fees_paid": amount(fees),
                "funding_paid": amount(-sum(self._funding.values(), Decimal(0))),
            },
        )

    # --- the end ----------------------------------------------------------------------------------------------------

    def finish(self, result: Mapping[str, Any]) -> None:
        """Write what is known only at the end, and the summary."""
        for client_order_id, order in self._orders.items():
            if order.facts is not None:
                self._writer.add("orders", self._order_row(client_order_id, order, order.facts))
        for (instrument_id, liquidity, asset), (count, notional, fee) in sorted(self._fees.items()):
            self._writer.add(
                "fees",
                {
                    "instrument_id": instrument_id,
                    "liquidity": liquidity,
                    "fee_asset": asset,
                    "fills": count,
                    "notional": amount(notional),
                    "fee": amount(fee),
                },
            )
        fills = {name: sum(v[0] for key, v in self._fees.items() if key[1] == name) for name in ("MAKER", "TAKER")}
        slippage = {
            f"slippage_{name}_bps": round(float(cost / notional * BPS), 6) if notional else None
            for name, (cost, notional) in ((n, _totals(v)) for n, v in self._slippage.items())
        }
        facts = {"maker_fills": fills["MAKER"], "taker_fills": fills["TAKER"], **slippage}
        self._writer.finish({"result": dict(result), "execution": facts})

    # --- inside -----------------------------------------------------------------------------------------------------

    def _order(self, client_order_id: str) -> _Order:
        order = self._orders.get(client_order_id)
        if order is None:
            if len(self._orders) >= MAX_ORDERS:
                raise ConfigError(f"more than {MAX_ORDERS} orders in one run: split the data")
            order = self._orders[client_order_id] = _Order()
        return order

    def _fill(self, at_ns: int, order: _Order, execution: Execution) -> None:
        notional = execution.qty * execution.price
        order.filled_qty += execution.qty
        order.filled_notional += notional
        key = (execution.instrument_id, execution.liquidity.name, execution.fee_asset)
        total = self._fees.setdefault(key, [0, Decimal(0), Decimal(0)])
        worth = self._instruments[execution.instrument_id].notional(execution.qty, execution.price)
        total[0], total[1], total[2] = total[0] + 1, total[1] + worth, total[2] + execution.fee
        decision = self._decision(order)
        mids = {"decision": decision.mid if decision is not None else None, "arrival": order.mid_at_arrival}
        slippage = {}
        for name, mid in mids.items():
            if mid:
                cost = (execution.price - mid) * execution.side.sign
                self._slippage[name] += [cost * execution.qty, mid * execution.qty]
                slippage[f"slippage_{name}_bps"] = float(cost / mid * BPS)
        while order.moments and order.moments[0].filled_qty < order.filled_qty:
            order.moments.popleft()
        moment = order.moments[0] if order.moments else None
        facts = order.facts
        self._writer.add(
            "fills",
            {
                "exec_id": execution.exec_id,
                "client_order_id": execution.client_order_id,
                "strategy_id": facts.strategy_id if facts is not None else "",
                "instrument_id": execution.instrument_id,
                "role": facts.role.name if facts is not None else "",
                "side": execution.side.name,
                "qty": amount(execution.qty),
                "price": amount(execution.price),
                "liquidity": execution.liquidity.name,
                "fee": amount(execution.fee),
                "fee_asset": execution.fee_asset,
                "decided_ns": decision.at_ns if decision is not None else None,
                "sent_ns": order.sent_ns,
                "arrived_ns": order.arrived_ns,
                "matched_ns": _matched_ns(order, moment, execution),
                "heard_ns": at_ns,
                "queue_ahead_at_arrival": amount(order.queue_at_arrival),
                "queue_ahead_at_fill": amount(moment.queue_ahead)
                if moment is not None and execution.liquidity.name == "MAKER"
                else None,
                "mid_at_decision": amount(mids["decision"]),
                "mid_at_arrival": amount(mids["arrival"]),
                **slippage,
            },
        )

    def _decision(self, order: _Order) -> _Decision | None:
        """Return the decision behind an order; protection and emergency exits come from a grant, not from one."""
        if order.facts is None or order.facts.role not in DECIDED_ROLES:
            return None
        return self._decisions.get(order.facts.intent_id)

    def _order_row(self, client_order_id: str, order: _Order, facts: OrderFacts) -> dict[str, Any]:
        terms, decision = facts.terms, self._decision(order)
        return {
            "client_order_id": client_order_id,
            "intent_id": facts.intent_id,
            "strategy_id": facts.strategy_id,
            "instrument_id": terms.instrument_id,
            "role": facts.role.name,
            "side": terms.side.name,
            "order_type": terms.order_type.name,
            "time_in_force": terms.time_in_force.name,
            "post_only": terms.post_only,
            "reduce_only": terms.reduce_only,
            "qty": amount(terms.qty),
            "price": amount(terms.price),
            "stop_price": amount(terms.stop_price),
            "status": order.status.name,
            "reason": order.reason,
            "check_id": order.check_id,
            "decided_ns": decision.at_ns if decision is not None else None,
            "sent_ns": order.sent_ns,
            "arrived_ns": order.arrived_ns,
            "acknowledged_ns": order.acknowledged_ns,
            "ended_ns": order.ended_ns,
            "filled_qty": amount(order.filled_qty),
            "avg_price": amount(order.filled_notional / order.filled_qty) if order.filled_qty else None,
            "queue_ahead_at_arrival": amount(order.queue_at_arrival),
            "mid_at_decision": amount(decision.mid) if decision is not None else None,
            "mid_at_arrival": amount(order.mid_at_arrival),
        }


def _totals(pairs: Sequence[Decimal]) -> tuple[Decimal, Decimal]:
    return sum(pairs[::2], Decimal(0)), sum(pairs[1::2], Decimal(0))


def _matched_ns(order: _Order, moment: _Moment | None, execution: Execution) -> int | None:
    """Return when the venue matched. Its protocol may say whole milliseconds only; what never rested met on arrival."""
    if moment is not None:
        return moment.at_ns
    if order.at_venue is None and order.arrived_ns is not None:
        return order.arrived_ns
    return execution.event_time_ns or None
