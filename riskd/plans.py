"""Which checks run for which ask: made once from catalogue and limits, so that an ask only walks a tuple."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from riskd.base_limits import NotApplicable
from riskd.catalogue import (
    CATALOGUE,
    SKIPPED_REDUCING,
    SKIPPED_STAGE_ORDER,
    SKIPPED_STAGE_PARENT,
    SKIPPED_WATCHED,
    CheckSpec,
)
from riskd.checks import CHECKS, undefined
from riskd.inputs import CheckFunction
from riskd.limits import Limits
from tradebot.core.approvals import CheckOutcome


class Stage(Enum):
    """What is asked."""

    PLAIN = "plain"
    """An intent and its only venue message at once."""
    PARENT = "parent"
    ORDER = "order"


@dataclass(frozen=True, slots=True)
class Plan:
    """Checks of one kind of ask, catalogue order."""

    name: str
    steps: tuple[tuple[str, CheckFunction], ...]
    """Checks that run."""
    others: dict[str, tuple[CheckOutcome, str]]
    """Checks that do not, with the reason that is reported."""


Plans = dict[tuple[Stage, bool], Plan]
"""By (stage, reducing)."""


def make_plans(limits: Limits) -> Plans:
    """Return the plans of a limits file."""
    return {(stage, reducing): _plan(limits, stage, reducing) for stage in Stage for reducing in (False, True)}


def plan_name(stage: Stage, reducing: bool) -> str:
    """Return the name under which decisions remember a plan."""
    return f"{stage.value}-reducing" if reducing else stage.value


def _plan(limits: Limits, stage: Stage, reducing: bool) -> Plan:
    steps: list[tuple[str, CheckFunction]] = []
    others: dict[str, tuple[CheckOutcome, str]] = {}
    for spec in CATALOGUE:
        if not spec.configurable:
            continue
        setting = limits.checks.get(spec.check_id)
        if isinstance(setting, NotApplicable):
            others[spec.check_id] = (CheckOutcome.NOT_APPLICABLE, setting.reason)
        elif (skipped := _skipped(spec, stage, reducing, known=setting is not None)) is not None:
            others[spec.check_id] = (CheckOutcome.SKIPPED, skipped)
        else:
            steps.append((spec.check_id, undefined if setting is None else CHECKS[spec.check_id]))
    return Plan(plan_name(stage, reducing), tuple(steps), others)


def _skipped(spec: CheckSpec, stage: Stage, reducing: bool, *, known: bool) -> str | None:
    """Return why a check is not run, None when it is. One that the limits do not mention runs always, and refuses."""
    if reducing and not spec.reducing:
        return SKIPPED_REDUCING
    if not known:
        return None
    if spec.watched:
        return SKIPPED_WATCHED
    if stage is Stage.PLAIN:
        return None
    if stage is Stage.PARENT and not spec.parent:
        return SKIPPED_STAGE_ORDER
    if stage is Stage.ORDER and not spec.order:
        return SKIPPED_STAGE_PARENT
    return None
