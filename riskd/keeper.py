"""Raises and clears holds: for the gate's own findings, for venue alarms, for stops and for operators."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from riskd.holds import (
    AFTER_KILL,
    ALARMS,
    DAEMONS,
    DEFAULT_ALARM,
    KEY_HOLDERS,
    MAX_HOLDS,
    MIN_REASON_CHARACTERS,
    OPERATOR_CAUSE,
    STOP_CAUSE,
    Clearing,
    ClearRefusal,
    daemon_cause,
    default_release,
    may_raise,
    needs_second_key,
)
from riskd.ledger import Ledger
from riskd.records import Command, HoldCleared, HoldRaised, HoldRetimed, StopLatched
from riskd.releases import Releases
from riskd.rules import is_operator
from riskd.session_view import SessionView
from riskd.settings import NS_PER_S, Settings
from riskd.signatures import CommandVerifier
from riskd.stop_flag import StopFlag
from tradebot.core.accounts import VenueAlarm
from tradebot.core.approvals import StopLatch
from tradebot.core.errors import RejectedError
from tradebot.core.levels import SYSTEM_SCOPE, Hold, ReleaseRule, Scope, ScopeKind, TradingLevel

AFTER_CLEAR_NS: Final = 30 * 60 * NS_PER_S
"""CAUTIOUS after a TWO_KEY hold was cleared."""
AFTER_KILL_NS: Final = 24 * 3600 * NS_PER_S
"""CAUTIOUS at a tenth of the size after a KILLED hold was cleared."""
MAX_EVIDENCE_CHARACTERS: Final = 500
MAX_SHOWN_NAMES: Final = 8
EXECD: Final = "execd"
FOREIGN_CAUSE: Final = "EXECD_"
"""Before the cause of an alarm that has no rule: it can never be taken for a cause of riskd's own."""
MAX_EXTENSION_S: Final = 7 * 86_400


@dataclass(frozen=True, slots=True)
class Cleared:
    """What came of clearing a hold."""

    cleared: bool
    reason: str = ""
    detail: str = ""


class HoldKeeper:
    """Everything that changes the set of holds."""

    def __init__(
        self, ledger: Ledger, settings: Settings, stop_flag: StopFlag, verifier: CommandVerifier, session: SessionView
    ) -> None:
        self._ledger = ledger
        self._state = ledger.state
        self._settings = settings
        self._stop_flag = stop_flag
        self._verifier = verifier
        self._releases = Releases(ledger.state, settings, verifier, session)

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
            RejectedError: The level or scope says nothing, or the role may not.
        """
        refusal = may_raise(role, level, scope)
        if refusal is not None:
            raise RejectedError(refusal.reason, refusal.detail)
        if level is TradingLevel.RUNNING:
            raise RejectedError("LEVEL_INVALID", "nobody can set RUNNING: clear the holds in force instead")
        if (scope.kind is ScopeKind.SYSTEM) == bool(scope.name):
            raise RejectedError(
                "SCOPE_INVALID", "a scope names its venue, instrument or strategy; SYSTEM names nothing"
            )
        if role in DAEMONS:
            return self._raise_for(role, level, scope, reason, command_id, duration_s, now_ns)
        command, arguments = f"RAISE {level.name}", scope_text(scope)
        earlier = self._state.commands.get(command_id)
        if earlier is not None and (earlier.command, earlier.arguments) == (command, arguments):
            known = self._state.holds.holds.get(earlier.result)
            if known is not None:
                return known
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
        self.audit(command_id, operator, role, command, arguments, reason, hold.hold_id, now_ns)
        return hold

    def _raise_for(
        self,
        role: str,
        level: TradingLevel,
        scope: Scope,
        reason: str,
        command_id: str,
        duration_s: int,
        now_ns: int,
    ) -> Hold:
        """Raise a daemon's hold, or return the one that it has there at this level or above, if that lasts as long: it
        may say so again and again.
        """
        if scope.kind is ScopeKind.STRATEGY and is_operator(scope.name):
            raise RejectedError("NOT_PERMITTED", f"{scope.name} is an operator's, not the {role}'s")
        holds, cause = self._state.holds.holds, daemon_cause(role)
        until_ns = now_ns + duration_s * NS_PER_S if duration_s > 0 else 0
        own = [hold for hold in holds.values() if (hold.cause, hold.scope) == (cause, scope) and hold.level >= level]
        for hold in own:
            if not hold.until_ns or 0 < until_ns <= hold.until_ns:
                return hold
        for hold in own:
            if until_ns and hold.level is level:
                self.retime(hold, until_ns, hold.clear_after_ns, reason, role, now_ns)
                return holds[hold.hold_id]
        count = len(holds)
        release = ReleaseRule.TIMED if until_ns else ReleaseRule.ONE_KEY
        hold = self.raise_(level, scope, cause, release, now_ns, reason, raised_by=role, until_ns=until_ns, always=True)
        if len(holds) > count:
            self.audit(command_id, role, role, f"RAISE {level.name}", scope_text(scope), reason, hold.hold_id, now_ns)
        return hold

    def unknown_name(self, scope: Scope) -> str:
        """Return what is wrong with the name of a scope, empty = nothing: a stop of what does not exist would stop
        nothing and look as if it did. Before the first session nothing is known, and every name is taken.
        """
        match scope.kind:
            case ScopeKind.VENUE:
                known = sorted({rule.venue for rule in self._state.rules.values()})
            case ScopeKind.INSTRUMENT:
                known = sorted(self._state.rules)
            case _:
                known = []  # limits may allow any strategy
        if not known or scope.name in known:
            return ""
        return f"there is no {scope.kind.name.lower()} {scope.name!r}; known: {', '.join(known[:MAX_SHOWN_NAMES])}"

    def clear_hold(self, hold_id: str, clearing: Clearing, *, command_id: str, now_ns: int) -> Cleared:
        """Clear one hold by its rule; with a team, the first of two signatures waits for the second."""
        holds = self._state.holds
        if command_id in self._state.commands and hold_id not in holds.holds:
            return Cleared(True)
        hold = holds.holds.get(hold_id)
        refusal = self._releases.refusal(hold_id, hold, clearing, command_id, now_ns)
        result = "cleared" if refusal is None else refusal.reason
        self.audit(command_id, clearing.operator, clearing.role, "CLEAR", hold_id, clearing.reason, result, now_ns)
        if refusal is not None:
            return Cleared(False, refusal.reason, refusal.detail)
        assert hold is not None
        killed = hold.level is TradingLevel.KILLED
        if hold.release is ReleaseRule.TWO_KEY:  # raised first: no moment, and no crash, lies between the two
            self.raise_(
                TradingLevel.CAUTIOUS,
                hold.scope,
                AFTER_KILL if killed else f"AFTER_{hold.cause}",
                ReleaseRule.TIMED,
                now_ns,
                f"{hold_id} {hold.cause} was cleared by {clearing.operator}",
                until_ns=now_ns + (AFTER_KILL_NS if killed else AFTER_CLEAR_NS),
                always=True,
            )
        self.clear(hold_id, clearing.reason, clearing.operator, now_ns)
        return Cleared(True)

    def extend_hold(
        self, hold_id: str, extra_s: int, *, reason: str, operator: str, role: str, command_id: str, now_ns: int
    ) -> Cleared:
        """Let a TIMED hold last longer: one key, since it loosens nothing. `cleared` says whether it was done."""
        hold = self._state.holds.holds.get(hold_id)
        refusal: ClearRefusal | None = None
        if command_id in self._state.commands:
            return Cleared(hold is not None, "" if hold is not None else "UNKNOWN_HOLD", "handled before")
        if role not in KEY_HOLDERS:
            refusal = ClearRefusal("NOT_PERMITTED", f"the role {role!r} extends no holds")
        elif hold is None:
            refusal = ClearRefusal("UNKNOWN_HOLD", f"no hold {hold_id!r} is in force")
        elif hold.release is not ReleaseRule.TIMED:
            refusal = ClearRefusal("NOT_TIMED", f"{hold_id} has no end: its rule is {hold.release.name}")
        elif not 0 < extra_s <= MAX_EXTENSION_S:
            refusal = ClearRefusal("EXTENSION_INVALID", f"1 to {MAX_EXTENSION_S} seconds may be added")
        result = f"+{extra_s} s" if refusal is None else refusal.reason
        self.audit(command_id, operator, role, "EXTEND", hold_id, reason, result, now_ns)
        if refusal is not None:
            return Cleared(False, refusal.reason, refusal.detail)
        assert hold is not None
        self.retime(hold, hold.until_ns + extra_s * NS_PER_S, hold.clear_after_ns, reason, operator, now_ns)
        return Cleared(True)

    def resume(self, clearing: Clearing, *, command_id: str, now_ns: int) -> list[Hold]:
        """Clear the ONE_KEY holds that operators raised; return them.

        Raises:
            RejectedError: The role may not, the reason is too short, or the signature is missing.
        """
        role, operator, reason = clearing.role, clearing.operator, clearing.reason
        found = [
            hold
            for hold in self._state.holds.listed()
            if hold.release is ReleaseRule.ONE_KEY
            and hold.cause in (OPERATOR_CAUSE, STOP_CAUSE)
            and not needs_second_key(hold, now_ns)
        ]
        if role not in KEY_HOLDERS:
            raise RejectedError("NOT_PERMITTED", f"the role {role!r} clears no holds")
        if len(reason.strip()) < MIN_REASON_CHARACTERS:
            raise RejectedError("REASON_TOO_SHORT", f"give a reason of at least {MIN_REASON_CHARACTERS} characters")
        problem = self._verifier.problem("RESUME", "", clearing, command_id, self._state.holds.epoch, now_ns)
        if problem is not None:
            raise RejectedError(problem.reason, problem.detail)
        for hold in found:
            self.clear(hold.hold_id, reason, operator, now_ns)
        cleared = " ".join(h.hold_id for h in found) or "nothing to clear"
        self.audit(command_id, operator, role, "RESUME", "", reason, cleared, now_ns)
        return found

    def stop(self, latch: StopLatch, role: str, now_ns: int, *, journaled: bool) -> Hold | None:
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
        if latch.latch_id not in self._state.commands:  # whoever was first with the hold: the command is audited once
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
        clear_after_ns: int = 0,
        always: bool = False,
    ) -> Hold:
        """Raise a hold. Unless `always`, one with the same cause, scope and at least this level is left as it is."""
        holds = self._state.holds
        is_full = len(holds.holds) >= MAX_HOLDS
        known = None if always and not is_full else holds.find(cause, scope)
        if is_full and known is None:  # the rest is one hold per cause, over everything; a person looks what it was
            scope, release = SYSTEM_SCOPE, ReleaseRule.ONE_KEY if release is ReleaseRule.AUTO else release
            known = holds.find(cause, scope)
        if known is not None and known.level >= level:
            return known
        if release is ReleaseRule.TWO_KEY:
            clear_after_ns = max(clear_after_ns, now_ns + self._settings.cool_off_ns)
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
            clear_after_ns,
        )
        self._ledger.commit(HoldRaised(hold, holds.epoch + 1))
        return hold

    def clear(self, hold_id: str, reason: str, operator: str, now_ns: int) -> None:
        """Clear a hold; the caller has judged that it may."""
        holds = self._state.holds
        hold = holds.holds[hold_id]
        self._ledger.commit(HoldCleared(hold_id, reason, operator, holds.epoch + 1, now_ns, hold))
        self._stop_flag.clear(hold.latch_id)

    def retime(self, hold: Hold, until_ns: int, clear_after_ns: int, reason: str, operator: str, now_ns: int) -> None:
        """Move the times of a hold."""
        self._ledger.commit(HoldRetimed(hold.hold_id, until_ns, clear_after_ns, reason, operator, now_ns))

    def keep_remaining(self, stood_ns: int, now_ns: int) -> None:
        """The clock cannot be trusted across the last stop: every countdown goes on with what it had left.

        Args:
            stood_ns: The latest time that the journal knows.
            now_ns: Now, by a clock that may have been moved.
        """
        for hold in list(self._state.holds.holds.values()):
            until_ns = hold.until_ns + now_ns - stood_ns if hold.until_ns else 0
            after_ns = hold.clear_after_ns + now_ns - stood_ns if hold.clear_after_ns > stood_ns else 0
            if (until_ns, after_ns) != (hold.until_ns, hold.clear_after_ns):
                self.retime(hold, until_ns, after_ns, "CLOCK_UNTRUSTED", "riskd", now_ns)

    def clear_cause(self, cause: str, scope: Scope, reason: str, now_ns: int, *, raised_by: str = "riskd") -> None:
        """Clear AUTO holds whose cause is over, as said by who raised them: nobody else's word ends them."""
        for hold in list(self._state.holds.holds.values()):
            if (hold.cause, hold.scope, hold.raised_by) == (
                cause,
                scope,
                raised_by,
            ) and hold.release is ReleaseRule.AUTO:
                self.clear(hold.hold_id, reason, "riskd", now_ns)

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
        cause, rule = alarm.cause, ALARMS.get(alarm.cause)
        if rule is None:
            cause, rule = f"{FOREIGN_CAUSE}{alarm.cause}", DEFAULT_ALARM
        scope = Scope(ScopeKind.VENUE, venue)
        if alarm.instrument_id and not rule.whole_venue:
            scope = Scope(ScopeKind.INSTRUMENT, alarm.instrument_id)
        if not alarm.cleared:
            self.raise_(rule.level, scope, cause, rule.release, now_ns, alarm.detail, raised_by=EXECD)
        elif rule.release is ReleaseRule.AUTO:
            self.clear_cause(cause, scope, alarm.detail or "over", now_ns, raised_by=EXECD)


def scope_text(scope: Scope) -> str:
    """Return a scope as one word or two."""
    return f"{scope.kind.name} {scope.name}".strip()
