"""The eyes' section of the configuration file."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from tradebot.runtime.config import ConfigModel


class EyesConfig(ConfigModel):
    """Section `eyes`. The keys stand with their venue: read_key_name and read_secret_name."""

    interval_ms: Annotated[int, Field(ge=500, le=60_000)] = 5_000
    """Between two looks. One costs the venue's budget about 20 + 46 per symbol in weight."""
    report_timeout_ms: Annotated[int, Field(ge=100, le=30_000)] = 3_000
    """How long riskd may take to answer a report."""
