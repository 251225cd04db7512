"""riskd's side of the desk: session, levels, leases, latches, and what goes up."""

from __future__ import annotations

from typing import Final

from execd.asking import AskDesk
from execd.exits import ExitDesk
from execd.intent_desk import IntentDesk
from execd.margin_desk import MarginDesk
from execd.mass_cancel import MassCanceler
from execd.protection import Protection
from execd.reconcile import Reconciler
from execd.records import RecordType
from execd.resting import RestingEntries
from execd.settings import NS_PER_MS
from execd.state import DeskState, VenueState
from tradebot.core.accounts import VenueStatus
from tradebot.core.approvals import SessionDown, SessionHello, SessionUp, StopLatch
from tradebot.core.errors import RejectedError
from tradebot.core.levels import TradingLevel
from tradebot.core.order_events import OrderEvent
from tradebot.wire.execd_records import latch_bytes

MAX_TOLD_ALARMS: Final = 1_000
"""Alarms of one venue that are kept until riskd has surely heard them: a silent riskd loses its session long before."""


class RiskSide:
    """See the module."""

    def __init__(
        self,
        state: DeskState,
        asks: AskDesk,
        intents: IntentDesk,
        exits: ExitDesk,
        protection: Protection,
        reconciler: Reconciler,
        mass_canceler: MassCanceler,
        margin_desk: MarginDesk,
        resting: RestingEntries,
        build_hash: str,
    ) -> None:
        self.state = state
        self.asks = asks
        self.intents = intents
        self.exits = exits
        self.protection = protection
        self.reconciler = reconciler
        self.mass_canceler = mass_canceler
        self.margin_desk = margin_desk
        self.resting = resting
        self._build_hash = build_hash
        self._entries_canceled_for_lease = False

    def connected(self, session_id: str) -> None:
        """The stream to riskd is open: say hello. Nothing else goes up before its welcome."""
        state = self.state
        state.link.connected(session_id)
        self.asks.session_started()
        hello = SessionHello(
            session_id,
            state.log_incarnation,
            state.orders.log.head,
            self._build_hash,
            tuple(state.instruments.values()),
            self.state.latches.latches,
            state.started_ns,
        )
        state.out.up = SessionUp(hello=hello)
        state.out.up_dirty = True

    def lost(self, now_ns: int) -> None:
        """The stream to riskd is gone: REDUCE_ONLY at once, open asks are void."""
        self.state.link.lost()
        for venue in self.state.venues.values():  # what was on its way may be lost: the next session hears it (again)
            venue.alarms[:0] = [alarm for _, alarm in venue.told]
            venue.told.clear()
        self.asks.session_lost(now_ns)
        self.mass_canceler.session_lost()
        self.state.out.up = SessionUp()
        self.state.out.up_dirty = False

    def message(self, down: SessionDown, now_ns: int) -> None:
        """Take what riskd sent, in the order of its fields."""
        if down.welcome is not None:
            self._welcome(down, now_ns)
        if down.levels is not None:
            self._levels(down, now_ns)
        for answer in down.answers:
            self.asks.answered(answer, now_ns)
        if down.lease is not None:
            self.state.link.lease_answer(down.lease)
            self.resting.follow(down.lease.entry_lifetime_ms * NS_PER_MS)
            for venue in self.state.venues.values():
                venue.told = [told for told in venue.told if told[0] >= down.lease.sequence]
            if self.state.link.lease_valid(now_ns):
                self._entries_canceled_for_lease = False
        for command in down.reduces:
            self.exits.reduce(command, now_ns)
        for grant in down.renewed_grants:
            try:
                if not self.protection.renewed(grant):
                    self.state.notice("warning", "grant_unknown_entry", "riskd renewed a grant of an unknown entry")
            except RejectedError as exc:
                self.state.notice("error", "grant_invalid", str(exc))
        for mass_cancel in down.mass_cancels:
            self.mass_canceler.command(mass_cancel, now_ns)

    def _welcome(self, down: SessionDown, now_ns: int) -> None:
        state = self.state
        if down.welcome is None or not state.link.session_id:
            return
        if not state.link.welcome(down.welcome, now_ns):
            text = f"riskd serves {down.welcome.environment}, execd {state.settings.environment}: no session"
            state.notice("error", "environment_mismatch", text)
            return
        missed = state.orders.log.after(down.welcome.order_log_resume_after)
        if missed is None:
            text = f"riskd resumes after {down.welcome.order_log_resume_after}, the log ends at {state.orders.log.head}"
            state.notice("error", "order_log_gap", text)
            missed = state.orders.log.after(0) or []
        state.out.up.order_events.extend(missed)
        state.out.up.engine_build = state.engine_build
        for venue in state.venues.values():
            venue.status_dirty = True
            self.reconciler.resend_account(venue, now_ns)
        self.margin_desk.resend()
        self.protection.session_started()
        self.ping(now_ns)

    def _levels(self, down: SessionDown, now_ns: int) -> None:
        if down.levels is None:
            return
        self.state.link.levels = down.levels
        ended = self.state.latches.clear(down.levels.cleared_latch_ids)
        for latch_id in ended:
            self.state.record(RecordType.UNLATCH, latch_id.encode())
            self.state.notice("warning", "stop_cleared", latch_id)
        self.intents.cancel_entries("LEVEL", now_ns, TradingLevel.REDUCE_ONLY)

    def ping(self, now_ns: int) -> None:
        """Send the lease ping that is due."""
        ping = self.state.link.ping_due(now_ns)
        if ping is not None:
            self.state.out.up.ping = ping
            self.state.out.up_dirty = True

    def latch(self, latch: StopLatch, now_ns: int) -> None:
        """A stop was set (the gateway obeys it already): journal it, tell riskd, cancel entries."""
        self.state.latches.set(latch)
        self.state.record(RecordType.LATCH, latch_bytes(latch))
        if self.state.link.welcomed:
            self.state.out.up.latches.append(latch)
            self.state.out.up_dirty = True
        self.state.notice("error", "stop_latched", f"{latch.level.name} by {latch.operator}: {latch.reason}")
        self.intents.cancel_entries("STOPPED", now_ns)

    def engine_told(self, build: str) -> None:
        """An engine opened its stream and told its build: riskd compares it (AUT-05)."""
        state = self.state
        state.engine_build = build
        if state.link.welcomed:
            state.out.up.engine_build = build
            state.out.up_dirty = True

    def lease_watch(self, now_ns: int) -> None:
        """Cancel working entries when riskd has been silent for too long."""
        link = self.state.link
        if self._entries_canceled_for_lease or not link.entries_overdue(now_ns):
            return
        self._entries_canceled_for_lease = True
        if count := self.intents.cancel_entries("RISK_LEASE_EXPIRED", now_ns):
            self.state.notice("error", "lease_lost", f"{count} working entries are canceled: riskd is silent")

    def take_events(self) -> list[OrderEvent]:
        """Return and clear the order events that go up to riskd, for a shell that sends them as bytes."""
        up = self.state.out.up
        events, up.order_events = up.order_events, []
        return events

    def take_up(self) -> SessionUp | None:
        """Return and clear what goes up to riskd; None when there is nothing."""
        self._report_venues()
        out = self.state.out
        if not out.up_dirty and not out.up.order_events:
            return None
        up, out.up, out.up_dirty = out.up, SessionUp(), False
        return up

    def _report_venues(self) -> None:
        if not self.state.link.welcomed:
            return
        for venue in self.state.venues.values():
            if venue.status_dirty:
                self.state.out.up.venues.append(self.venue_status(venue))
                self.state.out.up_dirty = True
                venue.status_dirty = False
                venue.told_weight_pct = venue.used_weight_pct
                told = venue.told + [(self.state.link.pings_sent, alarm) for alarm in venue.alarms]
                venue.told = told[-MAX_TOLD_ALARMS:]
                venue.alarms.clear()

    def venue_status(self, venue: VenueState) -> VenueStatus:
        """Return the state of one venue's private side."""
        unknown = tuple(
            client_order_id
            for client_order_id in self.state.orders.unknown_ids()
            if (order := self.state.orders.get(client_order_id)) is not None
            and self.state.venue_of(order.facts.terms.instrument_id) is venue
        )
        return VenueStatus(
            venue.name,
            venue.account,
            venue.live,
            venue.reconciled_ns,
            venue.reconciling,
            unknown,
            tuple(venue.alarms),
            venue.used_weight_pct,
            venue.clock_offset_ns,
            venue.clock_error_ns,
            venue.clock_time_ns,
            venue.quiet_until_ns,
            venue.rules_time_ns,
            venue.rules_hash,
            venue.rights_ns,
            venue.key_moves_money,
            venue.maintenance,
        )

    def lease_timer_ns(self) -> int | None:
        """Return when silence of riskd costs the working entries."""
        if self._entries_canceled_for_lease or not self.state.orders.working_count:
            return None
        return self.state.link.lease_sent_ns + self.state.settings.cancel_entries_after_ms * NS_PER_MS
