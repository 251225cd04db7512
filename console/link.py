"""What the screens may ask of the daemons. `client.py` answers over gRPC; nothing else talks to them."""

from __future__ import annotations

from typing import Protocol

from console.model import Explanation
from console.stop_keys import StopLevel


class Link(Protocol):
    """The operator's hands. Answers are sentences for people; failures are sentences too, never exceptions."""

    async def run(self) -> None:
        """Keep every stream alive and fold what arrives into the store, for ever."""
        ...

    async def close(self) -> None:
        """Give the connections up."""
        ...

    async def stop(self, level: StopLevel) -> None:
        """Stop now: fans out, retries until acknowledged, tells the store of each answer."""
        ...

    async def cancel_order(self, client_order_id: str, reason: str) -> str:
        """Cancel one order."""
        ...

    async def set_strategy(self, strategy_id: str, enabled: bool, reason: str) -> str:
        """Switch one strategy."""
        ...

    async def clear_hold(self, hold_id: str, reason: str) -> str:
        """Clear one ONE_KEY hold."""
        ...

    async def explain(self, client_order_id: str) -> Explanation:
        """Return what led to an order."""
        ...
