"""docs/order-states.md says what the code does."""

from __future__ import annotations

from scripts.order_states import PAGE, page


def test_the_page_is_what_the_table_says() -> None:
    assert PAGE.read_text(encoding="utf-8") == page(), "run: python -m scripts.order_states"
