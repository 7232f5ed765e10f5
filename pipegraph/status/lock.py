"""One run at a time: a kernel lock on a file of its own, and who holds it.

The kernel gives the lock back when its holder dies, however it dies; the file stays, and that it is there means
nothing. It is never deleted: a run that waits on the old file and one that makes a new one would both have a lock.

The lock belongs to the open file description (flock(2)), which forks share: a child that unlocks frees the
parent's, and one that lives on keeps it. So only the process that took the lock unlocks it, and a fork closes
its descriptor (`Lock.close_in_fork`).
"""

from __future__ import annotations

import errno
import fcntl
import os
import socket
import time
from collections.abc import Callable, Mapping
from typing import Final

from pipegraph.errors import StatusError, StatusHeldError
from pipegraph.events import Warned

from .mends import mend_for
from .records import escape_id

_HELD: Final = (errno.EWOULDBLOCK, errno.EAGAIN, errno.EACCES)
_LONGEST_NOTE: Final = 4096
_MEND_HELD: Final = (
    "Wait until that run ends, or end it. Don't delete the lock file: the kernel holds the lock, and frees it when"
    " that process is gone."
)


class Lock:
    """A lock that is held until `release` or the end of this process."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._pid = os.getpid()

    @classmethod
    def take(
        cls, directory: int, name: str, path: str, holder: Mapping[str, object], warn: Callable[[Warned], None]
    ) -> Lock:
        """Lock the file, making it if need be, and write into it who holds it.

        Parameters
        ----------
        directory
            Descriptor of the directory that `name` is in.
        path
            How messages call the file.
        holder
            Facts besides host, pid and since, or in their place.

        Raises
        ------
        StatusHeldError
            Another run, here or on another host, has it.
        StatusError
            The file can't be opened.
        """
        try:
            # O_NOFOLLOW, since it is written to; O_NONBLOCK, for a pipe in its place.
            flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
            descriptor = os.open(name, flags, 0o666, dir_fd=directory)
        except OSError as error:
            raise StatusError(
                "the status file can't be locked",
                [("lock file", path), ("because", error.strerror)],
                mend_for(
                    error, "Run in a directory that you may write to, or name a status file in one to new_pipegraph."
                ),
            ) from error
        try:
            if not _hold(descriptor, path, warn):
                raise held_error(path, _read_note(descriptor))
        except BaseException:
            os.close(descriptor)
            raise
        _write_note(descriptor, _note(holder))
        return cls(descriptor)

    def release(self) -> None:
        """Free the lock; in a fork of the holder only close the descriptor. Idempotent."""
        if self._descriptor < 0:
            return
        if os.getpid() == self._pid:
            _write_note(self._descriptor, "")
            # Not left to close: a fork that still has the descriptor would keep the lock.
            free(self._descriptor)
        self.close_in_fork()

    def close_in_fork(self) -> None:
        """Close the descriptor without unlocking: the description behind it is freed with its last descriptor."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1


def is_taken(descriptor: int) -> bool:
    """Whether somebody else has an open file locked; if nobody has, it is locked now (where there is flock(2))."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        return error.errno in _HELD
    return False


def free(descriptor: int) -> None:
    """Unlock an open file, for all forks that share it too."""
    for unlock in (fcntl.flock, fcntl.lockf):
        try:
            unlock(descriptor, fcntl.LOCK_UN)
        except OSError:
            pass


def held_error(path: str, note: Mapping[str, str]) -> StatusHeldError:
    """Who holds the lock, as far as is known."""
    facts = [(name, note.get(name, "unknown")) for name in ("host", "pid", "since")]
    facts += [(name, value) for name, value in note.items() if name not in ("host", "pid", "since")]
    return StatusHeldError("another run holds the status file", [*facts, ("lock file", path)], _MEND_HELD)


def _hold(descriptor: int, path: str, warn: Callable[[Warned], None]) -> bool:
    """Lock an open file, exclusively and without waiting; False if somebody else has it.

    Where a network file system knows no flock(2), POSIX record locks are tried; where there are none either, the
    user is told and the run goes on.
    """
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno in _HELD:
            return False
        try:
            fcntl.lockf(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as second:
            if second.errno in _HELD:
                return False
            warn(
                Warned(
                    f"{path} can't be locked on this file system ({second.strerror})",
                    mend="See to it that only one run at a time uses this status file.",
                )
            )
    return True


def _note(holder: Mapping[str, object]) -> str:
    now = time.localtime()
    offset = time.strftime("%z", now)
    facts: dict[str, object] = {
        "host": socket.gethostname(),
        "pid": os.getpid(),
        "since": f"{time.strftime('%Y-%m-%d %H:%M:%S', now)}{offset[:3]}:{offset[3:5]}",
        **holder,
    }
    return "".join(f"{name}: {' '.join(str(value).split())}\n" for name, value in facts.items())


def _write_note(descriptor: int, note: str) -> None:
    """Replace what the file says; a full disk is no reason not to run, since the lock does not depend on it."""
    try:
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, note.encode(errors="backslashreplace"), 0)
    except OSError:
        pass


def _read_note(descriptor: int) -> dict[str, str]:
    try:
        text = os.pread(descriptor, _LONGEST_NOTE, 0).decode(errors="backslashreplace")
    except OSError:
        return {}
    pairs = (line.partition(": ") for line in text.splitlines())
    return {escape_id(name): escape_id(value) for name, separator, value in pairs if separator}
