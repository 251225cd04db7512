"""The risk benchmarks measure what they say: every built check, none of them binding, the stated load."""

from __future__ import annotations

from benchmarks.risk.desk import INSTRUMENTS, WORKING, Desk, all_checks
from riskd.base_limits import NotApplicable
from riskd.catalogue import CATALOGUE
from riskd.gate import RiskGate
from riskd.records import MemorySink
from tradebot.core.levels import TradingLevel

START_NS = 1_763_700_000 * 1_000_000_000


def test_every_built_check_is_on_in_the_risk_benchmarks() -> None:
    checks = all_checks().checks
    off = [s.check_id for s in CATALOGUE if s.configurable and isinstance(checks[s.check_id], NotApplicable)]

    assert not off


def test_no_limit_binds_and_the_load_is_as_stated() -> None:
    sink = MemorySink()
    desk = Desk(sink, START_NS)
    desk.open()
    desk.live(120)  # raises when an entry is refused

    assert len(desk.gate.state.rules) == INSTRUMENTS
    assert len(desk.gate.state.commitments.orders) == WORKING
    assert desk.gate.state.holds.system_level() is TradingLevel.RUNNING
    assert len(desk.decide_ns) >= WORKING + 120
    fresh = RiskGate(desk.limits, environment="demo", signer=desk.gate._signer, sink=MemorySink(), venues=("binance",))
    fresh.restore(sink.records)
    assert fresh.state.digest() == desk.gate.state.digest()
