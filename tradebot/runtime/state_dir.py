"""A daemon's state folder: created, checked writable, and locked so that two processes never share one.

The lock is flock(2) on `<dir>/LOCK`: the kernel drops it when the process dies, however it dies, so there is no stale
lock to clear.
"""

from __future__ import annotations

import errno
import fcntl
import os
from pathlib import Path
from types import TracebackType

from tradebot.core.errors import ConfigError


class StateError(ConfigError):
    """State on disk cannot be used: locked by another process, not writable, full, or corrupt. Exit code 3."""


LOCK_NAME = "LOCK"
STATE_DIR_MODE = 0o750


class StateLock:
    """Exclusive ownership of one state folder for the life of this process."""

    def __init__(self, directory: Path, fd: int) -> None:
        self.directory = directory
        self._fd = fd

    @classmethod
    def acquire(cls, directory: Path) -> StateLock:
        """Create the folder if needed and lock it.

        Raises:
            StateError: If it cannot be written, or another process holds it (its pid is named).
        """
        prepare_state_dir(directory)
        path = directory / LOCK_NAME
        try:
            fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o640)
        except OSError as exc:
            raise _unusable(directory, exc) from exc
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as exc:
            holder = os.pread(fd, 32, 0).decode("ascii", "replace").strip() or "unknown"
            os.close(fd)
            if exc.errno not in (errno.EWOULDBLOCK, errno.EACCES):
                raise _unusable(directory, exc) from exc
            raise StateError(
                f"state folder {directory} is in use by pid {holder}: stop that process or set another state_dir"
            ) from exc
        try:
            os.ftruncate(fd, 0)
            os.pwrite(fd, f"{os.getpid()}\n".encode(), 0)
        except OSError as exc:
            os.close(fd)
            raise _unusable(directory, exc) from exc
        return cls(directory, fd)

    def release(self) -> None:
        """Give the folder up; safe to call twice."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def __enter__(self) -> StateLock:
        return self

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.release()


def prepare_state_dir(directory: Path) -> None:
    """Create the folder with its parents; StateError when it is not a folder we can write to."""
    try:
        directory.mkdir(parents=True, exist_ok=True, mode=STATE_DIR_MODE)
    except OSError as exc:
        raise _unusable(directory, exc) from exc
    if not os.access(directory, os.W_OK | os.X_OK):
        raise _unusable(directory, PermissionError(errno.EACCES, "permission denied"))


def _unusable(directory: Path, exc: OSError) -> StateError:
    reason = (exc.strerror or str(exc)).lower()
    return StateError(
        f"state folder {directory} cannot be used ({reason}): make it writable for this user or set another state_dir"
    )
