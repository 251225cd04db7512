"""The eyes read what the venues hold, with keys of their own that may only read, and report it to riskd.

A small process of its own, because riskd opens no venue socket and execd must not be the only witness of what execd
does. Owns: read-only keys. Authority for nothing: riskd compares and decides. Never: sends anything to a venue, holds
a trading key, keeps state. From when on history is read again, riskd says.
"""
