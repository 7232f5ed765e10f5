"""The command ``pipegraph``: one subcommand a file. Looks at what runs leave; never runs or changes anything."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence

from . import status


def main(arguments: Sequence[str] | None = None) -> int:
    """The exit status: 0; 1 if what was asked for is not there; 2 for wrong arguments (argparse)."""
    parser = argparse.ArgumentParser(prog="pipegraph", description="Look at runs of pipegraph.")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    status.add_to(commands)
    chosen = parser.parse_args(arguments)
    try:
        code = int(chosen.run(chosen))
        sys.stdout.flush()
        return code
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:  # | head
        # What is left is flushed at the end (signal, "Note on SIGPIPE").
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
