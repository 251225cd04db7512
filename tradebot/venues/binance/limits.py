"""Request weights, stream rules and what an answer says about our budget.

Source: Binance Spot documentation, "Limits", "WebSocket Streams" and the weight of each endpoint (read 2026-07-21).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import msgspec

from tradebot.venues.api import RestLimits, StreamLimits, WeightLimit

WEIGHT_LIMIT: Final = WeightLimit(weight_per_window=6000, window_s=60.0)
"""Per IP, REST and WebSocket API together."""

STREAM_LIMITS: Final = StreamLimits(
    max_streams_per_connection=1024,
    control_messages_per_s=5.0,
    streams_per_control_message=200,  # our choice: a SUBSCRIBE frame stays below 8 kB
    connects_per_window=300,
    connect_window_s=300.0,
    connection_life_s=23.5 * 3600,  # the venue cuts at 24 h
    ping_after_s=2.0,
    dead_after_s=10.0,  # the venue pings every 20 s; our own ping proves a silent link sooner
)

DEPTH_WEIGHTS: Final = ((100, 5), (500, 25), (1000, 50), (5000, 250))
"""(levels up to, weight of `GET /api/v3/depth`)."""
MAX_DEPTH: Final = 5000
KLINES_WEIGHT: Final = 2
EXCHANGE_INFO_WEIGHT: Final = 20

_USED_WEIGHT: Final = "x-mbx-used-weight-1m"
_RETRY_AFTER: Final = "retry-after"
_DEFAULT_RETRY_S: Final = {429: 60.0, 418: 120.0}
"""When the header is missing: one window after a 429; 418 bans start at two minutes."""


def depth_weight(levels: int) -> int:
    """Return the weight of a depth request."""
    return next((weight for limit, weight in DEPTH_WEIGHTS if levels <= limit), DEPTH_WEIGHTS[-1][1])


class _Error(msgspec.Struct):
    code: int = 0
    msg: str = ""


def read_limits(status: int, headers: Mapping[str, str], body: bytes) -> RestLimits:
    """Return budget facts and failure of an answer. Header names are lower case."""
    used = headers.get(_USED_WEIGHT, "")
    used_weight = int(used) if used.isdecimal() else None
    if status == 200:
        return RestLimits(used_weight)
    try:
        error = msgspec.json.decode(body, type=_Error)
    except msgspec.MsgspecError:  # a proxy's HTML page
        error = _Error()
    text = f"HTTP {status} code {error.code} {error.msg}".strip()
    if status not in _DEFAULT_RETRY_S:
        return RestLimits(used_weight, None, text)
    retry = headers.get(_RETRY_AFTER, "")
    return RestLimits(used_weight, float(retry) if retry.isdecimal() else _DEFAULT_RETRY_S[status], text)
