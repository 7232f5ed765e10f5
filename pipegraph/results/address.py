"""Where the result of a job is kept: under the digest of all that it is made from, which no two results share.

Right first: whatever a callback can tell apart counts, so names count besides contents. That costs little, since a
callback knows paths from its code, its closure or its argument, and of these only the last is not fingerprinted anyway.
What stands for something else than content (a time stamp, the inputs of what was loaded) is looked behind, or binds the
result to its project. Pure: no disk, no clock.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

from ..model import Fingerprint, InputId, InvariantRecord, JobId, JobSpec, Role, Watch, combine

FORMAT = "pipegraph result 1"
"""Begins what is digested: another rule makes other keys."""
_OF_THE_JOB = ("FI", "PI")
"""Begin the ids of the invariants that a job has under its own name."""

InputsOf = Callable[[JobId], Mapping[InputId, Fingerprint] | None]
Measured = Callable[[JobId], InvariantRecord | None]


class Address(NamedTuple):
    """Where a result is, and what a job's process has to know to find it or to keep it.

    Attributes
    ----------
    folder
        The store.
    group, key
        Names in it: of what is kept together, and of this result.
    versions
        How many of the group are kept; 0: all.
    is_forced
        It is to be made, whatever is kept.
    files
        Paths of all files that count as inputs; of those that no job makes as they were measured, as plain tuples.
    """

    folder: str
    group: str
    key: Fingerprint
    versions: int
    is_forced: bool
    files: dict[str, tuple[Any, ...] | None]


def address_of(
    job: JobSpec, specs: Mapping[JobId, JobSpec], inputs_of: InputsOf, measured: Measured, directory: str
) -> tuple[Address, str]:
    """The address of a job whose inputs have all settled, and what binds it to its project, if anything does.

    Parameters
    ----------
    inputs_of
        Each input of a job, with its fingerprint.
    measured
        What is known of a file invariant.
    directory
        Of the project.
    """
    assert job.store is not None
    parts: dict[InputId, str] = {}
    files: dict[str, tuple[Any, ...] | None] = {}
    bond = _bond_of_code(job)
    stack = [job.id]
    while stack:
        for name, fingerprint in (inputs_of(stack.pop()) or {}).items():
            if name in parts:
                continue
            source = specs.get(name)
            if source is None or (source.role is not Role.INVARIANT and source.outputs):
                parts[name] = fingerprint
                files.update(dict.fromkeys((name,) if source is None else source.outputs))
            elif source.role is not Role.INVARIANT:
                # It stands for its inputs by a digest of their fingerprints, which may hide what is asked here.
                parts[name] = ""
                bond = bond or _bond_of_code(source)
                stack.append(name)
            elif source.watch is None:
                # Not the fingerprint that was accepted in its place.
                parts[name] = source.fingerprint or fingerprint
            else:
                if source.watch is Watch.TIME:
                    bond = bond or f"it depends on the time stamp of {name}, and not on its content"
                record = measured(name)
                known = () if record is None else record.files
                files.update({each.path: tuple(each) for each in known})
                # Of several files it counts here which is which, in the order of the names: the callback may tell.
                parts[name] = combine(each.content or fingerprint for each in known)
    key = combine(_digested(job, parts, directory if bond else ""))
    versions = job.store.versions
    group = combine((job.id,)) if versions else key[:2]
    return Address(job.store.folder, group, key, versions, job.forced, files), bond


def _digested(job: JobSpec, parts: Mapping[InputId, str], directory: str) -> Iterator[str]:
    assert job.store is not None
    outputs = sorted(job.outputs)
    own: dict[str, str] = {}
    if job.store.name:
        folder = os.path.commonpath([os.path.dirname(path) for path in outputs])
        outputs = [path[len(folder) :].lstrip("/") for path in outputs]
        own = {prefix + job.id: prefix for prefix in _OF_THE_JOB}
    yield from (FORMAT, directory, job.class_name.removeprefix("Shared"), job.store.name, str(len(outputs)), *outputs)
    for name, part in sorted((own.get(name, name), part) for name, part in parts.items()):
        yield name
        yield part


def _bond_of_code(job: JobSpec) -> str:
    return f"the code of {job.id} is not watched" if job.unwatched else ""
