"""execd: gets approved orders done. Owns order lifecycles, protection, venue sessions and the trading keys.

It decides how an approved order is worked and when its outcome is proven; it never sends an order without an
approval (or a protection grant) that it has verified against the exact bytes, and it never resends one. Positions
here are views; riskd is the authority.
"""
