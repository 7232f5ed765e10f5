"""What a status file says, for who only looks ahead: without its lock, and nothing is written, made or mended."""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path

from ..errors import StatusError
from ..model import FileRecord, InvariantRecord, JobId
from . import opening
from .index import read, unpack
from .store import StatusFile


class Glance(StatusFile):
    """Answers as the file does; what is noted goes nowhere.

    Attributes
    ----------
    is_foreign
        There is such a file, and it is none of ours: a run would set it aside and begin a new one.
    """

    def __init__(self, data: bytes, is_foreign: bool) -> None:
        self._data = data
        self._index = read(data).found
        self.is_foreign = is_foreign

    @classmethod
    def of(cls, path: str | Path) -> Glance:
        """As the file is now; a run that goes on may add to it. Where there is none, nothing is known.

        Raises
        ------
        StatusTooNewError
            Written by a newer version.
        StatusError
            It can't be read, or it is no plain file.
        """
        real_path = os.path.realpath(path)
        try:
            with open(real_path, "rb", buffering=0, opener=_open_without_waiting) as file:
                if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                    raise OSError(errno.EINVAL, "not a plain file")
                data = file.readall()
        except FileNotFoundError:
            return cls(b"", False)
        except OSError as error:
            raise StatusError(
                "the status file can't be read",
                [("status file", real_path), ("because", error.strerror)],
                "Make it readable for you, or give new_pipegraph another name for the status file.",
            ) from error
        return cls(data, opening.is_foreign(data[: opening.HEAD_BYTES], real_path))

    def note_measured(self, id: str, record: InvariantRecord) -> None:  # noqa: A002 - as in the class above
        """Is not noted."""

    def note_seen(self, job: JobId, outputs: tuple[FileRecord, ...]) -> None:
        """Is not noted."""

    def _line(self, where: int) -> bytes:
        offset, length = unpack(where)
        return self._data[offset : offset + length]


def _open_without_waiting(path: str, flags: int) -> int:
    # A FIFO would wait for somebody who writes.
    return os.open(path, flags | os.O_NONBLOCK | os.O_NOCTTY)
