"""SPC-09 after the approval: riskd's own look at how long entries rest. The venue or execd ends them first. What is
there longer all the same, or is never told to be over, holds its instrument, at which execd cancels its entries too.
"""

from __future__ import annotations

from typing import Final

from riskd.keeper import HoldKeeper
from riskd.order_settings import RestingRule
from riskd.settings import NS_PER_S
from riskd.state import RiskState
from tradebot.core.levels import ReleaseRule, Scope, ScopeKind, TradingLevel
from tradebot.core.orders import OrderRole

CAUSE: Final = "SPC-09"
SLACK_NS: Final = 5 * NS_PER_S
"""For the way of a cancel, its repetition and what the venue says to it."""


class RestingWatch:
    """See the module."""

    def __init__(self, state: RiskState, keeper: HoldKeeper, rule: RestingRule | None) -> None:
        self._state = state
        self._keeper = keeper
        self._rule = rule

    def watch(self, now_ns: int) -> None:
        """Look at every entry that is not over."""
        oldest = {} if self._rule is None else self._oldest(now_ns - self._rule.max_ns - SLACK_NS)
        for hold in list(self._state.holds.holds.values()):
            if hold.cause == CAUSE and hold.scope.name not in oldest:
                self._keeper.clear_cause(CAUSE, hold.scope, "no entry rests too long", now_ns)
        for instrument_id, (began_ns, client_order_id) in oldest.items():
            assert self._rule is not None
            age_s, most_s = (now_ns - began_ns) // NS_PER_S, self._rule.max_ns // NS_PER_S
            text = f"{client_order_id} rests for {age_s} s, limit {most_s} s"
            scope = Scope(ScopeKind.INSTRUMENT, instrument_id)
            self._keeper.raise_(TradingLevel.REDUCE_ONLY, scope, CAUSE, ReleaseRule.AUTO, now_ns, text)

    def _oldest(self, before_ns: int) -> dict[str, tuple[int, str]]:
        """Return instrument -> (since when, id) of its oldest entry that began before a time."""
        found: dict[str, tuple[int, str]] = {}
        for client_order_id, order in self._state.commitments.orders.items():
            if order.role is OrderRole.ENTRY and order.sent and order.began_ns < before_ns:
                found[order.instrument_id] = min(
                    found.get(order.instrument_id, (before_ns, "")), (order.began_ns, client_order_id)
                )
        return found
