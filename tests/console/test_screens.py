"""The overview as an operator sees it, as text, at the sizes that are promised. Frozen clock, invented data.

After a wanted change: `UPDATE_SCREENS=1 pytest tests/console/test_screens.py`, then look at the difference.
"""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest
from rich.style import Style

from console.model import Source
from console.screenshot.__main__ import render, screen_text
from tests.console.kit import Desk, make_hold, make_store

GOLDEN = Path(__file__).parent / "screens"
MEASURED = re.compile(r"ui lag[^│]*")
"""The only figures that come from the machine on which the test runs."""


def masked(text: str) -> list[str]:
    return [MEASURED.sub("ui lag ", row).rstrip() for row in text.splitlines()]


def compare(name: str, text: str) -> None:
    path = GOLDEN / f"{name}.txt"
    if os.environ.get("UPDATE_SCREENS"):
        path.parent.mkdir(exist_ok=True)
        path.write_text("\n".join(masked(text)) + "\n", encoding="utf-8")

    assert masked(text) == path.read_text(encoding="utf-8").splitlines()


@pytest.mark.parametrize(("width", "height"), [(120, 36), (80, 24), (100, 28), (160, 45), (40, 6)])
async def test_the_overview_looks_as_agreed(width: int, height: int) -> None:
    _, text = await render(width, height)

    compare(f"{width}x{height}", text)


async def test_nothing_connected_looks_like_nothing_connected() -> None:
    desk = Desk(make_store())
    async with desk.app.run_test(size=(120, 36)) as pilot:
        await pilot.pause(0.2)
        compare("alone-120x36", "\n".join(desk.lines()))


@pytest.mark.parametrize(("width", "height"), [(120, 36), (80, 24)])
async def test_trouble_is_seen_at_once(width: int, height: int) -> None:
    """riskd is gone, a hold stands, the book has a gap: what an operator must see within two seconds."""
    desk = Desk()
    desk.store.hold_raised(make_hold(cause="POSITION_MISMATCH"))
    for source in (Source.RISKD, Source.PNL, Source.POSITIONS, Source.RISK_EVENTS):
        desk.store.closed(source)
    async with desk.app.run_test(size=(width, height)) as pilot:
        await pilot.pause(0.2)
        compare(f"trouble-{width}x{height}", "\n".join(desk.lines()))


async def test_without_colour_the_screen_says_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    desk = Desk()
    async with desk.app.run_test(size=(120, 36)) as pilot:
        await pilot.pause(0.2)
        text = screen_text(desk.app)
        styles: list[Style] = [
            segment.style
            for row in desk.app.screen._compositor.render_strips()
            for segment in row.apply_filter(desk.app._filters[0], desk.app.screen.background_colors[1])
            if segment.style is not None
        ]

    compare("120x36", text)
    colours = {style.color.get_truecolor() for style in styles if style.color is not None}
    assert colours
    assert all(max(colour) - min(colour) <= 1 for colour in colours), "only shades of grey"
    assert any(style.reverse for style in styles), "the cursor is still seen"
