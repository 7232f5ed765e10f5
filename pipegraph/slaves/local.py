"""The master's handle on the slaves of this machine: starts, stops, and what comes back.

Owns the sockets to all slaves of the run, and which of them runs what. New starts go to the current one: the last that
was adopted, or the keeper. Whatever dies is noticed by the end of its socket.
"""

from __future__ import annotations

import gc
import os
import select
import shutil
import socket
import sys
import time
import warnings
from collections.abc import Callable, Iterable

from ..errors import CommunicationFailure
from ..events import Event, JobFailed, JobsLost, JobStopped, JobSucceeded, SlaveDied
from ..invariants.clock import FILE_CLOCKS
from ..model import JobId, JobSpec, Role
from . import messages, sweep
from .protocol import Workload
from .slave import Surroundings, be_keeper

MAX_DEATHS_IN_A_ROW = 3
_END_SECONDS = 10.0
_MARK = "PIPEGRAPH_RUN"


class _Slave:
    """One slave, seen from the master."""

    __slots__ = ("end", "is_retired", "running")

    def __init__(self, end: socket.socket) -> None:
        self.end = end
        self.running: set[JobId] = set()
        self.is_retired = False


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

    Attributes
    ----------
    close_in_fork
        Called in a slave that is forked in mid-run, to close what only the master may hold.
    """

    def __init__(self, workload: Workload, run_id: str, log_directory: str | None, grace_seconds: float = 5.0) -> None:
        self._workload = workload
        self._run_id = run_id
        self._log_directory = None if log_directory is None else os.path.abspath(log_directory)
        self._grace_seconds = grace_seconds
        self.close_in_fork: list[Callable[[], None]] = []
        self._pid = os.getpid()
        self._keeper_pid = 0
        self._keeper: _Slave | None = None
        self._current: _Slave | None = None
        self._slaves: dict[int, _Slave] = {}
        self._candidates: dict[JobId, _Slave] = {}
        self._loaded: list[JobId] = []
        self._deaths = 0
        self._folder = ""
        self._was_subreaper = False
        self._is_begun = False
        self._spared: frozenset[int] = frozenset()
        self._events: list[Event] = []

    def begin(self) -> None:
        """Fork the first slave."""
        import tempfile

        self._folder = tempfile.mkdtemp(prefix="pipegraph-")
        self._was_subreaper = sweep.adopt_orphans()
        self._is_begun = True
        # Asked once here, and not by every job.
        FILE_CLOCKS.learn(os.getcwd())
        self._spared = frozenset(sweep.descendants(os.getpid()))
        self._fork_keeper()

    def _fork_keeper(self) -> None:
        for stream in (sys.stdout, sys.stderr):
            try:
                stream.flush()
            except Exception:
                pass
        if self._log_directory is not None:
            try:
                os.makedirs(self._log_directory, exist_ok=True)
            except OSError:
                pass
        ours, theirs = messages.pair()
        around = Surroundings(self._workload, os.getcwd(), self._log_directory, self._folder, self._grace_seconds)
        mark = os.environ.get(_MARK)
        gc_was_enabled = gc.isenabled()
        gc.disable()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            pid = os.fork()
        if pid == 0:
            try:
                ours.close()
                for slave in self._slaves.values():
                    slave.end.close()
                os.environ[_MARK] = self._run_id
                for close in self.close_in_fork:
                    close()
                be_keeper(around, theirs)
            finally:
                os._exit(1)
        if gc_was_enabled:
            gc.enable()
        assert os.environ.get(_MARK) == mark
        theirs.close()
        self._keeper_pid = pid
        self._keeper = self._current = _Slave(ours)
        self._slaves[ours.fileno()] = self._keeper

    def fileno(self) -> list[int]:
        """Descriptors to wait on for reading."""
        return list(self._slaves)

    def next_deadline(self) -> float | None:
        """Monotonic time at which `receive` wants to be called although nothing is readable."""
        return 0.0 if self._events else None

    def start(self, job: JobSpec) -> None:
        """Have a job run; its end comes from `receive`."""
        assert self._current is not None
        theirs: socket.socket | None = None
        if job.in_memory or job.role is Role.GENERATOR:
            ours, theirs = messages.pair()
            candidate = _Slave(ours)
            self._slaves[ours.fileno()] = candidate
            self._candidates[job.id] = candidate
        self._current.running.add(job.id)
        try:
            messages.send(self._current.end, ("start", job.id), None if theirs is None else theirs.fileno())
        except messages.Gone:
            pass  # its end is noticed by receive, which says that the job is lost
        if theirs is not None:
            theirs.close()

    def adopt(self, job: JobId) -> None:
        """The fork that loaded this becomes the current slave."""
        before, candidate = self._current, self._candidates.pop(job)
        assert before is not None
        self._say(before, ("succeeded", job))
        if candidate.end.fileno() < 0:
            # It died between its report and this; what it loaded is gone with it.
            self._tell_death(0, (), (job,), self._events)
            return
        self._say(candidate, ("adopt",))
        self._loaded.append(job)
        self._current = candidate
        if before is not self._keeper:
            before.is_retired = True
            self._say(before, ("retire",))

    def discard(self, job: JobId) -> None:
        """The fork that did this must not become a slave."""
        candidate = self._candidates.pop(job)
        candidate.is_retired = True
        if self._current is not None:
            self._say(self._current, ("succeeded", job))
        self._say(candidate, ("discard",))

    def release(self, job: JobId) -> None:
        """Loaded data is needed no more."""
        if self._current is not None:
            self._say(self._current, ("release", job))
        if job in self._loaded:
            self._loaded.remove(job)

    def stop(self, jobs: Iterable[JobId] | None, is_urgent: bool) -> None:
        """End running jobs, all if None: TERM, a grace, KILL; urgent: KILL. Each comes back as ended."""
        listed = None if jobs is None else list(jobs)
        for slave in list(self._slaves.values()):
            self._say(slave, ("stop", listed, is_urgent))

    def receive(self) -> list[Event]:
        """What happened since the last call; does not wait.

        Raises
        ------
        CommunicationFailure
            Slaves died again and again.
        """
        events, self._events = self._events, []
        poll = select.poll()
        for descriptor in self._slaves:
            poll.register(descriptor, select.POLLIN)
        gone: list[_Slave] = []
        for descriptor, _ in poll.poll(0):
            slave = self._slaves.get(descriptor)
            if slave is None:
                continue  # a fork whose slave has just told how it failed
            try:
                while (received := messages.receive(slave.end)) is not None:
                    self._note(slave, received[0], events)
            except messages.Gone:
                gone.append(slave)
        if self._keeper in gone:
            self._on_keeper_gone(events)
        else:
            for slave in gone:
                self._on_gone(slave, events)
        return events

    def _note(self, slave: _Slave, event: Event, events: list[Event]) -> None:
        if isinstance(event, JobSucceeded | JobFailed | JobStopped):
            is_candidate = self._candidates.get(event.job) is slave
            holder = next((each for each in self._slaves.values() if event.job in each.running), None)
            if holder is None:
                return  # the fork of a slave that has ended since; what it loaded was told by itself
            if not is_candidate and event.job in self._candidates:
                if isinstance(event, JobSucceeded):
                    return
                self._forget(self._candidates.pop(event.job))
            holder.running.discard(event.job)
            if isinstance(event, JobSucceeded):
                self._deaths = 0
        events.append(event)

    def _on_gone(self, slave: _Slave, events: list[Event]) -> None:
        if slave.end.fileno() not in self._slaves:
            return
        self._forget(slave)
        if slave in self._candidates.values():
            return  # the slave that forked it tells how it died
        if slave.is_retired and not slave.running:
            return
        lost = tuple(sorted(slave.running))
        for job in lost:
            self._forget_candidate(job)
        memory: tuple[JobId, ...] = ()
        if slave is self._current:
            memory = tuple(self._loaded)
            self._loaded.clear()
            self._current = self._keeper
        self._tell_death(0, lost, memory, events)

    def _on_keeper_gone(self, events: list[Event]) -> None:
        pid = self._keeper_pid
        sweep.kill_session(pid, f"{_MARK}={self._run_id}", self._spared)
        _reap(pid)
        lost = tuple(sorted(job for slave in self._slaves.values() for job in slave.running))
        memory = tuple(self._loaded)
        for slave in list(self._slaves.values()):
            self._forget(slave)
        self._candidates.clear()
        self._loaded.clear()
        ended = {event.job for event in events if isinstance(event, JobSucceeded)}
        lost = tuple(job for job in lost if job not in ended)
        if self._deaths + 1 < MAX_DEATHS_IN_A_ROW:
            self._fork_keeper()
        self._tell_death(pid, lost, memory, events)

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

    def _forget_candidate(self, job: JobId) -> None:
        candidate = self._candidates.pop(job, None)
        if candidate is not None:
            self._forget(candidate)

    def _forget(self, slave: _Slave) -> None:
        self._slaves.pop(slave.end.fileno(), None)
        slave.end.close()

    def _say(self, slave: _Slave, message: tuple[object, ...]) -> None:
        try:
            messages.send(slave.end, message)
        except (messages.Gone, OSError):
            pass  # its end is noticed by receive

    def end(self) -> None:
        """End all slaves and whatever they left running."""
        if not self._is_begun or os.getpid() != self._pid:
            return
        self._is_begun = False
        pid = self._keeper_pid
        try:
            if self._keeper is not None:
                self._say(self._keeper, ("end",))
            for slave in list(self._slaves.values()):
                self._forget(slave)
            if pid and not _reap(pid, _END_SECONDS):
                sweep.kill(pid)
                _reap(pid)
        finally:
            sweep.kill_session(pid, f"{_MARK}={self._run_id}", self._spared)
            if not self._was_subreaper:
                sweep.adopt_orphans(False)
            shutil.rmtree(self._folder, ignore_errors=True)


def _reap(pid: int, wait_seconds: float = 5.0) -> bool:
    """Wait for a child to end; false if it did not in that time."""
    until = time.monotonic() + wait_seconds
    pause = 0.0002
    while True:
        try:
            if os.waitpid(pid, os.WNOHANG)[0]:
                return True
        except ChildProcessError:
            return True
        if time.monotonic() > until:
            return False
        time.sleep(pause)
        pause = min(0.02, pause * 1.5)
