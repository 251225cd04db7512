"""Shared library of tradebot: pure trading domain at the bottom, the runtime that touches the world on top.

Floors, imports point down only: runtime > sim, features, venues, wire > core. `rpc` holds generated stubs.
"""
