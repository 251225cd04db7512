"""What only perpetuals have: ledger lines and margin figures passed on to riskd, and positions that the venue closed.

riskd is the authority for all of it; execd keeps the newest margin figures so that a new session begins with them. A
liquidation is an execution without an order of ours: it is booked as an order of its own role, filled in one event, for
whoever held the position, and an alarm holds the instrument until a person has looked.
"""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from typing import Final

from execd.state import DeskState, VenueState
from tradebot.core.accounts import LedgerEntry
from tradebot.core.order_events import OrderFacts
from tradebot.core.orders import Execution, OrderEventKind, OrderRole, OrderTerms, OrderType, TimeInForce
from tradebot.venues.api_orders import MarginUpdate

CAUSE: Final = "LIQUIDATED"
NOBODY: Final = "unattributed"
"""Strategy of a liquidation that no position of ours explains."""


class MarginDesk:
    """One for all venues."""

    def __init__(self, state: DeskState) -> None:
        self._state = state
        self._last: dict[str, MarginUpdate] = {}
        """Venue -> its newest figures."""

    def ledger(self, entry: LedgerEntry) -> None:
        """Pass a line of the venue's ledger on."""
        if self._state.link.welcomed:
            self._state.out.up.ledger.append(entry)
            self._state.out.up_dirty = True

    def margins(self, venue: str, update: MarginUpdate) -> None:
        """Keep and pass on margin figures."""
        self._last[venue] = update
        self._tell(update)

    def resend(self) -> None:
        """Tell a new riskd session the newest figures."""
        for update in self._last.values():
            self._tell(update)

    def _tell(self, update: MarginUpdate) -> None:
        if self._state.link.welcomed:
            up = self._state.out.up
            up.margins += update.accounts
            up.position_margins += update.positions
            self._state.out.up_dirty = True

    def liquidation(self, venue: VenueState, execution: Execution, now_ns: int) -> None:
        """Book a position that the venue closed; repeated news changes nothing."""
        state, instrument_id = self._state, execution.instrument_id
        if state.orders.execution(instrument_id, _part_id(execution, 0)) is not None:
            return
        left, fee_left = execution.qty, execution.fee
        owners: list[tuple[str, Decimal]] = []
        for strategy_id, held in state.orders.positions.holders(instrument_id):
            share = min(left, abs(held)) if held * execution.side.sign < 0 else Decimal(0)
            if share:
                owners.append((strategy_id, share))
                left -= share
        if left:
            owners.append((NOBODY, left))
        for number, (strategy_id, share) in enumerate(owners):
            fee = fee_left if number == len(owners) - 1 else execution.fee * share / execution.qty
            fee_left -= fee
            self._book(replace(execution, exec_id=_part_id(execution, number), qty=share, fee=fee), strategy_id, now_ns)
        detail = f"the venue closed {execution.qty} {instrument_id} at {execution.price}: margin was used up"
        state.alarm(venue, CAUSE, instrument_id, detail)

    def _book(self, execution: Execution, strategy_id: str, now_ns: int) -> None:
        state = self._state
        client_order_id = state.new_client_order_id(strategy_id)
        terms = OrderTerms(
            client_order_id,
            execution.instrument_id,
            execution.side,
            OrderType.MARKET,
            execution.qty,
            time_in_force=TimeInForce.IOC,
            reduce_only=True,
        )
        facts = OrderFacts(terms, strategy_id, f"liquidation:{execution.exec_id}", 0, OrderRole.LIQUIDATION, now_ns)
        state.emit(
            client_order_id,
            OrderEventKind.FILL_COMPLETE,
            now_ns,
            facts=facts,
            execution=replace(execution, client_order_id=client_order_id),
            reason=CAUSE,
            event_time_ns=execution.event_time_ns,
        )


def _part_id(execution: Execution, number: int) -> str:
    """Return the key of one owner's part; trade ids of orders never have this form."""
    return f"liquidation-{execution.exec_id}-{number}"
