"""The panels of the screens as lines of text: `View` and a width in, lines out. Nothing here knows a terminal.

Colour marks deviation only, and never alone: gain `^ +`, loss `v -`, stale `~`, dead `?`, priorities `[1]` `[2]` `[3]`.
"""
