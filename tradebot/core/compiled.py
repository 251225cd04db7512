"""How loops over integer columns are compiled: numba, with the machine code kept on disk beside the source."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar, cast

from numba import njit

FunctionT = TypeVar("FunctionT", bound=Callable[..., Any])


def compiled(function: FunctionT) -> FunctionT:
    """Compile at the first call; a later process loads the result instead of compiling again."""
    return cast(FunctionT, njit(cache=True, nogil=True)(function))
