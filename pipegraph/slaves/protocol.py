"""What slaves need to know of the jobs that they call."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Protocol

from ..model import Grant, Growth, InputId, JobId, Place
from ..programs import Launch


class Runnable(Protocol):
    """A job object, inherited by fork."""

    job_id: JobId
    place: Place
    empty_ok: frozenset[str]
    rename_broken: bool
    changes_slave: bool
    is_generator: bool
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

    def launch(self, environment: Mapping[bytes, bytes]) -> Launch | None:
        """The external program that is all of this job; None if `run` has to be called. Asked where `is_program`."""

    def release(self) -> None:
        """Delete what was loaded, in a slave."""


class Workload(Protocol):
    """All jobs of a run."""

    def job(self, job_id: JobId) -> Runnable:
        """The job with this id."""

    def begin_growth(self, job_id: JobId) -> None:
        """A generator's callback is about to be called."""

    def end_growth(self) -> Growth:
        """What it added."""
