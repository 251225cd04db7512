"""Where a command finds configuration and state."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from cli.run_state import RunStatus, find_state, read_status
from tradebot.core.errors import ConfigError
from tradebot.runtime.config import CommonConfig, ConfigModel, load_config

PROJECT_ROOT: Final = Path(__file__).resolve().parent.parent
CONFIG_DIR: Final = PROJECT_ROOT / "config"
CONFIG_VARIABLE: Final = "TRADEBOT_CONFIG"


class CliConfig(ConfigModel):
    """The command has no settings of its own yet; its section must be empty."""


@dataclass(frozen=True, slots=True)
class Target:
    """The system that a command is about."""

    config: Path
    state: Path
    common: CommonConfig
    run: RunStatus | None
    """What the supervisor wrote, when there is or was one."""


def config_for_mode(mode: str) -> Path:
    """Return the configuration file of a mode."""
    return CONFIG_DIR / f"{mode}.yaml"


def load_common(config: Path, state: Path | None, overrides: tuple[str, ...] = ()) -> CommonConfig:
    """Return the shared part of a configuration file."""
    return load_config(config, "cli", CliConfig, overrides, state).common


def find_target(config: Path | None, state: Path | None) -> Target:
    """Return configuration and state of the system that is meant.

    An explicit state folder names a system, and its supervisor knows the configuration that it runs with. Without
    one: the only running system of this user, else the configuration's own state folder.

    Raises:
        ConfigError: If the file is unusable, or several systems run and none was named.
    """
    named = config or (Path(os.environ[CONFIG_VARIABLE]) if os.environ.get(CONFIG_VARIABLE) else None)
    if state is None:
        state = find_state(None, load_common(named or config_for_mode("demo"), None).state_dir.resolve())
    state = state.resolve()
    run = read_status(state)
    if named is None and run is not None and Path(run.config).exists():
        return Target(Path(run.config), state, load_common(Path(run.config), state, tuple(run.overrides)), run)
    path = (named or config_for_mode("demo")).resolve()
    return Target(path, state, load_common(path, state), run)


def find_target_to_stop(config: Path | None, state: Path | None) -> Target:
    """The same for HALT and KILL: a broken configuration file must not keep anybody from stopping.

    Falls back to Unix sockets under the state folder, which is where they are unless the file says otherwise.
    """
    try:
        return find_target(config, state)
    except ConfigError:
        found = find_state(state, Path("state").resolve()).resolve()
        common = CommonConfig.model_validate({"mode": "demo", "state_dir": str(found)})
        return Target(config or config_for_mode("demo"), found, common, read_status(found))
