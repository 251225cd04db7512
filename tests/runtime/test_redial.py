"""A link is redialled for ever after the other side's failures, and never after our own bug."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Sequence

import pytest
from structlog.testing import capture_logs

from tradebot.core.errors import DisconnectedError
from tradebot.runtime.grpc_client import redial


class Link:
    """Sessions that end as scripted."""

    def __init__(self, endings: Sequence[BaseException | None]) -> None:
        self._endings = list(endings)
        self.sessions = 0

    async def session(self) -> None:
        self.sessions += 1
        ending = self._endings.pop(0) if self._endings else ValueError("bug")
        if ending is not None:
            raise ending


@pytest.fixture
def waits(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Seconds that were slept; no time passes."""
    slept: list[float] = []

    async def sleep(seconds: float) -> None:
        slept.append(seconds)

    monkeypatch.setattr(asyncio, "sleep", sleep)
    return slept


async def test_it_dials_again_after_a_closed_or_broken_link_and_stops_at_our_bug(waits: list[float]) -> None:
    link = Link([None, DisconnectedError("gone"), None])
    with pytest.raises(ValueError, match="bug"):
        await redial("riskd", link.session)

    assert link.sessions == 4


async def test_waits_grow_to_one_second_with_jitter_downwards_only(waits: list[float]) -> None:
    link = Link([DisconnectedError("gone")] * 8)
    with pytest.raises(ValueError, match="bug"):
        await redial("riskd", link.session, random.Random(7))

    bounds = [0.2, 0.4, 0.8, 1.0, 1.0, 1.0, 1.0, 1.0]
    assert all(bound / 2 <= wait <= bound for wait, bound in zip(waits, bounds, strict=True))


async def test_the_same_reason_is_logged_once_not_every_second(waits: list[float]) -> None:
    link = Link([DisconnectedError("gone")] * 5 + [DisconnectedError("refused")] * 5)
    with capture_logs() as lines, pytest.raises(ValueError, match="bug"):
        await redial("riskd", link.session)

    assert [(line["event"], line["reason"]) for line in lines] == [("link_down", "gone"), ("link_down", "refused")]


async def test_a_call_that_the_session_canceled_itself_is_a_broken_link_not_the_end(waits: list[float]) -> None:
    link = Link([asyncio.CancelledError(), None])
    with pytest.raises(ValueError, match="bug"):
        await redial("riskd", link.session)

    assert link.sessions == 3


async def test_canceling_ends_it() -> None:
    task = asyncio.ensure_future(redial("riskd", asyncio.Event().wait))  # type: ignore[arg-type]
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
