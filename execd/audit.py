"""The audit: journal, approvals and the venue side by side. Pure: facts in, findings out.

An order at the venue is approved when the journal holds exactly one approval or one grant derivation for its client id,
and it is the order that this allowed. What others traded on the account since execd first looked is a finding, too.
Positions are riskd's, the authority, held against the venue's balances and against execd's.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from typing import Final

from execd.desk import Desk
from execd.reconcile import READ_MARGIN_NS
from execd.records import RecordType
from execd.settings import NS_PER_S
from tradebot.core.ids import parse_client_order_id
from tradebot.core.instruments import Product
from tradebot.core.order_events import OrderEvent
from tradebot.core.orders import OrderTerms
from tradebot.venues.api_orders import VenueOrder, VenueSnapshot
from tradebot.wire.approvals import open_approval
from tradebot.wire.execd_records import approval_of, event_of, unpack_parts

MAX_AUDITED: Final = 5_000
"""Newest orders, and newest fills, of ours that one audit compares per venue: a dozen pages of its history."""


@dataclass(frozen=True, slots=True)
class AuditSpan:
    """How much of a venue's history an audit reads."""

    first_look_ns: int
    """When execd first read the venue: what others did before is not ours to judge."""
    since_ns: int
    """The history from here on; orders that still work are read however old they are."""
    older_orders: int = 0
    """Orders of ours that ended before, in memory, and are not compared."""


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
    fill_times: dict[tuple[str, str], int] = field(default_factory=dict)
    """The venue's time of each."""


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
    notes: list[str] = field(default_factory=list)
    """What was not compared, and why."""


def read_facts(records: Iterable[tuple[int, bytes]], keys: Mapping[str, bytes]) -> JournalFacts:
    """Return what the journal's records say about approvals and fills."""
    facts = JournalFacts()

    def take(event: OrderEvent) -> None:
        if event.execution is not None:
            key = event.execution.instrument_id, event.execution.exec_id
            facts.fills[key] += 1
            facts.fill_times[key] = event.execution.event_time_ns

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


def audit_span(desk: Desk, venue: str) -> AuditSpan:
    """Return from when on the venue's history is to be read: from execd's first look on, or, where that would be too
    much, from the oldest of our MAX_AUDITED newest orders and fills.
    """
    orders = desk.state.orders
    first_ns = desk.reconciler.first_looks.get(venue, desk.state.started_ns)
    ended = [
        order.state.updated_ns
        for order in orders.all_orders()
        if order.was_sent and not order.working and _venue(desk, order.facts.terms.instrument_id) == venue
    ]
    filled = [fill.event_time_ns for fill in orders.executions() if _venue(desk, fill.instrument_id) == venue]
    since_ns = max([first_ns, *(sorted(times)[-MAX_AUDITED] for times in (ended, filled) if len(times) > MAX_AUDITED)])
    return AuditSpan(first_ns, since_ns, sum(time_ns < since_ns for time_ns in ended))


def compare(
    desk: Desk,
    venue: str,
    snapshot: VenueSnapshot,
    facts: JournalFacts,
    span: AuditSpan,
    riskd_positions: Mapping[str, Decimal] | None,
) -> AuditReport:
    """Return how journal, memory, riskd and one venue agree.

    Args:
        desk: execd's memory.
        venue: Which one.
        snapshot: What it holds, with its history from `span.since_ns` on.
        facts: What the journal says.
        span: What was read.
        riskd_positions: riskd's, by instrument; None = it did not answer.
    """
    report = AuditReport(unknown_orders=desk.state.orders.unknown_count)
    _compare_orders(desk, snapshot, facts, report)
    _compare_fills(desk, venue, snapshot, facts, span, report)
    _compare_positions(desk, venue, snapshot, riskd_positions, report)
    if span.older_orders:
        since = datetime.fromtimestamp(span.since_ns // NS_PER_S, UTC).isoformat()
        more = f"{span.older_orders} orders or more that ended before are not compared"
        report.notes.append(f"{venue}: only the newest {MAX_AUDITED} orders and fills, since {since}; {more}")
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


def _compare_fills(
    desk: Desk, venue: str, snapshot: VenueSnapshot, facts: JournalFacts, span: AuditSpan, report: AuditReport
) -> None:
    at_venue = {(instrument_id, trade.execution.exec_id): trade for instrument_id, trade in snapshot.trades}
    report.venue_fills = len(at_venue)
    for (instrument_id, exec_id), times in facts.fills.items():
        if _venue(desk, instrument_id) != venue:
            continue
        booked_ns = facts.fill_times[instrument_id, exec_id]
        if (instrument_id, exec_id) in at_venue:
            report.booked_fills += 1
        elif span.since_ns <= booked_ns < snapshot.started_ns - READ_MARGIN_NS:
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
        elif trade.execution.event_time_ns >= span.first_look_ns:
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


def _compare_positions(
    desk: Desk,
    venue: str,
    snapshot: VenueSnapshot,
    riskd_positions: Mapping[str, Decimal] | None,
    report: AuditReport,
) -> None:
    mismatches: dict[str, str] = {}
    if riskd_positions is None:
        text = "riskd does not answer: its positions are not compared"
        report.findings.append(Finding("RISKD_SILENT", venue, text))
        held = {i: desk.state.orders.positions.total(i) for i in desk.state.instruments}
    else:
        held = dict(riskd_positions)
        mismatches |= differs_from_riskd(desk, venue, riskd_positions)
    totals = {balance.asset: balance.total for balance in snapshot.account.balances}
    spot = [i for i in desk.state.instruments.values() if i.venue == venue and i.product is Product.SPOT]
    for base, instrument in {i.base: i for i in spot}.items():
        baseline = desk.reconciler.baselines.get((venue, base), Decimal(0))
        ours = sum((held.get(i.instrument_id, Decimal(0)) for i in spot if i.base == base), baseline)
        theirs = totals.get(base, Decimal(0))
        if abs(theirs - ours) >= instrument.lot_size:
            mismatches[instrument.instrument_id] = f"{base}: venue {theirs}, ours {ours}"
    report.position_mismatches += len(mismatches)
    for instrument_id, text in mismatches.items():
        report.findings.append(Finding("POSITION_MISMATCH", instrument_id, text))


def differs_from_riskd(desk: Desk, venue: str, riskd_positions: Mapping[str, Decimal]) -> dict[str, str]:
    """Return instrument -> text where execd's view is a lot or more off riskd's position."""
    found = {}
    for instrument in desk.state.instruments.values():
        ours = desk.state.orders.positions.total(instrument.instrument_id)
        theirs = riskd_positions.get(instrument.instrument_id, Decimal(0))
        if instrument.venue == venue and abs(theirs - ours) >= instrument.lot_size:
            found[instrument.instrument_id] = f"{instrument.instrument_id}: riskd {theirs}, execd {ours}"
    return found


def _venue(desk: Desk, instrument_id: str) -> str:
    """Return the venue of an instrument, empty when it is not traded any more."""
    instrument = desk.state.instruments.get(instrument_id)
    return "" if instrument is None else instrument.venue
