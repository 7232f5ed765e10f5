"""The slave's own loop: forks a child per job, reaps it, and reports to the master control program.

Single-threaded. It waits in one place, for messages and dead children alike. The first slave of a run, the
keeper, stays to the end: it adopts orphans, and when the master ends, in whatever way, it ends all else. A fork of a
slave that loaded something becomes a slave itself: it leaves all that its forebear was doing by `_Succession`. Longer
than other files: forks and programs begin, are ended and are reaped by the same few fields.
"""

from __future__ import annotations

import _signal  # type: ignore[import-not-found]
import errno
import faulthandler
import gc
import os
import select
import signal
import socket
import sys
import time
import warnings
from typing import TYPE_CHECKING, NamedTuple, NoReturn

from ..model import NOTHING_PRINTED, Grant, JobId
from ..programs import Launch, keep_from_programs
from . import messages, sweep
from .capture import Slot
from .child import FAILED, PEAK_FROM_SECONDS, ReportChannel, Told, packed, put_away, run_job
from .launched import NotBegun, begin, told_of_end, told_of_overtime
from .memory import anonymous_bytes, most_bytes
from .opened import Openings
from .protocol import Order, Runnable, Workload
from .rehearsal import rehearse
from .terminal import Mode, restore

if TYPE_CHECKING:
    import resource

    from .strict import Confinement

# Without the enums of the module signal, which touch sixty pages in the process of each job.
_set_signal = _signal.signal
_SIGCHLD = int(signal.SIGCHLD)
_DEFAULT = int(signal.SIG_DFL)

_IGNORED = int(signal.SIG_IGN)
_ENDING = tuple(map(int, (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT)))
"""A batch system or a service manager sends these to every process: slaves leave it to the master to end them."""

# As Order._make, which is written in Python, and asks for the length.
_new_tuple = tuple.__new__

_MUCH_BYTES = 64 << 20
_MANY_JOBS = 10
"""Memory that was loaded since it was put into huge pages last, and jobs to come: with less, that does not pay."""
_SCRIPT_BYTES = 12 << 20
"""Where the script itself takes more, its jobs' objects for the most part, it pays once for the first slave."""

_Used = tuple[float, float, float, int]
"""As `Usage`, made of less."""


class Surroundings(NamedTuple):
    """What all slaves of a run have in common.

    Attributes
    ----------
    folder
        For this run alone, removed at its end.
    reports
        The end that jobs' processes report by, to the master.
    is_strict
        Jobs may write into the folders of their outputs only.
    """

    workload: Workload
    directory: str
    log_directory: str | None
    folder: str
    reports: socket.socket
    grace_seconds: float
    is_strict: bool
    terminal: Mode | None


class _Pipe:
    """The processes of a pipe, of which the first leads their group, and what is known of those that were reaped."""

    __slots__ = ("codes", "cpu_seconds", "peak_bytes", "pids")

    def __init__(self, pids: tuple[int, ...]) -> None:
        self.pids = pids
        self.codes: dict[int, int] = {}
        self.cpu_seconds = 0.0
        self.peak_bytes = 0

    def note(self, pid: int, status: int, used: resource.struct_rusage) -> None:
        """It was reaped."""
        self.codes[pid] = os.waitstatus_to_exitcode(status)
        self.cpu_seconds += used.ru_utime + used.ru_stime
        self.peak_bytes = max(self.peak_bytes, used.ru_maxrss * 1024)


class _Child:
    """A job that runs."""

    __slots__ = (
        "before",
        "began",
        "is_overdue",
        "job",
        "launch",
        "pid",
        "pipe",
        "slot",
        "started_at",
        "stopped",
        "token",
    )

    def __init__(
        self,
        job: Runnable,
        pid: int,
        slot: Slot,
        token: int,
        started_at: float,
        launch: Launch | None,
        before: _Used | None,
        pipe: _Pipe | None = None,
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


class _Worker:
    """A process that jobs share; what it runs is the master's to know."""

    __slots__ = ("cpu_seconds", "number", "pid", "slot", "status", "stopped")

    def __init__(self, number: int, pid: int, slot: Slot) -> None:
        self.number = number
        self.pid = pid
        self.slot = slot
        self.stopped = False
        self.status = 0
        self.cpu_seconds = 0.0


def be_keeper(around: Surroundings, control: socket.socket) -> NoReturn:
    """In the fork of the master: become the first slave, and never come back."""
    code = 1
    keeper = os.getpid()
    slave = None
    try:
        os.setsid()
        sweep.adopt_orphans()
        for number in (signal.SIGUSR1, signal.SIGUSR2):
            signal.signal(number, signal.SIG_DFL)
        _answer_ending_signals(_IGNORED)
        null = os.open(os.devnull, os.O_RDWR)
        os.dup2(null, 0)
        # The old objects may hold text of the master's, which must not be written a second time.
        kept = (sys.stdout, sys.stderr, sys.stdin)
        try:
            os.fstat(2)
        except OSError:
            os.dup2(null, 2)
        os.dup2(null, 1)
        sys.stdin = open(0, closefd=False)  # noqa: SIM115
        sys.stdout = open(1, "w", errors="backslashreplace", closefd=False)  # noqa: SIM115
        sys.stderr = open(2, "w", errors="backslashreplace", buffering=1, closefd=False)  # noqa: SIM115
        faulthandler.enable(2)
        # A fork beside threads is warned of by us, once, and with the job that started them.
        warnings.filterwarnings("ignore", ".*multi-threaded.*fork", DeprecationWarning)
        if around.is_strict:
            from . import strict

            strict.landlock_version()  # asked once, and not by each job
        openings = Openings(around.directory)
        rehearse(around.folder, around.directory, openings)
        gc.enable()
        gc.freeze()
        slave = Slave(around, control, openings)
        _serve(slave)
        code = 0
        del kept
    except BaseException:
        import traceback

        traceback.print_exc()
    finally:
        if os.getpid() != keeper:
            os._exit(code)
        if slave is not None and not slave.is_told:
            restore(around.terminal)
        signal.set_wakeup_fd(-1)
        sweep.kill_descendants()
        sweep.remove_folder(around.folder)
        os._exit(code)


class _Succession(Exception):
    """Raised in the fork of a job that changed the slave: all that its forebear was doing is left behind.

    Were it called instead, each generation would stand on the stack of the one before.
    """

    def __init__(self, control: socket.socket) -> None:
        self.control = control


def _serve(slave: Slave) -> None:
    """Be a slave, and in forks of it be what they become, until there is no more to do."""
    while True:
        try:
            slave.work()
            return
        except _Succession as succession:
            slave = slave.successor(succession.control)


class Slave:
    """One slave, from its first message to its last child."""

    def __init__(
        self, around: Surroundings, control: socket.socket, openings: Openings, gathered_bytes: int = 0
    ) -> None:
        # Looked up for each job: an attribute of this object costs a tenth of one of a named tuple, and touches less.
        self._workload, self._directory = around.workload, around.directory
        self._is_strict, self._terminal = around.is_strict, around.terminal
        self._around = around
        self._openings = openings
        self._control = control
        self._control_descriptor = control.fileno()
        self._children: dict[int, _Child] = {}
        # Of pipes: whose part a process is, but for leaders; and leaders that ended before the other parts.
        self._part_of: dict[int, _Child] = {}
        self._kept: set[int] = set()
        self._workers: dict[int, _Worker] = {}
        # Those that have ended, by number, until the master tells what they were running.
        self._ended_workers: dict[int, _Worker] = {}
        self._kill_at: dict[int, float] = {}
        # What was told ahead, to begin when others end, by token.
        self._ahead: dict[int, Order] = {}
        # Processes that only read files for the master, by id; nothing is cleaned up after them.
        self._readers: dict[int, int] = {}
        self._slots: list[Slot] = []
        self._slot_folders = tuple(each for each in (around.log_directory, around.folder) if each)
        self._environment: dict[bytes, bytes] = {}
        self._is_retired = False
        self._is_ending = False
        self.is_told = False
        self._channel = ReportChannel(around.reports, around.folder)
        self._wake_reader, self._wake_writer = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        self._pid = os.getpid()
        self._bytes = anonymous_bytes()
        # Its size when memory was last put into huge pages; the largest of numbers: that can't be done.
        self._gathered_bytes = gathered_bytes
        self._has_forked = gathered_bytes > 0
        signal.set_wakeup_fd(self._wake_writer, warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda number, frame: None)

    def work(self) -> None:
        """Until the master says so, or is gone; a slave that was succeeded: until its last job ended."""
        poll = select.poll()
        poll.register(self._control, select.POLLIN)
        poll.register(self._wake_reader, select.POLLIN)
        wake = self._wake_reader
        while not self._is_ending and not (self._is_retired and self._is_idle()):
            for descriptor, _ in poll.poll(self._timeout_ms() if self._kill_at else None):
                if descriptor == wake:
                    self._reap()
                else:
                    self._obey()
            if self._kill_at:
                self._kill_overdue()

    def _is_idle(self) -> bool:
        return not (self._children or self._ahead or self._workers or self._ended_workers)

    def _timeout_ms(self) -> float:
        return max(0.0, (min(self._kill_at.values()) - time.monotonic()) * 1000)

    # --- what the master says

    def _obey(self) -> None:
        try:
            while (received := messages.receive(self._control)) is not None:
                message, descriptor = received
                word = message[0]
                if word == "start":
                    self._start(_new_tuple(Order, message[1:]), descriptor)
                elif word == "ahead":
                    self._ahead[message[2]] = _new_tuple(Order, message[1:])
                elif word == "go":
                    if message[1] in self._ahead:
                        self._start_ahead(message[1])
                elif word == "worker":
                    self._start_worker(message[1], descriptor)
                elif word == "had":
                    self._finish_worker(*message[1:])
                elif word == "stop":
                    self._stop(*message[1:])
                elif word == "release":
                    self._around.workload.job(message[1]).release()
                    if self._gathered_bytes < sys.maxsize:
                        self._gathered_bytes = min(self._gathered_bytes, anonymous_bytes())
                elif word == "succeeded":
                    self._let_go(message[1])
                elif word == "read":
                    self._read(message[1], message[2])
                elif word == "who":
                    who = [(child.token, self._pids_of(child), child.started_at) for child in self._children.values()]
                    workers = [(worker.number, [pid], 0.0) for pid, worker in self._workers.items()]
                    self._tell(("who", self._bytes, who + workers))
                elif word == "put away":
                    job = self._around.workload.job(message[1])
                    put_away(job.outputs, job.rename_broken)
                elif word == "retire":
                    self._is_retired = True
                elif word == "end":
                    self.is_told = True
                    self._is_ending = True
        except messages.Gone:
            self._is_ending = True

    def _start(self, order: Order, successor_end: int | None = None) -> None:
        job_id, token, is_adopted, cores, memory_bytes, _, address, _ = order
        job = self._workload.job(job_id)
        if address is not None:
            from ..results import claim  # noqa: F401  # Once, and not in the process of each such job.
        slot = launch = None
        started_at = time.time()
        try:
            if job.changes_slave and successor_end is None:
                raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))  # it was sent, and there was no room for it
            slot = self._slots.pop() if self._slots else Slot(self._slot_folders)
            if job.is_program:
                folder = os.path.join(self._around.folder, f"temp_{token}")
                job.granted = Grant(cores, memory_bytes, folder)
                if not is_adopted and address is None and not self._is_strict:
                    launch = job.launch(self._environment_of_programs())
            if launch is None:
                self._fork(job, slot, order, started_at, successor_end)
            else:
                pids = begin(job, launch, slot)
                pipe = _Pipe(pids) if len(pids) > 1 else None
                child = _Child(job, pids[0], slot, token, started_at, launch, None, pipe)
                self._note_child(child)
                for pid in pids[1:]:
                    self._part_of[pid] = child
        except NotBegun as failed:
            assert slot is not None
            self._slots.append(slot)
            self._tell(("ended", token, 0, FAILED, False, started_at, 0.0, None, packed(failed.told)))
        except OSError as error:
            if slot is not None:
                self._slots.append(slot)
            self._tell(("not started", token, error.errno))
            if successor_end is not None:
                os.close(successor_end)

    def _environment_of_programs(self) -> dict[bytes, bytes]:
        """Looked up once: what changes this process is followed by another slave."""
        if not self._environment:
            keep_from_programs()
            self._environment = dict(os.environb)
        return self._environment

    def _note_child(self, child: _Child) -> None:
        self._children[child.pid] = child
        if child.job.timeout_seconds and child.before is None:
            self._kill_at[child.pid] = time.monotonic() + child.job.timeout_seconds

    def _fork(
        self,
        job: Runnable,
        slot: Slot,
        order: Order,
        started_at: float,
        successor_end: int | None,
        before: _Used | None = None,
    ) -> None:
        """A process for a job that needs Python; or for what a program made, of which it is known what it used."""
        if not self._has_forked:
            self._has_forked = True
            self._gather_script(order.followers)
        pid = os.fork()
        if pid == 0:
            try:
                control = self._run_in_fork(job, slot, order, successor_end, before)
            except BaseException:
                import traceback

                traceback.print_exc()
                os._exit(1)
            self._slots.append(slot)
            raise _Succession(control)
        if successor_end is not None:
            os.close(successor_end)
        self._note_child(_Child(job, pid, slot, order.token, started_at, None, before))

    def _read(self, token: int, requests: list[tuple[str, int]]) -> None:
        """A process that looks at the user's files, in this one's group: none of what is done for jobs is for it."""
        try:
            pid = os.fork()
        except OSError:
            self._tell(("read", token, None))
            return
        if pid == 0:
            try:
                sweep.die_with_parent(self._pid)
                # Whoever holds it hides the death of the slave.
                os.close(self._control_descriptor)
                from .reading import read_files

                read_files(requests, self._around.reports, token)
                os._exit(0)
            except BaseException:
                import traceback

                traceback.print_exc()
            finally:
                os._exit(1)
        self._readers[pid] = token

    def _start_worker(self, number: int, queue_end: int | None) -> None:
        """A process for many jobs, which come through this end."""
        from . import worker  # Once, and not in each of them.

        slot = None
        try:
            if queue_end is None:
                raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))  # it was sent, and there was no room for it
            slot = self._slots.pop() if self._slots else Slot(self._slot_folders)
            pid = os.fork()
            if pid == 0:
                try:
                    self._become_child(slot)
                    around, queue = self._around, socket.socket(fileno=queue_end)
                    ways = queue, self._channel, self._openings, slot
                    worker.work(around.workload, around.directory, around.log_directory, self._bytes, *ways)
                except BaseException:
                    import traceback

                    traceback.print_exc()
                finally:
                    os._exit(1)
            self._workers[pid] = _Worker(number, pid, slot)
        except OSError as error:
            if slot is not None:
                self._slots.append(slot)
            self._tell(("not started", number, error.errno))
        finally:
            if queue_end is not None:
                os.close(queue_end)

    def _finish_worker(
        self, number: int, token: int, job_id: JobId, started_at: float, reported_seconds: float
    ) -> None:
        """What the master says of a worker that has ended: which job died with it; token 0: none."""
        worker = self._ended_workers.pop(number)
        if token:
            job = self._around.workload.job(job_id)
            child = _Child(job, worker.pid, worker.slot, token, started_at, None, None)
            child.stopped = worker.stopped
            self._finish(child, worker.status, max(0.0, worker.cpu_seconds - reported_seconds), 0)
        else:
            try:
                worker.slot.take(None)
                self._slots.append(worker.slot)
            except OSError:
                worker.slot.close()

    def _let_go(self, job_id: JobId) -> None:
        """The fork of this job told the master itself how it ended; it is a slave now, or is about to end."""
        for pid, child in list(self._children.items()):
            if child.job.job_id == job_id:
                del self._children[pid]
                self._slots.append(child.slot)

    def _stop(self, jobs: list[JobId] | None, is_urgent: bool, workers: list[int]) -> None:
        for token, order in list(self._ahead.items()):
            if jobs is None or order.job in jobs:
                del self._ahead[token]
                self._tell(("dropped", token))
        now = time.monotonic()
        for child in self._children.values():
            if jobs is None or child.job.job_id in jobs:
                child.stopped = True
                self._kill_at[child.pid] = now if is_urgent else now + self._around.grace_seconds
                if not is_urgent:
                    _ask_to_end(child.pid)
        for worker in self._workers.values():
            if worker.number in workers:
                worker.stopped = True
                self._kill_at[worker.pid] = now if is_urgent else now + self._around.grace_seconds
                if not is_urgent:
                    _ask_to_end(worker.pid)
        self._kill_overdue()

    def _kill_overdue(self) -> None:
        now = time.monotonic()
        for pid, at in list(self._kill_at.items()):
            if at <= now:
                del self._kill_at[pid]
                if pid in self._workers:
                    _signal_group(pid, signal.SIGKILL)
                child = self._children.get(pid)
                if child is None:
                    continue
                if child.stopped or child.is_overdue:
                    _signal_group(pid, signal.SIGKILL)
                else:
                    child.is_overdue = True
                    self._kill_at[pid] = now + self._around.grace_seconds
                    _ask_to_end(pid)

    # --- what the children do

    def _reap(self) -> None:
        os.read(self._wake_reader, 4096)  # what is left wakes again
        while pid := self._next_ended():
            child = self._children.get(pid)
            if child is None and pid in self._workers:
                self._reap_worker(self._workers.pop(pid))
            elif child is None:
                self._reap_other(pid)
            elif child.pipe is None or self._have_ended(child.pipe):
                self._reap_child(child)
            else:
                self._kept.add(pid)

    def _next_ended(self) -> int:
        """Who ended; 0: nobody. It is reaped later: until then its id, which names its group, is nobody else's."""
        try:
            found = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
            if found is None or found.si_pid not in self._kept:
                return 0 if found is None else found.si_pid
            # It is found again and again, and hides others.
            for pid in (*self._part_of, *self._children, *self._workers, *self._readers):
                if pid not in self._kept and os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT):
                    return pid
        except ChildProcessError:
            pass
        return 0

    def _reap_child(self, child: _Child) -> None:
        """With all that it left in its group."""
        del self._children[child.pid]
        _signal_group(child.pid, signal.SIGKILL)
        _, status, used = os.wait4(child.pid, 0)
        if child.pipe is not None:
            child.pipe.note(child.pid, status, used)
        self._finish(child, status, used.ru_utime + used.ru_stime, used.ru_maxrss * 1024)

    def _reap_worker(self, worker: _Worker) -> None:
        """What it had in its hands is for the master to say."""
        _signal_group(worker.pid, signal.SIGKILL)
        _, status, used = os.wait4(worker.pid, 0)
        worker.status, worker.cpu_seconds = status, used.ru_utime + used.ru_stime
        self._kill_at.pop(worker.pid, None)
        self._ended_workers[worker.number] = worker
        self._tell(("worker ended", worker.number, status))

    def _reap_other(self, pid: int) -> None:
        """A part of a pipe that does not lead it, one that reads, or somebody's orphan."""
        child = self._part_of.pop(pid, None)
        if child is None or child.pipe is None:
            _, status = os.waitpid(pid, 0)
            if pid in self._readers:
                self._tell(("read", self._readers.pop(pid), os.waitstatus_to_exitcode(status)))
            return
        child.pipe.note(*os.wait4(pid, 0))
        if child.pid in self._kept and self._have_ended(child.pipe):
            self._kept.discard(child.pid)
            self._reap_child(child)

    def _have_ended(self, pipe: _Pipe) -> bool:
        """All but the leader, and they are reaped."""
        for pid in pipe.pids[1:]:
            if pid not in pipe.codes:
                ended, status, used = os.wait4(pid, os.WNOHANG)
                if not ended:
                    return False
                pipe.note(pid, status, used)
                del self._part_of[pid]
        return True

    def _pids_of(self, child: _Child) -> list[int]:
        """Those that run; of a pipe the last part first, which prints."""
        pids = (child.pid,) if child.pipe is None else child.pipe.pids[::-1]
        return [pid for pid in pids if pid in self._part_of or (pid == child.pid and pid not in self._kept)]

    def _start_ahead(self, token: int) -> None:
        self._start(self._ahead.pop(token))

    def _finish(self, child: _Child, status: int, cpu_seconds: float, peak_bytes: int) -> None:
        exit_code = os.waitstatus_to_exitcode(status) if status else 0
        codes: tuple[int, ...] = (exit_code,)
        if child.pipe is not None:
            cpu_seconds, peak_bytes = child.pipe.cpu_seconds, child.pipe.peak_bytes
            codes = tuple([child.pipe.codes[pid] for pid in child.pipe.pids])
        report = None
        if self._kill_at:
            self._kill_at.pop(child.pid, None)
        if child.launch is not None and not child.stopped:
            told = self._told_of_program(child, codes, cpu_seconds, peak_bytes)
            if told is None:
                return
            report = packed(told)
            exit_code = 0 if told[0] is None else FAILED
        elif child.is_overdue and exit_code and not child.stopped:
            report = packed(told_of_overtime(child.job, exit_code, child.started_at))
            exit_code = FAILED
        next_token = next(iter(self._ahead), 0)
        if next_token:
            self._start_ahead(next_token)
        if child.before is not None:
            cpu_seconds += child.before[2]
        if exit_code == FAILED:
            # One failure is seldom alone: what puts them into words need not be imported by each.
            from . import failures  # noqa: F401
        elif exit_code or (child.launch is not None and child.stopped):
            put_away(child.job.outputs, child.job.rename_broken)
        if child.job.is_program:
            sweep.remove_aside(child.job.granted.folder)
        printed = self._take(child.slot, child.job, bool(exit_code))
        how = (child.stopped, child.started_at, cpu_seconds, printed, report)
        self._tell(("ended", child.token, next_token, exit_code, *how))

    def _told_of_program(
        self, child: _Child, codes: tuple[int, ...], cpu_seconds: float, peak_bytes: int
    ) -> Told | None:
        """What to report; None: a fork of this slave reads what it made, and reports."""
        job, launch = child.job, child.launch
        assert launch is not None
        seconds = time.monotonic() - child.began
        # Until execve(2) it was this process, whose size is counted, too.
        peak = peak_bytes if seconds >= PEAK_FROM_SECONDS and peak_bytes > most_bytes() else 0
        overtime = job.timeout_seconds if child.is_overdue else 0.0
        told = told_of_end(job, launch, codes, child.slot.stderr, child.started_at, seconds, peak, overtime)
        if told is None:
            try:
                used = (child.started_at, seconds, cpu_seconds, peak)
                order = Order(job.job_id, child.token, is_adopted=True)
                self._fork(job, child.slot, order, child.started_at, None, used)
            except OSError as error:
                put_away(job.outputs, job.rename_broken)
                self._slots.append(child.slot)
                self._tell(("not started", child.token, error.errno))
        return told

    def _take(self, slot: Slot, job: Runnable, has_failed: bool) -> tuple[object, ...] | None:
        directory = self._around.log_directory
        keep_as = (directory, job.job_id) if has_failed and directory is not None else None
        try:
            printed = slot.take(keep_as)
        except OSError:
            slot.close()
            return None
        self._slots.append(slot)
        return None if printed is NOTHING_PRINTED else tuple(printed)

    def _tell(self, message: tuple[object, ...]) -> None:
        try:
            messages.send(self._control, message)
        except messages.Gone:
            self._is_ending = True
        except OSError:
            # What is too large for a datagram takes a descriptor; jobs that ended left two each.
            if not self._slots:
                raise
            self._slots.pop().close()
            self._tell(message)

    # --- in the fork

    def _run_in_fork(
        self, job: Runnable, slot: Slot, order: Order, successor_end: int | None, before: _Used | None
    ) -> socket.socket:
        """Comes back only where the slave was changed, with the end that the successor listens to."""
        self._become_child(slot)
        _, token, _, _, _, caches, _, followers = order
        if caches:
            for cache, content in caches.items():
                self._workload.job(cache).recorded_content = content
        # What a fork that stays gave up, all jobs after it would have to do without.
        confine = self._confined if self._is_strict and successor_end is None else None
        told = run_job(self._workload, job, self._directory, self._bytes, order, self._openings, confine)
        if before is not None:
            told = (*told[:2], before, *told[3:])
        if successor_end is None or told[0] is not None:
            self._channel.send(token, told)
            os._exit(0 if told[0] is None else FAILED)
        remarks = self._gather(followers)
        control = socket.socket(fileno=successor_end)
        threads = len(os.listdir("/proc/self/task"))
        printed = slot.take(None)
        # From here on the end of its socket is what ends it: the slave that forked it may end first.
        _answer_ending_signals(_IGNORED)
        sweep.outlive_parent()
        how = (packed(told), tuple(printed), threads, job.loaded_fingerprint, remarks)
        messages.send(control, ("loaded", token, *how))
        return control

    def _gather_script(self, followers: int) -> None:
        """Into huge pages, in front of the first fork: by now the master has touched, and so copied, what it shared."""
        if followers >= _MANY_JOBS and self._bytes >= _SCRIPT_BYTES:
            try:
                from .hugepages import gather

                gather(followers)
            except Exception:
                pass  # without, forks only take longer

    def _gather(self, followers: int) -> tuple[tuple[str, str], ...]:
        """Into huge pages, if much was loaded; what a person should know of it. Nobody shares the pages yet."""
        if followers < _MANY_JOBS or anonymous_bytes() - self._gathered_bytes < _MUCH_BYTES:
            return ()
        try:
            from .hugepages import gather

            remark = gather(followers).remark
        except Exception:
            return ()  # whatever the job did to this process: what it loaded is there
        # Where it can't be done, that is said once.
        self._gathered_bytes = anonymous_bytes() if remark is None else sys.maxsize
        return () if remark is None else (remark,)

    def _become_child(self, slot: Slot) -> None:
        """In the fork: leave behind what is the slave's."""
        os.setpgid(0, 0)
        sweep.die_with_parent(self._pid)
        signal.set_wakeup_fd(-1)
        _set_signal(_SIGCHLD, _DEFAULT)
        _answer_ending_signals(_DEFAULT)
        # Whoever holds it hides the death of the slave.
        os.close(self._control_descriptor)
        if self._terminal is not None:
            os.close(self._terminal.descriptor)
            self._around = self._around._replace(terminal=None)
        os.dup2(slot.stdout, 1)
        os.dup2(slot.stderr, 2)

    def _confined(self, job: Runnable, store: str) -> Confinement:
        from .strict import Confinement

        return Confinement(job, self._around.folder, self._around.log_directory, store)

    def successor(self, control: socket.socket) -> Slave:
        """In the fork: wait for the master's word, then take over, with what was loaded here."""
        null = os.open(os.devnull, os.O_RDWR)
        os.dup2(null, 1)
        os.dup2(null, 2)
        os.close(null)
        select.select([control], [], [])
        try:
            received = messages.receive(control)
        except messages.Gone:
            received = None
        if received is None or received[0][0] != "adopt":
            os._exit(0)
        os.environ[sweep.SLAVE_MARK] = received[0][1]
        self._control.detach()
        os.close(self._wake_reader)
        os.close(self._wake_writer)
        slots = [*self._slots, *(child.slot for child in self._children.values())]
        slots += [worker.slot for workers in (self._workers, self._ended_workers) for worker in workers.values()]
        for each in slots:
            each.close()
        gc.freeze()
        return Slave(self._around, control, self._openings, self._gathered_bytes)


def _answer_ending_signals(how: int) -> None:
    for number in _ENDING:
        _set_signal(number, how)


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
