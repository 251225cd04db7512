"""Taking every message of a stream with a plain function."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import grpc


async def feed(messages: Any, take: Callable[[Any], None]) -> None:
    """Call `take` with every message in order; return at the end of the stream.

    Over a link `take` runs in the read callback itself, which saves each message a turn of the loop. It must not wait,
    and it runs outside the caller's context variables. What it raises ends the feeding and is raised here.

    Args:
        messages: A call (grpc.aio's or a link's), or a handler's request iterator.
        take: What to do with a message.

    Raises:
        grpc.aio.AioRpcError: If a call ends with an error.
    """
    if hasattr(messages, "feed_to"):
        await messages.feed_to(take)
    elif hasattr(messages, "read"):
        while (message := await messages.read()) is not grpc.aio.EOF:
            take(message)
    else:
        async for message in messages:
            take(message)
