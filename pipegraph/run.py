"""The loop of a run; alone in knowing all of engine, coordinator, status file, slaves and watchers.

In English: the slave is there already, forked before anything of a run existed. Take the status file. Survey what the
script declared: what takes long to read is read by processes of the slave, and what they find is written down as it
comes. Once all is known, tell the engine. Then, until the engine says that all is over: start what may start and fits,
wait for slaves and signals in one place, tell the engine what happened, write it down, show it. A job is recorded as
started before it starts, and as made before anything that depends on it is told. What a generator declared is surveyed
like the script's own, while other jobs go on; only then the engine is told of it, and that the generator succeeded.
Longer than other files: what is wished at the keyboard changes the same few fields as what happens. What has fields of
its own is elsewhere, and answers: what is surveyed (arrivals), what is started again (second chances), what changed.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import sys
import time
from collections.abc import Callable, Iterable
from functools import partial
from itertools import groupby

from . import __version__
from .admission import Admission
from .admission.pressure import Pressure
from .admission.supply import supply_of
from .arrivals import Arrival, Arrivals
from .caches import Caches
from .changes import Changes
from .coordinator import Coordinator
from .coordinator.forecasts import Forecasts
from .dialogue import Dialogue
from .engine import DropProduct, EndRun, Engine, Fate, Instruction, StartJob, WithdrawJob
from .errors import StatusWriteError
from .events import (
    Event,
    FilesOpened,
    FilesRead,
    FingerprintsExplained,
    GraphGrew,
    JobBegan,
    JobBlocked,
    JobFailed,
    JobNotNeeded,
    JobsLost,
    JobsSeen,
    JobStarted,
    JobStopped,
    JobSucceeded,
    JobsUpToDate,
    JobUpToDate,
    ProductDropped,
    RunBegan,
    RunEnded,
    StopRequested,
    Warned,
)
from .graph import INTERACTIVE, Graph
from .machine.jobserver import Access, Lending
from .machine.memory import Memory
from .model import (
    NO_GROWTH,
    NOTHING_OPENED,
    Failure,
    FailureKind,
    JobId,
    JobSpec,
    Opened,
    Place,
    Printed,
    Role,
    Specs,
    UsualSpec,
)
from .outcomes import error_of_run
from .placeholders import filled, numbers_of
from .remarks import Remarks
from .results.address import Address, address_of
from .second_chances import SecondChances
from .signals import Signals
from .slaves import LocalSlave, ended_on_request, put_away
from .slaves.strict import landlock_version
from .status import StatusFile
from .status.adoption import end_wish, is_believed
from .status.declarations import declare, gone_of
from .targets import check_all_named
from .undeclared import Judge, Undeclared, Verdict
from .watchers import Audience, Board, start_watchers

_TICK_SECONDS = 1.0
_LOOK_SHARE = 0.01
_ANSWER_SECONDS = 0.05
_SHOWN_AT_ONCE = 10_000
_INPUTS_SECONDS = 10.0


class Run:
    """One run of one graph, whose first slave is there.

    Parameters
    ----------
    began_at
        Seconds since 1970.
    where
        The line of the script that asked for the run.
    log_folder
        Of this run alone; None: no logs.
    """

    def __init__(
        self, graph: Graph, slave: LocalSlave, run_id: str, began_at: float, where: Place, log_folder: str | None
    ) -> None:
        self._graph = graph
        self._declared = graph.specs()
        self._where = where
        self._log_folder = log_folder
        self._script = graph.script_name() or INTERACTIVE
        self._specs = Specs(self._declared)
        self._capacity = graph.rc.capacity()
        self._engine = Engine()
        self._began_at = began_at
        self._began = time.monotonic()
        self._run_id = run_id
        self._slave = slave
        self._status: StatusFile
        self._admission: Admission
        self._second_chances: SecondChances
        self._arrivals: Arrivals
        self._changes: Changes
        self._remarks: Remarks
        self._audience: Audience
        self._dialogue: Dialogue
        self._signals: Signals
        self._is_over = self._ends_early = self._is_cut_short = False
        self._next_look = 0.0
        self._stopped_by = 0
        self._stops = 0
        self._killed: set[JobId] = set()
        self._write_error: StatusWriteError | None = None
        self._reasons: dict[JobId, StartJob] = {}
        self._refused: dict[JobId, Failure] = {}
        # What was judged of jobs whose success is on file already, and has not been told yet.
        self._recorded: dict[JobId, Verdict] = {}
        self._failures: list[tuple[JobFailed, JobSpec]] = []
        self._board = Board(self._specs)
        self._next_inputs = 0.0
        self._is_whole = graph.is_whole
        self._caches = Caches(lambda job: self._status.past(job), self._engine.inputs_of)
        self._caches.grow(self._declared)
        self._judge = Judge(self._specs, self._maker_in_script, self._own_files())

    def go(self) -> None:
        """From begin to end; raises what the run has to say."""
        with contextlib.ExitStack() as stack:
            early: list[Warned] = []
            holder = {"run": self._run_id}
            self._status = StatusFile.open(self._graph.invariant_status_filename, early.append, holder)
            stack.callback(self._close_status)
            self._slave.close_in_fork.append(self._status.close_in_fork)
            self._arrivals = Arrivals(
                self._status, self._graph.accepts, self._slave.read, self._end_arrival, self._engine.is_to_grow
            )
            self._changes = Changes(self._status, self._engine, self._specs, self._graph.explain, self._graph.maker_id)
            self._remarks = Remarks(self._status, self._specs, self._show)
            self._audience = start_watchers(
                self._board,
                self._specs,
                self._log_folder,
                self._graph.quiet,
                self._graph.dump_graph,
                self._graph.log_port,
            )
            stack.callback(self._audience.close)
            self._slave.close_in_fork.append(self._audience.close_in_fork)
            is_asked = self._graph.interactive and self._graph.rc.interactive and not self._graph.quiet
            self._signals = Signals()
            stack.callback(self._signals.restore)
            self._slave.close_in_fork.append(self._signals.close_in_fork)
            self._dialogue = Dialogue(self._board, self, self._audience.terminal, sys.stderr, is_asked)
            stack.callback(self._dialogue.close)
            self._slave.close_in_fork.append(self._dialogue.close)
            memory = Memory()
            stack.callback(memory.close)
            self._slave.close_in_fork.append(memory.close_in_fork)
            self._admission = self._admit(memory, early.append)
            stack.callback(self._admission.close)
            self._slave.close_in_fork.append(self._admission.close_in_fork)
            self._second_chances = SecondChances(
                self._specs,
                self._admission,
                self._capacity.memory_bytes,
                self._graph.retries_out_of_memory,
                self._show,
            )
            self._show(self._beginning())
            for warning in early:
                self._show(warning)
            self._remarks.show_on(self._declared)
            if self._graph.strict and not landlock_version():
                self._show(
                    Warned(
                        "strict=True, but this kernel has no Landlock: jobs may write everywhere",
                        mend="Landlock is in Linux 5.13 and newer, if it is in /sys/kernel/security/lsm.",
                    )
                )
            try:
                self._loop()
                self._remarks.check_inputs()
                self._note_gone()
            except BaseException as error:
                self._show(Warned(f"the run ended early: {type(error).__name__}: {str(error).partition(chr(10))[0]}"))
                if any(self._board.counts()):
                    self._show_end()
                raise
            self._show_end()
        self._raise_what_happened()

    def _admit(self, memory: Memory, warn: Callable[[Warned], None]) -> Admission:
        """Who says which job starts, and when."""
        script = os.path.join(self._graph.directory, self._script)
        supply, cores, problem = supply_of(os.environ, script, self._run_id, self._capacity)
        if isinstance(problem, str):
            if problem:
                warn(Warned(problem))
        else:
            warn(Warned(problem.headline, mend="; ".join([*(f"{k}: {v}" for k, v in problem.facts), problem.mend])))
        memory_bytes = self._capacity.memory_bytes
        return Admission(
            Coordinator(cores, memory_bytes, self._graph.resources),
            Forecasts(self._board.estimates, self._status.input_bytes, memory_bytes // cores),
            Pressure(memory, memory_bytes // cores),
            Lending(self._slave.folder, cores - 1),
            self._engine.longest_ways,
            supply,
        )

    @property
    def is_again(self) -> bool:
        """The script is to be run anew."""
        return self._board.is_again

    # --- the loop

    def _loop(self) -> None:
        try:
            declare(self._declared, self._script, self._status)
            self._arrivals.begin(self._declared, ())
        except StatusWriteError as error:
            self._give_up(error)
        poll = select.poll()
        poll.register(self._signals.fileno(), select.POLLIN)
        watched: set[int] = set()
        next_tick = time.monotonic() + self._audience.tick_seconds
        while not self._is_over:
            self._start_again()
            if not self._slave.has_news:  # perhaps that a generator's fork, which would be adopted, has died
                self._arrivals.go_on()
            if not self._start_what_fits():
                break
            self._admission.settle(time.monotonic())
            keyboard = self._dialogue.fileno()
            current_fds = {*self._slave.fileno(), *self._admission.fileno(), keyboard}
            if watched != current_fds:
                for fd in watched - current_fds - {-1}:
                    poll.unregister(fd)
                for fd in current_fds - watched - {-1}:
                    poll.register(fd, select.POLLIN)
                watched = current_fds
            until = next_tick
            for deadline in (
                self._slave.next_deadline(),
                self._second_chances.next_due(),
                self._admission.next_deadline(),
            ):
                if deadline is not None:
                    until = min(until, deadline)
            if self._arrivals.are_looked_at:
                until = 0.0
            readable = [descriptor for descriptor, _ in poll.poll(max(0, (until - time.monotonic()) * 1000))]
            if self._signals.fileno() in readable or self._signals.received:
                self._on_signals()
            happened = self._slave.receive(readable)
            self._record_successes(happened)
            for event in happened:
                for each in self._meant_by(event):
                    self._on_event(each)
            if keyboard in readable:
                self._dialogue.attend()
            now = time.monotonic()
            word = self._admission.attend(now, readable)
            if word:
                self._show(Warned(word))
            self._watch_memory(now)
            if now >= next_tick:
                next_tick = now + self._audience.tick_seconds
                self._tick(now)

    def _tick(self, now: float) -> None:
        oldest = next(iter(self._board.running_jobs.values()), None)
        if oldest is not None and now >= self._next_look and time.time() - oldest >= _TICK_SECONDS:
            self.look(0.0)
            took = time.monotonic() - now
            self._next_look = now + max(_TICK_SECONDS, took / _LOOK_SHARE)
        if now >= self._next_inputs:
            self._remarks.check_inputs()
            self._next_inputs = now + max(_INPUTS_SECONDS, (time.monotonic() - now) / _LOOK_SHARE)
        self._audience.tick(now)
        self._dialogue.tick(now)
        self._write(lambda: self._status.tick(now))

    def _end_arrival(self, arrival: Arrival, error: StatusWriteError | None) -> None:
        """All of it is known, or can't be recorded."""
        if error is not None:
            self._give_up(error)
        if arrival.success is not None:
            spec = self._specs[arrival.success.job]
            objection = None if error is None else _not_recorded(spec, error).failure
            grew = arrival.survey.arrival() if error is None else None
            self._end_success(arrival.success, objection, grew, arrival.hints)
        elif error is None:
            self._tell(arrival.survey.arrival())
        if error is None:
            for event in self._arrivals.release():
                self._on_event(event)
        else:  # what they name may be unknown for that reason alone
            self._end_generators(self._arrivals.drop_held())

    def _drop_arrivals(self) -> None:
        """What is being read is not waited for; the generators that declared it end as others that are ended."""
        self._end_generators(self._arrivals.drop(self._arrivals.makers()))
        self._end_generators(self._arrivals.drop_held())

    def _end_generators(self, jobs: Iterable[JobId]) -> None:
        for job in jobs:
            self._slave.discard(job)
            self._on_event(JobStopped(job))

    def _start_what_fits(self) -> bool:
        """False if the run is over."""
        if self._board.is_paused:
            return not self._is_over
        admission = self._admission
        is_fast = self._graph.wishes.fail_fast
        if is_fast and self._failures and not self._is_cut_short:
            self._is_cut_short = True
            self._tell(StopRequested(0, False))
        now = time.monotonic()
        while not self._is_over and (job := admission.next_turn(now)) is not None:
            self._slave.go(job)
        starting: list[tuple[JobSpec, bool]] = []
        if not self._is_over:
            while (spec := admission.next_start(now)) is not None:
                starting.append((spec, False))
            # What was told ahead begins whatever fails meanwhile.
            while not is_fast and (spec := admission.next_ahead()) is not None:
                starting.append((spec, True))
        if starting:
            self._start_all(starting)
        return not self._is_over

    def _start_all(self, starting: list[tuple[JobSpec, bool]]) -> None:
        """Start jobs, or tell them ahead; all of these starts are on file before the first order goes out."""
        now = time.time()
        adopted = {spec.id for spec, _ in starting if is_believed(spec, self._reasons[spec.id].reasons, self._status)}
        jobs = [spec.id for spec, _ in starting if spec.id not in adopted]
        note = self._status.note_started
        recorded = {*jobs[: self._status.together([partial(note, job, now) for job in jobs])], *adopted}
        for spec, is_ahead in starting:
            if spec.id in self._reasons:
                self._start(spec, is_ahead, now, spec.id in adopted, spec.id in recorded)
            else:  # withdrawn, since one before it could not be recorded
                self._admission.end(spec.id)

    def _start(self, spec: JobSpec, is_ahead: bool, now: float, is_adopted: bool, is_recorded: bool) -> None:
        start = self._reasons.pop(spec.id)
        self._second_chances.note_started(spec.id)
        changes = self._changes.behind(start)
        word = self._caches.word_on(spec, start.reasons)
        if word is not None:
            self._show(word)
        try:
            if not is_recorded:
                self._status.note_started(spec.id, now)
        except StatusWriteError as error:
            # Told first: once the run is to stop, this job is not to run any more, and can't fail.
            self._on_event(_not_recorded(spec, error))
            self._give_up(error)
            return
        granted = self._admission.grant_of(spec)
        command = filled(spec.command, numbers_of(granted)) if spec.command and not is_adopted else ""
        self._tell(JobStarted(spec.id, start.reasons, granted.cores, now, is_adopted, changes, command))
        address = None if spec.store is None or is_adopted else tuple(self._address_of(spec))
        contents = self._caches.contents(spec.id)
        access = None if is_adopted else self._access_for(spec)
        self._slave.start(spec, is_ahead, is_adopted, granted, contents, address, self._board.waiting, access)

    def _access_for(self, spec: JobSpec) -> Access | None:
        """How its programs take cores that are to spare, if they are to."""
        try:
            return self._admission.access_for(spec)
        except OSError as error:
            self._show(Warned(f"its programs share no cores: {error.strerror}: {error.filename}", spec.id))
            return None

    def _address_of(self, spec: JobSpec) -> Address:
        """Where its result is kept, or will be."""
        inputs_of, measured = self._engine.inputs_of, self._status.invariant
        address, bond = address_of(spec, self._specs, inputs_of, measured, self._graph.directory)
        if bond and not address.versions:
            self._remarks.show_bond(spec.id, bond)
        return address

    def _meant_by(self, event: Event) -> list[Event]:
        """A failure may be that of a cache, which is made again; what is lost with a slave may still be looked at."""
        if isinstance(event, JobFailed) and event.failure.damage is not None:
            return self._caches.events_after(event)
        if isinstance(event, JobsLost):
            # For the engine, a generator runs until all is known of what it declared.
            runs = self._arrivals.makers()
            memory = tuple([job for job in event.memory if job not in runs])
            return [JobsLost(tuple(sorted([*event.running, *(set(event.memory) - set(memory))])), memory)]
        return [event]

    def _on_event(self, event: Event) -> None:
        """What a slave reported."""
        if isinstance(event, JobSucceeded):
            if not self._arrivals.hold(event):
                self._on_succeeded(event)
            return
        if isinstance(event, JobStopped) and event.job in self._killed and not self._stops:
            event = JobFailed(event.job, ended_on_request(self._specs[event.job]))
        if isinstance(event, JobBegan):
            self._admission.begin(event.job, time.monotonic())
            return
        if isinstance(event, FilesRead):
            self._show(event)
            self._arrivals.note_read(event)
            return
        if isinstance(event, FingerprintsExplained):
            self._changes.note_told(event.by, event.explanations)
            self._arrivals.note_explained(event.by)
            return
        if isinstance(event, JobFailed):
            is_to_end = self._board.is_stopping or event.job in self._killed
            failed = self._second_chances.after_failure(event, is_to_end)
            self._admission.end(event.job, event.usage.seconds)
            if failed is None:
                return  # on file, it stays as started and not finished
            event = failed
            if event.failure.kind is not FailureKind.NOT_RECORDED:
                self._write(partial(self._status.note_failed, event.job, time.time()))
            self._remarks.show_undeclared(self._judge.judge(self._specs[event.job], event.opened).faults)
        elif isinstance(event, JobStopped):
            is_put_off = not self._board.is_stopping and self._second_chances.put_off_for_memory(event.job)
            self._admission.end(event.job)
            if is_put_off:
                return
        elif isinstance(event, JobsLost):
            hopeless, event = self._second_chances.after_loss(event)
            for each in hopeless:
                self._on_event(each)
            for job in event.running:
                self._admission.end(job)
            self._arrivals.drop(event.running)
            self._arrivals.drop_held(event.running)
            if self._arrivals.is_script_awaited:
                self._show(event)  # the engine, which knows of no job yet, would take the run for over
                return
        self._tell(event)

    def _watch_memory(self, now: float) -> None:
        """If it is about to run out, end the youngest job that holds any."""
        running = self._board.running_jobs
        if not self._second_chances.needs_memory(now, running):
            return
        self.look(_ANSWER_SECONDS)
        succeeded = self._arrivals.succeeded()
        job = self._second_chances.whom_to_end([each for each in running if each not in succeeded], now)
        if job is not None:
            self._slave.stop([job], True)

    def _start_again(self) -> None:
        """Whose time has come; the engine sees to what they need, which may have gone meanwhile."""
        due = self._second_chances.due(time.monotonic())
        if due:
            self._heed(JobsLost(tuple(due), ()))

    def _fail_put_off(self) -> None:
        """The run is to end: nobody is tried again."""
        for event in self._second_chances.give_up():
            self._write(partial(self._status.note_failed, event.job, time.time()))
            self._tell(event)

    def _record_successes(self, events: Iterable[Event]) -> None:
        """Those that only leave files, together; of what can't be recorded so, its own turn tells."""
        found: list[tuple[JobId, Verdict]] = []
        notes = []
        for event in events:
            if type(event) is JobSucceeded and event.growth is NO_GROWTH and event.outputs:
                verdict = self._judge.judge(self._specs[event.job], event.opened)
                if not (verdict.faults and self._graph.strict):
                    found.append((event.job, verdict))
                    notes.append(partial(self._changes.note_made, event, verdict.hints))
        if notes:
            self._recorded.update(found[: self._status.together(notes)])

    def _on_succeeded(self, event: JobSucceeded) -> None:
        recorded = self._recorded.pop(event.job, None)
        if recorded is not None:
            self._remarks.show_undeclared(recorded.faults)
            self._end_success(event, None, None, recorded.hints)
            return
        spec = self._specs[event.job]
        objection = self._engine.objection_to(event)
        verdict = self._judge.judge(spec, event.opened)
        if verdict.faults and self._graph.strict:
            objection = objection or _broken_by(verdict.faults[0])
            job = self._graph.jobs.get(spec.id)  # only the slave knows those that were generated
            put_away(spec.outputs, job is not None and job.rename_broken)
        else:
            self._remarks.show_undeclared(verdict.faults)
        growth = event.growth
        if objection is None:
            try:
                self._changes.note_made(event, verdict.hints)
                declare(growth.jobs, self._script, self._status)
                if growth.jobs or growth.edges:
                    unexplained = self._changes.to_ask(event.job, growth.jobs)
                    if unexplained:
                        self._slave.explain(event.job, unexplained)
                    self._arrivals.begin(growth.jobs, growth.edges, event, verdict.hints, not unexplained)
                    # While its jobs are looked at, another generator may run in a fork of its own; that one's success
                    # is held back until the engine was told of this one's.
                    self._follow(event)
                    self._start_what_fits()
                    return
            except StatusWriteError as error:
                objection = _not_recorded(spec, error).failure
                self._give_up(error)
        self._end_success(event, objection, None, verdict.hints)

    def _end_success(
        self, event: JobSucceeded, objection: Failure | None, grew: GraphGrew | None, hints: Opened
    ) -> None:
        """All is known of a job that succeeded; or it counts as failed."""
        spec = self._specs[event.job]
        if objection is not None:
            self._admission.end(event.job, event.usage.seconds)
            if spec.in_memory or spec.role is Role.GENERATOR:
                self._slave.discard(event.job)
            if objection.kind is not FailureKind.NOT_RECORDED:
                self._write(lambda: self._status.note_failed(event.job, time.time()))
            self._tell(JobFailed(event.job, objection, event.usage, event.printed))
            return
        if grew is None:
            self._follow(event)
        else:
            self._specs.grow(grew.jobs)
            self._caches.grow(grew.jobs)
            self._remarks.show_on(grew.jobs)
            self._tell(grew)
        self._remarks.note_used(spec)
        if not event.brought_back:
            self._admission.learn(spec, event.usage)
        for headline, mend in event.remarks:
            self._show(Warned(headline, spec.id, mend))
        self._tell(event)
        if hints is not NOTHING_OPENED:
            self._show(FilesOpened(spec.id, hints.read, hints.written, hints.is_cut))

    def _follow(self, event: JobSucceeded) -> None:
        """What this job has done is not undone any more; what it held is free."""
        spec = self._specs[event.job]
        self._admission.end(event.job, event.usage.seconds)
        self._is_whole &= event.growth.is_whole
        if spec.in_memory or spec.role is Role.GENERATOR:
            self._slave.adopt(event.job)

    def _tell(self, event: Event) -> None:
        """Show an event to everybody, and carry out what the engine makes of it."""
        self._show(event)
        if isinstance(event, GraphGrew):
            self._judge.grow(event)
            self._admission.grow(event.jobs, event.pasts)
        elif isinstance(event, JobFailed):
            self._failures.append((event, self._specs[event.job]))
        self._heed(event)
        if isinstance(event, StopRequested):
            self._fail_put_off()

    def _heed(self, event: Event) -> None:
        """Carry out what the engine makes of an event."""
        answers = self._engine.handle(event)
        for kind, instructions in groupby(answers, type) if answers else ():
            if kind is JobUpToDate:  # of a million jobs most often all
                self._note_up_to_date([instruction.job for instruction in instructions])  # type: ignore[union-attr]
                continue
            for instruction in instructions:
                self._carry_out(instruction)
        if isinstance(event, GraphGrew):
            self._refuse_what_never_fits(event.jobs)
        # Told only now: what follows from it may take back what has just been carried out.
        while self._refused:
            job = next(iter(self._refused))
            self._tell(JobFailed(job, self._refused.pop(job)))

    def _carry_out(self, instruction: Instruction) -> None:
        if isinstance(instruction, StartJob):
            self._reasons[instruction.job] = instruction
            spec = self._specs[instruction.job]
            objection = self._admission.objection_to(spec)
            if objection is None:
                self._admission.submit(spec)
            else:
                self._refused[instruction.job] = objection
        elif isinstance(instruction, (JobNotNeeded, JobBlocked)):
            self._refused.pop(instruction.job, None)
            self._show(instruction)
        elif isinstance(instruction, Warned):
            self._show(instruction)
        elif isinstance(instruction, JobFailed):
            self._failures.append((instruction, self._specs[instruction.job]))
            self._show(instruction)
        elif isinstance(instruction, WithdrawJob):
            self._admission.withdraw(instruction.job)
            self._reasons.pop(instruction.job, None)
            self._refused.pop(instruction.job, None)
        elif isinstance(instruction, DropProduct):
            self._drop(self._specs[instruction.job])
        elif isinstance(instruction, EndRun):
            self._is_over = True

    def _refuse_what_never_fits(self, specs: Iterable[JobSpec]) -> None:
        """Of jobs that need more than there is, those that are certain to run fail before any starts."""
        objections = {}
        for spec in specs:
            if type(spec) is not UsualSpec and (objection := self._admission.objection_to(spec)) is not None:
                objections[spec.id] = objection
        if objections:
            prospects = self._engine.prospects()
            must = [job for job in objections if job in prospects and prospects[job].fate is Fate.MUST]
            self._refused.update({job: objections[job] for job in must})

    def _note_up_to_date(self, jobs: list[JobId]) -> None:
        for first in range(0, len(jobs), _SHOWN_AT_ONCE):
            self._show(JobsUpToDate(tuple(jobs[first : first + _SHOWN_AT_ONCE])))
        for job in jobs if self._status.has_wishes else ():
            if self._status.is_to_be_adopted(job):
                self._write(partial(end_wish, job, self._status))

    def _drop(self, spec: JobSpec) -> None:
        if spec.in_memory:
            self._slave.release(spec.id)
        for path in spec.outputs:
            try:
                os.unlink(path)
            except FileNotFoundError:
                pass
            except OSError as error:
                self._show(Warned(f"a temporary file can't be removed: {path}: {error.strerror}", spec.id))
        self._show(ProductDropped(spec.id))

    # --- signals and faults

    def _on_signals(self) -> None:
        self._signals.drain()
        received, self._signals.received = self._signals.received, []
        for number in received:
            self._stop_by(number)

    def _stop_by(self, number: int) -> None:
        self._stops += 1
        self._stopped_by = self._stopped_by or number
        self._board.is_again = False
        is_urgent = self._stops > 1
        self._tell(StopRequested(number, is_urgent))
        self._slave.stop(None, is_urgent)
        self._drop_arrivals()

    # --- what is wished at the keyboard (dialogue.Controls)

    def look(self, wait_seconds: float) -> None:
        """See what runs, as it is now, or as the slaves told last if they don't answer in that time."""
        self._slave.ask_who(wait_seconds)
        seen = tuple(self._slave.look())
        self._admission.see(seen)
        self._show(JobsSeen(time.time(), seen))

    def printed(self, job: JobId, most_bytes: int) -> Printed:
        """The end of what a job has printed, so far or in all."""
        so_far = self._slave.printed_so_far(job, most_bytes)
        outcome = self._graph.outcomes.get(job)
        if so_far.stdout_bytes or so_far.stderr_bytes or outcome is None:
            return so_far
        out, err = outcome.stdout or "", outcome.stderr or ""
        return Printed(out[-most_bytes:], err[-most_bytes:], len(out.encode()), len(err.encode()))

    def stop(self) -> None:
        """Start nothing more, let running jobs finish, end."""
        if not self._ends_early and not self._stops:
            self._ends_early = True
            self._tell(StopRequested(0, False))

    def abort(self) -> None:
        """End running jobs, and then the run, as a Ctrl-C does."""
        self._stop_by(signal.SIGINT)

    def kill(self, job: JobId) -> None:
        """End a running job, which fails; a generator whose jobs are being looked at has ended."""
        self._killed.add(job)
        self._slave.stop([job], False)
        self._end_generators(self._arrivals.drop_held([job]))

    def pause(self, is_wanted: bool) -> None:
        """Start nothing, or go on starting."""
        self._board.is_paused = is_wanted

    def set_cores(self, cores: int) -> None:
        """Use so many from now on; what runs goes on."""
        self._admission.set_cores(cores)
        self._board.cores = cores

    def waiting_for(self, job: JobId) -> str:
        """What a job waits for that could start otherwise, in words."""
        until = self._second_chances.until(job)
        if until is not None:
            return f"is tried again in {max(0.0, until - time.monotonic()):.0f} s"
        return self._admission.waiting_for(job)

    def run_again(self) -> bool:
        """Whether the script is run anew when this run ends, which this call turns around.

        Raises
        ------
        ValueError
            There is no script that could be.
        """
        main = sys.modules.get("__main__")
        if not hasattr(main, "__file__") and "-c" not in sys.orig_argv[:-1]:
            raise ValueError("what runs is not a script: run it yourself again.")
        self._board.is_again = not self._board.is_again
        return self._board.is_again

    def _write(self, record: Callable[[], None]) -> bool:
        """Record something; false if it could not be, and the run is to end."""
        try:
            record()
        except StatusWriteError as error:
            self._give_up(error)
            return False
        return True

    def _give_up(self, error: StatusWriteError) -> None:
        """Start nothing more, since it could not be recorded; what runs may end."""
        if self._write_error is None:
            self._write_error = error
            self._tell(Warned(error.headline, mend=error.mend))
            self._tell(StopRequested(0, False))

    def _note_gone(self) -> None:
        """If all that could declare jobs has done so: what this script declared earlier and not now may be gone.

        Not yet: the script may run other graphs.
        """
        declared = self._graph.declared
        known = self._status.declared_jobs()
        others = {job for job in known - self._specs.jobs() if job not in self._specs}
        declared.jobs.update(known - others if others else known)
        is_complete = self._is_whole and not (self._failures or self._stops or self._ends_early or self._write_error)
        (declared.incomplete.discard if is_complete else declared.incomplete.add)(self._graph.mark)
        declared.gone = []
        if not declared.incomplete and self._graph.script_name():
            declared.gone = gone_of(self._script, declared.jobs, self._status)

    def _maker_in_script(self, path: str) -> JobId | None:
        maker = self._graph.maker(path)
        return None if maker is None else maker.job_id

    def _own_files(self) -> tuple[str, ...]:
        logs = self._graph.log_directory
        return (self._graph.invariant_status_filename, *(() if logs is None else (logs + "/",)))

    def _close_status(self) -> None:
        try:
            self._status.close()
        except StatusWriteError as error:
            self._write_error = self._write_error or error

    # --- showing, and the end

    def _show(self, event: Event) -> None:
        self._board.see(event)
        self._graph.note(event)
        self._audience.see(event)

    def _beginning(self) -> RunBegan:
        return RunBegan(
            self._run_id,
            self._began_at,
            self._graph.directory,
            self._script,
            os.uname().nodename,
            os.getpid(),
            self._admission.cores,
            sum(1 for spec in self._declared if spec.role is not Role.INVARIANT),
            __version__,
            self._capacity.memory_bytes,
            self._capacity.limits,
        )

    def _show_end(self) -> None:
        seconds = time.monotonic() - self._began
        self._show(RunEnded(time.time(), seconds, self._board.counts(), self._stopped_by))

    def _raise_what_happened(self) -> None:
        if self._write_error is not None:
            raise self._write_error
        if self._stopped_by and self._stopped_by != signal.SIGINT:
            os.kill(os.getpid(), self._stopped_by)
            raise SystemExit(128 + self._stopped_by)  # the script has a handler of its own, which came back
        if self._stopped_by or self._ends_early:
            raise KeyboardInterrupt
        if self._failures:
            exceptions = [self._graph.exception_for(event) for event, _ in self._failures]
            blocked, logs = self._board.counts().blocked, self._graph.log_directory
            raise error_of_run(self._failures, blocked, logs, exceptions, self._is_cut_short)
        if self._graph.targets is not None:
            self._graph.targets.check_all_found(self._specs)
        if self._graph.wishes.forced:
            check_all_named(self._graph.wishes.forced, self._specs.values(), self._where, "forced")


def _broken_by(fault: Undeclared) -> Failure:
    error = fault.error()
    return Failure(FailureKind.BROKE_CONTRACT, "pipegraph.errors.JobContractError", str(error))


def _not_recorded(spec: JobSpec, error: StatusWriteError | None) -> JobFailed:
    return JobFailed(
        spec.id,
        Failure(
            FailureKind.NOT_RECORDED,
            "pipegraph.errors.StatusWriteError",
            f"the job could not be recorded\n    job: {spec.id} ({spec.place})\n{error or ''}",
        ),
    )
