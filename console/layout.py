"""Which panels fit a terminal and how high each is. Pure, so that every size can be tested without a terminal."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Final

MIN_WIDTH: Final = 80
MIN_HEIGHT: Final = 24
NORMAL_WIDTH: Final = 100
NORMAL_HEIGHT: Final = 28
RIGHT_WIDTH: Final = 41
"""Right column: equity, depth, strategies; what it is at 120 columns."""
SMALL_RIGHT_WIDTH: Final = 34
MAX_RIGHT_WIDTH: Final = 60
WIDE: Final = 140


class Kind(Enum):
    """How much is shown."""

    TINY = "tiny"
    """Below 80x24: mode, level, day result, alarms and stop only."""
    NARROW = "narrow"
    NORMAL = "normal"


@dataclass(frozen=True, slots=True)
class Plan:
    """Heights in lines of every panel; 0 = not shown. Panels side by side share their height."""

    kind: Kind
    status: int
    daemons: int = 0
    money: int = 0
    positions: int = 0
    orders: int = 0
    """Without the `why>` line below it."""
    why: int = 0
    strategies: int = 0
    log: int = 0
    last: int = 0
    keys: int = 0
    right_width: int = 0
    equity: int = 0
    depth: int = 0


def plan_layout(width: int, height: int) -> Plan:
    """Return the plan for a terminal of this size."""
    if width < MIN_WIDTH or height < MIN_HEIGHT:
        return Plan(Kind.TINY, status=height)
    if width < NORMAL_WIDTH or height < NORMAL_HEIGHT:
        return _narrow(height)
    return _normal(width, height)


def _narrow(height: int) -> Plan:
    rest = height - 3 - 1 - 1 - 2 - 2 - 1  # status, daemons, why, strategies, last action and equity, keys
    log = max(2, rest * 3 // 14)
    orders = max(4, rest * 4 // 14)
    return Plan(
        Kind.NARROW,
        status=3,
        daemons=1,
        positions=rest - log - orders,
        orders=orders,
        why=1,
        strategies=2,
        log=log,
        last=2,
        keys=1,
    )


def _normal(width: int, height: int) -> Plan:
    daemons, money = 6, 4
    last = 2 if height >= 34 else 1
    rest = height - 2 - daemons - money - last - 1
    positions = max(5, round(rest * 9 / 21))
    lower = max(5, round(rest * 6 / 21))
    upper = daemons + money + positions
    equity = 6 if upper < 24 else 8
    return Plan(
        Kind.NORMAL,
        status=2,
        daemons=daemons,
        money=money,
        positions=positions,
        orders=lower - 1,
        why=1,
        strategies=lower,
        log=rest - positions - lower,
        last=last,
        keys=1,
        right_width=_right_width(width),
        equity=equity,
        depth=upper - equity,
    )


def _right_width(width: int) -> int:
    if width < 120:
        return SMALL_RIGHT_WIDTH
    return min(MAX_RIGHT_WIDTH, RIGHT_WIDTH + max(0, width - WIDE) // 3)
