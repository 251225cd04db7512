"""Messages of the daemons as the console's own records. Text that is not a number is not known, never zero."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from decimal import Decimal, InvalidOperation

from console.model import (
    Beat,
    BookRow,
    CheckLine,
    Explanation,
    Kill,
    Ladder,
    LogEntry,
    Pnl,
    Position,
    Strategy,
    StrategyPnl,
    TradingRules,
    VenueLink,
)
from tradebot.core.errors import TransientError
from tradebot.rpc.common.v1 import instrument_pb2, level_pb2, order_pb2, status_pb2
from tradebot.rpc.engine.v1 import engine_service_pb2 as engine_pb
from tradebot.rpc.execution.v1 import execution_service_pb2 as execution_pb
from tradebot.rpc.marketdata.v1 import market_data_service_pb2 as market_pb
from tradebot.rpc.marketdata.v1 import rows_pb2
from tradebot.rpc.risk.v1 import decision_pb2, kill_pb2
from tradebot.rpc.risk.v1 import risk_service_pb2 as risk_pb
from tradebot.wire.fields import enum_name


def amount(text: str) -> Decimal | None:
    """Return a decimal string's value; empty or malformed text is not known, never zero."""
    try:
        value = Decimal(text)
    except InvalidOperation:
        return None
    return value if value.is_finite() else None


def kill_from_wire(kill: kill_pb2.KillReport) -> Kill:
    """Return a kill."""
    return Kill(
        kill.kill_id,
        enum_name(kill_pb2.KillState, kill.state, "KILL_STATE_"),
        enum_name(kill_pb2.KillStep, kill.step, "KILL_STEP_"),
        kill.drill,
        kill.flatten,
        kill.marks[-1].began_time_ns if kill.marks else kill.began_time_ns,
        kill.stuck,
        len(kill.left),
    )


def beat_from_wire(status: status_pb2.DaemonStatus) -> Beat:
    """Return a heartbeat."""
    return Beat(
        daemon=status.daemon,
        incarnation=status.incarnation,
        version=status.version,
        mode=status.mode,
        state=enum_name(status_pb2.DaemonState, status.state, "DAEMON_STATE_"),
        summary=status.summary,
        started_ns=status.started_time_ns,
        time_ns=status.time_ns,
        items=tuple((item.name, item.value) for item in status.items),
        links=tuple(
            VenueLink(link.venue, link.channel, link.state, link.age_ms, link.reject_pct) for link in status.venue_links
        ),
        logs=tuple(
            LogEntry(entry.time_ns, entry.level, entry.daemon, entry.text, entry.trace_id) for entry in status.log_lines
        ),
    )


def with_items(beat: Beat, extra: Sequence[tuple[str, str]]) -> Beat:
    return replace(beat, items=(*beat.items, *extra))


def rules_from_wire(item: instrument_pb2.Instrument) -> TradingRules | None:
    """Return the rules, None when they cannot be read: they only decorate what is shown."""
    tick, lot, smallest = amount(item.tick_size), amount(item.lot_size), amount(item.min_qty)
    if tick is None or lot is None or smallest is None:
        return None
    return TradingRules(item.instrument_id, tick, lot, smallest, amount(item.min_notional) or Decimal(0))


def book_from_wire(row: market_pb.BookStatus) -> BookRow:
    return BookRow(
        instrument_id=row.instrument_id,
        state=enum_name(rows_pb2.BookState, row.state, "BOOK_STATE_"),
        bid=amount(row.bid_price),
        ask=amount(row.ask_price),
        last=amount(row.last_price),
        age_ms=row.age_ms,
        gaps=row.gaps,
    )


def ladder_from_wire(answer: market_pb.GetBookResponse) -> Ladder:
    return Ladder(
        instrument_id=answer.instrument_id,
        state=enum_name(rows_pb2.BookState, answer.state, "BOOK_STATE_"),
        bids=_levels(answer.bids),
        asks=_levels(answer.asks),
        received_ns=answer.receive_time_ns,
    )


def _levels(levels: Iterable[market_pb.BookLevel]) -> tuple[tuple[Decimal, Decimal], ...]:
    found = ((amount(level.price), amount(level.qty)) for level in levels)
    return tuple((price, qty) for price, qty in found if price is not None and qty is not None)


def strategy_from_wire(row: engine_pb.StrategyStatus) -> Strategy:
    return Strategy(
        strategy_id=row.strategy_id,
        kind=row.kind,
        enabled=row.enabled,
        warming_up=row.warming_up,
        instrument_ids=tuple(row.instrument_ids),
        parameters=tuple((item.name, item.value) for item in row.parameters),
        signals=row.signals,
        intents=row.intents,
        refusals=row.refusals,
        bars=row.bars,
        changed_by=row.changed_by,
        last_signal=row.last_signal,
        last_signal_ns=row.last_signal_time_ns,
    )


def pnl_from_wire(message: risk_pb.WatchPnlResponse) -> Pnl:
    """Return the account's money."""
    return Pnl(
        time_ns=message.time_ns,
        currency=message.currency,
        equity=amount(message.equity),
        day_pnl=amount(message.day_pnl),
        day_pnl_pct=message.day_pnl_pct,
        day_limit_pct=message.day_limit_pct,
        realized=amount(message.realized_pnl),
        unrealized=amount(message.unrealized_pnl),
        fees=amount(message.fees),
        gross=amount(message.gross_exposure),
        net=amount(message.net_exposure),
        gross_limit=amount(message.gross_limit),
        turnover=amount(message.turnover),
        drawdown_pct=message.drawdown_pct,
        stale_inputs=message.stale_inputs,
        strategies=tuple(
            StrategyPnl(
                item.strategy_id,
                amount(item.realized_pnl),
                amount(item.unrealized_pnl),
                amount(item.fees),
                item.open_positions,
            )
            for item in message.strategies
        ),
        day_start_equity=amount(message.day_start_equity),
    )


def position_from_wire(row: risk_pb.Position) -> Position:
    """Return one position. A quantity that cannot be read is a broken message, not a flat position.

    Raises:
        TransientError: If the quantity is not a number.
    """
    qty = amount(row.qty)
    if qty is None:
        raise TransientError(f"position {row.instrument_id}: quantity {row.qty!r} is not a number")
    return Position(
        venue=row.venue,
        instrument_id=row.instrument_id,
        strategy_id=row.strategy_id,
        qty=qty,
        avg_price=amount(row.avg_price),
        mark_price=amount(row.mark_price),
        mark_age_ms=row.mark_age_ms,
        realized=amount(row.realized_pnl),
        unrealized=amount(row.unrealized_pnl),
        fees=amount(row.fees_paid),
        stop_price=amount(row.stop_price),
        limit_used_pct=row.limit_used_pct,
        opened_ns=row.opened_time_ns,
    )


def explanation_from_wire(answer: execution_pb.ExplainResponse) -> Explanation:
    """Return what led to an order."""
    context, decision = answer.intent.context, answer.decision
    has_decision = answer.HasField("decision")
    return Explanation(
        signal=context.signal,
        score=context.score,
        features=tuple(zip(context.feature_names, context.feature_values, strict=False)),
        market_sequence=context.market_sequence,
        verdict=enum_name(decision_pb2.Verdict, decision.verdict, "VERDICT_") if has_decision else "",
        level=enum_name(level_pb2.TradingLevel, decision.level, "TRADING_LEVEL_") if has_decision else "",
        checks=tuple(
            CheckLine(
                check.check_id,
                enum_name(decision_pb2.CheckOutcome, check.outcome, "CHECK_OUTCOME_"),
                check.reason,
                check.measured,
                check.limit,
            )
            for check in decision.checks
        ),
        events=tuple(
            (
                event.receive_time_ns,
                enum_name(order_pb2.OrderEventKind, event.kind, "ORDER_EVENT_KIND_"),
                " ".join(part for part in (event.check_id, event.reason, event.detail) if part),
            )
            for event in answer.events
        ),
        fills=tuple(
            f"{item.qty} @ {item.price}  fee {item.fee} {item.fee_asset}  exec {item.exec_id}"
            for item in answer.executions
        ),
        derivation=answer.grant_derivation,
        missing=tuple(answer.missing),
    )
