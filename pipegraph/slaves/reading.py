"""A process that reads files for the master, and tells what it found of each as soon as it has it.

It makes, changes and removes nothing, however it ends: what it reads is the user's.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable, Sequence
from typing import TypeVar

from ..invariants import files
from ..invariants.waiting import THREADS, Patience, side_by_side
from ..model import FileRecord
from . import messages
from .messages import Gone, send

SHARE_BYTES = 100_000_000
"""It takes ten times as long to read as a process to begin."""

FILE_WEIGHT = 100_000
"""To open one costs as much as so many bytes."""

TELL_SECONDS = 0.2
_TOLD_AT_ONCE = 1000
_QUICK_SECONDS = 0.001
"""A small file of a local disk is read in less."""

_Result = TypeVar("_Result")

Request = tuple[str, int]
"""A path, and the size in bytes; -1 where it is not known."""


class _Teller:
    """Gathers what was found."""

    def __init__(self, end: messages.End, token: int) -> None:
        self._end = end
        self._token = token
        self._records: list[tuple[object, ...]] = []
        self._errors: list[tuple[object, ...]] = []
        self._path = ""
        self._bytes = 0
        self._next = time.monotonic() + TELL_SECONDS

    def found(self, path: str, record: FileRecord | OSError) -> None:
        self._path, self._bytes = "", 0
        if isinstance(record, OSError):
            self._errors.append((record.errno, record.strerror or str(record), path))
        else:
            self._records.append(tuple(record))
        self._tell_in_time()

    def begin(self, path: str) -> None:
        """A large file."""
        self._path = path
        self.tell()

    def read(self, count: int) -> None:
        """Bytes of the file that is being read."""
        self._bytes += count
        self._tell_in_time()

    def _tell_in_time(self) -> None:
        if len(self._records) >= _TOLD_AT_ONCE or time.monotonic() >= self._next:
            self.tell()

    def tell(self) -> None:
        """All that was not told yet."""
        records, self._records = self._records, []
        errors, self._errors = self._errors, []
        try:
            send(self._end, ("read", self._token, records, errors, self._path, self._bytes))
        except Gone:
            os._exit(1)
        self._next = time.monotonic() + TELL_SECONDS


def read_files(requests: Sequence[Request], end: messages.End, token: int) -> None:
    """Small ones first, then the large ones, each to its end."""
    teller = _Teller(end, token)
    large = [path for path, size in requests if size >= files.LARGE_BYTES]
    small = [path for path, size in requests if size < files.LARGE_BYTES]
    patience = Patience(_QUICK_SECONDS)
    at = 0
    while at < len(small):
        if patience.is_over:
            batch = small[at : at + 4 * THREADS]
            found: list[FileRecord | OSError | None] = side_by_side(_read_small, batch)
        else:
            batch = small[at : at + 1]
            began = time.perf_counter()
            found = [_or_error(_read_small, batch[0])]
            patience.spend(time.perf_counter() - began)
        for path, record in zip(batch, found, strict=True):
            if record is None:
                large.append(path)
            else:
                teller.found(path, record)
        at += len(batch)
    for path in large:
        teller.begin(path)
        teller.found(path, _or_error(lambda path: files.read(path, tell=teller.read), path))
    teller.tell()


def _read_small(path: str) -> FileRecord | None:
    """None: it is not small."""
    try:
        return files.read(path, most_bytes=files.LARGE_BYTES)
    except files.TooLarge:
        return None


def _or_error(read: Callable[[str], _Result], path: str) -> _Result | OSError:
    try:
        return read(path)
    except OSError as error:
        return error


def shares(requests: Iterable[Request]) -> list[list[Request]]:
    """For one process each: many small files, a few large ones, or one that is larger still; the largest come last."""
    found: list[list[Request]] = []
    left = 0
    for request in sorted(requests, key=lambda request: request[1]):
        weight = max(request[1], FILE_WEIGHT)
        if weight > left:
            found.append([])
            left = SHARE_BYTES
        found[-1].append(request)
        left -= weight
    return found
