"""All markets, accounts and orders of one simulated venue: order life cycles, funds, order lists, rules, events.

What matches what, queues, triggers and self-trade prevention are the kernels' (`market`); here their reports become
order events and move money. Everything happens inside one call at one `now_ns`, in a fixed order; the answer is a list
of typed events. After any trade the triggers of that market are looked at until nothing more fires (each stop fires
once, so it ends).
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Final

import numpy as np

from tradebot.core.errors import InvariantError
from tradebot.core.market import MarketRow, RowColumns, RowKind
from tradebot.core.orders import Liquidity, OrderStatus, OrderType, Side
from tradebot.core.row_block import RowBlock
from tradebot.sim.accounts import Account
from tradebot.sim.checks import OrderChecks
from tradebot.sim.fees import BPS, RATE_ONE, FeeAccount, FeeSchedule
from tradebot.sim.kept import EngineFacts, KeptList, KeptMarket
from tradebot.sim.kernels import layout as at
from tradebot.sim.kernels.venue import take_rows
from tradebot.sim.market import DEFAULT_FILLS, PRICED, FillModel, Market
from tradebot.sim.order_records import OrderRecords
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
    SimEvent,
    SimOrder,
    SimOrderList,
    TapeTrade,
)
from tradebot.sim.perpetuals import MONEY_GRAIN, NEVER_NS, Perpetuals
from tradebot.sim.rules import MarketRules

_FEE_GRAIN: Final = MONEY_GRAIN
"""Fees are cut to 8 decimals of the asset, as venues do."""
_VENUE_ROWS: Final = (int(RowKind.MARK_PRICE), int(RowKind.FUNDING_RATE))
_END_REASONS: Final = {
    at.BY_ITSELF: EndReason.TIME_IN_FORCE,
    at.SELF_TRADE_MET: EndReason.SELF_TRADE,
    at.BUDGET_SPENT: EndReason.FUNDS,
}


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


class MatchingEngine(OrderRecords):
    """All markets, accounts and orders of one simulated venue."""

    def __init__(
        self,
        markets: Sequence[MarketRules],
        accounts: Mapping[str, Mapping[str, int]],
        fees: FeeRates,
        *,
        is_recorded: bool,
        fill_model: FillModel = DEFAULT_FILLS,
    ) -> None:
        """Build an empty venue.

        Args:
            markets: Rules per market; a market's index is its place here.
            accounts: Account id -> asset -> free Money at the start.
            fees: Rates of every account.
            is_recorded: The background is a recording (True) or ours to change (False); see `market`.
            fill_model: Of recorded markets.
        """
        super().__init__()
        capacity = len(accounts) * max((rules.max_num_orders for rules in markets), default=1)
        self.markets = [
            Market(index, rules, is_recorded=is_recorded, max_orders=max(1, capacity), fill_model=fill_model)
            for index, rules in enumerate(markets)
        ]
        self.accounts = {name: Account(name, balances) for name, balances in accounts.items()}
        self._fees = {name: FeeAccount(fees.schedule) for name in accounts}
        self._events: list[SimEvent] = []
        self._next_order_id = 1
        self._next_exec_id = 1
        self._next_list_id = 0
        self._next_expiry_ns = NEVER_NS
        self.perpetuals = self._make_perpetuals()
        """None without any."""
        self._checks = OrderChecks(self.markets, self.accounts, self, self.perpetuals)
        self._account_numbers = {name: number for number, name in enumerate(accounts)}
        self._addresses = np.array([market.address for market in self.markets], np.int64)

    def _make_perpetuals(self) -> Perpetuals | None:
        if not any(market.rules.is_perpetual for market in self.markets):
            return None
        if len(self.accounts) != 1:
            raise InvariantError("perpetuals need a venue with one account: the kernels keep one position per market")
        (name, account), *_ = self.accounts.items()
        return Perpetuals(
            self.markets, account, lambda market, now_ns: self._end_all(name, market, now_ns),
            lambda money, now_ns: self._fee(name, money, Liquidity.TAKER, now_ns),
        )  # fmt: skip

    # --- a life after this process ---------------------------------------------------------------------------------

    def facts(self, order_ids: Collection[int] | None = None) -> EngineFacts:
        """Return what has to be kept: everything, or only these orders with their lists and the other legs of those."""
        if order_ids is None:
            orders, lists = self.every_order(), self.every_list()
        else:
            touched = {i: order for i in order_ids if (order := self.order(i)) is not None}
            list_ids = dict.fromkeys(order.list_id for order in touched.values())
            lists = [one for i in list_ids if (one := self._lists.get(i)) is not None]
            touched.update((leg.order_id, leg) for one in lists for leg in one.legs)
            orders = list(touched.values())
        return EngineFacts(
            self._next_order_id,
            self._next_exec_id,
            self._next_list_id,
            [KeptMarket(market.last_price, market.next_trade_id) for market in self.markets],
            {name: account.balances() for name, account in self.accounts.items()},
            orders,
            [
                KeptList(
                    one.list_id,
                    one.client_list_id,
                    one.account,
                    one.instrument,
                    tuple(leg.order_id for leg in one.legs),
                    one.created_ns,
                    one.status,
                    one.updated_ns,
                )
                for one in lists
            ],
        )

    def restore(self, facts: EngineFacts) -> None:
        """Go on where an earlier process ended. Call it once, before anything else, while the books are empty.

        What was open is back under its old ids and has nobody ahead of it. Of fee tiers and margin nothing is kept.

        Raises:
            InvariantError: If locks and open orders do not agree.
        """
        self._next_order_id, self._next_exec_id = facts.next_order_id, facts.next_exec_id
        self._next_list_id = facts.next_list_id
        for market, kept in zip(self.markets, facts.markets, strict=True):
            market.next_trade_id = kept.next_trade_id
            if kept.last_price:
                market.last_price = kept.last_price
        for name, balances in facts.balances.items():
            self.accounts[name].restore(balances)
        self.restore_records(facts.orders, facts.lists)
        for order in self._open.values():
            self._put_back(order)
        self.assert_consistent()

    def _put_back(self, order: SimOrder) -> None:
        terms = order.terms
        if order.working and terms.has_trigger:  # it has fired: what is left rests like any other
            terms = replace(terms, order_type=OrderType.LIMIT, stop_price=0)
        if terms.expires_ns:
            self._next_expiry_ns = min(self._next_expiry_ns, terms.expires_ns)
        market, now_ns = self.markets[terms.instrument], order.updated_ns
        account = self._account_numbers[terms.account]
        order.slot = market.place(order.order_id, terms, order.leaves_lots, account, self._budget(order), now_ns)
        self._book_messages(market, now_ns)

    # --- requests --------------------------------------------------------------------------------------------------

    def check(self, new: NewOrder) -> Rejection | None:
        """Return why an order would be refused right now, None when it would be taken. Changes nothing."""
        return self._checks.check(new)

    def place(self, new: NewOrder, now_ns: int) -> Outcome:
        """Take one order, or refuse it."""
        rejection = Rejection(RejectReason.EXPIRED) if 0 < new.expires_ns <= now_ns else self.check(new)
        if rejection is not None:
            return Outcome(rejection=rejection)
        order = self._create(new, NO_LIST, FundsLock(self._checks.paid_asset(new)), now_ns)
        self._lock(order.lock, self._required(order), new.account)
        self._arrive(order, now_ns)
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
        rejection = self._checks.check_oco(limit_leg, stop_leg)
        if rejection is not None:
            return Outcome(rejection=rejection)
        list_id, self._next_list_id = self._next_list_id, self._next_list_id + 1
        lock = FundsLock(self._checks.paid_asset(limit_leg))
        # The venue numbers and reports the stop leg first.
        legs = [self._create(new, list_id, lock, now_ns) for new in (stop_leg, limit_leg)]
        order_list = SimOrderList(
            list_id, client_list_id, limit_leg.account, limit_leg.instrument, legs, now_ns, updated_ns=now_ns
        )
        self._lists[list_id] = order_list
        self._lock(lock, max(self._required_alone(leg) for leg in legs), limit_leg.account)
        self._report_list(order_list, now_ns)
        for leg in legs:
            self._arrive(leg, now_ns)
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
        market.take_from_book(taker, lots, limit, now_ns)
        self._book_messages(market, now_ns)
        self._fire_triggers(market, now_ns)
        return self._finish(now_ns)

    def background_limit(self, instrument: int, side: Side, price: int, lots: int, now_ns: int) -> list[SimEvent]:
        """Let the rest of the world place a limit order: it takes what crosses and adds the remainder to the book."""
        market = self.markets[instrument]
        lots = market.take_from_book(side, lots, price, now_ns)
        self._book_messages(market, now_ns)
        if lots:
            market.set_background(side, price, market.background_at(side, price) + lots)
        self._fire_triggers(market, now_ns)
        return self._finish(now_ns)

    def background_cancel(self, instrument: int, side: Side, price: int, lots: int) -> None:
        """Let the rest of the world cancel up to `lots` at a level."""
        market = self.markets[instrument]
        here = market.background_at(side, price)
        if here:
            market.set_background(side, price, max(0, here - lots))

    def take_rows(self, block: RowBlock, start: int, to_ns: int) -> int:
        """Apply rows of a recording from `start` on, up to receive time `to_ns`, that cannot touch any order.

        Returns:
            The first row not applied: it is beyond `to_ns`, or has to go through `on_rows`.
        """
        while True:
            start = take_rows(block.data, start, to_ns, self._addresses)
            if start == len(block) or block.time_ns(start) > to_ns or not self._cover(block.row(start)):
                return start

    def _cover(self, row: MarketRow) -> bool:
        """Make room for a row's price; False when that was not what the row waited for."""
        return row.kind in PRICED and self.markets[row.instrument].cover(row.price)

    def on_rows(self, columns: RowColumns, start: int, end: int, now_ns: int) -> list[SimEvent]:
        """Apply rows [start, end) of a recording. Instrument columns are market indexes; `now_ns` stamps our fills."""
        for i in range(start, end):
            market = self.markets[columns.instrument[i]]
            kind = columns.kind[i]
            if kind in _VENUE_ROWS:
                self._venue_row(market, kind, columns.price[i], columns.qty[i], now_ns)
                continue
            market.apply_row(kind, columns.side_flags[i], columns.price[i], columns.qty[i], columns.id[i], now_ns)
            self._book_messages(market, now_ns)
            if kind == RowKind.TRADE:
                self._fire_triggers(market, now_ns)
        return self._finish(now_ns) if self._events else []

    def _venue_row(self, market: Market, kind: int, price: int, qty: int, now_ns: int) -> None:
        if self.perpetuals is not None:
            self.perpetuals.take_row(market.index, price, qty, now_ns, is_mark=kind == RowKind.MARK_PRICE)
            self._take_margin_events()

    @property
    def next_due_ns(self) -> int | None:
        """When the venue does something by its own clock; None for never, as far as is known."""
        due_ns = self._next_expiry_ns
        if self.perpetuals is not None:
            due_ns = min(due_ns, self.perpetuals.next_due_ns)
        return None if due_ns == NEVER_NS else due_ns

    def run_due(self, now_ns: int) -> list[SimEvent]:
        """Do what is due by the venue's clock."""
        if self.perpetuals is not None:
            self.perpetuals.run_due(now_ns)
            self._take_margin_events()
        if self._next_expiry_ns <= now_ns:
            self._expire(now_ns)
        return self._finish(now_ns)

    def _expire(self, now_ns: int) -> None:
        """End the orders whose time has come, oldest first. The look may come early: orders end in other ways, too."""
        left_ns = [NEVER_NS]
        for order in [order for order in self._open.values() if order.terms.expires_ns]:
            if order.terms.expires_ns > now_ns:
                left_ns.append(order.terms.expires_ns)
            else:
                self._end(order, ReportKind.EXPIRED, EndReason.TIME_IN_FORCE, now_ns)
        self._next_expiry_ns = min(left_ns)

    def _take_margin_events(self) -> None:
        if self.perpetuals is not None and self.perpetuals.events:
            self._events += self.perpetuals.events
            self.perpetuals.events.clear()

    def _end_all(self, account: str, market: int, now_ns: int) -> None:
        """The venue ends every order in a market."""
        for order in self.open_orders(account, market):
            if not order.status.is_terminal:
                self._end(order, ReportKind.CANCELED, EndReason.LIQUIDATION, now_ns)
                order_list = self._lists.get(order.list_id)
                if order_list is not None:
                    self._close_list(order_list, now_ns)

    # --- life cycle ------------------------------------------------------------------------------------------------

    def _create(self, new: NewOrder, list_id: int, lock: FundsLock, now_ns: int) -> SimOrder:
        lots = new.lots
        if new.quote_money:
            lots = self.markets[new.instrument].lots_for_quote(new.side, new.quote_money)
        order = SimOrder(new, self._next_order_id, list_id, now_ns, lots, lock, updated_ns=now_ns)
        self._next_order_id += 1
        if new.expires_ns:
            self._next_expiry_ns = min(self._next_expiry_ns, new.expires_ns)
        self.open_an_order(order)
        return order

    def _arrive(self, order: SimOrder, now_ns: int) -> None:
        """Report an order and let it meet the book, or wait for its trigger."""
        terms = order.terms
        if not terms.has_trigger:
            order.working, order.working_ns = True, now_ns
        self._report(order, ReportKind.ACCEPTED, now_ns)
        market = self.markets[terms.instrument]
        account = self._account_numbers[terms.account]
        order.slot = market.place(order.order_id, terms, order.lots, account, self._budget(order), now_ns)
        self._book_messages(market, now_ns)

    def _budget(self, order: SimOrder) -> int:
        """Return what a taker may spend, tick-lots. Only a market buy can run short: its lock is an estimate."""
        terms = order.terms
        if terms.side is Side.SELL or terms.has_limit or self.markets[terms.instrument].rules.is_perpetual:
            return at.NO_BUDGET
        money = order.lock.amount + self.accounts[terms.account].free(order.lock.asset)
        return min(money // self.markets[terms.instrument].rules.money_per_tick_lot, at.VALUE_BOUND)

    def _book_messages(self, market: Market, now_ns: int) -> None:
        """Turn what the kernels report into events and money."""
        trade_id, printed = 0, False
        for message in market.take_messages():
            if message.kind == at.PRINTED:
                taker = Side.BUY if message.maker > 0 else Side.SELL
                trade_id = self._print(market, taker, message.price, message.lots, now_ns)
                market.show(taker.opposite, message.price)
                printed = True
                continue
            order = self._open[message.order_id]
            if message.lots:
                is_maker = message.maker & 1 == 1
                if is_maker and not printed:  # a row of the recording met it
                    trade_id = market.next_trade_id
                    market.next_trade_id += 1
                printed = False
                liquidity = Liquidity.MAKER if is_maker else Liquidity.TAKER
                order.queue_ahead = market.queue_ahead(order.slot)
                self._fill(order, message.lots, message.price, liquidity, trade_id, now_ns)
                if not message.leaves_lots and not order.status.is_terminal:
                    self._ended(order, ReportKind.EXPIRED, EndReason.REDUCED, now_ns)
            elif message.kind == at.NEW:
                order.resting = order.working
                if order.resting:
                    order.queue_ahead = market.queue_ahead(order.slot)
                    market.show(order.terms.side, order.terms.price)
            elif order.terms.reduce_only and message.kind in (at.CANCELED, at.REJECTED):
                self._ended(order, ReportKind.EXPIRED, EndReason.REDUCED, now_ns)
            else:
                self._ended(order, ReportKind.EXPIRED, _END_REASONS[message.maker], now_ns)

    def _print(self, market: Market, taker: Side, price: int, lots: int, now_ns: int) -> int:
        trade_id = market.next_trade_id
        market.next_trade_id += 1
        if not market.is_recorded:
            self._events.append(TapeTrade(market.index, trade_id, price, lots, taker, now_ns))
        return trade_id

    def _fill(self, order: SimOrder, lots: int, price: int, liquidity: Liquidity, trade_id: int, now_ns: int) -> None:
        terms = order.terms
        rules = self.markets[terms.instrument].rules
        quote = rules.quote_money(price, lots)
        pay = self._pay_margin if rules.is_perpetual else self._pay_spot
        fee_asset, fee = pay(order, rules, lots, price, quote, liquidity, now_ns)
        self._fees[terms.account].traded_money(quote, now_ns)
        order.filled_lots += lots
        order.filled_money += quote
        order.updated_ns = now_ns
        done = order.filled_lots == order.lots
        order.status = OrderStatus.FILLED if done else OrderStatus.PARTIALLY_FILLED
        self._lock(order.lock, self._required(order), terms.account)
        fill = Fill(trade_id, price, lots, fee_asset, fee, liquidity)
        self._report(order, ReportKind.TRADE, now_ns, fill=fill)
        if done:
            self._close(order)
        if order.list_id != NO_LIST:
            self._end_other_legs(order, now_ns)

    def _pay_spot(
        self, order: SimOrder, rules: MarketRules, lots: int, _: int, quote: int, liquidity: Liquidity, now_ns: int
    ) -> tuple[str, int]:
        """Exchange base and quote; return (fee asset, fee): a share of what was received."""
        terms = order.terms
        account = self.accounts[terms.account]
        base = lots * rules.money_per_lot
        cost, gain = (quote, base) if terms.side is Side.BUY else (base, quote)
        from_lock = min(order.lock.amount, cost)
        order.lock.amount -= from_lock
        account.pay_locked(order.lock.asset, from_lock)
        if cost > from_lock:
            account.credit(order.lock.asset, from_lock - cost)
        fee = self._fee(terms.account, gain, liquidity, now_ns)
        fee_asset = rules.received_asset(terms.side)
        account.credit(fee_asset, gain - fee)
        return fee_asset, fee

    def _pay_margin(
        self, order: SimOrder, rules: MarketRules, lots: int, price: int, _: int, liquidity: Liquidity, now_ns: int
    ) -> tuple[str, int]:
        """Move the margin wallet by what a fill realized and its fee, a share of the value; return (asset, fee)."""
        perpetuals, one = self.perpetuals, rules.instrument
        assert perpetuals is not None, "made with the markets"
        fee = self._fee(order.terms.account, perpetuals.value(order.terms.instrument, lots, price), liquidity, now_ns)
        realized = perpetuals.fill(order.terms.instrument, order.terms.side, lots, price)
        perpetuals.move(one.settle, realized - fee, now_ns)
        self._take_margin_events()
        return one.settle, fee

    def _fee(self, account: str, money: int, liquidity: Liquidity, now_ns: int) -> int:
        rate = self._fees[account].scaled(liquidity is Liquidity.MAKER, now_ns)
        return money * rate // (RATE_ONE * _FEE_GRAIN) * _FEE_GRAIN

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
        """Take an order that is not completely filled out of the market."""
        self.markets[order.terms.instrument].withdraw(order.slot)
        self._ended(order, kind, why, now_ns, cancel_client_order_id)

    def _ended(
        self, order: SimOrder, kind: ReportKind, why: EndReason, now_ns: int, cancel_client_order_id: str = ""
    ) -> None:
        """Book the end of an order that has left the market."""
        order.status = OrderStatus.CANCELED if kind is ReportKind.CANCELED else OrderStatus.EXPIRED
        order.end_reason = why
        order.working = False
        order.updated_ns = now_ns
        if order.resting:
            self.markets[order.terms.instrument].show(order.terms.side, order.terms.price)
        self._lock(order.lock, self._required(order), order.terms.account)
        self._report(order, kind, now_ns, cancel_client_order_id=cancel_client_order_id)
        self._close(order)
        if order.list_id != NO_LIST and why is not EndReason.LIST and kind is ReportKind.EXPIRED:
            self._end_other_legs(order, now_ns)

    def _close(self, order: SimOrder) -> None:
        order.resting = False
        self.markets[order.terms.instrument].free(order.slot)
        self.close_order(order)

    def _close_list(self, order_list: SimOrderList, now_ns: int) -> None:
        if order_list.status is ListStatus.EXECUTING and all(leg.status.is_terminal for leg in order_list.legs):
            order_list.status = ListStatus.ALL_DONE
            order_list.updated_ns = now_ns
            self._report_list(order_list, now_ns)
            self.forget_old_lists()

    def _fire_triggers(self, market: Market, now_ns: int) -> None:
        while market.waiting_count and (order_id := market.first_triggered()) is not None:
            order = self._open[order_id]
            if order.list_id != NO_LIST:
                self._end_other_legs(order, now_ns)
            order.working, order.working_ns = True, now_ns
            self._report(order, ReportKind.TRIGGERED, now_ns)
            market.fire(order.slot, self._budget(order), now_ns)
            self._book_messages(market, now_ns)

    # --- funds -----------------------------------------------------------------------------------------------------

    def _required_alone(self, order: SimOrder) -> int:
        return 0 if order.status.is_terminal else self._checks.required_for(order.terms, order.leaves_lots)

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
