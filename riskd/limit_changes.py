"""What a new limits file changes: each value before and after, as a ratio, and whether it tightens or loosens.

Fail closed: what is not known to tighten counts as loosening, and what a running riskd cannot change is refused.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from enum import Enum
from typing import Any, Final

from riskd.base_limits import ANY
from riskd.limits import Limits

MAX_LOOSENING: Final = Decimal(10)
"""A number may become looser by at most this factor in one change: a slip of the finger is refused."""
FIXED: Final = ("profile", "currency", "operators", "operator_keys")
"""Top-level keys that need a restart with another file."""
MISSING: Final = ""
UNDEFINED: Final = "undefined"
"""A key of a table that has neither an own entry nor one of `*`: the check refuses."""

LOWER_IS_TIGHTER: Final = frozenset({
    "max_age_ms", "max_age_min", "max_age_h", "max_future_ms", "max_reconcile_age_s", "max_session_age_ms",
    "collar_bps", "far_multiple", "reduce_collar_bps", "reduce_reference_age_s", "max_qty", "max_pct_of_equity",
    "max_notional", "tier",
    "hard_pct", "soft_pct", "soft_notional", "max_positions", "strategy_per_second", "strategy_per_minute",
    "system_per_second", "max_loss", "max_drawdown_pct", "pause_after", "halt_after", "soft_h", "hard_h",
    "quote_amount", "cautious_size_factor", "approval_valid_ms", "lease_valid_ms", "parent_ttl_s", "grace_s",
    "holding_grace_s", "max_orders", "valid_hours", "price_range_pct", "emergency_bound_bps", "target_pct",
    "sign_off_min", "join_at", "leave_below", "max_per_instrument", "max_per_venue", "max_spread_bps",
    "max_bound_bps", "max_distance_bps", "max_risk_pct", "max_risk", "max_move_bps", "sigmas", "max_drift_bps",
    "soft_share_pct", "max_heat_pct", "max_heat", "max_ratio", "max_offset_ms", "max_age_s", "max_p99_ms", "fills",
    "floor_bps", "entry_pct", "reduce_pct", "venue_per_minute", "max_entries", "max_per_day", "soft_multiple",
    "hard_multiple", "min_orders", "max_loss_pct", "soft_loss", "max_times_equity", "max_silence_s", "max_steps",
    "fill_grace_s", "max_drift_pct", "alarm_s", "action_s", "reduce_only_s", "pause_s", "max_sync_p99_ms", "min_syncs",
    "max_leverage", "max_margin_pct", "max_maintenance_pct", "max_resting_s",
    "max_divergence_bps", "depth_within_bps", "max_slippage_bps", "max_share_pct", "spread_factor",
    "max_per_trade", "daily_allocation_pct", "max_factor", "min_factor", "risk_pct", "budget", "target_daily_vol_pct",
    "per_symbol_cap", "total_cap", "fraction", "clip_pct", "unproven_pct",
})  # fmt: skip
"""Last part of the path: a smaller value allows less."""
HIGHER_IS_TIGHTER: Final = frozenset({
    "pause_at_pct", "halt_at_pct", "rearm_at_pct", "pause_min", "second_pause_min", "cautious_min", "cool_off_min",
    "cool_off_h", "window_days", "window_min", "taker_fee_bps", "entry_spacing_s", "loss_cooldown_s",
    "min_samples", "min_free_gib", "hold_min", "min_distance_bps", "cost_bps", "shock_pct",
    "rise_pct", "stressed_spread_bps", "window_ms",
    "min_stop_multiple", "maintenance_pct", "min_depth_multiple", "depth_factor",
    "min_cost_multiple", "raise_at_win_pct", "lower_at_win_pct", "default_stop_pct", "min_vol_pct", "cold_vol_pct",
})  # fmt: skip
"""A larger value allows less: a loss of -1 % stops earlier than one of -2 %, a longer pause is longer."""
TRUE_IS_TIGHTER: Final = frozenset({"auto_close", "resume_requires_recovery"})
FALSE_IS_TIGHTER: Final = frozenset({"adds"})


class Direction(Enum):
    """What a change does to what is allowed."""

    TIGHTENS = "tightens"
    LOOSENS = "loosens"
    REFUSED = "needs a restart"


@dataclass(frozen=True, slots=True)
class LimitChange:
    """One value."""

    path: str
    before: str
    """Empty = it was not there. Of a key without an own entry: what `*` said, which held for it."""
    after: str
    ratio: str
    """after / before, three decimals; empty when that says nothing."""
    direction: Direction


def compare(before: Limits, after: Limits) -> list[LimitChange]:
    """Return every value that differs, in order of its path."""
    old, new = dict(_leaves("", tree_of(before))), dict(_leaves("", tree_of(after)))
    held = ((path, _held(old, path), _held(new, path)) for path in sorted(old.keys() | new.keys()))
    return [_change(path, was, now) for path, was, now in held if was != now]


def _held(leaves: Mapping[str, object], path: str) -> object:
    """Return what holds at a path: a key of an enforced check's table that has no own entry has that of `*`."""
    found, parts = leaves.get(path), path.split("/", 3)
    if found is not None or len(parts) < 4 or leaves.get(f"checks/{parts[1]}/status") != "enforced":
        return found
    return leaves.get("/".join((*parts[:3], ANY)), UNDEFINED)


def too_far(changes: list[LimitChange]) -> LimitChange | None:
    """Return the first number that loosens by more than MAX_LOOSENING, None when there is none."""
    for change in changes:
        if change.direction is not Direction.LOOSENS:
            continue
        old, new = _number(change.before), _number(change.after)
        if old is None or new is None or not old or not new:
            continue
        factor = abs(new / old)
        if max(factor, 1 / factor) > MAX_LOOSENING:
            return change
    return None


def tree_of(limits: Limits) -> dict[str, Any]:
    """Return limits as plain values, defaults written out."""
    tree: dict[str, Any] = limits.file.model_dump(mode="json", exclude={"checks"})
    tree["checks"] = {key: check.model_dump(mode="json") for key, check in limits.checks.items()}
    return tree


def _leaves(path: str, value: object) -> Iterator[tuple[str, object]]:
    if isinstance(value, Mapping):
        for key, inner in value.items():
            yield from _leaves(f"{path}/{key}" if path else str(key), inner)
    elif value is not None:
        yield path, value


def _change(path: str, old: object, new: object) -> LimitChange:
    before, after = _text(old), _text(new)
    was, now = _number(before), _number(after)
    ratio = f"{now / was:.3f}" if was and now is not None else ""
    return LimitChange(path, before, after, ratio, _direction(path, old, new, was, now))


def _direction(path: str, old: object, new: object, was: Decimal | None, now: Decimal | None) -> Direction:
    parts = path.split("/")
    if parts[0] in FIXED:
        return Direction.REFUSED
    names = set(parts[-2:])  # `max_qty/*`: the limit's name comes before
    tightens = False
    if parts[-1] == "status":
        tightens = new == "enforced" and old is not None
    elif parts[-1] == "reason":
        return Direction.TIGHTENS if new is None else Direction.LOOSENS
    elif isinstance(old, bool) and isinstance(new, bool):
        tightens = bool(names & TRUE_IS_TIGHTER) is new and bool(names & (TRUE_IS_TIGHTER | FALSE_IS_TIGHTER))
    elif was is not None and now is not None:
        tightens = (now < was and bool(names & LOWER_IS_TIGHTER)) or (now > was and bool(names & HIGHER_IS_TIGHTER))
    elif isinstance(old, list | tuple) and isinstance(new, list | tuple):
        if parts[-1] in ("deny", "cluster_pins", "watched"):
            tightens = all(item in new for item in old)
        else:
            tightens = ANY in old or all(item in old for item in new)
    elif old is None and path.startswith("checks/"):
        tightens = True  # a limit of a check that begins to run; its status says so too
    return Direction.TIGHTENS if tightens else Direction.LOOSENS


def _text(value: object) -> str:
    if value is None:
        return MISSING
    if isinstance(value, list | tuple):
        return " ".join(str(item) for item in value)
    return str(value)


def _number(text: str) -> Decimal | None:
    try:
        value = Decimal(text)
    except InvalidOperation:
        return None
    return value if value.is_finite() else None
