"""The outlook: each job with what will become of it, why, and how long it will take."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from ..engine import Engine, Fate, Prospect, StartJob
from ..estimates import Estimate, Estimates
from ..events import GraphGrew
from ..explanations import Change
from ..model import Failure, Fingerprint, InputId, JobId, JobSpec, Place, Reason, ReasonKind, Role
from . import wording
from .changes import Changes
from .names import Names

_FORMAT = 1

Explain = Callable[[Reason], Sequence[Change]]
"""What is behind a reason, with what it was and what it is now."""

InputsOf = Callable[[JobId], "Mapping[InputId, Fingerprint] | None"]


class Foreseen(NamedTuple):
    """One job.

    Attributes
    ----------
    reasons
        Of a job that must run: those that hold already. Of an ephemeral one that may: which dependent may need it.
    inputs
        Its direct inputs that may change.
    roots
        Of a job that may run: the first three of the jobs that must run and lead to it. Of one that can't: what can't
        be read.
    seconds
        As recorded when it was made last; None: it never was.
    read, written
        What it opened then without having declared it.
    kept_in
        The folder from which its result is brought back, if it is there; empty: it is kept nowhere, or made anyway.
    expected_seconds
        That, or the mean of the jobs made at the same line of the script; None where there is none.
    """

    job: JobId
    class_name: str
    role: Role
    place: Place
    fate: Fate
    reasons: tuple[Reason, ...] = ()
    inputs: tuple[InputId, ...] = ()
    roots: tuple[JobId, ...] = ()
    seconds: float | None = None
    expected_seconds: float | None = None
    adopts: bool = False
    read: tuple[str, ...] = ()
    written: tuple[str, ...] = ()
    kept_in: str = ""

    @property
    def is_generator(self) -> bool:
        """It runs in every run, and what it will declare is not known."""
        return self.role is Role.GENERATOR


class Outlook(tuple[list[StartJob], list[JobId]]):
    """What a run would do now. A pair: what must run, each with its reasons, and the ids of what may.

    Attributes
    ----------
    jobs
        All jobs by id, in the order of the script; invariants are none.
    cores
        On which the estimates count.
    estimate_must, estimate_all
        How long what must run takes, and with all that may; None if nothing was ever timed.
    changed
        What was asked about, where the question was: what if? Then the pair has what follows from that. Else None.
    anyway
        Then: what must run whether that changes or not.
    failures
        Inputs that can't be read, and why.
    warnings
        What else a person should know.
    explain
        What is behind a reason.
    """

    jobs: dict[JobId, Foreseen]
    cores: int
    estimate_must: Estimate | None
    estimate_all: Estimate | None
    changed: tuple[str, ...] | None
    anyway: tuple[JobId, ...]
    failures: Mapping[JobId, Failure]
    warnings: tuple[str, ...]
    names: Names
    explain: Explain

    @property
    def must(self) -> list[StartJob]:
        """What must run."""
        return self[0]

    @property
    def may(self) -> list[JobId]:
        """What may run, if an input of it comes out otherwise."""
        return self[1]

    def count(self, fate: Any) -> int:
        """How many jobs this will become of; of those that run, as the pair has them, generators left out."""
        if fate is Fate.MUST:
            return sum(1 for start in self.must if not self.jobs[start.job].is_generator)
        if fate is Fate.MAY:
            return len(self.may)
        return sum(1 for each in self.jobs.values() if each.fate is fate)

    def why(self, job: Any) -> str:
        """Why a job must run, may run, or does not; or what an input leads to.

        Parameters
        ----------
        job
            A job, its id, or a file.

        Raises
        ------
        JobContractError
            There is none.
        """
        name = str(getattr(job, "job_id", job))
        _, found = self.names.named(name)
        if not found:
            mend = "Name a job by its id, or a file that one makes or depends on."
            if any(each.is_generator for each in self.jobs.values()):
                mend += " What generators will declare is not known."
            raise self.names.unknown("there is no such job or file", [("name", name)], name, mend)
        return "\n".join(line for spec in found for line in wording.why_lines(self, spec))

    def show(self) -> None:
        """Print it: as tables on a terminal, else as text."""
        from .table import show

        show(self)

    def to_json(self, jobs: Iterable[JobId] | None = None) -> str:
        """All of it, or of these jobs only; see ``docs/why.rst``."""
        chosen = self.jobs.values() if jobs is None else [self.jobs[job] for job in jobs]
        listed = {start.job for start in self.must} | set(self.may)
        facts = {
            "format": _FORMAT,
            "changed": self.changed,
            "cores": self.cores,
            "counts": {
                "must": self.count(Fate.MUST),
                "generators": sum(1 for each in self.jobs.values() if each.is_generator),
                "may": self.count(Fate.MAY),
                "up_to_date": self.count(Fate.UP_TO_DATE),
                "not_needed": self.count(Fate.NOT_NEEDED),
                "blocked": self.count(Fate.BLOCKED),
                "anyway": len(self.anyway),
            },
            "estimate_must": self.estimate_must and self.estimate_must._asdict(),
            "estimate_all": self.estimate_all and self.estimate_all._asdict(),
            "warnings": self.warnings,
            "failures": {job: failure.message for job, failure in self.failures.items()},
            "jobs": [self._facts_of(each, each.job in listed) for each in chosen],
        }
        return json.dumps(facts, indent=1)

    def _facts_of(self, each: Foreseen, is_consequence: bool) -> dict[str, Any]:
        return {
            "job": each.job,
            "class": each.class_name,
            "role": each.role.value,
            "file": each.place.filename,
            "line": each.place.line,
            "fate": each.fate.name.lower(),
            "is_consequence": is_consequence,
            "reasons": [
                {
                    **reason._asdict(),
                    "kind": reason.kind.value,
                    "changes": [change._asdict() for change in self.explain(reason)],
                }
                for reason in each.reasons
            ],
            "inputs": each.inputs,
            "roots": each.roots,
            "seconds": each.seconds,
            "expected_seconds": each.expected_seconds,
            "adopts": each.adopts,
            "read": each.read,
            "written": each.written,
        }

    def __str__(self) -> str:
        return "\n".join(wording.lines_of(self))

    def __repr__(self) -> str:
        return f"<Outlook: {len(self.must)} must run, {len(self.may)} may>"


def outlook_of(
    arrival: GraphGrew,
    cores: int,
    changes: Changes | None = None,
    warnings: Sequence[str] = (),
    explained: Callable[[InputsOf], Explain] = lambda inputs_of: lambda reason: (),
    wished: Callable[[JobId], bool] = lambda job: False,
) -> Outlook:
    """Look ahead from the arrival of the script's jobs.

    Parameters
    ----------
    cores
        Of a run.
    changes
        As if these had happened.
    explained
        Is given what jobs depend on now, and gives what is behind a reason.
    wished
        Whether the files of a job are to be believed, whatever the reasons are.
    """
    specs = {spec.id: spec for spec in arrival.jobs}
    names = Names(arrival.jobs)
    engine = Engine()
    engine.handle(arrival)
    prospects = engine.prospects()
    chosen = {job for job, each in prospects.items() if each.fate in (Fate.MUST, Fate.MAY)}
    anyway: tuple[JobId, ...] = ()
    if changes is not None:
        before, prospects = prospects, _prospects(changes.applied(arrival))
        chosen = _consequences(before, prospects, names)
        anyway = tuple(job for job, each in before.items() if each.fate is Fate.MUST and job not in chosen)
    estimates = Estimates()
    estimates.cores = cores
    estimates.remember(arrival.pasts)
    must = [job for job in prospects if job in chosen and prospects[job].fate is Fate.MUST]
    may = [job for job in prospects if job in chosen and prospects[job].fate is Fate.MAY]
    estimates.begin([specs[job] for job in prospects], [specs[job] for job in must])
    outlook = Outlook(([StartJob(job, prospects[job].reasons) for job in must], may))
    outlook.estimate_must = outlook.estimate_all = _estimate(must, cores, names, estimates)
    if may:
        for job in may:
            estimates.change(specs[job], 1)
        outlook.estimate_all = _estimate([*must, *may], cores, names, estimates)
    outlook.jobs = {
        job: _foreseen(specs[job], prospect, arrival, estimates.seconds_of(specs[job]), wished(job))
        for job, prospect in prospects.items()
    }
    outlook.cores = cores
    outlook.changed = None if changes is None else changes.asked
    outlook.anyway = anyway
    outlook.failures = arrival.unmeasured
    outlook.warnings = tuple(warnings)
    outlook.names = names
    outlook.explain = explained(engine.inputs_of)
    return outlook


def _estimate(jobs: Sequence[JobId], cores: int, names: Names, estimates: Estimates) -> Estimate | None:
    """Of these jobs, of which the sums are kept."""
    if estimates.left([], cores) is None:
        return None
    return estimates.left([], cores, _longest_chain(jobs, names, estimates))


def _prospects(arrival: GraphGrew) -> dict[JobId, Prospect]:
    engine = Engine()
    engine.handle(arrival)
    return engine.prospects()


def _foreseen(
    spec: JobSpec, prospect: Prospect, arrival: GraphGrew, expected: float | None, is_wished: bool
) -> Foreseen:
    past = arrival.pasts.get(spec.id)
    trace = None if past is None else past.trace
    read, written = ((), ()) if trace is None else (trace.read, trace.written)
    seconds = None if trace is None or trace.brought_back else trace.seconds
    kept_in = "" if spec.store is None or spec.forced else spec.store.folder
    own = (spec.id, spec.class_name, spec.role, spec.place)
    kinds = {reason.kind for reason in prospect.reasons}
    adopts = spec.adopts and kinds == {ReasonKind.NEVER_MADE}
    return Foreseen(*own, *prospect, seconds, expected, adopts or is_wished, read, written, kept_in)


def _consequences(before: Mapping[JobId, Prospect], after: Mapping[JobId, Prospect], names: Names) -> set[JobId]:
    """The jobs that run after a change and would not have, or for more reasons; and what may run because of them."""
    found = {job for job, each in after.items() if _is_news(before[job], each)}
    below: dict[JobId, list[JobId]] = {}
    for job, each in after.items():
        sources = [*each.inputs, *(why.subject for why in each.reasons if why.kind is ReasonKind.NEEDED)]
        for source in filter(None, map(names.maker, sources)):
            below.setdefault(source.id, []).append(job)
    seen, stack = set(found), list(found)
    while stack:
        for job in below.get(stack.pop(), ()):
            if job not in seen:
                seen.add(job)
                stack.append(job)
    return found | {
        job
        for job, each in after.items()
        if each.fate is Fate.MAY and (job in seen or (found and names.spec_of[job].is_final))
    }


def _is_news(before: Prospect, after: Prospect) -> bool:
    if after.fate not in (Fate.MUST, Fate.MAY):
        return False
    return after.fate is not before.fate or _own_reasons(before) != _own_reasons(after)


def _own_reasons(prospect: Prospect) -> list[Reason]:
    """Without those who need it, of whom the first is named, whoever that is."""
    return [reason for reason in prospect.reasons if reason.kind is not ReasonKind.NEEDED]


def _longest_chain(jobs: Sequence[JobId], names: Names, estimates: Estimates) -> float:
    """Seconds of the longest way through these jobs on which each needs the one before."""
    begins = dict.fromkeys(jobs, 0.0)
    below: dict[JobId, list[JobId]] = {}
    left = {}
    for job in jobs:
        makers = {maker.id for maker in map(names.maker, names.spec_of[job].inputs) if maker is not None}
        makers &= begins.keys()
        left[job] = len(makers)
        for maker in makers:
            below.setdefault(maker, []).append(job)
    ready = [job for job in jobs if not left[job]]
    longest = 0.0
    while ready:
        job = ready.pop()
        end = begins[job] + (estimates.expected(names.spec_of[job]) or 0.0)
        longest = max(longest, end)
        for dependent in below.get(job, ()):
            begins[dependent] = max(begins[dependent], end)
            left[dependent] -= 1
            if not left[dependent]:
                ready.append(dependent)
    return longest
