"""Jobs that may write into the folders of their outputs only: the kernel's Landlock, for a job and all its descendants.

What a process has given up it can't get back, nor can its children: so only forks that end with their job are confined,
and not those of loading and generating jobs, from which all later jobs are forked. Reading stays free. What was open
before stays usable, among it the files that the job prints to. Set-user-id programs gain no rights in a confined job.
"""

from __future__ import annotations

import ctypes
import errno
import functools
import os
import struct
import sys
from collections.abc import Iterable

from ..errors import JobContractError
from .protocol import Runnable
from .sweep import remove_folder

# landlock(7), and linux/landlock.h: numbers are the same on all machines.
_CREATE_RULESET, _ADD_RULE, _RESTRICT_SELF = 444, 445, 446
_GIVE_VERSION = 1
_PATH_BENEATH = 1
_PR_SET_NO_NEW_PRIVS = 38
_WRITE_FILE = 1 << 1
_TRUNCATE = 1 << 14
_REFER = 1 << 13
_REMOVE_AND_MAKE = 0x1FF0
"""Remove folders and files; make devices, folders, files, sockets, pipes and links."""

_libc = ctypes.CDLL(None, use_errno=True)
# Structures go as bytes, and the functions are looked up here: each object that a job makes costs it pages of memory.
_syscall, _prctl = _libc.syscall, _libc.prctl
_PATH_BENEATH_RULE = struct.Struct("=Qi")


@functools.cache
def landlock_version() -> int:
    """Of the kernel's interface; 0: it has none, or it is switched off."""
    return max(0, int(_syscall(_CREATE_RULESET, None, 0, _GIVE_VERSION)))


class Confinement:
    """Of one job, in its own process.

    Parameters
    ----------
    folder
        Of the run, for what does not last: the job gets one for temporary files in it.
    log_directory
        Its files for what it prints lie there without a name; programs may open them by /dev/stdout.
    also
        Other folders, where its result is kept, or its programs share cores.
    """

    def __init__(self, job: Runnable, folder: str, log_directory: str | None, also: Iterable[str] = ()) -> None:
        self._job = job
        self._temporary = os.path.join(folder, f"job_{os.getpid()}")
        os.mkdir(self._temporary, 0o700)
        os.environ["TMPDIR"] = self._temporary
        if "tempfile" in sys.modules:
            sys.modules["tempfile"].tempdir = None  # type: ignore[attr-defined]
        directory = os.getcwd()
        self._folders = sorted({os.path.join(directory, path.rpartition("/")[0]).rstrip("/") for path in job.outputs})
        self._may_write = (*self._folders, folder, "/dev/shm", *also)
        self._is_on = _confine(self._may_write, ("/dev",) if log_directory is None else ("/dev", log_directory))

    def end(self) -> None:
        """Remove the folder for temporary files."""
        remove_folder(self._temporary)

    def explained(self, error: BaseException) -> BaseException:
        """The error that says so, if this one came from being confined."""
        if not self._is_on or not isinstance(error, OSError) or error.errno not in (errno.EACCES, errno.EXDEV):
            return error
        for name in (error.filename2, error.filename):
            if isinstance(name, (str, bytes)) and self._is_outside(path := os.path.realpath(os.fsdecode(name))):
                told = JobContractError(
                    f"a strict job wrote outside of its outputs' folders: {os.fsdecode(name)}",
                    [
                        ("job", f"{self._job.job_id} ({self._job.place})"),
                        ("file", path),
                        *(("may write", each) for each in self._folders),
                        ("and", f"{self._temporary} (TMPDIR)"),
                    ],
                    "Declare the file as an output, or write it to a temporary folder (module tempfile).",
                )
                told.__cause__ = error
                return told
        return error

    def _is_outside(self, path: str) -> bool:
        """Nothing but being confined forbids to write it (access(2) does not ask Landlock)."""
        allowed = map(os.path.realpath, self._may_write)
        is_allowed = any(os.path.commonpath((each, path)) == each for each in allowed)
        return not is_allowed and os.access(path if os.path.lexists(path) else os.path.dirname(path), os.W_OK)


def _confine(folders: Iterable[str], only_files: Iterable[str]) -> bool:
    """From here on this process may write below these folders, and into files that are below the others.

    False: the kernel can't.
    """
    version = landlock_version()
    if not version:
        return False
    files = _WRITE_FILE | (_TRUNCATE if version >= 3 else 0)
    rights = files | _REMOVE_AND_MAKE | (_REFER if version >= 2 else 0)
    ruleset = _checked(_syscall(_CREATE_RULESET, rights.to_bytes(8, sys.byteorder), 8, 0))
    try:
        for allowed, paths in ((rights, folders), (files, only_files)):
            for path in paths:
                try:
                    parent = os.open(path, os.O_PATH | os.O_CLOEXEC | os.O_DIRECTORY)
                except FileNotFoundError:
                    continue
                try:
                    _checked(_syscall(_ADD_RULE, ruleset, _PATH_BENEATH, _PATH_BENEATH_RULE.pack(allowed, parent), 0))
                finally:
                    os.close(parent)
        _checked(_prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))
        _checked(_syscall(_RESTRICT_SELF, ruleset, 0))
    finally:
        os.close(ruleset)
    return True


def _checked(answer: int) -> int:
    if answer < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    return answer
