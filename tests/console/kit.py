"""Builders, a recording link and a way to read the screen, shared by the console's tests."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from decimal import Decimal

from console.app import ConsoleApp
from console.model import Beat, Explanation, Pnl, Position, StopPing, VenueLink
from console.screenshot.__main__ import screen_text
from console.screenshot.seed import NOW_NS, seeded_store
from console.stop_keys import StopLevel
from console.store import Store
from console.view import Identity
from tradebot.core.levels import Hold, ReleaseRule, Scope, ScopeKind, TradingLevel
from tradebot.runtime.clock import ManualClock

S = 1_000_000_000
MS = 1_000_000
T0 = NOW_NS
BTC = "simx:BTC-USDT"


def make_store(role: str = "trader", mode: str = "demo") -> Store:
    """Return a store that has heard nothing."""
    return Store(Identity(mode, "ana", role, "0.1.0"))


def make_beat(
    daemon: str = "riskd",
    *,
    at_ns: int = T0,
    state: str = "OK",
    items: tuple[tuple[str, str], ...] = (),
    links: tuple[VenueLink, ...] = (),
    incarnation: str = "run-1",
    summary: str = "",
) -> Beat:
    """Return a heartbeat of a healthy daemon."""
    return Beat(daemon, incarnation, "0.1.0", "demo", state, summary, at_ns, at_ns, items, links)


def make_pnl(*, at_ns: int = T0, day: str = "-142.60", pct: float = -0.28, stale: int = 0) -> Pnl:
    """Return the money of an account with a loss of 14 % of its limit."""
    return Pnl(
        time_ns=at_ns,
        currency="USDT",
        equity=Decimal(10_000) + Decimal(day),
        day_pnl=Decimal(day),
        day_pnl_pct=pct,
        day_limit_pct=-2.0,
        realized=Decimal("-98.12"),
        unrealized=Decimal("-44.48"),
        fees=Decimal("31.40"),
        gross=Decimal(41_200),
        net=Decimal(12_050),
        gross_limit=Decimal(100_000),
        turnover=Decimal(900_000),
        drawdown_pct=-1.1,
        stale_inputs=stale,
        day_start_equity=Decimal(10_000),
    )


def make_position(
    qty: str = "0.310", *, mark: str | None = "65011.0", mark_age_ms: int = 100, stop: str | None = "64200"
) -> Position:
    """Return a protected long position with a fresh mark."""
    return Position(
        venue="simx",
        instrument_id=BTC,
        strategy_id="breakout",
        qty=Decimal(qty),
        avg_price=Decimal(64_870),
        mark_price=None if mark is None else Decimal(mark),
        mark_age_ms=mark_age_ms,
        realized=Decimal(0),
        unrealized=None if mark is None else Decimal("43.71"),
        fees=Decimal("1.20"),
        stop_price=None if stop is None else Decimal(stop),
        limit_used_pct=20.0,
        opened_ns=T0,
    )


def make_hold(
    hold_id: str = "H1",
    level: TradingLevel = TradingLevel.HALTED,
    release: ReleaseRule = ReleaseRule.ONE_KEY,
    scope: Scope | None = None,
    cause: str = "OPERATOR",
) -> Hold:
    """Return a hold of the whole system that one key clears."""
    return Hold(hold_id, level, scope or Scope(ScopeKind.SYSTEM), cause, "ana", T0, release)


class RecordingLink:
    """Stands for the daemons: remembers what was asked and answers a stop as told."""

    def __init__(self, store: Store, *, acks: tuple[str, ...] = ("riskd", "execd")) -> None:
        self.store = store
        self.acks = acks
        self.stops: list[StopLevel] = []
        self.calls: list[tuple[str, ...]] = []

    async def run(self) -> None:
        await asyncio.Event().wait()

    async def close(self) -> None:
        pass

    async def stop(self, level: StopLevel) -> None:
        self.stops.append(level)
        command_id = f"C{len(self.stops)}"
        self.store.stop_given(command_id, level, T0)
        latched = TradingLevel.HALTED if level is StopLevel.HALT else TradingLevel.KILLED
        for daemon in self.acks:
            self.store.stop_answered(command_id, daemon, StopPing(True, 11.0, latched), T0)

    async def cancel_order(self, client_order_id: str, reason: str) -> str:
        self.calls.append(("cancel", client_order_id))
        return "cancel: on its way"

    async def set_strategy(self, strategy_id: str, enabled: bool, reason: str) -> str:
        self.calls.append(("strategy", strategy_id, str(enabled), reason))
        return f"{strategy_id} switched"

    async def clear_hold(self, hold_id: str, reason: str) -> str:
        self.calls.append(("clear", hold_id, reason))
        return "hold cleared"

    async def explain(self, client_order_id: str) -> Explanation:
        return Explanation(signal="close_above_upper_keltner", missing=("the decision: riskd is down",))


class Desk:
    """An app on seeded data with a frozen clock and a recording link."""

    def __init__(self, store: Store | None = None, *, acks: tuple[str, ...] = ("riskd", "execd")) -> None:
        self.store = store or seeded_store()
        self.link = RecordingLink(self.store, acks=acks)
        self.clock = ManualClock(T0)
        make: Callable[[], RecordingLink] = lambda: self.link  # noqa: E731
        self.app = ConsoleApp(self.store, make, self.clock, paint_hz=20)

    def lines(self) -> list[str]:
        """Return the screen as it is painted, one string per line."""
        self.app.paint()
        return screen_text(self.app).splitlines()
