"""Edges of perpetuals against the balance that carries them (POS-10, PRC-06), and net exposure (POS-05)."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from tests.riskd.edges.kit import add, edge, limited, perpetual
from tests.riskd.kit import BTC, ETH, STRICT, Desk
from tradebot.core.accounts import MarginState, PositionMargin
from tradebot.core.approvals import ApprovalAnswer
from tradebot.core.instruments import Product
from tradebot.core.intents import ProtectionPlan
from tradebot.core.orders import Side

LEVERAGE, MARGIN = "LEVERAGE_LIMIT", "MARGIN_LIMIT"
WIDE = {"status": "enforced", "max_leverage": 100, "max_margin_pct": 100, "max_maintenance_pct": 99}


def levered(usdt: str, *, both: bool = False, **changes: Any) -> Desk:
    return perpetual(usdt=usdt, both=both, limits={"POS-10": WIDE | changes})


# 0.01 at the ask of 60,000.01 is 600.0001; its margin at 5x 120.00002, its fee 0.6
add("POS-10", "at the leverage", None, lambda: levered("600.0001", max_leverage=1).plain())
add("POS-10", "a millionth above it", LEVERAGE, lambda: levered("600.000099", max_leverage=1).plain())
add("POS-10", "below it", None, lambda: levered("600.000101", max_leverage=1).plain())
add("POS-10", "a short above it", LEVERAGE, lambda: levered("600.000099", max_leverage=1).plain(side=Side.SELL))
add("POS-10", "nothing that carries it", LEVERAGE, lambda: levered("0").plain())
add("POS-10", "at the margin in use", None, lambda: levered("1206.0002", max_margin_pct=10).plain())
add("POS-10", "a millionth above that", MARGIN, lambda: levered("1206.000199", max_margin_pct=10).plain())
add("POS-10", "below that", None, lambda: levered("1206.000201", max_margin_pct=10).plain())
add("POS-10", "spot borrows nothing", None, lambda: limited("POS-10", **STRICT["POS-10"]).plain())


def kept(maintenance: str) -> ApprovalAnswer:
    """Ask where the venue tells this maintenance margin of a balance of 1000."""
    desk = levered("1000", max_maintenance_pct=35)
    told = MarginState("binance", "main", "USDT", Decimal(1000), Decimal(400), Decimal(maintenance), 2)
    desk.say(margins=[told])
    return desk.plain(qty="0.001")


add("POS-10", "at the maintenance margin", None, lambda: kept("350"))
add("POS-10", "a millionth more of it", MARGIN, lambda: kept("350.000001"))
add("POS-10", "the venue tells no margin account", "CHECK_INPUT_MISSING",
    lambda: untold_account(levered("1000")).plain(qty="0.001"))  # fmt: skip


def untold_account(desk: Desk) -> Desk:
    desk.gate.state.portfolio.margins.clear()
    return desk


def beside(usdt: str, *, held: bool, **changes: Any) -> ApprovalAnswer:
    """Ask beside 0.1 ETH, held or at work, which is 300.001 at its ask."""
    desk = levered("10000", both=True, **changes)
    placed = desk.plain(instrument_id=ETH, qty="0.1", limit_price="3000.01")
    assert placed.approval is not None, placed
    if held:
        desk.fill("c1", "0.1", "3000.01", instrument_id=ETH)
    desk.account(("USDT", usdt))
    return desk.plain()


# Held, its open result at the bid of 2,999.99 is -0.002
add("POS-10", "with another at work", None, lambda: beside("900.0011", held=False, max_leverage=1))
add("POS-10", "with another at work above it", LEVERAGE, lambda: beside("900.001099", held=False, max_leverage=1))
add("POS-10", "with another held", None, lambda: beside("900.0031", held=True, max_leverage=1))
add("POS-10", "with another held above it", LEVERAGE, lambda: beside("900.003099", held=True, max_leverage=1))


@edge("POS-10", "another has no price", "CHECK_INPUT_MISSING")
def _blind_beside() -> ApprovalAnswer:
    desk = levered("10000", both=True)
    desk.plain(instrument_id=ETH, qty="0.1", limit_price="3000")
    desk.gate.board.views[ETH].good_ns = 0
    return desk.plain()


def inverse(btc: str) -> ApprovalAnswer:
    """Ten contracts of 100 are 1000 / 59,999.99 = 0.016666669445 BTC, rounded up."""
    desk = perpetual(Product.INVERSE_PERPETUAL, limits={"POS-10": WIDE | {"max_leverage": 1}})
    desk.account(("USDT", "10000"), ("BTC", btc))
    return desk.plain(qty="10")


add("POS-10", "an inverse contract at it", None, lambda: inverse("0.016666669445"))
add("POS-10", "an inverse contract above it", LEVERAGE, lambda: inverse("0.016666669444"))


def netted(cap: str, *, side: Side = Side.BUY, hedge: str = "", held: bool = True, **changes: Any) -> ApprovalAnswer:
    """Ask for 0.01 BTC, 600.0001 at its ask, beside 0.1 ETH, 300.001 at its ask, bought or (`hedge`) sold."""
    share = {"status": "enforced", "max_pct_of_equity": 100, "max_notional": cap} | changes
    desk = perpetual(usdt="10000", both=True, limits={"POS-05": share})
    desk.plain(instrument_id=ETH, side=Side[hedge or "BUY"], qty="0.1", limit_price="3000")
    if held:
        desk.fill("c1", "0.1", "3000", instrument_id=ETH, side=Side[hedge or "BUY"])
    return desk.plain(side=side)


NET = "NET_EXPOSURE_LIMIT"
add("POS-05", "both ways together at the cap", None, lambda: netted("900.0011"))
add("POS-05", "a millionth above it", NET, lambda: netted("900.001099"))
add("POS-05", "below it", None, lambda: netted("900.001101"))
add("POS-05", "above its share of equity", NET, lambda: netted("100000", max_pct_of_equity=9))
add("POS-05", "a position against it counts against it", None, lambda: netted("299.9991", hedge="SELL"))
add("POS-05", "a millionth above what is left", NET, lambda: netted("299.999099", hedge="SELL"))
add("POS-05", "an order against it does not count yet", NET, lambda: netted("600.000099", hedge="SELL", held=False))
add("POS-05", "nor more than nothing", None, lambda: netted("600.0001", hedge="SELL", held=False))
add("POS-05", "two shorts at the cap", None, lambda: netted("900.0011", side=Side.SELL, hedge="SELL"))
add("POS-05", "two shorts above it", NET, lambda: netted("900.001099", side=Side.SELL, hedge="SELL"))
add("POS-05", "a short at work counts for a short", NET,
    lambda: netted("900.001099", side=Side.SELL, hedge="SELL", held=False))  # fmt: skip


add("POS-05", "at the soft cap", None, lambda: netted("10000", soft_notional="900.0011"), soft=True)
add("POS-05", "above the soft cap", NET, lambda: netted("10000", soft_notional="900.001099"), soft=True)


def stressed(
    cap: str, *, side: Side = Side.BUY, other: str = "BUY", held: bool = True, **shocks: Any
) -> ApprovalAnswer:
    """Ask for 0.01 BTC, 600.0001 at its ask, beside 0.1 ETH, 300.001 at its ask, bought or sold."""
    stress = {"status": "enforced", "max_loss_pct": 100, "max_loss": cap} | shocks
    desk = perpetual(usdt="10000", both=True, limits={"POS-13": stress})
    desk.plain(instrument_id=ETH, side=Side[other], qty="0.1", limit_price="3000")
    if held:
        desk.fill("c1", "0.1", "3000", instrument_id=ETH, side=Side[other])
    return desk.plain(side=side)


STRESS = "STRESS_LOSS_LIMIT"
add("POS-13", "two longs in a fall", None, lambda: stressed("180.00022"))
add("POS-13", "two longs above it", STRESS, lambda: stressed("180.000219"))
add("POS-13", "two shorts in a rise", None, lambda: stressed("180.00022", side=Side.SELL, other="SELL"))
add("POS-13", "two shorts above it", STRESS, lambda: stressed("180.000219", side=Side.SELL, other="SELL"))
add("POS-13", "two shorts in a farther rise", None,
    lambda: stressed("450.00055", side=Side.SELL, other="SELL", rise_pct=50))  # fmt: skip
add("POS-13", "two shorts above that", STRESS,
    lambda: stressed("450.000549", side=Side.SELL, other="SELL", rise_pct=50))  # fmt: skip
add("POS-13", "a hedge hedges nothing and costs nothing", None, lambda: stressed("120.00002", other="SELL"))
add("POS-13", "a long above it beside a hedge", STRESS, lambda: stressed("120.000019", other="SELL"))
add("POS-13", "a hedge that loses more in its own shock", STRESS,
    lambda: stressed("149", other="SELL", rise_pct=50))  # fmt: skip
add("POS-13", "what works counts as what is held", STRESS,
    lambda: stressed("180.000219", side=Side.SELL, other="SELL", held=False))  # fmt: skip
add("POS-13", "a short at the soft cap", None,
    lambda: stressed("1000", side=Side.SELL, other="SELL", soft_loss="180.00022"), soft=True)  # fmt: skip


@edge("POS-05", "what lets it lean less passes, however far it leans", None)
def _leans_less() -> ApprovalAnswer:
    share = {"status": "enforced", "max_pct_of_equity": 100, "max_notional": 1000}
    desk = perpetual(usdt="10000", both=True, limits={"POS-05": share})
    desk.gate.state.portfolio.net[ETH] = -10 * 10**12
    desk.gate.state.portfolio.moved.add(ETH)
    return desk.plain()


@edge("POS-05", "another has no price", "CHECK_INPUT_MISSING")
def _net_blind() -> ApprovalAnswer:
    share = {"status": "enforced", "max_pct_of_equity": 100, "max_notional": 1000}
    desk = perpetual(usdt="10000", both=True, limits={"POS-05": share})
    desk.gate.state.portfolio.net[ETH] = 10**12
    desk.gate.state.portfolio.moved.add(ETH)
    desk.gate.board.views[ETH].good_ns = 0
    return desk.plain()


CLOSE = "LIQUIDATION_TOO_CLOSE"


def liquidated(
    usdt: str, stop: str | None = "0.05", *, side: Side = Side.BUY, multiple: int = 2, maintenance: int = 10,
    held: str = "", **told: Any,
) -> ApprovalAnswer:  # fmt: skip
    """Ask for 0.1 BTC at the touch, 60,000.01 or 59,999.99, beside what is held."""
    rule = {"status": "enforced", "min_stop_multiple": multiple, "maintenance_pct": maintenance}
    desk = perpetual(usdt=usdt, limits={"PRC-06": rule})
    desk.gate.state.portfolio.net[BTC] = int(Decimal(held or 0) * 10**12)
    base: dict[str, Any] = {"liquidation_price": None, "maintenance_margin": Decimal(0), "isolated": False}
    desk.say(position_margins=[PositionMargin(BTC, Decimal(5), event_time_ns=2, **base | told)])
    price = "60000.01" if side is Side.BUY else "59999.99"
    plan = ProtectionPlan(None if stop is None else Decimal(stop))
    return desk.plain(side=side, qty="0.1", limit_price=price, protection=plan)


# 1,140.00019 and the fee of 6.000001: 0.1 at 60,000.01 is down to 10 % of its value 10 % lower, at 54,000.009
LONG = "1146.000191"
add("PRC-06", "twice as far as the stop", None, lambda: liquidated(LONG))
add("PRC-06", "a millionth less carries it", CLOSE, lambda: liquidated("1146.000190"))
add("PRC-06", "a millionth more carries it", None, lambda: liquidated("1146.000192"))
add("PRC-06", "the stop a little farther", CLOSE, lambda: liquidated(LONG, "0.050001"))
add("PRC-06", "the stop a little nearer", None, lambda: liquidated(LONG, "0.049999"))
add("PRC-06", "a higher multiple", CLOSE, lambda: liquidated(LONG, multiple=3))
add("PRC-06", "a higher maintenance margin", CLOSE, lambda: liquidated(LONG, maintenance=11))
# 1,259.99979 and the fee of 5.999999: sold at 59,999.99 it is down to 10 % at 65,999.989
SHORT: dict[str, Any] = {"side": Side.SELL}
add("PRC-06", "a short, twice as far", None, lambda: liquidated("1265.999789", **SHORT))
add("PRC-06", "a short, a millionth less carries it", CLOSE, lambda: liquidated("1265.999788", **SHORT))
add("PRC-06", "nothing carries it", CLOSE, lambda: liquidated("6"))
add("PRC-06", "a position that is carried in full is never liquidated", None, lambda: liquidated("7000", "0.9"))
add("PRC-06", "a stop is asked for elsewhere", None, lambda: liquidated("6", None))
add("PRC-06", "spot has no liquidation", None, lambda: limited("PRC-06", **STRICT["PRC-06"]).plain())
add("PRC-06", "the position stays short, and shrinks", None, lambda: liquidated("1", held="-0.2"))
add("PRC-06", "the position turns", CLOSE, lambda: liquidated("1", held="-0.05"))
add("PRC-06", "what is held already counts", CLOSE, lambda: liquidated(LONG, held="0.001"))
# Isolated, 1,200.0002 at 5x carry it to 53,333.34, which is 11.1 % lower
add("PRC-06", "isolated, its own margin alone", CLOSE, lambda: liquidated("100000", "0.06", isolated=True))
add("PRC-06", "isolated, far enough", None, lambda: liquidated("100000", isolated=True))
TOLD: dict[str, Any] = {"held": "0.01", "usdt": "100000"}
add("PRC-06", "the venue's own liquidation price", None,
    lambda: liquidated(liquidation_price=Decimal("54000.009"), **TOLD))  # fmt: skip
add("PRC-06", "a tick nearer than that", CLOSE, lambda: liquidated(liquidation_price=Decimal("54000.019"), **TOLD))
add("PRC-06", "of a position the other way it says nothing", None,
    lambda: liquidated("100000", held="-0.01", liquidation_price=Decimal(60001)))  # fmt: skip
# 0.11 at the ask, 6,600.0011; held 0.01 is 600.0001
add("PRC-06", "maintenance as assumed", None, lambda: liquidated("1300", held="0.01"))
add("PRC-06", "more maintenance than assumed", CLOSE,
    lambda: liquidated("1300", held="0.01", maintenance_margin=Decimal(100)))  # fmt: skip
add("PRC-06", "more maintenance than the position is worth", CLOSE,
    lambda: liquidated("1300", held="0.01", maintenance_margin=Decimal(601)))  # fmt: skip


def coined(btc: str, side: Side, stop: str = "0.05") -> ApprovalAnswer:
    """Ten contracts of 100, 0.0166667 BTC."""
    rule = {"status": "enforced", "min_stop_multiple": 2, "maintenance_pct": 5}
    desk = perpetual(Product.INVERSE_PERPETUAL, limits={"PRC-06": rule})
    desk.account(("USDT", "10000"), ("BTC", btc))
    return desk.plain(side=side, qty="10", protection=ProtectionPlan(Decimal(stop)))


add("PRC-06", "an inverse contract, far enough", None, lambda: coined("0.003", Side.BUY))
add("PRC-06", "an inverse contract, too near", CLOSE, lambda: coined("0.002", Side.BUY))
add("PRC-06", "an inverse short on too little", CLOSE, lambda: coined("0.002", Side.SELL))
add("PRC-06", "an inverse short on more than its worth", None, lambda: coined("0.02", Side.SELL, "0.9"))


@edge("PRC-06", "beside another that needs 60.0002", None)
def _liquidation_beside() -> ApprovalAnswer:
    return _beside_eth("1206.000391")


@edge("PRC-06", "beside it on a millionth less", CLOSE)
def _liquidation_beside_less() -> ApprovalAnswer:
    return _beside_eth("1206.000390")


def _beside_eth(usdt: str) -> ApprovalAnswer:
    rule = {"status": "enforced", "min_stop_multiple": 2, "maintenance_pct": 10}
    desk = perpetual(usdt="10000", both=True, limits={"PRC-06": rule})
    desk.plain(instrument_id=ETH, qty="0.1", limit_price="3000.01", protection=ProtectionPlan(Decimal("0.01")))
    desk.account(("USDT", usdt))
    return desk.plain(qty="0.1", limit_price="60000.01", protection=ProtectionPlan(Decimal("0.05")))


add("PRC-06", "the venue told no margin of it", "CHECK_INPUT_MISSING",
    lambda: perpetual(told=False, limits={"PRC-06": STRICT["PRC-06"]}).plain())  # fmt: skip
