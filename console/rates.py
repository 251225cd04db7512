"""A counter's rate from its values in heartbeats."""

from __future__ import annotations

NS_PER_S = 1_000_000_000


class Rate:
    """Difference of the last two samples of one process run."""

    def __init__(self) -> None:
        self._last: tuple[float, int, str] | None = None
        self.per_s: float | None = None
        """None until two samples of one run are known."""

    def sample(self, value: str, incarnation: str, time_ns: int) -> None:
        """Take the counter's value; text that is not a number is ignored."""
        try:
            count = float(value)
        except ValueError:
            return
        last, self._last = self._last, (count, time_ns, incarnation)
        if last is None or last[2] != incarnation or time_ns <= last[1] or count < last[0]:
            self.per_s = None
            return
        self.per_s = (count - last[0]) * NS_PER_S / (time_ns - last[1])
