"""Puts one change into a process: into functions that live already, or into a module when it is imported."""

from __future__ import annotations

import gc
from collections import defaultdict
from collections.abc import Iterator
from importlib.machinery import SourceFileLoader
from pathlib import Path
from types import CodeType, FunctionType

from scripts.mutate.breaks import compile_changed

_CO_OPTIMIZED = 0x1
"""Set for functions, not for modules and class bodies (`inspect.CO_OPTIMIZED`)."""
_Key = tuple[str, str, int]
"""File, qualified name, first line."""


def _key(code: CodeType) -> _Key:
    return code.co_filename, code.co_qualname, code.co_firstlineno


def _inner(code: CodeType) -> list[CodeType]:
    return [constant for constant in code.co_consts if isinstance(constant, CodeType)]


def _walk(code: CodeType) -> Iterator[CodeType]:
    yield code
    for inner in _inner(code):
        yield from _walk(inner)


def _own(code: CodeType) -> tuple[object, ...]:
    """Return what a code object does by itself, without the functions that it makes."""
    constants = [(type(value), value) for value in code.co_consts if not isinstance(value, CodeType)]
    return code.co_code, code.co_names, constants


def changed_chain(before: CodeType, after: CodeType) -> list[CodeType] | None:
    """Return the new code that differs by itself, innermost last, after everything around it from the module on.

    None when the two cannot be laid beside each other or nothing differs.
    """
    if _own(before) != _own(after):
        return [after]
    old, new = _inner(before), _inner(after)
    if len(old) != len(new):
        return None
    for one, other in zip(old, new, strict=True):
        if one != other:
            chain = changed_chain(one, other)
            return None if chain is None else [after, *chain]
    return None


class LiveFunctions:
    """Every Python function of this process, by the place of its code. Made once, before the forks."""

    def __init__(self) -> None:
        gc.collect()
        self._found: dict[_Key, list[FunctionType]] = defaultdict(list)
        for function in gc.get_objects():
            if type(function) is FunctionType:
                self._found[_key(function.__code__)].append(function)

    def swap(self, path: Path, index: int) -> bool:
        """Give the functions of a file their changed code; False when that would not reach what the change reaches.

        It does not where the change runs at import (module, class body, defaults), and where the function is not
        found by its place: two of one name on one line, or none that lives.
        """
        source = path.read_text(encoding="utf-8")
        before = compile_changed(source, str(path), None)
        chain = changed_chain(before, compile_changed(source, str(path), index))
        if chain is None or not chain[-1].co_flags & _CO_OPTIMIZED:
            return False
        places = [_key(code) for code in _walk(before)]
        functions = [code for code in chain if code.co_flags & _CO_OPTIMIZED]
        if any(places.count(_key(code)) != 1 for code in functions):
            return False
        living = [(function, code) for code in functions for function in self._found.get(_key(code), ())]
        for function, code in living:
            function.__code__ = code
        return bool(living)


def change_import(path: Path, index: int) -> None:
    """Let the module at `path` be imported with its change, from now on, in this process."""
    changed = compile_changed(path.read_text(encoding="utf-8"), str(path), index)
    get_code = SourceFileLoader.get_code

    def get_changed(loader: SourceFileLoader, fullname: str) -> CodeType | None:
        return changed if loader.get_filename(fullname) == str(path) else get_code(loader, fullname)

    SourceFileLoader.get_code = get_changed  # type: ignore[method-assign,assignment]
