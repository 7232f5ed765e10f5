"""Where results are kept, as a script says it; checked at the line that says so."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from ..errors import JobContractError
from ..model import Role, Store

if TYPE_CHECKING:
    from .base import Job

_VERSIONS = "versions"
"""Folder in the cache's."""


def shared_store(job: Job, folder: Any, name: Any) -> Store:
    """For `Job.share`."""
    _check_files_stay(job, "shared")
    if not isinstance(folder, str | os.PathLike):
        raise TypeError(f"share: folder must be a path, not {type(folder).__name__}\n    where: {_where(job)}")
    if not isinstance(name, str):
        raise TypeError(f"share: name must be a text, not {type(name).__name__}\n    where: {_where(job)}")
    path = os.path.normpath(os.path.join(job.graph.directory, os.path.expanduser(os.fspath(folder))))
    above = os.path.dirname(path)
    if not os.fspath(folder) or not os.path.isdir(above) or (os.path.lexists(path) and not os.path.isdir(path)):
        because = (
            "no name"
            if not os.fspath(folder)
            else f"there is no folder {above}"
            if not os.path.isdir(above)
            else "it is no folder"
        )
        raise JobContractError(
            "results can't be shared there",
            [("folder", path), ("because", because), ("job", _named(job)), ("where", _where(job))],
            "Name a folder for results alone, in one that exists. (Is its disk mounted?)",
        )
    return Store(path, 0, name)


def store_of_versions(job: Job, count: Any) -> Store:
    """For `Job.keep_versions`."""
    _check_files_stay(job, "kept")
    if isinstance(count, bool) or not isinstance(count, int):
        raise TypeError(f"keep_versions takes a whole number, not {count!r:.80}\n    where: {_where(job)}")
    if count < 2:
        raise JobContractError(
            "keep_versions counts the present result, too, and needs at least 2",
            [("given", count), ("job", _named(job)), ("where", _where(job))],
        )
    return Store(os.path.join(job.graph.directory, job.graph.cache_folder, _VERSIONS), count)


def two_stores(job: Job, first: Store, second: Store) -> JobContractError:
    """The error of a job whose results are to be kept in two ways."""
    return JobContractError(
        "a job's results can be kept in one way only",
        [("job", _named(job)), ("first", _words(first)), ("second", _words(second)), ("where", _where(job))],
        "A shared folder keeps all versions, until they are removed from it: it needs no keep_versions.",
    )


def _check_files_stay(job: Job, what: str) -> None:
    if not job.makes_files or job.role is not Role.OUTPUT:
        raise JobContractError(
            f"only files that stay can be {what}",
            [("job", f"{job.job_id} ({type(job).__name__}, {job.place})"), ("where", _where(job))],
            "Use a FileGeneratingJob or a MultiFileGeneratingJob.",
        )


def _words(store: Store) -> str:
    if store.versions:
        return f"keep_versions({store.versions})"
    return f"share({store.folder!r})" if not store.name else f"share({store.folder!r}, {store.name!r})"


def _named(job: Job) -> str:
    return f"{job.job_id} ({job.place})"


def _where(job: Job) -> object:
    return job.graph.place_of_caller()
