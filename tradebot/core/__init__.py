"""Pure trading domain: amounts, instruments, ids, orders, executions, positions, books, levels, errors.

Nothing here does I/O, reads a clock or draws a random number. Everything above imports from here; this imports
nothing of ours.
"""
