"""The limits self-test: each enforced control is given something that it must refuse, or must raise a hold for.

Runs at every start and after every change of limits, on gates of its own with the limits in force, an imagined market
and no journal. A control passes when it objects to its probe and not to a world in order. What cannot be tried is told
with its reason; the control report shows it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from riskd.ask_probes import ASK_PROBES, AskProbe
from riskd.base_limits import Enforced
from riskd.catalogue import CATALOGUE, Owner
from riskd.event_probes import EVENT_PROBES
from riskd.limits import Limits
from riskd.probe_world import ProbeWorld

PROBES: Final = (*ASK_PROBES, *EVENT_PROBES)
PROBED: Final = frozenset(check_id for _, check_ids in PROBES for check_id in check_ids)
_GATEWAY: Final = "execd's gateway enforces it, and riskd runs no part of execd: its own tests and a kill drill try it"
UNPROBED: Final = {spec.check_id: _GATEWAY for spec in CATALOGUE if spec.owner is Owner.EXECD}
"""Control -> why there is no probe of it."""
TOO_WIDE: Final = "its limit is so wide that the self-test cannot reach it"
NO_ENTRY: Final = "the limits refuse the ordinary entry that it takes"
ALWAYS: Final = "it refuses the ordinary order, too: that it refuses the probe proves nothing"


@dataclass(frozen=True, slots=True)
class SelfTest:
    """What came of it; check ids in catalogue order."""

    passed: list[str]
    """Objected to what they must."""
    failed: list[str]
    """Did not."""
    untried: dict[str, str]
    """Enforced -> why nothing is proven about it."""


def self_test(limits: Limits) -> SelfTest:
    """Try every enforced control out."""
    shared = ProbeWorld(limits)
    ordinary = shared.ask()
    calm = ordinary | shared.held_after(0)
    passed: set[str] = set()
    failed: set[str] = set()
    untried = dict(UNPROBED)
    for probe, check_ids in PROBES:
        wanted = {check_id for check_id in check_ids if isinstance(limits.checks.get(check_id), Enforced)}
        if not wanted:
            continue
        objected = probe(shared if isinstance(probe, AskProbe) else ProbeWorld(limits))
        if objected is None:
            untried |= dict.fromkeys(wanted, NO_ENTRY if ordinary else TOO_WIDE)
            continue
        passed |= wanted & objected - calm
        failed |= wanted - objected
        untried |= dict.fromkeys(wanted & objected & calm, ALWAYS)
    order = {spec.check_id: at for at, spec in enumerate(CATALOGUE)}
    return SelfTest(
        sorted(passed, key=order.__getitem__),
        sorted(failed, key=order.__getitem__),
        {check_id: untried[check_id] for check_id in sorted(untried, key=order.__getitem__)},
    )
