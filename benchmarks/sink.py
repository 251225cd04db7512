"""Venue stand-ins for benchmarks: `python -m benchmarks.sink discard` takes WebSocket frames and throws them away."""

from __future__ import annotations

import base64
import hashlib
import socket
import sys
from typing import Final

_MAGIC: Final = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"


def discard() -> None:
    """Accept one WebSocket client, read until it goes."""
    server = socket.create_server(("127.0.0.1", 0))
    print(f"PORT {server.getsockname()[1]}", flush=True)
    client, _ = server.accept()
    request = b""
    while b"\r\n\r\n" not in request:
        request += client.recv(4096)
    key = next(
        line.split(b":")[1].strip() for line in request.split(b"\r\n") if line.lower().startswith(b"sec-websocket-key")
    )
    accept = base64.b64encode(hashlib.sha1(key + _MAGIC, usedforsecurity=False).digest())
    client.sendall(
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Accept: " + accept + b"\r\n\r\n"
    )
    while client.recv(1 << 16):
        pass


if __name__ == "__main__":
    if sys.argv[1:] != ["discard"]:
        sys.exit("usage: python -m benchmarks.sink discard")
    discard()
