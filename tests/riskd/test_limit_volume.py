"""Random requests, fills, cancels and time-outs by the million: what is held, working, UNKNOWN and reserved
together never passes a hard limit, whatever happens in whatever order. Only prices may carry it there.

The account of the test is kept from scratch, in whole USDT cents of nobody else's making: it shares no aggregate with
riskd. Worlds differ in their limits, so that each limit is the one that binds in some of them.

`TRADEBOT_SEQUENCES=n` sets the volume of the slow form; a sequence is the life of one request.
"""

from __future__ import annotations

import os
import random
from collections import Counter
from dataclasses import dataclass, field, replace
from decimal import Decimal
from typing import Any, ClassVar

import pytest

from tests.riskd.kit import SECOND, WIDE_PCT, Desk, make_test_limits
from tests.support.builders import make_instrument
from tradebot.core.accounts import MarginState, PositionMargin
from tradebot.core.approvals import ApprovalAnswer, ApprovalAsk, ApproveOrder, NeverUsed, SessionUp, VenueAction
from tradebot.core.instruments import Instrument, Product
from tradebot.core.intents import OrderIntent, ProtectionPlan
from tradebot.core.order_events import OrderEvent, OrderFacts
from tradebot.core.orders import (
    ORDER_TRANSITIONS,
    Execution,
    Liquidity,
    OrderEventKind,
    OrderRole,
    OrderStatus,
    OrderTerms,
    OrderType,
    Side,
    TimeInForce,
    next_status,
)

SEQUENCES = int(os.environ.get("TRADEBOT_SEQUENCES", "1000000"))
PER_WORLD = 500
K = OrderEventKind
UNIT = 10**12
FEE_PPM = 1_000
STRATEGIES = ("s1", "s2")
PAIRS = ("binance:BTC-USDT", "binance:ETH-USDT", "binance:SOL-USDT")
INSTRUMENTS = tuple(make_instrument(pair) for pair in PAIRS)
PERPETUALS = tuple(replace(market, product=Product.LINEAR_PERPETUAL, settle="USDT") for market in INSTRUMENTS)
LIVE = 30
"""Orders alive at once; more makes the test slow and finds nothing else."""
ENDS = (K.CANCELED, K.EXPIRED, K.REJECTED)


@dataclass
class Plan:
    """A parent in the test's own books."""

    pair: str
    strategy: str
    qty: int
    price: int
    drawn: int = 0
    closed: bool = False

    @property
    def left(self) -> int:
        return 0 if self.closed else max(0, self.qty - self.drawn)


@dataclass
class Ticket:
    """An approved order in the test's own books. Units of 1e-12."""

    key: str
    pair: str
    side: Side
    qty: int
    price: int
    decision_id: str
    plan: Plan | None
    facts: OrderFacts
    filled: int = 0
    status: OrderStatus = OrderStatus.PENDING_NEW
    seen: bool = False

    @property
    def strategy(self) -> str:
        return self.facts.strategy_id

    @property
    def leaves(self) -> int:
        return self.qty - self.filled


@dataclass
class Caps:
    """Hard limits of one world, whole USDT."""

    order: int
    position: int
    gross: int
    base: int
    open_orders: int
    stress: int
    count: int
    cash: int
    net: int
    heat: int
    strategy: int

    @classmethod
    def draw(cls, rng: random.Random) -> Caps:
        return cls(
            rng.choice([600, 1000]),
            rng.choice([1000, 2500]),
            rng.choice([2600, 5000]),
            rng.choice([900, 3000]),
            rng.choice([700, 5000]),
            rng.choice([400, 2000]),
            rng.choice([2, 3]),
            rng.choice([1500, 100_000]),
            rng.choice([2000, 100_000]),
            rng.choice([1800, 100_000]),
            rng.choice([1200, 100_000]),
        )

    def tree(self) -> dict[str, dict[str, Any] | None]:
        share = {"max_pct_of_equity": WIDE_PCT}
        return {
            "SIZ-02": {"max_pct_of_equity": 100, "max_notional": self.order},
            "POS-02": {"hard_pct": WIDE_PCT, "soft_pct": WIDE_PCT, "max_notional": self.position},
            "POS-03": {"max_positions": self.count},
            "POS-04": {"hard_pct": WIDE_PCT, "soft_pct": WIDE_PCT, "max_notional": self.gross},
            "POS-05": share | {"status": "enforced", "max_notional": self.net},
            "POS-06": share | {"max_notional": self.base},
            "POS-09": {"max_notional": {"*": self.strategy}},
            "POS-11": share | {"max_notional": self.open_orders},
            "POS-12": {"max_heat": self.heat},
            "POS-13": {"shock_pct": 20, "max_loss_pct": WIDE_PCT, "max_loss": self.stress},
            "PNL-01": {"status": "not_applicable", "reason": "prices move on purpose"},
        }


@dataclass
class World:
    """One gate under one set of limits, and the test's own account of it."""

    instruments: ClassVar[tuple[Instrument, ...]] = INSTRUMENTS
    seed: int
    drift: bool
    rng: random.Random = field(init=False)
    tickets: dict[str, Ticket] = field(default_factory=dict)
    plans: list[tuple[str, Plan]] = field(default_factory=list)
    numbers: int = 0
    executions: int = 0
    refusals: Counter[str] = field(default_factory=Counter)
    approvals: int = 0

    def __post_init__(self) -> None:
        self.rng = random.Random(self.seed)
        self.caps = Caps.draw(self.rng)
        self.desk = Desk(
            limits=make_test_limits(
                self.tree(), parent_ttl_s=3, strategies={name: {"instruments": ["*"]} for name in STRATEGIES}
            ),
            instruments=self.instruments,
            usdt=str(self.caps.cash),
        )
        self.prices = dict(zip(PAIRS, (60_000, 3_000, 150), strict=True))
        self.held = dict.fromkeys(PAIRS, 0)
        self.held_of: Counter[tuple[str, str]] = Counter()
        self.cash = self.caps.cash * UNIT
        self.gate = self.desk.gate
        self.tell_prices()
        self.steps = (
            (self.request, 10), (self.leave, 3), (self.ask_parent, 2), (self.ask_child, 4), (self.fill, 8),
            (self.end, 3), (self.time_out, 2), (self.prove, 2), (self.give_up, 1), (self.pass_time, 1),
        )  # fmt: skip

    def tree(self) -> dict[str, dict[str, Any] | None]:
        return self.caps.tree()

    def tell_prices(self) -> None:
        self.desk.now_ns += 10
        for pair, price in self.prices.items():
            self.desk.quote(pair, f"{price - 1}", f"{price}")
        self.desk.venue()

    def run(self, sequences: int) -> None:
        actions = [action for action, weight in self.steps for _ in range(weight)]
        while self.numbers < sequences:
            self.desk.now_ns += 1_000_000
            self.rng.choice(actions)()
            if self.desk.now_ns // SECOND != (self.desk.now_ns - 1_000_000) // SECOND:
                self.tick()
            self.judge_selling()
            if not self.drift:
                self.judge()

    # ---- the test's own account

    def worst(self) -> dict[str, int]:
        """Held + everything that may still be bought, per instrument, in units of base."""
        total = dict(self.held)
        for ticket in self.tickets.values():
            if ticket.side is Side.BUY:
                total[ticket.pair] += ticket.leaves
        for _, plan in self.plans:
            total[plan.pair] += plan.left
        return total

    def open_entries(self) -> list[tuple[str, int, int]]:
        """(instrument, quantity, price) of what is not bought yet."""
        found = [(t.pair, t.leaves, t.price) for t in self.tickets.values() if t.side is Side.BUY]
        return found + [(plan.pair, plan.left, plan.price) for _, plan in self.plans if plan.left]

    def at_risk(self, strategy: str) -> int:
        """What a strategy holds, at the bid, and may still buy: all of it, as its entries carry no stop."""
        held = sum(self.held_of[strategy, pair] * (price - 1) for pair, price in self.prices.items()) // UNIT
        orders = [(t.leaves, t.price) for t in self.tickets.values() if t.side is Side.BUY and t.strategy == strategy]
        orders += [(plan.left, plan.price) for _, plan in self.plans if plan.strategy == strategy]
        return held + sum(qty * price for qty, price in orders) // UNIT**2

    def judge(self, entered: str = "") -> None:
        """No hard limit is passed at today's prices; with `entered`, an entry there was allowed just now. Prices that
        move may carry an instrument above its limit, but not the one in which an entry was just allowed.
        """
        caps, worst = self.caps, self.worst()
        value = {pair: units * self.prices[pair] // UNIT for pair, units in worst.items()}
        unfilled = sum(qty * price // UNIT**2 for _, qty, price in self.open_entries())

        for pair in (entered,) if self.drift else PAIRS:
            assert value[pair] <= min(caps.position, caps.base), (self.seed, value)
        assert sum(value.values()) <= caps.gross, (self.seed, value)
        assert sum(value.values()) * 20 // 100 <= caps.stress, (self.seed, value)
        assert sum(value.values()) <= caps.net, (self.seed, value)  # nothing here is sold short
        if not self.drift:  # positions of strategies are valued four times a second
            used = [self.at_risk(strategy) for strategy in STRATEGIES]
            assert max(used) <= caps.strategy, (self.seed, used)
            assert sum(used) <= caps.heat, (self.seed, used)
        assert unfilled <= caps.open_orders, (self.seed, unfilled)
        self.judge_funds(sum(value.values()), entered)
        assert sum(units > 0 for units in worst.values()) <= caps.count, (self.seed, worst)

    def judge_funds(self, value: int, entered: str) -> None:
        """All that may still be bought can be paid for."""
        del value, entered
        needed = sum(qty * price // UNIT * (10**6 + FEE_PPM) // 10**6 for _, qty, price in self.open_entries())
        assert needed <= self.cash, (self.seed, needed, self.cash)

    def judge_selling(self) -> None:
        """Nobody sells what is not there."""
        for pair in PAIRS:
            selling = sum(t.leaves for t in self.tickets.values() if t.side is Side.SELL and t.pair == pair)
            assert selling <= self.held[pair], (self.seed, pair)

    # ---- requests

    def pair_and_price(self) -> tuple[str, int]:
        pair = self.rng.choice(PAIRS)
        return pair, self.prices[pair]

    def some_strategy(self) -> str:
        return self.rng.choice(STRATEGIES)

    def request(self) -> None:
        pair, price = self.pair_and_price()
        value = self.rng.choice([20, 100, 300, 700, 1500])
        qty = (Decimal(value) / price).quantize(Decimal("0.00001"))
        self.ask(pair, Side.BUY, OrderRole.ENTRY, qty, price, self.some_strategy(), parent=True, order=True)

    def leave(self) -> None:
        (pair, price), strategy = self.pair_and_price(), self.some_strategy()
        held = self.held_of[strategy, pair]
        if held > 0:
            part = self.rng.choice([1, 2, 3])
            qty = (Decimal(held) / UNIT / part).quantize(Decimal("0.00001"))
            self.ask(pair, Side.SELL, OrderRole.EXIT, qty, price - 1, strategy, parent=True, order=True)

    def ask_parent(self) -> None:
        pair, price = self.pair_and_price()
        qty = (Decimal(self.rng.choice([50, 400])) / price).quantize(Decimal("0.00001"))
        self.ask(pair, Side.BUY, OrderRole.ENTRY, qty, price, self.some_strategy(), parent=True, order=False)

    def ask_child(self) -> None:
        """Draw on a parent, at times more than is left, at times one that is over."""
        if self.plans:
            intent_id, plan = self.rng.choice(self.plans)
            qty = (Decimal(plan.qty) / UNIT / self.rng.choice([1, 2, 3])).quantize(Decimal("0.00001"))
            price = plan.price // UNIT
            of = (intent_id, plan)
            self.ask(plan.pair, Side.BUY, OrderRole.ENTRY, qty, price, plan.strategy, parent=False, order=True, of=of)

    def ask(
        self,
        pair: str,
        side: Side,
        role: OrderRole,
        qty: Decimal,
        price: int,
        strategy: str,
        *,
        parent: bool,
        order: bool,
        of: tuple[str, Plan] | None = None,
    ) -> None:
        if not qty or len(self.tickets) >= LIVE:
            return self.fill() if self.tickets else None
        self.numbers += 1
        number, now_ns, limit = self.numbers, self.desk.now_ns, Decimal(price)
        intent_id = f"i{number}" if of is None else of[0]
        intent = OrderIntent(
            intent_id, strategy, "run1", number, pair, side, role, OrderType.LIMIT, TimeInForce.IOC, now_ns, qty=qty,
            limit_price=limit, protection=ProtectionPlan(),
        )  # fmt: skip
        terms = OrderTerms(f"c{number}", pair, side, OrderType.LIMIT, qty, limit, None, TimeInForce.IOC)
        message = ApproveOrder(intent_id, 0, VenueAction.NEW, terms, role, "binance", "main", strategy)
        up = SessionUp(asks=[ApprovalAsk(number, now_ns, intent if parent else None, message if order else None)])
        answer = self.gate.handle(up, now_ns).answers[0]
        if answer.reason:
            self.refusals.update(v.check_id for v in answer.violations)
            return None
        self.approvals += 1
        self.book_approval(answer, intent_id, terms, OrderFacts(terms, strategy, intent_id, 0, role, now_ns), order, of)
        # A child draws on what its parent reserved, at whatever price there is now.
        return self.judge(pair) if parent and role is OrderRole.ENTRY else None

    def book_approval(
        self,
        answer: ApprovalAnswer,
        intent_id: str,
        terms: OrderTerms,
        facts: OrderFacts,
        order: bool,
        of: tuple[str, Plan] | None,
    ) -> None:
        assert answer.approved_qty is not None
        qty, price = int(answer.approved_qty * UNIT), int((terms.price or 0) * UNIT)
        assert answer.approved_qty <= terms.qty
        if not order:
            self.plans.append((intent_id, Plan(terms.instrument_id, facts.strategy_id, qty, price)))
            del self.plans[: max(0, len(self.plans) - LIVE)]
            return
        assert answer.approval is not None
        plan = None if of is None else of[1]
        if plan is not None:
            assert qty <= plan.left, (self.seed, "a child exceeds its parent")
            plan.drawn += qty
        self.tickets[terms.client_order_id] = Ticket(
            terms.client_order_id, terms.instrument_id, terms.side, qty, price, answer.decision_id, plan, facts
        )

    # ---- what becomes of them

    def some(self, *kinds: OrderEventKind) -> tuple[Ticket, OrderEventKind] | None:
        """Return an order that one of these may happen to."""
        if not self.tickets:
            return None
        ticket, kind = self.rng.choice(list(self.tickets.values())), self.rng.choice(kinds)
        return (ticket, kind) if (ticket.status, kind) in ORDER_TRANSITIONS else None

    def tell(self, ticket: Ticket, kind: OrderEventKind, execution: Execution | None = None) -> None:
        self.desk.sequence += 1
        ticket.status = next_status(ticket.status, kind)
        event = OrderEvent(
            self.desk.sequence, ticket.key, kind, ticket.status, self.desk.now_ns,
            None if ticket.seen else ticket.facts, execution,
        )  # fmt: skip
        ticket.seen = True
        self.gate.handle(SessionUp(order_events=[event]), self.desk.now_ns)

    def over(self, ticket: Ticket) -> None:
        del self.tickets[ticket.key]
        if ticket.plan is not None:
            ticket.plan.drawn -= ticket.leaves
            ticket.plan.closed = True

    def fill(self) -> None:
        found = self.some(K.FILL, K.FILL_COMPLETE, K.FILL_COMPLETE)
        if found is None:
            return
        ticket, kind = found
        lots = ticket.leaves // 10**7
        part = lots if kind is K.FILL_COMPLETE or lots == 1 else self.rng.randrange(1, lots)
        kind = K.FILL_COMPLETE if part == lots else K.FILL
        better = self.rng.choice([0, 0, 1]) * ticket.side.sign
        price, qty = ticket.price // UNIT - better, Decimal(part) / 100_000
        fee = qty * price * FEE_PPM / 10**6
        self.executions += 1
        self.tell(
            ticket,
            kind,
            Execution(
                f"t{self.executions}", ticket.key, ticket.pair, ticket.side, qty, Decimal(price), fee, "USDT",
                Liquidity.TAKER, self.desk.now_ns,
            ),
        )  # fmt: skip
        ticket.filled += part * 10**7
        self.held[ticket.pair] += ticket.side.sign * part * 10**7
        self.held_of[ticket.strategy, ticket.pair] += ticket.side.sign * part * 10**7
        self.cash -= int((ticket.side.sign * qty * price + fee) * UNIT)
        if kind is K.FILL_COMPLETE:
            self.over(ticket)

    def end(self) -> None:
        found = self.some(*ENDS, K.CANCEL_REJECTED, K.CANCEL_SENT, K.ACCEPTED, K.SENT)
        if found is not None:
            self.tell(*found)
            if found[0].status.is_terminal:
                self.over(found[0])

    def time_out(self) -> None:
        found = self.some(K.OUTCOME_UNKNOWN)
        if found is not None:
            self.tell(*found)

    def prove(self) -> None:
        found = self.some(K.PROVEN_ABSENT)
        if found is not None and not found[0].filled:
            self.tell(*found)
            self.over(found[0])

    def give_up(self) -> None:
        """execd took the answer for lost: it says that it never used the approval, or asks and says nothing."""
        fresh = [ticket for ticket in self.tickets.values() if not ticket.seen]
        if fresh:
            ticket = self.rng.choice(fresh)
            self.gate.handle(
                SessionUp(never_used=[NeverUsed(ticket.decision_id, ticket.key, "EXPIRED")]), self.desk.now_ns
            )
            self.over(ticket)

    def pass_time(self) -> None:
        self.desk.now_ns += 200_000_000
        self.tick()

    def tick(self) -> None:
        """Prices move or are told again. Parents without an order end by themselves: so they do in the test."""
        if self.drift:
            self.prices = {p: max(10, round(x * self.rng.uniform(0.97, 1.03))) for p, x in self.prices.items()}
        self.tell_prices()
        self.gate.handle_timer(self.desk.now_ns)
        known = self.gate.state.commitments.parents
        for intent_id, plan in self.plans:
            plan.closed = plan.closed or intent_id not in known


@dataclass
class PerpetualWorld(World):
    """The same of perpetuals that one balance carries, at most at this leverage."""

    instruments: ClassVar[tuple[Instrument, ...]] = PERPETUALS
    leverage: int = field(init=False)

    def __post_init__(self) -> None:
        self.leverage = random.Random(-self.seed).choice([1, 2])
        super().__post_init__()
        told = MarginState("binance", "main", "USDT", Decimal(self.caps.cash), Decimal(0), Decimal(0), 1)
        margins = [PositionMargin(pair, Decimal(5), None, Decimal(0), False, 1) for pair in PAIRS]
        self.desk.say(margins=[told], position_margins=margins)

    def tree(self) -> dict[str, dict[str, Any] | None]:
        wide = {"status": "enforced", "max_leverage": self.leverage, "max_margin_pct": 100, "max_maintenance_pct": 99}
        return super().tree() | {"POS-10": wide}

    def judge_funds(self, value: int, entered: str) -> None:
        """When an entry was just allowed, all together is at most so many times what carries it: fees and the spread
        take some of that away later.
        """
        carries = self.cash + sum(units * (self.prices[pair] - 1) for pair, units in self.held.items())
        assert not entered or value * UNIT <= self.leverage * carries, (self.seed, value, carries)


def live(sequences: int, first_seed: int) -> None:
    refusals: Counter[str] = Counter()
    approvals = fills = 0
    for number in range(-(-sequences // PER_WORLD)):
        world = (PerpetualWorld if number % 4 > 1 else World)(first_seed + number, drift=number % 2 == 1)
        world.run(min(PER_WORLD, sequences))
        refusals += world.refusals
        approvals, fills = approvals + world.approvals, fills + world.executions

    assert approvals > sequences // 10
    assert fills > sequences // 10
    if sequences >= 10 * PER_WORLD:
        bound = {"SIZ-02", "SIZ-06", *(f"POS-{number:02}" for number in (1, 2, 3, 4, 5, 6, 9, 10, 11, 12, 13))}
        assert bound <= {check_id for check_id, count in refusals.items() if count > sequences // 2_000}, refusals


@pytest.mark.volume
def test_thousands_of_random_sequences_never_pass_a_hard_limit() -> None:
    live(16 * PER_WORLD, first_seed=1)


@pytest.mark.slow
@pytest.mark.timeout(7_200)
def test_a_million_random_sequences_never_pass_a_hard_limit() -> None:
    live(SEQUENCES, first_seed=10_000)
