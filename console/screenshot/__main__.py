"""Write the overview as SVG: `python -m console.screenshot FILE.svg [--state DIR] [--size 120x36] [--text]`.

Without a state folder it shows invented data, the same each time.
"""

from __future__ import annotations

import argparse
import asyncio
import io
import re
import sys
from pathlib import Path

from rich.console import Console

from console.app import ConsoleApp
from console.client import GrpcLink
from console.config import ConsoleConfig
from console.model import Explanation
from console.screenshot.seed import NOW_NS, seeded_store
from console.stop_keys import StopLevel
from console.store import Store
from console.view import Identity
from tradebot._version import __version__
from tradebot.runtime.clock import ManualClock, SystemClock
from tradebot.runtime.config import load_config
from tradebot.runtime.identity import Role

FONT_FACE = re.compile(r"@font-face \{.*?\}\s*", re.DOTALL)
"""The library's SVG loads fonts from the network; the reader's own monospace font does as well."""

COMMENT = re.compile(r"<!--.*?-->\s*", re.DOTALL)


class NoLink:
    """Nobody to talk to."""

    async def run(self) -> None:
        await asyncio.Event().wait()

    async def close(self) -> None:
        pass

    async def stop(self, level: StopLevel) -> None:
        pass

    async def cancel_order(self, client_order_id: str, reason: str) -> str:
        return ""

    async def set_strategy(self, strategy_id: str, enabled: bool, reason: str) -> str:
        return ""

    async def clear_hold(self, hold_id: str, reason: str) -> str:
        return ""

    async def explain(self, client_order_id: str) -> Explanation:
        return Explanation()


async def render(width: int, height: int) -> tuple[str, str]:
    """Return the overview on invented data as (SVG, text)."""
    app = ConsoleApp(seeded_store(), NoLink, ManualClock(NOW_NS))
    async with app.run_test(size=(width, height)) as pilot:
        await pilot.pause(0.3)
        return picture(app), screen_text(app)


async def render_live(config: Path, state: Path, seconds: float, width: int, height: int) -> tuple[str, str]:
    """Return the overview on a running system, after watching it for a while, as (SVG, text)."""
    loaded = load_config(config, "console", ConsoleConfig, (), state)
    clock = SystemClock()
    store = Store(Identity(loaded.common.mode, "ana", Role.TRADER, __version__))

    def make_link() -> GrpcLink:
        return GrpcLink(loaded.common, loaded.section, Role.TRADER, "ana", store, clock)

    app = ConsoleApp(store, make_link, clock)
    async with app.run_test(size=(width, height)) as pilot:
        await pilot.pause(seconds)
        return picture(app), screen_text(app)


def picture(app: ConsoleApp) -> str:
    """Return what the app shows as SVG without anything loaded from elsewhere."""
    svg = FONT_FACE.sub("", app.export_screenshot(title="tradebot console", simplify=True))
    svg = COMMENT.sub("", svg)
    return svg.replace("Fira Code", "ui-monospace, 'DejaVu Sans Mono', Menlo, Consolas")


def screen_text(app: ConsoleApp) -> str:
    """Return what the app shows as lines of text."""
    width, height = app.size
    console = Console(
        width=width, height=height, file=io.StringIO(), record=True, force_terminal=True, legacy_windows=False
    )
    console.print(app.screen._compositor.render_update(full=True, screen_stack=app._background_screens))
    return console.export_text()


def main() -> int:
    """Write the picture."""
    parser = argparse.ArgumentParser(prog="console.screenshot")
    parser.add_argument("file", type=Path, help="SVG file to write")
    parser.add_argument("--size", default="120x36", help="columns x lines")
    parser.add_argument("--state", type=Path, help="state folder of a running system to look at")
    parser.add_argument("--config", type=Path, default=Path("config/demo.yaml"), help="its configuration")
    parser.add_argument("--seconds", type=float, default=60.0, help="how long to watch it first")
    parser.add_argument("--text", action="store_true", help="also print it as text")
    flags = parser.parse_args()
    width, height = (int(part) for part in flags.size.split("x"))
    work = (
        render(width, height)
        if flags.state is None
        else render_live(flags.config, flags.state, flags.seconds, width, height)
    )
    svg, text = asyncio.run(work)
    flags.file.write_text(svg, encoding="utf-8")
    if flags.text:
        print(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
