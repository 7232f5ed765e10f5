"""Finds a circle of jobs that wait for each other. Does not recurse: chains may be long."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from .errors import CycleError
from .model import JobId


def check_for_cycles(jobs: Mapping[JobId, Any], maker: Callable[[str], Any | None]) -> None:
    """Nothing, if there is no circle.

    Raises
    ------
    CycleError
        With the path, and the place of each job on it.
    """
    # Most scripts declare what a job needs before the job. Then no circle is possible, and sets tell it fast.
    seen: set[str] = set()
    late: list[Any] = []
    for job_id, job in jobs.items():
        inputs = job.input_ids
        if inputs and not seen.issuperset(inputs):
            late.append(job)
        seen.add(job_id)
        if job.has_several_files:
            seen.update(job.outputs)
    if not late:
        return
    finished: set[JobId] = set()
    for start in late:
        if start.job_id in finished:
            continue
        path: dict[JobId, None] = {start.job_id: None}
        stack: list[Iterator[str]] = [iter(tuple(start.input_ids))]
        while stack:
            for name in stack[-1]:
                job = maker(name)
                if job is None or job.job_id in finished:
                    continue
                if job.job_id in path:
                    ids = list(path)
                    raise_cycle([jobs[each] for each in ids[ids.index(job.job_id) :]])
                path[job.job_id] = None
                stack.append(iter(tuple(job.input_ids)))
                break
            else:
                finished.add(path.popitem()[0])
                stack.pop()


def raise_cycle(circle: list[Any]) -> None:
    """Jobs in the order in which each needs the next; the last needs the first.

    Raises
    ------
    CycleError
    """
    shown = circle if len(circle) <= 20 else [*circle[:10], *circle[-10:]]
    facts = []
    for at, job in enumerate([*shown, circle[0]]):
        if len(shown) < len(circle) and at == 10:
            facts.append(("…", f"{len(circle) - 20} more jobs"))
        facts.append(("job" if at == 0 else "needs", f"{job.job_id} ({type(job).__name__}, {job.place})"))
    raise CycleError("jobs wait for each other in a circle", facts, "Remove one of these dependencies.")
