"""The resource coordinator: how many cores and how much memory there are, and who starts next.

Owns what is queued and what is taken. Starts nothing itself: the loop asks for what can start now. Jobs start in
the order in which they became ready; smaller ones overtake one that does not fit, but only so often, so that
a job that wants all cores gets them in the end.
"""

from __future__ import annotations

from collections import deque
from typing import NamedTuple

from ..model import Failure, FailureKind, Grant, JobId, JobSpec, Role

SHORT_SECONDS = 0.02
"""Where jobs take less than this, it pays to save the way from a slave to the master and back."""

SHARED_AHEAD_PER_CORE = 8
"""How many jobs that share a process are told ahead; of others one, since the way back is short beside a fork."""

OVERTAKES_PER_CORE = 4
"""How many later jobs, per core, may start before one that does not fit; then the cores are left to run empty."""


class _Needs(NamedTuple):
    """`cores` as the job says it: -1 is all, -2 all but one, of what there is when it starts."""

    cores: int
    memory_bytes: int
    changes_slave: bool


_SIMPLE = _Needs(1, 0, False)
_OUTPUT = Role.OUTPUT


class Coordinator:
    """Hands out cores and memory for one run.

    Where jobs are short, a slave is told some of them *ahead*: it starts one as soon as another of its jobs ends, on
    the core of that one, without asking. Such a job holds nothing until it has begun.

    Parameters
    ----------
    cores
        How many jobs of one core run side by side.
    memory_bytes
        The sum of what running jobs may have asked for.
    """

    def __init__(self, cores: int, memory_bytes: int) -> None:
        self.cores = self._most_cores = cores
        self.memory_bytes = memory_bytes
        self._free_cores = cores
        self._free_memory = memory_bytes
        self._is_changing = False
        self._queues: dict[_Needs, deque[tuple[int, JobSpec]]] = {}
        self._ticket_of: dict[JobId, int] = {}
        self._tickets = 0
        self._running: dict[JobId, tuple[_Needs, int]] = {}
        self._overtaken: tuple[int, int] = (-1, 0)
        self._ahead: dict[JobId, _Needs] = {}
        self._recent_seconds = SHORT_SECONDS

    @property
    def running(self) -> tuple[JobId, ...]:
        """The jobs that hold cores."""
        return tuple(self._running)

    def cores_of(self, job: JobId) -> int:
        """Cores that a running job holds, or will hold."""
        return self._running[job][1] if job in self._running else self._cores(self._ahead[job])

    def grant_of(self, spec: JobSpec) -> Grant:
        """What a job may use that runs, or is told ahead: of memory that it asked for, or as much as of the cores."""
        cores = self.cores_of(spec.id)
        memory_bytes = spec.memory_bytes if spec.memory_bytes >= 0 else self.memory_bytes * cores // self.cores
        return Grant(cores, memory_bytes)

    def set_cores(self, cores: int) -> None:
        """From now on so many; what runs goes on, and a job that needs more gets all there are."""
        self._free_cores += cores - self.cores
        self.cores = cores
        self._most_cores = max(cores, self._most_cores)

    def objection_to(self, spec: JobSpec) -> Failure | None:
        """Why this job can never start here; None if it can."""
        needs = self._needs(spec)
        if needs.cores <= self._most_cores and needs.memory_bytes <= self.memory_bytes:
            return None
        if needs.cores > self._most_cores:
            wanted, there = f"{needs.cores} cores", f"{self._most_cores}"
        else:
            wanted, there = f"{needs.memory_bytes:,} bytes of memory", f"{self.memory_bytes:,}"
        return Failure(
            FailureKind.TOO_DEMANDING,
            "pipegraph.errors.JobContractError",
            f"a job needs more than there is\n    job:   {spec.id} ({spec.place})\n    needs: {wanted}\n"
            f"    there: {there}\nLower cores_needed or memory_needed (cores_needed = -1 means all there are).",
        )

    def submit(self, spec: JobSpec) -> None:
        """Queue a job that is ready."""
        self._tickets += 1
        self._ticket_of[spec.id] = self._tickets
        self._queues.setdefault(self._needs(spec), deque()).append((self._tickets, spec))

    def withdraw(self, job: JobId) -> None:
        """A queued job is not to start."""
        self._ticket_of.pop(job, None)

    def next_start(self) -> JobSpec | None:
        """The job that starts now, its cores taken; None if nothing fits, or `next_turn` knows one."""
        if self._free_cores <= 0 or self._ahead:
            return None
        best: _Needs | None = None
        best_ticket = oldest_unfit = 0
        for needs, queue in list(self._queues.items()):
            if not self._queue(needs):
                continue
            ticket = queue[0][0]
            if needs.changes_slave and self._is_changing:
                continue
            if self._cores(needs) <= self._free_cores and needs.memory_bytes <= self._free_memory:
                if best is None or ticket < best_ticket:
                    best, best_ticket = needs, ticket
            elif not oldest_unfit or ticket < oldest_unfit:
                oldest_unfit = ticket
        if best is None:
            return None
        if oldest_unfit and oldest_unfit < best_ticket:
            waiting, times = self._overtaken
            times = times + 1 if waiting == oldest_unfit else 1
            if times > OVERTAKES_PER_CORE * self.cores:
                return None
            self._overtaken = (oldest_unfit, times)
        spec = self._queues[best].popleft()[1]
        del self._ticket_of[spec.id]
        self._take(spec.id, best)
        return spec

    def next_ahead(self) -> JobSpec | None:
        """A job to be told ahead; None if there is none that would be next, or if it does not pay."""
        told = len(self._ahead)
        if self._free_cores or told >= self.cores * SHARED_AHEAD_PER_CORE or self._recent_seconds >= SHORT_SECONDS:
            return None
        queue = self._queue(_SIMPLE)
        if queue and told >= self.cores and not queue[0][1].shares_process:
            return None
        if not queue:
            return None
        if len(self._queues) > 1 and any(
            other[0][0] < queue[0][0] for other in map(self._queue, list(self._queues)) if other
        ):
            return None
        spec = queue.popleft()[1]
        del self._ticket_of[spec.id]
        self._ahead[spec.id] = _SIMPLE
        return spec

    def begin(self, job: JobId) -> None:
        """A job that was told ahead has begun; nothing if its turn had come already."""
        needs = self._ahead.pop(job, None)
        if needs is not None:
            self._take(job, needs)

    def next_turn(self) -> JobId | None:
        """The job that was told ahead whose turn has come, since a core is free; it holds that core now."""
        if not self._ahead or self._free_cores <= 0:
            return None
        job = next(iter(self._ahead))
        self.begin(job)
        return job

    def end(self, job: JobId, seconds: float = SHORT_SECONDS) -> None:
        """A job ended, however it did and after whatever time: what it held is free again."""
        self._recent_seconds = max(seconds, self._recent_seconds / 2)
        self._ahead.pop(job, None)
        taken = self._running.pop(job, None)
        if taken is not None:
            needs, cores = taken
            self._free_cores += cores
            self._free_memory += needs.memory_bytes
            self._is_changing = self._is_changing and not needs.changes_slave

    def _take(self, job: JobId, needs: _Needs) -> None:
        cores = self._cores(needs)
        self._free_cores -= cores
        self._free_memory -= needs.memory_bytes
        self._is_changing = self._is_changing or needs.changes_slave
        self._running[job] = needs, cores

    def _cores(self, needs: _Needs) -> int:
        if needs.cores < 0:
            return max(1, self.cores + 1 + needs.cores)
        return min(needs.cores, self.cores)

    def _queue(self, needs: _Needs) -> deque[tuple[int, JobSpec]] | None:
        """Who waits with these needs, those that were withdrawn left out; None if nobody does."""
        queue = self._queues.get(needs)
        if queue is None:
            return None
        while queue and self._ticket_of.get(queue[0][1].id) != queue[0][0]:
            queue.popleft()
        if not queue:
            del self._queues[needs]
            return None
        return queue

    def _needs(self, spec: JobSpec) -> _Needs:
        if spec.cores == 1 and spec.memory_bytes <= 0 and spec.role is _OUTPUT and not spec.in_memory:
            return _SIMPLE
        return _Needs(spec.cores, max(0, spec.memory_bytes), spec.role is Role.GENERATOR or spec.in_memory)
