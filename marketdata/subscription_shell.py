"""Writing one reader's messages: in the turn that commits the rows where the call can do that, else in its coroutine.

No timer delays a row, and no task is made per message. Over a link that takes bytes now, a row is on its way before
the frame's callback returns; the coroutine then only beats while nothing happens.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, Final

from marketdata.publisher import Publisher, Reader, TooSlowError
from tradebot.runtime.clock import NS_PER_S
from tradebot.runtime.stream_hub import HEARTBEAT_S
from tradebot.runtime.wakeup import Wakeup

HEARTBEAT_NS: Final = int(HEARTBEAT_S * NS_PER_S)


class Subscription:
    """One reader's call. All methods belong to the loop's thread."""

    def __init__(
        self,
        publisher: Publisher,
        reader: Reader,
        context: Any,
        now_ns: Callable[[], int],
        heartbeat: Callable[[int], bytes],
        pause_s: float,
    ) -> None:
        """Prepare.

        Args:
            publisher: Told when something was handed out.
            reader: Whose messages these are.
            context: The call; a link's can write at once, grpc.aio's cannot.
            now_ns: The clock.
            heartbeat: Makes the message of a quiet second from the reader's conflated rows.
            pause_s: Wanted pause between messages; 0 = none.
        """
        self._publisher = publisher
        self._reader = reader
        self._context = context
        self._now_ns = now_ns
        self._heartbeat = heartbeat
        self._pause_s = pause_s
        self._wakeup = Wakeup()
        self._wrote_ns = 0

    async def run(self, header: bytes) -> None:
        """Write until the call ends; the header travels with the first rows, because messages join by concatenation.

        Raises:
            TooSlowError: If this lossless reader's place in the log is gone.
        """
        reader, wakeup, now_ns = self._reader, self._wakeup, self._now_ns
        direct = not self._pause_s and hasattr(self._context, "write_now")
        reader.wake = self._push if direct else wakeup.wake
        await self._write(header + reader.next_message(now_ns()))
        while True:
            message = reader.next_message(now_ns())
            if not message:
                await wakeup.wait(HEARTBEAT_S)
                message = reader.next_message(now_ns())
                if not message:  # woken for rows that the filter leaves out, or by nothing at all
                    if now_ns() - self._wrote_ns < HEARTBEAT_NS:
                        continue
                    message = self._heartbeat(reader.conflated_rows)
            await self._write(message)
            if self._pause_s:
                await asyncio.sleep(self._pause_s)

    async def _write(self, message: bytes) -> None:
        self._publisher.on_handed_out()
        self._wrote_ns = self._now_ns()
        await self._context.write(message)

    def _push(self) -> None:
        """Write now, unless the coroutine is writing or the peer takes nothing: then it goes on with what is there."""
        context = self._context
        if not self._wakeup.waiting or not context.takes_now:
            self._wakeup.wake()
            return
        now_ns = self._now_ns()
        try:
            message = self._reader.next_message(now_ns)
        except TooSlowError:
            self._wakeup.wake()  # the coroutine finds the same, and ends the call
            return
        if message:
            self._wrote_ns = now_ns
            context.write_now(message)
            self._publisher.on_handed_out()
