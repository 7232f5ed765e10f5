"""How long jobs will take, from how long they, or their like, took before. Owns the sums that make this cheap."""

from __future__ import annotations

from ..model import JobId, JobSpec, Past, Place
from .overview import Estimate


class Estimates:
    """Told of each job once when it comes and once when nothing more is to come of it.

    Jobs that were made at one line of the script are alike: what one of them took is the guess for another.

    Attributes
    ----------
    cores
        What a job takes that wants all.
    """

    def __init__(self) -> None:
        self.cores = 1
        self._recorded: dict[JobId, float] = {}
        self._known_seconds = 0.0
        self._known_jobs = 0
        self._unknown_jobs: dict[Place, int] = {}
        self._times: dict[Place, tuple[int, float]] = {}
        self._all_times = (0, 0.0)

    def add(self, spec: JobSpec, past: Past | None) -> None:
        """A job has come."""
        if past is not None and past.trace is not None:
            seconds = past.trace.seconds
            self._recorded[spec.id] = seconds
            self._known_jobs += 1
            self._known_seconds += seconds * self._cores(spec)
            self._learn(spec.place, seconds)
        else:
            self._unknown_jobs[spec.place] = self._unknown_jobs.get(spec.place, 0) + 1

    def settle(self, spec: JobSpec, seconds: float | None = None) -> None:
        """Nothing more is to come of a job, which took this long if it was made."""
        recorded = self._recorded.get(spec.id)
        if recorded is not None:
            self._known_jobs -= 1
            self._known_seconds -= recorded * self._cores(spec)
        else:
            self._unknown_jobs[spec.place] -= 1
        if seconds is not None:
            self._learn(spec.place, seconds)

    def unsettle(self, spec: JobSpec) -> None:
        """It has to be made once more."""
        recorded = self._recorded.get(spec.id)
        if recorded is not None:
            self._known_jobs += 1
            self._known_seconds += recorded * self._cores(spec)
        else:
            self._unknown_jobs[spec.place] += 1

    def seconds_of(self, spec: JobSpec) -> float | None:
        """What a job will take, or None if nothing like it was ever made."""
        recorded = self._recorded.get(spec.id)
        return recorded if recorded is not None else self._mean(spec.place)

    def left(self, running: list[tuple[JobSpec, float]], cores: int) -> Estimate | None:
        """What is left of the run.

        Parameters
        ----------
        running
            With the seconds that each has run.
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
        longest = 0.0
        for spec, elapsed in running:
            expected = self.seconds_of(spec)
            expected = overall if expected is None else expected
            work -= min(elapsed, expected) * self._cores(spec)
            longest = max(longest, expected - elapsed)
        side_by_side = max(1, min(cores, self._known_jobs + guessed))
        return Estimate(max(0.0, longest, work / side_by_side), self._known_jobs, guessed)

    def _cores(self, spec: JobSpec) -> int:
        return spec.cores if spec.cores > 0 else self.cores

    def _learn(self, place: Place, seconds: float) -> None:
        count, total = self._times.get(place, (0, 0.0))
        self._times[place] = count + 1, total + seconds
        self._all_times = self._all_times[0] + 1, self._all_times[1] + seconds

    def _mean(self, place: Place) -> float | None:
        count, total = self._times.get(place, (0, 0.0))
        return total / count if count else None
