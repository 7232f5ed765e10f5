"""What is still to come of each job, as far as it is certain now, and what it hangs on: for who looks ahead.

Only looks; the rules are those by which the engine decides. A job that waits for a fingerprint must run nevertheless
if a reason holds whatever that will come to be; else it may run, or nobody needs it.
"""

from __future__ import annotations

import enum
from collections.abc import Iterable, Mapping
from typing import NamedTuple

from ..model import Fingerprint, InputId, JobId, Reason, ReasonKind, Role
from .ledger import Ledger, State
from .reasons import reasons_to_remake, reasons_to_run

_MOST_ROOTS = 3
_GENERATES = (Reason(ReasonKind.GENERATES),)
_TO_RUN = (State.REQUIRED, State.READY, State.RUNNING)


class Fate(enum.Enum):
    """What will become of a job, if nothing fails."""

    MUST = "must run"
    MAY = "may run"
    UP_TO_DATE = "up to date"
    NOT_NEEDED = "not needed"
    BLOCKED = "can't run"


class Prospect(NamedTuple):
    """What is to come of one job.

    Attributes
    ----------
    reasons
        Of a job that must run: those that hold already. Of an ephemeral job that may: which dependent may need it.
    inputs
        Of a job that may run: its direct inputs that may change.
    roots
        Of a job that may run: the first three of the jobs that must run and lead to it. Of one that can't: what failed.
    """

    fate: Fate
    reasons: tuple[Reason, ...] = ()
    inputs: tuple[InputId, ...] = ()
    roots: tuple[JobId, ...] = ()


_UP_TO_DATE = Prospect(Fate.UP_TO_DATE)
_NOT_NEEDED = Prospect(Fate.NOT_NEEDED)


def prospects_of(ledger: Ledger) -> dict[JobId, Prospect]:
    """Of each job that is no invariant, in the order in which they came; before anything has ended."""
    return _Prospects(ledger).of_all()


class _Prospects:
    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._must = {job: ledger.reasons[job] for job, state in enumerate(ledger.state) if state in _TO_RUN}
        self._may: dict[int, tuple[Reason, ...]] = {}
        self._roots: dict[int, tuple[int, ...]] = {}

    def of_all(self) -> dict[JobId, Prospect]:
        ledger = self._ledger
        waiting = self._waiting_in_order()
        behind_generators: set[int] = set()
        for job in waiting:
            if not ledger.generators_to_come.isdisjoint(sources := self._sources(job)) or not (
                behind_generators.isdisjoint(sources)
            ):
                behind_generators.add(job)
            reasons = self._certain_reasons(job, job in behind_generators)
            if reasons:
                self._must[job] = reasons
            elif ledger.spec[job].role is Role.OUTPUT or (ledger.open[job] and not ledger.spec[job].in_memory):
                self._may[job] = ()
        self._add_needed(self._must, ())
        for job in self._must:
            self._may.pop(job, None)
        self._add_needed(self._may, self._must)
        for job in waiting:
            self._roots[job] = self._first_roots(job)
        return {
            spec.id: prospect
            for job, spec in enumerate(ledger.spec)
            if spec.role is not Role.INVARIANT and (prospect := self._of(job)) is not None
        }

    def _of(self, job: int) -> Prospect | None:
        ledger = self._ledger
        state = ledger.state[job]
        if job in self._must:
            return Prospect(Fate.MUST, self._must[job])
        if job in self._may:
            changing = tuple(name for name in ledger.inputs[job] if self._may_change(name))
            roots = self._roots_of(job, set())
            return Prospect(Fate.MAY, self._may[job], changing, tuple(ledger.spec[root].id for root in roots))
        if state is State.DONE:
            return _UP_TO_DATE
        if state is State.BLOCKED:
            return Prospect(Fate.BLOCKED, roots=(ledger.spec[ledger.culprit[job]].id,))
        return _NOT_NEEDED if state in (State.WAITING, State.VALID, State.UNWANTED) else None

    def _waiting_in_order(self) -> list[int]:
        """Jobs that wait for a fingerprint, each behind those that it waits for; final jobs at the end."""
        ledger = self._ledger
        left = {job: ledger.unsettled[job] for job, state in enumerate(ledger.state) if state is State.WAITING}
        stack = [job for job, found in enumerate(ledger.fingerprint) if found is None and job not in left]
        order = []
        while stack:
            for dependent in ledger.dependents[stack.pop()]:
                if dependent in left:
                    left[dependent] -= 1
                    if not left[dependent]:
                        order.append(dependent)
                        stack.append(dependent)
        return order + [job for job in left if ledger.spec[job].is_final]

    def _sources(self, job: int) -> list[int]:
        """The inputs of a job that have no fingerprint yet."""
        ledger = self._ledger
        if ledger.spec[job].is_final:
            return [each for each, found in enumerate(ledger.fingerprint) if found is None and each != job]
        numbers = map(ledger.number, ledger.inputs[job])
        return [number for number in numbers if number is not None and ledger.fingerprint[number] is None]

    def _certain_reasons(self, job: int, is_behind_generator: bool) -> tuple[Reason, ...]:
        """Those that hold if all inputs without a fingerprint come to be what they were."""
        ledger = self._ledger
        spec, past = ledger.spec[job], ledger.past[job]
        if spec.role is Role.GENERATOR:
            return _GENERATES
        if spec.is_transparent or (spec.role is Role.EPHEMERAL and not ledger.open[job]):
            return ()
        inputs = self._assumed_inputs(job, {} if past.trace is None else past.trace.inputs)
        if spec.role is Role.OUTPUT:
            reasons = reasons_to_run(spec, past, inputs, ledger.problems.get(job, ()))
        else:
            reasons = reasons_to_remake(spec, past, inputs)
        if is_behind_generator:
            # What was an input may become one again.
            reasons = tuple(reason for reason in reasons if reason.kind is not ReasonKind.INPUT_REMOVED)
        return reasons

    def _assumed_inputs(self, job: int, before: Mapping[InputId, Fingerprint]) -> dict[InputId, Fingerprint]:
        ledger = self._ledger
        names: Iterable[InputId] = ledger.inputs[job]
        if ledger.spec[job].is_final:
            outputs = (spec.id for spec in ledger.spec if spec.role is Role.OUTPUT and not spec.is_final)
            names = dict.fromkeys((*names, *outputs))
        found = {}
        for name in names:
            number = ledger.number_of.get(name)
            if number is None:
                now = ledger.settled.get(name) or ledger.file_fingerprint.get(name)
            else:
                now = ledger.fingerprint[number]
            found[name] = before.get(name, "") if now is None else now
        return found

    def _add_needed(self, running: dict[int, tuple[Reason, ...]], others: Iterable[int]) -> None:
        """Add the ephemeral jobs whose product is not there when these run; `others` run anyway."""
        ledger = self._ledger
        stack = list(running)
        while stack:
            job = stack.pop()
            for source in ledger.products.get(job, ()):
                if source not in running and source not in others and source not in ledger.is_present:
                    running[source] = (Reason(ReasonKind.NEEDED, ledger.spec[job].id),)
                    stack.append(source)

    def _may_change(self, name: InputId) -> bool:
        number = self._ledger.number(name)
        return number is not None and self._ledger.fingerprint[number] is None

    def _first_roots(self, job: int) -> tuple[int, ...]:
        """Of a job that waits, by those of its inputs: whatever must run and makes something, or declares it."""
        found: dict[int, None] = {}
        for source in self._sources(job):
            if source in self._must and not self._ledger.spec[source].is_transparent:
                found[source] = None
            else:
                found.update(dict.fromkeys(self._roots.get(source, ())))
            if len(found) >= _MOST_ROOTS:
                break
        return tuple(found)[:_MOST_ROOTS]

    def _roots_of(self, job: int, seen: set[int]) -> tuple[int, ...]:
        """What leads to a job that may run; where it would only be needed: to the one that needs it."""
        while job not in self._roots and job not in seen:
            seen.add(job)
            job = self._ledger.number_of[self._may[job][0].subject]
        return self._roots.get(job, ())
