"""The equity curve fits any span into bounded memory and always ends at the newest value."""

from __future__ import annotations

from console.equity import EquityHistory

S = 1_000_000_000


def test_values_are_kept_once_a_second_and_the_newest_is_always_the_last() -> None:
    history = EquityHistory()
    for tenth in range(25):
        history.add(float(tenth), tenth * S // 10)

    assert list(history.values) == [0.0, 10.0, 24.0]


def test_memory_is_bounded_over_a_day_and_the_span_is_kept() -> None:
    history = EquityHistory(capacity=64)
    for second in range(86_400):
        history.add(float(second), second * S)

    values = list(history.values)
    assert len(values) <= 64
    assert values[0] == 0.0
    assert values[-1] == 86_399.0
    assert values == sorted(values)
    assert history.span_ns == 86_399 * S
