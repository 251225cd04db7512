"""Section `execd` of the configuration, and the core's settings made from it."""

from __future__ import annotations

from decimal import Decimal
from typing import Annotated

from pydantic import Field

from execd.settings import BackstopSettings, DeskSettings, ProtectionSettings, UnknownSettings
from tradebot.runtime.config import CommonConfig, ConfigModel, JournalConfig

Milliseconds = Annotated[int, Field(ge=1, le=3_600_000)]
BasisPoints = Annotated[int, Field(ge=0, le=5_000)]
Amount = Annotated[Decimal, Field(gt=0)]


class BackstopConfig(ConfigModel):
    """Last caps before the wire (EXE-07), wider than riskd's limits by about half."""

    max_order_notional: Amount = Decimal(20_000)
    """Largest value of one entry, quote asset."""
    max_orders_per_s: Annotated[int, Field(ge=1, le=1_000_000)] = 50
    max_position_notional: Amount = Decimal(60_000)
    """Largest position value per instrument after an entry, quote asset."""


class UnknownConfig(ConfigModel):
    """When an order of unproven outcome is asked after, and when it counts as never placed."""

    query_at_ms: Annotated[tuple[Milliseconds, ...], Field(min_length=1)] = (500, 1000, 2000, 4000, 8000, 16000, 30000)
    repeat_ms: Milliseconds = 5_000
    margin_ms: Milliseconds = 15_000
    """After the request's own deadline, before a not-found counts."""
    proof_answers: Annotated[int, Field(ge=1, le=100)] = 5
    proof_spread_ms: Milliseconds = 20_000
    page_after_ms: Milliseconds = 60_000
    """Then riskd and the operator are told."""


class ProtectionConfig(ConfigModel):
    """How entries are protected."""

    max_stops_per_instrument: Annotated[int, Field(ge=1, le=1_000)] = 5
    """Orders with a trigger that the venue takes per market; entries beyond it are refused."""
    settle_ms: Milliseconds = 100
    """Wait for more fills of a working entry before its stop is placed or resized."""
    breach_bps: BasisPoints = 20
    """Best price so far beyond the stop: emergency exit at once."""
    breach_ms: Milliseconds = 2_000
    """Best price beyond the stop for so long: emergency exit."""
    retry_ms: Milliseconds = 1_000
    blocked_retry_ms: Milliseconds = 10_000
    retry_deadline_ms: Milliseconds = 5_000
    emergency_deadline_ms: Milliseconds = 15_000
    emergency_bound_bps: BasisPoints = 100


class ExecdConfig(ConfigModel):
    """What execd needs besides the common part."""

    journal: JournalConfig = JournalConfig()
    ask_deadline_ms: Milliseconds = 250
    """riskd's time to answer; then the ask is void."""
    cancel_entries_after_ms: Milliseconds = 3_000
    """riskd silent for so long: working entries are canceled."""
    market_bound_bps: BasisPoints = 20
    """MARKET intents become limit IOC orders at most so far beyond the opposite best."""
    quote_max_age_ms: Milliseconds = 2_000
    request_timeout_ms: Milliseconds = 3_000
    recv_window_ms: Annotated[int, Field(ge=100, le=60_000)] = 2_000
    """The venue drops requests that are older than this when they arrive."""
    exit_timeout_ms: Milliseconds = 5_000
    reconcile_ms: Milliseconds = 60_000
    backstop: BackstopConfig = BackstopConfig()
    unknown: UnknownConfig = UnknownConfig()
    protection: ProtectionConfig = ProtectionConfig()

    def desk_settings(self, common: CommonConfig) -> DeskSettings:
        """Return the numbers for the core."""
        return DeskSettings(
            environment=str(common.mode),
            accounts={name: venue.account for name, venue in common.venues.items()},
            ask_deadline_ms=self.ask_deadline_ms,
            cancel_entries_after_ms=self.cancel_entries_after_ms,
            market_bound_bps=self.market_bound_bps,
            quote_max_age_ms=self.quote_max_age_ms,
            request_timeout_ms=self.request_timeout_ms,
            recv_window_ms=self.recv_window_ms,
            exit_timeout_ms=self.exit_timeout_ms,
            reconcile_ms=self.reconcile_ms,
            dry_run=common.dry_run,
            unknown=UnknownSettings(**self.unknown.model_dump()),
            protection=ProtectionSettings(**self.protection.model_dump()),
            backstop=BackstopSettings(**self.backstop.model_dump()),
        )
