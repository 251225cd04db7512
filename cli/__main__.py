"""Entry point of the `tradebot` command."""

from __future__ import annotations

import os
import sys

from tradebot._version import untested_python_message


def main() -> None:
    """Run the command line."""
    if (message := untested_python_message()) is not None:
        sys.exit(message)
    os.environ.setdefault("GRPC_VERBOSITY", "ERROR")  # its C core logs every closed connection otherwise
    from cli.app import app

    app()


if __name__ == "__main__":
    main()
