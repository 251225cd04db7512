"""One configured strategy as it runs: its objects, switch, counters, and the intents it waits for."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from engine.bars import NEVER_NS
from engine.holdings import Holding
from engine.markets import Market
from engine.strategy import Params, Strategy, protection_of
from engine.working import WorkingOrder
from tradebot.core.orders import OrderRole

ANSWER_GRACE_NS: Final = 5_000_000_000
"""An intent without any answer this long after it expired is taken as lost."""


@dataclass(frozen=True, slots=True)
class StrategySettings:
    """One entry of the configuration, parameters already checked."""

    strategy_id: str
    kind: str
    instrument_ids: tuple[str, ...]
    params: Params
    enabled: bool = True


class Slot:
    """What one strategy has going on in one market."""

    __slots__ = ("entry_id", "entry_until_ns", "exit_id", "exit_until_ns", "holding", "market", "orders", "run")

    def __init__(self, run: StrategyRun, market: Market, holding: Holding) -> None:
        self.run = run
        self.market = market
        self.holding = holding
        self.orders: dict[str, WorkingOrder] = {}
        """Everything that has not ended, by intent id."""
        self.entry_id = ""
        """Intent of the entry under way; the next one waits for its end."""
        self.entry_until_ns = NEVER_NS
        self.exit_id = ""
        self.exit_until_ns = NEVER_NS

    def is_busy(self, role: OrderRole, now_ns: int) -> bool:
        """Return whether an intent of this role is still under way."""
        if role is OrderRole.ENTRY:
            return bool(self.entry_id) and now_ns <= self.entry_until_ns
        return bool(self.exit_id) and now_ns <= self.exit_until_ns

    def open(self, order: WorkingOrder, until_ns: int) -> None:
        """Remember the intent just proposed."""
        role, intent_id = order.role, order.intent_id
        self.orders[intent_id] = order
        if role is OrderRole.ENTRY:
            self.entry_id, self.entry_until_ns = intent_id, until_ns
        else:
            self.exit_id, self.exit_until_ns = intent_id, until_ns

    def accepted(self, intent_id: str, client_order_id: str) -> None:
        """It became an order: from now on only the order's end counts."""
        self.orders[intent_id].client_order_id = client_order_id
        if intent_id == self.entry_id:
            self.entry_until_ns = NEVER_NS
        elif intent_id == self.exit_id:
            self.exit_until_ns = NEVER_NS

    def done(self, intent_id: str) -> None:
        """It was refused or its order ended, or nobody will ever say."""
        self.orders.pop(intent_id, None)
        if intent_id == self.entry_id:
            self.entry_id = ""
        elif intent_id == self.exit_id:
            self.exit_id = ""


class StrategyUnit:
    """One strategy object and what it is subscribed to."""

    __slots__ = ("bars_needed", "bars_seen", "only_timer", "run", "slots", "strategy", "uses_timer", "warm")

    def __init__(self, run: StrategyRun, strategy: Strategy, slots: Sequence[Slot]) -> None:
        self.run = run
        self.strategy = strategy
        self.slots = {slot.market.instrument_id: slot for slot in slots}
        self.bars_needed = strategy.bars_needed
        self.bars_seen = dict.fromkeys(self.slots, 0)
        self.warm = self.bars_needed == 0
        """True once every market has given enough bars."""
        cls = type(strategy)
        self.uses_timer = cls.next_timer_ns is not Strategy.next_timer_ns
        self.only_timer = all(
            getattr(cls, name) is getattr(Strategy, name) for name in ("on_bar", "on_bbo", "on_trade", "on_fill")
        )
        """True when neither rows nor order events can make it want something."""

    def count_bar(self, instrument_id: str) -> None:
        """Note one more closed bar."""
        self.bars_seen[instrument_id] += 1
        if not self.warm:
            self.warm = all(seen >= self.bars_needed for seen in self.bars_seen.values())


class StrategyRun:
    """One configured strategy."""

    __slots__ = (
        "bars",
        "changed_by",
        "dropped",
        "enabled",
        "fault",
        "id_prefix",
        "intent_sequence",
        "intents",
        "last_signal",
        "last_signal_time_ns",
        "protection",
        "refusals",
        "settings",
        "signals",
        "strategy_class",
        "units",
    )

    def __init__(self, settings: StrategySettings, strategy_class: type[Strategy], incarnation: str) -> None:
        self.settings = settings
        self.strategy_class = strategy_class
        self.enabled = settings.enabled
        """May it propose entries."""
        self.changed_by = ""
        """Who switched it last."""
        self.fault = ""
        """Why it was taken out; empty while it works."""
        self.id_prefix = _id_prefix(settings.strategy_id, incarnation)
        self.intent_sequence = 0
        self.protection = protection_of(settings.params)
        self.units: list[StrategyUnit] = []
        self.signals = 0
        self.intents = 0
        self.refusals = 0
        self.dropped = 0
        """Signals that did not become intents: warming up, switched off, book not live, or an earlier one under way."""
        self.bars = 0
        self.last_signal = ""
        self.last_signal_time_ns = 0

    @property
    def warming_up(self) -> bool:
        """True until every unit exists and has seen enough bars."""
        return not self.units or not all(unit.warm for unit in self.units)

    def next_intent_id(self) -> str:
        """Return the next id: a UUID of version 8 whose last 48 bits are the sequence number of this run."""
        self.intent_sequence += 1
        return f"{self.id_prefix}{self.intent_sequence:012x}"


def _id_prefix(strategy_id: str, incarnation: str) -> str:
    digest = hashlib.blake2b(f"{strategy_id}\0{incarnation}".encode(), digest_size=10).hexdigest()
    return f"{digest[:8]}-{digest[8:12]}-8{digest[13:16]}-b{digest[17:20]}-"
