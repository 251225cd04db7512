"""Decides asks: size, every check of the plan, one record, then the signed answer."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from decimal import Decimal
from functools import partial
from itertools import islice
from typing import Final

from riskd.accountant import Accountant
from riskd.asks import MAX_ID_CHARACTERS, make_case
from riskd.case import Books, Case
from riskd.catalogue import SPEC_BY_ID
from riskd.clusters import gather
from riskd.decisions import describe, first_violation, render, render_row
from riskd.exposure_sums import EARLY_NS
from riskd.inputs import (
    BLOCK,
    CHECK_ERROR,
    INPUT_MISSING,
    LIMIT_UNDEFINED,
    PASS,
    SOFT,
    InputMissing,
    LimitUndefined,
    Row,
)
from riskd.ledger import Ledger
from riskd.limits import Limits
from riskd.plans import Plan, Stage, make_plans
from riskd.records import INT64_MAX, CheckRow, DecisionRecord, GrantRenewed, Record, RecordType, decode_record
from riskd.session_view import SessionView
from riskd.settings import NS_PER_S, Settings
from riskd.sizing import Sized, size_entry, size_exit
from riskd.stop_flag import StopFlag
from riskd.units import from_units
from riskd.worst_case import value_all, value_positions
from tradebot.core.approvals import (
    GRANT_OF_ENTRY,
    Approval,
    ApprovalAnswer,
    ApprovalAsk,
    ApprovalTerms,
    CheckResult,
    Decision,
    GrantTerms,
    ProtectionGrant,
    VenueAction,
    Verdict,
)
from tradebot.core.intents import OrderIntent
from tradebot.core.orders import OrderRole, OrderTerms, OrderType, Side
from tradebot.wire.approvals import sign_approval, sign_grant
from tradebot.wire.fields import wire_values

MAX_KEPT_DECISIONS: Final = 5_000
"""Decisions kept for GetDecision; older ones are read from the journal."""
MAX_TEXT_CHARACTERS: Final = 300
"""Of what a decision keeps in words."""
GRANT_TYPES: Final = frozenset({OrderType.STOP_LIMIT, OrderType.LIMIT})
"""Stops, and limits for targets and emergency exits."""
ALLOW_VERDICT: Final = Verdict.ALLOW.value
SOFT_VERDICT: Final = Verdict.SOFT_ALLOW.value
BLOCK_VERDICT: Final = Verdict.BLOCK.value
VERDICTS: Final = wire_values(Verdict)
NEW_ACTION: Final = VenueAction.NEW.value
_ZERO: Final = Decimal(0)


@dataclass(frozen=True, slots=True)
class Signer:
    """The key that signs approvals and grants."""

    key_id: str
    key: bytes

    def approval(self, terms: ApprovalTerms) -> Approval:
        """Sign an approval."""
        return sign_approval(terms, self.key_id, self.key)

    def grant(self, terms: GrantTerms) -> ProtectionGrant:
        """Sign a grant."""
        return sign_grant(terms, self.key_id, self.key)


class Decider:
    """Answers asks."""

    def __init__(
        self,
        ledger: Ledger,
        books: Books,
        accountant: Accountant,
        session: SessionView,
        stop_flag: StopFlag,
        limits: Limits,
        signer: Signer,
        environment: str,
    ) -> None:
        self._ledger = ledger
        ledger.on_settled = self._settled
        self._state = ledger.state
        self.books = books
        self._accountant = accountant
        self._session = session
        self._stop_flag = stop_flag
        self._limits = limits
        self._settings: Settings = books.settings
        self._pins = gather(() if books.settings.clusters is None else books.settings.clusters.pins)
        """What moves together before anything was measured."""
        self._signer = signer
        self._environment = environment
        self._plans = make_plans(limits)
        self._plans_by_name = {plan.name: plan for plan in self._plans.values()}
        self._enforced = frozenset(check_id for plan in self._plans.values() for check_id, _ in plan.steps)
        self.decisions: dict[str, bytes] = {}
        """Payloads of the latest ones by id, oldest first: bytes cost the garbage collector nothing."""

    def answer(self, ask: ApprovalAsk, now_ns: int) -> ApprovalAnswer:
        """Decide an ask and sign what it allows; the decision is owed to the ledger."""
        self._ledger.fold()
        case, stage = self._case(ask, now_ns)
        record, terms, found = self._decide(case, stage, ask, self._next_decision_id(), now_ns)
        soft: tuple[CheckResult, ...] = ()
        if record.verdict == ALLOW_VERDICT:
            self._ledger.owe(record, found)
        else:
            found()
            self._ledger.owe(record)
            if record.verdict == BLOCK_VERDICT:
                return self._refusal(record)
            soft = tuple(render_row(row, record) for row in record.checks if row[1] == SOFT)
        return ApprovalAnswer(
            ask.ask_id,
            VERDICTS[record.verdict],
            record.decision_id,
            approval=None if terms is None else self._approval(record, ask, terms),
            grant=None if record.grant is None else self._signer.grant(record.grant),
            soft_hits=soft,
            approved_qty=record.approved_qty,
            binding_limit=record.binding,
        )

    def check_intent(self, intent: OrderIntent, now_ns: int) -> Decision:
        """Say what would be decided, without deciding it."""
        ask = ApprovalAsk(0, now_ns, parent=intent)
        case, stage = self._case(ask, now_ns)
        record, _, found = self._decide(case, stage, ask, f"dry-{intent.intent_id}", now_ns)
        found()
        return render(record, self._plans_by_name)

    def refuse_malformed(self, ask_id: int, problem: str, now_ns: int) -> ApprovalAnswer:
        """Refuse an ask that could not be read."""
        self._ledger.fold()
        row: CheckRow = ("AUT-01", BLOCK, "MALFORMED_REQUEST", 0, 0)
        record = DecisionRecord(
            self._next_decision_id(),
            ask_id,
            self._session.session_id,
            now_ns,
            False,
            False,
            "",
            "",
            "",
            0,
            0,
            "",
            "",
            "",
            Side.BUY.value,
            OrderRole.ENTRY.value,
            VenueAction.NEW.value,
            BLOCK_VERDICT,
            int(self._state.holds.system_level()),
            self._state.holds.epoch,
            None,
            _ZERO,
            _ZERO,
            "",
            "",
            [row],
            texts={"AUT-01": problem[:MAX_TEXT_CHARACTERS]},
        )
        self._ledger.owe(record)
        return self._refusal(record)

    def renew(self, grant_id: str, now_ns: int) -> ProtectionGrant | None:
        """Sign a grant that still protects something again: a later end, more orders. None when there is no such grant.

        `grant_id` is as in `SessionUp`. An execd that does not have the grant of an entry never got it, or forgot it
        with an entry that was over and filled all the same. execd may ask before it has told of that fill.
        """
        known = (
            t for t in self._state.grants if grant_id in (t.grant_id, f"{GRANT_OF_ENTRY}{t.entry_client_order_id}")
        )
        terms = next(known, None) or self._state.ended_grant(grant_id.removeprefix(GRANT_OF_ENTRY))
        if terms is None:
            return None
        limits = self._limits.file.grants
        fresh = replace(
            terms,
            expires_time_ns=now_ns + limits.valid_hours * 3600 * NS_PER_S,
            max_orders=terms.max_orders + limits.max_orders,  # execd counts all that were ever sent under it
        )
        self._ledger.commit(GrantRenewed(fresh))
        return self._signer.grant(fresh)

    def get_ready(self, now_ns: int) -> None:
        """Value what moved before the next ask comes, instead of while execd waits. What fails here is met again by
        the checks, which then refuse.
        """
        with suppress(Exception):
            self._group()
            value_all(self.books, now_ns, EARLY_NS)
            value_positions(self.books, now_ns, EARLY_NS)

    def render(self, record: DecisionRecord) -> Decision:
        """Return a decision with texts."""
        return render(record, self._plans_by_name)

    def keep(self, decision_id: str, payload: bytes) -> None:
        """Remember a decision for `find`."""
        self.decisions[decision_id] = payload
        if len(self.decisions) > MAX_KEPT_DECISIONS:
            del self.decisions[next(iter(self.decisions))]

    def find(self, decision_id: str) -> DecisionRecord | None:
        """Return one of the latest decisions; older ones are in the journal."""
        payload = self.decisions.get(decision_id)
        record = None if payload is None else decode_record(RecordType.DECISION, payload)
        return record if isinstance(record, DecisionRecord) else None

    def _settled(self, record: Record, payload: bytes) -> None:
        if isinstance(record, DecisionRecord):
            self.keep(record.decision_id, payload)

    def _group(self) -> None:
        """Pins stand before the first look at what moves together, which contains them."""
        self.books.sums.group(self._state.clusters or self._pins)

    def _case(self, ask: ApprovalAsk, now_ns: int) -> tuple[Case, Stage]:
        self._group()
        case = make_case(ask, self.books, self._state, self._session.statuses, self._stop_flag.level, now_ns)
        case.build = self._session.build
        if not case.reducing:
            equity = self._accountant.equity(now_ns)
            if equity.complete:
                case.equity = equity.value
                case.venue_equity = equity.venues.get(case.venue)
                case.day_ppm = self._state.portfolio.day_ppm(equity.value)
        if ask.parent is None:
            return case, Stage.ORDER
        return case, Stage.PARENT if ask.order is None else Stage.PLAIN

    def _decide(
        self, case: Case, stage: Stage, ask: ApprovalAsk, decision_id: str, now_ns: int
    ) -> tuple[DecisionRecord, OrderTerms | None, Callable[[], None]]:
        """Run the plan; return the record, the terms to approve (None = none), and what writes the checks into the
        record: nobody needs them for an approval.
        """
        plan = self._plans[stage, case.reducing]
        sized = self._size(case)
        rows, all_pass = _run(plan, case)
        verdict = ALLOW_VERDICT if all_pass and not sized.binding else _judge(plan, rows, sized.binding)
        authentic = not case.problem and case.registered
        intent, order, allowed = case.intent, case.order, verdict != BLOCK_VERDICT
        qty = from_units(case.qty) if allowed else _ZERO
        terms = None
        if allowed and order is not None:
            terms = order.order if order.order.qty == qty else replace(order.order, qty=qty)
        intent_id = intent.intent_id if intent is not None else "" if order is None else order.intent_id
        record = DecisionRecord(
            decision_id,
            ask.ask_id,
            self._session.session_id,
            now_ns,
            intent is not None,
            order is not None,
            intent_id[:MAX_ID_CHARACTERS],
            case.strategy_id[:MAX_ID_CHARACTERS],
            intent.incarnation if intent is not None and authentic else "",
            intent.intent_sequence if intent is not None and authentic else 0,
            0 if order is None else order.child_index,
            case.instrument_id[:MAX_ID_CHARACTERS],
            case.venue[:MAX_ID_CHARACTERS],
            "" if order is None else order.account,
            case.side.wire,
            case.role.wire,
            NEW_ACTION if order is None else order.action.wire,
            verdict,
            int(case.level),
            self._state.holds.epoch,
            None if case.problem else case.terms,
            qty,
            from_units(case.price or case.stop_price),
            sized.binding,
            plan.name,
            [],
            "" if order is None else order.reduce_id,
            "" if order is None else order.replaces_client_order_id,
            intent.trace_id if intent is not None else "" if order is None else order.trace_id,
            self._grant(case, order.order.client_order_id, order.account, decision_id, qty)
            if allowed and order is not None
            else None,
            None if intent is None else intent.protection.stop_loss_fraction,
            None if intent is None else intent.protection.take_profit_fraction,
            None if allowed else _texts(case),
        )
        return record, terms, partial(_write_checks, record.checks, plan, rows)

    def _size(self, case: Case) -> Sized:
        """Give an ask without quantity one."""
        intent = case.intent
        if intent is None or intent.qty is not None or case.problem or case.qty:
            return Sized(case.qty)
        try:
            sized = size_exit(case) if case.reducing else size_entry(case, intent.strength, self._enforced)
        except Exception:  # noqa: BLE001  fail closed: without a quantity every check that needs one refuses
            sized = Sized(0)
        case.qty = sized.qty
        return sized

    def _grant(
        self, case: Case, client_order_id: str, account: str, decision_id: str, qty: Decimal
    ) -> GrantTerms | None:
        """Return the grant that protects this entry; None when its plan has no stop."""
        if case.role is not OrderRole.ENTRY or case.rule is None:
            return None
        source = case.intent.protection if case.intent is not None else None
        stop = source.stop_loss_fraction if source is not None else case.parent.stop_loss if case.parent else None
        target = source.take_profit_fraction if source is not None else case.parent.take_profit if case.parent else None
        if stop is None:
            return None
        limits, rule = self._limits.file.grants, case.rule
        reach = case.price * limits.price_range_pct // 100
        low, high = case.price - reach, case.price + reach
        return GrantTerms(
            environment=self._environment,
            grant_id=f"g{decision_id}",
            venue=case.venue,
            account=account,
            entry_client_order_id=client_order_id,
            instrument_id=case.instrument_id,
            side=case.side.opposite,
            max_qty=qty,
            min_price=from_units(max(rule.tick, low - low % rule.tick)),
            max_price=from_units(high - high % rule.tick),
            order_types=GRANT_TYPES,
            tighten_only=True,
            max_orders=limits.max_orders,
            expires_time_ns=case.now_ns + limits.valid_hours * 3600 * NS_PER_S,
            strategy_id=case.strategy_id,
            stop_loss_fraction=stop,
            take_profit_fraction=target,
            emergency_bound_bps=limits.emergency_bound_bps,
        )

    def _approval(self, record: DecisionRecord, ask: ApprovalAsk, terms: OrderTerms) -> Approval:
        order = ask.order
        assert order is not None
        return self._signer.approval(
            ApprovalTerms(
                environment=self._environment,
                nonce=record.decision_id,
                epoch=record.epoch,
                valid_for_ms=self._settings.approval_valid_ms,
                session_id=record.session_id,
                ask_id=record.ask_id,
                action=order.action,
                venue=order.venue,
                account=order.account,
                order=terms,
                role=order.role,
                decision_id=record.decision_id,
                strategy_id=order.strategy_id,
                replaces_client_order_id=order.replaces_client_order_id,
            )
        )

    def _refusal(self, record: DecisionRecord) -> ApprovalAnswer:
        first = first_violation(record)
        assert first is not None
        return ApprovalAnswer(
            record.ask_id,
            Verdict.BLOCK,
            record.decision_id,
            check_id=first[0],
            reason=first[2],
            detail=describe(first, record),
            violations=tuple(render_row(row, record) for row in record.checks if row[1] == BLOCK),
        )

    def _next_decision_id(self) -> str:
        return f"{self._state.prefix}-{self._state.decisions + 1}"


def _texts(case: Case) -> dict[str, str] | None:
    """Return what the refusals of an ask say that numbers cannot."""
    found = {
        "AUT-01": case.problem,
        "AUT-04": f"the {case.duplicate} was seen before" if case.duplicate else "",
        "AUT-05": "" if case.reducing else case.books.fleet.text(case.build),
    }
    return {check_id: text[:MAX_TEXT_CHARACTERS] for check_id, text in found.items() if text} or None


def _run(plan: Plan, case: Case) -> tuple[list[Row], bool]:
    """Return what each check of the plan answers, and whether all pass."""
    rows: list[Row] = []
    append, all_pass = rows.append, True
    while True:  # once more for each check that raises
        try:
            for _, check in islice(plan.steps, len(rows), None):
                row = check(case)
                outcome, _, _, _ = row  # an answer of another form is an error
                if outcome != PASS:
                    all_pass = False
                append(row)
            return rows, all_pass
        except InputMissing:
            append(INPUT_MISSING)
        except LimitUndefined:
            append(LIMIT_UNDEFINED)
        except Exception:  # noqa: BLE001  fail closed: no exception path may lead to an approval
            append(CHECK_ERROR)
        all_pass = False


def _judge(plan: Plan, rows: list[Row], binding: str) -> int:
    """Return the verdict; the row of the check that bound the quantity becomes a soft hit."""
    verdict = ALLOW_VERDICT
    for at, (outcome, _, limit, measured) in enumerate(rows):
        check_id = plan.steps[at][0]
        if outcome == BLOCK:
            verdict = BLOCK_VERDICT
        elif check_id == binding:
            rows[at] = (SOFT, SPEC_BY_ID[check_id].reasons[0], limit, measured)
        if rows[at][0] == SOFT and verdict == ALLOW_VERDICT:
            verdict = SOFT_VERDICT
    return verdict


def _write_checks(checks: list[CheckRow], plan: Plan, rows: list[Row]) -> None:
    for (check_id, _), (outcome, reason, limit, measured) in zip(plan.steps, rows, strict=True):
        if limit > INT64_MAX or measured > INT64_MAX:
            checks.append((check_id, outcome, reason, str(limit), str(measured)))
        else:
            checks.append((check_id, outcome, reason, limit, measured))
