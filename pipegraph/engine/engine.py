"""Decides: which jobs must run and why, when they can, what is dropped, what is blocked, when all is over.

The engine is told what happened (`handle`) and answers with instructions, and with events for what it decided by
itself. It owns the ledger. It never asks a clock or a disk, starts nothing, and does not recurse: graphs
may be a hundred thousand jobs deep. Each job and each edge is looked at a bounded number of times.

How it goes: a job is *decided* once all its inputs are *settled* (have a fingerprint). An output job is then up to
date, or required. A loading job settles at once, a temporary file, a cache and an opaque load if the recorded
inputs match. Such an ephemeral job is required only by a dependent that must run, which then waits for its product.
A dependent that has ended, or never will run, no longer *holds* the products of its inputs; what nobody holds is
dropped.

Longer than other files: these rules call each other, and to read them is to read them together. What they only look
things up in (ledger), what they explain (reasons) and what they refuse (growth) lies beside them.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from itertools import pairwise

from ..errors import RuntimeException
from ..events import (
    Event,
    GraphGrew,
    JobBlocked,
    JobFailed,
    JobNotNeeded,
    JobsLost,
    JobStarted,
    JobStopped,
    JobSucceeded,
    JobUpToDate,
    StopRequested,
    Warned,
)
from ..model import (
    MEASURED_FROM_SECONDS,
    Failure,
    FileRecord,
    Fingerprint,
    InputId,
    JobId,
    JobSpec,
    Reason,
    ReasonKind,
    Role,
    Trace,
)
from ..order import longest_ways
from . import growth
from .instructions import DropProduct, EndRun, Instruction, StartJob, WithdrawJob
from .ledger import (
    DONE,
    EPHEMERAL,
    GENERATOR,
    IN_VAIN,
    INVARIANT,
    NO_PAST,
    OUTPUT,
    READY,
    REQUIRED,
    RUNNING,
    WAITING,
    Ledger,
    State,
)
from .prospects import Prospect, prospects_of
from .reasons import fingerprint_of_files, fingerprint_of_inputs, reasons_to_remake, reasons_to_run

_TO_COME = frozenset((WAITING, REQUIRED, READY, RUNNING))
_GENERATES = (Reason(ReasonKind.GENERATES),)
_new = tuple.__new__
"""Of a named tuple; its own takes longer, and nearly all jobs are up to date."""


class Engine:
    """One run's decisions."""

    def __init__(self) -> None:
        self._ledger = Ledger()
        self._decidable: deque[int] = deque()
        self._answers: list[Instruction] = []
        self._active = 0
        self._finals: list[int] = []
        self._is_stopping = False
        self._has_ended = False
        self._has_failures = False

    # --- questions, which change nothing

    def objection_to(self, event: JobSucceeded) -> Failure | None:
        """Why what a generator added can't be accepted; None if it can."""
        if not event.growth.jobs and not event.growth.edges:
            return None
        return growth.objection_to(self._ledger, self._ledger.number_of[event.job], event.growth)

    def trace_of(self, event: JobSucceeded) -> Trace:
        """What to remember of a job that succeeded."""
        job = self._ledger.number_of[event.job]
        spec = self._ledger.spec[job]
        inputs = self._inputs(job)
        outputs = self._records(job, event.outputs)
        if spec.outputs:
            fingerprint = fingerprint_of_files(outputs)
        elif spec.is_opaque:
            fingerprint = self._ledger.fingerprint[job] or event.fingerprint
        else:
            fingerprint = fingerprint_of_inputs(inputs)
        usage = event.usage
        ended_at = usage.started_at + usage.seconds
        reasons = self._ledger.reasons.get(job, ())
        how = usage.seconds, usage.peak_bytes, ended_at, reasons
        trace = Trace(inputs, fingerprint, outputs, *how, brought_back=event.brought_back)
        if usage.seconds < MEASURED_FROM_SECONDS:
            return trace
        _, _, cpu_seconds, _, read_bytes, written_bytes = usage
        return trace._replace(cpu_seconds=cpu_seconds, read_bytes=read_bytes, written_bytes=written_bytes)

    def prospects(self) -> dict[JobId, Prospect]:
        """What is to come of each job, as far as it is known now."""
        return prospects_of(self._ledger)

    def longest_ways(self, seconds_of: Callable[[JobSpec], float]) -> dict[JobId, float]:
        """Of each job the longest way from its start to an end of the graph, in seconds; what has ended takes none."""
        ledger = self._ledger
        seconds = [seconds_of(spec) if state in _TO_COME else 0.0 for spec, state in zip(ledger.spec, ledger.state)]
        return dict(zip(ledger.number_of, longest_ways(ledger.dependents, seconds)))

    def inputs_of(self, job: JobId) -> dict[InputId, Fingerprint] | None:
        """The inputs of a job with their fingerprints, once all have one; else None."""
        ledger = self._ledger
        number = ledger.number_of.get(job)
        if number is None or ledger.unsettled[number] or ledger.spec[number].role is Role.INVARIANT:
            return None
        return ledger.current_inputs(number)

    def is_to_grow(self, but: JobId | None) -> bool:
        """Whether any generator but this one has not ended, however it will."""
        ledger = self._ledger
        return bool(ledger.generators_to_come.difference(() if but is None else (ledger.number_of[but],)))

    # --- what happened

    def handle(self, event: Event) -> list[Instruction]:
        """Take note of an event, and say what follows from it.

        Raises
        ------
        RuntimeException
            The run can't go on, or an event is impossible: a bug in pipegraph.
        """
        if isinstance(event, JobSucceeded):
            self._on_succeeded(event)
        elif isinstance(event, JobStarted):
            self._ledger.state[self._ledger.number_of[event.job]] = RUNNING
            return []
        elif isinstance(event, JobFailed):
            self._on_failed(event)
        elif isinstance(event, GraphGrew):
            self._on_grew(event)
        elif isinstance(event, JobStopped):
            self._on_stopped(event)
        elif isinstance(event, JobsLost):
            self._on_lost(event)
        elif isinstance(event, StopRequested):
            self._on_stop()
        else:
            return []
        self._decide_all()
        self._end_if_over()
        answers, self._answers = self._answers, []
        return answers

    def _on_grew(self, event: GraphGrew) -> None:
        ledger = self._ledger
        maker = None if event.by is None else ledger.number_of[event.by]
        if maker is not None:
            for spec in event.jobs:
                known = ledger.number_of.get(spec.id)
                if known is not None and ledger.spec[known].role is not INVARIANT:
                    ledger.add_product(known, maker)
        first = len(ledger.spec)
        jobs = ledger.add_all(event.jobs, event.pasts, event.measured)
        for spec in ledger.spec[first:] if event.unmeasured else ():
            if ledger.state[ledger.number_of[spec.id]] is State.FAILED:
                self._has_failures = True
                self._answers.append(JobFailed(spec.id, event.unmeasured[spec.id]))
        for job, spec in jobs:
            if spec.is_final:
                self._finals.append(job)
                ledger.unsettled[job] += 1
            if event.problems and spec.id in event.problems:
                ledger.problems[job] = event.problems[spec.id]
            if spec.role is EPHEMERAL:
                self._look_for_leftovers(job)
            if maker is not None:
                ledger.add_product(job, maker)
            ledger.connect_all(job, spec.inputs)
        # Ephemeral jobs hold what they need once somebody needs them: if nobody does, nothing is made for them.
        ledger.holds.update([job for job, spec in jobs if spec.role is not EPHEMERAL and job not in ledger.products])
        for job, spec in jobs if ledger.products else ():
            if spec.role is not EPHEMERAL:
                self._hold(job)
        for dependent, name in event.edges:
            self._add_edge(ledger.number_of[dependent], name)
        state, unsettled = ledger.state, ledger.unsettled
        for job, _ in jobs:
            culprit = self._bad_input(job) if self._has_failures else None
            if culprit is not None:
                self._block(job, culprit)
            elif not unsettled[job] and state[job] is WAITING:
                self._decidable.append(job)

    def _add_edge(self, job: int, name: InputId) -> None:
        ledger = self._ledger
        inputs = ledger.inputs[job]
        if name in inputs:
            return
        ledger.inputs[job] = [*inputs, name]
        source = ledger.connect(job, name)
        if source is None:
            return
        self._need_product(job, source)
        if ledger.state[job] is State.WAITING:
            culprit = self._bad_input(job)
            if culprit is not None:
                self._block(job, culprit)

    def _need_product(self, job: int, source: int) -> None:
        """A job that is there already can't run without the product of another, if that leaves one."""
        ledger = self._ledger
        if source in ledger.open and source not in ledger.products.get(job, ()):
            ledger.add_product(job, source)
            if job in ledger.holds:
                self._open(source)

    def _bad_input(self, job: int) -> int | None:
        """The failed job that makes it impossible, if one of its inputs ended badly."""
        ledger = self._ledger
        for name in ledger.inputs[job] if self._has_failures else ():
            source = ledger.number(name)
            if source is not None and ledger.state[source] in IN_VAIN:
                return ledger.culprit.get(source, source)
        return None

    def _look_for_leftovers(self, job: int) -> None:
        """Files of a temporary job that outlasted an earlier run, or were to."""
        ledger = self._ledger
        kinds = [reason.kind for reason in ledger.problems.get(job, ())]
        past = ledger.past[job]
        if past is NO_PAST or kinds.count(ReasonKind.OUTPUT_MISSING) == len(ledger.spec[job].outputs):
            return
        if not ledger.spec[job].keeps:
            ledger.lies_about.add(job)
        if not kinds and past.trace is not None and not past.is_unfinished and not past.has_failed:
            ledger.is_present.add(job)

    def _on_succeeded(self, event: JobSucceeded) -> None:
        ledger = self._ledger
        job = ledger.number_of[event.job]
        if ledger.state[job] is not RUNNING:
            raise RuntimeException("a job ended that was not running", [("job", event.job)])
        self._active -= 1
        spec = ledger.spec[job]
        is_settled = ledger.fingerprint[job] is not None
        if spec.outputs:
            records = self._records(job, event.outputs)
            self._warn_if_not_reproducible(job, records)
            fingerprint = fingerprint_of_files(records)
            if len(spec.outputs) > 1:
                for record in records:
                    ledger.file_fingerprint[record.path] = record.fingerprint
        elif spec.is_opaque:
            self._warn_if_loaded_otherwise(job, event.fingerprint)
            fingerprint = event.fingerprint
        else:
            fingerprint = fingerprint_of_inputs(self._inputs(job))
        ledger.state[job] = DONE
        ledger.reasons.pop(job, None)
        if job in ledger.open:
            ledger.is_present.add(job)
            for waiter in ledger.waiters.pop(job, ()):
                self._note_product(waiter)
        if not is_settled:
            self._settle(job, fingerprint)
        self._let_go(job)
        self._note_generator(job)
        if spec.role is EPHEMERAL and not ledger.open[job]:
            self._drop(job)

    def _on_failed(self, event: JobFailed) -> None:
        job = self._ledger.number_of[event.job]
        state = self._ledger.state[job]
        if state in (READY, RUNNING):
            self._active -= 1
        elif state not in (WAITING, REQUIRED, State.VALID, State.UNWANTED):
            # (What waits may be refused before its turn comes.)
            raise RuntimeException("a job failed that was not to run", [("job", event.job)])
        self._has_failures = True
        self._ledger.state[job] = State.FAILED
        self._end_badly(job)
        self._block_dependents(job, job)

    def _on_stopped(self, event: JobStopped) -> None:
        job = self._ledger.number_of[event.job]
        self._active -= 1
        self._ledger.state[job] = State.STOPPED
        self._end_badly(job)

    def _on_stop(self) -> None:
        self._is_stopping = True
        ledger = self._ledger
        for job, state in enumerate(ledger.state):
            if state is READY:
                ledger.state[job] = REQUIRED
                self._active -= 1
                self._answers.append(WithdrawJob(ledger.spec[job].id))

    def _on_lost(self, event: JobsLost) -> None:
        ledger = self._ledger
        for name in event.memory:
            ledger.is_present.discard(ledger.number_of[name])
        # What a generator names may have come from any that ended before it: they run again in the order they ran in.
        memory = map(ledger.number_of.__getitem__, event.memory)
        lost = [job for job in memory if ledger.spec[job].role is GENERATOR]
        for earlier, later in pairwise(lost):
            self._put_behind(later, earlier)
        for later in ledger.generators_to_come if lost else ():
            self._put_behind(later, lost[-1])
        for name in event.running:
            job = ledger.number_of[name]
            self._active -= 1
            ledger.state[job] = REQUIRED
        # Where no product is gone, nobody else is touched.
        for job in range(len(ledger.state)) if event.memory else [ledger.number_of[name] for name in event.running]:
            state = ledger.state[job]
            if state is REQUIRED:
                self._require(job, ledger.reasons[job])
            elif state is READY and not self._has_products(job):
                self._withdraw(job)
                self._require(job, ledger.reasons[job])

    def _put_behind(self, later: int, earlier: int) -> None:
        """Have a generator wait for another, which it does not depend on, however that will end."""
        if earlier not in self._ledger.products.get(later, ()):
            self._need_product(later, earlier)
            self._ledger.put_behind.setdefault(earlier, []).append(later)

    def _let_pass(self, earlier: int) -> None:
        """What was put behind it goes on without it."""
        ledger = self._ledger
        for later in ledger.put_behind.pop(earlier, ()):
            ledger.products[later].remove(earlier)
            waiters = ledger.waiters.get(earlier, {})
            if later in waiters:
                del waiters[later]
                self._note_product(later)

    # --- deciding

    def _decide_all(self) -> None:
        decidable = self._decidable
        state = self._ledger.state
        while decidable:
            job = decidable.popleft()
            if state[job] is WAITING:
                self._decide(job)

    def _decide(self, job: int) -> None:
        ledger = self._ledger
        spec = ledger.spec[job]
        if spec.role is OUTPUT:
            past = ledger.past[job]
            problems = ledger.problems.pop(job, ()) if ledger.problems else ()
            inputs = self._inputs(job, spec) if spec.is_final else ledger.current_inputs(job)
            reasons = reasons_to_run(spec, past, inputs, problems)
            ledger.past[job] = NO_PAST
            if reasons:
                self._require(job, reasons)
                return
            trace = past.trace
            assert trace is not None
            ledger.state[job] = DONE
            self._answers.append(_new(JobUpToDate, (spec.id,)))
            if len(spec.outputs) > 1:
                self._note_files(trace)
            self._settle(job, trace.fingerprint)
            if job in ledger.products:
                self._let_go(job)
            else:
                ledger.holds.discard(job)
        elif spec.role is GENERATOR:
            self._require(job, _GENERATES)
        elif spec.is_transparent:
            ledger.state[job] = State.VALID
            self._settle(job, fingerprint_of_inputs(self._inputs(job)))
        else:
            past = ledger.past[job]
            reasons = reasons_to_remake(spec, past, self._inputs(job))
            if not reasons:
                assert past.trace is not None
                ledger.state[job] = State.VALID
                self._settle_as_recorded(job, past.trace)
            else:
                if ledger.open[job]:
                    self._require(job, (*reasons, self._need_for(job)))
                else:
                    ledger.state[job] = State.UNWANTED
                    ledger.reasons[job] = reasons

    def _need_for(self, job: int) -> Reason:
        ledger = self._ledger
        holder = next(each for each in ledger.dependents[job] if each in ledger.holds)
        return Reason(ReasonKind.NEEDED, ledger.spec[holder].id)

    def _inputs(self, job: int, spec: JobSpec | None = None) -> dict[InputId, Fingerprint]:
        ledger = self._ledger
        inputs = ledger.current_inputs(job)
        if (spec or ledger.spec[job]).is_final:
            for other, each in enumerate(ledger.spec):
                if each.role is Role.OUTPUT and not each.is_final:
                    fingerprint = self._ledger.fingerprint[other]
                    assert fingerprint is not None
                    inputs[each.id] = fingerprint
        return inputs

    def _settle_as_recorded(self, job: int, trace: Trace) -> None:
        if len(self._ledger.spec[job].outputs) > 1:
            self._note_files(trace)
        self._settle(job, trace.fingerprint)

    def _note_files(self, trace: Trace) -> None:
        for record in trace.outputs:
            self._ledger.file_fingerprint[record.path] = record.fingerprint

    def _settle(self, job: int, fingerprint: Fingerprint) -> None:
        ledger = self._ledger
        ledger.fingerprint[job] = fingerprint
        dependents = ledger.dependents[job]
        if not dependents:
            return
        unsettled, decidable = ledger.unsettled, self._decidable
        for dependent in dependents:
            left = unsettled[dependent] - 1
            unsettled[dependent] = left
            if not left:
                decidable.append(dependent)

    def _require(self, job: int, reasons: tuple[Reason, ...]) -> None:
        """The job must run; so must those whose products it needs and that are not there."""
        ledger = self._ledger
        ledger.state[job] = REQUIRED
        ledger.reasons[job] = reasons
        stack = [job]
        while stack:
            one = stack.pop()
            if ledger.state[one] is not REQUIRED:
                continue
            self._hold(one)
            absent = [each for each in ledger.products.get(one, ()) if each not in ledger.is_present]
            bad = next((each for each in absent if ledger.state[each] in IN_VAIN), None)
            if bad is not None:
                self._block(one, ledger.culprit.get(bad, bad))
                continue
            for each in absent:
                ledger.waiters.setdefault(each, {})[one] = None
                if ledger.state[each] in (State.VALID, DONE, State.UNWANTED):
                    ledger.state[each] = REQUIRED
                    why: tuple[Reason, ...] = _GENERATES if ledger.spec[each].role is GENERATOR else ()
                    if ledger.spec[each].keeps:
                        why = ledger.problems.pop(each, ())
                    need = Reason(ReasonKind.NEEDED, ledger.spec[one].id)
                    ledger.reasons[each] = (*ledger.reasons.get(each, why), need)
                    stack.append(each)
            ledger.missing[one] = len(absent)
            if not absent:
                self._make_ready(one)

    def _stop_waiting(self, job: int) -> None:
        """The job will not run: what was to be made for it alone, and has not begun, is not made."""
        ledger = self._ledger
        stack = [job]
        while stack:
            one = stack.pop()
            for source in ledger.products.get(one, ()):
                waiters = ledger.waiters.get(source)
                if waiters is None or one not in waiters:
                    continue
                del waiters[one]
                if waiters or ledger.spec[source].role is not EPHEMERAL:
                    continue
                state = ledger.state[source]
                if state is READY:
                    self._withdraw(source)
                if state in (READY, REQUIRED):
                    ledger.state[source] = State.VALID
                    ledger.reasons.pop(source)
                    stack.append(source)

    def _has_products(self, job: int) -> bool:
        return all(each in self._ledger.is_present for each in self._ledger.products.get(job, ()))

    def _note_product(self, job: int) -> None:
        ledger = self._ledger
        ledger.missing[job] -= 1
        if not ledger.missing[job]:
            self._make_ready(job)

    def _make_ready(self, job: int) -> None:
        if self._is_stopping:
            return
        self._ledger.missing.pop(job, None)
        self._ledger.state[job] = READY
        self._active += 1
        self._answers.append(StartJob(self._ledger.spec[job].id, self._ledger.reasons[job]))

    def _withdraw(self, job: int) -> None:
        self._active -= 1
        self._answers.append(WithdrawJob(self._ledger.spec[job].id))

    # --- products: held by dependents that may need them, dropped when nobody does

    def _open(self, source: int) -> None:
        """One more dependent may need the product."""
        ledger = self._ledger
        stack = [source]
        while stack:
            one = stack.pop()
            ledger.open[one] += 1
            if ledger.open[one] > 1:
                continue
            state = ledger.state[one]
            if state is State.UNWANTED:
                self._require(one, (*ledger.reasons.pop(one), self._need_for(one)))
            elif state in (State.WAITING, State.VALID) and one not in ledger.holds:
                ledger.holds.add(one)
                stack.extend(ledger.products.get(one, ()))

    def _hold(self, job: int) -> None:
        """The job may need the products of its inputs (again)."""
        ledger = self._ledger
        if job not in ledger.holds:
            ledger.holds.add(job)
            for source in ledger.products.get(job, ()):
                self._open(source)

    def _let_go(self, job: int) -> None:
        """The job needs the products of its inputs no more."""
        ledger = self._ledger
        if job not in ledger.products:
            ledger.holds.discard(job)
            return
        stack = [job]
        while stack:
            one = stack.pop()
            if one not in ledger.holds:
                continue
            ledger.holds.discard(one)
            for source in ledger.products.get(one, ()):
                ledger.open[source] -= 1
                if not ledger.open[source] and self._drop(source):
                    stack.append(source)

    def _drop(self, job: int) -> bool:
        """Nobody needs the product of this ephemeral job; true if it needs nothing itself any more."""
        ledger = self._ledger
        spec = ledger.spec[job]
        if spec.role is not EPHEMERAL:
            return False
        state = ledger.state[job]
        if state in (READY, REQUIRED):
            # For its fingerprint: what was to be made for others is not any more (see `_stop_waiting`).
            if state is READY:
                self._withdraw(job)
            ledger.state[job] = State.UNWANTED
            ledger.reasons[job] = tuple(why for why in ledger.reasons[job] if why.kind is not ReasonKind.NEEDED)
            self._stop_waiting(job)
        elif state is RUNNING:
            return False
        if (
            job in ledger.is_present
            and ledger.fingerprint[job] is not None
            and (spec.in_memory or job not in ledger.is_kept)
            and not spec.keeps
        ):
            if ledger.generators_to_come:
                # One of them may declare a job that needs it, and nothing is made twice in a run.
                ledger.undropped[job] = None
                return True
            ledger.is_present.discard(job)
            ledger.lies_about.discard(job)
            self._answers.append(DropProduct(spec.id))
        return True

    def _note_generator(self, job: int) -> None:
        """If this was the last generator to end, nobody can come to need what is not needed now."""
        ledger = self._ledger
        if job in ledger.generators_to_come:
            ledger.generators_to_come.discard(job)
            if not ledger.generators_to_come:
                undropped, ledger.undropped = ledger.undropped, {}
                for each in undropped:
                    if not ledger.open[each]:
                        self._drop(each)

    def _end_badly(self, job: int) -> None:
        ledger = self._ledger
        ledger.reasons.pop(job, None)
        ledger.missing.pop(job, None)
        ledger.is_kept.update(ledger.products.get(job, ()))
        self._stop_waiting(job)
        self._let_pass(job)
        self._let_go(job)
        self._note_generator(job)

    # --- failure

    def _block(self, job: int, culprit: int) -> None:
        if self._block_one(job, culprit):
            self._block_dependents(job, culprit)

    def _block_dependents(self, job: int, culprit: int) -> None:
        """Block who depends on it and, since it may have been there before a slave died, who waits for its product."""
        ledger = self._ledger
        stack = [job]
        while stack:
            one = stack.pop()
            waiters = [each for each in ledger.waiters.pop(one, ()) if ledger.state[each] is REQUIRED]
            stack.extend(each for each in (*ledger.dependents[one], *waiters) if self._block_one(each, culprit))

    def _block_one(self, job: int, culprit: int) -> bool:
        ledger = self._ledger
        state = ledger.state[job]
        if state not in (State.WAITING, State.VALID, State.UNWANTED, REQUIRED):
            return False
        ledger.state[job] = State.BLOCKED
        ledger.culprit[job] = culprit
        self._answers.append(JobBlocked(ledger.spec[job].id, ledger.spec[culprit].id))
        self._end_badly(job)
        return True

    # --- temporary files that were made again

    def _records(self, job: int, outputs: tuple[FileRecord, ...]) -> tuple[FileRecord, ...]:
        """As measured; but what was made again from the same inputs keeps its fingerprint."""
        ledger = self._ledger
        if ledger.fingerprint[job] is None:
            return outputs
        return tuple(
            record._replace(fingerprint=ledger.file_fingerprint.get(record.path) or ledger.fingerprint[job] or "")
            for record in outputs
        )

    def _warn_if_not_reproducible(self, job: int, records: Iterable[FileRecord]) -> None:
        ledger = self._ledger
        trace = ledger.past[job].trace
        if ledger.fingerprint[job] is None or trace is None:
            return
        before = {record.path: record.content for record in trace.outputs}
        differing = [record.path for record in records if before.get(record.path) != record.content]
        if differing:
            self._answers.append(
                Warned(
                    "a file came out differently when it was made again from the same inputs",
                    ledger.spec[job].id,
                    f"{', '.join(differing)}: its job is not reproducible. What depends on it was decided by the "
                    "first making. Fix its random seed, or leave out times and host names.",
                )
            )

    def _warn_if_loaded_otherwise(self, job: int, fingerprint: Fingerprint) -> None:
        if self._ledger.fingerprint[job] not in (None, fingerprint):
            self._answers.append(
                Warned(
                    "other data was loaded than before from the same inputs",
                    self._ledger.spec[job].id,
                    "What depends on it was decided by the first loading. Let it depend on what it loads.",
                )
            )

    # --- the end

    def _end_if_over(self) -> None:
        while not self._active and not self._has_ended:
            if not self._is_stopping and self._finals:
                self._begin_final_jobs()
                self._decide_all()
                continue
            self._has_ended = True
            self._end()

    def _begin_final_jobs(self) -> None:
        ledger = self._ledger
        finals, self._finals = self._finals, []
        culprit = next(
            (
                ledger.culprit.get(job, job)
                for job, state in enumerate(ledger.state)
                if state in IN_VAIN and ledger.spec[job].role is not Role.INVARIANT
            ),
            None,
        )
        for job in finals:
            if culprit is not None:
                self._block(job, culprit)
            else:
                self._decidable.append(job)

    def _end(self) -> None:
        ledger = self._ledger
        for job, state in enumerate(ledger.state):
            if state is DONE:  # of a million jobs most often all
                continue
            # Behind a temporary file that nobody needs there may be more of them, waiting for its fingerprint.
            if state in (State.VALID, State.UNWANTED) or (state is State.WAITING and ledger.open.get(job) == 0):
                self._answers.append(JobNotNeeded(ledger.spec[job].id))
                if job in ledger.lies_about and job not in ledger.is_kept and not self._is_stopping:
                    self._answers.append(DropProduct(ledger.spec[job].id))
            elif state in (State.WAITING, REQUIRED) and not self._is_stopping:
                raise RuntimeException("the run can't go on", [("job", ledger.spec[job].id), ("state", state.name)])
        self._answers.append(EndRun())
