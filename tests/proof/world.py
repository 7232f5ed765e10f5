"""A run in memory: the engine told what the loop would tell it, on files that are entries of a dict.

A run stands still between steps, can be copied there, and taken on in any way that the real world may choose: which
ready job starts, which running one ends and how, when a slave dies, when somebody presses Ctrl-C. What each step must
and must not do is checked as it is done, against the oracle.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Hashable, Iterable, Mapping
from typing import Any, NamedTuple

from pipegraph.engine import DropProduct, EndRun, Engine, StartJob, WithdrawJob
from pipegraph.engine.ledger import Ledger
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
    Trace,
)

from .graphs import CACHE, EPHEMERAL, FILES, GENERATOR, INVARIANT, LOAD, LOADS, OPAQUE, OUTPUT, TEMP
from .oracle import EMPTY, UNKNOWN, Content, Expected, Job, Known, Made, expect, is_usable

_ROLES = {
    INVARIANT: Role.INVARIANT,
    OUTPUT: Role.OUTPUT,
    GENERATOR: Role.GENERATOR,
    **dict.fromkeys(EPHEMERAL, Role.EPHEMERAL),
}
_RAISED = Failure(FailureKind.RAISED, "builtins.ValueError", "no")
FOREIGN: Content = "written by hand"
HALF: Content = "half of it"


class Violation(AssertionError):
    """Something that must always hold did not."""


class Situation(NamedTuple):
    """All that outlasts a run: what was remembered, what the directory holds, what the invariants are."""

    values: tuple[tuple[str, Content], ...]
    known: tuple[tuple[str, Known], ...] = ()
    files: tuple[tuple[str, Content], ...] = ()


def content_of(name: str, parts: list[Content]) -> Content:
    """What a job makes: the same only for the same inputs, but for how deep a change goes.

    An invariant is a value and a depth. A change of depth alone is noticed by that many levels of jobs, the last of
    which then makes the same as before; a change of the value reaches everything.
    """
    texts, depth = [], 0
    for part in parts:
        text, _, digits = str(part).rpartition("'")
        texts.append(text)
        depth = max(depth, int(digits or 0))
    return f"{name}({','.join(texts)})'{max(0, depth - 1)}"


class Graph:
    """A graph as the script of one run declares it, and what its generators add."""

    def __init__(self, jobs: Mapping[str, Job]) -> None:
        self.jobs = jobs
        self.dependents: dict[str, list[str]] = {name: [] for name in jobs}
        for name, job in jobs.items():
            for source in job.inputs:
                self.dependents[source].append(name)
        self.declared: list[JobSpec] = []
        self.growth: dict[str, Growth] = {}
        made_by: dict[str, list[JobSpec]] = {}
        edges: dict[str, list[tuple[str, str]]] = {}
        for name, job in jobs.items():
            late = [source for source in job.inputs if not self._is_known(source, job.maker)]
            for source in late:
                edges.setdefault(jobs[source].maker, []).append((name, source))
            spec = spec_of(name, job.role, tuple(source for source in job.inputs if source not in late))
            if job.maker:
                made_by.setdefault(job.maker, []).append(spec)
            else:
                self.declared.append(spec)
        for name in {*made_by, *edges}:
            self.growth[name] = Growth(tuple(made_by.get(name, ())), tuple(edges.get(name, ())))

    def _is_known(self, source: str, maker: str) -> bool:
        """Whether a job that this generator (or the script) declares can name the source."""
        made_by = self.jobs[source].maker
        if not made_by:
            return True
        stack, seen = [maker], set()
        while stack:
            one = stack.pop()
            if one == made_by:
                return True
            if one and one not in seen:
                seen.add(one)
                stack += [self.jobs[one].maker, *self.jobs[one].inputs]
        return False


def spec_of(name: str, role: str, inputs: tuple[str, ...] = ()) -> JobSpec:
    """The job as the engine is told of it."""
    return JobSpec(
        name,
        _ROLES[role],
        role,
        Place("script.py", 1),
        outputs=(name,) if role in FILES else (),
        inputs=inputs,
        in_memory=role in LOADS,
        keeps=role == CACHE,
        is_opaque=role == OPAQUE,
    )


class Fingerprints:
    """What the engine calls the oracle's fingerprints; one for one."""

    def __init__(self) -> None:
        self.real: dict[Hashable, str] = {}
        self.meant: dict[str, Hashable] = {}
        self._traces: dict[tuple[str, Made], Trace] = {}

    def learn(self, meant: Hashable, real: str) -> None:
        """These two stand for each other, always."""
        if self.real.setdefault(meant, real) != real or self.meant.setdefault(real, meant) != meant:
            raise Violation(f"a fingerprint is wrong: {meant} is called {real}, and was {self.real.get(meant)}")

    def trace(self, name: str, made: Made, has_file: bool) -> Trace:
        """What the status file would give back."""
        trace = self._traces.get((name, made))
        if trace is None:
            real = self.real
            inputs = {source: real[fingerprint] for source, fingerprint in made.inputs}
            files = (record_of(name, real[made.fingerprint], made.content),) if has_file else ()
            trace = self._traces[name, made] = Trace(inputs, real[made.fingerprint], files)
        return trace


def record_of(name: str, fingerprint: str, content: Content) -> FileRecord:
    """A file as it was measured."""
    return FileRecord(name, fingerprint, str(content), len(str(content)), 0, 0, False)


class Run:
    """One run that stands between two steps.

    Attributes
    ----------
    ready, running
        What may be started, what may end.
    steps
        What was done so far, in words that `take` understands.
    finished
        Jobs whose success is recorded.
    """

    def __init__(
        self,
        graph: Graph,
        before: Situation,
        names: Fingerprints,
        irreproducible: frozenset[str] = frozenset(),
        salt: str = "",
        finished: frozenset[str] = frozenset(),
    ) -> None:
        self.graph = graph
        self.names = names
        self.before = before
        self.values = self._all_values()
        self.known = dict(before.known)
        self.files = dict(before.files)
        self.irreproducible = irreproducible
        self.salt = salt
        self.expected = self._expect()
        self.engine = Engine()
        self.memory: dict[str, Content] = {}
        self.ready: dict[str, tuple[Reason, ...]] = {}
        self.running: dict[str, tuple[Reason, ...]] = {}
        self.started: dict[str, tuple[Reason, ...]] = {}
        self.finished: frozenset[str] = frozenset()
        self.have_read: frozenset[str] = frozenset()
        self.outcome: dict[str, str] = {}
        self.has_ended = self.was_stopped = self.has_lost = False
        self.steps: tuple[tuple[str, str], ...] = ()
        for name in finished & self.expected.runs:
            if graph.jobs[name].role == OUTPUT:
                raise Violation(f"{name} had finished before the cut, and would run again")
        self._begin_run()

    def _all_values(self) -> dict[str, Content]:
        return dict(self.before.values)

    def _expect(self) -> Expected:
        return expect(self.graph.jobs, self.values, self.known, self.files, self._make)

    def _begin_run(self) -> None:
        for value in self.values.values():
            self.names.learn(value, str(value))
        self._tell(self._arrival(tuple(self.graph.declared), (), None))

    def copy(self) -> Run:
        """The same run, to be taken on in another way."""
        other = object.__new__(Run)
        attributes = dict(self.__dict__)
        for key in ("known", "files", "memory", "ready", "running", "started", "outcome"):
            attributes[key] = attributes[key].copy()
        attributes["engine"] = copied(self.engine)
        other.__dict__.update(attributes)
        return other

    def state(self) -> Hashable:
        """Equal for two copies only if they can't be told apart from here on."""
        return (
            frozen(self.engine),
            frozenset(self.known.items()),
            frozenset(self.files.items()),
            frozenset(self.memory),
            frozenset(self.running),
            frozenset(self.ready),
            frozenset(self.started),
            self.have_read,
        )

    def situation(self) -> Situation:
        """What would be left if everything ended here and now."""
        return Situation(self.before.values, tuple(sorted(self.known.items())), tuple(sorted(self.files.items())))

    # --- steps

    def take(self, what: str, name: str = "") -> None:
        """One step: start, succeed, fail, lose, find_damaged, stop, be_stopped; or of succeed: finish, record, tell."""
        self.steps = (*self.steps, (what, name))
        getattr(self, f"_{what}")(name)

    def _start(self, name: str) -> None:
        reasons = self.running[name] = self.ready.pop(name)
        self._check_start(name, reasons)
        self.started[name] = reasons
        self.remember("started", name)
        self.known[name] = self.known.get(name, UNKNOWN)._replace(is_unfinished=True)
        self.files.pop(name, None)
        self._tell(JobStarted(name, reasons, 1, 0.0))

    def _succeed(self, name: str) -> None:
        self._finish(name)
        self._record(name)
        self._tell_finished(name)

    def _finish(self, name: str) -> None:
        """The first part of a success: the files are there, nobody knows."""
        self._check_inputs(name)
        content = self._make(name, [self.expected.content[source] for source in self.graph.jobs[name].inputs])
        if self.graph.jobs[name].role in FILES:
            self.files[name] = content
        else:
            self.memory[name] = content

    def _record(self, name: str) -> None:
        """The second part: it is recorded, nobody was told."""
        job, expected = self.graph.jobs[name], self.expected
        event = self._success_of(name)
        if (objection := self.engine.objection_to(event)) is not None:
            raise Violation(f"the growth of {name} is refused: {objection.message}")
        trace = self.engine.trace_of(event)
        inputs = tuple((source, expected.fingerprint[source]) for source in sorted(job.inputs))
        for source, fingerprint in inputs:
            self.names.learn(fingerprint, trace.inputs[source])
        if len(trace.inputs) != len(inputs):
            raise Violation(f"the trace of {name} has other inputs: {trace.inputs}")
        self.names.learn(expected.fingerprint[name], trace.fingerprint)
        content = self.files.get(name, self.memory.get(name))
        assert content is not None
        self.remember("made", name, trace)
        self.known[name] = Known(Made(inputs, expected.fingerprint[name], content))
        self.finished |= {name}

    def _tell_finished(self, name: str) -> None:
        """The last part: the engine is told."""
        del self.running[name]
        self.outcome[name] = "succeeded"
        growth = self.graph.growth.get(name)
        if growth is not None:
            self._tell(self._arrival(growth.jobs, growth.edges, name))
        self._tell(self._success_of(name))

    def _fail(self, name: str) -> None:
        del self.running[name]
        self.outcome[name] = "failed"
        self.remember("failed", name)
        self.known[name] = self.known[name]._replace(is_unfinished=False, has_failed=True)
        self._tell(JobFailed(name, _RAISED))

    def _stop(self, name: str) -> None:
        self.was_stopped = True
        self._tell(StopRequested(2, False))

    def _be_stopped(self, name: str) -> None:
        del self.running[name]
        self.outcome[name] = "stopped"
        self._tell(JobStopped(name))

    def _lose(self, name: str) -> None:
        """A slave dies, with what it runs (or only the job that is named), and all that was loaded."""
        self.has_lost = True
        lost = (name,) if name else tuple(self.running)
        memory = tuple(self.memory)
        for each in lost:
            del self.running[each]
        self.memory.clear()
        self._tell(JobsLost(lost, memory))

    def _find_damaged(self, name: str) -> None:
        """A running job can't read the first cache that it depends on; those that run beside it may have read it."""
        cache = next(each for each in self.graph.jobs[name].inputs if self.graph.jobs[each].role == CACHE)
        del self.running[name]
        if name in self.have_read:
            self.have_read -= {name}
            self._tell(JobsLost((name,), ()))
            return
        self.has_lost = True
        self.have_read = frozenset(each for each in self.running if cache in self.graph.jobs[each].inputs)
        del self.files[cache]
        again = {cache}
        stack = [cache]
        while stack:
            for source in self.graph.jobs[stack.pop()].inputs:
                if source not in again and not self._is_there(source):
                    again.add(source)
                    stack.append(source)
        self.expected = self.expected._replace(runs=self.expected.runs | again)
        self._tell(JobsLost((name,), (cache,)))

    def _is_there(self, name: str) -> bool:
        job = self.graph.jobs[name]
        if job.role not in EPHEMERAL or name in self.memory:
            return True
        return job.role in FILES and is_usable(name, job, self.known.get(name, UNKNOWN), self.files)

    def go_straight(self) -> None:
        """To the end, in one order, without a mishap."""
        while self.ready or self.running:
            while self.ready and not self.was_stopped:
                self.take("start", next(iter(self.ready)))
            self.take("succeed", next(iter(self.running)))
        self.check_end()

    # --- what the loop does

    def remember(self, what: str, name: str, trace: Trace | None = None) -> None:
        """Write down that a job was started, made or failed; here, `known` is all there is."""

    def past_of(self, name: str) -> Past | None:
        """What the status file would give back."""
        known = self.known.get(name)
        if known is None:
            return None
        has_file = self.graph.jobs[name].role in FILES
        trace = None if known.made is None else self.names.trace(name, known.made, has_file)
        return Past(trace, known.is_unfinished, known.has_failed)

    def _tell(self, event: Any) -> None:
        for answer in self.engine.handle(event):
            if isinstance(answer, StartJob):
                self._make_ready(answer)
            elif isinstance(answer, WithdrawJob):
                self._withdraw(answer.job)
            elif isinstance(answer, DropProduct):
                self._drop(answer.job)
            elif isinstance(answer, JobUpToDate):
                self._note(answer.job, "up to date")
            elif isinstance(answer, JobNotNeeded):
                self._note(answer.job, "not needed")
            elif isinstance(answer, JobBlocked):
                self._note(answer.job, "blocked")
                if self.outcome.get(answer.culprit) != "failed":
                    raise Violation(f"{answer.job} is blocked by {answer.culprit}, which did not fail")
            elif isinstance(answer, EndRun):
                if self.has_ended:
                    raise Violation("the run ends twice")
                self.has_ended = True
            elif not isinstance(answer, Warned):
                raise Violation(f"not foreseen: {answer}")

    def _make_ready(self, start: StartJob) -> None:
        self.ready[start.job] = start.reasons

    def _withdraw(self, name: str) -> None:
        if self.ready.pop(name, None) is None:
            raise Violation(f"{name} is withdrawn, and is not ready")

    def _note(self, name: str, outcome: str) -> None:
        before = self.outcome.get(name)
        # What was in the memory of a slave that died may be blocked when it is to be made again.
        is_again = before == "succeeded" and (outcome == "not needed" or (outcome == "blocked" and self.has_lost))
        if before is not None and not is_again:
            raise Violation(f"{name} is {outcome}, and was {before}")
        if outcome != "not needed" or before is None:
            self.outcome[name] = outcome

    def _drop(self, name: str) -> None:
        if self.graph.jobs[name].role == CACHE:
            raise Violation(f"{name} is dropped, and is a cache")
        for dependent in self.graph.dependents[name]:
            if dependent in self.running:
                raise Violation(f"{name} is dropped, and {dependent}, which depends on it, is running")
        self.files.pop(name, None)
        self.memory.pop(name, None)

    def _success_of(self, name: str) -> JobSucceeded:
        outputs: tuple[FileRecord, ...] = ()
        if self.graph.jobs[name].role in FILES:
            outputs = (record_of(name, str(self.files[name]), self.files[name]),)
        loaded = str(self.memory[name]) if self.graph.jobs[name].role == OPAQUE else ""
        return JobSucceeded(name, outputs, growth=self.graph.growth.get(name, Growth()), fingerprint=loaded)

    def _arrival(self, specs: tuple[JobSpec, ...], edges: tuple[tuple[str, str], ...], by: str | None) -> GraphGrew:
        pasts, problems, measured = {}, {}, {}
        for spec in specs:
            if spec.role is Role.INVARIANT:
                measured[spec.id] = str(self.values[spec.id])
                continue
            past = self.past_of(spec.id)
            if past is not None:
                pasts[spec.id] = past
                if spec.outputs and (found := self._problems(spec.id, self.known[spec.id])):
                    problems[spec.id] = found
        return GraphGrew(specs, edges, by, pasts, measured, {}, problems)

    def _problems(self, name: str, known: Known) -> tuple[Reason, ...]:
        now = self.files.get(name)
        if now is None:
            return (Reason(ReasonKind.OUTPUT_MISSING, name),)
        if known.made is None or now == known.made.content:
            return ()
        changed = Reason(ReasonKind.OUTPUT_CHANGED, name)
        return (changed, Reason(ReasonKind.OUTPUT_EMPTY, name)) if now == EMPTY else (changed,)

    def _make(self, name: str, parts: list[Content]) -> Content:
        content = content_of(name, parts)
        return f"{self.salt}#{content}" if name in self.irreproducible else content

    def _held(self, name: str) -> Content:
        for holder in (self.values, self.files, self.memory):
            if name in holder:
                return holder[name]
        raise Violation(f"{name} is not there")

    # --- what must hold

    def _check_start(self, name: str, reasons: tuple[Reason, ...]) -> None:
        if name in self.started and not self.has_lost:
            raise Violation(f"{name} runs twice in one run")
        if self.was_stopped:
            raise Violation(f"{name} starts after the run was stopped")
        if name not in self.expected.runs and not self.has_lost:
            raise Violation(f"{name} runs, and has no reason; it says {reasons}")
        said = {(reason.kind.value, reason.subject) for reason in reasons}
        if not said:
            raise Violation(f"{name} runs and says no reason")
        if self.graph.jobs[name].role == OUTPUT and said != self.expected.reasons[name]:
            raise Violation(f"{name} runs because {said}; it should say {self.expected.reasons[name]}")
        if not self.has_lost and self._is_for_others(name):
            dependents = [each for each in self.graph.dependents[name] if each in self.expected.runs]
            if not any(each not in self.outcome for each in dependents):
                raise Violation(f"{name} runs, and no job that is still to run needs it")
        self._check_inputs(name)

    def _is_for_others(self, name: str) -> bool:
        """Whether it has no reason of its own: its fingerprint is known without."""
        job, made = self.graph.jobs[name], self.known.get(name, UNKNOWN).made
        inputs = tuple((source, self.expected.fingerprint[source]) for source in sorted(job.inputs))
        return job.role == LOAD or (job.role in EPHEMERAL and made is not None and made.inputs == inputs)

    def _check_inputs(self, name: str) -> None:
        """I6: what it needs is there, and is what it should be; its maker has run."""
        job = self.graph.jobs[name]
        for source in job.inputs if name not in self.have_read else ():
            content = self._held(source)
            if content != self.expected.content[source]:
                raise Violation(f"{name} reads {content} from {source}, not {self.expected.content[source]}")
        if job.maker and job.maker not in self.memory:
            raise Violation(f"{name} runs, and {job.maker}, which declares it, has not run in this slave")

    def check_end(self) -> None:
        """I1, I2, I3, I5 and I6, of a run that is over; or that it is not over, and nothing can go on."""
        if not self.has_ended:
            raise Violation("the run stalls")
        if self.ready and not self.was_stopped:
            raise Violation(f"the run ends, and {set(self.ready)} did not start")
        bad = {name for name, outcome in self.outcome.items() if outcome in ("failed", "blocked", "stopped")}
        failed = {name for name, outcome in self.outcome.items() if outcome == "failed"}
        spared = self.graph.jobs.keys() - self._behind(failed)
        for name, job in self.graph.jobs.items():
            outcome = self.outcome.get(name)
            if self.was_stopped or job.role == INVARIANT or (outcome is None and self._behind(failed, True)):
                continue
            if outcome is None:
                raise Violation(f"nothing is said of {name} in the end")
            if name in spared and outcome == "blocked":
                raise Violation(f"{name} is blocked, and depends on nothing that failed")
            is_wanted = job.role == OUTPUT or job.role == GENERATOR or not failed
            if name in spared and is_wanted and (name in self.expected.runs) != (outcome in ("succeeded", "failed")):
                raise Violation(f"{name} {outcome}; it should{' not' * (name not in self.expected.runs)} have run")
            if job.role == OUTPUT and name in spared - failed:
                self._check_file(name)
            is_left = job.role == TEMP and name in self.files and name in self.known
            if is_left and not bad.intersection((name, *self.graph.dependents[name])):
                raise Violation(f"{name} is left behind")

    def _check_file(self, name: str) -> None:
        if self.files.get(name) != self.expected.content[name]:
            raise Violation(f"{name} holds {self.files.get(name)!r}, not {self.expected.content[name]!r}")
        if "#" not in str(self.files[name]) and self.files[name] != self.from_nothing()[name]:
            raise Violation(f"{name} holds {self.files[name]!r}; from nothing it is {self.from_nothing()[name]!r}")

    def _behind(self, failed: Iterable[str], makers_only: bool = False) -> set[str]:
        """All that depends on one of these, by inputs or as what they make; or what they (or those behind) declare."""
        found: set[str] = set()
        stack = list(failed)
        while stack:
            one = stack.pop()
            for name, job in self.graph.jobs.items():
                if name not in found and (one in job.inputs or job.maker == one):
                    found.add(name)
                    stack.append(name)
        if makers_only:
            return {name for name in found if self.graph.jobs[name].maker}
        return found

    def from_nothing(self) -> dict[str, Content]:
        """What everything holds in a directory where nothing was."""
        content: dict[str, Content] = dict(self.values)
        for name, job in self.graph.jobs.items():
            if job.role != INVARIANT:
                content[name] = content_of(name, [content[source] for source in job.inputs])
        return content


def replay(values: Mapping[str, Content], moves: Iterable[tuple[Any, ...]]) -> None:
    """Go through a history again; raises Violation where it did.

    Parameters
    ----------
    values
        Of the invariants, at the beginning.
    moves
        ``("declare", jobs)``; ``("run", steps, irreproducible jobs)``, as far as the steps go or to the end of the run;
        ``("value", invariant, value)``, ``("file", path, content)``: None removes it.
    """
    names, graph = Fingerprints(), Graph({})
    situation, finished = Situation(tuple(values.items())), frozenset[str]()
    for number, (what, *rest) in enumerate(moves):
        if what == "run":
            run = Run(graph, situation, names, frozenset(rest[1]), str(number), finished)
            for what, name in rest[0]:
                if name and name not in (run.ready if what == "start" else run.running):
                    print(f"The run goes another way by now: {what} {name} can't be next. On in any way.")
                    run.go_straight()
                    break
                run.take(what, name)
            if not run.ready and not run.running:
                run.check_end()
            situation, finished = run.situation(), run.finished
            continue
        finished = frozenset()
        if what == "declare":
            graph = Graph(rest[0])
        elif what == "value":
            situation = situation._replace(values=tuple((dict(situation.values) | {rest[0]: rest[1]}).items()))
        elif what == "file":
            situation = situation._replace(files=with_file(situation.files, *rest))


def with_file(
    files: tuple[tuple[str, Content], ...], path: str, content: Content | None
) -> tuple[tuple[str, Content], ...]:
    """The directory with a file written, or removed (None)."""
    kept = {name: text for name, text in files if name != path}
    return tuple(sorted(kept.items() if content is None else [*kept.items(), (path, content)]))


def copied(thing: Any) -> Any:
    """A copy of the engine and what it owns; the facts in it are shared."""
    kind = type(thing)
    if kind is list:
        return [each.copy() if type(each) is list else each for each in thing]
    if kind is dict:
        return {key: value.copy() if type(value) in (list, dict) else value for key, value in thing.items()}
    if kind is set or kind is deque:
        return thing.copy()
    if kind is Engine or kind is Ledger:
        other = object.__new__(kind)
        other.__dict__.update([(key, copied(value)) for key, value in thing.__dict__.items()])
        return other
    return thing


_WHAT_JOBS_ARE = "arrived", "invariants", "spec", "past"


def frozen(thing: Any) -> Hashable:
    """The same for two engines of one graph only if nothing in them differs."""
    kind = type(thing)
    if kind is list:
        return tuple([tuple(each) if type(each) is list else each for each in thing])
    if kind is dict:
        return frozenset(
            [(key, tuple(value) if type(value) in (list, dict) else value) for key, value in thing.items()]
        )
    if kind is set:
        return frozenset(thing)
    if kind is deque:
        return tuple(thing)
    if kind is Engine or kind is Ledger:
        # What jobs are follows from which generators have ended.
        return tuple([frozen(value) for key, value in thing.__dict__.items() if key not in _WHAT_JOBS_ARE])
    return thing
