"""One market's logs as rows of the result tables; whole columns at a time where there can be millions of rows."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from decimal import Decimal
from typing import Any, Final

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from backtest.results.schemas import AMOUNT, amount, schema
from backtest.results.summary import BPS
from tradebot.core.columns import Int64s
from tradebot.sim.kernels import layout as at
from tradebot.sim.kernels import logs
from tradebot.sim.kernels.logs import FILL_COLUMNS, ORDER_COLUMNS
from tradebot.sim.kernels.perpetual import LIQUIDATION_ID
from tradebot.sim.kernels.simulator import Simulator

NO_QUEUE: Final = -1
NOT_YET: Final = 0
_STATUS: Final = {
    at.PENDING_NEW: "PENDING_NEW",
    at.NEW: "NEW",
    at.PARTIALLY_FILLED: "PARTIALLY_FILLED",
    at.FILLED: "FILLED",
    at.CANCELED: "CANCELED",
    at.EXPIRED: "EXPIRED",
    at.REJECTED: "REJECTED",
}
_TIMES: Final = {at.GTC: "GTC", at.POST_ONLY: "GTC", at.IOC: "IOC", at.FOK: "FOK", at.MARKET: "IOC"}
_TRIGGERED: Final = {at.STOP: ("STOP", "STOP_LIMIT"), at.TAKE_PROFIT: ("TAKE_PROFIT", "TAKE_PROFIT_LIMIT")}
_FACTS_OF_FILLS: Final = {
    "sent_ns": NOT_YET,
    "arrived_ns": NOT_YET,
    "queue_ahead_lots": NO_QUEUE,
    "twice_mid_at_decision": at.NO_PRICE,
    "twice_mid_at_arrival": at.NO_PRICE,
}
"""What the log of orders adds to a fill, and what stands for unknown."""
_GTD: Final = 1 << 20
"""Joined to a kind whose order has an end."""
_SIDES: Final = {1: "BUY", -1: "SELL"}


class Run:
    """What one market's logs say after a run."""

    def __init__(self, simulator: Simulator, number: int, instrument_id: str, asset: str, strategy_id: str) -> None:
        block = simulator.block(number)
        self.market = market = block.market
        self.instrument_id, self.asset, self.strategy_id = instrument_id, asset, strategy_id
        self.orders = simulator.orders(number)
        heard_ns = simulator.fills(number)[:, FILL_COLUMNS.index("heard_ns")]
        heard = int(np.searchsorted(heard_ns, simulator.now_ns, side="right"))  # answers never overtake each other
        self.fills, self.heard_ns = simulator.fills(number)[:heard], heard_ns[:heard]
        self.fundings = block.fundings()
        columns = market.feed.columns
        self.rows = len(columns)
        self.first_ns, self.last_ns = (int(columns.local_time_ns[i]) for i in (0, -1)) if self.rows else (0, 0)
        self._number = number
        ids = self.fills[:, FILL_COLUMNS.index("order_id")]
        self._of_order = np.where(ids > 0, (ids - 1) // market.max_orders - 1, -1)
        """Row in `orders` of each fill; -1 for a liquidation."""
        self._averages = self._average_prices()
        """Of each order's fills; None without any."""
        self.is_maker: NDArray[np.bool_] = self.fills[:, 5] == 1
        self.fees = [self._fee(*row) for row in self.fills[:, [1, 3, 4, 5, 8]].tolist()]
        """Of each fill, settlement units."""

    # --- orders -----------------------------------------------------------------------------------------------------

    @property
    def rejected(self) -> int:
        """Orders that were against a rule."""
        return int(np.count_nonzero(self.orders[:, logs.O_STATUS] == at.REJECTED))

    def order_columns(self, start: int, stop: int) -> Any:
        """Return rows of the orders table."""
        part = self.orders[start:stop]
        one = {name: part[:, i] for i, name in enumerate(ORDER_COLUMNS)}
        kinds = one["kind"] | np.where(one["expires_ns"] > 0, _GTD, 0)
        mids = (one["twice_mid_at_decision"], one["twice_mid_at_arrival"])
        return self._table(
            "orders",
            len(part),
            {
                "client_order_id": self._names(one["order_id"]),
                "intent_id": _texts(one["tag"], {0: None}),
                "side": _texts(one["side"], _SIDES),
                "order_type": _by_kind(kinds, _order_type),
                "time_in_force": _by_kind(kinds, _time_in_force),
                "post_only": pa.array((kinds & at.TIME_IN_FORCE) == at.POST_ONLY),
                "reduce_only": pa.array((kinds & at.REDUCE_ONLY) != 0),
                "qty": self._qty(one["qty_lots"]),
                "price": self._price(
                    np.where((kinds & at.TIME_IN_FORCE) == at.MARKET, at.NO_PRICE, one["price_ticks"])
                ),
                "stop_price": self._price(np.where(kinds & at.TRIGGERED, one["trigger_ticks"], at.NO_PRICE)),
                "status": _texts(one["status"], _STATUS),
                "reason": _same("", len(part)),
                "check_id": _same("", len(part)),
                "decided_ns": pa.array(one["sent_ns"]),
                **_times(one, "sent_ns", "arrived_ns", "acknowledged_ns", "ended_ns"),
                "filled_qty": self._qty(one["filled_lots"]),
                "avg_price": pa.array(self._averages[start:stop], AMOUNT),
                "queue_ahead_at_arrival": self._qty(one["queue_ahead_lots"]),
                "mid_at_decision": self._price(mids[0], half=True),
                "mid_at_arrival": self._price(mids[1], half=True),
            },
        )

    def liquidation_orders(self) -> Iterator[dict[str, Any]]:
        """Yield a row of the orders table for each liquidation, which nobody sent."""
        for number in np.flatnonzero(self._of_order < 0).tolist():
            matched_ns, _, side, price, lots, *_ = self.fills[number].tolist()
            yield {
                "client_order_id": f"{self._number}-liquidation-{number}",
                "strategy_id": self.strategy_id,
                "instrument_id": self.instrument_id,
                "role": "LIQUIDATION",
                "side": _SIDES[side],
                "order_type": "MARKET",
                "time_in_force": "IOC",
                "post_only": False,
                "reduce_only": True,
                "qty": amount(lots * self.market.lot_size),
                "status": "FILLED",
                "reason": "",
                "check_id": "",
                "arrived_ns": matched_ns,
                "acknowledged_ns": int(self.heard_ns[number]),
                "ended_ns": int(self.heard_ns[number]),
                "filled_qty": amount(lots * self.market.lot_size),
                "avg_price": amount(price * self.market.tick_size),
            }

    # --- fills ------------------------------------------------------------------------------------------------------

    def fill_columns(self, start: int, stop: int) -> Any:
        """Return rows of the fills table."""
        part = self.fills[start:stop]
        one = {name: part[:, i] for i, name in enumerate(FILL_COLUMNS)}
        of = {name: self._of_fills(name, slice(start, stop)) for name in _FACTS_OF_FILLS}
        names = self._names(one["order_id"]).to_pylist()
        for i in np.flatnonzero(one["order_id"] == LIQUIDATION_ID).tolist():
            names[i] = f"{self._number}-liquidation-{start + i}"
        is_maker = self.is_maker[start:stop]
        mids = {"decision": of["twice_mid_at_decision"], "arrival": of["twice_mid_at_arrival"]}
        return self._table(
            "fills",
            len(part),
            {
                "exec_id": pa.array([str(number) for number in range(start, start + len(part))]),
                "client_order_id": pa.array(names),
                "role": pa.array(
                    ["LIQUIDATION" if order == LIQUIDATION_ID else None for order in one["order_id"].tolist()],
                    pa.string(),
                ),
                "side": _texts(one["side"], _SIDES),
                "qty": self._qty(one["qty_lots"]),
                "price": self._price(one["price_ticks"]),
                "liquidity": _texts(one["maker"], {0: "TAKER", 1: "MAKER"}),
                "fee": pa.array([amount(fee) for fee in self.fees[start:stop]], AMOUNT),
                "fee_asset": _same(self.asset, len(part)),
                **_times(of, "sent_ns", "arrived_ns"),
                "decided_ns": _times(of, "sent_ns")["sent_ns"],
                "matched_ns": pa.array(one["exchange_time_ns"]),
                "heard_ns": pa.array(one["heard_ns"]),
                "queue_ahead_at_arrival": self._qty(of["queue_ahead_lots"]),
                "queue_ahead_at_fill": self._qty(np.where(is_maker, one["queue_ahead_lots"], NO_QUEUE)),
                **{f"mid_at_{name}": self._price(mid, half=True) for name, mid in mids.items()},
                **{f"slippage_{name}_bps": _slippage_bps(one, mid) for name, mid in mids.items()},
            },
        )

    @property
    def turnover(self) -> Decimal:
        """Sum of what was traded, quote asset."""
        return self._notional(np.ones(len(self.fills), np.bool_))

    def fee_rows(self) -> Iterator[dict[str, Any]]:
        """Yield the rows of the fees table."""
        for name, of in (("MAKER", self.is_maker), ("TAKER", ~self.is_maker)):
            numbers = np.flatnonzero(of).tolist()
            if numbers:
                yield {
                    "instrument_id": self.instrument_id,
                    "liquidity": name,
                    "fee_asset": self.asset,
                    "fills": len(numbers),
                    "notional": amount(self._notional(of)),
                    "fee": amount(sum((self.fees[i] for i in numbers), Decimal(0))),
                }

    def funding_rows(self) -> Iterator[dict[str, Any]]:
        """Yield the rows of the funding table."""
        for one in self.fundings:
            yield {
                "at_ns": one.at_ns,
                "strategy_id": self.strategy_id,
                "instrument_id": self.instrument_id,
                "qty": amount(one.position_lots * self.market.lot_size),
                "mark_price": amount(one.mark_price),
                "rate": amount(one.rate),
                "paid": amount(one.paid),
                "asset": self.asset,
            }

    def slippage(self, moment: str) -> tuple[Decimal, Decimal]:
        """Return the sums of cost against the mid at "decision" or "arrival", and of notional at it."""
        mids = self._of_fills(f"twice_mid_at_{moment}", slice(None))
        known = mids > 0
        side, price, lots = (self.fills[known, i] for i in (2, 3, 4))
        unit = self.market.tick_size * self.market.lot_size / 2
        cost = int(((2 * price - mids[known]) * side * lots).sum())  # the traded value is below 2**61: it fits
        return cost * unit, int((mids[known] * lots).sum()) * unit

    # --- inside -----------------------------------------------------------------------------------------------------

    def _of_fills(self, name: str, which: slice) -> Int64s:
        """Return what the log of orders says of some fills' orders; of a liquidation what stands for unknown."""
        rows = self._of_order[which]
        found = np.full(len(rows), _FACTS_OF_FILLS[name], np.int64)
        found[rows >= 0] = self.orders[rows[rows >= 0], ORDER_COLUMNS.index(name)]
        return found

    def _fee(self, order_id: int, price: int, lots: int, maker: int, tier: int) -> Decimal:
        market = self.market
        rates = market.schedule.tiers[tier]
        rate = rates.maker if maker else rates.taker
        if order_id == LIQUIDATION_ID and market.perpetual is not None:
            rate += market.perpetual.liquidation_fee
        return rate * (Decimal(lots) / price if market.inverse else price * lots) * market.unit

    def _notional(self, of: NDArray[np.bool_]) -> Decimal:
        lots, market = self.fills[of, 4], self.market
        if market.inverse:
            return int(lots.sum()) * market.lot_size * market.multiplier
        return int((lots * self.fills[of, 3]).sum()) * market.unit

    def _average_prices(self) -> list[Decimal | None]:
        values, lots = np.zeros((2, len(self.orders)), np.int64)
        known = self._of_order >= 0
        np.add.at(values, self._of_order[known], self.fills[known, 3] * self.fills[known, 4])
        np.add.at(lots, self._of_order[known], self.fills[known, 4])
        tick = self.market.tick_size
        return [
            amount(value * tick / done) if done else None
            for value, done in zip(values.tolist(), lots.tolist(), strict=True)
        ]

    def _table(self, name: str, rows: int, columns: Mapping[str, Any]) -> Any:
        named = {"strategy_id": _same(self.strategy_id, rows), "instrument_id": _same(self.instrument_id, rows)}
        found = {**named, **columns}
        return pa.table(
            [found.get(one.name, pa.nulls(rows, one.type)).cast(one.type) for one in schema(name)], schema=schema(name)
        )

    def _names(self, ids: Int64s) -> Any:
        return pa.array([f"{self._number}-{order}" for order in ids.tolist()])

    def _qty(self, lots: Int64s) -> Any:
        return _amounts(lots, self.market.lot_size, NO_QUEUE)

    def _price(self, ticks: Int64s, *, half: bool = False) -> Any:
        return _amounts(ticks, self.market.tick_size / 2 if half else self.market.tick_size, at.NO_PRICE)


def _order_type(kind: int) -> str:
    is_market = kind & at.TIME_IN_FORCE == at.MARKET
    if kind & at.TRIGGERED:
        return _TRIGGERED[kind & at.TRIGGERED][0 if is_market else 1]
    return "MARKET" if is_market else "LIMIT"


def _time_in_force(kind: int) -> str:
    found = _TIMES[kind & at.TIME_IN_FORCE]
    return "GTD" if kind & _GTD and found == "GTC" else found


def _by_kind(kinds: Int64s, name: Callable[[int], str]) -> Any:
    return _texts(kinds, {kind: name(kind) for kind in np.unique(kinds).tolist()})


def _texts(values: Int64s, names: Mapping[int, str | None]) -> Any:
    """Return the name of each value, its own digits where it has none."""
    distinct, places = np.unique(values, return_inverse=True)
    return pa.array([names.get(one, str(one)) for one in distinct.tolist()], pa.string()).take(pa.array(places))


def _amounts(values: Int64s, unit: Decimal, unknown: int) -> Any:
    """Return values times a unit as the tables hold them; null for what stands for unknown."""
    distinct, places = np.unique(values, return_inverse=True)
    amounts = [None if one == unknown else amount(one * unit) for one in distinct.tolist()]
    return pa.array(amounts, AMOUNT).take(pa.array(places))


def _same(text: str, rows: int) -> Any:
    return pa.repeat(pa.scalar(text, pa.string()), rows)


def _times(columns: Mapping[str, Int64s], *names: str) -> dict[str, Any]:
    return {name: pa.array(columns[name], mask=columns[name] == NOT_YET) for name in names}


def _slippage_bps(fills: Mapping[str, Int64s], twice_mid: Int64s) -> Any:
    unknown = twice_mid <= 0
    mid = np.where(unknown, 1, twice_mid).astype(np.float64)
    cost = (2 * fills["price_ticks"] - np.where(unknown, 0, twice_mid)) * fills["side"]
    return pa.array(cost / mid * BPS, mask=unknown)
