"""The shell every daemon runs in: flags, configuration, logs, event loop, signals, supervision, exit code.

A daemon's `__main__` is `sys.exit(run_service(Role.RISKD, RiskdConfig, serve))`. `serve(shell)` builds the daemon,
calls `shell.ready()`, awaits `shell.wait_stop()`, and takes it down in its own order. Any task that fails, and any
callback that raises, ends the process.

Exit codes: 0 stopped as asked, 2 ConfigError, 3 StateError, 70 crash. Errors an operator can act on are one line on
stderr.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import signal
import sys
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any, Generic, NoReturn

import grpc
import structlog
import uvloop

from tradebot.core.errors import ConfigError, TradebotError, TransientError
from tradebot.runtime.clock import SystemClock
from tradebot.runtime.collector import collect_when_quiet, hold_collector, settle_collector
from tradebot.runtime.config import CommonConfig, LoadedConfig, SectionT, load_config
from tradebot.runtime.credentials import SecretStore
from tradebot.runtime.identity import Role, module_of
from tradebot.runtime.logs import configure_logs
from tradebot.runtime.metrics import Metrics
from tradebot.runtime.reload import config_changes
from tradebot.runtime.sd_notify import SystemdNotifier
from tradebot.runtime.state_dir import StateError
from tradebot.runtime.task_set import TaskSet

EXIT_OK = 0
EXIT_CONFIG = 2
EXIT_STATE = 3
EXIT_CRASH = 70
_OTHER_SIDE = (grpc.RpcError, TransientError)
"""Failures of the other side: not a reason to stop when they turn up in the loop's exception handler."""

_log = structlog.get_logger(__name__)


class ServiceShell(Generic[SectionT]):
    """What `serve` gets: the process around the daemon. Everything here belongs to the loop's thread."""

    def __init__(self, role: Role, config: LoadedConfig[SectionT], args: argparse.Namespace) -> None:
        self.role = role
        self.config = config
        self.args = args
        """Parsed flags, with those added by `add_arguments`."""
        self.clock = SystemClock()
        self.metrics = Metrics(role)
        self.secrets = SecretStore(config.common.mode, config.common.credentials_dir)
        self.tasks = TaskSet(self.crash)
        self._notifier = SystemdNotifier()
        self._stop_requested = asyncio.Event()
        self._reload: Callable[[LoadedConfig[SectionT]], None] | None = None
        self._failure: BaseException | None = None
        self._serve_task: asyncio.Task[None] | None = None
        self.stop_reason = ""
        """Signal name or text of the first stop request."""

    @property
    def common(self) -> CommonConfig:
        return self.config.common

    @property
    def section(self) -> SectionT:
        """The daemon's own configuration section."""
        return self.config.section

    def configure_logs(self) -> None:
        """Set logging up from the configuration in force."""
        common = self.common
        configure_logs(self.role, common.log, common.log_file(self.role), lambda: self.secrets.seen)

    def ready(self) -> None:
        """Say that the daemon serves: systemd, the log, and the garbage collector, which never looks at what exists
        now again.
        """
        if self._notifier.watchdog_interval_s > 0:
            self.tasks.start("watchdog", self._feed_watchdog())
        settle_collector()
        self.tasks.start("collector", collect_when_quiet())
        self._notifier.ready()
        _log.info("ready", pid=os.getpid(), metrics_port=self.metrics.port)

    async def wait_stop(self) -> str:
        """Return the reason once somebody asked this process to stop (SIGTERM, SIGINT or `request_stop`)."""
        await self._stop_requested.wait()
        return self.stop_reason

    def request_stop(self, reason: str) -> None:
        """Ask for an orderly stop; `serve` does it."""
        if not self._stop_requested.is_set():
            self.stop_reason = reason
            self._stop_requested.set()
            self._notifier.stopping()
            _log.info("stopping", reason=reason)

    def crash(self, where: str, error: BaseException) -> None:
        """Stop now with a non-zero exit code: `serve` is canceled. The first failure is the one reported."""
        _log.error("crash", where=where, error=str(error), exc_info=None if isinstance(error, ConfigError) else error)
        if self._failure is None:
            self._failure = error
            if self._serve_task is not None:
                self._serve_task.cancel()

    def journal_failed(self, error: TradebotError) -> None:
        """Give this to Journal.open as `on_failure`."""
        self.crash("journal", error)

    def on_reload(self, apply: Callable[[LoadedConfig[SectionT]], None]) -> None:
        """Call `apply` on SIGHUP when only fields marked Reloadable changed. Without it SIGHUP is refused with a log
        line.
        """
        self._reload = apply

    async def run(self, serve: Callable[[ServiceShell[SectionT]], Awaitable[None]]) -> None:
        """Run the daemon to its end; raises what made it fail."""
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(self._loop_error)
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self.request_stop, number.name)
        loop.add_signal_handler(signal.SIGHUP, self._reload_config)
        self.metrics.serve(self.config.common.metrics)
        self._serve_task = asyncio.ensure_future(_as_coroutine(serve(self)))
        try:
            await self._serve_task
        except asyncio.CancelledError:
            if self._failure is None:
                raise
        finally:
            await self.tasks.cancel_all()
            self.metrics.close()
        if self._failure is not None:
            raise self._failure

    async def _feed_watchdog(self) -> None:
        while True:  # on the loop on purpose: a loop that hangs must be seen
            self._notifier.watchdog()
            await asyncio.sleep(self._notifier.watchdog_interval_s)

    def _loop_error(self, loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        error, message = context.get("exception"), context.get("message", "callback")
        if isinstance(error, Exception) and not isinstance(error, _OTHER_SIDE):
            self.crash(f"loop: {message}", error)
        else:  # e.g. a call that nobody awaited any more when its peer went away
            _log.warning("loop_warning", message=message, error=repr(error))

    def _reload_config(self) -> None:
        old = self.config
        try:
            new = load_config(old.path, self.role, type(old.section), self.args.set, self.args.state)
        except ConfigError as exc:
            _log.error("reload_refused", error=str(exc))
            return
        changes = [*config_changes(old.common, new.common), *config_changes(old.section, new.section, f"{self.role}.")]
        fixed = [change.dotted for change in changes if not change.reloadable]
        own = [change.dotted for change in changes if not change.dotted.startswith("log.")]
        if fixed or (own and self._reload is None):
            _log.error("reload_refused", keys=fixed or own, fix="restart the daemon")
            return
        self.config = new
        if len(own) < len(changes):
            self.configure_logs()
        if own and self._reload is not None:
            self._reload(new)
        _log.info("reloaded", keys=[change.dotted for change in changes])


async def _as_coroutine(work: Awaitable[None]) -> None:
    await work


def run_service(
    role: Role,
    section_model: type[SectionT],
    serve: Callable[[ServiceShell[SectionT]], Awaitable[None]],
    argv: Sequence[str] | None = None,
    add_arguments: Callable[[argparse.ArgumentParser], None] | None = None,
) -> int:
    """Run one daemon and return its exit code.

    Args:
        role: The daemon; also the name of its section, journal and sockets.
        section_model: Its configuration section.
        serve: Builds, runs and stops the daemon.
        argv: Flags; sys.argv by default.
        add_arguments: Adds the daemon's own flags; their values are in `shell.args`.
    """
    os.environ.setdefault("GRPC_VERBOSITY", "ERROR")  # its C core logs every closed connection otherwise
    try:
        args = _parse_args(role, argv, add_arguments)
        config = load_config(args.config, role, section_model, args.set, args.state)
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(_run(role, config, args, serve))
        return EXIT_OK
    except StateError as exc:
        return _complain(role, exc, EXIT_STATE)
    except ConfigError as exc:
        return _complain(role, exc, EXIT_CONFIG)
    except TradebotError as exc:
        return _complain(role, exc, EXIT_CRASH)
    except Exception as exc:  # noqa: BLE001  the top of the process
        _log.critical("crashed", error=repr(exc), exc_info=exc)
        return _complain(role, exc, EXIT_CRASH)


async def _run(
    role: Role,
    config: LoadedConfig[SectionT],
    args: argparse.Namespace,
    serve: Callable[[ServiceShell[SectionT]], Awaitable[None]],
) -> None:
    shell = ServiceShell(role, config, args)
    shell.configure_logs()
    hold_collector()
    _log.info("starting", pid=os.getpid(), config=config.redacted())
    await shell.run(serve)
    _log.info("stopped", reason=shell.stop_reason)


def _complain(role: Role, error: Exception, code: int) -> int:
    text = " ".join(str(error).split()) or repr(error)
    kind = "" if isinstance(error, TradebotError) else f"crashed: {type(error).__name__}: "
    print(f"{role}: {kind}{text}", file=sys.stderr)
    return code


class _OneLineParser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise ConfigError(f"{message}: see --help")


def _parse_args(
    role: Role, argv: Sequence[str] | None, add_arguments: Callable[[argparse.ArgumentParser], None] | None
) -> argparse.Namespace:
    parser = _OneLineParser(prog=f"python -m {module_of(role)}", allow_abbrev=False)
    parser.add_argument(
        "--config", type=Path, required=True, metavar="FILE", help="environment file, e.g. config/demo.yaml"
    )
    parser.add_argument("--state", type=Path, default=None, metavar="DIR", help="root of all state; replaces state_dir")
    parser.add_argument(
        "--set", action="append", default=[], metavar="KEY=VALUE", help="replace one value, e.g. log.level=debug"
    )
    if add_arguments is not None:
        add_arguments(parser)
    return parser.parse_args(argv)
