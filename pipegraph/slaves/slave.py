"""The slave's own loop: forks a child per job, reaps it, and reports to the master control program.

Single-threaded. It waits in one place, for messages, reports and dead children alike. The first slave of a run, the
keeper, stays to the end: it adopts orphans, and when the master ends, in whatever way, it ends all else. A fork of a
slave that loaded something becomes a slave itself, inside `_run_in_fork`, and never comes back from there.
"""

from __future__ import annotations

import faulthandler
import gc
import os
import select
import shutil
import signal
import socket
import sys
import time
import warnings
from typing import NamedTuple, NoReturn

from ..events import JobFailed, JobStopped, JobSucceeded, Warned
from ..model import Failure, FailureKind, JobId, Printed, Usage
from . import messages, sweep
from .capture import Slot
from .child import Report, ReportChannel, put_away_outputs, run_job, unpacked
from .protocol import Runnable, Workload

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT, signal.SIGUSR1, signal.SIGUSR2)


class Surroundings(NamedTuple):
    """What all slaves of a run have in common."""

    workload: Workload
    directory: str
    log_directory: str | None
    folder: str
    grace_seconds: float


class _Child:
    """A job that runs."""

    __slots__ = ("job", "kill_at", "pid", "report", "slot", "started_at", "stopped", "token")

    def __init__(self, job: Runnable, pid: int, slot: Slot, token: int) -> None:
        self.job = job
        self.pid = pid
        self.slot = slot
        self.token = token
        self.report: Report | None = None
        self.stopped = False
        self.kill_at: float | None = None
        self.started_at = time.time()


def be_keeper(around: Surroundings, control: socket.socket) -> NoReturn:
    """In the fork of the master: become the first slave, and never come back."""
    code = 1
    try:
        os.setsid()
        sweep.adopt_orphans()
        for number in _SIGNALS:
            signal.signal(number, signal.SIG_DFL)
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
        Slave(around, control, is_keeper=True).work()
        code = 0
        del kept
    except BaseException:
        import traceback

        traceback.print_exc()
    finally:
        signal.set_wakeup_fd(-1)
        sweep.kill_descendants()
        shutil.rmtree(around.folder, ignore_errors=True)
        os._exit(code)


class Slave:
    """One slave, from its first message to its last child."""

    def __init__(self, around: Surroundings, control: socket.socket, is_keeper: bool) -> None:
        self._around = around
        self._control = control
        self._is_keeper = is_keeper
        self._children: dict[int, _Child] = {}
        self._by_token: dict[int, _Child] = {}
        self._slots: list[Slot] = []
        self._tokens = 0
        self._is_retired = False
        self._is_ending = False
        self._reports, self._report_end = messages.pair()
        self._channel = ReportChannel(self._report_end, around.folder)
        self._wake_reader, self._wake_writer = socket.socketpair()
        for end in (self._wake_reader, self._wake_writer):
            end.setblocking(False)
        self._pid = os.getpid()
        signal.set_wakeup_fd(self._wake_writer.fileno(), warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda number, frame: None)

    def work(self) -> None:
        """Until the master says so, or is gone; a slave that was succeeded: until its last job ended."""
        poll = select.poll()
        for end in (self._control, self._reports, self._wake_reader):
            poll.register(end, select.POLLIN)
        control, reports, wake = (end.fileno() for end in (self._control, self._reports, self._wake_reader))
        while not self._is_ending and not (self._is_retired and not self._children):
            ready = {descriptor for descriptor, _ in poll.poll(self._timeout())}
            if reports in ready:
                self._read_reports()
            if wake in ready:
                self._drain_wakeups()
                self._reap()
            if control in ready:
                self._obey()
            self._kill_overdue()
        if not self._is_keeper:
            os._exit(0)

    def _timeout(self) -> float | None:
        due = [child.kill_at for child in self._children.values() if child.kill_at is not None]
        return max(0.0, (min(due) - time.monotonic()) * 1000) if due else None

    # --- what the master says

    def _obey(self) -> None:
        try:
            while (received := messages.receive(self._control)) is not None:
                (word, *rest), descriptor = received
                if word == "start":
                    self._start(rest[0], descriptor)
                elif word == "stop":
                    self._stop(*rest)
                elif word == "release":
                    self._around.workload.job(rest[0]).release()
                elif word == "succeeded":
                    self._let_go(rest[0])
                elif word == "retire":
                    self._is_retired = True
                elif word == "end":
                    self._is_ending = True
        except messages.Gone:
            self._is_ending = True

    def _start(self, job_id: JobId, successor_end: int | None) -> None:
        job = self._around.workload.job(job_id)
        slot = self._slots.pop() if self._slots else Slot(self._around.log_directory)
        self._tokens += 1
        token = self._tokens
        try:
            pid = os.fork()
        except OSError as error:
            self._slots.append(slot)
            failure = Failure(
                FailureKind.DIED, "builtins.OSError", f"its process could not be started: {error.strerror}"
            )
            self._tell(JobFailed(job_id, failure))
            if successor_end is not None:
                os.close(successor_end)
            return
        if pid == 0:
            try:
                self._run_in_fork(job, slot, token, successor_end)
            finally:
                os._exit(1)
        try:
            os.setpgid(pid, pid)
        except OSError:
            pass  # it did so itself, or is gone
        if successor_end is not None:
            os.close(successor_end)
        child = _Child(job, pid, slot, token)
        self._children[pid] = child
        self._by_token[token] = child

    def _let_go(self, job_id: JobId) -> None:
        """The fork of this job told the master itself how it ended; it is a slave now, or is about to end."""
        for pid, child in list(self._children.items()):
            if child.job.job_id == job_id:
                del self._children[pid]
                del self._by_token[child.token]
                self._slots.append(child.slot)

    def _stop(self, jobs: list[JobId] | None, is_urgent: bool) -> None:
        now = time.monotonic()
        for child in self._children.values():
            if jobs is None or child.job.job_id in jobs:
                child.stopped = True
                child.kill_at = now if is_urgent else now + self._around.grace_seconds
                if not is_urgent:
                    _signal_group(child.pid, signal.SIGTERM)
                    _signal_group(child.pid, signal.SIGCONT)
        self._kill_overdue()

    def _kill_overdue(self) -> None:
        now = time.monotonic()
        for child in self._children.values():
            if child.kill_at is not None and child.kill_at <= now:
                child.kill_at = None
                _signal_group(child.pid, signal.SIGKILL)

    # --- what the children do

    def _read_reports(self) -> None:
        try:
            while (received := messages.receive(self._reports)) is not None:
                child = self._by_token.get(received[0][0])
                if child is not None:
                    child.report = unpacked(received[0][1:])
        except (messages.Gone, OSError):
            return

    def _drain_wakeups(self) -> None:
        try:
            while self._wake_reader.recv(4096):
                pass
        except BlockingIOError:
            pass

    def _reap(self) -> None:
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
            if child is not None:
                _signal_group(pid, signal.SIGKILL)
            _, status, used = os.wait4(pid, 0)
            if child is not None:
                self._finish(child, os.waitstatus_to_exitcode(status), used.ru_utime + used.ru_stime)

    def _finish(self, child: _Child, exit_code: int, cpu_seconds: float) -> None:
        job = child.job
        del self._by_token[child.token]
        if child.report is None:
            self._by_token[child.token] = child
            self._read_reports()
            del self._by_token[child.token]
        report = child.report
        if report is None and not exit_code:
            report = self._channel.found_as_file(child.token)
        is_ok = report is not None and exit_code == 0 and report.failure is None
        keep_as = None
        if not is_ok and self._around.log_directory is not None:
            keep_as = (self._around.log_directory, job.job_id)
        printed = self._take(child.slot, keep_as)
        if report is not None:
            told = report.usage
            usage = Usage(told.started_at, told.seconds, cpu_seconds, told.peak_bytes)
        else:
            usage = Usage(child.started_at, time.time() - child.started_at, cpu_seconds, 0)
        if is_ok:
            assert report is not None
            self._tell(JobSucceeded(job.job_id, report.outputs, usage, printed, report.growth))
            return
        if report is None or exit_code:
            put_away_outputs(job)
        if child.stopped:
            self._tell(JobStopped(job.job_id))
        elif report is not None and report.failure is not None and exit_code == 0:
            self._tell(JobFailed(job.job_id, report.failure, usage, printed))
        else:
            self._tell(JobFailed(job.job_id, _death(job, exit_code), usage, printed))

    def _take(self, slot: Slot, keep_as: tuple[str, str] | None) -> Printed:
        try:
            printed = slot.take(keep_as)
        except OSError:
            return Printed()
        self._slots.append(slot)
        return printed

    def _tell(self, event: object) -> None:
        try:
            messages.send(self._control, event)
        except messages.Gone:
            self._is_ending = True

    # --- in the fork

    def _run_in_fork(self, job: Runnable, slot: Slot, token: int, successor_end: int | None) -> None:
        os.setpgid(0, 0)
        sweep.die_with_parent(self._pid)
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        self._control.close()
        slot.become_output()
        around = self._around
        report = run_job(around.workload, job, around.directory)
        if successor_end is None or report.failure is not None:
            self._channel.send(token, report)
            os._exit(0)
        control = socket.socket(fileno=successor_end)
        threads = len(os.listdir("/proc/self/task"))
        printed = slot.take(None)
        # From here on the end of its socket is what ends it: the slave that forked it may end first.
        sweep.outlive_parent()
        messages.send(control, JobSucceeded(job.job_id, (), report.usage, printed, report.growth))
        if threads > 1:
            messages.send(
                control,
                Warned(
                    f"{threads} threads run after loading {job.job_id} ({job.place}); a fork beside them may hang",
                    job.job_id,
                    "Limit the library's threads while loading (OMP_NUM_THREADS=1, ARROW_NUM_THREADS=1 and the like).",
                ),
            )
        self._become_slave(control, slot)

    def _become_slave(self, control: socket.socket, slot: Slot) -> NoReturn:
        """Wait for the master's word, then be a slave that holds what was loaded here."""
        null = os.open(os.devnull, os.O_RDWR)
        os.dup2(null, 1)
        os.dup2(null, 2)
        os.close(null)
        try:
            control.setblocking(True)
            select.select([control], [], [])
            received = messages.receive(control)
            if received is None or received[0][0] != "adopt":
                os._exit(0)
            for end in (self._reports, self._report_end, self._wake_reader, self._wake_writer):
                end.close()
            for each in [*self._slots, *(child.slot for child in self._children.values()), slot]:
                each.close()
            gc.freeze()
            Slave(self._around, control, is_keeper=False).work()
        except messages.Gone:
            pass
        finally:
            os._exit(0)


def _signal_group(leader: int, number: int) -> None:
    try:
        os.killpg(leader, number)
    except (ProcessLookupError, PermissionError):
        pass


def _death(job: Runnable, exit_code: int) -> Failure:
    if exit_code < 0:
        try:
            how = f"killed by {signal.Signals(-exit_code).name}"
        except ValueError:
            how = f"killed by signal {-exit_code}"
        mend = (
            "Most often the system ran out of memory. Raise memory_needed, or run fewer at once."
            if exit_code == -signal.SIGKILL
            else "See what it printed last."
        )
    else:
        how = f"exit status {exit_code}, without a report"
        mend = "Something in it called os._exit, or a library did. Return from the callback instead."
    return Failure(
        FailureKind.DIED,
        "pipegraph.errors.JobDiedException",
        f"a job died before it finished\n    job:  {job.job_id} ({job.place})\n    exit: {how}\n{mend}",
        exit_code=exit_code,
    )
