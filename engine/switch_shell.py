"""Remembers which strategies an operator switched off, so that a restart does not switch them on again.

Only "off" is remembered: switching on removes the entry, and a strategy that the configuration disables stays disabled
after a restart until somebody says otherwise again.
"""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tradebot.runtime.state_dir import StateError

FILE_NAME: Final = "switched_off.json"


@dataclass(frozen=True, slots=True)
class SwitchedOff:
    """Who switched a strategy off, and why."""

    changed_by: str
    reason: str
    time_ns: int


class SwitchFile:
    """The file and what it says."""

    def __init__(self, directory: Path) -> None:
        """Read the file, if there is one.

        Raises:
            StateError: If it is unreadable: starting without it might switch on what an operator switched off.
        """
        self._path = directory / FILE_NAME
        self.entries: dict[str, SwitchedOff] = {}
        try:
            text = self._path.read_text(encoding="utf-8")
        except FileNotFoundError:
            return
        except OSError as exc:
            raise StateError(f"{self._path}: cannot be read ({exc.strerror}): make it readable for this user") from exc
        try:
            tree = json.loads(text)
            self.entries = {
                name: SwitchedOff(str(value["changed_by"]), str(value["reason"]), int(value["time_ns"]))
                for name, value in tree.items()
            }
        except (ValueError, KeyError, TypeError, AttributeError) as exc:
            raise StateError(
                f"{self._path}: is damaged; it lists strategies that are switched off: write {{}} into it to clear it"
            ) from exc

    def switch_off(self, strategy_id: str, entry: SwitchedOff) -> None:
        """Remember it; returns when it is on disk."""
        self._write(self.entries | {strategy_id: entry})

    def switch_on(self, strategy_id: str) -> None:
        """Forget it; returns when it is on disk."""
        if strategy_id in self.entries:
            self._write({name: entry for name, entry in self.entries.items() if name != strategy_id})

    def _write(self, entries: dict[str, SwitchedOff]) -> None:
        tree = {
            name: {"changed_by": entry.changed_by, "reason": entry.reason, "time_ns": entry.time_ns}
            for name, entry in sorted(entries.items())
        }
        temporary = self._path.with_suffix(".tmp")
        try:
            with open(temporary, "w", encoding="utf-8") as file:
                json.dump(tree, file, indent=1)
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(self._path)
            folder = os.open(self._path.parent, os.O_RDONLY)
            try:
                os.fsync(folder)
            finally:
                os.close(folder)
        except OSError as exc:
            raise StateError(f"{self._path}: cannot be written ({exc.strerror}): free or fix the state folder") from exc
        self.entries = entries
