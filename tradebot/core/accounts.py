"""Accounts and venue state as execd reports them to riskd."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal


@dataclass(frozen=True, slots=True)
class Balance:
    """Balance of one asset; total = free + locked."""

    asset: str
    free: Decimal
    locked: Decimal

    @property
    def total(self) -> Decimal:
        """Everything that we own of it."""
        return self.free + self.locked


@dataclass(frozen=True, slots=True)
class AccountSnapshot:
    """Account as the venue reports it."""

    venue: str
    account: str
    balances: tuple[Balance, ...]
    complete: bool
    """True when balances holds every asset, False when only those that changed."""
    event_time_ns: int
    after_order_sequence: int
    """Order log sequence that these balances already contain, as far as execd knows."""
    transfer_asset: str = ""
    """Asset changed by a deposit, withdrawal or transfer; empty otherwise."""
    transfer_delta: Decimal = Decimal(0)


@dataclass(frozen=True, slots=True)
class VenueAlarm:
    """Something wrong at a venue that raises (or clears) a hold."""

    cause: str
    """E.g. FILL_ANOMALY, POSITION_MISMATCH, FOREIGN_ACTIVITY, RECOVERED_ORDER."""
    instrument_id: str = ""
    """Empty = whole venue."""
    detail: str = ""
    cleared: bool = False


@dataclass(frozen=True, slots=True)
class VenueStatus:
    """State of one venue's private side (STA-03)."""

    venue: str
    account: str
    private_stream_live: bool
    reconciled_time_ns: int
    """Last complete reconciliation, 0 = never."""
    reconciling: bool
    unknown_client_order_ids: tuple[str, ...] = ()
    alarms: tuple[VenueAlarm, ...] = ()
    rate_used_pct: float = 0.0
