"""Everything that touches the world: clock, journal, configuration, logs, metrics, gRPC, identity, streams, process
shell.

Used by every daemon's thin shell and by no pure core. Nothing here knows what an order is, and nothing here imports
generated stubs except the standard health and reflection services.
"""
