"""What the parts of the desk share: the order table, the link to riskd, the venues, and the outbox.

Parts change orders only through `emit` and reach the world only through the outbox. Order events wait in `fresh`
until the desk has told every part about them, so no part is re-entered.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Final

from execd.gateway import CancelPurpose, Gateway, Passed
from execd.latch import LatchBoard
from execd.orders import Order, OrderTable
from execd.quotes import QuoteBoard
from execd.records import LINGERING, Outbox, ReadJob, ReadKind, RecordType, VenueSend
from execd.requests import PendingRequest, RequestTable
from execd.risk_link import RiskLink
from execd.settings import NS_PER_MS, DeskSettings
from tradebot.core.accounts import Balance, VenueAlarm
from tradebot.core.approvals import ApprovalAsk
from tradebot.core.ids import ClientOrderIdParts, make_client_order_id, strategy_code
from tradebot.core.instruments import Instrument, Product
from tradebot.core.intents import IntentAnswer
from tradebot.core.order_events import OrderEvent, OrderFacts
from tradebot.core.orders import Execution, OrderEventKind, OrderStatus, Side, next_status
from tradebot.venues.api_orders import OrderCodec, RequestKind
from tradebot.wire.execd_records import event_bytes, pack_parts

MAX_STRATEGY_CODES: Final = 10_000


@dataclass(slots=True)
class VenueState:
    """One venue's private side."""

    name: str
    account: str
    connected: bool = False
    login_sent: bool = False
    """On this connection: the venue refuses a second one."""
    live: bool = False
    """Logged in: user events flow."""
    reconciling: bool = True
    reconciled_ns: int = 0
    clock_offset_ns: int = 0
    """Venue time minus ours."""
    clock_error_ns: int = 0
    """Half the round trip of the measurement."""
    clock_time_ns: int = 0
    """When it was measured."""
    quiet_until_ns: int = 0
    """The venue told us to send nothing but cancels until then."""
    rights_ns: int = 0
    """When the venue last told what the key may do."""
    key_moves_money: bool = False
    """Whether it said then that the key may withdraw or transfer."""
    maintenance: bool = False
    """Whether it says that it is under maintenance."""
    rules_time_ns: int = 0
    """When its trading rules were read last."""
    rules_hash: str = ""
    """Of the rules as read then."""
    used_weight_pct: float = 0.0
    told_weight_pct: float = 0.0
    """What riskd was told last."""
    balances: dict[str, Balance] = field(default_factory=dict)
    alarms: list[VenueAlarm] = field(default_factory=list)
    """Not yet told to riskd."""
    told: list[tuple[int, VenueAlarm]] = field(default_factory=list)
    """Told after so many pings; riskd has them for sure when it answers a later one."""
    status_dirty: bool = True

    def timestamp_ms(self, now_ns: int) -> int:
        """Return venue time for a request."""
        return (now_ns + self.clock_offset_ns) // NS_PER_MS


class DeskState:
    """See the module."""

    def __init__(
        self,
        settings: DeskSettings,
        instruments: Mapping[str, Instrument],
        codecs: Mapping[str, OrderCodec],
        approval_keys: Mapping[str, bytes],
        id_key: bytes,
        latches: LatchBoard,
    ) -> None:
        self.settings = settings
        self.instruments = dict(instruments)
        self.codecs = dict(codecs)
        self.id_key = id_key
        self.latches = latches
        self.link = RiskLink(settings)
        self.orders = OrderTable(self.instruments)
        self.quotes = QuoteBoard(self.instruments)
        self.gateway = Gateway(settings, approval_keys, self.codecs, self.instruments, self.link, latches)
        self.requests = RequestTable()
        self.venues = {name: VenueState(name, account) for name, account in settings.accounts.items()}
        self.out = Outbox()
        self.fresh: deque[tuple[Order, OrderEvent]] = deque()
        self.engine_build: str | None = None
        """That the latest engine told; None = there was none yet."""
        self.log_incarnation = ""
        self.start_number = 0
        self.started_ns = 0
        """When this process began its run."""
        self._id_sequence = 0
        self._strategy_codes: dict[str, int] = {}
        self._next_record = 1
        self._next_job = 0
        self.durable_seq = 0
        self.wire: Callable[[VenueSend], None] | None = None
        """Writes an order at once, before its bookkeeping; without it orders leave with the outbox."""
        self.ask_now: Callable[[ApprovalAsk, bytes], None] | None = None
        """Sends an ask (with its intent as received) at once, before its bookkeeping; without it asks leave with the
        outbox.
        """
        self.keep_approval: Callable[[bytes, int], bool] | None = None
        """Keeps an approval where a crash cannot reach it, told with the last record; False: there is no room now."""
        self.on_fold: Callable[[Order, OrderEvent], object] | None = None
        """Quantities that other parts keep; they follow each event at once, decisions wait for `fresh`."""

    # ---- journal

    def start_records(self, next_record: int) -> None:
        """Continue the journal's numbering."""
        self._next_record = next_record
        self.durable_seq = next_record - 1

    def record(self, record_type: RecordType, payload: bytes) -> int:
        """Ask for one journal record and return its sequence number."""
        out = self.out
        out.records.append((int(record_type), payload))
        if record_type not in LINGERING:
            out.pressing = True
        self._next_record += 1
        return self._next_record - 1

    @property
    def last_record(self) -> int:
        """Sequence number of the last record asked for."""
        return self._next_record - 1

    # ---- order events

    def new_client_order_id(self, strategy_id: str) -> str:
        """Return an id that was never used."""
        self._id_sequence += 1
        code = self._strategy_codes.get(strategy_id)
        if code is None:
            if len(self._strategy_codes) >= MAX_STRATEGY_CODES:
                self._strategy_codes.clear()
            code = self._strategy_codes[strategy_id] = strategy_code(strategy_id)
        return make_client_order_id(ClientOrderIdParts(code, self.start_number, self._id_sequence), self.id_key)

    def emit(
        self,
        client_order_id: str,
        kind: OrderEventKind,
        now_ns: int,
        *,
        facts: OrderFacts | None = None,
        execution: Execution | None = None,
        venue_order_id: str = "",
        reason: str = "",
        detail: str = "",
        check_id: str = "",
        event_time_ns: int = 0,
        journal: bool = True,
    ) -> bytes:
        """Make, fold, journal and publish one order event.

        Args:
            client_order_id: The order; unknown ones need `facts`.
            kind: What happened.
            now_ns: When we learned or caused it.
            facts: With the first event, and when they changed.
            execution: For fills.
            venue_order_id: When it became known.
            reason: Stable reason code.
            detail: Text for people.
            check_id: Check that refused it.
            event_time_ns: The venue's time.
            journal: False when the caller puts the event into a record of its own.

        Returns:
            The event, serialized.
        """
        order = self.orders.get(client_order_id)
        status = next_status(order.state.status if order else OrderStatus.PENDING_NEW, kind)
        event = OrderEvent(
            self.orders.next_sequence(),
            client_order_id,
            kind,
            status,
            now_ns,
            facts,
            execution,
            venue_order_id,
            reason,
            detail,
            check_id,
            event_time_ns,
        )
        order = self.orders.fold(event)
        if self.on_fold is not None:
            self.on_fold(order, event)
        raw = event_bytes(event) if self.settings.journaled else b""
        if journal:
            self.record(RecordType.ORDER_EVENT, raw)
        out = self.out
        out.events.append((event, raw))
        if self.link.welcomed:
            out.up.order_events.append(event)
        if execution is not None:
            out.fills = True
            out.positions_changed.add((order.facts.strategy_id, execution.instrument_id))
        self.fresh.append((order, event))
        return raw

    # ---- venues

    def venue_of(self, instrument_id: str) -> VenueState:
        """Return the venue that trades an instrument."""
        return self.venues[self.instruments[instrument_id].venue]

    def alarm(
        self, venue: VenueState, cause: str, instrument_id: str = "", detail: str = "", *, cleared: bool = False
    ) -> None:
        """Tell riskd (it raises the hold) and the log."""
        venue.alarms.append(VenueAlarm(cause, instrument_id, detail, cleared))
        venue.status_dirty = True
        self.notice("warning" if cleared else "error", cause.lower(), f"{instrument_id} {detail}".strip())

    def notice(self, level: str, event: str, text: str) -> None:
        """Write a log line."""
        self.out.notices.append((level, event, text))

    def answer(self, answer: IntentAnswer) -> None:
        """Answer an intent."""
        self.out.answers.append(answer)

    def read(
        self, kind: ReadKind, venue: str, *, since_ms: int = 0, instrument_id: str = "", venue_order_id: str = ""
    ) -> int:
        """Ask the shell for a private read and return its job id."""
        self._next_job += 1
        self.out.reads.append(ReadJob(self._next_job, kind, venue, since_ms, instrument_id, venue_order_id))
        return self._next_job

    def send_passed(
        self, passed: Passed, request_id: str, now_ns: int, market_sent_ns: int = 0, market_received_ns: int = 0
    ) -> None:
        """Hand the gateway's bytes to the shell and wait for the answer."""
        ids = tuple(leg.client_order_id for leg in passed.legs)
        send = VenueSend(passed.venue, passed.data, passed.kind, ids[0], market_sent_ns, market_received_ns)
        if self.wire is not None:
            self.wire(send)
        else:
            self.out.sends.append(send)
        self._await(request_id, passed.venue, passed.kind, ids, now_ns)

    def cancel(self, order: Order, reason: str, now_ns: int, purpose: CancelPurpose | None = None) -> bool:
        """Send a cancel when the order is at the venue and the connection is up; otherwise remember that it is wanted,
        in the journal: it is sent when the connection is back, and after a crash.

        Returns:
            False when the gateway refuses to take the protection away.
        """
        if not order.working:
            return True
        venue = self.venue_of(order.facts.terms.instrument_id)
        request_id = self.requests.next_id()
        data = self.gateway.pass_cancel(order, purpose, request_id, venue.timestamp_ms(now_ns))
        if data is None:
            return False
        is_new = order.cancel_wanted != reason
        order.cancel_wanted, order.cancel_purpose = reason, purpose.value if purpose else ""
        if venue.connected and order.was_sent:
            self._send_cancel(order, data, request_id, reason, now_ns)
        elif is_new:
            self.record(RecordType.CANCEL_WANTED, pack_parts(order.id.encode(), reason.encode()))
        return True

    def cancel_ended(self, order: Order, reason: str, now_ns: int) -> None:
        """Cancel once what the venue works of an order that is over here."""
        venue = self.venue_of(order.facts.terms.instrument_id)
        request_id = self.requests.next_id()
        data = self.gateway.pass_cancel(order, CancelPurpose.FLAT, request_id, venue.timestamp_ms(now_ns))
        if data is not None and venue.connected:
            self._send_cancel(order, data, request_id, reason, now_ns)

    def _send_cancel(self, order: Order, data: bytes, request_id: str, reason: str, now_ns: int) -> None:
        venue = self.venue_of(order.facts.terms.instrument_id)
        self.out.sends.append(VenueSend(venue.name, data, RequestKind.CANCEL, order.id))
        self._await(request_id, venue.name, RequestKind.CANCEL, (order.id,), now_ns)
        self.emit(order.id, OrderEventKind.CANCEL_SENT, now_ns, reason=reason)

    def repeat_cancel(self, order: Order, now_ns: int) -> None:
        """Send a wanted cancel again, after the venue showed that the order still works."""
        if order.cancel_wanted and order.working:
            purpose = CancelPurpose(order.cancel_purpose) if order.cancel_purpose else None
            self.cancel(order, order.cancel_wanted, now_ns, purpose)

    def query(self, order: Order, now_ns: int) -> bool:
        """Ask the venue for one order; False when it cannot be asked now."""
        venue = self.venue_of(order.facts.terms.instrument_id)
        if not venue.connected or now_ns < venue.quiet_until_ns:
            return False
        request_id = self.requests.next_id()
        codec = self.codecs[venue.name]
        data = codec.query(request_id, order.facts.terms.instrument_id, order.id, venue.timestamp_ms(now_ns))
        self.out.sends.append(VenueSend(venue.name, data, RequestKind.QUERY, order.id))
        self._await(request_id, venue.name, RequestKind.QUERY, (order.id,), now_ns)
        return True

    def send_plain(self, venue: VenueState, kind: RequestKind, now_ns: int) -> None:
        """Send a login or a time request."""
        request_id = self.requests.next_id()
        codec = self.codecs[venue.name]
        login = kind is RequestKind.LOGIN
        data = codec.login(request_id, venue.timestamp_ms(now_ns)) if login else codec.time(request_id)
        self.out.sends.append(VenueSend(venue.name, data, kind))
        self._await(request_id, venue.name, kind, (), now_ns)

    def _await(self, request_id: str, venue: str, kind: RequestKind, ids: tuple[str, ...], now_ns: int) -> None:
        deadline_ns = now_ns + self.settings.request_timeout_ms * NS_PER_MS
        self.requests.add(PendingRequest(request_id, venue, kind, now_ns, deadline_ns, ids))

    def sells_base(self, instrument_id: str, side: Side) -> bool:
        """Return whether such an order sells base balance; closing a perpetual needs none."""
        return side is Side.SELL and self.instruments[instrument_id].product is Product.SPOT

    def free_base(self, instrument_id: str) -> Decimal:
        """Return the free balance of the base asset as last reported."""
        balance = self.venue_of(instrument_id).balances.get(self.instruments[instrument_id].base)
        return balance.free if balance else Decimal(0)
