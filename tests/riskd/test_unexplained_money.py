"""Money that moved and that nobody explains is no profit and no loss; it pauses its venue until somebody has looked."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from riskd.holds import Clearing
from riskd.limits import Limits
from riskd.records import RecordType
from riskd.units import to_units
from tests.riskd.kit import BTC, SECOND, Desk, make_test_limits
from tests.riskd.test_losses import morning
from tradebot.core.accounts import LedgerEntry, LedgerKind
from tradebot.core.orders import OrderEventKind, OrderRole, Side

PTR_04: dict[str, Any] = {"PTR-04": {"status": "enforced", "max_drift_pct": "0.1"}}
DAY_HALT: dict[str, Any] = {"PNL-02": {"status": "enforced", "halt_at_pct": -4, "action": "close_all"}}


def desk_with(limits: Limits | None = None) -> Desk:
    return morning(limits or make_test_limits(PTR_04))


def told(desk: Desk, *balances: tuple[str, str], seconds: float = 60, **more: Any) -> None:
    """The venue tells its balances, so long after the last time."""
    desk.wait(seconds)
    desk.account(*balances, **more)


def holds(desk: Desk) -> dict[str, Any]:
    return {hold.cause: hold for hold in desk.gate.state.holds.holds.values()}


def day_pnl(desk: Desk) -> Any:
    start = desk.gate.state.portfolio.day_start
    assert start is not None
    return Decimal(desk.gate.equity(desk.now_ns).value - start) / 10**12


def accept(desk: Desk) -> None:
    hold = holds(desk)["PTR-04"]
    cleared = desk.gate.keeper.clear_hold(
        hold.hold_id, Clearing("ana", "trader", "it was me at the bank"), command_id="x1", now_ns=desk.now_ns
    )
    assert cleared.cleared


def test_a_withdrawal_while_execd_was_down_sells_nothing_and_pauses_the_venue() -> None:
    desk = desk_with(make_test_limits(PTR_04 | DAY_HALT))
    desk.buy("0.01")
    before = day_pnl(desk)
    desk.gate.session_lost(desk.now_ns)
    desk.wait(60)
    desk.hello()
    desk.venue()

    told(desk, ("USDT", "8400"), ("BTC", "0.01"), seconds=0)
    down = desk.wait(1)
    assert (holds(desk), down.reduces, day_pnl(desk)) == ({}, [], before)
    told(desk, ("USDT", "8400"), ("BTC", "0.01"))

    hold = holds(desk)["PTR-04"]
    assert (hold.level.name, hold.scope.name, hold.release.name) == ("PAUSED", "binance", "ONE_KEY")
    assert "-1000 USDT that no fill" in hold.evidence
    assert (day_pnl(desk), desk.gate.state.portfolio.day_start) == (before, to_units(Decimal(9000)))


def test_no_money_is_missed_before_execds_log_is_read_to_where_it_stood_at_its_hello() -> None:
    desk = desk_with()
    desk.hello(head=desk.sequence + 1)
    desk.venue()
    for _ in range(2):
        told(desk, ("USDT", "8000"), seconds=10)
    assert "PTR-04" not in holds(desk)

    desk.hello()
    desk.venue()
    for _ in range(2):
        told(desk, ("USDT", "8000"), seconds=10)
    assert "PTR-04" in holds(desk)


def test_a_deposit_that_nobody_told_covers_no_loss() -> None:
    desk = desk_with(make_test_limits(PTR_04 | DAY_HALT))
    told(desk, ("USDT", "10500"))
    desk.buy("0.015")
    desk.plain(role=OrderRole.EXIT, side=Side.SELL, qty="0.015", limit_price="59900")
    desk.fill(f"c{desk.orders}", "0.015", "30000", side=Side.SELL)

    assert day_pnl(desk) == -450
    assert {"PNL-01", "PNL-02"} <= holds(desk).keys()


def test_a_deposit_that_nobody_told_reaches_no_day_target() -> None:
    desk = desk_with(make_test_limits(PTR_04, day_target={"target_pct": 5, "action": "close_all"}))
    told(desk, ("USDT", "11000"))
    desk.wait(1)

    assert (holds(desk), day_pnl(desk)) == ({}, 0)


@pytest.mark.parametrize("change", ["1000", "-1000"])
@pytest.mark.parametrize("first", ["note", "balance"])
def test_a_transfer_counts_for_nothing_whichever_of_note_and_balance_comes_first(first: str, change: str) -> None:
    desk = desk_with()
    after = ("USDT", str(10_000 + int(change)))
    note: dict[str, Any] = {"transfer_asset": "USDT", "transfer_delta": Decimal(change), "complete": False}
    if first == "note":
        told(desk, ("USDT", "10000"), **note)
        assert day_pnl(desk) == 0
        told(desk, after)
    else:
        told(desk, after)
        assert day_pnl(desk) == 0
        told(desk, after, **note)
    told(desk, after)
    told(desk, after)

    assert (day_pnl(desk), holds(desk)) == (0, {})


@pytest.mark.parametrize(("kind", "pnl"), [(LedgerKind.WITHDRAWAL, 0), (LedgerKind.CHARGE, -100)])
def test_what_the_ledger_explains_later_is_what_the_ledger_says(kind: LedgerKind, pnl: int) -> None:
    desk = desk_with()
    told(desk, ("USDT", "9900"))
    assert day_pnl(desk) == 0

    desk.say(ledger=[LedgerEntry("binance", "main", "e1", kind, "USDT", Decimal(-100), desk.now_ns - SECOND)])
    assert day_pnl(desk) == pnl
    told(desk, ("USDT", "9900"))
    told(desk, ("USDT", "9900"))

    assert (day_pnl(desk), holds(desk)) == (pnl, {})


def test_a_fill_that_the_venue_shows_before_execd_tells_it_is_no_money_from_nowhere() -> None:
    desk = desk_with()
    desk.plain(qty="0.01")
    told(desk, ("USDT", "9400"), ("BTC", "0.01"))
    desk.fill("c1", "0.01")
    told(desk, ("USDT", "9400"), ("BTC", "0.01"))
    told(desk, ("USDT", "9400"), ("BTC", "0.01"))

    assert desk.gate.state.portfolio.wallets.unexplained == {}
    assert (day_pnl(desk), holds(desk)) == (Decimal("-0.0001"), {})


def test_balances_that_come_just_before_the_fills_that_they_contain_prove_nothing() -> None:
    desk = desk_with()
    for usdt, btc in (("9400", "0.01"), ("8800", "0.02")):
        desk.wait(60)
        desk.plain(qty="0.01")
        desk.account(("USDT", usdt), ("BTC", btc), after=desk.sequence + 1)
        desk.fill(f"c{desk.orders}", "0.01")

    assert not [pair for pair in desk.sink.records if pair[0] == RecordType.MONEY_MOVED]


def test_fills_that_riskd_reads_after_the_balances_that_contain_them_count() -> None:
    desk = desk_with()
    desk.buy("0.01")
    desk.plain(role=OrderRole.EXIT, side=Side.SELL, qty="0.01", limit_price="59900")
    desk.gate.session_lost(desk.now_ns)
    desk.hello(head=desk.sequence + 1)
    told(desk, ("USDT", "9900"), after=desk.sequence + 1)
    assert day_pnl(desk) > -1
    desk.fill("c2", "0.01", "50000", side=Side.SELL)

    assert day_pnl(desk) == -100
    assert desk.gate.state.portfolio.wallets.unexplained == {}


def test_what_the_first_balances_contain_is_no_change_when_it_is_told_later() -> None:
    desk = Desk(connect=False)
    desk.hello(head=2)
    desk.quote(BTC, "59999.99", "60000.01")
    desk.account(("USDT", "9400"), ("BTC", "0.01"), after=2)
    desk.say(ledger=[LedgerEntry("binance", "main", "e0", LedgerKind.CHARGE, "USDT", Decimal(-50), desk.now_ns)])
    desk.event("c1", OrderEventKind.ASKED)
    desk.fill("c1", "0.01")

    assert desk.gate.state.portfolio.wallets.unexplained == {}


@pytest.mark.parametrize(
    ("usdt", "seconds", "held"),
    [
        ("9990.01", 2, False),
        ("9990", 2, True),
        ("9990", 1.9, False),
        ("10010.01", 2, False),
        ("10010.02", 2, True),
    ],
)
def test_the_venue_is_paused_beyond_the_limit_when_a_later_snapshot_says_so_too(
    usdt: str, seconds: float, held: bool
) -> None:
    desk = desk_with()
    told(desk, ("USDT", usdt))
    assert holds(desk) == {}
    told(desk, ("USDT", usdt), seconds=seconds)

    assert ("PTR-04" in holds(desk)) is held


def test_dust_is_left_in_profit_and_loss_until_it_comes_together() -> None:
    desk = desk_with()
    told(desk, ("USDT", "9999.01"))
    assert day_pnl(desk) == Decimal("-0.99")
    told(desk, ("USDT", "9998"))

    assert day_pnl(desk) == 0


def test_where_the_check_is_off_nothing_is_paused_and_it_is_no_profit_either() -> None:
    desk = desk_with(make_test_limits())
    told(desk, ("USDT", "5000"))
    told(desk, ("USDT", "5000"))

    assert (day_pnl(desk), holds(desk)) == (0, {})


def test_who_clears_the_hold_accepts_what_the_venue_holds_and_no_more() -> None:
    desk = desk_with()
    for _ in range(2):
        told(desk, ("USDT", "9000"))
    accept(desk)
    for _ in range(2):
        told(desk, ("USDT", "9000"))
    assert (holds(desk), day_pnl(desk)) == ({}, 0)
    for _ in range(2):
        told(desk, ("USDT", "8900"))

    assert "-100 USDT" in holds(desk)["PTR-04"].evidence


def test_a_deposit_in_coin_moves_the_day_by_its_worth_and_earns_from_then_on() -> None:
    desk = desk_with()
    told(desk, ("USDT", "10000"), ("BTC", "0.01"))
    assert day_pnl(desk) == 0
    desk.quote(BTC, "58999.99", "59000.01")
    desk.wait(1)

    assert day_pnl(desk) == -10


def test_one_asset_for_another_by_nobodys_hand_earns_and_loses_from_the_second_snapshot_on() -> None:
    desk = desk_with()
    for _ in range(2):
        told(desk, ("USDT", "8800"), ("BTC", "0.02"))
    desk.quote(BTC, "54999.99", "55000.01")
    desk.wait(1)

    assert day_pnl(desk) == -100
    assert desk.gate.state.portfolio.wallets.owed == {}


def test_what_moved_just_before_midnight_is_in_the_new_days_start_once() -> None:
    desk = desk_with()
    desk.now_ns += 86_398 * SECOND
    desk.account(("USDT", "9000"))
    desk.wait(3)

    assert (day_pnl(desk), desk.gate.state.portfolio.day_start) == (0, to_units(Decimal(9000)))


def test_a_restart_knows_what_moved() -> None:
    desk = desk_with()
    told(desk, ("USDT", "9000"))
    told(desk, ("USDT", "9000"), ("BTC", "0.01"))
    accept(desk)
    told(desk, ("USDT", "8000"))

    assert desk.replayed().state.digest() == desk.gate.state.digest()
    assert desk.gate.state.portfolio.wallets.owed == {}
