"""The matching engine: order life cycles, funds, triggers, order lists and matching over all markets of one venue.

Everything happens inside one call at one `now_ns`, in a fixed order; the answer is a list of typed events. After any
trade the triggers of that market are checked again until nothing more fires (each stop fires once, so it ends).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Final

from tradebot.core.errors import InvariantError
from tradebot.core.ladder import LadderBook, Ladders
from tradebot.core.market import BUY_FLAG, SIDE_MASK, BookState, RowColumns, RowKind
from tradebot.core.orders import Liquidity, OrderStatus, OrderType, Side, TimeInForce
from tradebot.core.row_block import RowBlock
from tradebot.sim.accounts import Account
from tradebot.sim.fees import BPS, RATE_ONE, FeeAccount, FeeSchedule
from tradebot.sim.market import Market, Piece
from tradebot.sim.orders import (
    NO_LIST,
    BalanceReport,
    EndReason,
    Fill,
    FundsLock,
    ListReport,
    ListStatus,
    NewOrder,
    OrderReport,
    Outcome,
    Rejection,
    RejectReason,
    ReportKind,
    SelfTradePrevention,
    SimEvent,
    SimOrder,
    SimOrderList,
    TapeTrade,
)
from tradebot.sim.recorded import Bools, RecordedRows
from tradebot.sim.rules import MarketRules

MAX_CLOSED_ORDERS: Final = 200_000
"""Finished orders kept for queries; the oldest are forgotten first."""
_FEE_GRAIN: Final = 10_000
"""Fees are cut to 8 decimals of the asset, as venues do."""


@dataclass(frozen=True, slots=True)
class FeeRates:
    """Fee as a share of what is received."""

    maker_bps: Decimal = Decimal(10)
    taker_bps: Decimal = Decimal(10)
    tiers: FeeSchedule | None = None
    """Rates by the volume of 30 days, instead of the two above."""

    @property
    def schedule(self) -> FeeSchedule:
        """The fee table."""
        return self.tiers or FeeSchedule.flat(self.maker_bps / BPS, self.taker_bps / BPS)


class MatchingEngine:
    """All markets, accounts and orders of one simulated venue."""

    def __init__(
        self,
        markets: Sequence[MarketRules],
        accounts: Mapping[str, Mapping[str, int]],
        fees: FeeRates,
        *,
        is_recorded: bool,
    ) -> None:
        """Build an empty venue.

        Args:
            markets: Rules per market; a market's index is its place here.
            accounts: Account id -> asset -> free Money at the start.
            fees: Rates of every account.
            is_recorded: The background is a recording (True) or ours to change (False); see `market`.
        """
        ladders = Ladders(len(markets) if is_recorded else 0)
        books = [LadderBook(ladders, index) if is_recorded else None for index in range(len(markets))]
        self.markets = [Market(index, rules, recorded=books[index]) for index, rules in enumerate(markets)]
        self.accounts = {name: Account(name, balances) for name, balances in accounts.items()}
        self._fees = {name: FeeAccount(fees.schedule) for name in accounts}
        self._events: list[SimEvent] = []
        self._next_order_id = 1
        self._next_exec_id = 1
        self._next_list_id = 0
        self._open: dict[int, SimOrder] = {}
        self._open_ids: dict[tuple[str, str], SimOrder] = {}
        self._closed: dict[int, SimOrder] = {}
        self._lists: dict[int, SimOrderList] = {}
        self._waiting: list[dict[int, SimOrder]] = [{} for _ in markets]
        self._rows = RecordedRows(self.markets, ladders, self._waiting)

    # --- questions -------------------------------------------------------------------------------------------------

    def order(self, order_id: int) -> SimOrder | None:
        """Return an order by the venue's id, open or finished."""
        return self._open.get(order_id) or self._closed.get(order_id)

    def open_order(self, account: str, client_order_id: str) -> SimOrder | None:
        """Return an open order by client id."""
        return self._open_ids.get((account, client_order_id))

    def open_orders(self, account: str, instrument: int | None = None) -> list[SimOrder]:
        """Return an account's open orders, oldest first."""
        return [
            order
            for order in self._open.values()
            if order.terms.account == account and instrument in (None, order.terms.instrument)
        ]

    def all_orders(self, account: str, instrument: int) -> list[SimOrder]:
        """Return an account's open and remembered finished orders of one market, by order id."""
        found = [
            order
            for orders in (self._closed, self._open)
            for order in orders.values()
            if order.terms.account == account and order.terms.instrument == instrument
        ]
        return sorted(found, key=lambda order: order.order_id)

    def order_list(self, list_id: int) -> SimOrderList | None:
        """Return an order list."""
        return self._lists.get(list_id)

    def order_lists(self, account: str) -> list[SimOrderList]:
        """Return an account's order lists, oldest first."""
        return [one for one in self._lists.values() if one.account == account]

    # --- requests --------------------------------------------------------------------------------------------------

    def check(self, new: NewOrder) -> Rejection | None:
        """Return why an order would be refused right now, None when it would be taken. Changes nothing."""
        market = self.markets[new.instrument]
        if (new.account, new.client_order_id) in self._open_ids:
            return Rejection(RejectReason.DUPLICATE_CLIENT_ORDER_ID)
        broken = market.rules.broken_by(new, market.reference_price(new.side))
        if broken is None:
            broken = self._broken_counts(new) or self._broken_prices(new, market) or self._broken_funds(new, market)
        return None if broken is None else Rejection(broken)

    def place(self, new: NewOrder, now_ns: int) -> Outcome:
        """Take one order, or refuse it."""
        rejection = self.check(new)
        if rejection is not None:
            return Outcome(rejection=rejection)
        order = self._create(new, NO_LIST, FundsLock(self._paid_asset(new)), now_ns)
        self._lock(order.lock, self._required(order), new.account)
        if new.has_trigger:
            self._waiting[new.instrument][order.order_id] = order
            self._report(order, ReportKind.ACCEPTED, now_ns)
        else:
            self._start_working(order, ReportKind.ACCEPTED, now_ns)
            self._fire_triggers(self.markets[new.instrument], now_ns)
        return Outcome(order=order, events=self._finish(now_ns))

    def place_oco(self, limit_leg: NewOrder, stop_leg: NewOrder, client_list_id: str, now_ns: int) -> Outcome:
        """Take two orders that cancel each other, or refuse both.

        Args:
            limit_leg: Post-only LIMIT, or a take-profit, on the profit side of the last price.
            stop_leg: STOP or STOP_LIMIT on the loss side.
            client_list_id: The client's id of the list.
            now_ns: Time of arrival.
        """
        rejection = self._check_oco(limit_leg, stop_leg)
        if rejection is not None:
            return Outcome(rejection=rejection)
        list_id, self._next_list_id = self._next_list_id, self._next_list_id + 1
        lock = FundsLock(self._paid_asset(limit_leg))
        # The venue numbers and reports the stop leg first.
        legs = [self._create(new, list_id, lock, now_ns) for new in (stop_leg, limit_leg)]
        order_list = SimOrderList(
            list_id, client_list_id, limit_leg.account, limit_leg.instrument, legs, now_ns, updated_ns=now_ns
        )
        self._lists[list_id] = order_list
        self._lock(lock, max(self._required_alone(leg) for leg in legs), limit_leg.account)
        self._report_list(order_list, now_ns)
        for leg in legs:
            if leg.terms.has_trigger:
                self._waiting[leg.terms.instrument][leg.order_id] = leg
                self._report(leg, ReportKind.ACCEPTED, now_ns)
            else:
                self._start_working(leg, ReportKind.ACCEPTED, now_ns)
        return Outcome(order_list=order_list, events=self._finish(now_ns))

    def cancel(
        self,
        account: str,
        order_id: int,
        now_ns: int,
        *,
        cancel_client_order_id: str = "",
        why: EndReason = EndReason.USER,
    ) -> Outcome:
        """End an open order, and with it the other leg of its list."""
        order = self._open.get(order_id)
        if order is None or order.terms.account != account:
            return Outcome(rejection=Rejection(RejectReason.UNKNOWN_ORDER))
        order_list = self._lists.get(order.list_id)
        legs = [order] if order_list is None else [leg for leg in order_list.legs if not leg.status.is_terminal]
        for leg in legs:
            self._end(leg, ReportKind.CANCELED, why, now_ns, cancel_client_order_id)
        if order_list is not None:
            self._close_list(order_list, now_ns)
        return Outcome(order=order, order_list=order_list, events=self._finish(now_ns))

    # --- the background --------------------------------------------------------------------------------------------

    def background_take(self, instrument: int, taker: Side, lots: int, now_ns: int, limit: int = 0) -> list[SimEvent]:
        """Let the rest of the world take up to `lots` within `limit` ticks (0 = any price); live markets only."""
        market = self.markets[instrument]
        self._background_sweep(market, taker, lots, limit, now_ns)
        self._fire_triggers(market, now_ns)
        return self._finish(now_ns)

    def background_limit(self, instrument: int, side: Side, price: int, lots: int, now_ns: int) -> list[SimEvent]:
        """Let the rest of the world place a limit order: it takes what crosses and adds the remainder to the book."""
        market = self.markets[instrument]
        lots = self._background_sweep(market, side, lots, price, now_ns)
        if lots:
            market.set_background(side, price, market.levels(side).get(price, 0) + lots)
        self._fire_triggers(market, now_ns)
        return self._finish(now_ns)

    def background_cancel(self, instrument: int, side: Side, price: int, lots: int) -> None:
        """Let the rest of the world cancel up to `lots` at a level."""
        market = self.markets[instrument]
        here = market.levels(side).get(price, 0)
        if here:
            market.set_background(side, price, max(0, here - lots))

    def take_rows(self, block: RowBlock, start: int, to_ns: int, with_bbo: Bools | None = None) -> int:
        """Apply rows of a recording from `start` on, received up to `to_ns`, that cannot touch any order.

        `with_bbo` says by market where to stop before best bids and offers too.

        Returns:
            The first row not applied: it is beyond `to_ns`, or has to go through `on_rows`.
        """
        return self._rows.take(block, start, to_ns, with_bbo)

    def on_rows(self, columns: RowColumns, start: int, end: int, now_ns: int) -> list[SimEvent]:
        """Apply rows [start, end) of a recording. Instrument columns are market indexes; `now_ns` stamps our fills."""
        self._rows.stale = True
        for i in range(start, end):
            self._apply_row(
                columns.kind[i],
                self.markets[columns.instrument[i]],
                columns.side_flags[i],
                columns.price[i],
                columns.qty[i],
                columns.id[i],
                now_ns,
            )
        return self._finish(now_ns) if self._events else []

    def _apply_row(
        self, kind: int, market: Market, side_flags: int, price: int, qty: int, row_id: int, now_ns: int
    ) -> None:
        side = Side.BUY if side_flags & SIDE_MASK == BUY_FLAG else Side.SELL
        match kind:
            case RowKind.TRADE:
                self._recorded_trade(market, side, price, qty, now_ns)
            case RowKind.BOOK_LEVEL:
                market.set_recorded_level(side, price, qty, row_id)
                self._match_crossed(market, side, now_ns)
            case RowKind.SNAPSHOT_LEVEL:
                market.set_background(side, price, qty)
            case RowKind.BOOK_CLEAR:
                market.clear_background()
            case RowKind.BBO:
                market.set_touch(side, price, qty, row_id)
                self._match_crossed(market, side, now_ns)
            case RowKind.BOOK_STATE if price != BookState.LIVE:
                market.clear_background()
            case _:
                pass

    def _recorded_trade(self, market: Market, aggressor: Side, price: int, lots: int, now_ns: int) -> None:
        """A trade of the recording: it would have met our better-priced orders first, then the queue at its price."""
        maker_side = aggressor.opposite
        own = market.own_orders(maker_side)
        if own:
            better = [p for p in own if (p > price if maker_side is Side.BUY else p < price)]
            for through in sorted(better, reverse=maker_side is Side.BUY):
                for order in list(own[through]):
                    part = min(lots, order.leaves_lots)
                    if not part:
                        break
                    self._fill(order, part, through, Liquidity.MAKER, market.next_trade_id, now_ns)
                    market.next_trade_id += 1
                    lots -= part
            self._eat_queue(market, maker_side, price, lots, now_ns)
        market.last_price = price
        self._fire_triggers(market, now_ns)

    def _eat_queue(self, market: Market, maker_side: Side, price: int, lots: int, now_ns: int) -> None:
        """Spend traded lots on the queue at one price: background ahead of us, us, background behind, and so on."""
        passed = 0  # background lots already traded by this print
        for order in list(market.own_orders(maker_side).get(price, ())):
            step = min(lots, order.queue_ahead - passed)
            passed += step
            lots -= step
            part = min(lots, order.leaves_lots)
            if not part:
                break
            self._fill(order, part, price, Liquidity.MAKER, market.next_trade_id, now_ns)
            market.next_trade_id += 1
            lots -= part
        market.advance_queue(maker_side, price, passed)

    def _match_crossed(self, market: Market, changed: Side, now_ns: int) -> None:
        """The recording moved through our resting orders: they trade, as makers, with what is displayed there."""
        own_side = changed.opposite
        own = market.own_orders(own_side)
        while own:
            best = max(own) if own_side is Side.BUY else min(own)
            piece = self._background_piece(market, own_side, best)
            if piece is None:
                return
            order = own[best][0]
            part = min(piece.lots, order.leaves_lots)
            market.take_background(changed, piece.price, part)
            self._fill(order, part, best, Liquidity.MAKER, market.next_trade_id, now_ns)
            market.next_trade_id += 1

    @staticmethod
    def _background_piece(market: Market, taker: Side, limit: int) -> Piece | None:
        piece = market.next_piece(taker, limit)
        return piece if piece is not None and piece.maker is None and piece.lots else None

    def _background_sweep(self, market: Market, taker: Side, lots: int, limit: int, now_ns: int) -> int:
        """Return what is left of a background taker's quantity."""
        while lots and (piece := market.next_piece(taker, limit)) is not None:
            part = min(lots, piece.lots)
            trade_id = self._print(market, taker, piece.price, part, now_ns)
            if piece.maker is None:
                market.take_background(taker.opposite, piece.price, part)
            else:
                self._fill(piece.maker, part, piece.price, Liquidity.MAKER, trade_id, now_ns)
            lots -= part
        return lots

    # --- checks ----------------------------------------------------------------------------------------------------

    def _broken_counts(self, new: NewOrder, adding: int = 1) -> RejectReason | None:
        rules = self.markets[new.instrument].rules
        if len(self._open) + adding <= rules.max_num_orders and not new.has_trigger:
            return None
        mine = self.open_orders(new.account, new.instrument)
        if len(mine) + adding > rules.max_num_orders:
            return RejectReason.MAX_NUM_ORDERS
        triggers = sum(order.order_id in self._waiting[new.instrument] for order in mine)
        if new.has_trigger and triggers >= rules.max_num_algo_orders:
            return RejectReason.MAX_NUM_ALGO_ORDERS
        return None

    def _broken_prices(self, new: NewOrder, market: Market) -> RejectReason | None:
        if new.has_trigger:
            if not market.last_price:
                return RejectReason.NO_REFERENCE_PRICE
            return RejectReason.STOP_WOULD_TRIGGER if _is_triggered(new, market.last_price) else None
        if new.post_only:
            best = market.best(new.side.opposite)
            if best is not None and (new.price >= best if new.side is Side.BUY else new.price <= best):
                return RejectReason.WOULD_MATCH
        return None

    def _broken_funds(self, new: NewOrder, market: Market) -> RejectReason | None:
        free = self.accounts[new.account].free(self._paid_asset(new))
        if new.order_type is not OrderType.MARKET:
            needed = self._required_for(new, new.lots)
        elif new.side is Side.BUY:
            needed = new.quote_money or market.cost_of(Side.BUY, new.lots)
        else:
            lots = new.lots or market.lots_for_quote(Side.SELL, new.quote_money)
            needed = lots * market.rules.money_per_lot
        return RejectReason.INSUFFICIENT_BALANCE if needed > free else None

    def _check_oco(self, limit_leg: NewOrder, stop_leg: NewOrder) -> Rejection | None:
        market = self.markets[limit_leg.instrument]
        for leg in (limit_leg, stop_leg):
            if (
                leg.account,
                leg.client_order_id,
            ) in self._open_ids or limit_leg.client_order_id == stop_leg.client_order_id:
                return Rejection(RejectReason.DUPLICATE_CLIENT_ORDER_ID)
            broken = market.rules.broken_by(leg, market.reference_price(leg.side)) or self._broken_counts(leg, adding=2)
            if broken is not None:
                return Rejection(broken)
        last = market.last_price
        profit = limit_leg.stop_price or limit_leg.price
        low, high = sorted((profit, stop_leg.stop_price))
        profit_is_high = limit_leg.side is Side.SELL
        if not last or not low < last < high or (profit == high) is not profit_is_high:
            return Rejection(RejectReason.LIST_PRICES)
        broken = self._broken_prices(limit_leg, market)
        if broken is not None:
            return Rejection(broken)
        needed = max(self._required_for(leg, leg.lots) for leg in (limit_leg, stop_leg))
        if needed > self.accounts[limit_leg.account].free(self._paid_asset(limit_leg)):
            return Rejection(RejectReason.INSUFFICIENT_BALANCE)
        return None

    # --- life cycle ------------------------------------------------------------------------------------------------

    def _create(self, new: NewOrder, list_id: int, lock: FundsLock, now_ns: int) -> SimOrder:
        lots = new.lots
        if new.quote_money:
            lots = self.markets[new.instrument].lots_for_quote(new.side, new.quote_money)
        order = SimOrder(new, self._next_order_id, list_id, now_ns, lots, lock, updated_ns=now_ns)
        self._next_order_id += 1
        self._open[order.order_id] = order
        self._open_ids[new.account, new.client_order_id] = order
        return order

    def _start_working(self, order: SimOrder, kind: ReportKind, now_ns: int) -> None:
        """Send an order to the book: report it, match it, rest or expire the remainder."""
        terms = order.terms
        market = self.markets[terms.instrument]
        order.working = True
        order.working_ns = now_ns
        self._report(order, kind, now_ns)
        limit = terms.price if terms.has_limit else 0
        if terms.time_in_force is TimeInForce.FOK:
            wanted = order.leaves_lots
            if market.available_lots(terms.side, limit, wanted) < wanted:
                self._end(order, ReportKind.EXPIRED, EndReason.TIME_IN_FORCE, now_ns)
                return
        self._match(order, market, limit, now_ns)
        if order.status.is_terminal:
            return
        if terms.has_limit and terms.time_in_force is TimeInForce.GTC:
            market.rest(order)
        else:
            self._end(order, ReportKind.EXPIRED, EndReason.TIME_IN_FORCE, now_ns)

    def _match(self, order: SimOrder, market: Market, limit: int, now_ns: int) -> None:
        terms = order.terms
        while not order.status.is_terminal and order.leaves_lots:
            piece = market.next_piece(terms.side, limit)
            if piece is None:
                return
            maker = piece.maker
            if maker is not None and maker.terms.account == terms.account:
                mode = terms.self_trade_prevention
                if mode is not SelfTradePrevention.NONE:
                    if mode is not SelfTradePrevention.EXPIRE_TAKER:
                        self._end(maker, ReportKind.EXPIRED, EndReason.SELF_TRADE, now_ns)
                    if mode is not SelfTradePrevention.EXPIRE_MAKER:
                        self._end(order, ReportKind.EXPIRED, EndReason.SELF_TRADE, now_ns)
                    continue
            part = self._affordable(order, min(order.leaves_lots, piece.lots), piece.price)
            if not part:
                self._end(order, ReportKind.EXPIRED, EndReason.FUNDS, now_ns)
                return
            trade_id = self._print(market, terms.side, piece.price, part, now_ns)
            if maker is None:
                market.take_background(terms.side.opposite, piece.price, part)
            else:
                self._fill(maker, part, piece.price, Liquidity.MAKER, trade_id, now_ns)
            self._fill(order, part, piece.price, Liquidity.TAKER, trade_id, now_ns)

    def _affordable(self, order: SimOrder, lots: int, price: int) -> int:
        """Cut a fill to the funds. Only a triggered market buy can run short: its lock is an estimate."""
        terms = order.terms
        if terms.side is Side.SELL or terms.has_limit:
            return lots
        unit = price * self.markets[terms.instrument].rules.money_per_tick_lot
        return min(lots, (order.lock.amount + self.accounts[terms.account].free(order.lock.asset)) // unit)

    def _print(self, market: Market, taker: Side, price: int, lots: int, now_ns: int) -> int:
        trade_id = market.next_trade_id
        market.next_trade_id += 1
        if not market.is_recorded:
            market.last_price = price
            self._events.append(TapeTrade(market.index, trade_id, price, lots, taker, now_ns))
        return trade_id

    def _fill(self, order: SimOrder, lots: int, price: int, liquidity: Liquidity, trade_id: int, now_ns: int) -> None:
        terms = order.terms
        market = self.markets[terms.instrument]
        rules = market.rules
        account = self.accounts[terms.account]
        base, quote = lots * rules.money_per_lot, lots * price * rules.money_per_tick_lot
        cost, gain = (quote, base) if terms.side is Side.BUY else (base, quote)
        from_lock = min(order.lock.amount, cost)
        order.lock.amount -= from_lock
        account.pay_locked(order.lock.asset, from_lock)
        if cost > from_lock:
            account.credit(order.lock.asset, from_lock - cost)
        fees = self._fees[terms.account]
        fee = gain * fees.scaled(liquidity is Liquidity.MAKER, now_ns) // (RATE_ONE * _FEE_GRAIN) * _FEE_GRAIN
        fees.traded_money(quote, now_ns)
        fee_asset = rules.received_asset(terms.side)
        account.credit(fee_asset, gain - fee)
        order.filled_lots += lots
        order.filled_money += quote
        order.updated_ns = now_ns
        done = order.filled_lots == order.lots
        order.status = OrderStatus.FILLED if done else OrderStatus.PARTIALLY_FILLED
        if liquidity is Liquidity.MAKER:
            if done:
                market.remove(order)
            else:
                market.shown_changed(order)
        self._lock(order.lock, self._required(order), terms.account)
        fill = Fill(trade_id, price, lots, fee_asset, fee, liquidity)
        self._report(order, ReportKind.TRADE, now_ns, fill=fill)
        if done:
            self._close(order)
        if order.list_id != NO_LIST:
            self._end_other_legs(order, now_ns)

    def _end_other_legs(self, order: SimOrder, now_ns: int) -> None:
        order_list = self._lists[order.list_id]
        for leg in order_list.legs:
            if leg is not order and not leg.status.is_terminal:
                self._end(leg, ReportKind.EXPIRED, EndReason.LIST, now_ns)
        if order.status.is_terminal:
            self._close_list(order_list, now_ns)

    def _end(
        self, order: SimOrder, kind: ReportKind, why: EndReason, now_ns: int, cancel_client_order_id: str = ""
    ) -> None:
        """End an order that is not completely filled."""
        market = self.markets[order.terms.instrument]
        on_book = order in market.own_orders(order.terms.side).get(order.terms.price, ())
        order.status = OrderStatus.CANCELED if kind is ReportKind.CANCELED else OrderStatus.EXPIRED
        order.end_reason = why
        order.working = False
        order.updated_ns = now_ns
        if on_book:
            market.remove(order)
        self._waiting[order.terms.instrument].pop(order.order_id, None)
        self._lock(order.lock, self._required(order), order.terms.account)
        self._report(order, kind, now_ns, cancel_client_order_id=cancel_client_order_id)
        self._close(order)
        if order.list_id != NO_LIST and why is not EndReason.LIST and kind is ReportKind.EXPIRED:
            self._end_other_legs(order, now_ns)

    def _close(self, order: SimOrder) -> None:
        self._open.pop(order.order_id, None)
        self._open_ids.pop((order.terms.account, order.terms.client_order_id), None)
        self._closed[order.order_id] = order
        if len(self._closed) > MAX_CLOSED_ORDERS:
            del self._closed[next(iter(self._closed))]

    def _close_list(self, order_list: SimOrderList, now_ns: int) -> None:
        if order_list.status is ListStatus.EXECUTING and all(leg.status.is_terminal for leg in order_list.legs):
            order_list.status = ListStatus.ALL_DONE
            order_list.updated_ns = now_ns
            self._report_list(order_list, now_ns)
            if len(self._lists) > MAX_CLOSED_ORDERS:
                self._forget_oldest_list()

    def _forget_oldest_list(self) -> None:
        done = next((i for i, one in self._lists.items() if one.status is ListStatus.ALL_DONE), None)
        if done is not None:
            del self._lists[done]

    def _fire_triggers(self, market: Market, now_ns: int) -> None:
        waiting = self._waiting[market.index]
        while waiting:
            fired = next((one for one in waiting.values() if _is_triggered(one.terms, market.last_price)), None)
            if fired is None:
                return
            del waiting[fired.order_id]
            if fired.list_id != NO_LIST:
                for leg in self._lists[fired.list_id].legs:
                    if leg is not fired and not leg.status.is_terminal:
                        self._end(leg, ReportKind.EXPIRED, EndReason.LIST, now_ns)
            self._start_working(fired, ReportKind.TRIGGERED, now_ns)

    # --- funds -----------------------------------------------------------------------------------------------------

    def _paid_asset(self, new: NewOrder) -> str:
        return self.markets[new.instrument].rules.paid_asset(new.side)

    def _required_for(self, new: NewOrder, lots: int) -> int:
        """Return the Money to set aside for `lots` of an order."""
        rules = self.markets[new.instrument].rules
        if new.side is Side.SELL:
            return lots * rules.money_per_lot
        if new.order_type is OrderType.MARKET:
            return 0  # paid from free as it matches; checked against the book before
        return lots * (new.price or new.stop_price) * rules.money_per_tick_lot

    def _required_alone(self, order: SimOrder) -> int:
        return 0 if order.status.is_terminal else self._required_for(order.terms, order.leaves_lots)

    def _required(self, order: SimOrder) -> int:
        order_list = self._lists.get(order.list_id)
        if order_list is None:
            return self._required_alone(order)
        return max(self._required_alone(leg) for leg in order_list.legs)

    def _lock(self, lock: FundsLock, required: int, account: str) -> None:
        """Make a lock hold `required`. A buy that has paid more than its estimate simply holds nothing more."""
        change = required - lock.amount
        if change > 0:
            change = min(change, self.accounts[account].free(lock.asset))
        if change:
            self.accounts[account].move_to_locked(lock.asset, change)
            lock.amount += change

    # --- events ----------------------------------------------------------------------------------------------------

    def _report(
        self,
        order: SimOrder,
        kind: ReportKind,
        now_ns: int,
        *,
        fill: Fill | None = None,
        cancel_client_order_id: str = "",
    ) -> None:
        self._events.append(
            OrderReport(
                kind,
                order.terms,
                order.order_id,
                order.list_id,
                self._next_exec_id,
                order.status,
                order.lots,
                order.filled_lots,
                order.filled_money,
                order.working and not order.status.is_terminal,
                order.created_ns,
                order.working_ns,
                now_ns,
                fill,
                order.end_reason,
                cancel_client_order_id,
            )
        )
        self._next_exec_id += 1

    def _report_list(self, one: SimOrderList, now_ns: int) -> None:
        legs = tuple((leg.order_id, leg.terms.client_order_id) for leg in one.legs)
        self._events.append(
            ListReport(one.list_id, one.client_list_id, one.account, one.instrument, one.status, legs, now_ns)
        )

    def _finish(self, now_ns: int) -> list[SimEvent]:
        self._rows.stale = True
        for account in self.accounts.values():
            touched = account.take_touched()
            if touched:
                self._events.append(BalanceReport(account.account_id, tuple(touched), now_ns))
        events, self._events = self._events, []
        return events

    def assert_consistent(self) -> None:
        """Raise InvariantError when locks and open orders disagree; for tests and long simulations."""
        held: dict[tuple[str, str], int] = {}
        locks = {id(order.lock): (order.terms.account, order.lock) for order in self._open.values()}
        for name, lock in locks.values():
            held[name, lock.asset] = held.get((name, lock.asset), 0) + lock.amount
        for name, account in self.accounts.items():
            for balance in account.balances():
                expected = held.get((name, balance.asset), 0)
                if balance.locked != expected:
                    raise InvariantError(f"{name}: {balance.asset} locked {balance.locked}, orders hold {expected}")


def _is_triggered(new: NewOrder, last_price: int) -> bool:
    """True when the last price has reached the trigger: stops against us, take-profits in our favour."""
    if not last_price:
        return False
    rising = (new.side is Side.BUY) is (new.order_type in (OrderType.STOP, OrderType.STOP_LIMIT))
    return last_price >= new.stop_price if rising else last_price <= new.stop_price
