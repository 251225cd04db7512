"""Holds and levels: the level in force is computed from the holds that cover an action; nobody can set RUNNING.

Every change raises the epoch. Only a *raise* moves a fence, and only that of the scope it covers: approvals of
untouched scopes stay valid. Release rules are a table below; the level gate is another.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import Enum
from typing import Final

from tradebot.core.approvals import LevelEntry, LevelTable
from tradebot.core.errors import InvariantError
from tradebot.core.levels import SYSTEM_SCOPE, Hold, ReleaseRule, Scope, ScopeKind, TradingLevel
from tradebot.core.operator_commands import OperatorProof
from tradebot.core.orders import OrderRole

MAX_HOLDS: Final = 1_000
"""Holds in force at once; one more is raised for the whole system instead."""
MAX_CLEARED_LATCHES: Final = 256
MIN_REASON_CHARACTERS: Final = 8
OPERATOR_CAUSE: Final = "OPERATOR"
STOP_CAUSE: Final = "STOP"
"""Raised through a StopService."""
FLATTEN: Final = "FLATTEN"
"""What a closing ladder is for; the only one that goes on at KILLED."""
SECOND_KEY_ROLE: Final = "risk"
ONE_KEY_TIMED: Final = frozenset({OPERATOR_CAUSE, "DAY_TARGET"})
"""Causes of TIMED holds that guard against nothing: one key ends them early."""


class Action(Enum):
    """What somebody wants to do, as the level gate sees it."""

    ENTRY = "new entry or add"
    AMEND_ENTRY = "amend entry"
    STRATEGY_EXIT = "strategy exit"
    OPERATOR_REDUCE = "operator reduce"
    RISKD_REDUCE = "riskd reduce"
    FLATTEN = "flatten ladder"
    PROTECTION = "protective order"
    AMEND_PROTECTION = "amend protection"
    EMERGENCY_EXIT = "emergency exit"
    CANCEL_ENTRY = "cancel entry"
    CANCEL_PROTECTION = "cancel protection"
    WORKING_ENTRY = "working entry stays"
    WORKING_PROTECTION = "protective order stays"
    READ = "reads at the venue"

    __hash__ = object.__hash__  # the standard one is Python code, and each decision looks two actions up


HIGHEST_LEVEL: Final[dict[Action, TradingLevel]] = {
    Action.ENTRY: TradingLevel.CAUTIOUS,
    Action.AMEND_ENTRY: TradingLevel.CAUTIOUS,
    Action.STRATEGY_EXIT: TradingLevel.REDUCE_ONLY,
    Action.OPERATOR_REDUCE: TradingLevel.HALTED,
    Action.RISKD_REDUCE: TradingLevel.HALTED,
    Action.FLATTEN: TradingLevel.KILLED,
    Action.PROTECTION: TradingLevel.HALTED,
    Action.AMEND_PROTECTION: TradingLevel.HALTED,
    Action.EMERGENCY_EXIT: TradingLevel.HALTED,
    Action.CANCEL_ENTRY: TradingLevel.KILLED,
    Action.CANCEL_PROTECTION: TradingLevel.KILLED,
    Action.WORKING_ENTRY: TradingLevel.CAUTIOUS,
    Action.WORKING_PROTECTION: TradingLevel.KILLED,
    Action.READ: TradingLevel.KILLED,
}
"""The level gate: each action is allowed up to this level, and refused above it."""

LEVEL_REASON: Final[dict[TradingLevel, str]] = {
    TradingLevel.RUNNING: "",
    TradingLevel.CAUTIOUS: "",
    TradingLevel.REDUCE_ONLY: "TRADING_REDUCE_ONLY",
    TradingLevel.PAUSED: "TRADING_PAUSED",
    TradingLevel.HALTED: "TRADING_HALTED",
    TradingLevel.KILLED: "TRADING_KILLED",
}


AFTER_KILL: Final = "AFTER_KILL"
"""Cause of what follows a KILLED hold that was cleared."""
AFTER_KILL_PPM: Final = 100_000
"""Size factor while that is in force, unless a smaller one is."""

CAUTIOUS_FILTER: Final = "CAUTIOUS_FILTER"
"""Reason of an entry that CAUTIOUS lets pass by level, and not by its filters."""


def is_allowed(action: Action, level: TradingLevel) -> bool:
    """Return whether the level gate lets an action pass."""
    return level <= HIGHEST_LEVEL[action]


def action_of(role: OrderRole, *, operator: bool, replaces: bool, flatten: bool) -> Action:
    """Return how the level gate sees an order."""
    match role:
        case OrderRole.ENTRY:
            return Action.AMEND_ENTRY if replaces else Action.ENTRY
        case OrderRole.EXIT:
            return Action.OPERATOR_REDUCE if operator else Action.STRATEGY_EXIT
        case OrderRole.REDUCE:
            return Action.FLATTEN if flatten else Action.RISKD_REDUCE
        case OrderRole.PROTECTION:
            return Action.AMEND_PROTECTION if replaces else Action.PROTECTION
        case OrderRole.EMERGENCY_EXIT:
            return Action.EMERGENCY_EXIT
        case OrderRole.LIQUIDATION:  # nobody asks for one: who does is judged most strictly
            return Action.ENTRY


@dataclass(frozen=True, slots=True)
class ClearRefusal:
    """Why a hold was not cleared."""

    reason: str
    detail: str


class HoldBook:
    """The set of holds, the epoch and the fences."""

    def __init__(self) -> None:
        self.holds: dict[str, Hold] = {}
        """By hold id, oldest first."""
        self.epoch = 1
        self.raised_count = 0
        self.fences: dict[Scope, int] = {}
        self.cleared_latches: dict[str, None] = {}
        """Ids of latches whose hold was cleared, oldest first."""
        self._levels: dict[tuple[str, str, str], TradingLevel] = {}
        self._table: LevelTable | None = None

    # ---- changes

    def apply_raise(self, hold: Hold, epoch: int) -> None:
        """Put a hold in force."""
        self._set_epoch(epoch)
        self.holds[hold.hold_id] = hold
        self.raised_count += 1
        self.fences[hold.scope] = epoch

    def apply_clear(self, hold_id: str, epoch: int) -> None:
        """Take a hold away; the fence stays where the raise put it."""
        self._set_epoch(epoch)
        hold = self.holds.pop(hold_id, None)
        if hold is not None and hold.latch_id:
            self.cleared_latches[hold.latch_id] = None
            if len(self.cleared_latches) > MAX_CLEARED_LATCHES:
                del self.cleared_latches[next(iter(self.cleared_latches))]

    def apply_retime(self, hold_id: str, until_ns: int, clear_after_ns: int) -> None:
        """Move the times of a hold; its level stays, so nothing else moves."""
        if hold_id in self.holds:
            self.holds[hold_id] = replace(self.holds[hold_id], until_ns=until_ns, clear_after_ns=clear_after_ns)

    def apply_limits(self, epoch: int, *, fences: bool) -> None:
        """Other limits are in force; tighter ones void every approval of before."""
        self._set_epoch(epoch)
        if fences:
            self.fences[SYSTEM_SCOPE] = epoch

    def _set_epoch(self, epoch: int) -> None:
        if epoch <= self.epoch:
            raise InvariantError(f"epoch {epoch} does not rise above {self.epoch}")
        self.epoch = epoch
        self._levels.clear()
        self._table = None

    # ---- questions

    def next_id(self) -> str:
        """Return the id of the next hold: short, since operators type it."""
        return f"H{self.raised_count + 1}"

    def level_for(self, venue: str, instrument_id: str, strategy_id: str) -> TradingLevel:
        """Return the highest level of all holds that cover these."""
        key = (venue, instrument_id, strategy_id)
        level = self._levels.get(key)
        if level is None:
            level = max((h.level for h in self.holds.values() if h.scope.covers(*key)), default=TradingLevel.RUNNING)
            self._levels[key] = level
        return level

    def is_after_kill(self, venue: str, instrument_id: str, strategy_id: str) -> bool:
        """Return whether these were KILLED lately: they come back at a tenth of their size."""
        key = (venue, instrument_id, strategy_id)
        return any(h.cause == AFTER_KILL and h.scope.covers(*key) for h in self.holds.values())

    def system_level(self) -> TradingLevel:
        """Return the level of everything: system holds only."""
        return self.level_for("", "", "")

    def table(self) -> LevelTable:
        """Return the level table as execd gets it."""
        if self._table is None:
            levels: dict[Scope, TradingLevel] = {}
            for hold in self.holds.values():
                levels[hold.scope] = max(hold.level, levels.get(hold.scope, TradingLevel.RUNNING))
            entries = tuple(
                LevelEntry(scope, levels.get(scope, TradingLevel.RUNNING), fence)
                for scope, fence in self.fences.items()
            )
            self._table = LevelTable(self.epoch, entries, tuple(self.cleared_latches))
        return self._table

    def find(self, cause: str, scope: Scope) -> Hold | None:
        """Return the highest hold with this cause and scope."""
        found = [h for h in self.holds.values() if h.cause == cause and h.scope == scope]
        return max(found, key=lambda h: h.level, default=None)

    def find_latch(self, latch_id: str) -> Hold | None:
        """Return the hold that carries a stop latch."""
        return next((h for h in self.holds.values() if h.latch_id == latch_id), None)

    def expired(self, now_ns: int) -> list[Hold]:
        """Return TIMED holds whose time is over, oldest first."""
        return [h for h in self.holds.values() if h.release is ReleaseRule.TIMED and h.until_ns <= now_ns]

    def next_expiry_ns(self) -> int | None:
        """Return when the next TIMED hold ends."""
        return min((h.until_ns for h in self.holds.values() if h.release is ReleaseRule.TIMED), default=None)

    def listed(self) -> list[Hold]:
        """Return all holds, highest level first, then oldest first."""
        return sorted(self.holds.values(), key=lambda h: (-h.level, h.raised_ns, len(h.hold_id), h.hold_id))


@dataclass(frozen=True, slots=True)
class Clearing:
    """An operator's wish to clear a hold."""

    operator: str
    role: str
    """`trader` or `risk`, from the socket or the certificate."""
    reason: str
    """For the audit."""
    typed_phrase: str = ""
    proof: OperatorProof | None = None
    """Signature; needed when the limits file names operators' keys."""


def needs_second_key(hold: Hold, now_ns: int) -> bool:
    """Return whether one key alone does not clear a hold now."""
    match hold.release:
        case ReleaseRule.ONE_KEY:
            return now_ns < hold.clear_after_ns
        case ReleaseRule.TIMED:
            return hold.cause not in ONE_KEY_TIMED
        case _:
            return True


def phrase_for(hold: Hold) -> str:
    """Return what must be typed when the second key is needed."""
    return f"CLEAR {hold.hold_id}"


def may_clear(hold: Hold, clearing: Clearing, now_ns: int, *, solo: bool, cool_off_ns: int) -> ClearRefusal | None:
    """Return why an operator may not clear a hold now, or None when he may.

    What needs the second key waits for the cool-off: it is for who has looked. With `solo` one person holds both keys
    and the role `risk` is the second; otherwise any of the two roles may sign here, and the caller waits for the other
    one's signature.
    """
    if len(clearing.reason.strip()) < MIN_REASON_CHARACTERS:
        return ClearRefusal("REASON_TOO_SHORT", f"give a reason of at least {MIN_REASON_CHARACTERS} characters")
    if hold.release is ReleaseRule.AUTO:
        return ClearRefusal("AUTO_ONLY", f"{hold.hold_id} ends when its cause ends: {hold.cause}")
    if not needs_second_key(hold, now_ns):
        return None
    phrase = phrase_for(hold)
    if solo and clearing.role != SECOND_KEY_ROLE:
        return ClearRefusal("SECOND_KEY_NEEDED", f"{hold.hold_id} needs the role risk and the phrase {phrase!r}")
    cooled_ns = hold.clear_after_ns if hold.release is ReleaseRule.TWO_KEY else hold.raised_ns + cool_off_ns
    wait_ns = cooled_ns - now_ns
    if wait_ns > 0:
        return ClearRefusal("COOL_OFF", f"{hold.hold_id} may be cleared in {-(-wait_ns // 1_000_000_000)} s")
    if clearing.typed_phrase != phrase:
        return ClearRefusal("PHRASE_MISMATCH", f"type exactly: {phrase}")
    return None


def default_release(level: TradingLevel) -> ReleaseRule:
    """Return the rule of a hold that an operator raises without an end."""
    return ReleaseRule.TWO_KEY if level is TradingLevel.KILLED else ReleaseRule.ONE_KEY


@dataclass(frozen=True, slots=True)
class AlarmRule:
    """What a venue alarm raises."""

    level: TradingLevel
    whole_venue: bool
    """True: the venue even when the alarm names an instrument."""
    release: ReleaseRule


@dataclass(frozen=True, slots=True)
class Authority:
    """What a role may do to the set of holds."""

    highest: TradingLevel
    """Up to this level it may raise."""
    scopes: frozenset[ScopeKind]
    """In these scopes; a daemon's VENUE is its own venue, the engine's STRATEGY its own strategies."""
    lowers: str
    """What it may clear, for people; operators clear by `may_clear`, daemons by the end of the cause."""


_ANYWHERE: Final = frozenset(ScopeKind)
AUTHORITY: Final[dict[str, Authority]] = {
    "riskd": Authority(TradingLevel.KILLED, _ANYWHERE, "AUTO and TIMED holds that it raised"),
    "execd": Authority(TradingLevel.HALTED, frozenset({ScopeKind.VENUE, ScopeKind.INSTRUMENT}), "nothing"),
    "engine": Authority(TradingLevel.PAUSED, frozenset({ScopeKind.STRATEGY}), "what it raised"),
    "marketdata": Authority(TradingLevel.PAUSED, frozenset({ScopeKind.INSTRUMENT, ScopeKind.VENUE}), "what it raised"),
    "recorder": Authority(TradingLevel.REDUCE_ONLY, frozenset({ScopeKind.SYSTEM}), "what it raised"),
    "trader": Authority(TradingLevel.KILLED, _ANYWHERE, "ONE_KEY holds; first or second signature of a team"),
    "risk": Authority(TradingLevel.KILLED, _ANYWHERE, "ONE_KEY holds; the second key; a signature of a team"),
}
"""Who may raise what. Anybody who is not in the table may raise and clear nothing. What execd reports of a venue raises
riskd's own hold, by the table of alarms.
"""
DAEMONS: Final = ("engine", "marketdata", "recorder")
"""Roles that raise holds of their own, and clear them. An operator clears such a hold with one key: its daemon may be
gone.
"""
KEY_HOLDERS: Final = ("trader", "risk")
"""Roles that may clear holds by hand."""


def daemon_cause(role: str) -> str:
    """Return the cause of the holds that a daemon raises."""
    return role.upper()


def may_raise(role: str, level: TradingLevel, scope: Scope) -> ClearRefusal | None:
    """Return why a role may not raise this hold, or None when it may."""
    authority = AUTHORITY.get(role)
    if authority is None:
        return ClearRefusal("NOT_PERMITTED", f"the role {role!r} raises no holds")
    if level > authority.highest or scope.kind not in authority.scopes:
        return ClearRefusal("NOT_PERMITTED", f"{role} does not raise {level.name} on {scope.kind.name}")
    return None


DEFAULT_ALARM: Final = AlarmRule(TradingLevel.PAUSED, False, ReleaseRule.AUTO)
"""For a cause that is not in the table: stop entries, wait for the all-clear."""
ALARMS: Final[dict[str, AlarmRule]] = {
    "FILL_ANOMALY": AlarmRule(TradingLevel.HALTED, False, ReleaseRule.ONE_KEY),
    "RECOVERED_ORDER": AlarmRule(TradingLevel.HALTED, True, ReleaseRule.ONE_KEY),
    "UNAPPROVED_ORDER": AlarmRule(TradingLevel.KILLED, True, ReleaseRule.TWO_KEY),
    "LIQUIDATED": AlarmRule(TradingLevel.HALTED, False, ReleaseRule.ONE_KEY),
    "POSITION_MISMATCH": AlarmRule(TradingLevel.PAUSED, True, ReleaseRule.AUTO),
    "BALANCE_DRIFT": AlarmRule(TradingLevel.PAUSED, True, ReleaseRule.AUTO),
    "FOREIGN_ACTIVITY": AlarmRule(TradingLevel.REDUCE_ONLY, False, ReleaseRule.ONE_KEY),
    "LATE_APPEARANCE": AlarmRule(TradingLevel.HALTED, True, ReleaseRule.ONE_KEY),
    "GRANT_INVALID": AlarmRule(TradingLevel.PAUSED, False, ReleaseRule.ONE_KEY),
    "UNRESOLVED_ORDER": AlarmRule(TradingLevel.REDUCE_ONLY, False, ReleaseRule.AUTO),
    "KEY_OVERPRIVILEGED": AlarmRule(TradingLevel.HALTED, True, ReleaseRule.ONE_KEY),
    "KEY_UNCHECKED": AlarmRule(TradingLevel.REDUCE_ONLY, True, ReleaseRule.AUTO),
    "KEY_UNBOUND": AlarmRule(TradingLevel.REDUCE_ONLY, True, ReleaseRule.AUTO),
    "KEY_EXPIRES": AlarmRule(TradingLevel.REDUCE_ONLY, True, ReleaseRule.AUTO),
    "UNPROTECTED_POSITION": AlarmRule(TradingLevel.PAUSED, False, ReleaseRule.AUTO),
}
