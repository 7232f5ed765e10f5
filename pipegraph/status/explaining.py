"""What fingerprints were taken of: written when a job that used them is, and looked up to show what has changed."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial

from ..engine.reasons import fingerprint_of_inputs
from ..explanations import Change, Explanation, Part, changes_between, packed, unpacked
from ..model import FileRecord, Fingerprint, InputId, InvariantRecord, JobId, Reason, ReasonKind, Trace
from .glance import Glance
from .recollection import Recollection
from .store import StatusFile

_INPUT = "input "

Explain = Callable[[JobId], "Explanation | None"]
"""Of a function or a parameter, as it is now."""


def note_explanation(fingerprint: Fingerprint, explanation: Explanation, status: StatusFile | Glance) -> None:
    """Write it, and the texts that are not known yet.

    Raises
    ------
    StatusWriteError
        It could not be recorded.
    """
    payload, texts = packed(explanation)
    for key, text in texts.items():
        if not status.has_text(key):
            status.note_text(key, text)
    status.note_explained(fingerprint, payload)


def note_replaced(
    before: Trace | InvariantRecord | None, now: Trace | InvariantRecord, status: StatusFile | Glance
) -> None:
    """What is recorded is about to be another: write what is known of what it was, for who used it.

    Raises
    ------
    StatusWriteError
        It could not be recorded.
    """
    if before is None or before.fingerprint == now.fingerprint:
        return
    kept = {fingerprint for fingerprint, _ in _explained_by(now)}
    for fingerprint, explain in _explained_by(before):
        if fingerprint not in kept and not status.has_explained(fingerprint):
            note_explanation(fingerprint, explain(), status)


def explain_inputs(inputs: Mapping[InputId, Fingerprint]) -> Explanation:
    """Of a transparent job: which inputs, and their fingerprints."""
    return Explanation(tuple(Part(_INPUT + name, fingerprint) for name, fingerprint in sorted(inputs.items())))


def explain_files(records: Iterable[FileRecord]) -> Explanation:
    """Size, time and content of files."""
    parts: list[Part] = []
    for record in records:
        seconds, fraction = divmod(record.mtime_ns, 1_000_000_000)
        at = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(seconds))
        parts.append(Part(f"size of {record.path}", f"{record.size} bytes"))
        parts.append(Part(f"time of {record.path}", f"{at}.{fraction:09}"))
        parts.append(Part(f"content of {record.path}", record.content))
    return Explanation(tuple(parts))


class Explaining:
    """Shows what is behind reasons.

    Parameters
    ----------
    memory
        What is remembered of earlier runs, and was measured in this one.
    explain
        What functions and parameters are now.
    maker
        The job with an id, or that makes a file.

    Attributes
    ----------
    inputs_now
        What a job that is settled depends on now; None of all others.
    """

    def __init__(self, memory: Recollection, explain: Explain, maker: Callable[[InputId], JobId | None]) -> None:
        self._memory = memory
        self._explain = explain
        self._maker = maker
        self.inputs_now: Callable[[JobId], Mapping[InputId, Fingerprint] | None] = lambda job: None

    def changes(self, reason: Reason) -> tuple[Change, ...]:
        """What has changed of an input or output; empty for other reasons, and where it is not known what it was.

        Of a job that loads or declares, what has changed of its inputs.
        """
        if reason.kind is ReasonKind.OUTPUT_CHANGED and reason.before:
            return (Change(f"content of {reason.subject}", reason.before, reason.now),)
        if reason.kind is not ReasonKind.INPUT_CHANGED:
            return ()
        return tuple(self._changes(reason.subject, reason.before, reason.now, set()))

    def _changes(
        self, name: InputId, before: Fingerprint, now: Fingerprint, told: set[tuple[str, ...]]
    ) -> Iterator[Change]:
        if (name, before, now) in told:
            return
        told.add((name, before, now))
        was, is_now = self._of(name, before), self._of(name, now) or self._explain(name)
        for change in changes_between(was, is_now):
            deeper = change.name.removeprefix(_INPUT)
            if deeper == change.name:
                yield change
            elif change.before and change.now:
                yield from self._changes(deeper, change.before, change.now, told)
            else:
                yield Change(f"input {deeper} of {name}", change.before, change.now)

    def _of(self, name: InputId, fingerprint: Fingerprint) -> Explanation | None:
        memory = self._memory
        found = unpacked(memory.explanation(fingerprint), memory.text)
        if found is not None:
            return found
        maker = self._maker(name)
        for record in (memory.invariant(name), None if maker is None else memory.past(maker).trace):
            for each, explain in () if record is None else _explained_by(record):
                if each == fingerprint:
                    return explain()
        inputs = None if maker is None else self.inputs_now(maker)
        if inputs is not None and fingerprint_of_inputs(inputs) == fingerprint:
            return explain_inputs(inputs)
        return None


def _explained_by(record: Trace | InvariantRecord) -> Iterator[tuple[Fingerprint, Callable[[], Explanation]]]:
    """What may be an input of a job, by its fingerprint: each file, all of them; of a transparent job its inputs."""
    files = record.outputs if isinstance(record, Trace) else record.files
    for each in files:
        yield each.fingerprint, partial(explain_files, (each,))
    if files and (len(files) > 1 or record.fingerprint != files[0].fingerprint):
        yield record.fingerprint, partial(explain_files, files)
    if isinstance(record, Trace) and not files:
        yield record.fingerprint, partial(explain_inputs, record.inputs)
