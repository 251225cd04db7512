"""An invented moment of trading: everything the screens can show, the same each time."""

from __future__ import annotations

import math
from decimal import Decimal
from typing import Final

from console.model import (
    Beat,
    BookRow,
    Command,
    ExecdFacts,
    Ladder,
    LogEntry,
    Pnl,
    Position,
    Source,
    StopPing,
    Strategy,
    StrategyPnl,
    TradingRules,
    VenueLink,
)
from console.store import Store
from console.view import Identity
from tradebot.core.levels import TradingLevel
from tradebot.core.order_events import OrderFacts, OrderSnapshot
from tradebot.core.orders import OrderRole, OrderStatus, OrderTerms, OrderType, Side, TimeInForce

NOW_NS: Final = 1_767_535_351_204_000_000
"""2026-01-04 14:02:31.204 UTC."""
NS_PER_S: Final = 1_000_000_000
NS_PER_MS: Final = 1_000_000
BTC: Final = "simx:BTC-USDT"
ETH: Final = "simx:ETH-USDT"


def seeded_store(now_ns: int = NOW_NS, mode: str = "demo") -> Store:
    """Return a store in the middle of a demo: two positions, orders of every kind, one refusal."""
    store = Store(Identity(mode, "ana", "trader", "0.1.0"))
    seed_history(store, now_ns)
    seed_daemons(store, now_ns)
    seed_market(store, now_ns)
    seed_account(store, now_ns)
    store.all_orders(seed_orders(now_ns), now_ns)
    store.heard(Source.RISK_EVENTS, now_ns)
    store.system_level(TradingLevel.RUNNING)
    store.command(
        Command(now_ns - 1_339 * NS_PER_S, "ana", "strategy breakout switched on: 'spread is back to normal'")
    )
    store.ui(3.0, 10.0)
    return store


def seed_history(store: Store, now_ns: int) -> None:
    """An equity curve of half an hour, one value a second."""
    for second in range(1_800, 0, -1):
        phase = (1_800 - second) / 1_800
        value = 10_000 + 24 * math.sin(phase * 9.4) + 11 * math.sin(phase * 31 + 1) + 15.2 * phase
        store.pnl(_pnl(now_ns - second * NS_PER_S, f"{value:.2f}"), now_ns - second * NS_PER_S)


def seed_daemons(store: Store, now_ns: int) -> None:
    """Two heartbeats of each daemon; everybody is well."""
    items = {
        "engine": (("intents", "41"), ("signals", "44"), ("refusals", "3")),
        "riskd": (("check_us_p50", "38"), ("approvals", "112"), ("refusals", "3")),
        "execd": (("ack_latency_us_p50", "410"), ("orders_sent", "112")),
        "recorder": (("queue_rows", "12"), ("rows_written", "184220")),
    }
    for back, messages in ((1_200, 4_118_000), (200, 4_122_100)):
        at_ns = now_ns - back * NS_PER_MS
        for daemon in ("marketdata", "engine", "riskd", "execd", "recorder"):
            links = {
                "marketdata": (VenueLink("simx", "public", "live", 84, 0.0),),
                "execd": (VenueLink("simx", "private", "live", 310, 0.4),),
            }.get(daemon, ())
            figures = items.get(daemon, (("messages", str(messages)), ("gaps", "0")))
            store.beat(
                Beat(
                    daemon, f"run-{daemon}", "0.1.0", "demo", "OK", "", now_ns - 1_860 * NS_PER_S, at_ns, figures, links
                ),
                at_ns,
            )
    store.execd_facts(ExecdFacts(True, 0, 5, ""))
    for daemon, ms in (("riskd", 2.1), ("execd", 2.8)):
        store.ping(daemon, StopPing(True, ms), now_ns - 300 * NS_PER_MS)
    for back_s, level, daemon, text in (
        (508, "warning", "recorder", "flush took 3.1 s, longer than 2 s"),
        (20, "warning", "riskd", "intent refused ETH-USDT POS-02 ORDER_NOTIONAL_TOO_LARGE 512.40 > 500.00"),
        (8, "warning", "marketdata", "simx BTC-USDT sequence gap 8812 -> 8815, resync took 41 ms"),
    ):
        store.note(LogEntry(now_ns - back_s * NS_PER_S - 90 * NS_PER_MS, level, daemon, text, "9f3c11aa4471"))


def seed_market(store: Store, now_ns: int) -> None:
    """Two live books, the first with its levels."""
    rules = (
        TradingRules(BTC, Decimal("0.10"), Decimal("0.00001"), Decimal("0.00001"), Decimal(5)),
        TradingRules(ETH, Decimal("0.10"), Decimal("0.0001"), Decimal("0.0001"), Decimal(5)),
    )
    store.instruments(rules)
    store.books(
        (
            BookRow(BTC, "LIVE", Decimal("65010.10"), Decimal("65011.20"), Decimal("65010.60"), 84, 1),
            BookRow(ETH, "LIVE", Decimal("3318.40"), Decimal("3318.90"), Decimal("3318.40"), 131),
        ),
        now_ns - 200 * NS_PER_MS,
    )
    asks = "65011.20 0.05500, 65011.90 0.31000, 65012.40 1.20400, 65013.00 0.77100, 65013.60 2.01000"
    bids = "65010.10 2.11800, 65009.60 0.74400, 65009.00 0.42000, 65008.30 1.88000, 65007.70 0.96500"
    ladder = Ladder(
        BTC,
        "LIVE",
        _levels(bids),
        _levels(asks),
        now_ns - 84 * NS_PER_MS,
    )
    store.ladder(ladder, now_ns - 60 * NS_PER_MS)


def seed_account(store: Store, now_ns: int) -> None:
    """Money, positions, strategies."""
    store.pnl(_pnl(now_ns - 100 * NS_PER_MS, "10018.42"), now_ns - 100 * NS_PER_MS)
    rows = (
        _position(BTC, "breakout", "0.00769", "64870.00", "65010.10", "1.07", "64500.00", 50.0),
        _position(ETH, "reversion", "0.1504", "3325.1018", "3318.40", "-1.01", "3305.20", 49.9),
    )
    store.positions(rows, now_ns - 100 * NS_PER_MS, snapshot=True)
    store.strategies(
        (
            _strategy("breakout", 31, 29, 1, enabled=True),
            _strategy("reversion", 13, 12, 2, enabled=True),
            _strategy("carry", 0, 0, 0, enabled=False),
        ),
        now_ns - 200 * NS_PER_MS,
    )


def seed_orders(now_ns: int) -> tuple[OrderSnapshot, ...]:
    """Orders of every kind, oldest first."""
    entry, leave, protection = OrderRole.ENTRY, OrderRole.EXIT, OrderRole.PROTECTION
    limit, stop, profit = OrderType.LIMIT, OrderType.STOP_LIMIT, OrderType.TAKE_PROFIT_LIMIT
    done, new, part, no = OrderStatus.FILLED, OrderStatus.NEW, OrderStatus.PARTIALLY_FILLED, OrderStatus.REJECTED
    buy, sell = Side.BUY, Side.SELL
    why = ("POS-02", "ORDER_NOTIONAL_TOO_LARGE", "512.40 > 500.00 USDT")

    def ago(seconds: int) -> int:
        return now_ns - seconds * NS_PER_S

    return (
        _order("81e9", ETH, buy, limit, "0.15040", "3325.20", done, entry, ago(33), "reversion"),
        _order("81ea", ETH, sell, stop, "0.15040", "3301.90", new, protection, ago(32), "reversion", "3305.20"),
        _order("81ed", ETH, buy, limit, "0.15430", "3320.80", no, entry, ago(20), "reversion", why=why),
        _order("81ef", BTC, sell, stop, "0.00769", "64435.00", new, protection, ago(12), "breakout", "64500.00"),
        _order("81f0", BTC, sell, profit, "0.00769", "65640.00", new, protection, ago(12), "breakout", "65650.00"),
        _order("81f1", BTC, sell, limit, "0.00300", "65013.60", part, leave, ago(3), "breakout"),
        _order("81f2", BTC, buy, limit, "0.00400", "65009.60", new, entry, ago(2), "breakout"),
    )


def _levels(text: str) -> tuple[tuple[Decimal, Decimal], ...]:
    pairs = (part.split() for part in text.split(","))
    return tuple((Decimal(price), Decimal(qty)) for price, qty in pairs)


def _order(
    name: str,
    instrument_id: str,
    side: Side,
    order_type: OrderType,
    qty: str,
    price: str,
    status: OrderStatus,
    role: OrderRole,
    at_ns: int,
    strategy_id: str,
    trigger: str = "",
    why: tuple[str, str, str] = ("", "", ""),
) -> OrderSnapshot:
    terms = OrderTerms(
        f"1a2b000100000000000000000000{name}", instrument_id, side, order_type, Decimal(qty), Decimal(price),
        Decimal(trigger) if trigger else None, TimeInForce.GTC,
    )  # fmt: skip
    facts = OrderFacts(terms, strategy_id, f"intent-{name}", 0, role, at_ns, "", "9f3c11aa4471", f"decision-{name}")
    filled = {OrderStatus.FILLED: Decimal(qty), OrderStatus.PARTIALLY_FILLED: Decimal(qty) / 3}.get(status, Decimal(0))
    check_id, reason, detail = why
    return OrderSnapshot(
        facts, status, "", filled, Decimal(price) if filled else Decimal(0), reason, detail, check_id, at_ns
    )


def _pnl(at_ns: int, equity: str) -> Pnl:
    day = Decimal(equity) - 10_000
    return Pnl(
        time_ns=at_ns,
        currency="USDT",
        equity=Decimal(equity),
        day_pnl=day,
        day_pnl_pct=float(day / 100),
        day_limit_pct=-2.0,
        realized=Decimal("26.31"),
        unrealized=Decimal("0.06"),
        fees=Decimal("7.95"),
        gross=Decimal("999.02"),
        net=Decimal("999.02"),
        gross_limit=Decimal(5000),
        turnover=Decimal("21480.55"),
        drawdown_pct=-0.31,
        stale_inputs=0,
        strategies=(
            StrategyPnl("breakout", Decimal("22.90"), Decimal("1.07"), Decimal("5.10"), 1),
            StrategyPnl("reversion", Decimal("3.41"), Decimal("-1.01"), Decimal("2.85"), 1),
        ),
        day_start_equity=Decimal(10000),
    )


def _position(
    instrument_id: str, strategy_id: str, qty: str, average: str, mark: str, result: str, stop: str, used: float
) -> Position:
    return Position(
        venue="simx",
        instrument_id=instrument_id,
        strategy_id=strategy_id,
        qty=Decimal(qty),
        avg_price=Decimal(average),
        mark_price=Decimal(mark),
        mark_age_ms=84,
        realized=Decimal("12.40"),
        unrealized=Decimal(result),
        fees=Decimal("3.10"),
        stop_price=Decimal(stop),
        limit_used_pct=used,
        opened_ns=NOW_NS - 33 * NS_PER_S,
    )


def _strategy(name: str, signals: int, intents: int, refusals: int, *, enabled: bool) -> Strategy:
    return Strategy(name, "breakout_atr", enabled, False, (BTC, ETH), (), signals, intents, refusals, 1_860, "", "", 0)
