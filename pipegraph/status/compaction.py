"""A status file of superseded records, written anew without them.

The new file is written beside the old one, synced, and takes its name by one rename: at any moment one whole
file has that name. Whatever fails before the rename leaves the old file as it was. Only the holder of the lock
may do this.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Iterable
from typing import Final

from .records import HEADER

_WRITE_BYTES: Final = 1 << 20


def replace_with(directory: int, name: str, old: int, lines: Iterable[bytes]) -> int:
    """Put a file of these lines in the place of an open one.

    Parameters
    ----------
    directory
        Descriptor of the directory of `name`.
    old
        Descriptor of the file; stays open.
    lines
        Records without line feeds.

    Returns
    -------
    int
        Descriptor of the new file, open for reading and appending.

    Raises
    ------
    OSError
        The old file is in its place, unchanged.
    """
    status = os.fstat(old)
    _remove_leftovers(directory, name)
    new_name = f"{name}.new-{os.getpid()}-{os.urandom(4).hex()}"
    flags = os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW
    new = os.open(new_name, flags, 0o600, dir_fd=directory)
    try:
        _write(new, lines)
        _copy_owner(new, status)
        os.fsync(new)
        current = os.stat(name, dir_fd=directory, follow_symlinks=False)
        if (current.st_dev, current.st_ino) != (status.st_dev, status.st_ino):
            raise OSError(errno.ESTALE, "the file was replaced by another during the run")
        os.rename(new_name, name, src_dir_fd=directory, dst_dir_fd=directory)
    except BaseException:
        os.close(new)
        _remove(directory, new_name)
        raise
    try:
        os.fsync(directory)
    except OSError:
        pass  # without it a power cut may bring back the old file, which is whole as well
    except BaseException:
        os.close(new)
        raise
    return new


def _write(new: int, lines: Iterable[bytes]) -> None:
    pending = [HEADER]
    pending_bytes = 0
    for line in lines:
        pending += (line, b"\n")
        pending_bytes += len(line)
        if pending_bytes >= _WRITE_BYTES:
            _write_all(new, b"".join(pending))
            pending.clear()
            pending_bytes = 0
    _write_all(new, b"".join(pending))


def _write_all(new: int, data: bytes) -> None:
    rest = memoryview(data)
    while rest:
        rest = rest[os.write(new, rest) :]


def _copy_owner(new: int, status: os.stat_result) -> None:
    """Mode and group as they were, and the owner where we may: in a shared folder that may be somebody else."""
    own = os.fstat(new)
    if (own.st_uid, own.st_gid) != (status.st_uid, status.st_gid):
        try:
            os.fchown(new, status.st_uid, status.st_gid)
        except PermissionError:
            os.fchown(new, -1, status.st_gid)
    os.fchmod(new, status.st_mode & 0o7777)


def _remove_leftovers(directory: int, name: str) -> None:
    """Remove what earlier runs left that were killed while they compacted."""
    for entry in os.listdir(directory):
        if entry.startswith(f"{name}.new-"):
            _remove(directory, entry)


def _remove(directory: int, name: str) -> None:
    try:
        os.unlink(name, dir_fd=directory)
    except OSError:
        pass
