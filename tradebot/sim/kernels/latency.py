"""How long a request takes to the exchange and a response back."""

from __future__ import annotations

from tradebot.sim.kernels import layout as at
from tradebot.sim.kernels.jit import compiled
from tradebot.sim.kernels.memory import Handle, words


@compiled
def request_time(market: Handle, sent_ns: int) -> int:
    """Return when a request sent now is at the exchange."""
    return sent_ns + words(market)[at.ENTRY_LATENCY]


@compiled
def response_time(market: Handle, happened_ns: int) -> int:
    """Return when the strategy learns of what happens at the exchange now."""
    return happened_ns + words(market)[at.RESPONSE_LATENCY]
