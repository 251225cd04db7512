"""marketdata: is this book true, which markets exist, what happened in them.

Decides whether a book may be served. Owns venue feeds, books and the sequence numbers of normalized rows. Never sends
an order, never serves a book it cannot prove, never waits for a slow reader.
"""
