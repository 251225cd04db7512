"""A real daemon for the tests of the process shell: `python -m tests.runtime.echo_daemon --config FILE --state DIR
[--fail HOW]`.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
from typing import Annotated

from tests.runtime.echo_service import TABLE, EchoServicer, echo_binding
from tradebot.core.errors import InvariantError
from tradebot.runtime.config import ConfigModel, JournalConfig, LoadedConfig
from tradebot.runtime.grpc_server import RpcServer
from tradebot.runtime.identity import Role
from tradebot.runtime.journal import Journal
from tradebot.runtime.reload import Reloadable
from tradebot.runtime.service_main import ServiceShell, run_service


class EchoConfig(ConfigModel):
    greeting: Annotated[str, Reloadable()] = "hello"
    fixed: int = 1
    journal: JournalConfig = JournalConfig(segment_mib=1)


async def serve(shell: ServiceShell[EchoConfig]) -> None:
    loop = asyncio.get_running_loop()
    journal = Journal.open(
        shell.common.journal_dir(shell.role),
        clock=shell.clock,
        segment_bytes=shell.section.journal.segment_bytes,
        loop=loop,
        on_failure=shell.journal_failed,
    )
    server = RpcServer(shell.role, shell.common, [echo_binding(EchoServicer())], table=TABLE, on_crash=shell.crash)
    await server.start()
    shell.on_reload(say_greeting)
    await server.set_serving(True)
    shell.ready()
    print("READY", flush=True)
    match shell.args.fail:
        case "task":
            shell.tasks.start("doomed", fail())
        case "callback":
            loop.call_soon(fail_now)
        case "serve":
            raise InvariantError("serve failed")
        case _:
            pass
    print("STOP", await shell.wait_stop(), flush=True)
    await server.stop(0)
    journal.append(1, b"stopped in order")
    journal.close()


def say_greeting(config: LoadedConfig[EchoConfig]) -> None:
    print("RELOADED", config.section.greeting, flush=True)


async def fail() -> None:
    fail_now()


def fail_now() -> None:
    raise InvariantError("two plus two is five")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--fail", choices=["task", "callback", "serve"])


if __name__ == "__main__":
    sys.exit(run_service(Role.RISKD, EchoConfig, serve, add_arguments=add_arguments))
