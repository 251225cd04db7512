"""PTR-06: riskd's own watch of the stops that execd keeps. execd is first: it alarms, retries and leaves by itself.
What stays without its stop all the same riskd closes, by its flatten ladder.

The clocks are kept in memory. A restart takes them up from the hold of the alarm, so that it has the same time left;
what had not been alarmed begins anew. Nothing is closed before execd's log was read to its end and execd had the time
of an alarm to place what it can: a session that has just begun may be about to protect the position.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from riskd.flatten import Flattener
from riskd.keeper import HoldKeeper
from riskd.ledger import Ledger
from riskd.protection_cover import IN_FLIGHT, STAYS, Position, uncovered
from riskd.units import from_units
from riskd.watch_rule import ProtectionRule
from tradebot.core.levels import Hold, ReleaseRule, Scope, ScopeKind, TradingLevel
from tradebot.core.orders import Side

UNPROTECTED: Final = "PTR-06"
MAX_DOUBT_NS: Final = 45 * 1_000_000_000
"""So much longer than the deadline an order that is under way is waited for: unproven ones are resolved within this."""


@dataclass(slots=True)
class ProtectionMemory:
    """What lies between two looks, bounded by the open positions."""

    naked_ns: dict[Position, int] = field(default_factory=dict)
    """Since when a position is without its stop."""
    acted: set[Position] = field(default_factory=set)
    """Positions that riskd closes for that."""
    in_step_ns: int | None = None
    """Since when execd's log is folded to its end and its session stands; None = it is not."""


class ProtectionWatch:
    """See the module."""

    def __init__(
        self,
        ledger: Ledger,
        keeper: HoldKeeper,
        flattener: Flattener,
        rule: ProtectionRule | None,
        memory: ProtectionMemory,
    ) -> None:
        self._ledger = ledger
        self._state = ledger.state
        self._keeper = keeper
        self._flattener = flattener
        self._rule = rule
        self._memory = memory

    def start(self, now_ns: int) -> None:
        """A process starts: the hold of an alarm says how long a position has been without its stop."""
        for at in [] if self._rule is None else self._naked():
            hold = self._hold(at[0])
            if hold is not None and self._rule is not None:
                self._memory.naked_ns[at] = min(now_ns, hold.raised_ns - self._rule.alarm_ns)
            if self._is_halted(at[0]):
                self._memory.acted.add(at)

    def session_changed(self) -> None:
        """execd's session began or ended: what it does about its stops is not known for a moment."""
        self._memory.in_step_ns = None

    def watch(self, now_ns: int, *, in_step: bool) -> None:
        """Look at every position.

        Args:
            now_ns: Now.
            in_step: Whether execd has a session and its log is folded to its end.
        """
        rule, memory = self._rule, self._memory
        if not in_step:
            memory.in_step_ns = None
        elif memory.in_step_ns is None:
            memory.in_step_ns = now_ns
        naked = [] if rule is None else self._naked()
        for at in memory.naked_ns.keys() - set(naked):
            del memory.naked_ns[at]
            memory.acted.discard(at)
        self._release({at[0] for at in naked}, now_ns)
        for at in naked:
            assert rule is not None
            self._judge(at, rule, now_ns)

    def _naked(self) -> list[Position]:
        held = [(name, owner) for name, owner, _ in self._state.portfolio.open_positions(self._state.rules)]
        return uncovered(self._state, held, resting_only=True)

    def _judge(self, at: Position, rule: ProtectionRule, now_ns: int) -> None:
        memory = self._memory
        if at in memory.acted and not self._is_halted(at[0]):
            memory.acted.discard(at)  # somebody cleared it while nothing had changed: the clock begins again
            memory.naked_ns[at] = now_ns
        naked_ns = now_ns - memory.naked_ns.setdefault(at, now_ns)
        if naked_ns > rule.alarm_ns:
            self._raise(at, TradingLevel.REDUCE_ONLY, ReleaseRule.AUTO, naked_ns, now_ns)
        if naked_ns > rule.action_ns and at not in memory.acted and self._may_act(at, rule, naked_ns, now_ns):
            memory.acted.add(at)
            for job in self._flattener.begin([at], now_ns):
                self._ledger.commit(job)
            self._raise(at, TradingLevel.HALTED, ReleaseRule.ONE_KEY, naked_ns, now_ns)

    def _may_act(self, at: Position, rule: ProtectionRule, naked_ns: int, now_ns: int) -> bool:
        in_step_ns = self._memory.in_step_ns
        if in_step_ns is None or now_ns - in_step_ns < rule.alarm_ns:
            return False
        venue = self._state.rules[at[0]].venue
        if self._state.holds.level_for(venue, *at) >= TradingLevel.KILLED:
            return False  # the kill sees to it
        return naked_ns > rule.action_ns + MAX_DOUBT_NS or not self._is_under_way(at)

    def _is_under_way(self, at: Position) -> bool:
        """Return whether a closing order of the position works, or a stop of it is not proven yet."""
        commitments = self._state.commitments
        side = Side.SELL if self._state.portfolio.units_of(*at) > 0 else Side.BUY
        if commitments.closing.get((*at, side), 0) > 0:
            return True
        return any(
            order.role in STAYS
            and order.state.status in IN_FLIGHT
            and (order.instrument_id, self._state.owner_of(order)) == at
            for order in commitments.orders.values()
        )

    def _hold(self, instrument_id: str) -> Hold | None:
        return self._state.holds.find(UNPROTECTED, Scope(ScopeKind.INSTRUMENT, instrument_id))

    def _is_halted(self, instrument_id: str) -> bool:
        hold = self._hold(instrument_id)
        return hold is not None and hold.level >= TradingLevel.HALTED

    def _raise(self, at: Position, level: TradingLevel, release: ReleaseRule, naked_ns: int, now_ns: int) -> None:
        units = from_units(self._state.portfolio.units_of(*at)).normalize()
        text = f"{units:f} {at[0]} of {at[1]} without its stop for {naked_ns // 1_000_000} ms"
        if level is TradingLevel.HALTED:
            text += "; riskd closes it"
        scope = Scope(ScopeKind.INSTRUMENT, at[0])
        self._keeper.raise_(level, scope, UNPROTECTED, release, now_ns, text)

    def _release(self, still_naked: set[str], now_ns: int) -> None:
        """End the alarms of instruments in which everything is protected or closed."""
        for hold in list(self._state.holds.holds.values()):
            if hold.cause == UNPROTECTED and hold.scope.name not in still_naked:
                self._keeper.clear_cause(UNPROTECTED, hold.scope, "protected or closed", now_ns)
