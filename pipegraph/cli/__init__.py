"""The command ``pipegraph``: one subcommand a file. Looks at what runs leave, or calls one job of a script."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence

from . import debug, status, twice


def main(arguments: Sequence[str] | None = None) -> int:
    """The exit status: 0; 1 if what was asked for is not there; 2 for wrong arguments (argparse)."""
    parser = argparse.ArgumentParser(prog="pipegraph", description="Look at runs of pipegraph, and at single jobs.")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    status.add_to(commands)
    debug.add_to(commands)
    twice.add_to(commands)
    given = list(sys.argv[1:] if arguments is None else arguments)
    # What follows is the script's, and may look like ours.
    own = given.index("--") if "--" in given else len(given)
    chosen = parser.parse_args(given[:own], argparse.Namespace(script_arguments=given[own + 1 :]))
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
