"""What happened in a run: records in the past tense, as the loop sees them and the watchers are shown them.

Events come from the slaves (a job ended), from the user (stop), and from the engine's decisions (a job is up to
date). Nothing here does anything.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple, TypeAlias

from .explanations import Change, Explanation
from .model import (
    NO_GROWTH,
    NO_USAGE,
    NOTHING_OPENED,
    NOTHING_PRINTED,
    Counts,
    Failure,
    FileRecord,
    Fingerprint,
    Growth,
    JobId,
    JobSpec,
    Opened,
    Past,
    Printed,
    Reason,
    Sighting,
    Usage,
)


class RunBegan(NamedTuple):
    """A run has its status file and its logs.

    Attributes
    ----------
    run_id
        Unique among all runs: time, host and process.
    at
        Seconds since 1970.
    memory_bytes
        That all jobs together may use; 0: not known.
    limits
        Cores and memory, and who restricts them, in words; empty: nobody does.
    """

    run_id: str
    at: float
    directory: str
    script: str
    host: str
    pid: int
    cores: int
    jobs: int
    version: str
    memory_bytes: int = 0
    limits: str = ""


class GraphGrew(NamedTuple):
    """Jobs and edges arrived: those of the script at the start, later those of generators.

    Attributes
    ----------
    by
        The generator; None for the script.
    pasts
        What the status file knows of the new jobs; a job that is not there has no past.
    measured
        Fingerprints of the new invariants.
    unmeasured
        Invariants that have none, and why.
    problems
        What is wrong with the outputs of the new jobs that were made before, by job; a job that is not there has
        its outputs as they were recorded (or was never made).
    """

    jobs: tuple[JobSpec, ...]
    edges: tuple[tuple[JobId, str], ...]
    by: JobId | None
    pasts: Mapping[JobId, Past]
    measured: Mapping[JobId, Fingerprint]
    unmeasured: Mapping[JobId, Failure]
    problems: Mapping[JobId, tuple[Reason, ...]]


class JobStarted(NamedTuple):
    """A slave has been told to run a job.

    Attributes
    ----------
    is_adopted
        Its files are there and are believed; it is not called.
    changes
        What is behind the reasons, as far as it is known.
    command
        Of a job that is a program: the line to paste into a terminal.
    """

    job: JobId
    reasons: tuple[Reason, ...]
    cores: int
    at: float
    is_adopted: bool = False
    changes: tuple[Change, ...] = ()
    command: str = ""


class JobBegan(NamedTuple):
    """A job that a slave was told ahead of its turn has got the core of one that ended."""

    job: JobId


class JobSucceeded(NamedTuple):
    """A job's own process reported, with its outputs there and measured.

    Attributes
    ----------
    brought_back
        Where the outputs come from, if they were kept from an earlier making; empty: the callback was called.
    remarks
        Headline and mend of what a person should know of it.
    fingerprint
        Of what an opaque job loaded.
    """

    job: JobId
    outputs: tuple[FileRecord, ...] = ()
    usage: Usage = NO_USAGE
    printed: Printed = NOTHING_PRINTED
    growth: Growth = NO_GROWTH
    opened: Opened = NOTHING_OPENED
    brought_back: str = ""
    remarks: tuple[tuple[str, str], ...] = ()
    fingerprint: Fingerprint = ""


class JobFailed(NamedTuple):
    """A job raised, died or did not keep its contract."""

    job: JobId
    failure: Failure
    usage: Usage = NO_USAGE
    printed: Printed = NOTHING_PRINTED
    opened: Opened = NOTHING_OPENED


class JobPutOff(NamedTuple):
    """A job ended without success, and will be started again; for the loop and who looks on, the engine is not told.

    Attributes
    ----------
    failure
        How it ended.
    until
        When it may start, in seconds since 1970.
    attempt, of
        Which attempt ended so, from 1 on, and how many there are at most; 0: it is not counted, since it was no fault
        of the job.
    """

    job: JobId
    failure: Failure
    until: float
    attempt: int
    of: int
    usage: Usage = NO_USAGE


class FilesRead(NamedTuple):
    """Files that had to be read to see whether they changed; for the loop and who looks on, the engine is not told.

    Attributes
    ----------
    unread
        With the path as `filename`.
    left
        Files that are still to be read.
    done_bytes, all_bytes
        Of all that was to be read lately.
    """

    records: tuple[FileRecord, ...]
    unread: tuple[OSError, ...]
    left: int
    done_bytes: int
    all_bytes: int


class FingerprintsExplained(NamedTuple):
    """The fork of a generator told what fingerprints are taken of; for the loop, which had asked.

    Attributes
    ----------
    by
        The generator.
    explanations
        By fingerprint; None where nobody can say.
    """

    by: JobId
    explanations: Mapping[Fingerprint, Explanation | None]


class FilesOpened(NamedTuple):
    """A job read files that are no inputs of it, or left files that are no outputs; a hint, and no fault by itself.

    Attributes
    ----------
    read, written
        Below the project's directory, relative.
    is_cut
        There may be more.
    """

    job: JobId
    read: tuple[str, ...]
    written: tuple[str, ...]
    is_cut: bool = False


class JobStopped(NamedTuple):
    """A job that was started was ended because the run was.

    Attributes
    ----------
    has_begun
        False: a slave had been told of it ahead of its turn, which never came.
    """

    job: JobId
    has_begun: bool = True


class JobsSeen(NamedTuple):
    """Somebody looked at what runs; for who looks on, the engine is not told."""

    at: float
    jobs: tuple[Sighting, ...]


class JobsLost(NamedTuple):
    """A slave died, or a cache was damaged: what ran must be started again, what had been loaded or made is gone.

    Attributes
    ----------
    running
        Jobs without a report.
    memory
        Loading and generating jobs whose effect was in the memory that is gone, in the order in which they ended; jobs
        whose files can't be used.
    """

    running: tuple[JobId, ...]
    memory: tuple[JobId, ...]


class StopRequested(NamedTuple):
    """The user (or a signal) wants the run to end.

    Attributes
    ----------
    is_urgent
        At once, without a grace for running jobs.
    """

    signal: int
    is_urgent: bool


class JobUpToDate(NamedTuple):
    """No reason to run holds."""

    job: JobId


class JobsUpToDate(NamedTuple):
    """What watchers are told of many that are up to date, in the order in which that was decided."""

    jobs: tuple[JobId, ...]


class JobNotNeeded(NamedTuple):
    """An ephemeral job that no job that runs needs."""

    job: JobId


class JobBlocked(NamedTuple):
    """A job can't run because of one that failed."""

    job: JobId
    culprit: JobId


class ProductDropped(NamedTuple):
    """A temporary file was removed, or loaded data deleted, since nobody needs it any more."""

    job: JobId


class Warned(NamedTuple):
    """Something a person should know; the run goes on."""

    headline: str
    job: JobId = ""
    mend: str = ""


class SlaveDied(NamedTuple):
    """A compute slave ended without being told to."""

    pid: int
    in_a_row: int


class RunEnded(NamedTuple):
    """The run is over."""

    at: float
    seconds: float
    counts: Counts
    stopped_by: int = 0


Event: TypeAlias = (
    RunBegan
    | GraphGrew
    | JobStarted
    | JobBegan
    | JobSucceeded
    | JobFailed
    | JobPutOff
    | FilesOpened
    | FilesRead
    | FingerprintsExplained
    | JobStopped
    | JobsLost
    | JobsSeen
    | StopRequested
    | JobUpToDate
    | JobsUpToDate
    | JobNotNeeded
    | JobBlocked
    | ProductDropped
    | Warned
    | SlaveDied
    | RunEnded
)
