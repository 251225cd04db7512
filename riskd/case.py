"""One ask with everything that its checks look at, in units. Checks read it; nobody but the gate builds it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from riskd.exposure import Commitments, Parent
from riskd.exposure_sums import ExposureSums
from riskd.fleet import Fleet
from riskd.guard_book import GuardBook
from riskd.holds import Action
from riskd.marks import MarketBoard, MarketView
from riskd.open_risk import OpenRisk
from riskd.order_flow import OrderFlow
from riskd.portfolio import Portfolio
from riskd.rates import RateBuckets
from riskd.records import LossGuardState, ReduceIssued
from riskd.repetition import Repetition
from riskd.rules import InstrumentRule
from riskd.saga_book import SagaBook
from riskd.settings import Settings
from riskd.units import PPM
from tradebot.core.accounts import VenueStatus
from tradebot.core.approvals import ApproveOrder
from tradebot.core.intents import OrderIntent
from tradebot.core.levels import TradingLevel
from tradebot.core.orders import OrderRole, OrderTerms, Side


@dataclass(slots=True)
class Books:
    """What all cases look at."""

    settings: Settings
    portfolio: Portfolio
    commitments: Commitments
    board: MarketBoard
    rates: RateBuckets
    rules: dict[str, InstrumentRule]
    flow: OrderFlow
    open_risk: OpenRisk
    sums: ExposureSums
    fleet: Fleet
    """Which builds the daemons run."""
    rules_hashes: Mapping[str, str]
    """Venue -> hash over the trading rules in use."""
    kills: SagaBook
    """For the last drill of the kill switch."""


@dataclass(slots=True)
class Case:
    """One ask."""

    books: Books
    now_ns: int
    intent: OrderIntent | None
    order: ApproveOrder | None
    terms: OrderTerms
    """As it would be sent; quantity and price as in `qty` and `price` once they are known."""
    role: OrderRole
    side: Side
    strategy_id: str
    instrument_id: str
    venue: str
    action: Action
    level: TradingLevel
    """Highest level of all covering holds and the stop flag."""
    reducing: bool
    guards: GuardBook
    """Entries and losing exits, for the filters of CAUTIOUS."""
    repetition: Repetition
    registered: bool
    listed: bool
    """Whether the instrument is on the strategy's allow list."""
    problem: str = ""
    """What is malformed; empty = nothing."""
    duplicate: str = ""
    """What was seen before; empty = nothing."""
    rule: InstrumentRule | None = None
    view: MarketView | None = None
    venue_status: VenueStatus | None = None
    build: str = ""
    """Build of the execd that asks."""
    session_age_ns: int | None = None
    """How long the ask was on its way; None = it does not say when it was sent."""
    parent: Parent | None = None
    """The reserved parent of a message that is asked alone."""
    reduce: ReduceIssued | None = None
    equity: int | None = None
    """Units; None = an input is missing."""
    venue_equity: int | None = None
    """That part of it that lies at the order's venue."""
    day_ppm: int | None = None
    loss: LossGuardState | None = None
    qty: int = 0
    price: int = 0
    stop_price: int = 0
    stop_distance: int | None = None
    """Distance of the stop of an intent, or of the parent, as a share of its price, units; None = it has none."""
    target_distance: int | None = None
    """The same of its target."""
    expected_edge: int | None = None
    """Gain that an intent expects before costs, as a share of its price, units; None = it says nothing."""
    factor_ppm: int = PPM
    """Size factor of the deployment and the level."""
    value: int | None = None
    """Notional of the order in account currency, once it was needed."""
    exposure: int | None = None
    """Worst-case notional of this instrument with the order, once it was needed."""
    base_others: int | None = None
    """That part of `gross_others` whose base asset is this one's."""
    gross_others: int | None = None
    """Worst-case notional of all other instruments, once it was needed; None still = a price or rate is missing."""
    carried_beside: tuple[int, int] | None = None
    """(notional, initial margin) of the other perpetuals on the same balance, settlement asset, once it was needed."""
    open_others: int | None = None
    """How many other instruments are held or entered, once it was needed."""
