"""riskd's section of the configuration file."""

from __future__ import annotations

from pathlib import Path

from tradebot.runtime.config import ConfigModel, JournalConfig, Mode


class RiskdConfig(ConfigModel):
    """Section `riskd`."""

    journal: JournalConfig = JournalConfig()
    limits: Path | None = None
    """Limits file, relative to the folder of the configuration file. Absent: `limits/<mode>.yaml` there."""

    def limits_path(self, config_path: Path, mode: Mode) -> Path:
        """Return the limits file."""
        return config_path.parent / (self.limits or Path("limits") / f"{mode}.yaml")
