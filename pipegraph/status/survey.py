"""What the working directory holds, compared with what was recorded: the facts for the engine to decide by.

Looks at files and measures invariants. Reads again only what may have changed, and notes in the status file what it
read, so that the next run need not. Decides nothing.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable

from ..events import GraphGrew
from ..invariants import files
from ..invariants.clock import FILE_CLOCKS, FileClocks
from ..model import (
    Failure,
    FailureKind,
    FileRecord,
    Fingerprint,
    InputId,
    InvariantRecord,
    JobId,
    JobSpec,
    Past,
    Reason,
    ReasonKind,
    Role,
    Watch,
    combine,
)
from .explaining import note_replaced
from .glance import Glance
from .recollection import PAST_UNKNOWN
from .store import StatusFile

Accepts = Callable[[JobId, str], bool]
"""Whether a parameter whose value was this text may pass as unchanged."""


def survey(
    specs: tuple[JobSpec, ...],
    edges: tuple[tuple[JobId, InputId], ...],
    by: JobId | None,
    status: StatusFile | Glance,
    accepts: Accepts,
    clocks: FileClocks = FILE_CLOCKS,
) -> GraphGrew:
    """The arrival of these jobs, with all that the engine has to know of them.

    Parameters
    ----------
    clocks
        What may be asked for the time of a file system, and then writes to it.

    Raises
    ------
    StatusWriteError
        What was measured could not be recorded.
    """
    pasts: dict[JobId, Past] = {}
    measured: dict[JobId, Fingerprint] = {}
    unmeasured: dict[JobId, Failure] = {}
    problems: dict[JobId, tuple[Reason, ...]] = {}
    invariant = Role.INVARIANT
    for spec in specs:
        if spec.role is invariant:
            if spec.watch is not None:
                try:
                    measured[spec.id] = _measure(spec, status, clocks)
                except OSError as error:
                    unmeasured[spec.id] = _not_measured(spec, error)
            elif spec.value_text:
                measured[spec.id] = _accept_or_note(spec, status, accepts)
            continue
        past = status.past(spec.id)
        if past is PAST_UNKNOWN:
            continue
        pasts[spec.id] = past
        if spec.outputs:
            found = _problems(spec, past, status, clocks)
            if found:
                problems[spec.id] = found
    return GraphGrew(specs, edges, by, pasts, measured, unmeasured, problems)


def changed_inputs(specs: Iterable[JobSpec], status: StatusFile | Glance) -> list[str]:
    """Files among these invariants that are not any more as they were measured, by size, time and inode."""
    changed = []
    for spec in specs:
        record = status.invariant(spec.id)
        for file in record.files if record is not None else ():
            try:
                now = os.stat(file.path)
            except OSError:
                changed.append(file.path)
                continue
            if (now.st_size, now.st_mtime_ns, now.st_ino) != (file.size, file.mtime_ns, file.inode):
                changed.append(file.path)
    return changed


def _measure(spec: JobSpec, status: StatusFile | Glance, clocks: FileClocks) -> Fingerprint:
    known = status.invariant(spec.id)
    known_files = {} if known is None else {record.path: record for record in known.files}
    if spec.watch is Watch.TIME:
        records = tuple(files.look_at_time(path) for path in spec.outputs)
    else:
        records = tuple(files.look(path, known_files.get(path), clocks=clocks) for path in spec.outputs)
    if len(records) == 1:
        fingerprint = records[0].content or records[0].fingerprint
    else:
        # Without the names: renaming a file is no change.
        fingerprint = combine(sorted(record.content for record in records))
    if known is None or known.files != records:
        measured = InvariantRecord(fingerprint, records)
        note_replaced(known, measured, status)
        status.note_measured(spec.id, measured)
    return fingerprint


def _accept_or_note(spec: JobSpec, status: StatusFile | Glance, accepts: Accepts) -> Fingerprint:
    assert spec.fingerprint is not None
    known = status.invariant(spec.id)
    if known is not None:
        if known.fingerprint == spec.fingerprint:
            return spec.fingerprint
        if known.value_text and accepts(spec.id, known.value_text):
            return known.fingerprint
    status.note_measured(spec.id, InvariantRecord(spec.fingerprint, (), spec.value_text))
    return spec.fingerprint


def _problems(spec: JobSpec, past: Past, status: StatusFile | Glance, clocks: FileClocks) -> tuple[Reason, ...]:
    if past.trace is None:
        # A temporary file may have outlasted a run that was cut; nothing else is asked of what was never made.
        missing = [path for path in spec.outputs if not os.path.lexists(path)]
        return tuple(Reason(ReasonKind.OUTPUT_MISSING, path) for path in missing)
    found = []
    seen: list[FileRecord] = []
    for record in past.trace.outputs:
        try:
            now = files.look(record.path, record, clocks=clocks)
        except FileNotFoundError:
            found.append(Reason(ReasonKind.OUTPUT_MISSING, record.path))
            continue
        except OSError:
            found.append(Reason(ReasonKind.OUTPUT_CHANGED, record.path, record.content))
            continue
        if now.content != record.content:
            found.append(Reason(ReasonKind.OUTPUT_CHANGED, record.path, record.content, now.content))
        if not now.size and record.path not in spec.empty_ok:
            found.append(Reason(ReasonKind.OUTPUT_EMPTY, record.path))
        if now is not record:
            seen.append(now)
    if seen and not found:
        by_path = {record.path: record for record in seen}
        status.note_seen(spec.id, tuple(by_path.get(record.path, record) for record in past.trace.outputs))
    return tuple(found)


def _not_measured(spec: JobSpec, error: OSError) -> Failure:
    name = error.filename or ", ".join(spec.outputs)
    return Failure(
        FailureKind.NOT_MEASURED,
        f"builtins.{type(error).__name__}",
        f"an input file can't be read\n    file:     {name}\n    declared: {spec.class_name}, {spec.place}\n"
        f"    reason:   {error.strerror or error}\nPut the file there, or correct its name.",
    )
