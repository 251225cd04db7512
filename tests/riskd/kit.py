"""A gate on a known market, and short words for what execd says to it."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from decimal import Decimal
from functools import cache
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from riskd.base_limits import NotApplicable
from riskd.catalogue import MANDATORY
from riskd.clock_trust import BootTime
from riskd.control_book import SELF_TEST
from riskd.dependency_watch import WATCHED
from riskd.gate import RiskGate, Signer
from riskd.journal_watch import JournalHealth
from riskd.limits import Limits, make_limits
from riskd.records import DrillDone, MemorySink
from riskd.state import RiskState
from riskd.units import from_units
from tests.support.builders import make_instrument
from tradebot.core.accounts import AccountSnapshot, Balance, VenueAlarm, VenueStatus
from tradebot.core.approvals import (
    ApprovalAnswer,
    ApprovalAsk,
    ApproveOrder,
    LeasePing,
    SessionDown,
    SessionHello,
    SessionUp,
    VenueAction,
)
from tradebot.core.ids import ClientOrderIdParts, make_client_order_id, strategy_code
from tradebot.core.instruments import Instrument, rules_hash
from tradebot.core.intents import OrderIntent, ProtectionPlan
from tradebot.core.looks import LookAnswer, LookReport, SeenFill, SeenOrder, SeenPosition, VenueLook
from tradebot.core.market import BUY_FLAG, LAST_FLAG, SELL_FLAG, BookState, MarketRow, RowColumns, RowKind
from tradebot.core.operator_commands import OperatorCommand, OperatorProof
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
    next_status,
)
from tradebot.runtime.config import read_yaml

ROOT = Path(__file__).resolve().parents[2]
BTC = "binance:BTC-USDT"
ETH = "binance:ETH-USDT"
KEY = Signer("0a0b0c0d", b"k" * 32)
START_NS = 1_700_000_000 * 1_000_000_000  # 2023-11-14 22:13:20 UTC: 100 minutes before midnight
EYES_NS = START_NS - 60_000_000_000
"""When the run of the eyes began that speaks here."""
SECOND = 1_000_000_000
UPTIME_NS = 3_600 * SECOND
"""Of the system when a desk begins."""
MS = 1_000_000
GUARDS = ("PNL-02", "PNL-03", "PNL-04", "PNL-05", "PNL-06", "PNL-07")
"""Off unless a test sets them: a loss that one rule is about would trip the others too."""


EYES = ("PTR-01", "PTR-03", "PTR-04", "PTR-05")
"""Off unless a test sets them: most tests let hours pass and nobody looks at a venue meanwhile."""
HUGE = 10**9
WIDE_PCT = 10_000
WIDE: dict[str, dict[str, Any]] = {
    "RAT-01": {"strategy_per_second": 1000, "strategy_per_minute": 60000, "system_per_second": 1000},
    "SIZ-01": {"max_qty": {"*": 100}},
    "STA-06": {"max_per_instrument": HUGE, "max_per_venue": HUGE},
    "MKT-04": {"max_spread_bps": {"*": 10_000}},
    "PRC-04": {"max_bound_bps": 10_000},
    "SIZ-05": {"soft_multiple": HUGE, "hard_multiple": HUGE},
    "POS-06": {"max_pct_of_equity": WIDE_PCT, "max_notional": HUGE, "soft_pct": None},
    "POS-11": {"max_pct_of_equity": WIDE_PCT, "max_notional": HUGE},
    "POS-13": {"max_loss_pct": WIDE_PCT, "max_loss": HUGE, "soft_pct": None, "stressed_spread_bps": 0},
    "POS-09": {"max_pct_of_equity": {"*": WIDE_PCT}, "max_notional": {"*": HUGE}, "soft_share_pct": 100},
    "POS-12": {"max_heat_pct": WIDE_PCT, "max_heat": HUGE},
    "RAT-02": {"strategy_per_second": 1000},
    "RAT-04": {"max_ratio": HUGE, "min_orders": HUGE},
    "RAT-05": {"strategy_per_minute": HUGE, "venue_per_minute": HUGE},
    "RAT-06": {"max_entries": HUGE, "max_per_day": HUGE},
    "RAT-08": {"max_per_instrument": HUGE, "max_per_venue": HUGE},
    "RAT-10": {"max_times_equity": HUGE},
}
"""Limits that bind only when a test sets them: most tests repeat themselves within one instant."""
MARKET: dict[str, dict[str, Any]] = {
    "STA-07": {"status": "enforced", "min_samples": 1},
    "MKT-07": {"status": "enforced", "max_move_bps": 300, "sigmas": 6, "hold_min": 5},
    "PRC-02": {"status": "enforced", "max_drift_bps": 250},
}
"""What needs a second of the market: `Desk.wait(1)`. Off unless a test asks for it: tests move prices as they like."""
LIQUID: dict[str, dict[str, Any]] = {
    "MKT-05": {"status": "enforced", "max_divergence_bps": 100},
    "MKT-06": {"status": "enforced", "min_depth_multiple": 3},
    "PRC-03": {"status": "enforced", "max_slippage_bps": 20},
    "SIZ-04": {"status": "enforced", "max_share_pct": 10},
    "PRC-08": {"status": "enforced", "min_cost_multiple": 1},
}
"""What needs quantities, trades and other prices: `Desk.liquid`. Off unless a test asks for it."""
STRICT: dict[str, dict[str, Any]] = {
    **MARKET,
    "PRC-05": {"status": "enforced", "min_distance_bps": 20, "max_distance_bps": 500},
    "PRC-06": {"status": "enforced", "min_stop_multiple": 2, "maintenance_pct": 5},
    "SPC-09": {"status": "enforced", "max_resting_s": 60},
    "SIZ-03": {"status": "enforced", "max_risk_pct": 100, "max_risk": HUGE, "cost_bps": 0},
    "POS-05": {"status": "enforced", "max_pct_of_equity": WIDE_PCT, "max_notional": HUGE},
    "POS-10": {"status": "enforced", "max_leverage": 2, "max_margin_pct": 60, "max_maintenance_pct": 35},
    "RAT-07": {"status": "enforced", "window_ms": 1000},
    "RAT-09": {"status": "enforced"},
}
"""Checks that are off unless a test asks for them."""
DEPLOYED: dict[str, dict[str, Any]] = {
    "STA-08": {"status": "enforced", "tier": 1},
    "STA-09": {"status": "enforced", "max_age_h": 24},
    "POS-08": {"status": "enforced", "hard_pct": 100, "soft_pct": 100},
}
"""Off unless a test asks for them: a desk is no deployment, and begins without a drill (`Desk.drilled`)."""
CLUSTERED: dict[str, Any] = {"soft_caps": {}, "cluster_pins": ((BTC, ETH),)}
"""Top-level limits where POS-07 is asked."""
TOGETHER = {"POS-07": {"status": "enforced", "hard_pct": 10_000, "soft_pct": 10_000, "max_notional": HUGE}}
FORM: dict[str, dict[str, Any]] = {"SPC-06": {"status": "enforced"}}
"""Off unless a test names its orders as execd does (`execd_id`)."""


FILLS: dict[str, dict[str, Any]] = {
    "PTR-02": {"status": "enforced"},
    "PNL-08": {"status": "enforced", "max_ratio": 3, "fills": 2, "floor_bps": 5, "cautious_min": 30},
}
"""Off unless a test asks for it: tests fill orders at whatever price makes the loss that they are about."""
WATCHES: dict[str, dict[str, Any]] = {
    "PTR-06": {"status": "enforced", "alarm_s": 5, "action_s": 15},
    "PTR-07": {"status": "enforced", "watched": ["marketdata", "execd", "recorder"], "reduce_only_s": 2, "pause_s": 5},
    "PTR-08": {"status": "enforced", "min_free_gib": 5, "max_sync_p99_ms": 250, "min_syncs": 20},
}
"""Off unless a test asks for them: a desk has positions without stops and lets hours pass in silence."""


DATED = tuple(
    replace(make_instrument(name), order_types=make_instrument(name).order_types | {"GTD"}) for name in (BTC, ETH)
)
"""The desk's instruments at a venue that ends orders by its clock."""


@cache
def _profile(name: str) -> dict[str, Any]:
    return read_yaml(ROOT / "config" / "limits" / f"{name}.yaml")


def limits_tree(profile: str = "demo") -> dict[str, Any]:
    """Return a profile as a tree that a test may change, without what a desk's orders and prices cannot satisfy."""
    tree = copy.deepcopy(_profile(profile))
    on = {check_id for check_id, check in tree["checks"].items() if check["status"] == "enforced"}
    for check_id in on & {*MARKET, *LIQUID, *FORM, *FILLS, *WATCHES} - MANDATORY:
        tree["checks"][check_id] = {"status": "not_applicable", "reason": "not what this test is about"}
    tree["checks"]["SIZ-01"].pop("max_share_pct", None)
    return tree


def make_test_limits(changes: Mapping[str, dict[str, Any] | None] | None = None, **top: Any) -> Limits:
    """Return the demo limits, with wide rates, and with check settings changed or (None) removed.

    Here, and in no file, a test may do without a mandatory check that it is not about.
    """
    tree = limits_tree()
    tree["strategies"] = {
        "s1": {"instruments": ["*"]},
        "s2": {"instruments": [BTC]},
        "manual:*": {"instruments": ["*"]},
    }
    for check_id, wide in WIDE.items():
        tree["checks"][check_id] |= wide
    for check_id in (*GUARDS, *STRICT, *EYES, *FILLS):
        tree["checks"][check_id] = {"status": "not_applicable", "reason": "not what this test is about"}
    slippage = ((changes or {}).get("PRC-03") or {}).get("max_slippage_bps")
    if slippage:  # what it refuses MKT-04 may not let pass
        tree["checks"]["MKT-04"]["max_spread_bps"] = {"*": 2 * slippage}
    for check_id, change in (changes or {}).items():
        if change is None:
            del tree["checks"][check_id]
        else:
            was = tree["checks"][check_id]
            turned = change.get("status", was["status"]) != was["status"]  # switched on or off: the change says it all
            tree["checks"][check_id] = change if turned else was | change
    off = {key: check for key, check in tree["checks"].items() if key in MANDATORY and check["status"] != "enforced"}
    tree["checks"] |= {check_id: _profile("demo")["checks"][check_id] for check_id in off}
    limits = make_limits(tree | top, Path("test.yaml"), "hash")
    return replace(limits, checks=dict(limits.checks) | {key: NotApplicable(**check) for key, check in off.items()})


OPERATOR_KEYS = {
    name: (role, Ed25519PrivateKey.from_private_bytes(bytes([number]) * 32))
    for number, (name, role) in enumerate([("ana", "trader"), ("bob", "risk"), ("eve", "risk"), ("tom", "trader")], 1)
}
"""Operators of a team, and their private keys."""
TEAM: dict[str, Any] = {
    "operators": "team",
    "operator_keys": {
        name: {"role": role, "public_key": key.public_key().public_bytes_raw().hex()}
        for name, (role, key) in OPERATOR_KEYS.items()
    },
}
"""Top-level limits of a team."""


class Rows:
    """Builds market rows for instrument indexes in the order of the desk's instruments."""

    def __init__(self) -> None:
        self.columns = RowColumns()

    def add(self, kind: RowKind, index: int, side: int, price: int, qty: int, at_ns: int) -> None:
        self.columns.append(MarketRow(int(kind), index, side | LAST_FLAG, price, qty, 1, at_ns, at_ns))


@dataclass
class Desk:
    """A gate with a session, a reconciled venue, 10,000 USDT and live books, unless told otherwise."""

    limits: Limits = field(default_factory=make_test_limits)
    now_ns: int = START_NS
    instruments: tuple[Instrument, ...] = (make_instrument(BTC), make_instrument(ETH))
    usdt: str = "10000"
    connect: bool = True
    venue_name: str = "binance"
    gate: RiskGate = field(init=False)
    sink: MemorySink = field(init=False)
    sequence: int = 0
    asks: int = 0
    intents: int = 0
    orders: int = 0
    statuses: dict[str, OrderStatus] = field(default_factory=dict)
    executions: int = 0
    session: int = 0
    execd_started_ns: int = 0
    looks: int = 0
    attended: bool = True
    """Whether all daemons are heard and the journal's disk is measured and well while time passes."""
    send: Callable[[SessionDown], None] | None = None
    """Takes what is said to execd as soon as it is known, as the daemon does."""

    def __post_init__(self) -> None:
        self.sink = MemorySink()
        self.gate = self.new_gate(self.sink)
        self.gate.start("life1", self.now_ns, BootTime("boot", UPTIME_NS))
        if self.connect:
            self.hello()
            self.quote(BTC, "59999.99", "60000.01")
            self.quote(ETH, "2999.99", "3000.01")
            self.account()
            self.venue()

    def new_gate(self, sink: MemorySink, state: RiskState | None = None) -> RiskGate:
        return RiskGate(
            self.limits, environment="demo", signer=KEY, sink=sink, venues=(self.venue_name,), build="build",
            state=state,
        )  # fmt: skip

    # ---- execd speaks

    def say(self, **parts: Any) -> SessionDown:
        return self.gate.handle(SessionUp(**parts), self.now_ns, send=self.send)

    def hello(self, *, log: str = "log1", head: int | None = None, latches: tuple[Any, ...] = ()) -> SessionDown:
        self.session += 1
        self.asks = 0
        hello = SessionHello(
            f"session{self.session}",
            log,
            self.sequence if head is None else head,
            "build",
            self.instruments,
            latches,
            self.execd_started_ns,
        )
        down = self.say(hello=hello)
        self.gate.bind_market(list(enumerate(self.instruments)))
        return down

    def begin_anew(self, *, riskd: bool = True, execd: bool = True, tested: bool = True) -> None:
        """The daemons are restarted a moment later and connect again; riskd tests its limits at its start."""
        self.now_ns += SECOND
        if riskd:
            self.gate = self.replayed()
            self.gate._ledger._sink = self.sink  # the journal goes on
            self.gate.start(f"life{self.now_ns}", self.now_ns)
        if execd:
            self.execd_started_ns = self.now_ns
        self.hello()
        held = self.gate.state.portfolio.balances
        self.account(*((asset, str(from_units(units))) for (_, asset), units in held.items()))
        self.venue()
        if riskd and tested:
            self.gate.controls_tested(SELF_TEST, self.limits.hash, ["PRC-01"], [], self.now_ns)

    def account(self, *balances: tuple[str, str], after: int | None = None, **more: Any) -> SessionDown:
        return self.say(accounts=[self.make_account(*balances, after=after, **more)])

    def earned(self, *balances: tuple[str, str]) -> None:
        """Make the account hold these, as if fills had done it."""
        for asset, amount in balances:
            self.gate.state.portfolio.balances[self.venue_name, asset] = int(Decimal(amount) * 10**12)
        self.gate.accountant.forget_equity()

    def make_account(self, *balances: tuple[str, str], after: int | None = None, **more: Any) -> AccountSnapshot:
        told = balances or (("USDT", self.usdt),)
        return AccountSnapshot(
            self.venue_name,
            "main",
            tuple(Balance(asset, Decimal(amount), Decimal(0)) for asset, amount in told),
            more.pop("complete", True),
            self.now_ns,
            self.sequence if after is None else after,
            **more,
        )

    def venue(self, *, alarms: tuple[VenueAlarm, ...] = (), **changes: Any) -> SessionDown:
        return self.say(venues=[replace(self.make_venue(), alarms=alarms, **changes)])

    def make_venue(self) -> VenueStatus:
        return VenueStatus(
            self.venue_name,
            "main",
            True,
            self.now_ns,
            False,
            clock_error_ns=MS,
            clock_time_ns=self.now_ns,
            rules_time_ns=self.now_ns,
            rules_hash=rules_hash(one for one in self.instruments if one.venue == self.venue_name),
        )

    # ---- the market speaks

    def quote(
        self,
        instrument_id: str,
        bid: str | None,
        ask: str | None,
        state: BookState | None = BookState.LIVE,
        *,
        lots: int = 1,
    ) -> None:
        index = next(i for i, x in enumerate(self.instruments) if x.instrument_id == instrument_id)
        tick, rows = self.instruments[index].tick_size, Rows()
        if state is not None:
            rows.add(RowKind.BOOK_STATE, index, 0, int(state), 0, self.now_ns)
        for flag, price in ((BUY_FLAG, bid), (SELL_FLAG, ask)):
            if price is not None:
                rows.add(RowKind.BBO, index, flag, int(Decimal(price) / tick), lots, self.now_ns)
        self.gate.handle_market(rows.columns, self.now_ns)

    def tell(self, instrument_id: str, *told: tuple[RowKind, str | int]) -> None:
        """Trades (lots), mark and index prices, in this order."""
        index = next(i for i, x in enumerate(self.instruments) if x.instrument_id == instrument_id)
        rows = Rows()
        for kind, value in told:
            if kind is RowKind.TRADE:
                rows.add(kind, index, BUY_FLAG, 1, int(value), self.now_ns)
            else:
                rows.add(kind, index, 0, int(Decimal(value) * 10**8), 0, self.now_ns)
        self.gate.handle_market(rows.columns, self.now_ns)

    def liquid(self, seconds: int = 2, *, lots: int = 10**7) -> None:
        """Let seconds pass in which so much lies at the best offers and is traded, and others tell the same price."""
        for _ in range(seconds):
            for instrument in self.instruments:
                view, name = self.gate.board.views[instrument.instrument_id], instrument.instrument_id
                bid, ask = from_units(view.good_bid), from_units(view.good_ask)
                self.quote(name, str(bid), str(ask), lots=lots)
                mid = str((bid + ask) / 2)
                self.tell(name, (RowKind.TRADE, lots), (RowKind.MARK_PRICE, mid), (RowKind.INDEX_PRICE, mid))
            self.wait(1)

    def wait(self, seconds: float) -> SessionDown:
        """Let time pass with a timer call at the end; books, the venue's state and the eyes stay fresh."""
        return self._wait(seconds, looks=self.gate.settings.eyes.orders)

    def wait_without_looks(self, seconds: float) -> SessionDown:
        """The same while the eyes are silent."""
        return self._wait(seconds, looks=False)

    def _wait(self, seconds: float, *, looks: bool) -> SessionDown:
        self.now_ns += int(seconds * SECOND)
        for index, instrument in enumerate(self.instruments):
            view = self.gate.board.views.get(instrument.instrument_id)
            if view is not None and view.updated_ns:
                view.updated_ns = self.now_ns
            del index
        for name, status in list(self.gate.session.statuses.items()):
            if status.reconciled_time_ns:
                self.gate.session.statuses[name] = replace(
                    status, reconciled_time_ns=self.now_ns, clock_time_ns=self.now_ns, rules_time_ns=self.now_ns
                )
        if looks:
            self.look()
        if self.attended:
            for name in WATCHED:
                self.gate.heartbeats.heard_ns[name] = self.now_ns
            self.gate.journal_measured(JournalHealth(100 << 30, 0, 0, 0), self.now_ns)
        return self.gate.handle_timer(self.now_ns)

    def open_drill(self) -> None:
        """Let the drill's orders in for a minute."""
        answer = self.gate.start_drill("ana", "trader", f"open{self.now_ns}", "", prepare=True, now_ns=self.now_ns)
        assert not answer.reason

    def drilled(self, at_ns: int | None = None) -> None:
        """The kill switch was tried then, else now."""
        at_ns = self.now_ns if at_ns is None else at_ns
        self.gate._ledger.commit(DrillDone("H0", "ana", "demo", at_ns, SECOND, "2 orders, 1 positions"))

    # ---- the eyes speak

    def look(self, *orders: SeenOrder, fills: tuple[SeenFill, ...] = (), error: str = "", **report: Any) -> LookAnswer:
        """Report what the venue holds: the balances that riskd expects, and these orders and fills."""
        return self.look_at(self.now_ns, *orders, fills=fills, error=error, **report)

    def look_at(
        self,
        at_ns: int,
        *orders: SeenOrder,
        fills: tuple[SeenFill, ...] = (),
        balances: Mapping[str, str] | None = None,
        positions: Mapping[str, str] | None = None,
        error: str = "",
        **report: Any,
    ) -> LookAnswer:
        """Report a look of that moment; `balances` replaces those that riskd expects, asset by asset."""
        self.looks += 1
        expected = self.gate.state.portfolio.balances.items()
        told = {asset: from_units(units) for (venue, asset), units in expected if venue == self.venue_name}
        told |= {asset: Decimal(amount) for asset, amount in (balances or {}).items()}
        rows = tuple(Balance(asset, amount, Decimal(0)) for asset, amount in told.items() if amount)
        held = tuple(SeenPosition(name, Decimal(qty)) for name, qty in (positions or {}).items())
        look = VenueLook(self.venue_name, "main", at_ns, at_ns, orders, fills, () if error else rows, held, error)
        base = LookReport(EYES_NS, self.looks, (look,))
        return self.gate.look(replace(base, **report), self.now_ns)

    def ping(self, times: int = 1) -> None:
        """execd pings, a quarter of a second apart."""
        for _ in range(times):
            self.now_ns += 250 * MS
            self.say(ping=LeasePing(1, self.now_ns))

    # ---- asks

    def intent(self, **changes: Any) -> OrderIntent:
        self.intents += 1
        base = OrderIntent(
            intent_id=f"i{self.intents}",
            strategy_id="s1",
            incarnation="run1",
            intent_sequence=self.intents,
            instrument_id=BTC,
            side=Side.BUY,
            role=OrderRole.ENTRY,
            order_type=OrderType.LIMIT,
            time_in_force=TimeInForce.IOC,
            created_time_ns=self.now_ns,
            qty=Decimal("0.01"),
            limit_price=Decimal(60000),
            protection=ProtectionPlan(Decimal("0.005")),
            trace_id="trace",
            expected_edge=Decimal("0.02"),
        )
        for name in ("qty", "limit_price"):
            if isinstance(changes.get(name), str):
                changes[name] = Decimal(changes[name])
        return replace(base, **changes)

    def order(self, intent: OrderIntent | None = None, **changes: Any) -> ApproveOrder:
        """Return the venue message of an intent; `terms_*` changes go to the terms, the rest to the message."""
        self.orders += 1
        intent = intent or self.intent()
        touch = Decimal(60000) if intent.instrument_id == BTC else Decimal(3000)
        terms = OrderTerms(
            f"c{self.orders}",
            intent.instrument_id,
            intent.side,
            OrderType.LIMIT,
            intent.qty if intent.qty is not None else Decimal(0),
            intent.limit_price if intent.limit_price is not None else touch,
            None,
            intent.time_in_force,
            intent.post_only,
            expire_time_ns=intent.expire_time_ns,
        )
        of_terms = {k.removeprefix("terms_"): changes.pop(k) for k in list(changes) if k.startswith("terms_")}
        for name in ("qty", "price", "stop_price"):
            if isinstance(of_terms.get(name), str):
                of_terms[name] = Decimal(of_terms[name])
        base = ApproveOrder(
            intent.intent_id,
            0,
            VenueAction.NEW,
            replace(terms, **of_terms),
            intent.role,
            self.venue_name,
            "main",
            intent.strategy_id,
            trace_id=intent.trace_id,
        )
        return replace(base, **changes)

    def ask(self, parent: OrderIntent | None = None, order: ApproveOrder | None = None) -> ApprovalAnswer:
        self.asks += 1
        return self.say(asks=[ApprovalAsk(self.asks, self.now_ns, parent, order)]).answers[0]

    def plain(self, **changes: Any) -> ApprovalAnswer:
        """Ask for an intent and its only order at once."""
        of_order = {k: changes.pop(k) for k in list(changes) if k.startswith("terms_")}
        intent = self.intent(**changes)
        return self.ask(intent, self.order(intent, **of_order))

    # ---- events

    def event(self, client_order_id: str, kind: OrderEventKind, **parts: Any) -> SessionDown:
        return self.say(order_events=[self.make_event(client_order_id, kind, **parts)])

    def make_event(self, client_order_id: str, kind: OrderEventKind, **parts: Any) -> OrderEvent:
        self.sequence += 1
        before = self.statuses.get(client_order_id, OrderStatus.PENDING_NEW)
        status = self.statuses[client_order_id] = next_status(before, kind)
        return OrderEvent(self.sequence, client_order_id, kind, status, self.now_ns, **parts)

    def fill(
        self,
        client_order_id: str,
        qty: str,
        price: str = "60000",
        *,
        side: Side = Side.BUY,
        complete: bool = True,
        fee: str = "0",
        fee_asset: str = "USDT",
        instrument_id: str = BTC,
        liquidity: Liquidity = Liquidity.TAKER,
        facts: OrderFacts | None = None,
        exec_id: str = "",
    ) -> SessionDown:
        self.executions += 1
        execution = Execution(
            exec_id or f"t{self.executions}",
            client_order_id,
            instrument_id,
            side,
            Decimal(qty),
            Decimal(price),
            Decimal(fee),
            fee_asset,
            liquidity,
            self.now_ns,
        )
        kind = OrderEventKind.FILL_COMPLETE if complete else OrderEventKind.FILL
        return self.event(client_order_id, kind, execution=execution, facts=facts)

    def buy(self, qty: str = "0.01", price: str = "60000", **changes: Any) -> str:
        """Enter and fill; return the client order id."""
        answer = self.plain(qty=qty, limit_price=price, **changes)
        assert answer.approval is not None, answer
        self.fill(f"c{self.orders}", qty, price, instrument_id=changes.get("instrument_id", BTC))
        return f"c{self.orders}"

    # ---- operators

    def prove(self, command: str, subject: str, operator: str, reason: str, command_id: str, /, **other: Any) -> Any:
        """Return an operator's signature over a command, or with `other` values over another one."""
        role, key = OPERATOR_KEYS[operator]
        epoch = other.pop("epoch", self.gate.state.holds.epoch)
        expires_ns = other.pop("expires_ns", self.now_ns + 30 * SECOND)
        signed = OperatorCommand(
            "demo", command, subject, operator, role, reason, command_id, self.gate.limits.hash, epoch, expires_ns
        )
        return OperatorProof(epoch, expires_ns, key.sign(replace(signed, **other).to_bytes()))

    # ---- looks

    def replayed(self) -> RiskGate:
        """Return a gate restored from what was journaled so far."""
        gate = self.new_gate(MemorySink())
        gate.restore(self.sink.records)
        return gate

    def levels(self) -> str:
        return self.gate.state.holds.system_level().name


def execd_id(strategy_id: str = "s1", sequence: int = 1) -> str:
    """Return a client order id as execd makes it."""
    return make_client_order_id(ClientOrderIdParts(strategy_code(strategy_id), 1, sequence), b"i" * 32)


def violations(answer: ApprovalAnswer) -> dict[str, str]:
    """Return check id -> reason of every violation."""
    return {result.check_id: result.reason for result in answer.violations}
