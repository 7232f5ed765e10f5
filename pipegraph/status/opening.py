"""From a name in a directory to a file that is ours, read, and ready to be appended to.

Whose file it is: ours if it begins with our header, or (the header being damaged) if a record near its
beginning has its checksum; nobody's if it is empty or a torn header; a newer version's if it says so. Anything
else is foreign, and renamed; where it can't be renamed, a stand-in is used beside it. Nothing here writes into
a file that is not ours.
"""

from __future__ import annotations

import errno
import os
import re
import stat
from collections.abc import Callable
from io import FileIO
from typing import Final, NamedTuple

from pipegraph.errors import StatusError, StatusTooNewError, StatusWriteError
from pipegraph.events import Warned

from .index import Reading, read
from .lock import held_error, is_taken
from .mends import MEND_NO_ROOM, mend_for
from .records import HEADER, HEADERS, MAGIC, VERSION

STAND_IN: Final = ".instead"
HEAD_BYTES: Final = 1 << 20
_SAYS_VERSION: Final = re.compile(re.escape(MAGIC) + rb"([0-9]{1,9})(?![0-9A-Za-z])")
_NOT_FOR_WRITING: Final = (errno.EACCES, errno.EPERM, errno.EROFS)
_MEND_ANOTHER: Final = "Move it away, or give new_pipegraph another name for the status file."
_MEND_ACCESS: Final = "Make it readable and writable for you, or give new_pipegraph another name for the status file."


class Opened(NamedTuple):
    """A status file of ours.

    Attributes
    ----------
    descriptor
        For reading and appending.
    end
        Where the last record ends; None if its line feed, or what was torn behind it, is still there to be seen to.
    is_damaged
        There are lines, before its end, that are not as they were written.
    is_new
        There was no record in it.
    is_old
        It is of an earlier version: to be written anew before anything is appended, so that who knows only that
        version leaves alone what it does not understand.
    """

    descriptor: int
    name: str
    path: str
    reading: Reading
    end: int | None
    is_damaged: bool
    is_new: bool
    is_old: bool


def refuse_what_is_no_file(directory: int, name: str, path: str) -> None:
    """Raise StatusError for directories, devices and the like: they are never renamed, since they may be meant."""
    try:
        mode = os.stat(name, dir_fd=directory, follow_symlinks=False).st_mode if name else stat.S_IFDIR
    except FileNotFoundError:
        return
    except OSError as error:
        raise _unusable(path, error, _MEND_ACCESS) from error
    if not stat.S_ISREG(mode):
        kind = "a directory" if stat.S_ISDIR(mode) else "not a plain file"
        raise StatusError("the status file can't be used", [("status file", path), ("because", kind)], _MEND_ANOTHER)


def open_file(directory: int, name: str, path: str, warn: Callable[[Warned], None]) -> Opened:
    """Open, judge and read the file; make it if there is none. The lock must be held.

    Raises
    ------
    StatusError
        And those below it; the file is as it was.
    """
    refuse_what_is_no_file(directory, name, path)
    descriptor, refusal = _open(directory, name, path)
    try:
        # Who deletes the lock file can take a second lock; the file itself is locked too.
        if is_taken(descriptor):
            raise held_error(f"{path}.lock", {})
        head = os.pread(descriptor, HEAD_BYTES, 0)
        if not is_foreign(head, path):
            if refusal:
                raise _unusable(path, refusal, _MEND_ACCESS) from refusal
            if _is_torn_header(head):
                _write_header(descriptor, path)
            os.lseek(descriptor, 0, os.SEEK_SET)
            return _cut(descriptor, name, path, FileIO(descriptor, closefd=False).readall())
    except OSError as error:
        os.close(descriptor)
        raise _unusable(path, error, _MEND_ACCESS) from error
    except BaseException:
        os.close(descriptor)
        raise
    os.close(descriptor)
    return _without_foreign(directory, name, path, warn)


def _open(directory: int, name: str, path: str) -> tuple[int, OSError | None]:
    """Descriptor, and why it is for reading only if it is."""
    flags = os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
    try:
        return os.open(name, flags | os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o666, dir_fd=directory), None
    except OSError as error:
        refusal = error
    if refusal.errno in _NOT_FOR_WRITING:
        try:
            return os.open(name, flags, dir_fd=directory), refusal
        except OSError:
            pass
    raise _unusable(path, refusal, _MEND_ACCESS) from refusal


def is_foreign(head: bytes, path: str) -> bool:
    """Whether a file that begins like this is not one of ours.

    Raises
    ------
    StatusTooNewError
        It is, but of a newer version.
    """
    if head.startswith(HEADERS) or _is_torn_header(head):
        return False
    version = _SAYS_VERSION.match(head)
    if version and int(version[1]) > VERSION:
        raise StatusTooNewError(
            "the status file was written by a newer version of pipegraph",
            [("status file", path), ("its format", int(version[1])), ("newest known here", VERSION)],
            "Use that version, or give new_pipegraph another name for the status file. The file was not changed.",
        )
    return not read(head).has_records


def _is_torn_header(head: bytes) -> bool:
    return head not in HEADERS and any(header.startswith(head) for header in HEADERS)


def _without_foreign(directory: int, name: str, path: str, warn: Callable[[Warned], None]) -> Opened:
    """Open a new file in the place of one that is not ours, or beside it if it can't be renamed."""
    try:
        kept = _set_aside(directory, name)
    except OSError as error:
        if name.endswith(STAND_IN):
            raise _unusable(path, error, _MEND_ANOTHER) from error
        warn(
            Warned(
                f"{path} is not a status file of pipegraph, and it can't be renamed ({error.strerror}):"
                f" {path}{STAND_IN} is used in its place",
                mend=f"Move the file away, and give {name}{STAND_IN} its name.",
            )
        )
        return open_file(directory, name + STAND_IN, path + STAND_IN, warn)
    warn(
        Warned(
            f"{path} is not a status file of pipegraph: it was renamed to {kept}, and a new one begun",
            mend="All jobs count as never made here. If the file was one of yours, give it its name back, and"
            " give new_pipegraph another name for the status file.",
        )
    )
    return open_file(directory, name, path, warn)


def _set_aside(directory: int, name: str) -> str:
    number = 1
    while True:
        kept = f"{name}.foreign-{number}"
        try:
            # Claims the name; so the rename replaces nothing but this empty file.
            os.close(os.open(kept, os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, dir_fd=directory))
            break
        except FileExistsError:
            number += 1
    try:
        os.rename(name, kept, src_dir_fd=directory, dst_dir_fd=directory)
    except OSError:
        os.unlink(kept, dir_fd=directory)
        raise
    return kept


def _write_header(descriptor: int, path: str) -> None:
    """Begin a file that is empty or has part of a header; what this leaves if it fails is such a file again."""
    try:
        os.ftruncate(descriptor, 0)
        if os.write(descriptor, HEADER) == len(HEADER):
            return
        reason = "only a part was written"
    except OSError as error:
        reason = str(error.strerror)
    raise StatusWriteError("the status file can't be begun", [("status file", path), ("because", reason)], MEND_NO_ROOM)


def _cut(descriptor: int, name: str, path: str, data: bytes) -> Opened:
    """Read what is there and, that done, cut off a torn last line."""
    reading = read(data)
    has_header = data.startswith(HEADERS)
    if not has_header and not reading.damaged_lines:
        reading = reading._replace(damaged_lines=1, first_damaged_line=1)
    end = reading.end
    is_cut = end < len(data)
    if is_cut:
        try:
            os.ftruncate(descriptor, end)
        except OSError:
            end = len(data)
    is_torn = data[end - 1 : end] != b"\n"
    is_damaged = not has_header or reading.damaged_lines > (is_cut and not is_torn)
    is_new = len(data) == len(HEADER)
    is_old = data.startswith(HEADERS[1:])
    return Opened(descriptor, name, path, reading, None if is_torn else end, is_damaged, is_new, is_old)


def _unusable(path: str, error: OSError, mend: str) -> StatusError:
    return StatusError(
        "the status file can't be used", [("status file", path), ("because", error.strerror)], mend_for(error, mend)
    )
