"""Exits: closing positions whose quantity may be locked in a resting stop.

On spot a stop locks the balance it protects. So an exit is approved first, then the protection is taken down, and
only when its end is proven and the balance is free is the order sized, asked for and sent; what is left afterwards
is protected again. riskd's own reduce commands go the same way, except that the command itself is the approval of
the plan, and that they wait for an order that closes the same position already: together they would close it twice.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from enum import Enum
from typing import Final

from execd.asking import AskDesk, AskOutcome, AskResult
from execd.intake import Refusal, order_terms
from execd.orders import Order
from execd.protection import Protection
from execd.records import ReadKind
from execd.settings import NS_PER_MS
from execd.state import DeskState
from tradebot.core.approvals import ReduceCommand
from tradebot.core.intents import OrderIntent
from tradebot.core.order_events import OrderEvent, OrderFacts
from tradebot.core.orders import RESTING_TIMES, OrderRole, OrderTerms, OrderType, Side, TimeInForce

ZERO = Decimal(0)
MAX_EXITS: Final = 1_000
"""Exits being worked at once."""
MAX_REDUCE_IDS: Final = 10_000
"""Reduce commands remembered for deduplication."""


class Stage(Enum):
    """Where an exit stands."""

    ASKING_PARENT = "asking_parent"
    CLEARING = "clearing"
    """Protection is being canceled."""
    WAITING = "waiting"
    """Another exit of the position is asked for or works."""
    FREEING = "freeing"
    """Waiting for the balance that the canceled stop locked."""
    ASKING = "asking"
    WORKING = "working"


_BEFORE_ORDER: Final = frozenset({Stage.CLEARING, Stage.WAITING, Stage.FREEING})
_WITH_ORDER: Final = frozenset({Stage.ASKING, Stage.WORKING})

Finished = Callable[[AskOutcome, str, int], None]
"""Called once with the outcome, the client order id (may be empty), and the time."""


@dataclass(slots=True)
class ExitWork:
    """One exit of one strategy in one instrument."""

    key: str
    strategy_id: str
    instrument_id: str
    side: Side
    role: OrderRole
    wanted: Decimal | None
    """None: the whole position."""
    finished: Finished
    started_ns: int
    intent: OrderIntent | None = None
    raw_intent: bytes = b""
    reduce: ReduceCommand | None = None
    stage: Stage = Stage.CLEARING
    stage_since_ns: int = 0
    parent_allowed: bool = False
    froze: bool = False
    account_asked: bool = False
    client_order_id: str = ""


class ExitDesk:
    """All exits being worked."""

    def __init__(self, state: DeskState, asks: AskDesk, protection: Protection) -> None:
        self._state = state
        self._asks = asks
        self._protection = protection
        self._works: OrderedDict[str, ExitWork] = OrderedDict()
        self._reduce_ids: OrderedDict[str, None] = OrderedDict()

    # ---- starting

    def exit(self, intent: OrderIntent, raw_intent: bytes, finished: Finished, now_ns: int) -> None:
        """Work an exit intent."""
        held = self._state.orders.positions.qty(intent.strategy_id, intent.instrument_id)
        if not held or (held > 0) is (intent.side is Side.BUY):
            finished(
                _refused("POS-01", "NO_POSITION", f"{intent.side.name} does not reduce a position of {held}"),
                "",
                now_ns,
            )
            return
        if len(self._works) >= MAX_EXITS:
            finished(_refused("RAT-01", "BUSY", f"{MAX_EXITS} exits are being worked"), "", now_ns)
            return
        if self._busy(intent.strategy_id, intent.instrument_id):
            finished(
                _refused("RAT-01", "EXIT_IN_PROGRESS", "another exit of this position is being worked"), "", now_ns
            )
            return
        rests = intent.order_type is OrderType.LIMIT and intent.time_in_force in RESTING_TIMES
        if rests and self._protection.has_grants(intent.strategy_id, intent.instrument_id):
            detail = "a resting exit would leave the position without its stop: use IOC, or a take-profit in the plan"
            finished(_refused("PTR-06", "RESTING_EXIT_UNPROTECTED", detail), "", now_ns)
            return
        work = ExitWork(
            intent.intent_id,
            intent.strategy_id,
            intent.instrument_id,
            intent.side,
            OrderRole.EXIT,
            intent.qty,
            finished,
            now_ns,
            intent,
            raw_intent,
        )
        self._works[work.key] = work
        if intent.qty is None:
            self._cancel_entries(work, now_ns)
        if self._protection.protecting(work.strategy_id, work.instrument_id, work.side):
            self._enter(work, Stage.ASKING_PARENT, now_ns)
            self._asks.ask_parent(intent, lambda outcome, at_ns: self._parent_decided(work, outcome, at_ns), now_ns)
        else:
            self._ask(work, now_ns)

    def reduce(self, command: ReduceCommand, now_ns: int) -> None:
        """Work riskd's command; a repeated one changes nothing. Without a strategy, every holder's share is closed."""
        if command.reduce_id in self._reduce_ids:
            return
        self._reduce_ids[command.reduce_id] = None
        if len(self._reduce_ids) > MAX_REDUCE_IDS:
            self._reduce_ids.popitem(last=False)
        if command.instrument_id not in self._state.instruments:
            self._state.notice(
                "error", "reduce_refused", f"{command.reduce_id}: unknown instrument {command.instrument_id}"
            )
            return
        left = command.qty
        for strategy_id, held in self._state.orders.positions.holders(command.instrument_id):
            fits = (not command.strategy_id or strategy_id == command.strategy_id) and (held > 0) is (
                command.side is Side.SELL
            )
            share = min(abs(held), left)
            if not fits or not share:
                continue
            left -= share
            self._start_reduce(command, strategy_id, share, now_ns)

    def _start_reduce(self, command: ReduceCommand, strategy_id: str, share: Decimal, now_ns: int) -> None:
        def finished(outcome: AskOutcome, client_order_id: str, at_ns: int) -> None:
            if outcome.result is AskResult.REFUSED:
                text = f"{command.reduce_id} {command.instrument_id}: {outcome.reason} {outcome.detail}"
                self._state.notice("error", "reduce_refused", text)

        work = ExitWork(
            f"reduce:{command.reduce_id}:{strategy_id}",
            strategy_id,
            command.instrument_id,
            command.side,
            OrderRole.REDUCE,
            share,
            finished,
            now_ns,
            reduce=command,
            parent_allowed=True,
        )
        for other in self._others(work, _BEFORE_ORDER):
            self._end(other, _refused("STA-02", "OVERTAKEN", "riskd reduces this position"), now_ns, thaw=False)
        self._works[work.key] = work
        self._cancel_entries(work, now_ns)
        self._clear(work, now_ns)

    def _busy(self, strategy_id: str, instrument_id: str) -> bool:
        return any((w.strategy_id, w.instrument_id) == (strategy_id, instrument_id) for w in self._works.values())

    def _others(self, work: ExitWork, stages: frozenset[Stage]) -> list[ExitWork]:
        """Return the other exits of a position that are in one of some stages."""
        position = (work.strategy_id, work.instrument_id)
        found = [w for w in self._works.values() if w.stage in stages and w is not work]
        return [w for w in found if (w.strategy_id, w.instrument_id) == position]

    def _is_frozen(self, strategy_id: str, instrument_id: str) -> bool:
        """Return whether an exit that is still worked keeps the protection down: a stop would lock what it sells."""
        works = self._works.values()
        return any(w.froze and (w.strategy_id, w.instrument_id) == (strategy_id, instrument_id) for w in works)

    def _cancel_entries(self, work: ExitWork, now_ns: int) -> None:
        for order in self._state.orders.working():
            facts = order.facts
            same = (facts.strategy_id, facts.terms.instrument_id) == (work.strategy_id, work.instrument_id)
            if same and facts.role is OrderRole.ENTRY:
                self._state.cancel(order, "EXIT", now_ns)

    # ---- stages

    def _enter(self, work: ExitWork, stage: Stage, now_ns: int) -> None:
        work.stage, work.stage_since_ns = stage, now_ns

    def _parent_decided(self, work: ExitWork, outcome: AskOutcome, now_ns: int) -> None:
        if outcome.result is AskResult.REFUSED:
            self._end(work, outcome, now_ns)
            return
        work.parent_allowed = True
        self._clear(work, now_ns)

    def _clear(self, work: ExitWork, now_ns: int) -> None:
        self._enter(work, Stage.CLEARING, now_ns)
        work.froze = True
        self._protection.freeze(work.strategy_id, work.instrument_id, now_ns)
        self._advance(work, now_ns)

    def _advance(self, work: ExitWork, now_ns: int) -> None:
        """Go on when the protection's end is proven, nothing else closes the position, and the balance is free."""
        if work.key not in self._works:
            return  # over since the caller looked
        if work.stage is Stage.CLEARING:
            if self._protection.protecting(work.strategy_id, work.instrument_id, work.side):
                return
            self._enter(work, Stage.WAITING, now_ns)
            self._cancel_resting(work, now_ns)
        if work.stage is Stage.WAITING:
            if self._others(work, _WITH_ORDER) and not self._timed_out(work, now_ns):
                return
            self._enter(work, Stage.FREEING, now_ns)
        if work.stage is Stage.FREEING and (self._is_free(work) or self._free_timed_out(work, now_ns)):
            self._ask(work, now_ns)

    def _cancel_resting(self, work: ExitWork, now_ns: int) -> None:
        """An exit that rests could be waited for without end: this one takes its place."""
        for other in self._others(work, _WITH_ORDER):
            order = self._state.orders.get(other.client_order_id)
            if order is not None and order.facts.terms.time_in_force in RESTING_TIMES:
                self._state.cancel(order, "EXIT", now_ns)

    def _timed_out(self, work: ExitWork, now_ns: int) -> bool:
        return now_ns - work.stage_since_ns >= self._state.settings.exit_timeout_ms * NS_PER_MS

    def _remaining(self, work: ExitWork) -> Decimal:
        held = abs(self._state.orders.positions.qty(work.strategy_id, work.instrument_id))
        instrument = self._state.instruments[work.instrument_id]
        wanted = held if work.wanted is None else min(held, work.wanted)
        return instrument.qty(instrument.qty_lots_floor(wanted))

    def _is_free(self, work: ExitWork) -> bool:
        state = self._state
        sells = state.sells_base(work.instrument_id, work.side)
        return not sells or state.free_base(work.instrument_id) >= self._remaining(work)

    def _free_timed_out(self, work: ExitWork, now_ns: int) -> bool:
        waited_ns = now_ns - work.stage_since_ns
        wait_ns = self._state.settings.free_wait_ms * NS_PER_MS
        if waited_ns >= wait_ns and not work.account_asked:
            work.account_asked = True
            self._state.read(ReadKind.ACCOUNT, self._state.venue_of(work.instrument_id).name)
        return waited_ns >= 2 * wait_ns

    def _ask(self, work: ExitWork, now_ns: int) -> None:
        qty = self._remaining(work)
        if work.froze and self._state.sells_base(work.instrument_id, work.side):
            # Never sell more than is free: what is still locked belongs to an order whose end is not proven.
            instrument = self._state.instruments[work.instrument_id]
            qty = min(qty, instrument.qty(instrument.qty_lots_floor(self._state.free_base(work.instrument_id))))
        if not qty:
            self._end(work, _refused("POS-01", "NO_POSITION", "nothing is left to close"), now_ns)
            return
        work.client_order_id = self._state.new_client_order_id(work.strategy_id)
        terms = self._terms(work, qty, now_ns)
        if isinstance(terms, Refusal):
            self._end(work, _refused(terms.check_id, terms.reason, terms.detail), now_ns)
            return
        if not self._asks.ready:
            self._end(work, _refused("EXE-06", "RISK_SESSION_DOWN", "riskd cannot be asked"), now_ns)
            return
        self._enter(work, Stage.ASKING, now_ns)
        intent = work.intent
        facts = OrderFacts(
            terms,
            work.strategy_id,
            intent.intent_id if intent else f"reduce:{work.reduce.reduce_id if work.reduce else ''}",
            0,
            work.role,
            now_ns,
            trace_id=intent.trace_id if intent else "",
        )
        self._asks.ask_order(
            terms,
            facts,
            lambda outcome, at_ns: self._decided(work, outcome, at_ns),
            now_ns,
            intent=intent,
            with_parent=intent is not None and not work.parent_allowed,
            raw_intent=work.raw_intent,
            reduce_id=work.reduce.reduce_id if work.reduce else "",
        )

    def _terms(self, work: ExitWork, qty: Decimal, now_ns: int) -> OrderTerms | Refusal:
        quotes, settings = self._state.quotes, self._state.settings
        if work.intent is not None:
            return order_terms(work.intent, work.client_order_id, qty, quotes, settings, now_ns)
        reference = quotes.opposite(work.instrument_id, work.side)
        if reference is None or work.reduce is None:
            return Refusal("MKT-01", "NO_MARKET_DATA", "no quote was ever seen")
        bound = work.reduce.bound_bps or settings.market_bound_bps
        limit = quotes.bounded_limit(work.instrument_id, work.side, reference, bound)
        return OrderTerms(
            work.client_order_id,
            work.instrument_id,
            work.side,
            OrderType.LIMIT,
            qty,
            limit,
            None,
            TimeInForce.IOC,
            False,
            True,
        )

    def _decided(self, work: ExitWork, outcome: AskOutcome, now_ns: int) -> None:
        if outcome.result is AskResult.REFUSED:
            self._end(work, outcome, now_ns)
            return
        self._enter(work, Stage.WORKING, now_ns)
        work.finished(outcome, work.client_order_id, now_ns)

    def _end(self, work: ExitWork, outcome: AskOutcome | None, now_ns: int, *, thaw: bool = True) -> None:
        if self._works.pop(work.key, None) is None:
            return
        if outcome is not None and work.stage is not Stage.WORKING:
            work.finished(outcome, work.client_order_id, now_ns)
        if work.froze and thaw and not self._is_frozen(work.strategy_id, work.instrument_id):
            self._protection.thaw(work.strategy_id, work.instrument_id, now_ns)
        for waiting in self._others(work, frozenset({Stage.WAITING})):
            self._advance(waiting, now_ns)

    # ---- events and time

    def after_event(self, order: Order, event: OrderEvent, now_ns: int) -> None:
        """Go on after an order event."""
        if not self._works:
            return
        for work in list(self._works.values()):
            if work.client_order_id == order.id:
                if work.stage is Stage.WORKING and not order.working:
                    self._end(work, None, now_ns)
            elif order.facts.terms.instrument_id == work.instrument_id and not order.working:
                self._advance(work, now_ns)

    def balances_changed(self, now_ns: int) -> None:
        """Go on when a balance became free."""
        for work in list(self._works.values()):
            self._advance(work, now_ns)

    def handle_timer(self, now_ns: int) -> None:
        """Give up on protection that cannot be taken down; size by what is free when the balance does not come."""
        for work in list(self._works.values()):
            if work.stage is Stage.CLEARING and self._timed_out(work, now_ns):
                detail = f"protection did not end within {self._state.settings.exit_timeout_ms} ms"
                self._end(work, _refused("PTR-06", "PROTECTION_CANCEL_UNKNOWN", detail), now_ns)
            elif work.stage in (Stage.WAITING, Stage.FREEING):
                self._advance(work, now_ns)

    def next_timer_ns(self) -> int | None:
        """Return when a stage may time out."""
        if not self._works:
            return None
        settings = self._state.settings
        waits = {
            Stage.CLEARING: settings.exit_timeout_ms,
            Stage.WAITING: settings.exit_timeout_ms,
            Stage.FREEING: settings.free_wait_ms,
        }
        times = []
        for work in self._works.values():
            if work.stage in waits:
                wait_ms = waits[work.stage] * (2 if work.account_asked else 1)
                times.append(work.stage_since_ns + wait_ms * NS_PER_MS)
        return min(times, default=None)

    @property
    def count(self) -> int:
        """Exits being worked."""
        return len(self._works)


def _refused(check_id: str, reason: str, detail: str) -> AskOutcome:
    return AskOutcome(AskResult.REFUSED, check_id, reason, detail)
