"""Prints docs/holds.md: `python -m riskd.holds_shell > docs/holds.md`."""

from __future__ import annotations

from riskd.holds_page import render_page

if __name__ == "__main__":
    print(render_page(), end="")
