"""What a job says of its needs: cores, memory, named resources, to be alone, its time, and to be tried again.

Owns these words and what is wrong with them. What comes of them is the coordinator's, the slave's and the run's. None
of them is an input: to say something else makes nothing stale. What is rarely said stands on the class.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar

from ..errors import JobContractError
from ..model import ALONE, JobId, Place, Role

if TYPE_CHECKING:
    from ..graph import Graph

_Self = TypeVar("_Self", bound="Needs")

_ENDLESS = 1e300
"""Seconds. Not asked of the library math, which every job would inherit."""


class Needs:
    """The part of each job that says what it needs while it runs."""

    job_id: JobId
    place: Place
    graph: Graph
    role: Role

    granted = ALONE
    """What it may use, where it runs."""
    timeout_seconds = 0.0
    """How long it may run; 0: as long as it takes."""

    _cores = 1
    _memory = -1
    _resources: tuple[tuple[str, int], ...] = ()
    _is_exclusive = False
    _shares_cores = False
    _retries = 0
    _retry_seconds = 0.0

    def _who_needs(self) -> Iterable[Needs]:
        """The jobs for which this one speaks: itself, unless others do what it is there for."""
        return (self,)

    @property
    def _says_needs(self) -> bool:
        """More than a job can be granted that has no process of its own."""
        counted = self._cores, self._resources, self._retries, self.timeout_seconds
        return self._is_exclusive or self._shares_cores or counted != (1, (), 0, 0.0)

    @property
    def cores_needed(self) -> int:
        """Cores while it runs: 1 and above, -1 (all), -2 (all but one)."""
        return next(iter(self._who_needs()))._cores

    @cores_needed.setter
    def cores_needed(self, value: int) -> None:
        if not _is_whole(value) or not (value >= 1 or value in (-1, -2)):
            self._refuse_need(
                "cores_needed must be a whole number of at least 1, -1 (all cores) or -2 (all but one)", value
            )
        for job in self._who_needs():
            job._cores = value

    def use_cores(self: _Self, cores: int) -> _Self:
        """Set `cores_needed`; gives back the job."""
        self.cores_needed = cores
        return self

    @property
    def memory_needed(self) -> int:
        """Bytes while it runs; -1: unspecified. May be given as a text, such as ``"16GB"``."""
        return next(iter(self._who_needs()))._memory

    @memory_needed.setter
    def memory_needed(self, value: int | str) -> None:
        found: Any = value
        if isinstance(value, str):
            from ..machine.amounts import bytes_of

            try:
                found = bytes_of(value)
            except ValueError as error:
                self._refuse_need("memory_needed is no amount of memory", value, f"{error}.")
        if not _is_whole(found) or found < -1:
            self._refuse_need(
                'memory_needed must be a whole number of bytes, a text such as "16GB", or -1 (unspecified)', value
            )
        for job in self._who_needs():
            job._memory = found

    def use(self: _Self, name: str, count: int = 1) -> _Self:
        """Take so many of a named resource while it runs; gives back the job.

        Parameters
        ----------
        name
            One that ``new_pipegraph(resources={"gpu": 2})`` says how many there are of.
        count
            0 takes back what was said before.

        Raises
        ------
        JobContractError
            The graph does not know the name; no whole number of at least 0; an invariant.
        """
        self._refuse_invariant("use")
        known = self.graph.resources
        if not isinstance(name, str) or name not in known:
            self._refuse_need(
                "a job uses a resource that the graph does not know",
                name,
                'Say how many there are, new_pipegraph(resources={"gpu": 2}), or correct the name.',
                [("known", ", ".join(known) or "none")],
            )
        if not _is_whole(count) or count < 0:
            self._refuse_need(f"how many of {name} a job uses must be a whole number of at least 0", count)
        for job in self._who_needs():
            used = {**dict(job._resources), name: count}
            job._resources = tuple(sorted([each for each in used.items() if each[1]]))
        return self

    def exclusive(self: _Self) -> _Self:
        """Run with no other job of this run beside it; gives back the job.

        Raises
        ------
        JobContractError
            An invariant.
        """
        self._refuse_invariant("exclusive")
        for job in self._who_needs():
            job._is_exclusive = True
        return self

    def share_cores(self: _Self) -> _Self:
        """Programs that it starts (make, ninja, cargo, gcc -flto) may use cores that are to spare, beside its own.

        Gives back the job.

        Raises
        ------
        JobContractError
            An invariant.

        Notes
        -----
        By GNU make's jobserver, see docs/resources.rst: the programs give a core back whenever one of their own jobs
        has ended, and other jobs of the run are started before any core is lent.
        """
        self._refuse_invariant("share_cores")
        for job in self._who_needs():
            job._shares_cores = True
        return self

    def retry(self: _Self, times: int, delay: float = 0.0) -> _Self:
        """Try again if it fails; gives back the job.

        Parameters
        ----------
        times
            How often, beside the first attempt; 0: not at all.
        delay
            Seconds between the end of an attempt and the next one, without holding cores.

        Raises
        ------
        JobContractError
            No whole number, or no number of seconds, of at least 0; an invariant.
        """
        self._refuse_invariant("retry")
        if not _is_whole(times) or times < 0:
            self._refuse_need("retry: times must be a whole number of at least 0", times)
        if not _is_number(delay) or delay < 0:
            self._refuse_need("retry: delay must be a number of seconds of at least 0", delay)
        for job in self._who_needs():
            job._retries, job._retry_seconds = times, float(delay) if times else 0.0
        return self

    def timeout(self: _Self, seconds: float | None) -> _Self:
        """End it, and all that it started, if it takes longer: then it has failed. Gives back the job.

        Parameters
        ----------
        seconds
            Wall time of each attempt, from its start; None: as long as it takes.

        Raises
        ------
        JobContractError
            No number of seconds above 0; an invariant.
        """
        self._refuse_invariant("timeout")
        checked = self._checked_timeout(seconds)
        for job in self._who_needs():
            job.timeout_seconds = checked
        return self

    def _checked_timeout(self, seconds: Any) -> float:
        if seconds is None:
            return 0.0
        if not _is_number(seconds) or seconds <= 0:
            self._refuse_need(
                "a timeout must be a number of seconds above 0", seconds, "Give seconds; None: as long as it takes."
            )
        return float(seconds)

    def _refuse_invariant(self, word: str) -> None:
        if self.role is Role.INVARIANT:
            raise JobContractError(
                f"an invariant never runs, so {word}() says nothing of it",
                [("invariant", f"{self.job_id} ({self.place})"), ("where", self.graph.place_of_caller())],
                "Say it of the job that depends on the invariant.",
            )

    def _refuse_need(
        self, headline: str, given: object, mend: str = "", facts: Iterable[tuple[str, object]] = ()
    ) -> NoReturn:
        where = self.graph.place_of_caller()
        job = f"{self.job_id} ({getattr(self, 'place', where)})"
        raise JobContractError(headline, [("given", f"{given!r:.80}"), *facts, ("job", job), ("where", where)], mend)


def check_resources(given: object, graph: Graph) -> dict[str, int]:
    """How many there are of each named resource, as `new_pipegraph` was told.

    Raises
    ------
    JobContractError
        Something else than names, each with a whole number of at least 0.
    """
    found = {} if given is None else given
    if (
        not isinstance(found, dict)
        or not all(isinstance(name, str) and name.strip() for name in found)
        or not all(_is_whole(count) and count >= 0 for count in found.values())
    ):
        raise JobContractError(
            "resources must be a dict of names, and how many there are of each",
            [("given", f"{given!r:.100}"), ("where", graph.place_of_caller())],
            'For instance new_pipegraph(resources={"gpu": 2, "licence": 5}).',
        )
    return dict(found)


def _is_whole(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < _ENDLESS
