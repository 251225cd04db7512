"""What the supervisor writes about itself, so that `down`, `status` and a second terminal find it.

`<state>/supervisor/status.json` is replaced atomically at each change; `<state>/supervisor/LOCK` is held while the
supervisor lives. A list of running state folders in a private folder under the system's temporary folder lets
`tradebot halt` find the only running system without being told where it is.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import stat
import tempfile
from dataclasses import asdict, dataclass, field
from pathlib import Path

from tradebot.core.errors import ConfigError

STATUS_NAME = "status.json"
LOCK_NAME = "LOCK"
MAX_STATUS_BYTES = 1 << 20
MAX_RUNNING = 64
"""Most running systems that are looked at."""


@dataclass(slots=True)
class DaemonRun:
    """One supervised daemon."""

    name: str
    pid: int = 0
    """0 when it does not run."""
    state: str = "starting"
    """starting, running, waiting (for a restart), gave_up, stopped."""
    restarts: int = 0
    exit_code: int | None = None
    """Of the last end."""
    error: str = ""
    """Last line that it wrote to standard error before it ended."""


@dataclass(slots=True)
class RunStatus:
    """The supervisor and its daemons."""

    pid: int
    mode: str
    config: str
    state: str
    started_time_ns: int
    phase: str = "running"
    """running, stopping, stopped."""
    overrides: list[str] = field(default_factory=list)
    daemons: list[DaemonRun] = field(default_factory=list)


def supervisor_dir(state: Path) -> Path:
    """Return the supervisor's own folder."""
    return state / "supervisor"


def write_status(state: Path, status: RunStatus) -> None:
    """Replace the status file; a reader sees the old or the new one, never half of it."""
    path = supervisor_dir(state) / STATUS_NAME
    partial = path.with_suffix(".new")
    partial.write_text(json.dumps(asdict(status)) + "\n", encoding="utf-8")
    partial.replace(path)


def read_status(state: Path) -> RunStatus | None:
    """Return the last status, or None when there is none that can be read."""
    path = supervisor_dir(state) / STATUS_NAME
    try:
        with path.open(encoding="utf-8") as file:
            tree = json.loads(file.read(MAX_STATUS_BYTES))
        daemons = [DaemonRun(**item) for item in tree.pop("daemons")]
        return RunStatus(**tree, daemons=daemons)
    except (OSError, ValueError, TypeError, KeyError, AttributeError):
        return None


def is_supervised(state: Path) -> bool:
    """Return whether a supervisor lives on this state folder: its lock is held."""
    try:
        fd = os.open(supervisor_dir(state) / LOCK_NAME, os.O_RDWR | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return True
    finally:
        os.close(fd)
    return False


def register(state: Path) -> None:
    """Note that a system runs on this state folder."""
    folder = _registry(create=True)
    if folder is not None:
        (folder / _key(state)).write_text(f"{state}\n", encoding="utf-8")


def unregister(state: Path) -> None:
    """Take the note away."""
    folder = _registry(create=False)
    if folder is not None:
        (folder / _key(state)).unlink(missing_ok=True)


def running_states() -> list[Path]:
    """Return the state folders of this user's running systems; notes of dead ones are removed."""
    folder = _registry(create=False)
    if folder is None:
        return []
    found: list[Path] = []
    for note in sorted(folder.iterdir())[:MAX_RUNNING]:
        state = Path(note.read_text(encoding="utf-8").strip())
        if is_supervised(state):
            found.append(state)
        else:
            note.unlink(missing_ok=True)
    return found


def find_state(explicit: Path | None, configured: Path) -> Path:
    """Return the state folder that a command is about: the one that was named, else the only running one, else the
    configured one.

    Raises:
        ConfigError: If several systems run and none was named; guessing which one to stop is worse than asking.
    """
    if explicit is not None:
        return explicit
    if is_supervised(configured):
        return configured
    running = running_states()
    if len(running) > 1:
        raise ConfigError(f"several systems run: choose one with --state: {', '.join(str(path) for path in running)}")
    return running[0] if running else configured


def _key(state: Path) -> str:
    return hashlib.sha256(os.fsencode(state.resolve())).hexdigest()[:16]


def _registry(*, create: bool) -> Path | None:
    """Return the private folder of notes, or None when it is missing or not ours alone."""
    folder = Path(tempfile.gettempdir()) / f"tradebot-{os.getuid()}"
    try:
        if create:
            folder.mkdir(mode=0o700, exist_ok=True)
        found = folder.lstat()
    except OSError:
        return None
    private = stat.S_ISDIR(found.st_mode) and found.st_uid == os.getuid() and not found.st_mode & 0o022
    return folder if private else None
