"""Positions, PnL, balances and equity, folded from executions and account snapshots.

Average-price method (core Position). Quantity and PnL are exact Decimals; their units form is kept beside them for the
checks. Balances are the venue's, carried forward by our own fills until the next snapshot that contains them, so a fill
is never counted twice and never missed. Deposits move the day's starting equity along: they are no profit.
"""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Final

from riskd.exposure import CLOSING_ROLES
from riskd.marks import MarketBoard
from riskd.rules import InstrumentRule
from riskd.units import amount, amount_floor, from_units, ratio_ppm, to_units_floor
from tradebot.core.accounts import AccountSnapshot
from tradebot.core.orders import Execution, Liquidity, OrderRole, Side
from tradebot.core.positions import Position

MAX_EXECUTIONS: Final = 200_000
"""Executions remembered for deduplication; older ones lie before any reconciliation window."""
MAX_DELTAS: Final = 20_000
"""Balance changes by fills that a later snapshot may or may not contain."""
DAY_NS: Final = 86_400 * 1_000_000_000
ZERO: Final = Decimal(0)


@dataclass(slots=True)
class StrategyPosition:
    """One position: an instrument as held for one strategy."""

    position: Position = field(default_factory=Position)
    units: int = 0
    """Signed quantity in units."""
    maker_fees: Decimal = ZERO
    taker_fees: Decimal = ZERO
    opened_ns: int = 0
    updated_ns: int = 0


@dataclass(frozen=True, slots=True)
class Equity:
    """Equity at one moment, account currency."""

    value: int
    """Units."""
    stale_inputs: int
    """Assets whose mark is older than asked for, or that have none."""
    complete: bool
    """False when an asset that has a market has no mark yet: the value is no input for a check."""


@dataclass(frozen=True, slots=True)
class BookedFill:
    """One execution as booked: which strategies it was booked to."""

    strategies: tuple[str, ...]
    realized: Decimal


class Portfolio:
    """The portfolio of all venues."""

    def __init__(self) -> None:
        self.positions: dict[tuple[str, str], StrategyPosition] = {}
        """(instrument, strategy) -> position; flat ones stay, they carry realized PnL."""
        self.net: dict[str, int] = defaultdict(int)
        """Instrument -> signed units over all strategies."""
        self.balances: dict[tuple[str, str], int] = {}
        """(venue, asset) -> total in units."""
        self.snapshot_venues: set[str] = set()
        """Venues that sent a complete snapshot."""
        self._contained: dict[str, int] = {}
        """Venue -> order log sequence that its balances contain."""
        self._deltas: deque[tuple[int, str, str, int]] = deque(maxlen=MAX_DELTAS)
        self._executions: dict[tuple[str, str], None] = {}
        self.day = -1
        self.day_start: int | None = None
        """Equity at 00:00 UTC or first start, corrected for transfers; None = not known yet."""
        self.peak: int | None = None
        self.turnover: Decimal = ZERO
        """Notional of today's fills."""
        self.unconverted_fees: dict[str, Decimal] = defaultdict(lambda: ZERO)
        """Fees in third assets without a mark at the fill: shown, not guessed."""

    # ---- changes

    def book(
        self,
        execution: Execution,
        rule: InstrumentRule,
        strategy_id: str,
        role: OrderRole,
        sequence: int,
        fee_quote: Decimal | None,
        now_ns: int,
    ) -> BookedFill | None:
        """Book one execution; None when it was booked before.

        Args:
            execution: As the venue reported it.
            rule: Its instrument.
            strategy_id: Who wanted the order.
            role: Why; a closing order of somebody without a position closes those of others.
            sequence: Its place in execd's order log.
            fee_quote: Fee in quote asset when charged in a third asset and a mark was known.
            now_ns: When we learned of it.
        """
        key = (execution.instrument_id, execution.exec_id)
        if key in self._executions:
            return None
        self._executions[key] = None
        if len(self._executions) > MAX_EXECUTIONS:
            del self._executions[next(iter(self._executions))]
        self._move_balances(execution, rule, sequence)
        notional = execution.qty * execution.price * rule.instrument.contract_multiplier
        self.turnover += notional
        realized, strategies = ZERO, []
        for owner, qty in self._owners(execution, strategy_id, role):
            share = qty / execution.qty
            realized += self._apply(execution, rule, owner, qty, share, fee_quote, now_ns)
            strategies.append(owner)
        return BookedFill(tuple(strategies), realized)

    def take_snapshot(self, snapshot: AccountSnapshot) -> None:
        """Take the venue's balances and add the fills that they do not contain yet."""
        venue = snapshot.venue
        if snapshot.complete:
            for key in [k for k in self.balances if k[0] == venue]:
                del self.balances[key]
            self.snapshot_venues.add(venue)
        told = {b.asset for b in snapshot.balances}
        for balance in snapshot.balances:
            self.balances[venue, balance.asset] = to_units_floor(balance.total)
        for sequence, at, asset, delta in self._deltas:
            if at == venue and sequence > snapshot.after_order_sequence and (snapshot.complete or asset in told):
                self.balances[venue, asset] = self.balances.get((venue, asset), 0) + delta
        self._contained[venue] = max(self._contained.get(venue, 0), snapshot.after_order_sequence)

    def restart_order_log(self) -> None:
        """A new order log numbers from 1: what balances contained of the old one says nothing about it."""
        self._contained.clear()
        self._deltas.clear()

    def move_start(self, value: int) -> None:
        """A transfer changed equity without profit or loss."""
        if self.day_start is not None:
            self.day_start += value
        if self.peak is not None:
            self.peak += value

    def settle(self, day: int, start_equity: int) -> None:
        """Begin a UTC day."""
        self.day, self.day_start, self.turnover = day, start_equity, ZERO

    # ---- questions

    def units_of(self, instrument_id: str, strategy_id: str) -> int:
        """Return the signed quantity that a strategy holds."""
        held = self.positions.get((instrument_id, strategy_id))
        return 0 if held is None else held.units

    def open_positions(self, rules: Mapping[str, InstrumentRule]) -> Iterator[tuple[str, str, StrategyPosition]]:
        """Yield (instrument, strategy, position) of all positions that the venue would let us close, in order."""
        for (instrument_id, strategy_id), held in sorted(self.positions.items()):
            if abs(held.units) > rules[instrument_id].dust_qty:
                yield instrument_id, strategy_id, held

    def equity(self, board: MarketBoard, rules: Mapping[str, InstrumentRule], now_ns: int, fresh_ns: int) -> Equity:
        """Return equity at conservative marks: bid for what we own, ask for what we owe.

        Args:
            board: Marks.
            rules: Known instruments.
            now_ns: Now.
            fresh_ns: Marks older than this count as stale.
        """
        value, stale, complete = 0, 0, bool(self.snapshot_venues)
        for (_, asset), total in self.balances.items():
            if not total:
                continue
            rate = board.rate(asset, total > 0)
            if rate is None:
                stale += 1
                complete = complete and not board.has_market(asset)
                continue  # worth nothing until somebody quotes it: limits become tighter, never looser
            stale += board.age_ns(asset, now_ns) > fresh_ns
            value += amount_floor(rate, total)
        for (instrument_id, _), held in self.positions.items():
            rule = rules[instrument_id]
            if held.units and not rule.is_spot:
                mark = self.mark(instrument_id, held.units, board)
                rate = board.rate(rule.quote)
                if mark is None or rate is None:
                    stale, complete = stale + 1, False
                    continue
                value += amount_floor(rate, to_units_floor(held.position.unrealized_pnl(from_units(mark))))
        return Equity(value, stale, complete)

    def mark(self, instrument_id: str, qty: int, board: MarketBoard) -> int | None:
        """Return the conservative mark of a position: bid for long, ask for short; None = never seen."""
        view = board.views.get(instrument_id)
        if view is None or not view.good_ns:
            return None
        return view.good_bid if qty >= 0 else view.good_ask

    def day_ppm(self, equity: int) -> int | None:
        """Return day PnL in ppm of the day's starting equity, rounded down; None when that is not known."""
        if self.day_start is None or self.day_start <= 0:
            return None
        return ratio_ppm(equity - self.day_start, self.day_start)

    # ---- inside

    def _owners(self, execution: Execution, strategy_id: str, role: OrderRole) -> list[tuple[str, Decimal]]:
        """Split a fill: a closing order of an owner without a position closes others' positions, by name."""
        sign = execution.side.sign
        if role not in CLOSING_ROLES or self.units_of(execution.instrument_id, strategy_id) * sign < 0:
            return [(strategy_id, execution.qty)]
        left, parts = execution.qty, []
        for (instrument_id, owner), held in sorted(self.positions.items()):
            if instrument_id == execution.instrument_id and held.units * sign < 0 and left > 0:
                part = min(left, abs(held.position.qty))
                parts.append((owner, part))
                left -= part
        if left > 0:
            parts.append((strategy_id, left))
        return parts

    def _apply(
        self,
        execution: Execution,
        rule: InstrumentRule,
        owner: str,
        qty: Decimal,
        share: Decimal,
        fee_quote: Decimal | None,
        now_ns: int,
    ) -> Decimal:
        key = (execution.instrument_id, owner)
        held = self.positions.get(key)
        if held is None:
            held = self.positions[key] = StrategyPosition()
        position, before = held.position, held.units
        fee_base = ZERO
        if execution.fee_asset == rule.quote:
            fee = execution.fee * share
        elif execution.fee_asset == rule.base and rule.is_spot:
            fee_base = execution.fee * share
            fee = fee_base * execution.price
        elif fee_quote is not None:
            fee = fee_quote * share
        else:
            fee = ZERO
            if execution.fee:
                self.unconverted_fees[execution.fee_asset] += execution.fee * share
        realized = position.apply_fill(execution.side, qty, execution.price, fee)
        if fee_base:
            # The fee costs what the base is worth now, not what it was bought for: the difference is closed result, and
            # with it PnL by prices equals the money in the account.
            difference = (execution.price - position.avg_price) * fee_base
            position.realized_pnl += difference
            realized += difference
            position.remove_base(fee_base)
        if execution.liquidity is Liquidity.MAKER:
            held.maker_fees += fee
        else:
            held.taker_fees += fee
        held.units = to_units_floor(position.qty)
        held.updated_ns = now_ns
        if before * held.units <= 0:
            held.opened_ns = now_ns if held.units else 0
        self.net[execution.instrument_id] += held.units - before
        return realized

    def _move_balances(self, execution: Execution, rule: InstrumentRule, sequence: int) -> None:
        if rule.is_spot:
            qty = to_units_floor(execution.qty)
            price = to_units_floor(execution.price)
            buy = execution.side is Side.BUY
            self._move(rule.venue, rule.base, qty if buy else -qty, sequence)
            self._move(rule.venue, rule.quote, -amount(price, qty) if buy else amount_floor(price, qty), sequence)
        if execution.fee:
            self._move(rule.venue, execution.fee_asset, -to_units_floor(execution.fee), sequence)

    def _move(self, venue: str, asset: str, delta: int, sequence: int) -> None:
        self._deltas.append((sequence, venue, asset, delta))
        if sequence > self._contained.get(venue, 0) and venue in self.snapshot_venues:
            self.balances[venue, asset] = self.balances.get((venue, asset), 0) + delta


def day_of(now_ns: int) -> int:
    """Return days since 1970-01-01 UTC."""
    return now_ns // DAY_NS
