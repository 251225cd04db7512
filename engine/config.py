"""Section `engine` of the configuration."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Field, model_validator

from tradebot.runtime.config import ConfigModel

MAX_STRATEGIES = 256


class StrategyConfig(ConfigModel):
    """One strategy that runs."""

    id: Annotated[str, Field(pattern=r"^[A-Za-z0-9_.-]{1,64}$")]
    """Unique name; orders, positions and limits are booked under it."""
    kind: Annotated[str, Field(min_length=1)]
    """Registered name of the class, e.g. breakout_atr."""
    instruments: Annotated[tuple[str, ...], Field(min_length=1)]
    """Instrument ids, e.g. binance:BTC-USDT."""
    params: dict[str, Any] = Field(default_factory=dict)
    """Parameters of that class; the others keep its defaults."""
    enabled: bool = True
    """False: loaded and warmed up, but proposes no entries until an operator switches it on."""

    @model_validator(mode="after")
    def _instruments_look_right(self) -> StrategyConfig:
        for name in self.instruments:
            venue, colon, pair = name.partition(":")
            if not (venue and colon and "-" in pair):
                raise ValueError(f"instruments: {name!r} is not an instrument id like binance:BTC-USDT")
        return self


class EngineConfig(ConfigModel):
    """What the engine runs."""

    strategies: Annotated[tuple[StrategyConfig, ...], Field(max_length=MAX_STRATEGIES)] = ()
    strategy_path: tuple[str, ...] = ()
    """Where your own strategies are: Python files, folders of them, or dotted module names."""
    record: bool = False
    """True: everything the engine is told and wants is written to <state>/engine/<start>.session, for `tradebot
    replay`."""
    bar_grace_ms: Annotated[int, Field(ge=0, le=60_000)] = 250
    """A bar without any later event closes this long after its end."""
    lossless: bool = False
    """True: every row is read, and a slow engine is cut off and resubscribes. False: it skips to the newest prices."""
