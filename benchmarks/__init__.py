"""Benchmarks: ours beside peers and floors, interleaved in one run. `make bench`, or one with
`make bench ONLY=tick_to_wire_p50`.

Figures are ratios of medians over interleaved rounds; absolute times belong to the machine that made them.
"""
