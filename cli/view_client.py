"""Messages of the daemons as `views`: what `client` hands out, field by field, with enum values as their names."""

from __future__ import annotations

from typing import Final

from cli import views
from tradebot.rpc.common.v1 import intent_pb2, level_pb2, order_pb2, status_pb2
from tradebot.rpc.engine.v1 import engine_service_pb2 as engine_pb
from tradebot.rpc.marketdata.v1 import market_data_service_pb2 as market_pb
from tradebot.rpc.marketdata.v1 import rows_pb2
from tradebot.rpc.recorder.v1 import recorder_service_pb2 as recorder_pb
from tradebot.rpc.risk.v1 import decision_pb2
from tradebot.rpc.risk.v1 import risk_service_pb2 as risk_pb
from tradebot.wire.fields import enum_name

NS_PER_S: Final = 1_000_000_000


def daemon_view(status: status_pb2.DaemonStatus) -> views.DaemonView:
    """Return one daemon as shown."""
    return views.DaemonView(
        daemon=status.daemon,
        state=enum_name(status_pb2.DaemonState, status.state, "DAEMON_STATE_"),
        summary=status.summary,
        version=status.version,
        mode=status.mode,
        incarnation=status.incarnation,
        uptime_s=max(0, (status.time_ns - status.started_time_ns) // NS_PER_S),
        items=[views.Item(item.name, item.value) for item in status.items],
        venue_links=[
            views.VenueLinkView(link.venue, link.channel, link.state, link.age_ms) for link in status.venue_links
        ],
    )


def book_view(book: market_pb.BookStatus) -> views.BookView:
    """Return one book's state as shown."""
    return views.BookView(
        book.instrument_id,
        enum_name(rows_pb2.BookState, book.state, "BOOK_STATE_"),
        book.bid_price,
        book.bid_qty,
        book.ask_price,
        book.ask_qty,
        book.last_price,
        book.age_ms,
        book.gaps,
    )


def strategy_view(item: engine_pb.StrategyStatus) -> views.StrategyView:
    """Return one strategy as shown."""
    return views.StrategyView(
        strategy_id=item.strategy_id,
        kind=item.kind,
        enabled=item.enabled,
        warming_up=item.warming_up,
        instrument_ids=list(item.instrument_ids),
        parameters=[views.Item(parameter.name, parameter.value) for parameter in item.parameters],
        bars=item.bars,
        signals=item.signals,
        intents=item.intents,
        refusals=item.refusals,
        last_signal=item.last_signal,
        changed_by=item.changed_by,
    )


def pnl_view(message: risk_pb.WatchPnlResponse) -> views.PnlView:
    """Return the money as shown."""
    return views.PnlView(
        time_ns=message.time_ns,
        currency=message.currency,
        equity=message.equity,
        day_start_equity=message.day_start_equity,
        day_pnl=message.day_pnl,
        day_pnl_pct=message.day_pnl_pct,
        day_limit_pct=message.day_limit_pct,
        realized_pnl=message.realized_pnl,
        unrealized_pnl=message.unrealized_pnl,
        fees=message.fees,
        gross_exposure=message.gross_exposure,
        net_exposure=message.net_exposure,
        gross_limit=message.gross_limit,
        turnover=message.turnover,
        drawdown_pct=message.drawdown_pct,
        stale_inputs=message.stale_inputs,
        strategies=[
            views.StrategyPnlView(
                item.strategy_id,
                item.realized_pnl,
                item.unrealized_pnl,
                item.fees,
                item.open_positions,
                item.funding or "0",
                item.day_pnl or "0",
                item.round_trips,
                item.win_rate_pct,
                item.losses_in_row,
            )
            for item in message.strategies
        ],
        funding=message.funding or "0",
        leverage=message.leverage,
        margin_used_pct=message.margin_used_pct if message.HasField("margin_used_pct") else None,
        margin_ratio_pct=message.margin_ratio_pct if message.HasField("margin_ratio_pct") else None,
        pairs=[
            views.PairPnlView(
                item.instrument_id, item.realized_pnl, item.unrealized_pnl, item.fees, item.funding, item.day_pnl
            )
            for item in message.pairs
        ],
    )


def position_view(item: risk_pb.Position) -> views.PositionView:
    """Return one position as shown."""
    return views.PositionView(
        instrument_id=item.instrument_id,
        strategy_id=item.strategy_id,
        qty=item.qty,
        avg_price=item.avg_price,
        mark_price=item.mark_price,
        mark_age_ms=item.mark_age_ms,
        realized_pnl=item.realized_pnl,
        unrealized_pnl=item.unrealized_pnl,
        fees_paid=item.fees_paid,
        stop_price=item.stop_price,
        limit_used_pct=item.limit_used_pct,
        opened_time_ns=item.opened_time_ns,
    )


def hold_view(hold: level_pb2.Hold) -> views.HoldView:
    """Return one hold as shown."""
    kind = enum_name(level_pb2.ScopeKind, hold.scope.kind, "SCOPE_KIND_").lower()
    return views.HoldView(
        hold_id=hold.hold_id,
        level=enum_name(level_pb2.TradingLevel, hold.level, "TRADING_LEVEL_"),
        scope=f"{kind}:{hold.scope.name}" if hold.scope.name else kind,
        cause=hold.cause,
        raised_by=hold.raised_by,
        raised_time_ns=hold.raised_time_ns,
        release=enum_name(level_pb2.ReleaseRule, hold.release, "RELEASE_RULE_"),
        evidence=hold.evidence,
        until_time_ns=hold.until_time_ns,
        latch_id=hold.latch_id,
    )


def order_view(order: order_pb2.OrderSnapshot) -> views.OrderView:
    """Return one order as shown."""
    facts = order.facts
    terms = facts.terms
    return views.OrderView(
        client_order_id=terms.client_order_id,
        instrument_id=terms.instrument_id,
        side=enum_name(order_pb2.Side, terms.side, "SIDE_"),
        order_type=enum_name(order_pb2.OrderType, terms.order_type, "ORDER_TYPE_"),
        time_in_force=enum_name(order_pb2.TimeInForce, terms.time_in_force, "TIME_IN_FORCE_"),
        role=enum_name(order_pb2.OrderRole, facts.role, "ORDER_ROLE_"),
        qty=terms.qty,
        filled_qty=order.filled_qty,
        price=terms.price,
        stop_price=terms.stop_price,
        avg_price=order.avg_price,
        status=enum_name(order_pb2.OrderStatus, order.status, "ORDER_STATUS_"),
        strategy_id=facts.strategy_id,
        reason=order.reason,
        detail=order.detail,
        check_id=order.check_id,
        intent_id=facts.intent_id,
        decision_id=facts.decision_id,
        trace_id=facts.trace_id,
        protects_client_order_id=facts.protects_client_order_id,
        venue_order_id=order.venue_order_id,
        created_time_ns=facts.created_time_ns,
        updated_time_ns=order.updated_time_ns,
    )


def execution_view(item: order_pb2.Execution) -> views.ExecutionView:
    """Return one fill as shown."""
    return views.ExecutionView(
        exec_id=item.exec_id,
        client_order_id=item.client_order_id,
        instrument_id=item.instrument_id,
        side=enum_name(order_pb2.Side, item.side, "SIDE_"),
        qty=item.qty,
        price=item.price,
        fee=item.fee,
        fee_asset=item.fee_asset,
        liquidity=enum_name(order_pb2.Liquidity, item.liquidity, "LIQUIDITY_"),
        event_time_ns=item.event_time_ns,
    )


def event_view(item: order_pb2.OrderEvent) -> views.OrderEventView:
    """Return one order event as shown."""
    return views.OrderEventView(
        item.sequence,
        enum_name(order_pb2.OrderEventKind, item.kind, "ORDER_EVENT_KIND_"),
        enum_name(order_pb2.OrderStatus, item.status, "ORDER_STATUS_"),
        item.reason,
        item.detail,
        item.event_time_ns,
        item.receive_time_ns,
    )


def decision_view(item: decision_pb2.Decision) -> views.DecisionView:
    """Return one decision with its checks as shown."""
    return views.DecisionView(
        decision_id=item.decision_id,
        verdict=enum_name(decision_pb2.Verdict, item.verdict, "VERDICT_"),
        check_id=item.check_id,
        reason=item.reason,
        approved_qty=item.approved_qty,
        binding_limit=item.binding_limit,
        level=enum_name(level_pb2.TradingLevel, item.level, "TRADING_LEVEL_"),
        epoch=item.epoch,
        time_ns=item.time_ns,
        checks=[
            views.CheckView(
                check.check_id,
                enum_name(decision_pb2.CheckOutcome, check.outcome, "CHECK_OUTCOME_"),
                check.reason,
                check.limit,
                check.measured,
                check.scope,
            )
            for check in item.checks
        ],
    )


def intent_view(item: intent_pb2.OrderIntent) -> views.IntentView:
    """Return one intent as shown."""
    context = item.context
    return views.IntentView(
        intent_id=item.intent_id,
        strategy_id=item.strategy_id,
        instrument_id=item.instrument_id,
        side=enum_name(order_pb2.Side, item.side, "SIDE_"),
        role=enum_name(order_pb2.OrderRole, item.role, "ORDER_ROLE_"),
        qty=item.qty,
        strength=item.strength,
        order_type=enum_name(order_pb2.OrderType, item.order_type, "ORDER_TYPE_"),
        limit_price=item.limit_price,
        created_time_ns=item.created_time_ns,
        trace_id=item.trace_id,
        stop_loss_fraction=item.protection.stop_loss_fraction,
        signal=views.SignalView(
            signal=context.signal,
            score=context.score,
            market_incarnation=context.market_incarnation,
            market_sequence=context.market_sequence,
            market_event_time_ns=context.market_event_time_ns,
            market_sent_time_ns=context.market_sent_time_ns,
            market_receive_time_ns=context.market_receive_time_ns,
            features=[
                views.Item(name, f"{value:.8g}")
                for name, value in zip(context.feature_names, context.feature_values, strict=False)
            ],
        ),
    )


def table_view(table: recorder_pb.TableStatistics) -> views.TableView:
    """Return one table's counts as shown."""
    return views.TableView(table.table, table.rows, table.queued, table.dropped)
