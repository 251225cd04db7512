"""Limits changed while riskd runs: shown in ratios, tightened by the role risk, loosened by two keys, journaled."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest
import yaml

from riskd import limits as schema
from riskd.holds import Clearing
from riskd.limit_changes import (
    FALSE_IS_TIGHTER,
    HIGHER_IS_TIGHTER,
    LOWER_IS_TIGHTER,
    TRUE_IS_TIGHTER,
    Direction,
    _direction,
    compare,
)
from riskd.limits import CHECK_MODELS, parse_limits
from riskd.records import MemorySink
from riskd.sizing_limits import Adaptation, FixedQuote, KellyLite, PerTradeAllocation, RiskPerTrade, VolatilityTarget
from tests.riskd.kit import BTC, ETH, TEAM, Desk, limits_tree, violations
from tradebot.core.errors import ConfigError
from tradebot.runtime.config import ConfigModel

Change = Callable[[dict[str, Any]], object]


def text_of(tree: dict[str, Any]) -> str:
    return yaml.safe_dump(tree)


def tree_of(**top: Any) -> dict[str, Any]:
    tree = limits_tree() | {"strategies": {"s1": {"instruments": ["*"]}}} | top
    tree["checks"]["RAT-07"] = {"status": "not_applicable", "reason": "these tests repeat themselves"}
    return tree


def desk_on(tree: dict[str, Any]) -> Desk:
    """A desk whose limits file is this."""
    return Desk(limits=parse_limits(text_of(tree)))


def changed(tree: dict[str, Any], change: Change) -> dict[str, Any]:
    fresh: dict[str, Any] = yaml.safe_load(text_of(tree))
    change(fresh)
    return fresh


def cap(value: int) -> Change:
    return lambda tree: tree["checks"]["SIZ-02"].update(max_notional=value)


def ask(
    desk: Desk, tree: dict[str, Any], role: str = "risk", *, phrase: bool = False, reason: str = "after the review",
    operator: str = "rita", command_id: str = "", **more: Any,
) -> str:  # fmt: skip
    text = text_of(tree)
    wanted = hashlib.sha256(text.encode()).hexdigest()
    command_id = command_id or f"{role}{phrase}{desk.now_ns}{wanted}"
    proof = desk.prove("SET_LIMITS", wanted, operator, reason, command_id) if more.pop("signed", False) else None
    typed = f"LIMITS {wanted[:8]}" if phrase else ""
    clearing = Clearing(operator, role, reason, typed, proof)
    _, answer = desk.gate.set_limits(
        text, clearing, command_id=command_id, dry_run=more.pop("dry_run", False), now_ns=desk.now_ns
    )
    return "ACCEPTED" if answer.accepted else answer.reason


def test_tightening_takes_the_role_risk_is_in_force_at_once_and_voids_older_approvals() -> None:
    tree = tree_of()
    desk = desk_on(tree)
    assert desk.plain(qty="0.01").approval is not None
    tight = changed(tree, cap(500))

    assert ask(desk, tight, "trader") == "NOT_PERMITTED"
    assert ask(desk, tight, reason="why") == "REASON_TOO_SHORT"
    before = desk.gate.state.holds.epoch
    assert ask(desk, tight) == "ACCEPTED"
    assert desk.gate.state.holds.epoch == before + 1
    assert desk.gate.state.holds.table().fence_for("binance", BTC, "s1") == before + 1
    down = desk.gate.take_down()
    assert down.levels is not None
    assert down.levels.epoch == before + 1
    assert desk.levels() == "RUNNING"
    assert violations(desk.plain(qty="0.01")) == {"SIZ-02": "ORDER_NOTIONAL_LIMIT"}


def test_loosening_takes_the_phrase_too_and_moves_no_fence() -> None:
    tree = tree_of()
    desk = desk_on(tree)
    loose = changed(tree, cap(3000))

    assert ask(desk, loose, "trader", phrase=True) == "NOT_PERMITTED"
    assert ask(desk, loose) == "PHRASE_MISMATCH"
    fence = desk.gate.state.holds.table().fence_for("binance", BTC, "s1")
    assert ask(desk, loose, phrase=True) == "ACCEPTED"
    assert desk.gate.state.holds.table().fence_for("binance", BTC, "s1") == fence
    assert desk.gate.settings.order_cap is not None
    assert desk.gate.settings.order_cap.absolute == 3000 * 10**12


def test_a_change_that_tightens_one_thing_and_loosens_another_voids_older_approvals() -> None:
    tree = tree_of()
    desk = desk_on(tree)
    mixed = changed(tree, cap(500))
    mixed["checks"]["POS-03"]["max_positions"] += 1
    before = desk.gate.state.holds.epoch

    assert ask(desk, mixed, phrase=True) == "ACCEPTED"
    assert desk.gate.state.holds.table().fence_for("binance", BTC, "s1") == before + 1


def test_in_a_team_loosening_takes_two_signatures_and_tightening_the_risk_officers() -> None:
    tree = tree_of(**TEAM)
    desk = desk_on(tree)
    loose, tight = changed(tree, cap(3000)), changed(tree, cap(500))

    assert ask(desk, tight, "risk", operator="bob") == "SIGNATURE_NEEDED"
    assert ask(desk, loose, "trader", operator="ana", phrase=True, signed=True) == "SECOND_SIGNATURE_NEEDED"
    assert ask(desk, loose, "risk", operator="bob", signed=True) == "PHRASE_MISMATCH"
    assert ask(desk, loose, "risk", operator="bob", phrase=True, signed=True) == "ACCEPTED"
    assert ask(desk, tight, "trader", operator="ana", signed=True) == "NOT_PERMITTED"
    assert ask(desk, tight, "risk", operator="bob", signed=True) == "ACCEPTED"


def test_a_dry_run_shows_ratios_and_changes_nothing() -> None:
    tree = tree_of()
    desk = desk_on(tree)
    epoch, records = desk.gate.state.holds.epoch, len(desk.sink.records)
    assert ask(desk, changed(tree, cap(3000)), dry_run=True) == "DRY_RUN"
    assert (desk.gate.state.holds.epoch, len(desk.sink.records)) == (epoch, records)
    (change,) = compare(desk.gate.limits, parse_limits(text_of(changed(tree, cap(3000)))))
    assert (change.path, change.before, change.after, change.ratio, change.direction) == (
        "checks/SIZ-02/max_notional", "2000", "3000", "1.500", Direction.LOOSENS,
    )  # fmt: skip


def test_more_than_ten_times_looser_is_a_slip_of_the_finger_and_ten_times_is_not() -> None:
    wide = tree_of()
    for check_id in ("POS-02", "POS-04"):
        wide["checks"][check_id]["max_notional"] = 1_000_000
    desk = desk_on(wide)

    assert ask(desk, changed(wide, cap(20_001)), phrase=True) == "BEYOND_SANITY_BOUND"
    assert ask(desk, changed(wide, cap(20_000)), phrase=True) == "ACCEPTED"


@pytest.mark.parametrize(
    "change",
    [
        lambda tree: tree.update(profile="other"),
        lambda tree: tree.update(currency="EUR"),
        lambda tree: tree.update(**TEAM),
    ],
)
def test_what_needs_a_restart_is_refused(change: Change) -> None:
    tree = tree_of()

    assert ask(desk_on(tree), changed(tree, change), phrase=True) == "NEEDS_RESTART"


def test_limits_that_are_no_limits_are_refused_with_the_place() -> None:
    tree = tree_of()
    desk = desk_on(tree)
    for change, told in (
        (cap(-1), "max_notional"),
        (lambda t: t["checks"].pop("SIZ-02"), None),
        (lambda t: t.update(nonsense=1), "nonsense"),
        (lambda t: t["sizing"].update(quote_amount=5000), "quote_amount is 5000, above"),
    ):
        if told is None:
            assert ask(desk, changed(tree, change)) == "PHRASE_MISMATCH"  # a missing check is no tighter one
            continue
        with pytest.raises(ConfigError, match=told):
            ask(desk, changed(tree, change))
    assert ask(desk, tree) == "NO_CHANGE"


def tier(value: str) -> Change:
    return lambda tree: tree["checks"].update({"STA-08": {"status": "enforced", "tier": value}})


DIRECTIONS: list[tuple[Change, Direction]] = [
    (cap(1999), Direction.TIGHTENS),
    (cap(2001), Direction.LOOSENS),
    (lambda t: t["checks"]["PNL-01"].update(pause_at_pct=-1.5), Direction.TIGHTENS),
    (lambda t: t["checks"]["PNL-01"].update(pause_at_pct=-2.2), Direction.LOOSENS),
    (lambda t: t["checks"]["PNL-01"].update(pause_min=61), Direction.TIGHTENS),
    (lambda t: t["checks"]["PNL-01"].update(pause_min=59), Direction.LOOSENS),
    (lambda t: t["checks"]["PNL-01"].update(resume_requires_recovery=True), Direction.TIGHTENS),
    (lambda t: t.update(cautious={"adds": True}), Direction.LOOSENS),
    (
        lambda t: t["checks"].update({"RAT-02": {"status": "not_applicable", "reason": "no more of it"}}),
        Direction.LOOSENS,
    ),
    (lambda t: t["checks"]["STA-05"].update(deny=[BTC]), Direction.TIGHTENS),
    (lambda t: t["checks"]["STA-05"].update(deny=["*"]), Direction.TIGHTENS),
    (lambda t: t["checks"]["MKT-01"]["max_age_ms"].update({"binance:SOL-USDT": 5_001}), Direction.LOOSENS),
    (lambda t: t["checks"]["MKT-01"]["max_age_ms"].update({"binance:SOL-USDT": 4_999}), Direction.TIGHTENS),
    (lambda t: t["checks"]["MKT-01"]["max_age_ms"].pop("*"), Direction.LOOSENS),
    (lambda t: t["checks"]["SIZ-01"]["max_qty"].update({"binance:SOL-USDT": "0.1"}), Direction.LOOSENS),
    (lambda t: t["checks"]["SIZ-01"]["max_qty"].update({"*": "0.1"}), Direction.LOOSENS),
    (lambda t: t["checks"]["POS-09"]["max_notional"].update({"s1": 20_001}), Direction.LOOSENS),
    (lambda t: t["checks"]["POS-09"]["max_notional"].update({"s1": 19_999}), Direction.TIGHTENS),
    (lambda t: t["strategies"].update(s9={"instruments": [BTC]}), Direction.LOOSENS),
    (lambda t: t["strategies"]["s1"].update(instruments=[BTC]), Direction.TIGHTENS),
    (lambda t: t.update(day_target={"target_pct": 5, "action": "pause"}), Direction.LOOSENS),
]


@pytest.mark.parametrize(("change", "direction"), DIRECTIONS)
def test_the_direction_of_a_change(change: Change, direction: Direction) -> None:
    tree = tree_of()
    before, after = parse_limits(text_of(tree)), parse_limits(text_of(changed(tree, change)))
    found = {c.direction for c in compare(before, after)}

    assert (Direction.LOOSENS in found) is (direction is Direction.LOOSENS), compare(before, after)
    assert found


def test_a_higher_tier_loosens_and_a_lower_one_tightens_step_by_step() -> None:
    tree = tree_of()
    tree["sizing"]["quote_amount"] = 10
    tenth, half, lowest = (changed(tree, tier(value)) for value in ("0.1", "0.5", "0.01"))

    assert ask(desk_on(tenth), lowest) == "ACCEPTED"
    assert ask(desk_on(tenth), half) == "PHRASE_MISMATCH"
    assert ask(desk_on(tenth), half, phrase=True) == "ACCEPTED"
    assert ask(desk_on(lowest), half, phrase=True) == "BEYOND_SANITY_BOUND"


def test_a_first_entry_of_an_instrument_is_held_against_the_one_of_all_others() -> None:
    tree = tree_of()
    desk = desk_on(tree)
    slip = changed(tree, lambda t: t["checks"]["MKT-01"]["max_age_ms"].update({"binance:SOL-USDT": 60_000}))
    wide = changed(tree, lambda t: t["checks"]["MKT-01"]["max_age_ms"].update({"binance:SOL-USDT": 6_000}))
    same = changed(tree, lambda t: t["checks"]["MKT-01"]["max_age_ms"].update({"binance:SOL-USDT": 5_000}))
    (change,) = compare(desk.gate.limits, parse_limits(text_of(wide)))

    assert (change.before, change.after, change.ratio) == ("5000", "6000", "1.200")
    assert ask(desk, slip, phrase=True) == "BEYOND_SANITY_BOUND"
    assert ask(desk, wide) == "PHRASE_MISMATCH"
    assert ask(desk, same) == "NO_CHANGE"


def test_without_its_own_entry_an_instrument_falls_back_to_that_of_all_others() -> None:
    tree = tree_of()
    for own, direction in ((1_000, Direction.LOOSENS), (9_000, Direction.TIGHTENS)):
        with_own = changed(tree, lambda t, own=own: t["checks"]["MKT-01"]["max_age_ms"].update({BTC: own}))  # type: ignore[misc]
        (change,) = compare(parse_limits(text_of(with_own)), parse_limits(text_of(tree)))

        assert (change.before, change.after, change.direction) == (str(own), "5000", direction)


def test_the_table_of_a_check_that_begins_to_run_tightens() -> None:
    off = tree_of()
    off["checks"]["MKT-01"] = {"status": "not_applicable", "reason": "not what this is about"}
    first, second = parse_limits(text_of(off)), parse_limits(text_of(tree_of()))

    assert {c.direction for c in compare(first, second)} == {Direction.TIGHTENS}


def test_a_check_that_begins_to_run_tightens_and_one_that_ends_loosens() -> None:
    off = tree_of()
    off["checks"]["PNL-02"] = {"status": "not_applicable", "reason": "not what this is about"}
    on = changed(off, lambda t: t["checks"].update({"PNL-02": {"status": "enforced", "halt_at_pct": -4}}))
    first, second = parse_limits(text_of(off)), parse_limits(text_of(on))

    assert {c.direction for c in compare(first, second)} == {Direction.TIGHTENS}
    assert Direction.LOOSENS in {c.direction for c in compare(second, first)}


def numbers(model: type[ConfigModel]) -> set[str]:
    """Return the fields of a limits model that hold numbers or truth values, or tables of them."""
    kinds = ("int", "float", "Decimal", "bool", "Literal[True]")
    return {
        name for name, field in model.model_fields.items()
        if any(kind in str(field.annotation) for kind in kinds) and "Literal" not in str(field.annotation)
    }  # fmt: skip


def test_every_number_of_the_limits_has_its_direction() -> None:
    models: list[type[ConfigModel]] = [
        *CHECK_MODELS.values(),
        schema.LimitsFile,
        schema.GrantLimits,
        schema.SoftCaps,
    ]
    models += [schema.DayTarget, schema.Cautious, Adaptation, FixedQuote, KellyLite, PerTradeAllocation, RiskPerTrade]
    models.append(VolatilityTarget)
    known = LOWER_IS_TIGHTER | HIGHER_IS_TIGHTER | TRUE_IS_TIGHTER | FALSE_IS_TIGHTER
    neutral = {
        "rearm_step_pct",
        "bar_s",
        "window_bars",
        "min_bars",
        "start_capital",
        "venue_minimum",
        "max_mark_age_ms",  # a young one ends a source sooner, and a mark that is worse than the book, too
        "max_open_trades",
        "window",
        "min_trips",
        "half_life_min",
        "warm_up_min",
    }  # any change of these counts as loosening

    assert set().union(*(numbers(model) for model in models)) - known - neutral == set()


def test_changed_limits_survive_a_kill_and_yield_to_an_edited_file() -> None:
    tree = tree_of()
    desk = desk_on(tree)
    desk.gate.watch()
    assert ask(desk, changed(tree, cap(900))) == "ACCEPTED"
    assert ask(desk, changed(tree, cap(600))) == "ACCEPTED"
    again = desk.replayed()
    assert again.limits.hash == desk.gate.limits.hash
    assert again.settings.order_cap is not None
    assert again.settings.order_cap.absolute == 600 * 10**12
    assert again.state.digest() == desk.gate.state.digest()

    edited = Desk(limits=parse_limits(text_of(changed(tree, cap(1500)))), connect=False)
    gate = edited.new_gate(MemorySink())
    gate.restore(desk.sink.records)
    assert gate.settings.order_cap is not None
    assert gate.settings.order_cap.absolute == 1500 * 10**12
    assert gate.state.holds.epoch == desk.gate.state.holds.epoch


@pytest.mark.parametrize(("reason", "answer"), [("seven c", "REASON_TOO_SHORT"), ("eight ch", "ACCEPTED")])
def test_limits_are_changed_for_a_reason_of_eight_characters(reason: str, answer: str) -> None:
    tree = tree_of()

    assert ask(desk_on(tree), changed(tree, cap(1999)), reason=reason) == answer


@pytest.mark.parametrize("name", ["max_loss", "pause_min"])
def test_the_same_number_in_another_spelling_is_not_waved_through_as_tighter(name: str) -> None:
    number = Decimal(5)

    assert _direction(f"checks/PNL-02/{name}", "5", "5.0", number, Decimal("5.0")) is Direction.LOOSENS


@pytest.mark.parametrize(
    ("name", "old", "new", "direction"),
    [
        ("instruments", [BTC], [BTC, ETH], Direction.LOOSENS),
        ("instruments", [BTC, ETH], [BTC], Direction.TIGHTENS),
        ("deny", [BTC], [BTC, ETH], Direction.TIGHTENS),
        ("deny", [BTC, ETH], [BTC], Direction.LOOSENS),
        ("nobody_knows_it", True, False, Direction.LOOSENS),
        ("nobody_knows_it", False, True, Direction.LOOSENS),
        ("adds", True, False, Direction.TIGHTENS),
        ("auto_close", True, False, Direction.LOOSENS),
    ],
)
def test_a_list_that_shrinks_tightens_unless_it_forbids_and_an_unknown_switch_never(
    name: str, old: object, new: object, direction: Direction
) -> None:
    assert _direction(f"strategies/s1/{name}", old, new, None, None) is direction


def test_what_is_remembered_stays_when_limits_change() -> None:
    tree = tree_of()
    desk = desk_on(tree)
    first = desk.plain(qty="0.001")
    desk.fill("c1", "0.001")
    desk.wait(1)
    loss = desk.gate.state.loss
    assert ask(desk, changed(tree, cap(500))) == "ACCEPTED"

    assert desk.gate.decider.find(first.decision_id) is not None
    assert desk.gate.state.loss == loss
    assert desk.gate.state.portfolio.units_of(BTC, "s1") == 10**9
    assert desk.plain(qty="0.001").approval is not None


def test_how_positions_are_marked_changes_with_the_limits() -> None:
    tree = tree_of()
    desk = desk_on(tree)
    board = desk.gate.board
    before = (board.mid_equity, board.mark_age_ns)
    assert (
        ask(desk, changed(tree, lambda t: t.update(day_mark="mid", max_mark_age_ms=2_000)), phrase=True) == "ACCEPTED"
    )

    assert (before, (board.mid_equity, board.mark_age_ns)) == ((False, 5 * 10**9), (True, 2 * 10**9))


def test_a_repeated_command_is_answered_as_done() -> None:
    tree = tree_of()
    desk = desk_on(tree)
    tight = changed(tree, cap(500))
    assert [ask(desk, tight, command_id="c"), ask(desk, tight, command_id="c")] == ["ACCEPTED", "ACCEPTED"]
    assert [c.command for c in desk.gate.state.audit] == ["SET_LIMITS"]
