"""backtest: recorded history through the same engine, risk and execution code, under a virtual clock.

Starts the engine as a process and drives it over gRPC; hosts riskd's and execd's cores and the simulated venue in this
process. Owns the virtual clock, the recording and the report; has no strategy, risk or execution code of its own.
"""
