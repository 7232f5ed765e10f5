"""One file in two places, as cheaply as the file system can: reflink, hard link, or copy."""

from __future__ import annotations

import contextlib
import fcntl
import os
import stat
from collections.abc import Callable

_FICLONE = 0x40049409
"""ioctl_ficlone(2). On mips, powerpc and sparc the number is another, and this one is refused."""
_PIECE_BYTES = 1 << 30
WRITABLE = 0o222


def transfer(source: str, target: str, mode: int, may_link: bool) -> None:
    """Have a new file with the content of another.

    Parameters
    ----------
    mode
        Of the new file. Of a hard link it is that of the other one, too, and without the right to write.
    may_link
        It may be a hard link.

    Raises
    ------
    OSError
        The target exists; the source does not, or can't be read; no room. Nothing is left then.
    """
    reader = os.open(source, os.O_RDONLY | os.O_CLOEXEC)
    try:
        try:
            _write(reader, target, mode, _clone)
        except FileExistsError:
            raise
        except OSError:
            if not (may_link and _is_linked(source, target, mode & ~WRITABLE)):
                _write(reader, target, mode, _copy)
    finally:
        os.close(reader)


def is_own(path: str) -> bool:
    """A file that is nobody else's and has no other name: nobody is surprised if it can't be written any more."""
    found = os.lstat(path)
    return stat.S_ISREG(found.st_mode) and found.st_nlink == 1 and found.st_uid == os.geteuid()


def _write(reader: int, target: str, mode: int, fill: Callable[[int, int], None]) -> None:
    writer = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        fill(reader, writer)
        os.fchmod(writer, mode)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(target)
        raise
    finally:
        os.close(writer)


def _clone(reader: int, writer: int) -> None:
    fcntl.ioctl(writer, _FICLONE, reader)


def _copy(reader: int, writer: int) -> None:
    at = 0
    while count := os.sendfile(writer, reader, at, _PIECE_BYTES):
        at += count


def _is_linked(source: str, target: str, mode: int) -> bool:
    try:
        os.link(source, target)
    except OSError:
        return False  # another file system; too many links; another's file (proc(5), fs.protected_hardlinks)
    try:
        if stat.S_IMODE(os.stat(target).st_mode) != mode:
            os.chmod(target, mode)
    except OSError:
        os.unlink(target)
        return False
    return True
