"""The `recorder` section."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from tradebot.runtime.config import ConfigModel


class RecorderConfig(ConfigModel):
    """Where rows go and how often."""

    database: Path | None = None
    """SQLite file. Absent: `<state>/db/tradebot.sqlite`."""
    flush_interval_ms: Annotated[int, Field(ge=10, le=10_000)] = 250
    """Longest wait of a row before it is written, milliseconds."""
    flush_rows: Annotated[int, Field(ge=1, le=100_000)] = 5_000
    """A batch is written early at this many rows."""
    book_interval_ms: Annotated[int, Field(ge=100, le=60_000)] = 1_000
    """At most one book snapshot per instrument in this time, milliseconds."""
    book_levels: Annotated[int, Field(ge=1, le=100)] = 10
    """Levels per side in a book snapshot."""
    pnl_interval_ms: Annotated[int, Field(ge=100, le=3_600_000)] = 1_000
    """Time between PnL snapshots, milliseconds."""
    required: bool = False
    """True: while the database cannot be written riskd adds nothing (hold RECORDER). False: trading goes on unrecorded;
    the journals of riskd and execd have all that counts.
    """
    synchronous: Literal["normal", "full"] = "normal"
    """SQLite's durability. Normal may lose the last batches in a power failure, never the database; streams are
    resumed then.
    """
