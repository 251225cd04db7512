"""The rules of a kill: which step, what proves it, when it is stuck, what it says then."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest

from riskd.records import KillSaga, RecordType, decode_record, encode_record
from riskd.saga import DONE, MAX_LEFT, MAX_MARKS, STUCK_RETRY_NS, Sight, Step, advance, begin, released
from riskd.saga_book import MAX_KILLS, SagaBook
from tests.riskd.kit import BTC, SECOND, START_NS
from tradebot.core.levels import SYSTEM_SCOPE, Hold, ReleaseRule, TradingLevel
from tradebot.core.mass_cancel import MassCancel, MassCancelReport, OpenOrder, VenueHolding, VenueRead
from tradebot.core.orders import OrderRole

HOLD = Hold("H7", TradingLevel.KILLED, SYSTEM_SCOPE, "OPERATOR", "ana", START_NS, ReleaseRule.TWO_KEY, "all out")
EPOCH = 5
FENCED = Sight(session=True, fenced_epoch=EPOCH, venues=("binance",))
STOP = OpenOrder("9", "stop1", BTC, "s1", OrderRole.PROTECTION)
ENTRY = OpenOrder("8", "c1", BTC, "s1", OrderRole.ENTRY)
STRANGER = OpenOrder("7", "web_1", BTC)
BUDGET_S = {Step.FENCE: 1, Step.CANCEL: 3, Step.RESOLVE: 60, Step.FLATTEN: 75, Step.CONFIRM: 15}
"""How long a step may take, and how long it waits between two tries; from the design of the kill sequence."""
RETRY_S = {Step.FENCE: 0.25, Step.CANCEL: 0.5, Step.RESOLVE: 2, Step.FLATTEN: 2, Step.CONFIRM: 1}


class Course:
    """One kill, told what riskd sees, moment by moment."""

    def __init__(self, **how: Any) -> None:
        how = {"flatten": False, "drill": False, "to_cancel": 2} | how
        self.now_ns = START_NS
        self.saga: KillSaga = begin(HOLD, EPOCH, now_ns=START_NS, **how)
        self.commands: list[MassCancel] = []
        self.closes = 0

    def see(self, sight: Sight, after_s: float = 0.0) -> Step:
        self.now_ns += int(after_s * SECOND)
        done = advance(self.saga, sight, self.now_ns)
        self.saga = done.saga
        if done.command is not None:
            self.commands.append(done.command)
        self.closes += done.close
        return Step(self.saga.step)

    def read(self, *orders: OpenOrder, error: str = "", attempt: int | None = None, **more: Any) -> MassCancelReport:
        """Return what execd reports of a read that began now."""
        held = tuple(more.pop("holdings", ()))
        read = VenueRead("binance", self.now_ns, error, len(orders), orders, held)
        last = self.commands[-1].attempt if attempt is None else attempt
        return MassCancelReport("H7", last, EPOCH, 0, 0, (read,))

    def confirm(self, sight: Sight = FENCED, *orders: OpenOrder) -> None:
        """Two good reads, a second apart."""
        for _ in range(2):
            self.see(sight, 1.1)
            self.see(replace(sight, report=self.read(*orders)))


def test_every_step_is_entered_in_order_and_proved() -> None:
    course = Course(flatten=True)
    steps = [
        course.see(Sight(session=True)),
        course.see(replace(FENCED, working=("c1",), in_flight=("c2",), to_close=("1 BTC",))),
        course.see(replace(FENCED, in_flight=("c2",), to_close=("1 BTC",))),
        course.see(replace(FENCED, to_close=("1 BTC",))),
        course.see(FENCED),
    ]
    course.confirm()

    assert steps == [Step.FENCE, Step.CANCEL, Step.RESOLVE, Step.FLATTEN, Step.CONFIRM]
    assert course.saga.outcome == DONE
    assert [Step(mark.step) for mark in course.saga.marks] == list(Step)
    assert all(mark.evidence and mark.ended_ns >= mark.began_ns > 0 for mark in course.saga.marks)
    assert "2 were to go" in course.saga.marks[2].evidence
    assert course.saga.marks[5].evidence == "2 reads of binance: nothing works, balances agree with our books"


def test_attempts_rise_and_only_confirming_asks_for_reads() -> None:
    course = Course()
    course.see(Sight(session=True))
    course.see(replace(FENCED, working=("c1",)))
    course.see(FENCED)

    assert [(c.attempt, c.read_venues) for c in course.commands] == [(1, False), (2, False), (3, True)]


def test_within_a_step_commands_keep_their_distance() -> None:
    sights = {
        Step.FENCE: Sight(session=True), Step.CANCEL: replace(FENCED, working=("c1",)),
        Step.RESOLVE: replace(FENCED, in_flight=("c1",)), Step.FLATTEN: replace(FENCED, closing=True),
        Step.CONFIRM: FENCED,
    }  # fmt: skip
    for step, sight in sights.items():
        course, pause_s = Course(), RETRY_S[step]
        course.see(sight)
        course.see(sight, pause_s - 0.001)
        early = len(course.commands)
        course.see(sight, 0.001)

        assert (Step(course.saga.step), early, len(course.commands)) == (step, 1, 2)


def test_an_answer_to_an_earlier_attempt_proves_nothing() -> None:
    course = Course()
    course.see(replace(FENCED, working=("c1",)))
    old = course.read()
    course.see(FENCED)
    course.see(replace(FENCED, report=old))
    course.see(replace(FENCED, report=old), 1.1)

    assert course.saga.clean_reads == 0


def test_an_answer_that_comes_twice_counts_once() -> None:
    course = Course()
    course.see(FENCED)
    report = course.read()
    for _ in range(5):
        course.see(replace(FENCED, report=report))

    assert course.saga.clean_reads == 1


def test_two_reads_within_a_second_count_once() -> None:
    course = Course()
    course.see(FENCED)
    course.see(replace(FENCED, report=course.read()))
    soon = replace(course.read(attempt=99), reads=(VenueRead("binance", course.now_ns + SECOND - 1),))
    course.see(replace(FENCED, report=soon))
    at_last = replace(soon, attempt=100, reads=(VenueRead("binance", course.now_ns + SECOND),))

    assert course.saga.clean_reads == 1
    assert course.see(replace(FENCED, report=at_last)) is Step.REPORT


def test_a_second_lies_between_the_two_reads_of_every_venue() -> None:
    sight = replace(FENCED, venues=("binance", "okx"))
    course = Course()
    course.see(sight)
    began_ns = course.now_ns

    def read(attempt: int, *after_s: float) -> None:
        reads = tuple(
            VenueRead(venue, began_ns + int(s * SECOND)) for venue, s in zip(sight.venues, after_s, strict=True)
        )
        course.see(replace(sight, report=replace(course.read(attempt=attempt), reads=reads)))

    read(10, 0, 0.5)
    read(11, 1.5, 1.4)
    counted = course.saga.clean_reads
    read(12, 1.5, 9)

    assert (counted, course.saga.outcome) == (1, DONE)


def test_a_bad_read_begins_the_count_again() -> None:
    course = Course()
    course.see(FENCED)
    course.see(replace(FENCED, report=course.read()))
    course.see(FENCED, 1.1)
    course.see(replace(FENCED, report=course.read(ENTRY)))

    assert (course.saga.clean_reads, course.saga.doubt) == (0, "binance still works c1")


@pytest.mark.parametrize(
    ("report", "problem"),
    [
        ({"reads": ()}, "binance was not read"),
        ({"reads": (VenueRead("okx", 1),)}, "binance was not read"),
        ({"reads": (VenueRead("binance", 1, "no answer"),)}, "binance: no answer"),
        ({"reads": (VenueRead("binance", 1, "", 1, (STOP,)),)}, "binance still works stop1"),
    ],
)
def test_what_the_venue_must_not_show(report: dict[str, Any], problem: str) -> None:
    course = Course()
    course.see(FENCED)
    course.see(replace(FENCED, report=replace(course.read(), **report)))

    assert (course.saga.doubt, course.saga.clean_reads) == (problem, 0)


def test_protection_of_an_open_position_may_stay() -> None:
    course = Course()
    kept = replace(FENCED, kept=frozenset({"stop1"}), left=("0.1 BTC stays",))
    course.see(kept)
    course.confirm(kept, STOP)

    assert (course.saga.outcome, course.saga.left) == (DONE, ["0.1 BTC stays"])


def test_a_strangers_order_is_reported_and_does_not_hold_it_up() -> None:
    course = Course()
    course.see(FENCED)
    course.see(replace(FENCED, report=course.read(STRANGER)))
    course.see(FENCED, 1.1)
    course.see(replace(FENCED, report=course.read(STRANGER)))

    assert course.saga.outcome == DONE
    assert course.saga.left == [f"binance works order 7 in {BTC}, which is not ours: cancel it there"]


@pytest.mark.parametrize(("at_venue", "clean"), [("0.10000", True), ("0.100009", True), ("0.10001", False)])
def test_flat_needs_balances_that_agree_with_our_books(at_venue: str, clean: bool) -> None:
    holding = VenueHolding(BTC, Decimal(at_venue), Decimal("0.1"), Decimal("0.00001"))
    course = Course(flatten=True)
    course.see(FENCED)
    course.see(replace(FENCED, report=course.read(holdings=[holding])))

    assert bool(course.saga.clean_reads) is clean


def test_without_flattening_balances_are_not_this_kills_business() -> None:
    holding = VenueHolding(BTC, Decimal(2), Decimal(1), Decimal("0.00001"))
    course = Course()
    course.see(FENCED)
    course.see(replace(FENCED, report=course.read(holdings=[holding])))

    assert course.saga.clean_reads == 1


@pytest.mark.parametrize(
    ("sight", "step", "words"),
    [
        (Sight(session=True, fenced_epoch=3), Step.FENCE, ("epoch 3, not yet 5", "tradebot down")),
        (replace(FENCED, working=("c1",)), Step.CANCEL, ("still working: c1", "cancel these at the venue")),
        (replace(FENCED, in_flight=("c1", "c2")), Step.RESOLVE, ("not proven: c1, c2", "client ids")),
        (replace(FENCED, to_close=("0.1 X",), ladder="try 9 of 30"), Step.FLATTEN, ("0.1 X (try 9 of 30)", "by hand")),
        (replace(FENCED, closing=True), Step.FLATTEN, ("a closing order is on its way: close",)),
        (replace(FENCED, orphans=("s1",)), Step.FLATTEN, ("stops without a position: s1", "by hand")),
        (FENCED, Step.CONFIRM, ("no report", "tradebot audit")),
        (Sight(session=False), Step.FENCE, ("no session", "by hand")),
    ],
)
def test_a_step_over_its_time_says_why_and_what_to_do_and_goes_on_trying(
    sight: Sight, step: Step, words: tuple[str, ...]
) -> None:
    course = Course(flatten=True)
    course.see(sight)
    at_the_limit = course.see(sight, BUDGET_S[step])
    quiet = course.saga.stuck
    course.see(sight, 0.001)
    sent = len(course.commands)
    for _ in range(60):
        course.see(sight, 1)

    assert (at_the_limit, quiet) == (step, "")
    assert all(word in course.saga.stuck for word in words), course.saga.stuck
    assert course.saga.outcome == ""
    assert STUCK_RETRY_NS == 5 * SECOND
    assert abs(len(course.commands) - sent - (12 if sight.session else 0)) <= 1


def test_a_stuck_step_that_gets_through_is_not_stuck_any_more() -> None:
    course = Course()
    course.see(replace(FENCED, working=("c1",)))
    course.see(replace(FENCED, working=("c1",)), 4)
    assert course.saga.stuck
    course.see(FENCED, 0.1)
    course.confirm()

    assert (course.saga.stuck, course.saga.outcome) == ("", DONE)


def test_a_long_list_names_five_and_counts_the_rest() -> None:
    course = Course()
    many = replace(FENCED, working=tuple(f"c{n}" for n in range(9)))
    course.see(many)
    course.see(many, 4)

    assert "c4 and 4 more" in course.saga.stuck

    five = replace(FENCED, working=tuple(f"c{n}" for n in range(5)))
    course.see(five)
    assert "still working: c0, c1, c2, c3, c4:" in course.saga.stuck


def test_closing_waits_for_unproven_orders_of_the_instrument_and_not_for_ever() -> None:
    sight = replace(FENCED, in_flight=("c1",), to_close=("0.1 X",))
    course = Course(flatten=True)
    course.see(Sight(session=True))
    first = advance(course.saga, sight, course.now_ns)
    course.see(sight)
    course.see(sight, 61)
    later = advance(course.saga, sight, course.now_ns + STUCK_RETRY_NS)

    assert (first.close, first.close_doubtful) == (True, False)
    assert (later.close, later.close_doubtful) == (True, True)


def test_a_fill_after_the_end_begins_it_again() -> None:
    course = Course(flatten=True)
    course.see(FENCED)
    course.confirm()
    again = course.see(replace(FENCED, to_close=("0.1 X",)), 30)
    open_again = course.saga
    course.see(FENCED)
    course.confirm()

    assert (again, open_again.outcome, open_again.ended_ns) == (Step.FLATTEN, "", 0)
    assert "again FLATTEN: open: 0.1 X" in open_again.marks[-2].evidence
    assert course.saga.outcome == DONE


def test_orders_that_work_again_are_added_to_those_that_were_to_go() -> None:
    course = Course()
    course.see(replace(FENCED, in_flight=("c1",)))
    course.see(replace(FENCED, working=("c1", "c2", "c3")))

    assert course.saga.to_cancel == 2 + 3


def test_a_lost_session_does_not_undo_what_is_done_but_what_is_not() -> None:
    done, under_way = Course(), Course()
    done.see(FENCED)
    done.confirm()
    under_way.see(replace(FENCED, working=("c1",)))

    assert done.see(Sight(session=False)) is Step.REPORT
    assert under_way.see(Sight(session=False)) is Step.FENCE


def test_a_kill_whose_hold_is_cleared_ends_unfinished_and_says_so() -> None:
    course = Course()
    course.see(replace(FENCED, working=("c1",)))
    over = released(course.saga, course.now_ns + 5)

    assert (over.outcome, over.ended_ns, over.marks[-1].evidence) == ("RELEASED", course.now_ns + 5, "hold cleared")
    assert released(over, course.now_ns + 9) is over


def test_marks_are_bounded_and_the_latch_is_never_forgotten() -> None:
    course = Course()
    for _ in range(100):
        course.see(replace(FENCED, working=("c1",)), 0.1)
        course.see(FENCED, 0.1)

    assert len(course.saga.marks) == MAX_MARKS
    assert course.saga.marks[0].step == Step.LATCH


def test_the_record_comes_back_as_it_was() -> None:
    course = Course(flatten=True)
    course.see(replace(FENCED, working=("c1",)))
    course.see(replace(FENCED, working=("c1",)), 9)

    assert decode_record(RecordType.KILL_SAGA, encode_record(course.saga)) == course.saga


def test_what_is_left_is_listed_up_to_a_bound_with_a_count_of_the_rest() -> None:
    course = Course()
    many = replace(FENCED, left=tuple(f"position {n} stays" for n in range(MAX_LEFT + 5)))
    course.see(many)
    course.confirm(many)

    assert len(course.saga.left) == MAX_LEFT
    assert course.saga.left[-1] == "and 6 more"

    just = Course()
    fits = replace(FENCED, left=many.left[:MAX_LEFT])
    just.see(fits)
    just.confirm(fits)
    assert just.saga.left == list(fits.left)


def test_of_many_kills_the_oldest_that_is_over_is_forgotten_and_never_one_under_way() -> None:
    book = SagaBook()
    under_way = begin(replace(HOLD, hold_id="first"), EPOCH, flatten=False, drill=False, to_cancel=0, now_ns=START_NS)
    book.apply(under_way)
    for n in range(MAX_KILLS + 5):
        saga = begin(replace(HOLD, hold_id=f"H{n}"), EPOCH, flatten=False, drill=False, to_cancel=0, now_ns=START_NS)
        book.apply(released(saga, START_NS))

    assert len(book.kills) == MAX_KILLS
    assert next(iter(book.kills)) == "first"
    assert "H5" not in book.kills
