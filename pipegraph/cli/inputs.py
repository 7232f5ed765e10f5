"""``pipegraph inputs FILE``: all that a file was made from, of whichever script."""

from __future__ import annotations

import argparse
import json

from ..errors import shown
from .shared import add_status_file, knowledge_of


def add_to(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Declare the subcommand."""
    parser = commands.add_parser(
        "inputs",
        help="what a file was made from, and that from what",
        description="Shows what files were made from, and that from what, back to files that no job makes, functions "
        "and parameters: as runs of any script recorded it.",
    )
    add_options(parser)
    parser.set_defaults(run=run)


def add_options(parser: argparse.ArgumentParser) -> None:
    """Declare what both directions take."""
    parser.add_argument("names", nargs="+", metavar="FILE", help="a file, the id of a job, a pattern, a beginning")
    how = parser.add_mutually_exclusive_group()
    how.add_argument("--flat", action="store_true", help="one name a line")
    how.add_argument("--json", action="store_true", help="a list of what was found, each with its direct neighbours")
    add_status_file(parser)


def run(arguments: argparse.Namespace) -> int:
    """Carry it out; the exit status."""
    show(arguments, is_upward=True)
    return 0


def show(arguments: argparse.Namespace, is_upward: bool) -> None:
    """Print all that can be reached in one direction."""
    from .lineage import Lineage, reached, tree
    from .names import found

    lineage = Lineage(knowledge_of(arguments.status_file))
    below = lineage.inputs if is_upward else lineage.dependents
    roots = [
        root for name in arguments.names for root in ([name] if name in lineage.codes else found([name], lineage.names))
    ]
    roots = list(dict.fromkeys(roots))
    if arguments.json:
        direct = "inputs" if is_upward else "dependents"
        every = reached(roots, below).items()
        print(
            json.dumps([{"name": name, "kind": lineage.kind(name), direct: names} for name, names in every], indent=1)
        )
    elif arguments.flat:
        for name in reached(roots, below):
            if name not in roots:
                print(shown(name))
    elif not any(map(below, roots)):
        print("Nothing that it was made from is known." if is_upward else "Nothing that was made from it is known.")
    else:
        for line in tree(roots, below, lineage.label):
            print(line)
