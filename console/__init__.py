"""The operator console: shows what the daemons say and carries the operator's commands to them.

It decides nothing, owns nothing and computes no PnL; leaving it never changes trading. `store.py` folds messages into
what is shown, `panels/` lays it out as lines of text, `widgets/` paints lines, `client.py` and `stop_client.py` talk to
the daemons.
"""
