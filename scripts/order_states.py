"""Writes docs/order-states.md from the one transition table: `python -m scripts.order_states`."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path

from tradebot.core.orders import ORDER_TRANSITIONS, TERMINAL_STATUSES, OrderStatus

PAGE = Path(__file__).resolve().parents[1] / "docs" / "order-states.md"
HEADER = """# Order states

Generated from `ORDER_TRANSITIONS` in `tradebot/core/orders.py`; `python -m scripts.order_states` writes this page and a
test holds it against the table. Columns are states, cells are the state after the event; an empty cell is impossible
and stops the daemon, because then either our fold or the venue's order of events is wrong.

- UNKNOWN is a state, not an error: sent, outcome not proven. It counts in full until proven otherwise, and is never
  resent.
- A fill in a terminal state books quantity and never reopens the order; after a reject that turned out to be wrong it
  does, and the venue is halted.
"""


def page() -> str:
    """Return the whole page."""
    kinds = sorted({kind for _, kind in ORDER_TRANSITIONS}, key=lambda kind: kind.value)
    lines = [HEADER, "| event \\ state | " + " | ".join(status.name for status in OrderStatus) + " |"]
    lines.append("|---" * (len(OrderStatus) + 1) + "|")
    for kind in kinds:
        cells = [ORDER_TRANSITIONS.get((status, kind)) for status in OrderStatus]
        lines.append(f"| {kind.name} | " + " | ".join(cell.name if cell else "" for cell in cells) + " |")
    lines += ["", "Edges that change the state:", "", "```mermaid", "stateDiagram-v2", "    [*] --> PENDING_NEW"]
    edges: dict[tuple[OrderStatus, OrderStatus], list[str]] = defaultdict(list)
    for (status, kind), after in ORDER_TRANSITIONS.items():
        if after is not status:
            edges[status, after].append(kind.name)
    order = list(OrderStatus)
    for (status, after), names in sorted(edges.items(), key=lambda item: [order.index(s) for s in item[0]]):
        lines.append(f"    {status.name} --> {after.name}: {', '.join(names)}")
    lines += [f"    {status.name} --> [*]" for status in order if status in TERMINAL_STATUSES]
    return "\n".join([*lines, "```", ""])


def main() -> None:
    """Write the page."""
    PAGE.parent.mkdir(exist_ok=True)
    PAGE.write_text(page(), encoding="utf-8")
    print(f"wrote {PAGE}")


if __name__ == "__main__":
    main()
