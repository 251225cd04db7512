"""gRPC credentials for links between hosts: mutual TLS, private CA, one certificate per role."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import grpc

from tradebot.core.errors import ConfigError
from tradebot.runtime.config import CommonConfig
from tradebot.runtime.credentials import require_private
from tradebot.runtime.identity import Role

CA_FILE = "ca.pem"


class _Pem(NamedTuple):
    ca: bytes
    certificate: bytes
    key: bytes


def server_credentials(common: CommonConfig, role: Role) -> grpc.ServerCredentials:
    """Credentials of a daemon: clients without a certificate of our CA do not get past the handshake."""
    pem = _load(common, role)
    return grpc.ssl_server_credentials([(pem.key, pem.certificate)], pem.ca, require_client_auth=True)


def channel_credentials(common: CommonConfig, role: Role) -> grpc.ChannelCredentials:
    """Credentials of a client that acts as `role`."""
    pem = _load(common, role)
    return grpc.ssl_channel_credentials(pem.ca, pem.key, pem.certificate)


def _load(common: CommonConfig, role: Role) -> _Pem:
    directory = common.transport.tls_dir
    if directory is None:
        raise ConfigError(
            "transport.tls_dir is missing: transport.kind tcp needs the folder `tradebot certs init` wrote"
        )
    key = directory / f"{role}.key"
    try:
        require_private(key)
        return _Pem(_read(directory / CA_FILE), _read(directory / f"{role}.pem"), _read(key))
    except OSError as exc:
        reason = (exc.strerror or str(exc)).lower()
        raise ConfigError(
            f"certificate file {exc.filename} cannot be read ({reason}): run `tradebot certs init`"
        ) from exc


def _read(path: Path) -> bytes:
    return path.read_bytes()
