"""Set a simulation up, run a compiled strategy in it, read the results."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from decimal import Decimal
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from tradebot.core.columns import Int64s
from tradebot.core.errors import InvariantError
from tradebot.sim.fees import WINDOW_DAYS, FeeSchedule
from tradebot.sim.kernels import layout as at
from tradebot.sim.kernels.fees import LAST_DAY, PRIOR_PER_DAY, VOLUME_WORDS
from tradebot.sim.kernels.latency import CONSTANT, RECORDED, SAMPLED
from tradebot.sim.kernels.logs import FILL_WORDS, ORDER_LOG_WORDS, SAMPLE_WORDS_OF_A_MARKET
from tradebot.sim.kernels.memory import Handle
from tradebot.sim.kernels.perpetual import FUNDING, MARK
from tradebot.sim.kernels.queues import FIFO
from tradebot.sim.kernels.terms import (
    FINE,
    Account,
    ConstantLatency,
    Funding,
    InverseResult,
    Latency,
    Logs,
    Market,
    Perpetual,
    RecordedLatency,
    SampledLatency,
)

MARGIN_TICKS: Final = 4096
"""Room between the data's prices and the ladder's walls, where our own far-off orders stand."""
RESPONSES_PER_ORDER: Final = 16
MAX_ORDERS_BOUND: Final = 1 << 16
MIN_RING_ROWS: Final = 1024

ERRORS: Final = {
    at.ERROR_ORDERS: "more orders than max_orders: clear inactive ones or raise it",
    at.ERROR_RESPONSES: "more responses under way than the ring holds: raise max_orders",
    at.ERROR_HISTORY: "more rows in flight than when the feed was looked through: pass its lookahead to Feed.of",
    at.ERROR_FILL_LOG: "more fills than max_fills",
    at.ERROR_ORDER_LOG: "more orders than Logs.max_orders",
    at.ERROR_SAMPLES: "more samples than Logs.max_samples: raise it or equity_every_ns",
    at.ERROR_VALUE: "the traded value in tick-lots is near 2**62: use larger lots",
    at.ERROR_TERMS: "an order whose side is not 1 or -1, of no known kind (STOP and TAKE_PROFIT exclude each other), "
    "or with a display below 0",
}


def _power_of_two(at_least: int) -> int:
    return 1 << max(0, at_least - 1).bit_length()


def volume_tables(schedules: Sequence[FeeSchedule]) -> list[NDArray[np.float64]]:
    """Return each market's table of volumes by day; markets that were given one schedule share one."""
    tables: dict[int, NDArray[np.float64]] = {}
    for schedule in schedules:
        table = tables.setdefault(id(schedule), np.zeros(VOLUME_WORDS))
        table[LAST_DAY], table[PRIOR_PER_DAY] = -1.0, float(schedule.prior_volume) / WINDOW_DAYS
    return [tables[id(schedule)] for schedule in schedules]


class Block:
    """Owns one market's memory."""

    def __init__(self, market: Market, clock: Int64s, volumes: NDArray[np.float64], logs: Logs | None) -> None:
        if market.max_orders != _power_of_two(market.max_orders) or market.max_orders > MAX_ORDERS_BOUND:
            raise InvariantError(f"max_orders must be a power of two up to {MAX_ORDERS_BOUND}: {market.max_orders}")
        if market.impact and not market.partial_fills:
            raise InvariantError("impact needs partial_fills: a full fill at the best price knows no liquidity")
        if market.queue.model == FIFO and (market.feed.queue is None or market.impact):
            raise InvariantError("the FIFO queue needs Feed.of_orders, and knows no impact")
        if market.inverse and market.min_value_tick_lots:
            raise InvariantError("an inverse contract is worth its quantity: use min_qty_lots, not min_value_tick_lots")
        self.market = market
        self.words = np.zeros(at.MARKET_WORDS, np.int64)
        self._kept: list[NDArray[Any]] = []
        self._point_at_columns(market)
        self._make_ladders(market)
        self._make_orders(market)
        self._make_logs(market, logs)
        w, f = self.words, self.words.view(np.float64)
        w[at.CLOCK] = clock.ctypes.data
        w[at.QUEUE_MODEL] = market.queue.model
        f[at.F_QUEUE_POWER] = market.queue.exponent
        f[at.F_LOT_SIZE] = float(market.lot_size)
        w[at.PARTIAL_FILLS] = market.partial_fills
        w[at.IMPACT] = market.impact
        w[at.SELF_TRADE] = market.self_trade
        w[at.MIN_QTY], w[at.MIN_VALUE] = market.min_qty_lots, market.min_value_tick_lots
        w[at.RAN_TO], w[at.NEXT_EXPIRY] = -at.NEVER, at.NEVER
        self._make_latency(market.latency)
        self._make_fees(market, volumes)
        if market.perpetual is not None:
            self._make_perpetual(market, market.perpetual)

    def _make_fees(self, market: Market, volumes: NDArray[np.float64]) -> None:
        w, f, schedule = self.words, self.words.view(np.float64), market.schedule
        table = np.array([[float(tier.volume), float(tier.maker), float(tier.taker)] for tier in schedule.tiers])
        f[at.F_MAKER_FEE], f[at.F_TAKER_FEE] = table[0, 1:]
        w[at.FEE_TIERS], w[at.FEE_TABLE] = len(table), self._keep(table)
        w[at.VOLUMES] = self._keep(volumes)
        w[at.FEE_DAY_NS], w[at.FEE_DAY] = schedule.day_ns, -1
        f[at.F_VOLUME_UNIT] = float(market.lot_size * market.multiplier * (1 if market.inverse else market.tick_size))
        self.values = np.zeros((len(table), 2), np.int64)
        self.inverse_values = np.zeros(2 * len(table) + 1)
        w[at.VALUES], w[at.INVERSE_VALUES] = self._keep(self.values), self._keep(self.inverse_values)

    def _make_latency(self, latency: Latency) -> None:
        w = self.words
        match latency:
            case ConstantLatency():
                w[at.LATENCY_MODEL] = CONSTANT
                w[at.ENTRY_LATENCY], w[at.RESPONSE_LATENCY] = latency.entry_ns, latency.response_ns
            case SampledLatency():
                w[at.LATENCY_MODEL] = SAMPLED
                w[at.RANDOM] = latency.seed
                w[at.ENTRY_TABLE] = self._keep(np.array(latency.entry_quantiles_ns, np.int64))
                w[at.RESPONSE_TABLE] = self._keep(np.array(latency.response_quantiles_ns, np.int64))
                w[at.TABLE_ROWS] = len(latency.entry_quantiles_ns)
            case RecordedLatency():
                w[at.LATENCY_MODEL] = RECORDED
                w[at.ENTRY_TABLE] = self._keep(np.ascontiguousarray(latency.sent_ns, np.int64))
                w[at.RECORDED_EXCHANGE] = self._keep(np.ascontiguousarray(latency.reached_ns, np.int64))
                w[at.RECORDED_RESPONSE] = self._keep(np.ascontiguousarray(latency.answered_ns, np.int64))
                w[at.TABLE_ROWS] = len(latency.sent_ns)

    def _make_perpetual(self, market: Market, terms: Perpetual) -> None:
        w, f = self.words, self.words.view(np.float64)
        fine = terms.event_values * float(FINE)
        w[at.EVENTS] = len(fine)
        w[at.EVENT_TIMES] = self._keep(np.ascontiguousarray(terms.event_times_ns, np.int64))
        w[at.EVENT_KINDS] = self._keep(np.ascontiguousarray(terms.event_kinds, np.int64))
        w[at.EVENT_VALUES] = self._keep(np.where(terms.event_kinds == MARK, fine / float(market.tick_size), fine))
        self.funding_log = np.zeros((int(np.count_nonzero(terms.event_kinds == FUNDING)), 3), np.int64)
        w[at.FUNDING_LOG] = self._keep(self.funding_log)
        w[at.INVERSE] = terms.inverse
        f[at.F_COLLATERAL] = float(terms.collateral / market.unit)
        f[at.F_LEVERAGE], f[at.F_MAINTENANCE] = float(terms.leverage), float(terms.maintenance_rate)
        f[at.F_LIQUIDATION_FEE] = float(terms.liquidation_fee)

    def fundings(self) -> list[Funding]:
        """Return every funding that was paid or received."""
        terms = self.market.perpetual
        if terms is None:
            return []
        found = []
        for event, mark, held in self.funding_log[: int(self.words[at.FUNDING_COUNT])].tolist():
            price, rate = int(terms.event_values[mark]) * FINE, int(terms.event_values[event]) * FINE
            base = held * self.market.lot_size * self.market.multiplier
            paid = rate * (base / price if terms.inverse else base * price)
            found.append(Funding(int(terms.event_times_ns[event]), held, price, rate, paid))
        return found

    def result(self) -> InverseResult | tuple[tuple[int, int], ...]:
        """Return what fees and result are computed from: values taken and made per fee tier."""
        if not self.market.inverse:
            return tuple((int(taken), int(made)) for taken, made in self.values)
        sums = [Decimal(float(one)) for one in self.inverse_values]
        liquidated = Decimal(float(self.words.view(np.float64)[at.F_LIQUIDATED_INVERSE]))
        return InverseResult(tuple(zip(sums[:-1:2], sums[1::2], strict=True)), sums[-1], liquidated)

    def _keep(self, array: NDArray[Any]) -> int:
        self._kept.append(array)
        return int(array.ctypes.data)

    def _array(self, words: int) -> int:
        return self._keep(np.zeros(words, np.int64))

    def _point_at_columns(self, market: Market) -> None:
        w, rows = self.words, market.feed.columns
        w[at.ROWS] = len(rows)
        w[at.EXCHANGE_TIMES] = self._keep(rows.exchange_time_ns)
        w[at.LOCAL_TIMES] = self._keep(rows.local_time_ns)
        w[at.FLAGS] = self._keep(rows.flags)
        w[at.PRICES] = self._keep(rows.price_ticks)
        w[at.QTYS] = self._keep(rows.qty_lots)
        w[at.ONE_ORDER] = market.feed.one_order
        queue = market.feed.queue
        if queue is not None:
            w[at.ORDER_IDS] = self._keep(queue.order_ids)
        if queue is not None and market.queue.model == FIFO:
            w[at.CHANGES], w[at.PLACES] = self._keep(queue.changes), self._keep(queue.places)
            from tradebot.sim.kernels.fifo import runner_address  # compiled only for those who use it

            w[at.RUNNER] = runner_address()

    def _ladder(self, top: int) -> int:
        ladder = np.zeros(top + 1, np.int64)
        ladder[0] = ladder[top] = 2
        return self._keep(ladder)

    def _make_ladders(self, market: Market) -> None:
        w, feed = self.words, market.feed
        base = feed.low - MARGIN_TICKS
        top = feed.high + MARGIN_TICKS - base
        w[at.BASE], w[at.TOP] = base, top
        w[at.BIDS], w[at.ASKS] = self._ladder(top), self._ladder(top)
        w[at.BEST_BID], w[at.BEST_ASK] = 0, top
        for place in range(4):
            w[at.USED + place] = self._keep(np.zeros((top >> at.PAGE_BITS) + 1, np.uint8))
        w[at.MY_BID], w[at.MY_ASK] = -1, top + 1
        w[at.STOP_ABOVE], w[at.STOP_BELOW], w[at.LAST_TRADE] = at.NEVER, -at.NEVER, -1
        if market.impact:
            w[at.EATEN], w[at.EATEN + 1] = self._array(top + 1), self._array(top + 1)
        ring = _power_of_two(max(MIN_RING_ROWS, feed.in_flight + 2))
        w[at.TOUCHES], w[at.PREVIOUS], w[at.RING_MASK] = self._array(ring), self._array(ring), ring - 1
        if not feed.one_order:
            w[at.LOCAL_BIDS], w[at.LOCAL_ASKS] = self._ladder(top), self._ladder(top)
            w[at.LOCAL_BEST_BID], w[at.LOCAL_BEST_ASK] = 0, top

    def _make_orders(self, market: Market) -> None:
        w, count = self.words, market.max_orders
        w[at.MAX_ORDERS] = count
        self.orders: Int64s = np.zeros((count + 1, at.ORDER_WORDS), np.int64)  # the last one is for liquidations
        w[at.ORDERS] = self._keep(self.orders)
        w[at.FREE] = self._keep(np.arange(count - 1, -1, -1, dtype=np.int64))
        w[at.FREE_COUNT] = count
        w[at.OPEN], w[at.LIVE], w[at.WAITING] = self._array(count), self._array(count), self._array(count)
        w[at.REQUESTS], w[at.REQUEST_MASK] = self._array(2 * count * at.MESSAGE_WORDS), 2 * count - 1
        responses = RESPONSES_PER_ORDER * count
        w[at.RESPONSES], w[at.RESPONSE_MASK] = self._array(responses * at.MESSAGE_WORDS), responses - 1

    def _make_logs(self, market: Market, logs: Logs | None) -> None:
        w = self.words
        fills, orders = (market.max_fills, 0) if logs is None else (logs.max_fills, logs.max_orders)
        self.fill_log = np.zeros((fills, FILL_WORDS), np.int64)
        w[at.FILL_LOG], w[at.FILL_LOG_MAX] = self._keep(self.fill_log), fills
        self.order_log = np.zeros((orders, ORDER_LOG_WORDS), np.int64)
        w[at.ORDER_LOG], w[at.ORDER_LOG_MAX] = self._keep(self.order_log), orders

    def touch(self) -> tuple[int, int]:
        """Return the strategy's best bid and ask, ticks."""
        w = self.words
        if not w[at.ONE_ORDER]:
            bid, ask = int(w[at.LOCAL_BEST_BID]), int(w[at.LOCAL_BEST_ASK])
        elif w[at.LOCAL_ROW] == 0:
            bid, ask = 0, int(w[at.TOP])
        else:
            packed = int(self._kept_ring()[(w[at.LOCAL_ROW] - 1) & w[at.RING_MASK]])
            bid, ask = packed >> 32, packed & 0xFFFFFFFF
        base = int(w[at.BASE])
        return (bid + base if bid > 0 else at.NO_PRICE, ask + base if ask < w[at.TOP] else at.NO_PRICE)

    def _kept_ring(self) -> NDArray[Any]:
        return next(array for array in self._kept if array.ctypes.data == self.words[at.TOUCHES])


class Simulator:
    """Markets on one clock. One object is one run."""

    def __init__(self, markets: Sequence[Market], logs: Logs | None = None) -> None:
        """Set a run up; with `logs` it can be written as result tables, else only `Market.max_fills` are kept."""
        if not 0 < len(markets) <= at.MAX_MARKETS:
            raise InvariantError(f"1 to {at.MAX_MARKETS} markets, not {len(markets)}")
        self._clock = np.zeros(at.CLOCK_WORDS, np.int64)
        tables = volume_tables([market.schedule for market in markets])
        self._blocks = [Block(market, self._clock, table, logs) for market, table in zip(markets, tables, strict=True)]
        self.logs: Final = logs
        samples = logs.max_samples if logs is not None else 0
        self._samples = np.zeros((samples, 1 + SAMPLE_WORDS_OF_A_MARKET * len(markets)), np.int64)
        self._clock[at.SAMPLES], self._clock[at.SAMPLE_MAX] = self._samples.ctypes.data, samples
        self._clock[at.SAMPLE_EVERY] = logs.equity_every_ns if logs is not None else 0
        self._clock[at.NEXT_SAMPLE] = at.NEVER
        self._clock[at.MARKETS] = len(markets)
        self._clock[at.LOOKAHEAD] = min(market.latency.entry_ns for market in markets)
        for number, block in enumerate(self._blocks):
            self._clock[at.FIRST_MARKET + number] = block.words.ctypes.data
        self.handle: Final = Handle(int(self._clock.ctypes.data))

    def run(self, strategy: Callable[..., Any], *arguments: object) -> Any:
        """Call strategy(handle, *arguments) and return what it returns.

        Raises:
            InvariantError: When a bound was hit on the way; the run is worth nothing then.
        """
        answer = strategy(self.handle, *arguments)
        self.check()
        return answer

    def check(self) -> None:
        """Raise InvariantError when a bound was hit on the way."""
        for number, block in enumerate(self._blocks):
            if error := int(block.words[at.ERROR]):
                raise InvariantError(f"market {number}: {ERRORS[error]}")

    @property
    def now_ns(self) -> int:
        """The strategy's time."""
        return int(self._clock[at.NOW])

    @property
    def market_count(self) -> int:
        """How many markets there are."""
        return len(self._blocks)

    def block(self, number: int = 0) -> Block:
        """Return one market's memory, for whoever drives it instead of a strategy."""
        return self._blocks[number]

    def account(self, number: int = 0) -> Account:
        """Return what the strategy has done in a market."""
        block = self._blocks[number]
        words = [int(word) for word in block.words]
        bid, ask = block.touch()
        paid = sum((one.paid for one in block.fundings()), Decimal(0))
        return Account(
            words[at.POSITION], words[at.VALUE], words[at.MAKER_VALUE], words[at.TAKER_VALUE], words[at.FILLS],
            words[at.FILLED_QTY], words[at.SUBMITS], words[at.CANCELS], words[at.MODIFIES], bid, ask,
            words[at.LIQUIDATIONS], words[at.LIQUIDATED_VALUE], paid, block.market, block.result(),
        )  # fmt: skip

    def fills(self, number: int = 0) -> Int64s:
        """Return the fill log: shape (n, len(logs.FILL_COLUMNS)), in the order in which the exchange made them."""
        block = self._blocks[number]
        return block.fill_log[: int(block.words[at.FILL_LOG_COUNT])]

    def orders(self, number: int = 0) -> Int64s:
        """Return the log of orders: shape (n, len(logs.ORDER_COLUMNS)), in the order in which they were sent."""
        block = self._blocks[number]
        return block.order_log[: min(int(block.words[at.NEXT_SERIAL]), len(block.order_log))]

    def samples(self) -> Int64s:
        """Return the samples: shape (n, 1 + 2 * markets), the time and each market's bid and ask as received, ticks."""
        return self._samples[: int(self._clock[at.SAMPLE_COUNT])]
