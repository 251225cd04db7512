"""One asynchronous reader, woken by synchronous code: the primitive under the streams."""

from __future__ import annotations

import asyncio


class Wakeup:
    """One reader waits here; anybody wakes it. Cheaper than asyncio.Event: no lock, one future per wait."""

    __slots__ = ("_loop", "_waiter")

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._waiter: asyncio.Future[bool] | None = None

    @property
    def waiting(self) -> bool:
        """True while the reader waits."""
        return self._waiter is not None

    def wake(self) -> None:
        """Let the waiting reader go on; nothing when nobody waits."""
        waiter = self._waiter
        if waiter is not None:
            self._waiter = None
            if not waiter.done():
                waiter.set_result(True)

    async def wait(self, timeout_s: float | None) -> bool:
        """Wait for `wake`; False when `timeout_s` passed first."""
        waiter: asyncio.Future[bool] = self._loop.create_future()
        self._waiter = waiter
        if timeout_s is None:
            return await waiter
        timer = self._loop.call_later(timeout_s, self._expire, waiter)
        try:
            return await waiter
        finally:
            timer.cancel()

    def _expire(self, waiter: asyncio.Future[bool]) -> None:
        if not waiter.done():
            self._waiter = None
            waiter.set_result(False)
