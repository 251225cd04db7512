"""A program on a terminal of its own, as a person would have it in front of him: painted, read by nobody."""

from __future__ import annotations

import fcntl
import os
import pty
import struct
import subprocess
import termios
import threading
import time
from collections.abc import Sequence
from types import TracebackType
from typing import Final

COLUMNS: Final = 120
ROWS: Final = 36
CHUNK_BYTES: Final = 1 << 16
SHOWN_BYTES: Final = 1 << 16
"""Of the newest output that are kept, to see what is on the screen."""
START_TIMEOUT_S: Final = 40.0
END_TIMEOUT_S: Final = 10.0


class Terminal:
    """One program on a pseudo-terminal of 120x36."""

    def __init__(self, command: Sequence[str]) -> None:
        self._leader, follower = pty.openpty()
        fcntl.ioctl(follower, termios.TIOCSWINSZ, struct.pack("HHHH", ROWS, COLUMNS, 0, 0))
        self._shown = b""
        self.painted_bytes = 0
        self.process = subprocess.Popen(
            command,
            stdin=follower,
            stdout=follower,
            stderr=follower,
            start_new_session=True,
            env={**os.environ, "TERM": "xterm-256color"},
        )
        os.close(follower)
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        while True:
            try:
                data = os.read(self._leader, CHUNK_BYTES)
            except OSError:  # the program has left its terminal
                return
            if not data:
                return
            self.painted_bytes += len(data)
            self._shown = (self._shown + data)[-SHOWN_BYTES:]

    def wait_for(self, text: str, timeout_s: float = START_TIMEOUT_S) -> None:
        """Return when the text was painted; raise RuntimeError when it is not in time, or the program has ended."""
        deadline = time.monotonic() + timeout_s
        while text.encode() not in self._shown:
            if self.process.poll() is not None or time.monotonic() > deadline:
                last = self._shown[-300:].decode(errors="replace")
                raise RuntimeError(
                    f"{self.process.args!r} never showed {text!r} (exit {self.process.poll()}): {last!r}"
                )
            time.sleep(0.05)

    def __enter__(self) -> Terminal:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.process.terminate()
        try:
            self.process.wait(END_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self._reader.join(END_TIMEOUT_S)
        os.close(self._leader)
