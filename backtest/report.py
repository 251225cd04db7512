"""What a backtest leaves behind: a log of every event, and a summary. Both are the same bytes for the same run."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import IO, Any

from tradebot.core.amounts import format_decimal
from tradebot.core.errors import ConfigError
from tradebot.core.intents import IntentAnswer, IntentStatus, OrderIntent, Wish
from tradebot.core.order_events import OrderEvent
from tradebot.core.orders import OrderEventKind, OrderRole, OrderStatus

CENT = Decimal("0.01")


@dataclass(slots=True)
class BacktestResult:
    """Figures of one run; amounts in the account currency."""

    strategy: str
    data: str
    instruments: list[str]
    market_seconds: float
    frames: int
    rows: int
    feed_latency_ms: float | None = None
    """Mean time from a row's happening at the venue to its receipt; None when the data do not say."""
    intents: int = 0
    answers_accepted: int = 0
    answers_refused: int = 0
    refusals_by_check: dict[str, int] = field(default_factory=dict)
    orders: int = 0
    orders_by_role: dict[str, int] = field(default_factory=dict)
    fills: int = 0
    unknown_orders: int = 0
    turnover: Decimal = Decimal(0)
    fees: Decimal = Decimal(0)
    realized_pnl: Decimal = Decimal(0)
    unrealized_pnl: Decimal = Decimal(0)
    funding: Decimal = Decimal(0)
    """Received > 0, paid < 0."""
    other_income: Decimal = Decimal(0)
    """Charges and adjustments of the venue's ledger, e.g. liquidation fees: received > 0."""
    liquidations: int = 0
    """Positions that the venue closed, by strategy."""
    start_equity: Decimal = Decimal(0)
    equity: Decimal = Decimal(0)
    open_positions: dict[str, Decimal] = field(default_factory=dict)
    """Instrument -> signed quantity, dust left out."""
    warnings: list[str] = field(default_factory=list)

    @property
    def net_pnl(self) -> Decimal:
        """Change of equity: realized and open results after fees."""
        return self.equity - self.start_equity

    def as_json(self) -> dict[str, Any]:
        """Return plain values; decimals as strings."""
        tree = {name: _plain(value) for name, value in asdict(self).items()}
        return tree | {"net_pnl": format_decimal(self.net_pnl)}

    def _perpetual_lines(self) -> list[str]:
        """Return what only perpetuals have, where there is any."""
        found = []
        if self.funding:
            found.append(f"funding         {self.funding:+,.4f}")
        if self.liquidations or self.other_income:
            count = self.liquidations
            found.append(f"liquidations    {count}, charges and adjustments {_money(self.other_income)}")
        return found

    def lines(self) -> list[str]:
        """Return the summary for people."""
        refused = ", ".join(f"{check} {count}" for check, count in sorted(self.refusals_by_check.items()))
        roles = ", ".join(f"{role.lower()} {count}" for role, count in sorted(self.orders_by_role.items()))
        percent = self.net_pnl / self.start_equity * 100 if self.start_equity else Decimal(0)
        held = ", ".join(f"{format_decimal(qty)} {name}" for name, qty in sorted(self.open_positions.items()))
        return [
            f"strategy        {self.strategy} on {', '.join(self.instruments)}",
            f"data            {self.data}: {self.market_seconds:.1f} s, {self.frames} frames, {self.rows} rows",
            *([] if self.feed_latency_ms is None else [f"feed latency    {self.feed_latency_ms:g} ms on average"]),
            f"intents         {self.intents} ({self.answers_accepted} accepted, {self.answers_refused} refused"
            + (f": {refused})" if refused else ")"),
            f"orders          {self.orders}" + (f" ({roles})" if roles else ""),
            f"fills           {self.fills}, turnover {_money(self.turnover)}",
            f"fees            {_money(self.fees)}",
            f"realized PnL    {_money(self.realized_pnl)} (before fees)",
            f"unrealized PnL  {_money(self.unrealized_pnl)}" + (f" ({held})" if held else ""),
            *self._perpetual_lines(),
            f"equity          {_money(self.equity)}, {self.net_pnl:+.2f} ({percent:+.3f} %)",
            *(f"warning         {text}" for text in self.warnings),
        ]


class EventLog:
    """Every decision, answer and order event, one JSON object per line, in order of virtual time; counts on the way."""

    def __init__(self, path: Path | None) -> None:
        self._file: IO[str] | None = None
        if path is not None:
            try:
                path.parent.mkdir(parents=True, exist_ok=True)
                self._file = path.open("w", encoding="utf-8")
            except OSError as exc:
                raise ConfigError(f"{path}: cannot be written ({exc.strerror}): choose another file") from exc
        self.intents = 0
        self.cancels = 0
        self.accepted = 0
        self.refused = 0
        self.refusals: dict[str, int] = {}
        self.roles: dict[str, int] = {}
        self.unknown: set[str] = set()
        self.liquidations = 0
        self._orders: set[str] = set()

    @property
    def orders(self) -> int:
        """Orders that were asked for and written to the venue."""
        return len(self._orders)

    def close(self) -> None:
        """Finish the file."""
        if self._file is not None:
            self._file.close()

    def discard(self) -> None:
        """Leave no file behind."""
        if self._file is not None:
            self._file.close()
            Path(self._file.name).unlink(missing_ok=True)

    def intent(self, at_ns: int, intent: OrderIntent) -> None:
        """The engine decided."""
        self.intents += 1
        if self._file is None:
            return
        self._write(
            at_ns,
            "intent",
            intent_id=intent.intent_id,
            strategy_id=intent.strategy_id,
            instrument_id=intent.instrument_id,
            side=intent.side.name,
            role=intent.role.name,
            limit_price=intent.limit_price,
            signal=intent.context.signal,
            market_sequence=intent.context.market_sequence,
            features=dict(intent.context.features),
        )

    def wish(self, at_ns: int, wish: Wish) -> None:
        """The engine decided on an intent or on a cancel."""
        if isinstance(wish, OrderIntent):
            self.intent(at_ns, wish)
            return
        self.cancels += 1
        self._write(at_ns, "cancel", intent_id=wish.intent_id, client_order_id=wish.client_order_id)

    def answer(self, at_ns: int, answer: IntentAnswer) -> None:
        """execd answered an intent."""
        if answer.status is IntentStatus.REFUSED:
            self.refused += 1
            name = answer.check_id or answer.reason
            self.refusals[name] = self.refusals.get(name, 0) + 1
        else:
            self.accepted += 1
        if self._file is None:
            return
        self._write(
            at_ns,
            "answer",
            intent_id=answer.intent_id,
            status=answer.status.name,
            check_id=answer.check_id,
            reason=answer.reason,
            detail=answer.detail,
        )

    def order_event(self, at_ns: int, event: OrderEvent) -> None:
        """Something happened to an order."""
        if event.facts is not None:
            self._facts(event.client_order_id, event.facts.role, event)
            self.liquidations += event.facts.role is OrderRole.LIQUIDATION
        if event.kind is OrderEventKind.SENT:
            self._orders.add(event.client_order_id)
        if event.status is OrderStatus.UNKNOWN:
            self.unknown.add(event.client_order_id)
        else:
            self.unknown.discard(event.client_order_id)
        if self._file is None:
            return
        execution = event.execution
        self._write(
            at_ns,
            "order",
            sequence=event.sequence,
            client_order_id=event.client_order_id,
            kind=event.kind.name,
            status=event.status.name,
            reason=event.reason,
            check_id=event.check_id,
            terms=None
            if event.facts is None
            else {
                "instrument_id": event.facts.terms.instrument_id,
                "side": event.facts.terms.side.name,
                "type": event.facts.terms.order_type.name,
                "qty": event.facts.terms.qty,
                "price": event.facts.terms.price,
                "stop_price": event.facts.terms.stop_price,
                "role": event.facts.role.name,
            },
            execution=None
            if execution is None
            else {
                "exec_id": execution.exec_id,
                "side": execution.side.name,
                "qty": execution.qty,
                "price": execution.price,
                "fee": execution.fee,
                "fee_asset": execution.fee_asset,
                "liquidity": execution.liquidity.name,
            },
        )

    def _facts(self, client_order_id: str, role: OrderRole, event: OrderEvent) -> None:
        if event.kind is OrderEventKind.ASKED:
            self.roles[role.name] = self.roles.get(role.name, 0) + 1

    def _write(self, at_ns: int, what: str, **values: Any) -> None:
        if self._file is None:
            return
        line = {"at_ns": at_ns, "what": what} | {name: _plain(v) for name, v in values.items() if v not in (None, "")}
        self._file.write(json.dumps(line, separators=(",", ":")) + "\n")


def _plain(value: Any) -> Any:
    match value:
        case Decimal():
            return format_decimal(value)
        case Mapping():
            return {str(name): _plain(item) for name, item in value.items() if item is not None}
        case list() | tuple():
            return [_plain(item) for item in value]
        case _:
            return value


def _money(value: Decimal) -> str:
    return f"{value.quantize(CENT):,}"
