"""Nothing is added while more than a little of what is held is valued at prices that nobody has seen for a while."""

from __future__ import annotations

from typing import Any

import pytest

from riskd.mark_watch import OLD_NS
from tests.riskd.kit import BTC, ETH, SECOND, Desk, make_test_limits, violations
from tests.riskd.test_losses import losing
from tests.riskd.test_money import SWAP, swap_desk, trade
from tradebot.core.levels import Hold
from tradebot.core.market import BookState
from tradebot.core.orders import OrderRole, Side

OLD_S = OLD_NS // SECOND
GONE = (None, None, BookState.GAP)


def holds(desk: Desk) -> dict[str, Hold]:
    return {hold.cause: hold for hold in desk.gate.state.holds.holds.values()}


def holding(eth: str = "0.3", **limits: Any) -> Desk:
    """A desk that holds ether, all markets seen just now."""
    desk = Desk(limits=make_test_limits(limits))
    desk.wait(1)
    desk.buy(eth, "3000", instrument_id=ETH)
    desk.quote(BTC, "59999.99", "60000.01")
    desk.quote(ETH, "2999.99", "3000.01")
    return desk


def test_while_the_price_of_what_is_held_is_not_seen_nothing_is_added_anywhere_and_everything_may_be_closed() -> None:
    desk = holding()
    desk.quote(ETH, *GONE)
    desk.wait(OLD_S)
    assert holds(desk) == {}
    desk.wait(1)

    hold = holds(desk)["MARKS_OLD"]
    assert (hold.level.name, hold.scope.name, hold.release.name) == ("REDUCE_ONLY", "", "AUTO")
    assert hold.evidence == "ETH: no price for 60 s, 9.00 % of equity"
    assert violations(desk.plain(qty="0.001")) == {"STA-01": "TRADING_REDUCE_ONLY"}
    assert desk.plain(
        instrument_id=ETH, role=OrderRole.EXIT, side=Side.SELL, qty="0.3", limit_price="2990"
    ).approval is not None  # fmt: skip


def test_it_ends_with_the_next_price() -> None:
    desk = holding()
    desk.quote(ETH, *GONE)
    desk.wait(OLD_S + 1)
    desk.quote(ETH, "2999.99", "3000.01")
    desk.wait(1)

    assert holds(desk) == {}


def test_a_book_that_is_true_and_quiet_is_seen_as_long_as_it_speaks() -> None:
    desk = holding()
    for _ in range(3):
        desk.wait(OLD_S)
    assert holds(desk) == {}
    desk.now_ns += OLD_NS + SECOND
    desk.gate.board.views[BTC].updated_ns = desk.now_ns
    desk.gate.accountant.forget_equity()
    desk.gate.handle_timer(desk.now_ns)

    assert "MARKS_OLD" in holds(desk)


@pytest.mark.parametrize(("eth", "held"), [("0.033", False), ("0.034", True)])
def test_up_to_one_percent_of_equity_may_stand_on_old_marks(eth: str, held: bool) -> None:
    desk = holding(eth)
    desk.quote(ETH, *GONE)
    desk.wait(OLD_S + 1)

    assert ("MARKS_OLD" in holds(desk)) is held


def test_what_is_not_held_may_be_as_old_as_it_likes() -> None:
    desk = Desk()
    desk.quote(ETH, *GONE)
    desk.wait(3_600)

    assert holds(desk) == {}


def test_losses_of_everything_else_are_still_seen() -> None:
    desk = holding()
    desk.quote(ETH, *GONE)
    desk.wait(OLD_S + 1)
    losing(desk, "8800")
    for _ in range(3):
        desk.wait(60)

    assert {"MARKS_OLD", "PNL-01"} <= holds(desk).keys()


def test_the_notional_of_a_derivative_counts_and_not_its_result() -> None:
    desk = swap_desk()
    desk.wait(1)
    trade(desk, 1, "0.1", "60000")
    desk.quote(SWAP, *GONE)
    desk.wait(OLD_S + 1)

    assert "60.00 % of equity" in holds(desk)["MARKS_OLD"].evidence


def test_a_restart_keeps_it_until_prices_are_known_again() -> None:
    desk = holding()
    desk.quote(ETH, *GONE)
    desk.wait(OLD_S + 1)
    desk.gate = desk.replayed()
    desk.gate.start("life2", desk.now_ns)
    desk.wait(1)
    assert "MARKS_OLD" in holds(desk)
    desk.hello()
    desk.venue()
    desk.quote(ETH, "2999.99", "3000.01")
    desk.wait(1)

    assert "MARKS_OLD" not in holds(desk)
