"""Compile once and keep the machine code on disk, keyed by the sources of the kernels too.

numba's own cache watches only the file a function is written in: a strategy compiled yesterday would go on running
yesterday's matching. Here every entry is stamped with the function's file and with all files of this package.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any, Final, TypeVar, cast

from numba import njit, types
from numba.core.caching import FunctionCache, IndexDataCacheFile

FunctionT = TypeVar("FunctionT", bound=Callable[..., object])
PACKAGE: Final = Path(__file__).parent


@cache
def kernel_stamp() -> tuple[tuple[str, int, int], ...]:
    """Return name, modification time and size of every source file here."""
    files = sorted(PACKAGE.glob("*.py"))
    return tuple((file.name, file.stat().st_mtime_ns, file.stat().st_size) for file in files)


class StampedCache(FunctionCache):
    """numba's file cache; an entry is stale as soon as any kernel's source changed."""

    def __init__(self, function: Callable[..., object]) -> None:
        super().__init__(function)
        stamp = (self._impl.locator.get_source_stamp(), kernel_stamp())
        self._cache_file = IndexDataCacheFile(self._cache_path, self._impl.filename_base, stamp)


def _forget_constants(dispatcher: Any) -> None:
    """Compile once per type: numba would compile each function again for every constant it is called with."""
    by_type = dispatcher.get_call_template

    def get_call_template(arguments: tuple[Any, ...], keywords: dict[str, Any]) -> Any:
        plain = tuple(types.unliteral(argument) for argument in arguments)
        return by_type(plain, {name: types.unliteral(value) for name, value in keywords.items()})

    dispatcher.get_call_template = get_call_template


def compiled(function: FunctionT) -> FunctionT:
    """Compile a kernel or a user's strategy with numba, cached on disk beside its file.

    Arithmetic follows IEEE (a division by zero is an infinity, not an exception); the interpreter lock is released.
    """
    dispatcher: Any = njit(nogil=True, error_model="numpy")(function)
    if hasattr(dispatcher, "enable_caching"):  # a plain function under NUMBA_DISABLE_JIT
        dispatcher._cache = StampedCache(function)
        _forget_constants(dispatcher)
    return cast(FunctionT, dispatcher)
