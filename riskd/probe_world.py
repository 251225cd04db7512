"""The imagined world of the limits self-test: a gate with one market, and words for what happens there."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from typing import Any, Final

from riskd.base_limits import ANY, Enforced
from riskd.control_book import SELF_TEST, check_of
from riskd.dependency_watch import WATCHED
from riskd.gate import RiskGate, Signer
from riskd.journal_watch import JournalHealth
from riskd.limits import Limits
from riskd.order_limits import OrderQty
from riskd.rates import NS_PER_S
from riskd.records import DrillDone, MemorySink
from tradebot.core.accounts import AccountSnapshot, Balance, VenueStatus
from tradebot.core.approvals import ApprovalAnswer, ApprovalAsk, ApproveOrder, SessionHello, SessionUp, VenueAction
from tradebot.core.ids import ClientOrderIdParts, make_client_order_id, strategy_code
from tradebot.core.instruments import Instrument, PriceBand, Product, rules_hash
from tradebot.core.intents import OrderIntent, ProtectionPlan
from tradebot.core.market import BUY_FLAG, LAST_FLAG, SELL_FLAG, BookState, MarketRow, RowColumns, RowKind
from tradebot.core.order_events import OrderEvent, OrderFacts
from tradebot.core.orders import (
    Execution,
    Liquidity,
    OrderEventKind,
    OrderRole,
    OrderStatus,
    OrderTerms,
    OrderType,
    Side,
    TimeInForce,
)

PRICE: Final = Decimal(100)
DEEP: Final = 10**8
"""Lots at the best, and traded in a second."""
CASH: Final = Decimal(10_000)
ELSEWHERE: Final = "selftest-elsewhere"
DAY_NS: Final = 86_400 * NS_PER_S


class ProbeWorld:
    """A gate with one market at 100, 10,000 of cash, and everything in order."""

    def __init__(self, limits: Limits) -> None:
        self.now_ns = self.born_ns = 20_000 * DAY_NS
        self.limits = limits
        self.instrument = _instrument(limits)
        self.strategy_id = next((name for name in limits.file.strategies if ":" not in name and name != ANY), "probe")
        self._asks = self._trades = self._sequence = 0
        self.gate = RiskGate(
            limits,
            environment="selftest",
            signer=Signer("selftest", bytes(32)),
            sink=MemorySink(),
            venues=(self.instrument.venue,),
            build=SELF_TEST,
        )
        self.gate.start("t", self.now_ns)
        self.hello()
        self.gate.bind_market([(0, self.instrument)])
        balances = (Balance(limits.file.currency, CASH, Decimal(0)),)
        self.say(accounts=[AccountSnapshot(self.instrument.venue, "main", balances, True, self.now_ns, 0)])
        self.total = CASH
        if isinstance(limits.checks.get("POS-08"), Enforced):  # most of the money lies elsewhere
            self.total += 9 * CASH
            rest = (Balance(limits.file.currency, 9 * CASH, Decimal(0)),)
            self.say(accounts=[AccountSnapshot(ELSEWHERE, "main", rest, True, self.now_ns, 0)])
        self.status()
        for _ in range(60):  # seconds of market, for the checks that want to have watched it
            self.now_ns += NS_PER_S
            self.quote(PRICE - Decimal("0.01"), PRICE + Decimal("0.01"))
            self.trade()
            self.gate.board.sample(self.now_ns)
        self.status()
        for name in WATCHED:
            self.gate.heartbeats.heard_ns[name] = self.now_ns
        self.gate.journal_measured(JournalHealth(1 << 50, 0, 0, 0), self.now_ns)
        self.gate.state.kills.last_drill = DrillDone("selftest", "", "selftest", self.now_ns, 0, "")
        self.gate.handle_timer(self.now_ns)

    # ---- the world speaks

    def say(self, **parts: Any) -> list[ApprovalAnswer]:
        return self.gate.handle(SessionUp(**parts), self.now_ns).answers

    def hello(self, **changes: Any) -> None:
        self.say(hello=SessionHello("s", "log", 0, SELF_TEST, (replace(self.instrument, **changes),)))

    def status(self, **changes: Any) -> None:
        known = VenueStatus(
            self.instrument.venue, "main", True, self.now_ns, False, clock_error_ns=1, clock_time_ns=self.now_ns,
            rules_time_ns=self.now_ns, rules_hash=rules_hash((self.instrument,)),
        )  # fmt: skip
        self.say(venues=[replace(known, **changes)])

    def quote(self, bid: Decimal, ask: Decimal, state: BookState = BookState.LIVE) -> None:
        rows, tick = RowColumns(), self.instrument.tick_size
        told = [(RowKind.BOOK_STATE, 0, int(state))]
        told += [(RowKind.BBO, BUY_FLAG, int(bid / tick)), (RowKind.BBO, SELL_FLAG, int(ask / tick))]
        for kind, flag, price in told:
            rows.append(MarketRow(int(kind), 0, flag | LAST_FLAG, price, DEEP, 1, self.now_ns, self.now_ns))
        self.gate.handle_market(rows, self.now_ns)

    def trade(self) -> None:
        """DEEP lots, while the venue's mark and index are at the price."""
        rows, fine = RowColumns(), int(PRICE * 10**8)
        for kind, price in ((RowKind.TRADE, 1), (RowKind.MARK_PRICE, fine), (RowKind.INDEX_PRICE, fine)):
            rows.append(MarketRow(int(kind), 0, LAST_FLAG, price, DEEP, 1, self.now_ns, self.now_ns))
        self.gate.handle_market(rows, self.now_ns)

    def traded(self, side: Side, qty: Decimal, price: Decimal, *, limit: Decimal | None = None) -> None:
        """execd tells of an order of the strategy's that was filled at once, and was asked of an earlier riskd."""
        self._trades += 1
        name, role = f"t{self._trades}", OrderRole.ENTRY if side is Side.BUY else OrderRole.EXIT
        order = OrderTerms(
            name, self.instrument.instrument_id, side, OrderType.LIMIT, qty, price if limit is None else limit
        )
        self._event(name, OrderEventKind.ASKED, facts=OrderFacts(order, self.strategy_id, name, 0, role, self.now_ns))
        self._event(name, OrderEventKind.SENT)
        self._fill(name, side, qty, price)

    def enter(self) -> bool:
        """An ordinary entry is approved and filled; False = it is refused."""
        answer = self._answer()
        if answer.approval is None:
            return False
        name = next(reversed(self.gate.state.commitments.orders))
        self._fill(name, Side.BUY, answer.approved_qty or Decimal(0), PRICE)
        return True

    def _fill(self, name: str, side: Side, qty: Decimal, price: Decimal) -> None:
        self._event(
            name,
            OrderEventKind.FILL_COMPLETE,
            execution=Execution(
                f"x{self._sequence}", name, self.instrument.instrument_id, side, qty, price, Decimal(0),
                self.instrument.quote, Liquidity.TAKER, self.now_ns,
            ),
        )  # fmt: skip

    def _event(self, name: str, kind: OrderEventKind, **parts: Any) -> None:
        self._sequence += 1
        status = OrderStatus.FILLED if kind is OrderEventKind.FILL_COMPLETE else OrderStatus.PENDING_NEW
        self.say(order_events=[OrderEvent(self._sequence, name, kind, status, self.now_ns, **parts)])

    # ---- what riskd makes of it

    def held_after(self, seconds: int) -> frozenset[str]:
        """Let time pass in one step; return the checks whose holds are in force then."""
        self.now_ns += seconds * NS_PER_S
        self.gate.handle_timer(self.now_ns)
        return self.held()

    def held(self) -> frozenset[str]:
        """Return the checks whose holds are in force."""
        causes = {check_of(hold.cause) for hold in self.gate.state.holds.holds.values()}
        return frozenset(check_id for check_id in causes if check_id is not None)

    # ---- asks

    def ask(self, *, alone: bool = False, action: VenueAction = VenueAction.NEW, **changes: Any) -> frozenset[str]:
        """Ask for an ordinary order with changes (`terms_*` of the message only); return the checks that object."""
        answer = self._answer(alone=alone, action=action, **changes)
        return frozenset(result.check_id for result in (*answer.violations, *answer.soft_hits))

    def _answer(self, *, alone: bool = False, action: VenueAction = VenueAction.NEW, **changes: Any) -> ApprovalAnswer:
        self._asks += 1
        of_terms = {key.removeprefix("terms_"): changes.pop(key) for key in list(changes) if key.startswith("terms_")}
        intent = replace(self._intent(), **changes)
        limit = intent.limit_price if intent.limit_price is not None else PRICE
        code = strategy_code(intent.strategy_id)
        terms = OrderTerms(
            make_client_order_id(ClientOrderIdParts(code, 1, self._asks), bytes(32)),
            intent.instrument_id,
            intent.side,
            OrderType.LIMIT,
            intent.qty if intent.qty is not None else Decimal(0),
            limit,
            None,
            intent.time_in_force,
            intent.post_only,
            expire_time_ns=intent.expire_time_ns,
        )
        venue = self.instrument.venue
        order = ApproveOrder(
            intent.intent_id,
            0,
            action,
            replace(terms, **of_terms),
            intent.role,
            venue,
            "main",
            intent.strategy_id,
            replaces_client_order_id="c0" if action is VenueAction.REPLACE else "",
        )
        return self.say(asks=[ApprovalAsk(self._asks, self.now_ns, None if alone else intent, order)])[0]

    def _intent(self) -> OrderIntent:
        return OrderIntent(
            intent_id=f"i{self._asks}",
            strategy_id=self.strategy_id,
            incarnation="run",
            intent_sequence=self._asks,
            instrument_id=self.instrument.instrument_id,
            side=Side.BUY,
            role=OrderRole.ENTRY,
            order_type=OrderType.LIMIT,
            time_in_force=TimeInForce.IOC,
            created_time_ns=self.now_ns,
            qty=Decimal("0.05"),
            limit_price=PRICE,
            protection=ProtectionPlan(Decimal("0.01")),
            expected_edge=Decimal("0.5"),
        )


def _instrument(limits: Limits) -> Instrument:
    """Return a market that the limits know: one that they name, else any."""
    sizes = limits.enforced("SIZ-01", OrderQty)
    named = {name for permission in limits.file.strategies.values() for name in permission.instruments}
    named |= set() if sizes is None else set(sizes.max_qty)
    currency = limits.file.currency
    fitting = sorted(name for name in named if name.count("-") == 1 and name.endswith(f"-{currency}"))
    instrument_id = fitting[0] if fitting else f"selftest:AAA-{currency}"
    venue, _, pair = instrument_id.partition(":")
    base, _, quote = pair.partition("-")
    smallest = Decimal("0.00001")
    return Instrument(
        instrument_id, venue, pair, Product.SPOT, base, quote, quote, Decimal("0.01"), smallest, smallest,
        Decimal(1_000_000), Decimal(1_000_000), Decimal(1), Decimal(1_000_000),
        order_types=frozenset({"LIMIT", "STOP_LIMIT"}),
        price_band=PriceBand(buy_up=Decimal(5), buy_down=Decimal("0.2"), sell_up=Decimal(5), sell_down=Decimal("0.2")),
    )  # fmt: skip
