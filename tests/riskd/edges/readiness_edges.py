"""Checks of builds, limits, the venue's clock and its rate budget at their edges, and the size at CAUTIOUS."""

from __future__ import annotations

from typing import Any

from tests.riskd.edges.kit import add, edge, exit_of, holding, limited, raise_hold
from tests.riskd.kit import BTC, DEPLOYED, ETH, MS, SECOND, START_NS, Desk, make_test_limits
from tests.support.builders import make_instrument
from tradebot.core.approvals import ApprovalAnswer
from tradebot.core.levels import Scope, ScopeKind, TradingLevel

DAY = 86_400 * SECOND


def built(build: str) -> ApprovalAnswer:
    desk = Desk()
    desk.gate.session.build = build
    return desk.plain()


add("AUT-05", "the same build", None, lambda: built("build"))
add("AUT-05", "another build", "BUILD_MISMATCH", lambda: built("Build"))
add("AUT-05", "execd does not say", "CHECK_INPUT_MISSING", lambda: built(""))


@edge("AUT-05", "riskd does not know its own", "CHECK_INPUT_MISSING")
def _no_own_build() -> ApprovalAnswer:
    desk = Desk()
    desk.gate.decider.books.fleet.build = ""
    return desk.plain()


def at_venue(**status: Any) -> ApprovalAnswer:
    """Ask when the venue's side is so; limit 250 ms, 180 s; 70 %, 95 %."""
    desk = Desk()
    desk.venue(**status)
    return desk.plain()


for sign in (1, -1):
    off = sign * 250 * MS
    add("AUT-06", f"{sign:+} at the limit", None, lambda o=off: at_venue(clock_offset_ns=o, clock_error_ns=1))  # type: ignore[misc]
    add("AUT-06", f"{sign:+} above", "CLOCK_UNTRUSTED",
        lambda o=off, s=sign: at_venue(clock_offset_ns=o + s * 2, clock_error_ns=1))  # type: ignore[misc]  # fmt: skip
    add("AUT-06", f"{sign:+} as far as the measurement may be wrong", None,
        lambda o=off, s=sign: at_venue(clock_offset_ns=o + s * 40 * MS, clock_error_ns=40 * MS))  # type: ignore[misc]  # fmt: skip


def measured(age_ns: int) -> ApprovalAnswer:
    desk = Desk()
    desk.venue(clock_time_ns=desk.now_ns - age_ns)
    return desk.plain()


add("AUT-06", "measured 180 s ago", None, lambda: measured(180 * SECOND))
add("AUT-06", "measured longer ago", "CHECK_INPUT_MISSING", lambda: measured(180 * SECOND + 1))
add("AUT-06", "measured in the future", "CHECK_INPUT_MISSING", lambda: measured(-180 * SECOND - 1))
add("AUT-06", "measured as exactly as it must be", None, lambda: at_venue(clock_error_ns=250 * MS))
add("AUT-06", "measured too roughly to tell", "CHECK_INPUT_MISSING", lambda: at_venue(clock_error_ns=250 * MS + 1))
add("AUT-06", "never measured", "CHECK_INPUT_MISSING", lambda: at_venue(clock_error_ns=0))
add("AUT-07", "the file speaks of every check", None, lambda: Desk().plain())
add("AUT-07", "it forgot one", "LIMIT_UNDEFINED", lambda: Desk(limits=make_test_limits({"PTR-10": None})).plain())

add("RAT-03", "70 % for an entry", None, lambda: at_venue(rate_used_pct=70.0))
add("RAT-03", "more for an entry", "VENUE_RATE_BUDGET", lambda: at_venue(rate_used_pct=70.0001))
add("RAT-03", "not a number", "CHECK_INPUT_MISSING", lambda: at_venue(rate_used_pct=float("nan")))
add("RAT-03", "less than nothing", "CHECK_INPUT_MISSING", lambda: at_venue(rate_used_pct=-1.0))


def closing(used: float, **changes: Any) -> ApprovalAnswer:
    desk = holding()
    desk.venue(rate_used_pct=used, **changes)
    return exit_of(desk, "0.01")


add("RAT-03", "95 % for an exit", None, lambda: closing(95.0))
add("RAT-03", "more for an exit", "VENUE_RATE_BUDGET", lambda: closing(95.0001))
add("RAT-03", "what is not known forbids no exit", None, lambda: closing(float("nan")))


def silent(after_ns: int, *, leaving: bool = False) -> ApprovalAnswer:
    desk = holding() if leaving else Desk()
    desk.venue(quiet_until_ns=desk.now_ns + after_ns)
    return exit_of(desk, "0.01") if leaving else desk.plain()


add("RAT-03", "the venue asks for silence", "VENUE_RATE_BUDGET", lambda: silent(1))
add("RAT-03", "the silence is over", None, lambda: silent(0))
add("RAT-03", "an exit in the silence", None, lambda: silent(SECOND, leaving=True))


@edge("RAT-03", "the venue's state is not known", "CHECK_INPUT_MISSING")
def _no_status() -> ApprovalAnswer:
    desk = Desk()
    desk.gate.session.statuses.clear()
    return desk.plain()


TIER = "DEPLOYMENT_TIER_LIMIT"


def deployed(tier: str, qty: str, **order: Any) -> ApprovalAnswer:
    """Ask with a largest order value of 1,200 (12 % of 10,000) at a tier."""
    limits = {"SIZ-02": {"max_notional": 1200, "max_pct_of_equity": 20} | order}
    return Desk(limits=make_test_limits(limits | {"STA-08": {"status": "enforced", "tier": tier}})).plain(qty=qty)


for tier, at, above in (("0.01", "0.0002", "0.00021"), ("0.1", "0.002", "0.00201"), ("0.5", "0.01", "0.01001"),
                        ("1", "0.02", "0.02001")):  # fmt: skip
    add("STA-08", f"{tier} of it", None, lambda t=tier, q=at: deployed(t, q))  # type: ignore[misc]
    add("STA-08", f"a lot more than {tier} of it", TIER, lambda t=tier, q=above: deployed(t, q))  # type: ignore[misc]
add("STA-08", "a tenth of the share of equity", None, lambda: deployed("0.1", "0.001", max_pct_of_equity=6))
add("STA-08", "more than that", TIER, lambda: deployed("0.1", "0.00101", max_pct_of_equity=6))


@edge("STA-08", "the lowest tier where none is named", TIER)
def _lowest_tier() -> ApprovalAnswer:
    return Desk(limits=make_test_limits({"STA-08": {"status": "enforced"}})).plain(qty="0.001")


@edge("STA-08", "equity unknown", "CHECK_INPUT_MISSING")
def _tier_of_nothing() -> ApprovalAnswer:
    desk = Desk(limits=make_test_limits(DEPLOYED))
    desk.gate.state.portfolio.balances.clear()
    desk.gate.accountant.forget_equity()
    return desk.plain()


UNTESTED = "KILLSWITCH_UNTESTED"
DRILL = "manual:drill"


def drilled(age_ns: int | None, min_qty: str = "0.00001", **ask: Any) -> ApprovalAnswer:
    """Ask so long after the last drill (None = there was none); limit 24 h."""
    markets = (make_instrument(BTC, min_qty=min_qty), make_instrument(ETH))
    desk = Desk(limits=make_test_limits(DEPLOYED), instruments=markets)
    if age_ns is not None:
        desk.drilled(desk.now_ns - age_ns)
    desk.open_drill()
    return desk.plain(**ask)


add("STA-09", "drilled 24 h ago", None, lambda: drilled(DAY))
add("STA-09", "longer ago", UNTESTED, lambda: drilled(DAY + 1))
add("STA-09", "never", UNTESTED, lambda: drilled(None))
add("STA-09", "at no time", UNTESTED, lambda: drilled(START_NS))
add("STA-09", "in a near future", None, lambda: drilled(-DAY))
add("STA-09", "in a far future", UNTESTED, lambda: drilled(-DAY - 1))
# twice the minimum of 5 at 50,000 is 0.0002; one lot of 0.00001 more
add("STA-09", "the drill's own tiny order", None,
    lambda: drilled(None, strategy_id=DRILL, qty="0.00021", limit_price="50000"))  # fmt: skip
add("STA-09", "a drill's order that is not tiny", UNTESTED,
    lambda: drilled(None, strategy_id=DRILL, qty="0.00022", limit_price="50000"))  # fmt: skip
# of 1002 lots 1000 are left after 10 bps; one lot more
add("STA-09", "the drill's own least quantity", None, lambda: drilled(None, "0.01", strategy_id=DRILL, qty="0.01003"))
add("STA-09", "a drill's order above that", UNTESTED,
    lambda: drilled(None, "0.01", strategy_id=DRILL, qty="0.01004"))  # fmt: skip
add("STA-09", "another operator's tiny order", UNTESTED,
    lambda: drilled(None, strategy_id="manual:ana", qty="0.00021", limit_price="50000"))  # fmt: skip


@edge("STA-09", "the drill before this life", None)
def _drilled_before() -> ApprovalAnswer:
    desk = Desk(limits=make_test_limits(DEPLOYED))
    desk.drilled()
    desk.gate = desk.replayed()
    desk.gate.start("life2", desk.now_ns)
    desk.sequence = 0
    desk.hello()
    desk.quote(BTC, "59999.99", "60000.01")
    desk.account()
    desk.venue()
    return desk.plain()


def cautious(qty: str, level: TradingLevel | None = TradingLevel.CAUTIOUS) -> ApprovalAnswer:
    """Ask with a largest order value of 1,200; half of it at CAUTIOUS."""
    desk = limited("SIZ-02", max_notional=1200, max_pct_of_equity=20)
    if level is not None:
        raise_hold(desk, level, Scope(ScopeKind.STRATEGY, "s1"))
    return desk.plain(qty=qty)


add("SIZ-07", "half", None, lambda: cautious("0.01"))
add("SIZ-07", "one lot more", "CAUTIOUS_SIZE_LIMIT", lambda: cautious("0.01001"))
add("SIZ-07", "all of it at RUNNING", None, lambda: cautious("0.02", None))
