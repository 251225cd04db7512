"""One market: its book kept in sync, its best bid and offer, its trades, all as rows.

Rows go to the sink in the order of what happened. A book is served only while LIVE: on any doubt a BOOK_STATE row says
so, the levels are forgotten, and the next book rows are a whole new snapshot. While STALE the diffs go on, so that
readers stay in step, but no best bid and offer is published. The best bid and offer is the newest of the venue's own
message and the book, by update id; the two are compared where they carry the same id.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from enum import Enum
from typing import Final

from marketdata.rows import RowWriter, Touch
from marketdata.sync import DeltaBuffer, SyncEvent, next_state
from tradebot.core.books import Book
from tradebot.core.market import BUY_FLAG, SELL_FLAG, BookState, RowColumns
from tradebot.core.orders import Side
from tradebot.venues.api import BboEvent, BookDelta, BookSnapshot, TradeEvent

MAX_UNCONFIRMED_BBOS: Final = 4_096
"""Best bid and offer messages ahead of the book that are remembered for comparison."""
MIN_RESYNC_WAIT_NS: Final = 250_000_000
MAX_RESYNC_WAIT_NS: Final = 30_000_000_000
CALM_NS: Final = 60_000_000_000
"""A book that was LIVE for so long starts again with the shortest wait."""
MIN_TRADES_AHEAD: Final = 3
"""Trades on a book that does not change before it counts as lagging: one or two may come after their own diff."""
NO_TOUCH: Final[Touch] = (0, 0, 0, 0)


@dataclass(frozen=True, slots=True)
class BookRules:
    """When a book is no longer trusted. Durations in nanoseconds of receive time; 0 switches a rule off."""

    link_stale_ns: int = 3_000_000_000
    """Nothing at all arrived on the connection for so long, pongs included."""
    quiet_stale_ns: int = 0
    """The link lives, but this market's exchange time did not progress for so long."""
    lag_stale_ns: int = 2_000_000_000
    """The venue's best bid and offer is ahead of the book's diffs for so long, or trades are ahead of both."""
    lag_resync_ns: int = 10_000_000_000
    """A book that lags for so long after it became STALE is built anew."""
    first_delta_wait_ns: int = 1_000_000_000
    """Ask for the snapshot when the first diff has come, or after so long without one (quiet market)."""


class StaleReason(Enum):
    """Why a book is STALE; decides what counts as progress."""

    LINK = "link silent"
    QUIET = "no event"
    LAG = "diffs behind the best bid and offer, or both behind the trades"


class MarketBook:
    """See the module. Methods take `now_ns`, the receive time of what they are told."""

    def __init__(self, index: int, rules: BookRules, sink: RowColumns) -> None:
        self.index = index
        self.state = BookState.SYNCING
        self.book = Book()
        self.stale_reason: StaleReason | None = None
        self.last_break: SyncEvent | None = None
        """Why the book was last lost."""
        self.update_id = 0
        """Venue update id of the book."""
        self.event_time_ns = 0
        """Newest exchange time seen in any event of this market."""
        self.progress_ns = 0
        """When its exchange time, an update id or a trade id last went up."""
        self.book_receive_ns = 0
        """When the book last changed."""
        self.touch = NO_TOUCH
        """Best bid and offer as last published."""
        self.last_trade_price = 0
        """Ticks, 0 = none yet."""
        self.gaps = 0
        """Times the book was lost since start."""
        self.bbo_checks = 0
        """Comparisons with the venue's best bid and offer at the same update id."""
        self.bbo_mismatches = 0
        """Comparisons that failed."""
        self.trades_missed = 0
        """Public trades missing by their ids."""
        self._rules = rules
        self._write = RowWriter(index, sink)
        self._buffer = DeltaBuffer()
        self._unconfirmed: deque[tuple[BboEvent, int]] = deque(maxlen=MAX_UNCONFIRMED_BBOS)
        self._bbo: BboEvent | None = None
        self._traded_ns = 0
        """First trade since the book last changed: a trade takes liquidity, so a change must follow."""
        self._trades_ahead = 0
        """Trades since then."""
        self._last_trade_id = 0
        self._trade_ids_may_restart = True
        self._link_up_ns: int | None = None
        self._snapshot_token = 0
        self._snapshot_pending = False
        self._snapshot_not_before_ns = 0
        self._resync_wait_ns = 0
        self._live_since_ns = 0
        self._stale_since_ns = 0

    # --- link ---------------------------------------------------------------------------------------------------

    def use_sink(self, sink: RowColumns) -> None:
        """Write further rows to another list; the publisher changes it when one is full."""
        self._write.rows = sink

    def link_up(self, now_ns: int) -> None:
        """The market's streams are delivered from now on."""
        self._link_up_ns = now_ns
        self._forget_snapshot_request()
        self._buffer.clear()
        self._bbo = None  # ids may begin anew after a restart of the venue
        self._trade_ids_may_restart = True

    def link_down(self, now_ns: int) -> None:
        """The connection is gone; whatever was in flight is lost."""
        self._link_up_ns = None
        self._forget_snapshot_request()
        self._buffer.clear()
        self._break(SyncEvent.LINK_DOWN, now_ns)

    def protocol_error(self, now_ns: int) -> None:
        """A frame of this market could not be read: something is missing."""
        self._forget_snapshot_request()
        self._buffer.clear()
        self._break(SyncEvent.PROTOCOL_ERROR, now_ns)
        self._wait_before_next_snapshot(now_ns)

    # --- snapshots ----------------------------------------------------------------------------------------------

    def wants_snapshot(self, now_ns: int) -> bool:
        """Return whether a snapshot should be asked for now."""
        if self.state in (BookState.LIVE, BookState.STALE) or self._snapshot_pending or self._link_up_ns is None:
            return False
        if now_ns < self._snapshot_not_before_ns:
            return False
        return len(self._buffer) > 0 or now_ns - self._link_up_ns >= self._rules.first_delta_wait_ns

    def snapshot_asked(self, now_ns: int) -> int:
        """Note that a snapshot is on its way; its answer is given back with the returned token."""
        self._move(SyncEvent.RESYNC, now_ns)
        self._snapshot_pending = True
        return self._snapshot_token

    def snapshot_failed(self, token: int, now_ns: int, retry_after_ns: int = 0) -> None:
        """The request failed; ask again after `retry_after_ns` or our own growing wait, whichever is longer."""
        if token == self._snapshot_token and self._snapshot_pending:
            self._snapshot_pending = False
            self._wait_before_next_snapshot(now_ns, retry_after_ns)

    def handle_snapshot(self, token: int, snapshot: BookSnapshot, now_ns: int) -> None:
        """Join a snapshot and the diffs received meanwhile; LIVE when nothing is missing between them."""
        if token != self._snapshot_token or not self._snapshot_pending:
            return
        self._snapshot_pending = False
        deltas = self._buffer.after(snapshot.last_id)
        if deltas is None:  # older than the stream's first diff
            self._wait_before_next_snapshot(now_ns)
            return
        self._apply(snapshot.bids, snapshot.asks, snapshot.last_id)
        for delta in deltas:
            self._apply(delta.bids, delta.asks, delta.last_id)
        bbo = self._bbo
        if self.book.is_crossed or (bbo and bbo.update_id == self.update_id and not self._agrees_with(bbo)):
            self.book.clear()
            self._wait_before_next_snapshot(now_ns)
            return
        self._buffer.clear()
        self._live_since_ns = self.book_receive_ns = self.progress_ns = now_ns
        event_time_ns = self.event_time_ns or now_ns
        self._write.book(*self._levels(0), self.update_id, event_time_ns, now_ns)
        self._move(SyncEvent.BRIDGED, now_ns)
        if bbo is not None and bbo.update_id > self.update_id:
            self._unconfirmed.append((bbo, now_ns))
        self._publish_newest_touch(event_time_ns, now_ns)

    # --- events -------------------------------------------------------------------------------------------------

    def handle_delta(self, delta: BookDelta, now_ns: int) -> None:
        """Apply one diff, or keep it for the snapshot to come."""
        if self.state is BookState.SYNCING or self.state is BookState.GAP:
            if not self._buffer.add(delta):
                self._forget_snapshot_request()
            self._note_progress(delta.event_time_ns, now_ns)
            return
        _, first_id, last_id, event_time_ns, bids, asks = delta
        if last_id <= self.update_id:
            return
        if first_id > self.update_id + 1:
            self._break(SyncEvent.SEQUENCE_GAP, now_ns)
            self._buffer.add(delta)
            return
        self._apply(bids, asks, last_id)
        self._note_progress(event_time_ns, now_ns)
        if self.book.is_crossed:
            self._break(SyncEvent.CROSSED, now_ns)
            return
        if self._unconfirmed and not self._agrees_with_unconfirmed():
            self._break(SyncEvent.BBO_MISMATCH, now_ns)
            return
        self.book_receive_ns, self._trades_ahead = now_ns, 0
        self._write.changes(bids, asks, last_id, event_time_ns, now_ns)
        if self.state is BookState.STALE:
            self._recover(now_ns, caught_up=not self._unconfirmed)
        elif self._bbo is None or self._bbo.update_id <= last_id:
            touch = self.book.touch
            if touch != self.touch:
                self._publish_touch(touch, last_id, event_time_ns, now_ns)

    def handle_bbo(self, bbo: BboEvent, now_ns: int) -> None:
        """Publish the venue's best bid and offer when it is news, and hold the book against it."""
        last = self._bbo
        if last is not None and bbo.update_id <= last.update_id:
            return
        self._bbo = bbo
        self._note_progress(bbo.event_time_ns, now_ns)
        if self.state is BookState.SYNCING or self.state is BookState.GAP:
            return
        touch = bbo[2:6]
        if touch[0] >= touch[2] > 0:
            self._break(SyncEvent.CROSSED, now_ns)
            return
        if bbo.update_id > self.update_id:
            self._unconfirmed.append((bbo, now_ns))
        elif bbo.update_id == self.update_id and not self._agrees_with(bbo):
            self._break(SyncEvent.BBO_MISMATCH, now_ns)
            return
        if self.state is BookState.STALE:
            self._recover(now_ns, caught_up=False)
        elif bbo.update_id >= self.update_id and touch != self.touch:
            self._publish_touch(touch, bbo.update_id, bbo.event_time_ns or now_ns, now_ns)

    def handle_trade(self, trade: TradeEvent, now_ns: int) -> None:
        """Publish a public trade once; trades are facts whatever the state of the book."""
        missed = trade.trade_id - self._last_trade_id - 1
        if missed:
            if missed < 0 and not self._trade_ids_may_restart:
                return
            if missed > 0 and self._last_trade_id:
                self.trades_missed += missed
        self._trade_ids_may_restart = False
        self._last_trade_id = trade.trade_id
        self.last_trade_price = trade.price
        self._note_progress(trade.event_time_ns, now_ns)
        if self.state is BookState.STALE:
            self._recover(now_ns, caught_up=False)
        if self.state is BookState.LIVE:
            self._traded_ns = self._traded_ns if self._trades_ahead else now_ns
            self._trades_ahead += 1
        self._write.trade(trade, now_ns)

    # --- time ---------------------------------------------------------------------------------------------------

    def check(self, now_ns: int, link_alive_ns: int) -> None:
        """Judge progress; call a few times a second.

        Args:
            now_ns: Now.
            link_alive_ns: When the connection last delivered anything, pongs included.
        """
        if self.state is BookState.LIVE:
            reason = self._stale_cause(now_ns, link_alive_ns)
            if reason is not None:
                self.stale_reason = reason
                self._stale_since_ns = now_ns
                self._move(SyncEvent.NO_PROGRESS, now_ns)
        elif self.state is BookState.STALE:
            if self.stale_reason is StaleReason.LINK and self._stale_cause(now_ns, link_alive_ns) is None:
                self._recover(now_ns, caught_up=False)  # TCP is in order: a pong proves that nothing older is missing
            elif self.stale_reason is StaleReason.LAG and now_ns - self._stale_since_ns > self._rules.lag_resync_ns > 0:
                self._bbo = None  # its id may be of a count that the venue has begun anew
                self._break(SyncEvent.SEQUENCE_GAP, now_ns)

    def snapshot_rows(self, depth: int, now_ns: int) -> RowColumns:
        """Return the market as it stands, for a new reader: its state, and the book when it is LIVE.

        Args:
            depth: Levels per side; 0 = all.
            now_ns: Receive time of a state that no event has set yet.
        """
        write = RowWriter(self.index, RowColumns())
        event_time_ns = self.event_time_ns or now_ns
        live = self.state is BookState.LIVE
        if live:
            write.book(*self._levels(depth), self.update_id, event_time_ns, self.book_receive_ns)
        write.state(self.state, self.update_id, event_time_ns, now_ns)
        if live:
            bbo_id = self._bbo.update_id if self._bbo is not None else 0
            write.touch(self.touch, max(self.update_id, bbo_id), event_time_ns, self.progress_ns)
        return write.rows

    # --- inside -------------------------------------------------------------------------------------------------

    def _stale_cause(self, now_ns: int, link_alive_ns: int) -> StaleReason | None:
        rules = self._rules
        if now_ns - max(link_alive_ns, self.progress_ns) > rules.link_stale_ns > 0:
            return StaleReason.LINK
        if now_ns - self.progress_ns > rules.quiet_stale_ns > 0:
            return StaleReason.QUIET
        if self._unconfirmed and now_ns - self._unconfirmed[0][1] > rules.lag_stale_ns > 0:
            return StaleReason.LAG
        if self._trades_ahead >= MIN_TRADES_AHEAD and now_ns - self._traded_ns > rules.lag_stale_ns > 0:
            return StaleReason.LAG
        return None

    def _recover(self, now_ns: int, *, caught_up: bool) -> None:
        """STALE to LIVE, unless the diffs lag and have not caught up yet."""
        if self.stale_reason is StaleReason.LAG and not caught_up:
            return
        self.stale_reason = None
        self._move(SyncEvent.PROGRESS, now_ns)
        self._publish_newest_touch(self.event_time_ns or now_ns, now_ns)

    def _note_progress(self, event_time_ns: int, now_ns: int) -> None:
        self.progress_ns = now_ns
        if event_time_ns > self.event_time_ns:
            self.event_time_ns = event_time_ns

    def _apply(self, bids: list[tuple[int, int]], asks: list[tuple[int, int]], update_id: int) -> None:
        set_level = self.book.set_level
        for price, qty in bids:
            set_level(BUY_FLAG, price, qty)
        for price, qty in asks:
            set_level(SELL_FLAG, price, qty)
        self.update_id = update_id

    def _agrees_with(self, bbo: BboEvent) -> bool:
        self.bbo_checks += 1
        if bbo[2:6] == self.book.touch:
            return True
        self.bbo_mismatches += 1
        return False

    def _agrees_with_unconfirmed(self) -> bool:
        """Drop the messages the book has caught up with; compare the one with the same id."""
        unconfirmed, update_id = self._unconfirmed, self.update_id
        while unconfirmed and unconfirmed[0][0].update_id <= update_id:
            bbo, _ = unconfirmed.popleft()
            if bbo.update_id == update_id:
                return self._agrees_with(bbo)
        return True

    def _break(self, event: SyncEvent, now_ns: int) -> None:
        """The book is no longer proven: forget it, say so, and start again."""
        if self.state in (BookState.LIVE, BookState.STALE):
            self.gaps += 1
            self.last_break = event
            if now_ns - self._live_since_ns >= CALM_NS:
                self._resync_wait_ns = 0
            self._snapshot_not_before_ns = now_ns + self._resync_wait_ns
            self._resync_wait_ns = _longer(self._resync_wait_ns)
        self.book.clear()
        self._unconfirmed.clear()
        self._trades_ahead = 0
        self.stale_reason = None
        self.touch = NO_TOUCH
        self._move(event, now_ns)

    def _move(self, event: SyncEvent, now_ns: int) -> None:
        state = next_state(self.state, event)
        if state is not self.state:
            self.state = state
            self._write.state(state, self.update_id, self.event_time_ns or now_ns, now_ns)

    def _forget_snapshot_request(self) -> None:
        """An answer still on its way says nothing about what comes now."""
        self._snapshot_token += 1
        self._snapshot_pending = False

    def _wait_before_next_snapshot(self, now_ns: int, retry_after_ns: int = 0) -> None:
        self._resync_wait_ns = _longer(self._resync_wait_ns)
        self._snapshot_not_before_ns = now_ns + max(self._resync_wait_ns, retry_after_ns)

    def _publish_newest_touch(self, event_time_ns: int, now_ns: int) -> None:
        bbo = self._bbo
        if bbo is not None and bbo.update_id > self.update_id:
            self._publish_touch(bbo[2:6], bbo.update_id, event_time_ns, now_ns)
        else:
            self._publish_touch(self.book.touch, self.update_id, event_time_ns, now_ns)

    def _publish_touch(self, touch: Touch, update_id: int, event_time_ns: int, now_ns: int) -> None:
        self.touch = touch
        self._write.touch(touch, update_id, event_time_ns, now_ns)

    def _levels(self, depth: int) -> tuple[list[tuple[int, int]], list[tuple[int, int]]]:
        book = self.book
        return book.top(Side.BUY, depth or len(book.bids)), book.top(Side.SELL, depth or len(book.asks))


def _longer(wait_ns: int) -> int:
    return min(max(wait_ns * 2, MIN_RESYNC_WAIT_NS), MAX_RESYNC_WAIT_NS)
