"""What jobs opened without having declared it: judges, from the jobs as plain data and the names of files.

Whether a job is downstream of the one that made a file is looked up from the job upwards, and what was found is kept:
jobs and edges are only ever added, so that it stays true.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Iterator, Mapping
from typing import NamedTuple

from .errors import JobContractError
from .events import GraphGrew
from .model import NOTHING_OPENED, InputId, JobId, JobSpec, Opened, Role


class Fault(enum.Enum):
    """What is wrong for certain, in words: what the job does, and what it should have done."""

    NOT_UPSTREAM = ("reads", "and does not depend on it")
    CIRCULAR = ("reads", "and which depends on this job: it is made only afterwards")
    OVERWRITTEN = ("writes", "too")


class Undeclared(NamedTuple):
    """A job, and a file of another one that it opened."""

    job: JobSpec
    maker: JobSpec
    path: str
    fault: Fault

    @property
    def headline(self) -> str:
        """On one line."""
        does, instead = self.fault.value
        maker = "another job" if self.maker.id == self.path else self.maker.id
        return f"{does} {self.path}, which {maker} ({self.maker.place}) makes, {instead}"

    @property
    def mend(self) -> str:
        """What to do about it."""
        if self.fault is Fault.NOT_UPSTREAM:
            return (
                f"Add job.depends_on({self.maker.id!r}): it may be made too late, and what changes in it is not seen."
            )
        if self.fault is Fault.CIRCULAR:
            return (
                "What it reads is left from an earlier run. Let it read something else, or turn the dependency around."
            )
        return "Let it write a file of its own, and declare that as an output."

    def error(self) -> JobContractError:
        """As what a job fails with."""
        return JobContractError(
            f"a job {self.headline}",
            [
                ("job", f"{self.job.id} ({self.job.place})"),
                ("file", self.path),
                ("made by", f"{self.maker.id} ({self.maker.class_name}, {self.maker.place})"),
            ],
            f"{self.mend} (It fails since strict=True; otherwise this is a warning.)",
        )


class Verdict(NamedTuple):
    """Of one job: what is wrong, one for each other job; and what is only worth a hint."""

    faults: tuple[Undeclared, ...] = ()
    hints: Opened = NOTHING_OPENED


NOTHING_UNDECLARED = Verdict()


class Judge:
    """Knows who makes what, as the graph grows.

    Parameters
    ----------
    specs
        The jobs that take part, by id; the run adds those that are generated.
    maker
        The id of the job of the script that makes a file, where that is not among the outputs that count.
    own
        What pipegraph itself writes: files, and folders with a slash at the end.
    """

    def __init__(
        self, specs: Mapping[JobId, JobSpec], maker: Callable[[str], JobId | None], own: tuple[str, ...]
    ) -> None:
        self._specs = specs
        self._maker_in_script = maker
        self._own = own
        self._new: list[tuple[JobSpec, ...]] = []
        self._maker_of: dict[str, JobId] = {}
        self._added_inputs: dict[JobId, list[InputId]] = {}
        self._dependents: dict[JobId, set[JobId]] = {}

    def grow(self, event: GraphGrew) -> None:
        """There are more jobs and edges."""
        self._new.append(event.jobs)
        for dependent, name in event.edges:
            self._added_inputs.setdefault(dependent, []).append(name)

    def judge(self, job: JobSpec, opened: Opened) -> Verdict:
        """What is to be said of the files that a job opened."""
        if opened is NOTHING_OPENED:
            return NOTHING_UNDECLARED
        inputs = self._files_of_inputs(job)
        faults: dict[JobId, Undeclared] = {}
        read, written = [], []
        for path in opened.written:
            maker = self._maker(path)
            if maker is None:
                written.append(path)
            elif maker is not job:
                faults.setdefault(maker.id, Undeclared(job, maker, path, Fault.OVERWRITTEN))
        there = set(opened.read)
        for path in (*opened.read, *opened.missing):
            maker = self._maker(path)
            if path in inputs or maker is job:
                continue
            if maker is None or self._is_downstream(job, maker):
                if path in there and not path.startswith(self._own):
                    read.append(path)
                continue
            fault = Fault.CIRCULAR if self._is_downstream(maker, job) else Fault.NOT_UPSTREAM
            faults.setdefault(maker.id, Undeclared(job, maker, path, fault))
        written = [path for path in written if not path.startswith(self._own)]
        hints = Opened(tuple(read), tuple(written), is_cut=opened.is_cut) if read or written else NOTHING_OPENED
        return Verdict(tuple(faults.values()), hints)

    def _maker(self, name: str) -> JobSpec | None:
        """The job with this id, or that makes this file; invariants make nothing."""
        spec = self._specs.get(name)
        if spec is None:
            self._learn_makers()
            found = self._maker_of.get(name) or self._maker_in_script(name)
            spec = None if found is None else self._specs.get(found)
        return None if spec is None or spec.role is Role.INVARIANT else spec

    def _learn_makers(self) -> None:
        while self._new:
            for spec in self._new.pop():
                if len(spec.outputs) > 1 and spec.role is not Role.INVARIANT:
                    self._maker_of.update(dict.fromkeys(spec.outputs, spec.id))

    def _inputs(self, job: JobSpec) -> Iterator[InputId]:
        yield from job.inputs
        yield from self._added_inputs.get(job.id, ())

    def _files_of_inputs(self, job: JobSpec) -> set[str]:
        """All files whose content counts as this job's input: also through loaders and generators."""
        files: set[str] = set()
        seen: set[JobId] = set()
        stack = [job]
        while stack:
            for name in self._inputs(stack.pop()):
                if name in seen:
                    continue
                seen.add(name)
                spec = self._specs.get(name)
                if spec is None:
                    files.add(name)  # one of several of a job
                    continue
                files.update(spec.outputs)
                if spec.in_memory or spec.role is Role.GENERATOR:
                    stack.append(spec)
        return files

    def _is_downstream(self, job: JobSpec, maker: JobSpec) -> bool:
        if job.is_final:
            return maker.role is Role.OUTPUT or any(self._is_above(name, maker) for name in self._inputs(job))
        return self._is_above(job.id, maker)

    def _is_above(self, name: InputId, maker: JobSpec) -> bool:
        known = self._dependents.setdefault(maker.id, {maker.id})
        seen = {name}
        stack = [name]
        while stack:
            spec = self._maker(stack.pop())
            if spec is None:
                continue
            if spec.id in known:
                known.add(name)
                return True
            new = [each for each in self._inputs(spec) if each not in seen]
            seen.update(new)
            stack += new
        return False
