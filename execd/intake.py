"""Intents at the door: well-formed or refused (AUT-01), seen before or new, and what venue order a plain one means."""

from __future__ import annotations

from collections import OrderedDict
from decimal import Decimal
from typing import Final

from execd.quotes import QuoteBoard
from execd.settings import NS_PER_MS, DeskSettings
from tradebot.core.instruments import Instrument
from tradebot.core.intents import Algo, IntentAnswer, IntentStatus, OrderIntent
from tradebot.core.orders import RESTING_TIMES, OrderRole, OrderTerms, OrderType, TimeInForce
from tradebot.core.values import value

MAX_ID_LENGTH: Final = 128
_ROLES: Final = frozenset({OrderRole.ENTRY, OrderRole.EXIT})
_TYPES: Final = frozenset({OrderType.LIMIT, OrderType.MARKET})


@value(frozen=True, slots=True)
class Refusal:
    """Why an intent is not worked."""

    check_id: str
    reason: str
    detail: str


class IntentWindow:
    """Answers to the newest intents: a repeated intent is answered, never executed again. Rebuilt from the journal."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._answers: OrderedDict[str, IntentAnswer | None] = OrderedDict()
        self.count = 0
        """Intents ever taken."""

    def seen(self, intent_id: str) -> bool:
        """Return whether this intent came before."""
        return intent_id in self._answers

    def open(self, intent_id: str) -> None:
        """Remember an intent that is being worked."""
        self.count += intent_id not in self._answers
        self._answers[intent_id] = None
        if len(self._answers) > self._size:
            self._answers.popitem(last=False)

    def close(self, answer: IntentAnswer) -> None:
        """Remember the first answer."""
        if self._answers.get(answer.intent_id) is None:
            self._answers[answer.intent_id] = answer

    def duplicate(self, intent_id: str) -> IntentAnswer:
        """Return the answer to a repeated intent."""
        first = self._answers.get(intent_id)
        if first is None:
            return IntentAnswer(intent_id, IntentStatus.DUPLICATE, detail="being worked")
        return IntentAnswer(
            intent_id, IntentStatus.DUPLICATE, first.check_id, first.reason, first.detail, first.client_order_id
        )


def check_intent(intent: OrderIntent, instruments: dict[str, Instrument]) -> Refusal | None:
    """Return why an intent is malformed, or None. Limits are riskd's business; this is about being an order at all."""

    def refuse(reason: str, detail: str) -> Refusal:
        return Refusal("AUT-01", reason, detail)

    if not 0 < len(intent.intent_id) <= MAX_ID_LENGTH:
        return refuse("INTENT_MALFORMED", f"intent_id must have 1 to {MAX_ID_LENGTH} characters")
    if not 0 < len(intent.strategy_id) <= MAX_ID_LENGTH:
        return refuse("INTENT_MALFORMED", f"strategy_id must have 1 to {MAX_ID_LENGTH} characters")
    instrument = instruments.get(intent.instrument_id)
    if instrument is None:
        return refuse("UNKNOWN_INSTRUMENT", f"instrument_id {intent.instrument_id!r} is not traded here")
    if intent.role not in _ROLES:
        return refuse("INTENT_MALFORMED", f"role {intent.role.name}: intents are ENTRY or EXIT")
    if intent.algo is not Algo.PLAIN:
        return refuse("NOT_SUPPORTED", f"algo {intent.algo.name} is not supported yet: use PLAIN")
    if intent.order_type not in _TYPES:
        return refuse("NOT_SUPPORTED", f"order_type {intent.order_type.name}: use LIMIT or MARKET")
    if intent.qty is not None and (intent.qty <= 0 or instrument.qty_lots(intent.qty) is None):
        return refuse("INTENT_MALFORMED", f"qty {intent.qty} is not a positive multiple of {instrument.lot_size}")
    if not 0 < intent.strength <= 1:
        return refuse("INTENT_MALFORMED", f"strength {intent.strength} is not in (0, 1]")
    return _check_expiry(intent, instrument) or _check_price(intent, instrument)


def _check_expiry(intent: OrderIntent, instrument: Instrument) -> Refusal | None:
    is_dated = intent.time_in_force is TimeInForce.GTD
    if is_dated != (intent.expire_time_ns > 0) or (is_dated and intent.order_type is not OrderType.LIMIT):
        return Refusal(
            "AUT-01", "INTENT_MALFORMED", "expire_time_ns belongs to a LIMIT intent with GTD, and to no other"
        )
    if is_dated and TimeInForce.GTD.name not in instrument.order_types:
        return Refusal("AUT-01", "NOT_SUPPORTED", "the venue ends no orders by its clock here: use GTC and cancel")
    return None


def _check_price(intent: OrderIntent, instrument: Instrument) -> Refusal | None:
    price = intent.limit_price
    if intent.order_type is OrderType.MARKET:
        if price is not None or intent.post_only:
            return Refusal("AUT-01", "INTENT_MALFORMED", "a MARKET intent has neither limit_price nor post_only")
        return None
    if price is None or price <= 0 or instrument.price_ticks(price) is None:
        return Refusal(
            "AUT-01", "INTENT_MALFORMED", f"limit_price {price} is not a positive multiple of {instrument.tick_size}"
        )
    if intent.post_only and intent.time_in_force not in RESTING_TIMES:
        return Refusal("AUT-01", "INTENT_MALFORMED", "a post_only order rests: time_in_force must be GTC or GTD")
    return None


def order_terms(
    intent: OrderIntent, client_order_id: str, qty: Decimal, quotes: QuoteBoard, settings: DeskSettings, now_ns: int
) -> OrderTerms | Refusal:
    """Return the venue order that a plain intent means, or why there is none now.

    A MARKET intent becomes a limit IOC order within the bound. Entries need a fresh quote for that; exits take the
    last one seen, because nothing that is broken may forbid closing a position.
    """
    reduce_only = intent.role is OrderRole.EXIT
    if intent.order_type is OrderType.LIMIT:
        return OrderTerms(
            client_order_id,
            intent.instrument_id,
            intent.side,
            OrderType.LIMIT,
            qty,
            intent.limit_price,
            None,
            intent.time_in_force,
            intent.post_only,
            reduce_only,
            intent.expire_time_ns,
        )
    max_age_ns = settings.quote_max_age_ms * NS_PER_MS
    if intent.role is OrderRole.ENTRY and not quotes.is_fresh(intent.instrument_id, now_ns, max_age_ns):
        return Refusal("MKT-01", "BOOK_STALE", "no live quote to bound a market entry with")
    reference = quotes.opposite(intent.instrument_id, intent.side)
    if reference is None:
        return Refusal("MKT-01", "NO_MARKET_DATA", "no quote was ever seen: use a LIMIT intent")
    limit = quotes.bounded_limit(intent.instrument_id, intent.side, reference, settings.market_bound_bps)
    return OrderTerms(
        client_order_id,
        intent.instrument_id,
        intent.side,
        OrderType.LIMIT,
        qty,
        limit,
        None,
        TimeInForce.IOC,
        False,
        reduce_only,
    )
