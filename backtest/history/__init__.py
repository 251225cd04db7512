"""Recorded market data: readers for the common formats, merge by receive time, checks and corrections.

Every reader yields `Rows`, bounded batches of integer columns; nothing is ever held whole unless `load` is asked for.
A reader refuses what it cannot read exactly: the error names file, row and column (`DataError`). The formats, the
columns and the checks are described in docs/data.md.
"""
