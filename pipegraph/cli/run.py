"""``pipegraph run``: a script as ``python SCRIPT`` would run it, with wishes for each run_pipegraph() of it.

Becomes the script: nothing of this module stands in its tracebacks, and its ``__main__`` stays until the process ends.
"""

from __future__ import annotations

import argparse
import sys

from .. import wishes
from ..errors import PyPipeGraphError, RuntimeError, StatusHeldError
from .scripts import become, print_exception

_FAILED, _REFUSED, _HELD = 1, 2, 3


def add_to(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Declare the subcommand."""
    parser = commands.add_parser(
        "run",
        help="run a script: all of it, or some, or only look ahead",
        usage="pipegraph run SCRIPT [options] [-- arguments of the script]",
        description="Runs a script as python does; what is asked here holds for each run_pipegraph() of it. JOB and "
        "TARGET are ids of jobs, files that they make, or patterns ('out/*.tsv').",
    )
    parser.add_argument("script", metavar="SCRIPT")
    parser.add_argument(
        "-n", "--dry-run", action="store_true", help="say what would be made, and why; the script ends there"
    )
    parser.add_argument(
        "--only", nargs="+", action="extend", default=[], metavar="TARGET", help="make these and what they need"
    )
    parser.add_argument(
        "-f", "--force", nargs="+", action="extend", default=[], metavar="JOB", help="make these whatever was recorded"
    )
    how = parser.add_mutually_exclusive_group()
    how.add_argument(
        "-k",
        "--keep-going",
        action="store_true",
        help="after a failure do all that does not depend on it (the default)",
    )
    how.add_argument("--fail-fast", action="store_true", help="after a failure start nothing more")
    parser.add_argument("-c", "-j", "--cores", type=_cores, default=0, metavar="N", help="use so many cores")
    parser.set_defaults(run=run, script_arguments=[])


def run(arguments: argparse.Namespace) -> int:
    """Carry it out; the exit status, where the script does not end with one of its own."""
    wished = wishes.Wishes(
        arguments.dry_run,
        tuple(arguments.only),
        tuple(arguments.force),
        arguments.fail_fast,
        arguments.cores,
        arguments.began_in,
    )
    try:
        code, main = become(arguments.script, arguments.script_arguments, wished)
        exec(code, main.__dict__)
    except RuntimeError:
        return _FAILED  # the run has said so
    except PyPipeGraphError as error:
        print(f"pipegraph: {error}", file=sys.stderr)
        return _HELD if isinstance(error, StatusHeldError) else _REFUSED
    except Exception as error:
        print_exception(error)
        return _FAILED
    return 0


def _cores(text: str) -> int:
    if not (text.isdecimal() and int(text)):
        raise argparse.ArgumentTypeError(f"a number of at least 1, not {text!r}")
    return int(text)
