"""What has changed behind the reasons of a run's jobs, and what is written down so that a later run can say it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from .engine import Engine, StartJob
from .events import JobSucceeded
from .explanations import Change, Explanation
from .model import NOTHING_OPENED, Fingerprint, InputId, JobId, JobSpec, Opened, ReasonKind
from .status import StatusFile
from .status.explaining import Explain, Explaining, note_explanation, note_replaced

_SHOWN_CHANGES = 1000
_WITH_CHANGES = {ReasonKind.INPUT_CHANGED, ReasonKind.OUTPUT_CHANGED}


class Changes:
    """Of one run.

    Parameters
    ----------
    specs
        All jobs; it may grow.
    explain
        What functions and parameters are, of which the specs don't say it.
    maker
        The job with an id, or that makes a file.
    """

    def __init__(
        self,
        status: StatusFile,
        engine: Engine,
        specs: Mapping[JobId, JobSpec],
        explain: Explain,
        maker: Callable[[InputId], JobId | None],
    ) -> None:
        self._status = status
        self._engine = engine
        self._specs = specs
        self._explain_here = explain
        self._explaining = Explaining(status, self._explain, maker)
        self._explaining.inputs_now = engine.inputs_of
        self._changes_to_show = _SHOWN_CHANGES
        # Of functions and parameters that generators declared: those that are not written down yet.
        self._told: dict[Fingerprint, Explanation | None] = {}
        self._asked: set[JobId] = set()

    def to_ask(self, generator: JobId, declared: Iterable[JobSpec]) -> dict[Fingerprint, JobId]:
        """Fingerprints of functions and parameters of which it is not known what they are of, each with an invariant.

        Of what a generator declared, only the fork in which it did can say it. One that was asked and died is not asked
        again when the generator has run again: it may have died of that.
        """
        if generator in self._asked:
            return {}
        has_explained, told = self._status.has_explained, self._told
        wanted = {
            spec.fingerprint: spec.id
            for spec in declared
            if spec.fingerprint is not None and not has_explained(spec.fingerprint) and spec.fingerprint not in told
        }
        if wanted:
            self._asked.add(generator)
        return wanted

    def note_told(self, generator: JobId, explanations: Mapping[Fingerprint, Explanation | None]) -> None:
        """It has answered."""
        self._asked.discard(generator)
        self._told.update(explanations)

    def behind(self, start: StartJob) -> tuple[Change, ...]:
        """Of the first thousand files and values; to look them up takes time."""
        found: list[Change] = []
        for reason in start.reasons:
            if reason.kind in _WITH_CHANGES and self._changes_to_show:
                self._changes_to_show -= 1
                found += self._explaining.changes(reason)
        return tuple(found)

    def note_made(self, event: JobSucceeded, hints: Opened) -> None:
        """Record a success, and what its fingerprints are of, for who asks later what has changed."""
        trace = self._engine.trace_of(event)
        if hints is not NOTHING_OPENED:
            trace = trace._replace(read=hints.read, written=hints.written)
        for name, fingerprint in trace.inputs.items():
            spec = self._specs.get(name)
            if spec is not None and spec.fingerprint == fingerprint and not self._status.has_explained(fingerprint):
                explanation = self._explain(name)
                if explanation is not None:
                    note_explanation(fingerprint, explanation, self._status)
                    self._told.pop(fingerprint, None)
        note_replaced(self._status.past(event.job).trace, trace, self._status)
        self._status.note_made(event.job, trace)

    def _explain(self, name: JobId) -> Explanation | None:
        """What a function or parameter is now."""
        spec = self._specs.get(name)
        if spec is None:
            return None
        known = None if spec.fingerprint is None else self._told.get(spec.fingerprint)
        return known or self._explain_here(name)
