"""What an asset is worth and what is in the wallets: paths through markets, marks at the worse side, snapshots."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from riskd.marks import MarketBoard
from riskd.rules import make_rule
from riskd.valuation import Leg, asset_paths
from riskd.wallets import MAX_ENTRIES, Wallets
from tests.riskd.kit import BTC, Desk, make_test_limits
from tests.support.builders import make_instrument, make_perpetual
from tradebot.core.accounts import AccountSnapshot, Balance, LedgerEntry, LedgerKind
from tradebot.core.market import BUY_FLAG, LAST_FLAG, SELL_FLAG, BookState, MarketRow, RowColumns, RowKind

UNIT = 10**12
MARK_AGE_NS = 10**9
LIMITS = make_test_limits()


def board_of(currency: str, **quotes: tuple[str, str]) -> MarketBoard:
    """Return a board with markets named BASE_QUOTE and their bid and ask."""
    board = MarketBoard(currency)
    instruments = [make_instrument(f"x:{name.replace('_', '-')}", tick="0.0001") for name in quotes]
    board.bind(enumerate(instruments))
    board.set_asset_paths(asset_paths([make_rule(i, LIMITS) for i in instruments], currency))
    for index, (bid, ask) in enumerate(quotes.values()):
        rows = RowColumns()
        rows.append(MarketRow(int(RowKind.BOOK_STATE), index, LAST_FLAG, int(BookState.LIVE), 0, 1, 7, 7))
        for side, price in ((BUY_FLAG, bid), (SELL_FLAG, ask)):
            rows.append(MarketRow(int(RowKind.BBO), index, side | LAST_FLAG, int(Decimal(price) * 10_000), 1, 1, 7, 7))
        board.apply(rows)
    return board


def test_the_account_currency_is_worth_itself() -> None:
    board = board_of("EUR")

    assert (board.rate("EUR"), board.age_ns("EUR", 9), board.has_market("EUR")) == (UNIT, 0, False)
    assert board.rate("BTC") is None


def test_a_direct_market_gives_bid_ask_and_mid() -> None:
    board = board_of("EUR", BTC_EUR=("49999", "50001"))

    assert (board.rate("BTC"), board.rate("BTC", long=False)) == (49_999 * UNIT, 50_001 * UNIT)
    assert board.rate("BTC", mid=True) == board.rate("BTC", long=False, mid=True) == 50_000 * UNIT
    assert (board.age_ns("BTC", 10), board.has_market("BTC")) == (3, True)


def test_a_market_the_other_way_round_is_inverted_against_us() -> None:
    board = board_of("EUR", EUR_USDT=("1.0999", "1.1"))

    assert board.rate("USDT") == UNIT * UNIT // (11 * UNIT // 10)
    assert board.rate("USDT", long=False) == -(-UNIT * UNIT // (10_999 * UNIT // 10_000))


def test_two_markets_are_joined_and_the_straight_one_is_preferred() -> None:
    board = board_of("USDT", BNB_BTC=("0.0099", "0.01"), BTC_USDT=("60000", "60010"))
    assert board.rate("BNB") == 594 * UNIT
    assert board.rate("BNB", long=False) == 60_010 * UNIT // 100

    straight = board_of("USDT", BNB_BTC=("0.0099", "0.01"), BTC_USDT=("60000", "60010"), BNB_USDT=("500", "501"))

    assert straight.rate("BNB") == 500 * UNIT


def test_a_path_without_one_of_its_marks_has_no_rate() -> None:
    board = board_of("USDT", BNB_BTC=("0.0099", "0.01"), BTC_USDT=("60000", "60010"))
    board.views["x:BTC-USDT"].good_ns = 5
    assert board.age_ns("BNB", 10) == 5  # the older of the two
    board.views["x:BTC-USDT"].good_ns = 0

    assert board.rate("BNB") is None
    assert board.has_market("BNB")


def test_paths_are_the_first_by_name_have_at_most_two_legs_and_use_spot_only() -> None:
    rules = [
        make_rule(i, LIMITS)
        for i in (
            make_instrument("b:BTC-USDT"), make_instrument("a:BTC-USDT"), make_perpetual("a:ETH-USDT-SWAP"),
            make_instrument("a:SOL-BTC"), make_instrument("a:PEPE-SOL"), make_instrument("a:SOL-BNB"),
            make_instrument("a:BNB-USDT"),
        )
    ]  # fmt: skip
    paths = asset_paths(rules, "USDT")

    assert paths["BTC"] == (Leg("a:BTC-USDT", False),)
    assert paths["SOL"] == (Leg("a:SOL-BNB", False), Leg("a:BNB-USDT", False))
    assert "ETH" not in paths
    assert "PEPE" not in paths  # three markets away
    assert "USDT" not in paths


@pytest.mark.parametrize(
    ("long", "mark", "worst"), [(True, 90, 90), (True, 110, 99), (False, 90, 101), (False, 110, 110)]
)
def test_a_position_is_marked_at_the_worse_of_touch_and_venue_mark(long: bool, mark: int, worst: int) -> None:
    board = board_of("USDT", ETH_USDT=("99", "101"))
    board.views["x:ETH-USDT"].mark_price = mark * UNIT

    assert board.mark("x:ETH-USDT", long) == worst * UNIT
    assert board.mark("x:ETH-USDT", long, mid=True) == 100 * UNIT


def test_the_venues_mark_price_comes_with_the_rows() -> None:
    board = board_of("USDT", ETH_USDT=("99", "101"))
    rows = RowColumns()
    rows.append(MarketRow(int(RowKind.MARK_PRICE), 0, LAST_FLAG, 9_876_543_219, 0, 1, 8, 8))
    board.apply(rows)

    assert board.mark("x:ETH-USDT", True) == 9_876_543_219 * UNIT // 10**8
    assert board.mark("x:NEVER-SEEN", True) is None


@pytest.mark.parametrize(("age_ns", "mark"), [(MARK_AGE_NS, 90), (MARK_AGE_NS + 1, 99), (-MARK_AGE_NS - 1, 99)])
def test_a_mark_price_of_another_time_marks_nothing(age_ns: int, mark: int) -> None:
    board = board_of("USDT", ETH_USDT=("99", "101"))
    board.mark_age_ns = MARK_AGE_NS
    told_ns = 100 * MARK_AGE_NS
    rows = RowColumns()
    rows.append(MarketRow(int(RowKind.MARK_PRICE), 0, LAST_FLAG, 90 * 10**8, 0, 1, told_ns, told_ns))
    board.apply(rows)
    forgotten = board.forget_old(told_ns + age_ns)

    assert (board.mark("x:ETH-USDT", True), forgotten) == (mark * UNIT, mark == 99)


def test_a_book_with_a_gap_shows_no_prices_until_it_is_told_anew() -> None:
    desk = Desk()
    view = desk.gate.board.views[BTC]
    shown = []
    for state, bid, ask in ((BookState.GAP, None, None), (BookState.LIVE, None, None), (None, "61000", "61001")):
        desk.quote(BTC, bid, ask, state)
        shown.append((view.bid > 0, view.ask > 0, view.is_good))

    assert shown == [(False, False, False), (False, False, False), (True, True, True)]


def test_prices_told_before_the_book_is_live_are_good_from_then_on() -> None:
    desk = Desk()
    view = desk.gate.board.views[BTC]
    desk.quote(BTC, None, None, BookState.GAP)
    desk.quote(BTC, "61000", "61001", None)
    assert not view.is_good
    desk.quote(BTC, None, None, BookState.LIVE)

    assert view.is_good


def test_of_several_mark_prices_each_ends_at_its_own_age() -> None:
    board = board_of("USDT", BNB_USDT=("99", "101"), ETH_USDT=("99", "101"))
    board.mark_age_ns = MARK_AGE_NS
    board.forget_old(100 * MARK_AGE_NS)
    for index, told_ns in ((1, 100 * MARK_AGE_NS + 2), (0, 100 * MARK_AGE_NS + 1), (0, 100 * MARK_AGE_NS + 3)):
        rows = RowColumns()
        rows.append(MarketRow(int(RowKind.MARK_PRICE), index, LAST_FLAG, 90 * 10**8, 0, 1, told_ns, told_ns))
        board.apply(rows)
    seen = []
    for later_ns in (2, 3, 4):
        forgotten = board.forget_old(101 * MARK_AGE_NS + later_ns)
        marked = [board.mark(name, True) == 90 * UNIT for name in ("x:BNB-USDT", "x:ETH-USDT")]
        seen.append((forgotten, marked))

    assert seen == [(False, [True, True]), (True, [True, False]), (True, [False, False])]


def test_a_mark_price_that_came_late_ends_by_when_it_was_received() -> None:
    board = board_of("USDT", ETH_USDT=("99", "101"))
    board.mark_age_ns = MARK_AGE_NS
    now_ns = 100 * MARK_AGE_NS
    board.forget_old(now_ns)
    rows = RowColumns()
    rows.append(MarketRow(int(RowKind.MARK_PRICE), 0, LAST_FLAG, 90 * 10**8, 0, 1, 5, now_ns - 5))
    board.apply(rows)

    assert not board.forget_old(now_ns + MARK_AGE_NS - 5)
    assert board.forget_old(now_ns + MARK_AGE_NS - 4)


def test_half_an_event_is_no_good_price() -> None:
    board = board_of("USDT", ETH_USDT=("99", "101"))
    view, rows = board.views["x:ETH-USDT"], RowColumns()
    rows.append(MarketRow(int(RowKind.BBO), 0, BUY_FLAG, 1_000_000, 1, 1, 8, 8))
    board.apply(rows)
    assert (view.bid, view.good_bid, view.good_ns) == (100 * UNIT, 99 * UNIT, 7)
    rows = RowColumns()
    rows.append(MarketRow(int(RowKind.BBO), 0, SELL_FLAG | LAST_FLAG, 1_020_000, 1, 1, 9, 9))
    board.apply(rows)

    assert (view.good_bid, view.good_ask, view.good_ns) == (100 * UNIT, 102 * UNIT, 9)


def test_only_another_good_ask_asks_for_new_sums() -> None:
    board = board_of("USDT", ETH_USDT=("99", "101"))
    seen = []
    for side, price in ((BUY_FLAG, 98), (SELL_FLAG, 101), (SELL_FLAG, 97), (SELL_FLAG, 102)):
        board.moved.clear()
        rows = RowColumns()
        rows.append(MarketRow(int(RowKind.BBO), 0, side | LAST_FLAG, price * 10_000, 1, 1, 8, 8))
        board.apply(rows)
        seen.append(bool(board.moved))

    assert seen == [False, False, False, True]  # another bid, the same ask, a crossed book, another ask


def test_rows_of_unequal_length_are_an_error() -> None:
    rows = RowColumns()
    rows.append(MarketRow(int(RowKind.TRADE), 0, LAST_FLAG, 1, 1, 1, 8, 8))
    rows.qty.append(5)

    with pytest.raises(ValueError, match="zip"):
        board_of("USDT", ETH_USDT=("99", "101")).apply(rows)


def test_volatility_is_sampled_once_a_minute_from_good_books_and_trusted_from_its_warm_up_on() -> None:
    board = MarketBoard("USDT", half_life_min=30)
    board.bind([(0, make_instrument("x:ETH-USDT"))])
    view = board.views["x:ETH-USDT"]
    view.state, view.bid, view.ask = int(BookState.LIVE), 99 * UNIT, 101 * UNIT
    minute = 60 * 10**9
    for second in range(0, 241, 20):  # five samples, four returns
        board.sample(1_000 * minute + second * 10**9)
        view.bid += UNIT // 100

    assert board.volatility_ppm("x:ETH-USDT", 5) == 0
    assert board.volatility_ppm("x:ETH-USDT", 4) > 0
    assert board.volatility_ppm("x:BTC-USDT", 0) == 0
    view.state = int(BookState.GAP)
    board.sample(1_005 * minute)
    assert board.volatility_ppm("x:ETH-USDT", 5) == 0  # a broken book measures nothing


def test_nobody_measures_what_nobody_asks_for() -> None:
    board = board_of("USDT", ETH_USDT=("99", "101"))
    for minute in range(10):
        board.sample(minute * 60 * 10**9)

    assert board.volatility_ppm("x:ETH-USDT", 0) == 0


# ---- wallets


def snapshot(*amounts: tuple[str, str], complete: bool = True, at_ns: int = 10, after: int = 0) -> AccountSnapshot:
    told = tuple(Balance(asset, Decimal(amount), Decimal(0)) for asset, amount in amounts)
    return AccountSnapshot("okx", "main", told, complete, at_ns, after)


def line(name: str, amount: str, at_ns: int, asset: str = "USDT") -> LedgerEntry:
    return LedgerEntry("okx", "main", name, LedgerKind.FUNDING, asset, Decimal(amount), at_ns)


def test_before_the_first_snapshot_nothing_is_known_and_afterwards_nothing_is_lost() -> None:
    wallets = Wallets()
    wallets.move("okx", "USDT", -5 * UNIT, 3)
    wallets.move_cash(line("a", "-2", 11), -2 * UNIT)
    assert wallets.balances == {}

    wallets.take(snapshot(("USDT", "100"), after=2))

    assert wallets.balances == {("okx", "USDT"): 93 * UNIT}


def test_a_partial_snapshot_touches_only_what_it_tells() -> None:
    wallets = Wallets()
    wallets.take(snapshot(("USDT", "100"), ("BTC", "1")))
    wallets.move("okx", "BTC", UNIT, 5)
    wallets.take(snapshot(("USDT", "50"), complete=False, at_ns=20, after=5))

    assert wallets.balances == {("okx", "USDT"): 50 * UNIT, ("okx", "BTC"): 2 * UNIT}
    wallets.move_cash(line("a", "-1", 20), -UNIT)  # the partial snapshot has it
    wallets.move_cash(line("b", "-1", 20, "BTC"), -UNIT)  # the balance of BTC is older
    assert wallets.balances == {("okx", "USDT"): 50 * UNIT, ("okx", "BTC"): UNIT}


def test_a_partial_snapshot_adds_what_came_after_it_to_what_it_tells_only() -> None:
    wallets = Wallets()
    wallets.take(snapshot(("USDT", "100"), ("BTC", "1")))
    wallets.move("okx", "BTC", UNIT, 5)
    wallets.move_cash(line("a", "-1", 30, "BTC"), -UNIT // 2)
    wallets.move("okx", "USDT", -3 * UNIT, 6)
    wallets.move_cash(line("b", "-1", 30), -UNIT)
    wallets.take(snapshot(("USDT", "50"), complete=False, at_ns=20, after=4))

    assert wallets.balances == {("okx", "USDT"): 46 * UNIT, ("okx", "BTC"): 3 * UNIT // 2}


def test_each_venue_has_a_wallet_of_its_own() -> None:
    wallets = Wallets()
    here, there = snapshot(("USDT", "100")), replace(snapshot(("USDT", "50")), venue="binance")
    for told in (here, there):
        wallets.take(told)
    wallets.move("okx", "USDT", -UNIT, 6)
    wallets.move_cash(line("a", "-2", 11), -2 * UNIT)
    wallets.take(there)

    assert wallets.balances == {("okx", "USDT"): 97 * UNIT, ("binance", "USDT"): 50 * UNIT}


def test_a_snapshot_says_something_new_when_any_balance_differs() -> None:
    wallets = Wallets()
    wallets.take(snapshot(("USDT", "100"), ("BTC", "1")))
    before = wallets.changes
    wallets.take(snapshot(("USDT", "100"), ("BTC", "1"), complete=False))
    assert wallets.changes == before
    wallets.take(snapshot(("USDT", "99"), ("BTC", "1"), complete=False))

    assert wallets.changes == before + 1


def test_a_complete_snapshot_forgets_what_it_does_not_tell() -> None:
    wallets = Wallets()
    wallets.take(snapshot(("USDT", "100"), ("BTC", "1")))
    wallets.take(snapshot(("USDT", "100")))

    assert wallets.balances == {("okx", "USDT"): 100 * UNIT}


def test_a_new_order_log_begins_to_count_again() -> None:
    wallets = Wallets()
    wallets.take(snapshot(("USDT", "100"), after=50))
    wallets.move("okx", "USDT", -UNIT, 50)  # the snapshot has it
    wallets.restart_order_log()
    wallets.move("okx", "USDT", -UNIT, 1)

    assert wallets.balances == {("okx", "USDT"): 99 * UNIT}
    wallets.take(snapshot(("USDT", "99"), after=0, at_ns=30))
    assert wallets.balances == {("okx", "USDT"): 98 * UNIT}


def test_a_ledger_line_is_known_by_venue_and_id_and_the_oldest_are_forgotten() -> None:
    wallets = Wallets()
    assert wallets.is_new(line("a", "1", 1))
    assert not wallets.is_new(line("a", "2", 9))
    for number in range(MAX_ENTRIES):
        wallets.is_new(line(str(number), "1", 1))

    assert wallets.is_new(line("a", "1", 1))
    assert not wallets.is_new(line(str(MAX_ENTRIES - 1), "1", 1))


def test_the_same_market_on_two_venues_values_once() -> None:
    rules = [make_rule(make_instrument(name), LIMITS) for name in (BTC, "aaa:BTC-USDT")]

    assert asset_paths(rules, "USDT") == {"BTC": (Leg("aaa:BTC-USDT", False),)}


@settings(max_examples=300, deadline=None)
@given(
    st.lists(
        st.one_of(
            st.tuples(st.just("fill"), st.sampled_from(("BTC", "USDT")), st.integers(-5, 5)),
            st.tuples(st.just("told"), st.sampled_from(("BTC", "USDT", "all")), st.integers(0, 6)),
        ),
        max_size=40,
    )
)
def test_a_snapshot_gets_exactly_the_fills_after_it_however_many_came_before(
    steps: list[tuple[str, str, int]],
) -> None:
    wallets = Wallets()
    fills: list[tuple[int, str, int]] = []
    told: dict[str, tuple[int, int]] = {}
    for number, (what, asset, amount) in enumerate(steps):
        if what == "fill":
            fills.append((len(fills) + 1, asset, amount))
            wallets.move("okx", asset, amount * UNIT, len(fills))
            continue
        after = max(max((at for _, at in told.values()), default=0), len(fills) - amount)
        names = ("BTC", "USDT") if asset == "all" or not told else (asset,)
        before, changes = dict(wallets.balances), wallets.changes
        wallets.take(snapshot(*((name, str(number)) for name in names), complete=len(names) == 2, after=after))
        told |= dict.fromkeys(names, (number, after))

        for name, (total, at) in told.items():
            later = sum(delta for sequence, moved, delta in fills if moved == name and sequence > at)
            assert wallets.balances["okx", name] == (total + later) * UNIT
        if before != wallets.balances:
            assert wallets.changes > changes
