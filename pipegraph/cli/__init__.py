"""The command ``pipegraph``: one subcommand a file."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence

from . import status, why


def main(arguments: Sequence[str] | None = None) -> int:
    """The exit status: 0; 1 if what was asked for is not there; 2 for wrong arguments, or an error of the graph."""
    parser = argparse.ArgumentParser(prog="pipegraph", description="Look at runs of pipegraph.")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    status.add_to(commands)
    why.add_to(commands)
    given = list(sys.argv[1:] if arguments is None else arguments)
    # What stands behind -- is for a script, also where it looks like an option.
    end = given.index("--") if "--" in given else len(given)
    chosen = parser.parse_args(given[:end])
    chosen.script_arguments = given[end + 1 :]
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
