"""A job's way to its result, in the job's own process: bring it back, or wait for who makes it, or make it and keep it.

Nothing that goes wrong here fails the job: it makes its files itself then, and a remark says why they are not kept.
"""

from __future__ import annotations

import contextlib
import os
import pwd
import socket
import time
from collections.abc import Callable, Sequence
from typing import Any, Protocol

from ..invariants import files
from ..model import FileRecord, JobId, Opened, Place
from .address import Address
from .holdings import keep_newest
from .lock import Lock
from .store import Damaged, Manifest, Store

_SHOWN_FILES = 3


class Making(Protocol):
    """The job."""

    job_id: JobId
    place: Place

    @property
    def outputs(self) -> tuple[str, ...]:
        """Paths relative to the project's directory, which is the current one."""


class Claim:
    """Of one job on its result.

    Parameters
    ----------
    address
        A `Address`, as it came.
    maker
        The job that makes a file, or None.

    Attributes
    ----------
    brought_back
        Where the files come from; empty: the callback is to be called.
    remarks
        Headline and mend of what a person should know.
    """

    def __init__(
        self, address: tuple[Any, ...], job: Making, directory: str, maker: Callable[[str], object | None]
    ) -> None:
        address = self._address = Address(*address)
        self._job = job
        self._directory = directory
        self._maker = maker
        self._store = Store(address.folder)
        self._lock: Lock | None = None
        self._outputs = sorted(job.outputs)
        self.brought_back = ""
        self._records: dict[str, FileRecord] = {}
        self.remarks: list[tuple[str, str]] = []

    def bring(self) -> bool:
        """Bring the result back; false: it is to be made, and nobody else makes it meanwhile."""
        address = self._address
        # Without the lock first: a folder may be one that is only to be read.
        if not address.is_forced and self._take():
            return True
        try:
            lock = self._store.lock(address.group, address.key, {"project": self._directory, "user": _user()})
            while not lock.take():
                lock.wait(self._tell_who_makes_it)
                if not address.is_forced and self._take():
                    return True
        except OSError as error:
            self._remark(f"its result can't be kept in {address.folder}: {_words(error)}", "It is made here, as ever.")
            return False
        self._lock = lock
        self._store.remove_leftovers(address.group, address.key)
        return not address.is_forced and self._take(has_lock=True)

    def read(self, path: str, wait_out_tick: bool) -> FileRecord:
        """As `files.read`; what was brought back has been read already."""
        return self._records.get(path) or files.read(path, wait_out_tick)

    def keep(self, records: Sequence[FileRecord], opened: Opened, started_at: float, seconds: float) -> None:
        """Put what the job has made, unless it is not known what it was made from."""
        if self._lock is None or self.brought_back:
            return
        try:
            objection = self._undeclared(opened) or self._changed()
            if objection:
                self._remark(f"its result is not kept: {objection[0]}", objection[1])
                return
            found = {record.path: record for record in records}
            manifest = Manifest(
                self._job.job_id,
                type(self._job).__name__,
                _name_of(getattr(self._job, "function", None)),
                self._directory,
                socket.gethostname(),
                _user(),
                started_at + seconds,
                seconds,
                tuple((path, found[path].size, found[path].content) for path in self._outputs),
            )
            address = self._address
            self._store.put(address.group, address.key, manifest, is_synced=not address.versions)
            self._keep_newest()
        except OSError as error:
            self._remark(
                f"its result can't be kept in {self._address.folder}: {_words(error)}",
                "Its files are here and are made; only others, and later runs, can't be given them.",
            )

    def release(self) -> None:
        """Whoever waits may look now."""
        if self._lock is not None:
            self._lock.release()
            self._lock = None

    def _take(self, has_lock: bool = False) -> bool:
        address = self._address
        try:
            taken = self._store.take(address.group, address.key, self._outputs)
        except Damaged:
            if has_lock:
                self._set_aside_damaged()
            return False
        except OSError as error:
            if has_lock:
                self._remark(f"its result can't be brought back from {address.folder}: {_words(error)}", "")
            return False
        if taken is None:
            return False
        manifest, records = taken
        self._records = {record.path: record for record in records}
        made_at = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(manifest.made_at))
        where = "" if address.versions else f" by {manifest.user} on {manifest.host} in {manifest.directory}"
        self.brought_back = f"{address.folder}, made {made_at}{where}"
        if has_lock:
            self._keep_newest()
        return True

    def _set_aside_damaged(self) -> None:
        address = self._address
        what = "a kept result was not any more what was kept"
        mend = "It is made anew. Was it edited, here or in another project? Kept files are read-only for that."
        try:
            self._remark(
                f"{what}; it is set aside as {self._store.set_aside_damaged(address.group, address.key)}", mend
            )
        except OSError as error:
            self._remark(f"{what}, and can't be set aside in {address.folder}: {_words(error)}", mend)

    def _keep_newest(self) -> None:
        if self._address.versions:
            with contextlib.suppress(OSError):  # what can't be removed stays
                keep_newest(self._store, self._address.group, self._address.versions, self._address.key)

    def _tell_who_makes_it(self, holder: str) -> None:
        print(f"pipegraph: waits for the result that another run makes ({holder or 'unknown'})", flush=True)

    def _undeclared(self, opened: Opened) -> tuple[str, str] | None:
        """Files that it opened, and that its key knows nothing of."""
        read = [path for path in opened.read if path not in self._address.files]
        others = [path for path in (*opened.missing, *opened.written) if path not in self._address.files]
        read += [path for path in others if self._maker(path) not in (None, self._job)]
        if opened.is_cut and not read:
            return "it opened so many files that not all are known", "Declare them, or do without keeping its result."
        if not read:
            return None
        more = f" and {len(read) - _SHOWN_FILES} more" if len(read) > _SHOWN_FILES else ""
        return (
            f"it opened {', '.join(read[:_SHOWN_FILES])}{more}, which it does not depend on",
            f"Others would get what was made from it: add job.depends_on_file({read[0]!r}).",
        )

    def _changed(self) -> tuple[str, str] | None:
        """An input that is not any more what the key is of."""
        for path, known in self._address.files.items():
            if known is None:
                continue
            record = FileRecord(*known)
            try:
                is_same = files.look(path, record).content == record.content
            except OSError:
                is_same = False
            if not is_same:
                return f"{path} changed while it ran", "The next run makes it again."
        return None

    def _remark(self, headline: str, mend: str) -> None:
        self.remarks.append((headline, mend))


def _words(error: OSError) -> str:
    return error.strerror or str(error)


def _name_of(function: Any) -> str:
    return str(getattr(function, "__qualname__", ""))


def _user() -> str:
    try:
        return pwd.getpwuid(os.geteuid()).pw_name
    except KeyError:
        return str(os.geteuid())
