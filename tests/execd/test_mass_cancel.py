"""riskd's mass cancels: what goes, what stays, and what the venue itself shows afterwards."""

from __future__ import annotations

from decimal import Decimal

import pytest

from execd.records import ReadJob, ReadKind
from tests.execd.desk_kit import DeskKit
from tests.support.builders import BTC
from tradebot.core.approvals import LevelEntry, LevelTable, SessionDown
from tradebot.core.levels import SYSTEM_SCOPE, Scope, ScopeKind, TradingLevel
from tradebot.core.mass_cancel import MassCancel, MassCancelReport, VenueRead
from tradebot.core.orders import OrderRole, OrderStatus, Side, TimeInForce
from tradebot.venues.api_orders import RequestKind

OTHER = Scope(ScopeKind.STRATEGY, "somebody else")


def killed(kit: DeskKit, scope: Scope = SYSTEM_SCOPE, *, attempt: int = 1, read: bool = False) -> None:
    """riskd pushes the table with its KILLED hold and the command, in one message."""
    table = LevelTable(9, (LevelEntry(scope, TradingLevel.KILLED, 9),))
    command = MassCancel("H1", attempt, scope, read)
    kit.desk.on_session(SessionDown(levels=table, mass_cancels=[command]), kit.now_ns)
    kit.pump()


def resting_entry(kit: DeskKit) -> str:
    order = kit.order(intent_id="rest", intent_sequence=9, limit_price="59000", time_in_force=TimeInForce.GTC)
    kit.place()
    return order.id


def protected_position(kit: DeskKit) -> tuple[str, str]:
    """Return (entry, stop) of a filled and protected entry."""
    entry = kit.order()
    kit.place()
    kit.match(entry, "0.01", "60000")
    kit.place()
    (stop,) = kit.working_stops()
    return entry.id, stop.id


def last_read(kit: DeskKit) -> VenueRead:
    (read,) = kit.mass_cancels[-1].reads
    return read


def test_working_entries_go_protection_stays_and_the_answer_names_the_epoch() -> None:
    kit = DeskKit()
    _, stop = protected_position(kit)
    entry = resting_entry(kit)
    killed(kit)
    kit.serve_cancels()

    assert (kit.status(entry), kit.status(stop)) == (OrderStatus.CANCELED, OrderStatus.NEW)
    assert kit.mass_cancels[0] == MassCancelReport("H1", 1, 9, kit.mass_cancels[0].order_log_head, 0, ())


def test_an_order_whose_cancel_is_on_its_way_is_not_canceled_twice() -> None:
    kit = DeskKit()
    resting_entry(kit)
    killed(kit)  # the level table alone cancels entries
    killed(kit, attempt=2)
    killed(kit, attempt=3)

    assert len(kit.take_sends(RequestKind.CANCEL)) == 1


def test_an_exit_that_rests_goes_too_and_is_counted() -> None:
    kit = DeskKit()
    kit.approver.grants = False  # a position without a plan for a stop may have a resting exit
    entry = kit.order(stop_loss_fraction=None)
    kit.place()
    kit.match(entry, "0.01", "60000")
    kit.submit(
        intent_id="x", intent_sequence=2, role=OrderRole.EXIT, side=Side.SELL, qty="0.009", limit_price="61000",
        time_in_force=TimeInForce.GTC, stop_loss_fraction=None,
    )  # fmt: skip
    kit.allow()
    kit.place()
    (rest,) = kit.by_role(OrderRole.EXIT)
    killed(kit)
    kit.serve_cancels()

    assert kit.status(rest) is OrderStatus.CANCELED
    assert kit.mass_cancels[0].canceled == 1


def test_another_scope_is_left_alone() -> None:
    kit = DeskKit()
    entry = resting_entry(kit)
    killed(kit, OTHER, read=True)
    kit.serve_reads()

    assert kit.status(entry) is OrderStatus.NEW
    assert kit.take_sends(RequestKind.CANCEL) == []
    assert last_read(kit).open_count == 0


def test_the_second_answer_is_a_read_that_began_after_the_command() -> None:
    kit = DeskKit()
    _, stop = protected_position(kit)
    kit.advance(5)
    killed(kit, read=True)
    first = kit.mass_cancels[-1]
    asked = [job.kind for job in kit.reads]
    kit.serve_reads()
    read = last_read(kit)

    assert (first.reads, asked) == ((), [ReadKind.OPEN_ORDERS])
    assert read.started_ns >= kit.now_ns
    assert [(o.client_order_id, o.role, o.strategy_id) for o in read.open_orders] == [
        (stop, OrderRole.PROTECTION, "s1")
    ]


def test_a_repetition_while_the_venue_is_being_read_does_not_read_again() -> None:
    kit = DeskKit()
    for attempt in (1, 2, 3):
        killed(kit, attempt=attempt, read=True)

    assert [job.kind for job in kit.reads] == [ReadKind.OPEN_ORDERS]
    kit.serve_reads()
    assert [(r.attempt, len(r.reads)) for r in kit.mass_cancels] == [(1, 0), (2, 0), (3, 0), (1, 1)]


def test_a_failed_read_says_so_and_the_next_attempt_reads_again() -> None:
    kit = DeskKit()
    killed(kit, read=True)
    job = kit.reads.pop()
    kit.desk.on_read(job, None, kit.now_ns)
    kit.pump()
    failed = last_read(kit).error
    killed(kit, attempt=2, read=True)
    kit.serve_reads()

    assert failed == "the venue did not answer the read"
    assert (kit.mass_cancels[-1].attempt, last_read(kit).error) == (2, "")


def test_a_venue_that_wants_silence_is_not_read() -> None:
    kit = DeskKit()
    kit.desk.venue_quiet("binance", 30 * 1_000_000_000, kit.now_ns)
    killed(kit, read=True)

    assert kit.reads == []
    assert last_read(kit).error == "the venue wants no requests for 30 s"


def test_what_strangers_rest_is_shown_and_not_touched() -> None:
    kit = DeskKit()
    entry = resting_entry(kit)
    kit.venue.orders["web_abc"] = kit.venue.orders[entry] | {"clientOrderId": "web_abc", "orderId": 777}
    killed(kit, read=True)
    kit.serve_cancels()
    kit.serve_reads()

    assert [(o.venue_order_id, o.role) for o in last_read(kit).open_orders] == [("777", None)]


def test_an_order_of_ours_that_we_thought_gone_is_shown_and_makes_us_reconcile() -> None:
    kit = DeskKit()
    entry = resting_entry(kit)
    row = kit.venue.orders[entry]
    kit.end(entry, "CANCELED")
    row["status"] = "NEW"  # the venue takes it back
    killed(kit, read=True)
    job = kit.reads.pop(0)
    kit.desk.on_read(job, kit.snapshot(), kit.now_ns)
    kit.pump()

    assert [o.client_order_id for o in last_read(kit).open_orders] == [entry]
    assert [job.kind for job in kit.reads] == [ReadKind.SNAPSHOT]


def test_an_id_of_ours_that_nobody_remembers_counts_as_an_entry() -> None:
    kit = DeskKit()
    entry = resting_entry(kit)
    forgotten = kit.desk.state.new_client_order_id("s1")
    kit.venue.orders[forgotten] = kit.venue.orders[entry] | {"clientOrderId": forgotten, "orderId": 778}
    killed(kit, read=True)
    kit.serve_cancels()
    kit.serve_reads()

    assert [(o.client_order_id, o.role) for o in last_read(kit).open_orders] == [(forgotten, OrderRole.ENTRY)]


def test_holdings_are_the_venues_beside_ours() -> None:
    kit = DeskKit()
    protected_position(kit)
    kit.venue.base += Decimal("0.5")  # something we know nothing of
    killed(kit, read=True)
    kit.serve_reads()
    (holding,) = last_read(kit).holdings

    assert (holding.instrument_id, holding.booked, holding.at_venue) == (BTC, Decimal("0.00999"), Decimal("0.50999"))
    assert holding.differs


def test_the_stop_of_a_flat_position_goes() -> None:
    kit = DeskKit()
    _, stop = protected_position(kit)
    book = kit.desk.protection.book
    for guarded in list(book.entries.values()):
        book.forget(guarded)  # whatever forgot it, the kill does not
    position = kit.desk.state.orders.positions._positions["s1", BTC]
    position.qty = Decimal(0)
    killed(kit)

    assert [r["params"]["origClientOrderId"] for r in kit.take_sends(RequestKind.CANCEL)] == [stop]


@pytest.mark.parametrize(
    ("scope", "venues"),
    [
        (Scope(ScopeKind.VENUE, "okx"), []),
        (Scope(ScopeKind.INSTRUMENT, "binance:X-Y"), []),
        (Scope(ScopeKind.INSTRUMENT, BTC), ["binance"]),
        (Scope(ScopeKind.VENUE, "binance"), ["binance"]),
    ],
)
def test_only_the_venues_of_the_scope_are_read(scope: Scope, venues: list[str]) -> None:
    kit = DeskKit()
    killed(kit, scope, read=True)
    jobs = list(kit.reads)
    kit.serve_reads()

    assert [read.venue for read in kit.mass_cancels[-1].reads] == venues
    assert [job.instrument_id for job in jobs] == [scope.name if scope.kind is ScopeKind.INSTRUMENT else ""] * len(
        venues
    )


def test_a_new_session_hears_nothing_of_what_the_old_one_asked() -> None:
    kit = DeskKit()
    killed(kit, read=True)
    job: ReadJob = kit.reads.pop()
    kit.desk.session_lost(kit.now_ns)
    kit.connect_risk()
    kit.mass_cancels.clear()
    kit.desk.on_read(job, kit.snapshot(), kit.now_ns)
    kit.pump()
    killed(kit, attempt=2, read=True)
    kit.serve_reads()

    assert [(r.attempt, len(r.reads)) for r in kit.mass_cancels] == [(2, 0), (2, 1)]


def test_an_unproven_order_is_left_to_those_who_ask_after_it() -> None:
    kit = DeskKit()
    order = kit.order(intent_id="rest", intent_sequence=9, limit_price="59000", time_in_force=TimeInForce.GTC)
    kit.desk.venue_lost("binance", kit.now_ns)
    kit.pump()
    kit.connect_venue()
    killed(kit)
    sent = len(kit.take_sends(RequestKind.CANCEL))
    for attempt in range(2, 6):
        killed(kit, attempt=attempt)

    assert kit.status(order) is OrderStatus.UNKNOWN
    assert (sent, len(kit.take_sends(RequestKind.CANCEL))) == (1, 0)
