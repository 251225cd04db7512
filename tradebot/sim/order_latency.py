"""The way to a venue and back, asked call by call: the kernels' latency models outside a kernels' run.

Nothing overtakes what left before it on the same way, as on one connection. Times are asked for in order.
"""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from typing import Final, NamedTuple

import numpy as np

from tradebot.core.columns import MarketColumns
from tradebot.sim.kernels.feed import Feed
from tradebot.sim.kernels.jit import compiled
from tradebot.sim.kernels.latency import entry_latency, response_time
from tradebot.sim.kernels.memory import handle_at
from tradebot.sim.kernels.simulator import Simulator
from tradebot.sim.kernels.terms import ConstantLatency, Latency, Market, SampledLatency

_NOTHING: Final = np.zeros(0, np.int64)
_OTHER_WAY: Final = 0x2545F4914F6CDD1D


@compiled
def _entry_latency(address: int, sent_ns: int) -> int:
    return entry_latency(handle_at(address), sent_ns)


@compiled
def _response_time(address: int, happened_ns: int) -> int:
    return response_time(handle_at(address), happened_ns)


class Arrival(NamedTuple):
    """What becomes of a request."""

    at_ns: int
    """When it reaches the venue; when the sender learns that it was refused."""
    is_refused: bool
    """The venue was in trouble then and did not look at it."""


class OrderLatency:
    """Both ways of one connection; each has its own model, of which it uses the half that is its own."""

    def __init__(self, entry: Latency, response: Latency) -> None:
        if isinstance(response, SampledLatency):  # else one seed would draw the same for both ways
            response = replace(response, seed=response.seed ^ _OTHER_WAY)
        self._simulators = [_simulator(entry), _simulator(response)]  # keep the memory alive
        self._entry, self._response = (int(one.block().words.ctypes.data) for one in self._simulators)
        self._reached_ns = 0
        self._answered_ns = 0

    @classmethod
    def constant(cls, entry_ns: int, response_ns: int) -> OrderLatency:
        """Return the same time for every request and every response."""
        both = ConstantLatency(entry_ns, response_ns)
        return cls(both, both)

    def arrival(self, sent_ns: int) -> Arrival:
        """Return when a request that leaves now arrives, or is known to have been refused."""
        latency_ns = _entry_latency(self._entry, sent_ns)
        if latency_ns < 0:
            return Arrival(sent_ns - latency_ns, True)
        self._reached_ns = max(self._reached_ns, sent_ns + latency_ns)
        return Arrival(self._reached_ns, False)

    def answered_ns(self, happened_ns: int) -> int:
        """Return when the sender learns of what happens at the venue now."""
        self._answered_ns = max(self._answered_ns, _response_time(self._response, happened_ns))
        return self._answered_ns


def _simulator(latency: Latency) -> Simulator:
    no_rows = MarketColumns(_NOTHING, _NOTHING, np.zeros(0, np.uint8), _NOTHING, _NOTHING)
    return Simulator([Market(Feed(no_rows, 0, 0, 0, one_order=True), Decimal(1), Decimal(1), latency, max_orders=1)])
