"""Child processes of a benchmark: started, waited for by a line on stdout, always ended."""

from __future__ import annotations

import os
import queue
import subprocess
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Final

READY_TIMEOUT_S: Final = 30.0
TICKS_PER_S: Final = os.sysconf("SC_CLK_TCK")
END_TIMEOUT_S: Final = 5.0


class Member:
    """One child process whose stdout lines can be waited for."""

    def __init__(self, command: Sequence[str], stdin: int | None = None) -> None:
        self.process = subprocess.Popen(command, stdin=stdin, stdout=subprocess.PIPE, text=True)
        self._lines: queue.SimpleQueue[str] = queue.SimpleQueue()
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self._lines.put(line.rstrip("\n"))

    def wait_line(self, prefix: str, timeout_s: float = READY_TIMEOUT_S) -> str:
        """Return the first line that starts with `prefix`; raise RuntimeError when it does not come in time."""
        deadline = time.monotonic() + timeout_s
        while (left := deadline - time.monotonic()) > 0:
            try:
                line = self._lines.get(timeout=min(left, 0.5))
            except queue.Empty:
                if self.process.poll() is not None:
                    break
                continue
            if line.startswith(prefix):
                return line
        raise RuntimeError(f"{self.process.args!r}: no line {prefix!r} (exit code {self.process.poll()})")

    def cpu_s(self) -> float:
        """Return the processor time that it has used so far, all threads, user and system."""
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / TICKS_PER_S

    def terminate(self) -> int:
        """Ask it to end, insist after `END_TIMEOUT_S`, return its exit code."""
        if self.process.poll() is None:
            self.process.terminate()
        try:
            return self.process.wait(END_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            self.process.kill()
            return self.process.wait()


class Group:
    """All children of one run; leaving the block ends them, last started first."""

    def __init__(self) -> None:
        self.members: list[Member] = []

    def __enter__(self) -> Group:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        for member in reversed(self.members):
            member.terminate()

    def start(self, command: Sequence[str], *, ready: str = "", stdin: int | None = None) -> Member:
        """Start a child; with `ready`, wait for that line."""
        member = Member(command, stdin)
        self.members.append(member)
        if ready:
            member.wait_line(ready)
        return member

    def start_and_read_port(self, command: Sequence[str]) -> int:
        """Start a child that prints `PORT n` when it listens; return n."""
        return int(self.start(command).wait_line("PORT ").split()[1])
