"""How long jobs will take, from how long they, or their like, took before. Owns the sums that make this cheap."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from .model import JobId, JobSpec, Past, Place


class Estimate(NamedTuple):
    """How long the run may still take: at most, since some of the waiting jobs may turn out to be up to date.

    Attributes
    ----------
    known, guessed
        Jobs whose times are recorded; jobs whose times are the average of others.
    """

    seconds: float
    known: int
    guessed: int


class Estimates:
    """Times of earlier runs and of this one, and the sums over the jobs of which something is to come.

    Jobs that were made at one line of the script are alike: what one of them took is the guess for another.

    Attributes
    ----------
    cores
        What a job takes that wants all.
    is_begun
        The sums are kept; before `begin` nothing but times is.
    """

    def __init__(self) -> None:
        self.cores = 1
        self.is_begun = False
        self._recorded: dict[JobId, float] = {}
        self._unread: list[Mapping[JobId, Past]] = []
        self._known_seconds = 0.0
        self._known_jobs = 0
        self._unknown_jobs: dict[Place, int] = {}
        self._times: dict[Place, tuple[int, float]] = {}
        self._all_times = (0, 0.0)

    def remember(self, pasts: Mapping[JobId, Past]) -> None:
        """What jobs took in earlier runs; looked at of each job when somebody asks, and of most nobody does."""
        self._unread.append(pasts)

    def _seconds(self, job: JobId) -> float | None:
        """What it took in an earlier run, or else in this one."""
        found = self._recorded.get(job)
        if found is None:
            for pasts in self._unread:
                past = pasts.get(job)
                # How long it takes to bring something back says nothing of how long it takes to make it.
                if past is not None and past.trace is not None and not past.trace.brought_back:
                    found = self._recorded[job] = past.trace.seconds
        return found

    def forget(self) -> None:
        """What was not looked at; nothing is to come any more."""
        self._unread.clear()

    def begin(self, specs: Iterable[JobSpec], open_jobs: Iterable[JobSpec]) -> None:
        """Keep the sums from now on.

        Parameters
        ----------
        specs
            All jobs so far.
        open_jobs
            Those of which something is to come.
        """
        self.is_begun = True
        to_come = list(open_jobs)
        # To look at a hundred thousand takes half a second, and only a job without a time of its own needs others'.
        is_enough = bool(to_come) and all(self._seconds(spec.id) is not None for spec in to_come)
        for spec in to_come if is_enough else specs:
            seconds = self._seconds(spec.id)
            if seconds is not None:
                self._count_time(spec.place, seconds)
        if not is_enough:
            self._unread.clear()  # all has been looked at
        for spec in to_come:
            self.change(spec, 1)

    def change(self, spec: JobSpec, by: int) -> None:
        """Something is to come of one more job, or (-1) nothing more of this one."""
        recorded = self._seconds(spec.id)
        if recorded is not None:
            self._known_jobs += by
            self._known_seconds += by * recorded * self._cores(spec)
        else:
            self._unknown_jobs[spec.place] = self._unknown_jobs.get(spec.place, 0) + by

    def seconds_of(self, spec: JobSpec) -> float | None:
        """What a job will take, or None if nothing like it was ever made."""
        recorded = self._seconds(spec.id)
        return recorded if recorded is not None else self._mean(spec.place)

    def expected(self, spec: JobSpec) -> float | None:
        """What a job will take, by the mean of all if need be; None if no job was ever timed."""
        own = self.seconds_of(spec)
        count, total = self._all_times
        return own if own is not None or not count else total / count

    def left(self, running: list[tuple[JobSpec, float]], cores: int, chain_seconds: float = 0.0) -> Estimate | None:
        """What is left of the run; None if no job was ever timed.

        Parameters
        ----------
        running
            With the seconds that each has run.
        chain_seconds
            Of jobs that can only run one after the other.
        """
        count, total = self._all_times
        if not count:
            return None
        overall = total / count
        work = self._known_seconds
        guessed = 0
        for place, jobs in self._unknown_jobs.items():
            if jobs:
                mean = self._mean(place)
                work += jobs * (overall if mean is None else mean)
                guessed += jobs
        longest = chain_seconds
        for spec, elapsed in running:
            expected = self.expected(spec) or 0.0
            work -= min(elapsed, expected) * self._cores(spec)
            longest = max(longest, expected - elapsed)
        side_by_side = max(1, min(cores, self._known_jobs + guessed))
        return Estimate(max(longest, work / side_by_side), self._known_jobs, guessed)

    def learn(self, spec: JobSpec, seconds: float) -> None:
        """What a job took just now; nothing is to come of it."""
        if self._seconds(spec.id) is None:
            self._recorded[spec.id] = seconds
        if self.is_begun:
            self._count_time(spec.place, seconds)

    def _count_time(self, place: Place, seconds: float) -> None:
        count, total = self._times.get(place, (0, 0.0))
        self._times[place] = count + 1, total + seconds
        self._all_times = self._all_times[0] + 1, self._all_times[1] + seconds

    def _cores(self, spec: JobSpec) -> int:
        return spec.cores if spec.cores > 0 else self.cores

    def _mean(self, place: Place) -> float | None:
        count, total = self._times.get(place, (0, 0.0))
        return total / count if count else None
