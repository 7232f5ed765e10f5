"""The module names that scripts of the original API import, each leading to the real thing.

``pipegraph.util``, ``.job``, ``.ppg_exceptions``, ``.resource_coordinators`` and ``.interactive`` are no files: they
are made here, in one place, and hold nothing of their own.
"""

from __future__ import annotations

import os
import sys
from functools import partial
from types import ModuleType
from typing import Any

from . import errors, graph, jobs
from .machine.capacity import cores_of_this_process
from .machine.local_system import LocalSystem


class _Util(ModuleType):
    """``pipegraph.util``: the current graph is read and assigned through it."""

    @property
    def global_pipegraph(self) -> graph.Graph | None:
        """The current graph, or None."""
        return graph.current_or_none()

    @global_pipegraph.setter
    def global_pipegraph(self, value: graph.Graph | None) -> None:
        graph.set_current(value)


def output_file_exists(filename: str | os.PathLike[str]) -> bool:
    """Whether there is such a file, and it is not empty."""
    return os.path.isfile(filename) and os.path.getsize(filename) > 0


def file_exists(filename: str | os.PathLike[str]) -> bool:
    """Whether there is such a file."""
    return os.path.isfile(filename)


def checksum_file(filename: str | os.PathLike[str]) -> str:
    """MD5 of a file's content, 32 hex digits."""
    import hashlib

    digest = hashlib.md5(usedforsecurity=False)
    with open(filename, "rb") as source:
        while block := source.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def freeze(value: Any) -> Any:
    """A hashable twin of nested lists, tuples, sets and dicts."""
    if isinstance(value, dict):
        return frozenset((key, freeze(inner)) for key, inner in value.items())
    if isinstance(value, list | tuple):
        return tuple(freeze(inner) for inner in value)
    if isinstance(value, set | frozenset):
        return frozenset(freeze(inner) for inner in value)
    return value


def job_or_filename(given: Any, invariant_class: type[jobs.Job] | None = None) -> tuple[str | None, list[jobs.Job]]:
    """A file job as (its first file, [itself]); a file name as (itself, [an invariant on it]); None as (None, [])."""
    if given is None:
        return None, []
    if isinstance(given, jobs.Job):
        return given.outputs[0], [given]
    invariant = (invariant_class or jobs.FileInvariant)(given)
    return os.fspath(given), [invariant]


def open_doors() -> None:
    """Make the old names importable."""
    package = sys.modules[__package__]
    util = _Util("pipegraph.util", "Small things of the original API.")
    vars(util).update(
        output_file_exists=output_file_exists,
        file_exists=file_exists,
        checksum_file=checksum_file,
        flatten_jobs=jobs.flatten_jobs,
        freeze=freeze,
        CPUs=cores_of_this_process,
        job_or_filename=job_or_filename,
        assert_uniqueness_of_object=package.assert_uniqueness_of_object,
    )
    doors: list[ModuleType] = [util]
    for name, contents in (
        ("job", {"__getattr__": partial(getattr, jobs), "__all__": jobs.__all__}),
        ("ppg_exceptions", {each: kind for each, kind in vars(errors).items() if isinstance(kind, type)}),
        ("resource_coordinators", {"LocalSystem": LocalSystem}),
        ("interactive", {}),
    ):
        door = ModuleType(f"pipegraph.{name}", "A name of the original API.")
        vars(door).update(contents)
        doors.append(door)
    for door in doors:
        sys.modules[door.__name__] = door
        setattr(package, door.__name__.rpartition(".")[2], door)
