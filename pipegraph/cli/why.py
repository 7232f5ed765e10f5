"""``pipegraph why``: what a run would do now, and why; of all jobs, or of some. Runs the script, but no job."""

from __future__ import annotations

import argparse
import sys

from ..outlook import Outlook
from .outlooks import named, outlooks_of
from .scripts import add_script
from .shared import NotThereError


def add_to(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Declare the subcommand."""
    parser = commands.add_parser(
        "why",
        help="what a run would do now, and why",
        usage="pipegraph why [JOB|FILE ...] [--script SCRIPT] [--changed X ...] [--json] [-- ARGUMENT ...]",
        description="Tells which jobs must run and why, which may, for how long, and what a change would lead to. The "
        "script is run for that (with what stands behind -- as its arguments), but none of its jobs, and no file is "
        "changed.",
    )
    parser.add_argument(
        "names",
        nargs="*",
        metavar="JOB|FILE",
        help="tell of these only: ids, files, patterns, beginnings (default: of all)",
    )
    add_script(parser)
    parser.add_argument(
        "--changed",
        nargs="+",
        action="extend",
        default=[],
        metavar="X",
        help="as if these had changed: jobs, files, functions, global variables, or names of invariants",
    )
    parser.add_argument("--json", action="store_true", help="print it as JSON")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Carry it out; the exit status."""
    with outlooks_of(arguments, arguments.changed) as outlooks:
        if not arguments.names:
            for outlook in outlooks:
                print(outlook.to_json()) if arguments.json else outlook.show()
            return 0
        code = 0
        for name in arguments.names:
            try:
                for outlook, job in named(outlooks, name):
                    print(outlook.to_json(_jobs_of(outlook, job)) if arguments.json else outlook.why(job))
            except NotThereError as error:
                print(f"pipegraph: {error}", file=sys.stderr)
                code = 1
        return code


def _jobs_of(outlook: Outlook, name: str) -> list[str]:
    return [spec.id for spec in outlook.names.named(name)[1] if spec.id in outlook.jobs]
