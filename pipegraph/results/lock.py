"""The lock of one key: held by the kernel for a process, and given back when that ends, however it ends.

A file that says who holds it, and may be removed by who does: whoever waited for it then sees that the name leads
elsewhere, and begins anew. So it lies there only while somebody holds it, or died holding it.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import socket
from collections.abc import Callable
from datetime import datetime

_HELD = (errno.EWOULDBLOCK, errno.EACCES)
_LONGEST_NOTE = 4096
_FLAGS = os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK


class Lock:
    """To be taken, once.

    Parameters
    ----------
    mode
        Of the file, if it is made.
    note
        Facts about the holder besides user, host, pid and since.
    """

    def __init__(self, path: str, mode: int, note: dict[str, str]) -> None:
        self._path = path
        self._mode = mode
        self._note = note
        self._descriptor = -1

    def take(self) -> bool:
        """Hold it; false if another does.

        Raises
        ------
        OSError
            The file can't be opened.
        """
        while True:
            self._descriptor = self._opened()
            if not _is_locked(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB):
                self._close()
                return False
            with contextlib.suppress(FileNotFoundError):
                if os.path.samestat(os.fstat(self._descriptor), os.stat(self._path)):
                    self._write(_text(self._note))
                    return True
            self._close()

    def wait(self, tell: Callable[[str], None]) -> None:
        """Until nobody holds it, or somebody else does.

        Parameters
        ----------
        tell
            Told who holds it, before this process sleeps.
        """
        try:
            descriptor = os.open(self._path, _FLAGS)
        except FileNotFoundError:
            return
        try:
            # Shared, so that all who wait wake together: most often the result is there then.
            if not _is_locked(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB):
                tell(os.pread(descriptor, _LONGEST_NOTE, 0).decode(errors="backslashreplace").strip())
                _is_locked(descriptor, fcntl.LOCK_SH)
        finally:
            os.close(descriptor)

    def release(self) -> None:
        """Give it back, and remove the file."""
        with contextlib.suppress(OSError):
            os.unlink(self._path)
        # Not left to the close: what the callback left running may have the descriptor, too.
        for unlock in (fcntl.flock, fcntl.lockf):
            with contextlib.suppress(OSError):
                unlock(self._descriptor, fcntl.LOCK_UN)
        self._close()

    def _opened(self) -> int:
        while True:
            with contextlib.suppress(FileNotFoundError):
                return os.open(self._path, _FLAGS)
            # Apart from opening it: with O_CREAT, a sticky folder refuses another user's file (proc(5)).
            with contextlib.suppress(FileExistsError):
                descriptor = os.open(self._path, _FLAGS | os.O_CREAT | os.O_EXCL, self._mode)
                os.fchmod(descriptor, self._mode)
                return descriptor

    def _write(self, text: str) -> None:
        data = text.encode(errors="backslashreplace")
        with contextlib.suppress(OSError):  # a full disk; the lock does not depend on it
            os.pwrite(self._descriptor, data, 0)
            # Last, and not to nothing, which would have ext4 write it to the disk at once (ext4(5), auto_da_alloc).
            os.ftruncate(self._descriptor, len(data))

    def _close(self) -> None:
        os.close(self._descriptor)
        self._descriptor = -1


def _is_locked(descriptor: int, how: int) -> bool:
    """False: somebody else has it. Where there are neither flock(2) nor record locks, everybody has it."""
    for lock in (fcntl.flock, fcntl.lockf):
        try:
            lock(descriptor, how)
        except OSError as error:
            if error.errno in _HELD:
                return False
        else:
            return True
    return True


def _text(note: dict[str, str]) -> str:
    since = datetime.now().astimezone().isoformat(sep=" ", timespec="seconds")
    facts = {**note, "host": socket.gethostname(), "pid": str(os.getpid()), "since": since}
    return ", ".join(f"{name} {' '.join(value.split())}" for name, value in facts.items())
