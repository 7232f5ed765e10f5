"""Which jobs that ended without success are started again, and when: after failures, and for want of memory.

Owns how often each failed, and who waits until when. Of a job it is asked before what it held is freed, and it has the
admission see to what the job gets the next time. Tells neither engine nor slaves, and writes nothing down: that is for
the loop, for which a job that is put off runs on.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterable, Mapping

from .admission import Admission
from .events import Event, JobFailed, JobPutOff, JobsLost, Warned
from .model import JobId, JobSpec
from .retries import Attempts, Delays
from .slaves import ended_for_memory, out_of_memory

_MEMORY_SHARE = 0.02
"""Of the time, that may go into looking whom to end for memory, where that is nobody."""


class SecondChances:
    """Of the jobs of one run.

    Parameters
    ----------
    specs
        All jobs; it may grow.
    memory_bytes
        That the run has.
    retries_out_of_memory
        What the kernel killed for want of memory is made again, once and alone.
    show
        Takes what is to be said.
    """

    def __init__(
        self,
        specs: Mapping[JobId, JobSpec],
        admission: Admission,
        memory_bytes: int,
        retries_out_of_memory: bool,
        show: Callable[[Event], None],
    ) -> None:
        self._specs = specs
        self._admission = admission
        self._memory_bytes = memory_bytes
        self._retries_out_of_memory = retries_out_of_memory
        self._show = show
        self._attempts = Attempts()
        self._delays = Delays()
        self._last_failures: dict[JobId, JobFailed] = {}
        # That were asked to end before memory runs out, and may not have ended yet.
        self._ended_for_memory: set[JobId] = set()

    # --- what happened to a job

    def note_started(self, job: JobId) -> None:
        """A job starts: whatever was asked of it before does not count."""
        self._ended_for_memory.discard(job)

    def after_failure(self, event: JobFailed, is_to_end: bool) -> JobFailed | None:
        """How a job has failed in the end; None: it is put off.

        Parameters
        ----------
        is_to_end
            It gets no second chance, whatever happened to it.
        """
        is_out_of_memory = self._admission.was_killed(event.failure)
        if is_out_of_memory:
            event = self._out_of_memory(event)
        if self._put_off(event, is_out_of_memory, is_to_end):
            return None
        return self._told(event)

    def put_off_for_memory(self, job: JobId) -> bool:
        """Make a job that was stopped before memory ran out again when there is more; False: it was not that."""
        if job not in self._ended_for_memory:
            return False
        self._ended_for_memory.discard(job)
        seen_bytes = self._admission.raise_memory(job)
        self._have_wait(JobFailed(job, ended_for_memory(self._specs[job], seen_bytes, self._memory_bytes)), 0.0)
        return True

    def after_loss(self, event: JobsLost) -> tuple[list[JobFailed], JobsLost]:
        """If the kernel killed the slave for memory, what it ran fails if it ran alone; all else is made again."""
        if not event.running or not self._admission.was_slave_killed():
            return [], event
        self._show(
            Warned(
                "the kernel killed a compute slave, since memory ran out",
                mend="What it held is loaded again, and what it ran is made again, but only once, and alone.",
            )
        )
        left, failed = [], []
        for job in event.running:
            ran_alone = self._admission.runs_alone(job)
            seen_bytes = self._admission.raise_memory(job)
            if self._retries_out_of_memory and self._admission.have_alone(job):
                left.append(job)
            else:
                failed.append(
                    JobFailed(job, out_of_memory(self._specs[job], seen_bytes, self._memory_bytes, ran_alone))
                )
        return failed, event._replace(running=tuple(left))

    # --- before memory runs out

    def needs_memory(self, now: float, running: Collection[JobId]) -> bool:
        """It is about to run out, and none of what runs has been asked to end: look at it, and then end `whom_to_end`.

        Parameters
        ----------
        now
            Monotonic, in seconds.
        """
        if not self._admission.is_memory_short(now):
            return False
        self._ended_for_memory.intersection_update(running)
        return not self._ended_for_memory  # otherwise it will be free in a moment

    def whom_to_end(self, jobs: Iterable[JobId], asked_at: float) -> JobId | None:
        """The youngest of these that holds any; None: there is none, and for a while nobody need look again.

        Parameters
        ----------
        asked_at
            Monotonic time of `needs_memory`, in seconds.
        """
        job = self._admission.victim(jobs)
        if job is not None:
            self._ended_for_memory.add(job)
        else:
            done = time.monotonic()
            self._admission.rest_from_memory(done + (done - asked_at) / _MEMORY_SHARE)
        return job

    # --- who waits

    def due(self, now: float) -> list[JobId]:
        """Whose time has come, the earliest first; they wait no more."""
        due = self._delays.due(now)
        for job in due:
            del self._last_failures[job]
        return due

    def next_due(self) -> float | None:
        """Monotonic time at which the next one is; None: nobody waits."""
        return self._delays.next_due()

    def until(self, job: JobId) -> float | None:
        """Monotonic time at which a job is; None: it does not wait."""
        return self._delays.until(job)

    def give_up(self) -> list[JobFailed]:
        """How those have failed that wait: none of them is tried again."""
        return [self._told(self._last_failures.pop(job)) for job in self._delays.drop_all()]

    # ---

    def _put_off(self, event: JobFailed, is_out_of_memory: bool, is_to_end: bool) -> bool:
        """False: it is not tried again."""
        spec = self._specs[event.job]
        is_again = is_out_of_memory and not is_to_end and self._retries_out_of_memory
        if is_again and self._admission.have_alone(event.job):
            self._have_wait(event, 0.0)
            return True
        attempt = self._attempts.note_failed(event.job)
        if is_to_end or not self._attempts.may_go_on(spec, event.failure):
            return False
        self._have_wait(event, spec.retry_seconds, attempt, spec.retries + 1)
        return True

    def _have_wait(self, event: JobFailed, seconds: float, attempt: int = 0, of: int = 0) -> None:
        self._last_failures[event.job] = event
        self._delays.put_off(event.job, time.monotonic() + seconds)
        self._show(JobPutOff(event.job, event.failure, time.time() + seconds, attempt, of, event.usage))

    def _out_of_memory(self, event: JobFailed) -> JobFailed:
        """What the kernel killed is named as that."""
        ran_alone = self._admission.runs_alone(event.job)
        seen_bytes = self._admission.raise_memory(event.job, event.usage.peak_bytes)
        spec = self._specs[event.job]
        return event._replace(failure=out_of_memory(spec, seen_bytes, self._memory_bytes, ran_alone))

    def _told(self, event: JobFailed) -> JobFailed:
        return event._replace(failure=self._attempts.told(event.job, event.failure))
