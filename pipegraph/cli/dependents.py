"""``pipegraph dependents FILE``: all that was made from a file, by whichever script."""

from __future__ import annotations

import argparse

from .inputs import add_options, show


def add_to(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Declare the subcommand."""
    parser = commands.add_parser(
        "dependents",
        help="what was made from a file, and what from that",
        description="Shows what was made from files, and what from that: as runs of any script recorded it.",
    )
    add_options(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Carry it out; the exit status."""
    show(arguments, is_upward=False)
    return 0
