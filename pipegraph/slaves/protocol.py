"""What slaves need to know: of the run, and of the jobs that they call."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple, Protocol

from ..explanations import Explanation
from ..model import Fingerprint, Grant, Growth, InputId, JobId, Place
from ..programs import Launch
from .messages import End
from .terminal import Mode
from .threads import ThreadLimits


class Order(NamedTuple):
    """What a slave is told of a job that it is to start.

    Attributes
    ----------
    token
        By which the job's end is told.
    is_adopted
        If its outputs are there, they count as made.
    caches
        What it may load from files, and the fingerprint of their content.
    address
        Where its result may be kept, to be brought back instead of calling the job.
    followers
        Of a job that changes the slave: how many jobs have not begun.
    access
        How its programs share cores, as `machine.jobserver.Access` has it; None: they do not.
    """

    job: JobId
    token: int
    is_adopted: bool = False
    cores: int = 1
    memory_bytes: int = 0
    caches: dict[JobId, Fingerprint] | None = None
    address: tuple[Any, ...] | None = None
    followers: int = 0
    access: tuple[str, bool, int] | None = None


class Runnable(Protocol):
    """A job object, inherited by fork."""

    job_id: JobId
    place: Place
    empty_ok: frozenset[str]
    rename_broken: bool
    changes_slave: bool
    is_generator: bool
    loaded_fingerprint: Fingerprint
    recorded_content: Fingerprint
    is_program: bool
    granted: Grant
    timeout_seconds: float
    """0: it may take as long as it likes."""

    @property
    def outputs(self) -> tuple[str, ...]:
        """Paths relative to the run's directory."""

    @property
    def input_ids(self) -> Iterable[InputId]:
        """Ids of the inputs, or paths of single files."""

    def run(self) -> None:
        """Call the callback, in the job's own process."""

    @property
    def command_line(self) -> str:
        """Of a program: to be pasted into a terminal; numbers are still marked."""

    def paths_in_command(self) -> Iterable[str]:
        """Of a program: what would be a path below the project's directory, if it is one."""

    def launch(self, environment: Mapping[bytes, bytes]) -> Launch | None:
        """The external program that is all of this job; None if `run` has to be called. Asked where `is_program`."""

    def release(self) -> None:
        """Delete what was loaded, in a slave."""


class Workload(Protocol):
    """All jobs of a run."""

    def job(self, job_id: JobId) -> Runnable:
        """The job with this id."""

    def maker(self, name: InputId) -> object | None:
        """The job with this id, or that makes this file."""

    def begin_growth(self, job_id: JobId) -> None:
        """A generator's callback is about to be called."""

    def end_growth(self) -> Growth:
        """What it added."""

    def explain(self, invariant: JobId) -> Explanation | None:
        """What a fingerprint is taken of, as it is in this process; None if nobody can say."""


class Surroundings(NamedTuple):
    """What all slaves of a run have in common.

    Attributes
    ----------
    folder
        For this run alone, removed at its end.
    reports
        The end that jobs' processes report by, to the master.
    is_strict
        Jobs may write into the folders of their outputs only.
    """

    workload: Workload
    directory: str
    log_directory: str | None
    folder: str
    reports: End
    grace_seconds: float
    is_strict: bool
    terminal: Mode | None
    threads: ThreadLimits
