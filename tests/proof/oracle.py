"""What must come of a run, from the definition, and from nothing that the engine says or uses.

Right is what a build from nothing would make: each job is a function of what its inputs hold. Which jobs have a reason
follows from what was remembered of each before the run, and what the directory holds. A few dozen lines, to be read
beside section 2 of the design; fingerprints here are plain values, compared and never computed with.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping
from typing import NamedTuple

from .graphs import EPHEMERAL, GENERATOR, INVARIANT, LOAD, LOADS, OUTPUT

Content = Hashable
EMPTY: Content = ""


class Job(NamedTuple):
    """One job of a graph.

    Attributes
    ----------
    maker
        The generator that declares it; empty: the script does.
    files
        Their paths, where they are not the one that the job is called by. Of a job with several, what it holds is
        pairs of path and content, and each path may be an input. Who has none depends on all that it is to come after.
    """

    role: str
    inputs: tuple[str, ...]
    maker: str = ""
    files: tuple[str, ...] | None = None


class Made(NamedTuple):
    """A job's last success: what it was made from, what it counts as, what it held."""

    inputs: tuple[tuple[str, Hashable], ...]
    fingerprint: Hashable
    content: Content


class Known(NamedTuple):
    """What is remembered of a job between runs."""

    made: Made | None = None
    is_unfinished: bool = False
    has_failed: bool = False


UNKNOWN = Known()


class Expected(NamedTuple):
    """What must come of a run in which nothing fails.

    Attributes
    ----------
    fingerprint
        Of each job that has one in the end; temporary files, caches and opaque loads that nobody needs may have none.
    content
        What each job's files, or data, hold whenever they are there.
    reasons
        Of output jobs: why they run.
    runs
        All that run, and no others.
    """

    fingerprint: dict[str, Hashable]
    content: dict[str, Content]
    reasons: dict[str, set[tuple[str, str]]]
    runs: set[str]


def expect(
    jobs: Mapping[str, Job],
    values: Mapping[str, Content],
    known: Mapping[str, Known],
    files: Mapping[str, Content],
    make: Callable[[str, list[Content]], Content],
    stand_for: Callable[[Hashable], Hashable] = lambda inputs: inputs,
) -> Expected:
    """Work out a run.

    Parameters
    ----------
    jobs
        Those of generators too; inputs before what depends on them.
    values
        Of the invariants.
    files
        What is there.
    make
        What a job makes of the contents of its inputs.
    stand_for
        Something smaller for the inputs of a transparent job, one for one.
    """
    dependents = dependents_of(jobs)
    wanted: set[str] = set()
    for name in reversed(jobs):
        if jobs[name].role in (OUTPUT, GENERATOR) or not wanted.isdisjoint(dependents[name]):
            wanted.add(name)

    found = Expected({}, {}, {}, set())
    for name, (role, sources, _, paths) in jobs.items():
        if not all(source in found.fingerprint for source in sources):
            continue  # behind a temporary file, cache or opaque load that nobody needs
        inputs = tuple((source, found.fingerprint[source]) for source in sorted(sources))
        past = known.get(name, UNKNOWN)
        fresh = values[name] if role == INVARIANT else make(name, [found.content[source] for source in sources])
        found.content[name] = fresh
        if role == INVARIANT:
            found.fingerprint[name] = fresh
        elif role in (LOAD, GENERATOR):
            found.fingerprint[name] = stand_for(inputs)
            if role == GENERATOR:
                found.runs.add(name)
        elif role == OUTPUT:
            why = reasons_of(name, jobs[name], past, inputs, files)
            if why:
                found.reasons[name] = why
                found.runs.add(name)
            else:
                assert past.made is not None
                found.content[name] = past.made.content
            found.fingerprint[name] = stand_for(inputs) if paths == () else found.content[name]
        elif past.made is not None and past.made.inputs == inputs:
            found.fingerprint[name] = past.made.fingerprint
            if role not in LOADS and is_usable(name, jobs[name], past, files):
                found.content[name] = past.made.content
        elif name in wanted:
            found.runs.add(name)
            found.fingerprint[name] = fresh
        if paths and name in found.fingerprint:
            found.fingerprint.update(dict(found.fingerprint[name]))  # type: ignore[call-overload]
            found.content.update(dict(found.content[name]))  # type: ignore[call-overload]
    for name in reversed(jobs):
        role = jobs[name].role
        is_there = role not in LOADS and is_usable(name, jobs[name], known.get(name, UNKNOWN), files)
        if role in EPHEMERAL and not is_there and not found.runs.isdisjoint(dependents[name]):
            found.runs.add(name)
    return found


def dependents_of(jobs: Mapping[str, Job]) -> dict[str, list[str]]:
    """The direct dependents of each job, or of one of its files."""
    found: dict[str, list[str]] = {name: [] for name in jobs}
    for name, job in jobs.items():
        for path in job.files or ():
            found[path] = found[name]
    for name, job in jobs.items():
        for source in job.inputs:
            found[source].append(name)
    return found


def contents_of(name: str, job: Job, content: Content) -> dict[str, Content]:
    """What each of a job's files holds when the job does this."""
    return {name: content} if job.files is None else dict(content)  # type: ignore[call-overload]


def is_usable(name: str, job: Job, past: Known, files: Mapping[str, Content]) -> bool:
    """Whether temporary files or caches that outlasted their run are still what was recorded."""
    if past.made is None or past.is_unfinished or past.has_failed:
        return False
    recorded = contents_of(name, job, past.made.content)
    return all(files.get(path) == content != EMPTY for path, content in recorded.items())


def reasons_of(
    name: str, job: Job, past: Known, inputs: tuple[tuple[str, Hashable], ...], files: Mapping[str, Content]
) -> set[tuple[str, str]]:
    """All reasons of the design that hold for an output job."""
    why = set()
    made = past.made
    if made is None:
        why.add(("never made here", ""))
    if past.is_unfinished:
        why.add(("started but never finished", ""))
    if past.has_failed:
        why.add(("failed last time", ""))
    recorded = {} if made is None else contents_of(name, job, made.content)
    for path in (name,) if job.files is None else job.files:
        now = files.get(path)
        if now is None and past != UNKNOWN:
            why.add(("output missing", path))
        if made is not None and now is not None and now != recorded[path]:
            why.add(("output changed since it was made", path))
        if made is not None and now == EMPTY:
            why.add(("output empty", path))
    if made is not None:
        before, after = dict(made.inputs), dict(inputs)
        why |= {("input added", source) for source in after.keys() - before.keys()}
        why |= {("input removed", source) for source in before.keys() - after.keys()}
        why |= {("input changed", source) for source in after.keys() & before.keys() if after[source] != before[source]}
    return why
