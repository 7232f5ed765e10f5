"""The files of one run as they are looked at: what may have changed is read, once, and by whom.

What takes long is not read here, where all else would wait: it is `Awaited`, and comes back by `note`. Who is alone
reads everything at once. Owns no decision on what a change means.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable

from ..invariants import files
from ..invariants.clock import FILE_CLOCKS, FileClocks
from ..invariants.waiting import Patience, side_by_side
from ..model import FileRecord

AT_ONCE_BYTES = 4 << 20
"""A larger file is read by others; up to here that costs more than it saves, if the file is in memory."""

AT_ONCE_SECONDS = 0.05
"""So long may one survey read by itself, however small the files are."""


_now = time.perf_counter


class Awaited(Exception):
    """A file has to be read, and others are to do it.

    Attributes
    ----------
    size
        In bytes; -1 where it was not asked.
    """

    def __init__(self, path: str, size: int) -> None:
        self.path = path
        self.size = size


class Reading:
    """Looks at files for all surveys of a run.

    Parameters
    ----------
    clocks
        What may be asked for the time of a file system, and then writes to it.
    is_alone
        There is nobody else to read.

    Attributes
    ----------
    patience
        Where it is over, it pays to look ahead.
    """

    def __init__(self, clocks: FileClocks = FILE_CLOCKS, is_alone: bool = True) -> None:
        self._clocks = clocks
        self._is_alone = is_alone
        self._spent = 0.0
        self._read: dict[str, FileRecord] = {}
        self._asked: set[str] = set()
        self._came: dict[str, FileRecord | OSError] = {}
        self.patience = Patience()
        self._seen: dict[str, os.stat_result | OSError] = {}

    def begin(self) -> None:
        """Another survey begins."""
        self._spent = 0.0
        self._seen = {}

    def look(
        self,
        path: str,
        known: FileRecord | None,
        also_known: Callable[[str], FileRecord | None] = lambda path: None,
    ) -> FileRecord:
        """A file as it is now, read only if what is known does not tell; as `files.look`.

        Raises
        ------
        OSError
            It can't be read.
        Awaited
            It has to be read, and that takes long.
        """
        came = self._came.get(path) if self._came else None
        if came is not None:
            if isinstance(came, OSError):
                raise came
            return files.with_fingerprint_of(known, came)
        if known is not None and not known.is_racy and files.is_as_recorded(self.stat(path), known):
            return known
        for other in (self._read.get(path), also_known(path)):
            if other is not None and not other.is_racy and files.is_as_recorded(self.stat(path), other):
                return files.with_fingerprint_of(known, other)
        return files.with_fingerprint_of(known, self._read_now(path))

    def stamp(self, path: str) -> os.stat_result | None:
        """The stamp of a file, if that alone may tell that it is unchanged; else `look` has to say."""
        if self._came or self._seen:
            return None
        began = _now()
        try:
            now = os.stat(path)
        except OSError:
            return None
        took = _now() - began
        if took > self.patience.quick_seconds or self.patience.lag:
            self.patience.spend(took)
        return now

    def _read_now(self, path: str) -> FileRecord:
        if self._is_alone:
            record = files.read(path, clocks=self._clocks)
        elif path in self._asked or self._spent >= AT_ONCE_SECONDS:
            raise Awaited(path, -1)
        else:
            began = time.perf_counter()
            try:
                record = files.read(path, clocks=self._clocks, most_bytes=AT_ONCE_BYTES)
            except files.TooLarge as large:
                raise Awaited(path, large.size) from None
            finally:
                self._spent += time.perf_counter() - began
        self._read[path] = record
        return record

    # --- what others read

    def ask(self, awaited: Iterable[Awaited]) -> list[tuple[str, int]]:
        """Path and size of those files that nobody has been asked for yet."""
        new = {each.path: each.size for each in awaited if each.path not in self._asked}
        self._asked.update(new)
        return list(new.items())

    def note(self, records: Iterable[FileRecord], unread: Iterable[OSError]) -> list[str]:
        """These were read, or can't be; their paths."""
        found: dict[str, FileRecord | OSError] = {record.path: record for record in records}
        self._read.update({record.path: record for record in records})
        found.update({error.filename: error for error in unread})
        self._came.update(found)
        self._asked.difference_update(found)
        return list(found)

    def came(self, path: str) -> FileRecord | None:
        """What others have read just now."""
        found = self._came.get(path)
        return None if isinstance(found, OSError) else found

    def forget(self) -> None:
        """Nobody waits any more for what came."""
        self._came.clear()

    # --- stamps

    def stat(self, path: str) -> os.stat_result:
        """As `os.stat`, or as it was a moment ago."""
        seen = self._seen.get(path) if self._seen else None
        if seen is not None:
            if isinstance(seen, OSError):
                raise seen
            return seen
        began = _now()
        try:
            return os.stat(path)
        finally:
            self.patience.spend(_now() - began)

    def look_ahead(self, paths: Iterable[str]) -> None:
        """See to these stamps side by side, forget earlier ones, and then find out again whether that pays."""
        self._seen = {}
        self.patience = Patience()
        each = list(dict.fromkeys(paths))
        self._seen = dict(zip(each, side_by_side(os.stat, each), strict=True))
