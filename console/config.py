"""The console's own section of the configuration file."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from tradebot.runtime.config import ConfigModel


class ConsoleConfig(ConfigModel):
    """How the console paints and polls."""

    paint_hz: Annotated[int, Field(ge=4, le=20)] = 10
    """Repaints per second; 4 is enough over SSH or tmux."""
    book_hz: Annotated[int, Field(ge=1, le=4)] = 3
    """Polls of the selected instrument's book per second."""
    book_depth: Annotated[int, Field(ge=5, le=50)] = 20
    """Levels per side."""
