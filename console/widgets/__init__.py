"""Widgets: they paint lines that the pure panels made, and know where the cursor is. Nothing more."""
