"""What a status file says, for who only looks ahead: without its lock, and nothing is written, made or mended.

What is noted is known from then on, as it would be in a run, and goes nowhere.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from ..model import FileRecord, Fingerprint, InvariantRecord, JobId
from .knowledge import Knowledge, content_of
from .opening import is_foreign

if TYPE_CHECKING:
    from pathlib import Path


class Glance(Knowledge):
    """Answers as the file does.

    Attributes
    ----------
    is_foreign
        There is such a file, and it is none of ours: a run would set it aside and begin a new one.
    """

    def __init__(self, data: bytes, is_foreign: bool) -> None:
        super().__init__(b"" if is_foreign else data)
        self.is_foreign = is_foreign
        self._measured: dict[str, InvariantRecord] = {}
        self._explained: dict[Fingerprint, str] = {}

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
        data = content_of(path) or b""
        return cls(data, is_foreign(data, os.fspath(path)))

    def invariant(self, id: str) -> InvariantRecord | None:  # noqa: A002 - as the interface has it
        """What was noted, or is known."""
        return self._measured.get(id) or super().invariant(id)

    def measured_if(self, id: str, now: os.stat_result) -> Fingerprint | None:  # noqa: A002
        """As it is recorded, unless something else was noted."""
        return None if id in self._measured else super().measured_if(id, now)

    def explanation(self, fingerprint: Fingerprint) -> str | None:
        """What was noted, or is known."""
        return self._explained.get(fingerprint) or super().explanation(fingerprint)

    def note_measured(self, id: str, record: InvariantRecord) -> None:  # noqa: A002 - as the interface has it
        """It is known from now on."""
        self._measured[id] = record

    def note_seen(self, job: JobId, outputs: tuple[FileRecord, ...]) -> None:
        """Of no interest here."""

    def note_explained(self, fingerprint: Fingerprint, payload: str) -> None:
        """It is known from now on."""
        self._explained[fingerprint] = payload

    def note_text(self, digest: str, text: str) -> None:
        """Of no interest here: what is said of files is short."""
