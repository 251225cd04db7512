"""Positions, PnL, balances and equity, folded from executions, ledger entries and account snapshots.

Average-cost method in scaled integers (tradebot.core.pnl), per venue, instrument and strategy, in the asset that the
instrument pays in. Balances are the venue's, carried forward (riskd.wallets). Deposits and withdrawals move the day's
start and the peak along: they are no profit.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Final

from riskd.exposure import CLOSING_ROLES
from riskd.marks import MarketBoard
from riskd.round_trips import TripLog, TripStats
from riskd.rules import InstrumentRule
from riskd.strategy_position import StrategyPosition
from riskd.units import amount_floor, from_units, ratio_ppm, split, to_units_floor
from riskd.wallets import Wallets
from tradebot.core.accounts import TRANSFER_KINDS, AccountSnapshot, LedgerEntry, LedgerKind, MarginState, PositionMargin
from tradebot.core.levels import Scope, ScopeKind
from tradebot.core.orders import Execution, Liquidity, OrderRole, Side

MAX_EXECUTIONS: Final = 200_000
"""Executions remembered for deduplication; older ones lie before any reconciliation window."""
MAX_MARGINS: Final = 10_000
"""Margin accounts, and position margins, that are remembered."""
ZERO: Final = Decimal(0)
UNATTRIBUTED: Final = "unattributed"
"""Strategy of executions and payments that belong to no known order or position."""


@dataclass(frozen=True, slots=True)
class Equity:
    """Equity at one moment, account currency."""

    value: int
    """Units."""
    stale_inputs: int
    """Assets whose mark is older than asked for, or that have none."""
    complete: bool
    """False when an asset that has a market has no mark yet: the value is no input for a check."""
    venues: Mapping[str, int]
    """Venue -> what of it lies there, units."""


@dataclass(frozen=True, slots=True)
class BookedFill:
    """One execution as booked: which strategies it was booked to."""

    strategies: tuple[str, ...]
    realized: int
    """Units of settlement asset, before fees."""
    lost: bool
    """Whether it ended a round trip without a profit."""


class Portfolio:
    """The portfolio of all venues."""

    def __init__(self) -> None:
        self.positions: dict[tuple[str, str], StrategyPosition] = {}
        """(instrument, strategy) -> position; flat ones stay, they carry realized PnL."""
        self._derivatives: dict[tuple[str, str], StrategyPosition] = {}
        """Those of them whose open result is not in a balance."""
        self.moved: set[str] = set()
        """Instruments whose net changed since `ExposureSums` last looked. No part of the fold."""
        self.net: dict[str, int] = defaultdict(int)
        """Instrument -> signed units over all strategies."""
        self.trips: dict[str, TripLog] = defaultdict(TripLog)
        """Strategy -> its finished round trips."""
        self.all_trips = TripLog()
        """Those of all strategies together."""
        self.wallets = Wallets()
        self.balances = self.wallets.balances
        """(venue, asset) -> total in units."""
        self.snapshot_venues = self.wallets.snapshot_venues
        """Venues that sent a complete snapshot."""
        self.margins: dict[tuple[str, str], MarginState] = {}
        """(venue, asset) -> margin account as the venue computes it."""
        self.position_margins: dict[str, PositionMargin] = {}
        """Instrument -> the venue's leverage, liquidation price and margin."""
        self.income: dict[tuple[str, LedgerKind], int] = defaultdict(int)
        """(asset, kind) -> what the venues' ledgers moved, transfers included."""
        self._executions: dict[tuple[str, str], None] = {}
        self.day = -1
        self.day_start: int | None = None
        """Equity at 00:00 UTC or first start, corrected for transfers; None = not known yet."""
        self.day_net: dict[tuple[str, str], int] = {}
        """(instrument, strategy) -> PnL in account currency when the day began."""
        self.peak: int | None = None
        self.turned: dict[str, int] = defaultdict(int)
        """Quote asset -> notional of today's fills."""
        self.unconverted_fees: dict[str, Decimal] = defaultdict(Decimal)
        """Fees in third assets without a mark at the fill: shown, not guessed."""

    # ---- changes

    def book(
        self,
        execution: Execution,
        rule: InstrumentRule,
        strategy_id: str,
        role: OrderRole,
        sequence: int,
        fee_settle: Decimal | None,
        now_ns: int,
    ) -> BookedFill | None:
        """Book one execution; None when it was booked before.

        Args:
            execution: As the venue reported it.
            rule: Its instrument.
            strategy_id: Who wanted the order.
            role: Why; a closing order of somebody without a position closes those of others.
            sequence: Its place in execd's order log.
            fee_settle: Fee in settlement asset when charged in a third asset and a mark was known.
            now_ns: When we learned of it.
        """
        key = (execution.instrument_id, execution.exec_id)
        if key in self._executions:
            return None
        self._executions[key] = None
        if len(self._executions) > MAX_EXECUTIONS:
            del self._executions[next(iter(self._executions))]
        size, price = to_units_floor(execution.qty), to_units_floor(execution.price)
        signed = size if execution.side is Side.BUY else -size
        flow = rule.contract.flow(signed, price)
        cost = -to_units_floor(-execution.fee) if execution.fee else 0
        fee, fee_base = self._fee(execution, rule, price, cost, fee_settle) if cost else (0, 0)
        self.turned[rule.quote] += rule.contract.quote_notional(size, price)
        if role not in CLOSING_ROLES or self.units_of(execution.instrument_id, strategy_id) * signed < 0:
            realized, lost = self._apply(execution, rule, strategy_id, signed, flow, fee, fee_base, now_ns)
            booked = BookedFill((strategy_id,), realized, lost)
        else:
            booked = self._apply_shared(execution, rule, strategy_id, signed, flow, fee, fee_base, now_ns)
        self._move_balances(execution, rule, signed, flow, booked.realized, cost, sequence)
        return booked

    def take_entry(self, entry: LedgerEntry, worth: int, rules: Mapping[str, InstrumentRule]) -> int:
        """Book one line of the venue's ledger; a repeated one changes nothing.

        Returns what a transfer is worth, else 0.

        Args:
            entry: As the venue reported it.
            worth: Its worth in account currency when it was booked, units.
            rules: Known instruments.
        """
        if not self.wallets.is_new(entry):
            return 0
        delta = to_units_floor(entry.amount)
        self.wallets.move_cash(entry, delta)
        self.income[entry.asset, entry.kind] += delta
        if entry.kind in TRANSFER_KINDS:
            self.move_start(worth)
            return worth
        if entry.kind is LedgerKind.FUNDING and entry.instrument_id in rules:
            self._spread_funding(rules[entry.instrument_id], entry.asset, delta)
        return 0

    def take_snapshot(self, snapshot: AccountSnapshot) -> None:
        """Take the venue's balances and add the fills and ledger entries that they do not contain yet."""
        self.wallets.take(snapshot)

    def take_margins(self, accounts: Iterable[MarginState], positions: Iterable[PositionMargin]) -> None:
        """Take the venue's margin figures; the oldest are forgotten when there are absurdly many."""
        for account in accounts:
            self.margins[account.venue, account.asset] = account
        for position in positions:
            self.position_margins[position.instrument_id] = position
        for table in (self.margins, self.position_margins):
            while len(table) > MAX_MARGINS:
                del table[next(iter(table))]  # type: ignore[arg-type]

    def take_baseline(self, net: Iterable[tuple[str, str, Decimal]]) -> None:
        """Count the day's PnL of each position from here on."""
        self.day_net = {(instrument, strategy): to_units_floor(value) for instrument, strategy, value in net}

    def money_digest(self) -> list[object]:
        """Return what a digest of the state must cover besides positions and balances."""
        return [
            sorted((asset, kind.name, units) for (asset, kind), units in self.income.items()),
            sorted(self.day_net.items()),
            sorted(self.turned.items()),
            sorted((key, repr(margin)) for key, margin in self.margins.items()),
            sorted((key, repr(margin)) for key, margin in self.position_margins.items()),
            sorted(self.wallets.explained.items()),
            (sorted(self.wallets.unexplained.items()), sorted(self.wallets.owed.items())),
            sorted((owner, repr(log)) for owner, log in self.trips.items()),
            repr(self.all_trips),
        ]

    def restart_order_log(self) -> None:
        """A new order log numbers from 1."""
        self.wallets.restart_order_log()

    def move_start(self, value: int) -> None:
        """A transfer changed equity without profit or loss."""
        if self.day_start is not None:
            self.day_start += value
        if self.peak is not None:
            self.peak += value

    def settle(self, day: int, start_equity: int) -> None:
        """Begin a UTC day."""
        self.day, self.day_start = day, start_equity
        self.turned.clear()

    # ---- questions

    @property
    def turnover(self) -> Decimal:
        """Notional of today's fills, quote asset."""
        return from_units(sum(self.turned.values()))

    def is_booked(self, instrument_id: str, exec_id: str) -> bool:
        """Return whether an execution was booked, as far as we remember."""
        return (instrument_id, exec_id) in self._executions

    def units_of(self, instrument_id: str, strategy_id: str) -> int:
        """Return the signed quantity that a strategy holds."""
        held = self.positions.get((instrument_id, strategy_id))
        return 0 if held is None else held.inventory.qty

    def entry_price(self, instrument_id: str, strategy_id: str) -> int:
        """Return what a strategy, else who else holds the instrument, paid on average; 0 = nobody holds it."""
        held = self.positions.get((instrument_id, strategy_id))
        if held is not None and held.units:
            return held.price
        return next((other.price for _, other in self._holders(instrument_id)), 0)

    def trip_stats(self, strategy_id: str, window: int) -> TripStats:
        """Return the figures of a strategy's latest round trips."""
        log = self.trips.get(strategy_id)
        return TripStats() if log is None else log.stats(window)

    def streak(self, scope: Scope) -> TripLog:
        """Return the round trips that a scope stands for: those of a strategy, or of all."""
        return self.trips[scope.name] if scope.kind is ScopeKind.STRATEGY else self.all_trips

    def open_positions(self, rules: Mapping[str, InstrumentRule]) -> Iterator[tuple[str, str, StrategyPosition]]:
        """Yield (instrument, strategy, position) of all positions that the venue would let us close, in order."""
        for (instrument_id, strategy_id), held in sorted(self.positions.items(), key=lambda item: item[0]):
            if abs(held.units) > rules[instrument_id].dust_qty:
                yield instrument_id, strategy_id, held

    def equity(self, board: MarketBoard, rules: Mapping[str, InstrumentRule], now_ns: int, fresh_ns: int) -> Equity:
        """Return equity at conservative marks (bid for what we own, ask for what we owe), or at mid if so configured.

        Args:
            board: Marks.
            rules: Known instruments.
            now_ns: Now.
            fresh_ns: Marks older than this count as stale.
        """
        value, stale, complete, mid = 0, 0, bool(self.snapshot_venues), board.mid_equity
        venues: dict[str, int] = defaultdict(int)
        for (venue, asset), total in self.balances.items():
            if not total:
                continue
            rate = board.rate(asset, total > 0, mid=mid)
            if rate is None:
                stale += 1
                complete = complete and not board.has_market(asset)
                continue  # worth nothing until somebody quotes it: limits become tighter, never looser
            stale += board.age_ns(asset, now_ns) > fresh_ns
            worth = amount_floor(rate, total)
            value += worth
            venues[venue] += worth
        for (instrument_id, _), held in self._derivatives.items():
            if not held.inventory.qty:
                continue
            open_result = self.unrealized(held, rules[instrument_id], board, mid=mid)
            rate = None if open_result is None else board.rate(rules[instrument_id].settle, open_result > 0, mid=mid)
            if open_result is None or rate is None:
                stale, complete = stale + 1, False
                continue
            stale += now_ns - board.views[instrument_id].good_ns > fresh_ns
            worth = amount_floor(rate, open_result)
            value += worth
            venues[rules[instrument_id].venue] += worth
        return Equity(value, stale, complete, venues)

    def on_old_marks(self, board: MarketBoard, rules: Mapping[str, InstrumentRule], before_ns: int) -> dict[str, int]:
        """Return what is held at marks that were last seen before a moment: asset, or instrument of a derivative ->
        worth, or notional, in account currency units, >= 0. What has no mark at all is left out.
        """
        found: dict[str, int] = defaultdict(int)
        for (_, asset), total in self.balances.items():
            seen_ns, rate = board.seen_ns(asset), board.rate(asset, total > 0)
            if total and seen_ns is not None and rate is not None and seen_ns < before_ns:
                found[asset] += abs(amount_floor(rate, total))
        for (instrument_id, _), held in self._derivatives.items():
            rule, mark = rules[instrument_id], self.mark(instrument_id, held.inventory.qty, board)
            if held.inventory.qty and mark is not None and board.views[instrument_id].seen_ns < before_ns:
                rate = board.rate(rule.quote, long=False)
                found[instrument_id] += amount_floor(rate or 0, rule.contract.quote_notional(abs(held.units), mark))
        return found

    def mark(self, instrument_id: str, qty: int, board: MarketBoard) -> int | None:
        """Return the conservative mark of a position: bid for long, ask for short; None = never seen."""
        return board.mark(instrument_id, qty >= 0)

    def unrealized(
        self, held: StrategyPosition, rule: InstrumentRule, board: MarketBoard, *, mid: bool = False
    ) -> int | None:
        """Return the open result of a position at its mark, settlement asset; None = no mark."""
        mark = board.mark(rule.instrument_id, held.inventory.qty >= 0, mid=mid)
        return None if mark is None else held.inventory.unrealized(rule.contract, mark)

    def open_result(
        self, venue: str, settle: str, rules: Mapping[str, InstrumentRule], board: MarketBoard
    ) -> int | None:
        """Return the open results of all derivatives of a venue that settle in an asset; None = one has no mark."""
        total = 0
        for (instrument_id, _), held in self._derivatives.items():
            rule = rules[instrument_id]
            if rule.venue != venue or rule.settle != settle or not held.inventory.qty:
                continue
            result = self.unrealized(held, rule, board)
            if result is None:
                return None
            total += result
        return total

    def day_ppm(self, equity: int) -> int | None:
        """Return day PnL in ppm of the day's starting equity, rounded down; None when that is not known."""
        if self.day_start is None or self.day_start <= 0:
            return None
        return ratio_ppm(equity - self.day_start, self.day_start)

    # ---- inside

    def _apply_shared(
        self,
        execution: Execution,
        rule: InstrumentRule,
        strategy_id: str,
        signed: int,
        flow: int,
        fee: int,
        fee_base: int,
        now_ns: int,
    ) -> BookedFill:
        """Book a closing order of somebody without a position: it closes others' positions, by name."""
        left, owners, parts = signed, list[str](), list[int]()
        for owner, held in self._holders(rule.instrument_id):
            if held.units * signed < 0 and left:
                part = min(abs(left), abs(held.units)) * (1 if signed > 0 else -1)
                owners.append(owner)
                parts.append(part)
                left -= part
        if left:
            owners.append(strategy_id)
            parts.append(left)
        flows, fees, base_fees = (split(total, parts, signed) for total in (flow, fee, fee_base))
        realized, lost = 0, False
        for owner, part, part_flow, part_fee, part_base in zip(owners, parts, flows, fees, base_fees, strict=True):
            own, own_lost = self._apply(execution, rule, owner, part, part_flow, part_fee, part_base, now_ns)
            realized, lost = realized + own, lost or own_lost
        return BookedFill(tuple(owners), realized, lost)

    def _holders(self, instrument_id: str) -> list[tuple[str, StrategyPosition]]:
        """Return (strategy, position) of everybody who holds an instrument, by name."""
        found = [(owner, held) for (i, owner), held in self.positions.items() if i == instrument_id and held.units]
        return sorted(found, key=lambda pair: pair[0])

    def _fee(
        self, execution: Execution, rule: InstrumentRule, price: int, cost: int, fee_settle: Decimal | None
    ) -> tuple[int, int]:
        """Return (fee in settlement asset, rounded up; fee in base units taken out of a spot position)."""
        if execution.fee_asset == rule.settle:
            return cost, 0
        if rule.is_spot and execution.fee_asset == rule.base:
            return rule.contract.flow(-cost, price), cost
        if fee_settle is not None:
            return -to_units_floor(-fee_settle), 0
        self.unconverted_fees[execution.fee_asset] += execution.fee
        return 0, 0

    def _apply(
        self,
        execution: Execution,
        rule: InstrumentRule,
        owner: str,
        signed: int,
        flow: int,
        fee: int,
        fee_base: int,
        now_ns: int,
    ) -> tuple[int, bool]:
        """Return what it realized, and whether it ended a round trip without a profit."""
        key = (execution.instrument_id, owner)
        held = self.positions.get(key)
        if held is None:
            held = self.positions[key] = StrategyPosition(rule.contract)
            if not rule.is_spot:
                self._derivatives[rule.instrument_id, owner] = held
        inventory, before = held.inventory, held.inventory.qty
        realized = inventory.apply(signed, flow)
        if fee_base:
            # A fee in the base asset is that much of it sold at the fill's price and the proceeds paid as the fee: so
            # PnL by prices equals the money in the account.
            realized += inventory.apply(-fee_base, fee)
        if execution.liquidity is Liquidity.MAKER:
            held.maker_fee_units += fee
        else:
            held.taker_fee_units += fee
        after = inventory.qty
        held.updated_ns = now_ns
        if before * after <= 0:
            held.opened_ns = now_ns if after else 0
        lost = held.follow_trip((self.trips[owner], self.all_trips), rule.dust_qty, before, abs(flow))
        self.net[execution.instrument_id] += after - before
        self.moved.add(execution.instrument_id)
        return realized, lost

    def _spread_funding(self, rule: InstrumentRule, asset: str, delta: int) -> None:
        """Give each strategy its share of a funding payment: by signed quantity, as the venue nets them."""
        net, holders = self.net.get(rule.instrument_id, 0), self._holders(rule.instrument_id)
        if asset != rule.settle:
            self.unconverted_fees[asset] -= from_units(delta)
        elif not net:
            self.positions.setdefault(
                (rule.instrument_id, UNATTRIBUTED), StrategyPosition(rule.contract)
            ).funding += delta
        else:
            shares = split(delta, [held.units for _, held in holders], net)
            for (_, held), share in zip(holders, shares, strict=True):
                held.funding += share

    def _move_balances(
        self,
        execution: Execution,
        rule: InstrumentRule,
        signed: int,
        flow: int,
        realized: int,
        cost: int,
        sequence: int,
    ) -> None:
        move, at_ns = self.wallets.move, execution.event_time_ns
        if rule.is_spot:
            move(rule.venue, rule.base, signed, sequence, at_ns)
            move(rule.venue, rule.quote, flow, sequence, at_ns)
        elif realized:
            move(rule.venue, rule.settle, realized, sequence, at_ns)
        if cost:
            move(rule.venue, execution.fee_asset, -cost, sequence, at_ns)
