"""Everything riskd must not forget, as a fold of its journal records. Live and replay run the same code on the same
records, so a restart ends where the last process stood; no check is ever run again.
"""

from __future__ import annotations

import hashlib
from collections import deque
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Final

from riskd.clock_trust import BootTime
from riskd.control_book import ControlBook
from riskd.exposure import Commitments, Cover, Parent, TrackedOrder
from riskd.eye_book import DRIFTS, EyeBook
from riskd.grant_book import GrantBook
from riskd.guard_book import GuardBook
from riskd.holds import HoldBook
from riskd.limits import Limits, parse_limits
from riskd.limits_file import LimitsBook
from riskd.losses import fresh_state
from riskd.open_risk import Holding, OpenRisk, stop_ppm
from riskd.order_flow import OrderFlow
from riskd.portfolio import UNATTRIBUTED, BookedFill, Portfolio
from riskd.rates import NS_PER_MIN, NS_PER_S, SYSTEM, RateBuckets, amends_of
from riskd.records import (
    AccountSeen,
    ClustersSeen,
    Command,
    ControlTested,
    DayBaseline,
    DecisionRecord,
    DrillDone,
    EquityPeak,
    EquitySample,
    EyesBaseline,
    EyesStarted,
    FlattenState,
    GrantRenewed,
    GuardReset,
    HoldCleared,
    HoldRaised,
    HoldRetimed,
    InstrumentsSeen,
    JournalCheckpoint,
    KillSaga,
    LedgerSeen,
    LimitsChanged,
    LimitsLoaded,
    LossGuardState,
    MarginsSeen,
    MoneyMoved,
    OrderEventSeen,
    OrderLog,
    Record,
    ReduceIssued,
    Release,
    Settlement,
    SoftCapState,
    Started,
    StopLatched,
)
from riskd.repetition import Repetition
from riskd.rules import MAX_RULES, InstrumentRule, is_operator, make_rule
from riskd.saga_book import SagaBook
from riskd.settings import Settings, make_settings
from riskd.units import UNIT, to_units_floor
from tradebot.core.approvals import CheckOutcome, GrantTerms, VenueAction, Verdict
from tradebot.core.errors import ConfigError, InvariantError
from tradebot.core.instruments import Instrument, rules_hash
from tradebot.core.orders import Execution, OrderEventKind, OrderRole, OrderState, OrderTerms, Side

MAX_SEEN_INTENTS: Final = 200_000
"""Intent ids remembered for AUT-04; older ones are refused by their sequence or their age."""
MAX_SENDERS: Final = 20_000
"""(strategy, incarnation) pairs whose last sequence is remembered."""
MAX_COMMANDS: Final = 2_000
MAX_REDUCES: Final = 5_000
WANTED_ROLES: Final = frozenset({OrderRole.ENTRY, OrderRole.EXIT})
"""Of orders that a strategy or an operator wanted; the others follow from them."""
_REFUSED: Final = Verdict.BLOCK.value
_ENTRY: Final = OrderRole.ENTRY.value
_REPLACE: Final = VenueAction.REPLACE.value
_BLOCKED: Final = CheckOutcome.BLOCK.value
ROLES: Final = {role.wire: role for role in OrderRole}
SIDES: Final = {side.wire: side for side in Side}
NO_TYPES: Final[frozenset[str]] = frozenset()


@dataclass(slots=True)
class EventOutcome:
    """What one order event changed, for the gate to react to."""

    order: TrackedOrder | None
    booked: BookedFill | None
    anomaly: str = ""


class RiskState:
    """The fold."""

    def __init__(self, limits: Limits, settings: Settings) -> None:
        self.limits = self.file_limits = limits
        self.limits_book = LimitsBook()
        self.settings = settings
        self.prefix = ""
        self.started_ns = 0
        """When the last life began, by its clock."""
        self.boot = BootTime()
        """Time since boot at that moment."""
        self.decisions = 0
        """Decisions of this start; numbers their ids."""
        self.approvals = 0
        """Asks allowed since this state began."""
        self.refusals = 0
        self.instruments: list[Instrument] = []
        self.rules: dict[str, InstrumentRule] = {}
        self.rules_hashes: dict[str, str] = {}
        """Venue -> hash over its instruments' rules."""
        self.order_log = ""
        """Incarnation of execd's log; empty = never seen."""
        self.applied = 0
        """Last order event that was folded."""
        self.seen_intents: dict[str, None] = {}
        self.sequences: dict[tuple[str, str], int] = {}
        self.rates = RateBuckets()
        self.repetition = Repetition()
        self.flow = OrderFlow()
        self.open_risk = OpenRisk()
        self.controls = ControlBook()
        self.commitments = Commitments()
        self.commitments.fee_ppm = settings.fee_ppm or 0
        self.portfolio = Portfolio()
        self.holds = HoldBook()
        self.loss = fresh_state(settings.loss)
        self.guards = GuardBook()
        self.eyes = EyeBook()
        self.kills = SagaBook()
        self.soft_caps: dict[tuple[str, str], SoftCapState] = {}
        """Exceeded ones, by (cap, key)."""
        self.clusters: tuple[tuple[str, ...], ...] = ()
        """Instruments that move together."""
        self.grants = GrantBook()
        self.flattens: dict[str, FlattenState] = {}
        """Unfinished ones."""
        self.flatten_count = 0
        self.reduces: dict[str, ReduceIssued] = {}
        self.reduce_count = 0
        self.commands: dict[str, Command] = {}
        self.pending_latches: dict[str, StopLatched] = {}
        """Stops whose hold is not raised yet: the process died in between."""
        self.audit: deque[Command] = deque(maxlen=MAX_COMMANDS)

    def apply(self, record: Record) -> EventOutcome | None:
        """Fold one record. Returns what an order event did, None for everything else."""
        match record:
            case DecisionRecord():
                self._decision(record)
            case OrderEventSeen():
                return self._order_event(record)
            case AccountSeen():
                self.portfolio.take_snapshot(record.snapshot)
                self.portfolio.move_start(to_units_floor(record.transfer_value))
                self.guards.move(to_units_floor(record.transfer_value))
            case LedgerSeen(entry=entry, worth=worth):
                self.guards.move(self.portfolio.take_entry(entry, to_units_floor(worth), self.rules))
            case MoneyMoved(amounts=amounts, worth=worth):
                for venue, asset, delta in amounts:
                    self.portfolio.wallets.settle(venue, asset, to_units_floor(delta))
                self.portfolio.move_start(to_units_floor(worth))
                self.guards.move(to_units_floor(worth))
            case MarginsSeen(accounts=accounts, positions=margins):
                self.portfolio.take_margins(accounts, margins)
            case DayBaseline(net=net):
                self.portfolio.take_baseline(net)
            case Release():
                self._release(record)
            case HoldRaised(hold=hold, epoch=epoch):
                self.holds.apply_raise(hold, epoch)
                self.pending_latches.pop(hold.latch_id, None)
                self.guards.hold_raised(hold)
                self.controls.held(hold)
                if hold.cause == "PNL-06":
                    streak = self.portfolio.streak(hold.scope)
                    streak.acted = streak.losses_in_row
            case HoldCleared(hold_id=hold_id, epoch=epoch):
                self.holds.apply_clear(hold_id, epoch)
                self.kills.hold_cleared(hold_id, record.time_ns)
                self.guards.hold_cleared(record.hold, record.operator, record.time_ns)
                self.eyes.hold_cleared(record.hold, record.operator)
                self.limits_book.hold_cleared(record.hold, record.operator)
                if record.hold is not None and record.operator != "riskd":
                    if record.hold.cause in DRIFTS:
                        self.portfolio.wallets.accept(record.hold.scope.name)
                    if record.hold.cause == "PNL-06":
                        self.portfolio.streak(record.hold.scope).begin_streak()
                    elif record.hold.cause == "RAT-06":
                        self.flow.begin_again(record.hold.scope.name)
            case HoldRetimed(hold_id=hold_id):
                self.holds.apply_retime(hold_id, record.until_ns, record.clear_after_ns)
            case Command():
                self._command(record)
            case Settlement():
                self.portfolio.settle(record.day, to_units_floor(record.start_equity))
                self.guards.settle(record.day, to_units_floor(record.start_equity), record.time_ns)
            case LossGuardState():
                self.loss = record
            case EquityPeak(equity=equity):
                self.portfolio.peak = to_units_floor(equity)
            case EquitySample(equity=equity, time_ns=time_ns):
                self.guards.sample(to_units_floor(equity), time_ns)
            case GuardReset(cause=cause, equity=equity, time_ns=time_ns):
                self.guards.reset(cause, to_units_floor(equity), time_ns)
            case SoftCapState(cap=cap, key=key):
                if record.since_ns:
                    self.soft_caps[cap, key] = record
                else:
                    self.soft_caps.pop((cap, key), None)
            case ClustersSeen(clusters=clusters):
                self.clusters = tuple(tuple(cluster) for cluster in clusters)
            case LimitsChanged():
                self._change_limits(record)
            case LimitsLoaded():
                self.limits_book.loaded(record)
                self._use(self.file_limits)
            case JournalCheckpoint(time_ns=time_ns):
                self.guards.stand(time_ns)  # proves the journal, changes nothing else
            case ControlTested():
                self.controls.tested(record)
            case KillSaga():
                self.kills.apply(record)
            case DrillDone():
                self.kills.last_drill = record
                self.controls.drilled(record.time_ns, record.evidence)
            case FlattenState():
                self._flatten(record)
            case ReduceIssued():
                self.reduce_count += 1
                self.reduces[record.reduce_id] = record
                _bound(self.reduces, MAX_REDUCES)
            case GrantRenewed(terms=terms):
                self._grant_begins(terms)
            case EyesStarted(epoch=epoch):
                self.eyes.epoch = epoch
            case EyesBaseline():
                self.eyes.take_baseline(record)
            case InstrumentsSeen(instruments=instruments):
                self._set_instruments(instruments)
            case OrderLog(incarnation=incarnation, applied=applied):
                if incarnation != self.order_log:
                    self.portfolio.restart_order_log()
                self.order_log, self.applied = incarnation, applied
                self.eyes.session_began(applied, record.head)
            case StopLatched(latch=latch):
                if self.holds.find_latch(latch.latch_id) is None and latch.latch_id not in self.holds.cleared_latches:
                    self.pending_latches[latch.latch_id] = record
            case Started(prefix=prefix):
                self.prefix, self.decisions, self.started_ns = prefix, 0, record.time_ns
                self.eyes.started(self.guards.last_ns, record.time_ns)
                self.guards.start(record.time_ns)
                self.started_ns, self.boot = record.time_ns, BootTime(record.boot_id, record.since_boot_ns)
            case _:
                raise InvariantError(f"no fold for {type(record).__name__}")
        return None

    def digest(self) -> str:
        """Return a hash over everything folded; equal states have equal digests."""
        commitments, portfolio, holds = self.commitments, self.portfolio, self.holds
        parts: list[object] = [
            (self.prefix, self.started_ns, self.boot),
            (self.decisions, self.approvals, self.refusals),
            [(repr(replace(i, order_types=NO_TYPES)), sorted(i.order_types)) for i in self.instruments],
            self.order_log,
            self.applied,
            sorted(self.seen_intents),
            sorted(self.sequences.items()),
            sorted(self.rates.full_at.items()),
            self.repetition.digest(),
            self.flow.digest(),
            self.open_risk.digest(),
            self.controls.digest(),
            [_order_line(k, o) for k, o in sorted(commitments.orders.items())],
            [_order_line(k, o) for k, o in sorted(commitments.ended.items())],
            [(k, p.qty, p.closed, p.reserved, p.children) for k, p in sorted(commitments.parents.items())],
            sorted((k, c.buy, c.sell, c.entries) for k, c in commitments.by_instrument.items()),
            sorted(commitments.by_asset.items()),
            sorted(commitments.entry_value.items()),
            sorted(commitments.entry_risk.items()),
            sorted(commitments.strategy_entries.items()),
            commitments.working.digest(),
            sorted((i, s, side.value, v) for (i, s, side), v in commitments.closing.items()),
            sorted((k, repr(p)) for k, p in portfolio.positions.items()),
            sorted(portfolio.net.items()),
            sorted(portfolio.balances.items()),
            (portfolio.day, portfolio.day_start, portfolio.peak, portfolio.turnover),
            sorted(portfolio.unconverted_fees.items()),
            portfolio.money_digest(),
            [repr(h) for h in holds.holds.values()],
            (holds.epoch, holds.raised_count, [(repr(s), e) for s, e in holds.fences.items()]),
            list(holds.cleared_latches),
            self.loss,
            [_grant_line(grant) for grant in self.grants],
            sorted(self.grants.remnants.items()),
            sorted(self.flattens.items()),
            sorted(self.reduces),
            (self.flatten_count, self.reduce_count),
            list(self.commands),
            sorted(self.pending_latches),
            self.guards.digest(),
            self.eyes.digest(),
            sorted(self.soft_caps.items()),
            self.clusters,
            self.kills.digest(),
            self.limits.hash,
            self.limits_book,
        ]
        return hashlib.sha256(repr(parts).encode()).hexdigest()

    # ---- folds

    def _set_instruments(self, instruments: list[Instrument]) -> None:
        if len(instruments) > MAX_RULES:
            raise InvariantError(f"{len(instruments)} instruments, more than {MAX_RULES}")
        self.instruments = instruments
        for venue in {instrument.venue for instrument in instruments}:
            self.rules_hashes[venue] = rules_hash(one for one in instruments if one.venue == venue)
        for instrument in instruments:  # those that are gone keep their rule: positions and late fills need it
            try:
                self.rules[instrument.instrument_id] = make_rule(instrument, self.limits)
            except ArithmeticError as exc:
                raise ConfigError(f"{instrument.instrument_id}: a step has more than 12 decimals; drop it") from exc

    def _change_limits(self, record: LimitsChanged) -> None:
        self.holds.apply_limits(record.epoch, fences=record.fences)
        self.limits_book.changed(record)
        if record.base_hash == self.limits.hash:  # else the file was edited since: it is what the operator wants now
            self._use(parse_limits(record.text))

    def _use(self, limits: Limits) -> None:
        if limits is self.limits:
            return
        self.limits = limits
        self.settings = make_settings(self.limits)
        self.commitments.fee_ppm = self.settings.fee_ppm or 0
        for rule in list(self.rules.values()):  # those of instruments that are gone too
            self.rules[rule.instrument_id] = make_rule(rule.instrument, self.limits)

    def _decision(self, record: DecisionRecord) -> None:
        self.decisions += 1
        self.guards.stand(record.time_ns)
        if record.parent and record.incarnation:
            self.seen_intents[record.intent_id] = None
            _bound(self.seen_intents, MAX_SEEN_INTENTS)
            sender = (record.strategy_id, record.incarnation)
            self.sequences[sender] = max(record.intent_sequence, self.sequences.pop(sender, 0))
            _bound(self.sequences, MAX_SENDERS)
        if record.verdict == _REFUSED:
            self.refusals += 1
            self.controls.refused(record.decision_id, record.checks, _BLOCKED, record.time_ns)
            return
        self.approvals += 1
        role, side = ROLES[record.role], SIDES[record.side]
        qty, price = to_units_floor(record.approved_qty), to_units_floor(record.reserve_price)
        if record.parent and role is OrderRole.ENTRY:
            self.guards.entered(record.instrument_id, record.time_ns)
            self.repetition.entered((record.strategy_id, record.instrument_id, side, qty, price), record.time_ns)
            if not is_operator(record.strategy_id):
                self.flow.entered((record.strategy_id, record.instrument_id, side.sign), record.time_ns)
        if record.parent:
            parent = Parent(
                record.intent_id,
                record.strategy_id,
                record.instrument_id,
                record.venue,
                side,
                role,
                qty,
                price,
                record.time_ns,
                record.stop_loss,
                record.take_profit,
                stop_ppm(record.stop_loss),
            )
            self.commitments.approve_parent(parent, self.rules, reserve=not record.message)
        if record.message and record.asked is not None:
            mid, half_spread = _touch(record) if role is OrderRole.ENTRY else (0, 0)
            order = TrackedOrder(
                state=OrderState(_with_qty(record.asked, record.approved_qty)),
                instrument_id=record.instrument_id,
                venue=record.venue,
                strategy_id=record.strategy_id,
                intent_id=record.intent_id,
                role=role,
                side=side,
                qty=qty,
                price=price,
                session_id=record.session_id,
                decision_id=record.decision_id,
                ask_id=record.ask_id,
                reduce_id=record.reduce_id,
                stop_ppm=self._stop_of(record),
                approved_ns=record.time_ns,
                began_ns=record.time_ns,
                mid=mid,
                half_spread=half_spread,
            )
            order.approved_terms = order.state.terms
            self.commitments.approve_order(order, self.rules)
            self._take_tokens(record)
            if role in WANTED_ROLES:
                self.flow.ordered(record.strategy_id, record.time_ns)
        if record.grant is not None:
            self._grant_begins(record.grant)

    def _stop_of(self, record: DecisionRecord) -> int:
        """Return the distance of an entry's stop; it stands with its parent."""
        parent = self.commitments.parents.get(record.intent_id)
        return stop_ppm(record.stop_loss) if parent is None else parent.stop_ppm

    def ended_grant(self, entry_client_order_id: str) -> GrantTerms | None:
        """Return the grant that ended with an entry or its position; the order may be over in name only."""
        order = self.commitments.ended.get(entry_client_order_id)
        return None if order is None else order.ended_grant

    def _grant_begins(self, grant: GrantTerms) -> None:
        self.open_risk.protect(_holding(grant), grant.entry_client_order_id, stop_ppm(grant.stop_loss_fraction))
        self.eyes.granted(grant)
        self._grant_ended(self.grants.put(grant))
        entry = self.commitments.ended.get(grant.entry_client_order_id)
        if entry is not None:
            entry.ended_grant = None

    def _grant_ended(self, grant: GrantTerms | None) -> None:
        if grant is not None:
            self.open_risk.unprotect(_holding(grant), grant.entry_client_order_id)

    def _take_tokens(self, record: DecisionRecord) -> None:
        if record.role != _ENTRY:
            return
        settings, now_ns = self.settings, record.time_ns
        if record.action == _REPLACE and settings.orders.amends_per_second is not None:
            self.rates.take(amends_of(record.strategy_id), settings.orders.amends_per_second, NS_PER_S, now_ns)
        for owner, per, period in (
            (record.strategy_id, settings.strategy_per_second, NS_PER_S),
            (record.strategy_id, settings.strategy_per_minute, NS_PER_MIN),
            (SYSTEM, settings.system_per_second, NS_PER_S),
        ):
            if per is not None:
                self.rates.take(owner, per, period, now_ns)

    def _order_event(self, record: OrderEventSeen) -> EventOutcome:
        event = record.event
        self.applied = event.sequence
        found = self.commitments.apply(event, self.rules)
        order, anomaly = (None, f"order {event.client_order_id} is unknown") if found is None else found
        if order is not None and order.approved_terms is None and order.cover is Cover.NONE and event.facts is not None:
            grant = self.grants.get(event.facts.protects_client_order_id)
            order.cover = self.eyes.cover(event.facts, event.receive_time_ns, grant)
        self.eyes.log_read(event.sequence)
        execution = event.execution
        if execution is not None and order is not None and self.settings.orders.sane_fills:
            anomaly = anomaly or _fill_problem(order, execution)
        booked = None
        if execution is not None and execution.instrument_id in self.rules:
            booked = self.portfolio.book(
                execution,
                self.rules[execution.instrument_id],
                UNATTRIBUTED if order is None else self.owner_of(order),
                OrderRole.EXIT if order is None else order.role,
                event.sequence,
                record.fee_quote,
                event.receive_time_ns,
            )
        if booked is not None and execution is not None:
            for strategy_id in booked.strategies:
                self.open_risk.touch((execution.instrument_id, strategy_id))
            if booked.lost:
                self.guards.lost(execution.instrument_id, event.receive_time_ns)
        if order is not None and order.role in WANTED_ROLES and booked is not None:
            self.flow.traded(order.strategy_id, event.receive_time_ns)
        if order is not None and event.kind is OrderEventKind.ACCEPTED and order.approved_ns:
            self.flow.acknowledged(event.receive_time_ns - order.approved_ns, event.receive_time_ns)
            order.approved_ns = 0
        if booked is not None and execution is not None and order is not None and order.mid:
            qty, price = to_units_floor(execution.qty), to_units_floor(execution.price)
            paid = (price - order.mid) * order.side.sign * qty // UNIT
            fill = (paid, order.half_spread * qty // UNIT, order.mid * qty // UNIT)
            self.flow.filled(order.strategy_id, fill)
        if event.kind is OrderEventKind.REFUSED and event.check_id:
            self.controls.refused_by_execd(
                event.check_id, event.client_order_id, event.reason, event.detail, event.receive_time_ns
            )
        if order is not None and event.kind is OrderEventKind.REJECTED:
            self.flow.rejected(order.strategy_id, order.venue, event.receive_time_ns)
        if booked is not None and order is not None and order.ended_grant is not None:
            self._grant_begins(order.ended_grant)
        if order is not None and order.is_over:
            self._drop_grants(order, booked)
        return EventOutcome(order, booked, anomaly)

    def owner_of(self, order: TrackedOrder) -> str:
        """Return the strategy whose position an order's fills belong to."""
        command = self.reduces.get(order.reduce_id)
        return order.strategy_id if command is None or not command.strategy_id else command.strategy_id

    def _drop_grants(self, order: TrackedOrder, booked: BookedFill | None) -> None:
        """A grant ends with an entry that never filled, and with the position that it protected."""
        if order.role is OrderRole.ENTRY and not order.filled:
            self._set_grant_aside(order.state.terms.client_order_id)
        for strategy_id in () if booked is None else booked.strategies:
            at = (order.instrument_id, strategy_id)
            left = self.portfolio.units_of(*at)
            if abs(left) > self.rules[order.instrument_id].dust_qty:
                continue
            for key in self.grants.entries_of(*at):
                if key not in self.commitments.orders:
                    self._set_grant_aside(key)
            if not self.grants.entries_of(*at):
                self.grants.ended(at, left)

    def _set_grant_aside(self, entry_client_order_id: str) -> None:
        """Nothing is left to protect; a late fill of the entry brings the grant back."""
        grant = self.grants.drop(entry_client_order_id)
        self._grant_ended(grant)
        entry = self.commitments.ended.get(entry_client_order_id)
        if entry is not None:
            entry.ended_grant = grant or entry.ended_grant

    def _release(self, record: Release) -> None:
        if record.client_order_id:
            order = self.commitments.end(record.client_order_id, record.time_ns, self.rules)
            if order is not None and not order.filled:
                self._set_grant_aside(record.client_order_id)
        else:
            self.commitments.close_parent(record.intent_id, self.rules)

    def _command(self, record: Command) -> None:
        self.audit.append(record)
        self.commands[record.command_id] = record
        _bound(self.commands, MAX_COMMANDS)
        self.kills.commanded(record)

    def _flatten(self, record: FlattenState) -> None:
        if record.flatten_id not in self.flattens:
            self.flatten_count += 1
        if record.next_ns:
            self.flattens[record.flatten_id] = record
        else:
            self.flattens.pop(record.flatten_id, None)


def _touch(record: DecisionRecord) -> tuple[int, int]:
    """Return (mid, half spread) that an entry was approved at, as MKT-03 saw them; zeros when it did not run."""
    for check_id, _, _, bid, ask in record.checks:
        if check_id == "MKT-03":
            low, high = int(bid), int(ask)
            return (low + high) // 2, (high - low) // 2
    return 0, 0


def _fill_problem(order: TrackedOrder, execution: Execution) -> str:
    """Return what is wrong with a fill beside its quantity (PTR-02), empty when nothing is."""
    terms = order.state.terms
    if execution.side is not terms.side or execution.instrument_id != terms.instrument_id:
        told = f"{execution.side.name} {execution.instrument_id}"
        return f"order {terms.client_order_id}: {terms.side.name} {terms.instrument_id} was filled as {told}"
    if terms.price is not None and (execution.price - terms.price) * terms.side.sign > 0:
        return f"order {terms.client_order_id}: filled at {execution.price}, its limit is {terms.price}"
    return ""


def _bound(table: dict, most: int) -> None:  # type: ignore[type-arg]
    """Forget the oldest entries of an insertion-ordered dict."""
    while len(table) > most:
        del table[next(iter(table))]


def _with_qty(terms: OrderTerms, qty: Decimal) -> OrderTerms:
    if terms.qty == qty:
        return terms
    return OrderTerms(
        terms.client_order_id,
        terms.instrument_id,
        terms.side,
        terms.order_type,
        qty,
        terms.price,
        terms.stop_price,
        terms.time_in_force,
        terms.post_only,
        terms.reduce_only,
        terms.expire_time_ns,
    )


def _holding(grant: GrantTerms) -> Holding:
    return grant.instrument_id, grant.strategy_id


def _grant_line(grant: GrantTerms) -> tuple[object, ...]:
    return (repr(replace(grant, order_types=frozenset())), sorted(kind.name for kind in grant.order_types))


def _order_line(key: str, order: TrackedOrder) -> tuple[object, ...]:
    return (
        key,
        order.state.status.name,
        order.qty,
        order.filled,
        order.leaves,
        order.counted,
        order.seen,
        order.role,
        order.cover.name,
        None if order.ended_grant is None else _grant_line(order.ended_grant),
    )
