"""The limits file: schema, contradictions, hash. One YAML per profile; frozen; unknown keys refused by name.

Every check of the catalogue is `enforced` or `not_applicable` with a reason. A check that the file does not mention is
not an oversight to be forgiven: it refuses every order with LIMIT_UNDEFINED.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any, Final, Literal, TypeVar

from pydantic import Field

from riskd.base_limits import (
    ANY,
    Day_s,
    Enforced,
    Hours,
    Minutes,
    NegativeDecimal,
    NotApplicable,
    PositiveDecimal,
    PositiveInt,
)
from riskd.catalogue import CONFIGURABLE_IDS, SPEC_BY_ID
from riskd.liquidity_limits import Slippage
from riskd.order_limits import (
    ORDER_MODELS,
    DeploymentTier,
    EquityShare,
    Exposure,
    FreeBalance,
    Leverage,
    MandatoryStop,
    MaxSpread,
    OpenPositions,
    OrderQty,
    OrderRate,
    OrderValue,
    PortfolioHeat,
    SizeOutlier,
    SoftEquityShare,
    StrategyAllocation,
    StressLoss,
    TradeRisk,
    Turnover,
    VenueExposure,
)
from riskd.post_trade_limits import (
    BalanceDrift,
    Dependencies,
    JournalSpace,
    OrdersOut,
    PositionDrift,
    UnprotectedPosition,
)
from riskd.profiles import (
    HUNDRED,
    ProfileNumbers,
    ShareCap,
    Size,
    below_venue_rules,
    profile_contradictions,
    sizing_above,
    spreads_above,
)
from riskd.sizing_limits import Sizing
from tradebot.core.errors import ConfigError
from tradebot.core.instruments import Instrument
from tradebot.runtime.config import ConfigModel, parse_section, parse_yaml, read_yaml

T = TypeVar("T")
_BPS: Final = Decimal(10_000)
SIGNATURES_SUFFIX: Final = ".sig"
"""Of the file with signatures beside a limits file."""
MAX_SIGNATURES: Final = 10
"""More lines of it are not read."""


class ClusterExposure(Exposure):
    """POS-07: exposure of instruments that move together. Beyond a hundred they are not compared: what is more counts
    as joined with all that moves together.
    """

    bar_s: PositiveInt = 300
    """Returns are taken over bars of this length."""
    window_bars: Annotated[int, Field(ge=12, le=2_000)] = 288
    """Bars that the correlation looks back; the default is a day of five minutes."""
    min_bars: Annotated[int, Field(ge=6)] = 48
    """Bars that two instruments must share before they are judged."""
    join_at: Annotated[float, Field(gt=0, le=1)] = 0.8
    leave_below: Annotated[float, Field(gt=0, le=1)] = 0.7
    """Lower than `join_at`, so that clusters do not flicker."""


class HoldingTime(Enforced):
    """POS-14."""

    soft_h: Hours
    """Hours; older than this no adds, and after the grace riskd closes."""
    hard_h: Hours
    """Hours; older than this riskd closes at once."""


class DayLoss(Enforced):
    """PNL-01."""

    pause_at_pct: NegativeDecimal
    """Day PnL in percent of day start equity, inclusive."""
    pause_min: Minutes
    second_pause_min: Minutes
    cautious_min: Minutes
    rearm_at_pct: NegativeDecimal
    """After a pause: trigger again at the lower of this and day PnL minus `rearm_step_pct`."""
    rearm_step_pct: PositiveDecimal
    resume_requires_recovery: bool = False
    """True: after the pause trading goes on only above `pause_at_pct`, else with the next UTC day."""


HaltAction = Literal["halt", "close_all"]
"""`halt`: nothing but riskd's and operators' reducing orders. `close_all`: that, and riskd closes what is open."""


class DayHalt(Enforced):
    """PNL-02: any of the three that is set halts for the rest of the UTC day."""

    halt_at_pct: NegativeDecimal | None = None
    """Day PnL in percent of day start equity, inclusive."""
    max_loss: PositiveDecimal | None = None
    """Day loss in account currency, inclusive."""
    max_drawdown_pct: Annotated[Decimal, Field(gt=0, le=100)] | None = None
    """Fall from the day's highest equity, percent, inclusive."""
    action: HaltAction = "halt"


class WeekHalt(Enforced):
    """PNL-03."""

    halt_at_pct: NegativeDecimal
    """PnL since Monday 00:00 UTC in percent of the equity then, inclusive."""
    action: HaltAction = "halt"


class DrawdownHalt(Enforced):
    """PNL-04."""

    halt_at_pct: NegativeDecimal
    """Fall from the highest equity of the window, percent, inclusive."""
    window_days: Annotated[int, Field(gt=0, le=90)] = 30
    cool_off_h: Hours = 24
    action: HaltAction = "halt"


class LossVelocity(Enforced):
    """PNL-05."""

    pause_at_pct: NegativeDecimal
    """Fall from the highest equity of the last `window_min`, percent, inclusive."""
    window_min: Annotated[int, Field(gt=0, le=60)] = 5
    pause_min: Minutes = 15


class LossStreak(Enforced):
    """PNL-06: consecutive losing round trips, net of fees."""

    pause_after: PositiveInt | None = None
    """Losses in a row that pause. None = none do."""
    pause_min: Minutes = 60
    halt_after: PositiveInt
    per: Literal["strategy", "system"] = "strategy"
    """Whose round trips are counted, and who is stopped."""
    action: HaltAction = "halt"


class StrategyDayLoss(Enforced):
    """PNL-07."""

    halt_at_pct: NegativeDecimal
    """A strategy's PnL of the UTC day in percent of day start equity, inclusive."""


class EquityAgreement(Enforced):
    """PNL-09: a margin account as the venue counts it against ours."""

    max_drift_pct: Annotated[Decimal, Field(gt=0, le=100)] = Decimal("0.2")
    """Of equity, inclusive, all margin accounts of a venue together."""


CHECK_MODELS: Final[Mapping[str, type[Enforced]]] = {
    **ORDER_MODELS,
    "POS-07": ClusterExposure,
    "POS-14": HoldingTime,
    "PNL-01": DayLoss,
    "PNL-02": DayHalt,
    "PNL-03": WeekHalt,
    "PNL-04": DrawdownHalt,
    "PNL-05": LossVelocity,
    "PNL-06": LossStreak,
    "PNL-07": StrategyDayLoss,
    "PNL-09": EquityAgreement,
    "PTR-01": OrdersOut,
    "PTR-03": PositionDrift,
    "PTR-04": BalanceDrift,
    "PTR-06": UnprotectedPosition,
    "PTR-07": Dependencies,
    "PTR-08": JournalSpace,
}
"""Limits of the checks that have some; the other built checks take `status` alone."""


class Cautious(ConfigModel):
    """What CAUTIOUS asks of an entry besides its smaller size; 0 = off."""

    adds: bool = False
    """Whether a position may be added to."""
    entry_spacing_s: Annotated[int, Field(ge=0, le=86_400)] = 600
    """Between two entries of one instrument."""
    loss_cooldown_s: Annotated[int, Field(ge=0, le=86_400)] = 900
    """After a losing exit of an instrument."""
    spread_factor: Annotated[Decimal, Field(gt=0, le=1)] = Decimal("0.7")
    """Multiplies the widest spread (MKT-04); 1 = as at RUNNING."""
    depth_factor: Annotated[Decimal, Field(ge=1, le=100)] = Decimal("1.5")
    """Multiplies the least depth (MKT-06); 1 = as at RUNNING."""


class SoftCaps(ConfigModel):
    """What happens when a soft cap is exceeded for longer than its grace."""

    grace_s: Day_s = 600
    """For exposure: POS-02, POS-04 to POS-07, POS-13."""
    holding_grace_s: Day_s = 1_800
    """For POS-14."""
    auto_close: bool = True
    """Whether riskd reduces by itself when the grace is over, or at once above the hard cap."""


class DayTarget(ConfigModel):
    """What happens when a day has earned enough: a choice, never a promise."""

    target_pct: Annotated[Decimal, Field(gt=0, le=1_000)]
    """Day PnL in percent of day start equity, inclusive."""
    action: Literal["cautious", "reduce_only", "pause", "halt", "close_all"]
    """Level until 00:00 UTC; `close_all` pauses and closes what is open."""


class StrategyPermission(ConfigModel):
    """What one strategy may trade."""

    instruments: tuple[str, ...]
    """Instrument ids, or `*`."""


class GrantLimits(ConfigModel):
    """Bounds of the protection grant that comes with an entry."""

    max_orders: PositiveInt = 50
    valid_hours: Annotated[int, Field(gt=0, le=168)] = 24
    price_range_pct: Annotated[int, Field(gt=0, lt=100)] = 50
    """Stops, targets and emergency exits lie within this distance of the entry's limit."""
    emergency_bound_bps: Annotated[int, Field(gt=0, le=2_000)] = 400
    """How far below the market an emergency exit may sell."""


class OperatorKey(ConfigModel):
    """Whose signature counts, and as what."""

    role: Literal["trader", "risk"]
    public_key: Annotated[str, Field(pattern="^[0-9a-f]{64}$")]
    """Ed25519, hex."""


class LimitsFile(ConfigModel):
    """The file as written, but for `checks`, which are read against the catalogue."""

    profile: Annotated[str, Field(min_length=1)]
    currency: Annotated[str, Field(min_length=1)]
    """Account currency in which equity and exposure are counted."""
    operators: Literal["solo", "team"]
    """solo: one person holds both keys, the second is the role `risk`, with cool-off and a typed phrase. team: a trader
    and a risk officer, two people, sign within `sign_off_min`.
    """
    operator_keys: dict[str, OperatorKey] = Field(default_factory=dict)
    """Operator -> key. When any is named, whatever loosens must be signed; a team needs a trader's and a risk
    officer's.
    """
    sign_off_min: Annotated[int, Field(gt=0, le=60)] = 5
    """How long a first signature waits for the second one."""
    cool_off_min: Annotated[int, Field(ge=5, le=1_440)] = 15
    """Minutes before a TWO_KEY hold may be cleared; in fewer nobody cools off."""
    approval_valid_ms: Annotated[int, Field(gt=0, le=5_000)] = 1_500
    lease_valid_ms: Annotated[int, Field(gt=0, le=10_000)] = 1_000
    parent_ttl_s: Day_s = 60
    """A reserved parent without any venue message is released after this."""
    cautious_size_factor: Annotated[Decimal, Field(gt=0, le=1)] = Decimal("0.5")
    """Multiplies size limits and sizes of entries at CAUTIOUS."""
    strategies: dict[str, StrategyPermission]
    """Strategy id -> permission; `manual:*` stands for all operators."""
    sizing: Sizing
    day_mark: Literal["worst", "mid"] = "worst"
    """Marks of equity: bid for what we own and ask for what we owe, or halfway between."""
    max_mark_age_ms: Annotated[int, Field(gt=0, le=60_000)] = 5_000
    """A venue's mark price that is older counts for nothing: positions are marked at the book alone. Nor does what is
    as old count as a source of MKT-05. Default: as old as a book may be (MKT-01 of most markets).
    """
    start_capital: PositiveDecimal | None = None
    """Equity that the profile is made for; percentages of it are compared with the other numbers, nothing else."""
    venue_minimum: Annotated[dict[str, PositiveDecimal], Field(default_factory=dict)]
    """Venue -> its smallest order value, account currency: every size that the profile leads to must reach it."""
    grants: GrantLimits = GrantLimits()
    cautious: Cautious = Cautious()
    day_target: DayTarget | None = None
    soft_caps: SoftCaps | None = None
    """None: soft caps only mark the answers to asks."""
    cluster_pins: tuple[tuple[str, ...], ...] = ()
    """Instruments that count as one cluster whatever their correlation."""
    checks: dict[str, dict[str, Any]]
    """Check id -> `{status: enforced, ...}` or `{status: not_applicable, reason: ...}`."""


@dataclass(frozen=True, slots=True)
class Limits:
    """Limits in force."""

    file: LimitsFile
    checks: Mapping[str, Enforced | NotApplicable]
    hash: str
    """SHA-256 of the file's bytes, hex."""
    signatures: tuple[tuple[str, bytes], ...] = ()
    """Operators and their signatures beside the file; not verified yet."""

    def enforced(self, check_id: str, model: type[T]) -> T | None:
        """Return the limits of an enforced check; None when it is not applicable or absent."""
        found = self.checks.get(check_id)
        return found if isinstance(found, model) else None


def load_limits(path: Path) -> Limits:
    """Read and verify one limits file.

    Raises:
        ConfigError: One line naming file, key and fix.
    """
    tree = read_yaml(path)
    limits = make_limits(tree, path, hashlib.sha256(path.read_bytes()).hexdigest())
    return replace(limits, signatures=_signatures(path.with_name(path.name + SIGNATURES_SUFFIX)))


def _signatures(path: Path) -> tuple[tuple[str, bytes], ...]:
    """Read lines of operator and signature in hex, as `tradebot sign-limits` writes them; no file, no signature."""
    if not path.exists():
        return ()
    try:
        lines = [line.split() for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
        return tuple((operator, bytes.fromhex(signature)) for operator, signature in lines[:MAX_SIGNATURES])
    except (OSError, ValueError) as exc:
        raise ConfigError(f"{path}: not lines of operator and signature in hex: sign again or remove it") from exc


def parse_limits(text: str) -> Limits:
    """Read and verify limits that came as text."""
    path = Path("the new limits")
    return make_limits(parse_yaml(path, text), path, hashlib.sha256(text.encode()).hexdigest())


def make_limits(tree: dict[str, Any], path: Path, file_hash: str) -> Limits:
    """Verify a parsed limits file; `path` is for messages."""
    file = parse_section(path, "", tree, LimitsFile)
    limits = Limits(file, {key: _read_check(path, key, value) for key, value in file.checks.items()}, file_hash)
    for problem in contradictions(limits):
        raise ConfigError(f"{path}: {problem}")
    return limits


def _read_check(path: Path, check_id: str, tree: dict[str, Any]) -> Enforced | NotApplicable:
    where = f"checks.{check_id}"
    if check_id not in CONFIGURABLE_IDS:
        raise ConfigError(f"{path}: {where}: no such check; see docs/risk-checks.md")
    if tree.get("status") == "not_applicable":
        spec = SPEC_BY_ID[check_id]
        if spec.mandatory:
            raise ConfigError(f"{path}: {where}.status: {spec.name} cannot be not_applicable: it is always enforced")
        return parse_section(path, where, tree, NotApplicable)
    return parse_section(path, where, tree, CHECK_MODELS.get(check_id, Enforced))


def contradictions(limits: Limits) -> list[str]:
    """Return what cannot be meant as written, with the numbers."""
    found: list[str] = []
    order = limits.enforced("SIZ-02", OrderValue)
    position, gross = limits.enforced("POS-02", Exposure), limits.enforced("POS-04", Exposure)
    rate, loss = limits.enforced("RAT-01", OrderRate), limits.enforced("PNL-01", DayLoss)
    numbers = profile_numbers(limits)

    def above(name: str, value: object, cap_name: str, cap: object, broken: bool) -> None:
        if broken:
            found.append(f"{name} is {value}, above {cap_name} {cap}: lower it or raise the other")

    cluster = limits.enforced("POS-07", ClusterExposure)
    for check_id, exposure in (("POS-02", position), ("POS-04", gross), ("POS-07", cluster)):
        if exposure is not None:
            soft, hard = exposure.soft_pct, exposure.hard_pct
            above(f"checks.{check_id}.soft_pct", soft, "hard_pct", hard, soft > hard)
            low, cap = exposure.soft_notional or exposure.max_notional, exposure.max_notional
            above(f"checks.{check_id}.soft_notional", low, "max_notional", cap, low > cap)
    if order is not None:
        found += sizing_above(numbers, "checks.SIZ-02.max_notional", order.max_notional)
    if order is not None and position is not None:
        pct, cap = order.max_pct_of_equity, position.hard_pct
        above("checks.SIZ-02.max_pct_of_equity", pct, "checks.POS-02.hard_pct", cap, pct > cap)
        value, cap = order.max_notional, position.max_notional
        above("checks.SIZ-02.max_notional", value, "checks.POS-02.max_notional", cap, value > cap)
    if position is not None and gross is not None:
        pct, cap = position.hard_pct, gross.hard_pct
        above("checks.POS-02.hard_pct", pct, "checks.POS-04.hard_pct", cap, pct > cap)
        value, cap = position.max_notional, gross.max_notional
        above("checks.POS-02.max_notional", value, "checks.POS-04.max_notional", cap, value > cap)
    for check_id in ("POS-05", "POS-06"):
        if (share := limits.enforced(check_id, SoftEquityShare)) is not None:
            low, cap = share.soft_pct or share.max_pct_of_equity, share.max_pct_of_equity
            above(f"checks.{check_id}.soft_pct", low, "max_pct_of_equity", cap, low > cap)
            low, cap = share.soft_notional or share.max_notional, share.max_notional
            above(f"checks.{check_id}.soft_notional", low, "max_notional", cap, low > cap)
    stress = limits.enforced("POS-13", StressLoss)
    if stress is not None:
        low, cap = stress.soft_pct or stress.max_loss_pct, stress.max_loss_pct
        above("checks.POS-13.soft_pct", low, "max_loss_pct", cap, low > cap)
        low, cap = stress.soft_loss or stress.max_loss, stress.max_loss
        above("checks.POS-13.soft_loss", low, "max_loss", cap, low > cap)
    stop, outlier = limits.enforced("PRC-05", MandatoryStop), limits.enforced("SIZ-05", SizeOutlier)
    if stop is not None:
        near, far = stop.min_distance_bps, stop.max_distance_bps
        above("checks.PRC-05.min_distance_bps", near, "max_distance_bps", far, near > far)
    if outlier is not None:
        soft_x, hard_x = outlier.soft_multiple, outlier.hard_multiple
        above("checks.SIZ-05.soft_multiple", soft_x, "hard_multiple", hard_x, soft_x > hard_x)
    spread, slippage = limits.enforced("MKT-04", MaxSpread), limits.enforced("PRC-03", Slippage)
    if spread is not None and slippage is not None:
        found += spreads_above(spread.max_spread_bps, slippage.max_slippage_bps)
    if rate is not None:
        second, system, minute = rate.strategy_per_second, rate.system_per_second, rate.strategy_per_minute
        above("checks.RAT-01.strategy_per_second", second, "system_per_second", system, second > system)
        above("checks.RAT-01.strategy_per_second", second, "strategy_per_minute", minute, second > minute)
    if loss is not None:
        rearm, pause = loss.rearm_at_pct, loss.pause_at_pct
        above("checks.PNL-01.rearm_at_pct", rearm, "pause_at_pct", pause, rearm > pause)
    at_venue = limits.enforced("POS-08", VenueExposure)
    if at_venue is not None:
        low, most = at_venue.soft_pct, at_venue.hard_pct
        above("checks.POS-08.soft_pct", low, "hard_pct", most, low > most)
    aged = limits.enforced("POS-14", HoldingTime)
    if aged is not None:
        above("checks.POS-14.soft_h", aged.soft_h, "hard_h", aged.hard_h, aged.soft_h > aged.hard_h)
    if (aged is not None or cluster is not None) and limits.file.soft_caps is None:
        found.append("checks.POS-07 and POS-14 act through soft_caps: add that section, or say not_applicable and why")
    if cluster is not None:
        leave, join = cluster.leave_below, cluster.join_at
        above("checks.POS-07.leave_below", leave, "join_at", join, leave > join)
    naked = limits.enforced("PTR-06", UnprotectedPosition)
    if naked is not None:
        soon, late = naked.alarm_s, naked.action_s
        above("checks.PTR-06.alarm_s", soon, "action_s", late, soon > late)
    silent = limits.enforced("PTR-07", Dependencies)
    if silent is not None:
        soon, late = silent.reduce_only_s, silent.pause_s
        above("checks.PTR-07.reduce_only_s", soon, "pause_s", late, soon > late)
    roles = {key.role for key in limits.file.operator_keys.values()}
    if limits.file.operators == "team" and len(roles) < 2:
        found.append("operators: team needs the keys of a trader and of a risk officer in operator_keys")
    halt, streak = limits.enforced("PNL-02", DayHalt), limits.enforced("PNL-06", LossStreak)
    if halt is not None and halt.halt_at_pct is None and halt.max_loss is None and halt.max_drawdown_pct is None:
        found.append("checks.PNL-02: set halt_at_pct, max_loss or max_drawdown_pct, or say not_applicable and why")
    if halt is not None and loss is not None and halt.halt_at_pct is not None:
        at, pause = halt.halt_at_pct, loss.pause_at_pct
        above("checks.PNL-02.halt_at_pct", at, "checks.PNL-01.pause_at_pct", pause, at > pause)
    if streak is not None and streak.pause_after is not None:
        few, many = streak.pause_after, streak.halt_after
        above("checks.PNL-06.pause_after", few, "halt_after", many, few > many)
    return found + profile_contradictions(numbers)


def profile_numbers(limits: Limits) -> ProfileNumbers:
    """Return the numbers that a profile must agree on."""
    file = limits.file
    count, loss = limits.enforced("POS-03", OpenPositions), limits.enforced("PNL-01", DayLoss)
    tier = limits.enforced("STA-08", DeploymentTier)
    return ProfileNumbers(
        file.sizing,
        (*_value_caps(limits), *_loss_caps(limits)),
        tuple(_allocations(limits)),
        None if count is None else count.max_positions,
        None if loss is None else loss.pause_at_pct,
        file.cautious_size_factor,
        Decimal(1) if tier is None else tier.tier,
        file.start_capital,
        file.venue_minimum,
        _kept(limits),
        tuple(_bounds(limits)),
        _carried(limits),
    )


def _bounds(limits: Limits) -> Iterator[Size]:
    """What no entry can be worth more than. What lies at a venue pays for it, in spot with all that it is worth."""
    start = limits.file.start_capital
    at_venue, turnover = limits.enforced("POS-08", VenueExposure), limits.enforced("RAT-10", Turnover)
    if start is not None and at_venue is not None:
        yield Size("start_capital x checks.POS-08.hard_pct", start * at_venue.hard_pct / HUNDRED)
    if start is not None and turnover is not None:
        yield Size("start_capital x checks.RAT-10.max_times_equity", start * turnover.max_times_equity)


def _carried(limits: Limits) -> Size | None:
    start, leverage = limits.file.start_capital, limits.enforced("POS-10", Leverage)
    if start is None or leverage is None:
        return None
    return Size("start_capital x checks.POS-10.max_leverage", start * leverage.max_leverage)


def _value_caps(limits: Limits) -> Iterator[ShareCap]:
    """Caps on what orders and positions are worth."""
    order = limits.enforced("SIZ-02", OrderValue)
    if order is not None:
        yield ShareCap("checks.SIZ-02", "max_pct_of_equity", order.max_pct_of_equity, order.max_notional)
    for check_id in ("POS-02", "POS-04", "POS-07"):
        if (exposure := limits.enforced(check_id, Exposure)) is not None:
            yield ShareCap(f"checks.{check_id}", "hard_pct", exposure.hard_pct, exposure.max_notional)
    for check_id in ("POS-05", "POS-06", "POS-11"):
        if (share := limits.enforced(check_id, EquityShare)) is not None:
            yield ShareCap(f"checks.{check_id}", "max_pct_of_equity", share.max_pct_of_equity, share.max_notional)


def _allocations(limits: Limits) -> Iterator[ShareCap]:
    """What each strategy that the file registers may have."""
    table = limits.enforced("POS-09", StrategyAllocation)
    if table is None:
        return
    for key in sorted(limits.file.strategies):
        pct, amount = for_key(table.max_pct_of_equity, key), for_key(table.max_notional, key)
        if pct is not None and amount is not None:
            yield ShareCap(f"checks.POS-09 of {key}", "max_pct_of_equity", pct, amount)


def _loss_caps(limits: Limits) -> Iterator[ShareCap]:
    """Caps on what positions may lose, as the value of the entry that loses it: with its narrowest stop, by PRC-05."""
    risk, heat = limits.enforced("SIZ-03", TradeRisk), limits.enforced("POS-12", PortfolioHeat)
    stress, stop = limits.enforced("POS-13", StressLoss), limits.enforced("PRC-05", MandatoryStop)
    if risk is not None and stop is not None:
        share = (stop.min_distance_bps + risk.cost_bps) / _BPS
        yield ShareCap("checks.SIZ-03", "max_risk_pct", risk.max_risk_pct, risk.max_risk, "max_risk", share)
    if heat is not None and stop is not None:
        share = stop.min_distance_bps / _BPS
        yield ShareCap("checks.POS-12", "max_heat_pct", heat.max_heat_pct, heat.max_heat, "max_heat", share)
    if stress is not None:
        share = stress.shock_pct / HUNDRED + stress.stressed_spread_bps / _BPS / 2
        yield ShareCap("checks.POS-13", "max_loss_pct", stress.max_loss_pct, stress.max_loss, "max_loss", share)


def _kept(limits: Limits) -> Decimal:
    """Return the least share of an entry that SPC-08 sees left to close; 1 when an entry needs no stop."""
    stop, balance = limits.enforced("PRC-05", MandatoryStop), limits.enforced("POS-01", FreeBalance)
    if stop is None or limits.enforced("SPC-08", Enforced) is None:
        return Decimal(1)
    fee = Decimal(0) if balance is None else balance.taker_fee_bps
    exit_bps = limits.file.grants.emergency_bound_bps
    return (1 - stop.max_distance_bps / _BPS) * (1 - fee / _BPS) * (1 - exit_bps / _BPS)


def venue_contradictions(limits: Limits, instruments: Iterable[Instrument]) -> dict[str, str]:
    """Return instrument -> why this profile cannot trade it.

    For those that a strategy names, or all of them where one names `*`, whose quote asset is the account currency.
    """
    named = {name for permission in limits.file.strategies.values() for name in permission.instruments}
    ours = [i for i in instruments if (ANY in named or i.instrument_id in named) and i.quote == limits.file.currency]
    order = limits.enforced("SIZ-01", OrderQty)
    found = below_venue_rules(profile_numbers(limits), ours)
    for instrument in ours:
        cap = None if order is None else for_key(order.max_qty, instrument.instrument_id)
        if cap is not None and cap < instrument.min_qty:
            text = f"checks.SIZ-01.max_qty is {cap}, below {instrument.instrument_id} min_qty {instrument.min_qty}"
            found.setdefault(instrument.instrument_id, f"{text}: no order could be that small; raise it")
    return found


def for_key(table: Mapping[str, T], key: str) -> T | None:
    """Return the entry of an instrument or venue, else that of `*`, else None: undefined, which refuses."""
    found = table.get(key)
    return table.get(ANY) if found is None else found
