"""What a run knows of caches: which there are, what they must hold, and which of them were found damaged.

Starts and records nothing: says what follows from what jobs report.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from .events import Event, JobFailed, JobsLost, Warned
from .model import Fingerprint, InputId, JobId, JobSpec, Past, Reason, ReasonKind

_DAMAGED = {ReasonKind.OUTPUT_CHANGED, ReasonKind.OUTPUT_EMPTY}


class Caches:
    """The caches of one run.

    Parameters
    ----------
    past
        What is recorded of a job.
    inputs_of
        What the engine knows of its inputs.
    """

    def __init__(self, past: Callable[[JobId], Past], inputs_of: Callable[[JobId], Iterable[InputId] | None]) -> None:
        self._past = past
        self._inputs_of = inputs_of
        self._jobs: set[JobId] = set()
        self._remade: set[JobId] = set()
        self._complaints: set[tuple[JobId, JobId]] = set()

    def grow(self, specs: Iterable[JobSpec]) -> None:
        """These jobs arrived."""
        self._jobs.update(spec.id for spec in specs if spec.keeps)

    def contents(self, job: JobId) -> dict[JobId, Fingerprint]:
        """What the files of its inputs must hold, of those that are caches."""
        found = {}
        for name in (self._inputs_of(job) if self._jobs else None) or ():
            trace = self._past(name).trace if name in self._jobs else None
            if trace is not None:
                found[name] = trace.outputs[0].content
        return found

    def word_on(self, start: JobSpec, reasons: Iterable[Reason]) -> Warned | None:
        """If a cache is made again since its file is not what it was."""
        if start.keeps and any(reason.kind in _DAMAGED for reason in reasons):
            return Warned("the cache was changed since it was made, and is made again", start.id)
        return None

    def events_after(self, event: JobFailed) -> list[Event]:
        """What it means that a job failed; if it found a cache damaged that it depends on, the failure is none.

        That cache is made again, once in a run, and then the job is started again, once.
        """
        damage = event.failure.damage
        if damage is None or (event.job, damage.cache) in self._complaints:
            return [event]
        if damage.cache not in self.contents(event.job):
            return [event]
        self._complaints.add((event.job, damage.cache))
        if damage.cache in self._remade:
            return [JobsLost((event.job,), ())]  # it ran beside the one that found it first
        self._remade.add(damage.cache)
        warning = Warned(f"the cache can't be read, and is made again: {damage.because}", damage.cache)
        return [warning, JobsLost((event.job,), (damage.cache,))]
