"""Edges of what the market can carry (MKT-06, PRC-03, SIZ-04), and of what others say it is worth (MKT-05)."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from tests.riskd.edges.kit import MARKET, STOP_LIMIT, add, edge, limited
from tests.riskd.kit import BTC, ETH, LIQUID, SECOND, Desk, make_test_limits
from tests.support.builders import make_instrument
from tradebot.core.approvals import ApprovalAnswer
from tradebot.core.market import BookState, RowKind
from tradebot.core.orders import Side, TimeInForce

MISSING = "CHECK_INPUT_MISSING"
TRADE, MARK, INDEX = RowKind.TRADE, RowKind.MARK_PRICE, RowKind.INDEX_PRICE
AWAY = "REFERENCE_DIVERGENCE"


def referred(*told: tuple[RowKind, str], after_s: float = 0, **changes: Any) -> ApprovalAnswer:
    """Ask where the mid is 60,000 and these prices were told, at most 100 bps away."""
    desk = Desk(limits=make_test_limits({"MKT-05": LIQUID["MKT-05"]}))
    desk.tell(BTC, *told)
    desk.wait(1)
    desk.now_ns += int(after_s * SECOND)
    return desk.plain(qty="0.001", **changes)


# 60,000 / 59,405.940594... is 1.01
add("MKT-05", "at the limit below", None, lambda: referred((MARK, "59405.94059406"), (INDEX, "59405.94059406")))
add("MKT-05", "farther below", AWAY, lambda: referred((MARK, "59405.9"), (INDEX, "59405.9")))
# 60,000 / 60,606.060606... is 0.99
add("MKT-05", "at the limit above", None, lambda: referred((MARK, "60606.06060606"), (INDEX, "60606.06060606")))
add("MKT-05", "farther above", AWAY, lambda: referred((MARK, "60606.1"), (INDEX, "60606.1")))
add("MKT-05", "between two", None, lambda: referred((MARK, "58800"), (INDEX, "61200")))
add("MKT-05", "one source", MISSING, lambda: referred((MARK, "60000")))
add("MKT-05", "no source", MISSING, referred)
add("MKT-05", "taken five seconds ago", None, lambda: referred((MARK, "60000"), (INDEX, "60000"), after_s=5))
add("MKT-05", "taken longer ago", MISSING, lambda: referred((MARK, "60000"), (INDEX, "60000"), after_s=5.001))


@edge("MKT-05", "a reference of nothing", MISSING)
def _no_reference() -> ApprovalAnswer:
    desk = Desk(limits=make_test_limits({"MKT-05": LIQUID["MKT-05"]}))
    desk.liquid()
    desk.gate.board.references[BTC].price = 0
    return desk.plain(qty="0.001")


@edge("MKT-05", "a source that fell silent is none", MISSING)
def _silent_mark() -> ApprovalAnswer:
    desk = Desk(limits=make_test_limits({"MKT-05": LIQUID["MKT-05"]}))
    desk.tell(BTC, (MARK, "60000"), (INDEX, "60000"))
    for second in range(6):
        desk.wait(1)
        desk.tell(BTC, (INDEX, str(60000 + second)))
    return desk.plain(qty="0.001")


def elsewhere(*mids: int, state: BookState = BookState.LIVE, **rules: str) -> ApprovalAnswer:
    """Ask where the same market is at other venues, with these mids."""
    others = tuple(make_instrument(f"venue{number}:BTC-USDT", **rules) for number in range(len(mids)))
    desk = Desk(
        limits=make_test_limits({"MKT-05": LIQUID["MKT-05"]}), instruments=(*map(make_instrument, (BTC, ETH)), *others)
    )
    for other, mid in zip(others, mids, strict=True):
        desk.quote(other.instrument_id, f"{mid - 1}", f"{mid + 1}", state)
    desk.wait(1)
    return desk.plain(qty="0.001")


add("MKT-05", "two other venues, ours is near them", None, lambda: elsewhere(59_500, 60_000))
add("MKT-05", "two other venues, ours is not", AWAY, lambda: elsewhere(59_000, 59_000))
add("MKT-05", "of three the one in the middle counts", AWAY, lambda: elsewhere(59_000, 59_000, 60_000))
add("MKT-05", "and not their mean", None, lambda: elsewhere(50_000, 60_000, 60_000))
add("MKT-05", "other venues out of sync", MISSING, lambda: elsewhere(60_000, 60_000, state=BookState.GAP))


def told_elsewhere(seconds: int, *told: tuple[RowKind, str | int], quoted: bool) -> ApprovalAnswer:
    """Ask where of two other venues one quotes on, and of the other so many seconds have passed since it last did."""
    others = tuple(make_instrument(f"venue{number}:BTC-USDT") for number in range(2))
    desk = Desk(
        limits=make_test_limits({"MKT-05": LIQUID["MKT-05"]}), instruments=(*map(make_instrument, (BTC, ETH)), *others)
    )
    for second in range(seconds + 1):
        for other in others[: 2 if quoted or not second else 1]:
            desk.quote(other.instrument_id, "59999", "60001")
        if second:
            desk.tell(others[1].instrument_id, *told)
        desk.wait(1)
    return desk.plain(qty="0.001")


add("MKT-05", "another venue's book of five seconds ago", None, lambda: told_elsewhere(4, quoted=False))
add("MKT-05", "of longer ago", MISSING, lambda: told_elsewhere(5, quoted=False))
add("MKT-05", "trades say nothing of another venue's book", MISSING,
    lambda: told_elsewhere(5, (TRADE, 1), quoted=False))  # fmt: skip
add("MKT-05", "books that are told on and on", None, lambda: told_elsewhere(9, quoted=True))


@edge("MKT-05", "another pair is no source", MISSING)
def _another_pair() -> ApprovalAnswer:
    return limited("MKT-05", **LIQUID["MKT-05"]).plain(qty="0.001")


THIN = "INSUFFICIENT_DEPTH"


def deep(lots: int, *, bid: str = "59999.99", ask: str = "60000.01", side: Side = Side.BUY) -> ApprovalAnswer:
    """Ask for 1000 lots where the best offers have so many, three times the order at least."""
    desk = Desk(limits=make_test_limits({"MKT-06": LIQUID["MKT-06"]}))
    desk.quote(BTC, bid, ask, lots=lots)
    return desk.plain(side=side)


add("MKT-06", "three times the order", None, lambda: deep(3000))
add("MKT-06", "a lot less", THIN, lambda: deep(2999))
add("MKT-06", "a lot more", None, lambda: deep(3001))
add("MKT-06", "a sell looks at the bid", None, lambda: deep(3000, side=Side.SELL))
add("MKT-06", "a sell into a lot less", THIN, lambda: deep(2999, side=Side.SELL))
add("MKT-06", "best offer 10 bps away", None, lambda: deep(3000, bid="59940", ask="60060"))
add("MKT-06", "best offer a tick farther", THIN, lambda: deep(10**6, bid="59939.99", ask="60060.01"))
add("MKT-06", "a quantity that nobody told", MISSING, lambda: deep(0))


@edge("MKT-06", "without a book", MISSING)
def _deep_blind() -> ApprovalAnswer:
    desk = Desk(limits=make_test_limits({"MKT-06": LIQUID["MKT-06"]}))
    desk.gate.market_lost(desk.now_ns)
    return desk.plain()


SLIPS = "SLIPPAGE_LIMIT"


def slipping(price: str, lots: int = 500, *, side: Side = Side.BUY, **ask_for: Any) -> ApprovalAnswer:
    """Ask for 1000 lots where 500 lie at 59,990 and 60,010, 1.67 bps from the mid; at most 20 bps on average."""
    desk = Desk(limits=make_test_limits({"PRC-03": LIQUID["PRC-03"], "PRC-01": {"collar_bps": {"*": 9_000}}}))
    desk.quote(BTC, "59990", "60010", lots=lots)
    return desk.plain(**{"limit_price": price, "side": side, **ask_for})


# Half at 60,010 and half at 60,230 is 60,120 on average: 20 bps
add("PRC-03", "half at the limit, 20 bps", None, lambda: slipping("60230"))
add("PRC-03", "a tick more", SLIPS, lambda: slipping("60230.01"))
add("PRC-03", "a tick less", None, lambda: slipping("60229.99"))
add("PRC-03", "a lot less at the best offer", SLIPS, lambda: slipping("60230", 499))
add("PRC-03", "all of it at the best offer", None, lambda: slipping("66000", 1000))
add("PRC-03", "no quantity told: all at the limit", None, lambda: slipping("60120", 0))
add("PRC-03", "a tick beyond it", SLIPS, lambda: slipping("60120.01", 0))
add("PRC-03", "a quantity below nothing", MISSING, lambda: slipping("60120", -1))
add("PRC-03", "a sell, 20 bps", None, lambda: slipping("59770", side=Side.SELL))
add("PRC-03", "a sell, a tick more", SLIPS, lambda: slipping("59769.99", side=Side.SELL))
add("PRC-03", "what rests pays no more than its limit", None, lambda: slipping("60009", time_in_force=TimeInForce.GTC))
add("PRC-03", "a market intent at its bound", None,
    lambda: slipping("60000", order_type=MARKET, limit_price=None, terms_price="60230"))  # fmt: skip
add("PRC-03", "beyond its bound", SLIPS,
    lambda: slipping("60000", order_type=MARKET, limit_price=None, terms_price="60230.01"))  # fmt: skip
TRIGGERED: dict[str, Any] = {
    "terms_order_type": STOP_LIMIT, "terms_stop_price": "61000", "terms_time_in_force": TimeInForce.GTC,
}  # fmt: skip
add("PRC-03", "20 bps beyond its trigger", None, lambda: slipping("61122", 10**6, **TRIGGERED))
add("PRC-03", "a tick beyond that", SLIPS, lambda: slipping("61122.01", 10**6, **TRIGGERED))


BELOW = "EDGE_BELOW_COST"


def hoping(edge: str | None, *, multiple: str = "1", **ask_for: Any) -> ApprovalAnswer:
    """Ask for 1000 lots that are to gain a share; fees are 10 bps, the book is 59,990 and 60,010 with 500 lots each."""
    desk = Desk(limits=make_test_limits({"PRC-08": LIQUID["PRC-08"] | {"min_cost_multiple": multiple}}))
    desk.quote(BTC, "59990", "60010", lots=500)
    return desk.plain(**{"expected_edge": None if edge is None else Decimal(edge), **ask_for})


# What rests at the mid pays no more than it: fees of 2000 ppm and half the spread, 166.7 ppm
add("PRC-08", "fees and half the spread", None, lambda: hoping("0.002167"))
add("PRC-08", "a millionth less", BELOW, lambda: hoping("0.002166"))
add("PRC-08", "a millionth more", None, lambda: hoping("0.002168"))
# Half at 60,010 and half at 60,130 is 60,070 on average: 1166.7 ppm
add("PRC-08", "what it pays beyond the mid", None, lambda: hoping("0.003167", limit_price="60130"))
add("PRC-08", "a millionth less than that", BELOW, lambda: hoping("0.003166", limit_price="60130"))
add("PRC-08", "twice the costs", None, lambda: hoping("0.004334", multiple="2"))
add("PRC-08", "a millionth less than twice", BELOW, lambda: hoping("0.004333", multiple="2"))
add("PRC-08", "a loss", BELOW, lambda: hoping("-0.01"))
add("PRC-08", "no estimate", MISSING, lambda: hoping(None))


@edge("PRC-03", "without a book", MISSING)
def _slip_blind() -> ApprovalAnswer:
    desk = Desk(limits=make_test_limits({"PRC-03": LIQUID["PRC-03"]}))
    desk.gate.market_lost(desk.now_ns)
    return desk.plain()


SHARE = "PARTICIPATION_LIMIT"


def traded(*lots: int, qty: str = "0.01", apart_s: float = 1, after_s: float = 0) -> ApprovalAnswer:
    """Ask after these trades, one each `apart_s`; at most a tenth of them, of a minute."""
    desk = Desk(limits=make_test_limits({"SIZ-04": LIQUID["SIZ-04"]}))
    desk.wait(1)
    for count in lots:
        desk.tell(BTC, (TRADE, count))
        desk.wait(apart_s)
    desk.now_ns += int(after_s * SECOND)
    return desk.plain(qty=qty)


add("SIZ-04", "a tenth of what was traded", None, lambda: traded(4000, 6000))
add("SIZ-04", "a lot more than that", SHARE, lambda: traded(4000, 5999))
add("SIZ-04", "a lot less than that", None, lambda: traded(4000, 6001))
add("SIZ-04", "nothing was traded", SHARE, lambda: traded(0))
add("SIZ-04", "a minute ago still counts", None, lambda: traded(10_000, *[0] * 59))
add("SIZ-04", "longer ago does not", SHARE, lambda: traded(10_000, *[0] * 60))
add("SIZ-04", "seen five seconds ago", None, lambda: traded(10_000, after_s=5))
add("SIZ-04", "seen longer ago", MISSING, lambda: traded(10_000, after_s=5.001))


@edge("SIZ-04", "what was traded before riskd watched does not count", SHARE)
def _traded_before() -> ApprovalAnswer:
    desk = Desk(limits=make_test_limits({"SIZ-04": LIQUID["SIZ-04"]}))
    desk.tell(BTC, (TRADE, 10**6))
    desk.wait(1)
    return desk.plain()


@edge("SIZ-04", "nor what was since the last sample", SHARE)
def _traded_since() -> ApprovalAnswer:
    desk = Desk(limits=make_test_limits({"SIZ-04": LIQUID["SIZ-04"]}))
    desk.wait(1)
    desk.tell(BTC, (TRADE, 10**6))
    return desk.plain()


add("SIZ-04", "nobody watched", MISSING, lambda: limited("SIZ-04", **LIQUID["SIZ-04"]).plain())
