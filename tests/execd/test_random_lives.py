"""Random lives of one entry and its protection: lost and repeated messages, refused cancels, restarts, reconnects.

Afterwards, when everything is answered again, books and venue agree, what was canceled does not work, what is held has
its stop, nothing is protected twice, and the journal folds to the same orders. A failing seed is printed.
"""

from __future__ import annotations

import random
from decimal import Decimal
from typing import Any, Final

import pytest

from tests.execd.desk_kit import DeskKit
from tests.support.builders import BTC
from tradebot.core.orders import TimeInForce
from tradebot.venues.api_orders import RequestKind

QTY: Final = Decimal("0.01")
WORKING: Final = ("NEW", "PARTIALLY_FILLED")
REFUSALS: Final = [(-2011, "Unknown order sent.", 400), (-1003, "Too many requests", 429), (-1007, "Timeout", 504)]


class Life:
    """One entry, and what happens to it."""

    def __init__(self, seed: int) -> None:
        self.chance = random.Random(seed)
        self.kit = DeskKit()
        self.entry_id = self.kit.order(qty=str(QTY), time_in_force=TimeInForce.GTC).id
        self.canceled = False
        steps = [getattr(self, name) for name in sorted(dir(self)) if name.startswith("step_")]
        self.told: list[str] = []
        for _ in range(self.chance.randint(4, 16)):
            step = self.chance.choice(steps)
            self.told.append(step.__name__.removeprefix("step_"))
            step()
        for _ in range(80):
            self.heal()

    @property
    def row(self) -> dict[str, Any] | None:
        """The entry at the venue; None when it never got there."""
        return self.kit.venue.orders.get(self.entry_id)

    def often(self) -> bool:
        return self.chance.random() < 0.6

    def heal(self) -> None:
        """Everything is delivered and answered."""
        kit = self.kit
        kit.advance(2_500)
        kit.serve_queries()
        kit.serve_reads()
        kit.serve_cancels()
        kit.place()
        for row in list(kit.venue.orders.values()):
            if row["timeInForce"] == "IOC" and row["status"] == "NEW":
                kit.match(row["clientOrderId"], row["origQty"], "59999")

    def step_place(self) -> None:
        self.kit.place(answer=self.often(), stream=self.often())

    def step_fill(self) -> None:
        row = self.row
        if row is not None and row["status"] in WORKING:
            left = QTY - Decimal(row["executedQty"])
            qty = min(left, Decimal(self.chance.choice(["0.001", "0.004", "0.01"])))
            self.kit.match(self.entry_id, str(qty), "60000", stream=self.often())

    def step_fill_stop(self) -> None:
        stops = [r for r in self.kit.venue.orders.values() if r["type"] == "STOP_LOSS_LIMIT" and r["status"] in WORKING]
        if stops:
            left = Decimal(stops[0]["origQty"]) - Decimal(stops[0]["executedQty"])
            self.kit.match(stops[0]["clientOrderId"], str(left), "59700", stream=self.often())

    def step_trade_again(self) -> None:
        if self.kit.venue.trades:
            trade = self.chance.choice(self.kit.venue.trades)
            row = next(r for r in self.kit.venue.orders.values() if r["orderId"] == trade["orderId"])
            self.kit.tell_trade(row, trade)

    def step_cancel(self) -> None:
        self.canceled = True
        self.kit.desk.on_cancel(self.entry_id, "", self.kit.now_ns)
        self.kit.pump()

    def step_cancels_served(self) -> None:
        self.kit.serve_cancels()

    def step_cancels_refused(self) -> None:
        self.kit.refuse(RequestKind.CANCEL, *self.chance.choice(REFUSALS))

    def step_cancels_lost(self) -> None:
        self.kit.take_sends(RequestKind.CANCEL)

    def step_time(self) -> None:
        self.kit.advance(self.chance.choice([1, 10, 120, 600, 3_500, 9_000]))

    def step_query(self) -> None:
        self.kit.serve_queries()
        self.kit.serve_reads()

    def step_read(self) -> None:
        self.kit.desk.reconciler.want(self.kit.desk.state.venues["binance"], self.kit.now_ns)
        self.kit.pump()
        self.kit.serve_reads()

    def step_restart(self) -> None:
        if self.often():
            self.kit.place(answer=False, stream=False)
        self.canceled &= bool(self.kit.desk.state.orders._orders[self.entry_id].cancels)  # one that was sent is kept
        self.kit.restart()

    def step_reconnect(self) -> None:
        if self.often():
            self.kit.place(answer=False, stream=False)
        self.kit.sends.clear()
        self.kit.desk.venue_lost("binance", self.kit.now_ns)
        self.kit.pump()
        self.kit.connect_venue()

    def check(self) -> None:
        """See the module."""
        kit, row = self.kit, self.row
        entry = kit.desk.state.orders.get(self.entry_id)
        assert entry is not None
        assert kit.desk.state.orders.positions.qty("s1", BTC) == kit.venue.base
        assert kit.desk.state.orders.unknown_count == 0
        if row is not None:
            assert not (self.canceled and row["status"] in WORKING), "canceled and works"
            assert row["status"] == "PARTIALLY_FILLED" or entry.state.status.name == row["status"]
        stops = [r for r in kit.venue.orders.values() if r["type"] == "STOP_LOSS_LIMIT" and r["status"] in WORKING]
        covered = sum((Decimal(r["origQty"]) - Decimal(r["executedQty"]) for r in stops), Decimal(0))
        assert covered <= kit.venue.base, "protected twice"
        assert kit.venue.base * 59_000 < 6 or covered >= kit.venue.base - Decimal("0.00001"), "naked"
        fresh = {order.id: order.snapshot() for order in kit.restored().state.orders.all_orders()}
        assert fresh == {order.id: order.snapshot() for order in kit.desk.state.orders.all_orders()}


def live_through(seeds: range) -> None:
    for seed in seeds:
        life = Life(seed)
        try:
            life.check()
        except AssertionError as exc:
            raise AssertionError(f"seed {seed}: {' '.join(life.told)}: {exc}") from exc


@pytest.mark.parametrize("block", range(6))
def test_whatever_happens_books_and_venue_agree_in_the_end(block: int) -> None:
    live_through(range(block * 15, block * 15 + 15))


@pytest.mark.slow
@pytest.mark.timeout(1_800)
@pytest.mark.parametrize("block", range(10))
def test_whatever_happens_for_long(block: int) -> None:
    live_through(range(1_000 + block * 200, 1_200 + block * 200))
