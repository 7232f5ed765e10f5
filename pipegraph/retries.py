"""Jobs that are put off: how often each was tried in this run, and who waits until when.

Only counts and remembers; what is put off, and what becomes of it, the loop decides. Times are monotonic seconds.
"""

from __future__ import annotations

from .model import Failure, FailureKind, JobId, JobSpec

_NOT_AGAIN = frozenset((FailureKind.NOT_RECORDED, FailureKind.TOO_DEMANDING, FailureKind.NOT_MEASURED))
"""What another attempt would not change."""


class Attempts:
    """How often jobs have failed."""

    def __init__(self) -> None:
        self._failed: dict[JobId, int] = {}

    def note_failed(self, job: JobId) -> int:
        """Which attempt it was that failed now; the first is 1."""
        self._failed[job] = self._failed.get(job, 0) + 1
        return self._failed[job]

    def may_go_on(self, spec: JobSpec, failure: Failure) -> bool:
        """Whether a job that has just failed so is to be tried again."""
        return self._failed[spec.id] <= spec.retries and failure.kind not in _NOT_AGAIN

    def told(self, job: JobId, failure: Failure) -> Failure:
        """How a job failed in the end, with how often it was tried."""
        times = self._failed.get(job, 0)  # of one that was put off for want of memory, none may count
        if times <= 1:
            return failure
        first, end, rest = failure.message.partition("\n")
        return failure._replace(message=f"{first} (tried {times} times)".lstrip() + end + rest)


class Delays:
    """Who waits until when."""

    def __init__(self) -> None:
        self._until: dict[JobId, float] = {}

    def __contains__(self, job: object) -> bool:
        return job in self._until

    def put_off(self, job: JobId, until: float) -> None:
        """It is due then; what was said before of it does not count."""
        self._until[job] = until

    def until(self, job: JobId) -> float | None:
        """When it is due; None: it does not wait."""
        return self._until.get(job)

    def due(self, now: float) -> list[JobId]:
        """Whose time has come, the earliest first; they wait no more."""
        found = sorted([job for job, until in self._until.items() if until <= now], key=self._until.__getitem__)
        for job in found:
            del self._until[job]
        return found

    def next_due(self) -> float | None:
        """When the next one is; None: nobody waits."""
        return min(self._until.values(), default=None)

    def drop(self, job: JobId) -> None:
        """It does not wait, if it did."""
        self._until.pop(job, None)

    def drop_all(self) -> list[JobId]:
        """Nobody waits any more; who did, in the order in which they were put off."""
        found = list(self._until)
        self._until.clear()
        return found
