"""What a run leaves behind as tables: orders, fills, positions, equity, fees, funding, and a summary.

`schemas` says what the columns mean, `files` writes and opens them, `recorder` fills them while a backtest runs,
`compiled` after the run of a compiled strategy.
Reports read these tables; they compute nothing that is not in them.
"""
