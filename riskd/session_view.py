"""What riskd's parts must know of execd's session."""

from __future__ import annotations

from dataclasses import dataclass

from tradebot.core.accounts import VenueStatus


@dataclass(slots=True)
class SessionView:
    """The session, or that there is none."""

    session_id: str
    """Empty = no session."""
    statuses: dict[str, VenueStatus]
    build: str = ""
    """Build of that execd."""
    started_ns: int = 0
    """When that execd's process started; 0 = it did not say."""
