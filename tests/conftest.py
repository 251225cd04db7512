"""Fixtures every folder may use. Builders and fakes live in tests/support; nothing here imports a room."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

PROJECT_ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="session")
def project_root() -> Path:
    """The folder that holds pyproject.toml."""
    return PROJECT_ROOT


@pytest.fixture
def short_tmp_path() -> Iterator[Path]:
    """A temporary folder with a short path: a Unix socket path may have at most 107 bytes, tmp_path easily has more."""
    folder = Path(tempfile.mkdtemp(prefix="tb-", dir="/tmp"))
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def grpcurl() -> Path:
    """The real grpcurl (`make tools`). CI sets TRADEBOT_REQUIRE_COMPONENTS: then a missing one fails."""
    built = PROJECT_ROOT / ".tools" / "bin" / "grpcurl"
    found = str(built) if built.is_file() else shutil.which("grpcurl")
    if found is None:
        message = "grpcurl is not installed: run `make tools` (needs Go)"
        if os.environ.get("TRADEBOT_REQUIRE_COMPONENTS"):
            pytest.fail(message)
        pytest.skip(message)
    return Path(found)
