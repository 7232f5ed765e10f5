"""Runs of which only some jobs are wanted: they, and all that they need. Owns who takes part in such a run."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from .errors import JobContractError
from .model import JobId, JobSpec, Place
from .patterns import is_pattern, matcher, nearest


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
    named
        Those of them that were asked for by name, and not by a pattern.

    Raises
    ------
    JobContractError
        No job makes a target, and there is no generator that may declare one that does.

    Notes
    -----
    A target may be a pattern (`patterns.matcher`), which a generator may always add to.
    """

    def __init__(
        self, names: Iterable[str], jobs: Mapping[JobId, Any], maker: Callable[[str], Any], where: Place
    ) -> None:
        self._jobs = jobs
        self._maker = maker
        self._where = where
        found = {name: self._find(name, jobs) for name in names}
        # What a generator may still declare.
        self._sought = {name for name, made in found.items() if not made or maker(name) is None}
        self.named = self._named(found)
        self.wanted = [job_id for made in found.values() for job_id in made]
        generators = [job.job_id for job in jobs.values() if job.is_generator] if self._sought else []
        missing = [name for name, made in found.items() if not made]
        if missing and not generators:
            raise no_job(min(missing), jobs, where)
        self.kept = self._needed([*self.wanted, *generators])

    def grow(self, new_jobs: Mapping[JobId, Any]) -> list[JobId]:
        """A generator has declared these; the jobs that take part from now on, some of which were there before."""
        before = self.kept
        self.named |= self._named(self._sought)
        found = [job_id for name in self._sought for job_id in self._find(name, new_jobs)]
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
            check_all_named(self._sought, specs.values(), self._where, others=self._jobs)

    def _named(self, names: Iterable[str]) -> set[JobId]:
        makers = map(self._maker, names)
        return {maker.job_id for maker in makers if maker is not None}

    def _find(self, name: str, among: Mapping[JobId, Any]) -> list[JobId]:
        job = self._maker(name)
        if job is not None:
            return [job.job_id]
        if not is_pattern(name):
            return []
        fits = matcher(name)
        return [job.job_id for job in among.values() if fits(job.job_id) or any(map(fits, job.outputs))]

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


def check_all_named(
    names: Iterable[str], specs: Iterable[JobSpec], where: Place, what: str = "target", others: Iterable[str] = ()
) -> None:
    """Each of these names or patterns is that of a job that takes part, or of a file that one makes.

    Parameters
    ----------
    others
        Names that may have been meant.

    Raises
    ------
    JobContractError
        One is not; what is called nearly so is told.
    """
    known = {name for spec in specs for name in (spec.id, *spec.outputs)}
    for name in sorted(names):
        if name not in known and not any(map(matcher(name), known)):
            raise no_job(name, {*known, *others}, where, what)


def no_job(name: str, known: Iterable[str], where: Place, what: str = "target") -> JobContractError:
    """Nobody makes what was asked for."""
    return JobContractError(
        "no job makes a target" if what == "target" else f"no job of this run is what is to be {what}",
        [(what, name), ("where", where)] + [("nearest", other) for other in nearest(name, known)],
        "Name jobs, ids of jobs, or files that jobs make.",
    )
