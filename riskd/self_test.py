"""The limits self-test: each enforced check is given something that it must refuse, and an ordinary order beside it.

Runs at every start and after every change of limits, on a gate of its own with the limits in force, an imagined market
and no journal. A check passes when it refuses its probe and lets the ordinary order pass. What watches the account all
the time (PNL-02 to 07 and 09, POS-14, PTR) has no probe here.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from decimal import Decimal
from typing import Any, Final

from riskd.base_limits import ANY, Enforced
from riskd.catalogue import CATALOGUE
from riskd.control_book import SELF_TEST
from riskd.dependency_watch import WATCHED
from riskd.gate import RiskGate, Signer
from riskd.holds import OPERATOR_CAUSE
from riskd.journal_watch import JournalHealth
from riskd.limits import Limits
from riskd.order_limits import OrderQty, RejectRate, RepeatedExecution, VenueExposure
from riskd.rates import NS_PER_MIN, NS_PER_S
from riskd.records import DrillDone, MemorySink
from tradebot.core.accounts import AccountSnapshot, Balance, PositionMargin, VenueStatus
from tradebot.core.approvals import ApprovalAnswer, ApprovalAsk, ApproveOrder, SessionHello, SessionUp, VenueAction
from tradebot.core.ids import ClientOrderIdParts, make_client_order_id, strategy_code
from tradebot.core.instruments import Instrument, InstrumentStatus, PriceBand, Product, rules_hash
from tradebot.core.intents import OrderIntent, ProtectionPlan
from tradebot.core.levels import SYSTEM_SCOPE, ReleaseRule, TradingLevel
from tradebot.core.market import BUY_FLAG, LAST_FLAG, SELL_FLAG, BookState, MarketRow, RowColumns, RowKind
from tradebot.core.orders import OrderRole, OrderTerms, OrderType, Side, TimeInForce

PRICE: Final = Decimal(100)
DEEP: Final = 10**8
"""Lots at the best, and traded in a second."""
CASH: Final = Decimal(10_000)
ELSEWHERE: Final = "selftest-elsewhere"
MOST_REPEATS: Final = 10_000
"""A limit above it is not probed: reaching it would take too long."""
_WHOLE_PCT: Final = 100
_FAR: Final = 10**18
_LATE_NS: Final = 4 * 10**18
"""A date in another century."""
_DAY_NS: Final = 86_400 * NS_PER_S
_LARGEST: Final = Decimal(10) ** 10


class ProbeWorld:
    """A gate with one market at 100, 10,000 of cash, and everything in order."""

    def __init__(self, limits: Limits) -> None:
        self.now_ns = 20_000 * _DAY_NS
        self.limits = limits
        self.instrument = _instrument(limits)
        self.strategy_id = next((name for name in limits.file.strategies if ":" not in name and name != ANY), "probe")
        self._asks = 0
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
        if isinstance(limits.checks.get("POS-08"), Enforced):  # most of the money lies elsewhere
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

    # ---- asks

    def ask(self, *, alone: bool = False, action: VenueAction = VenueAction.NEW, **changes: Any) -> frozenset[str]:
        """Ask for an ordinary order with changes (`terms_*` of the message only); return the checks that object."""
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
        answer = self.say(asks=[ApprovalAsk(self._asks, self.now_ns, None if alone else intent, order)])[0]
        return frozenset(result.check_id for result in (*answer.violations, *answer.soft_hits))

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


# ---- probes: a world in order becomes one in which the named checks must object

Probe = Callable[[ProbeWorld], frozenset[str] | None]
"""Returns the checks that object; None = the limits are so wide that it cannot be tried."""


def _huge(w: ProbeWorld) -> frozenset[str]:
    for number in range(100):
        w.gate.state.repetition.entered((w.strategy_id, w.instrument.instrument_id, Side.BUY, 10**11, number), 0)
    return w.ask(qty=_LARGEST)


def _clustered(w: ProbeWorld) -> frozenset[str]:
    w.gate.state.clusters = ((w.instrument.instrument_id, ELSEWHERE),)
    return w.ask(qty=_LARGEST)


def _cautious(w: ProbeWorld) -> frozenset[str]:
    _hold(w, TradingLevel.CAUTIOUS)
    return w.ask(qty=_LARGEST)


def _hold(w: ProbeWorld, level: TradingLevel) -> None:
    w.gate.keeper.raise_(level, SYSTEM_SCOPE, OPERATOR_CAUSE, ReleaseRule.ONE_KEY, w.now_ns, "probe")


def _held(w: ProbeWorld) -> frozenset[str]:
    _hold(w, TradingLevel.REDUCE_ONLY)
    return w.ask()


def _duplicate(w: ProbeWorld) -> frozenset[str]:
    w.ask(intent_id="twice")
    return w.ask(intent_id="twice")


def _repeated(w: ProbeWorld) -> frozenset[str]:
    w.ask()
    return w.ask()


def _unregistered(w: ProbeWorld) -> frozenset[str] | None:
    return None if ANY in w.limits.file.strategies else w.ask(strategy_id="nobody-knows-me")


def _other_build(w: ProbeWorld) -> frozenset[str]:
    w.gate.session.build = "other"
    return w.ask()


def _settings(**changes: Any) -> Probe:
    def probe(w: ProbeWorld) -> frozenset[str]:
        books = w.gate.decider.books
        books.settings = replace(books.settings, **changes)
        return w.ask()

    return probe


def _denied(w: ProbeWorld) -> frozenset[str]:
    return _settings(deny=frozenset({w.instrument.instrument_id}))(w) or frozenset()


def _status(**changes: Any) -> Probe:
    def probe(w: ProbeWorld) -> frozenset[str]:
        w.status(**changes)
        return w.ask()

    return probe


def _halted(w: ProbeWorld) -> frozenset[str]:
    w.hello(status=InstrumentStatus.HALTED)
    w.status()
    return w.ask()


def _levered(w: ProbeWorld) -> frozenset[str]:
    w.hello(product=Product.LINEAR_PERPETUAL)
    w.status()
    w.say(position_margins=[PositionMargin(w.instrument.instrument_id, Decimal(1), None, Decimal(0), False, w.now_ns)])
    return w.ask(qty=_LARGEST, protection=ProtectionPlan(Decimal("0.5")))


def _working(w: ProbeWorld) -> frozenset[str]:
    book, names = w.gate.state.commitments.working, (w.instrument.instrument_id, w.instrument.venue)
    for name in names:
        book.unknown[name] = book.count[name] = _FAR
    book.add(names[0], names[1], Side.SELL, 1)
    return w.ask()


def _unwatched(w: ProbeWorld) -> frozenset[str]:
    w.gate.board.trails.clear()
    return w.ask()


def _never_drilled(w: ProbeWorld) -> frozenset[str]:
    w.gate.state.kills.last_drill = None
    return w.ask()


def _old(w: ProbeWorld) -> frozenset[str]:
    w.now_ns += 2 * _DAY_NS
    return w.ask()


def _book(bid: str, ask: str, state: BookState = BookState.LIVE) -> Probe:
    def probe(w: ProbeWorld) -> frozenset[str]:
        w.quote(Decimal(bid), Decimal(ask), state)
        return w.ask()

    return probe


class AskProbe:
    """A probe that is nothing but an ask: it leaves the world as it is, so many of them share one."""

    def __init__(self, **changes: Any) -> None:
        self._changes = changes

    def __call__(self, w: ProbeWorld) -> frozenset[str]:
        return w.ask(**self._changes)


def _all_here(w: ProbeWorld) -> frozenset[str] | None:
    rule = w.limits.enforced("POS-08", VenueExposure)
    if rule is None or rule.hard_pct >= _WHOLE_PCT:
        return None
    w.gate.state.portfolio.balances[ELSEWHERE, w.limits.file.currency] = 0
    w.gate.accountant.forget_equity()
    return w.ask()


def _crowded(w: ProbeWorld) -> frozenset[str]:
    for number in range((w.gate.settings.max_positions or 0) + 1):
        w.gate.state.commitments.by_instrument[f"{number}"].entries = 1
    return w.ask()


def _fast(w: ProbeWorld) -> frozenset[str]:
    rates = w.gate.state.rates
    for owner in (w.strategy_id, "", f"{w.strategy_id} amends"):
        rates.full_at[owner, NS_PER_S] = rates.full_at[owner, NS_PER_MIN] = w.now_ns + _FAR
    return w.ask(action=VenueAction.REPLACE)


def _refused_often(w: ProbeWorld) -> frozenset[str] | None:
    rule = w.limits.enforced("RAT-05", RejectRate)
    times = 0 if rule is None else rule.strategy_per_minute + 1
    if times > MOST_REPEATS:
        return None
    for _ in range(times):
        w.gate.state.flow.rejected(w.strategy_id, w.instrument.venue, w.now_ns)
    return w.ask()


def _again_and_again(w: ProbeWorld) -> frozenset[str] | None:
    rule = w.limits.enforced("RAT-06", RepeatedExecution)
    times = 0 if rule is None else rule.max_entries
    if times > MOST_REPEATS:
        return None
    for _ in range(times):
        w.gate.state.flow.entered((w.strategy_id, w.instrument.instrument_id, 1), w.now_ns)
    return w.ask()


def _chatty(w: ProbeWorld) -> frozenset[str] | None:
    rule = w.gate.settings.orders.order_to_trade
    times = 0 if rule is None else max(rule.max_ratio, rule.min_orders)
    if times > MOST_REPEATS:
        return None
    for _ in range(times):
        w.gate.state.flow.ordered(w.strategy_id, w.now_ns)
    return w.ask()


def _lost(w: ProbeWorld) -> frozenset[str]:
    w.gate.state.portfolio.day_start = 10**12 * int(CASH) * 100
    return w.ask()


PROBES: Final[tuple[tuple[Probe, tuple[str, ...]], ...]] = (
    (_huge, ("STA-08", "MKT-06", "SPC-03", "SPC-04", "SIZ-01", "SIZ-02", "SIZ-03", "SIZ-04", "SIZ-05", "POS-01",
             "POS-02", "POS-04", "POS-05", "POS-06", "POS-09", "POS-11", "POS-12", "POS-13", "RAT-10")),
    (_clustered, ("POS-07",)),
    (_levered, ("PRC-06", "POS-10")),
    (_cautious, ("SIZ-07",)),
    (AskProbe(limit_price=Decimal("1000.005")), ("SPC-01", "SPC-07", "PRC-01")),
    (AskProbe(qty=Decimal("0.000001")), ("SPC-02",)),
    (AskProbe(strength=Decimal(2)), ("AUT-01",)),
    (_unregistered, ("AUT-02",)),
    (AskProbe(created_time_ns=1), ("AUT-03",)),
    (_duplicate, ("AUT-04",)),
    (_other_build, ("AUT-05",)),
    (_status(clock_offset_ns=10 * _DAY_NS), ("AUT-06",)),
    (_settings(undefined_checks=1), ("AUT-07",)),
    (_held, ("STA-01",)),
    (AskProbe(role=OrderRole.EXIT, side=Side.SELL), ("STA-02",)),
    (_status(private_stream_live=False), ("STA-03",)),
    (AskProbe(protection=ProtectionPlan(None, Decimal("0.01"))), ("SPC-08",)),
    (AskProbe(time_in_force=TimeInForce.GTD, expire_time_ns=_LATE_NS), ("SPC-09",)),
    (_status(rules_hash="another"), ("SPC-10",)),
    (_halted, ("STA-04",)),
    (_denied, ("STA-05",)),
    (_working, ("STA-06", "RAT-08", "RAT-09")),
    (_unwatched, ("STA-07",)),
    (_never_drilled, ("STA-09",)),
    (_old, ("MKT-01",)),
    (_book("99.99", "100.01", BookState.GAP), ("MKT-02",)),
    (_book("100.01", "100", BookState.LIVE), ("MKT-03",)),
    (_book("50", "150"), ("MKT-04",)),
    (_book("90000", "90000.01"), ("MKT-05", "MKT-07", "PRC-02")),
    (AskProbe(qty=_LARGEST, limit_price=2 * PRICE), ("PRC-03",)),
    (AskProbe(expected_edge=Decimal(0)), ("PRC-08",)),
    (AskProbe(terms_order_type=OrderType.MARKET), ("SPC-05", "PRC-04")),
    (AskProbe(terms_client_order_id="mine"), ("SPC-06",)),
    (AskProbe(protection=ProtectionPlan()), ("PRC-05",)),
    (AskProbe(post_only=True, time_in_force=TimeInForce.GTC, limit_price=Decimal("100.01")), ("PRC-07",)),
    (AskProbe(alone=True), ("SIZ-06",)),
    (_crowded, ("POS-03",)),
    (_all_here, ("POS-08",)),
    (_fast, ("RAT-01", "RAT-02")),
    (_status(rate_used_pct=1000.0), ("RAT-03",)),
    (_chatty, ("RAT-04",)),
    (_refused_often, ("RAT-05",)),
    (_again_and_again, ("RAT-06",)),
    (_repeated, ("RAT-07",)),
    (_lost, ("PNL-01",)),
)  # fmt: skip


def self_test(limits: Limits) -> tuple[list[str], list[str]]:
    """Return (checks that refused what they must, checks that did not), catalogue order.

    The others prove nothing: no probe, a limit too wide to reach, or one that refuses the ordinary order too.
    """
    shared = ProbeWorld(limits)
    ordinary = shared.ask()
    passed: set[str] = set()
    failed: set[str] = set()
    for probe, check_ids in PROBES:
        wanted = {check_id for check_id in check_ids if isinstance(limits.checks.get(check_id), Enforced)}
        if not wanted:
            continue
        objected = probe(shared if isinstance(probe, AskProbe) else ProbeWorld(limits))
        if objected is not None:
            passed |= wanted & objected - ordinary
            failed |= wanted - objected
    order = [spec.check_id for spec in CATALOGUE]
    return sorted(passed, key=order.index), sorted(failed, key=order.index)
