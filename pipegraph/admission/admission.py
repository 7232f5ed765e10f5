"""What starts now: what the coordinator would start next, if the machine and the other runs on it let it.

Joins those who know one thing each: the coordinator who is next and what is taken, the forecasts what jobs need, the
pressure whether there is memory as things are, the supply what other runs leave, and the lending which cores programs
of jobs use beside their own. Owns what this run has claimed of the supply, and the order by longest ways. Starts
nothing, and ends nothing.
"""

from __future__ import annotations

import math
import signal
import time
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence

from ..coordinator import SHORT_SECONDS, Coordinator, Expected
from ..coordinator.forecasts import Forecasts
from ..machine.jobserver import Access, Lending
from ..model import Failure, Grant, JobId, JobSpec, Past, Sighting, Usage
from .pressure import Pressure
from .supply import Supply

_ORDER_SHARE = 0.01
"""Of the time, that may go into ordering anew what waits."""

_WORTH_ORDERING = 2
"""By how much more jobs must have come, or must be known, than at the last time."""

_KEEP_SECONDS = 0.1
"""What jobs held is kept for those that come next for as long, if nobody waits for it."""

_KILLED = (-signal.SIGKILL, 128 + signal.SIGKILL)
"""Exit status, also of a shell whose program was killed."""

FOR_MEMORY = "waits until there is more memory than is free now"


class Admission:
    """Of one run.

    Parameters
    ----------
    longest_ways
        Of each job the longest way from its start to an end, in seconds, from the seconds that each takes.
    supply
        Of what is shared with other runs; None: nothing is.
    """

    def __init__(
        self,
        coordinator: Coordinator,
        forecasts: Forecasts,
        pressure: Pressure,
        lending: Lending,
        longest_ways: Callable[[Callable[[JobSpec], float]], Mapping[JobId, float]],
        supply: Supply | None = None,
    ) -> None:
        self._coordinator = coordinator
        self._forecasts = forecasts
        self._pressure = pressure
        self._lending = lending
        self._longest_ways = longest_ways
        self._supply = supply
        # Of what waits, is told ahead or runs: what it will need, None where nothing is known.
        self._bytes_of: dict[JobId, int | None] = {}
        self._held_bytes = 0
        self._claimed_cores = self._claimed_bytes = 0
        self._give_back_at = math.inf
        self._is_fault_told = self._is_refused = False
        self._held_up: tuple[JobId, str] = ("", "")
        self._ways: Mapping[JobId, float] = {}
        self._declared = self._learnt = 0
        self._ordered_at = (0, 0)
        self._next_order = -math.inf
        # Ended or killed for want of memory in this run; those that are tried again alone.
        self._in_want: set[JobId] = set()
        self._alone: set[JobId] = set()
        self._sharing: set[JobId] = set()

    @property
    def cores(self) -> int:
        """Of this run."""
        return self._coordinator.cores

    def set_cores(self, cores: int) -> None:
        """From now on so many; what runs goes on."""
        self._coordinator.set_cores(cores)
        if self._supply is not None:
            self._supply.set_cores(cores)

    def objection_to(self, spec: JobSpec) -> Failure | None:
        """Why this job can never start here; None if it can."""
        return self._coordinator.objection_to(spec)

    def grant_of(self, spec: JobSpec) -> Grant:
        """What a job may use that runs, or is told ahead."""
        return self._coordinator.grant_of(spec)

    def waiting_for(self, job: JobId) -> str:
        """What a job waits for that is ready, in words; empty if it is not."""
        if job == self._held_up[0]:
            return self._held_up[1]
        try:
            return self._coordinator.waiting_for(job)
        except KeyError:
            return ""

    # --- who waits

    def grow(self, specs: Sequence[JobSpec], pasts: Mapping[JobId, Past]) -> None:
        """These are declared."""
        self._forecasts.remember(pasts)
        self._forecasts.grow(specs)
        self._declared += len(specs)

    def submit(self, spec: JobSpec) -> None:
        """A job is ready."""
        if spec.id in self._alone:
            spec = spec._replace(is_exclusive=True)
        expected = self._expected(spec)
        if spec.id in self._in_want and spec.memory_bytes < (expected.memory_bytes or 0):
            spec = spec._replace(memory_bytes=-1)  # it needs more than it declares; and may need more than there is
        self._bytes_of[spec.id] = spec.memory_bytes if spec.memory_bytes >= 0 else expected.memory_bytes
        self._coordinator.submit(spec, *expected)

    def withdraw(self, job: JobId) -> None:
        """A job that is ready is not to start."""
        self._coordinator.withdraw(job)
        self._bytes_of.pop(job, None)

    # --- who starts, and ends

    def next_start(self, now: float) -> JobSpec | None:
        """The job that starts now, which holds what it needs; None: none does.

        Parameters
        ----------
        now
            Monotonic, in seconds.
        """
        coordinator = self._coordinator
        if not coordinator.waiting:
            return None
        if coordinator.waiting > coordinator.free_cores:
            self._order(now)
        if self._sharing and self._lent:
            self._lend(0)
        room = self._pressure.room(now)
        offer = coordinator.peek(now, room)
        if offer is None:
            self._held_up = ("", "")
            if room is not None and (offer := coordinator.peek(now)) is not None:
                self._held_up = offer.spec.id, FOR_MEMORY
            return None
        if not self._is_covered(offer.cores, self._bytes_of[offer.spec.id] or 0):
            self._note_refused(offer.spec.id)
            return None
        coordinator.take(offer, now)
        self._hold(offer.spec.id)
        return offer.spec

    def next_ahead(self) -> JobSpec | None:
        """A job to be told ahead of its turn; None if there is none that would be next, or if it does not pay."""
        if self._supply is not None and self._supply.others_wait():
            return None
        return self._coordinator.next_ahead()

    def next_turn(self, now: float) -> JobId | None:
        """The job that was told ahead whose turn has come, since a core is free; it holds that core now."""
        job = self._coordinator.turn
        if job is None:
            return None
        if not self._is_covered(1, self._bytes_of[job] or 0):
            self._note_refused(job)
            return None
        self._coordinator.next_turn(now)
        self._hold(job)
        return job

    def begin(self, job: JobId, now: float) -> None:
        """A job that was told ahead has begun; nothing if its turn had come already."""
        if self._coordinator.begin(job, now):
            self._hold(job)

    def end(self, job: JobId, seconds: float = SHORT_SECONDS) -> None:
        """A job ended, however it did and after whatever time: what it held is free again."""
        if self._coordinator.end(job, seconds):
            self._held_bytes -= self._bytes_of[job] or 0
            self._pressure.end(job)
        self._bytes_of.pop(job, None)
        if job in self._sharing:
            self._sharing.discard(job)
            self._lending.end(job)
            self._coordinator.set_lent(self._lent)

    def learn(self, spec: JobSpec, usage: Usage) -> None:
        """What a job took that was made just now."""
        self._learnt += 1
        self._forecasts.learn(spec, usage)

    # --- memory

    def is_memory_short(self, now: float) -> bool:
        """It is about to run out: look at what runs, and then end the `victim`."""
        return now >= self._pressure.next_look() and self._pressure.is_short(now)

    def rest_from_memory(self, until: float) -> None:
        """`is_memory_short` is not asked before that monotonic time."""
        self._pressure.rest(until)

    def see(self, sightings: Iterable[Sighting]) -> None:
        """What runs was looked at."""
        for each in sightings:
            self._pressure.see(each.job, each.own_bytes)

    def victim(self, jobs: Iterable[JobId]) -> JobId | None:
        """Which of these is to be ended and made again later; None: that would not help."""
        return self._pressure.victim(jobs)

    def was_killed(self, failure: Failure) -> bool:
        """Whether a job ended so because the kernel killed it, or a program of it, for want of memory."""
        return failure.exit_code in _KILLED and self._pressure.was_killed()

    def was_slave_killed(self) -> bool:
        """Whether the kernel killed a slave that has died."""
        return self._pressure.was_killed()

    def raise_memory(self, job: JobId, seen_bytes: int = 0) -> int:
        """It had too little: it gets more when it is made again. What it was seen to hold, in bytes.

        Each further time that is more than the time before, so that it happens to no job for ever.
        """
        seen_bytes = max(seen_bytes, self._pressure.seen_bytes(job))
        before = (self._bytes_of.get(job) or 0) if job in self._in_want else 0
        self._forecasts.raise_memory(job, max(seen_bytes, before))
        self._in_want.add(job)
        return seen_bytes

    def runs_alone(self, job: JobId) -> bool:
        """It is made so that nothing else of this run runs."""
        return job in self._alone

    def have_alone(self, job: JobId) -> bool:
        """When it is made again, nothing else is to run; False: that was tried."""
        if job in self._alone:
            return False
        self._alone.add(job)
        return True

    # --- programs that share cores

    def access_for(self, spec: JobSpec) -> Access | None:
        """How the programs of a job that starts, or is told ahead, take cores to spare; None: they do not.

        Raises
        ------
        OSError
            There can be no jobserver; the job can run without.
        """
        if not spec.uses_jobserver:
            return None
        access = self._lending.begin(spec.id)
        self._sharing.add(spec.id)
        return access

    # --- between two looks at what happened

    def settle(self, now: float) -> None:
        """Nothing more starts now: what is not needed is lent to programs, or given back; at once if others wait."""
        coordinator, supply = self._coordinator, self._supply
        others_wait = supply is not None and supply.others_wait()
        if self._sharing:
            is_to_spare = not coordinator.waiting and not others_wait
            self._lend(max(0, coordinator.free_cores + self._lent) if is_to_spare else 0)
        if supply is None:
            return
        if self._claimed_cores > coordinator.held.cores or self._claimed_bytes > self._held_bytes:
            if self._give_back_at == math.inf:
                self._give_back_at = now + _KEEP_SECONDS
            if now >= self._give_back_at or others_wait:
                self._give_back()
        else:
            self._give_back_at = math.inf
        if not self._is_refused:  # as when nothing is queued, or nothing may start though the machine had room
            supply.stop_waiting()
        self._is_refused = False

    def fileno(self) -> list[int]:
        """What to wait for; then `attend` is to be called."""
        found = [] if self._supply is None else [self._supply.fileno()]
        if self._lending.is_owed:
            found.append(self._lending.fileno())
        return [each for each in found if each >= 0]

    def attend(self, now: float, readable: Collection[int]) -> str:
        """Something may be readable, or it may be time to look; what a person should know, once, or nothing."""
        supply = self._supply
        if supply is None:
            return ""
        look = supply.next_look()
        if supply.fileno() in readable or (look is not None and now >= look):
            supply.attend()
        if supply.fault and not self._is_fault_told:
            self._is_fault_told = True
            return supply.fault
        return ""

    def next_deadline(self) -> float:
        """Monotonic time at which there is something to do though nothing happens; infinite if there is not."""
        look = None if self._supply is None else self._supply.next_look()
        return min(self._pressure.next_look(), self._give_back_at, math.inf if look is None else look)

    def close(self) -> None:
        """The run is over: all is given back."""
        self._lending.close()
        if self._supply is not None:
            self._supply.close()

    def close_in_fork(self) -> None:
        """In a fork of the run's process, to which nothing of this belongs."""
        self._lending.close_in_fork()
        if self._supply is not None:
            self._supply.close_in_fork()

    # ---

    def _expected(self, spec: JobSpec) -> Expected:
        seconds = self._forecasts.seconds_of(spec)
        priority = self._ways.get(spec.id)
        if priority is None:
            priority = (seconds or 0.0) if self._ways else 0.0
        # About the same counts as the same: then the order in which the script declares them is what a person expects.
        return Expected(float(f"{priority:.1e}"), seconds, self._forecasts.memory_of(spec))

    def _order(self, now: float) -> None:
        """By longest ways, if enough has changed, and it does not take much of the run's time."""
        declared, learnt = self._ordered_at
        is_worth = self._declared >= _WORTH_ORDERING * declared or self._learnt >= _WORTH_ORDERING * max(learnt, 8)
        if not is_worth or now < self._next_order:
            return
        began = time.monotonic()
        self._ways = self._longest_ways(self._guess)
        self._coordinator.revise(self._expected)
        self._ordered_at = self._declared, self._learnt
        self._next_order = now + (time.monotonic() - began) / _ORDER_SHARE

    def _guess(self, spec: JobSpec) -> float:
        return self._forecasts.expected_seconds_of(spec)

    def _hold(self, job: JobId) -> None:
        expected_bytes = self._bytes_of[job]
        self._held_bytes += expected_bytes or 0
        self._pressure.begin(job, expected_bytes)

    def _is_covered(self, cores: int, memory_bytes: int) -> bool:
        """Whether this run has, or gets, so much beyond what its jobs hold."""
        if self._supply is not None and self._supply.others_wait():
            self._give_back()  # who is next is for all of them to say
        return self._claim(cores, memory_bytes)

    def _claim(self, cores: int, memory_bytes: int) -> bool:
        if self._supply is None:
            return True
        held_cores = self._coordinator.held.cores
        more_cores = max(0, held_cores + cores - self._claimed_cores)
        more_bytes = max(0, self._held_bytes + memory_bytes - self._claimed_bytes)
        if not more_cores and not more_bytes:
            return True
        granted_cores = self._supply.claim(more_cores, more_bytes, not held_cores)
        if granted_cores is None:
            return False
        self._claimed_cores += granted_cores
        self._claimed_bytes += more_bytes
        return True

    def _note_refused(self, job: JobId) -> None:
        assert self._supply is not None
        self._is_refused = True
        self._held_up = job, self._supply.waiting_for

    def _give_back(self) -> None:
        assert self._supply is not None
        cores = self._claimed_cores - self._coordinator.held.cores
        memory_bytes = self._claimed_bytes - self._held_bytes
        if cores > 0 or memory_bytes > 0:
            self._supply.release(max(0, cores), max(0, memory_bytes))
            self._claimed_cores -= max(0, cores)
            self._claimed_bytes -= max(0, memory_bytes)
        self._give_back_at = math.inf

    def _lend(self, cores: int) -> None:
        """So many, beside their jobs' own, may programs use; what they have taken they give back when they like."""
        lent = covered = self._lent
        while covered < cores and self._claim(covered + 1 - lent, 0):
            covered += 1
        self._lending.offer(self._cores_of_sharing() + min(cores, covered))
        self._coordinator.set_lent(self._lent)

    @property
    def _lent(self) -> int:
        """Cores that are lent beyond those of the jobs that share."""
        return max(0, self._lending.lent - self._cores_of_sharing())

    def _cores_of_sharing(self) -> int:
        """Of jobs that share, but one of each, which it uses itself."""
        return sum([self._coordinator.cores_of(job) - 1 for job in self._sharing])
