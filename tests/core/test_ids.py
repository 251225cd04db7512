"""Client order ids: ours are recognized, everything else is foreign."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from tradebot.core.ids import ClientOrderIdParts, make_client_order_id, parse_client_order_id, strategy_code

KEY = b"k" * 32
parts_strategy = st.builds(
    ClientOrderIdParts, st.integers(0, 0xFFF), st.integers(0, 0xFFFF), st.integers(0, 0xFFFFFFFFFFFFFFFF)
)


@given(parts_strategy)
def test_an_id_round_trips_and_fits_every_venue(parts: ClientOrderIdParts) -> None:
    text = make_client_order_id(parts, KEY)

    assert len(text) == 32
    assert set(text) <= set("0123456789abcdef")
    assert parse_client_order_id(text, KEY) == parts


@given(parts_strategy, st.integers(0, 31), st.integers(1, 15))
def test_one_changed_digit_makes_it_foreign(parts: ClientOrderIdParts, at: int, delta: int) -> None:
    text = make_client_order_id(parts, KEY)
    digit = f"{(int(text[at], 16) + delta) % 16:x}"

    assert parse_client_order_id(text[:at] + digit + text[at + 1 :], KEY) is None


def test_another_key_or_shape_is_foreign() -> None:
    text = make_client_order_id(ClientOrderIdParts(strategy_code("breakout"), 1, 1), KEY)

    assert parse_client_order_id(text, b"x" * 32) is None
    assert parse_client_order_id("web_1234", KEY) is None
    assert parse_client_order_id(text.upper(), KEY) is None or text.upper() == text


def test_the_uuid_form_with_dashes_is_recognized() -> None:
    parts = ClientOrderIdParts(1, 2, 3)
    text = make_client_order_id(parts, KEY)
    dashed = f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"

    assert parse_client_order_id(dashed, KEY) == parts
