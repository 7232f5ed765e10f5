"""What all jobs are: singletons by id that know where they were made, what they need, and how they ended.

A job is small, since there may be a million: what is rarely set stands on the class. Inputs are kept by id, in a tuple
while they are few, and else in a dict. Longer than other files, since it is the one class that scripts subclass.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from operator import attrgetter
from typing import Any, TypeVar

from ..cycles import raise_cycle
from ..errors import DuplicateOutputError, FingerprintError, JobContractError
from ..explanations import Explanation
from ..graph import Graph, check_isolation, current
from ..invariants.functions import Follow, fingerprint_function, look_at_function
from ..model import InputId, JobId, JobSpec, Place, Role, Store, usual_spec
from ..outcomes import NO_OUTCOME, Outcome
from .joblist import JobList
from .names import call_takes_output, path_of_input, text_id
from .resources import Needs

_Self = TypeVar("_Self", bound="Job")

BROKEN = ".broken"
"""What is left by a job that failed is called so, behind its own name, where that is wished."""

Callback = Callable[..., object]

_FEW = 8
"""Inputs. Looked for one after the other; a dict of two takes three times the room."""

_new = object.__new__
getpid = os.getpid

_NOTHING: frozenset[str] = frozenset()
"""One for all: each call makes another, of 216 bytes."""

_MEND = "If what it holds counts, name that with job.depends_on_params(...); docs/functions.rst."


class OutputFile:
    """One file of a multi-file job, as an input of its own."""

    __slots__ = ("job", "path")

    def __init__(self, job: Job, path: str) -> None:
        self.job = job
        self.path = path

    def __fspath__(self) -> str:
        return self.path

    def __str__(self) -> str:
        return self.path

    def __repr__(self) -> str:
        return f"<file {self.path} of {self.job!r}>"


class _FromOutcome:
    """Reads how the job fared. Subclasses in old scripts set such attributes themselves, and then these count."""

    __slots__ = ("_read",)

    def __init__(self, read: Callable[[Outcome], Any]) -> None:
        self._read = read

    def __get__(self, job: Job | None, owner: type[Job]) -> Any:
        return self._read(NO_OUTCOME if job is None else job.graph.outcomes.get(job.job_id, NO_OUTCOME))


def _from_outcome(read: Callable[[Outcome], Any]) -> Any:
    return _FromOutcome(read)


class Job(Needs):
    """Base of all jobs. Making one with the id of another of the same class gives that one back.

    Attributes
    ----------
    job_id
        Unique in the graph; of file jobs the path of the output.
    place
        The line of the script that made it.
    function
        The callback.
    failed, was_run, exception, trace, stdout, stderr, error_reason, start_time, stop_time, runtime
        How it went in the last run. Times in seconds; `exception` is the text of it where the object could not be
        brought back from the job's process.

    Raises
    ------
    NoGraphError
        Before `new_pipegraph`.
    JobContractError
        The id belongs to a job of another class, or to one with another callback.
    """

    role = Role.OUTPUT
    outputs: tuple[str, ...] = ()
    """Paths of what the job writes, relative to the working directory."""
    has_several_files = False
    makes_files = False
    empty_ok: frozenset[str] = _NOTHING
    rename_broken = False
    changes_slave = False
    is_generator = False
    is_final = False
    in_memory = False
    is_forced = False
    adopts = False
    keeps = False
    _readers: tuple[Job, ...] = ()
    """What else counts for a job that depends on this one: invariants of the code by which its files are read."""
    is_opaque = False
    loaded_fingerprint = ""
    recorded_content = ""
    is_program = False
    may_share_process = False
    """Jobs of this class may run in a process that others have run in, if that is chosen."""
    command_line = ""

    job_id: JobId
    place: Place
    graph: Graph
    function: Callback | None = None
    cleanup: Callable[[], object] | None = None

    failed: bool = _from_outcome(lambda outcome: outcome.failed)
    was_run: bool = _from_outcome(lambda outcome: outcome.was_run)
    was_invalidated: bool = _from_outcome(lambda outcome: outcome.was_invalidated)
    exception: Any = _from_outcome(lambda outcome: outcome.exception)
    trace: str | None = _from_outcome(lambda outcome: outcome.trace)
    stdout: str | None = _from_outcome(lambda outcome: outcome.stdout)
    stderr: str | None = _from_outcome(lambda outcome: outcome.stderr)
    error_reason: str = _from_outcome(lambda outcome: outcome.error_reason)
    start_time: float | None = _from_outcome(lambda outcome: outcome.began_at)
    stop_time: float | None = _from_outcome(lambda outcome: outcome.ended_at)
    runtime: float | None = _from_outcome(lambda outcome: outcome.seconds)

    _takes_output = False
    _is_code_watched = True
    _follow: Follow = True
    _fingerprint = ""
    _was_code_ignored = False
    _inputs: tuple[InputId, ...] | dict[InputId, None] = ()
    _later: list[Callable[[], Any]] | None = None
    _store: Store | None = None
    _is_whole = False
    _is_needed = False
    _isolation: str | None = None

    def __new__(cls, job_id: Any = None, *args: Any, **kwargs: Any) -> Any:
        """The job with this id, if there is one; else a new one, which joins the graph when it is whole."""
        graph = current()
        key = cls._id_from(job_id, graph)
        known = graph.jobs.get(key)
        if known is not None:
            if type(known) is cls:
                return known
            if not graph.is_between_runs:
                cls._refuse_other_class(known, graph)
        self = _new(cls)
        self.job_id = key
        self.graph = graph
        return self

    def __init__(self, job_id: Any, function: Callback | None = None) -> None:
        self._declare(function)

    # --- for subclasses

    @classmethod
    def _id_from(cls, given: Any, graph: Graph) -> JobId:
        """The id that this first argument stands for."""
        return text_id(given, cls.__name__, graph.place_of_caller)

    @classmethod
    def _refuse_other_class(cls, known: Job, graph: Graph) -> None:
        if known.outputs and cls.role is not Role.INVARIANT and cls.makes_files:
            raise DuplicateOutputError(
                "two jobs promise the same file",
                [
                    ("file", known.job_id),
                    ("first", f"{type(known).__name__}, {known.place}"),
                    ("second", f"{cls.__name__}, {graph.place_of_caller()}"),
                ],
                "Give one of them another file name, or remove one.",
            )
        raise JobContractError(
            "two jobs of different classes with the same id",
            [
                ("id", known.job_id),
                ("first", f"{type(known).__name__}, {known.place}"),
                ("second", f"{cls.__name__}, {graph.place_of_caller()}"),
            ],
            known._mend_for_other_class(cls),
        )

    def _mend_for_other_class(self, cls: type[Job]) -> str:
        return "Give one of them another id, or remove one."

    def _declare(self, function: Callback | None, takes_output: bool = False) -> bool:
        """Common end of every `__init__`; false if the job was there already, and is the same."""
        place = self.graph.place_of_caller()
        takes_output = function is not None and self._takes(function, place, takes_output)
        if self._is_whole:
            if self._is_same_function(function):
                if self.graph.is_between_runs:
                    self.place = place  # a cell that is executed again has another number
                return False
            self._redefine(place)
        self.place = place
        self.function = function
        if takes_output:
            import pathlib  # noqa: F401  # Here once, and not in the process of every job.

            self._takes_output = True
        elif self._takes_output:
            self._takes_output = False
        return True

    def _takes(self, function: Callback, place: Place, may_take: bool) -> bool:
        """Whether the callback wants the output; raises if it wants more than it is given."""
        return call_takes_output(function, type(self).__name__, place, may_take)

    def _enlist(self) -> None:
        """Into the graph, once everything about the job is known to be right."""
        if self._is_whole:
            return
        outputs = self.outputs
        for path in outputs:
            if self.rename_broken:
                self._refuse_broken(path, self, self.graph.maker(path + BROKEN))
            if path.endswith(BROKEN):
                self._refuse_broken(path[: -len(BROKEN)], self.graph.maker(path[: -len(BROKEN)]), self)
        self.graph.register(self, outputs)
        self._is_whole = True

    @staticmethod
    def _refuse_broken(path: str, renaming: Job | None, other: Job | None) -> None:
        if renaming is not None and renaming.rename_broken and other is not None:
            raise DuplicateOutputError(
                "a job that fails would take the name of another's file",
                [
                    ("file", path + BROKEN),
                    ("of", f"{type(other).__name__}, {other.place}"),
                    ("rename_broken", f"{type(renaming).__name__}, {renaming.place}"),
                ],
                "Give one of them another file name, or do without rename_broken.",
            )

    def _set_options(self, rename_broken: bool, empty_ok: frozenset[str]) -> None:
        if rename_broken != self.rename_broken:
            self.rename_broken = rename_broken
        if empty_ok != self.empty_ok:
            self.empty_ok = empty_ok

    def _is_same_function(self, function: Callback | None) -> bool:
        mine = self.function
        if function is mine:
            return True
        if fingerprint_function(function)[0] != fingerprint_function(mine)[0]:
            return False
        # In one module the same names lead to the same things; two modules may both have a `plot`.
        if getattr(function, "__globals__", self) is getattr(mine, "__globals__", None):
            return True
        return fingerprint_function(function, True)[0] == fingerprint_function(mine, True)[0]

    def _redefine(self, place: Place, what: str = "another callback") -> None:
        if not self.graph.is_between_runs:
            raise JobContractError(
                f"a second job of the same id with {what}",
                [
                    ("id", self.job_id),
                    ("first", f"{type(self).__name__}, {self.place}"),
                    ("second", f"{type(self).__name__}, {place}"),
                ],
                "Give one of them another id."
                + (" (Callbacks that differ only in default values are different.)" if what == "callback" else ""),
            )
        self._inputs = ()
        self._later = None

    def _require_type(self, name: str, value: object, wanted: type | tuple[type, ...], words: str) -> None:
        if not isinstance(value, wanted):
            raise TypeError(
                f"{type(self).__name__}: {name} must be {words}, not {type(value).__name__} ({value!r:.80})"
                f"\n    where: {self.graph.place_of_caller()}"
            )

    # --- what a job needs

    @property
    def input_ids(self) -> Iterable[InputId]:
        """Ids of the inputs, each once."""
        return self._inputs

    def depends_on(self: _Self, *jobs: Any) -> _Self:
        """Add inputs.

        Parameters
        ----------
        *jobs
            Jobs, files that a job of this graph makes, iterables of these nested at will, None (no input), or callables
            that return any of these, called when the run begins.

        Raises
        ------
        CycleError
            The job itself, or one that depends on it directly.
        JobContractError
            A FinalJob, or an invariant was given inputs.
        ValueError
            Something that is no job.
        """
        for job in jobs:
            if isinstance(job, Job):
                self._add_input(job, job.job_id)
            elif job is not None:
                self._add_inputs(job)
        return self

    def _add_inputs(self, things: Any) -> None:
        stack: list[Iterator[Any]] = [iter((things,))]
        while stack:
            for thing in stack[-1]:
                if isinstance(thing, Job):
                    self._add_input(thing, thing.job_id)
                elif thing is None:
                    continue
                elif isinstance(thing, OutputFile):
                    self._add_input(thing.job, thing.path)
                elif isinstance(thing, str | os.PathLike):
                    self._add_file(thing)
                elif isinstance(thing, Iterable) and not isinstance(thing, bytes):
                    stack.append(iter(thing))
                    break
                elif callable(thing):
                    self.graph.check_declarable("a dependency was added")
                    if self._later is None:
                        self._later = []
                    self._later.append(thing)
                else:
                    raise JobContractError(
                        "depends_on was given something that is no job",
                        [
                            ("job", f"{self.job_id} ({self.place})"),
                            ("given", f"{thing!r:.100} ({type(thing).__name__})"),
                            ("where", self.graph.place_of_caller()),
                        ],
                        "Give jobs, lists of jobs, None, or a function that returns jobs.",
                    )
            else:
                stack.pop()

    def _add_file(self, name: str | os.PathLike[str]) -> None:
        path = path_of_input(name, self.graph)
        maker = self.graph.maker(path)
        if maker is None:
            raise JobContractError(
                "depends_on was given a name that no job has",
                [
                    ("job", f"{self.job_id} ({self.place})"),
                    ("given", os.fspath(name)),
                    ("where", self.graph.place_of_caller()),
                ],
                "For a file that exists by itself, use job.depends_on_file(path).",
            )
        self._add_input(maker, path if path in maker.outputs and maker.has_several_files else maker.job_id)

    def _add_input(self, job: Job, name: InputId) -> None:
        inputs = self._inputs
        if name in inputs:
            return
        graph = self.graph
        if job.graph is not graph:
            raise JobContractError(
                "a job of another graph",
                [("job", f"{self.job_id} ({self.place})"), ("input", f"{job.job_id} ({job.place})")],
                "Make all jobs after the call of new_pipegraph() that belongs to this run.",
            )
        if job is self or self.job_id in job._inputs:
            raise_cycle([self] if job is self else [self, job])
        self._check_may_need(job)
        if graph.running or graph._growing is not None or getpid() != graph.pid:
            graph.note_edge(self.job_id, name)
        if self._is_needed:
            graph.is_in_order = False
        if not job._is_needed:
            job._is_needed = True
        if type(inputs) is dict:
            inputs[name] = None
        elif len(inputs) < _FEW:
            self._inputs = (*inputs, name)
        else:
            self._inputs = dict.fromkeys((*inputs, name))
        for reader in job._readers:
            self._add_input(reader, reader.job_id)

    def _remove_input(self, name: InputId) -> None:
        inputs = self._inputs
        self._inputs = tuple([each for each in inputs if each != name])

    def _check_may_need(self, job: Job) -> None:
        if job.is_final:
            raise JobContractError(
                "nothing can depend on a FinalJob",
                [("job", f"{self.job_id} ({self.place})"), ("input", f"{job.job_id} ({job.place})")],
                "It runs when everything else has ended. Use an ordinary job instead.",
            )

    def depends_on_params(self, params: Any) -> Job:
        """Depend on a value; gives back the ParameterInvariant."""
        from .invariants import ParameterInvariant

        invariant = ParameterInvariant(self.job_id, params)
        self.depends_on(invariant)
        return invariant

    def depends_on_func(self, name: str, function: Callback, follow: bool | Iterable[Callback] = True) -> Job:
        """Depend on the code of a function, and on what it uses; gives back the FunctionInvariant."""
        from .invariants import FunctionInvariant

        invariant = FunctionInvariant(name, function, follow)
        self.depends_on(invariant)
        return invariant

    def depends_on_file(self, filename: str | os.PathLike[str]) -> Job:
        """Depend on the content of a file; gives back the FileInvariant, or the job that makes the file."""
        from .invariants import FileInvariant

        maker = self.graph.maker(path_of_input(filename, self.graph))
        if isinstance(maker, Job) and maker.role is not Role.INVARIANT:
            self.depends_on(filename)
            return maker
        invariant = FileInvariant(filename)
        self.depends_on(invariant)
        return invariant

    def depends_on_package(self, *names: str) -> list[Job]:
        """Depend on the versions of installed packages; gives back the PackageInvariants."""
        from .invariants import PackageInvariant

        invariants: list[Job] = [PackageInvariant(name) for name in names]
        self.depends_on(invariants)
        return invariants

    def ignore_code_changes(self) -> Job:
        """Do not watch the callback's code; gives back the job."""
        self._is_code_watched = False
        return self

    def watch_code(self: _Self, follow: bool | Iterable[Callback] = True) -> _Self:
        """Watch the callback's code, as is done unless told otherwise; gives back the job.

        Parameters
        ----------
        follow
            True: with all of the script's own that it uses by name. False: its code, default and closure values only.
            Functions: these beside it, instead of what it uses.
        """
        self._follow = self._checked_follow(follow)
        self._is_code_watched = True
        return self

    def _checked_follow(self, follow: Any) -> Follow:
        if isinstance(follow, bool):
            return follow
        functions = tuple(follow) if isinstance(follow, Iterable) else (follow,)
        for function in functions:
            if not callable(function):
                raise TypeError(
                    f"{type(self).__name__}: follow must be True, False or functions, not {function!r:.80}"
                    f"\n    where: {self.graph.place_of_caller()}"
                )
        return functions

    def adopt(self: _Self) -> _Self:
        """Take the outputs for made if they are there, and were never made here; gives back the job.

        They are read and fingerprinted, and the callback is not called. From then on they are as if made by this job.

        Raises
        ------
        JobContractError
            Not a job whose files stay.
        """
        if not self.makes_files or self.role is not Role.OUTPUT:
            raise JobContractError(
                "only files that stay can be adopted",
                [("job", f"{self.job_id} ({type(self).__name__}, {self.place})")],
                "Call adopt() on a FileGeneratingJob or a MultiFileGeneratingJob.",
            )
        self.adopts = True
        return self

    def share(self: _Self, folder: str | os.PathLike[str], name: str = "") -> _Self:
        """Take the result from a folder that others use, too, if it is there; else make it, and put it there.

        Parameters
        ----------
        folder
            Made if it is not there.
        name
            What others share the result by, if their projects have the files elsewhere. Then it must not matter where
            the files lie; without it, their paths count as the project has them.

        Raises
        ------
        TypeError, JobContractError
            Not a job whose files stay; no folder; another one already.
        """
        from .stores import shared_store

        self._set_store(shared_store(self, folder, name))
        return self

    def keep_versions(self: _Self, count: int) -> _Self:
        """Keep so many results, the present one among them, to bring them back when the same inputs come back.

        Raises
        ------
        TypeError, JobContractError
            Not a job whose files stay; less than two; another number, or a shared folder, already.
        """
        from .stores import store_of_versions

        self._set_store(store_of_versions(self, count))
        return self

    def _set_store(self, store: Store) -> None:
        if self._store is not None and self._store != store and not self.graph.is_between_runs:
            from .stores import two_stores

            raise two_stores(self, self._store, store)
        self._store = store

    def inject_auto_invariants(self) -> None:
        """Called when the run begins, for subclasses that add invariants of their own with `depends_on`."""

    @property
    def prerequisites(self) -> list[Job]:
        """The direct inputs, as jobs."""
        found = dict.fromkeys(self.graph.maker(name) for name in self.input_ids)
        return [job for job in found if job is not None]

    @property
    def dependants(self) -> list[Job]:
        """The direct dependents; found by looking at all jobs."""
        names = {self.job_id, *self.outputs}
        return [job for job in self.graph.jobs.values() if not names.isdisjoint(job.input_ids)]

    def is_in_dependency_chain(self, other: Job, max_depth: int) -> bool:
        """Whether this job depends on the other, over at most that many steps."""
        level: set[Job] = {self}
        seen: set[Job] = set()
        for _ in range(max_depth):
            level = {job for one in level for job in one.prerequisites} - seen
            if other in level:
                return True
            if not level:
                return False
            seen |= level
        return False

    # --- part in the run

    @property
    def isolation(self) -> str:
        """What keeps the job apart from others: ``"process"``, one of its own, or ``"shared"``; docs/isolation.rst.

        That of the graph, unless it is set. Which one it is, is no reason to run again.
        """
        return self._isolation or self.graph.isolation

    @isolation.setter
    def isolation(self, value: str) -> None:
        check_isolation(value, self.graph, type(self).__name__)
        if value == "shared" and not self.may_share_process:
            raise JobContractError(
                f"a {type(self).__name__} can't share a process with other jobs",
                [("job", self.job_id), ("where", self.graph.place_of_caller())],
                "Only jobs whose callback makes files can. All of these at once: new_pipegraph(isolation='shared').",
            )
        self._isolation = value

    @property
    def _shares_process(self) -> bool:
        if not self.may_share_process or self.isolation != "shared":
            return False
        return self._store is None and not (self._says_needs or self.is_final or self.is_program)

    @property
    def is_pruned(self) -> bool:
        """It was taken out of the run by itself."""
        return self.graph.is_pruned(self.job_id)

    def prune(self) -> None:
        """Take no part in the run; neither does anything that depends on it."""
        self.graph.note_pruned(self.job_id, True)

    def unprune(self) -> None:
        """Take part again."""
        self.graph.note_pruned(self.job_id, False)

    def __add__(self, other: Any) -> JobList:
        return JobList([self]).__add__(other)

    def __iter__(self) -> Iterator[Job]:
        yield self

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.job_id} ({self.place})>" if self._is_whole else object.__repr__(self)

    def __pipegraph_fingerprint__(self) -> str:
        return self.job_id

    # --- for the run

    def resolve(self) -> None:
        """The run begins: add the inputs that were to be told now."""
        self.inject_auto_invariants()
        while self._later:
            later, self._later = self._later, None
            for function in later:
                self.depends_on(function())

    def specs(self) -> Iterable[JobSpec]:
        """This job, and the invariant of its callback, as plain data."""
        job_id = self.job_id
        inputs: tuple[InputId, ...] = tuple(self._inputs)
        unwatched = _NOTHING
        code: JobSpec | None = None
        if self._has_code:
            name = "FI" + job_id
            if not self._is_code_watched:
                unwatched = frozenset((name,))
            elif (other := self.graph.jobs.get(name)) is None:
                inputs = (*inputs, name)
                code = self._function_spec(name, "FunctionInvariant")
            elif other.role is not Role.INVARIANT:
                raise JobContractError(
                    "a job has the id under which the code of another is watched",
                    [
                        ("id", name),
                        ("first", f"{type(other).__name__}, {other.place}"),
                        ("second", f"{type(self).__name__} {job_id}, {self.place}"),
                    ],
                    "Give one of them another id.",
                )
            elif name not in inputs:
                inputs = (*inputs, name)
        # (Of a program, the line to paste is never empty, and takes long to put together.)
        if unwatched or self.is_program or self.graph.isolation == "shared" or _rarely_set(self) != _USUALLY:
            spec = self._full_spec(inputs, unwatched)
        else:
            spec = usual_spec(job_id, self.role, type(self).__name__, self.place, self.spec_outputs, inputs)
        return (spec,) if code is None else (code, spec)

    def _full_spec(self, inputs: tuple[InputId, ...], unwatched: frozenset[InputId]) -> JobSpec:
        return JobSpec(
            self.job_id,
            self.role,
            type(self).__name__,
            self.place,
            self.spec_outputs,
            inputs,
            None,
            None,
            self.in_memory,
            self.is_final,
            self.empty_ok,
            unwatched,
            self._cores,
            self._memory,
            self.is_forced,
            adopts=self.adopts,
            keeps=self.keeps,
            is_opaque=self.is_opaque,
            command=self.command_line,
            store=self._store,
            shares_process=self._shares_process,
            resources=self._resources,
            is_exclusive=self._is_exclusive,
            retries=self._retries,
            retry_seconds=self._retry_seconds,
            uses_jobserver=self._shares_cores,
        )

    @property
    def _has_code(self) -> bool:
        return self.function is not None

    def explain(self) -> Explanation | None:
        """What the fingerprint of an invariant, or of the callback, is taken of; None if nobody can say."""
        seen = look_at_function(self.function, self._follow, self.graph.followed, is_explained=True)
        # What it imports when it is called may have been edited while the graph runs.
        return seen.explanation if seen.fingerprint == self._fingerprint else None

    def _function_spec(self, name: JobId, class_name: str) -> JobSpec:
        try:
            seen = look_at_function(self.function, self._follow, self.graph.followed)
        except Exception as error:
            raise FingerprintError(
                "the code of a callback can't be looked at",
                [("job", f"{self.job_id} ({self.place})"), ("because", f"{type(error).__name__}: {error}")],
                "Have less of it looked at, job.watch_code(follow=False), and tell the makers of pipegraph.",
            ) from error
        self._fingerprint = seen.fingerprint
        if not seen.unwatched and not seen.remarks:
            return usual_spec(name, Role.INVARIANT, class_name, self.place, (), (), seen.fingerprint)
        unwatched = [(f"not watched: {each}", _MEND) for each in seen.unwatched]
        remarks = (*unwatched, *((each, "") for each in seen.remarks))
        return JobSpec(name, Role.INVARIANT, class_name, self.place, fingerprint=seen.fingerprint, remarks=remarks)

    @property
    def spec_outputs(self) -> tuple[str, ...]:
        """The files whose content counts as what the job made."""
        return self.outputs

    def run(self) -> None:
        """Call the callback. Happens in the job's own process."""
        assert self.function is not None
        self.function()

    def __call__(self) -> Job:
        """Make this job, and what it needs, and nothing else; see `pipegraph.run_pipegraph`."""
        self.graph.run(False, self)
        return self

    def release(self) -> None:
        """What was loaded is needed no more. Happens in the slave."""
        if self.cleanup is not None:
            self.cleanup()


_rarely_set = attrgetter(
    "in_memory",
    "is_final",
    "empty_ok",
    "_cores",
    "_memory",
    "_resources",
    "_is_exclusive",
    "_shares_cores",
    "_retries",
    "is_forced",
    "adopts",
    "keeps",
    "is_opaque",
    "command_line",
    "_store",
    "_isolation",
)
_USUALLY = _rarely_set(Job)
"""With these, and code that is watched, `usual_spec` has all that is to be said."""
