"""``pipegraph why``: what a run would do now, and why; of all jobs, or of some. Runs the script, but no job."""

from __future__ import annotations

import argparse
import contextlib
import os
import runpy
import sys
import traceback
from collections.abc import Sequence
from pathlib import Path

from .. import graph, wishes
from ..errors import JobContractError, PyPipeGraphError, shown
from ..outlook import Outlook
from ..watchers.overview import Overview
from ..watchers.snapshot import SNAPSHOT


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
    parser.add_argument("--script", help="default: that of the last run here")
    parser.add_argument(
        "--changed",
        nargs="+",
        action="extend",
        default=[],
        metavar="X",
        help="as if these had changed: jobs, files, functions, or names of FunctionInvariants and ParameterInvariants",
    )
    parser.add_argument("--json", action="store_true", help="print it as JSON")
    parser.set_defaults(run=run, script_arguments=[])


def run(arguments: argparse.Namespace) -> int:
    """Carry it out; the exit status."""
    script = arguments.script or _script_of_last_run()
    if script is None:
        print("No run has left anything here: name the script by --script.", file=sys.stderr)
        return 1
    if not os.path.isfile(script):
        print(f"There is no script {shown(script)}: name it by --script.", file=sys.stderr)
        return 1
    outlooks: list[Outlook] = []
    wished = wishes.Wishes(dry_run=True, changed=tuple(arguments.changed), tell=outlooks.append)
    # What the script itself prints is no answer.
    with contextlib.redirect_stdout(sys.stderr):
        failure = _run_script(script, arguments.script_arguments, wished)
    if not outlooks:
        if isinstance(failure, PyPipeGraphError):
            print(f"{type(failure).__name__}: {failure}", file=sys.stderr)
        elif failure is not None:
            _print_exception(failure)
        else:
            print(f"{shown(script)} never called run_pipegraph(): name another script by --script.", file=sys.stderr)
        return 2
    if failure is not None:
        last = traceback.extract_tb(failure.__traceback__)[-1]
        print(
            f"The script failed after it had asked for a run ({type(failure).__name__} in {shown(last.filename)}:"
            f"{last.lineno}), since nothing was made. Jobs that it declares later are not told of.",
            file=sys.stderr,
        )
    return _answer(outlooks, arguments.names, arguments.json)


def _script_of_last_run() -> str | None:
    # Not asked whether it goes on, which would lock a file of it.
    with contextlib.suppress(OSError, ValueError):
        return Overview.from_json((Path("logs") / "latest" / SNAPSHOT).read_text(encoding="utf-8")).script
    return None


def _run_script(script: str, arguments: Sequence[str], wished: wishes.Wishes) -> BaseException | None:
    """Run it as Python does, with these wishes; what it raised, if not its own end."""
    before = sys.argv, sys.path[:], sys.dont_write_bytecode, wishes.current
    sys.argv = [script, *arguments]
    sys.path.insert(0, os.path.dirname(os.path.abspath(script)))
    sys.dont_write_bytecode = True
    wishes.current = wished
    try:
        runpy.run_path(script, run_name="__main__")
    except (SystemExit, KeyboardInterrupt) as end:
        if isinstance(end, KeyboardInterrupt):
            raise
    except Exception as error:
        return error
    finally:
        sys.argv, sys.path[:], sys.dont_write_bytecode, wishes.current = before
        graph.set_current(None)
    return None


def _print_exception(failure: BaseException) -> None:
    """As Python prints it, without what called the script."""
    trace = failure.__traceback__
    while trace is not None and _is_ours(trace.tb_frame.f_code.co_filename):
        trace = trace.tb_next
    traceback.print_exception(type(failure), failure, trace)


def _is_ours(filename: str) -> bool:
    return filename in (__file__, runpy.__file__) or filename.startswith("<frozen ")


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
