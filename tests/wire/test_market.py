"""Rows on the wire: our own encoding against the generated code."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tradebot.core.errors import InvariantError
from tradebot.core.market import HistoryBar, MarketRow, RowColumns
from tradebot.rpc.marketdata.v1 import market_data_service_pb2 as service_pb
from tradebot.wire.market import (
    bar_to_wire,
    encode_facts,
    encode_join,
    encode_rows,
    last_sequence_from_wire,
    rows_from_wire,
    rows_to_wire,
    sequences_from_wire,
)

big = st.integers(-(2**63), 2**63 - 1)
rows_of_any_kind = st.lists(
    st.builds(MarketRow, st.integers(1, 10), st.integers(0, 100_000), st.integers(0, 7), big, big, big, big, big),
    min_size=1,
    max_size=20,
)


def columns(rows: list[MarketRow]) -> RowColumns:
    """Return rows as columns."""
    made = RowColumns()
    made.extend(rows)
    return made


@given(rows_of_any_kind, st.integers(1, 2**63), big, st.booleans())
def test_our_bytes_mean_what_the_generated_code_would_write(
    rows: list[MarketRow], first: int, sent: int, filtered: bool
) -> None:
    offsets = [3 * i for i in range(len(rows))] if filtered else []
    ours = service_pb.SubscribeResponse.FromString(encode_rows(columns(rows), first, sent, offsets))

    assert ours == service_pb.SubscribeResponse(rows=rows_to_wire(columns(rows), first, sent, offsets))
    assert rows_from_wire(ours.rows).rows() == rows


@given(st.lists(rows_of_any_kind, min_size=1, max_size=5), st.integers(1, 2**40))
def test_joined_messages_are_one_message_with_all_rows(batches: list[list[MarketRow]], first: int) -> None:
    messages, sequence = [], first
    for batch in batches:
        messages.append(encode_rows(columns(batch), sequence, 5))
        sequence += len(batch)
    joined = service_pb.SubscribeResponse.FromString(encode_join(messages, first, 99))

    assert rows_from_wire(joined.rows).rows() == [row for batch in batches for row in batch]
    assert list(sequences_from_wire(joined.rows)) == list(range(first, sequence))
    assert joined.rows.sent_time_ns == 99


def test_facts_join_any_message() -> None:
    row = MarketRow(1, 0, 5, 10, 20, 30, 40, 50)
    message = encode_rows(columns([row]), 8, 9) + encode_facts(snapshot=True, conflated_rows=4, head_sequence=77)
    read = service_pb.SubscribeResponse.FromString(message)

    assert (read.snapshot, read.conflated_rows, read.head_sequence) == (True, 4, 77)
    assert read.rows.first_sequence == 8


def test_sequences_follow_the_offsets_when_rows_were_left_out() -> None:
    rows = columns([MarketRow(1, 0, 5, 1, 1, 1, 1, 1)] * 3)
    contiguous, filtered = rows_to_wire(rows, 10, 0), rows_to_wire(rows, 10, 0, [0, 4, 9])

    assert (list(sequences_from_wire(contiguous)), last_sequence_from_wire(contiguous)) == ([10, 11, 12], 12)
    assert (list(sequences_from_wire(filtered)), last_sequence_from_wire(filtered)) == ([10, 14, 19], 19)


def test_columns_of_different_length_are_refused() -> None:
    message = rows_to_wire(columns([MarketRow(1, 0, 5, 1, 1, 1, 1, 1)]), 1, 0)
    message.price.append(3)
    with pytest.raises(InvariantError, match="differ in length"):
        rows_from_wire(message)


def test_an_empty_batch_is_a_bug() -> None:
    with pytest.raises(InvariantError):
        encode_rows(RowColumns(), 1, 0)


def test_a_bar_keeps_its_decimals() -> None:
    bar = HistoryBar(1, 2, Decimal("1.10"), Decimal(3), Decimal("0.5"), Decimal(2), Decimal("7.000"), 9)
    message = bar_to_wire(bar)

    assert (message.open, message.high, message.low, message.volume) == ("1.1", "3", "0.5", "7")
    assert (message.open_time_ns, message.close_time_ns, message.trade_count) == (1, 2, 9)
