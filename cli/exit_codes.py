"""Exit codes of the `tradebot` command. Scripts rely on them; they never change meaning."""

from __future__ import annotations

from enum import IntEnum


class Exit(IntEnum):
    """What the shell sees."""

    OK = 0
    REFUSED = 1
    """A well-formed no: an order refused, a stop not acknowledged everywhere, a demo without fills."""
    USAGE = 2
    """Configuration, flags or files are unusable."""
    UNREACHABLE = 3
    """A daemon that is needed does not answer, or the state folder is in use or damaged."""
    FINDINGS = 4
    """`audit` or `doctor` found something."""
    CRASH = 70
    """A bug of ours; daemons use the same code."""
