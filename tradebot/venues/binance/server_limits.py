"""Server half, rate limits: request weight per address, unfilled orders per account, the headers that show them.

Weights and rules as documented (read 2026-11-21): 6000 weight a minute; order counters count what was placed with
success and fall by one with an order's first fill (the venue lets them fall further for makers); going on after 429
ends in a ban (418). Placing and canceling with success costs no weight since 2026-04-02.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Final

from tradebot.venues.binance.server_errors import VenueError, too_many_orders
from tradebot.venues.server_api import ServerLimits

MINUTE_MS: Final = 60_000
BAN_MS: Final = 120_000
REFUSALS_BEFORE_BAN: Final = 20
"""Requests after the first 429 of a minute until the address is banned; the venue gives no number."""
MAX_ADDRESSES: Final = 1_024
"""Addresses counted at once; the oldest is forgotten first."""


def limit_rows(limits: ServerLimits) -> list[dict[str, Any]]:
    """Return the rateLimits of exchangeInfo."""
    return [
        _row("REQUEST_WEIGHT", "MINUTE", 1, limits.weight_per_minute),
        _row("ORDERS", "SECOND", 10, limits.orders_per_10s),
        _row("ORDERS", "DAY", 1, limits.orders_per_day),
        _row("RAW_REQUESTS", "MINUTE", 5, limits.raw_per_5m),
    ]


def _row(kind: str, interval: str, number: int, limit: int) -> dict[str, Any]:
    return {"rateLimitType": kind, "interval": interval, "intervalNum": number, "limit": limit}


@dataclass(slots=True)
class _Usage:
    """One fixed window aligned to its length."""

    length_ms: int
    window: int = -1
    used: int = 0

    def at(self, now_ms: int) -> int:
        window = now_ms // self.length_ms
        if window != self.window:
            self.window, self.used = window, 0
        return self.used


@dataclass(slots=True)
class _Address:
    weight: _Usage = field(default_factory=lambda: _Usage(MINUTE_MS))
    refusals: int = 0
    banned_until_ms: int = 0


@dataclass(slots=True)
class _Orders:
    ten_seconds: _Usage = field(default_factory=lambda: _Usage(10_000))
    day: _Usage = field(default_factory=lambda: _Usage(86_400_000))


class LimitBook:
    """Counts of all addresses and accounts."""

    def __init__(self, limits: ServerLimits) -> None:
        self.limits = limits
        self._addresses: dict[str, _Address] = {}
        self._accounts: dict[str, _Orders] = {}

    def used_weight(self, peer: str, now_ms: int) -> int:
        """Return the weight used in this minute."""
        return self._address(peer).weight.at(now_ms)

    def add_weight(self, peer: str, weight: int, now_ms: int) -> None:
        """Count weight, or raise 429 / 418 when the address may not ask any more."""
        address = self._address(peer)
        if now_ms < address.banned_until_ms:
            raise self._banned(address, now_ms)
        used = address.weight.at(now_ms)
        if not used:
            address.refusals = 0
        address.weight.used += weight
        if used + weight <= self.limits.weight_per_minute:
            return
        address.refusals += 1
        if address.refusals > REFUSALS_BEFORE_BAN:
            address.banned_until_ms = now_ms + BAN_MS
            raise self._banned(address, now_ms)
        retry_ms = MINUTE_MS - now_ms % MINUTE_MS
        raise VenueError(
            -1003,
            f"Too much request weight used; current limit is {self.limits.weight_per_minute} request weight per "
            "1 MINUTE. Please use WebSocket Streams for live updates to avoid polling the API.",
            429,
            {"serverTime": now_ms, "retryAfter": now_ms + retry_ms},
        )

    @staticmethod
    def _banned(address: _Address, now_ms: int) -> VenueError:
        return VenueError(
            -1003,
            f"Way too much request weight used; IP banned until {address.banned_until_ms}. "
            "Please use WebSocket Streams for live updates to avoid bans.",
            418,
            {"serverTime": now_ms, "retryAfter": address.banned_until_ms},
        )

    def check_orders(self, account: str, adding: int, now_ms: int) -> None:
        """Raise -1015 when the account may not place `adding` more orders now."""
        orders = self._orders(account)
        if orders.ten_seconds.at(now_ms) + adding > self.limits.orders_per_10s:
            raise too_many_orders(self.limits.orders_per_10s, "10 SECOND", now_ms, _left_ms(orders.ten_seconds, now_ms))
        if orders.day.at(now_ms) + adding > self.limits.orders_per_day:
            raise too_many_orders(self.limits.orders_per_day, "1 DAY", now_ms, _left_ms(orders.day, now_ms))

    def add_orders(self, account: str, adding: int, now_ms: int) -> None:
        """Count placed orders."""
        orders = self._orders(account)
        for usage in (orders.ten_seconds, orders.day):
            usage.at(now_ms)
            usage.used += adding

    def order_filled(self, account: str, now_ms: int) -> None:
        """An order got its first fill: it no longer counts as unfilled."""
        orders = self._orders(account)
        for usage in (orders.ten_seconds, orders.day):
            usage.used = max(0, usage.at(now_ms) - 1)

    def order_counts(self, account: str, now_ms: int) -> tuple[int, int]:
        """Return the counters of (10 seconds, day)."""
        orders = self._orders(account)
        return orders.ten_seconds.at(now_ms), orders.day.at(now_ms)

    def order_rows(self, account: str, now_ms: int) -> list[dict[str, Any]]:
        """Return the order counters with their limits."""
        ten_seconds, day = self.order_counts(account, now_ms)
        return [
            _row("ORDERS", "SECOND", 10, self.limits.orders_per_10s) | {"count": ten_seconds},
            _row("ORDERS", "DAY", 1, self.limits.orders_per_day) | {"count": day},
        ]

    def weight_row(self, peer: str, now_ms: int) -> dict[str, Any]:
        """Return the weight counter with its limit."""
        row = _row("REQUEST_WEIGHT", "MINUTE", 1, self.limits.weight_per_minute)
        return row | {"count": self.used_weight(peer, now_ms)}

    def _address(self, peer: str) -> _Address:
        address = self._addresses.get(peer)
        if address is None:
            address = self._addresses[peer] = _Address()
            if len(self._addresses) > MAX_ADDRESSES:
                del self._addresses[next(iter(self._addresses))]
        return address

    def _orders(self, account: str) -> _Orders:
        return self._accounts.setdefault(account, _Orders())


def _left_ms(usage: _Usage, now_ms: int) -> int:
    return usage.length_ms - now_ms % usage.length_ms


def depth_weight(limit: int) -> int:
    """Return the weight of a depth snapshot."""
    return 5 if limit <= 100 else 25 if limit <= 500 else 50 if limit <= 1000 else 250
