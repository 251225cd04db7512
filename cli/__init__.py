"""The `tradebot` command: starts daemons, scripts them, prints what they say. Decides nothing itself.

Modules: `app` (commands), `supervisor` and `restarts` (child processes), `launcher`, `demo`, `client` (gRPC), `views`
(what is shown), `render` (how it is shown), `stopping` (HALT and KILL fan-out), `doctor`, `sample_data`.
"""
