"""The control report: what is enforced, what was tested, what was last breached, also after a kill."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path

import pytest

from riskd.articles import FAMILY_ARTICLES, OWN_ARTICLES, RTS6, SEC
from riskd.base_limits import Enforced
from riskd.catalogue import CATALOGUE, SPEC_BY_ID
from riskd.control_book import SELF_TEST
from riskd.controls import ControlLine, control_lines
from riskd.limits import load_limits, make_limits
from riskd.self_test import PROBED, UNPROBED, self_test
from tests.riskd.kit import BTC, ETH, ROOT, SECOND, Desk, limits_tree, make_test_limits
from tests.riskd.live_kit import running
from tradebot.core.levels import SYSTEM_SCOPE, ReleaseRule, TradingLevel
from tradebot.core.orders import OrderEventKind
from tradebot.rpc.risk.v1 import risk_service_pb2 as pb
from tradebot.runtime.clock import ManualClock
from tradebot.runtime.identity import Role

PROFILES = ("demo", "paper", "testnet", "bench", "backtest", "intraday", "bitvavo")
TOO_WIDE = {"bench": {"RAT-04", "RAT-05", "RAT-06"}, "demo": set[str](), "backtest": set[str]()}
"""Limits that the self-test cannot reach in time."""


def report(desk: Desk) -> dict[str, ControlLine]:
    return {line.check_id: line for line in control_lines(desk.gate.limits, desk.gate.state.controls)}


def test_every_check_answers_known_articles() -> None:
    assert set(OWN_ARTICLES) <= set(SPEC_BY_ID)
    assert set(FAMILY_ARTICLES) == {spec.family for spec in CATALOGUE}
    for spec in CATALOGUE:
        assert spec.articles.rts6, spec.check_id
        assert spec.articles.sec, spec.check_id
        assert set(spec.articles.rts6) <= set(RTS6), spec.check_id
        assert set(spec.articles.sec) <= set(SEC), spec.check_id


def test_every_article_of_the_table_is_answered_by_a_control() -> None:
    rts6 = {article for spec in CATALOGUE for article in spec.articles.rts6}
    sec = {article for spec in CATALOGUE for article in spec.articles.sec}

    assert set(RTS6) - rts6 == {"15(6)"}  # nobody overrides a refusal: there is nothing to control
    assert set(SEC) - sec == set()


def test_a_fresh_desk_was_never_tested_and_never_breached() -> None:
    desk = Desk(connect=False)
    lines = report(desk)

    assert list(lines) == [spec.check_id for spec in CATALOGUE]
    assert {line.last_test for line in lines.values()} == {""}
    assert lines["SIZ-02"].last_breach_ns == lines["SIZ-02"].breaches == 0
    assert lines["SIZ-02"].limit == "max_pct_of_equity 10, max_notional 2000"
    assert (lines["POS-08"].status, lines["POS-08"].reason) == ("NOT_APPLICABLE", "single-venue account")
    assert (lines["EXE-07"].status, lines["EXE-07"].limit) == ("ENFORCED", "1.5 x")


@pytest.mark.parametrize(("deny", "limit"), [([], "deny none"), ([BTC, ETH], f"deny {BTC} {ETH}")])
def test_a_list_of_limits_is_told_in_words_and_an_empty_one_as_none(deny: list[str], limit: str) -> None:
    lines = report(Desk(limits=make_test_limits({"STA-05": {"deny": deny}}), connect=False))

    assert lines["STA-05"].limit == limit


def test_a_check_that_the_file_forgot_is_undefined() -> None:
    assert report(Desk(limits=make_test_limits({"POS-08": None}), connect=False))["POS-08"].status == "UNDEFINED"


def test_a_refusal_is_a_breach_of_every_check_that_objected_and_survives_a_kill() -> None:
    desk = Desk()
    desk.plain(qty="0.01")
    desk.now_ns += SECOND
    desk.plain(qty="1", limit_price="60000.005")
    lines = report(desk)

    assert lines["SIZ-02"].last_breach == "ORDER_NOTIONAL_LIMIT 60000.005 against 1000 (life1-2)"
    assert (lines["SIZ-02"].last_breach_ns, lines["SIZ-02"].breaches) == (desk.now_ns, 1)
    assert lines["SPC-01"].breaches == 1
    assert lines["AUT-01"].breaches == 0
    again = desk.replayed()
    assert control_lines(again.limits, again.state.controls) == list(lines.values())


def test_a_hold_is_a_breach_of_its_cause() -> None:
    desk = Desk()
    for cause in ("PNL-02", "POS-02_HARD", "FILL_ANOMALY", "OPERATOR"):
        desk.gate.keeper.raise_(
            TradingLevel.HALTED, SYSTEM_SCOPE, cause, ReleaseRule.ONE_KEY, desk.now_ns, "what was seen"
        )
    lines = report(desk)

    assert "DAY_LOSS_HALT what was seen (H" in lines["PNL-02"].last_breach
    assert lines["POS-02"].breaches == lines["PTR-02"].breaches == 1
    assert sum(line.breaches for line in lines.values()) == 3


def test_what_execd_refused_is_a_breach_of_its_own_check() -> None:
    desk = Desk()
    desk.plain(qty="0.001")
    desk.event("c1", OrderEventKind.ASKED)
    desk.event("c1", OrderEventKind.REFUSED, check_id="EXE-02", reason="APPROVAL_EXPIRED", detail="1600 ms")
    lines = report(desk)

    assert lines["EXE-02"].last_breach == "APPROVAL_EXPIRED 1600 ms (c1)"


@pytest.mark.parametrize("check_id", ["SIZ-02", "EXE-99"])
def test_execd_tells_no_breach_of_a_check_of_riskd_or_of_one_that_nobody_knows(check_id: str) -> None:
    desk = Desk()
    desk.plain(qty="0.001")
    desk.event("c1", OrderEventKind.ASKED)
    desk.event("c1", OrderEventKind.REFUSED, check_id=check_id, reason="ORDER_NOTIONAL_LIMIT")

    assert {line.check_id for line in report(desk).values() if line.breaches} == set()


def test_a_drill_is_the_last_test_of_the_kill_switch() -> None:
    desk = Desk()
    desk.gate.state.controls.drilled(desk.now_ns, "2 orders canceled, venue flat")
    line = report(desk)["STA-09"]

    assert (line.last_test, line.test_passed) == ("kill drill: 2 orders canceled, venue flat", True)


def test_the_check_of_the_drills_age_is_tested_and_the_drill_stays_the_test_of_the_switch() -> None:
    desk = Desk()
    desk.drilled()
    desk.gate.controls_tested(SELF_TEST, desk.gate.limits.hash, ["STA-09"], [], desk.now_ns + SECOND)

    assert report(desk)["STA-09"].last_test.startswith("kill drill: ")
    desk.gate.controls_tested(SELF_TEST, desk.gate.limits.hash, [], ["STA-09"], desk.now_ns + SECOND)
    assert not report(desk)["STA-09"].test_passed


# ---- the limits self-test


@pytest.mark.parametrize("profile", PROFILES)
def test_every_enforced_pre_trade_check_of_a_shipped_profile_refuses_its_probe(profile: str) -> None:
    limits = load_limits(ROOT / "config" / "limits" / f"{profile}.yaml")
    found = self_test(limits)
    enforced = {check_id for check_id, check in limits.checks.items() if isinstance(check, Enforced)}

    assert found.failed == []
    assert enforced - set(found.passed) == TOO_WIDE.get(profile, set())
    assert set(found.untried) - set(UNPROBED) == TOO_WIDE.get(profile, set())


def test_every_control_has_a_probe_or_a_reason_why_not() -> None:
    everything = {spec.check_id for spec in CATALOGUE}

    assert PROBED | set(UNPROBED) == everything
    assert PROBED & set(UNPROBED) == set()
    assert all(len(reason) > 20 for reason in UNPROBED.values())


def test_the_report_says_why_a_control_was_not_tried() -> None:
    desk = Desk()
    found = self_test(desk.gate.limits)
    desk.gate.controls_tested(SELF_TEST, "hash", found.passed, found.failed, desk.now_ns, untried=found.untried)
    lines = report(desk)

    assert "gateway" in lines["EXE-01"].untested
    assert [line.check_id for line in lines.values() if line.status == "ENFORCED" and not line.last_test] == [
        check_id for check_id in lines if lines[check_id].untested
    ]
    again = desk.replayed()
    assert control_lines(again.limits, again.state.controls) == list(lines.values())


def test_the_venue_exposure_is_probed_with_most_of_the_money_elsewhere() -> None:
    tree = limits_tree()
    tree["checks"]["POS-08"] = {"status": "enforced", "hard_pct": 60, "soft_pct": 50}
    found = self_test(make_limits(tree, Path("test.yaml"), "hash"))

    assert found.failed == []
    assert {"POS-08", "POS-02", "SIZ-02", "RAT-08", "PNL-01"} <= set(found.passed)


def test_a_check_that_no_longer_refuses_is_found_out() -> None:
    tree = limits_tree()
    tree["checks"]["MKT-04"]["max_spread_bps"] = {"*": 10_000}
    found = self_test(make_limits(tree, Path("test.yaml"), "hash"))

    assert found.failed == ["MKT-04"]
    assert "MKT-04" not in found.passed


def test_a_watch_that_no_longer_holds_is_found_out() -> None:
    tree = limits_tree()
    tree["checks"]["PNL-03"]["halt_at_pct"] = Decimal("-99.9")
    tree["checks"]["PTR-03"]["max_steps"] = 10**9
    found = self_test(make_limits(tree, Path("test.yaml"), "hash"))

    assert found.failed == ["PNL-03", "PTR-03"]


def test_the_self_test_leaves_a_record_that_the_report_shows_after_a_kill() -> None:
    desk = Desk()
    found = self_test(desk.gate.limits)
    passed, failed = found.passed, found.failed
    desk.gate.controls_tested(SELF_TEST, desk.gate.limits.hash, passed, [*failed, "PRC-03"], desk.now_ns)
    again = desk.replayed()
    lines = {line.check_id: line for line in control_lines(again.limits, again.state.controls)}

    assert (lines["SIZ-02"].last_test_ns, lines["SIZ-02"].test_passed) == (desk.now_ns, True)
    assert lines["SIZ-02"].last_test.startswith("limits self-test: ")
    assert (lines["PRC-03"].last_test_ns, lines["PRC-03"].test_passed) == (desk.now_ns, False)
    assert lines["EXE-02"].last_test == ""
    assert {check_id for check_id in passed if not isinstance(desk.gate.limits.checks[check_id], Enforced)} == set()


async def test_a_viewer_may_read_the_report(tmp_path: Path) -> None:
    async with running(tmp_path, ManualClock()) as riskd:
        answer = await riskd.stub(Role.VIEWER).ListControls(pb.ListControlsRequest())

        assert [control.check_id for control in answer.controls] == [spec.check_id for spec in CATALOGUE]
        assert answer.profile == "demo"
        assert answer.controls[0].rts6 == ["15(1)(c)"]
