"""Large random graphs in memory: real scripts and classes, the real engine and coordinator, no process and no disk.

A *plan* says which jobs there are; it is rendered as the text of a script, which is executed before each run. A
*history* is what a person does with it: runs, with and without mishaps, and edits between them. Every step is checked
against the oracle. What goes wrong is made smaller and told as a script that does it again.

Drawn at once by `hypothesis.given`, and not rule by rule by a state machine: so what is made smaller are calls by
name (`smallest`), from which whole jobs and halves of the graph can be taken away.

    python tests/proof random --seconds 600 --seed 1

Longer than other files, since a plan, its text and its run are one thing seen three times.
"""

from __future__ import annotations

import argparse
import ast
import sys
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from random import Random
from types import CodeType
from typing import Any, NamedTuple

import hypothesis
from hypothesis import strategies
from xxhash import xxh3_64_hexdigest

import pipegraph as ppg
from pipegraph.coordinator import Coordinator
from pipegraph.engine import Engine, StartJob
from pipegraph.events import GraphGrew, JobFailed, JobsLost, JobStarted, JobSucceeded
from pipegraph.model import Failure, FileRecord, Growth, JobSpec, Past, Reason, ReasonKind, Role, Trace

from .graphs import GENERATOR, INVARIANT, LOAD, OUTPUT, TEMP
from .oracle import EMPTY, Content, Job, Known, Made, contents_of, dependents_of, expect
from .world import FOREIGN, HALF, Fingerprints, Run, Situation, Violation, record_of, with_file


class Kind(NamedTuple):
    """What a job of this kind is to the oracle and in a script; `files`: how many."""

    role: str
    class_name: str
    files: int = 0


KINDS = {
    "in": Kind(INVARIANT, "FileInvariant"),
    "parameter": Kind(INVARIANT, "ParameterInvariant"),
    "file": Kind(OUTPUT, "FileGeneratingJob", 1),
    "files": Kind(OUTPUT, "MultiFileGeneratingJob", 2),
    "temp": Kind(TEMP, "TempFileGeneratingJob", 1),
    "temps": Kind(TEMP, "MultiTempFileGeneratingJob", 2),
    "load": Kind(LOAD, "DataLoadingJob"),
    "attribute": Kind(LOAD, "AttributeLoadingJob"),
    "generator": Kind(GENERATOR, "JobGeneratingJob"),
    "injection": Kind(GENERATOR, "DependencyInjectionJob"),
    "final": Kind(OUTPUT, "FinalJob"),
}
DRAWN = (*("file", "in", "temp", "load", "generator") * 2, *KINDS, "file", "file", "temp")
VALUES = ("A'0", "B'0", "A'1", "A'2")
"""Of input files; see `world.content_of`."""
VERSIONS = ("A", "B", "C")
"""Of code and parameters."""
GIB = 1 << 30
MEMORY = 4 * GIB
CORES = 4


class Planned(NamedTuple):
    """One job of a plan, which calls it by its kind and a number.

    Attributes
    ----------
    inputs
        Names of earlier jobs, or of one file of them.
    maker
        The generator that declares it; empty: the script does.
    value
        Of a parameter; of other jobs what stands in their code.
    """

    inputs: tuple[str, ...] = ()
    maker: str = ""
    value: str = "A"
    cores: int = 1
    memory: int = -1
    is_pruned: bool = False

    def __repr__(self) -> str:
        """What is not as usual."""
        usual = Planned._field_defaults
        shown = (f"{name}={value!r}" for name, value in self._asdict().items() if value != usual[name])
        return f"Planned({', '.join(shown)})"


Plan = Mapping[str, Planned]


def kind_of(name: str) -> Kind:
    """By its name, or that of one of its files."""
    return KINDS[name.partition("_")[0]]


def job_of(name: str) -> str:
    """The job of a plan that this is, or is a file of."""
    return name.rstrip("ab") if kind_of(name).files > 1 else name


def paths_of(name: str) -> tuple[str, ...]:
    """Its files."""
    count = kind_of(name).files
    return (name + "a", name + "b") if count > 1 else (name,) * count


def id_of(name: str) -> str:
    """What pipegraph calls it."""
    if kind_of(name).files > 1:
        return name if name != job_of(name) else ":::".join(paths_of(name))
    return "PI" + name if name.startswith("parameter") else name


class Bonds:
    """Who can name whom when a plan is declared, worked out job by job, in the order of the plan."""

    def __init__(self) -> None:
        self.plan: dict[str, Planned] = {}
        self.late: dict[str, tuple[str, ...]] = {}
        self._ended: dict[str, frozenset[str]] = {"": frozenset()}
        self._waits: dict[str, frozenset[str]] = {}

    def add(self, name: str, job: Planned) -> None:
        """Without the inputs that it can't be given."""
        kept: list[str] = []
        late: list[str] = []
        may_have = kind_of(name).role != INVARIANT
        for source in dict.fromkeys(job.inputs) if may_have else ():
            known = self.plan.get(job_of(source))
            if known is None or job_of(source) == job.maker or job_of(source).startswith("final"):
                continue
            if not known.maker or known.maker in self._ended[job.maker] | {job.maker}:
                kept.append(source)
            else:
                late.append(source)
        waits: frozenset[str] = frozenset(job_of(source) for source in kept if kind_of(source).role == GENERATOR)
        waits = waits.union(*(self._waits[job_of(source)] for source in kept))
        for source in late:
            maker = self.plan[job_of(source)].maker
            # What a FinalJob waits for may come before it is there.
            if maker in waits and (not job.maker or job.maker in self._ended[maker]):
                kept.append(source)
        late = [source for source in late if source in kept]
        sources = {job_of(source) for source in kept}
        ended = self._ended[job.maker].union([job.maker] if job.maker else [], *(self._ended[each] for each in sources))
        self._ended[name] = ended.union(each for each in sources if kind_of(each).role == GENERATOR)
        self._waits[name] = waits
        self.late[name] = tuple(late)
        self.plan[name] = job._replace(inputs=tuple(kept))


def bonds_of(plan: Plan) -> Bonds:
    """Of a plan that may have lost jobs: what is left of it, and how it is declared."""
    bonds = Bonds()
    for name, job in plan.items():
        if not job.maker or job.maker in bonds.plan:
            bonds.add(name, job)
    return bonds


def left_out(bonds: Bonds) -> set[str] | None:
    """The pruned jobs, all that depends on them, and what they declare; None if a job that stays were given one."""
    out: set[str] = set()
    for name, job in bonds.plan.items():
        known = [job_of(source) for source in job.inputs if source not in bonds.late[name]]
        if job.is_pruned or job.maker in out or not out.isdisjoint(known):
            out.add(name)
        elif any(job_of(source) in out for source in bonds.late[name]):
            return None
    return out


# --- as text


PRELUDE = """
from types import SimpleNamespace

import pipegraph as ppg

ppg.new_pipegraph(quiet=True)
J = SimpleNamespace()
data = SimpleNamespace()


def read(*paths):
    return [open(path).read() for path in paths]


def write(outputs, *texts):
    for path in outputs if isinstance(outputs, list) else [outputs]:
        path.write_text(repr(texts))


"""


def text_of(bonds: Bonds) -> str:
    """The script."""
    plan = bonds.plan
    declared: dict[str, list[str]] = {"": []}
    for name, job in plan.items():
        declared.setdefault(job.maker, []).extend(_declaration(name, job, bonds))
        for source in bonds.late[name]:
            declared.setdefault(plan[job_of(source)].maker, []).append(f"J.{name}.depends_on({_as_input(source)})")
    functions = [
        _callback(name, job, bonds, declared.get(name, []))
        for name, job in plan.items()
        if kind_of(name).role != INVARIANT
    ]
    return PRELUDE.lstrip() + "\n\n".join([*functions, "\n".join(declared[""]), "# ppg.run_pipegraph()\n"])


def _callback(name: str, job: Planned, bonds: Bonds, declared: Iterable[str]) -> str:
    values = [repr(f"{name} {job.value}")]
    values += [f"*read({path!r})" for source in job.inputs for path in _read_paths(source)]
    values += [f"data.{source}" for source in job.inputs if kind_of(source).role == LOAD]
    text = ", ".join(values)
    role, kind, files = kind_of(name)
    if role == GENERATOR:
        body = [values[0], *declared]
    elif files:
        body = [f"write(output, {text})"]
    elif kind == "DataLoadingJob":
        body = [f"data.{name} = ({text},)"]
    else:
        body = [f"return ({text},)"]
    return "\n    ".join([f"def make_{name}({'output' * bool(files)}):", *body]) + "\n"


def _read_paths(source: str) -> tuple[str, ...]:
    if source.startswith("in_"):
        return (source,)
    return paths_of(source) if source == job_of(source) else (source,)


def _as_input(source: str) -> str:
    return f"J.{source}" if source == job_of(source) else repr(source)


def _declaration(name: str, job: Planned, bonds: Bonds) -> Iterator[str]:
    kind = kind_of(name)
    given: list[str] = [repr(name), f"make_{name}"]
    if kind.files > 1:
        given[0] = repr(list(paths_of(name)))
    elif name.startswith("in_"):
        given = [repr(name)]
    elif name.startswith("parameter"):
        given[1] = repr(job.value)
    elif name.startswith("attribute"):
        given[1:1] = ["data", repr(name)]
    elif name.startswith("injection"):
        given.append("check_for_dependency_injections=False")
    yield f"J.{name} = ppg.{kind.class_name}({', '.join(given)})"
    early = [_as_input(source) for source in job.inputs if source not in bonds.late[name]]
    if early:
        yield f"J.{name}.depends_on({', '.join(early)})"
    if job.cores != 1:
        yield f"J.{name}.cores_needed = {job.cores}"
    if job.memory != -1:
        yield f"J.{name}.memory_needed = {job.memory}"
    if job.is_pruned:
        yield f"J.{name}.prune()"


# --- as the oracle sees it


class Declared:
    """What a plan comes to when it is run, by the ids of pipegraph; `values` are those that stand in the script."""

    def __init__(self, bonds: Bonds, out: set[str], text: str = "") -> None:
        self.jobs: dict[str, Job] = {}
        self.values: dict[str, Content] = {}
        self.late: dict[str, set[str]] = {}
        self.text = text.lstrip() or text_of(bonds)
        self.compiled: CodeType = compile(self.text, "script.py", "exec")
        code = _source_of_functions(self.text)
        finals = {}
        for name, job in bonds.plan.items():
            if name in out:
                continue
            kind = kind_of(name)
            inputs = [id_of(source) for source in job.inputs]
            files: tuple[str, ...] | None = paths_of(name) if kind.files > 1 else None
            if kind.role == INVARIANT:
                if name.startswith("parameter"):
                    self.values[id_of(name)] = f"parameter {job.value}'0"
            else:
                watched = f"FI{id_of(name)}"
                self.jobs[watched] = Job(INVARIANT, (), job.maker)
                self.values[watched] = f"code {xxh3_64_hexdigest(code[f'make_{name}'].encode())}'0"
                inputs.append(watched)
            if name.startswith("final"):
                finals[name] = Job(OUTPUT, tuple(sorted(inputs)), job.maker, ())
            else:
                self.jobs[id_of(name)] = Job(kind.role, tuple(sorted(inputs)), job.maker, files)
            self.late[id_of(name)] = {id_of(source) for source in bonds.late[name]}
        self.is_final = frozenset(finals)
        before = tuple(name for name, job in self.jobs.items() if job.role == OUTPUT)
        for name, job in finals.items():
            self.jobs[name] = job._replace(inputs=tuple(sorted({*job.inputs, *before})))
        self.dependents = dependents_of(self.jobs)
        self.job_of = {path: name for name, job in self.jobs.items() for path in job.files or ()}

    def paths(self, name: str) -> tuple[str, ...]:
        """The files that a job makes."""
        job = self.jobs[name]
        if job.role not in (OUTPUT, TEMP):
            return ()
        return (name,) if job.files is None else job.files

    def made_by(self, maker: str) -> Iterator[tuple[str, Job]]:
        return ((name, job) for name, job in self.jobs.items() if job.maker == maker)


def _source_of_functions(text: str) -> dict[str, str]:
    lines = text.splitlines()
    functions = (node for node in ast.parse(text).body if isinstance(node, ast.FunctionDef))
    return {each.name: "\n".join(lines[each.lineno : each.end_lineno]) for each in functions}


def content_of(name: str, job: Job, parts: list[Content]) -> Content:
    """What a job makes: as `world.content_of`, but short, and of several files each from some of the inputs only."""
    if job.files == ():
        return ()
    if job.files:
        count = len(job.files)
        return tuple((path, _text(path, parts[nth::count])) for nth, path in enumerate(job.files))
    return _text(name, parts)


def _text(path: str, parts: list[Content]) -> str:
    texts, depth = [], 0
    for part in parts:
        for each in [text for _, text in part] if isinstance(part, tuple) else [part]:
            text, _, digits = str(each).rpartition("'")
            texts.append(text)
            depth = max(depth, int(digits or 0))
    return f"{path}({xxh3_64_hexdigest(' '.join(texts).encode())})'{max(0, depth - 1)}"


def digest(inputs: object) -> str:
    """One for one, as far as anyone knows."""
    return f"of {xxh3_64_hexdigest(repr(inputs).encode())}"


# --- a run


class LargeRun(Run):
    """A run of a script, whose jobs get their cores from the coordinator and whose generators are called.

    Attributes
    ----------
    held
        What really runs, and with how many cores and how much memory. The master learns of it later.
    ahead
        What slaves were told ahead, in order, and which slave.
    """

    graph: Declared  # type: ignore[assignment]

    def __init__(
        self, graph: Declared, before: Situation, names: Fingerprints, finished: frozenset[str], cores: int
    ) -> None:
        self.graph = graph
        self.names = names
        self.before = before
        self.values = {**dict(before.values), **graph.values}
        self.known = dict(before.known)
        self.files = dict(before.files)
        self.irreproducible = frozenset()
        self.expected = expect(graph.jobs, self.values, self.known, self.files, self._made_from, digest)
        self.engine = Engine()
        self.memory: dict[str, Content] = {}
        self.ready: dict[str, tuple[Reason, ...]] = {}
        self.running: dict[str, tuple[Reason, ...]] = {}
        self.started: dict[str, tuple[Reason, ...]] = {}
        self.finished: frozenset[str] = frozenset()
        self.outcome: dict[str, str] = {}
        self.has_ended = self.was_stopped = self.has_lost = False
        self.cores = cores
        self.coordinator = Coordinator(cores, MEMORY)
        self.specs: dict[str, JobSpec] = {}
        self.grown: dict[str, Growth] = {}
        self.refused: dict[str, Failure] = {}
        self.held: dict[str, tuple[int, int]] = {}
        self.ahead: dict[str, int] = {}
        self.slave_of: dict[str, int] = {}
        self.slave = 0
        self.read: dict[str, list[Content]] = {}
        self.steps = 0  # type: ignore[assignment]
        self.mishaps: Counter[str] = Counter()
        for name in finished & self.expected.runs:
            if graph.jobs[name].role == OUTPUT:
                raise Violation(f"{name} had finished, nothing was changed, and it would run again")
        specs = self._declare()
        self._check_declared("", specs, ())
        self._tell(self._arrival(specs, (), None))

    # --- the script

    def _declare(self) -> tuple[JobSpec, ...]:
        """Execute the script, as the process does from which the first slave is forked."""
        exec(self.graph.compiled, {"__name__": "__main__"})
        self.jobs = ppg.util.global_pipegraph
        self.jobs.resolve()
        return self.jobs.specs()  # type: ignore[no-any-return]

    def _grow(self, name: str) -> Growth:
        """Call a generator, as its fork does."""
        self.jobs.begin_growth(name)
        self.jobs.job(name).run()
        growth: Growth = self.jobs.end_growth()
        self._check_declared(name, growth.jobs, growth.edges)
        return growth

    def _check_declared(self, maker: str, specs: tuple[JobSpec, ...], edges: tuple[tuple[str, str], ...]) -> None:
        """The script's own words are what reaches the engine."""
        graph = self.graph
        told = {spec.id: set(spec.inputs) for spec in specs}
        meant = {name: set(job.inputs) - graph.late.get(name, set()) for name, job in graph.made_by(maker)}
        for name in graph.is_final & meant.keys():
            meant[name] -= {each for each, job in graph.jobs.items() if job.role == OUTPUT} - told.get(name, set())
        for name, late in graph.late.items():
            injected = {each for each in late if graph.jobs[graph.job_of.get(each, each)].maker == maker}
            if name in meant:
                meant[name] |= injected
        if told != meant:
            raise Violation(f"{maker or 'the script'} declares {told}, not {meant}")
        injected_edges = {
            (name, each)
            for name, late in graph.late.items()
            for each in late
            if maker and name not in meant and graph.jobs[graph.job_of.get(each, each)].maker == maker
        }
        if set(edges) != injected_edges:
            raise Violation(f"{maker or 'the script'} injects {edges}, not {injected_edges}")

    # --- what the loop does

    def go(self, order: int, mishap: str, at: int) -> None:
        """To the end, or until it is cut; `at`: how many jobs ended before the mishap; `order` 0: nothing by chance."""
        pick = Random(order)
        while not self.has_ended:
            self._start_what_fits()
            if self.has_ended:
                break
            if not self.held:
                raise Violation("the run stalls")
            if self.steps >= at and mishap not in ("", "fail"):
                self.mishaps[mishap] += 1
                if mishap == "cut":
                    self._cut(pick, order)
                    return
                if mishap == "stop":
                    self._stop_all()
                else:
                    self._lose_slave(is_keeper=mishap == "lose all")
                mishap = ""
                continue
            for _ in range(pick.choice((1, 1, 2, 3)) if order else 1):
                if not self.held or self.has_ended:
                    break
                name = pick.choice(list(self.held)) if order else next(iter(self.held))
                fails = mishap == "fail" and (self.steps == at or (self.steps > at and order and pick.random() < 0.1))
                self._end(name, fails, pick.random() < 0.5, pick.choice((0.0, 0.001, 1.0)) if order else 1.0)
                self.steps += 1
        self.check_end()

    def _start_what_fits(self) -> None:
        coordinator = self.coordinator
        while not self.has_ended and (name := coordinator.next_turn()) is not None:
            if name in self.ahead:
                self._begin(name)
        while not self.has_ended and (spec := coordinator.next_start()) is not None:
            self._start(spec.id)
            self._begin(spec.id)
        while not self.has_ended and (spec := coordinator.next_ahead()) is not None:
            self._start(spec.id)
            self.ahead[spec.id] = self.slave

    def _make_ready(self, start: StartJob) -> None:
        super()._make_ready(start)
        spec = self.specs[start.job]
        objection = self.coordinator.objection_to(spec)
        if objection is None:
            self.coordinator.submit(spec)
        else:
            self.refused[start.job] = objection

    def _tell(self, event: Any) -> None:
        super()._tell(event)
        while self.refused:
            name = next(iter(self.refused))
            del self.ready[name]
            self.outcome[name] = "failed"
            self.mishaps["too demanding"] += 1
            self._tell(JobFailed(name, self.refused.pop(name)))

    def _withdraw(self, name: str) -> None:
        super()._withdraw(name)
        self.refused.pop(name, None)
        self.coordinator.withdraw(name)

    def _start(self, name: str) -> None:
        if name not in self.ready:
            raise Violation(f"{name} is started, and is not ready")
        reasons = self.running[name] = self.ready.pop(name)
        self._check_start(name, reasons)
        if name in self.finished and self.graph.jobs[name].role == OUTPUT:
            raise Violation(f"{name} runs again after it was made")
        self.started[name] = reasons
        self.slave_of[name] = self.slave
        self.known[name] = self.known.get(name, Known())._replace(is_unfinished=True)
        self._tell(JobStarted(name, reasons, self.coordinator.cores_of(name), 0.0))

    def _begin(self, name: str) -> None:
        """A process of its own begins."""
        self.ahead.pop(name, None)
        spec = self.specs[name]
        cores = {-1: self.cores, -2: max(1, self.cores - 1)}.get(spec.cores, spec.cores)
        self.held[name] = cores, max(0, spec.memory_bytes)
        taken_cores, taken_memory = (sum(each) for each in zip(*self.held.values()))
        if taken_cores > self.cores or taken_memory > MEMORY:
            raise Violation(f"{taken_cores} cores and {taken_memory} bytes are taken by {self.held}")
        changing = [each for each in self.held if self._changes_slave(each)]
        if len(changing) > 1:
            raise Violation(f"{changing} change the slave at once")
        self._check_inputs(name)
        self.read[name] = [self._held(source) for source in self.graph.jobs[name].inputs]
        for path in self.graph.paths(name):
            self.files.pop(path, None)

    def _changes_slave(self, name: str) -> bool:
        return self.graph.jobs[name].role in (LOAD, GENERATOR)

    def _end(self, name: str, fails: bool, is_stopped: bool, seconds: float) -> None:
        """A job's process ends; its slave begins another that it was told ahead, and then tells of both."""
        is_stopped = self.was_stopped and is_stopped
        succeeds = not fails and not is_stopped
        del self.held[name]
        if succeeds:
            self._finish(name)
        following = next((each for each, slave in self.ahead.items() if slave == self.slave_of[name]), None)
        if succeeds and self._changes_slave(name):
            following = None  # the old slave does not see it end
            self.slave += 1
        if following is not None:
            self._begin(following)
        self.coordinator.end(name, seconds)
        if succeeds:
            self._record(name)
            self._tell_finished(name)
        elif is_stopped:
            self._be_stopped(name)
        else:
            self._fail(name)
            self.mishaps["fail"] += 1
        if following is not None:
            self.coordinator.begin(following)

    def _stop_all(self) -> None:
        self._stop("")
        for name in list(self.ahead):
            del self.ahead[name]
            self.coordinator.end(name)
            self._be_stopped(name)

    def _lose_slave(self, is_keeper: bool) -> None:
        """The slave that the next jobs are forked from dies, or all do; the next is as the script declared it."""
        self.has_lost = True
        lost = tuple(sorted(name for name in self.running if is_keeper or self.slave_of[name] == self.slave))
        memory = tuple(self.memory)
        self.slave += 1
        for name in lost:
            del self.running[name]
            self.held.pop(name, None)
            self.ahead.pop(name, None)
            self.coordinator.end(name)
        self.memory.clear()
        self._declare()
        self._tell(JobsLost(lost, memory))

    def _cut(self, pick: Random, order: int) -> None:
        """kill -9 of everything: what runs leaves halves, or nothing, or has just made all, recorded or not."""
        for name in list(self.held):
            how = pick.randrange(4) if order else 0
            if how >= 2:
                self._finish(name)
                if how == 3:
                    self._record(name)
            elif how == 1:
                self.files.update(dict.fromkeys(self.graph.paths(name), HALF))

    def _finish(self, name: str) -> None:
        """The files are there; nobody knows."""
        job = self.graph.jobs[name]
        content = self._made_from(name, self.read.pop(name))
        if job.role in (OUTPUT, TEMP):
            self.files.update(contents_of(name, job, content))
        else:
            self.memory[name] = content
        if job.role == GENERATOR:
            self.grown[name] = self._grow(name)

    def _record(self, name: str) -> None:
        """It is recorded; the engine was not told."""
        job, expected = self.graph.jobs[name], self.expected
        event = self._success_of(name)
        if (objection := self.engine.objection_to(event)) is not None:
            raise Violation(f"the growth of {name} is refused: {objection.message}")
        trace = self.engine.trace_of(event)
        inputs = tuple((source, expected.fingerprint[source]) for source in sorted(job.inputs))
        if trace.inputs.keys() != dict(inputs).keys():
            raise Violation(f"the trace of {name} has other inputs: {trace.inputs}, not {inputs}")
        for source, fingerprint in inputs:
            self.names.learn(fingerprint, trace.inputs[source])
        self.names.learn(expected.fingerprint[name], trace.fingerprint)
        self.known[name] = Known(Made(inputs, expected.fingerprint[name], self._held(name)))
        self.finished |= {name}

    def _tell_finished(self, name: str) -> None:
        del self.running[name]
        self.outcome[name] = "succeeded"
        growth = self.grown.get(name)
        if growth is not None and (growth.jobs or growth.edges):
            self._tell(self._arrival(growth.jobs, growth.edges, name))
        self._tell(self._success_of(name))

    def _success_of(self, name: str) -> JobSucceeded:
        files = ((path, str(self.files[path])) for path in self.graph.paths(name))
        records = tuple(record_of(path, text, text) for path, text in files)
        return JobSucceeded(name, records, growth=self.grown.get(name, Growth()))

    def _arrival(self, specs: tuple[JobSpec, ...], edges: tuple[tuple[str, str], ...], by: str | None) -> GraphGrew:
        pasts, problems, measured = {}, {}, {}
        for spec in specs:
            self.specs[spec.id] = spec
            if spec.role is Role.INVARIANT:
                value = self.values[spec.id]
                if spec.watch is not None:
                    measured[spec.id] = str(value)
                self.names.learn(value, spec.fingerprint or str(value))
                continue
            known = self.known.get(spec.id)
            if known is not None:
                pasts[spec.id] = Past(known.made and self._trace(spec, known.made), *known[1:])
                if found := self._problems_of(spec.id, known):
                    problems[spec.id] = found
        return GraphGrew(specs, edges, by, pasts, measured, {}, problems)

    def _trace(self, spec: JobSpec, made: Made) -> Trace:
        real = self.names.real
        content = contents_of(spec.id, self.graph.jobs[spec.id], made.content) if spec.outputs else {}
        records: list[FileRecord] = [record_of(path, str(text), text) for path, text in content.items()]
        return Trace({source: real[each] for source, each in made.inputs}, real[made.fingerprint], tuple(records))

    def _problems_of(self, name: str, known: Known) -> tuple[Reason, ...]:
        found = []
        recorded = contents_of(name, self.graph.jobs[name], known.made.content) if known.made else {}
        for path in self.graph.paths(name):
            now = self.files.get(path)
            if now is None:
                found.append(Reason(ReasonKind.OUTPUT_MISSING, path))
            elif known.made is not None and now != recorded[path]:
                found.append(Reason(ReasonKind.OUTPUT_CHANGED, path))
                if now == EMPTY:
                    found.append(Reason(ReasonKind.OUTPUT_EMPTY, path))
        return tuple(found)

    def _made_from(self, name: str, parts: list[Content]) -> Content:
        return content_of(name, self.graph.jobs[name], parts)

    def _held(self, name: str) -> Content:
        job = self.graph.jobs.get(name)
        if job is not None and job.files is not None:
            return tuple((path, self._held(path)) for path in job.files)
        return super()._held(name)

    def _drop(self, name: str) -> None:
        super()._drop(name)
        for path in self.graph.paths(name):
            self.files.pop(path, None)

    def _note(self, name: str, outcome: str) -> None:
        if self.has_lost and self.outcome.get(name) == "succeeded":
            self.outcome[name] = "succeeded" if outcome == "not needed" else outcome
        else:
            super()._note(name, outcome)

    # --- what must hold

    def check_end(self) -> None:
        """I1, I2, I3, I5 and I6."""
        graph, outcome, expected = self.graph, self.outcome, self.expected
        if self.running or (self.ready and not self.was_stopped):
            raise Violation(f"the run ends, and {self.running or self.ready} did not")
        failed = {name for name, how in outcome.items() if how == "failed"}
        ended_badly = {name for name, how in outcome.items() if how in ("failed", "blocked", "stopped")}
        behind = self._behind(failed)
        for name, job in graph.jobs.items():
            how = outcome.get(name)
            if job.role == TEMP and name in self.specs and not self.was_stopped:
                self._check_temporary(name, ended_badly)
            if self.was_stopped or job.role == INVARIANT or name in failed or (name in behind and how != "succeeded"):
                continue
            if how not in ("succeeded", "up to date", "not needed"):
                raise Violation(f"{name} is {how} in the end, and depends on nothing that failed")
            if name in behind:
                continue
            has_run, should_run = how == "succeeded", name in expected.runs
            # Of the others it depends on who came before a failure, or after a slave's death.
            is_sure = job.role in (OUTPUT, GENERATOR) or not (failed or self.has_lost)
            if has_run != should_run and is_sure:
                raise Violation(f"{name} is {how}; it should{' not' * (not should_run)} have run")
            if job.role == OUTPUT:
                self._check_files(name)
        if not failed and not self.was_stopped:
            self._check_second_run()

    def _check_temporary(self, name: str, ended_badly: set[str]) -> None:
        is_kept = not ended_badly.isdisjoint((name, *self.graph.dependents[name]))
        there = [path for path in self.graph.paths(name) if path in self.files]
        if there and name in self.known and not is_kept:
            raise Violation(f"{there} are left behind")
        is_made = self.outcome.get(name) == "succeeded"
        jobs = self.graph.jobs
        # Temporary files, too, may end badly, and be wanted by nobody.
        wanting = {each for each in self.graph.dependents[name] if jobs[each].role in (OUTPUT, GENERATOR)}
        if is_made and wanting & ended_badly and not there:
            raise Violation(f"{name} is removed, and a job that depends on it ended badly")

    def _check_files(self, name: str) -> None:
        right = self.from_nothing()
        for path, content in contents_of(name, self.graph.jobs[name], right[name]).items():
            if self.files.get(path) != content:
                raise Violation(f"{path} holds {self.files.get(path)!r}; from nothing it is {content!r}")

    def _check_second_run(self) -> None:
        """Right after this one nothing has a reason to run but generators, and what these need."""
        again = expect(self.graph.jobs, self.values, self.known, self.files, self._made_from, digest)
        for name in again.runs:
            job = self.graph.jobs[name]
            if job.role == OUTPUT or (job.role != GENERATOR and again.runs.isdisjoint(self.graph.dependents[name])):
                raise Violation(f"{name} would run again: {again.reasons.get(name)}")

    def from_nothing(self) -> dict[str, Content]:
        """What everything holds in a directory where nothing was."""
        if not hasattr(self, "_right"):
            self._right: dict[str, Content] = dict(self.values)
            for name, job in self.graph.jobs.items():
                if job.role != INVARIANT:
                    parts = [self._right[source] for source in job.inputs]
                    self._right[name] = self._made_from(name, parts)
                    if job.files:
                        self._right.update(contents_of(name, job, self._right[name]))
        return self._right

    def _behind(self, failed: Iterable[str], makers_only: bool = False) -> set[str]:
        found: set[str] = set()
        made: dict[str, list[str]] = {}
        for name, job in self.graph.jobs.items():
            made.setdefault(job.maker, []).append(name)
        stack = list(failed)
        if stack:
            stack += self.graph.is_final
        while stack:
            one = stack.pop()
            for name in (*self.graph.dependents[one], *made.get(one, ())):
                if name not in found:
                    found.add(name)
                    stack.append(name)
        return found | (set(self.graph.is_final) if failed else set())


# --- a history


Call = tuple[str, tuple[Any, ...]]


class NoPlan(Exception):
    """No script can be like that."""


class History:
    """What happens to a script over time; `calls` is how to say it again."""

    def __init__(self) -> None:
        self.names = Fingerprints()
        self.bonds = Bonds()
        self.situation = Situation(())
        self.finished: frozenset[str] = frozenset()
        self.calls: list[Call] = []
        self.tally: Counter[str] = Counter()
        self.declared: Declared

    def declare(self, plan: Plan, text: str = "") -> None:
        """From now on this is the script; `text` instead of how it would be rendered."""
        self.bonds = bonds_of(plan)
        out = left_out(self.bonds)
        if out is None:
            raise NoPlan("a job that stays would be given one that is pruned")
        self.declared = Declared(self.bonds, out, text)
        self.finished = frozenset()
        values = dict.fromkeys((name for name in self.bonds.plan if name.startswith("in_")), VALUES[0])
        self.situation = self.situation._replace(values=tuple((values | dict(self.situation.values)).items()))
        self.calls.append(("declare", (self.bonds.plan, self.declared.text)))

    def run(self, order: int = 0, mishap: str = "", percent: int = 0, cores: int = CORES) -> None:
        """A run.

        Parameters
        ----------
        order
            Seed of what is left to chance; 0: nothing.
        mishap
            "cut", "stop", "lose" a slave, "lose all" or "fail"; that many `percent` of what is to run have ended then.
        """
        self.calls.append(("run", (order, mishap, percent, cores)))
        try:
            run = LargeRun(self.declared, self.situation, self.names, self.finished, cores)
            run.go(order, mishap, len(run.expected.runs) * percent // 100)
        finally:
            ppg.util.global_pipegraph = None
        self.tally.update({"runs": 1, "steps": run.steps, "jobs started": len(run.started)})
        self.tally.update(run.mishaps)
        self.situation, self.finished = run.situation(), run.finished

    def set_value(self, name: str, value: str) -> None:
        """An input file changes."""
        self.calls.append(("set_value", (name, value)))
        self.finished = frozenset()
        values = dict(self.situation.values) | {name: value}
        self.situation = self.situation._replace(values=tuple(values.items()))

    def set_file(self, path: str, content: Content | None) -> None:
        """Somebody writes a job's file, or removes it (None)."""
        self.calls.append(("set_file", (path, content)))
        self.finished = frozenset()
        self.situation = self.situation._replace(files=with_file(self.situation.files, path, content))


def script_of(calls: list[Call], violation: BaseException) -> str:
    """A script that shows what went wrong."""
    what = f"{type(violation).__name__}: {violation}".replace("\\", "\\\\").replace('"""', "...")
    lines = ['"""' + what, "", "In the repository: PYTHONPATH=.:tests python THIS", '"""', ""]
    lines += ["from proof.random_graphs import History, Planned", "", "history = History()"]
    for name, given in calls:
        if name == "declare":
            plan, text = given[0], given[1] or text_of(bonds_of(given[0]))
            lines += [
                "history.declare(",
                "    {",
                *(f"        {each!r}: {job}," for each, job in plan.items()),
                "    },",
            ]
            lines += ["    r'''", f"{text}''',", ")"]
        elif name == "run":
            words = zip(("order", "mishap", "percent", "cores"), given, (None, "", 0, CORES))
            shown = ", ".join(f"{word}={value!r}" for word, value, usual in words if value != usual)
            lines.append(f"history.run({shown})")
        else:
            lines.append(f"history.{name}({', '.join(map(repr, given))})")
    return "\n".join([*lines, ""])


# --- made smaller


def smallest(calls: list[Call]) -> tuple[list[Call], Exception]:
    """The same violation with fewer calls, jobs and inputs, none of which can be left out; and the violation.

    By taking away halves, quarters and so on: hypothesis, which does not know what a job is, is too slow at this size.
    """
    error = error_of(calls)
    assert error is not None
    wanted = origin_of(error)

    def still_shows(fewer: list[Call]) -> bool:
        found = error_of(fewer)
        return found is not None and origin_of(found) == wanted

    before = None
    while before != calls:
        before = calls
        calls = _fewest(calls, lambda kept: kept, still_shows)
        names = list(dict.fromkeys(name for what, given in calls if what == "declare" for name in given[0]))
        kept_names = _fewest(names, lambda kept, calls=calls: _with_jobs(calls, kept), still_shows)  # type: ignore[misc]
        calls = _with_jobs(calls, kept_names)
        for name in kept_names:
            for field, usual in Planned._field_defaults.items():
                calls = _kept(calls, _edited(calls, name, **{field: usual}), still_shows)
            for source in {
                each for what, given in calls if what == "declare" for each in given[0].get(name, Planned()).inputs
            }:
                calls = _kept(calls, _edited(calls, name, without=source), still_shows)
        for at, (what, given) in enumerate(calls):
            for plainer in ((0, "", 0, CORES), (0, *given[1:]), (*given[:3], CORES)) if what == "run" else ():
                calls = _kept(calls, [*calls[:at], (what, plainer), *calls[at + 1 :]], still_shows)
    error = error_of(calls)
    assert error is not None
    return calls, error


def _fewest(
    things: list[Any], calls_with: Callable[[list[Any]], list[Call]], still_shows: Callable[[list[Call]], bool]
) -> list[Any]:
    size = len(things)
    while size:
        for at in range((len(things) - 1) // size * size, -1, -size):
            fewer = things[:at] + things[at + size :]
            if still_shows(calls_with(fewer)):
                things = fewer
        size //= 2
    return things


def _kept(calls: list[Call], plainer: list[Call], still_shows: Callable[[list[Call]], bool]) -> list[Call]:
    return plainer if plainer != calls and still_shows(plainer) else calls


def _with_jobs(calls: list[Call], names: Iterable[str]) -> list[Call]:
    return _redeclared(calls, lambda plan: {name: job for name, job in plan.items() if name in set(names)})


def _edited(calls: list[Call], name: str, without: str = "", **changed: Any) -> list[Call]:
    def edit(plan: Plan) -> Plan:
        if name not in plan:
            return plan
        inputs = tuple(each for each in plan[name].inputs if each != without)
        return {**plan, name: plan[name]._replace(**{"inputs": inputs, **changed})}

    return _redeclared(calls, edit)


def _redeclared(calls: list[Call], edit: Callable[[Plan], Plan]) -> list[Call]:
    """With plans that were edited; their texts are rendered anew."""
    return [
        (what, (bonds_of(edit(given[0])).plan, "")) if what == "declare" else (what, given) for what, given in calls
    ]


def error_of(calls: Iterable[Call]) -> Exception | None:
    """What these calls come to, if not to a good end."""
    history = History()
    try:
        for name, given in calls:
            getattr(history, name)(*given)
    except NoPlan:
        return None
    except Exception as error:
        return error
    return None


def origin_of(error: BaseException) -> tuple[object, ...]:
    """The same for errors from one line."""
    last = traceback.extract_tb(error.__traceback__)[-1]
    return type(error), last.filename, last.lineno


# --- drawn

SIZES = tuple(round(10 * 1.12**step) for step in range(31))
"""10 to 300, small ones more often."""

ROWS = strategies.tuples(
    strategies.sampled_from(DRAWN),
    strategies.integers(0, 15),
    strategies.lists(strategies.integers(0, 63), max_size=5),
    strategies.integers(0, 63),
)
"""A job to be: kind, generator, inputs (by how far back they are), cores and memory."""


def add_drawn(bonds: Bonds, number: int, row: tuple[str, int, list[int], int]) -> None:
    """One more job."""
    kind, maker, back, needs = row
    names = list(bonds.plan)
    generators = [name for name in names if kind_of(name).role == GENERATOR]
    inputs = []
    for distance in back if names else ():
        source = names[-1 - distance % len(names)]
        files = paths_of(source)
        inputs.append((source, *files)[distance % 3] if len(files) > 1 else source)
    if kind_of(kind).role == INVARIANT:
        needs = 0
    job = Planned(
        tuple(inputs),
        generators[-1 - maker // 2 % len(generators)] if generators and maker % 2 else "",
        cores=(2, 3, 4, -1, -2)[needs % 8] if 0 < needs % 8 < 5 and needs >= 32 else 1,
        memory=(needs - 24) * GIB if 24 < needs < 28 else -1,
    )
    bonds.add(f"{kind}_{number}", job)


@strategies.composite
def plans(draw: Callable[[Any], Any]) -> Plan:
    """Of 10 to 300 jobs."""
    bonds = Bonds()
    for number in range(draw(strategies.sampled_from(SIZES))):
        add_drawn(bonds, number, draw(ROWS))
    return bonds.plan


class Mover:
    """Makes moves of what was drawn, as far as there is something to be moved."""

    def __init__(self, history: History) -> None:
        self.history = history
        self.gone: dict[str, Planned] = {}
        self.number = 1000

    def move(self, word: str, which: int, how: int) -> None:
        getattr(self, f"_{word.replace(' ', '_')}")(which, how)

    def _run(self, which: int, how: int) -> None:
        self.history.run(which, cores=CORES - how % 4 if how > 200 else CORES)

    def _mishap(self, which: int, how: int, mishap: str) -> None:
        self.history.run(which, mishap, min(100, how // 2))

    def _cut(self, which: int, how: int) -> None:
        self._mishap(which, how, "cut")

    def _fail(self, which: int, how: int) -> None:
        self._mishap(which, how, "fail")

    def _stop(self, which: int, how: int) -> None:
        self._mishap(which, how, "stop")

    def _lose(self, which: int, how: int) -> None:
        self._mishap(which, how, "lose all" if how % 2 else "lose")

    def _value(self, which: int, how: int) -> None:
        if names := [name for name in self.history.bonds.plan if name.startswith("in_")]:
            self.history.set_value(names[which % len(names)], VALUES[how % len(VALUES)])

    def _file(self, which: int, how: int) -> None:
        paths = [path for path, _ in self.history.situation.files]
        if not which % 8:
            # Also what is not there, such as a temporary file.
            paths = [path for name in self.history.bonds.plan for path in paths_of(name)]
        if paths:
            self.history.set_file(paths[which % len(paths)], (None, EMPTY, FOREIGN)[how % 3])

    def _code(self, which: int, how: int) -> None:
        self._change(which, lambda job: job._replace(value=VERSIONS[how % len(VERSIONS)]))

    def _prune(self, which: int, how: int) -> None:
        self._change(which, lambda job: job._replace(is_pruned=True))

    def _unprune(self, which: int, how: int) -> None:
        pruned = [name for name, job in self.history.bonds.plan.items() if job.is_pruned]
        if pruned:
            name = pruned[which % len(pruned)]
            self._declare(self.history.bonds.plan | {name: self.history.bonds.plan[name]._replace(is_pruned=False)})

    def _input(self, which: int, how: int) -> None:
        """One more input."""
        names = list(self.history.bonds.plan)
        at = which % len(names) if names else 0
        if at:
            self._change(at, lambda job: job._replace(inputs=(*job.inputs, names[how % at])))

    def _no_input(self, which: int, how: int) -> None:
        """One input less."""
        self._change(which, lambda job: job._replace(inputs=job.inputs[:-1] if how % 2 else job.inputs[1:]))

    def _remove(self, which: int, how: int) -> None:
        plan = dict(self.history.bonds.plan)
        if plan:
            name = list(plan)[which % len(plan)]
            self.gone[name] = plan.pop(name)
            self._declare(plan)

    def _add(self, which: int, how: int) -> None:
        """A new job, or one that was there before."""
        bonds = bonds_of(self.history.bonds.plan)
        if self.gone and which % 2:
            bonds.add(*self.gone.popitem())
        else:
            self.number += 1
            add_drawn(bonds, self.number, (DRAWN[which % len(DRAWN)], how % 4, [how % 7, how % 11], 0))
        self._declare(bonds.plan)

    def _change(self, which: int, edit: Callable[[Planned], Planned]) -> None:
        plan = dict(self.history.bonds.plan)
        if plan:
            name = list(plan)[which % len(plan)]
            plan[name] = edit(plan[name])
            self._declare(plan)

    def _declare(self, plan: Plan) -> None:
        bonds = bonds_of(plan)
        if bonds.plan != self.history.bonds.plan and left_out(bonds) is not None:
            self.history.declare(bonds.plan)


WORDS = (
    "run",
    "value",
    "cut",
    "fail",
    "stop",
    "lose",
    "file",
    "code",
    "prune",
    "unprune",
    "remove",
    "add",
    "input",
    "no input",
)
MOVES = strategies.lists(
    strategies.tuples(
        strategies.sampled_from(("run", "run", *WORDS, "value", "lose", "cut")),
        strategies.integers(0, 255),
        strategies.integers(0, 255),
    ),
    min_size=3,
    max_size=12,
)


def play(moves: list[tuple[str, int, int]], plan: Plan) -> History:
    """One history; after all that happens, a run to its end.

    Raises
    ------
    Violation
        With a script that shows it.
    """
    history = History()
    mover = Mover(history)
    try:
        history.declare(plan)
        for move in moves:
            mover.move(*move)
        history.run()
    except Exception as error:
        raise Violation(script_of(*smallest(history.calls))) from error
    return history


def explore(seed: int, examples: int, tally: Counter[str]) -> None:
    """So many histories, always the same for one seed; `tally` is added to.

    Raises
    ------
    Violation
        With a small script that shows it.
    """

    @hypothesis.seed(seed)
    @hypothesis.settings(
        max_examples=examples,
        deadline=None,
        database=None,
        print_blob=True,
        report_multiple_bugs=False,
        suppress_health_check=list(hypothesis.HealthCheck),
        phases=[hypothesis.Phase.generate],
    )
    @hypothesis.given(MOVES, plans())
    def each(moves: list[tuple[str, int, int]], plan: Plan) -> None:
        if found:
            raise found[0]  # it is asked for again, to be shown
        tally["graphs"] += 1
        tally["jobs of the largest"] = max(tally["jobs of the largest"], len(plan))
        try:
            tally.update(play(moves, plan).tally)
        except Violation as violation:
            found.append(violation)
            raise

    found: list[Violation] = []
    each()


def main(arguments: list[str]) -> int:
    """``python tests/proof random``."""
    parser = argparse.ArgumentParser(prog=sys.argv[0], description="Large random graphs, in memory.")
    parser.add_argument("--seconds", type=float, default=60, help="begin no new graphs after so many seconds (60)")
    parser.add_argument("--seed", type=int, default=1, help="of the first 100 histories; later ones count on (1)")
    options = parser.parse_args(arguments)
    tally: Counter[str] = Counter()
    began = time.monotonic()
    seed = options.seed
    try:
        while time.monotonic() - began < options.seconds:
            explore(seed, 100, tally)
            seed += 1
    except Violation as violation:
        print(violation)
        print(f"# found with --seed {seed}", file=sys.stderr)
        return 1
    figures = ", ".join(f"{value:,} {name}" for name, value in tally.items())
    print(f"seeds {options.seed} to {seed - 1}: {figures}; {time.monotonic() - began:.0f} s; no violation")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
