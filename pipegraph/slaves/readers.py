"""The master's side of processes that read files for it: which has got which files, and who reads what one left unread.

They are children of the keeper, which holds nothing that was loaded, and is there to the end; one for each core.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Iterable
from typing import Any

from ..events import Event, FilesRead
from ..model import FileRecord


class Readers:
    """All of a run.

    Parameters
    ----------
    say
        To the keeper.
    next_token
        From the numbers that jobs get.
    tell
        Takes what happened.
    """

    def __init__(
        self, say: Callable[[tuple[object, ...]], None], next_token: Callable[[], int], tell: Callable[[Event], None]
    ) -> None:
        self._say = say
        self._next_token = next_token
        self._tell = tell
        self._most = len(os.sched_getaffinity(0))
        # Files that are to be read, with their sizes, by the process that reads them or will.
        self._to_read: dict[int, dict[str, int]] = {}
        # Those that run: with which large file they are, and how far.
        self._read_now: dict[int, tuple[str, int]] = {}
        self._done_bytes = self._all_bytes = 0
        self._blamed: set[str] = set()

    @property
    def are_there(self) -> bool:
        """There is one that may have something to tell."""
        return bool(self._to_read)

    def read(self, files: Iterable[tuple[str, int]]) -> None:
        """Have files read, of these sizes in bytes (-1: not known)."""
        from .reading import shares

        if not self._to_read:
            self._done_bytes = self._all_bytes = 0
        for share in shares(files):
            self._to_read[self._next_token()] = dict(share)
            self._all_bytes += sum(max(0, size) for _, size in share)
        self._ask()

    def stop(self) -> None:
        """What is not read yet need not be; whoever reads goes on with the file in its hands, and is not heard."""
        self._to_read.clear()

    def begin_again(self) -> None:
        """All have died, with the keeper; there is a new one."""
        self._read_now.clear()
        self._ask()

    def _ask(self) -> None:
        for token, files in self._to_read.items():
            if len(self._read_now) >= self._most:
                return
            if token not in self._read_now:
                self._read_now[token] = ("", 0)
                self._say(("read", token, list(files.items())))

    def told(
        self, token: int, found: list[tuple[Any, ...]], errors: list[tuple[int, str, str]], path: str, so_far: int
    ) -> None:
        """What a process that reads has to say: what it found, and how far it is with a large file."""
        records = tuple(map(FileRecord._make, found))
        unread = tuple(OSError(*each) for each in errors)
        awaited = self._to_read.get(token, {})
        for record in records:
            if awaited.pop(record.path, 0) < 0:
                self._all_bytes += record.size
            self._done_bytes += record.size
        for error in unread:
            awaited.pop(error.filename, None)
        if token in self._read_now:
            self._read_now[token] = (path, so_far)
        self._tell_of(records, unread)

    def _tell_of(self, records: tuple[FileRecord, ...], unread: tuple[OSError, ...]) -> None:
        done = self._done_bytes + sum(so_far for _, so_far in self._read_now.values())
        left = sum(map(len, self._to_read.values()))
        self._tell(FilesRead(records, unread, left, done, max(done, self._all_bytes)))

    def ended(self, token: int, exit_code: int | None) -> None:
        """What it has left unread is read by another; but of a file that two died of, no more than that is said.

        Parameters
        ----------
        exit_code
            None: it could not be forked.
        """
        path, _ = self._read_now.pop(token, ("", 0))
        left = self._to_read.pop(token, None)
        if left:
            if path not in left:
                path = next(iter(left))
            if path in self._blamed:
                del left[path]
                how = "it could not be started" if exit_code is None else f"exit {exit_code}"
                if exit_code is not None and exit_code < 0:
                    how = f"killed by signal {-exit_code}"
                why = f"the process that was to read it ended before it had, twice ({how})"
                self._tell_of((), (OSError(errno.EIO, why, path),))
            self._blamed.add(path)
        if left:
            self._to_read[token] = left
        self._ask()
