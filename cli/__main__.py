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
    import typer

    from cli.app import app
    from cli.output import complain

    try:
        sys.exit(app(standalone_mode=False))
    except typer.TyperException as exc:  # a wrong argument; without any it carries the whole help
        text = exc.format_message()
        complain(text) if "\n" not in text else print(text, file=sys.stderr)
        sys.exit(exc.exit_code)


if __name__ == "__main__":
    main()
