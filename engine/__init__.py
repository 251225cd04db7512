"""engine: decides what to want.

Runs strategies on market data rows and order events and proposes order intents. Owns strategies, bars, features and
signals, and a derived view of each strategy's position. Never talks to a venue, never sizes past riskd, never sends
anything but intents to execd.
"""
