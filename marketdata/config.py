"""The `marketdata` section. What is followed comes from `venues.<name>.symbols`."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from marketdata.book import BookRules
from tradebot.runtime.config import ConfigModel

_NS_PER_MS = 1_000_000


class MarketdataConfig(ConfigModel):
    """Market data daemon."""

    ws_client: Literal["picows", "websockets"] = "picows"
    """WebSocket library: picows costs a third of the CPU; websockets is the portable one."""
    book_depth: Annotated[int, Field(ge=5, le=5000)] = 1000
    """Levels per side asked of the venue for a book; levels further out are learned when they change."""
    kept_rows: Annotated[int, Field(ge=8_192, le=4_194_304)] = 131_072
    """Published rows kept for resuming readers; about 200 bytes each."""
    link_stale_ms: Annotated[int, Field(ge=0)] = 3_000
    """A book is STALE when its connection delivered nothing for so long, pongs included. 0 = never."""
    quiet_stale_ms: Annotated[int, Field(ge=0)] = 60_000
    """A book is STALE when its own market's exchange time did not progress for so long. 0 = never (quiet markets)."""
    lag_stale_ms: Annotated[int, Field(ge=0)] = 2_000
    """A book is STALE when the venue's best bid and offer is ahead of its diffs for so long. 0 = never."""
    lag_resync_ms: Annotated[int, Field(ge=0)] = 10_000
    """A book that stays behind for so long is built anew. 0 = never."""
    first_diff_wait_ms: Annotated[int, Field(ge=0)] = 1_000
    """Ask for the snapshot after the first diff, or after so long without one."""
    max_reconnect_ms: Annotated[int, Field(ge=100)] = 5_000
    """Longest wait before a lost connection is tried again; the venue's own limit of attempts holds besides."""
    rest_timeout_ms: Annotated[int, Field(ge=100)] = 5_000
    """Time allowed for one REST request."""
    rest_weight_share: Annotated[float, Field(gt=0, le=1)] = 0.5
    """Share of the venue's request budget that this daemon may use; execd uses the same address."""

    @property
    def book_rules(self) -> BookRules:
        """The same in nanoseconds."""
        return BookRules(
            link_stale_ns=self.link_stale_ms * _NS_PER_MS,
            quiet_stale_ns=self.quiet_stale_ms * _NS_PER_MS,
            lag_stale_ns=self.lag_stale_ms * _NS_PER_MS,
            lag_resync_ns=self.lag_resync_ms * _NS_PER_MS,
            first_delta_wait_ns=self.first_diff_wait_ms * _NS_PER_MS,
        )
