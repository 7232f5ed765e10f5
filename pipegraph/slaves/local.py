"""The master's handle on the slaves of this machine: starts, stops, and what comes back.

Owns the sockets to all slaves of the run, and which of them runs what. New starts go to the current one: the last that
was adopted, or the keeper. Whatever dies is noticed by the end of its socket. What belongs to the keeper's process, to
workers and to readers has owners of its own. Longer than other files: succession and death concern the same few fields,
and each rule must know of the others.
"""

from __future__ import annotations

import select
import time
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any

from ..errors import CommunicationFailure
from ..events import (
    Event,
    FingerprintsExplained,
    JobBegan,
    JobFailed,
    JobsLost,
    JobStopped,
    JobSucceeded,
    SlaveDied,
    Warned,
)
from ..model import (
    ALONE,
    NO_USAGE,
    NOTHING_PRINTED,
    Fingerprint,
    Grant,
    JobId,
    JobSpec,
    Printed,
    Role,
    Sighting,
    Usage,
)
from . import messages, sweep
from .child import FAILED, Report, found_as_file, unpacked
from .deaths import death, no_slave, not_started
from .keeper import KeeperProcess
from .protocol import Order, Workload
from .readers import Readers
from .workers import Forebear, Workers

if TYPE_CHECKING:
    from ..machine.jobserver import Access

MAX_DEATHS_IN_A_ROW = 3
_OUTBOX_SECONDS = 0.002


class _Slave:
    """One slave, seen from the master."""

    __slots__ = ("end", "inherited_bytes", "is_asked", "is_retired", "number", "outbox", "processes", "running")

    def __init__(self, end: messages.End, number: int = 0) -> None:
        self.end = end
        self.number = number
        self.running: dict[int, JobSpec] = {}
        # As it told when it was asked last: process and start of each job, by token.
        # Of each job those that run, the one that prints first.
        self.processes: dict[int, tuple[tuple[int, ...], float]] = {}
        self.inherited_bytes = 0
        self.is_asked = False
        self.is_retired = False
        self.outbox = messages.Outbox(end)


class LocalSlave:
    """All compute slaves of one run on this machine.

    Parameters
    ----------
    workload
        The jobs, as they are called in a slave.
    log_directory
        Where long output of failed jobs is kept; None: nowhere.
    grace_seconds
        Between TERM and KILL.
    is_strict
        Jobs may write into the folders of their outputs only, where the kernel can see to that.

    Attributes
    ----------
    close_in_fork
        Called in a slave that is forked in mid-run, to close what only the master may hold.
    """

    def __init__(
        self,
        workload: Workload,
        run_id: str,
        log_directory: str | None,
        grace_seconds: float = 5.0,
        is_strict: bool = False,
    ) -> None:
        self._is_strict = is_strict
        self._run_id = run_id
        self.close_in_fork: list[Callable[[], None]] = []
        self._process = KeeperProcess(workload, run_id, log_directory, grace_seconds, is_strict)
        self._keeper: _Slave | None = None
        self._current: _Slave | None = None
        self._slaves: dict[int, _Slave] = {}
        self._candidates: dict[JobId, _Slave] = {}
        # Those of the candidates that have told of their success, and wait for `adopt` or `discard`.
        self._successful: set[JobId] = set()
        self._loaded: list[JobId] = []
        self._deaths = 0
        self._tokens = 0
        self._reports: dict[int, Report] = {}
        # The most memory that a running job was found to have, by token.
        self._seen_bytes: dict[int, int] = {}
        self._events: list[Event] = []
        self._workers = Workers(self._forebear, self._next_token, self._note_event)
        self._readers = Readers(self._say_to_keeper, self._next_token, self._note_event)

    @property
    def folder(self) -> str:
        """Of this run alone; removed at its end."""
        return self._process.folder

    def begin(self) -> None:
        """Fork the first slave.

        Raises
        ------
        CommunicationFailure
            The system refuses what a slave needs.
        """
        try:
            self._process.prepare()
            self._fork_keeper()
        except OSError as error:
            raise no_slave(error) from error

    def _fork_keeper(self) -> None:
        end = self._process.fork(self.close_in_fork)
        self._keeper = self._current = _Slave(end)
        self._slaves[end.fileno()] = self._keeper

    def fileno(self) -> Iterable[int]:
        """Descriptors to wait on for reading.

        Not the one by which jobs report: a slave tells of each end, and what was reported is read then. Jobs that
        find ten reports unread wait, but not for long: who sent these is about to end. But those that read files tell
        by it how far they are, and workers all that they have to tell.
        """
        if self._readers.are_there or self._workers.are_there:
            return [self._process.reports.fileno(), *self._slaves]
        return self._slaves.keys()

    @property
    def has_news(self) -> bool:
        """Something has happened already that `receive` has not told."""
        return bool(self._events)

    def next_deadline(self) -> float | None:
        """Monotonic time at which `receive` wants to be called although nothing is readable."""
        if self._events:
            return 0.0
        if self._workers.are_behind or any(slave.outbox.unsent for slave in self._slaves.values()):
            return time.monotonic() + _OUTBOX_SECONDS
        return None

    def start(
        self,
        job: JobSpec,
        is_ahead: bool = False,
        is_adopted: bool = False,
        granted: Grant = ALONE,
        caches: dict[JobId, Fingerprint] | None = None,
        address: tuple[Any, ...] | None = None,
        followers: int = 0,
        access: Access | None = None,
    ) -> None:
        """Have a job run; its end comes from `receive`.

        Parameters
        ----------
        is_ahead
            Not before another job has ended, or `go`; `receive` tells when it began.
        is_adopted
            If its outputs are there, they count as made.
        caches
            What it may load from files, and the fingerprint of their content.
        address
            Where its result may be kept, to be brought back instead of calling the job.
        followers
            How many jobs have not begun.
        access
            How its programs share cores that are to spare; None: they do not.
        """
        assert self._current is not None
        theirs: messages.End | None = None
        if job.in_memory or job.role is Role.GENERATOR:
            try:
                ours, theirs = messages.pair()
            except OSError as error:
                self._events.append(JobFailed(job.id, not_started(error.errno)))
                return
            candidate = _Slave(ours, self._tokens + 1)
            self._slaves[ours.fileno()] = candidate
            self._candidates[job.id] = candidate
        token = self._next_token()
        numbers = granted.cores, granted.memory_bytes
        order = Order(job.id, token, is_adopted, *numbers, caches or None, address, followers, access and (*access,))
        if job.shares_process and not is_adopted and not caches and address is None and not self._is_strict:
            self._workers.start(job, order, is_ahead)
            return
        self._current.running[token] = job
        # If it is gone, that is noticed by receive, which says that the job is lost.
        self._say(self._current, ("ahead" if is_ahead else "start", *order), theirs)

    def _next_token(self) -> int:
        self._tokens += 1
        return self._tokens

    def _forebear(self) -> _Slave:
        assert self._current is not None
        return self._current

    def go(self, job: JobId) -> None:
        """A core is free for a job that was started ahead; it begins, if it has not yet."""
        for slave in self._slaves.values():
            for token, spec in slave.running.items():
                if spec.id == job:
                    if not self._workers.go(token):
                        self._say(slave, ("go", token))
                    return

    def adopt(self, job: JobId) -> None:
        """The fork that loaded this becomes the current slave."""
        before, candidate = self._current, self._candidates.pop(job)
        self._successful.discard(job)
        assert before is not None
        self._say(before, ("succeeded", job))
        self._say(candidate, ("adopt", self._slave_mark(candidate)))
        self._loaded.append(job)
        self._current = candidate
        self._workers.close(before)
        if before is not self._keeper:
            before.is_retired = True
            self._say(before, ("retire",))

    def _slave_mark(self, slave: _Slave) -> str:
        return f"{self._run_id}/{slave.number}"

    def explain(self, job: JobId, wanted: dict[Fingerprint, JobId]) -> None:
        """Have the fork of a generator that succeeded say what these fingerprints, each of an invariant, are taken of.

        That comes from `receive`.
        """
        self._say(self._candidates[job], ("explain", job, wanted))

    def discard(self, job: JobId) -> None:
        """The fork that did this must not become a slave; if it is one, this need not be done again when it dies."""
        if job not in self._candidates:
            self._loaded = [each for each in self._loaded if each != job]
            return
        candidate = self._candidates.pop(job)
        self._successful.discard(job)
        candidate.is_retired = True
        if self._current is not None:
            self._say(self._current, ("succeeded", job))
        self._say(candidate, ("discard",))

    def release(self, job: JobId) -> None:
        """Loaded data is needed no more."""
        if self._current is not None:
            self._say(self._current, ("release", job))
            self._workers.close(self._current)
        if job in self._loaded:
            self._loaded.remove(job)

    def stop(self, jobs: Iterable[JobId] | None, is_urgent: bool) -> None:
        """End running jobs, all if None: TERM, a grace, KILL; urgent: KILL. Each comes back as ended."""
        listed = None if jobs is None else list(jobs)
        if listed is None:
            self._readers.stop()
        workers = self._workers.stop(listed, self._read_reports)
        for slave in list(self._slaves.values()):
            self._say(slave, ("stop", listed, is_urgent, workers))

    def ask_who(self, wait_seconds: float = 0.0) -> None:
        """Have the slaves tell which process each job is; `look` knows then, or later if they are busy."""
        for slave in self._slaves.values():
            if slave.running and not slave.is_asked:
                slave.is_asked = True
                self._say(slave, ("who",))
        until = time.monotonic() + wait_seconds
        while (left := until - time.monotonic()) > 0 and any(slave.is_asked for slave in self._slaves.values()):
            self._events = self.receive(self._readable(left * 1000))

    def look(self) -> list[Sighting]:
        """Jobs that run, as far as it is known which processes they are."""
        from . import looking

        found = []
        for slave in self._slaves.values():
            for token, spec in slave.running.items():
                pids, started_at = self._processes_of(slave, token)
                if pids:
                    seen = looking.sighting(spec, pids, started_at, slave.inherited_bytes)
                    self._seen_bytes[token] = max(self._seen_bytes.get(token, 0), seen.own_bytes)
                    found.append(seen)
        return found

    def _processes_of(self, slave: _Slave, token: int) -> tuple[Sequence[int], float]:
        """In which a job runs, and since when; none if that is not known."""
        number, began_at = self._workers.runs(token)
        pids, started_at = slave.processes.get(number or token, ((), 0.0))
        return pids, began_at if number else started_at

    def printed_so_far(self, job: JobId, most_bytes: int) -> Printed:
        """The end of what a running job has printed; nothing if it is not known which process it is."""
        from . import looking

        for slave in self._slaves.values():
            for token, spec in slave.running.items():
                pids, _ = self._processes_of(slave, token)
                if spec.id == job and pids:
                    return looking.printed(pids[0], spec.outputs, most_bytes)
        return NOTHING_PRINTED

    def read(self, files: Iterable[tuple[str, int]]) -> None:
        """Have files read, of these sizes in bytes (-1: not known); what is found comes from `receive`."""
        self._readers.read(files)

    def receive(self, readable: Iterable[int] | None = None) -> list[Event]:
        """What happened since the last call; does not wait.

        Parameters
        ----------
        readable
            Which of the descriptors that `fileno` names are; if that is not known, it is asked.

        Raises
        ------
        CommunicationFailure
            Slaves died again and again.
        """
        if self._readers.are_there or self._workers.are_there:
            self._read_reports()
        events, self._events = self._events, []
        self._workers.flush()
        for slave in self._slaves.values():
            slave.outbox.flush()
        gone: list[_Slave] = []
        for descriptor in self._readable(0) if readable is None else readable:
            known = self._slaves.get(descriptor)
            if known is None:
                continue  # a fork whose slave has just told how it failed
            try:
                while (received := messages.receive(known.end)) is not None:
                    self._note(known, received[0], events)
            except messages.Gone:
                gone.append(known)
        if self._keeper in gone:
            self._on_keeper_gone(events)
        else:
            for slave in gone:
                self._on_gone(slave, events)
        events += self._events
        self._events = []
        return events

    def _readable(self, wait_ms: float) -> list[int]:
        poll = select.poll()
        for descriptor in self.fileno():
            poll.register(descriptor, select.POLLIN)
        return [descriptor for descriptor, _ in poll.poll(wait_ms)]

    def _read_reports(self) -> None:
        while (received := messages.receive(self._process.reports)) is not None:
            token, *parts = received[0]
            if token == "read":
                self._readers.told(*parts)
                continue
            if token < 0:
                self._on_shared_report(-token, *parts)
            else:
                self._reports[token] = unpacked(tuple(parts))

    def _on_shared_report(
        self, token: int, cpu_seconds: float, printed: tuple[Any, ...] | None, is_leaving: bool, *told: Any
    ) -> None:
        """One that comes from a worker is the end of the job; others are believed when their process has ended."""
        known = self._workers.reported(token, cpu_seconds)
        if known is None:
            return
        number, slave, spec, was_stopped = known
        # A success is told as values, a failure pickled.
        exit_code = 0 if len(told) > 1 else FAILED
        event = self._ending(slave, spec, token, exit_code, was_stopped, 0.0, cpu_seconds, printed, told)
        if type(event) is JobSucceeded:
            self._deaths = 0
        self._events.append(event)
        self._workers.go_on(number, is_leaving)

    def _report_of(self, token: int) -> Report | None:
        report = self._reports.pop(token, None)
        if report is None:
            # Whoever has ended has sent it before.
            self._read_reports()
            report = self._reports.pop(token, None)
        return found_as_file(self._process.folder, token) if report is None else report

    def _note(self, slave: _Slave, message: tuple[Any, ...], events: list[Event]) -> None:
        word, token, *rest = message
        if word == "loaded":
            self._on_loaded(token, *rest, events=events)
            return
        if word == "explained":
            import pickle

            events.append(FingerprintsExplained(token, pickle.loads(rest[0])))
            return
        if word == "who":
            slave.is_asked = False
            slave.inherited_bytes = token
            slave.processes = {its_token: (pids, started_at) for its_token, pids, started_at in rest[0]}
            return
        if word == "read":
            self._read_reports()
            self._readers.ended(token, *rest)
            return
        if word == "worker ended":
            self._read_reports()
            self._workers.ended(token, *rest)
            return
        if word == "not started" and self._workers.not_begun(token, *rest):
            return
        spec = slave.running.pop(token, None)
        if spec is None:
            return  # a slave that loaded this told of its success itself
        self._forget_candidate(spec.id)
        if word == "ended":
            next_token, *how = rest
            event = self._ending(slave, spec, token, *how)
            if type(event) is JobSucceeded:
                self._deaths = 0
            events.append(event)
            if next_token in slave.running:
                events.append(JobBegan(slave.running[next_token].id))
        elif word == "dropped":
            events.append(JobStopped(spec.id, has_begun=False))
        else:
            events.append(JobFailed(spec.id, not_started(rest[0])))

    def _on_loaded(
        self,
        token: int,
        report: tuple[Any, ...],
        printed: tuple[Any, ...],
        threads: int,
        fingerprint: Fingerprint,
        remarks: tuple[tuple[str, str], ...],
        *,
        events: list[Event],
    ) -> None:
        holder = next((each for each in self._slaves.values() if token in each.running), None)
        if holder is None:
            return  # the slave that forked it has ended since, and its jobs were told to be lost
        spec = holder.running.pop(token)
        self._say(holder, ("in time", spec.id))
        told = unpacked(report)
        self._deaths = 0
        how = self._with_seen(told.usage, token), Printed._make(printed), told.growth, told.opened
        events.append(JobSucceeded(spec.id, (), *how, remarks=remarks, fingerprint=fingerprint))
        self._successful.add(spec.id)
        if threads > 1:
            events.append(
                Warned(
                    f"{threads} threads run after loading {spec.id} ({spec.place}); a fork beside them may hang",
                    spec.id,
                    "Limit the library's threads while loading (OMP_NUM_THREADS=1, ARROW_NUM_THREADS=1 and the like).",
                )
            )

    def _ending(
        self,
        slave: Forebear,
        spec: JobSpec,
        token: int,
        exit_code: int,
        was_stopped: bool,
        started_at: float,
        cpu_seconds: float,
        parts: tuple[Any, ...] | None,
        told: tuple[Any, ...] | None,
    ) -> Event:
        """What the end of a job's process means; no processor seconds: those that it reported."""
        printed = NOTHING_PRINTED if parts is None else Printed._make(parts)
        report = self._report_of(token) if told is None else unpacked(told)
        if report is None:
            usage = Usage(started_at, time.time() - started_at, cpu_seconds)
        else:
            usage = report.usage
            if cpu_seconds:
                usage = usage._replace(cpu_seconds=cpu_seconds)
        usage = self._with_seen(usage, token)
        if report is not None and exit_code == 0 and report.failure is None:
            return JobSucceeded(spec.id, report.outputs, usage, printed, *report[3:])
        if report is None and exit_code in (0, FAILED):
            # It left with the status of one that has reported. Only this side knows that it did not.
            slave.outbox.say(("put away", spec.id))
        if was_stopped:
            return JobStopped(spec.id)
        if report is not None and report.failure is not None and exit_code == FAILED:
            return JobFailed(spec.id, report.failure, usage, printed, report.opened)
        return JobFailed(spec.id, death(spec, exit_code), usage, printed)

    def _with_seen(self, usage: Usage, token: int) -> Usage:
        """With what was seen of the job while it ran."""
        seen_bytes = self._seen_bytes.pop(token, 0) if self._seen_bytes else 0
        return usage._replace(peak_bytes=seen_bytes) if seen_bytes > usage.peak_bytes else usage

    def _on_gone(self, slave: _Slave, events: list[Event]) -> None:
        if slave.end.fileno() not in self._slaves:
            return
        self._forget(slave)
        job = next((job for job, candidate in self._candidates.items() if candidate is slave), None)
        if job is not None:
            if self._is_success_lost(job, events):
                del self._candidates[job]
                self._tell_death(0, (job,), (), events)
            return  # otherwise the slave that forked it tells how it died
        if slave.is_retired and not slave.running:
            self._workers.forget(slave)
            return
        # The keeper has got what this one started; it must not write beside those that are started in its place.
        sweep.kill_marked(f"{sweep.SLAVE_MARK}={self._slave_mark(slave)}")
        lost = self._lost((slave,), events)
        for job in lost:
            self._forget_candidate(job)
        memory: tuple[JobId, ...] = ()
        if slave is self._current:
            # What was built on it, and was not adopted, is built anew on what comes in its place.
            for job in [job for job in self._candidates if self._is_success_lost(job, events)]:
                self.discard(job)
                lost = tuple(sorted([*lost, job]))
            memory = tuple(self._loaded)
            self._loaded.clear()
            self._current = self._keeper
        self._tell_death(0, lost, memory, events)

    def _on_keeper_gone(self, events: list[Event]) -> None:
        pid = self._process.pid
        self._process.end_rest()
        lost = self._lost(tuple(self._slaves.values()), events)
        lost = tuple(sorted([*lost, *(job for job in self._candidates if self._is_success_lost(job, events))]))
        memory = tuple(self._loaded)
        for slave in list(self._slaves.values()):
            self._forget(slave)
        self._candidates.clear()
        self._loaded.clear()
        if self._deaths + 1 < MAX_DEATHS_IN_A_ROW:
            try:
                self._fork_keeper()
            except OSError as error:
                raise no_slave(error) from error
            self._readers.begin_again()
        self._tell_death(pid, lost, memory, events)

    def _lost(self, slaves: Iterable[_Slave], events: list[Event]) -> tuple[JobId, ...]:
        """What these were running, but for jobs that had reported that they are done."""
        self._read_reports()
        lost = []
        for slave in slaves:
            for token, spec in slave.running.items():
                report = self._reports.pop(token, None)
                usage = self._with_seen(NO_USAGE if report is None else report.usage, token)
                if report is not None and report.failure is None:
                    events.append(JobSucceeded(spec.id, report.outputs, usage, NOTHING_PRINTED, *report[3:]))
                else:
                    lost.append(spec.id)
            self._workers.forget(slave)
        return tuple(sorted(lost))

    def _tell_death(self, pid: int, lost: tuple[JobId, ...], memory: tuple[JobId, ...], events: list[Event]) -> None:
        self._deaths += 1
        if self._deaths >= MAX_DEATHS_IN_A_ROW:
            raise CommunicationFailure(
                "compute slaves died again and again",
                [("times", f"{self._deaths} in a row"), ("running", ", ".join(lost[:10]) or "nothing")],
                "See the system's log for what killed them, most often a lack of memory. What was finished is kept.",
            )
        events.append(SlaveDied(pid, self._deaths))
        events.append(JobsLost(lost, memory))

    def _is_success_lost(self, job: JobId, events: list[Event]) -> bool:
        """Whether it was loaded, but its fork died before it was adopted; that it was is told no more."""
        events[:] = [event for event in events if not (isinstance(event, JobSucceeded) and event.job == job)]
        is_lost = job in self._successful
        self._successful.discard(job)
        return is_lost

    def _forget_candidate(self, job: JobId) -> None:
        candidate = self._candidates.pop(job, None)
        if candidate is not None:
            self._forget(candidate)

    def _forget(self, slave: _Slave) -> None:
        self._slaves.pop(slave.end.fileno(), None)
        slave.outbox.close()

    def _say(self, slave: _Slave, message: tuple[object, ...], end: messages.End | None = None) -> None:
        """Send, and with it an end of a socket, which is closed then; never waits."""
        slave.outbox.say(message, end)

    def _say_to_keeper(self, message: tuple[object, ...]) -> None:
        assert self._keeper is not None
        self._say(self._keeper, message)

    def _note_event(self, event: Event) -> None:
        self._events.append(event)

    def end(self) -> None:
        """End all slaves and whatever they left running."""
        if not self._process.is_ours:
            return
        try:
            if self._keeper is not None:
                self._say(self._keeper, ("end",))
            for slave in list(self._slaves.values()):
                self._workers.forget(slave)
                self._forget(slave)
            self._process.wait_for_end()
        finally:
            self._process.clean_up()
