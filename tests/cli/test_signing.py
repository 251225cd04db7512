"""The command signs what loosens with the operator's own key; a real riskd on sockets verifies it."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path
from typing import Any

import pytest
import yaml

from cli.client import Daemons, limits_hash
from cli.signing import load_operator_key
from riskd.limits import parse_limits
from tests.riskd.kit import OPERATOR_KEYS, TEAM, limits_tree
from tests.riskd.live_kit import Live, running
from tradebot.core.errors import ConfigError
from tradebot.core.levels import Scope, ScopeKind, TradingLevel
from tradebot.runtime.clock import ManualClock
from tradebot.runtime.identity import Role


def key_file(folder: Path, text: str, mode: int = 0o600) -> Path:
    path = folder / "operator.key"
    path.write_text(text, encoding="utf-8")
    path.chmod(mode)
    return path


def test_a_key_file_is_read_and_a_bad_one_says_what_to_do(tmp_path: Path) -> None:
    assert load_operator_key(key_file(tmp_path, "01" * 32 + "\n")).private_bytes_raw() == bytes([1]) * 32
    for text, mode, told in (("01" * 32, 0o644, "chmod 600"), ("zz" * 32, 0o600, "not hex"), ("01", 0o600, "64 hex")):
        with pytest.raises(ConfigError, match=told):
            load_operator_key(key_file(tmp_path, text, mode))
    with pytest.raises(ConfigError, match="cannot be read"):
        load_operator_key(tmp_path / "nowhere")


def daemons(riskd: Live, operator: str, *, signed: bool = True) -> Daemons:
    role, key = OPERATOR_KEYS[operator]
    return Daemons(riskd.common, Role(role), operator, key if signed else None)


async def test_two_people_with_two_keys_loosen_limits_and_unsigned_nobody_clears(tmp_path: Path) -> None:
    text = yaml.safe_dump(limits_tree() | TEAM)
    loose = yaml.safe_dump(changed(yaml.safe_load(text)))
    phrase = f"LIMITS {limits_hash(loose)[:8]}"
    seen: list[Any] = []

    def act() -> None:
        """In a thread: the command's client waits for its answers."""
        ana, bob, plain = daemons(riskd, "ana"), daemons(riskd, "bob"), daemons(riskd, "ana", signed=False)
        hold = ana.raise_hold(TradingLevel.HALTED, Scope(ScopeKind.INSTRUMENT, "binance:BTC-USDT"), "drill", "h1")
        seen.append(plain.clear(hold.hold_id, "the drill is over", "", "c1")[0])
        seen.append(ana.clear(hold.hold_id, "the drill is over", "", "c2")[0])
        seen.append(ana.set_limits(loose, "", "", "l0", dry_run=True).changes[0].ratio)
        seen.append(ana.set_limits(loose, "after the review", phrase, "l1", dry_run=False).reason)
        seen.append(bob.set_limits(loose, "after the review", phrase, "l2", dry_run=False).accepted)
        seen.append(ana.extend("H99", 60, "", "x1").reason)
        for client in (ana, bob, plain):
            client.close()

    async with running(tmp_path, ManualClock(time.time_ns()), parse_limits(text)) as riskd:
        await asyncio.to_thread(act)

        assert seen == [False, True, "1.250", "SECOND_SIGNATURE_NEEDED", True, "UNKNOWN_HOLD"]
        assert riskd.gate.limits.hash == limits_hash(loose)


def changed(tree: dict[str, Any]) -> dict[str, Any]:
    tree["checks"]["SIZ-02"]["max_notional"] = 2500
    return tree
