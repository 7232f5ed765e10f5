"""What a person wants to know of a run at one moment, as plain data. Shown on screens, kept in a file, read back."""

from __future__ import annotations

import json
from typing import Any, NamedTuple

from ..estimates import Estimate
from ..model import JobId

SHOWN_JOBS = 200
"""Of running and of failed jobs; the others are counted."""


class RunningJob(NamedTuple):
    """A job that runs.

    Attributes
    ----------
    started_at
        Seconds since 1970.
    expected_seconds
        Wall time that it will take in all, from earlier runs of it or of its like; None where nothing is known.
    pid
        0: not known.
    own_bytes
        Memory of it and all that it started, beyond what it inherited.
    """

    job: JobId
    place: str
    started_at: float
    cores: int
    expected_seconds: float | None = None
    pid: int = 0
    processes: int = 0
    own_bytes: int = 0
    last_line: str = ""


class FailedJob(NamedTuple):
    """A job that failed, and how many others it blocks; `file` has all that is known of it."""

    job: JobId
    place: str
    headline: str
    blocked: int
    file: str = ""


class WaitingJob(NamedTuple):
    """A job that was put off and will be made again: when (seconds since 1970), after which attempt of how many.

    Of 0: it was no fault of the job.
    """

    job: JobId
    place: str
    headline: str
    until: float
    attempt: int
    of: int


class Overview(NamedTuple):
    """A run at one moment.

    Attributes
    ----------
    began_at, at, ended_at
        Seconds since 1970; `ended_at` is 0 while it goes on.
    total
        Jobs, invariants not counted; generators add to them.
    running
        The longest first, and no more than `SHOWN_JOBS`; `running_jobs` counts them all.
    failed
        Those first that block most.
    reading
        Which files are being read to see whether they changed, in words.
    put_off
        The first that is due first, and no more than `SHOWN_JOBS`; all of them are among the waiting ones.
    """

    run_id: str
    script: str
    directory: str
    host: str
    pid: int
    version: str
    cores: int
    began_at: float
    at: float
    ended_at: float = 0.0
    stopped_by: int = 0
    is_stopping: bool = False
    is_paused: bool = False
    is_again: bool = False
    is_decided: bool = False
    total: int = 0
    made: int = 0
    generators: int = 0
    up_to_date: int = 0
    not_needed: int = 0
    waiting: int = 0
    stopped: int = 0
    blocked: int = 0
    running_jobs: int = 0
    failed_jobs: int = 0
    running: tuple[RunningJob, ...] = ()
    failed: tuple[FailedJob, ...] = ()
    estimate: Estimate | None = None
    brought_back: int = 0
    reading: str = ""
    put_off: tuple[WaitingJob, ...] = ()

    @property
    def settled(self) -> int:
        """Jobs of which nothing more is to come."""
        return (
            self.made
            + self.brought_back
            + self.generators
            + self.up_to_date
            + self.not_needed
            + self.failed_jobs
            + self.blocked
            + self.stopped
        )

    def to_json(self) -> str:
        """For a file."""
        return json.dumps(
            {
                **self._asdict(),
                "running": [each._asdict() for each in self.running],
                "failed": [each._asdict() for each in self.failed],
                "put_off": [each._asdict() for each in self.put_off],
                "estimate": self.estimate and self.estimate._asdict(),
            },
            indent=1,
        )

    @classmethod
    def from_json(cls, text: str) -> Overview:
        """What `to_json` gave.

        Raises
        ------
        ValueError
            It is something else.
        """
        try:
            values: dict[str, Any] = json.loads(text)
            values["running"] = tuple(RunningJob(**each) for each in values["running"])
            values["failed"] = tuple(FailedJob(**each) for each in values["failed"])
            values["put_off"] = tuple(WaitingJob(**each) for each in values.get("put_off", ()))
            values["estimate"] = Estimate(**values["estimate"]) if values["estimate"] else None
            return cls(**{name: value for name, value in values.items() if name in cls._fields})
        except (TypeError, KeyError, AttributeError) as error:
            raise ValueError(f"not the state of a run: {error}") from error
