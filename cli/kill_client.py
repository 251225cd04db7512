"""Messages about kills as the command's own records."""

from __future__ import annotations

from cli.kill_views import NS_PER_MS, DrillView, KillMarkView, KillsView, KillView
from tradebot.rpc.risk.v1 import kill_pb2
from tradebot.wire.fields import enum_name
from tradebot.wire.levels import scope_from_wire


def kills_view(message: kill_pb2.ListKillsResponse) -> KillsView:
    """Return kills and the last drill."""
    drill = message.last_drill
    last = None
    if message.HasField("last_drill"):
        last = DrillView(
            drill.kill_id, drill.operator, drill.environment, drill.time_ns, drill.duration_ms, drill.evidence
        )
    return KillsView([kill_view(kill) for kill in message.kills], last)


def kill_view(kill: kill_pb2.KillReport) -> KillView:
    """Return one kill; times of steps count from its hold."""
    scope = scope_from_wire(kill.scope, "kill.scope")
    marks = [
        KillMarkView(
            enum_name(kill_pb2.KillStep, mark.step, "KILL_STEP_"),
            (mark.began_time_ns - kill.began_time_ns) // NS_PER_MS,
            (mark.ended_time_ns - mark.began_time_ns) // NS_PER_MS if mark.ended_time_ns else None,
            mark.evidence,
        )
        for mark in kill.marks
    ]
    return KillView(
        kill.kill_id,
        f"{scope.kind.name.lower()} {scope.name}".rstrip(),
        enum_name(kill_pb2.KillState, kill.state, "KILL_STATE_"),
        enum_name(kill_pb2.KillStep, kill.step, "KILL_STEP_"),
        kill.flatten,
        kill.drill,
        kill.operator,
        kill.reason,
        kill.began_time_ns,
        kill.ended_time_ns,
        kill.attempts,
        kill.stuck,
        marks,
        list(kill.left),
    )
