"""The forks of a slave, and what each begins with: the process of a job, of a worker, or one that reads.

Owns what they inherit and need; never comes back in one, but where a job changed the slave: then it raises
`Succession`. Each page of memory that a fork touches is copied: in that of a job, few objects and few functions are.
"""

from __future__ import annotations

import _signal  # type: ignore[import-not-found]
import contextlib
import os
import signal
import sys
from typing import TYPE_CHECKING, NoReturn

from . import messages, sweep
from .capture import Slot
from .child import FAILED, ReportChannel, Used, packed, run_job
from .memory import anonymous_bytes
from .opened import Openings
from .protocol import Order, Runnable, Surroundings

if TYPE_CHECKING:
    from ..machine.jobserver import Joined
    from .strict import Confinement

# Without the enums of the module signal, which touch sixty pages in the process of each job.
_set_signal = _signal.signal
_setpgid = os.setpgid
_SIGCHLD = int(signal.SIGCHLD)
_DEFAULT = int(signal.SIG_DFL)
_KILL = int(signal.SIGKILL)

_IGNORED = int(signal.SIG_IGN)
_ENDING = tuple(map(int, (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT)))
"""A batch system or a service manager sends these to every process: slaves leave it to the master to end them."""

_MUCH_BYTES = 64 << 20
_MANY_JOBS = 10
"""Memory that was loaded since it was put into huge pages last, and jobs to come: with less, that does not pay."""


class Succession(Exception):
    """Raised in the fork of a job that changed the slave: all that its forebear was doing is left behind.

    Were it called instead, each generation would stand on the stack of the one before.

    Attributes
    ----------
    control
        The end that the successor listens to.
    """

    def __init__(self, control: messages.End) -> None:
        self.control = control


class Forks:
    """All that one slave forks.

    Parameters
    ----------
    control_descriptor
        The slave's own, of which no fork may hold a copy.

    Attributes
    ----------
    inherited_bytes
        What each fork begins with.
    is_large
        The kernel might kill the slave, and with it all that was loaded, rather than what a job started.
    gathered_bytes
        The slave's size when memory was last put into huge pages; the largest of numbers: that can't be done.
    """

    def __init__(self, around: Surroundings, control_descriptor: int, openings: Openings, gathered_bytes: int) -> None:
        # Looked up for each job: an attribute of this object costs a tenth of one of a named tuple, and touches less.
        self._workload, self._directory = around.workload, around.directory
        self._is_strict, self._terminal = around.is_strict, around.terminal
        self._around = around
        self.openings = openings
        self._control_descriptor = control_descriptor
        self._channel = ReportChannel(around.reports, around.folder)
        self._pid = os.getpid()
        self.inherited_bytes = anonymous_bytes()
        self.is_large = self.inherited_bytes >= _MUCH_BYTES
        self.gathered_bytes = gathered_bytes
        self._run_there = self._run  # looked up once, and not in each fork
        self._is_rehearsal = False
        self._ending, self._death_signal = _DEFAULT, _KILL

    # --- each returns the process id, and may raise OSError

    def job(
        self, job: Runnable, slot: Slot, order: Order, successor_end: int | None = None, before: Used | None = None
    ) -> int:
        """A process for a job that needs Python; or for what a program made, of which it is known what it used.

        Parameters
        ----------
        successor_end
            Of a job that changes the slave: what the successor is to listen to; closed once it is forked.
        """
        run = self._run_there
        if order.access is not None:
            from . import jobserver  # noqa: F401  # Once, and not in the process of each such job.
        pid = os.fork()
        if pid == 0:
            try:
                control = run(job, slot, order, successor_end, before)
                assert control is not None
            except BaseException:
                _leave_with_traceback()
            raise Succession(control)
        if successor_end is not None:
            os.close(successor_end)
        return pid

    def worker(self, queue_end: int, slot: Slot) -> int:
        """A process for many jobs, which come through this end."""
        from . import worker  # Once, and not in each of them.

        pid = os.fork()
        if pid == 0:
            try:
                self._begin_group(slot)
                if self.is_large:
                    sweep.be_killed_first()
                around, queue = self._around, messages.End(fileno=queue_end)
                ways = queue, self._channel, self.openings, slot
                worker.work(around.workload, around.directory, around.log_directory, self.inherited_bytes, *ways)
            except BaseException:
                _leave_with_traceback()
        return pid

    def reader(self, requests: list[tuple[str, int]], token: int) -> int:
        """A process that looks at the user's files, in this one's group: none of what is done for jobs is for it."""
        pid = os.fork()
        if pid == 0:
            try:
                sweep.die_with_parent(self._pid)
                # Whoever holds it hides the death of the slave.
                os.close(self._control_descriptor)
                from .reading import read_files

                read_files(requests, self._around.reports, token)
                os._exit(0)
            except BaseException:
                _leave_with_traceback()
        return pid

    def rehearse(self, job: Runnable, slot: Slot, order: Order) -> None:
        """Do what the process of a job does in this one, as far as that changes nothing here."""
        self._is_rehearsal = True
        self._ending, self._death_signal = _IGNORED, 0
        self._pid = os.getppid()
        self._control_descriptor = os.dup(0)
        with contextlib.suppress(OSError):
            _setpgid(0, -1)  # which is never right; but now the C library's function is looked up
        self._run(job, slot, order, None, None)

    # --- in the fork

    def _begin_group(self, slot: Slot) -> None:
        """Leave behind what is the slave's."""
        if not self._is_rehearsal:
            _setpgid(0, 0)
        sweep.die_with_parent(self._pid, self._death_signal)
        _signal.set_wakeup_fd(-1)
        _set_signal(_SIGCHLD, _DEFAULT)
        _answer_ending_signals(self._ending)
        # Whoever holds it hides the death of the slave.
        os.close(self._control_descriptor)
        if self._terminal is not None:
            os.close(self._terminal.descriptor)
        os.dup2(slot.stdout, 1)
        os.dup2(slot.stderr, 2)

    def _run(
        self, job: Runnable, slot: Slot, order: Order, successor_end: int | None, before: Used | None
    ) -> messages.End | None:
        """Comes back where the slave was changed, with the end that the successor listens to, and in a rehearsal."""
        self._begin_group(slot)
        if self.is_large and successor_end is None:
            sweep.be_killed_first()
        _, token, is_adopted, cores, _, caches, _, followers, access = order
        if cores != 1:
            self._around.threads.grant(cores)
        if caches:
            for cache, content in caches.items():
                self._workload.job(cache).recorded_content = content
        joined, left_out = (None, ()) if access is None or is_adopted else _take_part(job, access)
        # What a fork that stays gave up, all jobs after it would have to do without.
        confine = self._confined if self._is_strict and successor_end is None else None
        told = run_job(self._workload, job, self._directory, self.inherited_bytes, order, self.openings, confine)
        if before is not None:
            told = (*told[:2], before, *told[3:])
        if successor_end is None or told[0] is not None:
            if left_out:
                told = (*told[:5], (told[5][0], [*told[5][1], *left_out]))
            self._channel.send(token, told)
            if self._is_rehearsal:
                return None
            sweep.leave(0 if told[0] is None else FAILED)
        self._around.threads.take_back()
        if joined is not None:
            joined.leave()
        remarks = (*left_out, *self._gather(followers))
        control = messages.End(fileno=successor_end)
        threads = len(os.listdir("/proc/self/task"))
        printed = slot.take(None)
        # From here on the end of its socket is what ends it: the slave that forked it may end first.
        ignore_ending_signals()
        sweep.outlive_parent()
        how = (packed(told), tuple(printed), threads, job.loaded_fingerprint, remarks)
        messages.send(control, ("loaded", token, *how))
        slot.close()
        return control

    def _confined(self, job: Runnable, order: Order) -> Confinement:
        from .strict import Confinement

        also = [] if order.address is None else [order.address[0]]
        if order.access is not None:
            also.append(os.path.dirname(order.access[0]))
        return Confinement(job, self._around.folder, self._around.log_directory, also)

    # --- memory

    def note_release(self) -> None:
        """What was loaded may be less now."""
        if self.gathered_bytes < sys.maxsize:
            self.gathered_bytes = min(self.gathered_bytes, anonymous_bytes())

    def _gather(self, followers: int) -> tuple[tuple[str, str], ...]:
        """Into huge pages, if much was loaded; what a person should know of it. Nobody shares the pages yet."""
        if followers < _MANY_JOBS or anonymous_bytes() - self.gathered_bytes < _MUCH_BYTES:
            return ()
        try:
            from .hugepages import gather

            remark = gather(followers).remark
        except Exception:
            return ()  # whatever the job did to this process: what it loaded is there
        # Where it can't be done, that is said once.
        self.gathered_bytes = anonymous_bytes() if remark is None else sys.maxsize
        return () if remark is None else (remark,)


def _take_part(job: Runnable, access: tuple[str, bool, int]) -> tuple[Joined | None, tuple[tuple[str, str], ...]]:
    """In the jobserver; if that is not to be reached, what a person should know."""
    from . import jobserver

    try:
        return jobserver.take_part(access), ()
    except OSError as error:
        if job.is_program:
            job.granted = job.granted._replace(access=None)
        return None, (jobserver.without(error),)


def ignore_ending_signals() -> None:
    """As every slave does; jobs don't."""
    _answer_ending_signals(_IGNORED)


def _answer_ending_signals(how: int) -> None:
    for number in _ENDING:
        _set_signal(number, how)


def _leave_with_traceback() -> NoReturn:
    """Whatever went wrong, a fork must not go on with what its forebear was doing."""
    try:
        import traceback

        traceback.print_exc()
    finally:
        os._exit(1)
