"""One job of a script, for commands that call it by themselves: runs the script up to where its jobs are declared."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Callable, Iterator
from typing import Any

from .. import wishes
from ..errors import shown
from ..graph import Graph
from ..jobs import Job
from ..model import Role
from ..patterns import nearest
from ..targets import names_of
from .scripts import end_of, print_exception, restored

ASIDE = ".aside_by_pipegraph"
"""Behind the names of files that are out of the way while a job is called by itself; nobody else calls files so."""


class _Done(BaseException):
    """Not to be caught by the script: what was asked for is done, or has failed."""

    def __init__(self, code: int, error: BaseException | None = None) -> None:
        self.code = code
        self.error = error


def with_job(script: str, arguments: list[str], name: str, action: Callable[[Job], int]) -> int:
    """Run a script until it has declared a job and wants to run it; do something else there; the exit status.

    Parameters
    ----------
    name
        An id, or a file that the job makes.

    Notes
    -----
    Runs before it that have no such job are left out.
    """
    seen: list[Graph] = []

    def run(graph: Graph) -> Any:
        seen.append(graph)
        job = graph.maker(next(names_of(name, graph.maker)))
        if job is None or job.role is Role.INVARIANT:
            return None  # it may be declared behind; and were the name wrong, all would run for nothing
        wishes.current = wishes.NO_WISHES
        graph.resolve()
        try:
            code = action(job)
        except BaseException as error:
            raise _Done(1, error) from None
        raise _Done(code)

    try:
        with restored():
            failure = end_of(script, arguments, wishes.Wishes(instead=run))
    except _Done as done:
        if done.error is not None:
            raise done.error from None
        return done.code
    if failure is not None:
        print_exception(failure)
        return 2
    print(_not_found(name, seen), file=sys.stderr)
    return 1


def _not_found(name: str, graphs: list[Graph]) -> str:
    if not graphs:
        return "The script never called run_pipegraph()."
    names = {path for graph in graphs for job in graph.jobs.values() for path in (job.job_id, *job.outputs)}
    lines = [f"The script declares no job {shown(name)}."]
    lines += [f"    nearest: {shown(each)}" for each in nearest(name, names)]
    if any(job.is_generator for graph in graphs for job in graph.jobs.values()):
        lines.append("Jobs that a generator declares are known to its run only, and can't be called here.")
    return "\n".join(lines)


def prepare(job: Job) -> list[str]:
    """Make and load in this process what a job needs; temporary files that were made for it, to be removed.

    Raises
    ------
    RuntimeError
        The ordinary run that makes what stays failed (`pipegraph.RuntimeError`).
    """
    lasting, passing = _inputs(job)
    if lasting:
        job.graph.run(False, lasting)
    must, _ = job.graph.run(True, [job.job_id])
    stale = {start.job for start in must}
    made: list[str] = []
    for each in passing:
        if each.outputs and each.job_id not in stale and all(map(os.path.exists, each.outputs)):
            continue
        print(f"{'making' if each.outputs else 'loading'} {shown(each.job_id)} ({each.place})", file=sys.stderr)
        clear(each)
        made += each.outputs
        each.run()
    return made


def _inputs(job: Job) -> tuple[list[str], list[Job]]:
    """Ids of the jobs that an ordinary run makes; and temporary and loading jobs, each behind those that it needs."""
    lasting: dict[str, None] = {}
    passing: dict[Job, None] = {}
    if job.is_final:
        lasting.update((each.job_id, None) for each in job.graph.jobs.values() if each.role is Role.OUTPUT)
        del lasting[job.job_id]
    stack = [(job, iter(job.prerequisites))]
    while stack:
        current, rest = stack[-1]
        for each in rest:
            if each.role is Role.EPHEMERAL:
                if each not in passing:
                    stack.append((each, iter(each.prerequisites)))
                    break
            elif each.role is not Role.INVARIANT:
                lasting[each.job_id] = None
        else:
            stack.pop()
            if current is not job:
                passing[current] = None
    return list(lasting), list(passing)


@contextlib.contextmanager
def set_aside(job: Job) -> Iterator[list[str]]:
    """As before a run: no old outputs, and folders for new ones. Afterwards the old ones are back, whatever happens.

    Those that were put aside; whoever is killed leaves them with `ASIDE` behind their names.
    """
    aside = [path for path in job.outputs if os.path.lexists(path)]
    try:
        for path in aside:
            os.rename(path, path + ASIDE)
        for path in job.outputs:
            os.makedirs(os.path.dirname(path) or ".", exist_ok=True)
        yield aside
    finally:
        put_back(job)


def put_back(job: Job) -> list[str]:
    """What was set aside, also by a process that was killed."""
    found = [path for path in job.outputs if os.path.lexists(path + ASIDE)]
    for path in found:
        os.replace(path + ASIDE, path)
    return found


def clear(job: Job) -> None:
    """As before a run: no old outputs, and folders for the new ones."""
    for path in job.outputs:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(path)
        os.makedirs(os.path.dirname(path) or ".", exist_ok=True)


def remove(paths: list[str]) -> None:
    """What was only needed for a while."""
    for path in paths:
        with contextlib.suppress(OSError):
            os.unlink(path)
