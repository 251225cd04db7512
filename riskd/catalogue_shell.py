"""Prints docs/risk-checks.md: `python -m riskd.catalogue_shell > docs/risk-checks.md`."""

from __future__ import annotations

from riskd.catalogue_page import render_page

if __name__ == "__main__":
    print(render_page(), end="")
