"""Sums that are kept up to date equal the plain loop over all instruments, after every step and whatever happens."""

from __future__ import annotations

import random

import pytest

from riskd.case import Books
from riskd.clusters import Clusters
from riskd.exposure_sums import REVALUE_NS, ExposureSums
from riskd.units import UNIT, amount
from tests.riskd.kit import BTC, ETH, MS, Desk, make_test_limits, violations
from tests.riskd.test_limit_volume import PAIRS, World
from tests.support.builders import make_instrument, make_perpetual
from tradebot.core.approvals import SessionDown

ETH_BTC = "binance:ETH-BTC"
SWAP, ETH_SWAP, OKX_SWAP = "binance:BTC-USDT-SWAP", "binance:ETH-USDT-SWAP", "okx:BTC-USDT-SWAP"


def by_loop(books: Books, own: str) -> tuple[int | None, int | None, int]:
    """Return (gross, gross of the same base, open) of all other instruments, from scratch."""
    gross = same_base = count = 0
    blind = False
    for key in books.portfolio.net.keys() | books.commitments.by_instrument.keys() - {own}:
        if key == own:
            continue
        rule, held = books.rules[key], books.portfolio.net.get(key, 0)
        orders = books.commitments.by_instrument.get(key)
        buy, sell, entries = (orders.buy, orders.sell, orders.entries) if orders else (0, 0, 0)
        worst = max(held + buy, 0 if rule.is_spot else sell - held)
        count += abs(held) > rule.dust_qty or entries > 0
        if worst > 0:
            view, rate = books.board.views.get(key), books.board.rate(rule.quote, long=False)
            if view is None or not view.good_ns or rate is None:
                blind = True
                continue
            notional = amount(rate, rule.contract.quote_notional(worst, view.good_ask))
            gross += notional
            same_base += notional if rule.base == books.rules[own].base else 0
    return (None, None, count) if blind else (gross, same_base, count)


def net_by_loop(books: Books, own: str) -> tuple[int, int] | None:
    """Return the signed notionals of all other instruments when their buys fill, and when their sells do."""
    found = [0, 0]
    for key in (books.portfolio.net.keys() | books.commitments.by_instrument.keys()) - {own}:
        rule, held = books.rules[key], books.portfolio.net.get(key, 0)
        orders = books.commitments.by_instrument.get(key)
        buy, sell = (orders.buy, orders.sell) if orders else (0, 0)
        if rule.is_spot and held + buy <= 0:
            continue
        view, rate = books.board.views.get(key), books.board.rate(rule.quote, long=False)
        for side, qty in enumerate((held + buy, held - sell)):
            if not qty:
                continue
            if view is None or not view.good_ns or rate is None:
                return None
            worth = amount(rate, rule.contract.quote_notional(qty, view.good_ask))
            found[side] += worth if qty > 0 else -worth
    return found[0], found[1]


def sides_by_loop(books: Books, own: str) -> tuple[int, int] | None:
    """Return what all other instruments are worth as far as they are bought, and as far as they are sold."""
    found = [0, 0]
    for key in (books.portfolio.net.keys() | books.commitments.by_instrument.keys()) - {own}:
        rule, held = books.rules[key], books.portfolio.net.get(key, 0)
        orders = books.commitments.by_instrument.get(key)
        buy, sell = (orders.buy, orders.sell) if orders else (0, 0)
        view, rate = books.board.views.get(key), books.board.rate(rule.quote, long=False)
        for side, qty in enumerate((held + buy, 0 if rule.is_spot else sell - held)):
            if qty <= 0:
                continue
            if view is None or not view.good_ns or rate is None:
                return None
            found[side] += amount(rate, rule.contract.quote_notional(qty, view.good_ask))
    return found[0], found[1]


def by_sums(books: Books, own: str, now_ns: int) -> tuple[int | None, int | None, int]:
    books.sums.refresh(books.portfolio, books.commitments, books.board, books.rules, now_ns)
    return books.sums.others(own, books.rules[own].base)


@pytest.mark.parametrize("seed", range(4))
def test_the_sums_equal_the_loop_after_every_step_of_a_random_life(seed: int) -> None:
    world = World(seed, drift=True)
    books, actions = world.gate.decider.books, [action for action, weight in world.steps for _ in range(weight)]
    began_ns, exposed = world.desk.now_ns, 0
    books.sums.refresh(books.portfolio, books.commitments, books.board, books.rules, began_ns)
    for _ in range(400):
        world.rng.choice(actions)()
        if world.rng.random() < 0.2:
            world.tick()
        for pair in PAIRS:
            found = by_sums(books, pair, began_ns)  # time that stands still: nothing is valued anew as a whole
            assert found == by_loop(books, pair)
            assert books.sums.net_others(pair) == net_by_loop(books, pair)
            assert books.sums.sides_beside(pair) == sides_by_loop(books, pair)
            exposed += bool(found[0])

    assert exposed > 200


def test_a_rate_that_moves_revalues_what_is_quoted_in_its_asset() -> None:
    desk = Desk(instruments=(make_instrument(BTC), make_instrument(ETH), make_instrument(ETH_BTC, tick="0.00001")))
    desk.quote(ETH_BTC, "0.05", "0.05001")
    books = desk.gate.decider.books
    books.portfolio.net[ETH_BTC] = UNIT
    books.portfolio.moved.add(ETH_BTC)
    before = by_sums(books, BTC, desk.now_ns)
    desk.quote(BTC, "69999.99", "70000.01")
    after = by_sums(books, BTC, desk.now_ns)

    assert before == (3_000_600_500_100 * 1_000, 0, 1)
    assert after == by_loop(books, BTC) == (3_500_700_500_100 * 1_000, 0, 1)
    assert by_sums(books, ETH, desk.now_ns) == by_loop(books, ETH)
    assert by_sums(books, ETH, desk.now_ns)[1] == after[0]


def test_a_rate_whose_bid_is_now_what_its_ask_was_has_moved() -> None:
    desk = Desk(instruments=(make_instrument(BTC), make_instrument(ETH), make_instrument(ETH_BTC, tick="0.00001")))
    desk.quote(ETH_BTC, "0.05", "0.05001")
    books = desk.gate.decider.books
    books.portfolio.net[ETH_BTC] = UNIT
    books.portfolio.moved.add(ETH_BTC)
    by_sums(books, BTC, desk.now_ns)
    desk.quote(BTC, "60000.01", "60000.03")

    assert by_sums(books, BTC, desk.now_ns) == by_loop(books, BTC)


def derivatives_by_loop(books: Books, own: str) -> int:
    """Return the gross of all other derivatives of the instrument's venue whose notional is known."""
    total = 0
    for key in (books.portfolio.net.keys() | books.commitments.by_instrument.keys()) - {own}:
        rule, view, orders = books.rules[key], books.board.views[key], books.commitments.by_instrument[key]
        held, rate = books.portfolio.net.get(key, 0), books.board.rate(rule.quote, long=False)
        worst = max(held + orders.buy, orders.sell - held)
        if not rule.is_spot and rule.venue == books.rules[own].venue and worst > 0 and view.good_ns and rate:
            total += amount(rate, rule.contract.quote_notional(worst, view.good_ask))
    return total


def cluster_by_loop(books: Books, clusters: Clusters, own: str) -> int | None:
    """Return the gross of all others in the instrument's cluster whose notional is known; None = it is in none."""
    mates = next((names for names in clusters if own in names), None)
    if mates is None:
        return None
    total = 0
    for key in set(mates) - {own}:
        rule, view, orders = books.rules[key], books.board.views[key], books.commitments.by_instrument[key]
        held, rate = books.portfolio.net.get(key, 0), books.board.rate(rule.quote, long=False)
        worst = held + orders.buy if rule.is_spot else max(held + orders.buy, orders.sell - held)
        if worst > 0 and view.good_ns and rate:
            total += amount(rate, rule.contract.quote_notional(worst, view.good_ask))
    return total


@pytest.mark.parametrize("seed", range(4))
def test_the_sums_equal_the_loop_for_long_and_short_derivatives_and_spot_with_and_without_prices(seed: int) -> None:
    rng = random.Random(seed)
    names = (BTC, ETH, SWAP, ETH_SWAP, OKX_SWAP)
    desk = Desk(instruments=(make_instrument(BTC), make_instrument(ETH), *map(make_perpetual, names[2:])))
    desk.quote(SWAP, "59999.9", "60000.1")
    desk.quote(OKX_SWAP, "59990.1", "59990.3")
    desk.quote(ETH_SWAP, "2999.9", "3000.1")
    books, unknown = desk.gate.decider.books, 0
    clusters: Clusters = ()
    for _ in range(400):
        name = rng.choice(names)
        dust, committed = books.rules[name].dust_qty, books.commitments.by_instrument[name]
        books.portfolio.net[name] = rng.choice([0, 0, dust, -dust, dust + 1, -dust - 1, 3 * UNIT, -2 * UNIT])
        committed.buy, committed.sell = rng.choice([0, 0, UNIT]), rng.choice([0, 0, UNIT, 5 * UNIT])
        committed.entries = rng.choice([0, committed.buy, committed.sell])
        books.portfolio.moved.add(name)
        if rng.random() < 0.1:
            books.board.views[name].good_ns = 0 if books.board.views[name].good_ns else desk.now_ns
        if rng.random() < 0.1:
            clusters = rng.choice([(), ((BTC, SWAP), (ETH, ETH_SWAP)), ((ETH, OKX_SWAP, SWAP),)])
            books.sums.group(clusters)
        for own in names:
            found = by_sums(books, own, desk.now_ns)
            assert found == by_loop(books, own)
            assert books.sums.cluster_others(own) == cluster_by_loop(books, clusters, own)
            assert books.sums.derivatives_at(books.rules[own].venue, own) == derivatives_by_loop(books, own)
            assert books.sums.net_others(own) == (None if found[0] is None else net_by_loop(books, own))
            assert books.sums.sides_beside(own) == (None if found[0] is None else sides_by_loop(books, own))
            unknown += found[0] is None

    assert 100 < unknown < 1900


def test_what_is_exposed_without_a_good_price_leaves_the_sums_unknown_until_there_is_one() -> None:
    desk = Desk()
    desk.buy("0.1", "3000", instrument_id=ETH)
    books = desk.gate.decider.books
    books.board.views[ETH].good_ns = 0
    books.sums = ExposureSums()

    assert by_sums(books, BTC, desk.now_ns) == (None, None, 1)
    assert by_sums(books, ETH, desk.now_ns) == (0, 0, 0)
    desk.quote(ETH, "3100", "3101")
    assert by_sums(books, BTC, desk.now_ns) == (31_010 * 10**10, 0, 1) == by_loop(books, BTC)


def test_a_refresh_that_failed_halfway_is_done_anew_as_a_whole() -> None:
    desk = Desk()
    desk.buy("0.1", "3000", instrument_id=ETH)
    desk.buy("0.01")
    books = desk.gate.decider.books
    books.sums = ExposureSums()
    rule = books.rules.pop(ETH)
    assert violations(desk.plain(qty="0.001"))["POS-03"] == "CHECK_ERROR"
    books.rules[ETH] = rule

    assert by_sums(books, BTC, desk.now_ns) == by_loop(books, BTC)
    assert by_sums(books, ETH, desk.now_ns) == by_loop(books, ETH)


@pytest.mark.parametrize(("age_ns", "noticed"), [(REVALUE_NS - 1, False), (REVALUE_NS, True), (-1, True)])
def test_everything_is_valued_anew_at_its_age_or_when_the_clock_was_set_back(age_ns: int, noticed: bool) -> None:
    desk = Desk(limits=make_test_limits())
    desk.buy("0.1", "3000", instrument_id=ETH)
    books = desk.gate.decider.books
    by_sums(books, BTC, desk.now_ns)
    books.board.views[ETH].good_ask += MS  # behind the board's back

    assert (by_sums(books, BTC, desk.now_ns + age_ns) == by_loop(books, BTC)) is noticed


def test_what_a_fill_moved_is_valued_before_the_next_ask_comes() -> None:
    desk = Desk()
    desk.buy("0.01")
    books, told = desk.gate.decider.books, list[SessionDown]()
    answer = desk.plain(instrument_id=ETH, qty="0.1", limit_price="3000")
    desk.send = told.append
    desk.fill(f"c{desk.orders}", "0.1", "3000", instrument_id=ETH)

    assert answer.approval is not None
    assert (books.portfolio.moved, books.commitments.moved) == (set(), set())
    assert books.sums.others(BTC, "BTC") == by_loop(books, BTC)
    held = {key: units * books.board.views[key].good_ask // UNIT for key, units in books.portfolio.net.items()}
    assert books.open_risk.value_of("s1") == sum(held.values()) > 0


def test_a_position_that_cannot_be_valued_stays_due_and_refuses_until_it_can() -> None:
    desk = Desk()
    desk.buy("0.01")
    books = desk.gate.decider.books
    desk.gate.decider.get_ready(desk.now_ns)
    rule = books.rules.pop(BTC)
    books.open_risk.touch((BTC, "s1"))
    desk.gate.decider.get_ready(desk.now_ns)  # nothing falls over where nobody asks
    blind = desk.plain(instrument_id=ETH, qty="0.1", limit_price="3000")
    books.rules[BTC] = rule
    seeing = desk.plain(instrument_id=ETH, qty="0.1", limit_price="3000")

    assert violations(blind)["POS-09"] == "CHECK_ERROR"
    assert seeing.approval is not None
    assert books.open_risk.value_of("s1") == rule.contract.quote_notional(UNIT // 100, books.board.views[BTC].good_ask)
