"""Which alarms there are: every condition that needs a person, read off the view. The worst come first."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from console.alarms import Condition
from console.staleness import Freshness
from console.stop_state import kill_sentence
from console.view import View
from tradebot.core.levels import Hold, ScopeKind, TradingLevel

UNPROTECTED_DELAY_S: Final = 5.0
"""Between an entry's fill and its stop resting at the venue."""
UI_LAG_ALARM_MS: Final = 250
BREAK_GLASS: Final = "tradebot down; then cancel at the venue's own site"
DEAD_EFFECT: Final = {
    "marketdata": "does not answer: no fresh prices, no new entries",
    "engine": "does not answer: no new signals; protection runs in execd",
    "riskd": "does not answer: no risk-increasing order leaves; money is not known",
    "execd": "does not answer: no order can be sent or canceled; stops rest at the venue",
    "recorder": "does not answer: nothing is recorded; trading goes on",
}
MISMATCH_CAUSES: Final = ("POSITION_MISMATCH", "BALANCE_DRIFT", "FILL_ANOMALY")


def conditions(view: View) -> Iterator[Condition]:
    """Yield everything that is wrong now; how long it has been so is the alarm book's business."""
    yield from _stop_conditions(view)
    if view.money.pnl is not None and (view.money.pnl.limit_used or 0.0) >= 1.0:
        yield Condition("day-loss", 1, "day loss limit reached", "h = holds; check that entries stopped")
    if view.orders.unknown:
        text = f"{view.orders.unknown} order{'s' if view.orders.unknown > 1 else ''} UNKNOWN: exposure stays reserved"
        yield Condition("unknown-orders", 2, text, "execd queries the venue; see orders", 2.0)
    for hold in view.level.holds:
        yield from _hold_condition(hold)
    # While everything is stopped, daemons say so; that is the stop, not a fault of its own.
    stopped = view.level.level is not None and view.level.level >= TradingLevel.HALTED
    for daemon in view.daemons:
        if daemon.freshness is Freshness.DEAD:
            yield Condition(
                f"dead-{daemon.daemon}", 2, f"{daemon.daemon} {DEAD_EFFECT[daemon.daemon]}", "tradebot status", 3.0
            )
        elif daemon.beat is not None and daemon.beat.state == "DEGRADED" and not stopped:
            text = f"{daemon.daemon} degraded: {daemon.beat.summary}"
            yield Condition(f"degraded-{daemon.daemon}", 3, text, "7 = system", 2.0)
    risk_dead = any(daemon.daemon == "riskd" and daemon.freshness is Freshness.DEAD for daemon in view.daemons)
    if view.risk_session_up is False and not risk_dead:
        yield Condition(
            "risk-session", 2, "execd has no risk session: only reducing orders leave", "tradebot status", 2.0
        )
    if not any(daemon.daemon == "marketdata" and daemon.freshness is Freshness.DEAD for daemon in view.daemons):
        for book in view.books:
            if book.freshness >= Freshness.STALE:
                state = book.book.state if book.book.state != "LIVE" else "stale"
                text = f"{book.book.instrument_id} book {state}: no new entries there"
                yield Condition(f"book-{book.book.instrument_id}", 2, text, "check the venue's status", 3.0)
    for link in view.links:
        if link.link.state == "down":
            text = f"{link.link.venue} {link.link.channel} connection down"
            yield Condition(f"link-{link.link.venue}-{link.link.channel}", 2, text, "check the venue's status", 3.0)
    for item in view.positions:
        if item.position.stop_price is None and item.freshness <= Freshness.LATE and not item.is_dust:
            text = f"{item.position.instrument_id} {item.position.strategy_id}: position without a resting stop"
            yield Condition(
                f"unprotected-{item.position.key}",
                2,
                text,
                "3 = positions; execd must place it",
                UNPROTECTED_DELAY_S,
            )
    if view.ui_lag_ms > UI_LAG_ALARM_MS:
        yield Condition("ui-lag", 3, f"console is slow: {view.ui_lag_ms:.0f} ms behind", "close other programs", 2.0)


def _stop_conditions(view: View) -> Iterator[Condition]:
    command = view.stop_command
    if command is not None and command.is_incomplete_alarm(view.now_ns):
        text = f"{command.level.value} INCOMPLETE: {', '.join(command.missing)} did not acknowledge"
        yield Condition("stop-incomplete", 1, text, BREAK_GLASS)
    for kill in view.kills:
        if kill.stuck:
            text = f"KILL INCOMPLETE: {kill_sentence(kill, view.now_ns)}"
            yield Condition(f"kill-{kill.kill_id}", 1, text, "tradebot kill-report")
    if view.stop.known and view.stop.answering == 0:
        yield Condition("stop-path", 1, "STOP 0/2: no daemon takes a stop from here", BREAK_GLASS, 2.0)
    elif view.stop.known and view.stop.answering < view.stop.total:
        text = f"STOP {view.stop.answering}/{view.stop.total}: {', '.join(view.stop.silent)} does not answer"
        yield Condition("stop-path", 2, text, "F9 still stops through the other one", 2.0)


def _hold_condition(hold: Hold) -> Iterator[Condition]:
    """Holds of operators are their own decision, not an alarm; the machine's are. AUTO ones end by themselves."""
    where = hold.scope.name or "system"
    text = f"{where} {hold.level.name} by {hold.cause}: {hold.evidence}".rstrip(": ")
    if hold.cause in MISMATCH_CAUSES:
        yield Condition(f"hold-{hold.hold_id}", 1, text, "h = holds; tradebot audit")
    elif hold.level >= TradingLevel.HALTED and not hold.latch_id and not hold.cause.startswith("OPERATOR"):
        yield Condition(f"hold-{hold.hold_id}", 2, text, "h = holds")
    elif hold.level >= TradingLevel.REDUCE_ONLY and hold.scope.kind is ScopeKind.SYSTEM and not hold.latch_id:
        yield Condition(f"hold-{hold.hold_id}", 3, text, "h = holds", 3.0)
