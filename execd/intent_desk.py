"""Intents and commands from strategies and operators: answered once, worked once."""

from __future__ import annotations

from decimal import Decimal
from typing import Final

from execd.asking import AskDesk, AskOutcome, AskResult
from execd.exits import ExitDesk
from execd.intake import IntentWindow, Refusal, check_intent, order_terms
from execd.orders import is_entry
from execd.protection import Protection
from execd.records import RecordType
from execd.state import DeskState
from tradebot.core.intents import IntentAnswer, IntentStatus, OrderIntent
from tradebot.core.levels import TradingLevel
from tradebot.core.order_events import OrderFacts
from tradebot.core.orders import OrderRole
from tradebot.core.values import value
from tradebot.wire.execd_records import intent_bytes, pack_parts

MAX_ASKS: Final = 10_000
"""Asks in flight at once; beyond it intents are refused instead of queued."""
_ZERO: Final = Decimal(0)


@value(frozen=True, slots=True)
class CancelAnswer:
    """Answer to a cancel command."""

    accepted: bool
    reason: str = ""
    detail: str = ""


class IntentDesk:
    """Takes intents; entries go straight to riskd, exits to the exit desk."""

    def __init__(self, state: DeskState, asks: AskDesk, exits: ExitDesk, protection: Protection) -> None:
        self.state = state
        self.asks = asks
        self.exits = exits
        self.protection = protection
        self.window = IntentWindow(state.settings.intent_window)
        self.stopping = False

    def take(self, intent: OrderIntent, now_ns: int, raw: bytes) -> None:
        """Refuse, answer again, or begin to work an intent."""
        state = self.state
        if self.window.seen(intent.intent_id):
            state.answer(self.window.duplicate(intent.intent_id))
            return
        refusal = check_intent(intent, state.instruments) or self._not_ready(intent)
        if refusal is not None:
            self._refuse_intent(intent.intent_id, refusal)
            return
        if not raw and state.settings.journaled:
            raw = intent_bytes(intent)
        if intent.role is OrderRole.EXIT:
            self.window.open(intent.intent_id)
            self.exits.exit(intent, raw, lambda o, cid, at_ns: self._finish_intent(intent.intent_id, cid, o), now_ns)
            return
        client_order_id = state.new_client_order_id(intent.strategy_id)
        terms = order_terms(intent, client_order_id, intent.qty or _ZERO, state.quotes, state.settings, now_ns)
        if isinstance(terms, Refusal):
            self._refuse_intent(intent.intent_id, terms)
            return
        self.window.open(intent.intent_id)
        facts = OrderFacts(
            terms, intent.strategy_id, intent.intent_id, 0, intent.role, now_ns, trace_id=intent.trace_id
        )
        self.asks.ask_order(
            terms,
            facts,
            lambda outcome, at_ns: self._finish_intent(intent.intent_id, client_order_id, outcome),
            now_ns,
            intent=intent,
            raw_intent=raw,
        )

    def _not_ready(self, intent: OrderIntent) -> Refusal | None:
        if self.stopping:
            return Refusal("STA-01", "STOPPING", "execd is stopping")
        if not self.asks.ready:
            return Refusal("EXE-06", "RISK_SESSION_DOWN", "riskd cannot be asked")
        if self.asks.pending_count >= MAX_ASKS:
            return Refusal("RAT-01", "BUSY", f"{MAX_ASKS} asks are in flight")
        venue = self.state.venue_of(intent.instrument_id)
        if not venue.live:
            return Refusal("STA-03", "VENUE_DISCONNECTED", f"{venue.name}: the private stream is down")
        if intent.role is OrderRole.ENTRY:
            if self.state.latches.level >= TradingLevel.HALTED:
                return Refusal("STA-01", "LATCHED", "a stop is latched in execd")
            if self.protection.slots_full(intent.instrument_id):
                return Refusal("PTR-06", "NO_STOP_SLOT", "the venue takes no further stop order in this market")
        return None

    def _refuse_intent(self, intent_id: str, refusal: Refusal) -> None:
        answer = IntentAnswer(intent_id, IntentStatus.REFUSED, refusal.check_id, refusal.reason, refusal.detail)
        self.window.open(intent_id)
        self.window.close(answer)
        parts = pack_parts(*(text.encode() for text in (intent_id, refusal.check_id, refusal.reason, refusal.detail)))
        self.state.record(RecordType.INTENT_REFUSED, parts)
        self.state.answer(answer)

    def _finish_intent(self, intent_id: str, client_order_id: str, outcome: AskOutcome) -> None:
        refused = outcome.result is AskResult.REFUSED
        status = IntentStatus.REFUSED if refused else IntentStatus.ACCEPTED
        order_id = "" if refused else client_order_id
        answer = IntentAnswer(intent_id, status, outcome.check_id, outcome.reason, outcome.detail, order_id)
        self.window.close(answer)
        self.state.answer(answer)

    def cancel(self, client_order_id: str, reason: str, now_ns: int) -> CancelAnswer:
        """Cancel one order; protection is not taken away."""
        order = self.state.orders.get(client_order_id)
        if order is None:
            return CancelAnswer(False, "UNKNOWN_ORDER", f"no order {client_order_id!r} is known")
        if not order.working:
            return CancelAnswer(True, "", "the order is done already")
        if order.facts.role is OrderRole.PROTECTION:
            detail = "it protects an open position: close the position, or let execd replace it"
            return CancelAnswer(False, "LAST_PROTECTION", detail)
        if not self.state.venue_of(order.facts.terms.instrument_id).connected:
            self.state.cancel(order, reason, now_ns)
            return CancelAnswer(True, "VENUE_DISCONNECTED", "sent when the connection is back")
        self.state.cancel(order, reason, now_ns)
        return CancelAnswer(True)

    def cancel_entries(self, reason: str, now_ns: int, level_at_least: TradingLevel | None = None) -> int:
        """Cancel working entries; with a level, only those whose scopes are at it."""
        count = 0
        for order in self.state.orders.working():
            if not is_entry(order) or order.cancel_wanted:
                continue
            facts = order.facts
            venue = self.state.venue_of(facts.terms.instrument_id).name
            level = self.state.link.levels.level_for(venue, facts.terms.instrument_id, facts.strategy_id)
            if level_at_least is None or level >= level_at_least:
                self.state.cancel(order, reason, now_ns)
                count += 1
        return count
