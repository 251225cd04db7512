"""Random loss, repetition and disorder: whatever is served is the truth, or it is not LIVE."""

from __future__ import annotations

import random
from dataclasses import dataclass

from hypothesis import given, settings
from hypothesis import strategies as st

from marketdata.book import BookRules, MarketBook
from tests.marketdata.market_kit import MS, T0, RowReader, S, TrueMarket
from tradebot.core.market import BookState, RowColumns
from tradebot.venues.api import BboEvent, BookDelta, BookSnapshot

RULES = BookRules(quiet_stale_ns=5 * S, lag_stale_ns=S, lag_resync_ns=3 * S, first_delta_wait_ns=100 * MS)


@dataclass(frozen=True)
class Faults:
    """Chances per message."""

    drop: float
    duplicate: float
    swap: float
    cut: float
    late_snapshot: float


chances = st.sampled_from([0.0, 0.02, 0.2])
faults = st.builds(Faults, chances, chances, chances, st.sampled_from([0.0, 0.01]), st.sampled_from([0.0, 0.5]))


def run(seed: int, faults: Faults, rounds: int = 120) -> tuple[MarketBook, RowReader, int]:
    """Drive a book through a faulty link and check it after every message. Return it, its reader, and checks made."""
    rng = random.Random(seed)
    market, rows, reader = TrueMarket(rng), RowColumns(), RowReader()
    book = MarketBook(0, RULES, rows)
    now, sent, checks, token = T0, market.last_id, 0, -1
    pending_snapshot: BookSnapshot | None = None
    book.link_up(now)
    for _ in range(rounds):
        now += 100 * MS
        market.step(rng.randint(0, 4))
        if pending_snapshot is None and book.wants_snapshot(now):
            token = book.snapshot_asked(now)
            behind = rng.randint(0, 6) if rng.random() < faults.late_snapshot else 0
            pending_snapshot = market.snapshot(max(market.first_id, market.last_id - behind))
        messages: list[BookDelta | BboEvent | BookSnapshot] = [
            market.bbo(update_id) for update_id in range(sent + 1, market.last_id + 1) if rng.random() < 0.5
        ]
        if market.last_id > sent:
            messages.append(market.delta(sent + 1, market.last_id))
            sent = market.last_id
        if pending_snapshot is not None and rng.random() < 0.7:
            messages.insert(rng.randint(0, len(messages)), pending_snapshot)
            pending_snapshot = None
        for message in disturb(messages, faults, rng):
            deliver(book, message, token, now)
            checks += check(book, market)
        if rng.random() < faults.cut:
            book.link_down(now)
            book.link_up(now)
            pending_snapshot = None
        book.check(now, link_alive_ns=now)
        checks += check(book, market)
        reader.fold(rows)
        rows.__init__()  # type: ignore[misc]
        check_reader(reader, book, market)
    return book, reader, checks


def disturb(
    messages: list[BookDelta | BboEvent | BookSnapshot], faults: Faults, rng: random.Random
) -> list[BookDelta | BboEvent | BookSnapshot]:
    """Lose, repeat and swap."""
    kept: list[BookDelta | BboEvent | BookSnapshot] = []
    for message in messages:
        if isinstance(message, BookSnapshot) or rng.random() >= faults.drop:
            kept.append(message)
            if rng.random() < faults.duplicate:
                kept.append(message)
    for i in range(len(kept) - 1):
        if rng.random() < faults.swap:
            kept[i], kept[i + 1] = kept[i + 1], kept[i]
    return kept


def deliver(book: MarketBook, message: BookDelta | BboEvent | BookSnapshot, token: int, now: int) -> None:
    match message:
        case BookDelta():
            book.handle_delta(message, now)
        case BboEvent():
            book.handle_bbo(message, now)
        case BookSnapshot():
            book.handle_snapshot(token, message, now)


def check(book: MarketBook, market: TrueMarket) -> int:
    """The book equals the truth at its id, or nobody may use it."""
    if book.state not in (BookState.LIVE, BookState.STALE):
        assert not book.book.bids
        assert not book.book.asks
        return 0
    bids, asks = market.at(book.update_id)
    assert book.book.bids == bids
    assert book.book.asks == asks
    return 1


def check_reader(reader: RowReader, book: MarketBook, market: TrueMarket) -> None:
    """Somebody who knows only the rows has the same book and a true touch."""
    assert reader.state is book.state or not reader.states
    if reader.state is BookState.LIVE:
        assert (reader.book.bids, reader.book.asks) == market.at(book.update_id)
        assert tuple(reader.touch) == market.touch(reader.touch_id)


@settings(max_examples=150, deadline=None)
@given(st.integers(0, 2**32), faults)
def test_a_served_book_is_the_truth_whatever_the_link_does(seed: int, faults: Faults) -> None:
    run(seed, faults)


def test_a_perfect_link_stays_live_and_is_checked_all_the_time() -> None:
    book, reader, checks = run(1, Faults(0, 0, 0, 0, 0))

    assert reader.states == [BookState.LIVE]
    assert book.bbo_checks > 20
    assert checks > 200


def test_a_bad_link_recovers_again_and_again() -> None:
    _, reader, checks = run(2, Faults(0.02, 0.2, 0.02, 0.01, 0.5), rounds=1500)

    assert reader.states.count(BookState.LIVE) > 5
    assert reader.states.count(BookState.GAP) > 5
    assert checks > 500
