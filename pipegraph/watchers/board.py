"""Where the run stands, from its events: what each job is doing, what it waits for, why it ran.

Owns the facts that screens, answers and files show; draws nothing. Its cost per event is a few dictionary operations,
whatever the number of jobs.
"""

from __future__ import annotations

import enum
import heapq
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from ..estimates import Estimates
from ..events import (
    Event,
    FilesRead,
    GraphGrew,
    JobBlocked,
    JobFailed,
    JobNotNeeded,
    JobPutOff,
    JobsLost,
    JobsSeen,
    JobStarted,
    JobStopped,
    JobSucceeded,
    JobsUpToDate,
    JobUpToDate,
    RunBegan,
    RunEnded,
    StopRequested,
)
from ..model import Counts, InputId, JobId, JobSpec, Reason, Role, Sighting
from .overview import SHOWN_JOBS, FailedJob, Overview, RunningJob, WaitingJob
from .wording import headline_of, reading_of, why_put_off


class JobState(enum.Enum):
    """What came of a job. The values are the words that people read."""

    WAITING = "waiting"
    RUNNING = "running"
    MADE = "made"
    UP_TO_DATE = "up to date"
    NOT_NEEDED = "not needed"
    FAILED = "failed"
    BLOCKED = "blocked"
    STOPPED = "stopped"

    __hash__ = object.__hash__  # Enum's own is written in Python, and is asked several times an event


_WAITING, _RUNNING, _MADE, _GENERATOR = JobState.WAITING, JobState.RUNNING, JobState.MADE, Role.GENERATOR
"""To ask an enum for a member takes as long as what is done with it."""


class Board:
    """All facts of one run.

    Parameters
    ----------
    specs
        All jobs by id, those that come later, too: the loop keeps it.

    Attributes
    ----------
    file_of
        Where all is written that is known of a failed job; empty for nowhere.
    running_jobs
        When each was started, the oldest first; those that a slave was handed ahead are among them.
    culprit_of
        The failed job because of which one is blocked.
    reasons_of
        Why a job was started.
    reading
        Which files are being read to see whether they changed, and how far that is; empty: none.
    is_stopping
        Somebody wants the run to end.
    is_paused, is_again, cores
        As the user wants it; set by the loop.
    estimates
        How long jobs take; also the loop asks it.
    """

    def __init__(self, specs: Mapping[JobId, JobSpec]) -> None:
        self.specs = specs
        self.file_of: Callable[[JobId], str] = lambda job: ""
        self._state: dict[JobId, JobState] = {}
        self._count = dict.fromkeys(JobState, 0)
        self._generators = 0
        self._brought_back = 0
        self._began: RunBegan | None = None
        self._ended: RunEnded | None = None
        self._is_decided = False
        self.reading = ""
        self.is_stopping = False
        self.running_jobs: dict[JobId, float] = {}
        self._cores_of: dict[JobId, int] = {}
        self._sightings: dict[JobId, Sighting] = {}
        self._failures: dict[JobId, str] = {}
        self._put_off: dict[JobId, JobPutOff] = {}
        self._blocks: dict[JobId, int] = {}
        self._injected: dict[JobId, list[InputId]] = {}
        self._maker_of: dict[InputId, JobId] = {}
        self.estimates = Estimates()
        self.culprit_of: dict[JobId, JobId] = {}
        self.reasons_of: dict[JobId, tuple[Reason, ...]] = {}
        self.is_paused = self.is_again = False
        self.cores = 0
        self._handlers: dict[type, Callable[[Any], None]] = {
            RunBegan: self._on_run_began,
            FilesRead: self._on_read,
            GraphGrew: self._on_grew,
            JobStarted: self._on_started,
            JobSucceeded: self._on_succeeded,
            JobFailed: self._on_failed,
            JobPutOff: self._on_put_off,
            JobBlocked: self._on_blocked,
            JobStopped: lambda event: self._move(event.job, JobState.STOPPED if event.has_begun else JobState.WAITING),
            JobUpToDate: lambda event: self._move(event.job, JobState.UP_TO_DATE),
            JobsUpToDate: self._on_up_to_date,
            JobNotNeeded: lambda event: self._move(event.job, JobState.NOT_NEEDED),
            JobsLost: self._on_lost,
            JobsSeen: self._on_seen,
            StopRequested: self._on_stop,
            RunEnded: self._on_run_ended,
        }

    def see(self, event: Event) -> None:
        """Something happened."""
        handler = self._handlers.get(type(event))
        if handler is not None:
            handler(event)

    # --- what is asked

    def state_of(self, job: JobId) -> JobState | None:
        """None: there is no such job."""
        return self._state.get(job)

    def jobs(self) -> Iterable[JobId]:
        """All but invariants."""
        return self._state

    def jobs_in(self, state: JobState) -> Iterator[JobId]:
        """Looks at all jobs, but for the running ones."""
        if state is JobState.RUNNING:
            return iter(self.running_jobs)
        return (job for job, its in self._state.items() if its is state)

    @property
    def total(self) -> int:
        """Jobs so far; generators add to them."""
        return len(self._state)

    @property
    def waiting(self) -> int:
        """Jobs that have not begun."""
        return self._count[JobState.WAITING]

    @property
    def failed(self) -> int:
        """Jobs that failed."""
        return self._count[JobState.FAILED]

    @property
    def settled(self) -> int:
        """Jobs of which nothing more is to come."""
        return self.total - self.waiting - len(self.running_jobs)

    def waits_for(self, job: JobId) -> list[JobId]:
        """The inputs of a job of which something is to come; none: it waits for cores or memory, or its turn."""
        found: list[JobId] = []
        for name in (*self.specs[job].inputs, *self._injected.get(job, ())):
            maker = name if name in self._state else self._maker_of.get(name, name)
            if self._state.get(maker) in (JobState.WAITING, JobState.RUNNING) and maker not in found:
                found.append(maker)
        return found

    def put_off(self, most: int = SHOWN_JOBS) -> list[WaitingJob]:
        """Jobs that will be tried again, the next one first."""
        return [
            WaitingJob(
                each.job,
                str(self.specs[each.job].place),
                why_put_off(each),
                each.until,
                each.attempt,
                each.of,
            )
            for each in heapq.nsmallest(most, self._put_off.values(), key=lambda event: event.until)
        ]

    def failures(self, most: int = SHOWN_JOBS) -> list[FailedJob]:
        """Those first that block most; then in the order in which they failed."""
        order = heapq.nsmallest(most, self._failures, key=lambda job: -self._blocks.get(job, 0))
        return [self.failure_of(job) for job in order]

    def failure_of(self, job: JobId) -> FailedJob:
        """A job that has failed."""
        spec = self.specs.get(job)
        place = "" if spec is None else str(spec.place)
        return FailedJob(job, place, self._failures.get(job, ""), self._blocks.get(job, 0), self.file_of(job))

    def running(self) -> list[RunningJob]:
        """The longest first; a job that a slave was handed ahead is not among them until a core is free for it."""
        cores = self.cores
        found: list[RunningJob] = []
        for job, started_at in self.running_jobs.items():
            cores -= self._cores_of[job]
            if cores < 0 and found:
                break
            spec, seen = self.specs[job], self._sightings.get(job)
            shown = RunningJob(job, str(spec.place), started_at, self._cores_of[job], self.estimates.seconds_of(spec))
            if seen is not None:
                shown = shown._replace(**{name: getattr(seen, name) for name in Sighting._fields})
            found.append(shown)
        return found

    def counts(self) -> Counts:
        """How the run ended, if it ends now; the failed jobs in the order in which they failed."""
        count = self._count
        return Counts(
            count[JobState.MADE] - self._generators - self._brought_back,
            count[JobState.UP_TO_DATE],
            count[JobState.NOT_NEEDED],
            count[JobState.FAILED],
            count[JobState.BLOCKED],
            count[JobState.STOPPED],
            self._generators,
            tuple(self._failures),
            self._brought_back,
        )

    def overview(self, now: float) -> Overview:
        """All of it; `now` in seconds since 1970."""
        began, ended = self._began, self._ended
        assert began is not None
        count = self._count
        if ended is None and self._is_decided and not self.estimates.is_begun:
            jobs = [(self.specs[job], state) for job, state in self._state.items()]
            self.estimates.begin((spec for spec, _ in jobs), (spec for spec, state in jobs if _is_open(state)))
        running = [] if ended is not None else self.running()
        estimate = None
        if ended is None and self._is_decided:
            elapsed = [(self.specs[each.job], now - each.started_at) for each in running]
            estimate = self.estimates.left(elapsed, self.cores)
        return Overview(
            began.run_id,
            began.script,
            began.directory,
            began.host,
            began.pid,
            began.version,
            self.cores,
            began.at,
            now if ended is None else ended.at,
            0.0 if ended is None else ended.at,
            0 if ended is None else ended.stopped_by,
            self.is_stopping,
            self.is_paused,
            self.is_again,
            self._is_decided,
            self.total,
            count[JobState.MADE] - self._generators - self._brought_back,
            self._generators,
            count[JobState.UP_TO_DATE],
            count[JobState.NOT_NEEDED],
            count[JobState.WAITING] + count[JobState.RUNNING] - len(running),
            count[JobState.STOPPED],
            count[JobState.BLOCKED],
            len(running),
            count[JobState.FAILED],
            tuple(running[:SHOWN_JOBS]),
            tuple(self.failures()),
            estimate,
            self._brought_back,
            self.reading,
            tuple(self.put_off()),
        )

    # --- what happens

    def _move(self, job: JobId, state: JobState, seconds: float | None = None) -> None:
        before = self._state.get(job)
        if before is None or before is state:
            return
        self._state[job] = state
        if self._put_off:
            self._put_off.pop(job, None)
        self._count[before] -= 1
        self._count[state] += 1
        if before is _RUNNING:
            del self.running_jobs[job]
            del self._cores_of[job]
            self._sightings.pop(job, None)
        if self.estimates.is_begun and _is_open(before) is not _is_open(state):
            self.estimates.change(self.specs[job], 1 if _is_open(state) else -1)
        if seconds is not None:
            self.estimates.learn(self.specs[job], seconds)

    def _on_run_began(self, event: RunBegan) -> None:
        self._began = event
        self.cores = self.estimates.cores = event.cores

    def _on_grew(self, event: GraphGrew) -> None:
        self.estimates.remember(event.pasts)
        new = 0
        invariant, waiting = Role.INVARIANT, JobState.WAITING  # to ask an enum takes long, for each of a million
        for spec in event.jobs:
            if spec.role is invariant or spec.id in self._state:
                continue
            self._state[spec.id] = waiting
            new += 1
            if self.estimates.is_begun:
                self.estimates.change(spec, 1)
            if len(spec.outputs) > 1:
                for path in spec.outputs:
                    self._maker_of[path] = spec.id
        self._count[JobState.WAITING] += new
        for dependent, name in event.edges:
            self._injected.setdefault(dependent, []).append(name)
        self._is_decided = True

    def _on_read(self, event: FilesRead) -> None:
        self.reading = reading_of(event)

    def _on_started(self, event: JobStarted) -> None:
        self._move(event.job, _RUNNING)
        self.running_jobs[event.job] = event.at
        self._cores_of[event.job] = event.cores
        self.reasons_of[event.job] = event.reasons

    def _on_succeeded(self, event: JobSucceeded) -> None:
        self._move(event.job, _MADE, None if event.brought_back else event.usage.seconds)
        self._brought_back += bool(event.brought_back)
        self._generators += self.specs[event.job].role is _GENERATOR

    def _on_failed(self, event: JobFailed) -> None:
        if event.job not in self._state:  # an invariant that could not be measured
            self._state[event.job] = JobState.FAILED
            self._count[JobState.FAILED] += 1
        self._move(event.job, JobState.FAILED)
        self._failures[event.job] = headline_of(event.failure)

    def _on_put_off(self, event: JobPutOff) -> None:
        self._move(event.job, JobState.WAITING)
        self._put_off[event.job] = event

    def _on_blocked(self, event: JobBlocked) -> None:
        self._move(event.job, JobState.BLOCKED)
        self._blocks[event.culprit] = self._blocks.get(event.culprit, 0) + 1
        self.culprit_of[event.job] = event.culprit

    def _on_up_to_date(self, event: JobsUpToDate) -> None:
        state_of = self._state
        waiting, up_to_date = JobState.WAITING, JobState.UP_TO_DATE
        if {*map(state_of.get, event.jobs)} != {waiting}:
            for job in event.jobs:
                self._move(job, up_to_date)
            return
        for job in event.jobs if self.estimates.is_begun else ():
            self.estimates.change(self.specs[job], -1)
        state_of.update(dict.fromkeys(event.jobs, up_to_date))
        self._count[waiting] -= len(event.jobs)
        if not self._count[waiting] and not self.running_jobs:
            self.estimates.forget()
        self._count[up_to_date] += len(event.jobs)

    def _on_lost(self, event: JobsLost) -> None:
        for job in (*event.running, *event.memory):
            if self._state.get(job) is JobState.MADE:
                self._generators -= self.specs[job].role is Role.GENERATOR
            self._move(job, JobState.WAITING)

    def _on_seen(self, event: JobsSeen) -> None:
        self._sightings = {seen.job: seen for seen in event.jobs if seen.job in self.running_jobs}

    def _on_stop(self, event: StopRequested) -> None:
        self.is_stopping = True

    def _on_run_ended(self, event: RunEnded) -> None:
        self._ended = event


def _is_open(state: JobState) -> bool:
    return state is _WAITING or state is _RUNNING
