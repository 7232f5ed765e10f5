"""Whether there is memory for one more job as things are, and who is ended before there is none.

The coordinator shares out what a run may use; this looks at what is there, which others use, too, and jobs of which
nothing is known. Owns what is expected of running jobs, and what they were last seen to hold. Ends nothing itself.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import NamedTuple, Protocol

from ..coordinator import Room
from ..model import JobId

UNKNOWN_BYTES = 64 << 20
"""What a job is taken to need, until more is seen, of which nothing is known."""

LEAST_BYTES = 64 << 20
"""A job that holds less is not ended: that would help nobody."""

RESERVE_SHARE = 0.02
"""Of all memory; what is left below that is left to the kernel."""

SHORT_SHARE = 0.1
"""Of all memory: where less is available, waiting for memory (PSI) counts."""

WAITING_SHARE = 0.2
"""Of the last `WAITING_SECONDS`, in which somebody waited for memory: then it is short."""

WAITING_SECONDS = 10.0
"""Before it counts again: a share of that time says nothing of what has come of ending a job."""

BYTES_PER_SECOND = 2 << 30
"""About as much a process can take: the kernel clears each page that it gives out."""

LEAST_SECONDS, MOST_SECONDS = 0.05, 1.0
"""Between two looks."""

AHEAD_SECONDS = 0.2
"""It is time to act if nothing would be left after that, should memory go on to shrink as it does."""


class Memory(Protocol):
    """What is asked of the machine (machine.memory.Memory)."""

    total: int

    def available(self) -> int:
        """Bytes that can be had now without swapping."""

    def kills(self) -> int:
        """How many processes the kernel has killed for want of memory so far."""

    def pressure(self) -> float | None:
        """Share of the last ten seconds, 0 to 1, in which some process waited for memory."""


class _Held(NamedTuple):
    """Of a running job: what is expected of it, what it was last seen to hold, what is still to come."""

    expected_bytes: int | None
    seen_bytes: int
    to_come: int


class Pressure:
    """Of one run.

    Parameters
    ----------
    share_bytes
        Of memory, of each core.
    """

    def __init__(self, memory: Memory, share_bytes: int) -> None:
        self._memory = memory
        self._of_unknown = min(share_bytes, UNKNOWN_BYTES)
        self._share_bytes = share_bytes
        self._reserve = int(memory.total * RESERVE_SHARE)
        self._running: dict[JobId, _Held] = {}  # in the order in which they began
        self._to_come = 0
        self._available = memory.available()
        self._shrinks_by = 0.0
        self._looked_at = self._asked_at = self._rests_until = self._waiting_counts_from = -math.inf
        self._is_waited_for = False
        self._unreliable = 0  # running jobs of which nothing is known, or that take more than was expected
        self._unknown = self._unknown_bytes = 0  # of running jobs of which nothing is known: how many, and seen in sum
        self._kills = memory.kills()

    def begin(self, job: JobId, expected_bytes: int | None) -> None:
        """It starts."""
        self._set(job, _Held(expected_bytes, 0, self._still_to_come(expected_bytes, 0)))

    def end(self, job: JobId) -> None:
        """It ended, however it did; nothing if it was not running."""
        held = self._running.pop(job, None)
        if held is not None:
            self._count(held, -1)

    def see(self, job: JobId, seen_bytes: int) -> None:
        """A running job was looked at."""
        held = self._running.get(job)
        if held is not None:
            to_come = self._still_to_come(held.expected_bytes, seen_bytes)
            self._set(job, held._replace(seen_bytes=seen_bytes, to_come=to_come))

    def seen_bytes(self, job: JobId) -> int:
        """What it held when it was last looked at."""
        held = self._running.get(job)
        return 0 if held is None else held.seen_bytes

    def room(self, now: float) -> Room | None:
        """What a job may need that starts now; None: anything, since nothing else runs.

        One of which nothing is known is taken to need as much as those that run hold by now, in the mean.
        """
        if not self._running:
            return None
        self._look(now)
        of_unknown = max(self._of_unknown, self._unknown_bytes // self._unknown) if self._unknown else self._of_unknown
        return Room(self._available - self._reserve - self._to_come, of_unknown)

    def next_look(self) -> float:
        """When `is_short` wants to be asked, on the same clock; infinite if nothing runs that could be ended."""
        if len(self._running) < 2:
            return math.inf
        seconds = self._available / (BYTES_PER_SECOND * len(self._running))
        return max(self._rests_until, self._asked_at + min(MOST_SECONDS, max(LEAST_SECONDS, seconds)))

    def rest(self, until: float) -> None:
        """The next look is not to come before that: there is nobody who could be ended."""
        self._rests_until = until

    def is_short(self, now: float) -> bool:
        """Memory is about to run out: look at what runs, and then end the `victim`."""
        self._asked_at = now
        self._look(now)
        if len(self._running) < 2:
            return False
        self._is_waited_for = False
        if self._available - self._shrinks_by * AHEAD_SECONDS < self._reserve:
            return True
        if self._available > SHORT_SHARE * self._memory.total or now < self._waiting_counts_from:
            return False
        if (self._memory.pressure() or 0.0) <= WAITING_SHARE:
            return False
        self._waiting_counts_from = now + WAITING_SECONDS
        self._is_waited_for = True
        return True

    def _is_running_out(self) -> bool:
        """Should it go on as it does; but room was kept for jobs that take no more than was expected of them."""
        shrinks_by = self._shrinks_by * AHEAD_SECONDS if self._unreliable else 0.0
        return self._available - shrinks_by < self._reserve

    def victim(self, jobs: Iterable[JobId]) -> JobId | None:
        """The youngest of these that holds anything to speak of; None if nobody does.

        The oldest of all that run is not ended: somebody has to get on. Others of which nothing is known are expected
        to grow as much again from then on, so that what is ended does not start before they have ended.
        """
        if len(self._running) < 2 or not (self._is_waited_for or self._is_running_out()):
            return None  # now that it was looked at what runs
        _, *younger = self._running
        may_end = set(jobs)
        for job in reversed(younger):
            if job in may_end and self._running[job].seen_bytes >= LEAST_BYTES:
                self._expect_more()
                return job
        return None

    def _expect_more(self) -> None:
        """Memory ran short: jobs of which nothing is known do not keep to their cores' share."""
        self._share_bytes = self._memory.total
        for job, held in list(self._running.items()):
            self.see(job, held.seen_bytes)

    def was_killed(self) -> bool:
        """Whether the kernel killed a process for want of memory, for which no job was found yet."""
        if self._memory.kills() <= self._kills:
            return False
        self._kills += 1
        return True

    def _look(self, now: float) -> None:
        seconds = now - self._looked_at
        if seconds < LEAST_SECONDS:
            return  # how fast it shrinks can't be told yet
        before, self._available = self._available, self._memory.available()
        self._shrinks_by = max(0.0, (before - self._available) / seconds)
        self._looked_at = now

    def _still_to_come(self, expected_bytes: int | None, seen_bytes: int) -> int:
        if expected_bytes is None:
            expected_bytes = min(self._share_bytes, max(2 * seen_bytes, self._of_unknown))
        return max(0, expected_bytes - seen_bytes)

    def _set(self, job: JobId, held: _Held) -> None:
        before = self._running.get(job)
        if before is not None:
            self._count(before, -1)
        self._count(held, 1)
        self._running[job] = held

    def _count(self, held: _Held, by: int) -> None:
        self._to_come += by * held.to_come
        self._unreliable += by * (held.expected_bytes is None or held.seen_bytes > held.expected_bytes)
        if held.expected_bytes is None:
            self._unknown += by
            self._unknown_bytes += by * held.seen_bytes
