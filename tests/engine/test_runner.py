from __future__ import annotations

from decimal import Decimal
from typing import ClassVar

import pytest

from engine.bars import NEVER_NS, Bar
from engine.holdings import OrderFold
from engine.markets import Market
from engine.runner import EngineCore, EngineOptions
from engine.strategy import BarWindow, Params, Proposal, Proposals, SignalStrategy, Strategy, enter, leave, strategy
from tests.engine.builders import (
    ETH,
    MS,
    T0,
    Desk,
    S,
    bbo,
    book_state,
    end_event,
    feed_empty_history,
    fill_event,
    live_market,
    make_desk,
    price_path,
    trade,
)
from tests.support.builders import BTC, make_execution, make_instrument, make_terms
from tradebot.core.errors import ConfigError, InvariantError
from tradebot.core.intents import IntentAnswer, IntentStatus
from tradebot.core.market import BookState, MarketRow
from tradebot.core.order_events import OrderEvent, OrderFacts, OrderSnapshot, PositionView
from tradebot.core.orders import OrderEventKind, OrderRole, OrderStatus, OrderType, Side, TimeInForce


@strategy("probe")
class Probe(Strategy):
    """Buys on every bar while flat, sells on every bar while long; writes down what it is told."""

    def start(self) -> None:
        self.bars: list[Bar] = []
        self.fills = 0

    def on_bar(self, market: Market, bar: Bar) -> Proposals:
        self.bars.append(bar)
        holding = self.holding(market)
        return enter(Side.BUY, "probe") if holding.is_flat else leave(holding, "probe_out")

    def on_fill(self, market: Market, event: OrderEvent) -> Proposals:
        self.fills += 1
        return None


@strategy("patient")
class Patient(Probe):
    """The same after three bars."""

    @property
    def bars_needed(self) -> int:
        return 3


@strategy("ticker")
class Ticker(Strategy):
    """Wants to be woken every second."""

    def start(self) -> None:
        self.due_ns = T0
        self.stuck = False

    def on_timer(self, now_ns: int) -> Proposals:
        self.due_ns += 0 if self.stuck else S
        return enter(Side.BUY, "timer")

    def next_timer_ns(self) -> int | None:
        return self.due_ns


@strategy("dated")
class Dated(Strategy):
    """Says with each bar which one it was; never waits."""

    overlapping: ClassVar[bool] = True

    def on_bar(self, market: Market, bar: Bar) -> Proposals:
        return enter(Side.BUY, str((bar.open_time_ns - T0) // S))


@strategy("wish")
class Wish(SignalStrategy):
    """Wants what the test wrote into it."""

    wanted: float | None = None

    def window(self) -> int:
        return 1

    def signal(self, bars: BarWindow) -> float | None:
        return self.wanted


@strategy("broken")
class Broken(Strategy):
    """Raises on the first trade."""

    def on_trade(self, market: Market) -> Proposals:
        raise ZeroDivisionError("by design")


@strategy("pair")
class Pair(Strategy):
    """One object over all markets."""

    shared: ClassVar[bool] = True

    def on_trade(self, market: Market) -> Proposals:
        other = next(m for m in self.markets if m is not market)
        return [Proposal(Side.BUY, OrderRole.ENTRY, "pair", market=m) for m in (market, other)]


CLASSES = {cls.kind: cls for cls in (Probe, Patient, Ticker, Dated, Wish, Broken, Pair)}


def make_probe(kind: str = "probe", history: bool = True) -> tuple[Desk, Probe]:
    desk = make_desk(kind, {"bar_ms": 1000}, classes=CLASSES, history=history)
    probe = desk.core.runs["s1"].units[0].strategy
    assert isinstance(probe, Probe)
    return desk, probe


def answer(desk: Desk, status: IntentStatus = IntentStatus.ACCEPTED, index: int = -1) -> None:
    desk.core.handle_answers([IntentAnswer(desk.intents[index].intent_id, status)])


def test_a_closed_bar_makes_a_priced_protected_intent_with_its_context() -> None:
    desk, _ = make_probe()
    desk.take(live_market(bid=9_999, ask=10_001), trade(10_000, T0 + 100 * MS))

    (intent,) = desk.take(trade(10_010, T0 + S + 5 * MS))

    assert (intent.instrument_id, intent.side, intent.role) == (BTC, Side.BUY, OrderRole.ENTRY)
    assert (intent.order_type, intent.time_in_force) == (OrderType.LIMIT, TimeInForce.IOC)
    assert intent.limit_price == Decimal("100.06")  # best ask 100.01 plus 5 basis points, on a tick
    assert intent.qty is None
    assert intent.protection.stop_loss_fraction == Decimal("0.006")
    assert intent.created_time_ns == T0 + S + 6 * MS
    context = intent.context
    assert context.market_incarnation == "md-1"
    assert context.market_sequence == desk.sequence - 1
    assert context.market_event_time_ns == T0 + S + 5 * MS
    assert context.market_receive_time_ns == T0 + S + 6 * MS


def test_a_quote_without_a_venue_time_closes_no_bar() -> None:
    desk, probe = make_probe()
    desk.take(live_market(), trade(10_000, T0 + 100 * MS), bbo(9_999, 10_001, T0 + S + 50 * MS))
    assert probe.bars == []

    desk.take(trade(10_005, T0 + S - MS, receive_ns=T0 + S + 80 * MS), trade(10_000, T0 + S + 60 * MS))

    assert [bar.high for bar in probe.bars] == [100.05]


def test_a_quiet_bar_closes_by_the_timer_after_its_grace() -> None:
    desk, probe = make_probe()
    desk.take(live_market(), trade(10_000, T0 + 100 * MS))

    assert desk.core.next_timer_ns() == T0 + S + 250 * MS

    (intent,) = desk.timer(T0 + S + 250 * MS)

    assert len(probe.bars) == 1
    assert intent.context.market_sent_time_ns == 0  # no row caused it: no latency may be measured from it
    assert desk.core.next_timer_ns() == T0 + 2 * S + 250 * MS


def test_no_bar_closes_by_the_timer_while_the_book_is_not_live() -> None:
    desk, probe = make_probe()
    desk.take(live_market(), trade(10_000, T0 + 100 * MS), book_state(BookState.GAP, T0 + 200 * MS))

    assert desk.core.next_timer_ns() is None
    desk.timer(T0 + 10 * S)
    assert probe.bars == []


@pytest.mark.parametrize("state", [BookState.SYNCING, BookState.GAP, BookState.STALE])
def test_no_entry_is_considered_unless_the_book_is_live(state: BookState) -> None:
    desk, probe = make_probe()
    desk.take(live_market(), trade(10_000, T0 + 100 * MS), book_state(state, T0 + 200 * MS))
    desk.take(trade(10_000, T0 + S + 100 * MS))

    assert len(probe.bars) == 1
    assert desk.intents == []

    desk.take(live_market(T0 + S + 200 * MS), trade(10_000, T0 + 2 * S + 100 * MS))

    assert len(desk.intents) == 1


def test_an_exit_is_proposed_even_without_a_live_book() -> None:
    desk, _ = make_probe()
    desk.take(live_market(), trade(10_000, T0 + 100 * MS), trade(10_000, T0 + S + MS))
    desk.core.handle_order_events([fill_event(desk.intents[0], "0.05", "100")], T0 + S)
    desk.take(book_state(BookState.GAP, T0 + S + 2 * MS))

    (intent,) = desk.take(trade(10_000, T0 + 2 * S + MS))

    assert (intent.role, intent.side) == (OrderRole.EXIT, Side.SELL)
    assert (intent.order_type, intent.limit_price) == (OrderType.MARKET, None)


def test_one_entry_at_a_time_until_its_order_ends() -> None:
    desk, _ = make_probe()
    desk.take(live_market())
    desk.take(price_path([10_000] * 3))
    assert len(desk.intents) == 1

    answer(desk)
    desk.take(price_path([10_000] * 30, T0 + 3 * S))
    assert len(desk.intents) == 1

    desk.core.handle_order_events(
        [end_event(desk.intents[0], OrderEventKind.EXPIRED, OrderStatus.EXPIRED)], T0 + 40 * S
    )
    desk.take(price_path([10_000], T0 + 40 * S))

    assert len(desk.intents) == 2


def test_a_refused_entry_frees_the_way_for_the_next() -> None:
    desk, _ = make_probe()
    desk.take(live_market())
    desk.take(price_path([10_000] * 2))
    answer(desk, IntentStatus.REFUSED)
    desk.take(price_path([10_000], T0 + 2 * S))

    assert len(desk.intents) == 2
    assert desk.core.runs["s1"].refusals == 1


def test_an_intent_that_is_never_answered_blocks_only_for_a_while() -> None:
    desk, _ = make_probe()
    desk.take(live_market())
    desk.take(price_path([10_000] * 20))

    gaps = [later - earlier for earlier, later in zip(desk.times, desk.times[1:], strict=False)]
    assert gaps
    assert all(gap >= 6 * S for gap in gaps)


def test_a_position_follows_fills_net_of_base_fees_and_each_only_once() -> None:
    desk, probe = make_probe()
    desk.take(live_market(), price_path([10_000] * 2))
    event = fill_event(desk.intents[0], "0.1", "100", fee="0.0001", fee_asset="BTC")
    desk.core.handle_order_events([event, event], T0)

    holding = desk.core.fold.holdings["s1", BTC]
    assert holding.qty == Decimal("0.0999")
    assert holding.avg_price == 100
    assert probe.fills == 2


def test_dust_counts_as_flat() -> None:
    desk, _ = make_probe()
    desk.take(live_market(), price_path([10_000] * 2))
    desk.core.handle_order_events([fill_event(desk.intents[0], "0.04", "100")], T0)

    assert desk.core.fold.holdings["s1", BTC].qty == Decimal("0.04")
    assert desk.core.fold.holdings["s1", BTC].is_flat  # worth 4 USDT, the venue takes 5 and more


def test_a_partial_fill_does_not_end_the_entry() -> None:
    desk, _ = make_probe()
    desk.take(live_market(), price_path([10_000] * 2))
    answer(desk)
    part = fill_event(desk.intents[0], "0.01", "100", status=OrderStatus.PARTIALLY_FILLED)  # dust: still flat
    desk.core.handle_order_events([part], T0 + 2 * S)
    desk.take(price_path([10_000] * 3, T0 + 2 * S))

    assert len(desk.intents) == 1


def test_of_several_bars_that_close_together_only_the_newest_may_trade() -> None:
    desk = make_desk("dated", {"bar_ms": 1000}, classes=CLASSES)
    desk.take(live_market(), trade(10_000, T0 + 100 * MS), trade(10_000, T0 + 4 * S + 100 * MS))

    assert [intent.context.signal for intent in desk.intents] == ["3"]
    assert desk.core.runs["s1"].dropped == 3


@pytest.mark.parametrize(
    ("wanted", "role", "side", "strength"),
    [
        (0.5, OrderRole.ENTRY, Side.BUY, "0.5"),
        (7.0, OrderRole.ENTRY, Side.BUY, "1"),
        (-1.0, None, None, ""),  # spot cannot be sold short
        (0.0, None, None, ""),
        (None, None, None, ""),
        (float("nan"), None, None, ""),
    ],
)
def test_a_signal_opens_a_position_when_flat(
    wanted: float | None, role: OrderRole | None, side: Side | None, strength: str
) -> None:
    desk = make_desk("wish", {"bar_ms": 1000}, classes=CLASSES)
    wish = desk.core.runs["s1"].units[0].strategy
    assert isinstance(wish, Wish)
    wish.wanted = wanted
    desk.take(live_market(), price_path([10_000] * 2))

    made = [(intent.role, intent.side, intent.strength) for intent in desk.intents]
    assert made == ([] if role is None else [(role, side, Decimal(strength))])


@pytest.mark.parametrize(("wanted", "leaves"), [(1.0, False), (0.1, False), (0.0, True), (-1.0, True), (None, False)])
def test_a_signal_closes_a_long_when_it_is_gone(wanted: float | None, leaves: bool) -> None:
    desk = make_desk("wish", {"bar_ms": 1000}, classes=CLASSES)
    wish = desk.core.runs["s1"].units[0].strategy
    assert isinstance(wish, Wish)
    desk.core.execution_started([], [PositionView("s1", BTC, Decimal(1), Decimal(100))])
    wish.wanted = wanted
    desk.take(live_market(), price_path([10_000] * 2))

    assert [intent.role for intent in desk.intents] == ([OrderRole.EXIT] if leaves else [])


def test_a_reduce_is_shared_among_the_strategies_that_hold() -> None:
    fold = OrderFold()
    first, second = (fold.add_holding(name, make_instrument()) for name in ("a", "b"))
    fold.rehydrate(
        [], [PositionView("a", BTC, Decimal("0.3"), Decimal(100)), PositionView("b", BTC, Decimal("0.5"), Decimal(90))]
    )
    terms = make_terms("r", side=Side.SELL, qty="0.6")
    execution = make_execution("x", client_order_id="r", side=Side.SELL, qty="0.6", price="95")
    facts = OrderFacts(terms, "riskd", "reduce", 0, OrderRole.REDUCE, T0)
    fold.apply(OrderEvent(1, "r", OrderEventKind.FILL_COMPLETE, OrderStatus.FILLED, T0, facts, execution), T0 + 5)

    assert (first.qty, second.qty) == (Decimal(0), Decimal("0.2"))
    assert first.last_exit_ns == T0 + 5


def test_riskds_own_reduce_shrinks_the_holding() -> None:
    desk, _ = make_probe()
    desk.take(live_market(), price_path([10_000] * 2))
    desk.core.handle_order_events([fill_event(desk.intents[0], "1", "100")], T0)
    reduce = fill_event(desk.intents[0], "0.4", "99", exec_id="r1")
    facts = reduce.facts
    assert facts is not None
    execution = reduce.execution
    assert execution is not None
    desk.core.handle_order_events(
        [
            OrderEvent(
                2,
                "r",
                OrderEventKind.FILL_COMPLETE,
                OrderStatus.FILLED,
                T0,
                OrderFacts(facts.terms, "riskd", "reduce-1", 0, OrderRole.REDUCE, T0),
                type(execution)(
                    "r1", "r", BTC, Side.SELL, Decimal("0.4"), Decimal(99), Decimal(0), "USDT", execution.liquidity, T0
                ),
            )
        ],
        T0,
    )

    assert desk.core.fold.holdings["s1", BTC].qty == Decimal("0.6")


def test_nothing_is_proposed_while_execd_is_away_and_lost_intents_are_forgotten() -> None:
    desk, probe = make_probe()
    desk.take(live_market(), price_path([10_000] * 2))
    assert len(desk.intents) == 1
    desk.core.execution_lost()
    desk.take(price_path([10_000] * 3, T0 + 2 * S))
    assert len(desk.intents) == 1

    desk.core.execution_started([], [PositionView("s1", BTC, Decimal("0.2"), Decimal(100))])
    (intent,) = desk.take(price_path([10_000], T0 + 5 * S))

    assert probe.holding(desk.core.markets[BTC]).qty == Decimal("0.2")
    assert intent.role is OrderRole.EXIT


def test_a_working_order_of_an_earlier_life_holds_the_next_entry_back() -> None:
    desk, _ = make_probe()
    desk.take(live_market())
    other, _ = make_probe()
    other.take(live_market(), price_path([10_000] * 2))
    old = fill_event(other.intents[0], "1", "100").facts
    assert old is not None
    snapshot = OrderSnapshot(old, OrderStatus.UNKNOWN, "", Decimal(0), Decimal(0), "", "", "", T0)
    desk.core.execution_started([snapshot], [])
    desk.take(price_path([10_000] * 5))
    assert desk.intents == []

    desk.core.handle_order_events(
        [OrderEvent(9, old.terms.client_order_id, OrderEventKind.PROVEN_ABSENT, OrderStatus.REJECTED, T0 + 5 * S)],
        T0 + 5 * S,
    )
    desk.take(price_path([10_000], T0 + 5 * S))

    assert len(desk.intents) == 1


def test_a_strategy_that_is_off_proposes_no_entry_but_still_leaves() -> None:
    desk, _ = make_probe()
    desk.take(live_market(), price_path([10_000] * 2))
    desk.core.handle_order_events([fill_event(desk.intents[0], "1", "100")], T0 + 2 * S)
    run = desk.core.set_enabled("s1", False, "trader")
    assert run is not None

    (intent,) = desk.take(price_path([10_000], T0 + 2 * S))
    assert intent.role is OrderRole.EXIT
    desk.core.handle_order_events([fill_event(intent, "1", "100", exec_id="out")], T0 + 3 * S)
    desk.take(price_path([10_000] * 3, T0 + 3 * S))
    assert len(desk.intents) == 2

    desk.core.set_enabled("s1", True, "trader")
    desk.take(price_path([10_000], T0 + 6 * S))

    assert len(desk.intents) == 3
    assert run.changed_by == "trader"


def test_nothing_is_proposed_before_the_strategy_is_warm() -> None:
    desk, probe = make_probe("patient")
    desk.take(live_market(), price_path([10_000] * 4))

    assert len(probe.bars) == 3
    assert len(desk.intents) == 1
    assert desk.times == [T0 + 3 * S + 101 * MS]


def test_history_warms_without_proposing_and_held_bars_follow_it_once() -> None:
    desk, probe = make_probe("patient", history=False)
    desk.take(live_market(T0 + 1), price_path([10_000] * 4, T0))
    assert probe.bars == []
    (request,) = desk.core.history_wanted()
    assert request.bars == 3
    assert request.first_open_ns == T0 + S

    history = [Bar(T0 + k * S, T0 + (k + 1) * S, 99.0, 99.0, 99.0, 99.0, 0.0, 0) for k in range(-3, 2)]
    desk.core.feed_history(BTC, S, history, T0 + 4 * S)

    opens = [(bar.open_time_ns - T0) // S for bar in probe.bars]
    assert opens == [-3, -2, -1, 0, 1, 2]
    assert desk.intents == []
    assert desk.core.history_wanted() == []

    desk.take(price_path([10_000], T0 + 4 * S))

    assert len(desk.intents) == 1


def test_after_a_break_of_the_stream_bars_continue_from_history() -> None:
    desk, probe = make_probe()
    desk.take(live_market(), price_path([10_000] * 3))
    desk.core.market_lost()
    desk.core.market_started("md-2", [(7, make_instrument())])
    desk.take(live_market(T0 + 5 * S + 1, index=7), price_path([11_000] * 3, T0 + 6 * S, index=7))
    (request,) = desk.core.history_wanted()
    assert (request.first_open_ns, request.seen_to_ns) == (T0 + 6 * S, T0 + 2 * S)

    history = [Bar(T0 + k * S, T0 + (k + 1) * S, 99.0, 99.0, 99.0, 99.0, 0.0, 0) for k in range(7)]
    desk.core.feed_history(BTC, S, history, T0 + 9 * S)

    assert [(bar.open_time_ns - T0) // S for bar in probe.bars] == list(range(8))


def test_rows_of_other_instruments_are_ignored() -> None:
    desk, probe = make_probe()
    desk.take(live_market())
    desk.take([MarketRow(1, 3, 5, 10_000, 1, 0, T0 + 9 * S, T0 + 9 * S)])

    assert probe.bars == []


def test_a_timer_wakes_a_strategy() -> None:
    desk = make_desk("ticker", classes=CLASSES)
    desk.take(live_market(T0))

    assert desk.core.next_timer_ns() == T0
    assert len(desk.timer(T0)) == 1
    assert desk.core.next_timer_ns() == T0 + S


def test_a_timer_that_does_not_move_takes_the_strategy_out() -> None:
    desk = make_desk("ticker", classes=CLASSES, options=EngineOptions())
    ticker = desk.core.runs["s1"].units[0].strategy
    assert isinstance(ticker, Ticker)
    ticker.stuck = True
    desk.timer(T0)

    assert "did not move" in desk.core.runs["s1"].fault
    assert desk.core.next_timer_ns() is None


def test_a_strategy_that_raises_is_taken_out_and_cannot_be_switched_on() -> None:
    desk = make_desk("broken", classes=CLASSES, options=EngineOptions())
    desk.take(live_market(), trade(10_000, T0 + MS), trade(10_000, T0 + 2 * MS))
    run = desk.core.set_enabled("s1", True, "trader")

    assert run is not None
    assert run.fault == "ZeroDivisionError: by design"
    assert not run.enabled


def test_a_strategy_that_raises_ends_a_drive() -> None:
    desk = make_desk("broken", classes=CLASSES)
    with pytest.raises(InvariantError, match="s1: ZeroDivisionError"):
        desk.take(live_market(), trade(10_000, T0 + MS))


def test_a_shared_strategy_sees_all_its_markets_and_may_trade_each() -> None:
    both = [make_instrument(), make_instrument(ETH)]
    desk = make_desk("pair", classes=CLASSES, instruments=both)
    desk.take(live_market(), live_market(bid=99, ask=101, index=1), trade(10_000, T0 + MS))

    assert [intent.instrument_id for intent in desk.intents] == [BTC, ETH]
    assert [intent.limit_price for intent in desk.intents] == [Decimal("100.06"), Decimal("1.01")]


def test_intent_ids_are_unique_and_the_same_for_the_same_incarnation() -> None:
    def ids() -> list[str]:
        desk = make_desk("every_tick")
        desk.take(live_market())
        desk.take([trade(10_000, T0 + k * MS) for k in range(5)])
        return [intent.intent_id for intent in desk.intents]

    first = ids()

    assert first == ids()
    assert len(set(first)) == 5
    assert [intent_id[-12:] for intent_id in first] == [f"{k:012x}" for k in range(1, 6)]


def test_an_unknown_kind_and_a_double_id_are_refused() -> None:
    desk, _ = make_probe()
    settings = desk.core.runs["s1"].settings
    with pytest.raises(ConfigError, match="used twice"):
        EngineCore([settings, settings], CLASSES, "x")
    with pytest.raises(ConfigError, match="kind 'probe' is not one of"):
        EngineCore([settings], {}, "x")


def test_parameters_of_all_strategies_are_checked_by_range() -> None:
    with pytest.raises(ConfigError, match=r"s1\.params\.bar_ms"):
        make_desk("probe", {"bar_ms": 10}, classes=CLASSES)
    with pytest.raises(ConfigError, match=r"s1\.params\.colour: unknown parameter; known: bar_ms"):
        make_desk("probe", {"colour": 1}, classes=CLASSES)
    assert Params().bar_ns == 60 * S


def test_a_series_without_a_first_event_has_no_first_bar() -> None:
    desk, _ = make_probe(history=False)

    assert desk.core.history_wanted()[0].first_open_ns == NEVER_NS
    feed_empty_history(desk.core)
    assert desk.core.history_wanted() == []
