"""A recorded session replays to the same decisions, and what changed is named."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from backtest.replay import find_session, main, replay
from engine.catalog import load_catalog, make_settings
from engine.runner import EngineOptions
from engine.session import Began, RecordingCore, Wanted
from engine.session_shell import SessionWriter, read_session
from tests.engine.builders import MS, T0, columns, fill_event
from tests.engine.test_breakout_atr import PARAMS, random_market
from tests.support.builders import BTC, make_instrument
from tradebot.core.errors import ConfigError
from tradebot.core.intents import IntentAnswer, IntentStatus, OrderIntent


def record(path: Path, **changes: Any) -> int:
    """Play a live session by hand: rows in small batches, timers, an answer and a fill per intent."""
    writer = SessionWriter(path)
    catalog = load_catalog()
    settings = [make_settings(catalog, "s1", "breakout_atr", (BTC,), {**PARAMS, **changes})]
    core = RecordingCore(settings, catalog, "live", EngineOptions(), (), writer)
    core.market_started("m1", [(0, make_instrument())])
    core.execution_started([], [])
    made = 0
    rows = random_market(3, 300)
    for start in range(0, len(rows), 3):
        part = rows[start : start + 3]
        now_ns = part[-1].receive_time_ns
        wishes = core.handle_rows(columns(part), range(start, start + len(part)), now_ns, now_ns)
        for request in core.history_wanted():
            core.feed_history(request.instrument_id, request.interval_ns, [], now_ns)
        timer_ns = core.next_timer_ns()
        if timer_ns is not None and timer_ns <= now_ns:
            wishes += core.handle_timer(now_ns)
        for wish in wishes:
            assert isinstance(wish, OrderIntent)
            made += 1
            core.handle_answers([IntentAnswer(wish.intent_id, IntentStatus.ACCEPTED, client_order_id=f"c{made}")])
            held = core.fold.holdings["s1", BTC].qty
            qty = "1" if wish.role.name == "ENTRY" else str(abs(held))
            core.handle_order_events([fill_event(wish, qty, str(wish.limit_price), now_ns=now_ns + MS)], now_ns + MS)
    core.set_enabled("s1", False, "test")
    core.market_lost()
    core.execution_lost()
    writer.close()
    return made


def test_a_session_replays_to_the_same_decisions(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    made = record(tmp_path / "a.session")
    report = replay(tmp_path / "a.session")

    assert made > 3
    assert (report.decisions, report.differences, report.fault) == (made, 0, "")
    assert main([str(tmp_path)]) == 0
    assert "the same decisions" in capsys.readouterr().out


def test_a_strategy_that_decides_differently_today_is_shown_with_input_and_time(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    record(tmp_path / "a.session")
    changed = SessionWriter(tmp_path / "b.session")
    for one in read_session(tmp_path / "a.session"):
        if isinstance(one, Began):
            (entry,) = one.strategies
            params = {**entry.params, "multiple": entry.params["multiple"] * 2}
            other = type(entry)(entry.id, entry.kind, entry.instruments, params, entry.enabled)
            changed(Began(one.incarnation, one.bar_grace_ns, one.isolate_faults, (other,), one.strategy_path))
        else:
            changed(one)
    changed.close()
    report = replay(tmp_path / "b.session")

    assert report.differences > 0
    assert report.shown[0].input in ("Rows", "Timer", "OrderEvents")
    assert report.shown[0].now_ns > T0
    assert main([str(tmp_path / "b.session")]) == 1
    assert "DIFFERENCES" in capsys.readouterr().out


def test_a_record_cut_short_by_a_crash_ends_the_session_and_damage_is_named(tmp_path: Path) -> None:
    record(tmp_path / "a.session")
    whole = (tmp_path / "a.session").read_bytes()
    (tmp_path / "cut.session").write_bytes(whole[:-3])
    damaged = bytearray(whole)
    damaged[len(whole) // 2] ^= 0xFF
    (tmp_path / "damaged.session").write_bytes(damaged)

    assert len(list(read_session(tmp_path / "cut.session"))) == len(list(read_session(tmp_path / "a.session"))) - 1
    assert replay(tmp_path / "cut.session").is_same
    with pytest.raises(ConfigError, match="damaged"):
        list(read_session(tmp_path / "damaged.session"))


def test_a_session_names_what_was_wanted_and_nothing_else(tmp_path: Path) -> None:
    made = record(tmp_path / "a.session")
    found = [one for one in read_session(tmp_path / "a.session") if isinstance(one, Wanted)]

    assert sum(len(one.intents) for one in found) == made
    assert all(one.intents or one.cancels for one in found)


def test_what_is_no_session_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "x.session").write_bytes(b"something else\n")

    assert main([str(tmp_path / "x.session")]) == 2
    assert "not a session of this version" in capsys.readouterr().err
    assert main([str(tmp_path / "nothing")]) == 2
    (tmp_path / "empty").mkdir()
    with pytest.raises(ConfigError, match="no session in it"):
        find_session(tmp_path / "empty")
