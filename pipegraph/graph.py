"""The graph that a script builds: its jobs by id, who makes which file, growth while it runs.

Owns the jobs' registry and the current graph. Looks at no file but for the working directory's name, and runs
nothing: `Graph.run` calls what it was given. Inside a slave the same object lives on by fork and hands out the jobs
to be called.
"""

from __future__ import annotations

import gc
import os
import sys
from collections.abc import Callable, Iterable
from itertools import islice
from typing import TYPE_CHECKING, Any, NoReturn

from .cycles import check_for_cycles
from .errors import DuplicateOutputError, JobContractError, NoGraphError
from .events import Event, JobFailed
from .explanations import Explanation
from .invariants.findings import Followed
from .invariants.origins import shown_file
from .model import NO_USAGE, Fingerprint, Growth, InputId, JobId, JobSpec, Place, Role
from .outcomes import FATES, INDIRECT, NO_OUTCOME, Outcome, outcome_after
from .patterns import matcher
from .targets import Targets
from .wishes import NO_WISHES

if TYPE_CHECKING:
    from types import CodeType, FrameType

_PACKAGE = os.path.dirname(os.path.abspath(__file__)) + os.sep


_MANY = 4096
"""Jobs."""
_USUAL_OLD = 10
"""Python's own threshold of the oldest generation."""
_JOBS_A_LOOK = 5000
"""Jobs. A graph grown by as many makes about 1.4 units of that threshold, of 7000 objects each."""

_SHARED_VALUES = 1024
"""So many parameters are kept once for all jobs that have the same."""

INTERACTIVE = "<interactive>"
"""The script, where there is none."""


class Declared:
    """What the runs of one process, of whatever graphs, have declared.

    Attributes
    ----------
    jobs
        Ids of all that took part, but for invariants.
    incomplete
        Marks of graphs whose last run may not have got to all that they declare.
    gone
        What this script declared in earlier runs, and in none of these.
    """

    def __init__(self) -> None:
        self.jobs: set[JobId] = set()
        self.incomplete: set[object] = set()
        self.gone: list[JobId] = []
        self.is_told_at_exit = False


class Graph:
    """Jobs, and what depends on what.

    Attributes
    ----------
    jobs
        By id.
    makers
        By path, of the files of jobs that make several.
    declared
        By the runs of this process so far.
    isolation
        What keeps those jobs apart from others for which nothing else is chosen.
    resources
        Names, and how many there are of each, that jobs may `use`.
    targets
        Who takes part, in a run that wants only some.
    wishes
        Of the command that runs the script, for the run that begins.
    is_in_order
        No job was given an input when another one needed it already: then none can wait for itself.
    running, was_run
        A run is under way; there was one.
    """

    def __init__(
        self,
        run: Callable[[Graph, bool, Any, Any], Any],
        resource_coordinator: Any = None,
        quiet: bool = False,
        invariant_status_filename: str = ".pipegraph_status",
        dump_graph: bool = True,
        interactive: bool = True,
        cache_folder: str = "cache",
        log_directory: str | None = "logs",
        log_level: int = 20,
        log_port: int | None = 5005,
        strict: bool = False,
    ) -> None:
        self._run = run
        self.rc = resource_coordinator
        self.quiet = quiet
        self.invariant_status_filename = invariant_status_filename
        self.dump_graph = dump_graph
        self.interactive = interactive
        self.cache_folder = cache_folder
        self.log_directory = log_directory
        self.log_level = log_level
        self.log_port = log_port
        self.strict = strict
        self.isolation = "process"
        self.resources: dict[str, int] = {}
        self.retries_out_of_memory = True
        self.jobs: dict[JobId, Any] = {}
        self.makers: dict[str, Any] = {}
        self.formats: dict[str, Any] = {}
        self.running = False
        self.was_run = False
        self.directory = os.getcwd()
        self.pid = os.getpid()
        self.is_in_order = True
        self.unique_objects: dict[tuple[str, str], object] = {}
        self.outcomes: dict[JobId, Outcome] = {}
        # With the code, as an id is good only while its owner lives.
        self._places: dict[tuple[int, int], tuple[CodeType, Place]] = {}
        self._own_files: set[str] = set()
        self._names: dict[str, str] = {}
        self._values: dict[Fingerprint, tuple[Fingerprint, dict[str, Any], bool]] = {}
        self._thresholds: tuple[int, int, int] | None = None
        self._seldom = (0, 0, 0)
        self._growing: tuple[JobId, int] | None = None
        self._generator_of: dict[JobId, JobId] = {}
        self._new_jobs: dict[JobId, Any] = {}
        self._new_edges: dict[tuple[JobId, InputId], None] = {}
        self._pruned: set[JobId] = set()
        self._left_out: set[JobId] = set()
        self.targets: Targets | None = None
        self.followed = Followed()
        self.wishes = NO_WISHES
        self.declared = Declared()
        self.mark = object()  # outlasts the graph where somebody keeps it, as an id would not

    def __repr__(self) -> str:
        jobs = sum(1 for job in self.jobs.values() if job.role is not Role.INVARIANT)
        return f"<Graph of {jobs} job{'' if jobs == 1 else 's'} in {self.directory}>"

    # --- declaring

    def place_of_caller(self) -> Place:
        """The nearest line that is not pipegraph's own; whoever calls this is."""
        frame: FrameType | None = sys._getframe(2)
        own = self._own_files
        while frame is not None:
            code = frame.f_code
            filename = code.co_filename
            if filename not in own:
                # By the instruction: to find its line takes the longer the further down in the script it is.
                at = id(code), frame.f_lasti
                known = self._places.get(at)
                if known is not None:
                    return known[1]
                if not filename.startswith(_PACKAGE):
                    break
                own.add(filename)
            frame = frame.f_back
        else:
            return Place("", 0)
        name = shown_file(filename)
        if filename.startswith(self.directory + os.sep):
            name = filename[len(self.directory) + 1 :]
        place = Place(name, frame.f_lineno)
        if not name.startswith("In["):  # a cell may be executed again, under another number
            self._places[at] = code, place
        return place

    def shared_value(self, fingerprint: Fingerprint, value: dict[str, Any]) -> tuple[Fingerprint, dict[str, Any]]:
        """A small flat value and its fingerprint, to be kept; one copy of it for all that are given the same."""
        first = self._values.get(fingerprint)
        if first is None:
            if len(self._values) < _SHARED_VALUES:
                self._values[fingerprint] = fingerprint, value, False
            return fingerprint, value
        if not first[2]:
            # The script may change its own later.
            first = self._values[fingerprint] = first[0], value.copy(), True
        return first[:2]

    def script_name(self) -> str:
        """The file that Python was begun with; empty where there is none: notebooks, the prompt."""
        filename = getattr(sys.modules.get("__main__"), "__file__", None)
        if not isinstance(filename, str) or filename.startswith("<"):
            return ""
        return os.path.abspath(filename).removeprefix(self.directory + os.sep)

    def check_declarable(self, what: str) -> None:
        """Jobs may be declared now, here.

        Raises
        ------
        JobContractError
            In a job's process, in another fork, or while the graph runs.
        """
        pid = os.getpid()
        if pid != self.pid and (self._growing is None or self._growing[1] != pid):
            raise JobContractError(
                f"{what} inside a job, or in another process than the one that made the graph",
                [("where", self.place_of_caller())],
                "Declare jobs in the script itself, or in the callback of a JobGeneratingJob.",
            )
        if pid == self.pid and self.running:
            raise JobContractError(
                f"{what} while the graph runs",
                [("where", self.place_of_caller())],
                "Declare it before run_pipegraph(), or in the callback of a JobGeneratingJob.",
            )

    @property
    def is_between_runs(self) -> bool:
        """After a run, jobs may be redefined."""
        return self.was_run and not self.running and self._growing is None

    def register(self, job: Any, paths: Iterable[str]) -> None:
        """Take in a job that is whole.

        Raises
        ------
        DuplicateOutputError
            Another job promises one of its files.
        JobContractError
            Not now, not here.
        """
        if self.running or os.getpid() != self.pid:
            self.check_declarable("a job was made")
        for path in paths:
            other = self.makers.get(path)
            if other is None:
                other = self.jobs.get(path)
            if other is not None and other is not job:
                if self.is_between_runs and other.job_id == job.job_id:
                    continue
                refuse_second_maker(path, other, job)
        jobs = self.jobs
        jobs[job.job_id] = job
        if not len(jobs) % _MANY:
            self._collect_seldom()
        if self._growing is not None:
            self._new_jobs[job.job_id] = job
            if job.is_generator:
                self._generator_of[job.job_id] = self._growing[0]

    def _collect_seldom(self) -> None:
        """Have the garbage collector look at all that there is ten times as seldom, or less, until the run.

        Each such look goes over all jobs, which are no garbage: together they would take as long as making the jobs.
        Where there are hundreds of thousands, the next one comes when there are about three times as many. Its frequent
        looks at what is new stay as they are, and so does whatever the script itself has set.
        """
        young, middle, old = now = gc.get_threshold()
        if self._thresholds is None and 0 < old <= _USUAL_OLD:
            self._thresholds = self._seldom = now
        if self._thresholds is not None and now == self._seldom:
            self._seldom = young, middle, max(10 * self._thresholds[2], len(self.jobs) // _JOBS_A_LOOK)
            gc.set_threshold(*self._seldom)

    def collect_as_before(self) -> None:
        """Undo that, unless the script has set something else since."""
        if self._thresholds is not None:
            if gc.get_threshold() == self._seldom:
                gc.set_threshold(*self._thresholds)
            self._thresholds = None

    def kinds(self) -> set[type[Any]]:
        """The classes of all jobs."""
        return set(map(type, self.jobs.values()))

    def note_edge(self, dependent: JobId, name: InputId) -> None:
        """An input is added; while the graph grows, those of earlier jobs are news.

        Raises
        ------
        JobContractError
            Not now, not here.
        """
        if self.running or os.getpid() != self.pid:
            self.check_declarable("a dependency was added")
        if self._growing is not None and dependent not in self._new_jobs:
            self._new_edges[dependent, name] = None

    def maker(self, name: InputId) -> Any | None:
        """The job with this id, or that makes this file."""
        return self.jobs.get(name) or self.makers.get(name)

    def maker_id(self, name: InputId) -> JobId:
        """The id of the job that makes this file; else the name itself."""
        maker = self.maker(name)
        return name if maker is None else str(maker.job_id)

    # --- running

    def run(self, dry_run: bool = False, targets: object = None, changed: object = None) -> Any:
        """Do what must be done; see `pipegraph.run_pipegraph`."""
        return self._run(self, dry_run, targets, changed)

    def resolve(self, targets: Iterable[str] | None = None) -> None:
        """A run begins: let jobs tell what they only tell now, see who takes part, and look for circles.

        Parameters
        ----------
        targets
            Ids of jobs, or files: only they and what they need take part; None: all.

        Raises
        ------
        CycleError
            Jobs wait for each other in a circle.
        JobContractError
            No job makes a target, and no generator may declare one that does; or it was pruned.
        """
        self._left_out = set()
        self.targets = None
        self._resolve(self.jobs)
        self._keep_globals()
        if self.was_run or not self.is_in_order:
            check_for_cycles(self.jobs, self.maker)
        if targets is None:
            return
        self.targets = Targets(targets, self.jobs, self.maker, self.place_of_caller())
        pruned = sorted(job_id for job_id in self.targets.wanted if job_id in self._left_out)
        if pruned:
            raise JobContractError(
                "a target was pruned, or depends on a job that was",
                [("target", pruned[0]), ("where", self.place_of_caller())],
                "Unprune it, or run without it.",
            )

    def _resolve(self, among: dict[JobId, Any]) -> None:
        done = 0
        while done < len(among):
            # Jobs may declare others when they are resolved.
            late = list(islice(among.values(), done, None))
            for job in late:
                job.resolve()
            done += len(late)
        self._leave_out(among)

    def _keep_globals(self) -> None:
        """What functions use is what it is now, whatever jobs load; only generators have jobs fingerprinted later."""
        self.followed.forget()
        if any(kind.is_generator for kind in self.kinds()):
            names = (getattr(job.function, "__globals__", None) for job in self.jobs.values())
            self.followed.globals.begin({id(each): each for each in names if each is not None}.values())

    def specs(self) -> tuple[JobSpec, ...]:
        """All jobs that take part, as plain data; they are `resolve` d.

        Raises
        ------
        JobContractError
            Two different functions are watched under one name.
        FingerprintError
            A function can't be fingerprinted.
        """
        return self._specs(self.jobs)

    def _specs(self, among: dict[JobId, Any]) -> tuple[JobSpec, ...]:
        found: list[JobSpec] = []
        kept = None if self.targets is None else self.targets.kept
        left_out = self._left_out
        for job in among.values():
            if (left_out and job.job_id in left_out) or (kept is not None and job.job_id not in kept):
                continue
            found += job.specs()
        if self.targets is not None or self.wishes.forced:
            found = self._as_wished(found)
        if len({spec.id for spec in found}) < len(found):
            found = _each_once(found)
        return tuple(found)

    def _as_wished(self, specs: Iterable[JobSpec]) -> list[JobSpec]:
        named = None if self.targets is None else self.targets.named
        forced = [matcher(name) for name in self.wishes.forced]
        found = []
        for spec in specs:
            if named and spec.role is Role.EPHEMERAL and spec.outputs and spec.id in named:
                spec = spec._replace(role=Role.OUTPUT, is_wanted=True)
            if forced and spec.role is not Role.INVARIANT and _fits(spec, forced):
                spec = spec._replace(forced=True)
            found.append(spec)
        return found

    def note_pruned(self, job_id: JobId, is_pruned: bool) -> None:
        """A job was taken out of the run, or back into it."""
        if is_pruned:
            self._pruned.add(job_id)
        else:
            self._pruned.discard(job_id)

    def is_pruned(self, job_id: JobId) -> bool:
        """Whether it was taken out of the run by itself."""
        return job_id in self._pruned

    @property
    def is_whole(self) -> bool:
        """All that was declared takes part in the run."""
        return self.targets is None and not self._left_out

    def _leave_out(self, among: dict[JobId, Any]) -> None:
        """Of these jobs, leave out the pruned ones and all that depends on one that is left out."""
        out = self._left_out
        if not self._pruned and not out:
            return
        dependents: dict[JobId, list[JobId]] = {}
        stack = [job_id for job_id in among if job_id in self._pruned]
        for job in among.values():
            for name in job.input_ids:
                maker = self.maker(name)
                if maker is not None:
                    dependents.setdefault(maker.job_id, []).append(job.job_id)
                    if maker.job_id in out:
                        stack.append(job.job_id)
        while stack:
            job_id = stack.pop()
            if job_id not in out:
                out.add(job_id)
                stack += dependents.get(job_id, ())

    def job(self, job_id: JobId) -> Any:
        """The job with this id; in a slave, to be called."""
        return self.jobs[job_id]

    def begin_growth(self, job_id: JobId) -> None:
        """In the fork of a generator: what is declared from now on is news."""
        self._growing = (job_id, os.getpid())
        self._new_jobs = {}
        self._new_edges = {}
        self.followed.globals.begin_growth(self._makers_of(job_id))

    def _makers_of(self, job_id: JobId) -> list[JobId]:
        """The generators that had to run for this one to be declared, the first of all first."""
        found: list[JobId] = []
        while (maker := self._generator_of.get(found[0] if found else job_id)) is not None:
            found.insert(0, maker)
        return found

    @property
    def has_grown(self) -> bool:
        """The generator that is running has declared something new."""
        return bool(self._new_jobs or self._new_edges)

    def end_growth(self) -> Growth:
        """What was declared since `begin_growth`."""
        new_jobs, new_edges = self._new_jobs, self._new_edges
        assert self._growing is not None
        self.followed.globals.end_growth(self._growing[0])
        self.followed.look_again()
        # Whether all that waits in a circle is for the engine to say: it knows what has ended.
        self._resolve(new_jobs)
        before = None if self.targets is None else self.targets.kept
        if self.targets is not None:
            new_jobs = {job_id: self.jobs[job_id] for job_id in self.targets.grow(new_jobs)}
        specs = self._specs(new_jobs)
        self._growing = None
        self._new_jobs, self._new_edges = {}, {}
        # The engine is not told of jobs that take no part, which may be given inputs like others.
        edges = [
            each
            for each in new_edges
            if each[0] not in new_jobs and each[0] not in self._left_out and (before is None or each[0] in before)
        ]
        return Growth(specs, tuple(edges), self.is_whole)

    def explain(self, invariant: JobId) -> Explanation | None:
        """What the fingerprint of a function or a parameter is taken of, as it is now."""
        job = self.jobs.get(invariant) or self.jobs.get(invariant.removeprefix("FI"))
        found: Explanation | None = None if job is None else job.explain()
        return found

    def accepts(self, job_id: JobId, value_text: str) -> bool:
        """Whether a parameter whose value was this may pass as unchanged."""
        job = self.jobs.get(job_id)
        return job is not None and bool(job.accepts(value_text))

    # --- what came of it

    def note(self, event: Event) -> None:
        """Keep what happened to a job, for who asks the job."""
        if type(event) in FATES:
            job_id: JobId = event.job  # type: ignore[union-attr]
            self.outcomes[job_id] = outcome_after(self.outcomes.get(job_id, NO_OUTCOME), event)

    def exception_for(self, event: JobFailed) -> object:
        """The exception of a failed job: the very object that its `exception` is."""
        return self.outcomes[event.job].exception

    def forget_outcomes(self) -> None:
        """A new run begins: how jobs ended in the last one is gone."""
        self.outcomes = {}

    def get_error_count(self) -> int:
        """How many jobs failed in the last run; blocked ones are not counted."""
        return sum(1 for outcome in self.outcomes.values() if outcome.failed and outcome.error_reason != INDIRECT)

    def dump_runtimes(self, filename: str | os.PathLike[str]) -> None:
        """Write the last run's wall times, in seconds, longest first, as a table separated by tabs."""
        ran = ((job, outcome.usage) for job, outcome in self.outcomes.items() if outcome.usage is not NO_USAGE)
        rows = sorted(ran, key=lambda pair: -pair[1].seconds)
        with open(filename, "w", encoding="utf-8", errors="backslashreplace") as out:
            out.write("job\tseconds\n")
            out.writelines(f"{job}\t{usage.seconds:.6f}\n" for job, usage in rows)


def refuse_second_maker(path: str, first: Any, second: Any) -> NoReturn:
    """Two jobs promise one file.

    Raises
    ------
    DuplicateOutputError
    """
    raise DuplicateOutputError(
        "two jobs promise the same file",
        [
            ("file", path),
            ("first", f"{type(first).__name__}, {first.place}"),
            ("second", f"{type(second).__name__}, {second.place}"),
        ],
        "Give one of them another file name, or remove one.",
    )


def _each_once(specs: Iterable[JobSpec]) -> list[JobSpec]:
    found: dict[JobId, JobSpec] = {}
    for spec in specs:
        other = found.setdefault(spec.id, spec)
        if other.fingerprint != spec.fingerprint:
            raise JobContractError(
                "two different functions are watched under one name",
                [("name", spec.id), ("first", other.place), ("second", spec.place)],
                "Give one of the FunctionInvariants another name.",
            )
    return list(found.values())


def _fits(spec: JobSpec, matchers: list[Callable[[str], bool]]) -> bool:
    return any(fits(name) for fits in matchers for name in (spec.id, *spec.outputs))


_current: Graph | None = None


def current() -> Graph:
    """The current graph.

    Raises
    ------
    NoGraphError
        There is none.
    """
    if _current is None:
        raise NoGraphError("there is no graph yet", (), "Call pipegraph.new_pipegraph() before the first job is made.")
    return _current


def current_or_none() -> Graph | None:
    """The current graph, or None."""
    return _current


def set_current(graph: Graph | None) -> None:
    """Make this the graph that new jobs join."""
    global _current
    _current = graph


def check_isolation(value: object, graph: Graph, who: str) -> None:
    """Raise where the script says what is no isolation."""
    if value not in ("process", "shared"):
        raise JobContractError(
            "isolation must be 'process' or 'shared'",
            [("given", f"{value!r:.100}"), ("to", who), ("where", graph.place_of_caller())],
            "'process' (the default): each job in one of its own. 'shared': small ones in one, one after the other.",
        )
