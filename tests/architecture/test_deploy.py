"""docker-compose.yml and the systemd units by their shape: neither Docker nor systemd runs where these tests do."""

from __future__ import annotations

import configparser
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from cli.config import load_common
from tests.architecture.source_tree import DAEMONS, ROOT
from tradebot.runtime.identity import module_of
from tradebot.runtime.keys import APPROVAL_KEY_FILE, load_keyring

UNITS = ROOT / "deploy" / "systemd"
# simexchange is a tool of demo and paper, the console is started by hand.
PRODUCTION = ("marketdata", "engine", "riskd", "execd", "recorder", "eyes")
SERVICES = (*DAEMONS, "eyes")
"""The eyes run from riskd's package."""
KEYS = "keys"
"""Runs once, before whoever needs a key."""
JIT = {"marketdata", "engine"}
OFFLINE = {"engine", "riskd", "recorder"}


def compose() -> dict[str, Any]:
    """Return docker-compose.yml with its anchors resolved."""
    loaded: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text(encoding="utf-8"))
    return loaded


def unit_settings(daemon: str) -> dict[str, str]:
    """Return the last value of each [Service] setting: the template, then the daemon's drop-ins."""
    settings: dict[str, str] = {}
    for file in [UNITS / "tradebot@.service", *sorted((UNITS / f"tradebot@{daemon}.service.d").glob("*.conf"))]:
        parser = configparser.RawConfigParser(strict=False, delimiters=("=",), comment_prefixes=("#",))
        parser.optionxform = str  # type: ignore[assignment,method-assign]  # systemd's names keep their case
        parser.read_string(file.read_text(encoding="utf-8"))
        settings |= dict(parser["Service"])
    return settings


def test_compose_has_one_service_per_daemon_and_one_that_makes_the_keys() -> None:
    assert set(compose()["services"]) == {*SERVICES, KEYS}


@pytest.mark.parametrize("daemon", SERVICES)
def test_a_compose_service_runs_its_daemon_and_uses_what_the_file_declares(daemon: str) -> None:
    file = compose()
    service = file["services"][daemon]
    named_volumes = {volume.split(":")[0] for volume in service["volumes"]}

    assert service["command"][0] == module_of(daemon)
    assert (ROOT / service["build"]["dockerfile"]).is_file()
    assert named_volumes <= set(file["volumes"])
    assert set(service.get("depends_on", [])) <= set(file["services"])
    assert service.get("network_mode", "none") in {"none", "service:simexchange"}


def test_what_compose_runs_first_makes_every_key_that_the_daemons_read(tmp_path: Path) -> None:
    command = [
        str(tmp_path) if part == "/var/lib/tradebot" else part for part in compose()["services"][KEYS]["command"]
    ]
    done = [
        subprocess.run([sys.executable, "-m", *command, "--json"], cwd=ROOT, capture_output=True, text=True, check=True)
        for _ in range(2)
    ]
    common = load_common(ROOT / "config" / "demo.yaml", tmp_path, ())
    wanted = {name for venue in common.venues.values() for name in venue.secret_names if name}

    load_keyring(tmp_path / "keys" / APPROVAL_KEY_FILE, common.mode)
    assert {file.name for file in (tmp_path / "credentials").iterdir()} == wanted
    assert [len(json.loads(run.stdout)["made"]) for run in done] == [1 + len(wanted), 0]  # nothing is made twice


def test_whoever_needs_a_key_starts_after_they_were_made() -> None:
    services = compose()["services"]

    def waits(name: str) -> bool:
        before = services[name].get("depends_on", ())
        if KEYS in before:
            return bool(before[KEYS]["condition"] == "service_completed_successfully")
        return any(waits(other) for other in before)

    assert {name for name in SERVICES if waits(name)} >= {"simexchange", "riskd", "execd", "eyes"}


def test_the_image_installs_only_hashed_packages() -> None:
    installs = [
        line
        for line in (ROOT / "deploy" / "Dockerfile").read_text(encoding="utf-8").splitlines()
        if "pip install" in line
    ]

    assert installs
    assert all("--require-hashes" in line for line in installs)


@pytest.mark.parametrize("daemon", PRODUCTION)
def test_only_daemons_with_kernels_may_write_code_pages(daemon: str) -> None:
    assert unit_settings(daemon)["MemoryDenyWriteExecute"] == ("no" if daemon in JIT else "yes")


def test_a_snapshot_of_riskd_may_step_back_behind_it_and_does_not_take_it_along() -> None:
    settings = unit_settings("riskd")

    assert settings["SystemCallFilter"] == "setpriority"  # the last word, after @resources was forbidden
    assert settings["OOMPolicy"] == "continue"


@pytest.mark.parametrize("daemon", PRODUCTION)
def test_only_venue_daemons_have_a_network(daemon: str) -> None:
    settings = unit_settings(daemon)

    assert (settings.get("PrivateNetwork") == "yes") == (daemon in OFFLINE)
    assert ("AF_INET" in settings["RestrictAddressFamilies"]) == (daemon not in OFFLINE)


def test_a_unit_runs_the_module_of_its_daemon() -> None:
    for daemon in PRODUCTION:
        command = unit_settings(daemon)["ExecStart"].replace("%i", daemon)

        assert f" -m {module_of(daemon)} " in command


def test_reading_keys_reach_the_eyes_only_and_riskd_gets_none() -> None:
    holders = {
        path.parent.name for path in UNITS.rglob("*.conf") if "venue_read_key" in path.read_text(encoding="utf-8")
    }

    assert holders == {"tradebot@eyes.service.d"}


def test_trading_keys_reach_execd_only() -> None:
    holders = {
        path.parent.name
        for path in UNITS.rglob("*.conf")
        if "venue_api_key" in path.read_text(encoding="utf-8") and path.parent != Path(UNITS)
    }

    assert holders == {"tradebot@execd.service.d"}
