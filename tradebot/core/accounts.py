"""Accounts and venue state as execd reports them to riskd."""

from __future__ import annotations

from decimal import Decimal
from typing import Final

from tradebot.core.values import value
from tradebot.core.wire_enum import WireEnum


@value(frozen=True, slots=True)
class Balance:
    """Balance of one asset; total = free + locked."""

    asset: str
    free: Decimal
    locked: Decimal

    @property
    def total(self) -> Decimal:
        """Everything that we own of it."""
        return self.free + self.locked


@value(frozen=True, slots=True)
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


class LedgerKind(WireEnum):
    """Why the venue's ledger moved an asset without a fill. Values are wire values."""

    FUNDING = 1
    """Funding of a perpetual position."""
    INTEREST = 2
    """On borrowed or lent assets."""
    REBATE = 3
    """Fee returned later: maker programs, referral, fee vouchers."""
    CHARGE = 4
    """Any other cost: liquidation fee, insurance, borrowing fee."""
    DEPOSIT = 5
    WITHDRAWAL = 6
    TRANSFER = 7
    """Between our own accounts."""
    CONVERSION = 8
    """One leg of a change of one asset into another without an order, e.g. dust into the venue's coin."""
    ADJUSTMENT = 9
    """The venue corrected a balance, or we cannot say what it was."""


TRANSFER_KINDS: Final = frozenset({LedgerKind.DEPOSIT, LedgerKind.WITHDRAWAL, LedgerKind.TRANSFER})
"""Neither profit nor loss: they move the baselines along."""


@value(frozen=True, slots=True)
class LedgerEntry:
    """One line of a venue's account ledger that is no fill and no fill's fee."""

    venue: str
    account: str
    entry_id: str
    """The venue's own id: the key for deduplication."""
    kind: LedgerKind
    asset: str
    amount: Decimal
    """Signed: > 0 received, < 0 paid."""
    event_time_ns: int
    instrument_id: str = ""
    """What it belongs to; empty for the account as a whole."""


@value(frozen=True, slots=True)
class MarginState:
    """A margin account as the venue computes it; amounts in `asset`."""

    venue: str
    account: str
    asset: str
    margin_balance: Decimal
    """Wallet balance plus unrealized PnL, as far as it counts as margin."""
    initial_margin: Decimal
    maintenance_margin: Decimal
    event_time_ns: int


@value(frozen=True, slots=True)
class PositionMargin:
    """The venue's own figures of one derivative position."""

    instrument_id: str
    leverage: Decimal
    """As set at the venue."""
    liquidation_price: Decimal | None
    """None = the venue gives none, e.g. fully covered."""
    maintenance_margin: Decimal
    """Settlement asset."""
    isolated: bool
    event_time_ns: int


@value(frozen=True, slots=True)
class VenueAlarm:
    """Something wrong at a venue that raises (or clears) a hold."""

    cause: str
    """E.g. FILL_ANOMALY, POSITION_MISMATCH, FOREIGN_ACTIVITY, RECOVERED_ORDER."""
    instrument_id: str = ""
    """Empty = whole venue."""
    detail: str = ""
    cleared: bool = False


@value(frozen=True, slots=True)
class VenueStatus:
    """State of one venue's private side (STA-03, RAT-03, AUT-06)."""

    venue: str
    account: str
    private_stream_live: bool
    reconciled_time_ns: int
    """Last complete reconciliation, 0 = never."""
    reconciling: bool
    unknown_client_order_ids: tuple[str, ...] = ()
    alarms: tuple[VenueAlarm, ...] = ()
    rate_used_pct: float = 0.0
    """Weight used in the venue's rate limit window."""
    clock_offset_ns: int = 0
    """The venue's clock minus ours."""
    clock_error_ns: int = 0
    """How far that may be wrong; 0 = never measured."""
    clock_time_ns: int = 0
    """When it was measured."""
    quiet_until_ns: int = 0
    """The venue asked for silence until then; 0 = it did not."""
    rules_time_ns: int = 0
    """When the venue's trading rules were read last; 0 = never."""
    rules_hash: str = ""
    """Of the rules as read then, `core.instruments.rules_hash`."""
    key_time_ns: int = 0
    """When the venue last told what the trading key may do; 0 = never."""
    key_moves_money: bool = False
    """Whether it may withdraw or transfer, as told then."""
    maintenance: bool = False
    """Whether the venue says that it is under maintenance."""
