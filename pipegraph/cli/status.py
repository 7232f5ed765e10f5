"""``pipegraph status``: the run that goes on in this directory, live, or how the last one ended."""

from __future__ import annotations

import argparse


def add_to(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Declare the subcommand."""
    parser = commands.add_parser(
        "status",
        help="the run that goes on here, live, or how the last one ended",
        description="Shows the run that goes on in a directory, live, or how the last one ended. Ctrl-C ends the "
        "display, not the run.",
    )
    parser.add_argument("directory", nargs="?", default=".", help="where the script runs (default: here)")
    parser.add_argument("--once", action="store_true", help="print it once, also on a terminal")
    parser.add_argument("--json", action="store_true", help="print it once, as JSON")
    parser.add_argument("--machine", action="store_true", help="instead, the runs that share this machine")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Carry it out; the exit status."""
    if arguments.machine:
        from .machine import show as show_machine

        return show_machine(arguments.json)
    from .last_run import show

    return show(arguments.directory, arguments.once, arguments.json)
