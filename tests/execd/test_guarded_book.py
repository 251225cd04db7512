"""The index of guarded entries beside the obvious way: look at every entry, every time."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

from hypothesis import given, settings
from hypothesis import strategies as st

from execd.deadlines import SLACK, Deadlines
from execd.guarded import Guarded, Watch
from execd.guarded_book import GuardedBook
from execd.orders import Order
from execd.settings import ProtectionSettings
from tests.execd.desk_kit import Approver
from tests.support.builders import BTC
from tradebot.core.approvals import ProtectionGrant
from tradebot.core.order_events import OrderFacts
from tradebot.core.orders import OrderRole, OrderState, OrderTerms, OrderType, Side

SETTINGS = ProtectionSettings(
    breach_ms=2, retry_ms=3, retry_deadline_ms=7, emergency_deadline_ms=11, renew_before_ms=20, settle_ms=1
)
NO_BYTES = ProtectionGrant(b"", b"", "")
MS = 1_000_000


def entry(number: int) -> Order:
    terms = OrderTerms(f"e{number}", BTC, Side.BUY, OrderType.LIMIT, Decimal(1), Decimal(100))
    facts = OrderFacts(terms, f"s{number % 3}", f"i{number}", 0, OrderRole.ENTRY, 0)
    return Order(facts, OrderState(terms))


def obvious_timer(book: GuardedBook) -> int | None:
    """The earliest deadline of all entries, found by looking at each."""
    times = [book.due_ns(guarded) for guarded in book.entries.values()]
    return min((at_ns for at_ns in times if at_ns is not None), default=None)


actions = st.tuples(
    st.sampled_from(("new", "fill", "naked", "breach", "settle", "try", "flat", "freeze", "grant", "ask", "forget")),
    st.integers(0, 7),
    st.integers(0, 30),
)
moves = st.one_of(actions, st.tuples(st.just("timer"), st.just(0), st.integers(0, 9)))


@settings(max_examples=300, deadline=None)
@given(st.lists(moves, max_size=60))
def test_the_index_knows_what_looking_at_every_entry_would_find(steps: list[tuple[str, int, int]]) -> None:
    renewing: set[str] = set()
    book = GuardedBook(SETTINGS, renewing)
    now_ns = 100 * MS
    for what, number, amount in steps:
        at_ns = now_ns + (amount - 10) * MS
        guarded = book.entries.get(f"e{number}")
        if what == "timer":
            now_ns += amount * MS
            expected = {
                key
                for key, one in book.entries.items()
                if book.is_restless(one) or ((due := book.due_ns(one)) is not None and due <= now_ns)
            }
            taken = book.take_due(now_ns)

            assert {one.entry.id for one in taken} == expected
            assert [one.number for one in taken] == sorted(one.number for one in taken)
        elif what == "new":
            book.touch(book.of_entry(entry(number)))
        elif guarded is not None:
            change(book, renewing, guarded, what, at_ns)
            if what != "forget":
                book.touch(guarded)

        assert book.next_timer_ns() == obvious_timer(book)
        for strategy_id in ("s0", "s1", "s2"):
            mine = [one for one in book.entries.values() if one.strategy_id == strategy_id]
            assert book.of_position(strategy_id, BTC) == mine
        granted = {one.entry.id for one in book.entries.values() if one.terms is not None}
        assert {one.entry.id for one in book.granted(BTC)} == granted


def change(book: GuardedBook, renewing: set[str], guarded: Guarded, what: str, at_ns: int) -> None:
    match what:
        case "fill":
            guarded.open_qty = Decimal(0) if guarded.open_qty else Decimal(1)
        case "naked":
            guarded.naked_since_ns, guarded.retried = (0 if guarded.naked_since_ns else at_ns), False
        case "breach":
            guarded.breach_since_ns = 0 if guarded.breach_since_ns else at_ns
            guarded.watch = Watch.EMERGENCY if at_ns % (2 * MS) else Watch.NORMAL
        case "settle":
            guarded.settle_until_ns = at_ns
        case "try":
            guarded.next_try_ns, guarded.retried = at_ns, not guarded.retried
        case "flat":
            guarded.flat_since_ns = 0 if guarded.flat_since_ns else at_ns
        case "freeze":
            guarded.frozen = not guarded.frozen
        case "grant":
            terms = Approver().grant_terms(guarded.entry.state.terms, guarded.strategy_id, 0)
            book.give(guarded, NO_BYTES, replace(terms, expires_time_ns=at_ns + 20 * MS))
        case "ask":
            renewing.add(guarded.grant_key)
        case "forget":
            book.forget(guarded)


def test_a_forgotten_entry_leaves_nothing_behind() -> None:
    book = GuardedBook(SETTINGS, set())
    guarded = book.of_entry(entry(1))
    guarded.open_qty, guarded.naked_since_ns = Decimal(1), 5 * MS
    stop = entry(2)
    book.adopt(guarded, stop)
    book.touch(guarded)
    assert book.of_order(stop.id) is guarded

    book.forget(guarded)

    assert book.next_timer_ns() is None
    assert book.of_order(stop.id) is None
    assert book.take_due(100 * MS) == []
    assert book.of_position(guarded.strategy_id, BTC) == []


def test_a_deadline_that_is_moved_often_does_not_grow_the_heap() -> None:
    deadlines = Deadlines()

    for at_ns in range(10_000):
        deadlines.set("a", at_ns + 1)

    assert deadlines.next_ns() == 10_000
    assert len(deadlines._heap) <= 2 + SLACK
