"""What every command has in common: its options, its errors, its exit code. Imports nothing heavy: `--help` must be
instant.
"""

from __future__ import annotations

import functools
import getpass
import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from cli.exit_codes import Exit
from cli.output import complain, document, emit

INTERRUPTED = 130
MIN_REASON_CHARS = 8
"""Shortest reason that the audit takes for a loosening command."""


class OperatorRole(StrEnum):
    """Roles in which a person may act."""

    VIEWER = "viewer"
    TRADER = "trader"
    RISK = "risk"


@dataclass(frozen=True, slots=True)
class Call:
    """How this command was called."""

    json: bool
    state: Path | None
    config: Path | None
    operator: str
    role: OperatorRole

    def answer(self, value: object, lines: Sequence[str], *, ok: bool = True) -> None:
        """Print the answer in the form that was asked for."""
        emit([document(value, ok=ok)] if self.json else lines)


JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON document.", rich_help_panel="Common")]
StateOption = Annotated[
    Path | None,
    typer.Option(
        "--state",
        envvar=["TRADEBOT_STATE", "STATE"],
        help="State folder of the system that is meant. Default: the only running one.",
        rich_help_panel="Common",
    ),
]
ConfigOption = Annotated[
    Path | None,
    typer.Option("--config", help="Configuration file. Default: that of the running system.", rich_help_panel="Common"),
]
OperatorOption = Annotated[
    str | None,
    typer.Option(
        "--operator",
        envvar="TRADEBOT_OPERATOR",
        help="Who acts, for the audit. Default: you.",
        rich_help_panel="Common",
    ),
]
RoleOption = Annotated[OperatorRole, typer.Option("--role", help="Role in which you act.", rich_help_panel="Common")]

_COMMON = (
    ("json", JsonOption, False),
    ("state", StateOption, None),
    ("config", ConfigOption, None),
    ("operator", OperatorOption, None),
    ("role", RoleOption, OperatorRole.TRADER),
)


def command(app: typer.Typer, name: str) -> Callable[[Callable[..., int | None]], Callable[..., None]]:
    """Register `function(call, ...)` as a command with the common options; it returns the exit code, None for OK."""

    def register(function: Callable[..., int | None]) -> Callable[..., None]:
        own = list(inspect.signature(function, eval_str=True).parameters.values())[1:]
        keyword = inspect.Parameter.KEYWORD_ONLY
        common = [inspect.Parameter(key, keyword, default=default, annotation=kind) for key, kind, default in _COMMON]

        @functools.wraps(function)
        def run(**arguments: Any) -> None:
            picked = {key: arguments.pop(key) for key, _, _ in _COMMON}
            picked["operator"] = picked["operator"] or operator_name()
            call = Call(**picked)
            raise typer.Exit(guard(call, lambda: function(call, **arguments)))

        parameters = [parameter.replace(kind=keyword) for parameter in own]
        run.__signature__ = inspect.Signature([*parameters, *common])  # type: ignore[attr-defined]
        run.__annotations__ = {parameter.name: parameter.annotation for parameter in (*parameters, *common)}
        app.command(name)(run)
        return run

    return register


def guard(call: Call, work: Callable[[], int | None]) -> int:
    """Run a command and translate its errors into one line and an exit code."""
    from tradebot.core.errors import ConfigError, DisconnectedError, RejectedError, TradebotError

    try:
        return int(work() or Exit.OK)
    except KeyboardInterrupt:
        return INTERRUPTED
    except TradebotError as exc:
        code: int = Exit.CRASH
        if isinstance(own := getattr(exc, "exit_code", None), int):
            code = own
        elif type(exc).__name__ == "StateError" or isinstance(exc, DisconnectedError):
            code = Exit.UNREACHABLE
        elif isinstance(exc, ConfigError):
            code = Exit.USAGE
        elif isinstance(exc, RejectedError):
            code = Exit.REFUSED
        if call.json:
            emit([document({"error": str(exc), "exit_code": int(code)}, ok=False)])
        complain(str(exc))
        return code


def operator_name() -> str:
    """Return the name of the Unix user."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return "unknown"
