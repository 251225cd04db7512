"""Perpetuals of a simulated venue's account: positions, marks, funding, margin, liquidation; exact integers.

Cross margin, one-way mode: the free balance of a settlement asset and the open results of everything that settles in it
carry all those positions. Amounts are Money of the settlement asset (`Contract.flow`), cut to eight decimals against us
when they move the wallet, as venues do. What a wallet cannot pay any more the venue's insurance adds.

The rules are those of the kernels (`kernels.perpetual`), which decide in floats and keep collateral per market.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final

from tradebot.core.accounts import LedgerKind
from tradebot.core.amounts import MONEY_ONE
from tradebot.core.errors import InvariantError
from tradebot.core.orders import Side
from tradebot.core.pnl import Inventory
from tradebot.sim.accounts import Account
from tradebot.sim.market import Market
from tradebot.sim.orders import LedgerReport, LiquidationReport, NewOrder, SimEvent, SimOrder
from tradebot.sim.rules import MarginTerms

NEVER_NS: Final = 1 << 62
FINE: Final = 10**8
"""Steps of mark prices and funding rates per unit."""
FINE_MONEY: Final = MONEY_ONE // FINE
MONEY_GRAIN: Final = 10_000
"""Wallets move by whole 1e-8 of the asset."""
EARLY_NS: Final = 1_000_000_000
"""A rate for the next funding may be heard so long before the clock reaches the one that is pending."""

FeeOf = Callable[[int, int], int]
"""(settlement Money traded as taker, time) -> fee, Money."""
EndOrders = Callable[[int, int], None]
"""(market, time): the venue ends every order there."""


@dataclass(slots=True)
class Line:
    """One perpetual of the account."""

    market: Market
    terms: MarginTerms
    lot: int
    """Contracts (or base units) of one lot, Money."""
    tick: int
    """Price of one tick, Money."""
    asset: str
    """In which it settles."""
    held: Inventory = field(default_factory=Inventory)
    mark: int = 0
    """The venue's mark price, Money; 0 before the first."""
    rate: int = 0
    """Funding rate that is due next, 1e-8."""
    due_ns: int = NEVER_NS
    was_held: bool = False

    @property
    def lots(self) -> int:
        """Signed position."""
        return self.held.qty // self.lot

    def value(self, lots: int, price: int) -> int:
        """Return what `lots` are worth at a price in Money: settlement Money, rounded up."""
        return self.market.rules.contract.notional(lots * self.lot, price)

    @property
    def price(self) -> int:
        """Price at which the position is valued: the mark, or what was paid before there is one."""
        contract = self.market.rules.contract
        return self.mark or contract.average_price(self.held.qty, self.held.entry_flow)

    @property
    def unrealized(self) -> int:
        """Open result at the mark; 0 before the first."""
        return self.held.unrealized(self.market.rules.contract, self.mark) if self.mark else 0

    def initial(self, lots: int, price: int) -> int:
        """Return the margin that opening `lots` at a price needs, rounded up."""
        return -(-self.value(lots, price) * MONEY_ONE // self.terms.leverage_units)

    @property
    def maintenance(self) -> int:
        """Margin that keeping the position needs, rounded up."""
        if not self.held.qty:
            return 0
        return -(-self.value(abs(self.lots), self.price) * self.terms.maintenance_ppm // 1_000_000)


class Perpetuals:
    """All perpetuals of one account."""

    def __init__(self, markets: Sequence[Market], account: Account, end_orders: EndOrders, fee_of: FeeOf) -> None:
        self._account = account
        self._end_orders = end_orders
        self._fee_of = fee_of
        self._lines: dict[int, Line] = {}
        for market in markets:
            rules = market.rules
            if not rules.is_perpetual:
                continue
            if rules.margin is None:
                raise InvariantError(f"{rules.instrument.instrument_id}: a perpetual needs margin terms")
            one = rules.instrument
            lot, tick = int(one.lot_size * MONEY_ONE), int(one.tick_size * MONEY_ONE)
            self._lines[market.index] = Line(market, rules.margin, lot, tick, one.settle)
        self.next_due_ns = NEVER_NS
        """When the venue charges funding next."""
        self.events: list[SimEvent] = []
        """What happened, until it is taken."""
        self.unmarked = 0
        """Fundings that could not be charged: a position, and no mark price yet."""
        self._entries = 0

    def __contains__(self, market: int) -> bool:
        return market in self._lines

    def lines(self) -> Iterable[Line]:
        """Return every perpetual."""
        return self._lines.values()

    # ---- orders

    def lacks_margin(self, new: NewOrder, lots: int, price: int, working: Iterable[SimOrder]) -> bool:
        """Return whether an order would make the position larger than the margin carries.

        Args:
            new: The order; one that only reduces always fits.
            lots: Its quantity.
            price: Ticks at which it would fill; 0 = there is nobody to trade with.
            working: The account's open orders.
        """
        line = self._lines[new.instrument]
        if new.reduce_only or not price:
            return False
        held, orders = line.lots, list(working)
        same = sum(o.leaves_lots for o in orders if o.terms.instrument == new.instrument and o.terms.side is new.side
                   and not o.terms.reduce_only)  # fmt: skip
        exposure = abs(held + new.side.sign * (lots + same))
        if exposure <= abs(held):
            return False
        needed = line.initial(exposure, price * line.tick)
        needed += sum(self._worst(other, orders) for other in self._settling_in(line.asset) if other is not line)
        return needed > self.margin_balance(line.asset)

    def _worst(self, line: Line, orders: Iterable[SimOrder]) -> int:
        """Return the initial margin of a perpetual whose open orders of the worse side were filled."""
        buys = sells = price = 0
        for order in orders:
            if order.terms.instrument == line.market.index and not order.terms.reduce_only:
                price = max(price, order.terms.price or order.terms.stop_price)
                if order.terms.side is Side.BUY:
                    buys += order.leaves_lots
                else:
                    sells += order.leaves_lots
        exposure = max(abs(line.lots + buys), abs(line.lots - sells))
        return line.initial(exposure, line.price or price * line.tick) if exposure else 0

    def value(self, market: int, lots: int, ticks: int) -> int:
        """Return what lots are worth at a price: settlement Money, rounded up."""
        line = self._lines[market]
        return line.value(lots, ticks * line.tick)

    def fill(self, market: int, side: Side, lots: int, ticks: int) -> int:
        """Book a fill; return what it realized, and that much moves the wallet."""
        line = self._lines[market]
        line.was_held = True
        signed = side.sign * lots * line.lot
        flow = line.market.rules.contract.flow(signed, ticks * line.tick)
        return line.held.apply(signed, flow) // MONEY_GRAIN * MONEY_GRAIN

    # ---- the venue's clock

    def take_row(self, market: int, price: int, due_ns: int, now_ns: int, *, is_mark: bool) -> None:
        """A mark price, or the rate of the next funding and its time; prices and rates in 1e-8."""
        line = self._lines.get(market)
        if line is None:
            return
        if is_mark:
            line.mark = price * FINE_MONEY
            self._look_at_margin(line.asset, now_ns)
            return
        if due_ns > line.due_ns and now_ns >= line.due_ns - EARLY_NS:
            self._charge(line, now_ns)  # the venue's clock has passed it already
        line.rate, line.due_ns = price, due_ns if due_ns > now_ns else NEVER_NS
        self._find_due()

    def run_due(self, now_ns: int) -> None:
        """Charge the fundings that are due."""
        for line in self._lines.values():
            if line.due_ns <= now_ns:
                self._charge(line, now_ns)
        self._find_due()

    def _find_due(self) -> None:
        self.next_due_ns = min((line.due_ns for line in self._lines.values()), default=NEVER_NS)

    def _charge(self, line: Line, now_ns: int) -> None:
        """Longs pay rate x value at the mark to shorts."""
        line.due_ns = NEVER_NS
        if not line.held.qty:
            return
        if not line.mark:
            self.unmarked += 1
            return
        owed = line.value(abs(line.lots), line.mark) * line.rate * (1 if line.held.qty > 0 else -1)
        received = -owed // FINE // MONEY_GRAIN * MONEY_GRAIN
        self._ledger(line, LedgerKind.FUNDING, received, now_ns)
        self._look_at_margin(line.asset, now_ns)

    # ---- margin

    def margin_balance(self, asset: str) -> int:
        """Return what carries the positions that settle in an asset."""
        return self._account.free(asset) + sum(line.unrealized for line in self._settling_in(asset))

    def initial_margin(self, asset: str) -> int:
        """Return what opening the positions needed."""
        return sum(line.initial(abs(line.lots), line.price) for line in self._settling_in(asset) if line.held.qty)

    def maintenance_margin(self, asset: str) -> int:
        """Return what keeping the positions needs."""
        return sum(line.maintenance for line in self._settling_in(asset))

    def assets(self) -> list[str]:
        """Return the settlement assets, in order of the markets."""
        return list(dict.fromkeys(line.asset for line in self._lines.values()))

    def _settling_in(self, asset: str) -> Iterator[Line]:
        return (line for line in self._lines.values() if line.asset == asset)

    def _look_at_margin(self, asset: str, now_ns: int) -> None:
        needed = self.maintenance_margin(asset)
        if needed and self.margin_balance(asset) <= needed:
            self._liquidate(asset, now_ns)

    def _liquidate(self, asset: str, now_ns: int) -> None:
        """End all orders and close all positions that the wallet carries: at the mark, rounded against us, as taker."""
        lines = list(self._settling_in(asset))
        for line in lines:
            self._end_orders(line.market.index, now_ns)
        for line in lines:
            lots = line.lots
            if not lots:
                continue
            side = Side.SELL if lots > 0 else Side.BUY
            ticks = max(1, line.price // line.tick if lots > 0 else -(-line.price // line.tick))
            value = line.value(abs(lots), ticks * line.tick)
            realized = self.fill(line.market.index, side, abs(lots), ticks)
            line.market.position = 0
            fee = self._fee_of(value, now_ns)
            trade_id = line.market.next_trade_id
            line.market.next_trade_id += 1
            self.move(line.asset, realized - fee, now_ns)
            account, index = self._account.account_id, line.market.index
            self.events.append(
                LiquidationReport(account, index, side, abs(lots), ticks, trade_id, fee, line.asset, now_ns)
            )
            charge = -(-value * line.terms.liquidation_fee_ppm // 1_000_000 // MONEY_GRAIN) * MONEY_GRAIN
            if charge:
                self._ledger(line, LedgerKind.CHARGE, -charge, now_ns)

    # ---- money

    def move(self, asset: str, money: int, now_ns: int) -> None:
        """Move a wallet; the venue's insurance pays what it has not got."""
        missing = -(self._account.free(asset) + money)
        self._account.credit(asset, money + max(0, missing))
        if missing > 0:
            self._report(LedgerKind.ADJUSTMENT, asset, missing, -1, 0, 0, now_ns)

    def _ledger(self, line: Line, kind: LedgerKind, money: int, now_ns: int) -> None:
        rate = line.rate if kind is LedgerKind.FUNDING else 0
        self._report(kind, line.asset, money, line.market.index, rate, line.mark // FINE_MONEY, now_ns)
        self.move(line.asset, money, now_ns)

    def _report(self, kind: LedgerKind, asset: str, money: int, market: int, rate: int, mark: int, now_ns: int) -> None:
        self._entries += 1
        self.events.append(
            LedgerReport(self._account.account_id, self._entries, kind, asset, money, market, rate, mark, now_ns)
        )
