"""The check catalogue: one table that drives the code, the limits schema, docs/risk-checks.md and the tests.

A row says what a check is, who runs it, for which asks, and what may refuse. Rows stand in the order in which checks
run and violations are reported.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Final

from riskd.articles import Articles, articles_of


class Owner(Enum):
    """Who runs a check."""

    RISKD = "riskd, before the wire"
    EXECD = "execd, after approval"
    POST_TRADE = "riskd, after the trade"


class Unit(Enum):
    """How limit and measured value are shown; both travel as ints."""

    NONE = ""
    COUNT = "n"
    LEVEL = "level"
    MS = "ms"
    UNITS = "units"
    """1e-12 of base, quote or price."""
    PPM = "ppm"
    """Shown as percent."""
    BPS = "bps"
    """Hundreds of ppm, shown as bps."""


class Severity(Enum):
    """What a violation does."""

    HARD = "refuses"
    SOFT = "makes smaller or warns"
    HOLD = "raises a hold"


@dataclass(frozen=True, slots=True)
class CheckSpec:
    """One row."""

    check_id: str
    name: str
    """Standard name of the field."""
    definition: str
    """One line, as on the docs page."""
    reasons: tuple[str, ...]
    """Stable reason codes that it may give besides CHECK_INPUT_MISSING, LIMIT_UNDEFINED and CHECK_ERROR."""
    scope: str
    default: str
    """Default limit as text."""
    parent: bool = False
    """Runs when a parent (an intent as a whole) is asked."""
    order: bool = False
    """Runs for each venue message."""
    reducing: bool = False
    """Runs for orders that only reduce; everything else is skipped for them: what is broken may not forbid closing."""
    severity: Severity = Severity.HARD
    owner: Owner = Owner.RISKD
    unit: Unit = Unit.NONE

    @property
    def family(self) -> str:
        """Letters before the dash."""
        return self.check_id[:3]

    @property
    def articles(self) -> Articles:
        """What published obligations it answers."""
        return articles_of(self.check_id)

    @property
    def mandatory(self) -> bool:
        """Whether no limits file may say not_applicable."""
        return self.check_id in MANDATORY

    @property
    def asked(self) -> bool:
        """Whether riskd asks it of orders."""
        return self.parent or self.order

    @property
    def watched(self) -> bool:
        """Whether riskd looks at it all the time instead."""
        return self.configurable and not self.asked

    @property
    def configurable(self) -> bool:
        """Whether the limits file must say enforced or not_applicable."""
        return self.owner is not Owner.EXECD


COMMON_REASONS: Final = ("CHECK_INPUT_MISSING", "LIMIT_UNDEFINED", "CHECK_ERROR")
"""Any check may give these: fail closed."""
SKIPPED_REDUCING: Final = "NOT_RUN_FOR_REDUCING_ORDERS"
SKIPPED_STAGE_PARENT: Final = "RUN_WITH_THE_PARENT"
SKIPPED_STAGE_ORDER: Final = "RUN_WITH_EACH_ORDER"
SKIPPED_WATCHED: Final = "WATCHED_ALL_THE_TIME"
"""The account is watched, not the order: a breach raises a hold, and STA-01 refuses."""

FAMILIES: Final = {
    "AUT": "Authenticity and freshness",
    "STA": "State and permission",
    "MKT": "Market data reasonability",
    "SPC": "Order specification",
    "PRC": "Price protection",
    "SIZ": "Size",
    "POS": "Position and exposure",
    "RAT": "Rates and repetition",
    "PNL": "Loss controls",
    "EXE": "Re-checks in execd, between approval and the wire",
    "PTR": "Post-trade",
}

MANDATORY: Final = frozenset({
    "AUT-01", "AUT-02", "AUT-04", "AUT-07", "STA-01", "STA-02", "PRC-01", "SIZ-02", "SIZ-06", "POS-01", "POS-02",
    "POS-04", "RAT-01", "PNL-01", "PTR-02",
})  # fmt: skip
"""Checks that no product, venue or mode makes pointless: without one of them the level, the account's caps or the books
mean nothing, so that a limits file may widen their numbers and not switch them off.
"""

_SOFT, _HOLD = Severity.SOFT, Severity.HOLD
_POST = Owner.POST_TRADE


def _asked(
    check_id: str,
    name: str,
    definition: str,
    reasons: tuple[str, ...],
    scope: str,
    default: str,
    *,
    stages: str,
    reducing: bool = False,
    unit: Unit = Unit.NONE,
    severity: Severity = Severity.HARD,
) -> CheckSpec:
    """A row that orders are held against; `stages` holds P (parent) and O (order)."""
    return CheckSpec(
        check_id,
        name,
        definition,
        reasons,
        scope,
        default,
        parent="P" in stages,
        order="O" in stages,
        reducing=reducing,
        unit=unit,
        severity=severity,
    )


def _watched(
    check_id: str,
    name: str,
    definition: str,
    reasons: tuple[str, ...],
    scope: str,
    default: str,
    *,
    owner: Owner = Owner.RISKD,
) -> CheckSpec:
    """A row that is asked of no order: it watches the account and raises a hold, which then refuses."""
    return CheckSpec(check_id, name, definition, reasons, scope, default, severity=_HOLD, owner=owner)


def _seen(
    check_id: str,
    name: str,
    definition: str,
    reasons: tuple[str, ...],
    scope: str,
    default: str,
) -> CheckSpec:
    """A row that is asked of no order: it judges what the eyes see at the venues, after the trade."""
    return CheckSpec(check_id, name, definition, reasons, scope, default, severity=_HOLD, owner=_POST)


def _gated(
    check_id: str,
    name: str,
    definition: str,
    reasons: tuple[str, ...],
    scope: str,
    default: str,
) -> CheckSpec:
    """A row that execd's gateway holds every order against; nothing switches it off."""
    return CheckSpec(check_id, name, definition, reasons, scope, default, owner=Owner.EXECD)


CATALOGUE: Final[tuple[CheckSpec, ...]] = (
    _asked("AUT-01", "schema validation", "every field decodes, is finite, fits 12 decimals; order and intent "
           "agree; a refusal names field and fix",
           ("MALFORMED_REQUEST",), "order", "-", stages="PO", reducing=True),
    _asked("AUT-02", "authorised sender",
           "the strategy is registered, `manual:drill` enters in a drill only; a riskd reduce names an open command",
           ("CALLER_NOT_AUTHORISED",), "strategy", "deny", stages="PO", reducing=True),
    _asked("AUT-03", "intent freshness", "-max_future <= now - created <= max_age (or the intent's own lifetime)",
           ("INTENT_STALE", "INTENT_FROM_FUTURE"), "order", "1500 ms, -250 ms", stages="P", unit=Unit.MS),
    _asked("AUT-04", "intent uniqueness", "intent id never seen; sequence rises per (strategy, incarnation); "
           "client order id never approved before", ("DUPLICATE_INTENT",), "order", "persistent", stages="PO",
           reducing=True),
    _asked("AUT-05", "build lockstep",
           "execd, engine, marketdata and recorder run riskd's build, as each tells when it connects; a refusal "
           "names who does not; the limits are riskd's alone", ("BUILD_MISMATCH",), "system", "equal", stages="PO"),
    _asked("AUT-06", "clock sanity",
           "|our clock - the venue's| - error of the measurement <= max; it is young, and its error <= max too",
           ("CLOCK_UNTRUSTED",), "venue", "250 ms", stages="PO", unit=Unit.MS),
    _asked("AUT-07", "limit completeness", "the limits file speaks of every check", ("LIMIT_UNDEFINED",), "system",
           "all", stages="P", unit=Unit.COUNT),
    _asked("STA-01", "trading-state gate", "the action is allowed at the highest level of all covering holds",
           ("TRADING_REDUCE_ONLY", "TRADING_PAUSED", "TRADING_HALTED", "TRADING_KILLED", "CAUTIOUS_FILTER"),
           "all scopes", "-",
           stages="PO", reducing=True, unit=Unit.LEVEL),
    _asked("STA-02", "reduce-only, quantity-aware", "opposite to the position, and q + working reducing orders <= |P|",
           ("NOT_REDUCING", "WOULD_FLIP_POSITION"), "instrument", "on for reducing orders", stages="PO", reducing=True,
           unit=Unit.UNITS),
    _asked("STA-03", "venue readiness",
           "private stream live, no maintenance; the ask and the last reconciliation are young enough, and not of the "
           "future", ("VENUE_UNAVAILABLE", "VENUE_MAINTENANCE", "STREAM_RECONCILING"), "venue", "90 s", stages="PO",
           unit=Unit.MS),
    _asked("STA-04", "instrument status", "the venue takes orders in this instrument", ("INSTRUMENT_NOT_TRADING",),
           "instrument", "-", stages="PO"),
    _asked("STA-05", "restricted list", "on the strategy's allow list and not on the deny list",
           ("INSTRUMENT_RESTRICTED",), "instrument", "allow list", stages="PO"),
    _asked("STA-06", "unknown-order freeze", "no UNKNOWN order on (venue, instrument); venue-wide from 3",
           ("UNRESOLVED_ORDER",), "instrument, venue", "0 / 3", stages="PO", unit=Unit.COUNT),
    _asked("STA-07", "warm-up", "riskd has seen a good book of it for so many seconds of the last five minutes",
           ("WARMING_UP",), "instrument", "60 s", stages="PO", unit=Unit.COUNT),
    _asked("STA-08", "deployment tier cap", "p x q <= tier x SIZ-02; the tier multiplies sizes, SIZ and POS caps too",
           ("DEPLOYMENT_TIER_LIMIT",), "system", "0.01 x", stages="P", unit=Unit.UNITS),
    _asked("STA-09", "kill-switch readiness", "age of the last drill that went through; a drill's own orders pass",
           ("KILLSWITCH_UNTESTED",), "system", "24 h", stages="PO", unit=Unit.MS),
    _asked("MKT-01", "book age", "|now - last book update| <= max", ("BOOK_STALE",), "instrument", "1500 ms",
           stages="PO", unit=Unit.MS),
    _asked("MKT-02", "book continuity", "the book is LIVE: sequence unbroken since its snapshot", ("BOOK_OUT_OF_SYNC",),
           "instrument", "0 gaps", stages="PO"),
    _asked("MKT-03", "crossed, locked or one-sided book", "both sides present and bid < ask",
           ("BOOK_CROSSED", "BOOK_ONE_SIDED"), "instrument", "-", stages="PO", unit=Unit.UNITS),
    _asked("MKT-04", "maximum spread", "(ask - bid) / mid; at CAUTIOUS 0.7 of the limit", ("SPREAD_TOO_WIDE",),
           "instrument", "30 bps", stages="PO", unit=Unit.BPS),
    _asked("MKT-05", "reference divergence",
           "|mid / median - 1| of mark, index and the same market at other venues, two of them at least",
           ("REFERENCE_DIVERGENCE",), "instrument", "100 bps", stages="PO", unit=Unit.BPS),
    _asked("MKT-06", "minimum depth", "opposite depth within 10 bps of the mid >= k x q, at CAUTIOUS 1.5 k; the depth "
           "is the best offer alone, riskd sees no more; riskd's own sizes are cut to it", ("INSUFFICIENT_DEPTH",),
           "instrument", "3 x", stages="PO", unit=Unit.UNITS),
    _asked("MKT-07", "volatility breaker", "|mid / mid a minute ago - 1| <= max(6 sigma, 300 bps); lasts 5 min",
           ("VOLATILITY_BREAKER",), "instrument", "300 bps", stages="P", unit=Unit.BPS, severity=_HOLD),
    _asked("SPC-01", "tick size", "price and trigger are multiples of the tick", ("PRICE_NOT_ON_TICK",), "order", "-",
           stages="PO", reducing=True, unit=Unit.UNITS),
    _asked("SPC-02", "lot step", "quantity is a multiple of the lot", ("QTY_NOT_ON_STEP",), "order", "-", stages="PO",
           reducing=True, unit=Unit.UNITS),
    _asked("SPC-03", "venue quantity range", "min <= q <= max", ("QTY_BELOW_MIN", "QTY_ABOVE_VENUE_MAX"), "order",
           "venue's filter", stages="PO", reducing=True, unit=Unit.UNITS),
    _asked("SPC-04", "venue notional range", "min <= p x q <= max", ("NOTIONAL_BELOW_MIN", "NOTIONAL_ABOVE_VENUE_MAX"),
           "order", "venue's filter", stages="PO", reducing=True, unit=Unit.UNITS),
    _asked("SPC-05", "order type, time in force, flags",
           "the combination is in the capability table; no raw market order; of a perpetual the leverage is known",
           ("UNSUPPORTED_ORDER_SPEC",), "order", "-", stages="PO", reducing=True),
    _asked("SPC-06", "client order id", "made by execd for this strategy; its form fits every venue",
           ("INVALID_CLIENT_ORDER_ID",), "order", "-", stages="O", reducing=True),
    _asked("SPC-07", "venue price band", "inside the venue's fixed prices and its multiples of the middle of the book; "
           "the multiples are not asked of reducing orders while no price is young enough",
           ("PRICE_OUTSIDE_VENUE_BAND",), "order", "venue's filter", stages="PO", reducing=True, unit=Unit.UNITS),
    _asked("SPC-08", "list integrity", "stop and target of an entry, or of a part of one, lie on their sides of its "
           "price by a tick, no target without a stop, and the venue takes there, and by an emergency exit, what a fee "
           "in base and a fill at the offer leave (side and id are the grant's)",
           ("ORDER_LIST_INVALID",), "list", "-", stages="PO", unit=Unit.UNITS),
    _asked("SPC-09", "expiry", "an entry that may rest is good till a date: now + 1 s <= date <= now + max; or, "
           "where the limits say so, execd cancels it after max; one that rests 5 s longer holds its instrument",
           ("EXPIRY_INVALID",), "order", "60 s", stages="PO", unit=Unit.MS),
    _asked("SPC-10", "rule-set age", "the venue's trading rules, as read last, are young and those that are in use",
           ("INSTRUMENT_RULES_STALE",), "venue", "1 h", stages="PO", unit=Unit.MS),
    _asked("PRC-01", "price collar, static", "buy p <= r(1+c), sell p >= r(1-c); far side bounded by far_multiple x c; "
           "reducing without a price that is young enough: r is the last good one, else the entry price, and c 50 %; "
           "a reducing order with a trigger: r is that; the trigger of an entry lies there as its limit does",
           ("PRICE_COLLAR",), "order", "50 bps, reducing 300 bps", stages="PO", reducing=True, unit=Unit.UNITS),
    _asked("PRC-02", "price collar, over time", "|mid / mean mid of 5 min - 1|", ("PRICE_COLLAR_DYNAMIC",),
           "instrument", "250 bps", stages="PO", unit=Unit.BPS),
    _asked("PRC-03", "expected slippage", "price of q against the mid at worst: the best offer for what lies there, "
           "the limit for the rest", ("SLIPPAGE_LIMIT",), "order", "20 bps", stages="PO", unit=Unit.BPS),
    _asked("PRC-04", "no unprotected market order", "a market intent is a limit near the touch that does not rest",
           ("MARKET_ORDER_FORBIDDEN",), "order", "100 bps", stages="PO", unit=Unit.BPS),
    _asked("PRC-05", "mandatory stop", "an entry carries a stop within distance", ("STOP_MISSING",
           "STOP_DISTANCE_INVALID"),
           "order", "20 .. 500 bps", stages="P", unit=Unit.BPS),
    _asked("PRC-06", "liquidation distance",
           "|p - liquidation| >= k |p - stop| for perpetuals with a stop; liquidation of the position after the fill, "
           "all else at its margin", ("LIQUIDATION_TOO_CLOSE",), "order", "2 x", stages="P", unit=Unit.UNITS),
    _asked("PRC-07", "post-only would take", "post-only price crosses the book", ("POST_ONLY_WOULD_CROSS",), "order",
           "-", stages="PO", unit=Unit.UNITS),
    _asked("PRC-08", "edge covers cost", "expected edge of the intent >= k x (taker fees both ways + half the spread, "
           "or what PRC-03 measures where that is more)", ("EDGE_BELOW_COST",), "order", "1 x", stages="P",
           unit=Unit.PPM),
    _asked("SIZ-01", "maximum order quantity (fat finger)",
           "q <= max of the instrument, and where the limits name a share of the volume of 1 min <= that, too",
           ("ORDER_QTY_LIMIT",), "order", "per instrument; 5 %", stages="PO", unit=Unit.UNITS),
    _asked("SIZ-02", "maximum order value", "p x q <= x % of equity and <= an absolute cap", ("ORDER_NOTIONAL_LIMIT",),
           "order", "5 % E", stages="P", unit=Unit.UNITS),
    _asked("SIZ-03", "risk per trade", "q |p - stop| + costs <= x % of equity; without a stop q p",
           ("TRADE_RISK_LIMIT",), "order",
           "0.5 % E", stages="P", unit=Unit.UNITS),
    _asked("SIZ-04", "participation", "q / volume of 1 min, of which riskd's paced stream shows a lower bound; "
           "riskd's own sizes are cut to it", ("PARTICIPATION_LIMIT",), "order", "10 %", stages="PO", unit=Unit.UNITS),
    _asked("SIZ-05", "size outlier", "q / median of the last 100; soft, then hard", ("ORDER_SIZE_OUTLIER",),
           "strategy", "5 x / 10 x", stages="P", unit=Unit.UNITS),
    _asked("SIZ-06", "parent-child conservation", "filled + working + UNKNOWN + new <= parent, parent open",
           ("CHILD_EXCEEDS_PARENT",), "order", "0 excess", stages="O", reducing=True, unit=Unit.UNITS),
    _asked("SIZ-07", "state size factor", "at CAUTIOUS p x q <= factor x SIZ-02; the factor cuts POS caps too",
           ("CAUTIOUS_SIZE_LIMIT",), "system", "0.5 x", stages="P", unit=Unit.UNITS),
    _asked("POS-01", "free balance with reservations",
           "total - committed >= p x q + fees (buy: quote; sell: base); perpetuals: "
           "balance + open result >= initial margin of all with it, worse side, + fee",
           ("INSUFFICIENT_FUNDS",), "venue", "0", stages="P", unit=Unit.UNITS),
    _asked("POS-02", "maximum position", "worst case |P| x price / E", ("POSITION_LIMIT",), "instrument",
           "12.5 % E (soft 10)", stages="P", unit=Unit.UNITS),
    _asked("POS-03", "open positions", "count with pending entries", ("OPEN_POSITION_COUNT",), "portfolio", "8",
           stages="P", unit=Unit.COUNT),
    _asked("POS-04", "gross exposure", "sum of worst-case notionals / E", ("GROSS_EXPOSURE_LIMIT",), "portfolio",
           "150 % E (soft 100)", stages="P", unit=Unit.UNITS),
    _asked("POS-05", "net exposure",
           "|sum of signed worst-case notionals| / E, on the order's side; beta 1, as none is known",
           ("NET_EXPOSURE_LIMIT",), "portfolio", "80 % E (soft 60)", stages="P", unit=Unit.UNITS),
    _asked("POS-06", "concentration", "worst-case notional per base asset over all venues / E",
           ("CONCENTRATION_LIMIT",), "portfolio",
           "25 % E (soft 20)", stages="P", unit=Unit.UNITS),
    _asked("POS-07", "correlation cluster",
           "sum of worst-case notionals of instruments that move together / E; what drifts over: grace, then riskd "
           "reduces", ("CORRELATION_LIMIT",), "cluster", "50 % E (soft 40)", stages="P", unit=Unit.UNITS,
           severity=_HOLD),
    _asked("POS-08", "venue (counterparty) exposure",
           "equity that lies at the venue + worst-case notional of its derivatives / E (spot is in its equity)",
           ("VENUE_EXPOSURE_LIMIT",), "venue", "60 % E (soft 50)", stages="P", unit=Unit.UNITS),
    _asked("POS-09", "strategy allocation", "what the strategy holds, works and wants / its allocation",
           ("STRATEGY_ALLOCATION_LIMIT",), "strategy", "100 % (soft 90)", stages="P", unit=Unit.UNITS),
    _asked("POS-10", "leverage and margin",
           "worst-case notional of perpetuals / what carries them; initial margin and fee, and the venue's maintenance "
           "margin, of the same", ("LEVERAGE_LIMIT", "MARGIN_LIMIT"), "venue", "2 x; 60 %; 35 %", stages="P",
           unit=Unit.PPM),
    _asked("POS-11", "unexecuted order value", "sum of reserved and working entry notional",
           ("OPEN_ORDER_VALUE_LIMIT",),
           "portfolio",
           "20 % E", stages="P", unit=Unit.UNITS),
    _asked("POS-12", "portfolio heat", "sum of |P| |mark - stop|, of unfilled entries and new risk; without a stop all",
           ("PORTFOLIO_HEAT_LIMIT",), "portfolio", "3 % E", stages="P", unit=Unit.UNITS),
    _asked("POS-13", "stress loss", "all that is bought falls, or all that is sold rises, by the farthest shock of its "
           "direction, correlation 1, and closing pays half of a stressed spread; nothing hedges: any venue may be the "
           "one that is lost", ("STRESS_LOSS_LIMIT",), "portfolio", "12 % E (soft 8); 20 % either way", stages="P",
           unit=Unit.UNITS),
    _watched("POS-14", "holding time", "age of the position; grace, then riskd closes", ("HOLDING_TIME_LIMIT",),
             "instrument", "48 h (soft 24)"),
    _asked("RAT-01", "order rate", "token buckets per strategy and for the system", ("ORDER_RATE_LIMIT",),
           "strategy, system", "5/s, 60/min; 20/s", stages="O", unit=Unit.COUNT),
    _asked("RAT-02", "amend rate", "token bucket; cancels are never blocked", ("AMEND_RATE_LIMIT",), "strategy", "5/s",
           stages="O", unit=Unit.COUNT),
    _asked("RAT-03", "venue weight budget", "used <= share of the venue's limit; no entries while it asks for silence",
           ("VENUE_RATE_BUDGET",), "venue", "70 % / 95 %", stages="PO", reducing=True, unit=Unit.PPM),
    _asked("RAT-04", "order-to-trade ratio", "orders / trades in 1 h, after 50 orders; then CAUTIOUS",
           ("ORDER_TO_TRADE_RATIO",), "strategy", "100", stages="P", unit=Unit.COUNT, severity=_SOFT),
    _asked("RAT-05", "reject rate", "venue rejects per minute; then PAUSED", ("REJECT_RATE",), "strategy, venue",
           "5 / 10", stages="P", unit=Unit.COUNT, severity=_HOLD),
    _asked("RAT-06", "repeated automated execution",
           "entries on the same side of an instrument without human action; then HALTED, latched",
           ("REPEATED_EXECUTION_LIMIT",), "strategy", "20 / 10 min, 100 / day", stages="P", unit=Unit.COUNT,
           severity=_HOLD),
    _asked("RAT-07", "duplicate order", "same instrument, side, quantity, price as an approved entry within the window",
           ("DUPLICATE_ORDER",), "strategy", "1 s", stages="P", unit=Unit.MS),
    _asked("RAT-08", "working orders", "count per instrument and venue", ("WORKING_ORDER_LIMIT",), "instrument, venue",
           "4 / 50", stages="O", unit=Unit.COUNT),
    _asked("RAT-09", "self-trade", "price crosses our own working order", ("SELF_TRADE_RISK",), "venue", "-",
           stages="O", unit=Unit.UNITS),
    _asked("RAT-10", "turnover", "traded notional per day", ("TURNOVER_LIMIT",), "portfolio", "20 x E", stages="P",
           unit=Unit.UNITS),
    _asked("PNL-01", "daily loss pause", "(E - E0) / E0 <= x pauses, then CAUTIOUS", ("DAY_LOSS_PAUSE",), "system",
           "-2 %", stages="P", unit=Unit.PPM, severity=_HOLD),
    _watched("PNL-02", "daily loss halt", "day PnL, day loss or fall from the day's high; until the next UTC day",
             ("DAY_LOSS_HALT",), "system", "-4 %"),
    _watched("PNL-03", "weekly loss halt", "PnL since Monday 00:00 UTC", ("WEEK_LOSS_HALT",), "system", "-6 %"),
    _watched("PNL-04", "drawdown halt", "fall from the 30-day high", ("DRAWDOWN_HALT",), "system", "-10 %"),
    _watched("PNL-05", "loss velocity", "fall within 5 min", ("LOSS_VELOCITY",), "system", "-1 %"),
    _watched("PNL-06", "losing streak", "consecutive losing round trips, net of fees", ("LOSS_STREAK",), "strategy",
             "5 / 8"),
    _watched("PNL-07", "strategy day loss", "the strategy's day PnL / E0", ("STRATEGY_DAY_LOSS",), "strategy", "-1 %"),
    _watched("PNL-08", "execution quality", "paid beyond the mid / half spread, latest 20 entries; then CAUTIOUS",
             ("EXECUTION_QUALITY",), "strategy", "3 x"),
    _watched("PNL-09", "equity agreement", "|E ours - E venue| / E where a margin account tells its own, twice; PAUSED",
             ("EQUITY_MISMATCH",), "venue", "0.2 %"),
    _gated("EXE-01", "approval signature", "present, MAC valid, key id current",
           ("APPROVAL_MISSING", "APPROVAL_BAD_SIGNATURE"), "order", "-"),
    _gated("EXE-02", "approval age", "now <= sent + valid_for", ("APPROVAL_EXPIRED",), "order", "1500 ms"),
    _gated("EXE-03", "approval nonce", "never used before", ("APPROVAL_REPLAYED",), "order", "-"),
    _gated("EXE-04", "bytes equal terms", "the serialized request parses back to the approved terms",
           ("APPROVAL_DIGEST_MISMATCH",), "order", "-"),
    _gated("EXE-05", "fence", "epoch >= fence of all covering scopes", ("APPROVAL_EPOCH_STALE",), "all scopes", "-"),
    _gated("EXE-06", "lease", "fresh for risk-increasing orders", ("RISK_LEASE_EXPIRED",), "system", "1 s"),
    _gated("EXE-07", "backstop caps", "execd's own, looser caps", ("EXECD_BACKSTOP",), "system", "1.5 x"),
    _gated("EXE-08", "client order id reuse", "not sent before", ("CLIENT_ID_REUSED",), "order", "-"),
    _seen("PTR-01", "orders out = orders approved",
          "every order that the eyes see at a venue lies within an approval or grant; no look for too long: no entries",
          ("UNAPPROVED_ORDER", "EYES_SILENT"), "venue", "0; 60 s"),
    _watched("PTR-02", "fill sanity", "filled <= ordered, price within limit, side and instrument as ordered",
             ("FILL_ANOMALY",), "instrument", "0", owner=_POST),
    _seen("PTR-03", "position reconciliation",
          "|P ours - P venue| <= 1 step, in two looks 2 s apart; every fill is told in time", ("POSITION_MISMATCH",),
          "venue", "1 step; 60 s"),
    _seen("PTR-04", "balance reconciliation", "per asset against fills, fees, ledger and transfers, in two looks; all "
          "that nobody explains in two of execd's snapshots, which counts as no PnL", ("BALANCE_DRIFT",), "venue",
          "0.1 % or 1 step; 0.1 % of E"),
    _seen("PTR-05", "foreign activity", "an order whose id is not of our shape; where this is off, PTR-01 judges it",
          ("FOREIGN_ACTIVITY",), "instrument", "0"),
    _watched("PTR-06", "unprotected position", "a position that was granted a stop rests behind one for all of it; "
             "then no entries, then riskd closes it", ("UNPROTECTED_POSITION",), "instrument", "5 s / 15 s",
             owner=_POST),
    _watched("PTR-07", "dependency heartbeats", "marketdata, execd, recorder are heard; then no entries, then PAUSED",
             ("DEPENDENCY_DOWN",), "system", "2 s / 5 s", owner=_POST),
    _watched("PTR-08", "journal health", "free space, sync time p99 of a minute; a failed sync halts the next life",
             ("JOURNAL_UNAVAILABLE",), "system", "5 GiB, 250 ms", owner=_POST),
    _watched("PTR-09", "latency", "approval to venue acknowledgement, p99 of a minute; then CAUTIOUS",
             ("LATENCY_BREACH",), "system", "2 s", owner=_POST),
    _watched("PTR-10", "key permissions",
             "execd asks every hour: no withdraw or transfer right, bound to addresses, more than 7 days left; told "
             "within 3 h", ("KEY_OVERPRIVILEGED", "KEY_UNCHECKED", "KEY_UNBOUND", "KEY_EXPIRES"), "venue",
             "hourly; 7 days", owner=_POST),
)  # fmt: skip

SPEC_BY_ID: Final = {spec.check_id: spec for spec in CATALOGUE}
CONFIGURABLE_IDS: Final = tuple(spec.check_id for spec in CATALOGUE if spec.configurable)
