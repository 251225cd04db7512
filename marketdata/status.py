"""Figures of the daemon for status, metrics and people. Pure: the shell asks once a second and tells the time."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from tradebot.core.market import BookState

if TYPE_CHECKING:
    from marketdata.feed import FeedSource
    from marketdata.market import Market
    from marketdata.stream_client import LinkState

RATE_WINDOW_NS: Final = 5_000_000_000
MAX_RATE_POINTS: Final = 64


@dataclass(frozen=True, slots=True)
class Facts:
    """One reading."""

    version: str
    mode: str
    state: str
    """starting, ok, degraded or stopping."""
    summary: str
    started_time_ns: int
    time_ns: int
    items: dict[str, int]
    links: Sequence[LinkState]


class StatusBoard:
    """Collects what the daemon says about itself."""

    def __init__(
        self, market: Market, sources: Sequence[FeedSource], *, mode: str, version: str, now_ns: Callable[[], int]
    ) -> None:
        self.loaded = False
        """Instruments are known and may be served."""
        self.stopping = False
        self._market = market
        self._sources = sources
        self._mode = mode
        self._version = version
        self._now_ns = now_ns
        self._started_ns = now_ns()
        self._points: deque[tuple[int, int, int]] = deque(maxlen=MAX_RATE_POINTS)

    @property
    def frames(self) -> int:
        """Venue frames received since start."""
        return sum(source.frames for source in self._sources)

    def read(self) -> Facts:
        """Return the figures as of now."""
        now_ns = self._now_ns()
        links = [link for source in self._sources for link in source.links(now_ns)]
        problems = [f"link {link.venue} {link.state}" for link in links if link.state != "live"]
        problems += self._market.unhealthy()
        state = "stopping" if self.stopping else "starting" if not self.loaded else "degraded" if problems else "ok"
        return Facts(
            version=self._version,
            mode=self._mode,
            state=state,
            summary="" if state == "ok" else "; ".join(problems[:4]),
            started_time_ns=self._started_ns,
            time_ns=now_ns,
            items=self._items(now_ns),
            links=links,
        )

    def _items(self, now_ns: int) -> dict[str, int]:
        market = self._market
        books = market.books
        frame_rate, row_rate = self._rates(now_ns)
        return {
            "messages": self.frames,
            "messages_per_s": frame_rate,
            "rows": market.log.head_sequence,
            "rows_per_s": row_rate,
            "readers": market.publisher.readers,
            "slowest_reader_rows": market.publisher.slowest_backlog_rows,
            "event_lag_ms": max((lag_ms(book.progress_ns, book.event_time_ns) for book in books), default=0),
            "gaps": sum(book.gaps for book in books),
            "trades_missed": sum(book.trades_missed for book in books),
            "bbo_checks": sum(book.bbo_checks for book in books),
            "bbo_mismatches": sum(book.bbo_mismatches for book in books),
            "bad_frames": sum(source.bad_frames for source in self._sources),
            "books_live": sum(book.state is BookState.LIVE for book in books),
            "books": len(books),
        }

    def _rates(self, now_ns: int) -> tuple[int, int]:
        points = self._points
        points.append((now_ns, self.frames, self._market.log.head_sequence))
        while len(points) > 2 and now_ns - points[0][0] > RATE_WINDOW_NS:
            points.popleft()
        then_ns, frames, rows = points[0]
        elapsed_ns = now_ns - then_ns
        if elapsed_ns <= 0:
            return 0, 0
        return (
            (self.frames - frames) * 1_000_000_000 // elapsed_ns,
            (self._market.log.head_sequence - rows) * 1_000_000_000 // elapsed_ns,
        )


def lag_ms(progress_ns: int, event_time_ns: int) -> int:
    """Return receive time minus exchange time of the newest event, milliseconds; 0 before the first."""
    return (progress_ns - event_time_ns) // 1_000_000 if progress_ns and event_time_ns else 0
