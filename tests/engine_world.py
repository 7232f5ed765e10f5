"""A world in memory around the engine: files are dict entries, jobs are pure functions of their inputs.

For tests of decisions alone. Each run tells the engine what the real loop would, and keeps what the status file would.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, field

from pipegraph.engine import DropProduct, EndRun, Engine, StartJob, WithdrawJob
from pipegraph.events import (
    GraphGrew,
    JobBlocked,
    JobFailed,
    JobNotNeeded,
    JobsLost,
    JobStarted,
    JobStopped,
    JobSucceeded,
    JobUpToDate,
    StopRequested,
    Warned,
)
from pipegraph.model import (
    Failure,
    FailureKind,
    FileRecord,
    Growth,
    JobSpec,
    Past,
    Place,
    Reason,
    ReasonKind,
    Role,
    combine,
)

PLACE = Place("script.py", 1)
INVARIANT, OUTPUT, EPHEMERAL, GENERATOR = Role.INVARIANT, Role.OUTPUT, Role.EPHEMERAL, Role.GENERATOR


def spec_of(name: str, kind: str, inputs: tuple[str, ...] = (), **more: object) -> JobSpec:
    """`kind`: invariant, output, temp, cache, load, opaque (load), generator or final."""
    roles = {"invariant": INVARIANT, "generator": GENERATOR}
    roles |= dict.fromkeys(("temp", "cache", "load", "opaque"), EPHEMERAL)
    outputs = (name,) if kind in ("output", "temp", "cache") else ()
    values: dict[str, object] = {"outputs": outputs, **more}
    return JobSpec(
        name,
        roles.get(kind, OUTPUT),
        kind,
        PLACE,
        inputs=inputs,
        in_memory=kind in ("load", "opaque"),
        keeps=kind == "cache",
        is_opaque=kind == "opaque",
        is_final=kind == "final",
        **values,  # type: ignore[arg-type]
    )


@dataclass
class Ran:
    """What one run did."""

    started: dict[str, tuple[Reason, ...]] = field(default_factory=dict)
    order: list[str] = field(default_factory=list)
    up_to_date: list[str] = field(default_factory=list)
    not_needed: list[str] = field(default_factory=list)
    blocked: dict[str, str] = field(default_factory=dict)
    failed: list[str] = field(default_factory=list)
    dropped: list[str] = field(default_factory=list)
    warned: list[Warned] = field(default_factory=list)
    withdrawn: list[str] = field(default_factory=list)
    stopped: list[str] = field(default_factory=list)
    ended: bool = False

    def kinds(self, job: str) -> set[ReasonKind]:
        return {reason.kind for reason in self.started[job]}


class World:
    """Jobs by `add`; values of invariants in `values`; everything else follows."""

    def __init__(self) -> None:
        self.specs: dict[str, JobSpec] = {}
        self.values: dict[str, str] = {}
        self.files: dict[str, str] = {}
        self.pasts: dict[str, Past] = {}
        self.growth: dict[str, Growth] = {}
        self.failing: set[str] = set()
        self.address: dict[str, Callable[[list[str]], str]] = {}
        self.memory: dict[str, str] = {}

    def add(self, name: str, kind: str, *inputs: str, **more: object) -> str:
        self.specs[name] = spec_of(name, kind, tuple(inputs), **more)
        if kind == "invariant":
            self.values.setdefault(name, "1")
        return name

    def grow(self, generator: str, *specs: JobSpec, edges: tuple[tuple[str, str], ...] = ()) -> None:
        self.growth[generator] = Growth(specs, edges)

    def content(self, spec: JobSpec, path: str, known: dict[str, JobSpec]) -> str:
        """What a job writes: a function of what its inputs hold."""
        parts = [self._held(name, known) for name in sorted(spec.inputs)]
        address = self.address.get(spec.id)
        return address(parts) if address else f"{path}({','.join(parts)})"

    def _held(self, name: str, known: dict[str, JobSpec]) -> str:
        if name in self.values and name in known and known[name].role is INVARIANT:
            return self.values[name]
        found = self.files.get(name, self.memory.get(name))
        assert found is not None, f"{name} is not there when it is needed"
        return found

    def _arrival(self, specs: tuple[JobSpec, ...], edges: tuple[tuple[str, str], ...], by: str | None) -> GraphGrew:
        problems = {}
        for spec in specs:
            past = self.pasts.get(spec.id)
            if past is None or spec.role is INVARIANT or not spec.outputs:
                continue
            found = []
            if past.trace is None:
                found = [Reason(ReasonKind.OUTPUT_MISSING, path) for path in spec.outputs if path not in self.files]
            for record in past.trace.outputs if past.trace else ():
                now = self.files.get(record.path)
                if now is None:
                    found.append(Reason(ReasonKind.OUTPUT_MISSING, record.path))
                elif combine([now]) != record.content:
                    found.append(Reason(ReasonKind.OUTPUT_CHANGED, record.path))
                    if not now:
                        found.append(Reason(ReasonKind.OUTPUT_EMPTY, record.path))
            if found:
                problems[spec.id] = tuple(found)
        measured = {s.id: combine([self.values[s.id]]) for s in specs if s.role is INVARIANT and s.id in self.values}
        lost = {
            s.id: Failure(FailureKind.NOT_MEASURED, "builtins.FileNotFoundError", "gone")
            for s in specs
            if s.role is INVARIANT and s.id not in self.values
        }
        return GraphGrew(specs, edges, by, dict(self.pasts), measured, lost, problems)

    def run(
        self,
        seed: int = 0,
        slots: int = 2,
        cut_after: int | None = None,
        stop_after: int | None = None,
        lose_after: int | None = None,
    ) -> Ran:
        """One run. `cut_after`: kill -9 after so many events; `lose_after`: the slave dies then."""
        pick = random.Random(seed)
        engine = Engine()
        ran = Ran()
        ready: list[StartJob] = []
        running: list[str] = []
        known = dict(self.specs)
        memory = self.memory = {}
        events = 0

        def tell(event: object) -> None:
            for answer in engine.handle(event):  # type: ignore[arg-type]
                if isinstance(answer, StartJob):
                    ready.append(answer)
                elif isinstance(answer, WithdrawJob):
                    ran.withdrawn.append(answer.job)
                    ready[:] = [each for each in ready if each.job != answer.job]
                elif isinstance(answer, DropProduct):
                    assert not known[answer.job].keeps
                    ran.dropped.append(answer.job)
                    for path in known[answer.job].outputs:
                        self.files.pop(path, None)
                    memory.pop(answer.job, None)
                elif isinstance(answer, JobUpToDate):
                    ran.up_to_date.append(answer.job)
                elif isinstance(answer, JobNotNeeded):
                    ran.not_needed.append(answer.job)
                elif isinstance(answer, JobBlocked):
                    ran.blocked[answer.job] = answer.culprit
                elif isinstance(answer, JobFailed):
                    ran.failed.append(answer.job)
                elif isinstance(answer, Warned):
                    ran.warned.append(answer)
                elif isinstance(answer, EndRun):
                    assert not ran.ended
                    ran.ended = True

        tell(self._arrival(tuple(self.specs.values()), (), None))
        while not ran.ended:
            events += 1
            if cut_after is not None and events > cut_after:
                return ran
            if stop_after is not None and events == stop_after:
                tell(StopRequested(2, False))
                for job in list(running):
                    running.remove(job)
                    ran.stopped.append(job)
                    tell(JobStopped(job))
                continue
            if lose_after is not None and events == lose_after:
                lost, gone = tuple(running), tuple(memory)
                running.clear()
                memory.clear()
                tell(JobsLost(lost, gone))
                continue
            if ready and len(running) < slots and (not running or pick.random() < 0.6):
                start = ready.pop(pick.randrange(len(ready)) if pick.random() < 0.5 else 0)
                self._begin(start, known, memory, ran)
                running.append(start.job)
                tell(JobStarted(start.job, start.reasons, 1, 0.0))
            else:
                assert running, "the run stalls"
                job = running.pop(pick.randrange(len(running)))
                self._end(job, engine, known, memory, ran, tell)
        assert not running
        assert not ready or stop_after is not None
        return ran

    def _begin(self, start: StartJob, known: dict[str, JobSpec], memory: dict[str, str], ran: Ran) -> None:
        spec = known[start.job]
        for name in spec.inputs:
            needed = known[name]
            if needed.in_memory or needed.role is GENERATOR:
                assert name in memory, f"{start.job} starts, and {name} is not loaded"
            elif needed.outputs and needed.role is not INVARIANT:
                assert name in self.files, f"{start.job} starts, and {name} is not there"
        for path in spec.outputs:
            self.files.pop(path, None)
        ran.started[start.job] = start.reasons
        ran.order.append(start.job)
        past = self.pasts.get(start.job, Past())
        self.pasts[start.job] = past._replace(is_unfinished=True)

    def _end(self, job, engine, known, memory, ran, tell) -> None:  # type: ignore[no-untyped-def]
        spec = known[job]
        if job in self.failing:
            ran.failed.append(job)
            self.pasts[job] = Past(self.pasts[job].trace, False, True)
            tell(JobFailed(job, Failure(FailureKind.RAISED, "builtins.ValueError", "no")))
            return
        records = []
        for path in spec.outputs:
            text = self.content(spec, path, known)
            self.files[path] = text
            records.append(FileRecord(path, combine([text]), combine([text]), len(text), 0, 0, False))
        grown = self.growth.get(job, Growth())
        loaded = self.content(spec, job, known) if spec.is_opaque else ""
        event = JobSucceeded(job, tuple(records), growth=grown, fingerprint=combine([loaded]) if loaded else "")
        objection = engine.objection_to(event)
        if objection is not None:
            ran.failed.append(job)
            self.objection = objection
            self.pasts[job] = Past(self.pasts[job].trace, False, True)
            tell(JobFailed(job, objection))
            return
        self.pasts[job] = Past(engine.trace_of(event))
        if spec.in_memory or spec.role is GENERATOR:
            parts = [self._held(each, known) for each in sorted(spec.inputs)]
            memory[job] = loaded or f"{job}[{','.join(parts)}]"
        if grown.jobs or grown.edges:
            for new in grown.jobs:
                known[new.id] = new
            for dependent, name in grown.edges:
                old = known[dependent]
                if name not in old.inputs:
                    known[dependent] = old._replace(inputs=(*old.inputs, name))
            tell(self._arrival(grown.jobs, grown.edges, job))
        tell(event)

    def built_from_nothing(self) -> dict[str, str]:
        """What every output must hold."""
        other = World()
        other.specs, other.values, other.growth = self.specs, self.values, self.growth
        other.address = self.address
        other.run()
        return other.outputs()

    def outputs(self) -> dict[str, str]:
        known = dict(self.specs)
        for grown in self.growth.values():
            known.update({spec.id: spec for spec in grown.jobs})
        return {path: self.files.get(path, "") for s in known.values() if s.role is OUTPUT for path in s.outputs}


class Told:
    """An engine that is told one event after the other; the answers come back."""

    def __init__(self, *specs, **facts):
        self.engine = Engine()
        self.first = self.grows(*specs, **facts)

    def grows(self, *specs, edges=(), by=None, **facts):
        facts = {"pasts": {}, "measured": {}, "unmeasured": {}, "problems": {}} | facts
        return self.engine.handle(GraphGrew(specs, edges, by, **facts))

    def starts(self, *jobs):
        for job in jobs:
            assert self.engine.handle(JobStarted(job, (), 1, 0.0)) == []

    def succeeds(self, job, *paths):
        return self.engine.handle(JobSucceeded(job, tuple(record(path) for path in paths)))

    def runs(self, job, *paths):
        self.starts(job)
        return self.succeeds(job, *paths)

    def fails(self, job):
        return self.engine.handle(JobFailed(job, Failure(FailureKind.RAISED, "builtins.ValueError", "no")))

    def loses(self, *running, memory=()):
        return self.engine.handle(JobsLost(running, memory))

    def is_stopped(self):
        return self.engine.handle(StopRequested(2, False))


def record(path, content=None):
    return FileRecord(path, content or path, content or path, 1, 1, 1, False)
