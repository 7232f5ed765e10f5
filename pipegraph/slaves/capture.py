"""Where the stdout and stderr of jobs go: nameless files, used again by the next job of the slave.

Files, not pipes: whoever keeps a pipe open keeps its reader waiting.
"""

from __future__ import annotations

import contextlib
import os

from ..model import NOTHING_PRINTED, Printed

TAIL_BYTES = 256 * 1024
"""What comes back of each stream; of failed jobs all of it is kept in a file."""


class Slot:
    """Two files for one job at a time.

    Parameters
    ----------
    folders
        Where they may lie, the best first; in memory, if none will do.
    """

    __slots__ = ("stderr", "stdout")

    def __init__(self, folders: tuple[str, ...]) -> None:
        self.stdout = _nameless_file(folders)
        try:
            self.stderr = _nameless_file(folders)
        except OSError:
            os.close(self.stdout)
            raise

    def take(self, keep_as: tuple[str, str] | None) -> Printed:
        """What was printed, leaving the files empty.

        Parameters
        ----------
        keep_as
            A directory and a job id, where all is to be kept if the tail is not all; None: only the tail.
        """
        # By one number, and not by two in a tuple: as all that a slave does for each job, it is done in few pages.
        if not os.lseek(self.stdout, 0, os.SEEK_END) + os.lseek(self.stderr, 0, os.SEEK_END):
            return NOTHING_PRINTED
        sizes = os.lseek(self.stdout, 0, os.SEEK_END), os.lseek(self.stderr, 0, os.SEEK_END)
        texts, paths = [], []
        for descriptor, size, name in zip((self.stdout, self.stderr), sizes, ("stdout", "stderr")):
            tail = os.pread(descriptor, TAIL_BYTES, max(0, size - TAIL_BYTES))
            texts.append(tail.decode("utf-8", "backslashreplace"))
            path = ""
            if keep_as is not None and size > TAIL_BYTES:
                path = _copy(descriptor, size, keep_as[0], keep_as[1], name)
            paths.append(path)
            if size:
                os.ftruncate(descriptor, 0)
        return Printed(texts[0], texts[1], sizes[0], sizes[1], paths[0], paths[1])

    def close(self) -> None:
        """Not to be used again."""
        os.close(self.stdout)
        os.close(self.stderr)


def _nameless_file(folders: tuple[str, ...]) -> int:
    for folder in folders:
        # open(2), O_TMPFILE: network file systems can't.
        with contextlib.suppress(OSError):
            descriptor = os.open(folder, os.O_RDWR | os.O_APPEND | os.O_CLOEXEC | os.O_TMPFILE, 0o600)
            disk = os.fstatvfs(descriptor)
            if disk.f_bavail or not disk.f_blocks:  # not every file system says
                return descriptor
            os.close(descriptor)  # full: a job would fail for what it prints
    descriptor = os.memfd_create("pipegraph-output")
    import fcntl

    fcntl.fcntl(descriptor, fcntl.F_SETFL, os.O_APPEND)
    return descriptor


def _copy(descriptor: int, size: int, directory: str, job_id: str, stream: str) -> str:
    """The whole stream in a file of its own; its path, or nothing if there is no room."""
    safe = "".join([each if each.isascii() and each.isalnum() else "_" for each in job_id])[-80:]
    path = os.path.join(directory, f"ppg_output_{safe}_{os.urandom(6).hex()}.{stream}.txt")
    try:
        target = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666)
    except OSError:
        return ""
    try:
        done = 0
        while done < size:
            count = os.sendfile(target, descriptor, done, min(1 << 24, size - done))
            if not count:
                break
            done += count
    except OSError:
        with contextlib.suppress(OSError):
            os.unlink(path)
        return ""
    finally:
        os.close(target)
    return path
