"""PnL in account currency: per position, strategy and pair, since the state began and since the day began.

Amounts of a position are kept in the asset that it pays in and converted at today's conservative rate when somebody
looks: a gain at what it sells for, a loss at what it costs to cover.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from riskd.marks import MarketBoard
from riskd.portfolio import Portfolio
from riskd.records import DayBaseline
from riskd.rules import InstrumentRule
from riskd.strategy_position import StrategyPosition
from riskd.units import amount_floor, from_units


@dataclass(slots=True)
class PnlLine:
    """Figures of one position, or sums of several. Units of account currency; costs > 0."""

    realized: int = 0
    unrealized: int = 0
    maker_fees: int = 0
    taker_fees: int = 0
    funding: int = 0
    """Received > 0."""
    day: int = 0
    """Net result since the day began."""
    open_positions: int = 0
    complete: bool = True
    """False when a mark or rate is missing: what it would have added is left out."""

    @property
    def fees(self) -> int:
        """All fees."""
        return self.maker_fees + self.taker_fees

    @property
    def net(self) -> int:
        """Everything together."""
        return self.realized + self.unrealized - self.fees + self.funding

    def add(self, other: PnlLine) -> None:
        """Add the figures of another line."""
        self.realized += other.realized
        self.unrealized += other.unrealized
        self.maker_fees += other.maker_fees
        self.taker_fees += other.taker_fees
        self.funding += other.funding
        self.day += other.day
        self.open_positions += other.open_positions
        self.complete = self.complete and other.complete


def position_line(
    portfolio: Portfolio,
    key: tuple[str, str],
    held: StrategyPosition,
    rule: InstrumentRule,
    board: MarketBoard,
) -> PnlLine:
    """Return one position's figures."""
    own, owe = board.rate(rule.settle), board.rate(rule.settle, long=False)
    if own is None or owe is None:
        return PnlLine(complete=not (held.units or held.net), open_positions=abs(held.units) > rule.dust_qty)

    def convert(units: int) -> int:
        return amount_floor(own if units >= 0 else owe, units)

    opened = portfolio.unrealized(held, rule, board)
    line = PnlLine(
        convert(held.inventory.realized),
        0 if opened is None else convert(opened),
        -convert(-held.maker_fee_units),
        -convert(-held.taker_fee_units),
        convert(held.funding),
        open_positions=abs(held.units) > rule.dust_qty,
        complete=opened is not None or not held.units,
    )
    line.day = line.net - portfolio.day_net.get(key, 0)
    return line


def lines(
    portfolio: Portfolio, rules: Mapping[str, InstrumentRule], board: MarketBoard
) -> Iterator[tuple[str, str, PnlLine]]:
    """Yield (instrument, strategy, figures) of every position that ever was."""
    for (instrument_id, strategy_id), held in portfolio.positions.items():
        key = (instrument_id, strategy_id)
        yield instrument_id, strategy_id, position_line(portfolio, key, held, rules[instrument_id], board)


def day_baseline(
    day: int, portfolio: Portfolio, rules: Mapping[str, InstrumentRule], board: MarketBoard
) -> DayBaseline:
    """Return what each position has made so far: the day's PnL counts from it."""
    net = [
        (instrument, strategy, from_units(line.net)) for instrument, strategy, line in lines(portfolio, rules, board)
    ]
    return DayBaseline(day, net)


@dataclass(slots=True)
class PnlSums:
    """Sums over all positions."""

    total: PnlLine
    strategies: dict[str, PnlLine]
    pairs: dict[str, PnlLine]
    """By instrument."""


def sums(portfolio: Portfolio, rules: Mapping[str, InstrumentRule], board: MarketBoard) -> PnlSums:
    """Return the sums per strategy and per pair."""
    found = PnlSums(PnlLine(), {}, {})
    for instrument_id, strategy_id, line in lines(portfolio, rules, board):
        for into in (
            found.total,
            found.strategies.setdefault(strategy_id, PnlLine()),
            found.pairs.setdefault(instrument_id, PnlLine()),
        ):
            into.add(line)
    return found
