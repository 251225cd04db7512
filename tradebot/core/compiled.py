"""How loops over integer columns are compiled: numba, machine code kept on disk, never older than any source in it.

numba's own cache watches only the file a function is written in: a loop that calls `ladder.put` would go on running
yesterday's. Here every entry is stamped with the function's file and with all files of this folder.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any, Final, TypeVar, cast

from numba import njit
from numba.core.caching import FunctionCache, IndexDataCacheFile

FunctionT = TypeVar("FunctionT", bound=Callable[..., Any])
PACKAGE: Final = Path(__file__).parent


@cache
def _stamp() -> tuple[tuple[str, int, int], ...]:
    """Return name, modification time and size of every source file here."""
    files = sorted(PACKAGE.glob("*.py"))
    return tuple((file.name, file.stat().st_mtime_ns, file.stat().st_size) for file in files)


class _StampedCache(FunctionCache):
    """numba's file cache; an entry is stale as soon as any source here changed."""

    def __init__(self, function: Callable[..., Any]) -> None:
        super().__init__(function)
        stamp = (self._impl.locator.get_source_stamp(), _stamp())
        self._cache_file = IndexDataCacheFile(self._cache_path, self._impl.filename_base, stamp)


def compiled(function: FunctionT) -> FunctionT:
    """Compile at the first call; a later process loads the result instead of compiling again."""
    dispatcher: Any = njit(nogil=True)(function)
    if hasattr(dispatcher, "enable_caching"):  # a plain function under NUMBA_DISABLE_JIT
        dispatcher._cache = _StampedCache(function)
    return cast(FunctionT, dispatcher)
