"""A gate with 50 instruments and 200 working orders, every built check on and none binding, and what execd says to it.

The life is seeded: entries that rest, fill or are canceled, exits of what filled, refusals, account snapshots, timers.
"""

from __future__ import annotations

import random
import time
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any, Final

from riskd.catalogue import CATALOGUE
from riskd.gate import RiskGate, Signer
from riskd.journal_watch import JournalHealth
from riskd.limits import Limits, make_limits
from riskd.records import DrillDone, JournalSink, RecordType, encode_record
from tradebot.core.accounts import AccountSnapshot, Balance, VenueStatus
from tradebot.core.approvals import (
    ApprovalAnswer,
    ApprovalAsk,
    ApproveOrder,
    SessionDown,
    SessionHello,
    SessionUp,
    VenueAction,
)
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
    OrderTerms,
    OrderType,
    Side,
    TimeInForce,
    next_status,
)
from tradebot.runtime.config import read_yaml

K = OrderEventKind
PROFILE: Final = Path(__file__).parents[2] / "config" / "limits" / "bench.yaml"
INSTRUMENTS: Final = 50
WORKING: Final = 200
HUGE: Final = 10**9
VENUE: Final = "binance"
SIGNER: Final = Signer("bench", b"b" * 32)
TICK_NS: Final = 2_500_000
"""Virtual time between two asks."""
FINE_PER_TICK: Final = 10**6
"""Steps of a mark price."""
DEEP: Final = 10**8
"""Lots at the best, and traded with each quote."""
EDGE: Final = Decimal("0.1")
"""What each entry expects to gain."""
RESTING_NS: Final = 3_600_000_000_000
"""How long an entry may rest."""
BID: Final = 1_000_00
"""Ticks of 0.01; instruments cost a little more each."""

BAND: Final = PriceBand(Decimal("0.01"), Decimal(1_000_000), Decimal(5), Decimal("0.2"), Decimal(5), Decimal("0.2"))
DISK: Final = JournalHealth(100 << 30, 0, 0, 0)
"""Room, and nothing that waits."""

ALL_ON: Final[dict[str, dict[str, Any]]] = {
    "STA-08": {"tier": 1},
    "STA-09": {"max_age_h": 168},
    "MKT-05": {"max_divergence_bps": 1_000},
    "MKT-06": {"min_depth_multiple": 1},
    "PRC-03": {"max_slippage_bps": 1_000},
    "SIZ-04": {"max_share_pct": 100},
    "PRC-08": {"min_cost_multiple": 1},
    "PRC-05": {"min_distance_bps": 20, "max_distance_bps": 500},
    "PRC-06": {"min_stop_multiple": 1},
    "SIZ-03": {"max_risk_pct": 100, "max_risk": HUGE, "cost_bps": 40},
    "POS-05": {"max_pct_of_equity": 10_000, "max_notional": HUGE},
    "POS-07": {"hard_pct": 10000, "soft_pct": 10000, "max_notional": 10**12},
    "POS-08": {"hard_pct": 100, "soft_pct": 100},
    "POS-10": {"max_leverage": 100, "max_margin_pct": 100, "max_maintenance_pct": 99},
    "POS-14": {"soft_h": 1000, "hard_h": 2000},
    "SPC-07": {},
    "SPC-08": {},
    "SPC-09": {"max_resting_s": 3_600},
    "SPC-10": {"max_age_min": 60},
    "RAT-07": {"window_ms": 1000},
    "RAT-09": {},
    "PNL-02": {"halt_at_pct": -40},
    "PNL-03": {"halt_at_pct": -60},
    "PNL-04": {"halt_at_pct": -90},
    "PNL-05": {"pause_at_pct": -50},
    "PNL-06": {"pause_after": HUGE, "halt_after": HUGE},
    "PNL-07": {"halt_at_pct": -90},
    "PNL-09": {"max_drift_pct": 100},
    "PTR-01": {"max_silence_s": 3600},
    "PTR-03": {"max_steps": 1, "fill_grace_s": 3600},
    "PTR-04": {"max_drift_pct": 0.1},
    "PTR-05": {},
    "PTR-06": {"alarm_s": 60, "action_s": 300},
    "PTR-07": {"watched": ["marketdata", "execd"], "reduce_only_s": 5, "pause_s": 15},
    "PTR-08": {"min_free_gib": 0.25, "max_sync_p99_ms": 2000, "min_syncs": 20},
    "PTR-10": {},
}
"""What the profile of the order path leaves out, with limits that do not bind."""


def all_checks() -> Limits:
    """Return the bench profile with every built check on.

    Raises:
        LookupError: If a check was built that has no limit here.
    """
    tree: dict[str, Any] = read_yaml(PROFILE)
    for spec in CATALOGUE:
        if spec.configurable and tree["checks"][spec.check_id]["status"] != "enforced":
            if spec.check_id not in ALL_ON:
                raise LookupError(f"{spec.check_id} is built: give it a limit that does not bind in {__name__}.ALL_ON")
            tree["checks"][spec.check_id] = {"status": "enforced", **ALL_ON[spec.check_id]}
    tree["soft_caps"] = {"grace_s": 300, "auto_close": True}
    return make_limits(tree, PROFILE, "bench")


def make_instruments() -> tuple[Instrument, ...]:
    """Return INSTRUMENTS spot markets against USDT."""
    return tuple(
        Instrument(
            f"{VENUE}:A{number:02}-USDT", VENUE, f"A{number:02}USDT", Product.SPOT, f"A{number:02}", "USDT", "USDT",
            Decimal("0.01"), Decimal("0.001"), Decimal("0.001"), Decimal(9000), Decimal(9000), Decimal(5),
            order_types=frozenset({"LIMIT", "STOP_LIMIT", "TAKE_PROFIT_LIMIT", "GTD"}), price_band=BAND,
        )
        for number in range(INSTRUMENTS)
    )  # fmt: skip


class Desk:
    """The gate, and execd's end of it."""

    def __init__(self, sink: JournalSink, start_ns: int) -> None:
        self.now_ns = start_ns
        self._sink = sink
        self.limits = all_checks()
        self.instruments = make_instruments()
        self._rules_hash = rules_hash(self.instruments)
        self.gate = RiskGate(self.limits, environment="demo", signer=SIGNER, sink=sink, venues=(VENUE,), build="build")
        self.working: list[ApproveOrder] = []
        """Oldest first."""
        self.held: dict[str, Decimal] = {}
        self.quote_usdt = Decimal(10**9)
        self.decide_ns: list[int] = []
        """Time of each entry: from the message to the answer, signed."""
        self._rng = random.Random(1)
        self._sequence = self._asks = self._fills = 0
        self._began_ns = self._answered_ns = 0

    def open(self) -> None:
        """Start, connect, quote, hold half of the instruments, fill up to WORKING orders."""
        gate = self.gate
        drill = encode_record(DrillDone("H1", "ana", "demo", self.now_ns, 0, "before this life"))
        self._sink.append(RecordType.DRILL_DONE, drill)
        gate.restore([(RecordType.DRILL_DONE, drill)])
        gate.start("bench", self.now_ns)
        gate.handle(SessionUp(hello=SessionHello("s1", "log1", 0, "build", self.instruments)), self.now_ns)
        gate.bind_market(list(enumerate(self.instruments)))
        self.tell_account()
        for _ in range(2):  # what was traded is seen between two samples
            self.now_ns += 1_000_000_000
            self.quote()
            gate.handle_timer(self.now_ns)
        for instrument in self.instruments[::2]:
            self._fill(self._approved(self._entry(instrument)))
        while len(self.working) < WORKING:
            self.working.append(self._approved(self._entry(self._any())))

    # ---- the life

    def live(self, orders: int) -> None:
        """Ask for this many entries; whatever else belongs to a day happens between them."""
        for number in range(orders):
            self.now_ns += TICK_NS
            if number % 10 == 0:
                self.quote()
                self.gate.handle_timer(self.now_ns)
            if number % 500 == 0:
                self.tell_account()
            if number % 20 == 0:
                self._ask(self._entry(self._any(), qty=Decimal(8000) * 2))  # more than the venue takes
            self.working.append(self._approved(self._entry(self._any())))
            oldest = self.working.pop(0)
            if self._rng.random() < 0.5:
                self._fill(oldest)
            else:
                self._event(oldest, K.CANCEL_SENT, K.CANCELED)
            for instrument_id in [i for i, qty in self.held.items() if qty > 5]:
                self._leave(instrument_id)

    def quote(self) -> None:
        """Every book, fresh, and what goes with it."""
        rows = RowColumns()
        for index in range(INSTRUMENTS):
            bid = BID + 100 * index
            for kind, side, price in (
                (RowKind.BOOK_STATE, 0, int(BookState.LIVE)),
                (RowKind.BBO, BUY_FLAG, bid),
                (RowKind.BBO, SELL_FLAG, bid + 1),
                (RowKind.TRADE, BUY_FLAG, bid),
                (RowKind.MARK_PRICE, 0, bid * FINE_PER_TICK),
                (RowKind.INDEX_PRICE, 0, bid * FINE_PER_TICK),
            ):
                rows.append(MarketRow(int(kind), index, side | LAST_FLAG, price, DEEP, 1, self.now_ns, self.now_ns))
        self.gate.handle_market(rows, self.now_ns)
        self.gate.journal_measured(DISK, self.now_ns)

    def tell_account(self) -> None:
        """Balances and state of the venue."""
        held = tuple(Balance(key.split(":")[1].split("-")[0], qty, Decimal(0)) for key, qty in self.held.items())
        account = AccountSnapshot(
            VENUE, "main", (Balance("USDT", self.quote_usdt, Decimal(0)), *held), True, self.now_ns, self._sequence
        )
        status = VenueStatus(
            VENUE, "main", True, self.now_ns, False, clock_error_ns=1_000_000, clock_time_ns=self.now_ns,
            rules_time_ns=self.now_ns, rules_hash=self._rules_hash,
        )  # fmt: skip
        self.gate.handle(SessionUp(accounts=[account], venues=[status]), self.now_ns, send=_take)

    # ---- orders

    def _any(self) -> Instrument:
        return self._rng.choice(self.instruments)

    def _entry(self, instrument: Instrument, qty: Decimal | None = None) -> tuple[OrderIntent, ApproveOrder]:
        index = self.instruments.index(instrument)
        price = (BID + 100 * index - self._rng.randrange(200)) * instrument.tick_size
        lots = self._rng.randrange(100, 1000) * instrument.lot_size
        return self._pair(instrument.instrument_id, Side.BUY, OrderRole.ENTRY, lots if qty is None else qty, price)

    def _leave(self, instrument_id: str) -> None:
        index = next(i for i, x in enumerate(self.instruments) if x.instrument_id == instrument_id)
        price = (BID + 100 * index + 1) * self.instruments[index].tick_size
        pair = self._pair(instrument_id, Side.SELL, OrderRole.EXIT, self.held[instrument_id], price)
        self._fill(self._approved(pair))

    def _pair(
        self, instrument_id: str, side: Side, role: OrderRole, qty: Decimal, price: Decimal
    ) -> tuple[OrderIntent, ApproveOrder]:
        number = self._asks + 1
        post_only = role is OrderRole.ENTRY
        tif = TimeInForce.GTD if post_only else TimeInForce.IOC
        expires_ns = self.now_ns + RESTING_NS if post_only else 0
        intent = OrderIntent(
            intent_id=f"bench-run1-{number}", strategy_id="bench", incarnation="run1", intent_sequence=number,
            instrument_id=instrument_id, side=side, role=role, order_type=OrderType.LIMIT, time_in_force=tif,
            created_time_ns=self.now_ns, qty=qty, limit_price=price, post_only=post_only,
            protection=ProtectionPlan(Decimal("0.01")) if post_only else ProtectionPlan(),
            trace_id=f"{number:032x}", expire_time_ns=expires_ns, expected_edge=EDGE,
        )  # fmt: skip
        terms = OrderTerms(
            _client_order_id(number),
            instrument_id,
            side,
            OrderType.LIMIT,
            qty,
            price,
            None,
            tif,
            post_only=post_only,
            expire_time_ns=expires_ns,
        )
        order = ApproveOrder(
            intent.intent_id, 0, VenueAction.NEW, terms, role, VENUE, "main", "bench", trace_id=intent.trace_id
        )
        return intent, order

    def _ask(self, pair: tuple[OrderIntent, ApproveOrder]) -> ApprovalAnswer:
        self._asks += 1
        intent, order = pair
        up = SessionUp(asks=[ApprovalAsk(self._asks, self.now_ns, intent, order)])
        self._began_ns = time.perf_counter_ns()
        answer = self.gate.handle(up, self.now_ns, send=self._answered).answers[0]
        if order.role is OrderRole.ENTRY and answer.approval is not None:
            self.decide_ns.append(self._answered_ns - self._began_ns)
        return answer

    def _answered(self, _down: SessionDown) -> None:
        self._answered_ns = time.perf_counter_ns()

    def _approved(self, pair: tuple[OrderIntent, ApproveOrder]) -> ApproveOrder:
        answer = self._ask(pair)
        if answer.approval is None:
            raise RuntimeError(f"a limit binds where none should: {answer.detail}")
        intent, order = pair
        facts = OrderFacts(order.order, "bench", intent.intent_id, 0, order.role, self.now_ns, trace_id=intent.trace_id)
        self._event(order, K.ASKED, facts=facts)
        self._event(order, K.SENT, facts=replace(facts, decision_id=answer.decision_id))
        self._event(order, K.ACCEPTED)
        return order

    def _event(self, order: ApproveOrder, *kinds: OrderEventKind, **parts: Any) -> None:
        key = order.order.client_order_id
        for kind in kinds:
            self._sequence += 1
            status = next_status(self.gate.state.commitments.orders[key].state.status, kind)
            event = OrderEvent(self._sequence, key, kind, status, self.now_ns, **parts)
            self.gate.handle(SessionUp(order_events=[event]), self.now_ns, send=_take)

    def _fill(self, order: ApproveOrder) -> None:
        """In two parts, with a fee in quote."""
        terms = order.order
        assert terms.price is not None
        half = terms.qty // 2
        for part in (half, terms.qty - half) if half else (terms.qty,):
            self._fills += 1
            flow = part * terms.price
            execution = Execution(
                f"t{self._fills}", terms.client_order_id, terms.instrument_id, terms.side, part, terms.price,
                flow / 1000, "USDT", Liquidity.MAKER, self.now_ns,
            )  # fmt: skip
            left = self.gate.state.commitments.orders[terms.client_order_id].state.leaves_qty
            self._event(order, K.FILL_COMPLETE if part == left else K.FILL, execution=execution)
            self.quote_usdt -= terms.side.sign * flow + flow / 1000
            self.held[terms.instrument_id] = self.held.get(terms.instrument_id, Decimal(0)) + terms.side.sign * part


def _take(_down: SessionDown) -> None:
    """What execd is told when it asked nothing: the daemon hands over every message's answer as it is made."""


def _client_order_id(number: int) -> str:
    return make_client_order_id(ClientOrderIdParts(strategy_code("bench"), 1, number), b"i" * 32)
