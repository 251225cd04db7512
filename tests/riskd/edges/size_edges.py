"""SIZ and POS at their edges; equity 10,000."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from typing import Any

from riskd.records import ClustersSeen
from tests.riskd.edges.kit import (
    add,
    edge,
    limited,
    perpetual,
    raise_hold,
    roomy,
)
from tests.riskd.kit import BTC, ETH, SECOND, STRICT, Desk, make_test_limits
from tests.support.builders import make_instrument
from tradebot.core.accounts import PositionMargin
from tradebot.core.approvals import ApprovalAnswer, Verdict
from tradebot.core.instruments import Product
from tradebot.core.intents import ProtectionPlan
from tradebot.core.levels import Scope, ScopeKind, TradingLevel
from tradebot.core.orders import OrderRole, Side

changes: dict[str, Any]

add("SIZ-01", "at the cap", None, lambda: limited("SIZ-01", max_qty={"*": "0.01"}).plain(qty="0.01"))
add("SIZ-01", "one lot above", "ORDER_QTY_LIMIT", lambda: limited("SIZ-01", max_qty={"*": "0.01"}).plain(qty="0.01001"))
for label, changes, qty, reason in (
    ("at 6 % of equity", {"max_pct_of_equity": 6}, "0.01", None),
    ("above it", {"max_pct_of_equity": 6}, "0.01001", "ORDER_NOTIONAL_LIMIT"),
    ("at the absolute cap", {"max_notional": 600}, "0.01", None),
    ("above the absolute cap", {"max_notional": 600}, "0.01001", "ORDER_NOTIONAL_LIMIT"),
):
    add("SIZ-02", label, reason, lambda c=changes, q=qty: limited("SIZ-02", **c).plain(qty=q))  # type: ignore[misc]


@edge("SIZ-02", "half at CAUTIOUS, at the limit", None)
def _cautious_at() -> ApprovalAnswer:
    desk = limited("SIZ-02", max_notional=1200, max_pct_of_equity=20)
    raise_hold(desk, TradingLevel.CAUTIOUS, Scope(ScopeKind.STRATEGY, "s1"))
    return desk.plain(qty="0.01")


@edge("SIZ-02", "half at CAUTIOUS, above it", "ORDER_NOTIONAL_LIMIT")
def _cautious_above() -> ApprovalAnswer:
    desk = limited("SIZ-02", max_notional=1200, max_pct_of_equity=20)
    raise_hold(desk, TradingLevel.CAUTIOUS, Scope(ScopeKind.STRATEGY, "s1"))
    return desk.plain(qty="0.01001")


def child_of(qty: str, **changes: Any) -> ApprovalAnswer:
    desk = Desk()
    intent = desk.intent(qty="0.01")
    desk.ask(intent)
    return desk.ask(None, desk.order(intent, terms_qty=qty, **changes))


add("SIZ-06", "the whole parent", None, lambda: child_of("0.01"))
add("SIZ-06", "one lot more", "CHILD_EXCEEDS_PARENT", lambda: child_of("0.01001"))
add("SIZ-06", "at a worse price", "CHILD_EXCEEDS_PARENT", lambda: child_of("0.01", terms_price="60000.01"))


def sale_of(price: str, *, opens: bool) -> ApprovalAnswer:
    """Part of a sale at 60,000 that opens a short position, or closes a long one."""
    desk = perpetual(usdt="10000") if opens else Desk()
    if not opens:
        desk.buy("0.01")
    intent = desk.intent(side=Side.SELL, role=OrderRole.ENTRY if opens else OrderRole.EXIT)
    desk.ask(intent)
    return desk.ask(None, desk.order(intent, terms_qty="0.01", terms_price=price))


add("SIZ-06", "a short at its price", None, lambda: sale_of("60000", opens=True))
add("SIZ-06", "a short at a better one", None, lambda: sale_of("60000.01", opens=True))
add("SIZ-06", "a short at a worse one", "CHILD_EXCEEDS_PARENT", lambda: sale_of("59999.99", opens=True))
add("SIZ-06", "a sale that closes follows the market", None, lambda: sale_of("59999.99", opens=False))
add("SIZ-06", "for another strategy", "CHILD_EXCEEDS_PARENT", lambda: child_of("0.01", strategy_id="s2"))
add("SIZ-06", "of no parent", "CHILD_EXCEEDS_PARENT", lambda: child_of("0.01", intent_id="i99"))


def with_funds(usdt: str) -> ApprovalAnswer:
    return roomy(usdt).plain(qty="0.01")  # 600 and 0.1 % fee


add("POS-01", "exactly enough", None, lambda: with_funds("600.6"))
add("POS-01", "a millionth short", "INSUFFICIENT_FUNDS", lambda: with_funds("600.599999"))


def selling(btc: str) -> ApprovalAnswer:
    desk = Desk()
    desk.account(("USDT", "10000"), ("BTC", btc))
    return desk.plain(side=Side.SELL, qty="0.01")


add("POS-01", "sell what is there", None, lambda: selling("0.01"))
add("POS-01", "sell more than is there", "INSUFFICIENT_FUNDS", lambda: selling("0.00999999"))


@edge("POS-01", "what working orders need is not free", "INSUFFICIENT_FUNDS")
def _reserved_funds() -> ApprovalAnswer:
    desk = roomy("1201")
    desk.plain(qty="0.01")
    return desk.plain(qty="0.01")


for label, changes, qty, reason in (
    # 0.02 x ask 60,000.01 = 1,200.0002
    ("at the hard limit", {"max_notional": "1200.0002"}, "0.01", None),
    ("above it", {"max_notional": "1200.0001"}, "0.01", "POSITION_LIMIT"),
    ("above the percentage", {"hard_pct": 12, "soft_pct": 1}, "0.01", "POSITION_LIMIT"),
):

    def position(changes: dict[str, Any] = changes, qty: str = qty) -> ApprovalAnswer:
        # SIZ-02 has to fit under it
        desk = Desk(limits=make_test_limits({"POS-02": changes, "SIZ-02": {"max_notional": 1200}}))
        desk.buy("0.005")
        desk.plain(qty="0.005")  # working
        return desk.plain(qty=qty)

    add("POS-02", label, reason, position)


def crowded(held: int) -> ApprovalAnswer:
    names = [BTC, ETH, "binance:SOL-USDT", "binance:XRP-USDT"]
    desk = Desk(
        limits=make_test_limits({"POS-03": {"max_positions": 3}}), instruments=tuple(map(make_instrument, names))
    )
    for name in names[2:]:
        desk.quote(name, "99.99", "100.01")
    for name in names[1 : held + 1]:
        desk.plain(instrument_id=name, qty="0.1", limit_price="3000" if name == ETH else "100")
    return desk.plain(qty="0.001")


add("POS-03", "the third", None, lambda: crowded(2))
add("POS-03", "the fourth", "OPEN_POSITION_COUNT", lambda: crowded(3))


@edge("POS-03", "one more in an instrument that is held", None)
def _same_again() -> ApprovalAnswer:
    desk = limited("POS-03", max_positions=1)
    desk.buy("0.001")
    return desk.plain(qty="0.001")


for label, cap, reason in (("at", "900.000625", None), ("above", "900.000624", "GROSS_EXPOSURE_LIMIT")):

    def gross(cap: str = cap) -> ApprovalAnswer:
        caps = {"max_notional": cap}
        desk = Desk(limits=make_test_limits({"SIZ-02": {"max_notional": 500}, "POS-02": caps, "POS-04": caps}))
        desk.buy("0.005")  # 300.00005 at the ask
        desk.plain(instrument_id=ETH, qty="0.05", limit_price="3000")  # 150.0005
        return desk.plain(qty="0.0075")  # 450.000075

    add("POS-04", label, reason, gross)

for label, soft, outcome in (("at the soft limit", "12", "PASS"), ("above the soft limit", "11.9999", "SOFT")):

    def soft_exposure(soft: str = soft, outcome: str = outcome) -> ApprovalAnswer:
        limits = make_test_limits(
            {"POS-02": {"soft_pct": soft}, "POS-04": {"soft_pct": soft}, "SIZ-02": {"max_pct_of_equity": 12}}
        )
        desk = Desk(limits=limits)
        desk.quote(BTC, "59999", "60000")
        answer = desk.plain(qty="0.02")  # 1,200 of 10,000
        hits = [hit.check_id for hit in answer.soft_hits]
        assert hits == ([] if outcome == "PASS" else ["POS-02", "POS-04"])
        assert answer.verdict is (Verdict.ALLOW if outcome == "PASS" else Verdict.SOFT_ALLOW)
        return answer

    add("POS-02", label, None, soft_exposure)
    add("POS-04", label, None, soft_exposure)


def risking(qty: str, stop: str | None, **changes: Any) -> ApprovalAnswer:
    desk = Desk(limits=make_test_limits({"SIZ-03": STRICT["SIZ-03"] | changes}))
    return desk.plain(qty=qty, protection=ProtectionPlan(None if stop is None else Decimal(stop)))


# 600 at 0.5 % = 3, costs 20 bps of 600 = 1.2; equity 10,000
add("SIZ-03", "at the absolute cap", None, lambda: risking("0.01", "0.005", max_risk="4.2", cost_bps=20))
add("SIZ-03", "above it", "TRADE_RISK_LIMIT", lambda: risking("0.01001", "0.005", max_risk="4.2", cost_bps=20))
add("SIZ-03", "at its share of equity", None, lambda: risking("0.01", "0.005", max_risk_pct="0.03"))
add("SIZ-03", "above that", "TRADE_RISK_LIMIT", lambda: risking("0.01", "0.0050000001", max_risk_pct="0.03"))
add("SIZ-03", "without a stop all of it", None, lambda: risking("0.01", None, max_risk=600))
add("SIZ-03", "without a stop one lot more", "TRADE_RISK_LIMIT", lambda: risking("0.01001", None, max_risk=600))


@edge("SIZ-03", "equity unknown", "CHECK_INPUT_MISSING")
def _risk_of_nothing() -> ApprovalAnswer:
    desk = Desk(limits=make_test_limits(STRICT))
    desk.gate.state.portfolio.balances.clear()
    desk.gate.accountant.forget_equity()
    return desk.plain()


def sized(before: list[str], qty: str, **changes: Any) -> ApprovalAnswer:
    """Ask for a quantity after these were approved; at 3 there is a median."""
    desk = limited("SIZ-05", **{"soft_multiple": 5, "hard_multiple": 10, "min_orders": 3} | changes)
    for one in before:
        desk.plain(qty=one)
    return desk.plain(qty=qty)


USUAL = ["0.0001", "0.0003", "0.0002"]
add("SIZ-05", "ten times the median", None, lambda: sized(USUAL, "0.002"))
add("SIZ-05", "one lot more", "ORDER_SIZE_OUTLIER", lambda: sized(USUAL, "0.00201"))
add("SIZ-05", "no median yet", None, lambda: sized(USUAL[:2], "0.01"))

for label, qty, hit in (("five times", "0.001", False), ("more than five times", "0.00101", True)):

    def warned(qty: str = qty, hit: bool = hit) -> ApprovalAnswer:
        answer = sized(USUAL, qty)
        assert [found.check_id for found in answer.soft_hits] == (["SIZ-05"] if hit else [])
        return answer

    add("SIZ-05", label, None, warned)


def concentrated(qty: str, cap: str, other: str) -> ApprovalAnswer:
    """Ask for BTC beside 0.005 at 20 ETH, which are 300.001 USDT, in another instrument."""
    market = make_instrument(other, min_notional="0.01")
    desk = Desk(
        limits=make_test_limits({"POS-06": {"max_notional": cap}}),
        instruments=(make_instrument(BTC), make_instrument(ETH), market),
    )
    desk.account(("USDT", "10000"), ("ETH", "1"))
    desk.quote(other, "19.99", "20")
    desk.quote(BTC, "59999.99", "60000")
    placed = desk.plain(instrument_id=other, qty="0.005", limit_price="20")
    assert placed.approval is not None, placed
    return desk.plain(qty=qty)


add("POS-06", "with its other market at the cap", None, lambda: concentrated("0.01", "900.001", "binance:BTC-ETH"))
add("POS-06", "one lot above", "CONCENTRATION_LIMIT", lambda: concentrated("0.01001", "900.001", "binance:BTC-ETH"))
add("POS-06", "another base does not count", None, lambda: concentrated("0.01", "600", "binance:BCH-ETH"))
add("POS-06", "alone above it", "CONCENTRATION_LIMIT", lambda: concentrated("0.01001", "600", "binance:BCH-ETH"))


add("POS-06", "at the soft cap", None,
    lambda: limited("POS-06", soft_notional="600.0001").plain(qty="0.01"), soft=True)  # fmt: skip
add("POS-06", "above the soft cap", "CONCENTRATION_LIMIT",
    lambda: limited("POS-06", soft_notional="600.000099").plain(qty="0.01"), soft=True)  # fmt: skip


CLUSTER = {"status": "enforced", "hard_pct": 100, "soft_pct": 100}


def clustered(
    qty: str, cap: str, *, pins: tuple[tuple[str, ...], ...] = ((BTC, ETH),), filled: bool = False, **more: Any
) -> ApprovalAnswer:
    """Ask for BTC at 60,000 beside 300 USDT of ETH that work, or are filled."""
    cluster = {"POS-07": CLUSTER | {"max_notional": cap} | more}
    desk = Desk(limits=make_test_limits(cluster, soft_caps={}, cluster_pins=pins))
    desk.quote(BTC, "59999.99", "60000")
    desk.quote(ETH, "2999.99", "3000")
    placed = desk.plain(instrument_id=ETH, qty="0.1", limit_price="3000")
    assert placed.approval is not None, placed
    if filled:
        desk.fill(f"c{desk.orders}", "0.1", "3000", instrument_id=ETH)
    return desk.plain(qty=qty)


TOGETHER = "CORRELATION_LIMIT"
add("POS-07", "what works and this at the cap", None, lambda: clustered("0.01", "900"))
add("POS-07", "one lot above", TOGETHER, lambda: clustered("0.01001", "900"))
add("POS-07", "what is held and this at the cap", None, lambda: clustered("0.01", "900", filled=True))
add("POS-07", "one lot above what is held", TOGETHER, lambda: clustered("0.01001", "900", filled=True))
add("POS-07", "above its share of equity", TOGETHER, lambda: clustered("0.0101", "9000", hard_pct=9, soft_pct=9))
add("POS-07", "at the soft cap", None, lambda: clustered("0.01", "1000", soft_notional=900), soft=True)
add("POS-07", "above it", TOGETHER, lambda: clustered("0.01001", "1000", soft_notional=900), soft=True)
add("POS-07", "what moves alone", None, lambda: clustered("0.01", "301", pins=()))


@edge("POS-07", "what moved together in an earlier life", TOGETHER)
def _cluster_of_an_earlier_life() -> ApprovalAnswer:
    cluster = {"POS-07": CLUSTER | {"max_notional": "600"}}
    desk = Desk(limits=make_test_limits(cluster, soft_caps={}))
    desk.gate._ledger.commit(ClustersSeen([[BTC, ETH]], desk.now_ns))
    desk.begin_anew()
    desk.quote(BTC, "59999.99", "60000.01")
    desk.quote(ETH, "2999.99", "3000.01")
    desk.buy("0.1", "3000", instrument_id=ETH)
    return desk.plain(qty="0.01")


@edge("POS-07", "another has no price", "CHECK_INPUT_MISSING")
def _cluster_without_a_price() -> ApprovalAnswer:
    cluster = {"POS-07": CLUSTER | {"max_notional": 9000}}
    desk = Desk(limits=make_test_limits(cluster, soft_caps={}, cluster_pins=((BTC, ETH),)))
    desk.buy("0.1", "3000", instrument_id=ETH)
    desk.gate.board.views.pop(ETH)
    desk.gate.decider.books.sums._at_ns = 0
    return desk.plain()


def unfilled(qty: str, cap: str, *, filled: bool = False) -> ApprovalAnswer:
    """Ask beside an entry of 300 that still works, or filled."""
    desk = limited("POS-11", max_notional=cap)
    desk.plain(qty="0.005")
    if filled:
        desk.fill("c1", "0.005")
    return desk.plain(qty=qty)


add("POS-11", "together at the cap", None, lambda: unfilled("0.005", "600"))
add("POS-11", "one lot above", "OPEN_ORDER_VALUE_LIMIT", lambda: unfilled("0.00501", "600"))
add("POS-11", "what is filled does not count", None, lambda: unfilled("0.01", "600", filled=True))
add("POS-11", "above its share of equity", "OPEN_ORDER_VALUE_LIMIT",
    lambda: limited("POS-11", max_pct_of_equity="5.9999").plain(qty="0.01"))  # fmt: skip


def stressed(cap: str, **changes: Any) -> ApprovalAnswer:
    """0.01 at the ask 60,000.01 beside 0.1 at the ask 3,000.01: 20 % of 900.0011."""
    desk = limited("POS-13", **{"max_loss": cap} | changes)
    desk.plain(instrument_id=ETH, qty="0.1", limit_price="3000")
    return desk.plain(qty="0.01")


add("POS-13", "at the cap", None, lambda: stressed("180.00022"))
add("POS-13", "above it", "STRESS_LOSS_LIMIT", lambda: stressed("180.000219"))
add("POS-13", "a smaller shock", None, lambda: stressed("90.00011", shock_pct=10))


add("POS-13", "with half of a stressed spread", None, lambda: stressed("184.50022550", stressed_spread_bps=100))
add("POS-13", "above it with that", "STRESS_LOSS_LIMIT", lambda: stressed("184.500225", stressed_spread_bps=100))
add("POS-13", "at the soft cap", None, lambda: stressed("1000", soft_loss="180.00022"), soft=True)
add("POS-13", "above the soft cap", "STRESS_LOSS_LIMIT", lambda: stressed("1000", soft_loss="180.000219"), soft=True)
add("POS-13", "above the soft share of equity", "STRESS_LOSS_LIMIT", lambda: stressed("1000", soft_pct=1), soft=True)


@edge("POS-13", "the other book was never seen", "CHECK_INPUT_MISSING")
def _stress_blind() -> ApprovalAnswer:
    desk = Desk()
    desk.buy("0.1", "3000", instrument_id=ETH)
    desk.gate.board.views[ETH].good_ns = 0
    desk.now_ns += SECOND
    return desk.plain()


def venues(here: str, there: str, *, perpetual: bool = False, other: str = "", **limits: Any) -> ApprovalAnswer:
    """Ask for 600 with this much at the order's venue and at another one; perpetuals with `other` ETH working."""
    product = Product.LINEAR_PERPETUAL if perpetual else Product.SPOT
    desk = Desk(
        limits=make_test_limits({"POS-08": {"status": "enforced", "hard_pct": 60, "soft_pct": 50} | limits}),
        instruments=tuple(replace(make_instrument(name), product=product) for name in (BTC, ETH)),
        usdt=here,
    )
    desk.quote(BTC, "59999.99", "60000")
    desk.quote(ETH, "2999.99", "3000")
    if there:
        elsewhere = replace(desk.make_account(("USDT", there)), venue="okx")
        desk.say(accounts=[elsewhere])
    if perpetual:
        told = [PositionMargin(name, Decimal(20), None, Decimal(0), False, desk.now_ns) for name in (BTC, ETH)]
        desk.say(position_margins=told)
    if other:
        assert desk.plain(instrument_id=ETH, qty=other, limit_price="3000").approval is not None
    return desk.plain(qty="0.01")


EXPOSED = "VENUE_EXPOSURE_LIMIT"
add("POS-08", "60 % lies there", None, lambda: venues("6000", "4000"))
add("POS-08", "more lies there", EXPOSED, lambda: venues("6000.000001", "3999.999999"))
add("POS-08", "one venue alone", EXPOSED, lambda: venues("10000", ""))
add("POS-08", "with a perpetual 60 %", None, lambda: venues("5400", "4600", perpetual=True))
add("POS-08", "with a perpetual more", EXPOSED, lambda: venues("5400.000001", "4599.999999", perpetual=True))
add("POS-08", "with two perpetuals 60 %", None, lambda: venues("5100", "4900", perpetual=True, other="0.1"))
add("POS-08", "with two perpetuals more", EXPOSED,
    lambda: venues("5100.000001", "4899.999999", perpetual=True, other="0.1"))  # fmt: skip
add("POS-08", "spot is in the equity", None, lambda: venues("6000", "4000", other="0.1"))
add("POS-08", "50 % lies there", None, lambda: venues("5000", "5000"), soft=True)
add("POS-08", "more than 50 % lies there", EXPOSED, lambda: venues("5000.000001", "4999.999999"), soft=True)


@edge("POS-08", "nothing is told of the venue", "CHECK_INPUT_MISSING")
def _venue_unknown() -> ApprovalAnswer:
    desk = limited("POS-08", status="enforced", hard_pct=100, soft_pct=100)
    elsewhere = replace(desk.make_account(("USDT", "10000")), venue="okx")
    desk.gate.state.portfolio.balances.clear()
    desk.say(accounts=[elsewhere])
    return desk.plain()
