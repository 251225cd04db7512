"""What watchers see of positions, PnL and limits: plain values, computed from the gate when somebody looks."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Final

from riskd import margin
from riskd.accountant import MARK_FRESH_NS
from riskd.base_limits import Enforced, NotApplicable
from riskd.catalogue import CATALOGUE
from riskd.gate import RiskGate
from riskd.pnl import PnlLine, sums
from riskd.settings import NS_PER_MS
from riskd.units import PPM_PER_PCT, amount, from_units
from tradebot.core.orders import OrderRole

ZERO: Final = Decimal(0)


@dataclass(frozen=True, slots=True)
class PositionReport:
    """One position; amounts in settlement asset. None = no mark was ever seen, or the venue never told."""

    venue: str
    instrument_id: str
    strategy_id: str
    qty: Decimal
    avg_price: Decimal
    mark: Decimal | None
    mark_age_ms: int
    realized_pnl: Decimal
    unrealized_pnl: Decimal | None
    maker_fees: Decimal
    taker_fees: Decimal
    funding: Decimal
    """Received > 0."""
    settle: str
    """Asset of all amounts."""
    notional: Decimal | None
    """Value at the mark."""
    leverage: Decimal | None
    """As set at the venue; None = not told."""
    liquidation_price: Decimal | None
    maintenance_margin: Decimal | None
    stop_price: Decimal | None
    limit_used_pct: float
    opened_ns: int
    updated_ns: int


@dataclass(slots=True)
class ScopeReport:
    """Sums of one strategy or pair, account currency."""

    realized_pnl: Decimal = ZERO
    unrealized_pnl: Decimal = ZERO
    fees: Decimal = ZERO
    open_positions: int = 0
    funding: Decimal = ZERO
    day_pnl: Decimal = ZERO
    """Net of fees and funding, since the day began."""
    round_trips: int = 0
    """Of a strategy: finished ones that are remembered."""
    win_rate_pct: float = 0.0
    losses_in_row: int = 0


@dataclass(slots=True)
class PnlReport:
    """PnL of the account."""

    equity: Decimal | None
    day_start: Decimal | None
    day_pnl: Decimal | None
    day_pct: float
    day_limit_pct: float
    realized_pnl: Decimal = ZERO
    unrealized_pnl: Decimal = ZERO
    maker_fees: Decimal = ZERO
    taker_fees: Decimal = ZERO
    gross: Decimal = ZERO
    net: Decimal = ZERO
    gross_limit: Decimal | None = None
    turnover: Decimal = ZERO
    drawdown_pct: float = 0.0
    stale_inputs: int = 0
    funding: Decimal = ZERO
    leverage: float = 0.0
    """Gross notional per equity."""
    margin_used_pct: float | None = None
    """Initial margin per margin balance of the most used margin account; None = no venue told."""
    margin_ratio_pct: float | None = None
    """Maintenance margin per margin balance of the worst margin account: 100 is liquidation."""
    strategies: dict[str, ScopeReport] = field(default_factory=dict)
    pairs: dict[str, ScopeReport] = field(default_factory=dict)
    """By instrument."""


@dataclass(frozen=True, slots=True)
class SettingReport:
    """How one check is configured."""

    check_id: str
    name: str
    status: str
    reason: str
    limit: str


def positions(gate: RiskGate, now_ns: int, instruments: Iterable[str] | None = None) -> list[PositionReport]:
    """Return positions of some instruments (flat ones too), or all that are not flat."""
    wanted = None if instruments is None else set(instruments)
    stops = _stops(gate)
    equity = gate.equity(now_ns)
    cap = gate.settings.position_hard
    limit = cap.of(equity.value, gate.settings.tier_ppm) if cap is not None and equity.complete else 0
    found: list[PositionReport] = []
    for (instrument_id, strategy_id), held in sorted(gate.state.portfolio.positions.items()):
        if instrument_id not in wanted if wanted is not None else not held.units:
            continue
        rule = gate.state.rules[instrument_id]
        mark = gate.board.mark(instrument_id, held.units >= 0)
        view = gate.board.views.get(instrument_id)
        age_ns = 0 if view is None or not view.good_ns else now_ns - view.good_ns
        opened = gate.state.portfolio.unrealized(held, rule, gate.board)
        value = None if mark is None else rule.contract.notional(held.units, mark)
        rate = gate.board.rate(rule.settle, long=False)
        used = 100.0 * amount(rate, value) / limit if value is not None and rate is not None and limit else 0.0
        told = gate.state.portfolio.position_margins.get(instrument_id)
        found.append(
            PositionReport(
                venue=rule.venue,
                instrument_id=instrument_id,
                strategy_id=strategy_id,
                qty=from_units(held.units),
                avg_price=from_units(held.price),
                mark=None if mark is None else from_units(mark),
                mark_age_ms=age_ns // NS_PER_MS,
                realized_pnl=from_units(held.inventory.realized),
                unrealized_pnl=None if opened is None else from_units(opened),
                maker_fees=held.maker_fees,
                taker_fees=held.taker_fees,
                funding=from_units(held.funding),
                settle=rule.settle,
                notional=None if value is None else from_units(value),
                leverage=None if told is None else told.leverage,
                liquidation_price=None if told is None else told.liquidation_price,
                maintenance_margin=None if told is None else told.maintenance_margin,
                stop_price=stops.get((instrument_id, strategy_id)),
                limit_used_pct=used,
                opened_ns=held.opened_ns,
                updated_ns=held.updated_ns,
            )
        )
    return found


def _stops(gate: RiskGate) -> dict[tuple[str, str], Decimal]:
    """Return the live protecting stop of each position, the one nearest to the market when there are several."""
    found: dict[tuple[str, str], Decimal] = {}
    for order in gate.state.commitments.orders.values():
        stop = order.state.terms.stop_price
        if order.role is OrderRole.PROTECTION and stop is not None and order.counted:
            key = (order.instrument_id, gate.state.owner_of(order))
            better = max if order.side.sign < 0 else min
            found[key] = better(found.get(key, stop), stop)
    return found


def pnl(gate: RiskGate, now_ns: int) -> PnlReport:
    """Return the account's PnL. Amounts of positions are converted to account currency where a rate is known."""
    portfolio, settings = gate.state.portfolio, gate.settings
    equity = gate.equity(now_ns)
    day_ppm = portfolio.day_ppm(equity.value) if equity.complete else None
    start = portfolio.day_start
    report = PnlReport(
        equity=from_units(equity.value) if equity.complete else None,
        day_start=None if start is None else from_units(start),
        day_pnl=from_units(equity.value - start) if equity.complete and start is not None else None,
        day_pct=0.0 if day_ppm is None else day_ppm / PPM_PER_PCT,
        day_limit_pct=0.0 if settings.loss is None else gate.state.loss.trigger_ppm / PPM_PER_PCT,
        turnover=portfolio.turnover,
        stale_inputs=equity.stale_inputs,
    )
    if settings.gross_hard is not None and equity.complete:
        report.gross_limit = from_units(settings.gross_hard.of(equity.value, settings.tier_ppm))
    if equity.complete and portfolio.peak:
        report.drawdown_pct = min(0.0, 100.0 * (equity.value / portfolio.peak - 1))
    found = sums(portfolio, gate.state.rules, gate.board)
    report.realized_pnl, report.unrealized_pnl = from_units(found.total.realized), from_units(found.total.unrealized)
    report.maker_fees, report.taker_fees = from_units(found.total.maker_fees), from_units(found.total.taker_fees)
    report.funding = from_units(found.total.funding)
    report.strategies = {name: _scope(line) for name, line in found.strategies.items()}
    for name, own in report.strategies.items():
        log = portfolio.trips.get(name)
        if log is not None:
            stats = log.stats()
            own.round_trips, own.losses_in_row = stats.trips, log.losses_in_row
            own.win_rate_pct = stats.win_rate_ppm / PPM_PER_PCT
    report.pairs = {name: _scope(line) for name, line in found.pairs.items()}
    gross = net = 0
    for instrument_id, units in portfolio.net.items():
        rule = gate.state.rules[instrument_id]
        mark, rate = gate.board.mark(instrument_id, units >= 0), gate.board.rate(rule.settle)
        if units and mark is not None and rate is not None:
            value = amount(rate, rule.contract.notional(units, mark))
            gross, net = gross + value, net + (value if units > 0 else -value)
        if units and not rule.is_spot:
            view = gate.board.views.get(instrument_id)
            report.stale_inputs += view is None or now_ns - view.good_ns > MARK_FRESH_NS
    report.gross, report.net = from_units(gross), from_units(net)
    report.leverage = gross / equity.value if equity.complete and equity.value > 0 else 0.0
    used = [margin.use(state) for state in portfolio.margins.values()]
    if used:
        report.margin_used_pct = max(one.initial_ppm for one in used) / PPM_PER_PCT
        report.margin_ratio_pct = max(one.maintenance_ppm for one in used) / PPM_PER_PCT
    return report


def _scope(line: PnlLine) -> ScopeReport:
    return ScopeReport(
        from_units(line.realized),
        from_units(line.unrealized),
        from_units(line.fees),
        line.open_positions,
        from_units(line.funding),
        from_units(line.day),
    )


def settings(gate: RiskGate) -> list[SettingReport]:
    """Return how every check is configured, catalogue order."""
    found: list[SettingReport] = []
    for spec in CATALOGUE:
        if not spec.configurable:
            found.append(SettingReport(spec.check_id, spec.name, "enforced", "", f"{spec.default} (execd)"))
            continue
        setting = gate.limits.checks.get(spec.check_id)
        if isinstance(setting, NotApplicable):
            found.append(SettingReport(spec.check_id, spec.name, "not_applicable", setting.reason, ""))
        elif setting is None:
            found.append(SettingReport(spec.check_id, spec.name, "undefined", "refuses every order", ""))
        else:
            found.append(SettingReport(spec.check_id, spec.name, "enforced", "", _limit_text(setting)))
    return found


def _limit_text(setting: Enforced) -> str:
    values = setting.model_dump(mode="json", exclude={"status"})
    return ", ".join(f"{key} {_plain(value)}" for key, value in values.items())


def _plain(value: object) -> str:
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key}: {inner}" for key, inner in value.items()) + "}"
    return str(value)
