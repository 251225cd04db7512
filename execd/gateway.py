"""The gateway: the one door to the venues. Nothing that places an order leaves execd except through `pass_approved` or
`pass_granted`, and both do the same thing: verify a signature over exact bytes, build the venue request from what
those bytes say, read the request back with the independent parser, and compare. Any doubt means that nothing is sent.

The reasons are the EXE rows of the check catalogue. Cancels create no exposure and need no approval; `pass_cancel` only
refuses to take away protection without a stated purpose.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from enum import Enum
from typing import Final

from execd.latch import LatchBoard
from execd.orders import Order
from execd.risk_link import RiskLink
from execd.settings import NS_PER_MS, NS_PER_S, DeskSettings
from tradebot.core.approvals import Approval, ApprovalTerms, GrantTerms, ProtectionGrant, VenueAction
from tradebot.core.errors import RejectedError, VenueProtocolError
from tradebot.core.instruments import Instrument, Product
from tradebot.core.levels import TradingLevel
from tradebot.core.orders import OrderRole, OrderTerms, OrderType, Side, TimeInForce
from tradebot.core.values import value
from tradebot.venues.api_orders import OrderCodec, RequestKind
from tradebot.wire.approvals import open_approval, open_grant

MAX_NONCES: Final = 100_000
"""Spent nonces remembered. Older ones cannot come back: they belong to a session that is over, or have long expired."""
MAX_SENT_IDS: Final = 200_000
MAX_GRANT_USES: Final = 100_000
"""Grants whose orders are counted. The one not looked at for longest gives way; open entries look with every quote."""
EMERGENCY_SHARE: Final = 10
"""One in so many orders of a grant is kept for emergency exits: stops resized often must not use up the way out."""
_TYPES_WITHOUT_BOUND: Final = frozenset({OrderType.MARKET, OrderType.STOP, OrderType.TAKE_PROFIT})
_BPS: Final = Decimal(10_000)


class CancelPurpose(Enum):
    """Why a protecting order may be canceled: each purpose replaces it, or follows from being flat."""

    RESIZE = "resize"
    EXIT = "exit"
    EMERGENCY = "emergency"
    FLAT = "flat"


@value(frozen=True, slots=True)
class AskedOrder:
    """What the approval must match: the ask as execd made it."""

    ask_id: int
    sent_ns: int
    venue: str
    terms: OrderTerms
    """qty 0: sized by riskd."""
    role: OrderRole
    strategy_id: str
    wants_stop: bool = False
    """The intent's plan has a stop: the order leaves only together with a grant for it."""


@value(frozen=True, slots=True)
class Passed:
    """Bytes that may be sent, and the terms that they carry."""

    venue: str
    data: bytes
    kind: RequestKind
    legs: tuple[OrderTerms, ...]
    decision_id: str = ""
    nonce: str = ""
    grant: GrantTerms | None = None
    """What the verified grant of an entry says."""


@value(frozen=True, slots=True)
class Prepared:
    """A request built and read back before its approval came; worth nothing until the approval says the same."""

    request_id: str
    passed: Passed


@value(frozen=True, slots=True)
class Blocked:
    """Not sent, and why. `nonce` names the approval that was not used."""

    reason: str
    detail: str
    check_id: str
    nonce: str = ""


@dataclass(slots=True)
class GrantUse:
    """What was already sent under one grant; rebuilt from the journal."""

    orders: int = 0
    stop_price: Decimal | None = None
    """Tightest stop so far."""


class Gateway:
    """See the module. Holds no order state of its own but what replay protection needs."""

    def __init__(
        self,
        settings: DeskSettings,
        keys: Mapping[str, bytes],
        codecs: Mapping[str, OrderCodec],
        instruments: Mapping[str, Instrument],
        link: RiskLink,
        latches: LatchBoard,
    ) -> None:
        self._settings = settings
        self.keys = keys
        self._codecs = codecs
        self._instruments = instruments
        self._link = link
        self._latches = latches
        self._nonces: OrderedDict[str, None] = OrderedDict()
        self._sent_ids: OrderedDict[str, None] = OrderedDict()
        self._sent_times: deque[int] = deque(maxlen=max(1, settings.backstop.max_orders_per_s))
        self.uses: OrderedDict[str, GrantUse] = OrderedDict()

    def note_sent(self, client_order_id: str) -> None:
        """Remember an id that was sent, live or before a restart: it is never sent again (EXE-08)."""
        self._sent_ids[client_order_id] = None
        if len(self._sent_ids) > MAX_SENT_IDS:
            self._sent_ids.popitem(last=False)

    def spend(self, nonce: str) -> bool:
        """Accept a nonce never again, because it is used or given up (EXE-03); False when it was spent before."""
        if nonce in self._nonces:
            return False
        self._nonces[nonce] = None
        if len(self._nonces) > MAX_NONCES:
            self._nonces.popitem(last=False)
        return True

    def note_grant_use(self, grant_id: str, leg: OrderTerms) -> None:
        """Count one order sent under a grant, live or before a restart."""
        use = self.use_of(grant_id)
        if use is None:
            use = self.uses[grant_id] = GrantUse()
            if len(self.uses) > MAX_GRANT_USES:
                self.uses.popitem(last=False)
        use.orders += 1
        if leg.order_type is OrderType.STOP_LIMIT and leg.stop_price is not None:
            tighter = max if leg.side is Side.SELL else min
            use.stop_price = leg.stop_price if use.stop_price is None else tighter(use.stop_price, leg.stop_price)

    def use_of(self, grant_id: str) -> GrantUse | None:
        """Return what was sent under a grant, None when nothing was."""
        use = self.uses.get(grant_id)
        if use is not None:
            self.uses.move_to_end(grant_id)
        return use

    # ---- by approval

    def pass_approved(
        self,
        approval: Approval | None,
        asked: AskedOrder,
        position_qty: Decimal,
        request_id: str,
        timestamp_ms: int,
        now_ns: int,
        *,
        grant: ProtectionGrant | None = None,
        prepared: Prepared | None = None,
    ) -> Passed | Blocked:
        """Return the bytes of the approved order, or why it is not sent.

        Args:
            approval: As it came from riskd.
            asked: The ask that it answers.
            position_qty: Signed position in the instrument over all strategies, for the backstop.
            request_id: For the venue's answer.
            timestamp_ms: Venue time for the request.
            now_ns: Our time.
            grant: What came with it; an entry whose stop is not granted is not sent.
            prepared: Used when the approval says exactly what it was built from.
        """
        if approval is None:
            return Blocked("APPROVAL_MISSING", "riskd allowed the ask without an approval", "EXE-01")
        try:
            terms = open_approval(approval, self.keys)
        except RejectedError as exc:
            return Blocked("APPROVAL_BAD_SIGNATURE", str(exc), "EXE-01")
        blocked = self._check_approval(terms, asked, now_ns) or self._check_order(
            terms.order, terms.venue, terms.role, terms.strategy_id, position_qty, now_ns
        )
        granted: GrantTerms | None = None
        if blocked is None and asked.role is OrderRole.ENTRY and (grant is not None or asked.wants_stop):
            opened = self._open_entry_grant(grant, terms)
            if isinstance(opened, Blocked):
                blocked = opened
            else:
                granted = opened
        if blocked is not None:
            return replace(blocked, nonce=terms.nonce)
        result: Passed | Blocked
        if prepared is not None and prepared.passed.venue == terms.venue and prepared.passed.legs == (terms.order,):
            result = prepared.passed
        else:
            result = self._build(terms.venue, (terms.order,), request_id, "", timestamp_ms)
        if isinstance(result, Blocked):
            return replace(result, nonce=terms.nonce)
        self.spend(terms.nonce)
        self._note_passed((terms.order,), now_ns)
        return Passed(result.venue, result.data, result.kind, result.legs, terms.decision_id, terms.nonce, granted)

    def prepare(self, asked: AskedOrder, request_id: str, timestamp_ms: int) -> Prepared | None:
        """Build the request of an ask while riskd decides; None when it could not be sent as asked."""
        result = self._build(asked.venue, (asked.terms,), request_id, "", timestamp_ms)
        return None if isinstance(result, Blocked) else Prepared(request_id, result)

    def _check_approval(self, terms: ApprovalTerms, asked: AskedOrder, now_ns: int) -> Blocked | None:
        settings, link, order = self._settings, self._link, terms.order
        if terms.environment != settings.environment or settings.accounts.get(terms.venue) != terms.account:
            where = f"{terms.environment}/{terms.venue}/{terms.account}"
            return Blocked("APPROVAL_CONTEXT_MISMATCH", f"approved for {where}, which is not ours", "EXE-04")
        if not link.session_id or terms.session_id != link.session_id or terms.ask_id != asked.ask_id:
            return Blocked("APPROVAL_CONTEXT_MISMATCH", "approved for another session or ask", "EXE-04")
        if not terms.nonce or terms.nonce in self._nonces:
            return Blocked("APPROVAL_REPLAYED", f"nonce {terms.nonce!r} is spent", "EXE-03")
        age_ms = (now_ns - asked.sent_ns) / NS_PER_MS
        if not 0 <= age_ms <= terms.valid_for_ms:
            return Blocked(
                "APPROVAL_EXPIRED", f"{age_ms:.0f} ms after the ask, valid {terms.valid_for_ms} ms", "EXE-02"
            )
        fence = link.fence_for(terms.venue, order.instrument_id, terms.strategy_id)
        if terms.epoch < fence:
            return Blocked("APPROVAL_EPOCH_STALE", f"epoch {terms.epoch}, fence {fence}", "EXE-05")
        if terms.action is not VenueAction.NEW or terms.replaces_client_order_id:
            return Blocked("APPROVAL_DIGEST_MISMATCH", "only new orders are sent", "EXE-04")
        if terms.venue != asked.venue or terms.role is not asked.role or terms.strategy_id != asked.strategy_id:
            return Blocked("APPROVAL_DIGEST_MISMATCH", "venue, role or strategy differ from the ask", "EXE-04")
        asked_qty = asked.terms.qty
        sized = asked_qty == 0 or 0 < order.qty <= asked_qty
        if not sized or (order if order.qty == asked_qty else replace(order, qty=asked_qty)) != asked.terms:
            return Blocked("APPROVAL_DIGEST_MISMATCH", f"approved {order} for ask {asked.terms}", "EXE-04")
        return None

    def _open_entry_grant(self, grant: ProtectionGrant | None, approved: ApprovalTerms) -> GrantTerms | Blocked:
        if grant is None:
            return Blocked("GRANT_MISSING", "riskd allowed an entry with a stop without granting the stop", "EXE-01")
        try:
            terms = open_grant(grant, self.keys)
        except RejectedError as exc:
            return Blocked("GRANT_BAD_SIGNATURE", str(exc), "EXE-01")
        order = approved.order
        granted = (
            terms.environment,
            terms.venue,
            terms.account,
            terms.entry_client_order_id,
            terms.instrument_id,
            terms.side,
            terms.strategy_id,
        )
        wanted = (
            approved.environment,
            approved.venue,
            approved.account,
            order.client_order_id,
            order.instrument_id,
            order.side.opposite,
            approved.strategy_id,
        )
        if granted != wanted:
            return Blocked("GRANT_CONTEXT_MISMATCH", f"granted for {granted}, approved {wanted}", "EXE-04")
        return terms

    # ---- by grant

    def pass_granted(
        self,
        grant: ProtectionGrant,
        legs: Sequence[OrderTerms],
        role: OrderRole,
        open_qty: Decimal,
        reference: Decimal | None,
        request_id: str,
        list_client_id: str,
        timestamp_ms: int,
        now_ns: int,
    ) -> Passed | Blocked:
        """Return the bytes of a protecting order (two legs: stop and target, one cancels the other) or why not.

        Args:
            grant: As riskd signed it.
            legs: Derived terms; the stop first.
            role: PROTECTION or EMERGENCY_EXIT.
            open_qty: Base units still to protect, which no leg may exceed.
            reference: Market price that bounds an emergency exit.
            request_id: For the venue's answer.
            list_client_id: Client id of the list when there are two legs.
            timestamp_ms: Venue time for the request.
            now_ns: Our time.
        """
        try:
            terms = open_grant(grant, self.keys)
        except RejectedError as exc:
            return Blocked("GRANT_BAD_SIGNATURE", str(exc), "EXE-01")
        blocked = self._check_grant(terms, legs, role, now_ns)
        for leg in legs:
            blocked = blocked or self._check_granted_leg(terms, leg, role, open_qty, reference)
            blocked = blocked or self._check_order(leg, terms.venue, role, terms.strategy_id, Decimal(0), now_ns)
        if blocked is not None:
            return blocked
        result = self._build(terms.venue, tuple(legs), request_id, list_client_id, timestamp_ms)
        if isinstance(result, Passed):
            for leg in legs:
                self.note_grant_use(terms.grant_id, leg)
            self._note_passed(legs, now_ns)
        return result

    def _check_grant(
        self, terms: GrantTerms, legs: Sequence[OrderTerms], role: OrderRole, now_ns: int
    ) -> Blocked | None:
        settings = self._settings
        if terms.environment != settings.environment or settings.accounts.get(terms.venue) != terms.account:
            where = f"{terms.environment}/{terms.venue}/{terms.account}"
            return Blocked("GRANT_CONTEXT_MISMATCH", f"granted for {where}, which is not ours", "EXE-04")
        if role not in (OrderRole.PROTECTION, OrderRole.EMERGENCY_EXIT) or not 1 <= len(legs) <= 2:
            return Blocked("GRANT_SCOPE", f"{len(legs)} order(s) of role {role.name}", "EXE-04")
        if now_ns >= terms.expires_time_ns:
            return Blocked("GRANT_EXPIRED", f"ended {(now_ns - terms.expires_time_ns) / NS_PER_S:.0f} s ago", "EXE-02")
        use = self.use_of(terms.grant_id)
        used = use.orders if use is not None else 0
        kept = 0 if role is OrderRole.EMERGENCY_EXIT else terms.max_orders // EMERGENCY_SHARE
        if used + len(legs) > terms.max_orders - kept:
            return Blocked("GRANT_SPENT", f"{used} of {terms.max_orders} orders are sent", "EXE-03")
        return None

    def _check_granted_leg(
        self, terms: GrantTerms, leg: OrderTerms, role: OrderRole, open_qty: Decimal, reference: Decimal | None
    ) -> Blocked | None:
        if leg.instrument_id != terms.instrument_id or leg.side is not terms.side:
            return Blocked("GRANT_SCOPE", f"{leg.side.name} {leg.instrument_id} is not granted", "EXE-04")
        if not 0 < leg.qty <= min(open_qty, terms.max_qty):
            return Blocked("GRANT_SCOPE", f"quantity {leg.qty}, open {open_qty}, granted {terms.max_qty}", "EXE-04")
        if role is OrderRole.EMERGENCY_EXIT:
            return self._check_emergency(terms, leg, reference)
        if leg.order_type not in terms.order_types:
            return Blocked("GRANT_SCOPE", f"type {leg.order_type.name} is not granted", "EXE-04")
        for price in (leg.price, leg.stop_price):
            if price is not None and not terms.min_price <= price <= terms.max_price:
                return Blocked("GRANT_SCOPE", f"price {price} outside {terms.min_price}..{terms.max_price}", "EXE-04")
        use = self.use_of(terms.grant_id)
        before = use.stop_price if use is not None else None
        if (
            terms.tighten_only
            and before is not None
            and leg.order_type is OrderType.STOP_LIMIT
            and leg.stop_price is not None
        ):
            looser = leg.stop_price < before if leg.side is Side.SELL else leg.stop_price > before
            if looser:
                return Blocked("GRANT_SCOPE", f"stop {leg.stop_price} is looser than {before}", "EXE-04")
        return None

    def _check_emergency(self, terms: GrantTerms, leg: OrderTerms, reference: Decimal | None) -> Blocked | None:
        if leg.order_type is not OrderType.LIMIT or leg.time_in_force is not TimeInForce.IOC or leg.price is None:
            return Blocked("GRANT_SCOPE", "an emergency exit is a limit IOC order", "EXE-04")
        if reference is None:
            return Blocked("GRANT_SCOPE", "no market price bounds the emergency exit", "EXE-04")
        bound = terms.emergency_bound_bps or self._settings.protection.emergency_bound_bps
        worst = reference * (1 - leg.side.opposite.sign * bound / _BPS)
        beyond = leg.price < worst if leg.side is Side.SELL else leg.price > worst
        if beyond:
            return Blocked("GRANT_SCOPE", f"limit {leg.price} beyond {bound} bps of {reference}", "EXE-04")
        return None

    # ---- cancels

    def pass_cancel(
        self, order: Order, purpose: CancelPurpose | None, request_id: str, timestamp_ms: int
    ) -> bytes | None:
        """Return the bytes of a cancel, or None: protection needs a purpose."""
        if order.facts.role is OrderRole.PROTECTION and purpose is None:
            return None
        venue = self._instruments[order.facts.terms.instrument_id].venue
        return self._codecs[venue].cancel(request_id, order.facts.terms, timestamp_ms)

    # ---- common

    def _check_order(
        self, leg: OrderTerms, venue: str, role: OrderRole, strategy_id: str, position_qty: Decimal, now_ns: int
    ) -> Blocked | None:
        """Checks that hold for every order whoever allowed it: levels, latch, lease, id, shape, backstop."""
        link = self._link
        instrument = self._instruments.get(leg.instrument_id)
        if instrument is None or instrument.venue != venue:
            return Blocked("APPROVAL_DIGEST_MISMATCH", f"{leg.instrument_id} is not traded at {venue} here", "EXE-04")
        level = max(link.level_for(venue, leg.instrument_id, strategy_id), self._latches.level)
        if level >= TradingLevel.KILLED and role is not OrderRole.REDUCE:
            return Blocked("LEVEL_KILLED", "nothing but cancels and riskd's flatten is sent", "EXE-05")
        if role is OrderRole.ENTRY:
            if not link.lease_valid(now_ns):
                return Blocked("RISK_LEASE_EXPIRED", "no valid lease from riskd", "EXE-06")
            if level >= TradingLevel.REDUCE_ONLY:
                return Blocked("LEVEL_FORBIDS", f"level {level.name} takes no entries", "EXE-05")
        if leg.client_order_id in self._sent_ids:
            return Blocked("CLIENT_ID_REUSED", f"{leg.client_order_id} was sent before", "EXE-08")
        if leg.order_type in _TYPES_WITHOUT_BOUND or leg.price is None or leg.price <= 0:
            return Blocked("EXECD_BACKSTOP", f"{leg.order_type.name} has no price bound", "EXE-07")
        return self._check_backstop(leg, instrument, role, position_qty, now_ns)

    def _check_backstop(
        self, leg: OrderTerms, instrument: Instrument, role: OrderRole, position_qty: Decimal, now_ns: int
    ) -> Blocked | None:
        caps = self._settings.backstop
        price = max(leg.price or Decimal(0), leg.stop_price or Decimal(0))
        if role is OrderRole.ENTRY:
            if instrument.notional(leg.qty, price) > caps.max_order_notional:
                return Blocked("EXECD_BACKSTOP", f"order value above {caps.max_order_notional}", "EXE-07")
            after = instrument.notional(abs(position_qty + leg.side.sign * leg.qty), price)
            if after > caps.max_position_notional:
                return Blocked("EXECD_BACKSTOP", f"position value above {caps.max_position_notional}", "EXE-07")
            times = self._sent_times
            if len(times) == times.maxlen and now_ns - times[0] < NS_PER_S:
                return Blocked("EXECD_BACKSTOP", f"more than {times.maxlen} orders in a second", "EXE-07")
        return None

    def _build(
        self, venue: str, legs: tuple[OrderTerms, ...], request_id: str, list_client_id: str, timestamp_ms: int
    ) -> Passed | Blocked:
        """Serialize, read back, compare (EXE-04)."""
        codec = self._codecs[venue]
        if len(legs) == 1:
            data, kind = codec.place(request_id, legs[0], timestamp_ms), RequestKind.PLACE
        else:
            data, kind = (
                codec.place_oco(request_id, list_client_id, legs[0], legs[1], timestamp_ms),
                RequestKind.PLACE_OCO,
            )
        try:
            parsed = codec.parse_order_request(data)
        except VenueProtocolError as exc:
            return Blocked("APPROVAL_DIGEST_MISMATCH", str(exc), "EXE-04")
        if len(legs) == 1:
            same = parsed.legs == (self._as_sent(legs[0], codec),)
        else:  # the protocol has its own order of the two
            meant = {leg.client_order_id: self._as_sent(leg, codec) for leg in legs}
            found = {leg.client_order_id: leg for leg in parsed.legs}
            same = len(parsed.legs) == len(legs) and found == meant
        if parsed.kind is not kind or parsed.request_id != request_id or not same:
            return Blocked("APPROVAL_DIGEST_MISMATCH", f"the request reads back as {parsed.legs}", "EXE-04")
        return Passed(venue, data, kind, legs)

    def _as_sent(self, leg: OrderTerms, codec: OrderCodec) -> OrderTerms:
        """Return the terms as far as the venue's protocol can carry them. Spot has no reduce-only flag: selling what
        one owns cannot flip, and riskd and the exit logic hold the rest.
        """
        if codec.carries_reduce_only or not leg.reduce_only:
            return leg
        spot = self._instruments[leg.instrument_id].product is Product.SPOT
        return replace(leg, reduce_only=False) if spot else leg

    def _note_passed(self, legs: Sequence[OrderTerms], now_ns: int) -> None:
        for leg in legs:
            self.note_sent(leg.client_order_id)
            self._sent_times.append(now_ns)
