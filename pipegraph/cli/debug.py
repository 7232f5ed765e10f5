"""``pipegraph debug``: one job in the foreground, with a debugger where it fails, or with the files that it opens."""

from __future__ import annotations

import argparse
import os
import pdb
import re
import shutil
import sys
import tempfile
import time
import traceback
from pathlib import Path
from types import TracebackType
from typing import NamedTuple, NoReturn

from ..errors import shown
from ..invariants.origins import origin_of
from ..jobs import Job
from ..model import Origin
from ..slaves.child import put_away
from .declared import prepare, put_back, remove, set_aside, with_job
from .scripts import add_script, script_of

_DEBUG = ".debug"
_POLL_SECONDS = 0.005
_SYSTEM_CALLS = "trace=?open,openat,?openat2,?creat,?rename,renameat,renameat2"
# strace(1), -y: descriptors stand with their paths, so that what was opened is the path behind the answer.
_OPENED = re.compile(r"^(creat|open\w*)\((.*)\) += \d+<(/[^>]*)>")
_RENAMED = re.compile(r'^rename\w*\((?:AT_FDCWD<(.*?)>, )?".*?", (?:AT_FDCWD<.*?>, )?"(.*?)".*\) += 0')


def add_to(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Declare the subcommand."""
    parser = commands.add_parser(
        "debug",
        usage="%(prog)s [-h] [--script SCRIPT] [--strace] JOB [-- ARGUMENT ...]",
        help="run one job in the foreground, with a debugger where it fails",
        description="Makes what a job needs, as a run does, and then calls the job by itself, in the foreground. Where "
        "it raises, the Python debugger opens in your own code. Nothing of it is recorded. What follows -- is given to "
        "the script.",
    )
    parser.add_argument("job", metavar="JOB", help="the id of the job, or a file that it makes")
    add_script(parser)
    parser.add_argument("--strace", action="store_true", help="show all files that it and its programs open")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Carry it out; the exit status."""
    if arguments.strace and shutil.which("strace") is None:
        print("strace is not installed (Debian, Ubuntu: apt install strace).", file=sys.stderr)
        return 2
    call = _call_traced if arguments.strace else _call

    def debug(job: Job) -> int:
        for path in put_back(job):
            print(f"{shown(path)}: put back, from a call that was killed", file=sys.stderr)
        made = prepare(job)
        print(f"calling {shown(job.job_id)} ({job.place})", file=sys.stderr)
        directory = os.getcwd()
        with set_aside(job) as aside:
            try:
                is_well = call(job) and _kept_its_contract(job)
            finally:
                os.chdir(directory)
                remove(made)
            kept = [path for path in job.outputs if is_well and os.path.isfile(path)]
            for path in kept if aside else ():
                os.replace(path, path + _DEBUG)
            if not is_well:
                put_away(job.outputs, job.rename_broken)
        for path in kept:
            print(f"what it made: {shown(path + _DEBUG if aside else path)}", file=sys.stderr)
        what = "It went well" if is_well else "It failed"
        print(f"{what}. Nothing was recorded, and what was there before still is.", file=sys.stderr)
        return 0 if is_well else 1

    return with_job(script_of(arguments), arguments.script_arguments, arguments.job, debug)


def _call(job: Job) -> bool:
    """Whether it came back; if not, after a talk with the debugger."""
    began = time.perf_counter()
    try:
        job.run()
    except BaseException as error:
        if isinstance(error, SystemExit) and error.code in (None, 0):
            return True
        _print_traceback(error)
        if not isinstance(error, KeyboardInterrupt):
            _open_debugger(error)
        return False
    print(f"it took {time.perf_counter() - began:.1f} s", file=sys.stderr)
    return True


def _kept_its_contract(job: Job) -> bool:
    problems = [
        f"{'missing' if not os.path.isfile(path) else 'empty'}: {shown(path)}"
        for path in job.outputs
        if not os.path.isfile(path) or not (os.path.getsize(path) or path in job.empty_ok)
    ]
    for each in problems:
        print(f"it did not keep its promise; {each}", file=sys.stderr)
    return not problems


def _print_traceback(error: BaseException) -> None:
    """From the job's own first call on."""
    trace = error.__traceback__
    while trace is not None and origin_of(trace.tb_frame.f_code.co_filename) is Origin.PIPEGRAPH:
        trace = trace.tb_next
    sys.stdout.flush()
    traceback.print_exception(type(error), error, trace or error.__traceback__)


def _open_debugger(error: BaseException) -> None:
    """At the innermost call of the user's own code; what it called is below (``down``)."""
    debugger = pdb.Pdb()
    debugger.reset()
    below = _calls_below_own(error.__traceback__)
    if below:
        debugger.cmdqueue.append(f"up {below}")
    debugger.interaction(None, error.__traceback__)


def _calls_below_own(trace: TracebackType | None) -> int:
    """How many calls in libraries follow the last one in the user's code; none, if there is none of those."""
    below, has_own = 0, False
    while trace is not None:
        if origin_of(trace.tb_frame.f_code.co_filename) is Origin.SCRIPT:
            below, has_own = 0, True
        else:
            below += 1
        trace = trace.tb_next
    return below if has_own else 0


# --- with strace


class _Files(NamedTuple):
    """Below the project's directory, relative."""

    read: set[str]
    written: set[str]


def _call_traced(job: Job) -> bool:
    """In a process of its own, whose parent becomes strace: a tracer must be an ancestor (ptrace(2), Yama)."""
    with tempfile.TemporaryDirectory(prefix="pipegraph-strace-") as folder:
        sys.stdout.flush()
        sys.stderr.flush()
        tracer = os.fork()
        if tracer == 0:
            _become_tracer(job, folder)
        os.waitpid(tracer, 0)
        files = _files_of(folder, os.getcwd())
        is_well = os.path.exists(os.path.join(folder, "well"))
    _print_files(job, files)
    return is_well


def _become_tracer(job: Job, folder: str) -> NoReturn:
    parent = os.getpid()
    traced = os.fork()
    if traced:
        what = ["-f", "-ff", "-y", "-qqq", "-s", "4096", "-e", _SYSTEM_CALLS, "-e", "signal=none"]
        try:
            os.execvp("strace", ["strace", *what, "-o", os.path.join(folder, "trace"), "-p", str(traced)])
        finally:
            os._exit(127)
    try:
        while "TracerPid:\t0\n" in Path("/proc/self/status").read_text():
            if os.getppid() != parent:
                os._exit(1)  # strace has said why it can't
            time.sleep(_POLL_SECONDS)
        try:
            job.run()
        except SystemExit as error:
            if error.code not in (None, 0):
                raise
        Path(folder, "well").touch()
    except BaseException as error:
        _print_traceback(error)
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(0)


def _files_of(folder: str, directory: str) -> _Files:
    """Those that are there still."""
    found = _Files(set(), set())
    for trace in Path(folder).glob("trace.*"):
        for line in trace.read_text(errors="backslashreplace").splitlines():
            opened, renamed = _OPENED.match(line), _RENAMED.match(line)
            if renamed:
                found.written.add(os.path.join(renamed[1] or directory, renamed[2]))
            elif opened and "O_DIRECTORY" not in opened[2]:
                is_written = opened[1] == "creat" or "O_WRONLY" in opened[2] or "O_RDWR" in opened[2]
                if not is_written or ("O_RDWR" in opened[2] and "O_TRUNC" not in opened[2]):
                    found.read.add(opened[3])
                if is_written:
                    found.written.add(opened[3])
    below = directory + os.sep
    return _Files(
        *({os.path.normpath(path)[len(below) :] for path in paths if _is_file_below(path, below)} for paths in found)
    )


def _is_file_below(path: str, below: str) -> bool:
    return os.path.normpath(path).startswith(below) and os.path.isfile(path)


def _print_files(job: Job, files: _Files) -> None:
    inputs = {path for each in job.prerequisites for path in each.outputs} | {each.job_id for each in job.prerequisites}
    for what, paths, declared, otherwise in (
        ("read", files.read - set(job.outputs), inputs, "no input of it"),
        ("written", files.written, set(job.outputs), "no output of it"),
    ):
        print(f"{what}, below this directory:" if paths else f"{what}, below this directory: nothing")
        for path in sorted(paths):
            print(f"    {shown(path)}" + ("" if path in declared else f"    ({otherwise})"))
