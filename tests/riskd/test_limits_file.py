"""Another limits file at a start: held against what was in force, journaled, and never looser without consent."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from cli.signing import sign_limits_file
from riskd.limits import Limits, load_limits, parse_limits
from riskd.limits_file import LIMITS_LOOSENED
from riskd.records import LimitsLoaded, MemorySink, RecordType, decode_record
from tests.riskd.kit import OPERATOR_KEYS, SECOND, TEAM, Desk, violations
from tests.riskd.test_limit_changes import ask, cap, changed, text_of, tree_of
from tradebot.core.errors import ConfigError
from tradebot.core.levels import TradingLevel
from tradebot.core.operator_commands import limits_file_command

MINUTE = 60 * SECOND
SOLO_KEYS: dict[str, Any] = TEAM | {"operators": "solo"}


def start_on(before: Desk, limits: Limits, *, records: list[tuple[int, bytes]] | None = None) -> Desk:
    """The next life of a desk's riskd, with this limits file."""
    desk = Desk(limits=limits, now_ns=before.now_ns + SECOND, connect=False)
    desk.sink = MemorySink()
    desk.sink.records = list(before.sink.records if records is None else records)
    desk.gate = desk.new_gate(desk.sink)
    desk.gate.restore(list(desk.sink.records))
    desk.gate.start(f"life{len(desk.sink.records)}", desk.now_ns)
    return desk


def file_of(tree: dict[str, Any], comment: str = "") -> Limits:
    return parse_limits(text_of(tree) + comment)


def loaded(desk: Desk) -> list[LimitsLoaded]:
    found = [decode_record(*row) for row in desk.sink.records if row[0] == RecordType.LIMITS_LOADED]
    return [record for record in found if isinstance(record, LimitsLoaded)]


def holds(desk: Desk) -> list[str]:
    return [hold.hold_id for hold in desk.gate.state.holds.listed() if hold.cause == LIMITS_LOOSENED]


def cleared(desk: Desk, role: str = "risk", *, phrase: bool = True) -> str:
    (hold_id,) = holds(desk)
    desk.hello()
    desk.account()
    desk.venue()
    done = desk.gate.clear_hold(
        hold_id, reason="read the diff", operator="rita", role=role, command_id=f"c{desk.now_ns}{role}",
        typed_phrase=f"CLEAR {hold_id}" if phrase else "", now_ns=desk.now_ns,
    )  # fmt: skip
    return "CLEARED" if done.cleared else done.reason


def test_the_first_start_has_nothing_to_compare_with_and_the_same_file_says_nothing_again() -> None:
    first = Desk(limits=file_of(tree_of()))
    again = start_on(first, file_of(tree_of()))

    assert [(record.changes, record.held) for record in loaded(first)] == [([], False)]
    assert len(loaded(again)) == 1
    assert (holds(first), holds(again)) == ([], [])
    assert first.levels() == "RUNNING"


def test_a_comment_does_not_bring_back_what_an_operator_had_tightened() -> None:
    desk = Desk(limits=file_of(tree_of()))
    assert ask(desk, changed(tree_of(), cap(600))) == "ACCEPTED"
    later = start_on(desk, file_of(tree_of(), "# a note\n"))
    (hold,) = (h for h in later.gate.state.holds.listed() if h.cause == LIMITS_LOOSENED)

    assert hold.level is TradingLevel.HALTED
    assert "checks/SIZ-02/max_notional 600 -> 2000 (x 3.333)" in hold.evidence
    assert loaded(later)[-1].changes == ["checks/SIZ-02/max_notional 600 -> 2000 (x 3.333)"]
    assert [c.command for c in later.gate.state.audit][-1] == "LOAD_LIMITS"
    later.hello()
    later.venue()
    assert violations(later.plain(qty="0.0002"))["STA-01"] == "TRADING_HALTED"


def test_the_second_key_and_the_phrase_agree_to_it_after_the_cool_off_of_before() -> None:
    desk = Desk(limits=file_of(tree_of(cool_off_min=30)))
    loose = file_of(changed(tree_of(cool_off_min=5), cap(3_000)))
    later = start_on(desk, loose)

    assert cleared(later, "trader") == "SECOND_KEY_NEEDED"
    later.now_ns += 29 * MINUTE
    assert cleared(later) == "COOL_OFF"
    later.now_ns += MINUTE
    assert cleared(later, phrase=False) == "PHRASE_MISMATCH"
    assert cleared(later) == "CLEARED"
    assert later.gate.state.holds.level_for("binance", "", "") is not TradingLevel.HALTED
    third = start_on(later, file_of(changed(tree_of(cool_off_min=5), cap(3_000)), "# a note\n"))
    assert holds(third) == []  # agreed to once


def test_a_looser_file_that_nobody_agreed_to_is_no_measure_for_the_next_one() -> None:
    desk = Desk(limits=file_of(tree_of()))
    loose = start_on(desk, file_of(changed(tree_of(), cap(4_000))))
    less = start_on(loose, file_of(changed(tree_of(), cap(3_000))))

    assert len(holds(loose)) == len(holds(less)) == 1
    assert holds(loose) != holds(less)
    assert loaded(less)[-1].changes == ["checks/SIZ-02/max_notional 2000 -> 3000 (x 1.500)"]
    assert holds(start_on(loose, file_of(changed(tree_of(), cap(4_000))))) == holds(loose)  # the same file: it stands


@pytest.mark.parametrize("value", [2_000, 1_500])
def test_with_the_limits_of_before_or_tighter_ones_its_hold_ends_by_itself(value: int) -> None:
    loose = start_on(Desk(limits=file_of(tree_of())), file_of(changed(tree_of(), cap(4_000))))
    back = start_on(loose, file_of(changed(tree_of(), cap(value)), "# back\n"))

    assert (len(holds(loose)), holds(back)) == (1, [])


def test_a_tighter_file_is_taken_and_written_down() -> None:
    later = start_on(Desk(limits=file_of(tree_of())), file_of(changed(tree_of(), cap(500))))

    assert holds(later) == []
    assert loaded(later)[-1].changes == ["checks/SIZ-02/max_notional 2000 -> 500 (x 0.250)"]
    assert later.gate.settings.order_cap is not None
    assert later.gate.settings.order_cap.absolute == 500 * 10**12


@pytest.mark.parametrize(
    "change",
    [
        lambda t: t["checks"].update({"RAT-02": {"status": "not_applicable", "reason": "no more of it"}}),
        lambda t: t["checks"]["MKT-01"]["max_age_ms"].update({"binance:BTC-USDT": 60_000}),
        lambda t: t.update(profile="other"),
        lambda t: t["strategies"].update(s9={"instruments": ["*"]}),
    ],
)
def test_whatever_does_not_tighten_is_held(change: Callable[[dict[str, Any]], object]) -> None:
    later = start_on(Desk(limits=file_of(tree_of())), file_of(changed(tree_of(), change)))

    assert len(holds(later)) == 1


def test_what_set_limits_has_put_in_force_before_is_not_looser_in_the_file() -> None:
    desk = Desk(limits=file_of(tree_of()))
    assert ask(desk, changed(tree_of(), cap(3_000)), phrase=True) == "ACCEPTED"

    assert holds(start_on(desk, file_of(changed(tree_of(), cap(3_000)), "# as set\n"))) == []


def test_a_file_that_comes_back_does_not_bring_back_what_was_set_under_it() -> None:
    first = Desk(limits=file_of(tree_of()))
    assert ask(first, changed(tree_of(), cap(3_000)), phrase=True) == "ACCEPTED"
    second = start_on(first, file_of(changed(tree_of(), cap(1_000))))
    third = start_on(second, file_of(tree_of()))

    assert loaded(third)[-1].changes == ["checks/SIZ-02/max_notional 1000 -> 2000 (x 2.000)"]
    assert third.gate.settings.order_cap is not None
    assert third.gate.settings.order_cap.absolute == 2_000 * 10**12


def test_killed_anywhere_in_the_start_it_is_held_once() -> None:
    desk, loose = Desk(limits=file_of(tree_of())), file_of(changed(tree_of(), cap(4_000)))
    begun, whole = len(desk.sink.records), start_on(desk, loose)
    for cut in range(begun, len(whole.sink.records) + 1):
        again = start_on(desk, loose, records=whole.sink.records[:cut])

        assert len(holds(again)) == 1, cut
        assert again.replayed().state.digest() == again.gate.state.digest()


def test_limits_of_before_that_cannot_be_read_are_held() -> None:
    desk = Desk(limits=file_of(tree_of()))
    record = loaded(desk)[0]
    desk.gate._ledger.commit(LimitsLoaded('{"profile": 1}', "x", [], "", False, record.time_ns))
    later = start_on(desk, file_of(tree_of()))

    assert len(holds(later)) == 1


# ---- with keys


def signed(limits: Limits, before: Limits, *operators: str, environment: str = "demo") -> Limits:
    found = []
    for operator in operators:
        role, key = OPERATOR_KEYS[operator]
        command = limits_file_command(environment, operator, role, limits.hash, before.hash)
        found.append((operator, key.sign(command.to_bytes())))
    return replace(limits, signatures=tuple(found))


def test_with_keys_in_force_a_looser_file_needs_their_signature_or_riskd_does_not_start() -> None:
    before, loose = file_of(tree_of(**SOLO_KEYS)), file_of(changed(tree_of(**SOLO_KEYS), cap(3_000)))
    desk = Desk(limits=before)
    written = len(desk.sink.records)
    for bad in (
        loose,
        signed(loose, before, "ana"),  # a trader alone
        signed(loose, loose, "bob"),  # in place of other limits
        signed(file_of(tree_of(**SOLO_KEYS), "#"), before, "bob"),
        signed(loose, before, "bob", environment="real"),
        replace(loose, signatures=(("bob", b"no"), ("nobody", b"no"))),
    ):
        wrong = bad if bad.hash == loose.hash else replace(loose, signatures=bad.signatures)
        with pytest.raises(ConfigError, match=f"sign-limits FILE --in-force {before.hash}"):
            start_on(desk, wrong)
    taken = start_on(desk, signed(loose, before, "bob"))

    assert len(desk.sink.records) == written
    assert holds(taken) == []
    assert loaded(taken)[-1].signers == "bob"
    assert taken.gate.state.audit[-1].operator == "bob"


def test_a_file_without_the_keys_does_not_get_rid_of_them() -> None:
    desk = Desk(limits=file_of(tree_of(**SOLO_KEYS)))

    with pytest.raises(ConfigError, match="not signed as risk"):
        start_on(desk, file_of(tree_of()))
    assert holds(start_on(desk, file_of(changed(tree_of(**SOLO_KEYS), cap(500))))) == []  # tighter needs none


def test_a_team_signs_with_two_people() -> None:
    before, loose = file_of(tree_of(**TEAM)), file_of(changed(tree_of(**TEAM), cap(3_000)))
    desk = Desk(limits=before)
    for few in (("bob",), ("ana", "tom"), ("bob", "eve")):
        with pytest.raises(ConfigError, match="not signed as"):
            start_on(desk, signed(loose, before, *few))

    assert loaded(start_on(desk, signed(loose, before, "ana", "bob")))[-1].signers == "ana bob"


def test_signatures_are_read_from_beside_the_file(tmp_path: Path) -> None:
    path, before = tmp_path / "demo.yaml", file_of(tree_of(**TEAM))
    text = text_of(changed(tree_of(**TEAM), cap(3_000)))
    path.write_text(text, encoding="utf-8")
    assert load_limits(path).signatures == ()
    for operator in ("ana", "bob", "ana"):
        role, key = OPERATOR_KEYS[operator]
        sign_limits_file(path, text, key, operator, role, "demo", before.hash)

    assert [name for name, _ in load_limits(path).signatures] == ["bob", "ana"]
    assert loaded(start_on(Desk(limits=before), load_limits(path)))[-1].signers == "ana bob"
    (tmp_path / "demo.yaml.sig").write_text("ana nonsense", encoding="utf-8")
    with pytest.raises(ConfigError, match=r"demo\.yaml\.sig: not lines of operator and signature"):
        load_limits(path)
