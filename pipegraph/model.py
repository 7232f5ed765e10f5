"""The nouns that all layers granted: roles, places, fingerprints' records, traces, reasons.

Plain facts, never changed once made, and how fingerprints are combined. Named tuples rather than frozen dataclasses:
making one costs a fifth, and the module dataclasses brings half of the size that each fork of a slave has to copy.
"""

from __future__ import annotations

import enum
from collections.abc import Iterable, Iterator, Mapping, Set
from typing import Any, NamedTuple, NoReturn, TypeAlias

from xxhash import xxh3_128_hexdigest

JobId: TypeAlias = str
InputId: TypeAlias = str
"""A job's id, or the path of one file of a multi-file job."""
Fingerprint: TypeAlias = str
"""32 hex digits (xxh3-128)."""


FILES_PREFIX = "MFI"
"""Begins the ids of invariants over collections of files, whose names do not count."""

MEASURED_FROM_SECONDS = 0.1
"""What a job took is measured, but for its time, if it ran as long."""

NOTEBOOK_PREFIX = "NB"
"""Begins the ids of invariants over the code of notebooks; the path follows."""


def assert_never(value: NoReturn) -> NoReturn:
    """Typing's proof that a match is complete (`typing.assert_never` needs Python 3.11)."""
    raise AssertionError(f"not handled: {value!r}")


def combine(texts: Iterable[str]) -> Fingerprint:
    """Fingerprint of a sequence of ids and fingerprints; their order counts, so sort what has none."""
    # The length in front keeps ("ab", "c") and ("a", "bc") apart.
    return xxh3_128_hexdigest("".join([f"{len(text)}:{text}" for text in texts]).encode())


class Role(enum.Enum):
    """What the engine knows of a job's class."""

    INVARIANT = "invariant"
    OUTPUT = "output"
    EPHEMERAL = "ephemeral"
    GENERATOR = "generator"

    __hash__ = object.__hash__  # Enum's own is written in Python, and is asked several times a job


class Place(NamedTuple):
    """Where in the user's script a job was made."""

    filename: str
    line: int

    def __str__(self) -> str:
        return f"{self.filename}:{self.line}"


class Watch(enum.Enum):
    """What a file invariant looks at."""

    CONTENT = "content"
    TIME = "time"


class Store(NamedTuple):
    """Where the result of a job is looked for before its callback is called, and kept afterwards.

    Attributes
    ----------
    folder
        Absolute.
    versions
        How many of the job's results are kept there; 0: it is shared with others, and all are.
    name
        By which others know the result, wherever their projects have its files; empty: by its files' paths.
    """

    folder: str
    versions: int = 0
    name: str = ""


class JobSpec(NamedTuple):
    """A job as plain data: all that anyone but the slave that calls it has to know.

    Attributes
    ----------
    outputs
        Paths of files: what the job makes or, for file invariants, what it watches.
    inputs
        The ids of what it depends on, each once.
    fingerprint
        Of invariants that are known when they are declared (functions, parameters); None otherwise.
    in_memory
        An ephemeral job that leaves data in a slave's memory, not files.
    is_final
        Runs when everything else has ended, and depends on all other output jobs.
    unwatched
        Inputs of earlier runs whose absence is no reason to run.
    cores
        1 and above, -1 (all) or -2 (all but one).
    memory_bytes
        -1: unspecified.
    value_text
        Of a parameter invariant with `accept_as_unchanged_func`: the value, for the comparison next time.
    adopts
        Files that are there, of an output job that was never made here, count as made.
    remarks
        Headline and mend of what a person should know of it.
    keeps
        An ephemeral job whose files stay when nobody needs them any more.
    is_opaque
        An ephemeral job in memory that has a fingerprint of its own, known only once it has run.
    command
        Of jobs that are a program: the line to paste into a terminal, in which `placeholders.filled` puts what is known
        when the job starts.
    is_wanted
        An ephemeral job whose files were asked for by name: in this run it is one whose files stay.
    store
        Of output jobs whose results are kept to be brought back.
    shares_process
        It may run in a process that other jobs have run in.
    resources
        What it takes of named resources while it runs: names, sorted, and how many.
    is_exclusive
        No other job runs beside it.
    retries, retry_seconds
        How often it is tried again if it fails, and how long after that.
    uses_jobserver
        Programs that it starts may take cores that are to spare.
    """

    id: JobId
    role: Role
    class_name: str
    place: Place
    outputs: tuple[str, ...] = ()
    inputs: tuple[InputId, ...] = ()
    fingerprint: Fingerprint | None = None
    watch: Watch | None = None
    in_memory: bool = False
    is_final: bool = False
    empty_ok: frozenset[str] = frozenset()
    unwatched: frozenset[InputId] = frozenset()
    cores: int = 1
    memory_bytes: int = -1
    forced: bool = False
    value_text: str = ""
    adopts: bool = False
    remarks: tuple[tuple[str, str], ...] = ()
    keeps: bool = False
    is_opaque: bool = False
    command: str = ""
    is_wanted: bool = False
    store: Store | None = None
    shares_process: bool = False
    resources: tuple[tuple[str, int], ...] = ()
    is_exclusive: bool = False
    retries: int = 0
    retry_seconds: float = 0.0
    uses_jobserver: bool = False

    @property
    def is_transparent(self) -> bool:
        """Its fingerprint is that of its inputs."""
        return self.in_memory and not self.is_opaque


class UsualSpec(JobSpec):
    """The same, less than half as large, of a job whose fields from `in_memory` on are as they are by default.

    Only those before are kept, of a million invariants and jobs; `usual_spec` makes it. It equals the `JobSpec` of the
    same fields, and is shown as that; with a field replaced it is one.
    """

    __slots__ = ()

    def _whole(self) -> JobSpec:
        return JobSpec._make((*self, *_USUAL))

    def __eq__(self, other: object) -> bool:
        if type(other) is UsualSpec:
            return tuple(self) == tuple(other)
        return tuple(self._whole()) == other

    def __ne__(self, other: object) -> bool:
        return not self == other

    def __hash__(self) -> int:
        return hash(self._whole())

    def __repr__(self) -> str:
        return repr(self._whole())

    def __reduce__(self) -> tuple[Any, ...]:
        return usual_spec, tuple(self)

    def _replace(self, **fields: Any) -> JobSpec:  # type: ignore[override]
        return self._whole()._replace(**fields)

    def _asdict(self) -> dict[str, Any]:
        return self._whole()._asdict()


_new = tuple.__new__


def usual_spec(
    job_id: JobId,
    role: Role,
    class_name: str,
    place: Place,
    outputs: tuple[str, ...] = (),
    inputs: tuple[InputId, ...] = (),
    fingerprint: Fingerprint | None = None,
    watch: Watch | None = None,
) -> JobSpec:
    """Of a job whose other fields are as they are by default: takes less than a `JobSpec`, of memory and of time."""
    return _new(UsualSpec, (job_id, role, class_name, place, outputs, inputs, fingerprint, watch))


_LEFT_OUT = JobSpec._fields[JobSpec._fields.index("in_memory") :]
_USUAL = tuple(JobSpec._field_defaults[name] for name in _LEFT_OUT)
for _name, _value in zip(_LEFT_OUT, _USUAL):
    setattr(UsualSpec, _name, _value)  # On the class is what its tuples are too short for.


class Specs(dict[JobId, JobSpec]):
    """Jobs and invariants by id; of equal ids the last counts.

    There may be three invariants to a job, and most runs ask for none: they are sorted in when somebody asks for more
    than a job.
    """

    __slots__ = ("_unsorted",)

    def __init__(self, specs: Iterable[JobSpec] = ()) -> None:
        super().__init__()
        self._unsorted: list[Iterable[JobSpec]] = []
        self.grow(specs)

    def grow(self, specs: Iterable[JobSpec]) -> None:
        """These arrive, which the caller keeps."""
        invariant = Role.INVARIANT
        if self._unsorted:
            self._sort()
            self.update({spec.id: spec for spec in specs})
            return
        self.update({spec.id: spec for spec in specs if spec.role is not invariant})
        self._unsorted.append(specs)

    def jobs(self) -> Set[JobId]:
        """The ids of all jobs; it may be that some of invariants are among them."""
        return super().keys()

    def _sort(self) -> None:
        invariant = Role.INVARIANT
        while self._unsorted:
            self.update({spec.id: spec for spec in self._unsorted.pop() if spec.role is invariant})

    def __missing__(self, name: JobId) -> JobSpec:
        if not self._unsorted:
            raise KeyError(name)
        self._sort()
        return self[name]

    def __contains__(self, name: object) -> bool:
        if super().__contains__(name):
            return True
        self._sort()
        return super().__contains__(name)

    def get(self, name: JobId, default: Any = None) -> Any:
        """As of a dict."""
        found = super().get(name)
        if found is None and self._unsorted:
            self._sort()
            found = super().get(name)
        return default if found is None else found

    def __iter__(self) -> Iterator[JobId]:
        self._sort()
        return super().__iter__()

    def __len__(self) -> int:
        self._sort()
        return super().__len__()

    def keys(self) -> Any:
        """As of a dict."""
        self._sort()
        return super().keys()

    def values(self) -> Any:
        """As of a dict."""
        self._sort()
        return super().values()

    def items(self) -> Any:
        """As of a dict."""
        self._sort()
        return super().items()


class Grant(NamedTuple):
    """What a job may use while it runs.

    Attributes
    ----------
    folder
        For its own temporary files; not there, until the job makes it.
    access
        How its programs share cores that are to spare, as `machine.jobserver.Access` has it; None: they do not.
    """

    cores: int = 1
    memory_bytes: int = 0
    folder: str = ""
    access: tuple[str, bool, int] | None = None


ALONE = Grant()


class FileRecord(NamedTuple):
    """One file as it was when its content was read.

    Attributes
    ----------
    fingerprint
        What dependents go by. Of a temporary file that was made again with other bytes from the same inputs,
        this is that of its first making.
    content
        Of the bytes that were read.
    size
        Bytes.
    mtime_ns
        Nanoseconds since 1970, as the file system gives it.
    is_racy
        The file may have changed after it was read without a change of mtime; read it again at the next look.
    """

    path: str
    fingerprint: Fingerprint
    content: Fingerprint
    size: int
    mtime_ns: int
    inode: int
    is_racy: bool


class Trace(NamedTuple):
    """What was true when a job last succeeded.

    Attributes
    ----------
    inputs
        The fingerprint of each input as it was used.
    fingerprint
        The job's own.
    seconds
        Wall time of the callback.
    peak_bytes
        Largest private memory of the job, as in its `Usage`; 0 where it was not measured.
    ended_at
        Seconds since 1970.
    reasons
        Why it was made; the first of them, if they are many.
    read, written
        Files below the project's directory that it opened without having declared them; the first of them.
    brought_back
        Where its files came from, if the callback was not called.
    cpu_seconds, read_bytes, written_bytes
        As in its `Usage`, of a job that took at least `MEASURED_FROM_SECONDS`; else 0.
    """

    inputs: Mapping[InputId, Fingerprint]
    fingerprint: Fingerprint
    outputs: tuple[FileRecord, ...] = ()
    seconds: float = 0.0
    peak_bytes: int = 0
    ended_at: float = 0.0
    reasons: tuple[Reason, ...] = ()
    read: tuple[str, ...] = ()
    written: tuple[str, ...] = ()
    brought_back: str = ""
    cpu_seconds: float = 0.0
    read_bytes: int = 0
    written_bytes: int = 0

    def used(self, inputs: Mapping[InputId, Fingerprint]) -> bool:
        """Whether it was made from just these inputs, as they are."""
        return self.inputs == inputs


class Past(NamedTuple):
    """What the status file knows of a job.

    Attributes
    ----------
    trace
        Of the last success.
    is_unfinished
        It was started after that, and neither success nor failure was recorded.
    has_failed
        It failed after that.
    """

    trace: Trace | None = None
    is_unfinished: bool = False
    has_failed: bool = False


class InvariantRecord(NamedTuple):
    """What the status file knows of an invariant, so that it need not be measured from nothing.

    Attributes
    ----------
    files
        As they were when they were read; empty for parameters.
    value_text
        Of a parameter, for `accept_as_unchanged_func`.
    """

    fingerprint: Fingerprint
    files: tuple[FileRecord, ...] = ()
    value_text: str = ""


class ReasonKind(enum.Enum):
    """Why a job must run. The values are the words that people read."""

    NEVER_MADE = "never made here"
    OUTPUT_MISSING = "output missing"
    OUTPUT_EMPTY = "output empty"
    OUTPUT_CHANGED = "output changed since it was made"
    UNFINISHED = "started but never finished"
    FAILED = "failed last time"
    INPUT_ADDED = "input added"
    INPUT_REMOVED = "input removed"
    INPUT_CHANGED = "input changed"
    FORCED = "forced"
    NEEDED = "needed by"
    GENERATES = "generators run in every run"

    __hash__ = object.__hash__  # as of roles


class Reason(NamedTuple):
    """One reason for one job to run.

    Attributes
    ----------
    subject
        The input, the output file or, for NEEDED, the dependent that it is about; empty where there is none.
    before, now
        Of an input that changed, was added or removed: its fingerprint; of an output that changed: its content's.
        Empty where there is none.
    """

    kind: ReasonKind
    subject: str = ""
    before: Fingerprint = ""
    now: Fingerprint = ""

    def __str__(self) -> str:
        return f"{self.kind.value}: {self.subject}" if self.subject else self.kind.value


class FailureKind(enum.Enum):
    """In which way a job failed."""

    RAISED = "raised"
    DIED = "died"
    BROKE_CONTRACT = "broke its contract"
    NOT_RECORDED = "could not be recorded"
    TOO_DEMANDING = "needs more than there is"
    NOT_MEASURED = "could not be measured"


class Origin(enum.Enum):
    """Whose code it is."""

    SCRIPT = "script"
    LIBRARY = "library"
    PIPEGRAPH = "pipegraph"


class Frame(NamedTuple):
    """One frame of a failed job's traceback, outermost first.

    Attributes
    ----------
    local_variables
        Names and what is shown of the values, secrets left out; of the user's own code only.
    ending
        Of the last frame of an exception that led to another one: both, in words; else empty.
    """

    filename: str
    line: int
    function: str
    source: str
    local_variables: tuple[tuple[str, str], ...] = ()
    origin: Origin = Origin.SCRIPT
    ending: str = ""


class Damage(NamedTuple):
    """A cache (by its job) that can't be read back, and why."""

    cache: JobId
    because: str


class Failure(NamedTuple):
    """Why and how a job failed.

    Attributes
    ----------
    exception_type
        Qualified name, for instance ``builtins.ValueError``.
    message
        Text of the exception.
    frames
        Outermost first.
    pickled
        The exception, where it survived a round trip through pickle in the job's process; else empty.
    exit_code
        Of a job that died, or of a program for which it failed: the exit status, or below 0 the negated number of the
        signal.
    damage
        Of a job that could not read a cache.
    """

    kind: FailureKind
    exception_type: str
    message: str
    frames: tuple[Frame, ...] = ()
    pickled: bytes = b""
    exit_code: int | None = None
    damage: Damage | None = None


class Printed(NamedTuple):
    """What a job wrote to stdout and stderr.

    Attributes
    ----------
    stdout, stderr
        The last part of it, undecodable bytes as backslash escapes.
    stdout_bytes, stderr_bytes
        How much it was in all.
    stdout_path, stderr_path
        Where all of it is kept, if what stands here is only a part; else empty.
    """

    stdout: str = ""
    stderr: str = ""
    stdout_bytes: int = 0
    stderr_bytes: int = 0
    stdout_path: str = ""
    stderr_path: str = ""


NOTHING_PRINTED = Printed()


class Opened(NamedTuple):
    """Files below the project's directory that a job opened, and that were neither its outputs nor its direct inputs.

    Attributes
    ----------
    read, written
        Relative paths; a file may be in both.
    missing
        What it wanted to read, or removed, and is not there now.
    is_cut
        There were more than are kept.
    """

    read: tuple[str, ...] = ()
    written: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()
    is_cut: bool = False


class Growth(NamedTuple):
    """What a generator added to the graph.

    Attributes
    ----------
    edges
        Pairs of dependent and input, for dependents that were there before.
    is_whole
        Nothing that it declared takes no part.
    """

    jobs: tuple[JobSpec, ...] = ()
    edges: tuple[tuple[JobId, InputId], ...] = ()
    is_whole: bool = True


class Usage(NamedTuple):
    """What one run of a job took.

    Attributes
    ----------
    started_at
        Seconds since 1970.
    seconds
        Wall time.
    cpu_seconds
        User and system time of the process and of those of its children that it waited for.
    peak_bytes
        The most memory that it was found to have for itself, beside what it inherited by fork: the largest of its own
        process, of one program that it waited for, and of what all its processes had at the same time whenever
        somebody looked. 0 where it was not measured.
    read_bytes, written_bytes
        What the process and those of its children that it waited for asked for, from and to files, pipes and sockets,
        or what came from and went to disks, if that was more; 0 where it was not measured.
    """

    started_at: float = 0.0
    seconds: float = 0.0
    cpu_seconds: float = 0.0
    peak_bytes: int = 0
    read_bytes: int = 0
    written_bytes: int = 0


NO_USAGE = Usage()
NO_GROWTH = Growth()
NOTHING_OPENED = Opened()


class Sighting(NamedTuple):
    """A running job as it was just found.

    Attributes
    ----------
    pid
        Of the job's own process.
    started_at
        Seconds since 1970.
    processes
        It, and all that it started.
    own_bytes
        Memory of these beyond what the job inherited by fork.
    last_line
        What it printed last.
    """

    job: JobId
    pid: int
    started_at: float
    processes: int
    own_bytes: int
    last_line: str


class Counts(NamedTuple):
    """How a run ended, in jobs (invariants not counted); `made` is without those that were brought back."""

    made: int = 0
    up_to_date: int = 0
    not_needed: int = 0
    failed: int = 0
    blocked: int = 0
    stopped: int = 0
    generators: int = 0
    failed_ids: tuple[JobId, ...] = ()
    brought_back: int = 0
