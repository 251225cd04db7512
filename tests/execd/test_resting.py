"""Entries rest no longer than riskd says: execd cancels them, wherever the venue does not."""

from __future__ import annotations

from dataclasses import replace

from execd.resting import RESTED_TOO_LONG
from tests.execd.desk_kit import DeskKit
from tests.execd.test_lease_and_levels import resting_entry, with_position
from tests.support.builders import BTC
from tradebot.core.orders import OrderStatus, TimeInForce
from tradebot.venues.api_orders import RequestKind

MINUTE_MS = 60_000


def timed(lifetime_ms: int = MINUTE_MS) -> DeskKit:
    """A desk whose riskd lets entries rest for so long."""
    kit = DeskKit()
    kit.entry_lifetime_ms = lifetime_ms
    kit.advance(300)
    return kit


def canceled(kit: DeskKit) -> list[str]:
    return [frame["params"]["origClientOrderId"] for frame in kit.take_sends(RequestKind.CANCEL)]


def reason(kit: DeskKit, client_order_id: str) -> str:
    order = kit.desk.state.orders.get(client_order_id)
    assert order is not None
    return order.cancel_wanted


def test_an_entry_that_rests_for_its_lifetime_is_canceled_and_not_before() -> None:
    kit = timed()
    entry = resting_entry(kit)
    kit.advance(MINUTE_MS - 1)
    assert not canceled(kit)

    kit.advance(1)

    assert canceled(kit) == [entry]
    assert reason(kit, entry) == RESTED_TOO_LONG


def test_protection_and_what_is_over_are_left_alone() -> None:
    kit = timed()
    with_position(kit)
    kit.advance(2 * MINUTE_MS)

    assert not canceled(kit)


def test_without_a_limit_an_entry_rests_on() -> None:
    kit = timed(0)
    resting_entry(kit)
    kit.advance(10 * MINUTE_MS)

    assert not canceled(kit)


def test_a_shorter_lifetime_counts_for_what_rests_already() -> None:
    kit = timed()
    entry = resting_entry(kit)
    kit.advance(30_000)
    kit.entry_lifetime_ms = 20_000
    kit.advance(300)

    assert canceled(kit) == [entry]


def test_the_age_goes_on_over_a_restart() -> None:
    kit = timed()
    entry = resting_entry(kit)
    kit.advance(40_000)
    kit.restart()
    kit.advance(5_000)
    assert not canceled(kit)

    kit.advance(15_100)

    assert canceled(kit) == [entry]


def test_what_the_venue_forgets_to_end_at_its_date_is_canceled_a_second_later() -> None:
    kit = timed()
    instrument = kit.instruments[BTC]
    kit.desk.state.instruments[BTC] = replace(instrument, order_types=instrument.order_types | {"GTD"})
    entry = resting_entry(kit)
    order = kit.desk.state.orders.get(entry)
    assert order is not None
    dated = replace(order.facts.terms, time_in_force=TimeInForce.GTD, expire_time_ns=kit.now_ns + 30 * 10**9)
    order.facts = replace(order.facts, terms=dated)
    kit.desk._resting._lifetime_ns = 0
    kit.desk._resting.follow(MINUTE_MS * 10**6)
    kit.advance(30_999)
    assert not canceled(kit)

    kit.advance(1)

    assert canceled(kit) == [entry]


def test_a_cancel_that_the_connection_took_is_sent_when_it_is_back() -> None:
    kit = timed()
    entry = resting_entry(kit)
    kit.desk.venue_lost("binance", kit.now_ns)
    kit.pump()
    kit.advance(MINUTE_MS + 1)
    assert not canceled(kit)

    kit.connect_venue()
    kit.advance(5_000)

    assert entry in canceled(kit)
    order = kit.desk.state.orders.get(entry)
    assert order is not None
    assert order.state.status in (OrderStatus.PENDING_CANCEL, OrderStatus.UNKNOWN)
