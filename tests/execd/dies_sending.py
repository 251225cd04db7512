"""A process that is killed the moment an order has left it: `python -m tests.execd.dies_sending STATE URLS`.

execd's real shell with its risk daemon inside, so both die: nothing but ASK is on disk then.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

from tests.execd.live_kit import QUICK, LiveKit
from tests.support.builders import BTC
from tradebot.core.orders import Side


async def main(state: Path, urls: dict[str, str]) -> None:
    """Start, buy, die."""
    kit = LiveKit(cast(Any, SimpleNamespace(**urls)), state, QUICK)
    await kit.start()
    send = kit.session.send

    def send_and_die(data: bytes) -> bool:
        sent = send(data)
        if b"order.place" in data:
            os.kill(os.getpid(), signal.SIGKILL)
        return sent

    kit.session.send = send_and_die  # type: ignore[method-assign]
    await kit.until(lambda: kit.desk.state.quotes.opposite(BTC, Side.BUY) is not None, "a quote")
    kit.submit(kit.market_intent(qty="0.01"))
    await asyncio.sleep(60)


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]), json.loads(sys.argv[2])))
