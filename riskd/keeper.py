"""Raises and clears holds: for the gate's own findings, for venue alarms, for stops and for operators."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from riskd.holds import (
    ALARMS,
    DEFAULT_ALARM,
    MAX_HOLDS,
    MIN_REASON_CHARACTERS,
    OPERATOR_CAUSE,
    STOP_CAUSE,
    ClearRefusal,
    default_release,
    may_clear,
)
from riskd.ledger import Ledger
from riskd.records import Command, HoldCleared, HoldRaised, StopLatched
from riskd.settings import NS_PER_S, Settings
from riskd.stop_flag import StopFlag
from tradebot.core.accounts import VenueAlarm
from tradebot.core.approvals import StopLatch
from tradebot.core.errors import RejectedError
from tradebot.core.levels import SYSTEM_SCOPE, Hold, ReleaseRule, Scope, ScopeKind, TradingLevel

AFTER_CLEAR_NS: Final = 30 * 60 * NS_PER_S
"""CAUTIOUS after a TWO_KEY hold was cleared."""
MAX_EVIDENCE_CHARACTERS: Final = 500


@dataclass(frozen=True, slots=True)
class Cleared:
    """What came of clearing a hold."""

    cleared: bool
    reason: str = ""
    detail: str = ""


class HoldKeeper:
    """Everything that changes the set of holds."""

    def __init__(self, ledger: Ledger, settings: Settings, stop_flag: StopFlag) -> None:
        self._ledger = ledger
        self._state = ledger.state
        self._settings = settings
        self._stop_flag = stop_flag

    # ---- operators

    def raise_hold(
        self,
        level: TradingLevel,
        scope: Scope,
        *,
        reason: str,
        operator: str,
        role: str,
        command_id: str,
        duration_s: int,
        now_ns: int,
    ) -> Hold:
        """Raise an operator's hold; the same command id returns the hold that it raised.

        Raises:
            RejectedError: The level or scope says nothing.
        """
        if level is TradingLevel.RUNNING:
            raise RejectedError("LEVEL_INVALID", "nobody can set RUNNING: clear the holds in force instead")
        if (scope.kind is ScopeKind.SYSTEM) == bool(scope.name):
            raise RejectedError(
                "SCOPE_INVALID", "a scope names its venue, instrument or strategy; SYSTEM names nothing"
            )
        earlier = self._state.commands.get(command_id)
        if earlier is not None and earlier.result in self._state.holds.holds:
            return self._state.holds.holds[earlier.result]
        timed = duration_s > 0 and level is not TradingLevel.KILLED
        hold = self.raise_(
            level,
            scope,
            OPERATOR_CAUSE,
            ReleaseRule.TIMED if timed else default_release(level),
            now_ns,
            reason,
            raised_by=operator,
            until_ns=now_ns + duration_s * NS_PER_S if timed else 0,
            always=True,
        )
        self.audit(command_id, operator, role, f"RAISE {level.name}", scope_text(scope), reason, hold.hold_id, now_ns)
        return hold

    def clear_hold(
        self, hold_id: str, *, reason: str, operator: str, role: str, command_id: str, typed_phrase: str, now_ns: int
    ) -> Cleared:
        """Clear one hold by its rule."""
        if command_id in self._state.commands and hold_id not in self._state.holds.holds:
            return Cleared(True)
        hold = self._state.holds.holds.get(hold_id)
        refusal = (
            ClearRefusal("UNKNOWN_HOLD", f"no hold {hold_id!r} is in force")
            if hold is None
            else may_clear(
                hold,
                second_key=role == "risk",
                typed_phrase=typed_phrase,
                reason=reason,
                cool_off_ns=self._settings.cool_off_ns,
                now_ns=now_ns,
            )
        )
        result = "cleared" if refusal is None else refusal.reason
        self.audit(command_id, operator, role, "CLEAR", hold_id, reason, result, now_ns)
        if refusal is not None:
            return Cleared(False, refusal.reason, refusal.detail)
        assert hold is not None
        self.clear(hold_id, reason, operator, now_ns)
        if hold.release is ReleaseRule.TWO_KEY:
            until_ns = now_ns + AFTER_CLEAR_NS
            self.raise_(
                TradingLevel.CAUTIOUS,
                hold.scope,
                f"AFTER_{hold.cause}",
                ReleaseRule.TIMED,
                now_ns,
                f"{hold_id} was cleared by {operator}",
                until_ns=until_ns,
                always=True,
            )
        return Cleared(True)

    def resume(self, *, reason: str, operator: str, role: str, command_id: str, now_ns: int) -> list[Hold]:
        """Clear the ONE_KEY holds that operators raised; return them.

        Raises:
            RejectedError: The reason is too short.
        """
        found = [
            hold
            for hold in self._state.holds.listed()
            if hold.release is ReleaseRule.ONE_KEY and hold.cause in (OPERATOR_CAUSE, STOP_CAUSE)
        ]
        if len(reason.strip()) < MIN_REASON_CHARACTERS:
            raise RejectedError("REASON_TOO_SHORT", f"give a reason of at least {MIN_REASON_CHARACTERS} characters")
        for hold in found:
            self.clear(hold.hold_id, reason, operator, now_ns)
        cleared = " ".join(h.hold_id for h in found) or "nothing to clear"
        self.audit(command_id, operator, role, "RESUME", "", reason, cleared, now_ns)
        return found

    def stop(self, latch: StopLatch, role: str, now_ns: int, *, journaled: bool = False) -> Hold | None:
        """A StopService latched: raise the hold that carries it. None when it was cleared before.

        Args:
            latch: The stop.
            role: Role of the caller, for the audit.
            now_ns: Now.
            journaled: True when the stop thread has already written the STOP_LATCHED record.
        """
        record = StopLatched(latch, role)
        if journaled:
            self._ledger.adopt(record)
        else:
            self._ledger.commit(record)
        known = self._state.holds.find_latch(latch.latch_id)
        hold = known or self.raise_latch(latch, now_ns)
        if hold is None:  # a late repeat of a stop that was cleared
            self._stop_flag.clear(latch.latch_id)
        if known is None:
            result = "known" if hold is None else hold.hold_id
            command = f"STOP {latch.level.name}"
            self.audit(latch.latch_id, latch.operator, role, command, "", latch.reason, result, now_ns)
        return hold

    # ---- everybody

    def raise_latch(self, latch: StopLatch, now_ns: int) -> Hold | None:
        """Raise the hold that carries a stop latch; None when it was cleared before."""
        holds = self._state.holds
        known = holds.find_latch(latch.latch_id)
        if known is not None or latch.latch_id in holds.cleared_latches:
            return known
        level = max(latch.level, TradingLevel.HALTED)
        return self.raise_(
            level,
            SYSTEM_SCOPE,
            STOP_CAUSE,
            default_release(level),
            now_ns,
            latch.reason,
            raised_by=latch.operator,
            latch_id=latch.latch_id,
            always=True,
        )

    def raise_(
        self,
        level: TradingLevel,
        scope: Scope,
        cause: str,
        release: ReleaseRule,
        now_ns: int,
        evidence: str,
        *,
        raised_by: str = "riskd",
        until_ns: int = 0,
        latch_id: str = "",
        always: bool = False,
    ) -> Hold:
        """Raise a hold. Unless `always`, one with the same cause, scope and at least this level is left as it is."""
        holds = self._state.holds
        known = None if always else holds.find(cause, scope)
        if known is not None and known.level >= level:
            return known
        if len(holds.holds) >= MAX_HOLDS:
            scope = SYSTEM_SCOPE
        hold = Hold(
            holds.next_id(),
            level,
            scope,
            cause,
            raised_by,
            now_ns,
            release,
            evidence[:MAX_EVIDENCE_CHARACTERS],
            until_ns,
            latch_id,
        )
        self._ledger.commit(HoldRaised(hold, holds.epoch + 1))
        return hold

    def clear(self, hold_id: str, reason: str, operator: str, now_ns: int) -> None:
        """Clear a hold; the caller has judged that it may."""
        holds = self._state.holds
        hold = holds.holds[hold_id]
        self._ledger.commit(HoldCleared(hold_id, reason, operator, holds.epoch + 1, now_ns))
        self._stop_flag.clear(hold.latch_id)

    def clear_cause(self, cause: str, scope: Scope, reason: str, now_ns: int) -> None:
        """Clear AUTO holds whose cause is over."""
        found = [h.hold_id for h in self._state.holds.holds.values() if h.cause == cause and h.scope == scope]
        for hold_id in found:
            if self._state.holds.holds[hold_id].release is ReleaseRule.AUTO:
                self.clear(hold_id, reason, "riskd", now_ns)

    def audit(
        self,
        command_id: str,
        operator: str,
        role: str,
        command: str,
        arguments: str,
        reason: str,
        result: str,
        now_ns: int,
    ) -> None:
        """Record an operator command."""
        self._ledger.commit(Command(command_id, operator, role, command, arguments, reason, result, now_ns))

    def alarm(self, venue: str, alarm: VenueAlarm, now_ns: int) -> None:
        """A venue alarm raises its hold, or its all-clear ends an AUTO one."""
        rule = ALARMS.get(alarm.cause, DEFAULT_ALARM)
        scope = Scope(ScopeKind.VENUE, venue)
        if alarm.instrument_id and not rule.whole_venue:
            scope = Scope(ScopeKind.INSTRUMENT, alarm.instrument_id)
        if not alarm.cleared:
            self.raise_(rule.level, scope, alarm.cause, rule.release, now_ns, alarm.detail, raised_by="execd")
        elif rule.release is ReleaseRule.AUTO:
            self.clear_cause(alarm.cause, scope, alarm.detail or "over", now_ns)


def scope_text(scope: Scope) -> str:
    """Return a scope as one word or two."""
    return f"{scope.kind.name} {scope.name}".strip()
