"""What jobs will need of time and memory, from what they, or their like, took before.

Owns what is known of memory; of times, `Estimates` does. Decides nothing: what a script says of its jobs is for others
to put before this. Pure: asked when a job is about to be queued, and then decodes the past of that job, or, where it
has none, of some that were made at the same line of the script: of a million jobs most are never asked about.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from itertools import islice
from typing import NamedTuple

from ..estimates import Estimates
from ..model import MEASURED_FROM_SECONDS, InputId, JobId, JobSpec, Past, Place, Role, Usage

MARGIN = 1.1
"""Runs of one job differ."""

RAISE = 1.5
"""By how much more a job gets than it failed with."""

STEP_BYTES = 16 << 20
"""What is told is rounded up to these."""

SHORT_BYTES_PER_SECOND = 1 << 30
"""What a job fills, as it reads or computes it, that was too short to be measured. The kernel could give four times as
much; but to count on that would let a few short jobs hold all memory, and whoever watches memory sees one that does."""

MOST_PER_INPUT_BYTE = 10
"""Of memory, for each byte by which an input is larger. Where a small one took much more than its size, that was for
something else, as imported libraries are."""

SIMILAR = 2.0
"""Inputs are of similar size whose sizes differ by no more than this factor. While nothing smaller is known, a smaller
one is taken to need as much less, but no less than that: not all memory has to do with the input."""

LIKE_JOBS = 50
"""Of one place, as many are looked at, the last of those that were declared."""


class _Like(NamedTuple):
    """What a job took; not measured: it was too short for that."""

    spec: JobSpec
    memory_bytes: int
    seconds: float
    is_measured: bool


class Forecasts:
    """What is expected of each job of one run.

    Parameters
    ----------
    estimates
        Knows the times.
    size_of
        Bytes of an input's files, as far as they are known, for instance by the trace of the job that makes them, or
        the record of a file invariant; None: not known, or no files.
    share_bytes
        Of memory, of each core: jobs that were too short to be measured are taken to need no more.
    """

    def __init__(self, estimates: Estimates, size_of: Callable[[InputId], int | None], share_bytes: int) -> None:
        self._estimates = estimates
        self._size_of = size_of
        self._most_of_short = max(0, int(share_bytes / MARGIN) - STEP_BYTES)
        self._pasts: list[Mapping[JobId, Past]] = []
        self._at: dict[Place, list[JobSpec]] = {}
        # Of places that were asked about: what was found, the newest last.
        self._like: dict[Place, list[_Like]] = {}
        # Of jobs that ended in this run; and what those get that failed for want of memory.
        self._took_bytes: dict[JobId, int] = {}
        self._raised_bytes: dict[JobId, int] = {}
        # Of jobs whose inputs are settled: asked of those that are ready, or have ended.
        self._input_sizes: dict[JobId, int | None] = {}

    def remember(self, pasts: Mapping[JobId, Past]) -> None:
        """What jobs took in earlier runs: asked when somebody asks, so it may look things up then."""
        self._pasts.append(pasts)

    def grow(self, specs: Iterable[JobSpec]) -> None:
        """These are declared."""
        invariant, at = Role.INVARIANT, self._at
        for spec in specs:
            if spec.role is not invariant:
                found = at.get(spec.place)
                if found is None:
                    at[spec.place] = [spec]
                else:
                    found.append(spec)

    def learn(self, spec: JobSpec, usage: Usage) -> None:
        """What a job took that was made just now; not one that was brought back."""
        taken_bytes = usage.peak_bytes or self._unmeasured_bytes(usage.seconds)
        if taken_bytes is not None:
            self._took_bytes[spec.id] = taken_bytes
            like = self._like.get(spec.place)
            if like is not None:
                like.append(_Like(spec, taken_bytes, usage.seconds, bool(usage.peak_bytes)))
                del like[:-LIKE_JOBS]

    def raise_memory(self, job: JobId, least_bytes: int) -> None:
        """It was killed for memory, or stopped, when it had so much: in this run it gets more from now on.

        That is not kept for the next run: a failure leaves no trace, and a success after this one tells what it took.
        """
        self._raised_bytes[job] = max(self._raised_bytes.get(job, 0), int(least_bytes * RAISE))

    def seconds_of(self, spec: JobSpec) -> float | None:
        """Wall time: its own, or the mean of its like; None if nothing like it is known."""
        known = self._estimates.seconds_of(spec)
        if known is not None:
            return known
        like = self._like_of(spec.place)
        return sum(each.seconds for each in like) / len(like) if like else None

    def expected_seconds_of(self, spec: JobSpec) -> float:
        """The same, by the mean of all jobs if need be; 1 where none was ever timed."""
        known = self.seconds_of(spec)
        if known is None:
            known = self._estimates.expected(spec)
        return 1.0 if known is None else known

    def memory_of(self, spec: JobSpec) -> int | None:
        """Bytes, with a margin; None if nothing is known of it or its like.

        Notes
        -----
        What it took itself; else the most that jobs took which were made at the same line from inputs of similar size;
        else what the nearest ones took, in proportion to the size of their inputs: never less than those with smaller
        ones took.
        """
        expected = self._took_bytes.get(spec.id)
        if expected is None:
            expected = self._remembered_bytes(spec.id)
        if expected is None:
            expected = self._bytes_by_like(spec)
        raised = self._raised_bytes.get(spec.id, 0) if self._raised_bytes else 0
        if expected is None:
            return _rounded(raised) if raised else None
        return _rounded(max(expected * MARGIN, raised))

    def _remembered_bytes(self, job: JobId) -> int | None:
        for pasts in self._pasts:
            past = pasts.get(job)
            if past is not None and past.trace is not None and not past.trace.brought_back:
                peak_bytes = past.trace.peak_bytes  # each may decode something
                return peak_bytes or self._unmeasured_bytes(past.trace.seconds)
        return None

    def _unmeasured_bytes(self, seconds: float) -> int | None:
        """What a job took whose memory was not measured; None if it was not too short for that."""
        if seconds >= MEASURED_FROM_SECONDS:
            return None
        return min(int(seconds * SHORT_BYTES_PER_SECOND), self._most_of_short)

    # --- its like

    def _bytes_by_like(self, spec: JobSpec) -> int | None:
        like = self._like_of(spec.place)
        if not like:
            return None
        # Sizes of inputs take long to look up. Where nothing was measured, they would tell small guesses apart.
        is_any_measured = any(each.is_measured for each in like)
        size = self._input_bytes(spec) if is_any_measured else None
        sized = [] if size is None else self._sized(like)
        if size is None or not sized:
            return max([each.memory_bytes for each in like])
        similar = [taken for known, taken in sized if known <= size * SIMILAR and size <= known * SIMILAR]
        if similar:
            return max(similar)
        smaller = [pair for pair in sized if pair[0] < size]
        larger = [pair for pair in sized if pair[0] > size]
        # Of equal sizes the one that took most; and no smaller input is to count for more than a larger one.
        below = max(smaller)[0] if smaller else 0
        least = max((taken for _, taken in smaller), default=0)
        if larger:
            above, most = min(larger, key=lambda pair: (pair[0], -pair[1]))
            if not smaller:
                return int(most / SIMILAR)
            return max(least, int(least + (most - least) * (size - below) / (above - below)))
        growth = min(MOST_PER_INPUT_BYTE, least / below) if below else MOST_PER_INPUT_BYTE
        return int(least + growth * (size - below))

    def _like_of(self, place: Place) -> list[_Like]:
        found = self._like.get(place)
        if found is None:
            known = (self._taken(spec) for spec in reversed(self._at.get(place, ())))
            found = self._like[place] = list(islice((each for each in known if each is not None), LIKE_JOBS))[::-1]
        return found

    def _taken(self, spec: JobSpec) -> _Like | None:
        taken_bytes = self._took_bytes.get(spec.id)
        if taken_bytes is None:
            taken_bytes = self._remembered_bytes(spec.id)
        seconds = None if taken_bytes is None else self._estimates.seconds_of(spec)
        if taken_bytes is None or seconds is None:
            return None
        return _Like(spec, taken_bytes, seconds, seconds >= MEASURED_FROM_SECONDS)

    def _sized(self, like: list[_Like]) -> list[tuple[int, int]]:
        """Bytes of inputs, and of memory, of those whose inputs' sizes are known."""
        found = []
        for each in like:
            size = self._input_bytes(each.spec)
            if size is not None:
                found.append((size, each.memory_bytes))
        return found

    def _input_bytes(self, spec: JobSpec) -> int | None:
        if spec.id not in self._input_sizes:
            sizes = [size for name in spec.inputs if (size := self._size_of(name)) is not None]
            self._input_sizes[spec.id] = sum(sizes) if sizes else None
        return self._input_sizes[spec.id]


def _rounded(expected_bytes: float) -> int:
    return max(1, -int(-expected_bytes // STEP_BYTES)) * STEP_BYTES
