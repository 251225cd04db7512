"""Requests on their way to a venue: who waits for which answer, and until when."""

from __future__ import annotations

from collections import OrderedDict

from tradebot.core.values import value
from tradebot.venues.api_orders import RequestKind


@value(frozen=True, slots=True)
class PendingRequest:
    """One request without an answer yet."""

    request_id: str
    venue: str
    kind: RequestKind
    sent_ns: int
    deadline_ns: int
    client_order_ids: tuple[str, ...] = ()


class RequestTable:
    """Answers are matched by request id; ids are never used twice in the life of the process."""

    def __init__(self) -> None:
        self._pending: OrderedDict[str, PendingRequest] = OrderedDict()
        self._next_id = 0

    def next_id(self) -> str:
        """Return a request id."""
        self._next_id += 1
        return str(self._next_id)

    def add(self, request: PendingRequest) -> None:
        """Wait for an answer. Time-outs are equal for all, so the oldest is always first."""
        self._pending[request.request_id] = request

    def take(self, request_id: str) -> PendingRequest | None:
        """Return and forget the request that an answer belongs to; None when it timed out before."""
        return self._pending.pop(request_id, None)

    def take_expired(self, now_ns: int) -> list[PendingRequest]:
        """Return and forget the requests whose answer is overdue."""
        expired = []
        while self._pending and (first := next(iter(self._pending.values()))).deadline_ns <= now_ns:
            expired.append(self._pending.pop(first.request_id))
        return expired

    def take_all(self, venue: str) -> list[PendingRequest]:
        """Return and forget everything on its way to a venue whose connection is gone."""
        gone = [request for request in self._pending.values() if request.venue == venue]
        for request in gone:
            del self._pending[request.request_id]
        return gone

    def next_timer_ns(self) -> int | None:
        """Return the earliest deadline."""
        return next(iter(self._pending.values())).deadline_ns if self._pending else None
