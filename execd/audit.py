"""The audit: journal, approvals and the venue side by side. Pure: facts in, findings out.

An order at the venue is approved when the journal holds exactly one approval or one grant derivation for its client id,
and it is the order that this allowed. What others traded on the account since execd first looked is a finding, too.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal

from execd.desk import Desk
from execd.records import RecordType
from tradebot.core.ids import parse_client_order_id
from tradebot.core.order_events import OrderEvent
from tradebot.core.orders import OrderTerms
from tradebot.venues.api_orders import VenueOrder, VenueSnapshot
from tradebot.wire.approvals import open_approval
from tradebot.wire.execd_records import approval_of, event_of, unpack_parts


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that does not match."""

    kind: str
    subject: str
    detail: str


@dataclass(slots=True)
class JournalFacts:
    """What the journal says, independent of the desk's memory."""

    approvals: Counter[str] = field(default_factory=Counter)
    """Client order id -> approvals or derivations."""
    terms: dict[str, OrderTerms] = field(default_factory=dict)
    """Client order id -> what the last of them allowed."""
    fills: Counter[tuple[str, str]] = field(default_factory=Counter)
    """(instrument_id, exec_id) -> times booked."""


@dataclass(slots=True)
class AuditReport:
    """The audit's figures."""

    venue_orders: int = 0
    approved_orders: int = 0
    venue_fills: int = 0
    booked_fills: int = 0
    unknown_orders: int = 0
    unapproved_orders: int = 0
    position_mismatches: int = 0
    findings: list[Finding] = field(default_factory=list)


def read_facts(records: Iterable[tuple[int, bytes]], keys: Mapping[str, bytes]) -> JournalFacts:
    """Return what the journal's records say about approvals and fills."""
    facts = JournalFacts()

    def take(event: OrderEvent) -> None:
        if event.execution is not None:
            facts.fills[event.execution.instrument_id, event.execution.exec_id] += 1

    for record_type, payload in records:
        match record_type:
            case RecordType.APPROVAL:
                terms = open_approval(approval_of(payload), keys)
                facts.approvals[terms.order.client_order_id] += 1
                facts.terms[terms.order.client_order_id] = terms.order
            case RecordType.DERIVATION:
                raw, count = unpack_parts(payload, 2)
                for part in unpack_parts(raw, count[0]):
                    event = event_of(part)
                    facts.approvals[event.client_order_id] += 1
                    if event.facts is not None:
                        facts.terms[event.client_order_id] = event.facts.terms
                    take(event)
            case RecordType.ASK:
                take(event_of(unpack_parts(payload, 2)[1]))
            case RecordType.ORDER_EVENT:
                take(event_of(payload))
    return facts


def compare(desk: Desk, venue: str, snapshot: VenueSnapshot, facts: JournalFacts) -> AuditReport:
    """Return how journal, memory and one venue agree."""
    report = AuditReport(unknown_orders=desk.state.orders.unknown_count)
    _compare_orders(desk, snapshot, facts, report)
    _compare_fills(desk, venue, snapshot, facts, report)
    _compare_positions(desk, venue, snapshot, report)
    return report


def _compare_orders(desk: Desk, snapshot: VenueSnapshot, facts: JournalFacts, report: AuditReport) -> None:
    seen: dict[tuple[str, str], VenueOrder] = {}
    for row in snapshot.orders:
        seen[row.venue_symbol, row.venue_order_id] = row
    for key, row in seen.items():
        client_order_id, name = row.client_order_id, f"{row.venue_symbol} order {row.venue_order_id}"
        if parse_client_order_id(client_order_id, desk.state.id_key) is None:
            if key in snapshot.open_keys:
                text = f"{name} works and is not ours"
                report.findings.append(Finding("FOREIGN_ORDER", client_order_id, text))
            continue
        report.venue_orders += 1
        approvals = facts.approvals[client_order_id]
        problem = _difference(row, facts.terms[client_order_id]) if approvals == 1 else f"has {approvals} approvals"
        if not problem:
            report.approved_orders += 1
        else:
            report.unapproved_orders += 1
            report.findings.append(Finding("UNAPPROVED_ORDER", client_order_id, f"{name} {problem}"))
    for client_order_id in desk.state.orders.unknown_ids():
        report.findings.append(Finding("UNKNOWN_ORDER", client_order_id, "the outcome is not proven"))


def _difference(row: VenueOrder, allowed: OrderTerms) -> str:
    """Return where the venue's order is another than the one that was allowed, empty = nowhere."""
    for name, theirs, ours in (
        ("instrument", row.instrument_id, allowed.instrument_id),
        ("side", row.side.name, allowed.side.name),
        ("quantity", row.qty, allowed.qty),
        ("price", row.price, allowed.price),
        ("stop price", row.stop_price, allowed.stop_price),
    ):
        if theirs != ours:
            return f"has the {name} {theirs}, allowed was {ours}"
    return ""


def _compare_fills(desk: Desk, venue: str, snapshot: VenueSnapshot, facts: JournalFacts, report: AuditReport) -> None:
    at_venue = {(instrument_id, trade.execution.exec_id): trade for instrument_id, trade in snapshot.trades}
    report.venue_fills = len(at_venue)
    oldest_ns = min((trade.execution.event_time_ns for trade in at_venue.values()), default=0)
    for (instrument_id, exec_id), times in facts.fills.items():
        if desk.state.instruments[instrument_id].venue != venue:
            continue
        booked = desk.state.orders.execution(instrument_id, exec_id)
        in_window = booked is not None and booked.event_time_ns >= oldest_ns
        if (instrument_id, exec_id) in at_venue:
            report.booked_fills += 1
        elif in_window or not at_venue:
            report.findings.append(
                Finding("FILL_NOT_AT_VENUE", exec_id, f"{instrument_id}: the venue does not list it")
            )
        if times > 1:
            report.findings.append(Finding("FILL_BOOKED_TWICE", exec_id, f"{instrument_id}: {times} records"))
    for (instrument_id, exec_id), trade in at_venue.items():
        if facts.fills[instrument_id, exec_id]:
            continue
        what = f"{instrument_id}: {trade.execution.qty} at {trade.execution.price}"
        if _is_ours(desk, instrument_id, trade.venue_order_id, snapshot):
            report.findings.append(Finding("FILL_NOT_BOOKED", exec_id, f"{what} is not in the journal"))
        elif trade.execution.event_time_ns >= desk.reconciler.foreign_from_ns:
            report.findings.append(Finding("FOREIGN_FILL", exec_id, f"{what} of an order that is not ours"))


def _is_ours(desk: Desk, instrument_id: str, venue_order_id: str, snapshot: VenueSnapshot) -> bool:
    if desk.state.orders.by_venue_id(instrument_id, venue_order_id) is not None:
        return True
    return any(
        row.instrument_id == instrument_id
        and row.venue_order_id == venue_order_id
        and parse_client_order_id(row.client_order_id, desk.state.id_key) is not None
        for row in snapshot.orders
    )


def _compare_positions(desk: Desk, venue: str, snapshot: VenueSnapshot, report: AuditReport) -> None:
    totals = {balance.asset: balance.total for balance in snapshot.account.balances}
    bases = {i.base: i for i in desk.state.instruments.values() if i.venue == venue}
    for base, instrument in bases.items():
        ours = desk.state.orders.positions.of_base(base) + desk.reconciler.baselines.get((venue, base), Decimal(0))
        theirs = totals.get(base, Decimal(0))
        if abs(theirs - ours) >= instrument.lot_size:
            report.position_mismatches += 1
            text = f"{base}: venue {theirs}, ours {ours}"
            report.findings.append(Finding("POSITION_MISMATCH", instrument.instrument_id, text))
