"""Section `backtest` of the configuration, and what one run is asked to do."""

from __future__ import annotations

from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any, Final, Literal, Self

from pydantic import Field, model_validator

from backtest.history.rows import Market
from backtest.history_feed import HistoryOptions
from backtest.latency import NS_PER_MS, LatencyConfig
from backtest.perpetuals import PerpetualConfig
from tradebot.core.errors import InvariantError
from tradebot.runtime.config import ConfigModel
from tradebot.sim.engine import FeeRates
from tradebot.sim.fees import FeeSchedule
from tradebot.sim.kernels import queues
from tradebot.sim.kernels.terms import Queue
from tradebot.sim.market import FillModel

DEFAULT_LIMITS = Path(__file__).resolve().parent.parent / "config" / "limits" / "backtest.yaml"


class FeeTierConfig(ConfigModel):
    """One line of a venue's fee table."""

    volume: Annotated[Decimal, Field(ge=0)]
    """Traded over 30 days, at or above; the first line's is 0."""
    maker_bps: Annotated[Decimal, Field(ge=-100, le=1_000)]
    """Below 0 it is a rebate."""
    taker_bps: Annotated[Decimal, Field(ge=-100, le=1_000)]


class QueueConfig(ConfigModel):
    """How our place in a price level's queue is estimated; docs/simulator.md has the formulas."""

    model: Literal["risk_averse", "log_prob", "log_prob_2", "power_prob", "power_prob_2", "power_prob_3", "fifo"] = (
        "risk_averse"
    )
    exponent: Annotated[float, Field(gt=0, le=100)] | None = None
    """n of the power models; None: 2."""

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if self.model == "fifo":
            raise ValueError(
                "fifo needs the ids of single orders, which a backtest's rows do not carry: choose another model, or"
                " play the feed with a compiled strategy"
            )
        if self.exponent is not None and not self.model.startswith("power_prob"):
            raise ValueError(f"exponent: {self.model} has none, only the power_prob models do; leave it away")
        return self

    @property
    def queue(self) -> Queue:
        """It in the simulator's terms."""
        model = _QUEUES[self.model]
        return Queue(model) if self.exponent is None else Queue(model, self.exponent)


_QUEUES: Final = {
    "risk_averse": queues.RISK_AVERSE,
    "log_prob": queues.LOGARITHM,
    "log_prob_2": queues.LOGARITHM_OF_SUM,
    "power_prob": queues.POWER,
    "power_prob_2": queues.POWER_OF_SUM,
    "power_prob_3": queues.POWER_COMPLEMENT,
}


class BacktestConfig(ConfigModel):
    """The simulated surroundings of a backtest."""

    venue: str = "binance"
    """Venue folder whose protocol the recording and the simulated venue speak."""
    limits: Path = DEFAULT_LIMITS
    """Limits file that riskd's core enforces."""
    latency: LatencyConfig = LatencyConfig()
    """Between execd and the venue, each way."""
    queue: QueueConfig = QueueConfig()
    """Our place in the queue; the model's name alone will do."""
    partial_fills: bool = True
    """False: a taker is done in full at the best price, a maker in full with the first trade that reaches him."""
    impact: bool = True
    """What our takers took is gone until the recording touches the level again, and a trade fills us once. Needs
    partial fills."""
    link_latency_ms: Annotated[float, Field(ge=0.001, le=60_000)] = 0.2
    """From the engine's decision to execd."""
    event_grid_ms: Annotated[float, Field(ge=0.01, le=60_000)] = 20.0
    """Order events reach the engine at the next multiple of this. Smaller is finer and slower: while anything of ours
    is open, engine and venue take turns once per grid step in which something happens."""
    unprotected_s: Annotated[float, Field(gt=0, le=1e9)] | None = None
    """A position may be without its stop for so long before execd closes it. None: execd's live settings. Research on
    strategies without stops (market making) sets it high, and riskd's PRC-05 to not_applicable."""
    venue_bytes: bool = False
    """True: every request and event passes between execd and the venue as the bytes of its protocol. False: the common
    ones are handed over as what those bytes say. The same event log, the shortcut is faster."""
    balances: dict[str, Decimal] = Field(default_factory=lambda: {"USDT": Decimal(10_000)})
    """Starting balances of the simulated account."""
    maker_fee_bps: Annotated[Decimal, Field(ge=-100, le=1_000)] = Decimal(10)
    taker_fee_bps: Annotated[Decimal, Field(ge=-100, le=1_000)] = Decimal(10)
    fee_tiers: tuple[FeeTierConfig, ...] = ()
    """The venue's fee table by the volume of 30 days, instead of the two rates above. Volumes of all instruments count
    in their quote assets, one for one."""
    perpetuals: dict[str, PerpetualConfig] = Field(default_factory=dict)
    """Venue symbol -> perpetual. Symbols that are not here are spot."""
    prior_volume: Annotated[Decimal, Field(ge=0)] = Decimal(0)
    """Traded in the 30 days before the data begin; fades day by day."""

    @model_validator(mode="before")
    @classmethod
    def _a_queue_is_its_model(cls, values: Any) -> Any:
        if isinstance(values, dict) and isinstance(values.get("queue"), str):
            return {**values, "queue": {"model": values["queue"]}}
        return values

    @model_validator(mode="after")
    def _impact_needs_parts(self) -> Self:
        if self.impact and not self.partial_fills:
            raise ValueError("impact: needs partial_fills; set impact to false, or partial_fills to true")
        return self

    @model_validator(mode="after")
    def _tiers_rise(self) -> Self:
        try:
            _ = self.fees
        except InvariantError as exc:
            raise ValueError(str(exc)) from exc
        return self

    @property
    def fees(self) -> FeeRates:
        """What the account is charged."""
        rows = [(tier.volume, tier.maker_bps, tier.taker_bps) for tier in self.fee_tiers]
        tiers = FeeSchedule.of_bps(rows, self.prior_volume) if rows else None
        return FeeRates(self.maker_fee_bps, self.taker_fee_bps, tiers)

    @property
    def fill_model(self) -> FillModel:
        """What is assumed about our orders in a recorded market."""
        return FillModel(self.queue.queue, self.partial_fills, self.impact)

    @property
    def link_latency_ns(self) -> int:
        return round(self.link_latency_ms * NS_PER_MS)

    @property
    def event_grid_ns(self) -> int:
        return round(self.event_grid_ms * NS_PER_MS)


@dataclass(frozen=True, slots=True)
class BacktestOptions:
    """One run."""

    strategy: str
    """Registered kind; also the strategy id, by which the limits file knows it."""
    data: Path | None = None
    """Recorded frames or market data in any format of docs/data.md. None: the synthetic market."""
    then: tuple[Path, ...] = ()
    """Further files, merged by receive time; frames of the same symbols continue each other."""
    markets: tuple[Market, ...] = ()
    """Steps of instruments, for files that do not say them and symbols without built-in rules."""
    history: HistoryOptions = field(default_factory=HistoryOptions)
    """How files that are no recorded frames are read."""
    seed: int = 1
    """Of the synthetic market."""
    seconds: int = 600
    """Length of the synthetic market."""
    config: Path | None = None
    """Environment file; its `engine` and `backtest` sections are used. None: defaults."""
    params: dict[str, Any] = field(default_factory=dict)
    """Parameters of the strategy on top of the configured ones."""
    strategy_path: tuple[str, ...] = ()
    """Where own strategies are, besides those of the configuration."""
    symbols: tuple[str, ...] = ()
    """Venue symbols to trade; empty = all in the recording."""
    exchange_info: Path | None = None
    """The venue's saved list of trading rules, for symbols that have no built-in ones."""
    events: Path | None = None
    """File for the event log, one JSON object per line. None: not written."""
    out: Path | None = None
    """Folder for the result tables. None: not written."""
    equity_every_s: float = 1.0
    """Resolution of the equity table."""
    in_process: bool = False
    """True: the engine's core runs in this process instead of its own behind gRPC. Same decisions, faster."""
    max_seconds: float | None = None
    """Stop after so much recorded time."""
    end_ns: int | None = None
    """Stop at this time: nothing is received or happens at the venue after it."""
