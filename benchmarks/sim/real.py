"""Real recordings as data folders, where they lie beside the project."""

from __future__ import annotations

from pathlib import Path


def recorded_folders() -> list[Path]:
    """Return the folders of the real recordings that are here."""
    return []
