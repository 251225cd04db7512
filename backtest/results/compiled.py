"""The run of a compiled strategy as the result tables that a backtest of a live strategy writes.

Everything is folded from what `Logs` kept: orders, fills, fundings and the touch at every sample. Of fills and answers
only those count that have reached the strategy. Equity begins at 0: a compiled strategy has no account.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterator, Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any, Final

import numpy as np

from backtest.report import BacktestResult
from backtest.results.compiled_rows import Run
from backtest.results.files import GROUP_ROWS, ResultWriter
from backtest.results.schemas import amount
from backtest.results.summary import execution_facts
from riskd.units import from_units, to_units
from tradebot.core.columns import Int64s
from tradebot.core.errors import ConfigError
from tradebot.core.pnl import Contract, Inventory
from tradebot.sim.kernels import layout as at
from tradebot.sim.kernels.logs import SAMPLE_WORDS_OF_A_MARKET
from tradebot.sim.kernels.simulator import Simulator
from tradebot.sim.kernels.terms import Funding

NS_PER_S: Final = 1_000_000_000
_FUNDING, _FILL, _SAMPLE = range(3)
"""What comes first at one instant."""


def write_results(
    simulator: Simulator,
    folder: Path,
    instrument_ids: Sequence[str],
    asset: str,
    *,
    strategy_id: str = "compiled",
    data: str = "",
) -> BacktestResult:
    """Write the result tables of a run that has ended, and return its summary.

    Args:
        simulator: Made with `Logs`.
        folder: Where; an older result there is replaced.
        instrument_ids: Name of each market, in the order in which the simulator has them.
        asset: In which every market settles: the quote asset, or the base of inverse contracts.
        strategy_id: Name in the tables.
        data: What was played, for the summary.

    Raises:
        ConfigError: If nothing was logged, names and markets do not fit, or the folder cannot be written.
        InvariantError: If a bound was hit on the way.
    """
    logs = simulator.logs
    if logs is None:
        raise ConfigError("the run kept no logs: make the simulator with Simulator(markets, Logs())")
    simulator.check()
    if len(instrument_ids) != simulator.market_count or len(set(instrument_ids)) != len(instrument_ids):
        raise ConfigError(f"{simulator.market_count} markets need as many different names, not {list(instrument_ids)}")
    runs = [Run(simulator, number, name, asset, strategy_id) for number, name in enumerate(instrument_ids)]
    writer = ResultWriter(folder)
    try:
        for run in runs:
            _write_many(writer, run)
        books = [_Book(run) for run in runs]
        _write_series(writer, simulator, books)
        result = _result(simulator, books, strategy_id, data)
        writer.finish({"result": result.as_json(), "execution": _execution(runs)})
        return result
    finally:
        writer.abandon()


def _write_many(writer: ResultWriter, run: Run) -> None:
    """Write what one market's logs say by themselves."""
    for start in range(0, len(run.orders), GROUP_ROWS):
        writer.add_columns("orders", run.order_columns(start, start + GROUP_ROWS))
    for start in range(0, len(run.fills), GROUP_ROWS):
        writer.add_columns("fills", run.fill_columns(start, start + GROUP_ROWS))
    for row in run.liquidation_orders():
        writer.add("orders", row)
    for row in run.fee_rows():
        writer.add("fees", row)
    for row in run.funding_rows():
        writer.add("funding", row)


class _Book:
    """One market's position and money while the run is read again."""

    def __init__(self, run: Run) -> None:
        self.run = run
        market = run.market
        try:
            self._contract = Contract(to_units(market.multiplier), market.inverse)
            self._tick, self._lot = to_units(market.tick_size), to_units(market.lot_size)
        except ArithmeticError as exc:
            raise ConfigError(f"{run.instrument_id}: a step of more than 12 decimals has no exact amounts") from exc
        self.held = Inventory()
        self.fees = self.funding = Decimal(0)
        self.unrealized: Decimal | None = Decimal(0)

    def fill(self, number: int) -> dict[str, Any]:
        """Book a fill; return its row of the positions table."""
        run = self.run
        _, _, side, price, lots, *_ = run.fills[number].tolist()
        qty = side * lots * self._lot
        self.held.apply(qty, self._contract.flow(qty, price * self._tick))
        self.fees += run.fees[number]
        held = self.held
        average = self._contract.average_price(held.qty, held.entry_flow)
        return {
            "at_ns": int(run.heard_ns[number]),
            "strategy_id": run.strategy_id,
            "instrument_id": run.instrument_id,
            "qty": amount(from_units(held.qty)),
            "avg_price": amount(from_units(average)) if held.qty else None,
            "realized_pnl": amount(self.realized),
            "fees_paid": amount(self.fees),
        }

    def mark(self, bid: int, ask: int) -> None:
        """Value the position at the middle of a touch, ticks."""
        if not self.held.qty:
            self.unrealized = Decimal(0)
        elif at.NO_PRICE in (bid, ask):
            self.unrealized = None
        else:
            self.unrealized = from_units(self.held.unrealized(self._contract, (bid + ask) * self._tick // 2))

    @property
    def realized(self) -> Decimal:
        """Closed result before fees and funding."""
        return from_units(self.held.realized)


def _write_series(writer: ResultWriter, simulator: Simulator, books: Sequence[_Book]) -> None:
    """Write positions and equity: everything that happened, in order of time."""
    streams: list[Iterator[tuple[int, int, int, Any]]] = [_samples(simulator)]
    for number, book in enumerate(books):
        streams += [_fundings(number, book.run.fundings), _fills(number, book.run.heard_ns)]
    for time_ns, kind, number, what in heapq.merge(*streams, key=lambda one: one[:3]):
        if kind == _FILL:
            writer.add("positions", books[number].fill(what))
        elif kind == _FUNDING:
            books[number].funding += what.paid
        else:
            writer.add("equity", _equity(time_ns, books, what))
    touches = [simulator.block(number).touch() for number in range(len(books))]
    if simulator.now_ns != at.NEVER:
        writer.add("equity", _equity(simulator.now_ns, books, [price for touch in touches for price in touch]))


def _samples(simulator: Simulator) -> Iterator[tuple[int, int, int, list[int]]]:
    samples = simulator.samples()
    for start in range(0, len(samples), GROUP_ROWS):
        for time_ns, *prices in samples[start : start + GROUP_ROWS].tolist():
            if time_ns != simulator.now_ns:  # the end has a row of its own
                yield time_ns, _SAMPLE, 0, prices


def _fundings(number: int, fundings: Sequence[Funding]) -> Iterator[tuple[int, int, int, Funding]]:
    return ((one.at_ns, _FUNDING, number, one) for one in fundings)


def _fills(number: int, heard_ns: Int64s) -> Iterator[tuple[int, int, int, int]]:
    return ((time_ns, _FILL, number, place) for place, time_ns in enumerate(heard_ns.tolist()))


def _equity(time_ns: int, books: Sequence[_Book], prices: Sequence[int]) -> dict[str, Any]:
    """Return the row of the equity table at which every position is valued at these prices."""
    for number, book in enumerate(books):
        book.mark(*prices[SAMPLE_WORDS_OF_A_MARKET * number :][:SAMPLE_WORDS_OF_A_MARKET])
    realized, fees, funding = _sums(books)
    unrealized = _unrealized(books)
    return {
        "at_ns": time_ns,
        "equity": None if unrealized is None else amount(realized + unrealized - fees - funding),
        "realized_pnl": amount(realized),
        "unrealized_pnl": amount(unrealized),
        "fees_paid": amount(fees),
        "funding_paid": amount(funding),
    }


def _sums(books: Sequence[_Book]) -> tuple[Decimal, Decimal, Decimal]:
    """Return realized result, fees and funding paid."""
    return (
        sum((book.realized for book in books), Decimal(0)),
        sum((book.fees for book in books), Decimal(0)),
        sum((book.funding for book in books), Decimal(0)),
    )


def _unrealized(books: Sequence[_Book]) -> Decimal | None:
    """Return the open result, None while a position has no price."""
    known = [book.unrealized for book in books if book.unrealized is not None]
    return sum(known, Decimal(0)) if len(known) == len(books) else None


def _result(simulator: Simulator, books: Sequence[_Book], strategy_id: str, data: str) -> BacktestResult:
    """Return the figures after the last row of the series."""
    runs = [book.run for book in books]
    accounts = [simulator.account(number) for number in range(len(books))]
    rows, rejected = sum(run.rows for run in runs), sum(run.rejected for run in runs)
    submits = sum(account.submits for account in accounts)
    realized, fees, funding = _sums(books)
    unrealized = sum((book.unrealized or Decimal(0) for book in books), Decimal(0))
    unpriced = [book.run.instrument_id for book in books if book.unrealized is None]
    return BacktestResult(
        strategy=strategy_id,
        data=data,
        instruments=[run.instrument_id for run in runs],
        market_seconds=max(run.last_ns for run in runs) / NS_PER_S - min(run.first_ns for run in runs) / NS_PER_S,
        frames=rows,
        rows=rows,
        intents=submits,
        answers_accepted=submits - rejected,
        answers_refused=rejected,
        orders=submits,
        fills=sum(len(run.fills) for run in runs),
        turnover=sum((run.turnover for run in runs), Decimal(0)),
        fees=fees,
        realized_pnl=realized,
        unrealized_pnl=unrealized,
        funding=-funding,
        liquidations=sum(account.liquidations for account in accounts),
        equity=realized + unrealized - fees - funding,
        open_positions={book.run.instrument_id: from_units(book.held.qty) for book in books if book.held.qty},
        warnings=[f"{name}: a side of its book is empty at the end: its position counts 0" for name in unpriced],
    )


def _execution(runs: Sequence[Run]) -> dict[str, Any]:
    """Return the summary's facts on execution."""
    makers = sum(int(np.count_nonzero(run.is_maker)) for run in runs)
    costs = {}
    for name in ("decision", "arrival"):
        pairs = [run.slippage(name) for run in runs]
        costs[name] = sum((cost for cost, _ in pairs), Decimal(0)), sum((worth for _, worth in pairs), Decimal(0))
    return execution_facts(makers, sum(len(run.fills) for run in runs) - makers, costs)
