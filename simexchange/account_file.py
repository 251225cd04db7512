"""`<state>/simexchange/venue.jsonl`: every change of an account is in it before anybody is told of the change.

Written without fsync: what it has to survive is the end of the process, not of the machine.
"""

from __future__ import annotations

from collections.abc import Callable
from io import FileIO
from pathlib import Path
from typing import Final

from simexchange.kept import DamagedError, Head, VenueFacts, read_facts, to_line
from tradebot.runtime.state_dir import StateError, StateLock

FILE_NAME: Final = "venue.jsonl"
MIN_REWRITE_BYTES: Final = 16 << 20
"""The file is written anew when it has grown by this much, and to more than twice what it was then."""


class AccountFile:
    """The file, and the lock of its folder."""

    def __init__(self, folder: Path, head: Head, whole: Callable[[], VenueFacts]) -> None:
        """Take the folder.

        Args:
            folder: Its own folder.
            head: What the lines speak of.
            whole: Returns all that is to be kept.

        Raises:
            StateError: The folder cannot be used.
        """
        self._lock = StateLock.acquire(folder)
        self.path = folder / FILE_NAME
        self._head = head
        self._whole = whole
        self._file: FileIO | None = None
        self._size = 0
        self._rewrite_at = 0

    def read(self) -> VenueFacts | None:
        """Return what an earlier process left, None when there was none.

        Raises:
            StateError: It cannot be read, is damaged, or is of another venue.
        """
        try:
            with self.path.open("rb") as file:
                return read_facts(file, self._head)
        except FileNotFoundError:
            return None
        except OSError as exc:
            raise StateError(f"{self.path} cannot be read ({exc.strerror}): make it readable") from exc
        except DamagedError as exc:
            raise StateError(
                f"{self.path}: {exc}: put back what it was, or start on a new state folder (nothing else knows what "
                "this venue held)"
            ) from exc

    def rewrite(self) -> None:
        """Replace the file by all that is true now; from here on changes are added to it."""
        self._close_file()
        partial = self.path.with_suffix(".new")
        self._file, self._size = FileIO(partial, "w"), 0
        self._write(to_line(self._head))
        self._write(to_line(self._whole()))
        partial.replace(self.path)
        self._rewrite_at = max(2 * self._size, self._size + MIN_REWRITE_BYTES)

    def add(self, change: VenueFacts) -> None:
        """Keep a change. An error is not to be survived: the account would be ahead of its file."""
        self._write(to_line(change))
        if self._size >= self._rewrite_at:
            self.rewrite()

    def close(self) -> None:
        """Give file and folder up; safe to call twice."""
        self._close_file()
        self._lock.release()

    def _write(self, line: bytes) -> None:
        assert self._file is not None, "rewrite() first"
        if self._file.write(line) != len(line):
            raise StateError(f"{self.path} cannot be written (disk full): make room")
        self._size += len(line)

    def _close_file(self) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None
