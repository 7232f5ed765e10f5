"""What the lines of a status file say, decoded when it is asked for: the same for a run and for who only looks."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Final, TypeVar

from pipegraph.model import Fingerprint, InputId, InvariantRecord, JobId, Past, Trace

from . import records
from .index import Index
from .records import Declaration, MalformedRecord

if TYPE_CHECKING:
    import os

PAST_UNKNOWN: Final = Past()

_T = TypeVar("_T")
_new = tuple.__new__
"""Of a named tuple; its own takes twice as long, and most jobs' pasts are looked up when a run begins."""


class Recollection(ABC):
    """An index, and a way to read the lines that it leads to."""

    _index: Index

    @abstractmethod
    def _line(self, where: int) -> bytes:
        """The line at a location, without its line feed."""

    def _payload(self, where: int) -> str:
        """What stands behind the id in the line at a location; raises MalformedRecord if it is not whole."""
        return records.payload_of(self._line(where))

    def jobs(self) -> Iterator[JobId]:
        """Each job that anything is known of, once."""
        return self._index.jobs()

    def past(self, job: JobId) -> Past:
        """What is known of a job's making; `PAST_UNKNOWN` if that is nothing."""
        index = self._index
        made = index.made.get(job)
        is_unfinished = job in index.started
        has_failed = job in index.failed
        if made is not None:
            if index.seen:
                return _new(Past, (self._trace(job, made), is_unfinished, has_failed))
            try:
                return _new(Past, (records.decode_trace(job, self._payload(made)), is_unfinished, has_failed))
            except MalformedRecord:
                return _new(Past, (None, is_unfinished, has_failed))
        if is_unfinished or has_failed:
            return Past(None, is_unfinished, has_failed)
        return PAST_UNKNOWN

    def invariant(self, id: str) -> InvariantRecord | None:  # noqa: A002 - as the interface has it
        """What is known of an invariant."""
        where = self._index.measured.get(id)
        if where is None:
            return None
        try:
            return records.decode_measured(id, self._payload(where))
        except MalformedRecord:
            return None

    def input_bytes(self, name: InputId) -> int | None:
        """Of the files of an input, as they were last read; None: there is nothing in them, or that is not known."""
        record = self.invariant(name)
        trace = self.past(name).trace if record is None else None
        files = record.files if record is not None else () if trace is None else trace.outputs
        return sum([file.size for file in files]) or None

    def measured_if(self, id: str, now: os.stat_result) -> Fingerprint | None:  # noqa: A002
        """The content of the one file that is measured under its own name, if that has not changed by its stamp."""
        where = self._index.measured.get(id)
        if where is None:
            return None
        try:
            return records.fingerprint_if_stamped(self._payload(where), now)
        except MalformedRecord:
            return None

    def declared(self, job: JobId) -> Declaration | None:
        """What a job is declared as, and by which scripts; None if nobody ever said. Nothing is read for it."""
        return self._index.declaration(job)

    def is_to_be_adopted(self, job: JobId) -> bool:
        """Whether the files that are there are to be believed by the next run."""
        return job in self._index.to_adopt

    @property
    def has_wishes(self) -> bool:
        """Whether that is so of any job."""
        return bool(self._index.to_adopt)

    def has_explained(self, fingerprint: Fingerprint) -> bool:
        """Whether it is known what a fingerprint is of."""
        return fingerprint in self._index.explained

    def has_text(self, digest: str) -> bool:
        """Whether the source text with this digest is known."""
        return digest in self._index.texts

    def explanation(self, fingerprint: Fingerprint) -> str | None:
        """What a fingerprint is of, as JSON."""
        return self._decoded(self._index.explained.get(fingerprint), str)

    def text(self, digest: str) -> str | None:
        """The source text with this digest."""
        return self._decoded(self._index.texts.get(digest), records.decode_text)

    def _decoded(self, where: int | None, decode: Callable[[str], _T]) -> _T | None:
        """None if there is no such line, or it is not any more what it was when it was indexed."""
        if where is None:
            return None
        try:
            return decode(self._payload(where))
        except MalformedRecord:
            return None

    def _trace(self, job: JobId, made: int) -> Trace | None:
        try:
            trace = records.decode_trace(job, self._payload(made))
        except MalformedRecord:
            return None
        seen = self._index.seen.get(job)
        if seen is None:
            return trace
        outputs = self._decoded(seen, lambda payload: records.decode_files(job, payload))
        # A damaged line between the two may have been a newer trace, which these outputs belong to.
        if outputs is None or [file[:2] for file in outputs] != [file[:2] for file in trace.outputs]:
            return trace
        return trace._replace(outputs=outputs)
