"""``pipegraph why``: what a run would do now, and why; of all jobs, or of some. Runs the script, but no job."""

from __future__ import annotations

import argparse
import contextlib
import os
import sys
import traceback
from collections.abc import Sequence

from .. import wishes
from ..errors import JobContractError, PyPipeGraphError, shown
from ..outlook import Outlook
from .scripts import add_script, end_of, print_exception, script_of


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
    parser.add_argument("names", nargs="*", metavar="JOB|FILE", help="tell of these only (default: of all)")
    add_script(parser)
    parser.add_argument(
        "--changed",
        nargs="+",
        action="extend",
        default=[],
        metavar="X",
        help="as if these had changed: jobs, files, functions, or names of FunctionInvariants and ParameterInvariants",
    )
    parser.add_argument("--json", action="store_true", help="print it as JSON")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Carry it out; the exit status."""
    script = script_of(arguments)
    outlooks: list[Outlook] = []
    wished = wishes.Wishes(dry_run=True, changed=tuple(arguments.changed), tell=outlooks.append)
    # What the script itself prints is no answer.
    with contextlib.redirect_stdout(sys.stderr):
        failure = end_of(script, arguments.script_arguments, wished)
    if not outlooks:
        if isinstance(failure, PyPipeGraphError):
            raise failure
        if failure is None:
            headline = f"{shown(script)} never called run_pipegraph()"
            raise JobContractError(headline, (), "Name another script: --script SCRIPT.")
        print_exception(failure)
        return 2
    if failure is not None:
        last = traceback.extract_tb(failure.__traceback__)[-1]
        place = f"{os.path.relpath(last.filename)}:{last.lineno}"
        print(
            f"The script failed after it had asked for a run ({type(failure).__name__} in {shown(place)}), since "
            "nothing was made. Jobs that it declares later are not told of.",
            file=sys.stderr,
        )
    return _answer(outlooks, arguments.names, arguments.json)


def _answer(outlooks: Sequence[Outlook], names: Sequence[str], is_json: bool) -> int:
    if not names:
        for outlook in outlooks:
            print(outlook.to_json()) if is_json else outlook.show()
        return 0
    code = 0
    for name in names:
        knowing = [outlook for outlook in outlooks if outlook.names.named(name)[1]]
        if knowing:
            # Of several runs of one script, the last that has it knows most.
            outlook = knowing[-1]
            print(outlook.to_json(_jobs_of(outlook, name)) if is_json else outlook.why(name))
            continue
        code = 1
        try:
            outlooks[-1].why(name)
        except JobContractError as error:
            print(error, file=sys.stderr)
    return code


def _jobs_of(outlook: Outlook, name: str) -> list[str]:
    return [spec.id for spec in outlook.names.named(name)[1] if spec.id in outlook.jobs]
