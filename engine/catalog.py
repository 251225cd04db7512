"""Finds strategy classes: our own, and the user's from configured files, folders and modules."""

from __future__ import annotations

import importlib
import importlib.util
import pkgutil
import sys
from collections.abc import Iterable
from pathlib import Path
from types import ModuleType
from typing import Any, Final

from pydantic import ValidationError

import engine.strategies
from engine.runs import StrategySettings
from engine.strategy import Params, Strategy
from tradebot.core.errors import ConfigError

MAX_STRATEGY_FILES: Final = 200
"""Files read from one configured folder."""


def load_catalog(paths: Iterable[str] = ()) -> dict[str, type[Strategy]]:
    """Return every registered strategy class by its kind.

    Args:
        paths: Each a Python file, a folder of Python files, or the dotted name of an importable module.

    Raises:
        ConfigError: If a path cannot be loaded, holds no strategy, or a kind is registered twice.
    """
    catalog: dict[str, type[Strategy]] = {}
    for info in pkgutil.iter_modules(engine.strategies.__path__):
        _add(catalog, importlib.import_module(f"engine.strategies.{info.name}"))
    for text in paths:
        found = sum(_add(catalog, module) for module in _load(text))
        if not found:
            raise ConfigError(f'engine.strategy_path: {text} has no class with @strategy("name"): add one')
    return catalog


def make_settings(
    catalog: dict[str, type[Strategy]],
    strategy_id: str,
    kind: str,
    instrument_ids: tuple[str, ...],
    params: dict[str, Any],
    enabled: bool = True,
) -> StrategySettings:
    """Return settings with checked parameters.

    Raises:
        ConfigError: If the kind is not registered or a parameter is unknown or out of range.
    """
    where = f"engine.strategies.{strategy_id}"
    cls = catalog.get(kind)
    if cls is None:
        raise ConfigError(f"{where}.kind: {kind!r} is not one of: {', '.join(sorted(catalog))}")
    if not instrument_ids:
        raise ConfigError(f"{where}.instruments: name at least one instrument, <venue>:<BASE>-<QUOTE>")
    return StrategySettings(strategy_id, kind, instrument_ids, parse_params(cls, params, f"{where}.params"), enabled)


def parse_params(cls: type[Strategy], params: dict[str, Any], where: str) -> Params:
    """Return the checked parameters of a strategy class; every mistake becomes one line that says what is allowed."""
    model = cls.params_model()
    try:
        return model.model_validate(params)
    except ValidationError as exc:
        error = exc.errors(include_url=False)[0]
        dotted = ".".join(str(part) for part in (where, *error["loc"]))
        if error["type"] == "extra_forbidden":
            raise ConfigError(f"{dotted}: unknown parameter; known: {', '.join(sorted(model.model_fields))}") from exc
        raise ConfigError(f"{dotted}: {error['msg'][:1].lower()}{error['msg'][1:]}, not {error['input']!r}") from exc


def _add(catalog: dict[str, type[Strategy]], module: ModuleType) -> int:
    found = 0
    for value in vars(module).values():
        # Only classes defined here and decorated themselves: neither imported bases nor undecorated children.
        if not (isinstance(value, type) and issubclass(value, Strategy) and value.__module__ == module.__name__):
            continue
        kind = vars(value).get("kind")
        if not kind:
            continue
        other = catalog.get(kind)
        if other is not None and other is not value:
            raise ConfigError(
                f"engine.strategy_path: kind {kind!r} is in both {other.__module__} and {module.__name__}: rename one"
            )
        catalog[kind] = value
        found += 1
    return found


def _load(text: str) -> list[ModuleType]:
    path = Path(text)
    if path.is_dir():
        files = sorted(file for file in path.glob("*.py") if not file.name.startswith("_"))
        if len(files) > MAX_STRATEGY_FILES:
            raise ConfigError(f"engine.strategy_path: {path} has more than {MAX_STRATEGY_FILES} files: name one")
        return [_load_file(file) for file in files]
    if path.suffix == ".py":
        return [_load_file(path)]
    try:
        return [importlib.import_module(text)]
    except ImportError as exc:
        raise ConfigError(f"engine.strategy_path: {text} is no file, folder or importable module ({exc})") from exc


def _load_file(path: Path) -> ModuleType:
    name = f"tradebot_user_strategy_{path.stem}"
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None or not path.is_file():
        raise ConfigError(f"engine.strategy_path: {path} is not a readable Python file: check the path")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # type hints of its classes are looked up there
    try:
        spec.loader.exec_module(module)
    except Exception as exc:  # the user's file: whatever it raises is a mistake in it
        del sys.modules[name]
        raise ConfigError(f"engine.strategy_path: {path}: {type(exc).__name__}: {exc}") from exc
    return module
