"""Dialling another daemon: channels for a role, and a loop that keeps a long-lived stream alive.

The library retries nothing by itself (no retry policy, no resolver configuration): whatever is sent twice is sent by
us, knowingly.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from typing import Any, NoReturn

import grpc
import structlog

from tradebot.core.errors import TransientError
from tradebot.runtime.config import CommonConfig
from tradebot.runtime.endpoints import MAX_MESSAGE_BYTES, dial_target
from tradebot.runtime.identity import DAEMON_ROLES, Role, server_name
from tradebot.runtime.links.channel import LinkChannel
from tradebot.runtime.tls import channel_credentials

MIN_RECONNECT_MS = 100
MAX_RECONNECT_MS = 1_000
KEEPALIVE_TIME_MS = 5_000
KEEPALIVE_TIMEOUT_MS = 3_000
CALL_TIMEOUT_S = 5.0
"""Default deadline of unary control calls."""

_log = structlog.get_logger(__name__)

Options = list[tuple[str, int | str]]


def open_channel(common: CommonConfig, endpoint: str, role: Role) -> Any:
    """Open a channel to a daemon, or to `<daemon>.stop`, acting as `role`. Connects lazily and reconnects within a
    second. Returns a grpc.aio.Channel, or between daemons on one machine a LinkChannel, which does the same for less.

    Raises:
        ConfigError: If address or certificates are missing.
    """
    target = dial_target(common, endpoint, role)
    if common.transport.kind == "uds" and role in DAEMON_ROLES and endpoint in DAEMON_ROLES:
        return LinkChannel(target)
    if common.transport.kind == "uds":
        return grpc.aio.insecure_channel(target, options=_options())
    return grpc.aio.secure_channel(target, channel_credentials(common, role), options=_tcp_options(endpoint))


def open_sync_channel(common: CommonConfig, endpoint: str, role: Role) -> grpc.Channel:
    """The same for plain threads: scripts, and stopping from a process whose loop may hang."""
    target = dial_target(common, endpoint, role)
    if common.transport.kind == "uds":
        return grpc.insecure_channel(target, options=_options())
    return grpc.secure_channel(target, channel_credentials(common, role), options=_tcp_options(endpoint))


async def redial(name: str, session: Callable[[], Awaitable[None]], rng: random.Random | None = None) -> NoReturn:
    """Run `session` again and again: dial, talk until the stream ends, wait 0.1 to 1 s with jitter, dial again.

    Only the other side's failures are survived (RPC errors, TransientError); a bug in `session` propagates and stops
    the daemon. A session that lasted longer than MAX_RECONNECT_MS starts the next wait from the shortest again.

    Args:
        name: For the log: one line when the link goes down and one when a later attempt lasts.
        session: One life of the stream. It returns or raises when the stream is over.
        rng: Jitter; a test passes a seeded one.
    """
    chance = rng or random.Random()
    loop = asyncio.get_running_loop()
    wait_ms, last_reason = MIN_RECONNECT_MS, ""
    while True:
        started = loop.time()
        try:
            await session()
            reason = "closed by peer"
        except grpc.aio.AioRpcError as exc:
            reason = f"{exc.code().name}: {exc.details()}"
        except TransientError as exc:
            reason = str(exc)
        except asyncio.CancelledError:
            task = asyncio.current_task()
            if task is None or task.cancelling():
                raise
            reason = "canceled here"  # grpc.aio raises this from read() when the session canceled its own call
        lasted = loop.time() - started > MAX_RECONNECT_MS / 1000
        if lasted or reason != last_reason:
            _log.warning("link_down", link=name, reason=reason)
        last_reason = reason
        wait_ms = MIN_RECONNECT_MS if lasted else min(wait_ms * 2, MAX_RECONNECT_MS)
        await asyncio.sleep(wait_ms * chance.uniform(0.5, 1.0) / 1000)


def _options() -> Options:
    return [
        ("grpc.max_receive_message_length", MAX_MESSAGE_BYTES),
        ("grpc.max_send_message_length", MAX_MESSAGE_BYTES),
        ("grpc.initial_reconnect_backoff_ms", MIN_RECONNECT_MS),
        ("grpc.min_reconnect_backoff_ms", MAX_RECONNECT_MS),  # also the time allowed for one connect
        ("grpc.max_reconnect_backoff_ms", MAX_RECONNECT_MS),
        ("grpc.enable_retries", 0),
        ("grpc.service_config_disable_resolution", 1),
        ("grpc.enable_http_proxy", 0),
        ("grpc.use_local_subchannel_pool", 1),  # two roles in one process never share a connection
    ]


def _tcp_options(endpoint: str) -> Options:
    daemon = endpoint.removesuffix(".stop")
    return [
        *_options(),
        ("grpc.ssl_target_name_override", server_name(daemon)),  # only that daemon's certificate carries this name
        ("grpc.keepalive_time_ms", KEEPALIVE_TIME_MS),
        ("grpc.keepalive_timeout_ms", KEEPALIVE_TIMEOUT_MS),
        ("grpc.keepalive_permit_without_calls", 1),
        ("grpc.http2.max_pings_without_data", 0),
    ]
