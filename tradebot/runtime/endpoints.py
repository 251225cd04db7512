"""Addresses: Unix socket paths by (daemon, caller role) and TCP addresses by daemon, and taking or giving them up.

gRPC silently unlinks and rebinds an existing socket path, so a second instance would steal the first one's callers:
here a path is taken only after a connect to it was refused.
"""

from __future__ import annotations

import grp
import os
import socket
from collections.abc import Callable
from pathlib import Path

from tradebot.core.errors import ConfigError
from tradebot.runtime.config import CommonConfig
from tradebot.runtime.identity import Role

MAX_MESSAGE_BYTES = 16 << 20
"""gRPC message bound, both directions. Hot links stay far below; replay batches and snapshots need room."""
MAX_SOCKET_PATH_BYTES = 107
"""sun_path of Linux, without the closing zero."""
SOCKET_MODE = 0o660
RUN_DIR_MODE = 0o750
_PROBE_TIMEOUT_S = 0.5


def socket_path(run_dir: Path, endpoint: str, role: Role) -> Path:
    """Return `<run_dir>/<endpoint>.<role>.sock`; the endpoint is a daemon or `<daemon>.stop`.

    Raises:
        ConfigError: If the path is too long for a Unix socket.
    """
    path = run_dir / f"{endpoint}.{role}.sock"
    length = len(os.fsencode(path))
    if length > MAX_SOCKET_PATH_BYTES:
        raise ConfigError(
            f"socket path {path} has {length} bytes, the limit is {MAX_SOCKET_PATH_BYTES}: "
            "set a shorter transport.run_dir"
        )
    return path


def dial_target(common: CommonConfig, endpoint: str, role: Role) -> str:
    """Return the gRPC target on which `endpoint` answers callers of `role`."""
    if common.transport.kind == "uds":
        return f"unix:{socket_path(common.run_dir, endpoint, role)}"
    return _tcp_address(common, endpoint, listen=False)


def listen_address(common: CommonConfig, endpoint: str) -> str:
    """Return host:port to bind for TCP."""
    return _tcp_address(common, endpoint, listen=True)


def _tcp_address(common: CommonConfig, endpoint: str, *, listen: bool) -> str:
    transport = common.transport
    address = (transport.listen.get(endpoint) if listen else None) or transport.addresses.get(endpoint)
    if not address:
        raise ConfigError(
            f"transport.addresses.{endpoint} is missing: transport.kind tcp needs host:port of every daemon"
        )
    host, colon, port = address.rpartition(":")
    if not colon or not host or not port.isdigit():
        raise ConfigError(f"transport.addresses.{endpoint}: {address!r} is not host:port")
    return address


def bind_unix(path: Path, group: str | None, bind: Callable[[str], int]) -> None:
    """Take a socket path with mode 0660.

    Args:
        path: Where; a dead socket there is replaced, a live one is not.
        group: Unix group that may connect, or None for our own.
        bind: The gRPC server's add_insecure_port.

    Raises:
        ConfigError: If somebody is listening there, or the folder cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=RUN_DIR_MODE)
        if _somebody_listens(path):
            raise ConfigError(f"socket {path} is in use: another instance runs; stop it or set another state folder")
        path.unlink(missing_ok=True)
        old_umask = os.umask(0o777 & ~SOCKET_MODE)  # from its first moment the socket has the right mode
        try:
            bind(f"unix:{path}")
        finally:
            os.umask(old_umask)
        if group is not None:
            os.chown(path, -1, grp.getgrnam(group).gr_gid)
    except KeyError as exc:
        raise ConfigError(f"transport.groups: there is no Unix group {group!r}: create it or correct the name") from exc
    except (OSError, RuntimeError) as exc:  # RuntimeError is how gRPC says that binding failed
        reason = exc.strerror if isinstance(exc, OSError) else "gRPC could not bind"
        raise ConfigError(f"socket {path} cannot be created ({reason}): check transport.run_dir") from exc


def bind_tcp(address: str, bind: Callable[[str], int]) -> int:
    """Take a TCP address and return its port.

    Raises:
        ConfigError: If it is taken or not ours.
    """
    try:
        return bind(address)
    except RuntimeError as exc:
        raise ConfigError(
            f"address {address} cannot be bound: it is taken or not ours; change transport.listen"
        ) from exc


def _somebody_listens(path: Path) -> bool:
    if not path.exists():
        return False
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.settimeout(_PROBE_TIMEOUT_S)
        try:
            probe.connect(str(path))
        except (ConnectionRefusedError, FileNotFoundError):
            return False
        except TimeoutError:  # a full backlog: somebody is there and busy
            return True
        return True
