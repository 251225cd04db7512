"""systemd's readiness protocol: one datagram per message to $NOTIFY_SOCKET; nothing at all when systemd did not start
us.

Source: sd_notify(3).
"""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping


class SystemdNotifier:
    """Tells the service manager how we are."""

    def __init__(self, environment: Mapping[str, str] | None = None) -> None:
        environment = os.environ if environment is None else environment
        address = environment.get("NOTIFY_SOCKET", "")
        # A leading @ means the abstract namespace, written with a zero byte.
        self._address = "\0" + address[1:] if address.startswith("@") else address
        watchdog_usec = environment.get("WATCHDOG_USEC", "")
        watchdog_pid = environment.get("WATCHDOG_PID", "")
        meant_for_us = not watchdog_pid or watchdog_pid == str(os.getpid())
        self.watchdog_interval_s = int(watchdog_usec) / 2e6 if watchdog_usec.isdigit() and meant_for_us else 0.0
        """Send `watchdog` this often (half of what systemd allows); 0 when no watchdog is set."""

    def ready(self) -> None:
        self._send("READY=1")

    def reloading(self, monotonic_ns: int) -> None:
        self._send(f"RELOADING=1\nMONOTONIC_USEC={monotonic_ns // 1000}")

    def stopping(self) -> None:
        self._send("STOPPING=1")

    def watchdog(self) -> None:
        self._send("WATCHDOG=1")

    def status(self, text: str) -> None:
        self._send(f"STATUS={text}")

    def _send(self, message: str) -> None:
        if not self._address:
            return
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK) as out:
            try:
                out.sendto(message.encode(), self._address)
            except OSError:  # the manager is gone or busy: nothing we do depends on it
                pass
