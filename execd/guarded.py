"""One filled entry and everything known about its protection."""

from __future__ import annotations

from dataclasses import dataclass, field
from decimal import Decimal
from enum import Enum

from execd.orders import Order
from tradebot.core.approvals import GRANT_OF_ENTRY, GrantTerms, ProtectionGrant

ZERO = Decimal(0)


class Watch(Enum):
    """What the second line is doing about one entry."""

    NORMAL = "normal"
    EMERGENCY = "emergency"
    """Cancel what rests, then close at the market within the bound."""


@dataclass(slots=True)
class Guarded:
    """One entry and what protects it. Amounts in base units."""

    entry: Order
    number: int = 0
    """Counts entries in the order in which they came."""
    grant: ProtectionGrant | None = None
    terms: GrantTerms | None = None
    """The opened grant."""
    open_qty: Decimal = ZERO
    """Filled, less base fees, less what was closed; >= 0 for both directions."""
    orders: list[Order] = field(default_factory=list)
    """Protecting orders that may still work, and emergency exits."""
    order_ids: list[str] = field(default_factory=list)
    """Every order that ever protected it."""
    watch: Watch = Watch.NORMAL
    frozen: bool = False
    """An exit is taking the protection down."""
    naked_since_ns: int = 0
    """0: protected, or nothing to protect."""
    breach_since_ns: int = 0
    next_try_ns: int = 0
    settle_until_ns: int = 0
    flat_since_ns: int = 0
    """When an order of a list was left over by its filled sibling: the venue takes it down by itself."""
    bound_by_free: bool = False
    """The venue said that the balance does not suffice: size the next order by the free balance."""
    written_off: set[str] = field(default_factory=set)
    """UNKNOWN orders that the venue's locked balance proves not to rest: others may take their place."""
    balance_asked_ns: int = 0
    retried: bool = False
    alarmed: bool = False
    dust_told: bool = False
    child_index: int = 0

    @property
    def strategy_id(self) -> str:
        return self.entry.facts.strategy_id

    @property
    def instrument_id(self) -> str:
        return self.entry.facts.terms.instrument_id

    @property
    def grant_key(self) -> str:
        """What riskd is asked to renew: the grant, or the one that never came."""
        return self.terms.grant_id if self.terms is not None else f"{GRANT_OF_ENTRY}{self.entry.id}"

    def live(self) -> list[Order]:
        """Return the protecting orders that are not terminal."""
        return [order for order in self.orders if order.working]
