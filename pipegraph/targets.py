"""Runs of which only some jobs are wanted: they, and all that they need. Owns who takes part in such a run."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from .errors import JobContractError
from .model import JobId, JobSpec, Place

_NEAREST = 3


def names_of(targets: Any, maker: Callable[[str], Any]) -> Iterator[str]:
    """Ids of jobs and paths, as the graph knows them.

    Parameters
    ----------
    targets
        A job, the id of one, a path, or several of these.

    Raises
    ------
    TypeError
        Something else.
    """
    if hasattr(targets, "job_id"):
        yield targets.job_id
    elif isinstance(targets, (str, os.PathLike)):
        name = os.fspath(targets)
        yield str(name) if maker(str(name)) is not None else os.path.relpath(str(name))
    elif isinstance(targets, Iterable):
        for each in targets:
            yield from names_of(each, maker)
    else:
        raise TypeError(f"a target is a job, the id of one, or a file that one makes, not {type(targets).__name__}")


class Targets:
    """Who takes part.

    Parameters
    ----------
    jobs
        All jobs by id; the graph keeps it.
    maker
        The job with an id, or that makes a file; None if there is none.
    where
        The line of the script that asked for the run.

    Attributes
    ----------
    kept
        Ids of the jobs that take part.

    Raises
    ------
    JobContractError
        No job makes a target, and there is no generator that may declare one that does.
    """

    def __init__(
        self, names: Iterable[str], jobs: Mapping[JobId, Any], maker: Callable[[str], Any], where: Place
    ) -> None:
        self._jobs = jobs
        self._maker = maker
        self._where = where
        found = {name: maker(name) for name in names}
        # What a generator may still declare.
        self._sought = {name for name, job in found.items() if job is None}
        self.wanted = [job.job_id for job in found.values() if job is not None]
        generators = [job.job_id for job in jobs.values() if job.is_generator] if self._sought else []
        if self._sought and not generators:
            raise self.error(())
        self.kept = self._needed([*self.wanted, *generators])

    def grow(self, new_jobs: Mapping[JobId, Any]) -> list[JobId]:
        """A generator has declared these; the jobs that take part from now on, some of which were there before."""
        before = self.kept
        found = [job.job_id for job in map(self._maker, self._sought) if job is not None]
        generators = [job.job_id for job in new_jobs.values() if job.is_generator and self._sought]
        self.kept = self._needed([*before, *found, *generators])
        return [job_id for job_id in self._jobs if job_id in self.kept and job_id not in before]

    def check_all_found(self, specs: Mapping[JobId, JobSpec]) -> None:
        """A run of these jobs is over.

        Raises
        ------
        JobContractError
            Nobody declared what was asked for.
        """
        if self._sought:
            made = {path for spec in specs.values() for path in spec.outputs}
            self._sought = {name for name in self._sought if name not in specs and name not in made}
        if self._sought:
            raise self.error(specs)

    def error(self, known: Iterable[str]) -> JobContractError:
        """Which target nobody makes, and what is called nearly so."""
        import difflib

        target = min(self._sought)
        near = difflib.get_close_matches(target, {*self._jobs, *known}, _NEAREST)
        return JobContractError(
            "no job makes a target",
            [("target", target), ("where", self._where)] + [("nearest", name) for name in near],
            "Targets are jobs, ids of jobs, or files that jobs make.",
        )

    def _needed(self, wanted: Iterable[JobId]) -> set[JobId]:
        """These jobs, and all that they need."""
        found: set[JobId] = set()
        stack = list(wanted)
        while stack:
            job_id = stack.pop()
            if job_id not in found:
                found.add(job_id)
                makers = map(self._maker, self._jobs[job_id].input_ids)
                stack += [maker.job_id for maker in makers if maker is not None]
        return found
