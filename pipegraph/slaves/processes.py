"""The processes that a slave has begun: notices who ended, and ends who is to end, by a deadline.

Owns which process is whose. What an end means, and what becomes of it, is the slave's to say. Those that ended are
found without reaping them: until then an id, which names a group, is nobody else's.
"""

from __future__ import annotations

import os
import signal
import time
from typing import TYPE_CHECKING

from ..model import MEASURED_FROM_SECONDS, JobId
from ..programs import Launch
from .capture import Slot
from .child import FAILED, Used
from .protocol import Runnable
from .traffic import NO_TRAFFIC, Traffic, text_of, traffic

if TYPE_CHECKING:
    import resource

_KILL = int(signal.SIGKILL)
_REPORTED = (0, FAILED)
"""No signal has the number of either."""


class Pipe:
    """The processes of a pipe, of which the first leads their group, and what is known of those that were reaped."""

    __slots__ = ("codes", "cpu_seconds", "peak_bytes", "pids", "traffic")

    def __init__(self, pids: tuple[int, ...]) -> None:
        self.pids = pids
        self.codes: dict[int, int] = {}
        self.cpu_seconds = 0.0
        self.peak_bytes = 0
        self.traffic = NO_TRAFFIC

    def note(self, pid: int, status: int, used: resource.struct_rusage, moved: Traffic) -> None:
        """It was reaped, and had read and written so much."""
        self.codes[pid] = os.waitstatus_to_exitcode(status)
        self.cpu_seconds += used.ru_utime + used.ru_stime
        self.peak_bytes = max(self.peak_bytes, used.ru_maxrss * 1024)
        self.traffic = self.traffic[0] + moved[0], self.traffic[1] + moved[1]


class Child:
    """A job that runs, or has: then with the status of its process, and what that used.

    Attributes
    ----------
    before
        What its program had used before this process, which only reads what that made.
    cpu_seconds
        0 of one that has reported itself.
    """

    __slots__ = (
        "before",
        "began",
        "cpu_seconds",
        "is_overdue",
        "job",
        "launch",
        "peak_bytes",
        "pid",
        "pipe",
        "slot",
        "started_at",
        "status",
        "stopped",
        "token",
        "traffic",
    )

    def __init__(
        self,
        job: Runnable,
        pid: int,
        slot: Slot,
        token: int,
        started_at: float,
        launch: Launch | None = None,
        before: Used | None = None,
        pipe: Pipe | None = None,
    ) -> None:
        self.job = job
        self.pid = pid
        self.slot = slot
        self.token = token
        self.stopped = self.is_overdue = False
        self.started_at = started_at
        self.began = time.monotonic()
        self.launch = launch
        self.before = before
        self.pipe = pipe
        self.status = self.peak_bytes = 0
        self.cpu_seconds = 0.0
        self.traffic = NO_TRAFFIC

    def traffic_of(self, pid: int) -> Traffic:
        """What one of its programs has read and written, which may have ended, but was not reaped."""
        is_measured = self.launch is not None and time.monotonic() - self.began >= MEASURED_FROM_SECONDS
        return traffic(text_of(pid)) if is_measured else NO_TRAFFIC


class Worker:
    """A process that jobs share; what it runs is the master's to know."""

    __slots__ = ("cpu_seconds", "number", "pid", "slot", "status", "stopped")

    def __init__(self, number: int, pid: int, slot: Slot) -> None:
        self.number = number
        self.pid = pid
        self.slot = slot
        self.stopped = False
        self.status = 0
        self.cpu_seconds = 0.0


class Reader:
    """A process that only read files for the master; nothing is cleaned up after it."""

    __slots__ = ("status", "token")

    def __init__(self, token: int, status: int) -> None:
        self.token = token
        self.status = status


class Processes:
    """All that run.

    Attributes
    ----------
    kill_at
        When to call `kill_overdue`, as monotonic times by process id.
    """

    def __init__(self, grace_seconds: float) -> None:
        self._grace_seconds = grace_seconds
        self._children: dict[int, Child] = {}
        # Of pipes: whose part a process is, but for leaders; and leaders that ended before the other parts.
        self._part_of: dict[int, Child] = {}
        self._kept: set[int] = set()
        self._workers: dict[int, Worker] = {}
        self._readers: dict[int, int] = {}
        self.kill_at: dict[int, float] = {}

    @property
    def are_there(self) -> bool:
        """Some run that are more than readers."""
        return bool(self._children or self._workers)

    def add(self, child: Child) -> None:
        """The process of a job, or those of its pipe."""
        self._children[child.pid] = child
        if child.pipe is not None:
            for pid in child.pipe.pids[1:]:
                self._part_of[pid] = child
        if child.job.timeout_seconds and child.before is None:
            self.kill_at[child.pid] = time.monotonic() + child.job.timeout_seconds

    def add_worker(self, number: int, pid: int, slot: Slot) -> None:
        """A process that jobs share."""
        self._workers[pid] = Worker(number, pid, slot)

    def add_reader(self, token: int, pid: int) -> None:
        """A process that only reads."""
        self._readers[pid] = token

    def note_in_time(self, job_id: JobId) -> None:
        """The fork of this job, which stays, has done its part: its timeout is over."""
        for pid, child in self._children.items():
            if child.job.job_id == job_id and not child.stopped:
                child.is_overdue = False
                self.kill_at.pop(pid, None)

    def let_go(self, job_id: JobId) -> list[Slot]:
        """The fork of this job is a slave now, or about to end, and not waited for any more; where it printed."""
        gone = [pid for pid, child in self._children.items() if child.job.job_id == job_id]
        return [self._children.pop(pid).slot for pid in gone]

    def slots(self) -> list[Slot]:
        """Where they print."""
        slots = [child.slot for child in self._children.values()]
        return slots + [worker.slot for worker in self._workers.values()]

    def who(self) -> list[tuple[int, list[int], float]]:
        """Token or number, process ids, and start, of each."""
        who = [(child.token, self._pids_of(child), child.started_at) for child in self._children.values()]
        return who + [(worker.number, [pid], 0.0) for pid, worker in self._workers.items()]

    def _pids_of(self, child: Child) -> list[int]:
        """Those that run; of a pipe the last part first, which prints."""
        pids = (child.pid,) if child.pipe is None else child.pipe.pids[::-1]
        return [pid for pid in pids if pid in self._part_of or (pid == child.pid and pid not in self._kept)]

    # --- to end them

    def stop(self, jobs: list[JobId] | None, is_urgent: bool, workers: list[int]) -> None:
        """These jobs, or all, and these workers: TERM, a grace, KILL; urgent: KILL."""
        now = time.monotonic()
        to_stop: list[Child | Worker] = [
            child for child in self._children.values() if jobs is None or child.job.job_id in jobs
        ]
        to_stop += [worker for worker in self._workers.values() if worker.number in workers]
        for each in to_stop:
            each.stopped = True
            self.kill_at[each.pid] = now if is_urgent else now + self._grace_seconds
            if not is_urgent:
                _ask_to_end(each.pid)
        self.kill_overdue()

    def kill_overdue(self) -> None:
        """Whose grace is over; jobs that took too long are given one now."""
        now = time.monotonic()
        for pid, at in list(self.kill_at.items()):
            if at <= now:
                del self.kill_at[pid]
                if pid in self._workers:
                    _signal_group(pid, signal.SIGKILL)
                child = self._children.get(pid)
                if child is None:
                    continue
                if child.stopped or child.is_overdue:
                    _signal_group(pid, signal.SIGKILL)
                else:
                    child.is_overdue = True
                    self.kill_at[pid] = now + self._grace_seconds
                    _ask_to_end(pid)

    # --- who has ended

    def reap(self) -> Child | Worker | Reader | None:
        """One that has ended, of a pipe once all of it has; None: nobody else has."""
        while (found := self._next_ended()) is not None:
            pid = found.si_pid
            child = self._children.get(pid)
            if child is None:
                ended = self._reap_other(pid)
                if ended is not None:
                    return ended
            elif child.pipe is None or self._have_ended(child, child.pipe):
                return self._reap_child(child, found.si_status in _REPORTED)
            else:
                self._kept.add(pid)
        return None

    def _next_ended(self) -> os.waitid_result | None:
        """Who ended; None: nobody. It is reaped later."""
        try:
            found = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
            if found is None or not self._kept or found.si_pid not in self._kept:
                return found
            # It is found again and again, and hides others.
            for pid in (*self._part_of, *self._children, *self._workers, *self._readers):
                if pid not in self._kept:
                    found = os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT)
                    if found is not None:
                        return found
        except ChildProcessError:
            pass
        return None

    def _reap_child(self, child: Child, has_reported: bool = False) -> Child:
        """With all that it left in its group."""
        pid = child.pid
        del self._children[pid]
        _signal_group(pid, _KILL)
        if self.kill_at:
            self.kill_at.pop(pid, None)
        if has_reported and child.launch is None and child.before is None:
            # It has told of the time that it used. wait4 imports a library for that, each time.
            child.status = os.waitpid(pid, 0)[1]
            return child
        moved = child.traffic_of(pid)
        _, child.status, used = os.wait4(pid, 0)
        if child.pipe is None:
            child.cpu_seconds, child.peak_bytes = used.ru_utime + used.ru_stime, used.ru_maxrss * 1024
            child.traffic = moved
        else:
            child.pipe.note(pid, child.status, used, moved)
            child.cpu_seconds, child.peak_bytes = child.pipe.cpu_seconds, child.pipe.peak_bytes
            child.traffic = child.pipe.traffic
        return child

    def _reap_other(self, pid: int) -> Child | Worker | Reader | None:
        """A worker, a part of a pipe that does not lead it, one that reads, or somebody's orphan."""
        worker = self._workers.pop(pid, None)
        if worker is not None:
            _signal_group(pid, signal.SIGKILL)
            _, worker.status, used = os.wait4(pid, 0)
            worker.cpu_seconds = used.ru_utime + used.ru_stime
            self.kill_at.pop(pid, None)
            return worker
        child = self._part_of.pop(pid, None)
        if child is None or child.pipe is None:
            _, status = os.waitpid(pid, 0)
            return Reader(self._readers.pop(pid), status) if pid in self._readers else None
        moved = child.traffic_of(pid)
        child.pipe.note(*os.wait4(pid, 0), moved)
        if child.pid in self._kept and self._have_ended(child, child.pipe):
            self._kept.discard(child.pid)
            return self._reap_child(child)
        return None

    def _have_ended(self, child: Child, pipe: Pipe) -> bool:
        """All but the leader, and they are reaped."""
        for pid in pipe.pids[1:]:
            if pid not in pipe.codes:
                moved = child.traffic_of(pid)
                ended, status, used = os.wait4(pid, os.WNOHANG)
                if not ended:
                    return False
                pipe.note(pid, status, used, moved)
                del self._part_of[pid]
        return True


def _ask_to_end(leader: int) -> None:
    _signal_group(leader, signal.SIGTERM)
    _signal_group(leader, signal.SIGCONT)


def _signal_group(leader: int, number: int) -> None:
    """A process that was just forked may not lead its group yet; it has no others then."""
    for signalled in (os.killpg, os.kill):
        try:
            signalled(leader, number)
            return
        except (ProcessLookupError, PermissionError):
            pass
