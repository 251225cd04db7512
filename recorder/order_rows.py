"""From order events to rows of `orders`, `fills` and `events`. Pure and stateless: every event carries what its rows
need.
"""

from __future__ import annotations

import json

from recorder.tables import Entry, Op
from tradebot.core.amounts import format_decimal
from tradebot.core.order_events import OrderEvent, OrderFacts, OrderSnapshot
from tradebot.core.orders import Execution, OrderStatus

SOURCE = "execd.orders"
GAP = "GAP"
"""Type of the event that says that a stream could not be resumed where it stopped."""


def event_entries(event: OrderEvent, incarnation: str) -> list[Entry]:
    """Return the rows of one event."""
    entries: list[Entry] = []
    time_ns = event.event_time_ns or event.receive_time_ns
    if event.facts is not None:
        entries.append(
            _order(
                event.facts,
                event.status,
                event.venue_order_id,
                event.reason,
                event.check_id,
                event.receive_time_ns,
            )
        )
    else:
        status_row = (
            event.client_order_id,
            event.status.name,
            event.venue_order_id,
            event.reason,
            event.check_id,
            event.receive_time_ns,
        )
        entries.append(Entry(Op.ORDER_STATUS, status_row))
    symbol = event.facts.terms.instrument_id if event.facts is not None else ""
    if event.execution is not None:
        symbol = event.execution.instrument_id
        entries.append(Entry(Op.FILL, _fill(event.execution, event.facts)))
    payload = {
        "status": event.status.name,
        "exec_id": event.execution.exec_id if event.execution else "",
        "reason": event.reason,
        "check_id": event.check_id,
        "detail": event.detail,
        "receive_ts": event.receive_time_ns,
    }
    text = json.dumps({key: value for key, value in payload.items() if value}, separators=(",", ":"))
    row = (SOURCE, incarnation, event.sequence, time_ns, event.kind.name, symbol, event.client_order_id, text)
    entries.append(Entry(Op.EVENT, row))
    return entries


def snapshot_entries(order: OrderSnapshot) -> list[Entry]:
    """Return the row of an order as it stands; its earlier events come by resuming, or not at all."""
    return [
        _order(order.facts, order.status, order.venue_order_id, order.reason, order.check_id, order.updated_time_ns)
    ]


def gap_entry(source: str, incarnation: str, sequence: int, after: int, now_ns: int) -> Entry:
    """Return the event that marks a hole in a stream: what happened between two sequences was not written."""
    text = json.dumps({"written_to": after, "resumed_at": sequence}, separators=(",", ":"))
    return Entry(Op.EVENT, (f"{source}.gap", incarnation, sequence, now_ns, GAP, "", "", text))


def _order(
    facts: OrderFacts, status: OrderStatus, venue_order_id: str, reason: str, check_id: str, updated_ns: int
) -> Entry:
    terms = facts.terms
    row = (
        terms.client_order_id,
        facts.created_time_ns,
        terms.instrument_id,
        terms.side.name,
        format_decimal(terms.qty),
        None if terms.price is None else format_decimal(terms.price),
        terms.order_type.name,
        terms.time_in_force.name,
        status.name,
        terms.instrument_id.partition(":")[0],
        None if terms.stop_price is None else format_decimal(terms.stop_price),
        int(terms.post_only),
        facts.role.name,
        facts.strategy_id,
        facts.intent_id,
        facts.decision_id,
        facts.protects_client_order_id,
        facts.trace_id,
        venue_order_id,
        reason,
        check_id,
        updated_ns,
    )
    return Entry(Op.ORDER, row)


def _fill(execution: Execution, facts: OrderFacts | None) -> tuple[str | int | None, ...]:
    return (
        execution.exec_id,
        execution.client_order_id,
        execution.event_time_ns,
        format_decimal(execution.qty),
        format_decimal(execution.price),
        fee_in_quote(execution),
        execution.instrument_id.partition(":")[0],
        execution.instrument_id,
        execution.side.name,
        format_decimal(execution.fee),
        execution.fee_asset,
        execution.liquidity.name,
        facts.strategy_id if facts is not None else None,
    )


def fee_in_quote(execution: Execution) -> str | None:
    """Return the fee in the quote asset, None when it was charged in a third asset whose price is not known here."""
    base, _, quote = execution.instrument_id.partition(":")[2].removesuffix("-SWAP").partition("-")
    if execution.fee_asset == quote:
        return format_decimal(execution.fee)
    if execution.fee_asset == base:
        return format_decimal(execution.fee * execution.price)
    return None
