"""Fingerprints of files: of their content, read only when size, stamp, inode or the clock's tick ask for it.

Owns reading and hashing. Never changes a file, and never decides what a change means.
"""

# A Path costs more than the system calls do.

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable

from xxhash import xxh3_128, xxh3_128_hexdigest

from ..model import FileRecord, combine
from .clock import FILE_CLOCKS, FileClocks

LARGE_BYTES = 16 << 20
"""From here on it pays to wait until a file is no longer racy rather than to read it again in the next run."""

CHUNK_BYTES = 1 << 20

STALE_TRIES = 3

# O_NOCTTY: a terminal may not become ours. With O_NONBLOCK opening a FIFO does not wait for somebody who writes.
_FLAGS = os.O_RDONLY | os.O_CLOEXEC | os.O_NOCTTY

_new_tuple = tuple.__new__


class TooLarge(Exception):
    """A file has more bytes than were to be read."""

    def __init__(self, size: int) -> None:
        self.size = size


def read(
    path: str,
    wait_out_tick: bool = False,
    *,
    clocks: FileClocks = FILE_CLOCKS,
    tries: int = STALE_TRIES,
    most_bytes: int | None = None,
    tell: Callable[[int], object] | None = None,
) -> FileRecord:
    """Fingerprint of the content of a file, read whole.

    Parameters
    ----------
    wait_out_tick
        Read files of `LARGE_BYTES` and more only once their stamp is older than the tick: they come back not racy.
    tries
        How often it is opened while another client of a network file system replaces it.
    most_bytes
        A file that is larger is not read.
    tell
        Called after each chunk of a large file, with its bytes.

    Raises
    ------
    OSError
        It is not there, can't be read, or is no regular file. Symbolic links are followed.
    TooLarge
        It has more than `most_bytes`.

    Notes
    -----
    A file that changes while it is read comes back as racy.
    """
    try:
        file = os.open(path, _FLAGS | os.O_NONBLOCK)
    except OSError as error:
        file = _opened_otherwise(path, error)
    try:
        began_ns = clocks.now_ns()
        before = os.fstat(file)
        # By place: of a name that is asked for, the process of each job would copy the page.
        mode, inode, device, _, _, _, size = before[:7]
        mtime_ns = before.st_mtime_ns
        if not stat.S_ISREG(mode):
            raise _no_file(path, mode)
        if most_bytes is not None and size > most_bytes:
            raise TooLarge(size)
        if wait_out_tick and size >= LARGE_BYTES:
            clocks.wait_until_not_racy(path, device, mtime_ns)
            began_ns = clocks.now_ns()
        if size < CHUNK_BYTES:
            data = os.read(file, size + 1)
            count = len(data)
            # Shorter or longer than it was said to be: read to the end; it is racy.
            content = xxh3_128_hexdigest(data) if count == size else _rest(file, data)[0]
        else:
            content, count = _rest(file, b"", tell)
        after = os.fstat(file)
    except OSError as error:
        if error.errno == errno.ESTALE and tries > 1:
            # What open and stat find stale the kernel looks up again by itself; what was open it can't.
            return read(path, wait_out_tick, clocks=clocks, tries=tries - 1, most_bytes=most_bytes, tell=tell)
        if error.filename is None:
            error.filename = path
        raise
    finally:
        os.close(file)
    is_racy = count != size or after.st_mtime_ns != mtime_ns or clocks.is_racy(path, device, mtime_ns, began_ns)
    # As FileRecord(…), which is written in Python: each job's process would copy what that touches.
    return _new_tuple(FileRecord, (path, content, content, size, mtime_ns, inode, is_racy))


def look(path: str, known: FileRecord | None, *, clocks: FileClocks = FILE_CLOCKS) -> FileRecord:
    """A file as it is now, read only if `known` does not tell.

    Returns
    -------
    `known` itself, if nothing changed since. A new record of the same content keeps the fingerprint of `known`,
    which may differ from its content's.

    Raises
    ------
    OSError
        As `read`.

    Notes
    -----
    A network file system's stamp may be some seconds old: what another host changed then is seen at the next look.
    """
    if known is None:
        return read(path, clocks=clocks)
    if not known.is_racy and is_as_recorded(os.stat(path), known):
        return known
    return with_fingerprint_of(known, read(path, clocks=clocks))


def is_as_recorded(now: os.stat_result, known: FileRecord) -> bool:
    """Whether size, time and inode are what they were."""
    return now.st_mtime_ns == known.mtime_ns and now.st_size == known.size and now.st_ino == known.inode


def with_fingerprint_of(known: FileRecord | None, record: FileRecord) -> FileRecord:
    """What was read; with the fingerprint that this content is known by."""
    if known is not None and record.content == known.content:
        return record._replace(fingerprint=known.fingerprint)
    return record


def look_at_time(path: str, stat_of: Callable[[str], os.stat_result] = os.stat) -> FileRecord:
    """A file by its size and time of change only; `content` is empty.

    Parameters
    ----------
    stat_of
        Who is asked for them.

    Raises
    ------
    OSError
        It is not there, or is no regular file.
    """
    status = stat_of(path)
    if not stat.S_ISREG(status.st_mode):
        raise _no_file(path, status.st_mode)
    fingerprint = combine((str(status.st_size), str(status.st_mtime_ns)))
    return FileRecord(path, fingerprint, "", status.st_size, status.st_mtime_ns, status.st_ino, False)


def _opened_otherwise(path: str, error: OSError) -> int:
    if isinstance(error, BlockingIOError) and stat.S_ISREG(os.stat(path).st_mode):
        # fcntl(2), F_SETLEASE: a file server holds a lease. Without O_NONBLOCK, opening waits for it.
        return os.open(path, _FLAGS)
    if error.errno == errno.ENXIO:
        raise _no_file(path, os.stat(path).st_mode) from None
    raise error


def _no_file(path: str, mode: int) -> OSError:
    if stat.S_ISDIR(mode):
        return IsADirectoryError(errno.EISDIR, "Is a directory, not a file", path)
    kinds = (
        (stat.S_ISFIFO, "FIFO"),
        (stat.S_ISSOCK, "socket"),
        (stat.S_ISCHR, "device"),
        (stat.S_ISBLK, "device"),
    )
    kind = next((name for is_kind, name in kinds if is_kind(mode)), "special file")
    return OSError(errno.EINVAL, f"Is a {kind}, not a regular file", path)


def _rest(file: int, data: bytes, tell: Callable[[int], object] | None = None) -> tuple[str, int]:
    """Hash of what was read and all that follows, and how many bytes it was."""
    digest = xxh3_128(data)
    total = len(data)
    buffer = bytearray(CHUNK_BYTES)
    view = memoryview(buffer)
    while count := os.readv(file, [buffer]):
        digest.update(view[:count])
        total += count
        if tell is not None:
            tell(count)
    return digest.hexdigest(), total
