"""A kill as a saga: latch, fence, cancel, resolve, flatten, confirm, report. Pure rules: what is seen goes in, the next
state and one command come out.

The step is never remembered and trusted, it is the first one whose condition does not hold: whatever crashes, fills
late or answers twice, the next look finds the right place. What was proved, and when, is in the record. A step that
is over its time says why and what a person has to do, and is tried on at a slower, bounded rate.

Source of the budget: the kill sequence of the risk design (fence 50 ms, cancels sent 250 ms, confirmed by query on two
reads a second apart; incomplete after 3 s is an alarm; an unproven order is paged after a minute).
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import Final

import msgspec

from riskd.records import KillMark, KillSaga
from tradebot.core.levels import Hold
from tradebot.core.mass_cancel import MassCancel, MassCancelReport, VenueRead

NS_PER_MS: Final = 1_000_000
NS_PER_S: Final = 1_000 * NS_PER_MS


class Step(IntEnum):
    """Steps in order. Values are wire values of the proto enum."""

    LATCH = 1
    FENCE = 2
    CANCEL = 3
    RESOLVE = 4
    FLATTEN = 5
    CONFIRM = 6
    REPORT = 7


WITHIN_NS: Final = {
    Step.FENCE: 1 * NS_PER_S,
    Step.CANCEL: 3 * NS_PER_S,
    Step.RESOLVE: 60 * NS_PER_S,
    Step.FLATTEN: 75 * NS_PER_S,
    Step.CONFIRM: 15 * NS_PER_S,
}
"""A step that takes longer is stuck, and says so. The closing ladder alone has 30 tries of 2 s."""
RETRY_NS: Final = {
    Step.FENCE: 250 * NS_PER_MS,
    Step.CANCEL: 500 * NS_PER_MS,
    Step.RESOLVE: 2 * NS_PER_S,
    Step.FLATTEN: 2 * NS_PER_S,
    Step.CONFIRM: 1 * NS_PER_S,
}
"""From one command to the next while the step is in its time."""
STUCK_RETRY_NS: Final = 5 * NS_PER_S
"""The same when it is over: for ever, since nobody else would."""
CLEAN_READS: Final = 2
CLEAN_APART_NS: Final = 1 * NS_PER_S
"""The venue has to show twice, so far apart, that nothing is left."""
MAX_MARKS: Final = 60
"""Steps kept in a record; of more the oldest after LATCH is forgotten."""
MAX_LEFT: Final = 100
MAX_NAMED: Final = 5
"""Orders or positions that a text names; the number says how many there are."""
DONE: Final = "DONE"
RELEASED: Final = "RELEASED"


@dataclass(frozen=True, slots=True)
class Sight:
    """What riskd knows at one moment of everything that the scope of a kill covers."""

    session: bool
    """Whether execd is there."""
    fenced_epoch: int = 0
    """Epoch that execd said it obeys, in this session; 0 = it has not."""
    working: tuple[str, ...] = ()
    """Orders that have to go and still work."""
    in_flight: tuple[str, ...] = ()
    """Orders whose outcome is not proven, protection included, and approvals that may have been used."""
    to_close: tuple[str, ...] = ()
    """Open positions that this kill closes, in words."""
    closing: bool = False
    """Whether the ladder works on a position of the scope."""
    orphans: tuple[str, ...] = ()
    """Protective orders whose position is flat."""
    kept: frozenset[str] = frozenset()
    """Protective orders that stay."""
    venues: tuple[str, ...] = ()
    """Venues that have to be read; empty when the scope names nothing that is traded."""
    report: MassCancelReport | None = None
    """Newest complete report whose order events are all folded."""
    ladder: str = ""
    """What the closing ladder last said, for the reason when it does not get through."""
    left: tuple[str, ...] = ()
    """What stays when the kill is done: protected positions and dust."""


@dataclass(frozen=True, slots=True)
class Advance:
    """The kill as it is now, and what to do."""

    saga: KillSaga
    command: MassCancel | None = None
    close: bool = False
    """Begin to close what `Sight.to_close` names, as far as no order of its instrument is unproven."""
    close_doubtful: bool = False
    """The rest too: waiting has not helped, and an exit never sells more than is free."""


def begin(hold: Hold, epoch: int, *, flatten: bool, drill: bool, to_cancel: int, now_ns: int) -> KillSaga:
    """Return the saga of a KILLED hold that is in force."""
    text = f"{hold.hold_id} {hold.cause} by {hold.raised_by} is journaled, epoch {epoch}"
    marks = [
        KillMark(int(Step.LATCH), hold.raised_ns, now_ns, text),
        KillMark(int(Step.FENCE), now_ns),
    ]
    return KillSaga(
        kill_id=hold.hold_id,
        scope=hold.scope,
        flatten=flatten,
        drill=drill,
        operator=hold.raised_by,
        reason=hold.evidence,
        epoch=epoch,
        began_ns=hold.raised_ns,
        step=int(Step.FENCE),
        attempt=0,
        next_ns=now_ns,
        marks=marks,
        to_cancel=to_cancel,
    )


def first_unmet(saga: KillSaga, sight: Sight) -> Step:
    """Return the first step whose condition does not hold."""
    if sight.fenced_epoch < saga.epoch:
        return Step.FENCE
    if sight.working:
        return Step.CANCEL
    if sight.in_flight:
        return Step.RESOLVE
    if sight.to_close or sight.closing or sight.orphans:
        return Step.FLATTEN
    return Step.CONFIRM if saga.clean_reads < CLEAN_READS and sight.venues else Step.REPORT


def is_disturbed(saga: KillSaga, sight: Sight) -> bool:
    """Return whether a kill that was done has work again: a late fill, an order that came back."""
    return bool(sight.working or sight.in_flight or sight.to_close or sight.orphans)


def advance(saga: KillSaga, sight: Sight, now_ns: int) -> Advance:
    """Return the next state of a kill whose hold is in force.

    Equal to `saga` when nothing changed and nothing is due.
    """
    if saga.outcome == DONE:
        if not is_disturbed(saga, sight):
            return Advance(saga)
        saga = msgspec.structs.replace(saga, outcome="", ended_ns=0, left=[])
    if saga.step == Step.CONFIRM:
        saga = _count_read(saga, sight)
    step = first_unmet(saga, sight)
    if step != saga.step:
        saga = _enter(saga, step, sight, now_ns)
    if step is Step.REPORT:
        return Advance(_finish(saga, sight, now_ns))
    stuck = reason(saga, sight) if now_ns - entered_ns(saga) > WITHIN_NS[step] else ""
    if stuck != saga.stuck:
        saga = msgspec.structs.replace(saga, stuck=stuck)
    if now_ns < saga.next_ns or not sight.session:
        return Advance(saga)
    pause_ns = STUCK_RETRY_NS if stuck else RETRY_NS[step]
    saga = msgspec.structs.replace(saga, attempt=saga.attempt + 1, next_ns=now_ns + pause_ns)
    command = MassCancel(saga.kill_id, saga.attempt, saga.scope, step is Step.CONFIRM)
    close = step in (Step.RESOLVE, Step.FLATTEN) and bool(sight.to_close)
    return Advance(saga, command, close, close and (bool(stuck) or step is Step.FLATTEN))


def released(saga: KillSaga, time_ns: int) -> KillSaga:
    """Return a kill whose hold was cleared: it ends, done or not."""
    if saga.outcome:
        return saga
    marks = [*saga.marks[:-1], msgspec.structs.replace(saga.marks[-1], ended_ns=time_ns, evidence="hold cleared")]
    return msgspec.structs.replace(saga, outcome=RELEASED, ended_ns=time_ns, stuck="", marks=marks)


def entered_ns(saga: KillSaga) -> int:
    """Return when the present step was entered."""
    return saga.marks[-1].began_ns


# ---- steps


def _enter(saga: KillSaga, step: Step, sight: Sight, now_ns: int) -> KillSaga:
    left = Step(saga.step)
    met = step > left
    text = _proof(saga, left, sight) if met else f"again {step.name}: {reason_of(step, saga, sight)}"
    last = msgspec.structs.replace(saga.marks[-1], ended_ns=now_ns, evidence=text)
    marks = [*saga.marks[:-1], last, KillMark(int(step), now_ns)]
    if len(marks) > MAX_MARKS:
        del marks[1]
    return msgspec.structs.replace(
        saga,
        step=int(step),
        stuck="",
        next_ns=now_ns,
        marks=marks,
        clean_reads=saga.clean_reads if step > Step.CONFIRM else 0,
        confirm_after=saga.attempt if step is Step.CONFIRM else saga.confirm_after,
        doubt="",
        to_cancel=saga.to_cancel + (len(sight.working) if step < left else 0),
    )


def _proof(saga: KillSaga, step: Step, sight: Sight) -> str:
    """Return what proved that a step is over."""
    match step:
        case Step.FENCE:
            return f"execd obeys epoch {sight.fenced_epoch}: older approvals are void"
        case Step.CANCEL:
            return f"no order of the scope works but protection ({len(sight.kept)}); {saga.to_cancel} were to go"
        case Step.RESOLVE:
            return "the outcome of every order is proven"
        case Step.FLATTEN:
            return "every position that was to be closed is closed; no stop without a position"
        case _:
            return f"{CLEAN_READS} reads of {', '.join(sight.venues)}: {saga.doubt}"


def _finish(saga: KillSaga, sight: Sight, now_ns: int) -> KillSaga:
    foreign = [] if sight.report is None else [text for read in sight.report.reads for text in _foreign(read)]
    left = [*sight.left, *foreign]
    if len(left) > MAX_LEFT:
        left = [*left[: MAX_LEFT - 1], f"and {len(left) - MAX_LEFT + 1} more"]
    text = f"done; {len(left)} left" if left else "done; nothing is left"
    if not sight.venues:
        text = f"{saga.scope.name} is traded nowhere: is the name right?"
    marks = [*saga.marks[:-1], msgspec.structs.replace(saga.marks[-1], ended_ns=now_ns, evidence=text)]
    return msgspec.structs.replace(saga, outcome=DONE, ended_ns=now_ns, stuck="", left=left, marks=marks)


# ---- confirming


def _count_read(saga: KillSaga, sight: Sight) -> KillSaga:
    """Count a report that is younger than the step and was not counted yet."""
    report = sight.report
    if report is None or report.attempt <= max(saga.confirm_after, saga.seen_attempt):
        return saga
    problem = unclean(saga, sight, report)
    if problem:
        return msgspec.structs.replace(saga, seen_attempt=report.attempt, clean_reads=0, clean_read_ns=0, doubt=problem)
    began = sorted(read.started_ns for read in report.reads) or [0]
    if saga.clean_reads and began[0] - saga.clean_read_ns < CLEAN_APART_NS:
        return msgspec.structs.replace(saga, seen_attempt=report.attempt)  # true, and too soon to say more
    clean, kept = saga.clean_reads + 1, sum(read.open_count for read in report.reads)
    text = f"nothing works but {kept} orders that stay" if kept else "nothing works"
    if saga.flatten:
        text += ", balances agree with our books"
    return msgspec.structs.replace(
        saga, seen_attempt=report.attempt, clean_reads=clean, clean_read_ns=began[-1], doubt=text
    )


def unclean(saga: KillSaga, sight: Sight, report: MassCancelReport) -> str:
    """Return what a report shows that should not be there; empty = nothing."""
    read = {item.venue for item in report.reads}
    missing = [venue for venue in sight.venues if venue not in read]
    if missing:
        return f"{missing[0]} was not read"
    for item in report.reads:
        if item.error:
            return f"{item.venue}: {item.error}"
        works = [o for o in item.open_orders if o.role is not None and o.client_order_id not in sight.kept]
        if works:
            return f"{item.venue} still works {_named([o.client_order_id for o in works])}"
        for holding in item.holdings if saga.flatten else ():
            if holding.differs:
                return f"{holding.instrument_id}: {item.venue} holds {holding.at_venue}, our books {holding.booked}"
    return ""


def _foreign(read: VenueRead) -> list[str]:
    return [
        f"{read.venue} works order {order.venue_order_id} in {order.instrument_id}, which is not ours: cancel it there"
        for order in read.open_orders
        if order.role is None
    ]


# ---- words


def reason(saga: KillSaga, sight: Sight) -> str:
    """Return why the present step is not over and what a person has to do."""
    step = Step(saga.step)
    if not sight.session:
        return "execd has no session: start it; until then cancel by hand at the venue"
    return f"{reason_of(step, saga, sight)}: {TO_DO[step]}"


def reason_of(step: Step, saga: KillSaga, sight: Sight) -> str:
    """Return why a step is not over."""
    match step:
        case Step.FENCE:
            return f"execd obeys epoch {sight.fenced_epoch}, not yet {saga.epoch}"
        case Step.CANCEL:
            return f"still working: {_named(sight.working)}"
        case Step.RESOLVE:
            return f"outcome not proven: {_named(sight.in_flight)}"
        case Step.FLATTEN:
            text = f"open: {_named(sight.to_close)}" if sight.to_close else "a closing order is on its way"
            if sight.orphans and not sight.to_close:
                text = f"stops without a position: {_named(sight.orphans)}"
            return f"{text} ({sight.ladder})" if sight.ladder else text
        case _:
            return saga.doubt or "no report of a read that is younger than the last change"


TO_DO: Final = {
    Step.FENCE: "look at execd's log and `tradebot status`; `tradebot down` stops it for certain",
    Step.CANCEL: "cancel these at the venue's own site; the next read proves it",
    Step.RESOLVE: "look these up at the venue by their client ids and cancel what works",
    Step.FLATTEN: "close it at the venue by hand; the fill is booked by itself",
    Step.CONFIRM: "compare with the venue's own site; `tradebot audit` has the details",
}


def _named(items: tuple[str, ...] | list[str]) -> str:
    more = len(items) - MAX_NAMED
    return ", ".join(items[:MAX_NAMED]) + (f" and {more} more" if more > 0 else "")
