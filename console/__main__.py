"""`python -m console --state DIR --config FILE [--operator NAME] [--role trader]`: read flags, build, run."""

from __future__ import annotations

import argparse
import getpass
import os
import sys
from pathlib import Path

EXIT_CONFIG = 2
EXIT_CRASH = 70
ROLES = ("viewer", "trader", "risk")


def main(arguments: list[str] | None = None) -> int:
    """Run the console and return the exit code."""
    flags = _flags(arguments)
    os.environ.setdefault("GRPC_VERBOSITY", "NONE")  # its own log lines would be written over the screen
    os.environ.setdefault("TEXTUAL_ANIMATIONS", "none")
    from tradebot.core.errors import ConfigError

    try:
        return _run(flags)
    except ConfigError as exc:
        print(f"console: {exc}", file=sys.stderr)
        return EXIT_CONFIG


def _run(flags: argparse.Namespace) -> int:
    from console.app import ConsoleApp
    from console.client import GrpcLink
    from console.config import ConsoleConfig
    from console.store import Store
    from console.view import Identity
    from tradebot._version import __version__
    from tradebot.core.errors import ConfigError
    from tradebot.runtime.clock import SystemClock
    from tradebot.runtime.config import load_config
    from tradebot.runtime.identity import Role
    from tradebot.runtime.logs import configure_logs

    # The screen is painted through standard error.
    if not (sys.stdin.isatty() and sys.stderr.isatty()):
        raise ConfigError("standard input or error is not a terminal: use `tradebot status` in scripts")
    loaded = load_config(flags.config, "console", ConsoleConfig, tuple(flags.set), flags.state)
    common = loaded.common
    # Never to the terminal, and never a folder that a system has not made.
    logs = common.state_dir / "logs"
    configure_logs("console", common.log, logs / "console.log" if logs.is_dir() else Path(os.devnull))
    clock = SystemClock()
    store = Store(Identity(common.mode, flags.operator, flags.role, __version__))

    def make_link() -> GrpcLink:
        return GrpcLink(common, loaded.section, Role(flags.role), flags.operator, store, clock)

    app = ConsoleApp(store, make_link, clock, paint_hz=loaded.section.paint_hz)
    app.run()
    if app.return_code:
        return EXIT_CRASH
    print(exit_line(str(common.mode), flags.owned))
    return 0


def exit_line(mode: str, owned: bool) -> str:
    """Return what leaving means."""
    if owned:
        return f"console left: this {mode} belongs to it and stops now"
    return "console left: trading goes on unchanged (`tradebot halt` stops it)"


def _flags(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="console", description="Operator console of a running tradebot.")
    parser.add_argument("--config", type=Path, default=Path("config/demo.yaml"), help="the environment's YAML file")
    parser.add_argument("--state", type=Path, default=None, help="state folder of the running system")
    parser.add_argument("--operator", default=getpass.getuser(), help="your name in the audit trail")
    parser.add_argument("--role", choices=ROLES, default="trader", help="what you may do")
    parser.add_argument("--set", action="append", default=[], metavar="a.b=c", help="replaces a value of the file")
    parser.add_argument("--owned", action="store_true", help="whoever started this stops the system when it is left")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main())
