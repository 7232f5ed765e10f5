"""Names of jobs as a person gives them: an id, a path, a pattern, or how several begin."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping

from ..patterns import is_pattern, matcher, nearest
from .shared import NotThereError

_SEVERAL = ":::"
"""Between the paths in the id of a job that makes several files."""


def found(given: Iterable[str], known: Mapping[str, str]) -> list[str]:
    """What names stand for, each once, in the order given.

    Parameters
    ----------
    known
        Every name that there is, of jobs and of files, and what it stands for.

    Raises
    ------
    NotThereError
        A name that nothing has, nor begins with; what is called nearly so is told.
    """
    return list(dict.fromkeys(each for name in given for each in _found(name, known)))


def jobs_by_name(jobs: Iterable[str]) -> dict[str, str]:
    """The job of each id, and of each file that an id names."""
    every = list(jobs)
    return {path: job for job in every for path in paths_in(job)} | {job: job for job in every}


def paths_in(job: str) -> list[str]:
    """The files of a job that makes any: its id is their paths."""
    return job.split(_SEVERAL)


def id_of(paths: Iterable[str]) -> str:
    """The id of the job that makes these files."""
    return _SEVERAL.join(sorted(paths))


def _found(name: str, known: Mapping[str, str]) -> list[str]:
    names = (name, *as_paths(name))
    for each in names:
        if each in known:
            return [known[each]]
    if is_pattern(name):
        fits = matcher(names[1])
        several = [meant for each, meant in known.items() if fits(each)]
    else:
        several = [meant for each, meant in known.items() if name and each.startswith(names[:2])]
    if not several:
        raise NotThereError(
            "nothing of that name is known here",
            [("name", name), *(("nearest", other) for other in nearest(names[1], known))],
            "Known is what runs have recorded. Give an id, a file, a pattern in quotes ('out/*.tsv'), or a beginning.",
        )
    return several


def as_paths(name: str) -> tuple[str, str]:
    """A path as the status file has it: relative where it lies below the working directory, else absolute."""
    absolute = os.path.abspath(name)
    relative = os.path.relpath(absolute)
    if name.endswith("/"):
        relative += "/"
    return (absolute, relative) if relative.startswith("..") else (relative, absolute)
