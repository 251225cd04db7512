"""simexchange: an offline exchange that speaks a real venue's protocol on loopback.

Decides what a venue would have done: matches orders (`tradebot.sim`) against a seeded synthetic market or a recording.
Owns the demo account and the market's own time line. Never runs in testnet or real, never talks to a real venue.
Everything but `http_server`, `ws_server` and `service` is pure.
"""
