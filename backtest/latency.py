"""Section `backtest.latency`: how long requests take to the venue and answers back, each with its own model."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Annotated, Any, Final, Literal, Self

import numpy as np
from pydantic import Field, model_validator

from tradebot.core.columns import Int64s
from tradebot.core.errors import ConfigError, InvariantError
from tradebot.runtime.config import ConfigModel
from tradebot.sim.kernels.terms import ConstantLatency, Latency, RecordedLatency, SampledLatency
from tradebot.sim.order_latency import OrderLatency

NS_PER_MS: Final = 1_000_000
COLUMNS: Final = ("sent_ns", "reached_ns", "answered_ns")
MAX_RECORDED: Final = 5_000_000
"""Requests of one file of recorded latencies."""
Milliseconds = Annotated[float, Field(ge=0.001, le=60_000)]


class ConstantPath(ConfigModel):
    """Always the same."""

    model: Literal["constant"] = "constant"
    ms: Milliseconds = 5.0

    def latency(self) -> Latency:
        """Return it for the simulator."""
        time_ns = _ns(self.ms)
        return ConstantLatency(time_ns, time_ns)


class SampledPath(ConfigModel):
    """Drawn from a distribution for each message; the same seed gives the same draws."""

    model: Literal["sampled"]
    quantiles_ms: tuple[Milliseconds, ...]
    """The distribution at equal steps of probability, from its smallest value to its largest, linear between them."""
    seed: Annotated[int, Field(ge=0, lt=1 << 63)] = 1

    @model_validator(mode="after")
    def _rises(self) -> Self:
        if len(self.quantiles_ms) < 2 or list(self.quantiles_ms) != sorted(self.quantiles_ms):
            raise ValueError("quantiles_ms: give two or more, from the smallest to the largest")
        return self

    def latency(self) -> Latency:
        """Return it for the simulator."""
        quantiles = tuple(_ns(one) for one in self.quantiles_ms)
        return SampledLatency(quantiles, quantiles, self.seed)


class RecordedPath(ConfigModel):
    """Latencies of real requests, interpolated in time; before the first and after the last they stay constant."""

    model: Literal["recorded"]
    file: Path
    """CSV with the columns sent_ns, reached_ns and answered_ns, UTC. A reached_ns of 0: the venue refused that request
    without looking at it; from the request before it to the one after it all are refused."""

    def latency(self) -> Latency:
        """Return it for the simulator.

        Raises:
            ConfigError: Naming file, row and column.
        """
        columns = _read(self.file)
        try:
            return RecordedLatency(*columns)
        except InvariantError as exc:
            raise ConfigError(f"{self.file}: {exc} (rows are counted from 0 below the header)") from exc


PathConfig = Annotated[ConstantPath | SampledPath | RecordedPath, Field(discriminator="model")]


class LatencyConfig(ConfigModel):
    """Between execd and the venue."""

    entry: PathConfig = ConstantPath()
    """From execd to the venue's matching."""
    response: PathConfig = ConstantPath()
    """From there back to execd: answers and account events."""

    @model_validator(mode="before")
    @classmethod
    def _without_a_model_it_is_constant(cls, values: Any) -> Any:
        if not isinstance(values, dict):
            return values
        return {k: {"model": "constant", **v} if isinstance(v, dict) else v for k, v in values.items()}

    def open(self) -> OrderLatency:
        """Return the model of one run.

        Raises:
            ConfigError: If a file of recorded latencies cannot be used.
        """
        return OrderLatency(self.entry.latency(), self.response.latency())


def _ns(ms: float) -> int:
    return round(ms * NS_PER_MS)


def _read(path: Path) -> list[Int64s]:
    rows: list[list[int]] = []
    try:
        with path.open(newline="", encoding="utf-8") as file:
            reader = csv.DictReader(file)
            for name in COLUMNS:
                if name not in (reader.fieldnames or ()):
                    raise ConfigError(f"{path}: no column {name}: recorded latencies need {', '.join(COLUMNS)}")
            for line in reader:
                if len(rows) == MAX_RECORDED:
                    raise ConfigError(f"{path}: more than {MAX_RECORDED} rows: thin them out")
                for name in COLUMNS:
                    if not (line[name] or "").isdigit() or int(line[name]) >= 1 << 62:
                        raise ConfigError(
                            f"{path}: line {reader.line_num}, column {name}: {line[name]!r} is no time in nanoseconds"
                        )
                rows.append([int(line[name]) for name in COLUMNS])
    except (OSError, UnicodeDecodeError, csv.Error) as exc:
        raise ConfigError(f"backtest.latency: {path} cannot be read ({exc})") from exc
    return list(np.array(rows, np.int64).reshape(-1, len(COLUMNS)).T.copy())
