"""Numbers as text: they get shorter in true ways and are never cut."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from console import text as t


@pytest.mark.parametrize(
    ("value", "width", "expected"),
    [
        ("65012.4", 9, " 65 012.4"),
        ("65012.4", 8, "65 012.4"),
        ("65012.4", 7, "65012.4"),
        ("65012.4", 6, " 65012"),
        ("65012.4", 5, "65012"),
        ("65012.4", 4, " 65k"),
        ("65012.4", 2, "##"),
        ("-1234567", 5, "-1.2M"),
        ("0.00001234", 6, "######"),
        ("0.00001234", 10, "0.00001234"),
        ("0", 3, "  0"),
    ],
)
def test_a_number_gets_shorter_until_it_fits(value: str, width: int, expected: str) -> None:
    assert t.number(Decimal(value), width) == expected


@given(
    value=st.decimals(allow_nan=False, allow_infinity=False, places=8, min_value=-(10**10), max_value=10**10),
    width=st.integers(1, 20),
)
def test_a_number_fills_exactly_its_cell_and_says_nothing_false(value: Decimal, width: int) -> None:
    shown = t.number(value, width)

    assert len(shown) == width
    body = shown.replace(" ", "")
    if body.strip("#") and body[-1] not in "kMB":
        assert abs(Decimal(body) - value) <= Decimal(1)
        assert (Decimal(body) == 0) == (value == 0)


def test_an_unknown_number_is_a_question_mark() -> None:
    assert t.number(None, 6) == "     ?"
    assert t.compact(None) == "?"
    assert t.percent(None) == "?"


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [(0, "0.0s"), (0.34, "0.3s"), (9.94, "9.9s"), (9.96, "9s"), (99, "99s"), (100, "1m"), (5999, "99m"), (6000, "1h")],
)
def test_an_age_takes_at_most_four_cells(seconds: float, expected: str) -> None:
    assert t.age(int(seconds * t.NS_PER_S)) == expected
    assert len(expected) <= 4


def test_a_line_is_cut_or_padded_to_its_width() -> None:
    content = t.line("abc", t.Span("def", t.Tone.P1))

    assert t.plain(t.fit_line(content, 8)) == "abcdef  "
    assert t.plain(t.fit_line(content, 5)) == "abcd…"


def test_text_of_others_cannot_move_the_cursor_or_shift_columns() -> None:
    assert t.printable("a\x1b[2Jb\nc\td") == "a [2Jb c d"
    assert t.printable("価格") == "??"


def test_the_plot_of_a_flat_series_is_a_line_in_the_middle() -> None:
    rows = t.plot([5.0] * 10, 4, 3)

    assert rows[0].strip("\u2800 ") == ""
    assert len(set(rows[1])) == 1
    assert rows[1][0] not in "\u2800 "
    assert rows[2].strip("\u2800 ") == ""


def test_the_plot_goes_from_bottom_left_to_top_right_when_values_rise() -> None:
    rows = t.plot([float(value) for value in range(50)], 6, 3)

    assert rows[0][-1] not in " \u2800"
    assert rows[0][0] in " \u2800"
    assert rows[2][0] not in " \u2800"
    assert rows[2][-1] in " \u2800"


def test_a_bar_shows_that_something_is_not_nothing() -> None:
    assert t.bar(0.0, 12) == "[..........]"
    assert t.bar(0.001, 12) == "[#.........]"
    assert t.bar(7.0, 12) == "[##########]"
    assert t.bar(None, 12) == "[?.........]"
