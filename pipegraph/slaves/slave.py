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
from .terminal import Mode, restore

if TYPE_CHECKING:
    from .strict import Confinement

# Without the enums of the module signal, which touch sixty pages in the process of each job.
_set_signal = _signal.signal
_SIGCHLD = int(signal.SIGCHLD)
_DEFAULT = int(signal.SIG_DFL)

_IGNORED = int(signal.SIG_IGN)
_ENDING = tuple(map(int, (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT)))
"""A batch system or a service manager sends these to every process: slaves leave it to the master to end them."""

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


class _Child:
    """A job that runs."""

    __slots__ = ("before", "began", "is_overdue", "job", "launch", "pid", "slot", "started_at", "stopped", "token")

    def __init__(
        self,
        job: Runnable,
        pid: int,
        slot: Slot,
        token: int,
        started_at: float,
        launch: Launch | None,
        before: _Used | None,
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
        gc.enable()
        gc.freeze()
        if around.is_strict:
            from . import strict

            strict.landlock_version()  # asked once, and not by each job
        slave = Slave(around, control, Openings(around.directory))
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

    def __init__(self, around: Surroundings, control: socket.socket, openings: Openings) -> None:
        self._around = around
        self._openings = openings
        self._control = control
        self._control_descriptor = control.fileno()
        self._children: dict[int, _Child] = {}
        self._workers: dict[int, _Worker] = {}
        # Those that have ended, by number, until the master tells what they were running.
        self._ended_workers: dict[int, _Worker] = {}
        self._kill_at: dict[int, float] = {}
        # What was told ahead, to begin when others end, by token.
        self._ahead: dict[int, Order] = {}
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
                    self._start(Order._make(message[1:]), descriptor)
                elif word == "ahead":
                    self._ahead[message[2]] = Order._make(message[1:])
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
                elif word == "succeeded":
                    self._let_go(message[1])
                elif word == "who":
                    who = [(child.token, pid, child.started_at) for pid, child in self._children.items()]
                    workers = [(worker.number, pid, 0.0) for pid, worker in self._workers.items()]
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
        token, is_adopted = order.token, order.is_adopted
        job = self._around.workload.job(order.job)
        if order.address is not None:
            from ..results import claim  # noqa: F401  # Once, and not in the process of each such job.
        slot = launch = None
        started_at = time.time()
        try:
            if job.changes_slave and successor_end is None:
                raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))  # it was sent, and there was no room for it
            slot = self._slots.pop() if self._slots else Slot(self._slot_folders)
            if job.is_program:
                folder = os.path.join(self._around.folder, f"temp_{token}")
                job.granted = Grant(order.cores, order.memory_bytes, folder)
                if not is_adopted and order.address is None and not self._around.is_strict:
                    launch = job.launch(self._environment_of_programs())
            if launch is None:
                self._fork(job, slot, order, started_at, successor_end)
            else:
                pid = begin(job, launch, slot)
                self._note_child(_Child(job, pid, slot, token, started_at, launch, None))
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
        try:
            os.setpgid(pid, pid)
        except OSError:
            pass  # it did so itself, or is gone
        if successor_end is not None:
            os.close(successor_end)
        self._note_child(_Child(job, pid, slot, order.token, started_at, None, before))

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
            try:
                os.setpgid(pid, pid)
            except OSError:
                pass  # it did so itself, or is gone
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
        try:
            while os.read(self._wake_reader, 4096):
                pass
        except BlockingIOError:
            pass
        while True:
            try:
                # Looked at first, reaped later: until then its id, which names its group, is nobody else's.
                found = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
            except ChildProcessError:
                return
            if found is None:
                return
            pid = found.si_pid
            child = self._children.pop(pid, None)
            worker = self._workers.pop(pid, None)
            if child is not None or worker is not None:
                _signal_group(pid, signal.SIGKILL)
            _, status, used = os.wait4(pid, 0)
            if worker is not None:
                worker.status, worker.cpu_seconds = status, used.ru_utime + used.ru_stime
                self._kill_at.pop(pid, None)
                self._ended_workers[worker.number] = worker
                self._tell(("worker ended", worker.number, status))
            if child is not None:
                self._finish(child, status, used.ru_utime + used.ru_stime, used.ru_maxrss * 1024)

    def _start_ahead(self, token: int) -> None:
        self._start(self._ahead.pop(token))

    def _finish(self, child: _Child, status: int, cpu_seconds: float, peak_bytes: int) -> None:
        exit_code = os.waitstatus_to_exitcode(status) if status else 0
        report = None
        if self._kill_at:
            self._kill_at.pop(child.pid, None)
        if child.launch is not None and not child.stopped:
            told = self._told_of_program(child, exit_code, cpu_seconds, peak_bytes)
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

    def _told_of_program(self, child: _Child, exit_code: int, cpu_seconds: float, peak_bytes: int) -> Told | None:
        """What to report; None: a fork of this slave reads what it made, and reports."""
        job, launch = child.job, child.launch
        assert launch is not None
        seconds = time.monotonic() - child.began
        # Until execve(2) it was this process, whose size is counted, too.
        peak = peak_bytes if seconds >= PEAK_FROM_SECONDS and peak_bytes > most_bytes() else 0
        overtime = job.timeout_seconds if child.is_overdue else 0.0
        told = told_of_end(job, launch, exit_code, child.slot.stderr, child.started_at, seconds, peak, overtime)
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
        around = self._around
        for cache, content in (order.caches or {}).items():
            around.workload.job(cache).recorded_content = content
        # What a fork that stays gave up, all jobs after it would have to do without.
        confine = self._confined if around.is_strict and successor_end is None else None
        told = run_job(around.workload, job, around.directory, self._bytes, order, self._openings, confine)
        if before is not None:
            told = (*told[:2], before, *told[3:])
        if successor_end is None or told[0] is not None:
            self._channel.send(order.token, told)
            os._exit(0 if told[0] is None else FAILED)
        control = socket.socket(fileno=successor_end)
        threads = len(os.listdir("/proc/self/task"))
        printed = slot.take(None)
        # From here on the end of its socket is what ends it: the slave that forked it may end first.
        _answer_ending_signals(_IGNORED)
        sweep.outlive_parent()
        messages.send(control, ("loaded", order.token, packed(told), tuple(printed), threads, job.loaded_fingerprint))
        return control

    def _become_child(self, slot: Slot) -> None:
        """In the fork: leave behind what is the slave's."""
        os.setpgid(0, 0)
        sweep.die_with_parent(self._pid)
        signal.set_wakeup_fd(-1)
        _set_signal(_SIGCHLD, _DEFAULT)
        _answer_ending_signals(_DEFAULT)
        # Whoever holds it hides the death of the slave.
        os.close(self._control_descriptor)
        if self._around.terminal is not None:
            os.close(self._around.terminal.descriptor)
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
        return Slave(self._around, control, self._openings)


def _answer_ending_signals(how: int) -> None:
    for number in _ENDING:
        _set_signal(number, how)


def _ask_to_end(leader: int) -> None:
    _signal_group(leader, signal.SIGTERM)
    _signal_group(leader, signal.SIGCONT)


def _signal_group(leader: int, number: int) -> None:
    try:
        os.killpg(leader, number)
    except (ProcessLookupError, PermissionError):
        pass
