"""The one matching simulator: background book, our orders with queue position, accounts, latency, synthetic market.

Pure: integers in ticks, lots and Money; time and chance are arguments. It serves simexchange, backtest and tests.
"""
