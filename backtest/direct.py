"""The venue of a backtest with perpetuals: the simulated exchange spoken to in no protocol, but in what one would say.

No venue folder has a perpetual's protocol yet. So the requests that execd's gateway builds, reads back and passes carry
their terms instead of bytes (`DirectCodec`, one more dialect to it), and the venue answers with the events that bytes
would decode to. Amounts and times are cut as protocols cut them: eight decimals, milliseconds.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any, Final

from backtest.row_queue import FAR_NS
from backtest.shortcut import NS_PER_MS, Frame, balance_update, execution_of, told_amount
from backtest.venue import ACCOUNT
from tradebot.core.accounts import Balance, LedgerEntry, LedgerKind, MarginState, PositionMargin
from tradebot.core.amounts import to_money
from tradebot.core.errors import InvariantError, VenueProtocolError
from tradebot.core.instruments import Instrument
from tradebot.core.market import RowColumns
from tradebot.core.orders import Execution, Liquidity, OrderEventKind, OrderTerms
from tradebot.core.row_block import RowBlock
from tradebot.sim.engine import FeeRates, MatchingEngine
from tradebot.sim.market import FillModel
from tradebot.sim.orders import (
    NO_LIST,
    BalanceReport,
    EndReason,
    LedgerReport,
    LiquidationReport,
    ListReport,
    ListStatus,
    NewOrder,
    OrderReport,
    Outcome,
    RejectReason,
    ReportKind,
    SimEvent,
    SimOrder,
    TapeTrade,
)
from tradebot.sim.rules import MarketRules
from tradebot.venues.api_orders import (
    AccountRows,
    LedgerUpdate,
    LiquidationUpdate,
    ListUpdate,
    MarginUpdate,
    OrderUpdate,
    ParsedOrderRequest,
    RequestKind,
    RequestOutcome,
    RestRead,
    VenueEvent,
    VenueOrder,
    VenueReply,
    VenueTrade,
)

MAX_TRADES: Final = 200_000
"""Fills kept per market."""
MAX_CLIENT_IDS: Final = 200_000
"""Orders that can be found by their client id."""
MAX_FUNDINGS: Final = 10_000
"""Fundings whose terms are remembered."""
FINE_STEP: Final = Decimal("1e-8")
_KINDS: Final = {
    ReportKind.ACCEPTED: OrderEventKind.ACCEPTED,
    ReportKind.TRADE: OrderEventKind.FILL,
    ReportKind.CANCELED: OrderEventKind.CANCELED,
    ReportKind.EXPIRED: OrderEventKind.EXPIRED,
    ReportKind.TRIGGERED: None,
}
_REASONS: Final = {
    RejectReason.INSUFFICIENT_BALANCE: "INSUFFICIENT_FUNDS",
    RejectReason.DUPLICATE_CLIENT_ORDER_ID: "DUPLICATE_CLIENT_ID",
    RejectReason.UNKNOWN_ORDER: "ORDER_NOT_FOUND",
}


class DirectRequest(bytes):
    """A request that never leaves the process."""

    kind: RequestKind
    request_id: str
    legs: tuple[OrderTerms, ...]
    instrument_id: str
    client_order_id: str
    timestamp_ms: int

    @classmethod
    def make(
        cls,
        kind: RequestKind,
        request_id: str,
        timestamp_ms: int = 0,
        legs: tuple[OrderTerms, ...] = (),
        instrument_id: str = "",
        client_order_id: str = "",
    ) -> DirectRequest:
        """Return a request."""
        made = cls()
        made.kind, made.request_id, made.timestamp_ms = kind, request_id, timestamp_ms
        made.legs, made.instrument_id, made.client_order_id = legs, instrument_id, client_order_id
        return made


class DirectCodec:
    """Implements `OrderCodec` without bytes."""

    carries_reduce_only = True
    page_rows = MAX_TRADES

    def __init__(self, venue: str, api_key: str, recv_window_ms: int) -> None:
        self.venue = venue
        self._api_key = api_key
        self._recv_window_ms = recv_window_ms

    def place(self, request_id: str, terms: OrderTerms, timestamp_ms: int) -> bytes:
        return DirectRequest.make(RequestKind.PLACE, request_id, timestamp_ms, (terms,))

    def place_oco(
        self, request_id: str, list_client_id: str, stop: OrderTerms, target: OrderTerms, timestamp_ms: int
    ) -> bytes:
        return DirectRequest.make(
            RequestKind.PLACE_OCO, request_id, timestamp_ms, (stop, target), client_order_id=list_client_id
        )

    def cancel(self, request_id: str, terms: OrderTerms, timestamp_ms: int) -> bytes:
        return self._about(RequestKind.CANCEL, request_id, terms.instrument_id, terms.client_order_id, timestamp_ms)

    def cancel_all(self, request_id: str, instrument_id: str, timestamp_ms: int) -> bytes:
        return self._about(RequestKind.CANCEL_ALL, request_id, instrument_id, "", timestamp_ms)

    def query(self, request_id: str, instrument_id: str, client_order_id: str, timestamp_ms: int) -> bytes:
        return self._about(RequestKind.QUERY, request_id, instrument_id, client_order_id, timestamp_ms)

    def login(self, request_id: str, timestamp_ms: int) -> bytes:
        return DirectRequest.make(RequestKind.LOGIN, request_id, timestamp_ms)

    def time(self, request_id: str) -> bytes:
        return DirectRequest.make(RequestKind.TIME, request_id)

    @staticmethod
    def _about(
        kind: RequestKind, request_id: str, instrument_id: str, client_order_id: str, timestamp_ms: int
    ) -> DirectRequest:
        return DirectRequest.make(kind, request_id, timestamp_ms, (), instrument_id, client_order_id)

    def parse_order_request(self, data: bytes) -> ParsedOrderRequest:
        if not isinstance(data, DirectRequest) or not data.legs:
            raise VenueProtocolError("not a placing request of the direct dialect")
        deadline_ms = data.timestamp_ms + self._recv_window_ms
        return ParsedOrderRequest(data.kind, self._api_key, data.legs, data.request_id, deadline_ms)

    def decode(self, data: bytes) -> VenueEvent | None:
        raise VenueProtocolError("the direct dialect has no frames of bytes")

    def account_read(self) -> RestRead:
        return RestRead("account", {}, 0)

    def open_orders_read(self, instrument_id: str) -> RestRead:
        return RestRead("open_orders", {"instrument": instrument_id}, 0)

    def order_history_read(self, instrument_id: str, start_time_ms: int) -> RestRead:
        return RestRead("order_history", {"instrument": instrument_id, "since_ms": start_time_ms}, 0)

    def trades_read(self, instrument_id: str, start_time_ms: int = 0, venue_order_id: str = "") -> RestRead:
        params: dict[str, str | int] = {"instrument": instrument_id, "since_ms": start_time_ms}
        return RestRead("trades", params | {"order_id": venue_order_id}, 0)

    def decode_account(self, body: object) -> AccountRows:
        assert isinstance(body, AccountRows)
        return body

    def decode_orders(self, body: object) -> list[VenueOrder]:
        assert isinstance(body, list)
        return body

    def decode_trades(self, instrument_id: str, body: object) -> list[VenueTrade]:
        assert isinstance(body, list)
        return body


class DirectVenue:
    """One account at one venue; the same face as `BacktestVenue`."""

    def __init__(
        self,
        name: str,
        rules: Sequence[MarketRules],
        balances: Mapping[str, Decimal],
        fees: FeeRates,
        fill_model: FillModel,
    ) -> None:
        """Open it."""
        self.name = name
        wallet = {asset: to_money(amount) for asset, amount in balances.items()}
        self.engine = MatchingEngine(rules, {ACCOUNT: wallet}, fees, is_recorded=True, fill_model=fill_model)
        self._instruments: list[Instrument] = [one.instrument for one in rules]
        self._index = {one.instrument.instrument_id: index for index, one in enumerate(rules)}
        self._by_client_id: dict[str, int] = {}
        self._trades: list[deque[VenueTrade]] = [deque(maxlen=MAX_TRADES) for _ in rules]
        self._fundings: dict[str, tuple[Decimal, Decimal]] = {}

    # ---- as the world asks

    @property
    def has_orders(self) -> bool:
        """True while anything of ours rests at the venue."""
        return bool(self.engine.open_orders(ACCOUNT))

    acts_on_rows = True
    """A mark may liquidate."""

    def open_orders(self) -> list[tuple[str, int, SimOrder]]:
        """Return (client order id, instrument index, order) of everything of ours at the venue."""
        orders = self.engine.open_orders(ACCOUNT)
        return [(order.terms.client_order_id, order.terms.instrument, order) for order in orders]

    def touch(self, index: int) -> tuple[int, int]:
        """See `BacktestVenue`."""
        bid, _, ask, _ = self.engine.markets[index].touch
        return bid, ask

    def take_rows(self, rows: RowBlock, start: int, to_ns: int) -> int:
        """See `BacktestVenue`."""
        return self.engine.take_rows(rows, start, to_ns)

    def apply_rows(self, rows: RowColumns, now_ns: int) -> list[Frame]:
        """Let recorded rows happen; returns the account events that they caused."""
        return self._frames(self.engine.on_rows(rows, 0, len(rows), now_ns))

    @property
    def next_due_ns(self) -> int:
        """When the venue acts by its own clock, FAR_NS for never."""
        return self.engine.next_due_ns or FAR_NS

    def warnings(self) -> list[str]:
        """Return what a reader of the results has to know about the venue."""
        perpetuals = self.engine.perpetuals
        if perpetuals is None:
            return []
        names = [
            line.market.rules.instrument.instrument_id for line in perpetuals.lines() if line.was_held and not line.mark
        ]
        found = [
            f"{name}: no mark price in the data, so no funding was charged and no margin watched" for name in names
        ]
        if perpetuals.unmarked:
            found.append(f"{perpetuals.unmarked} fundings came before the first mark price and were not charged")
        return found

    def funding_terms(self, entry_id: str) -> tuple[Decimal, Decimal] | None:
        """Return (rate, mark price) of a funding entry, for whoever writes tables; None when it is none."""
        return self._fundings.get(entry_id)

    def run_due(self, now_ns: int) -> list[Frame]:
        """Let the venue's clock reach a time."""
        return self._frames(self.engine.run_due(now_ns))

    def request(self, data: bytes, now_ns: int) -> list[Frame]:
        """Take one request; returns the answer and then the account events that it caused."""
        if not isinstance(data, DirectRequest):
            raise InvariantError("the direct venue understands no bytes")
        match data.kind:
            case RequestKind.PLACE:
                return self._place(data, now_ns)
            case RequestKind.PLACE_OCO:
                return self._place_list(data, now_ns)
            case RequestKind.CANCEL:
                return self._cancel(data, now_ns)
            case RequestKind.CANCEL_ALL:
                return self._cancel_all(data, now_ns)
            case RequestKind.QUERY:
                order = self._find(data.client_order_id)
                if order is None:
                    return [_refused(data, RejectReason.UNKNOWN_ORDER)]
                return [_accepted(data, (self._row(order, order.updated_ns),))]
            case RequestKind.LOGIN:
                return [_accepted(data), *self._margin(now_ns)]
            case RequestKind.TIME:
                return [_accepted(data)._replace(server_time_ns=now_ns // NS_PER_MS * NS_PER_MS)]

    def refuse(self, data: bytes, now_ns: int) -> list[Frame]:
        """Return the answer of a venue in trouble: it did not look at the request."""
        if not isinstance(data, DirectRequest):
            raise InvariantError("the direct venue understands no bytes")
        return [VenueReply(data.request_id, RequestOutcome.REJECTED, reason="VENUE_OVERLOADED")]

    def read(self, read: RestRead, now_ns: int) -> Any:
        """Do one private read."""
        if read.method == "account":
            rows = tuple(
                Balance(one.asset, told_amount(one.free), told_amount(one.locked))
                for one in self.engine.accounts[ACCOUNT].balances()
            )
            return AccountRows(rows, now_ns // NS_PER_MS * NS_PER_MS)
        index = self._index[str(read.params["instrument"])]
        if read.method == "open_orders":
            return [self._row(order, order.updated_ns) for order in self.engine.open_orders(ACCOUNT, index)]
        since_ns = int(read.params["since_ms"]) * NS_PER_MS
        if read.method == "order_history":
            orders = self.engine.all_orders(ACCOUNT, index)
            return [self._row(order, order.updated_ns) for order in orders if order.created_ns >= since_ns]
        order_id = read.params["order_id"]
        return [
            trade
            for trade in self._trades[index]
            if (not order_id or trade.venue_order_id == order_id) and trade.execution.event_time_ns >= since_ns
        ]

    # ---- requests

    def _place(self, data: DirectRequest, now_ns: int) -> list[Frame]:
        (terms,) = data.legs
        new = self._new_order(terms)
        if new is None:
            return [_refused(data, RejectReason.LOT_SIZE)]
        outcome = self.engine.place(new, now_ns)
        if outcome.rejection is not None or outcome.order is None:
            return [_refused(data, _reason(outcome))]
        order = self._remember(outcome.order)
        fills = [
            event.fill
            for event in outcome.events
            if isinstance(event, OrderReport) and event.fill is not None and event.order_id == order.order_id
        ]
        instrument = self._instruments[new.instrument]
        executions = tuple(
            execution_of(fill, terms.client_order_id, instrument, terms.side, Liquidity.TAKER, order.created_ns)
            for fill in fills
        )
        return [_accepted(data, (self._row(order, order.created_ns),), executions), *self._frames(outcome.events)]

    def _place_list(self, data: DirectRequest, now_ns: int) -> list[Frame]:
        stop, target = (self._new_order(leg) for leg in data.legs)
        if stop is None or target is None:
            return [_refused(data, RejectReason.LOT_SIZE)]
        outcome = self.engine.place_oco(target, stop, data.client_order_id, now_ns)
        if outcome.rejection is not None or outcome.order_list is None:
            return [_refused(data, _reason(outcome))]
        rows = tuple(self._row(self._remember(leg), leg.created_ns) for leg in outcome.order_list.legs)
        return [_accepted(data, rows), *self._frames(outcome.events)]

    def _cancel(self, data: DirectRequest, now_ns: int) -> list[Frame]:
        order = self._find(data.client_order_id)
        if order is None or order.status.is_terminal:
            return [_refused(data, RejectReason.UNKNOWN_ORDER)]
        outcome = self.engine.cancel(ACCOUNT, order.order_id, now_ns)
        legs = (order,) if outcome.order_list is None else tuple(outcome.order_list.legs)
        rows = tuple(self._row(leg, leg.updated_ns) for leg in legs)
        return [_accepted(data, rows), *self._frames(outcome.events)]

    def _cancel_all(self, data: DirectRequest, now_ns: int) -> list[Frame]:
        events: list[SimEvent] = []
        orders = self.engine.open_orders(ACCOUNT, self._index[data.instrument_id])
        for order in orders:
            if not order.status.is_terminal:
                events += self.engine.cancel(ACCOUNT, order.order_id, now_ns).events
        rows = tuple(self._row(order, order.updated_ns) for order in orders)
        return [_accepted(data, rows), *self._frames(events)]

    def _new_order(self, terms: OrderTerms) -> NewOrder | None:
        """Return the order in ticks and lots; None when it is on no step."""
        index = self._index[terms.instrument_id]
        instrument = self._instruments[index]
        lots = instrument.qty_lots(terms.qty)
        price = 0 if terms.price is None else instrument.price_ticks(terms.price)
        stop_price = 0 if terms.stop_price is None else instrument.price_ticks(terms.stop_price)
        if lots is None or price is None or stop_price is None:
            return None
        return NewOrder(
            ACCOUNT,
            terms.client_order_id,
            index,
            terms.side,
            terms.order_type,
            lots,
            price,
            stop_price,
            terms.time_in_force,
            terms.post_only,
            reduce_only=terms.reduce_only and self.engine.markets[index].rules.is_perpetual,
            expires_ns=terms.expire_time_ns,
        )

    def _remember(self, order: SimOrder) -> SimOrder:
        self._by_client_id[order.terms.client_order_id] = order.order_id
        if len(self._by_client_id) > MAX_CLIENT_IDS:
            del self._by_client_id[next(iter(self._by_client_id))]
        return order

    def _find(self, client_order_id: str) -> SimOrder | None:
        order_id = self._by_client_id.get(client_order_id)
        return None if order_id is None else self.engine.order(order_id)

    # ---- what the venue tells

    def _frames(self, events: Sequence[SimEvent]) -> list[Frame]:
        frames: list[Frame] = []
        moved_ns = 0
        for event in events:
            match event:
                case OrderReport():
                    frames.append(self._order_update(event))
                    moved_ns = event.time_ns
                case ListReport():
                    frames.append(_list_update(event))
                case BalanceReport():
                    frames.append(balance_update(event))
                case LedgerReport():
                    frames.append(self._ledger(event))
                    moved_ns = event.time_ns
                case LiquidationReport():
                    frames.append(self._liquidation(event))
                    moved_ns = event.time_ns
                case TapeTrade():
                    pass
        return frames + (self._margin(moved_ns) if moved_ns else [])

    def _order_update(self, report: OrderReport) -> OrderUpdate:
        index = report.terms.instrument
        row = self._row(report, report.time_ns)
        execution: Execution | None = None
        if report.fill is not None:
            execution = execution_of(
                report.fill, row.client_order_id, self._instruments[index], row.side, report.fill.liquidity,
                report.time_ns,
            )  # fmt: skip
            self._trades[index].append(VenueTrade(row.venue_order_id, execution))
        return OrderUpdate(row, _KINDS[report.kind], execution)

    def _row(self, order: OrderReport | SimOrder, at_ns: int) -> VenueOrder:
        terms, instrument = order.terms, self._instruments[order.terms.instrument]
        return VenueOrder(
            terms.client_order_id,
            str(order.order_id),
            instrument.instrument_id,
            instrument.venue_symbol,
            terms.side,
            terms.order_type,
            terms.time_in_force,
            terms.post_only,
            instrument.qty(order.lots),
            instrument.price(terms.price) or None,
            instrument.price(terms.stop_price) or None,
            order.status,
            instrument.qty(order.filled_lots),
            at_ns // NS_PER_MS * NS_PER_MS,
            "" if order.end_reason in (EndReason.NONE, EndReason.USER) else order.end_reason.value.upper(),
            "" if order.list_id == NO_LIST else str(order.list_id),
            order.created_ns // NS_PER_MS * NS_PER_MS,
        )

    def _ledger(self, report: LedgerReport) -> LedgerUpdate:
        instrument = self._instruments[report.instrument].instrument_id if report.instrument >= 0 else ""
        entry_id = f"{report.kind.name.lower()}-{report.entry_id}"
        if report.kind is LedgerKind.FUNDING:
            self._fundings[entry_id] = (Decimal(report.rate) * FINE_STEP, Decimal(report.mark_price) * FINE_STEP)
            if len(self._fundings) > MAX_FUNDINGS:
                del self._fundings[next(iter(self._fundings))]
        at_ns = report.time_ns // NS_PER_MS * NS_PER_MS
        money = told_amount(report.money)
        return LedgerUpdate(
            LedgerEntry(self.name, ACCOUNT, entry_id, report.kind, report.asset, money, at_ns, instrument)
        )

    def _liquidation(self, report: LiquidationReport) -> LiquidationUpdate:
        instrument = self._instruments[report.instrument]
        return LiquidationUpdate(
            Execution(
                str(report.trade_id),
                "",
                instrument.instrument_id,
                report.side,
                instrument.qty(report.lots),
                instrument.price(report.price),
                told_amount(report.fee_money),
                report.fee_asset,
                Liquidity.TAKER,
                report.time_ns // NS_PER_MS * NS_PER_MS,
            )
        )

    def _margin(self, now_ns: int) -> list[Frame]:
        """Return the margin figures as they stand."""
        perpetuals = self.engine.perpetuals
        if perpetuals is None:
            return []
        at_ns = now_ns // NS_PER_MS * NS_PER_MS
        accounts = tuple(
            MarginState(
                self.name,
                ACCOUNT,
                asset,
                told_amount(perpetuals.margin_balance(asset)),
                told_amount(perpetuals.initial_margin(asset)),
                told_amount(perpetuals.maintenance_margin(asset)),
                at_ns,
            )
            for asset in perpetuals.assets()
        )
        positions = tuple(
            PositionMargin(
                line.market.rules.instrument.instrument_id,
                line.terms.leverage,
                None,
                told_amount(line.maintenance),
                False,
                at_ns,
            )
            for line in perpetuals.lines()
        )
        return [MarginUpdate(accounts, positions)]


def _list_update(report: ListReport) -> ListUpdate:
    ids = tuple(client_order_id for _, client_order_id in report.legs)
    done = report.status is ListStatus.ALL_DONE
    return ListUpdate(str(report.list_id), ids, done, False, report.time_ns // NS_PER_MS * NS_PER_MS)


def _reason(outcome: Outcome) -> RejectReason:
    return RejectReason.UNKNOWN_ORDER if outcome.rejection is None else outcome.rejection.reason


def _accepted(
    data: DirectRequest, rows: tuple[VenueOrder, ...] = (), executions: tuple[Execution, ...] = ()
) -> VenueReply:
    return VenueReply(data.request_id, RequestOutcome.ACCEPTED, rows, executions)


def _refused(data: DirectRequest, why: RejectReason) -> VenueReply:
    reason = _REASONS.get(why, why.name)
    return VenueReply(data.request_id, RequestOutcome.REJECTED, reason=reason, detail=why.value)
