"""nautilus_trader 1.221.0."""
