"""riskd decides whether an order may be sent, how large, and at which trading level the system stands.

Owns: limits, holds and levels, reservations, positions, PnL, approvals. Authority for all of them, rebuilt from its
journal alone. Never: holds a trading key, opens a venue socket, waits for execd inside a handler.
"""
