"""What a status file says, for who only looks: no lock, no repair, nothing written.

The file is read once, whole, also while a run appends to it or puts another in its place: what is torn is left out, as
every damaged line is. What happens later is not seen.
"""

from __future__ import annotations

import os
import stat
from functools import cached_property
from io import FileIO
from typing import TYPE_CHECKING, NamedTuple

from pipegraph.errors import StatusError
from pipegraph.model import Fingerprint, InputId, JobId, Past, Role

from . import index, records
from .mends import mend_for
from .opening import is_foreign
from .recollection import Recollection

if TYPE_CHECKING:
    from pathlib import Path

_MEND_ANOTHER = "Go to the directory that the script runs in, or name the status file that it uses."


class Known(NamedTuple):
    """What is known of one job.

    Attributes
    ----------
    class_name, role
        Empty and None, if no script has declared it since such things are recorded.
    scripts
        Those that declare it.
    started_at, failed_at
        Seconds since 1970, of what is said in `past`; else None.
    is_gone
        Scripts declared it, and none does any more.
    is_to_be_adopted
        The next run is to believe the files that are there.
    """

    class_name: str
    role: Role | None
    scripts: tuple[str, ...]
    past: Past
    started_at: float | None
    failed_at: float | None
    is_gone: bool
    is_to_be_adopted: bool


class Knowledge(Recollection):
    """A status file as it was when it was read; `jobs`, `past`, `invariant`, `explanation` and `text` ask it."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._index = index.read(data).found

    @classmethod
    def read(cls, path: str | Path) -> Knowledge:
        """Read the file of this name.

        Raises
        ------
        StatusTooNewError
            Written by a newer version.
        StatusError
            There is none, or it can't be read, or it is something else.
        """
        data = content_of(path)
        if data is None:
            raise StatusError("there is no status file", [("status file", os.fspath(path))], _MEND_ANOTHER)
        if is_foreign(data, os.fspath(path)):
            raise _not_ours(path, "it is not a status file of pipegraph")
        return cls(data)

    def known(self, job: JobId) -> Known:
        """All that is known of a job."""
        declared = self.declared(job)
        class_name, role, scripts = ("", None, ()) if declared is None else declared[:3]
        found = self._index
        return Known(
            class_name,
            role,
            scripts,
            self.past(job),
            self._decoded(found.started.get(job), records.decode_time),
            self._decoded(found.failed.get(job), records.decode_time),
            declared is not None and not scripts,
            self.is_to_be_adopted(job),
        )

    def inputs_of(self, job: JobId) -> dict[InputId, Fingerprint]:
        """Of the last success; empty if there was none."""
        trace = self.past(job).trace
        return {} if trace is None else dict(trace.inputs)

    def maker(self, path: str) -> JobId | None:
        """Which job made this file last, or would make it: what makes one file has its path as id."""
        maker = self._makers.get(path)
        return path if maker is None and self._index.knows(path) else maker

    def dependents_of(self, name: InputId) -> list[JobId]:
        """The jobs that used this as an input when they were made last.

        Parameters
        ----------
        name
            Id of a job or invariant: whoever used any of it. Path of one of several files of a job: whoever used that
            one, or all.
        """
        names = [name]
        maker = self.maker(name)
        if maker is not None and maker != name:
            names.append(maker)
        trace = self.past(name).trace
        names += [record.path for record in trace.outputs if record.path != name] if trace is not None else ()
        return list(dict.fromkeys(job for each in names for job in self._dependents.get(each, ())))

    @cached_property
    def _makers(self) -> dict[str, JobId]:
        # Of a file that moved from one job to another, the one that made it later has it.
        ended_at: dict[str, float] = {}
        makers: dict[str, JobId] = {}
        for job in self._index.made:
            trace = self.past(job).trace
            for record in trace.outputs if trace is not None else ():
                assert trace is not None
                if trace.ended_at >= ended_at.get(record.path, trace.ended_at):
                    makers[record.path], ended_at[record.path] = job, trace.ended_at
        return makers

    @cached_property
    def _dependents(self) -> dict[InputId, list[JobId]]:
        dependents: dict[InputId, list[JobId]] = {}
        for job in self._index.made:
            for name in self.inputs_of(job):
                dependents.setdefault(name, []).append(job)
        return dependents

    def _line(self, where: int) -> bytes:
        offset, length = index.unpack(where)
        return self._data[offset : offset + length]


def content_of(path: str | Path) -> bytes | None:
    """All of the file; None if there is none.

    Raises
    ------
    StatusError
        It can't be read, or is no plain file.
    """
    try:
        # Without waiting for somebody to write, if it is a pipe.
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        try:
            if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                raise _not_ours(path, "it is not a plain file")
            return FileIO(descriptor, closefd=False).readall()
        finally:
            os.close(descriptor)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise StatusError(
            "the status file can't be read",
            [("status file", os.fspath(path)), ("because", str(error.strerror))],
            mend_for(error, _MEND_ANOTHER),
        ) from error


def _not_ours(path: str | Path, reason: str) -> StatusError:
    return StatusError(
        "the status file can't be read", [("status file", os.fspath(path)), ("because", reason)], _MEND_ANOTHER
    )
