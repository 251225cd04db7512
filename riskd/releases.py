"""Whether an operator may clear a hold now: the rule of its release, signatures, and what must be true of the system
before it goes on after something grave.
"""

from __future__ import annotations

from typing import Final

from riskd.control_book import SELF_TEST
from riskd.holds import DAEMONS, KEY_HOLDERS, Clearing, ClearRefusal, daemon_cause, may_clear, needs_second_key
from riskd.session_view import SessionView
from riskd.settings import Settings
from riskd.sign_offs import SignOffs
from riskd.signatures import CommandVerifier
from riskd.state import RiskState
from tradebot.core.levels import Hold, ReleaseRule, ScopeKind, TradingLevel

OVERPRIVILEGED: Final = "KEY_OVERPRIVILEGED"


class Releases:
    """Judges clearings."""

    def __init__(self, state: RiskState, settings: Settings, verifier: CommandVerifier, session: SessionView) -> None:
        self._state = state
        self._settings = settings
        self._verifier = verifier
        self._session = session
        self._sign_offs = SignOffs(settings.sign_off_ns)

    def refusal(
        self, hold_id: str, hold: Hold | None, clearing: Clearing, command_id: str, now_ns: int
    ) -> ClearRefusal | None:
        """Return why an operator may not clear a hold now; with a team, the first of two signatures waits here."""
        if clearing.role not in KEY_HOLDERS and clearing.role not in DAEMONS:
            return ClearRefusal("NOT_PERMITTED", f"the role {clearing.role!r} clears no holds")
        if hold is not None and clearing.role in DAEMONS:
            own = (hold.cause, hold.raised_by) == (daemon_cause(clearing.role), clearing.role)
            return None if own else ClearRefusal("NOT_PERMITTED", f"{clearing.role} clears what it raised itself")
        if hold is None:
            return ClearRefusal("UNKNOWN_HOLD", f"no hold {hold_id!r} is in force")
        epoch = self._state.holds.epoch
        refusal = self._verifier.problem("CLEAR", hold_id, clearing, command_id, epoch, now_ns)
        settings = self._settings
        refusal = refusal or may_clear(hold, clearing, now_ns, solo=settings.solo, cool_off_ns=settings.cool_off_ns)
        if refusal is None and hold.cause == OVERPRIVILEGED:
            refusal = self._still_overprivileged(hold)
        if refusal is None and hold.release is ReleaseRule.TWO_KEY:
            refusal = self._not_reconciled(hold)
        if refusal is None and hold.level is TradingLevel.KILLED:
            refusal = self._not_new(hold)
        if refusal is None and not self._settings.solo and needs_second_key(hold, now_ns):
            return self._sign_offs.sign(hold_id, clearing, epoch, now_ns)
        return refusal

    def _still_overprivileged(self, hold: Hold) -> ClearRefusal | None:
        """Return that the venue has not said yet that the key may move money no more."""
        status = self._session.statuses.get(hold.scope.name)
        if status is not None and status.key_time_ns > hold.raised_ns and not status.key_moves_money:
            return None
        detail = (
            f"the trading key of {hold.scope.name} may withdraw or transfer, as the venue told last: take that right"
        )
        return ClearRefusal("STILL_TRUE", f"{detail} from it; execd asks again every minute")

    def _not_reconciled(self, hold: Hold) -> ClearRefusal | None:
        """Return which venue of the scope has not been found in order yet: nothing is let go blindly."""
        for venue, status in self._session.statuses.items():
            if hold.scope.kind is ScopeKind.VENUE and hold.scope.name != venue:
                continue
            if status.reconciling or status.reconciled_time_ns <= 0:
                return ClearRefusal(
                    "STREAM_RECONCILING", f"{venue} is not reconciled: orders and positions are not proven"
                )
        if not self._session.session_id:
            return ClearRefusal("NO_SESSION", "execd has no session: nothing at the venue is proven")
        return None

    def _not_new(self, hold: Hold) -> ClearRefusal | None:
        """Return what must still begin anew before a KILLED hold may be cleared: nothing that lived through what it was
        raised for goes on, and the checks must have been seen to refuse.
        """
        state, old = self._state, []
        if state.started_ns <= hold.raised_ns:
            old.append("riskd")
        if not self._session.session_id or self._session.started_ns <= hold.raised_ns:
            old.append("execd")
        if old:
            detail = f"{hold.hold_id} is KILLED: restart {' and '.join(old)} first, then clear it"
            return ClearRefusal("RESTART_NEEDED", detail)
        test = state.controls.runs.get(SELF_TEST)
        if test is None or test.time_ns < state.started_ns:
            return ClearRefusal("SELF_TEST_NEEDED", "riskd has not tested its limits yet since its start: try again")
        if test.failed:
            failed = ", ".join(test.failed)
            return ClearRefusal("SELF_TEST_NEEDED", f"these checks did not refuse what they must: {failed}")
        return None
