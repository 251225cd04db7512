"""Colours of tones. Values are the xterm-256 entries, so terminals without true colour show exactly the same.

Gain and loss are blue and orange: they stay apart under every common colour blindness, unlike green and red.
"""

from __future__ import annotations

from typing import Final

from rich.style import Style

from console.text import Tone

BACKGROUND: Final = "#1c1c1c"
"""xterm 234."""
FOREGROUND: Final = "#c6c6c6"
"""xterm 251."""
MUTED: Final = "#8a8a8a"
"""xterm 245."""
RULE: Final = "#585858"
"""xterm 240."""

STYLES: Final[dict[Tone, Style]] = {
    Tone.NORMAL: Style(color=FOREGROUND, bgcolor=BACKGROUND),
    Tone.MUTED: Style(color=MUTED, bgcolor=BACKGROUND),
    Tone.STRONG: Style(color=FOREGROUND, bgcolor=BACKGROUND, bold=True),
    Tone.GAIN: Style(color="#5fafff", bgcolor=BACKGROUND),
    Tone.LOSS: Style(color="#ffaf00", bgcolor=BACKGROUND),
    Tone.STALE: Style(color=MUTED, bgcolor=BACKGROUND, italic=True),
    Tone.P1: Style(color="#ff5f5f", bgcolor=BACKGROUND, reverse=True),
    Tone.P2: Style(color="#ffff5f", bgcolor=BACKGROUND),
    Tone.P3: Style(color="#d787d7", bgcolor=BACKGROUND),
    Tone.REVERSE: Style(color=FOREGROUND, bgcolor=BACKGROUND, reverse=True),
}
RULE_STYLE: Final = Style(color=RULE, bgcolor=BACKGROUND)
"""Lines between panels: quieter than any text."""
CURSOR: Final = Style(reverse=True)
