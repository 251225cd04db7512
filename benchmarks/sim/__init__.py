"""The simulator beside hftbacktest: one synthetic feed, the same strategies for both, equal counters demanded."""
