"""The first slave of a run: how the master forks it, what it is in its fork, and how all that is left of it is ended.

It stays to the end: it adopts orphans, and when the master ends, in whatever way, it ends all else. Owns its process,
and what is there for one run alone: a folder, the sockets that jobs report by, the terminal's mode.
"""

from __future__ import annotations

import faulthandler
import gc
import os
import signal
import sys
import time
import warnings
from collections.abc import Callable, Iterable
from typing import NoReturn

from ..invariants.clock import FILE_CLOCKS
from . import messages, sweep
from .forks import Succession, ignore_ending_signals
from .opened import Openings
from .protocol import Surroundings, Workload
from .rehearsal import rehearse
from .slave import Slave
from .terminal import Mode, restore, saved_mode
from .threads import ThreadLimits

_END_SECONDS = 10.0
_MARK = "PIPEGRAPH_RUN"


class KeeperProcess:
    """The process, seen from the master; another one is forked if it dies.

    Attributes
    ----------
    pid
        0: there is none yet.
    folder
        For this run alone, removed at its end.
    reports
        The end at which arrives what jobs' processes report.
    """

    reports: messages.End
    _reports_writer: messages.End

    def __init__(
        self, workload: Workload, run_id: str, log_directory: str | None, grace_seconds: float, is_strict: bool
    ) -> None:
        self._workload = workload
        self._run_id = run_id
        self._log_directory = None if log_directory is None else os.path.abspath(log_directory)
        self._grace_seconds = grace_seconds
        self._is_strict = is_strict
        self.pid = 0
        self.folder = ""
        self._terminal: Mode | None = None
        self._was_subreaper = False
        self._is_begun = False
        self._master = os.getpid()
        self._spared: frozenset[int] = frozenset()

    @property
    def is_ours(self) -> bool:
        """There is something to end, and this is the process that began it."""
        return self._is_begun and os.getpid() == self._master

    def prepare(self) -> None:
        """Once, in front of the first fork; may raise OSError."""
        self.reports, self._reports_writer = messages.pair()
        self._was_subreaper = sweep.adopt_orphans()
        self._is_begun = True
        self.folder = sweep.new_folder()
        # Asked once here, and not by every job.
        FILE_CLOCKS.learn(os.getcwd())
        self._spared = frozenset(sweep.descendants(os.getpid()))
        self._terminal = saved_mode()

    def fork(self, close_in_fork: Iterable[Callable[[], None]]) -> messages.End:
        """The end by which the master speaks with it; may raise OSError."""
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
        around = Surroundings(
            self._workload,
            os.getcwd(),
            self._log_directory,
            self.folder,
            self._reports_writer,
            self._grace_seconds,
            self._is_strict,
            self._terminal,
            ThreadLimits(os.environ),
        )
        mark = os.environ.get(_MARK)
        gc_was_enabled = gc.isenabled()
        gc.disable()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            try:
                pid = os.fork()
            except OSError:
                ours.close()
                theirs.close()
                raise
        if pid == 0:
            try:
                ours.close()
                self.reports.close()
                os.environ[_MARK] = self._run_id
                for close in close_in_fork:
                    close()
                _be_keeper(around, theirs)
            finally:
                os._exit(1)
        if gc_was_enabled:
            gc.enable()
        assert os.environ.get(_MARK) == mark
        theirs.close()
        self.pid = pid
        return ours

    def end_rest(self) -> None:
        """It has died: end what it leaves."""
        self._kill_session()
        _reap(self.pid)

    def _kill_session(self) -> None:
        sweep.kill_session(self.pid, f"{_MARK}={self._run_id}", self._spared)

    def wait_for_end(self) -> None:
        """It was told to end; if it does not, it is killed."""
        if self.pid and not _reap(self.pid, _END_SECONDS):
            sweep.kill(self.pid)
            _reap(self.pid)

    def clean_up(self) -> None:
        """Whatever it left running or lying about."""
        self._is_begun = False
        # First, since looking for processes takes descriptors, of which there may be no more.
        self.reports.close()
        self._reports_writer.close()
        if self._terminal is not None:
            os.close(self._terminal.descriptor)
        self._kill_session()
        if not self._was_subreaper:
            sweep.adopt_orphans(False)
        sweep.remove_folder(self.folder)


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


def _be_keeper(around: Surroundings, control: messages.End) -> NoReturn:
    """In the fork of the master: become the first slave, and never come back."""
    code = 1
    keeper = os.getpid()
    slave = None
    try:
        os.setsid()
        sweep.adopt_orphans()
        for number in (signal.SIGUSR1, signal.SIGUSR2):
            signal.signal(number, signal.SIG_DFL)
        ignore_ending_signals()
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
        around.threads.begin()
        if "MAKEFLAGS" in os.environ:
            from .jobserver import forget_outer

            forget_outer(os.environ)
        openings = Openings(around.directory)
        rehearse(around, openings)
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


def _serve(slave: Slave) -> None:
    """Be a slave, and in forks of it be what they become, until there is no more to do."""
    while True:
        try:
            slave.work()
            return
        except Succession as succession:
            slave = slave.successor(succession.control)
