"""Settings of the core: plain numbers, made from the configuration by `execd.config`."""

from __future__ import annotations

from dataclasses import dataclass, field
from decimal import Decimal

NS_PER_MS = 1_000_000
NS_PER_S = 1_000_000_000


@dataclass(frozen=True, slots=True)
class BackstopSettings:
    """Last caps before the wire, wider than riskd's (EXE-07). They catch a broken riskd, they do not size anything."""

    max_order_notional: Decimal = Decimal(20_000)
    """Quote asset."""
    max_orders_per_s: int = 50
    max_position_notional: Decimal = Decimal(60_000)
    """Quote asset, per instrument, entries only."""


@dataclass(frozen=True, slots=True)
class UnknownSettings:
    """When an order of unproven outcome is queried and when it is concluded never to have reached the venue."""

    query_at_ms: tuple[int, ...] = (500, 1_000, 2_000, 4_000, 8_000, 16_000, 30_000)
    """After the outcome became unknown."""
    repeat_ms: int = 5_000
    """Afterwards."""
    margin_ms: int = 15_000
    """Beyond the request's own deadline before a not-found counts."""
    proof_answers: int = 5
    proof_spread_ms: int = 20_000
    """Between the first and the last counting answer."""
    page_after_ms: int = 60_000
    """Then an operator is told."""


@dataclass(frozen=True, slots=True)
class ProtectionSettings:
    """How positions are protected."""

    max_stops_per_instrument: int = 5
    """The venue takes so many orders with a trigger per market; an entry beyond it could not be protected."""
    settle_ms: int = 100
    """Wait for more fills of a working entry before its stop is placed or resized."""
    breach_bps: int = 20
    """The best price this far beyond the stop: emergency exit at once."""
    breach_ms: int = 2_000
    """The best price beyond the stop for so long: emergency exit."""
    retry_ms: int = 1_000
    """Between attempts after a refusal of the venue."""
    blocked_retry_ms: int = 10_000
    """Between attempts after our own gateway refused: the reason seldom goes away by itself."""
    retry_deadline_ms: int = 5_000
    """Unprotected for so long: whatever hangs is canceled and tried again (PTR-06)."""
    emergency_deadline_ms: int = 15_000
    """Unprotected for so long: emergency exit (PTR-06)."""
    emergency_bound_bps: int = 100
    """Used when the grant names no bound."""
    renew_before_ms: int = 7_200_000
    """A grant that ends sooner is renewed."""


@dataclass(frozen=True, slots=True)
class DeskSettings:
    """Everything that the core needs to be told once."""

    environment: str
    accounts: dict[str, str]
    """Venue -> account name."""
    ask_deadline_ms: int = 250
    ping_ms: int = 250
    max_lease_ms: int = 1_000
    cancel_entries_after_ms: int = 3_000
    """Without an answered lease ping for so long, working entries are canceled."""
    market_bound_bps: int = 20
    """MARKET intents become limit IOC orders at most so far beyond the opposite best."""
    quote_max_age_ms: int = 2_000
    """A quote older than this does not price an entry."""
    request_timeout_ms: int = 3_000
    recv_window_ms: int = 2_000
    exit_timeout_ms: int = 5_000
    """An exit whose protection cannot be taken down in this time is given up and protected again."""
    free_wait_ms: int = 300
    """Wait for the venue to report the balance that a canceled stop set free."""
    reconcile_ms: int = 60_000
    reconcile_overlap_ms: int = 600_000
    reconcile_retry_ms: int = 1_000
    mismatch_reread_ms: int = 2_000
    clock_sample_ms: int = 60_000
    intent_window: int = 100_000
    """Intent ids remembered."""
    dry_run: bool = False
    journaled: bool = True
    """False: nobody will restore this desk, so its records are numbered but empty."""
    unknown: UnknownSettings = field(default_factory=UnknownSettings)
    protection: ProtectionSettings = field(default_factory=ProtectionSettings)
    backstop: BackstopSettings = field(default_factory=BackstopSettings)
