"""``pipegraph check --twice``: makes a job once more, aside, and compares the bytes.

If they differ, all that depends on the job is made again each time that it is. The first time is in a process of its
own, so that sets come in another order (PYTHONHASHSEED).
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import tempfile
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ..errors import JobContractError, PyPipeGraphError, shown
from ..jobs import FileGeneratingJob, Job, MultiFileGeneratingJob
from ..model import Role
from . import code_of
from .declared import prepare, put_back, remove, set_aside, with_job

_CHUNK_BYTES = 1 << 20


def check_twice(name: str, script: str, arguments: list[str]) -> int:
    """0: both times the same bytes; 1: not."""
    program = f"import sys; from {__name__} import make; sys.exit(make(*sys.argv[1:]))"
    made = subprocess.run([sys.executable, "-c", program, name, script, *arguments], check=False)
    return made.returncode or with_job(script, arguments, name, _compare)


def make(name: str, script: str, *arguments: str) -> int:
    """The first time: an ordinary run of this job."""

    def run(job: Job) -> int:
        if job.role is not Role.OUTPUT or not job.outputs:
            raise JobContractError(
                "only files that stay can be compared", [("job", f"{job.job_id} ({type(job).__name__}, {job.place})")]
            )
        for path in put_back(job):
            print(f"{shown(path)}: put back, from a comparison that was killed", file=sys.stderr)
        job.graph.run(False, [job.job_id])
        return 0

    try:
        return with_job(script, list(arguments), name, run)
    except PyPipeGraphError as error:
        print(f"pipegraph: {error}", file=sys.stderr)
        return code_of(error)


def _compare(job: Job) -> int:
    with _ended_by_signals(), tempfile.TemporaryDirectory(prefix=".pipegraph_twice_", dir=".") as folder:
        made = prepare(job)
        try:
            second = _make_again(job, folder)
        finally:
            remove(made)
        if second is None:
            print(f"{shown(job.job_id)} ({job.place}) failed the second time", file=sys.stderr)
            return 1
        differences = [_difference(path, second[path]) for path in job.outputs]
    for path, difference in zip(job.outputs, differences):
        print(f"{shown(path)}: {difference or f'equal, {os.path.getsize(path):,} bytes'}")
    if any(differences):
        print("Not reproducible: what depends on it is made again each time that it is.")
        return 1
    return 0


def _make_again(job: Job, folder: str) -> dict[str, str] | None:
    """Where the files of the second time are, by those of the first; None: it failed."""
    second = {path: os.path.join(folder, path) for path in job.outputs}
    for path in second.values():
        os.makedirs(os.path.dirname(path), exist_ok=True)
    given = _paths_given(job)
    if given is not None:
        before = {path: os.stat(path) for path in job.outputs}
        function = job.function
        assert function is not None
        is_well = _in_fork(lambda: function(_aside(given, folder)))
        for path, stat in before.items():
            if not os.path.exists(path) or os.stat(path).st_ctime_ns != stat.st_ctime_ns:
                raise JobContractError(
                    "the callback does not write to the path that it is given",
                    [("job", f"{job.job_id} ({job.place})"), ("it changed", path)],
                    "Let it use its argument, or take none. The next run makes the file again.",
                )
        return second if is_well else None
    with set_aside(job):
        is_well = _in_fork(job.run)
        for path, aside in second.items():
            with contextlib.suppress(FileNotFoundError):
                os.rename(path, aside)
    return second if is_well else None


def _paths_given(job: Job) -> Any:
    """What the callback gets as its argument; None if it gets none, or who calls it does more than that."""
    if not job._takes_output:
        return None
    if type(job).run is FileGeneratingJob.run and isinstance(job, FileGeneratingJob) and len(job.outputs) == 1:
        return job.files[0]
    if type(job).run is MultiFileGeneratingJob.run and isinstance(job, MultiFileGeneratingJob):
        return job.files
    return None


def _aside(given: Any, folder: str) -> Any:
    if isinstance(given, dict):
        return {key: Path(folder, path) for key, path in given.items()}
    return [Path(folder, path) for path in given] if isinstance(given, list) else Path(folder, given)


def _in_fork(call: Any) -> bool:
    """Whether it came back, in a process whose death ends nothing else."""
    sys.stdout.flush()
    sys.stderr.flush()
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            for number in (signal.SIGTERM, signal.SIGHUP):
                signal.signal(number, signal.SIG_DFL)
            call()
            code = 0
        except SystemExit as error:
            code = 0 if error.code in (None, 0) else 1
        except BaseException:
            traceback.print_exc()
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(code)
    try:
        _, status = os.waitpid(pid, 0)
    except BaseException:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        raise
    return status == 0


@contextlib.contextmanager
def _ended_by_signals() -> Iterator[None]:
    """What ends this process as a rule does so by an exception: all is put back."""

    def end(number: int, frame: object) -> None:
        raise SystemExit(128 + number)

    before = {number: signal.signal(number, end) for number in (signal.SIGTERM, signal.SIGHUP)}
    try:
        yield
    finally:
        for number, answer in before.items():
            signal.signal(number, answer)


def _difference(first: str, second: str) -> str:
    """In words; empty, if there is none."""
    if not os.path.isfile(second):
        return "it was not made the second time"
    at = 0
    with open(first, "rb") as one, open(second, "rb") as other:
        while True:
            ours, theirs = one.read(_CHUNK_BYTES), other.read(_CHUNK_BYTES)
            if ours != theirs:
                at += next((i for i, (a, b) in enumerate(zip(ours, theirs)) if a != b), min(len(ours), len(theirs)))
                return (
                    f"differs from byte {at:,} on: {_shown_from(first, at)}, then {_shown_from(second, at)}; "
                    f"{os.path.getsize(first):,} and {os.path.getsize(second):,} bytes"
                )
            if not ours:
                return ""
            at += len(ours)


def _shown_from(path: str, at: int) -> str:
    with open(path, "rb") as source:
        source.seek(at)
        data = source.read(8)
    return repr(data) if data else "its end"
