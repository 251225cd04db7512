"""What riskd hears first: an order's first event comes before the statement that its approval was never used."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from execd.shell import EventRow, Uplink
from tests.execd.live_kit import live_kit
from tradebot.core.approvals import ApprovalAsk, SessionUp


class Listening:
    """Writes down what goes up to riskd, and passes it on."""

    def __init__(self, uplink: Uplink) -> None:
        self._uplink = uplink
        self.told: list[str] = []

    def ask(self, ask: ApprovalAsk, raw_intent: bytes) -> None:
        self._uplink.ask(ask, raw_intent)

    def events(self, rows: Sequence[EventRow], urgent: bool) -> None:
        self.told += [event.kind.name for event, _ in rows]
        self._uplink.events(rows, urgent)

    def rest(self, up: SessionUp) -> None:
        self.told += ["never used"] * len(up.never_used)
        self._uplink.rest(up)


async def test_an_approval_is_given_back_after_the_order_was_told(tmp_path: Path) -> None:
    async with live_kit(tmp_path) as kit:
        assert kit.live.uplink is not None
        kit.live.uplink = heard = Listening(kit.live.uplink)
        kit.approver.environment = "paper"  # truly signed, and not for us
        for _ in range(3):
            kit.submit(kit.market_intent())
        await kit.until(lambda: len(heard.told) >= 9, "the refusals are told")

        told = [heard.told.count(what) for what in ("ASKED", "never used", "REFUSED")]
        asked = [index for index, what in enumerate(heard.told) if what == "ASKED"]
        given_back = [index for index, what in enumerate(heard.told) if what == "never used"]
        assert told == [3, 3, 3]
        assert all(first < then for first, then in zip(asked, given_back, strict=True))
