"""The journal alone rebuilds the state: after random lives, and cut off at any record."""

from __future__ import annotations

import random
from decimal import Decimal

import pytest

from riskd.records import (
    RECORD_CLASSES,
    DecisionRecord,
    MemorySink,
    RecordType,
    decode_record,
    encode_record,
)
from tests.riskd.kit import BTC, ETH, SECOND, STRICT, Desk, limits_tree, make_test_limits
from tradebot.core.accounts import VenueAlarm
from tradebot.core.approvals import LeasePing, NeverUsed, StopLatch
from tradebot.core.errors import InvariantError
from tradebot.core.levels import SYSTEM_SCOPE, Scope, ScopeKind, TradingLevel
from tradebot.core.orders import OrderEventKind, OrderRole, Side

K = OrderEventKind


class Life:
    """A random life of riskd: everything that may happen to it, in any order."""

    def __init__(self, seed: int) -> None:
        self.rng = random.Random(seed)
        self.desk = Desk(usdt="1000000")
        self.commands = 0
        self.live: list[str] = []

    def step(self) -> None:
        self.rng.choice(
            [
                self.enter, self.enter, self.enter, self.leave, self.fill, self.fill, self.end, self.unknown,
                self.hold, self.clear, self.time, self.account, self.alarm, self.stop, self.flatten, self.reconnect,
                self.parent, self.never_used, self.duplicate,
            ]
        )()  # fmt: skip
        self.desk.quote(BTC, "59999.99", "60000.01")
        self.desk.quote(ETH, "2999.99", "3000.01")

    def enter(self) -> None:
        instrument_id, price = self.rng.choice([(BTC, "60000"), (ETH, "3000")])
        sized = self.rng.random() < 0.5
        qty = None if sized else Decimal(self.rng.randrange(1, 2000)) / 100_000
        answer = self.desk.plain(instrument_id=instrument_id, qty=qty, limit_price=price)
        if answer.approval is not None:
            self.live.append(f"c{self.desk.orders}")

    def leave(self) -> None:
        answer = self.desk.plain(role=OrderRole.EXIT, side=Side.SELL, qty=None)
        if answer.approval is not None:
            self.live.append(f"c{self.desk.orders}")

    def fill(self) -> None:
        if self.live:
            key = self.rng.choice(self.live)
            order = self.desk.gate.state.commitments.orders.get(key)
            if order is not None:
                whole = self.rng.random() < 0.6
                left = order.state.terms.qty - order.state.filled_qty
                qty = left if whole else min(left, Decimal("0.00001"))
                fee_asset = self.rng.choice(["USDT", order.instrument_id.split(":")[1].split("-")[0], "BNB"])
                self.desk.fill(
                    key, str(qty), "60000" if order.instrument_id == BTC else "3000", side=order.side,
                    complete=qty == left, instrument_id=order.instrument_id, fee="0.0000001", fee_asset=fee_asset,
                )  # fmt: skip
                if qty == left:
                    self.live.remove(key)

    def end(self) -> None:
        if self.live:
            self.desk.event(self.live.pop(), K.CANCELED)

    def unknown(self) -> None:
        if self.live:
            self.desk.event(self.live[-1], K.OUTCOME_UNKNOWN)

    def duplicate(self) -> None:
        self.desk.plain(intent_id="i1")

    def parent(self) -> None:
        self.desk.ask(self.desk.intent(qty="0.001"))

    def never_used(self) -> None:
        answer = self.desk.plain(qty="0.001")
        self.desk.say(abandons=[answer.ask_id], never_used=[NeverUsed(answer.decision_id, "", "EXPIRED")])

    def hold(self) -> None:
        self.commands += 1
        scope = self.rng.choice([SYSTEM_SCOPE, Scope(ScopeKind.INSTRUMENT, BTC), Scope(ScopeKind.STRATEGY, "s1")])
        self.desk.gate.raise_hold(
            self.rng.choice(list(TradingLevel)[1:4]), scope, reason="", operator="ana", role="trader",
            command_id=f"h{self.commands}", duration_s=self.rng.choice([0, 5]), now_ns=self.desk.now_ns,
        )  # fmt: skip

    def clear(self) -> None:
        holds = list(self.desk.gate.state.holds.holds)
        if holds:
            self.commands += 1
            hold_id = self.rng.choice(holds)
            self.desk.gate.clear_hold(
                hold_id, reason="it is over now", operator="ana", role="risk", command_id=f"x{self.commands}",
                typed_phrase=f"CLEAR {hold_id}", now_ns=self.desk.now_ns,
            )  # fmt: skip

    def time(self) -> None:
        self.desk.wait(self.rng.choice([0.1, 1, 30, 3000]))
        self.desk.say(ping=LeasePing(1, self.desk.now_ns))

    def account(self) -> None:
        balances = self.desk.gate.state.portfolio.balances
        told = [(asset, str(Decimal(max(units, 0)) / 10**12)) for (_, asset), units in balances.items()]
        transfer = self.rng.random() < 0.2
        self.desk.account(
            *told, transfer_asset="USDT" if transfer else "", transfer_delta=Decimal(transfer), complete=not transfer
        )

    def alarm(self) -> None:
        cause = self.rng.choice(["POSITION_MISMATCH", "FOREIGN_ACTIVITY"])
        self.desk.venue(alarms=(VenueAlarm(cause, BTC, "seen", cleared=self.rng.random() < 0.7),))

    def stop(self) -> None:
        if self.rng.random() < 0.2:
            self.commands += 1
            latch = StopLatch(f"stop{self.commands}", TradingLevel.HALTED, "ana", "", self.desk.now_ns)
            self.desk.gate.stop(latch, "trader", self.desk.now_ns)
        self.commands += 1
        self.desk.gate.resume(
            reason="end of the drill", operator="ana", role="trader", command_id=f"r{self.commands}",
            now_ns=self.desk.now_ns,
        )  # fmt: skip

    def flatten(self) -> None:
        self.commands += 1
        scope = Scope(ScopeKind.INSTRUMENT, self.rng.choice([BTC, ETH]))
        self.desk.gate.flatten(
            scope, reason="", operator="ana", role="trader", command_id=f"f{self.commands}",
            typed_phrase="FLATTEN DEMO 1", now_ns=self.desk.now_ns,
        )  # fmt: skip
        self.desk.gate.take_down()

    def reconnect(self) -> None:
        self.desk.gate.session_lost(self.desk.now_ns)
        self.desk.hello()
        self.desk.venue()


@pytest.mark.parametrize("seed", range(12))
def test_replay_equals_the_live_state_after_a_random_life(seed: int) -> None:
    life = Life(seed)
    for _ in range(120):
        life.step()

    kinds = {kind for kind, _ in life.desk.sink.records}
    assert len(kinds) >= 10
    assert life.desk.replayed().state.digest() == life.desk.gate.state.digest()


def test_every_prefix_of_the_journal_restores_and_starts() -> None:
    life = Life(99)
    for _ in range(40):
        life.step()
    records = life.desk.sink.records

    for length in range(0, len(records) + 1, 7):
        gate = life.desk.new_gate(MemorySink())
        gate.restore(records[:length])
        gate.start("again", life.desk.now_ns)
        assert gate.state.holds.level_for("binance", BTC, "s1") >= TradingLevel.REDUCE_ONLY


def test_after_a_restart_the_level_the_holds_and_the_seen_intents_are_the_same() -> None:
    desk = Desk()
    desk.buy("0.01")
    desk.gate.raise_hold(
        TradingLevel.HALTED, SYSTEM_SCOPE, reason="careful", operator="ana", role="trader", command_id="c",
        duration_s=0, now_ns=desk.now_ns,
    )  # fmt: skip
    holds = desk.gate.state.holds.listed()
    desk.gate = desk.replayed()
    desk.gate.start("life2", desk.now_ns)
    desk.hello()
    desk.account(("USDT", "9400"), ("BTC", "0.01"))
    desk.venue()

    assert desk.gate.state.holds.listed() == holds
    assert desk.gate.state.portfolio.net[BTC] == 10**10
    again = desk.plain(intent_id="i1")
    assert {v.check_id for v in again.violations} >= {"AUT-04", "STA-01"}


def test_replay_folds_outcomes_and_never_runs_a_check_again() -> None:
    desk = Desk()
    desk.buy("0.01")
    tighter = make_test_limits({"SIZ-01": {"max_qty": {"*": "0.001"}}})
    desk.limits = tighter

    assert desk.replayed().state.portfolio.net[BTC] == 10**10


def test_ids_of_two_lives_never_meet() -> None:
    desk = Desk()
    first = desk.plain().decision_id
    desk.gate = desk.replayed()
    desk.gate.start("life2", desk.now_ns)
    desk.hello()
    desk.venue()

    assert desk.plain().decision_id != first


def test_every_record_class_has_a_number_and_decodes_to_itself() -> None:
    life = Life(3)
    for _ in range(200):
        life.step()
    seen = set()
    for kind, payload in life.desk.sink.records:
        record = decode_record(kind, payload)
        seen.add(type(record))
        assert decode_record(kind, encode_record(record)) == record

    assert set(RECORD_CLASSES) == set(RecordType)
    assert len(seen) >= 12


def test_a_measured_value_beyond_64_bits_survives_the_journal() -> None:
    tree = limits_tree()
    assert tree["checks"]["SIZ-01"]
    desk = Desk(limits=make_test_limits({"SIZ-01": {"max_qty": {"*": 10**9}}}), usdt="99999999999")
    desk.plain(qty="100000000")
    record = next(
        r for r in (decode_record(k, p) for k, p in reversed(desk.sink.records)) if isinstance(r, DecisionRecord)
    )
    decision = desk.gate.render(record)

    assert next(c for c in decision.checks if c.check_id == "SIZ-02").measured == "6000000000000"


def test_an_unknown_or_damaged_record_stops_the_start() -> None:
    with pytest.raises(InvariantError, match="unknown"):
        decode_record(999, b"")
    with pytest.raises(InvariantError, match="does not decode"):
        decode_record(RecordType.RELEASE, b"\x00")


def test_time_does_not_pass_in_a_replay() -> None:
    desk = Desk()
    desk.gate.raise_hold(
        TradingLevel.PAUSED, SYSTEM_SCOPE, reason="", operator="ana", role="trader", command_id="c", duration_s=60,
        now_ns=desk.now_ns,
    )  # fmt: skip
    gate = desk.replayed()
    gate.start("life2", desk.now_ns + 30 * SECOND)
    gate.handle_timer(desk.now_ns + 59 * SECOND)
    before = gate.state.holds.system_level()
    gate.handle_timer(desk.now_ns + 60 * SECOND)

    assert before is TradingLevel.PAUSED
    assert gate.state.holds.system_level() is TradingLevel.REDUCE_ONLY


def test_what_repeats_or_works_is_counted_the_same_after_a_restart() -> None:
    desk = Desk(limits=make_test_limits(STRICT))
    desk.wait(1)
    desk.plain(qty="0.001")
    desk.buy("0.002")
    before, after = desk.gate.state, desk.replayed().state

    assert before.repetition.digest() == after.repetition.digest()
    assert before.commitments.working.digest() == after.commitments.working.digest()
    assert before.portfolio.turned == after.portfolio.turned
    assert len(before.repetition.recent) == 2
