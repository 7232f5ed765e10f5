"""How a run that waits is woken: by who releases something, and by the death of who held it.

Owns one descriptor to poll, and what is behind it: a socket by which others wake this run, and a pidfd for each process
that it waits for. Wakes are hints: one that is lost costs the time to the next look, one too many costs a look.

The socket has a name in no folder (abstract, unix(7)), so nothing is left of it, and users need no right to it. Where
it can't be reached, for instance from a container with a network of its own, there is only the next look.
"""

from __future__ import annotations

import _socket
import os
import select
from collections.abc import Iterable
from contextlib import suppress
from typing import NamedTuple


class Process(NamedTuple):
    """One of all that ever were since the machine began.

    Attributes
    ----------
    namespace
        What its id counts in (pid_namespaces(7)); 0 if that can't be known.
    started_ticks
        Clock ticks since the machine began (starttime in proc(5)); 0 if that can't be known.
    """

    namespace: int
    pid: int
    started_ticks: int

    @classmethod
    def current(cls) -> Process:
        """This one."""
        namespace = 0
        with suppress(OSError):
            namespace = os.stat("/proc/self/ns/pid").st_ino
        return cls(namespace, os.getpid(), _started_ticks(os.getpid()) or 0)


class Waking:
    """Open until `close`.

    Attributes
    ----------
    token
        By which others wake this run.
    ended
        Of the processes that are to be watched, those that are gone.

    Raises
    ------
    OSError
        There are too many open files.
    """

    def __init__(self) -> None:
        self.token = int.from_bytes(os.urandom(8), "little")
        self.ended: set[Process] = set()
        self._namespace = Process.current().namespace
        self._poll = select.epoll()
        self._pidfd_of: dict[Process, int] = {}
        try:
            self._socket = _socket.socket(_socket.AF_UNIX, _socket.SOCK_DGRAM)
            self._socket.setblocking(False)
            self._socket.bind(_address(self.token))
            self._poll.register(self._socket, select.EPOLLIN)
        except OSError:
            self.close()
            raise

    def fileno(self) -> int:
        """Readable when it is time to look."""
        return self._poll.fileno()

    def drain(self) -> None:
        """Forget what woke this run."""
        with suppress(OSError):
            while True:
                self._socket.recv(1)
        readable = {descriptor for descriptor, _ in self._poll.poll(0)}
        for process, pidfd in list(self._pidfd_of.items()):
            if pidfd in readable:
                self.ended.add(process)
                self._forget(process)

    def watch(self, processes: Iterable[Process]) -> None:
        """Wake this run when one of these ends; no others are watched any more."""
        wanted = {process for process in processes if process.namespace == self._namespace}
        self.ended &= wanted
        for process in self._pidfd_of.keys() - wanted:
            self._forget(process)
        for process in wanted - self._pidfd_of.keys() - self.ended:
            self._watch(process)

    def wake(self, token: int) -> None:
        """Have another run look."""
        # Nobody there; or it was woken so often that it has to look anyway.
        with suppress(OSError):
            self._socket.sendto(b"", _address(token))

    def close(self) -> None:
        """Also in a fork, whose descriptors these are then. Idempotent."""
        for pidfd in self._pidfd_of.values():
            os.close(pidfd)
        self._pidfd_of.clear()
        self._poll.close()
        if hasattr(self, "_socket"):
            self._socket.close()

    def _watch(self, process: Process) -> None:
        try:
            pidfd = os.pidfd_open(process.pid)
        except ProcessLookupError:
            self.ended.add(process)
            return
        except OSError:
            # Too many open files: the next look finds its end.
            return
        # Only now: its id can't become another's while there is a pidfd.
        if _started_ticks(process.pid) in (process.started_ticks, None):
            self._pidfd_of[process] = pidfd
            self._poll.register(pidfd, select.EPOLLIN)
        else:
            self.ended.add(process)
            os.close(pidfd)

    def _forget(self, process: Process) -> None:
        pidfd = self._pidfd_of.pop(process)
        # Forks may still have it: closing it alone would leave it in the poll (epoll(7)).
        self._poll.unregister(pidfd)
        os.close(pidfd)


def _address(token: int) -> bytes:
    return b"\0pipegraph-ledger-%016x" % token


def _started_ticks(pid: int) -> int | None:
    """0 if it has ended, None if it can't be seen."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as source:
            # The name, in brackets, may hold anything (proc(5)).
            fields = source.read().rpartition(b")")[2].split()
        return 0 if fields[0] in b"ZX" else int(fields[19])
    except (OSError, IndexError, ValueError):
        return None
