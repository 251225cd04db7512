"""A book is served only while it is proven."""

from __future__ import annotations

import pytest

from marketdata.book import MIN_RESYNC_WAIT_NS, BookRules, MarketBook, StaleReason
from marketdata.sync import BOOK_TRANSITIONS, MAX_BUFFERED_DELTAS, SyncEvent, next_state
from tests.marketdata.market_kit import MS, T0, RowReader, S, bbo, delta, snapshot, trade
from tradebot.core.errors import InvariantError
from tradebot.core.market import LAST_FLAG, BookState, RowColumns, RowKind

RULES = BookRules(
    link_stale_ns=3 * S, quiet_stale_ns=60 * S, lag_stale_ns=2 * S, lag_resync_ns=10 * S, first_delta_wait_ns=S
)


class Desk:
    """A book, its rows, and a clock in hand."""

    def __init__(self, rules: BookRules = RULES) -> None:
        self.now = T0
        self.rows = RowColumns()
        self.book = MarketBook(0, rules, self.rows)
        self.book.link_up(T0)

    def state(self) -> BookState:
        """State of the book as of now; a call, so that no type checker remembers it."""
        return self.book.state

    def ask(self) -> int:
        """Ask for a snapshot as the shell does."""
        assert self.book.wants_snapshot(self.now)
        return self.book.snapshot_asked(self.now)

    def live(self, last_id: int = 10) -> Desk:
        """Bring the book to LIVE at an id."""
        self.book.handle_delta(delta(last_id), self.now)
        self.book.handle_snapshot(self.ask(), snapshot(last_id), self.now)
        assert self.book.state is BookState.LIVE
        return self

    def kinds(self) -> list[RowKind]:
        """Kinds of the rows so far, then forget them."""
        kinds = [RowKind(kind) for kind in self.rows.kind]
        for column in (self.rows.kind, self.rows.instrument, self.rows.side_flags, self.rows.price, self.rows.qty):
            column.clear()
        for column in (self.rows.id, self.rows.event_time_ns, self.rows.receive_time_ns):
            column.clear()
        return kinds

    def states(self) -> list[BookState]:
        """States told to readers so far."""
        return [BookState(row.price) for row in self.rows.rows() if row.kind == RowKind.BOOK_STATE]


def test_every_state_knows_every_break() -> None:
    breaks = {
        SyncEvent.SEQUENCE_GAP, SyncEvent.CROSSED, SyncEvent.BBO_MISMATCH, SyncEvent.PROTOCOL_ERROR, SyncEvent.LINK_DOWN
    }  # fmt: skip
    for state in BookState:
        for event in breaks:
            assert BOOK_TRANSITIONS[state, event] in (BookState.GAP, BookState.SYNCING)


def test_only_a_bridge_or_progress_leads_to_live() -> None:
    to_live = {edge for edge, state in BOOK_TRANSITIONS.items() if state is BookState.LIVE}

    assert to_live == {(BookState.SYNCING, SyncEvent.BRIDGED), (BookState.STALE, SyncEvent.PROGRESS)}
    with pytest.raises(InvariantError, match="BRIDGED is impossible in state GAP"):
        next_state(BookState.GAP, SyncEvent.BRIDGED)


def test_a_snapshot_and_the_diffs_behind_it_make_a_live_book() -> None:
    desk = Desk()
    desk.book.handle_delta(delta(8, 10), desk.now)
    token = desk.ask()
    desk.book.handle_delta(delta(11, 13, bids=[(99, 4)]), desk.now)
    desk.book.handle_delta(delta(14, 14, asks=[(101, 9)]), desk.now)
    desk.book.handle_snapshot(token, snapshot(12), desk.now)

    assert desk.state() is BookState.LIVE
    assert desk.book.update_id == 14
    assert desk.book.book.bids == {100: 5, 99: 4}
    assert desk.book.touch == (100, 5, 101, 9)


def test_rows_are_a_whole_snapshot_then_the_state_then_the_touch() -> None:
    desk = Desk().live()

    assert desk.rows.side_flags[0] & LAST_FLAG == 0
    assert desk.kinds() == [
        RowKind.BOOK_CLEAR,
        RowKind.SNAPSHOT_LEVEL,
        RowKind.SNAPSHOT_LEVEL,
        RowKind.BOOK_STATE,
        RowKind.BBO,
        RowKind.BBO,
    ]


def test_a_snapshot_older_than_the_first_diff_is_asked_for_again() -> None:
    desk = Desk()
    desk.book.handle_delta(delta(20, 22), desk.now)
    desk.book.handle_snapshot(desk.ask(), snapshot(18), desk.now)

    assert desk.state() is BookState.SYNCING
    assert not desk.book.wants_snapshot(desk.now)
    desk.now += MIN_RESYNC_WAIT_NS
    desk.book.handle_snapshot(desk.ask(), snapshot(19), desk.now)
    assert desk.state() is BookState.LIVE


def test_a_quiet_market_goes_live_without_a_diff_and_still_sees_the_first_gap() -> None:
    desk = Desk()
    assert not desk.book.wants_snapshot(desk.now)
    desk.now += S
    desk.book.handle_snapshot(desk.ask(), snapshot(10), desk.now)
    assert desk.state() is BookState.LIVE
    desk.book.handle_delta(delta(12), desk.now)

    assert desk.state() is BookState.GAP
    assert desk.book.last_break is SyncEvent.SEQUENCE_GAP


def test_a_missing_id_is_a_gap_and_the_book_is_forgotten() -> None:
    desk = Desk().live(10)
    desk.kinds()
    desk.book.handle_delta(delta(12, 14, bids=[(99, 1)]), desk.now)

    assert desk.kinds() == [RowKind.BOOK_STATE]
    assert desk.book.book.bids == {}
    assert desk.book.gaps == 1


def test_after_a_gap_the_book_passes_through_syncing() -> None:
    desk = Desk().live(10)
    desk.book.handle_delta(delta(12), desk.now)
    desk.book.handle_snapshot(desk.ask(), snapshot(12), desk.now)

    assert desk.states() == [BookState.LIVE, BookState.GAP, BookState.SYNCING, BookState.LIVE]


def test_repeated_gaps_wait_longer_each_time() -> None:
    desk = Desk().live(10)
    waits = []
    for update_id in (20, 30, 40):
        desk.book.handle_delta(delta(update_id), desk.now)
        asked = desk.now
        while not desk.book.wants_snapshot(desk.now):
            desk.now += 50 * MS
        waits.append(desk.now - asked)
        desk.book.handle_snapshot(desk.ask(), snapshot(update_id), desk.now)

    assert waits[0] == 0
    assert waits[0] < waits[1] < waits[2]


def test_duplicates_and_old_diffs_change_nothing() -> None:
    desk = Desk().live(10)
    desk.book.handle_delta(delta(11, 12, bids=[(100, 8)]), desk.now)
    desk.kinds()
    for repeated in (delta(11, 12, bids=[(100, 1)]), delta(9, 12, bids=[(100, 2)]), delta(3, bids=[(100, 3)])):
        desk.book.handle_delta(repeated, desk.now)

    assert desk.kinds() == []
    assert desk.book.book.bids == {100: 8}


def test_a_diff_that_overlaps_is_applied_because_its_quantities_are_absolute() -> None:
    desk = Desk().live(10)
    desk.book.handle_delta(delta(8, 12, bids=[(100, 8)]), desk.now)

    assert desk.book.update_id == 12


def test_a_crossed_book_is_never_served() -> None:
    desk = Desk().live(10)
    desk.kinds()
    desk.book.handle_delta(delta(11, bids=[(101, 1)]), desk.now)

    assert desk.kinds() == [RowKind.BOOK_STATE]
    assert desk.book.last_break is SyncEvent.CROSSED


def test_a_crossed_snapshot_is_never_served() -> None:
    desk = Desk()
    desk.book.handle_delta(delta(10), desk.now)
    desk.book.handle_snapshot(desk.ask(), snapshot(10, [(102, 1)], [(101, 1)]), desk.now)

    assert desk.state() is BookState.SYNCING
    assert not desk.rows.kind


def test_deleting_an_unknown_level_is_normal() -> None:
    desk = Desk().live(10)
    desk.book.handle_delta(delta(11, bids=[(50, 0)]), desk.now)

    assert desk.state() is BookState.LIVE


@pytest.mark.parametrize("bbo_first", [True, False])
def test_a_best_bid_and_offer_that_differs_at_the_same_id_is_a_gap(bbo_first: bool) -> None:
    desk = Desk().live(10)
    wrong, change = bbo(11, bid_qty=6), delta(11, asks=[(120, 1)])
    if bbo_first:
        desk.book.handle_bbo(wrong, desk.now)
        desk.book.handle_delta(change, desk.now)
    else:
        desk.book.handle_delta(change, desk.now)
        desk.book.handle_bbo(wrong, desk.now)

    assert desk.state() is BookState.GAP
    assert desk.book.last_break is SyncEvent.BBO_MISMATCH
    assert desk.book.bbo_checks == 1


def test_a_snapshot_that_contradicts_the_best_bid_and_offer_is_not_served() -> None:
    desk = Desk()
    desk.book.handle_delta(delta(10), desk.now)
    desk.book.handle_bbo(bbo(10, bid_qty=77), desk.now)
    desk.book.handle_snapshot(desk.ask(), snapshot(10), desk.now)

    assert desk.state() is BookState.SYNCING


def test_the_newest_of_both_sources_is_the_touch() -> None:
    desk = Desk().live(10)
    desk.book.handle_bbo(bbo(13, bid_qty=9), desk.now)
    desk.book.handle_delta(delta(11, bids=[(100, 6)]), desk.now)
    assert desk.book.touch == (100, 9, 101, 7)
    desk.book.handle_delta(delta(12, 14, bids=[(100, 2)]), desk.now)

    assert desk.book.touch == (100, 2, 101, 7)


def test_an_older_or_repeated_best_bid_and_offer_is_not_published() -> None:
    desk = Desk().live(10)
    desk.book.handle_bbo(bbo(12, bid_qty=9), desk.now)
    desk.kinds()
    for late in (bbo(12, bid_qty=1), bbo(11, bid_qty=2)):
        desk.book.handle_bbo(late, desk.now)

    assert desk.kinds() == []


def test_nothing_of_the_book_is_published_while_syncing() -> None:
    desk = Desk()
    desk.book.handle_bbo(bbo(5), desk.now)
    desk.book.handle_delta(delta(6, bids=[(100, 1)]), desk.now)

    assert desk.kinds() == []


def test_trades_are_published_in_every_state_once() -> None:
    desk = Desk()
    for trade_id in (5, 6, 6, 5, 9):
        desk.book.handle_trade(trade(trade_id), desk.now)

    assert [row.id for row in desk.rows.rows()] == [5, 6, 9]
    assert desk.book.trades_missed == 2


def test_trade_ids_may_restart_only_with_a_new_link() -> None:
    desk = Desk()
    desk.book.handle_trade(trade(500), desk.now)
    desk.book.handle_trade(trade(1), desk.now)
    desk.book.link_down(desk.now)
    desk.book.link_up(desk.now)
    desk.book.handle_trade(trade(1), desk.now)

    assert [row.id for row in desk.rows.rows()] == [500, 1]


def test_a_lost_link_is_a_gap_and_an_answer_from_before_is_ignored() -> None:
    desk = Desk()
    desk.book.handle_delta(delta(10), desk.now)
    token = desk.ask()
    desk.book.link_down(desk.now)
    desk.book.link_up(desk.now)
    desk.book.handle_snapshot(token, snapshot(10), desk.now)

    assert desk.state() is BookState.SYNCING


def test_an_answer_to_a_request_of_the_old_link_does_not_stand_for_the_new_one() -> None:
    desk = Desk()
    desk.book.handle_delta(delta(10), desk.now)
    old = desk.ask()
    desk.book.link_down(desk.now)
    desk.book.link_up(desk.now)
    desk.book.handle_delta(delta(12), desk.now)
    new = desk.ask()
    desk.book.handle_snapshot(old, snapshot(11), desk.now)
    assert desk.state() is BookState.SYNCING
    desk.book.handle_snapshot(new, snapshot(12), desk.now)

    assert desk.state() is BookState.LIVE


def test_what_waited_for_comparison_is_forgotten_with_the_book() -> None:
    desk = Desk().live(10)
    desk.book.handle_bbo(bbo(15), desk.now)
    desk.book.handle_delta(delta(20), desk.now)
    desk.now += 10 * S
    desk.book.handle_snapshot(desk.ask(), snapshot(20), desk.now)
    desk.book.check(desk.now, link_alive_ns=desk.now)

    assert desk.state() is BookState.LIVE


def test_a_best_bid_and_offer_from_before_the_book_is_not_published() -> None:
    desk = Desk().live(10)
    desk.book.handle_delta(delta(11, 12, bids=[(100, 2)]), desk.now)
    desk.kinds()
    desk.book.handle_bbo(bbo(11, bid_qty=5), desk.now)

    assert desk.kinds() == []
    assert desk.book.touch == (100, 2, 101, 7)


def test_no_snapshot_is_asked_for_without_a_link() -> None:
    desk = Desk().live(10)
    desk.book.link_down(desk.now)

    assert desk.state() is BookState.GAP
    assert not desk.book.wants_snapshot(desk.now + 100 * S)


def test_ids_may_begin_anew_after_a_new_link() -> None:
    desk = Desk().live(1_000_000)
    desk.book.handle_bbo(bbo(1_000_005, bid_qty=4), desk.now)
    desk.book.link_down(desk.now)
    desk.book.link_up(desk.now)
    desk.live(10)
    desk.book.handle_bbo(bbo(11, bid_qty=3), desk.now)

    assert desk.book.touch == (100, 3, 101, 7)


def test_an_unreadable_frame_is_a_gap() -> None:
    desk = Desk().live(10)
    desk.book.protocol_error(desk.now)

    assert desk.state() is BookState.GAP
    assert not desk.book.wants_snapshot(desk.now)


def test_a_failed_snapshot_waits_as_long_as_the_venue_says() -> None:
    desk = Desk()
    desk.book.handle_delta(delta(10), desk.now)
    desk.book.snapshot_failed(desk.ask(), desk.now, retry_after_ns=7 * S)

    assert not desk.book.wants_snapshot(desk.now + 6 * S)
    assert desk.book.wants_snapshot(desk.now + 7 * S)


def test_the_buffer_is_bounded_and_starts_afresh_when_full() -> None:
    desk = Desk()
    for update_id in range(1, MAX_BUFFERED_DELTAS + 3):
        desk.book.handle_delta(delta(update_id), desk.now)
    desk.book.handle_snapshot(desk.ask(), snapshot(MAX_BUFFERED_DELTAS - 5), desk.now)
    assert desk.state() is BookState.SYNCING
    desk.now += S
    desk.book.handle_snapshot(desk.ask(), snapshot(MAX_BUFFERED_DELTAS + 1), desk.now)

    assert desk.state() is BookState.LIVE
    assert desk.book.update_id == MAX_BUFFERED_DELTAS + 2


def test_a_silent_link_makes_the_book_stale_and_a_pong_brings_it_back() -> None:
    desk = Desk().live(10)
    desk.book.check(T0 + 4 * S, link_alive_ns=T0)
    assert (desk.state(), desk.book.stale_reason) == (BookState.STALE, StaleReason.LINK)
    desk.book.check(T0 + 5 * S, link_alive_ns=T0)
    assert desk.state() is BookState.STALE
    desk.book.check(T0 + 6 * S, link_alive_ns=T0 + 6 * S)

    assert desk.state() is BookState.LIVE


def test_a_quiet_market_on_a_living_link_stays_live_until_its_own_bound() -> None:
    desk = Desk().live(10)
    desk.book.check(T0 + 59 * S, link_alive_ns=T0 + 59 * S)
    assert desk.state() is BookState.LIVE
    desk.book.check(T0 + 61 * S, link_alive_ns=T0 + 61 * S)
    assert (desk.state(), desk.book.stale_reason) == (BookState.STALE, StaleReason.QUIET)
    desk.book.check(T0 + 62 * S, link_alive_ns=T0 + 62 * S)
    assert desk.state() is BookState.STALE
    desk.book.handle_delta(delta(11), T0 + 63 * S)

    assert desk.state() is BookState.LIVE


def test_diffs_behind_the_best_bid_and_offer_make_the_book_stale_and_only_diffs_bring_it_back() -> None:
    desk = Desk().live(10)
    desk.book.handle_bbo(bbo(12, bid_qty=9), T0)
    desk.book.check(T0 + 3 * S, link_alive_ns=T0 + 3 * S)
    assert (desk.state(), desk.book.stale_reason) == (BookState.STALE, StaleReason.LAG)
    desk.book.handle_trade(trade(1), T0 + 3 * S)
    desk.book.handle_delta(delta(11), T0 + 3 * S)
    assert desk.state() is BookState.STALE
    desk.book.handle_delta(delta(12, bids=[(100, 9)]), T0 + 3 * S)

    assert desk.state() is BookState.LIVE


def test_diffs_that_never_catch_up_are_given_up() -> None:
    desk = Desk().live(10)
    desk.book.handle_bbo(bbo(12), T0)
    desk.book.check(T0 + 3 * S, link_alive_ns=T0 + 3 * S)
    desk.book.check(T0 + 14 * S, link_alive_ns=T0 + 14 * S)

    assert desk.state() is BookState.GAP


def test_trades_on_a_book_that_does_not_move_make_it_stale() -> None:
    """The venue's count began anew, or it lost our subscription: trades alone kept a frozen book alive."""
    desk = Desk().live(1_000)
    for second in range(1, 5):
        now = T0 + second * S
        desk.book.handle_trade(trade(second), now)
        desk.book.handle_delta(delta(second), now)
        desk.book.handle_bbo(bbo(second), now)
        desk.book.check(now, link_alive_ns=now)

    assert (desk.state(), desk.book.stale_reason) == (BookState.STALE, StaleReason.LAG)


def test_a_count_that_began_anew_is_followed_after_the_resync() -> None:
    desk = Desk().live(1_000)
    desk.book.handle_bbo(bbo(1_000), T0)
    for second in range(1, 16):
        now = desk.now = T0 + second * S
        desk.book.handle_trade(trade(second), now)
        desk.book.handle_delta(delta(second), now)
        desk.book.check(now, link_alive_ns=now)
        if desk.book.wants_snapshot(now):
            desk.book.handle_snapshot(desk.ask(), snapshot(second), now)
    now = desk.now + S // 2
    desk.book.handle_delta(delta(16, bids=[(100, 7)]), now)
    desk.book.handle_bbo(bbo(16, bid_qty=7), now)

    assert desk.state() is BookState.LIVE
    assert desk.book.update_id == 16
    assert desk.book.gaps == 1


def test_a_trade_that_comes_after_its_own_diff_changes_nothing() -> None:
    desk = Desk().live(10)
    desk.book.handle_trade(trade(1), T0)
    desk.book.handle_trade(trade(2), T0)
    desk.book.check(T0 + 30 * S, link_alive_ns=T0 + 30 * S)

    assert desk.state() is BookState.LIVE


def test_a_trade_that_the_book_follows_in_time_changes_nothing() -> None:
    desk = Desk().live(10)
    for second in range(1, 10):
        now = T0 + second * S
        desk.book.handle_trade(trade(second), now)
        desk.book.check(now, link_alive_ns=now)
        desk.book.handle_delta(delta(10 + second), now + S // 2)

    assert desk.states() == [BookState.LIVE]


def test_readers_stay_in_step_through_a_stale_spell() -> None:
    desk = Desk().live(10)
    desk.book.handle_bbo(bbo(12, bid_qty=9), T0)
    desk.book.check(T0 + 3 * S, link_alive_ns=T0 + 3 * S)
    desk.book.handle_delta(delta(11, asks=[(130, 2)]), T0 + 3 * S)
    desk.book.handle_delta(delta(12, bids=[(100, 9)]), T0 + 3 * S)
    reader = RowReader()
    reader.fold(desk.rows)

    assert reader.book.bids == desk.book.book.bids
    assert reader.book.asks == desk.book.book.asks
    assert reader.states == [BookState.LIVE, BookState.STALE, BookState.LIVE]


def test_no_best_bid_and_offer_is_published_while_stale() -> None:
    desk = Desk().live(10)
    desk.book.handle_bbo(bbo(12), T0)
    desk.book.check(T0 + 3 * S, link_alive_ns=T0 + 3 * S)
    desk.kinds()
    desk.book.handle_bbo(bbo(14, bid_qty=1), T0 + 3 * S)
    desk.book.handle_delta(delta(11, bids=[(100, 2)]), T0 + 3 * S)

    assert desk.kinds() == [RowKind.BOOK_LEVEL]


def test_rules_set_to_zero_are_off() -> None:
    rules = BookRules(link_stale_ns=0, quiet_stale_ns=0, lag_stale_ns=0, lag_resync_ns=0)
    desk = Desk(rules)
    desk.now += 2 * S
    desk.live(10)
    desk.book.handle_bbo(bbo(15), desk.now)
    desk.book.check(desk.now + 10_000 * S, link_alive_ns=0)

    assert desk.state() is BookState.LIVE


def test_a_new_reader_gets_only_the_state_of_a_book_that_is_not_live() -> None:
    desk = Desk().live(10)
    live = desk.book.snapshot_rows(0, desk.now)
    desk.book.handle_delta(delta(12), desk.now)
    lost = desk.book.snapshot_rows(0, desk.now)

    assert [RowKind(kind) for kind in live.kind][-3:] == [RowKind.BOOK_STATE, RowKind.BBO, RowKind.BBO]
    assert [(row.kind, row.price) for row in lost.rows()] == [(RowKind.BOOK_STATE, BookState.GAP)]


def test_a_new_reader_gets_as_many_levels_as_it_asks_for() -> None:
    desk = Desk()
    desk.book.handle_delta(delta(10), desk.now)
    bids, asks = [(100 - i, 1) for i in range(9)], [(101 + i, 1) for i in range(9)]
    desk.book.handle_snapshot(desk.ask(), snapshot(10, bids, asks), desk.now)
    rows = desk.book.snapshot_rows(2, desk.now)

    assert [price for kind, price in zip(rows.kind, rows.price, strict=True) if kind == RowKind.SNAPSHOT_LEVEL] == [
        100, 99, 101, 102
    ]  # fmt: skip
