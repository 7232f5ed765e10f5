"""A run of a planned script in memory: the real classes, engine and coordinator; no process and no disk.

Longer than other files, as the loop that it stands for is spread over `run.py`, the slaves and the script.
"""

from __future__ import annotations

import linecache
from collections import Counter
from collections.abc import Iterable
from random import Random
from typing import Any

import pipegraph as ppg
from pipegraph.coordinator import Coordinator, Room
from pipegraph.coordinator import Expected as Forecast
from pipegraph.engine import Fate, StartJob
from pipegraph.events import GraphGrew, JobFailed, JobsLost, JobStarted, JobSucceeded
from pipegraph.model import Failure, FileRecord, Growth, JobSpec, Past, Reason, ReasonKind, Role, Trace

from .graphs import FILES, GENERATOR, INVARIANT, LOADS, OPAQUE, OUTPUT, TEMP
from .oracle import EMPTY, Content, Expected, Known, Made, contents_of, expect
from .random_plans import GIB, MEMORY, SCRIPT, Declared, content_of, digest
from .world import HALF, Fingerprints, Run, Situation, Violation, record_of

_MOST_TRIES = 3
_OF_UNKNOWN = GIB // 16
_NO_FORECAST = Forecast()


class LargeRun(Run):
    """A run of a script, whose jobs get their cores from the coordinator and whose generators are called.

    Parameters
    ----------
    order
        Seed of what is left to chance; 0: nothing, and then what is expected of jobs, memory as it is, programs that
        use cores, and other runs, don't matter.

    Attributes
    ----------
    held
        What really runs, and with how many cores and how much memory. The master learns of it later.
    ahead
        What slaves were told ahead, in order, and which slave.
    lent
        Cores that programs of jobs use beside those that their jobs hold.
    learnt
        Memory that was last expected of each job before it started.
    put_off
        Jobs that failed and will be tried again, for the engine they run; and how often each of them failed.
    alone
        Of those that failed, which are tried again with nothing beside them.
    """

    graph: Declared  # type: ignore[assignment]

    def __init__(
        self, graph: Declared, before: Situation, names: Fingerprints, finished: frozenset[str], cores: int, order: int
    ) -> None:
        self.order = order
        self.chance = Random(f"machine {order}")
        self.now = 0.0
        self.lent = 0
        self.learnt: dict[str, int | None] = {}
        self.put_off: list[str] = []
        self.tries: Counter[str] = Counter()
        self.alone: set[str] = set()
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
        self.mishaps: Counter[str] = Counter()
        super().__init__(graph, before, names, finished=finished)  # type: ignore[arg-type]

    def _may(self, probability: float) -> bool:
        return bool(self.order) and self.chance.random() < probability

    def _all_values(self) -> dict[str, Content]:
        return {**dict(self.before.values), **self.graph.values}

    def _expect(self) -> Expected:
        return expect(self.graph.jobs, self.values, self.known, self.files, self._make, digest)

    def _begin_run(self) -> None:
        self.steps = 0  # type: ignore[assignment]
        specs = self._declare()
        self._check_declared("", specs, ())
        self._tell(self._arrival(specs, (), None))

    # --- the script

    def _declare(self) -> tuple[JobSpec, ...]:
        """Execute the script, as the process does from which the first slave is forked."""
        linecache.cache[SCRIPT] = (len(self.graph.text), None, self.graph.text.splitlines(keepends=True), SCRIPT)
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

    def go(self, mishap: str, at: int) -> None:
        """To the end, or until it is cut; `at`: how many jobs ended before the mishap."""
        order = self.order
        pick = Random(order)
        while not self.has_ended:
            self._start_again()
            self._start_what_fits()
            self._lend()
            if self.has_ended:
                break
            if not self.held and self.put_off:
                continue
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

    def _start_again(self) -> None:
        """Whose time has come."""
        due = [name for name in self.put_off if not self.held or self._may(0.3)]
        if not due:
            return
        for name in due:
            self.put_off.remove(name)
            del self.running[name], self.started[name]
        self._tell(JobsLost(tuple(due), ()))

    def _start_what_fits(self) -> None:
        coordinator = self.coordinator
        if self.order:
            self.now += self.chance.choice((0.0, 0.001, 1.0, 30.0))
            if self._may(0.2):
                coordinator.revise(self._forecast)
            # What programs have taken they give back when they like; at the latest when their jobs end.
            self._set_lent(self.chance.randint(0, self.lent) if self.held else 0)
        while not self.has_ended and (name := coordinator.next_turn(self.now)) is not None:
            if name in self.ahead:
                self._begin(name)
        while not self.has_ended and (spec := self._next_start()) is not None:
            self._start(spec.id)
            self._begin(spec.id)
        while not self.has_ended and (spec := coordinator.next_ahead()) is not None:
            self._start(spec.id)
            self.ahead[spec.id] = self.slave

    def _next_start(self) -> JobSpec | None:
        """What starts, if there is memory as things are, and other runs don't need what it would take."""
        room = None
        if coordinator_runs := self.coordinator.running:
            if self._may(0.05):
                return None
            if self._may(0.5):
                room = Room(self.chance.choice((-GIB, 0, _OF_UNKNOWN, GIB, 2 * GIB, MEMORY)), _OF_UNKNOWN)
        offer = self.coordinator.peek(self.now, room)
        if offer is None:
            return None
        name = offer.spec.id
        self.coordinator.take(offer, self.now)
        needs = self._memory_of(name)
        if room is not None and (_OF_UNKNOWN if needs is None else needs) > room.memory_bytes:
            raise Violation(f"{name} starts beside {coordinator_runs}, for which there is no room")
        return offer.spec

    def _lend(self) -> None:
        free = self.coordinator.free_cores
        if self._may(0.3) and free > 0 and self.held:
            self.mishaps["lent"] += 1
            self._set_lent(self.lent + self.chance.randint(0, free))

    def _set_lent(self, cores: int) -> None:
        self.lent = cores
        self.coordinator.set_lent(cores)

    def _forecast(self, spec: JobSpec) -> Forecast:
        """What is expected now, right or wrong."""
        if not self.order:
            return _NO_FORECAST
        choice = self.chance.choice
        memory_bytes = choice((None, None, None, 0, GIB // 4, GIB, 3 * GIB, 6 * GIB))
        if spec.id in self.ready:
            self.learnt[spec.id] = memory_bytes
        return Forecast(choice((0.0, 0.0, 1.0, 7.0, 100.0)), choice((None, 0.001, 1.0, 50.0)), memory_bytes)

    def _memory_of(self, name: str) -> int | None:
        """What it declares, or what was learnt, but for what is more than there is; None: nothing is known."""
        declared, learnt = self.specs[name].memory_bytes, self.learnt.get(name)
        if declared >= 0:
            return declared
        return None if learnt is None else min(MEMORY, learnt)

    def _make_ready(self, start: StartJob) -> None:
        super()._make_ready(start)
        spec = self.specs[start.job]
        objection = self.coordinator.objection_to(spec)
        if objection is None:
            is_exclusive = spec.is_exclusive or spec.id in self.alone
            self.coordinator.submit(spec._replace(is_exclusive=is_exclusive), *self._forecast(spec))
        else:
            self.refused[start.job] = objection

    def _tell(self, event: Any) -> None:
        super()._tell(event)
        if isinstance(event, GraphGrew):
            self._refuse_what_never_fits(event)
        while self.refused:
            name = next(iter(self.refused))
            self.ready.pop(name, None)
            self.outcome[name] = "failed"
            self.mishaps["too demanding"] += 1
            self._tell(JobFailed(name, self.refused.pop(name)))

    def _refuse_what_never_fits(self, event: GraphGrew) -> None:
        prospects = self.engine.prospects()
        for spec in event.jobs:
            objection = self.coordinator.objection_to(spec)
            if objection is not None and spec.id in prospects and prospects[spec.id].fate is Fate.MUST:
                self.mishaps["refused early"] += spec.id not in self.ready
                self.refused[spec.id] = objection

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
        memory_bytes = self._memory_of(name)
        self.held[name] = cores, cores * (MEMORY // self.cores) if memory_bytes is None else memory_bytes
        taken_cores, taken_memory = (sum(each) for each in zip(*self.held.values()))
        if taken_cores + self.lent > self.cores or taken_memory > MEMORY:
            lent = f", and {self.lent} cores are lent" if self.lent else ""
            raise Violation(f"{taken_cores} cores and {taken_memory} bytes are taken by {self.held}{lent}")
        if len(self.held) > 1 and not self.alone.isdisjoint(self.held):
            raise Violation(f"beside {self.alone & self.held.keys()}, which run alone, there are {self.held}")
        changing = [each for each in self.held if self._changes_slave(each)]
        if len(changing) > 1:
            raise Violation(f"{changing} change the slave at once")
        self._check_inputs(name)
        self.read[name] = [self._held(source) for source in self.graph.jobs[name].inputs]
        for path in self.graph.paths(name):
            self.files.pop(path, None)

    def _changes_slave(self, name: str) -> bool:
        return self.graph.jobs[name].role in LOADS + GENERATOR

    def _end(self, name: str, fails: bool, is_stopped: bool, seconds: float) -> None:
        """A job's process ends; its slave begins another that it was told ahead, and then tells of both."""
        is_stopped = self.was_stopped and is_stopped
        is_put_off = not self.was_stopped and self.tries[name] < _MOST_TRIES and self._may(0.05)
        succeeds = not fails and not is_stopped and not is_put_off
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
        elif is_put_off:
            self._put_off(name)
        else:
            self._fail(name)
            self.mishaps["fail"] += 1
        if following is not None:
            self.coordinator.begin(following, self.now)

    def _put_off(self, name: str) -> None:
        self.mishaps["put off"] += 1
        self.put_off.append(name)
        self.tries[name] += 1
        if self._may(0.5):
            self.alone.add(name)

    def _stop_all(self) -> None:
        self._stop("")
        for name in list(self.ahead):
            del self.ahead[name]
            self.coordinator.end(name)
            self._be_stopped(name)
        while self.put_off:
            self._fail(self.put_off.pop(0))

    def _lose_slave(self, is_keeper: bool) -> None:
        """The slave that the next jobs are forked from dies, or all do; the next is as the script declared it."""
        self.has_lost = True
        runs = self.running.keys() - set(self.put_off)
        lost = tuple(sorted(name for name in runs if is_keeper or self.slave_of[name] == self.slave))
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
        content = self._make(name, self.read.pop(name))
        if job.role in FILES:
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
        loaded = str(self.memory[name]) if self.graph.jobs[name].role == OPAQUE else ""
        return JobSucceeded(name, records, growth=self.grown.get(name, Growth()), fingerprint=loaded)

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

    def _make(self, name: str, parts: list[Content]) -> Content:
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
        self.refused.pop(name, None)
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
        again = self._expect()
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
                    self._right[name] = self._make(name, parts)
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
