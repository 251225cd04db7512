"""Advancing the one clock that all markets and the strategy share."""

from __future__ import annotations

from typing import Final

from tradebot.sim.kernels import layout as at
from tradebot.sim.kernels.expiry import expire
from tradebot.sim.kernels.jit import compiled
from tradebot.sim.kernels.local import receive_responses, receive_rows, seen_ask, seen_bid
from tradebot.sim.kernels.logs import SAMPLE_WORDS_OF_A_MARKET
from tradebot.sim.kernels.matching import first_response, run_rows
from tradebot.sim.kernels.memory import Handle, Words, call_runner, handle_at, words, words_at
from tradebot.sim.kernels.perpetual import next_event, venue_event
from tradebot.sim.kernels.requests import arrive

END: Final = 0
"""Nothing is left: no row, no request, no response (or the simulator stopped with an error)."""
TIMEOUT: Final = 1
FEED: Final = 2
RESPONSE: Final = 3


@compiled
def run_exchange(market: Handle, until_ns: int, stop_at_response: int) -> int:
    """Run one exchange: rows and arriving requests up to `until_ns`; return how far it went."""
    w = words(market)
    requests = words_at(w[at.REQUESTS])
    mask = w[at.REQUEST_MASK]
    while True:
        limit = until_ns
        if stop_at_response:
            limit = min(limit, first_response(w))
        arrival = at.NEVER
        if w[at.REQUEST_HEAD] < w[at.REQUEST_TAIL]:
            arrival = requests[(w[at.REQUEST_HEAD] & mask) * at.MESSAGE_WORDS + at.M_TIME]
        event = next_event(w)
        due = min(event, w[at.NEXT_EXPIRY])
        if w[at.RUNNER]:
            reached = call_runner(w[at.RUNNER], market, min(limit, arrival, due), stop_at_response)
        else:
            reached = run_rows(market, min(limit, arrival, due), stop_at_response)
        if due <= reached:
            if event == due:
                venue_event(market)
            else:
                expire(market)
            continue
        if arrival > reached:
            w[at.RAN_TO] = reached
            return reached
        arrive(market)


@compiled
def start(c: Words) -> None:
    """Set the clock to the first event of all markets."""
    now = at.NEVER
    for number in range(c[at.MARKETS]):
        w = words(handle_at(c[at.FIRST_MARKET + number]))
        if w[at.ROWS] > 0:
            now = min(now, words_at(w[at.EXCHANGE_TIMES])[0], words_at(w[at.LOCAL_TIMES])[0])
    c[at.NOW] = now
    c[at.STARTED] = 1
    if c[at.SAMPLE_EVERY] > 0 and now != at.NEVER:
        c[at.NEXT_SAMPLE] = (now // c[at.SAMPLE_EVERY] + 1) * c[at.SAMPLE_EVERY]


@compiled
def advance(market: Handle, until_ns: int) -> int:
    """Bring one market to `until_ns` on both sides; return the number of responses received."""
    w = words(market)
    receive_rows(market, until_ns)
    if until_ns >= w[at.RAN_TO]:
        run_exchange(market, until_ns, 0)
    # The ring remembers the touch after the last received row, and what the rows in flight replaced.
    if w[at.ONE_ORDER] and w[at.ROW] - w[at.LOCAL_ROW] >= w[at.RING_MASK]:
        w[at.ERROR] = at.ERROR_HISTORY
    return receive_responses(market, until_ns)


@compiled
def finished(c: Words) -> bool:
    """True when no market has anything left, or one stopped with an error."""
    left = 0
    for number in range(c[at.MARKETS]):
        w = words(handle_at(c[at.FIRST_MARKET + number]))
        if w[at.ERROR]:
            return True
        left += w[at.ROWS] - w[at.ROW] + w[at.ROWS] - w[at.LOCAL_ROW]
        left += w[at.REQUEST_TAIL] - w[at.REQUEST_HEAD] + w[at.RESPONSE_TAIL] - w[at.RESPONSE_HEAD]
    return left == 0


@compiled
def sample(c: Words) -> None:
    """Note the touch of every market at NEXT_SAMPLE, unless nothing has come since the last time."""
    time_ns = c[at.NEXT_SAMPLE]
    c[at.NEXT_SAMPLE] = time_ns + c[at.SAMPLE_EVERY]
    received = 0
    for number in range(c[at.MARKETS]):
        w = words(handle_at(c[at.FIRST_MARKET + number]))
        received += w[at.LOCAL_ROW] + w[at.RESPONSE_HEAD] + w[at.EVENT]
    if received == c[at.SAMPLED]:
        return
    c[at.SAMPLED] = received
    if c[at.SAMPLE_COUNT] >= c[at.SAMPLE_MAX]:
        words(handle_at(c[at.FIRST_MARKET]))[at.ERROR] = at.ERROR_SAMPLES
        return
    row = words_at(c[at.SAMPLES] + 8 * c[at.SAMPLE_COUNT] * (1 + SAMPLE_WORDS_OF_A_MARKET * c[at.MARKETS]))
    row[0] = time_ns
    for number in range(c[at.MARKETS]):
        w = words(handle_at(c[at.FIRST_MARKET + number]))
        row[1 + SAMPLE_WORDS_OF_A_MARKET * number] = seen_bid(w)
        row[2 + SAMPLE_WORDS_OF_A_MARKET * number] = seen_ask(w)
    c[at.SAMPLE_COUNT] += 1


@compiled
def begin_wake(c: Words) -> None:
    """The strategy gives the word back: rows that come from here on are new at its next wake."""
    for number in range(c[at.MARKETS]):
        w = words(handle_at(c[at.FIRST_MARKET + number]))
        w[at.WAKE_ROW] = w[at.LOCAL_ROW]


@compiled
def step(c: Words, until_ns: int) -> int:
    """Bring every market to `until_ns`; return the number of responses received."""
    responses = 0
    for number in range(c[at.MARKETS]):
        responses += advance(handle_at(c[at.FIRST_MARKET + number]), until_ns)
    c[at.NOW] = until_ns
    return responses


@compiled
def advance_all(c: Words, until_ns: int) -> int:
    """Bring every market to `until_ns`, with the samples on the way; return the number of responses received."""
    responses = 0
    while c[at.NEXT_SAMPLE] <= until_ns and not finished(c):
        responses += step(c, c[at.NEXT_SAMPLE])
        sample(c)
    return responses + step(c, until_ns)


@compiled
def next_response(c: Words, until_ns: int) -> int:
    """Run the exchanges far enough to know the next response up to `until_ns`; return its time, or `until_ns`.

    No exchange runs past a moment at which the strategy could still have a request arrive there.
    """
    reached = c[at.NOW]
    while reached < until_ns:
        event = at.NEVER
        for number in range(c[at.MARKETS]):
            w = words(handle_at(c[at.FIRST_MARKET + number]))
            if w[at.ROW] < w[at.ROWS]:
                event = min(event, words_at(w[at.EXCHANGE_TIMES])[w[at.ROW]])
            if w[at.REQUEST_HEAD] < w[at.REQUEST_TAIL]:
                slot = (w[at.REQUEST_HEAD] & w[at.REQUEST_MASK]) * at.MESSAGE_WORDS
                event = min(event, words_at(w[at.REQUESTS])[slot + at.M_TIME])
            event = min(event, first_response(w), next_event(w), w[at.NEXT_EXPIRY])
        if event > until_ns:
            return until_ns
        # One event at a time where latency is zero, else a whole lookahead.
        reached = min(max(event, reached + c[at.LOOKAHEAD]), until_ns)
        found = at.NEVER
        for number in range(c[at.MARKETS]):
            market = handle_at(c[at.FIRST_MARKET + number])
            if reached >= words(market)[at.RAN_TO]:
                run_exchange(market, reached, 1)
            found = min(found, first_response(words(market)))
        if found <= reached:
            return found
    return until_ns


@compiled
def await_response(c: Words, until_ns: int) -> int:
    """As `next_response`, with the samples before it: no exchange runs past a sample that was not taken."""
    while c[at.NEXT_SAMPLE] < until_ns and not finished(c):
        found = next_response(c, c[at.NEXT_SAMPLE])
        for number in range(c[at.MARKETS]):
            if first_response(words(handle_at(c[at.FIRST_MARKET + number]))) <= found:
                return found
        step(c, found)
        sample(c)
    return next_response(c, until_ns)
