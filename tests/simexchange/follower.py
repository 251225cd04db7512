"""A market data client written from the documentation alone: diff book with the documented sync, nothing clever."""

from __future__ import annotations

import json
from typing import Any


class BookFollower:
    """Follows depth diffs and compares with every bookTicker of the same update id."""

    def __init__(self) -> None:
        self.levels: dict[str, dict[str, str]] = {"b": {}, "a": {}}
        self.last_id: int | None = None
        self.first_diff_id: int | None = None
        self.waiting: list[dict[str, Any]] = []
        self.tickers: dict[int, dict[str, Any]] = {}
        self.compared = 0
        self.gaps = 0

    def on_diff(self, diff: dict[str, Any]) -> None:
        """Take one depthUpdate."""
        if self.first_diff_id is None:
            self.first_diff_id = diff["U"]
        if self.last_id is None:
            self.waiting.append(diff)
            return
        if diff["u"] <= self.last_id:
            return
        if diff["U"] > self.last_id + 1:
            self.gaps += 1
            self.last_id, self.first_diff_id, self.waiting = None, None, [diff]
            return
        for side in ("b", "a"):
            self._set(side, diff[side])
        self.last_id = diff["u"]
        self._compare()

    def on_snapshot(self, snapshot: dict[str, Any]) -> bool:
        """Take a REST snapshot; False when it is too old and must be fetched again."""
        if self.first_diff_id is None or snapshot["lastUpdateId"] < self.first_diff_id - 1:
            return False
        self.levels = {"b": {}, "a": {}}
        self._set("b", snapshot["bids"])
        self._set("a", snapshot["asks"])
        self.last_id = snapshot["lastUpdateId"]
        waiting, self.waiting = self.waiting, []
        for diff in waiting:
            self.on_diff(diff)
        return True

    def on_ticker(self, ticker: dict[str, Any]) -> None:
        """Take one bookTicker."""
        self.tickers[ticker["u"]] = ticker
        if self.last_id is not None and ticker["u"] == self.last_id:
            self._compare()

    def on_frame(self, frame: str) -> None:
        """Take one combined-stream frame."""
        decoded = json.loads(frame)
        if "@depth" in decoded["stream"]:
            self.on_diff(decoded["data"])
        elif "@bookTicker" in decoded["stream"]:
            self.on_ticker(decoded["data"])

    def touch(self) -> tuple[str, str, str, str]:
        """Return bid, its quantity, ask, its quantity."""
        bid = max(self.levels["b"], key=float)
        ask = min(self.levels["a"], key=float)
        return bid, self.levels["b"][bid], ask, self.levels["a"][ask]

    def _set(self, side: str, rows: list[list[str]]) -> None:
        for price, qty in rows:
            if float(qty):
                self.levels[side][price] = qty
            else:
                self.levels[side].pop(price, None)

    def _compare(self) -> None:
        ticker = self.tickers.pop(self.last_id or 0, None)
        if ticker is not None:
            self.compared += 1
            assert self.touch() == (ticker["b"], ticker["B"], ticker["a"], ticker["A"])
            assert float(ticker["b"]) < float(ticker["a"])
        for old in [u for u in self.tickers if u < (self.last_id or 0)]:
            del self.tickers[old]
