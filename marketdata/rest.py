"""Public REST of one venue: a small aiohttp client that keeps the request budget and obeys Retry-After.

Only GETs that may be repeated go through here; retries are the caller's decision.
"""

from __future__ import annotations

import asyncio
from typing import Final

import aiohttp

from marketdata.budget import RateBudget
from tradebot.core.errors import DisconnectedError, RateLimitedError, RejectedError
from tradebot.runtime.clock import NS_PER_S, Clock
from tradebot.venues.api import MarketDataVenue, RestRequest

MAX_BODY_BYTES: Final = 32 << 20
"""A larger answer is not market data."""
MAX_BUDGET_WAIT_NS: Final = 20 * NS_PER_S
"""Longer waits are given back to the caller."""
_CHUNK_BYTES: Final = 1 << 16


class RestClient:
    """One venue's public endpoints."""

    def __init__(
        self, venue: MarketDataVenue, base_url: str, clock: Clock, *, timeout_s: float, weight_share: float
    ) -> None:
        limit = venue.spec.weight_limit
        self._venue = venue
        self._base_url = base_url.rstrip("/")
        self._clock = clock
        self._timeout = aiohttp.ClientTimeout(total=timeout_s)
        self._budget = RateBudget(limit.weight_per_window * weight_share, int(limit.window_s * NS_PER_S))
        self._session: aiohttp.ClientSession | None = None
        self.requests = 0
        self.failures = 0

    async def get(self, request: RestRequest) -> bytes:
        """Return the body of a successful answer.

        Raises:
            RateLimitedError: We or the venue say that it is too much; carries how long to wait.
            DisconnectedError: No answer, or the venue is out of order.
            RejectedError: The venue refuses this request; repeating it is pointless.
        """
        await self._wait_for_budget(request)
        self.requests += 1
        try:
            status, headers, body = await self._fetch(request)
        except (aiohttp.ClientError, TimeoutError, OSError) as exc:
            self.failures += 1
            raise DisconnectedError(f"{self._base_url}{request.path}: {str(exc) or type(exc).__name__}") from exc
        now_ns = self._clock.now_ns()
        limits = self._venue.read_limits(status, headers, body)
        if limits.used_weight is not None:
            self._budget.observe(limits.used_weight * 1.0, now_ns)
        if not limits.error:
            return body
        self.failures += 1
        text = f"{self._base_url}{request.path}: {limits.error}"
        if limits.retry_after_s is not None:
            retry_ns = int(limits.retry_after_s * NS_PER_S)
            self._budget.block(retry_ns, now_ns)
            raise RateLimitedError(text, retry_ns)
        if status >= 500:
            raise DisconnectedError(text)
        raise RejectedError("VENUE_REFUSED", text)

    async def close(self) -> None:
        """Close the connections."""
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def _wait_for_budget(self, request: RestRequest) -> None:
        wait_ns = self._budget.wait_ns(request.weight, self._clock.now_ns())
        if wait_ns > MAX_BUDGET_WAIT_NS:
            raise RateLimitedError(f"request budget of {self._base_url} is used up", wait_ns)
        self._budget.spend(request.weight, self._clock.now_ns() + wait_ns)
        if wait_ns:
            await asyncio.sleep(wait_ns / NS_PER_S)

    async def _fetch(self, request: RestRequest) -> tuple[int, dict[str, str], bytes]:
        if self._session is None:
            self._session = aiohttp.ClientSession(timeout=self._timeout)
        url = self._base_url + request.path
        async with self._session.get(url, params=dict(request.params), allow_redirects=False) as response:
            body = bytearray()
            async for chunk in response.content.iter_chunked(_CHUNK_BYTES):
                body += chunk
                if len(body) > MAX_BODY_BYTES:
                    raise aiohttp.ClientPayloadError(f"answer is larger than {MAX_BODY_BYTES} bytes")
            headers = {name.lower(): value for name, value in response.headers.items()}
            return response.status, headers, bytes(body)
