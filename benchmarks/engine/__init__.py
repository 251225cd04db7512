"""The event-driven engine beside nautilus_trader: live strategies in Python on L2 data."""
