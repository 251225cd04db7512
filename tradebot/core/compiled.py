"""How loops over integer columns are compiled: numba, machine code kept on disk, never older than any source it uses.

numba's own cache watches only the file a function is written in: a loop that calls `ladder.put`, or a strategy that
calls a kernel, would go on running yesterday's. Here every entry is stamped with the function's file and with all
files of the folders it may use.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any, Final, Literal, TypeVar, cast

from numba import njit, types
from numba.core.caching import FunctionCache, IndexDataCacheFile

FunctionT = TypeVar("FunctionT", bound=Callable[..., Any])
HERE: Final = Path(__file__).parent


@cache
def source_stamp(folder: Path) -> tuple[tuple[str, int, int], ...]:
    """Return name, modification time and size of every source file of a folder."""
    files = sorted(folder.glob("*.py"))
    return tuple((file.name, file.stat().st_mtime_ns, file.stat().st_size) for file in files)


class _StampedCache(FunctionCache):
    """numba's file cache; an entry is stale as soon as any source it may use changed."""

    def __init__(self, function: Callable[..., Any], folders: tuple[Path, ...]) -> None:
        super().__init__(function)
        stamp = (self._impl.locator.get_source_stamp(), *(source_stamp(folder) for folder in folders))
        self._cache_file = IndexDataCacheFile(self._cache_path, self._impl.filename_base, stamp)


def make_compiler(
    *folders: Path, error_model: Literal["python", "numpy"] = "python", once_per_type: bool = False
) -> Callable[[FunctionT], FunctionT]:
    """Return a decorator that compiles at the first call; a later process loads the result instead.

    Args:
        folders: Where the sources are that compiled functions may use.
        error_model: numba's: "python" raises on a division by zero, "numpy" follows IEEE.
        once_per_type: numba compiles each function again for every constant it is called with; True keeps it from that.
    """

    def compiled(function: FunctionT) -> FunctionT:
        dispatcher: Any = njit(nogil=True, error_model=error_model)(function)
        if hasattr(dispatcher, "enable_caching"):  # a plain function under NUMBA_DISABLE_JIT
            dispatcher._cache = _StampedCache(function, folders)
            if once_per_type:
                _forget_constants(dispatcher)
        return cast(FunctionT, dispatcher)

    return compiled


def _forget_constants(dispatcher: Any) -> None:
    by_type = dispatcher.get_call_template

    def get_call_template(arguments: tuple[Any, ...], keywords: dict[str, Any]) -> Any:
        plain = tuple(types.unliteral(argument) for argument in arguments)
        return by_type(plain, {name: types.unliteral(value) for name, value in keywords.items()})

    dispatcher.get_call_template = get_call_template


compiled = make_compiler(HERE)
"""For loops that use this folder only."""
