"""Strategies that come with the system, one file each. `engine.catalog` finds them; nothing lists them by hand."""
