"""The resource coordinator: what there is, what is taken, who waits, and who starts next.

Owns what is queued and what is taken. Starts nothing itself and knows no clock: the loop asks for what can start, and
says what time it is. Jobs start by priority, and where that is equal in the order in which they became ready. One that
does not fit is promised room, and others pass it in so far as `gaps` lets them.

What waits lies in heaps, one for all jobs of the same needs and about the same memory, of which only the first is
looked at: to decide costs as much as there are different needs, however many wait.

Longer than other files: queues, sums and the choice change together, at one start or end.
"""

from __future__ import annotations

import math
from bisect import bisect_left, insort
from collections.abc import Callable, Iterator, Mapping
from heapq import heappop, heappush
from typing import NamedTuple

from ..errors import RuntimeException
from ..model import Failure, Grant, JobId, JobSpec
from .gaps import (
    NOTHING,
    OVERTAKES_PER_CORE,
    Amount,
    Patience,
    Promise,
    is_counted,
    is_harmless,
    later_end,
    promise,
)
from .needs import Held, Needs, about, needs_of, objection_to

SHORT_SECONDS = 0.02
"""Where jobs take less than this, it pays to save the way from a slave to the master and back."""

SHARED_AHEAD_PER_CORE = 8
"""How many jobs that share a process are told ahead; of others one, since the way back is short beside a fork."""


class Offer(NamedTuple):
    """The job that would start now, and what it would take; `overtakes`: tickets of those to which that is counted."""

    spec: JobSpec
    cores: int
    memory_bytes: int
    overtakes: tuple[int, ...] = ()


class Room(NamedTuple):
    """Of memory, as things are.

    Attributes
    ----------
    memory_bytes
        A job that starts now may need so much; it may be below 0.
    of_unknown
        What one is taken to need of which nothing is known.
    """

    memory_bytes: int
    of_unknown: int

    def holds(self, memory_bytes: int) -> bool:
        """A job that needs so much may start; below 0: nothing is known of it."""
        return (self.of_unknown if memory_bytes < 0 else memory_bytes) <= self.memory_bytes


class Expected(NamedTuple):
    """What is expected of a job.

    Attributes
    ----------
    priority
        The higher, the sooner: the seconds of the longest way to an end that begins with this job.
    seconds
        What it will take; None: unknown.
    memory_bytes
        What was learnt of it, which counts if it declares none; None: unknown. If that is more than there is, it runs
        alone.
    """

    priority: float = 0.0
    seconds: float | None = None
    memory_bytes: int | None = None


class _Waiting(NamedTuple):
    """In the order in which they start: `order` is the negated priority. No two have the same ticket."""

    order: float
    ticket: int
    spec: JobSpec
    needs: Needs
    seconds: float | None
    """What it will take."""


class _Running(NamedTuple):
    spec: JobSpec
    needs: Needs
    cores: int
    started: float
    end: float
    """When it is expected to end; infinite where that is not known."""
    ticket: int


def _end(started: float, seconds: float | None) -> float:
    return math.inf if seconds is None else started + seconds


def _kind(needs: Needs) -> Needs:
    """The same for all of about the same memory."""
    return needs if needs.memory_bytes <= 0 else needs._replace(memory_bytes=about(needs.memory_bytes))


class Coordinator:
    """Hands out cores, memory and named resources for one run.

    A job takes the memory that it declares; else what was learnt of it; else its cores' share of all: of jobs of which
    nothing is known there are never more than fit, and beside them a large one counts as so many cores' worth.

    Where jobs are short, a slave is told some of them *ahead*: it starts one as soon as another of its jobs ends, on
    the core of that one, without asking. Such a job holds nothing until it has begun.

    Parameters
    ----------
    cores
        How many jobs of one core run side by side.
    memory_bytes
        The sum of what running jobs may take.
    pools
        Named resources, and how many there are of each.
    """

    def __init__(self, cores: int, memory_bytes: int, pools: Mapping[str, int] = NOTHING) -> None:
        self.cores = self._most_cores = cores
        self.memory_bytes = memory_bytes
        self.pools = dict(pools)
        self._free_cores = cores
        self._lent = 0
        self._free_of = dict(pools)
        self._memory_taken = 0  # by those of which something is known; the others take as many shares as cores:
        self._cores_of_unknown = 0
        self._beyond_share = 0  # how many running jobs take more memory than their cores' share
        self._alone: JobId | None = None
        self._is_changing = False
        self._queues: dict[Needs, list[_Waiting]] = {}
        self._heads: list[_Waiting] = []  # the first of each queue, in order
        self._waiting: dict[JobId, _Waiting] = {}
        self._tickets = 0
        self._patience: dict[int, Patience] = {}
        self._running: dict[JobId, _Running] = {}
        self._ends: list[tuple[float, int, JobId]] = []  # of those that run, when, in order
        self._ahead: dict[JobId, _Waiting] = {}
        self._cores_ahead = cores  # the fewest since the first was told, each with its share of memory
        self._recent_seconds = SHORT_SECONDS

    # --- what there is, and who has it

    @property
    def running(self) -> tuple[JobId, ...]:
        """The jobs that hold cores."""
        return tuple(self._running)

    @property
    def free_cores(self) -> int:
        """Below 0 where cores were taken away, and what runs still holds more."""
        return self._free_cores

    @property
    def free_memory(self) -> int:
        """Bytes that no running job may take."""
        return self.memory_bytes - self.held.memory_bytes

    @property
    def held(self) -> Held:
        """What running jobs hold in sum."""
        shares = self._cores_of_unknown * (self.memory_bytes // self.cores)
        return Held(self.cores - self._free_cores, self._memory_taken + shares)

    def cores_of(self, job: JobId) -> int:
        """Cores that a running job holds, or will hold."""
        return self._running[job].cores if job in self._running else self._cores(self._ahead[job].needs)

    def grant_of(self, spec: JobSpec) -> Grant:
        """What a job may use that runs, or is told ahead: of memory that it asked for, or as much as of the cores."""
        cores = self.cores_of(spec.id)
        memory_bytes = spec.memory_bytes if spec.memory_bytes >= 0 else self.memory_bytes * cores // self.cores
        return Grant(cores, memory_bytes)

    @property
    def waiting(self) -> int:
        """How many jobs are queued."""
        return len(self._waiting)

    def set_lent(self, cores: int) -> None:
        """So many are not for jobs now: programs of jobs use them."""
        self._free_cores += self._lent - cores
        self._lent = cores

    def set_cores(self, cores: int) -> None:
        """From now on so many; what runs goes on, and a job that needs more gets all there are."""
        self._free_cores += cores - self.cores
        self.cores = cores
        self._most_cores = max(cores, self._most_cores)
        self._cores_ahead = min(cores, self._cores_ahead)
        self._beyond_share = sum(map(self._is_beyond_share, self._running.values()))

    def objection_to(self, spec: JobSpec) -> Failure | None:
        """Why this job can never start here; None if it can."""
        return objection_to(self._needs(spec), spec, self._most_cores, self.memory_bytes, self.pools)

    # --- who waits

    def submit(
        self, spec: JobSpec, priority: float = 0.0, seconds: float | None = None, memory_bytes: int | None = None
    ) -> None:
        """Queue a job that is ready, to which there is no objection; also one that was put off, once it has ended.

        What is expected of it may be given; see `Expected`.
        """
        if spec.id in self._waiting:
            self.withdraw(spec.id)
        self._tickets += 1
        self._queue(spec, self._tickets, Expected(priority, seconds, memory_bytes))

    def revise(self, expected_of: Callable[[JobSpec], Expected]) -> None:
        """More is known by now: of all that wait the order, of those that run when they will end.

        Takes a few microseconds for each: worth it whenever twice as much is known as the last time.
        """
        waiting = list(self._waiting.values())
        self._queues.clear()
        self._heads.clear()
        for _, ticket, spec, *_ in waiting:
            self._queue(spec, ticket, expected_of(spec))
        self._ends.clear()
        for job, running in self._running.items():
            self._running[job] = running._replace(end=_end(running.started, expected_of(running.spec).seconds))
            insort(self._ends, (self._running[job].end, running.ticket, job))

    def withdraw(self, job: JobId) -> None:
        """A queued job is not to start."""
        waiting = self._waiting.pop(job, None)
        if waiting is not None:
            self._patience.pop(waiting.ticket, None)
            kind = _kind(waiting.needs)
            if self._queues[kind][0] is waiting:
                self._renew(kind)

    def head(self) -> JobSpec | None:
        """What waits first; None if nothing does."""
        return self._heads[0].spec if self._heads else None

    def waiting_for(self, job: JobId) -> str:
        """What a queued job waits for, in words.

        Raises
        ------
        KeyError
            It is not queued.
        """
        needs = self._waiting[job].needs
        cores, memory_bytes, _ = self._amount(needs, self._cores(needs))
        if self._alone is not None:
            return f"waits for the end of {self._alone}, which runs alone"
        if needs.is_exclusive and self._running:
            return "waits until nothing else runs"
        if cores > self._free_cores:
            return f"waits for {cores} core{'' if cores == 1 else 's'}"
        for name, count in needs.resources:
            if count > self._free_of[name]:
                users = [each for each, running in self._running.items() if name in dict(running.needs.resources)]
                taken = self.pools[name] - self._free_of[name]
                return f"waits for {name} ({taken} of {self.pools[name]} in use by {', '.join(users)})"
        if memory_bytes > self.free_memory:
            return f"waits for {memory_bytes / 1e9:.3g} GB of memory"
        if needs.changes_slave and self._is_changing:
            changing = next(each for each, running in self._running.items() if running.needs.changes_slave)
            return f"waits for the end of {changing}, since what they leave is loaded one at a time"
        head = self.head()
        return "waits for its turn" if head is None or head.id == job else f"waits for its turn, after {head.id}"

    # --- who starts

    def peek(self, now: float = 0.0, room: Room | None = None) -> Offer | None:
        """The job that can start now, which changes nothing; None if nothing fits, or `next_turn` knows one.

        Parameters
        ----------
        now
            Seconds of the same clock at all calls.
        room
            Of memory, as things are; None: as much as this run may use.
        """
        if self._free_cores <= 0 or self._ahead or self._alone is not None:
            return None
        blocked: dict[str, _Waiting] = {}
        promises: dict[str, Promise] = {}
        free_cores, free_memory, share = self._free_cores, self.free_memory, self.memory_bytes // self.cores
        for waiting in self._heads:
            needs = waiting.needs
            if needs.changes_slave and self._is_changing:
                continue
            cores = needs.cores if 0 < needs.cores <= self.cores else self._cores(needs)
            memory_bytes = needs.memory_bytes if needs.memory_bytes >= 0 else cores * share
            if (
                cores > free_cores
                or memory_bytes > free_memory
                or (needs.is_exclusive and self._running)
                or (room is not None and not room.holds(needs.memory_bytes))
            ):
                blocked.setdefault("", waiting)
                continue
            lacking = self._lacking(needs) if needs.resources else None
            if lacking is not None:
                blocked.setdefault(lacking, waiting)
                continue
            overtakes = self._overtakes(waiting, blocked, promises, now) if blocked else ()
            if overtakes is not None:
                return Offer(waiting.spec, cores, memory_bytes, overtakes)
        return None

    def take(self, offer: Offer, now: float = 0.0) -> None:
        """This job starts, which `peek` has just offered; it holds what it takes.

        Raises
        ------
        RuntimeException
            It does not wait any more, or there is not enough by now: a bug in pipegraph.
        """
        job = offer.spec.id
        waiting = self._waiting.get(job)
        if waiting is None or waiting.spec is not offer.spec or offer.cores > self._free_cores:
            raise RuntimeException("a job is to start that was not offered", [("job", job)])
        for ticket in offer.overtakes:
            self._patience[ticket].overtakes += 1
        self._remove(waiting)
        self._hold(job, waiting, now)

    def next_start(self, now: float = 0.0) -> JobSpec | None:
        """The job that starts now, what it needs taken; None if nothing fits, or `next_turn` knows one."""
        offer = self.peek(now)
        if offer is None:
            return None
        self.take(offer, now)
        return offer.spec

    def next_ahead(self) -> JobSpec | None:
        """A job to be told ahead; None if there is none that would be next, or if it does not pay."""
        told = len(self._ahead)
        if self._free_cores or told >= self.cores * SHARED_AHEAD_PER_CORE or self._recent_seconds >= SHORT_SECONDS:
            return None
        # Whichever job ends: one with no more than a core's share of memory fits in its place, if all keep to theirs.
        if self._beyond_share or not self._heads:
            return None
        waiting = self._heads[0]
        if not waiting.needs.is_plain or waiting.needs.memory_bytes > self.memory_bytes // self.cores:
            return None
        if told >= self.cores and not waiting.spec.shares_process:
            return None
        if not told:
            self._cores_ahead = self.cores
        self._remove(waiting)
        self._ahead[waiting.spec.id] = waiting
        return waiting.spec

    def begin(self, job: JobId, now: float = 0.0) -> bool:
        """A job that was told ahead has begun; False if its turn had come already."""
        waiting = self._ahead.pop(job, None)
        if waiting is None:
            return False
        self._hold(job, waiting, now)
        return True

    @property
    def turn(self) -> JobId | None:
        """The job of `next_turn`; None if there is none."""
        used = self.cores - self._lent - self._free_cores
        is_turn = self._ahead and self._free_cores > 0 and used < self._cores_ahead
        return next(iter(self._ahead)) if is_turn else None

    def next_turn(self, now: float = 0.0) -> JobId | None:
        """The job that was told ahead whose turn has come, since a core is free; it holds that core now."""
        job = self.turn
        if job is not None:
            self.begin(job, now)
        return job

    def end(self, job: JobId, seconds: float = SHORT_SECONDS) -> bool:
        """A job ended, however it did and after whatever time: what it held is free again; False if it held nothing."""
        self._recent_seconds = max(seconds, self._recent_seconds / 2)
        self._ahead.pop(job, None)
        running = self._running.pop(job, None)
        if running is None:
            return False
        del self._ends[bisect_left(self._ends, (running.end, running.ticket, job))]
        self._count(job, running, -1)
        return True

    # --- the sums

    def _hold(self, job: JobId, waiting: _Waiting, now: float) -> None:
        end = _end(now, waiting.seconds)
        running = _Running(waiting.spec, waiting.needs, self._cores(waiting.needs), now, end, waiting.ticket)
        self._running[job] = running
        insort(self._ends, (end, waiting.ticket, job))
        self._count(job, running, 1)

    def _count(self, job: JobId, running: _Running, by: int) -> None:
        """What it takes is taken (1), or free again (-1)."""
        needs = running.needs
        self._free_cores -= by * running.cores
        if needs.memory_bytes < 0:
            self._cores_of_unknown += by * running.cores
        else:
            self._memory_taken += by * needs.memory_bytes
            self._beyond_share += by * self._is_beyond_share(running)
        for name, count in needs.resources:
            self._free_of[name] -= by * count
        if needs.changes_slave:
            self._is_changing = by > 0
        if needs.is_exclusive:
            self._alone = job if by > 0 else None

    def _is_beyond_share(self, running: _Running) -> bool:
        return running.needs.memory_bytes > running.cores * (self.memory_bytes // self.cores)

    def _amount(self, needs: Needs, cores: int) -> Amount:
        memory_bytes = needs.memory_bytes if needs.memory_bytes >= 0 else cores * (self.memory_bytes // self.cores)
        return Amount(cores, memory_bytes, dict(needs.resources) if needs.resources else NOTHING)

    def _cores(self, needs: Needs) -> int:
        if needs.cores < 0:
            return max(1, self.cores + 1 + needs.cores)
        return min(needs.cores, self.cores)

    # --- the queues

    def _queue(self, spec: JobSpec, ticket: int, expected: Expected) -> None:
        needs = self._needs(spec)
        memory_bytes = expected.memory_bytes
        if memory_bytes is not None and needs.memory_bytes < 0:
            is_exclusive = needs.is_exclusive or memory_bytes > self.memory_bytes
            needs = needs._replace(memory_bytes=min(memory_bytes, self.memory_bytes), is_exclusive=is_exclusive)
        waiting = self._waiting[spec.id] = _Waiting(-expected.priority, ticket, spec, needs, expected.seconds)
        kind = _kind(needs)
        queue = self._queues.setdefault(kind, [])
        if queue and waiting < queue[0]:
            self._leave(queue[0])
        heappush(queue, waiting)
        if queue[0] is waiting:
            insort(self._heads, waiting)

    def _needs(self, spec: JobSpec) -> Needs:
        return needs_of(spec)

    def _remove(self, waiting: _Waiting) -> None:
        """The first of its queue waits no more."""
        del self._waiting[waiting.spec.id]
        self._patience.pop(waiting.ticket, None)
        self._renew(_kind(waiting.needs))

    def _renew(self, kind: Needs) -> None:
        """The first of a queue goes, and with it all behind it that were withdrawn."""
        queue = self._queues[kind]
        self._leave(heappop(queue))
        while queue and self._waiting.get(queue[0].spec.id) is not queue[0]:
            heappop(queue)
        if queue:
            insort(self._heads, queue[0])
        else:
            del self._queues[kind]

    def _leave(self, first: _Waiting) -> None:
        del self._heads[bisect_left(self._heads, first)]

    # --- gaps

    def _lacking(self, needs: Needs) -> str | None:
        """The named resource of which there is too little."""
        return next((name for name, count in needs.resources if count > self._free_of[name]), None)

    def _promise(self, waiting: _Waiting, short_of: str, now: float) -> Promise:
        """When there will be enough for a job that has to wait."""
        needs = waiting.needs
        free = Amount(self._free_cores, self.free_memory, self._free_of)
        wants = self._amount(needs, self._cores(needs))
        found = promise(wants, short_of, needs.is_exclusive, free, self._to_be_freed(now))
        patience = self._patience.setdefault(waiting.ticket, Patience())
        patience.promised = min(patience.promised, found.moment)
        return found

    def _to_be_freed(self, now: float) -> Iterator[tuple[float, Amount]]:
        """By running jobs, and when; the earliest first."""
        ends = self._ends
        if ends and ends[0][0] < now:
            ends = sorted((later_end(end, now), ticket, job) for end, ticket, job in ends)
        for end, _, job in ends:
            running = self._running[job]
            yield end, self._amount(running.needs, running.cores)

    def _overtakes(
        self, waiting: _Waiting, blocked: Mapping[str, _Waiting], promises: dict[str, Promise], now: float
    ) -> tuple[int, ...] | None:
        """Tickets of those to which it is counted if it starts before them; None if it may not."""
        takes = self._amount(waiting.needs, self._cores(waiting.needs))
        ends = math.inf if waiting.seconds is None else now + waiting.seconds
        counted = []
        for short_of, other in blocked.items():
            one = promises.get(short_of)
            if one is None:
                one = promises[short_of] = self._promise(other, short_of, now)
            patience = self._patience[other.ticket]
            if is_harmless(one, takes, ends):
                if now <= patience.promised:
                    continue
            elif one.moment < math.inf and waiting.seconds is not None:
                return None
            if is_counted(one, takes):
                if patience.overtakes >= OVERTAKES_PER_CORE * self.cores:
                    return None
                counted.append(other.ticket)
        return tuple(counted)
