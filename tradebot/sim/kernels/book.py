"""Price ladders: one word per tick, quantity << 1 | mark; the mark says that one of our orders stands there.

Index 0 and the top index are walls with a quantity, so a search for the next level needs no bound.
"""

from __future__ import annotations

from tradebot.sim.kernels import layout as at
from tradebot.sim.kernels.jit import compiled
from tradebot.sim.kernels.layout import PAGE_BITS
from tradebot.sim.kernels.memory import Words, bytes_at, words_at

PAGE_MASK = (1 << PAGE_BITS) - 1


@compiled
def level_below(ladder: Words, index: int) -> int:
    """Return the next lower index that has a quantity; 0 when there is none."""
    index -= 1
    while ladder[index] < 2:
        index -= 1
    return index


@compiled
def level_above(ladder: Words, index: int) -> int:
    """Return the next higher index that has a quantity; the top index when there is none."""
    index += 1
    while ladder[index] < 2:
        index += 1
    return index


@compiled
def available(w: Words, side: int, index: int) -> int:
    """Return the lots that can still be taken from a level of `side`."""
    displayed = words_at(w[at.BIDS] if side > 0 else w[at.ASKS])[index] >> 1
    if not w[at.IMPACT]:
        return displayed
    return max(displayed - words_at(w[at.EATEN] if side > 0 else w[at.EATEN + 1])[index], 0)


@compiled
def level_far_below(ladder: Words, used: Words, index: int) -> int:
    """As `level_below`, stepping over pages that never had a level: for walks to the end of a wide ladder."""
    index -= 1
    while ladder[index] < 2:
        if index & PAGE_MASK == 0:
            page = (index >> PAGE_BITS) - 1
            while page > 0 and used[page] == 0:
                page -= 1
            index = (page + 1) << PAGE_BITS
        index -= 1
    return index


@compiled
def level_far_above(ladder: Words, used: Words, index: int, top: int) -> int:
    """As `level_above`, stepping over pages that never had a level."""
    index += 1
    while ladder[index] < 2:
        if index & PAGE_MASK == PAGE_MASK:
            page = (index >> PAGE_BITS) + 1
            last = top >> PAGE_BITS
            while page < last and used[page] == 0:
                page += 1
            index = (page << PAGE_BITS) - 1
        index += 1
    return index


@compiled
def put_level(w: Words, book: int, used: int, side: int, price: int, qty: int) -> int:
    """Set a level's lots in the book whose words start at `book`; return the word it replaced, mark included.

    Four words make a book: bids, asks, best bid, best ask (BIDS and LOCAL_BIDS begin one). `matching.run_rows` does
    the same with the book in registers.
    """
    bids = words_at(w[book])
    asks = words_at(w[book + 1])
    if side > 0:
        word = bids[price]
        bids[price] = qty << 1 | word & 1
        bytes_at(w[used])[price >> PAGE_BITS] = 1
        if qty > 0:
            if price > w[book + 2]:
                w[book + 2] = price
                if price >= w[book + 3]:
                    w[book + 3] = level_above(asks, price)
        elif price == w[book + 2]:
            w[book + 2] = level_below(bids, price)
        return word
    word = asks[price]
    asks[price] = qty << 1 | word & 1
    bytes_at(w[used + 1])[price >> PAGE_BITS] = 1
    if qty > 0:
        if price < w[book + 3]:
            w[book + 3] = price
            if price <= w[book + 2]:
                w[book + 2] = level_below(bids, price)
    elif price == w[book + 3]:
        w[book + 3] = level_above(asks, price)
    return word


@compiled
def clear_ladder(ladder: Words, used: Words, top: int) -> None:
    """Take every quantity away; our marks and the walls stay. Ladders can be wide: only pages in use are visited."""
    for page in range((top >> PAGE_BITS) + 1):
        if used[page]:
            used[page] = 0
            first = page << PAGE_BITS
            for index in range(max(first, 1), min(first + (1 << PAGE_BITS), top)):
                ladder[index] &= 1
