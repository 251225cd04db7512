"""Break the code that guards money on purpose, one place at a time, and see whether a test notices.

`breaks` finds and makes the changes, `swap` puts one into a running process, `server` runs tests with it, `plugin` is
what pytest is told, `run` leads the workers, `__main__` is the command.
"""
