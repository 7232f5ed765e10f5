"""What was made from what, across all that a status file knows: jobs of every script, and files between them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING

from ..errors import shown
from ..model import NOTEBOOK_PREFIX
from .names import jobs_by_name, paths_in

if TYPE_CHECKING:
    from ..status.knowledge import Knowledge

_KINDS = JOB, FILE, FUNCTION, PARAMETERS = "job", "file", "function", "parameters"
_PREFIX_OF = {FUNCTION: "FI", PARAMETERS: "PI"}
"""Ids of invariants begin with it."""
_DEEPEST = 60
"""Characters: further in, a tree is not indented any more, or a chain of a thousand jobs would fill the disk."""
_NAMED = 2


class Lineage:
    """Nodes are ids of jobs, paths of files that no job makes, and ids of functions and parameters.

    Who takes one of several files of a job has that job as its input; who asks for such a file by its path gets
    those that take it.

    Attributes
    ----------
    jobs
        Each with its direct inputs.
    names
        Each of a job or file, and itself.
    codes
        Ids of functions and parameters, which no pattern is meant for.
    """

    def __init__(self, knowledge: Knowledge) -> None:
        traces = {job: knowledge.past(job).trace for job in _speaking(knowledge)}
        self.jobs: dict[str, list[str]] = {job: [] for job in traces}
        self._outputs = {
            job: [record.path for record in trace.outputs if record.path != job]
            for job, trace in traces.items()
            if trace is not None
        }
        self._makers = {path: job for job, paths in self._outputs.items() for path in paths}
        self._files: set[str] = set()
        self._takers: dict[str, list[str]] = {}
        several: dict[str, list[str]] = {}
        for job, trace in traces.items():
            for name in trace.inputs if trace is not None else ():
                if name not in several:
                    several[name] = self._expanded(name, knowledge)
                for each in several[name]:
                    self._takers.setdefault(each, []).append(job)
            names = trace.inputs if trace is not None else ()
            self.jobs[job] = [self.node(each) for name in names for each in several[name]]
        everything = dict.fromkeys(name for group in (self._takers, self._makers, self.jobs) for name in group)
        self.names = {name: name for name in everything if self.kind(name) in (JOB, FILE)}
        self.codes = everything.keys() - self.names

    def node(self, name: str) -> str:
        """The job that makes a file; else itself."""
        return name if name in self.jobs else self._makers.get(name, name)

    def inputs(self, name: str) -> list[str]:
        """What a job, or the job that makes a file, was made from; nothing, if that is none."""
        return self._sorted(self.jobs.get(self.node(name), ()))

    def dependents(self, name: str) -> list[str]:
        """The jobs that took it, or any file of it."""
        names = [name, *self._outputs.get(name, ())]
        if name in self._makers:
            names.append(self._makers[name])
        return self._sorted(job for each in names for job in self._takers.get(each, ()))

    def kind(self, name: str) -> str:
        """Job, file, function or parameters."""
        if name in self.jobs or name in self._makers:
            return JOB
        if name in self._files:
            return FILE
        return next((kind for kind, prefix in _PREFIX_OF.items() if name.startswith(prefix)), FILE)

    def _sorted(self, names: Iterable[str]) -> list[str]:
        """Each once: jobs, files, functions, parameters."""
        return sorted(set(names), key=lambda name: (_KINDS.index(self.kind(name)), name))

    def label(self, name: str) -> str:
        """For a line of text; jobs are not said to be jobs."""
        kind = self.kind(name)
        if kind == JOB:
            return shown(name)
        return f"{shown(name.removeprefix(_PREFIX_OF.get(kind, '')))} ({kind})"

    def _expanded(self, name: str, knowledge: Knowledge) -> list[str]:
        """The files of an invariant; of anything else, itself."""
        if name in self.jobs or name in self._makers:
            return [name]
        record = knowledge.invariant(name)
        files = [file.path for file in record.files] if record is not None else []
        if not files and name.startswith(NOTEBOOK_PREFIX):
            files = [name.removeprefix(NOTEBOOK_PREFIX)]
        self._files.update(files)
        return files or [name]


def _speaking(knowledge: Knowledge) -> Iterator[str]:
    """All jobs, but for those that are gone and whose files others make now."""
    jobs = set(knowledge.jobs())
    gone = {job for job in jobs if (declared := knowledge.declared(job)) is not None and not declared.scripts}
    makers = jobs_by_name(jobs - gone)
    yield from (job for job in sorted(jobs) if job not in gone or not makers.keys() >= {*paths_in(job)})


Below = Callable[[str], list[str]]


def reached(roots: Iterable[str], below: Below) -> dict[str, list[str]]:
    """All nodes that can be reached, the roots first, each with those directly below it."""
    found: dict[str, list[str]] = {}
    stack = list(roots)[::-1]
    while stack:
        name = stack.pop()
        if name not in found:
            found[name] = below(name)
            stack += reversed(found[name])
    return found


def tree(roots: Iterable[str], below: Below, label: Callable[[str], str]) -> Iterator[str]:
    """Lines of a drawing in which each node stands once; what stands elsewhere is told behind the name."""
    roots = list(roots)
    seen = set(roots)
    stack = [(root, "", "", "") for root in reversed(roots)]
    while stack:
        name, before, branch, indent = stack.pop()
        every = below(name)
        new = [each for each in every if each not in seen]
        seen.update(new)
        are_new = {*new}
        elsewhere = _elsewhere([label(each) for each in every if each not in are_new])
        yield f"{before}{branch}{label(name)}{elsewhere}"
        if len(indent) > _DEEPEST:
            indent = "… "
        for each in reversed(new):
            is_last = each == new[-1]
            stack.append((each, indent, "└─ " if is_last else "├─ ", indent + ("   " if is_last else "│  ")))


def _elsewhere(labels: list[str]) -> str:
    if not labels:
        return ""
    told = ", ".join(labels[:_NAMED])
    more = f" and {len(labels) - _NAMED:,} more" if len(labels) > _NAMED else ""
    return f"  [also {told}{more}]"
