"""Several jobs in a row, as `job + job` makes them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

from ..errors import JobContractError

if TYPE_CHECKING:
    from .base import Job


def flatten_jobs(nested: Any) -> list[Job]:
    """The jobs in lists nested at will; None is left out."""
    found: list[Job] = []
    stack = [iter((nested,))]
    while stack:
        for thing in stack[-1]:
            if hasattr(thing, "job_id"):
                found.append(thing)
            elif isinstance(thing, Iterable) and not isinstance(thing, str | bytes):
                stack.append(iter(thing))
                break
            elif thing is not None:
                raise ValueError(f"not a job: {thing!r:.100}")
        else:
            stack.pop()
    return found


class JobList:
    """Jobs that are given inputs together.

    Raises
    ------
    ValueError
        Something in it is no job.
    """

    def __init__(self, jobs: Iterable[Job] = ()) -> None:
        self._jobs: list[Job] = []
        for job in jobs:
            self._append(job)

    def _append(self, job: Any) -> None:
        if not hasattr(job, "job_id"):
            raise JobContractError("a JobList holds jobs only", [("given", f"{job!r:.100} ({type(job).__name__})")])
        self._jobs.append(job)

    def __iter__(self) -> Iterator[Job]:
        return iter(self._jobs)

    def __len__(self) -> int:
        return len(self._jobs)

    def __getitem__(self, index: int) -> Job:
        return self._jobs[index]

    def __add__(self, other: Any) -> JobList:
        if not isinstance(other, Iterable) or isinstance(other, str):
            raise JobContractError(
                "only jobs can be added to jobs", [("given", f"{other!r:.100} ({type(other).__name__})")]
            )
        return JobList([*self._jobs, *other])

    def depends_on(self, *jobs: Any) -> JobList:
        """Give each of them these inputs; gives back the list."""
        for job in self._jobs:
            job.depends_on(*jobs)
        return self
