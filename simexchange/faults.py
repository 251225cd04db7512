"""Fault switches: what goes wrong, where, how often. Set by config or at run time, drawn from a seeded generator.

| kind | at | effect |
|---|---|---|
| drop | request | processed, but the answer is lost |
| drop_request | request | lost on the way in: not processed, not answered |
| delay | request | processed at once, the answer comes `delay_ms` later (events overtake it) |
| time_out | request | processed, answered as "outcome unknown" |
| internal | request | not processed, answered as "outcome unknown" |
| overloaded | request | refused, with the proof that nobody looked at it |
| reject | request | refused |
| rate_limited | request | refused with `retry_after_s` |
| disconnect | request | processed, then the connection is cut without an answer |
| duplicate | event | the account event is sent twice |
| drop_event | event | the account event is lost |
| gap | depth | one depth diff is not sent |
| disconnect_streams | market | all market streams are cut now (once per call) |
| disconnect_trade | market | all request API connections are cut now |
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any, Final

from tradebot.core.errors import ConfigError
from tradebot.sim.rng import SplitMix64

MAX_RULES: Final = 64
ANSWERED_KINDS: Final = frozenset({"internal", "overloaded", "reject", "rate_limited"})
"""Answered by the switch, and not processed."""
REQUEST_KINDS: Final = ANSWERED_KINDS | {"drop", "drop_request", "delay", "time_out", "disconnect"}
EVENT_KINDS: Final = frozenset({"duplicate", "drop_event"})
DEPTH_KINDS: Final = frozenset({"gap"})
NOW_KINDS: Final = frozenset({"disconnect_streams", "disconnect_trade"})
KINDS: Final = REQUEST_KINDS | EVENT_KINDS | DEPTH_KINDS | NOW_KINDS
ORDER_ACTIONS: Final = frozenset({"place", "cancel", "cancel_all"})
"""Requests that change orders; an amend is a place."""
ACTIONS: Final = ORDER_ACTIONS | {"any", "subscribe", "read"}


@dataclass(slots=True)
class FaultRule:
    """One switch."""

    kind: str
    action: str = "any"
    """Requests it applies to."""
    count: int | None = 1
    """How often it still strikes; None = for ever."""
    probability: float = 1.0
    delay_ms: int = 0
    retry_after_s: int = 1
    skip: int = 0
    """Matching occasions to let pass first."""
    struck: int = field(default=0)

    def as_dict(self) -> dict[str, Any]:
        """Return the switch as plain values."""
        return {name: getattr(self, name) for name in self.__slots__}


def make_rule(values: dict[str, Any], where: str = "fault") -> FaultRule:
    """Return a switch from plain values.

    Raises:
        ConfigError: Naming the field and the fix.
    """
    known = set(FaultRule.__slots__) - {"struck"}
    unknown = set(values) - known
    if unknown:
        raise ConfigError(f"{where}.{min(unknown)}: unknown key; known are {', '.join(sorted(known))}")
    kind, action = values.get("kind"), values.get("action", "any")
    if kind not in KINDS:
        raise ConfigError(f"{where}.kind: {kind!r} is none of {', '.join(sorted(KINDS))}")
    if action not in ACTIONS:
        raise ConfigError(f"{where}.action: {action!r} is none of {', '.join(sorted(ACTIONS))}")
    for name, kinds in (
        ("delay_ms", (int,)),
        ("retry_after_s", (int,)),
        ("skip", (int,)),
        ("probability", (int, float)),
    ):
        value = values.get(name, 0)
        if not isinstance(value, kinds) or isinstance(value, bool) or value < 0:
            raise ConfigError(f"{where}.{name}: {value!r} is not a number >= 0")
    count = values.get("count", None if "probability" in values else 1)
    if count is not None and (not isinstance(count, int) or isinstance(count, bool) or count < 1):
        raise ConfigError(f"{where}.count: {count!r} is not a whole number >= 1 or null")
    return FaultRule(**{**values, "count": count})


class FaultBox:
    """All switches of one exchange."""

    def __init__(self, rng: SplitMix64) -> None:
        self._rng = rng
        self.rules: list[FaultRule] = []
        self.strikes: Counter[str] = Counter()
        """How often each kind of fault happened."""

    def add(self, rule: FaultRule) -> None:
        """Switch one on."""
        if len(self.rules) >= MAX_RULES:
            raise ConfigError(f"faults: more than {MAX_RULES} switches; clear some")
        self.rules.append(rule)

    def clear(self) -> None:
        """Switch everything off."""
        self.rules.clear()

    def on_request(self, action: str) -> FaultRule | None:
        """Return what happens to this request, None = nothing."""
        return self._strike(REQUEST_KINDS, action)

    def on_event(self) -> FaultRule | None:
        """Return what happens to this account event."""
        return self._strike(EVENT_KINDS, "any")

    def on_depth(self) -> FaultRule | None:
        """Return what happens to this depth diff."""
        return self._strike(DEPTH_KINDS, "any")

    def _strike(self, kinds: frozenset[str], action: str) -> FaultRule | None:
        for rule in self.rules:
            if rule.kind not in kinds or rule.action not in ("any", action):
                continue
            if rule.skip:
                rule.skip -= 1
                continue
            if rule.probability < 1.0 and self._rng.uniform() >= rule.probability:
                continue
            rule.struck += 1
            self.strikes[rule.kind] += 1
            if rule.count is not None:
                rule.count -= 1
                if not rule.count:
                    self.rules.remove(rule)
            return rule
        return None
