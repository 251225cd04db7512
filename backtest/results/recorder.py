"""Fills the result tables while a backtest runs. It watches: nothing in the run depends on it.

The mid at decision is that of the last row received up to the decision; the mid at arrival that of the touch just
before the venue takes the order. Queue facts are the simulator's own.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any

from backtest.results.files import ResultWriter
from backtest.results.orders import Decision, KnownOrder, KnownOrders, Moment, VenueOrder
from backtest.results.schemas import amount
from backtest.results.summary import BPS, execution_facts
from riskd.units import from_units
from tradebot.core.accounts import LedgerEntry
from tradebot.core.instruments import Instrument
from tradebot.core.intents import OrderIntent
from tradebot.core.order_events import OrderEvent
from tradebot.core.orders import Execution, OrderEventKind
from tradebot.core.positions import Position


class RunRecorder:
    """One run."""

    def __init__(self, writer: ResultWriter, instruments: Sequence[Instrument], equity_every_ns: int) -> None:
        """Begin; equity is written at every multiple of `equity_every_ns`."""
        self._writer = writer
        self._instruments = {one.instrument_id: one for one in instruments}
        self._every_ns = equity_every_ns
        self._next_equity_ns = 0
        self._orders = KnownOrders(self._instruments)
        self._open: dict[str, VenueOrder] = {}
        self._undated: list[Decision] = []
        self._positions: dict[tuple[str, str], tuple[Decimal, ...]] = {}
        self._funding: dict[tuple[str, str], Decimal] = {}
        """Received so far by (instrument, strategy)."""
        self._fees: dict[tuple[str, str, str], list[Any]] = {}
        self._slippage = {"decision": (Decimal(0), Decimal(0)), "arrival": (Decimal(0), Decimal(0))}
        """Sums of cost and of notional at the mid, quote assets."""

    # --- what the engine and execd say ------------------------------------------------------------------------------

    def intent(self, at_ns: int, intent: OrderIntent) -> None:
        """The strategy decided."""
        decision = Decision(at_ns, intent.instrument_id)
        self._orders.decided(intent.intent_id, decision)
        self._undated.append(decision)

    def answer(self, intent_id: str) -> None:
        """execd has accepted or refused an intent."""
        self._orders.answered(intent_id)

    def order_event(self, at_ns: int, event: OrderEvent) -> None:
        """Something happened to an order."""
        order = self._orders.of(event)
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
        done = self._orders.note_end(event.client_order_id)
        if done is not None:
            self._writer.add("orders", done.row())

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
        order = self._orders.get(client_order_id)
        if order is not None and order.arrived_ns is None:
            order.arrived_ns = now_ns
            order.mid_at_arrival = mids[order.facts.terms.instrument_id]

    def taken(self, client_order_id: str, instrument_id: str, at_venue: VenueOrder, beside: str) -> None:
        """The venue has an open order now; `beside` is the order it came with (the other leg of a list)."""
        order, leg = self._orders.get(client_order_id), self._orders.get(beside)
        if order is None or order.at_venue is not None:
            return
        order.at_venue = self._open[client_order_id] = at_venue
        if order.arrived_ns is None and leg is not None:
            order.arrived_ns, order.mid_at_arrival = leg.arrived_ns, leg.mid_at_arrival
        if at_venue.working:
            order.queue_at_arrival = self._instruments[instrument_id].qty(at_venue.queue_ahead)

    def matched(self, now_ns: int) -> None:
        """The venue reported something: note time and queue of every order that traded."""
        for client_order_id, at_venue in list(self._open.items()):
            order = self._orders.get(client_order_id)
            if order is not None and at_venue.filled_lots != order.seen_lots:
                order.seen_lots = at_venue.filled_lots
                instrument = self._instruments[order.facts.terms.instrument_id]
                filled, queue = instrument.qty(order.seen_lots), instrument.qty(at_venue.queue_ahead)
                order.moments.append(Moment(now_ns, filled, queue))
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
        for order in self._orders.left():
            self._writer.add("orders", order.row())
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
        facts = execution_facts(fills["MAKER"], fills["TAKER"], self._slippage)
        self._writer.finish({"result": dict(result), "execution": facts})

    # --- inside -----------------------------------------------------------------------------------------------------

    def _fill(self, at_ns: int, order: KnownOrder, execution: Execution) -> None:
        notional = execution.qty * execution.price
        order.filled_qty += execution.qty
        order.filled_notional += notional
        key = (execution.instrument_id, execution.liquidity.name, execution.fee_asset)
        total = self._fees.setdefault(key, [0, Decimal(0), Decimal(0)])
        worth = self._instruments[execution.instrument_id].notional(execution.qty, execution.price)
        total[0], total[1], total[2] = total[0] + 1, total[1] + worth, total[2] + execution.fee
        decision, facts = order.decision, order.facts
        mids = {"decision": decision.mid if decision is not None else None, "arrival": order.mid_at_arrival}
        slippage = {}
        for name, mid in mids.items():
            if mid:
                cost = (execution.price - mid) * execution.side.sign
                costs, notionals = self._slippage[name]
                self._slippage[name] = costs + cost * execution.qty, notionals + mid * execution.qty
                slippage[f"slippage_{name}_bps"] = float(cost / mid * BPS)
        moment = order.moment_of_last_fill()
        self._writer.add(
            "fills",
            {
                "exec_id": execution.exec_id,
                "client_order_id": execution.client_order_id,
                "strategy_id": facts.strategy_id,
                "instrument_id": execution.instrument_id,
                "role": facts.role.name,
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


def _matched_ns(order: KnownOrder, moment: Moment | None, execution: Execution) -> int | None:
    """Return when the venue matched. Its protocol may say whole milliseconds only; what never rested met on arrival."""
    if moment is not None:
        return moment.at_ns
    if order.at_venue is None and order.arrived_ns is not None:
        return order.arrived_ns
    return execution.event_time_ns or None
