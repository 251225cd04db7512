"""The catalogue, the page made from it, and the limits profiles agree."""

from __future__ import annotations

from pathlib import Path

import pytest

from riskd.base_limits import NotApplicable
from riskd.catalogue import CATALOGUE, CONFIGURABLE_IDS, FAMILIES, SPEC_BY_ID
from riskd.catalogue_page import render_page
from riskd.checks import CHECKS
from riskd.limits import load_limits, make_limits
from riskd.plans import Stage, make_plans
from tests.riskd.kit import (
    BTC,
    CLUSTERED,
    DEPLOYED,
    FORM,
    LIQUID,
    ROOT,
    STRICT,
    TOGETHER,
    Desk,
    execd_id,
    limits_tree,
    make_test_limits,
    violations,
)
from tests.support.builders import make_instrument
from tradebot.core.approvals import CheckOutcome, Verdict
from tradebot.core.orders import OrderRole, OrderType, Side

PROFILES = ("demo", "paper", "testnet", "bench", "backtest")
BLUEPRINTS = ("intraday", "bitvavo")
"""Whether these can trade stands in test_profiles."""


def test_the_docs_page_is_current() -> None:
    page = (ROOT / "docs" / "risk-checks.md").read_text(encoding="utf-8")

    assert page == render_page(), "run: python -m riskd.catalogue_shell > docs/risk-checks.md"


def test_every_row_that_is_asked_has_code_and_every_check_has_a_row() -> None:
    assert {spec.check_id for spec in CATALOGUE if spec.asked} == set(CHECKS)


def test_ids_are_unique_and_grouped_by_family_in_order() -> None:
    families = list(dict.fromkeys(spec.family for spec in CATALOGUE))

    assert families == list(FAMILIES)
    assert len(SPEC_BY_ID) == len(CATALOGUE)


@pytest.mark.parametrize("profile", PROFILES + BLUEPRINTS)
def test_a_profile_mentions_every_check_of_riskd(profile: str) -> None:
    limits = load_limits(ROOT / "config" / "limits" / f"{profile}.yaml")

    assert set(limits.checks) == set(CONFIGURABLE_IDS)
    assert limits.file.profile == profile


@pytest.mark.parametrize("profile", PROFILES + BLUEPRINTS)
def test_no_profile_says_that_something_is_not_built_which_is(profile: str) -> None:
    checks = load_limits(ROOT / "config" / "limits" / f"{profile}.yaml").checks
    reasons = {key: found.reason for key, found in checks.items() if isinstance(found, NotApplicable)}

    assert [key for key, why in reasons.items() if "not yet built" in why] == []


@pytest.mark.parametrize("profile", PROFILES)
def test_a_profile_can_trade(profile: str) -> None:
    desk = Desk(limits=load_limits(ROOT / "config" / "limits" / f"{profile}.yaml"))

    for _ in range(60):
        desk.wait(1)
    desk.drilled()
    entered = desk.plain(
        strategy_id="breakout_atr", qty=None, order_type=OrderType.MARKET, limit_price=None,
        terms_client_order_id=execd_id("breakout_atr"),
    )  # fmt: skip

    assert entered.verdict in (Verdict.ALLOW, Verdict.SOFT_ALLOW), entered
    assert entered.approval is not None
    assert entered.grant is not None
    assert entered.approved_qty is not None
    assert 90 < entered.approved_qty * 60000 <= 500


def test_a_decision_reports_every_check_of_the_catalogue_exactly_once() -> None:
    desk = Desk(limits=make_test_limits(STRICT | FORM | DEPLOYED | LIQUID | TOGETHER, **CLUSTERED))
    desk.liquid()
    desk.drilled()
    answer = desk.plain(terms_client_order_id=execd_id())
    record = desk.gate.decider.find(answer.decision_id)
    assert record is not None
    decision = desk.gate.render(record)

    assert [check.check_id for check in decision.checks] == list(CONFIGURABLE_IDS)
    outcomes = {check.check_id: check.outcome for check in decision.checks}
    assert all(outcomes[check_id] is CheckOutcome.PASS for check_id in CHECKS)
    others = {check_id: outcome for check_id, outcome in outcomes.items() if check_id not in CHECKS}
    assert {check_id for check_id, outcome in others.items() if outcome is CheckOutcome.SKIPPED} == {"PTR-09", "PTR-10"}
    assert set(others.values()) == {CheckOutcome.SKIPPED, CheckOutcome.NOT_APPLICABLE}


def test_reducing_orders_run_only_what_the_catalogue_allows_and_report_the_rest_as_skipped() -> None:
    plans = make_plans(load_limits(ROOT / "config" / "limits" / "demo.yaml"))
    plan = plans[Stage.PLAIN, True]

    assert [check_id for check_id, _ in plan.steps] == [
        "AUT-01", "AUT-02", "AUT-04", "STA-01", "STA-02",
        "SPC-01", "SPC-02", "SPC-03", "SPC-04", "SPC-05", "SPC-06", "SPC-07", "PRC-01", "SIZ-06", "RAT-03",
    ]  # fmt: skip
    assert plan.others["POS-01"] == (CheckOutcome.SKIPPED, "NOT_RUN_FOR_REDUCING_ORDERS")


def test_a_check_that_the_limits_do_not_mention_refuses_every_entry() -> None:
    for check_id in CONFIGURABLE_IDS:
        desk = Desk(limits=make_test_limits({check_id: None}))
        answer = desk.plain()

        assert answer.verdict is Verdict.BLOCK
        assert violations(answer)[check_id] == "LIMIT_UNDEFINED"
        assert check_id == "AUT-07" or violations(answer)["AUT-07"] == "LIMIT_UNDEFINED"


@pytest.mark.parametrize("check_id", ["POS-04", "POS-14", "PTR-09"])  # of entries; of the account; of what the eyes see
def test_a_check_that_the_limits_do_not_mention_and_no_exit_is_held_against_refuses_no_exit(check_id: str) -> None:
    desk = Desk()
    desk.buy("0.01")
    desk.gate.decider._plans = make_plans(make_test_limits({check_id: None}))
    entry = desk.plain()
    leave = desk.plain(role=OrderRole.EXIT, side=Side.SELL, qty="0.01", limit_price="60000")

    assert violations(entry)[check_id] == "LIMIT_UNDEFINED"
    assert leave.approval is not None, leave


def test_an_instrument_without_a_cap_has_an_undefined_limit() -> None:
    doge = make_instrument("binance:DOGE-USDT", tick="0.00001", lot="1", min_qty="1")
    limits = make_limits(limits_tree(), Path("demo.yaml"), "hash")
    desk = Desk(limits=limits, instruments=(make_instrument(BTC), make_instrument("binance:ETH-USDT"), doge))
    desk.quote("binance:DOGE-USDT", "0.09999", "0.10001")

    answer = desk.plain(strategy_id="breakout_atr", instrument_id="binance:DOGE-USDT", qty="100", limit_price="0.1")

    assert (answer.check_id, answer.reason) == ("SIZ-01", "LIMIT_UNDEFINED")
