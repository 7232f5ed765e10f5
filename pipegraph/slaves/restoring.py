"""What one job may not leave to the next one in the same process: brought back, or found out.

Owns the list of both; docs/isolation.rst tells it, and what neither can be done about. All of it happens between any
two jobs that share a process, so that the common path, where nothing was changed, is a few dozen cheap questions.
"""

from __future__ import annotations

import _locale
import _signal  # type: ignore[import-not-found]
import contextvars
import ctypes
import faulthandler
import gc
import os
import resource
import sys
import time
import warnings
from typing import Any

from .capture import Slot

GROWN_BYTES = 64 * 1024 * 1024
"""Memory that jobs may leave behind, together, before their process ends."""

_MEASURED_KILOBYTES = 4096
"""By so much a process must have grown before it is worth a look at how much of that is still there."""

_SIGNALS = tuple(range(1, 65))
_SIGKILL, _SIGSTOP = 9, 19
_LIMITS = (resource.RLIMIT_NOFILE, resource.RLIMIT_AS, resource.RLIMIT_CPU, resource.RLIMIT_FSIZE)
_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")
_TWISTER_BYTES = 625 * 4
"""Of numpy's MT19937: 624 words, and the place among them (numpy/random/src/mt19937/mt19937.h)."""


class Kept:
    """What a process has before its first job, and each job is to find.

    Parameters
    ----------
    slot
        Where stdout and stderr go.

    Attributes
    ----------
    cpu_seconds
        User and system time between the last two calls of `restore`, with that of children that were waited for.
    """

    def __init__(self, slot: Slot) -> None:
        self._slot = slot
        self._null = os.dup(0)
        self._descriptors = os.open("/proc/self/fd", os.O_RDONLY | os.O_DIRECTORY)
        self._tasks = os.open("/proc/self/task", os.O_RDONLY | os.O_DIRECTORY)
        # proc(5): since Linux 6.2 its size is how many there are.
        self._is_counted = os.fstat(self._descriptors).st_size == _open_files()
        self._umask = os.umask(0o77)
        os.umask(self._umask)
        self._environ = os.environ
        # The dictionary behind it, in bytes: to compare what is decoded takes twenty times as long.
        self._environment: dict[bytes, bytes] = os.environ._data  # type: ignore[attr-defined]
        self._variables = dict(self._environment)
        self._handlers = list(map(_signal.getsignal, _SIGNALS))
        self._mask = _signal.pthread_sigmask(_signal.SIG_BLOCK, ())
        self._locale = _locale.setlocale(_locale.LC_ALL)
        self._streams = sys.stdin, sys.stdout, sys.stderr
        self._hooks = _hooks()
        lists: tuple[list[Any], ...] = sys.path, sys.argv, sys.meta_path, sys.path_hooks
        self._lists = [(each, list(each)) for each in lists]
        self._filters = warnings.filters, list(warnings.filters)
        self._showwarning = warnings.showwarning
        self._numbers = _numbers()
        self._limits = list(map(resource.getrlimit, _LIMITS))
        self._affinity = os.sched_getaffinity(0)
        self._was_reporting = faulthandler.is_enabled()
        self._report_to = (2,) if self._was_reporting else ()
        self._decimal = sys.modules["decimal"].getcontext().copy() if "decimal" in sys.modules else None
        self._numpy = _Numpy() if "numpy.random" in sys.modules else None
        self._had_numpy = self._numpy is not None
        self._cpu_seconds = 0.0
        self._resident = _resident_bytes()
        used, by_children = self._used()
        self._most_kilobytes = used.ru_maxrss
        self._children = by_children.ru_minflt
        self._files = self._count()
        self._threads = os.fstat(self._tasks).st_nlink
        self._closed: tuple[bool, ...] = self._are_closed()

    def context(self) -> contextvars.Context:
        """In which the next job is called: context variables are its own."""
        return contextvars.copy_context()

    def _used(self) -> tuple[resource.struct_rusage, resource.struct_rusage]:
        """By this process, and by children that it waited for."""
        own, children = resource.getrusage(resource.RUSAGE_SELF), resource.getrusage(resource.RUSAGE_CHILDREN)
        total = own.ru_utime + own.ru_stime + children.ru_utime + children.ru_stime
        self.cpu_seconds, self._cpu_seconds = total - self._cpu_seconds, total
        return own, children

    def restore(self) -> str:
        """Bring back what can be; why this process must end, if something can't. Called in the project's directory."""
        used, by_children = self._used()
        # Signals first: none may come while the rest is done.
        if list(map(_signal.getsignal, _SIGNALS)) != self._handlers and not self._restore_handlers():
            return "a signal's handler"
        _signal.setitimer(_signal.ITIMER_REAL, 0)
        _signal.pthread_sigmask(_signal.SIG_SETMASK, self._mask)
        os.umask(self._umask)
        if self._environment != self._variables or os.environ is not self._environ:
            self._restore_environment()
        if _locale.setlocale(_locale.LC_ALL) != self._locale:
            _locale.setlocale(_locale.LC_ALL, self._locale)
        sys.stdin, sys.stdout, sys.stderr = self._streams
        if self._are_closed() != self._closed:
            return "a closed stream"
        try:
            os.dup2(self._null, 0)
            os.dup2(self._slot.stdout, 1)
            os.dup2(self._slot.stderr, 2)
        except OSError:
            return "closed descriptors"
        self._flush()
        if _hooks() != self._hooks:
            self._restore_hooks()
        for each, content in self._lists:
            if each != content:
                each[:] = content
        sys.path, sys.argv, sys.meta_path, sys.path_hooks = [each for each, _ in self._lists]
        self._restore_warnings()
        if _numbers() != self._numbers:
            self._restore_numbers()
        # Not cancel_dump_traceback_later(): it waits for a thread of the master's, which no fork has.
        (faulthandler.enable if self._was_reporting else faulthandler.disable)(*self._report_to)
        self._restore_random()
        if self._decimal is not None:
            sys.modules["decimal"].setcontext(self._decimal.copy())
        return self._leak(used, by_children)

    # --- what is brought back

    def _restore_handlers(self) -> bool:
        for which in (_signal.ITIMER_VIRTUAL, _signal.ITIMER_PROF):
            _signal.setitimer(which, 0)
        for number, handler in zip(_SIGNALS, self._handlers):
            if _signal.getsignal(number) is not handler and number not in (_SIGKILL, _SIGSTOP):
                if handler is None:
                    return False
                _signal.signal(number, handler)
        return True

    def _restore_environment(self) -> None:
        os.environ = self._environ  # noqa: B003  # The object that it was.
        now = self._environment
        for name in [name for name in now if name not in self._variables]:
            os.unsetenv(name)
            del now[name]
        for name, value in self._variables.items():
            if now.get(name) != value:
                os.putenv(name, value)
                now[name] = value

    def _restore_hooks(self) -> None:
        sys.excepthook, sys.displayhook, sys.unraisablehook, sys.breakpointhook, trace, profile = self._hooks
        sys.settrace(trace)
        sys.setprofile(profile)

    def _restore_warnings(self) -> None:
        filters, content = self._filters
        warnings.filters = filters
        # This makes every module forget which warnings it has shown already.
        warnings.resetwarnings()
        filters[:] = content  # type: ignore[index]
        warnings.showwarning = self._showwarning

    def _restore_numbers(self) -> None:
        recursion, interval, is_collecting, thresholds, debug = self._numbers
        sys.setrecursionlimit(recursion)
        sys.setswitchinterval(interval)
        (gc.enable if is_collecting else gc.disable)()
        gc.set_threshold(*thresholds)
        gc.set_debug(debug)

    def _restore_random(self) -> None:
        modules = sys.modules
        if "random" in modules:
            # As a fork does, but from fewer bytes, which takes a third of the time.
            modules["random"].seed(int.from_bytes(os.urandom(16), sys.byteorder))
        if self._numpy is not None:
            self._numpy.restore()
        elif "numpy.random" in modules:
            # A process of its own would have imported it just now, with a seed of the system's.
            modules["numpy.random"].seed()
            self._numpy = _Numpy(is_fresh=True)

    # --- what is found out

    def _are_closed(self) -> tuple[bool, ...]:
        return tuple([getattr(each, "closed", False) for each in self._streams])

    def _count(self) -> int:
        return os.fstat(self._descriptors).st_size if self._is_counted else _open_files()

    def _flush(self) -> None:
        """What a job left in these, while it had others in their place, is still its own."""
        for each in self._streams[1:]:
            try:
                each.flush()
            except Exception:
                pass

    def _leak(self, used: resource.struct_rusage, by_children: resource.struct_rusage) -> str:
        try:
            os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
        except ChildProcessError:
            pass
        else:
            return "a child process"
        if by_children.ru_minflt != self._children:
            return "processes that were started, whose children may run on"
        try:
            if os.fstat(self._tasks).st_nlink != self._threads and self._has_threads():
                return "a thread"
            if self._count() != self._files:
                gc.collect()  # what waited for it may hold them
                if self._count() != self._files:
                    return "open descriptors"
        except OSError:
            return "closed descriptors"
        if list(map(resource.getrlimit, _LIMITS)) != self._limits:
            return "a resource limit"
        if os.sched_getaffinity(0) != self._affinity:
            os.sched_setaffinity(0, self._affinity)
        if used.ru_maxrss > self._most_kilobytes + _MEASURED_KILOBYTES:
            return self._look_at_memory()
        return ""

    def _has_threads(self) -> bool:
        """One that was joined is still there for a moment."""
        for _ in range(20):
            time.sleep(0.0001)
            if os.fstat(self._tasks).st_nlink == self._threads:
                return False
        return True

    def _look_at_memory(self) -> str:
        """Where it was needed and given back, the next job's peak is its own again."""
        if _resident_bytes() > self._resident + GROWN_BYTES:
            gc.collect()
            if _resident_bytes() > self._resident + GROWN_BYTES:
                return "memory"
        try:
            with open("/proc/self/clear_refs", "w") as out:
                out.write("5")  # proc(5): the largest size so far is what it is now
        except OSError:
            pass
        self._most_kilobytes = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return ""


class _Numpy:
    """The state of numpy's global generator: what a job in a process of its own would find.

    Parameters
    ----------
    is_fresh
        It was imported by a job, and would be seeded by each that does.
    """

    def __init__(self, is_fresh: bool = False) -> None:
        self._random = sys.modules["numpy.random"]
        self._is_fresh = is_fresh
        self._legacy = self._random.get_state.__self__
        self._bits = self._legacy._bit_generator
        self._state = self._legacy.get_state(legacy=False)
        is_twister = self._state["bit_generator"] == "MT19937"
        self._address = self._bits.ctypes.state_address if is_twister else 0
        self._bytes = self._now()

    def _now(self) -> bytes:
        """To ask numpy itself takes sixty times as long."""
        return ctypes.string_at(self._address, _TWISTER_BYTES) if self._address else b""

    def restore(self) -> None:
        is_same = self._legacy._bit_generator is self._bits and self._address and self._now() == self._bytes
        if is_same and not self._state["has_gauss"]:
            return
        if self._legacy._bit_generator is not self._bits:
            self._random.set_bit_generator(self._bits)
        if self._is_fresh:
            self._random.seed()
            self._bytes = self._now()
        else:
            self._legacy.set_state(self._state)


def _hooks() -> tuple[Any, ...]:
    return (
        sys.excepthook,
        sys.displayhook,
        sys.unraisablehook,
        sys.breakpointhook,
        sys.gettrace(),
        sys.getprofile(),
    )


def _numbers() -> tuple[Any, ...]:
    return sys.getrecursionlimit(), sys.getswitchinterval(), gc.isenabled(), gc.get_threshold(), gc.get_debug()


def _open_files() -> int:
    """One is that of the directory which is read."""
    return len(os.listdir("/proc/self/fd")) - 1


def _resident_bytes() -> int:
    """Without pages of files, which are counted only when they are touched (proc(5), statm)."""
    with open("/proc/self/statm", "rb") as source:
        _, resident, of_files, *_ = map(int, source.read().split())
    return (resident - of_files) * _PAGE_BYTES
