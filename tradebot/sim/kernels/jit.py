"""How kernels and users' strategies are compiled: once per type, cached on disk, never older than any kernel.

Arithmetic follows IEEE (a division by zero is an infinity, not an exception); the interpreter lock is released.
"""

from __future__ import annotations

from pathlib import Path

from tradebot.core.compiled import make_compiler

compiled = make_compiler(Path(__file__).parent, error_model="numpy", once_per_type=True)
