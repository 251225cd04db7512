"""The release number and the Python versions it was tested on: the only place for both.

`pyproject.toml` and `scripts/bootstrap.sh` read this file as text, so both assignments stay one-line literals.
"""

from __future__ import annotations

import sys
from typing import Final

__version__ = "0.1.0.dev0"

TESTED_PYTHONS: Final = ("3.11", "3.12", "3.13")


def untested_python_message(version: tuple[int, int] = sys.version_info[:2]) -> str | None:
    """Return the one line that refuses this Python, or None when it is one we tested.

    Args:
        version: Major and minor version of the running interpreter.
    """
    found = f"{version[0]}.{version[1]}"
    if found in TESTED_PYTHONS:
        return None
    return (
        f"tradebot {__version__} is tested on Python {', '.join(TESTED_PYTHONS)}, this is {found}: "
        "run `make clean setup PYTHON=python3.11` (or another of these)"
    )
